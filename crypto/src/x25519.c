#include <string.h>

#include <sodium.h>

#include <remora/crypto.h>

void rmr_key_clamp(uint8_t priv[RMR_KEY_LEN])
{
    priv[0] = (uint8_t)(priv[0] & 248);
    priv[31] = (uint8_t)((priv[31] & 127) | 64);
}

rmr_err rmr_key_generate(const rmr_rng *rng, uint8_t priv[RMR_KEY_LEN])
{
    rmr_err e = rmr_rng_fill(rng, priv, RMR_KEY_LEN);
    if (e) {
        rmr_wipe(priv, RMR_KEY_LEN);
        return e;
    }
    rmr_key_clamp(priv);
    return RMR_OK;
}

void rmr_x25519_public(uint8_t pub[RMR_KEY_LEN],
                       const uint8_t priv[RMR_KEY_LEN])
{
    crypto_scalarmult_curve25519_base(pub, priv);
}

rmr_err rmr_x25519(uint8_t out[RMR_KEY_LEN], const uint8_t priv[RMR_KEY_LEN],
                   const uint8_t pub[RMR_KEY_LEN])
{
    /* libsodium refuses an all-zero result, and on some paths before it has
     * written any. */
    if (crypto_scalarmult_curve25519(out, priv, pub) != 0) {
        memset(out, 0, RMR_KEY_LEN);
        return RMR_E_AUTH;
    }
    return RMR_OK;
}
