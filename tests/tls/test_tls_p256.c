/* The arithmetic under P-256, against numbers without cleverness, at words
 * where carries begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tls_p256_field.h"
#include "tls_p256_order.h"
#include "wide.h"

#ifdef RMRI_TLS_P256

#define ROUNDS 3000

static test_rng rng;

static int setup(void **state)
{
    (void)state;
    test_rng_seed(&rng, 7);
    return 0;
}

static rmri_fe field(const uint64_t a[4])
{
    uint8_t bytes[32], again[32];
    rmri_fe r;
    wide_bytes(bytes, a);
    assert_true(rmri_fe_load(&r, bytes));
    rmri_fe_store(again, &r);
    assert_memory_equal(again, bytes, 32);
    return r;
}

static void is_field(const rmri_fe *got, const uint64_t want[4])
{
    uint8_t a[32], b[32];
    rmri_fe_store(a, got);
    wide_bytes(b, want);
    assert_memory_equal(a, b, 32);
}

static void the_field_is_right_at_every_carry(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a[4], b[4], want[4];
        wide_draw(a, &rng, wide_p);
        wide_draw(b, &rng, wide_p);
        rmri_fe x = field(a), y = field(b), r;
        wide_mul(want, a, b, wide_p);
        rmri_fe_mul(&r, &x, &y);
        is_field(&r, want);
        wide_add(want, a, b, wide_p);
        rmri_fe_add(&r, &x, &y);
        is_field(&r, want);
        rmri_fe_sub(&r, &r, &y); /* one form of each number: 0 is not p */
        assert_true(rmri_fe_equal(&r, &x));
        rmri_fe_sub(&r, &x, &y);
        rmri_fe_add(&r, &r, &y);
        assert_true(rmri_fe_equal(&r, &x));
        /* The same words, without Montgomery's form. */
        memcpy(x.w, a, sizeof a);
        memcpy(y.w, b, sizeof b);
        rmri_fe_add(&x, &x, &y);
        assert_memory_equal(x.w, want, sizeof want);
        rmri_fe_sub(&x, &x, &y);
        assert_memory_equal(x.w, a, sizeof a);
    }
}

/* Products of the words themselves: a * b / 2^256, times that. */
static void its_products_of_raw_words_are_right(void **state)
{
    (void)state;
    static const uint64_t form[4] = {1, UINT64_C(0xffffffff00000000),
                                     UINT64_MAX, UINT64_C(0xfffffffe)};
    assert_memory_equal(rmri_fe_one.w, form, sizeof form);
    for (int i = 0; i < ROUNDS; i++) {
        rmri_fe x, y, r;
        uint64_t back[4], want[4];
        wide_draw(x.w, &rng, wide_p);
        wide_draw(y.w, &rng, wide_p);
        wide_mul(want, x.w, y.w, wide_p);
        rmri_fe_mul(&r, &x, &y);
        wide_mul(back, r.w, form, wide_p);
        assert_memory_equal(back, want, sizeof want);
        rmri_fe_mul(&y, &x, &y); /* in place */
        assert_true(rmri_fe_equal(&y, &r));
    }
}

static void inverses_in_the_field(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        uint64_t a[4];
        do
            wide_draw(a, &rng, wide_p);
        while (!(a[0] | a[1] | a[2] | a[3]));
        rmri_fe x = field(a), r;
        rmri_fe_invert(&r, &x);
        rmri_fe_mul(&r, &r, &x);
        assert_true(rmri_fe_equal(&r, &rmri_fe_one));
    }
    rmri_fe zero = {{0}}, r;
    rmri_fe_invert(&r, &zero);
    assert_true(rmri_fe_equal(&r, &zero));
}

static void what_is_not_below_the_modulus(void **state)
{
    (void)state;
    static const uint64_t zero[4] = {0}, two[4] = {2};
    uint8_t bytes[32];
    rmri_fe f;
    rmri_ord o;
    wide_bytes(bytes, wide_p);
    assert_false(rmri_fe_load(&f, bytes));
    wide_bytes(bytes, wide_n);
    assert_true(rmri_fe_load(&f, bytes));
    assert_false(rmri_ord_load(&o, bytes));
    assert_true(rmri_ord_is_zero(&o));
    bytes[31]++; /* n + 2 */
    bytes[31]++;
    assert_false(rmri_ord_load(&o, bytes));
    assert_memory_equal(o.w, two, sizeof two);
    bytes[31] = (uint8_t)(bytes[31] - 3);
    assert_true(rmri_ord_load(&o, bytes));
    memset(bytes, 0xff, sizeof bytes);
    assert_false(rmri_fe_load(&f, bytes));
    assert_false(rmri_ord_load(&o, bytes));
    wide_bytes(bytes, zero);
    assert_true(rmri_fe_load(&f, bytes));
    assert_true(rmri_ord_load(&o, bytes));
}

static rmri_ord order(const uint64_t a[4])
{
    uint8_t bytes[32], again[32];
    rmri_ord r;
    wide_bytes(bytes, a);
    assert_true(rmri_ord_load(&r, bytes));
    rmri_ord_store(again, &r);
    assert_memory_equal(again, bytes, 32);
    return r;
}

static void the_order_is_right_at_every_carry(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a[4], b[4], want[4];
        wide_draw(a, &rng, wide_n);
        wide_draw(b, &rng, wide_n);
        rmri_ord x = order(a), y = order(b), r;
        wide_mul(want, a, b, wide_n);
        rmri_ord_mul(&r, &x, &y);
        assert_memory_equal(r.w, want, sizeof want);
        wide_add(want, a, b, wide_n);
        rmri_ord_add(&r, &x, &y);
        assert_memory_equal(r.w, want, sizeof want);
        rmri_ord_mul(&x, &x, &y); /* in place */
        wide_mul(want, a, b, wide_n);
        assert_memory_equal(x.w, want, sizeof want);
    }
}

static void inverses_modulo_the_order(void **state)
{
    (void)state;
    static const uint64_t one[4] = {1};
    for (int i = 0; i < 300; i++) {
        uint64_t a[4];
        do
            wide_draw(a, &rng, wide_n);
        while (!(a[0] | a[1] | a[2] | a[3]));
        rmri_ord x = order(a), r;
        rmri_ord_invert(&r, &x);
        rmri_ord_mul(&r, &r, &x);
        assert_memory_equal(r.w, one, sizeof one);
    }
    rmri_ord zero = {{0}}, r;
    rmri_ord_invert(&r, &zero);
    assert_true(rmri_ord_is_zero(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_is_right_at_every_carry),
        cmocka_unit_test(its_products_of_raw_words_are_right),
        cmocka_unit_test(inverses_in_the_field),
        cmocka_unit_test(what_is_not_below_the_modulus),
        cmocka_unit_test(the_order_is_right_at_every_carry),
        cmocka_unit_test(inverses_modulo_the_order),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

#else

int main(void)
{
    return 0; /* P-256 is BearSSL's in this build */
}

#endif
