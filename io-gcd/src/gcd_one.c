/* One source for all descriptors: io-posix has one that stands for them, where
 * the host's kernel does (epoll). */
#include "gcd_internal.h"

#include <fcntl.h>
#include <unistd.h>

static void cancelled(void *context)
{
    rmr_gcd *g = context;
    (void)close(g->fd);
    dispatch_release(g->input);
    g->input = NULL;
    dispatch_group_leave(g->closing);
    rmri_gcd_let_go(g);
}

/* The descriptor is a copy: a source's may be closed only when it has been
 * cancelled, and io-posix closes its own when it likes. */
void rmri_gcd_one_open(rmr_gcd *g)
{
    int fd = rmr_posix_fd(g->posix);
    g->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (g->fd < 0) {
        g->is_blind = fd >= 0;
        return;
    }
    g->input = rmri_gcd_source(g, DISPATCH_SOURCE_TYPE_READ, (uintptr_t)g->fd,
                               g, cancelled);
    if (!g->input) {
        (void)close(g->fd);
        g->is_blind = true;
        return;
    }
    dispatch_source_set_event_handler_f(g->input, rmri_gcd_turn);
    dispatch_group_enter(g->closing);
    rmri_gcd_hold(g);
    dispatch_resume(g->input);
}

void rmri_gcd_one_close(rmr_gcd *g)
{
    if (g->input)
        dispatch_source_cancel(g->input);
}
