/*
 * nat_table - every pair of NAT kinds: does it go direct, and how soon?
 *
 *     nat_table [--seeds N] [--first S] [--pair A,B] [--write FILE] [--check FILE]
 *
 * For each pair and seed a tailnet of its own on a virtual clock: two nodes, a
 * control server, two relays.  All pairs that theory lets go direct must go direct
 * with every seed, the others must stay on the relay.  --write makes the page;
 * --check compares it with what the page says, to the byte: all is
 * deterministic.
 */
#include "nat_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_SEEDS 1000
#define PATIENCE (60 * RMR_SEC)
#define STEP (5 * RMR_MS)

typedef struct cell {
    int n_direct;
    uint64_t took[MOST_SEEDS]; /* ms */
} cell;

static cell cells[NAT_KINDS][NAT_KINDS];

/* From the dial until both ends use a UDP path; NEVER: not in a minute. */
static rmr_time run(int a, int b, uint64_t seed, bool *arrived)
{
    static world w;
    rmr_time took = RMR_TIME_NEVER;
    world_init(&w, seed, 2);
    world_node *x = nat_node(&w, &nat_kinds[a], 0);
    world_node *y = nat_node(&w, &nat_kinds[b], 1);
    if (!world_all_run(&w, 30 * RMR_SEC))
        abort();
    world_run(&w, 8 * RMR_SEC); /* netcheck is over and told */
    rmr_time start = rmr_sim_now(w.sim);
    world_dial(x, y);
    uint64_t sent = 0;
    for (rmr_time t = 0; t < PATIENCE && took == RMR_TIME_NEVER; t += STEP) {
        if (t % RMR_SEC == 0) {
            world_send(x, 100); /* traffic, so that it goes on trying */
            sent += 100;
        }
        world_run(&w, STEP);
        if (world_is_direct(x, y) && world_is_direct(y, x))
            took = rmr_sim_now(w.sim) - start;
    }
    world_run(&w, 2 * RMR_SEC);
    *arrived = y->got == sent && world_arrived(x, y);
    world_free(&w);
    return took;
}

static bool run_pair(int a, int b, uint64_t first, int seeds)
{
    cell *c = &cells[a][b];
    nat_theory theory = nat_theory_of(&nat_kinds[a], &nat_kinds[b]);
    bool is_good = true;
    for (int i = 0; i < seeds; i++) {
        bool arrived;
        uint64_t seed = first + (uint64_t)i;
        rmr_time took = run(a, b, seed, &arrived);
        bool is_direct = took != RMR_TIME_NEVER;
        if (is_direct)
            c->took[c->n_direct++] = took / RMR_MS;
        if (is_direct != (theory != NAT_RELAY) || !arrived) {
            (void)printf("%s + %s, seed %llu: %s%s\n", nat_kinds[a].name,
                         nat_kinds[b].name, (unsigned long long)seed,
                         is_direct ? "direct against theory"
                                   : "stays on the relay",
                         arrived ? "" : ", data is missing");
            is_good = is_good && is_direct == (theory != NAT_RELAY) && arrived;
        }
    }
    return is_good;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void put_cell(FILE *f, int a, int b)
{
    cell *c = &cells[a < b ? a : b][a < b ? b : a];
    if (!c->n_direct) {
        (void)fprintf(f, " relay |");
        return;
    }
    qsort(c->took, (size_t)c->n_direct, sizeof c->took[0], by_value);
    (void)fprintf(
        f, " %llu%s |", (unsigned long long)c->took[(c->n_direct - 1) / 2],
        nat_theory_of(&nat_kinds[a], &nat_kinds[b]) == NAT_PUNCH ? "*" : "");
}

static void put_page(FILE *f, uint64_t first, int seeds)
{
    (void)fprintf(
        f,
        "# Direct through NATs\n\n"
        "Two nodes, each behind one of twelve kinds of access, on the "
        "simulator's clock: `tests/sim/nat_table.c`\nwrites this page. A cell "
        "says after how many milliseconds both ends use a direct path, counted "
        "from\nthe first packet of a TCP connection (median of the seeds "
        "%llu to %llu, every one of which went\ndirect, or every one of which "
        "stayed on the relay, as theory has it); `*`: only birthday "
        "punching\nfinds the way. Between the nodes a round trip takes 44 "
        "ms, to the relays 38 and 46.\n\n",
        (unsigned long long)first,
        (unsigned long long)first + (unsigned)seeds - 1);
    (void)fprintf(f, "| |");
    for (int b = 0; b < NAT_KINDS; b++)
        (void)fprintf(f, " %d |", b + 1);
    (void)fprintf(f, "\n|---|");
    for (int b = 0; b < NAT_KINDS; b++)
        (void)fprintf(f, "---|");
    for (int a = 0; a < NAT_KINDS; a++) {
        (void)fprintf(f, "\n| %d %s |", a + 1, nat_kinds[a].name);
        for (int b = 0; b < NAT_KINDS; b++)
            put_cell(f, a, b);
    }
    (void)fprintf(f, "\n\n");
    for (int a = 0; a < NAT_KINDS; a++)
        (void)fprintf(f, "%d. **%s**: %s.\n", a + 1, nat_kinds[a].name,
                      nat_kinds[a].what);
    (void)fprintf(
        f,
        "\n## Why\n\n"
        "- Both mappings endpoint-independent: each knows where to send, both "
        "send, both filters open.\n"
        "- One mapping depends on the peer (7 has two easy NATs; 8 to 11 are "
        "hard): its port towards the\n  peer is known to nobody beforehand. "
        "The peer learns it from the first ping that its own filter\n  lets "
        "in, so it must not filter by port (1, 3, 4); else it must hit the "
        "port by chance: many\n  sockets on the hard side, many ports tried "
        "from the easy one.\n"
        "- Both are hard: nothing to aim at, the relay stays. IPv6 on both "
        "sides (11) needs no NAT.\n"
        "- Where UDP is blocked, the relay stays.\n");
}

static bool same_as(const char *path, uint64_t first, int seeds)
{
    static char want[65536], have[65536];
    FILE *f = fopen(path, "rb"), *t = tmpfile();
    if (!f || !t)
        return false;
    put_page(t, first, seeds);
    rewind(t);
    size_t n = fread(want, 1, sizeof want, f);
    size_t m = fread(have, 1, sizeof have, t);
    (void)fclose(f);
    (void)fclose(t);
    return n == m && memcmp(want, have, n) == 0;
}

int main(int argc, char **argv)
{
    int seeds = 100, bad = 0, only_a = -1, only_b = -1, pairs = 0;
    uint64_t first = 1;
    const char *to = NULL, *check = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--first") == 0)
            first = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--pair") == 0)
            (void)sscanf(argv[i + 1], "%d,%d", &only_a, &only_b);
        else if (strcmp(argv[i], "--write") == 0)
            to = argv[i + 1];
        else if (strcmp(argv[i], "--check") == 0)
            check = argv[i + 1];
    }
    if (seeds < 1 || seeds > MOST_SEEDS)
        return 2;
    clock_t start = clock();
    for (int a = 0; a < NAT_KINDS; a++) {
        for (int b = a; b < NAT_KINDS; b++) {
            if (only_a > 0 && (a + 1 != only_a || b + 1 != only_b))
                continue;
            bad += !run_pair(a, b, first, seeds);
            pairs++;
        }
    }
    (void)printf("%d pairs, %d seeds, %d pairs against theory, %.1f ms a run\n",
                 pairs, seeds, bad,
                 (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC /
                     (pairs * seeds));
    FILE *f = to ? fopen(to, "wb") : NULL;
    if (f) {
        put_page(f, first, seeds);
        (void)fclose(f);
    }
    if (check && !same_as(check, first, seeds)) {
        (void)printf("%s says otherwise\n", check);
        bad++;
    }
    return bad != 0;
}
