/* Who watches the descriptors between turns: the kernel by one of its own
 * (epoll.c), the host one by one (rmr_posix_watcher), or nobody, and then each
 * turn waits in poll(2).  What is ready is found in the turn itself: a watcher
 * only says that one is due, so that what it says too late or twice does no
 * harm. */
#include "posix_internal.h"

#include <unistd.h>

/* How often streams are looked at for which no watcher can wait: nothing is
 * wanted of them, but that they were reset is still told. */
#define DEAF_EVERY RMR_SEC

static bool has_watcher(const rmr_posix *p)
{
    return p->epoll_fd < 0 && p->watcher.watch;
}

void rmri_posix_watch_fd(rmr_posix *p, int *fd)
{
    if (p->epoll_fd >= 0)
        rmri_posix_epoll_watch_fd(p, fd);
    if (has_watcher(p))
        p->watcher.watch(p->watcher.user, *fd, true, false);
}

static void set_deaf(rmr_posix *p, obj *o, bool is_deaf)
{
    p->n_deaf += is_deaf;
    p->n_deaf -= o->is_deaf;
    o->is_deaf = is_deaf;
    if (p->n_deaf == 0)
        p->deaf_due = RMR_TIME_NEVER;
    else if (p->deaf_due == RMR_TIME_NEVER)
        p->deaf_due = rmr_time_add(p->now, DEAF_EVERY);
}

static void tell_watcher(rmr_posix *p, obj *o)
{
    short wants = rmri_posix_watch_of(o);
    bool is_stream = o->kind == OBJ_STREAM || o->kind == OBJ_CLOSING;
    if (o->fd < 0)
        return;
    set_deaf(p, o, wants == 0 && is_stream);
    if (wants < 0)
        wants = 0;
    if (wants == o->watched || (wants == 0 && o->watched < 0))
        return;
    o->watched = wants;
    p->watcher.watch(p->watcher.user, o->fd, (wants & POLLIN) != 0,
                     (wants & POLLOUT) != 0);
}

void rmri_posix_watch_sync(rmr_posix *p, obj *o)
{
    if (p->epoll_fd >= 0)
        rmri_posix_epoll_sync(p, o);
    if (has_watcher(p))
        tell_watcher(p, o);
}

void rmri_posix_watch_anew(rmr_posix *p)
{
    (void)close(p->epoll_fd);
    p->epoll_fd = -1;
    for (size_t i = 0; i < p->n_objs; i++) {
        p->objs[i]->watched = -1;
        rmri_posix_changed(p, p->objs[i]);
    }
    rmri_posix_watch_fd(p, &p->wake[0]);
    if (p->links.fd >= 0)
        rmri_posix_watch_fd(p, &p->links.fd);
}

static void close_now(rmr_posix *p, int fd)
{
    bool was_closed = close(fd) == 0;
    p->has_room = p->has_room || was_closed;
}

void rmri_posix_watch_close(rmr_posix *p, int fd, bool is_watched)
{
    if (fd < 0)
        return;
    if (!is_watched || !has_watcher(p)) {
        close_now(p, fd);
        return;
    }
    p->n_closing++;
    p->watcher.close(p->watcher.user, fd);
}

void rmri_posix_watch_drop(rmr_posix *p, obj *o)
{
    bool is_watched = o->watched >= 0;
    set_deaf(p, o, false);
    rmri_posix_epoll_forget(p, o);
    rmri_posix_watch_close(p, o->fd, is_watched);
    o->watched = -1;
    o->fd = -1;
}

void rmr_posix_closed(rmr_posix *p)
{
    p->n_closing--;
    p->has_room = true;
}

void rmri_posix_watch_looked(rmr_posix *p)
{
    if (p->now >= p->deaf_due)
        p->deaf_due = rmr_time_add(p->now, DEAF_EVERY);
}
