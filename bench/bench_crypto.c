/* The ciphers alone: what the other rows are measured against. */
#include "bench.h"

#include <remora/crypto.h>
#include <string.h>

#define PKT 1280

double bench_aead_gbs, bench_x25519;

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
