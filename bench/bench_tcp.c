/* TCP between two stacks in one process, MTU 1,280, checksums made and
 * checked, 1 MiB windows, no delay and no loss. */
#include "bench.h"

#include <remora/netstack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MTU 1280

typedef struct side {
    rmr_ns *ns;
    rmr_ns_sock sock;
    uint64_t received;
    bool connected;
} side;

static void must(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, rmr_err_name(err));
    exit(1);
}

static void on_accept(void *user, void *tag, rmr_ns_sock l, rmr_ns_sock sock,
                      const rmr_addr *remote)
{
    side *s = user;
    (void)tag;
    (void)l;
    (void)remote;
    s->sock = sock;
    s->connected = true;
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    side *s = user;
    (void)tag;
    (void)sock;
    s->connected = true;
}

static void side_new(side *s, uint8_t host)
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
    cfg.mtu = MTU;
    cfg.no_nagle = true;
    cfg.callbacks = &cb;
    must(rmr_ns_new(&s->ns, &env, &cfg, 0), "ns_new");
    rmr_addr a = rmr_addr_v4(10, 0, 0, host, 0);
    must(rmr_ns_addr_add(s->ns, &a), "addr_add");
}

static bool carry(side *from, side *to, rmr_time now)
{
    uint8_t buf[MTU];
    bool any = false;
    for (int i = 0; i < 64; i++) {
        size_t len = 0;
        must(rmr_ns_write_pkt(from->ns, now, rmr_buf_of(buf, sizeof buf), &len),
             "write_pkt");
        if (!len)
            break;
        (void)rmr_ns_read_pkt(to->ns, now, rmr_bytes_of(buf, len));
        any = true;
    }
    return any;
}

static void drain(side *s, rmr_time now)
{
    rmr_bytes view;
    bool eof;
    while (rmr_ns_tcp_peek(s->ns, s->sock, &view, &eof) == RMR_OK &&
           view.len > 0) {
        s->received += view.len;
        must(rmr_ns_tcp_consume(s->ns, now, s->sock, view.len), "consume");
    }
}

static void deadlines(side *s, rmr_time now)
{
    if (now >= rmr_ns_next_deadline(s->ns))
        must(rmr_ns_handle_deadline(s->ns, now), "deadline");
}

void bench_tcp(double seconds)
{
    static uint8_t data[65536];
    side a, b;
    rmr_ns_sock listener;
    rmr_addr to = rmr_addr_v4(10, 0, 0, 2, 80);
    rmr_time now = RMR_SEC;
    side_new(&a, 1);
    side_new(&b, 2);
    must(rmr_ns_tcp_listen(b.ns, &to, NULL, &listener), "listen");
    must(rmr_ns_tcp_connect(a.ns, now, NULL, &to, NULL, &a.sock), "connect");
    for (int i = 0; i < 100 && !(a.connected && b.connected); i++) {
        carry(&a, &b, now);
        carry(&b, &a, now);
    }
    if (!a.connected || !b.connected)
        must(RMR_E_TIMEOUT, "open");
    double start = bench_cpu(), took;
    do {
        for (int i = 0; i < 200; i++) {
            size_t taken = 0;
            now += 20 * RMR_US;
            must(rmr_ns_tcp_send(a.ns, now, a.sock,
                                 rmr_bytes_of(data, sizeof data), &taken),
                 "send");
            carry(&a, &b, now);
            drain(&b, now);
            carry(&b, &a, now);
            deadlines(&a, now);
            deadlines(&b, now);
        }
        took = bench_cpu() - start;
    } while (took < seconds);
    char beside[64];
    double gbs = (double)b.received / took / 1e9;
    snprintf(beside, sizeof beside, "%.2f CPU s/GB, both ends", 1 / gbs);
    bench_row("TCP between two stacks, MTU 1,280", gbs, "GB/s", beside);
    rmr_ns_free(a.ns);
    rmr_ns_free(b.ns);
}
