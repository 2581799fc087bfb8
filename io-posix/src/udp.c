/* Datagrams: UDP, and ICMP echo, which differs in its opening and in what is
 * taken of what comes. */
#include "posix_internal.h"

#include <errno.h>

/* Work for one socket in one turn. */
#define CALLS_A_TURN 64
#define BYTES_A_TURN ((size_t)256 * 1024)

/* As much as a sleepy turn of a fast path needs; the host may give less. */
#define UDP_BUFFER (7 << 20)

#ifndef MSG_NOSIGNAL /* macOS: SO_NOSIGPIPE, see sock.c */
#define MSG_NOSIGNAL 0
#endif

static void set_buffers(int fd)
{
    rmri_posix_set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    rmri_posix_set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
#ifdef SO_RCVBUFFORCE /* beyond the host's bound, where we may */
    rmri_posix_set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER);
    rmri_posix_set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER);
#endif
}

/* No fragments, neither here nor on the way; false: the host can't. */
static bool forbid_fragments(int fd, int family)
{
#if defined(IP_MTU_DISCOVER) && defined(IPV6_MTU_DISCOVER)
    int only = family == AF_INET6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO;
    int name = family == AF_INET6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
#elif defined(IP_DONTFRAG) && defined(IPV6_DONTFRAG)
    int only = 1, name = family == AF_INET6 ? IPV6_DONTFRAG : IP_DONTFRAG;
#else
    int only = 0, name = -1;
#endif
    int level = family == AF_INET6 ? (int)IPPROTO_IPV6 : (int)IPPROTO_IP;
    return name >= 0 && setsockopt(fd, level, name, &only, sizeof only) == 0;
}

void rmri_posix_udp_open(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    socklen_t len = rmri_posix_to_os(&a, &op->addr);
    int fd = len ? rmri_posix_socket(a.sa.sa_family, SOCK_DGRAM, 0) : -1;
    fd = rmri_posix_unless(fd < 0 || bind(fd, &a.sa, len) != 0, fd);
    o = rmri_posix_opened(p, m, op, OBJ_UDP, fd);
    if (!o)
        return;
    set_buffers(fd);
    o->is_whole = op->dont_fragment && forbid_fragments(fd, a.sa.sa_family);
    rmri_posix_offload_open(p, o);
    rmri_posix_tell_opened(p, o);
}

void rmri_posix_icmp_open(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    uint8_t form = ICMP_NONE;
    int fd = rmri_posix_icmp_socket(op->addr.family, &form);
    o = rmri_posix_opened(p, m, op, OBJ_UDP, fd);
    if (!o)
        return;
    o->icmp = form;
    o->to.family = op->addr.family; /* known before anything is sent */
    o->no_runs = true;
    rmri_posix_tell_opened(p, o);
}

/* A run as one call while the host takes that; 0, or errno. */
static int send_some(rmr_posix *p, obj *o, const os_addr *to, socklen_t len,
                     rmr_bytes *rest, bool *is_plain)
{
    size_t n = *is_plain ? 0 : rmri_posix_offload_run(o, rest->len);
    bool is_run = n > 0;
    if (!is_run)
        n = o->seg_size && o->seg_size < rest->len ? o->seg_size : rest->len;
    ssize_t r =
        is_run ? rmri_posix_offload_send(o, to, len, rmr_bytes_of(rest->ptr, n))
               : sendto(o->fd, rest->ptr, n, MSG_NOSIGNAL, &to->sa, len);
    if (r >= 0) {
        rest->ptr += n;
        rest->len -= n;
        p->stats.runs_sent += is_run;
        return 0;
    }
    if (!is_run || rmri_posix_would_block(errno) || errno == EINTR)
        return errno;
    /* EIO: what sends here can't cut; it never will.  EINVAL, EMSGSIZE and the
     * like: this way out can't take such a run.  One by one then, and what is
     * wrong with the datagrams themselves shows there. */
    p->stats.runs_refused++;
    *is_plain = true;
    o->no_runs = o->no_runs || errno == EIO;
    return 0;
}

/* Sends the segments of *rest; 0, or errno with *rest at the refused one. */
static int send_segments(rmr_posix *p, obj *o, rmr_bytes *rest)
{
    os_addr a;
    socklen_t len = rmri_posix_to_os(&a, &o->to);
    bool is_plain = false, was_refused = false;
    do {
        int e = send_some(p, o, &a, len, rest, &is_plain);
        /* The answer to an earlier datagram, which is nobody's error. */
        bool is_old = e == ECONNREFUSED && !was_refused;
        was_refused = e == ECONNREFUSED;
        if (e && e != EINTR && !is_old)
            return e;
        if (e == 0 && rest->len == 0)
            return 0;
    } while (true);
}

void rmri_posix_udp_write(rmr_posix *p, obj *o, rmr_bytes rest)
{
    bool was_blocked = o->out != NULL;
    int e = send_segments(p, o, &rest);
    if (rmri_posix_would_block(e) && rmri_posix_keep(o, rest)) {
        if (!was_blocked)
            rmri_posix_tell_kind(p, o, RMR_IO_BLOCKED);
        return;
    }
    (void)rmri_posix_keep(o, rmr_bytes_of(NULL, 0));
    if (e) {
        bool is_full = e == ENOBUFS || rmri_posix_would_block(e);
        rmr_io_event ev =
            rmri_posix_event(RMR_IO_SEND_FAILED, o->id,
                             is_full ? RMR_E_FULL : rmri_posix_err(e));
        ev.addr = o->to;
        rmri_posix_tell(p, o->m, ev);
    }
    if (was_blocked && o->kind != OBJ_DEAD)
        rmri_posix_tell_kind(p, o, RMR_IO_WRITABLE);
}

void rmri_posix_udp_send(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)m;
    if (o->out)
        return; /* against the rules: BLOCKED was told */
    o->to = op->addr;
    o->seg_size = op->seg_size;
    rmri_posix_udp_write(p, o, op->data);
}

void rmri_posix_udp_read(rmr_posix *p, obj *o)
{
    size_t bytes = 0;
    for (int i = 0;
         i < CALLS_A_TURN && bytes < BYTES_A_TURN && o->kind == OBJ_UDP; i++) {
        os_addr from;
        uint32_t seg_size = 0;
        ssize_t n = rmri_posix_offload_recv(o, rmr_buf_of(p->in, sizeof p->in),
                                            &from, &seg_size);
        if (n < 0 && rmri_posix_would_block(errno))
            return;
        if (n < 0)
            continue; /* news of an earlier datagram, or a signal */
        rmr_io_event ev = rmri_posix_event(RMR_IO_DATAGRAMS, o->id, RMR_OK);
        ev.addr = rmri_posix_from_os(&from);
        ev.data = rmr_buf_of(p->in, (size_t)n);
        ev.seg_size = seg_size;
        bytes += (size_t)n;
        p->stats.runs_received += seg_size != 0;
        if (!o->icmp || rmri_posix_icmp_reply(o, &ev.data))
            rmri_posix_tell(p, o->m, ev);
    }
}
