/* Listeners and their half-open connections: small entries, so that a flood of
 * SYNs costs little (RFC 4987). */
#include "tcp_internal.h"

static tcp_listener *listener_of(const rmr_ns *ns, uint64_t id)
{
    ns_head *h = rmr_slots_get(&ns->socks, id);
    return h && h->kind == NS_KIND_LISTENER ? (tcp_listener *)(void *)h : NULL;
}

static void send_syn_ack(rmr_ns *ns, tcp_half *h)
{
    tcp_out o = {0};
    tcp_syn y = {0};
    y.mss = rmri_tcp_own_mss(ns, h->tuple.family);
    y.ws = rmri_tcp_own_ws(ns);
    y.has_ws = h->has_ws;
    y.sack_ok = h->sack_ok;
    y.has_ts = h->has_ts;
    y.tsval = tcp_ts_now(ns, h->ts_off);
    y.tsecr = h->ts_recent;
    o.tuple = &h->tuple;
    o.seq = h->iss;
    o.ack = h->irs + 1;
    o.flags = TH_SYN | TH_ACK;
    size_t wnd = ns->cfg.tcp_recv_max;
    wnd = wnd < TCP_WINDOW_START ? wnd : TCP_WINDOW_START;
    o.wnd = (uint16_t)(wnd < 65535 ? wnd : 65535);
    rmri_tcp_syn_options(&o, &y);
    rmri_tcp_emit(ns, &o);
}

void rmri_tcp_half_free(rmr_ns *ns, tcp_half *h)
{
    tcp_listener *l = listener_of(ns, h->listener);
    if (l)
        l->n_half--;
    rmri_ns_del_flow(ns, &h->tuple);
    rmr_timers_cancel(&ns->timers, &h->timer);
    rmr_slots_free(&ns->halves, h->head.id);
}

static tcp_half *open_half(rmr_ns *ns, tcp_listener *l, const tcp_seg *s)
{
    uint64_t id;
    if (l->n_half >= ns->cfg.backlog)
        return NULL;
    tcp_half *h = rmr_slots_new(&ns->halves, &id);
    if (!h)
        return NULL;
    h->head.id = id;
    h->head.kind = NS_KIND_HALF_OPEN;
    h->tuple = s->tuple;
    h->timer.kind = NS_TIMER_HALF_OPEN;
    h->timer.owner = h;
    h->listener = l->head.id;
    if (rmri_ns_reserve_timers(ns) ||
        rmri_ns_add_flow(ns, &h->tuple, &h->head)) {
        rmr_slots_free(&ns->halves, id);
        return NULL;
    }
    l->n_half++;
    return h;
}

void rmri_tcp_listen_input(rmr_ns *ns, tcp_listener *l, const tcp_seg *s)
{
    if (s->flags & TH_RST)
        return;
    if (s->flags & TH_ACK) {
        rmri_tcp_refuse(ns, s);
        return;
    }
    /* Data on the SYN is not taken; the peer sends it again. */
    if ((s->flags & (TH_SYN | TH_FIN)) != TH_SYN)
        return;
    tcp_half *h = open_half(ns, l, s);
    if (!h) {
        ns->stats.discard_full++;
        return;
    }
    h->iss = rmri_ns_isn(ns, &h->tuple);
    if (s->has_floor && seq_le(h->iss, s->iss_floor))
        h->iss = s->iss_floor + 1;
    h->irs = s->seq;
    h->mss = s->o.mss;
    h->ws = s->o.ws;
    h->has_ws = s->o.has_ws;
    h->sack_ok = s->o.sack_ok;
    h->has_ts = s->o.has_ts;
    h->ts_recent = s->o.has_ts ? s->o.tsval : 0;
    h->ts_off = rmri_ns_ts_offset(ns, &h->tuple);
    h->sent_at = ns->now;
    send_syn_ack(ns, h);
    (void)rmr_timers_set(&ns->timers, &h->timer,
                         rmr_time_add(ns->now, TCP_RTO_FIRST));
}

void rmri_tcp_half_timer(rmr_ns *ns, tcp_half *h)
{
    tcp_listener *l = listener_of(ns, h->listener);
    bool busy = l && l->n_half > ns->cfg.backlog / 2;
    if (!l || h->tries >= (busy ? TCP_SYNACK_TRIES_BUSY : TCP_SYNACK_TRIES)) {
        rmri_tcp_half_free(ns, h);
        return;
    }
    h->tries++;
    send_syn_ack(ns, h);
    (void)rmr_timers_set(&ns->timers, &h->timer,
                         rmr_time_add(ns->now, TCP_RTO_FIRST << h->tries));
}

/* Makes the connection; NULL for want of memory or sockets. */
static tcp_conn *promote(rmr_ns *ns, tcp_half *h, const tcp_seg *s)
{
    rmr_err why;
    tcp_half e = *h;
    tcp_conn *c = rmri_tcp_conn_new(ns, &e.tuple, &why); /* takes the flow */
    if (!c) {
        ns->stats.discard_full++;
        return NULL;
    }
    tcp_listener *l = listener_of(ns, e.listener);
    if (l)
        l->n_half--;
    rmr_timers_cancel(&ns->timers, &h->timer);
    rmr_slots_free(&ns->halves, e.head.id);

    tcp_opts o = {0};
    o.has_ws = e.has_ws;
    o.ws = e.ws;
    o.sack_ok = e.sack_ok;
    o.has_ts = e.has_ts;
    o.tsval = e.ts_recent;
    c->listener = e.listener;
    c->iss = e.iss;
    c->snd_una = c->snd_nxt = e.iss + 1;
    c->irs = e.irs;
    c->rcv_nxt = c->last_ack = e.irs + 1;
    c->rcv_adv = c->rcv_nxt + u32_min(c->rcv_limit, 65535);
    rmri_tcp_take_options(ns, c, e.mss, &o);
    c->snd_wnd = c->max_wnd = (uint32_t)s->wnd << c->snd_ws;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    if (e.tries)
        c->flags |= CF_SYN_RETRANS;
    else
        rmri_tcp_rtt_sample(c, rmr_time_since(ns->now, e.sent_at));
    rmri_tcp_established(ns, c);
    rmri_tcp_event(ns, c, EV_ACCEPT);
    return c;
}

static void answer_half(rmr_ns *ns, const tcp_half *h)
{
    tcp_out o = {0};
    o.tuple = &h->tuple;
    o.seq = h->iss + 1;
    o.ack = h->irs + 1;
    o.flags = TH_ACK;
    o.wnd = 65535;
    if (h->has_ts)
        rmri_tcp_ts_option(&o, tcp_ts_now(ns, h->ts_off), h->ts_recent);
    ns->stats.tcp_challenge_acks++;
    rmri_tcp_emit(ns, &o);
}

void rmri_tcp_half_input(rmr_ns *ns, tcp_half *h, tcp_seg *s)
{
    bool old = h->has_ts && s->o.has_ts && seq_lt(s->o.tsval, h->ts_recent);
    uint32_t ahead = s->seq - (h->irs + 1);
    if (s->flags & TH_RST) {
        if (ahead == 0)
            rmri_tcp_half_free(ns, h);
        return;
    }
    if (s->flags & TH_SYN) {
        if (s->seq == h->irs && !(s->flags & TH_ACK))
            send_syn_ack(ns, h);
        else
            answer_half(ns, h);
        return;
    }
    if (!(s->flags & TH_ACK))
        return;
    if (s->ack != h->iss + 1) {
        rmri_tcp_reset(ns, &h->tuple, s->ack);
        return;
    }
    if (ahead >= 65535 || old) {
        answer_half(ns, h);
        return;
    }
    tcp_conn *c = promote(ns, h, s);
    if (c) /* else as if the segment was lost: the peer repeats */
        rmri_tcp_conn_input(ns, c, s);
}

void rmri_tcp_listener_close(rmr_ns *ns, tcp_listener *l)
{
    uint32_t pos = 0;
    uint64_t id;
    for (tcp_half *h; (h = rmr_slots_next(&ns->halves, &pos, &id));) {
        if (h->listener != l->head.id)
            continue;
        rmri_tcp_reset_ack(ns, &h->tuple, h->iss + 1, h->irs + 1);
        rmri_tcp_half_free(ns, h);
    }
    (void)rmr_hash_del(&ns->binds, &l->bind, sizeof l->bind);
    rmr_slots_free(&ns->socks, l->head.id);
}
