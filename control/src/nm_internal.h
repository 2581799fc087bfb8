/* Inside the netmap: packed peers, their indexes, and the decoder's state. */
#ifndef REMORA_CONTROL_NM_INTERNAL_H
#define REMORA_CONTROL_NM_INTERNAL_H

#include <remora/filter.h>
#include <remora/hash.h>
#include <remora/json.h>
#include <remora/netmap.h>

#include "str.h"
#include "vec.h"

/* Bounds of one node; what is above is dropped and counted. */
#define NM_MAX_ADDRS 16
#define NM_MAX_ROUTES 4096
#define NM_MAX_ENDPOINTS 64
#define NM_MAX_CAPS 128
#define NM_MAX_TAGS 64
#define NM_MAX_SERVICES 64
#define NM_CAP_VALUE_MAX 4096 /* JSON of one capability */
#define NM_MAX_CAP_BYTES 32768 /* of all of a node */
#define NM_TEXT_MAX 256 /* with NUL */

/* Bounds of the rest. */
#define NM_SCRATCH 8192 /* the longest wanted JSON scalar */
#define NM_MAX_CAP_NAMES 4096
#define NM_MAX_REGIONS 1024
#define NM_MAX_REGION_NODES 64
#define NM_MAX_RULE_BYTES ((size_t)8 << 20) /* of one list; nm_save.c */
#define NM_MAX_FILTERS 256
#define NM_MAX_HEALTH 64
#define NM_HEALTH_TEXT 512
#define NM_MAX_GROUPS 64
#define NM_MAX_GROUP_BYTES 1024 /* of all of a user */
#define NM_DNS_TEXT_MAX 1024
#define NM_MAX_DNS_BYTES ((size_t)512 << 10) /* of all texts */
#define NM_MAX_DNS_NAMES 1024                /* of each list */
#define NM_MAX_GHOST_BYTES ((size_t)16 << 10) /* nm_ghost.c */
#define NM_MAX_DNS_ROUTES 1024
#define NM_MAX_DNS_RECORDS 8192
#define NM_MAX_RESOLVERS 2048
#define NM_MAX_BOOTSTRAPS 16 /* of a resolver */

/* ---- peers ------------------------------------------------------------ */

enum { /* nm_peer.flags */
       NM_F_EXPIRED = 1 << 0,
       NM_F_AUTHORIZED = 1 << 1,
       NM_F_WIREGUARD_ONLY = 1 << 2,
       NM_F_JAILED = 1 << 3,
       NM_F_UNSIGNED = 1 << 4, /* UnsignedPeerAPIOnly */
       NM_F_OWN_ALLOWED =
           1 << 5 /* allowed_ips differ from addrs and follow them */
};

enum { /* nm_peer.touched: what happened to it in the frame `frame` */
       NM_T_LISTED = 1 << 0, /* in Peers or PeersChanged */
       NM_T_SEEN = 1 << 1,   /* by PeerSeenChange */
       NM_T_ONLINE = 1 << 2, /* by OnlineChange */
       NM_T_P_DERP = 1 << 3, /* by PeersChangedPatch: ... */
       NM_T_P_CAP = 1 << 4,
       NM_T_P_CAPMAP = 1 << 5,
       NM_T_P_ENDPOINTS = 1 << 6,
       NM_T_P_KEY = 1 << 7,
       NM_T_P_DISCO = 1 << 8,
       NM_T_P_ONLINE = 1 << 9,
       NM_T_P_SEEN = 1 << 10,
       NM_T_P_EXPIRY = 1 << 11
};

/*
 * One node in one block.  Behind the head, in this order: endpoints
 * (rmr_addr), services (rmr_nm_service), capability names (uint16_t,
 * interned), addrs, allowed_ips (with NM_F_OWN_ALLOWED alone), primary routes
 * (rmr_prefix, no alignment), and strings, each with a NUL: four of the node's,
 * its tags, and the values of each capability ("" where it has none).
 */
typedef struct nm_peer {
    uint64_t id;
    int64_t user;
    uint64_t key_expiry, last_seen, created; /* Unix ns */
    uint8_t key[RMR_KEY_LEN], disco[RMR_KEY_LEN];
    uint32_t size;  /* of the block */
    uint32_t frame; /* the last frame in which it was touched */
    uint32_t values_len, tags_len; /* bytes, with the NULs */
    uint16_t touched;
    uint16_t home_derp, cap;
    uint16_t n_allowed, n_primary;
    uint8_t n_addrs, n_endpoints, n_caps, n_tags, n_services;
    int8_t online;
    uint8_t flags;
    uint8_t stable_len, name_len, host_len, os_len;
    uint8_t unsaved; /* since rmr_nm_mark */
} nm_peer;

/* A node while it is decoded, or while it is changed. */
typedef struct nm_draft {
    nm_peer head;     /* the scalars */
    uint32_t present; /* NM_T_P_... that a patch has */
    uint16_t legacy_derp;
    bool own_allowed; /* AllowedIPs was neither absent nor null */
    bool bad;         /* its identity is malformed: drop it whole */
    rmri_ctl_vec endpoints, services, caps, addrs, allowed, primary;
    rmri_ctl_vec tags;      /* strings, each with a NUL */
    rmri_ctl_vec values;    /* the same; the first is "" */
    rmri_ctl_vec value_off; /* uint32_t into `values`, one a capability */
    uint32_t cap_slot;      /* whose values are read; UINT32_MAX: nobody's */
    rmr_nm_service service; /* that is read; proto 0: none that is known */
    char stable[NM_TEXT_MAX], name[NM_TEXT_MAX];
    char host[NM_TEXT_MAX], os[NM_TEXT_MAX];
} nm_draft;

enum { NM_BY_KEY, NM_BY_DISCO, NM_BY_IP, NM_BY_NAME, NM_INDEXES };

/* ---- the rest --------------------------------------------------------- */

/* A relay that is read; its texts are kept in one block, from `name` on. */
typedef struct nm_derp_draft {
    rmr_nm_derp_node node; /* texts: not set yet */
    char name[64], host[RMR_HOST_MAX], cert[RMR_HOST_MAX];
} nm_derp_draft;

typedef struct nm_region {
    uint16_t id;
    bool no_measure_no_home, avoid;
    double latitude, longitude;
    char code[32], name[64];
    rmri_ctl_vec nodes; /* rmr_nm_derp_node */
} nm_region;

typedef struct nm_score { /* of HomeParams.RegionScore */
    uint16_t region;
    double factor; /* above 0 */
} nm_score;

typedef struct nm_user {
    int64_t id;
    uint32_t size; /* of the block */
    uint32_t frame; /* the last in which it was told */
    uint16_t login_len, display_len, picture_len, n_groups;
    char text[]; /* login, display, picture, each group; each with a NUL */
} nm_user;

typedef struct nm_rules { /* a named packet filter */
    char name[64];
    bool drop;        /* staged: delete that name */
    rmri_ctl_vec ops, grants; /* nm_rules.c */
} nm_rules;

typedef struct nm_message { /* a health line */
    char id[64];            /* of a DisplayMessage; "": of the legacy list */
    uint32_t frame;         /* that set it */
    uint8_t severity;       /* rmr_nm_severity */
    bool impacts;
    char title[NM_TEXT_MAX], body[NM_HEALTH_TEXT];
    char text[NM_HEALTH_TEXT]; /* both as one line */
    char url[NM_HEALTH_TEXT], label[64]; /* PrimaryAction */
} nm_message;

typedef struct nm_rule_draft {
    rmri_ctl_vec src, proto, dst; /* ops of the rule that is read */
    rmri_ctl_vec grants;          /* the same, of its CapGrants */
    rmri_ctl_vec grant_dst, grant_caps; /* of the one that is read */
    uint16_t cap;     /* whose values are read */
    bool cap_open;
    char dst_ip[100];
    int64_t first, last;
    bool bad_ip;
} nm_rule_draft;

/* A value of any shape while it is read (nm_raw.c). */
typedef struct nm_raw {
    rmr_jw w;
    uint32_t depth; /* 0: nothing is open */
    bool used;      /* since the frame began */
    size_t len;
    uint8_t text[NM_CAP_VALUE_MAX];
} nm_raw;

/* ---- DNS (nm_dns.c) --------------------------------------------------- */

typedef struct nm_dns { /* one block: the arrays and texts follow */
    rmr_nm_dns_config cfg;
    size_t size;
} nm_dns;

typedef struct nm_span { /* of nm_dns_stage.resolvers */
    uint32_t first, n;
} nm_span;

/* Texts are offsets into nm_dns_stage.text. */
typedef struct nm_resolver {
    uint32_t text, first_boot, n_boots;
    uint8_t kind;
    bool has_text, with_exit;
    rmr_addr addr;
} nm_resolver;

typedef struct nm_route {
    uint32_t suffix;
    nm_span span;
} nm_route;

typedef struct nm_record {
    uint32_t name;
    rmr_addr addr;
} nm_record;

enum { NM_DNS_DOMAINS, NM_DNS_CERTS, NM_DNS_FILTERED, NM_DNS_LISTS };

typedef struct nm_dns_stage {
    rmri_ctl_vec text, resolvers, boots, routes, records;
    rmri_ctl_vec list[NM_DNS_LISTS]; /* uint32_t */
    nm_span global, fallback;
    bool proxied;
    bool open;       /* the last resolver is being read */
    uint32_t depth;  /* open arrays of resolvers */
    bool route_open; /* the last route is being read */
    bool other_type; /* the record is none for us */
    char record_name[NM_TEXT_MAX];
    rmr_addr value;
} nm_dns_stage;
typedef struct nm_ping { /* PingRequest */
    char url[1024], types[128];
    bool noise;
    char payload[6000]; /* base64; a longer one is left out */
    size_t payload_len;
    rmr_addr ip; /* family NONE: none */
} nm_ping;

typedef struct nm_plan { /* ControlDialPlan, in its order of trying */
    rmr_dial_plan d;     /* ports are 0 */
    int64_t priority[RMR_DIAL_PLAN_MAX];
} nm_plan;

/* What a frame needs only while it is read. */
typedef struct nm_read {
    rmr_json_bind json;
    size_t fed;  /* bytes of the frame, until they are NM_SCRATCH */
    bool pinged; /* `ping` was written */
    nm_draft draft, work;
    nm_plan new_plan;
    nm_rule_draft rule;
    nm_dns_stage new_dns;
    char user_login[NM_TEXT_MAX], user_display[NM_TEXT_MAX];
    char user_picture[512];
    nm_message msg; /* that is read */
    /* Not zeroed: each is before it is used. */
    nm_ping ping;
    nm_derp_draft derp;
    nm_raw raw;
    uint8_t scratch[NM_SCRATCH];
} nm_read;

struct rmr_nm {
    rmr_env env;
    rmr_alloc alloc; /* env.alloc, counted in stats.memory_bytes */
    rmr_nm_callbacks cb;
    uint32_t max_peers;
    bool busy; /* within a callback */
    rmr_nm_stats stats;

    nm_peer *self;
    nm_peer **peers; /* sorted by id */
    size_t n_peers, cap_peers;
    size_t n_unsigned; /* peers with NM_F_UNSIGNED */
    rmr_hash index[NM_INDEXES];
    /* Peers whose key in an index belongs to a peer of lower id. */
    size_t shadowed[NM_INDEXES];
    rmr_hash cap_index;
    rmri_ctl_vec cap_names; /* char *: NUL-terminated blocks */

    nm_region *regions; /* sorted by id */
    size_t n_regions;
    rmri_ctl_vec scores; /* nm_score, in the order of the server */
    nm_user **users; /* sorted by id */
    size_t n_users, cap_users;
    char *domain; /* kept (remora/text.h) */
    nm_dns *dns; /* NULL: nothing was told */
    nm_message *health;
    size_t n_health, cap_health;
    rmr_filter *filter;
    rmri_ctl_vec filters; /* nm_rules, sorted by name */
    bool filter_has_caps;
    bool filter_refused; /* not to be trusted, or no memory: blocks all */
    int64_t clock_offset; /* ControlTime - our clock, when far apart; ns */
    uint64_t control_time;
    uint64_t expired_to; /* up to here ends were told of, server time */
    bool lock_warned;

    /* the frame that is read */
    nm_read *read; /* NULL: nothing was fed that needs it, or no memory */
    bool beat;     /* a whole keep-alive was fed, and no reader made */
    bool in_frame, keepalive, full_list, had_node;
    bool stream_pending; /* the stream's first frame is still to come */
    bool first_frame;    /* the frame that ends is that one */
    rmr_err frame_err;
    uint32_t frame;         /* mark of this frame on peers, from 1 */
    uint32_t message_frame; /* and on messages */
    uint64_t now;           /* Unix ns */
    uint32_t changed;
    /* Since rmr_nm_mark: */
    bool marked;          /* it was called */
    bool unsaved_unknown; /* no memory for what is gone, or too much of it */
    uint32_t unsaved;     /* `changed` of the frames before this one */
    size_t n_unsaved;     /* peers that changed or came */
    rmri_ctl_vec gone;    /* uint64_t: ids */
    bool recompile;
    uint32_t section; /* field id of the node list that is read */
    uint64_t delta_id; /* key of a PeerSeenChange or OnlineChange member */
    bool (*on_ping)(void *user, const nm_ping *ping);
    void *on_ping_user;
    rmr_dial_plan *plan; /* NULL: none */
    rmr_dial_try plan_try; /* that is read */
    int64_t plan_priority;
    bool plan_by_ace; /* not for us */
    nm_region *new_regions; /* staged, NM_MAX_REGIONS at most */
    size_t n_new_regions, cap_new_regions;
    nm_region *region; /* that is read; NULL: none */
    nm_derp_draft *derp_node;
    uint64_t region_key, score_key;
    rmri_ctl_vec new_scores;
    rmri_ctl_vec staged; /* nm_rules */
    nm_rules *set;       /* in `staged`, that is read; NULL: none */
    bool rule_reject, clear_filters, saw_filter, saw_filters;
    bool saw_dns;
    int64_t user_id;
    rmri_ctl_vec user_groups; /* strings, each with a NUL */
    uint32_t sleep_seconds;
    rmri_ctl_vec ghosts;      /* nm_peer *: nm_ghost.c */
    size_t ghost_bytes;
    bool saw_changed; /* PeersChanged was read */
    uint8_t popped[RMR_HASH_LEN]; /* hash of the last PopBrowserURL */
    bool saw_health, lock_disabled;
    char filter_key[64];
};

/* ---- fields (nm_fields.c) --------------------------------------------- */

enum nm_field {
    F_KEEPALIVE = 1,
    F_PING,
    F_PING_URL,
    F_PING_NOISE,
    F_PING_TYPES,
    F_PING_PAYLOAD,
    F_PING_IP,
    F_PLAN, /* ControlDialPlan */
    F_PLAN_TRY,
    F_PLAN_IP,
    F_PLAN_ACE,
    F_PLAN_DELAY,
    F_PLAN_TIMEOUT,
    F_PLAN_PRIORITY,
    F_POP_BROWSER,
    F_CONTROL_TIME,
    F_LOCK,
    F_LOCK_DISABLED,
    F_DOMAIN,
    F_DEBUG,
    F_DEBUG_SLEEP,
    F_USERS,
    F_USER_ID,
    F_USER_LOGIN,
    F_USER_DISPLAY,
    F_USER_PICTURE,
    F_USER_GROUPS,
    F_HEALTH,
    F_MESSAGES,
    F_MESSAGE,
    F_MESSAGE_TITLE,
    F_MESSAGE_TEXT,
    F_MESSAGE_SEVERITY,
    F_MESSAGE_IMPACTS,
    F_MESSAGE_ACTION,
    F_MESSAGE_URL,
    F_MESSAGE_LABEL,
    /* DNSConfig */
    F_DNS = 60,
    F_DNS_PROXIED,
    F_DNS_DOMAINS,
    F_DNS_CERTS,
    F_DNS_FILTERED,
    F_DNS_RESOLVERS,
    F_DNS_FALLBACK,
    F_DNS_ROUTES,
    F_DNS_ROUTE,
    F_DNS_RECORDS,
    F_RES_ADDR,
    F_RES_BOOT,
    F_RES_EXIT,
    F_REC_NAME,
    F_REC_TYPE,
    F_REC_VALUE,
    /* node lists */
    F_NODE = 100,
    F_PEERS,
    F_CHANGED,
    F_PATCH,
    F_REMOVED,
    F_SEEN,
    F_ONLINE,
    /* members of a node or a patch */
    N_ID = 200,
    N_STABLE_ID,
    N_NAME,
    N_USER,
    N_KEY,
    N_KEY_EXPIRY,
    N_DISCO_KEY,
    N_ADDRESSES,
    N_ALLOWED_IPS,
    N_ENDPOINTS,
    N_HOME_DERP,
    N_DERP,
    N_HOSTINFO,
    N_HOSTNAME,
    N_OS,
    N_CREATED,
    N_LAST_SEEN,
    N_CAP,
    N_PRIMARY_ROUTES,
    N_ONLINE,
    N_AUTHORIZED,
    N_CAPABILITIES,
    N_CAP_MAP,
    N_CAP_NAME,
    N_CAP_VALUE,
    N_TAGS,
    N_SERVICES,
    N_SVC_PROTO,
    N_SVC_PORT,
    N_EXPIRED,
    N_WIREGUARD_ONLY,
    N_JAILED,
    N_UNSIGNED,
    N_PATCH_DERP,
    /* DERPMap */
    D_MAP = 300,
    D_REGIONS,
    D_REGION,
    D_REGION_ID,
    D_REGION_CODE,
    D_REGION_NAME,
    D_AVOID,
    D_NO_MEASURE,
    D_NODES,
    D_NODE_NAME,
    D_HOST,
    D_CERT,
    D_IPV4,
    D_IPV6,
    D_STUN_PORT,
    D_STUN_ONLY,
    D_DERP_PORT,
    D_INSECURE,
    D_STUN_TEST_IP,
    D_PORT80,
    D_LATITUDE,
    D_LONGITUDE,
    D_HOME,
    D_SCORES,
    D_SCORE,
    /* packet filters */
    R_FILTER = 400,
    R_FILTERS,
    R_NAMED,
    R_SRC_IPS,
    R_SRC_BITS,
    R_PROTO,
    R_DST,
    R_DST_IP,
    R_DST_BITS,
    R_DST_PORTS,
    R_FIRST,
    R_LAST,
    R_GRANT,
    R_GRANT_DSTS,
    R_GRANT_CAPS,
    R_GRANT_MAP,
    R_GRANT_CAP,
    R_GRANT_VALUE
};

extern const rmr_json_field *const rmri_nm_root;
extern const uint32_t rmri_nm_n_root;
rmr_err rmri_nm_nest(void *user, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_value(void *user, uint32_t id, rmr_json_kind kind,
                      rmr_bytes text);
/* A scalar that is too long is left out and counted; not in the rules, where
 * what is left out may open more than was meant. */
bool rmri_nm_may_drop(void *user, uint32_t id);

/* ---- nm.c ------------------------------------------------------------- */

/* Did the frame that is read, or was read last, have a Node?  The client
 * drops a stream whose first frame had none. */
bool rmri_nm_frame_had_node(const rmr_nm *nm);
bool rmri_nm_frame_was_keepalive(const rmr_nm *nm);
/* A text of at most cap - 1 bytes without NUL; else "" and counted. */
void rmri_nm_text(rmr_nm *nm, char *dst, size_t cap, rmr_bytes text);
void rmri_nm_drop(rmr_nm *nm);
/* Our time with the server's offset; 0: unknown or senseless. */
uint64_t rmri_nm_adjusted_now(const rmr_nm *nm);

/* ---- nm_draft.c ------------------------------------------------------- */

void rmri_nm_draft_begin(nm_draft *d);
void rmri_nm_draft_free(nm_draft *d, const rmr_alloc *a);
rmr_err rmri_nm_draft_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_draft_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                            rmr_bytes text);
/* Makes a block of a draft.  Errors: NOMEM. */
rmr_err rmri_nm_pack(rmr_nm *nm, nm_draft *d, nm_peer **out);
/* And back.  Errors: NOMEM. */
rmr_err rmri_nm_unpack(rmr_nm *nm, const nm_peer *p, nm_draft *d);
/* The interned number of a capability name. */
rmr_err rmri_nm_intern(rmr_nm *nm, rmr_bytes name, uint16_t *out);
const char *rmri_nm_cap_name(const rmr_nm *nm, uint16_t cap);
bool rmri_nm_find_cap(const rmr_nm *nm, const char *name, uint16_t *out);

/* ---- nm_raw.c ---------------------------------------------------------- */

void rmri_nm_raw_begin(nm_raw *r);
/* \return whether the value is whole now. */
bool rmri_nm_raw_nest(nm_raw *r, rmr_json_kind kind);
void rmri_nm_raw_value(nm_raw *r, rmr_json_kind kind, rmr_bytes text);
/* The array as text, and NUL behind it; empty: no values, or it failed. */
rmr_bytes rmri_nm_raw_end(nm_raw *r);
/* It was too long, or no array. */
bool rmri_nm_raw_failed(const nm_raw *r);

/* ---- nm_peer.c -------------------------------------------------------- */

/* The parts of a block. */
typedef struct nm_parts {
    const rmr_addr *endpoints;
    const rmr_nm_service *services;
    const uint16_t *caps;
    const rmr_prefix *addrs, *allowed, *primary;
    const char *stable, *name, *host, *os, *tags, *values;
} nm_parts;

void rmri_nm_parts(const nm_peer *p, nm_parts *out);
void rmri_nm_view(const rmr_nm *nm, const nm_peer *p, rmr_nm_node *out);
void rmri_nm_peer_free(rmr_nm *nm, nm_peer *p);
bool rmri_nm_peer_equal(const nm_peer *a, const nm_peer *b);
bool rmri_nm_has_cap(const nm_peer *p, uint16_t cap);
/* Index of the first peer with an id of at least `id`. */
size_t rmri_nm_lower_bound(const rmr_nm *nm, uint64_t id);
nm_peer *rmri_nm_find(const rmr_nm *nm, uint64_t id);
rmr_err rmri_nm_indexes_init(rmr_nm *nm);
/* Adds a peer of a new id; owns `p` when it succeeds.  Errors: NOMEM. */
rmr_err rmri_nm_insert(rmr_nm *nm, nm_peer *p);
/* Puts `p` in the place of the peer at `at`, which has the same id; the old
 * block is then the caller's.  Errors: NOMEM, unchanged. */
rmr_err rmri_nm_replace(rmr_nm *nm, size_t at, nm_peer *p);
/* Exchanges what the peer at `at` is with `p`, which has the same id, where no
 * index need be touched.  Most changes are such: endpoints, relay, presence.
 * \return false: it can't be done so, and nothing was. */
bool rmri_nm_swap(rmr_nm *nm, size_t at, nm_peer *p);
/* Takes the peer at `at` out of the indexes; the array is the caller's. */
void rmri_nm_unindex(rmr_nm *nm, nm_peer *p);

/* ---- nm_delta.c ------------------------------------------------------- */

rmr_err rmri_nm_commit_draft(rmr_nm *nm);
/* Errors of these three: NOMEM. */
rmr_err rmri_nm_remove(rmr_nm *nm, uint64_t id);
rmr_err rmri_nm_set_online(rmr_nm *nm, uint64_t id, bool online);
rmr_err rmri_nm_set_seen(rmr_nm *nm, uint64_t id, bool seen);
/* The fields named by `bits` (NM_T_...).  Errors: NOMEM. */
rmr_err rmri_nm_copy_fields(rmr_nm *nm, nm_draft *to, const nm_draft *from,
                            unsigned bits);
/* Removes all peers that this frame did not list. */
void rmri_nm_sweep(rmr_nm *nm);

/* ---- nm_ghost.c --------------------------------------------------------- */

/* Notes the patch in nm->draft, or one of the two maps.  Errors: NOMEM. */
rmr_err rmri_nm_ghost_patch(rmr_nm *nm);
rmr_err rmri_nm_ghost_bool(rmr_nm *nm, uint64_t id, bool seen, bool on);
/* What was noted of that id, the caller's now; NULL: nothing. */
nm_peer *rmri_nm_ghost_take(rmr_nm *nm, uint64_t id);
/* Takes `p`; frees it when nothing can want it any more, when they are too
 * many and on an error.  Errors: NOMEM. */
rmr_err rmri_nm_ghost_put(rmr_nm *nm, nm_peer *p);
void rmri_nm_ghosts_free(rmr_nm *nm);

/* ---- nm_dns.c ---------------------------------------------------------- */

rmr_err rmri_nm_dns_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_dns_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text);
rmr_err rmri_nm_dns_end(rmr_nm *nm);
void rmri_nm_dns_first_frame(rmr_nm *nm); /* not said: not so */
void rmri_nm_dns_discard(rmr_nm *nm);     /* what is staged */
void rmri_nm_dns_free(rmr_nm *nm);

/* ---- nm_derp.c -------------------------------------------------------- */

rmr_err rmri_nm_derp_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_derp_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text);
void rmri_nm_derp_discard(rmr_nm *nm); /* what is staged */
void rmri_nm_derp_free(rmr_nm *nm);

/* ---- nm_score.c ------------------------------------------------------- */

rmr_err rmri_nm_score_nest(rmr_nm *nm, rmr_json_kind kind);
rmr_err rmri_nm_score_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text);
/* 1 where the server said nothing of it. */
double rmri_nm_score_of(const rmr_nm *nm, uint16_t region);
void rmri_nm_score_free(rmr_nm *nm);

/* ---- nm_rules.c ------------------------------------------------------- */

rmr_err rmri_nm_rules_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_rules_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                            rmr_bytes text);
void rmri_nm_rules_discard(rmr_nm *nm);
void rmri_nm_rules_free(rmr_nm *nm);
void rmri_nm_rule_draft_free(rmr_nm *nm);
/* Applies what was staged, after a whole frame.  Errors: NOMEM. */
rmr_err rmri_nm_rules_apply(rmr_nm *nm);
/* Compiles all named filters; on failure the filter lets nothing in. */
rmr_err rmri_nm_rules_compile(rmr_nm *nm);

/* What a filter's bytes say, step by step. */
typedef struct nm_op {
    uint8_t op; /* OP_... */
    rmr_ip_range range;
    rmr_bytes text; /* OP_GRANT_CAP: the values, "" for none */
    uint16_t cap, first, last;
    uint8_t proto;
} nm_op;

enum nm_opcode { /* one rule is RULE src... PROTOS proto... DSTS dst... END */
                 OP_RULE = 1,
                 OP_SRC4,
                 OP_SRC6,
                 OP_SRC_ANY,
                 OP_SRC_CAP,
                 OP_PROTOS,
                 OP_PROTO,
                 OP_PROTO_NONE, /* the list had numbers, but none that can be */
                 OP_DSTS,
                 OP_DST4,
                 OP_DST6,
                 OP_DST_ANY,
                 OP_END,
                 OP_REJECT, /* in place of a rule: the list must not be trusted
                             */
                 /* A rule of grants is RULE src... GRANTS, then for each
                  * GRANT dst... GRANT_CAPS cap... GRANT_END, then END.
                  * Its destinations are written as sources are. */
                 OP_GRANTS,
                 OP_GRANT,
                 OP_GRANT_CAPS,
                 OP_GRANT_CAP,
                 OP_GRANT_END
};

/* The op at *at, which moves on; false at the end. */
bool rmri_nm_op_next(const rmri_ctl_vec *ops, size_t *at, nm_op *out);

/* ---- nm_misc.c -------------------------------------------------------- */

rmr_err rmri_nm_misc_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
rmr_err rmri_nm_misc_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text);
/* After the first frame of a stream: what it did not say is not so. */
void rmri_nm_misc_first_frame(rmr_nm *nm);
void rmri_nm_misc_free(rmr_nm *nm);
void rmri_nm_user_view(const nm_user *u, rmr_nm_user *out);

/* ---- nm_whois.c -------------------------------------------------------- */

/* The i-th of strings that stand one behind the other, each with a NUL. */
const char *rmri_nm_string_at(const char *strings, size_t i);

/* ---- nm_misc.c, for the client ------------------------------------------ */

/* nm_plan.c: addresses to reach the server at, as it told last. */
const rmr_dial_plan *rmri_nm_plan(const rmr_nm *nm);
void rmri_nm_plan_free(rmr_nm *nm);
void rmri_nm_plan_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind);
void rmri_nm_plan_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text);
/* Asked first for each PingRequest; false: on_ping_request is. */
void rmri_nm_set_ping(rmr_nm *nm,
                      bool (*fn)(void *user, const nm_ping *ping), void *user);

#endif
