/* What the benchmarks share: CPU time, an environment, a measurement's line. */
#ifndef REMORA_BENCH_H
#define REMORA_BENCH_H

#include <remora/base.h>
#include <remora/crypto.h>

#define BENCH_PKT 1280

rmr_env bench_env(void);
double bench_cpu(void); /* seconds of this process */
/* Ends the program where err is not OK. */
void bench_must(rmr_err err, const char *what);
/* The AEAD back ends of this build that run here; NULL behind the last. */
const rmr_aead *bench_aead(size_t i);

/* One step of a measurement: adds the operations and bytes that it did. */
typedef void (*bench_step)(void *user, uint64_t *ops, uint64_t *bytes);
/* Whether the caller of the program asked for measurements of this name. */
bool bench_wants(const char *name);
/* Repeats the step for the time that the program was told, and prints name,
 * operations, bytes and nanoseconds of CPU; nothing unless it is wanted. */
void bench_run(const char *name, bench_step step, void *user);

void bench_crypto(void);
void bench_wg(void);
void bench_tcp(void);
void bench_pipe(void);
void bench_tls(void);
void bench_derp(void);

#endif
