/* A source for each descriptor and direction: what any host with libdispatch
 * has.  Sources say that a turn is due, no more.
 *
 * A source's descriptor may be closed only when its cancel handler has run,
 * which is later, and on the queue.  io-posix asks its machines for nothing
 * until then, so that what a machine closed is closed when it opens the next
 * one, on the same port maybe. */
#include "gcd_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct direction {
    dispatch_source_t source; /* NULL: never wanted                     */
    bool is_on;               /* a source may be released only when so  */
} direction;

struct gcd_watch {
    rmr_gcd *g;
    int fd;
    int refs; /* sources whose cancel handlers have not run */
    direction in, out;
};

static bool has_room(rmr_gcd *g, int fd)
{
    size_t need = (size_t)fd + 1;
    if (need <= g->cap_watches)
        return true;
    size_t cap = need < 32 ? 64 : need * 2;
    gcd_watch **more = realloc((void *)g->watches, cap * sizeof *more);
    if (!more)
        return false;
    memset((void *)(more + g->cap_watches), 0,
           (cap - g->cap_watches) * sizeof *more);
    g->watches = more;
    g->cap_watches = cap;
    return true;
}

/* NULL: no memory. */
static gcd_watch *watch_of(rmr_gcd *g, int fd)
{
    if (!has_room(g, fd))
        return NULL;
    if (!g->watches[fd]) {
        gcd_watch *w = g->watches[fd] = calloc(1, sizeof *w);
        if (!w)
            return NULL;
        w->g = g;
        w->fd = fd;
        dispatch_group_enter(g->closing);
        rmri_gcd_hold(g);
    }
    return g->watches[fd];
}

static void ready(void *context)
{
    rmri_gcd_turn(((gcd_watch *)context)->g);
}

static void close_now(rmr_gcd *g, int fd)
{
    (void)close(fd);
    if (g->posix)
        rmr_posix_closed(g->posix);
}

static void end(gcd_watch *w)
{
    rmr_gcd *g = w->g;
    direction *both[] = {&w->in, &w->out};
    for (int i = 0; i < 2; i++) {
        if (both[i]->source)
            dispatch_release(both[i]->source);
    }
    g->watches[w->fd] = NULL;
    g->n_closing--;
    close_now(g, w->fd);
    free(w);
    dispatch_group_leave(g->closing);
    rmri_gcd_let_go(g);
}

static void cancelled(void *context)
{
    gcd_watch *w = context;
    rmr_gcd *g = w->g;
    if (--w->refs > 0)
        return;
    rmri_gcd_hold(g);
    end(w);
    if (g->n_closing == 0)
        rmri_gcd_turn(g); /* machines are asked again */
    rmri_gcd_let_go(g);
}

static void set(gcd_watch *w, direction *d, dispatch_source_type_t type,
                bool is_on)
{
    if (!d->source && is_on) {
        d->source = rmri_gcd_source(w->g, type, (uintptr_t)w->fd, w, cancelled);
        w->g->is_blind = w->g->is_blind || !d->source;
        if (d->source)
            dispatch_source_set_event_handler_f(d->source, ready);
    }
    if (!d->source || d->is_on == is_on)
        return;
    d->is_on = is_on;
    if (is_on)
        dispatch_resume(d->source);
    else
        dispatch_suspend(d->source);
}

static void watch(void *user, int fd, bool in, bool out)
{
    rmr_gcd *g = user;
    gcd_watch *w = watch_of(g, fd);
    if (!w) {
        g->is_blind = true;
        return;
    }
    set(w, &w->in, DISPATCH_SOURCE_TYPE_READ, in);
    set(w, &w->out, DISPATCH_SOURCE_TYPE_WRITE, out);
}

static void cancel(gcd_watch *w, direction *d)
{
    if (!d->source)
        return;
    w->refs++;
    dispatch_source_cancel(d->source);
    if (!d->is_on)
        dispatch_resume(d->source); /* else its handler would not run */
    d->is_on = true;
}

static void unwatch(void *user, int fd)
{
    rmr_gcd *g = user;
    gcd_watch *w = (size_t)fd < g->cap_watches ? g->watches[fd] : NULL;
    if (!w) {
        close_now(g, fd);
        return;
    }
    g->n_closing++;
    cancel(w, &w->in);
    cancel(w, &w->out);
    if (w->refs == 0) /* libdispatch had refused both */
        end(w);
}

rmr_posix_watcher rmri_gcd_each(rmr_gcd *g)
{
    return (rmr_posix_watcher){g, watch, unwatch};
}

void rmri_gcd_each_quiet(rmr_gcd *g)
{
    for (size_t i = 0; i < g->cap_watches; i++) {
        if (g->watches[i] && g->watches[i]->refs == 0)
            watch(g, (int)i, false, false);
    }
}
