/* The responder's parts:
 *   md.c        life, questions, where an answer comes from
 *   md_msg.c    questions read, answers written
 *   md_name.c   names: text and wire, reverse names, 4via6
 *   md_table.c  the table's copy: zones, routes, records
 *   md_open.c   questions that resolvers are asked
 */
#ifndef RMRI_MD_INTERNAL_H
#define RMRI_MD_INTERNAL_H

#include "dns_internal.h"

#include <remora/magicdns.h>

enum {
    MD_NS = 2,
    MD_SOA = 6,
    MD_PTR = 12,
    MD_HINFO = 13,
    MD_OPT = 41,
    MD_AXFR = 252,
    MD_ANY = 255
};
enum { MD_IN = 1 };
enum { MD_SERVFAIL = 2, MD_REFUSED = 5, MD_BADVERS = 16 };

/* ---- md_msg.c --------------------------------------------------------- */

typedef struct md_ask { /* a client's question; borrows its message */
    uint16_t id, flags; /* flags: as they came */
    uint16_t type, class_;
    rmri_dns_name name;
    rmr_bytes question; /* as it came: capitals are kept */
    size_t limit;       /* of the answer */
    bool has_opt;
    uint16_t rcode; /* not NOERROR: it can't be answered, and so says */
} md_ask;

/* False: no question at all, nobody is answered. */
bool rmri_md_parse(rmr_bytes msg, bool tcp, md_ask *out);
/* An answer of at most one record (data may be empty: none); returns its
 * length.  dst has room for RMR_DNS_MAX_MSG bytes. */
size_t rmri_md_answer(const md_ask *q, uint16_t rcode, bool is_own,
                      uint16_t type, rmr_bytes data, rmr_buf dst);
/* No answer, but the sign that it was too big. */
size_t rmri_md_cut(const md_ask *q, rmr_buf dst);

/* ---- md_name.c -------------------------------------------------------- */

/* Lower case, without a final dot.  False: it is no host name. */
bool rmri_md_text(const rmri_dns_name *name, char dst[RMR_MD_NAME_MAX]);
/* "" and "." are the root. */
bool rmri_md_wire(const char *text, rmri_dns_name *out);
/* Is it this zone, or in it? */
bool rmri_md_in(const rmri_dns_name *name, const rmri_dns_name *zone);
/* in-addr.arpa and ip6.arpa. */
bool rmri_md_reverse(const rmri_dns_name *name, rmr_addr *out);
/* <a-b-c-d>-via-<site> in the zone. */
bool rmri_md_via(const rmri_dns_name *name, const rmri_dns_name *zone,
                 rmr_addr *out);
/* Takes the first label off; false: it was the root. */
bool rmri_md_parent(rmri_dns_name *name);

/* ---- md_table.c ------------------------------------------------------- */

typedef struct md_route {
    rmri_dns_name zone;
    rmr_addr *resolvers;
    uint8_t n;
    bool is_own;
} md_route;

typedef struct md_record {
    rmri_dns_name name;
    rmr_addr addr;
} md_record;

typedef struct md_list { /* of resolvers; n at most RMR_MD_MAX_RESOLVERS */
    const rmr_addr *at;
    size_t n;
} md_list;

typedef struct md_table { /* records and routes: the place of what was given */
    bool proxied;
    char *suffix; /* kept (remora/text.h); NULL: unknown */
    md_record *records;
    size_t n_records, cap_records;
    md_route *routes;
    size_t n_routes, cap_routes;
    rmr_addr *resolvers, *system, *http;
    size_t n_resolvers, n_system, n_http;
} md_table;

rmr_err rmri_md_table_copy(const rmr_alloc *a, const rmr_md_table *from,
                           md_table *out);
void rmri_md_table_wipe(const rmr_alloc *a, md_table *t);
/* In wire form; len 0: unknown. */
rmri_dns_name rmri_md_suffix(const md_table *t);
bool rmri_md_is_own_zone(const md_table *t, const rmri_dns_name *name);
/* Whom to ask for a name that is not ours. */
rmr_md_place rmri_md_resolvers(const md_table *t, const rmri_dns_name *name,
                               md_list *out);

/* ---- md_open.c -------------------------------------------------------- */

typedef struct md_open md_open;

struct rmr_md {
    rmr_env env;
    rmr_md_callbacks cb;
    rmr_time now;
    bool in_callback;
    bool no_streams; /* the host has no room */
    md_table table;
    md_open *head; /* in the order in which they came */
    size_t n_open;
    uint64_t last_id;
    rmr_md_stats stats;
};

void rmri_md_clamp(rmr_md *md, rmr_time now);
void rmri_md_tell(rmr_md *md, uint64_t client, rmr_bytes msg);
/* Asks them, in turn; false: it can't (counted). */
bool rmri_md_forward(rmr_md *md, uint64_t client, bool tcp, const md_ask *q,
                     rmr_bytes msg, const md_list *to);
void rmri_md_open_free_all(rmr_md *md);

#endif
