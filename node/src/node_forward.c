/* What peers send to addresses behind us.  The filter let it in; the stack asks
 * by on_flow.  TCP: the adapter dials first, and the peer's connection is
 * accepted when that is open: so refused is refused at the peer too. */
#include "node_internal.h"

#define DIAL_TIMEOUT (15 * RMR_SEC)

/* ---- TCP --------------------------------------------------------------- */

static void route_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_conn *c = owner;
    (void)local;
    if (rmr_ns_flow_accept(c->n->ns, now, c->flow, c, &c->sock) != RMR_OK) {
        rmri_node_conn_end(c, now, false);
        return;
    }
    c->flow.id = 0;
    c->has_sock = true; /* connected when the peer's ACK came */
    rmr_mc_io_hand_over(c->io, &rmri_node_bridge_ops, c);
    rmri_node_conn_start_bridge(c, now);
}

/* As the peer would hear it from a router: refused and unreachable are said,
 * silence stays silence. */
static rmr_err answer_of(rmr_err why)
{
    switch (why) {
    case RMR_E_REFUSED:
    case RMR_E_TIMEOUT:
    case RMR_E_DENIED:
        return why;
    default:
        return RMR_E_UNREACHABLE;
    }
}

static void route_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    c->io = NULL;
    (void)rmr_ns_flow_refuse(c->n->ns, now, c->flow, answer_of(why));
    c->flow.id = 0;
    rmri_node_conn_end(c, now, false);
}

static const rmr_mc_io_ops route_ops = {
    .opened = route_opened,
    .failed = route_failed,
};

static void dial(rmr_node *n, rmr_ns_flow flow, const rmr_addr *target)
{
    nd_conn *c = NULL;
    if (n->conns.used < ND_MAX_ROUTED)
        c = rmri_node_conn_new(n, ND_CONN_ROUTE);
    if (c)
        c->io =
            rmr_mc_connect(n->mc, target, NULL, DIAL_TIMEOUT, &route_ops, c);
    if (!c || !c->io || rmr_ns_flow_set_tag(n->ns, flow, c) != RMR_OK) {
        n->routed_dropped++;
        (void)rmr_ns_flow_refuse(n->ns, n->now, flow, RMR_E_FULL);
        if (c)
            rmri_node_conn_end(c, n->now, false);
        return;
    }
    c->flow = flow;
    n->routed_tcp++;
}

/* ---- the stack's words ------------------------------------------------- */

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    rmr_node *n = user;
    rmr_addr target;
    n->dirty = true;
    if (n->phase != ND_PHASE_UP || !rmri_node_routes_offers(n, from, to) ||
        !rmri_node_routes_target(to, &target)) {
        (void)rmr_ns_flow_refuse(n->ns, n->now, flow, RMR_E_UNREACHABLE);
        return;
    }
    if (protocol == RMR_NS_TCP)
        dial(n, flow, &target);
    else
        rmri_node_forward_udp(n, flow, &target);
}

static void on_flow_gone(void *user, void *tag, rmr_ns_flow flow)
{
    rmr_node *n = user;
    nd_conn *c = tag;
    (void)flow;
    if (!c)
        return;
    c->flow.id = 0;
    rmri_node_conn_end(c, n->now, false);
}

static void on_echo(void *user, const rmr_addr *from, const rmr_addr *to,
                    uint16_t id, uint16_t seq, rmr_bytes payload)
{
    rmr_node *n = user;
    rmr_addr target;
    n->dirty = true;
    if (n->phase == ND_PHASE_UP && rmri_node_routes_offers(n, from, to) &&
        rmri_node_routes_target(to, &target))
        rmri_node_forward_echo(n, from, to, &target, id, seq, payload);
}

void rmri_node_forward_ns_callbacks(rmr_ns_callbacks *cb)
{
    cb->on_flow = on_flow;
    cb->on_flow_gone = on_flow_gone;
    cb->on_echo = on_echo;
}
