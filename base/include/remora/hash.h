/*
 * remora/hash.h - SipHash and a keyed hash table.
 *
 * The table maps a key's bytes to a 64-bit value by open addressing with
 * linear probing.  It stores a 32-bit part of the hash and the value; the keys
 * stay in the owner's objects, and the owner compares them by a callback.  The
 * hash key comes from the host's RNG, so that a peer can't choose collisions.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF".
 * Threading: one table, one thread.
 */
#ifndef REMORA_HASH_H
#define REMORA_HASH_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_hash_key {
    uint64_t k0, k1;
} rmr_hash_key;

/** SipHash-2-4 of `len` bytes. */
RMR_API uint64_t rmr_siphash(const rmr_hash_key *key, const void *data,
                             size_t len);
/** SipHash-1-3: for tables on the data path. */
RMR_API uint64_t rmr_siphash13(const rmr_hash_key *key, const void *data,
                               size_t len);

/** Is `value` the object whose key is `key`? */
typedef bool (*rmr_hash_eq_fn)(const void *user, uint64_t value,
                               const void *key, size_t key_len);

typedef struct rmr_hash_entry {
    uint64_t value;
    uint32_t tag;  /* high half of the key's hash; 0: empty   */
    uint32_t home; /* low half: where the entry wants to live */
} rmr_hash_entry;

typedef struct rmr_hash {
    rmr_alloc alloc;
    rmr_hash_key key;
    rmr_hash_entry *tab;
    uint32_t cap; /* a power of two, or 0 */
    uint32_t used;
    uint32_t max; /* most entries */
    rmr_hash_eq_fn eq;
    const void *user;
} rmr_hash;

/** An empty table of at most `max` entries.  Draws its key from `rng`.
 *  Errors: RMR_E_RNG. */
RMR_API rmr_err rmr_hash_init(rmr_hash *h, const rmr_alloc *a,
                              const rmr_rng *rng, uint32_t max,
                              rmr_hash_eq_fn eq, const void *user);
RMR_API void rmr_hash_wipe(rmr_hash *h);
/** Adds key -> value; an equal key's value is replaced.
 *  Errors: RMR_E_FULL (max reached), RMR_E_NOMEM; unchanged. */
RMR_API rmr_err rmr_hash_put(rmr_hash *h, const void *key, size_t key_len,
                             uint64_t value);
/** Errors: false when there is none; *value is untouched then. */
RMR_API bool rmr_hash_get(const rmr_hash *h, const void *key, size_t key_len,
                          uint64_t *value);
/** \return whether there was one. */
RMR_API bool rmr_hash_del(rmr_hash *h, const void *key, size_t key_len);

#ifdef __cplusplus
}
#endif
#endif
