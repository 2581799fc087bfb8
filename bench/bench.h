/* What the benchmarks share: CPU time, an environment, a row of the table. */
#ifndef REMORA_BENCH_H
#define REMORA_BENCH_H

#include <remora/base.h>

rmr_env bench_env(void);
double bench_cpu(void); /* seconds of this process */
/* "what | figure unit | beside what" */
void bench_row(const char *what, double figure, const char *unit,
               const char *beside);

void bench_crypto(double seconds);
void bench_wg(double seconds);
void bench_tcp(double seconds);

/* GB/s of the AEAD alone with 1,280-byte messages, set by bench_crypto. */
extern double bench_aead_gbs;
/* X25519 operations a second, set by bench_crypto. */
extern double bench_x25519;

#endif
