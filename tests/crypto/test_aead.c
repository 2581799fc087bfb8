#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/crypto.h>

#include "support.h"
#include "vectors.h"

#define BIG 4096

typedef struct row {
    uint8_t key[32], nonce[24], ad[256], pt[BIG], sealed[BIG];
    size_t ad_len, len;
} row;

static void load(tv *r, row *x)
{
    tv_get_hex(r, "key", x->key, 32);
    tv_get_hex(r, "nonce", x->nonce, 24);
    x->ad_len = tv_get_hex(r, "ad", x->ad, sizeof x->ad);
    x->len = tv_get_hex(r, "plaintext", x->pt, BIG);
    assert_int_equal(tv_get_hex(r, "sealed", x->sealed, BIG),
                     x->len + RMR_TAG_LEN);
}

static void chapoly_seals_and_opens_the_vectors(void **state)
{
    (void)state;
    static row x;
    static uint8_t buf[BIG];
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "chacha20poly1305");
    for (size_t i = 0; i < tv_len(rows); i++) {
        load(tv_at(rows, i), &x);
        rmr_bytes ad = rmr_bytes_of(x.ad, x.ad_len);
        rmr_chapoly_seal(buf, x.key, x.nonce, ad, rmr_bytes_of(x.pt, x.len));
        assert_memory_equal(buf, x.sealed, x.len + RMR_TAG_LEN);
        assert_int_equal(rmr_chapoly_open(buf, x.key, x.nonce, ad,
                                          rmr_bytes_of(buf, x.len + 16)),
                         RMR_OK);
        assert_memory_equal(buf, x.pt, x.len);
        /* In place. */
        rmr_chapoly_seal(buf, x.key, x.nonce, ad, rmr_bytes_of(buf, x.len));
        assert_memory_equal(buf, x.sealed, x.len + RMR_TAG_LEN);
    }
    tv_free(root);
}

static void xchapoly_seals_and_opens_the_vectors(void **state)
{
    (void)state;
    static row x;
    static uint8_t buf[BIG];
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "xchacha20poly1305");
    for (size_t i = 0; i < tv_len(rows); i++) {
        load(tv_at(rows, i), &x);
        rmr_bytes ad = rmr_bytes_of(x.ad, x.ad_len);
        rmr_xchapoly_seal(buf, x.key, x.nonce, ad, rmr_bytes_of(x.pt, x.len));
        assert_memory_equal(buf, x.sealed, x.len + RMR_TAG_LEN);
        assert_int_equal(rmr_xchapoly_open(buf, x.key, x.nonce, ad,
                                           rmr_bytes_of(buf, x.len + 16)),
                         RMR_OK);
        assert_memory_equal(buf, x.pt, x.len);
        x.sealed[x.len] ^= 1;
        assert_int_equal(rmr_xchapoly_open(buf, x.key, x.nonce, ad,
                                           rmr_bytes_of(x.sealed, x.len + 16)),
                         RMR_E_AUTH);
    }
    tv_free(root);
}

static void any_changed_bit_is_refused(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, nonce[12] = {2}, ad[3] = {3}, pt[20] = {4}, c[36],
            out[36];
    rmr_bytes adb = rmr_bytes_of(ad, sizeof ad);
    rmr_chapoly_seal(c, key, nonce, adb, rmr_bytes_of(pt, sizeof pt));
    for (size_t bit = 0; bit < sizeof c * 8; bit++) {
        c[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(
            rmr_chapoly_open(out, key, nonce, adb, rmr_bytes_of(c, sizeof c)),
            RMR_E_AUTH);
        c[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ad[0] ^= 1;
    assert_int_equal(
        rmr_chapoly_open(out, key, nonce, adb, rmr_bytes_of(c, sizeof c)),
        RMR_E_AUTH);
}

static void bytes_shorter_than_a_tag_are_refused(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, nonce[24] = {2}, c[16] = {0}, out[16];
    for (size_t n = 0; n < RMR_TAG_LEN; n++) {
        rmr_bytes in = rmr_bytes_of(c, n), none = rmr_bytes_of(NULL, 0);
        assert_int_equal(rmr_chapoly_open(out, key, nonce, none, in),
                         RMR_E_AUTH);
        assert_int_equal(rmr_xchapoly_open(out, key, nonce, none, in),
                         RMR_E_AUTH);
        assert_int_equal(rmr_box_open(out, key, nonce, in), RMR_E_AUTH);
    }
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chapoly_seals_and_opens_the_vectors),
        cmocka_unit_test(xchapoly_seals_and_opens_the_vectors),
        cmocka_unit_test(any_changed_bit_is_refused),
        cmocka_unit_test(bytes_shorter_than_a_tag_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
