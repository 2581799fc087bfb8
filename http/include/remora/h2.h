/*
 * remora/h2.h - one HTTP/2 connection over nghttp2, without I/O.
 *
 * A client by prior knowledge (no ALPN, no upgrade): the preface is ready at
 * once.  Request bodies are copied; response bodies are handed out as they
 * come, and flow-control credit is given back only as the caller consumes.
 *
 * Threading: one object, one thread.  Callbacks fire between frames; inside
 * one, submit and look functions are allowed.  Memory: through rmr_env.alloc,
 * bounded by the config.  Time: none.  Named impurity: nghttp2's rate limiter
 * reads a clock on its own; it decides only about floods of resets.
 *
 * Source: RFC 9113, 7541.
 */
#ifndef REMORA_H2_H
#define REMORA_H2_H

#include <remora/http1.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_h2 rmr_h2;

typedef struct rmr_h2_callbacks {
    void *user;
    /* The head of a response: `status`, and headers borrowed. */
    void (*on_head)(void *user, void *tag, int32_t stream, uint16_t status,
                    const rmr_header *headers, size_t n_headers);
    /* Body bytes, borrowed.  Credit comes back by rmr_h2_consume. */
    void (*on_body)(void *user, void *tag, int32_t stream, rmr_bytes data);
    /* The stream is over: RMR_OK after a complete response, RMR_E_RESET,
     * RMR_E_REFUSED (safe to retry), RMR_E_CLOSED (connection).  Its last. */
    void (*on_close)(void *user, void *tag, int32_t stream, rmr_err why);
} rmr_h2_callbacks;

typedef struct rmr_h2_config {
    uint32_t stream_window;     /* bytes, 0: 64 KiB                            */
    uint32_t connection_window; /* bytes, 0: 256 KiB                           */
    uint32_t max_streams;       /* open at once, 0: 32                         */
    size_t max_header_bytes;    /* of one response head, 0: 16 KiB             */
    rmr_h2_callbacks callbacks;
} rmr_h2_config;

RMR_API rmr_err rmr_h2_client_new(rmr_h2 **out, const rmr_env *env,
                                  const rmr_h2_config *cfg);
/** No callbacks.  NULL is allowed. */
RMR_API void rmr_h2_free(rmr_h2 *h);
/** Takes all of `in`.  Errors: RMR_E_HTTP_H2, NOMEM; sticky.           [pump] */
RMR_API rmr_err rmr_h2_read(rmr_h2 *h, rmr_bytes in);
/** Closes every stream (RMR_E_CLOSED).                                 [pump] */
RMR_API rmr_err rmr_h2_read_eof(rmr_h2 *h);
/** Fills dst with frames; *len 0: nothing now.                         [pump] */
RMR_API rmr_err rmr_h2_write(rmr_h2 *h, rmr_buf dst, size_t *len);

/** A request with scheme https; `headers` are added as they are (lower-case
 *  names); the body is copied, content-length is sent.
 *  Errors: FULL (max_streams), NOMEM, CLOSED (GOAWAY came).          [submit] */
RMR_API rmr_err rmr_h2_request(rmr_h2 *h, const char *method,
                               const char *authority, const char *path,
                               const rmr_header *headers, size_t n_headers,
                               rmr_bytes body, void *tag, int32_t *stream);
/** `n` body bytes were dealt with: credit for the stream and the connection.
 *  After the stream's end it still credits the connection.          [submit] */
RMR_API rmr_err rmr_h2_consume(rmr_h2 *h, int32_t stream, size_t n);
/** RST_STREAM CANCEL; on_close follows at the next pump.            [submit] */
RMR_API rmr_err rmr_h2_cancel(rmr_h2 *h, int32_t stream);
RMR_API bool rmr_h2_is_closed(const rmr_h2 *h); /* GOAWAY came and all is done */

#ifdef __cplusplus
}
#endif
#endif
