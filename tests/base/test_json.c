/* The JSON reader: what is accepted and refused, and what tokens come, however
 * the document is cut. */
#include <remora/json.h>

#include "json_log.h"
#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCRATCH 256

/* One run over `doc`, in pieces: of `piece` bytes, or of two with the cut at
 * `cut`. */
typedef struct run {
    size_t piece, cut, scratch, stop_at;
    bool hujson;
} run;

static rmr_err feed_all(const run *how, rmr_json *j, rmr_bytes doc)
{
    rmr_err err = RMR_OK;
    size_t at = 0;
    while (at < doc.len && !err) {
        size_t n = how->piece ? how->piece : at < how->cut ? how->cut : doc.len;
        if (n > doc.len - at)
            n = doc.len - at;
        /* An exact copy, so that a sanitizer sees reads past the piece. */
        uint8_t *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, doc.ptr + at, n);
        err = rmr_json_feed(j, rmr_bytes_of(copy, n));
        free(copy);
        at += n;
    }
    rmr_err end = rmr_json_end(j);
    if (err)
        assert_int_equal(end, err); /* errors stick */
    return end;
}

static rmr_err run_once(const run *how, rmr_bytes doc, json_log *log)
{
    uint8_t *scratch = malloc(how->scratch ? how->scratch : 1);
    assert_non_null(scratch);
    rmr_json j;
    log->len = 0;
    log->text[0] = '\0';
    log->tokens = 0;
    log->stop_at = how->stop_at;
    rmr_json_init(&j, rmr_buf_of(scratch, how->scratch), json_log_fn, log);
    if (how->hujson)
        rmr_json_allow_hujson(&j);
    rmr_err err = feed_all(how, &j, doc);
    free(scratch);
    return err;
}

/* Whole, byte by byte, in threes, and at every cut; all alike. */
static rmr_err run_all(const run *how, rmr_bytes doc, json_log *log)
{
    static json_log other;
    run h = *how;
    h.piece = SIZE_MAX;
    rmr_err err = run_once(&h, doc, log);
    for (size_t i = 0; i < doc.len + 2 && doc.len < 3000; i++) {
        h.piece = i < 2 ? 1 + 2 * i : 0;
        h.cut = i < 2 ? 0 : i - 1;
        if (run_once(&h, doc, &other) != err ||
            strcmp(other.text, log->text) != 0)
            fail_msg("cut %u: %.*s", (unsigned)h.cut, (int)doc.len,
                     (const char *)doc.ptr);
    }
    return err;
}

static const run plain = {.scratch = SCRATCH};

static rmr_err run_text(const char *doc, json_log *log)
{
    return run_all(&plain, rmr_bytes_str(doc), log);
}

/* ---- the public cases ------------------------------------------------- */

/* Where RFC 8259 leaves it to the reader, this one takes numbers of any size
 * (their text is reported as it stands) and nothing else. */
static bool wants(const char *name)
{
    if (name[0] == 'i')
        return strncmp(name, "i_number_", 9) == 0;
    return name[0] == 'y';
}

static void the_public_parsing_cases_come_out_right(void **state)
{
    (void)state;
    static uint8_t doc[300000], unit[64];
    static json_log log;
    tv *root = tv_load("base/json-parsing.json");
    tv *cases = tv_get(root, "cases");
    assert_int_equal(tv_len(cases), 318);
    for (size_t i = 0; i < tv_len(cases); i++) {
        tv *c = tv_at(cases, i);
        size_t len = 0;
        if (tv_opt(c, "repeat")) {
            size_t n = tv_get_hex(c, "hex", unit, sizeof unit);
            for (int64_t k = tv_get_int(c, "repeat"); k > 0; k--, len += n)
                memcpy(doc + len, unit, n);
            len += tv_get_hex(c, "then", doc + len, sizeof doc - len);
        } else {
            len = tv_get_hex(c, "hex", doc, sizeof doc);
        }
        rmr_err err = run_all(&plain, rmr_bytes_of(doc, len), &log);
        if ((err == RMR_OK) != wants(tv_get_str(c, "name")))
            fail_msg("%s: %s", tv_get_str(c, "name"), rmr_err_name(err));
    }
    tv_free(root);
}

/* ---- tokens ----------------------------------------------------------- */

static void accepted_documents_give_their_tokens(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[][2] = {
        {"{}", "{ }"},
        {"[]", "[ ]"},
        {" \t\r\n[ ] \n", "[ ]"},
        {"0", "#0"},
        {"-0", "#-0"},
        {"-12.50e+03", "#-12.50e+03"},
        {"1E9 ", "#1E9"},
        {"\"\"", "s:"},
        {"true", "t"},
        {"false", "f"},
        {"null", "n"},
        {"[1,2 ,3]", "[ #1 #2 #3 ]"},
        {"[[],[[]],{}]", "[ [ ] [ [ ] ] { } ]"},
        {"{\"a\":1,\"b\":[true,false,null],\"\":{}}",
         "{ k:a #1 k:b [ t f n ] k: { } }"},
        {"{\"a\":1,\"a\":2}", "{ k:a #1 k:a #2 }"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
         "s:\"\\x5c/\\x08\\x0c\\x0a\\x0d\\x09"},
        {"\"a\\u0000b\"", "s:a\\x00b"},
        {"\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uFFFF\"",
         "s:A\\x7f\\xc2\\x80\\xdf\\xbf\\xe0\\xa0\\x80\\xef\\xbf\\xbf"},
        {"\"\\ud7ff\\ue000\"", "s:\\xed\\x9f\\xbf\\xee\\x80\\x80"},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
         "s:\\xf0\\x90\\x80\\x80\\xf4\\x8f\\xbf\\xbf"},
        {"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
         "s:\\xc2\\x80\\xdf\\xbf\\xe0\\xa0\\x80\\xed\\x9f\\xbf\\xee\\x80\\x80"
         "\\xef\\xbf\\xbf"},
        {"\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
         "s:\\xf0\\x90\\x80\\x80\\xf4\\x8f\\xbf\\xbf"},
        {"{\"k\\u00e9y\\n\":\"long enough for eight at once\"}",
         "{ k:k\\xc3\\xa9y\\x0a s:long\\x20enough\\x20for\\x20eight\\x20at"
         "\\x20once }"},
        {"\"\x7f\"", "s:\\x7f"},
        {"[-1,-0.0e-0]", "[ #-1 #-0.0e-0 ]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (run_text(rows[i][0], &log) != RMR_OK)
            fail_msg("refused: %s", rows[i][0]);
        assert_string_equal(log.text, rows[i][1]);
    }
}

static void broken_documents_are_refused(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "[}",
        "{]",
        "[1",
        "[1,",
        "[,1]",
        "[1,,2]",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "[1 2]",
        "1 2",
        "[] []",
        "[],",
        "{}}",
        "tru",
        "truE",
        "truex",
        "True",
        "nul",
        "nulll",
        "falsee",
        "NaN",
        "Infinity",
        "-",
        "-a",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "0x10",
        "1a",
        "--1",
        "1-1",
        "\"",
        "\"a",
        "'a'",
        "\"\\\"",
        "\"\\x\"",
        "\"\\U0041\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\u 123\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x1f\"",
        "\"eight bytes \x01 and so on\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\"",
        "\"\\udc00\\ud800\"",
        /* RFC 3629: continuation alone, cut short, overlong, surrogates,
         * above U+10FFFF, never used */
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc3\"",
        "\"\xc3x\"",
        "\"\xc3\\n\"",
        "\"\xe2\x82\"",
        "\"\xf0\x9f\x98\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xe2\x28\xa1\"",
        "\xef\xbb\xbf{}",
        "\xc3\xa9",
        /* not without hujson */
        "/**/1",
        "1//",
        "// \n1",
        "[1]/**/",
        /* other white space */
        "\v1",
        "\f1",
        "1\xc2\xa0",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (run_text(rows[i], &log) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", rows[i]);
    }
    assert_int_equal(run_all(&plain, rmr_bytes_of("[\0]", 3), &log),
                     RMR_E_MALFORMED);
    assert_int_equal(run_all(&plain, rmr_bytes_of("\"\0\"", 3), &log),
                     RMR_E_MALFORMED);
}

/* Each byte of a plain text is replaced by each other value: the fast path
 * over eight bytes must agree with the rule for one. */
static void any_byte_anywhere_in_a_string_is_judged_alike(void **state)
{
    (void)state;
    static json_log log;
    char doc[32] = "\"0123456789abcdefghijklmn\"";
    for (size_t at = 1; at < 25; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char keep = doc[at];
            doc[at] = (char)c;
            run how = plain;
            how.piece = SIZE_MAX;
            rmr_err err = run_once(&how, rmr_bytes_of(doc, 26), &log);
            bool good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            /* A backslash can make an escape with the byte behind it. */
            bool escape =
                c == '\\' && at < 24 && strchr("\"\\/bfnrt", doc[at + 1]);
            assert_int_equal(err == RMR_OK, good || escape);
            doc[at] = keep;
        }
    }
}

/* ---- hujson ----------------------------------------------------------- */

static const run hujson = {.scratch = SCRATCH, .hujson = true};

static void hujson_adds_comments_and_trailing_commas(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[][2] = {
        {"// only\n{}", "{ }"},
        {"{}// to the end", "{ }"},
        {"/**/[/***/1/* , */,/*\n*/2,/* / * */]/**/", "[ #1 #2 ]"},
        {"[1,]", "[ #1 ]"},
        {"{\"a\":1,}", "{ k:a #1 }"},
        {"{\"a\"/**/:/**/1//\n,//\n}", "{ k:a #1 }"},
        {"{\"//\":\"/*\",}", "{ k:// s:/* }"},
        {"1/**/", "#1"},
        {"true//x", "t"},
        {"[[1,],]", "[ [ #1 ] ]"},
        {"/* \xff any bytes \x01 */0", "#0"},
        {"//\r\n0", "#0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (run_all(&hujson, rmr_bytes_str(rows[i][0]), &log) != RMR_OK)
            fail_msg("refused: %s", rows[i][0]);
        assert_string_equal(log.text, rows[i][1]);
    }
    static const char *const bad[] = {
        "[,]",   "{,}",   "[1,,]",    "{\"a\":1,,}", "{\"a\":,}", "{\"a\",}",
        ",",     "1,",    "[],",      "/",           "/ /\n1",    "/x",
        "1/",    "/*",    "1/*",      "1/* *",       "/*/1",      "#\n1",
        "{a:1}", "['a']", "t/**/rue", "1/**/2",      "-/**/1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (run_all(&hujson, rmr_bytes_str(bad[i]), &log) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* ---- bounds ----------------------------------------------------------- */

static void nesting_is_bounded(void **state)
{
    (void)state;
    static json_log log;
    char doc[200] = "";
    for (size_t depth = 30; depth < 36; depth++) {
        for (size_t mixed = 0; mixed < 2; mixed++) {
            size_t n = 0;
            for (size_t i = 0; i < depth; i++) {
                bool object = mixed && i % 3 == 0;
                const char *s = object ? "{\"\":" : "[";
                memcpy(doc + n, s, strlen(s));
                n += strlen(s);
            }
            doc[n++] = '1';
            for (size_t i = depth; i-- > 0;)
                doc[n++] = mixed && i % 3 == 0 ? '}' : ']';
            rmr_err err = run_all(&plain, rmr_bytes_of(doc, n), &log);
            assert_int_equal(err, depth <= RMR_JSON_MAX_DEPTH ? RMR_OK
                                                              : RMR_E_TOOBIG);
        }
    }
}

static void a_scalar_may_fill_the_scratch_and_no_more(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[] = {"\"12345\"",
                                       "[12345]",
                                       "12345",
                                       "{\"12345\":1}",
                                       "-1e05",
                                       "\"12\\u003345\"",
                                       "\"\\n\\n\\n\\n\\n\"",
                                       "\"\\u00e9\\u20ac\"",
                                       "\"\xc3\xa9\xe2\x82\xac\"",
                                       "\"1\\ud83d\\ude00\""};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cap = 0; cap < 8; cap++) {
            run how = plain;
            how.scratch = cap;
            if (run_all(&how, rmr_bytes_str(rows[i]), &log) !=
                (cap < 5 ? RMR_E_TOOBIG : RMR_OK))
                fail_msg("%s in %u", rows[i], (unsigned)cap);
        }
    }
    /* Too long and then broken: always too long. */
    run three = plain;
    three.scratch = 3;
    assert_int_equal(run_all(&three, rmr_bytes_str("[0.3e+]"), &log),
                     RMR_E_TOOBIG);
    assert_int_equal(run_all(&three, rmr_bytes_str("\"1234\x01\""), &log),
                     RMR_E_TOOBIG);
    run none = plain;
    none.scratch = 0;
    assert_int_equal(
        run_all(&none, rmr_bytes_str("[\"\",true,{\"\":null}]"), &log), RMR_OK);
}

/* ---- behaviour -------------------------------------------------------- */

static void the_callback_can_stop_at_any_token(void **state)
{
    (void)state;
    static json_log log, whole;
    const char *doc = "{\"a\":[1,true,null],\"b\":{\"c\":\"d\"}}";
    assert_int_equal(run_text(doc, &whole), RMR_OK);
    size_t n = whole.tokens;
    assert_int_equal(n, 13);
    for (size_t i = 1; i <= n; i++) {
        run how = plain;
        how.stop_at = i;
        assert_int_equal(run_all(&how, rmr_bytes_str(doc), &log), RMR_E_DENIED);
        assert_int_equal(log.tokens, i); /* and none after it */
        assert_memory_equal(log.text, whole.text, log.len);
    }
    run how = plain;
    how.stop_at = 1;
    assert_int_equal(run_all(&how, rmr_bytes_str("12"), &log), RMR_E_DENIED);
}

static void errors_stick_and_say_where_they_are(void **state)
{
    (void)state;
    static json_log log;
    static const struct {
        const char *doc;
        uint64_t offset;
    } rows[] = {{"[1,x]", 3},     {"{\"a\" 1}", 5}, {"\"a\x01\"", 2},
                {"\"\\q\"", 2},   {"1.x", 2},       {"trux", 3},
                {"\"\xc3(\"", 2}, {"[]x", 2},       {"\"\\u00g0\"", 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t scratch[16];
        for (size_t piece = 1; piece < 9; piece++) {
            rmr_json j;
            memset(&log, 0, sizeof log);
            rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch), json_log_fn,
                          &log);
            rmr_bytes doc = rmr_bytes_str(rows[i].doc);
            for (size_t at = 0; at < doc.len; at += piece) {
                size_t n = doc.len - at < piece ? doc.len - at : piece;
                (void)rmr_json_feed(&j, rmr_bytes_of(doc.ptr + at, n));
            }
            assert_int_equal(j.offset, rows[i].offset);
            assert_int_equal(rmr_json_feed(&j, rmr_bytes_str(" ")),
                             RMR_E_MALFORMED);
            assert_int_equal(rmr_json_end(&j), RMR_E_MALFORMED);
            assert_int_equal(j.offset, rows[i].offset);
        }
    }
}

static void nothing_is_taken_after_the_end(void **state)
{
    (void)state;
    static json_log log;
    uint8_t scratch[16];
    rmr_json j;
    memset(&log, 0, sizeof log);
    rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch), json_log_fn, &log);
    assert_int_equal(rmr_json_feed(&j, rmr_bytes_of(NULL, 0)), RMR_OK);
    assert_int_equal(rmr_json_feed(&j, rmr_bytes_str("12")), RMR_OK);
    assert_int_equal(log.tokens, 0); /* it may go on */
    assert_int_equal(rmr_json_end(&j), RMR_OK);
    assert_string_equal(log.text, "#12");
    assert_int_equal(rmr_json_end(&j), RMR_OK);
    assert_int_equal(log.tokens, 1);
    assert_int_equal(rmr_json_feed(&j, rmr_bytes_str(" ")), RMR_E_STATE);
    assert_int_equal(rmr_json_feed(&j, rmr_bytes_of(NULL, 0)), RMR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_public_parsing_cases_come_out_right),
        cmocka_unit_test(accepted_documents_give_their_tokens),
        cmocka_unit_test(broken_documents_are_refused),
        cmocka_unit_test(any_byte_anywhere_in_a_string_is_judged_alike),
        cmocka_unit_test(hujson_adds_comments_and_trailing_commas),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_scalar_may_fill_the_scratch_and_no_more),
        cmocka_unit_test(the_callback_can_stop_at_any_token),
        cmocka_unit_test(errors_stick_and_say_where_they_are),
        cmocka_unit_test(nothing_is_taken_after_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
