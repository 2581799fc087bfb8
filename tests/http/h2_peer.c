#include "h2_peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    (void)fprintf(stderr, "h2_peer: %s\n", what);
    abort();
}

static void put(h2_peer *p, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(h2_peer *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(p->log + p->log_len, sizeof p->log - p->log_len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof p->log - p->log_len)
        die("log is full");
    p->log_len += (size_t)n;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame,
                     const uint8_t *name, size_t namelen, const uint8_t *value,
                     size_t valuelen, uint8_t flags, void *user)
{
    (void)s;
    (void)flags;
    put(user, "%d %.*s=%.*s\n", (int)frame->hd.stream_id, (int)namelen,
        (const char *)name, (int)valuelen, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *user)
{
    (void)s;
    (void)flags;
    (void)id;
    h2_peer *p = user;
    if (len > sizeof p->body - p->body_len)
        die("request body is too long");
    memcpy(p->body + p->body_len, data, len);
    p->body_len += len;
    return 0;
}

static void log_settings(h2_peer *p, const nghttp2_settings *f)
{
    put(p, "settings");
    for (size_t i = 0; i < f->niv; i++)
        put(p, " %d=%u", (int)f->iv[i].settings_id, (unsigned)f->iv[i].value);
    put(p, "\n");
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    (void)s;
    h2_peer *p = user;
    int id = (int)f->hd.stream_id;
    switch (f->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
            log_settings(p, &f->settings);
        break;
    case NGHTTP2_PING:
        put(p, "ping%s %.8s\n", f->hd.flags & NGHTTP2_FLAG_ACK ? " ack" : "",
            (const char *)f->ping.opaque_data);
        break;
    case NGHTTP2_RST_STREAM:
        put(p, "%d reset %u\n", id, (unsigned)f->rst_stream.error_code);
        break;
    case NGHTTP2_GOAWAY:
        put(p, "goaway %u\n", (unsigned)f->goaway.error_code);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (id == 0)
            p->window_update_sum += f->window_update.window_size_increment;
        if (p->log_window_updates)
            put(p, "%d window +%d\n", id,
                (int)f->window_update.window_size_increment);
        break;
    default:
        break;
    }
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        put(p, "%d end\n", id);
    return 0;
}

static ssize_t select_padding(nghttp2_session *s, const nghttp2_frame *f,
                              size_t max, void *user)
{
    (void)s;
    h2_peer *p = user;
    size_t len = f->hd.length;
    if (f->hd.type != NGHTTP2_DATA || len == 0)
        return (ssize_t)len;
    return (ssize_t)(len + p->padding < max ? len + p->padding : max);
}

void h2_peer_init(h2_peer *p, const h2_peer_config *cfg)
{
    memset(p, 0, sizeof *p);
    p->padding = cfg->padding;
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
        die("no memory");
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_select_padding_callback(cb, select_padding);
    nghttp2_option_set_no_auto_window_update(opt, cfg->initial_window != 0);
    if (nghttp2_session_server_new2(&p->s, cb, p, opt))
        die("no session");
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry iv[2];
    size_t n = 0;
    if (cfg->initial_window) {
        iv[n].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
        iv[n++].value = cfg->initial_window;
    }
    if (cfg->max_streams) {
        iv[n].settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS;
        iv[n++].value = cfg->max_streams;
    }
    if (nghttp2_submit_settings(p->s, 0, iv, n))
        die("no settings");
}

void h2_peer_free(h2_peer *p)
{
    nghttp2_session_del(p->s);
}

uint8_t h2_peer_byte(size_t off)
{
    return (uint8_t)(off * 7);
}

static void set_nv(nghttp2_nv *nv, const char *name, size_t namelen,
                   const char *value, size_t valuelen)
{
    memset(nv, 0, sizeof *nv);
    memcpy(&nv->name, &name, sizeof nv->name);
    memcpy(&nv->value, &value, sizeof nv->value);
    nv->namelen = namelen;
    nv->valuelen = valuelen;
}

static ssize_t read_answer(nghttp2_session *s, int32_t id, uint8_t *buf,
                           size_t len, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    (void)user;
    h2_answer *a = source->ptr;
    size_t n = a->body_len - a->off;
    if (n == 0 && a->endless)
        return NGHTTP2_ERR_DEFERRED;
    if (n > len)
        n = len;
    for (size_t i = 0; i < n; i++)
        buf[i] = h2_peer_byte(a->off + i);
    a->off += n;
    if (a->off == a->body_len && !a->endless) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (a->trailers) {
            nghttp2_nv nv;
            set_nv(&nv, "trailer", 7, "x", 1);
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(s, id, &nv, 1))
                die("no trailer");
        }
    }
    return (ssize_t)n;
}

void h2_peer_respond(h2_peer *p, int32_t stream, const char *status,
                     const char *headers, size_t body_len, bool endless,
                     bool trailers)
{
    nghttp2_nv nv[128];
    size_t n = 0;
    set_nv(&nv[n++], ":status", 7, status, strlen(status));
    while (*headers) {
        const char *colon = strchr(headers, ':');
        const char *end = strchr(headers, '\n');
        if (!colon || !end || n == 128)
            die("bad headers");
        set_nv(&nv[n++], headers, (size_t)(colon - headers), colon + 2,
               (size_t)(end - colon - 2));
        headers = end + 1;
    }
    if (status[0] == '1') {
        if (nghttp2_submit_headers(p->s, 0, stream, NULL, nv, n, NULL))
            die("no interim response");
        return;
    }
    h2_answer *a = &p->answers[stream % PEER_STREAMS];
    a->body_len = body_len;
    a->off = 0;
    a->endless = endless;
    a->trailers = trailers;
    nghttp2_data_provider dp = {.source = {.ptr = a},
                                .read_callback = read_answer};
    bool body = body_len > 0 || endless || trailers;
    if (nghttp2_submit_response(p->s, stream, nv, n, body ? &dp : NULL))
        die("no response");
}

void (*h2_peer_after_write)(void);

static rmr_err client_to_server(h2_peer *p, rmr_h2 *h, size_t step, bool *moved)
{
    size_t len;
    uint8_t *dst = malloc(step);
    if (!dst)
        die("no memory");
    rmr_err e = rmr_h2_write(h, rmr_buf_of(dst, step), &len);
    if (len > step || (e != RMR_OK && len != 0))
        die("rmr_h2_write overran");
    if (h2_peer_after_write)
        h2_peer_after_write();
    if (len && !p->dead &&
        nghttp2_session_mem_recv(p->s, dst, len) != (ssize_t)len)
        p->dead = true;
    free(dst);
    *moved |= len > 0;
    return e;
}

static rmr_err server_to_client(h2_peer *p, rmr_h2 *h, size_t step, bool *moved)
{
    const uint8_t *from;
    ssize_t n = nghttp2_session_mem_send(p->s, &from);
    if (n < 0)
        die("server's output");
    rmr_err e = RMR_OK;
    for (size_t off = 0; off < (size_t)n && e == RMR_OK; off += step) {
        size_t len = (size_t)n - off < step ? (size_t)n - off : step;
        uint8_t *piece = malloc(len);
        if (!piece)
            die("no memory");
        memcpy(piece, from + off, len);
        e = rmr_h2_read(h, rmr_bytes_of(piece, len));
        free(piece);
    }
    *moved |= n > 0;
    return e;
}

rmr_err h2_pump_out(h2_peer *p, rmr_h2 *h, size_t out_step)
{
    rmr_err e = RMR_OK;
    for (bool moved = true; moved && e == RMR_OK;) {
        moved = false;
        e = client_to_server(p, h, out_step, &moved);
    }
    return e;
}

rmr_err h2_pump(h2_peer *p, rmr_h2 *h, size_t out_step, size_t in_step)
{
    rmr_err e = RMR_OK;
    for (bool moved = true; moved && e == RMR_OK;) {
        moved = false;
        e = client_to_server(p, h, out_step, &moved);
        if (e == RMR_OK)
            e = server_to_client(p, h, in_step, &moved);
    }
    return e;
}
