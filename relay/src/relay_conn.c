/* A connection from its acceptance to its end. */
#include "relay_internal.h"

/* ---- the list ---------------------------------------------------------- */

static void link_in(rl_conn *c)
{
    rmr_relay *r = c->r;
    c->next = r->conns;
    if (r->conns)
        r->conns->prev = c;
    r->conns = c;
    r->n_conns++;
}

static void link_out(rl_conn *c)
{
    rmr_relay *r = c->r;
    if (c->prev)
        c->prev->next = c->next;
    else
        r->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    r->n_conns--;
}

void rmri_relay_conn_starve(rl_conn *c)
{
    rmr_relay *r = c->r;
    rl_lack lack = rmr_tls_lacks_input(c->tls) ? RL_LACK_INPUT : RL_LACK_OUTPUT;
    if (c->starved && c->lack == lack)
        return;
    rmri_relay_conn_sate(c);
    c->starved = true;
    c->lack = lack;
    c->starved_next = NULL;
    c->starved_prev = r->starved_tail[lack];
    if (c->starved_prev)
        c->starved_prev->starved_next = c;
    else
        r->starved_head[lack] = c;
    r->starved_tail[lack] = c;
}

void rmri_relay_conn_sate(rl_conn *c)
{
    rmr_relay *r = c->r;
    if (!c->starved)
        return;
    c->starved = false;
    if (c->starved_prev)
        c->starved_prev->starved_next = c->starved_next;
    else
        r->starved_head[c->lack] = c->starved_next;
    if (c->starved_next)
        c->starved_next->starved_prev = c->starved_prev;
    else
        r->starved_tail[c->lack] = c->starved_prev;
}

/* ---- beginning --------------------------------------------------------- */

static void conn_free(rl_conn *c)
{
    rmr_tls_free(c->tls);
    rmr_h1_free(c->h1);
    rmr_ws_free(c->ws);
    rmr_ring_wipe(&c->piece);
    rmr_ring_wipe(&c->held);
    rmr_ring_wipe(&c->out);
    rmr_release_wiped(&c->r->env.alloc, c, sizeof *c);
}

/* Each connection has two timers, and arming one must not fail. */
static bool has_timers(rmr_relay *r)
{
    uint32_t cap = r->timers.cap;
    return r->n_conns < cap / 2 ||
           rmr_timers_reserve(&r->timers, cap * 2) == RMR_OK;
}

static bool conn_tls(rl_conn *c)
{
    rmr_relay *r = c->r;
    rmr_tls_server_config cfg;
    if (c->door != RL_DOOR_RELAY || !r->identity)
        return true;
    rmr_tls_server_config_init(&cfg, sizeof cfg);
    cfg.identity = r->identity;
    cfg.pool = r->pool;
    cfg.gcm = r->gcm.name ? &r->gcm : NULL;
    return rmr_tls_server_new(&c->tls, &r->env, &cfg) == RMR_OK;
}

static rl_conn *conn_new(rl_listener *l, const rmr_addr *remote)
{
    rmr_relay *r = l->r;
    if (r->phase != RL_PHASE_UP || r->n_conns >= r->max_clients ||
        !has_timers(r))
        return NULL;
    rl_conn *c = rmr_alloc_zero(&r->env.alloc, sizeof *c, _Alignof(rl_conn));
    if (!c)
        return NULL;
    c->r = r;
    c->door = l->door;
    c->remote = *remote;
    c->timer.owner = c->hold.owner = c;
    rmr_ring_init(&c->held, &r->env.alloc, RL_CREDIT);
    rmr_ring_init(&c->piece, &r->env.alloc, RL_CREDIT);
    rmr_ring_init(&c->out, &r->env.alloc, RL_HTTP_OUT_MAX);
    if (!conn_tls(c)) {
        conn_free(c);
        return NULL;
    }
    return c;
}

void rmri_relay_conn_accept(rl_listener *l, rmr_time now, uint64_t child,
                            const rmr_addr *remote)
{
    rmr_relay *r = l->r;
    rl_conn *c = conn_new(l, remote);
    if (!c) {
        r->count.rejected++;
        rmr_mc_refuse(r->mc, child);
        return;
    }
    c->io = rmr_mc_adopt(r->mc, child, &rmri_relay_stream_ops, c);
    if (!c->io) {
        r->count.rejected++;
        conn_free(c);
        return;
    }
    r->count.accepted++;
    link_in(c);
    rmri_relay_conn_set_timer(c, rmr_time_add(now, RL_HTTP_TIMEOUT),
                              RL_TIMER_STAGE);
    rmri_relay_conn_settle(c, now);
}

/* ---- time -------------------------------------------------------------- */

void rmri_relay_conn_set_timer(rl_conn *c, rmr_time at, rl_timer_kind kind)
{
    rmr_timer *t = kind == RL_TIMER_HOLD ? &c->hold : &c->timer;
    t->kind = kind;
    rmr_timers_set(&c->r->timers, t, at); /* has room for each */
}

/* What it holds is what others wait for. */
static bool is_in_the_way(const rl_conn *c)
{
    const rmr_relay *r = c->r;
    return !rmr_tls_pool_has_room(r->pool) ||
           (r->starved_head[RL_LACK_INPUT] && rmr_tls_holds_input(c->tls));
}

void rmri_relay_conn_timer(rl_conn *c, rl_timer_kind kind, rmr_time now)
{
    /* One that kept a buffer all the time goes when others need it more. */
    if (kind == RL_TIMER_STAGE || is_in_the_way(c))
        rmri_relay_conn_end(c, now, RMR_E_TIMEOUT);
    else
        rmri_relay_conn_set_timer(c, rmr_time_add(now, RL_HOLD_AGAIN),
                                  RL_TIMER_HOLD);
}

/* No other deadline is meant for this: a peer that lets a record lie half
 * received, from the hello on, has a buffer of the pool. */
static void watch_buffers(rl_conn *c, rmr_time now)
{
    if (!c->tls)
        return;
    if (rmr_tls_holds(c->tls) == 0 || c->finishing)
        rmr_timers_cancel(&c->r->timers, &c->hold);
    else if (!rmr_timer_is_armed(&c->hold))
        rmri_relay_conn_set_timer(c, rmr_time_add(now, RL_HOLD_TIMEOUT),
                                  RL_TIMER_HOLD);
}

void rmri_relay_conn_settle(rl_conn *c, rmr_time now)
{
    if (c->stage == RL_DEAD)
        return;
    if (c->tls && rmr_tls_is_starved(c->tls))
        rmri_relay_conn_starve(c);
    watch_buffers(c, now);
    if (c->held.len == 0) {
        rmr_ring_shrink(&c->held);
        if (!c->blocked && !c->finishing)
            rmr_mc_io_credit(c->io, RL_CREDIT);
    }
    /* TLS may have words of its own, the handshake's above all. */
    if (c->tls || c->out.len > 0 || c->finishing)
        rmr_mc_io_output(c->io);
}

/* ---- end --------------------------------------------------------------- */

static void leave_switch(rl_conn *c, rmr_time now, rmr_err why)
{
    if (c->client.id == 0)
        return;
    rmri_relay_verify_forget(c);
    rmr_dsw_client_close(c->r->sw, now, c->client, why);
    c->client.id = 0;
}

void rmri_relay_conn_end(rl_conn *c, rmr_time now, rmr_err why)
{
    rmr_relay *r = c->r;
    if (c->stage == RL_DEAD)
        return;
    leave_switch(c, now, why);
    if (c->io && why == RMR_E_TIMEOUT)
        rmr_mc_io_abort(c->io);
    else if (c->io)
        rmr_mc_io_close(c->io);
    c->io = NULL;
    c->stage = RL_DEAD;
    rmr_timers_cancel(&r->timers, &c->timer);
    rmr_timers_cancel(&r->timers, &c->hold);
    rmri_relay_conn_sate(c);
    link_out(c);
    c->next = r->dead;
    r->dead = c;
    rmri_relay_stir(r);
}

void rmri_relay_conn_finish(rl_conn *c, rmr_time now)
{
    if (c->stage == RL_DEAD || c->finishing)
        return;
    c->finishing = true;
    if (c->ws && !rmr_ws_is_closed(c->ws))
        rmr_ws_close(c->ws, RMR_WS_GOING_AWAY, rmr_bytes_str(""));
    rmri_relay_conn_set_timer(c, rmr_time_add(now, RL_FINISH_TIMEOUT),
                              RL_TIMER_STAGE);
    rmr_mc_io_output(c->io);
}

/* The switch has no use for it any more. */
void rmri_relay_conn_leave(rl_conn *c, rmr_time now, rmr_err why)
{
    leave_switch(c, now, why);
    rmri_relay_conn_finish(c, now);
}

void rmri_relay_conns_reap(rmr_relay *r)
{
    while (r->dead) {
        rl_conn *c = r->dead;
        r->dead = c->next;
        /* Its buffers are another's now, who may wait for nothing else. */
        if (c->tls && rmr_tls_holds(c->tls) > 0)
            rmri_relay_stir(r);
        conn_free(c);
    }
}

void rmri_relay_conns_free(rmr_relay *r)
{
    while (r->conns) {
        rl_conn *c = r->conns;
        link_out(c);
        conn_free(c);
    }
    rmri_relay_conns_reap(r);
}
