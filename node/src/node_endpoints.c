/* Own endpoints: gathered after each netcheck, told to control before the path
 * layer names them to a peer; and NetInfo. */
#include "node_internal.h"

#include <string.h>

#define MAX_LATENCIES 64

/* ---- what control is told ---------------------------------------------- */

static int8_t tri_of(rmr_netcheck_tri t)
{
    return t == RMR_NETCHECK_UNKNOWN ? -1 : t == RMR_NETCHECK_YES;
}

static void put_report(const rmr_netcheck_report *r, rmr_ctl_net *net,
                       rmr_ctl_latency *latencies)
{
    rmr_netcheck_info info;
    rmr_netcheck_info_of(r, 0, false, &info);
    net->mapping_varies = tri_of(info.mapping_varies);
    net->working_ipv6 = tri_of(info.working_ipv6);
    net->os_has_ipv6 = tri_of(info.os_has_ipv6);
    net->working_udp = tri_of(info.working_udp);
    net->working_icmpv4 = tri_of(info.working_icmpv4);
    net->upnp = tri_of(info.upnp);
    net->pmp = tri_of(info.pmp);
    net->pcp = tri_of(info.pcp);
    net->latencies = latencies;
    for (size_t i = 0; i < r->n_latency; i++) {
        const rmr_dur of[2] = {r->latency[i].v4, r->latency[i].v6};
        for (int six = 0; six < 2; six++) {
            if (of[six] == RMR_NETCHECK_NO_LATENCY ||
                net->n_latencies == MAX_LATENCIES)
                continue;
            latencies[net->n_latencies].region = r->latency[i].region;
            latencies[net->n_latencies].v6 = six == 1;
            latencies[net->n_latencies].latency = of[six];
            net->n_latencies++;
        }
    }
}

void rmri_node_net_tell(rmr_node *n, rmr_time now)
{
    rmr_ctl_endpoint eps[RMR_ENDPOINTS_MAX];
    rmr_ctl_latency latencies[MAX_LATENCIES];
    rmr_ctl_net net;
    rmr_addr mapping;
    if (!n->ctl || n->phase != ND_PHASE_UP)
        return;
    rmr_ctl_net_init(&net, sizeof net);
    const rmr_netcheck_report *r = rmr_netcheck_get_report(n->netcheck);
    if (r)
        put_report(r, &net, latencies);
    /* Peers learn of a home only when we are reached there. */
    if (rmri_node_region_is_up(n, n->home))
        n->home_told = n->home;
    net.home_derp = n->home_told;
    if (n->keys.home != n->home_told && n->home_told) {
        n->keys.home = n->home_told;
        rmri_node_state_soon(n);
    }
    net.firewall_mode = "";
    net.have_port_map =
        n->portmap && rmr_portmap_get_mapping(n->portmap, &mapping, NULL);
    if (rmr_endpoints_may_advertise(&n->endpoints,
                                    rmr_nm_derp_count(n->nm) > 0)) {
        for (size_t i = 0; i < n->endpoints.n; i++) {
            eps[i].addr = n->endpoints.list[i].addr;
            eps[i].type = n->endpoints.list[i].type;
        }
        net.endpoints = eps;
        net.n_endpoints = n->endpoints.n;
    }
    /* Without memory it is told with the next change. */
    if (rmr_ctl_set_net(n->ctl, now, &net) == RMR_OK)
        rmr_mc_link_output(n->ctl_link);
    n->dirty = true;
}

/* ---- gathering --------------------------------------------------------- */

void rmri_node_endpoints_update(rmr_node *n, rmr_time now)
{
    rmr_endpoints_iface ifaces[ND_MAX_LINK_ADDRS];
    rmr_addr list[RMR_ENDPOINTS_MAX];
    rmr_endpoints_input in;
    rmr_addr mapping;
    memset(&in, 0, sizeof in);
    memset(ifaces, 0, sizeof ifaces);
    for (size_t i = 0; i < n->n_link_addrs; i++) {
        ifaces[i].addr = n->link_addrs[i];
        ifaces[i].bits = n->link_of[i].bits;
        ifaces[i].name = n->link_of[i].name;
    }
    if (rmri_node_portmap_mapping(n, now, &mapping))
        in.portmap = &mapping;
    in.report = rmr_netcheck_get_report(n->netcheck);
    in.fixed_port = rmri_node_udp_wanted(n);
    in.local_port = n->udp[0].bound;
    in.fixed = n->fixed;
    in.n_fixed = n->n_fixed;
    in.ifaces = ifaces;
    in.n_ifaces = n->n_link_addrs;
    rmr_endpoints_gather(&n->endpoints, now, &in);
    rmri_node_net_tell(n, now);
    for (size_t i = 0; i < n->endpoints.n; i++)
        list[i] = n->endpoints.list[i].addr;
    rmr_paths_set_own_endpoints(n->paths, now, list, n->endpoints.n,
                                n->endpoints.gathered_at);
}
