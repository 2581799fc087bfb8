/*
 * remora/h2.h - one HTTP/2 connection over nghttp2, without I/O.
 *
 * A client by prior knowledge (no ALPN, no upgrade): the preface is ready at
 * once.  Request bodies are copied; response bodies are handed out as they
 * come, and flow-control credit is given back only as the caller consumes.
 * It is not a server, and takes no pushes.
 *
 * Threading: one object, one thread.  Callbacks fire between frames; inside
 * one, submit and look functions are allowed, and rmr_h2_free (the object goes
 * when the pump returns, which then says RMR_E_CLOSED).  Memory: through
 * rmr_env.alloc, bounded by the config; named impurity: nghttp2 takes a few
 * hundred bytes from malloc inside rmr_h2_client_new and gives them back there.
 * Time: none.  Named impurity: nghttp2's rate limiter reads a clock on its
 * own; it decides only about floods of resets.
 *
 *     rmr_h2_client_new(&h, &env, &cfg);
 *     rmr_h2_request(h, "POST", "host", "/path", NULL, 0, body, tag, &id);
 *     for (;;) {
 *         while (rmr_h2_write(h, buf, &n) == RMR_OK && n > 0)
 *             send(n bytes of buf);
 *         if (!(in = receive()).len)
 *             break;
 *         if (rmr_h2_read(h, in) != RMR_OK)
 *             break;           // write what is left, then free
 *     }                        // on_body calls rmr_h2_consume
 *     rmr_h2_read_eof(h);      // on_close for each open stream
 *     rmr_h2_free(h);
 *
 * Source: RFC 9113, 7541.
 */
#ifndef REMORA_H2_H
#define REMORA_H2_H

#include <remora/http1.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_H2_MAX_REQUEST_HEADERS 32
#define RMR_H2_WRITE_MIN 64 /* smallest dst of rmr_h2_write */

typedef struct rmr_h2 rmr_h2;

typedef struct rmr_h2_callbacks {
    void *user;
    /* The head of a response: `status`, and headers borrowed.  Interim
     * responses (1xx) and trailers are not shown. */
    void (*on_head)(void *user, void *tag, int32_t stream, uint16_t status,
                    const rmr_header *headers, size_t n_headers);
    /* Body bytes, borrowed.  Credit comes back by rmr_h2_consume. */
    void (*on_body)(void *user, void *tag, int32_t stream, rmr_bytes data);
    /* The stream is over: RMR_OK after a complete response, RMR_E_RESET (by
     * either side), RMR_E_REFUSED (safe to retry), RMR_E_CLOSED (connection),
     * RMR_E_HTTP_HEAD (above max_header_bytes).  Its last. */
    void (*on_close)(void *user, void *tag, int32_t stream, rmr_err why);
} rmr_h2_callbacks;

/*
 * A place of 16 KiB where a frame is packed before it is written.  A session
 * needs one only while it writes; those of one thread can share it, and have
 * nothing of it at rest.  A session whose frame did not fit into dst keeps a
 * copy until the next write.
 */
typedef struct rmr_h2_frame rmr_h2_frame;

/**
 * A frame for sessions to share.
 *
 * Effects: allocates.
 * Errors:  NOMEM.
 * Lifetime: until rmr_h2_frame_free(); env is copied.
 * Source:  none.
 */
RMR_API rmr_err rmr_h2_frame_new(rmr_h2_frame **out, const rmr_env *env);

/**
 * Wipes and frees; NULL is allowed.  No session may have it any more.
 *
 * Effects: it is gone.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_h2_frame_free(rmr_h2_frame *f);

typedef struct rmr_h2_config {
    uint32_t stream_window;     /* bytes, 0: 64 KiB             */
    uint32_t connection_window; /* bytes, 0: 256 KiB            */
    uint32_t max_streams;       /* open at once, 0: 32          */
    size_t max_header_bytes;    /* of one head, 0: 16 KiB       */
    rmr_h2_callbacks callbacks;
    rmr_h2_frame *frame;        /* retained; NULL: one of its own */
} rmr_h2_config;

/**
 * A client; its preface and SETTINGS are ready to be written.
 *
 * Effects: allocates; makes output.
 * Errors:  INVAL (a window above 2^31 - 1, more than 65535 streams), NOMEM.
 * Lifetime: until rmr_h2_free(); cfg and env are copied.
 * Source:  RFC 9113 3.3, 3.4, 6.5.2.
 */
RMR_API rmr_err rmr_h2_client_new(rmr_h2 **out, const rmr_env *env,
                                  const rmr_h2_config *cfg);

/**
 * Frees; NULL is allowed.
 *
 * Effects: no callbacks.  Inside a callback it takes effect when the pump that
 *          called it returns.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_h2_free(rmr_h2 *h);

/**
 * Takes all of `in`.                                                  [pump]
 *
 * Effects: any callback, any number of times; may create output.
 * Errors: RMR_E_HTTP_H2 (the peer broke the protocol; rmr_h2_write still hands
 *         out our GOAWAY), NOMEM; both are sticky and have closed every stream
 *         (RMR_E_CLOSED).  CLOSED after rmr_h2_read_eof; REENTRANT.
 * Source: RFC 9113 5, 6.
 */
RMR_API rmr_err rmr_h2_read(rmr_h2 *h, rmr_bytes in);

/**
 * The peer's bytes are over.                                          [pump]
 *
 * Effects: on_close (RMR_E_CLOSED) for every stream.
 * Errors: the sticky one; REENTRANT.
 * Source: none.
 */
RMR_API rmr_err rmr_h2_read_eof(rmr_h2 *h);

/**
 * Fills dst with frames.                                              [pump]
 *
 * \param dst At least RMR_H2_WRITE_MIN bytes.
 * \param len What was written; 0: nothing now.
 *
 * Effects: on_close of streams whose reset went out.
 * Errors: BUFSIZE (dst too small), NOMEM (sticky, but for a shared frame that
 *         another session is writing to), REENTRANT.
 * Source: RFC 9113 4, 5.2.
 */
RMR_API rmr_err rmr_h2_write(rmr_h2 *h, rmr_buf dst, size_t *len);

/**
 * A request with scheme https.                                      [submit]
 *
 * \param headers  Added as they are, lower-case names; at most
 *                 RMR_H2_MAX_REQUEST_HEADERS.  Copied.
 * \param body     Copied.  content-length is sent when there is a body, and
 *                 for POST, PUT and PATCH.
 * \param stream   The stream's number, for consume and cancel.
 *
 * Effects: output; later on_head, on_body, and in any case on_close.
 * Errors: FULL (max_streams are open), NOMEM, CLOSED (GOAWAY came, or the
 *         connection is over), INVAL (a name or value that HTTP/2 does not
 *         allow).
 * Source: RFC 9113 8.1, 8.3.1.
 */
RMR_API rmr_err rmr_h2_request(rmr_h2 *h, const char *method,
                               const char *authority, const char *path,
                               const rmr_header *headers, size_t n_headers,
                               rmr_bytes body, void *tag, int32_t *stream);

/**
 * `n` body bytes were dealt with: credit for the stream and the connection.
 * After the stream's end it still credits the connection.           [submit]
 *
 * Effects: output, once half a window was consumed.
 * Errors: INVAL (more than was handed out on this connection).
 * Source: RFC 9113 5.2, 6.9.
 */
RMR_API rmr_err rmr_h2_consume(rmr_h2 *h, int32_t stream, size_t n);

/**
 * RST_STREAM CANCEL.                                                [submit]
 *
 * Effects: no more on_head and on_body; on_close (RMR_E_RESET) follows when
 *          rmr_h2_write sends it, or when the peer ends the stream first.
 * Errors: BADHANDLE (no such stream), NOMEM.
 * Source: RFC 9113 5.4.2, 7.
 */
RMR_API rmr_err rmr_h2_cancel(rmr_h2 *h, int32_t stream);

/**
 * GOAWAY came and every stream is over, or the connection is.         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 9113 6.8.
 */
RMR_API bool rmr_h2_is_closed(const rmr_h2 *h);

#ifdef __cplusplus
}
#endif
#endif
