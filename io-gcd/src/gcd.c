/* Turns of io-posix, taken when libdispatch says that there is something to
 * take.  All but the entry points runs on the one queue. */
#include "gcd_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How late a timer may come, so that the host can merge wake-ups: one in
 * sixteen of the wait. */
#define LEEWAY_PART 16
#define LEEWAY_MAX (500 * RMR_MS)
/* Without a descriptor for all (the host has no watches left) we look by the
 * clock. */
#define BLIND_EVERY (10 * RMR_MS)

/* ---- turns ------------------------------------------------------------- */

static void set_timer(const rmr_gcd *g)
{
    rmr_time at = rmr_posix_next_deadline(g->posix), now = rmr_posix_now();
    if (!g->has_fd)
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
    dispatch_source_cancel(g->input);
    dispatch_source_cancel(g->timer);
    if (g->on_end)
        g->on_end(g->user, result);
}

void rmri_gcd_turn(void *context)
{
    rmr_gcd *g = context;
    size_t running = 0;
    if (g->is_over)
        return;
    rmr_err err = rmr_posix_turn(g->posix, 0, &running);
    g->has_fd = g->has_fd && rmr_posix_fd(g->posix) >= 0;
    if (err == RMR_OK && running > 0)
        set_timer(g);
    else
        end(g, err != RMR_OK ? err : rmr_posix_result(g->posix));
    if (g->on_turn)
        g->on_turn(g->watcher, running);
}

/* ---- life -------------------------------------------------------------- */

/* The last of the owner and the sources' cancellations frees it. */
static void let_go(void *context)
{
    rmr_gcd *g = context;
    if (--g->refs > 0)
        return;
    if (g->fd >= 0)
        (void)close(g->fd);
    /* Both are retained while their handlers run, and so is the queue. */
    if (g->input)
        dispatch_release(g->input);
    if (g->timer)
        dispatch_release(g->timer);
    dispatch_release(g->queue);
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

static dispatch_source_t source(rmr_gcd *g, dispatch_source_type_t type,
                                uintptr_t handle)
{
    dispatch_source_t s = dispatch_source_create(type, handle, 0, g->queue);
    if (!s)
        return NULL;
    dispatch_set_context(s, g);
    dispatch_source_set_event_handler_f(s, rmri_gcd_turn);
    dispatch_source_set_cancel_handler_f(s, let_go);
    g->refs++;
    return s;
}

/* A source's descriptor may be closed only when it has been cancelled, and
 * io-posix closes its own when it likes. */
static rmr_err open_sources(rmr_gcd *g)
{
    int fd = rmr_posix_fd(g->posix);
    if (fd < 0)
        return RMR_E_UNSUPPORTED;
    g->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (g->fd < 0)
        return RMR_E_NOFILES;
    g->has_fd = true;
    g->input = source(g, DISPATCH_SOURCE_TYPE_READ, (uintptr_t)g->fd);
    g->timer = source(g, DISPATCH_SOURCE_TYPE_TIMER, 0);
    return g->input && g->timer ? RMR_OK : RMR_E_NOMEM;
}

static rmr_err open_posix(rmr_gcd *g, const rmr_gcd_config *cfg)
{
    rmr_posix_config pc;
    rmr_posix_config_init(&pc, sizeof pc);
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

rmr_err rmr_gcd_new(rmr_gcd **out, const rmr_gcd_config *config)
{
    rmr_gcd_config cfg;
    rmr_gcd *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return RMR_E_NOMEM;
    rmr_gcd_config_init(&cfg, sizeof cfg);
    memcpy(&cfg, config,
           config->struct_size < sizeof cfg ? config->struct_size : sizeof cfg);
    g->fd = -1;
    g->refs = 1;
    g->user = cfg.user;
    g->on_end = cfg.on_end;
    g->queue = take_queue(g, cfg.queue);
    if (!g->queue) {
        free(g);
        return RMR_E_NOMEM;
    }
    rmr_err err = open_posix(g, &cfg);
    if (err == RMR_OK)
        err = open_sources(g);
    /* A source must run once to be cancelled. */
    if (g->input)
        dispatch_resume(g->input);
    if (g->timer)
        dispatch_resume(g->timer);
    if (err == RMR_OK)
        *out = g;
    else
        rmr_gcd_free(g);
    return err;
}

static void close_all(void *context)
{
    rmr_gcd *g = context;
    g->is_over = true;
    rmr_posix_free(g->posix);
    if (g->input)
        dispatch_source_cancel(g->input);
    if (g->timer)
        dispatch_source_cancel(g->timer);
    g->on_end = NULL;
    g->on_turn = NULL;
    dispatch_queue_set_specific(g->queue, g, NULL, NULL);
    let_go(g);
}

void rmr_gcd_free(rmr_gcd *g)
{
    if (!g)
        return;
    /* `g` may be gone when the queue comes back. */
    dispatch_queue_t queue = g->queue;
    dispatch_retain(queue);
    on_queue(g, g, close_all);
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
