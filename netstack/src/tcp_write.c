/* One segment as bytes, and segments that no connection block sends. */
#include "tcp_internal.h"

size_t rmri_tcp_write(uint8_t *dst, const tcp_out *o, size_t len, uint64_t sum,
                      uint32_t label)
{
    const ns_tuple *t = o->tuple;
    size_t tcp_len = TCP_HEADER + o->opts_len;
    size_t ip_len = rmri_ns_ip_write(dst, t->family, &t->local, &t->remote,
                                     NS_PROTO_TCP, tcp_len + len, label);
    uint8_t *h = dst + ip_len;
    rmr_store_be16(h, t->lport);
    rmr_store_be16(h + 2, t->rport);
    rmr_store_be32(h + 4, o->seq);
    rmr_store_be32(h + 8, o->flags & TH_ACK ? o->ack : 0);
    h[12] = (uint8_t)(tcp_len / 4 << 4);
    h[13] = o->flags;
    rmr_store_be16(h + 14, o->wnd);
    rmr_store_be32(h + 16, 0);
    if (o->opts_len)
        memcpy(h + TCP_HEADER, o->opts, o->opts_len);
    sum = rmri_ns_sum_be16(sum, (uint16_t)(tcp_len + len));
    rmri_ns_sum_store(h + 16, rmri_ns_sum(sum, h, tcp_len));
    return ip_len + tcp_len;
}

void rmri_tcp_emit(rmr_ns *ns, const tcp_out *o)
{
    const ns_tuple *t = o->tuple;
    uint8_t *p = rmri_ns_pktq_add(ns, tcp_headers_len(o));
    if (!p)
        return;
    uint64_t sum =
        rmri_ns_sum_pseudo(t->family, &t->local, &t->remote, NS_PROTO_TCP, 0);
    (void)rmri_tcp_write(p, o, 0, sum, rmri_ns_flow_label(ns, t));
}

void rmri_tcp_reset(rmr_ns *ns, const ns_tuple *t, uint32_t seq)
{
    tcp_out o = {0};
    o.tuple = t;
    o.seq = seq;
    o.flags = TH_RST;
    ns->stats.tcp_resets_sent++;
    rmri_tcp_emit(ns, &o);
}

void rmri_tcp_reset_ack(rmr_ns *ns, const ns_tuple *t, uint32_t seq,
                        uint32_t ack)
{
    tcp_out o = {0};
    o.tuple = t;
    o.seq = seq;
    o.ack = ack;
    o.flags = TH_RST | TH_ACK;
    ns->stats.tcp_resets_sent++;
    rmri_tcp_emit(ns, &o);
}

void rmri_tcp_refuse(rmr_ns *ns, const tcp_seg *s)
{
    if (s->flags & TH_RST)
        return;
    if (s->flags & TH_ACK)
        rmri_tcp_reset(ns, &s->tuple, s->ack);
    else
        rmri_tcp_reset_ack(ns, &s->tuple, 0, s->seq + seg_len(s));
}
