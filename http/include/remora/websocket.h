/*
 * remora/websocket.h - WebSocket frames as a byte filter, for either side.
 *
 * What it carries is a stream of bytes in binary messages, cut anywhere, as
 * DERP and TS2021 want it.  Bytes from the peer are unmasked where they lie and
 * handed out as pieces; bytes for the peer get their head put before them in
 * place.  Pings are answered, control frames may stand between the fragments
 * of a message.  It is no text, no compression (no extension at all) and no
 * HTTP: the upgrade is written and read with remora/http1.h, this file gives
 * its two values (Sec-WebSocket-Key, Sec-WebSocket-Accept).
 *
 * What ends a connection, and the code that the peer is told:
 *   1002  RMR_E_WS_PROTOCOL  a frame that RFC 6455 forbids
 *   1003  RMR_E_WS_TEXT      a text message
 *   1009  RMR_E_WS_TOO_BIG   a message above max_message
 * and whatever the host says by rmr_ws_close (1008: no subprotocol in common).
 *
 * Threading: one object, one thread.  Memory: below 640 bytes, at creation.
 * Time: none.  Randomness: a client's keys and masks, from rmr_env.rng.
 *
 *     rmr_ws_config_init(&cfg, sizeof cfg);
 *     cfg.is_client = true;
 *     rmr_ws_new(&w, &env, &cfg);              // after the upgrade
 *     while (in.len) {
 *         e = rmr_ws_read(w, in, &n, &piece);  // piece lies in the n bytes
 *         if (e != RMR_OK)
 *             break;                           // write still: the close frame
 *         deal_with(piece);
 *         in.ptr += n, in.len -= n;
 *     }
 *     rmr_ws_write(w, room, &n);               // pong, ping, close
 *     h = rmr_ws_headroom(w);                  // and data, in one buffer:
 *     len = make_bytes(room.ptr + h, room.len - h);
 *     rmr_ws_wrap(w, room, len, &n);           // n bytes, from room.ptr
 *
 * Source: RFC 6455.
 */
#ifndef REMORA_WEBSOCKET_H
#define REMORA_WEBSOCKET_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rmr_ws_errcode {
    RMR_E_WS_PROTOCOL = RMR_ERR(RMR_LAYER_HTTP, 4, 5),
    RMR_E_WS_TEXT = RMR_ERR(RMR_LAYER_HTTP, 4, 6),
    RMR_E_WS_TOO_BIG = RMR_ERR(RMR_LAYER_HTTP, 4, 7)
};

enum rmr_ws_code { /* RFC 6455 7.4.1, RFC 6455 11.7 */
    RMR_WS_NORMAL = 1000,
    RMR_WS_GOING_AWAY = 1001,
    RMR_WS_BAD_FRAME = 1002,
    RMR_WS_BAD_TYPE = 1003,
    RMR_WS_NO_CODE = 1005, /* never sent: the peer's close had none */
    RMR_WS_POLICY = 1008,
    RMR_WS_TOO_BIG = 1009,
    RMR_WS_INTERNAL = 1011
};

/* ---- the upgrade ------------------------------------------------------ */

#define RMR_WS_KEY_LEN 24    /* characters, without NUL */
#define RMR_WS_ACCEPT_LEN 28

/**
 * A fresh Sec-WebSocket-Key.                                           [pure]
 *
 * Effects: draws 16 bytes.
 * Errors:  RNG.
 * Source:  RFC 6455 4.1 item 7.
 */
RMR_API rmr_err rmr_ws_key_make(const rmr_rng *rng,
                                char key[RMR_WS_KEY_LEN + 1]);

/**
 * The Sec-WebSocket-Accept for a client's key.                         [pure]
 *
 * Effects: none.
 * Errors:  MALFORMED (the key is not 16 bytes in base64).
 * Source:  RFC 6455 4.2.1 item 5, 4.2.2 item 5.4.
 */
RMR_API rmr_err rmr_ws_accept_make(rmr_bytes key,
                                   char accept[RMR_WS_ACCEPT_LEN + 1]);

/**
 * Whether a server's Sec-WebSocket-Accept is the one for our key.      [pure]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 6455 4.1, the server's response, item 4.
 */
RMR_API bool rmr_ws_accept_is(const char *key, rmr_bytes accept);

/* ---- frames ----------------------------------------------------------- */

#define RMR_WS_WRITE_MAX 32768u  /* bytes of a message that is written      */
#define RMR_WS_CONTROL_MAX 131u  /* the largest control frame, mask and all */

typedef struct rmr_ws rmr_ws;

typedef struct rmr_ws_config {
    uint32_t struct_size; /* written by rmr_ws_config_init */
    bool is_client;       /* masks what it writes, wants none on what it reads;
                             a server the other way round */
    size_t max_message;   /* of the peer's messages, all fragments together */
} rmr_ws_config;

/**
 * A server with max_message 32,768, as the reference relay has it.  (A client
 * of relays wants more: 131,072 is ample.)
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ws_config_init(rmr_ws_config *cfg, size_t struct_size);

/**
 * A connection whose upgrade is done.
 *
 * Effects: allocates.
 * Errors:  INVAL (struct_size, max_message 0), NOMEM.
 * Lifetime: until rmr_ws_free(); env and cfg are copied.
 * Source:  none.
 */
RMR_API rmr_err rmr_ws_new(rmr_ws **out, const rmr_env *env,
                           const rmr_ws_config *cfg);

/**
 * Frees; NULL is allowed.
 *
 * Effects: nothing is sent.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_ws_free(rmr_ws *w);

/**
 * Bytes from the peer, up to the end of the next piece of payload.     [pump]
 *
 * \param in        Changed in place (unmasked).
 * \param consumed  All of in, unless there is a piece: then up to its end.
 * \param piece     Payload, inside the consumed bytes; len 0: none in there.
 *
 * Effects: may queue a pong or a close frame.  After a close, or our own, what
 *          comes is dropped.
 * Errors:  RMR_E_WS_*, sticky; a close frame that says why is queued.
 * Source:  RFC 6455 5, 6.2, 7.
 */
RMR_API rmr_err rmr_ws_read(rmr_ws *w, rmr_buf in, size_t *consumed,
                            rmr_buf *piece);

/**
 * The stream below ended.                                              [pump]
 *
 * Effects: the connection is closed.
 * Errors:  RMR_E_HTTP_EOF (remora/http1.h) when no close frame came and ours
 *          was not written; the sticky error.
 * Source:  RFC 6455 7.1.5.
 */
RMR_API rmr_err rmr_ws_read_eof(rmr_ws *w);

/**
 * Control frames that wait: pong, ping, close, each whole or not at all.
 *                                                                     [pump]
 * \param dst  RMR_WS_CONTROL_MAX bytes take any one.
 * \param len  0: none waits, or it does not fit.
 *
 * Effects: they wait no more.
 * Errors:  RNG (a mask), sticky.
 * Source:  RFC 6455 5.5.
 */
RMR_API rmr_err rmr_ws_write(rmr_ws *w, rmr_buf dst, size_t *len);

/** Something waits for rmr_ws_write.                                  [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_ws_wants_write(const rmr_ws *w);

/** Bytes to leave free before payload for rmr_ws_wrap: 4, a client 8.  [look]
 *  Effects: none.  Errors: none.  Source: RFC 6455 5.2. */
RMR_API size_t rmr_ws_headroom(const rmr_ws *w);

/**
 * Makes payload that lies at room.ptr + rmr_ws_headroom() one binary message,
 * in place.                                                           [submit]
 *
 * \param payload  1 to RMR_WS_WRITE_MAX bytes; masked in place by a client.
 * \param framed   The message's length; it begins at room.ptr.  (Fewer than 126
 *                 bytes have a shorter head and are moved by two.)
 *
 * Effects: none but that, and randomness for a client's mask.
 * Errors:  INVAL (payload 0, too long, or not in room); CLOSED (a close frame
 *          came or was asked for); RNG and other sticky ones.  Nothing changed.
 * Source:  RFC 6455 5.2, 5.3, 6.1.
 */
RMR_API rmr_err rmr_ws_wrap(rmr_ws *w, rmr_buf room, size_t payload,
                            size_t *framed);

/**
 * Queues a ping; one that waits is enough.                          [submit]
 *
 * Effects: output for rmr_ws_write.
 * Errors:  CLOSED; the sticky one.
 * Source:  RFC 6455 5.5.2.
 */
RMR_API rmr_err rmr_ws_ping(rmr_ws *w);

/** Pongs that came.                                                   [look]
 *  Effects: none.  Errors: none.  Source: RFC 6455 5.5.3. */
RMR_API uint64_t rmr_ws_pongs(const rmr_ws *w);

/**
 * Queues a close frame; the first one stands.                       [submit]
 *
 * \param code    1000 to 1003, 1007 to 1014 or 3000 to 4999.
 * \param reason  UTF-8, copied; at most 123 bytes.
 *
 * Effects: output for rmr_ws_write; nothing can be wrapped any more, what the
 *          peer still sends is dropped.
 * Errors:  INVAL (code, reason).
 * Source:  RFC 6455 5.5.1, 7.4.
 */
RMR_API rmr_err rmr_ws_close(rmr_ws *w, uint16_t code, rmr_bytes reason);

/** The peer's close frame came, or the stream's end, or an error.     [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_ws_is_closed(const rmr_ws *w);

/** It is closed, and our close frame has been written: the stream below can be
 *  shut.                                                              [look]
 *  Effects: none.  Errors: none.  Source: RFC 6455 7.1.1. */
RMR_API bool rmr_ws_is_done(const rmr_ws *w);

/** The peer's code; RMR_WS_NO_CODE, or 0 when no close frame came.  1000 and
 *  1001 end a stream in order.                                        [look]
 *  Effects: none.  Errors: none.  Source: RFC 6455 7.1.5. */
RMR_API uint16_t rmr_ws_peer_code(const rmr_ws *w);

#ifdef __cplusplus
}
#endif
#endif
