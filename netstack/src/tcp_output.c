/*
 * What a connection sends next: SYN, urgent ACK, repeat, new data, probe, ACK.
 * Payload is copied out of the send queue and summed in one pass; all is
 * decided when write_pkt asks, so that one ACK answers a batch of input.
 */
#include "tcp_internal.h"

static uint16_t advertise(const rmr_ns *ns, tcp_conn *c)
{
    uint32_t w = rmri_tcp_window(ns, c) >> c->rcv_ws;
    w = u32_min(w, 65535);
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + (w << c->rcv_ws));
    return (uint16_t)w;
}

/* Every segment carries the newest ACK. */
static void begin(const rmr_ns *ns, tcp_conn *c, tcp_out *o, uint8_t flags,
                  uint32_t seq)
{
    o->tuple = &c->tuple;
    o->seq = seq;
    o->ack = c->rcv_nxt;
    o->flags = flags | TH_ACK;
    o->wnd = advertise(ns, c);
    o->opts_len = 0;
    if (c->flags & CF_TS)
        rmri_tcp_ts_option(o, tcp_ts_now(ns, c->ts_off), c->ts_recent);
    c->last_ack = c->rcv_nxt;
    c->flags &= ~(uint32_t)(CF_ACK_NOW | CF_ACK_PENDING);
    c->t_ack = RMR_TIME_NEVER;
}

static size_t finish(const tcp_conn *c, uint8_t *dst, const tcp_out *o)
{
    return rmri_tcp_write(dst, o, 0, c->addr_sum, c->label);
}

/* ---- opening ---------------------------------------------------------- */

static size_t build_syn(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    bool answer = c->state == RMR_NS_SYN_RECEIVED;
    tcp_out o = {0};
    tcp_syn y = {0};
    y.mss = rmri_tcp_own_mss(ns, c->tuple.family);
    y.ws = rmri_tcp_own_ws(ns);
    y.has_ws = !answer || (c->flags & CF_WS);
    y.sack_ok = !answer || (c->flags & CF_SACK);
    y.has_ts = !answer || (c->flags & CF_TS);
    y.tsval = tcp_ts_now(ns, c->ts_off);
    y.tsecr = answer ? c->ts_recent : 0;
    o.tuple = &c->tuple;
    o.seq = c->snd_una;
    o.flags = TH_SYN;
    if (answer) {
        o.flags |= TH_ACK;
        o.ack = c->rcv_nxt;
    }
    o.wnd = (uint16_t)u32_min(c->rcv_limit, 65535);
    rmri_tcp_syn_options(&o, &y);
    c->flags &= ~(uint32_t)CF_SYN_DUE;
    c->last_snd = ns->now;
    if (c->t_rto == RMR_TIME_NEVER)
        c->t_rto = rmr_time_add(ns->now, TCP_RTO_FIRST);
    return finish(c, dst, &o);
}

/* ---- ACKs ------------------------------------------------------------- */

static size_t build_ack(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    tcp_out o;
    tcp_block b[TCP_SACK_MAX];
    begin(ns, c, &o, 0, c->snd_nxt);
    uint32_t n = 0, max = c->flags & CF_TS ? TCP_SACK_MAX - 1 : TCP_SACK_MAX;
    if (c->flags & CF_SACK) {
        if (c->flags & CF_DSACK)
            b[n++] = c->dsack;
        n += rmri_tcp_ranges_blocks(&c->ooo, b + n, max - n);
        if (n)
            rmri_tcp_sack_option(&o, b, n);
    }
    c->flags &= ~(uint32_t)CF_DSACK;
    return finish(c, dst, &o);
}

/* An empty segment below the window: provokes an ACK from everybody. */
static size_t build_probe(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    tcp_out o;
    c->flags &= ~(uint32_t)CF_PROBE;
    begin(ns, c, &o, 0, c->snd_una - 1);
    return finish(c, dst, &o);
}

static bool ack_due(const rmr_ns *ns, tcp_conn *c)
{
    if (c->flags & CF_ACK_NOW)
        return true;
    if (!(c->flags & CF_ACK_PENDING))
        return false;
    return c->rcv_nxt - c->last_ack >= 2u * c->mss_rcv ||
           c->rcv_limit < 3u * c->mss_rcv || rmri_tcp_window_due(ns, c);
}

/* ---- data ------------------------------------------------------------- */

static size_t write_sent(rmr_ns *ns, tcp_conn *c, const tcp_sent *t,
                         uint8_t *dst)
{
    tcp_out o;
    size_t len = t->len - (t->flags & SENT_FIN ? 1u : 0u);
    size_t off = t->seq - c->snd_una;
    uint8_t flags = t->flags & SENT_FIN ? TH_FIN : 0;
    if (len && off + len == c->snd.len)
        flags |= TH_PSH;
    begin(ns, c, &o, flags, t->seq);
    c->last_snd = ns->now;
    size_t hl = tcp_headers_len(&o);
    uint64_t sum = rmri_ns_cq_copy(&c->snd, &ns->pool, off, dst + hl, len);
    (void)rmri_tcp_write(dst, &o, len, ns_sum_add(sum, c->addr_sum), c->label);
    return hl + len;
}

static void note_pipe(tcp_conn *c)
{
    uint32_t pipe = rmri_tcp_pipe(c);
    if (seq_ge(c->snd_una, c->max_pipe_end)) { /* a new round */
        c->max_pipe_end = c->snd_nxt;
        c->max_pipe = pipe;
    }
    c->max_pipe = u32_max(c->max_pipe, pipe);
}

static size_t repeat(rmr_ns *ns, tcp_conn *c, tcp_sent *t, uint8_t *dst)
{
    if (t->flags & SENT_LOST) {
        c->lost -= t->len;
        c->pipe += t->len;
    }
    t->flags = (uint8_t)((t->flags & ~SENT_LOST) | SENT_RETRANS);
    t->at = ns->now;
    if (c->ca != TCP_CA_OPEN) {
        if (!(c->flags & CF_REPEATED))
            c->undo_stamp = tcp_ts_now(ns, c->ts_off);
        c->flags |= CF_REPEATED;
        c->undo_sum += rmri_tcp_undo_mark(t->seq, t->seq + t->len);
    }
    c->prr_out += t->len;
    c->retransmits++;
    ns->stats.tcp_retransmits++;
    c->flags &= ~(uint32_t)CF_FORCE;
    if (c->t_rto == RMR_TIME_NEVER)
        rmri_tcp_arm_loss(ns, c, false);
    return write_sent(ns, c, t, dst);
}

static size_t build_repeat(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    if (c->lost == 0)
        return 0;
    uint32_t i = rmri_tcp_segq_find(&c->segq, c->rtx_hint);
    while (i < c->segq.n && !(segq_at(&c->segq, i)->flags & SENT_LOST))
        i++;
    if (i == c->segq.n)
        return 0;
    tcp_sent *t = segq_at(&c->segq, i);
    uint32_t pipe = rmri_tcp_pipe(c);
    c->rtx_hint = t->seq;
    if (pipe && !(c->flags & CF_FORCE) && pipe + t->len > c->cwnd)
        return 0;
    return repeat(ns, c, t, dst);
}

/* How much of the unsent data goes into a segment now; 0: none.  `probe`: the
 * congestion window and Nagle don't count. */
static uint32_t next_len(const tcp_conn *c, uint32_t wnd, uint32_t unsent,
                         bool probe)
{
    uint32_t len = u32_min(u32_min(unsent, wnd), c->mss_snd);
    uint32_t pipe = rmri_tcp_pipe(c);
    if (len == 0)
        return 0;
    if (probe)
        return len;
    if (pipe && pipe + len > c->cwnd)
        return 0;
    if (len == c->mss_snd || (c->flags & CF_OVERRIDE))
        return len;
    if (len == unsent) /* RFC 9293 3.7.4: Nagle */
        return (c->flags & (CF_NODELAY | CF_FIN_QUEUED)) || c->segq.n == 0 ? len
                                                                           : 0;
    return len >= c->max_wnd / 2 ? len : 0; /* 3.8.6.2.1 */
}

/* Small segments must not make the list of what is out long. */
static bool too_many(const tcp_conn *c)
{
    return c->segq.n >= 64 + 2 * (c->cwnd / c->mss_snd);
}

static void restart_if_idle(const rmr_ns *ns, tcp_conn *c)
{
    if (c->segq.n == 0 && rmr_time_since(ns->now, c->last_snd) > c->rto) {
        c->cwnd = u32_min(c->cwnd, rmri_tcp_iw(c)); /* RFC 5681 4.1 */
        c->max_pipe_end = c->snd_una;
    }
}

static size_t build_new(rmr_ns *ns, tcp_conn *c, uint8_t *dst, bool probe)
{
    if (c->flags & CF_FIN_SENT)
        return 0;
    uint32_t unsent = (uint32_t)tcp_unsent(c);
    bool fin = (c->flags & CF_FIN_QUEUED) != 0;
    if ((!unsent && !fin) || too_many(c))
        return 0;
    uint32_t edge = c->snd_una + c->snd_wnd;
    uint32_t wnd = seq_gt(edge, c->snd_nxt) ? edge - c->snd_nxt : 0;
    restart_if_idle(ns, c);
    uint32_t len = next_len(c, wnd, unsent, probe);
    if (unsent && len == 0)
        return 0;
    fin = fin && len == unsent && wnd > len;
    if (len == 0 && !fin)
        return 0;
    tcp_sent t = {0};
    t.seq = c->snd_nxt;
    t.len = (uint16_t)(len + fin);
    t.at = ns->now;
    t.flags = fin ? SENT_FIN : 0;
    if (!rmri_tcp_segq_push(&c->segq, &ns->env.alloc, &t)) {
        c->t_write = rmr_time_add(ns->now, TCP_RETRY_MEMORY);
        return 0;
    }
    size_t n = write_sent(ns, c, &t, dst);
    c->snd_nxt += t.len;
    c->pipe += t.len;
    if (fin)
        c->flags |= CF_FIN_SENT;
    if (c->ca == TCP_CA_RECOVERY)
        c->prr_out += t.len;
    c->flags &= ~(uint32_t)CF_OVERRIDE;
    note_pipe(c);
    rmri_tcp_arm_loss(ns, c, false);
    return n;
}

/* RFC 8985 7.3: new data if there is some, else the last segment again. */
static size_t build_tail_probe(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    c->flags &= ~(uint32_t)CF_TLP;
    if (c->segq.n == 0 || c->ca != TCP_CA_OPEN)
        return 0;
    c->flags &= ~(uint32_t)CF_TLP_RETRANS;
    size_t n = build_new(ns, c, dst, true);
    if (!n) {
        n = repeat(ns, c, segq_at(&c->segq, c->segq.n - 1), dst);
        c->flags |= CF_TLP_RETRANS;
    }
    c->flags |= CF_TLP_OUT;
    c->tlp_end = c->snd_nxt;
    c->t_probe = RMR_TIME_NEVER;
    c->t_rto = rmr_time_add(ns->now, c->rto);
    return n;
}

/* ---- the order -------------------------------------------------------- */

static size_t build_any(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    if (c->flags & CF_SYN_DUE)
        return build_syn(ns, c, dst);
    if (!tcp_synced(c) || (c->flags & CF_DONE))
        return 0;
    /* Holes are told before data goes, which carries no SACK. */
    if ((c->flags & CF_ACK_NOW) && (c->ooo.n || (c->flags & CF_DSACK)))
        return build_ack(ns, c, dst);
    if (c->flags & CF_MSS_LOWERED)
        rmri_tcp_mss_fit(ns, c); /* what is known of a path expires */
    size_t n = build_repeat(ns, c, dst);
    if (!n && (c->flags & CF_TLP))
        n = build_tail_probe(ns, c, dst);
    if (!n)
        n = build_new(ns, c, dst, false);
    if (!n && (c->flags & CF_PROBE))
        n = build_probe(ns, c, dst);
    if (!n && ack_due(ns, c))
        n = build_ack(ns, c, dst);
    return n;
}

size_t rmri_tcp_build(rmr_ns *ns, tcp_conn *c, uint8_t *dst)
{
    size_t n = build_any(ns, c, dst);
    if (!n && (c->flags & CF_ACK_PENDING) && c->t_ack == RMR_TIME_NEVER)
        c->t_ack = rmr_time_add(ns->now, TCP_DELACK);
    if (!n && tcp_synced(c) && c->segq.n == 0)
        rmri_tcp_arm_loss(ns, c, false);
    if (c->user_ms)
        rmri_tcp_arm_user(ns, c, false);
    rmri_tcp_arm(ns, c);
    return n;
}
