/* The index table and the three key slots of a peer. */
#include <string.h>

#include "wg_internal.h"

/* ---- indices ---------------------------------------------------------- */

static wg_index *ix_of(uint64_t value)
{
    return (wg_index *)(uintptr_t)value;
}

bool rmri_wg_index_eq(const void *user, uint64_t value, const void *key,
                      size_t len)
{
    (void)user;
    (void)len;
    return memcmp(&ix_of(value)->id, key, sizeof(uint32_t)) == 0;
}

wg_index *rmri_wg_index_find(const rmr_wg *wg, uint32_t id)
{
    uint64_t v;
    return rmr_hash_get(&wg->by_index, &id, sizeof id, &v) ? ix_of(v) : NULL;
}

rmr_err rmri_wg_index_new(rmr_wg *wg, wg_index *ix)
{
    /* Random, so that they tell nothing about the device.  A source that only
     * repeats itself has failed. */
    for (int tries = 0; tries < 64; tries++) {
        uint8_t b[4];
        rmr_err e = rmr_rng_fill(&wg->env.rng, b, sizeof b);
        if (e)
            return e;
        uint32_t id = rmr_load_le32(b);
        if (rmri_wg_index_find(wg, id))
            continue;
        ix->id = id;
        return rmr_hash_put(&wg->by_index, &ix->id, sizeof ix->id,
                            (uint64_t)(uintptr_t)ix)
                   ? RMR_E_NOMEM
                   : RMR_OK;
    }
    return RMR_E_RNG;
}

void rmri_wg_index_del(rmr_wg *wg, wg_index *ix)
{
    rmr_hash_del(&wg->by_index, &ix->id, sizeof ix->id);
}

/* ---- keys ------------------------------------------------------------- */

wg_key *rmri_wg_key_alloc(rmr_wg *wg, wg_peer *p)
{
    wg_key *k =
        (wg_key *)rmr_alloc_zero(&wg->alloc, sizeof *k, _Alignof(wg_key));
    if (!k)
        return NULL;
    k->ix.peer = p;
    k->ix.is_key = true;
    k->can_send = true;
    k->born = wg->now;
    return k;
}

void rmri_wg_key_free(rmr_wg *wg, wg_key *k)
{
    if (k)
        rmr_release_wiped(&wg->alloc, k, sizeof *k);
}

void rmri_wg_key_delete(rmr_wg *wg, wg_key **k)
{
    if (!*k)
        return;
    rmri_wg_index_del(wg, &(*k)->ix);
    rmri_wg_key_free(wg, *k);
    *k = NULL;
}

void rmri_wg_keys_erase(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_key_delete(wg, &p->previous);
    rmri_wg_key_delete(wg, &p->current);
    rmri_wg_key_delete(wg, &p->next);
}

/* The other side never used `next`: it went on with `current` for longer than a
 * lost response or confirmation explains. */
static bool next_is_dead(const rmr_wg *wg, const wg_peer *p)
{
    return !wg->like_reference && p->current &&
           p->current->last_rx >= rmr_time_add(p->next->born, WG_REKEY_TIMEOUT);
}

/*
 * A response to our initiation was consumed: we may send at once.  The key that
 * the other side sends under until then stays, for receiving: a `next` that
 * isn't confirmed yet, or else the old current.
 *
 * Crossing initiations leave both sides with two keys.  So that they end on
 * one, that of the smaller public key wins: its initiator takes it as current
 * here, and the other side leaves it in `next` until it is confirmed.
 */
void rmri_wg_slot_initiated(rmr_wg *wg, wg_peer *p, wg_key *k, bool crossed)
{
    bool peer_wins = crossed && memcmp(p->pub, wg->pub, RMR_KEY_LEN) < 0;
    rmri_wg_key_delete(wg, &p->previous);
    if (p->next && !peer_wins && !next_is_dead(wg, p)) {
        rmri_wg_key_delete(wg, &p->current);
        p->previous = p->next;
        p->next = NULL;
    } else {
        if (!peer_wins)
            rmri_wg_key_delete(wg, &p->next);
        p->previous = p->current;
    }
    p->current = k;
}

/* We answered: the key waits until the initiator has used it. */
void rmri_wg_slot_answered(rmr_wg *wg, wg_peer *p, wg_key *k)
{
    rmri_wg_key_delete(wg, &p->previous);
    rmri_wg_key_delete(wg, &p->next);
    p->next = k;
}

void rmri_wg_slot_confirmed(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_key_delete(wg, &p->previous);
    p->previous = p->current;
    p->current = p->next;
    p->next = NULL;
}

bool rmri_wg_can_send(const wg_peer *p, rmr_time now)
{
    const wg_key *k = p->current;
    return k && k->can_send && k->counter < WG_REJECT_AFTER_MESSAGES &&
           rmr_time_since(now, k->born) < WG_REJECT_AFTER_TIME;
}
