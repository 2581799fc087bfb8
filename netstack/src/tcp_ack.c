/* Acknowledgements: what they free, what they measure, what they let grow. */
#include "tcp_internal.h"

void rmri_tcp_take_window(tcp_conn *c, const tcp_seg *s)
{
    /* RFC 9293 3.10.7.4: not from a segment older than the last one used. */
    if (seq_lt(s->seq, c->snd_wl1) ||
        (s->seq == c->snd_wl1 && seq_lt(s->ack, c->snd_wl2)))
        return;
    c->snd_wnd = (uint32_t)s->wnd << c->snd_ws;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    c->max_wnd = u32_max(c->max_wnd, c->snd_wnd);
}

/* The bookkeeping of `n` bytes of a segment that need no more care. */
static void uncount(tcp_conn *c, const tcp_sent *t, uint32_t n, tcp_acked *a)
{
    if (t->flags & SENT_SACKED) {
        c->sacked -= n;
        return;
    }
    if (t->flags & SENT_LOST) {
        c->lost -= n;
        a->unlost |= n > 0 && !(t->flags & SENT_RETRANS);
    } else {
        c->pipe -= n;
    }
    a->delivered += n;
}

/* Moves SND.UNA; what was sent below is forgotten. */
static void advance(rmr_ns *ns, tcp_conn *c, const tcp_seg *s, tcp_acked *a)
{
    bool repeated = false;
    rmr_dur oldest = 0;
    a->cum = s->ack - c->snd_una;
    while (c->segq.n) {
        tcp_sent *t = segq_at(&c->segq, 0);
        if (seq_gt(t->seq + t->len, s->ack))
            break;
        if (t->len >= c->mss_snd)
            c->flags |= CF_MSS_PROVEN;
        if (t->flags & SENT_RETRANS)
            repeated = true;
        else if (!(t->flags & SENT_SACKED) && oldest == 0)
            oldest = rmr_time_since(ns->now, t->at) + 1;
        if (!(t->flags & SENT_SACKED))
            rmri_tcp_rack_update(ns, c, t, s);
        uncount(c, t, t->len, a);
        rmri_tcp_segq_pop(&c->segq);
    }
    if (c->segq.n) {
        tcp_sent *t = segq_at(&c->segq, 0);
        uint32_t n = seq_gt(s->ack, t->seq) ? s->ack - t->seq : 0;
        uncount(c, t, n, a);
        t->seq += n;
        t->len = (uint16_t)(t->len - n);
    }
    /* Karn: a repeated segment measures nothing, but for its timestamp. */
    if (!repeated && oldest)
        a->rtt = oldest;
    else if (repeated)
        a->rtt = 0;
    if (a->rtt == 0 && a->has_ts) {
        uint32_t ms = tcp_ts_now(ns, c->ts_off) - a->tsecr;
        if (ms < 0x7fffffff)
            a->rtt = (rmr_dur)(ms ? ms : 1) * RMR_MS;
    }
    uint32_t data = a->cum;
    if ((c->flags & CF_FIN_SENT) && s->ack == c->snd_nxt)
        data--;
    c->snd_una = s->ack;
    if (seq_lt(c->rtx_hint, c->snd_una))
        c->rtx_hint = c->snd_una;
    rmri_ns_cq_drop(&c->snd, &ns->pool, data);
    if (c->snd.len == 0)
        rmri_ns_cq_trim(&c->snd, &ns->pool);
    if (c->segq.n == 0 && c->segq.cap > TCP_SEGQ_KEEP)
        rmri_tcp_segq_wipe(&c->segq, &ns->env.alloc);
}

static void grow_buffer(const rmr_ns *ns, tcp_conn *c)
{
    uint64_t want = 2ull * c->cwnd;
    if (want > c->snd_max)
        want = c->snd_max;
    if (want > c->snd_limit && ns->pool.used < ns->pool.max / 4 * 3)
        c->snd_limit = (uint32_t)want; /* it never shrinks by itself */
}

void rmri_tcp_wake_writer(rmr_ns *ns, tcp_conn *c)
{
    grow_buffer(ns, c);
    if ((c->flags & CF_WANT_WRITE) && tcp_can_send(c) &&
        c->snd.len <= c->snd_limit / 3 * 2) {
        c->flags &= ~(uint32_t)CF_WANT_WRITE;
        c->t_write = RMR_TIME_NEVER;
        rmri_tcp_event(ns, c, EV_WRITABLE);
    }
}

/* RFC 5681 2: what counts as a duplicate. */
static bool is_duplicate(const tcp_conn *c, const tcp_seg *s, uint32_t old_wnd)
{
    return s->ack == c->snd_una && s->len == 0 &&
           !(s->flags & (TH_SYN | TH_FIN)) && c->snd_wnd == old_wnd &&
           c->segq.n > 0 && !(c->flags & CF_SACK);
}

void rmri_tcp_ack(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    tcp_acked a = {0};
    uint32_t old_wnd = c->snd_wnd;
    a.has_ts = (c->flags & CF_TS) && s->o.has_ts && s->o.tsecr;
    a.tsecr = s->o.tsecr;
    if (seq_lt(s->ack, c->snd_una))
        return;
    rmri_tcp_take_window(c, s);
    bool dup = is_duplicate(c, s, old_wnd);
    if ((c->flags & CF_SACK) && s->o.n_sack)
        rmri_tcp_sack_input(ns, c, s, &a);
    if (s->ack != c->snd_una)
        advance(ns, c, s, &a);
    if (!a.delivered && !dup && !a.dsack && c->snd_wnd == old_wnd)
        return; /* nothing new */
    if (a.rtt)
        rmri_tcp_rtt_sample(c, a.rtt);
    if (a.cum) {
        c->tries = 0;
        rmri_tcp_hystart_ack(c, a.rtt);
    }
    if (c->flags & CF_SACK) {
        rmri_tcp_tlp_ack(ns, c, s, &a);
        if (a.delivered && (c->sacked || c->lost || c->ca != TCP_CA_OPEN))
            rmri_tcp_rack_detect(ns, c, &a);
    }
    rmri_tcp_recovery(ns, c, &a, dup);
    rmri_tcp_arm_loss(ns, c, a.cum != 0);
    if (c->user_ms)
        rmri_tcp_arm_user(ns, c, a.cum != 0);
    if ((c->flags & CF_ORPHAN) && a.cum)
        c->t_state = rmr_time_add(ns->now, c->linger_ms * RMR_MS);
    rmri_tcp_wake_writer(ns, c);
    if (c->lost || tcp_is_waiting(c))
        rmri_tcp_want_output(ns, c);
}
