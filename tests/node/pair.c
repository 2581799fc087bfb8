#include "pair.h"

#include <remora/cursor.h>
#include <remora/stun.h>
#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPS 20000 /* without the end of one drain: it never rests */

uint64_t pair_random(pair *p, uint64_t below)
{
    return below ? test_rng_u64(&p->rng) % below : 0;
}

static void *grown(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        abort();
    return p;
}

/* ---- pipes ------------------------------------------------------------- */

static void pipe_put(pair_pipe *p, const void *data, size_t len)
{
    if (p->sink || len == 0)
        return;
    if (p->cap - p->len < len) {
        p->cap = p->len + len;
        p->buf = grown(p->buf, p->cap);
    }
    memcpy(p->buf + p->len, data, len);
    p->len += len;
}

static size_t pipe_room(const pair_pipe *p)
{
    if (p->sink)
        return PAIR_PIPE;
    return p->len < PAIR_PIPE ? PAIR_PIPE - p->len : 0;
}

static void pipe_drop(pair_pipe *p, size_t n)
{
    p->len -= n;
    memmove(p->buf, p->buf + n, p->len);
}

static void conn_free(pair_conn *c)
{
    for (int i = 0; i < 2; i++) {
        free(c->pipe[i].buf);
        free(c->end[i].out);
    }
    memset(c, 0, sizeof *c);
}

static pair_conn *conn_new(pair *p)
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
static void break_from(pair_conn *c, int side)
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
    pipe_put(&c->pipe[side], head, sizeof head);
    pipe_put(&c->pipe[side], a.ptr, a.len);
    pipe_put(&c->pipe[side], b.ptr, b.len);
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
        pipe_drop(in, i + 4);
        if (measured) {
            static const char ok[] = "HTTP/1.1 200 OK\r\n"
                                     "Content-Length: 0\r\n\r\n";
            p->https++;
            pipe_put(&c->pipe[1], ok, sizeof ok - 1);
            return true;
        }
        pipe_put(&c->pipe[1], head, sizeof head - 1);
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

static bool relay_run(pair *p, pair_conn *c)
{
    pair_pipe *in = &c->pipe[0];
    if (c->end[0].closed || in->fin) {
        break_from(c, 1);
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
        pipe_drop(in, 5 + len);
        any = true;
    }
    return any;
}

void pair_break_relay(pair *p)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used && c->end[1].kind == PAIR_RELAY && !c->end[1].dead)
            break_from(c, 1);
    }
}

/* ---- a node's adapter -------------------------------------------------- */

static void give(pair *p, int i, rmr_io_event *ev)
{
    pair_node *nd = &p->node[i];
    if (!nd->stopped && nd->m.event(nd->m.self, p->now, ev) != RMR_OK)
        abort();
}

static void tell(pair *p, int i, rmr_io_event_kind kind, uint64_t id,
                 rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    ev.addr = rmr_addr_v4(127, 0, 0, 1, 4242);
    give(p, i, &ev);
}

static pair_end *find_end(pair *p, int node, uint64_t id, pair_conn **conn,
                          int *side)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        for (int s = 0; c->used && s < 2; s++) {
            pair_end *e = &c->end[s];
            if (e->kind != PAIR_NODE || e->node != node || e->id != id ||
                e->dead || e->closed)
                continue;
            *conn = c;
            *side = s;
            return e;
        }
    }
    return NULL;
}

/* ---- datagrams --------------------------------------------------------- */

static void udp_open(pair *p, int i, const rmr_io_op *op)
{
    p->node[i].udp_opens++;
    if (op->addr.family != RMR_AF_INET) {
        tell(p, i, RMR_IO_FAILED, op->id, RMR_E_UNSUPPORTED);
        return;
    }
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        pair_socket *s = &p->sockets[k];
        if (s->used)
            continue;
        s->used = true;
        s->node = i;
        s->id = op->id;
        s->port = op->addr.port ? op->addr.port : (uint16_t)(40000 + op->id);
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_OPENED;
        ev.id = op->id;
        ev.addr = rmr_addr_v4(0, 0, 0, 0, s->port);
        s->whole = ev.dont_fragment = op->dont_fragment && !p->no_whole;
        give(p, i, &ev);
        return;
    }
    abort();
}

static pair_socket *socket_of(pair *p, int node, uint64_t id)
{
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        pair_socket *s = &p->sockets[k];
        if (s->used && s->node == node && s->id == id)
            return s;
    }
    return NULL;
}

static void datagram_put(pair *p, const rmr_addr *from, const rmr_addr *to,
                         const uint8_t *data, size_t len)
{
    if (p->n_datagrams == PAIR_DATAGRAMS)
        return;
    pair_datagram *d = &p->datagrams[p->n_datagrams++];
    d->from = *from;
    d->to = *to;
    d->len = len;
    d->data = grown(NULL, len); /* exact, so that overruns are seen */
    memcpy(d->data, data, len);
}

static void stun(pair *p, const rmr_addr *from, const rmr_addr *to,
                 rmr_bytes in)
{
    uint8_t answer[64];
    size_t len = 0;
    if (!p->no_stun && rmr_stun_answer(rmr_buf_of(answer, sizeof answer), &len,
                                       in, from) == RMR_OK)
        datagram_put(p, to, from, answer, len);
}

/* RFC 6886 3.2, 3.3 */
static void nat_pmp(pair *p, const rmr_addr *from, const rmr_addr *to,
                    rmr_bytes in)
{
    uint8_t out[16] = {0, 128};
    if (!p->gateway || in.len < 2 || in.ptr[0] != 0)
        return;
    rmr_store_be32(out + 4, 1000); /* seconds since it started */
    if (in.ptr[1] == 0 && in.len == 2) {
        static const uint8_t ip[4] = {203, 0, 113, 9};
        memcpy(out + 8, ip, sizeof ip);
        datagram_put(p, to, from, out, 12);
    } else if (in.ptr[1] == 1 && in.len == 12) {
        uint32_t lifetime = rmr_load_be32(in.ptr + 8);
        out[1] = 129;
        memcpy(out + 8, in.ptr + 4, 2);
        rmr_store_be16(out + 10, lifetime ? PAIR_MAPPED_PORT : 0);
        rmr_store_be32(out + 12, lifetime);
        p->unmapped += lifetime == 0;
        datagram_put(p, to, from, out, 16);
    }
}

static void send_failed(pair *p, int i, const rmr_io_op *op)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SEND_FAILED;
    ev.id = op->id;
    ev.addr = op->addr;
    ev.err = p->node[i].send_err ? p->node[i].send_err : RMR_E_DENIED;
    give(p, i, &ev);
}

static void udp_send(pair *p, int i, const rmr_io_op *op)
{
    const pair_socket *s = socket_of(p, i, op->id);
    if (!s || op->data.len == 0)
        abort(); /* against the rules of remora/io.h */
    if (p->node[i].send_err || rmr_addr_ip_eq(&op->addr, &p->node[i].refused)) {
        send_failed(p, i, op);
        return;
    }
    size_t step = op->seg_size ? op->seg_size : op->data.len;
    rmr_addr from = p->node[i].addr;
    from.port = s->port;
    for (size_t at = 0; at < op->data.len; at += step) {
        size_t len = op->data.len - at < step ? op->data.len - at : step;
        p->longest = len + 28 > p->longest ? len + 28 : p->longest;
        if (s->whole && p->path_mtu && len + 28 > p->path_mtu)
            continue;
        if (op->addr.port == PAIR_STUN_PORT)
            stun(p, &from, &op->addr, rmr_bytes_of(op->data.ptr + at, len));
        else if (op->addr.port == PAIR_PMP_PORT)
            nat_pmp(p, &from, &op->addr, rmr_bytes_of(op->data.ptr + at, len));
        else
            datagram_put(p, &from, &op->addr, op->data.ptr + at, len);
    }
}

static const pair_socket *socket_at(const pair *p, const rmr_addr *at)
{
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        const pair_socket *s = &p->sockets[k];
        if (s->used && s->port == at->port && !p->node[s->node].stopped &&
            rmr_addr_ip_eq(&p->node[s->node].addr, at))
            return s;
    }
    return NULL;
}

/* One of those that are under way, whichever. */
static bool step_datagram(pair *p)
{
    if (p->n_datagrams == 0)
        return false;
    size_t k = pair_random(p, p->n_datagrams < 4 ? p->n_datagrams : 4);
    pair_datagram d = p->datagrams[k];
    p->n_datagrams--;
    memmove(p->datagrams + k, p->datagrams + k + 1,
            (p->n_datagrams - k) * sizeof d);
    const pair_socket *s = socket_at(p, &d.to);
    bool of_stun =
        d.from.port == PAIR_STUN_PORT || d.from.port == PAIR_PMP_PORT;
    bool lost = p->drop_permille && pair_random(p, 1000) < p->drop_permille;
    if (s && !lost && (of_stun || p->udp)) {
        int node = s->node;
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_DATAGRAMS;
        ev.id = s->id;
        ev.addr = d.from;
        ev.data = rmr_buf_of(d.data, d.len);
        p->direct += !of_stun;
        give(p, node, &ev);
        pair_drain(p, node);
    }
    free(d.data);
    return true;
}

void pair_set_addr(pair *p, int i, rmr_addr addr)
{
    rmr_io_links links;
    rmr_io_event ev;
    memset(&links, 0, sizeof links);
    memset(&ev, 0, sizeof ev);
    p->node[i].addr = addr;
    links.addrs = &addr;
    links.n_addrs = 1;
    rmr_addr gateway = rmr_addr_v4(10, 0, 0, 254, 0);
    links.gateways = &gateway;
    links.n_gateways = p->gateway;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    give(p, i, &ev);
    pair_drain(p, i);
}

void pair_set_wall(pair *p, int i, uint64_t unix_ns)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = unix_ns;
    give(p, i, &ev);
    pair_drain(p, i);
}

static void op_connect(pair *p, int i, const rmr_io_op *op)
{
    uint16_t port = op->addr.port;
    if (port != PAIR_RELAY_PORT && (port < 7000 || port > 7999)) {
        tell(p, i, RMR_IO_FAILED, op->id, RMR_E_REFUSED);
        return;
    }
    pair_conn *c = conn_new(p);
    c->port = port;
    c->end[0].kind = PAIR_NODE;
    c->end[0].node = i;
    c->end[0].id = op->id;
    c->end[1].kind = port == PAIR_RELAY_PORT ? PAIR_RELAY : PAIR_APP;
    c->end[1].open = true;
}

static void op_listen(pair *p, int i, const rmr_io_op *op)
{
    for (size_t k = 0; k < PAIR_LISTENERS; k++) {
        if (p->listeners[k].used)
            continue;
        p->listeners[k].used = true;
        p->listeners[k].node = i;
        p->listeners[k].id = op->id;
        p->listeners[k].at = op->addr;
        snprintf(p->listeners[k].name, sizeof p->listeners[k].name, "%.*s",
                 (int)op->name.len, (const char *)op->name.ptr);
        tell(p, i, RMR_IO_OPENED, op->id, RMR_OK);
        return;
    }
    abort();
}

static void op_stream(pair *p, int i, const rmr_io_op *op)
{
    pair_conn *c = NULL;
    int side = 0;
    pair_end *e = find_end(p, i, op->id, &c, &side);
    if (!e) {
        pair_socket *s = socket_of(p, i, op->id);
        if (s)
            s->used = false;
        for (size_t k = 0; k < PAIR_LISTENERS; k++)
            if (p->listeners[k].node == i && p->listeners[k].id == op->id)
                p->listeners[k].used = false;
        return;
    }
    switch (op->kind) {
    case RMR_IO_READ:
        if (!e->open)
            abort();
        e->credit += op->credit;
        break;
    case RMR_IO_STREAM_SEND:
        if (e->sending || e->shut || !e->open || op->data.len == 0)
            abort(); /* against the rules of remora/io.h */
        e->sending = true;
        e->out = grown(e->out, op->data.len);
        memcpy(e->out, op->data.ptr, op->data.len);
        e->out_len = op->data.len;
        e->out_at = 0;
        break;
    case RMR_IO_SHUTDOWN:
        if (e->shut)
            abort();
        e->shut = true;
        if (!e->sending)
            c->pipe[side].fin = true;
        break;
    case RMR_IO_CLOSE:
        e->closed = e->shut = true;
        if (!e->sending)
            c->pipe[side].fin = true;
        c->pipe[1 - side].sink = true;
        c->pipe[1 - side].len = 0;
        if (!e->open)
            break_from(c, side);
        break;
    default:
        break_from(c, side);
        break;
    }
}

static void perform(pair *p, int i, const rmr_io_op *op)
{
    switch (op->kind) {
    case RMR_IO_LOAD:
        tell(p, i, RMR_IO_FAILED, op->id, RMR_E_NOTFOUND);
        break;
    case RMR_IO_STORE:
        if (!op->more)
            tell(p, i, RMR_IO_STORED, op->id, RMR_OK);
        break;
    case RMR_IO_LISTEN:
        op_listen(p, i, op);
        break;
    case RMR_IO_UDP_OPEN:
        udp_open(p, i, op);
        break;
    case RMR_IO_UDP_SEND:
        udp_send(p, i, op);
        break;
    case RMR_IO_ICMP_OPEN:
        tell(p, i, RMR_IO_FAILED, op->id, RMR_E_UNSUPPORTED);
        break;
    case RMR_IO_CONNECT:
        op_connect(p, i, op);
        break;
    case RMR_IO_READ:
    case RMR_IO_STREAM_SEND:
    case RMR_IO_SHUTDOWN:
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        op_stream(p, i, op);
        break;
    case RMR_IO_STOP:
        p->node[i].stopped = true;
        for (size_t k = 0; k < PAIR_CONNS; k++)
            for (int s = 0; s < 2; s++)
                if (p->conns[k].used && p->conns[k].end[s].node == i &&
                    p->conns[k].end[s].kind == PAIR_NODE &&
                    !p->conns[k].end[s].dead)
                    break_from(&p->conns[k], s);
        break;
    default:
        break;
    }
}

void pair_drain(pair *p, int i)
{
    pair_node *nd = &p->node[i];
    for (int k = 0; k < MAX_OPS; k++) {
        rmr_io_op op;
        if (!nd->n || nd->stopped)
            return;
        if (nd->m.next_op(nd->m.self, p->now,
                          rmr_buf_of(p->scratch, sizeof p->scratch),
                          &op) != RMR_OK)
            abort();
        if (op.kind == RMR_IO_NONE)
            return;
        perform(p, i, &op);
        memset(p->scratch, 0xdd, sizeof p->scratch); /* lent until here */
    }
    abort();
}

/* ---- steps of a node's stream ------------------------------------------ */

static size_t some(pair *p, size_t max)
{
    size_t n = max;
    if (pair_random(p, 3) == 0)
        n = 1 + pair_random(p, max < 8 ? max : 8);
    else if (pair_random(p, 2) == 0)
        n = 1 + pair_random(p, max);
    return n < max ? n : max;
}

static bool step_out(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    size_t room = pipe_room(&c->pipe[side]);
    if (!e->sending || room == 0)
        return false;
    size_t left = e->out_len - e->out_at;
    size_t n = some(p, left < room ? left : room);
    pipe_put(&c->pipe[side], e->out + e->out_at, n);
    e->out_at += n;
    if (e->out_at < e->out_len)
        return true;
    e->sending = false;
    if (e->shut)
        c->pipe[side].fin = true;
    if (!e->closed)
        tell(p, e->node, RMR_IO_SENT, e->id, RMR_OK);
    return true;
}

static bool step_in(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    pair_pipe *in = &c->pipe[1 - side];
    if (e->closed)
        return false;
    if (in->len == 0 && in->fin && !e->eof_told && e->credit > 0) {
        e->eof_told = true;
        tell(p, e->node, RMR_IO_EOF, e->id, RMR_OK);
        return true;
    }
    if (in->len == 0 || e->credit == 0)
        return false;
    size_t n = some(p, in->len < e->credit ? in->len : e->credit);
    uint8_t *copy = grown(NULL, n); /* exact, so that overruns are seen */
    memcpy(copy, in->buf, n);
    pipe_drop(in, n);
    e->credit -= n;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = e->id;
    ev.data = rmr_buf_of(copy, n);
    give(p, e->node, &ev);
    free(copy);
    return true;
}

static bool step_end(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    if (e->dead)
        return false;
    if (e->kind == PAIR_RELAY)
        return relay_run(p, c);
    if (e->kind != PAIR_NODE)
        return false;
    if (e->reset_due) {
        e->dead = true;
        tell(p, e->node, RMR_IO_RESET, e->id, RMR_E_RESET);
        return true;
    }
    if (!e->open) {
        if (pair_random(p, 4))
            return true; /* later */
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_OPENED;
        ev.id = e->id;
        ev.addr = p->node[e->node].addr;
        ev.addr.port = (uint16_t)(50000 + e->id % 10000);
        e->open = true;
        give(p, e->node, &ev);
        return true;
    }
    if (pair_random(p, 2))
        return step_out(p, c, side) || step_in(p, c, side);
    return step_in(p, c, side) || step_out(p, c, side);
}

/* Nobody will hear of it any more. */
static bool is_over(const pair_conn *c)
{
    for (int i = 0; i < 2; i++) {
        const pair_end *e = &c->end[i];
        if (!e->dead && !(e->closed && !e->sending))
            return false;
    }
    return true;
}

bool pair_step(pair *p)
{
    size_t first = pair_random(p, 2 * PAIR_CONNS);
    if (first % 2 == 0 && step_datagram(p))
        return true;
    for (size_t k = 0; k < 2 * PAIR_CONNS; k++) {
        size_t at = (first + k) % (2 * PAIR_CONNS);
        pair_conn *c = &p->conns[at / 2];
        int side = (int)(at % 2);
        if (!c->used || !step_end(p, c, side))
            continue;
        if (c->end[side].kind == PAIR_NODE)
            pair_drain(p, c->end[side].node);
        return true;
    }
    if (step_datagram(p))
        return true;
    for (size_t k = 0; k < PAIR_CONNS; k++)
        if (p->conns[k].used && is_over(&p->conns[k]) &&
            p->conns[k].end[1].kind == PAIR_RELAY)
            conn_free(&p->conns[k]);
    return false;
}

void pair_wait(pair *p, rmr_dur d)
{
    rmr_time at = rmr_time_add(p->now, d);
    for (int i = 0; i < 2; i++)
        if (p->node[i].n && !p->node[i].stopped)
            at =
                rmr_time_min(at, p->node[i].m.next_deadline(p->node[i].m.self));
    if (at > p->now)
        p->now = at;
    for (int i = 0; i < 2; i++) {
        pair_node *nd = &p->node[i];
        if (!nd->n || nd->stopped || nd->m.next_deadline(nd->m.self) > p->now)
            continue;
        if (nd->m.handle_deadline(nd->m.self, p->now) != RMR_OK)
            abort();
        pair_drain(p, i);
        /* T5: a handled deadline is gone. */
        if (!nd->stopped && nd->m.next_deadline(nd->m.self) <= p->now)
            abort();
    }
}

bool pair_run(pair *p, rmr_dur d, bool (*until)(void *user), void *user)
{
    rmr_time end = rmr_time_add(p->now, d);
    while (p->now < end) {
        if (until && until(user))
            return true;
        if (!pair_step(p))
            pair_wait(p, rmr_time_since(end, p->now));
        else if (pair_random(p, 16) == 0)
            pair_wait(p, pair_random(p, 2 * RMR_MS));
    }
    return until && until(user);
}

/* ---- life -------------------------------------------------------------- */

void pair_init(pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    test_rng_seed(&p->rng, seed);
    p->now = RMR_SEC;
    p->relay_private[3] = 77;
    rmr_x25519_public(p->relay_public, p->relay_private);
    for (int i = 0; i < 2; i++) {
        pair_node *nd = &p->node[i];
        test_rng_seed(&nd->rng, seed * 2 + (uint64_t)i);
        nd->env = test_env(&nd->alloc, &nd->rng, &nd->log);
        nd->addr = rmr_addr_v4(10, 0, 0, (uint8_t)(1 + i), 0);
    }
}

void pair_free(pair *p)
{
    for (int i = 0; i < 2; i++)
        rmr_node_free(p->node[i].n);
    for (size_t i = 0; i < PAIR_CONNS; i++)
        conn_free(&p->conns[i]);
    while (p->n_datagrams > 0)
        free(p->datagrams[--p->n_datagrams].data);
}

void pair_start(pair *p, int i, rmr_node_config *cfg)
{
    pair_node *nd = &p->node[i];
    cfg->control_url = "http://127.0.0.1:9";
    cfg->auth_key = "tskey-auth-secret";
    if (rmr_node_new(&nd->n, &nd->env, cfg, p->now) != RMR_OK)
        abort();
    nd->m = rmr_node_machine(nd->n);
    pair_set_wall(p, i, PAIR_WALL);
    pair_set_addr(p, i, nd->addr);
}

static void put_node(pair *p, int i, const char *attribute, char *dst,
                     size_t cap)
{
    char caps[128] = "";
    char key[2 * RMR_KEY_LEN + 1], disco[2 * RMR_KEY_LEN + 1];
    rmr_hex(key, p->node[i].n->node_public, RMR_KEY_LEN);
    rmr_hex(disco, p->node[i].n->disco_public, RMR_KEY_LEN);
    if (attribute)
        snprintf(caps, sizeof caps, ",\"CapMap\":{\"%s\":[]}", attribute);
    snprintf(dst, cap,
             "{\"ID\":%d,\"StableID\":\"n%d\",\"Name\":\"node%d.ex.com.\","
             "\"User\":1,\"Key\":\"nodekey:%s\",\"DiscoKey\":\"discokey:%s\","
             "\"Addresses\":[\"100.64.0.%d/32\"],"
             "\"AllowedIPs\":[\"100.64.0.%d/32\"],\"HomeDERP\":1,"
             "\"DERP\":\"127.3.3.40:1\",\"MachineAuthorized\":true%s}",
             i + 1, i + 1, i, key, disco, i + 1, i + 1, caps);
}

static void feed_netmap(pair *p, int i)
{
    static char text[4096], self[1024], peer[1024];
    rmr_node *n = p->node[i].n;
    put_node(p, i, i == 0 ? p->attribute : NULL, self, sizeof self);
    put_node(p, 1 - i, NULL, peer, sizeof peer);
    static const char two[] =
        ",\"2\":{\"RegionID\":2,\"RegionCode\":\"two\",\"Nodes\":[{"
        "\"Name\":\"2a\",\"RegionID\":2,\"HostName\":\"127.0.0.1\","
        "\"IPv4\":\"127.0.0.1\",\"DERPPort\":9443}]}";
    int len = snprintf(
        text, sizeof text,
        "{\"Node\":%s,\"Peers\":[%s],\"Domain\":\"ex.com\","
        "\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1,\"RegionCode\":"
        "\"lab\",\"Nodes\":[{\"Name\":\"1a\",\"RegionID\":1,\"HostName\":"
        "\"127.0.0.1\",\"IPv4\":\"127.0.0.1\",\"STUNPort\":%d,"
        "\"DERPPort\":%d}]}%s}},"
        "\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\","
        "\"Ports\":{\"First\":0,\"Last\":65535}}]}]}",
        self, peer, p->two_regions ? PAIR_SILENT_PORT : PAIR_STUN_PORT,
        PAIR_RELAY_PORT, p->two_regions ? two : "");
    n->from_server = true;
    rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, p->now));
    if (rmr_nm_frame_feed(n->nm, rmr_bytes_of(text, (size_t)len)) != RMR_OK ||
        rmr_nm_frame_end(n->nm) != RMR_OK)
        abort();
    n->from_server = false;
    /* The relay of the lab speaks no TLS. */
    rmr_nm_derp_region v;
    for (size_t k = 0; rmr_nm_derp_at(n->nm, k, &v); k++)
        ((rmr_nm_derp_node *)(uintptr_t)v.nodes)->dial.tls = false;
    rmri_node_regions_map_changed(n, p->now);
    n->dirty = true;
}

void pair_feed_netmaps(pair *p)
{
    for (int i = 0; i < 2; i++) {
        feed_netmap(p, i);
        pair_drain(p, i);
    }
}

/* ---- programs ---------------------------------------------------------- */

pair_conn *pair_dial(pair *p, int node, uint16_t port, const char *name)
{
    for (size_t k = 0; k < PAIR_LISTENERS; k++) {
        if (!p->listeners[k].used || p->listeners[k].node != node ||
            (name ? strcmp(p->listeners[k].name, name) != 0
                  : p->listeners[k].at.port != port))
            continue;
        pair_conn *c = conn_new(p);
        c->end[0].kind = PAIR_APP;
        c->end[0].open = true;
        c->end[1].kind = PAIR_NODE;
        c->end[1].open = true;
        c->end[1].node = node;
        c->end[1].id = RMR_IO_ADAPTER_ID | ++p->last_child;
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_ACCEPTED;
        ev.id = p->listeners[k].id;
        ev.child = c->end[1].id;
        ev.addr = rmr_addr_v4(127, 0, 0, 1, 5555);
        give(p, node, &ev);
        pair_drain(p, node);
        return c;
    }
    return NULL;
}

pair_conn *pair_accepted(pair *p, uint16_t port)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used && c->port == port && c->end[1].kind == PAIR_APP &&
            c->end[0].open)
            return c;
    }
    return NULL;
}

int pair_app_side(const pair_conn *c)
{
    return c->end[0].kind == PAIR_APP ? 0 : 1;
}

size_t pair_write(pair_conn *c, const void *data, size_t len)
{
    pair_pipe *out = &c->pipe[pair_app_side(c)];
    size_t room = pipe_room(out);
    if (len > room)
        len = room;
    pipe_put(out, data, len);
    return len;
}

size_t pair_read(pair_conn *c, void *dst, size_t cap)
{
    pair_pipe *in = &c->pipe[1 - pair_app_side(c)];
    size_t n = in->len < cap ? in->len : cap;
    if (n) {
        memcpy(dst, in->buf, n);
        pipe_drop(in, n);
    }
    return n;
}

bool pair_is_eof(const pair_conn *c)
{
    const pair_pipe *in = &c->pipe[1 - pair_app_side(c)];
    return in->fin && in->len == 0;
}

bool pair_is_reset(const pair_conn *c)
{
    return c->end[pair_app_side(c)].dead;
}

void pair_shut(pair_conn *c)
{
    c->pipe[pair_app_side(c)].fin = true;
}

void pair_close(pair_conn *c)
{
    int side = pair_app_side(c);
    c->pipe[side].fin = true;
    c->pipe[1 - side].sink = true;
    c->pipe[1 - side].len = 0;
    c->end[side].closed = true;
}

void pair_abort(pair_conn *c)
{
    break_from(c, pair_app_side(c));
}
