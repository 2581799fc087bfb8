/*
 * remora/derp.h - a DERP client: one connection to one region, kept up.
 *
 * It does the HTTP upgrade, the login, frames, keep-alive, and decides when and
 * where to (re)connect; the host dials (remora/dial.h), puts TLS on top where
 * asked and moves the bytes; the layer does not see whether there is TLS.  It
 * carries opaque packets between node keys; they may be lost, and it does not
 * choose regions.  With a mesh key it is another relay of the region: it
 * watches who is there and forwards packets.  The relay's side is
 * remora/derp_srv.h.  Where a proxy lets no Upgrade: DERP pass, the same bytes
 * go in WebSocket messages (config.form).
 *
 * Threading: one object, one thread.  Callbacks come from pump functions alone;
 * within them submit and look functions may be called.  Memory: bounded by the
 * config, through rmr_env.alloc.  Time: `now`, monotonic ns.
 *
 * Source: the DERP protocol, version 2, as Tailscale's derper speaks it.
 *
 *     rmr_derp_new(&d, &env, &cfg, now);
 *     each turn:
 *         if (rmr_derp_wants_close(d)) close the stream;
 *         if (rmr_derp_wants_stream(d, now, &dial)) start dialling;
 *         on success:  rmr_derp_stream_opened(d, now);
 *         on failure:  rmr_derp_stream_closed(d, now, err);
 *         bytes in:    rmr_derp_read(d, now, in);
 *         bytes out:   rmr_derp_write(d, now, dst, &len);
 *         if (now >= rmr_derp_next_deadline(d))
 *             rmr_derp_handle_deadline(d, now);
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
    /* The login is done (up), or an attempt or the connection ended (down, with
     * the reason, RMR_OK when it was idle; a new one is wanted later by
     * itself). */
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
    /* Mesh peers alone: this key is at the relay (on_peer_gone: no more). */
    void (*on_peer_present)(void *user, const uint8_t key[RMR_KEY_LEN]);
} rmr_derp_callbacks;

/* How frames lie in the stream behind the upgrade. */
typedef enum rmr_derp_form {
    RMR_DERP_RAW,       /* as they are                                        */
    RMR_DERP_EITHER,    /* raw; where a node doesn't upgrade, the other form is
                           tried once at the same node, and what worked last
                           is begun with                                      */
    RMR_DERP_WEBSOCKET  /* in binary WebSocket messages                       */
} rmr_derp_form;

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
    const uint8_t *mesh_key; /* 32 bytes, copied: another relay of the region,
                                which watches who is there and forwards; NULL:
                                a node                                        */
    rmr_derp_form form;
} rmr_derp_config;

/* rx_bytes and tx_bytes are of packets, without their frames.  dropped_rate:
 * above the rate that the relay advised; dropped_down: queued when the
 * connection ended; ignored_frames: unknown or short ones; failures: attempts
 * and connections that ended with an error. */
typedef struct rmr_derp_stats {
    uint64_t rx_frames, tx_frames, rx_pkts, tx_pkts, rx_bytes, tx_bytes;
    uint64_t dropped_queue, dropped_rate, dropped_down, ignored_frames;
    uint64_t connects, failures;
    rmr_time last_frame;
    uint64_t dropped_nomem; /* received, but there was no memory */
} rmr_derp_stats;

/**
 * The defaults; then set at least private_key, nodes and callbacks.  [submit]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_derp_config_init(rmr_derp_config *cfg, size_t struct_size);

/**
 * A client of one region, without a stream yet.                      [submit]
 *
 * \param cfg  Copied, with the nodes and the callbacks; the caller wipes its
 *             own private key.
 *
 * Effects: wants a stream at once when always_on.
 * Errors: RMR_E_INVAL (no node that can be dialled, no callbacks), RMR_E_NOMEM.
 * Source: none.
 */
RMR_API rmr_err rmr_derp_new(rmr_derp **out, const rmr_env *env,
                             const rmr_derp_config *cfg, rmr_time now);

/**
 * Frees it, wiping its keys; no callbacks.  NULL is allowed.  Not from within a
 * callback; the host closes the stream.                                 [pump]
 *
 * Effects: what is queued is dropped; no callbacks.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_derp_free(rmr_derp *d);

/**
 * True once per attempt: the host dials `out` now, and then calls
 * rmr_derp_stream_opened or rmr_derp_stream_closed.                  [submit]
 *
 * The node comes from the region's list, the next one after a failure, the
 * first one after a connection that was up; back-off min(n^2 * 10 ms, 5 s)
 * times [0.5, 1.5) is kept by the layer, n failures in a row.  out->timeout is
 * 10 s where the node has none.
 *
 * Effects: sets a deadline for the host's answer (the timeout and 5 s).
 * Errors: none.
 * Source: Tailscale's derphttp client: region dialling, back-off.
 */
RMR_API bool rmr_derp_wants_stream(rmr_derp *d, rmr_time now, rmr_dial *out);

/**
 * The stream asked for is open, TLS included.                           [pump]
 *
 * Effects: creates output (the upgrade); 10 s to the end of the login.
 * Errors: RMR_E_STATE (not asked for); RMR_E_NOMEM and RMR_E_INVAL (a host name
 *         that HTTP can't carry): close the stream, on_down was called;
 *         RMR_E_REENTRANT.
 * Source: GET /derp with Upgrade: DERP (RFC 9110 7.8), or as a WebSocket with
 *         the subprotocol derp (RFC 6455 4.1).
 */
RMR_API rmr_err rmr_derp_stream_opened(rmr_derp *d, rmr_time now);

/**
 * The stream failed to open, ended or broke (RMR_OK: orderly).  Does nothing
 * within a callback, and when there is no stream.                       [pump]
 *
 * Effects: on_down; an orderly end is told as RMR_E_DERP_UPGRADE,
 *          RMR_E_DERP_LOGIN or RMR_E_CLOSED, by where it came; a failure while
 *          the relay restarts, as it had said, is not told.  Queued packets are
 *          dropped and counted.  Sets the deadline of the next attempt.
 * Errors: none.
 * Source: derphttp client: reconnecting.
 */
RMR_API void rmr_derp_stream_closed(rmr_derp *d, rmr_time now, rmr_err why);

/**
 * True when the host should close its stream (idle, or an error that was
 * reported by on_down); answers true once.  To be asked before
 * rmr_derp_wants_stream.                                             [submit]
 *
 * Effects: the wish is taken; the second answer is false.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_derp_wants_close(rmr_derp *d);

/**
 * Stream bytes in; takes all.                                           [pump]
 *
 * \param in  Writable: packets are handed out in place where they lie whole in
 *            it; others are gathered in memory that is freed when it is quiet.
 *
 * Effects: all callbacks; may create output; moves the deadline.
 * Errors: RMR_E_DERP_UPGRADE, RMR_E_DERP_LOGIN, RMR_E_DERP_FRAME (a body above
 *         1 MiB), RMR_E_NOMEM during the login, RMR_E_WS_* and RMR_E_CLOSED of
 *         the WebSocket form: close the stream, on_down was called.  RMR_E_RNG:
 *         free the object.  RMR_E_STATE without a stream; RMR_E_REENTRANT.
 * Source: DERP framing and login, version 2.
 */
RMR_API rmr_err rmr_derp_read(rmr_derp *d, rmr_time now, rmr_buf in);

/**
 * Stream bytes out, as many frames as fit; *len 0: none now.  A frame is cut
 * only when it is longer than dst; the host sends every byte, in order. [pump]
 *
 * \param dst  In the WebSocket form at least 131 bytes: nothing goes into less.
 *
 * Effects: moves no deadline.
 * Errors: RMR_E_REENTRANT; RMR_E_RNG (fatal).
 * Source: DERP framing; packets go right behind the login; RFC 6455, messages
 *         of at most 32,768 bytes.
 */
RMR_API rmr_err rmr_derp_write(rmr_derp *d, rmr_time now, rmr_buf dst,
                               size_t *len);

/**
 * Queues a packet (copied).                                          [submit]
 *
 * Effects: creates output, or makes a connection wanted; puts off the idle end.
 *          A packet above the rate that the relay advised is dropped, counted,
 *          and answered with RMR_OK, as the network may do.
 * Errors: RMR_E_TOOBIG (above RMR_DERP_MAX_PACKET); RMR_E_NOTREADY: queued, and
 *         a connection is wanted; RMR_E_FULL: it or an older one was dropped,
 *         counted; RMR_E_NOMEM; RMR_E_RNG (fatal).
 * Source: SendPacket; ServerInfo's token bucket.
 */
RMR_API rmr_err rmr_derp_send(rmr_derp *d, rmr_time now,
                              const uint8_t dst[RMR_KEY_LEN],
                              rmr_bytes packet);

/**
 * Queues a packet of another node's (copied), as a mesh peer may.     [submit]
 *
 * Effects: as rmr_derp_send.
 * Errors:  as rmr_derp_send; RMR_E_STATE without a mesh_key.
 * Source:  ForwardPacket.
 */
RMR_API rmr_err rmr_derp_forward(rmr_derp *d, rmr_time now,
                                 const uint8_t src[RMR_KEY_LEN],
                                 const uint8_t dst[RMR_KEY_LEN],
                                 rmr_bytes packet);

/**
 * The relay's public key; false before its greeting came.               [look]
 *
 * Effects: on key.
 * Errors:  none.
 * Source:  ServerKey.
 */
RMR_API bool rmr_derp_relay_key(const rmr_derp *d, uint8_t key[RMR_KEY_LEN]);

/**
 * Home or not: NotePreferred, and always_on with it.                 [submit]
 *
 * Effects: may create output; off: the idle time begins.
 * Errors: none.
 * Source: NotePreferred.
 */
RMR_API void rmr_derp_set_preferred(rmr_derp *d, rmr_time now, bool on);

/**
 * Asks the relay for a sign of life: without an answer within 5 s the
 * connection ends with RMR_E_TIMEOUT.  For after a change of the network.
 *                                                                     [submit]
 *
 * Effects: creates output; sets a deadline.  One at a time.
 * Errors: RMR_E_STATE (not up), RMR_E_RNG (fatal).
 * Source: Ping and Pong.
 */
RMR_API rmr_err rmr_derp_ping(rmr_derp *d, rmr_time now);

/**
 * True from on_up to on_down.                                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_derp_is_up(const rmr_derp *d);

/**
 * True when this connection, or the next one, is in the WebSocket form. [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_derp_is_websocket(const rmr_derp *d);

/**
 * Bytes of packets that wait in the queue: the host holds its stack back while
 * there are many.                                                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract B1.
 */
RMR_API size_t rmr_derp_queued_bytes(const rmr_derp *d);

/**
 * When something is due: the next attempt, the end of a stage (dialling,
 * login), 120 s without a frame, a ping without an answer, the idle end.
 *                                                                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_derp_next_deadline(const rmr_derp *d);

/**
 * What is due.  After it rmr_derp_wants_close and rmr_derp_wants_stream may
 * answer differently.                                                   [pump]
 *
 * Effects: on_down, with RMR_E_TIMEOUT, or RMR_OK for an idle end; the deadline
 *          is later than `now` after it.
 * Errors: RMR_E_REENTRANT; RMR_E_RNG (fatal).
 * Source: DERP client timers.
 */
RMR_API rmr_err rmr_derp_handle_deadline(rmr_derp *d, rmr_time now);

/**
 * The counters, by value.                                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_derp_get_stats(const rmr_derp *d, rmr_derp_stats *out);

/**
 * What an error of this layer means, for the user; for others their name.
 *                                                                       [look]
 *
 * \return A constant string, never NULL.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API const char *rmr_derp_err_text(rmr_err e);

#ifdef __cplusplus
}
#endif
#endif
