/* Looking at nodes as applications see them: capabilities, tags, whose an
 * address is, and what the rules grant. */
#include "nm_internal.h"

#include <string.h>

const char *rmri_nm_string_at(const char *strings, size_t i)
{
    while (i-- > 0)
        strings += strlen(strings) + 1;
    return strings;
}

/* ---- capabilities ----------------------------------------------------- */

static const nm_peer *node_of(const rmr_nm *nm, uint64_t id)
{
    if (nm->self && nm->self->id == id)
        return nm->self;
    return rmri_nm_find(nm, id);
}

bool rmr_nm_self_has_cap(const rmr_nm *nm, const char *name)
{
    uint16_t cap;
    return nm->self && rmri_nm_find_cap(nm, name, &cap) &&
           rmri_nm_has_cap(nm->self, cap);
}

bool rmr_nm_peer_has_cap(const rmr_nm *nm, uint64_t id, const char *name)
{
    uint16_t cap;
    const nm_peer *p = rmri_nm_find(nm, id);
    return p && rmri_nm_find_cap(nm, name, &cap) && rmri_nm_has_cap(p, cap);
}

bool rmr_nm_cap_at(const rmr_nm *nm, uint64_t id, size_t i, rmr_nm_cap *out)
{
    nm_parts k;
    const nm_peer *p = node_of(nm, id);
    if (!p || i >= p->n_caps)
        return false;
    rmri_nm_parts(p, &k);
    const char *values = rmri_nm_string_at(k.values, i);
    out->name = rmri_nm_cap_name(nm, k.caps[i]);
    out->values = values[0] ? values : "[]";
    return true;
}

const char *rmr_nm_cap_values(const rmr_nm *nm, uint64_t id, const char *name)
{
    uint16_t cap;
    nm_parts k;
    rmr_nm_cap c;
    const nm_peer *p = node_of(nm, id);
    if (!p || !rmri_nm_find_cap(nm, name, &cap))
        return NULL;
    rmri_nm_parts(p, &k);
    for (size_t i = 0; i < p->n_caps; i++) {
        if (k.caps[i] == cap && rmr_nm_cap_at(nm, id, i, &c))
            return c.values;
    }
    return NULL;
}

const char *rmr_nm_tag_at(const rmr_nm_node *node, size_t i)
{
    return i < node->n_tags ? rmri_nm_string_at(node->tags, i) : NULL;
}

const char *rmr_nm_group_at(const rmr_nm_user *user, size_t i)
{
    return i < user->n_groups ? rmri_nm_string_at(user->groups, i) : NULL;
}

/* ---- whois ------------------------------------------------------------ */

static bool is_own(const rmr_nm_node *self, const rmr_addr *ip)
{
    for (size_t i = 0; i < self->n_addrs; i++) {
        if (rmr_prefix_contains(&self->addrs[i], ip))
            return true;
    }
    return false;
}

/* Our first address of that family. */
static void own_address(const rmr_nm_node *self, uint8_t family, rmr_addr *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < self->n_addrs; i++) {
        if (self->addrs[i].family == family) {
            *out = rmr_prefix_addr(&self->addrs[i]);
            return;
        }
    }
}

bool rmr_nm_whois(const rmr_nm *nm, const rmr_addr *addr, rmr_nm_who *out)
{
    rmr_nm_node self;
    bool has_self = rmr_nm_self(nm, &self);
    memset(out, 0, sizeof *out);
    if (has_self && is_own(&self, addr)) {
        out->node = self;
        out->is_self = true;
    } else if (!rmr_nm_peer_by_ip(nm, addr, &out->node)) {
        return false;
    }
    out->has_user = rmr_nm_user_profile(nm, out->node.user, &out->user);
    if (has_self)
        own_address(&self, addr->family, &out->ours);
    return true;
}

/* ---- grants ----------------------------------------------------------- */

/* Where a walk stands: the list, the offset in its operations, and what of the
 * current rule matched. */
typedef struct walk {
    size_t set, at;
    bool in_dsts; /* the ranges that come are destinations */
    bool src, dst;
} walk;

static walk unpack_walk(uint64_t pos)
{
    walk k = {(size_t)(pos >> 32), (size_t)(pos >> 3) & 0xfffffff,
              (pos & 1) != 0, (pos & 2) != 0, (pos & 4) != 0};
    return k;
}

static uint64_t pack_walk(const walk *k)
{
    return (uint64_t)k->set << 32 | (uint64_t)k->at << 3 |
           (k->in_dsts ? 1u : 0u) | (k->src ? 2u : 0u) | (k->dst ? 4u : 0u);
}

static bool is_in(const rmr_ip_range *r, const rmr_addr *a)
{
    return r->family == a->family && memcmp(r->first, a->ip, 16) <= 0 &&
           memcmp(a->ip, r->last, 16) <= 0;
}

/* Is it the own address of a peer that has the capability? */
static bool has_cap_address(const rmr_nm *nm, const rmr_addr *from,
                            uint16_t cap)
{
    rmr_nm_node v;
    return rmr_nm_peer_by_ip(nm, from, &v) &&
           rmri_nm_has_cap(rmri_nm_find(nm, v.id), cap);
}

/* One operation of a list of grants. \return whether `o` is a grant that
 * holds. */
static bool step(const rmr_nm *nm, walk *k, const nm_op *o,
                 const rmr_addr *from, const rmr_addr *to)
{
    const rmr_addr *a = k->in_dsts ? to : from;
    bool *matched = k->in_dsts ? &k->dst : &k->src;
    switch (o->op) {
    case OP_RULE:
        k->in_dsts = k->src = k->dst = false;
        break;
    case OP_GRANT:
        k->in_dsts = true;
        k->dst = false;
        break;
    case OP_SRC4:
    case OP_SRC6:
        *matched = *matched || is_in(&o->range, a);
        break;
    case OP_SRC_ANY:
        *matched = true;
        break;
    case OP_SRC_CAP:
        *matched = *matched || has_cap_address(nm, a, o->cap);
        break;
    case OP_GRANT_CAP:
        return k->src && k->dst;
    default:
        break;
    }
    return false;
}

bool rmr_nm_next_grant(const rmr_nm *nm, uint64_t *pos, const rmr_addr *from,
                       const rmr_addr *to, rmr_nm_cap *out)
{
    const nm_rules *s = (const nm_rules *)(const void *)nm->filters.p;
    size_t n = nm->filters.len / sizeof *s;
    walk k = unpack_walk(*pos);
    nm_op o;
    /* A filter that is not to be trusted opens nothing and grants nothing. */
    for (; !nm->filter_refused && k.set < n; k.set++, k.at = 0) {
        while (rmri_nm_op_next(&s[k.set].grants, &k.at, &o)) {
            if (!step(nm, &k, &o, from, to))
                continue;
            out->name = rmri_nm_cap_name(nm, o.cap);
            out->values = o.text.len ? (const char *)o.text.ptr : "[]";
            *pos = pack_walk(&k);
            return true;
        }
    }
    return false;
}

bool rmr_nm_is_granted(const rmr_nm *nm, const rmr_addr *from,
                       const rmr_addr *to, const char *name)
{
    uint64_t pos = 0;
    rmr_nm_cap c;
    while (rmr_nm_next_grant(nm, &pos, from, to, &c)) {
        if (rmri_ctl_same(c.name, name))
            return true;
    }
    return false;
}
