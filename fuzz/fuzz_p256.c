/*
 * Our curves and ECDSA against BearSSL's: multiples, sums, signatures, and what
 * is said of damaged ones.
 *
 * Input: two scalars and a hash of 32 bytes each; then what is done to the
 * signature and the public key, two bytes each time: where (from 128 on: in the
 * key), and what is changed there.  A 127 makes the rest the signature.
 */
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "tls_ec.h"
#include "tls_ecdsa.h"
#include "wide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LEN 32
#define POINT 65
#define SIG_MAX 139
#define SIG_LONGEST 72 /* of two numbers below n, as DER has them */
#define P256 BR_EC_secp256r1

static const br_ec_impl *ours, *theirs;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool is_below_order(const uint8_t *k)
{
    static const uint8_t zero[LEN];
    uint8_t n[LEN];
    wide_bytes(n, wide_n);
    return memcmp(k, zero, LEN) != 0 && memcmp(k, n, LEN) < 0;
}

/* BearSSL takes zeros in a signature for this hash. */
static bool is_zero(const uint8_t *hash)
{
    static const uint8_t zero[LEN];
    uint8_t n[LEN];
    wide_bytes(n, wide_n);
    return memcmp(hash, zero, LEN) == 0 || memcmp(hash, n, LEN) == 0;
}

static void multiples(const uint8_t *k, const uint8_t *m)
{
    uint8_t q[POINT], a[POINT], b[POINT];
    check(ours->mulgen(q, k, LEN, P256) == POINT);
    check(theirs->mulgen(a, k, LEN, P256) == POINT);
    check(memcmp(q, a, POINT) == 0);
    memcpy(b, a, POINT);
    check(ours->mul(a, POINT, m, LEN, P256) == 1);
    check(theirs->mul(b, POINT, m, LEN, P256) == 1);
    check(memcmp(a, b, POINT) == 0);
    memcpy(a, q, POINT);
    memcpy(b, q, POINT);
    if (ours->muladd(a, NULL, POINT, m, LEN, k, LEN, P256)) {
        check(theirs->muladd(b, NULL, POINT, m, LEN, k, LEN, P256) == 1);
        check(memcmp(a, b, POINT) == 0);
    }
}

/* Any bytes are a scalar and a point there. */
static void x25519(const uint8_t *k, const uint8_t *point)
{
    uint8_t a[LEN], b[LEN];
    memcpy(a, point, LEN);
    memcpy(b, point, LEN);
    check(theirs->mul(b, LEN, k, LEN, BR_EC_curve25519) == 1);
    if (ours->mul(a, LEN, k, LEN, BR_EC_curve25519)) {
        check(memcmp(a, b, LEN) == 0);
        return;
    }
    memset(a, 0, LEN);
    check(memcmp(a, b, LEN) == 0);
}

static size_t damage(rmr_bytes how, uint8_t *sig, size_t len, uint8_t *q)
{
    for (; how.len >= 2; how.ptr += 2, how.len -= 2) {
        uint8_t where = how.ptr[0], what = how.ptr[1];
        if (where == 127) {
            len = how.len - 1 < SIG_MAX ? how.len - 1 : SIG_MAX;
            memcpy(sig, how.ptr + 1, len);
            break;
        }
        if (where < 127)
            sig[where % len] ^= what;
        else
            q[(where - 128) % POINT] ^= what;
    }
    return len;
}

static void signatures(const uint8_t *k, const uint8_t *hash, rmr_bytes how)
{
    uint8_t q[POINT], a[SIG_MAX], b[SIG_MAX];
    br_ec_private_key sk = {P256, (unsigned char *)(uintptr_t)k, LEN};
    br_ec_public_key pk = {P256, q, POINT};
    check(ours->mulgen(q, k, LEN, P256) == POINT);
    size_t n = rmri_tls_ecdsa_sign(ours, &br_sha256_vtable, hash, &sk, a);
    check(n == br_ecdsa_sign_asn1_get_default()(theirs, &br_sha256_vtable, hash,
                                                &sk, b));
    check(n > 0 && memcmp(a, b, n) == 0);
    check(rmri_tls_ecdsa_verify(ours, hash, LEN, &pk, a, n) == 1);
    n = damage(how, a, n, q);
    uint32_t ok = rmri_tls_ecdsa_verify(ours, hash, LEN, &pk, a, n);
    if (n > SIG_LONGEST)
        check(!ok);
    else if (!is_zero(hash))
        check(ok ==
              br_ecdsa_vrfy_asn1_get_default()(theirs, hash, LEN, &pk, a, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 * LEN)
        return 0;
    const uint8_t *k = data, *m = data + LEN, *hash = data + 2 * LEN;
    ours = rmri_tls_ec();
    theirs = br_ec_get_default();
    x25519(k, m);
    if (is_below_order(k)) {
        if (is_below_order(m))
            multiples(k, m);
        signatures(k, hash, rmr_bytes_of(data + 3 * LEN, size - 3 * LEN));
    } else {
        uint8_t sig[SIG_MAX];
        br_ec_private_key sk = {P256, (unsigned char *)(uintptr_t)k, LEN};
        check(!rmri_tls_ecdsa_sign(ours, &br_sha256_vtable, hash, &sk, sig));
    }
    return 0;
}
