/* Nodes: what is known of them, their names, addresses and routes. */
#ifndef REMORA_CRD_NODES_H
#define REMORA_CRD_NODES_H

#include "crd_users.h"
#include <remora/machine.h>
#include <remora/timer.h>

/* ---- nodes --------------------------------------------------------------- */

typedef struct crd_service {
    char proto[20];
    uint16_t port;
} crd_service;

struct crd_node {
    crd_row row;
    crd_link news; /* JOINED is to be told, when it was stored */
    uint32_t slot; /* its place in the table: stands for it in sets */
    uint64_t id;
    crd_user *user; /* NULL: tags alone */
    uint8_t machine[RMR_KEY_LEN], key[RMR_KEY_LEN], disco[RMR_KEY_LEN];
    rmr_addr v4, v6;
    char given[64];
    char *hostname, *os;
    crd_list tags;
    rmr_addr *endpoints;
    size_t n_endpoints;
    crd_service *services;
    size_t n_services;
    rmr_prefix *announced, *approved;
    size_t n_announced, n_approved;
    uint64_t key_id; /* of the pre-auth key */
    uint64_t created, last_seen, expiry;
    rmr_time busy_until; /* by what its requests cost */
    uint16_t home_derp, cap;
    bool online, ephemeral, expired;
    bool inside; /* it may serve such a network: rmri_crd_is_inside */
    rmr_addr client; /* who registered it */
    crd_stream *streams;
    uint32_t walk; /* the last one that found it */
    crd_node *twin; /* the next tagged one of its machine, by rising id */
    rmr_timer presence; /* offline at last; then, if ephemeral, gone */
    rmr_timer expires;
};

enum { CRD_TIMER_PRESENCE = 100, CRD_TIMER_EXPIRY, CRD_TIMER_KEEPALIVE,
       CRD_TIMER_LOGIN, CRD_TIMER_CHECK, CRD_TIMER_STAGE };

rmr_err rmri_crd_nodes_init(rmr_coord *c);
void rmri_crd_nodes_free(rmr_coord *c);
crd_node *rmri_crd_node(const rmr_coord *c, uint64_t id);
/* The first one with an id above that; NULL: none. */
crd_node *rmri_crd_node_behind(const rmr_coord *c, uint64_t id);
crd_node *rmri_crd_node_by_key(const rmr_coord *c,
                               const uint8_t key[RMR_KEY_LEN]);
/* Of that machine and user (NULL: a tagged one); NULL: none. */
crd_node *rmri_crd_node_of(const rmr_coord *c,
                           const uint8_t machine[RMR_KEY_LEN],
                           const crd_user *user);
crd_node *rmri_crd_node_named(const rmr_coord *c, rmr_bytes label);
/* What a registration says of a node. */
typedef struct crd_birth {
    const uint8_t *machine, *key;
    crd_user *user;
    rmr_bytes hostname;
    const char *const *tags;
    size_t n_tags;
    bool ephemeral;
    uint64_t key_id, expiry;
} crd_birth;
/* A new node, in all indexes, with addresses and a name.  Errors: INUSE (a node
 * has that key), FULL, NOMEM. */
rmr_err rmri_crd_node_add(rmr_coord *c, const crd_birth *b, crd_node **out);
/* Errors: NOMEM, INUSE (another node has that key); unchanged then. */
rmr_err rmri_crd_node_set_key(rmr_coord *c, crd_node *n,
                              const uint8_t key[RMR_KEY_LEN]);
rmr_err rmri_crd_node_set_given(rmr_coord *c, crd_node *n, rmr_bytes label);
void rmri_crd_node_remove(rmr_coord *c, crd_node *n);
void rmri_crd_node_row(const crd_node *n, rmr_coord_row *row);
rmr_err rmri_crd_node_load(rmr_coord *c, const rmr_coord_row *row);
/* The time of day is known, or another. */
void rmri_crd_nodes_wall(rmr_coord *c);
/* Its tags; none: it is its user's again, who has no other of its machine.
 * Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_node_tag(rmr_coord *c, crd_node *n, const char *const *tags,
                          size_t n_tags);
/* The tagged one of that machine that came by this user (NULL: by nobody), or
 * that has this key (NULL: any); NULL: none. */
crd_node *rmri_crd_node_tagged(const rmr_coord *c,
                               const uint8_t machine[RMR_KEY_LEN],
                               const crd_user *user,
                               const uint8_t key[RMR_KEY_LEN]);
/* When a key ends that begins now: as its client wants (0: it does not say),
 * but no later than this server lets it. */
uint64_t rmri_crd_expiry(const rmr_coord *c, uint64_t wanted);
void rmri_crd_node_set_expiry(rmr_coord *c, crd_node *n, uint64_t at);
void rmri_crd_node_timer(rmr_coord *c, crd_node *n, uint32_t kind);
/* A stream of it opened, or the last one closed. */
void rmri_crd_node_presence(rmr_coord *c, crd_node *n);
static inline bool rmri_crd_is_tagged(const crd_node *n)
{
    return n->tags.n > 0;
}

/* ---- names, addresses, routes -------------------------------------------- */

/* The label that a host name becomes; at least "node". */
void rmri_crd_label(char out[64], rmr_bytes hostname);
bool rmri_crd_is_label(rmr_bytes text);
/* The same, made unique by a suffix. */
void rmri_crd_label_unique(const rmr_coord *c, char label[64]);
/* Free addresses.  Errors: FULL. */
rmr_err rmri_crd_addrs_take(rmr_coord *c, rmr_addr *v4, rmr_addr *v6);
bool rmri_crd_is_exit(const rmr_prefix *p);
/* A network with addresses of the tailnet in it. */
bool rmri_crd_is_inside(const rmr_coord *c, const rmr_prefix *p);
/* A list of prefixes.  Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_prefixes_set(rmr_coord *c, rmr_prefix **list, size_t *n,
                              const rmr_prefix *from, size_t n_from);
/* Announced and approved. */
bool rmri_crd_may_serve(const crd_node *n, const rmr_prefix *p);
/* Does this node serve the prefix now: it may, and is the first that is
 * online? */
bool rmri_crd_serves(const rmr_coord *c, const crd_node *n,
                     const rmr_prefix *p);
/* Does `viewer` get that route of n? */
bool rmri_crd_gets(const rmr_coord *c, const crd_node *viewer,
                   const crd_node *n, const rmr_prefix *p);
/* A number for which routes `viewer` may have of n, whoever serves them now. */
uint64_t rmri_crd_routes_hash(const rmr_coord *c, const crd_node *viewer,
                              const crd_node *n);
/* What a node announces; where that is another list, what the policy approves
 * of it is approved.  Those who are concerned are told.  Errors: NOMEM;
 * unchanged then. */
rmr_err rmri_crd_announces(rmr_coord *c, crd_node *n, const rmr_prefix *routes,
                           size_t n_routes);
/* The same for what it announced already: it registers, or there is another
 * policy. */
rmr_err rmri_crd_approve(rmr_coord *c, crd_node *n);
/* Who serves the routes of n may be another now. */
void rmri_crd_routes_turn(rmr_coord *c, crd_node *n);

#endif
