/* A policy for a table: names become address sets, rules become lines.  A change
 * of the table only marks the names that it concerns; they are looked up again
 * when somebody asks. */
#include "pol_internal.h"

#include <string.h>

const char rmri_pol_companions[2][2][32] = {
    {"tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"},
    {"tailscale.com/cap/relay", "tailscale.com/cap/relay-target"},
};

static pol_names *names_at(const pol_comp *c, uint32_t id)
{
    return POL_AT(pol_names, &c->names, id);
}

const pol_alias *rmri_pol_alias(const pol_comp *c, pol_span uses, uint32_t i)
{
    return rmri_pol_use(c->pol, uses, i);
}

const pol_set *rmri_pol_names_set(const pol_comp *c, const pol_alias *alias)
{
    return &names_at(c, alias->id)->set;
}

/* ---- who a name stands for ------------------------------------------------- */

static bool in_group(const pol_comp *c, const pol_alias *g, uint64_t user_id)
{
    if (g->def == POL_NONE || user_id == 0)
        return false;
    pol_span list = POL_AT(pol_def, &c->pol->groups, g->def)->list;
    for (uint32_t i = 0; i < list.n; i++) {
        if (names_at(c, rmri_pol_use(c->pol, list, i)->id)->user == user_id)
            return true;
    }
    return false;
}

static bool has_address_in(const pol_node *n, const pol_range *r, uint32_t n_r)
{
    for (int f = 0; f < 2; f++) {
        pol_range one = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
        for (uint32_t i = 0; i < n_r && n->has[f]; i++) {
            if (rmri_pol_range_overlaps(&r[i], &one))
                return true;
        }
    }
    return false;
}

bool rmri_pol_is(const pol_comp *c, const pol_alias *alias, const pol_node *n)
{
    pol_range r;
    bool tagged = n->n_tags != 0;
    switch (alias->kind) {
    case POL_STAR:
        return has_address_in(n, rmri_pol_tailnet, 3);
    case POL_USER:
        return !tagged && n->user_id &&
               names_at(c, alias->id)->user == n->user_id;
    case POL_GROUP:
        return !tagged && in_group(c, alias, n->user_id);
    case POL_TAG:
        return rmri_pol_has_tag(n, alias->text);
    case POL_AUTO:
        if (alias->autogroup == POL_AUTO_INTERNET)
            return has_address_in(n, rmri_pol_internet, rmri_pol_n_internet);
        return alias->autogroup == POL_AUTO_DANGER ||
               (alias->autogroup == POL_AUTO_MEMBER && !tagged) ||
               (alias->autogroup == POL_AUTO_TAGGED && tagged);
    default: /* PREFIX, HOST */
        if (alias->kind == POL_HOST && alias->def == POL_NONE)
            return false;
        r = rmri_pol_range_of(&alias->prefix);
        return has_address_in(n, &r, 1);
    }
}

bool rmri_pol_any_is(const pol_comp *c, pol_span uses, const pol_node *n)
{
    for (uint32_t i = 0; i < uses.n; i++) {
        if (rmri_pol_is(c, rmri_pol_use(c->pol, uses, i), n))
            return true;
    }
    return false;
}

/* ---- users -------------------------------------------------------------------- */

/* The "@" that makes a name a user's is not part of it. */
static rmr_bytes user_token(const pol_alias *a)
{
    rmr_bytes t = a->text;
    if (t.len && t.ptr[t.len - 1] == '@')
        t.len--;
    return t;
}

static bool user_matches(const pol_user *u, rmr_bytes token)
{
    return rmr_bytes_eq(u->name, token) || rmr_bytes_eq(u->provider, token) ||
           rmr_bytes_eq(u->email, token);
}

static void resolve_user(pol_comp *c, const rmr_pol_net *net,
                         const pol_alias *a)
{
    pol_names *names = names_at(c, a->id);
    c->ambiguous -= names->ambiguous;
    names->user = rmri_pol_whose(net, user_token(a), &names->ambiguous);
    c->ambiguous += names->ambiguous;
    names->stale = c->stale = true;
}

bool rmr_pol_net_names(const rmr_pol_net *net, const rmr_pol_user *user)
{
    const rmr_pol *pol = net->comp->pol;
    const pol_user u = {
        .name = user->name, .email = user->email, .provider = user->provider};
    for (uint32_t i = 0; i < pol->aliases.n; i++) {
        const pol_alias *a = POL_AT(pol_alias, &pol->aliases, i);
        if (a->kind == POL_USER && user_matches(&u, user_token(a)))
            return true;
    }
    return user->email.len && rmri_pol_ssh_has_localpart(pol);
}

void rmri_pol_comp_user(pol_comp *c, const rmr_pol_net *net, const pol_user *u)
{
    bool any = false;
    c->table++;
    for (uint32_t i = 0; i < c->names.n; i++) {
        const pol_alias *a = POL_AT(pol_alias, &c->pol->aliases, i);
        if (a->kind != POL_USER || !user_matches(u, user_token(a)))
            continue;
        resolve_user(c, net, a);
        any = true;
    }
    for (uint32_t i = 0; i < c->names.n && any; i++) {
        if (POL_AT(pol_alias, &c->pol->aliases, i)->kind == POL_GROUP)
            names_at(c, i)->stale = true;
    }
}

void rmri_pol_comp_node(pol_comp *c, const pol_node *n)
{
    c->table++;
    for (uint32_t i = 0; i < c->names.n; i++) {
        const pol_alias *a = POL_AT(pol_alias, &c->pol->aliases, i);
        pol_names *names = names_at(c, i);
        if (!names->used || names->stale || a->kind == POL_PREFIX ||
            a->kind == POL_HOST || a->kind == POL_STAR || !rmri_pol_is(c, a, n))
            continue;
        names->stale = c->stale = true;
    }
}

/* ---- sets ------------------------------------------------------------------------ */

static bool add_node(pol_set *s, const rmr_alloc *a, const pol_node *n)
{
    for (int f = 0; f < 2; f++) {
        pol_range r = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
        if (n->has[f] && !rmri_pol_set_add(s, a, &r))
            return false;
    }
    return true;
}

static bool add_user(pol_set *s, const rmr_pol_net *net, uint64_t user)
{
    if (user == 0)
        return true;
    pol_span list = rmri_pol_nodes_of(net, user);
    for (uint32_t i = 0; i < list.n; i++) {
        const pol_node *n = *POL_AT(pol_node *, &net->by_user, list.first + i);
        if (!add_node(s, &net->alloc, n))
            return false;
    }
    return true;
}

static bool add_group(const pol_comp *c, pol_set *s, const rmr_pol_net *net,
                      const pol_alias *g)
{
    if (g->def == POL_NONE)
        return true;
    pol_span list = POL_AT(pol_def, &c->pol->groups, g->def)->list;
    for (uint32_t i = 0; i < list.n; i++) {
        uint32_t id = rmri_pol_use(c->pol, list, i)->id;
        if (!add_user(s, net, names_at(c, id)->user))
            return false;
    }
    return true;
}

static bool add_ranges(pol_set *s, const rmr_alloc *a, const pol_range *r,
                       uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!rmri_pol_set_add(s, a, &r[i]))
            return false;
    }
    return true;
}

/* By address, so that neighbours are joined as they come. */
static bool add_matching(const pol_comp *c, pol_set *s, const rmr_pol_net *net,
                         const pol_alias *alias)
{
    for (int f = 0; f < 2; f++) {
        for (uint32_t i = 0; i < net->addrs[f].n; i++) {
            const pol_addr_entry *e = POL_AT(pol_addr_entry, &net->addrs[f], i);
            pol_range r = rmri_pol_range_one(rmri_pol_family[f], e->ip);
            if (rmri_pol_is(c, alias, e->node) &&
                !rmri_pol_set_add(s, &net->alloc, &r))
                return false;
        }
    }
    return true;
}

static bool fill(const pol_comp *c, pol_set *s, const rmr_pol_net *net,
                 const pol_alias *alias)
{
    const rmr_alloc *a = &net->alloc;
    pol_range r;
    switch (alias->kind) {
    case POL_STAR:
        return add_ranges(s, a, rmri_pol_tailnet, 3);
    case POL_USER:
        return add_user(s, net, names_at(c, alias->id)->user);
    case POL_GROUP:
        return add_group(c, s, net, alias);
    case POL_PREFIX:
    case POL_HOST:
        if (alias->kind == POL_HOST && alias->def == POL_NONE)
            return true;
        r = rmri_pol_range_of(&alias->prefix);
        return rmri_pol_set_add(s, a, &r);
    case POL_AUTO:
        if (alias->autogroup == POL_AUTO_INTERNET)
            return add_ranges(s, a, rmri_pol_internet, rmri_pol_n_internet);
        if (alias->autogroup == POL_AUTO_DANGER)
            return add_ranges(s, a, rmri_pol_all, 2);
        return add_matching(c, s, net, alias);
    default:
        return add_matching(c, s, net, alias);
    }
}

static int extra_by_range(const void *a, const void *b, const void *ctx)
{
    const pol_extra *x = a, *y = b;
    int c = rmri_pol_range_cmp(&x->r, &y->r, ctx);
    return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int extra_by_order(const void *a, const void *b, const void *ctx)
{
    const pol_extra *x = a, *y = b;
    (void)ctx;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool collect_extra(const pol_comp *c, pol_src *s, const rmr_alloc *a)
{
    for (uint32_t i = 0; i < s->list.n; i++) {
        const pol_alias *alias = rmri_pol_use(c->pol, s->list, i);
        const pol_set *set = rmri_pol_names_set(c, alias);
        for (uint32_t k = 0; k < set->r.n && alias->kind != POL_STAR; k++) {
            const pol_range *r = POL_AT(pol_range, &set->r, k);
            if (rmri_pol_set_has_range(&s->all, r))
                continue;
            pol_extra *e = rmri_pol_vec_add(&s->extra, a);
            if (!e)
                return false;
            e->r = *r;
            e->order = s->extra.n;
        }
    }
    return true;
}

/* Each once, at its first place. */
static bool make_extra(const pol_comp *c, pol_src *s, const rmr_alloc *a)
{
    uint32_t n = 0;
    s->extra.n = 0;
    if (!s->star || s->danger)
        return true;
    if (!collect_extra(c, s, a))
        return false;
    rmri_pol_sort(s->extra.p, s->extra.n, sizeof(pol_extra), extra_by_range,
                  NULL);
    for (uint32_t i = 0; i < s->extra.n; i++) {
        pol_extra e = *POL_AT(pol_extra, &s->extra, i);
        if (n == 0 ||
            rmri_pol_range_cmp(&POL_AT(pol_extra, &s->extra, n - 1)->r, &e.r,
                               NULL) != 0)
            *POL_AT(pol_extra, &s->extra, n++) = e;
    }
    s->extra.n = n;
    rmri_pol_sort(s->extra.p, n, sizeof(pol_extra), extra_by_order, NULL);
    return true;
}

static bool make_src(const pol_comp *c, pol_src *s, const rmr_alloc *a)
{
    rmri_pol_set_clear(&s->all);
    for (uint32_t i = 0; i < s->list.n; i++) {
        const pol_alias *alias = rmri_pol_use(c->pol, s->list, i);
        if (!rmri_pol_set_add_all(&s->all, a, rmri_pol_names_set(c, alias)))
            return false;
    }
    rmri_pol_set_done(&s->all);
    s->hash = rmri_pol_set_hash(&s->all) ^ (uint64_t)(s->star ? 1 : 0) ^
              (uint64_t)(s->danger ? 2 : 0);
    return make_extra(c, s, a);
}

rmr_err rmri_pol_comp_fresh(pol_comp *c, const rmr_pol_net *net)
{
    if (!c->stale)
        return RMR_OK;
    for (uint32_t i = 0; i < c->names.n; i++) {
        pol_names *names = names_at(c, i);
        if (!names->used || !names->stale)
            continue;
        names->changed = true;
        rmri_pol_set_clear(&names->set);
        if (!fill(c, &names->set, net, POL_AT(pol_alias, &c->pol->aliases, i)))
            return RMR_E_NOMEM;
        rmri_pol_set_done(&names->set);
        names->stale = false;
    }
    for (uint32_t i = 0; i < c->srcs.n; i++) {
        pol_src *s = POL_AT(pol_src, &c->srcs, i);
        bool changed = false;
        for (uint32_t k = 0; k < s->list.n && s->used && !changed; k++)
            changed =
                names_at(c, rmri_pol_use(c->pol, s->list, k)->id)->changed;
        if (changed && !make_src(c, s, &net->alloc))
            return RMR_E_NOMEM;
    }
    for (uint32_t i = 0; i < c->names.n; i++)
        names_at(c, i)->changed = false;
    c->stale = false;
    return RMR_OK;
}

/* ---- lines ------------------------------------------------------------------------ */

static bool add_line(pol_comp *c, const rmr_alloc *a, pol_line line)
{
    pol_line *l = rmri_pol_vec_add(&c->lines, a);
    if (!l)
        return false;
    *l = line;
    return true;
}

static bool has_cap(const rmr_pol *pol, const pol_rule *rule, const char *name)
{
    for (uint32_t i = 0; i < rule->caps.n; i++) {
        const pol_cap *cap = POL_AT(pol_cap, &pol->caps, rule->caps.first + i);
        if (rmr_bytes_eq_str(cap->name, name))
            return true;
    }
    return false;
}

/* What a rule says to some destinations: ports first, then capabilities. */
static bool add_lines(pol_comp *c, const rmr_alloc *a, uint32_t rule,
                      uint32_t src, uint8_t whom)
{
    const pol_rule *r = POL_AT(pol_rule, &c->pol->rules, rule);
    for (uint32_t i = 0; i < r->ip.n; i++) {
        pol_line l = {src, rule, r->ip.first + i, POL_IP, whom, 0};
        if (!add_line(c, a, l))
            return false;
    }
    if (!r->has_caps || whom == POL_VIA)
        return true;
    pol_line cap = {src, rule, 0, POL_CAP, whom, 0};
    if (!add_line(c, a, cap))
        return false;
    for (uint8_t i = 0; i < 2; i++) {
        pol_line l = {src, rule, 0, POL_COMPANION, whom, i};
        if (has_cap(c->pol, r, rmri_pol_companions[i][0]) && !add_line(c, a, l))
            return false;
    }
    return true;
}

/* The sources of a rule; those of one ACL are the same for all of its rules. */
static bool add_src(pol_comp *c, const rmr_alloc *a, const pol_rule *r)
{
    if (c->srcs.n) {
        pol_span last = POL_AT(pol_src, &c->srcs, c->srcs.n - 1)->list;
        if (last.first == r->src.first && last.n == r->src.n)
            return true;
    }
    pol_src *s = rmri_pol_vec_add(&c->srcs, a);
    if (!s)
        return false;
    rmri_pol_set_init(&s->all);
    rmri_pol_set_init(&s->self.set);
    s->self.text.size = 1;
    s->extra.size = sizeof(pol_extra);
    s->list = r->src;
    for (uint32_t i = 0; i < r->src.n; i++) {
        const pol_alias *alias = rmri_pol_use(c->pol, r->src, i);
        s->star |= alias->kind == POL_STAR;
        s->danger |=
            alias->kind == POL_AUTO && alias->autogroup == POL_AUTO_DANGER;
    }
    return true;
}

/* autogroup:self alone needs no sets, be the tailnet as large as it may. */
void rmri_pol_comp_use(pol_comp *c, pol_span uses)
{
    for (uint32_t i = 0; i < uses.n; i++) {
        const pol_alias *a = rmri_pol_use(c->pol, uses, i);
        if (!rmri_pol_is_self(a))
            names_at(c, a->id)->used = true;
    }
}

static bool add_rule(pol_comp *c, const rmr_alloc *a, uint32_t i)
{
    const pol_rule *r = POL_AT(pol_rule, &c->pol->rules, i);
    bool self = false, other = false;
    if (r->src.n == 0 || r->dst.n == 0)
        return true;
    for (uint32_t k = 0; k < r->dst.n; k++) {
        bool is_self = rmri_pol_is_self(rmri_pol_use(c->pol, r->dst, k));
        self |= is_self;
        other |= !is_self;
    }
    if (!add_src(c, a, r))
        return false;
    uint32_t src = c->srcs.n - 1;
    if (r->via.n || other) {
        rmri_pol_comp_use(c, r->src);
        rmri_pol_comp_use(c, r->dst);
        POL_AT(pol_src, &c->srcs, src)->used = true;
    }
    if (r->via.n)
        return add_lines(c, a, i, src, POL_VIA);
    return (!other || add_lines(c, a, i, src, POL_EACH)) &&
           (!self || add_lines(c, a, i, src, POL_SELF));
}

/* Grants come before ACLs, wherever the document has them. */
static bool add_rules(pol_comp *c, const rmr_alloc *a, bool acls)
{
    for (uint32_t i = 0; i < c->pol->rules.n; i++) {
        bool acl = POL_AT(pol_rule, &c->pol->rules, i)->acl != POL_NONE;
        if (acl == acls && !add_rule(c, a, i))
            return false;
    }
    return true;
}

static bool comp_fill(pol_comp *c, const rmr_pol_net *net)
{
    const rmr_alloc *a = &net->alloc;
    uint32_t n = c->pol->aliases.n;
    if (!rmri_pol_vec_reserve(&c->names, a, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        pol_names *names = rmri_pol_vec_add(&c->names, a);
        rmri_pol_set_init(&names->set);
        names->stale = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        const pol_alias *alias = POL_AT(pol_alias, &c->pol->aliases, i);
        if (alias->kind == POL_USER)
            resolve_user(c, net, alias);
    }
    c->stale = true;
    return add_rules(c, a, false) && add_rules(c, a, true);
}

rmr_err rmri_pol_comp_new(pol_comp **out, const rmr_pol_net *net, rmr_pol *pol)
{
    pol_comp *c = rmr_alloc_zero(&net->alloc, sizeof *c, 16);
    if (!c)
        return RMR_E_NOMEM;
    c->pol = pol;
    c->names.size = sizeof(pol_names);
    c->srcs.size = sizeof(pol_src);
    c->lines.size = sizeof(pol_line);
    if (!comp_fill(c, net)) {
        rmri_pol_comp_free(c, &net->alloc, false);
        return RMR_E_NOMEM;
    }
    *out = c;
    return RMR_OK;
}

void rmri_pol_comp_free(pol_comp *c, const rmr_alloc *a, bool with_pol)
{
    for (uint32_t i = 0; i < c->names.n; i++)
        rmri_pol_set_free(&names_at(c, i)->set, a);
    for (uint32_t i = 0; i < c->srcs.n; i++) {
        pol_src *s = POL_AT(pol_src, &c->srcs, i);
        rmri_pol_set_free(&s->all, a);
        rmri_pol_set_free(&s->self.set, a);
        rmri_pol_vec_free(&s->self.text, a);
        rmri_pol_vec_free(&s->extra, a);
    }
    rmri_pol_vec_free(&c->names, a);
    rmri_pol_vec_free(&c->srcs, a);
    rmri_pol_vec_free(&c->lines, a);
    if (with_pol)
        rmr_pol_free(c->pol);
    rmr_release(a, c, sizeof *c);
}

rmr_err rmr_pol_net_set(rmr_pol_net *net, rmr_pol *pol)
{
    rmr_pol *own = NULL;
    pol_comp *c;
    rmr_err err = RMR_OK;
    if (!pol) {
        err = rmr_pol_parse(&own, &net->alloc, rmr_bytes_str(RMR_POL_ISOLATED),
                            NULL);
        pol = own;
    }
    if (!err)
        err = rmri_pol_comp_new(&c, net, pol);
    if (err) {
        rmr_pol_free(own);
        return err;
    }
    if (net->comp)
        rmri_pol_comp_free(net->comp, &net->alloc, true);
    net->comp = c;
    return RMR_OK;
}

const rmr_pol *rmr_pol_net_policy(const rmr_pol_net *net)
{
    return net->comp->pol;
}
