/* A table of 128-bit keys and 64-bit values that are not 0.  Not for hostile
 * keys: its hash is fixed, so that a run repeats. */
#ifndef REMORA_SIM_MAP_H
#define REMORA_SIM_MAP_H

#include <remora/base.h>

typedef struct sim_map_entry {
    uint64_t k0, k1, value; /* value 0: empty */
} sim_map_entry;

typedef struct sim_map {
    sim_map_entry *tab;
    size_t cap, used; /* cap: a power of two, or 0 */
} sim_map;

/* 0: it is not there. */
uint64_t rmri_sim_map_get(const sim_map *m, uint64_t k0, uint64_t k1);
bool rmri_sim_map_put(sim_map *m, const rmr_alloc *a, uint64_t k0, uint64_t k1,
                      uint64_t value);
void rmri_sim_map_del(sim_map *m, uint64_t k0, uint64_t k1);
void rmri_sim_map_wipe(sim_map *m, const rmr_alloc *a);

#endif
