/* UDP out: whose address, and datagrams above the path's MTU in pieces
 * (RFC 791 3.2, RFC 8200 4.5). */
#include "ns_internal.h"

#define UDP_HEADER 8u
#define UDP_MAX 65507u /* what an IPv4 packet of 65,535 bytes holds */

typedef struct dgram {
    ns_tuple t; /* as we see it */
    uint8_t tos;
    uint8_t header[UDP_HEADER];
    rmr_bytes data;
} dgram;

/* ---- the tuple -------------------------------------------------------- */

static bool other(const rmr_addr *a, uint8_t family, const ns_ip *ip,
                  uint16_t port)
{
    ns_ip b = rmri_ns_ip_of(a);
    return a->family != family || a->port != port || !ns_ip_eq(&b, ip);
}

static rmr_err connected_tuple(const rmr_ns *ns, const ns_udp *u,
                               const rmr_addr *from, const rmr_addr *to,
                               ns_tuple *t)
{
    *t = u->tuple;
    if (to && other(to, t->family, &t->remote, t->rport))
        return RMR_E_INVAL;
    if (from && from->family != RMR_AF_NONE) {
        ns_ip ip = rmri_ns_ip_of(from);
        if (from->family != t->family || !ns_ip_eq(&ip, &t->local))
            return RMR_E_UNREACHABLE;
    }
    /* A flow's address is the one that the client asked for. */
    return u->source || rmri_ns_is_local(ns, t->family, &t->local)
               ? RMR_OK
               : RMR_E_UNREACHABLE;
}

static rmr_err bound_tuple(const rmr_ns *ns, const ns_udp *u,
                           const rmr_addr *from, const rmr_addr *to,
                           ns_tuple *t)
{
    static const ns_ip zero;
    *t = u->tuple;
    if (!to || (to->family != RMR_AF_INET && to->family != RMR_AF_INET6))
        return RMR_E_INVAL;
    t->remote = rmri_ns_ip_of(to);
    t->rport = to->port;
    if ((t->family != RMR_AF_NONE && t->family != to->family) ||
        rmri_ns_bad_addr(to->family, &t->remote))
        return RMR_E_UNREACHABLE;
    t->family = to->family;
    if (from && from->family != RMR_AF_NONE) {
        if (from->family != to->family)
            return RMR_E_UNREACHABLE;
        t->local = rmri_ns_ip_of(from);
    } else if (ns_ip_eq(&t->local, &zero)) {
        return rmri_ns_source_for(ns, t->family, &t->remote, &t->local)
                   ? RMR_OK
                   : RMR_E_UNREACHABLE;
    }
    /* With cfg.forward a socket may serve a foreign address, too. */
    bool served = ns->cfg.forward && ns_ip_eq(&t->local, &u->tuple.local) &&
                  !rmri_ns_bad_addr(t->family, &t->local);
    return served || rmri_ns_is_local(ns, t->family, &t->local)
               ? RMR_OK
               : RMR_E_UNREACHABLE;
}

/* ---- bytes ------------------------------------------------------------ */

static void fill_header(dgram *d)
{
    uint8_t *h = d->header;
    size_t len = UDP_HEADER + d->data.len;
    rmr_store_be16(h, d->t.lport);
    rmr_store_be16(h + 2, d->t.rport);
    rmr_store_be16(h + 4, (uint16_t)len);
    rmr_store_be16(h + 6, 0);
    uint64_t sum = rmri_ns_sum_pseudo(d->t.family, &d->t.local, &d->t.remote,
                                      NS_PROTO_UDP, len);
    sum = rmri_ns_sum(sum, h, UDP_HEADER);
    sum = rmri_ns_sum(sum, d->data.ptr, d->data.len);
    rmri_ns_sum_store(h + 6, sum);
    if (h[6] == 0 && h[7] == 0)
        h[6] = h[7] = 0xff;
}

/* [off, off + n) of header and data. */
static void copy_out(uint8_t *dst, const dgram *d, size_t off, size_t n)
{
    if (off == 0) {
        memcpy(dst, d->header, UDP_HEADER);
        dst += UDP_HEADER;
        n -= UDP_HEADER;
    } else {
        off -= UDP_HEADER;
    }
    if (n)
        memcpy(dst, d->data.ptr + off, n);
}

static rmr_err send_whole(rmr_ns *ns, const dgram *d)
{
    size_t hl = ns_ip_header_len(d->t.family), len = UDP_HEADER + d->data.len;
    uint8_t *p = rmri_ns_pktq_add(ns, hl + len);
    if (!p)
        return RMR_E_FULL;
    (void)rmri_ns_ip_write(p, d->t.family, &d->t.local, &d->t.remote,
                           NS_PROTO_UDP, len, rmri_ns_flow_label(ns, &d->t));
    if (d->tos)
        rmri_ns_ip_set_tos(p, d->tos);
    copy_out(p + hl, d, 0, len);
    return RMR_OK;
}

/* All pieces or none. */
static rmr_err send_pieces(rmr_ns *ns, const dgram *d, size_t mtu)
{
    size_t hl = ns_ip_header_len(d->t.family), len = UDP_HEADER + d->data.len;
    if (d->t.family == RMR_AF_INET6)
        hl += NS_IP6_FRAGMENT;
    size_t most = (mtu - hl) & ~(size_t)7;
    uint32_t id = rmri_ns_frag_id(ns, &d->t);
    ns_pktq_mark mark = rmri_ns_pktq_mark(ns);
    uint32_t n = 0;
    for (size_t off = 0; off < len; off += most, n++) {
        size_t part = len - off < most ? len - off : most;
        uint8_t *p = rmri_ns_pktq_add(ns, hl + part);
        if (!p) {
            rmri_ns_pktq_undo(ns, &mark);
            return RMR_E_FULL;
        }
        (void)rmri_ns_ip_write_piece(p, &d->t, id, off, part, off + part < len);
        if (d->tos)
            rmri_ns_ip_set_tos(p, d->tos);
        copy_out(p + hl, d, off, part);
    }
    ns->stats.tx_fragments += n;
    return RMR_OK;
}

rmr_err rmr_ns_udp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    if (now > ns->now)
        ns->now = now;
    ns_udp *u = rmri_ns_udp_get(ns, s.id);
    if (!u)
        return RMR_E_BADHANDLE;
    dgram d;
    rmr_err e = u->connected ? connected_tuple(ns, u, from, to, &d.t)
                             : bound_tuple(ns, u, from, to, &d.t);
    if (e)
        return e;
    size_t hl = ns_ip_header_len(d.t.family);
    size_t mtu = rmri_ns_path_mtu(ns, d.t.family, &d.t.remote);
    bool fits = hl + UDP_HEADER + data.len <= mtu;
    if (data.len > UDP_MAX || (!fits && ns->cfg.no_udp_fragments))
        return RMR_E_TOOBIG;
    d.tos = u->head.tos;
    d.data = data;
    fill_header(&d);
    e = fits ? send_whole(ns, &d) : send_pieces(ns, &d, mtu);
    if (!e && !u->connected)
        rmri_ns_path_note(ns, &d.t, hl + UDP_HEADER + data.len);
    if (!e && u->source)
        rmri_ns_session_touch(ns, u);
    return e;
}
