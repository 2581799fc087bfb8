/* What a relay sends once it knows us: every frame, however it is cut. */
#include "derp_fixture.h"

/* All that vectors have from a relay, in a row; returns the length. */
static size_t whole_session(fixture *f, uint8_t *dst, size_t cap)
{
    static const char *const names[] = {"server_key",
                                        "server_info",
                                        "recv_packet",
                                        "server_pong",
                                        "peer_gone_not_here",
                                        "peer_gone_disconnected",
                                        "peer_gone_legacy_32",
                                        "peer_present_clientA",
                                        "peer_present_clientB",
                                        "peer_present_meshClient",
                                        "peer_present_legacy_32",
                                        "peer_present_legacy_50",
                                        "keep_alive",
                                        "health_problem",
                                        "health_clear",
                                        "restarting",
                                        "server_ping_oversized",
                                        "server_info_token_bucket",
                                        "recv_packet"};
    size_t n = strlen(HEAD_101);
    memcpy(dst, HEAD_101, n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        n += fx_frame(f, names[i], dst + n, cap - n);
    return n;
}

static const char session_log[] =
    "up\npacket 34 5:68656c6c6f\ngone 6b 1\ngone 34 0\ngone 39 0\n"
    "health 'duplicate connection'\nhealth ''\npacket 34 5:68656c6c6f\n";

static void check_session(fixture *f)
{
    fx_log(f, session_log);
    rmr_derp_stats s = fx_stats(f);
    assert_int_equal(s.rx_frames, 19);
    assert_int_equal(s.ignored_frames, 5); /* PeerPresent is for meshes */
    assert_int_equal(s.rx_pkts, 2);
    assert_int_equal(s.rx_bytes, 10);
    assert_true(s.last_frame == f->now);
    assert_true(f->d->was_told_restart);
    assert_true(f->d->restart_in == 1500 * RMR_MS);
    assert_true(f->d->restart_for == 30 * RMR_SEC);
    assert_true(f->d->bucket.rate == 1000000);
    fx_drain(f, 2000);
    /* The answer to the ping is last. */
    uint8_t pong[13];
    assert_int_equal(fx_frame(f, "pong", pong, sizeof pong), 13);
    assert_memory_equal(f->out + f->out_len - 13, pong, 13);
}

static void a_session_in_one_piece(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[2048];
    fx_begin(&f, true);
    size_t n = whole_session(&f, in, sizeof in);
    fx_open(&f);
    assert_int_equal(fx_feed(&f, in, n), RMR_OK);
    check_session(&f);
    fx_end(&f);
}

static void a_session_byte_by_byte(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[2048];
    fx_begin(&f, true);
    size_t n = whole_session(&f, in, sizeof in);
    fx_open(&f);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fx_feed(&f, in + i, 1), RMR_OK);
    check_session(&f);
    fx_end(&f);
}

static void a_session_split_at_each_point(void **state)
{
    (void)state;
    uint8_t in[2048];
    size_t n = 1;
    for (size_t cut = 1; cut < n; cut++) {
        fixture f;
        fx_begin(&f, true);
        n = whole_session(&f, in, sizeof in);
        fx_open(&f);
        assert_int_equal(fx_feed(&f, in, cut), RMR_OK);
        assert_int_equal(fx_feed(&f, in + cut, n - cut), RMR_OK);
        check_session(&f);
        fx_end(&f);
    }
}

static void what_the_vectors_ignore_is_skipped_and_counted(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[512];
    fx_begin(&f, true);
    fx_up(&f);
    tv *list = tv_get(f.vectors, "ignored");
    assert_int_equal(tv_len(list), 8);
    for (size_t i = 0; i < tv_len(list); i++) {
        for (size_t step = 1; step <= 512; step *= 512) {
            rmr_derp_stats before = fx_stats(&f), after;
            size_t n = tv_get_hex(tv_at(list, i), "stream", in, sizeof in);
            for (size_t at = 0; at < n; at += step)
                assert_int_equal(
                    fx_feed(&f, in + at, n - at < step ? n - at : step),
                    RMR_OK);
            after = fx_stats(&f);
            assert_int_equal(after.rx_frames, before.rx_frames + 2);
            assert_int_equal(after.ignored_frames, before.ignored_frames + 1);
            fx_log(&f, "");
        }
    }
    fx_drain(&f, 100);
    assert_int_equal(f.out_len, 0);
    assert_true(rmr_derp_is_up(f.d));
    fx_end(&f);
}

static size_t packet_frame(uint8_t *dst, size_t payload, uint8_t fill)
{
    rmri_derp_put_header(dst, RMR_DERP_RECV_PACKET, 32 + payload);
    memset(dst + 5, 0x77, 32);
    memset(dst + 37, fill, payload);
    return 37 + payload;
}

static void a_whole_packet_is_handed_out_where_it_lies(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[4096];
    fx_begin(&f, true);
    fx_up(&f);
    size_t calls = f.mem.calls;
    size_t n = packet_frame(in, 1400, 0xab);
    size_t m = packet_frame(in + n, 100, 0xcd);
    assert_int_equal(rmr_derp_read(f.d, f.now, rmr_buf_of(in, n + m)), RMR_OK);
    fx_log(&f, "packet 77 1400:abababababababab\n"
               "packet 77 100:cdcdcdcdcdcdcdcd\n");
    assert_ptr_equal(f.last_packet, in + n + 37);
    /* Also when only its header came before. */
    (void)packet_frame(in, 100, 0xef);
    assert_int_equal(rmr_derp_read(f.d, f.now, rmr_buf_of(in, 5)), RMR_OK);
    assert_int_equal(rmr_derp_read(f.d, f.now, rmr_buf_of(in + 5, 132)),
                     RMR_OK);
    assert_ptr_equal(f.last_packet, in + 37);
    assert_int_equal(f.mem.calls, calls);
    fx_log(&f, "packet 77 100:efefefefefefefef\n");
    fx_end(&f);
}

static void packets_of_every_size_come_through(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,         1,     1500,  2048 - 32,
                                   2048 - 31, 60000, 65535, 65536};
    fixture f;
    uint8_t *in = malloc(70000);
    assert_non_null(in);
    fx_begin(&f, true);
    fx_up(&f);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t step = 1000; step <= 100000; step *= 100) {
            char want[64];
            size_t n = packet_frame(in, sizes[i], 0x11);
            for (size_t at = 0; at < n; at += step)
                assert_int_equal(
                    fx_feed(&f, in + at, n - at < step ? n - at : step),
                    RMR_OK);
            (void)snprintf(
                want, sizeof want, "packet 77 %u:%.*s\n", (unsigned)sizes[i],
                (int)(sizes[i] < 8 ? 2 * sizes[i] : 16), "1111111111111111");
            fx_log(&f, want);
        }
    }
    assert_true(f.mem.peak_bytes < 2 * 66000);
    free(in);
    fx_end(&f);
}

static void
what_is_longer_than_a_packet_is_skipped_up_to_a_mebibyte(void **state)
{
    (void)state;
    fixture f;
    uint8_t *in = calloc(1, 1 << 20);
    assert_non_null(in);
    fx_begin(&f, true);
    fx_up(&f);
    static const uint8_t types[] = {RMR_DERP_RECV_PACKET, RMR_DERP_HEALTH,
                                    RMR_DERP_PING, 0x7f};
    for (size_t i = 0; i < sizeof types; i++) {
        uint8_t h[5] = {types[i], 0, 0x10, 0, 0};
        assert_int_equal(fx_feed(&f, h, 5), RMR_OK);
        assert_int_equal(fx_feed(&f, in, 1 << 19), RMR_OK);
        assert_int_equal(fx_feed(&f, in, 1 << 19), RMR_OK);
        assert_int_equal(fx_stats(&f).ignored_frames, i + 1);
    }
    assert_int_equal(fx_feed_frame(&f, "recv_packet"), RMR_OK);
    fx_log(&f, "packet 34 5:68656c6c6f\n");
    uint8_t h[5] = {RMR_DERP_SERVER_INFO, 0, 0x10, 0, 0};
    assert_int_equal(fx_feed(&f, h, 5), RMR_E_DERP_LOGIN);
    free(in);
    fx_end(&f);
}

static void gathered_memory_is_given_back_when_it_is_quiet(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[4096];
    fx_begin(&f, true);
    fx_up(&f);
    size_t live = f.mem.live_bytes;
    size_t n = packet_frame(in, 3000, 1);
    assert_int_equal(fx_feed(&f, in, 2000), RMR_OK);
    assert_true(f.mem.live_bytes > live);
    assert_int_equal(fx_feed(&f, in + 2000, n - 2000), RMR_OK);
    fx_log(&f, "packet 77 3000:0101010101010101\n");
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    assert_int_equal(f.mem.live_bytes, live);
    fx_end(&f);
}

static void a_packet_without_memory_is_lost_alone(void **state)
{
    (void)state;
    fixture f;
    uint8_t in[4096];
    fx_begin(&f, true);
    fx_up(&f);
    size_t n = packet_frame(in, 3000, 1);
    f.mem.fail_at = f.mem.calls + 1;
    for (size_t at = 0; at < n; at += 500)
        assert_int_equal(fx_feed(&f, in + at, n - at < 500 ? n - at : 500),
                         RMR_OK);
    fx_log(&f, "");
    assert_int_equal(fx_stats(&f).dropped_nomem, 1);
    assert_int_equal(fx_feed_frame(&f, "recv_packet"), RMR_OK);
    fx_log(&f, "packet 34 5:68656c6c6f\n");
    fx_end(&f);
}

static void a_ping_is_answered_between_packets(void **state)
{
    (void)state;
    fixture f;
    uint8_t pong[13], key[32] = {5};
    fx_begin(&f, true);
    fx_up(&f);
    assert_int_equal(fx_feed_frame(&f, "server_ping_oversized"), RMR_OK);
    fx_expect_out_frame(&f, "pong");
    /* A packet that is half written goes first. */
    assert_int_equal(
        rmr_derp_send(f.d, f.now, key, rmr_bytes_str("0123456789")), RMR_OK);
    size_t len;
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, 20), &len),
                     RMR_OK);
    assert_int_equal(len, 20);
    assert_int_equal(fx_feed_frame(&f, "server_ping_oversized"), RMR_OK);
    fx_drain(&f, 7);
    assert_int_equal(f.out_len, 27 + 13);
    assert_memory_equal(f.out + 17, "0123456789", 10);
    assert_int_equal(fx_frame(&f, "pong", pong, sizeof pong), 13);
    assert_memory_equal(f.out + 27, pong, 13);
    fx_end(&f);
}

static void many_pings_get_one_answer_a_write(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(fx_feed_frame(&f, "server_ping_oversized"), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 13);
    fx_end(&f);
}

static void health_is_cleared_by_a_new_login_and_by_the_end(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    assert_int_equal(fx_feed_frame(&f, "health_problem"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
    fx_log(&f, "health 'duplicate connection'\nhealth ''\n");
    assert_int_equal(fx_feed_frame(&f, "health_problem"), RMR_OK);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    fx_log(&f, "health 'duplicate connection'\nhealth ''\ndown reset\n");
    fx_end(&f);
}

/* ---- time ------------------------------------------------------------- */

static void silence_of_two_minutes_ends_the_connection(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    assert_true(rmr_derp_next_deadline(f.d) == f.now + 120 * RMR_SEC);
    fx_pass(&f, 119 * RMR_SEC);
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    fx_drain(&f, 100);
    assert_int_equal(f.out_len, 0); /* no answer to a keep-alive */
    fx_pass(&f, 120 * RMR_SEC - 1);
    fx_log(&f, "");
    fx_pass(&f, 1);
    fx_log(&f, "down timeout\n");
    assert_true(rmr_derp_wants_close(f.d));
    fx_end(&f);
}

static void half_a_frame_is_no_sign_of_life(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    fx_pass(&f, 119 * RMR_SEC);
    assert_int_equal(fx_feed(&f, "\x05\0\0\0", 4), RMR_OK);
    fx_pass(&f, RMR_SEC);
    fx_log(&f, "down timeout\n");
    fx_end(&f);
}

static void a_ping_of_ours_wants_its_answer_in_five_seconds(void **state)
{
    (void)state;
    fixture f;
    for (int right = 0; right < 2; right++) {
        uint8_t pong[13] = {RMR_DERP_PONG, 0, 0, 0, 8};
        fx_begin(&f, true);
        assert_int_equal(rmr_derp_ping(f.d, f.now), RMR_E_STATE);
        fx_up(&f);
        assert_int_equal(rmr_derp_ping(f.d, f.now), RMR_OK);
        assert_int_equal(rmr_derp_ping(f.d, f.now), RMR_OK); /* one alone */
        fx_drain(&f, 100);
        assert_int_equal(f.out_len, 13);
        assert_int_equal(f.out[0], RMR_DERP_PING);
        memcpy(pong + 5, f.out + 5, 8);
        pong[12] ^= right ? 0 : 1;
        fx_pass(&f, 5 * RMR_SEC - 1);
        assert_int_equal(fx_feed(&f, pong, 13), RMR_OK);
        fx_pass(&f, 1);
        fx_log(&f, right ? "" : "down timeout\n");
        fx_end(&f);
    }
}

static void a_ping_without_randomness_is_the_end(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    f.rng.fail_at = f.rng.calls + 1;
    assert_int_equal(rmr_derp_ping(f.d, f.now), RMR_E_RNG);
    assert_true(rmr_derp_wants_close(f.d));
    assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_E_RNG);
    fx_end(&f);
}

static void
a_region_that_is_not_home_closes_after_a_minute_without_sends(void **state)
{
    (void)state;
    fixture f;
    uint8_t key[32] = {5};
    fx_begin(&f, false);
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_E_NOTREADY);
    fx_up(&f);
    fx_pass(&f, 59 * RMR_SEC);
    /* What is received does not count. */
    assert_int_equal(fx_feed_frame(&f, "recv_packet"), RMR_OK);
    f.log[0] = '\0';
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_OK);
    fx_drain(&f, 100);
    assert_true(rmr_derp_next_deadline(f.d) == f.now + 60 * RMR_SEC);
    fx_pass(&f, 60 * RMR_SEC - 1);
    fx_log(&f, "");
    fx_pass(&f, 1);
    fx_log(&f, "down idle\n");
    assert_true(rmr_derp_wants_close(f.d));
    assert_true(rmr_derp_next_deadline(f.d) == RMR_TIME_NEVER);
    assert_int_equal(fx_stats(&f).failures, 0);
    /* And comes back at once when it is needed. */
    assert_int_equal(rmr_derp_send(f.d, f.now, key, rmr_bytes_str("x")),
                     RMR_E_NOTREADY);
    fx_dial(&f);
    fx_end(&f);
}

static void a_home_that_was_left_has_a_minute_from_then(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    fx_pass(&f, 100 * RMR_SEC);
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    rmr_derp_set_preferred(f.d, f.now, false);
    assert_true(rmr_derp_next_deadline(f.d) == f.now + 60 * RMR_SEC);
    rmr_derp_set_preferred(f.d, f.now, true);
    assert_true(rmr_derp_next_deadline(f.d) == f.now + 120 * RMR_SEC);
    fx_end(&f);
}

static void a_clock_that_goes_back_is_taken_as_standing_still(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    rmr_time deadline = rmr_derp_next_deadline(f.d);
    f.now -= 100 * RMR_SEC;
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    assert_true(rmr_derp_next_deadline(f.d) == deadline);
    f.now = RMR_TIME_NEVER;
    assert_int_equal(rmr_derp_handle_deadline(f.d, f.now), RMR_OK);
    fx_log(&f, "down timeout\n");
    fx_end(&f);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_in_one_piece),
        cmocka_unit_test(a_session_byte_by_byte),
        cmocka_unit_test(a_session_split_at_each_point),
        cmocka_unit_test(what_the_vectors_ignore_is_skipped_and_counted),
        cmocka_unit_test(a_whole_packet_is_handed_out_where_it_lies),
        cmocka_unit_test(packets_of_every_size_come_through),
        cmocka_unit_test(
            what_is_longer_than_a_packet_is_skipped_up_to_a_mebibyte),
        cmocka_unit_test(gathered_memory_is_given_back_when_it_is_quiet),
        cmocka_unit_test(a_packet_without_memory_is_lost_alone),
        cmocka_unit_test(a_ping_is_answered_between_packets),
        cmocka_unit_test(many_pings_get_one_answer_a_write),
        cmocka_unit_test(health_is_cleared_by_a_new_login_and_by_the_end),
        cmocka_unit_test(silence_of_two_minutes_ends_the_connection),
        cmocka_unit_test(half_a_frame_is_no_sign_of_life),
        cmocka_unit_test(a_ping_of_ours_wants_its_answer_in_five_seconds),
        cmocka_unit_test(a_ping_without_randomness_is_the_end),
        cmocka_unit_test(
            a_region_that_is_not_home_closes_after_a_minute_without_sends),
        cmocka_unit_test(a_home_that_was_left_has_a_minute_from_then),
        cmocka_unit_test(a_clock_that_goes_back_is_taken_as_standing_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
