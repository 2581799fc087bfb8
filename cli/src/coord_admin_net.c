/* Connecting, and bytes in and out. */
#include "coord_admin_net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <remora/posix.h>

#define CONNECT_MS 5000
#define IDLE_MS 30000 /* a store that is busy may take its time */

static bool wrong(cli_wire *w, const char *fmt, ...) RMR_PRINTF(2, 3);

static bool wrong(cli_wire *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(w->error, w->error_cap, fmt, ap);
    va_end(ap);
    return false;
}

static bool broke(cli_wire *w)
{
    return wrong(w,
                 "the connection to the coordinator broke: %s; is it still "
                 "running?",
                 strerror(errno));
}

/* errno is set where it fails. */
static bool wait_for(int fd, short events, int ms)
{
    struct pollfd p = {fd, events, 0};
    int n;
    do {
        n = poll(&p, 1, ms);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        errno = ETIMEDOUT;
    }
    return n > 0;
}

/* ---- connecting ---------------------------------------------------------- */

static bool connect_fd(int fd, const struct sockaddr *sa, socklen_t len)
{
    int flags = fcntl(fd, F_GETFL);
    int why = 0;
    socklen_t n = sizeof why;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return false;
    }
    if (connect(fd, sa, len) == 0) {
        return true;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        return false;
    }
    if (!wait_for(fd, POLLOUT, CONNECT_MS) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n) != 0) {
        return false;
    }
    errno = why;
    return why == 0;
}

/* -1 with errno, or a connected descriptor. */
static int dial(int family, const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0 && !connect_fd(fd, sa, len)) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static bool open_socket(cli_wire *w, const char *path)
{
    struct sockaddr_un sa;
    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof sa.sun_path) {
        return wrong(w,
                     "the path of the socket %s is too long for the system: "
                     "%zu bytes are allowed; have it elsewhere, or name it "
                     "from its directory",
                     path, sizeof sa.sun_path - 1);
    }
    memcpy(sa.sun_path, path, strlen(path));
    w->fd = dial(AF_UNIX, (const struct sockaddr *)&sa, sizeof sa);
    if (w->fd >= 0) {
        return true;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
        return wrong(w,
                     "no coordinator listens at %s; start one with remora "
                     "coordinator serve, or name its socket with --socket or "
                     "its --config",
                     path);
    }
    return wrong(w,
                 "can't open the socket %s: %s; who runs the coordinator can",
                 path, strerror(errno));
}

static bool open_tcp(cli_wire *w, const cli_server *s)
{
    struct addrinfo hints, *all = NULL;
    char port[8];
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    (void)snprintf(port, sizeof port, "%u", (unsigned)s->url.port);
    int e = getaddrinfo(s->url.host, port, &hints, &all);
    if (e != 0) {
        return wrong(w, "no address is known for %s: %s; check --address",
                     s->url.host, gai_strerror(e));
    }
    for (const struct addrinfo *a = all; a != NULL && w->fd < 0;
         a = a->ai_next) {
        w->fd = dial(a->ai_family, a->ai_addr, a->ai_addrlen);
    }
    int why = errno;
    freeaddrinfo(all);
    if (w->fd < 0) {
        return wrong(w,
                     "can't reach the coordinator at %s: %s; check --address, "
                     "and whether it runs",
                     s->address, strerror(why));
    }
    return true;
}

static bool start_tls(cli_wire *w, const cli_server *s)
{
    rmr_env env = rmr_posix_env();
    rmr_tls_config cfg;
    struct timespec now;
    rmr_tls_config_init(&cfg, sizeof cfg);
    rmr_err e = rmr_tls_anchors_new(&w->anchors, &env);
    if (e == RMR_OK && s->ca_pem.len > 0) {
        e = rmr_tls_anchors_add_pem(w->anchors, s->ca_pem, NULL, NULL);
        if (e == RMR_E_MALFORMED) {
            return wrong(w, "the file of CAs holds no certificate; --ca-file "
                            "takes PEM");
        }
    }
    cfg.server_name = s->url.host;
    cfg.anchors = w->anchors;
    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 0) {
        cfg.wall_unix_ns = (uint64_t)now.tv_sec * RMR_SEC;
    }
    if (e == RMR_OK) {
        e = rmr_tls_client_new(&w->tls, &env, &cfg);
    }
    return e == RMR_OK ||
           wrong(w, "can't begin TLS with %s: %s", s->address, rmr_err_name(e));
}

bool cli_wire_open(cli_wire *w, const cli_server *s, char *error, size_t cap)
{
    memset(w, 0, sizeof *w);
    w->fd = -1;
    w->error = error;
    w->error_cap = cap;
    if (s->socket != NULL) {
        return open_socket(w, s->socket);
    }
    return open_tcp(w, s) && (!s->url.https || start_tls(w, s));
}

void cli_wire_close(cli_wire *w)
{
    rmr_tls_free(w->tls);
    rmr_tls_anchors_free(w->anchors);
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    memset(w, 0, sizeof *w);
    w->fd = -1;
}

/* ---- bytes --------------------------------------------------------------- */

static bool send_raw(cli_wire *w, rmr_bytes data)
{
    while (data.len > 0) {
        ssize_t n = write(w->fd, data.ptr, data.len);
        if (n > 0) {
            data = rmr_bytes_of(data.ptr + n, data.len - (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(w->fd, POLLOUT, IDLE_MS)) {
                return broke(w);
            }
        } else if (errno != EINTR) {
            return broke(w);
        }
    }
    return true;
}

static bool receive_raw(cli_wire *w, rmr_buf dst, size_t *len)
{
    for (;;) {
        ssize_t n = read(w->fd, dst.ptr, dst.len);
        if (n >= 0) {
            *len = (size_t)n;
            return true;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(w->fd, POLLIN, IDLE_MS)) {
                return broke(w);
            }
        } else if (errno != EINTR) {
            return broke(w);
        }
    }
}

static bool tls_failed(cli_wire *w, rmr_err e)
{
    return wrong(
        w, "TLS with the coordinator failed: %s%s", rmr_tls_err_text(e),
        e == RMR_E_TLS_UNKNOWN_CA ? "; name its CA with --ca-file" : "");
}

/* What TLS has for the peer. */
static bool tls_flush(cli_wire *w)
{
    uint8_t out[4096];
    size_t n = 1;
    while (n > 0) {
        rmr_err e = rmr_tls_write(w->tls, rmr_buf_of(out, sizeof out), &n);
        if (e != RMR_OK) {
            return tls_failed(w, e);
        }
        if (!send_raw(w, rmr_bytes_of(out, n))) {
            return false;
        }
    }
    return true;
}

/* Ciphertext into TLS; *over: there is no more. */
static bool tls_feed(cli_wire *w, bool *over)
{
    size_t n;
    *over = false;
    if (w->from == w->to) {
        w->from = 0;
        if (!receive_raw(w, rmr_buf_of(w->in, sizeof w->in), &w->to)) {
            return false;
        }
        if (w->to == 0) {
            *over = true;
            rmr_err e = rmr_tls_read_eof(w->tls);
            return e == RMR_OK || tls_failed(w, e);
        }
    }
    rmr_err e = rmr_tls_read(
        w->tls, rmr_bytes_of(w->in + w->from, w->to - w->from), &n);
    w->from += n;
    if (e != RMR_OK) {
        (void)tls_flush(w); /* the alert that says why */
        return tls_failed(w, e);
    }
    return tls_flush(w);
}

bool cli_wire_send(cli_wire *w, rmr_bytes data)
{
    if (w->tls == NULL) {
        return send_raw(w, data);
    }
    while (data.len > 0) {
        size_t n;
        bool over = false;
        if (!tls_flush(w)) {
            return false;
        }
        rmr_err e = rmr_tls_send(w->tls, data, &n);
        if (e != RMR_OK) {
            return tls_failed(w, e);
        }
        data = rmr_bytes_of(data.ptr + n, data.len - n);
        if (!tls_flush(w) || (n == 0 && !tls_feed(w, &over))) {
            return false;
        }
        if (over) {
            return wrong(w, "the coordinator ended the connection before it "
                            "was asked");
        }
    }
    return true;
}

bool cli_wire_receive(cli_wire *w, rmr_buf dst, size_t *len)
{
    bool over = false;
    if (w->tls == NULL) {
        return receive_raw(w, dst, len);
    }
    for (;;) {
        rmr_buf view = {NULL, 0};
        rmr_err e = rmr_tls_peek(w->tls, &view);
        if (e == RMR_OK && view.len > 0) {
            *len = view.len < dst.len ? view.len : dst.len;
            memcpy(dst.ptr, view.ptr, *len);
            (void)rmr_tls_consume(w->tls, *len);
            return true;
        }
        if (over || rmr_tls_is_closed(w->tls)) {
            *len = 0;
            return true;
        }
        if (!tls_feed(w, &over)) {
            return false;
        }
    }
}
