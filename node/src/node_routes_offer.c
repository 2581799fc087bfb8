/* The routes that we offer: control is told, and the filter opened. */
#include "node_internal.h"

#include <string.h>

static const char *const exit_holes[] = {
    "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",  "127.0.0.0/8",
    "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
    "::/8",           "fc00::/7",      "fe80::/10",      "ff00::/8"};

/* The world without private nets, the host's own addresses and its links: a
 * client of an exit node is no member of the LAN. */
static rmr_err add_world(rmr_node *n, nd_prefixes *out)
{
    const rmr_alloc *a = &n->env.alloc;
    const rmr_prefix all[] = {{.family = RMR_AF_INET},
                              {.family = RMR_AF_INET6}};
    nd_prefixes holes = {0};
    rmr_prefix p = {0};
    rmr_err err = RMR_OK;
    for (size_t i = 0; !err && i < sizeof exit_holes / sizeof *exit_holes;
         i++) {
        err = rmr_prefix_parse(rmr_bytes_str(exit_holes[i]), &p);
        if (!err)
            err = rmri_node_prefixes_add(&holes, a, &p);
    }
    for (size_t i = 0; !err && i < n->n_link_addrs; i++) {
        memcpy(p.ip, n->link_addrs[i].ip, sizeof p.ip);
        p.family = n->link_addrs[i].family;
        p.bits = p.family == RMR_AF_INET ? 32 : 128;
        err = rmri_node_prefixes_add(&holes, a, &p);
        if (!err && rmri_node_link_subnet(n, i, &p))
            err = rmri_node_prefixes_add(&holes, a, &p);
    }
    for (size_t i = 0; !err && i < 2; i++)
        err = rmri_node_prefixes_add_without(out, a, &all[i], &holes);
    rmri_node_prefixes_free(&holes, a);
    return err;
}

static rmr_err make_local(rmr_node *n, const rmr_nm_node *self,
                          nd_prefixes *out)
{
    const rmr_alloc *a = &n->env.alloc;
    rmr_err err = RMR_OK;
    for (size_t i = 0; !err && i < self->n_addrs; i++)
        err = rmri_node_prefixes_add(out, a, &self->addrs[i]);
    for (size_t i = 0; !err && i < n->routes.n_offered; i++)
        err = rmri_node_prefixes_add(out, a, &n->keys.prefs.routes[i]);
    if (!err && n->routes.exit_offered)
        err = add_world(n, out);
    return err;
}

/* Without memory nothing comes in: the frame that changes it again, or a link,
 * tries again. */
void rmri_node_routes_local(rmr_node *n)
{
    rmr_nm_node self;
    nd_prefixes l = {0};
    if (!n->nm || !rmr_nm_self(n->nm, &self))
        return;
    rmr_err err = make_local(n, &self, &l);
    if (err == RMR_OK)
        err = rmr_filter_set_local(rmr_nm_filter(n->nm), l.p, l.n);
    if (err != RMR_OK) {
        rmri_node_prefixes_free(&l, &n->env.alloc);
        rmri_node_trouble(n, err, "the offered routes could not be opened");
    }
    rmri_node_prefixes_free(&n->routes.local, &n->env.alloc);
    n->routes.local = l;
}

bool rmri_node_routes_offers(const rmr_node *n, const rmr_addr *from,
                             const rmr_addr *to)
{
    for (size_t i = 0; i < n->n_ips; i++)
        if (rmr_addr_ip_eq(&n->ips[i], from)) /* of ourselves */
            return rmri_node_routes_is_lan(n, to);
    return rmri_node_prefixes_have(&n->routes.local, to);
}

size_t rmri_node_routes_told(const rmr_node *n,
                             rmr_prefix out[ND_MAX_OFFERED + 2])
{
    size_t count = n->routes.n_offered;
    if (count)
        memcpy(out, n->keys.prefs.routes, count * sizeof *out);
    if (n->routes.exit_offered) {
        out[count++] = (rmr_prefix){.family = RMR_AF_INET};
        out[count++] = (rmr_prefix){.family = RMR_AF_INET6};
    }
    return count;
}

void rmri_node_routes_tell(rmr_node *n)
{
    rmr_prefix told[ND_MAX_OFFERED + 2];
    size_t count = rmri_node_routes_told(n, told);
    if (n->ctl)
        (void)rmr_ctl_set_routes(n->ctl, n->now, told, count,
                                 n->routes.exit_id);
}
