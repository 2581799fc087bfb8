/* The timer state machine (paper 6) as hooks, operations and deadlines. */
#include "wg_internal.h"

static rmr_dur jitter(rmr_wg *wg)
{
    /* Not a secret, so no call to the host: it can't fail, and the data path
     * needs it. */
    uint8_t n[8];
    rmr_store_le64(n, wg->jitter_count++);
    uint64_t r = rmr_siphash13(&wg->jitter_key, n, sizeof n) >> 32;
    return (r * (wg->jitter_max + 1)) >> 32;
}

static void set(rmr_wg *wg, wg_peer *p, int which, rmr_dur in)
{
    rmri_wg_put(p, which, rmr_time_add(wg->now, in));
}

void rmri_wg_arm(rmr_wg *wg, wg_peer *p)
{
    p->moved = false;
    rmr_time least = RMR_TIME_NEVER;
    for (int i = 0; i < WG_N_DEADLINES; i++)
        least = rmr_time_min(least, p->deadline[i]);
    rmr_time was = rmr_timer_is_armed(&p->timer) ? p->timer.at : RMR_TIME_NEVER;
    /* Never full: there is room for one entry a peer. */
    if (least != was)
        (void)rmr_timers_set(&wg->timers, &p->timer, least);
}

/* ---- hooks ------------------------------------------------------------ */

void rmri_wg_on_data_sent(rmr_wg *wg, wg_peer *p)
{
    if (p->deadline[WG_NH] == RMR_TIME_NEVER)
        set(wg, p, WG_NH, WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT + jitter(wg));
}

void rmri_wg_on_session_derived(rmr_wg *wg, wg_peer *p)
{
    set(wg, p, WG_ZERO, WG_ERASE_TIME);
}

void rmri_wg_on_complete(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_put(p, WG_RETX, RMR_TIME_NEVER);
    if (p->hs && rmri_wg_hs_is_late(wg, p))
        rmri_wg_hs_free(wg, p);
    p->attempts = 0;
    p->last_minute = false;
    p->handshake_unix_ns = rmri_wg_wall(wg);
    wg->stats.handshakes_completed++;
    rmri_wg_event(wg, p, RMR_WG_ESTABLISHED);
    rmri_wg_log(wg, RMR_LOG_DEBUG, p, "handshake completed");
}

/* ---- operations ------------------------------------------------------- */

static bool is_waiting(const wg_peer *p)
{
    return p->staged || p->want_ka;
}

/* The references arm nothing here, and then staged packets wait for an outside
 * event: after a lost key confirmation, for instance. */
static void suppressed(rmr_wg *wg, wg_peer *p)
{
    if (wg->like_reference || !is_waiting(p) || rmri_wg_can_send(p, wg->now) ||
        p->deadline[WG_RETX] != RMR_TIME_NEVER)
        return;
    rmri_wg_put(p, WG_RETX,
                rmr_time_add(p->last_init, WG_REKEY_TIMEOUT + jitter(wg)));
}

rmr_err rmri_wg_send_initiation(rmr_wg *wg, wg_peer *p, bool retry)
{
    if (!retry)
        p->attempts = 0;
    if (p->has_last_init &&
        rmr_time_since(wg->now, p->last_init) < WG_REKEY_TIMEOUT) {
        suppressed(wg, p);
        return RMR_OK;
    }
    p->last_init = wg->now;
    p->has_last_init = true;
    rmr_err e = rmri_wg_hs_initiate(wg, p);
    if (e == RMR_E_RNG)
        return e;
    if (!e) {
        rmri_wg_on_traversal(wg, p);
        rmri_wg_on_any_sent(p);
        rmri_wg_event(wg, p, RMR_WG_HANDSHAKE_STARTED);
    }
    /* Without memory this is a lost datagram: the retry will tell. */
    set(wg, p, WG_RETX, WG_REKEY_TIMEOUT + jitter(wg));
    return RMR_OK;
}

rmr_err rmri_wg_flush_staged(rmr_wg *wg, wg_peer *p)
{
    if (!is_waiting(p))
        return RMR_OK;
    if (!rmri_wg_can_send(p, wg->now))
        return rmri_wg_send_initiation(wg, p, false);
    rmri_wg_want_out(wg, p);
    return RMR_OK;
}

rmr_err rmri_wg_fresh_on_send(rmr_wg *wg, wg_peer *p)
{
    const wg_key *k = p->current;
    if (!k)
        return RMR_OK; /* a job outlived its slot */
    if (k->counter > WG_REKEY_AFTER_MESSAGES ||
        (k->initiator &&
         rmr_time_since(wg->now, k->born) > WG_REKEY_AFTER_TIME))
        return rmri_wg_send_initiation(wg, p, false);
    return RMR_OK;
}

rmr_err rmri_wg_last_minute(rmr_wg *wg, wg_peer *p)
{
    p->last_minute = true;
    return rmri_wg_send_initiation(wg, p, false);
}

/* An empty packet, unless staged ones say the same. */
rmr_err rmri_wg_keepalive(rmr_wg *wg, wg_peer *p)
{
    if (!p->staged)
        p->want_ka = true;
    return rmri_wg_flush_staged(wg, p);
}

/* ---- deadlines -------------------------------------------------------- */

static rmr_err on_retx(rmr_wg *wg, wg_peer *p)
{
    if (p->attempts <= WG_MAX_ATTEMPTS) {
        p->attempts++;
        return rmri_wg_send_initiation(wg, p, true);
    }
    rmri_wg_put(p, WG_KA, RMR_TIME_NEVER);
    rmri_wg_stage_drop(wg, p);
    rmri_wg_hs_free(wg, p);
    if (p->deadline[WG_ZERO] == RMR_TIME_NEVER)
        set(wg, p, WG_ZERO, WG_ERASE_TIME);
    rmri_wg_event(wg, p, RMR_WG_GAVE_UP);
    rmri_wg_log(wg, RMR_LOG_INFO, p, "no answer to any initiation");
    return RMR_OK;
}

static rmr_err on_ka(rmr_wg *wg, wg_peer *p)
{
    /* The second one stays only when this one isn't sent: sending it turns the
     * deadline off, as in the references. */
    if (p->need_ka) {
        p->need_ka = false;
        set(wg, p, WG_KA, WG_KEEPALIVE_TIMEOUT);
    }
    return rmri_wg_keepalive(wg, p);
}

static rmr_err on_zero(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_keys_erase(wg, p);
    rmri_wg_hs_free(wg, p);
    rmri_wg_stage_drop(wg, p);
    rmri_wg_event(wg, p, RMR_WG_EXPIRED);
    rmri_wg_log(wg, RMR_LOG_DEBUG, p, "keys erased");
    return RMR_OK;
}

static rmr_err expire(rmr_wg *wg, wg_peer *p, int which)
{
    switch (which) {
    case WG_RETX:
        return on_retx(wg, p);
    case WG_KA:
        return on_ka(wg, p);
    case WG_NH:
        return rmri_wg_send_initiation(wg, p, false);
    case WG_ZERO:
        return on_zero(wg, p);
    default: /* WG_PK */
        return p->keepalive_s ? rmri_wg_keepalive(wg, p) : RMR_OK;
    }
}

static rmr_err run_peer(rmr_wg *wg, wg_peer *p)
{
    rmr_err e = RMR_OK;
    for (int i = 0; i < WG_N_DEADLINES && !e; i++) {
        if (p->deadline[i] > wg->now)
            continue;
        rmri_wg_put(p, i, RMR_TIME_NEVER);
        e = expire(wg, p, i);
    }
    rmri_wg_rearm(wg, p);
    return e;
}

rmr_time rmr_wg_next_deadline(const rmr_wg *wg)
{
    return rmr_timers_next(&wg->timers);
}

rmr_err rmr_wg_handle_deadline(rmr_wg *wg, rmr_time now)
{
    rmr_err e = rmri_wg_enter(wg, now);
    if (e)
        return e;
    for (rmr_timer *t; (t = rmr_timers_pop(&wg->timers, wg->now));) {
        e = run_peer(wg, (wg_peer *)t->owner);
        if (e) {
            wg->fatal = e;
            return e;
        }
    }
    rmri_wg_run_events(wg);
    return RMR_OK;
}
