/* What the parts of the port mapper share. */
#ifndef RMRI_PORTMAP_INTERNAL_H
#define RMRI_PORTMAP_INTERNAL_H

#include <remora/http1.h>
#include <remora/portmap.h>

#define LEASE_S 7200u
#define LEASE_MAX_S 86400u
#define LEASE_MIN_S 30u /* taken as this, when it is less */
#define PM_PORT 5351
#define SSDP_PORT 1900
#define NONCE_LEN 12
#define LOCATIONS 4

/* ---- portmap_xml.c ---- */

typedef struct pm_xml { /* a scanner of tags; bounded, forgiving */
    void (*on_end)(void *user, rmr_bytes name, rmr_bytes text);
    void *user;
    uint8_t state, quote, dashes;
    bool closing, is_leaf, too_long;
    char name[48];
    char text[512];
    size_t n_name, n_text;
} pm_xml;

void rmri_pm_xml_init(pm_xml *x,
                      void (*on_end)(void *user, rmr_bytes name,
                                     rmr_bytes text),
                      void *user);
void rmri_pm_xml_feed(pm_xml *x, rmr_bytes in);

/* ---- the object ---- */

enum { /* datagrams that wait to be sent, in this order */
    OUT_PMP_DELETE = 1 << 0,
    OUT_PCP_DELETE = 1 << 1,
    OUT_PMP_ADDR = 1 << 2,
    OUT_PCP_ANNOUNCE = 1 << 3,
    OUT_PMP_MAP = 1 << 4,
    OUT_PCP_MAP = 1 << 5,
    OUT_SSDP_GATEWAY = 1 << 6,
    OUT_SSDP_ALL = 1 << 7,
    OUT_SSDP_IGD = 1 << 8
};
#define OUT_SSDP (OUT_SSDP_GATEWAY | OUT_SSDP_ALL | OUT_SSDP_IGD)

enum { PM_UPNP = 0, PM_PMP, PM_PCP, PM_SERVICES };

typedef enum pm_stage {
    PM_IDLE = 0,
    PM_ASK_PMP,
    PM_ASK_PCP,
    PM_FIND_UPNP, /* SSDP */
    PM_DESCRIBE,  /* HTTP from here on */
    PM_ADD,
    PM_ADDRESS,
    PM_DELETE
} pm_stage;

typedef enum pm_stream { NO_STREAM = 0, STREAM_WANTED, DIALLING, OPEN } pm_stream;

typedef struct pm_mapping {
    rmr_portmap_kind kind;
    rmr_addr ext;
    uint16_t local_port;
    uint8_t nonce[NONCE_LEN];
    rmr_time made_at, renew_at, ends_at;
} pm_mapping;

typedef struct pm_upnp {
    rmr_url at[LOCATIONS]; /* of descriptions; the first is tried first */
    size_t n_at, tried;
    rmr_url control; /* of the service, path "" : none */
    uint8_t service; /* place in the list of services, best first */
    bool old_add;    /* AddAnyPortMapping is not known there */
    bool forever;    /* leases are not: lifetime 0 */
    uint8_t tries;
    uint16_t ext_port;
    rmr_addr ext;
    /* of the document that is being read */
    pm_xml xml;
    uint16_t status, error;
    rmr_url base, found;
    uint8_t found_service, this_service;
    bool has_base, this_has_url, is_done;
    rmr_url this_url;
    /* the request that is sent */
    uint8_t req[2048];
    size_t req_len, req_at;
} pm_upnp;

struct rmr_portmap {
    rmr_env env;
    rmr_portmap_callbacks cb;
    rmr_portmap_stats stats;
    rmr_time now;
    bool busy;

    bool has_net;
    rmr_addr gateway, own;
    uint16_t port;
    bool want;

    bool has_seen[PM_SERVICES];
    rmr_time seen[PM_SERVICES];
    bool has_epoch[PM_SERVICES];
    uint32_t epoch[PM_SERVICES];
    bool probing;
    rmr_time probe_until;

    uint32_t out;
    pm_stage stage;
    rmr_time until; /* of the stage */
    uint8_t nonce[NONCE_LEN];
    bool has_pmp_addr, has_pmp_map;
    rmr_addr pmp_addr;
    uint16_t pmp_port;
    uint32_t pmp_life;

    pm_mapping map;  /* kind NONE: none */
    pm_mapping gone; /* to be taken back */
    pm_upnp *u; /* NULL until a router answered by SSDP */

    pm_stream stream;
    bool wants_close;
    rmr_h1 *h1;
};

/* ---- portmap.c ---- */
bool rmri_pm_is_fresh(const rmr_portmap *pm, int service);
void rmri_pm_see(rmr_portmap *pm, int service);
void rmri_pm_epoch(rmr_portmap *pm, int service, uint32_t epoch);
bool rmri_pm_is_public(const rmr_addr *a);
void rmri_pm_made(rmr_portmap *pm, rmr_portmap_kind kind, rmr_addr ext,
                  uint32_t life_s);
/* The stage found nothing: the next way is tried. */
void rmri_pm_next_way(rmr_portmap *pm);

/* ---- portmap_pmp.c: NAT-PMP and PCP ---- */
rmr_err rmri_pm_build(const rmr_portmap *pm, uint32_t what, rmr_buf dst,
                      size_t *len);
rmr_err rmri_pm_read(rmr_portmap *pm, rmr_bytes datagram);

/* ---- portmap_upnp.c ---- */
rmr_err rmri_pm_ssdp_build(uint32_t what, rmr_buf dst, size_t *len);
rmr_err rmri_pm_ssdp_read(rmr_portmap *pm, rmr_bytes datagram);
/* Begins an exchange of this stage. */
void rmri_pm_http(rmr_portmap *pm, pm_stage stage, rmr_dur budget);
void rmri_pm_http_end(rmr_portmap *pm);
void rmri_pm_upnp_begin(rmr_portmap *pm);

#endif
