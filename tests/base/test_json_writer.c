/* The JSON writer: exact text, every buffer size, misuse, and a round trip
 * through the reader. */
#include <remora/json.h>

#include "json_internal.h"
#include "json_log.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_sample(rmr_jw *w)
{
    rmr_jw_object(w);
    rmr_jw_kstr(w, "name", "a\"b\\c");
    rmr_jw_kint(w, "min", INT64_MIN);
    rmr_jw_ku64(w, "max", UINT64_MAX);
    rmr_jw_kbool(w, "yes", true);
    rmr_jw_key(w, "list");
    rmr_jw_array(w);
    rmr_jw_null(w);
    rmr_jw_bool(w, false);
    rmr_jw_object(w);
    rmr_jw_object_end(w);
    rmr_jw_array(w);
    rmr_jw_array_end(w);
    rmr_jw_double(w, 0.5);
    rmr_jw_raw(w, rmr_bytes_str("{\"r\":1}"));
    rmr_jw_int(w, -7);
    rmr_jw_u64(w, 7);
    rmr_jw_str(w, "");
    rmr_jw_array_end(w);
    rmr_jw_kstr(w, "", NULL);
    rmr_jw_object_end(w);
}

static const char sample[] =
    "{\"name\":\"a\\\"b\\\\c\",\"min\":-9223372036854775808,"
    "\"max\":18446744073709551615,\"yes\":true,"
    "\"list\":[null,false,{},[],0.5,{\"r\":1},-7,7,\"\"],\"\":\"\"}";

static void a_document_comes_out_as_written(void **state)
{
    (void)state;
    uint8_t b[sizeof sample - 1]; /* an exact fit */
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(b, sizeof b));
    write_sample(&w);
    assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
    assert_int_equal(len, sizeof b);
    assert_memory_equal(b, sample, len);
}

static void every_smaller_buffer_is_too_small(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < sizeof sample - 1; cap++) {
        uint8_t *b = malloc(cap ? cap : 1); /* a sanitizer watches its end */
        assert_non_null(b);
        rmr_jw w;
        size_t len = 4711;
        rmr_jw_init(&w, rmr_buf_of(b, cap));
        write_sample(&w);
        assert_int_equal(rmr_jw_end(&w, &len), RMR_E_BUFSIZE);
        assert_int_equal(len, 4711);
        free(b);
    }
}

static const char *string_text(rmr_bytes s, char *out, size_t cap)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(out, cap - 1));
    rmr_jw_bytes(&w, s);
    assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
    out[len] = '\0';
    return out;
}

static void strings_are_escaped_where_json_asks_for_it(void **state)
{
    (void)state;
    char out[256];
    assert_string_equal(
        string_text(rmr_bytes_of("\0\x01\b\t\n\v\f\r\x1f /\"\\\x7f", 14), out,
                    sizeof out),
        "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f /\\\"\\\\\x7f\"");
    assert_string_equal(
        string_text(rmr_bytes_str("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), out,
                    sizeof out),
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    assert_string_equal(string_text(rmr_bytes_of(NULL, 0), out, sizeof out),
                        "\"\"");
}

static void bytes_that_are_not_utf8_become_replacements(void **state)
{
    (void)state;
#define R "\xef\xbf\xbd"
    static const char *const rows[][2] = {
        {"\x80", R},
        {"a\xff"
         "b",
         "a" R "b"},
        {"\xc3", R},
        {"\xc3(", R "("},
        {"\xe2\x82", R R},
        {"\xe2\x82\xac\xe2", "\xe2\x82\xac" R},
        {"\xc0\x80", R R},
        {"\xed\xa0\x80", R R R},
        {"\xf4\x90\x80\x80", R R R R},
        {"\xf0\x9f\x98", R R R},
        {"\xf0\x9f\x98x", R R R "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64], want[64];
        (void)snprintf(want, sizeof want, "\"%s\"", rows[i][1]);
        assert_string_equal(
            string_text(rmr_bytes_str(rows[i][0]), out, sizeof out), want);
    }
#undef R
}

/* The same ranges as the reader's, at each end. */
static void utf8_is_judged_as_the_reader_judges_it(void **state)
{
    (void)state;
    for (unsigned lead = 0x80; lead < 0x100; lead++) {
        for (unsigned second = 0x7e; second < 0xc2; second++) {
            for (size_t len = 1; len < 5; len++) {
                /* What stands behind the end would go on well. */
                const char in[4] = {(char)lead, (char)second, (char)0xbf,
                                    (char)0x80};
                char out[32], doc[16];
                string_text(rmr_bytes_of(in, len), out, sizeof out);
                (void)snprintf(doc, sizeof doc, "\"%.*s\"", (int)len, in);
                rmr_json j;
                uint8_t scratch[16];
                json_log log;
                memset(&log, 0, sizeof log);
                rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch),
                              json_log_fn, &log);
                bool good = !rmr_json_feed(&j, rmr_bytes_str(doc));
                assert_int_equal(strcmp(out, doc) == 0, good);
            }
        }
    }
}

static void doubles_take_the_shorter_exact_form(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {1, "1"},
                {0.1, "0.1"},
                {-2.5, "-2.5"},
                {1e21, "1e+21"},
                {1e-7, "1e-07"},
                {1.0 / 3, "0.33333333333333331"},
                {5e-324, "4.94065645841247e-324"},
                {1.7976931348623157e308, "1.7976931348623157e+308"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        rmr_jw w;
        size_t len = 0;
        rmr_jw_init(&w, rmr_buf_of(out, sizeof out));
        rmr_jw_double(&w, rows[i].v);
        assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
        out[len] = '\0';
        assert_string_equal(out, rows[i].text);
    }
    test_rng rng;
    test_rng_seed(&rng, 4);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = test_rng_u64(&rng);
        double v, back = 0;
        char out[64];
        rmr_jw w;
        size_t len = 0;
        memcpy(&v, &bits, sizeof v);
        if (!(v - v == 0))
            continue;
        rmr_jw_init(&w, rmr_buf_of(out, sizeof out));
        rmr_jw_double(&w, v);
        assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
        assert_int_equal(
            rmr_json_double(RMR_JSON_NUMBER, rmr_bytes_of(out, len), &back),
            RMR_OK);
        assert_memory_equal(&back, &v, sizeof v);
    }
}

static void the_point_of_any_locale_becomes_a_point(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"0,5", "0.5"},
                                          {"-1\xd9\xab"
                                           "25e-07",
                                           "-1.25e-07"},
                                          {"1e+20", "1e+20"},
                                          {"90", "90"},
                                          {"1:9", "1.9"},
                                          {"1/0", "1.0"},
                                          {"2.5", "2.5"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%s", rows[i][0]);
        rmri_base_fix_point(text);
        assert_string_equal(text, rows[i][1]);
    }
}

/* ---- misuse ----------------------------------------------------------- */

/* Each letter is a call: { } [ ] k(ey) v(alue) r(aw) i(nfinite). */
static rmr_err play(const char *calls)
{
    static uint8_t b[4096];
    rmr_jw w;
    size_t len;
    rmr_jw_init(&w, rmr_buf_of(b, sizeof b));
    for (; *calls; calls++) {
        switch (*calls) {
        case '{':
            rmr_jw_object(&w);
            break;
        case '}':
            rmr_jw_object_end(&w);
            break;
        case '[':
            rmr_jw_array(&w);
            break;
        case ']':
            rmr_jw_array_end(&w);
            break;
        case 'k':
            rmr_jw_key(&w, "k");
            break;
        case 'r':
            rmr_jw_raw(&w, rmr_bytes_str("1"));
            break;
        case 'i':
            rmr_jw_double(&w, strtod("inf", NULL));
            break;
        case 'n':
            rmr_jw_double(&w, strtod("nan", NULL));
            break;
        default:
            rmr_jw_null(&w);
            break;
        }
    }
    return rmr_jw_end(&w, &len);
}

static void misuse_is_noted_and_sticks(void **state)
{
    (void)state;
    static const char *const good[] = {"v",    "r",    "{}",         "[]",
                                       "{kv}", "[vv]", "{k{k[v]}kr}"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (play(good[i]) != RMR_OK)
            fail_msg("%s", good[i]);
    }
    static const char *const bad[] = {
        "",    "{",   "[",   "}",     "]",   "{]",   "[}",   "{k}",   "{v}",
        "{r}", "{[",  "{{",  "k",     "[k]", "[kv]", "{kk}", "{kvv}", "vv",
        "{}v", "[][", "{}}", "{kv}k", "i",   "n",    "[i]",  "{k]v}", "[v"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (play(bad[i]) != RMR_E_STATE)
            fail_msg("%s", bad[i]);
    }
}

static void nesting_is_bounded_as_in_the_reader(void **state)
{
    (void)state;
    char calls[80];
    for (size_t depth = 31; depth < 34; depth++) {
        memset(calls, '[', depth);
        memset(calls + depth, ']', depth);
        calls[2 * depth] = '\0';
        assert_int_equal(play(calls),
                         depth <= RMR_JSON_MAX_DEPTH ? RMR_OK : RMR_E_STATE);
    }
}

/* ---- round trip ------------------------------------------------------- */

static size_t random_string(test_rng *rng, char *s)
{
    static const char *const bits[] = {"a",
                                       "bc",
                                       "\n",
                                       "\"",
                                       "\\",
                                       "\x01",
                                       "/",
                                       " ",
                                       "\x7f",
                                       "x",
                                       "\t",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "the quick brown fox"};
    size_t len = 0;
    for (uint64_t n = test_rng_u64(rng) % 6; n; n--) {
        const char *b = bits[test_rng_u64(rng) % (sizeof bits / sizeof *bits)];
        memcpy(s + len, b, strlen(b) + 1);
        len += strlen(b);
    }
    s[len] = '\0';
    return len;
}

/* A random value, written, and its tokens, noted as they should come back. */
static void random_value(test_rng *rng, rmr_jw *w, json_log *want,
                         unsigned depth)
{
    char s[128], digits[24];
    uint64_t v = test_rng_u64(rng);
    uint64_t kind = test_rng_u64(rng) % (depth < 6 ? 8 : 5);
    switch (kind) {
    case 0:
        rmr_jw_null(w);
        json_log_token(want, RMR_JSON_NULL, rmr_bytes_of(NULL, 0));
        return;
    case 1:
        rmr_jw_bool(w, v & 1);
        json_log_token(want, v & 1 ? RMR_JSON_TRUE : RMR_JSON_FALSE,
                       rmr_bytes_of(NULL, 0));
        return;
    case 2:
        rmr_jw_int(w, (int64_t)v);
        (void)snprintf(digits, sizeof digits, "%lld", (long long)(int64_t)v);
        json_log_token(want, RMR_JSON_NUMBER, rmr_bytes_str(digits));
        return;
    case 3:
    case 4:
        (void)random_string(rng, s);
        rmr_jw_str(w, s);
        json_log_token(want, RMR_JSON_STRING, rmr_bytes_str(s));
        return;
    default:
        break;
    }
    bool object = v & 1;
    if (object)
        rmr_jw_object(w);
    else
        rmr_jw_array(w);
    json_log_token(want, object ? RMR_JSON_OBJECT : RMR_JSON_ARRAY,
                   rmr_bytes_of(NULL, 0));
    for (uint64_t n = v / 2 % 4; n; n--) {
        if (object) {
            (void)random_string(rng, s);
            rmr_jw_key(w, s);
            json_log_token(want, RMR_JSON_KEY, rmr_bytes_str(s));
        }
        random_value(rng, w, want, depth + 1);
    }
    if (object)
        rmr_jw_object_end(w);
    else
        rmr_jw_array_end(w);
    json_log_token(want, object ? RMR_JSON_OBJECT_END : RMR_JSON_ARRAY_END,
                   rmr_bytes_of(NULL, 0));
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static json_log want, got;
    static uint8_t b[65536];
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        test_rng rng;
        rmr_jw w;
        rmr_json j;
        uint8_t scratch[256];
        size_t len = 0;
        memset(&want, 0, sizeof want);
        memset(&got, 0, sizeof got);
        test_rng_seed(&rng, seed);
        rmr_jw_init(&w, rmr_buf_of(b, sizeof b));
        random_value(&rng, &w, &want, 0);
        assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
        rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch), json_log_fn,
                      &got);
        assert_int_equal(rmr_json_feed(&j, rmr_bytes_of(b, len)), RMR_OK);
        assert_int_equal(rmr_json_end(&j), RMR_OK);
        assert_string_equal(got.text, want.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_comes_out_as_written),
        cmocka_unit_test(every_smaller_buffer_is_too_small),
        cmocka_unit_test(strings_are_escaped_where_json_asks_for_it),
        cmocka_unit_test(bytes_that_are_not_utf8_become_replacements),
        cmocka_unit_test(utf8_is_judged_as_the_reader_judges_it),
        cmocka_unit_test(doubles_take_the_shorter_exact_form),
        cmocka_unit_test(the_point_of_any_locale_becomes_a_point),
        cmocka_unit_test(misuse_is_noted_and_sticks),
        cmocka_unit_test(nesting_is_bounded_as_in_the_reader),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
