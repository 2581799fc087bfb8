/*
 * remora/derp.h - a DERP client: one connection to one region, kept up.
 *
 * It does the HTTP upgrade, the login, frames, keep-alive, and decides when and
 * where to (re)connect; the host dials (remora/dial.h), puts TLS on top where
 * asked and moves the bytes.  It carries opaque packets between node keys.
 * The relay's side is remora/derp_srv.h (later).
 *
 * Threading: one object, one thread.  Memory: bounded by the config, through
 * rmr_env.alloc.  Time: `now`, monotonic ns.
 *
 * Source: the DERP protocol, version 2, as Tailscale's derper speaks it.
 *
 *     rmr_derp_new(&d, &env, &cfg, now);
 *     each turn:
 *         if (rmr_derp_wants_stream(d, &dial)) start dialling;
 *         on success:  rmr_derp_stream_opened(d, now);
 *         on failure:  rmr_derp_stream_closed(d, now, err);
 *         bytes in:    rmr_derp_read(d, now, in);
 *         bytes out:   rmr_derp_write(d, now, dst, &len);
 */
#ifndef REMORA_DERP_H
#define REMORA_DERP_H

#include <remora/base.h>
#include <remora/crypto.h>
#include <remora/dial.h>
#include <remora/pkt.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_DERP_MAX_PACKET 65536
#define RMR_DERP_SEND_OVERHEAD 37 /* frame header 5, destination key 32 */

typedef enum rmr_derp_type { /* frame types */
    RMR_DERP_SERVER_KEY = 0x01,
    RMR_DERP_CLIENT_INFO = 0x02,
    RMR_DERP_SERVER_INFO = 0x03,
    RMR_DERP_SEND_PACKET = 0x04,
    RMR_DERP_RECV_PACKET = 0x05,
    RMR_DERP_KEEP_ALIVE = 0x06,
    RMR_DERP_NOTE_PREFERRED = 0x07,
    RMR_DERP_PEER_GONE = 0x08,
    RMR_DERP_PEER_PRESENT = 0x09,
    RMR_DERP_FORWARD_PACKET = 0x0a,
    RMR_DERP_WATCH_CONNS = 0x10,
    RMR_DERP_CLOSE_PEER = 0x11,
    RMR_DERP_PING = 0x12,
    RMR_DERP_PONG = 0x13,
    RMR_DERP_HEALTH = 0x14,
    RMR_DERP_RESTARTING = 0x15
} rmr_derp_type;

enum rmr_derp_errcode {
    RMR_E_DERP_UPGRADE = RMR_ERR(RMR_LAYER_DERP, 3, 1), /* not 101           */
    RMR_E_DERP_LOGIN = RMR_ERR(RMR_LAYER_DERP, 3, 2),   /* bad key or info   */
    RMR_E_DERP_FRAME = RMR_ERR(RMR_LAYER_DERP, 3, 3)    /* broken framing    */
};

typedef struct rmr_derp_node { /* of the DERP map */
    rmr_dial dial;   /* host, port, tls, cert_name, insecure, literals */
    char name[64];   /* "900a" */
    bool stun_only;  /* skipped */
} rmr_derp_node;

typedef struct rmr_derp rmr_derp;

typedef struct rmr_derp_callbacks {
    uint32_t struct_size;
    void *user;
    /* The login is done (up) or the connection ended (down, with the reason;
     * a new one is wanted later by itself). */
    void (*on_up)(void *user);
    void (*on_down)(void *user, rmr_err why);
    /* A packet; borrowed and writable. */
    void (*on_packet)(void *user, const uint8_t src[RMR_KEY_LEN],
                      rmr_buf packet);
    /* reason 0: it disconnected; 1: the relay doesn't know it. */
    void (*on_peer_gone)(void *user, const uint8_t key[RMR_KEY_LEN],
                         uint8_t reason);
    /* The relay's complaint about itself; empty: well again. */
    void (*on_health)(void *user, rmr_bytes text);
} rmr_derp_callbacks;

typedef struct rmr_derp_config {
    uint32_t struct_size;
    uint8_t private_key[RMR_KEY_LEN]; /* node key; copied */
    const rmr_derp_node *nodes;       /* in order; copied */
    size_t n_nodes;
    bool preferred;        /* this is the home region                        */
    bool always_on;        /* reconnect by itself (home); else on a send     */
    rmr_dur idle_close;    /* without sends; 0: never; default 60 s when not
                              always_on                                      */
    uint32_t queue_pkts;   /* default 32, oldest dropped                     */
    size_t queue_bytes;    /* default 128 KiB                                */
    const rmr_derp_callbacks *callbacks;
} rmr_derp_config;

typedef struct rmr_derp_stats {
    uint64_t rx_frames, tx_frames, rx_pkts, tx_pkts, rx_bytes, tx_bytes;
    uint64_t dropped_queue, dropped_rate, dropped_down, ignored_frames;
    uint64_t connects, failures;
    rmr_time last_frame;
} rmr_derp_stats;

RMR_API void rmr_derp_config_init(rmr_derp_config *cfg, size_t struct_size);
/** Errors: INVAL (no usable node), NOMEM.                           [submit] */
RMR_API rmr_err rmr_derp_new(rmr_derp **out, const rmr_env *env,
                             const rmr_derp_config *cfg, rmr_time now);
RMR_API void rmr_derp_free(rmr_derp *d);
/** True once per attempt: the host dials `out` now.  The node comes from the
 *  region's list, the next one after a failure; back-off min(n^2 * 10 ms, 5 s)
 *  with jitter is kept by the layer.                                [submit] */
RMR_API bool rmr_derp_wants_stream(rmr_derp *d, rmr_time now, rmr_dial *out);
/** The stream asked for is open, TLS included.                        [pump] */
RMR_API rmr_err rmr_derp_stream_opened(rmr_derp *d, rmr_time now);
/** The stream failed to open, ended or broke (RMR_OK: orderly).       [pump] */
RMR_API void rmr_derp_stream_closed(rmr_derp *d, rmr_time now, rmr_err why);
/** True when the host should close its stream (idle, or an error that was
 *  reported by on_down); answers true once.                         [submit] */
RMR_API bool rmr_derp_wants_close(rmr_derp *d);
/** Stream bytes in; takes all.  `in` is writable: packets are handed out in
 *  place where they lie whole in it.  An error means: close the stream; on_down
 *  was called.                                                        [pump] */
RMR_API rmr_err rmr_derp_read(rmr_derp *d, rmr_time now, rmr_buf in);
/** Stream bytes out; *len 0: none now.                                [pump] */
RMR_API rmr_err rmr_derp_write(rmr_derp *d, rmr_time now, rmr_buf dst,
                               size_t *len);
/** Queues a packet (copied).  Errors: TOOBIG; NOTREADY: queued, and a
 *  connection is wanted; FULL: it or an older one was dropped, counted. */
RMR_API rmr_err rmr_derp_send(rmr_derp *d, rmr_time now,
                              const uint8_t dst[RMR_KEY_LEN],
                              rmr_bytes packet);
/** Home or not: NotePreferred, and always_on with it.               [submit] */
RMR_API void rmr_derp_set_preferred(rmr_derp *d, rmr_time now, bool on);
RMR_API bool rmr_derp_is_up(const rmr_derp *d);
/** Bytes of packets that wait in the queue: the host holds its stack back while
 *  there are many.                                                     [look] */
RMR_API size_t rmr_derp_queued_bytes(const rmr_derp *d);
RMR_API rmr_time rmr_derp_next_deadline(const rmr_derp *d);
RMR_API rmr_err rmr_derp_handle_deadline(rmr_derp *d, rmr_time now);
RMR_API void rmr_derp_get_stats(const rmr_derp *d, rmr_derp_stats *out);

#ifdef __cplusplus
}
#endif
#endif
