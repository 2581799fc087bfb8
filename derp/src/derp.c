/* The DERP client's life: which node, when, and until when. */
#include "derp_internal.h"

#include <string.h>

#define IDLE_CLOSE (60 * RMR_SEC)
#define QUEUE_PKTS 32
#define QUEUE_BYTES ((size_t)128 * 1024)
#define BACKOFF_UNIT (10 * RMR_MS)
#define BACKOFF_MAX (5 * RMR_SEC)

/* T3.  The last instant stays out of reach, so that NEVER is always later. */
void rmri_derp_clamp(rmr_derp *d, rmr_time now)
{
    if (now == RMR_TIME_NEVER)
        now--;
    if (now > d->now)
        d->now = now;
}

/* ---- creation --------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void rmr_derp_config_init(rmr_derp_config *cfg, size_t struct_size)
{
    rmr_derp_config c;
    memset(&c, 0, sizeof c);
    c.struct_size = (uint32_t)struct_size;
    c.idle_close = IDLE_CLOSE;
    c.queue_pkts = QUEUE_PKTS;
    c.queue_bytes = QUEUE_BYTES;
    memset(cfg, 0, struct_size);
    memcpy(cfg, &c, smaller(struct_size, sizeof c));
}

/* A host that was built against an older header gives a shorter struct. */
static bool copy_config(const rmr_derp_config *cfg, rmr_derp_config *c,
                        rmr_derp_callbacks *cb)
{
    rmr_derp_config_init(c, sizeof *c);
    memset(cb, 0, sizeof *cb);
    if (cfg->struct_size < sizeof cfg->struct_size)
        return false;
    memcpy(c, cfg, smaller(cfg->struct_size, sizeof *c));
    if (!c->callbacks || c->callbacks->struct_size < sizeof cb->struct_size)
        return false;
    memcpy(cb, c->callbacks, smaller(c->callbacks->struct_size, sizeof *cb));
    return c->n_nodes == 0 || c->nodes;
}

static bool is_usable(const rmr_derp_node *n)
{
    return !n->stun_only && n->dial.host[0];
}

/* The node at *at or the next one behind it that can be dialled. */
static bool find_usable(const rmr_derp_node *nodes, size_t n, size_t *at)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = (*at + i) % n;
        if (is_usable(&nodes[k])) {
            *at = k;
            return true;
        }
    }
    return false;
}

static bool copy_nodes(rmr_derp *d, const rmr_derp_config *c)
{
    d->nodes = rmr_alloc_zero(&d->env.alloc, c->n_nodes * sizeof *d->nodes,
                              _Alignof(rmr_derp_node));
    if (!d->nodes)
        return false;
    memcpy(d->nodes, c->nodes, c->n_nodes * sizeof *d->nodes);
    d->n_nodes = c->n_nodes;
    for (size_t i = 0; i < d->n_nodes; i++) {
        rmr_derp_node *n = &d->nodes[i];
        n->name[sizeof n->name - 1] = '\0';
        n->dial.host[sizeof n->dial.host - 1] = '\0';
    }
    return true;
}

static bool is_wanted(const rmr_derp *d)
{
    return d->always_on || d->n_queued;
}

/* A stream is wanted now: no deadline then, it is the host's turn. */
void rmri_derp_want(rmr_derp *d)
{
    if (d->state == DERP_IDLE && is_wanted(d) && d->retry_at <= d->now)
        d->state = DERP_WANT;
}

rmr_err rmr_derp_new(rmr_derp **out, const rmr_env *env,
                     const rmr_derp_config *cfg, rmr_time now)
{
    rmr_derp_config c;
    rmr_derp_callbacks cb;
    size_t at = 0;
    *out = NULL;
    bool ok = copy_config(cfg, &c, &cb) && find_usable(c.nodes, c.n_nodes, &at);
    rmr_derp *d =
        ok ? rmr_alloc_zero(&env->alloc, sizeof *d, _Alignof(rmr_derp)) : NULL;
    if (d) {
        d->env = *env;
        d->cb = cb;
        memcpy(d->private_key, c.private_key, RMR_KEY_LEN);
        d->is_mesh = c.mesh_key != NULL;
        if (d->is_mesh)
            memcpy(d->mesh_key, c.mesh_key, RMR_KEY_LEN);
    }
    rmr_wipe(c.private_key, sizeof c.private_key);
    if (!d)
        return ok ? RMR_E_NOMEM : RMR_E_INVAL;
    if (!copy_nodes(d, &c)) {
        rmr_derp_free(d);
        return RMR_E_NOMEM;
    }
    rmri_derp_clamp(d, now);
    rmr_x25519_public(d->public_key, d->private_key);
    d->node_at = at;
    d->form = c.form;
    d->by_ws = d->ws_worked = c.form == RMR_DERP_WEBSOCKET;
    d->preferred = c.preferred;
    d->always_on = c.always_on;
    d->idle_close = c.idle_close;
    d->queue_pkts = c.queue_pkts ? c.queue_pkts : QUEUE_PKTS;
    rmr_ring_init(&d->queue, &d->env.alloc,
                  c.queue_bytes ? c.queue_bytes : QUEUE_BYTES);
    d->ping_end = RMR_TIME_NEVER;
    d->retry_at = d->now;
    rmri_derp_want(d);
    *out = d;
    return RMR_OK;
}

void rmr_derp_free(rmr_derp *d)
{
    if (!d)
        return;
    rmr_alloc a = d->env.alloc;
    rmri_derp_reset_in(d);
    rmri_derp_reset_out(d);
    rmr_release(&a, d->nodes, d->n_nodes * sizeof *d->nodes);
    rmr_release_wiped(&a, d, sizeof *d);
}

/* ---- the stream ------------------------------------------------------- */

bool rmr_derp_wants_stream(rmr_derp *d, rmr_time now, rmr_dial *out)
{
    if (d->fatal != RMR_OK)
        return false;
    rmri_derp_clamp(d, now);
    if (d->state > DERP_WANT || d->close_pending || d->retry_at > d->now)
        return false;
    if (!is_wanted(d)) {
        d->state = DERP_IDLE;
        return false;
    }
    *out = d->nodes[d->node_at].dial;
    if (out->timeout == 0)
        out->timeout = RMRI_DERP_DIAL_TIMEOUT;
    d->state = DERP_DIALLING;
    d->stage_end =
        rmr_time_add(d->now, rmr_time_add(out->timeout, RMRI_DERP_DIAL_SLACK));
    return true;
}

rmr_err rmr_derp_stream_opened(rmr_derp *d, rmr_time now)
{
    if (d->fatal != RMR_OK)
        return d->fatal;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_derp_clamp(d, now);
    if (d->state != DERP_DIALLING)
        return RMR_E_STATE;
    rmr_err e = rmri_derp_start_http(d);
    if (e == RMR_OK)
        e = rmri_derp_put_request(d);
    if (e != RMR_OK) {
        rmri_derp_down(d, e, true);
        return e;
    }
    d->state = DERP_UPGRADE;
    d->stage_end = rmr_time_add(d->now, RMRI_DERP_LOGIN_TIMEOUT);
    return RMR_OK;
}

/* What an orderly end means at this stage.  A relay that refuses us gives no
 * other sign. */
rmr_err rmri_derp_meaning_of_end(const rmr_derp *d)
{
    if (d->state == DERP_UPGRADE)
        return RMR_E_DERP_UPGRADE;
    if (d->state == DERP_GREETING || d->state == DERP_LOGIN)
        return RMR_E_DERP_LOGIN;
    return RMR_E_CLOSED;
}

void rmr_derp_stream_closed(rmr_derp *d, rmr_time now, rmr_err why)
{
    if (d->fatal != RMR_OK || d->in_callback)
        return;
    rmri_derp_clamp(d, now);
    if (d->state < DERP_DIALLING) {
        d->close_pending = false; /* the host was faster */
        return;
    }
    rmri_derp_down(d, why == RMR_OK ? rmri_derp_meaning_of_end(d) : why, false);
}

bool rmr_derp_wants_close(rmr_derp *d)
{
    bool wants = d->close_pending;
    d->close_pending = false;
    return wants;
}

/* ---- down, and up again ------------------------------------------------ */

/* min(n^2 * 10 ms, 5 s), times a factor in [0.5, 1.5). */
static rmr_err back_off(rmr_derp *d)
{
    uint8_t r[2];
    if (d->n_failed < 1000)
        d->n_failed++;
    rmr_dur t = (rmr_dur)d->n_failed * d->n_failed * BACKOFF_UNIT;
    if (t > BACKOFF_MAX)
        t = BACKOFF_MAX;
    if (rmr_rng_fill(&d->env.rng, r, sizeof r) != RMR_OK)
        return RMR_E_RNG;
    uint64_t factor = 0x8000u + ((uint64_t)r[0] << 8 | r[1]);
    d->retry_at = rmr_time_add(d->now, t * factor >> 16);
    return RMR_OK;
}

/* It told all its clients the same: up to half as long more, so that they do not
 * come at once. */
static rmr_err wait_for_restart(rmr_derp *d)
{
    uint8_t r[2] = {0};
    if (d->restart_in && rmr_rng_fill(&d->env.rng, r, sizeof r) != RMR_OK)
        return RMR_E_RNG;
    uint64_t share = (uint64_t)r[0] << 8 | r[1];
    rmr_time at = rmr_time_add(d->now, d->restart_in);
    d->n_failed = 0;
    d->retry_at = rmr_time_add(at, d->restart_in * share >> 17);
    d->restart_until = rmr_time_add(at, d->restart_for);
    return RMR_OK;
}

/* When the next attempt is, and at which node. */
static rmr_err plan_retry(rmr_derp *d, rmr_err why, bool was_up,
                          bool at_upgrade)
{
    size_t next = 0;
    if (rmri_derp_ws_turn(d, at_upgrade))
        next = d->node_at;
    else if (!was_up && d->now >= d->restart_until)
        next = (d->node_at + 1) % d->n_nodes;
    else if (!was_up)
        next = d->node_at; /* it said that it comes back */
    (void)find_usable(d->nodes, d->n_nodes, &next);
    if (was_up && d->was_told_restart)
        return wait_for_restart(d);
    d->node_at = next;
    d->retry_at = d->now;
    return why == RMR_OK ? RMR_OK : back_off(d);
}

void rmri_derp_down(rmr_derp *d, rmr_err why, bool close)
{
    bool was_up = d->state == DERP_UP;
    bool at_upgrade = d->state == DERP_UPGRADE || d->state == DERP_GREETING;
    /* While a relay restarts, as it said, failures are no news. */
    bool is_quiet = !was_up && d->now < d->restart_until;
    bool was_ill = d->is_ill;
    if (why != RMR_OK)
        d->stats.failures++;
    rmri_derp_reset_in(d);
    rmri_derp_reset_out(d);
    rmr_wipe(d->shared, sizeof d->shared);
    d->close_pending = close;
    d->state = DERP_IDLE;
    rmr_err e = why == RMR_E_RNG ? why : plan_retry(d, why, was_up, at_upgrade);
    d->was_told_restart = false;
    if (e != RMR_OK)
        d->fatal = why = e;
    rmri_derp_want(d);
    d->in_callback = true;
    if (was_ill)
        rmri_derp_call_health(d, rmr_bytes_of(NULL, 0));
    if (d->cb.on_down && (!is_quiet || d->fatal != RMR_OK))
        d->cb.on_down(d->cb.user, why);
    d->in_callback = false;
}

void rmr_derp_set_preferred(rmr_derp *d, rmr_time now, bool on)
{
    rmri_derp_clamp(d, now);
    d->preferred = on;
    d->always_on = on;
    d->last_send =
        d->now; /* a home that was left has its idle time from here */
    rmri_derp_want(d);
}

rmr_err rmr_derp_ping(rmr_derp *d, rmr_time now)
{
    if (d->fatal != RMR_OK)
        return d->fatal;
    rmri_derp_clamp(d, now);
    if (d->state != DERP_UP)
        return RMR_E_STATE;
    if (d->ping_end != RMR_TIME_NEVER)
        return RMR_OK; /* one is on its way */
    if (rmr_rng_fill(&d->env.rng, d->ping, sizeof d->ping) != RMR_OK) {
        d->close_pending = true;
        return d->fatal = RMR_E_RNG;
    }
    d->ping_due = true;
    d->ping_end = rmr_time_add(d->now, RMRI_DERP_PING_TIMEOUT);
    return RMR_OK;
}

/* ---- time ------------------------------------------------------------- */

static rmr_time idle_end(const rmr_derp *d)
{
    if (d->always_on || d->idle_close == 0)
        return RMR_TIME_NEVER;
    return rmr_time_add(d->last_send, d->idle_close);
}

static rmr_time read_end(const rmr_derp *d)
{
    return rmr_time_min(rmr_time_add(d->last_frame, RMRI_DERP_READ_TIMEOUT),
                        d->ping_end);
}

rmr_time rmr_derp_next_deadline(const rmr_derp *d)
{
    if (d->fatal != RMR_OK)
        return RMR_TIME_NEVER;
    switch (d->state) {
    case DERP_IDLE:
        return is_wanted(d) ? d->retry_at : RMR_TIME_NEVER;
    case DERP_WANT:
        return RMR_TIME_NEVER; /* it is the host's turn */
    case DERP_UP:
        return rmr_time_min(read_end(d), idle_end(d));
    default:
        return d->stage_end;
    }
}

rmr_err rmr_derp_handle_deadline(rmr_derp *d, rmr_time now)
{
    if (d->fatal != RMR_OK)
        return d->fatal;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_derp_clamp(d, now);
    if (rmr_derp_next_deadline(d) > d->now)
        return RMR_OK;
    if (d->state == DERP_IDLE)
        rmri_derp_want(d);
    else if (d->state == DERP_UP && read_end(d) > d->now)
        rmri_derp_down(d, RMR_OK, true); /* idle */
    else
        rmri_derp_down(d, RMR_E_TIMEOUT, true);
    return d->fatal;
}

/* ---- looking ---------------------------------------------------------- */

bool rmr_derp_is_up(const rmr_derp *d)
{
    return d->state == DERP_UP;
}

bool rmr_derp_relay_key(const rmr_derp *d, uint8_t key[RMR_KEY_LEN])
{
    if (d->state < DERP_LOGIN)
        return false;
    memcpy(key, d->relay_key, RMR_KEY_LEN);
    return true;
}

bool rmr_derp_is_websocket(const rmr_derp *d)
{
    return d->by_ws;
}

void rmr_derp_get_stats(const rmr_derp *d, rmr_derp_stats *out)
{
    *out = d->stats;
}

const char *rmr_derp_err_text(rmr_err e)
{
    switch (e) {
    case RMR_E_DERP_UPGRADE:
        return "the server did not switch to DERP";
    case RMR_E_DERP_LOGIN:
        return "the relay refused the login, or is not what it claims";
    case RMR_E_DERP_FRAME:
        return "the relay sent a broken frame";
    case RMR_E_WS_PROTOCOL:
    case RMR_E_WS_TEXT:
    case RMR_E_WS_TOO_BIG:
        return "the relay sent a broken WebSocket frame";
    default:
        return rmr_err_name(e);
    }
}
