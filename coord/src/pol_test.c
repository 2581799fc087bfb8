/* The section tests, run against the table as it is. */
#include "pol_internal.h"

#include <string.h>

void rmri_pol_failed(pol_failures *f, uint32_t line, uint32_t column,
                     const char *fmt, ...)
{
    if (f->n++ == 0) {
        f->line = line;
        f->column = column;
    }
    rmri_pol_text_fmt(&f->out, "\n");
    va_list ap;
    va_start(ap, fmt);
    rmri_pol_text_vfmt(&f->out, fmt, ap);
    va_end(ap);
}

typedef struct run {
    const pol_comp *c;
    const rmr_pol_net *net;
    const pol_test *t;
    const pol_test_dst *d;
    const pol_set *to;
} run;

/* No protocol: those that a filter rule without one lets through. */
static bool proto_fits(int16_t rule, int16_t test)
{
    if (rule == -1 || rule == test)
        return true;
    return test == -1 && (rule == 6 || rule == 17 || rule == 1 || rule == 58);
}

static bool ports_fit(const run *x, const pol_line *l)
{
    const rmr_pol *pol = x->c->pol;
    const pol_ip_entry *e = POL_AT(pol_ip_entry, &pol->ips, l->ip);
    if (!proto_fits(e->proto, x->t->proto))
        return false;
    for (uint32_t i = 0; i < e->ports.n; i++) {
        const pol_ports *p = POL_AT(pol_ports, &pol->ports, e->ports.first + i);
        if (x->d->ports.first >= p->first && x->d->ports.last <= p->last)
            return true;
    }
    return false;
}

static bool dst_fits(const run *x, const pol_line *l)
{
    for (uint32_t i = 0; i < x->to->r.n; i++) {
        if (rmri_pol_dst_has_range(x->c, l, POL_AT(pol_range, &x->to->r, i)))
            return true;
    }
    return false;
}

/* autogroup:self: a node of the same user begins, whose address is in `from`. */
static bool owner_may(const run *x, const pol_src *s, const pol_range *from,
                      const pol_node *to)
{
    pol_span nodes = rmri_pol_nodes_of(x->net, to->user_id);
    for (uint32_t i = 0; i < nodes.n && !to->n_tags; i++) {
        const pol_node *n =
            *POL_AT(pol_node *, &x->net->by_user, nodes.first + i);
        for (int f = 0; f < 2; f++) {
            pol_range one = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
            if (n->has[f] && rmri_pol_range_overlaps(from, &one) &&
                rmri_pol_any_is(x->c, s->list, n))
                return true;
        }
    }
    return false;
}

static bool self_fits(const run *x, const pol_src *s, const pol_range *from)
{
    for (uint32_t i = 0; i < x->to->r.n; i++) {
        const pol_range *r = POL_AT(pol_range, &x->to->r, i);
        int f = r->family == RMR_AF_INET6;
        const pol_vec *v = &x->net->addrs[f];
        for (uint32_t k = rmri_pol_addr_at(x->net, f, r->a); k < v->n; k++) {
            const pol_addr_entry *e = POL_AT(pol_addr_entry, v, k);
            if (rmri_pol_ip_cmp(e->ip, r->b) > 0)
                break;
            if (owner_may(x, s, from, e->node))
                return true;
        }
    }
    return false;
}

static bool reaches(const run *x, const pol_range *from)
{
    for (uint32_t i = 0; i < x->c->lines.n; i++) {
        const pol_line *l = POL_AT(pol_line, &x->c->lines, i);
        const pol_src *s = POL_AT(pol_src, &x->c->srcs, l->src);
        if (l->what != POL_IP || l->whom == POL_VIA || !ports_fit(x, l))
            continue;
        if (l->whom == POL_SELF) {
            if (self_fits(x, s, from))
                return true;
        } else if ((s->danger || rmri_pol_set_overlaps(&s->all, from)) &&
                   dst_fits(x, l)) {
            return true;
        }
    }
    return false;
}

/* All of the source must reach it. */
static bool allowed(const run *x, const pol_set *from)
{
    if (!x->c->pol->has_rules)
        return true;
    for (uint32_t i = 0; i < from->r.n; i++) {
        pol_range rest = *POL_AT(pol_range, &from->r, i), p;
        bool more = true;
        while (more) {
            more = rmri_pol_range_split(&rest, &p);
            if (!reaches(x, &p))
                return false;
        }
    }
    return true;
}

static const pol_set *set_of(const pol_comp *c, const pol_alias *a)
{
    return rmri_pol_names_set(c, a);
}

static void run_dsts(const pol_comp *c, const rmr_pol_net *net,
                     const pol_test *t, pol_span dsts, bool want,
                     pol_failures *f)
{
    const pol_set *from = set_of(c, rmri_pol_alias(c, t->src, 0));
    const char *open = t->proto_text.len ? " (" : "";
    const char *close = t->proto_text.len ? ")" : "";
    for (uint32_t i = 0; i < dsts.n; i++) {
        const pol_test_dst *d =
            POL_AT(pol_test_dst, &c->pol->test_dsts, dsts.first + i);
        const pol_alias *a = POL_AT(pol_alias, &c->pol->uses, d->use);
        run x = {c, net, t, d, set_of(c, a)};
        if (x.to->r.n == 0)
            rmri_pol_failed(f, a->line, a->column,
                            "%B%s%B%s: error testing %Q: destination resolved "
                            "to no IP addresses: %Q",
                            &t->src_text, open, &t->proto_text, close, &d->text,
                            &d->text);
        else if (allowed(&x, from) != want)
            rmri_pol_failed(
                f, a->line, a->column, "%B -> %B%s%B%s: expected %s, got %s",
                &t->src_text, &d->text, open, &t->proto_text, close,
                want ? "ALLOWED" : "DENIED", want ? "DENIED" : "ALLOWED");
    }
}

static void run_tests(const pol_comp *c, const rmr_pol_net *net,
                      pol_failures *f)
{
    for (uint32_t i = 0; i < c->pol->tests.n; i++) {
        const pol_test *t = POL_AT(pol_test, &c->pol->tests, i);
        if (t->src.n == 0 ||
            set_of(c, rmri_pol_alias(c, t->src, 0))->r.n == 0) {
            rmri_pol_failed(f, t->line, t->column,
                            "%B: source %Q resolved to no IP addresses",
                            &t->src_text, &t->src_text);
            continue;
        }
        run_dsts(c, net, t, t->accept, true, f);
        run_dsts(c, net, t, t->deny, false, f);
    }
}

/* The names of tests are looked up for this alone. */
static void use_names(pol_comp *c)
{
    for (uint32_t i = 0; i < c->pol->tests.n; i++)
        rmri_pol_comp_use(c, POL_AT(pol_test, &c->pol->tests, i)->src);
    for (uint32_t i = 0; i < c->pol->test_dsts.n; i++) {
        uint32_t use = POL_AT(pol_test_dst, &c->pol->test_dsts, i)->use;
        rmri_pol_comp_use(c, (pol_span){use, 1});
    }
}

static bool refuse_ambiguous(const pol_comp *c, rmr_pol_why *why)
{
    for (uint32_t i = 0; i < c->names.n; i++) {
        const pol_alias *a = POL_AT(pol_alias, &c->pol->aliases, i);
        if (!POL_AT(pol_names, &c->names, i)->ambiguous)
            continue;
        pol_text out;
        why->line = a->line;
        why->column = a->column;
        rmri_pol_text_init(&out, why->text, sizeof why->text);
        rmri_pol_text_fmt(&out, "multiple users found: token %Q", &a->text);
        return true;
    }
    return false;
}

static rmr_err check(pol_comp *c, const rmr_pol_net *net, rmr_pol_why *why)
{
    pol_failures f = {{NULL, 0, 0}, 0, 0, 0};
    if (refuse_ambiguous(c, why))
        return RMR_E_MALFORMED;
    use_names(c);
    rmr_err err = rmri_pol_comp_fresh(c, net);
    if (err)
        return err;
    rmri_pol_text_init(&f.out, why->text, sizeof why->text);
    rmri_pol_text_fmt(&f.out, "test(s) failed:");
    run_tests(c, net, &f);
    rmri_pol_run_ssh_tests(c, net, &f);
    why->line = f.line;
    why->column = f.column;
    if (f.n == 0)
        why->text[0] = '\0';
    return f.n ? RMR_E_MALFORMED : RMR_OK;
}

rmr_err rmr_pol_net_check(rmr_pol_net *net, const rmr_pol *pol,
                          rmr_pol_why *why)
{
    rmr_pol_why own;
    pol_comp *c;
    if (!why)
        why = &own;
    memset(why, 0, sizeof *why);
    /* Nothing of it is written to here. */
    rmr_err err = rmri_pol_comp_new(&c, net, (rmr_pol *)(uintptr_t)pol);
    if (err)
        return err;
    err = check(c, net, why);
    rmri_pol_comp_free(c, &net->alloc, false);
    return err;
}
