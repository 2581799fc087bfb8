/* derp_tap PORT UPSTREAM: carries TCP streams from 127.0.0.1:PORT to
 * 127.0.0.1:UPSTREAM, where a DERP relay speaks plain HTTP, and says what that
 * relay never does: frames are put between its frames.
 *
 *   SIGUSR1  Health with a text    SIGUSR2  Health, well again
 *   SIGHUP   Restarting (back in 1500 ms, tries for 20 s), and the end of the
 *            stream; for 2.5 s whoever comes is turned away
 *
 * On stdout, a line each: the time in ms and what it said, or of who wants DERP
 * (not of a netcheck's requests) "connect" and "turned away".  A process a stream: signals go to all of the group. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AWAY_MS 2500

static volatile sig_atomic_t told; /* the last signal that came */

static void on_signal(int sig)
{
    told = sig;
}

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(const char *what)
{
    printf("%lld %s\n", now_ms(), what);
    fflush(stdout);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in local(const char *port)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void send_all(int fd, const uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        p += n;
        len -= (size_t)n;
    }
}

/* ---- where in the relay's stream we are -------------------------------- */

typedef struct place {
    unsigned matched; /* of the end of the HTTP head; 4: frames */
    uint8_t head[5];
    size_t head_len;
    uint32_t left; /* of the body */
} place;

static bool is_between(const place *p)
{
    return p->matched == 4 && p->head_len == 0;
}

static void step(place *p, uint8_t c)
{
    if (p->matched < 4) {
        p->matched =
            c == (uint8_t) "\r\n\r\n"[p->matched] ? p->matched + 1 : c == '\r';
        return;
    }
    if (p->head_len < 5) {
        p->head[p->head_len++] = c;
        if (p->head_len < 5)
            return;
        p->left = (uint32_t)p->head[1] << 24 | (uint32_t)p->head[2] << 16 |
                  (uint32_t)p->head[3] << 8 | p->head[4];
    } else {
        p->left--;
    }
    if (p->left == 0)
        p->head_len = 0;
}

static void put_frame(int fd, uint8_t type, const void *body, size_t len)
{
    uint8_t f[64] = {type, 0, 0, 0, (uint8_t)len};
    memcpy(f + 5, body, len);
    send_all(fd, f, 5 + len);
}

static void speak(int fd, int sig)
{
    static const uint8_t restart[8] = {0, 0, 1500 >> 8,  1500 & 255,
                                       0, 0, 20000 >> 8, 20000 & 255};
    static const char text[] = "the disk is full\033[2J"; /* hostile */
    if (sig == SIGUSR1) {
        put_frame(fd, 0x14, text, sizeof text - 1);
        say("ill");
    } else if (sig == SIGUSR2) {
        put_frame(fd, 0x14, "", 0);
        say("well");
    } else {
        put_frame(fd, 0x15, restart, sizeof restart);
        say("restarting");
        shutdown(fd, SHUT_RDWR);
        _exit(0);
    }
}

/* ---- a stream ---------------------------------------------------------- */

static void carry(int client, int relay)
{
    struct pollfd p[2] = {{client, POLLIN, 0}, {relay, POLLIN, 0}};
    static uint8_t buf[65536];
    place at = {0};
    int due = 0;
    sigset_t none;
    sigemptyset(&none);
    for (;;) {
        if (told) {
            due = told;
            told = 0;
        }
        if (due && is_between(&at)) {
            speak(client, due);
            due = 0;
        }
        if (ppoll(p, 2, NULL, &none) < 0)
            continue; /* a signal */
        for (int i = 0; i < 2; i++) {
            if (!p[i].revents)
                continue;
            ssize_t n = recv(p[i].fd, buf, sizeof buf, 0);
            if (n <= 0)
                _exit(0);
            size_t sent = 0;
            for (size_t k = 0; i == 1 && k < (size_t)n; k++) {
                step(&at, buf[k]);
                if (due && is_between(&at)) { /* as soon as a frame ends */
                    send_all(client, buf + sent, k + 1 - sent);
                    sent = k + 1;
                    speak(client, due);
                    due = 0;
                }
            }
            send_all(p[1 - i].fd, buf + sent, (size_t)n - sent);
        }
    }
}

/* Waits for the request: is it for DERP? */
static bool wants_derp(int client)
{
    static const char want[] = "GET /derp HTTP";
    char got[sizeof want - 1];
    struct timeval most = {2, 0};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    ssize_t n = recv(client, got, sizeof got, MSG_PEEK | MSG_WAITALL);
    most.tv_sec = 0;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    return n == (ssize_t)sizeof got && memcmp(got, want, sizeof got) == 0;
}

static void serve(int client, const struct sockaddr_in *to)
{
    int relay = socket(AF_INET, SOCK_STREAM, 0);
    if (relay < 0 || connect(relay, (const void *)to, sizeof *to) < 0)
        _exit(1);
    carry(client, relay);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP};
    struct sigaction act;
    sigset_t ours, none;
    long long away_until = 0;
    int on = 1;
    if (argc != 3)
        return 2;
    struct sockaddr_in at = local(argv[1]), to = local(argv[2]);
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigemptyset(&ours);
    sigemptyset(&none);
    for (size_t i = 0; i < 3; i++) {
        sigaction(signals[i], &act, NULL);
        sigaddset(&ours, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &ours, NULL); /* they come in ppoll alone */
    signal(SIGCHLD, SIG_IGN);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    if (l < 0 || setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(l, (const void *)&at, sizeof at) < 0 || listen(l, 16) < 0)
        fail("listen");
    for (;;) {
        struct pollfd p = {l, POLLIN, 0};
        bool ready = ppoll(&p, 1, NULL, &none) > 0;
        if (told == SIGHUP)
            away_until = now_ms() + AWAY_MS;
        told = 0;
        int client = ready ? accept(l, NULL, NULL) : -1;
        if (client < 0)
            continue;
        bool away = now_ms() < away_until;
        if (wants_derp(client))
            say(away ? "turned away" : "connect");
        if (!away && fork() == 0)
            serve(client, &to);
        close(client);
    }
}
