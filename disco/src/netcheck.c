/* A run of netcheck from its start to its report. */
#include "netcheck_internal.h"

#include <string.h>

#define STUN_FOR (3 * RMR_SEC)
#define PORTAL_AFTER (200 * RMR_MS)
#define FULL_EVERY (300 * RMR_SEC)
#define MAX_HTTPS 16

/* ---- life ---------------------------------------------------------------- */

void rmr_netcheck_config_init(rmr_netcheck_config *cfg, size_t struct_size)
{
    memset(cfg, 0, sizeof *cfg);
    cfg->struct_size = (uint32_t)struct_size;
    cfg->max_https = MAX_HTTPS;
}

rmr_err rmr_netcheck_new(rmr_netcheck **out, const rmr_env *env,
                         const rmr_netcheck_config *cfg)
{
    uint64_t seed;
    *out = NULL;
    rmr_err e = rmr_rng_fill(&env->rng, &seed, sizeof seed);
    if (e)
        return RMR_E_RNG;
    rmr_netcheck *nc =
        rmr_alloc_zero(&env->alloc, sizeof *nc, _Alignof(rmr_netcheck));
    if (!nc)
        return RMR_E_NOMEM;
    nc->env = *env;
    nc->seed = seed;
    nc->max_https = cfg && cfg->max_https ? cfg->max_https : MAX_HTTPS;
    if (cfg && cfg->callbacks)
        nc->cb = *cfg->callbacks;
    *out = nc;
    return RMR_OK;
}

void rmr_netcheck_free(rmr_netcheck *nc)
{
    if (!nc)
        return;
    rmri_nc_plan_free(nc);
    rmri_nc_table_free(nc, &nc->t);
    rmr_alloc a = nc->env.alloc;
    for (int f = 0; f < FAMILIES; f++) {
        nc_globals *g = &nc->globals[f], *s = &nc->seen[f];
        rmr_release(&a, g->list, g->cap * sizeof *g->list);
        rmr_release(&a, s->list, s->cap * sizeof *s->list);
    }
    rmr_release(&a, nc, sizeof *nc);
}

rmr_err rmri_nc_enter(rmr_netcheck *nc, rmr_time now)
{
    if (nc->busy)
        return RMR_E_REENTRANT;
    if (now > nc->now)
        nc->now = now;
    return RMR_OK;
}

void rmri_nc_tell(rmr_netcheck *nc, const rmr_netcheck_report *r)
{
    if (!nc->cb.on_done)
        return;
    nc->busy = true;
    nc->cb.on_done(nc->cb.user, r);
    nc->busy = false;
}

/* ---- the start ----------------------------------------------------------- */

static bool is_time_for_full(const rmr_netcheck *nc)
{
    return !nc->has_full ||
           rmr_time_since(nc->now, nc->last_full) > FULL_EVERY ||
           (nc->has_report && !nc->report.udp &&
            nc->report.captive_portal == RMR_NETCHECK_YES);
}

static void clear_run(rmr_netcheck *nc)
{
    memset(&nc->cur, 0, sizeof nc->cur);
    nc->seen[V4].n = nc->seen[V6].n = 0;
    memset(nc->sent, 0, sizeof nc->sent);
    memset(nc->failed, 0, sizeof nc->failed);
    nc->n_answered = nc->https_wanted = nc->https_asked = nc->icmp_open = 0;
    nc->names_wanted = nc->name_at = 0;
    nc->stop_at = nc->icmp_until = nc->portal_at = RMR_TIME_NEVER;
    nc->portal = IDLE;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        r->cur.any = r->cur.v4 = r->cur.v6 = NONE;
        r->https = r->icmp = IDLE;
    }
    for (size_t i = 0; i < nc->t.n_nodes; i++) {
        nc_node *n = &nc->t.nodes[i];
        n->failed = false;
        /* One that was asked for is still to be answered. */
        n->asking = n->asking == ASKED ? ASKED : IDLE;
    }
}

rmr_err rmr_netcheck_start(rmr_netcheck *nc, rmr_time now,
                           const rmr_netcheck_how *how)
{
    rmr_netcheck_portal portal;
    if (now > nc->now)
        nc->now = now;
    if (nc->stage != STAGE_OFF || nc->t.n_regions == 0)
        return RMR_E_STATE;
    clear_run(nc);
    nc->how = *how;
    nc->cur.started = nc->now;
    nc->cur.full = how->force_full || is_time_for_full(nc);
    nc->cur.os_has_ipv6 = how->os_has_ipv6;
    if (!how->only_tcp_443) {
        rmr_err e = rmri_nc_plan(nc, nc->cur.full || nc->report.n_latency == 0);
        if (e)
            return e;
    }
    if (nc->cur.full) {
        nc->has_full = true;
        nc->last_full = nc->now;
        nc->stats.full_runs++;
        if (!how->no_portal && rmri_nc_find_portal(nc, &portal))
            nc->portal_at = rmr_time_add(nc->now, PORTAL_AFTER);
    }
    nc->stats.runs++;
    nc->portmap_open = how->portmap;
    nc->stage = STAGE_STUN;
    rmri_nc_promote(nc);
    return RMR_OK;
}

/* ---- the end ------------------------------------------------------------- */

static void list_latencies(rmr_netcheck *nc)
{
    size_t n = 0;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        r->last = r->cur;
        if (r->cur.any != NONE)
            nc->t.latency[n++] = r->cur;
    }
    nc->cur.latency = nc->t.latency;
    nc->cur.n_latency = n;
}

/* What was seen is the report's; the lists of the last one go. */
static void keep_globals(rmr_netcheck *nc, int family)
{
    nc_globals *to = &nc->globals[family];
    const nc_globals *from = &nc->seen[family];
    to->n = 0;
    if (from->n == 0)
        return;
    (void)rmri_nc_globals_reserve(nc, to, from->n);
    to->n = from->n < to->cap ? from->n : to->cap;
    nc->stats.globals_dropped += from->n - to->n;
    if (to->n)
        memcpy(to->list, from->list, to->n * sizeof *to->list);
}

static void finish(rmr_netcheck *nc)
{
    rmr_netcheck_report *c = &nc->cur;
    c->ended = nc->now;
    c->ipv4_can_send = nc->sent[V4] > nc->failed[V4];
    c->ipv6_can_send = nc->sent[V6] > nc->failed[V6];
    c->preferred_derp = rmri_nc_prefer(nc);
    list_latencies(nc);
    keep_globals(nc, V4);
    keep_globals(nc, V6);
    c->globals_v4 = nc->globals[V4].list;
    c->globals_v6 = nc->globals[V6].list;
    c->n_globals_v4 = nc->globals[V4].n;
    c->n_globals_v6 = nc->globals[V6].n;
    nc->report = *c;
    nc->has_report = true;
    nc->tried_v4 = nc->sent[V4] > 0;
    rmri_nc_plan_free(nc);
    rmri_nc_tell(nc, &nc->report);
}

rmr_err rmr_netcheck_stop(rmr_netcheck *nc, rmr_time now)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e || nc->stage == STAGE_OFF)
        return e;
    nc->stats.stopped_runs++;
    rmri_nc_plan_free(nc);
    rmri_nc_tell(nc, NULL);
    return RMR_OK;
}

/* ---- the stages ---------------------------------------------------------- */

static rmr_time run_until(const rmr_netcheck *nc)
{
    return rmr_time_add(nc->cur.started, RUN_FOR);
}

static rmr_time stun_until(const rmr_netcheck *nc)
{
    return rmr_time_min(nc->stop_at, rmr_time_add(nc->cur.started, STUN_FOR));
}

static void leave_stun(rmr_netcheck *nc)
{
    nc->stage = STAGE_PORTMAP;
    if (nc->cur.udp)
        nc->portal_at = RMR_TIME_NEVER;
}

static bool is_fallback_over(const rmr_netcheck *nc)
{
    return nc->https_wanted + nc->https_asked + nc->icmp_open == 0;
}

void rmri_nc_advance(rmr_netcheck *nc)
{
    if (nc->stage == STAGE_OFF)
        return;
    if (nc->portal_at <= nc->now) {
        nc->portal_at = RMR_TIME_NEVER;
        nc->portal = nc->cur.udp ? IDLE : WANTED;
    }
    if (nc->stage == STAGE_STUN) {
        rmri_nc_promote(nc);
        if (nc->open_sets == 0 || nc->now >= stun_until(nc))
            leave_stun(nc);
    }
    if (nc->stage == STAGE_PORTMAP && !nc->portmap_open) {
        nc->stage = STAGE_FALLBACK;
        if (!nc->cur.udp)
            rmri_nc_fallback_begin(nc);
    }
    if (nc->now >= nc->icmp_until)
        rmri_nc_icmp_end(nc);
    if (nc->stage == STAGE_FALLBACK && is_fallback_over(nc))
        nc->stage = STAGE_PORTAL;
    bool is_over = nc->stage == STAGE_PORTAL && nc->portal == IDLE &&
                   nc->portal_at == RMR_TIME_NEVER;
    if (is_over || nc->now >= run_until(nc))
        finish(nc);
}

rmr_time rmr_netcheck_next_deadline(const rmr_netcheck *nc)
{
    if (nc->stage == STAGE_OFF)
        return RMR_TIME_NEVER;
    rmr_time t = rmr_time_min(run_until(nc), nc->portal_at);
    if (nc->stage == STAGE_STUN) {
        t = rmr_time_min(t, stun_until(nc));
        t = rmr_time_min(t, rmri_nc_probe_due(nc));
        if (nc->open_sets == 0) /* nothing could be sent */
            t = nc->now;
    }
    return rmr_time_min(t, nc->icmp_until);
}

rmr_err rmr_netcheck_handle_deadline(rmr_netcheck *nc, rmr_time now)
{
    rmr_err e = rmri_nc_enter(nc, now);
    if (e == RMR_OK)
        rmri_nc_advance(nc);
    return e;
}

/* ---- looking ------------------------------------------------------------- */

bool rmr_netcheck_is_running(const rmr_netcheck *nc)
{
    return nc->stage != STAGE_OFF;
}

const rmr_netcheck_report *rmr_netcheck_get_report(const rmr_netcheck *nc)
{
    return nc->has_report ? &nc->report : NULL;
}

bool rmr_netcheck_wants_rebind(const rmr_netcheck *nc)
{
    return nc->has_report && nc->tried_v4 && !nc->report.ipv4_can_send;
}

void rmr_netcheck_get_stats(const rmr_netcheck *nc, rmr_netcheck_stats *out)
{
    *out = nc->stats;
}
