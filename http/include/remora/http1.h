/*
 * remora/http1.h - HTTP/1.1 messages: a parser over llhttp and a builder.
 *
 * A parser reads one direction of one connection: responses (client) or
 * requests (server), one after the other, with bodies by length, chunked or to
 * the end.  After an upgrade it stops exactly behind the head, so that the
 * bytes that follow belong to the next protocol.  It follows no redirects,
 * unpacks nothing, and keeps no connection pool.
 *
 * How the input is cut never shows in the events, but for the pieces of a body.
 *
 * Threading: one object, one thread.  Memory: head_max bytes and a header
 * table, taken at creation.  Time: none (timeouts are the caller's).
 * Inside a callback the look functions, rmr_h1_expect_no_body,
 * rmr_h1_decline_upgrade and rmr_h1_free are allowed (a freed parser goes when
 * rmr_h1_read returns, which then says RMR_E_CLOSED).
 *
 *     rmr_h1_config cfg = {.callbacks = {me, on_head, on_body, on_done}};
 *     rmr_h1_new(&h, &env, &cfg);
 *     while ((in = receive()).len) {
 *         e = rmr_h1_read(h, in, &n);
 *         if (e != RMR_OK || upgraded)   // on_head saw head->upgrade
 *             break;                     // in.ptr + n: the next protocol
 *     }
 *     if (!in.len)
 *         e = rmr_h1_read_eof(h);
 *     rmr_h1_free(h);
 *
 * Source: RFC 9110, 9112; upgrades RFC 9110 7.8.
 */
#ifndef REMORA_HTTP1_H
#define REMORA_HTTP1_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_H1_MAX_HEADERS 64

enum rmr_http_errcode {
    RMR_E_HTTP_SYNTAX = RMR_ERR(RMR_LAYER_HTTP, 4, 1), /* not HTTP/1.1      */
    RMR_E_HTTP_HEAD = RMR_ERR(RMR_LAYER_HTTP, 4, 2),   /* head too big      */
    RMR_E_HTTP_BODY = RMR_ERR(RMR_LAYER_HTTP, 4, 3),   /* body too big      */
    RMR_E_HTTP_H2 = RMR_ERR(RMR_LAYER_HTTP, 4, 4),     /* HTTP/2 violation  */
    RMR_E_HTTP_GOAWAY = RMR_ERR(RMR_LAYER_HTTP, 3, 1), /* HTTP/2 GOAWAY     */
    RMR_E_HTTP_EOF = RMR_ERR(RMR_LAYER_HTTP, 3, 2)     /* cut in the middle */
};

typedef struct rmr_h1 rmr_h1;

typedef struct rmr_header {
    rmr_bytes name, value;
} rmr_header;

typedef struct rmr_h1_head { /* borrowed for the callback */
    uint16_t status;   /* responses */
    rmr_bytes method;  /* requests  */
    rmr_bytes target;
    const rmr_header *headers;
    size_t n_headers;
    bool upgrade;    /* 101 (with or without an Upgrade header), CONNECT, or a
                        request that asks for an upgrade */
    uint8_t minor;   /* of HTTP/1.x: 0 or 1 */
    bool keep_alive; /* another message may follow on this connection */
} rmr_h1_head;

typedef struct rmr_h1_callbacks {
    void *user;
    /* A result other than RMR_OK stops the parser, and read returns it.
     * Interim responses (1xx but 101) are not shown.  Any may be NULL. */
    rmr_err (*on_head)(void *user, const rmr_h1_head *head);
    rmr_err (*on_body)(void *user, rmr_bytes data);
    rmr_err (*on_done)(void *user);
} rmr_h1_callbacks;

typedef struct rmr_h1_config {
    bool requests;   /* false: responses                     */
    size_t head_max; /* bytes, 0: 16 KiB; chunk extensions and trailers of one
                        message have as much again */
    uint64_t body_max; /* bytes a message, 0: 1 MiB; UINT64_MAX: no limit */
    rmr_h1_callbacks callbacks;
} rmr_h1_config;

/**
 * A parser that waits for its first message.
 *
 * Effects: allocates.
 * Errors:  NOMEM.
 * Lifetime: until rmr_h1_free(); cfg and env are copied.
 * Source:  none.
 */
RMR_API rmr_err rmr_h1_new(rmr_h1 **out, const rmr_env *env,
                           const rmr_h1_config *cfg);

/**
 * Frees; NULL is allowed.
 *
 * Effects: no callbacks.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_h1_free(rmr_h1 *h);

/**
 * The next final response has no body, whatever its headers say: it answers a
 * HEAD.  (1xx, 204 and 304 never have one.)                         [submit]
 *
 * Effects: on that one response.  Nothing for requests.
 * Errors: none.
 * Source: RFC 9112 6.3.
 */
RMR_API void rmr_h1_expect_no_body(rmr_h1 *h);

/**
 * Reads on behind this request as if it had asked for no upgrade.   [submit]
 *
 * Effects: on the request in whose on_head it is called; its body is read and
 *          on_done follows, and then the next request.
 * Errors: STATE (not in on_head, or a parser of responses).
 * Source: RFC 9110 7.8 ("a server MAY ignore").
 */
RMR_API rmr_err rmr_h1_decline_upgrade(rmr_h1 *h);

/**
 * Takes bytes; stops behind an upgrade's head (of a request: behind its body),
 * so that in.len - *consumed bytes are the next protocol's.           [pump]
 *
 * Effects: callbacks in the order head, body..., done; for an upgrade too.
 *          Whatever comes behind an upgrade is not taken.
 * Errors: RMR_E_HTTP_SYNTAX, _HEAD, _BODY (on_head was called before), or what
 *         a callback returned; all sticky.  STATE after rmr_h1_read_eof();
 *         REENTRANT.
 * Source: RFC 9112 2, 5, 6, 7.
 */
RMR_API rmr_err rmr_h1_read(rmr_h1 *h, rmr_bytes in, size_t *consumed);

/**
 * The stream is over.                                                 [pump]
 *
 * Effects: on_done, where a body lasted to the end of the stream.
 * Errors: RMR_E_HTTP_EOF when a message is incomplete; the sticky error;
 *         REENTRANT.
 * Source: RFC 9112 6.3, 8.
 */
RMR_API rmr_err rmr_h1_read_eof(rmr_h1 *h);

/**
 * The value of the first header of that name (any case), or no bytes. [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 9110 5.1.
 */
RMR_API rmr_bytes rmr_h1_header(const rmr_h1_head *head, const char *name);

/**
 * Does a comma-separated header hold this token (any case)?  All headers of
 * that name are looked at.                                            [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 9110 5.6.1.
 */
RMR_API bool rmr_h1_header_has(const rmr_h1_head *head, const char *name,
                               const char *token);

/**
 * A request head and body: "Host" first, then `headers`, then Content-Length
 * where `body` is not NULL (also when it is empty).                 [submit]
 *
 * Effects: dst and *len are written.
 * Errors:  BUFSIZE, INVAL (a method or name that is no token; white space in
 *          the target; CR, LF or NUL in a value).  *len is 0 then.
 * Source:  RFC 9112 3, 5, 6.2.
 */
RMR_API rmr_err rmr_h1_build_request(rmr_buf dst, size_t *len,
                                     const char *method, const char *target,
                                     const char *host,
                                     const rmr_header *headers,
                                     size_t n_headers, const rmr_bytes *body);

/**
 * The same for a response: `headers`, then Content-Length where `body` is not
 * NULL.                                                             [submit]
 *
 * Effects: dst and *len are written.
 * Errors:  BUFSIZE, INVAL (also a status that is not of three digits).
 * Source:  RFC 9112 4, 5, 6.2.
 */
RMR_API rmr_err rmr_h1_build_response(rmr_buf dst, size_t *len,
                                      uint16_t status, const char *reason,
                                      const rmr_header *headers,
                                      size_t n_headers,
                                      const rmr_bytes *body);

/* ---- URLs ------------------------------------------------------------- */

typedef struct rmr_url {
    bool https;
    char host[254]; /* lower case, without brackets */
    uint16_t port;  /* the scheme's default filled in */
    bool port_given;
    char path[512]; /* with the query; "/" at least; no fragment */
} rmr_url;

/**
 * http and https alone; no user info.                                 [look]
 *
 * Effects: *out is written.
 * Errors:  MALFORMED (also bytes that a URL must write as %xx), TOOBIG (host or
 *          path), UNSUPPORTED (another scheme).  *out is untouched then.
 * Source:  RFC 3986 3; RFC 9110 4.2.
 */
RMR_API rmr_err rmr_url_parse(rmr_bytes text, rmr_url *out);

/**
 * "host", or "host:port" where the port is not the scheme's own (brackets for
 * IPv6), as for the Host header.                                      [look]
 *
 * \return dst.
 * Effects: dst is written.
 * Errors:  none.
 * Source:  RFC 9110 4.2.3, 7.2.
 */
RMR_API const char *rmr_url_authority(const rmr_url *u, char dst[272]);

#ifdef __cplusplus
}
#endif
#endif
