/* SipHash by its vectors; the table against a plain array, with keys that are
 * chosen to collide. */
#include <remora/cursor.h>
#include <remora/hash.h>

#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void siphash_gives_the_reference_vectors(void **state)
{
    (void)state;
    tv *v = tv_load("base/siphash.json");
    uint8_t k[16], in[64], want[8];
    assert_int_equal(tv_get_hex(v, "key", k, sizeof k), 16);
    rmr_hash_key key = {rmr_load_le64(k), rmr_load_le64(k + 8)};
    tv *v24 = tv_get(v, "siphash24"), *v13 = tv_get(v, "siphash13");
    assert_int_equal(tv_len(v24), 64);
    assert_int_equal(tv_len(v13), 64);
    for (size_t i = 0; i < 64; i++) {
        in[i] = (uint8_t)i;
        assert_int_equal(tv_hex(tv_at(v24, i), want, 8), 8);
        assert_true(rmr_siphash(&key, in, i) == rmr_load_le64(want));
        assert_int_equal(tv_hex(tv_at(v13, i), want, 8), 8);
        assert_true(rmr_siphash13(&key, in, i) == rmr_load_le64(want));
    }
    assert_true(rmr_siphash(&key, NULL, 0) == rmr_siphash(&key, in, 0));
    tv_free(v);
}

/* In three parts, cut wherever it can be; and a copy goes on alone. */
static void siphash_of_parts_is_that_of_the_whole(void **state)
{
    (void)state;
    const rmr_hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t in[40];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof in; len++) {
        uint64_t want = rmr_siphash13(&key, in, len);
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                rmr_sip13 s, copy;
                rmr_sip13_init(&s, &key);
                rmr_sip13_update(&s, in, a);
                rmr_sip13_update(&s, in + a, b - a);
                copy = s;
                assert_true(rmr_sip13_final(&s) == rmr_siphash13(&key, in, b));
                rmr_sip13_update(&s, in, sizeof in);
                rmr_sip13_update(&copy, in + b, len - b);
                assert_true(rmr_sip13_final(&copy) == want);
            }
        }
    }
}

#define N 200

/* The owner's objects: value i stands for keys[i]. */
typedef struct owner {
    uint32_t keys[N];
    uint64_t shift; /* value = index + shift */
} owner;

static bool owner_eq(const void *user, uint64_t value, const void *key,
                     size_t len)
{
    const owner *o = user;
    return len == 4 && memcmp(&o->keys[value - o->shift], key, 4) == 0;
}

/* Keys whose home in a table of `cap` is one of the last two places, so that
 * they pile up and go round the end. */
static void choose_colliding(const rmr_hash *h, uint32_t cap, uint32_t *keys,
                             size_t n)
{
    uint32_t k = 0;
    for (size_t i = 0; i < n; k++) {
        uint32_t home = (uint32_t)rmr_siphash13(&h->key, &k, 4) & (cap - 1);
        if (home >= cap - 2)
            keys[i++] = k;
    }
}

static void check_all(const rmr_hash *h, const owner *o, const bool *in)
{
    uint32_t used = 0;
    for (size_t i = 0; i < N; i++) {
        uint64_t v = 4711;
        bool found = rmr_hash_get(h, &o->keys[i], 4, &v);
        assert_int_equal(found, in[i]);
        assert_true(v == (found ? i + o->shift : 4711));
        used += found;
    }
    assert_int_equal(h->used, used);
}

static void run_model(uint64_t seed, bool collide, uint32_t max)
{
    test_alloc a = {0};
    test_rng rng;
    test_rng_seed(&rng, seed);
    rmr_env env = test_env(&a, &rng, NULL);
    owner o = {.shift = seed << 40};
    bool in[N] = {false};
    uint32_t used = 0;
    rmr_hash h;
    assert_int_equal(rmr_hash_init(&h, &env.alloc, &env.rng, max, owner_eq, &o),
                     RMR_OK);
    for (size_t i = 0; i < N; i++)
        o.keys[i] = (uint32_t)(i * 7);
    if (collide)
        choose_colliding(&h, 256, o.keys, N);
    check_all(&h, &o, in);
    for (int n = 0; n < 3000; n++) {
        size_t i = test_rng_u64(&rng) % N;
        if (test_rng_u64(&rng) % 2) {
            rmr_err err = rmr_hash_put(&h, &o.keys[i], 4, i + o.shift);
            bool full = !in[i] && used == max;
            assert_int_equal(err, full ? RMR_E_FULL : RMR_OK);
            used += !full && !in[i];
            in[i] = in[i] || !full;
        } else {
            assert_int_equal(rmr_hash_del(&h, &o.keys[i], 4), in[i]);
            used -= in[i];
            in[i] = false;
        }
        if (n % 10 == 0)
            check_all(&h, &o, in);
    }
    rmr_hash_wipe(&h);
    assert_int_equal(a.live_blocks, 0);
}

static void random_programs_agree_with_an_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        run_model(seed, false, N);
        run_model(seed, true, N);
        run_model(seed, seed % 2, 60);
        run_model(seed, seed % 2, 0);
    }
}

static void churn_takes_no_memory(void **state)
{
    (void)state;
    test_alloc a = {0};
    test_rng rng;
    test_rng_seed(&rng, 9);
    rmr_env env = test_env(&a, &rng, NULL);
    owner o = {.shift = 0};
    rmr_hash h;
    assert_int_equal(rmr_hash_init(&h, &env.alloc, &env.rng, N, owner_eq, &o),
                     RMR_OK);
    for (uint32_t i = 0; i < N; i++) {
        o.keys[i] = i;
        assert_int_equal(rmr_hash_put(&h, &o.keys[i], 4, i), RMR_OK);
    }
    size_t calls = a.calls;
    for (uint32_t n = 0; n < 20000; n++) {
        uint32_t i = n % N;
        assert_true(rmr_hash_del(&h, &o.keys[i], 4));
        o.keys[i] += N;
        assert_int_equal(rmr_hash_put(&h, &o.keys[i], 4, i), RMR_OK);
    }
    assert_int_equal(a.calls, calls);
    assert_int_equal(h.used, N);
    rmr_hash_wipe(&h);
}

static void an_equal_key_gets_the_new_value_even_when_full(void **state)
{
    (void)state;
    rmr_env env = test_env(NULL, NULL, NULL);
    owner o = {.shift = 0};
    rmr_hash h;
    uint64_t v = 0;
    o.keys[0] = 1;
    o.keys[1] = 2;
    o.keys[5] = 1;
    assert_int_equal(rmr_hash_init(&h, &env.alloc, &env.rng, 1, owner_eq, &o),
                     RMR_OK);
    assert_int_equal(rmr_hash_put(&h, &o.keys[0], 4, 0), RMR_OK);
    assert_int_equal(rmr_hash_put(&h, &o.keys[1], 4, 1), RMR_E_FULL);
    assert_int_equal(rmr_hash_put(&h, &o.keys[5], 4, 5), RMR_OK);
    assert_true(rmr_hash_get(&h, &o.keys[0], 4, &v));
    assert_int_equal(v, 5);
    /* The owner has the last word on equality. */
    o.keys[5] = 3;
    uint32_t one = 1;
    assert_false(rmr_hash_get(&h, &one, 4, &v));
    rmr_hash_wipe(&h);
}

static void a_failed_generator_gives_no_table(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 1);
    rng.fail_at = 1;
    rmr_env env = test_env(NULL, &rng, NULL);
    rmr_hash h;
    assert_int_equal(rmr_hash_init(&h, &env.alloc, &env.rng, 1, owner_eq, NULL),
                     RMR_E_RNG);
    rmr_hash_wipe(&h);
}

static void at_each_failed_allocation_the_table_stays_as_it_is(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        test_alloc a = {.fail_at = n};
        test_rng rng;
        test_rng_seed(&rng, n);
        rmr_env env = test_env(&a, &rng, NULL);
        owner o = {.shift = 0};
        bool in[N] = {false};
        rmr_hash h;
        assert_int_equal(
            rmr_hash_init(&h, &env.alloc, &env.rng, N, owner_eq, &o), RMR_OK);
        for (uint32_t i = 0; i < N; i++)
            o.keys[i] = i;
        for (uint32_t i = 0; i < N; i++) {
            rmr_err err = rmr_hash_put(&h, &o.keys[i], 4, i);
            if (err) {
                assert_int_equal(err, RMR_E_NOMEM);
                check_all(&h, &o, in);
                assert_int_equal(rmr_hash_put(&h, &o.keys[i], 4, i), RMR_OK);
            }
            in[i] = true;
        }
        check_all(&h, &o, in);
        rmr_hash_wipe(&h);
        assert_int_equal(a.live_blocks, 0);
        if (a.failed == 0) {
            assert_true(n > 3);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_reference_vectors),
        cmocka_unit_test(siphash_of_parts_is_that_of_the_whole),
        cmocka_unit_test(random_programs_agree_with_an_array),
        cmocka_unit_test(churn_takes_no_memory),
        cmocka_unit_test(an_equal_key_gets_the_new_value_even_when_full),
        cmocka_unit_test(a_failed_generator_gives_no_table),
        cmocka_unit_test(at_each_failed_allocation_the_table_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
