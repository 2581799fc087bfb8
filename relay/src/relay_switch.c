/* Between connections and the switch: what it wants is done, what it says is
 * sent on. */
#include "relay_internal.h"

#include <string.h>

#define MAX_WISHES 4096 /* in one pump; the others come with the next */

#define REVIEW_EVERY (60 * RMR_SEC)

static bool ask_host(rmr_relay *r, const rmr_dsw_info *info)
{
    r->in_callback++;
    bool yes = r->cb.may_enter(r->cb.user, info->key, &info->addr);
    r->in_callback--;
    return yes;
}

static void on_admit(void *user, rmr_dsw_client client,
                     const rmr_dsw_info *info)
{
    rmr_relay *r = user;
    bool yes = !r->cb.may_enter || ask_host(r, info);
    if (yes && r->verify) {
        rmri_relay_verify_ask(info->tag, r->now, info);
        return;
    }
    if (yes)
        r->count.admitted++;
    else
        r->count.refused++;
    (void)rmr_dsw_admit(r->sw, r->now, client, yes);
}

static void on_forward(void *user, uint64_t forwarder,
                       const uint8_t src[RMR_KEY_LEN],
                       const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet)
{
    rmri_relay_mesh_forward(user, forwarder, src, dst, packet);
}

rmr_err rmri_relay_switch_new(rmr_relay *r, rmr_time now)
{
    rmr_dsw_config cfg;
    rmr_dsw_callbacks cb = {0};
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = r;
    cb.on_admit = r->verify || r->cb.may_enter ? on_admit : NULL;
    cb.on_forward = on_forward;
    r->review_at = rmr_time_add(now, REVIEW_EVERY);
    rmr_dsw_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, r->private_key, RMR_KEY_LEN);
    memcpy(cfg.mesh_key, r->mesh_key, RMR_KEY_LEN);
    cfg.max_clients = r->max_clients;
    cfg.rate_bytes = r->rate_bytes;
    cfg.rate_burst_bytes = r->rate_burst;
    cfg.callbacks = &cb;
    rmr_err err = rmr_dsw_new(&r->sw, &r->env, &cfg, now);
    rmr_wipe(&cfg, sizeof cfg);
    return err;
}

rmr_err rmri_relay_switch_enter(rl_conn *c, rmr_time now)
{
    rmr_relay *r = c->r;
    rmr_dsw_peer peer = {0};
    peer.addr = c->remote;
    peer.not_ideal = c->not_ideal;
    peer.is_websocket = c->to_websocket;
    peer.tag = c;
    c->stage = c->to_websocket ? RL_WEBSOCKET : RL_DERP;
    /* From here on the switch has the deadlines. */
    rmr_timers_cancel(&r->timers, &c->timer);
    rmr_err err = rmr_dsw_client_open(r->sw, now, &peer, &c->client);
    if (err != RMR_OK)
        c->client.id = 0;
    rmri_relay_stir(r);
    return err;
}

rmr_err rmri_relay_switch_read(rl_conn *c, rmr_time now, rmr_buf data,
                               size_t *used)
{
    rmri_relay_stir(c->r);
    return rmr_dsw_read(c->r->sw, now, c->client, data, used);
}

size_t rmri_relay_switch_write(rl_conn *c, rmr_time now, rmr_buf dst)
{
    size_t len = 0;
    if (dst.len < RMR_DSW_WRITE_MIN ||
        rmr_dsw_write(c->r->sw, now, c->client, dst, &len) != RMR_OK)
        return 0;
    c->given += len;
    return len;
}

static void grant(const rmr_dsw_ready *want, rmr_time now)
{
    rl_conn *c = want->tag;
    if (c->stage == RL_DEAD)
        return;
    if (want->what & RMR_DSW_CLOSE) {
        /* One that stands still would not read a farewell either. */
        if (want->why == RMR_E_TIMEOUT)
            rmri_relay_conn_end(c, now, want->why);
        else
            rmri_relay_conn_leave(c, now, want->why);
        return;
    }
    if (want->what & RMR_DSW_READ)
        rmri_relay_stream_resume(c, now);
    if ((want->what & RMR_DSW_WRITE) && c->stage != RL_DEAD)
        rmr_mc_io_output(c->io);
}

void rmri_relay_switch_pump(rmr_relay *r, rmr_time now)
{
    rmr_dsw_ready want;
    for (int i = 0; i < MAX_WISHES; i++) {
        if (!rmr_dsw_next_ready(r->sw, &want))
            return;
        grant(&want, now);
    }
    rmri_relay_stir(r);
}

/* ---- who may no longer --------------------------------------------------- */

rmr_time rmri_relay_review_deadline(const rmr_relay *r)
{
    return r->cb.may_enter && r->sw ? r->review_at : RMR_TIME_NEVER;
}

static void review(rl_conn *c, rmr_time now)
{
    rmr_relay *r = c->r;
    rmr_dsw_info info;
    if (c->client.id == 0 ||
        rmr_dsw_client_get(r->sw, c->client, &info) != RMR_OK || !info.is_up ||
        info.is_mesh || ask_host(r, &info))
        return;
    r->count.refused++;
    rmri_relay_conn_leave(c, now, RMR_E_DENIED);
}

void rmri_relay_review(rmr_relay *r, rmr_time now)
{
    if (now < rmri_relay_review_deadline(r))
        return;
    r->review_at = rmr_time_add(now, REVIEW_EVERY);
    for (rl_conn *c = r->conns, *next; c; c = next) {
        next = c->next;
        review(c, now);
    }
}
