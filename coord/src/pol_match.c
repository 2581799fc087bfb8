/* Whether a node, an address or a route is among the sources or destinations of
 * a line. */
#include "pol_internal.h"

#include <string.h>

/* ---- sources ---------------------------------------------------------------- */

bool rmri_pol_src_is_empty(const pol_src *s)
{
    return !s->danger && s->all.r.n == 0;
}

bool rmri_pol_src_has_node(const pol_src *s, const pol_node *n)
{
    if (s->danger)
        return true;
    for (int f = 0; f < 2; f++) {
        pol_range one = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
        if (n->has[f] && rmri_pol_set_overlaps(&s->all, &one))
            return true;
    }
    return false;
}

/* "*" stands for all approved routes too, and no other is asked for. */
bool rmri_pol_src_has_range(const pol_src *s, const pol_range *r)
{
    return s->danger || s->star || rmri_pol_set_overlaps(&s->all, r);
}

bool rmri_pol_src_reaches(const pol_src *s, const pol_node *n)
{
    pol_range r;
    if (rmri_pol_src_has_node(s, n))
        return true;
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);) {
        if (rmri_pol_src_has_range(s, &r))
            return true;
    }
    return false;
}

/* Whether two are printed alike. */
bool rmri_pol_src_eq(const pol_src *a, const pol_src *b)
{
    if (a == b)
        return true;
    if (a->hash != b->hash || a->star != b->star || a->danger != b->danger)
        return false;
    if (a->danger)
        return true;
    if (!rmri_pol_set_eq(&a->all, &b->all))
        return false;
    if (a->extra.n != b->extra.n)
        return false;
    for (uint32_t i = 0; i < a->extra.n; i++) {
        if (rmri_pol_range_cmp(&POL_AT(pol_extra, &a->extra, i)->r,
                               &POL_AT(pol_extra, &b->extra, i)->r, NULL) != 0)
            return false;
    }
    return true;
}

static rmr_err self_set(const rmr_pol_net *net, pol_span list, uint64_t user_id,
                        pol_set *out)
{
    pol_span nodes = rmri_pol_nodes_of(net, user_id);
    rmri_pol_set_clear(out);
    for (uint32_t i = 0; i < nodes.n; i++) {
        const pol_node *n = *POL_AT(pol_node *, &net->by_user, nodes.first + i);
        if (!rmri_pol_any_is(net->comp, list, n))
            continue;
        for (int f = 0; f < 2; f++) {
            pol_range r = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
            if (n->has[f] && !rmri_pol_set_add(out, &net->alloc, &r))
                return RMR_E_NOMEM;
        }
    }
    rmri_pol_set_done(out);
    return RMR_OK;
}

/* Errors: BUFSIZE. */
static rmr_err write_text(pol_self *s)
{
    char text[POL_RANGE_TEXT_MAX];
    size_t len = 0;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(s->text.p, s->text.cap));
    rmr_jw_array(&w);
    for (uint32_t i = 0; i < s->set.r.n; i++)
        rmr_jw_str(&w,
                   rmri_pol_range_text(POL_AT(pol_range, &s->set.r, i), text));
    rmr_jw_array_end(&w);
    rmr_err err = rmr_jw_end(&w, &len);
    s->text.n = (uint32_t)len;
    return err;
}

static rmr_err self_text(pol_self *s, const rmr_alloc *a)
{
    rmr_err err = s->text.cap ? write_text(s) : RMR_E_BUFSIZE;
    while (err == RMR_E_BUFSIZE) {
        uint32_t room = s->text.cap ? s->text.cap * 2 : 256;
        s->text.n = 0;
        if (!rmri_pol_vec_reserve(&s->text, a, room))
            return RMR_E_NOMEM;
        err = write_text(s);
    }
    return err;
}

rmr_err rmri_pol_self_srcs(rmr_pol_net *net, const pol_line *l,
                           uint64_t user_id, const pol_self **out)
{
    pol_comp *c = net->comp;
    pol_src *src = POL_AT(pol_src, &c->srcs, l->src);
    pol_self *s = &src->self;
    *out = s;
    if (user_id && s->user == user_id && s->table == c->table)
        return RMR_OK;
    s->user = 0;
    rmr_err err = self_set(net, src->list, user_id, &s->set);
    if (!err)
        err = self_text(s, &net->alloc);
    if (err)
        return err;
    s->hash = rmri_pol_set_hash(&s->set);
    s->user = user_id;
    s->table = c->table;
    return RMR_OK;
}

/* ---- destinations --------------------------------------------------------------- */

static pol_span dsts(const pol_comp *c, const pol_line *l)
{
    return POL_AT(pol_rule, &c->pol->rules, l->rule)->dst;
}

/* For capabilities and via "*" is the tailnet's own addresses. */
bool rmri_pol_dst_is_all(const pol_line *l, const pol_alias *a)
{
    return a->kind == POL_STAR && l->what == POL_IP && l->whom == POL_EACH;
}

bool rmri_pol_dst_has_range(const pol_comp *c, const pol_line *l,
                            const pol_range *r)
{
    pol_span d = dsts(c, l);
    for (uint32_t i = 0; i < d.n; i++) {
        const pol_alias *a = rmri_pol_use(c->pol, d, i);
        if (rmri_pol_is_self(a))
            continue;
        if (rmri_pol_dst_is_all(l, a) ||
            rmri_pol_set_overlaps(rmri_pol_names_set(c, a), r))
            return true;
    }
    return false;
}

bool rmri_pol_dst_is_internet(const pol_comp *c, const pol_line *l)
{
    pol_span d = dsts(c, l);
    for (uint32_t i = 0; i < d.n; i++) {
        const pol_alias *a = rmri_pol_use(c->pol, d, i);
        if (rmri_pol_dst_is_all(l, a) ||
            (a->kind == POL_AUTO && a->autogroup == POL_AUTO_INTERNET) ||
            ((a->kind == POL_PREFIX ||
              (a->kind == POL_HOST && a->def != POL_NONE)) &&
             a->prefix.bits == 0))
            return true;
    }
    return false;
}

bool rmri_pol_dst_reaches(const pol_comp *c, const pol_line *l,
                          const pol_node *n)
{
    pol_range r;
    for (int f = 0; f < 2; f++) {
        r = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
        if (n->has[f] && rmri_pol_dst_has_range(c, l, &r))
            return true;
    }
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);) {
        if (rmri_pol_dst_has_range(c, l, &r))
            return true;
    }
    return n->exit && l->what == POL_IP && rmri_pol_dst_is_internet(c, l);
}

bool rmri_pol_via_has(const pol_comp *c, const pol_line *l, const pol_node *n)
{
    pol_span via = POL_AT(pol_rule, &c->pol->rules, l->rule)->via;
    for (uint32_t i = 0; i < via.n; i++) {
        if (rmri_pol_has_tag(n, rmri_pol_use(c->pol, via, i)->text))
            return true;
    }
    return false;
}
