/* The way of a packet: out by its host's link, through nets and gates, and in
 * by another host's.  Every hop that takes time is a happening. */
#include "sim_internal.h"

#include <string.h>

#define MOST_HOPS 32

static void at_net(rmr_sim *s, rmr_sim_net net, sim_packet *p);

sim_packet *rmri_sim_packet(rmr_sim *s, rmr_bytes data)
{
    sim_packet *p = rmri_sim_alloc(s, sizeof *p + data.len);
    if (!p)
        return NULL;
    p->len = data.len;
    if (data.len)
        memcpy(p->data, data.ptr, data.len);
    return p;
}

static void drop(rmr_sim *s, sim_packet *p)
{
    rmr_release(&s->c.alloc, p, sizeof *p + p->len);
}

size_t rmri_sim_packet_ip_len(const sim_packet *p)
{
    size_t ip = p->dst.family == RMR_AF_INET ? 20 : 40;
    return ip + (p->proto == SIM_UDP ? 8 : 0) + p->len;
}

/* ---- links --------------------------------------------------------------- */

/* Over a link, then `next`, from the heap: so a host's program is never called
 * from inside another's turn. */
static void cross(rmr_sim *s, rmr_sim_link *l, bool is_up, sim_packet *p,
                  sim_run_fn next, uint64_t a)
{
    rmr_sim_fate fate;
    if (!is_up) {
        drop(s, p);
        return;
    }
    /* Fragments are not told apart: what was cut arrives joined. */
    uint32_t mtu = l->config.mtu;
    if (l->config.fragments && !p->is_whole)
        l->config.mtu = 0;
    rmr_sim_link_pass(l, s->now, rmri_sim_packet_ip_len(p), &fate);
    l->config.mtu = mtu;
    if (fate.copies == 2) {
        sim_packet *twin = rmri_sim_packet(s, rmr_bytes_of(p->data, p->len));
        if (twin) {
            memcpy(twin, p, sizeof *p);
            rmri_sim_happen(s, fate.at, next, a, 0, twin,
                            sizeof *twin + twin->len);
        }
    }
    if (!fate.copies) {
        drop(s, p);
        return;
    }
    /* A changed UDP packet fails its checksum at the far end. */
    if (fate.is_corrupt) {
        drop(s, p);
        return;
    }
    rmri_sim_happen(s, fate.at, next, a, 0, p, sizeof *p + p->len);
}

static sim_packet *take(sim_happening *h)
{
    sim_packet *p = h->ptr;
    h->ptr = NULL;
    return p;
}

/* ---- hosts --------------------------------------------------------------- */

static void at_host(rmr_sim *s, sim_happening *x)
{
    sim_packet *p = x->ptr;
    sim_host *h = rmri_sim_host(s, (rmr_sim_host)x->a);
    if (rmri_sim_sleeps(s, h)) {
        h->stats.asleep++;
        return;
    }
    if (!h->is_up && !rmri_sim_host_has(h, &p->src))
        return;
    if (!rmri_sim_host_has(h, &p->dst))
        return; /* it has moved */
    rmri_sim_tap(s, (rmr_sim_host)x->a, RMR_SIM_TAP_IN, p);
    if (rmri_sim_arrive(s, p, h, (rmr_sim_host)x->a))
        x->ptr = NULL;
}

static void at_first_net(rmr_sim *s, sim_happening *h)
{
    at_net(s, (rmr_sim_net)h->a, take(h));
}

void rmri_sim_leave(rmr_sim *s, rmr_sim_host from, sim_packet *p)
{
    sim_host *h = rmri_sim_host(s, from);
    rmri_sim_tap(s, from, RMR_SIM_TAP_OUT, p);
    if (rmri_sim_host_has(h, &p->dst)) {
        rmri_sim_happen(s, s->now, at_host, from, 0, p, sizeof *p + p->len);
        return;
    }
    if (!rmri_sim_host_has(h, &p->src)) {
        drop(s, p); /* the socket's address is gone */
        return;
    }
    cross(s, &h->up, h->is_up, p, at_first_net, h->net);
}

/* ---- gates --------------------------------------------------------------- */

static void into_net(rmr_sim *s, sim_happening *h)
{
    sim_gate *g = rmri_sim_gate(s, (rmr_sim_net)h->a);
    sim_packet *p = take(h);
    if (rmri_sim_gate_in(s, g, p))
        at_net(s, g->net, p);
    else
        drop(s, p);
}

static void out_of_net(rmr_sim *s, sim_happening *h)
{
    const sim_gate *g = rmri_sim_gate(s, (rmr_sim_net)h->a);
    at_net(s, g->outer, take(h));
}

static void leave_net(rmr_sim *s, rmr_sim_net net, sim_packet *p)
{
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g) {
        drop(s, p); /* the Internet knows no such host */
        return;
    }
    if (rmri_sim_gate_owns(g, &p->dst)) {
        if (rmri_sim_gate_hairpin(s, g, p))
            at_net(s, net, p);
        else
            drop(s, p);
        return;
    }
    if (rmri_sim_gate_out(s, g, p))
        cross(s, &g->up, g->is_up, p, out_of_net, net);
    else
        drop(s, p);
}

/* The net below `net` whose routed hosts have that address; 0: none. */
static rmr_sim_net routed_below(const rmr_sim *s, rmr_sim_net net,
                                const rmr_addr *ip)
{
    bool may_be = s->n_routers > 0 || ip->family != RMR_AF_INET;
    for (size_t i = 1; may_be && i < s->n_nets; i++) {
        const sim_gate *g = s->nets[i].gate;
        if (g->outer != net || rmri_sim_translates(g, ip))
            continue;
        if (rmri_sim_in_net(s, g->net, ip) || routed_below(s, g->net, ip))
            return g->net;
    }
    return 0;
}

static void at_net(rmr_sim *s, rmr_sim_net net, sim_packet *p)
{
    if (p->hops++ > MOST_HOPS) {
        drop(s, p);
        return;
    }
    rmr_sim_host to = rmri_sim_in_net(s, net, &p->dst);
    if (to) {
        sim_host *h = rmri_sim_host(s, to);
        cross(s, &h->down, h->is_up, p, at_host, to);
        return;
    }
    rmr_sim_net below = rmri_sim_gate_at(s, net, &p->dst);
    if (!below)
        below = routed_below(s, net, &p->dst);
    if (below) {
        sim_gate *g = rmri_sim_gate(s, below);
        cross(s, &g->down, g->is_up, p, into_net, below);
        return;
    }
    leave_net(s, net, p);
}
