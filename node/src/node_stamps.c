/* The greatest handshake timestamp of each peer whose WireGuard state was
 * forgotten: without it an old initiation could be replayed against the peer
 * when it comes back (WireGuard paper, 5.1). */
#include "node_internal.h"

#include <string.h>

#define MAX_STAMPS 16384

typedef struct stamp {
    uint8_t key[RMR_KEY_LEN];
    uint8_t tai64n[12];
} stamp;

static bool key_eq(const void *user, uint64_t handle, const void *key,
                   size_t key_len)
{
    const rmr_node *n = user;
    const stamp *s = rmr_slots_get(&n->stamps, handle);
    return s && memcmp(s->key, key, key_len) == 0;
}

rmr_err rmri_node_stamps_new(rmr_node *n)
{
    rmr_err err =
        rmr_slots_init(&n->stamps, &n->env.alloc, sizeof(stamp), MAX_STAMPS);
    if (err == RMR_OK)
        err = rmr_hash_init(&n->stamp_ids, &n->env.alloc, &n->env.rng,
                            MAX_STAMPS, key_eq, n);
    return err;
}

void rmri_node_stamps_free(rmr_node *n)
{
    rmr_hash_wipe(&n->stamp_ids);
    rmr_slots_wipe(&n->stamps);
}

/* A full table or no memory: the replay of an initiation then costs us one
 * response, and no session. */
void rmri_node_stamps_keep(rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                           const uint8_t tai64n[12])
{
    static const uint8_t never[12];
    uint64_t handle = 0;
    if (memcmp(tai64n, never, sizeof never) == 0)
        return;
    rmri_node_stamps_drop(n, key);
    stamp *s = rmr_slots_new(&n->stamps, &handle);
    if (!s)
        return;
    memcpy(s->key, key, RMR_KEY_LEN);
    memcpy(s->tai64n, tai64n, sizeof s->tai64n);
    if (rmr_hash_put(&n->stamp_ids, key, RMR_KEY_LEN, handle) != RMR_OK)
        rmr_slots_free(&n->stamps, handle);
}

void rmri_node_stamps_get(const rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                          uint8_t tai64n[12])
{
    uint64_t handle;
    if (!rmr_hash_get(&n->stamp_ids, key, RMR_KEY_LEN, &handle))
        return;
    const stamp *s = rmr_slots_get(&n->stamps, handle);
    if (s)
        memcpy(tai64n, s->tai64n, sizeof s->tai64n);
}

void rmri_node_stamps_drop(rmr_node *n, const uint8_t key[RMR_KEY_LEN])
{
    uint64_t handle;
    if (!rmr_hash_get(&n->stamp_ids, key, RMR_KEY_LEN, &handle))
        return;
    rmr_hash_del(&n->stamp_ids, key, RMR_KEY_LEN);
    rmr_slots_free(&n->stamps, handle);
}
