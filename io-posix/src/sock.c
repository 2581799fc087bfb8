/* Addresses and descriptors of the system, and what its sockets did not take. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

rmr_addr rmri_posix_from_os(const os_addr *a)
{
    rmr_addr out;
    memset(&out, 0, sizeof out);
    if (a->sa.sa_family == AF_INET) {
        out = rmr_addr_from_bytes(rmr_bytes_of(&a->v4.sin_addr, 4),
                                  ntohs(a->v4.sin_port));
    } else if (a->sa.sa_family == AF_INET6) {
        out = rmr_addr_from_bytes(rmr_bytes_of(&a->v6.sin6_addr, 16),
                                  ntohs(a->v6.sin6_port));
        out.zone = a->v6.sin6_scope_id;
    }
    return out;
}

socklen_t rmri_posix_to_os(os_addr *out, const rmr_addr *a)
{
    memset(out, 0, sizeof *out);
    if (a->family == RMR_AF_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        memcpy(&out->v4.sin_addr, a->ip, 4);
        return sizeof out->v4;
    }
    errno = EAFNOSUPPORT;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    out->v6.sin6_scope_id = a->zone;
    memcpy(&out->v6.sin6_addr, a->ip, 16);
    return a->family == RMR_AF_INET6 ? sizeof out->v6 : 0;
}

bool rmri_posix_would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK;
}

int rmri_posix_unless(bool failed, int fd)
{
    int e = errno;
    if (failed && fd >= 0)
        (void)close(fd);
    errno = e;
    return failed ? -1 : fd;
}

int rmri_posix_set_up(int fd)
{
    return rmri_posix_unless(fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                                 fcntl(fd, F_SETFL, O_NONBLOCK) != 0,
                             fd);
}

void rmri_posix_set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

int rmri_posix_socket(int family, int type, int protocol)
{
    int fd = rmri_posix_set_up(socket(family, type, protocol));
    if (fd >= 0 && family == AF_INET6)
        rmri_posix_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
#ifdef SO_NOSIGPIPE
    rmri_posix_set_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}

obj *rmri_posix_opened(rmr_posix *p, mach *m, const rmr_io_op *op,
                       obj_kind kind, int fd)
{
    int e = errno;
    obj *o = fd >= 0 ? rmri_posix_new(p, m, op->id, kind, fd) : NULL;
    if (!o)
        rmri_posix_tell(
            p, m,
            rmri_posix_event(RMR_IO_FAILED, op->id,
                             fd >= 0 ? RMR_E_IO : rmri_posix_err(e)));
    return o;
}

void rmri_posix_tell_kind(rmr_posix *p, const obj *o, rmr_io_event_kind kind)
{
    rmri_posix_tell(p, o->m, rmri_posix_event(kind, o->id, RMR_OK));
}

void rmri_posix_tell_opened(rmr_posix *p, const obj *o)
{
    os_addr a;
    socklen_t len = sizeof a;
    rmr_io_event ev = rmri_posix_event(RMR_IO_OPENED, o->id, RMR_OK);
    ev.dont_fragment = o->is_whole;
    if (getsockname(o->fd, &a.sa, &len) == 0)
        ev.addr = rmri_posix_from_os(&a);
    rmri_posix_tell(p, o->m, ev);
}

bool rmri_posix_keep(obj *o, rmr_bytes rest)
{
    if (o->out) {
        o->out_at = o->out_len - rest.len;
    } else if (rest.len) {
        o->out = malloc(rest.len);
        if (!o->out)
            return false;
        memcpy(o->out, rest.ptr, rest.len);
        o->out_len = rest.len;
        o->out_at = 0;
    }
    if (rest.len == 0) {
        free(o->out);
        o->out = NULL;
    }
    return true;
}

rmr_bytes rmri_posix_kept(const obj *o)
{
    return rmr_bytes_of(o->out + o->out_at, o->out_len - o->out_at);
}
