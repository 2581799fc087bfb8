/* What a node may ask for: routes and tags; and the attributes it gets. */
#include "pol_internal.h"

#include <string.h>

/* ---- routes -------------------------------------------------------------------- */

rmr_err rmr_pol_approves(rmr_pol_net *net, uint64_t node_id,
                         const rmr_prefix *route, bool *out)
{
    const pol_comp *c = net->comp;
    const pol_node *n = rmri_pol_find(net, node_id);
    if (!n)
        return RMR_E_NOTFOUND;
    *out = false;
    if (route->family == RMR_AF_NONE ||
        route->bits > (route->family == RMR_AF_INET ? 32 : 128))
        return RMR_OK;
    if (route->bits == 0) {
        *out = rmri_pol_any_is(c, c->pol->exit_approvers, n);
        return RMR_OK;
    }
    pol_range r = rmri_pol_range_of(route);
    for (uint32_t i = 0; i < c->pol->approvers.n && !*out; i++) {
        const pol_approver *a = POL_AT(pol_approver, &c->pol->approvers, i);
        *out = rmri_pol_range_within(&r, &a->route) &&
               rmri_pol_any_is(c, a->by, n);
    }
    return RMR_OK;
}

/* ---- tags -------------------------------------------------------------------------- */

/* Tags own tags, even each other: each is looked at once. */
typedef struct chain {
    const rmr_pol *pol;
    uint32_t todo; /* linked by next */
    uint32_t mark;
} chain;

static void look_at(chain *c, uint32_t tag)
{
    pol_def *d = POL_AT(pol_def, &c->pol->tags, tag);
    if (d->mark == c->mark)
        return;
    d->mark = c->mark;
    d->next = c->todo;
    c->todo = tag;
}

static bool chain_begin(chain *c, const rmr_pol_net *net, rmr_bytes tag)
{
    rmr_pol *pol = net->comp->pol;
    uint32_t i = rmri_pol_def_find(&pol->tags, tag);
    if (i == POL_NONE)
        return false;
    if (++pol->mark == 0) { /* it came round: old marks mean nothing */
        for (uint32_t k = 0; k < pol->tags.n; k++)
            POL_AT(pol_def, &pol->tags, k)->mark = 0;
        pol->mark = 1;
    }
    *c = (chain){pol, POL_NONE, pol->mark};
    look_at(c, i);
    return true;
}

/* The owners of the next tag, whose own tags are to be looked at in turn. */
static bool chain_next(chain *c, pol_span *owners)
{
    if (c->todo == POL_NONE)
        return false;
    const pol_def *d = POL_AT(pol_def, &c->pol->tags, c->todo);
    c->todo = d->next;
    *owners = d->list;
    for (uint32_t i = 0; i < owners->n; i++) {
        const pol_alias *a = rmri_pol_use(c->pol, *owners, i);
        if (a->kind == POL_TAG && a->def != POL_NONE)
            look_at(c, a->def);
    }
    return true;
}

static bool owns(const rmr_pol_net *net, const pol_node *n, rmr_bytes tag)
{
    chain c;
    pol_span owners;
    if (!chain_begin(&c, net, tag))
        return false;
    while (chain_next(&c, &owners)) {
        if (rmri_pol_any_is(net->comp, owners, n))
            return true;
    }
    return false;
}

bool rmr_pol_user_may_tag(const rmr_pol_net *net, uint64_t user_id,
                          rmr_bytes tag)
{
    pol_node n; /* any untagged one of the user */
    memset(&n, 0, sizeof n);
    n.user_id = user_id;
    return user_id != 0 && owns(net, &n, tag);
}

bool rmr_pol_node_may_tag(const rmr_pol_net *net, uint64_t node_id,
                          rmr_bytes tag)
{
    const pol_node *n = rmri_pol_find(net, node_id);
    return n && owns(net, n, tag);
}

/* ---- attributes ----------------------------------------------------------------------- */

typedef struct attr {
    rmr_bytes name;
    uint32_t order;
} attr;

static int attr_by_name(const void *a, const void *b, const void *ctx)
{
    const attr *x = a, *y = b;
    (void)ctx;
    int c = rmri_pol_bytes_cmp(x->name, y->name);
    return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int attr_by_order(const void *a, const void *b, const void *ctx)
{
    const attr *x = a, *y = b;
    (void)ctx;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool add_attr(pol_vec *v, const rmr_alloc *a, rmr_bytes name)
{
    attr *p = rmri_pol_vec_add(v, a);
    if (!p)
        return false;
    p->name = name;
    p->order = v->n;
    return true;
}

static bool collect(const rmr_pol_net *net, const pol_node *n, pol_vec *v)
{
    const rmr_pol *pol = net->comp->pol;
    if (pol->randomize_port &&
        !add_attr(v, &net->alloc, rmr_bytes_str("randomize-client-port")))
        return false;
    for (uint32_t i = 0; i < pol->attrs.n; i++) {
        const pol_attr *t = POL_AT(pol_attr, &pol->attrs, i);
        if (t->names.n == 0 || !rmri_pol_any_is(net->comp, t->targets, n))
            continue;
        for (uint32_t k = 0; k < t->names.n; k++) {
            rmr_bytes name =
                *POL_AT(rmr_bytes, &pol->names, t->names.first + k);
            if (!add_attr(v, &net->alloc, name))
                return false;
        }
    }
    return true;
}

/* Each name once, at its first place. */
static void unify(pol_vec *v)
{
    uint32_t n = 0;
    rmri_pol_sort(v->p, v->n, sizeof(attr), attr_by_name, NULL);
    for (uint32_t i = 0; i < v->n; i++) {
        attr a = *POL_AT(attr, v, i);
        if (n == 0 || !rmr_bytes_eq(POL_AT(attr, v, n - 1)->name, a.name))
            *POL_AT(attr, v, n++) = a;
    }
    v->n = n;
    rmri_pol_sort(v->p, v->n, sizeof(attr), attr_by_order, NULL);
}

rmr_err rmr_pol_each_attr(rmr_pol_net *net, uint64_t node_id,
                          rmr_pol_attr_fn fn, void *user)
{
    const pol_node *n = rmri_pol_find(net, node_id);
    pol_vec v = {NULL, 0, 0, sizeof(attr)};
    if (!n)
        return RMR_E_NOTFOUND;
    bool ok = collect(net, n, &v);
    if (ok)
        unify(&v);
    for (uint32_t i = 0; ok && i < v.n; i++) {
        if (!fn(user, POL_AT(attr, &v, i)->name))
            break;
    }
    rmri_pol_vec_free(&v, &net->alloc);
    return ok ? RMR_OK : RMR_E_NOMEM;
}
