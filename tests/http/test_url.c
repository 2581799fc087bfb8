/* URLs: what is taken, what is refused, and how they are written again. */
#include <remora/http1.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *in, *host, *path, *authority;
    uint16_t port;
    bool https, port_given;
} good[] = {
    {"https://a.example", "a.example", "/", "a.example", 443, true, false},
    {"http://a.example", "a.example", "/", "a.example", 80, false, false},
    {"HTTP://A.Example/X", "a.example", "/X", "a.example", 80, false, false},
    {"https://a:8443/p/q?r=s", "a", "/p/q?r=s", "a:8443", 8443, true, true},
    {"https://a:443/", "a", "/", "a", 443, true, true},
    {"http://a:443/", "a", "/", "a:443", 443, false, true},
    {"https://a:/", "a", "/", "a", 443, true, false},
    {"https://a?x=1", "a", "/?x=1", "a", 443, true, false},
    {"https://a#frag", "a", "/", "a", 443, true, false},
    {"https://a/b#frag?x", "a", "/b", "a", 443, true, false},
    {"https://a/%20;,:@!$&'()*+=~", "a", "/%20;,:@!$&'()*+=~", "a", 443, true,
     false},
    {"http://127.0.0.1:8080", "127.0.0.1", "/", "127.0.0.1:8080", 8080, false,
     true},
    {"http://[::1]:8080/x", "::1", "/x", "[::1]:8080", 8080, false, true},
    {"https://[FD7A::1]", "fd7a::1", "/", "[fd7a::1]", 443, true, false},
    {"https://a_b-c.~x/", "a_b-c.~x", "/", "a_b-c.~x", 443, true, false},
};

static void good_urls_give_their_parts(void **s)
{
    (void)s;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        rmr_url u;
        rmr_err e = rmr_url_parse(rmr_bytes_str(good[i].in), &u);
        if (e != RMR_OK)
            fail_msg("%s", good[i].in);
        char text[272];
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.path, good[i].path);
        assert_int_equal(u.port, good[i].port);
        assert_int_equal(u.https, good[i].https);
        assert_int_equal(u.port_given, good[i].port_given);
        assert_string_equal(rmr_url_authority(&u, text), good[i].authority);
    }
}

static const struct {
    const char *in;
    rmr_err e;
} bad[] = {
    {"", RMR_E_MALFORMED},
    {"a.example", RMR_E_MALFORMED},
    {"//a.example", RMR_E_MALFORMED},
    {"://a", RMR_E_MALFORMED},
    {"https:/a", RMR_E_MALFORMED},
    {"https:a", RMR_E_MALFORMED},
    {"https:", RMR_E_MALFORMED},
    {"https://", RMR_E_MALFORMED},
    {"https:///path", RMR_E_MALFORMED},
    {"https://:443/", RMR_E_MALFORMED},
    {"ftp://a/", RMR_E_UNSUPPORTED},
    {"httpss://a/", RMR_E_UNSUPPORTED},
    {"https://user@a/", RMR_E_MALFORMED},
    {"https://user:pass@a/", RMR_E_MALFORMED},
    {"https://good.example@evil.example/", RMR_E_MALFORMED},
    {"https://a:0/", RMR_E_MALFORMED},
    {"https://a:65536/", RMR_E_MALFORMED},
    {"https://a:+1/", RMR_E_MALFORMED},
    {"https://a:1:2/", RMR_E_MALFORMED},
    {"https://a b/", RMR_E_MALFORMED},
    {"https://a%41/", RMR_E_MALFORMED},
    {"https://a\r\nHost: b/", RMR_E_MALFORMED},
    {"https://a/b c", RMR_E_MALFORMED},
    {"https://a/b\r\nX: y", RMR_E_MALFORMED},
    {"https://a/\xc3\xa4", RMR_E_MALFORMED},
    {"https://a/\\b", RMR_E_MALFORMED},
    {"https://a\\b/", RMR_E_MALFORMED},
    {"https://[::1/", RMR_E_MALFORMED},
    {"https://[::1]x/", RMR_E_MALFORMED},
    {"https://[]/", RMR_E_MALFORMED},
    {"https://[1.2.3.4]/", RMR_E_MALFORMED},
    {"https://[fe80::1%2]/", RMR_E_MALFORMED},
    {"https://::1/", RMR_E_MALFORMED},
};

static void bad_urls_are_refused_and_change_nothing(void **s)
{
    (void)s;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmr_url u, before;
        memset(&u, 0x5a, sizeof u);
        before = u;
        rmr_err e = rmr_url_parse(rmr_bytes_str(bad[i].in), &u);
        if (e != bad[i].e)
            fail_msg("%s: %d", bad[i].in, (int)e);
        assert_memory_equal(&u, &before, sizeof u);
    }
    static const char nul[] = "https://good.example\0.evil/";
    rmr_url u;
    assert_int_equal(rmr_url_parse(rmr_bytes_of(nul, sizeof nul - 1), &u),
                     RMR_E_MALFORMED);
    static const char nul_path[] = "https://a/b\0c";
    assert_int_equal(
        rmr_url_parse(rmr_bytes_of(nul_path, sizeof nul_path - 1), &u),
        RMR_E_MALFORMED);
}

static void parts_that_do_not_fit_are_too_big(void **s)
{
    (void)s;
    char text[1024];
    rmr_url u;
    for (size_t n = 253; n <= 254; n++) {
        strcpy(text, "https://");
        memset(text + 8, 'a', n);
        text[8 + n] = '\0';
        assert_int_equal(rmr_url_parse(rmr_bytes_str(text), &u),
                         n == 253 ? RMR_OK : RMR_E_TOOBIG);
    }
    for (size_t n = 511; n <= 512; n++) {
        strcpy(text, "https://a");
        memset(text + 9, '/', n);
        text[9 + n] = '\0';
        assert_int_equal(rmr_url_parse(rmr_bytes_str(text), &u),
                         n == 511 ? RMR_OK : RMR_E_TOOBIG);
    }
    strcpy(text, "https://a");
    memset(text + 9, '?', 511); /* and the slash before it */
    text[9 + 511] = '\0';
    assert_int_equal(rmr_url_parse(rmr_bytes_str(text), &u), RMR_E_TOOBIG);
}

static void the_longest_authority_fits(void **s)
{
    (void)s;
    rmr_url u;
    memset(&u, 0, sizeof u);
    memset(u.host, ':', sizeof u.host - 1);
    u.port = 65535;
    char text[272];
    assert_int_equal(strlen(rmr_url_authority(&u, text)), 253 + 2 + 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_give_their_parts),
        cmocka_unit_test(bad_urls_are_refused_and_change_nothing),
        cmocka_unit_test(parts_that_do_not_fit_are_too_big),
        cmocka_unit_test(the_longest_authority_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
