/* Which probes a run sends, and when. */
#include "netcheck_internal.h"

#include <string.h>

#define FASTEST 3 /* regions of an incremental run, beside home */
#define FULL_TRIES 3
#define HOME_TRIES 4
#define FULL_GAP (100 * RMR_MS)
#define DEFAULT_LATENCY (200 * RMR_MS) /* of a region that did not answer */

void rmri_nc_plan_free(rmr_netcheck *nc)
{
    rmr_release(&nc->env.alloc, nc->probes,
                nc->cap_probes * sizeof *nc->probes);
    nc->probes = NULL;
    nc->n_probes = nc->cap_probes = nc->open_sets = 0;
    nc->next = nc->ready = nc->write_at = 0;
    nc->stage = STAGE_OFF;
}

static rmr_err take_memory(rmr_netcheck *nc, size_t n)
{
    if (n == 0)
        return RMR_OK;
    nc->probes = rmr_alloc_zero(&nc->env.alloc, n * sizeof *nc->probes,
                                _Alignof(nc_probe));
    if (!nc->probes)
        return RMR_E_NOMEM;
    nc->cap_probes = n;
    return RMR_OK;
}

/* One try; it takes its place among the others by its time, behind those of
 * the same time. */
static void add(rmr_netcheck *nc, nc_region *r, int family, size_t try_no,
                rmr_dur delay)
{
    rmr_time at = rmr_time_add(nc->cur.started, delay);
    size_t i = nc->n_probes++;
    for (; i > 0 && nc->probes[i - 1].at > at; i--)
        nc->probes[i] = nc->probes[i - 1];
    nc_probe *p = &nc->probes[i];
    memset(p, 0, sizeof *p);
    p->at = at;
    p->region = (uint16_t)(r - nc->t.regions);
    p->node = (uint8_t)(try_no % r->n_nodes);
    p->family = (uint8_t)family;
    nc_set *s = &r->set[family];
    s->left++;
    if (!s->open)
        nc->open_sets++;
    s->open = true;
}

static const nc_node *node_of_try(const rmr_netcheck *nc, const nc_region *r,
                                  size_t try_no)
{
    return &nc->t.nodes[r->first_node + try_no % r->n_nodes];
}

static bool has_iface(const rmr_netcheck *nc, int family)
{
    return family == V4 ? nc->how.have_v4 : nc->how.have_v6;
}

/* Tries outermost: their order is that of their times, so that adding them
 * moves nothing, however many there are. */
static rmr_err plan_all(rmr_netcheck *nc)
{
    rmr_err e = take_memory(nc, nc->t.n_regions * FULL_TRIES * FAMILIES);
    for (size_t k = 0; e == RMR_OK && k < FULL_TRIES; k++) {
        for (size_t i = 0; i < nc->t.n_regions; i++) {
            nc_region *r = &nc->t.regions[i];
            if (r->no_measure || r->n_nodes == 0)
                continue;
            for (int f = 0; f < FAMILIES; f++)
                if (rmri_nc_has_family(node_of_try(nc, r, k), f,
                                       has_iface(nc, f)))
                    add(nc, r, f, k, k * FULL_GAP);
        }
    }
    return e;
}

/* ---- incremental --------------------------------------------------------- */

/* In order: by the last report's latency, those without one last. */
static nc_region *next_fastest(rmr_netcheck *nc, uint16_t home,
                               const nc_region *before)
{
    nc_region *best = NULL;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        bool is_behind = !before || r->last.any > before->last.any ||
                         (r->last.any == before->last.any && r > before);
        if (r->no_measure || (r->avoid && r->id != home) || !is_behind)
            continue;
        if (!best || r->last.any < best->last.any)
            best = r;
    }
    return best;
}

typedef struct answered { /* which families did, last time */
    bool v4, v6;
} answered;

static answered last_answered(const rmr_netcheck *nc)
{
    answered a = {false, false};
    for (size_t i = 0; i < nc->report.n_latency; i++) {
        a.v4 = a.v4 || nc->report.latency[i].v4 != NONE;
        a.v6 = a.v6 || nc->report.latency[i].v6 != NONE;
    }
    return a;
}

static rmr_dur delay_of(const nc_region *r, size_t k)
{
    rmr_dur l = r->last.any == NONE ? DEFAULT_LATENCY : r->last.any * 120 / 100;
    return k * l + (k >= 2 ? k * 50 * RMR_MS : 0);
}

static void plan_region(rmr_netcheck *nc, nc_region *r, size_t rank,
                        bool is_home, answered last)
{
    bool fast = rank < 2;
    bool want[FAMILIES] = {nc->how.have_v4, nc->how.have_v6};
    size_t tries = is_home ? HOME_TRIES : fast ? 2 : 1;
    /* The third: one family at a time will do where both work. */
    if (!fast && !is_home && nc->how.have_v6 && last.v4 && last.v6) {
        want[V4] = rank % 2 == 0;
        want[V6] = !want[V4];
    }
    if (!fast && !is_home && !last.v6)
        want[V6] = false;
    for (size_t k = 0; k < tries && r->n_nodes; k++) {
        if (k > 0 && !last.v6) /* one probe shows whether it came back */
            want[V6] = false;
        for (int f = 0; f < FAMILIES; f++)
            if (rmri_nc_has_family(node_of_try(nc, r, k), f, want[f]))
                add(nc, r, f, k, delay_of(r, k));
    }
}

static rmr_err plan_some(rmr_netcheck *nc)
{
    uint16_t home = nc->report.preferred_derp;
    answered last = last_answered(nc);
    rmr_err e = take_memory(nc, (FASTEST + 1) * HOME_TRIES * FAMILIES);
    if (e)
        return e;
    nc_region *r = NULL, *h = rmri_nc_region(nc, home);
    if (h && h->no_measure)
        h = NULL;
    for (size_t rank = 0; rank < FASTEST; rank++) {
        r = next_fastest(nc, home, r);
        if (!r)
            break;
        plan_region(nc, r, rank, r == h, last);
        if (r == h)
            h = NULL;
    }
    if (h)
        plan_region(nc, h, FASTEST, true, last);
    return RMR_OK;
}

/* Ids are random but for the place of their probe, which is masked: so an
 * answer finds its probe at once, and 80 bits are still to be guessed. */
static rmr_err draw_ids(rmr_netcheck *nc)
{
    uint8_t mask[2];
    rmr_err e = rmr_rng_fill(&nc->env.rng, mask, sizeof mask);
    nc->mask = (uint16_t)(mask[0] << 8 | mask[1]);
    for (size_t i = 0; e == RMR_OK && i < nc->n_probes; i++) {
        uint8_t *id = nc->probes[i].txid;
        e = rmr_rng_fill(&nc->env.rng, id, RMR_STUN_TXID_LEN);
        id[0] = (uint8_t)((i ^ nc->mask) >> 8);
        id[1] = (uint8_t)(i ^ nc->mask);
    }
    return e;
}

rmr_err rmri_nc_plan(rmr_netcheck *nc, bool all)
{
    for (size_t i = 0; i < nc->t.n_regions; i++)
        memset(nc->t.regions[i].set, 0, sizeof nc->t.regions[i].set);
    rmr_err e = all ? plan_all(nc) : plan_some(nc);
    if (e == RMR_OK)
        e = draw_ids(nc);
    if (e)
        rmri_nc_plan_free(nc);
    return e;
}
