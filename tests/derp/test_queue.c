/* Packets to the relay: frames, the queue, its bounds, and the rate. */
#include "derp_fixture.h"

static rmr_err send(fixture *f, const char *text)
{
    uint8_t key[32];
    fx_key(f, "clientB", "public", key);
    return rmr_derp_send(f->d, f->now, key, rmr_bytes_str(text));
}

static void packets_have_the_form_of_the_vectors(void **state)
{
    (void)state;
    static const char *const names[] = {
        "send_packet_small", "send_packet_empty",
        "send_packet_wireguard_initiation_shape"};
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    for (size_t i = 0; i < 3; i++) {
        uint8_t key[32], payload[256];
        fx_key(&f, "clientB", "public", key);
        size_t n = tv_get_hex(fx_case(&f, "frames", names[i]), "payload",
                              payload, sizeof payload);
        assert_int_equal(
            rmr_derp_send(f.d, f.now, key, rmr_bytes_of(payload, n)), RMR_OK);
        fx_expect_out_frame(&f, names[i]);
    }
    fx_end(&f);
}

static void the_largest_packet_goes_and_a_larger_one_is_refused(void **state)
{
    (void)state;
    fixture f;
    uint8_t key[32], head[64], *payload = malloc(65537);
    assert_non_null(payload);
    memset(payload, 0xa5, 65537);
    fx_begin(&f, true);
    fx_up(&f);
    fx_key(&f, "clientB", "public", key);
    assert_int_equal(
        rmr_derp_send(f.d, f.now, key, rmr_bytes_of(payload, 65537)),
        RMR_E_TOOBIG);
    assert_int_equal(
        rmr_derp_send(f.d, f.now, key, rmr_bytes_of(payload, 65536)), RMR_OK);
    tv *v = fx_case(&f, "frames", "send_packet_max");
    size_t n = tv_get_hex(v, "frame_head", head, sizeof head);
    fx_drain(&f, 1000);
    assert_int_equal(f.out_len, tv_get_int(v, "frame_len"));
    assert_memory_equal(f.out, head, n);
    assert_memory_equal(f.out + 37, payload, 65536);
    free(payload);
    fx_end(&f);
}

static void one_write_takes_as_many_whole_frames_as_fit(void **state)
{
    (void)state;
    fixture f;
    size_t n;
    fx_begin(&f, true);
    fx_up(&f);
    for (int i = 0; i < 10; i++)
        assert_int_equal(send(&f, "hello"), RMR_OK); /* 42 bytes each */
    assert_int_equal(rmr_derp_queued_bytes(f.d), 420);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, 200), &n),
                     RMR_OK);
    assert_int_equal(n, 4 * 42);
    assert_int_equal(rmr_derp_queued_bytes(f.d), 6 * 42);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, 1000), &n),
                     RMR_OK);
    assert_int_equal(n, 6 * 42);
    rmr_derp_stats s = fx_stats(&f);
    assert_int_equal(s.tx_pkts, 10);
    assert_int_equal(s.tx_bytes, 50);
    assert_int_equal(s.tx_frames, 11); /* and the login */
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(NULL, 0), &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    fx_end(&f);
}

static void packets_wait_for_the_login_but_not_for_its_answer(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, false);
    rmr_dial dial;
    assert_false(rmr_derp_wants_stream(f.d, f.now, &dial));
    assert_int_equal(send(&f, "hello"), RMR_E_NOTREADY);
    fx_open(&f);
    fx_drain(&f, 2000);
    assert_memory_equal(f.out + f.out_len - 4, "\r\n\r\n", 4);
    assert_int_equal(fx_feed(&f, HEAD_101, strlen(HEAD_101)), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 0);
    assert_int_equal(fx_feed_frame(&f, "server_key"), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 109 + 42);
    assert_memory_equal(f.out + 109 + 37, "hello", 5);
    assert_int_equal(send(&f, "again"), RMR_E_NOTREADY);
    fx_end(&f);
}

static void the_oldest_packet_goes_when_the_queue_is_full(void **state)
{
    (void)state;
    fixture f;
    char text[16];
    fx_begin(&f, true);
    fx_up(&f);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(text, sizeof text, "%05d", i);
        assert_int_equal(send(&f, text), i < 32 ? RMR_OK : RMR_E_FULL);
    }
    assert_int_equal(fx_stats(&f).dropped_queue, 8);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 32 * 42);
    for (int i = 0; i < 32; i++) {
        (void)snprintf(text, sizeof text, "%05d", i + 8);
        assert_memory_equal(f.out + i * 42 + 37, text, 5);
    }
    fx_end(&f);
}

static void the_queue_is_bounded_in_bytes_too(void **state)
{
    (void)state;
    fixture f;
    fx_prepare(&f, true, 1);
    f.cfg.queue_bytes = 100;
    assert_int_equal(fx_make(&f), RMR_OK);
    fx_up(&f);
    assert_int_equal(send(&f, "aaaaa"), RMR_OK);
    assert_int_equal(send(&f, "bbbbb"), RMR_OK);
    assert_int_equal(send(&f, "ccccc"), RMR_E_FULL); /* a is gone */
    char big[65];
    memset(big, 'd', 64);
    big[64] = '\0';
    assert_int_equal(send(&f, big), RMR_E_FULL); /* never fits; b, c stay */
    assert_int_equal(fx_stats(&f).dropped_queue, 2);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 84);
    assert_memory_equal(f.out + 37, "bbbbb", 5);
    assert_memory_equal(f.out + 42 + 37, "ccccc", 5);
    fx_end(&f);
}

static void a_packet_that_is_half_written_is_never_dropped(void **state)
{
    (void)state;
    fixture f;
    size_t n;
    fx_prepare(&f, true, 1);
    f.cfg.queue_pkts = 2;
    assert_int_equal(fx_make(&f), RMR_OK);
    fx_up(&f);
    assert_int_equal(send(&f, "aaaaa"), RMR_OK);
    assert_int_equal(send(&f, "bbbbb"), RMR_OK);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, 10), &n),
                     RMR_OK);
    assert_int_equal(n, 10);
    assert_int_equal(send(&f, "ccccc"), RMR_E_FULL); /* itself */
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 32 + 42);
    assert_memory_equal(f.out + 27, "aaaaa", 5);
    assert_memory_equal(f.out + 32 + 37, "bbbbb", 5);
    assert_int_equal(send(&f, "ccccc"), RMR_OK);
    fx_end(&f);
}

static void what_is_queued_when_the_connection_ends_is_dropped(void **state)
{
    (void)state;
    fixture f;
    size_t n;
    fx_begin(&f, true);
    fx_up(&f);
    assert_int_equal(send(&f, "aaaaa"), RMR_OK);
    assert_int_equal(send(&f, "bbbbb"), RMR_OK);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, 10), &n),
                     RMR_OK);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    assert_int_equal(fx_stats(&f).dropped_down, 2);
    assert_int_equal(rmr_derp_queued_bytes(f.d), 0);
    f.log[0] = '\0';
    f.now += RMR_SEC;
    fx_up(&f); /* nothing of it is left in the new stream */
    fx_drain(&f, 100);
    assert_int_equal(f.out_len, 0);
    fx_end(&f);
}

static void without_memory_a_packet_is_refused_whole(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    f.mem.fail_at = f.mem.calls + 1;
    assert_int_equal(send(&f, "aaaaa"), RMR_E_NOMEM);
    assert_int_equal(rmr_derp_queued_bytes(f.d), 0);
    assert_int_equal(send(&f, "bbbbb"), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 42);
    fx_end(&f);
}

static void the_queue_s_memory_goes_back_with_a_keep_alive(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    size_t live = f.mem.live_bytes;
    assert_int_equal(send(&f, "aaaaa"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    assert_true(f.mem.live_bytes > live); /* something waits in it */
    fx_drain(&f, 2000);
    assert_int_equal(fx_feed_frame(&f, "keep_alive"), RMR_OK);
    assert_int_equal(f.mem.live_bytes, live);
    fx_end(&f);
}

static void the_queue_wraps_round(void **state)
{
    (void)state;
    fixture f;
    char text[40];
    fx_prepare(&f, true, 1);
    f.cfg.queue_bytes = 256;
    assert_int_equal(fx_make(&f), RMR_OK);
    fx_up(&f);
    /* Frames of 38 to 69 bytes over a ring of 256: headers at the seam too. */
    for (int i = 0; i < 500; i++) {
        size_t len = (size_t)(1 + i % 32);
        memset(text, 'a' + i % 26, len);
        text[len] = '\0';
        rmr_err e = send(&f, text);
        assert_true(e == RMR_OK || e == RMR_E_FULL);
        if (i % 7 == 6) {
            fx_drain(&f, 2000);
            size_t at = 0;
            while (at < f.out_len) {
                assert_int_equal(f.out[at], RMR_DERP_SEND_PACKET);
                at += 5u + (size_t)f.out[at + 4];
            }
            assert_int_equal(at, f.out_len);
            assert_memory_equal(f.out + at - len, text, len);
        }
    }
    fx_end(&f);
}

static void what_is_above_the_advised_rate_is_dropped_silently(void **state)
{
    (void)state;
    fixture f;
    uint8_t key[32] = {1}, payload[1000 - 37] = {0};
    rmr_bytes p = rmr_bytes_of(payload, sizeof payload);
    fx_begin(&f, true);
    fx_up(&f);
    assert_int_equal(fx_feed_frame(&f, "server_info_token_bucket"), RMR_OK);
    /* 1 MB a second, a burst of 2 MB; each frame has 1000 bytes. */
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(rmr_derp_send(f.d, f.now, key, p), RMR_OK);
        fx_drain(&f, 2000);
        assert_int_equal(f.out_len, i < 2000 ? 1000 : 0);
    }
    assert_int_equal(fx_stats(&f).dropped_rate, 1000);
    f.now += RMR_MS;
    assert_int_equal(rmr_derp_send(f.d, f.now, key, p), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 1000);
    /* A later ServerInfo without advice ends it. */
    assert_int_equal(fx_feed_frame(&f, "server_info"), RMR_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rmr_derp_send(f.d, f.now, key, p), RMR_OK);
    fx_drain(&f, 20000);
    assert_int_equal(f.out_len, 10000);
    fx_end(&f);
}

static void reply(fixture *f)
{
    (void)send(f, "reply");
}

static void a_callback_may_send(void **state)
{
    (void)state;
    fixture f;
    fx_begin(&f, true);
    fx_up(&f);
    f.in_packet = reply;
    assert_int_equal(fx_feed_frame(&f, "recv_packet"), RMR_OK);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 42);
    assert_memory_equal(f.out + 37, "reply", 5);
    fx_end(&f);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_have_the_form_of_the_vectors),
        cmocka_unit_test(the_largest_packet_goes_and_a_larger_one_is_refused),
        cmocka_unit_test(one_write_takes_as_many_whole_frames_as_fit),
        cmocka_unit_test(packets_wait_for_the_login_but_not_for_its_answer),
        cmocka_unit_test(the_oldest_packet_goes_when_the_queue_is_full),
        cmocka_unit_test(the_queue_is_bounded_in_bytes_too),
        cmocka_unit_test(a_packet_that_is_half_written_is_never_dropped),
        cmocka_unit_test(what_is_queued_when_the_connection_ends_is_dropped),
        cmocka_unit_test(without_memory_a_packet_is_refused_whole),
        cmocka_unit_test(the_queue_s_memory_goes_back_with_a_keep_alive),
        cmocka_unit_test(the_queue_wraps_round),
        cmocka_unit_test(what_is_above_the_advised_rate_is_dropped_silently),
        cmocka_unit_test(a_callback_may_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
