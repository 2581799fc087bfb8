/*
 * remora/crypto.h - the primitives of WireGuard, TS2021, DERP and disco.
 *
 * X25519, BLAKE2s with HMAC and HKDF, ChaCha20-Poly1305, XChaCha20-Poly1305
 * and the NaCl box, over libsodium and libb2; for bulk data also over ipsec-mb,
 * where that is built in.  It is not a general crypto library: nothing is here
 * that no layer needs, and TLS has its own (BearSSL).
 *
 * Randomness: none is drawn here.  Keys, nonces and ephemerals come from the
 * caller's rmr_rng.  Secrets on the stack are wiped before a return.
 *
 * Back ends: remora::crypto is the real one.  The archive remora_crypto_null
 * has the same symbols with sums in place of ciphers, so that a fuzzer's bytes
 * pass authentication; it is never installed.
 *
 * Threading: pure functions; rmr_crypto_init() once before any of them.
 * Memory: none is allocated, but by rmr_aead_new.  Time: none.
 *
 * Source: RFC 7748 (X25519), RFC 7693 (BLAKE2s), RFC 2104, RFC 8439,
 * draft-irtf-cfrg-xchacha-03, NaCl crypto_box.
 *
 *     uint8_t priv[RMR_KEY_LEN], pub[RMR_KEY_LEN], shared[RMR_KEY_LEN];
 *     if (rmr_crypto_init()) return;
 *     rmr_key_generate(&env.rng, priv);
 *     rmr_x25519_public(pub, priv);
 *     if (rmr_box_shared(shared, priv, their_pub)) return;
 *     rmr_rng_fill(&env.rng, nonce, sizeof nonce);
 *     rmr_box_seal(out, shared, nonce, message);
 *     if (rmr_box_open(text, shared, their_nonce, rmr_bytes_of(in, len)))
 *         return;                          not from them
 *     rmr_wipe(shared, sizeof shared);
 */
#ifndef REMORA_CRYPTO_H
#define REMORA_CRYPTO_H

#include <remora/base.h>
#include <remora/gcm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_KEY_LEN 32
#define RMR_TAG_LEN 16
#define RMR_HASH_LEN 32
#define RMR_BLAKE2S_BLOCK 64
#define RMR_XNONCE_LEN 24
#define RMR_BOX_NONCE_LEN 24

/**
 * Chooses the implementations for this processor.                  [submit]
 *
 * Effects: calls sodium_init() and libb2's dispatcher, which keep their choice
 *          in globals of those libraries.  May be called again; one thread at
 *          a time, and before any other function here.
 * Errors:  INTERNAL where libsodium refuses to start.
 * Source:  libsodium, "Usage"; libb2, blake2-dispatch.
 */
RMR_API rmr_err rmr_crypto_init(void);

/* ---- X25519 ----------------------------------------------------------- */

/**
 * A clamped private key from the caller's randomness.              [submit]
 *
 * Effects: draws 32 bytes once.
 * Errors:  RNG; `priv` is zero then.
 * Source:  RFC 7748 5.
 */
RMR_API rmr_err rmr_key_generate(const rmr_rng *rng,
                                 uint8_t priv[RMR_KEY_LEN]);
/**
 * Clamps 32 bytes in place.                                          [look]
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 7748 5.
 */
RMR_API void rmr_key_clamp(uint8_t priv[RMR_KEY_LEN]);
/**
 * The public key of a private one.                                   [look]
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 7748 6.1.
 */
RMR_API void rmr_x25519_public(uint8_t pub[RMR_KEY_LEN],
                               const uint8_t priv[RMR_KEY_LEN]);
/**
 * The shared point of two keys.                                      [look]
 *
 * Effects: none besides.
 * Errors:  AUTH where it is all zero, because the public key is of low order;
 *          `out` is zero then.
 * Source:  RFC 7748 6.1.
 */
RMR_API rmr_err rmr_x25519(uint8_t out[RMR_KEY_LEN],
                           const uint8_t priv[RMR_KEY_LEN],
                           const uint8_t pub[RMR_KEY_LEN]);

/* ---- BLAKE2s ---------------------------------------------------------- */

typedef struct rmr_blake2s { /* caller-owned; wipe after keyed use */
    uint64_t opaque[32];
} rmr_blake2s;

/**
 * Begins a hash; update it with any pieces, then take it by final.  [look]
 *
 * \param out_len  1...32.
 * \param key      May be NULL when key_len is 0.
 * \param key_len  0...32; a keyed hash, which is not HMAC.
 *
 * Effects: on the state alone.  Errors: none.
 * Source:  RFC 7693 2.9, 3.
 */
RMR_API void rmr_blake2s_init(rmr_blake2s *s, size_t out_len, const void *key,
                              size_t key_len);
/** The next piece.  Effects: on the state alone.  Errors: none.
 *  Source: RFC 7693 3.3. */
RMR_API void rmr_blake2s_update(rmr_blake2s *s, const void *data, size_t len);
/** The hash, of the length that init was told; the state is used up.
 *  Effects: on the state alone.  Errors: none.  Source: RFC 7693 3.3. */
RMR_API void rmr_blake2s_final(rmr_blake2s *s, uint8_t *out);
/**
 * HASH: BLAKE2s-256 of a || b.                                       [look]
 *
 * \param a, b  Either may be empty; both may overlap `out`.
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 7693.
 */
RMR_API void rmr_blake2s_256(uint8_t out[RMR_HASH_LEN], rmr_bytes a,
                             rmr_bytes b);
/**
 * MAC: keyed BLAKE2s with an output length of 16 (not a cut one of 32). [look]
 *
 * \param key  16 or 32 bytes.
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 7693 2.9; WireGuard paper 5.4.
 */
RMR_API void rmr_blake2s_mac(uint8_t out[16], rmr_bytes key, rmr_bytes data);
/**
 * HMAC-BLAKE2s-256 of a || b.                                        [look]
 *
 * \param a, b  Either may be empty; both may overlap `out`.
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 2104.
 */
RMR_API void rmr_hmac_blake2s(uint8_t out[RMR_HASH_LEN], rmr_bytes key,
                              rmr_bytes a, rmr_bytes b);
/**
 * HKDF with 1 to 3 outputs.                                          [look]
 *
 * \param o1      May be `ck`.
 * \param o2, o3  May be NULL.
 *
 * Effects: none besides.  Errors: none.
 * Source:  Noise rev. 34, 4.3; WireGuard paper 5.4 (Kdf).
 */
RMR_API void rmr_hkdf(uint8_t o1[RMR_HASH_LEN], uint8_t *o2, uint8_t *o3,
                      const uint8_t ck[RMR_HASH_LEN], rmr_bytes ikm);

/* ---- AEADs ------------------------------------------------------------ */

/**
 * ChaCha20-Poly1305.                                                 [look]
 *
 * \param c  Gets ciphertext || tag, pt.len + 16 bytes; may be pt.ptr.
 *
 * Effects: none besides.  Errors: none.
 * Source:  RFC 8439 2.8.
 */
RMR_API void rmr_chapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                              const uint8_t nonce[12], rmr_bytes ad,
                              rmr_bytes pt);
/**
 * Opens what rmr_chapoly_seal made.                                  [look]
 *
 * \param pt  Gets c.len - 16 bytes; may be c.ptr.
 * \param c   Ciphertext || tag.
 *
 * Effects: none besides.
 * Errors:  AUTH, also when c is shorter than a tag; the content of pt is
 *          unspecified then and must not be used.
 * Source:  RFC 8439 2.8.
 */
RMR_API rmr_err rmr_chapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                                 const uint8_t nonce[12], rmr_bytes ad,
                                 rmr_bytes c);
/** XChaCha20-Poly1305: as rmr_chapoly_seal with a nonce of 24 bytes.
 *  Effects: none besides.  Errors: none.
 *  Source: draft-irtf-cfrg-xchacha-03. */
RMR_API void rmr_xchapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                               const uint8_t nonce[RMR_XNONCE_LEN],
                               rmr_bytes ad, rmr_bytes pt);
/** As rmr_chapoly_open with a nonce of 24 bytes.
 *  Effects: none besides.  Errors: AUTH.
 *  Source: draft-irtf-cfrg-xchacha-03. */
RMR_API rmr_err rmr_xchapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                                  const uint8_t nonce[RMR_XNONCE_LEN],
                                  rmr_bytes ad, rmr_bytes c);

/* An AEAD for bulk data: a key set up once, nonce = 4 zero bytes || LE64
 * counter, no associated data, in place.  The table lets a host plug its own
 * (a faster one, or hardware). */
#define RMR_AEAD_CTX_MAX 256
typedef struct rmr_aead_ctx { /* counts as a key: wipe */
    RMR_ALIGNAS(64) uint8_t opaque[RMR_AEAD_CTX_MAX];
} rmr_aead_ctx;

typedef struct rmr_aead_item { /* one message of a batch */
    const rmr_aead_ctx *ctx;   /* its key; those of a batch may differ */
    uint64_t counter;
    uint8_t *buf; /* plaintext or ciphertext, len bytes; tag behind it */
    size_t len;   /* of the plaintext */
    rmr_err err;  /* set: RMR_OK; by open_n also RMR_E_AUTH */
} rmr_aead_item;

/* A back end.  A context that one instance made is good for every other
 * instance of the same back end, so that each thread may have its own. */
typedef struct rmr_aead {
    const char *name;
    void *self; /* its own memory, or NULL; one thread at a time */
    void (*init)(void *self, rmr_aead_ctx *ctx,
                 const uint8_t key[RMR_KEY_LEN]);
    /* buf has room for len + RMR_TAG_LEN. */
    void (*seal)(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                 uint8_t *buf, size_t len);
    /* len counts the plaintext; the tag is at buf + len.  After RMR_E_AUTH the
     * content of buf is unspecified and must not be used. */
    rmr_err (*open)(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                    uint8_t *buf, size_t len);
    /* Batches, in any order of work; NULL: the caller loops. */
    void (*seal_n)(void *self, rmr_aead_item *items, size_t n);
    void (*open_n)(void *self, rmr_aead_item *items, size_t n);
} rmr_aead;

/**
 * The portable back end, libsodium: a constant.                      [look]
 *
 * Effects: none.  Errors: none.
 * Source:  RFC 8439 2.8.
 */
RMR_API const rmr_aead *rmr_aead_default(void);
/**
 * The names of the back ends in this build, the fastest first; NULL behind the
 * last.                                                              [look]
 *
 * Effects: none.  Errors: none.
 * Source:  RFC 8439 2.8.
 */
RMR_API const char *rmr_aead_name(size_t i);
/**
 * An instance of a back end that this processor can run.           [submit]
 *
 * \param out    What it points to is freed by rmr_aead_wipe.
 * \param alloc  Copied into that memory.  "libsodium" takes none of it;
 *               "ipsec-mb" 52 KB, and 200 KB more until this returns.
 * \param name   NULL: the fastest.
 *
 * Effects: after rmr_crypto_init(), one thread at a time, since ipsec-mb writes
 *          what the processor can do to a global of its own; and in each later
 *          call its last error, which nothing here reads.
 * Errors:  UNSUPPORTED (not in this build, or the processor lacks what it
 *          needs; never for NULL), NOMEM; *out is untouched.
 * Lifetime: until rmr_aead_wipe, which comes after all that uses it.
 * Source:  RFC 8439 2.8.
 */
RMR_API rmr_err rmr_aead_new(rmr_aead *out, const rmr_alloc *alloc,
                             const char *name);
/**
 * Ends an instance; a zeroed one is allowed.                       [submit]
 *
 * Effects: wipes and frees its memory, and zeroes the table.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_aead_wipe(rmr_aead *aead);

/** Seals a batch by the table's own form, or one by one.             [look]
 *  Effects: on the items.  Errors: in the items.  Source: RFC 8439 2.8. */
RMR_API void rmr_aead_seal_n(const rmr_aead *aead, rmr_aead_item *items,
                             size_t n);
/** Opens a batch as rmr_aead_seal_n seals one.
 *  Effects: on the items.  Errors: in the items.  Source: RFC 8439 2.8. */
RMR_API void rmr_aead_open_n(const rmr_aead *aead, rmr_aead_item *items,
                             size_t n);

/* ---- AES-GCM, for TLS's records ---------------------------------------- */

/**
 * A table of AES-GCM functions (remora/gcm.h) that this processor runs well:
 * ipsec-mb's.  There is no portable one: TLS has its own.          [submit]
 *
 * \param out    What it points to is freed by rmr_gcm_wipe.
 * \param alloc  Copied into that memory: 100 bytes, and 200 KB more until this
 *               returns.
 *
 * Effects: as rmr_aead_new.
 * Errors:  UNSUPPORTED (not in this build, or the processor lacks what it
 *          needs), NOMEM; *out is untouched.
 * Lifetime: until rmr_gcm_wipe, which comes after all that uses it.
 * Source:  NIST SP 800-38D.
 */
RMR_API rmr_err rmr_gcm_new(rmr_gcm *out, const rmr_alloc *alloc);
/**
 * Ends an instance; a zeroed one is allowed.                       [submit]
 *
 * Effects: frees its memory, and zeroes the table.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_gcm_wipe(rmr_gcm *gcm);

/* ---- NaCl box --------------------------------------------------------- */

/**
 * The key of a pair, HSalsa20(X25519(priv, pub), 0); keep it while the pair
 * talks.                                                             [look]
 *
 * Effects: none besides.
 * Errors:  AUTH for a public key of low order; `shared` is zero then.
 * Source:  NaCl crypto_box_beforenm.
 */
RMR_API rmr_err rmr_box_shared(uint8_t shared[RMR_KEY_LEN],
                               const uint8_t priv[RMR_KEY_LEN],
                               const uint8_t pub[RMR_KEY_LEN]);
/**
 * Seals a box.                                                       [look]
 *
 * \param c  Gets tag (16) || ciphertext, pt.len + 16 bytes.
 *
 * Effects: none besides.  Errors: none.
 * Source:  NaCl crypto_box, in libsodium's crypto_box_easy form.
 */
RMR_API void rmr_box_seal(uint8_t *c, const uint8_t shared[RMR_KEY_LEN],
                          const uint8_t nonce[RMR_BOX_NONCE_LEN],
                          rmr_bytes pt);
/**
 * Opens a box.                                                       [look]
 *
 * \param pt  Gets c.len - 16 bytes.
 *
 * Effects: none besides.
 * Errors:  AUTH, also when c is shorter than a tag.
 * Source:  NaCl crypto_box_open.
 */
RMR_API rmr_err rmr_box_open(uint8_t *pt, const uint8_t shared[RMR_KEY_LEN],
                             const uint8_t nonce[RMR_BOX_NONCE_LEN],
                             rmr_bytes c);

#ifdef __cplusplus
}
#endif
#endif
