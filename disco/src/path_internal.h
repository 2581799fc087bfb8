/* The state behind remora/path.h.  One peer is two objects: what it always has
 * (path_peer), and what it has while there is traffic (path_hot). */
#ifndef RMRI_PATH_INTERNAL_H
#define RMRI_PATH_INTERNAL_H

#include "disco_internal.h"

#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/path.h>
#include <remora/timer.h>

#define HEARTBEAT (3 * RMR_SEC)
#define TRUST (6500 * RMR_MS)
#define ACTIVE (45 * RMR_SEC) /* since the last send, or the last ping got */
#define UPGRADE (60 * RMR_SEC)
#define GOOD_ENOUGH (5 * RMR_MS)
#define PING_INTERVAL (5 * RMR_SEC) /* a candidate */
#define PING_TIMEOUT (5 * RMR_SEC)
#define FRESH (27 * RMR_SEC)     /* own endpoints, for a call          */
#define CALL_WAIT (6 * RMR_SEC)  /* for fresh ones: a netcheck and one */
#define IDLE (300 * RMR_SEC)     /* then an active peer becomes cold   */
#define WG_TRUST_SENT (1 * RMR_SEC)
#define WG_TRUST_HEARD (5 * RMR_SEC)
#define ECHO_GAP (10 * RMR_SEC)

#define MAX_SENT 256   /* pings of one peer that wait for a pong */
#define KEEP_SENT 32   /* ... of these not for rounds            */
#define MAX_SOURCES 8  /* receive map, a peer                    */
#define MAX_REGIONS 64 /* open DERP connections                  */

/* Punching; the reasons for the numbers are in README.md. */
#define CALL_ROW (12 * RMR_SEC) /* calls are 5 s apart; one may be lost */
#define PUNCH_AFTER (5 * RMR_SEC)   /* of traffic without a direct path */
#define PUNCH_ANSWER (5 * RMR_SEC)  /* for an offer                     */
#define PUNCH_TICK (10 * RMR_MS)
#define PUNCH_PROBES 1024           /* the easy side: one a tick        */
#define PUNCH_OPENS 4               /* the hard side: pings a tick      */
#define PUNCH_AGAIN (4 * RMR_SEC)   /* ... and all of them once more    */
#define PUNCH_RUN (16 * RMR_SEC)    /* 1,024 ticks, and for answers     */
#define PUNCH_REST (20 * RMR_SEC)   /* then three times as long ...     */
#define PUNCH_REST_MAX (960 * RMR_SEC)

typedef struct path_shared { /* of the LRU cache of box keys */
    uint8_t key[RMR_KEY_LEN];
    uint64_t id;
    struct path_dkey *owner;
    struct path_shared *newer, *older;
} path_shared;

typedef struct path_dkey { /* a disco key that peers have */
    uint8_t key[RMR_KEY_LEN];
    uint64_t id;
    struct path_peer *first; /* of the peers with this key; never NULL */
    path_shared *shared;     /* NULL: not cached                       */
} path_dkey;

typedef struct path_peer {
    uint8_t node_key[RMR_KEY_LEN];
    uint64_t id;
    path_dkey *dkey;              /* NULL: no disco               */
    struct path_peer *next_same;  /* with this disco key          */
    struct path_peer *next_dirty; /* for on_path                  */
    struct path_hot *hot;         /* NULL: cold                   */
    uint8_t *eps;                 /* of the network map, packed   */
    rmr_time punch_next;          /* not before                   */
    rmr_time life_next;           /* lifetime cycle: not before   */
    uint16_t eps_len;
    uint16_t home, reverse; /* DERP regions, 0: none */
    uint8_t punch_fails;
    bool wireguard_only, expired, dirty;
} path_peer;

typedef struct path_quality { /* a UDP path, for comparing */
    rmr_addr udp;             /* family NONE: none                      */
    uint32_t vni;             /* of a peer relay: for the day they come */
    uint16_t socket;
    uint16_t mtu;
    rmr_dur latency;
} path_quality;

enum { CAND_MAP = 1, CAND_CALL = 2, CAND_PING = 4, CAND_ANSWERED = 8,
       CAND_WANT_ECHO = 16, CAND_ECHO_SENT = 32, CAND_NAMED = 64,
       CAND_BACK = 128 /* pinged back since its last other ping */ };

typedef struct path_cand {
    rmr_addr udp;
    rmr_time last_ping, last_got_ping; /* NEVER: never */
    rmr_dur latency;
    uint16_t socket;
    uint8_t flags;
    uint8_t got_txid[RMR_DISCO_TXID_LEN]; /* with last_got_ping */
} path_cand;

enum { PING_DISCOVERY, PING_HEARTBEAT, PING_USER, PING_LIFETIME };

typedef struct path_sent { /* a ping that waits */
    rmr_time at;
    uint64_t tag;  /* user pings */
    rmr_addr udp;  /* NONE: by DERP */
    uint16_t socket, region;
    uint16_t mtu; /* wire MTU of a sized ping, 0: not sized */
    uint8_t purpose;
    uint8_t txid[RMR_DISCO_TXID_LEN];
} path_sent;

typedef struct path_hot {
    rmr_timer timer;
    path_peer *peer;
    struct path_hot *next, *prev;
    path_quality best;
    rmr_time trust_until; /* 0 without best */
    rmr_time last_send, last_recv, last_disco; /* NEVER: never */
    rmr_time last_call;                        /* it called us; NEVER: never */
    rmr_time last_full_ping;                   /* NEVER: never */
    rmr_time want_since; /* traffic without a trusted path; NEVER: none  */
    rmr_time round_at;   /* no candidate can be pinged before            */
    rmr_time last_echo;  /* NEVER: never                                 */
    /* Deadlines; NEVER: not running. */
    rmr_time heartbeat_at, idle_at, call_at, life_at;
    rmr_time doubt_at; /* trust ends, which on_path is told           */
    path_cand *cands;
    path_sent *sent; /* oldest first: all have the same timeout */
    uint16_t n_cands, cap_cands, n_sent, cap_sent;
    uint8_t life_step; /* the cliff that is probed */
    uint8_t next_source;
    bool has_derp_txid;
    uint8_t derp_txid[RMR_DISCO_TXID_LEN]; /* the last ping by DERP */
    rmr_addr sources[MAX_SOURCES]; /* of the receive map; some are others' */
} path_hot;

enum { OUT_PING, OUT_PONG, OUT_CALL, OUT_PUNCH };

typedef struct path_out { /* a datagram to be sealed by write_pkt */
    uint64_t peer;
    rmr_addr udp;   /* to; NONE: by DERP to `region` */
    rmr_addr about; /* punch: the address told       */
    uint16_t socket, region;
    uint16_t padding; /* ping                */
    uint16_t count;   /* punch               */
    uint8_t kind;
    uint8_t punch_kind;
    uint8_t txid[RMR_DISCO_TXID_LEN];
} path_out;

typedef struct path_queue { /* a ring that grows by doubling */
    path_out *ring;
    uint32_t cap, len, head, max;
} path_queue;

/* A punch message, plain: type, version 0, kind, reserved 0, count 2, session
 * 12, address 18. */
#define PUNCH_TYPE 0x72
#define PUNCH_LEN 36
enum { PUNCH_OFFER = 1, PUNCH_ACCEPT, PUNCH_DECLINE };

enum { PUNCH_IDLE, PUNCH_OFFERED, PUNCH_HARD, PUNCH_EASY };

enum { SOCK_FREE, SOCK_WANT_OPEN, SOCK_OPENING, SOCK_DOOMED, SOCK_OPEN,
       SOCK_WANT_CLOSE };

typedef struct path_sock {
    uint64_t peer;
    uint8_t state;
    bool pinged; /* in this round */
} path_sock;

typedef struct path_punch {
    rmr_timer timer;
    uint64_t peer;
    rmr_addr target; /* hard: the peer's address; easy: its IP */
    rmr_time began, end, tick_at, again_at;
    uint16_t sent;
    uint8_t state;
    uint8_t session[RMR_DISCO_TXID_LEN];
    rmr_hash_key secret; /* what the probes' txids are made with */
} path_punch;

struct rmr_paths {
    rmr_env env;
    rmr_path_callbacks cb;
    rmr_time now;
    uint32_t switches;
    rmr_err fatal;
    bool in_pump;
    bool want_endpoints;
    uint8_t node_key[RMR_KEY_LEN];
    uint8_t disco_private[RMR_KEY_LEN], disco_public[RMR_KEY_LEN];
    rmr_slots peers, dkeys, shareds;
    rmr_hash by_node, by_disco, by_source;
    rmr_timers timers;
    path_hot *first_hot;
    uint32_t n_hot;
    path_peer *first_dirty, *last_dirty;
    path_shared *newest, *oldest;
    path_queue out;
    rmr_time asked_endpoints_at; /* NEVER: not waited for */
    rmr_time gathered_at;        /* NEVER: never          */
    rmr_addr *own; /* n_own, RMR_PATH_MAX_OWN at most */
    size_t n_own;
    rmr_addr public_v4; /* family NONE: not known */
    rmr_path_varies varies;
    uint16_t regions[MAX_REGIONS]; /* open; 0: a free place */
    uint32_t n_echo_wants;
    uint32_t n_socket_wants;
    path_sock *socks; /* RMR_PATH_MAX_SOCKET of them, or NULL */
    uint16_t n_socks; /* that are not free                    */
    path_punch punch;
    rmr_paths_stats stats;
};

/* path.c */
rmr_time rmri_path_clock(rmr_paths *p, rmr_time now);
path_peer *rmri_path_peer(const rmr_paths *p, rmr_path_peer peer);
void rmri_path_dirty(rmr_paths *p, path_peer *peer);
void rmri_path_undirty(rmr_paths *p, path_peer *peer);
/* Around each pump function.  Errors: REENTRANT, or what ended the object. */
rmr_err rmri_path_enter(rmr_paths *p);
void rmri_path_leave(rmr_paths *p);
bool rmri_path_has(const rmr_paths *p, uint32_t a_switch);
/* t is at least d ago, or never was. */
bool rmri_path_past(rmr_time now, rmr_time t, rmr_dur d);
rmr_err rmri_path_random(rmr_paths *p, void *dst, size_t len);

/* path_peer.c */
path_peer *rmri_path_by_node(const rmr_paths *p,
                             const uint8_t node_key[RMR_KEY_LEN]);

/* path_addr.c */
bool rmri_path_better(const path_quality *a, const path_quality *b);
bool rmri_path_is_same(const path_quality *a, const rmr_addr *udp,
                       uint16_t socket);
bool rmri_path_is_candidate(const rmr_addr *a);
bool rmri_path_is_public_v4(const rmr_addr *a);
size_t rmri_path_pack(uint8_t *dst, const rmr_addr *list, size_t n);
/* The next of packed addresses; *pos moves on. */
bool rmri_path_unpack(const uint8_t *src, size_t len, size_t *pos,
                      rmr_addr *out);
#define RMRI_PATH_MTUS 6
extern const uint16_t rmri_path_mtus[RMRI_PATH_MTUS];
uint16_t rmri_path_ping_padding(uint16_t wire_mtu, const rmr_addr *to);

/* path_hot.c */
path_hot *rmri_path_warm(rmr_paths *p, rmr_time now, path_peer *peer);
void rmri_path_cool(rmr_paths *p, path_hot *h);
void rmri_path_rearm(rmr_paths *p, path_hot *h);
void rmri_path_clear_best(rmr_paths *p, path_hot *h);
path_cand *rmri_path_cand_find(path_hot *h, const rmr_addr *udp,
                               uint16_t socket);
path_cand *rmri_path_cand_add(rmr_paths *p, rmr_time now, path_hot *h,
                              const rmr_addr *udp, uint16_t socket);
bool rmri_path_is_trusted(const path_hot *h, rmr_time now);
bool rmri_path_cands_reserve(rmr_paths *p, path_hot *h, size_t n);
void rmri_path_cand_delete(rmr_paths *p, path_hot *h, size_t i);
bool rmri_path_cand_is_stale(const path_hot *h, const path_cand *c,
                             rmr_time now);
void rmri_path_load_map(rmr_paths *p, rmr_time now, path_hot *h);

/* path_source.c */
bool rmri_path_source_eq(const void *user, uint64_t value, const void *key,
                         size_t len);
void rmri_path_source_note(rmr_paths *p, path_hot *h, const rmr_addr *udp);
path_peer *rmri_path_source_get(const rmr_paths *p, const rmr_addr *udp);
void rmri_path_sources_drop(rmr_paths *p, path_hot *h);
bool rmri_path_source_put(rmr_paths *p, const path_peer *peer,
                          const rmr_addr *udp);
void rmri_path_source_drop(rmr_paths *p, const path_peer *peer,
                           const rmr_addr *udp);

/* path_key.c */
rmr_err rmri_path_dkey_set(rmr_paths *p, path_peer *peer,
                           const uint8_t key[RMR_KEY_LEN]);
void rmri_path_dkey_drop(rmr_paths *p, path_peer *peer);
path_dkey *rmri_path_dkey_find(const rmr_paths *p,
                               const uint8_t key[RMR_KEY_LEN]);
rmr_err rmri_path_shared(rmr_paths *p, path_dkey *d, uint8_t out[RMR_KEY_LEN]);
void rmri_path_shared_wipe(rmr_paths *p);

/* path_out.c */
bool rmri_path_push(rmr_paths *p, const path_out *o);
rmr_err rmri_path_write(rmr_paths *p, rmr_buf dst, size_t *len,
                        rmr_path_to *to);
void rmri_path_queue_wipe(rmr_paths *p);

/* path_send.c */
bool rmri_path_ping(rmr_paths *p, rmr_time now, path_hot *h,
                    const rmr_path_to *to, uint8_t purpose, uint64_t tag);
bool rmri_path_ping_cand(rmr_paths *p, rmr_time now, path_hot *h, path_cand *c,
                         uint8_t purpose, uint64_t tag);
void rmri_path_discover(rmr_paths *p, rmr_time now, path_hot *h, bool call);
void rmri_path_call(rmr_paths *p, rmr_time now, path_hot *h);
void rmri_path_call_now(rmr_paths *p, path_hot *h);
void rmri_path_hot_deadline(rmr_paths *p, rmr_time now, path_hot *h);
uint16_t rmri_path_region(const rmr_paths *p, const path_peer *peer);

/* path_wg.c */
rmr_err rmri_path_route_wg(rmr_paths *p, rmr_time now, path_hot *h,
                           rmr_path_route *out);
void rmri_path_heard_wg(rmr_paths *p, rmr_time now, path_hot *h,
                        const rmr_path_to *from);
void rmri_path_unwant_echo(rmr_paths *p, path_cand *c);

/* path_life.c */
void rmri_path_life_start(rmr_paths *p, rmr_time now, path_hot *h);
void rmri_path_life_due(rmr_paths *p, rmr_time now, path_hot *h);
void rmri_path_life_pong(rmr_paths *p, rmr_time now, path_hot *h);

/* path_punch.c */
void rmri_path_punch_maybe(rmr_paths *p, rmr_time now, path_hot *h);
void rmri_path_punch_read(rmr_paths *p, rmr_time now, path_peer *peer,
                          rmr_bytes plain);
void rmri_path_punch_won(rmr_paths *p, rmr_time now, path_hot *h);
void rmri_path_punch_end(rmr_paths *p, rmr_time now, bool failed);
void rmri_path_punch_due(rmr_paths *p, rmr_time now);
/* The address that a probe's pong proves; false: no probe of ours. */
bool rmri_path_punch_pong(const rmr_paths *p, const path_peer *peer,
                          const uint8_t txid[RMR_DISCO_TXID_LEN],
                          rmr_addr *udp, uint16_t *socket);
bool rmri_path_is_punching(const rmr_paths *p, const path_peer *peer);
void rmri_path_punch_heard(rmr_paths *p, rmr_time now, path_hot *h,
                           const rmr_addr *udp, uint16_t socket);
void rmri_path_punch_opened(rmr_paths *p, rmr_time now);

/* path_sock.c */
bool rmri_path_socks_take(rmr_paths *p, path_peer *peer, uint32_t n);
void rmri_path_sock_close(rmr_paths *p, uint16_t socket);
/* Those of a peer; 0: of all.  Socket `but` stays, 0: none does. */
void rmri_path_socks_close(rmr_paths *p, uint64_t peer, uint16_t but);
void rmri_path_socks_free(rmr_paths *p);
bool rmri_path_sock_is_open(const rmr_paths *p, uint16_t socket);

#endif
