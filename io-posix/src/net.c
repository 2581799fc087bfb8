/* Sockets: streams, listeners, local endpoints. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#define READS_A_TURN 4
#define ACCEPTS_A_TURN 16

#define BACKLOG 512 /* a server's clients may all come back at once */
#define CONNECT_TIMEOUT (30 * RMR_SEC)
#define CLOSE_SEND (10 * RMR_SEC) /* without progress                       */
#define CLOSE_READ (2 * RMR_SEC)  /* for what is still coming, see linger() */
#define LISTENER_REST RMR_SEC     /* when there are no descriptors          */

#ifndef MSG_NOSIGNAL /* macOS: SO_NOSIGPIPE, see sock.c */
#define MSG_NOSIGNAL 0
#endif

/* The same for an operation, which may name a local endpoint. */
static socklen_t op_addr(const rmr_posix *p, const rmr_io_op *op, os_addr *out)
{
    char name[NAME_SIZE];
    if (op->name.len == 0)
        return rmri_posix_to_os(out, &op->addr);
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

/* ---- streams
 * ------------------------------------------------------------------- */

void rmri_posix_connect(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    socklen_t len = op_addr(p, op, &a);
    int fd = len ? rmri_posix_socket(a.sa.sa_family, SOCK_STREAM, 0) : -1;
    if (fd >= 0 && connect(fd, &a.sa, len) != 0 && errno != EINPROGRESS) {
        /* A local listener with a full queue says "again", but never when. */
        errno = rmri_posix_would_block(errno) ? ECONNREFUSED : errno;
        fd = rmri_posix_unless(true, fd);
    }
    o = rmri_posix_opened(p, m, op, OBJ_CONNECTING, fd);
    if (o)
        rmri_posix_set_deadline(
            p, o,
            rmr_time_add(p->now, op->timeout ? op->timeout : CONNECT_TIMEOUT));
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
    rmri_posix_set_deadline(p, o, RMR_TIME_NEVER);
    rmri_posix_set_option(o->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    rmri_posix_tell_opened(p, o);
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
        if (want == 0 ||
            (n < 0 && (rmri_posix_would_block(errno) || errno == EINTR)))
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
    rmri_posix_set_deadline(
        p, o, rmr_time_add(p->now, o->out ? CLOSE_SEND : CLOSE_READ));
    if (o->out)
        return;
    (void)shutdown(o->fd, SHUT_WR);
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(o->fd, p->in, PART_MAX, 0);
        if (n < 0 && rmri_posix_would_block(errno) && o->m->is_live)
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
    if ((e && !rmri_posix_would_block(e)) || !rmri_posix_keep(o, rest)) {
        lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
        return;
    }
    if (o->kind == OBJ_CLOSING) {
        linger(p, o);
    } else if (!o->out) {
        if (o->is_shut)
            (void)shutdown(o->fd, SHUT_WR);
        rmri_posix_tell_kind(p, o, RMR_IO_SENT);
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
    int fd = rmri_posix_socket(AF_UNIX, SOCK_STREAM, 0);
    bool is_refused = fd >= 0 && connect(fd, &a->sa, sizeof a->un) != 0 &&
                      errno == ECONNREFUSED;
    (void)rmri_posix_unless(true, fd);
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
    fd = rmri_posix_unless(r != 0 || listen(fd, BACKLOG) != 0, fd);
    int e = errno;
    (void)flock(p->dir_fd, LOCK_UN);
    errno = e;
    return fd;
}

/* Accepted streams inherit it. */
static void limit_unacked(int fd, rmr_dur most)
{
#ifdef TCP_USER_TIMEOUT
    if (most > 0 && most / RMR_MS < INT_MAX)
        rmri_posix_set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                              (int)(most / RMR_MS));
#else
    (void)fd;
    (void)most;
#endif
}

void rmri_posix_listen(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    os_addr a;
    char name[NAME_SIZE];
    socklen_t len = op_addr(p, op, &a);
    int fd = len ? rmri_posix_socket(a.sa.sa_family, SOCK_STREAM, 0) : -1;
    bool is_local = op->name.len && rmri_posix_name(op->name, name);
    if (fd >= 0 && is_local) {
        fd = listen_local(p, &a, name, fd);
    } else if (fd >= 0) {
        rmri_posix_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        limit_unacked(fd, op->timeout);
        fd = rmri_posix_unless(
            bind(fd, &a.sa, len) != 0 || listen(fd, BACKLOG) != 0, fd);
    }
    o = rmri_posix_opened(p, m, op, OBJ_LISTENER, fd);
    if (!o)
        return;
    if (is_local)
        o->name = strdup(name);
    rmri_posix_tell_opened(p, o);
}

void rmri_posix_pause(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)m;
    o->is_paused = op->kind == RMR_IO_ACCEPT_PAUSE;
    rmri_posix_set_deadline(p, o, RMR_TIME_NEVER);
}

static void accepted(rmr_posix *p, const obj *listener, const os_addr *from,
                     int fd)
{
    rmr_io_event ev = rmri_posix_event(RMR_IO_ACCEPTED, listener->id, RMR_OK);
    ev.child = RMR_IO_ADAPTER_ID | ++p->n_accepted;
    ev.addr = rmri_posix_from_os(from);
    rmri_posix_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
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
        int fd = rmri_posix_set_up(accept(o->fd, &from.sa, &len));
        int e = fd < 0 ? errno : 0;
        if (rmri_posix_would_block(e))
            return;
        if (e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM) {
            /* It stays readable: without a rest the loop would spin. */
            rmri_posix_set_deadline(p, o, rmr_time_add(p->now, LISTENER_REST));
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

/* ---- what the wait saw
 * ----------------------------------------------------------------- */

short rmri_posix_wants(const obj *o)
{
    short out = o->out ? POLLOUT : 0;
    switch (o->kind) {
    case OBJ_UDP:
        return (short)(POLLIN | out);
    case OBJ_LISTENER:
        return o->is_paused || rmr_timer_is_armed(&o->timer) ? 0 : POLLIN;
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
            rmri_posix_udp_write(p, o, rmri_posix_kept(o));
        else if (o->out)
            stream_write(p, o, rmri_posix_kept(o));
    }
    if (!(wants & POLLIN) || !(revents & ~POLLOUT))
        return;
    if (o->kind == OBJ_UDP)
        rmri_posix_udp_read(p, o);
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
        rmri_posix_set_deadline(p, o, RMR_TIME_NEVER);
}
