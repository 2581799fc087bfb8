/* Waiting, by epoll: the kernel keeps what is watched, so that a turn costs by
 * what is ready.  A host that refuses (no memory, no watches left, no epoll) is
 * served by poll(2) from then on, or by the host's watcher. */
#include "posix_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

void rmri_posix_epoll_open(rmr_posix *p)
{
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
}

/* `fd` stays where it is: its address tells it from objects. */
void rmri_posix_epoll_watch_fd(rmr_posix *p, int *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fd};
    if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, *fd, &ev) != 0)
        rmri_posix_watch_anew(p);
}

void rmri_posix_epoll_sync(rmr_posix *p, obj *o)
{
    short wants = rmri_posix_watch_of(o);
    if (wants == o->watched)
        return;
    if (wants < 0) {
        rmri_posix_epoll_forget(p, o);
        return;
    }
    struct epoll_event ev = {.data.ptr = o};
    ev.events = (wants & POLLIN ? (uint32_t)EPOLLIN : 0) |
                (wants & POLLOUT ? (uint32_t)EPOLLOUT : 0);
    int how = o->watched < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    o->watched = wants;
    if (epoll_ctl(p->epoll_fd, how, o->fd, &ev) != 0)
        rmri_posix_watch_anew(p);
}

/* Asked for, though closing does it: a process that the host forked may hold
 * the descriptor, and the kernel would tell of an object that is gone. */
void rmri_posix_epoll_forget(rmr_posix *p, obj *o)
{
    struct epoll_event none = {0};
    if (p->epoll_fd >= 0 && o->watched >= 0)
        (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, o->fd, &none);
    o->watched = -1;
}

static short revents_of(uint32_t events)
{
    short in = events & EPOLLIN ? POLLIN : 0;
    short out = events & EPOLLOUT ? POLLOUT : 0;
    short err = events & EPOLLERR ? POLLERR : 0;
    short hup = events & EPOLLHUP ? POLLHUP : 0;
    return (short)(in | out | err | hup);
}

/* The kernel puts those that it told of at the end of its list: each is first
 * at times. */
int rmri_posix_epoll_wait(rmr_posix *p, int timeout_ms)
{
    struct epoll_event got[READY_MAX];
    int n = epoll_wait(p->epoll_fd, got, READY_MAX, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (got[i].data.ptr == &p->wake[0])
            p->is_woken = true;
        else if (got[i].data.ptr == &p->links.fd)
            p->has_link_news = true;
        else
            p->ready[p->n_ready++] =
                (ready){got[i].data.ptr, revents_of(got[i].events)};
    }
    return n;
}
