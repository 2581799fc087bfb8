/* Who gets a packet: the table of flows (4-tuples) and that of listeners and
 * UDP sockets.  Both are keyed hashes whose values are addresses of ns_head. */
#include "tcp_internal.h"

static ns_head *head_of(uint64_t value)
{
    return (ns_head *)(uintptr_t)value;
}

static const ns_tuple *tuple_of(const ns_head *h)
{
    const void *p = h;
    switch (h->kind) {
    case NS_KIND_CONN:
        return &((const tcp_conn *)p)->tuple;
    case NS_KIND_HALF_OPEN:
        return &((const tcp_half *)p)->tuple;
    case NS_KIND_UDP:
        return &((const ns_udp *)p)->tuple;
    case NS_KIND_PENDING:
        return &((const ns_pending *)p)->tuple;
    default:
        return &((const tcp_tw *)p)->tuple;
    }
}

bool rmri_ns_flow_is(const void *user, uint64_t value, const void *key,
                     size_t key_len)
{
    (void)user;
    return memcmp(tuple_of(head_of(value)), key, key_len) == 0;
}

bool rmri_ns_bind_is(const void *user, uint64_t value, const void *key,
                     size_t key_len)
{
    (void)user;
    const void *p = head_of(value);
    if (head_of(value)->kind != NS_KIND_UDP)
        return memcmp(&((const tcp_listener *)p)->bind, key, key_len) == 0;
    const ns_tuple *t = &((const ns_udp *)p)->tuple;
    ns_bind b = {t->local, t->lport, t->family, t->proto};
    return memcmp(&b, key, key_len) == 0;
}

void *rmri_ns_find_flow(rmr_ns *ns, const ns_tuple *t)
{
    uint64_t value;
    if (ns->last && memcmp(&ns->last_tuple, t, sizeof *t) == 0)
        return ns->last;
    if (!rmr_hash_get(&ns->flows, t, sizeof *t, &value))
        return NULL;
    ns->last = head_of(value);
    ns->last_tuple = *t;
    return ns->last;
}

rmr_err rmri_ns_add_flow(rmr_ns *ns, const ns_tuple *t, ns_head *h)
{
    rmr_err e = rmr_hash_put(&ns->flows, t, sizeof *t, (uint64_t)(uintptr_t)h);
    if (!e)
        ns->last = NULL;
    return e;
}

void rmri_ns_del_flow(rmr_ns *ns, const ns_tuple *t)
{
    (void)rmr_hash_del(&ns->flows, t, sizeof *t);
    ns->last = NULL;
}

ns_head *rmri_ns_bind_exact(const rmr_ns *ns, const ns_bind *b)
{
    uint64_t value;
    return rmr_hash_get(&ns->binds, b, sizeof *b, &value) ? head_of(value)
                                                          : NULL;
}

ns_head *rmri_ns_find_bind(const rmr_ns *ns, uint8_t proto, uint8_t family,
                           const ns_ip *ip, uint16_t port, bool exact)
{
    ns_bind b = {*ip, port, family, proto};
    ns_head *h = rmri_ns_bind_exact(ns, &b);
    if (h || exact)
        return h;
    memset(&b.ip, 0, sizeof b.ip);
    h = rmri_ns_bind_exact(ns, &b);
    if (h)
        return h;
    b.family = RMR_AF_NONE;
    return rmri_ns_bind_exact(ns, &b);
}

bool rmri_ns_port_bound(const rmr_ns *ns, uint8_t proto, uint8_t family,
                        const ns_ip *ip, uint16_t port)
{
    return rmri_ns_find_bind(ns, proto, family, ip, port, false) != NULL;
}

rmr_err rmri_ns_bind_of(const rmr_ns *ns, const rmr_addr *local, uint8_t proto,
                        ns_bind *out)
{
    (void)ns;
    memset(out, 0, sizeof *out);
    out->proto = proto;
    if (!local)
        return RMR_OK;
    out->port = local->port;
    if (local->family == RMR_AF_NONE)
        return RMR_OK;
    if (local->family != RMR_AF_INET && local->family != RMR_AF_INET6)
        return RMR_E_INVAL;
    out->ip = rmri_ns_ip_of(local);
    out->family = local->family;
    return RMR_OK;
}

bool rmri_ns_source_for(const rmr_ns *ns, uint8_t family, const ns_ip *to,
                        ns_ip *out)
{
    if (!rmri_ns_is_local(ns, family, to))
        return rmri_ns_own_addr(ns, family, out);
    *out = *to;
    return true;
}

rmr_err rmri_ns_dial_tuple(rmr_ns *ns, const rmr_addr *local,
                           const rmr_addr *remote, uint8_t proto, ns_tuple *t)
{
    static const ns_ip zero;
    ns_ip from = zero;
    memset(t, 0, sizeof *t);
    if (!remote || remote->port == 0 ||
        (remote->family != RMR_AF_INET && remote->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    t->family = remote->family;
    t->proto = proto;
    t->remote = rmri_ns_ip_of(remote);
    if (rmri_ns_bad_addr(t->family, &t->remote))
        return RMR_E_UNREACHABLE;
    t->rport = remote->port;
    t->lport = local ? local->port : 0;
    if (local && local->family != RMR_AF_NONE) {
        if (local->family != remote->family)
            return RMR_E_INVAL;
        from = rmri_ns_ip_of(local);
    }
    if (ns_ip_eq(&from, &zero)) {
        if (!rmri_ns_source_for(ns, t->family, &t->remote, &t->local))
            return RMR_E_UNREACHABLE;
    } else if (rmri_ns_is_local(ns, t->family, &from)) {
        t->local = from;
    } else {
        return RMR_E_UNREACHABLE;
    }
    if (t->lport == t->rport && ns_ip_eq(&t->local, &t->remote))
        return RMR_E_INVAL;
    return RMR_OK;
}
