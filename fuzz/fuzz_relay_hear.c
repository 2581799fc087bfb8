/* What clients of fuzz_relay hear: HTTP, DERP with and without WebSocket, TLS;
 * and the relay of the mesh. */
#include "fuzz_relay_world.h"

#include <string.h>

static void hear_frame(world *w, client *c)
{
    static const uint8_t magic[8] = {'D',  'E',  'R',  'P',
                                     0xf0, 0x9f, 0x94, 0x91};
    const frames *f = &c->in;
    switch (f->head[0]) {
    case RMR_DERP_SERVER_KEY:
        need(f->body_len == 40 && memcmp(f->body, magic, 8) == 0);
        need(memcmp(f->body + 8, fr_keys.relay_public, 32) == 0);
        break;
    case RMR_DERP_SERVER_INFO:
        need(!c->up);
        need(c->logged_in || c->wild);
        need(!w->verify_closed || c->exempt || c->wild || w->yes >= 4);
        c->up = true;
        break;
    case RMR_DERP_RECV_PACKET:
        need(c->up && f->body_len >= 32 && f->body_len <= 32 + 65536);
        fr_note_arrived(
            w, fr_packet_sum(f, f->body, fr_keys.public_key[c->key]), f->body);
        break;
    case RMR_DERP_PEER_GONE:
        need(c->up && f->body_len == 33);
        break;
    case RMR_DERP_PEER_PRESENT:
        need(c->up && c->exempt && f->body_len == 51);
        break;
    case RMR_DERP_PONG:
        need(c->up && f->body_len == 8);
        break;
    case RMR_DERP_RESTARTING:
        need(c->up && f->body_len == 8);
        break;
    case RMR_DERP_KEEP_ALIVE:
        need(c->up && f->body_len == 0);
        break;
    default:
        need(false);
    }
}

static void hear_derp(world *w, client *c, uint8_t byte)
{
    if (fr_follow(&c->in, byte))
        hear_frame(w, c);
}

static void hear_ws(world *w, client *c, uint8_t byte)
{
    if (c->ws_left > 0) {
        c->ws_left--;
        if ((c->ws_head[0] & 15) < 8)
            hear_derp(w, c, byte);
        return;
    }
    c->ws_head[c->ws_head_len++] = byte;
    if (c->ws_head_len < 2)
        return;
    uint8_t len = c->ws_head[1];
    need(len < 128); /* unmasked */
    size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (c->ws_head_len < 2 + more)
        return;
    c->ws_left = len;
    if (len >= 126)
        c->ws_left = 0;
    for (size_t i = 0; i < more; i++)
        c->ws_left = c->ws_left << 8 | c->ws_head[2 + i];
    c->ws_head_len = 0;
}

static void hear_head(client *c)
{
    unsigned status = (unsigned)atoi(c->head + 9);
    const char *length = strstr(c->head, "Content-Length: ");
    need(memcmp(c->head, "HTTP/1.1 ", 9) == 0);
    need(status >= 101 && status <= 505);
    c->answered++;
    if (status == 101) {
        need(strstr(c->head, "Upgrade: ") != NULL);
        c->derp_in = true;
        return;
    }
    c->body_left = length ? (size_t)atoi(length + 16) : 0;
}

static void hear_http(client *c, uint8_t byte)
{
    if (c->body_left > 0) {
        c->body_left--;
        return;
    }
    need(c->head_len + 1 < sizeof c->head);
    c->head[c->head_len++] = (char)byte;
    c->head[c->head_len] = 0;
    if (c->head_len < 4 ||
        memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) != 0)
        return;
    hear_head(c);
    c->head_len = 0;
}

static void hear(world *w, client *c, rmr_bytes data)
{
    for (size_t i = 0; i < data.len && !c->wild; i++) {
        if (!c->derp_in && c->fast_after > 0 && c->body_left == 0 &&
            c->head_len == 0 && c->answered + 1 == c->fast_after)
            c->derp_in = true;
        if (!c->derp_in)
            hear_http(c, data.ptr[i]);
        else if (c->ws_in)
            hear_ws(w, c, data.ptr[i]);
        else
            hear_derp(w, c, data.ptr[i]);
    }
}

void fr_tls_out(client *c)
{
    for (;;) {
        rmr_buf place = {0};
        size_t len = 0;
        while (c->plain_len > 0 && rmr_tls_is_open(c->tls) &&
               rmr_tls_reserve(c->tls, &place) == RMR_OK && place.len > 0) {
            size_t n = c->plain_len < place.len ? c->plain_len : place.len;
            memcpy(place.ptr, c->plain, n);
            rmr_tls_commit(c->tls, n);
            c->plain_len -= n;
            memmove(c->plain, c->plain + n, c->plain_len);
        }
        if (c->s.ended || IN_MAX - c->s.in_len < RECORD_ROOM ||
            rmr_tls_write(c->tls,
                          rmr_buf_of(c->s.in + c->s.in_len, RECORD_ROOM),
                          &len) != RMR_OK ||
            len == 0)
            return;
        c->s.in_len += len;
    }
}

static void tls_in(world *w, client *c)
{
    size_t at = 0, used = 1;
    while (used > 0) {
        rmr_buf view;
        used = 0;
        if (rmr_tls_read(c->tls,
                         rmr_bytes_of(c->cipher + at, c->cipher_len - at),
                         &used) != RMR_OK)
            used = c->cipher_len - at; /* it broke */
        at += used;
        while (rmr_tls_peek(c->tls, &view) == RMR_OK && view.len > 0) {
            size_t len = view.len;
            hear(w, c, rmr_bytes_of(view.ptr, len));
            rmr_tls_consume(c->tls, len);
        }
        if (at == c->cipher_len)
            used = 0;
    }
    c->cipher_len -= at;
    memmove(c->cipher, c->cipher + at, c->cipher_len);
}

void fr_hear_stream(world *w, client *c, rmr_bytes data)
{
    if (c->wild)
        return;
    if (!c->tls) {
        hear(w, c, data);
        return;
    }
    need(data.len <= CIPHER_MAX - c->cipher_len);
    memcpy(c->cipher + c->cipher_len, data.ptr, data.len);
    c->cipher_len += data.len;
    tls_in(w, c);
}

void fr_hear_mesh(world *w, dial *d, rmr_bytes data)
{
    for (size_t i = 0; i < data.len; i++) {
        if (!d->head_done) {
            d->head_tail = d->head_tail << 8 | data.ptr[i];
            d->head_done = d->head_tail == 0x0d0a0d0a;
        } else if (fr_follow(&d->out, data.ptr[i]) &&
                   d->out.head[0] == RMR_DERP_FORWARD_PACKET) {
            need(d->out.body_len >= 64);
            fr_note_arrived(
                w, fr_packet_sum(&d->out, d->out.body, d->out.body + 32),
                d->out.body);
        }
    }
}
