/* Data and FIN of segments that passed the checks, the receive window and its
 * tuning. */
#include "tcp_internal.h"

/* Out of order data leaves some of the memory to what moves streams on. */
static size_t ooo_limit(const ns_pool *p)
{
    return p->max - p->max / 8;
}

/* ---- window ----------------------------------------------------------- */

/* What may be advertised now: never less than before, and more only in steps
 * worth a segment (RFC 9293 3.8.6.2.2). */
uint32_t rmri_tcp_window(const rmr_ns *ns, const tcp_conn *c)
{
    uint32_t held =
        c->rcv.len < c->rcv_limit ? (uint32_t)c->rcv.len : c->rcv_limit;
    uint32_t room = c->rcv_limit - held, now = c->rcv_adv - c->rcv_nxt;
    uint32_t step =
        u32_min(c->rcv_limit / 2, rmri_tcp_own_mss(ns, c->tuple.family));
    if (room <= now || room - now < step)
        return now;
    return room;
}

bool rmri_tcp_window_due(const rmr_ns *ns, const tcp_conn *c)
{
    if (c->flags & CF_FIN_TAKEN)
        return false;
    uint32_t now = (c->rcv_adv - c->rcv_nxt) >> c->rcv_ws;
    uint32_t next = rmri_tcp_window(ns, c) >> c->rcv_ws;
    uint32_t mss = rmri_tcp_own_mss(ns, c->tuple.family);
    return next > now && (now == 0 || next >= 2 * now ||
                          ((next - now) << c->rcv_ws) >= 2 * mss);
}

static rmr_dur tune_round(const tcp_conn *c)
{
    rmr_dur r = c->srtt ? c->srtt : 100 * RMR_MS;
    rmr_dur seen = (rmr_dur)c->rcv_rtt_ms * RMR_MS;
    if (seen && seen < r)
        r = seen;
    return r < RMR_MS ? RMR_MS : r;
}

/* Twice what the application takes in a round trip must fit; four times while
 * that grows, because a sender in slow start doubles before we have measured.
 * So it is never held by us. */
void rmri_tcp_tune(rmr_ns *ns, tcp_conn *c, size_t consumed)
{
    c->tune_bytes += (uint32_t)consumed;
    if ((tcp_ms(ns->now) - c->tune_ms) * RMR_MS < tune_round(c))
        return;
    uint64_t want = 2ull * c->tune_bytes;
    if (c->tune_bytes > c->tune_prev + c->tune_prev / 4)
        want *= 2;
    want += 16ull * rmri_tcp_own_mss(ns, c->tuple.family);
    if (want > c->rcv_max)
        want = c->rcv_max;
    if (want > c->rcv_limit && ns->pool.used < ns->pool.max / 4 * 3)
        c->rcv_limit = (uint32_t)want;
    c->tune_ms = tcp_ms(ns->now);
    c->tune_prev = c->tune_bytes;
    c->tune_bytes = 0;
}

/* The round trip as the receiver sees it, from the echo of our ACKs. */
static void receiver_rtt(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (!(c->flags & CF_TS) || !s->o.has_ts || s->o.tsecr == 0)
        return;
    uint32_t ms = tcp_ts_now(ns, c->ts_off) - s->o.tsecr;
    if (ms > 60000)
        return;
    ms = ms ? ms : 1;
    if (c->rcv_rtt_ms == 0 || ms < c->rcv_rtt_ms)
        c->rcv_rtt_ms = (uint16_t)ms;
    else
        c->rcv_rtt_ms = (uint16_t)(c->rcv_rtt_ms + (ms - c->rcv_rtt_ms) / 8);
}

/* ---- data ------------------------------------------------------------- */

static void note_dsack(tcp_conn *c, uint32_t start, uint32_t end)
{
    if (!(c->flags & CF_SACK))
        return;
    c->flags |= CF_DSACK;
    c->dsack.start = start;
    c->dsack.end = end;
}

static bool take_in_order(rmr_ns *ns, tcp_conn *c, rmr_bytes d)
{
    if (!rmri_ns_cq_put(&c->rcv, &ns->pool, c->rcv.len, d, ns->pool.max)) {
        ns->stats.discard_full++; /* as a loss: the peer repeats it */
        return false;
    }
    c->rcv.len += (uint32_t)d.len;
    c->rcv_nxt += (uint32_t)d.len;
    if (c->ooo.n) {
        uint32_t edge = rmri_tcp_ranges_join(&c->ooo, c->rcv_nxt);
        c->rcv.len += edge - c->rcv_nxt;
        c->rcv_nxt = edge;
        c->flags |= CF_ACK_NOW; /* RFC 5681 4.2 */
        if (c->ooo.n == 0)
            rmri_tcp_ranges_wipe(&c->ooo, &ns->env.alloc);
    }
    c->flags |= CF_ACK_PENDING;
    if (c->quick) {
        c->quick--;
        c->flags |= CF_ACK_NOW;
    }
    rmri_tcp_event(ns, c, EV_READABLE);
    return true;
}

/* Where the ranges end. */
static uint32_t far_end(const tcp_conn *c)
{
    return c->ooo.n ? c->ooo.v[c->ooo.n - 1].end : c->rcv_nxt;
}

static void take_ahead(rmr_ns *ns, tcp_conn *c, uint32_t seq, rmr_bytes d)
{
    uint32_t end = seq + (uint32_t)d.len;
    c->flags |= CF_ACK_NOW;
    if (rmri_tcp_ranges_has(&c->ooo, seq, end)) {
        note_dsack(c, seq, end);
        return;
    }
    size_t off = c->rcv.len + (seq - c->rcv_nxt);
    uint32_t far = far_end(c);
    bool kept =
        rmri_ns_cq_put(&c->rcv, &ns->pool, off, d, ooo_limit(&ns->pool)) &&
        rmri_tcp_ranges_add(&c->ooo, &ns->env.alloc, seq, end) !=
            TCP_INSERT_FULL;
    if (!kept)
        ns->stats.discard_full++;
    /* What is not kept, or was forgotten for it, leaves no chunk behind: lone
     * bytes would hold the whole window. */
    if (!kept || seq_lt(far_end(c), far))
        rmri_ns_cq_cut(&c->rcv, &ns->pool,
                       c->rcv.len + (far_end(c) - c->rcv_nxt));
    if (c->ooo.n == 0 && c->rcv.len == 0)
        rmri_ns_cq_trim(&c->rcv, &ns->pool);
}

/* Cuts the segment to what is new and inside the window. */
static void trim(tcp_conn *c, uint32_t *seq, rmr_bytes *d, bool *fin)
{
    uint32_t end = c->flags & CF_FIN_SEEN ? c->fin_seq : c->rcv_adv;
    if (seq_gt(end, c->rcv_adv))
        end = c->rcv_adv;
    if (seq_gt(*seq + (uint32_t)d->len, end)) {
        d->len = seq_gt(end, *seq) ? end - *seq : 0;
        *fin = false;
    }
    if (seq_lt(*seq, c->rcv_nxt)) {
        uint32_t cut = c->rcv_nxt - *seq;
        if (cut > d->len)
            cut = (uint32_t)d->len;
        note_dsack(c, *seq, *seq + cut);
        c->flags |= CF_ACK_NOW;
        d->ptr += cut;
        d->len -= cut;
        *seq += cut;
    }
}

/* The FIN has been reached; false when the connection is over. */
static bool take_fin(rmr_ns *ns, tcp_conn *c)
{
    c->rcv_nxt++;
    if (seq_lt(c->rcv_adv, c->rcv_nxt))
        c->rcv_adv = c->rcv_nxt;
    c->flags |= CF_FIN_TAKEN | CF_ACK_NOW;
    rmri_tcp_event(ns, c, EV_READABLE);
    switch (c->state) {
    case RMR_NS_ESTABLISHED:
        c->state = RMR_NS_CLOSE_WAIT;
        break;
    case RMR_NS_FIN_WAIT_1:
        c->state = RMR_NS_CLOSING;
        break;
    case RMR_NS_FIN_WAIT_2:
        rmri_tcp_done(ns, c, true);
        return false;
    default:
        break;
    }
    return true;
}

bool rmri_tcp_data(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (c->flags & CF_FIN_TAKEN)
        return true; /* nothing can follow a FIN */
    if ((c->flags & CF_ORPHAN) && s->len) {
        /* Nobody will read it (RFC 1122 4.2.2.13). */
        rmri_tcp_reset(ns, &c->tuple, s->ack);
        rmri_tcp_conn_free(ns, c);
        return false;
    }
    uint32_t seq = s->seq;
    rmr_bytes d = rmr_bytes_of(s->data, s->len);
    bool fin = (s->flags & TH_FIN) != 0;
    receiver_rtt(ns, c, s);
    if ((tcp_ms(ns->now) - c->last_data_ms) * RMR_MS > c->rto)
        c->quick = TCP_QUICK_ACKS;
    if (s->len)
        c->last_data_ms = tcp_ms(ns->now);
    if (s->len > c->mss_rcv)
        c->mss_rcv = (uint16_t)u32_min(s->len, 65535);
    trim(c, &seq, &d, &fin);
    if (fin && !(c->flags & CF_FIN_SEEN)) {
        c->flags |= CF_FIN_SEEN | CF_ACK_NOW;
        c->fin_seq = seq + (uint32_t)d.len;
    }
    if (d.len && seq == c->rcv_nxt) {
        if (!take_in_order(ns, c, d))
            return true;
    } else if (d.len) {
        take_ahead(ns, c, seq, d);
    }
    rmri_tcp_want_output(ns, c);
    if ((c->flags & CF_FIN_SEEN) && c->rcv_nxt == c->fin_seq)
        return take_fin(ns, c);
    return true;
}
