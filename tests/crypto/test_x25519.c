#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/crypto.h>

#include "support.h"
#include "vectors.h"

static void public_and_shared_keys_equal_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "x25519");
    assert_true(tv_len(rows) > 0);
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t a[32], b[32], pa[32], pb[32], want[32], got[32];
        tv_get_hex(r, "private_a", a, 32);
        tv_get_hex(r, "private_b", b, 32);
        tv_get_hex(r, "public_a", pa, 32);
        tv_get_hex(r, "public_b", pb, 32);
        tv_get_hex(r, "shared", want, 32);
        rmr_x25519_public(got, a);
        assert_memory_equal(got, pa, 32);
        rmr_x25519_public(got, b);
        assert_memory_equal(got, pb, 32);
        assert_int_equal(rmr_x25519(got, a, pb), RMR_OK);
        assert_memory_equal(got, want, 32);
        assert_int_equal(rmr_x25519(got, b, pa), RMR_OK);
        assert_memory_equal(got, want, 32);
    }
    tv_free(root);
}

static void the_ladder_of_rfc_7748_holds_after_1000_rounds(void **state)
{
    (void)state;
    uint8_t k[32] = {9}, u[32] = {9}, r[32], want[32];
    test_unhex(
        want, 32,
        "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rmr_x25519(r, k, u), RMR_OK);
        memcpy(u, k, 32);
        memcpy(k, r, 32);
    }
    assert_memory_equal(k, want, 32);
}

static void a_low_order_public_key_is_refused_with_a_zero_result(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "x25519_must_reject_public");
    static const uint8_t zero[32];
    uint8_t priv[32] = {0x40}, pub[32], out[32];
    rmr_key_clamp(priv);
    assert_int_equal(tv_len(rows), 7);
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv_hex(tv_at(rows, i), pub, 32);
        memset(out, 0xff, 32);
        assert_int_equal(rmr_x25519(out, priv, pub), RMR_E_AUTH);
        assert_memory_equal(out, zero, 32);
        memset(out, 0xff, 32);
        assert_int_equal(rmr_box_shared(out, priv, pub), RMR_E_AUTH);
        assert_memory_equal(out, zero, 32);
    }
    tv_free(root);
}

static void a_generated_key_is_the_callers_randomness_clamped(void **state)
{
    (void)state;
    test_rng a, b;
    test_rng_seed(&a, 7);
    test_rng_seed(&b, 7);
    rmr_rng ra = test_rng_table(&a), rb = test_rng_table(&b);
    uint8_t key[32], raw[32];
    assert_int_equal(rmr_key_generate(&ra, key), RMR_OK);
    assert_int_equal(rmr_rng_fill(&rb, raw, 32), RMR_OK);
    assert_int_equal(a.calls, 1);
    raw[0] &= 0xf8;
    raw[31] = (uint8_t)((raw[31] & 0x7f) | 0x40);
    assert_memory_equal(key, raw, 32);
}

static void a_failing_source_of_randomness_gives_no_key(void **state)
{
    (void)state;
    static const uint8_t zero[32];
    test_rng a;
    test_rng_seed(&a, 7);
    a.fail_at = 1;
    rmr_rng ra = test_rng_table(&a);
    uint8_t key[32];
    memset(key, 0xff, 32);
    assert_int_equal(rmr_key_generate(&ra, key), RMR_E_RNG);
    assert_memory_equal(key, zero, 32);
}

static void starting_twice_is_harmless(void **state)
{
    (void)state;
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    assert_int_equal(rmr_crypto_init(), RMR_OK);
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_and_shared_keys_equal_the_vectors),
        cmocka_unit_test(the_ladder_of_rfc_7748_holds_after_1000_rounds),
        cmocka_unit_test(a_low_order_public_key_is_refused_with_a_zero_result),
        cmocka_unit_test(a_generated_key_is_the_callers_randomness_clamped),
        cmocka_unit_test(a_failing_source_of_randomness_gives_no_key),
        cmocka_unit_test(starting_twice_is_harmless),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
