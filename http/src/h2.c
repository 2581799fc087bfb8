/*
 * The HTTP/2 client: creation, pumping, requests, credit.
 *
 * When the peer breaks the protocol nghttp2 queues a GOAWAY and swallows all
 * further input.  rmr_h2_read then answers RMR_E_HTTP_H2, but rmr_h2_write
 * still hands out that GOAWAY, so that the peer learns why.
 */
#include <stdio.h>
#include <string.h>
#include "h1_internal.h"
#include "h2_internal.h"

#define STREAM_WINDOW_DEFAULT (64 * 1024)
#define CONNECTION_WINDOW_DEFAULT (256 * 1024)
#define MAX_STREAMS_DEFAULT 32
#define MAX_HEADER_BYTES_DEFAULT (16 * 1024)

/* ---- creation ---------------------------------------------------------- */

static void fill_defaults(rmr_h2_config *c)
{
    if (c->stream_window == 0)
        c->stream_window = STREAM_WINDOW_DEFAULT;
    if (c->connection_window == 0)
        c->connection_window = CONNECTION_WINDOW_DEFAULT;
    if (c->max_streams == 0)
        c->max_streams = MAX_STREAMS_DEFAULT;
    if (c->max_header_bytes == 0)
        c->max_header_bytes = MAX_HEADER_BYTES_DEFAULT;
}

/* The two builders below take a few hundred bytes from libc's malloc until
 * they are deleted; nghttp2 has no other way to make them. */
static int new_session(rmr_h2 *h)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    int rv = nghttp2_session_callbacks_new(&cb);
    if (rv == 0)
        rv = nghttp2_option_new(&opt);
    if (rv == 0) {
        rmri_h2_set_callbacks(cb);
        nghttp2_option_set_no_auto_window_update(opt, 1);
        nghttp2_option_set_max_reserved_remote_streams(opt, 0);
        /* Requests are few: no table of fields that were sent. */
        nghttp2_option_set_max_deflate_dynamic_table_size(opt, 0);
        nghttp2_mem mem = rmri_h2_mem(&h->lend);
        rv = nghttp2_session_client_new3(&h->session, cb, h, opt, &mem);
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return rv;
}

static int make(rmr_h2 *h)
{
    if (rmri_h2_lend_begin(&h->lend, true) != RMR_OK)
        return NGHTTP2_ERR_NOMEM;
    int rv = new_session(h);
    rmr_err e = rmri_h2_lend_end(&h->lend, rv == 0);
    return rv == 0 && e != RMR_OK ? NGHTTP2_ERR_NOMEM : rv;
}

static int submit_settings(rmr_h2 *h)
{
    const rmr_h2_config *c = &h->cfg;
    nghttp2_settings_entry iv[] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}, /* nor of those that came */
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         c->max_header_bytes > UINT32_MAX ? UINT32_MAX
                                          : (uint32_t)c->max_header_bytes},
    };
    int rv = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv,
                                     sizeof iv / sizeof iv[0]);
    if (rv == 0)
        rv = nghttp2_session_set_local_window_size(
            h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)c->connection_window);
    return rv;
}

static void release(rmr_h2 *h)
{
    rmr_alloc alloc = h->alloc;
    nghttp2_session_del(h->session);
    rmri_h2_lend_free(&h->lend);
    for (uint32_t i = 0; h->streams && i < h->cfg.max_streams; i++)
        rmri_h2_free_body(h, &h->streams[i]);
    rmr_release(&alloc, h->streams, h->cfg.max_streams * sizeof h->streams[0]);
    rmri_h2_free_head(h);
    rmr_release(&alloc, h, sizeof *h);
}

rmr_err rmr_h2_client_new(rmr_h2 **out, const rmr_env *env,
                          const rmr_h2_config *cfg)
{
    *out = NULL;
    if (cfg->stream_window > INT32_MAX || cfg->connection_window > INT32_MAX ||
        cfg->max_streams > UINT16_MAX)
        return RMR_E_INVAL;
    rmr_h2 *h = rmr_alloc_zero(&env->alloc, sizeof *h, _Alignof(rmr_h2));
    if (!h)
        return RMR_E_NOMEM;
    h->alloc = env->alloc;
    h->cfg = *cfg;
    fill_defaults(&h->cfg);
    h->lend.alloc = env->alloc;
    h->lend.frame = cfg->frame;
    h->streams =
        rmr_alloc_zero(&h->alloc, h->cfg.max_streams * sizeof h->streams[0],
                       _Alignof(rmri_h2_stream));
    int rv = h->streams ? make(h) : NGHTTP2_ERR_NOMEM;
    if (rv == 0)
        rv = submit_settings(h);
    if (rv != 0) {
        release(h);
        return rmri_h2_err(rv);
    }
    *out = h;
    return RMR_OK;
}

void rmr_h2_free(rmr_h2 *h)
{
    if (!h)
        return;
    if (h->busy)
        h->doomed = true; /* by a callback: the pump that called it does it */
    else
        release(h);
}

/* ---- pumping ----------------------------------------------------------- */

/* Leaves a pump; the object may be gone afterwards. */
static rmr_err leave(rmr_h2 *h, rmr_err e)
{
    h->busy = false;
    if (!h->doomed)
        return e;
    release(h);
    return RMR_E_CLOSED;
}

static void close_all(rmr_h2 *h)
{
    for (uint32_t i = 0; i < h->cfg.max_streams && !h->doomed; i++) {
        rmri_h2_stream *s = &h->streams[i];
        if (s->id)
            rmri_h2_close_stream(h, s, RMR_E_CLOSED);
    }
}

/* WINDOW_UPDATEs that there was no memory for when their bytes were
 * consumed. */
static int pay_credit(rmr_h2 *h)
{
    if (!h->owes_credit)
        return 0;
    for (uint32_t i = 0; i < h->cfg.max_streams; i++) {
        rmri_h2_stream *s = &h->streams[i];
        if (!s->id || !s->owes_credit)
            continue;
        int rv = nghttp2_session_consume_stream(h->session, s->id, 0);
        if (rv != 0)
            return rv;
        s->owes_credit = 0;
    }
    int rv = nghttp2_session_consume_connection(h->session, 0);
    if (rv == 0)
        h->owes_credit = false;
    return rv;
}

/* nghttp2 does not say that it has queued a GOAWAY for a violation, but then
 * it takes no more requests, for none of the other reasons. */
static void notice_violation(rmr_h2 *h)
{
    if (h->broken == RMR_OK && !h->goaway &&
        nghttp2_session_get_next_stream_id(h->session) <= INT32_MAX &&
        !nghttp2_session_check_request_allowed(h->session))
        h->broken = RMR_E_HTTP_H2;
}

static rmr_err fail(rmr_h2 *h, rmr_err e)
{
    h->err = e;
    h->rest = rmr_bytes_of(NULL, 0);
    close_all(h);
    return e;
}

rmr_err rmr_h2_read(rmr_h2 *h, rmr_bytes in)
{
    if (h->busy)
        return RMR_E_REENTRANT;
    if (h->err != RMR_OK)
        return h->err;
    if (h->ended)
        return RMR_E_CLOSED;
    if (h->broken != RMR_OK)
        return h->broken;
    h->busy = true;
    int rv = pay_credit(h);
    if (rv == 0 && in.len > 0) {
        ssize_t n = nghttp2_session_mem_recv(h->session, in.ptr, in.len);
        rv = n < 0 ? (int)n : 0;
    }
    rmr_err e = RMR_OK;
    if (rv != 0 && !h->doomed) {
        e = fail(h, h->no_memory ? RMR_E_NOMEM : rmri_h2_err(rv));
    } else if (!h->doomed) {
        notice_violation(h);
        e = h->broken;
        if (e != RMR_OK)
            close_all(h);
    }
    return leave(h, e);
}

rmr_err rmr_h2_read_eof(rmr_h2 *h)
{
    if (h->busy)
        return RMR_E_REENTRANT;
    if (h->err != RMR_OK)
        return h->err;
    h->ended = true;
    h->busy = true;
    close_all(h);
    return leave(h, RMR_OK);
}

static void copy_out(rmr_h2 *h)
{
    size_t room = h->dst.len - h->used;
    size_t n = h->rest.len < room ? h->rest.len : room;
    if (n == 0)
        return;
    memcpy(h->dst.ptr + h->used, h->rest.ptr, n);
    h->used += n;
    h->rest.ptr += n;
    h->rest.len -= n;
}

static int write_frames(rmr_h2 *h)
{
    copy_out(h);
    while (h->rest.len == 0 && h->dst.len - h->used >= RMR_H2_WRITE_MIN) {
        h->data_written = false;
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        if (n < 0)
            return (int)n;
        if (n == 0 && !h->data_written)
            break;
        h->rest = rmr_bytes_of(p, (size_t)n);
        copy_out(h);
    }
    return 0;
}

/* Bytes of a frame are still to come. */
static bool is_writing(const rmr_h2 *h)
{
    return h->rest.len > 0 || nghttp2_session_want_write(h->session);
}

rmr_err rmr_h2_write(rmr_h2 *h, rmr_buf dst, size_t *len)
{
    *len = 0;
    if (h->busy)
        return RMR_E_REENTRANT;
    if (h->err != RMR_OK)
        return h->err;
    if (h->ended)
        return RMR_OK;
    if (dst.len < RMR_H2_WRITE_MIN)
        return RMR_E_BUFSIZE;
    rmr_err e = rmri_h2_lend_begin(&h->lend, false);
    if (e != RMR_OK)
        return e;
    h->busy = true;
    h->dst = dst;
    h->used = 0;
    int rv = pay_credit(h);
    if (rv == 0)
        rv = write_frames(h);
    e = rmri_h2_lend_end(&h->lend, rv == 0 && !h->doomed && is_writing(h));
    *len = h->used;
    h->dst = rmr_buf_of(NULL, 0);
    if (rv != 0 && !h->doomed)
        e = rmri_h2_err(rv);
    if (e != RMR_OK && !h->doomed) {
        *len = 0;
        e = fail(h, e);
    } else if (!h->doomed && h->broken != RMR_OK) {
        close_all(h);
    }
    return leave(h, e);
}

/* ---- requests ---------------------------------------------------------- */

static bool is_request(const char *method, const char *authority,
                       const char *path, const rmr_header *headers, size_t n)
{
    if (!method || !authority || !path || n > RMR_H2_MAX_REQUEST_HEADERS)
        return false;
    rmr_bytes a = rmr_bytes_str(authority);
    rmr_bytes p = rmr_bytes_str(path);
    if (!rmri_h1_is_token(rmr_bytes_str(method)) || a.len == 0 || p.len == 0 ||
        !nghttp2_check_authority(a.ptr, a.len) ||
        !nghttp2_check_path(p.ptr, p.len))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!rmri_h2_is_header(&headers[i]))
            return false;
    }
    return true;
}

/* A method that has a body by its nature says so when it is empty too
 * (RFC 9110 8.6). */
static bool wants_length(const char *method, rmr_bytes body)
{
    rmr_bytes m = rmr_bytes_str(method);
    return body.len > 0 || rmr_bytes_eq_str(m, "POST") ||
           rmr_bytes_eq_str(m, "PUT") || rmr_bytes_eq_str(m, "PATCH");
}

static rmr_err submit(rmr_h2 *h, rmri_h2_stream *s, const nghttp2_nv *nv,
                      size_t n)
{
    nghttp2_data_provider provider = rmri_h2_body_provider(s);
    int32_t id = nghttp2_submit_request(h->session, NULL, nv, n,
                                        s->body_len ? &provider : NULL, NULL);
    if (id > 0) {
        s->id = id;
        return RMR_OK;
    }
    return id == NGHTTP2_ERR_NOMEM ? RMR_E_NOMEM : RMR_E_CLOSED;
}

static rmri_h2_stream *free_slot(rmr_h2 *h)
{
    for (uint32_t i = 0; i < h->cfg.max_streams; i++) {
        if (h->streams[i].id == 0)
            return &h->streams[i];
    }
    return NULL;
}

static rmr_err take_body(rmr_h2 *h, rmri_h2_stream *s, rmr_bytes body)
{
    if (body.len == 0)
        return RMR_OK;
    s->body = rmr_alloc_zero(&h->alloc, body.len, 1);
    if (!s->body)
        return RMR_E_NOMEM;
    memcpy(s->body, body.ptr, body.len);
    s->body_len = body.len;
    return RMR_OK;
}

rmr_err rmr_h2_request(rmr_h2 *h, const char *method, const char *authority,
                       const char *path, const rmr_header *headers,
                       size_t n_headers, rmr_bytes body, void *tag,
                       int32_t *stream)
{
    *stream = 0;
    if (!is_request(method, authority, path, headers, n_headers))
        return RMR_E_INVAL;
    if (h->err != RMR_OK || h->ended || h->broken != RMR_OK || h->goaway ||
        !nghttp2_session_check_request_allowed(h->session))
        return RMR_E_CLOSED;
    rmri_h2_stream *s = free_slot(h);
    if (!s)
        return RMR_E_FULL;

    nghttp2_nv nv[5 + RMR_H2_MAX_REQUEST_HEADERS];
    size_t n = 0;
    nv[n++] = rmri_h2_nv(rmr_bytes_str(":method"), rmr_bytes_str(method));
    nv[n++] = rmri_h2_nv(rmr_bytes_str(":scheme"), rmr_bytes_str("https"));
    nv[n++] = rmri_h2_nv(rmr_bytes_str(":authority"), rmr_bytes_str(authority));
    nv[n++] = rmri_h2_nv(rmr_bytes_str(":path"), rmr_bytes_str(path));
    for (size_t i = 0; i < n_headers; i++)
        nv[n++] = rmri_h2_nv(headers[i].name, headers[i].value);
    char length[24];
    if (wants_length(method, body)) {
        (void)snprintf(length, sizeof length, "%zu", body.len);
        nv[n++] =
            rmri_h2_nv(rmr_bytes_str("content-length"), rmr_bytes_str(length));
    }

    rmr_err e = take_body(h, s, body);
    s->tag = tag;
    if (e == RMR_OK)
        e = submit(h, s, nv, n);
    if (e != RMR_OK) {
        rmri_h2_free_body(h, s);
        memset(s, 0, sizeof *s);
        return e;
    }
    *stream = s->id;
    return RMR_OK;
}

rmr_err rmr_h2_consume(rmr_h2 *h, int32_t stream, size_t n)
{
    if (stream <= 0 || n > h->unconsumed)
        return RMR_E_INVAL;
    h->unconsumed -= n;
    if (h->err == RMR_OK && h->broken == RMR_OK && !h->ended)
        rmri_h2_credit(h, stream, n);
    return RMR_OK;
}

rmr_err rmr_h2_cancel(rmr_h2 *h, int32_t stream)
{
    rmri_h2_stream *s = rmri_h2_find(h, stream);
    if (!s)
        return RMR_E_BADHANDLE;
    if (s->cancelled)
        return RMR_OK;
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, stream,
                                  NGHTTP2_CANCEL) != 0)
        return RMR_E_NOMEM;
    s->cancelled = 1;
    return RMR_OK;
}

bool rmr_h2_is_closed(const rmr_h2 *h)
{
    if (h->err != RMR_OK || h->ended || h->broken != RMR_OK)
        return true;
    for (uint32_t i = 0; i < h->cfg.max_streams; i++) {
        if (h->streams[i].id)
            return false;
    }
    return h->goaway;
}
