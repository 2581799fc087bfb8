/* io-gcd for the adapter suite.
 *
 * The suite's machines belong to its own thread, so the queue stands still but
 * for the turns that the suite asks for: it is resumed, and suspended again by
 * a function on the queue itself, behind which nothing runs.  The suite's turn
 * does what the machines want, and then waits unless that told them something;
 * so the machines are wrapped, to count what they are told. */
#include "adapter.h"

#include "gcd_internal.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MACHINES 8

#ifndef ADAPTER_PORTABLE
#define ADAPTER_PORTABLE false
#endif

typedef struct gcd_adapter gcd_adapter;

typedef struct wrapped {
    gcd_adapter *a;
    rmr_machine m;
} wrapped;

struct gcd_adapter {
    rmr_gcd *g;
    dispatch_queue_t queue;
    dispatch_semaphore_t turned;
    wrapped machines[MACHINES];
    size_t n_machines;
    size_t told, running;
    size_t told_before; /* ... this turn, a source's included */
    bool has_done;      /* the suite's own turn told something    */
    bool is_closing;    /* descriptors wait for their cancel handlers */
    atomic_bool is_woken;
};

/* ---- the machines ------------------------------------------------------ */

static rmr_err event(void *self, rmr_time now, const rmr_io_event *ev)
{
    wrapped *w = self;
    w->a->told++;
    return w->m.event(w->m.self, now, ev);
}

static rmr_err next_op(void *self, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    wrapped *w = self;
    return w->m.next_op(w->m.self, now, scratch, op);
}

static rmr_time next_deadline(const void *self)
{
    const wrapped *w = self;
    return w->m.next_deadline(w->m.self);
}

static rmr_err handle_deadline(void *self, rmr_time now)
{
    wrapped *w = self;
    w->a->told++;
    return w->m.handle_deadline(w->m.self, now);
}

/* ---- on the queue ------------------------------------------------------ */

static void on_turn(void *watcher, size_t running)
{
    gcd_adapter *a = watcher;
    a->running = running;
    a->is_closing = a->g->n_closing > 0 && running > 0;
    (void)dispatch_semaphore_signal(a->turned);
}

static void own_turn(void *context)
{
    gcd_adapter *a = context;
    bool is_woken = atomic_exchange(&a->is_woken, false);
    rmri_gcd_turn(a->g);
    a->has_done = a->told != a->told_before || is_woken;
    while (dispatch_semaphore_wait(a->turned, DISPATCH_TIME_NOW) == 0)
        continue;
}

static void stand_still(void *context)
{
    dispatch_suspend(((gcd_adapter *)context)->queue);
}

static void go_on(gcd_adapter *a)
{
    dispatch_resume(a->queue);
}

/* ---- the table --------------------------------------------------------- */

adapter *adapter_new(const char *dir)
{
    gcd_adapter *a = calloc(1, sizeof *a);
    rmr_gcd_config cfg;
    if (!a)
        return NULL;
    rmr_gcd_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    cfg.portable = ADAPTER_PORTABLE;
    cfg.queue = a->queue = dispatch_queue_create("suite", NULL);
    if (rmr_gcd_new(&a->g, &cfg) != RMR_OK) {
        dispatch_release(a->queue);
        free(a);
        return NULL;
    }
    a->turned = dispatch_semaphore_create(0);
    a->g->watcher = a;
    a->g->on_turn = on_turn;
    dispatch_sync_f(a->queue, a, stand_still);
    return (adapter *)(void *)a;
}

void adapter_free(adapter *handle)
{
    gcd_adapter *a = (gcd_adapter *)(void *)handle;
    if (!a)
        return;
    go_on(a);
    rmr_gcd_free(a->g);
    dispatch_release(a->turned);
    dispatch_release(a->queue);
    free(a);
}

void adapter_add(adapter *handle, const rmr_machine *m)
{
    gcd_adapter *a = (gcd_adapter *)(void *)handle;
    if (a->n_machines == MACHINES)
        abort();
    wrapped *w = &a->machines[a->n_machines++];
    *w = (wrapped){a, *m};
    const rmr_machine outer = {w, event, next_op, next_deadline,
                               handle_deadline};
    go_on(a);
    if (rmr_gcd_add(a->g, &outer) != RMR_OK)
        abort();
    dispatch_sync_f(a->queue, a, stand_still);
    a->running++;
}

size_t adapter_turn(adapter *handle, rmr_dur max_wait)
{
    gcd_adapter *a = (gcd_adapter *)(void *)handle;
    dispatch_time_t until = DISPATCH_TIME_FOREVER;
    if (max_wait < INT64_MAX)
        until = dispatch_time(DISPATCH_TIME_NOW, (int64_t)max_wait);
    a->told_before = a->told;
    go_on(a); /* what a source had to say may come before our own turn */
    dispatch_sync_f(a->queue, a, own_turn);
    if (!a->has_done && a->running)
        (void)dispatch_semaphore_wait(a->turned, until);
    dispatch_sync_f(a->queue, a, stand_still);
    while (
        a->is_closing) { /* a turn follows at once, and belongs to this one */
        go_on(a);
        (void)dispatch_semaphore_wait(a->turned, DISPATCH_TIME_FOREVER);
        dispatch_sync_f(a->queue, a, stand_still);
    }
    return a->running;
}

void adapter_request_stop(adapter *handle)
{
    gcd_adapter *a = (gcd_adapter *)(void *)handle;
    rmr_gcd_request_stop(a->g);
}

void adapter_wake(adapter *handle)
{
    gcd_adapter *a = (gcd_adapter *)(void *)handle;
    atomic_store(&a->is_woken, true);
    rmr_gcd_wake(a->g);
}

rmr_time adapter_now(void)
{
    return rmr_posix_now();
}

void adapter_forget(const char *dir)
{
    (void)dir; /* its files are the suite's to remove */
}

const bool adapter_is_host = true;
