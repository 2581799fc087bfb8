/* The coordination server's parts and what they know of each other.  One file
 * a subject:
 *   crd.c           life, the machine's four calls
 *   crd_config.c    the configuration, copied and checked; the Noise key
 *   crd_listen.c    listeners
 *   crd_conn.c      a connection: its stages, its end
 *   crd_fair.c      places that strangers share
 *   crd_stream.c    its bytes, with and without TLS
 *   crd_http.c      requests of HTTP/1.1
 *   crd_proxy.c     who asks, behind proxies
 *   crd_api*.c      the REST API (crd_api.h)
 *   crd_metrics.c   figures for Prometheus
 *   crd_noise.c     the handshake, records, HTTP/2
 *   crd_rpc.c       requests inside Noise
 *   crd_request.c   ... their JSON
 *   crd_register.c  /machine/register
 *   crd_login.c     logins that wait for approval
 *   crd_map.c       /machine/map: streams and updates
 *   crd_frame.c     one frame of a map stream
 *   crd_alike.c     ... that others get too
 *   crd_pace.c      when it may go
 *   crd_json.c      a node, its user, its filter as JSON
 *   crd_dns.c       the DNS configuration, likewise
 *   crd_zstd.c      frames of zstd
 *   crd_users.c     users
 *   crd_keys.c      pre-auth keys
 *   crd_nodes.c     nodes: the table and its indexes
 *   crd_nodes_admin.c  what the program does with them
 *   crd_change.c    what a change of a node means to the streams
 *   crd_sight.c     what a stream's client may see, when a frame is made
 *   crd_names.c     DNS labels
 *   crd_addrs.c     addresses
 *   crd_routes.c    routes that nodes offer and may serve
 *   crd_store.c     what the store has not got yet, and its commits
 *   crd_load.c      what it has, at the start
 *   crd_policy.c    the policy: its text, and the table that it is asked for
 */
#ifndef REMORA_COORD_INTERNAL_H
#define REMORA_COORD_INTERNAL_H

#include <remora/coord.h>
#include <remora/coord_store.h>
#include <remora/h2_srv.h>
#include <remora/hash.h>
#include <remora/http1.h>
#include <remora/json.h>
#include <remora/machine.h>
#include <remora/noise.h>
#include <remora/ring.h>
#include <remora/text.h>
#include <remora/timer.h>
#include <remora/tls_srv.h>
#include <remora/ts2021.h>
#include <remora/websocket.h>

#define CRD_LAYER "coord"
#define CRD_MAX_ADDRS 8
#define CRD_CREDIT ((size_t)32 * 1024) /* read ahead of a connection */
#define CRD_OUT_MAX ((size_t)64 * 1024) /* answers of HTTP/1.1 that wait */
#define CRD_HTTP_TIMEOUT (30 * RMR_SEC)
#define CRD_IDLE_TIMEOUT (120 * RMR_SEC) /* inside Noise, without a request */
#define CRD_FINISH_TIMEOUT (2 * RMR_SEC)
#define CRD_LOGIN_LIFE (15 * 60 * RMR_SEC)
#define CRD_MIN_VERSION 113
#define CRD_VERSION 138
#define CRD_MAX_HOSTNAME 255
#define CRD_MAX_SERVICES 16
#define CRD_TAGGED_USER 2147455555u /* what tagged nodes' User says */

typedef struct crd_conn crd_conn;
typedef struct crd_rpc crd_rpc;
typedef struct crd_stream crd_stream;
typedef struct crd_node crd_node;
typedef struct crd_login crd_login;
typedef struct crd_call crd_call;   /* crd_api.h */
typedef struct crd_reply crd_reply; /* likewise  */
typedef struct crd_api crd_api;     /* likewise  */

/* ---- what is stored ------------------------------------------------------ */

typedef struct crd_link { /* of a ring; NULL: of none */
    struct crd_link *prev, *next;
} crd_link;

typedef enum crd_row_state {
    CRD_CLEAN, /* the store has it */
    CRD_LAZY,  /* ... but for what has time */
    CRD_DIRTY  /* it must have it before anybody hears of it */
} crd_row_state;

/* In front of each object that is stored.  What was removed stays, without its
 * parts, until the store has forgotten it, so that a removal needs no memory. */
typedef struct crd_row {
    crd_link link; /* of store.dirty or store.lazy */
    uint64_t id;
    uint32_t size; /* of the object */
    uint8_t kind, state;
    bool gone;
} crd_row;

/* Another state of it is to be stored. */
void rmri_crd_mark(rmr_coord *c, crd_row *o, crd_row_state how);
/* The end of an object whose parts were freed; its memory goes, now or later. */
void rmri_crd_forget(rmr_coord *c, crd_row *o);
/* OK, or IO: the store fails, so that nothing may change now. */
rmr_err rmri_crd_may_change(const rmr_coord *c);
/* With as many of those that have time.  Errors: the store's. */
rmr_err rmri_crd_store_commit(rmr_coord *c, size_t n_lazy);
rmr_time rmri_crd_store_deadline(const rmr_coord *c);
void rmri_crd_store_handle_deadline(rmr_coord *c, rmr_time now);
/* Is there something that nobody may hear of yet? */
bool rmri_crd_store_holds(const rmr_coord *c);
/* The answer to that registration waits for the next commit. */
void rmri_crd_hold(crd_rpc *r, const crd_node *n);
/* That it joined is told behind it. */
void rmri_crd_news(rmr_coord *c, crd_node *n);
/* Errors: INVAL. */
rmr_err rmri_crd_store_init(rmr_coord *c, const rmr_coord_store *table);
void rmri_crd_store_free(rmr_coord *c);
rmr_err rmri_crd_load(rmr_coord *c);
static inline void rmri_crd_unlink(crd_link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

/* ---- places that strangers share ------------------------------------------ */

#define CRD_SHARES 1024

typedef struct crd_place { /* in what takes one */
    crd_link link;
    uint16_t share;
} crd_place;

typedef struct crd_share {
    crd_link ring; /* of crd_place, the oldest first */
    uint32_t n;
} crd_share;

typedef struct crd_fair {
    rmr_hash_key key;
    crd_share of[CRD_SHARES]; /* of addresses, by a keyed hash */
    size_t all;
} crd_fair;

/* Errors: RNG. */
rmr_err rmri_crd_fair_init(crd_fair *f, const rmr_rng *rng);
/* Twice is once. */
void rmri_crd_fair_enter(crd_fair *f, crd_place *p, const rmr_addr *from);
void rmri_crd_fair_leave(crd_fair *f, crd_place *p);
/* It is the youngest again. */
void rmri_crd_fair_renew(crd_fair *f, crd_place *p);
size_t rmri_crd_fair_count(const crd_fair *f, const rmr_addr *from);
const crd_share *rmri_crd_fair_fullest(const crd_fair *f);

/* ---- text that is kept --------------------------------------------------- */

/* A copy with a NUL behind it; NULL: no memory. */
char *rmri_crd_text(rmr_coord *c, rmr_bytes text);
void rmri_crd_text_free(rmr_coord *c, char *text);

/* An array with room for one more behind its n: the same, or a longer one in its
 * place.  NULL: no memory, and it is as it was. */
void *rmri_crd_room(rmr_coord *c, void *array, size_t n, size_t *cap,
                    size_t size);

typedef struct crd_buf { /* bytes in one piece, a queue */
    uint8_t *p;
    size_t off, len, cap; /* len: with what was consumed */
} crd_buf;

/* Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_buf_add(rmr_coord *c, crd_buf *b, rmr_bytes data);
/* Frees the memory when all was consumed. */
void rmri_crd_buf_consume(rmr_coord *c, crd_buf *b, size_t n);
void rmri_crd_buf_free(rmr_coord *c, crd_buf *b);
static inline rmr_bytes rmri_crd_buf_rest(const crd_buf *b)
{
    return b->p ? rmr_bytes_of(b->p + b->off, b->len - b->off)
                : rmr_bytes_of(NULL, 0);
}

typedef struct crd_list { /* of texts */
    char **p;
    size_t n;
} crd_list;

rmr_err rmri_crd_list_set(rmr_coord *c, crd_list *l, const char *const *p,
                          size_t n);
void rmri_crd_list_free(rmr_coord *c, crd_list *l);

/* ---- users, keys --------------------------------------------------------- */

typedef struct crd_user {
    crd_row row;
    uint64_t id;
    char *name;
    char *display, *email, *picture; /* NULL: not said */
    uint64_t created;
    size_t n_nodes;
    uint64_t shown; /* in that frame */
} crd_user;

typedef struct crd_key {
    crd_row row;
    uint64_t id, user;
    uint8_t hash[RMR_HASH_LEN]; /* of the text */
    char prefix[13];
    bool reusable, ephemeral, used;
    uint64_t expiry, created;
    crd_list tags;
} crd_key;

crd_user *rmri_crd_user(const rmr_coord *c, uint64_t id);
crd_user *rmri_crd_user_named(const rmr_coord *c, const char *name);
void rmri_crd_users_free(rmr_coord *c);
/* What people are shown; NULL: as it was.  Errors: INVAL, NOMEM. */
rmr_err rmri_crd_user_texts(rmr_coord *c, crd_user *u, const char *display,
                            const char *email, const char *picture);
void rmri_crd_user_row(const crd_user *u, rmr_coord_row *row);
rmr_err rmri_crd_user_load(rmr_coord *c, const rmr_coord_row *row);
/* Errors: RNG. */
rmr_err rmri_crd_keys_init(rmr_coord *c);
/* NULL: no such key.  In a time that does not tell how near a guess came. */
crd_key *rmri_crd_key_of(const rmr_coord *c, rmr_bytes text);
const crd_key *rmri_crd_key(const rmr_coord *c, uint64_t id);
void rmri_crd_keys_free(rmr_coord *c);
void rmri_crd_key_row(const crd_key *k, rmr_coord_row *row);
rmr_err rmri_crd_key_load(rmr_coord *c, const rmr_coord_row *row);
void rmri_crd_keys_of_user_remove(rmr_coord *c, uint64_t user);
bool rmri_crd_is_tag(rmr_bytes text);

void rmri_crd_api_key_row(const void *key, rmr_coord_row *row);
rmr_err rmri_crd_api_key_load(rmr_coord *c, const rmr_coord_row *row);
uint64_t rmri_crd_api_key_last(const rmr_coord *c); /* id; 0: none */

/* ---- the policy ---------------------------------------------------------- */

typedef struct crd_policy {
    crd_row row;
    char *text; /* NULL: there is none, so that `open` decides */
    uint64_t updated;
    rmr_coord_policy_mode mode;
    rmr_pol_net *net; /* users, nodes, and what is in force */
} crd_policy;

/* Errors: MALFORMED (the text; the log says why), TOOBIG, NOMEM. */
rmr_err rmri_crd_policy_new(rmr_coord *c, rmr_bytes text);
void rmri_crd_policy_free(rmr_coord *c);
void rmri_crd_policy_row(const crd_policy *p, rmr_coord_row *row);
rmr_err rmri_crd_policy_load(rmr_coord *c, const rmr_coord_row *row);
/* All is there: what its tests say of it goes to the log. */
void rmri_crd_policy_loaded(rmr_coord *c);
/* The table of the policy is to have a user by that name and address, or a node
 * as it is.  Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_policy_user(rmr_coord *c, const crd_user *u, const char *name,
                             const char *email);
rmr_err rmri_crd_policy_node(rmr_coord *c, crd_node *n);
void rmri_crd_policy_user_gone(rmr_coord *c, const crd_user *u);
/* Those of the tags that `user` may not take for a node of its own (NULL: that
 * no policy has), as "[tag:a tag:b]"; false: there are none. */
bool rmri_crd_policy_refuses(const rmr_coord *c, const crd_user *user,
                             const char *const *tags, size_t n, char *dst,
                             size_t cap);
bool rmri_crd_policy_in_database(const rmr_coord *c);

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
    rmr_addr client; /* who registered it */
    crd_stream *streams;
    uint32_t walk; /* the last one that found it */
    crd_node *twin; /* the next tagged one of its machine, by rising id */
    rmr_timer presence; /* offline at last; then, if ephemeral, gone */
    rmr_timer expires;
};

enum { CRD_TIMER_PRESENCE = 100, CRD_TIMER_EXPIRY, CRD_TIMER_KEEPALIVE,
       CRD_TIMER_LOGIN, CRD_TIMER_STAGE };

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
/* When a key ends that begins now: as its client wants (0: it does not say), but
 * no later than this server lets it. */
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

/* ---- who sees whom, changes ---------------------------------------------- */

typedef struct crd_set { /* of slots */
    uint64_t *words;
    size_t n_words;
} crd_set;

/* Errors: NOMEM. */
rmr_err rmri_crd_set_add(rmr_coord *c, crd_set *s, uint32_t slot);
static inline bool rmri_crd_set_has(const crd_set *s, uint32_t slot)
{
    return slot / 64 < s->n_words && (s->words[slot / 64] >> slot % 64 & 1);
}
static inline void rmri_crd_set_del(crd_set *s, uint32_t slot)
{
    if (slot / 64 < s->n_words)
        s->words[slot / 64] &= ~((uint64_t)1 << slot % 64);
}
void rmri_crd_set_free(rmr_coord *c, crd_set *s);
/* Is there a slot that both have? */
bool rmri_crd_sets_meet(const crd_set *a, const crd_set *b);
bool rmri_crd_set_is_empty(const crd_set *s);

typedef enum crd_what {
    CRD_PATCH, /* endpoints, home, online, keys: what a patch can say */
    CRD_WHOLE  /* anything else of the node                           */
} crd_what;
/* A node changed, in nothing that a policy asks for: its peers are told. */
void rmri_crd_changed(rmr_coord *c, crd_node *n, crd_what what);
/* A node is new, or has other tags or routes: the policy learns of it, and who
 * sees it now or saw it.  Errors: NOMEM; nobody heard of it then. */
rmr_err rmri_crd_moved(rmr_coord *c, crd_node *n);
/* It is about to go. */
void rmri_crd_leaves(rmr_coord *c, crd_node *n);
/* What that node may see may be another, or what all may: each stream finds out
 * when its next frame is made. */
void rmri_crd_look(const crd_node *n);
void rmri_crd_look_all(rmr_coord *c);

/* What a frame of this stream is to say of the policy, before it is made: the
 * marks of `look` and `rules` become others.  Errors: NOMEM. */
rmr_err rmri_crd_sight(crd_stream *s);
/* Behind it; routes: those of peers that the client has may be others now. */
void rmri_crd_sight_done(crd_stream *s, bool routes);
/* Peers that are lost or said, on a stream whose frame is made.  Errors:
 * NOMEM. */
rmr_err rmri_crd_lose(crd_stream *s, const crd_node *n);
rmr_err rmri_crd_say(crd_stream *s, const crd_node *n, crd_what what);

/* ---- connections --------------------------------------------------------- */

typedef enum crd_role {
    CRD_MAIN,    /* all but metrics                          */
    CRD_SOCKET,  /* the API alone, for whoever can open it   */
    CRD_METRICS  /* /metrics alone                           */
} crd_role;

typedef struct crd_listener {
    rmr_coord *c;
    crd_role role;
    const char *name; /* of a local endpoint, or NULL */
    rmr_mc_io *io;
    rmr_addr at;
    rmr_time resume_at; /* it rests: no descriptors were left */
    bool open;
} crd_listener;

rmr_err rmri_crd_listen_start(rmr_coord *c);
void rmri_crd_listen_stop(rmr_coord *c);
rmr_time rmri_crd_listen_deadline(const rmr_coord *c);
void rmri_crd_listen_handle_deadline(rmr_coord *c, rmr_time now);

typedef enum crd_stage { CRD_HTTP, CRD_NOISE, CRD_DEAD } crd_stage;

struct crd_conn {
    rmr_coord *c;
    crd_conn *prev, *next;
    rmr_mc_io *io;
    rmr_tls *tls;
    rmr_tls_pool *tls_pool; /* its record buffers, while they are in use */
    rmr_h1 *h1;
    rmr_ws *ws; /* Noise in WebSocket frames */
    rmr_h2s *h2;
    rmr_ts_record *record;
    rmr_addr remote;
    rmr_addr client; /* of the request on hand: remote, or whom a proxy names */
    rmr_timer timer;
    rmr_ring out;   /* of HTTP/1.1 */
    rmr_ring early; /* what goes before the records */
    crd_rpc *rpcs;
    crd_place place; /* among strangers, while it has no map stream */
    uint32_t n_streams; /* of maps */
    crd_stage stage;
    uint8_t machine[RMR_KEY_LEN];
    uint16_t version;
    bool finishing, tls_shut;
    crd_call *call;   /* the request on hand, of the API */
    crd_reply *reply; /* what is too long for one piece  */
    crd_role role;
    bool is_head, last_answer; /* of the request on hand */
    bool is_old;               /* ... it is HTTP/1.0 */
    bool answered;             /* ... by a head at least */
    bool choked; /* an answer found no room: the connection ends */
    bool refused; /* its handshake: it ends behind the words for that */
    bool upgrade;
};

void rmri_crd_conn_accept(crd_listener *l, rmr_time now, uint64_t child,
                          const rmr_addr *remote);
void rmri_crd_conn_end(crd_conn *n, rmr_time now);
void rmri_crd_conn_finish(crd_conn *n, rmr_time now);
void rmri_crd_conn_settle(crd_conn *n, rmr_time now);
/* A request of it came to its end: it is no idler. */
void rmri_crd_conn_got_on(crd_conn *n);
/* Ends some that have not shown whose they are, for others' sake; false: there
 * were none. */
bool rmri_crd_conns_thin_out(rmr_coord *c, rmr_time now);
void rmri_crd_conns_reap(rmr_coord *c);
void rmri_crd_conns_free(rmr_coord *c);
static inline bool rmri_crd_conn_reads(const crd_conn *n)
{
    return n->stage != CRD_DEAD && !n->finishing;
}

extern const rmr_mc_io_ops rmri_crd_stream_ops;

/* Sets n->client. */
void rmri_crd_client(crd_conn *n, const rmr_h1_head *head);
/* Errors: INVAL (everybody is trusted), NOMEM. */
rmr_err rmri_crd_proxies_take(rmr_coord *c, const rmr_coord_config *cfg);
void rmri_crd_proxies_free(rmr_coord *c);

/* Takes bytes of requests; *used of them.  An error: the connection ends. */
rmr_err rmri_crd_http_read(crd_conn *n, rmr_time now, rmr_bytes data,
                           size_t *used);
/* The head of an answer, and its body; a NULL body: it is not of one piece. */
void rmri_crd_answer(crd_conn *n, uint16_t status, const char *type,
                     const rmr_bytes *body);
/* The initiation, as it came; queues the answer.  An error: it ends, behind
 * what was queued. */
rmr_err rmri_crd_noise_hello(crd_conn *n, rmr_bytes initiation);
rmr_err rmri_crd_noise_read(crd_conn *n, rmr_time now, rmr_buf data,
                            size_t *used);
size_t rmri_crd_noise_write(crd_conn *n, rmr_time now, rmr_buf dst);
void rmri_crd_noise_free(crd_conn *n);

/* ---- requests inside Noise ----------------------------------------------- */

typedef enum crd_rpc_kind {
    CRD_RPC_OTHER, /* answered from its head */
    CRD_RPC_REGISTER,
    CRD_RPC_MAP
} crd_rpc_kind;

/* What requests say; what lists lack memory for makes the request fail. */
typedef struct crd_request {
    uint16_t version;
    uint8_t key[RMR_KEY_LEN], old_key[RMR_KEY_LEN], disco[RMR_KEY_LEN];
    uint64_t expiry; /* unix ns, 0: none; 1: in the past before 1970's end */
    char auth_key[128], followup[512];
    char hostname[CRD_MAX_HOSTNAME + 1], os[32];
    rmr_prefix routes[RMR_COORD_MAX_ROUTES];
    size_t n_routes;
    char tags[RMR_COORD_MAX_TAGS][64];
    size_t n_tags;
    crd_service services[CRD_MAX_SERVICES];
    size_t n_services;
    rmr_addr endpoints[RMR_COORD_MAX_ENDPOINTS];
    size_t n_endpoints;
    uint16_t home_derp;
    bool has_expiry, ephemeral, stream, read_only, zstd;
    bool has_hostinfo, has_endpoints, has_net_info, bad_key;
} crd_request;

typedef struct crd_reader { /* a request's JSON while it comes */
    rmr_json_bind bind;
    crd_request q;
    uint8_t scratch[4096];
} crd_reader;

void rmri_crd_reader_init(crd_reader *r);
rmr_err rmri_crd_reader_feed(crd_reader *r, rmr_bytes data);
rmr_err rmri_crd_reader_end(crd_reader *r);

struct crd_rpc {
    crd_conn *conn;
    crd_rpc *prev, *next; /* of the connection */
    int32_t id;
    crd_rpc_kind kind;
    crd_reader *reader;  /* until the request is whole */
    rmr_err bad;         /* of its JSON */
    crd_stream *stream;  /* an open map stream */
    crd_login *login;    /* waits for it */
    crd_rpc *login_next;
    crd_link held;       /* its answer waits for a commit */
    uint64_t held_node;  /* who registered; 0: it logged out */
    crd_buf body;        /* of the response */
    bool streams;        /* body is not all: more will come */
};

extern const rmr_h2s_callbacks rmri_crd_rpc_callbacks;
/* Answers; the body is copied. */
void rmri_crd_rpc_answer(crd_rpc *r, uint16_t status, const char *type,
                         rmr_bytes body);
void rmri_crd_rpc_text(crd_rpc *r, uint16_t status, const char *text);

void rmri_crd_register(crd_rpc *r, rmr_time now, const crd_request *q);
/* What registered nodes are told. */
void rmri_crd_register_done(crd_rpc *r, const crd_node *n);
void rmri_crd_register_error(crd_rpc *r, const char *text);
/* An answer that was held. */
void rmri_crd_register_held(crd_rpc *r, rmr_err err);
void rmri_crd_joined(rmr_coord *c, crd_node *n);
/* Now: it was stored, or there is no store. */
void rmri_crd_joined_now(rmr_coord *c, const crd_node *n);
/* Takes what a request says of the host over to the node. */
rmr_err rmri_crd_host_info(rmr_coord *c, crd_node *n, const crd_request *q,
                           crd_what *what);

/* ---- logins -------------------------------------------------------------- */

struct crd_login {
    crd_place place;
    rmr_time began;
    crd_login *prev, *next;
    char id[RMR_COORD_LOGIN_TEXT];
    uint8_t machine[RMR_KEY_LEN], key[RMR_KEY_LEN];
    char hostname[CRD_MAX_HOSTNAME + 1];
    rmr_addr client;
    crd_list tags; /* that it asks for */
    bool ephemeral;
    uint64_t expiry;
    rmr_timer timer;
    crd_rpc *waiting;
};

/* A new one, or the one of that connection's machine and the request's key.
 * Errors: FULL, NOMEM, RNG. */
rmr_err rmri_crd_login_new(const crd_conn *from, rmr_time now,
                           const crd_request *q, crd_login **out);
crd_login *rmri_crd_login_find(const rmr_coord *c, rmr_bytes id);
void rmri_crd_login_wait(crd_login *l, crd_rpc *r);
void rmri_crd_login_leave(crd_rpc *r);
void rmri_crd_login_end(rmr_coord *c, crd_login *l, const char *why);
void rmri_crd_logins_free(rmr_coord *c);

/* ---- map streams --------------------------------------------------------- */

struct crd_stream {
    crd_rpc *rpc;
    crd_node *node;
    crd_stream *prev, *next;           /* all */
    crd_stream *node_prev, *node_next; /* of the node */
    crd_set told;  /* peers that the client knows */
    crd_set dirty; /* ... of which something is to be said */
    crd_set whole; /* ... all of it */
    uint64_t *gone; /* ids of peers that left */
    size_t n_gone, cap_gone;
    rmr_timer keepalive; /* paced: when the next frame may go */
    rmr_time paid;       /* up to here time made up for frames */
    uint32_t ahead;      /* frames that it did not make up for yet */
    uint8_t chance;      /* spreads the keep-alives */
    bool zstd, began;
    bool waits; /* its frame was held for a commit */
    bool paced; /* ... until its time has come */
    crd_link parked; /* it waits for another turn */
    bool self;  /* the node itself is to be sent */
    bool map;   /* so is the DERP map */
    bool rules; /* its filter, SSH policy, attributes may be others */
    bool look;  /* ... and its peers, and their routes */
    bool any;   /* something of all that */
    bool has_filter, has_ssh; /* in c->rules, for the frame that is made */
    uint64_t filter, ssh, attrs, routes; /* hashes of what the client has */
    bool broken; /* there was no memory: it ends */
};

void rmri_crd_map(crd_rpc *r, rmr_time now, const crd_request *q);
void rmri_crd_stream_close(crd_stream *s);
/* ... and its client is told. */
void rmri_crd_stream_end(crd_stream *s);
void rmri_crd_stream_stir(crd_stream *s);
/* A frame was made. */
void rmri_crd_stream_keepalive(crd_stream *s, rmr_time now);
/* None was made for so long. */
void rmri_crd_stream_silent(crd_stream *s, rmr_time now);
/* Makes the next frame into the response's body, if something is to be said. */
void rmri_crd_frame(crd_stream *s, rmr_time now);

typedef struct crd_alike { /* the last frame that others may get too */
    crd_buf frame;
    crd_buf of;  /* what made it as it is */
    crd_buf due; /* ... will make the one that is on hand */
    bool is_due; /* that one may be kept */
    size_t max;  /* bytes of a frame that is kept; 0: none is */
} crd_alike;

void rmri_crd_alike_init(rmr_coord *c);
void rmri_crd_alike_free(rmr_coord *c);
/* The frame that this stream is to get, if it was the last one; else the one
 * that is made now may be kept. */
bool rmri_crd_alike_find(const crd_stream *s, rmr_bytes *frame);
void rmri_crd_alike_keep(rmr_coord *c, rmr_bytes frame);

typedef struct crd_pace {
    rmr_time turn; /* in which so much was made */
    size_t made;   /* bytes of frames, before zstd */
    crd_link parked; /* streams that wait for the next one */
    rmr_time due;
} crd_pace;

void rmri_crd_pace_init(crd_pace *p);
/* May a frame go now?  Otherwise the stream is stirred when it may. */
bool rmri_crd_pace_may_go(crd_stream *s, rmr_time now);
void rmri_crd_pace_made(rmr_coord *c, size_t n);
void rmri_crd_pace_handle_deadline(rmr_coord *c, rmr_time now);

/* Bytes of one frame: JSON by pieces, compressed where that was asked for.
 * The length in front is known at the end. */
typedef struct crd_out {
    rmr_coord *c;
    crd_buf *to;
    size_t start;
    bool zstd;
    rmr_err err;
    rmr_jw w; /* over c->scratch */
} crd_out;

void rmri_crd_out_begin(crd_out *o, rmr_coord *c, crd_buf *to, bool zstd);
/* A value that stands elsewhere, of any size. */
void rmri_crd_out_raw(crd_out *o, rmr_bytes json);
/* Room for one more element; what stands in the scratch goes on. */
void rmri_crd_out_flush(crd_out *o);
rmr_err rmri_crd_out_end(crd_out *o);
/* Errors: NOMEM; nothing is added then. */
rmr_err rmri_crd_put_keepalive(rmr_coord *c, crd_buf *to, bool zstd);

typedef struct crd_zstd crd_zstd;
rmr_err rmri_crd_zstd_new(crd_zstd **out, const rmr_alloc *a);
void rmri_crd_zstd_free(crd_zstd *z);
void rmri_crd_zstd_begin(crd_zstd *z);
rmr_err rmri_crd_zstd_feed(crd_zstd *z, rmr_bytes in, bool last, rmr_coord *c,
                           crd_buf *to);

/* ---- JSON ---------------------------------------------------------------- */

/* `n` as `viewer` sees it; as itself where they are one. */
void rmri_crd_put_node(rmr_jw *w, const rmr_coord *c, const crd_node *viewer,
                       const crd_node *n);
void rmri_crd_put_patch(rmr_jw *w, const crd_node *n);
void rmri_crd_put_profile(rmr_jw *w, const crd_node *n);
/* The user whose node it is said to be. */
uint64_t rmri_crd_user_shown(const crd_node *n);

/* ---- the server ---------------------------------------------------------- */

typedef enum crd_phase {
    CRD_PHASE_NEW,
    CRD_PHASE_KEY,
    CRD_PHASE_UP,
    CRD_PHASE_STOPPING,
    CRD_PHASE_STOPPED
} crd_phase;

#define CRD_SCRATCH ((size_t)64 * 1024) /* one JSON element at the most */

typedef struct crd_store {
    rmr_coord_store table; /* load NULL: there is none */
    crd_link dirty, lazy;  /* rings of crd_row */
    crd_link held, news;   /* of crd_rpc, of crd_node */
    rmr_time commit_at, lazy_at;
    rmr_coord_row_counters counters; /* that are stored */
    rmr_err err; /* of the last commit */
} crd_store;

typedef struct crd_rules { /* of the node whose frame is made, as JSON */
    uint8_t *p;
    size_t cap;
    rmr_bytes filter, ssh; /* in it */
} crd_rules;

struct rmr_coord {
    rmr_env env;
    rmr_coord_callbacks cb;
    uint32_t in_callback;
    crd_phase phase;
    rmr_time now;
    rmr_time stop_deadline;
    rmr_err stop_err;
    rmr_time warn_at; /* a warning that strangers can cause is given again */
    bool dirty, ready_told;

    /* configuration, copied */
    uint8_t private_key[RMR_KEY_LEN], public_key[RMR_KEY_LEN];
    bool has_private_key, open;
    char *server_url, *base_domain, *domain; /* domain: the URL's host */
    rmr_prefix v4, v6;
    char *derp_map, *dns; /* JSON */
    rmr_dur node_expiry, ephemeral_timeout, offline_grace;
    uint32_t max_nodes, max_connections, max_logins;
    crd_listener listeners[CRD_MAX_ADDRS + 2]; /* ... the socket, metrics */
    size_t n_listeners, n_open;
    char *socket_name, *version;
    rmr_prefix *proxies; /* whose word counts */
    size_t n_proxies;
    rmr_addr client; /* who registers, or waits */

    rmr_mc *mc;
    rmr_tls_identity *identity;
    rmr_h2_frame *h2_frame; /* that all connections write by */
    rmr_timers timers;
    rmr_mc_key *key; /* while it is loaded */

    crd_conn *conns, *dead;
    size_t n_conns;
    crd_fair strangers, waiters; /* connections; logins */

    crd_user **users; /* by id */
    size_t n_users, cap_users;
    crd_key **keys; /* by id */
    size_t n_keys, cap_keys;
    rmr_hash by_auth; /* keys, by the hash of their text */
    crd_node **nodes; /* by slot; NULL: free */
    size_t n_slots, cap_nodes, n_nodes;
    crd_node **by_id; /* sorted */
    rmr_hash by_key, by_machine, by_name, by_addr;
    uint64_t next_user, next_key, next_api_key, next_node;
    uint64_t last_v4, last_v6; /* host parts that were given out last */
    crd_login *logins;
    size_t n_logins;

    crd_policy policy;
    crd_set routers; /* who may serve some route */
    size_t n_routers;
    uint32_t *near; /* slots of a node's peers, with room for all */
    uint32_t walk;
    crd_rules rules;
    crd_store store;
    crd_api *api;

    crd_stream *streams;
    crd_pace pace;
    crd_alike alike;
    uint64_t changes; /* rises with each that streams may be told of */
    crd_zstd *zstd;
    uint8_t *scratch;
    uint64_t frame; /* number of the one that is made */
    uint64_t tagged_shown;
    rmr_coord_stats count;
};

static inline uint64_t rmri_crd_wall(const rmr_coord *c)
{
    return rmr_mc_wall(c->mc, c->now);
}
static inline void rmri_crd_stir(rmr_coord *c)
{
    c->dirty = true;
}
/* Arms a timer of a node, connection, ...: there is always room, see
 * rmri_crd_timers_room. */
void rmri_crd_timer_set(rmr_coord *c, rmr_timer *t, uint32_t kind, void *owner,
                        rmr_time at);
/* Room for n more armed timers.  Errors: NOMEM. */
rmr_err rmri_crd_timers_room(rmr_coord *c, uint32_t n);
/* Elsewhen by the wall clock; NEVER for 0. */
rmr_time rmri_crd_at(const rmr_coord *c, uint64_t unix_ns);

void rmri_crd_fail(rmr_coord *c, rmr_time now, rmr_err err, const char *text);
void rmri_crd_trouble(rmr_coord *c, rmr_err err, const char *text);
void rmri_crd_tell(rmr_coord *c, const rmr_coord_event *ev);
void rmri_crd_key_ready(rmr_coord *c, rmr_time now);
rmr_err rmri_crd_config_take(rmr_coord *c, const rmr_coord_config *cfg);
void rmri_crd_config_free(rmr_coord *c);
rmr_err rmri_crd_dns_take(rmr_coord *c, const rmr_coord_dns *given);
/* Errors: MALFORMED, NOMEM; the map stays then. */
rmr_err rmri_crd_derp_map_take(rmr_coord *c, rmr_bytes json);

#endif
