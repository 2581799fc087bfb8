/* What the files of wgcore share.  Section numbers without a name are those of
 * the WireGuard paper. */
#ifndef REMORA_WG_INTERNAL_H
#define REMORA_WG_INTERNAL_H

#include <remora/cursor.h>
#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/noise.h>
#include <remora/timer.h>
#include <remora/wgcore.h>

/* ---- constants (paper 6.1) -------------------------------------------- */

#define WG_REKEY_AFTER_MESSAGES ((uint64_t)1 << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - ((uint64_t)1 << 13))
#define WG_REKEY_AFTER_TIME (120 * RMR_SEC)
#define WG_REJECT_AFTER_TIME (180 * RMR_SEC)
#define WG_REKEY_TIMEOUT (5 * RMR_SEC)
#define WG_KEEPALIVE_TIMEOUT (10 * RMR_SEC)
/* Paper 6.4 has REKEY_ATTEMPT_TIME = 90 s; 18 retries of 5 s are that. */
#define WG_MAX_ATTEMPTS 18
#define WG_LAST_MINUTE                                                         \
    (WG_REJECT_AFTER_TIME - WG_KEEPALIVE_TIMEOUT - WG_REKEY_TIMEOUT)
#define WG_ERASE_TIME (3 * WG_REJECT_AFTER_TIME)
#define WG_JITTER (333 * RMR_MS)
#define WG_COOKIE_LIFE (120 * RMR_SEC)
/* A received cookie is not used in its last seconds, when the other side may
 * have forgotten the secret already. */
#define WG_COOKIE_USE (WG_COOKIE_LIFE - 5 * RMR_SEC)
#define WG_FLOOD_INTERVAL (20 * RMR_MS)
#define WG_LOAD_LINGER RMR_SEC
#define WG_PAD 16

enum { WG_INITIATION = 1, WG_RESPONSE = 2, WG_COOKIE = 3, WG_DATA = 4 };

#define WG_INITIATION_LEN 148
#define WG_RESPONSE_LEN 92
#define WG_COOKIE_LEN 64
#define WG_MACS_LEN 32
#define WG_STAMP_LEN 12
#define WG_MAC_LEN 16

/* ---- intrusive lists -------------------------------------------------- */

typedef struct wg_link { /* both NULL: in no list */
    struct wg_link *prev, *next;
} wg_link;

static inline void wg_list_init(wg_link *head)
{
    head->prev = head->next = head;
}
static inline bool wg_list_empty(const wg_link *head)
{
    return head->next == head;
}
static inline void wg_link_add(wg_link *head, wg_link *l) /* at the end */
{
    l->prev = head->prev;
    l->next = head;
    l->prev->next = l;
    head->prev = l;
}
static inline void wg_link_del(wg_link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}
#define WG_OF(link, type, member)                                              \
    ((type *)(void *)((uint8_t *)(link)-offsetof(type, member)))

/* ---- replay window (RFC 6479) ----------------------------------------- */

#define WG_REPLAY_WORDS 128
#define WG_REPLAY_WINDOW ((uint64_t)(WG_REPLAY_WORDS - 1) * 64)

typedef struct wg_replay { /* all zero: nothing seen */
    uint64_t last;         /* the greatest accepted counter */
    uint64_t words[WG_REPLAY_WORDS];
} wg_replay;

bool rmri_wg_replay_ok(const wg_replay *r, uint64_t counter);
/* Only after authentication, and after rmri_wg_replay_ok. */
void rmri_wg_replay_mark(wg_replay *r, uint64_t counter);

/* ---- allowed IPs ------------------------------------------------------ */

typedef struct wg_peer wg_peer;

typedef struct wg_ip { /* IPv4 in the upper 32 bits of hi */
    uint64_t hi, lo;
} wg_ip;

typedef struct wg_node {
    wg_ip ip; /* masked to `bits` */
    uint8_t bits, family;
    wg_peer *peer; /* NULL: an inner node, which has two children */
    struct wg_node *parent, *child[2];
    struct wg_node *owner_prev, *owner_next; /* the peer's others */
} wg_node;

typedef struct wg_ips {
    const rmr_alloc *alloc;
    wg_node *root[2]; /* IPv4, IPv6 */
    wg_node *spare;   /* linked by owner_next */
} wg_ips;

/* Makes insertion of n prefixes certain.  Errors: RMR_E_NOMEM. */
rmr_err rmri_wg_ips_reserve(wg_ips *t, size_t n);
void rmri_wg_ips_unreserve(wg_ips *t);
bool rmri_wg_prefix_ok(const rmr_prefix *p);
void rmri_wg_ips_insert(wg_ips *t, wg_peer *p, const rmr_prefix *prefix);
void rmri_wg_ips_remove_peer(wg_ips *t, wg_peer *p);
wg_peer *rmri_wg_ips_find(const wg_ips *t, uint8_t family, const uint8_t *ip);
bool rmri_wg_ips_owns(const wg_ips *t, const wg_peer *p, uint8_t family,
                      const uint8_t *ip);

/* ---- keys, handshakes, indices ---------------------------------------- */

typedef struct wg_index { /* first member of what an index names */
    uint32_t id;
    bool is_key; /* else a handshake */
    wg_peer *peer;
} wg_index;

typedef struct wg_key {
    wg_index ix;
    uint32_t remote;
    bool initiator; /* we were                                        */
    bool can_send;  /* false: the own private key changed             */
    rmr_time born, last_rx;
    uint64_t counter; /* of the next packet to send                   */
    wg_replay replay;
    rmr_aead_ctx send, recv;
} wg_key;

typedef struct wg_hs { /* a handshake that we began */
    wg_index ix;
    bool unsent;  /* msg waits for rmr_wg_write_pkt               */
    bool crossed; /* we answered an initiation while it was out   */
    uint8_t msg[WG_INITIATION_LEN];
    rmr_noise noise;
} wg_hs;

/* ---- peers ------------------------------------------------------------ */

enum { WG_RETX, WG_KA, WG_NH, WG_ZERO, WG_PK, WG_N_DEADLINES };

typedef struct wg_staged {
    struct wg_staged *next;
    uint32_t len;
    uint8_t bytes[];
} wg_staged;

struct wg_peer {
    uint64_t id, user;
    uint8_t pub[RMR_KEY_LEN];
    uint8_t ss[RMR_KEY_LEN]; /* X25519(own private, pub), if has_ss */
    uint8_t psk[RMR_KEY_LEN];
    bool has_ss, has_last_init, has_init_rx, has_cookie, has_mac1;
    bool need_ka, last_minute, want_ka;
    bool has_host4, has_host6;
    uint8_t events; /* bits 1 << rmr_wg_state, not yet told */
    uint16_t keepalive_s;
    rmr_wg_endpoint endpoint;

    wg_key *previous, *current, *next;
    wg_hs *hs;
    uint8_t *response; /* WG_RESPONSE_LEN bytes that wait to be written */

    uint8_t stamp[WG_STAMP_LEN]; /* the greatest TAI64N accepted   */
    rmr_time init_rx;            /* when an initiation was accepted */
    rmr_time last_init; /* last initiation or response that we sent */
    uint8_t cookie[WG_MAC_LEN];
    rmr_time cookie_at;
    uint8_t mac1[WG_MAC_LEN]; /* of our last handshake message */

    rmr_time deadline[WG_N_DEADLINES];
    rmr_timer timer; /* armed at the least of them */
    uint32_t attempts;

    wg_staged *staged, *staged_tail;
    uint32_t n_staged;
    uint32_t staged_bytes;

    wg_link out; /* in rmr_wg.out while there may be something to write */
    wg_link ev;  /* in rmr_wg.events while `events` is not 0            */

    wg_node *prefixes;
    wg_ip host4, host6; /* a whole address of this peer: the usual source */

    uint64_t rx_bytes, tx_bytes, rx_pkts, tx_pkts, staged_dropped;
    uint64_t handshake_unix_ns;
    rmr_time last_rx, last_tx;
};

/* ---- rate limit per source -------------------------------------------- */

#define WG_BUCKETS_MAX 4096

typedef struct wg_buckets {
    rmr_slots slots;
    rmr_hash by_key;
    wg_link lru; /* the oldest first */
} wg_buckets;

rmr_err rmri_wg_buckets_init(wg_buckets *b, const rmr_alloc *a,
                             const rmr_rng *rng);
void rmri_wg_buckets_wipe(wg_buckets *b);
bool rmri_wg_buckets_allow(wg_buckets *b, rmr_time now, rmr_bytes key);

/* ---- the object ------------------------------------------------------- */

#define WG_REPLIES 16

typedef struct wg_reply { /* a cookie reply that waits to be written */
    rmr_wg_endpoint to;
    uint8_t msg[WG_COOKIE_LEN];
} wg_reply;

struct rmr_wg {
    rmr_env env;     /* the host's                                    */
    rmr_alloc alloc; /* counts into stats.memory_bytes                */
    rmr_wg_callbacks cb;
    const rmr_aead *aead;
    uint32_t max_peers, max_staged_pkts, max_staged_bytes, mtu;
    uint32_t load_per_second;
    bool roam;

    rmr_time now; /* the latest seen */
    rmr_err fatal;
    bool in_callback, in_unknown;

    uint8_t priv[RMR_KEY_LEN], pub[RMR_KEY_LEN];
    uint8_t mac1_key[RMR_HASH_LEN], cookie_key[RMR_HASH_LEN];

    uint64_t wall_unix_ns; /* at wall_at */
    rmr_time wall_at;
    uint64_t stamp_unix_ns; /* the last TAI64N sent, or the floor */

    rmr_slots peers;
    rmr_hash by_pub, by_index;
    rmr_timers timers;
    wg_ips ips;
    wg_link out, events;
    uint32_t out_run; /* datagrams in a row from the first of `out` */
    size_t staged_bytes;

    uint8_t secret[32]; /* of cookies */
    rmr_time secret_at;
    bool has_secret;
    rmr_time load_start, loaded_until;
    uint32_t load_count;
    wg_buckets buckets;
    wg_reply replies[WG_REPLIES];
    uint32_t reply_head, n_replies;

    rmr_hash_key jitter_key;
    uint64_t jitter_count;
    rmr_wg_stats stats;

    /* For tests: WG_JITTER, or 0; and the references' behaviour where ours is
     * better (one state for both handshake roles, no retry after a suppressed
     * initiation). */
    rmr_dur jitter_max;
    bool like_reference;
};

/* wg.c */
rmr_time rmri_wg_clock(rmr_wg *wg, rmr_time now);
void rmri_wg_event(rmr_wg *wg, wg_peer *p, rmr_wg_state s);
void rmri_wg_run_events(rmr_wg *wg);
rmr_err rmri_wg_set_keys(rmr_wg *wg, const uint8_t priv[RMR_KEY_LEN]);
void rmri_wg_log(rmr_wg *wg, rmr_log_level level, const wg_peer *p,
                 const char *what);
/* The latest time, after the checks of a pump call: REENTRANT, fatal. */
rmr_err rmri_wg_enter(rmr_wg *wg, rmr_time now);

/* wg_peer.c */
wg_peer *rmri_wg_peer_of(const rmr_wg *wg, rmr_wg_peer h);
wg_peer *rmri_wg_peer_by_key(const rmr_wg *wg, const uint8_t key[RMR_KEY_LEN]);
void rmri_wg_peer_drop(rmr_wg *wg, wg_peer *p);
bool rmri_wg_pub_eq(const void *user, uint64_t value, const void *key,
                    size_t len);
bool rmri_wg_endpoint_ok(const rmr_wg_endpoint *e);
/* An authentic datagram came from `from`; true: the host is to be told. */
bool rmri_wg_peer_seen(rmr_wg *wg, wg_peer *p, const rmr_wg_endpoint *from,
                       size_t len);

/* wg_keys.c */
bool rmri_wg_index_eq(const void *user, uint64_t value, const void *key,
                      size_t len);
wg_index *rmri_wg_index_find(const rmr_wg *wg, uint32_t id);
/* A new random index for `ix`.  Errors: RMR_E_RNG, RMR_E_NOMEM. */
rmr_err rmri_wg_index_new(rmr_wg *wg, wg_index *ix);
void rmri_wg_index_del(rmr_wg *wg, wg_index *ix);
wg_key *rmri_wg_key_alloc(rmr_wg *wg, wg_peer *p);
void rmri_wg_key_free(rmr_wg *wg, wg_key *k);   /* not in the index table */
void rmri_wg_key_delete(rmr_wg *wg, wg_key **k); /* from its slot */
void rmri_wg_keys_erase(rmr_wg *wg, wg_peer *p);
void rmri_wg_slot_initiated(rmr_wg *wg, wg_peer *p, wg_key *k, bool crossed);
void rmri_wg_slot_answered(rmr_wg *wg, wg_peer *p, wg_key *k);
void rmri_wg_slot_confirmed(rmr_wg *wg, wg_peer *p);
bool rmri_wg_can_send(const wg_peer *p, rmr_time now);

/* wg_handshake.c */
void rmri_wg_hs_free(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_hs_initiate(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_hs_read_initiation(rmr_wg *wg, const rmr_wg_endpoint *from,
                                   rmr_bytes msg);
rmr_err rmri_wg_hs_read_response(rmr_wg *wg, const rmr_wg_endpoint *from,
                                 rmr_bytes msg);

/* wg_cookie.c */
void rmri_wg_label_key(uint8_t out[RMR_HASH_LEN], const char label[8],
                       const uint8_t pub[RMR_KEY_LEN]);
/* Fills both MACs behind the first len bytes of msg. */
void rmri_wg_add_macs(rmr_wg *wg, wg_peer *p, uint8_t *msg, size_t len);
/* mac1, then load: RMR_OK to go on.  Errors: AUTH, RATELIMIT, RNG. */
rmr_err rmri_wg_gate(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_bytes msg);
rmr_err rmri_wg_read_cookie(rmr_wg *wg, rmr_bytes msg);
bool rmri_wg_next_reply(rmr_wg *wg, rmr_buf dst, size_t *len,
                        rmr_wg_pkt_info *info, rmr_err *err);

/* wg_tai64n.c */
uint64_t rmri_wg_wall(const rmr_wg *wg);
void rmri_wg_tai64n(uint64_t unix_ns, uint8_t out[WG_STAMP_LEN]);
void rmri_wg_stamp(rmr_wg *wg, uint8_t out[WG_STAMP_LEN]);

/* wg_timers.c */
void rmri_wg_rearm(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_traversal(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_any_sent(wg_peer *p);
void rmri_wg_on_any_received(wg_peer *p);
void rmri_wg_on_data_sent(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_data_received(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_session_derived(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_complete(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_send_initiation(rmr_wg *wg, wg_peer *p, bool retry);
rmr_err rmri_wg_flush_staged(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_fresh_on_send(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_fresh_on_receive(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_keepalive(rmr_wg *wg, wg_peer *p);

/* wg_stage.c */
rmr_err rmri_wg_stage(rmr_wg *wg, wg_peer *p, rmr_bytes packet);
void rmri_wg_stage_pop(rmr_wg *wg, wg_peer *p);
void rmri_wg_stage_drop(rmr_wg *wg, wg_peer *p); /* all; counted */

/* wg_data.c */
size_t rmri_wg_padded(size_t len, size_t mtu);
rmr_err rmri_wg_read_data(rmr_wg *wg, const rmr_wg_endpoint *from,
                          rmr_buf datagram);
/* Header, padding and tag around `len` bytes at buf + 16; returns the length
 * of the datagram.  The peer's current key must be usable. */
size_t rmri_wg_seal_current(rmr_wg *wg, wg_peer *p, uint8_t *buf, size_t len);
rmr_err rmri_wg_sent_data(rmr_wg *wg, wg_peer *p, size_t inner, size_t outer);

/* wg_out.c */
void rmri_wg_want_out(rmr_wg *wg, wg_peer *p);

#endif
