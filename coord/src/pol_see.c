/* Who sees whom, and by which routes. */
#include "pol_internal.h"

#include <string.h>

/* ---- two nodes ------------------------------------------------------------------ */

/* Whether a node routes what a via line is about. */
static bool is_via(const pol_comp *c, const pol_line *l, const pol_node *n)
{
    pol_range r;
    if (!rmri_pol_via_has(c, l, n))
        return false;
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);) {
        if (rmri_pol_dst_has_range(c, l, &r))
            return true;
    }
    return n->exit && rmri_pol_dst_is_internet(c, l);
}

static bool line_reaches(const pol_comp *c, const pol_line *l,
                         const pol_node *from, const pol_node *to)
{
    const pol_src *s = POL_AT(pol_src, &c->srcs, l->src);
    switch (l->whom) {
    case POL_SELF:
        return rmri_pol_same_owner(from, to) &&
               rmri_pol_any_is(c, s->list, from);
    case POL_VIA:
        return rmri_pol_src_reaches(s, from) && is_via(c, l, to);
    default:
        return rmri_pol_src_reaches(s, from) && rmri_pol_dst_reaches(c, l, to);
    }
}

static bool reaches(const pol_comp *c, const pol_node *from, const pol_node *to)
{
    if (!c->pol->has_rules)
        return true;
    for (uint32_t i = 0; i < c->lines.n; i++) {
        const pol_line *l = POL_AT(pol_line, &c->lines, i);
        if (l->what != POL_COMPANION && line_reaches(c, l, from, to))
            return true;
    }
    return false;
}

rmr_err rmr_pol_sees(rmr_pol_net *net, uint64_t a, uint64_t b, bool *out)
{
    const pol_node *x = rmri_pol_find(net, a), *y = rmri_pol_find(net, b);
    if (!x || !y)
        return RMR_E_NOTFOUND;
    rmr_err err = rmri_pol_comp_fresh(net->comp, net);
    if (err)
        return err;
    *out = x != y && (reaches(net->comp, x, y) || reaches(net->comp, y, x));
    return RMR_OK;
}

/* ---- all that a node sees --------------------------------------------------------- */

static void found(pol_walk *w, pol_node *n)
{
    if (n == w->node || n->mark == w->net->mark)
        return;
    n->mark = w->net->mark;
    n->found = w->first;
    w->first = n;
    w->n++;
}

static void found_all(pol_walk *w)
{
    for (uint32_t i = 0; i < w->net->nodes.n; i++)
        found(w, *POL_AT(pol_node *, &w->net->nodes, i));
}

static bool found_everybody(const pol_walk *w)
{
    return w->n + (w->node ? 1 : 0) == w->net->nodes.n;
}

static void found_in_range(pol_walk *w, const pol_range *r)
{
    int f = r->family == RMR_AF_INET6;
    const pol_vec *v = &w->net->addrs[f];
    for (uint32_t i = rmri_pol_addr_at(w->net, f, r->a); i < v->n; i++) {
        const pol_addr_entry *e = POL_AT(pol_addr_entry, v, i);
        if (rmri_pol_ip_cmp(e->ip, r->b) > 0)
            break;
        found(w, e->node);
    }
}

/* Those with an address in the set, or a subnet route that overlaps it. */
static void found_in_set(pol_walk *w, const pol_set *s)
{
    for (uint32_t i = 0; i < s->r.n && !found_everybody(w); i++)
        found_in_range(w, POL_AT(pol_range, &s->r, i));
    for (uint32_t i = 0; i < w->net->routes.n; i++) {
        const pol_route_entry *e = POL_AT(pol_route_entry, &w->net->routes, i);
        if (e->node->mark != w->net->mark && rmri_pol_set_overlaps(s, &e->r))
            found(w, e->node);
    }
}

static void found_exits(pol_walk *w)
{
    for (uint32_t i = 0; i < w->net->exits.n; i++)
        found(w, *POL_AT(pol_node *, &w->net->exits, i));
}

static void found_dsts(pol_walk *w, const pol_line *l)
{
    pol_span d = POL_AT(pol_rule, &w->c->pol->rules, l->rule)->dst;
    for (uint32_t i = 0; i < d.n; i++) {
        const pol_alias *a = rmri_pol_alias(w->c, d, i);
        if (rmri_pol_is_self(a))
            continue;
        if (rmri_pol_dst_is_all(l, a))
            found_all(w);
        else
            found_in_set(w, rmri_pol_names_set(w->c, a));
    }
    if (l->what == POL_IP && rmri_pol_dst_is_internet(w->c, l))
        found_exits(w);
}

static void found_srcs(pol_walk *w, const pol_src *s)
{
    if (s->danger) {
        found_all(w);
        return;
    }
    found_in_set(w, &s->all);
    for (uint32_t i = 0; i < w->net->routes.n && s->star; i++)
        found(w, POL_AT(pol_route_entry, &w->net->routes, i)->node);
}

static void found_vias(pol_walk *w, const pol_line *l)
{
    for (uint32_t i = 0; i < w->net->routes.n; i++) {
        pol_node *n = POL_AT(pol_route_entry, &w->net->routes, i)->node;
        if (n->mark != w->net->mark && is_via(w->c, l, n))
            found(w, n);
    }
    for (uint32_t i = 0; i < w->net->exits.n; i++) {
        pol_node *n = *POL_AT(pol_node *, &w->net->exits, i);
        if (n->mark != w->net->mark && is_via(w->c, l, n))
            found(w, n);
    }
}

static void found_self(pol_walk *w, const pol_src *s)
{
    if (w->node->n_tags)
        return;
    bool from = rmri_pol_any_is(w->c, s->list, w->node);
    pol_span nodes = rmri_pol_nodes_of(w->net, w->node->user_id);
    for (uint32_t i = 0; i < nodes.n; i++) {
        pol_node *n = *POL_AT(pol_node *, &w->net->by_user, nodes.first + i);
        if (from || rmri_pol_any_is(w->c, s->list, n))
            found(w, n);
    }
}

static void look(pol_walk *w, const pol_line *l)
{
    const pol_src *s = POL_AT(pol_src, &w->c->srcs, l->src);
    if (l->whom == POL_SELF) {
        found_self(w, s);
        return;
    }
    bool via = l->whom == POL_VIA;
    if (rmri_pol_src_reaches(s, w->node)) {
        if (via)
            found_vias(w, l);
        else
            found_dsts(w, l);
    }
    if (via ? is_via(w->c, l, w->node) : rmri_pol_dst_reaches(w->c, l, w->node))
        found_srcs(w, s);
}

/* Exit nodes get what is said of any public address. */
void rmri_pol_walk_line(pol_walk *w, const pol_line *l)
{
    const pol_src *s = POL_AT(pol_src, &w->c->srcs, l->src);
    if (l->whom == POL_SELF) {
        found_all(w);
        return;
    }
    found_srcs(w, s);
    if (l->whom == POL_VIA)
        found_vias(w, l);
    else
        found_dsts(w, l);
    found_exits(w);
}

void rmri_pol_walk_all(pol_walk *w)
{
    found_all(w);
}

void rmri_pol_walk_begin(pol_walk *w, rmr_pol_net *net)
{
    memset(w, 0, sizeof *w);
    w->net = net;
    net->mark++;
}

static int by_id(const void *a, const void *b, const void *ctx)
{
    const pol_node *x = *(pol_node *const *)a, *y = *(pol_node *const *)b;
    (void)ctx;
    return x->id < y->id ? -1 : x->id > y->id;
}

static rmr_err walk_from(pol_walk *w, rmr_pol_net *net, uint64_t node_id)
{
    const pol_node *node = rmri_pol_find(net, node_id);
    if (!node)
        return RMR_E_NOTFOUND;
    rmr_err err = rmri_pol_comp_fresh(net->comp, net);
    if (err)
        return err;
    rmri_pol_walk_begin(w, net);
    w->node = node;
    w->c = net->comp;
    if (!w->c->pol->has_rules)
        found_all(w);
    for (uint32_t i = 0; i < w->c->lines.n && !found_everybody(w); i++) {
        const pol_line *l = POL_AT(pol_line, &w->c->lines, i);
        if (l->what != POL_COMPANION)
            look(w, l);
    }
    return RMR_OK;
}

/* Few are sorted; where they are many the table has them in order. */
static rmr_err tell(const pol_walk *w, rmr_pol_peer_fn peer, void *user)
{
    const pol_vec *from = &w->net->nodes;
    const rmr_alloc *a = &w->net->alloc;
    pol_vec few = {NULL, 0, 0, sizeof(pol_node *)};
    if (w->n <= w->net->nodes.n / 8) {
        if (!rmri_pol_vec_reserve(&few, a, w->n))
            return RMR_E_NOMEM;
        for (pol_node *n = w->first; n; n = n->found)
            *POL_AT(pol_node *, &few, few.n++) = n;
        rmri_pol_sort(few.p, few.n, sizeof(pol_node *), by_id, NULL);
        from = &few;
    }
    for (uint32_t i = 0; i < from->n; i++) {
        const pol_node *n = *POL_AT(pol_node *, from, i);
        if (n->mark == w->net->mark && !peer(user, n->id))
            break;
    }
    rmri_pol_vec_free(&few, a);
    return RMR_OK;
}

rmr_err rmr_pol_each_peer(rmr_pol_net *net, uint64_t node_id,
                          rmr_pol_peer_fn peer, void *user)
{
    pol_walk w;
    rmr_err err = walk_from(&w, net, node_id);
    return err ? err : tell(&w, peer, user);
}

rmr_err rmr_pol_walk_peers(rmr_pol_net *net, uint64_t node_id,
                           rmr_pol_walk_fn peer, void *user)
{
    pol_walk w;
    rmr_err err = walk_from(&w, net, node_id);
    if (err)
        return err;
    for (pol_node *n = w.first; n; n = n->found) {
        if (!peer(user, n->own))
            break;
    }
    return RMR_OK;
}

/* ---- routes ------------------------------------------------------------------------ */

static bool has_route(const pol_node *n, const pol_range *route)
{
    for (uint32_t i = 0; i < n->n_routes; i++) {
        pol_range r = rmri_pol_range_of(&n->routes[i]);
        if (rmri_pol_range_cmp(&r, route, NULL) == 0)
            return true;
    }
    return false;
}

/* By an exit node that the policy names, or by any where it names none. */
static bool may_exit(const pol_comp *c, const pol_node *viewer,
                     const pol_node *owner)
{
    for (uint32_t i = 0; i < c->lines.n; i++) {
        const pol_line *l = POL_AT(pol_line, &c->lines, i);
        const pol_src *s = POL_AT(pol_src, &c->srcs, l->src);
        if (l->what != POL_IP || l->whom == POL_SELF ||
            !rmri_pol_src_reaches(s, viewer) || !rmri_pol_dst_is_internet(c, l))
            continue;
        if (l->whom == POL_EACH || rmri_pol_via_has(c, l, owner))
            return true;
    }
    return false;
}

/* Of several routers that a via line names for one route, the lowest id has
 * it. */
static bool is_first_via(const rmr_pol_net *net, const pol_line *l,
                         const pol_node *owner, const pol_range *route)
{
    for (uint32_t i = 0; i < net->routes.n; i++) {
        const pol_route_entry *e = POL_AT(pol_route_entry, &net->routes, i);
        if (e->node->id < owner->id &&
            rmri_pol_range_cmp(&e->r, route, NULL) == 0 &&
            rmri_pol_via_has(net->comp, l, e->node))
            return false;
    }
    return true;
}

static rmr_pol_route subnet(const rmr_pol_net *net, const pol_node *viewer,
                            const pol_node *owner, const pol_range *route)
{
    const pol_comp *c = net->comp;
    rmr_pol_route out = RMR_POL_ROUTE_NO;
    for (uint32_t i = 0; i < c->lines.n; i++) {
        const pol_line *l = POL_AT(pol_line, &c->lines, i);
        const pol_src *s = POL_AT(pol_src, &c->srcs, l->src);
        if (l->what == POL_COMPANION || l->whom == POL_SELF)
            continue;
        bool to = rmri_pol_src_reaches(s, viewer) &&
                  rmri_pol_dst_has_range(c, l, route);
        if (l->whom == POL_VIA) {
            if (to && rmri_pol_via_has(c, l, owner) &&
                is_first_via(net, l, owner, route))
                out = RMR_POL_ROUTE_ALWAYS;
            continue;
        }
        if (to || (rmri_pol_src_has_range(s, route) &&
                   rmri_pol_dst_reaches(c, l, viewer)))
            return RMR_POL_ROUTE_PRIMARY;
    }
    return out;
}

rmr_err rmr_pol_may_route(rmr_pol_net *net, uint64_t viewer, uint64_t owner,
                          const rmr_prefix *route, rmr_pol_route *out)
{
    const pol_node *v = rmri_pol_find(net, viewer);
    const pol_node *o = rmri_pol_find(net, owner);
    if (!v || !o || route->family == RMR_AF_NONE ||
        route->bits > (route->family == RMR_AF_INET ? 32 : 128))
        return RMR_E_NOTFOUND;
    pol_range r = rmri_pol_range_of(route);
    if (!has_route(o, &r))
        return RMR_E_NOTFOUND;
    rmr_err err = rmri_pol_comp_fresh(net->comp, net);
    if (err)
        return err;
    bool open = !net->comp->pol->has_rules;
    if (route->bits == 0)
        *out = open || may_exit(net->comp, v, o) ? RMR_POL_ROUTE_ALWAYS
                                                 : RMR_POL_ROUTE_NO;
    else
        *out = open ? RMR_POL_ROUTE_PRIMARY : subnet(net, v, o, &r);
    return RMR_OK;
}
