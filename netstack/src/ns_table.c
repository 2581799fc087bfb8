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
    const ns_bind *b = head_of(value)->kind == NS_KIND_UDP
                           ? &((const ns_udp *)p)->bind
                           : &((const tcp_listener *)p)->bind;
    return memcmp(b, key, key_len) == 0;
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
                           const ns_ip *ip, uint16_t port)
{
    ns_bind b = {*ip, port, family, proto};
    ns_head *h = rmri_ns_bind_exact(ns, &b);
    if (h)
        return h;
    ns_bind any = {{{0}}, port, RMR_AF_NONE, proto};
    return rmri_ns_bind_exact(ns, &any);
}

bool rmri_ns_port_bound(const rmr_ns *ns, uint8_t proto, uint8_t family,
                        const ns_ip *ip, uint16_t port)
{
    return rmri_ns_find_bind(ns, proto, family, ip, port) != NULL;
}

rmr_err rmri_ns_bind_of(const rmr_ns *ns, const rmr_addr *local, uint8_t proto,
                        ns_bind *out)
{
    static const ns_ip zero;
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
    ns_ip ip = rmri_ns_ip_of(local);
    if (!ns_ip_eq(&ip, &zero)) {
        out->ip = ip;
        out->family = local->family;
    }
    return RMR_OK;
}
