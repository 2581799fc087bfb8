/* The rate limit by delayed reads, and the deadlines of the switch. */
#include "srv_fixture.h"

static void begin_limited(srv *s, uint64_t rate)
{
    sv_prepare(s);
    s->cfg.rate_bytes = rate;
    s->cfg.rate_burst_bytes = 1; /* raised to the largest packet */
    sv_make(s);
    sv_up(s, 0);
    sv_up(s, 1);
}

static void reading_waits_for_tokens_and_nothing_is_dropped(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536);
    srv s;
    assert_non_null(big);
    begin_limited(&s, 65568);
    assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    assert_int_equal(sv_stats(&s).rate_waits, 0);
    assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    /* The header was taken, the body was not. */
    assert_int_equal(s.c[0].kept_len, 65568);
    assert_int_equal(sv_stats(&s).rate_waits, 1);
    rmr_time at = rmr_dsw_next_deadline(s.sw);
    assert_true(at > s.now && at <= s.now + RMR_SEC);
    /* Pings behind it wait, too. */
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "12345678", 8), RMR_OK);
    sv_expect(&s, 0, "");
    sv_pass(&s, at - s.now - 1);
    sv_expect(&s, 1, "");
    sv_pass(&s, 1);
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    /* The others are not limited by it. */
    assert_int_equal(sv_send(&s, 1, 1, "other"), RMR_OK);
    sv_expect(&s, 1, "b: other\n");
    sv_pass(&s, RMR_SEC);
    sv_expect(&s, 0, "pong 31\n");
    free(big);
    sv_end(&s);
}

static void the_rate_holds_over_time(void **state)
{
    (void)state;
    uint8_t *p = calloc(1, 10000 - 32);
    size_t got = 0;
    srv s;
    assert_non_null(p);
    begin_limited(&s, 100000);
    rmr_time start = s.now;
    while (s.now - start < 10 * RMR_SEC) {
        while (s.c[0].kept_len == 0)
            assert_int_equal(sv_send_bytes(&s, 0, 1, p, 10000 - 32), RMR_OK);
        sv_pump(&s);
        got += s.c[1].out_len;
        s.c[1].out_len = 0;
        sv_pass(&s, rmr_dsw_next_deadline(s.sw) - s.now);
        sv_pump(&s);
    }
    /* The burst, and ten seconds' worth. */
    assert_in_range(got, 1000000, 1000000 + 65568 + 20000);
    free(p);
    sv_end(&s);
}

static void an_early_read_goes_on_without_the_timer(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536), *kept;
    srv s;
    assert_non_null(big);
    begin_limited(&s, 65568);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    sv_forget(&s, 1);
    s.now += 2 * RMR_SEC; /* the host reads before it handles the deadline */
    kept = s.c[0].kept;
    size_t n = s.c[0].kept_len;
    s.c[0].kept = NULL;
    s.c[0].kept_len = 0;
    assert_int_equal(sv_feed(&s, 0, kept, n), RMR_OK);
    free(kept);
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    sv_pass(&s, 0);
    free(big);
    sv_end(&s);
}

static void mesh_peers_and_logins_are_not_limited(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65600);
    srv s;
    assert_non_null(big);
    begin_limited(&s, 1000);
    sv_mesh(&s, MESH_C);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            sv_frame(&s, MESH_C, RMR_DERP_FORWARD_PACKET, big, 65600), RMR_OK);
    assert_int_equal(sv_stats(&s).rate_waits, 0);
    assert_int_equal(sv_stats(&s).forwarded_in, 5);
    free(big);
    sv_end(&s);
}

static void another_rate_frees_those_that_wait(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536);
    srv s;
    assert_non_null(big);
    begin_limited(&s, 1); /* hours */
    for (int i = 0; i < 2; i++)
        assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    sv_forget(&s, 1);
    rmr_dsw_set_rate(s.sw, s.now, 65568, 0);
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    /* The debt is at most a bucket of the new rate. */
    assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    assert_true(rmr_dsw_next_deadline(s.sw) <= s.now + RMR_SEC + RMR_MS);
    rmr_dsw_set_rate(s.sw, s.now, 0, 0);
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    for (int i = 0; i < 9; i++)
        assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    assert_int_equal(s.c[0].kept_len, 0);
    free(big);
    sv_end(&s);
}

/* ---- deadlines ----------------------------------------------------------- */

/* The same things at the same times, the clock driven in two ways. */
static void run(srv *s, char *text, size_t cap, bool each)
{
    sv_prepare(s);
    s->cfg.rate_bytes = 70000;
    sv_make(s);
    uint8_t *p = calloc(1, 30000);
    assert_non_null(p);
    sv_up(s, 0);
    sv_up(s, 1);
    sv_open(s, 3); /* never logs in */
    sv_up(s, 4);
    s->c[4].is_blocked = true;
    rmr_time end = s->now + 70 * RMR_SEC, send = s->now;
    while (s->now < end) {
        if (s->now >= send && send < end - 60 * RMR_SEC) {
            for (int i = 0; i < 3 && s->c[0].kept_len == 0; i++)
                assert_int_equal(sv_send_bytes(s, 0, 1, p, 30000), RMR_OK);
            if (s->c[4].is_open)
                assert_int_equal(sv_send(s, 1, 4, "x"), RMR_OK);
            send += RMR_SEC;
        }
        sv_pump(s);
        size_t at = strlen(text);
        if (s->c[1].out_len || s->c[0].out_len || s->log[0])
            (void)snprintf(text + at, cap - at, "%u %u %u %s\n",
                           (unsigned)((s->now - 5000 * RMR_SEC) / RMR_MS),
                           (unsigned)s->c[0].out_len, (unsigned)s->c[1].out_len,
                           s->log);
        s->log[0] = '\0';
        s->c[0].out_len = s->c[1].out_len = 0;
        /* up to a whole millisecond */
        rmr_time next = rmr_time_min(end, rmr_dsw_next_deadline(s->sw));
        next = (next + RMR_MS - 1) / RMR_MS * RMR_MS;
        if (send > s->now)
            next = rmr_time_min(next, send);
        if (each)
            next = s->now + RMR_MS;
        sv_pass(s, next - s->now);
    }
    free(p);
    sv_end(s);
}

static void driving_at_deadlines_alone_gives_the_same(void **state)
{
    (void)state;
    static char a[65536], b[65536];
    static srv s;
    run(&s, a, sizeof a, true);
    run(&s, b, sizeof b, false);
    assert_string_equal(a, b);
    assert_non_null(strstr(a, "close d timeout"));
    assert_non_null(strstr(a, "close e timeout"));
}

static void a_clock_that_went_back_is_the_latest_seen(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    rmr_time at = rmr_dsw_next_deadline(s.sw);
    s.now -= 100 * RMR_SEC;
    assert_int_equal(sv_send(&s, 0, 0, "x"), RMR_OK);
    assert_true(rmr_dsw_next_deadline(s.sw) ==
                s.now + 100 * RMR_SEC + 2 * RMR_SEC);
    sv_expect(&s, 0, "a: x\n");
    assert_true(rmr_dsw_next_deadline(s.sw) == at);
    assert_int_equal(rmr_dsw_handle_deadline(s.sw, RMR_TIME_NEVER), RMR_OK);
    assert_true(rmr_dsw_next_deadline(s.sw) == RMR_TIME_NEVER);
    sv_end(&s);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_waits_for_tokens_and_nothing_is_dropped),
        cmocka_unit_test(the_rate_holds_over_time),
        cmocka_unit_test(an_early_read_goes_on_without_the_timer),
        cmocka_unit_test(mesh_peers_and_logins_are_not_limited),
        cmocka_unit_test(another_rate_frees_those_that_wait),
        cmocka_unit_test(driving_at_deadlines_alone_gives_the_same),
        cmocka_unit_test(a_clock_that_went_back_is_the_latest_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
