/* What the C rivals share: CPU time, and a line a measurement. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct peer_args { /* PROGRAM SECONDS [PREFIX] */
    double seconds;
    const char *prefix;
} peer_args;

static inline void peer_die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline peer_args peer_parse(int argc, char **argv)
{
    peer_args a = {1.0, ""};
    if (argc > 1)
        a.seconds = atof(argv[1]);
    if (argc > 2)
        a.prefix = argv[2];
    if (a.seconds <= 0 || a.seconds > 60)
        peer_die("SECONDS are above 0 and at most 60");
    return a;
}

static inline int peer_wants(const peer_args *a, const char *name)
{
    return strncmp(name, a->prefix, strlen(a->prefix)) == 0;
}

static inline double peer_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One step of a measurement: adds what it did. */
typedef void (*peer_step)(void *user, uint64_t *ops, uint64_t *bytes);

/* Prints name, operations, bytes, nanoseconds of CPU. */
static inline void peer_run(const peer_args *a, const char *name,
                            peer_step step, void *user)
{
    uint64_t ops = 0, bytes = 0;
    if (!peer_wants(a, name))
        return;
    step(user, &ops, &bytes);
    ops = bytes = 0;
    double start = peer_cpu(), took;
    do {
        step(user, &ops, &bytes);
        took = peer_cpu() - start;
    } while (took < a->seconds);
    printf("%s\t%llu\t%llu\t%.0f\n", name, (unsigned long long)ops,
           (unsigned long long)bytes, took * 1e9);
}

#endif
