/* Coming back: back-off, nodes in turn, and a relay that says it restarts. */
#include "derp_fixture.h"

/* How long after a failure the next attempt is wanted; drives by deadlines. */
static rmr_dur wait_for_retry(fixture *f, rmr_dial *dial)
{
    rmr_time from = f->now, at = rmr_derp_next_deadline(f->d);
    if (at != RMR_TIME_NEVER) {
        assert_true(at > f->now);
        f->now = at - 1;
        assert_int_equal(rmr_derp_handle_deadline(f->d, f->now), RMR_OK);
        assert_false(rmr_derp_wants_stream(f->d, f->now, dial));
        f->now = at;
        assert_int_equal(rmr_derp_handle_deadline(f->d, f->now), RMR_OK);
        assert_true(rmr_derp_next_deadline(f->d) == RMR_TIME_NEVER);
    }
    assert_true(rmr_derp_wants_stream(f->d, f->now, dial));
    return f->now - from;
}

static rmr_dur base_of(unsigned n)
{
    rmr_dur t = (rmr_dur)n * n * 10 * RMR_MS;
    return t < 5 * RMR_SEC ? t : 5 * RMR_SEC;
}

static void expect_between(rmr_dur t, unsigned n_failed)
{
    assert_true(t >= base_of(n_failed) / 2);
    assert_true(t < base_of(n_failed) * 3 / 2);
}

static void failures_in_a_row_back_off_to_five_seconds(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    rmr_dur least = RMR_TIME_NEVER, most = 0;
    fx_begin(&f, true);
    fx_dial(&f);
    for (unsigned n = 1; n < 400; n++) {
        rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
        fx_log(&f, "down refused\n");
        rmr_dur t = wait_for_retry(&f, &dial);
        expect_between(t, n);
        if (n > 23 && t < least)
            least = t;
        if (n > 23 && t > most)
            most = t;
    }
    /* The factor is spread over its range. */
    assert_true(least < 2700 * RMR_MS && most > 7300 * RMR_MS);
    assert_int_equal(fx_stats(&f).failures, 399);
    fx_end(&f);
}

static void any_frame_behind_the_greeting_resets_the_back_off(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, true);
    fx_dial(&f);
    for (int greeted = 0; greeted < 2; greeted++) {
        for (unsigned n = 1; n < 10; n++) {
            rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
            (void)wait_for_retry(&f, &dial);
        }
        assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_OK);
        assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
        assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
        if (greeted)
            assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
        rmr_derp_stream_closed(f.d, f.now, RMR_OK);
        expect_between(wait_for_retry(&f, &dial), greeted ? 1 : 10);
        if (!greeted) { /* begin anew */
            assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_OK);
            assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
            assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
            assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
        }
    }
    fx_end(&f);
}

static void nodes_are_tried_in_turn_and_stun_only_ones_never(void **state)
{
    static const char *const order[] = {"derp.example", "c.derp.example",
                                        "d.derp.example", "derp.example",
                                        "c.derp.example"};
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_prepare(&f, true, 4);
    f.nodes[1].stun_only = true;
    assert_int_equal(fx_make(&f), RMR_OK);
    for (int i = 0; i < 5; i++) {
        (void)wait_for_retry(&f, &dial);
        assert_string_equal(dial.host, order[i]);
        rmr_derp_stream_closed(f.d, f.now, RMR_E_UNREACHABLE);
    }
    /* After a connection that was up the first one comes first again. */
    (void)wait_for_retry(&f, &dial);
    assert_string_equal(dial.host, "d.derp.example");
    assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_OK);
    assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    (void)wait_for_retry(&f, &dial);
    assert_string_equal(dial.host, "derp.example");
    fx_end(&f);
}

static void a_region_that_is_not_home_comes_back_only_for_a_send(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    uint8_t key[32] = {1};
    fx_begin(&f, false);
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_E_NOTREADY);
    fx_dial(&f);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    assert_int_equal(fx_stats(&f).dropped_down, 1);
    assert_true(rmr_derp_next_deadline(f.d) == RMR_TIME_NEVER);
    assert_false(rmr_derp_wants_stream(f.d, f.now + RMR_SEC, &dial));
    f.now += RMR_SEC;
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_E_NOTREADY);
    fx_dial(&f);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    /* A send within the back-off waits for its end. */
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_E_NOTREADY);
    expect_between(wait_for_retry(&f, &dial), 2);
    fx_end(&f);
}

static void a_region_that_becomes_home_connects_by_itself(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, false);
    assert_false(rmr_derp_wants_stream(f.d, f.now, &dial));
    rmr_derp_set_preferred(f.d, f.now, true);
    rmr_derp_set_preferred(f.d, f.now, false); /* or not, after all */
    assert_false(rmr_derp_wants_stream(f.d, f.now, &dial));
    rmr_derp_set_preferred(f.d, f.now, true);
    fx_greet(&f);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 109 + 6);
    assert_int_equal(f.out[109 + 5], 1);
    fx_end(&f);
}

/* ---- restarting ------------------------------------------------------- */

static void tell_restart(fixture *f, uint32_t in_ms, uint32_t for_ms)
{
    uint8_t frame[13] = {RMR_DERP_RESTARTING, 0, 0, 0, 8};
    for (int i = 0; i < 4; i++) {
        frame[5 + i] = (uint8_t)(in_ms >> (24 - 8 * i));
        frame[9 + i] = (uint8_t)(for_ms >> (24 - 8 * i));
    }
    assert_int_equal(fx_feed(f, frame, sizeof frame), RMR_OK);
}

static void a_relay_that_restarts_is_waited_for_as_it_said(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_prepare(&f, true, 2);
    assert_int_equal(fx_make(&f), RMR_OK);
    fx_up(&f);
    assert_int_equal(fx_feed_frame(&f, "restarting"), RMR_OK);
    fx_log(&f, "");
    rmr_derp_stream_closed(f.d, f.now, RMR_OK);
    fx_log(&f, "down closed\n");
    rmr_time end = f.now + 1500 * RMR_MS + 30 * RMR_SEC;
    rmr_dur wait = wait_for_retry(&f, &dial);
    assert_true(wait >= 1500 * RMR_MS && wait < 2250 * RMR_MS);
    /* For thirty seconds: the same node, and failures are no news. */
    unsigned n = 0;
    while (f.now < end) {
        assert_string_equal(dial.host, "derp.example");
        rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
        fx_log(&f, "");
        expect_between(wait_for_retry(&f, &dial), ++n);
    }
    assert_true(n > 10);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    fx_log(&f, "down refused\n");
    (void)wait_for_retry(&f, &dial);
    assert_string_equal(dial.host, "b.derp.example");
    fx_end(&f);
}

static void a_restart_is_over_when_the_relay_is_back(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, true);
    fx_up(&f);
    tell_restart(&f, 1000, 60000);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    fx_log(&f, "down reset\n");
    f.now += RMR_SEC + RMR_SEC / 2;
    fx_up(&f);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    fx_log(&f, "down reset\n");
    expect_between(wait_for_retry(&f, &dial), 1);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    fx_log(&f, "down refused\n");
    fx_end(&f);
}

static void a_relay_can_not_send_us_away_for_days(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, true);
    fx_up(&f);
    tell_restart(&f, UINT32_MAX, UINT32_MAX);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    rmr_time from = f.now;
    rmr_dur wait = wait_for_retry(&f, &dial);
    assert_true(wait >= 30 * RMR_SEC && wait < 45 * RMR_SEC);
    assert_true(f.d->restart_until == from + 330 * RMR_SEC);
    fx_end(&f);
}

/* All were told the same; they come spread over half of it. */
static void clients_of_a_restarting_relay_do_not_come_at_once(void **state)
{
    (void)state;
    rmr_dur least = RMR_TIME_NEVER, most = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        fixture f;
        rmr_dial dial;
        fx_begin(&f, true);
        fx_up(&f);
        test_rng_seed(&f.rng, seed);
        tell_restart(&f, 2000, 60000);
        rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
        rmr_dur t = wait_for_retry(&f, &dial);
        assert_true(t >= 2 * RMR_SEC && t < 3 * RMR_SEC);
        least = t < least ? t : least;
        most = t > most ? t : most;
        fx_end(&f);
    }
    assert_true(least < 2200 * RMR_MS && most > 2800 * RMR_MS);
}

static void without_randomness_for_the_restart_it_is_done(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    tell_restart(&f, 2000, 60000);
    f.rng.fail_at = f.rng.calls + 1;
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_E_RNG);
    fx_end(&f);
}

static void a_restart_at_once_is_at_once(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    tell_restart(&f, 0, 0);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    assert_true(rmr_derp_next_deadline(f.d) == RMR_TIME_NEVER);
    fx_dial(&f);
    fx_end(&f);
}

/* ---- the rule of deadlines --------------------------------------------- */

/* Ten minutes with a relay that comes and goes; every 10 ms when `ticking`,
 * else at deadlines alone.  What happens goes into `trace`. */
static void run_relay(char *trace, size_t cap, bool ticking)
{
    fixture f;
    size_t len = 0;
    fx_prepare(&f, true, 2);
    f.now = 0;
    assert_int_equal(fx_make(&f), RMR_OK);
    rmr_time start = f.now;
    unsigned n = 0;
    while (f.now < start + 600 * RMR_SEC) {
        rmr_dial dial;
        assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_OK);
        (void)rmr_derp_wants_close(f.d);
        if (rmr_derp_wants_stream(f.d, f.now, &dial)) {
            len += (size_t)snprintf(trace + len, cap - len, "%llu %s\n",
                                    (unsigned long long)(f.now / RMR_MS / 10),
                                    dial.host);
            if (++n % 8) {
                rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
            } else {
                assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_OK);
                assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)),
                                 RMR_OK);
                assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
                assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
            }
        }
        rmr_time at = rmr_derp_next_deadline(f.d);
        assert_true(at > f.now && at != RMR_TIME_NEVER);
        /* Both step on a grid, so that their times can be compared. */
        rmr_dur grid = 10 * RMR_MS;
        f.now = ticking ? f.now + grid : (at + grid - 1) / grid * grid;
    }
    assert_true(len + 100 < cap);
    fx_end(&f);
}

static void driving_at_deadlines_gives_what_driving_always_gives(void **state)
{
    (void)state;
    static char a[8192], b[8192];
    run_relay(a, sizeof a, false);
    run_relay(b, sizeof b, true);
    assert_string_equal(a, b);
    assert_non_null(strstr(a, "b.derp.example"));
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_back_off_to_five_seconds),
        cmocka_unit_test(any_frame_behind_the_greeting_resets_the_back_off),
        cmocka_unit_test(nodes_are_tried_in_turn_and_stun_only_ones_never),
        cmocka_unit_test(a_region_that_is_not_home_comes_back_only_for_a_send),
        cmocka_unit_test(a_region_that_becomes_home_connects_by_itself),
        cmocka_unit_test(a_relay_that_restarts_is_waited_for_as_it_said),
        cmocka_unit_test(a_restart_is_over_when_the_relay_is_back),
        cmocka_unit_test(a_relay_can_not_send_us_away_for_days),
        cmocka_unit_test(a_restart_at_once_is_at_once),
        cmocka_unit_test(clients_of_a_restarting_relay_do_not_come_at_once),
        cmocka_unit_test(without_randomness_for_the_restart_it_is_done),
        cmocka_unit_test(driving_at_deadlines_gives_what_driving_always_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
