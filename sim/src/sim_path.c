/* The way that a stream takes, from the host that connects outward, and how
 * long a piece of it is on it. */
#include "sim_internal.h"

#include <string.h>

/* Down through nets that are routed without a firewall; true: found. */
static bool find_below(const rmr_sim *s, rmr_sim_net net, const rmr_addr *to,
                       sim_path *p)
{
    p->to = rmri_sim_in_net(s, net, to);
    if (p->to)
        return true;
    size_t n = s->n_routers || to->family != RMR_AF_INET ? s->n_nets : 0;
    for (size_t i = 1; i < n && p->n_down < SIM_MAX_DEPTH; i++) {
        const sim_gate *g = s->nets[i].gate;
        if (g->outer != net || rmri_sim_translates(g, to) ||
            g->c.has_firewall || g->c.only_tcp_443)
            continue;
        p->down_epoch[p->n_down] = g->epoch;
        p->down[p->n_down++] = g->net;
        if (find_below(s, g->net, to, p))
            return true;
        p->n_down--;
    }
    return false;
}

bool rmri_sim_path_find(const rmr_sim *s, rmr_sim_host from, const rmr_addr *to,
                        sim_path *p)
{
    const sim_host *h = rmri_sim_host(s, from);
    memset(p, 0, sizeof *p);
    p->from = from;
    p->is_local = rmri_sim_host_has(h, to);
    if (p->is_local) {
        p->to = from;
        return true;
    }
    for (rmr_sim_net net = h->net; !find_below(s, net, to, p);) {
        const sim_gate *g = rmri_sim_gate(s, net);
        if (!g || p->n_up == SIM_MAX_DEPTH || rmri_sim_gate_owns(g, to) ||
            (g->c.only_tcp_443 && to->port != 443))
            return false;
        p->up_epoch[p->n_up] = g->epoch;
        p->up[p->n_up++] = net;
        net = g->outer;
    }
    return true;
}

/* ---- a piece on its way -------------------------------------------------- */

typedef struct walk {
    rmr_time at;
    size_t len;
    bool is_lost;
} walk;

static void over(walk *w, rmr_sim_link *l, bool is_up)
{
    if (!is_up || w->is_lost || !rmri_sim_link_carry(l, w->at, w->len, &w->at))
        w->is_lost = true;
}

/* A gate that rebooted has forgotten the stream. */
static void over_gates(rmr_sim *s, walk *w, const rmr_sim_net *nets,
                       const uint32_t *epochs, uint32_t n, bool is_outward)
{
    for (uint32_t i = 0; i < n; i++) {
        sim_gate *g = rmri_sim_gate(s, nets[i]);
        bool keeps_state = g->c.nat || g->c.has_firewall;
        over(w, is_outward ? &g->up : &g->down,
             g->is_up && (!keeps_state || g->epoch == epochs[i]));
    }
}

static bool is_there(const rmr_sim *s, const sim_end *e)
{
    const sim_host *h = rmri_sim_host(s, e->host);
    return h && !rmri_sim_sleeps(s, h) && rmri_sim_host_has(h, &e->local);
}

/* From end `side` to the other one.  False: it is lost on the way. */
bool rmri_sim_path_carry(rmr_sim *s, const sim_stream *st, int side,
                         rmr_time now, size_t len, rmr_time *at)
{
    const sim_path *p = &st->path;
    walk w = {now, len, false};
    sim_host *a = rmri_sim_host(s, side ? p->to : p->from);
    sim_host *b = rmri_sim_host(s, side ? p->from : p->to);
    if (!is_there(s, &st->end[side]) || !is_there(s, &st->end[!side]))
        return false;
    if (!p->is_local) {
        over(&w, &a->up, a->is_up);
        over_gates(s, &w, p->up, p->up_epoch, p->n_up, !side);
        over_gates(s, &w, p->down, p->down_epoch, p->n_down, side);
        over(&w, &b->down, b->is_up);
    }
    *at = w.at;
    return !w.is_lost;
}
