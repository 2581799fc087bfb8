/* The ciphers alone: what the other rows are measured against. */
#include "bench.h"

#include <remora/crypto.h>
#include <stdio.h>
#include <string.h>

#define PKT 1280
#define BATCH 64
#define ROOM 1536

double bench_aead_gbs, bench_x25519;

/* What the AEAD rows work on. */
typedef struct job {
    rmr_aead aead;
    rmr_aead_ctx ctx[4];
    size_t len;
    uint64_t counter;
    uint8_t sealed[ROOM], bufs[BATCH][ROOM];
    rmr_aead_item items[BATCH];
} job;

static void seal_each(job *j)
{
    for (size_t i = 0; i < BATCH; i++)
        j->aead.seal(j->aead.self, &j->ctx[0], j->counter++, j->bufs[0],
                     j->len);
}

/* With the copy that brings the ciphertext back. */
static void open_each(job *j)
{
    for (size_t i = 0; i < BATCH; i++) {
        memcpy(j->bufs[0], j->sealed, j->len + RMR_TAG_LEN);
        (void)j->aead.open(j->aead.self, &j->ctx[0], 1, j->bufs[0], j->len);
    }
}

static void seal_and_open_batch(job *j)
{
    for (size_t i = 0; i < BATCH; i++)
        j->items[i] = (rmr_aead_item){.ctx = &j->ctx[i % 4],
                                      .counter = j->counter++,
                                      .buf = j->bufs[i],
                                      .len = j->len};
    rmr_aead_seal_n(&j->aead, j->items, BATCH);
    rmr_aead_open_n(&j->aead, j->items, BATCH);
}

/* A row of GB/s for what works on BATCH messages a call. */
static void aead_row(job *j, const char *what, void (*work)(job *),
                     double seconds)
{
    char name[64];
    double start = bench_cpu(), took;
    uint64_t n = 0;
    do {
        for (int i = 0; i < 20; i++, n += BATCH)
            work(j);
        took = bench_cpu() - start;
    } while (took < seconds);
    snprintf(name, sizeof name, "AEAD %s, %zu bytes", what, j->len);
    bench_row(name, (double)n * (double)j->len / took / 1e9, "GB/s",
              j->aead.name);
}

/* Each back end that runs here. */
static void aead_rows(double seconds)
{
    static const size_t lengths[] = {64, PKT, 1420};
    static job j;
    const rmr_env env = bench_env();
    for (size_t b = 0; rmr_aead_name(b); b++) {
        if (rmr_aead_new(&j.aead, &env.alloc, rmr_aead_name(b)))
            continue;
        for (uint8_t k = 0; k < 4; k++)
            j.aead.init(j.aead.self, &j.ctx[k], (uint8_t[32]){k});
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            j.len = lengths[l];
            j.aead.seal(j.aead.self, &j.ctx[0], 1, j.sealed, j.len);
            aead_row(&j, "seal", seal_each, seconds);
            aead_row(&j, "open", open_each, seconds);
            aead_row(&j, "seal + open, 64 at once", seal_and_open_batch,
                     seconds);
        }
        rmr_aead_wipe(&j.aead);
    }
}

void bench_crypto(double seconds)
{
    const rmr_aead *aead = rmr_aead_default();
    rmr_aead_ctx ctx;
    uint8_t key[32] = {7}, pub[32] = {9}, buf[PKT + RMR_TAG_LEN];
    memset(buf, 1, sizeof buf);
    aead->init(aead->self, &ctx, key);
    double start = bench_cpu(), took;
    uint64_t n = 0;
    do {
        for (int i = 0; i < 1000; i++, n++) {
            aead->seal(aead->self, &ctx, n, buf, PKT);
            (void)aead->open(aead->self, &ctx, n, buf, PKT);
        }
        took = bench_cpu() - start;
    } while (took < seconds);
    bench_aead_gbs = (double)n * PKT / took / 1e9;
    bench_row("AEAD seal + open, 1,280 bytes", bench_aead_gbs, "GB/s",
              aead->name);
    aead_rows(seconds);
    start = bench_cpu();
    n = 0;
    do {
        for (int i = 0; i < 100; i++, n++)
            (void)rmr_x25519(pub, key, pub);
        took = bench_cpu() - start;
    } while (took < seconds);
    bench_x25519 = (double)n / took;
    bench_row("X25519", bench_x25519, "1/s", "");
}
