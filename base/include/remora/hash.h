/*
 * remora/hash.h - SipHash and a keyed hash table.
 *
 * The table maps a key's bytes to a 64-bit value by open addressing with
 * linear probing.  It stores a 32-bit part of the hash and the value; the keys
 * stay in the owner's objects, and the owner compares them by a callback.  The
 * hash key comes from the host's RNG, so that a peer can't choose collisions.
 *
 * A deleted entry leaves no mark, so a table that is filled and emptied without
 * end needs no rebuilding and no memory.  It grows by doubling and never
 * shrinks.  There is no walk: its order would depend on the key (contract D1).
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF";
 * D. E. Knuth, TAOCP 3, 6.4, algorithms L and R.
 * Threading: one table, one thread.  Time: none.
 * Memory: 16 bytes a place, at most three quarters of them used, from
 * rmr_alloc.
 *
 *     static bool eq(const void *user, uint64_t value, const void *key,
 *                    size_t len)
 *     {
 *         const struct peer *p = rmr_slots_get(user, value);
 *         return p && len == 32 && memcmp(p->key, key, 32) == 0;
 *     }
 *     if (rmr_hash_init(&h, &env.alloc, &env.rng, 1000, eq, &peers)) fail();
 *     if (rmr_hash_put(&h, p->key, 32, id)) fail();
 *     if (rmr_hash_get(&h, from, 32, &id)) p = rmr_slots_get(&peers, id);
 *     rmr_hash_del(&h, from, 32);
 *     rmr_hash_wipe(&h);
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

/** SipHash-2-4 of `len` bytes.                                        [look]
 *  Effects: none.  Errors: none.  Source: SipHash 2. */
RMR_API uint64_t rmr_siphash(const rmr_hash_key *key, const void *data,
                             size_t len);
/** SipHash-1-3: for tables on the data path.                          [look]
 *  Effects: none.  Errors: none.  Source: SipHash 2, with c = 1 and d = 3. */
RMR_API uint64_t rmr_siphash13(const rmr_hash_key *key, const void *data,
                               size_t len);

/** SipHash-1-3 of bytes that come in parts, wherever these are cut.  Plain
 *  data: a copy goes on by itself. */
typedef struct rmr_sip13 {
    uint64_t v[4];
    uint64_t held; /* the bytes behind the last whole eight, low ones first */
    uint64_t len;  /* of all so far */
} rmr_sip13;

/** Begins: nothing was hashed yet.                                    [look]
 *  Effects: none but on `s`.  Errors: none.  Source: SipHash 2. */
RMR_API void rmr_sip13_init(rmr_sip13 *s, const rmr_hash_key *key);
/** Adds `len` bytes.                                                  [look]
 *  Effects: none but on `s`.  Errors: none.  Source: SipHash 2. */
RMR_API void rmr_sip13_update(rmr_sip13 *s, const void *data, size_t len);
/** What rmr_siphash13 gives for all bytes so far; `s` may go on.      [look]
 *  Effects: none.  Errors: none.  Source: SipHash 2. */
RMR_API uint64_t rmr_sip13_final(const rmr_sip13 *s);

/** Is `value` the object whose key is `key`?  It may be asked for values other
 *  than the one that is looked for, but only for those in the table. */
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

/** An empty table of at most `max` entries.  Takes no memory yet.
 *  Effects: draws 16 bytes from `rng`, once.
 *  Errors: RNG; the table is empty then, and good for wipe alone.
 *  Lifetime: `user` is retained until wipe.  Source: contract, randomness. */
RMR_API rmr_err rmr_hash_init(rmr_hash *h, const rmr_alloc *a,
                              const rmr_rng *rng, uint32_t max,
                              rmr_hash_eq_fn eq, const void *user);
/** Frees the table's memory and clears its key.
 *  Effects: as said.  Errors: none.  Source: contract S2. */
RMR_API void rmr_hash_wipe(rmr_hash *h);
/** Adds key -> value; an equal key's value is replaced.
 *  Effects: may grow the table.
 *  Errors: FULL (max reached), NOMEM; unchanged.  Neither when it replaces.
 *  Source: contract M2, B1. */
RMR_API rmr_err rmr_hash_put(rmr_hash *h, const void *key, size_t key_len,
                             uint64_t value);
/** The value of a key.                                                [look]
 *  Effects: on *value.  Errors: false when there is none; *value is untouched
 *  then.  Source: none. */
RMR_API bool rmr_hash_get(const rmr_hash *h, const void *key, size_t key_len,
                          uint64_t *value);
/** Takes out a key; \return whether there was one.
 *  Effects: on the table.  Errors: none.  Source: TAOCP 3, 6.4, R. */
RMR_API bool rmr_hash_del(rmr_hash *h, const void *key, size_t key_len);

#ifdef __cplusplus
}
#endif
#endif
