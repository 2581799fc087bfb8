/* The flows that we opened: a hash with chains and a list by age, all in one
 * block of fixed size, so that noting one never allocates. */
#include "filter_internal.h"

#include <string.h>

_Static_assert((FILTER_FLOWS & (FILTER_FLOWS - 1)) == 0, "buckets are masked");

void rmri_filter_flows_init(filter_flows *f)
{
    memset(f->bucket, 0xff, sizeof f->bucket);
    f->newest = f->oldest = FILTER_NIL;
    f->used = 0;
}

static uint16_t *bucket_of(filter_flows *f, const uint8_t *key)
{
    uint64_t h = rmr_siphash13(&f->hash, key, FILTER_KEY_LEN);
    return &f->bucket[h & (FILTER_FLOWS - 1)];
}

static uint16_t find(filter_flows *f, const uint8_t *key)
{
    /* Bulk flows note the same key again and again. */
    if (f->newest != FILTER_NIL &&
        memcmp(f->flow[f->newest].key, key, FILTER_KEY_LEN) == 0)
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

static uint16_t take_slot(filter_flows *f)
{
    if (f->used < FILTER_FLOWS)
        return f->used++;
    uint16_t i = f->oldest;
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
    filter_flow *e = &f->flow[i];
    memcpy(e->key, key, FILTER_KEY_LEN);
    uint16_t *at = bucket_of(f, key);
    e->chain = *at;
    *at = i;
    link_newest(f, i);
}
