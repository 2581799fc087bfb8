/*
 * remora/http1.h - HTTP/1.1 messages: a parser over llhttp and a builder.
 *
 * A parser reads one direction of one connection: responses (client) or
 * requests (server), one after the other, with bodies by length, chunked or to
 * the end.  After an upgrade it stops exactly behind the head, so that the
 * bytes that follow belong to the next protocol.
 *
 * Threading: one object, one thread.  Memory: head_max bytes and a header
 * table, taken at creation.  Time: none (timeouts are the caller's).
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
    RMR_E_HTTP_SYNTAX = RMR_ERR(RMR_LAYER_HTTP, 4, 1), /* not HTTP/1.1        */
    RMR_E_HTTP_HEAD = RMR_ERR(RMR_LAYER_HTTP, 4, 2),   /* head above the limit */
    RMR_E_HTTP_BODY = RMR_ERR(RMR_LAYER_HTTP, 4, 3),   /* body above the limit */
    RMR_E_HTTP_H2 = RMR_ERR(RMR_LAYER_HTTP, 4, 4),     /* HTTP/2 violation     */
    RMR_E_HTTP_GOAWAY = RMR_ERR(RMR_LAYER_HTTP, 3, 1), /* HTTP/2 GOAWAY        */
    RMR_E_HTTP_EOF = RMR_ERR(RMR_LAYER_HTTP, 3, 2)     /* ended in the middle  */
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
    bool upgrade;    /* 101, or a request that asks for one */
    bool keep_alive; /* another message may follow on this connection */
} rmr_h1_head;

typedef struct rmr_h1_callbacks {
    void *user;
    /* A result other than RMR_OK stops the parser, and read returns it. */
    rmr_err (*on_head)(void *user, const rmr_h1_head *head);
    rmr_err (*on_body)(void *user, rmr_bytes data);
    rmr_err (*on_done)(void *user);
} rmr_h1_callbacks;

typedef struct rmr_h1_config {
    bool requests;   /* false: responses                     */
    size_t head_max; /* bytes, 0: 16 KiB                     */
    uint64_t body_max; /* bytes a message, 0: 1 MiB          */
    rmr_h1_callbacks callbacks;
} rmr_h1_config;

RMR_API rmr_err rmr_h1_new(rmr_h1 **out, const rmr_env *env,
                           const rmr_h1_config *cfg);
RMR_API void rmr_h1_free(rmr_h1 *h);
/** A response to HEAD, or none at all, has no body whatever its headers say. */
RMR_API void rmr_h1_expect_no_body(rmr_h1 *h);
/** Takes bytes; stops behind an upgrade's head, so that in.len - *consumed
 *  bytes are the next protocol's.  Errors: RMR_E_HTTP_*; sticky.       [pump] */
RMR_API rmr_err rmr_h1_read(rmr_h1 *h, rmr_bytes in, size_t *consumed);
/** Errors: RMR_E_HTTP_EOF when a message is incomplete. */
RMR_API rmr_err rmr_h1_read_eof(rmr_h1 *h);

/** The value of the first header of that name (any case), or no bytes.  [look] */
RMR_API rmr_bytes rmr_h1_header(const rmr_h1_head *head, const char *name);
/** Does a comma-separated header hold this token (any case)?          [look] */
RMR_API bool rmr_h1_header_has(const rmr_h1_head *head, const char *name,
                               const char *token);

/** A request head and body: "Host" first, then `headers`, then Content-Length
 *  where `body` is not NULL (also when it is empty).
 *  Errors: BUFSIZE, INVAL (CR, LF or NUL in a part).                [submit] */
RMR_API rmr_err rmr_h1_build_request(rmr_buf dst, size_t *len,
                                     const char *method, const char *target,
                                     const char *host,
                                     const rmr_header *headers,
                                     size_t n_headers, const rmr_bytes *body);
RMR_API rmr_err rmr_h1_build_response(rmr_buf dst, size_t *len,
                                      uint16_t status, const char *reason,
                                      const rmr_header *headers,
                                      size_t n_headers,
                                      const rmr_bytes *body);

/* ---- URLs ------------------------------------------------------------- */

typedef struct rmr_url {
    bool https;
    char host[254]; /* without brackets */
    uint16_t port;  /* the scheme's default filled in */
    bool port_given;
    char path[512]; /* with the query; "/" at least */
} rmr_url;

/** http and https alone; no user info.  Errors: MALFORMED, TOOBIG,
 *  UNSUPPORTED (another scheme).  Source: RFC 3986. */
RMR_API rmr_err rmr_url_parse(rmr_bytes text, rmr_url *out);
/** "host" or "host:port" (brackets for IPv6), as for the Host header. */
RMR_API const char *rmr_url_authority(const rmr_url *u, char dst[272]);

#ifdef __cplusplus
}
#endif
#endif
