/* Two WireGuard tunnels in one process: handshakes, and 1,280-byte packets
 * sealed by one and opened by the other. */
#include "bench.h"

#include <remora/wgcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PKT 1280

typedef struct side {
    rmr_wg *wg;
    rmr_wg_peer peer;
    uint64_t packets;
} side;

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf pkt)
{
    side *s = user;
    (void)peer;
    (void)pkt;
    s->packets++;
}

static void must(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, rmr_err_name(err));
    exit(1);
}

static rmr_wg_endpoint endpoint(uint8_t name)
{
    rmr_wg_endpoint e = {0};
    e.len = e.bucket_len = 1;
    e.bytes[0] = name;
    return e;
}

static void side_new(side *s, const uint8_t key[32], uint64_t wall)
{
    rmr_env env = bench_env();
    rmr_wg_config cfg;
    rmr_wg_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = s;
    cb.on_packet = on_packet;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, key, 32);
    cfg.wall_unix_ns = wall;
    cfg.load_per_second = UINT32_MAX;
    cfg.callbacks = &cb;
    s->packets = 0;
    must(rmr_wg_new(&s->wg, &env, &cfg, 0), "wg_new");
}

static void side_peer(side *s, const uint8_t pub[32], uint8_t name,
                      const char *prefix)
{
    rmr_wg_peer_config pc;
    rmr_prefix p;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, pub, 32);
    pc.endpoint = endpoint(name);
    must(rmr_wg_peer_add(s->wg, 0, &pc, &s->peer), "peer_add");
    must(rmr_prefix_parse(rmr_bytes_str(prefix), &p), "prefix");
    must(rmr_wg_peer_set_allowed_ips(s->wg, s->peer, &p, 1), "allowed");
}

static void pair_new(side *a, side *b)
{
    uint8_t ka[32] = {8}, kb[32] = {16}, pa[32], pb[32];
    rmr_key_clamp(ka);
    rmr_key_clamp(kb);
    rmr_x25519_public(pa, ka);
    rmr_x25519_public(pb, kb);
    side_new(a, ka, 1700000000u * RMR_SEC);
    side_new(b, kb, 1700000000u * RMR_SEC);
    side_peer(a, pb, 'B', "10.0.0.2/32");
    side_peer(b, pa, 'A', "10.0.0.1/32");
}

static void ip_packet(uint8_t *p)
{
    memset(p, 0, PKT);
    p[0] = 0x45;
    p[2] = PKT >> 8;
    p[3] = PKT & 0xff;
    p[8] = 64;
    p[9] = 17;
    p[12] = 10;
    p[15] = 1;
    p[16] = 10;
    p[19] = 2;
}

/* Carries what one side has to the other until both are quiet. */
static void settle(side *a, side *b, rmr_time now)
{
    uint8_t buf[2048];
    rmr_wg_endpoint from_a = endpoint('A'), from_b = endpoint('B');
    for (;;) {
        size_t la = 0, lb = 0;
        rmr_wg_pkt_info info;
        must(rmr_wg_write_pkt(a->wg, now, rmr_buf_of(buf, sizeof buf), &la,
                              &info),
             "write");
        if (la)
            (void)rmr_wg_read_pkt(b->wg, now, &from_a, rmr_buf_of(buf, la));
        must(rmr_wg_write_pkt(b->wg, now, rmr_buf_of(buf, sizeof buf), &lb,
                              &info),
             "write");
        if (lb)
            (void)rmr_wg_read_pkt(a->wg, now, &from_b, rmr_buf_of(buf, lb));
        if (!la && !lb)
            return;
    }
}

/* Lets time pass by the tunnels' own deadlines, until all is quiet. */
static rmr_time pass(side *a, side *b, rmr_time now, rmr_dur d)
{
    rmr_time end = rmr_time_add(now, d);
    for (;;) {
        rmr_time at = rmr_time_min(rmr_wg_next_deadline(a->wg),
                                   rmr_wg_next_deadline(b->wg));
        if (at > end)
            return end;
        must(rmr_wg_handle_deadline(a->wg, at), "deadline");
        must(rmr_wg_handle_deadline(b->wg, at), "deadline");
        settle(a, b, at);
    }
}

static void bench_data(double seconds)
{
    side a, b;
    uint8_t buf[RMR_PKT_HEADROOM + PKT + RMR_PKT_TAILROOM], plain[PKT];
    rmr_wg_endpoint to, from_a = endpoint('A');
    rmr_time now = RMR_SEC;
    pair_new(&a, &b);
    ip_packet(plain);
    must(rmr_wg_send(a.wg, now, a.peer, rmr_bytes_of(plain, PKT)), "send");
    settle(&a, &b, now);
    uint64_t n = 0, before = b.packets;
    memcpy(buf + RMR_PKT_HEADROOM, plain, PKT);
    double start = bench_cpu(), took;
    do {
        for (int i = 0; i < 1000; i++, n++) {
            rmr_pkt pkt =
                rmr_pkt_of(rmr_buf_of(buf, sizeof buf), RMR_PKT_HEADROOM);
            rmr_pkt_put(&pkt, PKT);
            must(rmr_wg_seal(a.wg, now, a.peer, &pkt, &to), "seal");
            /* Opened in place: buf holds the plaintext again. */
            must(rmr_wg_read_pkt(b.wg, now, &from_a,
                                 rmr_buf_of(rmr_pkt_data(&pkt), pkt.len)),
                 "open");
        }
        took = bench_cpu() - start;
    } while (took < seconds);
    if (b.packets - before != n) {
        fprintf(stderr, "bench: packets were lost\n");
        exit(1);
    }
    char beside[64];
    double gbs = (double)n * PKT / took / 1e9;
    snprintf(beside, sizeof beside, "%.0f %% of the AEAD alone",
             100 * gbs / bench_aead_gbs);
    bench_row("wgcore seal + open, 1,280-byte packets", gbs, "GB/s", beside);
    rmr_wg_free(a.wg);
    rmr_wg_free(b.wg);
}

static void bench_handshake(double seconds)
{
    side a, b;
    rmr_time now = RMR_SEC;
    uint8_t plain[PKT];
    uint64_t n = 0;
    rmr_wg_stats st;
    pair_new(&a, &b);
    ip_packet(plain);
    double start = bench_cpu(), took;
    do {
        for (int i = 0; i < 20; i++, n++) {
            /* Past the life of every key: the next packet needs a new one. */
            now = pass(&a, &b, now, 600 * RMR_SEC);
            must(rmr_wg_send(a.wg, now, a.peer, rmr_bytes_of(plain, PKT)),
                 "send");
            settle(&a, &b, now);
        }
        took = bench_cpu() - start;
    } while (took < seconds);
    rmr_wg_get_stats(a.wg, &st);
    if (st.handshakes_completed != n) {
        fprintf(stderr, "bench: %llu handshakes for %llu\n",
                (unsigned long long)st.handshakes_completed,
                (unsigned long long)n);
        exit(1);
    }
    /* Scalar multiplications of both sides: initiator e, es, ee, se; responder
     * es, e, ee, se; static-static is kept. */
    char beside[64];
    double rate = (double)n / took;
    snprintf(beside, sizeof beside, "%.0f %% of what 8 X25519 allow",
             100 * rate * 8 / bench_x25519);
    bench_row("handshakes, both sides", rate, "1/s", beside);
    rmr_wg_free(a.wg);
    rmr_wg_free(b.wg);
}

void bench_wg(double seconds)
{
    bench_data(seconds);
    bench_handshake(seconds);
}
