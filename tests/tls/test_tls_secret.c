/* Nothing branches on a secret scalar, or reads memory by one.  Under valgrind
 * the scalar counts as never written, and whatever depends on it is told;
 * elsewhere only the results are looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tls_p256.h"
#include "tls_p256_order.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define SECRET(p) (void)VALGRIND_MAKE_MEM_UNDEFINED((p), sizeof *(p))
#define TOLD(p) (void)VALGRIND_MAKE_MEM_DEFINED((p), sizeof *(p))
#endif
#endif
#ifndef SECRET
#define SECRET(p) (void)(p)
#define TOLD(p) (void)(p)
#endif

#ifdef RMRI_TLS_P256

typedef struct number {
    uint8_t bytes[32];
} number;

typedef struct whole {
    uint8_t bytes[RMRI_P256_POINT];
} whole;

static number scalar(void)
{
    number k;
    for (size_t i = 0; i < sizeof k.bytes; i++)
        k.bytes[i] = (uint8_t)(i * 7 + 1);
    return k;
}

static whole times_g(const number *k)
{
    whole p;
    bool ok = rmri_p256_mulgen(p.bytes, k->bytes, sizeof k->bytes);
    TOLD(&p);
    TOLD(&ok);
    assert_true(ok);
    return p;
}

static void multiples(void **state)
{
    (void)state;
    number k = scalar();
    whole open = times_g(&k), twice = open;
    assert_true(rmri_p256_mul(twice.bytes, k.bytes, sizeof k.bytes));
    SECRET(&k);
    whole p = times_g(&k);
    assert_memory_equal(&p, &open, sizeof p);
    bool ok = rmri_p256_mul(p.bytes, k.bytes, sizeof k.bytes);
    TOLD(&p);
    TOLD(&ok);
    assert_true(ok);
    assert_memory_equal(&p, &twice, sizeof p);
}

static void numbers_of_a_signature(void **state)
{
    (void)state;
    static const uint64_t one[4] = {1};
    number k = scalar();
    rmri_ord a, b;
    SECRET(&k);
    (void)rmri_ord_load(&a, k.bytes);
    rmri_ord_add(&b, &a, &a);
    rmri_ord_mul(&a, &b, &a);
    rmri_ord_invert(&b, &a);
    rmri_ord_mul(&a, &b, &a);
    TOLD(&a);
    assert_memory_equal(a.w, one, sizeof one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiples),
        cmocka_unit_test(numbers_of_a_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* P-256 is BearSSL's in this build */
}

#endif
