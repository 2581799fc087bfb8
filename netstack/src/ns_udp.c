/* UDP (RFC 768, RFC 8200 8.1). */
#include "ns_internal.h"

#define UDP_HEADER 8u

rmr_err rmri_ns_udp_input(rmr_ns *ns, const ns_pkt *p)
{
    const uint8_t *h = p->l4;
    size_t len = p->l4_len < UDP_HEADER ? 0 : rmr_load_be16(h + 4);
    if (len < UDP_HEADER || len > p->l4_len) {
        ns->stats.discard_malformed++;
        return RMR_E_MALFORMED;
    }
    bool none = h[6] == 0 && h[7] == 0;
    bool bad = none ? p->family == RMR_AF_INET6
                    : rmri_ns_sum_fold(rmri_ns_sum(
                          rmri_ns_sum_pseudo(p->family, &p->src, &p->dst,
                                             NS_PROTO_UDP, len),
                          h, len)) != 0xffff;
    if (bad && !p->loop) {
        ns->stats.discard_checksum++;
        return RMR_E_MALFORMED;
    }
    ns_head *b = rmri_ns_find_bind(ns, NS_PROTO_UDP, p->family, &p->dst,
                                   rmr_load_be16(h + 2));
    if (!b) {
        ns->stats.discard_no_socket++;
        rmri_ns_icmp_error(ns, p, NS_ICMP_PORT_UNREACHABLE, 0);
        return RMR_E_UNKNOWN;
    }
    ns_udp *u = (ns_udp *)(void *)b;
    if (ns->cb.on_datagram) {
        rmr_addr from = rmri_ns_addr_of(p->family, &p->src, rmr_load_be16(h));
        rmr_addr to = rmri_ns_addr_of(p->family, &p->dst, rmr_load_be16(h + 2));
        rmr_ns_sock s = {u->head.id};
        ns->in_callback = true;
        ns->cb.on_datagram(ns->cb.user, u->tag, s, &from, &to,
                           rmr_bytes_of(h + UDP_HEADER, len - UDP_HEADER));
        ns->in_callback = false;
    }
    return RMR_OK;
}

rmr_err rmr_ns_udp_bind(rmr_ns *ns, const rmr_addr *local, void *tag,
                        rmr_ns_sock *out)
{
    ns_bind b;
    rmr_err e = rmri_ns_bind_of(ns, local, NS_PROTO_UDP, &b);
    if (e)
        return e;
    if (b.port == 0 && !rmri_ns_pick_udp_port(ns, &b))
        return RMR_E_INUSE;
    if (rmri_ns_bind_exact(ns, &b))
        return RMR_E_INUSE;
    if (ns->socks.used >= ns->cfg.max_sockets)
        return RMR_E_FULL;
    uint64_t id;
    ns_udp *u = rmr_slots_new(&ns->socks, &id);
    if (!u)
        return RMR_E_NOMEM;
    u->head.id = id;
    u->head.kind = NS_KIND_UDP;
    u->bind = b;
    u->tag = tag;
    e = rmr_hash_put(&ns->binds, &b, sizeof b, (uint64_t)(uintptr_t)&u->head);
    if (e) {
        rmr_slots_free(&ns->socks, id);
        return e;
    }
    out->id = id;
    return RMR_OK;
}

/* The address that the datagram goes out with. */
static rmr_err source(const rmr_ns *ns, const ns_udp *u, const rmr_addr *from,
                      uint8_t family, ns_ip *out)
{
    if (from && from->family != RMR_AF_NONE) {
        *out = rmri_ns_ip_of(from);
        return from->family == family && rmri_ns_is_local(ns, family, out)
                   ? RMR_OK
                   : RMR_E_UNREACHABLE;
    }
    if (u->bind.family == family) {
        *out = u->bind.ip;
        return rmri_ns_is_local(ns, family, out) ? RMR_OK : RMR_E_UNREACHABLE;
    }
    if (u->bind.family == RMR_AF_NONE && rmri_ns_own_addr(ns, family, out))
        return RMR_OK;
    return RMR_E_UNREACHABLE;
}

rmr_err rmr_ns_udp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    if (now > ns->now)
        ns->now = now;
    ns_udp *u = rmr_slots_get(&ns->socks, s.id);
    if (!u || u->head.kind != NS_KIND_UDP)
        return RMR_E_BADHANDLE;
    if (!to || (to->family != RMR_AF_INET && to->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    ns_ip src, dst = rmri_ns_ip_of(to);
    rmr_err e = source(ns, u, from, to->family, &src);
    if (e)
        return e;
    size_t hl = ns_ip_header_len(to->family), len = UDP_HEADER + data.len;
    if (data.len > 0xffff || hl + len > ns->cfg.mtu)
        return RMR_E_TOOBIG;
    uint8_t *p = rmri_ns_pktq_add(ns, hl + len);
    if (!p)
        return RMR_E_FULL;
    rmri_ns_ip_write(p, to->family, &src, &dst, NS_PROTO_UDP, len, 0);
    uint8_t *h = p + hl;
    rmr_store_be16(h, u->bind.port);
    rmr_store_be16(h + 2, to->port);
    rmr_store_be16(h + 4, (uint16_t)len);
    rmr_store_be16(h + 6, 0);
    uint64_t sum =
        rmri_ns_sum_pseudo(to->family, &src, &dst, NS_PROTO_UDP, len);
    sum = rmri_ns_sum(sum, h, UDP_HEADER);
    sum = rmri_ns_sum_copy(sum, h + UDP_HEADER, data.ptr, data.len);
    rmri_ns_sum_store(h + 6, sum);
    if (h[6] == 0 && h[7] == 0)
        h[6] = h[7] = 0xff;
    return RMR_OK;
}
