/* UDP sockets: the main pair, by which STUN, disco and WireGuard go, and those
 * that a punch opens.  Datagrams wait in a queue of their socket. */
#include "node_internal.h"

#include <string.h>

#define MAIN_QUEUE ((size_t)256 * 1024)
#define EXTRA_QUEUE ((size_t)64 * 1024)
#define EXTRA_SIZE ((RMR_PATH_MAX_SOCKET + 1) * sizeof(nd_sock *))
/* A burst of errors of a socket that broke makes one attempt to mend it. */
#define REBIND_EVERY (5 * RMR_SEC)

typedef struct udp_run { /* before the bytes of each run in `out` */
    rmr_addr to;
    uint32_t len;
    uint32_t seg_size; /* as RMR_IO_UDP_SEND has it */
} udp_run;

static void open_main(nd_sock *s);

/* ---- finding ----------------------------------------------------------- */

static nd_sock *extra_of(const rmr_node *n, uint16_t number)
{
    return n->extra && number <= RMR_PATH_MAX_SOCKET ? n->extra[number] : NULL;
}

static nd_sock *sock_of(rmr_node *n, uint16_t number, uint8_t family)
{
    if (number == 0)
        return &n->udp[family == RMR_AF_INET6];
    return extra_of(n, number);
}

uint16_t rmri_node_udp_port(const rmr_node *n)
{
    return n->udp[0].bound ? n->udp[0].bound : n->udp[1].bound;
}

uint16_t rmri_node_udp_wanted(const rmr_node *n)
{
    return n->random_port ? 0 : n->udp_port;
}

/* ---- out --------------------------------------------------------------- */

bool rmri_node_udp_send(rmr_node *n, uint16_t number, const rmr_addr *to,
                        rmr_bytes data, uint32_t seg_size)
{
    udp_run run = {*to, (uint32_t)data.len, seg_size};
    nd_sock *s = sock_of(n, number, to->family);
    if (!s || !s->io || rmr_ring_space(&s->out) < sizeof run + data.len ||
        rmr_ring_write_all(&s->out, rmr_bytes_of(&run, sizeof run)) != RMR_OK)
        return false;
    if (rmr_ring_write_all(&s->out, data) != RMR_OK) {
        /* A head without its bytes would spoil all that follow. */
        rmr_ring_wipe(&s->out);
        return false;
    }
    rmr_mc_io_output(s->io);
    return true;
}

rmr_mc_io *rmri_node_udp_ready(const rmr_node *n, uint16_t number,
                               uint8_t family)
{
    const nd_sock *s =
        number == 0 ? &n->udp[family == RMR_AF_INET6] : extra_of(n, number);
    return s && s->io && rmr_mc_io_is_open(s->io) &&
                   !rmr_mc_io_is_sending(s->io)
               ? s->io
               : NULL;
}

static bool is_congested(const nd_sock *s)
{
    return s->io &&
           (s->out.len > MAIN_QUEUE / 2 || rmr_mc_io_is_sending(s->io));
}

/* The stack is held back then, so that TCP waits and is not dropped. */
bool rmri_node_udp_congested(const rmr_node *n)
{
    return is_congested(&n->udp[0]) || is_congested(&n->udp[1]);
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    nd_sock *s = owner;
    udp_run run;
    (void)now;
    if (rmr_ring_read(&s->out, &run, sizeof run) < sizeof run) {
        rmr_ring_shrink(&s->out);
        return false;
    }
    rmr_ring_read(&s->out, scratch.ptr, run.len);
    op->addr = run.to;
    op->data = rmr_bytes_of(scratch.ptr, run.len);
    op->seg_size = run.seg_size;
    s->n->tx_udp +=
        run.seg_size ? (run.len + run.seg_size - 1) / run.seg_size : 1;
    s->n->dirty = true; /* the queue has room again */
    return true;
}

/* ---- in, and faults ---------------------------------------------------- */

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    nd_sock *s = owner;
    s->n->dirty = true;
    rmri_node_data_from_udp(s->n, now, s->number, from, data, seg_size);
}

/* The socket itself is at fault, and not the way to somebody?  The host says the
 * same of addresses to which it sends nothing (a broadcast, a route of its own
 * that forbids it), and a peer may name those.  So it counts only where the
 * peer had answered; that nothing at all can be sent, the netcheck finds. */
static bool is_of_the_socket(rmr_node *n, rmr_time now, const rmr_path_to *to,
                             rmr_err why)
{
    rmr_path_peer peer;
    rmr_path_info info;
    if (why != RMR_E_IO && why != RMR_E_DENIED && why != RMR_E_CLOSED)
        return false;
    return rmr_paths_source(n->paths, &to->udp, &peer) &&
           rmr_paths_info(n->paths, now, peer, &info) == RMR_OK &&
           info.has_best && info.socket == to->socket &&
           rmr_addr_eq(&info.udp, &to->udp);
}

static void send_failed(void *owner, rmr_time now, const rmr_addr *to,
                        rmr_err why)
{
    nd_sock *s = owner;
    rmr_node *n = s->n;
    rmr_path_to at = {0};
    at.udp = *to;
    at.socket = s->number;
    n->dirty = true;
    bool broken = s->number == 0 && is_of_the_socket(n, now, &at, why);
    rmr_paths_send_failed(n->paths, now, &at, why);
    rmri_node_netcheck_send_failed(n, to, why);
    if (broken && now >= rmr_time_add(n->rebound_at, REBIND_EVERY))
        rmri_node_rebind(n, now, "a socket is broken");
}

static void opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_sock *s = owner;
    s->bound = local->port;
    s->n->dirty = true;
    if (s->number)
        rmr_paths_socket_opened(s->n->paths, now, s->number, RMR_OK);
    else {
        rmri_node_paths_attributes(s->n, now);
        rmri_node_portmap_network(s->n, now);
        rmri_node_netcheck_want(s->n, now, RMR_NETCHECK_WHY_REBIND);
    }
}

/* A main socket: the port that it had is tried, then any. */
static void failed_main(nd_sock *s, rmr_time now, rmr_err why)
{
    rmr_node *n = s->n;
    bool was_open = s->bound != 0;
    s->io = NULL;
    rmr_ring_wipe(&s->out);
    if (was_open) { /* it broke later */
        s->attempt = 0;
        if (now >= rmr_time_add(n->rebound_at, REBIND_EVERY))
            rmri_node_rebind(n, now, "a socket broke");
        return;
    }
    if (why == RMR_E_INUSE && s->attempt < 2) {
        s->attempt++;
        open_main(s);
    } else if (s->family == RMR_AF_INET) {
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "no UDP socket (%s): relays alone carry the traffic",
                 rmr_err_name(why));
    }
}

static void failed(void *owner, rmr_time now, rmr_err why)
{
    nd_sock *s = owner;
    s->n->dirty = true;
    if (s->number == 0) {
        failed_main(s, now, why);
        rmri_node_paths_attributes(s->n, now);
        return;
    }
    rmr_node *n = s->n;
    uint16_t number = s->number;
    s->io = NULL;
    rmri_node_udp_extra_close(n, number);
    rmr_paths_socket_opened(n->paths, now, number, why);
}

static const rmr_mc_io_ops sock_ops = {
    .opened = opened,
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
    .send_failed = send_failed,
};

/* ---- the main pair ----------------------------------------------------- */

/* The configured port, the one that it had, any. */
static void open_main(nd_sock *s)
{
    const uint16_t ports[3] = {rmri_node_udp_wanted(s->n), s->last, 0};
    rmr_addr any = {0};
    any.family = s->family;
    while (s->attempt < 2 && ports[s->attempt] == 0)
        s->attempt++;
    any.port = ports[s->attempt];
    s->bound = 0;
    s->io = rmr_mc_udp(s->n->mc, &any, &sock_ops, s);
    if (s->io && s->n->probe_mtu)
        rmr_mc_io_dont_fragment(s->io);
}

/* Both must be so that path MTUs can be probed, or one is not there. */
bool rmri_node_udp_is_whole(const rmr_node *n)
{
    bool any = false;
    for (int six = 0; six < 2; six++) {
        const rmr_mc_io *io = n->udp[six].io;
        if (io && !rmr_mc_io_is_whole(io))
            return false;
        any = any || io;
    }
    return any;
}

void rmri_node_udp_open(rmr_node *n)
{
    for (int six = 1; six >= 0; six--) {
        nd_sock *s = &n->udp[six];
        s->n = n;
        s->family = six ? RMR_AF_INET6 : RMR_AF_INET;
        rmr_ring_init(&s->out, &n->env.alloc, MAIN_QUEUE);
        if (!n->no_udp)
            open_main(s);
    }
}

/* What was queued goes by the new socket. */
void rmri_node_udp_rebind(rmr_node *n, rmr_time now)
{
    n->rebound_at = now;
    for (int six = 1; six >= 0 && !n->no_udp; six--) {
        nd_sock *s = &n->udp[six];
        if (s->io)
            rmr_mc_io_close(s->io);
        if (s->bound)
            s->last = s->bound;
        /* Whoever knows the port that it had may still reach it. */
        s->attempt = s->last && rmri_node_udp_wanted(n) == 0 ? 1 : 0;
        open_main(s);
        if (s->io && s->out.len > 0)
            rmr_mc_io_output(s->io);
    }
}

/* ---- sockets of a punch ------------------------------------------------ */

rmr_err rmri_node_udp_extra_open(rmr_node *n, uint16_t number)
{
    rmr_addr any = {0};
    any.family = RMR_AF_INET;
    if (number == 0 || number > RMR_PATH_MAX_SOCKET || extra_of(n, number))
        return RMR_E_INVAL;
    if (!n->extra)
        n->extra =
            rmr_alloc_zero(&n->env.alloc, EXTRA_SIZE, _Alignof(nd_sock *));
    if (!n->extra)
        return RMR_E_NOMEM;
    nd_sock *s = rmr_alloc_zero(&n->env.alloc, sizeof *s, _Alignof(nd_sock));
    if (!s)
        return RMR_E_NOMEM;
    s->n = n;
    s->number = number;
    s->family = RMR_AF_INET;
    rmr_ring_init(&s->out, &n->env.alloc, EXTRA_QUEUE);
    s->io = rmr_mc_udp(n->mc, &any, &sock_ops, s);
    if (!s->io) {
        rmr_release(&n->env.alloc, s, sizeof *s);
        return RMR_E_NOMEM;
    }
    if (n->probe_mtu)
        rmr_mc_io_dont_fragment(s->io);
    n->extra[number] = s;
    return RMR_OK;
}

void rmri_node_udp_extra_close(rmr_node *n, uint16_t number)
{
    nd_sock *s = extra_of(n, number);
    if (!s)
        return;
    n->extra[number] = NULL;
    if (s->io)
        rmr_mc_io_close(s->io);
    rmr_ring_wipe(&s->out);
    rmr_release(&n->env.alloc, s, sizeof *s);
}

void rmri_node_udp_free(rmr_node *n)
{
    for (uint16_t i = 1; i <= RMR_PATH_MAX_SOCKET; i++)
        rmri_node_udp_extra_close(n, i);
    rmr_release(&n->env.alloc, (void *)n->extra, EXTRA_SIZE);
    n->extra = NULL;
    rmr_ring_wipe(&n->udp[0].out);
    rmr_ring_wipe(&n->udp[1].out);
}
