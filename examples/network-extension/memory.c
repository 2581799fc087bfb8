/* The tunnel's memory: it joins a control server (the scripted one of our tests,
 * in a process of its own) whose netmap has many peers and comes compressed with
 * an 8 MiB window; asks a name and sends packets to many of them; and says what
 * it took.
 *   tunnel_memory [PEERS [LIMIT-MB [BUDGET-KB]]]
 *                                50000 50 40960; limit 0: no limit
 * Fails when the process had more than the limit at any time, or the node wanted
 * more than its budget.  With a budget of less than it needs (say 2000) it must
 * live on without what it could not have: that is then what is tested. */
#define _DEFAULT_SOURCE
#include "tunnel.h"

#include "control_machine.h"
#include "loop.h"

#include <remora/posix.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUDGET_KB 40960 /* of the node; beside it: the program, the adapter */
#define PATIENCE (60 * RMR_SEC)

static void die(const char *what)
{
    (void)fprintf(stderr, "tunnel_memory: %s\n", what);
    exit(1);
}

/* ---- the control server, in a child -------------------------------------- */

/* Its machine listens on port 80; here on a free one, which is told. */
typedef struct served {
    rmr_machine m;
    int tell;
} served;

static rmr_err s_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    served *s = self;
    if (ev->kind == RMR_IO_OPENED &&
        write(s->tell, &ev->addr.port, sizeof ev->addr.port) < 0)
        _exit(1);
    return s->m.event(s->m.self, now, ev);
}

static rmr_err s_next_op(void *self, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    served *s = self;
    rmr_err e = s->m.next_op(s->m.self, now, scratch, op);
    if (op->kind == RMR_IO_LISTEN)
        op->addr = rmr_addr_v4(127, 0, 0, 1, 0);
    return e;
}

static rmr_time s_next_deadline(const void *self)
{
    const served *s = self;
    return s->m.next_deadline(s->m.self);
}

static rmr_err s_deadline(void *self, rmr_time now)
{
    served *s = self;
    return s->m.handle_deadline(s->m.self, now);
}

static void serve(int peers, int tell)
{
    rmr_posix_config pc;
    rmr_posix *loop = NULL;
    control_machine *c = control_machine_new("{\"Regions\":{}}");
    served s = {control_machine_machine(c), tell};
    rmr_machine m = {&s, s_event, s_next_op, s_next_deadline, s_deadline};
    control_machine_fill(c, peers);
    rmr_posix_config_init(&pc, sizeof pc);
    pc.no_links = true;
    if (rmr_posix_new(&loop, &pc) == RMR_OK &&
        rmr_posix_add(loop, &m) == RMR_OK)
        (void)rmr_posix_run(loop);
    _exit(1);
}

static pid_t start_server(int peers, uint16_t *port)
{
    int fds[2];
    if (pipe(fds) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(fds[0]);
        serve(peers, fds[1]);
    }
    (void)close(fds[1]);
    if (pid < 0 || read(fds[0], port, sizeof *port) != (ssize_t)sizeof *port)
        die("the control server did not start");
    (void)close(fds[0]);
    return pid;
}

/* ---- the tunnel ------------------------------------------------------------ */

static struct {
    bool is_up, is_over, is_answered;
    rmr_addr own;
} seen;

static void on_up(void *user, const rmr_addr *ips, size_t n)
{
    (void)user;
    seen.is_up = n > 0;
    seen.own = n > 0 ? ips[0] : seen.own;
    loop_news();
}

static void on_packet(void *user, rmr_bytes packet)
{
    (void)user, (void)packet;
    seen.is_answered = true;
    loop_news();
}

static void on_trouble(void *user, const char *text, bool is_end)
{
    (void)user;
    (void)fprintf(stderr, "tunnel: %s\n", text);
    seen.is_over = is_end;
}

static void put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

/* RFC 791, RFC 768: a datagram of the host; no UDP checksum. */
static size_t datagram(uint8_t *pkt, const uint8_t to[4], uint16_t port,
                       rmr_bytes data)
{
    size_t len = 28 + data.len;
    uint32_t sum = 0;
    memset(pkt, 0, 28);
    pkt[0] = 0x45;
    put16(pkt + 2, (unsigned)len);
    pkt[8] = 64;
    pkt[9] = 17;
    memcpy(pkt + 12, seen.own.ip, 4);
    memcpy(pkt + 16, to, 4);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)pkt[i] << 8 | pkt[i + 1];
    sum = (sum >> 16) + (sum & 0xffff);
    put16(pkt + 10, ~(sum + (sum >> 16)) & 0xffff);
    put16(pkt + 20, 40000);
    put16(pkt + 22, port);
    put16(pkt + 24, (unsigned)(8 + data.len));
    memcpy(pkt + 28, data.ptr, data.len);
    return len;
}

typedef struct sending {
    tunnel *t;
    int peers;
} sending;

static void send_some(void *context)
{
    const sending *to_send = context;
    tunnel *t = to_send->t;
    /* RFC 1035: f9.ex.com. A IN */
    static const uint8_t ask[] = {0, 7,   1,   0,   0,   1,   0, 0,   0,
                                  0, 0,   0,   2,   'f', '9', 2, 'e', 'x',
                                  3, 'c', 'o', 'm', 0,   0,   1, 0,   1};
    static const uint8_t quad[] = {100, 100, 100, 100};
    uint8_t pkt[1280];
    size_t len = datagram(pkt, quad, 53, rmr_bytes_of(ask, sizeof ask));
    tunnel_send(t, rmr_posix_now(), rmr_bytes_of(pkt, len));
    for (int i = 0; i < to_send->peers && i < 1000; i++) {
        const uint8_t to[] = {100, 65, (uint8_t)(i / 250),
                              (uint8_t)(i % 250 + 1)};
        len = datagram(pkt, to, 9, rmr_bytes_str("hello"));
        tunnel_send(t, rmr_posix_now(), rmr_bytes_of(pkt, len));
    }
}

typedef struct looking {
    const tunnel *t;
    tunnel_memory memory;
} looking;

static void look(void *context)
{
    looking *l = context;
    l->memory = tunnel_get_memory(l->t);
}

static void start(tunnel **t, const char *url, const char *dir, size_t budget)
{
    tunnel_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.control_url = url;
    cfg.auth_key = "key";
    cfg.hostname = "n0";
    cfg.memory_max = budget * 1024;
    cfg.env = rmr_posix_env();
    cfg.on_up = on_up;
    cfg.on_packet = on_packet;
    cfg.on_trouble = on_trouble;
    if (!loop_open(dir) || tunnel_new(t, &cfg, rmr_posix_now()) != RMR_OK)
        die("no tunnel");
    rmr_machine m = tunnel_machine(*t);
    if (!loop_add(&m))
        die("no memory");
}

static long run(const char *url, const char *dir, int peers, size_t budget)
{
    bool is_small = budget < BUDGET_KB;
    sending s = {NULL, peers};
    looking l = {NULL, {0, 0, 0}};
    struct rusage use;
    start(&s.t, url, dir, budget);
    loop_run(&seen.is_up, is_small ? 5 * RMR_SEC : PATIENCE);
    if (!seen.is_up && !is_small)
        die("it did not come up");
    loop_call(send_some, &s);
    loop_run(is_small ? NULL : &seen.is_answered, 5 * RMR_SEC);
    loop_run(NULL, RMR_SEC); /* the netmap is kept, in a file */
    if (!seen.is_answered && !is_small)
        die("the name was not answered");
    (void)getrusage(RUSAGE_SELF, &use);
    l.t = s.t;
    loop_call(look, &l);
    printf("%d peers: the node took %zu KB, %zu KB at most, refused %zu times; "
           "the process %ld KB at most\n",
           peers, l.memory.now / 1024, l.memory.peak / 1024, l.memory.refused,
           use.ru_maxrss);
    if (is_small ? !l.memory.refused || seen.is_over : l.memory.refused > 0)
        die(is_small ? "the budget was enough, or the node gave up"
                     : "the node wanted more than its budget");
    loop_close();
    tunnel_free(s.t);
    return use.ru_maxrss;
}

int main(int argc, char **argv)
{
    int peers = argc > 1 ? atoi(argv[1]) : 50000;
    long limit_mb = argc > 2 ? atol(argv[2]) : 50;
    size_t budget = argc > 3 ? (size_t)atol(argv[3]) : BUDGET_KB;
    char url[64], dir[] = "/tmp/tunnel-XXXXXX", command[64];
    uint16_t port;
    pid_t server = start_server(peers, &port);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    if (!mkdtemp(dir))
        die("no directory");
    long peak = run(url, dir, peers, budget);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        die("the directory stays");
    if (limit_mb && peak > limit_mb * 1024)
        die("more than the limit");
    return 0;
}
