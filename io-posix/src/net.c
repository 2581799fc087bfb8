/* Sockets: datagrams, streams, listeners, local endpoints. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Work for one socket in one turn. */
#define DATAGRAMS_A_TURN 64
#define READS_A_TURN 4
#define ACCEPTS_A_TURN 16

#define BACKLOG 256
#define UDP_BUFFER (1 << 20)
#define CONNECT_TIMEOUT (30 * RMR_SEC)
#define CLOSE_SEND (10 * RMR_SEC) /* without progress                       */
#define CLOSE_READ (2 * RMR_SEC)  /* for what is still coming, see linger() */
#define LISTENER_REST RMR_SEC     /* when there are no descriptors          */

#ifndef MSG_NOSIGNAL /* macOS: SO_NOSIGPIPE, see new_socket() */
#define MSG_NOSIGNAL 0
#endif

typedef union os_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
} os_addr;

static rmr_addr from_os(const os_addr *a)
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

/* 0 and errno: there is no such address. */
static socklen_t to_os(os_addr *out, const rmr_addr *a)
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

/* The same for an operation, which may name a local endpoint. */
static socklen_t op_addr(const rmr_posix *p, const rmr_io_op *op, os_addr *out)
{
    char name[NAME_SIZE];
    if (op->name.len == 0)
        return to_os(out, &op->addr);
    errno = EOPNOTSUPP;
    if (!p->dir || !rmri_posix_name(op->name, name))
        return 0;
    memset(out, 0, sizeof *out);
    out->un.sun_family = AF_UNIX;
    int n = snprintf(out->un.sun_path, sizeof out->un.sun_path, "%s/%s", p->dir,
                     name);
    if (n > 0 && (size_t)n < sizeof out->un.sun_path)
        return sizeof out->un;
    rmr_logf(&p->log, RMR_LOG_ERROR, "posix",
             "%s/%s: the path is too long for a local socket", p->dir, name);
    errno = EMSGSIZE; /* TOOBIG: not the same as an adapter without them */
    return 0;
}

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK;
}

/* -1: closes it and keeps errno. */
static int unless(bool failed, int fd)
{
    int e = errno;
    if (failed && fd >= 0)
        (void)close(fd);
    errno = e;
    return failed ? -1 : fd;
}

static int set_up(int fd)
{
    return unless(fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                      fcntl(fd, F_SETFL, O_NONBLOCK) != 0,
                  fd);
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static int new_socket(const os_addr *a, socklen_t len, int type)
{
    int fd = len ? set_up(socket(a->sa.sa_family, type, 0)) : -1;
    if (fd >= 0 && a->sa.sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
#ifdef SO_NOSIGPIPE
    set_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}

/* The object of an operation that opens; FAILED and NULL: fd is -1, or there
 * is no memory. */
static obj *opened(rmr_posix *p, mach *m, const rmr_io_op *op, obj_kind kind,
                   int fd)
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

static void tell(rmr_posix *p, const obj *o, rmr_io_event_kind kind)
{
    rmri_posix_tell(p, o->m, rmri_posix_event(kind, o->id, RMR_OK));
}

static void tell_opened(rmr_posix *p, const obj *o)
{
    os_addr a;
    socklen_t len = sizeof a;
    rmr_io_event ev = rmri_posix_event(RMR_IO_OPENED, o->id, RMR_OK);
    if (getsockname(o->fd, &a.sa, &len) == 0)
        ev.addr = from_os(&a);
    rmri_posix_tell(p, o->m, ev);
}

/* What the socket did not take stays in `out`; false: no memory for it. */
static bool keep(obj *o, rmr_bytes rest)
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

static rmr_bytes kept(const obj *o)
{
    return rmr_bytes_of(o->out + o->out_at, o->out_len - o->out_at);
}

/* ---- datagrams
 * --------------------------------------------------------------- */

void rmri_posix_udp_open(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    socklen_t len = to_os(&a, &op->addr);
    int fd = new_socket(&a, len, SOCK_DGRAM);
    fd = unless(fd < 0 || bind(fd, &a.sa, len) != 0, fd);
    o = opened(p, m, op, OBJ_UDP, fd);
    if (!o)
        return;
    set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
    tell_opened(p, o);
}

/* Sends the segments of *rest; 0, or errno with *rest at the refused one. */
static int send_segments(const obj *o, rmr_bytes *rest)
{
    os_addr a;
    socklen_t len = to_os(&a, &o->to);
    do {
        size_t n = rest->len;
        if (o->seg_size && o->seg_size < n)
            n = o->seg_size;
        if (sendto(o->fd, rest->ptr, n, MSG_NOSIGNAL, &a.sa, len) >= 0) {
            rest->ptr += n;
            rest->len -= n;
        } else if (errno != EINTR) {
            return errno;
        }
    } while (rest->len);
    return 0;
}

static void udp_write(rmr_posix *p, obj *o, rmr_bytes rest)
{
    bool was_blocked = o->out != NULL;
    int e = send_segments(o, &rest);
    if (would_block(e) && keep(o, rest)) {
        if (!was_blocked)
            tell(p, o, RMR_IO_BLOCKED);
        return;
    }
    (void)keep(o, rmr_bytes_of(NULL, 0));
    if (e) {
        bool is_full = e == ENOBUFS || would_block(e);
        rmr_io_event ev =
            rmri_posix_event(RMR_IO_SEND_FAILED, o->id,
                             is_full ? RMR_E_FULL : rmri_posix_err(e));
        ev.addr = o->to;
        rmri_posix_tell(p, o->m, ev);
    }
    if (was_blocked && o->kind != OBJ_DEAD)
        tell(p, o, RMR_IO_WRITABLE);
}

void rmri_posix_udp_send(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)m;
    if (o->out)
        return; /* against the rules: BLOCKED was told */
    o->to = op->addr;
    o->seg_size = op->seg_size;
    udp_write(p, o, op->data);
}

static void udp_read(rmr_posix *p, obj *o)
{
    for (int i = 0; i < DATAGRAMS_A_TURN && o->kind == OBJ_UDP; i++) {
        os_addr from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(o->fd, p->in, PART_MAX, 0, &from.sa, &len);
        if (n < 0 && would_block(errno))
            return;
        if (n < 0)
            continue; /* news of an earlier datagram, or a signal */
        rmr_io_event ev = rmri_posix_event(RMR_IO_DATAGRAMS, o->id, RMR_OK);
        ev.addr = from_os(&from);
        ev.data = rmr_buf_of(p->in, (size_t)n);
        rmri_posix_tell(p, o->m, ev);
    }
}

/* ---- streams
 * ------------------------------------------------------------------- */

void rmri_posix_connect(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    socklen_t len = op_addr(p, op, &a);
    int fd = new_socket(&a, len, SOCK_STREAM);
    if (fd >= 0 && connect(fd, &a.sa, len) != 0 && errno != EINPROGRESS) {
        /* A local listener with a full queue says "again", but never when. */
        errno = would_block(errno) ? ECONNREFUSED : errno;
        fd = unless(true, fd);
    }
    o = opened(p, m, op, OBJ_CONNECTING, fd);
    if (o)
        o->deadline =
            rmr_time_add(p->now, op->timeout ? op->timeout : CONNECT_TIMEOUT);
}

/* Ends it: its id is nobody's any more when the machine hears of it. */
static void lose(rmr_posix *p, obj *o, rmr_io_event_kind kind, rmr_err err)
{
    mach *m = o->m;
    rmr_io_event ev = rmri_posix_event(kind, o->id, err);
    bool is_known = o->kind != OBJ_CLOSING;
    rmri_posix_drop(p, o);
    if (is_known)
        rmri_posix_tell(p, m, ev);
}

static int socket_error(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 ? e : errno;
}

static void connected(rmr_posix *p, obj *o)
{
    int e = socket_error(o->fd);
    if (e) {
        lose(p, o, RMR_IO_FAILED, rmri_posix_err(e));
        return;
    }
    o->kind = OBJ_STREAM;
    o->deadline = RMR_TIME_NEVER;
    set_option(o->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    tell_opened(p, o);
}

void rmri_posix_read(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    size_t room = SIZE_MAX - o->credit;
    (void)p;
    (void)m;
    o->credit += op->credit < room ? op->credit : room;
}

static void stream_read(rmr_posix *p, obj *o)
{
    for (int i = 0; i < READS_A_TURN && o->kind == OBJ_STREAM; i++) {
        size_t want = o->credit < PART_MAX ? o->credit : PART_MAX;
        ssize_t n = want ? recv(o->fd, p->in, want, 0) : -1;
        if (want == 0 || (n < 0 && (would_block(errno) || errno == EINTR)))
            return;
        if (n < 0) {
            lose(p, o, RMR_IO_RESET, rmri_posix_err(errno));
            return;
        }
        rmr_io_event ev =
            rmri_posix_event(n ? RMR_IO_BYTES : RMR_IO_EOF, o->id, RMR_OK);
        ev.data = rmr_buf_of(p->in, (size_t)n);
        o->credit -= (size_t)n;
        o->is_eof = n == 0;
        rmri_posix_tell(p, o->m, ev);
        if ((size_t)n < want)
            return;
    }
}

/* After CLOSE: what is queued is sent; then bytes that still come in are read
 * and dropped for a short time, because closing a socket with unread bytes
 * resets it, and the reset would overtake what was just sent. */
static void linger(rmr_posix *p, obj *o)
{
    o->deadline = rmr_time_add(p->now, o->out ? CLOSE_SEND : CLOSE_READ);
    if (o->out)
        return;
    (void)shutdown(o->fd, SHUT_WR);
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(o->fd, p->in, PART_MAX, 0);
        if (n < 0 && would_block(errno) && o->m->is_live)
            return;
        if (n <= 0) {
            rmri_posix_drop(p, o);
            return;
        }
    }
}

static void stream_write(rmr_posix *p, obj *o, rmr_bytes rest)
{
    int e = 0;
    while (rest.len && e == 0) {
        ssize_t n = send(o->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        rest.ptr += n > 0 ? n : 0;
        rest.len -= n > 0 ? (size_t)n : 0;
        e = n < 0 && errno != EINTR ? errno : 0;
    }
    if ((e && !would_block(e)) || !keep(o, rest)) {
        lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
        return;
    }
    if (o->kind == OBJ_CLOSING) {
        linger(p, o);
    } else if (!o->out) {
        if (o->is_shut)
            (void)shutdown(o->fd, SHUT_WR);
        tell(p, o, RMR_IO_SENT);
    }
}

void rmri_posix_send(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)m;
    if (o->out || o->is_shut) /* against the rules */
        lose(p, o, RMR_IO_RESET, RMR_E_STATE);
    else
        stream_write(p, o, op->data);
}

void rmri_posix_shutdown(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)p;
    (void)m;
    (void)op;
    if (!o->out && !o->is_shut)
        (void)shutdown(o->fd, SHUT_WR);
    o->is_shut = true;
}

void rmri_posix_close(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)m;
    (void)op;
    if (o->kind == OBJ_STREAM && (o->out || !o->is_eof))
        o->kind = OBJ_CLOSING;
    if (o->kind == OBJ_CLOSING)
        linger(p, o);
    else
        rmri_posix_drop(p, o);
}

void rmri_posix_abort(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    struct linger none = {1, 0};
    (void)m;
    (void)op;
    (void)setsockopt(o->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    rmri_posix_drop(p, o);
}

/* ---- listeners
 * ------------------------------------------------------------------- */

/* Whether what is there is a socket on which nobody answers. */
static bool is_stale(const rmr_posix *p, const os_addr *a, const char *name)
{
    struct stat st;
    if (fstatat(p->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISSOCK(st.st_mode))
        return false;
    int fd = new_socket(a, sizeof a->un, SOCK_STREAM);
    bool is_refused = fd >= 0 && connect(fd, &a->sa, sizeof a->un) != 0 &&
                      errno == ECONNREFUSED;
    (void)unless(true, fd);
    return is_refused;
}

/* The lock on the directory keeps another process from taking a socket between
 * bind and listen for a stale one.  umask: there is no moment at which others
 * could connect. */
static int listen_local(const rmr_posix *p, const os_addr *a, const char *name,
                        int fd)
{
    (void)flock(p->dir_fd, LOCK_EX);
    mode_t mask = umask(0177);
    int r = bind(fd, &a->sa, sizeof a->un);
    if (r != 0 && errno == EADDRINUSE) {
        if (is_stale(p, a, name) && unlinkat(p->dir_fd, name, 0) == 0)
            r = bind(fd, &a->sa, sizeof a->un);
        else
            errno = EADDRINUSE;
    }
    (void)umask(mask);
    fd = unless(r != 0 || listen(fd, BACKLOG) != 0, fd);
    int e = errno;
    (void)flock(p->dir_fd, LOCK_UN);
    errno = e;
    return fd;
}

void rmri_posix_listen(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    char name[NAME_SIZE];
    socklen_t len = op_addr(p, op, &a);
    int fd = new_socket(&a, len, SOCK_STREAM);
    bool is_local = op->name.len && rmri_posix_name(op->name, name);
    if (fd >= 0 && is_local) {
        fd = listen_local(p, &a, name, fd);
    } else if (fd >= 0) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        fd = unless(bind(fd, &a.sa, len) != 0 || listen(fd, BACKLOG) != 0, fd);
    }
    o = opened(p, m, op, OBJ_LISTENER, fd);
    if (!o)
        return;
    if (is_local)
        o->name = strdup(name);
    tell_opened(p, o);
}

void rmri_posix_pause(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)p;
    (void)m;
    o->is_paused = op->kind == RMR_IO_ACCEPT_PAUSE;
    o->deadline = RMR_TIME_NEVER;
}

static void accepted(rmr_posix *p, const obj *listener, const os_addr *from,
                     int fd)
{
    rmr_io_event ev = rmri_posix_event(RMR_IO_ACCEPTED, listener->id, RMR_OK);
    ev.child = RMR_IO_ADAPTER_ID | ++p->n_accepted;
    ev.addr = from_os(from);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rmri_posix_new(p, listener->m, ev.child, OBJ_STREAM, fd))
        rmri_posix_tell(p, listener->m, ev);
}

static void accept_some(rmr_posix *p, obj *o)
{
    /* The machine may pause or close the listener each time. */
    for (int i = 0;
         i < ACCEPTS_A_TURN && o->kind == OBJ_LISTENER && !o->is_paused; i++) {
        os_addr from;
        socklen_t len = sizeof from;
        memset(&from, 0, sizeof from);
        int fd = set_up(accept(o->fd, &from.sa, &len));
        int e = fd < 0 ? errno : 0;
        if (would_block(e))
            return;
        if (e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM) {
            /* It stays readable: without a rest the loop would spin. */
            o->deadline = rmr_time_add(p->now, LISTENER_REST);
            rmri_posix_tell(p, o->m,
                            rmri_posix_event(RMR_IO_ACCEPT_FAILED, o->id,
                                             rmri_posix_err(e)));
            return;
        }
        if (fd < 0)
            continue; /* that one went away again */
        accepted(p, o, &from, fd);
        if (o->kind == OBJ_LISTENER)
            rmri_posix_drain(p, o->m);
    }
}

/* ---- what poll saw
 * ----------------------------------------------------------------- */

short rmri_posix_wants(const obj *o)
{
    short out = o->out ? POLLOUT : 0;
    switch (o->kind) {
    case OBJ_UDP:
        return (short)(POLLIN | out);
    case OBJ_LISTENER:
        return o->is_paused || o->deadline != RMR_TIME_NEVER ? 0 : POLLIN;
    case OBJ_CONNECTING:
        return POLLOUT;
    case OBJ_STREAM:
        return (short)(o->credit && !o->is_eof ? POLLIN | out : out);
    case OBJ_CLOSING:
        return out ? out : POLLIN;
    default:
        return 0;
    }
}

void rmri_posix_ready(rmr_posix *p, obj *o, short revents)
{
    short wants = rmri_posix_wants(o);
    if (o->kind == OBJ_CONNECTING) {
        connected(p, o);
    } else if (o->kind == OBJ_LISTENER) {
        accept_some(p, o);
    } else if (wants == 0) { /* an error or a hang-up, unasked */
        int e = socket_error(o->fd);
        o->is_hup = true;
        if (e)
            lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
        return;
    }
    if ((wants & POLLOUT) && (revents & ~POLLIN)) {
        if (o->kind == OBJ_UDP)
            udp_write(p, o, kept(o));
        else if (o->out)
            stream_write(p, o, kept(o));
    }
    if (!(wants & POLLIN) || !(revents & ~POLLOUT))
        return;
    if (o->kind == OBJ_UDP)
        udp_read(p, o);
    else if (o->kind == OBJ_CLOSING && !o->out)
        linger(p, o);
    else if (o->kind == OBJ_STREAM && !o->is_eof)
        stream_read(p, o);
}

void rmri_posix_expire(rmr_posix *p, obj *o)
{
    if (o->kind == OBJ_CONNECTING)
        lose(p, o, RMR_IO_FAILED, RMR_E_TIMEOUT);
    else if (o->kind == OBJ_CLOSING)
        rmri_posix_abort(p, o->m, o, NULL);
    else
        o->deadline = RMR_TIME_NEVER;
}
