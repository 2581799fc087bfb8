/* Paths that take less than the link: told by routers, or swallowed. */
#include "ns_sim.h"

#include "ns_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool both_closed(sim *s)
{
    return s->h[0].app.closed && s->h[1].app.closed;
}

static rmr_ns_stats stats_of(const sim *s, int host)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(s->h[host].ns, &st);
    return st;
}

static double transfer(sim *s, uint64_t bytes, uint64_t back)
{
    s->h[1].app.total = bytes;
    s->h[0].app.total = back;
    sim_connect(s);
    rmr_time start = s->now;
    assert_true(sim_run_until(s, s->now + 600 * RMR_SEC, both_closed));
    assert_false(s->h[0].app.bad || s->h[1].app.bad);
    assert_int_equal(s->h[0].app.got, bytes);
    assert_int_equal(s->h[1].app.got, back);
    return (double)(s->now - start) / 1e9;
}

static void a_narrow_path_is_found_by_its_messages(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        sim s;
        rmr_ns_config cfg;
        rmr_ns_config_init(&cfg, sizeof cfg);
        cfg.mtu = 1500;
        sim_init(&s, 4, &cfg, &cfg);
        s.v6 = v6 != 0;
        s.link.mtu = v6 ? 1400 : 900;
        s.link.tells = true;
        double took = transfer(&s, 300000, 300000);
        assert_true(took < 1.0); /* no time-out on the way */
        for (int i = 0; i < 2; i++) {
            rmr_addr peer = v6 ? sim_addr6(1 - i, 0) : sim_addr(1 - i, 0);
            rmr_addr other = sim_addr(9, 0);
            assert_int_equal(rmr_ns_path_mtu(s.h[i].ns, &peer), s.link.mtu);
            assert_int_equal(rmr_ns_path_mtu(s.h[i].ns, &other), 1500);
            assert_int_equal(stats_of(&s, i).path_mtu_lowered, 1);
            assert_int_equal(stats_of(&s, i).tcp_timeouts, 0);
        }
        sim_free(&s);
    }
}

static void a_black_hole_is_crossed_by_smaller_segments(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        sim s;
        sim_init(&s, seed, NULL, NULL);
        s.v6 = seed % 2;
        s.link.mtu = seed < 2 ? 1279 : 700;
        s.link.loss_milli = seed > 3 ? 20 : 0;
        double took = transfer(&s, 100000, seed == 3 ? 100000 : 0);
        /* 1.4 s for the first size, 6.2 s for the second.  Both ways at once
         * the ACKs ride on segments that are swallowed, too. */
        assert_true(took < (seed == 3  ? 100
                            : seed > 3 ? 16
                            : seed < 2 ? 2
                                       : 8));
        sim_free(&s);
    }
}

/* The other connections to the same host learn it, too; new ones begin so. */
static void what_one_connection_learns_holds_for_the_path(void **state)
{
    (void)state;
    sim s;
    rmr_ns_tcp_info info;
    sim_init(&s, 4, NULL, NULL);
    s.keep_all = true;
    sim_listen(&s, 0, 80);
    rmr_addr to = sim_addr(0, 80);
    rmr_ns_sock sock[3];
    sim_app *a = &s.h[1].app;
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &sock[i]),
            RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    s.link.mtu = 1000;
    s.link.tells = true;
    static const uint8_t junk[5000];
    size_t taken;
    assert_int_equal(rmr_ns_tcp_send(s.h[1].ns, s.now, sock[0],
                                     rmr_bytes_of(junk, sizeof junk), &taken),
                     RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &sock[2]), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rmr_ns_tcp_get_info(s.h[1].ns, sock[i], &info),
                         RMR_OK);
        assert_int_equal(info.mss, 1000 - 52);
    }
    assert_int_equal(stats_of(&s, 1).path_mtu_lowered, 1);
    /* Also what another protocol learns. */
    ns_ip ip = rmri_ns_ip_of(&to);
    assert_true(rmri_ns_path_lower(s.h[1].ns, RMR_AF_INET, &ip, 700));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rmr_ns_tcp_get_info(s.h[1].ns, sock[i], &info),
                         RMR_OK);
        assert_int_equal(info.mss, 700 - 52);
    }
    sim_free(&s);
}

/* M07: an IPv6 path takes 1280 in any case. */
static void an_ipv6_mtu_below_1280_is_ignored(void **state)
{
    (void)state;
    test_alloc al = {0};
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_config cfg;
    ns_ip ip = {{0xfd}};
    rmr_addr a = rmri_ns_addr_of(RMR_AF_INET6, &ip, 0);
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&al, &rng, NULL);
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.mtu = 1500;
    assert_int_equal(rmr_ns_new(&ns, &env, &cfg, 0), RMR_OK);
    assert_false(rmri_ns_path_lower(ns, RMR_AF_INET6, &ip, 1279));
    assert_false(rmri_ns_path_lower(ns, RMR_AF_INET6, &ip, 0));
    assert_false(rmri_ns_path_lower(ns, RMR_AF_INET6, &ip, 1500));
    assert_int_equal(rmr_ns_path_mtu(ns, &a), 1500);
    size_t n = 0;
    do /* without memory it is as if the message was lost */
        al.fail_at = al.calls + ++n;
    while (!rmri_ns_path_lower(ns, RMR_AF_INET6, &ip, 1280));
    assert_in_range(n, 2, 20);
    al.fail_at = 0;
    assert_false(rmri_ns_path_lower(ns, RMR_AF_INET6, &ip, 1300));
    assert_int_equal(rmr_ns_path_mtu(ns, &a), 1280);
    assert_int_equal(rmr_ns_path_mtu(ns, NULL), 1500);
    rmr_ns_free(ns);
    assert_int_equal(al.live_blocks, 0);
}

static void paths_are_1024_and_the_one_used_longest_ago_goes(void **state)
{
    (void)state;
    test_alloc al = {0};
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&al, &rng, NULL);
    rmr_ns_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_ns_new(&ns, &env, &cfg, 0), RMR_OK);
    ns_ip first = {{10}};
    for (uint32_t i = 0; i < 1100; i++) {
        ns_ip ip = {{10, (uint8_t)(i >> 8), (uint8_t)i}};
        assert_true(rmri_ns_path_lower(ns, RMR_AF_INET, &ip, 1000));
        /* The first is used all the time. */
        assert_int_equal(rmri_ns_path_mtu(ns, RMR_AF_INET, &first), 1000);
    }
    rmr_ns_get_stats(ns, &st);
    assert_int_equal(st.path_mtu_lowered, 1100);
    assert_int_equal(st.path_mtu_evicted, 1100 - NS_PATHS_MAX);
    ns_ip second = {{10, 0, 1}}, last = {{10, 1100 >> 8, (uint8_t)1099}};
    assert_int_equal(rmri_ns_path_mtu(ns, RMR_AF_INET, &second), 1280);
    assert_int_equal(rmri_ns_path_mtu(ns, RMR_AF_INET, &last), 1000);
    assert_true(al.live_bytes < 256 * 1024);
    ns->now = 600 * RMR_SEC;
    assert_int_equal(rmri_ns_path_mtu(ns, RMR_AF_INET, &first), 1280);
    rmr_ns_free(ns);
    assert_int_equal(al.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_narrow_path_is_found_by_its_messages),
        cmocka_unit_test(a_black_hole_is_crossed_by_smaller_segments),
        cmocka_unit_test(what_one_connection_learns_holds_for_the_path),
        cmocka_unit_test(an_ipv6_mtu_below_1280_is_ignored),
        cmocka_unit_test(paths_are_1024_and_the_one_used_longest_ago_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
