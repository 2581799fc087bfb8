/* UDP of peers to addresses behind us: a flow of the stack, a socket of the
 * adapter.  The stack ends it when it is silent, and when others need room. */
#include "node_internal.h"

#include <remora/cursor.h>

#define QUEUE ((size_t)64 * 1024)

static void udp_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_conn *c = owner;
    (void)now;
    (void)local;
    rmr_mc_io_output(c->io);
}

/* Aborted: the peer is told that nobody listens there. */
static void udp_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL;
    rmri_node_conn_end(c, now, false);
}

static void udp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                          rmr_buf data, uint32_t seg_size)
{
    nd_conn *c = owner;
    size_t step = seg_size ? seg_size : data.len, off = 0;
    c->n->dirty = true;
    if (!rmr_addr_eq(from, &c->udp->target)) /* not who was asked */
        return;
    do {
        size_t len = data.len - off < step ? data.len - off : step;
        (void)rmr_ns_udp_send(c->n->ns, now, c->sock, NULL, NULL,
                              rmr_bytes_of(data.ptr + off, len));
        off += step;
    } while (off < data.len);
}

static bool udp_produce(void *owner, rmr_time now, rmr_buf scratch,
                        rmr_io_op *op)
{
    nd_conn *c = owner;
    uint8_t len[2];
    (void)now;
    if (rmr_ring_read(&c->udp->out, len, sizeof len) < sizeof len)
        return false;
    size_t n = rmr_load_be16(len);
    if (rmr_ring_read(&c->udp->out, scratch.ptr, n) < n)
        return false;
    op->addr = c->udp->target;
    op->data = rmr_bytes_of(scratch.ptr, n);
    return true;
}

static void udp_send_failed(void *owner, rmr_time now, const rmr_addr *to,
                            rmr_err why)
{
    nd_conn *c = owner;
    (void)to;
    if (why != RMR_E_TOOBIG)
        rmri_node_conn_end(c, now, false);
}

static const rmr_mc_io_ops udp_ops = {
    .opened = udp_opened,
    .failed = udp_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
    .send_failed = udp_send_failed,
};

static bool open_flow(nd_conn *c, rmr_ns_flow flow, const rmr_addr *target)
{
    rmr_node *n = c->n;
    rmr_addr any = {0};
    c->udp =
        rmr_alloc_zero(&n->env.alloc, sizeof *c->udp, _Alignof(nd_datagrams));
    if (!c->udp)
        return false;
    rmr_ring_init(&c->udp->out, &n->env.alloc, QUEUE);
    c->udp->target = *target;
    any.family = target->family;
    c->io = rmr_mc_udp(n->mc, &any, &udp_ops, c);
    if (!c->io ||
        rmr_ns_flow_accept(n->ns, n->now, flow, c, &c->sock) != RMR_OK)
        return false;
    c->has_sock = c->connected = true;
    return true;
}

void rmri_node_forward_udp(rmr_node *n, rmr_ns_flow flow,
                           const rmr_addr *target)
{
    nd_conn *c = NULL;
    if (n->conns.used < ND_MAX_ROUTED)
        c = rmri_node_conn_new(n, ND_CONN_ROUTE_UDP);
    if (c && open_flow(c, flow, target)) {
        n->routed_udp++;
        return;
    }
    n->routed_dropped++;
    (void)rmr_ns_flow_refuse(n->ns, n->now, flow, RMR_E_FULL);
    if (c)
        rmri_node_conn_end(c, n->now, false);
}

/* Of the peer; what the queue has no room for is dropped, as UDP is. */
void rmri_node_forward_datagram(nd_conn *c, rmr_bytes data)
{
    uint8_t len[2];
    rmr_ring *out = &c->udp->out;
    rmr_store_be16(len, (uint16_t)data.len);
    if (!c->io || rmr_ring_space(out) < data.len + sizeof len) {
        c->n->routed_dropped++;
        return;
    }
    if (rmr_ring_write_all(out, rmr_bytes_of(len, sizeof len)) != RMR_OK ||
        rmr_ring_write_all(out, data) != RMR_OK) {
        rmr_ring_wipe(out); /* no memory: not half of one */
        c->n->routed_dropped++;
        return;
    }
    rmr_mc_io_output(c->io);
}

void rmri_node_forward_free(nd_conn *c)
{
    if (!c->udp)
        return;
    rmr_ring_wipe(&c->udp->out);
    rmr_release(&c->n->env.alloc, c->udp, sizeof *c->udp);
    c->udp = NULL;
}
