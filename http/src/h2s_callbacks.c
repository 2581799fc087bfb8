/*
 * From nghttp2's callbacks to the server's.
 *
 * nghttp2 calls back in the middle of its own reading and writing.  What the
 * caller may do there only queues frames, which it allows at each of these
 * points; reading, writing and deleting are kept away by `busy` and `doomed`.
 */
#include "h2s_internal.h"

#include <string.h>

static int go_on(const rmr_h2s *h)
{
    return h->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

rmri_h2s_stream *rmri_h2s_find(rmr_h2s *h, int32_t id)
{
    for (uint32_t i = 0; id > 0 && i < h->cfg.max_streams; i++) {
        if (h->streams[i].id == id)
            return &h->streams[i];
    }
    return NULL;
}

void rmri_h2s_close_stream(rmr_h2s *h, rmri_h2s_stream *s, rmr_err why)
{
    rmri_h2s_stream was = *s;
    memset(s, 0, sizeof *s);
    h->n_open--;
    if (was.shown && !h->doomed)
        h->cfg.callbacks.on_close(h->cfg.callbacks.user, was.tag, was.id, why);
}

static void *user_of(const rmr_h2s *h)
{
    return h->cfg.callbacks.user;
}

/* ---- heads ------------------------------------------------------------- */

static size_t head_size(const rmr_h2s *h)
{
    return sizeof(rmri_h2s_head) + h->cfg.max_head_bytes;
}

void rmri_h2s_drop_head(rmr_h2s *h)
{
    if (h->head)
        rmr_release(&h->alloc, h->head, head_size(h));
    h->head = NULL;
}

/* A slot for a new stream; NULL: all are taken. */
static rmri_h2s_stream *new_stream(rmr_h2s *h, int32_t id)
{
    for (uint32_t i = 0; i < h->cfg.max_streams; i++) {
        if (h->streams[i].id == 0) {
            h->streams[i].id = id;
            h->n_open++;
            return &h->streams[i];
        }
    }
    return NULL;
}

/* Trailers come with the category HEADERS, and are not looked at. */
static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS &&
           frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session,
                            const nghttp2_frame *frame, void *user)
{
    rmr_h2s *h = user;
    if (!is_request(frame))
        return 0;
    rmri_h2s_drop_head(h);
    h->head = rmr_alloc_zero(&h->alloc, head_size(h), _Alignof(rmri_h2s_head));
    if (!h->head)
        return NGHTTP2_ERR_NOMEM;
    if (new_stream(h, frame->hd.stream_id))
        return 0;
    /* More than SETTINGS allows; the client may not have read them yet. */
    h->n_resets++;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE,
                                     frame->hd.stream_id,
                                     NGHTTP2_REFUSED_STREAM);
}

static rmr_bytes keep(rmri_h2s_head *d, const uint8_t *p, size_t len)
{
    rmr_bytes kept = rmr_bytes_of(d->text + d->len, len);
    if (len)
        memcpy(d->text + d->len, p, len);
    d->len += len;
    return kept;
}

static void keep_pseudo(rmri_h2s_head *d, rmr_bytes name, rmr_bytes value)
{
    if (rmr_bytes_eq_str(name, ":method"))
        d->request.method = value;
    else if (rmr_bytes_eq_str(name, ":path"))
        d->request.path = value;
    else if (rmr_bytes_eq_str(name, ":authority"))
        d->request.authority = value;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t namelen, const uint8_t *value,
                     size_t valuelen, uint8_t flags, void *user)
{
    (void)session;
    (void)flags;
    rmr_h2s *h = user;
    rmri_h2s_head *d = h->head;
    if (!is_request(frame) || !d || d->too_big)
        return 0;
    /* RFC 9113 6.5.2 counts 32 more for each header. */
    size_t left = h->cfg.max_head_bytes - d->bytes;
    if (namelen > left || valuelen > left - namelen ||
        32 > left - namelen - valuelen ||
        d->request.n_headers == RMR_H1_MAX_HEADERS) {
        d->too_big = true;
        return 0;
    }
    d->bytes += namelen + valuelen + 32;
    rmr_bytes n = keep(d, name, namelen), v = keep(d, value, valuelen);
    if (namelen && name[0] == ':') {
        keep_pseudo(d, n, v);
        return 0;
    }
    if (rmr_bytes_eq_str(n, "host"))
        d->host = v;
    d->headers[d->request.n_headers].name = n;
    d->headers[d->request.n_headers++].value = v;
    return 0;
}

static int end_head(rmr_h2s *h, rmri_h2s_stream *s, bool has_body)
{
    rmri_h2s_head *d = h->head;
    if (d->too_big) {
        rmri_h2s_drop_head(h);
        rmr_err e = rmr_h2s_respond(h, s->id, 431, NULL, 0, false);
        return e == RMR_E_NOMEM ? NGHTTP2_ERR_NOMEM : 0;
    }
    rmr_h2s_request *r = &d->request;
    r->headers = d->headers;
    r->has_body = has_body;
    if (!r->authority.len)
        r->authority = d->host;
    s->shown = 1;
    int32_t id = s->id;
    void *tag = h->cfg.callbacks.on_request(user_of(h), id, r);
    rmri_h2s_drop_head(h);
    s->tag = tag;
    return go_on(h);
}

static int request_done(rmr_h2s *h, rmri_h2s_stream *s)
{
    if (s->done || !s->shown)
        return 0;
    s->done = 1;
    if (!s->reset)
        h->cfg.callbacks.on_done(user_of(h), s->tag, s->id);
    return go_on(h);
}

/* Requests that are reset as soon as they are made cost us much and the client
 * nothing (CVE-2023-44487).  Each response that it takes makes up for one. */
static int reset_received(nghttp2_session *session, rmr_h2s *h)
{
    if (++h->n_resets <= RMRI_H2S_MAX_RESETS)
        return 0;
    return nghttp2_session_terminate_session(session,
                                             NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame,
                         void *user)
{
    rmr_h2s *h = user;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        h->leaving = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        return reset_received(session, h);
    rmri_h2s_stream *s = rmri_h2s_find(h, frame->hd.stream_id);
    if (!s)
        return 0;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    int rv = 0;
    if (is_request(frame) && h->head)
        rv = end_head(h, s, !end);
    if (rv == 0 && end &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        rv = request_done(h, s);
    return rv;
}

/* nghttp2 found a fault in the head, or one stream too many, and resets it:
 * without on_request.  That queues a frame each time. */
static int on_invalid_frame_recv(nghttp2_session *session,
                                 const nghttp2_frame *frame, int code,
                                 void *user)
{
    (void)session;
    (void)code;
    rmr_h2s *h = user;
    if (is_request(frame)) {
        rmri_h2s_drop_head(h);
        h->n_resets++;
    }
    return 0;
}

/* ---- bodies ------------------------------------------------------------ */

static int reset_too_long(rmr_h2s *h, rmri_h2s_stream *s)
{
    s->too_long = 1;
    return rmr_h2s_reset(h, s->id) == RMR_E_NOMEM ? NGHTTP2_ERR_NOMEM : 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
                         const uint8_t *data, size_t len, void *user)
{
    (void)flags;
    rmr_h2s *h = user;
    rmri_h2s_stream *s = rmri_h2s_find(h, id);
    if (s && s->shown && !s->reset) {
        bool fits = len <= h->cfg.max_body - s->body_len;
        if (fits) {
            s->body_len += len;
            h->cfg.callbacks.on_body(user_of(h), s->tag, id,
                                     rmr_bytes_of(data, len));
        } else if (!s->responded) {
            return reset_too_long(h, s);
        }
        if (h->doomed)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return nghttp2_session_consume(session, id, len);
}

/* The bytes go into nghttp2's own frame; its writer hands that out. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf,
                         size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)source;
    rmr_h2s *h = user;
    rmri_h2s_stream *s = rmri_h2s_find(h, id);
    if (!s || s->reset)
        return NGHTTP2_ERR_DEFERRED;
    bool end = false;
    size_t n = h->cfg.callbacks.on_pull(user_of(h), s->tag, id,
                                        rmr_buf_of(buf, length), &end);
    if (h->doomed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (end)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

nghttp2_data_provider rmri_h2s_provider(void)
{
    nghttp2_data_provider p;
    p.source.ptr = NULL;
    p.read_callback = read_body;
    return p;
}

/* ---- ends -------------------------------------------------------------- */

static rmr_err why_closed(const rmr_h2s *h, const rmri_h2s_stream *s,
                          uint32_t code)
{
    if (s->too_long)
        return RMR_E_HTTP_BODY;
    if (s->reset)
        return RMR_E_RESET;
    if (s->sent && (code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL))
        return RMR_OK;
    return h->broken != RMR_OK || h->ended ? RMR_E_CLOSED : RMR_E_RESET;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code,
                           void *user)
{
    (void)session;
    rmr_h2s *h = user;
    rmri_h2s_stream *s = rmri_h2s_find(h, id);
    if (s)
        rmri_h2s_close_stream(h, s, why_closed(h, s, code));
    return go_on(h);
}

/* A whole response whose request is still coming: the rest of that is not
 * wanted (RFC 9113 8.1). */
static int response_sent(nghttp2_session *session, rmr_h2s *h,
                         rmri_h2s_stream *s)
{
    s->sent = 1;
    h->n_resets -= h->n_resets > 0 && h->n_resets <= RMRI_H2S_MAX_RESETS;
    if (s->done)
        return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id,
                                     NGHTTP2_NO_ERROR);
}

/* A GOAWAY of ours with an error says that the client broke the protocol; or,
 * by INTERNAL_ERROR, that there was no memory to compress a head with. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame,
                         void *user)
{
    rmr_h2s *h = user;
    uint8_t type = frame->hd.type;
    if (type == NGHTTP2_GOAWAY && h->broken == RMR_OK) {
        if (frame->goaway.error_code == NGHTTP2_INTERNAL_ERROR)
            h->broken = RMR_E_NOMEM;
        else if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            h->broken = RMR_E_HTTP_H2;
        return 0;
    }
    rmri_h2s_stream *s = rmri_h2s_find(h, frame->hd.stream_id);
    if (s && (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return response_sent(session, h, s);
    return 0;
}

void rmri_h2s_set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        cb, on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb,
                                                              on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
}
