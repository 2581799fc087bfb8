/* A port of the router's for our UDP socket: the port mapper, its socket and its
 * HTTP streams to the gateway. */
#include "node_internal.h"

#include <string.h>

/* ---- its socket -------------------------------------------------------- */

static void failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    (void)now;
    (void)why; /* the probe ends without an answer */
    n->portmap_udp = NULL;
    n->portmap_udp_failed = true;
    n->dirty = true;
}

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    rmr_node *n = owner;
    size_t step = seg_size ? seg_size : data.len;
    n->dirty = true;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        rmr_portmap_read_pkt(n->portmap, now, from,
                             rmr_bytes_of(data.ptr + at, len));
    }
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    rmr_node *n = owner;
    size_t len = 0;
    if (rmr_portmap_write_pkt(n->portmap, now, scratch, &len, &op->addr) !=
            RMR_OK ||
        len == 0)
        return false;
    op->data = rmr_bytes_of(scratch.ptr, len);
    return true;
}

static const rmr_mc_io_ops udp_ops = {
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};

/* Open while it is needed. */
static void socket_pump(rmr_node *n)
{
    rmr_addr any = {0};
    bool wanted = rmr_portmap_wants_socket(n->portmap);
    any.family = RMR_AF_INET;
    if (!wanted) {
        if (n->portmap_udp)
            rmr_mc_io_close(n->portmap_udp);
        n->portmap_udp = NULL;
        n->portmap_udp_failed = false;
    } else if (!n->portmap_udp && !n->portmap_udp_failed) {
        n->portmap_udp = rmr_mc_udp(n->mc, &any, &udp_ops, n);
    }
    if (n->portmap_udp)
        rmr_mc_io_output(n->portmap_udp);
}

/* ---- its streams ------------------------------------------------------- */

static void opened(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    if (rmr_portmap_stream_opened(n->portmap, now) == RMR_OK)
        rmr_mc_link_output(n->portmap_link);
}

static void closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    rmr_node *n = owner;
    (void)text;
    n->dirty = true;
    rmr_portmap_stream_closed(n->portmap, now, why);
}

static rmr_err read(void *owner, rmr_time now, rmr_buf data)
{
    rmr_node *n = owner;
    n->dirty = true;
    return rmr_portmap_read(n->portmap, now, rmr_bytes_of(data.ptr, data.len));
}

static rmr_err write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rmr_node *n = owner;
    return rmr_portmap_write(n->portmap, now, dst, len);
}

static const rmr_mc_link_ops link_ops = {
    .opened = opened, .closed = closed, .read = read, .write = write};

/* ---- what it says ------------------------------------------------------ */

static void on_probed(void *user, rmr_portmap_services found)
{
    rmr_node *n = user;
    n->dirty = true;
    rmr_netcheck_portmap_done(n->netcheck, n->now, found.upnp, found.pmp,
                              found.pcp);
}

static void on_mapping(void *user, const rmr_addr *addr)
{
    rmr_node *n = user;
    char text[RMR_ADDR_TEXT_MAX];
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER, "the router's mapping: %s",
             addr ? rmr_addr_text(addr, text) : "none");
    rmri_node_netcheck_want(n, n->now, RMR_NETCHECK_WHY_PORTMAP);
}

/* ---- the network ------------------------------------------------------- */

/* Our address towards the gateway: of its subnet, where the adapter told of
 * subnets, else the first that is private. */
static const rmr_addr *own_towards(const rmr_node *n, const rmr_addr *gateway)
{
    const rmr_addr *found = NULL;
    for (size_t i = 0; i < n->n_link_addrs; i++) {
        const rmr_addr *a = &n->link_addrs[i];
        uint8_t bits = n->link_of[i].bits;
        if (a->family != RMR_AF_INET || rmr_addr_is_loopback(a) ||
            !rmr_addr_is_private(a))
            continue;
        rmr_prefix net = {0};
        net.family = RMR_AF_INET;
        net.bits = bits ? bits : 24;
        memcpy(net.ip, a->ip, sizeof net.ip);
        if (rmr_prefix_contains(&net, gateway))
            return a;
        if (!found)
            found = a;
    }
    return found;
}

void rmri_node_portmap_network(rmr_node *n, rmr_time now)
{
    const rmr_addr *gateway = &n->gateways[0], *own = NULL;
    if (!n->portmap)
        return;
    if (gateway->family == RMR_AF_INET)
        own = own_towards(n, gateway);
    rmr_portmap_set_network(n->portmap, now, own ? gateway : NULL, own,
                            n->udp[0].bound);
    n->dirty = true;
}

/* With each netcheck; true: rmr_netcheck_portmap_done will be called. */
bool rmri_node_portmap_probe(rmr_node *n, rmr_time now)
{
    if (!n->portmap)
        return false;
    rmr_portmap_probe(n->portmap, now);
    return true;
}

bool rmri_node_portmap_mapping(rmr_node *n, rmr_time now, rmr_addr *addr)
{
    if (!n->portmap)
        return false;
    if (n->phase == ND_PHASE_UP)
        rmri_node_check(n, now, rmr_portmap_want(n->portmap, now, true));
    return rmr_portmap_get_mapping(n->portmap, addr, NULL);
}

/* ---- every turn -------------------------------------------------------- */

void rmri_node_portmap_pump(rmr_node *n, rmr_time now)
{
    rmr_dial dial;
    if (!n->portmap)
        return;
    if (rmr_portmap_wants_close(n->portmap) && n->portmap_link)
        rmr_mc_link_close(n->portmap_link, now);
    if (rmr_portmap_wants_stream(n->portmap, now, &dial)) {
        if (!n->portmap_link)
            n->portmap_link = rmr_mc_link_new(n->mc, &link_ops, n);
        if (n->portmap_link)
            rmr_mc_link_dial(n->portmap_link, now, &dial);
        else
            rmr_portmap_stream_closed(n->portmap, now, RMR_E_NOMEM);
    }
    socket_pump(n);
    /* What was asked for in this turn may be known already: no gateway, say. */
    if (rmr_portmap_next_deadline(n->portmap) <= now)
        rmri_node_portmap_handle_deadline(n, now);
}

rmr_time rmri_node_portmap_deadline(const rmr_node *n)
{
    return n->portmap ? rmr_portmap_next_deadline(n->portmap) : RMR_TIME_NEVER;
}

void rmri_node_portmap_handle_deadline(rmr_node *n, rmr_time now)
{
    if (n->portmap)
        rmri_node_check(n, now, rmr_portmap_handle_deadline(n->portmap, now));
}

/* The end of the node: the mapping is taken back, while there is time. */
void rmri_node_portmap_stop(rmr_node *n, rmr_time now)
{
    if (n->portmap)
        rmri_node_check(n, now, rmr_portmap_want(n->portmap, now, false));
}

bool rmri_node_portmap_is_idle(const rmr_node *n)
{
    return !n->portmap || rmr_portmap_is_idle(n->portmap);
}

rmr_err rmri_node_portmap_new(rmr_node *n)
{
    rmr_portmap_callbacks cb;
    if (n->no_port_mapping || n->no_udp)
        return RMR_OK;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = n;
    cb.on_probed = on_probed;
    cb.on_mapping = on_mapping;
    return rmr_portmap_new(&n->portmap, &n->env, &cb);
}

void rmri_node_portmap_free(rmr_node *n)
{
    rmr_mc_link_free(n->portmap_link);
    n->portmap_link = NULL;
    rmr_portmap_free(n->portmap);
    n->portmap = NULL;
}
