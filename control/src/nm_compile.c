/* Packet filters from their operations to compiled rules. */
#include "nm_internal.h"

#include <string.h>

static const nm_rules *sets(const rmri_ctl_vec *v)
{
    return (const nm_rules *)(const void *)v->p;
}

static size_t n_sets(const rmri_ctl_vec *v)
{
    return v->len / sizeof(nm_rules);
}

static rmr_err add_cap_sources(rmr_nm *nm, uint16_t cap)
{
    rmr_ip_range r;
    nm_parts k;
    nm->filter_has_caps = true;
    for (size_t i = 0; i < nm->n_peers; i++) {
        const nm_peer *p = nm->peers[i];
        if (p->n_caps == 0 || !rmri_nm_has_cap(p, cap))
            continue;
        rmri_nm_parts(p, &k);
        for (size_t a = 0; a < p->n_addrs; a++) {
            memset(&r, 0, sizeof r);
            r.family = k.addrs[a].family;
            memcpy(r.first, k.addrs[a].ip, sizeof r.first);
            memcpy(r.last, k.addrs[a].ip, sizeof r.last);
            rmr_err e = rmr_filter_rule_src(nm->filter, &r);
            if (e)
                return e;
        }
    }
    return RMR_OK;
}

static void any_range(rmr_ip_range *r, uint8_t family)
{
    memset(r, 0, sizeof *r);
    r->family = family;
    memset(r->last, 0xff, family == RMR_AF_INET ? 4 : 16);
}

static rmr_err compile_any(rmr_filter *f, const nm_op *o)
{
    static const uint8_t families[2] = {RMR_AF_INET, RMR_AF_INET6};
    rmr_ip_range r;
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < 2 && !e; i++) {
        any_range(&r, families[i]);
        e = o->op == OP_SRC_ANY ? rmr_filter_rule_src(f, &r)
                                : rmr_filter_rule_dst(f, &r, o->first, o->last);
    }
    return e;
}

static rmr_err compile_protos(rmr_filter *f)
{
    static const uint8_t usual[] = {6, 17, 1, 58}; /* TCP, UDP, ICMP */
    for (size_t i = 0; i < sizeof usual; i++) {
        rmr_err e = rmr_filter_rule_proto(f, usual[i]);
        if (e)
            return e;
    }
    return RMR_OK;
}

/* `prev`: the op before this one; an empty IPProto means the usual four. */
static rmr_err compile_op(rmr_nm *nm, const nm_op *o, uint8_t prev)
{
    rmr_filter *f = nm->filter;
    switch (o->op) {
    case OP_RULE:
        return rmr_filter_rule_begin(f);
    case OP_SRC4:
    case OP_SRC6:
        return rmr_filter_rule_src(f, &o->range);
    case OP_SRC_CAP:
        return add_cap_sources(nm, o->cap);
    case OP_SRC_ANY:
    case OP_DST_ANY:
        return compile_any(f, o);
    case OP_PROTO:
        return rmr_filter_rule_proto(f, o->proto);
    case OP_DSTS:
        return prev == OP_PROTOS ? compile_protos(f) : RMR_OK;
    case OP_DST4:
    case OP_DST6:
        return rmr_filter_rule_dst(f, &o->range, o->first, o->last);
    case OP_END:
        return rmr_filter_rule_end(f);
    case OP_REJECT:
        return RMR_E_DENIED;
    default:
        return RMR_OK;
    }
}

static bool overlaps(const rmr_prefix *p, const rmr_ip_range *r)
{
    uint8_t last[16];
    if (p->family != r->family)
        return false;
    memcpy(last, p->ip, sizeof last);
    for (size_t bit = p->bits; bit < (p->family == RMR_AF_INET ? 32u : 128u);
         bit++)
        last[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return memcmp(p->ip, r->last, 16) <= 0 && memcmp(r->first, last, 16) <= 0;
}

/* UnsignedPeerAPIOnly: such a peer must not have network access; a server that
 * gives it some is not to be trusted with the filter at all. */
static bool reaches_unsigned(const rmr_nm *nm, const nm_op *o)
{
    for (size_t i = 0; nm->n_unsigned && i < nm->n_peers; i++) {
        const nm_peer *p = nm->peers[i];
        nm_parts k;
        size_t n = p->flags & NM_F_OWN_ALLOWED ? p->n_allowed : p->n_addrs;
        if (!(p->flags & NM_F_UNSIGNED))
            continue;
        if (o->op == OP_SRC_ANY ||
            (o->op == OP_SRC_CAP && rmri_nm_has_cap(p, o->cap)))
            return true;
        rmri_nm_parts(p, &k);
        for (size_t a = 0; o->range.family && a < n; a++) {
            if (overlaps(&k.allowed[a], &o->range))
                return true;
        }
    }
    return false;
}

static rmr_err compile_all(rmr_nm *nm)
{
    nm->filter_has_caps = false;
    for (size_t i = 0; i < n_sets(&nm->filters); i++) {
        const rmri_ctl_vec *ops = &sets(&nm->filters)[i].ops;
        size_t at = 0;
        uint8_t prev = 0;
        nm_op o;
        while (rmri_nm_op_next(ops, &at, &o)) {
            bool src = o.op >= OP_SRC4 && o.op <= OP_SRC_CAP;
            if (src && reaches_unsigned(nm, &o))
                return RMR_E_DENIED;
            rmr_err e = compile_op(nm, &o, prev);
            if (e)
                return e;
            prev = o.op;
        }
    }
    return rmr_filter_commit(nm->filter);
}

rmr_err rmri_nm_rules_compile(rmr_nm *nm)
{
    rmr_filter_begin(nm->filter);
    rmr_err e = compile_all(nm);
    nm->changed |= RMR_NM_FILTER;
    nm->filter_refused = e != RMR_OK;
    if (!e)
        return RMR_OK;
    /* Rules that can't be had let nothing in: old ones may allow what the
     * server has just forbidden. */
    rmr_filter_begin(nm->filter);
    (void)rmr_filter_commit(nm->filter);
    if (e != RMR_E_DENIED)
        return e;
    rmri_nm_drop(nm);
    rmr_logf(&nm->env.log, RMR_LOG_WARN, "control",
             "the packet filter is refused (old form, or open to an unsigned "
             "peer): nothing is let in");
    return RMR_OK;
}
