#include <string.h>

#include <remora/base.h>

#include "tls_ecdsa.h"
#include "tls_p256.h"
#include "tls_p256_order.h"

#ifdef RMRI_TLS_P256

#define LEN 32
#define ASN1_MAX 72 /* two numbers of 33 bytes with their heads */

/* The first 256 bits of a hash, modulo n (SEC 1 4.1.3, 5). */
static void load_hash(rmri_ord *e, const void *hash, size_t len)
{
    uint8_t bytes[LEN] = {0};
    size_t take = len < LEN ? len : LEN;
    memcpy(bytes + LEN - take, hash, take);
    (void)rmri_ord_load(e, bytes);
}

/* 1 to n - 1, of any number of bytes. */
static bool load_number(rmri_ord *r, const uint8_t *from, size_t len)
{
    uint8_t bytes[LEN] = {0};
    while (len > LEN && *from == 0) {
        from++;
        len--;
    }
    if (len > LEN)
        return false;
    memcpy(bytes + LEN - len, from, len);
    bool ok = rmri_ord_load(r, bytes) && !rmri_ord_is_zero(r);
    rmr_wipe(bytes, sizeof bytes);
    return ok;
}

static bool load_signature(rmri_ord *r, rmri_ord *s, const void *sig,
                           size_t len)
{
    uint8_t raw[2 * ASN1_MAX];
    if (len > ASN1_MAX)
        return false;
    memcpy(raw, sig, len);
    size_t half = br_ecdsa_asn1_to_raw(raw, len) / 2; /* 0: it is none */
    return load_number(r, raw, half) && load_number(s, raw + half, half);
}

static bool verify(const rmri_ord *e, const br_ec_public_key *pk,
                   const rmri_ord *r, const rmri_ord *s)
{
    rmri_ord inverse, u, x;
    uint8_t u1[LEN], u2[LEN], point[RMRI_P256_POINT];
    if (pk->qlen != sizeof point)
        return false;
    memcpy(point, pk->q, sizeof point);
    rmri_ord_invert(&inverse, s);
    rmri_ord_mul(&u, e, &inverse);
    rmri_ord_store(u1, &u);
    rmri_ord_mul(&u, r, &inverse);
    rmri_ord_store(u2, &u);
    if (!rmri_p256_muladd(point, NULL, u2, LEN, u1, LEN))
        return false;
    (void)rmri_ord_load(&x, point + 1); /* below p, which is below 2n */
    return rmri_ord_equal(&x, r);
}

uint32_t rmri_tls_ecdsa_verify(const br_ec_impl *impl, const void *hash,
                               size_t hash_len, const br_ec_public_key *pk,
                               const void *sig, size_t sig_len)
{
    rmri_ord e, r, s;
    if (pk->curve != BR_EC_secp256r1)
        return br_ecdsa_vrfy_asn1_get_default()(impl, hash, hash_len, pk, sig,
                                                sig_len);
    load_hash(&e, hash, hash_len);
    return load_signature(&r, &s, sig, sig_len) && verify(&e, pk, &r, &s);
}

/* False: another k is needed (SEC 1 4.1.3, 3 and 6). */
static bool sign_with(uint8_t raw[2 * LEN], const uint8_t k_bytes[LEN],
                      const rmri_ord *e, const rmri_ord *x)
{
    rmri_ord k, r, s;
    uint8_t point[RMRI_P256_POINT];
    bool ok =
        load_number(&k, k_bytes, LEN) && rmri_p256_mulgen(point, k_bytes, LEN);
    if (ok) {
        (void)rmri_ord_load(&r, point + 1);
        rmri_ord_mul(&s, &r, x);
        rmri_ord_add(&s, &s, e);
        rmri_ord_invert(&k, &k);
        rmri_ord_mul(&s, &s, &k);
        rmri_ord_store(raw, &r);
        rmri_ord_store(raw + LEN, &s);
        ok = !rmri_ord_is_zero(&r) && !rmri_ord_is_zero(&s);
        rmr_wipe(&k, sizeof k);
        rmr_wipe(&s, sizeof s);
    }
    rmr_wipe(point, sizeof point);
    return ok;
}

size_t rmri_tls_ecdsa_sign(const br_ec_impl *impl, const br_hash_class *hf,
                           const void *hash, const br_ec_private_key *sk,
                           void *sig)
{
    if (sk->curve != BR_EC_secp256r1)
        return br_ecdsa_sign_asn1_get_default()(impl, hf, hash, sk, sig);
    br_hmac_drbg_context drbg;
    rmri_ord x, e;
    uint8_t seed[2 * LEN], k[LEN], raw[2 * LEN + 9];
    if (!load_number(&x, sk->x, sk->xlen))
        return 0;
    load_hash(&e, hash, hf->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK);
    rmri_ord_store(seed, &x);
    rmri_ord_store(seed + LEN, &e);
    br_hmac_drbg_init(&drbg, hf, seed, sizeof seed);
    do
        br_hmac_drbg_generate(&drbg, k, sizeof k);
    while (!sign_with(raw, k, &e, &x));
    rmr_wipe(&x, sizeof x);
    rmr_wipe(seed, sizeof seed);
    rmr_wipe(k, sizeof k);
    rmr_wipe(&drbg, sizeof drbg);
    size_t len = br_ecdsa_raw_to_asn1(raw, 2 * LEN);
    memcpy(sig, raw, len);
    return len;
}

#else

uint32_t rmri_tls_ecdsa_verify(const br_ec_impl *impl, const void *hash,
                               size_t hash_len, const br_ec_public_key *pk,
                               const void *sig, size_t sig_len)
{
    return br_ecdsa_vrfy_asn1_get_default()(impl, hash, hash_len, pk, sig,
                                            sig_len);
}

size_t rmri_tls_ecdsa_sign(const br_ec_impl *impl, const br_hash_class *hf,
                           const void *hash, const br_ec_private_key *sk,
                           void *sig)
{
    return br_ecdsa_sign_asn1_get_default()(impl, hf, hash, sk, sig);
}

#endif
