/* Results, time, byte comparisons, and the calls into the environment. */
#include <remora/base.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void each_code_has_its_class(void **state)
{
    (void)state;
    static const struct {
        rmr_err err;
        rmr_errclass cls;
    } rows[] = {
        {RMR_OK, RMR_CLASS_OK},
        {RMR_E_INVAL, RMR_CLASS_MISUSE},
        {RMR_E_BUFSIZE, RMR_CLASS_MISUSE},
        {RMR_E_MALFORMED, RMR_CLASS_DISCARD},
        {RMR_E_NOTFOUND, RMR_CLASS_DISCARD},
        {RMR_E_FULL, RMR_CLASS_AGAIN},
        {RMR_E_NOFILES, RMR_CLASS_AGAIN},
        {RMR_E_CLOSED, RMR_CLASS_CLOSED},
        {RMR_E_IO, RMR_CLASS_CLOSED},
        {RMR_E_RNG, RMR_CLASS_FATAL},
        {RMR_E_PROTOCOL, RMR_CLASS_FATAL},
        {RMR_ERR(RMR_LAYER_NODE, 3, 7), RMR_CLASS_CLOSED},
        {RMR_ERR(RMR_LAYER_TLS, 0, 99), RMR_CLASS_MISUSE},
        {1, RMR_CLASS_FATAL},
        {INT32_MAX, RMR_CLASS_FATAL},
        {INT32_MIN, RMR_CLASS_FATAL},
        {-999, RMR_CLASS_FATAL},
        {-501, RMR_CLASS_FATAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(rmr_err_class(rows[i].err), rows[i].cls);
}

static void each_code_of_base_has_a_name_of_its_own(void **state)
{
    (void)state;
    const char *names[64];
    size_t n = 0;
    for (rmr_err e = 0; e > -500; e--) {
        const char *name = rmr_err_name(e);
        assert_non_null(name);
        if (strcmp(name, "unknown error") == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            assert_string_not_equal(names[i], name);
        assert_true(n < 64);
        names[n++] = name;
    }
    assert_int_equal(n, 30); /* as many as rmr_errcode has */
    assert_string_equal(rmr_err_name(RMR_ERR(RMR_LAYER_TLS, 4, 1)),
                        "layer error");
    assert_string_equal(rmr_err_name(5), "unknown error");
}

static void time_additions_saturate(void **state)
{
    (void)state;
    assert_int_equal(rmr_time_add(1, 2), 3);
    assert_int_equal(rmr_time_add(RMR_TIME_NEVER, 0), RMR_TIME_NEVER);
    assert_int_equal(rmr_time_add(RMR_TIME_NEVER, 1), RMR_TIME_NEVER);
    assert_int_equal(rmr_time_add(RMR_TIME_NEVER - 5, 6), RMR_TIME_NEVER);
    assert_int_equal(rmr_time_add(RMR_TIME_NEVER - 5, 4), RMR_TIME_NEVER - 1);
    assert_int_equal(rmr_time_add(1, RMR_TIME_NEVER), RMR_TIME_NEVER);
    assert_int_equal(rmr_time_since(5, 3), 2);
    assert_int_equal(rmr_time_since(3, 5), 0);
    assert_int_equal(rmr_time_min(3, RMR_TIME_NEVER), 3);
}

static void byte_comparisons_look_at_length_and_content(void **state)
{
    (void)state;
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    assert_true(rmr_bytes_eq(none, rmr_bytes_str("")));
    assert_true(rmr_bytes_eq(none, rmr_bytes_str(NULL)));
    assert_true(rmr_bytes_eq_str(rmr_bytes_str("abc"), "abc"));
    assert_false(rmr_bytes_eq_str(rmr_bytes_str("abc"), "ab"));
    assert_false(rmr_bytes_eq_str(rmr_bytes_str("abc"), "abd"));
    assert_false(rmr_bytes_eq_str(rmr_bytes_str("a"), "b"));
    assert_false(rmr_bytes_eq_str(rmr_bytes_of("ab\0", 3), "ab"));
    assert_true(
        rmr_bytes_eq_nocase(rmr_bytes_str("aBz[@"), rmr_bytes_str("AbZ[@")));
    assert_false(
        rmr_bytes_eq_nocase(rmr_bytes_str("[@`{"), rmr_bytes_str("{`@[")));
    assert_false(rmr_bytes_eq_nocase(rmr_bytes_str("a"), none));
}

static void allocations_come_zeroed_and_go_back(void **state)
{
    (void)state;
    test_alloc a = {0};
    rmr_alloc t = test_alloc_table(&a);
    uint8_t *p = rmr_alloc_zero(&t, 100, 64);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    rmr_release(&t, p, 100);
    rmr_release(&t, NULL, 0);
    rmr_release_wiped(&t, NULL, 7);
    assert_null(rmr_alloc_zero(&t, 0, 1));
    a.fail_at = 2;
    assert_null(rmr_alloc_zero(&t, 1, 1));
    assert_int_equal(a.live_blocks, 0);
    assert_int_equal(a.calls, 2);
}

static void a_secret_is_gone_before_its_memory_goes_back(void **state)
{
    (void)state;
    static const uint8_t secret[8] = "hunter2";
    test_alloc a = {.secret = secret, .secret_len = sizeof secret};
    rmr_alloc t = test_alloc_table(&a);
    uint8_t *p = rmr_alloc_zero(&t, 32, 1);
    assert_non_null(p);
    memcpy(p + 20, secret, sizeof secret);
    rmr_release_wiped(&t, p, 32);
    assert_int_equal(a.leaks, 0);
    p = rmr_alloc_zero(&t, 32, 1);
    assert_non_null(p);
    memcpy(p + 24, secret, sizeof secret);
    rmr_release(&t, p, 32);
    assert_int_equal(a.leaks, 1); /* the test allocator does see it */
}

static void wipe_clears_exactly_its_bytes(void **state)
{
    (void)state;
    uint8_t b[5] = {1, 2, 3, 4, 5};
    static const uint8_t want[5] = {1, 0, 0, 0, 5};
    rmr_wipe(b + 1, 3);
    assert_memory_equal(b, want, sizeof b);
    rmr_wipe(NULL, 0);
}

static void constant_time_comparison_sees_each_byte(void **state)
{
    (void)state;
    uint8_t a[33], b[33];
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_true(rmr_equal_ct(a, b, sizeof a));
    assert_true(rmr_equal_ct(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof a; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t)(1u << bit);
            assert_false(rmr_equal_ct(a, b, sizeof a));
            b[i] ^= (uint8_t)(1u << bit);
        }
    }
}

static rmr_err odd_failure(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    (void)dst;
    (void)len;
    return RMR_E_IO;
}

static void a_failed_generator_is_always_the_same_error(void **state)
{
    (void)state;
    uint8_t b[16] = {0};
    test_rng r;
    test_rng_seed(&r, 1);
    r.fail_at = 2;
    rmr_rng t = test_rng_table(&r);
    assert_int_equal(rmr_rng_fill(&t, b, sizeof b), RMR_OK);
    assert_int_equal(rmr_rng_fill(&t, b, sizeof b), RMR_E_RNG);
    assert_int_equal(rmr_rng_fill(&t, b, 0), RMR_OK);
    assert_int_equal(r.calls, 2);
    t.fill = odd_failure;
    assert_int_equal(rmr_rng_fill(&t, b, 1), RMR_E_RNG);
    t.fill = NULL;
    assert_int_equal(rmr_rng_fill(&t, b, 1), RMR_E_RNG);
}

static void log_lines_respect_the_level(void **state)
{
    (void)state;
    static test_log l;
    rmr_log t = test_log_table(&l, RMR_LOG_INFO);
    rmr_logf(&t, RMR_LOG_INFO, "wg", "peer %d is up", 7);
    rmr_logf(&t, RMR_LOG_DEBUG, "wg", "unseen");
    rmr_logf(&t, RMR_LOG_OFF, "wg", "never");
    assert_true(test_log_has(&l, "wg peer 7 is up"));
    assert_false(test_log_has(&l, "unseen"));
    assert_false(test_log_has(&l, "never"));
    t.write = NULL;
    rmr_logf(&t, RMR_LOG_ERROR, "wg", "no sink");
}

static void a_log_line_is_one_line_of_bounded_length(void **state)
{
    (void)state;
    static test_log l;
    rmr_log t = test_log_table(&l, RMR_LOG_TRACE);
    rmr_logf(&t, RMR_LOG_INFO, "ctl", "%s", "two\nlines\x1b[2J\x7f");
    assert_true(test_log_has(&l, "two?lines?[2J?"));
    char big[600];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    size_t before = l.len;
    rmr_logf(&t, RMR_LOG_INFO, "ctl", "%s", big);
    assert_int_equal(l.len - before, 511 + strlen("3 ctl \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_has_its_class),
        cmocka_unit_test(each_code_of_base_has_a_name_of_its_own),
        cmocka_unit_test(time_additions_saturate),
        cmocka_unit_test(byte_comparisons_look_at_length_and_content),
        cmocka_unit_test(allocations_come_zeroed_and_go_back),
        cmocka_unit_test(a_secret_is_gone_before_its_memory_goes_back),
        cmocka_unit_test(wipe_clears_exactly_its_bytes),
        cmocka_unit_test(constant_time_comparison_sees_each_byte),
        cmocka_unit_test(a_failed_generator_is_always_the_same_error),
        cmocka_unit_test(log_lines_respect_the_level),
        cmocka_unit_test(a_log_line_is_one_line_of_bounded_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
