/* derp_load - clients of a DERP relay, to load it: the same for any relay, so
 * that two can be compared.
 *
 *   derp_load --relay ADDR:PORT --pid PID [--clients N] [--seconds S]
 *             [--size BYTES] [--plain] MODE
 *
 *   idle   opens N clients, prints the relay's memory a client
 *   pump   N/2 pairs, one sends to the other as fast as it goes; prints the
 *          relay's CPU time a packet
 *   slow   the same, and one more pair whose receiver stops reading half way:
 *          prints the others' rate before and after
 *
 * PID is the relay's: its CPU time and memory are read from /proc.  Prints one
 * JSON object.  Linux. */
#include <remora/crypto.h>
#include <remora/derp.h>
#include <remora/tls.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPENING 200 /* handshakes at a time */
/* Packets on their way between two clients: below the 32 that relays queue for
 * a client, so that none is dropped and the count at the end is of work. */
#define WINDOW 28

typedef struct client {
    int fd;
    rmr_tls *tls; /* NULL: plain */
    rmr_derp *derp;
    uint8_t public_key[RMR_KEY_LEN];
    struct client *to, *from; /* pumps to it, from it */
    uint64_t sent, received;
    bool up, stopped /* reads no more */, opening, want_out;
    uint8_t *out; /* not taken by the socket yet */
    size_t out_len, out_at;
} client;

static struct {
    struct sockaddr_in addr;
    const char *mode;
    int pid, clients, size;
    double seconds;
    bool plain;
} opt = {.clients = 100, .size = 1280, .seconds = 5};

static rmr_gcm gcm; /* the load must not be what both wait for */
static client *all;
static int n_all, n_up, n_opening, epoll_fd;
static uint8_t payload[65536], in_buf[65536];

static void die(const char *what)
{
    fprintf(stderr, "derp_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static rmr_time now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (rmr_time)t.tv_sec * RMR_SEC + (rmr_time)t.tv_nsec;
}

static void *mem_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

static void mem_free(void *user, void *p, size_t size)
{
    (void)user, (void)size;
    free(p);
}

static rmr_err rng(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    return getrandom(dst, len, 0) == (ssize_t)len ? RMR_OK : RMR_E_RNG;
}

static rmr_env env_of(void)
{
    rmr_env env = {0};
    env.alloc.alloc = mem_alloc;
    env.alloc.release = mem_free;
    env.rng.fill = rng;
    return env;
}

/* ---- what the relay uses ------------------------------------------------ */

static double relay_cpu(void)
{
    char path[64], text[1024];
    unsigned long user = 0, sys = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(text, sizeof text, f))
        die(path);
    fclose(f);
    char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &sys) != 2)
        die("stat");
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static double relay_kib(void)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/status", opt.pid);
    FILE *f = fopen(path, "r");
    if (!f)
        die(path);
    while (kib < 0 && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    fclose(f);
    return (double)kib;
}

/* ---- one client ----------------------------------------------------------- */

static void on_up(void *user)
{
    client *c = user;
    c->up = true;
    n_up++;
    if (c->opening) {
        c->opening = false;
        n_opening--;
    }
}

static void on_down(void *user, rmr_err why)
{
    client *c = user;
    if (c->up)
        n_up--;
    c->up = false;
    if (!c->stopped)
        fprintf(stderr, "derp_load: a client is down: %s\n",
                rmr_derp_err_text(why));
}

static void on_packet(void *user, const uint8_t src[RMR_KEY_LEN], rmr_buf pkt)
{
    client *c = user;
    (void)src, (void)pkt;
    c->received++;
}

static void watch(client *c, bool out)
{
    struct epoll_event ev = {0};
    ev.events = (c->stopped ? 0 : EPOLLIN) | (out ? EPOLLOUT : 0);
    ev.data.ptr = c;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
    c->want_out = out;
}

static void client_open(client *c)
{
    rmr_env env = env_of();
    rmr_derp_config cfg;
    rmr_derp_callbacks cb = {0};
    rmr_derp_node node = {0};
    rmr_dial dial;
    uint8_t secret[RMR_KEY_LEN];
    int one = 1;

    cb.struct_size = sizeof cb;
    cb.user = c;
    cb.on_up = on_up;
    cb.on_down = on_down;
    cb.on_packet = on_packet;
    rmr_derp_config_init(&cfg, sizeof cfg);
    rng(NULL, secret, sizeof secret);
    memcpy(cfg.private_key, secret, sizeof secret);
    rmr_x25519_public(c->public_key, secret);
    snprintf(node.dial.host, sizeof node.dial.host, "127.0.0.1");
    node.dial.port = ntohs(opt.addr.sin_port);
    cfg.nodes = &node;
    cfg.n_nodes = 1;
    cfg.always_on = true;
    cfg.queue_pkts = 2 * WINDOW;
    cfg.queue_bytes = 1024 * 1024;
    cfg.callbacks = &cb;
    if (rmr_derp_new(&c->derp, &env, &cfg, now_ns()) != RMR_OK ||
        !rmr_derp_wants_stream(c->derp, now_ns(), &dial))
        die("derp_new");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 ||
        connect(c->fd, (struct sockaddr *)&opt.addr, sizeof opt.addr) != 0)
        die("connect");
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!opt.plain) {
        rmr_tls_config tc;
        rmr_tls_config_init(&tc, sizeof tc);
        tc.server_name = "127.0.0.1";
        tc.insecure = true;
        tc.gcm = gcm.name ? &gcm : NULL;
        tc.wall_unix_ns = (uint64_t)time(NULL) * RMR_SEC;
        if (rmr_tls_client_new(&c->tls, &env, &tc) != RMR_OK)
            die("tls");
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
    c->want_out = true;
    c->opening = true;
    n_opening++;
    if (rmr_derp_stream_opened(c->derp, now_ns()) != RMR_OK)
        die("opened");
}

/* Bytes for the socket into c->out; false: none. */
static bool produce(client *c)
{
    size_t len = 0;
    rmr_buf place;
    if (!c->out)
        c->out = malloc(65536);
    if (!c->out)
        die("malloc");
    if (!c->tls) {
        rmr_derp_write(c->derp, now_ns(), rmr_buf_of(c->out, 65536), &len);
    } else {
        if (rmr_tls_reserve(c->tls, &place) == RMR_OK && place.len > 0) {
            rmr_derp_write(c->derp, now_ns(), place, &len);
            if (len > 0 && rmr_tls_commit(c->tls, len) != RMR_OK)
                die("commit");
        }
        rmr_tls_write(c->tls, rmr_buf_of(c->out, 65536), &len);
    }
    c->out_at = 0;
    c->out_len = len;
    if (len == 0) { /* idle clients hold no buffer */
        free(c->out);
        c->out = NULL;
    }
    return len > 0;
}

static void fill(client *c)
{
    if (!c->to || !c->up)
        return;
    while (c->sent - c->to->received < WINDOW) {
        if (rmr_derp_send(c->derp, now_ns(), c->to->public_key,
                          rmr_bytes_of(payload, (size_t)opt.size)) != RMR_OK)
            break;
        c->sent++;
    }
}

static void do_out(client *c)
{
    for (int round = 0; round < 8; round++) {
        if (c->out_at == c->out_len) {
            fill(c);
            if (!produce(c)) {
                if (c->want_out)
                    watch(c, false);
                return;
            }
        }
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
                         MSG_NOSIGNAL);
        if (n <= 0) {
            if (!c->want_out)
                watch(c, true);
            return;
        }
        c->out_at += (size_t)n;
    }
}

static void do_in(client *c)
{
    ssize_t n = recv(c->fd, in_buf, sizeof in_buf, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        rmr_derp_stream_closed(c->derp, now_ns(), RMR_OK);
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        return;
    }
    if (!c->tls) {
        rmr_derp_read(c->derp, now_ns(), rmr_buf_of(in_buf, (size_t)n));
        return;
    }
    for (size_t at = 0; at < (size_t)n;) {
        size_t used = 0;
        rmr_buf view;
        rmr_err err = rmr_tls_read(
            c->tls, rmr_bytes_of(in_buf + at, (size_t)n - at), &used);
        at += used;
        while (rmr_tls_peek(c->tls, &view) == RMR_OK && view.len > 0) {
            rmr_derp_read(c->derp, now_ns(), view);
            rmr_tls_consume(c->tls, view.len);
        }
        if (err != RMR_OK) {
            fprintf(stderr, "derp_load: TLS: %s\n", rmr_tls_err_text(err));
            exit(1);
        }
        if (used == 0 && view.len == 0)
            do_out(c);
    }
}

static void turn(int wait_ms)
{
    struct epoll_event ev[256];
    int n = epoll_wait(epoll_fd, ev, 256, wait_ms);
    for (int i = 0; i < n; i++) {
        client *c = ev[i].data.ptr;
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            do_in(c);
        do_out(c);
        if (c->from) /* its window opened */
            do_out(c->from);
    }
}

static void run_for(double seconds)
{
    rmr_time end = now_ns() + (rmr_time)(seconds * 1e9);
    while (now_ns() < end)
        turn(20);
}

static void open_all(int count)
{
    rmr_time limit = now_ns() + 300 * RMR_SEC;
    while (n_up < count) {
        while (n_all < count && n_opening < MAX_OPENING)
            client_open(&all[n_all++]);
        turn(100);
        if (now_ns() > limit) {
            fprintf(stderr, "derp_load: %d of %d clients are up\n", n_up,
                    count);
            exit(1);
        }
    }
}

/* ---- modes ------------------------------------------------------------------ */

static uint64_t received(int from, int to)
{
    uint64_t sum = 0;
    for (int i = from; i < to; i++)
        sum += all[i].received;
    return sum;
}

static void idle(void)
{
    open_all(1);
    double before = relay_kib();
    open_all(opt.clients);
    run_for(opt.seconds);
    double after = relay_kib();
    printf("{\"mode\":\"idle\",\"clients\":%d,\"kib\":%.0f,"
           "\"kib_a_client\":%.2f}\n",
           opt.clients, after, (after - before) / (opt.clients - 1));
}

/* Clients 2i send to 2i+1. */
static void pair_up(int from, int to)
{
    for (int i = from; i + 1 < to; i += 2) {
        all[i].to = &all[i + 1];
        all[i + 1].from = &all[i];
        watch(&all[i], true);
    }
}

static void pump(void)
{
    open_all(opt.clients);
    pair_up(0, opt.clients);
    run_for(1);
    double cpu = relay_cpu();
    uint64_t packets = received(0, opt.clients);
    rmr_time began = now_ns();
    run_for(opt.seconds);
    cpu = relay_cpu() - cpu;
    packets = received(0, opt.clients) - packets;
    double s = (double)(now_ns() - began) / 1e9;
    printf("{\"mode\":\"pump\",\"clients\":%d,\"size\":%d,\"packets\":%llu,"
           "\"packets_per_s\":%.0f,\"cpu_us_a_packet\":%.3f,"
           "\"cpu_s_a_gb\":%.3f}\n",
           opt.clients, opt.size, (unsigned long long)packets,
           (double)packets / s, cpu * 1e6 / (double)packets,
           cpu * 1e9 / ((double)packets * opt.size));
}

static void slow(void)
{
    int n = opt.clients;
    open_all(n + 2);
    pair_up(0, n + 2);
    run_for(1);
    uint64_t before = received(0, n);
    run_for(opt.seconds);
    before = received(0, n) - before;
    all[n + 1].stopped = true;
    watch(&all[n + 1], false);
    uint64_t after = received(0, n);
    run_for(opt.seconds);
    after = received(0, n) - after;
    printf("{\"mode\":\"slow\",\"clients\":%d,\"packets_before\":%llu,"
           "\"packets_after\":%llu,\"ratio\":%.3f}\n",
           n, (unsigned long long)before, (unsigned long long)after,
           (double)after / (double)before);
}

static void usage(void)
{
    fputs("usage: derp_load --relay ADDR:PORT --pid PID [--clients N] "
          "[--seconds S] [--size BYTES] [--plain] idle|pump|slow\n",
          stderr);
    exit(2);
}

static void read_relay(char *text)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        usage();
    *colon = 0;
    opt.addr.sin_family = AF_INET;
    opt.addr.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, text, &opt.addr.sin_addr) != 1)
        usage();
}

static void arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--plain") == 0) {
            opt.plain = true;
        } else if (a[0] != '-') {
            opt.mode = a;
        } else if (i + 1 == argc) {
            usage();
        } else if (strcmp(a, "--relay") == 0) {
            read_relay(argv[++i]);
        } else if (strcmp(a, "--pid") == 0) {
            opt.pid = atoi(argv[++i]);
        } else if (strcmp(a, "--clients") == 0) {
            opt.clients = atoi(argv[++i]);
        } else if (strcmp(a, "--size") == 0) {
            opt.size = atoi(argv[++i]);
        } else if (strcmp(a, "--seconds") == 0) {
            opt.seconds = atof(argv[++i]);
        } else {
            usage();
        }
    }
    if (!opt.mode || opt.addr.sin_port == 0 || opt.pid <= 0 ||
        opt.clients < 2 || opt.size < 1 || opt.size > 65536)
        usage();
}

int main(int argc, char **argv)
{
    struct rlimit files;
    arguments(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    rmr_env env = env_of();
    if (rmr_crypto_init() != RMR_OK)
        die("crypto");
    (void)rmr_gcm_new(&gcm, &env.alloc); /* without it TLS uses its own */
    epoll_fd = epoll_create1(0);
    all = calloc((size_t)opt.clients + 2, sizeof *all);
    if (epoll_fd < 0 || !all)
        die("start");
    if (strcmp(opt.mode, "idle") == 0)
        idle();
    else if (strcmp(opt.mode, "pump") == 0)
        pump();
    else if (strcmp(opt.mode, "slow") == 0)
        slow();
    else
        usage();
    return 0;
}
