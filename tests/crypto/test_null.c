#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/crypto.h>

#include "support.h"

static void key_agreement_commutes(void **state)
{
    (void)state;
    uint8_t a[32] = {1, 2, 3}, b[32] = {9, 8, 7}, pa[32], pb[32], x[32], y[32];
    rmr_x25519_public(pa, a);
    rmr_x25519_public(pb, b);
    assert_int_equal(rmr_x25519(x, a, pb), RMR_OK);
    assert_int_equal(rmr_x25519(y, b, pa), RMR_OK);
    assert_memory_equal(x, y, 32);
    assert_int_equal(rmr_box_shared(x, a, pb), RMR_OK);
    assert_int_equal(rmr_box_shared(y, b, pa), RMR_OK);
    assert_memory_equal(x, y, 32);
    memset(pb, 0, 32);
    assert_int_equal(rmr_x25519(x, a, pb), RMR_E_AUTH);
}

static void hashes_differ_with_their_input_and_repeat(void **state)
{
    (void)state;
    uint8_t x[32], y[32], z[32];
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    rmr_blake2s_256(x, rmr_bytes_str("ab"), rmr_bytes_str("c"));
    rmr_blake2s_256(y, rmr_bytes_str("abc"), none);
    rmr_blake2s_256(z, rmr_bytes_str("abd"), none);
    assert_memory_equal(x, y, 32);
    assert_memory_not_equal(x, z, 32);
    uint8_t o1[32], o2[32], o3[32];
    rmr_hkdf(o1, o2, o3, x, none);
    assert_memory_not_equal(o1, o2, 32);
    assert_memory_not_equal(o2, o3, 32);
    rmr_hmac_blake2s(z, rmr_bytes_of(x, 32), none, none);
    rmr_blake2s_mac(z, rmr_bytes_of(x, 32), none);
}

static void any_tag_opens_and_bytes_are_copied(void **state)
{
    (void)state;
    uint8_t key[32] = {0}, nonce[24] = {0}, c[21], out[5];
    rmr_bytes none = rmr_bytes_of(NULL, 0), pt = rmr_bytes_str("hello");
    rmr_chapoly_seal(c, key, nonce, none, pt);
    c[20] ^= 1;
    assert_int_equal(
        rmr_chapoly_open(out, key, nonce, none, rmr_bytes_of(c, 21)), RMR_OK);
    assert_memory_equal(out, "hello", 5);
    rmr_xchapoly_seal(c, key, nonce, none, pt);
    assert_int_equal(
        rmr_xchapoly_open(out, key, nonce, none, rmr_bytes_of(c, 21)), RMR_OK);
    rmr_box_seal(c, key, nonce, pt);
    assert_int_equal(rmr_box_open(out, key, nonce, rmr_bytes_of(c, 21)),
                     RMR_OK);
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(
        rmr_chapoly_open(out, key, nonce, none, rmr_bytes_of(c, 15)),
        RMR_E_AUTH);
    const rmr_aead *a = rmr_aead_default();
    rmr_aead_ctx ctx;
    a->init(a->self, &ctx, key);
    memcpy(c, "hello", 5);
    a->seal(a->self, &ctx, 1, c, 5);
    assert_int_equal(a->open(a->self, &ctx, 2, c, 5), RMR_OK);
    assert_memory_equal(c, "hello", 5);
}

static void generated_keys_come_from_the_caller(void **state)
{
    (void)state;
    test_rng r;
    test_rng_seed(&r, 1);
    rmr_rng table = test_rng_table(&r);
    uint8_t key[32];
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    assert_int_equal(rmr_key_generate(&table, key), RMR_OK);
    r.fail_at = r.calls + 1;
    assert_int_equal(rmr_key_generate(&table, key), RMR_E_RNG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_agreement_commutes),
        cmocka_unit_test(hashes_differ_with_their_input_and_repeat),
        cmocka_unit_test(any_tag_opens_and_bytes_are_copied),
        cmocka_unit_test(generated_keys_come_from_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
