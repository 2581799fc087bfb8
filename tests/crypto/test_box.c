#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/crypto.h>

#include "support.h"
#include "vectors.h"

#define BIG 8192

/* The private and public key that `key` of a packet row names. */
static void key_of(tv *root, tv *row, const char *key, uint8_t priv[32],
                   uint8_t pub[32])
{
    tv *k = tv_get(tv_get(root, "keys"), tv_get_str(row, key));
    if (priv)
        tv_get_hex(k, "private", priv, 32);
    tv_get_hex(k, "public", pub, 32);
}

static void disco_packets_are_sealed_and_opened_to_the_byte(void **state)
{
    (void)state;
    static uint8_t pkt[BIG], pt[BIG], out[BIG];
    tv *root = tv_load("disco.json");
    tv *rows = tv_get(root, "packets");
    assert_true(tv_len(rows) > 5);
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t from[32], from_pub[32], to[32], to_pub[32], a[32], b[32];
        key_of(root, r, "from", from, from_pub);
        key_of(root, r, "to", to, to_pub);
        size_t n = tv_get_hex(r, "packet", pkt, BIG);
        size_t m = tv_get_hex(r, "plaintext", pt, BIG);
        assert_int_equal(n, 78 + m);
        assert_memory_equal(pkt + 6, from_pub, 32);

        assert_int_equal(rmr_box_shared(a, from, to_pub), RMR_OK);
        assert_int_equal(rmr_box_shared(b, to, from_pub), RMR_OK);
        assert_memory_equal(a, b, 32);
        rmr_box_seal(out, a, pkt + 38, rmr_bytes_of(pt, m));
        assert_memory_equal(out, pkt + 62, m + RMR_TAG_LEN);
        assert_int_equal(
            rmr_box_open(out, b, pkt + 38, rmr_bytes_of(pkt + 62, n - 62)),
            RMR_OK);
        assert_memory_equal(out, pt, m);
        pkt[n - 1] ^= 0x80;
        assert_int_equal(
            rmr_box_open(out, b, pkt + 38, rmr_bytes_of(pkt + 62, n - 62)),
            RMR_E_AUTH);
    }
    tv_free(root);
}

static void the_shared_key_of_derp_is_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("derp.json");
    tv *keys = tv_get(root, "keys");
    uint8_t priv[32], pub[32], want[32], got[32];
    tv_get_hex(keys, "boxKeyServerClientA", want, 32);
    tv_get_hex(tv_get(keys, "server"), "private", priv, 32);
    tv_get_hex(tv_get(keys, "clientA"), "public", pub, 32);
    assert_int_equal(rmr_box_shared(got, priv, pub), RMR_OK);
    assert_memory_equal(got, want, 32);
    tv_free(root);
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disco_packets_are_sealed_and_opened_to_the_byte),
        cmocka_unit_test(the_shared_key_of_derp_is_the_vectors),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
