/* Benchmarks in memory: one core, no sockets.  bench [SECONDS-A-ROW] */
#include "bench.h"

#include <remora/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *b_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align,
                       size))
        return NULL;
    return p;
}

static void b_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

/* Not random: benchmarks are to repeat. */
static rmr_err b_fill(void *user, uint8_t *dst, size_t len)
{
    static uint64_t s = 0x9e3779b97f4a7c15u;
    (void)user;
    for (size_t i = 0; i < len; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        dst[i] = (uint8_t)(s >> 24);
    }
    return RMR_OK;
}

rmr_env bench_env(void)
{
    rmr_env env;
    memset(&env, 0, sizeof env);
    env.alloc.alloc = b_alloc;
    env.alloc.release = b_release;
    env.rng.fill = b_fill;
    return env;
}

double bench_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void bench_row(const char *what, double figure, const char *unit,
               const char *beside)
{
    printf("| %-44s | %10.2f %-12s | %-34s |\n", what, figure, unit, beside);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1.0;
    if (seconds <= 0 || seconds > 60) {
        fprintf(stderr,
                "bench: seconds a row must be above 0 and at most 60\n");
        return 2;
    }
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    printf("| %-44s | %23s | %-34s |\n|---|---|---|\n", "what (one core)",
           "figure", "beside");
    bench_crypto(seconds);
    bench_wg(seconds);
    bench_tcp(seconds);
    return 0;
}
