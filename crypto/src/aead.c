#include <string.h>

#include <sodium.h>

#include <remora/crypto.h>
#include <remora/cursor.h>

void rmr_chapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                      const uint8_t nonce[12], rmr_bytes ad, rmr_bytes pt)
{
    crypto_aead_chacha20poly1305_ietf_encrypt(c, NULL, pt.ptr, pt.len, ad.ptr,
                                              ad.len, NULL, nonce, key);
}

rmr_err rmr_chapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                         const uint8_t nonce[12], rmr_bytes ad, rmr_bytes c)
{
    if (c.len < RMR_TAG_LEN)
        return RMR_E_AUTH;
    return crypto_aead_chacha20poly1305_ietf_decrypt(
               pt, NULL, NULL, c.ptr, c.len, ad.ptr, ad.len, nonce, key)
               ? RMR_E_AUTH
               : RMR_OK;
}

void rmr_xchapoly_seal(uint8_t *c, const uint8_t key[RMR_KEY_LEN],
                       const uint8_t nonce[RMR_XNONCE_LEN], rmr_bytes ad,
                       rmr_bytes pt)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(c, NULL, pt.ptr, pt.len, ad.ptr,
                                               ad.len, NULL, nonce, key);
}

rmr_err rmr_xchapoly_open(uint8_t *pt, const uint8_t key[RMR_KEY_LEN],
                          const uint8_t nonce[RMR_XNONCE_LEN], rmr_bytes ad,
                          rmr_bytes c)
{
    if (c.len < RMR_TAG_LEN)
        return RMR_E_AUTH;
    return crypto_aead_xchacha20poly1305_ietf_decrypt(
               pt, NULL, NULL, c.ptr, c.len, ad.ptr, ad.len, nonce, key)
               ? RMR_E_AUTH
               : RMR_OK;
}

/* ---- the table for bulk data ------------------------------------------ */

static void counter_nonce(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    rmr_store_le64(nonce + 4, counter);
}

static void bulk_init(void *self, rmr_aead_ctx *ctx,
                      const uint8_t key[RMR_KEY_LEN])
{
    (void)self;
    /* libsodium expands the key in each call: the context is the key. */
    memcpy(ctx->opaque, key, RMR_KEY_LEN);
}

static void bulk_seal(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                      uint8_t *buf, size_t len)
{
    (void)self;
    uint8_t nonce[12];
    counter_nonce(nonce, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(buf, NULL, buf, len, NULL, 0,
                                              NULL, nonce, ctx->opaque);
}

static rmr_err bulk_open(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                         uint8_t *buf, size_t len)
{
    (void)self;
    uint8_t nonce[12];
    counter_nonce(nonce, counter);
    return crypto_aead_chacha20poly1305_ietf_decrypt(buf, NULL, NULL, buf,
                                                     len + RMR_TAG_LEN, NULL, 0,
                                                     nonce, ctx->opaque)
               ? RMR_E_AUTH
               : RMR_OK;
}

static const rmr_aead sodium_aead = {
    .name = "libsodium",
    .init = bulk_init,
    .seal = bulk_seal,
    .open = bulk_open,
};

const rmr_aead *rmr_aead_default(void)
{
    return &sodium_aead;
}
