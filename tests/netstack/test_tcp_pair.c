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

static void check_all_gone(sim *s)
{
    /* TIME-WAIT passes, and nothing is left. */
    sim_run(s, s->now + 200 * RMR_SEC);
    for (int i = 0; i < 2; i++) {
        rmr_ns_stats st;
        rmr_ns_get_stats(s->h[i].ns, &st);
        assert_int_equal(st.time_wait, 0);
        assert_int_equal(st.buffer_bytes, 0);
        assert_int_equal(st.sockets, i == 0 ? 1 : 0);
        assert_int_equal(rmr_ns_next_deadline(s->h[i].ns), RMR_TIME_NEVER);
    }
}

static void stalled(sim *s, uint64_t seed)
{
    rmr_ns_tcp_info a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    (void)rmr_ns_tcp_get_info(s->h[0].ns, s->h[0].app.sock, &a);
    (void)rmr_ns_tcp_get_info(s->h[1].ns, s->h[1].app.sock, &b);
    fail_msg("seed %llu stalls: states %d %d, read %llu %llu of %llu %llu",
             (unsigned long long)seed, (int)a.state, (int)b.state,
             (unsigned long long)s->h[0].app.got,
             (unsigned long long)s->h[1].app.got,
             (unsigned long long)s->h[1].app.total,
             (unsigned long long)s->h[0].app.total);
}

static void transfer_with(sim *s, uint64_t seed, uint64_t up, uint64_t down,
                          rmr_dur limit)
{
    s->h[1].app.total = up;
    s->h[0].app.total = down;
    sim_connect(s);
    if (!sim_run_until(s, s->now + limit, both_closed))
        stalled(s, seed);
    check_streams(s);
    check_all_gone(s);
}

static void transfer(uint64_t seed, const sim_link *link, uint64_t up,
                     uint64_t down, rmr_dur limit)
{
    sim s;
    sim_init(&s, seed, NULL, NULL);
    s.link = *link;
    s.v6 = seed % 4 == 3;
    transfer_with(&s, seed, up, down, limit);
    sim_free(&s);
}

/* ---- links ------------------------------------------------------------ */

static void a_clean_link_carries_both_directions(void **state)
{
    (void)state;
    sim_link l = {0};
    l.delay = 10 * RMR_MS;
    transfer(1, &l, 3000000, 1000000, 60 * RMR_SEC);
    transfer(3, &l, 1000000, 3000000, 60 * RMR_SEC);
    l.delay = 0;
    transfer(2, &l, 1000000, 1000000, 60 * RMR_SEC);
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

static void half_of_all_packets_lost_is_survived(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        sim_link l = {0};
        l.delay = 10 * RMR_MS;
        l.loss_milli = 300;
        transfer(seed, &l, 20000, 20000, 36000 * RMR_SEC);
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

/* Every combination of what a peer may not offer or a host may set. */
static void every_flavour_of_stack_carries_data(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 64; seed++) {
        sim s;
        rmr_ns_config cfg[2];
        for (int i = 0; i < 2; i++) {
            uint64_t f = i ? seed >> 3 : seed;
            rmr_ns_config_init(&cfg[i], sizeof cfg[i]);
            cfg[i].congestion = f & 1;
            cfg[i].no_nagle = (f & 2) != 0;
            cfg[i].tcp_recv_max = f & 4 ? 2000 : 1 << 20;
            cfg[i].tcp_send_max = f & 4 ? 5000 : 1 << 20;
            cfg[i].mtu = f & 1 ? 1280 : 1500;
        }
        sim_init(&s, seed, &cfg[0], &cfg[1]);
        s.link.loss_milli = 20;
        transfer_with(&s, seed, 60000, 60000, 600 * RMR_SEC);
        sim_free(&s);
    }
}

/* ---- speed ------------------------------------------------------------ */

static double seconds_for(const sim_link *l, uint64_t bytes, uint32_t cc,
                          uint64_t *repeats)
{
    sim s;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.congestion = cc;
    cfg.tcp_recv_max = cfg.tcp_send_max = 4 << 20;
    sim_init(&s, 9, &cfg, &cfg);
    s.link = *l;
    s.h[1].app.total = bytes;
    sim_connect(&s);
    rmr_time start = s.now;
    if (!sim_run_until(&s, s.now + 1000 * RMR_SEC, both_closed))
        stalled(&s, 9);
    double took = (double)(s.now - start) / 1e9;
    rmr_ns_get_stats(s.h[1].ns, &st);
    *repeats = st.tcp_retransmits;
    sim_free(&s);
    return took;
}

static void a_slow_link_is_filled(void **state)
{
    (void)state;
    for (uint32_t cc = 0; cc < 2; cc++) {
        sim_link l = {0};
        uint64_t repeats;
        l.delay = 20 * RMR_MS;
        l.rate = 1250000; /* 10 Mbit/s */
        l.queue = 100000;
        double t = seconds_for(&l, 5000000, cc, &repeats);
        assert_true(t < 5000000 / 1250000.0 * 1.3);
        assert_in_range(repeats, 0, 300);
    }
}

/* HyStart++: the round trip tells, and no loss has to. */
static void slow_start_ends_without_a_loss(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    rmr_ns_tcp_info info;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.tcp_recv_max = cfg.tcp_send_max = 4 << 20;
    sim_init(&s, 9, &cfg, &cfg);
    s.link.delay = 20 * RMR_MS;
    s.link.rate = 1250000;
    s.link.queue = 200000; /* four times what the path holds */
    s.h[1].app.total = 20000000;
    sim_connect(&s);
    sim_run(&s, s.now + 2 * RMR_SEC);
    assert_int_equal(rmr_ns_tcp_get_info(s.h[1].ns, s.h[1].app.sock, &info),
                     RMR_OK);
    rmr_ns_get_stats(s.h[1].ns, &st);
    assert_int_equal(st.tcp_retransmits, 0);
    assert_in_range(info.ssthresh_bytes, 50000, 1000000);
    assert_true(s.h[0].app.got > 2000000); /* and the link is full */
    sim_free(&s);
}

static void reordering_alone_causes_few_repeats(void **state)
{
    (void)state;
    sim_link l = {0};
    uint64_t repeats;
    l.delay = 20 * RMR_MS;
    l.rate = 1250000;
    l.reorder_milli = 10;
    l.hold = 5 * RMR_MS;
    double t = seconds_for(&l, 5000000, RMR_NS_CC_CUBIC, &repeats);
    assert_true(t < 5000000 / 1250000.0 * 1.3);
    assert_in_range(repeats, 0, 20); /* of 4,032 segments: 0.5 % */
}

static void one_percent_of_loss_leaves_a_usable_speed(void **state)
{
    (void)state;
    sim_link l = {0};
    uint64_t repeats;
    l.delay = 10 * RMR_MS;
    l.loss_milli = 10;
    double t = seconds_for(&l, 2000000, RMR_NS_CC_CUBIC, &repeats);
    /* Mathis: mss / rtt * 1.22 / sqrt(p), about 750 KB/s. */
    assert_true(t < 6.0);
    assert_in_range(repeats, 5, 60);
}

static void the_window_grows_with_the_path(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_tcp_info info;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.tcp_recv_max = cfg.tcp_send_max = 4 << 20;
    sim_init(&s, 9, &cfg, &cfg);
    s.link.delay = 50 * RMR_MS;
    s.h[1].app.total = 40000000;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC); /* ten round trips */
    assert_int_equal(rmr_ns_tcp_get_info(s.h[0].ns, s.h[0].app.sock, &info),
                     RMR_OK);
    assert_true(info.rcv_wnd_bytes > 3 << 20);
    sim_free(&s);
}

static rmr_ns_tcp_info info_of(sim *s, int host)
{
    rmr_ns_tcp_info info;
    assert_int_equal(
        rmr_ns_tcp_get_info(s->h[host].ns, s->h[host].app.sock, &info), RMR_OK);
    return info;
}

static void send_junk(sim *s, int host, size_t n)
{
    static const uint8_t junk[200000];
    size_t taken;
    assert_int_equal(rmr_ns_tcp_send(s->h[host].ns, s->now, s->h[host].app.sock,
                                     rmr_bytes_of(junk, n), &taken),
                     RMR_OK);
    assert_int_equal(taken, n);
}

/* G04 */
static void an_idle_or_little_used_window_does_not_grow(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 9, NULL, NULL);
    s.h[1].app.manual = true;
    s.h[0].app.total = 1; /* it reads, and never shuts */
    s.h[0].app.sent = 1;
    s.h[0].app.shut = true;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC);
    uint32_t mss = info_of(&s, 1).mss, iw = info_of(&s, 1).cwnd_bytes;
    for (int i = 0; i < 100; i++) {
        send_junk(&s, 1, mss);
        sim_run(&s, s.now + 11 * RMR_MS);
    }
    assert_int_equal(info_of(&s, 1).cwnd_bytes, iw);
    for (int i = 0; i < 20; i++) {
        send_junk(&s, 1, 60000);
        sim_run(&s, s.now + 50 * RMR_MS);
    }
    assert_true(info_of(&s, 1).cwnd_bytes > 3 * iw);
    sim_run(&s, s.now + 10 * RMR_SEC);
    send_junk(&s, 1, 60000);
    sim_settle(&s);
    assert_int_equal(info_of(&s, 1).in_flight_bytes, 10u * mss);
    sim_free(&s);
}

/* ---- readers and ends ------------------------------------------------- */

static void a_reader_that_stops_stops_the_writer(void **state)
{
    (void)state;
    sim s;
    rmr_ns_stats st;
    sim_init(&s, 5, NULL, NULL);
    s.h[0].app.manual = true;
    s.h[1].app.total = 1000000;
    sim_connect(&s);
    sim_run(&s, s.now + 10 * RMR_SEC);
    uint64_t sent = s.h[1].pkts_out;
    rmr_ns_get_stats(s.h[0].ns, &st);
    assert_in_range(st.buffer_bytes, 60000, 80000); /* 64 KiB and chunks */
    sim_run(&s, s.now + 600 * RMR_SEC);
    assert_in_range(s.h[1].pkts_out - sent, 5, 20); /* probes each minute */
    assert_false(s.h[1].app.closed);
    s.h[0].app.manual = false; /* it reads again, as slowly as can be */
    s.h[0].app.read_max = 700;
    for (int i = 0; i < 5000 && !both_closed(&s); i++)
        sim_run(&s, s.now + 20 * RMR_MS);
    check_streams(&s);
    sim_free(&s);
}

/* W07 */
static void two_zero_windows_exchange_few_segments(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 5, NULL, NULL);
    s.h[1].app.total = s.h[0].app.total = 1000000;
    s.h[0].app.manual = s.h[1].app.manual = true;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC);
    static const uint8_t junk[70000];
    for (int i = 0; i < 2; i++) {
        size_t taken;
        assert_int_equal(rmr_ns_tcp_send(s.h[i].ns, s.now, s.h[i].app.sock,
                                         rmr_bytes_of(junk, sizeof junk),
                                         &taken),
                         RMR_OK);
    }
    sim_run(&s, s.now + 5 * RMR_SEC);
    for (int i = 0; i < 2; i++) {
        size_t taken;
        (void)rmr_ns_tcp_send(s.h[i].ns, s.now, s.h[i].app.sock,
                              rmr_bytes_of(junk, sizeof junk), &taken);
    }
    sim_run(&s, s.now + 5 * RMR_SEC);
    uint64_t before = s.h[0].pkts_out + s.h[1].pkts_out;
    sim_run(&s, s.now + 10 * RMR_SEC);
    assert_in_range(s.h[0].pkts_out + s.h[1].pkts_out - before, 1, 10);
    sim_free(&s);
}

static void either_side_may_close_first(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        sim_link l = {0};
        l.delay = 10 * RMR_MS;
        l.loss_milli = (uint32_t)(seed % 3) * 50;
        transfer(seed, &l, seed & 1 ? 0 : 300000, seed & 1 ? 300000 : 0,
                 600 * RMR_SEC);
        transfer(seed, &l, 0, 0, 600 * RMR_SEC);
    }
}

static void what_was_queued_before_a_close_still_arrives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim s;
        size_t taken;
        uint8_t data[30000];
        sim_init(&s, seed, NULL, NULL);
        s.link.loss_milli = (uint32_t)(seed % 4) * 30;
        s.h[1].app.manual = true;
        sim_connect(&s);
        while (!s.h[1].app.open)
            sim_run(&s, s.now + RMR_SEC);
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = sim_byte(s.h[1].app.seed, i);
        assert_int_equal(rmr_ns_tcp_send(s.h[1].ns, s.now, s.h[1].app.sock,
                                         rmr_bytes_of(data, sizeof data),
                                         &taken),
                         RMR_OK);
        assert_int_equal(rmr_ns_close(s.h[1].ns, s.now, s.h[1].app.sock),
                         RMR_OK);
        assert_int_equal(rmr_ns_close(s.h[1].ns, s.now, s.h[1].app.sock),
                         RMR_E_BADHANDLE);
        sim_run(&s, s.now + 60 * RMR_SEC);
        assert_int_equal(taken, sizeof data);
        assert_int_equal(s.h[0].app.got, sizeof data);
        assert_false(s.h[0].app.bad);
        assert_true(s.h[0].app.eof);
        assert_int_equal(s.h[0].app.n_closed, 1);
        assert_int_equal(s.h[1].app.n_closed, 0);
        check_all_gone(&s);
        sim_free(&s);
    }
}

/* The end of the stream is told before the socket goes, and unread data can be
 * read behind both FINs. */
static void unread_data_outlives_the_connection(void **state)
{
    (void)state;
    sim s;
    rmr_bytes v;
    bool eof;
    sim_init(&s, 2, NULL, NULL);
    s.h[0].app.manual = true;
    s.h[1].app.total = 3000;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC);
    sim_app *a = &s.h[0].app;
    assert_int_equal(rmr_ns_tcp_shutdown(s.h[0].ns, s.now, a->sock), RMR_OK);
    sim_run(&s, s.now + 200 * RMR_SEC);
    assert_false(a->closed);
    assert_true(s.h[1].app.closed);
    size_t got = 0;
    for (;;) {
        assert_int_equal(rmr_ns_tcp_peek(s.h[0].ns, a->sock, &v, &eof), RMR_OK);
        if (v.len == 0)
            break;
        assert_false(eof);
        got += v.len;
        assert_int_equal(rmr_ns_tcp_consume(s.h[0].ns, s.now, a->sock, v.len),
                         RMR_OK);
    }
    assert_true(eof);
    assert_int_equal(got, 3000);
    assert_false(a->closed);
    sim_run(&s, s.now + RMR_SEC);
    assert_true(a->closed);
    assert_int_equal(a->why, RMR_OK);
    sim_free(&s);
}

static void a_refused_connection_is_told(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 2, NULL, NULL);
    rmr_addr to = sim_addr(0, 81);
    sim_app *a = &s.h[1].app;
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(a->n_closed, 1);
    assert_int_equal(a->why, RMR_E_REFUSED);
    assert_int_equal(rmr_ns_abort(s.h[1].ns, s.now, a->sock), RMR_E_BADHANDLE);
    sim_free(&s);
}

static void an_abort_resets_the_peer(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 2, NULL, NULL);
    s.h[0].app.total = s.h[1].app.total = 10000000;
    sim_connect(&s);
    sim_run(&s, s.now + 60 * RMR_MS);
    assert_int_equal(rmr_ns_abort(s.h[1].ns, s.now, s.h[1].app.sock), RMR_OK);
    s.h[1].app.open = false;
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[1].app.n_closed, 0);
    assert_int_equal(s.h[0].app.n_closed, 1);
    assert_int_equal(s.h[0].app.why, RMR_E_RESET);
    check_all_gone(&s);
    sim_free(&s);
}

/* ---- growth, memory, time --------------------------------------------- */

static void a_thousand_connections_leave_nothing_behind(void **state)
{
    (void)state;
    sim s;
    size_t after_100[2] = {0, 0};
    sim_init(&s, 3, NULL, NULL);
    sim_listen(&s, 0, 80);
    rmr_addr to = sim_addr(0, 80);
    for (int i = 1; i <= 1000; i++) {
        for (int k = 0; k < 2; k++) {
            sim_app *a = &s.h[k].app;
            uint64_t seed = a->seed, want = a->want_seed;
            memset(a, 0, sizeof *a);
            a->host = &s.h[k];
            a->seed = seed;
            a->want_seed = want;
            a->total = 3000;
        }
        sim_app *a = &s.h[1].app;
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock),
            RMR_OK);
        if (!sim_run_until(&s, s.now + 10 * RMR_SEC, both_closed))
            stalled(&s, (uint64_t)i);
        check_streams(&s);
        s.now += RMR_SEC;
        for (int k = 0; k < 2 && i == 100; k++)
            after_100[k] = s.h[k].alloc.live_bytes;
    }
    for (int k = 0; k < 2; k++)
        assert_true(s.h[k].alloc.live_bytes <= after_100[k]);
    check_all_gone(&s);
    sim_free(&s);
}

static void above_its_backlog_a_listener_sends_cookies(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.backlog = 3;
    sim_init(&s, 3, &cfg, NULL);
    s.keep_all = true;
    sim_listen(&s, 0, 80);
    rmr_addr to = sim_addr(0, 80);
    rmr_ns_sock sock;
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, &s.h[1].app, &sock),
            RMR_OK);
    sim_run(&s, s.now + 9 * RMR_MS);
    rmr_ns_get_stats(s.h[0].ns, &st);
    assert_int_equal(st.half_open, 3);
    assert_int_equal(st.tcp_cookies_sent, 2);
    sim_run(&s, s.now + 10 * RMR_MS);
    rmr_ns_get_stats(s.h[0].ns, &st);
    assert_int_equal(st.tcp_cookies_taken, 2);
    assert_int_equal(st.tcp_accepted, 5);
    assert_int_equal(st.half_open, 0);
    sim_free(&s);
}

static void a_closed_listener_resets_what_was_half_open(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 3, NULL, NULL);
    rmr_addr to = sim_addr(0, 80);
    rmr_ns_sock l;
    sim_app *a = &s.h[1].app;
    assert_int_equal(rmr_ns_tcp_listen(s.h[0].ns, &to, NULL, &l), RMR_OK);
    assert_int_equal(
        rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock), RMR_OK);
    sim_run(&s, s.now + 6 * RMR_MS);
    assert_int_equal(rmr_ns_close(s.h[0].ns, s.now, l), RMR_OK);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(a->n_closed, 1);
    assert_int_equal(a->why, RMR_E_RESET);
    assert_int_equal(s.h[0].app.accepted, 0);
    sim_free(&s);
}

/* Z01 */
static void ten_thousand_idle_connections_fit_8_mib(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.max_sockets = 10001;
    cfg.backlog = 1000;
    sim_init(&s, 3, &cfg, &cfg);
    s.link.delay = 0;
    s.keep_all = true;
    sim_listen(&s, 0, 80);
    rmr_addr to = sim_addr(0, 80);
    for (int i = 1; i <= 10000; i++) {
        rmr_ns_sock sock;
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, &s.h[1].app, &sock),
            RMR_OK);
        if (i % 500 == 0)
            sim_run(&s, s.now + RMR_MS);
    }
    rmr_ns_get_stats(s.h[0].ns, &st);
    assert_int_equal(st.sockets, 10001);
    assert_int_equal(st.tcp_accepted, 10000);
    assert_true(s.h[0].alloc.live_bytes < 8u << 20);
    assert_int_equal(rmr_ns_next_deadline(s.h[0].ns), RMR_TIME_NEVER);
    sim_free(&s);
}

static void time_wait_entries_are_bounded(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_stats st;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.max_time_wait = 5;
    sim_init(&s, 3, NULL, &cfg);
    sim_listen(&s, 0, 80);
    rmr_addr to = sim_addr(0, 80);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 2; k++) {
            s.h[k].app.sock.id = 0;
            s.h[k].app.closed = s.h[k].app.open = s.h[k].app.shut = false;
        }
        sim_app *a = &s.h[1].app;
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a, &a->sock),
            RMR_OK);
        sim_run(&s, s.now + 50 * RMR_MS);
        rmr_ns_get_stats(s.h[1].ns, &st);
        assert_in_range(st.time_wait, 0, 5);
    }
    assert_int_equal(st.time_wait, 5);
    /* The newest are kept: none of them ends before its time. */
    sim_run(&s, s.now + 59500 * RMR_MS);
    rmr_ns_get_stats(s.h[1].ns, &st);
    assert_int_equal(st.time_wait, 5);
    check_all_gone(&s);
    sim_free(&s);
}

static void little_memory_slows_but_does_not_stop(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.memory_max = 24 * 1024;
    sim_init(&s, 8, &cfg, &cfg);
    s.link.loss_milli = 20;
    transfer_with(&s, 8, 200000, 100000, 3600 * RMR_SEC);
    for (int i = 0; i < 2; i++)
        assert_true(s.h[i].alloc.peak_bytes < 200 * 1024);
    sim_free(&s);
}

/* A failure is a lost packet, a later event, or an error of the call. */
static void no_failing_allocation_stops_a_transfer(void **state)
{
    (void)state;
    for (int host = 0; host < 2; host++) {
        for (size_t n = 1;; n++) {
            sim s;
            sim_init(&s, 6, NULL, NULL);
            s.link.loss_milli = 50;
            s.h[1].app.total = s.h[0].app.total = 60000;
            sim_listen(&s, 0, 80);
            rmr_addr to = sim_addr(0, 80);
            sim_app *a = &s.h[1].app;
            test_alloc *al = &s.h[host].alloc;
            al->fail_at = al->calls + n;
            rmr_err e;
            while ((e = rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, a,
                                           &a->sock)))
                assert_int_equal(e, RMR_E_NOMEM);
            if (!sim_run_until(&s, s.now + 600 * RMR_SEC, both_closed))
                stalled(&s, n);
            check_streams(&s);
            bool failed = al->failed != 0;
            check_all_gone(&s);
            sim_free(&s);
            if (!failed)
                break;
        }
    }
}

static void memory_that_is_out_for_long_is_survived(void **state)
{
    (void)state;
    for (size_t n = 1; n < 60; n += 3) {
        sim s;
        sim_init(&s, 6, NULL, NULL);
        s.h[1].app.total = s.h[0].app.total = 60000;
        sim_connect(&s);
        for (int i = 0; i < 2; i++) {
            s.h[i].alloc.fail_at = s.h[i].alloc.calls + n;
            s.h[i].alloc.fail_after = true;
        }
        sim_run(&s, s.now + 3 * RMR_SEC);
        for (int i = 0; i < 2; i++)
            s.h[i].alloc.fail_at = 0;
        if (!sim_run_until(&s, s.now + 600 * RMR_SEC, both_closed))
            stalled(&s, n);
        check_streams(&s);
        sim_free(&s);
    }
}

static void waking_too_often_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t trace[2];
        for (int run = 0; run < 2; run++) {
            sim s;
            sim_init(&s, seed, NULL, NULL);
            s.tick = run ? RMR_MS : 0;
            s.link.loss_milli = 40;
            s.link.reorder_milli = 50;
            s.link.hold = 9 * RMR_MS;
            s.h[1].app.total = 100000;
            s.h[0].app.total = 30000;
            sim_connect(&s);
            if (!sim_run_until(&s, s.now + 600 * RMR_SEC, both_closed))
                stalled(&s, seed);
            trace[run] = s.trace;
            sim_free(&s);
        }
        assert_int_equal(trace[0], trace[1]);
    }
}

/* T08 */
static void timestamps_rise_across_connections_of_a_pair(void **state)
{
    (void)state;
    sim s;
    uint32_t stamp[2];
    uint8_t buf[1280];
    size_t len;
    sim_init(&s, 3, NULL, NULL);
    rmr_addr to = sim_addr(0, 80);
    for (int i = 0; i < 2; i++) {
        rmr_ns_sock sock;
        assert_int_equal(
            rmr_ns_tcp_connect(s.h[1].ns, s.now, NULL, &to, NULL, &sock),
            RMR_OK);
        assert_int_equal(rmr_ns_write_pkt(s.h[1].ns, s.now,
                                          rmr_buf_of(buf, sizeof buf), &len),
                         RMR_OK);
        assert_int_equal(len, 60);
        assert_int_equal(buf[46], 8); /* behind MSS and SACK permitted */
        stamp[i] = (uint32_t)buf[48] << 24 | (uint32_t)buf[49] << 16 |
                   (uint32_t)buf[50] << 8 | buf[51];
        s.now += 50 * RMR_MS;
    }
    assert_int_equal(stamp[1] - stamp[0], 50);
    sim_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_link_carries_both_directions),
        cmocka_unit_test(loss_up_to_ten_percent_loses_nothing),
        cmocka_unit_test(half_of_all_packets_lost_is_survived),
        cmocka_unit_test(reordering_and_duplicates_do_no_harm),
        cmocka_unit_test(every_flavour_of_stack_carries_data),
        cmocka_unit_test(a_slow_link_is_filled),
        cmocka_unit_test(slow_start_ends_without_a_loss),
        cmocka_unit_test(reordering_alone_causes_few_repeats),
        cmocka_unit_test(one_percent_of_loss_leaves_a_usable_speed),
        cmocka_unit_test(the_window_grows_with_the_path),
        cmocka_unit_test(an_idle_or_little_used_window_does_not_grow),
        cmocka_unit_test(a_reader_that_stops_stops_the_writer),
        cmocka_unit_test(two_zero_windows_exchange_few_segments),
        cmocka_unit_test(either_side_may_close_first),
        cmocka_unit_test(what_was_queued_before_a_close_still_arrives),
        cmocka_unit_test(unread_data_outlives_the_connection),
        cmocka_unit_test(a_refused_connection_is_told),
        cmocka_unit_test(an_abort_resets_the_peer),
        cmocka_unit_test(a_thousand_connections_leave_nothing_behind),
        cmocka_unit_test(above_its_backlog_a_listener_sends_cookies),
        cmocka_unit_test(a_closed_listener_resets_what_was_half_open),
        cmocka_unit_test(ten_thousand_idle_connections_fit_8_mib),
        cmocka_unit_test(time_wait_entries_are_bounded),
        cmocka_unit_test(little_memory_slows_but_does_not_stop),
        cmocka_unit_test(no_failing_allocation_stops_a_transfer),
        cmocka_unit_test(memory_that_is_out_for_long_is_survived),
        cmocka_unit_test(waking_too_often_changes_nothing),
        cmocka_unit_test(timestamps_rise_across_connections_of_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
