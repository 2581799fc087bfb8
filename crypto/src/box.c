#include <string.h>

#include <sodium.h>

#include <remora/crypto.h>

rmr_err rmr_box_shared(uint8_t shared[RMR_KEY_LEN],
                       const uint8_t priv[RMR_KEY_LEN],
                       const uint8_t pub[RMR_KEY_LEN])
{
    if (crypto_box_beforenm(shared, pub, priv) != 0) {
        memset(shared, 0, RMR_KEY_LEN);
        return RMR_E_AUTH;
    }
    return RMR_OK;
}

void rmr_box_seal(uint8_t *c, const uint8_t shared[RMR_KEY_LEN],
                  const uint8_t nonce[RMR_BOX_NONCE_LEN], rmr_bytes pt)
{
    crypto_box_easy_afternm(c, pt.ptr, pt.len, nonce, shared);
}

rmr_err rmr_box_open(uint8_t *pt, const uint8_t shared[RMR_KEY_LEN],
                     const uint8_t nonce[RMR_BOX_NONCE_LEN], rmr_bytes c)
{
    if (c.len < RMR_TAG_LEN)
        return RMR_E_AUTH;
    return crypto_box_open_easy_afternm(pt, c.ptr, c.len, nonce, shared)
               ? RMR_E_AUTH
               : RMR_OK;
}
