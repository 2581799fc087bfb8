/* The life of a connection block: creation, callbacks, and the ways it ends. */
#include "tcp_internal.h"

tcp_conn *rmri_tcp_conn_get(const rmr_ns *ns, uint64_t id)
{
    ns_head *h = rmr_slots_get(&ns->socks, id);
    if (!h)
        return NULL;
    tcp_conn *c = (tcp_conn *)(void *)h;
    return c->flags & CF_ORPHAN ? NULL : c;
}

static void set_defaults(rmr_ns *ns, tcp_conn *c)
{
    c->t_rto = c->t_probe = c->t_ack = RMR_TIME_NEVER;
    c->t_keep = c->t_state = c->t_write = RMR_TIME_NEVER;
    c->timer.kind = NS_TIMER_CONN;
    c->timer.owner = c;
    c->rto = TCP_RTO_FIRST;
    c->quick = TCP_QUICK_ACKS;
    c->rack_mult = 1;
    c->rcv_max = (uint32_t)ns->cfg.tcp_recv_max;
    c->snd_max = (uint32_t)ns->cfg.tcp_send_max;
    c->rcv_limit = u32_min(TCP_WINDOW_START, c->rcv_max);
    c->snd_limit = u32_min(TCP_WINDOW_START, c->snd_max);
    c->user_ms = tcp_to_ms(ns->cfg.user_timeout);
    c->linger_ms = TCP_ORPHAN / RMR_MS;
    c->flags = ns->cfg.no_nagle ? CF_NODELAY : 0;
    c->last_snd = ns->now;
    c->tune_ms = tcp_ms(ns->now);
    c->ts_off = rmri_ns_ts_offset(ns, &c->tuple);
    c->label = rmri_ns_flow_label(ns, &c->tuple) & 0xfffffu;
    rmri_ns_cq_init(&c->snd);
    rmri_ns_cq_init(&c->rcv);
    c->cc = (uint8_t)ns->cfg.congestion;
    c->addr_sum = rmri_ns_sum_fold(rmri_ns_sum_pseudo(
        c->tuple.family, &c->tuple.local, &c->tuple.remote, NS_PROTO_TCP, 0));
}

tcp_conn *rmri_tcp_conn_new(rmr_ns *ns, const ns_tuple *t, rmr_err *why)
{
    uint64_t id;
    *why = RMR_E_FULL;
    if (rmri_ns_sockets_full(ns))
        return NULL;
    tcp_conn *c = rmr_slots_new(&ns->socks, &id);
    *why = RMR_E_NOMEM;
    if (!c)
        return NULL;
    c->head.id = id;
    c->head.kind = NS_KIND_CONN;
    c->tuple = *t;
    *why = rmri_ns_reserve_timers(ns);
    if (!*why)
        *why = rmri_ns_add_flow(ns, t, &c->head);
    if (*why) {
        rmr_slots_free(&ns->socks, id);
        return NULL;
    }
    set_defaults(ns, c);
    return c;
}

void rmri_tcp_conn_wipe(rmr_ns *ns, tcp_conn *c)
{
    rmri_ns_cq_wipe(&c->snd, &ns->pool);
    rmri_ns_cq_wipe(&c->rcv, &ns->pool);
    rmri_tcp_segq_wipe(&c->segq, &ns->env.alloc);
    rmri_tcp_ranges_wipe(&c->ooo, &ns->env.alloc);
}

/* Out of all lists but the slots. */
static void detach(rmr_ns *ns, tcp_conn *c)
{
    if (!(c->flags & CF_DONE))
        rmri_ns_del_flow(ns, &c->tuple);
    c->flags |= CF_DONE;
    ns_list_unlink(&c->out);
    rmr_timers_cancel(&ns->timers, &c->timer);
}

void rmri_tcp_conn_free(rmr_ns *ns, tcp_conn *c)
{
    rmri_tcp_unqueue(ns, c);
    detach(ns, c);
    ns_list_unlink(&c->ev);
    rmri_tcp_conn_wipe(ns, c);
    rmr_slots_free(&ns->socks, c->head.id);
}

void rmri_tcp_want_output(rmr_ns *ns, tcp_conn *c)
{
    if (!ns_node_linked(&c->out) && !(c->flags & CF_DONE))
        ns_list_push(&ns->out, &c->out);
}

/* ---- callbacks -------------------------------------------------------- */

void rmri_tcp_event(rmr_ns *ns, tcp_conn *c, uint8_t ev)
{
    if (c->flags & CF_ORPHAN)
        return;
    c->events |= ev;
    if (!ns_node_linked(&c->ev))
        ns_list_push(&ns->events, &c->ev);
}

typedef void (*event_fn)(void *user, void *tag, rmr_ns_sock sock);

static void call(rmr_ns *ns, const tcp_conn *c, event_fn fn)
{
    rmr_ns_sock s = {c->head.id};
    if (fn) {
        ns->in_callback = true;
        fn(ns->cb.user, c->tag, s);
        ns->in_callback = false;
    }
}

/* Nobody takes it: the listener is gone, or the host has no on_accept. */
static void call_accept(rmr_ns *ns, tcp_conn *c)
{
    uint64_t listener = c->listener;
    const tcp_listener *l = rmri_tcp_listener_get(ns, listener);
    rmri_tcp_unqueue(ns, c);
    if (!l || !ns->cb.on_accept) {
        rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
        rmri_tcp_conn_free(ns, c);
        return;
    }
    rmr_ns_sock sock = {c->head.id}, from = {listener};
    void *tag = l->tag;
    rmr_addr remote =
        rmri_ns_addr_of(c->tuple.family, &c->tuple.remote, c->tuple.rport);
    ns->stats.tcp_accepted++;
    ns->in_callback = true;
    ns->cb.on_accept(ns->cb.user, tag, from, sock, &remote);
    ns->in_callback = false;
}

static void call_closed(rmr_ns *ns, tcp_conn *c)
{
    rmr_ns_sock s = {c->head.id};
    void *tag = c->tag;
    rmr_err why = c->why;
    if (ns->cb.on_closed) {
        ns->in_callback = true;
        ns->cb.on_closed(ns->cb.user, tag, s, why);
        ns->in_callback = false;
    }
    c = rmri_tcp_conn_get(ns, s.id);
    if (c)
        rmri_tcp_conn_free(ns, c);
}

static void call_one(rmr_ns *ns, tcp_conn *c, uint8_t ev)
{
    switch (ev) {
    case EV_ACCEPT:
        call_accept(ns, c);
        break;
    case EV_CONNECTED:
        ns->stats.tcp_connected++;
        call(ns, c, ns->cb.on_connected);
        break;
    case EV_READABLE:
        call(ns, c, ns->cb.on_readable);
        break;
    case EV_WRITABLE:
        call(ns, c, ns->cb.on_writable);
        break;
    case EV_SUSPECT:
        call(ns, c, ns->cb.on_suspect);
        break;
    default:
        call_closed(ns, c);
        break;
    }
}

/* In this order: accept or connected, readable, writable, suspect, closed.  A callback
 * may end the socket, or raise a further event for the next round. */
void rmri_tcp_run_events(rmr_ns *ns, tcp_conn *c)
{
    uint64_t id = c->head.id;
    uint8_t due = c->events;
    if (c->flags & CF_UNACCEPTED) {
        tcp_listener *l = rmri_tcp_listener_get(ns, c->listener);
        if (l && l->paused) {
            ns_list_push(&l->waiting, &c->ev);
            return;
        }
    }
    c->events = 0;
    while (due) {
        uint8_t ev = (uint8_t)(due & -due); /* the lowest */
        due = (uint8_t)(due & ~ev);
        call_one(ns, c, ev);
        if (!due)
            return;
        c = rmri_tcp_conn_get(ns, id);
        if (!c)
            return;
    }
}

/* ---- ends ------------------------------------------------------------- */

void rmri_tcp_finish(rmr_ns *ns, tcp_conn *c, rmr_err why)
{
    /* A connection of which nobody was told needs no farewell. */
    if (c->flags & (CF_ORPHAN | CF_UNACCEPTED)) {
        rmri_tcp_conn_free(ns, c);
        return;
    }
    detach(ns, c);
    rmri_tcp_conn_wipe(ns, c);
    c->state = RMR_NS_CLOSED;
    c->why = (int16_t)why;
    c->events &= EV_CONNECTED;
    rmri_tcp_event(ns, c, EV_CLOSED);
}

void rmri_tcp_done(rmr_ns *ns, tcp_conn *c, bool wait)
{
    if (wait && rmri_tcp_tw_enter(ns, c))
        c->flags |= CF_DONE; /* the flow is the entry's now */
    if (c->flags & CF_ORPHAN) {
        rmri_tcp_conn_free(ns, c);
        return;
    }
    detach(ns, c);
    c->state = wait ? RMR_NS_TIME_WAIT : RMR_NS_CLOSED;
    c->why = RMR_OK;
    rmri_ns_cq_wipe(&c->snd, &ns->pool);
    rmri_tcp_segq_wipe(&c->segq, &ns->env.alloc);
    if (c->rcv.len == 0)
        rmri_tcp_event(ns, c, EV_CLOSED);
}

void rmri_tcp_addr_gone(rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    uint32_t pos = 0;
    uint64_t id;
    for (ns_head *h; (h = rmr_slots_next(&ns->socks, &pos, &id));) {
        tcp_conn *c = (tcp_conn *)(void *)h;
        if ((c->flags & CF_DONE) || c->tuple.family != family ||
            !ns_ip_eq(&c->tuple.local, ip))
            continue;
        if (c->state > RMR_NS_SYN_SENT)
            rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
        rmri_tcp_finish(ns, c, RMR_E_RESET);
    }
    pos = 0;
    for (tcp_half *h; (h = rmr_slots_next(&ns->halves, &pos, &id));)
        if (h->tuple.family == family && ns_ip_eq(&h->tuple.local, ip))
            rmri_tcp_half_free(ns, h);
}

/* ---- opening ---------------------------------------------------------- */

uint16_t rmri_tcp_own_mss(const rmr_ns *ns, uint8_t family)
{
    return (uint16_t)(ns->cfg.mtu - ns_ip_header_len(family) - TCP_HEADER);
}

uint8_t rmri_tcp_own_ws(const rmr_ns *ns)
{
    uint8_t shift = 0;
    while (shift < 14 && (65535ull << shift) < ns->cfg.tcp_recv_max)
        shift++;
    return shift;
}

void rmri_tcp_take_options(rmr_ns *ns, tcp_conn *c, uint16_t mss,
                           const tcp_opts *o)
{
    uint32_t own = rmri_tcp_own_mss(ns, c->tuple.family), m = mss;
    if (m == 0)
        m = c->tuple.family == RMR_AF_INET ? TCP_MSS_DEFAULT4
                                           : TCP_MSS_DEFAULT6;
    m = u32_min(u32_max(m, TCP_MSS_MIN), own);
    if (o->has_ts) {
        c->flags |= CF_TS;
        c->ts_recent = o->tsval;
        c->ts_recent_s = (uint32_t)(ns->now / RMR_SEC);
        m -= TCP_TS_LEN; /* RFC 6691 */
    }
    if (o->sack_ok)
        c->flags |= CF_SACK;
    if (o->has_ws) {
        c->flags |= CF_WS;
        c->snd_ws = o->ws;
        c->rcv_ws = rmri_tcp_own_ws(ns);
    }
    c->mss_peer = (uint16_t)m;
    rmri_tcp_mss_init(ns, c);
    c->mss_rcv = TCP_MSS_DEFAULT4;
    c->last_data_ms = tcp_ms(ns->now) - TCP_LONG_AGO_MS;
    rmri_tcp_cc_init(c);
}

/* The handshake is complete; SND.UNA is behind the SYN. */
void rmri_tcp_established(rmr_ns *ns, tcp_conn *c)
{
    c->state =
        c->flags & CF_FIN_QUEUED ? RMR_NS_FIN_WAIT_1 : RMR_NS_ESTABLISHED;
    c->t_rto = RMR_TIME_NEVER;
    if (!(c->flags & CF_ORPHAN))
        c->t_state = RMR_TIME_NEVER;
    c->tries = 0;
    c->backoff = 0;
    c->rack_fack = c->max_pipe_end = c->rack_round = c->snd_una;
    c->rtx_hint = c->snd_una;
    rmri_tcp_hystart_begin(c);
    c->recover =
        c->snd_una - 1; /* the first loss may be that of the first byte */
    /* RFC 6298 5.7, unless a sample tells more. */
    if ((c->flags & CF_SYN_RETRANS) && c->srtt == 0)
        c->rto = TCP_RTO_FIRST_MAX;
    if (c->rto > TCP_RTO_FIRST_MAX)
        c->rto = TCP_RTO_FIRST_MAX;
    if (c->keep_idle_ms)
        c->t_keep = rmr_time_add(ns->now, c->keep_idle_ms * RMR_MS);
    rmri_tcp_want_output(ns, c);
}
