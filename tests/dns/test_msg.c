/* DNS messages: names, queries, answers, and what a hostile one may try. */
#include "dns_internal.h"

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static rmri_dns_name name_of(const char *text)
{
    rmri_dns_name n;
    assert_int_equal(
        rmri_dns_name_of(rmr_bytes_str(text), rmr_bytes_of(NULL, 0), &n),
        RMR_OK);
    return n;
}

static void host_names_have_their_wire_form(void **state)
{
    (void)state;
    rmri_dns_name n = name_of("Relay.Example");
    static const char want[] = "\5relay\7example";
    assert_int_equal(n.len, sizeof want);
    assert_memory_equal(n.wire, want, sizeof want);
    rmri_dns_name dotted = name_of("relay.example.");
    assert_true(rmri_dns_name_eq(&n, &dotted));
    rmri_dns_name joined;
    assert_int_equal(rmri_dns_name_of(rmr_bytes_str("relay"),
                                      rmr_bytes_str("Example."), &joined),
                     RMR_OK);
    assert_true(rmri_dns_name_eq(&n, &joined));
    assert_false(rmri_dns_name_is_single(&n));
    dotted = name_of("relay");
    assert_true(rmri_dns_name_is_single(&dotted));
    assert_true(rmri_dns_name_ends(&n, "example"));
    assert_false(rmri_dns_name_ends(&n, "relay"));
    assert_false(rmri_dns_name_ends(&n, "xample"));
}

static void what_is_no_host_name_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        "a b",
        "a/b",
        "1.2.3",
        "127.1",
        "a.123",
        "1",
        "0",
        "a\xc3\xa9",
        "a\n",
        "a.0123456789012345678901234567890123456789012345678901234567890123"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rmri_dns_name n = {.len = 99};
        assert_int_equal(
            rmri_dns_name_of(rmr_bytes_str(bad[i]), rmr_bytes_of(NULL, 0), &n),
            RMR_E_INVAL);
        assert_int_equal(n.len, 99);
    }
}

static void a_name_holds_253_bytes_and_no_more(void **state)
{
    (void)state;
    char text[300];
    rmri_dns_name n;
    for (size_t len = 240; len < 270; len++) {
        for (size_t i = 0; i < len; i++)
            text[i] = i % 50 == 49 ? '.' : 'a';
        rmr_err e = rmri_dns_name_of(rmr_bytes_of(text, len),
                                     rmr_bytes_of(NULL, 0), &n);
        bool dot_at_end = len % 50 == 0;
        size_t without = dot_at_end ? len - 1 : len;
        assert_int_equal(e, without <= 253 ? RMR_OK : RMR_E_INVAL);
        if (e == RMR_OK)
            assert_int_equal(n.len, without + 2);
    }
}

static void a_query_has_the_form_of_the_rfc(void **state)
{
    (void)state;
    uint8_t want[64], got[RMR_DNS_MAX_QUERY];
    size_t len;
    rmri_dns_name n = name_of("a.example");
    size_t want_len = test_unhex(want, sizeof want,
                                 "1234"
                                 "0100"
                                 "0001"
                                 "0000"
                                 "0000"
                                 "0001"
                                 "0161"
                                 "076578616d706c65"
                                 "00"
                                 "001c"
                                 "0001"
                                 "00"
                                 "0029"
                                 "04d0"
                                 "00000000"
                                 "0000");
    assert_int_equal(rmri_dns_build(rmr_buf_of(got, sizeof got), &len, 0x1234,
                                    &n, RMRI_DNS_AAAA, true),
                     RMR_OK);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
    assert_int_equal(rmri_dns_build(rmr_buf_of(got, sizeof got), &len, 1, &n,
                                    RMRI_DNS_A, false),
                     RMR_OK);
    assert_int_equal(len, want_len - 11);
    assert_int_equal(got[11], 0);
    assert_int_equal(
        rmri_dns_build(rmr_buf_of(got, 20), &len, 1, &n, RMRI_DNS_A, false),
        RMR_E_BUFSIZE);
}

/* header, then a question for a.example, type A unless said */
#define HEAD(flags, answers)                                                   \
    "0001" flags "0001" answers "0000"                                         \
    "0000"
#define QUESTION                                                               \
    "0161"                                                                     \
    "076578616d706c65"                                                         \
    "00"                                                                       \
    "0001"                                                                     \
    "0001"
#define QNAME "c00c"
#define REC(owner, type, len, data)                                            \
    owner type "0001"                                                          \
               "0000003c" len data
#define REC_A(owner, ip) REC(owner, "0001", "0004", ip)

typedef struct answer_case {
    const char *name, *hex;
    rmr_err err;
    size_t n;
    uint8_t first; /* byte of the first address */
} answer_case;

static const answer_case answers[] = {
    {"one address", HEAD("8180", "0001") QUESTION REC_A(QNAME, "c0000201"),
     RMR_OK, 1, 0xc0},
    {"none", HEAD("8180", "0000") QUESTION, RMR_OK, 0, 0},
    {"two, and one of another name",
     HEAD("8180", "0003") QUESTION REC_A(QNAME, "01000001")
         REC_A("016200", "02000001") REC_A(QNAME, "03000001"),
     RMR_OK, 2, 1},
    {"the owner's case does not matter",
     HEAD("8180", "0001") QUESTION REC_A("0141074558414d504c4500", "05000001"),
     RMR_OK, 1, 5},
    {"an alias, then its address",
     HEAD("8180", "0002") QUESTION REC(QNAME, "0005", "0004", "0162c00e")
         REC_A("0162c00e", "07000001"),
     RMR_OK, 1, 7},
    {"an alias behind its address",
     HEAD("8180", "0002") QUESTION REC_A("0162c00e", "07000001")
         REC(QNAME, "0005", "0004", "0162c00e"),
     RMR_OK, 1, 7},
    {"a chain of aliases in reverse",
     HEAD("8180", "0003") QUESTION REC_A("016300", "08000001")
         REC("016200", "0005", "0003", "016300")
             REC(QNAME, "0005", "0003", "016200"),
     RMR_OK, 1, 8},
    {"an alias to nowhere",
     HEAD("8180", "0001") QUESTION REC(QNAME, "0005", "0003", "016200"), RMR_OK,
     0, 0},
    {"an alias to itself",
     HEAD("8180", "0001") QUESTION REC(QNAME, "0005", "0002", "c00c"),
     RMR_E_MALFORMED, 0, 0},
    {"two aliases in a ring",
     HEAD("8180", "0002") QUESTION REC(QNAME, "0005", "0003", "016200")
         REC("016200", "0005", "0002", "c00c"),
     RMR_E_MALFORMED, 0, 0},
    {"another class is passed over",
     HEAD("8180", "0001") QUESTION QNAME "0001"
                                         "0003"
                                         "0000003c"
                                         "0004"
                                         "c0000201",
     RMR_OK, 0, 0},
    {"an unknown type is passed over",
     HEAD("8180", "0002") QUESTION REC(QNAME, "ff01", "0003", "aabbcc")
         REC_A(QNAME, "09000001"),
     RMR_OK, 1, 9},
    {"an address of a wrong length",
     HEAD("8180", "0001") QUESTION REC(QNAME, "0001", "0003", "c00002"),
     RMR_E_MALFORMED, 0, 0},
    {"fewer records than counted",
     HEAD("8180", "0002") QUESTION REC_A(QNAME, "c0000201"), RMR_E_MALFORMED, 0,
     0},
    {"cut off, with what came whole",
     HEAD("8380", "0002") QUESTION REC_A(QNAME, "0a000001") "c00c0001", RMR_OK,
     1, 10},
    {"a record longer than the message",
     HEAD("8180", "0001") QUESTION QNAME "0001"
                                         "0001"
                                         "0000003c"
                                         "ffff"
                                         "01",
     RMR_E_MALFORMED, 0, 0},
    {"an alias whose name ends early in its data",
     HEAD("8180", "0001") QUESTION REC(QNAME, "0005", "0004", "016200aa"),
     RMR_E_MALFORMED, 0, 0},
    {"an owner that points forward",
     HEAD("8180", "0001") QUESTION REC_A("c0ff", "c0000201"), RMR_E_MALFORMED,
     0, 0},
    {"an owner that points at itself",
     HEAD("8180", "0001") QUESTION REC_A("c01b", "c0000201"), RMR_E_MALFORMED,
     0, 0},
};

static size_t load(const char *hex, uint8_t **out)
{
    uint8_t buf[1024];
    size_t n = test_unhex(buf, sizeof buf, hex);
    *out = malloc(n ? n : 1); /* exact: a sanitizer sees a read too far */
    assert_non_null(*out);
    memcpy(*out, buf, n);
    return n;
}

static void answers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const answer_case *c = &answers[i];
        uint8_t *msg;
        size_t len = load(c->hex, &msg), n;
        rmri_dns_head h;
        rmri_dns_ip ips[4];
        assert_int_equal(rmri_dns_parse_head(rmr_bytes_of(msg, len), &h),
                         RMR_OK);
        assert_true(h.has_question);
        assert_int_equal(h.type, RMRI_DNS_A);
        assert_int_equal(rmri_dns_parse_ips(&h, ips, 4, &n), c->err);
        if (c->err == RMR_OK) {
            assert_int_equal(n, c->n);
            if (n)
                assert_int_equal(ips[0][0], c->first);
        }
        free(msg);
    }
}

static void every_prefix_of_every_answer_is_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint8_t buf[1024];
        size_t len = test_unhex(buf, sizeof buf, answers[i].hex);
        for (size_t k = 0; k < len; k++) {
            uint8_t *msg = malloc(k ? k : 1);
            assert_non_null(msg);
            memcpy(msg, buf, k);
            rmri_dns_head h;
            rmri_dns_ip ips[4];
            size_t n;
            if (rmri_dns_parse_head(rmr_bytes_of(msg, k), &h) == RMR_OK)
                (void)rmri_dns_parse_ips(&h, ips, 4, &n);
            free(msg);
        }
    }
}

static void heads_that_are_no_answers_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0001",
        "00018180000100000000",
        HEAD("0180", "0000") QUESTION, /* a query          */
        HEAD("8980", "0000") QUESTION, /* another opcode   */
        "0001"
        "8180"
        "0002"
        "0000"
        "0000"
        "0000" QUESTION QUESTION,
        HEAD("8180", "0000") "0161", /* half a question  */
        HEAD("8180", "0000") "0161"
                             "00"
                             "000100", /* no class         */
        HEAD("8180", "0000") "0161"
                             "00"
                             "00010003" /* another class    */,
        HEAD("8180", "0000") "41"
                             "00", /* reserved label   */
        HEAD("8180", "0000") "80"
                             "00"
                             "00010001"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *msg;
        size_t len = load(bad[i], &msg);
        rmri_dns_head h;
        assert_int_equal(rmri_dns_parse_head(rmr_bytes_of(msg, len), &h),
                         RMR_E_MALFORMED);
        free(msg);
    }
}

static void an_answer_without_a_question_is_told(void **state)
{
    (void)state;
    uint8_t *msg;
    size_t len = load("0001"
                      "8181"
                      "0000"
                      "0000"
                      "0000"
                      "0000",
                      &msg);
    rmri_dns_head h;
    assert_int_equal(rmri_dns_parse_head(rmr_bytes_of(msg, len), &h), RMR_OK);
    assert_false(h.has_question);
    assert_int_equal(h.rcode, RMRI_DNS_FORMERR);
    free(msg);
}

static void names_of_255_bytes_are_read_and_longer_ones_are_not(void **state)
{
    (void)state;
    uint8_t msg[300];
    rmri_dns_name n;
    for (size_t extra = 0; extra < 2; extra++) {
        size_t at = 0, pos = 0;
        for (int i = 0; i < 3; i++) {
            msg[at++] = 63;
            memset(msg + at, 'a', 63);
            at += 63;
        }
        msg[at++] = (uint8_t)(61 + extra);
        memset(msg + at, 'b', 61 + extra);
        at += 61 + extra;
        msg[at++] = 0;
        assert_int_equal(rmri_dns_read_name(rmr_bytes_of(msg, at), &pos, &n),
                         extra == 0);
        if (extra == 0) {
            assert_int_equal(n.len, 255);
            assert_int_equal(pos, at);
        }
    }
}

static void pointers_only_lead_back(void **state)
{
    (void)state;
    rmri_dns_name n;
    size_t at;
    static const uint8_t chain[] = {1, 'x', 0, 0xc0, 0, 0xc0, 3, 0xc0, 5};
    at = 7;
    assert_true(rmri_dns_read_name(rmr_bytes_of(chain, 9), &at, &n));
    assert_int_equal(at, 9);
    assert_int_equal(n.len, 3);
    static const uint8_t loop[] = {0xc0, 2, 0xc0, 0};
    at = 0;
    assert_false(rmri_dns_read_name(rmr_bytes_of(loop, 4), &at, &n));
    at = 2;
    assert_false(rmri_dns_read_name(rmr_bytes_of(loop, 4), &at, &n));
    /* "a" and then a pointer to the same "a": a name without end. */
    static const uint8_t endless[] = {1, 'a', 0xc0, 0};
    at = 0;
    assert_false(rmri_dns_read_name(rmr_bytes_of(endless, 4), &at, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_names_have_their_wire_form),
        cmocka_unit_test(what_is_no_host_name_is_refused),
        cmocka_unit_test(a_name_holds_253_bytes_and_no_more),
        cmocka_unit_test(a_query_has_the_form_of_the_rfc),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(every_prefix_of_every_answer_is_safe),
        cmocka_unit_test(heads_that_are_no_answers_are_refused),
        cmocka_unit_test(an_answer_without_a_question_is_told),
        cmocka_unit_test(names_of_255_bytes_are_read_and_longer_ones_are_not),
        cmocka_unit_test(pointers_only_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
