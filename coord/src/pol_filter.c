/* The packet filter of a node: the lines of the policy, each with those of its
 * destinations that the node is or serves. */
#include "pol_internal.h"

#include <string.h>

/* A line that says something to the node. */
typedef struct hit {
    const pol_line *line;
    const pol_src *src;
    const pol_self *self; /* the sources of a POL_SELF line */
    uint64_t hash;
    uint32_t next; /* of the same bucket */
    bool written;
} hit;

typedef struct filter {
    rmr_pol_net *net;
    const pol_comp *c;
    const pol_node *node; /* NULL: all of the tailnet */
    pol_vec hits;
    pol_vec buckets; /* uint32_t: the first hit */
    rmr_jw *w;
} filter;

/* ---- which destinations stay ------------------------------------------------- */

static bool is_address(const pol_node *n, const pol_range *p)
{
    for (int f = 0; f < 2; f++) {
        pol_range one = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
        if (n->has[f] && rmri_pol_range_overlaps(p, &one))
            return true;
    }
    return false;
}

static bool is_route(const pol_node *n, const pol_range *p)
{
    pol_range r;
    for (uint32_t i = 0; rmri_pol_next_route(n, &i, &r);) {
        if (rmri_pol_range_overlaps(&r, p))
            return true;
    }
    return false;
}

static bool is_public(const pol_range *p)
{
    for (uint32_t i = 0; i < rmri_pol_n_internet; i++) {
        if (rmri_pol_range_within(p, &rmri_pol_internet[i]))
            return true;
    }
    return false;
}

static bool is_internet(const pol_alias *a)
{
    return a->kind == POL_AUTO && a->autogroup == POL_AUTO_INTERNET;
}

static bool stays(const filter *f, const pol_line *l, const pol_alias *a,
                  const pol_range *p)
{
    const pol_node *n = f->node;
    if (!n)
        return true;
    if (l->whom == POL_VIA) /* it is a router here, not a destination */
        return is_internet(a) ? n->exit : is_route(n, p);
    return is_address(n, p) || is_route(n, p) || (n->exit && is_public(p));
}

/* ---- destinations with ports --------------------------------------------------- */

static void write_port(rmr_jw *w, const char *ip, const pol_ports *p)
{
    rmr_jw_object(w);
    rmr_jw_kstr(w, "IP", ip);
    rmr_jw_key(w, "Ports");
    rmr_jw_object(w);
    rmr_jw_kint(w, "First", p->first);
    rmr_jw_kint(w, "Last", p->last);
    rmr_jw_object_end(w);
    rmr_jw_object_end(w);
}

static void write_ports(const filter *f, const pol_line *l, const char *ip)
{
    const rmr_pol *pol = f->c->pol;
    pol_span s = POL_AT(pol_ip_entry, &pol->ips, l->ip)->ports;
    for (uint32_t i = 0; i < s.n; i++)
        write_port(f->w, ip, POL_AT(pol_ports, &pol->ports, s.first + i));
}

/* The prefixes of one range; true: there was one.  Without `write` it stops at
 * the first. */
static bool range_dsts(const filter *f, const pol_line *l, const pol_alias *a,
                       const pol_range *r, bool write)
{
    pol_range rest = *r, p;
    char text[POL_RANGE_TEXT_MAX];
    bool any = false, more = true;
    while (more) {
        more = rmri_pol_range_split(&rest, &p);
        if (!stays(f, l, a, &p))
            continue;
        any = true;
        if (!write)
            return true;
        write_ports(f, l, rmri_pol_range_text(&p, text));
    }
    return any;
}

/* A node that routes nothing is only in the ranges of its two addresses, of
 * which each is in one at most. */
static bool address_dsts(const filter *f, const pol_line *l, const pol_alias *a,
                         const pol_set *s, bool write)
{
    bool any = false;
    for (int k = 0; k < 2; k++) {
        pol_range one = rmri_pol_range_one(rmri_pol_family[k], f->node->ip[k]);
        uint32_t i = f->node->has[k] ? rmri_pol_set_find(s, &one) : s->r.n;
        if (i < s->r.n)
            any |= range_dsts(f, l, a, POL_AT(pol_range, &s->r, i), write);
    }
    return any;
}

static bool alias_dsts(const filter *f, const pol_line *l, const pol_alias *a,
                       bool write)
{
    if (rmri_pol_is_self(a))
        return false;
    if (rmri_pol_dst_is_all(l, a)) {
        if (write)
            write_ports(f, l, "*");
        return true;
    }
    const pol_set *s = rmri_pol_names_set(f->c, a);
    if (f->node && f->node->n_routes == 0)
        return address_dsts(f, l, a, s, write);
    bool any = false;
    for (uint32_t i = 0; i < s->r.n && (write || !any); i++)
        any |= range_dsts(f, l, a, POL_AT(pol_range, &s->r, i), write);
    return any;
}

/* autogroup:self: the node itself. */
static void self_dsts(const filter *f, const pol_line *l)
{
    const rmr_pol *pol = f->c->pol;
    pol_span s = POL_AT(pol_ip_entry, &pol->ips, l->ip)->ports;
    char text[POL_RANGE_TEXT_MAX];
    for (uint32_t i = 0; i < s.n; i++) {
        for (int k = 0; k < 2; k++) {
            pol_range one =
                rmri_pol_range_one(rmri_pol_family[k], f->node->ip[k]);
            if (f->node->has[k])
                write_port(f->w, rmri_pol_range_text(&one, text),
                           POL_AT(pol_ports, &pol->ports, s.first + i));
        }
    }
}

static bool port_dsts(const filter *f, const pol_line *l, bool write)
{
    pol_span d = POL_AT(pol_rule, &f->c->pol->rules, l->rule)->dst;
    bool any = false;
    if (l->whom == POL_SELF) {
        if (write)
            self_dsts(f, l);
        return true;
    }
    const pol_alias *internet = NULL;
    for (uint32_t i = 0; i < d.n && (write || !any); i++) {
        const pol_alias *a = rmri_pol_alias(f->c, d, i);
        if (l->whom == POL_VIA && is_internet(a))
            internet = a; /* once, behind the others */
        else
            any |= alias_dsts(f, l, a, write);
    }
    if (internet && (write || !any))
        any |= alias_dsts(f, l, internet, write);
    return any;
}

/* ---- destinations of capabilities --------------------------------------------------- */

/* A prefix narrowed to the node's addresses; as it is where it is served. */
static bool cap_prefix(const filter *f, const pol_range *p, bool write)
{
    char text[RMR_PREFIX_TEXT_MAX];
    bool single = rmri_pol_ip_cmp(p->a, p->b) == 0, any = false;
    if (!f->node || is_route(f->node, p) ||
        (single && is_address(f->node, p))) {
        any = true;
        if (write)
            rmr_jw_str(f->w, rmri_pol_prefix_text(p, text));
    }
    for (int k = 0; k < 2 && f->node && !single; k++) {
        pol_range one = rmri_pol_range_one(rmri_pol_family[k], f->node->ip[k]);
        if (!f->node->has[k] || !rmri_pol_range_overlaps(&one, p))
            continue;
        any = true;
        if (write)
            rmr_jw_str(f->w, rmri_pol_prefix_text(&one, text));
    }
    return any;
}

static bool cap_range(const filter *f, const pol_range *r, bool write)
{
    pol_range rest = *r, p;
    bool any = false, more = true;
    while (more) {
        more = rmri_pol_range_split(&rest, &p);
        any |= cap_prefix(f, &p, write);
    }
    return any;
}

static bool cap_dsts(const filter *f, const pol_set *s, bool write)
{
    bool any = false;
    bool few = f->node && f->node->n_routes == 0;
    for (uint32_t i = 0; i < s->r.n && !few; i++)
        any |= cap_range(f, POL_AT(pol_range, &s->r, i), write);
    for (int k = 0; k < 2 && few; k++) { /* as in address_dsts */
        pol_range one = rmri_pol_range_one(rmri_pol_family[k], f->node->ip[k]);
        uint32_t i = f->node->has[k] ? rmri_pol_set_find(s, &one) : s->r.n;
        if (i < s->r.n)
            any |= cap_range(f, POL_AT(pol_range, &s->r, i), write);
    }
    return any;
}

static void write_caps(const filter *f, const pol_line *l)
{
    const rmr_pol *pol = f->c->pol;
    pol_span caps = POL_AT(pol_rule, &pol->rules, l->rule)->caps;
    rmr_jw_key(f->w, "CapMap");
    rmr_jw_object(f->w);
    for (uint32_t i = 0; i < caps.n && l->what == POL_CAP; i++) {
        const pol_cap *c = POL_AT(pol_cap, &pol->caps, caps.first + i);
        rmr_jw_key_bytes(f->w, c->name);
        rmr_jw_raw(f->w, c->value);
    }
    if (l->what == POL_COMPANION) {
        rmr_jw_key(f->w, rmri_pol_companions[l->companion][1]);
        rmr_jw_null(f->w);
    }
    rmr_jw_object_end(f->w);
}

static bool cap_grant(const filter *f, const pol_line *l, const pol_set *dsts,
                      bool write)
{
    if (!cap_dsts(f, dsts, false))
        return false;
    if (!write)
        return true;
    rmr_jw_object(f->w);
    rmr_jw_key(f->w, "Dsts");
    rmr_jw_array(f->w);
    cap_dsts(f, dsts, true);
    rmr_jw_array_end(f->w);
    write_caps(f, l);
    rmr_jw_object_end(f->w);
    return true;
}

/* The node's own addresses, for autogroup:self. */
static void self_set(const filter *f, pol_range own[2], pol_set *out)
{
    rmri_pol_set_init(out);
    out->r.p = own;
    for (int k = 0; k < 2; k++) {
        if (f->node->has[k])
            own[out->r.n++] =
                rmri_pol_range_one(rmri_pol_family[k], f->node->ip[k]);
    }
}

/* A companion goes the other way: to the sources. */
static bool cap_grants(const filter *f, const hit *h, bool write)
{
    const pol_line *l = h->line;
    pol_span d = POL_AT(pol_rule, &f->c->pol->rules, l->rule)->dst;
    bool any = false;
    if (l->what == POL_COMPANION)
        return cap_grant(
            f, l, l->whom == POL_SELF ? &h->self->set : &h->src->all, write);
    if (l->whom == POL_SELF) {
        pol_range own[2];
        pol_set self;
        self_set(f, own, &self);
        return cap_grant(f, l, &self, write);
    }
    for (uint32_t i = 0; i < d.n && (write || !any); i++) {
        const pol_alias *a = rmri_pol_alias(f->c, d, i);
        if (!rmri_pol_is_self(a))
            any |= cap_grant(f, l, rmri_pol_names_set(f->c, a), write);
    }
    return any;
}

/* ---- sources ---------------------------------------------------------------------------- */

static void write_ranges(const filter *f, const pol_set *s)
{
    char text[POL_RANGE_TEXT_MAX];
    for (uint32_t i = 0; i < s->r.n; i++)
        rmr_jw_str(f->w,
                   rmri_pol_range_text(POL_AT(pol_range, &s->r, i), text));
}

/* All approved subnet routes, each once. */
static void write_routes(const filter *f)
{
    char text[RMR_PREFIX_TEXT_MAX];
    const pol_range *last = NULL;
    for (uint32_t i = 0; i < f->net->routes.n; i++) {
        const pol_range *r = &POL_AT(pol_route_entry, &f->net->routes, i)->r;
        if (!last || rmri_pol_range_cmp(last, r, NULL) != 0)
            rmr_jw_str(f->w, rmri_pol_prefix_text(r, text));
        last = r;
    }
}

static bool is_any_route(const filter *f, const pol_range *r)
{
    uint32_t lo = 0, hi = f->net->routes.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = rmri_pol_range_cmp(
            &POL_AT(pol_route_entry, &f->net->routes, mid)->r, r, NULL);
        if (c == 0)
            return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* Beside "*" the other sources stand again, but where the same text is there
 * already. */
static void write_extra(const filter *f, const pol_src *s)
{
    char text[POL_RANGE_TEXT_MAX];
    for (uint32_t i = 0; i < s->extra.n; i++) {
        const pol_range *r = &POL_AT(pol_extra, &s->extra, i)->r;
        if (!is_any_route(f, r))
            rmr_jw_str(f->w, rmri_pol_range_text(r, text));
    }
}

static void write_src(const filter *f, const pol_src *s)
{
    if (s->danger) {
        rmr_jw_str(f->w, "*");
        return;
    }
    write_ranges(f, &s->all);
    if (!s->star)
        return;
    write_routes(f);
    write_extra(f, s);
}

static void write_own_nodes(const filter *f)
{
    char text[POL_RANGE_TEXT_MAX];
    pol_span nodes = rmri_pol_nodes_of(f->net, f->node->user_id);
    for (uint32_t i = 0; i < nodes.n; i++) {
        const pol_node *n =
            *POL_AT(pol_node *, &f->net->by_user, nodes.first + i);
        for (int k = 0; k < 2; k++) {
            pol_range one = rmri_pol_range_one(rmri_pol_family[k], n->ip[k]);
            if (n->has[k])
                rmr_jw_str(f->w, rmri_pol_range_text(&one, text));
        }
    }
}

/* The sources of a companion are the destinations of its grant. */
static void write_dsts_as_src(const filter *f, const pol_line *l)
{
    pol_span d = POL_AT(pol_rule, &f->c->pol->rules, l->rule)->dst;
    bool star = false;
    for (uint32_t i = 0; i < d.n; i++) {
        const pol_alias *a = rmri_pol_alias(f->c, d, i);
        star |= a->kind == POL_STAR;
        if (!rmri_pol_is_self(a))
            write_ranges(f, rmri_pol_names_set(f->c, a));
    }
    if (star)
        write_routes(f);
}

static void write_srcs(const filter *f, const hit *h)
{
    bool self = h->line->whom == POL_SELF && h->line->what != POL_COMPANION;
    rmr_jw_key(f->w, "SrcIPs");
    if (self) {
        rmr_jw_raw(f->w, rmr_bytes_of(h->self->text.p, h->self->text.n));
        return;
    }
    rmr_jw_array(f->w);
    if (h->line->what == POL_COMPANION && h->line->whom == POL_SELF)
        write_own_nodes(f);
    else if (h->line->what == POL_COMPANION)
        write_dsts_as_src(f, h->line);
    else
        write_src(f, h->src);
    rmr_jw_array_end(f->w);
}

/* ---- which lines there are ----------------------------------------------------------- */

/* Whether the line says anything to the node; *h is filled but for hash. */
static rmr_err look(filter *f, const pol_line *l, hit *h, bool *out)
{
    *out = false;
    h->line = l;
    h->src = POL_AT(pol_src, &f->c->srcs, l->src);
    if (l->whom == POL_SELF) {
        if (!f->node || f->node->n_tags)
            return RMR_OK;
        rmr_err err = rmri_pol_self_srcs(f->net, l, f->node->user_id, &h->self);
        if (err || h->self->set.r.n == 0)
            return err;
    } else if (l->what == POL_IP && rmri_pol_src_is_empty(h->src)) {
        return RMR_OK;
    }
    if (l->whom == POL_VIA && (!f->node || !rmri_pol_via_has(f->c, l, f->node)))
        return RMR_OK;
    *out = l->what == POL_IP ? port_dsts(f, l, false) : cap_grants(f, h, false);
    return RMR_OK;
}

static rmr_err collect(filter *f)
{
    const rmr_alloc *a = &f->net->alloc;
    hit h;
    memset(&h, 0, sizeof h);
    rmr_err err = RMR_OK;
    for (uint32_t i = 0; i < f->c->lines.n && !err; i++) {
        const pol_line *l = POL_AT(pol_line, &f->c->lines, i);
        bool says;
        err = look(f, l, &h, &says);
        if (err || !says)
            continue;
        hit *p = rmri_pol_vec_add(&f->hits, a);
        if (!p) {
            err = RMR_E_NOMEM;
            continue;
        }
        *p = h;
        p->hash = l->whom == POL_SELF ? h.self->hash : h.src->hash;
        p->next = POL_NONE;
    }
    return err;
}

/* ---- joining ----------------------------------------------------------------------------- */

static int16_t proto_of(const filter *f, const hit *h)
{
    return POL_AT(pol_ip_entry, &f->c->pol->ips, h->line->ip)->proto;
}

static uint32_t bucket_of(const filter *f, const hit *h)
{
    uint64_t x =
        (h->hash ^ (uint64_t)(proto_of(f, h) + 1)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(x >> 32) & (f->buckets.n - 1);
}

/* Each bucket has its hits in the order of the lines. */
static rmr_err index_hits(filter *f)
{
    uint32_t n = 1;
    while (n < f->hits.n)
        n *= 2;
    if (!rmri_pol_vec_reserve(&f->buckets, &f->net->alloc, n))
        return RMR_E_NOMEM;
    f->buckets.n = n;
    for (uint32_t i = 0; i < n; i++)
        *POL_AT(uint32_t, &f->buckets, i) = POL_NONE;
    for (uint32_t i = f->hits.n; i-- > 0;) {
        hit *h = POL_AT(hit, &f->hits, i);
        if (h->line->what != POL_IP)
            continue;
        uint32_t *b = POL_AT(uint32_t, &f->buckets, bucket_of(f, h));
        h->next = *b;
        *b = i;
    }
    return RMR_OK;
}

/* Same sources and protocol: self and other sources may be alike too. */
static bool alike(const filter *f, const hit *a, const hit *b)
{
    bool self_a = a->line->whom == POL_SELF, self_b = b->line->whom == POL_SELF;
    if (proto_of(f, a) != proto_of(f, b))
        return false;
    if (!self_a && !self_b)
        return rmri_pol_src_eq(a->src, b->src);
    if ((!self_a && (a->src->star || a->src->danger)) ||
        (!self_b && (b->src->star || b->src->danger)))
        return false;
    return rmri_pol_set_eq(self_a ? &a->self->set : &a->src->all,
                           self_b ? &b->self->set : &b->src->all);
}

static void write_ip_rule(const filter *f, hit *first)
{
    rmr_jw_object(f->w);
    write_srcs(f, first);
    rmr_jw_key(f->w, "DstPorts");
    rmr_jw_array(f->w);
    uint32_t i = *POL_AT(uint32_t, &f->buckets, bucket_of(f, first));
    while (i != POL_NONE) {
        hit *h = POL_AT(hit, &f->hits, i);
        if (!h->written && alike(f, first, h)) {
            port_dsts(f, h->line, true);
            h->written = true;
        }
        i = h->next;
    }
    rmr_jw_array_end(f->w);
    if (proto_of(f, first) >= 0) {
        rmr_jw_key(f->w, "IPProto");
        rmr_jw_array(f->w);
        rmr_jw_int(f->w, proto_of(f, first));
        rmr_jw_array_end(f->w);
    }
    rmr_jw_object_end(f->w);
}

static void write_cap_rule(const filter *f, const hit *h)
{
    rmr_jw_object(f->w);
    write_srcs(f, h);
    rmr_jw_key(f->w, "CapGrant");
    rmr_jw_array(f->w);
    cap_grants(f, h, true);
    rmr_jw_array_end(f->w);
    rmr_jw_object_end(f->w);
}

static void write_all(const filter *f)
{
    rmr_jw_array(f->w);
    for (uint32_t i = 0; i < f->hits.n; i++) {
        hit *h = POL_AT(hit, &f->hits, i);
        if (h->line->what != POL_IP)
            write_cap_rule(f, h);
        else if (!h->written)
            write_ip_rule(f, h);
    }
    rmr_jw_array_end(f->w);
}

static void write_open(rmr_jw *w)
{
    static const pol_ports all = {0, 65535};
    rmr_jw_array(w);
    rmr_jw_object(w);
    rmr_jw_key(w, "SrcIPs");
    rmr_jw_array(w);
    rmr_jw_str(w, "*");
    rmr_jw_array_end(w);
    rmr_jw_key(w, "DstPorts");
    rmr_jw_array(w);
    write_port(w, "*", &all);
    rmr_jw_array_end(w);
    rmr_jw_object_end(w);
    rmr_jw_array_end(w);
}

static rmr_err write_rules(rmr_pol_net *net, const pol_node *n, rmr_jw *w)
{
    rmr_err err = rmri_pol_comp_fresh(net->comp, net);
    if (err)
        return err;
    if (!net->comp->pol->has_rules) {
        write_open(w);
        return RMR_OK;
    }
    filter f = {net,
                net->comp,
                n,
                {NULL, 0, 0, sizeof(hit)},
                {NULL, 0, 0, sizeof(uint32_t)},
                w};
    err = collect(&f);
    if (!err)
        err = index_hits(&f);
    if (!err)
        write_all(&f);
    rmri_pol_vec_free(&f.hits, &net->alloc);
    rmri_pol_vec_free(&f.buckets, &net->alloc);
    return err;
}

rmr_err rmr_pol_write_filter(rmr_pol_net *net, uint64_t node_id, rmr_jw *w)
{
    const pol_node *n = rmri_pol_find(net, node_id);
    return n ? write_rules(net, n, w) : RMR_E_NOTFOUND;
}

rmr_err rmr_pol_write_rules(rmr_pol_net *net, rmr_jw *w)
{
    return write_rules(net, NULL, w);
}
