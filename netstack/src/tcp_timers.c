/* Round-trip times and the logical timers of a connection. */
#include "tcp_internal.h"

/* On fast paths the peer's delayed ACK (40 ms in Linux) comes before a probe;
 * that of a lone segment may take up to 200 ms. */
#define PTO_MIN (50 * RMR_MS)
#define PTO_ONE_SEGMENT (200 * RMR_MS)

/* RFC 6298 2, with the gains scaled to the samples of a round trip (RFC 7323
 * appendix G). */
void rmri_tcp_rtt_sample(tcp_conn *c, rmr_dur r)
{
    if (r < RMR_US)
        r = RMR_US;
    if (c->srtt == 0) {
        c->srtt = r;
        c->rttvar = r / 2;
    } else {
        rmr_dur n = 1 + c->max_pipe / (2u * c->mss_snd + 1u);
        rmr_dur err = r > c->srtt ? r - c->srtt : c->srtt - r;
        c->rttvar = c->rttvar - c->rttvar / (4 * n) + err / (4 * n);
        c->srtt = c->srtt - c->srtt / (8 * n) + r / (8 * n);
    }
    rmr_dur var = 4 * c->rttvar;
    c->rto = c->srtt + (var > TCP_RTO_VAR_MIN ? var : TCP_RTO_VAR_MIN);
    if (c->rto < TCP_RTO_MIN)
        c->rto = TCP_RTO_MIN;
    if (c->rto > TCP_RTO_MAX)
        c->rto = TCP_RTO_MAX;
    c->backoff = 0;
}

static rmr_dur backed_off(const tcp_conn *c)
{
    rmr_dur d = c->rto;
    for (uint8_t i = 0; i < c->backoff && d < TCP_RTO_MAX; i++)
        d *= 2;
    return d < TCP_RTO_MAX ? d : TCP_RTO_MAX;
}

static void back_off(tcp_conn *c)
{
    if (c->backoff < 30)
        c->backoff++;
}

void rmri_tcp_arm(rmr_ns *ns, tcp_conn *c)
{
    rmr_time at = rmr_time_min(c->t_rto, c->t_probe);
    at = rmr_time_min(at, rmr_time_min(c->t_ack, c->t_keep));
    at = rmr_time_min(at, rmr_time_min(c->t_state, c->t_write));
    /* Later is found out on expiry: most deadlines only ever move on. */
    if (at == RMR_TIME_NEVER)
        rmr_timers_cancel(&ns->timers, &c->timer);
    else if (!rmr_timer_is_armed(&c->timer) || at < c->timer.at)
        (void)rmr_timers_set(&ns->timers, &c->timer, at);
}

/* RFC 8985 7.2. */
static void arm_tail_probe(rmr_ns *ns, tcp_conn *c)
{
    if (!(c->flags & CF_SACK) || c->ca != TCP_CA_OPEN || c->sacked || c->lost ||
        (c->flags & CF_TLP_OUT))
        return;
    rmr_dur pto = c->srtt ? 2 * c->srtt : RMR_SEC;
    if (c->segq.n == 1)
        pto += PTO_ONE_SEGMENT;
    if (pto < PTO_MIN)
        pto = PTO_MIN;
    rmr_time at = rmr_time_add(ns->now, pto);
    c->t_probe = at < c->t_rto ? at : RMR_TIME_NEVER;
}

static void arm_persist(rmr_ns *ns, tcp_conn *c)
{
    bool open = c->snd_wnd > 0; /* open, but not worth a segment */
    if (c->flags & CF_PERSIST)
        return;
    c->flags |= CF_PERSIST;
    c->t_rto = rmr_time_add(ns->now, open ? TCP_OVERRIDE : backed_off(c));
}

void rmri_tcp_arm_loss(rmr_ns *ns, tcp_conn *c, bool progress)
{
    bool waiting = tcp_is_waiting(c);
    if (c->segq.n == 0) {
        c->t_probe = RMR_TIME_NEVER;
        if (progress || !waiting) {
            c->flags &= ~(uint32_t)CF_PERSIST;
            c->t_rto = RMR_TIME_NEVER;
        }
        if (waiting)
            arm_persist(ns, c);
        return;
    }
    if ((c->flags & CF_PERSIST) || progress || c->t_rto == RMR_TIME_NEVER)
        c->t_rto = rmr_time_add(ns->now, backed_off(c));
    c->flags &= ~(uint32_t)CF_PERSIST;
    arm_tail_probe(ns, c);
}

/* ---- expiry ----------------------------------------------------------- */

/* The peer is gone; nothing that we send would reach it. */
static void give_up(rmr_ns *ns, tcp_conn *c)
{
    ns->stats.tcp_timeouts++;
    rmri_tcp_finish(ns, c, RMR_E_TIMEOUT);
}

static bool syn_timeout(rmr_ns *ns, tcp_conn *c)
{
    if (++c->tries > TCP_SYN_TRIES) {
        give_up(ns, c);
        return false;
    }
    back_off(c);
    c->flags |= CF_SYN_DUE | CF_SYN_RETRANS;
    c->t_rto = rmr_time_add(ns->now, backed_off(c));
    rmri_tcp_want_output(ns, c);
    return true;
}

/* One more without progress; false: it was the last. */
static bool try_again(rmr_ns *ns, tcp_conn *c, uint8_t *tries)
{
    if (*tries < UINT8_MAX)
        ++*tries;
    if (*tries == TCP_SUSPECT_TRIES)
        rmri_tcp_event(ns, c, EV_SUSPECT);
    if (*tries <= TCP_DATA_TRIES || (c->user_ms && !(c->flags & CF_ORPHAN)))
        return true;
    give_up(ns, c);
    return false;
}

static bool persist_timeout(rmr_ns *ns, tcp_conn *c)
{
    if (c->snd_wnd > 0) {
        c->flags |= CF_OVERRIDE;
    } else if (!try_again(ns, c, &c->unanswered)) {
        return false;
    } else {
        c->flags |= CF_PROBE;
    }
    back_off(c);
    c->t_rto = rmr_time_add(ns->now, backed_off(c));
    rmri_tcp_want_output(ns, c);
    return true;
}

static bool rto_timeout(rmr_ns *ns, tcp_conn *c)
{
    c->t_rto = RMR_TIME_NEVER;
    if (c->state == RMR_NS_SYN_SENT || c->state == RMR_NS_SYN_RECEIVED)
        return syn_timeout(ns, c);
    if (c->flags & CF_PERSIST)
        return persist_timeout(ns, c);
    if (c->segq.n == 0)
        return true;
    if (!try_again(ns, c, &c->tries))
        return false;
    rmri_tcp_timeout(ns, c);
    back_off(c);
    c->t_rto = rmr_time_add(ns->now, backed_off(c));
    return true;
}

/* As if the wait were over, which is no sign that the peer is gone.  Nothing is
 * given up here, so that no callback is owed. */
void rmri_tcp_repeat_now(rmr_ns *ns, tcp_conn *c)
{
    c->backoff = 0;
    if (c->tries)
        c->tries--;
    if (c->unanswered)
        c->unanswered--;
    (void)rto_timeout(ns, c);
    rmri_tcp_arm(ns, c);
}

static void probe_timeout(rmr_ns *ns, tcp_conn *c)
{
    c->t_probe = RMR_TIME_NEVER;
    if (c->segq.n == 0)
        return;
    if (c->sacked || c->ca != TCP_CA_OPEN) { /* reordering: now it is lost */
        tcp_acked a = {0};
        rmri_tcp_rack_detect(ns, c, &a);
        if (a.newly_lost)
            rmri_tcp_recovery(ns, c, &a, false);
    } else {
        c->flags |= CF_TLP;
    }
    rmri_tcp_want_output(ns, c);
}

static bool keepalive(rmr_ns *ns, tcp_conn *c)
{
    uint32_t silent = tcp_ms(ns->now) - c->last_rcv_ms;
    if (c->keep_sent == 0 && silent < c->keep_idle_ms) {
        c->t_keep = rmr_time_add(ns->now, (c->keep_idle_ms - silent) * RMR_MS);
        return true;
    }
    c->t_keep = rmr_time_add(ns->now, c->keep_gap_ms * RMR_MS);
    if (c->segq.n || tcp_unsent(c))
        return true; /* repeats and window probes find out as well */
    if (c->keep_sent >= c->keep_probes) {
        rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
        give_up(ns, c);
        return false;
    }
    c->keep_sent++;
    c->flags |= CF_PROBE;
    rmri_tcp_want_output(ns, c);
    return true;
}

/* The user timeout; or an orphan that makes no progress, or waits for a FIN
 * that never comes. */
static void state_timeout(rmr_ns *ns, tcp_conn *c)
{
    if (!(c->flags & CF_ORPHAN)) {
        give_up(ns, c);
        return;
    }
    if (c->state != RMR_NS_FIN_WAIT_2)
        rmri_tcp_reset_ack(ns, &c->tuple, c->snd_nxt, c->rcv_nxt);
    rmri_tcp_conn_free(ns, c);
}

void rmri_tcp_timer(rmr_ns *ns, tcp_conn *c)
{
    rmr_time now = ns->now;
    if (c->t_ack <= now) {
        c->t_ack = RMR_TIME_NEVER;
        c->flags |= CF_ACK_NOW;
        rmri_tcp_want_output(ns, c);
    }
    if (c->t_write <= now) {
        c->t_write = RMR_TIME_NEVER;
        if (c->flags & CF_WANT_WRITE) {
            c->flags &= ~(uint32_t)CF_WANT_WRITE;
            rmri_tcp_event(ns, c, EV_WRITABLE);
        }
        rmri_tcp_want_output(ns, c);
    }
    if (c->t_probe <= now)
        probe_timeout(ns, c);
    if (c->t_rto <= now && !rto_timeout(ns, c))
        return;
    if (c->t_keep <= now && !keepalive(ns, c))
        return;
    if (c->t_state <= now) {
        state_timeout(ns, c);
        return;
    }
    rmri_tcp_arm(ns, c);
}
