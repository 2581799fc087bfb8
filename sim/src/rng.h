/* The simulator's chance: one 64-bit state, mixed.  Not for secrets. */
#ifndef REMORA_SIM_RNG_H
#define REMORA_SIM_RNG_H

#include <stdint.h>

static inline uint64_t rmri_sim_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The next number of a sequence (splitmix64). */
static inline uint64_t rmri_sim_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return rmri_sim_mix(*state);
}

#endif
