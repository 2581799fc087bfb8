/* The receive map: from whose addresses datagrams come.  Hints for WireGuard
 * alone; nothing is ever sent to an address because it is here.  The table has
 * a peer's handle for an address; the addresses themselves are in the peer. */
#include "path_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define KEY_LEN 23

static void key_of(uint8_t key[KEY_LEN], const rmr_addr *a)
{
    memcpy(key, a->ip, 16);
    rmr_store_be32(key + 16, a->zone);
    rmr_store_be16(key + 20, a->port);
    key[22] = a->family;
}

static bool is_key(const rmr_addr *a, const void *key)
{
    uint8_t mine[KEY_LEN];
    key_of(mine, a);
    return memcmp(mine, key, KEY_LEN) == 0;
}

bool rmri_path_source_eq(const void *user, uint64_t value, const void *key,
                         size_t len)
{
    const path_peer *peer = rmr_slots_get(user, value);
    if (!peer || !peer->hot || len != KEY_LEN)
        return false;
    const path_hot *h = peer->hot;
    for (size_t i = 0; i < MAX_SOURCES; i++)
        if (is_key(&h->sources[i], key))
            return true;
    /* Control vouches for all endpoints of these. */
    for (size_t i = 0; peer->wireguard_only && i < h->n_cands; i++)
        if (is_key(&h->cands[i].udp, key))
            return true;
    return false;
}

path_peer *rmri_path_source_get(const rmr_paths *p, const rmr_addr *udp)
{
    uint8_t key[KEY_LEN];
    uint64_t id;
    key_of(key, udp);
    if (!rmr_hash_get(&p->by_source, key, KEY_LEN, &id))
        return NULL;
    return rmr_slots_get(&p->peers, id);
}

/* Unless it is another peer's by now. */
void rmri_path_source_drop(rmr_paths *p, const path_peer *peer,
                           const rmr_addr *udp)
{
    uint8_t key[KEY_LEN];
    if (udp->family == RMR_AF_NONE || rmri_path_source_get(p, udp) != peer)
        return;
    key_of(key, udp);
    (void)rmr_hash_del(&p->by_source, key, KEY_LEN);
}

/* The table wants the address in its owner before it is asked for it. */
bool rmri_path_source_put(rmr_paths *p, const path_peer *peer,
                          const rmr_addr *udp)
{
    uint8_t key[KEY_LEN];
    key_of(key, udp);
    if (rmr_hash_put(&p->by_source, key, KEY_LEN, peer->id) == RMR_OK)
        return true;
    p->stats.dropped_nomem++;
    return false;
}

static bool has(const path_hot *h, const rmr_addr *udp)
{
    for (size_t i = 0; i < MAX_SOURCES; i++)
        if (rmr_addr_eq(&h->sources[i], udp))
            return true;
    return false;
}

void rmri_path_source_note(rmr_paths *p, path_hot *h, const rmr_addr *udp)
{
    if (rmri_path_source_get(p, udp) == h->peer)
        return;
    if (!has(h, udp)) { /* the oldest of the peer's makes room */
        rmr_addr *at = &h->sources[h->next_source];
        rmri_path_source_drop(p, h->peer, at);
        *at = *udp;
        h->next_source = (uint8_t)((h->next_source + 1) % MAX_SOURCES);
    }
    (void)rmri_path_source_put(p, h->peer, udp);
}

void rmri_path_sources_drop(rmr_paths *p, path_hot *h)
{
    for (size_t i = 0; i < MAX_SOURCES; i++)
        rmri_path_source_drop(p, h->peer, &h->sources[i]);
    for (size_t i = 0; h->peer->wireguard_only && i < h->n_cands; i++)
        rmri_path_source_drop(p, h->peer, &h->cands[i].udp);
}
