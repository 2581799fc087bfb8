/* The flows that we opened: a hash with chains and a list by age, all in one
 * block, which doubles with the flows up to its bound.  Without memory for a
 * larger one the oldest flow makes room, as at the bound. */
#include "filter_internal.h"

#include <string.h>

#define FIRST_CAP 16

_Static_assert((FILTER_FLOWS & (FILTER_FLOWS - 1)) == 0 &&
                   (FIRST_CAP & (FIRST_CAP - 1)) == 0,
               "buckets are masked");

static size_t block_size(size_t cap)
{
    return cap * (sizeof(filter_flow) + sizeof(uint16_t));
}

void rmri_filter_flows_init(filter_flows *f, const rmr_alloc *alloc)
{
    f->alloc = *alloc;
    f->flow = NULL;
    f->bucket = NULL;
    f->newest = f->oldest = FILTER_NIL;
    f->used = f->cap = 0;
}

void rmri_filter_flows_free(filter_flows *f)
{
    rmr_release_wiped(&f->alloc, f->flow, block_size(f->cap));
    rmri_filter_flows_init(f, &f->alloc);
}

static uint16_t *bucket_of(const filter_flows *f, const uint8_t *key)
{
    uint64_t h = rmr_siphash13(&f->hash, key, FILTER_KEY_LEN);
    return &f->bucket[h & (f->cap - 1u)];
}

static uint16_t find(const filter_flows *f, const uint8_t *key)
{
    if (f->newest == FILTER_NIL)
        return FILTER_NIL;
    /* Bulk flows note the same key again and again. */
    if (memcmp(f->flow[f->newest].key, key, FILTER_KEY_LEN) == 0)
        return f->newest;
    uint16_t i = *bucket_of(f, key);
    while (i != FILTER_NIL && memcmp(f->flow[i].key, key, FILTER_KEY_LEN) != 0)
        i = f->flow[i].chain;
    return i;
}

static void unlink_age(filter_flows *f, uint16_t i)
{
    filter_flow *e = &f->flow[i];
    if (e->newer != FILTER_NIL)
        f->flow[e->newer].older = e->older;
    else
        f->newest = e->older;
    if (e->older != FILTER_NIL)
        f->flow[e->older].newer = e->newer;
    else
        f->oldest = e->newer;
}

static void link_newest(filter_flows *f, uint16_t i)
{
    filter_flow *e = &f->flow[i];
    e->newer = FILTER_NIL;
    e->older = f->newest;
    if (f->newest != FILTER_NIL)
        f->flow[f->newest].newer = i;
    else
        f->oldest = i;
    f->newest = i;
}

static void touch(filter_flows *f, uint16_t i)
{
    if (i == f->newest)
        return;
    unlink_age(f, i);
    link_newest(f, i);
}

static void link_bucket(filter_flows *f, uint16_t i)
{
    uint16_t *at = bucket_of(f, f->flow[i].key);
    f->flow[i].chain = *at;
    *at = i;
}

/* False: at the bound, or no memory; unchanged. */
static bool grow(filter_flows *f)
{
    uint16_t cap = f->cap ? (uint16_t)(f->cap * 2) : FIRST_CAP;
    if (cap > FILTER_FLOWS)
        return false;
    filter_flow *flow =
        rmr_alloc_raw(&f->alloc, block_size(cap), _Alignof(filter_flow));
    if (!flow)
        return false;
    if (f->used)
        memcpy(flow, f->flow, f->used * sizeof *flow);
    rmr_release_wiped(&f->alloc, f->flow, block_size(f->cap));
    f->flow = flow;
    f->bucket = (uint16_t *)(void *)(flow + cap);
    f->cap = cap;
    memset(f->bucket, 0xff, cap * sizeof *f->bucket);
    for (uint16_t i = 0; i < f->used; i++)
        link_bucket(f, i);
    return true;
}

/* FILTER_NIL: no memory for the first. */
static uint16_t take_slot(filter_flows *f)
{
    if (f->used < f->cap || grow(f))
        return f->used++;
    uint16_t i = f->oldest;
    if (i == FILTER_NIL)
        return i;
    uint16_t *at = bucket_of(f, f->flow[i].key);
    while (*at != i)
        at = &f->flow[*at].chain;
    *at = f->flow[i].chain;
    unlink_age(f, i);
    return i;
}

bool rmri_filter_flows_has(filter_flows *f, const uint8_t *key)
{
    uint16_t i = find(f, key);
    if (i == FILTER_NIL)
        return false;
    touch(f, i);
    return true;
}

void rmri_filter_flows_note(filter_flows *f, const uint8_t *key)
{
    uint16_t i = find(f, key);
    if (i != FILTER_NIL) {
        touch(f, i);
        return;
    }
    i = take_slot(f);
    if (i == FILTER_NIL)
        return;
    memcpy(f->flow[i].key, key, FILTER_KEY_LEN);
    link_bucket(f, i);
    link_newest(f, i);
}
