/*
 * What a loss does to the sender: fast recovery with proportional rate
 * reduction (RFC 9937), NewReno's rules without SACK (RFC 6582), time-outs,
 * undoing of what was spurious, and tail loss probes (RFC 8985 7).
 */
#include "tcp_internal.h"

/* Bytes that are in the network.  Without SACK each duplicate ACK stands for
 * one segment that has left it. */
uint32_t rmri_tcp_pipe(const tcp_conn *c)
{
    return c->pipe > c->dup_bytes ? c->pipe - c->dup_bytes : 0;
}

static void save_for_undo(tcp_conn *c)
{
    c->prior_cwnd = c->cwnd;
    c->prior_ssthresh = c->ssthresh;
    c->undo_sum = 0;
    c->flags &= ~(uint32_t)CF_REPEATED;
}

/* What the reduction starts from.  New data that went out for segments that
 * were SACKed since the loss does not count (RFC 5681 3.2, step 2). */
static uint32_t loss_flight(const tcp_conn *c)
{
    return u32_min(tcp_flight(c), c->cwnd);
}

static void enter(tcp_conn *c, const tcp_acked *a)
{
    save_for_undo(c);
    c->ssthresh = rmri_tcp_cc_reduce(c, loss_flight(c));
    c->ca = TCP_CA_RECOVERY;
    c->recover = c->snd_nxt;
    /* RFC 9937 6: what can still be delivered, with what just was. */
    c->prr_fs = u32_max(tcp_flight(c) - c->sacked + a->delivered, 1);
    c->prr_delivered = c->prr_out = 0;
    c->flags |= CF_FORCE;
    c->flags &= ~(uint32_t)(CF_TLP | CF_TLP_OUT);
}

static void leave(tcp_conn *c)
{
    if (c->ca == TCP_CA_RECOVERY)
        c->cwnd = u32_max(c->ssthresh, 2u * c->mss_snd);
    c->ca = TCP_CA_OPEN;
    c->dup_bytes = 0;
    c->dupacks = 0;
    if (c->rack_persist && --c->rack_persist == 0)
        c->rack_mult = 1;
}

/* RFC 9937 7: how much may go out for what has arrived. */
static void prr(tcp_conn *c, const tcp_acked *a)
{
    uint32_t pipe = rmri_tcp_pipe(c), send;
    c->prr_delivered += a->delivered;
    if (pipe > c->ssthresh) {
        uint64_t due =
            ((uint64_t)c->prr_delivered * c->ssthresh + c->prr_fs - 1) /
            c->prr_fs;
        send = due > c->prr_out ? (uint32_t)(due - c->prr_out) : 0;
    } else {
        uint32_t bound =
            c->prr_delivered > c->prr_out ? c->prr_delivered - c->prr_out : 0;
        bound = u32_max(bound, a->delivered);
        if (a->cum && !a->newly_lost)
            bound += c->mss_snd;
        send = u32_min(c->ssthresh - pipe, bound);
    }
    if (c->flags & CF_FORCE)
        send = u32_max(send, c->mss_snd);
    c->cwnd = u32_max(pipe + send, c->mss_snd);
}

static uint32_t scatter(uint32_t v)
{
    v *= 0x9e3779b1u;
    v = (v ^ v >> 15) * 0x85ebca6bu;
    return v ^ v >> 13;
}

/* Which repeats are out is kept as the sum of their marks.  It comes to zero
 * when D-SACKs have named the same bytes, in whatever pieces, and stays away
 * from it when one named others: those were doubled by the path, and say
 * nothing about our repeats (RFC 3708 3). */
uint32_t rmri_tcp_undo_mark(uint32_t start, uint32_t end)
{
    return scatter(end) - scatter(start);
}

/* Was nothing lost after all?  The first hole is filled before anything was
 * repeated; or by an ACK that echoes a time before the first repeat, so that
 * the original filled it (Eifel, RFC 3522); or all repeats were answered by
 * D-SACKs (RFC 3708). */
static bool was_spurious(tcp_conn *c, const tcp_acked *a)
{
    if (c->prior_cwnd == 0)
        return false;
    if (!(c->flags & CF_REPEATED))
        return a->unlost && c->ca != TCP_CA_OPEN;
    if (a->cum && a->has_ts && c->ca != TCP_CA_OPEN &&
        seq_lt(a->tsecr, c->undo_stamp))
        return true;
    if (!a->dsack)
        return false;
    c->undo_sum -= rmri_tcp_undo_mark(a->dsack_block.start, a->dsack_block.end);
    return c->undo_sum == 0 && c->lost == 0;
}

static void undo(tcp_conn *c)
{
    for (uint32_t i = 0; c->lost && i < c->segq.n; i++) {
        tcp_sent *t = segq_at(&c->segq, i);
        if (!(t->flags & SENT_LOST))
            continue;
        t->flags = (uint8_t)(t->flags & ~SENT_LOST);
        c->lost -= t->len;
        c->pipe += t->len;
    }
    c->cwnd = u32_max(c->cwnd, c->prior_cwnd);
    c->ssthresh = u32_max(c->ssthresh, c->prior_ssthresh);
    rmri_tcp_cc_undo(c);
    c->prior_cwnd = 0;
    c->ca = TCP_CA_OPEN;
    c->dup_bytes = 0;
    c->dupacks = 0;
    c->flags &= ~(uint32_t)(CF_FORCE | CF_REPEATED);
}

static void lose_first(tcp_conn *c, tcp_acked *a)
{
    if (c->segq.n == 0)
        return;
    rmri_tcp_mark_lost(c, segq_at(&c->segq, 0));
    a->newly_lost = true;
    c->flags |= CF_FORCE;
}

/* RFC 6582 without SACK: counts duplicates, and finds the losses. */
static void newreno(tcp_conn *c, tcp_acked *a, bool dup)
{
    if (dup) {
        if (c->dupacks < 255)
            c->dupacks++;
        uint32_t n = u32_min(c->mss_snd, rmri_tcp_pipe(c));
        c->dup_bytes += n;
        a->delivered += n;
        if (c->dupacks == TCP_DUPTHRESH && c->ca == TCP_CA_OPEN &&
            seq_gt(c->snd_una, c->recover))
            lose_first(c, a);
        return;
    }
    if (!a->cum)
        return;
    uint32_t known = a->cum > c->mss_snd ? a->cum - c->mss_snd : 0;
    known = u32_min(known, c->dup_bytes);
    c->dup_bytes -= known;
    a->delivered -= u32_min(known, a->delivered);
    c->dupacks = 0;
    if (c->ca == TCP_CA_OPEN)
        c->dup_bytes = 0;
    else if (c->ca == TCP_CA_RECOVERY && seq_lt(c->snd_una, c->recover))
        lose_first(c, a); /* partial: the next hole */
}

/* RFC 7661 in short: a window that is not used does not grow. */
static bool window_used(const tcp_conn *c)
{
    if (c->cwnd < c->ssthresh)
        return c->cwnd / 2 < c->max_pipe;
    return (uint64_t)c->max_pipe + c->max_pipe / 8 + 2u * c->mss_snd >= c->cwnd;
}

static void grow(rmr_ns *ns, tcp_conn *c, const tcp_acked *a)
{
    if (a->cum && window_used(c))
        rmri_tcp_cc(c)->grow(c, ns->now, a->cum);
    uint32_t most = (uint32_t)(2 * ns->cfg.tcp_send_max);
    if (c->cwnd > most) /* numbers of days without loss stay small */
        c->cwnd = u32_max(most, rmri_tcp_iw(c));
}

void rmri_tcp_recovery(rmr_ns *ns, tcp_conn *c, tcp_acked *a, bool dup)
{
    if (!(c->flags & CF_SACK))
        newreno(c, a, dup);
    if (was_spurious(c, a)) {
        undo(c);
        ns->stats.tcp_spurious++;
    }
    if (c->ca != TCP_CA_OPEN && seq_ge(c->snd_una, c->recover))
        leave(c);
    if (c->ca == TCP_CA_OPEN && a->newly_lost)
        enter(c, a);
    if (c->ca == TCP_CA_RECOVERY)
        prr(c, a);
    else
        grow(ns, c, a);
}

void rmri_tcp_timeout(rmr_ns *ns, tcp_conn *c)
{
    if (c->tries <= 1 && c->ca != TCP_CA_LOSS) {
        save_for_undo(c);
        c->ssthresh = rmri_tcp_cc_reduce(c, loss_flight(c));
    }
    rmri_tcp_black_hole(ns, c);
    rmri_tcp_cc(c)->restart(c);
    c->ca = TCP_CA_LOSS;
    c->recover = c->snd_nxt;
    c->cwnd = c->mss_snd;
    c->dup_bytes = 0;
    c->dupacks = 0;
    /* SACK marks are forgotten: the receiver may have (RFC 2018 8). */
    c->pipe = c->lost = c->sacked = 0;
    for (uint32_t i = 0; i < c->segq.n; i++) {
        tcp_sent *t = segq_at(&c->segq, i);
        t->flags = (uint8_t)((t->flags & ~SENT_SACKED) | SENT_LOST);
        c->lost += t->len;
    }
    c->rtx_hint = c->snd_una;
    c->flags |= CF_FORCE;
    c->flags &= ~(uint32_t)(CF_TLP | CF_TLP_OUT);
    c->t_probe = RMR_TIME_NEVER;
    rmri_tcp_want_output(ns, c);
}

/* RFC 8985 7.4: did the probe repair a loss that nobody else saw? */
void rmri_tcp_tlp_ack(rmr_ns *ns, tcp_conn *c, const tcp_seg *s,
                      const tcp_acked *a)
{
    (void)ns;
    if (!(c->flags & CF_TLP_OUT) || seq_lt(s->ack, c->tlp_end))
        return;
    if (!(c->flags & CF_TLP_RETRANS) ||
        (a->dsack && a->dsack_block.end == c->tlp_end)) {
        c->flags &= ~(uint32_t)CF_TLP_OUT;
    } else if (seq_gt(s->ack, c->tlp_end)) {
        c->flags &= ~(uint32_t)CF_TLP_OUT;
        if (c->ca == TCP_CA_OPEN) {
            c->ssthresh = rmri_tcp_cc_reduce(c, loss_flight(c));
            c->cwnd = u32_max(c->ssthresh, 2u * c->mss_snd);
        }
    } else if (!a->cum && !s->o.n_sack && s->len == 0) {
        c->flags &= ~(uint32_t)CF_TLP_OUT;
    }
}
