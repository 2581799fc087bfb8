/* Disco keys: which peers have them, and the cache of box keys. */
#include "path_internal.h"

#include <string.h>

/* ---- shared keys: an LRU list ----------------------------------------- */

static void unlink_shared(rmr_paths *p, path_shared *s)
{
    *(s->newer ? &s->newer->older : &p->newest) = s->older;
    *(s->older ? &s->older->newer : &p->oldest) = s->newer;
}

static void link_newest(rmr_paths *p, path_shared *s)
{
    s->newer = NULL;
    s->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = s;
    p->newest = s;
}

/* Freeing a slot wipes it. */
static void free_shared(rmr_paths *p, path_shared *s)
{
    unlink_shared(p, s);
    s->owner->shared = NULL;
    rmr_slots_free(&p->shareds, s->id);
}

void rmri_path_shared_wipe(rmr_paths *p)
{
    while (p->newest)
        free_shared(p, p->newest);
}

static void cache(rmr_paths *p, path_dkey *d, const uint8_t key[RMR_KEY_LEN])
{
    if (p->shareds.used == p->shareds.max)
        free_shared(p, p->oldest);
    uint64_t id;
    path_shared *s = rmr_slots_new(&p->shareds, &id);
    if (!s) { /* works without, only slower */
        p->stats.dropped_nomem++;
        return;
    }
    s->id = id;
    s->owner = d;
    memcpy(s->key, key, RMR_KEY_LEN);
    d->shared = s;
    link_newest(p, s);
}

/* The caller wipes its copy.  A copy, because the cache may be full or without
 * memory. */
rmr_err rmri_path_shared(rmr_paths *p, path_dkey *d, uint8_t out[RMR_KEY_LEN])
{
    if (d->shared) {
        memcpy(out, d->shared->key, RMR_KEY_LEN);
        unlink_shared(p, d->shared);
        link_newest(p, d->shared);
        return RMR_OK;
    }
    p->stats.shared_computed++;
    rmr_err e = rmr_box_shared(out, p->disco_private, d->key);
    if (e == RMR_OK)
        cache(p, d, out);
    return e;
}

/* ---- keys ------------------------------------------------------------- */

path_dkey *rmri_path_dkey_find(const rmr_paths *p,
                               const uint8_t key[RMR_KEY_LEN])
{
    uint64_t id;
    if (!rmr_hash_get(&p->by_disco, key, RMR_KEY_LEN, &id))
        return NULL;
    return rmr_slots_get(&p->dkeys, id);
}

static path_dkey *add_dkey(rmr_paths *p, const uint8_t key[RMR_KEY_LEN])
{
    uint64_t id;
    path_dkey *d = rmr_slots_new(&p->dkeys, &id);
    if (!d)
        return NULL;
    d->id = id;
    memcpy(d->key, key, RMR_KEY_LEN);
    if (rmr_hash_put(&p->by_disco, key, RMR_KEY_LEN, id) != RMR_OK) {
        rmr_slots_free(&p->dkeys, id);
        return NULL;
    }
    return d;
}

void rmri_path_dkey_drop(rmr_paths *p, path_peer *peer)
{
    path_dkey *d = peer->dkey;
    if (!d)
        return;
    path_peer **at = &d->first;
    while (*at != peer)
        at = &(*at)->next_same;
    *at = peer->next_same;
    peer->next_same = NULL;
    peer->dkey = NULL;
    if (d->first)
        return;
    if (d->shared)
        free_shared(p, d->shared);
    (void)rmr_hash_del(&p->by_disco, d->key, RMR_KEY_LEN);
    rmr_slots_free(&p->dkeys, d->id);
}

static bool is_zero_key(const uint8_t key[RMR_KEY_LEN])
{
    static const uint8_t zero[RMR_KEY_LEN];
    return memcmp(key, zero, RMR_KEY_LEN) == 0;
}

/* NOMEM: unchanged. */
rmr_err rmri_path_dkey_set(rmr_paths *p, path_peer *peer,
                           const uint8_t key[RMR_KEY_LEN])
{
    path_dkey *d = NULL;
    if (!is_zero_key(key)) {
        d = rmri_path_dkey_find(p, key);
        if (d && d == peer->dkey)
            return RMR_OK;
        if (!d)
            d = add_dkey(p, key);
        if (!d)
            return RMR_E_NOMEM;
    }
    rmri_path_dkey_drop(p, peer);
    if (d) {
        path_peer **at = &d->first; /* at the end: in order of addition */
        while (*at)
            at = &(*at)->next_same;
        *at = peer;
        peer->dkey = d;
    }
    return RMR_OK;
}
