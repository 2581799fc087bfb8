/* The curves that the engine is given, against BearSSL's own and RFC 7748. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <remora/crypto.h>

#include "support.h"
#include "tls_ec.h"

#define X25519 BR_EC_curve25519

static test_rng rng;

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
    static const int curves[] = {BR_EC_secp256r1, BR_EC_secp384r1,
                                 BR_EC_secp521r1, X25519};
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
        cmocka_unit_test(x25519_is_rfc_7748s),
        cmocka_unit_test(x25519_of_odd_points),
        cmocka_unit_test(other_curves_are_bearssls),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
