/* The host's network changed: its addresses, its routes, or all at once while
 * it slept.  Sockets are bound anew, paths proved anew; TCP on the tailnet
 * notices nothing but a delay. */
#include "node_internal.h"

#include <string.h>

#define MAJOR_JUMP (600 * RMR_SEC) /* of the wall clock: it slept */

static bool have_addr(const rmr_addr *list, size_t n, const rmr_addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (rmr_addr_ip_eq(&list[i], a))
            return true;
    return false;
}

bool rmri_node_links_is_own(const rmr_node *n, const rmr_addr *ip)
{
    return have_addr(n->link_addrs, n->n_link_addrs, ip);
}

static bool is_link_local(const rmr_addr *a)
{
    return a->family == RMR_AF_INET
               ? a->ip[0] == 169 && a->ip[1] == 254
               : a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

/* Has the host an address by which it reaches others?  Loopback counts where
 * there is nothing else, for everything is on one host then. */
bool rmri_node_links_have(const rmr_node *n, uint8_t family)
{
    bool any = false, outside = false, has = false, loopback = false;
    if (!n->has_links)
        return true; /* the adapter doesn't say */
    for (size_t i = 0; i < n->n_link_addrs; i++) {
        const rmr_addr *a = &n->link_addrs[i];
        bool inner = rmr_addr_is_loopback(a);
        any = true;
        outside = outside || !inner;
        if (a->family != family)
            continue;
        loopback = loopback || inner;
        has = has || (!inner && !is_link_local(a));
    }
    return has || (any && !outside && loopback);
}

/* ---- rebinding --------------------------------------------------------- */

void rmri_node_rebind(rmr_node *n, rmr_time now, const char *why)
{
    if (n->phase != ND_PHASE_UP)
        return;
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER, "sockets are bound anew: %s",
             why);
    rmri_node_udp_rebind(n, now);
    rmr_paths_rebind(n->paths, now);
    rmri_node_regions_check(n, now);
    rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_REBIND);
    n->dirty = true;
}

/* ---- links ------------------------------------------------------------- */

static rmr_addr gateway_of(const rmr_io_links *l, uint8_t family)
{
    rmr_addr none = {0};
    for (size_t i = 0; i < l->n_gateways; i++)
        if (l->gateways[i].family == family)
            return l->gateways[i];
    return none;
}

static bool same_links(const rmr_node *n, const rmr_io_links *l,
                       const rmr_addr gateways[2])
{
    size_t count =
        l->n_addrs < ND_MAX_LINK_ADDRS ? l->n_addrs : ND_MAX_LINK_ADDRS;
    if (count != n->n_link_addrs ||
        !rmr_addr_ip_eq(&gateways[0], &n->gateways[0]) ||
        !rmr_addr_ip_eq(&gateways[1], &n->gateways[1]))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!have_addr(n->link_addrs, n->n_link_addrs, &l->addrs[i]))
            return false;
    return true;
}

void rmri_node_links_free(rmr_node *n)
{
    size_t count = n->n_link_addrs;
    rmr_release(&n->env.alloc, n->link_addrs, count * sizeof *n->link_addrs);
    rmr_release(&n->env.alloc, n->link_of, count * sizeof *n->link_of);
    n->link_addrs = NULL;
    n->link_of = NULL;
    n->n_link_addrs = 0;
}

/* Without memory the old ones are believed in until the next event. */
static void keep_addrs(rmr_node *n, const rmr_io_links *l)
{
    const rmr_alloc *a = &n->env.alloc;
    size_t count =
        l->n_addrs < ND_MAX_LINK_ADDRS ? l->n_addrs : ND_MAX_LINK_ADDRS;
    rmr_addr *addrs = NULL;
    rmr_io_link *of = NULL;
    if (count > 0) {
        addrs = rmr_alloc_raw(a, count * sizeof *addrs, _Alignof(rmr_addr));
        of = rmr_alloc_zero(a, count * sizeof *of, _Alignof(rmr_io_link));
        if (!addrs || !of) {
            rmr_release(a, addrs, count * sizeof *addrs);
            rmr_release(a, of, count * sizeof *of);
            rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                     "the host's addresses were not taken over: out of memory");
            return;
        }
        memcpy(addrs, l->addrs, count * sizeof *addrs);
        if (l->of_addrs)
            memcpy(of, l->of_addrs, count * sizeof *of);
    }
    rmri_node_links_free(n);
    n->link_addrs = addrs;
    n->link_of = of;
    n->n_link_addrs = count;
}

void rmri_node_links_changed(rmr_node *n, rmr_time now, const rmr_io_links *l)
{
    const rmr_addr gateways[2] = {gateway_of(l, RMR_AF_INET),
                                  gateway_of(l, RMR_AF_INET6)};
    bool first = !n->has_links;
    bool same = !first && same_links(n, l, gateways);
    n->has_links = true;
    keep_addrs(n, l);
    memcpy(n->gateways, gateways, sizeof n->gateways);
    if (n->dns)
        rmri_node_dns_links(n, l);
    if (n->phase != ND_PHASE_UP)
        return;
    if (!first && n->ctl)
        rmr_ctl_retry(n->ctl, now);
    if (same) /* name servers alone, say */
        return;
    if (n->routes.exit_offered)
        rmri_node_routes_local(n);
    rmri_node_portmap_network(n, now);
    rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_LINK);
    if (!first)
        rmri_node_rebind(n, now, "the host's network changed");
}

void rmri_node_links_wall(rmr_node *n, rmr_time now, uint64_t unix_ns)
{
    /* What the clock should have said: the kit has not heard of it yet. */
    uint64_t thought = rmr_mc_wall(n->mc, now);
    uint64_t apart = unix_ns > thought ? unix_ns - thought : thought - unix_ns;
    if (n->has_wall && apart >= MAJOR_JUMP)
        rmri_node_rebind(n, now, "the clock jumped");
}
