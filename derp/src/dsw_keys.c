/* Who is here: keys, their connections, their forwarders, and who got packets
 * from whom. */
#include "dsw_internal.h"

#include <string.h>

/* ---- tables ----------------------------------------------------------- */

bool rmri_dsw_key_eq(const void *user, uint64_t value, const void *key,
                     size_t len)
{
    const rmr_dsw *sw = user;
    const rmri_dsw_key *k = rmr_slots_get(&sw->keys, value);
    return k && len == RMR_KEY_LEN && memcmp(k->key, key, RMR_KEY_LEN) == 0;
}

typedef struct pair_name {
    uint64_t src, to;
} pair_name;

bool rmri_dsw_pair_eq(const void *user, uint64_t value, const void *key,
                      size_t len)
{
    const rmr_dsw *sw = user;
    const rmri_dsw_pair *p = rmr_slots_get(&sw->pairs, value);
    pair_name n;
    if (!p || len != sizeof n)
        return false;
    memcpy(&n, key, sizeof n);
    return p->src->id == n.src && p->to->id == n.to;
}

rmri_dsw_key *rmri_dsw_key_find(const rmr_dsw *sw,
                                const uint8_t key[RMR_KEY_LEN])
{
    uint64_t id;
    if (!rmr_hash_get(&sw->by_key, key, RMR_KEY_LEN, &id))
        return NULL;
    return (rmri_dsw_key *)rmr_slots_get(&sw->keys, id);
}

rmri_dsw_key *rmri_dsw_key_find_dst(const rmr_dsw *sw, rmri_dsw_client *c,
                                    const uint8_t key[RMR_KEY_LEN])
{
    rmri_dsw_key *k = rmr_slots_get(&sw->keys, c->last_dst);
    if (k && memcmp(k->key, key, RMR_KEY_LEN) == 0)
        return k;
    k = rmri_dsw_key_find(sw, key);
    if (k)
        c->last_dst = k->id;
    return k;
}

/* The key's object, made where there is none and at most `max` are. */
static rmri_dsw_key *key_make(rmr_dsw *sw, const uint8_t key[RMR_KEY_LEN],
                              uint32_t max)
{
    uint64_t id;
    rmri_dsw_key *k = rmri_dsw_key_find(sw, key);
    if (k || sw->keys.used >= max)
        return k;
    k = rmr_slots_new(&sw->keys, &id);
    if (!k)
        return NULL;
    memcpy(k->key, key, RMR_KEY_LEN);
    k->id = id;
    if (rmr_hash_put(&sw->by_key, key, RMR_KEY_LEN, id) != RMR_OK) {
        rmr_slots_free(&sw->keys, id);
        return NULL;
    }
    return k;
}

static void key_release(rmr_dsw *sw, rmri_dsw_key *k)
{
    if (k->active || k->claims || k->pairs)
        return;
    (void)rmr_hash_del(&sw->by_key, k->key, RMR_KEY_LEN);
    rmr_slots_free(&sw->keys, k->id);
}

/* For keys that do not connect here. */
static uint32_t most_others(const rmr_dsw *sw)
{
    return sw->cfg.max_clients * 4;
}

/* ---- pairs ------------------------------------------------------------ */

static void pair_unlink(rmri_dsw_pair *p)
{
    if (p->src_next)
        p->src_next->src_prev = p->src_prev;
    if (p->src_prev)
        p->src_prev->src_next = p->src_next;
    else
        p->src->pairs = p->src_next;
    if (p->to_next)
        p->to_next->to_prev = p->to_prev;
    else
        p->to->oldest_pair = p->to_prev;
    if (p->to_prev)
        p->to_prev->to_next = p->to_next;
    else
        p->to->pairs = p->to_next;
    p->to->n_pairs--;
}

/* Its source's object stays, also when nothing else needs it. */
static void pair_free(rmr_dsw *sw, rmri_dsw_pair *p)
{
    pair_name n = {p->src->id, p->to->id};
    if (p->to->last_src == p->src->id)
        p->to->last_src = 0;
    (void)rmr_hash_del(&sw->by_pair, &n, sizeof n);
    pair_unlink(p);
    rmr_slots_free(&sw->pairs, p->id);
}

static void pair_forget(rmr_dsw *sw, rmri_dsw_pair *p)
{
    rmri_dsw_key *src = p->src;
    pair_free(sw, p);
    key_release(sw, src);
}

static void pair_link(rmri_dsw_pair *p, rmri_dsw_key *src, rmri_dsw_client *to)
{
    p->src = src;
    p->to = to;
    p->src_next = src->pairs;
    if (src->pairs)
        src->pairs->src_prev = p;
    src->pairs = p;
    p->to_next = to->pairs;
    if (to->pairs)
        to->pairs->to_prev = p;
    else
        to->oldest_pair = p;
    to->pairs = p;
    to->n_pairs++;
}

static bool pair_make(rmr_dsw *sw, rmri_dsw_key *src, rmri_dsw_client *to)
{
    pair_name n = {src->id, to->id};
    uint64_t id;
    rmri_dsw_pair *p = rmr_slots_new(&sw->pairs, &id);
    if (!p)
        return false;
    p->id = id;
    pair_link(p, src, to);
    if (rmr_hash_put(&sw->by_pair, &n, sizeof n, id) == RMR_OK)
        return true;
    pair_unlink(p);
    rmr_slots_free(&sw->pairs, id);
    return false;
}

static bool has_pair(const rmr_dsw *sw, const rmri_dsw_key *src,
                     const rmri_dsw_client *to)
{
    pair_name n = {src->id, to->id};
    uint64_t id;
    return rmr_hash_get(&sw->by_pair, &n, sizeof n, &id);
}

/* Room for one more of this receiver: its oldest goes. */
static void make_pair_room(rmr_dsw *sw, rmri_dsw_client *to)
{
    bool is_full = to->n_pairs >= sw->cfg.client_pairs ||
                   sw->pairs.used >= sw->cfg.max_pairs;
    if (!is_full || !to->oldest_pair)
        return;
    sw->stats.pairs_forgotten++;
    pair_forget(sw, to->oldest_pair);
}

void rmri_dsw_note_pair(rmr_dsw *sw, rmri_dsw_client *to, const rmri_dsw_pkt *p)
{
    rmri_dsw_key *src;
    if (p->src && p->src == to->last_src)
        return;
    if (p->src)
        src = rmr_slots_get(&sw->keys, p->src);
    else /* a mesh peer's client, of which we need not have heard yet */
        src = key_make(sw, p->frame + RMRI_DERP_HEADER, most_others(sw));
    if (!src) {
        sw->stats.pairs_forgotten += p->src == 0;
        return; /* it went before its packet did */
    }
    if (!has_pair(sw, src, to)) {
        make_pair_room(sw, to);
        if (!pair_make(sw, src, to)) {
            sw->stats.pairs_forgotten++;
            key_release(sw, src);
            return;
        }
    }
    to->last_src = src->id;
}

/* Nobody has the key any more. */
static void key_gone(rmr_dsw *sw, rmri_dsw_key *k)
{
    while (k->pairs) {
        rmri_dsw_client *to = k->pairs->to;
        pair_free(sw, k->pairs);
        rmri_dsw_tell_gone(sw, to, k->key, RMRI_DSW_GONE_HERE);
    }
    key_release(sw, k);
}

/* ---- connections ------------------------------------------------------- */

static void dup_push(rmri_dsw_key *k, rmri_dsw_client *c)
{
    c->dup_prev = NULL;
    c->dup_next = k->active;
    if (k->active)
        k->active->dup_prev = c;
    k->active = c;
}

static void dup_unlink(rmri_dsw_key *k, rmri_dsw_client *c)
{
    if (c->dup_prev)
        c->dup_prev->dup_next = c->dup_next;
    else
        k->active = c->dup_next;
    if (c->dup_next)
        c->dup_next->dup_prev = c->dup_prev;
    c->dup_next = c->dup_prev = NULL;
}

void rmri_dsw_note_activity(rmri_dsw_client *c)
{
    if (c->key->active == c)
        return;
    dup_unlink(c->key, c);
    dup_push(c->key, c);
}

rmr_err rmri_dsw_register(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_dsw_stats *s = &sw->stats;
    rmri_dsw_key *k = key_make(sw, c->public_key, UINT32_MAX);
    if (!k)
        return RMR_E_NOMEM;
    if (k->n_conns == 0) {
        s->keys_local++;
        s->keys_remote -= k->claims != NULL;
    } else {
        s->dup_keys += k->n_conns == 1;
        s->dup_conns += k->n_conns == 1 ? 2 : 1;
        s->dup_conns_total++;
    }
    k->n_conns++;
    c->key = k;
    dup_push(k, c);
    return RMR_OK;
}

/* All that others know of it. */
void rmri_dsw_unregister(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_dsw_stats *s = &sw->stats;
    rmri_dsw_key *k = c->key;
    /* As a receiver first: nothing is told to a client that goes. */
    while (c->pairs)
        pair_forget(sw, c->pairs);
    dup_unlink(k, c);
    c->key = NULL;
    k->n_conns--;
    if (k->n_conns) {
        s->dup_keys -= k->n_conns == 1;
        s->dup_conns -= k->n_conns == 1 ? 2 : 1;
        return;
    }
    s->keys_local--;
    s->keys_remote += k->claims != NULL;
    rmri_dsw_tell_watchers_gone(sw, c->public_key);
    if (!k->claims)
        key_gone(sw, k);
}

void rmri_dsw_close_key(rmr_dsw *sw, const uint8_t key[RMR_KEY_LEN])
{
    rmri_dsw_key *k = rmri_dsw_key_find(sw, key);
    uint32_t n = k ? k->n_conns : 0;
    /* Counted beforehand: the last one takes the key's object with it. */
    while (n--)
        rmri_dsw_kill(sw, k->active, RMR_E_CLOSED);
}

/* ---- forwarders --------------------------------------------------------- */

static rmri_dsw_claim **claim_find(rmri_dsw_key *k, uint64_t forwarder)
{
    rmri_dsw_claim **at = &k->claims;
    while (*at && (*at)->forwarder != forwarder)
        at = &(*at)->next;
    return at;
}

rmr_err rmr_dsw_forwarder_add(rmr_dsw *sw, rmr_time now,
                              const uint8_t key[RMR_KEY_LEN],
                              uint64_t forwarder)
{
    uint64_t id;
    rmri_dsw_clamp(sw, now);
    rmri_dsw_key *k = rmri_dsw_key_find(sw, key);
    if (!k && sw->keys.used >= most_others(sw))
        return RMR_E_FULL;
    if (k && *claim_find(k, forwarder))
        return RMR_OK;
    if ((k && k->n_claims >= RMRI_DSW_MAX_CLAIMS) ||
        sw->claims.used >= sw->claims.max)
        return RMR_E_FULL;
    if (!k)
        k = key_make(sw, key, UINT32_MAX);
    rmri_dsw_claim *f = k ? rmr_slots_new(&sw->claims, &id) : NULL;
    if (!f) {
        sw->stats.nomem++;
        if (k)
            key_release(sw, k);
        return RMR_E_NOMEM;
    }
    f->id = id;
    f->forwarder = forwarder;
    *claim_find(k, forwarder) = f; /* the end: the oldest is first */
    k->n_claims++;
    if (k->n_claims == 1)
        sw->stats.keys_remote += k->n_conns == 0;
    sw->stats.multiforwarders_made += k->n_claims == 2;
    return RMR_OK;
}

static bool claim_remove(rmr_dsw *sw, rmri_dsw_key *k, uint64_t forwarder)
{
    rmri_dsw_claim **at = claim_find(k, forwarder), *f = *at;
    if (!f)
        return false;
    *at = f->next;
    rmr_slots_free(&sw->claims, f->id);
    k->n_claims--;
    sw->stats.multiforwarders_gone += k->n_claims == 1;
    if (k->claims || k->n_conns)
        return true;
    sw->stats.keys_remote--;
    key_gone(sw, k);
    return true;
}

rmr_err rmr_dsw_forwarder_remove(rmr_dsw *sw, rmr_time now,
                                 const uint8_t key[RMR_KEY_LEN],
                                 uint64_t forwarder)
{
    rmri_dsw_clamp(sw, now);
    rmri_dsw_key *k = rmri_dsw_key_find(sw, key);
    if (k && claim_remove(sw, k, forwarder))
        return RMR_OK;
    sw->stats.forwarder_other_value += k && k->n_claims == 1;
    return RMR_E_NOTFOUND;
}

void rmr_dsw_forwarder_forget(rmr_dsw *sw, rmr_time now, uint64_t forwarder)
{
    uint32_t pos = 0;
    rmri_dsw_key *k;
    rmri_dsw_clamp(sw, now);
    while ((k = rmr_slots_next(&sw->keys, &pos, NULL)))
        (void)claim_remove(sw, k, forwarder);
}
