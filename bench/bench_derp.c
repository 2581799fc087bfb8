/* The relay's switch: a packet of 1,280 bytes from one client's stream to
 * another's, in memory, without TLS. */
#include "bench.h"

#include <remora/cursor.h>
#include <remora/derp_srv.h>

#include <stdio.h>
#include <string.h>

#define BATCH 12 /* packets a read: about a TLS record of 16 KiB */
#define CLIENTS 1024
#define FRAME (5 + 32 + BENCH_PKT)

typedef struct relay {
    rmr_dsw *sw;
    rmr_time now;
    uint32_t n_clients, turn;
    rmr_dsw_client c[CLIENTS];
    uint8_t key[CLIENTS][32];
    uint8_t in[BATCH * FRAME], out[16384];
} relay;

static void drain(relay *r, rmr_dsw_client c)
{
    size_t n = 1;
    while (n) {
        bench_must(rmr_dsw_write(r->sw, r->now, c,
                                 rmr_buf_of(r->out, sizeof r->out), &n),
                   "write");
        bench_must(rmr_dsw_wrote(r->sw, r->now, c, n), "wrote");
    }
}

static void drain_ready(relay *r)
{
    rmr_dsw_ready ready;
    while (rmr_dsw_next_ready(r->sw, &ready))
        drain(r, ready.client);
}

static void read_all(relay *r, rmr_dsw_client c, uint8_t *p, size_t n)
{
    size_t used;
    bench_must(rmr_dsw_read(r->sw, r->now, c, rmr_buf_of(p, n), &used), "read");
    if (used != n)
        bench_must(RMR_E_FULL, "read");
}

static void join(relay *r, const rmr_env *env, uint32_t i)
{
    static const char json[] = "{\"version\":2,\"CanAckPings\":true}";
    uint8_t private_key[32], shared[32], f[256];
    rmr_dsw_peer peer;
    memset(&peer, 0, sizeof peer);
    bench_must(rmr_key_generate(&env->rng, private_key), "key");
    rmr_x25519_public(r->key[i], private_key);
    bench_must(rmr_box_shared(shared, private_key, rmr_dsw_public_key(r->sw)),
               "box");
    bench_must(rmr_dsw_client_open(r->sw, r->now, &peer, &r->c[i]), "open");
    f[0] = RMR_DERP_CLIENT_INFO;
    rmr_store_be32(f + 1, 32 + 24 + 16 + sizeof json - 1);
    memcpy(f + 5, r->key[i], 32);
    memset(f + 37, 1, 24);
    rmr_box_seal(f + 61, shared, f + 37, rmr_bytes_of(json, sizeof json - 1));
    read_all(r, r->c[i], f, 5 + 32 + 24 + 16 + sizeof json - 1);
    drain_ready(r);
}

/* Client i sends a batch, each packet to the client `spread` further on. */
static void step(void *user, uint64_t *ops, uint64_t *bytes)
{
    relay *r = user;
    uint32_t from = r->turn++ % r->n_clients;
    for (uint32_t i = 0; i < BATCH; i++) {
        uint8_t *f = r->in + (size_t)i * FRAME;
        uint32_t to = from + 1 + (r->n_clients > 2 ? i : 0);
        f[0] = RMR_DERP_SEND_PACKET;
        rmr_store_be32(f + 1, FRAME - 5);
        memcpy(f + 5, r->key[to % r->n_clients], 32);
    }
    r->now += RMR_US;
    read_all(r, r->c[from], r->in, sizeof r->in);
    drain_ready(r);
    *ops += BATCH;
    *bytes += (uint64_t)BATCH * BENCH_PKT;
}

static void measure(const char *name, uint32_t n_clients)
{
    static relay r;
    const rmr_env env = bench_env();
    rmr_dsw_config cfg;
    if (!bench_wants(name))
        return;
    memset(&r, 0, sizeof r);
    r.now = RMR_SEC;
    r.n_clients = n_clients;
    rmr_dsw_config_init(&cfg, sizeof cfg);
    bench_must(rmr_key_generate(&env.rng, cfg.private_key), "key");
    bench_must(rmr_dsw_new(&r.sw, &env, &cfg, r.now), "new");
    for (uint32_t i = 0; i < n_clients; i++)
        join(&r, &env, i);
    bench_run(name, step, &r);
    rmr_dsw_free(r.sw);
}

void bench_derp(void)
{
    measure("derp.switch.1280.pair", 2);
    measure("derp.switch.1280.many", CLIENTS);
}
