/*
 * Segments in: parsing, who gets them, and the checks of RFC 9293 3.10.7 in
 * their order, with RFC 5961 and PAWS (RFC 7323 5).
 */
#include "tcp_internal.h"

/* ---- parsing ---------------------------------------------------------- */

static inline bool parse(rmr_ns *ns, const ns_pkt *p, tcp_seg *s)
{
    const uint8_t *h = p->l4;
    size_t off = p->l4_len < TCP_HEADER ? 0 : (h[12] >> 4) * 4u;
    if (off < TCP_HEADER || off > p->l4_len) {
        ns->stats.discard_malformed++;
        return false;
    }
    if (!p->loop) {
        uint64_t sum = rmri_ns_sum_pseudo(p->family, &p->src, &p->dst,
                                          NS_PROTO_TCP, p->l4_len);
        if (rmri_ns_sum_fold(rmri_ns_sum(sum, h, p->l4_len)) != 0xffff) {
            ns->stats.discard_checksum++;
            return false;
        }
    }
    s->tuple.local = p->dst;
    s->tuple.remote = p->src;
    s->tuple.rport = rmr_load_be16(h);
    s->tuple.lport = rmr_load_be16(h + 2);
    s->tuple.family = p->family;
    s->tuple.proto = NS_PROTO_TCP;
    s->tuple.zero[0] = s->tuple.zero[1] = 0;
    s->tw = NULL;
    s->seq = rmr_load_be32(h + 4);
    s->ack = rmr_load_be32(h + 8);
    s->flags = h[13];
    s->wnd = rmr_load_be16(h + 14);
    s->data = h + off;
    s->len = (uint32_t)(p->l4_len - off);
    rmri_tcp_options_parse(h + TCP_HEADER, off - TCP_HEADER, &s->o);
    return true;
}

bool rmri_tcp_parse(rmr_ns *ns, const ns_pkt *p, tcp_seg *s)
{
    return parse(ns, p, s);
}

static rmr_err nobody(rmr_ns *ns, const tcp_seg *s)
{
    ns->stats.discard_no_socket++;
    rmri_tcp_refuse(ns, s);
    return RMR_E_UNKNOWN;
}

rmr_err rmri_ns_tcp_input(rmr_ns *ns, const ns_pkt *p)
{
    tcp_seg s;
    if (!parse(ns, p, &s))
        return RMR_E_MALFORMED;
    ns_head *h = rmri_ns_find_flow(ns, &s.tuple);
    void *flow = h;
    if (h && h->kind == NS_KIND_CONN) {
        rmri_tcp_conn_input(ns, flow, &s);
        return RMR_OK;
    }
    if (h && h->kind == NS_KIND_HALF_OPEN) {
        rmri_tcp_half_input(ns, flow, &s);
        return RMR_OK;
    }
    if (h && h->kind == NS_KIND_PENDING) {
        rmri_tcp_pending_input(ns, flow, &s);
        return RMR_OK;
    }
    ns_head *l = rmri_ns_find_bind(ns, NS_PROTO_TCP, p->family, &p->dst,
                                   s.tuple.lport, p->foreign);
    bool request = !l && p->foreign && rmri_tcp_is_request(ns, &s);
    if (h && !rmri_tcp_tw_input(ns, flow, &s, l || request))
        return RMR_OK;
    if (request)
        return rmri_tcp_request(ns, &s);
    if (!l)
        return nobody(ns, &s);
    rmri_tcp_listen_input(ns, (tcp_listener *)(void *)l, &s);
    return RMR_OK;
}

/* ---- SYN-SENT --------------------------------------------------------- */

/* One limit of the whole stack would be a side channel (CVE-2016-5696), so its
 * count is another one each second. */
bool rmri_tcp_may_challenge(rmr_ns *ns)
{
    uint64_t second = ns->now / RMR_SEC + 1;
    if (second != ns->chal_second) {
        ns->chal_second = second;
        ns->chal_left = 500 + (uint32_t)(rmr_siphash13(&ns->limit_key, &second,
                                                       sizeof second) %
                                         500);
    }
    if (ns->chal_left == 0)
        return false;
    ns->chal_left--;
    return true;
}

static bool take_challenge(rmr_ns *ns, tcp_conn *c)
{
    if (c->chal_ms == 0 || tcp_ms(ns->now) - c->chal_ms >= 1000) {
        c->chal_ms = tcp_ms_mark(ns->now);
        c->chal_left = TCP_CHALLENGES;
    }
    if (c->chal_left == 0 || !rmri_tcp_may_challenge(ns))
        return false;
    c->chal_left--;
    return true;
}

void rmri_tcp_challenge(rmr_ns *ns, tcp_conn *c)
{
    if (!take_challenge(ns, c)) {
        tcp_drop(ns);
        return;
    }
    ns->stats.tcp_challenge_acks++;
    c->flags |= CF_ACK_NOW;
    rmri_tcp_want_output(ns, c);
}

static void first_sample(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (!(c->flags & CF_SYN_RETRANS)) {
        rmri_tcp_rtt_sample(c, rmr_time_since(ns->now, c->last_snd));
    } else if (s->o.has_ts && s->o.tsecr) {
        uint32_t ms = tcp_ts_now(ns, c->ts_off) - s->o.tsecr;
        if (ms < 0x7fffffff)
            rmri_tcp_rtt_sample(c, (rmr_dur)(ms ? ms : 1) * RMR_MS);
    }
}

static void syn_take(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    c->rcv_nxt = s->seq + 1;
    c->rcv_adv = c->rcv_nxt + u32_min(c->rcv_limit, 65535);
    c->last_ack = c->rcv_nxt;
    rmri_tcp_take_options(ns, c, s->o.mss, &s->o);
    c->snd_wnd = c->max_wnd = s->wnd; /* never scaled in a SYN */
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
}

static void syn_sent_input(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    bool ack = (s->flags & TH_ACK) != 0;
    if (ack && (seq_le(s->ack, c->snd_una) || seq_gt(s->ack, c->snd_nxt))) {
        /* The peer has an old connection: reset that, and knock again at
         * once. */
        if (s->flags & TH_RST || !take_challenge(ns, c)) {
            tcp_drop(ns);
        } else {
            rmri_tcp_reset(ns, &c->tuple, s->ack);
            c->flags |= CF_SYN_DUE;
            rmri_tcp_want_output(ns, c);
        }
        return;
    }
    if (s->flags & TH_RST) {
        if (ack) {
            ns->stats.tcp_resets_got++;
            rmri_tcp_finish(ns, c, RMR_E_REFUSED);
        } else {
            tcp_drop(ns);
        }
        return;
    }
    if (!(s->flags & TH_SYN)) {
        tcp_drop(ns);
        return;
    }
    syn_take(ns, c, s);
    if (!ack) { /* simultaneous open */
        c->state = RMR_NS_SYN_RECEIVED;
        c->flags |= CF_SYN_DUE;
        rmri_tcp_want_output(ns, c);
        return;
    }
    c->snd_una = s->ack;
    first_sample(ns, c, s);
    c->flags &= ~(uint32_t)CF_SYN_DUE;
    rmri_tcp_established(ns, c);
    c->flags |= CF_ACK_NOW;
    rmri_tcp_event(ns, c, EV_CONNECTED);
    rmri_tcp_arm(ns, c);
}

/* ---- the checks ------------------------------------------------------- */

/* RFC 9293 3.10.7.4, first check; an empty segment at the right edge counts,
 * because its sender may have filled our window. */
static bool acceptable(const tcp_conn *c, const tcp_seg *s)
{
    uint32_t len = seg_len(s), edge = c->rcv_adv;
    if (len == 0)
        return seq_le(c->rcv_nxt, s->seq) && seq_le(s->seq, edge);
    return seq_lt(s->seq, edge) && seq_gt(s->seq + len, c->rcv_nxt);
}

static bool ts_recent_is_old(const rmr_ns *ns, const tcp_conn *c)
{
    return (uint32_t)(ns->now / RMR_SEC) - c->ts_recent_s >= TCP_PAWS_IDLE_S;
}

static bool paws_refuses(const rmr_ns *ns, const tcp_conn *c, const tcp_seg *s)
{
    return (c->flags & CF_TS) && s->o.has_ts && !(s->flags & TH_RST) &&
           seq_lt(s->o.tsval, c->ts_recent) && !ts_recent_is_old(ns, c);
}

static void ack_now(rmr_ns *ns, tcp_conn *c)
{
    c->flags |= CF_ACK_NOW;
    rmri_tcp_want_output(ns, c);
}

/* The ACK that answers what is out of the window.  Two confused peers must not
 * loop, so one without data is answered rarely; a zero window's probes are
 * always. */
static void answer_stray(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (seg_len(s) == 0 && c->rcv_adv != c->rcv_nxt) {
        if (c->oow_ms && tcp_ms(ns->now) - c->oow_ms < TCP_OOW_GAP_MS) {
            tcp_drop(ns);
            return;
        }
        c->oow_ms = tcp_ms_mark(ns->now);
    }
    /* All of it was taken before: tell that it came twice (RFC 2883). */
    if (s->len && (c->flags & CF_SACK) && seq_le(s->seq + s->len, c->rcv_nxt)) {
        c->flags |= CF_DSACK;
        c->dsack.start = s->seq;
        c->dsack.end = s->seq + s->len;
    }
    ack_now(ns, c);
}

static void take_timestamp(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if ((c->flags & CF_TS) && s->o.has_ts && seq_le(s->seq, c->last_ack) &&
        (seq_ge(s->o.tsval, c->ts_recent) || ts_recent_is_old(ns, c))) {
        c->ts_recent = s->o.tsval;
        c->ts_recent_s = (uint32_t)(ns->now / RMR_SEC);
    }
}

/* Steps 1 to 3; false: the segment is dealt with (c may be gone). */
static bool check_seq_rst_syn(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    bool in = acceptable(c, s);
    if (paws_refuses(ns, c, s)) {
        answer_stray(ns, c, s);
        return false;
    }
    if (s->flags & TH_RST) { /* RFC 5961 3.2 */
        if (s->seq == c->rcv_nxt) {
            ns->stats.tcp_resets_got++;
            rmri_tcp_finish(ns, c,
                            c->state == RMR_NS_SYN_RECEIVED ? RMR_E_REFUSED
                                                            : RMR_E_RESET);
        } else if (in) {
            rmri_tcp_challenge(ns, c);
        } else {
            tcp_drop(ns);
        }
        return false;
    }
    if (s->flags & TH_SYN) { /* RFC 5961 4.2 */
        if (c->state == RMR_NS_SYN_RECEIVED && s->seq == c->rcv_nxt - 1) {
            if (!(s->flags & TH_ACK)) {
                c->flags |= CF_SYN_DUE;
                rmri_tcp_want_output(ns, c);
                return false;
            }
            /* Both SYNs crossed: this one also carries the ACK. */
            return s->ack == c->snd_nxt || tcp_drop(ns);
        }
        rmri_tcp_challenge(ns, c);
        return false;
    }
    if (in)
        return true;
    /* A closed window still takes ACKs at its edge, and a FIN alone, which
     * needs no room. */
    if (s->seq == c->rcv_nxt && c->rcv_adv == c->rcv_nxt) {
        ack_now(ns, c);
        return true;
    }
    answer_stray(ns, c, s);
    return false;
}

/* Step 5 for SYN-RECEIVED. */
static bool finish_handshake(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (seq_le(s->ack, c->snd_una) || seq_gt(s->ack, c->snd_nxt)) {
        rmri_tcp_reset(ns, &c->tuple, s->ack);
        return false;
    }
    c->snd_una = s->ack;
    first_sample(ns, c, s);
    c->flags &= ~(uint32_t)CF_SYN_DUE;
    rmri_tcp_established(ns, c);
    c->snd_wnd = (uint32_t)s->wnd << (s->flags & TH_SYN ? 0 : c->snd_ws);
    c->max_wnd = u32_max(c->max_wnd, c->snd_wnd);
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    rmri_tcp_event(ns, c, EV_CONNECTED);
    return true;
}

/* Step 5; false: dropped. */
static bool check_ack(rmr_ns *ns, tcp_conn *c, const tcp_seg *s)
{
    if (!(s->flags & TH_ACK))
        return tcp_drop(ns);
    if (c->state == RMR_NS_SYN_RECEIVED)
        return finish_handshake(ns, c, s);
    if (seq_gt(s->ack, c->snd_nxt) ||
        seq_lt(s->ack, c->snd_una - c->max_wnd)) { /* RFC 5961 5.2 */
        rmri_tcp_challenge(ns, c);
        return false;
    }
    return true;
}

/* Our FIN was acknowledged; false when the connection is over. */
static bool fin_acked(rmr_ns *ns, tcp_conn *c)
{
    switch (c->state) {
    case RMR_NS_FIN_WAIT_1:
        c->state = RMR_NS_FIN_WAIT_2;
        if (c->flags & CF_ORPHAN)
            c->t_state = rmr_time_add(ns->now, TCP_ORPHAN);
        return true;
    case RMR_NS_CLOSING:
        rmri_tcp_done(ns, c, true);
        return false;
    case RMR_NS_LAST_ACK:
        rmri_tcp_done(ns, c, false);
        return false;
    default:
        return true;
    }
}

void rmri_tcp_conn_input(rmr_ns *ns, tcp_conn *c, tcp_seg *s)
{
    if (c->state == RMR_NS_SYN_SENT) {
        syn_sent_input(ns, c, s);
        return;
    }
    if (!check_seq_rst_syn(ns, c, s))
        return;
    if (!check_ack(ns, c, s))
        return;
    take_timestamp(ns, c, s);
    if (s->flags & TH_SYN) {
        rmri_tcp_arm(ns, c);
        return;
    }
    c->keep_sent = 0;
    c->unanswered = 0;
    if (c->keep_idle_ms) {
        c->last_rcv_ms = tcp_ms(ns->now);
        c->t_keep = rmr_time_add(ns->now, c->keep_idle_ms * RMR_MS);
    }
    rmri_tcp_ack(ns, c, s);
    if ((c->flags & CF_FIN_SENT) && c->snd_una == c->snd_nxt &&
        !fin_acked(ns, c))
        return;
    if ((s->len || (s->flags & TH_FIN)) && !rmri_tcp_data(ns, c, s))
        return;
    rmri_tcp_arm(ns, c);
}

/* ---- ICMP ------------------------------------------------------------- */

/* Only those that the application knows of hear about it. */
static void tell(rmr_ns *ns, const tcp_conn *c, const rmr_ns_error *e)
{
    rmr_ns_sock s = {c->head.id};
    if (!ns->cb.on_error || (c->flags & (CF_ORPHAN | CF_DONE)) ||
        (c->flags & CF_UNACCEPTED))
        return;
    ns->in_callback = true;
    ns->cb.on_error(ns->cb.user, c->tag, s, e);
    ns->in_callback = false;
}

bool rmri_ns_tcp_icmp_error(rmr_ns *ns, const ns_tuple *t, uint32_t seq,
                            rmr_ns_error *e, bool hard)
{
    ns_head *h = rmri_ns_find_flow(ns, t);
    if (!h || h->kind != NS_KIND_CONN)
        return false;
    tcp_conn *c = (tcp_conn *)(void *)h;
    /* Only about what is in flight (RFC 5927 4.1), and once the connection is
     * open only as a hint (RFC 5461). */
    if (seq_lt(seq, c->snd_una) || seq_ge(seq, c->snd_nxt))
        return false;
    if (hard && c->state == RMR_NS_SYN_SENT) {
        rmri_tcp_finish(
            ns, c, e->why == RMR_E_REFUSED ? RMR_E_REFUSED : RMR_E_UNREACHABLE);
        return true;
    }
    if (e->why == RMR_E_TOOBIG) {
        bool news = rmri_ns_path_lower(ns, t->family, &t->remote, e->mtu);
        /* Also when it was known: there may have been no memory to cut. */
        rmri_tcp_mss_fit(ns, c);
        if (!news)
            return false;
        e->mtu = rmri_ns_path_mtu(ns, t->family, &t->remote);
    }
    c->soft = (int16_t)e->why;
    tell(ns, c, e); /* the last act: it may close the socket */
    return true;
}
