/*
 * The symbols of remora/crypto.h without secrecy, for fuzzing alone: sums in
 * the place of hashes, a copy in the place of ciphers, and a tag that always
 * opens.  What stays true, because the layers above rely on it: X25519
 * commutes, hashes depend on all of their input, all is deterministic.
 */
#include <string.h>

#include <remora/crypto.h>
#include <remora/cursor.h>

rmr_err rmr_crypto_init(void)
{
    return RMR_OK;
}

/* ---- X25519: public = private ^ 0x5a..., shared = a + b --------------- */

void rmr_key_clamp(uint8_t priv[RMR_KEY_LEN])
{
    priv[0] = (uint8_t)(priv[0] & 248);
    priv[31] = (uint8_t)((priv[31] & 127) | 64);
}

rmr_err rmr_key_generate(const rmr_rng *rng, uint8_t priv[RMR_KEY_LEN])
{
    rmr_err e = rmr_rng_fill(rng, priv, RMR_KEY_LEN);
    if (!e)
        rmr_key_clamp(priv);
    return e;
}

void rmr_x25519_public(uint8_t pub[RMR_KEY_LEN],
                       const uint8_t priv[RMR_KEY_LEN])
{
    for (size_t i = 0; i < RMR_KEY_LEN; i++)
        pub[i] = priv[i] ^ 0x5a;
}

rmr_err rmr_x25519(uint8_t out[RMR_KEY_LEN], const uint8_t priv[RMR_KEY_LEN],
                   const uint8_t pub[RMR_KEY_LEN])
{
    uint8_t any = 0;
    for (size_t i = 0; i < RMR_KEY_LEN; i++)
        any |= pub[i];
    for (size_t i = 0; i < RMR_KEY_LEN; i++)
        out[i] = any ? (uint8_t)(priv[i] + (pub[i] ^ 0x5a)) : 0;
    return any ? RMR_OK : RMR_E_AUTH;
}

/* ---- BLAKE2s: four lanes of FNV-1a ------------------------------------ */

/* opaque: 0...3 the lanes, 4 the output length, 5 bytes so far. */
void rmr_blake2s_init(rmr_blake2s *s, size_t out_len, const void *key,
                      size_t key_len)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < 4; i++)
        s->opaque[i] = 0xcbf29ce484222325u + i * 0x9e3779b97f4a7c15u + out_len;
    s->opaque[4] = out_len;
    if (key_len)
        rmr_blake2s_update(s, key, key_len);
}

void rmr_blake2s_update(rmr_blake2s *s, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    for (size_t i = 0; i < len; i++) {
        uint64_t *lane = &s->opaque[s->opaque[5]++ & 3];
        *lane = (*lane ^ p[i]) * 0x100000001b3u;
    }
}

void rmr_blake2s_final(rmr_blake2s *s, uint8_t *out)
{
    uint8_t full[RMR_HASH_LEN];
    uint64_t sum = s->opaque[5];
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < 4; i++) {
            sum = (sum ^ s->opaque[i]) * 0x9e3779b97f4a7c15u;
            sum ^= sum >> 29;
            s->opaque[i] ^= sum;
        }
    for (size_t i = 0; i < 4; i++)
        rmr_store_le64(full + 8 * i, s->opaque[i]);
    memcpy(out, full, s->opaque[4] < sizeof full ? s->opaque[4] : sizeof full);
}

void rmr_blake2s_256(uint8_t out[RMR_HASH_LEN], rmr_bytes a, rmr_bytes b)
{
    rmr_blake2s s;
    rmr_blake2s_init(&s, RMR_HASH_LEN, NULL, 0);
    rmr_blake2s_update(&s, a.ptr, a.len);
    rmr_blake2s_update(&s, b.ptr, b.len);
    rmr_blake2s_final(&s, out);
}

/* All MACs are equal: a fuzzer writes 16 bytes of 0x11 and passes. */
void rmr_blake2s_mac(uint8_t out[16], rmr_bytes key, rmr_bytes data)
{
    (void)key;
    (void)data;
    memset(out, 0x11, 16);
}

void rmr_hmac_blake2s(uint8_t out[RMR_HASH_LEN], rmr_bytes key, rmr_bytes a,
                      rmr_bytes b)
{
    rmr_blake2s s;
    rmr_blake2s_init(&s, RMR_HASH_LEN, key.ptr, key.len);
    rmr_blake2s_update(&s, a.ptr, a.len);
    rmr_blake2s_update(&s, b.ptr, b.len);
    rmr_blake2s_final(&s, out);
}

void rmr_hkdf(uint8_t o1[RMR_HASH_LEN], uint8_t *o2, uint8_t *o3,
              const uint8_t ck[RMR_HASH_LEN], rmr_bytes ikm)
{
    uint8_t prk[RMR_HASH_LEN], n = 1;
    const rmr_bytes none = {NULL, 0};
    rmr_bytes key = {prk, sizeof prk};
    rmr_hmac_blake2s(prk, rmr_bytes_of(ck, RMR_HASH_LEN), ikm, none);
    rmr_hmac_blake2s(o1, key, rmr_bytes_of(&n, 1), none);
    n = 2;
    if (o2)
        rmr_hmac_blake2s(o2, key, rmr_bytes_of(&n, 1), none);
    n = 3;
    if (o3)
        rmr_hmac_blake2s(o3, key, rmr_bytes_of(&n, 1), none);
}

/* ---- AEADs: a copy and a tag of 0x22 ---------------------------------- */

static void copy_seal(uint8_t *c, rmr_bytes pt)
{
    if (pt.len)
        memmove(c, pt.ptr, pt.len);
    memset(c + pt.len, 0x22, RMR_TAG_LEN);
}

static rmr_err copy_open(uint8_t *pt, rmr_bytes c)
{
    if (c.len < RMR_TAG_LEN)
        return RMR_E_AUTH;
    if (c.len > RMR_TAG_LEN)
        memmove(pt, c.ptr, c.len - RMR_TAG_LEN);
    return RMR_OK;
}

void rmr_chapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                      const uint8_t nonce[12], rmr_bytes ad, rmr_bytes pt)
{
    (void)key;
    (void)nonce;
    (void)ad;
    copy_seal(c, pt);
}

rmr_err rmr_chapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                         const uint8_t nonce[12], rmr_bytes ad, rmr_bytes c)
{
    (void)key;
    (void)nonce;
    (void)ad;
    return copy_open(pt, c);
}

void rmr_xchapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                       const uint8_t nonce[RMR_XNONCE_LEN], rmr_bytes ad,
                       rmr_bytes pt)
{
    (void)key;
    (void)nonce;
    (void)ad;
    copy_seal(c, pt);
}

rmr_err rmr_xchapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                          const uint8_t nonce[RMR_XNONCE_LEN], rmr_bytes ad,
                          rmr_bytes c)
{
    (void)key;
    (void)nonce;
    (void)ad;
    return copy_open(pt, c);
}

static void bulk_init(void *self, rmr_aead_ctx *ctx,
                      const uint8_t key[RMR_KEY_LEN])
{
    (void)self;
    memcpy(ctx->opaque, key, RMR_KEY_LEN);
}

static void bulk_seal(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                      uint8_t *buf, size_t len)
{
    (void)self;
    (void)ctx;
    (void)counter;
    memset(buf + len, 0x22, RMR_TAG_LEN);
}

static rmr_err bulk_open(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                         uint8_t *buf, size_t len)
{
    (void)self;
    (void)ctx;
    (void)counter;
    (void)buf;
    (void)len;
    return RMR_OK;
}

static const rmr_aead null_aead = {
    .name = "null",
    .init = bulk_init,
    .seal = bulk_seal,
    .open = bulk_open,
};

const rmr_aead *rmr_aead_default(void)
{
    return &null_aead;
}

const char *rmr_aead_name(size_t i)
{
    return i == 0 ? null_aead.name : NULL;
}

rmr_err rmr_aead_new(rmr_aead *out, const rmr_alloc *alloc, const char *name)
{
    (void)alloc;
    if (name && strcmp(name, null_aead.name) != 0)
        return RMR_E_UNSUPPORTED;
    *out = null_aead;
    return RMR_OK;
}

void rmr_aead_wipe(rmr_aead *aead)
{
    memset(aead, 0, sizeof *aead);
}

/* ---- NaCl box --------------------------------------------------------- */

rmr_err rmr_box_shared(uint8_t shared[RMR_KEY_LEN],
                       const uint8_t priv[RMR_KEY_LEN],
                       const uint8_t pub[RMR_KEY_LEN])
{
    return rmr_x25519(shared, priv, pub);
}

void rmr_box_seal(uint8_t *c, const uint8_t shared[RMR_KEY_LEN],
                  const uint8_t nonce[RMR_BOX_NONCE_LEN], rmr_bytes pt)
{
    (void)shared;
    (void)nonce;
    if (pt.len)
        memmove(c + RMR_TAG_LEN, pt.ptr, pt.len);
    memset(c, 0x22, RMR_TAG_LEN);
}

rmr_err rmr_box_open(uint8_t *pt, const uint8_t shared[RMR_KEY_LEN],
                     const uint8_t nonce[RMR_BOX_NONCE_LEN], rmr_bytes c)
{
    (void)shared;
    (void)nonce;
    if (c.len < RMR_TAG_LEN)
        return RMR_E_AUTH;
    if (c.len > RMR_TAG_LEN)
        memmove(pt, c.ptr + RMR_TAG_LEN, c.len - RMR_TAG_LEN);
    return RMR_OK;
}

/* TLS is not compiled over this back end. */
rmr_err rmr_gcm_new(rmr_gcm *out, const rmr_alloc *alloc)
{
    (void)out;
    (void)alloc;
    return RMR_E_UNSUPPORTED;
}

void rmr_gcm_wipe(rmr_gcm *gcm)
{
    memset(gcm, 0, sizeof *gcm);
}
