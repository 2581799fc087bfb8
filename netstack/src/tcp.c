/* The application's calls on TCP sockets. */
#include "tcp_internal.h"

static void clock_in(rmr_ns *ns, rmr_time now)
{
    if (now > ns->now)
        ns->now = now;
}

rmr_err rmr_ns_tcp_listen(rmr_ns *ns, const rmr_addr *local, void *tag,
                          rmr_ns_sock *out)
{
    ns_bind b;
    if (!local || !out || local->port == 0)
        return RMR_E_INVAL;
    rmr_err e = rmri_ns_bind_of(ns, local, NS_PROTO_TCP, &b);
    if (e)
        return e;
    if (rmri_ns_bind_exact(ns, &b))
        return RMR_E_INUSE;
    if (rmri_ns_sockets_full(ns))
        return RMR_E_FULL;
    tcp_listener *l = rmri_ns_dgram_new(ns, NS_KIND_LISTENER);
    if (!l)
        return RMR_E_NOMEM;
    l->bind = b;
    l->tag = tag;
    l->half_max = ns->cfg.backlog;
    l->unaccepted_max = ns->cfg.unaccepted;
    ns_list_init(&l->waiting);
    e = rmr_hash_put(&ns->binds, &b, sizeof b, (uint64_t)(uintptr_t)&l->head);
    if (e) {
        rmri_ns_dgram_free(ns, &l->head);
        return e;
    }
    out->id = l->head.id;
    return RMR_OK;
}

static rmr_err dial_tuple(rmr_ns *ns, const rmr_addr *local,
                          const rmr_addr *remote, ns_tuple *t)
{
    rmr_err e = rmri_ns_dial_tuple(ns, local, remote, NS_PROTO_TCP, t);
    if (!e && t->lport == 0)
        e = rmri_ns_pick_tcp_port(ns, t) ? RMR_OK : RMR_E_INUSE;
    return e;
}

/* A tuple in TIME-WAIT may be used again when timestamps tell the connections
 * apart (RFC 6191).  *iss is raised above the old connection's numbers; *old is
 * its entry, or NULL. */
static rmr_err claim_tuple(rmr_ns *ns, const ns_tuple *t, uint32_t *iss,
                           tcp_tw **old)
{
    ns_head *h = rmri_ns_find_flow(ns, t);
    *iss = rmri_ns_isn(ns, t);
    *old = NULL;
    if (!h)
        return RMR_OK;
    tcp_tw *w = (tcp_tw *)(void *)h;
    if (h->kind != NS_KIND_TIME_WAIT || !w->has_ts ||
        rmr_time_since(ns->now, w->born) <= RMR_SEC)
        return RMR_E_INUSE;
    uint32_t above = w->snd_nxt + 65535;
    if (seq_le(*iss, above))
        *iss = above + 1;
    *old = w;
    return RMR_OK;
}

rmr_err rmr_ns_tcp_connect(rmr_ns *ns, rmr_time now, const rmr_addr *local,
                           const rmr_addr *remote, void *tag, rmr_ns_sock *out)
{
    ns_tuple t;
    tcp_tw *old;
    uint32_t iss;
    clock_in(ns, now);
    if (!out)
        return RMR_E_INVAL;
    rmr_err e = dial_tuple(ns, local, remote, &t);
    if (!e)
        e = claim_tuple(ns, &t, &iss, &old);
    if (e)
        return e;
    tcp_conn *c = rmri_tcp_conn_new(ns, &t, &e);
    if (!c)
        return e;
    if (old)
        rmri_tcp_tw_replaced(ns, old);
    c->tag = tag;
    c->state = RMR_NS_SYN_SENT;
    c->snd_una = iss;
    c->snd_nxt = iss + 1;
    c->flags |= CF_SYN_DUE | CF_ACTIVE;
    c->mss_snd = rmri_tcp_own_mss(ns, t.family);
    rmri_tcp_arm_user(ns, c, true);
    rmri_tcp_want_output(ns, c);
    out->id = c->head.id;
    return RMR_OK;
}

rmr_err rmr_ns_set_tag(rmr_ns *ns, rmr_ns_sock s, void *tag)
{
    tcp_listener *l = rmri_tcp_listener_get(ns, s.id);
    if (l) {
        l->tag = tag;
        return RMR_OK;
    }
    if (rmri_ns_dgram_set_tag(ns, s, tag))
        return RMR_OK;
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    c->tag = tag;
    return RMR_OK;
}

/* ---- data ------------------------------------------------------------- */

rmr_err rmr_ns_tcp_send(rmr_ns *ns, rmr_time now, rmr_ns_sock s, rmr_bytes data,
                        size_t *taken)
{
    clock_in(ns, now);
    *taken = 0;
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if (!tcp_can_send(c))
        return RMR_E_STATE;
    size_t room = tcp_send_room(c);
    rmr_bytes in = rmr_bytes_of(data.ptr, data.len < room ? data.len : room);
    /* What is to be sent leaves a quarter of the memory to what arrives: two
     * full stacks could not even take each other's ACKed data otherwise. */
    *taken = rmri_ns_cq_append(&c->snd, &ns->pool, in, ns->pool.max / 4 * 3);
    if (*taken)
        rmri_tcp_want_output(ns, c);
    if (*taken < data.len) {
        c->flags |= CF_WANT_WRITE;
        /* Not for want of room: no ACK will tell when there is memory. */
        if (*taken < in.len) {
            c->t_write = rmr_time_add(ns->now, TCP_RETRY_MEMORY);
            rmri_tcp_arm(ns, c);
        }
    }
    return RMR_OK;
}

size_t rmr_ns_tcp_send_space(const rmr_ns *ns, rmr_ns_sock s)
{
    const tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    return c && tcp_can_send(c) ? tcp_send_room(c) : 0;
}

rmr_err rmr_ns_tcp_peek(const rmr_ns *ns, rmr_ns_sock s, rmr_bytes *view,
                        bool *eof)
{
    *view = rmr_bytes_of(NULL, 0);
    *eof = false;
    const tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    *view = rmri_ns_cq_peek(&c->rcv, &ns->pool);
    *eof = c->rcv.len == 0 && (c->flags & CF_FIN_TAKEN);
    return RMR_OK;
}

rmr_err rmr_ns_tcp_consume(rmr_ns *ns, rmr_time now, rmr_ns_sock s, size_t n)
{
    clock_in(ns, now);
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if (n > c->rcv.len)
        return RMR_E_INVAL;
    if (n == 0)
        return RMR_OK;
    rmri_ns_cq_drop(&c->rcv, &ns->pool, n);
    if (c->rcv.len == 0 && c->ooo.n == 0)
        rmri_ns_cq_trim(&c->rcv, &ns->pool);
    if (c->flags & CF_DONE) {
        if (c->rcv.len == 0)
            rmri_tcp_event(ns, c, EV_CLOSED);
        return RMR_OK;
    }
    rmri_tcp_tune(ns, c, n);
    if (rmri_tcp_window_due(ns, c)) {
        c->flags |= CF_ACK_NOW;
        rmri_tcp_want_output(ns, c);
    }
    return RMR_OK;
}

/* ---- ends ------------------------------------------------------------- */

static void queue_fin(rmr_ns *ns, tcp_conn *c)
{
    if (c->flags & CF_FIN_QUEUED)
        return;
    c->flags |= CF_FIN_QUEUED;
    if (c->state == RMR_NS_ESTABLISHED)
        c->state = RMR_NS_FIN_WAIT_1;
    else if (c->state == RMR_NS_CLOSE_WAIT)
        c->state = RMR_NS_LAST_ACK;
    rmri_tcp_want_output(ns, c);
}

rmr_err rmr_ns_tcp_shutdown(rmr_ns *ns, rmr_time now, rmr_ns_sock s)
{
    clock_in(ns, now);
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if (c->flags & CF_DONE)
        return RMR_E_STATE;
    queue_fin(ns, c);
    return RMR_OK;
}

/* All but connections: at once.  False: it is one. */
static bool close_bound(rmr_ns *ns, rmr_ns_sock s, bool abort)
{
    tcp_listener *l = rmri_tcp_listener_get(ns, s.id);
    if (!l)
        return rmri_ns_dgram_close(ns, s, abort);
    rmri_tcp_listener_close(ns, l);
    return true;
}

static void abort_conn(rmr_ns *ns, tcp_conn *c)
{
    if (!(c->flags & CF_DONE) && c->state > RMR_NS_SYN_SENT)
        rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
    rmri_tcp_conn_free(ns, c);
}

rmr_err rmr_ns_close(rmr_ns *ns, rmr_time now, rmr_ns_sock s)
{
    clock_in(ns, now);
    if (close_bound(ns, s, false))
        return RMR_OK;
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if ((c->flags & CF_DONE) || c->state == RMR_NS_SYN_SENT || c->rcv.len ||
        c->linger_ms == 0) {
        abort_conn(ns, c);
        return RMR_OK;
    }
    c->flags |= CF_ORPHAN;
    c->events = 0;
    ns_list_unlink(&c->ev);
    c->t_write = c->t_keep = RMR_TIME_NEVER;
    c->t_state = rmr_time_add(ns->now, c->linger_ms * RMR_MS);
    queue_fin(ns, c);
    rmri_tcp_arm(ns, c);
    return RMR_OK;
}

rmr_err rmr_ns_abort(rmr_ns *ns, rmr_time now, rmr_ns_sock s)
{
    clock_in(ns, now);
    if (close_bound(ns, s, true))
        return RMR_OK;
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    abort_conn(ns, c);
    return RMR_OK;
}

/* ---- options and state ------------------------------------------------ */

rmr_err rmr_ns_tcp_set_nodelay(rmr_ns *ns, rmr_ns_sock s, bool on)
{
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    c->flags = on ? c->flags | CF_NODELAY : c->flags & ~(uint32_t)CF_NODELAY;
    if (on)
        rmri_tcp_want_output(ns, c);
    return RMR_OK;
}

/* The ECN bits are the congestion control's, which has no ECN (RFC 3168 6.1). */
rmr_err rmr_ns_set_tos(rmr_ns *ns, rmr_ns_sock s, uint8_t tos)
{
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    ns_udp *u = rmri_ns_udp_get(ns, s.id);
    if (c)
        c->head.tos = (uint8_t)(tos & ~3u);
    else if (u)
        u->head.tos = tos;
    else
        return RMR_E_BADHANDLE;
    return RMR_OK;
}

rmr_err rmr_ns_tcp_set_keepalive(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                 rmr_dur idle, rmr_dur interval,
                                 uint32_t probes)
{
    clock_in(ns, now);
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if (idle && (interval == 0 || probes == 0))
        return RMR_E_INVAL;
    c->keep_idle_ms = tcp_to_ms(idle);
    c->keep_gap_ms = tcp_to_ms(interval);
    c->keep_probes = (uint8_t)(probes > 255 ? 255 : probes);
    c->keep_sent = 0;
    c->t_keep = idle && tcp_synced(c) && !(c->flags & CF_DONE)
                    ? rmr_time_add(ns->now, idle)
                    : RMR_TIME_NEVER;
    if (!(c->flags & CF_DONE))
        rmri_tcp_arm(ns, c);
    return RMR_OK;
}

/* It shares its timer with the orphans', which have a limit of their own. */
void rmri_tcp_arm_user(rmr_ns *ns, tcp_conn *c, bool progress)
{
    if (c->flags & CF_ORPHAN)
        return;
    if (c->user_ms == 0 ||
        (tcp_synced(c) && c->segq.n == 0 && !tcp_is_waiting(c)))
        c->t_state = RMR_TIME_NEVER;
    else if (progress || c->t_state == RMR_TIME_NEVER)
        c->t_state = rmr_time_add(ns->now, c->user_ms * RMR_MS);
}

rmr_err rmr_ns_tcp_set_user_timeout(rmr_ns *ns, rmr_time now, rmr_ns_sock s,
                                    rmr_dur timeout)
{
    clock_in(ns, now);
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    c->user_ms = tcp_to_ms(timeout);
    if (!(c->flags & CF_DONE)) {
        rmri_tcp_arm_user(ns, c, true);
        rmri_tcp_arm(ns, c);
    }
    return RMR_OK;
}

rmr_err rmr_ns_tcp_set_linger(rmr_ns *ns, rmr_ns_sock s, rmr_dur linger)
{
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    c->linger_ms = tcp_to_ms(linger);
    return RMR_OK;
}

/* The limit now, under a new maximum: it need not be larger than a connection's
 * at its start. */
static uint32_t new_limit(uint32_t limit, uint32_t max)
{
    return u32_min(u32_max(limit, TCP_WINDOW_START), max);
}

rmr_err rmr_ns_tcp_set_buffers(rmr_ns *ns, rmr_ns_sock s, size_t recv_max,
                               size_t send_max)
{
    tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    if (recv_max > ns->cfg.tcp_recv_max || send_max > ns->cfg.tcp_send_max)
        return RMR_E_INVAL;
    if (recv_max) {
        c->rcv_max = (uint32_t)recv_max;
        c->rcv_limit = new_limit(c->rcv_limit, c->rcv_max);
    }
    if (send_max) {
        c->snd_max = (uint32_t)send_max;
        c->snd_limit = new_limit(c->snd_limit, c->snd_max);
    }
    if (c->flags & CF_DONE)
        return RMR_OK;
    rmri_tcp_wake_writer(ns, c);
    if (tcp_synced(c) && rmri_tcp_window_due(ns, c)) {
        c->flags |= CF_ACK_NOW;
        rmri_tcp_want_output(ns, c);
    }
    return RMR_OK;
}

rmr_err rmr_ns_tcp_get_info(const rmr_ns *ns, rmr_ns_sock s,
                            rmr_ns_tcp_info *out)
{
    memset(out, 0, sizeof *out);
    const tcp_listener *l = rmri_tcp_listener_get(ns, s.id);
    if (l) {
        const ns_bind *b = &l->bind;
        out->state = RMR_NS_LISTEN;
        out->half_open = l->n_half;
        out->unaccepted = l->n_unaccepted;
        out->local = rmri_ns_addr_of(b->family, &b->ip, b->port);
        return RMR_OK;
    }
    const tcp_conn *c = rmri_tcp_conn_get(ns, s.id);
    if (!c)
        return RMR_E_BADHANDLE;
    out->state = (rmr_ns_tcp_state)c->state;
    out->local =
        rmri_ns_addr_of(c->tuple.family, &c->tuple.local, c->tuple.lport);
    out->remote =
        rmri_ns_addr_of(c->tuple.family, &c->tuple.remote, c->tuple.rport);
    out->srtt = c->srtt;
    out->rto = c->rto;
    out->mss = c->mss_snd;
    out->cwnd_bytes = c->cwnd;
    out->ssthresh_bytes = c->ssthresh;
    out->in_flight_bytes = tcp_flight(c);
    out->snd_wnd_bytes = c->snd_wnd;
    out->rcv_wnd_bytes = c->rcv_adv - c->rcv_nxt;
    out->retransmits = c->retransmits;
    out->unsent_bytes =
        tcp_synced(c) && !(c->flags & CF_DONE) ? tcp_unsent(c) : 0;
    out->unacked_bytes = c->snd.len - out->unsent_bytes;
    out->unread_bytes = c->rcv.len;
    out->soft_error = c->soft;
    return RMR_OK;
}
