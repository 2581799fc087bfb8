/* The simulator for the adapter suite: a world of one host, whose clock moves by
 * the adapters' turns alone.  Adapters of one directory share a host. */
#define _DEFAULT_SOURCE /* strdup */
#include "adapter_sim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define A_TURN 24 /* events, so that one can see what comes between */
#define PROGRAMS 8

typedef struct world {
    struct world *next;
    char *dir; /* NULL: of one adapter alone */
    rmr_sim *sim;
    rmr_sim_host host;
} world;

struct adapter {
    world *w;
    rmr_sim *sim; /* the world's */
    rmr_sim_program programs[PROGRAMS];
    struct counted {
        rmr_machine m;
        adapter *a;
    } machines[PROGRAMS];
    size_t n_events;
    size_t n_programs;
    bool wants_stop;
};

const bool adapter_is_host = false;

static volatile sig_atomic_t is_woken;
static world *worlds;
static world *latest; /* whose clock adapter_now tells */

static void *heap_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align; /* malloc's is the strictest */
    return malloc(size);
}

static void heap_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static world *world_new(const char *dir)
{
    rmr_sim_config cfg;
    rmr_sim_host_config host;
    world *w = calloc(1, sizeof *w);
    rmr_sim_config_init(&cfg, sizeof cfg);
    cfg.alloc = (rmr_alloc){heap_alloc, heap_release, NULL};
    cfg.stream_window = (size_t)1024 * 1024;
    rmr_sim_host_config_init(&host, sizeof host);
    if (!w || rmr_sim_new(&w->sim, &cfg) != RMR_OK ||
        rmr_sim_host_new(w->sim, RMR_SIM_INTERNET, &host, &w->host) != RMR_OK)
        abort();
    w->dir = dir ? strdup(dir) : NULL;
    w->next = worlds;
    worlds = w;
    return w;
}

static void world_free(world *w)
{
    world **at = &worlds;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    latest = latest == w ? NULL : latest;
    rmr_sim_free(w->sim);
    free(w->dir);
    free(w);
}

static world *world_of(const char *dir)
{
    world *w = dir ? worlds : NULL;
    while (w && (!w->dir || strcmp(w->dir, dir) != 0))
        w = w->next;
    return w;
}

adapter *adapter_new(const char *dir)
{
    adapter *a = calloc(1, sizeof *a);
    if (!a)
        abort();
    a->w = world_of(dir);
    a->w = a->w ? a->w : world_new(dir);
    a->sim = a->w->sim;
    latest = a->w;
    return a;
}

void adapter_free(adapter *a)
{
    for (size_t i = 0; i < a->n_programs; i++)
        (void)rmr_sim_remove(a->sim, a->programs[i], RMR_SIM_KILLED);
    if (!a->w->dir)
        world_free(a->w);
    free(a);
}

void adapter_forget(const char *dir)
{
    world *w = world_of(dir);
    if (w)
        world_free(w);
}

static bool step(adapter *a, rmr_time end)
{
    bool happened;
    if (rmr_sim_step(a->sim, end, &happened) != RMR_OK)
        abort();
    return happened;
}

/* ---- the machines, whose events are counted ------------------------------ */

static rmr_err on_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    struct counted *c = self;
    c->a->n_events++;
    return c->m.event(c->m.self, now, ev);
}

static rmr_err on_next_op(void *self, rmr_time now, rmr_buf scratch,
                          rmr_io_op *op)
{
    struct counted *c = self;
    return c->m.next_op(c->m.self, now, scratch, op);
}

static rmr_time on_next_deadline(const void *self)
{
    const struct counted *c = self;
    return c->m.next_deadline(c->m.self);
}

static rmr_err on_deadline(void *self, rmr_time now)
{
    struct counted *c = self;
    return c->m.handle_deadline(c->m.self, now);
}

void adapter_add(adapter *a, const rmr_machine *m)
{
    size_t i = a->n_programs;
    if (i == PROGRAMS)
        abort();
    struct counted *c = &a->machines[i];
    *c = (struct counted){*m, a};
    rmr_machine outer = {c, on_event, on_next_op, on_next_deadline,
                         on_deadline};
    if (rmr_sim_add(a->sim, a->w->host, &outer, &a->programs[i]) != RMR_OK)
        abort();
    a->n_programs++;
    (void)step(a, rmr_sim_now(a->sim)); /* WALL ... */
    (void)step(a, rmr_sim_now(a->sim)); /* ... and LINKS, at once */
}

static size_t count_running(const adapter *a)
{
    size_t running = 0;
    for (size_t i = 0; i < a->n_programs; i++)
        running += rmr_sim_is_running(a->sim, a->programs[i], NULL) ||
                   rmr_sim_is_flushing(a->sim, a->programs[i]);
    return running;
}

size_t adapter_turn(adapter *a, rmr_dur max_wait)
{
    rmr_time now = rmr_sim_now(a->sim);
    for (size_t i = 0; i < a->n_programs; i++) {
        if (a->wants_stop)
            (void)rmr_sim_request_stop(a->sim, a->programs[i]);
        (void)rmr_sim_poke(a->sim, a->programs[i]);
    }
    a->wants_stop = false;
    for (size_t i = 0; i < a->n_programs; i++)
        (void)step(a, now); /* the pokes */
    /* Without an end and with nothing to come, only a wake ends the turn. */
    while (max_wait == RMR_TIME_NEVER && rmr_sim_next(a->sim) == max_wait &&
           count_running(a) && !is_woken)
        ;
    is_woken = 0;
    a->n_events = 0;
    if (step(a, rmr_time_add(now, max_wait)))
        while (a->n_events < A_TURN && step(a, rmr_sim_now(a->sim)))
            ;
    return count_running(a);
}

void adapter_request_stop(adapter *a)
{
    a->wants_stop = true;
}

void adapter_wake(adapter *a)
{
    (void)a;
    is_woken = 1;
}

rmr_time adapter_now(void)
{
    return rmr_sim_now(latest->sim);
}

rmr_sim *adapter_sim_world(const adapter *a)
{
    return a->sim;
}

rmr_sim_host adapter_sim_host(const adapter *a)
{
    return a->w->host;
}
