/* Questions for resolvers: what peers have, or lead to, is asked through the
 * tunnel, all others by the machine's network. */
#include "node_dns.h"

#include <string.h>

#define ASKED_TIMEOUT (6 * RMR_SEC) /* the responder's own is 5 s */

typedef enum way { OUTSIDE, INSIDE, NOWHERE } way;

/* Through the tunnel: addresses of peers, and what lies behind those whose
 * routes are used.  An exit node that is not there leaves no other way. */
static way way_to(const rmr_node *n, const rmr_addr *to)
{
    rmr_nm_node peer;
    if (rmr_nm_peer_by_ip(n->nm, to, &peer))
        return INSIDE;
    if (rmri_node_ip_is_forbidden(to) || rmri_node_routes_is_lan(n, to))
        return OUTSIDE;
    if (rmri_node_routes_find(n, to))
        return INSIDE;
    return rmri_node_exit_text(n)[0] ? NOWHERE : OUTSIDE;
}

/* ---- datagrams, inside ------------------------------------------------- */

void rmri_node_dns_out_datagram(nd_dns *d, const rmr_addr *from, rmr_bytes data)
{
    uint8_t msg[RMR_MD_MAX_UDP];
    if (data.len > sizeof msg)
        return;
    memcpy(msg, data.ptr, data.len);
    (void)rmr_md_read(d->md, d->n->now, from, false, rmr_buf_of(msg, data.len));
    d->n->dirty = true;
}

static bool send_inside(nd_dns *d, const rmr_md_out *o)
{
    rmr_node *n = d->n;
    rmr_ns_sock *s = &d->inside[o->to.family == RMR_AF_INET6];
    rmr_addr any = {0};
    any.family = o->to.family;
    if (!s->id && rmr_ns_udp_bind(n->ns, &any, d, s) != RMR_OK) {
        s->id = 0;
        return false;
    }
    return rmr_ns_udp_send(n->ns, n->now, *s, NULL, &o->to, o->msg) == RMR_OK;
}

/* ---- datagrams, outside ------------------------------------------------ */

static void failed(void *owner, rmr_time now, rmr_err why)
{
    nd_dns_socket *s = owner;
    (void)now;
    (void)why; /* the tries time out */
    s->io = NULL;
    s->failed = true;
    s->n->dirty = true;
}

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    nd_dns_socket *s = owner;
    size_t step = seg_size ? seg_size : data.len;
    s->n->dirty = true;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        (void)rmr_md_read(s->n->dns->md, now, from, false,
                          rmr_buf_of(data.ptr + at, len));
    }
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_dns_socket *s = owner;
    uint16_t len = 0;
    (void)now;
    if (rmr_ring_read(&s->out, &op->addr, sizeof op->addr) != sizeof op->addr)
        return false;
    rmr_ring_read(&s->out, &len, sizeof len);
    rmr_ring_read(&s->out, scratch.ptr, len);
    op->data = rmr_bytes_of(scratch.ptr, len);
    return true;
}

static const rmr_mc_io_ops udp_ops = {
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

static bool send_outside(nd_dns *d, const rmr_md_out *o)
{
    nd_dns_socket *s = &d->outside[o->to.family == RMR_AF_INET6];
    uint16_t len = (uint16_t)o->msg.len;
    rmr_addr any = {0};
    any.family = o->to.family;
    if (!s->io && !s->failed)
        s->io = rmr_mc_udp(d->n->mc, &any, &udp_ops, s);
    if (!s->io ||
        rmr_ring_space(&s->out) < sizeof o->to + sizeof len + o->msg.len)
        return false;
    if (rmr_ring_write_all(&s->out, rmr_bytes_of(&o->to, sizeof o->to)) !=
        RMR_OK)
        return false;
    if (rmr_ring_write_all(&s->out, rmr_bytes_of(&len, sizeof len)) != RMR_OK ||
        rmr_ring_write_all(&s->out, o->msg) != RMR_OK) {
        /* Half a datagram: without memory, all that waits is given up. */
        rmr_ring_consume(&s->out, s->out.len);
        return false;
    }
    rmr_mc_io_output(s->io);
    return true;
}

/* ---- streams ----------------------------------------------------------- */

static bool take_answer(nd_conn *c, rmr_time now, rmr_buf msg)
{
    nd_dns *d = c->n->dns;
    (void)rmr_md_read(d->md, now, &c->dns->to, true, msg);
    c->n->dirty = true;
    return false; /* one question a stream: it ends */
}

static bool take_bytes(nd_conn *c, rmr_time now, rmr_bytes data)
{
    return c->dns->http ? rmri_node_dns_http_take(c, now, data)
                        : rmri_node_dns_stream_take(c, now, data, take_answer);
}

static void stream_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL;
    rmri_node_conn_end(c, now, false);
}

static void stream_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_conn *c = owner;
    (void)now;
    (void)local;
    rmr_mc_io_output(c->io);
    rmr_mc_io_credit(c->io, 4096);
}

static void stream_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_conn *c = owner;
    if (!take_bytes(c, now, rmr_bytes_of(data.ptr, data.len))) {
        rmri_node_conn_end(c, now, true);
        return;
    }
    rmr_mc_io_credit(c->io, 4096);
}

static void stream_eof(void *owner, rmr_time now)
{
    rmri_node_conn_end(owner, now, true);
}

static size_t stream_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_conn *c = owner;
    nd_dns_stream *s = c->dns;
    size_t len = s->out_len;
    (void)now;
    memcpy(scratch.ptr, s->out, len); /* scratch is larger than any question */
    s->out_len = 0;
    return len;
}

static const rmr_mc_io_ops stream_ops = {
    .opened = stream_opened,
    .failed = stream_failed,
    .bytes = stream_bytes,
    .eof = stream_eof,
    .produce = stream_produce,
};

static void connected(nd_conn *c, rmr_time now)
{
    size_t taken = 0;
    (void)rmr_ns_tcp_send(c->n->ns, now, c->sock,
                          rmr_bytes_of(c->dns->out, c->dns->out_len), &taken);
}

void rmri_node_dns_dialled(nd_conn *c, rmr_time now, rmr_err err)
{
    if (err == RMR_OK)
        connected(c, now);
    else
        rmri_node_conn_end(c, now, false);
}

void rmri_node_dns_out_readable(nd_conn *c, rmr_time now)
{
    rmr_node *n = c->n;
    rmr_bytes view;
    bool eof = false;
    while (rmr_ns_tcp_peek(n->ns, c->sock, &view, &eof) == RMR_OK &&
           view.len > 0) {
        uint8_t part[2048];
        size_t len = view.len < sizeof part ? view.len : sizeof part;
        memcpy(part, view.ptr, len);
        rmr_ns_tcp_consume(n->ns, now, c->sock, len);
        if (!take_bytes(c, now, rmr_bytes_of(part, len))) {
            rmri_node_conn_end(c, now, true);
            return;
        }
    }
    if (eof)
        rmri_node_conn_end(c, now, true);
}

static bool connect_to(nd_conn *c, const rmr_md_out *o)
{
    rmr_node *n = c->n;
    way w = way_to(n, &o->to);
    if (w == NOWHERE)
        return false;
    if (w == INSIDE)
        return rmri_node_conn_dial(c, n->now, NULL, &o->to, o->to.port) ==
               RMR_OK;
    c->io = rmr_mc_connect(n->mc, &o->to, NULL, ASKED_TIMEOUT, &stream_ops, c);
    return c->io != NULL;
}

static bool put_question(nd_conn *c, const rmr_md_out *o)
{
    nd_dns_stream *s = c->dns;
    if (o->http)
        return rmri_node_dns_http_ask(c, o->msg);
    s->out[0] = (uint8_t)(o->msg.len >> 8);
    s->out[1] = (uint8_t)o->msg.len;
    memcpy(s->out + 2, o->msg.ptr, o->msg.len);
    s->out_len = 2 + o->msg.len;
    return true;
}

static bool send_stream(nd_dns *d, const rmr_md_out *o)
{
    rmr_node *n = d->n;
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_DNS_OUT);
    nd_dns_stream *s = c ? rmri_node_dns_stream_new(n, 2 + 65535) : NULL;
    if (!s) {
        if (c)
            rmri_node_conn_free(c);
        return false;
    }
    s->to = o->to;
    c->dns = s;
    d->n_asked++;
    s->id = o->id;
    if (!put_question(c, o) || !connect_to(c, o)) {
        rmri_node_conn_free(c); /* says that it failed */
        return true;
    }
    rmri_node_timer_set(n, &c->timer, rmr_time_add(n->now, ASKED_TIMEOUT));
    return true;
}

/* ---- both -------------------------------------------------------------- */

static bool send_one(nd_dns *d, const rmr_md_out *o)
{
    if (o->tcp)
        return send_stream(d, o);
    switch (way_to(d->n, &o->to)) {
    case INSIDE:
        return send_inside(d, o);
    case OUTSIDE:
        return send_outside(d, o);
    default:
        return false;
    }
}

/* A fresh port for each round of questions (RFC 5452 9.2). */
void rmri_node_dns_out_close(nd_dns *d)
{
    for (int i = 0; i < 2; i++) {
        if (d->inside[i].id && d->n->ns)
            rmr_ns_close(d->n->ns, d->n->now, d->inside[i]);
        d->inside[i].id = 0;
        nd_dns_socket *s = &d->outside[i];
        if (s->io)
            rmr_mc_io_close(s->io);
        s->io = NULL;
        s->failed = false;
        rmr_ring_consume(&s->out, s->out.len);
    }
}

void rmri_node_dns_out_pump(nd_dns *d, rmr_time now)
{
    rmr_md_out o;
    for (;;) {
        rmr_md_allow_streams(d->md, d->n_asked < ND_DNS_ASKED);
        if (!rmr_md_next(d->md, now, &o))
            break;
        if (!send_one(d, &o))
            rmr_md_failed(d->md, now, o.id); /* bounded by its tries */
    }
    if (rmr_md_next_deadline(d->md) == RMR_TIME_NEVER)
        rmri_node_dns_out_close(d);
}
