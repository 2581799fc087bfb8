/* Runs of equal datagrams in one call: Linux cuts them up behind the socket
 * (UDP_SEGMENT) and joins what came in a row from one sender (UDP_GRO). */
#include "posix_internal.h"

#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT /* an old C library; the kernel may be newer */
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

#define MAX_SEGMENTS 64         /* of older kernels: UDP_MAX_SEGMENTS */
#define MAX_RUN ((size_t)65507) /* a datagram's payload, RFC 768, IPv4 */

/* A kernel that does not know the option would send a run as one datagram, so
 * it is asked at first. */
void rmri_posix_offload_open(rmr_posix *p, obj *o)
{
    int size = 0, on = 1;
    socklen_t len = sizeof size;
    o->no_runs = p->no_offload ||
                 getsockopt(o->fd, IPPROTO_UDP, UDP_SEGMENT, &size, &len) != 0;
    if (!p->no_offload) /* refused: they come one by one */
        (void)setsockopt(o->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
}

size_t rmri_posix_offload_run(const obj *o, size_t len)
{
    size_t seg = o->seg_size;
    if (o->no_runs || seg == 0 || len <= seg || seg > MAX_RUN / 2)
        return 0;
    size_t n = MAX_RUN / seg < MAX_SEGMENTS ? MAX_RUN / seg : MAX_SEGMENTS;
    return n * seg < len ? n * seg : len;
}

typedef union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
} control;

static struct msghdr message(struct iovec *part, const void *ptr, size_t len,
                             const os_addr *a, control *c)
{
    struct msghdr m;
    memset(&m, 0, sizeof m);
    memset(c, 0, sizeof *c);
    memcpy(&part->iov_base, &ptr, sizeof ptr); /* not const there */
    part->iov_len = len;
    m.msg_iov = part;
    m.msg_iovlen = 1;
    memcpy(&m.msg_name, &a, sizeof a);
    m.msg_namelen = sizeof *a;
    m.msg_control = c->bytes;
    m.msg_controllen = sizeof c->bytes;
    return m;
}

ssize_t rmri_posix_offload_send(const obj *o, const os_addr *to, socklen_t len,
                                rmr_bytes run)
{
    control c;
    struct iovec part;
    uint16_t seg = (uint16_t)o->seg_size;
    struct msghdr m = message(&part, run.ptr, run.len, to, &c);
    m.msg_namelen = len;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = IPPROTO_UDP;
    h->cmsg_type = UDP_SEGMENT;
    h->cmsg_len = CMSG_LEN(sizeof seg);
    memcpy(CMSG_DATA(h), &seg, sizeof seg);
    m.msg_controllen = CMSG_SPACE(sizeof seg);
    return sendmsg(o->fd, &m, MSG_NOSIGNAL);
}

ssize_t rmri_posix_offload_recv(const obj *o, rmr_buf dst, os_addr *from,
                                uint32_t *seg_size)
{
    control c;
    struct iovec part;
    struct msghdr m = message(&part, dst.ptr, dst.len, from, &c);
    ssize_t n = recvmsg(o->fd, &m, 0);
    for (struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; h;
         h = CMSG_NXTHDR(&m, h)) {
        int size = 0;
        if (h->cmsg_level != IPPROTO_UDP || h->cmsg_type != UDP_GRO)
            continue;
        memcpy(&size, CMSG_DATA(h), sizeof size);
        *seg_size = size > 0 && size < n ? (uint32_t)size : 0;
    }
    return n;
}
