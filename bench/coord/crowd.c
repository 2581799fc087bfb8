/* All clients as one machine on io-posix. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

/* ---- who has something to do --------------------------------------------- */

void crowd_stir(client *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = c->all->dirty;
    c->all->dirty = c;
}

static void pump(crowd *a, rmr_time now)
{
    while (a->dirty) {
        client *c = a->dirty;
        a->dirty = c->next_dirty;
        c->dirty = false;
        client_pump(c, now);
    }
    rmr_mc_pump(a->mc, now);
}

/* ---- the machine --------------------------------------------------------- */

static rmr_err m_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    crowd *a = self;
    (void)rmr_mc_event(a->mc, now, ev);
    return RMR_OK;
}

static rmr_err m_next_op(void *self, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    crowd *a = self;
    memset(op, 0, sizeof *op);
    do {
        pump(a, now);
        if (rmr_mc_next_op(a->mc, now, scratch, op))
            return RMR_OK;
    } while (a->dirty);
    return RMR_OK;
}

static rmr_time m_next_deadline(const void *self)
{
    const crowd *a = self;
    return rmr_time_min(rmr_timers_next(&a->timers),
                        rmr_mc_next_deadline(a->mc));
}

static rmr_err m_handle_deadline(void *self, rmr_time now)
{
    crowd *a = self;
    for (rmr_timer *t; (t = rmr_timers_pop(&a->timers, now));) {
        client *c = t->owner;
        (void)rmr_ctl_handle_deadline(c->ctl, now);
        crowd_stir(c);
    }
    rmr_mc_handle_deadline(a->mc, now);
    return RMR_OK;
}

/* ---- life ---------------------------------------------------------------- */

static void open_all(crowd *a)
{
    rmr_env env = rmr_posix_env();
    rmr_mc_config mc;
    rmr_posix_config cfg;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.no_links = true;
    rmr_mc_config_init(&mc, sizeof mc);
    mc.max_objects = 2 * a->n + 64; /* what was cut is closed later */
    if (rmr_posix_new(&a->posix, &cfg) != RMR_OK ||
        rmr_timers_init(&a->timers, &env.alloc, a->n) != RMR_OK ||
        rmr_mc_new(&a->mc, &env, &mc) != RMR_OK)
        die("the adapter", "no memory, or no descriptors");
    rmr_machine m = {a, m_event, m_next_op, m_next_deadline, m_handle_deadline};
    if (rmr_posix_add(a->posix, &m) != RMR_OK)
        die("the adapter", "no memory");
}

void crowd_start(crowd *a)
{
    open_all(a);
    a->words = ((size_t)a->n * 4 + 1024) / 64;
    a->clients = calloc(a->n, sizeof *a->clients);
    a->change.ms = calloc(a->n, sizeof *a->change.ms);
    if (!a->clients || !a->change.ms)
        die("calloc", "no memory");
    for (uint32_t i = 0; i < a->n; i++) {
        client *c = &a->clients[i];
        c->all = a;
        c->number = i;
        c->user = i % a->n_users;
        client_start(c);
    }
}

bool crowd_run(crowd *a, bool (*done)(const crowd *a), rmr_dur most)
{
    rmr_time end = rmr_time_add(rmr_posix_now(), most);
    while (!done || !done(a)) {
        rmr_time now = rmr_posix_now();
        size_t running;
        if (now >= end)
            return false;
        if (rmr_posix_turn(a->posix, end - now, &running) != RMR_OK)
            die("the adapter", "poll failed");
    }
    return true;
}

void crowd_free(crowd *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        client_free(&a->clients[i]);
    rmr_posix_free(a->posix);
    rmr_mc_free(a->mc);
    rmr_timers_wipe(&a->timers);
    free(a->clients);
    free(a->change.ms);
}

/* ---- what is waited for -------------------------------------------------- */

bool crowd_all_see_all(const crowd *a)
{
    return a->n_complete == a->n && a->n_streams == a->n;
}

bool crowd_all_back(const crowd *a)
{
    return a->n_fresh == 0 && crowd_all_see_all(a);
}

bool crowd_all_heard(const crowd *a)
{
    const client *c = &a->clients[a->change.serial % a->n];
    return a->change.n_heard == client_wants(c);
}
