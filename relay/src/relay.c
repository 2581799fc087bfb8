/* The relay's life, the machine's four calls, and the pump. */
#include "relay_internal.h"

#include <string.h>

#define MAX_ROUNDS 64 /* in one next_op without an operation */

static void stir(void *user)
{
    rmri_relay_stir(user);
}

/* ---- new and free ------------------------------------------------------ */

/* A faster AES-GCM for TLS than its own, where there is one. */
static rmr_err gcm_new(rmr_relay *r)
{
    rmr_err err = rmr_gcm_new(&r->gcm, &r->env.alloc);
    return err == RMR_E_UNSUPPORTED ? RMR_OK : err;
}

static rmr_err mc_new(rmr_relay *r, const rmr_relay_config *c)
{
    rmr_mc_config cfg;
    rmr_mc_config_init(&cfg, sizeof cfg);
    /* Beside the clients: requests, listeners, mesh, verification, names. */
    cfg.max_objects =
        r->max_clients > UINT32_MAX - 1024 ? UINT32_MAX : r->max_clients + 1024;
    cfg.anchors = r->anchors;
    cfg.gcm = r->gcm.name ? &r->gcm : NULL;
    cfg.user = r;
    cfg.on_stir = stir;
    cfg.proxy.host = c->proxy_host;
    cfg.proxy.port = c->proxy_port;
    cfg.proxy.authorization = c->proxy_auth;
    cfg.proxy.no_proxy = c->no_proxy;
    return rmr_mc_new(&r->mc, &r->env, &cfg);
}

static rmr_err init(rmr_relay *r, const rmr_relay_config *cfg)
{
    rmr_err err = rmr_crypto_init();
    if (err == RMR_OK)
        err = rmri_relay_config_take(r, cfg);
    if (err == RMR_OK)
        err = gcm_new(r);
    if (err == RMR_OK)
        err = mc_new(r, cfg);
    if (err == RMR_OK)
        err = rmr_timers_init(&r->timers, &r->env.alloc, 64);
    if (err == RMR_OK && r->has_verify_url)
        err = rmri_relay_verify_new(r);
    return err;
}

rmr_err rmr_relay_new(rmr_relay **out, const rmr_env *env,
                      const rmr_relay_config *cfg, rmr_time now)
{
    *out = NULL;
    rmr_relay *r = rmr_alloc_zero(&env->alloc, sizeof *r, _Alignof(rmr_relay));
    if (!r)
        return RMR_E_NOMEM;
    r->env = *env;
    r->now = now;
    r->stop_deadline = RMR_TIME_NEVER;
    rmr_err err = init(r, cfg);
    if (err != RMR_OK) {
        rmr_relay_free(r);
        return err;
    }
    *out = r;
    return RMR_OK;
}

void rmr_relay_free(rmr_relay *r)
{
    if (!r)
        return;
    rmr_alloc alloc = r->env.alloc;
    rmri_relay_mesh_free(r);
    rmri_relay_conns_free(r);
    rmri_relay_verify_free(r);
    rmr_dsw_free(r->sw);
    rmr_mc_key_free(r->key);
    rmr_mc_free(r->mc);
    rmr_gcm_wipe(&r->gcm);
    rmr_timers_wipe(&r->timers);
    rmri_relay_config_free(r);
    rmr_release_wiped(&alloc, r, sizeof *r);
}

/* ---- words to the program ---------------------------------------------- */

void rmri_relay_tell(rmr_relay *r, const rmr_relay_event *ev)
{
    r->in_callback++;
    if (r->cb.on_event)
        r->cb.on_event(r->cb.user, ev);
    r->in_callback--;
}

void rmri_relay_trouble(rmr_relay *r, rmr_err err, const char *text)
{
    rmr_relay_event ev = {0};
    ev.kind = RMR_RELAY_EV_TROUBLE;
    ev.err = err;
    ev.text = text;
    rmr_logf(&r->env.log, RMR_LOG_WARN, RL_LAYER, "%s (%s)", text,
             rmr_err_name(err));
    rmri_relay_tell(r, &ev);
}

void rmri_relay_fail(rmr_relay *r, rmr_time now, rmr_err err, const char *text)
{
    if (r->stop_err != RMR_OK || r->phase >= RL_PHASE_STOPPING)
        return;
    r->stop_err = err;
    rmr_relay_event ev = {0};
    ev.kind = RMR_RELAY_EV_FAILED;
    ev.err = err;
    ev.text = text;
    rmri_relay_tell(r, &ev);
    r->phase = RL_PHASE_STOPPING;
    r->stop_deadline = now;
    rmri_relay_stir(r);
}

/* ---- beginning and end ------------------------------------------------- */

void rmri_relay_key_ready(rmr_relay *r, rmr_time now)
{
    rmr_x25519_public(r->public_key, r->private_key);
    rmr_err err = rmri_relay_switch_new(r, now);
    if (err == RMR_OK)
        err = rmri_relay_listen_start(r);
    if (err == RMR_OK)
        err = rmri_relay_mesh_start(r, now);
    r->phase = RL_PHASE_UP;
    if (err != RMR_OK)
        rmri_relay_fail(r, now, err, "the relay can't start");
}

static void begin(rmr_relay *r, rmr_time now)
{
    if (r->phase != RL_PHASE_NEW)
        return;
    r->phase = RL_PHASE_KEY;
    if (r->has_private_key) {
        rmri_relay_key_ready(r, now);
    } else if (r->keep_key) {
        rmri_relay_key_load(r, now);
    } else if (rmr_key_generate(&r->env.rng, r->private_key) != RMR_OK) {
        rmri_relay_fail(r, now, RMR_E_RNG, "there is no randomness for a key");
    } else {
        rmri_relay_key_ready(r, now);
    }
}

/* Those that are logged in hear that it restarts; all others end at once. */
void rmr_relay_stop(rmr_relay *r, rmr_time now)
{
    if (r->phase >= RL_PHASE_STOPPING)
        return;
    rmri_relay_listen_stop(r);
    if (r->phase == RL_PHASE_UP) {
        rmr_dsw_send_restarting(r->sw, now, r->restart_in_ms,
                                r->restart_try_ms);
        rmri_relay_switch_pump(r, now);
    }
    for (rl_conn *c = r->conns, *next; c; c = next) {
        next = c->next;
        rmri_relay_conn_finish(c, now);
    }
    r->phase = RL_PHASE_STOPPING;
    r->stop_deadline = rmr_time_add(now, RL_STOP_TIMEOUT);
    rmri_relay_stir(r);
}

rmr_err rmr_relay_set_certificate(rmr_relay *r, rmr_bytes cert_pem,
                                  rmr_bytes key_pem)
{
    rmr_tls_identity *fresh = NULL;
    if (!r->identity)
        return RMR_E_STATE;
    rmr_err err = rmr_tls_identity_new(&fresh, &r->env, cert_pem, key_pem);
    if (err != RMR_OK)
        return err;
    rmr_tls_identity_free(r->identity);
    r->identity = fresh;
    return RMR_OK;
}

void rmr_relay_set_rate(rmr_relay *r, rmr_time now, uint64_t rate_bytes,
                        uint64_t burst_bytes)
{
    r->rate_bytes = rate_bytes;
    r->rate_burst = burst_bytes;
    if (r->sw)
        rmr_dsw_set_rate(r->sw, now, rate_bytes, burst_bytes);
    rmri_relay_stir(r);
}

/* ---- the machine ------------------------------------------------------- */

/* Later than all before; contract T3. */
static rmr_time clamp(rmr_relay *r, rmr_time now)
{
    if (now > r->now)
        r->now = now;
    return r->now;
}

static void pump(rmr_relay *r, rmr_time now)
{
    r->dirty = false;
    if (r->sw) {
        rmri_relay_mesh_pump(r, now);
        rmri_relay_verify_pump(r, now);
        rmri_relay_switch_pump(r, now);
    }
    /* Those that ended give their TLS buffers back: then there may be some. */
    rmri_relay_conns_reap(r);
    if (r->sw)
        rmri_relay_starved_retry(r, now);
    rmr_mc_pump(r->mc, now);
}

static rmr_err m_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    rmr_relay *r = self;
    if (r->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(r, now);
    r->dirty = true;
    rmr_mc_event(r->mc, now, ev);
    if (ev->kind == RMR_IO_WALL)
        begin(r, now);
    else if (ev->kind == RMR_IO_STOP_REQUEST)
        rmr_relay_stop(r, now);
    return RMR_OK;
}

static void end(rmr_relay *r, rmr_io_op *op)
{
    rmr_relay_event ev = {0};
    r->phase = RL_PHASE_STOPPED;
    ev.kind = RMR_RELAY_EV_STOPPED;
    ev.err = r->stop_err;
    rmri_relay_tell(r, &ev);
    op->kind = RMR_IO_STOP;
    op->err = r->stop_err;
}

static rmr_err m_next_op(void *self, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    rmr_relay *r = self;
    memset(op, 0, sizeof *op);
    if (r->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(r, now);
    if (scratch.len < RMR_IO_SCRATCH_MIN)
        return RMR_E_BUFSIZE;
    if (r->phase == RL_PHASE_STOPPED)
        return RMR_OK;
    for (int i = 0; i < MAX_ROUNDS; i++) {
        if (r->dirty)
            pump(r, now);
        if (rmr_mc_next_op(r->mc, now, scratch, op))
            return RMR_OK;
        if (!r->dirty)
            break;
    }
    if (r->phase == RL_PHASE_STOPPING && (!r->conns || now >= r->stop_deadline))
        end(r, op);
    return RMR_OK;
}

static rmr_time m_next_deadline(const void *self)
{
    const rmr_relay *r = self;
    if (r->phase == RL_PHASE_STOPPED)
        return RMR_TIME_NEVER;
    rmr_time at = r->stop_deadline;
    at = rmr_time_min(at, rmr_timers_next(&r->timers));
    at = rmr_time_min(at, rmr_mc_next_deadline(r->mc));
    at = rmr_time_min(at, rmri_relay_listen_deadline(r));
    at = rmr_time_min(at, rmri_relay_verify_deadline(r));
    at = rmr_time_min(at, rmri_relay_mesh_deadline(r));
    at = rmr_time_min(at, rmri_relay_review_deadline(r));
    if (r->sw)
        at = rmr_time_min(at, rmr_dsw_next_deadline(r->sw));
    return at;
}

static rmr_err m_handle_deadline(void *self, rmr_time now)
{
    rmr_relay *r = self;
    if (r->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(r, now);
    r->dirty = true;
    for (rmr_timer *t; (t = rmr_timers_pop(&r->timers, now));)
        rmri_relay_conn_timer(t->owner, (rl_timer_kind)t->kind, now);
    rmr_mc_handle_deadline(r->mc, now);
    rmri_relay_listen_handle_deadline(r, now);
    rmri_relay_verify_handle_deadline(r, now);
    rmri_relay_mesh_handle_deadline(r, now);
    rmri_relay_review(r, now);
    if (r->sw)
        return rmr_dsw_handle_deadline(r->sw, now);
    return RMR_OK;
}

rmr_machine rmr_relay_machine(rmr_relay *r)
{
    rmr_machine m = {r, m_event, m_next_op, m_next_deadline, m_handle_deadline};
    return m;
}
