/*
 * The HTTP/2 server: creation, pumping, responses.
 *
 * When the client breaks the protocol nghttp2 queues a GOAWAY and swallows all
 * further input; rmr_h2s_write hands that GOAWAY out, so that the client
 * learns why, and then the connection is over.
 */
#include "h2s_internal.h"

#include <stdio.h>
#include <string.h>

#define WINDOW_DEFAULT (64 * 1024)
#define MAX_STREAMS_DEFAULT 16
#define MAX_HEAD_BYTES_DEFAULT (8 * 1024)
#define MAX_BODY_DEFAULT (1024 * 1024)
/* Of frames that we queue for the client: acknowledgements, resets. */
#define MAX_OUTBOUND_ACK 64

/* ---- creation ---------------------------------------------------------- */

static void fill_defaults(rmr_h2s_config *c)
{
    if (c->window == 0)
        c->window = WINDOW_DEFAULT;
    if (c->max_streams == 0)
        c->max_streams = MAX_STREAMS_DEFAULT;
    if (c->max_head_bytes == 0)
        c->max_head_bytes = MAX_HEAD_BYTES_DEFAULT;
    if (c->max_body == 0)
        c->max_body = MAX_BODY_DEFAULT;
}

/* The two builders take a few hundred bytes from libc's malloc until they are
 * deleted; nghttp2 has no other way to make them. */
static int new_session(rmr_h2s *h)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    int rv = nghttp2_session_callbacks_new(&cb);
    if (rv == 0)
        rv = nghttp2_option_new(&opt);
    if (rv == 0) {
        rmri_h2s_set_callbacks(cb);
        nghttp2_option_set_no_auto_window_update(opt, 1);
        nghttp2_option_set_max_outbound_ack(opt, MAX_OUTBOUND_ACK);
        nghttp2_option_set_no_closed_streams(opt, 1);
        /* Heads are few and short: no table of fields that were sent.
         * Clients keep theirs: those of Go before 2022 don't listen. */
        nghttp2_option_set_max_deflate_dynamic_table_size(opt, 0);
        /* It counts by a clock of its own; h2s_callbacks.c counts without. */
        nghttp2_option_set_stream_reset_rate_limit(opt, UINT64_MAX, UINT64_MAX);
        nghttp2_mem mem = rmri_h2_mem(&h->lend);
        rv = nghttp2_session_server_new3(&h->session, cb, h, opt, &mem);
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return rv;
}

static int make(rmr_h2s *h)
{
    if (rmri_h2_lend_begin(&h->lend, true) != RMR_OK)
        return NGHTTP2_ERR_NOMEM;
    int rv = new_session(h);
    rmr_err e = rmri_h2_lend_end(&h->lend, rv == 0);
    return rv == 0 && e != RMR_OK ? NGHTTP2_ERR_NOMEM : rv;
}

static int submit_settings(rmr_h2s *h)
{
    const rmr_h2s_config *c = &h->cfg;
    nghttp2_settings_entry iv[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         c->max_head_bytes > UINT32_MAX ? UINT32_MAX
                                        : (uint32_t)c->max_head_bytes},
    };
    return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv,
                                   sizeof iv / sizeof iv[0]);
}

static void release(rmr_h2s *h)
{
    rmr_alloc alloc = h->alloc;
    nghttp2_session_del(h->session);
    rmri_h2_lend_free(&h->lend);
    rmri_h2s_drop_head(h);
    rmr_release(&alloc, h->streams, h->cfg.max_streams * sizeof h->streams[0]);
    rmr_release(&alloc, h, sizeof *h);
}

static bool is_valid(const rmr_h2s_config *c)
{
    const rmr_h2s_callbacks *cb = &c->callbacks;
    return c->window <= INT32_MAX && c->max_streams <= UINT16_MAX &&
           c->max_head_bytes <= INT32_MAX && cb->on_request && cb->on_body &&
           cb->on_done && cb->on_pull && cb->on_close;
}

rmr_err rmr_h2s_new(rmr_h2s **out, const rmr_env *env,
                    const rmr_h2s_config *cfg)
{
    *out = NULL;
    if (!is_valid(cfg))
        return RMR_E_INVAL;
    rmr_h2s *h = rmr_alloc_zero(&env->alloc, sizeof *h, _Alignof(rmr_h2s));
    if (!h)
        return RMR_E_NOMEM;
    h->alloc = env->alloc;
    h->cfg = *cfg;
    fill_defaults(&h->cfg);
    h->lend.alloc = env->alloc;
    h->lend.frame = cfg->frame;
    h->streams =
        rmr_alloc_zero(&h->alloc, h->cfg.max_streams * sizeof h->streams[0],
                       _Alignof(rmri_h2s_stream));
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

void rmr_h2s_free(rmr_h2s *h)
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
static rmr_err leave(rmr_h2s *h, rmr_err e)
{
    h->busy = false;
    if (!h->doomed)
        return e;
    release(h);
    return RMR_E_CLOSED;
}

static void close_all(rmr_h2s *h)
{
    for (uint32_t i = 0; i < h->cfg.max_streams && !h->doomed; i++) {
        rmri_h2s_stream *s = &h->streams[i];
        if (s->id)
            rmri_h2s_close_stream(h, s, RMR_E_CLOSED);
    }
}

static rmr_err fail(rmr_h2s *h, rmr_err e)
{
    h->err = e;
    h->rest = rmr_bytes_of(NULL, 0);
    close_all(h);
    return e;
}

/* What a pump may not begin with; RMR_OK: it may. */
static rmr_err refuse(const rmr_h2s *h)
{
    if (h->busy)
        return RMR_E_REENTRANT;
    return h->err;
}

rmr_err rmr_h2s_read(rmr_h2s *h, rmr_bytes in)
{
    rmr_err e = refuse(h);
    if (e == RMR_OK && h->ended)
        e = RMR_E_CLOSED;
    if (e == RMR_OK)
        e = h->broken;
    if (e == RMR_OK && h->n_resets > RMRI_H2S_MAX_RESETS)
        e = RMR_E_HTTP_H2; /* a GOAWAY waits */
    if (e != RMR_OK || in.len == 0)
        return e;
    h->busy = true;
    ssize_t n = nghttp2_session_mem_recv(h->session, in.ptr, in.len);
    if (n >= 0 && h->n_resets > RMRI_H2S_MAX_RESETS)
        n = nghttp2_session_terminate_session(h->session,
                                              NGHTTP2_ENHANCE_YOUR_CALM);
    if (n < 0 && !h->doomed)
        e = fail(h, rmri_h2_err((int)n));
    return leave(h, e);
}

rmr_err rmr_h2s_read_eof(rmr_h2s *h)
{
    rmr_err e = refuse(h);
    if (e != RMR_OK)
        return e;
    h->ended = true;
    h->busy = true;
    close_all(h);
    return leave(h, RMR_OK);
}

static void copy_out(rmr_h2s *h, rmr_buf dst, size_t *used)
{
    size_t room = dst.len - *used;
    size_t n = h->rest.len < room ? h->rest.len : room;
    if (n == 0)
        return;
    memcpy(dst.ptr + *used, h->rest.ptr, n);
    *used += n;
    h->rest.ptr += n;
    h->rest.len -= n;
}

static int write_frames(rmr_h2s *h, rmr_buf dst, size_t *used)
{
    copy_out(h, dst, used);
    while (h->rest.len == 0 && *used < dst.len) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        if (n <= 0 || h->doomed)
            return (int)n;
        h->rest = rmr_bytes_of(p, (size_t)n);
        copy_out(h, dst, used);
    }
    return 0;
}

/* Bytes of a frame are still to come. */
static bool is_writing(const rmr_h2s *h)
{
    return h->rest.len > 0 || nghttp2_session_want_write(h->session);
}

rmr_err rmr_h2s_write(rmr_h2s *h, rmr_buf dst, size_t *len)
{
    *len = 0;
    rmr_err e = refuse(h);
    if (e != RMR_OK)
        return e;
    if (h->ended)
        return RMR_OK;
    if (dst.len < RMR_H2S_WRITE_MIN)
        return RMR_E_BUFSIZE;
    e = rmri_h2_lend_begin(&h->lend, false);
    if (e != RMR_OK)
        return e;
    h->busy = true;
    int rv = write_frames(h, dst, len);
    e = rmri_h2_lend_end(&h->lend, rv == 0 && !h->doomed && is_writing(h));
    if (rv != 0)
        e = rmri_h2_err(rv);
    if (h->doomed) {
        *len = 0;
    } else if (e != RMR_OK) {
        *len = 0;
        e = fail(h, e);
    } else if (h->broken != RMR_OK) {
        close_all(h);
    }
    return leave(h, e);
}

/* ---- responses --------------------------------------------------------- */

static bool is_response(uint16_t status, const rmr_header *headers, size_t n)
{
    if (status < 200 || status > 599 || n > RMR_H2S_MAX_HEADERS)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!rmri_h2_is_header(&headers[i]))
            return false;
    }
    return true;
}

rmr_err rmr_h2s_respond(rmr_h2s *h, int32_t stream, uint16_t status,
                        const rmr_header *headers, size_t n_headers,
                        bool has_body)
{
    rmri_h2s_stream *s = rmri_h2s_find(h, stream);
    if (!is_response(status, headers, n_headers))
        return RMR_E_INVAL;
    if (!s || s->reset)
        return RMR_E_BADHANDLE;
    if (s->responded)
        return RMR_E_STATE;
    char digits[4];
    nghttp2_nv nv[1 + RMR_H2S_MAX_HEADERS];
    (void)snprintf(digits, sizeof digits, "%u", (unsigned)status % 1000);
    nv[0] = rmri_h2_nv(rmr_bytes_str(":status"), rmr_bytes_str(digits));
    for (size_t i = 0; i < n_headers; i++)
        nv[1 + i] = rmri_h2_nv(headers[i].name, headers[i].value);
    nghttp2_data_provider provider = rmri_h2s_provider();
    int rv = nghttp2_submit_response(h->session, stream, nv, 1 + n_headers,
                                     has_body ? &provider : NULL);
    if (rv != 0)
        return rv == NGHTTP2_ERR_NOMEM ? RMR_E_NOMEM : RMR_E_BADHANDLE;
    s->responded = 1;
    s->has_body = has_body;
    return RMR_OK;
}

rmr_err rmr_h2s_resume(rmr_h2s *h, int32_t stream)
{
    const rmri_h2s_stream *s = rmri_h2s_find(h, stream);
    if (!s || !s->has_body)
        return RMR_E_BADHANDLE;
    /* INVALID_ARGUMENT: nothing is deferred, which is fine. */
    return nghttp2_session_resume_data(h->session, stream) == NGHTTP2_ERR_NOMEM
               ? RMR_E_NOMEM
               : RMR_OK;
}

rmr_err rmr_h2s_reset(rmr_h2s *h, int32_t stream)
{
    rmri_h2s_stream *s = rmri_h2s_find(h, stream);
    if (!s)
        return RMR_E_BADHANDLE;
    if (s->reset)
        return RMR_OK;
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, stream,
                                  NGHTTP2_INTERNAL_ERROR) != 0)
        return RMR_E_NOMEM;
    s->reset = 1;
    return RMR_OK;
}

rmr_err rmr_h2s_go_away(rmr_h2s *h)
{
    if (h->err != RMR_OK || h->ended || h->broken != RMR_OK)
        return RMR_E_CLOSED;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last,
                              NGHTTP2_NO_ERROR, NULL, 0) != 0)
        return RMR_E_NOMEM;
    h->leaving = true;
    return RMR_OK;
}

uint32_t rmr_h2s_open_streams(const rmr_h2s *h)
{
    return h->n_open;
}

bool rmr_h2s_is_closed(const rmr_h2s *h)
{
    if (h->err != RMR_OK || h->ended)
        return true;
    if (h->rest.len)
        return false;
    return h->broken != RMR_OK || (h->leaving && h->n_open == 0 &&
                                   nghttp2_session_want_write(h->session) == 0);
}
