/* Listeners: cookies against a slow, obvious copy of their rules, and the queue
 * of a listener that is paused. */
#include "ns_sim.h"

#include "ns_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static rmr_ns_stats stats_of(const sim *s, int host)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(s->h[host].ns, &st);
    return st;
}

static rmr_ns_tcp_info info_of(const sim *s, int host, rmr_ns_sock sock)
{
    rmr_ns_tcp_info info;
    assert_int_equal(rmr_ns_tcp_get_info(s->h[host].ns, sock, &info), RMR_OK);
    return info;
}

/* ---- cookies ---------------------------------------------------------- */

static tcp_half some_syn(uint16_t mss)
{
    tcp_half e;
    memset(&e, 0, sizeof e);
    e.tuple.family = RMR_AF_INET;
    e.tuple.proto = NS_PROTO_TCP;
    e.tuple.local.b[0] = 10;
    e.tuple.remote.b[0] = 11;
    e.tuple.lport = 80;
    e.tuple.rport = 40000;
    e.irs = 0xfffffffe;
    e.mss = mss;
    return e;
}

static tcp_seg answer_to(const tcp_half *e, uint32_t tsecr)
{
    tcp_seg s;
    memset(&s, 0, sizeof s);
    s.tuple = e->tuple;
    s.seq = e->irs + 1;
    s.ack = e->iss + 1;
    s.flags = TH_ACK;
    s.o.has_ts = e->has_ts;
    s.o.tsval = 77;
    s.o.tsecr = tsecr;
    return s;
}

static void a_cookie_brings_back_what_the_syn_said(void **state)
{
    (void)state;
    static const uint16_t offered[] = {0,    100,  536,  1199, 1200,
                                       1240, 1379, 1460, 9000};
    static const uint16_t kept[] = {536,  536,  536,  536, 1200,
                                    1240, 1300, 1460, 1460};
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    for (unsigned i = 0; i < sizeof offered / sizeof *offered; i++) {
        for (unsigned ws = 0; ws <= 15; ws++) {
            for (unsigned sack = 0; sack < 2; sack++) {
                tcp_half e = some_syn(offered[i]), got;
                ns->now = (rmr_time)(1000 + i * 64) * RMR_SEC + ws * RMR_MS;
                e.ts_off = rmri_ns_ts_offset(ns, &e.tuple);
                e.has_ts = true;
                e.has_ws = ws < 15;
                e.ws = (uint8_t)ws;
                e.sack_ok = sack != 0;
                rmri_tcp_cookie_make(ns, &e);
                uint32_t stamp = rmri_tcp_cookie_stamp(ns, &e);
                assert_true(tcp_ts_now(ns, e.ts_off) - stamp < 64);
                tcp_seg a = answer_to(&e, stamp);
                assert_true(rmri_tcp_cookie_read(ns, &a, &got));
                assert_int_equal(got.mss, kept[i]);
                assert_int_equal(got.has_ws, ws < 15);
                assert_int_equal(got.ws, ws < 15 ? ws : 0);
                assert_int_equal(got.sack_ok, sack);
                assert_int_equal(got.irs, e.irs);
                assert_int_equal(got.ts_recent, 77);
                a.o.has_ts = false;
                assert_true(rmri_tcp_cookie_read(ns, &a, &got));
                assert_false(got.has_ws || got.sack_ok || got.has_ts);
            }
        }
    }
    tcp_half e = some_syn(0), got;
    e.tuple.family = RMR_AF_INET6;
    rmri_tcp_cookie_make(ns, &e);
    tcp_seg a = answer_to(&e, 0);
    assert_true(rmri_tcp_cookie_read(ns, &a, &got));
    assert_int_equal(got.mss, 1220);
    sim_free(&s);
}

/* Also when the 5 bits of time have come round. */
static void a_cookie_lives_for_its_step_and_the_next(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 1, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    tcp_half got;
    for (uint64_t step = 0; step < 40; step++) {
        tcp_half e = some_syn(1240);
        ns->now = step * 64 * RMR_SEC;
        rmri_tcp_cookie_make(ns, &e);
        tcp_seg a = answer_to(&e, 0);
        for (uint64_t later = 0; later < 70; later++) {
            ns->now = (step + later) * 64 * RMR_SEC + 63 * RMR_SEC;
            assert_int_equal(rmri_tcp_cookie_read(ns, &a, &got), later < 2);
        }
    }
    sim_free(&s);
}

static void nothing_of_a_cookie_may_be_changed(void **state)
{
    (void)state;
    sim s, other;
    sim_init(&s, 1, NULL, NULL);
    sim_init(&other, 2, NULL, NULL);
    rmr_ns *ns = s.h[0].ns;
    tcp_half e = some_syn(1240), got;
    rmri_tcp_cookie_make(ns, &e);
    tcp_seg a = answer_to(&e, 0);
    assert_true(rmri_tcp_cookie_read(ns, &a, &got));
    assert_false(rmri_tcp_cookie_read(other.h[0].ns, &a, &got));
    for (unsigned bit = 0; bit < 32; bit++) {
        tcp_seg b = a;
        b.ack ^= 1u << bit;
        assert_false(rmri_tcp_cookie_read(ns, &b, &got));
        b = a;
        b.seq ^= 1u << bit;
        assert_false(rmri_tcp_cookie_read(ns, &b, &got));
        b = a;
        b.tuple.rport = (uint16_t)(b.tuple.rport ^ 1u << bit % 16);
        assert_false(rmri_tcp_cookie_read(ns, &b, &got));
        b = a;
        b.tuple.remote.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(rmri_tcp_cookie_read(ns, &b, &got));
    }
    sim_free(&s);
    sim_free(&other);
}

/* `n` SYNs, each from an address of its own. */
static void flood(sim *s, uint32_t n)
{
    rmr_ns *ns = s->h[0].ns;
    uint8_t b[40] = {0}, out[1280];
    size_t len;
    rmr_addr to = sim_addr(0, 80);
    ns_ip dst = rmri_ns_ip_of(&to);
    ns_tuple t = some_syn(0).tuple;
    for (uint32_t i = 0; i < n; i++) {
        ns_ip src = {{10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        tcp_out o = {0};
        t.remote = dst;
        t.local = src;
        t.rport = 80;
        o.tuple = &t;
        o.seq = i;
        o.flags = TH_SYN;
        o.wnd = 1000;
        uint64_t sum =
            rmri_ns_sum_pseudo(RMR_AF_INET, &src, &dst, NS_PROTO_TCP, 0);
        size_t size = rmri_tcp_write(b, &o, 0, sum, 0);
        assert_int_equal(rmr_ns_read_pkt(ns, s->now, rmr_bytes_of(b, size)),
                         RMR_OK);
        do
            assert_int_equal(
                rmr_ns_write_pkt(ns, s->now, rmr_buf_of(out, sizeof out), &len),
                RMR_OK);
        while (len);
    }
}

/* A flood leaves nothing behind, and an honest client still gets in. */
static void a_flood_of_syns_keeps_nobody_out(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 5, NULL, NULL);
    s.h[1].app.total = 100000;
    sim_listen(&s, 0, 80);
    flood(&s, 20000);
    assert_int_equal(stats_of(&s, 0).half_open, 128);
    assert_int_equal(stats_of(&s, 0).tcp_cookies_sent, 20000 - 128);
    assert_true(s.h[0].alloc.live_bytes < 100 * 1024);
    sim_app *a = &s.h[1].app;
    rmr_addr to = sim_addr(0, 80);
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[0].app.got, 100000);
    assert_false(s.h[0].app.bad);
    assert_int_equal(stats_of(&s, 0).tcp_cookies_taken, 1);
    sim_free(&s);
}

static void the_stack_has_a_limit_of_half_open_entries(void **state)
{
    (void)state;
    sim s;
    rmr_ns_sock l;
    sim_init(&s, 5, NULL, NULL);
    rmr_addr at = sim_addr(0, 80);
    assert_int_equal(rmr_ns_tcp_listen(s.h[0].ns, &at, NULL, &l), RMR_OK);
    assert_int_equal(rmr_ns_tcp_set_backlog(s.h[0].ns, l, 1000000, 1), RMR_OK);
    flood(&s, 5000);
    assert_int_equal(stats_of(&s, 0).half_open, 4096);
    assert_int_equal(stats_of(&s, 0).tcp_cookies_sent, 5000 - 4096);
    sim_run(&s, s.now + 100 * RMR_SEC); /* 1, 3, 7 s: they are gone */
    assert_int_equal(stats_of(&s, 0).half_open, 0);
    assert_int_equal(rmr_ns_next_deadline(s.h[0].ns), RMR_TIME_NEVER);
    sim_free(&s);
}

/* A stranger who resets inside the window gets answers up to the limit of the
 * stack, whose count is another one each second. */
static void half_open_entries_keep_to_the_limit_of_challenges(void **state)
{
    (void)state;
    sim s;
    uint8_t b[40], out[1280];
    size_t len;
    sim_init(&s, 5, NULL, NULL);
    sim_listen(&s, 0, 80);
    rmr_ns *ns = s.h[0].ns;
    tcp_half h = some_syn(0);
    rmr_addr me = sim_addr(0, 0);
    ns_tuple t = h.tuple;
    t.local = h.tuple.remote;
    t.lport = h.tuple.rport;
    t.remote = rmri_ns_ip_of(&me);
    t.rport = 80;
    tcp_out o = {0};
    o.tuple = &t;
    o.flags = TH_SYN;
    uint64_t sum =
        rmri_ns_sum_pseudo(RMR_AF_INET, &t.local, &t.remote, NS_PROTO_TCP, 0);
    uint64_t seen[2];
    for (int second = 0; second < 2; second++) {
        uint64_t before = stats_of(&s, 0).tcp_challenge_acks;
        for (int i = 0; i < 2000; i++) {
            size_t n = rmri_tcp_write(b, &o, 0, sum, 0);
            (void)rmr_ns_read_pkt(ns, s.now, rmr_bytes_of(b, n));
            do
                (void)rmr_ns_write_pkt(ns, s.now, rmr_buf_of(out, sizeof out),
                                       &len);
            while (len);
            o.flags = TH_RST;
            o.seq = 100;
        }
        seen[second] = stats_of(&s, 0).tcp_challenge_acks - before;
        assert_in_range(seen[second], 500, 999);
        s.now += RMR_SEC;
    }
    assert_int_not_equal(seen[0], seen[1]);
    assert_int_equal(stats_of(&s, 0).half_open, 1);
    sim_free(&s);
}

/* ---- the queue -------------------------------------------------------- */

static void a_paused_listener_holds_as_many_as_it_may(void **state)
{
    (void)state;
    for (int cookies = 0; cookies < 2; cookies++) {
        sim s;
        rmr_ns_sock l, sock[5];
        sim_init(&s, 5, NULL, NULL);
        s.keep_all = true;
        rmr_addr to = sim_addr(0, 80);
        assert_int_equal(rmr_ns_tcp_listen(s.h[0].ns, &to, NULL, &l), RMR_OK);
        assert_int_equal(
            rmr_ns_tcp_set_backlog(s.h[0].ns, l, cookies ? 0 : 10, 3), RMR_OK);
        assert_int_equal(rmr_ns_tcp_pause(s.h[0].ns, s.now, l, true), RMR_OK);
        for (int i = 0; i < 5; i++)
            assert_int_equal(rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to,
                                                &s.h[1].app, &sock[i]),
                             RMR_OK);
        sim_run(&s, s.now + RMR_SEC / 2);
        assert_int_equal(info_of(&s, 0, l).unaccepted, 3);
        assert_int_equal(info_of(&s, 0, l).half_open, cookies ? 0 : 2);
        assert_int_equal(stats_of(&s, 0).tcp_accepted, 0);
        assert_int_equal(stats_of(&s, 0).sockets, 4);
        /* One goes away meanwhile, and makes room for another. */
        assert_int_equal(rmr_ns_abort(s.h[1].ns, s.now, sock[0]), RMR_OK);
        sim_run(&s, s.now + 20 * RMR_MS);
        assert_int_equal(info_of(&s, 0, l).unaccepted, 2);
        /* With entries the SYN-ACK is repeated, and its answer taken. */
        sim_run(&s, s.now + 3 * RMR_SEC);
        assert_int_equal(info_of(&s, 0, l).unaccepted, cookies ? 2 : 3);
        assert_int_equal(rmr_ns_tcp_pause(s.h[0].ns, s.now, l, false), RMR_OK);
        sim_run(&s, s.now + 10 * RMR_SEC);
        assert_int_equal(stats_of(&s, 0).tcp_accepted, cookies ? 2 : 4);
        assert_int_equal(info_of(&s, 0, l).unaccepted, 0);
        assert_int_equal(rmr_ns_tcp_pause(s.h[0].ns, s.now, sock[1], true),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_ns_tcp_set_backlog(s.h[0].ns, sock[1], 1, 1),
                         RMR_E_BADHANDLE);
        sim_free(&s);
    }
}

static void a_closed_listener_resets_what_was_not_accepted(void **state)
{
    (void)state;
    sim s;
    rmr_ns_sock l;
    sim_init(&s, 5, NULL, NULL);
    rmr_addr to = sim_addr(0, 80);
    sim_app *a = &s.h[1].app;
    assert_int_equal(rmr_ns_tcp_listen(s.h[0].ns, &to, NULL, &l), RMR_OK);
    assert_int_equal(rmr_ns_tcp_pause(s.h[0].ns, s.now, l, true), RMR_OK);
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock), RMR_OK);
    a->manual = true;
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(stats_of(&s, 0).sockets, 2);
    assert_int_equal(rmr_ns_close(s.h[0].ns, s.now, l), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(a->why, RMR_E_RESET);
    assert_int_equal(stats_of(&s, 0).sockets, 0);
    assert_int_equal(s.h[0].app.accepted, 0);
    sim_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_brings_back_what_the_syn_said),
        cmocka_unit_test(a_cookie_lives_for_its_step_and_the_next),
        cmocka_unit_test(nothing_of_a_cookie_may_be_changed),
        cmocka_unit_test(a_flood_of_syns_keeps_nobody_out),
        cmocka_unit_test(the_stack_has_a_limit_of_half_open_entries),
        cmocka_unit_test(half_open_entries_keep_to_the_limit_of_challenges),
        cmocka_unit_test(a_paused_listener_holds_as_many_as_it_may),
        cmocka_unit_test(a_closed_listener_resets_what_was_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
