/*
 * remora/h2_srv.h - the server's side of one HTTP/2 connection over nghttp2,
 * without I/O.
 *
 * By prior knowledge: the client's preface is the first that comes.  Requests
 * are handed out as they are read; a response's body is asked for when it can
 * be sent, so that nothing is queued here and a stream may last for days.
 * Pushes, and requests with CONNECT, are not made and not taken.
 *
 * Threading: one object, one thread.  Callbacks fire inside pumps; there the
 * submit and look functions are allowed, and rmr_h2s_free (the object goes
 * when the pump returns, which then says RMR_E_CLOSED).  Memory: through
 * rmr_env.alloc, bounded by the config; a head lives only while it is read.
 * Named impurities: as in remora/h2.h.  Time: none; the caller closes
 * connections that are idle for too long.  A client that resets 128 streams,
 * or opens as many above max_streams, more than it takes responses has broken
 * the protocol.
 *
 *     rmr_h2s_new(&h, &env, &cfg);
 *     while ((in = receive()).len) {
 *         e = rmr_h2s_read(h, in);        // on_request, on_body, on_done
 *         while (rmr_h2s_write(h, buf, &n) == RMR_OK && n > 0)
 *             send(n bytes of buf);       // on_pull
 *         if (e || rmr_h2s_is_closed(h))
 *             break;
 *     }
 *     rmr_h2s_read_eof(h);                // on_close for each open stream
 *     rmr_h2s_free(h);
 *
 * Source: RFC 9113, 7541.
 */
#ifndef REMORA_H2_SRV_H
#define REMORA_H2_SRV_H

#include <remora/h2.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_H2S_MAX_HEADERS 32 /* of a response */
#define RMR_H2S_WRITE_MIN 64   /* smallest dst of rmr_h2s_write */

typedef struct rmr_h2s rmr_h2s;

typedef struct rmr_h2s_request { /* borrowed for the callback */
    rmr_bytes method, path, authority; /* authority: of Host, where that is all;
                                          none: no bytes                     */
    const rmr_header *headers; /* lower-case names, without the pseudo ones  */
    size_t n_headers;
    bool has_body; /* on_body may follow; on_done does in any case           */
} rmr_h2s_request;

typedef struct rmr_h2s_callbacks {
    void *user;
    /* A request's head.  What it returns is the `tag` of all that follows for
     * this stream. */
    void *(*on_request)(void *user, int32_t stream,
                        const rmr_h2s_request *request);
    /* Bytes of its body, borrowed; the client gets credit for them when the
     * callback returns.  At most max_body in all: a longer one is reset
     * (on_close with RMR_E_HTTP_BODY) unless a response stands already. */
    void (*on_body)(void *user, void *tag, int32_t stream, rmr_bytes data);
    /* The request is complete. */
    void (*on_done)(void *user, void *tag, int32_t stream);
    /* Fills dst with what comes next of the response's body.  *end: it is the
     * last.  0 and no end: nothing now, until rmr_h2s_resume.  Called only for
     * responses with a body. */
    size_t (*on_pull)(void *user, void *tag, int32_t stream, rmr_buf dst,
                      bool *end);
    /* The stream is over: RMR_OK after the whole response was written,
     * RMR_E_RESET (by either side), RMR_E_HTTP_BODY, RMR_E_CLOSED (the
     * connection is).  Its last. */
    void (*on_close)(void *user, void *tag, int32_t stream, rmr_err why);
} rmr_h2s_callbacks;

typedef struct rmr_h2s_config {
    uint32_t window;       /* for requests' bodies, bytes, 0: 64 KiB        */
    uint32_t max_streams;  /* open at once, 0: 16; more are refused         */
    size_t max_head_bytes; /* of one head, 0: 8 KiB; a larger one is
                              answered by 431 without the caller            */
    uint64_t max_body;     /* of one request, 0: 1 MiB                      */
    rmr_h2s_callbacks callbacks; /* all must be given                       */
    rmr_h2_frame *frame; /* retained; NULL: one of its own (remora/h2.h)    */
} rmr_h2s_config;

/**
 * A connection that waits for its preface; SETTINGS are ready to be written.
 *
 * Effects: allocates; makes output.
 * Errors:  INVAL (a window above 2^31 - 1, more than 65535 streams, a callback
 *          is missing), NOMEM.
 * Lifetime: until rmr_h2s_free(); cfg and env are copied.
 * Source:  RFC 9113 3.3, 3.4, 6.5.2.
 */
RMR_API rmr_err rmr_h2s_new(rmr_h2s **out, const rmr_env *env,
                            const rmr_h2s_config *cfg);

/**
 * Frees; NULL is allowed.
 *
 * Effects: no callbacks.  Inside a callback it takes effect when the pump that
 *          called it returns.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_h2s_free(rmr_h2s *h);

/**
 * Takes all of `in`.                                                  [pump]
 *
 * Effects: any callback but on_pull, any number of times; may make output.
 * Errors: RMR_E_HTTP_H2 (the client broke the protocol; rmr_h2s_write still
 *         hands out our GOAWAY), NOMEM; both are sticky and have closed every
 *         stream (RMR_E_CLOSED).  CLOSED after rmr_h2s_read_eof; REENTRANT.
 * Source: RFC 9113 5, 6.
 */
RMR_API rmr_err rmr_h2s_read(rmr_h2s *h, rmr_bytes in);

/**
 * The client's bytes are over.                                        [pump]
 *
 * Effects: on_close (RMR_E_CLOSED) for every stream.
 * Errors: the sticky one; REENTRANT.
 * Source: none.
 */
RMR_API rmr_err rmr_h2s_read_eof(rmr_h2s *h);

/**
 * Fills dst with frames.                                              [pump]
 *
 * \param dst At least RMR_H2S_WRITE_MIN bytes.
 * \param len What was written; 0: nothing now.
 *
 * Effects: on_pull; on_close of streams that ended.
 * Errors: BUFSIZE (dst too small), NOMEM (sticky), REENTRANT.
 * Source: RFC 9113 4, 5.2.
 */
RMR_API rmr_err rmr_h2s_write(rmr_h2s *h, rmr_buf dst, size_t *len);

/**
 * The answer to a stream's request; it may come before the request is whole.
 *                                                                   [submit]
 * \param headers  Lower-case names; at most RMR_H2S_MAX_HEADERS.  Copied.
 * \param has_body false: the stream ends with the head.
 *
 * Effects: output; on_pull later, on_close at the end.
 * Errors: BADHANDLE (no such stream), STATE (it has an answer), INVAL (a
 *         status outside 200..599, a header that HTTP/2 does not allow),
 *         NOMEM; the stream is as before then.
 * Source: RFC 9113 8.1, 8.3.2.
 */
RMR_API rmr_err rmr_h2s_respond(rmr_h2s *h, int32_t stream, uint16_t status,
                                const rmr_header *headers, size_t n_headers,
                                bool has_body);

/**
 * There is something for on_pull again.                             [submit]
 *
 * Effects: output, when a pull had found nothing.
 * Errors: BADHANDLE (no such stream, or it has no response with a body), NOMEM.
 * Source: none.
 */
RMR_API rmr_err rmr_h2s_resume(rmr_h2s *h, int32_t stream);

/**
 * RST_STREAM INTERNAL_ERROR.                                        [submit]
 *
 * Effects: no callback for it but on_close (RMR_E_RESET), when rmr_h2s_write
 *          sends it or the client ends the stream first.
 * Errors: BADHANDLE (no such stream), NOMEM.
 * Source: RFC 9113 5.4.2.
 */
RMR_API rmr_err rmr_h2s_reset(rmr_h2s *h, int32_t stream);

/**
 * GOAWAY without an error: streams that are open go on, new ones are refused.
 *                                                                   [submit]
 * Effects: output.
 * Errors: NOMEM; CLOSED (the connection is over).
 * Source: RFC 9113 6.8.
 */
RMR_API rmr_err rmr_h2s_go_away(rmr_h2s *h);

/**
 * Streams that are open.                                              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API uint32_t rmr_h2s_open_streams(const rmr_h2s *h);

/**
 * Nothing more will come of it: an error stands, or a GOAWAY of either side
 * and every stream is over, and all was written.                      [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 9113 6.8.
 */
RMR_API bool rmr_h2s_is_closed(const rmr_h2s *h);

#ifdef __cplusplus
}
#endif
#endif
