/* The stack as an object: creation, addresses, handles, callbacks, time. */
#include "ns_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void no_failing_allocation_breaks_creation(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        test_alloc a = {0};
        test_rng rng;
        rmr_ns *ns = NULL;
        rmr_ns_config cfg;
        test_rng_seed(&rng, 1);
        a.fail_at = n;
        rmr_env env = test_env(&a, &rng, NULL);
        rmr_ns_config_init(&cfg, sizeof cfg);
        rmr_err e = rmr_ns_new(&ns, &env, &cfg, 0);
        if (e) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_null(ns);
        } else {
            rmr_ns_free(ns);
        }
        assert_int_equal(a.live_blocks, 0);
        if (!e)
            break;
    }
}

static void no_failing_randomness_is_replaced(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        test_alloc a = {0};
        test_rng rng;
        rmr_ns *ns = NULL;
        rmr_ns_config cfg;
        test_rng_seed(&rng, 1);
        rng.fail_at = n;
        rmr_env env = test_env(&a, &rng, NULL);
        rmr_ns_config_init(&cfg, sizeof cfg);
        rmr_err e = rmr_ns_new(&ns, &env, &cfg, 0);
        if (e)
            assert_int_equal(e, RMR_E_RNG);
        rmr_ns_free(ns);
        assert_int_equal(a.live_blocks, 0);
        if (!e)
            break;
        assert_true(n < 20);
    }
}

static void the_defaults_are_those_of_the_header(void **state)
{
    (void)state;
    rmr_ns_config c;
    rmr_ns_config_init(&c, sizeof c);
    assert_int_equal(c.struct_size, sizeof c);
    assert_int_equal(c.mtu, 1280);
    assert_int_equal(c.max_sockets, 4096);
    assert_int_equal(c.max_time_wait, 16384);
    assert_int_equal(c.tcp_recv_max, 4 << 20);
    assert_int_equal(c.tcp_send_max, 4 << 20);
    assert_int_equal(c.memory_max, 64 << 20);
    assert_int_equal(c.backlog, 128);
    assert_int_equal(c.unaccepted, 128);
    assert_int_equal(c.time_wait, 60 * RMR_SEC);
    assert_int_equal(c.congestion, RMR_NS_CC_CUBIC);
    assert_int_equal(c.max_flows, 1024);
    assert_int_equal(c.max_udp_flows, 4096);
    assert_int_equal(c.user_timeout, 0);
    assert_false(c.no_nagle || c.forward || c.no_udp_fragments);
    assert_null(c.callbacks);
}

static void broken_configurations_are_refused(void **state)
{
    (void)state;
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_config good, c;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(NULL, &rng, NULL);
    rmr_ns_config_init(&good, sizeof good);
#define REFUSED(field, value)                                                  \
    do {                                                                       \
        c = good;                                                              \
        c.field = value;                                                       \
        assert_int_equal(rmr_ns_new(&ns, &env, &c, 0), RMR_E_INVAL);           \
    } while (0)
    REFUSED(mtu, 575);
    REFUSED(mtu, 65536);
    REFUSED(max_sockets, 0);
    REFUSED(tcp_recv_max, 0);
    REFUSED(tcp_recv_max, (size_t)1 << 31);
    REFUSED(tcp_send_max, 0);
    REFUSED(backlog, 0);
    REFUSED(time_wait, 0);
    REFUSED(congestion, 2);
    assert_int_equal(rmr_ns_new(NULL, &env, &good, 0), RMR_E_INVAL);
    assert_int_equal(rmr_ns_new(&ns, NULL, &good, 0), RMR_E_INVAL);
    assert_int_equal(rmr_ns_new(&ns, &env, NULL, 0), RMR_E_INVAL);
    rmr_ns_free(NULL);
    /* A caller of before the last fields. */
    c = good;
    c.struct_size = offsetof(rmr_ns_config, callbacks);
    assert_int_equal(rmr_ns_new(&ns, &env, &c, 0), RMR_OK);
    rmr_ns_free(ns);
}

static void addresses_come_and_go(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    rmr_addr a = rmr_addr_v4(1, 2, 3, 4, 0), zero;
    memset(&zero, 0, sizeof zero);
    assert_int_equal(rmr_ns_addr_add(ns, NULL), RMR_E_INVAL);
    assert_int_equal(rmr_ns_addr_add(ns, &zero), RMR_E_INVAL);
    zero.family = RMR_AF_INET;
    assert_int_equal(rmr_ns_addr_add(ns, &zero), RMR_E_INVAL);
    assert_int_equal(rmr_ns_addr_remove(ns, s.now, &a), RMR_E_INVAL);
    for (uint8_t i = 2; i < RMR_NS_MAX_ADDRS; i++) { /* two are there */
        a.ip[3] = i;
        assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_OK);
        assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_OK); /* known */
    }
    a.ip[3] = 99;
    assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_E_FULL);
    a.ip[3] = 5;
    assert_int_equal(rmr_ns_addr_remove(ns, s.now, &a), RMR_OK);
    a.ip[3] = 99;
    assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_OK);
    sim_free(&s);
}

/* No packet comes from such an address, nor goes to it over the link. */
static void addresses_that_no_host_has_are_refused(void **state)
{
    static const char *const bad[] = {
        "0.1.2.3:0", "127.0.0.1:0", "224.0.0.1:0", "255.255.255.255:0",
        "[::]:0",    "[::1]:0",     "[ff02::1]:0",
    };
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    rmr_addr a;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rmr_addr_parse(rmr_bytes_str(bad[i]), &a), RMR_OK);
        assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_E_INVAL);
    }
    memset(&a, 0, sizeof a); /* ::ffff:10.0.0.7 */
    a.family = RMR_AF_INET6;
    a.ip[10] = a.ip[11] = 0xff;
    a.ip[12] = 10;
    a.ip[15] = 7;
    assert_int_equal(rmr_ns_addr_add(ns, &a), RMR_E_INVAL);
    sim_free(&s);
}

static void a_removed_address_resets_its_connections(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    s.h[0].app.manual = s.h[1].app.manual = true;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC);
    assert_true(s.h[0].app.open && s.h[1].app.open);
    rmr_addr me = sim_addr(0, 0);
    assert_int_equal(rmr_ns_addr_remove(s.h[0].ns, s.now, &me), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[0].app.n_closed, 1);
    assert_int_equal(s.h[0].app.why, RMR_E_RESET);
    assert_int_equal(s.h[1].app.n_closed, 1);
    assert_int_equal(s.h[1].app.why, RMR_E_RESET);
    sim_free(&s);
}

static void binds_and_handles_are_checked(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    rmr_addr any, at = sim_addr(0, 80), off;
    rmr_ns_sock a, b, none = {0};
    rmr_bytes v;
    size_t n;
    bool eof;
    rmr_ns_tcp_info info;
    memset(&any, 0, sizeof any);
    assert_int_equal(rmr_ns_tcp_listen(ns, &any, NULL, &a), RMR_E_INVAL);
    any.port = 80;
    assert_int_equal(rmr_ns_tcp_listen(ns, &any, NULL, &a), RMR_OK);
    assert_int_equal(rmr_ns_tcp_listen(ns, &any, NULL, &b), RMR_E_INUSE);
    assert_int_equal(rmr_ns_tcp_listen(ns, &at, NULL, &b), RMR_OK);
    assert_int_equal(rmr_ns_tcp_get_info(ns, a, &info), RMR_OK);
    assert_int_equal(info.state, RMR_NS_LISTEN);
    assert_int_equal(rmr_ns_udp_bind(ns, &any, NULL, &a), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(ns, &any, NULL, &b), RMR_E_INUSE);
    any.port = 0;
    assert_int_equal(rmr_ns_udp_bind(ns, &any, NULL, &b), RMR_OK);
    assert_int_equal(rmr_ns_close(ns, s.now, a), RMR_OK);
    assert_int_equal(rmr_ns_close(ns, s.now, a), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_abort(ns, s.now, none), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_set_tag(ns, a, NULL), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_set_tag(ns, b, NULL), RMR_OK);
    assert_int_equal(rmr_ns_tcp_send(ns, s.now, b, rmr_bytes_str("x"), &n),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_peek(ns, b, &v, &eof), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_consume(ns, s.now, a, 0), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_shutdown(ns, s.now, a), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_set_nodelay(ns, a, true), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_set_keepalive(ns, s.now, a, 1, 1, 1),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_get_info(ns, a, &info), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_send_space(ns, a), 0);
    at = sim_addr(1, 80);
    assert_int_equal(
        rmr_ns_udp_send(ns, s.now, a, NULL, &at, rmr_bytes_str("x")),
        RMR_E_BADHANDLE);
    /* dialling */
    memset(&off, 0, sizeof off);
    off.family = RMR_AF_INET6;
    off.ip[0] = 0xfd;
    off.port = 5;
    rmr_addr mine = sim_addr6(0, 0);
    assert_int_equal(rmr_ns_addr_remove(ns, s.now, &mine), RMR_OK);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, NULL, &off, NULL, &a),
                     RMR_E_UNREACHABLE);
    off = rmr_addr_v4(9, 9, 9, 9, 0);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, &off, &at, NULL, &a),
                     RMR_E_UNREACHABLE);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, NULL, &off, NULL, &a),
                     RMR_E_INVAL);
    rmr_addr from = sim_addr(0, 5555);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, &from, &at, NULL, &a),
                     RMR_OK);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, &from, &at, NULL, &b),
                     RMR_E_INUSE);
    assert_int_equal(rmr_ns_tcp_connect(ns, s.now, &from, &from, NULL, &b),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_tcp_send(ns, s.now, a, rmr_bytes_str("x"), &n),
                     RMR_E_STATE);
    assert_int_equal(n, 0);
    sim_free(&s);
}

static void sockets_are_bounded(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.max_sockets = 5;
    sim_init(&s, 1, &cfg, NULL);
    rmr_addr to = sim_addr(1, 80), any;
    rmr_ns_sock sock;
    memset(&any, 0, sizeof any);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[0].ns, s.now, NULL, &to, NULL, &sock),
            RMR_OK);
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[0].ns, s.now, NULL, &to, NULL, &sock),
        RMR_E_FULL);
    assert_int_equal(rmr_ns_udp_bind(s.h[0].ns, &any, NULL, &sock), RMR_E_FULL);
    any.port = 7;
    assert_int_equal(rmr_ns_tcp_listen(s.h[0].ns, &any, NULL, &sock),
                     RMR_E_FULL);
    sim_free(&s);
}

/* ---- callbacks -------------------------------------------------------- */

static rmr_ns *inner;
static int inner_calls;

static void try_all(void *user, void *tag, rmr_ns_sock sock,
                    const rmr_addr *from, const rmr_addr *to, rmr_bytes data)
{
    uint8_t buf[1280];
    size_t len;
    (void)user;
    (void)tag;
    (void)to;
    inner_calls++;
    assert_int_equal(rmr_ns_read_pkt(inner, 0, data), RMR_E_REENTRANT);
    assert_int_equal(
        rmr_ns_write_pkt(inner, 0, rmr_buf_of(buf, sizeof buf), &len),
        RMR_E_REENTRANT);
    assert_int_equal(rmr_ns_handle_deadline(inner, 0), RMR_E_REENTRANT);
    rmr_ns_free(inner); /* refused */
    /* Submitting is allowed. */
    assert_int_equal(rmr_ns_udp_send(inner, 0, sock, NULL, from, data), RMR_OK);
}

static void callbacks_may_submit_but_not_pump(void **state)
{
    (void)state;
    test_alloc a = {0};
    test_rng rng;
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    rmr_ns_sock sock;
    uint8_t buf[1280];
    size_t len;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&a, &rng, NULL);
    cb.struct_size = sizeof cb;
    cb.on_datagram = try_all;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    assert_int_equal(rmr_ns_new(&inner, &env, &cfg, 0), RMR_OK);
    rmr_addr me = rmr_addr_v4(10, 0, 0, 1, 99);
    assert_int_equal(rmr_ns_addr_add(inner, &me), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(inner, &me, NULL, &sock), RMR_OK);
    /* To itself, for ever: each call ends nevertheless (B1), and a deadline
     * says that there is more. */
    assert_int_equal(
        rmr_ns_udp_send(inner, 5, sock, NULL, &me, rmr_bytes_str("ping")),
        RMR_OK);
    assert_int_equal(rmr_ns_write_pkt(inner, 5, rmr_buf_of(buf, 1279), &len),
                     RMR_E_BUFSIZE);
    for (rmr_time now = 5; now < 10; now++) {
        int before = inner_calls;
        assert_int_equal(
            rmr_ns_write_pkt(inner, now, rmr_buf_of(buf, sizeof buf), &len),
            RMR_OK);
        assert_int_equal(len, 0);
        assert_true(inner_calls > before);
        assert_int_equal(rmr_ns_next_deadline(inner), now + 1);
        assert_int_equal(rmr_ns_handle_deadline(inner, now + 1), RMR_OK);
        assert_true(rmr_ns_next_deadline(inner) > now + 1);
    }
    rmr_ns_free(inner);
    assert_int_equal(a.live_blocks, 0);
}

static void an_own_address_loops_back(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    sim_listen(&s, 0, 80);
    rmr_addr me = sim_addr(0, 80);
    sim_app *a = &s.h[0].more[0];
    a->host = &s.h[0];
    s.h[0].n_more = 1;
    a->seed = 5;
    a->want_seed = 6;
    s.h[0].app.seed = 6;
    s.h[0].app.want_seed = 5;
    a->total = 300000;
    s.h[0].app.total = 100000;
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[0].ns, s.now, NULL, &me, a, &a->sock), RMR_OK);
    sim_run(&s, s.now + 200 * RMR_SEC);
    assert_int_equal(a->got, 100000);
    assert_int_equal(s.h[0].app.got, 300000);
    assert_false(a->bad || s.h[0].app.bad);
    assert_int_equal(a->n_closed + s.h[0].app.n_closed, 2);
    assert_int_equal(s.h[0].pkts_out, 0);
    sim_free(&s);
}

static void a_clock_that_goes_back_is_counted(void **state)
{
    (void)state;
    sim s;
    rmr_ns_stats st;
    sim_init(&s, 1, NULL, NULL);
    assert_int_equal(rmr_ns_handle_deadline(s.h[0].ns, s.now - 5), RMR_OK);
    rmr_ns_get_stats(s.h[0].ns, &st);
    assert_int_equal(st.clock_back, 1);
    sim_free(&s);
}

static void udp_reaches_the_other_side_and_back(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_addr at = sim_addr(0, 53), to;
    rmr_ns_sock a, b;
    assert_int_equal(rmr_ns_udp_bind(s.h[0].ns, &at, NULL, &a), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(s.h[1].ns, NULL, NULL, &b), RMR_OK);
    assert_int_equal(rmr_ns_udp_send(s.h[1].ns, s.now, b, NULL, &at,
                                     rmr_bytes_str("question")),
                     RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[0].dgrams, 1);
    to = s.h[0].last_from;
    assert_true(to.port >= 16384);
    assert_int_equal(rmr_ns_udp_send(s.h[0].ns, s.now, a, &s.h[0].last_to, &to,
                                     rmr_bytes_str("answer")),
                     RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[1].dgrams, 1);
    assert_memory_equal(s.h[1].last_dgram, "answer", 6);
    assert_true(rmr_addr_eq(&s.h[1].last_from, &at));
    sim_free(&s);
}

static void the_same_calls_give_the_same_bytes(void **state)
{
    (void)state;
    uint64_t digest[2];
    for (int run = 0; run < 2; run++) {
        sim s;
        sim_init(&s, 4, NULL, NULL);
        s.link.loss_milli = 30;
        s.link.reorder_milli = 50;
        s.link.hold = 8 * RMR_MS;
        s.h[1].app.total = 200000;
        sim_connect(&s);
        sim_run(&s, s.now + 100 * RMR_SEC);
        digest[run] =
            s.delivered * 1000003 + s.h[0].bytes_out * 31 + s.h[1].bytes_out;
        sim_free(&s);
    }
    assert_int_equal(digest[0], digest[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failing_allocation_breaks_creation),
        cmocka_unit_test(no_failing_randomness_is_replaced),
        cmocka_unit_test(the_defaults_are_those_of_the_header),
        cmocka_unit_test(broken_configurations_are_refused),
        cmocka_unit_test(addresses_come_and_go),
        cmocka_unit_test(addresses_that_no_host_has_are_refused),
        cmocka_unit_test(a_removed_address_resets_its_connections),
        cmocka_unit_test(binds_and_handles_are_checked),
        cmocka_unit_test(sockets_are_bounded),
        cmocka_unit_test(callbacks_may_submit_but_not_pump),
        cmocka_unit_test(an_own_address_loops_back),
        cmocka_unit_test(a_clock_that_goes_back_is_counted),
        cmocka_unit_test(udp_reaches_the_other_side_and_back),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
