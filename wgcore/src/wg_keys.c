/* The index table and the three key slots of a peer. */
#include "wg_internal.h"

/* ---- indices ---------------------------------------------------------- */

#define FIRST_CAP 16

static wg_index **place(const wg_indices *t, uint32_t id)
{
    return &t->tab[id & (t->cap - 1)];
}

/* Room for one more in half of the places. */
static rmr_err grow(rmr_wg *wg)
{
    wg_indices *t = &wg->indices, new = *t;
    if (t->used + 1 <= t->cap / 2)
        return RMR_OK;
    new.cap = t->cap ? t->cap * 2 : FIRST_CAP;
    new.tab = (wg_index **)rmr_alloc_zero(&wg->alloc, new.cap * sizeof *new.tab,
                                          _Alignof(wg_index *));
    if (!new.tab)
        return RMR_E_NOMEM;
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->tab[i])
            *place(&new, t->tab[i]->id) = t->tab[i];
    rmri_wg_indices_wipe(wg);
    *t = new;
    return RMR_OK;
}

void rmri_wg_indices_wipe(rmr_wg *wg)
{
    wg_indices *t = &wg->indices;
    rmr_release(&wg->alloc, (void *)t->tab, t->cap * sizeof *t->tab);
    memset(t, 0, sizeof *t);
}

rmr_err rmri_wg_index_new(rmr_wg *wg, wg_index *ix)
{
    rmr_err e = grow(wg);
    if (e)
        return e;
    /* Random, so that they tell nothing about the device.  A source that only
     * repeats itself has failed. */
    for (int tries = 0; tries < 64; tries++) {
        uint8_t b[4];
        e = rmr_rng_fill(&wg->env.rng, b, sizeof b);
        if (e)
            return e;
        wg_index **at = place(&wg->indices, rmr_load_le32(b));
        if (*at)
            continue;
        ix->id = rmr_load_le32(b);
        *at = ix;
        wg->indices.used++;
        return RMR_OK;
    }
    return RMR_E_RNG;
}

void rmri_wg_index_replace(rmr_wg *wg, wg_index *ix)
{
    *place(&wg->indices, ix->id) = ix;
}

void rmri_wg_index_del(rmr_wg *wg, const wg_index *ix)
{
    *place(&wg->indices, ix->id) = NULL;
    wg->indices.used--;
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
    wg_key *key = *k;
    *k = NULL;
    rmri_wg_index_del(wg, &key->ix);
    if (key->refs == 0) {
        rmri_wg_key_free(wg, key);
        return;
    }
    key->is_dead = true;
    key->ix.peer = NULL;
    memset(&key->dead, 0, sizeof key->dead);
    wg_link_add(&wg->dead, &key->dead);
}

void rmri_wg_keys_bury(rmr_wg *wg)
{
    while (!wg_list_empty(&wg->dead)) {
        wg_key *k = WG_OF(wg->dead.next, wg_key, dead);
        wg_link_del(&k->dead);
        rmri_wg_key_free(wg, k);
    }
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
