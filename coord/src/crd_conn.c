/* A connection from its acceptance to its end. */
#include "crd_api.h"

#include <stddef.h>

#define MIN_STRANGERS 256 /* places for them, else a quarter of all */

static void link_in(crd_conn *n)
{
    rmr_coord *c = n->c;
    n->next = c->conns;
    if (c->conns)
        c->conns->prev = n;
    c->conns = n;
    c->n_conns++;
}

static void link_out(crd_conn *n)
{
    rmr_coord *c = n->c;
    if (n->prev)
        n->prev->next = n->next;
    else
        c->conns = n->next;
    if (n->next)
        n->next->prev = n->prev;
    c->n_conns--;
    rmri_crd_fair_leave(&c->strangers, &n->place);
}

static void conn_free(crd_conn *n)
{
    rmr_timers_cancel(&n->c->timers, &n->timer);
    rmri_crd_noise_free(n);
    rmr_tls_free(n->tls);
    rmr_tls_pool_free(n->tls_pool);
    rmr_h1_free(n->h1);
    rmri_crd_call_free(n);
    rmri_crd_reply_free(n);
    rmr_ws_free(n->ws);
    rmr_ring_wipe(&n->out);
    rmr_ring_wipe(&n->early);
    rmr_release_wiped(&n->c->env.alloc, n, sizeof *n);
}

static bool conn_tls(crd_conn *n)
{
    rmr_coord *c = n->c;
    rmr_tls_server_config cfg;
    if (!c->identity || n->role != CRD_MAIN)
        return true;
    rmr_tls_server_config_init(&cfg, sizeof cfg);
    /* One buffer each way: it runs out of them only with the memory. */
    if (rmr_tls_pool_new(&n->tls_pool, &c->env, 2) != RMR_OK)
        return false;
    cfg.identity = c->identity;
    cfg.pool = n->tls_pool;
    return rmr_tls_server_new(&n->tls, &c->env, &cfg) == RMR_OK;
}

/* What a turn did not need any more goes; false: there was no memory for what it
 * needed. */
static bool settle_tls(crd_conn *n)
{
    if (!n->tls)
        return true;
    rmr_tls_pool_trim(n->tls_pool, 0);
    return !rmr_tls_is_starved(n->tls);
}

/* ---- strangers ----------------------------------------------------------- */

static crd_conn *conn_at(crd_link *l)
{
    return (crd_conn *)(void *)((char *)l - offsetof(crd_conn, place));
}

static bool are_too_many(const rmr_coord *c)
{
    size_t most = c->max_connections / 4;
    if (most < MIN_STRANGERS)
        most = MIN_STRANGERS;
    return c->n_conns >= c->max_connections || c->strangers.all >= most;
}

static bool displace_one(rmr_coord *c, rmr_time now)
{
    const crd_share *most = rmri_crd_fair_fullest(&c->strangers);
    if (!most->n)
        return false;
    crd_conn *n = conn_at(most->ring.next);
    if (n->io)
        rmr_mc_io_abort(n->io); /* its descriptor is wanted now */
    n->io = NULL;
    rmri_crd_conn_end(n, now);
    c->count.displaced++;
    return true;
}

bool rmri_crd_conns_thin_out(rmr_coord *c, rmr_time now)
{
    bool some = false;
    for (size_t n = c->strangers.all / 8 + 1; n > 0; n--)
        some |= displace_one(c, now);
    return some;
}

/* Who can open the local endpoint is none. */
static void place(crd_conn *n)
{
    if (n->n_streams > 0)
        rmri_crd_fair_leave(&n->c->strangers, &n->place);
    else if (n->role != CRD_SOCKET)
        rmri_crd_fair_enter(&n->c->strangers, &n->place, &n->client);
}

/* ---- beginning ----------------------------------------------------------- */

static crd_conn *conn_new(rmr_coord *c, crd_role role, const rmr_addr *remote)
{
    if (c->phase != CRD_PHASE_UP || c->n_conns >= c->max_connections ||
        rmri_crd_timers_room(c, 1) != RMR_OK)
        return NULL;
    crd_conn *n = rmr_alloc_zero(&c->env.alloc, sizeof *n, _Alignof(crd_conn));
    if (!n)
        return NULL;
    n->c = c;
    n->role = role;
    n->remote = n->client = *remote;
    rmr_ring_init(&n->out, &c->env.alloc, CRD_OUT_MAX);
    rmr_ring_init(&n->early, &c->env.alloc, 1024);
    if (!conn_tls(n)) {
        conn_free(n);
        return NULL;
    }
    return n;
}

void rmri_crd_conn_accept(crd_listener *l, rmr_time now, uint64_t child,
                          const rmr_addr *remote)
{
    rmr_coord *c = l->c;
    if (are_too_many(c))
        (void)displace_one(c, now);
    crd_conn *n = conn_new(c, l->role, remote);
    if (!n) {
        c->count.rejected++;
        rmr_mc_refuse(c->mc, child);
        return;
    }
    n->io = rmr_mc_adopt(c->mc, child, &rmri_crd_stream_ops, n);
    if (!n->io) {
        c->count.rejected++;
        conn_free(n);
        return;
    }
    c->count.accepted++;
    link_in(n);
    rmri_crd_timer_set(c, &n->timer, CRD_TIMER_STAGE, n,
                       rmr_time_add(now, CRD_HTTP_TIMEOUT));
    rmri_crd_conn_settle(n, now);
}

static bool may_stay(const crd_conn *n)
{
    const crd_rpc *r = n->rpcs;
    while (n->n_streams == 0 && r && !r->login && !r->check && !r->held.next)
        r = r->next;
    return n->n_streams > 0 || r;
}

/* Any machine key gets this far.  Map streams last, and answers for which the
 * server waits; requests that never end, and answers that are not taken, do
 * not keep a connection. */
static void watch_idle(crd_conn *n, rmr_time now)
{
    if (n->stage != CRD_NOISE || n->finishing || !n->h2)
        return;
    if (may_stay(n))
        rmr_timers_cancel(&n->c->timers, &n->timer);
    else if (!rmr_timer_is_armed(&n->timer))
        rmri_crd_timer_set(n->c, &n->timer, CRD_TIMER_STAGE, n,
                           rmr_time_add(now, CRD_IDLE_TIMEOUT));
}

void rmri_crd_conn_got_on(crd_conn *n)
{
    rmri_crd_fair_renew(&n->c->strangers, &n->place);
    if (n->stage == CRD_NOISE && !n->finishing)
        rmr_timers_cancel(&n->c->timers, &n->timer); /* is set anew */
}

void rmri_crd_conn_settle(crd_conn *n, rmr_time now)
{
    if (n->stage == CRD_DEAD)
        return;
    if (!settle_tls(n)) {
        rmri_crd_conn_end(n, now);
        return;
    }
    place(n);
    watch_idle(n, now);
    if (!n->finishing)
        rmr_mc_io_credit(n->io, CRD_CREDIT);
    if (n->tls || n->out.len > 0 || n->early.len > 0 || n->h2 || n->reply ||
        n->finishing)
        rmr_mc_io_output(n->io);
}

/* The memory goes with the next pump: this may be inside one of its calls. */
void rmri_crd_conn_end(crd_conn *n, rmr_time now)
{
    rmr_coord *c = n->c;
    (void)now;
    if (n->stage == CRD_DEAD)
        return;
    if (n->io)
        rmr_mc_io_close(n->io);
    n->io = NULL;
    n->stage = CRD_DEAD;
    rmr_timers_cancel(&c->timers, &n->timer);
    link_out(n);
    n->next = c->dead;
    c->dead = n;
    rmri_crd_stir(c);
}

void rmri_crd_conn_finish(crd_conn *n, rmr_time now)
{
    if (n->stage == CRD_DEAD || n->finishing)
        return;
    n->finishing = true;
    rmri_crd_timer_set(n->c, &n->timer, CRD_TIMER_STAGE, n,
                       rmr_time_add(now, CRD_FINISH_TIMEOUT));
    rmr_mc_io_output(n->io);
}

void rmri_crd_conns_reap(rmr_coord *c)
{
    while (c->dead) {
        crd_conn *n = c->dead;
        c->dead = n->next;
        conn_free(n);
    }
}

void rmri_crd_conns_free(rmr_coord *c)
{
    while (c->conns) {
        crd_conn *n = c->conns;
        n->io = NULL;
        n->stage = CRD_DEAD;
        link_out(n);
        conn_free(n);
    }
    rmri_crd_conns_reap(c);
}
