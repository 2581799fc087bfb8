/* Turns of io-posix, taken when libdispatch says that there is something to
 * take.  All but the entry points runs on the one queue. */
#include "gcd_internal.h"

#include <stdlib.h>
#include <string.h>

/* How late a timer may come, so that the host can merge wake-ups: one in
 * sixteen of the wait. */
#define LEEWAY_PART 16
#define LEEWAY_MAX (500 * RMR_MS)
/* Where libdispatch had no memory for a source. */
#define BLIND_EVERY (10 * RMR_MS)

/* ---- turns ------------------------------------------------------------- */

static void set_timer(const rmr_gcd *g)
{
    rmr_time at = rmr_posix_next_deadline(g->posix), now = rmr_posix_now();
    if (g->is_blind)
        at = rmr_time_min(at, rmr_time_add(now, BLIND_EVERY));
    rmr_dur wait = rmr_time_since(at, now);
    rmr_dur leeway = wait / LEEWAY_PART;
    dispatch_time_t when = DISPATCH_TIME_FOREVER;
    if (at != RMR_TIME_NEVER && wait < INT64_MAX)
        when = dispatch_time(DISPATCH_TIME_NOW, (int64_t)wait);
    dispatch_source_set_timer(g->timer, when, DISPATCH_TIME_FOREVER,
                              leeway < LEEWAY_MAX ? leeway : LEEWAY_MAX);
}

static void end(rmr_gcd *g, rmr_err result)
{
    g->is_over = true;
    rmri_gcd_one_close(g);
    rmri_gcd_each_quiet(g);
    dispatch_source_cancel(g->timer);
    if (g->on_end)
        g->on_end(g->user, result);
}

void rmri_gcd_turn(void *context)
{
    rmr_gcd *g = context;
    size_t running = 0;
    if (g->is_over || !g->posix)
        return;
    rmr_err err = rmr_posix_turn(g->posix, 0, &running);
    if (rmr_posix_fd(g->posix) < 0)
        rmri_gcd_one_close(g); /* the host refused more: one by one now */
    if (err == RMR_OK && running > 0)
        set_timer(g);
    else
        end(g, err != RMR_OK ? err : rmr_posix_result(g->posix));
    if (g->on_turn)
        g->on_turn(g->watcher, running);
}

/* ---- life -------------------------------------------------------------- */

void rmri_gcd_hold(rmr_gcd *g)
{
    g->refs++;
}

void rmri_gcd_let_go(rmr_gcd *g)
{
    if (--g->refs > 0)
        return;
    /* Both are retained while their handlers run. */
    dispatch_release(g->closing);
    dispatch_release(g->queue);
    free((void *)g->watches);
    free(g);
}

/* Calls f on the queue and waits for it; at once where that is us. */
static void on_queue(const rmr_gcd *g, void *context, dispatch_function_t f)
{
    if (dispatch_get_specific(g) == g)
        f(context);
    else
        dispatch_sync_f(g->queue, context, f);
}

dispatch_source_t rmri_gcd_source(const rmr_gcd *g, dispatch_source_type_t type,
                                  uintptr_t handle, void *context,
                                  dispatch_function_t on_cancelled)
{
    dispatch_source_t s = dispatch_source_create(type, handle, 0, g->queue);
    if (!s)
        return NULL;
    dispatch_set_context(s, context);
    dispatch_source_set_cancel_handler_f(s, on_cancelled);
    return s;
}

static void timer_cancelled(void *context)
{
    rmr_gcd *g = context;
    dispatch_release(g->timer);
    g->timer = NULL;
    rmri_gcd_let_go(g);
}

static rmr_err open_timer(rmr_gcd *g)
{
    g->timer =
        rmri_gcd_source(g, DISPATCH_SOURCE_TYPE_TIMER, 0, g, timer_cancelled);
    if (!g->timer)
        return RMR_E_NOMEM;
    dispatch_source_set_event_handler_f(g->timer, rmri_gcd_turn);
    rmri_gcd_hold(g);
    dispatch_resume(g->timer); /* it must run once to be cancelled */
    return RMR_OK;
}

typedef struct opening {
    rmr_gcd *g;
    const rmr_gcd_config *cfg;
    rmr_err err;
} opening;

static rmr_err open_posix(rmr_gcd *g, const rmr_gcd_config *cfg)
{
    rmr_posix_config pc;
    rmr_posix_watcher each = rmri_gcd_each(g);
    rmr_posix_config_init(&pc, sizeof pc);
    pc.portable = cfg->portable;
    pc.watcher = &each;
    pc.dir = cfg->dir;
    pc.no_links = cfg->no_links;
    pc.log = cfg->log;
    return rmr_posix_new(&g->posix, &pc);
}

void rmr_gcd_config_init(rmr_gcd_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

/* The host's, or one of ours; marked, so that we know when we are on it. */
static dispatch_queue_t take_queue(rmr_gcd *g, dispatch_queue_t wanted)
{
    dispatch_queue_t q =
        wanted ? wanted : dispatch_queue_create("remora", NULL);
    if (wanted)
        dispatch_retain(q);
    if (q)
        dispatch_queue_set_specific(q, g, g, NULL);
    return q;
}

/* On the queue: a source may call at once. */
static void open_all(void *context)
{
    opening *o = context;
    o->err = open_timer(o->g);
    if (o->err == RMR_OK)
        o->err = open_posix(o->g, o->cfg);
    if (o->err == RMR_OK)
        rmri_gcd_one_open(o->g);
}

static rmr_gcd *make(const rmr_gcd_config *cfg)
{
    rmr_gcd *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->fd = -1;
    g->refs = 1;
    g->user = cfg->user;
    g->on_end = cfg->on_end;
    g->closing = dispatch_group_create();
    g->queue = g->closing ? take_queue(g, cfg->queue) : NULL;
    if (g->queue)
        return g;
    if (g->closing)
        dispatch_release(g->closing);
    free(g);
    return NULL;
}

rmr_err rmr_gcd_new(rmr_gcd **out, const rmr_gcd_config *config)
{
    rmr_gcd_config cfg;
    rmr_gcd_config_init(&cfg, sizeof cfg);
    memcpy(&cfg, config,
           config->struct_size < sizeof cfg ? config->struct_size : sizeof cfg);
    opening o = {make(&cfg), &cfg, RMR_OK};
    *out = NULL;
    if (!o.g)
        return RMR_E_NOMEM;
    on_queue(o.g, &o, open_all);
    if (o.err == RMR_OK)
        *out = o.g;
    else
        rmr_gcd_free(o.g);
    return o.err;
}

static void close_all(void *context)
{
    rmr_gcd *g = context;
    rmr_posix *p = g->posix;
    g->is_over = true;
    g->posix = NULL;
    rmr_posix_free(p);
    rmri_gcd_one_close(g);
    if (g->timer)
        dispatch_source_cancel(g->timer);
    g->on_end = NULL;
    g->on_turn = NULL;
    dispatch_queue_set_specific(g->queue, g, NULL, NULL);
    rmri_gcd_let_go(g);
}

/* `g` may be gone when the queue comes back. */
void rmr_gcd_free(rmr_gcd *g)
{
    if (!g)
        return;
    dispatch_queue_t queue = g->queue;
    dispatch_group_t closing = g->closing;
    bool is_on_queue = dispatch_get_specific(g) == g;
    dispatch_retain(queue);
    dispatch_retain(closing);
    on_queue(g, g, close_all);
    if (!is_on_queue) /* the cancel handlers run there */
        (void)dispatch_group_wait(closing, DISPATCH_TIME_FOREVER);
    dispatch_release(closing);
    dispatch_release(queue);
}

/* ---- the calls --------------------------------------------------------- */

typedef struct adding {
    rmr_gcd *g;
    const rmr_machine *m;
    rmr_err err;
} adding;

static void add(void *context)
{
    adding *a = context;
    a->err = a->g->is_over ? RMR_E_CLOSED : rmr_posix_add(a->g->posix, a->m);
    rmr_posix_wake(a->g->posix);
}

rmr_err rmr_gcd_add(rmr_gcd *g, const rmr_machine *m)
{
    adding a = {g, m, RMR_OK};
    on_queue(g, &a, add);
    return a.err;
}

dispatch_queue_t rmr_gcd_queue(const rmr_gcd *g)
{
    return g->queue;
}

void rmr_gcd_request_stop(rmr_gcd *g)
{
    rmr_posix_request_stop(g->posix);
}

void rmr_gcd_wake(rmr_gcd *g)
{
    rmr_posix_wake(g->posix);
}
