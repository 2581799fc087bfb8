/* What waits for a client: order, bounds, drops; slow ones and their end. */
#include "srv_fixture.h"

static void send_n(srv *s, int from, int to, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "p%d", i);
        assert_int_equal(sv_send(s, from, to, text), RMR_OK);
    }
}

static void expect_n(srv *s, int who, const char *from, int first, int last)
{
    char want[4096] = "";
    for (int i = first; i <= last; i++) {
        size_t at = strlen(want);
        (void)snprintf(want + at, sizeof want - at, "%s: p%d\n", from, i);
    }
    sv_expect(s, who, want);
}

static uint64_t dropped(srv *s, rmr_dsw_reason why)
{
    rmr_dsw_stats st = sv_stats(s);
    return st.dropped_pkts[why][0] + st.dropped_pkts[why][1];
}

/* a, b and d are up; b's stream is full. */
static void begin_blocked(srv *s)
{
    sv_begin(s);
    sv_up(s, 0);
    sv_up(s, 1);
    sv_up(s, 3);
    s->c[1].is_blocked = true;
}

/* ---- order and bounds ----------------------------------------------------- */

static void the_oldest_of_33_goes_and_the_order_stays(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    send_n(&s, 0, 1, 1, 32);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 0);
    send_n(&s, 0, 1, 33, 34);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 2);
    assert_int_equal(
        sv_stats(&s).dropped_bytes[RMR_DSW_QUEUE_HEAD][RMR_DSW_OTHER], 4);
    assert_int_equal(sv_stats(&s).queued_pkts, 32);
    s.c[1].is_blocked = false;
    expect_n(&s, 1, "a", 3, 34);
    assert_int_equal(sv_stats(&s).queued_pkts, 0);
    assert_int_equal(sv_stats(&s).tx_pkts, 32);
    sv_end(&s);
}

/* What one turn of the host's brings is not cut short by a reader that is only
 * waiting for its own turn. */
static void a_burst_is_kept_while_its_first_is_young(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.burst_pkts = 100;
    s.cfg.burst_time = 5 * RMR_MS;
    sv_make(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    s.c[1].is_blocked = true;
    send_n(&s, 0, 1, 1, 100);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 0);
    send_n(&s, 0, 1, 101, 101); /* the bound of a burst */
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 1);
    s.now += 5 * RMR_MS - 1;
    send_n(&s, 0, 1, 102, 102);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 2);
    assert_int_equal(sv_stats(&s).queued_pkts, 100);
    s.now += 1; /* it is slow, then: the queue's length holds */
    send_n(&s, 0, 1, 103, 103);
    assert_int_equal(sv_stats(&s).queued_pkts, 32);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 71);
    s.c[1].is_blocked = false;
    expect_n(&s, 1, "a", 72, 103);
    sv_end(&s);
}

static void disco_has_a_queue_of_its_own(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    send_n(&s, 0, 1, 1, 32);
    for (int i = 1; i <= 33; i++)
        assert_int_equal(sv_send_disco(&s, 3, 1, 80, (uint8_t)i), RMR_OK);
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.queued_pkts, 64);
    assert_int_equal(st.dropped_pkts[RMR_DSW_QUEUE_HEAD][RMR_DSW_DISCO], 1);
    assert_int_equal(st.dropped_pkts[RMR_DSW_QUEUE_HEAD][RMR_DSW_OTHER], 0);
    /* Neither waits for the other: they come in turn. */
    char want[4096] = "";
    for (int i = 1; i <= 32; i++) {
        size_t at = strlen(want);
        (void)snprintf(want + at, sizeof want - at,
                       "d: 80 bytes, last %d\na: p%d\n", i + 1, i);
    }
    s.c[1].is_blocked = false;
    sv_expect(&s, 1, want);
    sv_end(&s);
}

static void a_slow_reader_does_not_slow_the_others(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    for (int i = 0; i < 100; i++) {
        send_n(&s, 0, 1, i, i);
        send_n(&s, 0, 3, i, i);
        expect_n(&s, 3, "a", i, i);
    }
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 68);
    sv_end(&s);
}

static void queues_are_bounded_in_bytes_too(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536);
    srv s;
    assert_non_null(big);
    sv_prepare(&s);
    s.cfg.queue_bytes = 140000;
    sv_make(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    s.c[1].is_blocked = true;
    for (int i = 0; i < 3; i++) {
        big[65535] = (uint8_t)i;
        assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    }
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 1);
    /* The other queue's packets are not dropped for it: it is, itself. */
    for (int i = 0; i < 60; i++)
        assert_int_equal(sv_send_disco(&s, 0, 1, 256, 1), RMR_OK);
    assert_true(dropped(&s, RMR_DSW_QUEUE_HEAD) > 1);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 0);
    s.c[1].is_blocked = false;
    sv_pump(&s);
    assert_true(s.c[1].out_len <= 140000);
    free(big);
    sv_end(&s);
}

static void
the_last_drop_is_the_new_packet_where_the_other_queue_is_full(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536);
    srv s;
    assert_non_null(big);
    sv_prepare(&s);
    s.cfg.queue_bytes = 1; /* raised to one largest packet */
    sv_make(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    s.c[1].is_blocked = true;
    assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    assert_int_equal(sv_send_disco(&s, 0, 1, 80, 1), RMR_OK);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 1);
    assert_int_equal(sv_stats(&s).nomem, 0);
    s.step = 1000; /* gathered: its block is given back */
    assert_int_equal(sv_send_disco(&s, 0, 1, 80, 1), RMR_OK);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 2);
    s.c[1].is_blocked = false;
    sv_expect(&s, 1, "a: 65536 bytes, last 0\n");
    assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
    free(big);
    sv_end(&s);
}

static void all_queues_share_the_pool(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.pool_bytes = 10 * 320;
    sv_make(&s);
    for (int i = 3; i < 6; i++)
        sv_up(&s, i);
    s.c[4].is_blocked = s.c[5].is_blocked = true;
    send_n(&s, 3, 4, 1, 9);
    send_n(&s, 3, 5, 1, 1);
    assert_int_equal(sv_stats(&s).pool_used_bytes, 3200);
    /* A full pool costs the receiver its own oldest packet, or the new one. */
    send_n(&s, 3, 5, 2, 2);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 1);
    assert_int_equal(sv_send(&s, 3, 3, "self"), RMR_OK);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 1);
    s.c[4].is_blocked = s.c[5].is_blocked = false;
    expect_n(&s, 4, "d", 1, 9);
    expect_n(&s, 5, "d", 2, 2);
    sv_end(&s);
}

static void half_of_the_pool_is_for_frames_that_came_in_parts(void **state)
{
    (void)state;
    uint8_t h[5 + 32 + 8] = {RMR_DERP_SEND_PACKET, 0, 0, 0, 42};
    srv s;
    sv_prepare(&s);
    s.cfg.pool_bytes = 4 * 320;
    sv_make(&s);
    for (int i = 3; i < 7; i++)
        sv_up(&s, i);
    memcpy(h + 5, s.c[3].public_key, 32);
    for (int i = 3; i < 5; i++)
        assert_int_equal(sv_feed(&s, i, h, sizeof h), RMR_OK);
    /* The third that begins costs the one that is the longest under way ... */
    assert_int_equal(sv_feed(&s, 5, h, sizeof h), RMR_OK);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 1);
    assert_int_equal(s.sw->pool.gathered, 2 * 320);
    /* ... whose end is read and lost, while whole ones pass. */
    assert_int_equal(sv_feed(&s, 3, "3!", 2), RMR_OK);
    assert_int_equal(sv_send(&s, 3, 6, "whole"), RMR_OK);
    sv_expect(&s, 6, "d: whole\n");
    assert_int_equal(sv_feed(&s, 4, "4!", 2), RMR_OK);
    assert_int_equal(sv_feed(&s, 5, "5!", 2), RMR_OK);
    sv_expect(&s, 3, "e: 10 bytes, last 33\nf: 10 bytes, last 33\n");
    assert_int_equal(s.sw->pool.gathered, 0);
    assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
    sv_end(&s);
}

/* Many that begin a long frame and do not end it stop nobody's. */
static void unfinished_frames_do_not_stop_the_others(void **state)
{
    (void)state;
    uint8_t h[5 + 32 + 1] = {RMR_DERP_SEND_PACKET, 0, 1, 0, 32};
    srv s;
    sv_prepare(&s);
    s.cfg.pool_bytes = (size_t)6 * 65700;
    sv_make(&s);
    for (int i = 0; i < 8; i++)
        if (i != MESH_C)
            sv_up(&s, i);
    memcpy(h + 5, s.c[0].public_key, 32);
    for (int i = 3; i < 8; i++)
        assert_int_equal(sv_feed(&s, i, h, sizeof h), RMR_OK);
    s.step = 20;
    for (int n = 0; n < 3; n++) {
        assert_int_equal(sv_send(&s, 1, 0, "parts"), RMR_OK);
        sv_expect(&s, 0, "b: parts\n");
    }
    /* Those whose frame was dropped are not closed for it. */
    sv_pass(&s, 31 * RMR_SEC);
    assert_int_equal(sv_stats(&s).frame_timeouts, 2);
    sv_end(&s);
}

static void a_frame_that_is_never_finished_ends_its_client(void **state)
{
    (void)state;
    uint8_t h[40] = {RMR_DERP_SEND_PACKET, 0, 1, 0, 32};
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    memcpy(h + 5, s.c[1].public_key, 32);
    assert_int_equal(sv_feed(&s, 0, h, 4), RMR_OK); /* takes no memory */
    sv_pass(&s, 31 * RMR_SEC);
    assert_int_equal(sv_feed(&s, 0, h + 4, 36), RMR_OK);
    sv_pass(&s, 29 * RMR_SEC + 999 * RMR_MS);
    sv_log(&s, "");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close a timeout\n");
    assert_int_equal(sv_stats(&s).frame_timeouts, 1);
    assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
    assert_int_equal(s.sw->pool.gathered, 0);
    sv_end(&s);
}

/* ---- writing --------------------------------------------------------------- */

static void one_write_takes_as_many_whole_frames_as_fit(void **state)
{
    (void)state;
    uint8_t out[600];
    size_t n;
    srv s;
    begin_blocked(&s);
    uint8_t p[100] = {0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(sv_send_bytes(&s, 0, 1, p, 100), RMR_OK);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 600), &n), RMR_OK);
    assert_int_equal(n, 4 * 137);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 600), &n), RMR_OK);
    assert_int_equal(n, 137);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 600), &n), RMR_OK);
    assert_int_equal(n, 0);
    sv_end(&s);
}

static void a_long_frame_is_cut_and_never_dropped_then(void **state)
{
    (void)state;
    uint8_t out[512], *big = calloc(1, 65536);
    size_t n, got = 0;
    srv s;
    assert_non_null(big);
    begin_blocked(&s);
    assert_int_equal(sv_send_bytes(&s, 0, 1, big, 65536), RMR_OK);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    assert_int_equal(n, 512);
    send_n(&s, 0, 1, 1, 40); /* the queue runs over meanwhile */
    assert_int_equal(sv_frame(&s, 1, RMR_DERP_PING, "12345678", 8), RMR_OK);
    while (got < 65573 - 512) {
        assert_int_equal(
            rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n),
            RMR_OK);
        got += n;
        if (n < 512)
            break;
    }
    /* Behind its end come the pong and packets, in the same buffer. */
    assert_true(got >= 65573 - 512);
    s.c[1].is_blocked = false;
    sv_pump(&s);
    assert_int_equal(dropped(&s, RMR_DSW_QUEUE_HEAD), 8);
    assert_int_equal(sv_stats(&s).tx_pkts, 33);
    free(big);
    sv_end(&s);
}

static void small_frames_and_packets_take_turns(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    sv_up(&s, 3);
    sv_up(&s, 4);
    s.room = 512;
    /* Several PeerGone and packets wait; neither holds up the other. */
    assert_int_equal(sv_send(&s, 3, 0, "x"), RMR_OK);
    assert_int_equal(sv_send(&s, 4, 0, "x"), RMR_OK);
    sv_expect(&s, 0, "d: x\ne: x\n");
    s.c[0].is_blocked = true;
    send_n(&s, 1, 0, 1, 3);
    sv_close(&s, 3);
    sv_close(&s, 4);
    s.c[0].is_blocked = false;
    sv_expect(&s, 0, "gone d 0\nb: p1\ngone e 0\nb: p2\nb: p3\n");
    sv_end(&s);
}

/* ---- slow and gone ------------------------------------------------------------ */

static void two_seconds_without_progress_end_a_client(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    sv_pass(&s, RMR_SEC);
    send_n(&s, 0, 1, 1, 3);
    sv_pump(&s);
    assert_true(rmr_dsw_next_deadline(s.sw) == s.now + 2 * RMR_SEC);
    sv_pass(&s, 1999 * RMR_MS);
    sv_log(&s, "");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close b timeout\n");
    assert_int_equal(sv_stats(&s).write_timeouts, 1);
    assert_int_equal(dropped(&s, RMR_DSW_GONE_DISCONNECTED), 3);
    assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
    /* The sender notices nothing. */
    send_n(&s, 0, 1, 4, 4);
    sv_expect(&s, 0, "");
    sv_end(&s);
}

static void any_progress_puts_the_end_off(void **state)
{
    (void)state;
    uint8_t out[512];
    size_t n;
    srv s;
    begin_blocked(&s);
    send_n(&s, 0, 1, 1, 3);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    assert_int_equal(n, 3 * 39);
    for (int i = 0; i < 20; i++) {
        sv_pass(&s, 1999 * RMR_MS);
        assert_int_equal(rmr_dsw_wrote(s.sw, s.now, s.c[1].h, 1), RMR_OK);
        assert_int_equal(rmr_dsw_wrote(s.sw, s.now, s.c[1].h, 0), RMR_OK);
    }
    sv_log(&s, "");
    assert_int_equal(rmr_dsw_wrote(s.sw, s.now, s.c[1].h, 1000), RMR_OK);
    sv_pass(&s, 10 * RMR_SEC); /* nothing is open: no deadline */
    sv_log(&s, "");
    sv_end(&s);
}

static void
bytes_that_the_kernel_did_not_take_count_as_no_progress(void **state)
{
    (void)state;
    uint8_t out[512];
    size_t n;
    srv s;
    begin_blocked(&s);
    send_n(&s, 0, 1, 1, 1);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    assert_int_equal(n, 39);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_dsw_wrote(s.sw, s.now, s.c[1].h, 38), RMR_OK);
    sv_pass(&s, 2 * RMR_SEC);
    sv_log(&s, "close b timeout\n");
    sv_end(&s);
}

static void output_that_the_host_never_fetches_counts_too(void **state)
{
    (void)state;
    uint8_t out[512], p[1000] = {0};
    size_t n;
    srv s;
    begin_blocked(&s);
    assert_int_equal(sv_send_bytes(&s, 0, 1, p, 1000), RMR_OK);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    sv_pass(&s, RMR_SEC);
    assert_int_equal(rmr_dsw_wrote(s.sw, s.now, s.c[1].h, n), RMR_OK);
    sv_pass(&s, 1999 * RMR_MS); /* all is taken, but more is there */
    sv_log(&s, "");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close b timeout\n");
    sv_end(&s);
}

static void a_mesh_peer_has_thirty_seconds(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_mesh(&s, MESH_C);
    s.c[MESH_C].is_blocked = true;
    send_n(&s, 0, MESH_C, 1, 1);
    sv_pass(&s, 29999 * RMR_MS);
    sv_log(&s, "");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close c timeout\n");
    sv_end(&s);
}

static void a_timeout_of_zero_never_ends(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.write_timeout = 0;
    sv_make(&s);
    sv_up(&s, 0);
    s.c[0].is_blocked = true;
    send_n(&s, 0, 0, 1, 1);
    sv_pass(&s, 3600 * RMR_SEC);
    sv_log(&s, "");
    sv_end(&s);
}

static void what_was_half_written_is_a_write_error(void **state)
{
    (void)state;
    uint8_t out[512], p[1000] = {0};
    size_t n;
    srv s;
    begin_blocked(&s);
    assert_int_equal(sv_send_bytes(&s, 0, 1, p, 1000), RMR_OK);
    assert_int_equal(sv_send_bytes(&s, 0, 1, p, 1000), RMR_OK);
    assert_int_equal(
        rmr_dsw_write(s.sw, s.now, s.c[1].h, rmr_buf_of(out, 512), &n), RMR_OK);
    sv_close(&s, 1);
    assert_int_equal(dropped(&s, RMR_DSW_WRITE_ERROR), 1);
    assert_int_equal(dropped(&s, RMR_DSW_GONE_DISCONNECTED), 1);
    sv_end(&s);
}

/* ---- keep-alive, queue time ----------------------------------------------- */

static void keep_alives_come_every_60_to_65_seconds(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    rmr_time up = s.now, period = 0;
    for (int i = 1; i <= 5; i++) {
        rmr_time at = rmr_dsw_next_deadline(s.sw);
        if (i == 1)
            period = at - up;
        assert_true(at - up ==
                    period * (rmr_dur)i); /* steady, traffic or not */
        sv_pass(&s, at - s.now - 1);
        sv_expect(&s, 0, "");
        sv_pass(&s, 1);
        sv_expect(&s, 0, "keep\n");
        send_n(&s, 0, 0, 1, 1);
        sv_forget(&s, 0);
    }
    assert_true(period >= 60 * RMR_SEC && period < 65 * RMR_SEC);
    sv_pass(&s, 1000 * RMR_SEC); /* after a sleep: one */
    sv_expect(&s, 0, "keep\n");
    /* another client, another jitter */
    sv_up(&s, 1);
    assert_true(rmri_dsw_get(s.sw, s.c[1].h.id)->keep_period != period);
    sv_end(&s);
}

static void the_time_in_the_queue_is_averaged(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    send_n(&s, 0, 1, 1, 1);
    sv_pass(&s, RMR_SEC);
    s.c[1].is_blocked = false;
    expect_n(&s, 1, "a", 1, 1);
    assert_true(sv_stats(&s).avg_queue_ns == RMR_SEC / 10);
    send_n(&s, 0, 1, 2, 2);
    expect_n(&s, 1, "a", 2, 2);
    assert_true(sv_stats(&s).avg_queue_ns == RMR_SEC / 10 - RMR_SEC / 100);
    sv_end(&s);
}

static void the_steady_path_allocates_nothing(void **state)
{
    (void)state;
    srv s;
    begin_blocked(&s);
    s.c[1].is_blocked = false;
    send_n(&s, 0, 1, 1, 3);
    s.step = 20;
    send_n(&s, 0, 1, 4, 6);
    expect_n(&s, 1, "a", 1, 6);
    size_t calls = s.mem.calls;
    for (int i = 0; i < 50; i++) {
        s.step = i % 2 ? 20 : 0;
        send_n(&s, 0, 1, 1, 3);
        expect_n(&s, 1, "a", 1, 3);
    }
    assert_int_equal(s.mem.calls, calls);
    sv_end(&s);
}

static void without_memory_a_packet_is_lost_and_nothing_else(void **state)
{
    (void)state;
    srv s;
    for (size_t step = 0; step <= 20; step += 20) {
        sv_begin(&s);
        sv_up(&s, 0);
        sv_up(&s, 1);
        s.step = step;
        s.mem.fail_at = s.mem.calls + 1;
        send_n(&s, 0, 1, 1, 2);
        expect_n(&s, 1, "a", 2, 2);
        assert_int_equal(dropped(&s, RMR_DSW_QUEUE_TAIL), 1);
        assert_int_equal(sv_stats(&s).nomem, 1);
        sv_end(&s);
    }
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_of_33_goes_and_the_order_stays),
        cmocka_unit_test(a_burst_is_kept_while_its_first_is_young),
        cmocka_unit_test(disco_has_a_queue_of_its_own),
        cmocka_unit_test(a_slow_reader_does_not_slow_the_others),
        cmocka_unit_test(queues_are_bounded_in_bytes_too),
        cmocka_unit_test(
            the_last_drop_is_the_new_packet_where_the_other_queue_is_full),
        cmocka_unit_test(all_queues_share_the_pool),
        cmocka_unit_test(half_of_the_pool_is_for_frames_that_came_in_parts),
        cmocka_unit_test(unfinished_frames_do_not_stop_the_others),
        cmocka_unit_test(a_frame_that_is_never_finished_ends_its_client),
        cmocka_unit_test(one_write_takes_as_many_whole_frames_as_fit),
        cmocka_unit_test(a_long_frame_is_cut_and_never_dropped_then),
        cmocka_unit_test(small_frames_and_packets_take_turns),
        cmocka_unit_test(two_seconds_without_progress_end_a_client),
        cmocka_unit_test(any_progress_puts_the_end_off),
        cmocka_unit_test(
            bytes_that_the_kernel_did_not_take_count_as_no_progress),
        cmocka_unit_test(output_that_the_host_never_fetches_counts_too),
        cmocka_unit_test(a_mesh_peer_has_thirty_seconds),
        cmocka_unit_test(a_timeout_of_zero_never_ends),
        cmocka_unit_test(what_was_half_written_is_a_write_error),
        cmocka_unit_test(keep_alives_come_every_60_to_65_seconds),
        cmocka_unit_test(the_time_in_the_queue_is_averaged),
        cmocka_unit_test(the_steady_path_allocates_nothing),
        cmocka_unit_test(without_memory_a_packet_is_lost_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
