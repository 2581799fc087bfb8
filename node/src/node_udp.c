/* UDP sockets: the main pair, by which disco and WireGuard go. */
#include "node_internal.h"

#define UDP_QUEUE ((size_t)256 * 1024)

typedef struct udp_run { /* before the bytes of each run in udp_out */
    rmr_addr to;
    uint32_t len, seg_size;
} udp_run;

/* ---- out --------------------------------------------------------------- */

static rmr_mc_io *socket_of(const rmr_node *n, uint8_t family)
{
    return n->udp[family == RMR_AF_INET6];
}

bool rmri_node_udp_send(rmr_node *n, uint16_t number, const rmr_addr *to,
                        rmr_bytes data, uint32_t seg_size)
{
    udp_run run = {*to, (uint32_t)data.len, seg_size};
    rmr_mc_io *io = number == 0 ? socket_of(n, to->family) : NULL;
    if (!io || rmr_ring_space(&n->udp_out) < sizeof run + data.len ||
        rmr_ring_write_all(&n->udp_out, rmr_bytes_of(&run, sizeof run)) !=
            RMR_OK)
        return false;
    if (rmr_ring_write_all(&n->udp_out, data) != RMR_OK) {
        /* A head without its bytes would spoil all that follow. */
        rmr_ring_wipe(&n->udp_out);
        return false;
    }
    rmr_mc_io_output(io);
    return true;
}

rmr_mc_io *rmri_node_udp_ready(const rmr_node *n, uint16_t number,
                               uint8_t family)
{
    rmr_mc_io *io = number == 0 ? socket_of(n, family) : NULL;
    return io && rmr_mc_io_is_open(io) && !rmr_mc_io_is_sending(io) ? io : NULL;
}

bool rmri_node_udp_congested(const rmr_node *n)
{
    return n->udp_out.len > UDP_QUEUE / 2 ||
           (n->udp[0] && rmr_mc_io_is_sending(n->udp[0])) ||
           (n->udp[1] && rmr_mc_io_is_sending(n->udp[1]));
}

static bool udp_produce(void *owner, rmr_time now, rmr_buf scratch,
                        rmr_io_op *op)
{
    rmr_node *n = owner;
    udp_run run;
    (void)now;
    rmr_mc_io *io = NULL;
    do { /* those whose socket went away meanwhile are dropped */
        if (n->udp_out.len < sizeof run)
            return false;
        rmr_ring_read(&n->udp_out, &run, sizeof run);
        rmr_ring_read(&n->udp_out, scratch.ptr, run.len);
        io = n->udp[run.to.family == RMR_AF_INET6];
    } while (!io || !rmr_mc_io_is_open(io));
    op->addr = run.to;
    op->id = rmr_mc_io_id(io);
    op->data = rmr_bytes_of(scratch.ptr, run.len);
    op->seg_size = run.seg_size;
    n->tx_udp += run.seg_size ? (run.len + run.seg_size - 1) / run.seg_size : 1;
    n->dirty = true; /* the queue has room again */
    return true;
}

/* ---- sockets ----------------------------------------------------------- */

static void open_udp(rmr_node *n, uint8_t family, uint16_t port);

static void udp_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    rmr_node *n = owner;
    (void)now;
    if (n->udp_bound == 0)
        n->udp_bound = local->port;
}

static void udp_failed_of(rmr_node *n, uint8_t family, rmr_err why)
{
    rmr_mc_io **slot = &n->udp[family == RMR_AF_INET6];
    *slot = NULL;
    bool first_try = !n->udp_any[family == RMR_AF_INET6];
    n->udp_any[family == RMR_AF_INET6] = true;
    if (first_try && why == RMR_E_INUSE)
        open_udp(n, family, 0);
    else if (family == RMR_AF_INET)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "no UDP socket (%s): relays alone carry the traffic",
                 rmr_err_name(why));
}

static void udp4_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    udp_failed_of(owner, RMR_AF_INET, why);
}

static void udp6_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    udp_failed_of(owner, RMR_AF_INET6, why);
}

static void udp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                          rmr_buf data, uint32_t seg_size)
{
    rmri_node_data_from_udp(owner, now, 0, from, data, seg_size);
}

static const rmr_mc_io_ops udp4_ops = {
    .opened = udp_opened,
    .failed = udp4_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
};

static const rmr_mc_io_ops udp6_ops = {
    .failed = udp6_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
};

static void open_udp(rmr_node *n, uint8_t family, uint16_t port)
{
    bool six = family == RMR_AF_INET6;
    rmr_addr any = {0};
    any.family = family;
    any.port = port;
    n->udp[six] = rmr_mc_udp(n->mc, &any, six ? &udp6_ops : &udp4_ops, n);
}

void rmri_node_udp_open(rmr_node *n)
{
    rmr_ring_init(&n->udp_out, &n->env.alloc, UDP_QUEUE);
    open_udp(n, RMR_AF_INET, n->udp_port);
    open_udp(n, RMR_AF_INET6, n->udp_port);
}

void rmri_node_udp_free(rmr_node *n)
{
    rmr_ring_wipe(&n->udp_out);
}
