/*
 * nspeer - remora's netstack on a packet socket, so that ordinary programs can
 * meet a kernel's TCP through it.
 *
 *     nspeer --link PATH --addr IP [--addr IP] [--mtu N]
 *            [--serve PORT=ADDR:PORT] [--forward LOCAL=ADDR:PORT]
 *            [--recv-max BYTES] [--send-max BYTES] [--trace FILE]
 *
 * PATH is the shim's SOCK_SEQPACKET socket.  --serve listens on a port of the
 * stack and connects to a local service; --forward listens locally and dials
 * through the stack.  --trace writes the numbers of each connection every
 * 20 ms.  "ready" is printed when all listens; counters at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <remora/bridge.h>
#include <remora/netstack.h>

#include "nspeer.h"

#define BATCH 64
#define TRACE_EVERY (20 * RMR_MS)

static volatile sig_atomic_t stop;
static sigset_t outside; /* signals come in ppoll alone */

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

void peer_die(const char *what, const char *which)
{
    fprintf(stderr, "nspeer: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

/* ---- the environment of the stack ------------------------------------- */

static void *env_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align; /* malloc's is enough for what the stack asks */
    return malloc(size);
}
static void env_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}
static rmr_err env_random(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    return getrandom(dst, len, 0) == (ssize_t)len ? RMR_OK : RMR_E_RNG;
}

static rmr_time clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (rmr_time)t.tv_sec * RMR_SEC + (rmr_time)t.tv_nsec;
}

/* ---- packets ---------------------------------------------------------- */

static int join(const char *path)
{
    struct sockaddr_un a;
    int size = 8 << 20;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        peer_die("no shim at", path);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

static bool packets_in(peer *p)
{
    static uint8_t buf[65536];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(p->link, buf, sizeof buf);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        (void)rmr_ns_read_pkt(p->ns, p->now, rmr_bytes_of(buf, (size_t)n));
    }
    return true;
}

/* While the shim takes no packet, the stack is not asked for any. */
static bool packets_out(peer *p)
{
    size_t n;
    p->link_full = false;
    for (;;) {
        if (p->held == 0) {
            rmr_buf to = {p->packet, sizeof p->packet};
            if (rmr_ns_write_pkt(p->ns, p->now, to, &n) || n == 0)
                return true;
            p->held = n;
        }
        if (write(p->link, p->packet, p->held) < 0) {
            p->link_full = errno == EAGAIN || errno == EINTR;
            return p->link_full;
        }
        p->held = 0;
    }
}

/* ---- the loop --------------------------------------------------------- */

static void trace(peer *p)
{
    rmr_ns_tcp_info t;
    if (!p->trace || p->now < p->trace_at)
        return;
    p->trace_at = p->now + TRACE_EVERY;
    for (flow *f = p->flows; f; f = f->next)
        if (!rmr_ns_tcp_get_info(p->ns, f->sock, &t))
            fprintf(p->trace,
                    "%.3f flow %p state %d srtt %.1f rto %.1f cwnd %u "
                    "ssthresh %u flight %u snd_wnd %u rcv_wnd %u rtx %llu "
                    "unsent %zu unread %zu\n",
                    (double)(p->now - p->began) / 1e9, (void *)f, (int)t.state,
                    (double)t.srtt / 1e6, (double)t.rto / 1e6, t.cwnd_bytes,
                    t.ssthresh_bytes, t.in_flight_bytes, t.snd_wnd_bytes,
                    t.rcv_wnd_bytes, (unsigned long long)t.retransmits,
                    t.unsent_bytes, t.unread_bytes);
}

static void pause_for(struct pollfd *fds, size_t n, rmr_time at)
{
    rmr_time now = clock_now();
    rmr_dur d = rmr_time_since(at, now);
    struct timespec t = {(time_t)(d / RMR_SEC), (long)(d % RMR_SEC)};
    if (ppoll(fds, (nfds_t)n, at == RMR_TIME_NEVER ? NULL : &t, &outside) < 0)
        for (size_t i = 0; i < n; i++)
            fds[i].revents = 0; /* a signal */
}

static void run(peer *p)
{
    while (!stop) {
        size_t n = 0;
        rmr_time at = rmr_ns_next_deadline(p->ns);
        if (p->trace)
            at = rmr_time_min(at, p->trace_at);
        p->fds[n].fd = p->link;
        p->fds[n].events = (short)(POLLIN | (p->link_full ? POLLOUT : 0));
        n = flows_poll(p, 1);
        pause_for(p->fds, n, at);
        p->now = clock_now();
        if ((p->fds[0].revents & (POLLIN | POLLHUP | POLLERR)) &&
            !packets_in(p))
            return;
        if (p->now >= rmr_ns_next_deadline(p->ns))
            (void)rmr_ns_handle_deadline(p->ns, p->now);
        flows_turn(p);
        if (!packets_out(p))
            return;
        trace(p);
    }
}

static void report(const peer *p)
{
    rmr_ns_stats s;
    rmr_ns_get_stats(p->ns, &s);
#define SAY(name) printf("ns_%s %llu\n", #name, (unsigned long long)s.name)
    SAY(rx_pkts);
    SAY(tx_pkts);
    SAY(tcp_accepted);
    SAY(tcp_connected);
    SAY(tcp_resets_sent);
    SAY(tcp_resets_got);
    SAY(tcp_retransmits);
    SAY(tcp_timeouts);
    SAY(tcp_challenge_acks);
    SAY(discard_malformed);
    SAY(discard_checksum);
    SAY(discard_not_local);
    SAY(discard_no_socket);
    SAY(discard_full);
    SAY(clock_back);
    SAY(sockets);
    SAY(time_wait);
    SAY(buffer_bytes);
#undef SAY
    printf("ns_flows %zu\n", p->n_flows);
    fflush(stdout);
}

/* ---- the command line ------------------------------------------------- */

static void usage(void)
{
    fputs("usage: nspeer --link PATH --addr IP... [--mtu N] "
          "[--serve PORT=ADDR:PORT]... [--forward LOCAL=ADDR:PORT]... "
          "[--recv-max N] [--send-max N] [--trace FILE]\n",
          stderr);
    exit(2);
}

/* What the stack is made of; --serve and --forward come after it is there. */
static const char *config_of(rmr_ns_config *c, peer *p, int argc, char **argv)
{
    const char *path = NULL;
    if (argc % 2 == 0)
        usage();
    for (int i = 1; i < argc; i += 2) {
        const char *o = argv[i], *v = argv[i + 1];
        if (strcmp(o, "--link") == 0)
            path = v;
        else if (strcmp(o, "--mtu") == 0)
            c->mtu = (uint32_t)strtoul(v, NULL, 10);
        else if (strcmp(o, "--recv-max") == 0)
            c->tcp_recv_max = strtoul(v, NULL, 10);
        else if (strcmp(o, "--send-max") == 0)
            c->tcp_send_max = strtoul(v, NULL, 10);
        else if (strcmp(o, "--trace") == 0)
            p->trace = fopen(v, "w");
        else if (strcmp(o, "--addr") && strcmp(o, "--serve") &&
                 strcmp(o, "--forward"))
            usage();
    }
    if (!path)
        usage();
    return path;
}

static void set_up(peer *p, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        rmr_bytes v = rmr_bytes_of(argv[i + 1], strlen(argv[i + 1]));
        rmr_addr ip;
        rmr_serve serve;
        rmr_forward forward;
        rmr_err bad = RMR_OK;
        if (strcmp(argv[i], "--addr") == 0) {
            if (!(bad = rmr_addr_parse_ip(v, &ip)))
                bad = rmr_ns_addr_add(p->ns, &ip);
        } else if (strcmp(argv[i], "--serve") == 0) {
            if (!(bad = rmr_serve_parse(v, &serve)))
                flows_serve(p, &serve);
        } else if (strcmp(argv[i], "--forward") == 0) {
            if (!(bad = rmr_forward_parse(v, &forward)))
                flows_forward(p, &forward);
        }
        if (bad) {
            fprintf(stderr, "nspeer: %s %s: %s\n", argv[i], argv[i + 1],
                    rmr_err_name(bad));
            exit(2);
        }
    }
}

static void catch_signals(void)
{
    struct sigaction act;
    sigset_t ours;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigprocmask(SIG_BLOCK, &ours, &outside);
}

/* A kernel's stack does not wait for a processor either: it runs when it is woken,
 * on a machine that is busy too, where that is allowed. */
static void hurry(void)
{
    struct sched_param p = {1};
    prctl(PR_SET_TIMERSLACK, 1ul);
    (void)sched_setscheduler(0, SCHED_FIFO, &p);
}

int main(int argc, char **argv)
{
    static peer p;
    rmr_env env = {{env_alloc, env_release, NULL},
                   {env_random, NULL},
                   {NULL, NULL, RMR_LOG_OFF}};
    rmr_ns_callbacks cb;
    rmr_ns_config c;
    catch_signals();
    hurry();

    rmr_ns_config_init(&c, sizeof c);
    flows_callbacks(&cb, &p);
    c.callbacks = &cb;
    c.no_nagle = true; /* the sockets behind have their own */
    const char *path = config_of(&c, &p, argc, argv);
    p.now = p.began = clock_now();
    if (rmr_ns_new(&p.ns, &env, &c, p.now)) {
        fputs("nspeer: no stack with these numbers\n", stderr);
        return 1;
    }
    p.link = join(path);
    set_up(&p, argc, argv);
    puts("ready");
    fflush(stdout);
    run(&p);
    report(&p);
    flows_free(&p);
    rmr_ns_free(p.ns);
    close(p.link);
    if (p.trace)
        fclose(p.trace);
    return 0;
}
