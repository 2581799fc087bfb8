/* Whole tailnets, a digest for each seed: what every machine asked for and was
 * told, and when.  tests/sim/tailnet_digest compares builds by it: memory that
 * nobody set, the order of pointers, or arithmetic that compilers do in their
 * own ways would show.
 *     tailnet_digest [SEED...]       default: 1 2 3 */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* Losses, doubles and reordering on the way, a NAT that is hard, the path dead
 * for a while, a host that roams, a relay that restarts, a node that sleeps. */
static void live(pair *p, uint64_t seed)
{
    rmr_sim_gate_config g[2];
    rmr_addr mobile = rmr_addr_v4(198, 18, 0, 9, 0);
    pair_easy(g);
    g[seed % 2].mapping = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
    g[seed % 2].ports = RMR_SIM_PORTS_RANDOM;
    g[0].up.loss = g[1].down.loss = 10000;
    g[0].up.duplicate = g[1].up.hold = 10000;
    g[1].up.hold_for = 5 * RMR_MS;
    g[1].up.jitter = 3 * RMR_MS;
    g[0].up.seed = seed;
    g[1].up.seed = seed + 1;
    pair_init(p, seed, g);
    (void)world_all_run(&p->w, 30 * RMR_SEC);
    world_run(&p->w, 5 * RMR_SEC);
    world_dial(p->a, p->b);
    world_send(p->a, (uint64_t)1 << 40);
    world_run(&p->w, 15 * RMR_SEC);
    (void)rmr_sim_gate_block_udp(p->w.sim, p->home[0], RMR_AF_NONE,
                                 RMR_SIM_WAY_OUT);
    world_run(&p->w, 15 * RMR_SEC);
    (void)rmr_sim_gate_block_udp(p->w.sim, p->home[0], RMR_AF_NONE,
                                 RMR_SIM_WAY_NONE);
    (void)rmr_sim_host_move(p->w.sim, p->a->host, RMR_SIM_INTERNET, &mobile, 1);
    world_run(&p->w, 10 * RMR_SEC);
    world_relay_stop(&p->w, 1);
    (void)rmr_sim_host_sleep(p->w.sim, p->b->host, 3 * RMR_SEC);
    world_run(&p->w, 5 * RMR_SEC);
    world_relay_start(&p->w, 1);
    world_run(&p->w, 15 * RMR_SEC);
    p->a->sends_left = 0;
    world_run(&p->w, 15 * RMR_SEC);
}

static void one(uint64_t seed)
{
    static pair p;
    p.has_ipv6 = seed % 3 == 0;
    live(&p, seed);
    (void)printf("%llu %016llx %llu bytes%s\n", (unsigned long long)seed,
                 (unsigned long long)rmr_sim_hash(p.w.sim),
                 (unsigned long long)p.b->got,
                 world_arrived(p.a, p.b) ? "" : ", and not all");
    if (!world_arrived(p.a, p.b))
        exit(EXIT_FAILURE);
    world_free(&p.w);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        one(strtoull(argv[i], NULL, 10));
    for (uint64_t seed = 1; argc == 1 && seed <= 3; seed++)
        one(seed);
    return EXIT_SUCCESS;
}
