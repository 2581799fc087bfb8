/* Links through a proxy, and hosts that go without it. */
#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void a_proxy_is_asked_for_the_host_and_then_out_of_the_way(void **st)
{
    static const char want[] = "CONNECT relay.example:8080 HTTP/1.1\r\n"
                               "Host: relay.example:8080\r\n"
                               "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"
                               "\r\n";
    rig r;
    (void)st;
    rig_start(&r, &rig_proxy);
    rmr_io_op op = rig_open(&r, "relay.example");
    assert_int_equal(op.addr.ip[0], 10);
    assert_int_equal(op.addr.port, 3128);
    assert_int_equal(r.opened, 0);
    strcpy(r.say, "too early");
    assert_string_equal(rig_sent(&r), want);
    rig_give(&r, RMR_IO_SENT, op.id, NULL);
    rig_give(&r, RMR_IO_BYTES, op.id,
             "HTTP/1.1 200 Connection established\r\n");
    assert_int_equal(r.opened, 0);
    /* What follows the head is the host's. */
    rig_give(&r, RMR_IO_BYTES, op.id, "Via: x\r\n\r\nearly bytes");
    assert_int_equal(r.opened, 1);
    assert_int_equal(r.got_len, 11);
    assert_memory_equal(r.got, "early bytes", 11);
    assert_string_equal(rig_sent(&r), "too early");
    rig_end(&r);
}

static void the_answer_of_a_proxy_may_come_byte_by_byte(void **st)
{
    static const char answer[] = "HTTP/1.0 299 ok\nA: b\n\nX";
    rig r;
    (void)st;
    rig_start(&r, &rig_proxy);
    rmr_io_op op = rig_open(&r, "2001:db8::1");
    assert_non_null(
        strstr(rig_sent(&r), "CONNECT [2001:db8::1]:8080 HTTP/1.1\r\n"));
    for (size_t i = 0; answer[i]; i++) {
        char one[2] = {answer[i], 0};
        assert_int_equal(r.opened, i >= sizeof answer - 2);
        rig_give(&r, RMR_IO_BYTES, op.id, one);
    }
    assert_int_equal(r.opened, 1);
    assert_memory_equal(r.got, "X", 1);
    rig_end(&r);
}

static void refusals_of_a_proxy_end_the_dial(void **st)
{
    static const struct {
        const char *answer;
        rmr_err why;
    } cases[] = {
        {"HTTP/1.1 407 Who are you\r\n\r\n", RMR_E_DENIED},
        {"HTTP/1.1 403 No\r\n\r\n", RMR_E_REFUSED},
        {"HTTP/1.1 502 Bad gateway\r\n\r\n", RMR_E_REFUSED},
        {"SSH-2.0 hello\r\n\r\n", RMR_E_MALFORMED},
        {"\n\n", RMR_E_MALFORMED},
        {NULL, RMR_E_REFUSED}, /* it just closes */
    };
    (void)st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        rig_start(&r, &rig_proxy);
        rmr_io_op op = rig_open(&r, "relay.example");
        if (cases[i].answer)
            rig_give(&r, RMR_IO_BYTES, op.id, cases[i].answer);
        else
            rig_give(&r, RMR_IO_EOF, op.id, NULL);
        assert_int_equal(r.opened, 0);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.why, cases[i].why);
        assert_null(strstr(r.text, "user"));
        rig_end(&r);
    }
}

static void an_endless_answer_of_a_proxy_is_cut(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, &rig_proxy);
    rmr_io_op op = rig_open(&r, "relay.example");
    for (int i = 0; i < 8192 / 16; i++) {
        assert_int_equal(r.closed, 0);
        rig_give(&r, RMR_IO_BYTES, op.id, "0123456789abcdef");
    }
    rig_give(&r, RMR_IO_BYTES, op.id, "0");
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_TOOBIG);
    rig_end(&r);
}

static void hosts_of_the_list_go_without_the_proxy(void **st)
{
    static const struct {
        const char *host;
        bool direct;
    } cases[] = {
        {"direct.example", true},
        {"DIRECT.Example", true},
        {"sub.direct.example", true},
        {"indirect.example", false},
        {"corp.example", true},
        {"a.b.corp.example", true},
        {"a.star.example", true},
        {"example", false},
        {"10.1.2.3", true},
        {"10.2.0.1", false},
        {"fd00::1", true},
        {"fd00::2", false},
    };
    (void)st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        rig_start(&r, &rig_proxy);
        rmr_dial d = rig_dial_to(cases[i].host);
        rmr_mc_link_dial(r.link, r.now, &d);
        rmr_io_op op = rig_next(&r);
        /* Direct names are resolved; there is no name server here. */
        bool by_proxy = op.kind == RMR_IO_CONNECT && op.addr.port == 3128;
        assert_int_equal(by_proxy, !cases[i].direct);
        rig_end(&r);
    }
}

static void no_proxy_of_a_star_means_all(void **st)
{
    rmr_mc_proxy all = rig_proxy;
    rig r;
    (void)st;
    all.no_proxy = "*";
    rig_start(&r, &all);
    assert_int_equal(rig_open(&r, "10.9.9.9").addr.port, 8080);
    rig_end(&r);
}

static void a_host_with_a_line_end_sends_no_header(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, &rig_proxy);
    rig_open(&r, "a\r\nX: y");
    assert_string_equal(rig_sent(&r), "");
    rig_end(&r);
}

static void a_proxy_without_a_port_is_refused(void **st)
{
    rmr_mc_proxy bad = rig_proxy;
    rig r = {0};
    (void)st;
    bad.port = 0;
    test_rng_seed(&r.rng, 1);
    assert_int_equal(rig_new(&r, &bad), RMR_E_INVAL);
    assert_int_equal(r.alloc.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_is_asked_for_the_host_and_then_out_of_the_way),
        cmocka_unit_test(the_answer_of_a_proxy_may_come_byte_by_byte),
        cmocka_unit_test(refusals_of_a_proxy_end_the_dial),
        cmocka_unit_test(an_endless_answer_of_a_proxy_is_cut),
        cmocka_unit_test(hosts_of_the_list_go_without_the_proxy),
        cmocka_unit_test(no_proxy_of_a_star_means_all),
        cmocka_unit_test(a_host_with_a_line_end_sends_no_header),
        cmocka_unit_test(a_proxy_without_a_port_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
