/* The sender's view of SACK blocks (RFC 2018, 2883, 6675), and the part of
 * RACK that decides what is lost (RFC 8985 6.2). */
#include "tcp_internal.h"

#define RACK_PERSIST 16u
#define RACK_MULT_MAX 20u

static bool is_dsack(const tcp_conn *c, const tcp_seg *s)
{
    const tcp_block *b = s->o.sack;
    if (seq_ge(b[0].start, b[0].end))
        return false;
    if (seq_le(b[0].end, s->ack))
        return seq_ge(b[0].start, s->ack - c->max_wnd);
    return s->o.n_sack > 1 && seq_ge(b[0].start, b[1].start) &&
           seq_le(b[0].end, b[1].end);
}

/* RFC 8985 6.2 step 4: each round with a D-SACK widens the window. */
static void widen(tcp_conn *c)
{
    if (seq_lt(c->snd_una, c->rack_round))
        return;
    c->rack_round = c->snd_nxt;
    if (c->rack_mult < RACK_MULT_MAX)
        c->rack_mult++;
    c->rack_persist = RACK_PERSIST;
}

static void mark_sacked(rmr_ns *ns, tcp_conn *c, tcp_sent *t, const tcp_seg *s,
                        tcp_acked *a)
{
    if (t->flags & SENT_SACKED)
        return;
    if (t->flags & SENT_LOST)
        c->lost -= t->len;
    else
        c->pipe -= t->len;
    if (!(t->flags & SENT_RETRANS) && a->rtt == 0)
        a->rtt = rmr_time_since(ns->now, t->at);
    rmri_tcp_rack_update(ns, c, t, s);
    t->flags = (uint8_t)((t->flags & ~SENT_LOST) | SENT_SACKED);
    c->sacked += t->len;
    a->delivered += t->len;
    a->sack_new = true;
}

/* Segments that lie wholly inside the block; a part of one counts as nothing,
 * so no block can split what we sent (CVE-2019-11477). */
static void take_block(rmr_ns *ns, tcp_conn *c, const tcp_block *b,
                       const tcp_seg *s, tcp_acked *a)
{
    if (seq_ge(b->start, b->end) || seq_lt(b->start, c->snd_una) ||
        seq_gt(b->end, c->snd_nxt))
        return;
    uint32_t i = rmri_tcp_segq_find(&c->segq, b->start);
    for (; i < c->segq.n; i++) {
        tcp_sent *t = segq_at(&c->segq, i);
        if (seq_gt(t->seq + t->len, b->end))
            break;
        if (seq_ge(t->seq, b->start))
            mark_sacked(ns, c, t, s, a);
    }
}

void rmri_tcp_sack_input(rmr_ns *ns, tcp_conn *c, const tcp_seg *s,
                         tcp_acked *a)
{
    a->dsack = is_dsack(c, s);
    if (a->dsack) {
        a->dsack_block = s->o.sack[0];
        widen(c);
    }
    for (uint8_t i = a->dsack ? 1 : 0; i < s->o.n_sack; i++)
        take_block(ns, c, &s->o.sack[i], s, a);
}

/* ---- RACK ------------------------------------------------------------- */

static uint32_t to_us(rmr_dur d) /* upwards */
{
    rmr_dur us = d / RMR_US + (d % RMR_US != 0);
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void rmri_tcp_rack_update(rmr_ns *ns, tcp_conn *c, const tcp_sent *t,
                          const tcp_seg *s)
{
    uint32_t us = to_us(rmr_time_since(ns->now, t->at));
    uint32_t end = t->seq + t->len;
    if (t->flags & SENT_RETRANS) {
        /* Maybe it was the first copy that arrived. */
        uint32_t sent = (uint32_t)(t->at / RMR_MS) + c->ts_off;
        if ((c->flags & CF_TS) && s->o.has_ts && seq_lt(s->o.tsecr, sent))
            return;
        if (us < c->min_rtt_us)
            return;
    } else {
        if (c->min_rtt_us == 0 || us < c->min_rtt_us)
            c->min_rtt_us = u32_max(us, 1);
        if (seq_lt(end, c->rack_fack))
            c->flags |= CF_REORDERING;
    }
    c->rack_fack = seq_max(c->rack_fack, end);
    if ((c->flags & CF_RACK) &&
        (t->at < c->rack_at ||
         (t->at == c->rack_at && seq_le(end, c->rack_end))))
        return;
    c->flags |= CF_RACK;
    c->rack_at = t->at;
    c->rack_end = end;
    c->rack_rtt_us = us;
}

static rmr_dur reorder_window(const tcp_conn *c)
{
    if (!(c->flags & CF_REORDERING) &&
        (c->ca != TCP_CA_OPEN ||
         c->sacked >= TCP_DUPTHRESH * (uint32_t)c->mss_snd))
        return 0;
    rmr_dur w = c->rack_mult * (c->min_rtt_us * RMR_US / 4);
    return c->srtt && w > c->srtt ? c->srtt : w;
}

void rmri_tcp_mark_lost(tcp_conn *c, tcp_sent *t)
{
    if (t->flags & (SENT_LOST | SENT_SACKED))
        return;
    t->flags |= SENT_LOST;
    c->pipe -= t->len;
    c->lost += t->len;
    if (seq_lt(t->seq, c->rtx_hint))
        c->rtx_hint = t->seq;
}

/* Was it sent after the newest segment that has arrived?  One batch shares one
 * instant: then the sequence decides, but for a repeat, which may have gone
 * out behind anything of its batch. */
static bool sent_later(const tcp_conn *c, const tcp_sent *t)
{
    if (t->at != c->rack_at)
        return t->at > c->rack_at;
    return (t->flags & SENT_RETRANS) || seq_ge(t->seq + t->len, c->rack_end);
}

void rmri_tcp_rack_detect(rmr_ns *ns, tcp_conn *c, tcp_acked *a)
{
    rmr_dur limit = c->rack_rtt_us * RMR_US + reorder_window(c), wait = 0;
    c->t_probe = RMR_TIME_NEVER;
    if (!(c->flags & CF_RACK))
        return;
    for (uint32_t i = 0; i < c->segq.n; i++) {
        tcp_sent *t = segq_at(&c->segq, i);
        if (t->flags & (SENT_SACKED | SENT_LOST))
            continue;
        if (sent_later(c, t)) {
            /* Everything behind a first transmission is as new. */
            if (!(t->flags & SENT_RETRANS))
                break;
            continue;
        }
        rmr_dur age = rmr_time_since(ns->now, t->at);
        if (age >= limit) {
            rmri_tcp_mark_lost(c, t);
            a->newly_lost = true;
        } else if (limit - age > wait) {
            wait = limit - age;
        }
    }
    if (wait)
        c->t_probe = rmr_time_add(ns->now, wait);
}
