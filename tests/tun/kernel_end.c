#include "kernel_end.h"

#include "scn_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEND_MAX 65536
/* The kernel answers a packet before the write of it returns; more than this
 * for an event is no slowness. */
#define EVENT_MS 1000

typedef struct kernel {
    scn_world w;
    int tun, listener, sock; /* -1: not open */
} kernel;

static kernel *kernel_of(scn_world *w)
{
    return (kernel *)(void *)w; /* its first member */
}

/* ---- packets and time --------------------------------------------------- */

static rmr_time clock_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (rmr_time)t.tv_sec * RMR_SEC + (rmr_time)t.tv_nsec;
}

static void feed(scn_world *w, const uint8_t *b, size_t n)
{
    if (write(kernel_of(w)->tun, b, n) != (ssize_t)n)
        (void)scn_bad(w, "the packet was not taken: %s", strerror(errno));
}

/* The kernel also looks for IPv6 routers; only IPv4 is of interest. */
static bool pump(scn_world *w)
{
    for (scn_pkt *p; (p = scn_queue(w));) {
        ssize_t n = read(kernel_of(w)->tun, p->b, sizeof p->b);
        if (n < 0 && errno == EAGAIN)
            return !w->err[0];
        if (n < 20)
            return scn_bad(w, "the TUN device: %s", strerror(errno));
        p->len = (size_t)n;
        if (p->b[0] >> 4 == 4)
            scn_queued(w);
    }
    return false;
}

/* Whether something can be read before the time. Who wakes up later than that
 * can't tell when it came: after it, then. */
static bool wait_for(int fd, short events, rmr_time until)
{
    for (;;) {
        rmr_time now = clock_now();
        rmr_dur left = now < until ? until - now : 0;
        struct timespec t = {(time_t)(left / RMR_SEC), (long)(left % RMR_SEC)};
        struct pollfd p = {fd, events, 0};
        int n = ppoll(&p, 1, &t, NULL);
        if (n > 0)
            return !left || clock_now() <= until;
        if (n == 0 && !left)
            return false;
    }
}

static bool pass(scn_world *w, rmr_dur d, bool stop)
{
    rmr_time until = clock_now() + d;
    bool more = true;
    while (!(stop && w->q_n) && more) {
        more = wait_for(kernel_of(w)->tun, POLLIN, until);
        if (more && !pump(w))
            return false;
    }
    return true;
}

/* ---- the application ---------------------------------------------------- */

static bool ok(kernel *k, int result, const char *what)
{
    return result >= 0 || scn_bad(&k->w, "%s: %s", what, strerror(errno));
}

static bool set(kernel *k, int level, int option, int value)
{
    return ok(k, setsockopt(k->sock, level, option, &value, sizeof value),
              "setsockopt");
}

static struct sockaddr_in address(const uint8_t ip[4], uint16_t port)
{
    struct sockaddr_in a = {0};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    memcpy(&a.sin_addr, ip, 4);
    return a;
}

static int tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* What a scenario sends at once the kernel has to take at once. */
static bool big_buffer(kernel *k, int fd)
{
    int room = SEND_MAX;
    return ok(k, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room),
              "SO_SNDBUF");
}

static bool app_listen(kernel *k)
{
    struct sockaddr_in a = address(scn_our_ip, 80);
    k->listener = tcp_socket();
    return ok(k, k->listener, "socket") && big_buffer(k, k->listener) &&
           ok(k, bind(k->listener, (struct sockaddr *)&a, sizeof a), "bind") &&
           ok(k, listen(k->listener, 16), "listen");
}

static bool app_accept(kernel *k)
{
    if (!wait_for(k->listener, POLLIN, clock_now() + EVENT_MS * RMR_MS))
        return scn_bad(&k->w, "%s", "nothing to accept");
    k->sock = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return ok(k, k->sock, "accept") && set(k, IPPROTO_TCP, TCP_NODELAY, 1);
}

static bool app_connect(kernel *k)
{
    struct sockaddr_in to = address(scn_peer_ip, k->w.peer_port);
    k->sock = tcp_socket();
    if (!ok(k, k->sock, "socket") || !big_buffer(k, k->sock) ||
        !set(k, IPPROTO_TCP, TCP_NODELAY, 1))
        return false;
    int n = connect(k->sock, (struct sockaddr *)&to, sizeof to);
    return ok(k, n < 0 && errno == EINPROGRESS ? 0 : n, "connect");
}

static bool app_send(kernel *k, size_t n)
{
    static uint8_t b[SEND_MAX];
    if (n > sizeof b)
        return scn_bad(&k->w, "%s", "too much");
    for (size_t i = 0; i < n; i++)
        b[i] = scn_stream(1 + k->w.sent + i);
    k->w.sent += n;
    ssize_t taken = send(k->sock, b, n, MSG_NOSIGNAL);
    return ok(k, taken < 0 ? -1 : 0, "send") &&
           ((size_t)taken == n || scn_bad(&k->w, "%s", "send takes less"));
}

/* Reads and checks what is there; *eof: and then it ends. */
static bool app_read(kernel *k, bool *eof)
{
    uint8_t b[2000];
    for (;;) {
        ssize_t got = recv(k->sock, b, sizeof b, 0);
        *eof = false;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (!ok(k, got < 0 ? -1 : 0, "recv"))
            return false;
        *eof = got == 0;
        if (*eof)
            return true;
        for (size_t i = 0; i < (size_t)got; i++)
            if (b[i] != scn_stream(1 + k->w.got + i))
                return scn_bad(&k->w, "%s", "wrong data");
        k->w.got += (size_t)got;
    }
}

static bool app_close(kernel *k)
{
    int fd = k->sock;
    k->sock = -1;
    return ok(k, close(fd), "close");
}

static bool app_abort(kernel *k)
{
    struct linger l = {1, 0};
    return ok(k, setsockopt(k->sock, SOL_SOCKET, SO_LINGER, &l, sizeof l),
              "SO_LINGER") &&
           app_close(k);
}

static bool app_keepalive(kernel *k)
{
    return set(k, IPPROTO_TCP, TCP_KEEPIDLE, 1) &&
           set(k, IPPROTO_TCP, TCP_KEEPINTVL, 1) &&
           set(k, IPPROTO_TCP, TCP_KEEPCNT, 2) &&
           set(k, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Every SYN is answered with a cookie. */
static bool app_cookies(kernel *k)
{
    int fd = open("/proc/sys/net/ipv4/tcp_syncookies", O_WRONLY | O_CLOEXEC);
    bool good = ok(k, fd, "tcp_syncookies") &&
                ok(k, (int)write(fd, "2", 1), "tcp_syncookies");
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static bool app(scn_world *w, const char *t)
{
    kernel *k = kernel_of(w);
    if (!strcmp(t, "listen"))
        return app_listen(k);
    if (!strcmp(t, "accept"))
        return app_accept(k);
    if (!strcmp(t, "connect"))
        return app_connect(k);
    if (!strcmp(t, "cookies"))
        return app_cookies(k);
    if (scn_is_word(t, "send "))
        return app_send(k, (size_t)atoi(t + 5));
    if (!strcmp(t, "nagle"))
        return set(k, IPPROTO_TCP, TCP_NODELAY, 0);
    if (!strcmp(t, "close"))
        return app_close(k);
    if (!strcmp(t, "abort"))
        return app_abort(k);
    if (!strcmp(t, "shutwr"))
        return ok(k, shutdown(k->sock, SHUT_WR), "shutdown");
    if (!strcmp(t, "ka 1,1"))
        return app_keepalive(k);
    return scn_bad(w, "the application can't \"%s\"", t);
}

/* ---- what the application sees ------------------------------------------ */

static bool saw_data(kernel *k, uint64_t n)
{
    bool eof = false;
    rmr_time until = clock_now() + EVENT_MS * RMR_MS;
    if (k->sock < 0 && !app_accept(k))
        return false;
    while (k->w.got < n && !eof && wait_for(k->sock, POLLIN, until))
        if (!app_read(k, &eof))
            return false;
    return app_read(k, &eof) &&
           (k->w.got == n || scn_bad(&k->w, "%s", "other length"));
}

static bool saw_no_data(kernel *k)
{
    bool eof;
    return app_read(k, &eof) &&
           ((k->w.got == 0 && !eof) || scn_bad(&k->w, "%s", "there is data"));
}

static bool saw_eof(kernel *k)
{
    bool eof;
    (void)wait_for(k->sock, POLLIN, clock_now() + EVENT_MS * RMR_MS);
    return app_read(k, &eof) &&
           (eof || scn_bad(&k->w, "%s", "no end of stream"));
}

static bool ended_with(kernel *k, short events, int wanted)
{
    int e = 0;
    socklen_t n = sizeof e;
    if (!wait_for(k->sock, events, clock_now() + EVENT_MS * RMR_MS))
        return scn_bad(&k->w, "%s", "no such event");
    return ok(k, getsockopt(k->sock, SOL_SOCKET, SO_ERROR, &e, &n),
              "SO_ERROR") &&
           (e == wanted || scn_bad(&k->w, "it is: %s", strerror(e)));
}

static bool cwnd_is(kernel *k, uint32_t segments)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    return ok(k, getsockopt(k->sock, IPPROTO_TCP, TCP_INFO, &info, &n),
              "TCP_INFO") &&
           (info.tcpi_snd_cwnd == segments ||
            scn_bad(&k->w, "it is %u", info.tcpi_snd_cwnd));
}

/* Nothing is left of any connection: no orphan, no TIME-WAIT. */
static bool all_freed(kernel *k)
{
    char line[300];
    unsigned state, left = 0;
    FILE *f = fopen("/proc/net/tcp", "r");
    if (!f)
        return ok(k, -1, "/proc/net/tcp");
    while (fgets(line, sizeof line, f))
        left +=
            sscanf(line, "%*d: %*s %*s %x", &state) == 1 && state != TCP_LISTEN;
    (void)fclose(f);
    return !left || scn_bad(&k->w, "%s", "still there");
}

static bool event(scn_world *w, const char *t)
{
    kernel *k = kernel_of(w);
    if (scn_is_word(t, "data "))
        return saw_data(k, (uint64_t)atoi(t + 5));
    if (!strcmp(t, "nodata"))
        return saw_no_data(k);
    if (!strcmp(t, "eof"))
        return saw_eof(k);
    if (!strcmp(t, "connected"))
        return ended_with(k, POLLOUT, 0);
    if (!strcmp(t, "noaccept"))
        return !wait_for(k->listener, POLLIN, 0) ||
               scn_bad(w, "%s", "there is one to accept");
    if (!strcmp(t, "reset"))
        return ended_with(k, 0, ECONNRESET); /* POLLERR and POLLHUP alone */
    if (!strcmp(t, "refused"))
        return ended_with(k, 0, ECONNREFUSED);
    if (!strcmp(t, "timeout"))
        return ended_with(k, 0, ETIMEDOUT);
    if (!strcmp(t, "freed"))
        return all_freed(k);
    if (scn_is_word(t, "cwnd "))
        return cwnd_is(k, (uint32_t)atoi(t + 5));
    return scn_bad(w, "no event \"%s\"", t);
}

static const scn_end the_kernel = {feed, pump, pass, app, event, true};

void kernel_run(int tun, const char *line, uint16_t port, uint32_t iss,
                char *err, size_t cap)
{
    kernel *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    scn_world_init(&k->w, &the_kernel);
    k->w.peer_port = port;
    k->w.peer_iss = iss;
    k->tun = tun;
    k->listener = k->sock = -1;
    (void)scn_world_run(&k->w, line);
    (void)snprintf(err, cap, "%s", k->w.err);
    if (k->sock >= 0)
        (void)close(k->sock);
    if (k->listener >= 0)
        (void)close(k->listener);
    free(k);
}
