/* Hex, base64, numbers and times as text. */
#include <remora/text.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void hex_goes_both_ways(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    char text[513];
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    assert_string_equal(rmr_hex(text, "\x00\x9f\xa0\xff", 4), "009fa0ff");
    assert_string_equal(rmr_hex(text, NULL, 0), "");
    rmr_hex(text, all, 256);
    assert_int_equal(rmr_unhex(back, 256, rmr_bytes_str(text)), RMR_OK);
    assert_memory_equal(back, all, 256);
    assert_int_equal(rmr_unhex(back, 2, rmr_bytes_str("aBCd")), RMR_OK);
    assert_memory_equal(back, "\xab\xcd", 2);
    assert_int_equal(rmr_unhex(back, 0, rmr_bytes_str("")), RMR_OK);
}

static void bad_hex_is_refused(void **state)
{
    (void)state;
    uint8_t b[4];
    static const char *const rows[] = {"",   "0",  "000", "00000",
                                       "0g", "g0", " 0",  "0/",
                                       "0:", "0@", "0`",  "0x00"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = i < 4 ? 2 : 1;
        assert_int_equal(rmr_unhex(b, n, rmr_bytes_str(rows[i])),
                         RMR_E_MALFORMED);
    }
}

static void base64_gives_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xef\xbe\xff\xff\xff", "++++////"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[16];
        uint8_t back[16];
        size_t n = strlen(rows[i][0]), len = sizeof back;
        assert_string_equal(rmr_base64(text, rows[i][0], n), rows[i][1]);
        assert_int_equal(strlen(text), RMR_BASE64_LEN(n));
        assert_int_equal(rmr_unbase64(back, &len, rmr_bytes_str(text)), RMR_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, rows[i][0], n);
        len = n; /* an exact buffer is enough, a shorter one is not */
        assert_int_equal(rmr_unbase64(back, &len, rmr_bytes_str(text)), RMR_OK);
        if (n) {
            len = n - 1;
            assert_int_equal(rmr_unbase64(back, &len, rmr_bytes_str(text)),
                             RMR_E_BUFSIZE);
        }
    }
}

static void base64_has_one_text_for_each_value(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "Z",    "Zg",    "Zg=",    "Zh==",   "Zm9=",   "Zg==Zg==", "=",
        "====", "Z===",  "=Zg=",   "Zm=v",   "Zm9v\n", "Zm9 ",     "Zm9-",
        "Zm9_", "Zm9v=", "Zg==\n", "Zm9vYg", "Z\0g=",  "Zm9\x80"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t b[16];
        size_t len = sizeof b;
        if (rmr_unbase64(b, &len, rmr_bytes_str(rows[i])) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", rows[i]);
    }
}

static void random_bytes_survive_base64(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 5);
    rmr_rng t = test_rng_table(&rng);
    for (size_t n = 0; n < 300; n++) {
        uint8_t in[300], out[300];
        char text[RMR_BASE64_LEN(300) + 1];
        size_t len = sizeof out;
        assert_int_equal(rmr_rng_fill(&t, in, n), RMR_OK);
        rmr_base64(text, in, n);
        assert_int_equal(rmr_unbase64(out, &len, rmr_bytes_str(text)), RMR_OK);
        assert_int_equal(len, n);
        if (n)
            assert_memory_equal(in, out, n);
    }
}

static void numbers_stop_at_their_limit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max, value;
        bool ok;
    } rows[] = {
        {"0", 0, 0, true},
        {"1", 0, 0, false},
        {"00012", 99, 12, true},
        {"99", 99, 99, true},
        {"100", 99, 0, false},
        {"5", 3, 0, false},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, 0, false},
        {"99999999999999999999999", UINT64_MAX, 0, false},
        {"", 9, 0, false},
        {"+1", 9, 0, false},
        {"-1", 9, 0, false},
        {" 1", 9, 0, false},
        {"1 ", 9, 0, false},
        {"1a", UINT64_MAX, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t v = 4711;
        rmr_err err =
            rmr_parse_u64(rmr_bytes_str(rows[i].text), rows[i].max, &v);
        assert_int_equal(err, rows[i].ok ? RMR_OK : RMR_E_MALFORMED);
        assert_true(v == (rows[i].ok ? rows[i].value : 4711));
    }
}

static void times_are_read_with_fractions_and_offsets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"1970-01-01T00:00:01.5Z", 1500000000},
        {"1970-01-02T00:00:00Z", 86400000000000},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"1970-01-01T05:45:00+05:30", 900000000000},
        {"1970-01-01T00:00:00-03:30", 12600000000000},
        {"1985-04-12T23:20:50.52Z", 482196050520000000},
        {"1996-12-19T16:39:57-08:00", 851042397000000000},
        {"1990-12-31T23:59:60Z", 662688000000000000},
        {"1990-12-31T15:59:60-08:00", 662688000000000000},
        {"1937-01-01T12:00:27.87+00:20", 0},
        {"2000-02-29T00:00:00Z", 951782400000000000},
        {"2004-02-29t12:00:00z", 1078056000000000000},
        {"2026-11-21T09:17:51.371999999999Z", 1795252671371999999},
        {"0001-01-01T00:00:00Z", 0},
        {"0000-01-01T00:00:00Z", 0},
        {"2261-12-31T23:59:59.999999999Z", 9214646399999999999u},
        {"2262-01-01T00:00:00Z", INT64_MAX},
        {"9999-12-31T23:59:59Z", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t ns = 4711;
        if (rmr_parse_time(rmr_bytes_str(rows[i].text), &ns))
            fail_msg("refused: %s", rows[i].text);
        if (ns != rows[i].ns)
            fail_msg("%s: %llu", rows[i].text, (unsigned long long)ns);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "2026",
        "2026-11-21",
        "2026-11-21T09:17:51",
        "2026-11-21 09:17:51Z",
        "2026-11-21T09:17:51Z ",
        "2026-11-21T09:17:51.Z",
        "2026-11-21T09:17:51,5Z",
        "2026-11-21T09:17:51+0100",
        "2026-11-21T09:17:51+01",
        "2026-11-21T09:17:51+24:00",
        "2026-11-21T09:17:51+00:60",
        "2026-00-21T09:17:51Z",
        "2026-13-21T09:17:51Z",
        "2026-11-00T09:17:51Z",
        "2026-11-31T09:17:51Z",
        "2026-02-29T09:17:51Z",
        "1900-02-29T09:17:51Z",
        "2100-02-29T09:17:51Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T23:60:00Z",
        "2026-11-21T23:59:61Z",
        "+026-11-21T09:17:51Z",
        "02026-11-21T09:17:51Z",
        "2026-1-21T09:17:51Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t ns = 4711;
        if (rmr_parse_time(rmr_bytes_str(rows[i]), &ns) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", rows[i]);
        assert_int_equal(ns, 4711);
    }
}

static void each_day_of_three_centuries_survives_the_round_trip(void **state)
{
    (void)state;
    const uint64_t day = 86400 * (uint64_t)1000000000;
    char text[RMR_TIME_TEXT_MAX], last[RMR_TIME_TEXT_MAX] = "";
    for (uint64_t d = 0; d < 106650; d++) { /* into 2261 */
        uint64_t ns =
            d * day + (d * 7919 % 86400) * 1000000000 + d % 1000 * 1000000;
        uint64_t back;
        rmr_time_text(ns, text);
        assert_int_equal(strlen(text), 24);
        assert_true(strcmp(last, text) < 0);
        assert_int_equal(rmr_parse_time(rmr_bytes_str(text), &back), RMR_OK);
        assert_true(back == ns);
        memcpy(last, text, sizeof last);
    }
    assert_string_equal(rmr_time_text(1795252671371999999, text),
                        "2026-11-21T09:17:51.371Z");
    assert_string_equal(rmr_time_text(UINT64_MAX, text),
                        "2554-07-21T23:34:33.709Z");
}

static void kept_texts_have_the_memory_of_their_length(void **state)
{
    (void)state;
    test_alloc al = {.secret = (const uint8_t *)"secret", .secret_len = 6};
    rmr_alloc a = test_alloc_table(&al);
    char *slot = NULL;
    assert_string_equal(rmr_text_kept(slot), "");
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_str("")), RMR_OK);
    assert_null(slot);
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_str("a secret")),
                     RMR_OK);
    assert_string_equal(rmr_text_kept(slot), "a secret");
    assert_int_equal(al.live_bytes, 9);
    al.fail_at = al.calls + 1;
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_str("another")),
                     RMR_E_NOMEM);
    assert_string_equal(slot, "a secret");
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_str(slot + 2)), RMR_OK);
    assert_string_equal(slot, "secret");
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_of("x\0y", 3)), RMR_OK);
    assert_string_equal(slot, "x");
    assert_int_equal(rmr_text_keep(&slot, &a, rmr_bytes_of(NULL, 0)), RMR_OK);
    assert_null(slot);
    assert_int_equal(al.live_blocks, 0);
    assert_int_equal(al.leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(bad_hex_is_refused),
        cmocka_unit_test(base64_gives_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_has_one_text_for_each_value),
        cmocka_unit_test(random_bytes_survive_base64),
        cmocka_unit_test(numbers_stop_at_their_limit),
        cmocka_unit_test(times_are_read_with_fractions_and_offsets),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(kept_texts_have_the_memory_of_their_length),
        cmocka_unit_test(each_day_of_three_centuries_survives_the_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
