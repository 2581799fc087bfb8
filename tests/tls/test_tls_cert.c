/* The certificate reader and the names, from inside; and trust anchors. */
#include "tls_cert.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "tls_peer.h"

static der_file load(const char *name)
{
    static der_file all[PEER_CERTS];
    assert_true(peer_load_pem(name, all, PEER_CERTS) >= 1);
    return all[0];
}

static rmri_tls_cert read_ok(const der_file *f)
{
    rmri_tls_cert c;
    assert_int_equal(rmri_tls_cert_read(rmr_bytes_of(f->bytes, f->len), &c),
                     RMR_OK);
    return c;
}

static void names_and_dates_are_read(void **s)
{
    (void)s;
    der_file f = load("leaf-rsa.pem");
    rmri_tls_cert c = read_ok(&f);
    assert_true(rmr_bytes_eq_str(c.cn, "host.test"));
    assert_int_equal(c.not_before, 1577836800);      /* 2020-01-01, UTC  */
    assert_true(c.not_after == INT64_C(4102444800)); /* 2100-01-01, long */
    assert_false(rmri_tls_cert_is_derp_meta(&c));
    assert_false(rmri_tls_cert_is_valid_at(&c, 0));
    assert_false(rmri_tls_cert_is_valid_at(&c, UINT64_C(1577836799999999999)));
    assert_true(rmri_tls_cert_is_valid_at(&c, UINT64_C(1577836800) * RMR_SEC));
    assert_true(rmri_tls_cert_is_valid_at(&c, UINT64_C(4102444800) * RMR_SEC));
    assert_false(rmri_tls_cert_is_valid_at(&c, UINT64_C(4102444801) * RMR_SEC));
    assert_false(rmri_tls_cert_is_valid_at(&c, UINT64_MAX));
}

static void the_meta_certificate_is_known_by_its_long_name(void **s)
{
    (void)s;
    der_file f = load("meta.pem");
    rmri_tls_cert c = read_ok(&f);
    assert_int_equal(c.cn.len, 71);
    assert_memory_equal(c.cn.ptr, "derpkey0123456789abcdef", 23);
    assert_true(rmri_tls_cert_is_derp_meta(&c));
    c.cn = rmr_bytes_str("derpke");
    assert_false(rmri_tls_cert_is_derp_meta(&c));
    c.cn = rmr_bytes_str("Derpkey");
    assert_false(rmri_tls_cert_is_derp_meta(&c));
}

static void a_cut_certificate_is_malformed_at_each_length(void **s)
{
    (void)s;
    static const char *const files[] = {"leaf-rsa.pem", "leaf-ip.pem",
                                        "meta.pem", "self-ca.pem"};
    for (size_t i = 0; i < 4; i++) {
        der_file f = load(files[i]);
        for (size_t n = 0; n < f.len; n++) {
            uint8_t *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, f.bytes, n);
            rmri_tls_cert c;
            assert_int_equal(rmri_tls_cert_read(rmr_bytes_of(exact, n), &c),
                             RMR_E_MALFORMED);
            assert_int_equal(c.cn.len, 0);
            free(exact);
        }
        rmri_tls_cert c;
        f.bytes[f.len] = 0;
        assert_int_equal(
            rmri_tls_cert_read(rmr_bytes_of(f.bytes, f.len + 1), &c),
            RMR_E_MALFORMED);
    }
}

/* ---- certificates made by hand ----------------------------------------- */

struct der {
    uint8_t b[1024];
    size_t len;
};

static void put(struct der *d, const void *p, size_t n)
{
    assert_true(n <= sizeof d->b - d->len);
    memcpy(d->b + d->len, p, n);
    d->len += n;
}

static void put_hex(struct der *d, const char *hex)
{
    uint8_t tmp[512];
    put(d, tmp, test_unhex(tmp, sizeof tmp, hex));
}

static void wrap(struct der *d, uint8_t tag)
{
    struct der out = {.len = 0};
    put(&out, &tag, 1);
    uint8_t head[3] = {(uint8_t)d->len};
    size_t n = 1;
    if (d->len >= 256) {
        head[0] = 0x82;
        head[1] = (uint8_t)(d->len >> 8);
        head[2] = (uint8_t)d->len;
        n = 3;
    } else if (d->len >= 128) {
        head[0] = 0x81;
        head[1] = (uint8_t)d->len;
        n = 2;
    }
    put(&out, head, n);
    put(&out, d->b, d->len);
    *d = out;
}

/* A certificate with these parts in hex; the others are the least there is. */
static rmr_err read_made(const char *validity, const char *subject,
                         const char *extensions, rmri_tls_cert *c)
{
    static struct der d;
    d.len = 0;
    put_hex(&d,
            "020101" /* serial */ "3000" /* algorithm */ "3000" /* issuer */);
    put_hex(&d, validity);
    put_hex(&d, subject);
    put_hex(&d, "3000" /* key */);
    put_hex(&d, extensions);
    wrap(&d, 0x30);
    put_hex(&d, "3000"
                "030100");
    wrap(&d, 0x30);
    return rmri_tls_cert_read(rmr_bytes_of(d.b, d.len), c);
}

/* 200101000000Z, 20500101000000Z */
#define DATES                                                                  \
    "3020170d3230303130313030303030305a180f32303530303130313030303030305a"

static rmr_err read_dates(const char *first)
{
    char hex[256];
    size_t n = strlen(first);
    (void)snprintf(hex, sizeof hex, "30%02zx%02x%02zx", n + 2 + 17,
                   n > 13 ? 0x18 : 0x17, n);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(hex + strlen(hex), 3, "%02x", (unsigned)first[i]);
    strcat(hex, "180f32303530303130313030303030305a");
    rmri_tls_cert c;
    return read_made(hex, "3000", "", &c);
}

static void only_the_two_forms_of_time_are_taken(void **s)
{
    (void)s;
    rmri_tls_cert c;
    assert_int_equal(read_made(DATES, "3000", "", &c), RMR_OK);
    assert_int_equal(c.not_before, 1577836800);
    assert_true(c.not_after == INT64_C(2524608000));
    assert_int_equal(read_dates("200229235959Z"), RMR_OK); /* a leap day */
    assert_int_equal(read_dates("20000229235959Z"), RMR_OK);
    static const char *const bad[] = {
        "2001010000Z",
        "200101000000",
        "200101000000+0100",
        "200101000000.5Z",
        "201301000000Z",
        "200001000000Z",
        "200100000000Z",
        "200132000000Z",
        "190229000000Z",
        "21000229000000Z",
        "200101240000Z",
        "200101006000Z",
        "200101000060Z",
        "2001010000x0Z",
        "20010100000 Z",
        "20200101000000.0Z",
        "",
        "200101000000z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_dates(bad[i]) != RMR_E_MALFORMED)
            fail_msg("%s", bad[i]);
    }
}

static void years_are_counted_right(void **s)
{
    (void)s;
    rmri_tls_cert c;
    /* 500101000000Z is 1950, 99991231235959Z the last of all. */
    assert_int_equal(read_made("3020170d3530303130313030303030305a"
                               "180f39393939313233313233353935395a",
                               "3000", "", &c),
                     RMR_OK);
    assert_true(c.not_before == INT64_C(-631152000));
    assert_true(c.not_after == INT64_C(253402300799));
}

static void der_must_be_of_the_shortest_form(void **s)
{
    (void)s;
    static const char *const bad[] = {
        "308100",     "30820000",   "3080",   "30810100",
        "3083000100", "3084000001", "1f8101", "30",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmri_tls_cert c;
        if (read_made(DATES, bad[i], "", &c) != RMR_E_MALFORMED)
            fail_msg("%s", bad[i]);
    }
}

static void the_last_common_name_counts(void **s)
{
    (void)s;
    rmri_tls_cert c;
    assert_int_equal(read_made(DATES,
                               "3018"
                               "310a300806035504030c0161"
                               "310a300806035504030c0162",
                               "", &c),
                     RMR_OK);
    assert_true(rmr_bytes_eq_str(c.cn, "b"));
    /* another attribute; an attribute with more in it */
    assert_int_equal(read_made(DATES, "300c310a3008060355040a0c0161", "", &c),
                     RMR_OK);
    assert_int_equal(c.cn.len, 0);
    assert_int_equal(
        read_made(DATES, "300e310c300a06035504030c01610500", "", &c),
        RMR_E_MALFORMED);
}

static void alternative_names_come_once_and_whole(void **s)
{
    (void)s;
    rmri_tls_cert c;
    rmri_tls_name n;
    assert_int_equal(rmri_tls_name_parse("a.b", &n), RMR_OK);
    /* [3] { SEQUENCE { SEQUENCE { san, OCTETS { SEQUENCE { dns "a.b" }}}}} */
    const char *good = "a312"
                       "3010"
                       "300e"
                       "0603551d11"
                       "0407"
                       "3005"
                       "8203612e62";
    assert_int_equal(read_made(DATES, "3000", good, &c), RMR_OK);
    assert_true(rmri_tls_cert_has_name(&c, &n));
    const char *twice = "a322"
                        "3020"
                        "300e0603551d11040730058203612e62"
                        "300e0603551d11040730058203612e62";
    assert_int_equal(read_made(DATES, "3000", twice, &c), RMR_E_MALFORMED);
    const char *empty = "a30d"
                        "300b"
                        "3009"
                        "0603551d11"
                        "0402"
                        "3000";
    assert_int_equal(read_made(DATES, "3000", empty, &c), RMR_E_MALFORMED);
    const char *behind = "a314"
                         "3012"
                         "3010"
                         "0603551d11"
                         "0409"
                         "3005"
                         "8203612e62"
                         "0500";
    assert_int_equal(read_made(DATES, "3000", behind, &c), RMR_E_MALFORMED);
    const char *cut = "a312"
                      "3010"
                      "300e"
                      "0603551d11"
                      "0407"
                      "3005"
                      "8204612e62";
    assert_int_equal(read_made(DATES, "3000", cut, &c), RMR_E_MALFORMED);
    const char *critical = "a315"
                           "3013"
                           "3011"
                           "0603551d11"
                           "0101ff"
                           "0407"
                           "3005"
                           "8203612e62";
    assert_int_equal(read_made(DATES, "3000", critical, &c), RMR_OK);
    assert_true(rmri_tls_cert_has_name(&c, &n));
    /* a name of another kind (rfc822Name) does not count */
    const char *mail = "a312"
                       "3010"
                       "300e"
                       "0603551d11"
                       "0407"
                       "3005"
                       "8103612e62";
    assert_int_equal(read_made(DATES, "3000", mail, &c), RMR_OK);
    assert_false(rmri_tls_cert_has_name(&c, &n));
}

/* ---- names ------------------------------------------------------------- */

static void dns_names_match_as_rfc_6125_says(void **s)
{
    (void)s;
    static const struct {
        const char *pattern, *name;
        bool match;
    } t[] = {
        {"a.b", "a.b", true},     {"A.B", "a.b", true},
        {"a.b.", "a.b", true},    {"a.b", "a.bc", false},
        {"a.bc", "a.b", false},   {"", "a", false},
        {".", "a", false},        {"*.b", "a.b", true},
        {"*.B.c", "a.b.c", true}, {"*.b", "b", false},
        {"*.b", "x.a.b", false},  {"*.b", "a.c", false},
        {"*", "a", false},        {"*.", "a", false},
        {"*.", "a.", false},      {"*a.b", "aa.b", false},
        {"a*.b", "aa.b", false},  {"a.*", "a.b", false},
        {"*.*", "a.b", false},    {"*.a.b", "*.a.b", true},
        {"*..b", "a.b", false},   {"a.b..", "a.b", false},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        if (rmri_tls_dns_match(rmr_bytes_str(t[i].pattern), t[i].name) !=
            t[i].match)
            fail_msg("%s, %s", t[i].pattern, t[i].name);
    }
    /* CVE-2009-2408: a NUL does not end a name */
    static const char nul[] = "a.b\0.evil";
    assert_false(rmri_tls_dns_match(rmr_bytes_of(nul, sizeof nul - 1), "a.b"));
}

static void addresses_match_by_their_bytes_alone(void **s)
{
    (void)s;
    der_file f = load("leaf-ip.pem");
    rmri_tls_cert c = read_ok(&f);
    static const struct {
        const char *name;
        bool match;
    } t[] = {{"192.0.2.1", true},   {"192.0.2.2", false},
             {"2001:db8::1", true}, {"2001:db8::2", false},
             {"address", false},    {"192.0.2", false}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        rmri_tls_name n;
        assert_int_equal(rmri_tls_name_parse(t[i].name, &n), RMR_OK);
        assert_int_equal(rmri_tls_cert_has_name(&c, &n), t[i].match);
    }
    /* an iPAddress of 5 bytes is none, and one of 4 is no IPv6 */
    rmri_tls_name n;
    assert_int_equal(rmri_tls_name_parse("192.0.2.1", &n), RMR_OK);
    static const uint8_t five[] = {0x87, 5, 192, 0, 2, 1, 0};
    c.san = rmr_bytes_of(five, sizeof five);
    assert_false(rmri_tls_cert_has_name(&c, &n));
    /* nor is an address as text */
    static const uint8_t text[] = "\x82\x09"
                                  "192.0.2.1";
    c.san = rmr_bytes_of(text, sizeof text - 1);
    assert_false(rmri_tls_cert_has_name(&c, &n));
}

/* ---- anchors ----------------------------------------------------------- */

static size_t join(char *dst, size_t cap, const char *const *files, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += peer_load_text(files[i], dst + len, cap - len);
    return len;
}

static void a_bundle_gives_its_anchors_and_counts_the_rest(void **s)
{
    (void)s;
    static const char *const files[] = {"ca-rsa.pem", "meta.pem", "ec.key",
                                        "ca-ec.pem", "leaf-ec.pem"};
    static char text[16384];
    size_t len = join(text, sizeof text, files, 5), added, skipped;
    test_alloc m = {0};
    rmr_env env = test_env(&m, NULL, NULL);
    rmr_tls_anchors *a;
    assert_int_equal(rmr_tls_anchors_new(&a, &env), RMR_OK);
    assert_int_equal(rmr_tls_anchors_count(a), 0);
    /* Also without the last newline. */
    assert_int_equal(rmr_tls_anchors_add_pem(a, rmr_bytes_of(text, len - 1),
                                             &added, &skipped),
                     RMR_OK);
    assert_int_equal(added, 4);
    assert_int_equal(skipped, 1); /* Ed25519 */
    assert_int_equal(rmr_tls_anchors_count(a), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            rmr_tls_anchors_add_pem(a, rmr_bytes_of(text, len), NULL, NULL),
            RMR_OK);
    assert_int_equal(rmr_tls_anchors_count(a), 20);
    rmr_tls_anchors_free(a);
    rmr_tls_anchors_free(NULL);
    assert_int_equal(m.live_blocks, 0);
}

static void text_without_a_certificate_is_malformed(void **s)
{
    (void)s;
    static char key[4096];
    size_t len = peer_load_text("ec.key", key, sizeof key);
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_tls_anchors *a;
    assert_int_equal(rmr_tls_anchors_new(&a, &env), RMR_OK);
    size_t added = 9, skipped = 9;
    assert_int_equal(
        rmr_tls_anchors_add_pem(a, rmr_bytes_str(""), &added, &skipped),
        RMR_E_MALFORMED);
    assert_int_equal(added, 0);
    assert_int_equal(skipped, 0);
    assert_int_equal(
        rmr_tls_anchors_add_pem(a, rmr_bytes_str("hello\n"), NULL, NULL),
        RMR_E_MALFORMED);
    assert_int_equal(
        rmr_tls_anchors_add_pem(a, rmr_bytes_of(key, len), NULL, NULL),
        RMR_E_MALFORMED);
    assert_int_equal(rmr_tls_anchors_count(a), 0);
    rmr_tls_anchors_free(a);
}

static void a_broken_certificate_does_not_hide_the_next(void **s)
{
    (void)s;
    static char text[8192];
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nMII?\n"
                                 "-----END CERTIFICATE-----\n"
                                 "-----BEGIN CERTIFICATE-----\nTUlJQg==\n"
                                 "-----END CERTIFICATE-----\n";
    strcpy(text, broken);
    size_t n = sizeof broken - 1, added, skipped;
    n += peer_load_text("ca-ec.pem", text + n, sizeof text - n);
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_tls_anchors *a;
    assert_int_equal(rmr_tls_anchors_new(&a, &env), RMR_OK);
    assert_int_equal(
        rmr_tls_anchors_add_pem(a, rmr_bytes_of(text, n), &added, &skipped),
        RMR_OK);
    assert_int_equal(added, 1);
    assert_int_equal(skipped, 2);
    rmr_tls_anchors_free(a);
}

static void a_certificate_of_any_size_is_read_or_skipped(void **s)
{
    (void)s;
    static char text[64 * 1024];
    strcpy(text, "-----BEGIN CERTIFICATE-----\n");
    for (int i = 0; i < 700; i++)
        strcat(text, "TUlJQk1JSUJNSUlCTUlJQk1JSUJNSUlC\n");
    strcat(text, "-----END CERTIFICATE-----\n");
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_tls_anchors *a;
    assert_int_equal(rmr_tls_anchors_new(&a, &env), RMR_OK);
    size_t skipped;
    (void)rmr_tls_anchors_add_pem(a, rmr_bytes_str(text), NULL, &skipped);
    assert_int_equal(skipped, 1);
    rmr_tls_anchors_free(a);
}

static void adding_anchors_is_all_or_nothing(void **s)
{
    (void)s;
    static const char *const files[] = {
        "ca-rsa.pem",  "ca-ec.pem",    "leaf-not-ca.pem", "self.pem",
        "self-ca.pem", "self-rsa.pem", "leaf-ec.pem"};
    static char text[16384];
    size_t len = join(text, sizeof text, files, 7);
    for (size_t n = 1;; n++) {
        test_alloc m = {.fail_at = n};
        rmr_env env = test_env(&m, NULL, NULL);
        rmr_tls_anchors *a;
        rmr_err e = rmr_tls_anchors_new(&a, &env);
        if (e == RMR_OK)
            e = rmr_tls_anchors_add_pem(a, rmr_bytes_of(text, len), NULL, NULL);
        if (a)
            assert_int_equal(rmr_tls_anchors_count(a), e == RMR_OK ? 10 : 0);
        if (e == RMR_OK) {
            rmr_tls_anchors_free(a);
            assert_int_equal(m.live_blocks, 0);
            assert_true(n > 12);
            return;
        }
        assert_int_equal(e, RMR_E_NOMEM);
        rmr_tls_anchors_free(a);
        assert_int_equal(m.live_blocks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_dates_are_read),
        cmocka_unit_test(the_meta_certificate_is_known_by_its_long_name),
        cmocka_unit_test(a_cut_certificate_is_malformed_at_each_length),
        cmocka_unit_test(only_the_two_forms_of_time_are_taken),
        cmocka_unit_test(years_are_counted_right),
        cmocka_unit_test(der_must_be_of_the_shortest_form),
        cmocka_unit_test(the_last_common_name_counts),
        cmocka_unit_test(alternative_names_come_once_and_whole),
        cmocka_unit_test(dns_names_match_as_rfc_6125_says),
        cmocka_unit_test(addresses_match_by_their_bytes_alone),
        cmocka_unit_test(a_bundle_gives_its_anchors_and_counts_the_rest),
        cmocka_unit_test(text_without_a_certificate_is_malformed),
        cmocka_unit_test(a_broken_certificate_does_not_hide_the_next),
        cmocka_unit_test(a_certificate_of_any_size_is_read_or_skipped),
        cmocka_unit_test(adding_anchors_is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
