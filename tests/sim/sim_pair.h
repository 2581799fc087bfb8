/* Two nodes, each behind a gate of its own, and a transfer between them. */
#ifndef REMORA_TEST_SIM_PAIR_H
#define REMORA_TEST_SIM_PAIR_H

#include "world.h"

typedef struct pair {
    world w;
    world_node *a, *b; /* a sends */
    rmr_sim_net home[2];
    bool has_ipv6; /* set before pair_init, as the next */
    void (*configure)(int number, rmr_node_config *cfg); /* as in world */
} pair;

/* Gates whose outsides are 198.51.100.1 and .11, 10 ms away.  All of *p but
 * has_ipv6 and configure is overwritten. */
void pair_init(pair *p, uint64_t seed, rmr_sim_gate_config gates[2]);
/* NATs that filter by address and port. */
void pair_easy(rmr_sim_gate_config g[2]);
/* A direct pair in the middle of a transfer of so many bytes. */
void pair_begin(pair *p, uint64_t seed, uint64_t bytes);
/* Until a hears an acknowledgement of new data; how long that took. */
rmr_dur pair_silence(pair *p, rmr_dur most);
/* Both ends use a UDP path; how long that took. */
rmr_dur pair_until_direct(pair *p, rmr_dur most);
/* All arrives with the right SHA-256, over the connection of the beginning. */
void pair_end(pair *p);
/* The same, and a sends no more than it has. */
void pair_stop(pair *p);

#endif
