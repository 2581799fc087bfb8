/* The way up: dial, upgrade, greeting, login; and everything that can go wrong
 * on it. */
#include "derp_fixture.h"

static const char *const request_of_vector =
    "GET /derp HTTP/1.1\r\nHost: derp.example\r\nConnection: Upgrade\r\n"
    "Upgrade: DERP\r\n\r\n";

static void the_request_is_that_of_the_vector(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_open(&f);
    const char *want = tv_get_str(fx_case(&f, "http", "upgrade"), "request");
    assert_string_equal(want, request_of_vector);
    fx_expect_out(&f, (const uint8_t *)want, strlen(want));
    fx_end(&f);
}

static void expect_request(fixture *f, const char *want)
{
    fx_open(f);
    fx_drain(f, 2000);
    f->out[f->out_len] = '\0';
    assert_string_equal((char *)f->out, want);
}

static void host_has_no_port_and_an_ipv6_literal_has_brackets(void **state)
{
    (void)state;
    fixture f;
    fx_prepare(&f, true, 1);
    (void)snprintf(f.nodes[0].dial.host, RMR_HOST_MAX, "2001:db8::1");
    f.nodes[0].dial.port = 8443;
    f.nodes[0].dial.tls = false;
    assert_int_equal(fx_make(&f), RMR_OK);
    expect_request(&f, "GET /derp HTTP/1.1\r\nHost: [2001:db8::1]\r\n"
                       "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n");
    fx_end(&f);
}

static void a_later_node_is_told_which_one_was_ideal(void **state)
{
    (void)state;
    fixture f;
    for (int plain = 0; plain < 2; plain++) {
        fx_prepare(&f, true, 2);
        f.nodes[0].stun_only = true;
        if (!plain)
            f.nodes[0].name[0] = '\n';
        assert_int_equal(fx_make(&f), RMR_OK);
        expect_request(&f, plain ? "GET /derp HTTP/1.1\r\n"
                                   "Host: b.derp.example\r\n"
                                   "Connection: Upgrade\r\nUpgrade: DERP\r\n"
                                   "Ideal-Node: 900a\r\n\r\n"
                                 : "GET /derp HTTP/1.1\r\n"
                                   "Host: b.derp.example\r\n"
                                   "Connection: Upgrade\r\nUpgrade: DERP\r\n"
                                   "\r\n");
        fx_end(&f);
    }
}

static void the_dial_is_the_node_s_with_a_timeout(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, true);
    assert_true(rmr_derp_wants_stream(f.d, f.now, &dial));
    assert_string_equal(dial.host, "derp.example");
    assert_int_equal(dial.port, 443);
    assert_true(dial.tls);
    assert_true(dial.timeout == 10 * RMR_SEC);
    fx_end(&f);
}

static void use_vector_nonce(fixture *f)
{
    tv *v = fx_case(f, "frames", "client_info_regular_canackpings");
    f->script_len = tv_get_hex(v, "nonce", f->script, sizeof f->script);
}

static void the_login_is_that_of_the_vector(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    use_vector_nonce(&f);
    fx_greet(&f);
    fx_expect_out_frame(&f, "client_info_regular_canackpings");
    fx_log(&f, "");
    assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
    fx_log(&f, "up\n");
    assert_int_equal(fx_stats(&f).connects, 1);
    fx_end(&f);
}

static void a_home_says_so_right_behind_the_login(void **state)
{
    (void)state;
    fixture f;
    uint8_t want[256];
    fx_prepare(&f, true, 1);
    f.cfg.preferred = true;
    assert_int_equal(fx_make(&f), RMR_OK);
    use_vector_nonce(&f);
    fx_greet(&f);
    size_t n =
        fx_frame(&f, "client_info_regular_canackpings", want, sizeof want);
    n += fx_frame(&f, "note_preferred_true", want + n, sizeof want - n);
    fx_expect_out(&f, want, n);
    rmr_derp_set_preferred(f.d, f.now, false);
    fx_expect_out_frame(&f, "note_preferred_false");
    rmr_derp_set_preferred(f.d, f.now, true);
    fx_expect_out_frame(&f, "note_preferred_true");
    rmr_derp_set_preferred(f.d, f.now, false);
    rmr_derp_set_preferred(f.d, f.now, true); /* nothing to say */
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 0);
    fx_end(&f);
}

static void a_home_says_so_again_on_each_connection(void **state)
{
    (void)state;
    fixture f;
    fx_prepare(&f, true, 1);
    f.cfg.preferred = true;
    assert_int_equal(fx_make(&f), RMR_OK);
    for (int i = 0; i < 3; i++) {
        fx_greet(&f);
        fx_drain(&f, 2000);
        assert_int_equal(f.out_len, 109 + 6);
        assert_int_equal(f.out[109], RMR_DERP_NOTE_PREFERRED);
        rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
        f.now += RMR_SEC;
    }
    fx_end(&f);
}

static void output_is_the_same_in_bits_of_any_size(void **state)
{
    (void)state;
    uint8_t whole[1024];
    size_t whole_len = 0;
    for (size_t size = 2000; size > 0; size = size > 200 ? 200 : size - 1) {
        fixture f;
        fx_prepare(&f, true, 1);
        f.cfg.preferred = true;
        assert_int_equal(fx_make(&f), RMR_OK);
        fx_open(&f);
        assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
        assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
        fx_drain(&f, size);
        if (whole_len == 0) {
            memcpy(whole, f.out, f.out_len);
            whole_len = f.out_len;
        }
        assert_int_equal(f.out_len, whole_len);
        assert_memory_equal(f.out, whole, whole_len);
        fx_end(&f);
    }
}

/* ---- what goes wrong --------------------------------------------------- */

static void expect_end(fixture *f, rmr_err got, rmr_err want, const char *log)
{
    assert_int_equal(got, want);
    fx_log(f, log);
    assert_true(rmr_derp_wants_close(f->d));
    assert_false(rmr_derp_wants_close(f->d));
    assert_int_equal(fx_stats(f).failures, 1);
    assert_int_equal(fx_feed(f, "x", 1), RMR_E_STATE);
    fx_drain(f, 100);
    assert_int_equal(f->out_len, 0);
}

static void other_answers_than_101_end_the_attempt(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", "DERP? no\r\n\r\n",
        "\x16\x03\x01"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture f;
        fx_begin(&f, true);
        fx_open(&f);
        expect_end(&f, fx_feed(&f, bad[i], strlen(bad[i])), RMR_E_DERP_UPGRADE,
                   "down upgrade\n");
        fx_end(&f);
    }
}

static void an_endless_head_ends_the_attempt(void **state)
{
    (void)state;
    fixture f;
    char line[64];
    rmr_err e;
    fx_begin(&f, true);
    fx_open(&f);
    e = fx_feed(&f, "HTTP/1.1 101 S\r\n", 16);
    for (int i = 0; e == RMR_OK && i < 1000; i++) {
        (void)snprintf(line, sizeof line, "X-%d: yyyyyyyyyyyyyyyyyyyyyy\r\n",
                       i);
        e = fx_feed(&f, line, strlen(line));
    }
    expect_end(&f, e, RMR_E_DERP_UPGRADE, "down upgrade\n");
    assert_true(f.mem.peak_bytes < 64 * 1024);
    fx_end(&f);
}

static void check_greeting(const uint8_t *frame, size_t n, bool good)
{
    fixture f;
    fx_begin(&f, true);
    fx_open(&f);
    fx_drain(&f, 2000);
    assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
    rmr_err e = fx_feed(&f, frame, n);
    if (good)
        assert_int_equal(e, RMR_OK);
    else
        expect_end(&f, e, RMR_E_DERP_LOGIN, "down login\n");
    fx_end(&f);
}

static void the_first_frame_must_be_a_greeting(void **state)
{
    (void)state;
    fixture f;
    uint8_t frame[1200] = {0};
    fx_begin(&f, true);
    assert_int_equal(fx_frame(&f, "server_key", frame, 64), 45);
    fx_end(&f);
    frame[4] = 39;
    check_greeting(frame, 44, false);
    frame[4] = 40;
    check_greeting(frame, 45, true);
    frame[3] = 4;
    frame[4] = 0; /* 1024 */
    check_greeting(frame, 5 + 1024, true);
    frame[4] = 1;
    check_greeting(frame, 5 + 1025, false);
    frame[3] = 0;
    frame[4] = 40;
    frame[5] ^= 1; /* the magic */
    check_greeting(frame, 45, false);
    frame[5] ^= 1;
    frame[0] = RMR_DERP_KEEP_ALIVE; /* another frame */
    check_greeting(frame, 45, false);
    frame[0] = RMR_DERP_SERVER_KEY;
    memset(frame + 13, 0, 32); /* a key of low order */
    check_greeting(frame, 45, false);
}

static void fatal_streams_of_the_vectors_end_the_connection(void **state)
{
    (void)state;
    for (int up = 0; up < 2; up++) {
        for (size_t i = 0; i < 3; i++) {
            fixture f;
            uint8_t stream[512];
            fx_begin(&f, true);
            tv *list = tv_get(f.vectors, "fatal");
            assert_int_equal(tv_len(list), 3);
            size_t n =
                tv_get_hex(tv_at(list, i), "stream", stream, sizeof stream);
            if (up)
                fx_up(&f);
            else
                fx_greet(&f);
            bool big = i == 0;
            expect_end(&f, fx_feed(&f, stream, n),
                       big ? RMR_E_DERP_FRAME : RMR_E_DERP_LOGIN,
                       big ? "down frame\n" : "down login\n");
            fx_end(&f);
        }
    }
}

static void an_orderly_end_means_what_it_means_where_it_comes(void **state)
{
    static const char *const log[] = {"down closed\n", "down upgrade\n",
                                      "down login\n", "down login\n",
                                      "down closed\n"};
    (void)state;
    for (int stage = 0; stage < 5; stage++) {
        fixture f;
        fx_begin(&f, true);
        if (stage == 0)
            fx_dial(&f);
        if (stage == 1 || stage == 2)
            fx_open(&f);
        if (stage == 2)
            assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
        if (stage == 3)
            fx_greet(&f);
        if (stage == 4)
            fx_up(&f);
        rmr_derp_stream_closed(f.d, f.now, RMR_OK);
        fx_log(&f, log[stage]);
        assert_false(rmr_derp_wants_close(f.d));
        fx_end(&f);
    }
}

static void a_broken_stream_is_told_as_it_was(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_dial(&f);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    fx_log(&f, "down refused\n");
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET); /* once is enough */
    fx_log(&f, "");
    assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_E_STATE);
    fx_end(&f);
}

static void a_host_that_closed_first_is_not_asked_to(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_open(&f);
    assert_int_equal(fx_feed(&f, "nonsense\r\n", 10), RMR_E_DERP_UPGRADE);
    rmr_derp_stream_closed(f.d, f.now, RMR_OK);
    assert_false(rmr_derp_wants_close(f.d));
    fx_end(&f);
}

static void no_new_stream_is_wanted_before_the_old_one_is_closed(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    fx_begin(&f, true);
    fx_open(&f);
    assert_int_equal(fx_feed(&f, "nonsense\r\n", 10), RMR_E_DERP_UPGRADE);
    f.now += 10 * RMR_SEC;
    assert_false(rmr_derp_wants_stream(f.d, f.now, &dial));
    assert_true(rmr_derp_wants_close(f.d));
    assert_true(rmr_derp_wants_stream(f.d, f.now, &dial));
    fx_end(&f);
}

/* ---- time ------------------------------------------------------------- */

static void each_stage_has_its_end(void **state)
{
    (void)state;
    for (int stage = 0; stage < 4; stage++) {
        fixture f;
        rmr_dur end = stage ? 10 * RMR_SEC : 15 * RMR_SEC;
        fx_begin(&f, true);
        assert_true(rmr_derp_next_deadline(f.d) == RMR_TIME_NEVER);
        if (stage == 0)
            fx_dial(&f);
        if (stage == 1 || stage == 2)
            fx_open(&f);
        if (stage == 2)
            assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
        if (stage == 3)
            fx_greet(&f);
        assert_true(rmr_derp_next_deadline(f.d) == f.now + end);
        fx_pass(&f, end - 1);
        fx_log(&f, "");
        fx_pass(&f, 1);
        fx_log(&f, "down timeout\n");
        assert_true(rmr_derp_wants_close(f.d));
        fx_end(&f);
    }
}

/* ---- memory and randomness --------------------------------------------- */

static void
each_failing_allocation_is_told_and_the_next_attempt_works(void **state)
{
    (void)state;
    size_t n_failed = 0;
    for (size_t fail = 1; fail < 20; fail++) {
        fixture f;
        rmr_err e;
        fx_prepare(&f, true, 1);
        f.mem.fail_at = fail;
        e = fx_make(&f);
        if (e != RMR_OK) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_null(f.d);
            assert_int_equal(f.mem.live_blocks, 0);
            assert_int_equal(fx_make(&f), RMR_OK);
        }
        fx_dial(&f);
        e = rmr_derp_stream_opened(f.d, f.now);
        if (e == RMR_OK) {
            uint8_t both[512];
            size_t n = strlen(HEAD_101);
            memcpy(both, HEAD_101, n);
            n += fx_frame(&f, "server_key", both + n, 64);
            /* Cut, so that it must be gathered. */
            e = fx_feed(&f, both, n - 5);
            if (e == RMR_OK)
                e = fx_feed(&f, both + n - 5, 5);
        }
        if (e != RMR_OK) {
            assert_int_equal(e, RMR_E_NOMEM);
            fx_log(&f, "down out of memory\n");
            assert_true(rmr_derp_wants_close(f.d));
            f.now += RMR_SEC;
            fx_up(&f);
        }
        n_failed += f.mem.failed;
        fx_end(&f);
    }
    assert_true(n_failed >= 4);
}

static void without_randomness_for_the_login_the_object_is_done(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    size_t n;
    uint8_t b[8];
    fx_begin(&f, true);
    fx_open(&f);
    assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
    f.rng.fail_at = f.rng.calls + 1;
    assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_E_RNG);
    assert_true(rmr_derp_wants_close(f.d));
    assert_int_equal(rmr_derp_read(f.d, f.now, rmr_buf_of(b, 1)), RMR_E_RNG);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(b, 8), &n),
                     RMR_E_RNG);
    assert_int_equal(
        rmr_derp_send(f.d, f.now, f.cfg.private_key, rmr_bytes_of(b, 1)),
        RMR_E_RNG);
    assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_E_RNG);
    assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_E_RNG);
    assert_false(rmr_derp_wants_stream(f.d, f.now + RMR_SEC, &dial));
    assert_true(rmr_derp_next_deadline(f.d) == RMR_TIME_NEVER);
    fx_end(&f);
}

static void without_randomness_for_the_back_off_the_object_is_done(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_dial(&f);
    f.rng.fail_at = f.rng.calls + 1;
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    assert_non_null(strstr(f.log, "down "));
    assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_E_RNG);
    fx_end(&f);
}

static void keys_do_not_stay_in_freed_memory(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    uint8_t secret[RMR_KEY_LEN], shared[RMR_KEY_LEN];
    memcpy(secret, f.cfg.private_key, sizeof secret);
    f.mem.secret = secret;
    f.mem.secret_len = sizeof secret;
    fx_up(&f);
    memcpy(shared, f.d->shared, sizeof shared);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    assert_memory_not_equal(f.d->shared, shared, sizeof shared);
    fx_end(&f);
    assert_int_equal(f.mem.leaks, 0);
}

static void configs_that_can_not_work_are_refused(void **state)
{
    (void)state;
    fixture f;
    fx_prepare(&f, true, 2);
    rmr_derp_config good = f.cfg;
    f.nodes[0].stun_only = f.nodes[1].stun_only = true;
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    f.nodes[1].stun_only = false;
    assert_int_equal(fx_make(&f), RMR_OK);
    rmr_derp_free(f.d);
    f.nodes[1].dial.host[0] = '\0';
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    f.cfg.n_nodes = 0;
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    f.cfg = good;
    f.cfg.nodes = NULL;
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    f.cfg = good;
    f.cfg.callbacks = NULL;
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    f.cfg.struct_size = 0;
    assert_int_equal(fx_make(&f), RMR_E_INVAL);
    fx_end(&f);
}

static void a_shorter_config_has_the_defaults(void **state)
{
    (void)state;
    fixture f;
    fx_prepare(&f, true, 1);
    f.cfg.queue_pkts = 1;
    f.cfg.callbacks = &f.cb;
    rmr_derp_config_init(&f.cfg, offsetof(rmr_derp_config, idle_close));
    assert_int_equal(f.cfg.queue_pkts, 1); /* not written to */
    f.cfg.struct_size = sizeof f.cfg;
    f.cfg.queue_pkts = 0;
    f.cfg.queue_bytes = 0;
    f.cfg.nodes = f.nodes;
    f.cfg.n_nodes = 1;
    assert_int_equal(fx_make(&f), RMR_OK);
    assert_int_equal(f.d->queue_pkts, 32);
    assert_int_equal(f.d->queue.max, 128 * 1024);
    fx_end(&f);
}

static void errors_have_texts(void **state)
{
    (void)state;
    assert_non_null(strstr(rmr_derp_err_text(RMR_E_DERP_UPGRADE), "DERP"));
    assert_non_null(strstr(rmr_derp_err_text(RMR_E_DERP_LOGIN), "login"));
    assert_non_null(strstr(rmr_derp_err_text(RMR_E_DERP_FRAME), "frame"));
    assert_string_equal(rmr_derp_err_text(RMR_E_TIMEOUT),
                        rmr_err_name(RMR_E_TIMEOUT));
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_is_that_of_the_vector),
        cmocka_unit_test(host_has_no_port_and_an_ipv6_literal_has_brackets),
        cmocka_unit_test(a_later_node_is_told_which_one_was_ideal),
        cmocka_unit_test(the_dial_is_the_node_s_with_a_timeout),
        cmocka_unit_test(the_login_is_that_of_the_vector),
        cmocka_unit_test(a_home_says_so_right_behind_the_login),
        cmocka_unit_test(a_home_says_so_again_on_each_connection),
        cmocka_unit_test(output_is_the_same_in_bits_of_any_size),
        cmocka_unit_test(other_answers_than_101_end_the_attempt),
        cmocka_unit_test(an_endless_head_ends_the_attempt),
        cmocka_unit_test(the_first_frame_must_be_a_greeting),
        cmocka_unit_test(fatal_streams_of_the_vectors_end_the_connection),
        cmocka_unit_test(an_orderly_end_means_what_it_means_where_it_comes),
        cmocka_unit_test(a_broken_stream_is_told_as_it_was),
        cmocka_unit_test(a_host_that_closed_first_is_not_asked_to),
        cmocka_unit_test(no_new_stream_is_wanted_before_the_old_one_is_closed),
        cmocka_unit_test(each_stage_has_its_end),
        cmocka_unit_test(
            each_failing_allocation_is_told_and_the_next_attempt_works),
        cmocka_unit_test(without_randomness_for_the_login_the_object_is_done),
        cmocka_unit_test(
            without_randomness_for_the_back_off_the_object_is_done),
        cmocka_unit_test(keys_do_not_stay_in_freed_memory),
        cmocka_unit_test(configs_that_can_not_work_are_refused),
        cmocka_unit_test(a_shorter_config_has_the_defaults),
        cmocka_unit_test(errors_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
