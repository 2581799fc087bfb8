/*
 * remora/derp_srv.h - a DERP relay's switch: logins, and packets between them.
 *
 * It begins behind the HTTP upgrade: the host accepts connections, does TLS and
 * HTTP, opens a client here and moves bytes; with the fast start there is no
 * HTTP answer, and this layer does not see the difference.  It speaks to any
 * number of clients, keeps two short queues for each, and never lets one wait
 * for another.  It does not: open sockets, speak HTTP, WebSocket or TLS, ask
 * anyone whether a client may enter (on_admit, rmr_dsw_admit), or dial the
 * other relays of its region (on_forward, rmr_dsw_forwarder_add).  Delivery is
 * best effort: packets are dropped under pressure, and counted.
 *
 * Threading: one object, one thread.  Callbacks come from pump functions alone;
 * within them submit and look functions may be called.  Time: `now`, monotonic
 * ns.  Memory: bounded by the config, through rmr_env.alloc; a quiet client
 * takes about 600 bytes, each distinct key 130 bytes, each pair that has
 * talked 120 bytes; queued packets lie in a pool, which keeps up to 2 MiB for
 * reuse.
 *
 * Source: the DERP protocol, version 2, as Tailscale's derper 1.98 speaks it.
 *
 *     rmr_dsw_new(&sw, &env, &cfg, now);
 *     upgraded:     rmr_dsw_client_open(sw, now, &peer, &c);
 *     bytes in:     rmr_dsw_read(sw, now, c, in, &used);    keep the rest
 *     bytes sent:   rmr_dsw_wrote(sw, now, c, n);
 *     stream over:  rmr_dsw_client_close(sw, now, c, err);
 *     each turn:
 *         if (now >= rmr_dsw_next_deadline(sw))
 *             rmr_dsw_handle_deadline(sw, now);
 *         while (rmr_dsw_next_ready(sw, &r)) {
 *             if (r.what & RMR_DSW_CLOSE) close it, rmr_dsw_client_close
 *             if (r.what & RMR_DSW_READ)  offer again what was kept, read on
 *             if (r.what & RMR_DSW_WRITE)
 *                 while (stream can send) {
 *                     rmr_dsw_write(sw, now, r.client, dst, &len);
 *                     if (len == 0) break;                  send dst
 *                 }
 *         }
 */
#ifndef REMORA_DERP_SRV_H
#define REMORA_DERP_SRV_H

#include <remora/addr.h>
#include <remora/derp.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_DSW_WRITE_MIN 512   /* the least room that rmr_dsw_write takes  */
#define RMR_DSW_HEALTH_MAX 255  /* bytes of a health text                   */

typedef struct rmr_dsw rmr_dsw;
typedef struct rmr_dsw_client {
    uint64_t id; /* index and generation; never 0 */
} rmr_dsw_client;

typedef enum rmr_dsw_reason { /* why a packet was dropped */
    RMR_DSW_UNKNOWN_DEST,        /* nobody has this key                       */
    RMR_DSW_UNKNOWN_DEST_ON_FWD, /* the same, for one that a mesh peer sent   */
    RMR_DSW_GONE_DISCONNECTED,   /* queued when its receiver went             */
    RMR_DSW_QUEUE_HEAD,          /* the oldest, for a newer one               */
    RMR_DSW_QUEUE_TAIL,          /* the newest: no room, no memory            */
    RMR_DSW_WRITE_ERROR,         /* half written when its receiver went       */
    RMR_DSW_DUP_CLIENT,          /* never: duplicates are not disabled here   */
    RMR_DSW_REASONS
} rmr_dsw_reason;

typedef enum rmr_dsw_kind { /* of packets, told apart by their first bytes */
    RMR_DSW_DISCO,
    RMR_DSW_OTHER,
    RMR_DSW_KINDS
} rmr_dsw_kind;

/* What a client said and is: for on_admit and rmr_dsw_client_get. */
typedef struct rmr_dsw_info {
    uint8_t key[RMR_KEY_LEN];
    rmr_addr addr;      /* as given to rmr_dsw_client_open                   */
    int64_t version;    /* as the client says; nothing depends on it         */
    bool is_mesh;       /* it has this relay's mesh key                      */
    bool is_prober;
    bool can_ack_pings;
    bool is_up;         /* admitted, and known to others                     */
    bool is_preferred;  /* this relay is its home                            */
    bool is_watcher;
    void *tag;
} rmr_dsw_info;

typedef struct rmr_dsw_callbacks {
    uint32_t struct_size;
    void *user;
    /* A client has proved its key and wants in; not asked for mesh peers.  The
     * host answers by rmr_dsw_admit, within the callback or up to admit_timeout
     * later; until then the client's bytes wait.  NULL: all are admitted. */
    void (*on_admit)(void *user, rmr_dsw_client client,
                     const rmr_dsw_info *info);
    /* A packet for a key that is not here but was claimed by this forwarder.
     * Borrowed; the host drops it where it can't forward now. */
    void (*on_forward)(void *user, uint64_t forwarder,
                       const uint8_t src[RMR_KEY_LEN],
                       const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet);
} rmr_dsw_callbacks;

typedef struct rmr_dsw_config {
    uint32_t struct_size;
    uint8_t private_key[RMR_KEY_LEN]; /* the relay's; copied                 */
    uint8_t mesh_key[RMR_KEY_LEN];    /* all zero: no mesh; copied           */
    uint32_t max_clients;        /* connections; default 65,536              */
    uint32_t queue_pkts;         /* a queue, two a client; default 32        */
    uint32_t burst_pkts;         /* ... while its oldest waits for less than
                                    burst_time: what came in one turn of the
                                    host's, before it could write; default
                                    512                                      */
    rmr_dur burst_time;          /* default 5 ms                             */
    size_t queue_bytes;          /* both queues of a client; default 1 MiB   */
    size_t pool_bytes;           /* all queued packets, and those of which a
                                    part has come (at most half of it);
                                    default 128 MiB                          */
    size_t login_bytes;          /* all unfinished logins; default 8 MiB     */
    uint32_t max_pairs;          /* remembered pairs of who sent to whom, for
                                    PeerGone; default 1,048,576              */
    uint32_t client_pairs;       /* ... for one receiver; default 4,096      */
    uint32_t max_notes;          /* waiting PeerGone and PeerPresent frames of
                                    all clients, a quarter of them for
                                    watchers; default 262,144                */
    uint64_t rate_bytes;         /* a second and client; 0: no limit         */
    uint64_t rate_burst_bytes;   /* raised to the largest packet             */
    rmr_dur login_timeout;       /* to ClientInfo; default 10 s              */
    rmr_dur admit_timeout;       /* to rmr_dsw_admit; default 10 s           */
    rmr_dur write_timeout;       /* without progress; default 2 s, 0: never  */
    rmr_dur mesh_write_timeout;  /* default 30 s, 0: never                   */
    rmr_dur frame_timeout;       /* for a frame of which a part has come;
                                    default 30 s, 0: never                   */
    rmr_dur keep_alive;          /* default 60 s                             */
    rmr_dur keep_alive_jitter;   /* drawn once a client, below; default 5 s  */
    const rmr_dsw_callbacks *callbacks; /* copied; may be NULL               */
} rmr_dsw_config;

/* A connection that was upgraded. */
typedef struct rmr_dsw_peer {
    rmr_addr addr;     /* told to mesh peers and to on_admit                 */
    bool not_ideal;    /* it named another node as the one it wanted         */
    bool is_websocket; /* for the statistics                                 */
    void *tag;         /* the host's; comes back with each rmr_dsw_ready     */
} rmr_dsw_peer;

enum { /* rmr_dsw_ready.what */
    RMR_DSW_WRITE = 1, /* there is output: write until len is 0              */
    RMR_DSW_READ = 2,  /* reading may go on: offer again what was kept       */
    RMR_DSW_CLOSE = 4  /* close the stream, then rmr_dsw_client_close        */
};

typedef struct rmr_dsw_ready {
    rmr_dsw_client client;
    void *tag;
    uint32_t what;
    rmr_err why; /* with RMR_DSW_CLOSE: as rmr_dsw_read says it, or
                    RMR_E_TIMEOUT, RMR_E_DENIED, RMR_E_CLOSED (a mesh peer
                    asked for it), RMR_E_FULL (a watcher that is too slow),
                    RMR_E_NOMEM, RMR_E_RNG                                   */
} rmr_dsw_ready;

#define RMR_DSW_BUCKETS 8
typedef struct rmr_dsw_histogram { /* of counts */
    uint64_t n[RMR_DSW_BUCKETS]; /* of values up to rmr_dsw_bucket_bound(i)
                                    that no bucket before it has            */
    uint64_t sum;
} rmr_dsw_histogram;

typedef struct rmr_dsw_stats {
    /* now */
    uint64_t connections;         /* logged in or not                        */
    uint64_t clients;             /* logged in                               */
    uint64_t homes;               /* ... for which this is the home          */
    uint64_t not_ideal;           /* ... that wanted another node            */
    uint64_t watchers;
    uint64_t keys_total, keys_local, keys_remote; /* here, or at a mesh peer  */
    uint64_t dup_keys, dup_conns; /* keys with several connections, and all of
                                     their connections                       */
    uint64_t avg_queue_ns;        /* a moving average, weight 0.1            */
    uint64_t queued_pkts, pool_used_bytes, pool_free_bytes;
    uint64_t pairs, notes;
    /* since the beginning */
    uint64_t accepts, websocket_accepts;
    uint64_t logins, login_failures, denied;
    uint64_t rx_bytes, tx_bytes;  /* of packets, without their frames        */
    uint64_t rx_pkts, tx_pkts;
    uint64_t rx_pkts_kind[RMR_DSW_KINDS];
    uint64_t dropped_pkts[RMR_DSW_REASONS][RMR_DSW_KINDS];
    uint64_t dropped_bytes[RMR_DSW_REASONS][RMR_DSW_KINDS];
    uint64_t pings, pongs;
    uint64_t gone_disconnected, gone_not_here; /* PeerGone frames             */
    uint64_t forwarded_in, forwarded_out;
    uint64_t home_moves_in, home_moves_out; /* later than 5 s after the login */
    uint64_t dup_conns_total;
    uint64_t write_timeouts, login_timeouts, admit_timeouts, frame_timeouts;
    uint64_t multiforwarders_made, multiforwarders_gone;
    uint64_t forwarder_other_value;
    uint64_t unknown_frames;
    uint64_t rate_waits;          /* frames that waited for their tokens     */
    uint64_t nomem;               /* what was not done for lack of memory: see
                                     dropped_pkts for packets                */
    uint64_t pairs_forgotten, notes_dropped;
    rmr_dsw_histogram write_frames; /* that began in one rmr_dsw_write       */
    rmr_dsw_histogram mesh_batches; /* changes in one rmr_dsw_write to a
                                       watcher                               */
    rmr_dsw_histogram mesh_loops;   /* writes until it knew them all         */
} rmr_dsw_stats;

/**
 * The defaults; then set at least private_key.                       [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  the timeouts and queue lengths of derper 1.98.
 */
RMR_API void rmr_dsw_config_init(rmr_dsw_config *cfg, size_t struct_size);

/**
 * A switch without clients.                                          [submit]
 *
 * \param cfg  Copied, with the callbacks; the caller wipes its own keys.
 *
 * Effects: draws from env->rng.
 * Errors: RMR_E_INVAL (a struct_size that can't be), RMR_E_NOMEM, RMR_E_RNG.
 * Source: none.
 */
RMR_API rmr_err rmr_dsw_new(rmr_dsw **out, const rmr_env *env,
                            const rmr_dsw_config *cfg, rmr_time now);

/**
 * Frees it with all clients, wiping keys; no callbacks.  NULL is allowed.  Not
 * from within a callback.                                               [pump]
 *
 * Effects: as said.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_dsw_free(rmr_dsw *sw);

/**
 * The relay's public key, for Derp-Public-Key and the meta certificate. [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API const uint8_t *rmr_dsw_public_key(const rmr_dsw *sw);

/* ---- clients ---------------------------------------------------------- */

/**
 * A connection behind its upgrade.                                   [submit]
 *
 * Effects: has output at once (ServerKey: no need to wait for rmr_dsw_ready);
 *          the login has login_timeout from here.
 * Errors: RMR_E_FULL (max_clients), RMR_E_NOMEM, RMR_E_RNG: close the stream.
 * Source: DERP login, step 1.
 */
RMR_API rmr_err rmr_dsw_client_open(rmr_dsw *sw, rmr_time now,
                                    const rmr_dsw_peer *peer,
                                    rmr_dsw_client *out);

/**
 * The stream is over (`why`: RMR_OK, orderly, or how it broke), or was closed
 * as asked for.  The handle is void then.                            [submit]
 *
 * Effects: what was queued is dropped and counted; others may get output
 *          (PeerGone).  O(clients that got packets from it, and watchers).
 * Errors: RMR_E_BADHANDLE.
 * Source: DERP: a client that disconnects.
 */
RMR_API rmr_err rmr_dsw_client_close(rmr_dsw *sw, rmr_time now,
                                     rmr_dsw_client c, rmr_err why);

/**
 * Stream bytes in.  It may take less than it is offered: while admission is not
 * answered yet, and while the rate limit says wait.  Then the host keeps the
 * rest, reads no more from the stream, and offers it again when rmr_dsw_ready
 * says RMR_DSW_READ.  A frame that lies whole in `in` is copied once, into its
 * receiver's queue; one that was cut is copied once, too.               [pump]
 *
 * \param in    Writable: the login is opened in place.
 * \param used  How much was taken; all of it when there is an error.
 *
 * Effects: on_admit, on_forward; may create output for any client; moves
 *          deadlines.
 * Errors: each is told once more by RMR_DSW_CLOSE; the client takes and gives
 *         nothing any more, and is no receiver.  RMR_E_DERP_LOGIN: no or a bad
 *         ClientInfo; RMR_E_DERP_FRAME: a frame that is not allowed (too long,
 *         too short, or mesh peers' only); RMR_E_NOMEM during the login;
 *         RMR_E_CLOSED: the client was closed earlier.  RMR_E_BADHANDLE,
 *         RMR_E_REENTRANT.
 * Source: DERP framing; derper's handling of each frame.
 */
RMR_API rmr_err rmr_dsw_read(rmr_dsw *sw, rmr_time now, rmr_dsw_client c,
                             rmr_buf in, size_t *used);

/**
 * Stream bytes out, as many frames as fit; *len 0: none now.  A frame is cut
 * only when it alone is longer than dst.  The host sends every byte, in order,
 * and tells by rmr_dsw_wrote.                                           [pump]
 *
 * Effects: none but on this client.  After *len 0 RMR_DSW_WRITE will be told
 *          again.
 * Errors: RMR_E_BUFSIZE (dst below RMR_DSW_WRITE_MIN), RMR_E_BADHANDLE,
 *         RMR_E_REENTRANT.
 * Source: DERP framing.
 */
RMR_API rmr_err rmr_dsw_write(rmr_dsw *sw, rmr_time now, rmr_dsw_client c,
                              rmr_buf dst, size_t *len);

/**
 * The kernel took n more of the bytes that rmr_dsw_write gave.  A client that
 * has output, or bytes that were not taken, and makes no progress for
 * write_timeout is closed.                                           [submit]
 *
 * \param n  As of rmr_dsw_write's bytes; what TLS put around them does not
 *           count.  More than is open counts as all.
 *
 * Effects: puts off the write deadline.
 * Errors: RMR_E_BADHANDLE.
 * Source: derper's write deadline.
 */
RMR_API rmr_err rmr_dsw_wrote(rmr_dsw *sw, rmr_time now, rmr_dsw_client c,
                              size_t n);

/**
 * The next client for which there is something to do; false: none.   [submit]
 *
 * Each wish is told once.  RMR_DSW_WRITE comes again only after rmr_dsw_write
 * gave 0 bytes: a host whose stream is full remembers it.
 *
 * Effects: the wishes are taken.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_dsw_next_ready(rmr_dsw *sw, rmr_dsw_ready *out);

/**
 * The answer to on_admit.                                            [submit]
 *
 * Effects: yes: the client is up, its waiting bytes may be offered again, and
 *          watchers hear of it; no: it is closed without a word.
 * Errors: RMR_E_BADHANDLE (it went meanwhile), RMR_E_STATE (nothing was asked),
 *         RMR_E_NOMEM and RMR_E_RNG: it is closed.
 * Source: derper's verification of clients; DERP login, step 4.
 */
RMR_API rmr_err rmr_dsw_admit(rmr_dsw *sw, rmr_time now, rmr_dsw_client c,
                              bool yes);

/**
 * What is known of a client.                                            [look]
 *
 * Effects: none.
 * Errors: RMR_E_BADHANDLE; *out is untouched then.  The key is zero before the
 *         login.
 * Source: none.
 */
RMR_API rmr_err rmr_dsw_client_get(const rmr_dsw *sw, rmr_dsw_client c,
                                   rmr_dsw_info *out);

/**
 * Tells one client of a problem of this relay or of the client; an empty text:
 * all is well again.  The last text wins until it is sent.           [submit]
 *
 * \param text  UTF-8, copied; cut to RMR_DSW_HEALTH_MAX bytes.
 *
 * Effects: creates output.
 * Errors: RMR_E_BADHANDLE, RMR_E_STATE (not logged in), RMR_E_NOMEM.
 * Source: DERP frame Health.
 */
RMR_API rmr_err rmr_dsw_send_health(rmr_dsw *sw, rmr_time now,
                                    rmr_dsw_client c, rmr_bytes text);

/**
 * Tells all clients that the relay will be gone soon: come back in
 * reconnect_in_ms, and try for try_for_ms.  It closes nothing.       [submit]
 *
 * Effects: creates output for all that are logged in.  O(clients).
 * Errors:  none.
 * Source:  DERP frame Restarting.
 */
RMR_API void rmr_dsw_send_restarting(rmr_dsw *sw, rmr_time now,
                                     uint32_t reconnect_in_ms,
                                     uint32_t try_for_ms);

/**
 * Another rate limit, for all clients from now on; waiting ones go on. [submit]
 *
 * \param rate_bytes   A second and client; 0: none.
 * \param burst_bytes  Raised to the largest packet.
 *
 * Effects: may make clients ready.  O(clients).
 * Errors:  none.
 * Source:  derper's rate configuration.
 */
RMR_API void rmr_dsw_set_rate(rmr_dsw *sw, rmr_time now, uint64_t rate_bytes,
                              uint64_t burst_bytes);

/* ---- mesh ------------------------------------------------------------- */

/**
 * The mesh peer `forwarder` (the host's number) has this key: packets for it
 * go to on_forward while it is not here.  Of several claims the oldest counts.
 *                                                                     [submit]
 *
 * Effects: none besides.  A claim that exists already stays as it is.
 * Errors: RMR_E_NOMEM, RMR_E_FULL (16 claims of one key, or 4 keys a possible
 *         client): unchanged.
 * Source: derper's packet forwarders.
 */
RMR_API rmr_err rmr_dsw_forwarder_add(rmr_dsw *sw, rmr_time now,
                                      const uint8_t key[RMR_KEY_LEN],
                                      uint64_t forwarder);

/**
 * It has the key no more.  Where it was the last, and the key is not here
 * either, those who got packets from the key get PeerGone.           [submit]
 *
 * Effects: may create output.
 * Errors: RMR_E_NOTFOUND.
 * Source: derper's packet forwarders.
 */
RMR_API rmr_err rmr_dsw_forwarder_remove(rmr_dsw *sw, rmr_time now,
                                         const uint8_t key[RMR_KEY_LEN],
                                         uint64_t forwarder);

/**
 * The connection to it broke: all its claims are void.               [submit]
 *
 * Effects: as rmr_dsw_forwarder_remove for each.  O(keys).
 * Errors:  none.
 * Source:  derper's mesh client, after an error.
 */
RMR_API void rmr_dsw_forwarder_forget(rmr_dsw *sw, rmr_time now,
                                      uint64_t forwarder);

/* ---- time, looking ---------------------------------------------------- */

/**
 * When something is due: the end of a login or of an admission, KeepAlive, a
 * writer without progress, a frame's end, the end of a wait for tokens.
 *                                                                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_dsw_next_deadline(const rmr_dsw *sw);

/**
 * What is due, for all clients.                                         [pump]
 *
 * Effects: may make clients ready for all three; the deadline is later than
 *          `now` after it.
 * Errors: RMR_E_REENTRANT.
 * Source: derper's timers.
 */
RMR_API rmr_err rmr_dsw_handle_deadline(rmr_dsw *sw, rmr_time now);

/**
 * The counters, by value.                                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  the metrics that derper exports.
 */
RMR_API void rmr_dsw_get_stats(const rmr_dsw *sw, rmr_dsw_stats *out);

/**
 * The name of a drop reason as derper exports it ("queue_head").        [look]
 *
 * \return A constant string; "" for none.
 * Effects: none.
 * Errors:  none.
 * Source:  derper's metrics.
 */
RMR_API const char *rmr_dsw_reason_name(rmr_dsw_reason reason);

/**
 * The largest value that bucket i of a histogram counts.                [look]
 *
 * \return 1, 2, 5, 10, 20, 50, 100; UINT32_MAX for the last bucket.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API uint32_t rmr_dsw_bucket_bound(unsigned i);

#ifdef __cplusplus
}
#endif
#endif
