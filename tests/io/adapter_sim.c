/* The simulator for the adapter suite: one host of one world for each adapter,
 * whose clock moves by its turns alone. */
#include "adapter.h"

#include <remora/sim.h>

#include <signal.h>
#include <stdlib.h>

#define A_TURN 24 /* events, so that one can see what comes between */
#define PROGRAMS 8

struct adapter {
    rmr_sim *sim;
    rmr_sim_host host;
    rmr_sim_program programs[PROGRAMS];
    struct counted {
        rmr_machine m;
        adapter *a;
    } machines[PROGRAMS];
    size_t n_events;
    size_t n_programs;
    bool wants_stop;
};

static volatile sig_atomic_t is_woken;
static adapter *latest; /* whose clock adapter_now tells */

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

adapter *adapter_new(const char *dir)
{
    (void)dir; /* blobs are in the host's memory */
    rmr_sim_config cfg;
    rmr_sim_host_config host;
    adapter *a = calloc(1, sizeof *a);
    rmr_sim_config_init(&cfg, sizeof cfg);
    cfg.alloc = (rmr_alloc){heap_alloc, heap_release, NULL};
    cfg.stream_window = (size_t)1024 * 1024;
    rmr_sim_host_config_init(&host, sizeof host);
    if (!a || rmr_sim_new(&a->sim, &cfg) != RMR_OK ||
        rmr_sim_host_new(a->sim, RMR_SIM_INTERNET, &host, &a->host) != RMR_OK)
        abort();
    latest = a;
    return a;
}

void adapter_free(adapter *a)
{
    rmr_sim_free(a->sim);
    latest = latest == a ? NULL : latest;
    free(a);
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
    if (rmr_sim_add(a->sim, a->host, &outer, &a->programs[i]) != RMR_OK)
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
