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
#define CLOSE_SEND (10 * RMR_SEC) /* without progress                      */
#define CLOSE_READ (2 * RMR_SEC)  /* for what is still coming, see linger() */
#define LISTENER_REST RMR_SEC

typedef union any_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    struct sockaddr_storage room;
} any_addr;

static socklen_t to_os(any_addr *out, const rmr_addr *a)
{
    memset(out, 0, sizeof *out);
    if (a->family == RMR_AF_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        memcpy(&out->v4.sin_addr, a->ip, 4);
        return sizeof out->v4;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    out->v6.sin6_scope_id = a->zone;
    memcpy(&out->v6.sin6_addr, a->ip, 16);
    return sizeof out->v6;
}

static rmr_addr from_os(const any_addr *a)
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

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK;
}

static bool set_up(int fd)
{
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* -1 and errno. */
static int new_socket(int family, int type)
{
    int fd = socket(family, type, 0);
    if (fd >= 0 && !set_up(fd)) {
        (void)close(fd);
        return -1;
    }
    if (fd >= 0 && family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    return fd;
}

static int socket_for(const rmr_addr *a, int type)
{
    if (a->family == RMR_AF_INET)
        return new_socket(AF_INET, type);
    if (a->family == RMR_AF_INET6)
        return new_socket(AF_INET6, type);
    errno = EAFNOSUPPORT;
    return -1;
}

static void fail(rmr_posix *p, mach *m, uint64_t id, int e, int fd)
{
    if (fd >= 0)
        (void)close(fd);
    rmri_posix_answer(p, m, id, RMR_IO_FAILED, rmri_posix_err(e));
}

static void tell_opened(rmr_posix *p, obj *o)
{
    any_addr a;
    socklen_t len = sizeof a;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    memset(&a, 0, sizeof a);
    ev.kind = RMR_IO_OPENED;
    ev.id = o->id;
    if (getsockname(o->fd, &a.sa, &len) == 0)
        ev.addr = from_os(&a);
    rmri_posix_tell(p, o->m, &ev);
}

/* Takes a copy of what the socket did not take. */
static bool keep_rest(obj *o, rmr_bytes rest)
{
    o->out = malloc(rest.len);
    if (!o->out)
        return false;
    memcpy(o->out, rest.ptr, rest.len);
    o->out_len = rest.len;
    o->out_at = 0;
    return true;
}

static void drop_rest(obj *o)
{
    free(o->out);
    o->out = NULL;
    o->out_len = o->out_at = 0;
}

/* ---- datagrams ------------------------------------------------------------- */

void rmri_posix_udp_open(rmr_posix *p, mach *m, const rmr_io_op *op)
{
    any_addr a;
    int fd = socket_for(&op->addr, SOCK_DGRAM);
    if (fd < 0 || bind(fd, &a.sa, to_os(&a, &op->addr)) != 0) {
        fail(p, m, op->id, errno, fd);
        return;
    }
    set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
    obj *o = rmri_posix_obj(p, m, op->id, OBJ_UDP, fd);
    if (o)
        tell_opened(p, o);
    else
        fail(p, m, op->id, ENOMEM, -1);
}

/* Sends the segments of *rest; 0, or errno with *rest at the refused one. */
static int send_segments(const obj *o, const rmr_addr *to, rmr_bytes *rest,
                         size_t seg_size)
{
    any_addr a;
    socklen_t alen = to_os(&a, to);
    do {
        size_t n = seg_size && seg_size < rest->len ? seg_size : rest->len;
        ssize_t r;
        do
            r = sendto(o->fd, rest->ptr, n, MSG_NOSIGNAL, &a.sa, alen);
        while (r < 0 && errno == EINTR);
        if (r < 0)
            return errno;
        rest->ptr += n;
        rest->len -= n;
    } while (rest->len);
    return 0;
}

static void tell_unsent(rmr_posix *p, obj *o, const rmr_addr *to, int e)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SEND_FAILED;
    ev.id = o->id;
    ev.addr = *to;
    ev.err = e == ENOBUFS || would_block(e) ? RMR_E_FULL : rmri_posix_err(e);
    rmri_posix_tell(p, o->m, &ev);
}

void rmri_posix_udp_send(rmr_posix *p, obj *o, const rmr_io_op *op)
{
    rmr_bytes rest = op->data;
    int e = EAGAIN; /* still full: the machine was told and sends none */
    if (!o->out)
        e = send_segments(o, &op->addr, &rest, op->seg_size);
    if (!o->out && would_block(e) && keep_rest(o, rest)) {
        o->to = op->addr;
        o->seg_size = op->seg_size;
        rmri_posix_answer(p, o->m, o->id, RMR_IO_BLOCKED, RMR_OK);
    } else if (e) {
        tell_unsent(p, o, &op->addr, e);
    }
}

static void udp_write(rmr_posix *p, obj *o)
{
    rmr_bytes rest = rmr_bytes_of(o->out + o->out_at, o->out_len - o->out_at);
    mach *m = o->m;
    int e = send_segments(o, &o->to, &rest, o->seg_size);
    o->out_at = o->out_len - rest.len;
    if (would_block(e))
        return;
    drop_rest(o);
    if (e)
        tell_unsent(p, o, &o->to, e);
    if (m->is_live)
        rmri_posix_answer(p, m, o->id, RMR_IO_WRITABLE, RMR_OK);
}

static void udp_read(rmr_posix *p, obj *o)
{
    mach *m = o->m;
    for (int i = 0; i < DATAGRAMS_A_TURN && m->is_live; i++) {
        any_addr from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(o->fd, p->in, PART_MAX, 0, &from.sa, &len);
        if (n < 0 && would_block(errno))
            return;
        if (n < 0)
            continue; /* news of an earlier datagram, or a signal */
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_DATAGRAMS;
        ev.id = o->id;
        ev.addr = from_os(&from);
        ev.data = rmr_buf_of(p->in, (size_t)n);
        rmri_posix_tell(p, m, &ev);
    }
}

/* ---- local endpoints --------------------------------------------------------- */

static bool local_addr(const rmr_posix *p, rmr_bytes name, any_addr *a,
                       char text[NAME_MAX_LEN + 1])
{
    memset(a, 0, sizeof *a);
    a->un.sun_family = AF_UNIX;
    if (!p->dir || !rmri_posix_name(name, text)) {
        errno = EOPNOTSUPP;
        return false;
    }
    int n = snprintf(a->un.sun_path, sizeof a->un.sun_path, "%s/%s", p->dir,
                     text);
    if (n < 0 || (size_t)n >= sizeof a->un.sun_path) {
        rmr_logf(&p->env.log, RMR_LOG_ERROR, "posix",
                 "%s/%s: the path is too long for a local socket", p->dir,
                 text);
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

/* Whether what is there is a socket on which nobody answers. */
static bool is_stale(const rmr_posix *p, const any_addr *a, const char *name)
{
    struct stat st;
    if (fstatat(p->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISSOCK(st.st_mode))
        return false;
    int fd = new_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return false;
    bool refused = connect(fd, &a->sa, sizeof a->un) != 0 &&
                   errno == ECONNREFUSED;
    (void)close(fd);
    return refused;
}

/* The lock on the directory keeps another process from taking a socket between
 * bind and listen for a stale one.  umask: there is no moment at which others
 * could connect. */
static int bind_local(const rmr_posix *p, const any_addr *a, const char *name)
{
    int fd = new_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return -1;
    (void)flock(p->dir_fd, LOCK_EX);
    mode_t mask = umask(0177);
    int r = bind(fd, &a->sa, sizeof a->un);
    if (r != 0 && errno == EADDRINUSE) {
        if (is_stale(p, a, name) && unlinkat(p->dir_fd, name, 0) == 0)
            r = bind(fd, &a->sa, sizeof a->un);
        else
            errno = EADDRINUSE;
    }
    if (r == 0)
        r = listen(fd, BACKLOG);
    int e = errno;
    (void)umask(mask);
    (void)flock(p->dir_fd, LOCK_UN);
    if (r == 0)
        return fd;
    (void)close(fd);
    errno = e;
    return -1;
}

/* ---- streams ------------------------------------------------------------------ */

void rmri_posix_connect(rmr_posix *p, mach *m, const rmr_io_op *op)
{
    any_addr a;
    char name[NAME_MAX_LEN + 1];
    int fd;
    socklen_t len = sizeof a.un;
    if (op->name.len) {
        fd = local_addr(p, op->name, &a, name)
                 ? new_socket(AF_UNIX, SOCK_STREAM)
                 : -1;
    } else {
        len = to_os(&a, &op->addr);
        fd = socket_for(&op->addr, SOCK_STREAM);
    }
    if (fd < 0 || (connect(fd, &a.sa, len) != 0 && errno != EINPROGRESS &&
                   errno != EINTR)) {
        /* A local listener with a full queue says "again", but never when. */
        fail(p, m, op->id, would_block(errno) ? ECONNREFUSED : errno, fd);
        return;
    }
    obj *o = rmri_posix_obj(p, m, op->id, OBJ_CONNECTING, fd);
    if (!o) {
        fail(p, m, op->id, ENOMEM, -1);
        return;
    }
    o->deadline =
        rmr_time_add(p->now, op->timeout ? op->timeout : CONNECT_TIMEOUT);
}

static int socket_error(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 ? e : errno;
}

/* The stream is gone: frees it first, so that its id is nobody's any more. */
static void lose(rmr_posix *p, obj *o, rmr_io_event_kind kind, rmr_err err)
{
    mach *m = o->m;
    uint64_t id = o->id;
    bool is_known = o->kind != OBJ_CLOSING;
    rmri_posix_obj_free(p, o);
    if (is_known)
        rmri_posix_answer(p, m, id, kind, err);
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

/* Writes what the socket takes; 0 also when that was not all. */
static int send_some(int fd, rmr_bytes *rest)
{
    while (rest->len) {
        ssize_t n = send(fd, rest->ptr, rest->len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return would_block(errno) ? 0 : errno;
        if (n > 0) {
            rest->ptr += n;
            rest->len -= (size_t)n;
        }
    }
    return 0;
}

void rmri_posix_send(rmr_posix *p, obj *o, rmr_bytes data)
{
    int e = o->out || o->wants_shut ? EPIPE : send_some(o->fd, &data);
    if (e == 0 && data.len && !keep_rest(o, data))
        e = ENOMEM;
    if (e)
        lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
    else if (!o->out)
        rmri_posix_answer(p, o->m, o->id, RMR_IO_SENT, RMR_OK);
}

void rmri_posix_shutdown(obj *o)
{
    o->wants_shut = true;
    if (o->out || o->is_shut)
        return;
    o->is_shut = true;
    (void)shutdown(o->fd, SHUT_WR);
}

/* After CLOSE: what is queued is sent; then bytes that still come in are read
 * and dropped for a short time, because closing a socket with unread bytes
 * resets it, and the reset would overtake what was just sent. */
static void linger(rmr_posix *p, obj *o)
{
    if (o->out)
        return;
    rmri_posix_shutdown(o);
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(o->fd, p->in, PART_MAX, 0);
        if (n < 0 && would_block(errno) && o->m->is_live)
            return;
        if (n <= 0) {
            rmri_posix_obj_free(p, o);
            return;
        }
    }
}

static void stream_write(rmr_posix *p, obj *o)
{
    rmr_bytes rest = rmr_bytes_of(o->out + o->out_at, o->out_len - o->out_at);
    int e = send_some(o->fd, &rest);
    if (e) {
        lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
        return;
    }
    o->out_at = o->out_len - rest.len;
    if (o->kind == OBJ_CLOSING)
        o->deadline =
            rmr_time_add(p->now, rest.len ? CLOSE_SEND : CLOSE_READ);
    if (rest.len)
        return;
    drop_rest(o);
    if (o->wants_shut)
        rmri_posix_shutdown(o);
    if (o->kind == OBJ_CLOSING)
        linger(p, o);
    else
        rmri_posix_answer(p, o->m, o->id, RMR_IO_SENT, RMR_OK);
}

static void stream_read(rmr_posix *p, obj *o)
{
    mach *m = o->m;
    for (int i = 0; i < READS_A_TURN && m->is_live && o->credit; i++) {
        size_t want = o->credit < PART_MAX ? o->credit : PART_MAX;
        ssize_t n = recv(o->fd, p->in, want, 0);
        if (n < 0 && (would_block(errno) || errno == EINTR))
            return;
        if (n < 0) {
            lose(p, o, RMR_IO_RESET, rmri_posix_err(errno));
            return;
        }
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = n ? RMR_IO_BYTES : RMR_IO_EOF;
        ev.id = o->id;
        ev.data = rmr_buf_of(p->in, (size_t)n);
        o->credit -= (size_t)n;
        o->is_eof = n == 0;
        rmri_posix_tell(p, m, &ev);
        if ((size_t)n < want)
            return;
    }
}

void rmri_posix_abort(rmr_posix *p, obj *o)
{
    struct linger none = {1, 0};
    if (o->kind == OBJ_STREAM || o->kind == OBJ_CLOSING)
        (void)setsockopt(o->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    rmri_posix_obj_free(p, o);
}

void rmri_posix_close(rmr_posix *p, obj *o)
{
    if (o->kind == OBJ_STREAM && (o->out || !o->is_eof)) {
        rmri_posix_forget(p, o);
        o->kind = OBJ_CLOSING;
        o->deadline = rmr_time_add(p->now, o->out ? CLOSE_SEND : CLOSE_READ);
    }
    if (o->kind == OBJ_CLOSING)
        linger(p, o);
    else
        rmri_posix_obj_free(p, o);
}

/* ---- listeners ---------------------------------------------------------------- */

void rmri_posix_listen(rmr_posix *p, mach *m, const rmr_io_op *op)
{
    any_addr a;
    char name[NAME_MAX_LEN + 1];
    int fd = -1;
    if (op->name.len) {
        if (local_addr(p, op->name, &a, name))
            fd = bind_local(p, &a, name);
    } else {
        fd = socket_for(&op->addr, SOCK_STREAM);
        if (fd >= 0) {
            set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
            if (bind(fd, &a.sa, to_os(&a, &op->addr)) != 0 ||
                listen(fd, BACKLOG) != 0) {
                fail(p, m, op->id, errno, fd);
                return;
            }
        }
    }
    obj *o = fd < 0 ? NULL
                    : rmri_posix_obj(p, m, op->id, OBJ_LISTENER, fd);
    if (!o) {
        fail(p, m, op->id, fd < 0 ? errno : ENOMEM, -1);
        return;
    }
    if (op->name.len)
        o->name = strdup(name);
    tell_opened(p, o);
}

static void tell_accepted(rmr_posix *p, mach *m, uint64_t listener,
                          const any_addr *from, int fd)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = listener;
    ev.child = RMR_IO_ADAPTER_ID | ++p->n_accepted;
    ev.addr = from_os(from);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rmri_posix_obj(p, m, ev.child, OBJ_STREAM, fd))
        rmri_posix_tell(p, m, &ev);
}

static void accept_some(rmr_posix *p, obj *o)
{
    mach *m = o->m;
    uint64_t handle = o->handle;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        any_addr from;
        socklen_t len = sizeof from;
        memset(&from, 0, sizeof from);
        int fd = accept(o->fd, &from.sa, &len);
        if (fd < 0 && would_block(errno))
            return;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE ||
                       errno == ENOBUFS || errno == ENOMEM)) {
            /* It stays readable: without a rest the loop would spin. */
            o->deadline = rmr_time_add(p->now, LISTENER_REST);
            rmri_posix_answer(p, m, o->id, RMR_IO_ACCEPT_FAILED,
                              rmri_posix_err(errno));
            return;
        }
        if (fd < 0)
            continue; /* that one went away again */
        if (set_up(fd))
            tell_accepted(p, m, o->id, &from, fd);
        else
            (void)close(fd);
        /* A pause counts from here on. */
        rmri_posix_drain(p, m);
        o = rmr_slots_get(&p->objs, handle);
        if (!o || o->is_paused)
            return;
    }
}

/* ---- what poll saw --------------------------------------------------------------- */

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
        return o->out ? POLLOUT : POLLIN;
    case OBJ_STORE:
    default:
        return 0;
    }
}

void rmri_posix_ready(rmr_posix *p, obj *o, short revents)
{
    uint64_t handle = o->handle;
    short wants = rmri_posix_wants(o);
    if (wants == 0) { /* an error or a hang-up, unasked */
        int e = o->kind == OBJ_STREAM ? socket_error(o->fd) : 0;
        o->is_hup = true;
        if (e)
            lose(p, o, RMR_IO_RESET, rmri_posix_err(e));
        return;
    }
    if (o->kind == OBJ_CONNECTING) {
        connected(p, o);
        return;
    }
    if (o->kind == OBJ_LISTENER) {
        accept_some(p, o);
        return;
    }
    if ((wants & POLLOUT) && (revents & ~POLLIN)) {
        if (o->kind == OBJ_UDP)
            udp_write(p, o);
        else
            stream_write(p, o);
        o = rmr_slots_get(&p->objs, handle);
    }
    if (!o || !(revents & ~POLLOUT))
        return;
    if (o->kind == OBJ_UDP)
        udp_read(p, o);
    else if (o->kind == OBJ_CLOSING)
        linger(p, o);
    else if (!o->is_eof)
        stream_read(p, o);
}

void rmri_posix_expire(rmr_posix *p, obj *o)
{
    if (o->kind == OBJ_CONNECTING)
        lose(p, o, RMR_IO_FAILED, RMR_E_TIMEOUT);
    else if (o->kind == OBJ_CLOSING)
        rmri_posix_abort(p, o);
    else
        o->deadline = RMR_TIME_NEVER;
}
