/* Addresses and prefixes, and their text. */
#include <remora/addr.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    if (rmr_addr_parse_ip(rmr_bytes_str(text), &a))
        fail_msg("%s", text);
    return a;
}

static void addresses_are_written_in_their_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: the same */
    } rows[] = {
        {"0.0.0.0", NULL},
        {"255.255.255.255", NULL},
        {"100.64.0.1", NULL},
        {"::", NULL},
        {"::1", NULL},
        {"1::", NULL},
        {"fd7a:115c:a1e0::1", NULL},
        {"1:2:3:4:5:6:7:8", NULL},
        /* RFC 5952 4.1: no leading zeros */
        {"2001:0db8::0001", "2001:db8::1"},
        /* 4.2.1: as short as possible */
        {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
        {"2001:db8::0:1", "2001:db8::1"},
        /* 4.2.2: not for one group */
        {"2001:db8:0:1:1:1:1:1", NULL},
        {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        /* 4.2.3: the longest run, the first of equals */
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"1:0:0:2:3:0:0:0", "1:0:0:2:3::"},
        {"0:0:1:0:0:0:0:0", "0:0:1::"},
        {"0:0:0:0:0:0:0:0", "::"},
        /* 4.3: lower case */
        {"2001:DB8::ABCD:EF", "2001:db8::abcd:ef"},
        /* zones */
        {"fe80::1%2", NULL},
        {"fe80::1%4294967295", NULL},
        /* RFC 4291 2.2.3, and mapped addresses become IPv4 */
        {"::ffff:192.0.2.33", "192.0.2.33"},
        {"::ffff:c000:221", "192.0.2.33"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"::1.2.3.4", "::102:304"},
        {"1::1.2.3.4", "1::102:304"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[RMR_ADDR_TEXT_MAX];
        rmr_addr a = ip(rows[i].in);
        assert_string_equal(rmr_addr_ip_text(&a, text),
                            rows[i].out ? rows[i].out : rows[i].in);
        rmr_addr b = ip(text);
        assert_true(rmr_addr_eq(&a, &b));
        assert_memory_equal(a.ip, b.ip, sizeof a.ip);
    }
}

static void what_is_no_address_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        " ",
        "1",
        "1.2.3",
        "1.2.3.",
        ".1.2.3",
        "1..2.3",
        "1.2.3.4.5",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.00",
        "1.2.3.-4",
        "1.2.3.0x4",
        "1.2.3.4%1",
        "4294967296",
        ":",
        ":::",
        "1:",
        ":1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "1::2::3",
        "1:::2",
        "::1::",
        "12345::",
        "g::",
        "::1.2.3",
        "::1.2.3.4:5",
        "1.2.3.4::",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.256",
        "fe80::1%",
        "fe80::1%0",
        "fe80::1%01",
        "fe80::1%eth0",
        "fe80::1%4294967296",
        "fe80::1%1%1",
        "::ffff:1.2.3.4%1",
        "[::1]",
        "::1/128",
        "::1 ",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rmr_addr a, before;
        memset(&a, 0x77, sizeof a);
        memcpy(&before, &a, sizeof a);
        if (rmr_addr_parse_ip(rmr_bytes_str(rows[i]), &a) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", rows[i]);
        assert_memory_equal(&a, &before, sizeof a);
    }
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_of("1.2.3.4\0", 8), &a),
                     RMR_E_MALFORMED);
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_of(NULL, 0), &a),
                     RMR_E_MALFORMED);
}

static void addresses_with_ports_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const good[] = {"1.2.3.4:5", "0.0.0.0:0",
                                       "10.0.0.1:65535", "[::1]:5",
                                       "[fe80::1%3]:41641"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        rmr_addr a;
        char text[RMR_ADDR_TEXT_MAX];
        assert_int_equal(rmr_addr_parse(rmr_bytes_str(good[i]), &a), RMR_OK);
        assert_string_equal(rmr_addr_text(&a, text), good[i]);
    }
    static const char *const bad[] = {
        "",          "1.2.3.4",   "1.2.3.4:",   "1.2.3.4:65536", "1.2.3.4:-1",
        "1.2.3.4:x", ":5",        "::1:5",      "::1",           "[::1]",
        "[::1]5",    "[::1]:",    "[::1:5",     "[1.2.3.4]:5",   "[]:5",
        "[::1]:5 ",  "[[::1]]:5", "1.2.3.4:5:6"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmr_addr a;
        if (rmr_addr_parse(rmr_bytes_str(bad[i]), &a) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void the_longest_text_fits(void **state)
{
    (void)state;
    rmr_addr a;
    char text[RMR_ADDR_TEXT_MAX];
    memset(&a, 0xff, sizeof a);
    a.family = RMR_AF_INET6;
    assert_string_equal(
        rmr_addr_text(&a, text),
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
    memset(&a, 0, sizeof a);
    assert_string_equal(rmr_addr_text(&a, text), "none");
    assert_string_equal(rmr_addr_ip_text(&a, text), "none");
}

static void a_mapped_address_in_bytes_shows_its_ipv4_part(void **state)
{
    (void)state;
    rmr_addr a = ip("::1");
    char text[RMR_ADDR_TEXT_MAX];
    a.ip[10] = a.ip[11] = 0xff; /* no function here makes such a one */
    assert_string_equal(rmr_addr_ip_text(&a, text), "::ffff:0.0.0.1");
    rmr_addr b = rmr_addr_from_bytes(rmr_bytes_of(a.ip, 16), 9);
    assert_string_equal(rmr_addr_text(&b, text), "0.0.0.1:9");
}

static void random_addresses_survive_the_round_trip(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 77);
    for (int n = 0; n < 20000; n++) {
        uint8_t raw[16];
        for (size_t i = 0; i < 16; i += 2) {
            uint64_t v = test_rng_u64(&rng);
            raw[i] = (uint8_t)(v & 1 ? v >> 8 : 0); /* many zeros */
            raw[i + 1] = (uint8_t)(v & 2 ? v >> 16 : 0);
        }
        rmr_addr a =
            rmr_addr_from_bytes(rmr_bytes_of(raw, n % 4 ? 16 : 4),
                                (uint16_t)(test_rng_u64(&rng) & 0xffff));
        if (a.family == RMR_AF_INET6 && n % 3 == 0)
            a.zone = (uint32_t)test_rng_u64(&rng);
        char text[RMR_ADDR_TEXT_MAX];
        rmr_addr b;
        assert_int_equal(
            rmr_addr_parse(rmr_bytes_str(rmr_addr_text(&a, text)), &b), RMR_OK);
        assert_true(rmr_addr_eq(&a, &b));
    }
}

static void bytes_of_another_length_are_no_address(void **state)
{
    (void)state;
    static const uint8_t raw[20] = {1, 2, 3, 4};
    for (size_t n = 0; n <= 20; n++) {
        rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(raw, n), 80);
        assert_int_equal(rmr_addr_ip_len(&a), n == 4 || n == 16 ? n : 0);
        assert_int_equal(a.port, rmr_addr_ip_len(&a) ? 80 : 0);
    }
    rmr_addr a = rmr_addr_v4(1, 2, 3, 4, 80);
    rmr_addr b = rmr_addr_from_bytes(rmr_bytes_of(raw, 4), 80);
    assert_true(rmr_addr_eq(&a, &b));
}

static void equality_looks_at_every_part(void **state)
{
    (void)state;
    rmr_addr a = ip("fe80::1%2"), b = a;
    b.port = 1;
    assert_false(rmr_addr_eq(&a, &b));
    assert_true(rmr_addr_ip_eq(&a, &b));
    b = a;
    b.zone = 3;
    assert_false(rmr_addr_ip_eq(&a, &b));
    b = a;
    b.ip[15] = 2;
    assert_false(rmr_addr_ip_eq(&a, &b));
    b = a;
    b.family = RMR_AF_INET;
    assert_false(rmr_addr_ip_eq(&a, &b));
}

static void private_and_loopback_ranges_have_exact_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_private, is_loopback;
    } rows[] = {
        {"9.255.255.255", false, false},
        {"10.0.0.0", true, false},
        {"10.255.255.255", true, false},
        {"11.0.0.0", false, false},
        {"126.255.255.255", false, false},
        {"127.0.0.0", true, true},
        {"127.255.255.255", true, true},
        {"128.0.0.0", false, false},
        {"169.253.255.255", false, false},
        {"169.254.0.0", true, false},
        {"169.255.0.0", false, false},
        {"172.15.255.255", false, false},
        {"172.16.0.0", true, false},
        {"172.31.255.255", true, false},
        {"172.32.0.0", false, false},
        {"192.167.255.255", false, false},
        {"192.168.0.0", true, false},
        {"192.169.0.0", false, false},
        {"100.64.0.1", false, false},
        {"8.8.8.8", false, false},
        {"::", false, false},
        {"::1", true, true},
        {"::2", false, false},
        {"1::1", false, false},
        {"fbff::", false, false},
        {"fc00::", true, false},
        {"fdff::", true, false},
        {"fe00::", false, false},
        {"fe7f::", false, false},
        {"fe80::", true, false},
        {"febf::", true, false},
        {"fec0::", false, false},
        {"::ffff:127.0.0.1", true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rmr_addr a = ip(rows[i].text);
        assert_int_equal(rmr_addr_is_private(&a), rows[i].is_private);
        assert_int_equal(rmr_addr_is_loopback(&a), rows[i].is_loopback);
    }
    rmr_addr none;
    memset(&none, 0, sizeof none);
    none.ip[0] = 127;
    assert_false(rmr_addr_is_loopback(&none));
    assert_false(rmr_addr_is_private(&none));
}

static void prefixes_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"10.1.2.3/8", "10.1.2.3/8"}, /* host bits stay */
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"1.2.3.4/32", "1.2.3.4/32"},
        {"1.2.3.4", "1.2.3.4/32"},
        {"::/0", "::/0"},
        {"fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::/48"},
        {"::1/128", "::1/128"},
        {"::1", "::1/128"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:0:0/96", "0.0.0.0/0"},
        {"::ffff:0:0/95", "::ffff:0.0.0.0/95"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rmr_prefix p;
        char text[RMR_PREFIX_TEXT_MAX];
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(rows[i].in), &p),
                         RMR_OK);
        assert_string_equal(rmr_prefix_text(&p, text), rows[i].out);
        rmr_prefix q;
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(text), &q), RMR_OK);
        assert_true(rmr_prefix_eq(&p, &q));
    }
    static const char *const bad[] = {
        "",           "/",       "/8",           "10.0.0.0/",
        "1.2.3.4/33", "::/129",  "1.2.3.4/08",   "1.2.3.4/-1",
        "::/x",       "1.2.3/8", "fe80::1%1/64", "1.2.3.4/8/8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmr_prefix p;
        if (rmr_prefix_parse(rmr_bytes_str(bad[i]), &p) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void a_prefix_contains_by_its_bits_alone(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 3);
    for (int n = 0; n < 20000; n++) {
        size_t len = n % 2 ? 16 : 4;
        uint8_t raw[16], other[16];
        memset(raw, 0, sizeof raw);
        for (size_t i = 0; i < len; i++)
            raw[i] = (uint8_t)test_rng_u64(&rng);
        raw[0] |= 1; /* not a mapped address */
        memcpy(other, raw, sizeof raw);
        size_t flip = test_rng_u64(&rng) % (8 * len);
        other[flip / 8] ^= (uint8_t)(0x80u >> flip % 8);
        rmr_prefix p;
        memset(&p, 0, sizeof p);
        memcpy(p.ip, raw, len);
        p.family = len == 4 ? RMR_AF_INET : RMR_AF_INET6;
        p.bits = (uint8_t)(test_rng_u64(&rng) % (8 * len + 1));
        rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(raw, len), 0);
        rmr_addr b = rmr_addr_from_bytes(rmr_bytes_of(other, len), 0);
        assert_true(rmr_prefix_contains(&p, &a));
        assert_int_equal(rmr_prefix_contains(&p, &b), flip >= p.bits);
    }
}

static void prefixes_are_equal_in_every_part(void **state)
{
    (void)state;
    rmr_prefix a, b;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.0.0.0/8"), &a), RMR_OK);
    b = a;
    assert_true(rmr_prefix_eq(&a, &b));
    b.bits = 9;
    assert_false(rmr_prefix_eq(&a, &b));
    b = a;
    b.ip[3] = 1;
    assert_false(rmr_prefix_eq(&a, &b));
    b = a;
    b.family = RMR_AF_INET6;
    assert_false(rmr_prefix_eq(&a, &b));
}

static void prefixes_hold_only_their_own_family(void **state)
{
    (void)state;
    rmr_prefix p;
    rmr_addr v4 = ip("1.2.3.4"), v6 = ip("::1");
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("::/0"), &p), RMR_OK);
    assert_true(rmr_prefix_contains(&p, &v6));
    assert_false(rmr_prefix_contains(&p, &v4));
    p.bits = 129;
    assert_false(rmr_prefix_contains(&p, &v6));
    memset(&p, 0, sizeof p);
    memset(&v4, 0, sizeof v4);
    assert_false(rmr_prefix_contains(&p, &v4)); /* none holds none */
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.2.3/8"), &p), RMR_OK);
    rmr_addr a = rmr_prefix_addr(&p), want = ip("10.1.2.3");
    assert_true(rmr_addr_eq(&a, &want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_in_their_one_form),
        cmocka_unit_test(what_is_no_address_is_refused_and_changes_nothing),
        cmocka_unit_test(addresses_with_ports_come_back_as_they_were),
        cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(a_mapped_address_in_bytes_shows_its_ipv4_part),
        cmocka_unit_test(random_addresses_survive_the_round_trip),
        cmocka_unit_test(bytes_of_another_length_are_no_address),
        cmocka_unit_test(equality_looks_at_every_part),
        cmocka_unit_test(private_and_loopback_ranges_have_exact_ends),
        cmocka_unit_test(prefixes_are_read_and_written),
        cmocka_unit_test(a_prefix_contains_by_its_bits_alone),
        cmocka_unit_test(prefixes_are_equal_in_every_part),
        cmocka_unit_test(prefixes_hold_only_their_own_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
