/* The host's filter: what it sees of a packet, and what its verdicts do. */
#include "ns_internal.h"

static rmr_ns_verdict ask(rmr_ns *ns, const ns_pkt *p, rmr_ns_dir dir)
{
    rmr_ns_view v;
    uint16_t sport = 0, dport = 0;
    bool icmp =
        p->proto == (p->family == RMR_AF_INET ? NS_PROTO_ICMP : NS_PROTO_ICMP6);
    memset(&v, 0, sizeof v);
    v.dir = dir;
    v.protocol = p->proto;
    v.tos = p->tos;
    v.packet = rmr_bytes_of(p->ip, p->ip_len);
    if ((p->proto == NS_PROTO_TCP || p->proto == NS_PROTO_UDP) &&
        p->l4_len >= 4) {
        sport = rmr_load_be16(p->l4);
        dport = rmr_load_be16(p->l4 + 2);
    }
    if (p->proto == NS_PROTO_TCP && p->l4_len >= 14)
        v.tcp_flags = p->l4[13];
    if (icmp && p->l4_len >= 2) {
        v.icmp_type = p->l4[0];
        v.icmp_code = p->l4[1];
    }
    v.from = rmri_ns_addr_of(p->family, &p->src, sport);
    v.to = rmri_ns_addr_of(p->family, &p->dst, dport);
    ns->in_callback = true;
    rmr_ns_verdict verdict = ns->cb.on_filter(ns->cb.user, &v);
    ns->in_callback = false;
    if (verdict != RMR_NS_ACCEPT)
        ns->stats.discard_filtered++;
    return verdict;
}

rmr_err rmri_ns_filter_in(rmr_ns *ns, const ns_pkt *p)
{
    rmr_ns_verdict v = ask(ns, p, RMR_NS_IN);
    if (v == RMR_NS_ACCEPT)
        return RMR_OK;
    if (v == RMR_NS_NO_ROUTE)
        rmri_ns_icmp_error(ns, p, NS_ICMP_HOST_UNREACHABLE, 0);
    else if (v == RMR_NS_REJECT &&
             !(p->proto == NS_PROTO_TCP && rmri_tcp_reject(ns, p)))
        rmri_ns_icmp_error(ns, p, NS_ICMP_PROHIBITED, 0);
    return RMR_E_DENIED;
}

/* ---- out -------------------------------------------------------------- */

/* Our own packets: whole, or pieces of what we cut. */
static bool parse_out(const uint8_t *ip, size_t len, ns_pkt *p, ns_chain *c)
{
    memset(p, 0, sizeof *p);
    p->ip = ip;
    p->ip_len = len;
    if (ip[0] >> 4 == 4) {
        uint16_t frag = rmr_load_be16(ip + 6);
        memset(c, 0, sizeof *c);
        p->family = RMR_AF_INET;
        p->tos = ip[1];
        memcpy(p->src.b, ip + 12, 4);
        memcpy(p->dst.b, ip + 16, 4);
        c->proto = ip[9];
        c->at = (ip[0] & 15u) * 4u;
        c->id = rmr_load_be16(ip + 4);
        c->off = (frag & 0x1fffu) * 8u;
        c->more = (frag & 0x2000u) != 0;
        c->fragment = c->off || c->more;
    } else {
        p->family = RMR_AF_INET6;
        p->tos = (uint8_t)(rmr_load_be16(ip) >> 4);
        memcpy(p->src.b, ip + 8, 16);
        memcpy(p->dst.b, ip + 24, 16);
        if (!rmri_ns_chain6(ip, len, c))
            return false;
    }
    p->proto = c->proto;
    p->l4 = ip + c->at;
    p->l4_len = len - c->at;
    return true;
}

/* The sender is told as if the network had refused. */
static void rejected(rmr_ns *ns, const ns_pkt *p, rmr_ns_verdict v)
{
    ns_tuple t;
    memset(&t, 0, sizeof t);
    if (p->l4_len < 8)
        return;
    t.local = p->src;
    t.remote = p->dst;
    t.lport = rmr_load_be16(p->l4);
    t.rport = rmr_load_be16(p->l4 + 2);
    t.family = p->family;
    t.proto = p->proto;
    bool v4 = t.family == RMR_AF_INET, denied = v == RMR_NS_REJECT;
    if (t.proto == NS_PROTO_TCP && p->l4_len >= 20) {
        rmri_tcp_rejected(ns, &t, p->l4[13], denied);
    } else if (t.proto == NS_PROTO_UDP) {
        rmr_ns_error e;
        memset(&e, 0, sizeof e);
        e.why = denied ? RMR_E_DENIED : RMR_E_UNREACHABLE;
        e.type = v4 ? 3 : 1;
        e.code = denied ? (v4 ? 13 : 1) : (v4 ? 1 : 3);
        e.to = rmri_ns_addr_of(t.family, &t.remote, t.rport);
        (void)rmri_ns_udp_error(ns, &t, &e);
    }
}

/* Pieces of a datagram lie one after the other in the queue, so one verdict is
 * all that is to be remembered. */
static bool follows(rmr_ns *ns, const ns_pkt *p, const ns_chain *c)
{
    const ns_out_frag *f = &ns->out_frag;
    bool known = f->family == p->family && f->proto == c->proto &&
                 f->id == c->id && ns_ip_eq(&f->src, &p->src) &&
                 ns_ip_eq(&f->dst, &p->dst);
    if (known && f->pass)
        return true;
    ns->stats.discard_filtered++;
    return false;
}

bool rmri_ns_filter_out(rmr_ns *ns, const uint8_t *pkt, size_t len)
{
    ns_pkt p;
    ns_chain c;
    if (!parse_out(pkt, len, &p, &c)) {
        ns->stats.discard_filtered++;
        return false;
    }
    if (c.off)
        return follows(ns, &p, &c);
    rmr_ns_verdict v = ask(ns, &p, RMR_NS_OUT);
    if (c.fragment) {
        ns_out_frag f = {p.src,    p.dst,   c.id,
                         p.family, c.proto, v == RMR_NS_ACCEPT};
        ns->out_frag = f;
    }
    if (v == RMR_NS_REJECT || v == RMR_NS_NO_ROUTE)
        rejected(ns, &p, v);
    return v == RMR_NS_ACCEPT;
}
