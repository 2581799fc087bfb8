/* What the files of the relay's switch share. */
#ifndef RMRI_DSW_INTERNAL_H
#define RMRI_DSW_INTERNAL_H

#include <remora/derp_srv.h>

#include "derp_internal.h"

#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/timer.h>

#define RMRI_DSW_INFO_MIN (RMR_KEY_LEN + RMR_BOX_NONCE_LEN)
#define RMRI_DSW_INFO_MAX ((uint32_t)256 * 1024)
#define RMRI_DSW_PING_MAX 1000
#define RMRI_DSW_MAX_CLAIMS 16
#define RMRI_DSW_SMALL_MAX 80 /* the longest small frame but Health */
#define RMRI_DSW_CLASSES 5 /* of block sizes */
#define RMRI_DSW_GONE_HERE 0x00
#define RMRI_DSW_GONE_UNKNOWN 0x01

typedef struct rmri_dsw_client rmri_dsw_client;
typedef struct rmri_dsw_key rmri_dsw_key;

/* ---- packets ---------------------------------------------------------- */

/* A RecvPacket frame as it will go out.  While it is gathered, the body of the
 * frame that came in lies so that the payload is at its place already: of a
 * SendPacket the destination is where the source goes, of a ForwardPacket the
 * source begins in `before`. */
typedef struct rmri_dsw_pkt {
    struct rmri_dsw_pkt *next;
    rmr_time at;  /* when it was queued                        */
    uint64_t src; /* the source's key object; 0: by its key    */
    uint32_t len; /* of the frame                              */
    uint8_t size_class;
    uint8_t before[27];
    uint8_t frame[];
} rmri_dsw_pkt;
_Static_assert(offsetof(rmri_dsw_pkt, frame) ==
                   offsetof(rmri_dsw_pkt, before) + 27,
               "before lies right in front of frame");

typedef struct rmri_dsw_pool {
    rmri_dsw_pkt *free[RMRI_DSW_CLASSES];
    size_t used, free_bytes;
    size_t gathered; /* of used: blocks that are not whole yet */
    size_t max;
} rmri_dsw_pool;

/* ---- deadlines with one length ----------------------------------------- */

/* Entries of a list have the same time to live and come in the order of time,
 * so the list is sorted by itself. */
typedef struct rmri_dsw_due {
    struct rmri_dsw_due *next, *prev;
    rmr_time at; /* 0: not in a list */
    rmri_dsw_client *owner;
} rmri_dsw_due;

typedef struct rmri_dsw_due_list {
    rmri_dsw_due *head, *tail;
} rmri_dsw_due_list;

/* ---- keys, pairs, claims ----------------------------------------------- */

/* `to` got a packet from `src`: it hears when src is gone. */
typedef struct rmri_dsw_pair {
    uint64_t id;
    rmri_dsw_key *src;
    rmri_dsw_client *to;
    struct rmri_dsw_pair *src_next, *src_prev; /* of src */
    struct rmri_dsw_pair *to_next, *to_prev;   /* of to, newest first */
} rmri_dsw_pair;

typedef struct rmri_dsw_claim { /* a forwarder has a key */
    struct rmri_dsw_claim *next;
    uint64_t id, forwarder;
} rmri_dsw_claim;

/* A node key that is here, or is claimed by a forwarder, or has sent. */
struct rmri_dsw_key {
    uint8_t key[RMR_KEY_LEN];
    uint64_t id;
    rmri_dsw_client *active; /* its connections, most recently heard first */
    uint32_t n_conns;
    uint32_t n_claims;
    rmri_dsw_claim *claims; /* oldest first */
    rmri_dsw_pair *pairs;   /* as a source */
};

/* ---- notes ------------------------------------------------------------ */

typedef struct rmri_dsw_note { /* a small frame that waits */
    struct rmri_dsw_note *next;
    uint64_t id;
    uint8_t type;  /* PEER_GONE or PEER_PRESENT */
    uint8_t value; /* reason or flags           */
    uint16_t port;
    uint8_t key[RMR_KEY_LEN];
    uint8_t ip[16];
} rmri_dsw_note;

typedef struct rmri_dsw_watch { /* a watcher's state */
    struct rmri_dsw_watch *next, *prev;
    rmri_dsw_client *owner;
    uint32_t dump_at; /* place in the walk over all keys */
    uint32_t writes;  /* since it last knew all */
    bool is_dumping;
} rmri_dsw_watch;

/* ---- clients ---------------------------------------------------------- */

typedef enum rmri_dsw_state {
    DSW_LOGIN, /* waits for ClientInfo           */
    DSW_ADMIT, /* waits for the host's word      */
    DSW_UP,
    DSW_DEAD /* waits for rmr_dsw_client_close */
} rmri_dsw_state;

enum { /* small frames that are due */
    DSW_OUT_SERVER_KEY = 1,
    DSW_OUT_SERVER_INFO = 2,
    DSW_OUT_RESTARTING = 4,
    DSW_OUT_HEALTH = 8,
    DSW_OUT_PONG = 16,
    DSW_OUT_KEEP_ALIVE = 32
};

typedef struct rmri_dsw_queue {
    rmri_dsw_pkt *head, *tail;
    uint32_t n;
} rmri_dsw_queue;

typedef struct rmri_dsw_rx { /* the frame that is being read */
    uint8_t header[RMRI_DERP_HEADER];
    uint8_t header_len;
    bool is_begun;     /* checked, and its tokens are taken */
    bool has_tokens;   /* ... or at least the tokens        */
    uint32_t body_len, got;
    uint32_t skip;     /* bytes still to discard            */
    rmri_dsw_pkt *pkt; /* a packet in parts                 */
    uint8_t *login;    /* a ClientInfo in parts             */
    uint32_t login_cap;
    uint8_t small[RMR_KEY_LEN]; /* the body of a small one   */
} rmri_dsw_rx;

struct rmri_dsw_client {
    uint64_t id;
    void *tag;
    rmri_dsw_key *key; /* while it is up */
    rmri_dsw_client *dup_next, *dup_prev;
    rmri_dsw_client *ready_next, *ready_prev;
    uint8_t state, ready, out;
    bool is_listed; /* in the ready list                     */
    bool is_told;   /* of WRITE, and has not written 0 since */
    bool is_stopped; /* a read left bytes                    */
    bool is_mesh, is_prober, can_ack_pings, not_ideal, is_preferred;
    bool turn; /* which queue is next */
    rmr_err why;

    rmr_timer timer; /* the earliest of the next three; NEVER: not set */
    rmr_time stage_end, keep_at, resume_at;
    rmri_dsw_due stall, frame_due;
    rmr_time up_at;
    rmr_dur keep_period;
    rmr_time rate_full_at; /* token buckets, as in frame.c */
    rmr_time gone_full_at;

    rmri_dsw_rx rx;
    uint64_t last_dst; /* key object that it sent to last */

    rmri_dsw_queue queue[RMR_DSW_KINDS];
    size_t queued_bytes;
    rmri_dsw_pkt *cut; /* is being written */
    uint32_t cut_at;
    uint64_t open_bytes; /* written, and not taken by the kernel yet */
    rmri_dsw_note *notes, *last_note;
    uint32_t n_notes;
    uint8_t pong[8];
    uint8_t *health; /* its length, then the text */

    rmri_dsw_pair *pairs, *oldest_pair; /* as a receiver */
    uint32_t n_pairs;
    uint64_t last_src; /* key object of which the pair is known */
    rmri_dsw_watch *watch;

    rmr_addr addr;
    int64_t version;
    uint8_t public_key[RMR_KEY_LEN];
    uint8_t shared[RMR_KEY_LEN]; /* until ServerInfo is out */
};

struct rmr_dsw {
    rmr_env env;
    rmr_dsw_callbacks cb;
    rmr_dsw_config cfg; /* without its callbacks */
    uint8_t public_key[RMR_KEY_LEN];
    bool has_mesh_key, in_callback;
    rmr_time now;

    rmr_slots clients, keys, pairs, claims, notes;
    rmr_hash by_key, by_pair;
    rmr_timers timers;
    rmri_dsw_due_list stalls, mesh_stalls, frames;
    rmri_dsw_client *ready, *last_ready;
    rmri_dsw_watch *watches;
    rmri_dsw_pool pool;
    size_t login_used;
    rmri_derp_bucket rate; /* only rate and depth */
    uint32_t restart_in_ms, restart_for_ms;
    rmr_dsw_stats stats;
    uint64_t notes_out; /* PeerGone and PeerPresent frames, ever */
};

/* T3. */
void rmri_dsw_clamp(rmr_dsw *sw, rmr_time now);

/* dsw_client.c */
void rmri_dsw_due_set(rmri_dsw_due_list *l, rmri_dsw_due *d, rmr_time at);
void rmri_dsw_due_clear(rmri_dsw_due_list *l, rmri_dsw_due *d);
void rmri_dsw_tell(rmr_dsw *sw, rmri_dsw_client *c, uint8_t what);
/* There is output: the host hears of it, and the write deadline runs. */
void rmri_dsw_want_write(rmr_dsw *sw, rmri_dsw_client *c);
void rmri_dsw_stall_stop(rmr_dsw *sw, rmri_dsw_client *c);
void rmri_dsw_rearm(rmr_dsw *sw, rmri_dsw_client *c);
/* Ends the client by our will: out of all tables, and the host is told. */
void rmri_dsw_kill(rmr_dsw *sw, rmri_dsw_client *c, rmr_err why);
/* Admitted.  On an error it was killed. */
rmr_err rmri_dsw_go_up(rmr_dsw *sw, rmri_dsw_client *c);
uint8_t rmri_dsw_present_flags(const rmri_dsw_client *c);
/* When n tokens are there; takes them.  At most now: at once. */
rmr_time rmri_dsw_take_tokens(rmr_dsw *sw, rmri_dsw_client *c, uint32_t n);

/* dsw_login.c: opens in place; fills what the client says. */
rmr_err rmri_dsw_open_info(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf body);

/* dsw_pool.c */
rmri_dsw_pkt *rmri_dsw_pkt_new(rmr_dsw *sw, size_t payload);
void rmri_dsw_pkt_free(rmr_dsw *sw, rmri_dsw_pkt *p);
size_t rmri_dsw_pkt_size(const rmri_dsw_pkt *p);
void rmri_dsw_pool_wipe(rmr_dsw *sw);
/* One more of this kind for `to`; `whole` is the packet already in a block, or
 * NULL.  The block is the queue's or the pool's then. */
void rmri_dsw_enqueue(rmr_dsw *sw, rmri_dsw_client *to, rmr_dsw_kind kind,
                      uint64_t src, const uint8_t src_key[RMR_KEY_LEN],
                      rmr_bytes payload, rmri_dsw_pkt *whole);
rmri_dsw_pkt *rmri_dsw_dequeue(rmri_dsw_client *c, rmr_dsw_kind kind);
void rmri_dsw_queue_time(rmr_dsw *sw, const rmri_dsw_pkt *p);
void rmri_dsw_count_drop(rmr_dsw *sw, rmr_dsw_reason why, rmr_dsw_kind kind,
                         size_t bytes);
void rmri_dsw_drop_all(rmr_dsw *sw, rmri_dsw_client *c);
rmr_dsw_kind rmri_dsw_kind_of(rmr_bytes payload);

/* dsw_histogram.c */
void rmri_dsw_observe(rmr_dsw_histogram *h, uint32_t value);

/* dsw_keys.c */
bool rmri_dsw_key_eq(const void *user, uint64_t value, const void *key,
                     size_t len);
bool rmri_dsw_pair_eq(const void *user, uint64_t value, const void *key,
                      size_t len);
rmri_dsw_key *rmri_dsw_key_find(const rmr_dsw *sw,
                                const uint8_t key[RMR_KEY_LEN]);
/* For sends of c: the last destination is likely the next. */
rmri_dsw_key *rmri_dsw_key_find_dst(const rmr_dsw *sw, rmri_dsw_client *c,
                                    const uint8_t key[RMR_KEY_LEN]);
rmr_err rmri_dsw_register(rmr_dsw *sw, rmri_dsw_client *c);
void rmri_dsw_unregister(rmr_dsw *sw, rmri_dsw_client *c);
/* The most recently heard of a key's connections is its receiver. */
void rmri_dsw_note_activity(rmri_dsw_client *c);
void rmri_dsw_note_pair(rmr_dsw *sw, rmri_dsw_client *to,
                        const rmri_dsw_pkt *p);
void rmri_dsw_close_key(rmr_dsw *sw, const uint8_t key[RMR_KEY_LEN]);

/* dsw_notes.c */
void rmri_dsw_tell_gone(rmr_dsw *sw, rmri_dsw_client *to,
                        const uint8_t key[RMR_KEY_LEN], uint8_t reason);
void rmri_dsw_tell_watchers_present(rmr_dsw *sw, const rmri_dsw_client *who);
void rmri_dsw_tell_watchers_gone(rmr_dsw *sw, const uint8_t key[RMR_KEY_LEN]);
void rmri_dsw_drop_notes(rmr_dsw *sw, rmri_dsw_client *c);
/* A watcher from now on; on an error it was killed. */
rmr_err rmri_dsw_watch_start(rmr_dsw *sw, rmri_dsw_client *c);
void rmri_dsw_watch_stop(rmr_dsw *sw, rmri_dsw_client *c);
/* The next note into dst; 0: none, or no room. */
size_t rmri_dsw_write_note(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst);

static inline rmri_dsw_client *rmri_dsw_get(const rmr_dsw *sw, uint64_t id)
{
    return (rmri_dsw_client *)rmr_slots_get(&sw->clients, id);
}

static inline bool rmri_dsw_has_output(const rmri_dsw_client *c)
{
    return c->out || c->cut || c->queue[0].n || c->queue[1].n || c->notes ||
           (c->watch && c->watch->is_dumping);
}

#endif
