/* The kit's life, and what it hands on: events, deadlines, the time of day. */
#include "mc_internal.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The caller's struct may be an older and shorter one. */
void rmr_mc_config_init(rmr_mc_config *cfg, size_t struct_size)
{
    rmr_mc_config c = {0};
    c.struct_size = (uint32_t)struct_size;
    c.max_objects = 8192;
    memset(cfg, 0, struct_size);
    memcpy(cfg, &c, smaller(struct_size, sizeof c));
}

static bool id_eq(const void *user, uint64_t value, const void *key,
                  size_t key_len)
{
    (void)user;
    (void)key_len;
    const rmr_mc_io *io = (const rmr_mc_io *)(uintptr_t)value;
    return memcmp(&io->id, key, sizeof io->id) == 0;
}

rmr_err rmr_mc_new(rmr_mc **out, const rmr_env *env, const rmr_mc_config *cfg)
{
    rmr_mc_config own;
    *out = NULL;
    if (cfg->struct_size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    rmr_mc_config_init(&own, sizeof own);
    memcpy(&own, cfg, smaller(cfg->struct_size, sizeof own));
    rmr_mc *mc = rmr_alloc_zero(&env->alloc, sizeof *mc, _Alignof(rmr_mc));
    if (!mc)
        return RMR_E_NOMEM;
    mc->env = *env;
    mc->refused = mc->few_refused;
    mc->cap_refused = sizeof mc->few_refused / sizeof *mc->few_refused;
    mc->user = own.user;
    mc->on_stir = own.on_stir;
    mc->anchors = own.anchors;
    mc->gcm = own.gcm;
    rmr_err err = rmr_hash_init(&mc->ids, &mc->env.alloc, &mc->env.rng,
                                own.max_objects, id_eq, NULL);
    if (err == RMR_OK)
        err = rmri_mc_proxy_new(mc, &own.proxy);
    if (err == RMR_OK)
        err = rmri_mc_names_new(mc);
    if (err != RMR_OK) {
        rmr_mc_free(mc);
        return err;
    }
    *out = mc;
    return RMR_OK;
}

void rmr_mc_free(rmr_mc *mc)
{
    if (!mc)
        return;
    rmr_alloc alloc = mc->env.alloc;
    rmri_mc_names_free(mc);
    rmri_mc_io_free_all(mc);
    rmri_mc_proxy_free(mc);
    rmri_mc_refused_free(mc);
    rmr_hash_wipe(&mc->ids);
    rmr_release_wiped(&alloc, mc, sizeof *mc);
}

/* Later than all before; contract T3. */
static rmr_time clamp(rmr_mc *mc, rmr_time now)
{
    if (now > mc->now)
        mc->now = now;
    return mc->now;
}

rmr_err rmr_mc_event(rmr_mc *mc, rmr_time now, const rmr_io_event *ev)
{
    now = clamp(mc, now);
    switch (ev->kind) {
    case RMR_IO_WALL:
        rmri_mc_stir(mc);
        mc->wall_unix_ns = ev->wall_unix_ns;
        mc->wall_at = now;
        return RMR_OK;
    case RMR_IO_LINKS:
        rmri_mc_stir(mc);
        rmri_mc_names_links(mc, ev->links);
        return RMR_OK;
    case RMR_IO_STOP_REQUEST:
        rmri_mc_stir(mc);
        return RMR_OK;
    default:
        return rmri_mc_io_event(mc, now, ev);
    }
}

void rmr_mc_pump(rmr_mc *mc, rmr_time now)
{
    rmri_mc_names_pump(mc, clamp(mc, now));
}

rmr_time rmr_mc_next_deadline(const rmr_mc *mc)
{
    rmr_time at =
        mc->dns_busy ? rmr_dns_next_deadline(mc->dns) : RMR_TIME_NEVER;
    for (const rmr_mc_link *l = mc->links; l; l = l->next)
        at = rmr_time_min(at, rmr_time_min(l->deadline, l->next_lane_at));
    return at;
}

void rmr_mc_handle_deadline(rmr_mc *mc, rmr_time now)
{
    now = clamp(mc, now);
    rmr_dns_handle_deadline(mc->dns, now);
    for (rmr_mc_link *l = mc->links, *next; l; l = next) {
        next = l->next;
        if (now >= l->deadline)
            rmri_mc_link_end(l, now, RMR_E_TIMEOUT,
                             "the host did not answer in time");
        else if (now >= l->next_lane_at)
            rmri_mc_race_due(l, now);
    }
}

uint64_t rmr_mc_wall(const rmr_mc *mc, rmr_time now)
{
    return mc->wall_unix_ns + rmr_time_since(now, mc->wall_at);
}

size_t rmr_mc_objects(const rmr_mc *mc)
{
    return mc->ids.used;
}
