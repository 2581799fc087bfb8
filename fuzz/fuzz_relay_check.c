/* What must hold behind each step of fuzz_relay. */
#include "fuzz_relay_world.h"

static void check_counters(const rmr_dsw_stats *st)
{
    uint64_t in = st->rx_pkts + st->forwarded_in;
    uint64_t out = st->tx_pkts + st->forwarded_out + st->queued_pkts;
    for (int reason = 0; reason < RMR_DSW_REASONS; reason++)
        for (int kind = 0; kind < RMR_DSW_KINDS; kind++)
            if (reason != RMR_DSW_WRITE_ERROR) /* sent, in part */
                out += st->dropped_pkts[reason][kind];
    need(in == out);
}

void fr_check(world *w)
{
    rmr_dsw_stats st;
    size_t open = 0;
    if (!w->relay->sw)
        return;
    rmr_dsw_get_stats(w->relay->sw, &st);
    for (int i = 0; i < CLIENTS; i++)
        open += w->c[i].s.id != 0;
    need(w->relay->n_conns <= open && st.connections <= w->relay->n_conns);
    need(st.queued_pkts <= st.connections * 2 * 512);
    need(st.pool_used_bytes <= st.connections * ((size_t)1 << 21));
    if (w->mem.failed == 0)
        check_counters(&st);
    need(w->mem.live_bytes <= w->base_bytes + st.pool_used_bytes +
                                  st.pool_free_bytes + (size_t)256 * 1024 +
                                  open * (size_t)320 * 1024);
}

void fr_check_progress(world *w)
{
    rmr_relay_set_rate(w->relay, w->now, 0, 0);
    fr_turn(w);
    w->step = RL_CREDIT;
    for (int i = 0; i < CLIENTS; i++) {
        client *c = &w->c[i];
        c->s.stalled = false;
        if (c->s.id == 0 || !c->s.sending)
            continue;
        c->s.sending = false;
        fr_answer(w, RMR_IO_SENT, c->s.id, RMR_OK);
        fr_turn(w);
    }
    fr_deliver_all(w);
    fr_sleep_for(w, 40 * RMR_SEC);
    fr_deliver_all(w);
    for (int i = 0; i < CLIENTS && !w->stopped; i++)
        need(w->c[i].s.id == 0 || w->c[i].s.ended || w->c[i].s.in_len == 0);
    for (const rl_conn *c = w->relay->conns; c && !w->stopped; c = c->next)
        need(c->held.len == 0 && c->piece.len == 0);
}

void fr_check_empty(world *w)
{
    rmr_dsw_stats st;
    for (int i = 0; i < CLIENTS; i++)
        fr_client_close(w, &w->c[i], true);
    fr_turn(w);
    if (!w->relay->sw)
        return;
    rmr_dsw_get_stats(w->relay->sw, &st);
    need(w->relay->n_conns == 0 && st.connections == 0 && st.clients == 0);
    need(st.pool_used_bytes == 0 && st.queued_pkts == 0 && st.notes == 0);
    need(st.keys_local == 0 && st.pairs == 0 && st.watchers == 0);
    need(w->relay->timers.len == 0);
}
