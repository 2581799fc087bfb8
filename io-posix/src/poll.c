/* Waiting, by poll(2): the portable form, whose cost is by what is open. */
#include "posix_internal.h"

#include <stdlib.h>

#define OWN_FDS 2 /* of wake and of links */

short rmri_posix_watch_of(const obj *o)
{
    short wants = rmri_posix_wants(o);
    /* Without wishes it is still asked for errors, once. */
    return wants == 0 && (o->is_hup || o->kind == OBJ_STORE) ? -1 : wants;
}

bool rmri_posix_poll_reserve(rmr_posix *p, size_t n_objs)
{
    if (p->epoll_fd >= 0 || p->cap_fds >= n_objs + OWN_FDS)
        return true;
    struct pollfd *fds = realloc(p->fds, (n_objs + OWN_FDS) * sizeof *fds);
    if (!fds)
        return false;
    p->fds = fds;
    p->cap_fds = n_objs + OWN_FDS;
    return true;
}

static bool gather(rmr_posix *p)
{
    if (!rmri_posix_poll_reserve(p, p->cap_objs)) /* after epoll gave up */
        return false;
    p->fds[0] = (struct pollfd){p->wake[0], POLLIN, 0};
    p->fds[1] = (struct pollfd){p->links.fd, POLLIN, 0};
    for (size_t i = 0; i < p->n_objs; i++) {
        const obj *o = p->objs[i];
        short wants = rmri_posix_watch_of(o);
        p->fds[i + OWN_FDS] =
            (struct pollfd){wants < 0 ? -1 : o->fd, wants < 0 ? 0 : wants, 0};
    }
    return true;
}

/* Those that are ready; the next turn begins behind the last one taken, so
 * that each is first at times. */
static void collect(rmr_posix *p)
{
    size_t at = p->poll_at;
    for (size_t i = 0; i < p->n_objs && p->n_ready < READY_MAX; i++) {
        at = at < p->n_objs ? at : 0;
        short revents = p->fds[at + OWN_FDS].revents;
        if (revents) {
            p->ready[p->n_ready++] = (ready){p->objs[at], revents};
            if (p->n_ready == 1)
                p->poll_at = at + 1;
        }
        at++;
    }
    if (p->n_ready == READY_MAX)
        p->poll_at = at;
}

int rmri_posix_wait(rmr_posix *p, int timeout_ms)
{
    p->n_ready = 0;
    p->is_woken = p->has_link_news = false;
    if (p->epoll_fd >= 0)
        return rmri_posix_epoll_wait(p, timeout_ms);
    if (!gather(p))
        return -1;
    int n = poll(p->fds, (nfds_t)(p->n_objs + OWN_FDS), timeout_ms);
    if (n <= 0)
        return n;
    p->is_woken = p->fds[0].revents != 0;
    p->has_link_news = p->fds[1].revents != 0;
    collect(p);
    return n;
}
