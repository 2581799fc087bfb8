/* Hosts without what is Linux's alone: no epoll, no netlink, no runs of
 * datagrams.  On Linux -DREMORA_PORTABLE builds this one too, so that it is
 * tested. */
#include "posix_internal.h"

/* ---- epoll.c: waiting is poll(2)'s, or the host's watcher's ------------- */

void rmri_posix_epoll_open(rmr_posix *p)
{
    p->epoll_fd = -1;
}

void rmri_posix_epoll_watch_fd(rmr_posix *p, int *fd)
{
    (void)p;
    (void)fd;
}

void rmri_posix_epoll_sync(rmr_posix *p, obj *o)
{
    (void)p;
    (void)o;
}

void rmri_posix_epoll_forget(rmr_posix *p, obj *o)
{
    (void)p;
    (void)o;
}

int rmri_posix_epoll_wait(rmr_posix *p, int timeout_ms)
{
    (void)p;
    (void)timeout_ms;
    return -1;
}

/* ---- offload.c: a call for each datagram -------------------------------- */

void rmri_posix_offload_open(rmr_posix *p, obj *o)
{
    (void)p;
    o->no_runs = true;
}

size_t rmri_posix_offload_run(const obj *o, size_t len)
{
    (void)o;
    (void)len;
    return 0;
}

ssize_t rmri_posix_offload_send(const obj *o, const os_addr *to, socklen_t len,
                                rmr_bytes run)
{
    return sendto(o->fd, run.ptr, run.len, 0, &to->sa, len);
}

ssize_t rmri_posix_offload_recv(const obj *o, rmr_buf dst, os_addr *from,
                                uint32_t *seg_size)
{
    socklen_t len = sizeof *from;
    *seg_size = 0;
    return recvfrom(o->fd, dst.ptr, dst.len, 0, &from->sa, &len);
}

/* getifaddrs(3) tells them. */
bool rmri_posix_own_addrs(rmr_addr *out, rmr_io_link *of_out, size_t max,
                          size_t *n)
{
    (void)out;
    (void)of_out;
    (void)max;
    (void)n;
    return false;
}
