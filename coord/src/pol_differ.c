/* Where two documents differ, and whom that concerns.  A node gets what those
 * lines say that have it among their sources or destinations, in their order: to
 * the others a changed line says nothing, before as after. */
#include "pol_internal.h"

/* ---- what names stand for ------------------------------------------------- */

static bool same_group(const rmr_pol *a, uint32_t x, const rmr_pol *b,
                       uint32_t y)
{
    pol_span p = POL_AT(pol_def, &a->groups, x)->list;
    pol_span q = POL_AT(pol_def, &b->groups, y)->list;
    bool same = p.n == q.n;
    for (uint32_t i = 0; same && i < p.n; i++)
        same = rmr_bytes_eq(rmri_pol_use(a, p, i)->text,
                            rmri_pol_use(b, q, i)->text);
    return same;
}

static bool same_alias(const rmr_pol *a, const pol_alias *x, const rmr_pol *b,
                       const pol_alias *y)
{
    if (x->kind != y->kind || !rmr_bytes_eq(x->text, y->text) ||
        (x->def == POL_NONE) != (y->def == POL_NONE))
        return false;
    switch (x->kind) {
    case POL_GROUP:
        return x->def == POL_NONE || same_group(a, x->def, b, y->def);
    case POL_PREFIX:
    case POL_HOST:
        return rmr_prefix_eq(&x->prefix, &y->prefix);
    default: /* by its text, or by the table */
        return true;
    }
}

static bool same_uses(const rmr_pol *a, pol_span x, const rmr_pol *b,
                      pol_span y)
{
    bool same = x.n == y.n;
    for (uint32_t i = 0; same && i < x.n; i++)
        same = same_alias(a, rmri_pol_use(a, x, i), b, rmri_pol_use(b, y, i));
    return same;
}

static bool same_names(const rmr_pol *a, pol_span x, const rmr_pol *b,
                       pol_span y)
{
    bool same = x.n == y.n;
    for (uint32_t i = 0; same && i < x.n; i++)
        same = rmr_bytes_eq(*POL_AT(rmr_bytes, &a->names, x.first + i),
                            *POL_AT(rmr_bytes, &b->names, y.first + i));
    return same;
}

/* ---- lines ---------------------------------------------------------------- */

static bool same_ip(const rmr_pol *a, uint32_t x, const rmr_pol *b, uint32_t y)
{
    const pol_ip_entry *p = POL_AT(pol_ip_entry, &a->ips, x);
    const pol_ip_entry *q = POL_AT(pol_ip_entry, &b->ips, y);
    bool same = p->proto == q->proto && p->ports.n == q->ports.n;
    for (uint32_t i = 0; same && i < p->ports.n; i++) {
        const pol_ports *m = POL_AT(pol_ports, &a->ports, p->ports.first + i);
        const pol_ports *n = POL_AT(pol_ports, &b->ports, q->ports.first + i);
        same = m->first == n->first && m->last == n->last;
    }
    return same;
}

static bool same_caps(const rmr_pol *a, pol_span x, const rmr_pol *b,
                      pol_span y)
{
    bool same = x.n == y.n;
    for (uint32_t i = 0; same && i < x.n; i++) {
        const pol_cap *m = POL_AT(pol_cap, &a->caps, x.first + i);
        const pol_cap *n = POL_AT(pol_cap, &b->caps, y.first + i);
        same =
            rmr_bytes_eq(m->name, n->name) && rmr_bytes_eq(m->value, n->value);
    }
    return same;
}

bool rmri_pol_same_line(const pol_comp *a, const pol_line *la,
                        const pol_comp *b, const pol_line *lb)
{
    const pol_rule *x = POL_AT(pol_rule, &a->pol->rules, la->rule);
    const pol_rule *y = POL_AT(pol_rule, &b->pol->rules, lb->rule);
    if (la->what != lb->what || la->whom != lb->whom ||
        la->companion != lb->companion)
        return false;
    if (la->what == POL_IP && !same_ip(a->pol, la->ip, b->pol, lb->ip))
        return false;
    if (la->what == POL_CAP && !same_caps(a->pol, x->caps, b->pol, y->caps))
        return false;
    return same_uses(a->pol, x->src, b->pol, y->src) &&
           same_uses(a->pol, x->dst, b->pol, y->dst) &&
           same_uses(a->pol, x->via, b->pol, y->via);
}

/* ---- the rest ------------------------------------------------------------- */

static bool same_ssh(const rmr_pol *a, const rmr_pol *b)
{
    bool same = a->ssh.n == b->ssh.n;
    for (uint32_t i = 0; same && i < a->ssh.n; i++) {
        const pol_ssh *x = POL_AT(pol_ssh, &a->ssh, i);
        const pol_ssh *y = POL_AT(pol_ssh, &b->ssh, i);
        same = x->check == y->check && same_uses(a, x->src, b, y->src) &&
               same_uses(a, x->dst, b, y->dst) &&
               same_names(a, x->users, b, y->users) &&
               same_names(a, x->env, b, y->env);
    }
    return same;
}

static bool same_attrs(const rmr_pol *a, const rmr_pol *b)
{
    bool same =
        a->randomize_port == b->randomize_port && a->attrs.n == b->attrs.n;
    for (uint32_t i = 0; same && i < a->attrs.n; i++) {
        const pol_attr *x = POL_AT(pol_attr, &a->attrs, i);
        const pol_attr *y = POL_AT(pol_attr, &b->attrs, i);
        same = same_uses(a, x->targets, b, y->targets) &&
               same_names(a, x->names, b, y->names);
    }
    return same;
}

bool rmri_pol_same_rest(const rmr_pol *a, const rmr_pol *b)
{
    return a->has_rules == b->has_rules && same_ssh(a, b) && same_attrs(a, b);
}

/* ---- whom it concerns ----------------------------------------------------- */

typedef struct differ {
    const pol_comp *a, *b;
    uint32_t first, n_a, n_b; /* those between what is the same at both ends */
} differ;

static bool same_at(const differ *d, uint32_t i, uint32_t k)
{
    return rmri_pol_same_line(d->a, POL_AT(pol_line, &d->a->lines, i), d->b,
                              POL_AT(pol_line, &d->b->lines, k));
}

static void narrow(differ *d)
{
    uint32_t a = d->a->lines.n, b = d->b->lines.n;
    while (d->first < a && d->first < b && same_at(d, d->first, d->first))
        d->first++;
    while (a > d->first && b > d->first && same_at(d, a - 1, b - 1)) {
        a--;
        b--;
    }
    d->n_a = a - d->first;
    d->n_b = b - d->first;
}

/* Where as many lines were changed, each is compared with the one in its
 * place. */
static void walk_lines(const differ *d, pol_walk *w, const pol_comp *c,
                       uint32_t n)
{
    w->c = c;
    for (uint32_t i = d->first; i < d->first + n; i++) {
        if (d->n_a != d->n_b || !same_at(d, i, i))
            rmri_pol_walk_line(w, POL_AT(pol_line, &c->lines, i));
    }
}

static void walk_changed(pol_walk *w, pol_comp *a, pol_comp *b)
{
    differ d = {a, b, 0, 0, 0};
    if (!rmri_pol_same_rest(a->pol, b->pol) ||
        rmri_pol_comp_fresh(a, w->net) != RMR_OK ||
        rmri_pol_comp_fresh(b, w->net) != RMR_OK) {
        rmri_pol_walk_all(w);
        return;
    }
    narrow(&d);
    walk_lines(&d, w, a, d.n_a);
    walk_lines(&d, w, b, d.n_b);
}

rmr_err rmr_pol_net_change(rmr_pol_net *net, rmr_pol *pol, rmr_pol_walk_fn whom,
                           void *user)
{
    pol_comp *c;
    pol_walk w;
    rmr_err err = rmri_pol_comp_new(&c, net, pol);
    if (err)
        return err;
    rmri_pol_walk_begin(&w, net);
    walk_changed(&w, net->comp, c);
    rmri_pol_comp_free(net->comp, &net->alloc, true);
    net->comp = c;
    for (pol_node *n = w.first; n; n = n->found) {
        if (!whom(user, n->own))
            break;
    }
    return RMR_OK;
}
