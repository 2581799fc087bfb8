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

bool rmri_crd_may_serve(const crd_node *n, const rmr_prefix *p)
{
    return has(n->announced, n->n_announced, p) &&
           has(n->approved, n->n_approved, p);
}

static bool covers(const rmr_prefix *a, const rmr_prefix *b)
{
    rmr_addr first = rmr_prefix_addr(b);
    return a->bits <= b->bits && rmr_prefix_contains(a, &first);
}

bool rmri_crd_is_inside(const rmr_coord *c, const rmr_prefix *p)
{
    return !rmri_crd_is_exit(p) && (covers(p, &c->v4) || covers(&c->v4, p) ||
                                    covers(p, &c->v6) || covers(&c->v6, p));
}

/* ---- who serves ---------------------------------------------------------- */

/* The routers one by one, from *slot = 0; NULL: over. */
static crd_node *next_router(const rmr_coord *c, size_t *slot)
{
    const crd_set *r = &c->routers;
    while (c->n_routers && *slot / 64 < r->n_words) {
        uint64_t w = r->words[*slot / 64] >> *slot % 64;
        if (!w) {
            *slot = (*slot / 64 + 1) * 64;
            continue;
        }
        *slot += (size_t)__builtin_ctzll(w);
        return c->nodes[(*slot)++];
    }
    return NULL;
}

static bool is_before(const crd_node *a, const crd_node *b)
{
    return a->online != b->online ? a->online : a->id < b->id;
}

/* An exit node is each for itself; of several routers of a subnet the one
 * that is online and has the lowest id serves it. */
bool rmri_crd_serves(const rmr_coord *c, const crd_node *n, const rmr_prefix *p)
{
    size_t slot = 0;
    if (!rmri_crd_may_serve(n, p))
        return false;
    if (rmri_crd_is_exit(p))
        return true;
    for (crd_node *o; (o = next_router(c, &slot));) {
        if (o != n && rmri_crd_may_serve(o, p) && is_before(o, n))
            return false;
    }
    return true;
}

static rmr_pol_route may_have(const rmr_coord *c, const crd_node *viewer,
                              const crd_node *n, const rmr_prefix *p)
{
    rmr_pol_route may = RMR_POL_ROUTE_NO;
    (void)rmr_pol_may_route(c->policy.net, viewer->id, n->id, p, &may);
    return may;
}

bool rmri_crd_gets(const rmr_coord *c, const crd_node *viewer,
                   const crd_node *n, const rmr_prefix *p)
{
    if (!rmri_crd_may_serve(n, p))
        return false;
    if (viewer == n)
        return rmri_crd_serves(c, n, p);
    rmr_pol_route may = may_have(c, viewer, n, p);
    return may == RMR_POL_ROUTE_ALWAYS ||
           (may == RMR_POL_ROUTE_PRIMARY && rmri_crd_serves(c, n, p));
}

uint64_t rmri_crd_routes_hash(const rmr_coord *c, const crd_node *viewer,
                              const crd_node *n)
{
    uint8_t x[sizeof n->id + 1 + sizeof(rmr_prefix)];
    uint64_t sum = 0;
    memcpy(x, &n->id, sizeof n->id);
    for (size_t i = 0; i < n->n_approved; i++) {
        rmr_pol_route may = may_have(c, viewer, n, &n->approved[i]);
        x[sizeof n->id] = (uint8_t)may;
        memcpy(x + sizeof n->id + 1, &n->approved[i], sizeof(rmr_prefix));
        if (may != RMR_POL_ROUTE_NO)
            sum += rmr_siphash13(&c->by_key.key, x, sizeof x);
    }
    return sum;
}

static bool shares(const crd_node *a, const crd_node *b)
{
    for (size_t i = 0; i < a->n_approved; i++) {
        const rmr_prefix *p = &a->approved[i];
        if (!rmri_crd_is_exit(p) && rmri_crd_may_serve(a, p) &&
            rmri_crd_may_serve(b, p))
            return true;
    }
    return false;
}

void rmri_crd_routes_turn(rmr_coord *c, crd_node *n)
{
    size_t slot = 0;
    if (!rmri_crd_set_has(&c->routers, n->slot))
        return;
    for (crd_node *o; (o = next_router(c, &slot));) {
        if (o != n && shares(n, o))
            rmri_crd_changed(c, o, CRD_WHOLE);
    }
}

/* ---- what a node offers and may ------------------------------------------ */

typedef struct routes {
    rmr_prefix *announced, *approved;
    size_t n_announced, n_approved;
} routes;

static routes of(const crd_node *n)
{
    routes r = {n->announced, n->approved, n->n_announced, n->n_approved};
    return r;
}

static void put_in(crd_node *n, const routes *r)
{
    n->announced = r->announced;
    n->n_announced = r->n_announced;
    n->approved = r->approved;
    n->n_approved = r->n_approved;
}

static void drop(rmr_coord *c, routes *r)
{
    const rmr_alloc *a = &c->env.alloc;
    rmr_release(a, r->announced, r->n_announced * sizeof *r->announced);
    rmr_release(a, r->approved, r->n_approved * sizeof *r->approved);
}

/* Both lists at once.  Those who serve the same, or did, are told too. */
static rmr_err replace(rmr_coord *c, crd_node *n, const routes *given)
{
    routes was = of(n), is;
    memset(&is, 0, sizeof is);
    rmr_err e = rmri_crd_prefixes_set(c, &is.announced, &is.n_announced,
                                      given->announced, given->n_announced);
    if (e == RMR_OK)
        e = rmri_crd_prefixes_set(c, &is.approved, &is.n_approved,
                                  given->approved, given->n_approved);
    if (e != RMR_OK) {
        drop(c, &is);
        return e;
    }
    rmri_crd_routes_turn(c, n);
    put_in(n, &is);
    e = rmri_crd_moved(c, n);
    if (e != RMR_OK)
        put_in(n, &was);
    else
        rmri_crd_routes_turn(c, n);
    drop(c, e == RMR_OK ? &was : &is);
    return e;
}

static bool same(const rmr_prefix *a, size_t n_a, const rmr_prefix *b,
                 size_t n_b)
{
    bool same = n_a == n_b;
    for (size_t i = 0; same && i < n_a; i++)
        same = rmr_prefix_eq(&a[i], &b[i]);
    return same;
}

/* Nothing is withdrawn, be it announced or not. */
static rmr_err approve_by_policy(rmr_coord *c, const crd_node *n, routes *r)
{
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < r->n_announced && e == RMR_OK; i++) {
        const rmr_prefix *p = &r->announced[i];
        bool is = false;
        if (has(r->approved, r->n_approved, p))
            continue;
        if (r->n_approved > RMR_COORD_MAX_ROUTES)
            break;
        e = rmr_pol_approves(c->policy.net, n->id, p, &is);
        if (is)
            r->approved[r->n_approved++] = *p;
    }
    return e;
}

static rmr_err offer(rmr_coord *c, crd_node *n, const rmr_prefix *list,
                     size_t n_list)
{
    rmr_prefix announced[RMR_COORD_MAX_ROUTES];
    rmr_prefix approved[RMR_COORD_MAX_ROUTES + 1];
    routes r = {announced, approved, n_list, n->n_approved};
    if (n_list)
        memcpy(announced, list, n_list * sizeof *list);
    if (n->n_approved)
        memcpy(approved, n->approved, n->n_approved * sizeof *approved);
    rmr_err e = approve_by_policy(c, n, &r);
    bool more = r.n_approved != n->n_approved;
    if (e != RMR_OK ||
        (!more && same(n->announced, n->n_announced, announced, n_list)))
        return e;
    e = replace(c, n, &r);
    if (e == RMR_OK)
        rmri_crd_mark(c, &n->row, more ? CRD_DIRTY : CRD_LAZY);
    return e;
}

rmr_err rmri_crd_announces(rmr_coord *c, crd_node *n, const rmr_prefix *list,
                           size_t n_list)
{
    return same(n->announced, n->n_announced, list, n_list)
               ? RMR_OK
               : offer(c, n, list, n_list);
}

rmr_err rmri_crd_approve(rmr_coord *c, crd_node *n)
{
    return offer(c, n, n->announced, n->n_announced);
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
                               const rmr_prefix *given, size_t n)
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
        if (has_host_bits(&given[i]))
            return RMR_E_INVAL;
        if (!has(list, kept, &given[i]))
            list[kept++] = given[i];
    }
    kept = complete(list, kept);
    routes r = {node->announced, list, node->n_announced, kept};
    rmr_err e = replace(c, node, &r);
    if (e == RMR_OK)
        rmri_crd_mark(c, &node->row, CRD_DIRTY);
    return e;
}
