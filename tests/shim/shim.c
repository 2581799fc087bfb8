/*
 * shim - joins two ends with an impaired link between them.
 *
 *     shim --a END --b END [--ab LINK] [--ba LINK] [--seed N[,M]] [--pcap FILE]
 *
 * END is a TUN device that exists, tun:NAME or tun:/run/netns/X:NAME, or a
 * program that carries a stack of its own, unix:PATH: the shim listens there
 * (SOCK_SEQPACKET, one IP packet a message) and takes one connection.  LINK is
 * the text that remora/sim_link.h explains; N is the seed of A to B, M (N + 1) that of B to
 * A.  "ready" is printed when both ends are there; at the end (a signal, or a
 * program that went) what was counted is printed, a word and a number a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <remora/sim_link.h>

#include "pcap.h"
#include "watch.h"

#define PACKET_MAX 65536
#define BATCH 64
#define SOCKET_BUFFER (8 << 20)

typedef struct end {
    int fd, listener;
    bool full; /* it takes no packet now */
} end;

static volatile sig_atomic_t stop;
static sigset_t outside; /* signals come in ppoll alone */

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static void die(const char *what, const char *which)
{
    fprintf(stderr, "shim: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static uint64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- ends ------------------------------------------------------------- */

static void enter(const char *netns)
{
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        die("can't enter", netns);
    close(fd);
}

/* A TUN file belongs to the network namespace that it was opened in. */
static int open_tun(char *spec)
{
    struct ifreq req;
    char *name = strrchr(spec, ':');
    if (name) {
        *name++ = 0;
        enter(spec);
    } else {
        name = spec;
    }
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("there is no TUN device here:", "/dev/net/tun");
    memset(&req, 0, sizeof req);
    req.ifr_flags = IFF_TUN | IFF_NO_PI;
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &req) != 0)
        die("can't take", name);
    return fd;
}

static int listen_at(const char *path)
{
    struct sockaddr_un a;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(fd, 1) != 0)
        die("can't listen at", path);
    return fd;
}

static void open_end(end *e, char *spec)
{
    e->fd = e->listener = -1;
    if (strncmp(spec, "tun:", 4) == 0) {
        e->fd = open_tun(spec + 4);
    } else if (strncmp(spec, "unix:", 5) == 0) {
        e->listener = listen_at(spec + 5);
    } else {
        errno = EINVAL;
        die("no end:", spec);
    }
}

/* Room for bursts: only the link loses packets. */
static void wait_for_program(end *e)
{
    int size = SOCKET_BUFFER;
    if (e->listener < 0)
        return;
    e->fd = accept4(e->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (e->fd < 0)
        die("no program came:", "accept");
    if (setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(e->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* ---- the loop --------------------------------------------------------- */

typedef struct shim {
    end end[2];
    rmr_sim_pipe *link[2]; /* [0]: from A to B */
    watch seen;
    pcap *log;
    uint64_t refused; /* by an end's kernel: a bug of this set-up */
} shim;

static bool take(shim *s, int from)
{
    static uint8_t p[PACKET_MAX];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(s->end[from].fd, p, sizeof p);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false; /* the program is gone */
        uint64_t now = clock_now();
        watch_packet(&s->seen, now, from, p, (size_t)n);
        pcap_packet(s->log, now, p, (size_t)n);
        (void)rmr_sim_pipe_push(s->link[from], now, rmr_bytes_of(p, (size_t)n));
    }
    return true;
}

static void give(shim *s, int from, uint64_t now)
{
    end *to = &s->end[!from];
    rmr_bytes p;
    to->full = false;
    while (rmr_sim_pipe_due(s->link[from], now, &p)) {
        if (write(to->fd, p.ptr, p.len) < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                to->full = true;
                return;
            }
            s->refused++;
        }
        rmr_sim_pipe_drop(s->link[from]);
    }
}

static void pause_until(struct pollfd *fds, uint64_t at)
{
    uint64_t now = clock_now(), ns = at > now ? at - now : 0;
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    if (ppoll(fds, 2, at == RMR_TIME_NEVER ? NULL : &t, &outside) < 0)
        fds[0].revents = fds[1].revents = 0; /* a signal */
}

static void run(shim *s)
{
    while (!stop) {
        struct pollfd fds[2];
        uint64_t now = clock_now(), at = RMR_TIME_NEVER;
        for (int from = 0; from < 2; from++) {
            give(s, from, now);
            uint64_t next = rmr_sim_pipe_next(s->link[from]);
            if (!s->end[!from].full && next < at)
                at = next;
        }
        for (int i = 0; i < 2; i++) {
            fds[i].fd = s->end[i].fd;
            fds[i].events = (short)(POLLIN | (s->end[i].full ? POLLOUT : 0));
            fds[i].revents = 0;
        }
        pause_until(fds, at);
        for (int i = 0; i < 2; i++)
            if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) && !take(s, i))
                return;
    }
}

static void report(const shim *s)
{
    for (int i = 0; i < 2; i++) {
        char e = i ? 'b' : 'a';
        const watch_dir *d = &s->seen.dir[i];
        rmr_sim_link_stats l = rmr_sim_pipe_stats(s->link[i]);
#define SAY(name, v) printf("%c_%s %llu\n", e, name, (unsigned long long)(v))
        SAY("packets", d->packets);
        SAY("bytes", d->bytes);
        SAY("segments", d->segments);
        SAY("data", d->data);
        SAY("repeats", d->repeats);
        SAY("dsacks", d->dsacks);
        SAY("resets", d->resets);
        SAY("late_resets", d->late_resets);
        SAY("syns", d->syns);
        SAY("fins", d->fins);
        SAY("gap_ms", d->longest_gap / 1000000u);
        SAY("lost", l.lost);
        SAY("overflow", l.overflow);
        SAY("too_long", l.too_long);
        SAY("held", l.held);
        SAY("duplicated", l.duplicated);
        SAY("corrupted", l.corrupted);
        SAY("queue_max", l.queue_max);
#undef SAY
    }
    printf("refused %llu\n", (unsigned long long)s->refused);
    fflush(stdout);
}

static void usage(void)
{
    fputs("usage: shim --a END --b END [--ab LINK] [--ba LINK] [--seed N[,M]] "
          "[--pcap FILE]\n",
          stderr);
    exit(2);
}

static void parse_link(rmr_sim_link_config *c, const char *text)
{
    const char *why = text;
    if (rmr_sim_link_parse(c, text, &why) == RMR_OK)
        return;
    fprintf(stderr, "shim: no link: %s\n", why);
    exit(2);
}

static void parse_seeds(rmr_sim_link_config c[2], const char *text)
{
    char *rest;
    c[0].seed = strtoull(text, &rest, 10);
    c[1].seed = *rest == ',' ? strtoull(rest + 1, NULL, 10) : c[0].seed + 1;
}

static void *heap_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align; /* malloc's is the strictest */
    return malloc(size);
}

static void heap_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static void catch_signals(void)
{
    struct sigaction act;
    sigset_t ours;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigprocmask(SIG_BLOCK, &ours, &outside);
}

/* The link is as late as this process is: it runs when it is woken, on a machine
 * that is busy too, where that is allowed. */
static void hurry(void)
{
    struct sched_param p = {1};
    (void)sched_setscheduler(0, SCHED_FIFO, &p);
}

int main(int argc, char **argv)
{
    static const rmr_alloc heap = {heap_alloc, heap_release, NULL};
    static shim s;
    char *spec[2] = {NULL, NULL};
    const char *log = NULL;
    rmr_sim_link_config c[2];
    memset(c, 0, sizeof c);
    parse_seeds(c, "1");
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *o = argv[i];
        if (strcmp(o, "--a") == 0)
            spec[0] = argv[i + 1];
        else if (strcmp(o, "--b") == 0)
            spec[1] = argv[i + 1];
        else if (strcmp(o, "--ab") == 0)
            parse_link(&c[0], argv[i + 1]);
        else if (strcmp(o, "--ba") == 0)
            parse_link(&c[1], argv[i + 1]);
        else if (strcmp(o, "--seed") == 0)
            parse_seeds(c, argv[i + 1]);
        else if (strcmp(o, "--pcap") == 0)
            log = argv[i + 1];
        else
            usage();
    }
    if (!spec[0] || !spec[1] || argc % 2 == 0)
        usage();
    catch_signals();
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1ul);
    hurry();
    /* headers and a little */
    if (log && !(s.log = pcap_open(log, 160)))
        die("can't write", log);
    for (int i = 0; i < 2; i++) {
        if (rmr_sim_pipe_new(&s.link[i], &heap, &c[i]) != RMR_OK)
            die("no memory for", "a link");
        open_end(&s.end[i], spec[i]);
    }
    wait_for_program(&s.end[0]);
    wait_for_program(&s.end[1]);
    puts("ready");
    fflush(stdout);
    run(&s);
    report(&s);
    pcap_close(s.log);
    rmr_sim_pipe_free(s.link[0]);
    rmr_sim_pipe_free(s.link[1]);
    return 0;
}
