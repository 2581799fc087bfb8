/* Benchmarks in memory: one core, no sockets.
 *   bench [SECONDS-A-MEASUREMENT [PREFIX-OF-NAMES]]
 * A line a measurement: name, operations, bytes, nanoseconds of CPU.  bench/run
 * makes a table of them, with the rivals beside. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds = 1.0;
static const char *prefix = "";
#define MAX_AEADS 8
static rmr_aead aeads[MAX_AEADS];
static size_t n_aeads;

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

void bench_must(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, rmr_err_name(err));
    exit(1);
}

const rmr_aead *bench_aead(size_t i)
{
    return i < n_aeads ? &aeads[i] : NULL;
}

static void aeads_open(void)
{
    const rmr_env env = bench_env();
    for (size_t i = 0; rmr_aead_name(i) && n_aeads < MAX_AEADS; i++) {
        rmr_err err =
            rmr_aead_new(&aeads[n_aeads], &env.alloc, rmr_aead_name(i));
        if (err == RMR_E_UNSUPPORTED)
            continue; /* this processor can't */
        bench_must(err, rmr_aead_name(i));
        n_aeads++;
    }
}

static void aeads_close(void)
{
    while (n_aeads > 0)
        rmr_aead_wipe(&aeads[--n_aeads]);
}

bool bench_wants(const char *name)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

void bench_run(const char *name, bench_step step, void *user)
{
    uint64_t ops = 0, bytes = 0;
    if (!bench_wants(name))
        return;
    step(user, &ops, &bytes); /* warms the caches */
    ops = bytes = 0;
    double start = bench_cpu(), took;
    do {
        step(user, &ops, &bytes);
        took = bench_cpu() - start;
    } while (took < seconds);
    printf("%s\t%llu\t%llu\t%.0f\n", name, (unsigned long long)ops,
           (unsigned long long)bytes, took * 1e9);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        prefix = argv[2];
    if (seconds <= 0 || seconds > 60) {
        fprintf(stderr, "bench: seconds a measurement must be above 0 and at "
                        "most 60\n");
        return 2;
    }
    bench_must(rmr_crypto_init(), "crypto_init");
    aeads_open();
    bench_crypto();
    bench_wg();
    bench_tcp();
    bench_pipe();
    bench_tls();
    bench_derp();
    aeads_close();
    return 0;
}
