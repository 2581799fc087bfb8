/* One client of the switch: opened, admitted, ended; what the host is told. */
#include "dsw_internal.h"

#include <string.h>

/* ---- deadlines with one length ----------------------------------------- */

void rmri_dsw_due_clear(rmri_dsw_due_list *l, rmri_dsw_due *d)
{
    if (d->at == 0)
        return;
    if (d->next)
        d->next->prev = d->prev;
    else
        l->tail = d->prev;
    if (d->prev)
        d->prev->next = d->next;
    else
        l->head = d->next;
    d->next = d->prev = NULL;
    d->at = 0;
}

void rmri_dsw_due_set(rmri_dsw_due_list *l, rmri_dsw_due *d, rmr_time at)
{
    rmri_dsw_due_clear(l, d);
    d->at = at;
    d->prev = l->tail;
    if (l->tail)
        l->tail->next = d;
    else
        l->head = d;
    l->tail = d;
}

static rmri_dsw_due_list *stalls_of(rmr_dsw *sw, const rmri_dsw_client *c)
{
    return c->is_mesh ? &sw->mesh_stalls : &sw->stalls;
}

/* The login has its own deadline, and it is longer. */
static void stall_start(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_dur d = c->is_mesh ? sw->cfg.mesh_write_timeout : sw->cfg.write_timeout;
    if (d && c->state == DSW_UP)
        rmri_dsw_due_set(stalls_of(sw, c), &c->stall, rmr_time_add(sw->now, d));
}

void rmri_dsw_stall_stop(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_due_clear(stalls_of(sw, c), &c->stall);
}

void rmri_dsw_rearm(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_time at = rmr_time_min(c->stage_end, c->keep_at);
    at = rmr_time_min(at, c->resume_at);
    if (at != c->timer.at || !rmr_timer_is_armed(&c->timer))
        (void)rmr_timers_set(&sw->timers, &c->timer, at); /* has its room */
}

/* ---- what the host is told --------------------------------------------- */

static void unlist(rmr_dsw *sw, rmri_dsw_client *c)
{
    if (!c->is_listed)
        return;
    if (c->ready_prev)
        c->ready_prev->ready_next = c->ready_next;
    else
        sw->ready = c->ready_next;
    if (c->ready_next)
        c->ready_next->ready_prev = c->ready_prev;
    else
        sw->last_ready = c->ready_prev;
    c->ready_next = c->ready_prev = NULL;
    c->is_listed = false;
}

void rmri_dsw_tell(rmr_dsw *sw, rmri_dsw_client *c, uint8_t what)
{
    c->ready |= what;
    if (c->is_listed)
        return;
    c->is_listed = true;
    c->ready_prev = sw->last_ready;
    if (sw->last_ready)
        sw->last_ready->ready_next = c;
    else
        sw->ready = c;
    sw->last_ready = c;
}

bool rmr_dsw_next_ready(rmr_dsw *sw, rmr_dsw_ready *out)
{
    rmri_dsw_client *c = sw->ready;
    if (!c)
        return false;
    unlist(sw, c);
    out->client.id = c->id;
    out->tag = c->tag;
    out->what = c->ready;
    out->why = c->why;
    c->ready = 0;
    return true;
}

void rmri_dsw_want_write(rmr_dsw *sw, rmri_dsw_client *c)
{
    if (c->stall.at == 0)
        stall_start(sw, c);
    if (c->is_told)
        return;
    c->is_told = true;
    rmri_dsw_tell(sw, c, RMR_DSW_WRITE);
}

rmr_err rmr_dsw_wrote(rmr_dsw *sw, rmr_time now, rmr_dsw_client h, size_t n)
{
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    if (!c)
        return RMR_E_BADHANDLE;
    rmri_dsw_clamp(sw, now);
    if (n == 0 || c->state == DSW_DEAD)
        return RMR_OK;
    c->open_bytes -= n < c->open_bytes ? n : c->open_bytes;
    if (c->open_bytes || rmri_dsw_has_output(c))
        stall_start(sw, c);
    else
        rmri_dsw_stall_stop(sw, c);
    return RMR_OK;
}

/* ---- the rate ----------------------------------------------------------- */

rmr_time rmri_dsw_take_tokens(rmr_dsw *sw, rmri_dsw_client *c, uint32_t n)
{
    const rmri_derp_bucket *b = &sw->rate;
    if (b->rate == 0 || c->is_mesh)
        return 0;
    if (n > RMRI_DERP_MAX_BODY)
        n = (uint32_t)RMRI_DERP_MAX_BODY;
    rmr_time from = c->rate_full_at > sw->now ? c->rate_full_at : sw->now;
    c->rate_full_at = rmr_time_add(from, (uint64_t)n * RMR_SEC / b->rate);
    return rmr_time_since(c->rate_full_at, b->depth);
}

/* ---- beginning --------------------------------------------------------- */

/* Each client can arm its timer: room in the heap comes with it. */
static bool has_timer_room(rmr_dsw *sw)
{
    uint32_t cap = sw->timers.cap;
    if (sw->clients.used < cap)
        return true;
    cap = cap ? cap * 2 : 16;
    return rmr_timers_reserve(&sw->timers, cap) == RMR_OK;
}

rmr_err rmr_dsw_client_open(rmr_dsw *sw, rmr_time now, const rmr_dsw_peer *peer,
                            rmr_dsw_client *out)
{
    uint64_t id;
    rmri_dsw_clamp(sw, now);
    if (sw->clients.used >= sw->cfg.max_clients)
        return RMR_E_FULL;
    rmri_dsw_client *c =
        has_timer_room(sw) ? rmr_slots_new(&sw->clients, &id) : NULL;
    if (!c) {
        sw->stats.nomem++;
        return RMR_E_NOMEM;
    }
    c->id = id;
    c->tag = peer->tag;
    c->addr = peer->addr;
    c->not_ideal = peer->not_ideal;
    c->timer.owner = c->stall.owner = c->frame_due.owner = c;
    c->keep_at = c->resume_at = RMR_TIME_NEVER;
    c->stage_end = rmr_time_add(sw->now, sw->cfg.login_timeout);
    c->out = DSW_OUT_SERVER_KEY;
    sw->stats.accepts++;
    sw->stats.websocket_accepts += peer->is_websocket;
    rmri_dsw_rearm(sw, c);
    rmri_dsw_want_write(sw, c);
    out->id = id;
    return RMR_OK;
}

static rmr_err draw_jitter(rmr_dsw *sw, rmri_dsw_client *c)
{
    uint8_t r[4];
    if (rmr_rng_fill(&sw->env.rng, r, sizeof r) != RMR_OK)
        return RMR_E_RNG;
    uint64_t part = (uint64_t)r[0] << 24 | (uint64_t)r[1] << 16 |
                    (uint64_t)r[2] << 8 | r[3];
    /* Below the jitter: in units of 1/2^32 of it, without overflow. */
    rmr_dur j = sw->cfg.keep_alive_jitter;
    c->keep_period = rmr_time_add(
        sw->cfg.keep_alive, (j >> 32) * part + ((j & UINT32_MAX) * part >> 32));
    return RMR_OK;
}

rmr_err rmri_dsw_go_up(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_err e = draw_jitter(sw, c);
    if (e == RMR_OK)
        e = rmri_dsw_register(sw, c);
    if (e != RMR_OK) {
        rmri_dsw_kill(sw, c, e);
        return e;
    }
    c->state = DSW_UP;
    c->stage_end = RMR_TIME_NEVER;
    c->up_at = sw->now;
    c->keep_at = rmr_time_add(sw->now, c->keep_period);
    rmri_dsw_rearm(sw, c);
    sw->stats.logins++;
    sw->stats.clients++;
    sw->stats.not_ideal += c->not_ideal;
    c->out |= DSW_OUT_SERVER_INFO;
    rmri_dsw_want_write(sw, c);
    if (c->is_stopped)
        rmri_dsw_tell(sw, c, RMR_DSW_READ);
    rmri_dsw_tell_watchers_present(sw, c);
    return RMR_OK;
}

rmr_err rmr_dsw_admit(rmr_dsw *sw, rmr_time now, rmr_dsw_client h, bool yes)
{
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    if (!c)
        return RMR_E_BADHANDLE;
    rmri_dsw_clamp(sw, now);
    if (c->state != DSW_ADMIT)
        return RMR_E_STATE;
    if (yes)
        return rmri_dsw_go_up(sw, c);
    sw->stats.denied++;
    rmri_dsw_kill(sw, c, RMR_E_DENIED);
    return RMR_OK;
}

/* ---- ending ------------------------------------------------------------ */

static void forget_rx(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_rx *rx = &c->rx;
    rmri_dsw_due_clear(&sw->frames, &c->frame_due);
    if (rx->pkt) {
        sw->pool.gathered -= rmri_dsw_pkt_size(rx->pkt);
        rmri_dsw_pkt_free(sw, rx->pkt);
    }
    if (rx->login) {
        sw->login_used -= rx->login_cap;
        rmr_release_wiped(&sw->env.alloc, rx->login, rx->login_cap);
    }
    memset(rx, 0, sizeof *rx);
}

static void leave(rmr_dsw *sw, rmri_dsw_client *c)
{
    bool was_up = c->state == DSW_UP;
    rmri_dsw_stall_stop(sw, c);
    c->state = DSW_DEAD;
    c->out = 0;
    c->stage_end = c->keep_at = c->resume_at = RMR_TIME_NEVER;
    rmr_timers_cancel(&sw->timers, &c->timer);
    forget_rx(sw, c);
    rmri_dsw_drop_all(sw, c);
    rmri_dsw_drop_notes(sw, c);
    rmri_dsw_watch_stop(sw, c);
    if (c->health)
        rmr_release(&sw->env.alloc, c->health, 1u + c->health[0]);
    c->health = NULL;
    rmr_wipe(c->shared, sizeof c->shared);
    if (!was_up) {
        sw->stats.login_failures++;
        return;
    }
    sw->stats.clients--;
    sw->stats.homes -= c->is_preferred;
    sw->stats.not_ideal -= c->not_ideal;
    rmri_dsw_unregister(sw, c);
}

void rmri_dsw_kill(rmr_dsw *sw, rmri_dsw_client *c, rmr_err why)
{
    if (c->state == DSW_DEAD)
        return;
    if (why == RMR_E_NOMEM)
        sw->stats.nomem++;
    c->why = why;
    leave(sw, c);
    c->ready = 0; /* nothing else is of interest any more */
    rmri_dsw_tell(sw, c, RMR_DSW_CLOSE);
    rmr_logf(&sw->env.log, RMR_LOG_DEBUG, "derp_srv", "client closed: %s",
             rmr_derp_err_text(why));
}

rmr_err rmr_dsw_client_close(rmr_dsw *sw, rmr_time now, rmr_dsw_client h,
                             rmr_err why)
{
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    if (!c)
        return RMR_E_BADHANDLE;
    rmri_dsw_clamp(sw, now);
    if (c->state != DSW_DEAD) {
        rmr_logf(&sw->env.log, RMR_LOG_DEBUG, "derp_srv", "client left: %s",
                 rmr_err_name(why));
        leave(sw, c);
    }
    unlist(sw, c);
    rmr_slots_free(&sw->clients, c->id);
    return RMR_OK;
}

/* ---- looking, and small wishes ------------------------------------------ */

uint8_t rmri_dsw_present_flags(const rmri_dsw_client *c)
{
    uint8_t f = (uint8_t)((c->is_mesh ? 2 : 0) | (c->is_prober ? 4 : 0) |
                          (c->not_ideal ? 8 : 0));
    return f ? f : 1;
}

rmr_err rmr_dsw_client_get(const rmr_dsw *sw, rmr_dsw_client h,
                           rmr_dsw_info *out)
{
    const rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    if (!c)
        return RMR_E_BADHANDLE;
    memset(out, 0, sizeof *out);
    memcpy(out->key, c->public_key, RMR_KEY_LEN);
    out->addr = c->addr;
    out->version = c->version;
    out->is_mesh = c->is_mesh;
    out->is_prober = c->is_prober;
    out->can_ack_pings = c->can_ack_pings;
    out->is_up = c->state == DSW_UP;
    out->is_preferred = c->is_preferred;
    out->is_watcher = c->watch != NULL;
    out->tag = c->tag;
    return RMR_OK;
}

rmr_err rmr_dsw_send_health(rmr_dsw *sw, rmr_time now, rmr_dsw_client h,
                            rmr_bytes text)
{
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    size_t n = text.len < RMR_DSW_HEALTH_MAX ? text.len : RMR_DSW_HEALTH_MAX;
    if (!c)
        return RMR_E_BADHANDLE;
    rmri_dsw_clamp(sw, now);
    if (c->state != DSW_UP)
        return RMR_E_STATE;
    uint8_t *p = rmr_alloc_zero(&sw->env.alloc, 1 + n, 1);
    if (!p) {
        sw->stats.nomem++;
        return RMR_E_NOMEM;
    }
    p[0] = (uint8_t)n;
    if (n)
        memcpy(p + 1, text.ptr, n);
    if (c->health)
        rmr_release(&sw->env.alloc, c->health, 1u + c->health[0]);
    c->health = p;
    c->out |= DSW_OUT_HEALTH;
    rmri_dsw_want_write(sw, c);
    return RMR_OK;
}
