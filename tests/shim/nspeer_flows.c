/* nspeer's bridges between local sockets and connections of the stack. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nspeer.h"

static socklen_t sockaddr_of(const rmr_addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (rmr_addr_ip_len(a) == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(a->port);
    memcpy(&in->sin6_addr, a->ip, 16);
    return sizeof *in;
}

static flow *flow_new(peer *p, int fd)
{
    flow *f = p->n_flows < PEER_SOCKETS / 2 ? calloc(1, sizeof *f) : NULL;
    int on = 1;
    if (!f)
        return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    f->fd = fd;
    f->next = p->flows;
    p->flows = f;
    p->n_flows++;
    return f;
}

/* The program behind the socket shall see a reset as a reset. */
static void reset_fd(flow *f)
{
    struct linger l = {1, 0};
    (void)setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

/* ---- what the stack says ---------------------------------------------- */

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    peer *p = user;
    const port *to = tag;
    struct sockaddr_storage a;
    socklen_t n = sockaddr_of(&to->to, &a);
    (void)listener;
    (void)remote;
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    flow *f = fd < 0 ? NULL : flow_new(p, fd);
    if (!f) {
        (void)rmr_ns_abort(p->ns, p->now, sock);
        if (fd >= 0)
            close(fd);
        return;
    }
    f->sock = sock;
    f->open = f->connecting = true;
    (void)rmr_ns_set_tag(p->ns, sock, f);
    if (connect(fd, (struct sockaddr *)&a, n) != 0 && errno != EINPROGRESS)
        f->broken = true;
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    (void)user;
    (void)sock;
    ((flow *)tag)->open = true;
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    flow *f = tag;
    (void)user;
    (void)sock;
    f->gone = true;
    if (why) {
        f->broken = true;
    } else if (!f->ns_ended) { /* all was read: this is the end of it */
        f->ns_ended = true;
        (void)shutdown(f->fd, SHUT_WR);
    }
}

void flows_callbacks(rmr_ns_callbacks *cb, peer *p)
{
    memset(cb, 0, sizeof *cb);
    cb->struct_size = sizeof *cb;
    cb->user = p;
    cb->on_accept = on_accept;
    cb->on_connected = on_connected;
    cb->on_closed = on_closed;
}

/* ---- listeners -------------------------------------------------------- */

static port *port_new(peer *p)
{
    errno = ENOSPC;
    if (p->n_ports == PEER_PORTS)
        peer_die("too many", "ports");
    port *t = &p->ports[p->n_ports++];
    t->fd = -1;
    return t;
}

void flows_serve(peer *p, const rmr_serve *s)
{
    port *t = port_new(p);
    rmr_addr any;
    rmr_ns_sock sock;
    memset(&any, 0, sizeof any);
    any.port = s->port;
    t->to = s->target;
    if (rmr_ns_tcp_listen(p->ns, &any, t, &sock))
        peer_die("can't listen on", "the stack");
}

void flows_forward(peer *p, const rmr_forward *f)
{
    port *t = port_new(p);
    struct sockaddr_storage a;
    socklen_t n = sockaddr_of(&f->local, &a);
    int on = 1;
    rmr_bytes host = rmr_bytes_of(f->peer, strlen(f->peer));
    if (rmr_addr_parse_ip(host, &t->to))
        peer_die("no address:", f->peer);
    t->to.port = f->port;
    t->fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (t->fd < 0 || bind(t->fd, (struct sockaddr *)&a, n) != 0 ||
        listen(t->fd, 64) != 0)
        peer_die("can't listen for", f->peer);
}

static void accept_from(peer *p, const port *t)
{
    int fd = accept4(t->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    flow *f = fd < 0 ? NULL : flow_new(p, fd);
    if (!f) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (rmr_ns_tcp_connect(p->ns, p->now, NULL, &t->to, f, &f->sock))
        f->broken = f->gone = true;
}

/* ---- bytes ------------------------------------------------------------ */

static void to_socket(peer *p, flow *f)
{
    rmr_bytes v;
    bool eof = false;
    f->fd_full = false;
    while (!f->ns_ended && !f->gone &&
           !rmr_ns_tcp_peek(p->ns, f->sock, &v, &eof)) {
        if (v.len == 0) {
            if (eof) {
                f->ns_ended = true;
                (void)shutdown(f->fd, SHUT_WR);
            }
            return;
        }
        ssize_t n = send(f->fd, v.ptr, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            f->fd_full = errno == EAGAIN || errno == EINTR;
            f->broken |= !f->fd_full;
            return;
        }
        (void)rmr_ns_tcp_consume(p->ns, p->now, f->sock, (size_t)n);
    }
}

static bool stack_takes(peer *p, flow *f)
{
    size_t taken = 0;
    rmr_bytes rest = rmr_bytes_of(f->rest + f->rest_at, f->rest_len);
    if (f->rest_len &&
        rmr_ns_tcp_send(p->ns, p->now, f->sock, rest, &taken) == RMR_OK) {
        f->rest_at += taken;
        f->rest_len -= taken;
    }
    return f->rest_len == 0;
}

static void from_socket(peer *p, flow *f)
{
    while (!f->fd_ended && !f->gone && !f->broken && stack_takes(p, f)) {
        size_t room = rmr_ns_tcp_send_space(p->ns, f->sock);
        if (room == 0)
            return;
        if (room > sizeof f->rest)
            room = sizeof f->rest;
        ssize_t n = recv(f->fd, f->rest, room, MSG_DONTWAIT);
        if (n < 0) {
            f->broken = errno != EAGAIN && errno != EINTR;
            return;
        }
        if (n == 0) {
            f->fd_ended = true;
            (void)rmr_ns_tcp_shutdown(p->ns, p->now, f->sock);
            return;
        }
        f->rest_at = 0;
        f->rest_len = (size_t)n;
    }
}

static void flow_turn(peer *p, flow *f)
{
    short got = f->slot ? p->fds[f->slot].revents : 0;
    if (f->connecting && (got & (POLLOUT | POLLERR | POLLHUP))) {
        int err = 0;
        socklen_t n = sizeof err;
        (void)getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &n);
        f->connecting = false;
        f->broken |= err != 0;
    }
    if (f->broken || f->connecting || !f->open)
        return;
    if (!f->fd_full || (got & POLLOUT))
        to_socket(p, f);
    if (got & (POLLIN | POLLHUP | POLLERR) || f->rest_len)
        from_socket(p, f);
}

static bool flow_is_over(const flow *f)
{
    return f->broken || (f->ns_ended && f->fd_ended);
}

static void flow_end(peer *p, flow *f)
{
    if (f->broken)
        reset_fd(f);
    if (!f->gone && f->broken)
        (void)rmr_ns_abort(p->ns, p->now, f->sock);
    else if (!f->gone)
        (void)rmr_ns_close(p->ns, p->now, f->sock);
    close(f->fd);
    p->n_flows--;
    free(f);
}

size_t flows_poll(peer *p, size_t n)
{
    for (size_t i = 0; i < p->n_ports; i++, n++) {
        p->fds[n].fd = p->ports[i].fd; /* -1 is skipped by poll */
        p->fds[n].events = POLLIN;
    }
    for (flow *f = p->flows; f; f = f->next, n++) {
        bool wants = f->open && !f->connecting && !f->fd_ended && !f->gone &&
                     !f->rest_len && rmr_ns_tcp_send_space(p->ns, f->sock);
        f->slot = (int)n;
        p->fds[n].events = (short)((wants ? POLLIN : 0) |
                                   (f->connecting || f->fd_full ? POLLOUT : 0));
        /* Else a hang-up would be told again and again. */
        p->fds[n].fd = p->fds[n].events ? f->fd : -1;
        p->fds[n].revents = 0;
    }
    return n;
}

void flows_turn(peer *p)
{
    for (size_t i = 0; i < p->n_ports; i++)
        if (p->ports[i].fd >= 0 && (p->fds[1 + i].revents & POLLIN))
            accept_from(p, &p->ports[i]);
    for (flow **at = &p->flows; *at;) {
        flow *f = *at;
        flow_turn(p, f);
        if (flow_is_over(f)) {
            *at = f->next;
            flow_end(p, f);
        } else {
            at = &f->next;
        }
    }
}

void flows_free(peer *p)
{
    while (p->flows) {
        flow *f = p->flows;
        p->flows = f->next;
        close(f->fd);
        free(f);
    }
    for (size_t i = 0; i < p->n_ports; i++)
        if (p->ports[i].fd >= 0)
            close(p->ports[i].fd);
}
