/* What a gate does to a packet: mapping, filtering, hairpinning (RFC 4787). */
#include "sim_internal.h"

#include <string.h>

#define FIRST_PORT 1024u
#define N_PORTS (65536u - FIRST_PORT)

/* ---- keys ---------------------------------------------------------------- */

static uint64_t digest_of(uint8_t proto, const rmr_addr *a)
{
    uint64_t hi, lo;
    memcpy(&hi, a->ip, 8);
    memcpy(&lo, a->ip + 8, 8);
    uint64_t d = rmri_sim_mix((uint64_t)proto << 32 |
                              (uint64_t)a->family << 16 | a->port);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    hi = __builtin_bswap64(hi);
    lo = __builtin_bswap64(lo);
#endif
    return rmri_sim_mix(rmri_sim_mix(d ^ hi) + lo);
}

/* What remains of a remote address for a behaviour that depends on so much. */
static rmr_addr part_of(const rmr_addr *remote, rmr_sim_dependence on)
{
    rmr_addr r = *remote;
    if (on != RMR_SIM_ADDRESS_AND_PORT_DEPENDENT)
        r.port = 0;
    if (on == RMR_SIM_ENDPOINT_INDEPENDENT)
        memset(&r, 0, sizeof r);
    return r;
}

bool rmri_sim_translates(const sim_gate *g, const rmr_addr *ip)
{
    return g->c.nat && ip->family == RMR_AF_INET;
}

bool rmri_sim_gate_owns(const sim_gate *g, const rmr_addr *ip)
{
    for (size_t i = 0; i < g->c.n_outside; i++)
        if (rmr_addr_ip_eq(&g->outside[i], ip))
            return true;
    return false;
}

static bool is_blocked(sim_gate *g, const sim_packet *p, rmr_sim_ways way)
{
    bool is_v6 = p->dst.family == RMR_AF_INET6;
    bool is =
        g->c.only_tcp_443 || ((g->blocked[is_v6] & way) && p->proto == SIM_UDP);
    g->stats.blocked += is;
    return is;
}

/* ---- pinholes: local end, remote end -> until when ----------------------- */

/* Before the table would grow, what has run out is left behind. */
static void sweep(rmr_sim *s, sim_gate *g)
{
    sim_map kept = {NULL, 0, 0};
    for (size_t i = 0; i < g->pinholes.cap; i++) {
        const sim_map_entry *e = &g->pinholes.tab[i];
        if (e->value > s->now &&
            !rmri_sim_map_put(&kept, &s->c.alloc, e->k0, e->k1, e->value))
            rmri_sim_fail(s);
    }
    rmri_sim_map_wipe(&g->pinholes, &s->c.alloc);
    g->pinholes = kept;
}

static void open_pinhole(rmr_sim *s, sim_gate *g, const sim_packet *p,
                         const rmr_addr *local, rmr_sim_dependence on)
{
    rmr_addr remote = part_of(&p->dst, on);
    sim_map *m = &g->pinholes;
    if (m->cap > 64 && 4 * (m->used + 1) > 3 * m->cap)
        sweep(s, g);
    if (!rmri_sim_map_put(m, &s->c.alloc, digest_of(p->proto, local),
                          digest_of(0, &remote),
                          rmr_time_add(s->now, g->c.lifetime)))
        rmri_sim_fail(s);
}

static bool has_pinhole(rmr_sim *s, sim_gate *g, const sim_packet *p,
                        const rmr_addr *local, rmr_sim_dependence on)
{
    rmr_addr remote = part_of(&p->src, on);
    uint64_t k0 = digest_of(p->proto, local), k1 = digest_of(0, &remote);
    if (rmri_sim_map_get(&g->pinholes, k0, k1) <= s->now) {
        g->stats.filtered++;
        return false;
    }
    if (!g->c.no_inbound_refresh)
        (void)rmri_sim_map_put(&g->pinholes, &s->c.alloc, k0, k1,
                               rmr_time_add(s->now, g->c.lifetime));
    return true;
}

/* ---- mappings ------------------------------------------------------------ */

static void unmap(rmr_sim *s, sim_gate *g, uint64_t handle)
{
    const sim_mapping *m = rmr_slots_get(&g->mappings, handle);
    if (!m)
        return;
    uint64_t inner = digest_of(m->proto, &m->inner);
    uint64_t remote = digest_of(1, &m->remote);
    if (rmri_sim_map_get(&g->by_inner, inner, remote) == handle)
        rmri_sim_map_del(&g->by_inner, inner, remote);
    rmri_sim_map_del(&g->by_outer, digest_of(m->proto, &m->outer), 0);
    rmr_slots_free(&g->mappings, handle);
    (void)s;
}

static sim_mapping *live(rmr_sim *s, sim_gate *g, uint64_t handle)
{
    sim_mapping *m = rmr_slots_get(&g->mappings, handle);
    if (m && m->until <= s->now) {
        unmap(s, g, handle);
        return NULL;
    }
    return m;
}

static sim_mapping *by_outer(rmr_sim *s, sim_gate *g, uint8_t proto,
                             const rmr_addr *outer)
{
    return live(s, g,
                rmri_sim_map_get(&g->by_outer, digest_of(proto, outer), 0));
}

static sim_mapping *by_inner(rmr_sim *s, sim_gate *g, uint8_t proto,
                             const rmr_addr *inner, const rmr_addr *remote)
{
    return live(s, g,
                rmri_sim_map_get(&g->by_inner, digest_of(proto, inner),
                                 digest_of(1, remote)));
}

/* RFC 4787 REQ-2: one inner address keeps one outer address. */
static rmr_addr pick_outside(sim_gate *g, const rmr_addr *inner)
{
    rmr_addr ip = *inner;
    ip.port = 0;
    uint64_t x = g->c.is_unpaired ? rmri_sim_next(&g->rng) : digest_of(0, &ip);
    return g->outside[x % g->c.n_outside];
}

static uint32_t first_port(sim_gate *g, uint16_t inner)
{
    switch (g->c.ports) {
    case RMR_SIM_PORTS_RANDOM:
        return (uint32_t)(rmri_sim_next(&g->rng) % N_PORTS);
    case RMR_SIM_PORTS_SEQUENTIAL:
        return g->next_port++ % N_PORTS;
    default:
        return inner >= FIRST_PORT ? inner - FIRST_PORT
                                   : (uint32_t)inner * 64u % N_PORTS;
    }
}

static bool pick_port(rmr_sim *s, sim_gate *g, uint8_t proto, uint16_t inner,
                      rmr_addr *outer)
{
    if (g->c.max_mappings && g->mappings.used >= g->c.max_mappings)
        return false;
    uint32_t at = first_port(g, inner);
    for (uint32_t i = 0; i < N_PORTS; i++) {
        outer->port = (uint16_t)(FIRST_PORT + (at + i) % N_PORTS);
        if (!by_outer(s, g, proto, outer))
            return true;
    }
    return false;
}

static sim_mapping *map_new(rmr_sim *s, sim_gate *g, uint8_t proto,
                            const rmr_addr *inner, const rmr_addr *remote,
                            const rmr_addr *outer)
{
    uint64_t handle;
    sim_mapping *m = rmr_slots_new(&g->mappings, &handle);
    if (!m ||
        !rmri_sim_map_put(&g->by_inner, &s->c.alloc, digest_of(proto, inner),
                          digest_of(1, remote), handle) ||
        !rmri_sim_map_put(&g->by_outer, &s->c.alloc, digest_of(proto, outer), 0,
                          handle)) {
        rmri_sim_fail(s);
        return NULL;
    }
    m->proto = proto;
    m->inner = *inner;
    m->remote = *remote;
    m->outer = *outer;
    g->stats.mappings++;
    return m;
}

/* A mapping that ran out may have left its key: then the new one takes it. */
static sim_mapping *mapping_for(rmr_sim *s, sim_gate *g, const sim_packet *p)
{
    rmr_addr none, remote = part_of(&p->dst, g->c.mapping);
    memset(&none, 0, sizeof none);
    sim_mapping *m = by_inner(s, g, p->proto, &p->src, &none);
    if (m && m->is_forward)
        return m; /* what is forwarded in also goes out by that port */
    m = by_inner(s, g, p->proto, &p->src, &remote);
    if (!m) {
        rmr_addr outer = pick_outside(g, &p->src);
        if (pick_port(s, g, p->proto, p->src.port, &outer))
            m = map_new(s, g, p->proto, &p->src, &remote, &outer);
        else
            g->stats.full++;
    }
    if (m)
        m->until = rmr_time_add(s->now, g->c.lifetime);
    return m;
}

/* ---- the two directions -------------------------------------------------- */

static bool translate_out(rmr_sim *s, sim_gate *g, sim_packet *p)
{
    const sim_mapping *m = mapping_for(s, g, p);
    if (!m)
        return false;
    if (g->c.filtering != RMR_SIM_ENDPOINT_INDEPENDENT)
        open_pinhole(s, g, p, &m->outer, g->c.filtering);
    p->src = m->outer;
    if (p->proto == SIM_ICMP)
        p->dst.port = m->outer.port;
    return true;
}

static bool translate_in(rmr_sim *s, sim_gate *g, sim_packet *p)
{
    sim_mapping *m = by_outer(s, g, p->proto, &p->dst);
    if (!m) {
        g->stats.unmapped++;
        return false;
    }
    if (!m->is_forward && g->c.filtering != RMR_SIM_ENDPOINT_INDEPENDENT &&
        !has_pinhole(s, g, p, &m->outer, g->c.filtering))
        return false;
    if (!m->is_forward && !g->c.no_inbound_refresh)
        m->until = rmr_time_add(s->now, g->c.lifetime);
    p->dst = m->inner;
    if (p->proto == SIM_ICMP)
        p->src.port = m->inner.port;
    return true;
}

/* ICMP echo: for a mapping the identifier is the port of the inside end, and
 * the outside end has none. */
static void hide_port(sim_packet *p, bool is_out)
{
    if (p->proto != SIM_ICMP)
        return;
    if (is_out)
        p->dst.port = 0;
    else
        p->src.port = 0;
}

static void show_port(sim_packet *p, bool is_out)
{
    if (p->proto != SIM_ICMP)
        return;
    if (is_out)
        p->dst.port = p->src.port;
    else
        p->src.port = p->dst.port;
}

bool rmri_sim_gate_out(rmr_sim *s, sim_gate *g, sim_packet *p)
{
    if (is_blocked(g, p, RMR_SIM_WAY_OUT))
        return false;
    bool passes = true;
    hide_port(p, true);
    if (rmri_sim_translates(g, &p->dst))
        passes = translate_out(s, g, p);
    else if (g->c.has_firewall)
        open_pinhole(s, g, p, &p->src, RMR_SIM_ADDRESS_AND_PORT_DEPENDENT);
    show_port(p, true);
    g->stats.out += passes;
    return passes;
}

bool rmri_sim_gate_in(rmr_sim *s, sim_gate *g, sim_packet *p)
{
    if (is_blocked(g, p, RMR_SIM_WAY_IN))
        return false;
    bool passes = true;
    hide_port(p, false);
    if (rmri_sim_gate_owns(g, &p->dst))
        passes = g->c.nat && translate_in(s, g, p);
    else if (g->c.has_firewall)
        passes =
            has_pinhole(s, g, p, &p->dst, RMR_SIM_ADDRESS_AND_PORT_DEPENDENT);
    show_port(p, false);
    g->stats.in += passes;
    return passes;
}

/* RFC 4787 6, "external source IP address and port": the inner host sees the
 * other one's outer address. */
bool rmri_sim_gate_hairpin(rmr_sim *s, sim_gate *g, sim_packet *p)
{
    if (!g->c.hairpin || !rmri_sim_gate_out(s, g, p) ||
        !rmri_sim_gate_in(s, g, p))
        return false;
    g->stats.hairpinned++;
    return true;
}

/* ---- forwards ------------------------------------------------------------ */

static void forget_forward(rmr_sim *s, sim_gate *g, const rmr_addr *inner)
{
    rmr_addr none;
    memset(&none, 0, sizeof none);
    uint64_t handle = rmri_sim_map_get(&g->by_inner, digest_of(SIM_UDP, inner),
                                       digest_of(1, &none));
    const sim_mapping *m = rmr_slots_get(&g->mappings, handle);
    if (m && m->is_forward)
        unmap(s, g, handle);
}

rmr_err rmr_sim_gate_forward(rmr_sim *s, rmr_sim_net net, rmr_addr inner,
                             uint16_t port, rmr_dur lifetime, rmr_addr *got)
{
    rmr_addr none;
    memset(&none, 0, sizeof none);
    *got = none;
    sim_gate *g = rmri_sim_gate(s, net);
    if (!g)
        return RMR_E_BADHANDLE;
    if (!g->c.nat)
        return RMR_E_STATE;
    forget_forward(s, g, &inner);
    if (!lifetime)
        return RMR_OK;
    rmr_addr outer = g->outside[0];
    outer.port = port;
    if (port && by_outer(s, g, SIM_UDP, &outer))
        return RMR_E_INUSE;
    if (!port && !pick_port(s, g, SIM_UDP, inner.port, &outer))
        return RMR_E_FULL;
    sim_mapping *m = map_new(s, g, SIM_UDP, &inner, &none, &outer);
    if (!m)
        return RMR_E_NOMEM;
    m->is_forward = true;
    m->until = rmr_time_add(s->now, lifetime);
    *got = outer;
    return RMR_OK;
}

void rmri_sim_gate_forget(rmr_sim *s, sim_gate *g)
{
    uint32_t pos = 0;
    uint64_t handle;
    const sim_mapping *m;
    while ((m = rmr_slots_next(&g->mappings, &pos, &handle)) != NULL)
        if (!m->is_forward)
            unmap(s, g, handle);
    rmri_sim_map_wipe(&g->pinholes, &s->c.alloc);
    g->epoch++;
}
