/* The ciphers alone: what the other rows are measured against. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define MAX 1420
#define BATCH 64
#define KEYS 4 /* of a batch: packets of several peers */

typedef struct aead {
    const rmr_aead *table;
    rmr_aead_ctx ctx[KEYS];
    uint64_t counter;
    size_t size;
    uint8_t bufs[BATCH][MAX + RMR_TAG_LEN];
} aead;

/* One message at a time, in one buffer. */
static void singly(void *user, uint64_t *ops, uint64_t *bytes)
{
    aead *a = user;
    for (int i = 0; i < 1000; i++, a->counter++) {
        a->table->seal(a->table->self, &a->ctx[0], a->counter, a->bufs[0],
                       a->size);
        bench_must(a->table->open(a->table->self, &a->ctx[0], a->counter,
                                  a->bufs[0], a->size),
                   "open");
    }
    *ops += 1000;
    *bytes += 1000 * a->size;
}

static void batch(void *user, uint64_t *ops, uint64_t *bytes)
{
    aead *a = user;
    rmr_aead_item items[BATCH];
    for (int i = 0; i < BATCH; i++) {
        items[i].ctx = &a->ctx[i % KEYS];
        items[i].counter = a->counter++;
        items[i].buf = a->bufs[i];
        items[i].len = a->size;
        items[i].err = RMR_OK;
    }
    rmr_aead_seal_n(a->table, items, BATCH);
    rmr_aead_open_n(a->table, items, BATCH);
    for (int i = 0; i < BATCH; i++)
        bench_must(items[i].err, "open_n");
    *ops += BATCH;
    *bytes += BATCH * a->size;
}

static void bench_table(const rmr_aead *table)
{
    static const size_t sizes[] = {64, 1280, MAX};
    static aead a;
    char name[64];
    memset(&a, 0, sizeof a);
    a.table = table;
    for (uint8_t k = 0; k < KEYS; k++)
        table->init(table->self, &a.ctx[k], (uint8_t[RMR_KEY_LEN]){k});
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        a.size = sizes[i];
        snprintf(name, sizeof name, "aead/remora-%s/%zu", table->name, a.size);
        bench_run(name, singly, &a);
        if (!table->seal_n || !table->open_n)
            continue;
        snprintf(name, sizeof name, "aead/remora-%s-batch/%zu", table->name,
                 a.size);
        bench_run(name, batch, &a);
    }
}

static void x25519(void *user, uint64_t *ops, uint64_t *bytes)
{
    static const uint8_t key[RMR_KEY_LEN] = {7};
    (void)bytes;
    for (int i = 0; i < 100; i++)
        (void)rmr_x25519(user, key, user);
    *ops += 100;
}

void bench_crypto(void)
{
    uint8_t point[RMR_KEY_LEN] = {9};
    for (size_t i = 0; bench_aead(i); i++)
        bench_table(bench_aead(i));
    bench_run("handshake/x25519", x25519, point);
}
