/* The AES-GCM table: the specification's vectors, and BearSSL's GCM as the
 * other opinion.  Where this machine can't run a back end it says so: then
 * there is nothing to test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <bearssl/bearssl.h>
#include <remora/crypto.h>

#include "support.h"

#define MAX 16400u

static rmr_gcm gcm;
static bool have;
static test_alloc memory;

static int setup(void **state)
{
    (void)state;
    rmr_alloc alloc = test_alloc_table(&memory);
    rmr_err e = rmr_gcm_new(&gcm, &alloc);
    printf("AES-GCM: %s\n", e == RMR_OK ? gcm.name : rmr_err_name(e));
    have = e == RMR_OK;
    return e == RMR_OK || e == RMR_E_UNSUPPORTED ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    rmr_gcm_wipe(&gcm);
    return memory.live_blocks != 0;
}

/* ---- vectors ----------------------------------------------------------- */

#define KEY "feffe9928665731c6d6a8f9467308308"
#define NONCE "cafebabefacedbaddecaf888"
#define AD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define PLAIN                                                                  \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95" \
    "956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"

/* McGrew and Viega, The Galois/Counter Mode of Operation, B: cases 4, 16, and
 * 1 and 13 (nothing at all). */
static const struct {
    const char *key, *nonce, *ad, *plain, *sealed;
} vectors[] = {
    {KEY, NONCE, AD, PLAIN,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b2"
     "5466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95a"
     "e7121a47"},
    {KEY KEY, NONCE, AD, PLAIN,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48"
     "590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853"
     "bb2d551b"},
    {"00000000000000000000000000000000", "000000000000000000000000", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"00000000000000000000000000000000"
     "00000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
};

static void it_seals_and_opens_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; have && i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t key[32], nonce[12], ad[64], plain[128], want[128], buf[128];
        size_t key_len = test_unhex(key, sizeof key, vectors[i].key);
        (void)test_unhex(nonce, sizeof nonce, vectors[i].nonce);
        rmr_bytes a =
            rmr_bytes_of(ad, test_unhex(ad, sizeof ad, vectors[i].ad));
        size_t len = test_unhex(plain, sizeof plain, vectors[i].plain);
        size_t sealed = test_unhex(want, sizeof want, vectors[i].sealed);
        assert_int_equal(sealed, len + RMR_GCM_TAG_LEN);

        rmr_gcm_key k;
        gcm.init(gcm.self, &k, key, key_len);
        memcpy(buf, plain, len);
        gcm.seal(gcm.self, &k, nonce, a, buf, len);
        assert_memory_equal(buf, want, sealed);
        assert_int_equal(gcm.open(gcm.self, &k, nonce, a, buf, len), RMR_OK);
        assert_memory_equal(buf, plain, len);
    }
}

/* ---- against BearSSL --------------------------------------------------- */

typedef struct sample {
    uint8_t key[32], nonce[12], ad[13];
    size_t key_len, len;
    rmr_gcm_key k;
} sample;

static void draw(sample *s, const rmr_rng *rng, size_t key_len, size_t len)
{
    assert_int_equal(rmr_rng_fill(rng, s->key, sizeof s->key), RMR_OK);
    assert_int_equal(rmr_rng_fill(rng, s->nonce, sizeof s->nonce), RMR_OK);
    assert_int_equal(rmr_rng_fill(rng, s->ad, sizeof s->ad), RMR_OK);
    s->key_len = key_len;
    s->len = len;
    gcm.init(gcm.self, &s->k, s->key, key_len);
}

static void bear_seal(const sample *s, uint8_t *buf)
{
    br_aes_ct64_ctr_keys ctr;
    br_gcm_context g;
    br_aes_ct64_ctr_init(&ctr, s->key, s->key_len);
    br_gcm_init(&g, &ctr.vtable, br_ghash_ctmul64);
    br_gcm_reset(&g, s->nonce, sizeof s->nonce);
    br_gcm_aad_inject(&g, s->ad, sizeof s->ad);
    br_gcm_flip(&g);
    br_gcm_run(&g, 1, buf, s->len);
    br_gcm_get_tag(&g, buf + s->len);
}

static void it_agrees_with_bearssl_at_every_length(void **state)
{
    (void)state;
    static uint8_t plain[MAX], ours[MAX + 16], theirs[MAX + 16];
    test_rng r = {0};
    test_rng_seed(&r, 20);
    rmr_rng rng = test_rng_table(&r);
    for (size_t len = 0; have && len <= MAX; len += len < 1500 ? 1 : 1377) {
        sample s;
        draw(&s, &rng, len % 2 ? 32 : 16, len);
        rmr_bytes ad = rmr_bytes_of(s.ad, sizeof s.ad);
        assert_int_equal(rmr_rng_fill(&rng, plain, len), RMR_OK);
        memcpy(ours, plain, len);
        memcpy(theirs, plain, len);
        gcm.seal(gcm.self, &s.k, s.nonce, ad, ours, len);
        bear_seal(&s, theirs);
        assert_memory_equal(ours, theirs, len + RMR_GCM_TAG_LEN);
        assert_int_equal(gcm.open(gcm.self, &s.k, s.nonce, ad, theirs, len),
                         RMR_OK);
        assert_memory_equal(theirs, plain, len);
    }
}

static void any_changed_bit_is_found(void **state)
{
    (void)state;
    test_rng r = {0};
    test_rng_seed(&r, 21);
    rmr_rng rng = test_rng_table(&r);
    uint8_t sealed[100 + 16] = {0}, buf[sizeof sealed];
    sample s;
    if (!have)
        return;
    draw(&s, &rng, 16, 100);
    rmr_bytes ad = rmr_bytes_of(s.ad, sizeof s.ad);
    gcm.seal(gcm.self, &s.k, s.nonce, ad, sealed, s.len);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        memcpy(buf, sealed, sizeof buf);
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gcm.open(gcm.self, &s.k, s.nonce, ad, buf, s.len),
                         RMR_E_AUTH);
    }
    memcpy(buf, sealed, sizeof buf);
    s.ad[12] ^= 1;
    assert_int_equal(gcm.open(gcm.self, &s.k, s.nonce, ad, buf, s.len),
                     RMR_E_AUTH);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    test_alloc a = {0};
    rmr_alloc alloc = test_alloc_table(&a);
    rmr_gcm g = {0};
    for (size_t n = 0; have && n < 8; n++) {
        a.fail_at = n + 1;
        a.calls = 0;
        rmr_err e = rmr_gcm_new(&g, &alloc);
        if (e == RMR_OK)
            break;
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(g.self);
        assert_int_equal(a.live_blocks, 0);
    }
    assert_true(!have || g.self);
    rmr_gcm_wipe(&g);
    assert_int_equal(a.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_seals_and_opens_the_vectors),
        cmocka_unit_test(it_agrees_with_bearssl_at_every_length),
        cmocka_unit_test(any_changed_bit_is_found),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
