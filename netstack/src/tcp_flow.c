/* TCP to foreign addresses: the SYN waits in an entry until the host knows
 * whether its backend takes the connection. */
#include "tcp_internal.h"

#define KEEP_IDLE (5 * 60 * RMR_SEC)
#define KEEP_GAP (30 * RMR_SEC)
#define KEEP_PROBES 5u
#define INTERVALS 3u
/* The longest first interval in use (RFC 1122 4.2.3.1). */
#define INTERVAL_MIN (3 * RMR_SEC)

/* ECN bits don't matter: who offers it has sent a plain SYN. */
bool rmri_tcp_is_request(const rmr_ns *ns, const tcp_seg *s)
{
    return ns->cb.on_flow &&
           (s->flags & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) == TH_SYN;
}

static void take_syn(ns_pending *p, const tcp_seg *s)
{
    p->u.tcp.irs = s->seq;
    p->u.tcp.mss = s->o.mss;
    p->u.tcp.wnd = s->wnd;
    p->u.tcp.ws = s->o.ws;
    p->u.tcp.tsval = s->o.has_ts ? s->o.tsval : 0;
    p->u.tcp.opts = (uint8_t)((s->o.has_ws ? NS_SYN_WS : 0) |
                              (s->o.sack_ok ? NS_SYN_SACK : 0) |
                              (s->o.has_ts ? NS_SYN_TS : 0));
}

/* A client that gave up sends no more SYNs, and nothing else: it is gone when
 * three of its intervals passed, each twice the last. */
static void expect_repeat(rmr_ns *ns, ns_pending *p, rmr_dur interval)
{
    if (interval < INTERVAL_MIN)
        interval = INTERVAL_MIN;
    rmr_time at = rmr_time_add(ns->now, INTERVALS * interval);
    (void)rmr_timers_set(&ns->timers, &p->timer, rmr_time_min(at, p->end));
}

rmr_err rmri_tcp_request(rmr_ns *ns, const tcp_seg *s)
{
    rmr_err why;
    ns_pending *p = rmri_ns_pending_new(ns, &s->tuple, &why);
    if (!p)
        return why;
    take_syn(p, s);
    p->u.tcp.iss = rmri_tcp_syn_isn(ns, s);
    expect_repeat(ns, p, 0);
    rmri_ns_pending_ask(ns, p);
    return RMR_OK;
}

void rmri_tcp_pending_input(rmr_ns *ns, ns_pending *p, const tcp_seg *s)
{
    if (s->flags & TH_RST) {
        if (s->seq == p->u.tcp.irs + 1)
            rmri_ns_pending_gone(ns, p);
        else
            tcp_drop(ns);
        return;
    }
    if (s->flags & TH_ACK) { /* of nothing that we sent */
        rmri_tcp_refuse(ns, s);
        return;
    }
    if ((s->flags & (TH_SYN | TH_FIN)) != TH_SYN) {
        tcp_drop(ns);
        return;
    }
    /* A repeat, or a new attempt of the same ports, which the host's dial suits
     * as well. */
    rmr_dur age = NS_PENDING_LIFE - rmr_time_since(p->end, ns->now);
    uint32_t ms = (uint32_t)(age / RMR_MS);
    rmr_dur gap = (rmr_dur)(ms - p->u.tcp.last_ms) * RMR_MS;
    p->u.tcp.last_ms = (uint16_t)ms;
    take_syn(p, s);
    expect_repeat(ns, p, 2 * gap);
}

rmr_err rmri_tcp_pending_accept(rmr_ns *ns, ns_pending *p, void *tag,
                                rmr_ns_sock *out)
{
    rmr_err why;
    ns_tuple t = p->tuple;
    tcp_opts o = {0};
    uint32_t iss = p->u.tcp.iss, irs = p->u.tcp.irs;
    tcp_conn *c = rmri_tcp_conn_new(ns, &t, &why); /* takes the flow */
    if (!c)
        return why;
    o.has_ws = (p->u.tcp.opts & NS_SYN_WS) != 0;
    o.ws = p->u.tcp.ws;
    o.sack_ok = (p->u.tcp.opts & NS_SYN_SACK) != 0;
    o.has_ts = (p->u.tcp.opts & NS_SYN_TS) != 0;
    o.tsval = p->u.tcp.tsval;
    c->tag = tag;
    c->state = RMR_NS_SYN_RECEIVED;
    c->snd_una = iss;
    c->snd_nxt = iss + 1;
    c->rcv_nxt = c->last_ack = irs + 1;
    c->rcv_adv = c->rcv_nxt + u32_min(c->rcv_limit, 65535);
    c->snd_wnd = c->max_wnd = p->u.tcp.wnd; /* never scaled in a SYN */
    c->snd_wl1 = irs;
    rmri_tcp_take_options(ns, c, p->u.tcp.mss, &o);
    c->flags |= CF_SYN_DUE;
    out->id = c->head.id;
    rmri_ns_pending_free(ns, p, false);
    rmri_tcp_want_output(ns, c);
    /* The bytes are another connection's: they don't wait for company, and a
     * dead client must not hold two ends. */
    (void)rmr_ns_tcp_set_nodelay(ns, *out, true);
    return rmr_ns_tcp_set_keepalive(ns, ns->now, *out, KEEP_IDLE, KEEP_GAP,
                                    KEEP_PROBES);
}

/* The SYN again, as far as an error quotes it. */
static void quote_syn(const ns_pending *p, uint8_t *buf, ns_pkt *out)
{
    tcp_out o = {0};
    ns_tuple t = p->tuple;
    t.local = p->tuple.remote;
    t.remote = p->tuple.local;
    t.lport = p->tuple.rport;
    t.rport = p->tuple.lport;
    o.tuple = &t;
    o.seq = p->u.tcp.irs;
    o.wnd = p->u.tcp.wnd;
    o.flags = TH_SYN;
    uint64_t sum =
        rmri_ns_sum_pseudo(t.family, &t.local, &t.remote, NS_PROTO_TCP, 0);
    memset(out, 0, sizeof *out);
    out->ip_len = rmri_tcp_write(buf, &o, 0, sum, 0);
    out->ip = buf;
    out->l4 = buf + ns_ip_header_len(t.family);
    out->l4_len = TCP_HEADER;
    out->src = t.local;
    out->dst = t.remote;
    out->family = t.family;
    out->proto = NS_PROTO_TCP;
}

void rmri_tcp_pending_refuse(rmr_ns *ns, const ns_pending *p, rmr_err why)
{
    uint8_t buf[NS_HEADERS_MAX];
    ns_pkt about;
    if (why == RMR_E_REFUSED) {
        rmri_tcp_reset_ack(ns, &p->tuple, 0, p->u.tcp.irs + 1);
    } else if (why == RMR_E_UNREACHABLE || why == RMR_E_DENIED) {
        quote_syn(p, buf, &about);
        rmri_ns_icmp_error(ns, &about,
                           why == RMR_E_DENIED ? NS_ICMP_PROHIBITED
                                               : NS_ICMP_HOST_UNREACHABLE,
                           0);
    }
}

/* ---- what a filter refuses -------------------------------------------- */

bool rmri_tcp_reject(rmr_ns *ns, const ns_pkt *p)
{
    tcp_seg s;
    if (p->piece)
        return false;
    if (rmri_tcp_parse(ns, p, &s))
        rmri_tcp_refuse(ns, &s);
    return true;
}

/* A way that is not there may come back: that ends only what is not open yet. */
void rmri_tcp_rejected(rmr_ns *ns, const ns_tuple *t, uint8_t flags,
                       bool denied)
{
    void *flow = rmri_ns_find_flow(ns, t);
    const ns_head *h = flow;
    if (!h || (flags & TH_RST))
        return;
    if (h->kind == NS_KIND_HALF_OPEN && denied) {
        rmri_tcp_half_free(ns, flow);
    } else if (h->kind == NS_KIND_CONN) {
        tcp_conn *c = flow;
        if (c->state == RMR_NS_SYN_SENT)
            rmri_tcp_finish(ns, c, denied ? RMR_E_REFUSED : RMR_E_UNREACHABLE);
        else if (denied)
            rmri_tcp_finish(ns, c, RMR_E_RESET);
    }
}
