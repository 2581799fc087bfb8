/* Signatures: the same bytes as BearSSL's, and what both take or refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "tls_ec.h"
#include "tls_ecdsa.h"
#include "wide.h"

#define P256 BR_EC_secp256r1
#define POINT 65
#define SIG_MAX 139

static test_rng rng;

typedef struct keys {
    uint8_t x[32], q[POINT];
    br_ec_private_key sk;
    br_ec_public_key pk;
} keys;

static int setup(void **state)
{
    (void)state;
    test_rng_seed(&rng, 11);
    return 0;
}

static void draw(uint8_t *to, size_t len)
{
    rmr_rng r = test_rng_table(&rng);
    assert_int_equal(rmr_rng_fill(&r, to, len), RMR_OK);
}

static void of_scalar(keys *k)
{
    k->sk = (br_ec_private_key){P256, k->x, sizeof k->x};
    assert_int_equal(br_ec_get_default()->mulgen(k->q, k->x, 32, P256), POINT);
    k->pk = (br_ec_public_key){P256, k->q, sizeof k->q};
}

static void draw_keys(keys *k)
{
    draw(k->x, sizeof k->x);
    k->x[0] &= 0x7f;
    of_scalar(k);
}

static uint32_t ours(const keys *k, const uint8_t *hash, size_t hash_len,
                     const uint8_t *sig, size_t len)
{
    return rmri_tls_ecdsa_verify(rmri_tls_ec(), hash, hash_len, &k->pk, sig,
                                 len);
}

static uint32_t theirs(const keys *k, const uint8_t *hash, size_t hash_len,
                       const uint8_t *sig, size_t len)
{
    return br_ecdsa_vrfy_asn1_get_default()(br_ec_get_default(), hash, hash_len,
                                            &k->pk, sig, len);
}

static void signatures_are_bearssls(void **state)
{
    (void)state;
    static const struct {
        const br_hash_class *hf;
        size_t len;
    } hashes[] = {{&br_sha1_vtable, 20},
                  {&br_sha256_vtable, 32},
                  {&br_sha384_vtable, 48},
                  {&br_sha512_vtable, 64}};
    for (int i = 0; i < 40; i++) {
        keys k;
        uint8_t hash[64], a[SIG_MAX], b[SIG_MAX];
        size_t len = hashes[i % 4].len;
        draw_keys(&k);
        draw(hash, sizeof hash);
        if (i >= 32)
            memset(hash, i & 1 ? 0xff : 0, sizeof hash);
        size_t n = rmri_tls_ecdsa_sign(rmri_tls_ec(), hashes[i % 4].hf, hash,
                                       &k.sk, a);
        assert_int_equal(br_ecdsa_sign_asn1_get_default()(br_ec_get_default(),
                                                          hashes[i % 4].hf,
                                                          hash, &k.sk, b),
                         n);
        assert_in_range(n, 8, 72);
        assert_memory_equal(a, b, n);
        assert_int_equal(ours(&k, hash, len, a, n), 1);
        for (size_t at = 0; at < n; at++) {
            a[at] ^= 1;
            assert_int_equal(ours(&k, hash, len, a, n), 0);
            a[at] ^= 1;
        }
        hash[i % 20] ^= 1;
        assert_int_equal(ours(&k, hash, len, a, n), 0);
        hash[i % 20] ^= 1;
        k.q[1 + i] ^= 1; /* no point any more */
        assert_int_equal(ours(&k, hash, len, a, n), 0);
        k.q[1 + i] ^= 1;
        for (k.pk.qlen = 0; k.pk.qlen < POINT; k.pk.qlen++)
            assert_int_equal(ours(&k, hash, len, a, n), 0);
    }
}

/* RFC 6979 A.2.5, "sample" with SHA-256. */
static void it_is_rfc_6979s(void **state)
{
    (void)state;
    static const uint8_t x[32] = {
        0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21,
        0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3, 0xdb, 0x36, 0xe8,
        0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21};
    static const uint8_t want[] = {
        0x30, 0x46, 0x02, 0x21, 0x00, 0xef, 0xd4, 0x8b, 0x2a, 0xac, 0xb6, 0xa8,
        0xfd, 0x11, 0x40, 0xdd, 0x9c, 0xd4, 0x5e, 0x81, 0xd6, 0x9d, 0x2c, 0x87,
        0x7b, 0x56, 0xaa, 0xf9, 0x91, 0xc3, 0x4d, 0x0e, 0xa8, 0x4e, 0xaf, 0x37,
        0x16, 0x02, 0x21, 0x00, 0xf7, 0xcb, 0x1c, 0x94, 0x2d, 0x65, 0x7c, 0x41,
        0xd4, 0x36, 0xc7, 0xa1, 0xb6, 0xe2, 0x9f, 0x65, 0xf3, 0xe9, 0x00, 0xdb,
        0xb9, 0xaf, 0xf4, 0x06, 0x4d, 0xc4, 0xab, 0x2f, 0x84, 0x3a, 0xcd, 0xa8};
    keys k;
    uint8_t hash[32], sig[SIG_MAX];
    br_sha256_context sha;
    memcpy(k.x, x, 32);
    of_scalar(&k);
    br_sha256_init(&sha);
    br_sha256_update(&sha, "sample", 6);
    br_sha256_out(&sha, hash);
    assert_int_equal(
        rmri_tls_ecdsa_sign(rmri_tls_ec(), &br_sha256_vtable, hash, &k.sk, sig),
        sizeof want);
    assert_memory_equal(sig, want, sizeof want);
}

static void a_key_out_of_range_signs_nothing(void **state)
{
    (void)state;
    uint8_t hash[32] = {1}, sig[SIG_MAX], x[33] = {0};
    br_ec_private_key sk = {P256, x, 32};
    const br_ec_impl *ec = rmri_tls_ec();
    assert_int_equal(rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig),
                     0);
    wide_bytes(x, wide_n);
    assert_int_equal(rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig),
                     0);
    memset(x, 0xff, 32);
    assert_int_equal(rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig),
                     0);
    sk.xlen = 33;
    assert_int_equal(rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig),
                     0);
    sk.xlen = 0;
    assert_int_equal(rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig),
                     0);
    memset(x, 0, sizeof x); /* 1, of 33 bytes and of one */
    x[32] = 1;
    sk.xlen = 33;
    size_t n = rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, sig);
    assert_in_range(n, 8, 72);
    uint8_t again[SIG_MAX];
    sk = (br_ec_private_key){P256, x + 32, 1};
    assert_int_equal(
        rmri_tls_ecdsa_sign(ec, &br_sha256_vtable, hash, &sk, again), n);
    assert_memory_equal(sig, again, n);
}

static size_t put_number(uint8_t *at, const uint8_t n[33])
{
    size_t skip = 0;
    while (skip < 32 && n[skip] == 0 && n[skip + 1] < 0x80)
        skip++;
    at[0] = 2;
    at[1] = (uint8_t)(33 - skip);
    memcpy(at + 2, n + skip, 33 - skip);
    return 2 + 33 - skip;
}

/* ASN.1 of two numbers of 32 bytes. */
static size_t signature(uint8_t *sig, const uint8_t r[32], const uint8_t s[32])
{
    uint8_t n[33] = {0};
    memcpy(n + 1, r, 32);
    size_t len = 2 + put_number(sig + 2, n);
    memcpy(n + 1, s, 32);
    len += put_number(sig + len, n);
    sig[0] = 0x30;
    sig[1] = (uint8_t)(len - 2);
    return len;
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const uint64_t zero[4] = {0}, one[4] = {1};
    uint8_t edge[5][32], hash[32], sig[80];
    keys k;
    draw_keys(&k);
    wide_bytes(edge[0], zero);
    wide_bytes(edge[1], wide_n);
    wide_bytes(edge[2], wide_p);
    memset(edge[3], 0xff, 32);
    wide_bytes(edge[4], one);
    /* For this hash BearSSL itself takes some zeros. */
    memset(hash, 0, sizeof hash);
    for (int r = 0; r < 5; r++)
        for (int s = 0; s < 5; s++) {
            size_t n = signature(sig, edge[r], edge[s]);
            assert_int_equal(ours(&k, hash, 32, sig, n), 0);
        }
    /* r and s are x of q: s^-1 r is 1, so that the sum is 0 G + q. */
    size_t n = signature(sig, k.q + 1, k.q + 1);
    assert_int_equal(ours(&k, hash, 32, sig, n), 1);
}

/* The point's x is n + 3, so r is 3: made by choosing the point first. */
static void an_x_above_the_order_counts_modulo_it(void **state)
{
    (void)state;
    static const uint8_t q[POINT] = {
        0x04, 0x40, 0xb2, 0xea, 0x95, 0xac, 0x16, 0x56, 0x37, 0x25, 0x61,
        0x26, 0x15, 0xe5, 0x30, 0x94, 0xa6, 0x21, 0x92, 0x18, 0x1e, 0xa5,
        0x82, 0xe1, 0xed, 0xd0, 0x10, 0x14, 0x58, 0xf7, 0x6b, 0x25, 0xfb,
        0x98, 0x1b, 0xa5, 0x29, 0xbf, 0x5f, 0xf8, 0x6a, 0xa1, 0xe4, 0xe2,
        0x85, 0xae, 0xe3, 0x62, 0xeb, 0xfa, 0x85, 0x62, 0x5f, 0x8c, 0x9c,
        0x47, 0x8b, 0xd5, 0x3a, 0xc6, 0xd2, 0x20, 0xd1, 0x8e, 0x98};
    static const uint8_t sig[] = {0x30, 6, 2, 1, 3, 2, 1, 5};
    uint8_t hash[32];
    keys k;
    for (uint8_t i = 0; i < 32; i++)
        hash[i] = i;
    memcpy(k.q, q, sizeof q);
    k.pk = (br_ec_public_key){P256, k.q, sizeof k.q};
    assert_int_equal(theirs(&k, hash, 32, sig, sizeof sig), 1);
    assert_int_equal(ours(&k, hash, 32, sig, sizeof sig), 1);
    hash[0] = 1;
    assert_int_equal(ours(&k, hash, 32, sig, sizeof sig), 0);
}

static void broken_texts_are_refused(void **state)
{
    (void)state;
    keys k;
    uint8_t hash[32] = {5}, sig[200] = {0};
    draw_keys(&k);
    size_t n =
        rmri_tls_ecdsa_sign(rmri_tls_ec(), &br_sha256_vtable, hash, &k.sk, sig);
    for (size_t len = 0; len < sizeof sig; len++)
        assert_int_equal(ours(&k, hash, 32, sig, len), len == n);
}

static void other_curves_are_bearssls(void **state)
{
    (void)state;
    static const int curves[] = {BR_EC_secp384r1, BR_EC_secp521r1};
    for (size_t i = 0; i < 2; i++) {
        uint8_t x[66], q[BR_EC_KBUF_PUB_MAX_SIZE], hash[64], sig[SIG_MAX];
        size_t len = i ? 66 : 48;
        draw(x, sizeof x);
        draw(hash, sizeof hash);
        x[0] = 0;
        br_ec_private_key sk = {curves[i], x, len};
        br_ec_public_key pk;
        assert_true(br_ec_compute_pub(rmri_tls_ec(), &pk, q, &sk) > 0);
        size_t n = rmri_tls_ecdsa_sign(rmri_tls_ec(), &br_sha512_vtable, hash,
                                       &sk, sig);
        assert_in_range(n, 8, SIG_MAX);
        assert_int_equal(
            rmri_tls_ecdsa_verify(rmri_tls_ec(), hash, 64, &pk, sig, n), 1);
        hash[0] ^= 1;
        assert_int_equal(
            rmri_tls_ecdsa_verify(rmri_tls_ec(), hash, 64, &pk, sig, n), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_bearssls),
        cmocka_unit_test(it_is_rfc_6979s),
        cmocka_unit_test(a_key_out_of_range_signs_nothing),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(an_x_above_the_order_counts_modulo_it),
        cmocka_unit_test(broken_texts_are_refused),
        cmocka_unit_test(other_curves_are_bearssls),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
