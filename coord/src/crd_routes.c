/* Routes that nodes offer and may serve. */
#include "crd_internal.h"

#include <string.h>

bool rmri_crd_is_exit(const rmr_prefix *p)
{
    return p->bits == 0;
}

rmr_err rmri_crd_prefixes_set(rmr_coord *c, rmr_prefix **list, size_t *n,
                              const rmr_prefix *from, size_t n_from)
{
    rmr_prefix *p = NULL;
    if (n_from) {
        p = rmr_alloc_zero(&c->env.alloc, n_from * sizeof *p,
                           _Alignof(rmr_prefix));
        if (!p)
            return RMR_E_NOMEM;
        memcpy(p, from, n_from * sizeof *p);
    }
    rmr_release(&c->env.alloc, *list, *n * sizeof **list);
    *list = p;
    *n = n_from;
    return RMR_OK;
}

static bool has(const rmr_prefix *list, size_t n, const rmr_prefix *p)
{
    for (size_t i = 0; i < n; i++) {
        if (rmr_prefix_eq(&list[i], p))
            return true;
    }
    return false;
}

static bool may_serve(const crd_node *n, const rmr_prefix *p)
{
    return has(n->announced, n->n_announced, p) &&
           has(n->approved, n->n_approved, p);
}

/* An exit node is each for itself; of several routers of a subnet the one
 * that is online and has the lowest id serves it. */
bool rmri_crd_serves(const rmr_coord *c, const crd_node *n, const rmr_prefix *p)
{
    if (!may_serve(n, p))
        return false;
    if (rmri_crd_is_exit(p))
        return true;
    const crd_node *best = NULL;
    for (size_t i = 0; i < c->n_nodes; i++) {
        const crd_node *o = c->by_id[i];
        if (o->n_approved && may_serve(o, p) &&
            (!best || (o->online && !best->online)))
            best = o;
    }
    return best == n;
}

/* ---- the API ------------------------------------------------------------- */

static bool has_host_bits(const rmr_prefix *p)
{
    rmr_addr a = rmr_prefix_addr(p);
    size_t len = rmr_addr_ip_len(&a);
    for (size_t bit = p->bits; bit < len * 8; bit++) {
        if (a.ip[bit / 8] & (0x80 >> bit % 8))
            return true;
    }
    return false;
}

/* One exit route stands for both. */
static size_t complete(rmr_prefix *list, size_t n)
{
    static const rmr_prefix exits[2] = {{.family = RMR_AF_INET},
                                        {.family = RMR_AF_INET6}};
    bool any = has(list, n, &exits[0]) || has(list, n, &exits[1]);
    for (size_t i = 0; any && i < 2; i++) {
        if (!has(list, n, &exits[i]))
            list[n++] = exits[i];
    }
    return n;
}

rmr_err rmr_coord_node_approve(rmr_coord *c, uint64_t id,
                               const rmr_prefix *routes, size_t n)
{
    rmr_prefix list[RMR_COORD_MAX_ROUTES + 1];
    crd_node *node = rmri_crd_node(c, id);
    size_t kept = 0;
    if (!node)
        return RMR_E_NOTFOUND;
    if (n > RMR_COORD_MAX_ROUTES)
        return RMR_E_INVAL;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    for (size_t i = 0; i < n; i++) {
        if (has_host_bits(&routes[i]))
            return RMR_E_INVAL;
        if (!has(list, kept, &routes[i]))
            list[kept++] = routes[i];
    }
    kept = complete(list, kept);
    rmr_err e = rmri_crd_prefixes_set(c, &node->approved, &node->n_approved,
                                      list, kept);
    if (e == RMR_OK) {
        rmri_crd_mark(c, &node->row, CRD_DIRTY);
        rmri_crd_changed(c, node, CRD_SELF);
    }
    return e;
}
