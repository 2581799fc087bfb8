/* Raw IP: sockets that hear a protocol's packets whole, and packets that go out
 * as they are. */
#include "ns_internal.h"

rmr_err rmr_ns_raw_open(rmr_ns *ns, uint8_t family, uint8_t protocol, void *tag,
                        rmr_ns_sock *out)
{
    if (!out || (family != RMR_AF_INET && family != RMR_AF_INET6))
        return RMR_E_INVAL;
    if (rmri_ns_sockets_full(ns))
        return RMR_E_FULL;
    ns_raw *r = rmri_ns_dgram_new(ns, NS_KIND_RAW);
    if (!r)
        return RMR_E_NOMEM;
    r->tag = tag;
    r->family = family;
    r->protocol = protocol;
    ns_list_push(&ns->raws, &r->node);
    out->id = r->head.id;
    return RMR_OK;
}

void rmri_ns_raw_close(rmr_ns *ns, ns_raw *r)
{
    if (ns->raw_next == &r->node)
        ns->raw_next = r->node.next;
    ns_list_unlink(&r->node);
    rmri_ns_dgram_free(ns, &r->head);
}

bool rmri_ns_raw_input(rmr_ns *ns, const ns_pkt *p)
{
    bool any = false;
    for (ns_node *n = ns->raws.next; n != &ns->raws; n = ns->raw_next) {
        const ns_raw *r = NS_OWNER(n, ns_raw, node);
        ns->raw_next = n->next;
        if (r->family != p->family || r->protocol != p->proto)
            continue;
        any = true;
        if (!ns->cb.on_raw)
            continue;
        rmr_ns_sock s = {r->head.id};
        ns->in_callback = true;
        ns->cb.on_raw(ns->cb.user, r->tag, s, rmr_bytes_of(p->ip, p->ip_len));
        ns->in_callback = false;
    }
    return any;
}

/* ---- out -------------------------------------------------------------- */

/* The checks that a receiver makes; *len is the packet's own length. */
static bool header4_ok(const uint8_t *h, size_t *len)
{
    if (*len < NS_IP4_HEADER)
        return false;
    size_t hl = (h[0] & 15u) * 4u, total = rmr_load_be16(h + 2);
    if (hl < NS_IP4_HEADER || hl > total || total > *len)
        return false;
    *len = total;
    return (rmr_load_be16(h + 6) & 0x3fff) == 0 &&
           rmri_ns_sum_fold(rmri_ns_sum(0, h, hl)) == 0xffff;
}

static bool header6_ok(const uint8_t *h, size_t *len)
{
    ns_chain c;
    if (*len < NS_IP6_HEADER)
        return false;
    size_t total = NS_IP6_HEADER + rmr_load_be16(h + 4);
    if (total == NS_IP6_HEADER || total > *len)
        return false;
    *len = total;
    return rmri_ns_chain6(h, total, &c) && !c.fragment;
}

rmr_err rmr_ns_raw_send(rmr_ns *ns, rmr_time now, rmr_bytes ip_packet)
{
    if (now > ns->now)
        ns->now = now;
    const uint8_t *h = ip_packet.ptr;
    size_t len = ip_packet.len;
    uint8_t family = len && h[0] >> 4 == 4   ? RMR_AF_INET
                     : len && h[0] >> 4 == 6 ? RMR_AF_INET6
                                             : RMR_AF_NONE;
    bool ok = family == RMR_AF_INET    ? header4_ok(h, &len)
              : family == RMR_AF_INET6 ? header6_ok(h, &len)
                                       : false;
    if (!ok)
        return RMR_E_MALFORMED;
    ns_ip src = {{0}}, dst = {{0}};
    size_t n = ns_ip_len(family), at = family == RMR_AF_INET ? 12 : 8;
    memcpy(src.b, h + at, n);
    memcpy(dst.b, h + at + n, n);
    if (rmri_ns_bad_addr(family, &src) || rmri_ns_bad_addr(family, &dst))
        return RMR_E_MALFORMED;
    if (!ns->cfg.forward && !rmri_ns_is_local(ns, family, &src))
        return RMR_E_UNREACHABLE;
    if (len > ns->cfg.mtu)
        return RMR_E_TOOBIG;
    uint8_t *p = rmri_ns_pktq_add(ns, len);
    if (!p)
        return RMR_E_FULL;
    memcpy(p, h, len);
    return RMR_OK;
}
