/* Nodes, and the orders in which they are looked up. */
#include "pol_internal.h"

#include <string.h>

/* ---- looking up ------------------------------------------------------------ */

/* Users and nodes begin with their id. */
static uint64_t id_at(const pol_vec *v, uint32_t i)
{
    void *p;
    uint64_t id;
    memcpy(&p, (const uint8_t *)v->p + (size_t)i * sizeof p, sizeof p);
    memcpy(&id, p, sizeof id);
    return id;
}

/* The first element whose id is not below. */
uint32_t rmri_pol_lower(const pol_vec *v, uint64_t id)
{
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (id_at(v, mid) < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

pol_node *rmri_pol_find(const rmr_pol_net *net, uint64_t id)
{
    uint32_t i = rmri_pol_lower(&net->nodes, id);
    if (i == net->nodes.n || (*POL_AT(pol_node *, &net->nodes, i))->id != id)
        return NULL;
    return *POL_AT(pol_node *, &net->nodes, i);
}

bool rmri_pol_has_tag(const pol_node *n, rmr_bytes tag)
{
    for (uint32_t i = 0; i < n->n_tags; i++) {
        if (rmr_bytes_eq(n->tags[i], tag))
            return true;
    }
    return false;
}

/* The first in by_user that is not below (user, node). */
static uint32_t user_at(const rmr_pol_net *net, uint64_t user, uint64_t node)
{
    uint32_t lo = 0, hi = net->by_user.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const pol_node *m = *POL_AT(pol_node *, &net->by_user, mid);
        if (m->user_id < user || (m->user_id == user && m->id < node))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool rmri_pol_same_owner(const pol_node *a, const pol_node *b)
{
    return !a->n_tags && !b->n_tags && a->user_id && a->user_id == b->user_id;
}

pol_span rmri_pol_nodes_of(const rmr_pol_net *net, uint64_t user_id)
{
    if (user_id == 0)
        return (pol_span){0, 0};
    uint32_t first = user_at(net, user_id, 0);
    uint32_t end = user_at(net, user_id, UINT64_MAX);
    return (pol_span){first, end - first};
}

uint32_t rmri_pol_addr_at(const rmr_pol_net *net, int family, pol_ip ip)
{
    const pol_vec *v = &net->addrs[family];
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (rmri_pol_ip_cmp(POL_AT(pol_addr_entry, v, mid)->ip, ip) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int route_cmp(const pol_route_entry *a, const pol_range *r, uint64_t id)
{
    int c = rmri_pol_range_cmp(&a->r, r, NULL);
    if (c)
        return c;
    return (a->node->id > id) - (a->node->id < id);
}

static uint32_t route_at(const rmr_pol_net *net, const pol_range *r,
                         uint64_t id)
{
    uint32_t lo = 0, hi = net->routes.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (route_cmp(POL_AT(pol_route_entry, &net->routes, mid), r, id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool rmri_pol_next_route(const pol_node *n, uint32_t *i, pol_range *out)
{
    while (*i < n->n_routes) {
        const rmr_prefix *p = &n->routes[(*i)++];
        if (p->bits == 0)
            continue;
        *out = rmri_pol_range_of(p);
        return true;
    }
    return false;
}

rmr_bytes rmri_pol_put_text(uint8_t **at, rmr_bytes s)
{
    rmr_bytes out = rmr_bytes_of(*at, s.len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return out;
}

/* ---- nodes ------------------------------------------------------------------------ */

static bool node_ok(const rmr_pol_node *n)
{
    if (n->id == 0 || n->n_tags > RMR_POL_TAGS_MAX ||
        n->n_routes > RMR_POL_ROUTES_MAX)
        return false;
    if (n->v4.family != RMR_AF_NONE && n->v4.family != RMR_AF_INET)
        return false;
    if (n->v6.family != RMR_AF_NONE && n->v6.family != RMR_AF_INET6)
        return false;
    for (size_t i = 0; i < n->n_tags; i++) {
        if (n->tags[i].len == 0 || n->tags[i].len > RMR_POL_NAME_MAX)
            return false;
    }
    for (size_t i = 0; i < n->n_routes; i++) {
        const rmr_prefix *p = &n->routes[i];
        bool v4 = p->family == RMR_AF_INET && p->bits <= 32;
        if (!v4 && !(p->family == RMR_AF_INET6 && p->bits <= 128))
            return false;
    }
    return true;
}

static rmr_prefix masked(const rmr_prefix *p)
{
    rmr_prefix out = *p;
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = out.bits > 8 * i ? out.bits - 8 * i : 0;
        if (keep < 8)
            out.ip[i] &= (uint8_t)(0xff00 >> keep);
    }
    return out;
}

static void fill_node(pol_node *p, const rmr_pol_node *n)
{
    p->id = n->id;
    p->user_id = n->n_tags ? 0 : n->user_id;
    p->own = n->own;
    p->has[0] = n->v4.family == RMR_AF_INET;
    p->has[1] = n->v6.family == RMR_AF_INET6;
    if (p->has[0])
        p->ip[0] = rmri_pol_ip_of(&n->v4);
    if (p->has[1])
        p->ip[1] = rmri_pol_ip_of(&n->v6);
    p->tags = (rmr_bytes *)(void *)(p + 1);
    p->routes = (rmr_prefix *)(void *)(p->tags + n->n_tags);
    uint8_t *at = (uint8_t *)(p->routes + n->n_routes);
    for (size_t i = 0; i < n->n_tags; i++)
        p->tags[p->n_tags++] = rmri_pol_put_text(&at, n->tags[i]);
    for (size_t i = 0; i < n->n_routes; i++) {
        rmr_prefix r = masked(&n->routes[i]);
        bool twice = false;
        for (uint32_t k = 0; k < p->n_routes && !twice; k++)
            twice = rmr_prefix_eq(&p->routes[k], &r);
        if (!twice)
            p->routes[p->n_routes++] = r;
        p->exit |= r.bits == 0;
    }
}

static pol_node *copy_node(const rmr_alloc *a, const rmr_pol_node *n)
{
    size_t size = sizeof(pol_node) + n->n_tags * sizeof(rmr_bytes) +
                  n->n_routes * sizeof(rmr_prefix);
    for (size_t i = 0; i < n->n_tags; i++)
        size += n->tags[i].len;
    pol_node *p = rmr_alloc_zero(a, size, 16);
    if (!p)
        return NULL;
    p->size = size;
    fill_node(p, n);
    return p;
}

static bool address_taken(const rmr_pol_net *net, const pol_node *n)
{
    for (int f = 0; f < 2; f++) {
        uint32_t i = n->has[f] ? rmri_pol_addr_at(net, f, n->ip[f]) : POL_NONE;
        if (!n->has[f] || i == net->addrs[f].n)
            continue;
        const pol_addr_entry *e = POL_AT(pol_addr_entry, &net->addrs[f], i);
        if (rmri_pol_ip_cmp(e->ip, n->ip[f]) == 0 && e->node->id != n->id)
            return true;
    }
    return false;
}

/* Room in all orders before any is changed. */
static bool reserve(rmr_pol_net *net, const pol_node *n)
{
    const rmr_alloc *a = &net->alloc;
    return rmri_pol_vec_reserve(&net->nodes, a, 1) &&
           rmri_pol_vec_reserve(&net->by_user, a, 1) &&
           rmri_pol_vec_reserve(&net->addrs[0], a, 1) &&
           rmri_pol_vec_reserve(&net->addrs[1], a, 1) &&
           rmri_pol_vec_reserve(&net->exits, a, 1) &&
           rmri_pol_vec_reserve(&net->routes, a, n->n_routes);
}

static void link_node(rmr_pol_net *net, pol_node *n)
{
    pol_range r;
    *(pol_node **)rmri_pol_vec_insert(&net->nodes,
                                      rmri_pol_lower(&net->nodes, n->id)) = n;
    if (n->n_tags == 0)
        *(pol_node **)rmri_pol_vec_insert(&net->by_user,
                                          user_at(net, n->user_id, n->id)) = n;
    for (int f = 0; f < 2; f++) {
        if (!n->has[f])
            continue;
        pol_addr_entry *e = rmri_pol_vec_insert(
            &net->addrs[f], rmri_pol_addr_at(net, f, n->ip[f]));
        e->ip = n->ip[f];
        e->node = n;
    }
    if (n->exit)
        *(pol_node **)rmri_pol_vec_insert(
            &net->exits, rmri_pol_lower(&net->exits, n->id)) = n;
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);) {
        pol_route_entry *e =
            rmri_pol_vec_insert(&net->routes, route_at(net, &r, n->id));
        e->r = r;
        e->node = n;
    }
}

static void unlink_node(rmr_pol_net *net, pol_node *n)
{
    pol_range r;
    rmri_pol_vec_remove(&net->nodes, rmri_pol_lower(&net->nodes, n->id));
    if (n->n_tags == 0)
        rmri_pol_vec_remove(&net->by_user, user_at(net, n->user_id, n->id));
    for (int f = 0; f < 2; f++) {
        if (n->has[f])
            rmri_pol_vec_remove(&net->addrs[f],
                                rmri_pol_addr_at(net, f, n->ip[f]));
    }
    if (n->exit)
        rmri_pol_vec_remove(&net->exits, rmri_pol_lower(&net->exits, n->id));
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);)
        rmri_pol_vec_remove(&net->routes, route_at(net, &r, n->id));
}

rmr_err rmr_pol_net_put_node(rmr_pol_net *net, const rmr_pol_node *node)
{
    if (!node_ok(node))
        return RMR_E_INVAL;
    pol_node *n = copy_node(&net->alloc, node);
    if (!n)
        return RMR_E_NOMEM;
    rmr_err err = address_taken(net, n) ? RMR_E_INUSE
                  : reserve(net, n)     ? RMR_OK
                                        : RMR_E_NOMEM;
    if (err) {
        rmr_release(&net->alloc, n, n->size);
        return err;
    }
    pol_node *old = rmri_pol_find(net, n->id);
    if (old) {
        rmri_pol_comp_node(net->comp, old);
        unlink_node(net, old);
        rmr_release(&net->alloc, old, old->size);
    }
    link_node(net, n);
    rmri_pol_comp_node(net->comp, n);
    return RMR_OK;
}

rmr_err rmr_pol_net_del_node(rmr_pol_net *net, uint64_t id)
{
    pol_node *n = rmri_pol_find(net, id);
    if (!n)
        return RMR_E_NOTFOUND;
    unlink_node(net, n);
    rmri_pol_comp_node(net->comp, n);
    rmr_release(&net->alloc, n, n->size);
    return RMR_OK;
}

/* ---- the whole ---------------------------------------------------------------------- */

static void net_free(rmr_pol_net *net)
{
    const rmr_alloc a = net->alloc;
    for (uint32_t i = 0; i < net->users.n; i++) {
        pol_user *u = *POL_AT(pol_user *, &net->users, i);
        rmr_release(&a, u, u->size);
    }
    for (uint32_t i = 0; i < net->nodes.n; i++) {
        pol_node *n = *POL_AT(pol_node *, &net->nodes, i);
        rmr_release(&a, n, n->size);
    }
    pol_vec *v[] = {&net->users,    &net->tokens,   &net->nodes,  &net->by_user,
                    &net->addrs[0], &net->addrs[1], &net->routes, &net->exits};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        rmri_pol_vec_free(v[i], &a);
    rmr_release(&a, net, sizeof *net);
}

rmr_err rmr_pol_net_new(rmr_pol_net **out, const rmr_alloc *a)
{
    rmr_pol_net *net = rmr_alloc_zero(a, sizeof *net, 16);
    if (!net)
        return RMR_E_NOMEM;
    net->alloc = *a;
    net->users.size = sizeof(pol_user *);
    net->tokens.size = sizeof(pol_token);
    net->nodes.size = net->by_user.size = net->exits.size = sizeof(pol_node *);
    net->addrs[0].size = net->addrs[1].size = sizeof(pol_addr_entry);
    net->routes.size = sizeof(pol_route_entry);
    rmr_err err = rmr_pol_net_set(net, NULL);
    if (err)
        net_free(net);
    else
        *out = net;
    return err;
}

void rmr_pol_net_free(rmr_pol_net *net)
{
    if (!net)
        return;
    rmri_pol_comp_free(net->comp, &net->alloc, true);
    net_free(net);
}

void rmr_pol_net_stats(const rmr_pol_net *net, rmr_pol_stats *out)
{
    out->users = net->users.n;
    out->nodes = net->nodes.n;
    out->routes = net->routes.n;
    out->rules = net->comp->lines.n;
    out->aliases = net->comp->names.n;
    out->ambiguous = net->comp->ambiguous;
}
