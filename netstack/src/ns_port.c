/* Numbers that an outsider must not guess: initial sequence numbers (RFC
 * 6528), ephemeral ports (RFC 6056), timestamp offsets, flow labels. */
#include "ns_internal.h"

#define PORT_MIN 16384u
#define PORT_COUNT (65536u - PORT_MIN)

uint32_t rmri_ns_isn(const rmr_ns *ns, const ns_tuple *t)
{
    uint32_t clock = (uint32_t)(ns->now / (4 * RMR_US));
    return clock + (uint32_t)rmr_siphash(&ns->isn_key, t, sizeof *t);
}

/* Of the address pair alone, so that it rises across the pair's connections
 * (RFC 7323 5.4, RFC 6191). */
uint32_t rmri_ns_ts_offset(const rmr_ns *ns, const ns_tuple *t)
{
    uint8_t pair[32];
    memcpy(pair, t->local.b, 16);
    memcpy(pair + 16, t->remote.b, 16);
    return (uint32_t)rmr_siphash(&ns->ts_key, pair, sizeof pair);
}

uint32_t rmri_ns_flow_label(const rmr_ns *ns, const ns_tuple *t)
{
    uint64_t h = rmr_siphash13(&ns->ts_key, t, sizeof *t);
    uint32_t label = (uint32_t)(h >> 32) & 0xfffffu;
    return label ? label : 1;
}

static uint32_t *counters(const rmr_ns *ns, size_t n)
{
    return rmr_alloc_zero(&ns->env.alloc, n * sizeof(uint32_t),
                          _Alignof(uint32_t));
}

/* They begin anywhere. */
static void seed_ports(rmr_ns *ns)
{
    for (uint32_t i = 0; i < NS_PORT_COUNTERS; i++)
        ns->ports[i] = (uint32_t)rmr_siphash(&ns->port_key, &i, sizeof i);
}

/* h: of the tuple without its port */
static uint32_t *port_counter(rmr_ns *ns, uint64_t h)
{
    if (!ns->ports) {
        ns->ports = counters(ns, NS_PORT_COUNTERS);
        if (!ns->ports)
            return &ns->any_port;
        seed_ports(ns);
    }
    return &ns->ports[(h >> 32) % NS_PORT_COUNTERS];
}

static uint32_t *frag_counter(rmr_ns *ns, uint64_t h)
{
    if (!ns->frag_ids) {
        ns->frag_ids = counters(ns, NS_FRAG_COUNTERS);
        if (!ns->frag_ids)
            return &ns->any_frag;
    }
    return &ns->frag_ids[(h >> 32) % NS_FRAG_COUNTERS];
}

void rmri_ns_numbers_wipe(rmr_ns *ns)
{
    const rmr_alloc *a = &ns->env.alloc;
    rmr_release_wiped(a, ns->ports, NS_PORT_COUNTERS * sizeof *ns->ports);
    rmr_release_wiped(a, ns->frag_ids, NS_FRAG_COUNTERS * sizeof(uint32_t));
}

bool rmri_ns_pick_tcp_port(rmr_ns *ns, ns_tuple *t)
{
    t->lport = 0;
    uint64_t h = rmr_siphash(&ns->port_key, t, sizeof *t);
    uint32_t offset = (uint32_t)h;
    uint32_t *next = port_counter(ns, h);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        uint32_t port = PORT_MIN + (offset + *next) % PORT_COUNT;
        *next += 1;
        t->lport = (uint16_t)port;
        bool self = t->lport == t->rport && ns_ip_eq(&t->local, &t->remote);
        if (!self && !rmri_ns_find_flow(ns, t) &&
            !rmri_ns_port_bound(ns, NS_PROTO_TCP, t->family, &t->local,
                                t->lport))
            return true;
    }
    return false;
}

bool rmri_ns_pick_udp_port(rmr_ns *ns, ns_bind *b)
{
    b->port = 0;
    uint64_t h = rmr_siphash(&ns->port_key, b, sizeof *b);
    uint32_t offset = (uint32_t)h;
    uint32_t *next = port_counter(ns, h);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        b->port = (uint16_t)(PORT_MIN + (offset + *next) % PORT_COUNT);
        *next += 1;
        if (!rmri_ns_port_bound(ns, NS_PROTO_UDP, b->family, &b->ip, b->port))
            return true;
    }
    return false;
}

bool rmri_ns_pick_udp_flow(rmr_ns *ns, ns_tuple *t)
{
    t->lport = 0;
    uint64_t h = rmr_siphash(&ns->port_key, t, sizeof *t);
    uint32_t offset = (uint32_t)h;
    uint32_t *next = port_counter(ns, h);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        t->lport = (uint16_t)(PORT_MIN + (offset + *next) % PORT_COUNT);
        *next += 1;
        bool self = t->lport == t->rport && ns_ip_eq(&t->local, &t->remote);
        if (!self && !rmri_ns_find_flow(ns, t) &&
            !rmri_ns_port_bound(ns, NS_PROTO_UDP, t->family, &t->local,
                                t->lport))
            return true;
    }
    return false;
}

uint32_t rmri_ns_frag_id(rmr_ns *ns, const ns_tuple *t)
{
    ns_tuple pair = *t;
    pair.lport = pair.rport = 0;
    uint64_t h = rmr_siphash(&ns->frag_key, &pair, sizeof pair);
    uint32_t *next = frag_counter(ns, h);
    *next += 1;
    return (uint32_t)h + *next;
}
