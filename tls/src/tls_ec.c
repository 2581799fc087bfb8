#include <string.h>

#include <remora/crypto.h>

#include "tls_ec.h"

/* Every curve of BearSSL's, whatever it chose for this processor. */
#define CURVES                                                                 \
    (UINT32_C(1) << BR_EC_curve25519 | UINT32_C(1) << BR_EC_secp256r1 |        \
     UINT32_C(1) << BR_EC_secp384r1 | UINT32_C(1) << BR_EC_secp521r1)

static const unsigned char *generator(int curve, size_t *len)
{
    return br_ec_get_default()->generator(curve, len);
}

static const unsigned char *order(int curve, size_t *len)
{
    return br_ec_get_default()->order(curve, len);
}

static size_t xoff(int curve, size_t *len)
{
    return br_ec_get_default()->xoff(curve, len);
}

/* ---- X25519 ------------------------------------------------------------ */

/* As RFC 7748 has them: BearSSL's engine draws 32 bytes, in no other order. */
static bool load_x25519(uint8_t key[RMR_KEY_LEN], const unsigned char *x,
                        size_t len)
{
    memset(key, 0, RMR_KEY_LEN);
    if (len > RMR_KEY_LEN)
        return false;
    memcpy(key, x, len);
    rmr_key_clamp(key);
    return true;
}

static uint32_t mul_x25519(unsigned char *point, size_t point_len,
                           const unsigned char *x, size_t len)
{
    uint8_t key[RMR_KEY_LEN], out[RMR_KEY_LEN];
    bool ok = point_len == RMR_KEY_LEN && load_x25519(key, x, len) &&
              rmr_x25519(out, key, point) == RMR_OK;
    if (ok)
        memcpy(point, out, sizeof out);
    rmr_wipe(key, sizeof key);
    rmr_wipe(out, sizeof out);
    return ok;
}

static size_t mulgen_x25519(unsigned char *out, const unsigned char *x,
                            size_t len)
{
    uint8_t key[RMR_KEY_LEN];
    bool ok = load_x25519(key, x, len);
    if (ok)
        rmr_x25519_public(out, key);
    rmr_wipe(key, sizeof key);
    return ok ? RMR_KEY_LEN : 0;
}

/* ---- the table --------------------------------------------------------- */

static uint32_t mul(unsigned char *point, size_t point_len,
                    const unsigned char *x, size_t len, int curve)
{
    if (curve == BR_EC_curve25519)
        return mul_x25519(point, point_len, x, len);
    return br_ec_get_default()->mul(point, point_len, x, len, curve);
}

static size_t mulgen(unsigned char *out, const unsigned char *x, size_t len,
                     int curve)
{
    if (curve == BR_EC_curve25519)
        return mulgen_x25519(out, x, len);
    return br_ec_get_default()->mulgen(out, x, len, curve);
}

/* Of ECDSA, which X25519 knows nothing of. */
static uint32_t muladd(unsigned char *a, const unsigned char *b, size_t len,
                       const unsigned char *x, size_t xlen,
                       const unsigned char *y, size_t ylen, int curve)
{
    return br_ec_get_default()->muladd(a, b, len, x, xlen, y, ylen, curve);
}

static const br_ec_impl curves = {CURVES, generator, order, xoff,
                                  mul,    mulgen,    muladd};

const br_ec_impl *rmri_tls_ec(void)
{
    return &curves;
}
