#include "nat_kinds.h"

#include <stdio.h>
#include <string.h>

#define EI RMR_SIM_ENDPOINT_INDEPENDENT
#define AD RMR_SIM_ADDRESS_DEPENDENT
#define APD RMR_SIM_ADDRESS_AND_PORT_DEPENDENT
#define SAME RMR_SIM_PORTS_PRESERVED
#define RANDOM RMR_SIM_PORTS_RANDOM
#define NEXT RMR_SIM_PORTS_SEQUENTIAL

const nat_kind nat_kinds[NAT_KINDS] = {
    {"open", "a public address, nothing in between", false, false, false, false,
     false, EI, EI, SAME},
    {"firewall", "a public address behind a stateful firewall", false, true,
     false, false, false, EI, APD, SAME},
    {"full cone", "mapping and filtering endpoint-independent", true, false,
     false, false, false, EI, EI, SAME},
    {"address cone", "filtering address-dependent", true, false, false, false,
     false, EI, AD, SAME},
    {"port cone", "filtering address- and port-dependent, ports preserved",
     true, false, false, false, false, EI, APD, SAME},
    {"port cone, random", "the same with random ports", true, false, false,
     false, false, EI, APD, RANDOM},
    {"double NAT", "two port cones in a row, ports random", true, false, false,
     true, false, EI, APD, RANDOM},
    {"by address", "mapping and filtering address-dependent, ports random",
     true, false, false, false, false, AD, AD, RANDOM},
    {"symmetric, next", "all address- and port-dependent, ports in sequence",
     true, false, false, false, false, APD, APD, NEXT},
    {"symmetric", "all address- and port-dependent, ports random", true, false,
     false, false, false, APD, APD, RANDOM},
    {"symmetric, IPv6", "the same, and IPv6 behind a stateful firewall", true,
     false, false, false, true, APD, APD, RANDOM},
    {"no UDP", "UDP is blocked", true, false, true, false, false, EI, APD,
     SAME},
};

static bool is_hard(const nat_kind *k)
{
    return k->mapping != EI;
}

/* The port of a hard NAT's mapping towards the peer is known to nobody
 * beforehand; the peer learns it from the first ping that its own filter lets
 * in.  So hard goes with a peer that lets in what it has not sent to, at least
 * from that address: its own pings to the advertised endpoint have opened the
 * filter for the address.  A peer that also filters by port must hit the port
 * by chance: the birthday way.  Two hard ones have nothing to aim at. */
nat_theory nat_theory_of(const nat_kind *a, const nat_kind *b)
{
    if (a->blocked || b->blocked)
        return NAT_RELAY;
    if (a->v6 && b->v6)
        return NAT_DIRECT; /* both send: both firewalls open */
    if (!is_hard(a) && !is_hard(b))
        return NAT_DIRECT; /* both know where to send, and both send */
    if (is_hard(a) && is_hard(b))
        return NAT_RELAY;
    return (is_hard(a) ? b : a)->filtering == APD ? NAT_PUNCH : NAT_DIRECT;
}

static void fill_gate(const nat_kind *k, rmr_sim_gate_config *g)
{
    rmr_sim_gate_config_init(g, sizeof *g);
    g->nat = k->nat;
    g->mapping = k->mapping;
    g->filtering = k->filtering;
    g->ports = k->ports;
    g->udp_blocked = k->blocked;
    g->has_firewall = k->firewall || k->v6;
}

world_node *nat_node(world *w, const nat_kind *k, int i)
{
    rmr_sim_gate_config g;
    rmr_addr outside = rmr_addr_v4(198, 51, (uint8_t)(100 + i), 1, 0);
    char ip[32], ip6[48];
    fill_gate(k, &g);
    g.outside = &outside;
    g.n_outside = k->nat;
    g.inside = rmr_addr_v4(192, 168, (uint8_t)(i + 1), 1, 0);
    g.up.delay = g.down.delay = (rmr_dur)(8 + 4 * i) * RMR_MS;
    rmr_sim_net net = world_net(w, RMR_SIM_INTERNET, &g);
    if (k->twice) {
        outside = rmr_addr_v4(192, 168, (uint8_t)(i + 1), 9, 0);
        g.inside = rmr_addr_v4(10, 0, (uint8_t)i, 1, 0);
        net = world_net(w, net, &g);
    }
    (void)snprintf(ip, sizeof ip,
                   !k->nat    ? "198.51.%d.2"
                   : k->twice ? "10.0.%d.2"
                              : "192.168.%d.2",
                   !k->nat    ? 100 + i
                   : k->twice ? i
                              : i + 1);
    (void)snprintf(ip6, sizeof ip6, "2001:db8:%d::2", i + 1);
    return world_node_add(w, net, ip, k->v6 ? ip6 : NULL);
}
