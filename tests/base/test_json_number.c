/* Numbers: int64 exactly, doubles as strtod has them in the C locale. */
#include <remora/json.h>

#include "support.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void integers_are_exact_up_to_both_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t v;
    } rows[] = {{"0", 0},
                {"-0", 0},
                {"1", 1},
                {"-1", -1},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN},
                {"-9223372036854775807", -INT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t v = 4711;
        assert_int_equal(
            rmr_json_int(RMR_JSON_NUMBER, rmr_bytes_str(rows[i].text), &v),
            RMR_OK);
        assert_true(v == rows[i].v);
    }
}

static void what_is_no_integer_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "-",
                                       "1.0",
                                       "1e3",
                                       "0x1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "9223372036854775808",
                                       "-9223372036854775809",
                                       "99999999999999999999",
                                       "18446744073709551616"};
    int64_t v = 4711;
    double d = 4711;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            rmr_json_int(RMR_JSON_NUMBER, rmr_bytes_str(rows[i]), &v),
            RMR_E_MALFORMED);
    for (int kind = RMR_JSON_OBJECT; kind <= RMR_JSON_NULL; kind++) {
        if (kind == RMR_JSON_NUMBER)
            continue;
        assert_int_equal(
            rmr_json_int((rmr_json_kind)kind, rmr_bytes_str("1"), &v),
            RMR_E_MALFORMED);
        assert_int_equal(
            rmr_json_double((rmr_json_kind)kind, rmr_bytes_str("1"), &d),
            RMR_E_MALFORMED);
    }
    assert_true(v == 4711 && d == 4711);
}

/* Bit for bit as strtod; what it makes infinite is refused. */
static void check_double(const char *text)
{
    double got = 4711, want = strtod(text, NULL);
    rmr_err err = rmr_json_double(RMR_JSON_NUMBER, rmr_bytes_str(text), &got);
    if (want > DBL_MAX || want < -DBL_MAX) {
        if (err != RMR_E_MALFORMED)
            fail_msg("not refused: %s", text);
        return;
    }
    if (err || memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%s: %.17g for %.17g", text, got, want);
}

static void hard_doubles_are_rounded_right(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "0",
        "-0",
        "0.0",
        "-0e9",
        "0e999999999999999999999",
        "1",
        "-1.5",
        "0.1",
        "0.3",
        "1e22",
        "1e23",
        "123456789012345678",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.00000000000000000000000000000001",
        "9007199254740992.99999999999999999999999999999999",
        "9007199254740995",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e-5",
        "3.141592653589793238462643383279",
        /* the largest, and the first that is too large */
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231580793e289",
        "1.79769313486231580793e308",
        "1e308",
        "1e309",
        "-1e309",
        "1e310",
        "1e99999",
        "1e9999999999999999999999",
        "123456e304",
        /* subnormal numbers, halfway cases and underflow */
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "4.9406564584124654e-324",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.5e-324",
        "2e-324",
        "1e-324",
        "9e-325",
        "1e-400",
        "-1e-400",
        "1e-9999999999999999999999",
        "7.4109846876186981626485318930233e-324",
        "0.000000000000000000000000000000000000000000000000000001e54",
        "1000000000000000000000000000000000000000000000000000000e-54",
        "8.5e-324",
        "6.9294956446009195e15",
        "1.00000000000000011102230246251565",
        "1.000000000000000111022302462515654042363166809082031250",
        "1.000000000000000111022302462515654042363166809082031251",
        "1.000000000000000111022302462515654042363166809082031249",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_double(rows[i]);
}

static void digits_without_end_still_count(void **state)
{
    (void)state;
    static char text[4000];
    /* The middle between 1 and its successor, then a thousand zeros, then
     * nothing or a 1 that decides. */
    int n =
        snprintf(text, sizeof text, "%s%01500d",
                 "1.000000000000000111022302462515654042363166809082031250", 0);
    check_double(text);
    text[n - 1] = '1';
    check_double(text);
    n = snprintf(text, sizeof text, "1%02000de-2000", 0);
    check_double(text);
    (void)snprintf(text, sizeof text, "0.%02000d1e2001", 0);
    check_double(text);
    (void)snprintf(text, sizeof text, "0.%02000d1e1700", 0);
    check_double(text);
    memset(text, '9', 1200);
    (void)snprintf(text + 1200, 100, "e-900");
    check_double(text);
    (void)snprintf(text + 1200, 100, "e-1500");
    check_double(text);
    (void)n;
}

static void random_literals_agree_with_strtod(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 11);
    for (int i = 0; i < 60000; i++) {
        char text[80];
        uint64_t bits = test_rng_u64(&rng);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!(v - v == 0))
            continue;
        /* Shortest and longest forms, and random digits. */
        (void)snprintf(text, sizeof text, i % 2 ? "%.17g" : "%.15g", v);
        check_double(text);
        (void)snprintf(text, sizeof text, "%llu.%llue%d",
                       (unsigned long long)(bits >> 20),
                       (unsigned long long)test_rng_u64(&rng),
                       (int)(test_rng_u64(&rng) % 660) - 345);
        check_double(text);
        (void)snprintf(text, sizeof text, "%llu.%u",
                       (unsigned long long)(bits >> 40),
                       (unsigned)(bits & 0xfff));
        check_double(text);
    }
}

static void broken_literals_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",     "-",   ".",     "-.",  "e5",
                                       "1e",   "1e+", "1.2.3", "1x",  "x",
                                       "1e5x", " 1",  "0x1p3", "nan", "inf"};
    double d = 4711;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            rmr_json_double(RMR_JSON_NUMBER, rmr_bytes_str(rows[i]), &d),
            RMR_E_MALFORMED);
    assert_true(d == 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact_up_to_both_ends),
        cmocka_unit_test(what_is_no_integer_is_refused),
        cmocka_unit_test(hard_doubles_are_rounded_right),
        cmocka_unit_test(digits_without_end_still_count),
        cmocka_unit_test(random_literals_agree_with_strtod),
        cmocka_unit_test(broken_literals_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
