/* Two WireGuard tunnels in one process: handshakes, and 1,280-byte packets
 * sealed by one and opened by the other. */
#include "bench_wg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf pkt)
{
    wg_side *s = user;
    (void)peer;
    s->packets++;
    if (s->sink)
        s->sink(s->user, pkt);
}

static rmr_wg_endpoint endpoint(uint8_t name)
{
    rmr_wg_endpoint e = {0};
    e.len = e.bucket_len = 1;
    e.bytes[0] = name;
    return e;
}

static void side_new(wg_side *s, const uint8_t key[32], uint8_t name,
                     const rmr_aead *aead)
{
    rmr_env env = bench_env();
    rmr_wg_config cfg;
    rmr_wg_callbacks cb = {0};
    memset(s, 0, sizeof *s);
    s->endpoint = endpoint(name);
    cb.struct_size = sizeof cb;
    cb.user = s;
    cb.on_packet = on_packet;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, key, 32);
    cfg.wall_unix_ns = 1700000000u * RMR_SEC;
    cfg.load_per_second = UINT32_MAX;
    cfg.aead = aead;
    cfg.callbacks = &cb;
    bench_must(rmr_wg_new(&s->wg, &env, &cfg, 0), "wg_new");
}

static void side_peer(wg_side *s, const wg_side *other, const uint8_t pub[32],
                      const char *prefix)
{
    rmr_wg_peer_config pc;
    rmr_prefix p;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, pub, 32);
    pc.endpoint = other->endpoint;
    bench_must(rmr_wg_peer_add(s->wg, 0, &pc, &s->peer), "peer_add");
    bench_must(rmr_prefix_parse(rmr_bytes_str(prefix), &p), "prefix");
    bench_must(rmr_wg_peer_set_allowed_ips(s->wg, s->peer, &p, 1), "allowed");
}

/* Two sides without a session. */
static void pair_new(wg_side *a, wg_side *b, const rmr_aead *aead)
{
    uint8_t ka[32] = {8}, kb[32] = {16}, pa[32], pb[32];
    rmr_key_clamp(ka);
    rmr_key_clamp(kb);
    rmr_x25519_public(pa, ka);
    rmr_x25519_public(pb, kb);
    side_new(a, ka, 'A', aead);
    side_new(b, kb, 'B', aead);
    side_peer(a, b, pb, "10.0.0.2/32");
    side_peer(b, a, pa, "10.0.0.1/32");
}

void wg_pair_free(wg_side *a, wg_side *b)
{
    rmr_wg_free(a->wg);
    rmr_wg_free(b->wg);
}

void wg_ip_packet(uint8_t *p, size_t len, uint8_t from, uint8_t to)
{
    memset(p, 0, len);
    p[0] = 0x45;
    p[2] = (uint8_t)(len >> 8);
    p[3] = (uint8_t)len;
    p[8] = 64;
    p[9] = 17;
    p[12] = p[16] = 10;
    p[15] = from;
    p[19] = to;
}

static size_t carry(wg_side *from, wg_side *to, rmr_time now)
{
    uint8_t buf[2048];
    size_t len = 0;
    rmr_wg_pkt_info info;
    bench_must(rmr_wg_write_pkt(from->wg, now, rmr_buf_of(buf, sizeof buf),
                                &len, &info),
               "write");
    if (len)
        (void)rmr_wg_read_pkt(to->wg, now, &from->endpoint,
                              rmr_buf_of(buf, len));
    return len;
}

/* Carries what one side has to the other until both are quiet. */
static void settle(wg_side *a, wg_side *b, rmr_time now)
{
    while (carry(a, b, now) + carry(b, a, now) > 0)
        continue;
}

void wg_pair_open(wg_side *a, wg_side *b, const rmr_aead *aead)
{
    uint8_t plain[BENCH_PKT];
    pair_new(a, b, aead);
    wg_ip_packet(plain, sizeof plain, 1, 2);
    bench_must(
        rmr_wg_send(a->wg, RMR_SEC, a->peer, rmr_bytes_of(plain, sizeof plain)),
        "send");
    settle(a, b, RMR_SEC);
}

void wg_pass(wg_side *from, wg_side *to, rmr_pkt *pkt, rmr_time now)
{
    rmr_wg_endpoint where;
    bench_must(rmr_wg_seal(from->wg, now, from->peer, pkt, &where), "seal");
    bench_must(rmr_wg_read_pkt(to->wg, now, &from->endpoint,
                               rmr_buf_of(rmr_pkt_data(pkt), pkt->len)),
               "open");
}

uint8_t *wg_batch_at(wg_batch *b, size_t i)
{
    return b->bufs[i] + RMR_PKT_HEADROOM;
}

void wg_batch_add(wg_batch *b, size_t len)
{
    if (b->n == WG_BATCH)
        bench_must(RMR_E_FULL, "batch");
    rmr_wg_out *out = &b->out[b->n];
    out->pkt = rmr_pkt_of(rmr_buf_of(b->bufs[b->n], sizeof b->bufs[b->n]),
                          RMR_PKT_HEADROOM);
    rmr_pkt_put(&out->pkt, len);
    b->n++;
}

/* Of an item: those of a batch have answers of their own. */
static void must(rmr_err e, rmr_err item, const char *what)
{
    bench_must(e ? e : item, what);
}

void wg_batch_pass(wg_side *from, wg_side *to, wg_batch *b, rmr_time now)
{
    for (size_t i = 0; i < b->n; i++)
        b->out[i].peer = from->peer;
    rmr_err e = rmr_wg_seal_n(from->wg, now, b->out, b->n);
    for (size_t i = 0; i < b->n; i++) {
        rmr_pkt *p = &b->out[i].pkt;
        must(e, b->out[i].err, "seal_n");
        b->in[i].from = &from->endpoint;
        b->in[i].datagram = rmr_buf_of(rmr_pkt_data(p), p->len);
    }
    e = rmr_wg_read_pkts(to->wg, now, b->in, b->n);
    for (size_t i = 0; i < b->n; i++)
        must(e, b->in[i].err, "read_pkts");
    b->n = 0;
}

void wg_pair_deadlines(wg_side *a, wg_side *b, rmr_time now)
{
    if (now <
        rmr_time_min(rmr_wg_next_deadline(a->wg), rmr_wg_next_deadline(b->wg)))
        return;
    bench_must(rmr_wg_handle_deadline(a->wg, now), "deadline");
    bench_must(rmr_wg_handle_deadline(b->wg, now), "deadline");
    settle(a, b, now);
}

typedef struct pair {
    wg_side a, b;
    rmr_time now;
    uint8_t buf[RMR_PKT_HEADROOM + BENCH_PKT + RMR_PKT_TAILROOM];
} pair;

static void data_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    pair *p = user;
    uint64_t before = p->b.packets;
    for (int i = 0; i < 1000; i++) {
        rmr_pkt pkt =
            rmr_pkt_of(rmr_buf_of(p->buf, sizeof p->buf), RMR_PKT_HEADROOM);
        rmr_pkt_put(&pkt, BENCH_PKT);
        /* Opened in place: buf holds the plaintext again. */
        wg_pass(&p->a, &p->b, &pkt, p->now);
    }
    if (p->b.packets - before != 1000)
        bench_must(RMR_E_INTERNAL, "packets were lost");
    *ops += 1000;
    *bytes += 1000 * BENCH_PKT;
}

typedef struct many {
    pair p;
    wg_batch batch;
} many;

static void batch_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    many *m = user;
    uint64_t before = m->p.b.packets;
    for (int i = 0; i < WG_BATCH; i++)
        wg_batch_add(&m->batch, BENCH_PKT);
    wg_batch_pass(&m->p.a, &m->p.b, &m->batch, m->p.now);
    if (m->p.b.packets - before != WG_BATCH)
        bench_must(RMR_E_INTERNAL, "packets were lost");
    *ops += WG_BATCH;
    *bytes += WG_BATCH * BENCH_PKT;
}

static void bench_data(const rmr_aead *aead)
{
    static many m;
    char name[64];
    wg_pair_open(&m.p.a, &m.p.b, aead);
    m.p.now = RMR_SEC;
    wg_ip_packet(m.p.buf + RMR_PKT_HEADROOM, BENCH_PKT, 1, 2);
    for (size_t i = 0; i < WG_BATCH; i++)
        wg_ip_packet(wg_batch_at(&m.batch, i), BENCH_PKT, 1, 2);
    snprintf(name, sizeof name, "wg/remora-%s/%d", aead->name, BENCH_PKT);
    bench_run(name, data_step, &m.p);
    snprintf(name, sizeof name, "wg/remora-%s-batch/%d", aead->name, BENCH_PKT);
    bench_run(name, batch_step, &m);
    wg_pair_free(&m.p.a, &m.p.b);
}

/* Lets time pass by the tunnels' own deadlines, until all is quiet. */
static rmr_time pass(wg_side *a, wg_side *b, rmr_time now, rmr_dur d)
{
    rmr_time end = rmr_time_add(now, d);
    for (;;) {
        rmr_time at = rmr_time_min(rmr_wg_next_deadline(a->wg),
                                   rmr_wg_next_deadline(b->wg));
        if (at > end)
            return end;
        wg_pair_deadlines(a, b, at);
    }
}

static void handshake_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    pair *p = user;
    rmr_wg_stats st;
    rmr_wg_get_stats(p->a.wg, &st);
    uint64_t before = st.handshakes_completed;
    (void)bytes;
    for (int i = 0; i < 20; i++) {
        /* Past the life of every key: the next packet needs a new one. */
        p->now = pass(&p->a, &p->b, p->now, 600 * RMR_SEC);
        bench_must(rmr_wg_send(p->a.wg, p->now, p->a.peer,
                               rmr_bytes_of(p->buf, BENCH_PKT)),
                   "send");
        settle(&p->a, &p->b, p->now);
    }
    rmr_wg_get_stats(p->a.wg, &st);
    if (st.handshakes_completed - before != 20)
        bench_must(RMR_E_INTERNAL, "handshakes were lost");
    *ops += 20;
}

static void bench_handshake(void)
{
    pair p;
    if (!bench_wants("handshake/remora"))
        return;
    pair_new(&p.a, &p.b, NULL);
    wg_ip_packet(p.buf, BENCH_PKT, 1, 2);
    p.now = RMR_SEC;
    bench_run("handshake/remora", handshake_step, &p);
    wg_pair_free(&p.a, &p.b);
}

void bench_wg(void)
{
    for (size_t i = 0; bench_aead(i); i++)
        bench_data(bench_aead(i));
    bench_handshake();
}
