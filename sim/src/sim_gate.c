/* Nets and their gates: made, rebooted, blocked. */
#include "sim_internal.h"

#include <string.h>

sim_gate *rmri_sim_gate(const rmr_sim *s, rmr_sim_net net)
{
    return net < s->n_nets ? s->nets[net].gate : NULL;
}

void rmr_sim_gate_config_init(rmr_sim_gate_config *cfg, size_t struct_size)
{
    memset(cfg, 0, sizeof *cfg);
    cfg->struct_size = (uint32_t)struct_size;
    cfg->lifetime = 120 * RMR_SEC;
    cfg->has_firewall = true;
}

static bool outside_ok(const rmr_sim_gate_config *c)
{
    for (size_t i = 0; i < c->n_outside; i++)
        if (c->outside[i].family != RMR_AF_INET)
            return false;
    return c->n_outside <= SIM_MAX_ADDRS && c->nat == (c->n_outside > 0);
}

static bool outside_free(const rmr_sim *s, rmr_sim_net outer,
                         const rmr_addr *outside, size_t n, const sim_gate *but)
{
    for (size_t i = 0; i < n; i++) {
        rmr_sim_net there = rmri_sim_gate_at(s, outer, &outside[i]);
        if (rmri_sim_in_net(s, outer, &outside[i]) ||
            (there && (!but || there != but->net)))
            return false;
    }
    return true;
}

static void set_outside(sim_gate *g, const rmr_addr *outside, size_t n)
{
    g->c.n_outside = n;
    for (size_t i = 0; i < n; i++) {
        g->outside[i] = outside[i];
        g->outside[i].port = 0;
    }
    g->c.outside = g->outside;
}

static void set_link(rmr_sim *s, rmr_sim_link *l, const rmr_sim_link_config *c)
{
    rmr_sim_link_config own = *c;
    if (!own.seed)
        own.seed = rmri_sim_next(&s->rng);
    rmr_sim_link_init(l, &own);
}

static void block(sim_gate *g, uint8_t family, rmr_sim_ways ways)
{
    if (family != RMR_AF_INET6)
        g->blocked[0] = ways;
    if (family != RMR_AF_INET)
        g->blocked[1] = ways;
}

rmr_err rmr_sim_net_new(rmr_sim *s, rmr_sim_net outer,
                        const rmr_sim_gate_config *cfg, rmr_sim_net *out)
{
    *out = 0;
    if (outer >= s->n_nets)
        return RMR_E_BADHANDLE;
    if (!outside_ok(cfg))
        return RMR_E_INVAL;
    if (!outside_free(s, outer, cfg->outside, cfg->n_outside, NULL))
        return RMR_E_INUSE;
    sim_gate *g = NULL;
    if (rmri_sim_grow(s, (void **)&s->nets, &s->cap_nets, s->n_nets + 1,
                      sizeof *s->nets))
        g = rmri_sim_alloc(s, sizeof *g);
    if (!g)
        return RMR_E_NOMEM;
    g->c = *cfg;
    g->outer = outer;
    g->net = (rmr_sim_net)s->n_nets;
    g->is_up = true;
    block(g, RMR_AF_NONE,
          cfg->udp_blocked ? RMR_SIM_WAY_BOTH : RMR_SIM_WAY_NONE);
    g->rng = rmri_sim_next(&s->rng);
    g->next_port = (uint16_t)rmri_sim_next(&g->rng);
    set_outside(g, cfg->outside, cfg->n_outside);
    set_link(s, &g->up, &cfg->up);
    set_link(s, &g->down, &cfg->down);
    (void)rmr_slots_init(&g->mappings, &s->c.alloc, sizeof(sim_mapping),
                         UINT32_MAX);
    s->nets[s->n_nets++].gate = g;
    s->n_routers += !cfg->nat;
    *out = g->net;
    rmri_sim_where_put(s, outer, g->outside, g->c.n_outside, g->net, true);
    return s->failed;
}

void rmri_sim_nets_free(rmr_sim *s)
{
    for (size_t i = 1; i < s->n_nets; i++) {
        sim_gate *g = s->nets[i].gate;
        rmr_slots_wipe(&g->mappings);
        rmri_sim_map_wipe(&g->by_inner, &s->c.alloc);
        rmri_sim_map_wipe(&g->by_outer, &s->c.alloc);
        rmri_sim_map_wipe(&g->pinholes, &s->c.alloc);
        rmr_release(&s->c.alloc, g, sizeof *g);
    }
    rmr_release(&s->c.alloc, s->nets, s->cap_nets * sizeof *s->nets);
}

/* ---- faults -------------------------------------------------------------- */

rmr_err rmr_sim_gate_reboot(rmr_sim *s, rmr_sim_net net)
{
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g)
        return RMR_E_BADHANDLE;
    rmri_sim_gate_forget(s, g);
    return RMR_OK;
}

rmr_err rmr_sim_gate_set_up(rmr_sim *s, rmr_sim_net net, bool is_up)
{
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g)
        return RMR_E_BADHANDLE;
    g->is_up = is_up;
    return RMR_OK;
}

rmr_err rmr_sim_gate_set_outside(rmr_sim *s, rmr_sim_net net,
                                 const rmr_addr *outside, size_t n_outside)
{
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g)
        return RMR_E_BADHANDLE;
    rmr_sim_gate_config c = g->c;
    c.outside = outside;
    c.n_outside = n_outside;
    if (!outside_ok(&c))
        return RMR_E_INVAL;
    if (!outside_free(s, g->outer, outside, n_outside, g))
        return RMR_E_INUSE;
    rmri_sim_gate_forget(s, g);
    rmri_sim_where_del(s, g->outer, g->outside, g->c.n_outside);
    set_outside(g, outside, n_outside);
    rmri_sim_where_put(s, g->outer, g->outside, n_outside, g->net, true);
    return s->failed;
}

rmr_err rmr_sim_gate_block_udp(rmr_sim *s, rmr_sim_net net, uint8_t family,
                               rmr_sim_ways ways)
{
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g)
        return RMR_E_BADHANDLE;
    block(g, family, ways);
    return RMR_OK;
}

rmr_sim_gate_stats rmr_sim_gate_get_stats(const rmr_sim *s, rmr_sim_net net)
{
    rmr_sim_gate_stats stats;
    const sim_gate *g = rmri_sim_gate(s, net);
    memset(&stats, 0, sizeof stats);
    if (!g)
        return stats;
    stats = g->stats;
    stats.live = g->mappings.used;
    return stats;
}
