/* The curves that the engine is given, against BearSSL's own and RFC 7748. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <remora/crypto.h>

#include "support.h"
#include "tls_ec.h"

#define P256 BR_EC_secp256r1
#define X25519 BR_EC_curve25519
#define POINT 65

static test_rng rng;

static const uint8_t order_p256[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
    0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

static int setup(void **state)
{
    (void)state;
    test_rng_seed(&rng, 7);
    return (int)rmr_crypto_init();
}

static void draw(uint8_t *to, size_t len)
{
    rmr_rng r = test_rng_table(&rng);
    assert_int_equal(rmr_rng_fill(&r, to, len), RMR_OK);
}

/* Below the order, not 0. */
static void draw_scalar(uint8_t k[32])
{
    draw(k, 32);
    k[0] &= 0x7f;
    k[31] |= 1;
}

/* n - less. */
static void below_order(uint8_t k[32], uint8_t less)
{
    memcpy(k, order_p256, 32);
    k[31] = (uint8_t)(k[31] - less); /* 0x51 */
}

static size_t point_of(const br_ec_impl *ec, uint8_t out[POINT],
                       const uint8_t *k, size_t len)
{
    memset(out, 0xee, POINT);
    return ec->mulgen(out, k, len, P256);
}

/* ---- P-256 ------------------------------------------------------------- */

static void same_multiples(const uint8_t *k, size_t len)
{
    const br_ec_impl *ours = rmri_tls_ec(), *theirs = br_ec_get_default();
    static const uint8_t seven[] = {7};
    uint8_t a[POINT], b[POINT];
    assert_int_equal(point_of(ours, a, k, len), POINT);
    assert_int_equal(point_of(theirs, b, k, len), POINT);
    assert_memory_equal(a, b, POINT);
    /* Of another point than the generator. */
    assert_int_equal(point_of(theirs, a, seven, 1), POINT);
    memcpy(b, a, POINT);
    assert_int_equal(ours->mul(a, POINT, k, len, P256), 1);
    assert_int_equal(theirs->mul(b, POINT, k, len, P256), 1);
    assert_memory_equal(a, b, POINT);
}

static void multiples_are_bearssls(void **state)
{
    (void)state;
    uint8_t k[32];
    for (uint8_t i = 1; i < 40; i++)
        same_multiples(&i, 1);
    for (uint8_t i = 1; i < 20; i++) {
        below_order(k, i);
        same_multiples(k, 32);
    }
    for (size_t bit = 0; bit < 255; bit++) {
        memset(k, 0, sizeof k);
        k[31 - bit / 8] = (uint8_t)(1u << bit % 8);
        same_multiples(k, 32);
    }
    for (int i = 0; i < 60; i++) {
        draw_scalar(k);
        same_multiples(k, 32);
        same_multiples(k + 5, 27);
    }
}

/* Each entry of the table, which four bits choose. */
static void the_comb_is_bearssls(void **state)
{
    (void)state;
    for (unsigned digit = 1; digit < 16; digit++) {
        uint8_t k[32] = {0};
        for (unsigned i = 0; i < 4; i++)
            k[31 - 8 * i] = digit >> i & 1;
        same_multiples(k, 32);
    }
}

static void sums_are_bearssls(void **state)
{
    (void)state;
    const br_ec_impl *ours = rmri_tls_ec(), *theirs = br_ec_get_default();
    for (int i = 0; i < 60; i++) {
        uint8_t k[32], x[32], y[32], a[POINT], b[POINT], other[POINT];
        draw_scalar(k);
        draw_scalar(x);
        draw_scalar(y);
        point_of(theirs, other, x, 32);
        point_of(theirs, a, k, 32);
        memcpy(b, a, POINT);
        const uint8_t *second = i & 1 ? other : NULL;
        assert_int_equal(ours->muladd(a, second, POINT, x, 32, y, 32, P256), 1);
        assert_int_equal(theirs->muladd(b, second, POINT, x, 32, y, 32, P256),
                         1);
        assert_memory_equal(a, b, POINT);
    }
}

/* Where other formulas for a sum need a case of their own. */
static void sums_of_the_same_and_the_opposite(void **state)
{
    (void)state;
    const br_ec_impl *ec = rmri_tls_ec();
    static const uint8_t one[] = {1}, two[] = {2}, five[] = {5}, ten[] = {10};
    uint8_t a[POINT], b[POINT], want[POINT], minus[32];
    point_of(ec, want, ten, 1);
    point_of(ec, a, five, 1); /* 5 G + 5 G */
    memcpy(b, a, POINT);
    assert_int_equal(ec->muladd(a, b, POINT, one, 1, one, 1, P256), 1);
    assert_memory_equal(a, want, POINT);
    point_of(ec, a, five, 1);
    assert_int_equal(ec->muladd(a, NULL, POINT, one, 1, five, 1, P256), 1);
    assert_memory_equal(a, want, POINT);
    below_order(minus, 10); /* 2 * 5 G - 10 G */
    point_of(ec, a, five, 1);
    assert_int_equal(ec->muladd(a, NULL, POINT, two, 1, minus, 32, P256), 0);
    point_of(ec, a, five, 1);
    point_of(ec, b, minus, 32);
    assert_int_equal(ec->muladd(a, b, POINT, two, 1, one, 1, P256), 0);
}

static void infinity_is_no_result(void **state)
{
    (void)state;
    const br_ec_impl *ec = rmri_tls_ec();
    static const uint8_t one[] = {1}, zero[] = {0};
    uint8_t a[POINT];
    assert_int_equal(point_of(ec, a, zero, 1), 0);
    assert_int_equal(point_of(ec, a, order_p256, 32), 0);
    point_of(ec, a, one, 1);
    assert_int_equal(ec->mul(a, POINT, order_p256, 32, P256), 0);
    point_of(ec, a, one, 1);
    assert_int_equal(ec->mul(a, POINT, zero, 1, P256), 0);
}

static void refused(const uint8_t point[POINT], size_t len)
{
    const br_ec_impl *ec = rmri_tls_ec();
    static const uint8_t one[] = {1};
    uint8_t a[POINT], b[POINT];
    memcpy(a, point, POINT);
    assert_int_equal(ec->mul(a, len, one, 1, P256), 0);
    memcpy(a, point, POINT);
    assert_int_equal(ec->muladd(a, NULL, len, one, 1, one, 1, P256), 0);
    memcpy(a, point, POINT);
    point_of(ec, b, one, 1);
    assert_int_equal(ec->muladd(b, a, len, one, 1, one, 1, P256), 0);
}

static void what_is_no_point_is_refused(void **state)
{
    (void)state;
    static const uint8_t one[] = {1};
    /* p, and p - 1. */
    static const uint8_t p[32] = {
        0xff, 0xff, 0xff, 0xff, 0,    0,    0,    1,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t good[POINT], bad[POINT];
    point_of(rmri_tls_ec(), good, one, 1);
    for (size_t len = 0; len < POINT; len++)
        refused(good, len);
    for (size_t at = 0; at < POINT; at++) { /* not on the curve */
        memcpy(bad, good, POINT);
        bad[at] ^= 1;
        refused(bad, POINT);
    }
    memset(bad + 1, 0, POINT - 1);
    refused(bad, POINT);
    /* A coordinate of p or more is none, even if it is one modulo p: x = 0 has
     * a point, whose y is a root of b. */
    static const uint8_t root[32] = {
        0x66, 0x48, 0x5c, 0x78, 0x0e, 0x2f, 0x83, 0xd7, 0x24, 0x33, 0xbd,
        0x5d, 0x84, 0xa0, 0x6b, 0xb6, 0x54, 0x1c, 0x2a, 0xf3, 0x1d, 0xae,
        0x87, 0x17, 0x28, 0xbf, 0x85, 0x6a, 0x17, 0x4f, 0x93, 0xf4};
    bad[0] = 4;
    memcpy(bad + 33, root, 32);
    memset(bad + 1, 0, 32);
    memcpy(good, bad, POINT);
    assert_int_equal(rmri_tls_ec()->mul(good, POINT, one, 1, P256), 1);
    assert_memory_equal(good, bad, POINT);
    memcpy(bad + 1, p, 32);
    refused(bad, POINT);
}

static void a_scalar_of_more_bits_is_refused(void **state)
{
    (void)state;
    const br_ec_impl *ec = rmri_tls_ec();
    uint8_t k[40] = {0}, a[POINT], b[POINT];
    k[39] = 3;
    assert_int_equal(point_of(ec, a, k, 40), POINT); /* leading zeros */
    assert_int_equal(point_of(ec, b, k + 39, 1), POINT);
    assert_memory_equal(a, b, POINT);
    k[7] = 1;
    assert_int_equal(point_of(ec, a, k, 40), 0);
    assert_int_equal(ec->mul(b, POINT, k, 40, P256), 0);
    assert_int_equal(ec->muladd(b, NULL, POINT, k, 40, k + 39, 1, P256), 0);
    assert_int_equal(ec->muladd(b, NULL, POINT, k + 39, 1, k, 40, P256), 0);
}

/* ---- X25519 ------------------------------------------------------------ */

/* RFC 7748 5.2. */
static void x25519_is_rfc_7748s(void **state)
{
    (void)state;
    const br_ec_impl *ours = rmri_tls_ec(), *theirs = br_ec_get_default();
    uint8_t k[32] = {9}, u[32] = {9}, next[32], a[32], b[32];
    static const uint8_t after_1000[32] = {
        0x68, 0x4c, 0xf5, 0x9b, 0xa8, 0x33, 0x09, 0x55, 0x28, 0x00, 0xef,
        0x56, 0x6f, 0x2f, 0x4d, 0x3c, 0x1c, 0x38, 0x87, 0xc4, 0x93, 0x60,
        0xe3, 0x87, 0x5f, 0x2e, 0xb9, 0x4d, 0x99, 0x53, 0x2c, 0x51};
    for (int i = 0; i < 1000; i++) {
        memcpy(next, u, 32);
        assert_int_equal(ours->mul(next, 32, k, 32, X25519), 1);
        if (i < 20) {
            memcpy(a, u, 32);
            assert_int_equal(theirs->mul(a, 32, k, 32, X25519), 1);
            assert_memory_equal(next, a, 32);
            assert_int_equal(ours->mulgen(a, k, 32, X25519), 32);
            assert_int_equal(theirs->mulgen(b, k, 32, X25519), 32);
            assert_memory_equal(a, b, 32);
        }
        memcpy(u, k, 32);
        memcpy(k, next, 32);
    }
    assert_memory_equal(k, after_1000, 32);
}

/* RFC 7748 5: the last bit is not looked at; RFC 8422 5.11: a secret of zeros
 * ends the handshake. */
static void x25519_of_odd_points(void **state)
{
    (void)state;
    const br_ec_impl *ec = rmri_tls_ec();
    uint8_t k[33] = {0}, a[32], b[32];
    draw(k, 32);
    draw(a, 32);
    memcpy(b, a, 32);
    a[31] &= 0x7f;
    b[31] |= 0x80;
    assert_int_equal(ec->mul(a, 32, k, 32, X25519), 1);
    assert_int_equal(ec->mul(b, 32, k, 32, X25519), 1);
    assert_memory_equal(a, b, 32);
    assert_int_equal(ec->mul(a, 31, k, 32, X25519), 0);
    assert_int_equal(ec->mul(a, 32, k, 33, X25519), 0);
    assert_int_equal(ec->mulgen(a, k, 33, X25519), 0);
    memset(a, 0, 32);
    assert_int_equal(ec->mul(a, 32, k, 32, X25519), 0);
    a[0] = 1;
    assert_int_equal(ec->mul(a, 32, k, 32, X25519), 0);
}

/* ---- the others -------------------------------------------------------- */

static void other_curves_are_bearssls(void **state)
{
    (void)state;
    const br_ec_impl *ours = rmri_tls_ec(), *theirs = br_ec_get_default();
    static const int curves[] = {P256, BR_EC_secp384r1, BR_EC_secp521r1,
                                 X25519};
    static const uint8_t k[] = {0x12, 0x34, 0x56};
    uint32_t all = 0;
    for (size_t i = 0; i < 4; i++) {
        size_t n, m;
        uint8_t a[133], b[133];
        all |= UINT32_C(1) << curves[i];
        assert_memory_equal(ours->order(curves[i], &n),
                            theirs->order(curves[i], &m), 32);
        assert_int_equal(n, m);
        assert_memory_equal(ours->generator(curves[i], &n),
                            theirs->generator(curves[i], &m), 32);
        assert_int_equal(n, m);
        assert_int_equal(ours->xoff(curves[i], &n),
                         theirs->xoff(curves[i], &m));
        assert_int_equal(n, m);
        n = ours->mulgen(a, k, sizeof k, curves[i]);
        assert_int_equal(n, theirs->mulgen(b, k, sizeof k, curves[i]));
        assert_memory_equal(a, b, n);
        assert_int_equal(ours->mul(a, n, k, sizeof k, curves[i]), 1);
        assert_int_equal(theirs->mul(b, n, k, sizeof k, curves[i]), 1);
        assert_memory_equal(a, b, n);
    }
    assert_int_equal(ours->supported_curves, all);
    assert_int_equal(theirs->supported_curves & all, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiples_are_bearssls),
        cmocka_unit_test(the_comb_is_bearssls),
        cmocka_unit_test(sums_are_bearssls),
        cmocka_unit_test(sums_of_the_same_and_the_opposite),
        cmocka_unit_test(infinity_is_no_result),
        cmocka_unit_test(what_is_no_point_is_refused),
        cmocka_unit_test(a_scalar_of_more_bits_is_refused),
        cmocka_unit_test(x25519_is_rfc_7748s),
        cmocka_unit_test(x25519_of_odd_points),
        cmocka_unit_test(other_curves_are_bearssls),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
