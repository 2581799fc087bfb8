/* Port maps as text. */
#include <remora/bridge.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* An exact copy, so that a sanitizer sees a read past the end. */
static rmr_bytes exact(const char *s, uint8_t **keep)
{
    size_t n = strlen(s);
    *keep = malloc(n ? n : 1);
    assert_non_null(*keep);
    memcpy(*keep, s, n);
    return rmr_bytes_of(*keep, n);
}

static void forwards_are_read(void **state)
{
    static const struct {
        const char *text, *local, *peer;
        unsigned port;
    } good[] = {
        {"8080=peer:80", "127.0.0.1:8080", "peer", 80},
        {"127.0.0.1:8080=peer:80", "127.0.0.1:8080", "peer", 80},
        {"0.0.0.0:1=a.b.ts.net:65535", "0.0.0.0:1", "a.b.ts.net", 65535},
        {"[::1]:8080=[fd7a::1]:80", "[::1]:8080", "fd7a::1", 80},
        {"localhost:22=100.64.0.1:22", "127.0.0.1:22", "100.64.0.1", 22},
        {"5432=my_db-1:5432", "127.0.0.1:5432", "my_db-1", 5432},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        rmr_forward f;
        char text[RMR_ADDR_TEXT_MAX];
        uint8_t *keep;
        assert_int_equal(rmr_forward_parse(exact(good[i].text, &keep), &f),
                         RMR_OK);
        assert_string_equal(rmr_addr_text(&f.local, text), good[i].local);
        assert_string_equal(f.peer, good[i].peer);
        assert_int_equal(f.port, good[i].port);
        free(keep);
    }
}

static void broken_forwards_are_refused_and_leave_the_result_alone(void **state)
{
    static const char *const bad[] = {"",
                                      "=",
                                      "8080",
                                      "8080=",
                                      "=peer:80",
                                      "8080=peer",
                                      "8080=peer:",
                                      "8080=:80",
                                      "0=peer:80",
                                      "8080=peer:0",
                                      "65536=peer:80",
                                      "8080=peer:65536",
                                      "8080=fd7a::1:80",
                                      "8080=[peer]:80",
                                      "8080=[10.0.0.1]:80",
                                      "8080=[fd7a::1:80",
                                      "::1:8080=peer:80",
                                      "name:8080=peer:80",
                                      "8080=pe er:80",
                                      "8080=pe=er:80",
                                      " 8080=peer:80",
                                      "+8080=peer:80",
                                      "8080=peer:80 ",
                                      "8080=[]:80",
                                      "127.0.0.1:=peer:80",
                                      ":8080=peer:80",
                                      "008080=peer:80"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rmr_forward f, before;
        uint8_t *keep;
        memset(&f, 0x5a, sizeof f);
        before = f;
        assert_int_equal(rmr_forward_parse(exact(bad[i], &keep), &f),
                         RMR_E_MALFORMED);
        assert_memory_equal(f.peer, before.peer, sizeof f.peer);
        assert_int_equal(f.port, before.port);
        free(keep);
    }
}

static void a_peer_of_any_length_is_bounded(void **state)
{
    (void)state;
    char text[400];
    rmr_forward f;
    for (size_t n = 250; n < 260; n++) {
        memcpy(text, "1=", 2);
        memset(text + 2, 'a', n);
        memcpy(text + 2 + n, ":1", 3);
        assert_int_equal(rmr_forward_parse(rmr_bytes_str(text), &f),
                         n < RMR_HOST_MAX ? RMR_OK : RMR_E_MALFORMED);
    }
}

static void serves_are_read(void **state)
{
    static const struct {
        const char *text, *target;
        unsigned port;
    } good[] = {
        {"80=127.0.0.1:8088", "127.0.0.1:8088", 80},
        {"80=localhost:8088", "127.0.0.1:8088", 80},
        {"80=LocalHost:8088", "127.0.0.1:8088", 80},
        {"80=8088", "127.0.0.1:8088", 80},
        {"443=[::1]:8443", "[::1]:8443", 443},
        {"65535=192.0.2.7:1", "192.0.2.7:1", 65535},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        rmr_serve s;
        char text[RMR_ADDR_TEXT_MAX];
        uint8_t *keep;
        assert_int_equal(rmr_serve_parse(exact(good[i].text, &keep), &s),
                         RMR_OK);
        assert_string_equal(rmr_addr_text(&s.target, text), good[i].target);
        assert_int_equal(s.port, good[i].port);
        free(keep);
    }
}

static void broken_serves_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "=",
                                      "80",
                                      "80=",
                                      "=8088",
                                      "0=8088",
                                      "80=0",
                                      "80=127.0.0.1",
                                      "80=127.0.0.1:0",
                                      "80=127.0.0.1:",
                                      "80=:8088",
                                      "80=name:8088",
                                      "80=::1:8088",
                                      "80=[::1]8088",
                                      "65536=80",
                                      "80=65536",
                                      "80=-1",
                                      "80=1=1",
                                      "x=80"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rmr_serve s;
        uint8_t *keep;
        memset(&s, 0x5a, sizeof s);
        assert_int_equal(rmr_serve_parse(exact(bad[i], &keep), &s),
                         RMR_E_MALFORMED);
        assert_int_equal(s.port, 0x5a5a);
        free(keep);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwards_are_read),
        cmocka_unit_test(
            broken_forwards_are_refused_and_leave_the_result_alone),
        cmocka_unit_test(a_peer_of_any_length_is_bounded),
        cmocka_unit_test(serves_are_read),
        cmocka_unit_test(broken_serves_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
