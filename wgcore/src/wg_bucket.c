/* Token buckets for handshake messages that carry a valid mac2, while under
 * load: 20 a second and source, a burst of 5.  Bounded; when full, refuse. */
#include <string.h>

#include "wg_internal.h"

#define COST (50 * RMR_MS)
#define CAPACITY (5 * COST)
#define IDLE RMR_SEC

typedef struct bucket {
    uint64_t id;
    wg_link lru;
    rmr_dur tokens;
    rmr_time at;
    uint8_t len;
    uint8_t key[RMR_WG_ENDPOINT_MAX];
} bucket;

static bool key_eq(const void *user, uint64_t value, const void *key,
                   size_t len)
{
    const wg_buckets *b = (const wg_buckets *)user;
    const bucket *e = (const bucket *)rmr_slots_get(&b->slots, value);
    return e->len == len && (len == 0 || memcmp(e->key, key, len) == 0);
}

rmr_err rmri_wg_buckets_init(wg_buckets *b, const rmr_alloc *a,
                             const rmr_rng *rng)
{
    wg_list_init(&b->lru);
    rmr_err e = rmr_hash_init(&b->by_key, a, rng, WG_BUCKETS_MAX, key_eq, b);
    return e ? e : rmr_slots_init(&b->slots, a, sizeof(bucket), WG_BUCKETS_MAX);
}

void rmri_wg_buckets_wipe(wg_buckets *b)
{
    rmr_hash_wipe(&b->by_key);
    rmr_slots_wipe(&b->slots);
    wg_list_init(&b->lru);
}

static void drop_idle(wg_buckets *b, rmr_time now)
{
    while (!wg_list_empty(&b->lru)) {
        bucket *e = WG_OF(b->lru.next, bucket, lru);
        if (rmr_time_since(now, e->at) < IDLE)
            break;
        wg_link_del(&e->lru);
        rmr_hash_del(&b->by_key, e->key, e->len);
        rmr_slots_free(&b->slots, e->id);
    }
}

static bucket *add(wg_buckets *b, rmr_bytes key)
{
    uint64_t id;
    bucket *e = (bucket *)rmr_slots_new(&b->slots, &id);
    if (!e)
        return NULL;
    e->id = id;
    e->len = (uint8_t)key.len;
    if (key.len)
        memcpy(e->key, key.ptr, key.len);
    if (rmr_hash_put(&b->by_key, e->key, e->len, id)) {
        rmr_slots_free(&b->slots, id);
        return NULL;
    }
    return e;
}

bool rmri_wg_buckets_allow(wg_buckets *b, rmr_time now, rmr_bytes key)
{
    uint64_t id;
    bucket *e;
    drop_idle(b, now);
    if (rmr_hash_get(&b->by_key, key.ptr, key.len, &id)) {
        e = (bucket *)rmr_slots_get(&b->slots, id);
        e->tokens += rmr_time_since(now, e->at);
        if (e->tokens > CAPACITY)
            e->tokens = CAPACITY;
        wg_link_del(&e->lru);
    } else {
        e = add(b, key);
        if (!e)
            return false;
        e->tokens = CAPACITY;
    }
    e->at = now;
    wg_link_add(&b->lru, &e->lru);
    if (e->tokens < COST)
        return false;
    e->tokens -= COST;
    return true;
}
