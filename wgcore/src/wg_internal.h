/* What the files of wgcore share.  Section numbers without a name are those of
 * the WireGuard paper. */
#ifndef REMORA_WG_INTERNAL_H
#define REMORA_WG_INTERNAL_H

#include <string.h>

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

static inline bool rmri_wg_replay_ok(const wg_replay *r, uint64_t counter)
{
    if (counter >= WG_REJECT_AFTER_MESSAGES)
        return false;
    if (counter > r->last)
        return true;
    if (r->last - counter > WG_REPLAY_WINDOW)
        return false;
    return !(r->words[counter / 64 % WG_REPLAY_WORDS] >> counter % 64 & 1);
}
void rmri_wg_replay_move(wg_replay *r, uint64_t counter);
/* Only after authentication, and after rmri_wg_replay_ok. */
static inline void rmri_wg_replay_mark(wg_replay *r, uint64_t counter)
{
    if (counter / 64 > r->last / 64)
        rmri_wg_replay_move(r, counter);
    else if (counter > r->last)
        r->last = counter;
    r->words[counter / 64 % WG_REPLAY_WORDS] |= (uint64_t)1 << counter % 64;
}

/* ---- the header of data ----------------------------------------------- */

/* Written and read as three words: byte by byte, compilers make ten times the
 * instructions of it. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline void rmri_wg_put_header(uint8_t *b, uint32_t index,
                                      uint64_t counter)
{
    uint32_t words[2] = {WG_DATA, index};
    memcpy(b, words, 8);
    memcpy(b + 8, &counter, 8);
}
#else
static inline void rmri_wg_put_header(uint8_t *b, uint32_t index,
                                      uint64_t counter)
{
    rmr_store_le32(b, WG_DATA);
    rmr_store_le32(b + 4, index);
    rmr_store_le64(b + 8, counter);
}
#endif

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

/* ---- keys, handshakes, indices ---------------------------------------- */

typedef struct wg_index { /* first member of what an index names */
    uint32_t id;
    bool is_key; /* else a handshake */
    wg_peer *peer;
} wg_index;

/* Indices are random, and no two share their low bits: so these are a place,
 * and a look-up is one.  Half of the places are free, so that a draw finds one
 * soon.  A table of twice the size keeps the places apart. */
typedef struct wg_indices {
    wg_index **tab;
    uint32_t cap; /* a power of two, or 0 */
    uint32_t used;
} wg_indices;

/* Batches and jobs hold references, so that no cipher loses its key.  A key
 * that left its slot is dead: nothing of it but send and recv is used then, and
 * it is freed with its last reference. */
typedef struct wg_key {
    wg_index ix; /* dead: it names nothing, and has no peer */
    uint32_t remote;
    uint32_t refs;
    bool initiator; /* we were                                        */
    bool can_send;  /* false: expired, or the own private key changed */
    bool is_dead;
    union {
        struct {
            rmr_time born, last_rx;
        };
        wg_link dead; /* in rmr_wg.dead */
    };
    uint64_t counter; /* of the next packet to send                   */
    wg_replay replay;
    rmr_aead_ctx send, recv;
} wg_key;

typedef struct wg_hs { /* a handshake that we began */
    wg_index ix;
    rmr_time at;  /* when                                         */
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

typedef struct wg_jobs { /* those of one direction, in order of issue */
    rmr_wg_job *head, *tail;
    uint32_t n;
} wg_jobs;

enum { WG_JOB_SEAL, WG_JOB_OPEN, WG_N_JOB_KINDS };

struct wg_peer {
    /* What each packet touches. */
    uint64_t id;
    wg_key *current, *next, *previous;
    wg_staged *staged, *staged_tail;
    wg_jobs jobs[WG_N_JOB_KINDS];
    rmr_time deadline[WG_N_DEADLINES]; /* written by rmri_wg_put alone */
    rmr_timer timer; /* armed at the least of them, when not `moved`  */
    bool moved;      /* a deadline changed since                      */
    bool need_ka, last_minute, want_ka;
    bool has_host4, has_host6;
    uint16_t keepalive_s;
    uint64_t rx_bytes, tx_bytes, rx_pkts, tx_pkts;
    rmr_time last_rx, last_tx;
    wg_ip host4, host6; /* a whole address of this peer: the usual source */
    rmr_wg_endpoint endpoint;

    bool has_ss, has_last_init, has_init_rx, has_cookie, has_mac1;
    uint8_t events; /* bits 1 << rmr_wg_state, not yet told */
    uint8_t pub[RMR_KEY_LEN];
    uint8_t ss[RMR_KEY_LEN]; /* X25519(own private, pub), if has_ss */
    uint8_t psk[RMR_KEY_LEN];
    uint64_t user;

    wg_hs *hs;
    uint8_t *response; /* WG_RESPONSE_LEN bytes that wait to be written */

    rmr_time init_rx;   /* when an initiation was accepted */
    rmr_time last_init; /* last initiation or response that we sent */
    rmr_time cookie_at;
    uint8_t cookie[WG_MAC_LEN];
    uint8_t mac1[WG_MAC_LEN];    /* of our last handshake message */
    uint8_t stamp[WG_STAMP_LEN]; /* the greatest TAI64N accepted   */
    uint32_t attempts;

    uint32_t n_staged;
    uint32_t staged_bytes;

    wg_link out; /* in rmr_wg.out while there may be something to write */
    wg_link ev;  /* in rmr_wg.events while `events` is not 0            */

    wg_node *prefixes;
    uint64_t staged_dropped;
    uint64_t handshake_unix_ns;
};

/* The usual source is a whole address of the peer: compared, not searched. */
static inline bool rmri_wg_ips_owns(const wg_ips *t, const wg_peer *p,
                                    uint8_t family, const uint8_t *ip)
{
    if (family == RMR_AF_INET) {
        if (p->has_host4 && (uint64_t)rmr_load_be32(ip) << 32 == p->host4.hi)
            return true;
    } else if (p->has_host6 && rmr_load_be64(ip) == p->host6.hi &&
               rmr_load_be64(ip + 8) == p->host6.lo) {
        return true;
    }
    return rmri_wg_ips_find(t, family, ip) == p;
}

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
#define WG_REPLIES_SIZE (WG_REPLIES * sizeof(wg_reply))

typedef struct wg_reply { /* a cookie reply that waits to be written */
    rmr_wg_endpoint to;
    uint8_t msg[WG_COOKIE_LEN];
} wg_reply;

struct rmr_wg {
    rmr_env env;     /* the host's                                    */
    rmr_alloc alloc; /* counts into stats.memory_bytes                */
    rmr_wg_callbacks cb;
    const rmr_aead *aead;
    rmr_aead own_aead; /* when the host gave none */
    uint32_t max_peers, max_staged_pkts, max_staged_bytes, mtu;
    uint32_t load_per_second;
    bool roam, ecn;

    rmr_time now; /* the latest seen */
    rmr_err fatal;
    bool in_callback, in_unknown;

    uint8_t priv[RMR_KEY_LEN], pub[RMR_KEY_LEN];
    uint8_t mac1_key[RMR_HASH_LEN], cookie_key[RMR_HASH_LEN];

    uint64_t wall_unix_ns; /* at wall_at */
    rmr_time wall_at;
    uint64_t stamp_unix_ns; /* the last TAI64N sent, or the floor */

    rmr_slots peers;
    rmr_hash by_pub;
    wg_indices indices;
    rmr_timers timers;
    wg_ips ips;
    wg_link out, events;
    wg_link dead;            /* keys that only references hold           */
    rmr_wg_job *ended, **ended_tail; /* dropped, and not yet told        */
    uint32_t out_run; /* datagrams in a row from the first of `out` */
    size_t staged_bytes;

    uint8_t secret[32]; /* of cookies */
    rmr_time secret_at;
    bool has_secret;
    rmr_time load_start, loaded_until;
    uint32_t load_count;
    wg_buckets buckets;
    wg_reply *replies; /* WG_REPLIES; NULL until the first */
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
void rmri_wg_tell_events(rmr_wg *wg);
static inline void rmri_wg_run_events(rmr_wg *wg)
{
    if (wg->ended || !wg_list_empty(&wg->events))
        rmri_wg_tell_events(wg);
}
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
static inline bool rmri_wg_endpoint_ok(const rmr_wg_endpoint *e)
{
    return e->len <= RMR_WG_ENDPOINT_MAX && e->bucket_len <= e->len;
}
/* An authentic datagram came from `from`; true: the host is to be told. */
static inline bool rmri_wg_peer_seen(rmr_wg *wg, wg_peer *p,
                                     const rmr_wg_endpoint *from, size_t len)
{
    p->rx_bytes += len;
    p->last_rx = wg->now;
    if (from->len == 0 || (from->len == p->endpoint.len &&
                           !memcmp(from->bytes, p->endpoint.bytes, from->len)))
        return false;
    if (wg->roam)
        p->endpoint = *from;
    return true;
}

/* wg_keys.c */
static inline wg_index *rmri_wg_index_find(const rmr_wg *wg, uint32_t id)
{
    const wg_indices *t = &wg->indices;
    wg_index *ix = t->cap ? t->tab[id & (t->cap - 1)] : NULL;
    return ix && ix->id == id ? ix : NULL;
}
/* A new random index for `ix`.  Errors: RMR_E_RNG, RMR_E_NOMEM. */
rmr_err rmri_wg_index_new(rmr_wg *wg, wg_index *ix);
/* `ix` takes the place of the one that has its id. */
void rmri_wg_index_replace(rmr_wg *wg, wg_index *ix);
void rmri_wg_index_del(rmr_wg *wg, const wg_index *ix);
void rmri_wg_indices_wipe(rmr_wg *wg);
wg_key *rmri_wg_key_alloc(rmr_wg *wg, wg_peer *p);
void rmri_wg_key_free(rmr_wg *wg, wg_key *k);   /* not in the index table */
void rmri_wg_key_delete(rmr_wg *wg, wg_key **k); /* from its slot */
void rmri_wg_keys_bury(rmr_wg *wg); /* the dead, whatever holds them */
static inline void rmri_wg_key_hold(wg_key *k)
{
    k->refs++;
}
static inline void rmri_wg_key_drop(rmr_wg *wg, wg_key *k)
{
    if (--k->refs == 0 && k->is_dead) {
        wg_link_del(&k->dead);
        rmri_wg_key_free(wg, k);
    }
}
/* Not of a dead one. */
static inline bool rmri_wg_key_is_old(const wg_key *k, rmr_time now)
{
    return rmr_time_since(now, k->born) >= WG_REJECT_AFTER_TIME;
}
void rmri_wg_keys_erase(rmr_wg *wg, wg_peer *p);
void rmri_wg_slot_initiated(rmr_wg *wg, wg_peer *p, wg_key *k, bool crossed);
void rmri_wg_slot_answered(rmr_wg *wg, wg_peer *p, wg_key *k);
void rmri_wg_slot_confirmed(rmr_wg *wg, wg_peer *p);
static inline bool rmri_wg_can_send(const wg_peer *p, rmr_time now)
{
    const wg_key *k = p->current;
    return k && k->can_send && k->counter < WG_REJECT_AFTER_MESSAGES &&
           !rmri_wg_key_is_old(k, now);
}

/* wg_handshake.c */
/* Another handshake was completed while it was out, and the time of a retry has
 * passed: an answer now would put a key in use that the other side may have
 * forgotten. */
static inline bool rmri_wg_hs_is_late(const rmr_wg *wg, const wg_peer *p)
{
    return p->deadline[WG_RETX] == RMR_TIME_NEVER &&
           rmr_time_since(wg->now, p->hs->at) > WG_REKEY_TIMEOUT + WG_JITTER;
}
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
static inline void rmri_wg_put(wg_peer *p, int which, rmr_time at)
{
    if (p->deadline[which] != at) {
        p->deadline[which] = at;
        p->moved = true;
    }
}
void rmri_wg_arm(rmr_wg *wg, wg_peer *p);
/* After each change of deadlines, before the call returns or calls back. */
static inline void rmri_wg_rearm(rmr_wg *wg, wg_peer *p)
{
    if (p->moved)
        rmri_wg_arm(wg, p);
}
/* Any authentic packet, sent or received. */
static inline void rmri_wg_on_traversal(rmr_wg *wg, wg_peer *p)
{
    if (p->keepalive_s)
        rmri_wg_put(p, WG_PK,
                    rmr_time_add(wg->now, p->keepalive_s * RMR_SEC));
}
static inline void rmri_wg_on_any_sent(wg_peer *p)
{
    rmri_wg_put(p, WG_KA, RMR_TIME_NEVER);
}
static inline void rmri_wg_on_any_received(wg_peer *p)
{
    rmri_wg_put(p, WG_NH, RMR_TIME_NEVER);
}
static inline void rmri_wg_on_data_received(rmr_wg *wg, wg_peer *p)
{
    if (p->deadline[WG_KA] == RMR_TIME_NEVER)
        rmri_wg_put(p, WG_KA, rmr_time_add(wg->now, WG_KEEPALIVE_TIMEOUT));
    else
        p->need_ka = true;
}
void rmri_wg_on_data_sent(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_session_derived(rmr_wg *wg, wg_peer *p);
void rmri_wg_on_complete(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_send_initiation(rmr_wg *wg, wg_peer *p, bool retry);
rmr_err rmri_wg_flush_staged(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_fresh_on_send(rmr_wg *wg, wg_peer *p);
rmr_err rmri_wg_last_minute(rmr_wg *wg, wg_peer *p);
/* The net below fresh_on_send for an initiator that only receives. */
static inline rmr_err rmri_wg_fresh_on_receive(rmr_wg *wg, wg_peer *p)
{
    const wg_key *k = p->current;
    if (p->last_minute || !k || !k->initiator ||
        rmr_time_since(wg->now, k->born) <= WG_LAST_MINUTE)
        return RMR_OK;
    return rmri_wg_last_minute(wg, p);
}
rmr_err rmri_wg_keepalive(rmr_wg *wg, wg_peer *p);

/* wg_stage.c */
rmr_err rmri_wg_stage(rmr_wg *wg, wg_peer *p, rmr_bytes packet);
void rmri_wg_stage_pop(rmr_wg *wg, wg_peer *p);
void rmri_wg_stage_drop(rmr_wg *wg, wg_peer *p); /* all; counted */

/* wg_send.c */
#define WG_BATCH 64
typedef struct wg_batch { /* one call of the cipher; on the stack */
    size_t n;
    rmr_aead_item items[WG_BATCH];
} wg_batch;
static inline size_t rmri_wg_padded(size_t len, size_t mtu)
{
    size_t last = len;
    if (mtu && last > mtu)
        last %= mtu;
    size_t padded = (last + WG_PAD - 1) / WG_PAD * WG_PAD;
    if (mtu && padded > mtu)
        padded = mtu;
    return len + (padded - last);
}
/* Header and padding around the packet of `len` bytes at buf + 16, and the rest
 * as an item of a cipher; returns the length of the datagram. */
size_t rmri_wg_frame(const rmr_wg *wg, const wg_key *k, uint64_t counter,
                     uint8_t *buf, size_t len, rmr_aead_item *item);
void rmri_wg_seal_batch(const rmr_wg *wg, wg_batch *b);
/* Timers and renewal for `n` datagrams, `data` of them not empty. */
rmr_err rmri_wg_sent(rmr_wg *wg, wg_peer *p, size_t n, size_t data);
/* May the packet be sealed at all?  Errors: INVAL, TOOBIG. */
rmr_err rmri_wg_check_pkt(const rmr_pkt *pkt);
/* Must packets of this peer wait, behind others or for a key? */
bool rmri_wg_must_wait(const rmr_wg *wg, const wg_peer *p);
/* A copy of the packet waits.  Errors: NOTREADY: it does; FULL, NOMEM: it is
 * dropped; RNG. */
rmr_err rmri_wg_wait(rmr_wg *wg, wg_peer *p, rmr_bytes packet);

/* wg_receive.c */
/* The key of a data packet when it may still open one, and the cipher's work;
 * REPLAY besides when the counter was seen, with the key all the same. */
rmr_err rmri_wg_find_key(const rmr_wg *wg, rmr_buf d, wg_key **k,
                         rmr_aead_item *item);
/* What the cipher said about a packet of this key takes effect: replay, timers,
 * delivery.  The caller holds the key. */
rmr_err rmri_wg_take(rmr_wg *wg, wg_key *k, const rmr_aead_item *item,
                     const rmr_wg_endpoint *from, uint8_t ecn);
/* A handshake message; `d` is no data. */
rmr_err rmri_wg_read_other(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_buf d);
/* Counts a refusal; makes a failed generator fatal. */
void rmri_wg_note(rmr_wg *wg, rmr_err e);

/* wg_ecn.c */
uint8_t rmri_wg_ecn_of(const uint8_t *ip, size_t len);
void rmri_wg_ecn_mark(uint8_t *ip, size_t len);

/* wg_job.c */
void rmri_wg_jobs_drop(rmr_wg *wg, wg_peer *p); /* the peer goes */
void rmri_wg_jobs_tell(rmr_wg *wg);

/* wg_out.c */
void rmri_wg_want_out(rmr_wg *wg, wg_peer *p);

#endif
