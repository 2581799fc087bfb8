/* The relay's switch: its life, its deadlines, its counters. */
#include "dsw_internal.h"

#include <string.h>

#define MIB ((size_t)1024 * 1024)

void rmri_dsw_clamp(rmr_dsw *sw, rmr_time now)
{
    /* The last instant stays out of reach, so that NEVER is always later. */
    if (now == RMR_TIME_NEVER)
        now--;
    if (now > sw->now)
        sw->now = now;
}

/* ---- config ----------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void rmr_dsw_config_init(rmr_dsw_config *cfg, size_t struct_size)
{
    rmr_dsw_config c;
    memset(&c, 0, sizeof c);
    c.struct_size = (uint32_t)struct_size;
    c.max_clients = 65536;
    c.queue_pkts = 32;
    c.burst_pkts = 512;
    c.burst_time = 5 * RMR_MS;
    c.queue_bytes = MIB;
    c.pool_bytes = 128 * MIB;
    c.login_bytes = 8 * MIB;
    c.max_pairs = 1048576;
    c.client_pairs = 4096;
    c.max_notes = 262144;
    c.login_timeout = 10 * RMR_SEC;
    c.admit_timeout = 10 * RMR_SEC;
    c.write_timeout = 2 * RMR_SEC;
    c.mesh_write_timeout = 30 * RMR_SEC;
    c.frame_timeout = 30 * RMR_SEC;
    c.keep_alive = 60 * RMR_SEC;
    c.keep_alive_jitter = 5 * RMR_SEC;
    memset(cfg, 0, struct_size);
    memcpy(cfg, &c, smaller(struct_size, sizeof c));
}

/* What a later part divides by, or can't do without. */
static void mend_config(rmr_dsw_config *c)
{
    const size_t one = RMRI_DERP_HEADER + RMRI_DERP_MAX_BODY;
    if (c->max_clients == 0)
        c->max_clients = 1;
    if (c->max_clients > 1u << 24)
        c->max_clients = 1u << 24;
    if (c->queue_pkts == 0)
        c->queue_pkts = 1;
    if (c->queue_bytes < one)
        c->queue_bytes = one;
    if (c->login_bytes < 4096)
        c->login_bytes = 4096;
    if (c->client_pairs == 0)
        c->client_pairs = 1;
    if (c->keep_alive < RMR_SEC)
        c->keep_alive = RMR_SEC;
}

/* A host that was built against an older header gives a shorter struct. */
static bool copy_config(rmr_dsw *sw, const rmr_dsw_config *cfg)
{
    rmr_dsw_config *c = &sw->cfg;
    rmr_dsw_config_init(c, sizeof *c);
    if (cfg->struct_size < sizeof cfg->struct_size)
        return false;
    memcpy(c, cfg, smaller(cfg->struct_size, sizeof *c));
    const rmr_dsw_callbacks *cb = c->callbacks;
    c->callbacks = NULL;
    if (cb && cb->struct_size < sizeof cb->struct_size)
        return false;
    if (cb)
        memcpy(&sw->cb, cb, smaller(cb->struct_size, sizeof sw->cb));
    mend_config(c);
    return true;
}

/* ---- life ------------------------------------------------------------- */

static rmr_err make_tables(rmr_dsw *sw)
{
    const rmr_alloc *a = &sw->env.alloc;
    const rmr_dsw_config *c = &sw->cfg;
    /* One key in five is kept free for those that connect here. */
    uint32_t keys = c->max_clients * 5;
    rmr_err e =
        rmr_hash_init(&sw->by_key, a, &sw->env.rng, keys, rmri_dsw_key_eq, sw);
    if (e == RMR_OK)
        e = rmr_hash_init(&sw->by_pair, a, &sw->env.rng, c->max_pairs,
                          rmri_dsw_pair_eq, sw);
    if (e == RMR_OK)
        e = rmr_slots_init(&sw->clients, a, sizeof(rmri_dsw_client),
                           c->max_clients);
    if (e == RMR_OK)
        e = rmr_slots_init(&sw->keys, a, sizeof(rmri_dsw_key), keys);
    if (e == RMR_OK)
        e = rmr_slots_init(&sw->pairs, a, sizeof(rmri_dsw_pair), c->max_pairs);
    if (e == RMR_OK)
        e = rmr_slots_init(&sw->claims, a, sizeof(rmri_dsw_claim),
                           c->max_clients * 4);
    if (e == RMR_OK)
        e = rmr_slots_init(&sw->notes, a, sizeof(rmri_dsw_note), c->max_notes);
    if (e == RMR_OK)
        e = rmr_timers_init(&sw->timers, a, 0);
    return e;
}

rmr_err rmr_dsw_new(rmr_dsw **out, const rmr_env *env,
                    const rmr_dsw_config *cfg, rmr_time now)
{
    static const uint8_t none[RMR_KEY_LEN];
    *out = NULL;
    rmr_dsw *sw = rmr_alloc_zero(&env->alloc, sizeof *sw, _Alignof(rmr_dsw));
    if (!sw)
        return RMR_E_NOMEM;
    sw->env = *env;
    rmr_err e = copy_config(sw, cfg) ? make_tables(sw) : RMR_E_INVAL;
    if (e != RMR_OK) {
        rmr_release_wiped(&env->alloc, sw, sizeof *sw);
        return e;
    }
    rmri_dsw_clamp(sw, now);
    rmr_x25519_public(sw->public_key, sw->cfg.private_key);
    sw->has_mesh_key = !rmr_equal_ct(sw->cfg.mesh_key, none, sizeof none);
    sw->pool.max = sw->cfg.pool_bytes;
    rmri_derp_bucket_set(&sw->rate, sw->cfg.rate_bytes,
                         sw->cfg.rate_burst_bytes);
    *out = sw;
    return RMR_OK;
}

/* What a client holds outside its slot and the other tables. */
static void free_held(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_drop_all(sw, c);
    if (c->rx.pkt)
        rmri_dsw_pkt_free(sw, c->rx.pkt);
    rmr_release_wiped(&sw->env.alloc, c->rx.login, c->rx.login_cap);
    if (c->health)
        rmr_release(&sw->env.alloc, c->health, 1u + c->health[0]);
    if (c->watch)
        rmr_release(&sw->env.alloc, c->watch, sizeof *c->watch);
}

void rmr_dsw_free(rmr_dsw *sw)
{
    if (!sw)
        return;
    rmr_alloc a = sw->env.alloc;
    uint32_t pos = 0;
    rmri_dsw_client *c;
    while ((c = rmr_slots_next(&sw->clients, &pos, NULL)))
        free_held(sw, c);
    rmri_dsw_pool_wipe(sw);
    rmr_timers_wipe(&sw->timers);
    rmr_hash_wipe(&sw->by_key);
    rmr_hash_wipe(&sw->by_pair);
    rmr_slots_wipe(&sw->clients);
    rmr_slots_wipe(&sw->keys);
    rmr_slots_wipe(&sw->pairs);
    rmr_slots_wipe(&sw->claims);
    rmr_slots_wipe(&sw->notes);
    rmr_release_wiped(&a, sw, sizeof *sw);
}

const uint8_t *rmr_dsw_public_key(const rmr_dsw *sw)
{
    return sw->public_key;
}

/* ---- to all clients ---------------------------------------------------- */

void rmr_dsw_send_restarting(rmr_dsw *sw, rmr_time now,
                             uint32_t reconnect_in_ms, uint32_t try_for_ms)
{
    uint32_t pos = 0;
    rmri_dsw_client *c;
    rmri_dsw_clamp(sw, now);
    sw->restart_in_ms = reconnect_in_ms;
    sw->restart_for_ms = try_for_ms;
    while ((c = rmr_slots_next(&sw->clients, &pos, NULL))) {
        if (c->state != DSW_UP)
            continue;
        c->out |= DSW_OUT_RESTARTING;
        rmri_dsw_want_write(sw, c);
    }
}

void rmr_dsw_set_rate(rmr_dsw *sw, rmr_time now, uint64_t rate_bytes,
                      uint64_t burst_bytes)
{
    uint32_t pos = 0;
    rmri_dsw_client *c;
    rmri_dsw_clamp(sw, now);
    rmri_derp_bucket_set(&sw->rate, rate_bytes, burst_bytes);
    rmr_time latest = rmr_time_add(sw->now, sw->rate.depth);
    while ((c = rmr_slots_next(&sw->clients, &pos, NULL))) {
        /* A debt in the old rate's time must not outlast it. */
        c->rate_full_at = rmr_time_min(c->rate_full_at, latest);
        if (c->resume_at == RMR_TIME_NEVER)
            continue;
        c->resume_at = RMR_TIME_NEVER;
        rmri_dsw_rearm(sw, c);
        rmri_dsw_tell(sw, c, RMR_DSW_READ);
    }
}

/* ---- time ------------------------------------------------------------- */

static rmr_time head_of(const rmri_dsw_due_list *l)
{
    return l->head ? l->head->at : RMR_TIME_NEVER;
}

rmr_time rmr_dsw_next_deadline(const rmr_dsw *sw)
{
    rmr_time t = rmr_timers_next(&sw->timers);
    t = rmr_time_min(t, head_of(&sw->stalls));
    t = rmr_time_min(t, head_of(&sw->mesh_stalls));
    return rmr_time_min(t, head_of(&sw->frames));
}

static void keep_alive(rmr_dsw *sw, rmri_dsw_client *c)
{
    c->out |= DSW_OUT_KEEP_ALIVE;
    c->keep_at = rmr_time_add(c->keep_at, c->keep_period);
    if (c->keep_at <=
        sw->now) /* after a sleep: one, not all that were missed */
        c->keep_at = rmr_time_add(sw->now, c->keep_period);
    rmri_dsw_want_write(sw, c);
}

static void on_timer(rmr_dsw *sw, rmri_dsw_client *c)
{
    if (c->stage_end <= sw->now) {
        sw->stats.login_timeouts += c->state == DSW_LOGIN;
        sw->stats.admit_timeouts += c->state == DSW_ADMIT;
        /* Up, it is a watcher that missed something. */
        rmri_dsw_kill(sw, c, c->state == DSW_UP ? RMR_E_FULL : RMR_E_TIMEOUT);
        return;
    }
    if (c->keep_at <= sw->now)
        keep_alive(sw, c);
    if (c->resume_at <= sw->now) {
        c->resume_at = RMR_TIME_NEVER;
        rmri_dsw_tell(sw, c, RMR_DSW_READ);
    }
    rmri_dsw_rearm(sw, c);
}

static void kill_due(rmr_dsw *sw, rmri_dsw_due_list *l, uint64_t *count)
{
    while (l->head && l->head->at <= sw->now) {
        (*count)++;
        rmri_dsw_kill(sw, l->head->owner, RMR_E_TIMEOUT);
    }
}

rmr_err rmr_dsw_handle_deadline(rmr_dsw *sw, rmr_time now)
{
    rmr_timer *t;
    if (sw->in_callback)
        return RMR_E_REENTRANT;
    rmri_dsw_clamp(sw, now);
    kill_due(sw, &sw->stalls, &sw->stats.write_timeouts);
    kill_due(sw, &sw->mesh_stalls, &sw->stats.write_timeouts);
    kill_due(sw, &sw->frames, &sw->stats.frame_timeouts);
    while ((t = rmr_timers_pop(&sw->timers, sw->now)))
        on_timer(sw, t->owner);
    return RMR_OK;
}

/* ---- looking ---------------------------------------------------------- */

void rmr_dsw_get_stats(const rmr_dsw *sw, rmr_dsw_stats *out)
{
    *out = sw->stats;
    out->connections = sw->clients.used;
    out->pairs = sw->pairs.used;
    out->notes = sw->notes.used;
    out->pool_used_bytes = sw->pool.used;
    out->pool_free_bytes = sw->pool.free_bytes;
    out->keys_total = out->keys_local + out->keys_remote;
}

const char *rmr_dsw_reason_name(rmr_dsw_reason reason)
{
    static const char names[RMR_DSW_REASONS][20] = {
        "unknown_dest", "unknown_dest_on_fwd", "gone_disconnected",
        "queue_head",   "queue_tail",          "write_error",
        "dup_client"};
    return (unsigned)reason < RMR_DSW_REASONS ? names[reason] : "";
}
