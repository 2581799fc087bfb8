/* Open addressing with linear probes: sim_map.h. */
#include "sim_map.h"

#include "rng.h"

static size_t home(const sim_map *m, uint64_t k0, uint64_t k1)
{
    return (size_t)rmri_sim_mix(k0 ^ rmri_sim_mix(k1)) & (m->cap - 1);
}

/* Where the key is, or the empty place where it would be. */
static size_t find(const sim_map *m, uint64_t k0, uint64_t k1)
{
    size_t i = home(m, k0, k1);
    while (m->tab[i].value && (m->tab[i].k0 != k0 || m->tab[i].k1 != k1))
        i = (i + 1) & (m->cap - 1);
    return i;
}

uint64_t rmri_sim_map_get(const sim_map *m, uint64_t k0, uint64_t k1)
{
    return m->cap ? m->tab[find(m, k0, k1)].value : 0;
}

static bool grow(sim_map *m, const rmr_alloc *a)
{
    sim_map bigger = {NULL, m->cap ? 2 * m->cap : 16, m->used};
    bigger.tab = rmr_alloc_zero(a, bigger.cap * sizeof *bigger.tab, 8);
    if (!bigger.tab)
        return false;
    for (size_t i = 0; i < m->cap; i++) {
        const sim_map_entry *e = &m->tab[i];
        if (e->value)
            bigger.tab[find(&bigger, e->k0, e->k1)] = *e;
    }
    rmr_release(a, m->tab, m->cap * sizeof *m->tab);
    *m = bigger;
    return true;
}

bool rmri_sim_map_put(sim_map *m, const rmr_alloc *a, uint64_t k0, uint64_t k1,
                      uint64_t value)
{
    if (4 * (m->used + 1) > 3 * m->cap && !grow(m, a))
        return false;
    sim_map_entry *e = &m->tab[find(m, k0, k1)];
    m->used += !e->value;
    *e = (sim_map_entry){k0, k1, value};
    return true;
}

/* What stands behind the gap and could not be found over it moves into it. */
void rmri_sim_map_del(sim_map *m, uint64_t k0, uint64_t k1)
{
    if (!m->cap)
        return;
    size_t mask = m->cap - 1, gap = find(m, k0, k1);
    if (!m->tab[gap].value)
        return;
    m->used--;
    for (size_t i = (gap + 1) & mask; m->tab[i].value; i = (i + 1) & mask) {
        size_t want = home(m, m->tab[i].k0, m->tab[i].k1);
        if (((i - want) & mask) < ((i - gap) & mask))
            continue;
        m->tab[gap] = m->tab[i];
        gap = i;
    }
    m->tab[gap].value = 0;
}

void rmri_sim_map_wipe(sim_map *m, const rmr_alloc *a)
{
    rmr_release(a, m->tab, m->cap * sizeof *m->tab);
    *m = (sim_map){NULL, 0, 0};
}
