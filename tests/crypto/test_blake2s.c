#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/crypto.h>

#include "stack.h"
#include "support.h"
#include "vectors.h"

static const rmr_bytes none = {NULL, 0};

static void hashes_equal_the_vectors_however_the_input_is_cut(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "blake2s");
    for (size_t i = 0; i < tv_len(rows); i++) {
        uint8_t in[4096], want[32], got[32];
        size_t n = tv_get_hex(tv_at(rows, i), "in", in, sizeof in);
        tv_get_hex(tv_at(rows, i), "hash256", want, 32);
        for (size_t cut = 0; cut <= n; cut += n > 300 ? 37 : 1) {
            rmr_blake2s_256(got, rmr_bytes_of(in, cut),
                            rmr_bytes_of(in + cut, n - cut));
            assert_memory_equal(got, want, 32);
        }
        rmr_blake2s s;
        rmr_blake2s_init(&s, 32, NULL, 0);
        for (size_t j = 0; j < n; j++)
            rmr_blake2s_update(&s, in + j, 1);
        rmr_blake2s_final(&s, got);
        assert_memory_equal(got, want, 32);
    }
    tv_free(root);
}

static void a_mac_has_16_in_its_parameter_block(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "blake2s_keyed_128");
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t in[4096], key[32], want[16], got[32];
        size_t n = tv_get_hex(r, "in", in, sizeof in);
        memset(got, 0xee, sizeof got);
        tv_get_hex(r, "key", key, 32);
        tv_get_hex(r, "mac128", want, 16);
        rmr_blake2s_mac(got, rmr_bytes_of(key, 32), rmr_bytes_of(in, n));
        assert_memory_equal(got, want, 16);
        assert_int_equal(got[16], 0xee);
        assert_int_equal(tv_get_hex(r, "key16", key, 32), 16);
        tv_get_hex(r, "mac128_key16", want, 16);
        rmr_blake2s_mac(got, rmr_bytes_of(key, 16), rmr_bytes_of(in, n));
        assert_memory_equal(got, want, 16);
    }
    tv_free(root);
}

static void hmac_equals_the_vectors_however_the_input_is_cut(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "hmac_blake2s");
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t in[4096], key[256], want[32], got[32];
        size_t n = tv_get_hex(r, "in", in, sizeof in);
        size_t k = tv_get_hex(r, "key", key, sizeof key);
        tv_get_hex(r, "hmac256", want, 32);
        for (size_t cut = 0; cut <= n; cut += 1 + n / 7) {
            rmr_hmac_blake2s(got, rmr_bytes_of(key, k), rmr_bytes_of(in, cut),
                             rmr_bytes_of(in + cut, n - cut));
            assert_memory_equal(got, want, 32);
        }
    }
    tv_free(root);
}

static void an_hmac_key_longer_than_a_block_is_hashed_first(void **state)
{
    (void)state;
    uint8_t key[65], hashed[32], a[32], b[32];
    memset(key, 0x42, sizeof key);
    rmr_blake2s_256(hashed, rmr_bytes_of(key, sizeof key), none);
    rmr_hmac_blake2s(a, rmr_bytes_of(key, sizeof key), none, none);
    rmr_hmac_blake2s(b, rmr_bytes_of(hashed, 32), none, none);
    assert_memory_equal(a, b, 32);
    /* One of exactly a block is not. */
    rmr_blake2s_256(hashed, rmr_bytes_of(key, 64), none);
    rmr_hmac_blake2s(a, rmr_bytes_of(key, 64), none, none);
    rmr_hmac_blake2s(b, rmr_bytes_of(hashed, 32), none, none);
    assert_memory_not_equal(a, b, 32);
}

static void hkdf_gives_one_two_or_three_outputs(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "kdf");
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t ck[32], in[256], t1[32], t2[32], t3[32], a[32], b[32], c[32];
        size_t n = tv_get_hex(r, "input", in, sizeof in);
        tv_get_hex(r, "ck", ck, 32);
        tv_get_hex(r, "t1", t1, 32);
        tv_get_hex(r, "t2", t2, 32);
        tv_get_hex(r, "t3", t3, 32);
        rmr_hkdf(a, b, c, ck, rmr_bytes_of(in, n));
        assert_memory_equal(a, t1, 32);
        assert_memory_equal(b, t2, 32);
        assert_memory_equal(c, t3, 32);
        rmr_hkdf(a, NULL, NULL, ck, rmr_bytes_of(in, n));
        assert_memory_equal(a, t1, 32);
        rmr_hkdf(a, NULL, c, ck, rmr_bytes_of(in, n));
        assert_memory_equal(c, t3, 32);
        /* In place over the chaining key, as Noise does. */
        rmr_hkdf(ck, b, NULL, ck, rmr_bytes_of(in, n));
        assert_memory_equal(ck, t1, 32);
        assert_memory_equal(b, t2, 32);
    }
    tv_free(root);
}

/* ---- what is left behind ------------------------------------------------ */

typedef struct secrets {
    uint8_t in[32], key[64], out[3][32], prk[32];
} secrets;

static void derive(void *arg)
{
    secrets *s = (secrets *)arg;
    rmr_hkdf(s->out[0], s->out[1], s->out[2], s->in,
             rmr_bytes_of(s->key, sizeof s->key));
}

static void authenticate(void *arg)
{
    secrets *s = (secrets *)arg;
    rmr_blake2s_mac(s->out[0], rmr_bytes_of(s->in, 32),
                    rmr_bytes_of(s->key, sizeof s->key));
}

/* Of what is long enough to be found: half a key is as bad. */
static void nothing_on_the_stack(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 16 <= len; i += 16)
        assert_false(test_stack_has(p + i, 16));
}

static void no_secret_stays_on_the_stack(void **state)
{
    (void)state;
    secrets s;
    uint8_t pads[2][64];
    for (size_t i = 0; i < 32; i++)
        s.in[i] = (uint8_t)(0x40 + i);
    for (size_t i = 0; i < 64; i++)
        s.key[i] = (uint8_t)(0xa0 + i);
    rmr_hmac_blake2s(s.prk, rmr_bytes_of(s.in, 32),
                     rmr_bytes_of(s.key, sizeof s.key), none);
    for (size_t i = 0; i < 32; i++) {
        pads[0][i] = s.prk[i] ^ 0x36;
        pads[1][i] = s.prk[i] ^ 0x5c;
    }
    derive(&s); /* as test_on_stack: registers are not what is meant here */
    test_on_stack(derive, &s);
    nothing_on_the_stack(s.in, 32);
    nothing_on_the_stack(s.key, 64);
    nothing_on_the_stack(s.prk, 32);
    nothing_on_the_stack(pads[0], 32);
    nothing_on_the_stack(pads[1], 32);
    for (size_t i = 0; i < 3; i++)
        nothing_on_the_stack(s.out[i], 32);
    test_on_stack(authenticate, &s);
    nothing_on_the_stack(s.in, 32);
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_equal_the_vectors_however_the_input_is_cut),
        cmocka_unit_test(a_mac_has_16_in_its_parameter_block),
        cmocka_unit_test(hmac_equals_the_vectors_however_the_input_is_cut),
        cmocka_unit_test(an_hmac_key_longer_than_a_block_is_hashed_first),
        cmocka_unit_test(hkdf_gives_one_two_or_three_outputs),
        cmocka_unit_test(no_secret_stays_on_the_stack),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
