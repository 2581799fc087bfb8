/* Listeners and their half-open connections: small entries, so that a flood of
 * SYNs costs little (RFC 4987). */
#include "tcp_internal.h"

tcp_listener *rmri_tcp_listener_get(const rmr_ns *ns, uint64_t id)
{
    ns_head *h = rmri_ns_dgram_get(ns, id);
    return h && h->kind == NS_KIND_LISTENER ? (tcp_listener *)(void *)h : NULL;
}

/* ---- SYN in, SYN-ACK out ---------------------------------------------- */

static void send_syn_ack(rmr_ns *ns, const tcp_half *h, uint32_t tsval)
{
    tcp_out o = {0};
    tcp_syn y = {0};
    y.mss = rmri_tcp_own_mss(ns, h->tuple.family);
    y.ws = rmri_tcp_own_ws(ns);
    y.has_ws = h->has_ws;
    y.sack_ok = h->sack_ok;
    y.has_ts = h->has_ts;
    y.tsval = tsval;
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
    tcp_listener *l = rmri_tcp_listener_get(ns, h->listener);
    if (l)
        l->n_half--;
    rmri_ns_del_flow(ns, &h->tuple);
    rmr_timers_cancel(&ns->timers, &h->timer);
    rmr_slots_free(&ns->halves, h->head.id);
}

/* What a SYN tells. */
static void from_syn(const rmr_ns *ns, tcp_half *h, const tcp_seg *s)
{
    h->tuple = s->tuple;
    h->irs = s->seq;
    h->mss = s->o.mss;
    h->ws = s->o.ws;
    h->has_ws = s->o.has_ws;
    h->sack_ok = s->o.sack_ok;
    h->has_ts = s->o.has_ts;
    h->ts_recent = s->o.has_ts ? s->o.tsval : 0;
    h->ts_off = rmri_ns_ts_offset(ns, &h->tuple);
}

static tcp_half *open_half(rmr_ns *ns, tcp_listener *l, const tcp_seg *s)
{
    uint64_t id;
    if (l->n_half >= l->half_max)
        return NULL;
    tcp_half *h = rmr_slots_new(&ns->halves, &id);
    if (!h)
        return NULL;
    h->head.id = id;
    h->head.kind = NS_KIND_HALF_OPEN;
    h->timer.kind = NS_TIMER_HALF_OPEN;
    h->timer.owner = h;
    h->listener = l->head.id;
    from_syn(ns, h, s);
    if (rmri_ns_reserve_timers(ns) ||
        rmri_ns_add_flow(ns, &h->tuple, &h->head)) {
        rmr_slots_free(&ns->halves, id);
        return NULL;
    }
    l->n_half++;
    return h;
}

/* No room for an entry: nothing is kept. */
static void send_cookie(rmr_ns *ns, tcp_listener *l, const tcp_seg *s)
{
    tcp_half e = {0};
    from_syn(ns, &e, s);
    rmri_tcp_cookie_make(ns, &e);
    send_syn_ack(ns, &e, rmri_tcp_cookie_stamp(ns, &e));
    l->cookie_at = ns->now ? ns->now : 1;
    ns->stats.tcp_cookies_sent++;
}

static bool take_cookie(rmr_ns *ns, tcp_listener *l, tcp_seg *s);

void rmri_tcp_listen_input(rmr_ns *ns, tcp_listener *l, tcp_seg *s)
{
    if (s->flags & TH_RST) {
        tcp_drop(ns);
        return;
    }
    if (s->flags & TH_ACK) {
        if ((s->flags & TH_SYN) || !take_cookie(ns, l, s))
            rmri_tcp_refuse(ns, s);
        return;
    }
    /* Data on the SYN is not taken; the peer sends it again. */
    if ((s->flags & (TH_SYN | TH_FIN)) != TH_SYN) {
        tcp_drop(ns);
        return;
    }
    tcp_half *h = open_half(ns, l, s);
    if (!h && s->tw) {
        /* A cookie's number can't be raised above the old connection's, and
         * its ACK would be for the entry: the peer repeats its SYN. */
        ns->stats.discard_full++;
        return;
    }
    if (!h) {
        send_cookie(ns, l, s);
        return;
    }
    h->iss = rmri_tcp_syn_isn(ns, s);
    h->sent_at = ns->now;
    send_syn_ack(ns, h, tcp_ts_now(ns, h->ts_off));
    (void)rmr_timers_set(&ns->timers, &h->timer,
                         rmr_time_add(ns->now, TCP_RTO_FIRST));
}

void rmri_tcp_half_timer(rmr_ns *ns, tcp_half *h)
{
    tcp_listener *l = rmri_tcp_listener_get(ns, h->listener);
    bool busy = l && l->n_half > l->half_max / 2;
    if (!l || h->tries >= (busy ? TCP_SYNACK_TRIES_BUSY : TCP_SYNACK_TRIES)) {
        rmri_tcp_half_free(ns, h);
        return;
    }
    h->tries++;
    send_syn_ack(ns, h, tcp_ts_now(ns, h->ts_off));
    (void)rmr_timers_set(&ns->timers, &h->timer,
                         rmr_time_add(ns->now, TCP_RTO_FIRST << h->tries));
}

/* ---- the final ACK ---------------------------------------------------- */

/* The application is not to be overrun: the peer repeats its ACK. */
static bool queue_is_full(const tcp_listener *l)
{
    return l && l->paused && l->n_unaccepted >= l->unaccepted_max;
}

/* Makes the connection, which takes the entry's flow; NULL for want of memory
 * or sockets.  `rtt`: 0 is none. */
static tcp_conn *open_conn(rmr_ns *ns, const tcp_half *e, const tcp_seg *s,
                           rmr_dur rtt)
{
    rmr_err why;
    tcp_opts o = {0};
    tcp_listener *l = rmri_tcp_listener_get(ns, e->listener);
    tcp_conn *c = NULL;
    if (!queue_is_full(l))
        c = rmri_tcp_conn_new(ns, &e->tuple, &why);
    if (!c) {
        ns->stats.discard_full++;
        return NULL;
    }
    o.has_ws = e->has_ws;
    o.ws = e->ws;
    o.sack_ok = e->sack_ok;
    o.has_ts = e->has_ts;
    o.tsval = e->ts_recent;
    c->listener = e->listener;
    c->snd_una = c->snd_nxt = e->iss + 1;
    c->rcv_nxt = c->last_ack = e->irs + 1;
    c->rcv_adv = c->rcv_nxt + u32_min(c->rcv_limit, 65535);
    rmri_tcp_take_options(ns, c, e->mss, &o);
    c->snd_wnd = c->max_wnd = (uint32_t)s->wnd << c->snd_ws;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    c->flags |= CF_UNACCEPTED | (e->tries ? CF_SYN_RETRANS : 0);
    if (rtt)
        rmri_tcp_rtt_sample(c, rtt);
    if (l)
        l->n_unaccepted++;
    rmri_tcp_established(ns, c);
    rmri_tcp_event(ns, c, EV_ACCEPT);
    return c;
}

static tcp_conn *promote(rmr_ns *ns, tcp_half *h, const tcp_seg *s)
{
    tcp_half e = *h;
    rmr_dur rtt = e.tries ? 0 : rmr_time_since(ns->now, e.sent_at) + 1;
    tcp_conn *c = open_conn(ns, &e, s, rtt);
    if (!c)
        return NULL;
    tcp_listener *l = rmri_tcp_listener_get(ns, e.listener);
    if (l)
        l->n_half--;
    rmr_timers_cancel(&ns->timers, &h->timer);
    rmr_slots_free(&ns->halves, e.head.id);
    return c;
}

/* False: it holds no cookie.  Only who sent some looks for them. */
static bool take_cookie(rmr_ns *ns, tcp_listener *l, tcp_seg *s)
{
    tcp_half e;
    if (l->cookie_at == 0 ||
        rmr_time_since(ns->now, l->cookie_at) > TCP_COOKIE_TTL ||
        !rmri_tcp_cookie_read(ns, s, &e))
        return false;
    e.listener = l->head.id;
    tcp_conn *c = open_conn(ns, &e, s, 0);
    if (c) {
        ns->stats.tcp_cookies_taken++;
        rmri_tcp_conn_input(ns, c, s);
    }
    return true;
}

static void answer_half(rmr_ns *ns, const tcp_half *h)
{
    tcp_out o = {0};
    if (!rmri_tcp_may_challenge(ns)) {
        tcp_drop(ns);
        return;
    }
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
        else if (ahead < 65535) /* RFC 5961 3.2 */
            answer_half(ns, h);
        else
            tcp_drop(ns);
        return;
    }
    if (s->flags & TH_SYN) {
        if (s->seq == h->irs && !(s->flags & TH_ACK))
            send_syn_ack(ns, h, tcp_ts_now(ns, h->ts_off));
        else
            answer_half(ns, h);
        return;
    }
    if (!(s->flags & TH_ACK)) {
        tcp_drop(ns);
        return;
    }
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

/* ---- the queue, and the end ------------------------------------------- */

void rmri_tcp_unqueue(rmr_ns *ns, tcp_conn *c)
{
    if (!(c->flags & CF_UNACCEPTED))
        return;
    tcp_listener *l = rmri_tcp_listener_get(ns, c->listener);
    c->flags &= ~(uint32_t)CF_UNACCEPTED;
    c->tag = NULL;
    if (l)
        l->n_unaccepted--;
}

rmr_err rmr_ns_tcp_pause(rmr_ns *ns, rmr_time now, rmr_ns_sock listener,
                         bool paused)
{
    if (now > ns->now)
        ns->now = now;
    tcp_listener *l = rmri_tcp_listener_get(ns, listener.id);
    if (!l)
        return RMR_E_BADHANDLE;
    l->paused = paused;
    while (!paused && !ns_list_empty(&l->waiting)) {
        ns_node *ev = l->waiting.next;
        ns_list_unlink(ev);
        ns_list_push(&ns->events, ev);
    }
    return RMR_OK;
}

rmr_err rmr_ns_tcp_set_backlog(rmr_ns *ns, rmr_ns_sock listener,
                               uint32_t half_open, uint32_t unaccepted)
{
    tcp_listener *l = rmri_tcp_listener_get(ns, listener.id);
    if (!l)
        return RMR_E_BADHANDLE;
    l->half_max = half_open;
    l->unaccepted_max = unaccepted;
    return RMR_OK;
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
    while (!ns_list_empty(&l->waiting)) {
        tcp_conn *c = NS_OWNER(l->waiting.next, tcp_conn, ev);
        rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
        rmri_tcp_conn_free(ns, c);
    }
    (void)rmr_hash_del(&ns->binds, &l->bind, sizeof l->bind);
    rmri_ns_dgram_free(ns, &l->head);
}
