/* TIME-WAIT as small entries in the order of their ends (RFC 9293 3.10.7.4,
 * RFC 6191, RFC 1337). */
#include "tcp_internal.h"

static void arm(rmr_ns *ns)
{
    rmr_time at = RMR_TIME_NEVER;
    if (!ns_list_empty(&ns->tw_list))
        at = NS_OWNER(ns->tw_list.next, tcp_tw, node)->deadline;
    ns->tw_timer.kind = NS_TIMER_TIME_WAIT;
    (void)rmr_timers_set(&ns->timers, &ns->tw_timer, at);
}

void rmri_tcp_tw_replaced(rmr_ns *ns, tcp_tw *w)
{
    ns_list_unlink(&w->node);
    rmr_slots_free(&ns->tws, w->head.id);
    arm(ns);
}

void rmri_tcp_tw_free(rmr_ns *ns, tcp_tw *w)
{
    rmri_ns_del_flow(ns, &w->tuple);
    rmri_tcp_tw_replaced(ns, w);
}

/* All last equally long, so the one that starts now ends last. */
static void start(rmr_ns *ns, tcp_tw *w)
{
    ns_list_unlink(&w->node);
    w->deadline = rmr_time_add(ns->now, ns->cfg.time_wait);
    ns_list_push(&ns->tw_list, &w->node);
    arm(ns);
}

static void answer(rmr_ns *ns, const tcp_tw *w)
{
    tcp_out o = {0};
    o.tuple = &w->tuple;
    o.seq = w->snd_nxt;
    o.ack = w->rcv_nxt;
    o.flags = TH_ACK;
    if (w->has_ts)
        rmri_tcp_ts_option(&o, tcp_ts_now(ns, w->ts_off), w->ts_recent);
    rmri_tcp_emit(ns, &o);
}

bool rmri_tcp_tw_enter(rmr_ns *ns, tcp_conn *c)
{
    uint64_t id;
    bool ack = (c->flags & CF_ACK_NOW) != 0;
    if (ns->tws.used && ns->tws.used >= ns->cfg.max_time_wait)
        rmri_tcp_tw_free(ns, NS_OWNER(ns->tw_list.next, tcp_tw, node));
    tcp_tw *w = rmr_slots_new(&ns->tws, &id);
    if (w) {
        w->head.id = id;
        w->head.kind = NS_KIND_TIME_WAIT;
        w->tuple = c->tuple;
        w->born = ns->now;
        w->rcv_nxt = c->rcv_nxt;
        w->snd_nxt = c->snd_nxt;
        w->ts_recent = c->ts_recent;
        w->ts_off = c->ts_off;
        w->has_ts = (c->flags & CF_TS) != 0;
        if (!rmri_ns_add_flow(ns, &w->tuple, &w->head)) {
            start(ns, w);
            if (ack)
                answer(ns, w);
            return true;
        }
        rmr_slots_free(&ns->tws, id);
    }
    /* Without an entry the last ACK still goes. */
    tcp_tw once = {0};
    once.tuple = c->tuple;
    once.rcv_nxt = c->rcv_nxt;
    once.snd_nxt = c->snd_nxt;
    once.ts_recent = c->ts_recent;
    once.ts_off = c->ts_off;
    once.has_ts = (c->flags & CF_TS) != 0;
    if (ack)
        answer(ns, &once);
    return false;
}

bool rmri_tcp_tw_input(rmr_ns *ns, tcp_tw *w, tcp_seg *s, bool wanted)
{
    if (s->flags & TH_RST)
        return tcp_drop(ns);
    if (wanted && (s->flags & (TH_SYN | TH_ACK)) == TH_SYN) {
        bool newer =
            w->has_ts && s->o.has_ts && seq_gt(s->o.tsval, w->ts_recent);
        if (newer || seq_gt(s->seq, w->rcv_nxt)) {
            s->tw = w;
            return true;
        }
    }
    /* An empty ACK is never answered: two entries would talk for ever. */
    if (seg_len(s) == 0)
        return tcp_drop(ns);
    answer(ns, w);
    if (s->flags & TH_FIN)
        start(ns, w);
    return false;
}

uint32_t rmri_tcp_syn_isn(rmr_ns *ns, const tcp_seg *s)
{
    uint32_t iss = rmri_ns_isn(ns, &s->tuple);
    if (!s->tw)
        return iss;
    uint32_t floor = s->tw->snd_nxt + 65535;
    rmri_tcp_tw_replaced(ns, s->tw);
    return seq_gt(iss, floor) ? iss : floor + 1;
}

void rmri_tcp_tw_timer(rmr_ns *ns)
{
    while (!ns_list_empty(&ns->tw_list)) {
        tcp_tw *w = NS_OWNER(ns->tw_list.next, tcp_tw, node);
        if (w->deadline > ns->now)
            break;
        ns_list_unlink(&w->node);
        rmri_ns_del_flow(ns, &w->tuple);
        rmr_slots_free(&ns->tws, w->head.id);
    }
    arm(ns);
}
