/*
 * Packet filters: rules are kept by the name of their list as a string of
 * small operations, from which the filter is compiled anew when a list, or
 * what a "cap:" source stands for, changes.
 */
#include "nm_internal.h"

#include <remora/cursor.h>

#include <string.h>

/* ---- operations ------------------------------------------------------- */

bool rmri_nm_op_next(const rmri_ctl_vec *ops, size_t *at, nm_op *out)
{
    if (*at == ops->len)
        return false;
    rmr_rd r = rmr_rd_of(rmr_bytes_of(ops->p + *at, ops->len - *at));
    memset(out, 0, sizeof *out);
    out->op = rmr_rd_u8(&r);
    switch (out->op) {
    case OP_SRC4:
    case OP_DST4:
        out->range.family = RMR_AF_INET;
        rmr_rd_copy(&r, out->range.first, 4);
        rmr_rd_copy(&r, out->range.last, 4);
        break;
    case OP_SRC6:
    case OP_DST6:
        out->range.family = RMR_AF_INET6;
        rmr_rd_copy(&r, out->range.first, 16);
        rmr_rd_copy(&r, out->range.last, 16);
        break;
    case OP_SRC_CAP:
        out->cap = rmr_rd_be16(&r);
        break;
    case OP_PROTO:
        out->proto = rmr_rd_u8(&r);
        break;
    case OP_GRANT_CAP:
        out->cap = rmr_rd_be16(&r);
        out->text = rmr_rd_bytes(&r, rmr_rd_be16(&r));
        (void)rmr_rd_u8(&r); /* its NUL */
        break;
    default:
        break;
    }
    if (out->op == OP_DST4 || out->op == OP_DST6 || out->op == OP_DST_ANY) {
        out->first = rmr_rd_be16(&r);
        out->last = rmr_rd_be16(&r);
    }
    *at = ops->len - r.left;
    return true;
}

/* Errors: NOMEM, also when a list is above NM_MAX_RULE_BYTES. */
static rmr_err put(rmr_nm *nm, rmri_ctl_vec *v, const void *src, size_t n)
{
    if (n == 0)
        return RMR_OK;
    void *at = rmri_ctl_vec_add(v, &nm->alloc, n, NM_MAX_RULE_BYTES);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, src, n);
    return RMR_OK;
}

static rmr_err put_op(rmr_nm *nm, rmri_ctl_vec *v, uint8_t op)
{
    return put(nm, v, &op, 1);
}

/* ---- reading rules ---------------------------------------------------- */

static rmr_err put_range(rmr_nm *nm, rmri_ctl_vec *v, rmr_bytes text,
                         uint8_t any, uint8_t op4, uint8_t op6)
{
    uint8_t b[33];
    rmr_ip_range r[2];
    size_t n, w;
    if (rmr_ip_range_parse(text, r, &n)) {
        rmri_nm_drop(nm);
        return RMR_E_MALFORMED;
    }
    if (n == 2)
        return put_op(nm, v, any);
    w = r[0].family == RMR_AF_INET ? 4 : 16;
    b[0] = w == 4 ? op4 : op6;
    memcpy(b + 1, r[0].first, w);
    memcpy(b + 1 + w, r[0].last, w);
    return put(nm, v, b, 1 + 2 * w);
}

/* A source that can't be read is left out; the rule stays. */
static rmr_err add_src(rmr_nm *nm, rmr_bytes text)
{
    static const char prefix[] = "cap:";
    const size_t n = sizeof prefix - 1;
    uint8_t b[3] = {OP_SRC_CAP, 0, 0};
    uint16_t cap;
    rmr_err e;
    if (text.len > n && memcmp(text.ptr, prefix, n) == 0) {
        e = rmri_nm_intern(nm, rmr_bytes_of(text.ptr + n, text.len - n), &cap);
        if (e == RMR_E_TOOBIG) {
            rmri_nm_drop(nm);
            return RMR_OK;
        }
        if (e)
            return e;
        rmr_store_be16(b + 1, cap);
        return put(nm, &nm->read->rule.src, b, sizeof b);
    }
    e = put_range(nm, &nm->read->rule.src, text, OP_SRC_ANY, OP_SRC4, OP_SRC6);
    return e == RMR_E_MALFORMED ? RMR_OK : e;
}

static rmr_err add_proto(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    int64_t v;
    uint8_t b[2] = {OP_PROTO, 0};
    if (rmr_json_int(kind, text, &v) || v < 0 || v > 255)
        return put_op(nm, &nm->read->rule.proto, OP_PROTO_NONE);
    b[1] = (uint8_t)v;
    return put(nm, &nm->read->rule.proto, b, sizeof b);
}

static rmr_err dst_end(rmr_nm *nm)
{
    nm_rule_draft *d = &nm->read->rule;
    uint8_t ports[4];
    if (d->bad_ip || d->first < 0 || d->last > 65535 || d->first > d->last) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    rmr_store_be16(ports, (uint16_t)d->first);
    rmr_store_be16(ports + 2, (uint16_t)d->last);
    rmr_err e = put_range(nm, &d->dst, rmr_bytes_str(d->dst_ip), OP_DST_ANY,
                          OP_DST4, OP_DST6);
    if (e)
        return e == RMR_E_MALFORMED ? RMR_OK : e;
    return put(nm, &d->dst, ports, sizeof ports);
}

/* ---- grants to applications ------------------------------------------- */

/* A prefix as a range; its host bits do not count (netip.Prefix). */
static rmr_err add_grant_dst(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    uint8_t b[33];
    rmr_prefix p;
    if (kind != RMR_JSON_STRING || rmr_prefix_parse(text, &p)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    size_t w = p.family == RMR_AF_INET ? 4 : 16;
    b[0] = w == 4 ? OP_SRC4 : OP_SRC6;
    memcpy(b + 1, p.ip, w);
    memcpy(b + 1 + w, p.ip, w);
    for (size_t bit = p.bits; bit < 8 * w; bit++) {
        uint8_t m = (uint8_t)(0x80u >> bit % 8);
        b[1 + bit / 8] &= (uint8_t)~m;
        b[1 + w + bit / 8] |= m;
    }
    return put(nm, &nm->read->rule.grant_dst, b, 1 + 2 * w);
}

static rmr_err add_grant_cap(rmr_nm *nm, uint16_t cap, rmr_bytes values)
{
    uint8_t b[5] = {OP_GRANT_CAP, 0, 0, 0, 0};
    rmri_ctl_vec *v = &nm->read->rule.grant_caps;
    rmr_store_be16(b + 1, cap);
    rmr_store_be16(b + 3, (uint16_t)values.len);
    rmr_err e = put(nm, v, b, sizeof b);
    if (!e)
        e = put(nm, v, values.ptr, values.len);
    return e ? e : put(nm, v, "", 1);
}

/* Its number; false: not to be had, which was counted, or no memory (*e). */
static bool grant_name(rmr_nm *nm, rmr_bytes name, uint16_t *cap, rmr_err *e)
{
    *e = rmri_nm_intern(nm, name, cap);
    if (*e == RMR_E_TOOBIG) {
        rmri_nm_drop(nm);
        *e = RMR_OK;
        return false;
    }
    return *e == RMR_OK;
}

static rmr_err grant_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text)
{
    nm_rule_draft *d = &nm->read->rule;
    rmr_err e = RMR_OK;
    if (nm->read->raw.depth) {
        rmri_nm_raw_value(&nm->read->raw, kind, text);
    } else if (id == R_GRANT_CAPS) { /* the old form: names alone */
        uint16_t cap;
        if (kind == RMR_JSON_STRING && grant_name(nm, text, &cap, &e))
            e = add_grant_cap(nm, cap, rmr_bytes_of(NULL, 0));
    } else if (id == R_GRANT_CAP && kind == RMR_JSON_KEY) {
        d->cap_open = grant_name(nm, text, &d->cap, &e);
    } else if (id == R_GRANT_CAP && d->cap_open) { /* null: no values */
        e = add_grant_cap(nm, d->cap, rmr_bytes_of(NULL, 0));
    }
    return e;
}

/* Values that are too long: without them a grant may say more than it was
 * meant to, so it goes whole. */
static rmr_err grant_values(rmr_nm *nm, rmr_json_kind kind)
{
    if (nm->read->raw.depth == 0)
        rmri_nm_raw_begin(&nm->read->raw);
    if (!rmri_nm_raw_nest(&nm->read->raw, kind) || !nm->read->rule.cap_open)
        return RMR_OK;
    rmr_bytes text = rmri_nm_raw_end(&nm->read->raw);
    if (!rmri_nm_raw_failed(&nm->read->raw))
        return add_grant_cap(nm, nm->read->rule.cap, text);
    rmri_nm_drop(nm);
    return RMR_OK;
}

static rmr_err grant_end(rmr_nm *nm)
{
    nm_rule_draft *d = &nm->read->rule;
    rmri_ctl_vec *v = &d->grants;
    if (d->grant_dst.len == 0 || d->grant_caps.len == 0)
        return RMR_OK;
    if (put_op(nm, v, OP_GRANT) ||
        put(nm, v, d->grant_dst.p, d->grant_dst.len) ||
        put_op(nm, v, OP_GRANT_CAPS) ||
        put(nm, v, d->grant_caps.p, d->grant_caps.len) ||
        put_op(nm, v, OP_GRANT_END))
        return RMR_E_NOMEM;
    return RMR_OK;
}

static rmr_err grant_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    if (id == R_GRANT_CAP || id == R_GRANT_VALUE)
        return grant_values(nm, kind);
    if (id != R_GRANT)
        return RMR_OK;
    if (kind == RMR_JSON_OBJECT)
        nm->read->rule.grant_dst.len = nm->read->rule.grant_caps.len = 0;
    return kind == RMR_JSON_OBJECT_END ? grant_end(nm) : RMR_OK;
}

static rmr_err put_grants(rmr_nm *nm)
{
    rmri_ctl_vec *v = &nm->set->grants;
    const nm_rule_draft *d = &nm->read->rule;
    if (d->grants.len == 0 || d->src.len == 0)
        return RMR_OK;
    if (put_op(nm, v, OP_RULE) || put(nm, v, d->src.p, d->src.len) ||
        put_op(nm, v, OP_GRANTS) || put(nm, v, d->grants.p, d->grants.len) ||
        put_op(nm, v, OP_END))
        return RMR_E_NOMEM;
    return RMR_OK;
}

/* ---- a rule ----------------------------------------------------------- */

static rmr_err rule_end(rmr_nm *nm)
{
    rmri_ctl_vec *ops = &nm->set->ops;
    nm_rule_draft *d = &nm->read->rule;
    if (nm->rule_reject)
        return put_op(nm, ops, OP_REJECT);
    if (put_grants(nm))
        return RMR_E_NOMEM;
    /* Without a destination it opens nothing. */
    if (d->dst.len == 0)
        return RMR_OK;
    if (put_op(nm, ops, OP_RULE) || put(nm, ops, d->src.p, d->src.len) ||
        put_op(nm, ops, OP_PROTOS) || put(nm, ops, d->proto.p, d->proto.len) ||
        put_op(nm, ops, OP_DSTS) || put(nm, ops, d->dst.p, d->dst.len) ||
        put_op(nm, ops, OP_END))
        return RMR_E_NOMEM;
    return RMR_OK;
}

/* ---- lists ------------------------------------------------------------ */

static nm_rules *sets(const rmri_ctl_vec *v)
{
    return (nm_rules *)(void *)v->p;
}

static size_t n_sets(const rmri_ctl_vec *v)
{
    return v->len / sizeof(nm_rules);
}

static void free_sets(rmr_nm *nm, rmri_ctl_vec *v)
{
    for (size_t i = 0; i < n_sets(v); i++) {
        rmri_ctl_vec_free(&sets(v)[i].ops, &nm->alloc);
        rmri_ctl_vec_free(&sets(v)[i].grants, &nm->alloc);
    }
    rmri_ctl_vec_free(v, &nm->alloc);
}

void rmri_nm_rules_discard(rmr_nm *nm)
{
    free_sets(nm, &nm->staged);
    nm->set = NULL;
    nm->clear_filters = nm->saw_filter = nm->saw_filters = false;
}

void rmri_nm_rule_draft_free(rmr_nm *nm)
{
    rmri_ctl_vec_free(&nm->read->rule.src, &nm->alloc);
    rmri_ctl_vec_free(&nm->read->rule.proto, &nm->alloc);
    rmri_ctl_vec_free(&nm->read->rule.dst, &nm->alloc);
    rmri_ctl_vec_free(&nm->read->rule.grants, &nm->alloc);
    rmri_ctl_vec_free(&nm->read->rule.grant_dst, &nm->alloc);
    rmri_ctl_vec_free(&nm->read->rule.grant_caps, &nm->alloc);
}

void rmri_nm_rules_free(rmr_nm *nm)
{
    rmri_nm_rules_discard(nm);
    free_sets(nm, &nm->filters);
}

/* PacketFilter comes before PacketFilters, whatever the order in the frame, so
 * its "base" is staged in front. */
static rmr_err stage(rmr_nm *nm, const char *name, bool drop, bool front)
{
    nm_rules s;
    if (n_sets(&nm->staged) >= NM_MAX_FILTERS) {
        /* Rules may be missing now, which is safe, or deletions, which is
         * not: the frame is refused. */
        return RMR_E_TOOBIG;
    }
    if (!rmri_ctl_vec_add(&nm->staged, &nm->alloc, sizeof s, SIZE_MAX))
        return RMR_E_NOMEM;
    nm_rules *at = sets(&nm->staged);
    size_t n = n_sets(&nm->staged);
    memset(&s, 0, sizeof s);
    memcpy(s.name, name, strlen(name));
    s.drop = drop;
    if (front) {
        memmove(at + 1, at, (n - 1) * sizeof s);
        at[0] = s;
        nm->set = at;
    } else {
        at[n - 1] = s;
        nm->set = &at[n - 1];
    }
    if (drop)
        nm->set = NULL;
    return RMR_OK;
}

static rmr_err list_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    bool star = rmri_ctl_same(nm->filter_key, "*");
    nm_rule_draft *d = &nm->read->rule;
    switch (kind) {
    case RMR_JSON_ARRAY:
        if (nm->set || (id == R_NAMED && star))
            return RMR_OK; /* "*" with rules is ignored */
        return id == R_FILTER ? stage(nm, "base", false, true)
                              : stage(nm, nm->filter_key, false, false);
    case RMR_JSON_ARRAY_END:
        nm->set = NULL;
        return RMR_OK;
    case RMR_JSON_OBJECT:
        d->src.len = d->proto.len = d->dst.len = d->grants.len = 0;
        nm->rule_reject = false;
        return RMR_OK;
    default:
        return nm->set ? rule_end(nm) : RMR_OK;
    }
}

rmr_err rmri_nm_rules_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    nm_rule_draft *d = &nm->read->rule;
    bool end = kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END;
    if (id >= R_GRANT)
        return grant_nest(nm, id, kind);
    switch (id) {
    case R_FILTER:
        nm->saw_filter = true;
        return list_nest(nm, id, kind);
    case R_FILTERS:
        nm->saw_filters = true;
        return RMR_OK;
    case R_NAMED:
        return list_nest(nm, id, kind);
    case R_SRC_BITS:
    case R_DST_BITS:
        nm->rule_reject = true;
        return RMR_OK;
    case R_DST:
        if (kind == RMR_JSON_OBJECT) {
            d->dst_ip[0] = '\0';
            d->bad_ip = false;
            d->first = d->last = 0;
        }
        return kind == RMR_JSON_OBJECT_END ? dst_end(nm) : RMR_OK;
    case R_DST_IP:
        d->bad_ip = d->bad_ip || !end;
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

static rmr_err filters_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    if (kind == RMR_JSON_KEY) {
        if (text.len >= sizeof nm->filter_key || rmri_ctl_has_byte(text, 0))
            return RMR_E_TOOBIG;
        memset(nm->filter_key, 0, sizeof nm->filter_key);
        if (text.len)
            memcpy(nm->filter_key, text.ptr, text.len);
        return RMR_OK;
    }
    if (kind != RMR_JSON_NULL)
        return RMR_OK;
    if (!rmri_ctl_same(nm->filter_key, "*"))
        return stage(nm, nm->filter_key, true, false);
    nm->clear_filters = true;
    return RMR_OK;
}

rmr_err rmri_nm_rules_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                            rmr_bytes text)
{
    nm_rule_draft *d = &nm->read->rule;
    if (id == R_NAMED)
        return filters_value(nm, kind, text);
    if (id >= R_GRANT_CAPS)
        return grant_value(nm, id, kind, text);
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    switch (id) {
    case R_SRC_IPS:
        if (kind == RMR_JSON_STRING)
            return add_src(nm, text);
        rmri_nm_drop(nm);
        return RMR_OK;
    case R_GRANT_DSTS:
        return add_grant_dst(nm, kind, text);
    case R_PROTO:
        return add_proto(nm, kind, text);
    case R_SRC_BITS:
    case R_DST_BITS:
        nm->rule_reject = true;
        return RMR_OK;
    case R_DST_IP:
        d->bad_ip = kind != RMR_JSON_STRING || text.len >= sizeof d->dst_ip;
        if (!d->bad_ip)
            rmri_nm_text(nm, d->dst_ip, sizeof d->dst_ip, text);
        return RMR_OK;
    case R_FIRST:
        if (rmr_json_int(kind, text, &d->first))
            d->first = -1;
        return RMR_OK;
    case R_LAST:
        if (rmr_json_int(kind, text, &d->last))
            d->last = INT64_MAX;
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

/* ---- applying --------------------------------------------------------- */

static void drop_set(rmr_nm *nm, size_t i)
{
    nm_rules *at = sets(&nm->filters);
    size_t n = n_sets(&nm->filters);
    rmri_ctl_vec_free(&at[i].ops, &nm->alloc);
    rmri_ctl_vec_free(&at[i].grants, &nm->alloc);
    memmove(at + i, at + i + 1, (n - i - 1) * sizeof *at);
    nm->filters.len -= sizeof *at;
}

/* Moves a staged list into the table, sorted by name. */
static rmr_err apply_set(rmr_nm *nm, nm_rules *s)
{
    nm_rules *at = sets(&nm->filters);
    size_t n = n_sets(&nm->filters), i = 0;
    while (i < n && rmri_ctl_compare(at[i].name, s->name) < 0)
        i++;
    bool known = i < n && rmri_ctl_same(at[i].name, s->name);
    if (s->drop) {
        if (known)
            drop_set(nm, i);
        return RMR_OK;
    }
    if (known) {
        rmri_ctl_vec_free(&at[i].ops, &nm->alloc);
        rmri_ctl_vec_free(&at[i].grants, &nm->alloc);
    } else {
        if (n >= NM_MAX_FILTERS ||
            !rmri_ctl_vec_add(&nm->filters, &nm->alloc, sizeof *s, SIZE_MAX))
            return RMR_E_NOMEM;
        at = sets(&nm->filters);
        memmove(at + i + 1, at + i, (n - i) * sizeof *at);
    }
    at[i] = *s;
    memset(&s->ops, 0, sizeof s->ops);
    memset(&s->grants, 0, sizeof s->grants);
    rmri_ctl_vec_trim(&at[i].ops, &nm->alloc);
    rmri_ctl_vec_trim(&at[i].grants, &nm->alloc);
    return RMR_OK;
}

static void clear_sets(rmr_nm *nm)
{
    while (n_sets(&nm->filters))
        drop_set(nm, n_sets(&nm->filters) - 1);
}

rmr_err rmri_nm_rules_apply(rmr_nm *nm)
{
    rmr_err e = RMR_OK;
    nm_rules *s = sets(&nm->staged);
    size_t n = n_sets(&nm->staged), i = 0;
    if (nm->first_frame && n_sets(&nm->filters)) {
        clear_sets(nm); /* names live as long as their stream */
        nm->recompile = true;
    }
    if (nm->saw_filter || nm->saw_filters)
        nm->recompile = true;
    if (nm->saw_filter && n)
        e = apply_set(nm, &s[i++]);
    if (nm->clear_filters)
        clear_sets(nm);
    for (; i < n && !e; i++)
        e = apply_set(nm, &s[i]);
    rmri_nm_rules_discard(nm);
    return e;
}
