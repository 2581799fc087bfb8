/* The pair's streams, and the relay at the end of some of them. */
#include "pair_internal.h"

#include <remora/cursor.h>

#include <stdlib.h>
#include <string.h>

/* ---- pipes ------------------------------------------------------------- */

void pairi_pipe_put(pair_pipe *p, const void *data, size_t len)
{
    if (p->sink || len == 0)
        return;
    if (p->cap - p->len < len) {
        p->cap = p->len + len;
        p->buf = pairi_grown(p->buf, p->cap);
    }
    memcpy(p->buf + p->len, data, len);
    p->len += len;
}

size_t pairi_pipe_room(const pair_pipe *p)
{
    if (p->sink)
        return PAIR_PIPE;
    return p->len < PAIR_PIPE ? PAIR_PIPE - p->len : 0;
}

void pairi_pipe_drop(pair_pipe *p, size_t n)
{
    p->len -= n;
    memmove(p->buf, p->buf + n, p->len);
}

void pairi_conn_free(pair_conn *c)
{
    for (int i = 0; i < 2; i++) {
        free(c->pipe[i].buf);
        free(c->end[i].out);
    }
    memset(c, 0, sizeof *c);
}

pair_conn *pairi_conn_new(pair *p)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used)
            continue;
        memset(c, 0, sizeof *c);
        c->used = true;
        return c;
    }
    abort();
}

/* Both pipes end at once; the other end hears of it. */
void pairi_break_from(pair_conn *c, int side)
{
    pair_end *other = &c->end[1 - side];
    c->end[side].dead = true;
    c->pipe[0].len = c->pipe[1].len = 0;
    c->pipe[0].sink = c->pipe[1].sink = true;
    if (!other->dead && !other->closed)
        other->reset_due = true;
    else
        other->dead = true;
    if (other->kind != PAIR_NODE)
        other->dead = true;
}

/* ---- the relay --------------------------------------------------------- */

static void relay_frame(pair_conn *c, int side, uint8_t type, rmr_bytes a,
                        rmr_bytes b)
{
    uint8_t head[5];
    head[0] = type;
    rmr_store_be32(head + 1, (uint32_t)(a.len + b.len));
    pairi_pipe_put(&c->pipe[side], head, sizeof head);
    pairi_pipe_put(&c->pipe[side], a.ptr, a.len);
    pairi_pipe_put(&c->pipe[side], b.ptr, b.len);
}

static bool relay_upgrade(pair *p, pair_conn *c, pair_pipe *in)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    static const uint8_t magic[8] = {0x44, 0x45, 0x52, 0x50,
                                     0xf0, 0x9f, 0x94, 0x91};
    for (size_t i = 0; i + 4 <= in->len; i++) {
        if (memcmp(in->buf + i, "\r\n\r\n", 4) != 0)
            continue;
        bool measured =
            i > 24 && memcmp(in->buf, "GET /derp/latency-check ", 24) == 0;
        pairi_pipe_drop(in, i + 4);
        if (measured) {
            static const char ok[] = "HTTP/1.1 200 OK\r\n"
                                     "Content-Length: 0\r\n\r\n";
            if (p->no_https)
                return true;
            p->https++;
            pairi_pipe_put(&c->pipe[1], ok, sizeof ok - 1);
            return true;
        }
        pairi_pipe_put(&c->pipe[1], head, sizeof head - 1);
        relay_frame(c, 1, RMR_DERP_SERVER_KEY, rmr_bytes_of(magic, 8),
                    rmr_bytes_of(p->relay_public, RMR_KEY_LEN));
        c->relay_up = true;
        return true;
    }
    return false;
}

static void relay_login(pair *p, pair_conn *c, rmr_bytes body)
{
    static const char info[] = "{\"version\":2}";
    uint8_t shared[RMR_KEY_LEN], nonce[RMR_BOX_NONCE_LEN] = {7}, box[64];
    memcpy(c->key, body.ptr, RMR_KEY_LEN);
    if (rmr_box_shared(shared, p->relay_private, c->key) != RMR_OK)
        abort();
    rmr_box_seal(box, shared, nonce, rmr_bytes_of(info, sizeof info - 1));
    relay_frame(c, 1, RMR_DERP_SERVER_INFO, rmr_bytes_of(nonce, sizeof nonce),
                rmr_bytes_of(box, sizeof info - 1 + 16));
}

static void relay_pass(pair *p, pair_conn *c, rmr_bytes body)
{
    if (pair_random(p, 1000) < p->drop_permille)
        return;
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *to = &p->conns[i];
        if (!to->used || to->end[1].kind != PAIR_RELAY || to->end[1].dead ||
            memcmp(to->key, body.ptr, RMR_KEY_LEN) != 0)
            continue;
        p->relayed++;
        if (to->pipe[1].len < 8 * PAIR_PIPE)
            relay_frame(
                to, 1, RMR_DERP_RECV_PACKET, rmr_bytes_of(c->key, RMR_KEY_LEN),
                rmr_bytes_of(body.ptr + RMR_KEY_LEN, body.len - RMR_KEY_LEN));
        return;
    }
}

bool pairi_relay_run(pair *p, pair_conn *c)
{
    pair_pipe *in = &c->pipe[0];
    if (c->end[0].closed || in->fin) {
        pairi_break_from(c, 1);
        return true;
    }
    if (!c->relay_up)
        return relay_upgrade(p, c, in);
    bool any = false;
    while (in->len >= 5) {
        size_t len = rmr_load_be32(in->buf + 1);
        if (in->len < 5 + len)
            break;
        rmr_bytes body = rmr_bytes_of(in->buf + 5, len);
        if (in->buf[0] == RMR_DERP_CLIENT_INFO)
            relay_login(p, c, body);
        else if (in->buf[0] == RMR_DERP_SEND_PACKET)
            relay_pass(p, c, body);
        pairi_pipe_drop(in, 5 + len);
        any = true;
    }
    return any;
}

void pair_break_relay(pair *p)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used && c->end[1].kind == PAIR_RELAY && !c->end[1].dead)
            pairi_break_from(c, 1);
    }
}

void pair_keep_alive(pair *p)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used && c->relay_up && !c->end[1].dead)
            relay_frame(c, 1, RMR_DERP_KEEP_ALIVE, rmr_bytes_of(NULL, 0),
                        rmr_bytes_of(NULL, 0));
    }
}
