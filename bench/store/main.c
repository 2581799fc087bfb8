/* Joins a second with every commit on the disk, for joins that come together in
 * one turn of the adapter: 1, 8, 64, 512 of them; and without a store.
 *   bench_store [SECONDS [FOLDER]]
 * A line each: joins a turn, joins a second, rows a commit, milliseconds of a
 * commit, microseconds of CPU a join. */
#include "bare.h"

#include <remora/store_sqlite.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(rmr_err e, const char *what)
{
    if (e == RMR_OK)
        return;
    (void)fprintf(stderr, "bench_store: %s: %s\n", what, rmr_err_name(e));
    exit(1);
}

/* NULL: in memory alone. */
static void joins(const rmr_coord_store *store, unsigned a_turn, double time)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    rmr_coord_stats st;
    uint64_t user, n = 0;
    char name[32];
    rmr_coord *c = bare_coord(&heap, &rng, store, &e);
    must(e, "new");
    (void)snprintf(name, sizeof name, "u%u", a_turn);
    must(rmr_coord_user_add(c, name, &user), "user");
    double begun = seconds(CLOCK_MONOTONIC);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall;
    do {
        for (unsigned i = 0; i < a_turn && n < 60000; i++, n++) {
            (void)snprintf(name, sizeof name, "h%u-%llu", a_turn,
                           (unsigned long long)n);
            must(bare_node(c, user, (uint64_t)a_turn << 32 | n, name), "join");
        }
        must(rmr_coord_commit(c), "commit");
        wall = seconds(CLOCK_MONOTONIC) - begun;
    } while (wall < time && n < 60000);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    rmr_coord_get_stats(c, &st);
    double commits = st.commits ? (double)st.commits : 1;
    printf("%s\t%u\t%.0f\t%.1f\t%.3f\t%.1f\n", store ? "sqlite" : "memory",
           a_turn, (double)n / wall, (double)st.rows / commits,
           st.commits ? wall / commits * 1e3 : 0, cpu / (double)n * 1e6);
    rmr_coord_free(c);
}

static void on_disk(const char *folder, unsigned a_turn, double time)
{
    char dir[200], path[220], why[RMR_STORE_SQLITE_WHY];
    rmr_store_sqlite_config cfg;
    rmr_store_sqlite *db;
    (void)snprintf(dir, sizeof dir, "%.180s/bench-XXXXXX", folder);
    if (!mkdtemp(dir))
        must(RMR_E_IO, dir);
    (void)snprintf(path, sizeof path, "%s/coord.db", dir);
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    cfg.path = path;
    must(rmr_store_sqlite_open(&db, &cfg, why), why);
    rmr_coord_store table = rmr_store_sqlite_table(db);
    joins(&table, a_turn, time);
    rmr_store_sqlite_close(db);
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    double time = argc > 1 ? strtod(argv[1], NULL) : 2;
    const char *folder = argc > 2 ? argv[2] : "/tmp";
    for (unsigned a_turn = 1; a_turn <= 512; a_turn *= 8)
        on_disk(folder, a_turn, time);
    joins(NULL, 1, time);
    return 0;
}
