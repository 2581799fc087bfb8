/* Two stacks over a bad link: content, ends, no stall, no growth. */
#include "ns_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool both_closed(sim *s)
{
    return s->h[0].app.closed && s->h[1].app.closed;
}

static void check_streams(sim *s)
{
    for (int i = 0; i < 2; i++) {
        sim_app *a = &s->h[i].app;
        sim_app *b = &s->h[1 - i].app;
        assert_false(a->bad);
        assert_int_equal(a->got, b->total);
        assert_int_equal(a->n_closed, 1);
        assert_int_equal(a->why, RMR_OK);
        assert_true(a->eof);
    }
}

static void transfer(uint64_t seed, const sim_link *link, uint64_t up,
                     uint64_t down, rmr_dur limit)
{
    sim s;
    sim_init(&s, seed, NULL, NULL);
    s.link = *link;
    s.h[1].app.total = up;
    s.h[0].app.total = down;
    sim_connect(&s);
    if (!sim_run_until(&s, s.now + limit, both_closed)) {
        rmr_ns_tcp_info a, b;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        (void)rmr_ns_tcp_get_info(s.h[0].ns, s.h[0].app.sock, &a);
        (void)rmr_ns_tcp_get_info(s.h[1].ns, s.h[1].app.sock, &b);
        fail_msg("seed %llu stalls: states %d %d, read %llu %llu of %llu %llu",
                 (unsigned long long)seed, (int)a.state, (int)b.state,
                 (unsigned long long)s.h[0].app.got,
                 (unsigned long long)s.h[1].app.got, (unsigned long long)up,
                 (unsigned long long)down);
    }
    check_streams(&s);
    /* TIME-WAIT passes, and nothing is left. */
    sim_run(&s, s.now + 200 * RMR_SEC);
    for (int i = 0; i < 2; i++) {
        rmr_ns_stats st;
        rmr_ns_get_stats(s.h[i].ns, &st);
        assert_int_equal(st.time_wait, 0);
        assert_int_equal(st.buffer_bytes, 0);
        assert_int_equal(st.sockets, i == 0 ? 1 : 0);
        assert_int_equal(rmr_ns_next_deadline(s.h[i].ns), RMR_TIME_NEVER);
    }
    sim_free(&s);
}

static void a_clean_link_carries_both_directions(void **state)
{
    (void)state;
    sim_link l = {0};
    l.delay = 10 * RMR_MS;
    transfer(1, &l, 3000000, 1000000, 60 * RMR_SEC);
}

static void loss_up_to_ten_percent_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        sim_link l = {0};
        l.delay = 10 * RMR_MS;
        l.loss_milli = (uint32_t)(seed % 11) * 10;
        transfer(seed, &l, 200000, 150000, 600 * RMR_SEC);
    }
}

static void reordering_and_duplicates_do_no_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        sim_link l = {0};
        l.delay = 20 * RMR_MS;
        l.jitter = seed % 3 ? 5 * RMR_MS : 0;
        l.loss_milli = (uint32_t)(seed % 5) * 10;
        l.dup_milli = 50;
        l.reorder_milli = 100;
        l.hold = 15 * RMR_MS;
        transfer(seed, &l, 200000, 100000, 600 * RMR_SEC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_link_carries_both_directions),
        cmocka_unit_test(loss_up_to_ten_percent_loses_nothing),
        cmocka_unit_test(reordering_and_duplicates_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
