/* The server's life and the machine's four calls. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define MAX_ROUNDS 64 /* in one next_op without an operation */
#define STOP_TIMEOUT (2 * RMR_SEC)

static void stir(void *user)
{
    rmri_crd_stir(user);
}

/* ---- new and free -------------------------------------------------------- */

static rmr_err mc_new(rmr_coord *c)
{
    rmr_mc_config cfg;
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.max_objects = c->max_connections > UINT32_MAX - 64
                          ? UINT32_MAX
                          : c->max_connections + 64;
    cfg.user = c;
    cfg.on_stir = stir;
    return rmr_mc_new(&c->mc, &c->env, &cfg);
}

static rmr_err init(rmr_coord *c, const rmr_coord_config *cfg)
{
    rmr_err e = rmr_crypto_init();
    if (e == RMR_OK)
        e = rmri_crd_config_take(c, cfg);
    if (e == RMR_OK)
        e = mc_new(c);
    if (e == RMR_OK)
        e = rmr_h2_frame_new(&c->h2_frame, &c->env);
    if (e == RMR_OK)
        e = rmr_timers_init(&c->timers, &c->env.alloc, 64);
    if (e == RMR_OK)
        e = rmri_crd_fair_init(&c->strangers, &c->env.rng);
    if (e == RMR_OK)
        e = rmri_crd_fair_init(&c->waiters, &c->env.rng);
    rmri_crd_limit_init(&c->handshakes, &c->strangers.key, c->handshake_rate,
                        c->handshake_burst);
    if (e == RMR_OK)
        e = rmri_crd_nodes_init(c);
    if (e == RMR_OK)
        e = rmri_crd_keys_init(c);
    if (e == RMR_OK)
        e = rmri_crd_zstd_new(&c->zstd, &c->env.alloc);
    if (e == RMR_OK)
        e = rmri_crd_api_new(c);
    if (e == RMR_OK)
        e = rmri_crd_load(c);
    if (e == RMR_OK)
        rmri_crd_policy_loaded(c);
    c->scratch = rmr_alloc_zero(&c->env.alloc, CRD_SCRATCH, 1);
    return e == RMR_OK && !c->scratch ? RMR_E_NOMEM : e;
}

rmr_err rmr_coord_new(rmr_coord **out, const rmr_env *env,
                      const rmr_coord_config *cfg, rmr_time now)
{
    *out = NULL;
    rmr_coord *c = rmr_alloc_zero(&env->alloc, sizeof *c, _Alignof(rmr_coord));
    if (!c)
        return RMR_E_NOMEM;
    c->env = *env;
    c->now = now;
    c->stop_deadline = RMR_TIME_NEVER;
    rmri_crd_pace_init(&c->pace);
    rmri_crd_alike_init(c);
    c->next_user = c->next_key = c->next_api_key = c->next_node = 1;
    rmr_err e = init(c, cfg);
    if (e != RMR_OK) {
        rmr_coord_free(c);
        return e;
    }
    *out = c;
    return RMR_OK;
}

void rmr_coord_free(rmr_coord *c)
{
    if (!c)
        return;
    rmr_alloc alloc = c->env.alloc;
    rmri_crd_conns_free(c);
    rmr_h2_frame_free(c->h2_frame);
    rmri_crd_logins_free(c);
    rmri_crd_checks_free(c);
    rmri_crd_store_free(c);
    rmri_crd_policy_free(c);
    rmri_crd_nodes_free(c);
    rmri_crd_keys_free(c);
    rmri_crd_api_free(c);
    rmri_crd_users_free(c);
    rmri_crd_zstd_free(c->zstd);
    rmri_crd_alike_free(c);
    rmr_release_wiped(&alloc, c->scratch, CRD_SCRATCH);
    rmr_mc_key_free(c->key);
    rmr_mc_free(c->mc);
    rmr_timers_wipe(&c->timers);
    rmri_crd_config_free(c);
    rmr_release_wiped(&alloc, c, sizeof *c);
}

/* ---- time ---------------------------------------------------------------- */

/* As many places as can be armed: nodes, connections, streams, logins. */
rmr_err rmri_crd_timers_room(rmr_coord *c, uint32_t n)
{
    size_t most = 2 * c->n_nodes + c->n_conns + c->count.streams + c->n_logins +
                  c->checks.n;
    if (most + n <= c->timers.cap)
        return RMR_OK;
    return rmr_timers_reserve(&c->timers, (uint32_t)(most + n) * 2);
}

void rmri_crd_timer_set(rmr_coord *c, rmr_timer *t, uint32_t kind, void *owner,
                        rmr_time at)
{
    t->kind = kind;
    t->owner = owner;
    (void)rmr_timers_set(&c->timers, t, at); /* has room for each */
}

rmr_time rmri_crd_at(const rmr_coord *c, uint64_t unix_ns)
{
    uint64_t wall = rmri_crd_wall(c);
    if (!unix_ns)
        return RMR_TIME_NEVER;
    return rmr_time_add(c->now, unix_ns > wall ? unix_ns - wall : 0);
}

static void ring(rmr_coord *c, const rmr_timer *t)
{
    switch (t->kind) {
    case CRD_TIMER_PRESENCE:
    case CRD_TIMER_EXPIRY:
        c->changes++;
        rmri_crd_node_timer(c, t->owner, t->kind);
        break;
    case CRD_TIMER_KEEPALIVE:
        rmri_crd_stream_silent(t->owner, c->now);
        break;
    case CRD_TIMER_LOGIN:
        rmri_crd_login_end(c, t->owner, "the login was not approved in time");
        break;
    case CRD_TIMER_CHECK:
        rmri_crd_check_timer(c, t->owner);
        break;
    default:
        rmri_crd_conn_end(t->owner, c->now);
        break;
    }
}

/* ---- words to the program ------------------------------------------------ */

void rmri_crd_tell(rmr_coord *c, const rmr_coord_event *ev)
{
    c->in_callback++;
    if (c->cb.on_event)
        c->cb.on_event(c->cb.user, ev);
    c->in_callback--;
}

void rmri_crd_trouble(rmr_coord *c, rmr_err err, const char *text)
{
    rmr_coord_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_TROUBLE;
    ev.err = err;
    ev.text = text;
    rmr_logf(&c->env.log, RMR_LOG_WARN, CRD_LAYER, "%s (%s)", text,
             rmr_err_name(err));
    rmri_crd_tell(c, &ev);
}

void rmri_crd_fail(rmr_coord *c, rmr_time now, rmr_err err, const char *text)
{
    rmr_coord_event ev;
    if (c->stop_err != RMR_OK || c->phase >= CRD_PHASE_STOPPING)
        return;
    c->stop_err = err;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_FAILED;
    ev.err = err;
    ev.text = text;
    rmri_crd_tell(c, &ev);
    c->phase = CRD_PHASE_STOPPING;
    c->stop_deadline = now;
    rmri_crd_stir(c);
}

/* ---- beginning and end --------------------------------------------------- */

void rmri_crd_key_ready(rmr_coord *c, rmr_time now)
{
    rmr_x25519_public(c->public_key, c->private_key);
    rmr_err e = rmri_crd_listen_start(c);
    c->phase = CRD_PHASE_UP;
    if (e != RMR_OK)
        rmri_crd_fail(c, now, e, "the coordination server can't start");
}

static void on_key(void *user, rmr_time now, rmr_err err, const char *text,
                   const uint8_t *key)
{
    rmr_coord *c = user;
    char line[128];
    if (err == RMR_OK)
        memcpy(c->private_key, key, RMR_KEY_LEN);
    rmr_mc_key_free(c->key);
    c->key = NULL;
    if (err == RMR_OK) {
        rmri_crd_key_ready(c, now);
        return;
    }
    (void)snprintf(line, sizeof line, "the Noise key: %s", text);
    rmri_crd_fail(c, now, err, line);
}

/* Users, keys, a policy of before the time of day was known: since now. */
static void date(rmr_coord *c, uint64_t unknown)
{
    uint64_t wall = rmri_crd_wall(c);
    for (size_t i = 0; i < c->n_users; i++) {
        if (c->users[i]->created <= unknown) {
            c->users[i]->created = wall;
            rmri_crd_mark(c, &c->users[i]->row, CRD_DIRTY);
        }
    }
    for (size_t i = 0; i < c->n_keys; i++) {
        if (c->keys[i]->created <= unknown) {
            c->keys[i]->created = wall;
            rmri_crd_mark(c, &c->keys[i]->row, CRD_DIRTY);
        }
    }
    if (c->policy.updated && c->policy.updated <= unknown) {
        c->policy.updated = wall;
        rmri_crd_mark(c, &c->policy.row, CRD_DIRTY);
    }
}

static void begin(rmr_coord *c, rmr_time now)
{
    if (c->phase != CRD_PHASE_NEW)
        return;
    c->phase = CRD_PHASE_KEY;
    if (c->has_private_key) {
        rmri_crd_key_ready(c, now);
        return;
    }
    rmr_err e = rmr_mc_key_load(&c->key, c->mc, RMR_COORD_KEY_BLOB,
                                "privkey:", on_key, c);
    if (e != RMR_OK)
        rmri_crd_fail(c, now, e, "the Noise key can't be read");
}

void rmr_coord_stop(rmr_coord *c, rmr_time now)
{
    if (c->phase >= CRD_PHASE_STOPPING)
        return;
    rmri_crd_listen_stop(c);
    for (crd_conn *n = c->conns, *next; n; n = next) {
        next = n->next;
        rmri_crd_conn_finish(n, now);
    }
    c->phase = CRD_PHASE_STOPPING;
    c->stop_deadline = rmr_time_add(now, STOP_TIMEOUT);
    rmri_crd_stir(c);
}

/* ---- the machine --------------------------------------------------------- */

/* Later than all before; contract T3. */
static rmr_time clamp(rmr_coord *c, rmr_time now)
{
    if (now > c->now)
        c->now = now;
    return c->now;
}

static void pump(rmr_coord *c, rmr_time now)
{
    c->dirty = false;
    rmri_crd_conns_reap(c);
    rmr_mc_pump(c->mc, now);
}

static rmr_err m_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    rmr_coord *c = self;
    if (c->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(c, now);
    c->dirty = true;
    uint64_t unknown = rmri_crd_wall(c); /* time since the host's start */
    (void)rmr_mc_event(c->mc, now, ev);
    if (ev->kind == RMR_IO_WALL) {
        if (c->phase == CRD_PHASE_NEW)
            date(c, unknown);
        rmri_crd_nodes_wall(c);
        begin(c, now);
    } else if (ev->kind == RMR_IO_STOP_REQUEST) {
        rmr_coord_stop(c, now);
    }
    return RMR_OK;
}

static void end(rmr_coord *c, rmr_io_op *op)
{
    rmr_coord_event ev;
    (void)rmri_crd_store_commit(c, SIZE_MAX);
    c->phase = CRD_PHASE_STOPPED;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_STOPPED;
    ev.err = c->stop_err;
    rmri_crd_tell(c, &ev);
    op->kind = RMR_IO_STOP;
    op->err = c->stop_err;
}

static rmr_err m_next_op(void *self, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    rmr_coord *c = self;
    memset(op, 0, sizeof *op);
    if (c->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(c, now);
    if (scratch.len < RMR_IO_SCRATCH_MIN)
        return RMR_E_BUFSIZE;
    if (c->phase == CRD_PHASE_STOPPED)
        return RMR_OK;
    for (int i = 0; i < MAX_ROUNDS; i++) {
        if (c->dirty)
            pump(c, now);
        if (rmr_mc_next_op(c->mc, now, scratch, op))
            return RMR_OK;
        if (!c->dirty)
            break;
    }
    if (c->phase == CRD_PHASE_STOPPING &&
        (!c->conns || now >= c->stop_deadline))
        end(c, op);
    return RMR_OK;
}

static rmr_time m_next_deadline(const void *self)
{
    const rmr_coord *c = self;
    if (c->phase == CRD_PHASE_STOPPED)
        return RMR_TIME_NEVER;
    rmr_time at = rmr_time_min(c->stop_deadline, rmr_timers_next(&c->timers));
    at = rmr_time_min(at, rmr_mc_next_deadline(c->mc));
    at = rmr_time_min(at, rmri_crd_store_deadline(c));
    at = rmr_time_min(at, c->pace.due);
    return rmr_time_min(at, rmri_crd_listen_deadline(c));
}

static rmr_err m_handle_deadline(void *self, rmr_time now)
{
    rmr_coord *c = self;
    if (c->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(c, now);
    c->dirty = true;
    for (rmr_timer *t; (t = rmr_timers_pop(&c->timers, now));)
        ring(c, t);
    rmr_mc_handle_deadline(c->mc, now);
    rmri_crd_listen_handle_deadline(c, now);
    rmri_crd_pace_handle_deadline(c, now);
    rmri_crd_store_handle_deadline(c, now); /* last: the others change things */
    return RMR_OK;
}

rmr_machine rmr_coord_machine(rmr_coord *c)
{
    rmr_machine m = {c, m_event, m_next_op, m_next_deadline, m_handle_deadline};
    return m;
}

void rmr_coord_get_stats(const rmr_coord *c, rmr_coord_stats *out)
{
    *out = c->count;
    out->nodes = c->n_nodes;
    out->users = c->n_users;
    out->connections = c->n_conns;
    out->online = 0;
    for (size_t i = 0; i < c->n_nodes; i++)
        out->online += c->by_id[i]->online;
}
