/* Deadlines, renewal, keepalives, expiry: what the timelines don't say. */
#include "wg_fixture.h"

/* A script of sends over `seconds`, and what each side sent, as one number. */
typedef struct trace {
    uint64_t sum;
    size_t n;
} trace;

static void note(trace *t, const wgf *f, const uint8_t *d, size_t n)
{
    static const rmr_hash_key key = {3, 4};
    /* To the second: a handler that is called late may be late by a step. */
    uint64_t at = (f->now - WGF_T0) / RMR_SEC;
    t->sum = t->sum * 31 + rmr_siphash(&key, d, n) + at;
    t->n++;
}

static void exchange_noting(wgf *f, trace *t)
{
    uint8_t d[WGF_BUF];
    for (bool any = true; any;) {
        any = false;
        wgf_side *sides[2] = {&f->a, &f->b};
        for (int i = 0; i < 2; i++)
            for (size_t n; (n = wgf_take(f, sides[i], d)) > 0;) {
                any = true;
                note(t, f, d, n);
                (void)wgf_give(f, wgf_other(f, sides[i]), d, n);
            }
    }
}

static void step_all(wgf *f, trace *t)
{
    assert_int_equal(rmr_wg_handle_deadline(f->a.wg, f->now), RMR_OK);
    assert_int_equal(rmr_wg_handle_deadline(f->b.wg, f->now), RMR_OK);
    exchange_noting(f, t);
}

/* A sends at 1, 2, 3, 60, 150 s, B at 2, 100, 400 s. */
static void scripted(wgf *f, trace *t, int second)
{
    static const int a[] = {1, 2, 3, 60, 150}, b[] = {2, 100, 400};
    for (size_t i = 0; i < 5; i++)
        if (a[i] == second)
            wgf_send(f, &f->a, 100);
    for (size_t i = 0; i < 3; i++)
        if (b[i] == second)
            wgf_send(f, &f->b, 100);
    exchange_noting(f, t);
}

static trace drive(bool exact, rmr_dur tick)
{
    wgf f;
    trace t = {0, 0};
    wgf_open(&f);
    for (int second = 0; second < 1000; second++) {
        rmr_time end = WGF_T0 + (rmr_time)(second + 1) * RMR_SEC;
        scripted(&f, &t, second);
        while (exact) {
            rmr_time next = rmr_time_min(rmr_wg_next_deadline(f.a.wg),
                                         rmr_wg_next_deadline(f.b.wg));
            if (next >= end)
                break;
            f.now = next;
            step_all(&f, &t);
        }
        for (rmr_time at = f.now; !exact && (at += tick) < end;) {
            f.now = at;
            step_all(&f, &t);
        }
        f.now = end;
        step_all(&f, &t);
    }
    wgf_close(&f);
    return t;
}

static void driving_at_deadlines_alone_gives_the_trace_of_every_tick(void **s)
{
    (void)s;
    trace exact = drive(true, 0);
    trace ms = drive(false, 5 * RMR_MS);
    trace odd = drive(false, 125 * RMR_MS);
    assert_true(exact.n > 15);
    assert_int_equal(exact.n, ms.n);
    assert_true(exact.sum == ms.sum);
    assert_int_equal(exact.n, odd.n);
    assert_true(exact.sum == odd.sum);
}

static void idle_is_never_and_early_calls_do_nothing(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    assert_true(rmr_wg_next_deadline(f.a.wg) == RMR_TIME_NEVER);
    wgf_handshake(&f);
    rmr_time at = rmr_wg_next_deadline(f.a.wg);
    assert_true(at > f.now && at != RMR_TIME_NEVER);
    uint64_t before = wgf_digest(f.a.wg);
    for (rmr_time t = f.now; t < at; t += (at - f.now) / 7 + 1)
        assert_int_equal(rmr_wg_handle_deadline(f.a.wg, t), RMR_OK);
    assert_true(wgf_digest(f.a.wg) == before);
    assert_int_equal(rmr_wg_next_deadline(f.a.wg), at);
    wgf_close(&f);
}

static void one_call_catches_up_after_a_long_sleep(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    assert_int_equal(rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 25),
                     RMR_OK);
    wgf_exchange(&f);
    f.now += 3 * 24 * 3600 * RMR_SEC;
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    assert_true(rmr_wg_next_deadline(f.a.wg) > f.now);
    uint8_t d[WGF_BUF];
    assert_int_equal(wgf_take(&f, &f.a, d), 148); /* one, not thousands */
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    wgf_close(&f);
}

static void a_clock_that_goes_back_stands_still(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    rmr_time at = rmr_wg_next_deadline(f.a.wg);
    rmr_time real = f.now;
    f.now = real - 100 * RMR_SEC;
    assert_int_equal(wgf_send(&f, &f.a, 50), RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 2);
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, 0), RMR_OK);
    assert_true(rmr_wg_next_deadline(f.a.wg) >= real);
    assert_true(rmr_wg_next_deadline(f.a.wg) <= at + 15 * RMR_SEC);
    assert_true(f.a.wg->stats.clock_back > 0);
    f.now = real;
    wgf_close(&f);
}

static void the_greatest_times_do_not_wrap(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    f.now = UINT64_MAX - 3;
    assert_int_equal(wgf_send(&f, &f.a, 50), RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 1);
    assert_true(rmr_wg_next_deadline(f.a.wg) == RMR_TIME_NEVER);
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, UINT64_MAX), RMR_OK);
    wgf_close(&f);
}

static void the_retry_has_a_jitter_of_at_most_333_ms(void **state)
{
    (void)state;
    wgf f;
    rmr_time least = RMR_TIME_NEVER, most = 0;
    wgf_open(&f);
    f.a.wg->jitter_max = WG_JITTER;
    wgf_send(&f, &f.a, 40);
    for (int i = 0; i < 2000; i++) {
        rmr_time in = rmr_wg_next_deadline(f.a.wg) - f.now;
        assert_true(in >= 5 * RMR_SEC && in <= 5 * RMR_SEC + WG_JITTER);
        least = in < least ? in : least;
        most = in > most ? in : most;
        wgf_state(&f.a)->attempts = 0;
        f.now += in;
        assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    }
    assert_true(least < 5 * RMR_SEC + 5 * RMR_MS);
    assert_true(most > 5 * RMR_SEC + 328 * RMR_MS);
    wgf_close(&f);
}

static void giving_up_is_told_and_new_data_begins_anew(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    size_t n = 0;
    for (int i = 0; i < 30; i++) {
        while (wgf_take(&f, &f.a, d))
            n++;
        if (f.a.n_state[RMR_WG_GAVE_UP])
            break;
        f.now = rmr_wg_next_deadline(f.a.wg);
        assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    }
    assert_int_equal(n, 20);
    assert_int_equal(f.a.n_state[RMR_WG_HANDSHAKE_STARTED], 20);
    assert_int_equal(f.now - WGF_T0, 100 * RMR_SEC);
    const wg_peer *p = wgf_state(&f.a);
    assert_int_equal(p->n_staged, 0);
    assert_int_equal(p->staged_dropped, 1);
    assert_null(p->hs);
    wgf_handshake(&f);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

static void keys_expire_540_seconds_after_the_handshake(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    rmr_time t = f.now;
    wgf_run(&f, t + 540 * RMR_SEC - 1);
    assert_non_null(wgf_state(&f.a)->current);
    assert_int_equal(f.a.n_state[RMR_WG_EXPIRED], 0);
    wgf_run(&f, t + 540 * RMR_SEC);
    assert_null(wgf_state(&f.a)->current);
    assert_null(wgf_state(&f.b)->current);
    assert_int_equal(f.a.n_state[RMR_WG_EXPIRED], 1);
    assert_int_equal(f.a.wg->indices.used, 0);
    assert_true(rmr_wg_next_deadline(f.a.wg) == RMR_TIME_NEVER);
    wgf_close(&f);
}

static void a_key_of_180_seconds_neither_sends_nor_opens(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], late[WGF_BUF];
    size_t n, m;
    wgf_open(&f);
    wgf_handshake(&f);
    rmr_time t = f.now;
    assert_int_equal(wgf_seal(&f, &f.a, 40, late, &m), RMR_OK);
    f.now = t + 180 * RMR_SEC - 1;
    rmr_wg_peer_stats st;
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_true(st.has_session);
    assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
    f.now = t + 180 * RMR_SEC;
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_false(st.has_session);
    assert_int_equal(wgf_give(&f, &f.b, late, m), RMR_E_UNKNOWN);
    assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_E_NOTREADY);
    wgf_close(&f);
}

static void counters_renew_at_2_60_and_end_at_the_limit(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    wg_key *k = wgf_state(&f.b)->current; /* the responder renews too */
    k->counter = WG_REKEY_AFTER_MESSAGES - 1;
    assert_int_equal(wgf_seal(&f, &f.b, 40, d, &n), RMR_OK);
    assert_int_equal(f.b.wg->stats.handshakes_initiated, 0);
    assert_int_equal(wgf_seal(&f, &f.b, 40, d, &n), RMR_OK);
    assert_int_equal(f.b.wg->stats.handshakes_initiated, 1);
    k->counter = WG_REJECT_AFTER_MESSAGES - 1;
    assert_int_equal(wgf_seal(&f, &f.b, 40, d, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.a, d, n), RMR_OK);
    assert_int_equal(wgf_seal(&f, &f.b, 40, d, &n), RMR_E_NOTREADY);
    assert_true(k->counter == WG_REJECT_AFTER_MESSAGES);
    /* The handshake that is out already brings the next key. */
    wgf_exchange(&f);
    assert_int_equal(wgf_state(&f.b)->current->counter, 1);
    wgf_close(&f);
}

static void renewal_under_traffic_loses_nothing(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    for (size_t i = 1; i <= 2000; i++) {
        wgf_run(&f, f.now + 500 * RMR_MS);
        wgf_send(&f, &f.a, 60);
        if (i % 3 == 0)
            wgf_send(&f, &f.b, 60);
        wgf_exchange(&f);
        assert_int_equal(f.b.n_packets, i);
        assert_int_equal(f.a.n_packets, i / 3);
    }
    /* Every 120 s or a little later, and never twice. */
    assert_int_equal(f.a.wg->stats.handshakes_initiated +
                         f.b.wg->stats.handshakes_initiated,
                     9);
    wgf_close(&f);
}

static void keepalives_switch_on_at_once_and_off(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    wgf_run(&f, f.now + 30 * RMR_SEC);
    uint64_t sent = f.a.wg->stats.tx_datagrams;
    assert_int_equal(rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 10),
                     RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.a.wg->stats.tx_datagrams, sent + 1);
    wgf_run(&f, f.now + 35 * RMR_SEC);
    assert_int_equal(f.a.wg->stats.tx_datagrams, sent + 4);
    assert_int_equal(f.b.n_packets, 1); /* keepalives aren't delivered */
    assert_int_equal(rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 0),
                     RMR_OK);
    wgf_run(&f, f.now + 35 * RMR_SEC);
    assert_int_equal(f.a.wg->stats.tx_datagrams, sent + 4);
    wgf_close(&f);
}

static void a_keepalive_without_an_answer_retries_for_ever(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 25);
    for (int i = 0; i < 2000; i++) {
        while (wgf_take(&f, &f.a, d))
            ;
        rmr_time next = rmr_wg_next_deadline(f.a.wg);
        assert_true(next != RMR_TIME_NEVER && next - f.now <= 25 * RMR_SEC);
        f.now = next;
        assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    }
    wgf_exchange(&f);
    assert_non_null(wgf_state(&f.a)->current);
    wgf_close(&f);
}

/* A retry that meets the 5 s rule must not leave packets waiting for luck:
 * every response is lost for a while, in both directions of a call. */
static void staged_packets_always_have_a_deadline(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        wgf f;
        test_rng g;
        uint8_t d[WGF_BUF];
        size_t n;
        wgf_open(&f);
        test_rng_seed(&g, seed);
        for (int i = 0; i < 120; i++) {
            uint64_t x = test_rng_u64(&g);
            if (x % 3 == 0)
                wgf_send(&f, x & 64 ? &f.a : &f.b, 40);
            f.now += (x >> 16) % 3000 * RMR_MS;
            wgf_side *sides[2] = {&f.a, &f.b};
            for (int k = 0; k < 2; k++) {
                wgf_side *s = sides[k];
                assert_int_equal(rmr_wg_handle_deadline(s->wg, f.now), RMR_OK);
                while ((n = wgf_take(&f, s, d)) > 0)
                    if (test_rng_u64(&g) & 1)
                        (void)wgf_give(&f, wgf_other(&f, s), d, n);
                const wg_peer *p = wgf_state(s);
                if (p->staged && !rmri_wg_can_send(p, f.now))
                    assert_true(p->deadline[WG_RETX] != RMR_TIME_NEVER);
            }
        }
        /* When the wire heals, what waits arrives within the next retry. */
        wgf_run(&f, f.now + 12 * RMR_SEC);
        assert_int_equal(wgf_state(&f.a)->n_staged, 0);
        assert_int_equal(wgf_state(&f.b)->n_staged, 0);
        wgf_close(&f);
    }
}

/* The net below: nothing was sent since 120 s, so only a receipt can renew. */
static void an_initiator_that_only_receives_renews_at_165_seconds(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    wgf_handshake(&f);
    wgf_run(&f, f.now + 30 * RMR_SEC);
    rmr_time born = wgf_state(&f.a)->current->born;
    f.now = born + 165 * RMR_SEC;
    wgf_send(&f, &f.b, 40);
    size_t n = wgf_take(&f, &f.b, d);
    assert_int_equal(wgf_give(&f, &f.a, d, n), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    f.now += 1;
    wgf_send(&f, &f.b, 40);
    n = wgf_take(&f, &f.b, d);
    assert_int_equal(wgf_give(&f, &f.a, d, n), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    /* Once: a lost answer is the retry's matter. */
    uint32_t attempts = wgf_state(&f.a)->attempts = 3;
    f.now += 6 * RMR_SEC;
    wgf_send(&f, &f.b, 40);
    n = wgf_take(&f, &f.b, d);
    assert_int_equal(wgf_give(&f, &f.a, d, n), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    assert_int_equal(wgf_state(&f.a)->attempts, attempts);
    wgf_close(&f);
}

static void a_completed_handshake_forgets_its_attempts(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    rmr_wg_peer_stats st;
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wgf_take(&f, &f.a, d), 148);
        f.now = rmr_wg_next_deadline(f.a.wg);
        rmr_wg_handle_deadline(f.a.wg, f.now);
    }
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_int_equal(st.handshake_attempts, 3);
    wgf_exchange(&f);
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_int_equal(st.handshake_attempts, 0);
    wgf_close(&f);
}

/* Its turn comes while an initiation is suppressed, also right before the
 * series gives up. */
static void a_keepalive_shorter_than_the_retry_never_stops(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 3);
    while (f.now < WGF_T0 + 1000 * RMR_SEC) {
        while (wgf_take(&f, &f.a, d))
            ;
        rmr_time next = rmr_wg_next_deadline(f.a.wg);
        assert_true(next <= f.now + 5 * RMR_SEC);
        f.now = next;
        assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    }
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            driving_at_deadlines_alone_gives_the_trace_of_every_tick),
        cmocka_unit_test(idle_is_never_and_early_calls_do_nothing),
        cmocka_unit_test(one_call_catches_up_after_a_long_sleep),
        cmocka_unit_test(a_clock_that_goes_back_stands_still),
        cmocka_unit_test(the_greatest_times_do_not_wrap),
        cmocka_unit_test(the_retry_has_a_jitter_of_at_most_333_ms),
        cmocka_unit_test(giving_up_is_told_and_new_data_begins_anew),
        cmocka_unit_test(keys_expire_540_seconds_after_the_handshake),
        cmocka_unit_test(a_key_of_180_seconds_neither_sends_nor_opens),
        cmocka_unit_test(counters_renew_at_2_60_and_end_at_the_limit),
        cmocka_unit_test(renewal_under_traffic_loses_nothing),
        cmocka_unit_test(keepalives_switch_on_at_once_and_off),
        cmocka_unit_test(a_keepalive_without_an_answer_retries_for_ever),
        cmocka_unit_test(an_initiator_that_only_receives_renews_at_165_seconds),
        cmocka_unit_test(a_completed_handshake_forgets_its_attempts),
        cmocka_unit_test(a_keepalive_shorter_than_the_retry_never_stops),
        cmocka_unit_test(staged_packets_always_have_a_deadline),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
