/* TCP between two stacks in one process, MTU 1,280, checksums made and
 * checked, 1 MiB windows, no delay and no loss. */
#include "bench_tcp.h"

#include <string.h>

static void on_accept(void *user, void *tag, rmr_ns_sock l, rmr_ns_sock sock,
                      const rmr_addr *remote)
{
    tcp_side *s = user;
    (void)tag;
    (void)l;
    (void)remote;
    s->sock = sock;
    s->connected = true;
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    tcp_side *s = user;
    (void)tag;
    (void)sock;
    s->connected = true;
}

static void side_new(tcp_side *s, uint8_t host)
{
    rmr_env env = bench_env();
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    memset(s, 0, sizeof *s);
    cb.struct_size = sizeof cb;
    cb.user = s;
    cb.on_accept = on_accept;
    cb.on_connected = on_connected;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.mtu = BENCH_PKT;
    cfg.tcp_recv_max = cfg.tcp_send_max = 1 << 20;
    cfg.no_nagle = true;
    cfg.callbacks = &cb;
    bench_must(rmr_ns_new(&s->ns, &env, &cfg, 0), "ns_new");
    rmr_addr a = rmr_addr_v4(10, 0, 0, host, 0);
    bench_must(rmr_ns_addr_add(s->ns, &a), "addr_add");
}

size_t tcp_carry_plain(void *user, tcp_side *from, tcp_side *to, rmr_time now,
                       size_t burst)
{
    uint8_t buf[BENCH_PKT];
    size_t n = 0;
    (void)user;
    for (; n < burst; n++) {
        size_t len = 0;
        bench_must(
            rmr_ns_write_pkt(from->ns, now, rmr_buf_of(buf, sizeof buf), &len),
            "write_pkt");
        if (!len)
            break;
        (void)rmr_ns_read_pkt(to->ns, now, rmr_bytes_of(buf, len));
    }
    return n;
}

static void drain(tcp_side *s, rmr_time now)
{
    rmr_bytes view;
    bool eof;
    while (rmr_ns_tcp_peek(s->ns, s->sock, &view, &eof) == RMR_OK &&
           view.len > 0) {
        s->received += view.len;
        bench_must(rmr_ns_tcp_consume(s->ns, now, s->sock, view.len),
                   "consume");
    }
}

static void deadlines(tcp_side *s, rmr_time now)
{
    if (now >= rmr_ns_next_deadline(s->ns))
        bench_must(rmr_ns_handle_deadline(s->ns, now), "deadline");
}

void tcp_pair_open(tcp_pair *p)
{
    rmr_ns_sock listener;
    rmr_addr to = rmr_addr_v4(10, 0, 0, 2, 80);
    p->now = RMR_SEC;
    side_new(&p->a, 1);
    side_new(&p->b, 2);
    bench_must(rmr_ns_tcp_listen(p->b.ns, &to, NULL, &listener), "listen");
    bench_must(rmr_ns_tcp_connect(p->a.ns, p->now, NULL, &to, NULL, &p->a.sock),
               "connect");
    for (int i = 0; i < 100 && !(p->a.connected && p->b.connected); i++) {
        tcp_carry_plain(NULL, &p->a, &p->b, p->now, TCP_BURST);
        tcp_carry_plain(NULL, &p->b, &p->a, p->now, TCP_BURST);
    }
    if (!p->a.connected || !p->b.connected)
        bench_must(RMR_E_TIMEOUT, "open");
}

void tcp_pair_free(tcp_pair *p)
{
    rmr_ns_free(p->a.ns);
    rmr_ns_free(p->b.ns);
}

void tcp_pair_turn(tcp_pair *p, tcp_carry carry, void *user, size_t burst)
{
    static const uint8_t data[65536];
    size_t taken = 0, n;
    rmr_time now = p->now += 20 * RMR_US;
    bench_must(rmr_ns_tcp_send(p->a.ns, now, p->a.sock,
                               rmr_bytes_of(data, sizeof data), &taken),
               "send");
    do {
        n = carry(user, &p->a, &p->b, now, burst);
        drain(&p->b, now);
        (void)carry(user, &p->b, &p->a, now, burst);
    } while (n == burst);
    deadlines(&p->a, now);
    deadlines(&p->b, now);
}

typedef struct load {
    tcp_pair pair;
    size_t burst;
} load;

static void step(void *user, uint64_t *ops, uint64_t *bytes)
{
    load *l = user;
    uint64_t before = l->pair.b.received;
    for (int i = 0; i < 200; i++)
        tcp_pair_turn(&l->pair, tcp_carry_plain, NULL, l->burst);
    *ops += 200;
    *bytes += l->pair.b.received - before;
}

static void bench_burst(const char *name, size_t burst)
{
    load l;
    if (!bench_wants(name))
        return;
    l.burst = burst;
    tcp_pair_open(&l.pair);
    bench_run(name, step, &l);
    tcp_pair_free(&l.pair);
}

void bench_tcp(void)
{
    bench_burst("tcp/remora/1280", TCP_BURST);
    /* Two packets at a time: each pair is acknowledged. */
    bench_burst("tcp2/remora/1280", 2);
}
