/*
 * From nghttp2's callbacks to ours.
 *
 * nghttp2 calls back in the middle of its own reading and writing.  What our
 * callbacks may do there (rmr_h2_request, _consume, _cancel) only queues
 * frames in nghttp2, which it allows at each of these points; reading, writing
 * and deleting the session are kept away by `busy` and `doomed`.
 */
#include <string.h>
#include "h2_internal.h"

static int go_on(const rmr_h2 *h)
{
    return h->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

rmri_h2_stream *rmri_h2_find(rmr_h2 *h, int32_t id)
{
    for (uint32_t i = 0; id > 0 && i < h->cfg.max_streams; i++) {
        if (h->streams[i].id == id)
            return &h->streams[i];
    }
    return NULL;
}

void rmri_h2_free_body(rmr_h2 *h, rmri_h2_stream *s)
{
    rmr_release(&h->alloc, s->body, s->body_len);
    s->body = NULL;
    s->body_len = s->body_off = 0;
}

void rmri_h2_close_stream(rmr_h2 *h, rmri_h2_stream *s, rmr_err why)
{
    rmri_h2_stream was = *s;
    rmri_h2_free_body(h, s);
    memset(s, 0, sizeof *s);
    if (h->cfg.callbacks.on_close && !h->doomed)
        h->cfg.callbacks.on_close(h->cfg.callbacks.user, was.tag, was.id, why);
}

/* ---- heads ------------------------------------------------------------- */

static size_t head_size(const rmr_h2 *h)
{
    return sizeof(rmri_h2_head) + h->cfg.max_header_bytes;
}

void rmri_h2_free_head(rmr_h2 *h)
{
    rmr_release(&h->alloc, h->head, head_size(h));
    h->head = NULL;
}

static int on_begin_headers(nghttp2_session *session,
                            const nghttp2_frame *frame, void *user)
{
    (void)session;
    rmr_h2 *h = user;
    if (!h->head && rmri_h2_find(h, frame->hd.stream_id)) {
        h->head =
            rmr_alloc_raw(&h->alloc, head_size(h), _Alignof(rmri_h2_head));
        h->no_memory = !h->head;
    }
    if (h->head)
        memset(h->head, 0, offsetof(rmri_h2_head, headers));
    return h->no_memory ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static rmr_bytes keep(rmri_h2_head *d, const uint8_t *p, size_t len)
{
    rmr_bytes kept = rmr_bytes_of(d->text + d->text_len, len);
    if (len)
        memcpy(d->text + d->text_len, p, len);
    d->text_len += len;
    return kept;
}

/* nghttp2 has checked that it is three digits; "051" would pass. */
static uint16_t parse_status(const uint8_t *v, size_t len)
{
    unsigned status = 0;
    for (size_t i = 0; i < len && i < 3; i++)
        status = status * 10 + (unsigned)(v[i] - '0');
    return (uint16_t)status;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t namelen, const uint8_t *value,
                     size_t valuelen, uint8_t flags, void *user)
{
    (void)session;
    (void)flags;
    rmr_h2 *h = user;
    rmri_h2_stream *s = rmri_h2_find(h, frame->hd.stream_id);
    rmri_h2_head *d = h->head;
    if (!s || !d)
        return 0;
    if (namelen > 0 && name[0] == ':') {
        if (namelen != 7 || memcmp(name, ":status", 7) != 0)
            return 0;
        d->status = parse_status(value, valuelen);
        return d->status < 100 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
    }
    /* RFC 9113 6.5.2 counts 32 more for each header. */
    size_t left = h->cfg.max_header_bytes - d->bytes;
    if (namelen > left || valuelen > left - namelen ||
        32 > left - namelen - valuelen || d->n_headers == RMR_H1_MAX_HEADERS) {
        s->head_too_big = 1;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    d->bytes += namelen + valuelen + 32;
    rmr_header *to = &d->headers[d->n_headers++];
    to->name = keep(d, name, namelen);
    to->value = keep(d, value, valuelen);
    return 0;
}

static int head_received(rmr_h2 *h, rmri_h2_stream *s)
{
    const rmri_h2_head *d = h->head;
    /* Interim responses (1xx) and trailers end here. */
    if (!d || s->head_done || d->status / 100 == 1 || s->cancelled)
        return 0;
    s->head_done = 1;
    if (h->cfg.callbacks.on_head)
        h->cfg.callbacks.on_head(h->cfg.callbacks.user, s->tag, s->id,
                                 d->status, d->headers, d->n_headers);
    return go_on(h);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame,
                         void *user)
{
    (void)session;
    rmr_h2 *h = user;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        h->goaway = true;
    rmri_h2_stream *s = rmri_h2_find(h, frame->hd.stream_id);
    if (!s)
        return 0;
    bool head = frame->hd.type == NGHTTP2_HEADERS;
    if ((head || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        s->ended = 1;
    if (!head)
        return 0;
    int rv = head_received(h, s);
    rmri_h2_free_head(h);
    return rv;
}

/* ---- bodies and ends --------------------------------------------------- */

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
                         const uint8_t *data, size_t len, void *user)
{
    (void)session;
    (void)flags;
    rmr_h2 *h = user;
    rmri_h2_stream *s = rmri_h2_find(h, id);
    if (!s || s->cancelled || !h->cfg.callbacks.on_body) {
        rmri_h2_credit(h, id, len);
        return 0;
    }
    h->unconsumed += len;
    h->cfg.callbacks.on_body(h->cfg.callbacks.user, s->tag, id,
                             rmr_bytes_of(data, len));
    return go_on(h);
}

/* In two steps: nghttp2_session_consume would not count the bytes for the
 * stream when there is no memory for the connection's frame. */
void rmri_h2_credit(rmr_h2 *h, int32_t id, size_t n)
{
    if (nghttp2_session_consume_connection(h->session, n) != 0)
        h->owes_credit = true;
    if (nghttp2_session_consume_stream(h->session, id, n) == 0)
        return;
    /* The bytes are counted; only the frame is missing. */
    rmri_h2_stream *s = rmri_h2_find(h, id);
    if (s)
        s->owes_credit = 1;
    h->owes_credit = true;
}

static rmr_err why_closed(const rmr_h2 *h, const rmri_h2_stream *s,
                          uint32_t code)
{
    if (s->head_too_big)
        return RMR_E_HTTP_HEAD;
    if (s->cancelled)
        return RMR_E_RESET;
    if (code == NGHTTP2_NO_ERROR && s->ended && s->head_done)
        return RMR_OK;
    if (h->broken != RMR_OK || h->ended)
        return RMR_E_CLOSED;
    return code == NGHTTP2_REFUSED_STREAM ? RMR_E_REFUSED : RMR_E_RESET;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code,
                           void *user)
{
    (void)session;
    rmr_h2 *h = user;
    rmri_h2_stream *s = rmri_h2_find(h, id);
    if (s)
        rmri_h2_close_stream(h, s, why_closed(h, s, code));
    return go_on(h);
}

/* A request that never left: cancelled before, or after a GOAWAY. */
static int on_frame_not_send(nghttp2_session *session,
                             const nghttp2_frame *frame, int code, void *user)
{
    (void)session;
    (void)code;
    rmr_h2 *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    rmri_h2_stream *s = rmri_h2_find(h, frame->hd.stream_id);
    if (s)
        rmri_h2_close_stream(h, s, s->cancelled ? RMR_E_RESET : RMR_E_REFUSED);
    return go_on(h);
}

/* A GOAWAY of ours with an error says that the peer broke the protocol; or, by
 * INTERNAL_ERROR, that there was no memory to compress a head with. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame,
                         void *user)
{
    (void)session;
    rmr_h2 *h = user;
    if (frame->hd.type != NGHTTP2_GOAWAY || h->broken != RMR_OK)
        return 0;
    if (frame->goaway.error_code == NGHTTP2_INTERNAL_ERROR)
        h->broken = RMR_E_NOMEM;
    else if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
        h->broken = RMR_E_HTTP_H2;
    return 0;
}

/* ---- request bodies, without a copy ------------------------------------ */

#define FRAME_HEAD 9

/* Only a length is given here; send_data copies the bytes into dst.  A frame
 * is cut so that it fits in what the running write has left. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf,
                         size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)buf;
    rmr_h2 *h = user;
    const rmri_h2_stream *s = source->ptr;
    size_t room = h->dst.len - h->used;
    size_t n = s->body_len - s->body_off;
    room = room > FRAME_HEAD ? room - FRAME_HEAD : 1;
    if (n > room)
        n = room;
    if (n > length)
        n = length;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->body_off + n == s->body_len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame,
                     const uint8_t *framehd, size_t length,
                     nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    rmr_h2 *h = user;
    rmri_h2_stream *s = source->ptr;
    if (h->dst.len - h->used < FRAME_HEAD + length)
        return NGHTTP2_ERR_WOULDBLOCK;
    uint8_t *to = h->dst.ptr + h->used;
    memcpy(to, framehd, FRAME_HEAD);
    memcpy(to + FRAME_HEAD, s->body + s->body_off, length);
    s->body_off += length;
    if (s->body_off == s->body_len)
        rmri_h2_free_body(h, s);
    h->used += FRAME_HEAD + length;
    h->data_written = true;
    return NGHTTP2_ERR_PAUSE; /* back to rmr_h2_write, which looks at dst */
}

nghttp2_data_provider rmri_h2_body_provider(rmri_h2_stream *s)
{
    nghttp2_data_provider p;
    p.source.ptr = s;
    p.read_callback = read_body;
    return p;
}

void rmri_h2_set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb,
                                                              on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb,
                                                             on_frame_not_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
}
