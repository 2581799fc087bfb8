/*
 * A large tailnet in one process and one thread, on the simulator's clock:
 *
 *     coord_scale [--nodes N] [--users U] [--relays R] [--hours H]
 *                 [--changes PER-HOUR] [--pairs P] [--seed S] [--runs N]
 *                 [--rounds N]
 *
 * All nodes join one coordination server; half of them lie behind NATs.  Then,
 * hour by hour, they leave and join, change their address, expire, and the
 * policy changes; at the end of each hour every netmap is compared with what
 * the server has, and P pairs within users and across them try to talk by TCP.
 * With --rounds each node dials, before that, so many others of its user, one
 * after the other, and is dialled by so many: half as many rounds as a user has
 * nodes are all pairs.  Prints what it took and a hash over everything that was
 * sent or told; with --runs it is done again, and the hashes are compared.
 */
#include "scale_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct args {
    uint32_t nodes, users, relays, hours, changes, pairs, seed, runs, rounds;
} args;

static double cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double took(double *began)
{
    double now = cpu(), d = now - *began;
    *began = now;
    return d;
}

static void tell_memory(const scale *w)
{
    double n = w->n_members;
    (void)printf("memory for each node, KiB: its own %.1f, the server's %.1f, "
                 "the relays' %.1f, the simulator's %.1f\n",
                 (double)w->node_heap.live_bytes / n / 1024,
                 (double)w->coord_heap.live_bytes / n / 1024,
                 (double)w->relay_heap.live_bytes / n / 1024,
                 (double)w->sim_heap.live_bytes / n / 1024);
}

static void tell_changes(const scale *w, double seconds, double checks,
                         uint32_t hours)
{
    const uint32_t *d = w->done;
    rmr_coord_stats st;
    rmr_coord_get_stats(w->coord, &st);
    (void)printf("%u hours: %.1f CPU s, %.1f of it for the checks\n", hours,
                 seconds, checks);
    (void)printf("changes: %u join, %u leave, %u roam, %u expire, %u policy\n",
                 d[SC_JOIN], d[SC_LEAVE], d[SC_ROAM], d[SC_EXPIRE],
                 d[SC_POLICY]);
    (void)printf("the server sent %" PRIu64 " frames of %" PRIu64 " bytes\n",
                 st.frames, st.frames ? st.frame_bytes / st.frames : 0);
}

/* What the checks took. */
static double hours(scale *w, const args *a)
{
    double checks = 0;
    rmr_dur step = 3540 * RMR_SEC / (a->changes ? a->changes : 1);
    for (uint32_t h = 0; h < a->hours; h++) {
        for (uint32_t i = 0; i < a->changes; i++) {
            sc_change(w);
            sc_run(w, step);
        }
        sc_run(w, (a->changes ? 45 : 3585) * RMR_SEC);
        double began = cpu();
        sc_check_netmaps(w);
        sc_check_some_pairs(w, a->pairs);
        checks += took(&began);
    }
    return checks;
}

static uint64_t once(const args *a, uint32_t *faults)
{
    static scale w;
    double began = cpu();
    sc_init(&w, a->seed, a->nodes, a->users, a->relays);
    sc_join_all(&w);
    (void)printf("joined: %u of %u run, %.1f CPU s\n", sc_running(&w), a->nodes,
                 took(&began));
    if (sc_running(&w) != a->nodes)
        w.faults++;
    tell_memory(&w);
    if (a->rounds) {
        sc_run(&w, 180 * RMR_SEC);
        sc_check_netmaps(&w);
        sc_check_rounds(&w, a->rounds);
        (void)printf("%u rounds: %.1f CPU s\n", a->rounds, took(&began));
        tell_memory(&w);
    }
    if (a->hours) {
        double checks = hours(&w, a);
        tell_changes(&w, took(&began), checks, a->hours);
        tell_memory(&w);
    }
    (void)printf("checked: %" PRIu64 " netmaps, %" PRIu64
                 " nodes unseen by others, %" PRIu64 " pairs; faults: %u\n",
                 w.checked_netmaps, w.checked_strangers, w.checked_pairs,
                 w.faults);
    uint64_t hash = rmr_sim_hash(w.sim);
    (void)printf("trace %016" PRIx64 "\n", hash);
    *faults += w.faults;
    sc_free(&w);
    return hash;
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t value)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            value = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint32_t faults = 0;
    args a;
    a.nodes = number(argc, argv, "--nodes", 100);
    a.users = number(argc, argv, "--users", a.nodes / 20 ? a.nodes / 20 : 1);
    a.relays = number(argc, argv, "--relays", 3);
    a.hours = number(argc, argv, "--hours", 1);
    a.changes = number(argc, argv, "--changes", 240);
    a.pairs = number(argc, argv, "--pairs", 30);
    a.seed = number(argc, argv, "--seed", 1);
    a.runs = number(argc, argv, "--runs", 1);
    a.rounds = number(argc, argv, "--rounds", 0);
    uint64_t hash = once(&a, &faults);
    for (uint32_t i = 1; i < a.runs; i++) {
        if (once(&a, &faults) != hash) {
            (void)fprintf(stderr, "coord_scale: the traces differ\n");
            faults++;
        }
    }
    return faults ? 1 : 0;
}
