/* Datagrams: who answers them, and where the node may send what. */
#include "fuzz_node_world.h"

#include <remora/cursor.h>
#include <remora/disco.h>
#include <remora/stun.h>

#include <stdlib.h>
#include <string.h>

/* ---- to the node ---------------------------------------------------------- */

void fz_net_fly(fz_world *w, uint64_t sock, const rmr_addr *from,
                const uint8_t *key, uint16_t region, rmr_bytes data)
{
    if (w->n_flying == FLYING)
        return; /* lost */
    fz_flying *f = &w->flying[w->n_flying++];
    memset(f, 0, sizeof *f);
    f->sock = sock;
    if (from)
        f->from = *from;
    if (key)
        memcpy(f->key, key, sizeof f->key);
    f->region = region;
    fz_add(&f->data, data.ptr, data.len);
}

static bool is_wireguard(rmr_bytes d)
{
    return d.len >= 4 && d.ptr[0] >= 1 && d.ptr[0] <= 4 && !d.ptr[1] &&
           !d.ptr[2] && !d.ptr[3];
}

static bool is_proved(const fz_world *w, const rmr_addr *a)
{
    for (size_t i = 0; i < w->n_proved && i < PROVED; i++)
        if (rmr_addr_eq(&w->proved[i], a))
            return true;
    return false;
}

static void prove(fz_world *w, const rmr_addr *a)
{
    if (!is_proved(w, a))
        w->proved[w->n_proved++ % PROVED] = *a;
}

/* A pong proves where its ping went to, wherever it comes from. */
static void take_pong(fz_world *w, rmr_bytes d)
{
    static const uint8_t shared[RMR_KEY_LEN] = {1};
    rmr_disco_msg m;
    if (rmr_disco_open(d, shared, &m) != RMR_OK || m.type != RMR_DISCO_PONG)
        return;
    for (size_t i = 0; i < w->n_pings && i < PINGS; i++)
        if (memcmp(w->pings[i].txid, m.txid, sizeof m.txid) == 0)
            prove(w, &w->pings[i].to);
}

static void arrive(fz_world *w, fz_flying *f)
{
    rmr_io_event ev;
    const fz_sock *s = fz_sock_of(w, f->sock);
    if (!s || !s->is_open)
        return;
    uint8_t *copy = fz_copy(w, f->data.p, f->data.len);
    rmr_bytes d = rmr_bytes_of(copy, f->data.len);
    if (is_wireguard(d))
        prove(w, &f->from);
    take_pong(w, d);
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = s->id;
    ev.addr = f->from;
    ev.data = rmr_buf_of(copy, f->data.len);
    fz_event(w, &ev);
    free(copy);
}

bool fz_net_step(fz_world *w)
{
    if (w->n_flying == 0)
        return false;
    fz_flying f = w->flying[0];
    w->n_flying--;
    memmove(w->flying, w->flying + 1, w->n_flying * sizeof f);
    if (f.sock) {
        arrive(w, &f);
    } else {
        fz_wire *s = fz_relay_wire(w, f.region);
        if (s) /* RECV_PACKET */
            fz_relay_frame(s, 5, rmr_bytes_of(f.key, sizeof f.key),
                           rmr_bytes_of(f.data.p, f.data.len));
    }
    fz_free(&f.data);
    return true;
}

/* ---- from the node -------------------------------------------------------- */

/* The question, and one address. */
static void answer_dns(fz_world *w, const fz_sock *s, const rmr_addr *server,
                       rmr_bytes d)
{
    static const uint8_t tail[] = {0xc0, 12, 0, 1, 0,   1, 0,   0,
                                   0,    4,  0, 4, 203, 0, 113, 250};
    fz_bytes b = {0};
    size_t at = 12;
    while (at < d.len && d.ptr[at])
        at += (size_t)d.ptr[at] + 1;
    at += 5;
    if (at > d.len || (w->dns_mode & 3) == 1)
        return; /* silence */
    fz_add(&b, d.ptr, at);
    memset(b.p + 8, 0, 4);
    b.p[2] = 0x81;
    b.p[3] = (w->dns_mode & 3) == 2 ? 0x83 : 0x80;
    b.p[2] |= (w->dns_mode & 3) == 3 ? 2 : 0; /* truncated */
    b.p[7] = b.p[3] == 0x80 && d.ptr[at - 3] == 1;
    if (b.p[7])
        fz_add(&b, tail, sizeof tail);
    fz_net_fly(w, s->id, server, NULL, 0, rmr_bytes_of(b.p, b.len));
    fz_free(&b);
}

static void answer_stun(fz_world *w, const fz_sock *s, const rmr_addr *server,
                        rmr_bytes d)
{
    uint8_t buf[RMR_STUN_RESPONSE_MAX];
    rmr_addr seen = rmr_addr_v4(198, 51, 100, 1, s->port);
    size_t len = 0;
    if (!w->no_stun &&
        rmr_stun_answer(rmr_buf_of(buf, sizeof buf), &len, d, &seen) == RMR_OK)
        fz_net_fly(w, s->id, server, NULL, 0, rmr_bytes_of(buf, len));
}

static void answer_pmp(fz_world *w, const fz_sock *s, const rmr_addr *router,
                       rmr_bytes d)
{
    uint8_t b[16] = {0, 128, 0, 0, 0, 0, 0, 1, 198, 51, 100, 1};
    if (d.len < 2 || d.ptr[0] != 0 || d.ptr[1] > 2)
        return;
    b[1] |= d.ptr[1];
    if (d.ptr[1] && d.len >= 12) {
        memcpy(b + 8, d.ptr + 4, 4);
        memcpy(b + 12, d.ptr + 8, 4);
    }
    fz_net_fly(w, s->id, router, NULL, 0, rmr_bytes_of(b, d.ptr[1] ? 16 : 12));
}

static void note_ping(fz_world *w, const rmr_addr *to, rmr_bytes d)
{
    static const uint8_t shared[RMR_KEY_LEN] = {1};
    rmr_disco_msg m;
    if (rmr_disco_open(d, shared, &m) != RMR_OK || m.type != RMR_DISCO_PING)
        return;
    size_t i = w->n_pings++ % PINGS;
    memcpy(w->pings[i].txid, m.txid, sizeof m.txid);
    w->pings[i].to = *to;
}

/* WireGuard goes only where something of it came from, or a ping went that was
 * answered; a peer that speaks nothing else (number 3) has its endpoints from the
 * server. */
static void check_destination(const fz_world *w, const rmr_addr *to)
{
    bool is_plain = to->ip[0] == 192 && to->ip[3] == 13;
    need(w->is_tampered || w->n_proved > PROVED || is_plain ||
         is_proved(w, to));
}

static void one(fz_world *w, const fz_sock *s, const rmr_addr *to, rmr_bytes d)
{
    static const uint8_t peers[3] = {192, 0, 2};
    if (s->is_icmp) {
        uint8_t reply[64] = {0};
        size_t n = d.len < sizeof reply ? d.len : sizeof reply;
        memcpy(reply, d.ptr, n);
        reply[0] = to->family == RMR_AF_INET ? 0 : 129;
        fz_net_fly(w, s->id, to, NULL, 0, rmr_bytes_of(reply, n));
        return;
    }
    note_ping(w, to, d);
    if (is_wireguard(d) && to->port != 53 && to->port != 5351)
        check_destination(w, to);
    if (to->port == 53)
        answer_dns(w, s, to, d);
    else if (to->port == 3478)
        answer_stun(w, s, to, d);
    else if (to->port == 5351)
        answer_pmp(w, s, to, d);
    else if (to->family == RMR_AF_INET && memcmp(to->ip, peers, 3) == 0 &&
             to->ip[3] >= 10 && to->ip[3] < 10 + PEERS)
        fz_peer_read(w, to->ip[3] - 10u, d, false);
}

void fz_net_send(fz_world *w, const fz_sock *s, const rmr_io_op *op)
{
    size_t size = op->seg_size ? op->seg_size : op->data.len;
    need(op->addr.port != 0 || s->is_icmp);
    need(op->addr.family == RMR_AF_INET || op->addr.family == RMR_AF_INET6);
    for (size_t at = 0; at < op->data.len; at += size) {
        size_t n = op->data.len - at < size ? op->data.len - at : size;
        one(w, s, &op->addr, rmr_bytes_of(op->data.ptr + at, n));
    }
}
