/* 100.100.100.100 and fd7a:115c:a1e0::53: addresses of our own stack, which are
 * there for the program and the host's bridges.  What peers send to them is
 * dropped before the stack, and what goes to them never leaves it. */
#include "node_dns.h"

#include <string.h>

#define SERVED_IDLE (30 * RMR_SEC) /* RFC 7766 6.2.3 */

static rmr_addr quad_of(int i, uint16_t port)
{
    static const uint8_t six[16] = {
        0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53};
    if (i == 0)
        return rmr_addr_v4(100, 100, 100, 100, port);
    return rmr_addr_from_bytes(rmr_bytes_of(six, 16), port);
}

bool rmri_node_dns_is_quad(const rmr_addr *a)
{
    rmr_addr q = quad_of(a->family == RMR_AF_INET6, 0);
    return rmr_addr_ip_eq(a, &q);
}

bool rmri_node_dns_is_for_quad(rmr_bytes pkt)
{
    rmr_addr q4 = quad_of(0, 0), q6 = quad_of(1, 0);
    if (pkt.len >= 20 && pkt.ptr[0] >> 4 == 4)
        return memcmp(pkt.ptr + 16, q4.ip, 4) == 0;
    return pkt.len >= 40 && pkt.ptr[0] >> 4 == 6 &&
           memcmp(pkt.ptr + 24, q6.ip, 16) == 0;
}

bool rmri_node_dns_has_quad(const rmr_node *n, const rmr_addr *a)
{
    return n->dns && rmri_node_dns_is_quad(a) &&
           n->dns->has_quad[a->family == RMR_AF_INET6];
}

/* ---- the addresses ----------------------------------------------------- */

static void listen_on(nd_dns *d, int i)
{
    rmr_node *n = d->n;
    rmr_addr at = quad_of(i, 53);
    (void)rmr_ns_udp_bind(n->ns, &at, d, &d->quad[i]);
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_DNS_LISTEN);
    if (!c)
        return;
    if (rmr_ns_tcp_listen(n->ns, &at, c, &c->sock) != RMR_OK) {
        rmri_node_conn_free(c);
        return;
    }
    c->has_sock = true;
    d->listener[i] = c->handle;
}

/* Behind the node's own, which the stack takes as the source for peers: so they
 * are taken away and come back whenever those change. */
void rmri_node_dns_addrs(rmr_node *n)
{
    nd_dns *d = n->dns;
    for (int i = 0; i < 2; i++) {
        rmr_addr a = quad_of(i, 0);
        bool wanted = false;
        for (size_t k = 0; k < n->n_ips; k++)
            wanted = wanted || n->ips[k].family == a.family;
        if (d->has_quad[i])
            rmr_ns_addr_remove(n->ns, n->now, &a);
        d->has_quad[i] = wanted && rmr_ns_addr_add(n->ns, &a) == RMR_OK;
        if (d->has_quad[i] && !d->listener[i])
            listen_on(d, i);
    }
}

void rmri_node_dns_quad_close(nd_dns *d)
{
    rmr_node *n = d->n;
    for (int i = 0; i < 2; i++) {
        if (d->quad[i].id && n->ns)
            rmr_ns_close(n->ns, n->now, d->quad[i]);
        d->quad[i].id = 0;
    }
}

/* ---- UDP --------------------------------------------------------------- */

void rmri_node_dns_datagram(rmr_node *n, rmr_ns_sock sock, const rmr_addr *from,
                            const rmr_addr *to, rmr_bytes data)
{
    nd_dns *d = n->dns;
    if (sock.id == d->inside[0].id || sock.id == d->inside[1].id) {
        rmri_node_dns_out_datagram(d, from, data);
        return;
    }
    nd_dns_client *c = rmri_node_dns_client(d, ND_DNS_UDP);
    if (!c)
        return; /* a client asks again */
    c->from = *from;
    c->to = *to;
    rmri_node_dns_ask(d, c, false, data);
}

/* ---- TCP --------------------------------------------------------------- */

nd_dns_stream *rmri_node_dns_stream_new(rmr_node *n, size_t cap)
{
    nd_dns_stream *s =
        rmr_alloc_zero(&n->env.alloc, sizeof *s, _Alignof(nd_dns_stream));
    if (!s)
        return NULL;
    s->cap = cap;
    s->in = rmr_alloc_zero(&n->env.alloc, cap, 1);
    if (s->in)
        return s;
    rmr_release(&n->env.alloc, s, sizeof *s);
    return NULL;
}

void rmri_node_dns_conn_free(nd_conn *c)
{
    nd_dns_stream *s = c->dns;
    nd_dns *d = c->n->dns;
    rmri_node_dns_dial_cancel(c);
    for (int i = 0; d && i < 2; i++)
        if (c->kind == ND_CONN_DNS_LISTEN && d->listener[i] == c->handle)
            d->listener[i] = 0;
    if (!s)
        return;
    c->dns = NULL;
    uint64_t id = s->id;
    rmr_release(&c->n->env.alloc, s->in, s->cap);
    rmr_release(&c->n->env.alloc, s, sizeof *s);
    if (!d)
        return;
    c->n->dirty = true; /* another one may have waited for its place */
    if (id) {
        d->n_asked--;
        rmr_md_failed(d->md, c->n->now, id); /* answered: it is not there */
    } else {
        d->n_served--;
    }
}

bool rmri_node_dns_stream_take(nd_conn *c, rmr_time now, rmr_bytes data,
                               bool (*f)(nd_conn *c, rmr_time now, rmr_buf msg))
{
    nd_dns_stream *s = c->dns;
    while (data.len > 0 || s->len > 2) {
        size_t want = s->len < 2 ? 2 : 2u + ((size_t)s->in[0] << 8 | s->in[1]);
        if (want > s->cap)
            return false;
        size_t part = want > s->len ? want - s->len : 0;
        if (part > data.len)
            part = data.len;
        if (part)
            memcpy(s->in + s->len, data.ptr, part);
        s->len += part;
        data.ptr += part;
        data.len -= part;
        if (s->len < 2)
            return true;
        want = 2u + ((size_t)s->in[0] << 8 | s->in[1]);
        if (s->len < want) {
            if (data.len == 0)
                return true;
            continue;
        }
        s->len = 0;
        if (!f(c, now, rmr_buf_of(s->in + 2, want - 2)))
            return false;
    }
    return true;
}

static bool serve_one(nd_conn *c, rmr_time now, rmr_buf msg)
{
    nd_dns *d = c->n->dns;
    nd_dns_client *k = rmri_node_dns_client(d, ND_DNS_TCP);
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, SERVED_IDLE));
    if (!k)
        return false;
    k->conn = c->handle;
    rmri_node_dns_ask(d, k, true, rmr_bytes_of(msg.ptr, msg.len));
    return true;
}

static void served_readable(nd_conn *c, rmr_time now)
{
    rmr_node *n = c->n;
    rmr_bytes view;
    bool eof = false;
    while (rmr_ns_tcp_peek(n->ns, c->sock, &view, &eof) == RMR_OK &&
           view.len > 0) {
        uint8_t part[2048];
        size_t len = view.len < sizeof part ? view.len : sizeof part;
        memcpy(part, view.ptr, len); /* an answer may move the stack's bytes */
        rmr_ns_tcp_consume(n->ns, now, c->sock, len);
        if (!rmri_node_dns_stream_take(c, now, rmr_bytes_of(part, len),
                                       serve_one)) {
            rmri_node_conn_end(c, now, false);
            return;
        }
    }
    if (eof && !c->saw_eof) {
        c->saw_eof = true; /* what is open is still answered */
        rmri_node_timer_set(n, &c->timer, rmr_time_add(now, SERVED_IDLE / 3));
    }
}

void rmri_node_dns_accept(rmr_node *n, rmr_time now, rmr_ns_sock sock)
{
    nd_dns *d = n->dns;
    nd_conn *c =
        d->n_served < ND_DNS_SERVED ? rmri_node_conn_new(n, ND_CONN_DNS) : NULL;
    nd_dns_stream *s =
        c ? rmri_node_dns_stream_new(n, 2 + RMR_MD_MAX_QUERY) : NULL;
    if (!s) {
        rmr_ns_abort(n->ns, now, sock);
        if (c)
            rmri_node_conn_free(c);
        return;
    }
    c->dns = s;
    d->n_served++;
    rmri_node_conn_accepted(c, now, sock);
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, SERVED_IDLE));
}

void rmri_node_dns_readable(nd_conn *c, rmr_time now)
{
    if (c->kind == ND_CONN_DNS)
        served_readable(c, now);
    else
        rmri_node_dns_out_readable(c, now);
}

void rmri_node_dns_quad_answer(nd_dns *d, const nd_dns_client *k, rmr_bytes msg)
{
    rmr_node *n = d->n;
    if (k->kind == ND_DNS_UDP) {
        int i = k->to.family == RMR_AF_INET6;
        if (d->quad[i].id)
            (void)rmr_ns_udp_send(n->ns, n->now, d->quad[i], NULL, &k->from,
                                  msg);
        return;
    }
    nd_conn *c = rmr_slots_get(&n->conns, k->conn);
    uint8_t head[2] = {(uint8_t)(msg.len >> 8), (uint8_t)msg.len};
    size_t taken = 0;
    if (!c || c->kind != ND_CONN_DNS || !c->has_sock)
        return;
    if (rmr_ns_tcp_send_space(n->ns, c->sock) >= msg.len + 2) {
        (void)rmr_ns_tcp_send(n->ns, n->now, c->sock, rmr_bytes_of(head, 2),
                              &taken);
        (void)rmr_ns_tcp_send(n->ns, n->now, c->sock, msg, &taken);
    } else { /* it asks without reading: half an answer would be garbage */
        rmri_node_timer_set(n, &c->timer, n->now);
    }
}
