/* The parts of TCP alone: ranges, sent segments, options, round-trip times,
 * congestion windows, numbers and ports. */
#include <tcp_internal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

/* ---- ranges ----------------------------------------------------------- */

#define SPAN 400

static void check_ranges(const tcp_ranges *r, const bool *have, uint32_t base)
{
    uint32_t n = 0, i = 0;
    while (i < SPAN) {
        if (!have[i]) {
            i++;
            continue;
        }
        uint32_t start = i;
        while (i < SPAN && have[i])
            i++;
        assert_true(n < r->n);
        assert_int_equal(r->v[n].start, base + start);
        assert_int_equal(r->v[n].end, base + i);
        n++;
    }
    assert_int_equal(n, r->n);
}

static void ranges_agree_with_a_map_of_bytes(void **state)
{
    (void)state;
    test_alloc al = {0};
    test_rng rng;
    rmr_alloc a = test_alloc_table(&al);
    test_rng_seed(&rng, 9);
    for (int round = 0; round < 300; round++) {
        tcp_ranges r = {0};
        bool have[SPAN + 1] = {false};
        uint32_t base = 0xffffff60u + (uint32_t)round; /* wraps */
        uint32_t edge = 0; /* all below was joined */
        for (int k = 0; k < 60; k++) {
            uint32_t start = (uint32_t)(test_rng_u64(&rng) % SPAN);
            uint32_t len = 1 + (uint32_t)(test_rng_u64(&rng) % 30);
            uint32_t end = start + len > SPAN ? SPAN : start + len;
            start = start < edge + 1 ? edge + 1 : start;
            if (start >= end)
                continue;
            bool all = true;
            for (uint32_t i = start; i < end; i++)
                all &= have[i];
            assert_int_equal(rmri_tcp_ranges_has(&r, base + start, base + end),
                             all);
            assert_int_equal(
                rmri_tcp_ranges_add(&r, &a, base + start, base + end),
                all ? TCP_INSERT_DUP : TCP_INSERT_NEW);
            for (uint32_t i = start; i < end; i++)
                have[i] = true;
            check_ranges(&r, have, base);
            if (k % 10 == 9) { /* the left edge moves */
                uint32_t to = edge + 1 + (uint32_t)(test_rng_u64(&rng) % 40);
                uint32_t want = to < SPAN ? to : SPAN;
                uint32_t got = rmri_tcp_ranges_join(&r, base + want);
                while (want < SPAN && have[want])
                    want++;
                assert_int_equal(got, base + want);
                for (uint32_t i = 0; i < want; i++)
                    have[i] = false;
                edge = want;
                check_ranges(&r, have, base);
            }
        }
        rmri_tcp_ranges_wipe(&r, &a);
    }
    assert_int_equal(al.live_blocks, 0);
}

/* D19 */
static void the_farthest_of_65_ranges_is_forgotten(void **state)
{
    (void)state;
    test_alloc al = {0};
    rmr_alloc a = test_alloc_table(&al);
    tcp_ranges r = {0};
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(rmri_tcp_ranges_add(&r, &a, 100 + 2 * i, 101 + 2 * i),
                         TCP_INSERT_NEW);
    assert_int_equal(rmri_tcp_ranges_add(&r, &a, 1000, 1001), TCP_INSERT_FULL);
    assert_int_equal(r.n, 64);
    assert_int_equal(rmri_tcp_ranges_add(&r, &a, 50, 51), TCP_INSERT_NEW);
    assert_int_equal(r.n, 64);
    assert_int_equal(r.v[0].start, 50);
    assert_int_equal(r.v[63].start, 100 + 2 * 62);
    tcp_block b[4];
    assert_int_equal(rmri_tcp_ranges_blocks(&r, b, 4), 4);
    assert_int_equal(b[0].start, 50); /* newest first */
    assert_int_equal(b[1].start, 100 + 2 * 62);
    assert_int_equal(b[2].start, 100 + 2 * 61);
    rmri_tcp_ranges_wipe(&r, &a);
    al.fail_at = al.calls + 1;
    assert_int_equal(rmri_tcp_ranges_add(&r, &a, 1, 2), TCP_INSERT_FULL);
    assert_int_equal(r.n, 0);
    assert_int_equal(al.live_blocks, 0);
}

/* ---- byte queues ------------------------------------------------------ */

static void byte_queues_keep_order_holes_and_sums(void **state)
{
    (void)state;
    test_alloc al = {0};
    test_rng rng;
    ns_pool pool = {0};
    ns_cq q;
    uint8_t out[5000], in[3000];
    test_rng_seed(&rng, 12);
    pool.alloc = test_alloc_table(&al);
    pool.shift = NS_CHUNK_SHIFT;
    pool.max = 1u << 20;
    rmri_ns_cq_init(&q);
    uint64_t head = 0, tail = 0; /* offsets in the stream */
    for (int round = 0; round < 4000; round++) {
        size_t n = 1 + test_rng_u64(&rng) % sizeof in;
        if (test_rng_u64(&rng) % 2 && q.len < 100000) {
            for (size_t i = 0; i < n; i++)
                in[i] = (uint8_t)((tail + i) * 7 + (tail + i) / 251);
            /* The second half first: out of order. */
            rmr_bytes a = rmr_bytes_of(in, n / 2);
            rmr_bytes b = rmr_bytes_of(in + n / 2, n - n / 2);
            assert_true(rmri_ns_cq_put(&q, &pool, q.len + n / 2, b, pool.max));
            assert_true(rmri_ns_cq_put(&q, &pool, q.len, a, pool.max));
            q.len += (uint32_t)n;
            tail += n;
        } else if (q.len) {
            n = 1 + test_rng_u64(&rng) % q.len;
            rmri_ns_cq_drop(&q, &pool, n);
            head += n;
            if (q.len == 0)
                rmri_ns_cq_trim(&q, &pool);
        }
        assert_int_equal(q.len, tail - head);
        if (!q.len)
            continue;
        size_t off = test_rng_u64(&rng) % q.len;
        n = 1 + test_rng_u64(&rng) % (q.len - off);
        n = n < sizeof out ? n : sizeof out;
        uint64_t sum = rmri_ns_cq_copy(&q, &pool, off, out, n);
        assert_int_equal(rmri_ns_sum_fold(sum),
                         rmri_ns_sum_fold(rmri_ns_sum(0, out, n)));
        for (size_t i = 0; i < n; i++) {
            uint64_t at = head + off + i;
            assert_int_equal(out[i], (uint8_t)(at * 7 + at / 251));
        }
        rmr_bytes v = rmri_ns_cq_peek(&q, &pool);
        assert_true(v.len > 0 && v.len <= q.len);
        assert_int_equal(v.ptr[0], (uint8_t)(head * 7 + head / 251));
    }
    rmri_ns_cq_wipe(&q, &pool);
    assert_int_equal(pool.used, 0);
    rmri_ns_pool_wipe(&pool);
    assert_int_equal(al.live_blocks, 0);
}

/* ---- sent segments ---------------------------------------------------- */

static void sent_segments_are_found_by_sequence(void **state)
{
    (void)state;
    test_alloc al = {0};
    rmr_alloc a = test_alloc_table(&al);
    tcp_segq q = {0};
    uint32_t base = 0xfffffff0u;
    for (uint32_t i = 0; i < 100; i++) {
        tcp_sent s = {0};
        s.seq = base + i * 10;
        s.len = 10;
        assert_true(rmri_tcp_segq_push(&q, &a, &s));
        if (i % 3 == 2)
            rmri_tcp_segq_pop(&q);
    }
    assert_int_equal(q.n, 67);
    uint32_t first = segq_at(&q, 0)->seq;
    for (uint32_t i = 0; i < 670; i++) {
        assert_int_equal(rmri_tcp_segq_find(&q, first + i), i / 10);
        assert_int_equal(segq_at(&q, i / 10)->seq, first + i / 10 * 10);
    }
    assert_int_equal(rmri_tcp_segq_find(&q, first + 670), 67);
    assert_int_equal(rmri_tcp_segq_find(&q, first - 5), 0);
    rmri_tcp_segq_wipe(&q, &a);
    assert_int_equal(al.live_blocks, 0);
}

/* ---- options ---------------------------------------------------------- */

static void options_survive_writing_and_parsing(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 8; bits++) {
        tcp_out o = {0};
        tcp_syn s = {0};
        tcp_opts got = {0};
        s.mss = 1240;
        s.ws = 7;
        s.has_ws = bits & 1;
        s.sack_ok = (bits & 2) != 0;
        s.has_ts = (bits & 4) != 0;
        s.tsval = 0x01020304;
        s.tsecr = 0x05060708;
        rmri_tcp_syn_options(&o, &s);
        assert_int_equal(o.opts_len % 4, 0);
        assert_true(o.opts_len <= 20);
        rmri_tcp_options_parse(o.opts, o.opts_len, &got);
        assert_int_equal(got.mss, 1240);
        assert_int_equal(got.has_ws, s.has_ws);
        assert_int_equal(got.sack_ok, s.sack_ok);
        assert_int_equal(got.has_ts, s.has_ts);
        if (s.has_ts) {
            assert_int_equal(got.tsval, 0x01020304);
            assert_int_equal(got.tsecr, 0x05060708);
        }
    }
    tcp_out o = {0};
    tcp_opts got = {0};
    tcp_block b[3] = {{1, 2}, {3, 4}, {0xfffffffe, 5}};
    rmri_tcp_ts_option(&o, 1, 2);
    rmri_tcp_sack_option(&o, b, 3);
    assert_int_equal(o.opts_len, 40);
    rmri_tcp_options_parse(o.opts, o.opts_len, &got);
    assert_true(got.has_ts);
    assert_int_equal(got.n_sack, 3);
    assert_memory_equal(got.sack, b, sizeof b);
}

static void no_option_bytes_break_the_parser(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 8);
    for (int round = 0; round < 20000; round++) {
        size_t n = 4 * (test_rng_u64(&rng) % 11);
        uint8_t *p = malloc(n ? n : 1);
        tcp_opts o;
        assert_non_null(p);
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)(test_rng_u64(&rng) % 12);
        rmri_tcp_options_parse(p, n, &o);
        assert_true(o.n_sack <= TCP_SACK_MAX);
        assert_true(o.ws <= 14);
        free(p);
    }
}

/* ---- round-trip times ------------------------------------------------- */

static void the_retransmission_time_follows_rfc_6298(void **state)
{
    (void)state;
    static const unsigned sample[4] = {100, 140, 100, 60};
    static const double rto[4] = {300, 295, 251.875, 253.828125};
    tcp_conn c;
    memset(&c, 0, sizeof c);
    c.mss_snd = 1000;
    for (int i = 0; i < 4; i++) {
        rmri_tcp_rtt_sample(&c, sample[i] * RMR_MS);
        double ms = (double)c.rto / 1e6;
        assert_true(ms > rto[i] - 0.001 && ms < rto[i] + 0.001);
    }
    memset(&c, 0, sizeof c);
    c.mss_snd = 1000;
    rmri_tcp_rtt_sample(&c, 0);
    assert_int_equal(c.rto, TCP_RTO_MIN);
    rmri_tcp_rtt_sample(&c, 3600 * RMR_SEC);
    assert_int_equal(c.rto, TCP_RTO_MAX);
}

/* ---- congestion ------------------------------------------------------- */

static void near(double got, double want, double part)
{
    if (got < want * (1 - part) || got > want * (1 + part))
        fail_msg("%f instead of %f", got, want);
}

static void cubic_meets_its_check_values(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    tcp_cubic q = {0};
    q.origin = 100 * mss;
    q.k_ms = rmri_tcp_cubic_k_ms(30 * mss, mss);
    near(q.k_ms, 4217, 0.0005);
    static const double w[4] = {70, 86.68, 95.64, 99.28};
    for (unsigned t = 0; t < 4; t++)
        near(rmri_tcp_cubic_window(&q, mss, t * 1000), w[t] * mss, 0.001);
    near(rmri_tcp_cubic_window(&q, mss, q.k_ms), 100 * mss, 0.001);
    near(rmri_tcp_cubic_window(&q, mss, q.k_ms + 2000), 103.2 * mss, 0.001);
    q.origin = 1000 * mss;
    q.k_ms = rmri_tcp_cubic_k_ms(300 * mss, mss);
    near(q.k_ms, 9086, 0.0005);
    near(rmri_tcp_cubic_window(&q, mss, 1000), 788.56 * mss, 0.001);
}

static void cubic_numbers_never_overflow(void **state)
{
    (void)state;
    for (uint32_t mss = 40; mss <= 65000; mss = mss * 3 + 1) {
        tcp_cubic q = {0};
        q.origin = TCP_WINDOW_MAX;
        q.k_ms = rmri_tcp_cubic_k_ms(UINT32_MAX, mss);
        uint32_t last = 0;
        for (uint64_t t = 0; t < (1ull << 62); t = t * 2 + 1) {
            uint32_t w = rmri_tcp_cubic_window(&q, mss, t);
            assert_true(w >= last && w <= TCP_WINDOW_MAX);
            last = w;
        }
    }
}

static tcp_conn *conn(uint32_t mss, rmr_ns_cc cc)
{
    static tcp_conn c;
    memset(&c, 0, sizeof c);
    c.mss_snd = (uint16_t)mss;
    c.cc = (uint8_t)cc;
    rmri_tcp_cc_init(&c);
    return &c;
}

/* One loss at 100 segments, then 6 s of an ACK clock of 10 ms. */
static void cubic_grows_along_its_curve(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    tcp_conn *c = conn(mss, RMR_NS_CC_CUBIC);
    const tcp_cc_ops *cc = rmri_tcp_cc(c);
    c->srtt = 10 * RMR_MS;
    c->cwnd = 100 * mss;
    c->ssthresh = cc->reduce(c, c->cwnd);
    assert_int_equal(c->ssthresh, 70 * mss);
    c->cwnd = c->ssthresh;
    rmr_time start = 100 * RMR_SEC;
    for (rmr_time t = 0; t <= 6 * RMR_SEC; t += 10 * RMR_MS) {
        for (uint32_t left = c->cwnd; left >= mss; left -= mss)
            cc->grow(c, start + t, mss);
        if (t % RMR_SEC == 0 && t) {
            tcp_cubic q = {0};
            q.origin = 100 * mss;
            q.k_ms = rmri_tcp_cubic_k_ms(30 * mss, mss);
            uint32_t w = rmri_tcp_cubic_window(&q, mss, t / RMR_MS + 10);
            double reno = 70000 + 0.529 * mss * (double)(t / (10 * RMR_MS));
            if (reno > 100 * mss)
                reno = 100 * mss + (reno - 100 * mss) / 0.529;
            near(c->cwnd, w > reno ? w : reno, 0.02);
        }
    }
}

static void time_without_sending_does_not_count_for_cubic(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    uint32_t cwnd[2];
    for (int idle = 0; idle < 2; idle++) {
        tcp_conn *c = conn(mss, RMR_NS_CC_CUBIC);
        const tcp_cc_ops *cc = rmri_tcp_cc(c);
        rmr_time t = RMR_SEC;
        c->srtt = 10 * RMR_MS;
        c->cwnd = 1000 * mss;
        c->cwnd = c->ssthresh = cc->reduce(c, c->cwnd);
        for (int round = 0; round < 100; round++) {
            if (round == 50 && idle)
                t += 60 * RMR_SEC;
            for (uint32_t left = c->cwnd; left >= mss; left -= mss)
                cc->grow(c, t, mss);
            t += 10 * RMR_MS;
        }
        cwnd[idle] = c->cwnd;
    }
    near(cwnd[1], cwnd[0], 0.02);
}

/* Two equal connections on the same clock; one is told of a loss, and then
 * that there was none.  It goes on along the curve that it was on. */
static void an_undone_loss_leaves_no_trace_in_cubic(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    static rmr_ns ns;
    uint32_t cwnd[2];
    ns.cfg.tcp_send_max = 64u << 20;
    for (int told = 0; told < 2; told++) {
        tcp_conn *c = conn(mss, RMR_NS_CC_CUBIC);
        const tcp_cc_ops *cc = rmri_tcp_cc(c);
        rmr_time t = RMR_SEC;
        c->flags = CF_SACK;
        c->srtt = 10 * RMR_MS;
        c->cwnd = 1000 * mss;
        c->cwnd = c->ssthresh = rmri_tcp_cc_reduce(c, c->cwnd);
        for (int round = 0; round < 200; round++, t += 10 * RMR_MS) {
            c->snd_nxt = c->snd_una + c->cwnd;
            c->pipe = c->max_pipe = c->cwnd;
            ns.now = t;
            if (round == 50 && told) {
                tcp_acked loss = {.newly_lost = true}, none = {.unlost = true};
                uint32_t before = c->cwnd;
                rmri_tcp_recovery(&ns, c, &loss, false);
                assert_int_equal(c->ca, TCP_CA_RECOVERY);
                assert_true(c->ssthresh < before);
                rmri_tcp_recovery(&ns, c, &none, false);
                assert_int_equal(c->ca, TCP_CA_OPEN);
                assert_in_range(c->cwnd, before, before + mss);
                c->cwnd = before; /* what the repeat was let out with */
            }
            for (uint32_t left = c->cwnd; left >= mss; left -= mss)
                cc->grow(c, t, mss);
        }
        cwnd[told] = c->cwnd;
    }
    near(cwnd[1], cwnd[0], 0.002);
}

static void small_windows_are_as_fast_as_reno(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    tcp_conn *c = conn(mss, RMR_NS_CC_CUBIC);
    const tcp_cc_ops *cc = rmri_tcp_cc(c);
    c->srtt = 10 * RMR_MS;
    c->cwnd = 10 * mss;
    c->cwnd = c->ssthresh = cc->reduce(c, c->cwnd);
    for (rmr_time t = 0; t < RMR_SEC; t += 10 * RMR_MS)
        for (uint32_t left = c->cwnd; left >= mss; left -= mss)
            cc->grow(c, 5 * RMR_SEC + t, mss);
    /* Reno with the same average: 7 + 0.53 a round until 10, then 1. */
    assert_true(c->cwnd > 90 * mss);
}

static void newreno_adds_a_segment_a_round(void **state)
{
    (void)state;
    const uint32_t mss = 1000;
    tcp_conn *c = conn(mss, RMR_NS_CC_NEWRENO);
    const tcp_cc_ops *cc = rmri_tcp_cc(c);
    assert_int_equal(c->cwnd, 10 * mss);
    cc->grow(c, 0, 10 * mss);
    assert_int_equal(c->cwnd, 20 * mss); /* slow start, byte by byte */
    c->ssthresh = cc->reduce(c, c->cwnd);
    assert_int_equal(c->ssthresh, 10 * mss);
    c->cwnd = c->ssthresh;
    for (int round = 0; round < 50; round++)
        for (uint32_t left = c->cwnd; left >= mss; left -= mss)
            cc->grow(c, 0, mss);
    near(c->cwnd, 60 * mss, 0.03);
    assert_int_equal(cc->reduce(c, 2 * mss), 2 * mss); /* the floor */
}

static void a_loss_free_week_overflows_nothing(void **state)
{
    (void)state;
    for (uint32_t cc = 0; cc < 2; cc++) {
        tcp_conn *c = conn(1240, (rmr_ns_cc)cc);
        const tcp_cc_ops *ops = rmri_tcp_cc(c);
        c->srtt = 20 * RMR_MS;
        c->ssthresh = 100000;
        uint32_t last = c->cwnd;
        for (rmr_time t = 0; t < 7 * 86400 * RMR_SEC; t += 60 * RMR_SEC) {
            ops->grow(c, RMR_SEC + t, c->cwnd);
            assert_true(c->cwnd >= last);
            if (c->cwnd > 8u << 20)
                c->cwnd = 8u << 20; /* as the stack does */
            last = c->cwnd;
        }
    }
}

static void the_initial_window_is_that_of_rfc_6928(void **state)
{
    (void)state;
    assert_int_equal(conn(1240, 0)->cwnd, 12400);
    assert_int_equal(conn(1460, 0)->cwnd, 14600);
    assert_int_equal(conn(9000, 0)->cwnd, 18000);
    assert_int_equal(conn(2000, 0)->cwnd, 14600);
}

/* ---- HyStart++ -------------------------------------------------------- */

/* One round of n acknowledged segments, all with this round trip. */
static void slow_start_round(tcp_conn *c, unsigned n, unsigned rtt_ms)
{
    const tcp_cc_ops *cc = rmri_tcp_cc(c);
    c->snd_nxt += n * c->mss_snd;
    for (unsigned i = 0; i < n; i++) {
        c->snd_una += c->mss_snd;
        rmri_tcp_hystart_ack(c, rtt_ms * RMR_MS);
        cc->grow(c, 0, c->mss_snd);
    }
}

/* G06: 40 ms, then 60 ms.  RFC 9406: the threshold is 5 ms (an eighth), growth
 * falls to a quarter after 8 samples, and slow start ends 5 rounds later. */
static void slow_start_ends_when_the_round_trip_grows(void **state)
{
    (void)state;
    tcp_conn *c = conn(1000, RMR_NS_CC_CUBIC);
    c->snd_una = c->snd_nxt = 0xffffff00u;
    rmri_tcp_hystart_begin(c);
    slow_start_round(c, 10, 40);
    slow_start_round(c, 20, 44); /* below the threshold */
    assert_int_equal(c->cwnd, 40000);
    slow_start_round(c, 40, 60);
    uint32_t cwnd = 40000 + 7000 + 33 * 250; /* the eighth sample tells */
    assert_int_equal(c->cwnd, cwnd);
    for (int round = 0; round < 4; round++) {
        slow_start_round(c, 40, 60);
        cwnd += 40 * 250;
        assert_int_equal(c->cwnd, cwnd);
        assert_int_equal(c->ssthresh, UINT32_MAX);
    }
    slow_start_round(c, 40, 60);
    assert_int_equal(c->ssthresh, cwnd);
    assert_true(c->cwnd < cwnd + 10 * 250); /* congestion avoidance */
}

static void a_burst_of_delay_does_not_end_slow_start(void **state)
{
    (void)state;
    tcp_conn *c = conn(1000, RMR_NS_CC_CUBIC);
    rmri_tcp_hystart_begin(c);
    slow_start_round(c, 20, 40);
    slow_start_round(c, 20, 60);
    assert_true(c->hystart.css_left > 0);
    slow_start_round(c, 20, 41);
    assert_int_equal(c->hystart.css_left, 0);
    uint32_t cwnd = c->cwnd;
    for (int round = 0; round < 10; round++)
        slow_start_round(c, 20, 40);
    assert_int_equal(c->cwnd, cwnd + 200000);
    /* Seven samples of a round don't tell anything. */
    for (unsigned round = 0; round < 10; round++)
        slow_start_round(c, 7, 40 + 20 * round);
    assert_int_equal(c->hystart.css_left, 0);
    assert_int_equal(c->ssthresh, UINT32_MAX);
}

/* 16 ms at the most, 4 ms at the least. */
static void the_threshold_of_slow_start_has_bounds(void **state)
{
    (void)state;
    static const unsigned rtt[3] = {400, 80, 8}, thresh[3] = {16, 10, 4};
    for (int i = 0; i < 3; i++) {
        for (unsigned more = 0; more < 2; more++) {
            tcp_conn *c = conn(1000, RMR_NS_CC_NEWRENO);
            rmri_tcp_hystart_begin(c);
            slow_start_round(c, 10, rtt[i]);
            slow_start_round(c, 10, rtt[i] + thresh[i] - 1 + more);
            assert_int_equal(c->hystart.css_left != 0, more);
        }
    }
}

/* ---- numbers ---------------------------------------------------------- */

static rmr_ns *stack(test_rng *rng, uint64_t seed)
{
    rmr_ns *ns;
    rmr_ns_config cfg;
    test_rng_seed(rng, seed);
    rmr_env env = test_env(NULL, rng, NULL);
    rmr_ns_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_ns_new(&ns, &env, &cfg, 0), RMR_OK);
    return ns;
}

static ns_tuple some_tuple(uint16_t lport)
{
    ns_tuple t;
    memset(&t, 0, sizeof t);
    t.family = RMR_AF_INET;
    t.proto = NS_PROTO_TCP;
    t.local.b[0] = 10;
    t.remote.b[0] = 11;
    t.lport = lport;
    t.rport = 80;
    return t;
}

static void initial_numbers_rise_with_time_and_differ_by_tuple(void **state)
{
    (void)state;
    test_rng rng;
    rmr_ns *ns = stack(&rng, 1), *other = stack(&rng, 2);
    ns_tuple a = some_tuple(1000), b = some_tuple(1001);
    uint32_t at0 = rmri_ns_isn(ns, &a);
    assert_int_not_equal(at0, rmri_ns_isn(ns, &b));
    assert_int_not_equal(at0, rmri_ns_isn(other, &a));
    ns->now = RMR_SEC;
    assert_int_equal(rmri_ns_isn(ns, &a) - at0, 250000); /* every 4 us */
    assert_int_not_equal(rmri_ns_flow_label(ns, &a), 0);
    assert_int_equal(rmri_ns_ts_offset(ns, &a), rmri_ns_ts_offset(ns, &b));
    rmr_ns_free(ns);
    rmr_ns_free(other);
}

static void ports_are_neither_repeated_nor_in_order_across_remotes(void **state)
{
    (void)state;
    test_rng rng;
    rmr_ns *ns = stack(&rng, 1);
    rmr_addr me = rmr_addr_v4(10, 0, 0, 1, 0);
    assert_int_equal(rmr_ns_addr_add(ns, &me), RMR_OK);
    static bool seen[65536];
    memset(seen, 0, sizeof seen);
    rmr_ns_sock s;
    rmr_ns_tcp_info info;
    rmr_addr to = rmr_addr_v4(10, 0, 0, 2, 80);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rmr_ns_tcp_connect(ns, 0, NULL, &to, NULL, &s),
                         RMR_OK);
        assert_int_equal(rmr_ns_tcp_get_info(ns, s, &info), RMR_OK);
        assert_true(info.local.port >= 16384);
        assert_false(seen[info.local.port]);
        seen[info.local.port] = true;
    }
    ns_tuple a = some_tuple(0), b = some_tuple(0);
    b.rport = 81;
    assert_true(rmri_ns_pick_tcp_port(ns, &a));
    assert_true(rmri_ns_pick_tcp_port(ns, &b));
    int distance = (int)a.lport - (int)b.lport;
    assert_true(distance > 1 || distance < -1);
    rmr_ns_free(ns);
}

static void without_memory_for_counters_one_does_for_all(void **state)
{
    (void)state;
    test_rng rng;
    test_alloc none = {.fail_at = 1, .fail_after = true};
    rmr_ns *ns = stack(&rng, 1);
    rmr_alloc usual = ns->env.alloc;
    ns_tuple a = some_tuple(0), b = some_tuple(0);
    ns_bind udp = {.family = RMR_AF_INET, .proto = NS_PROTO_UDP};
    ns->env.alloc = test_alloc_table(&none);
    assert_true(rmri_ns_pick_tcp_port(ns, &a));
    assert_true(rmri_ns_pick_tcp_port(ns, &b));
    assert_int_not_equal(a.lport, b.lport);
    assert_true(rmri_ns_pick_udp_port(ns, &udp));
    assert_int_not_equal(rmri_ns_frag_id(ns, &a), rmri_ns_frag_id(ns, &a));
    assert_int_equal(none.failed, 5);
    ns->env.alloc = usual;
    assert_true(rmri_ns_pick_tcp_port(ns, &a));
    assert_non_null(ns->ports);
    rmr_ns_free(ns);
}

static void a_port_that_somebody_listens_on_is_never_picked(void **state)
{
    (void)state;
    test_rng rng;
    rmr_ns *ns = stack(&rng, 1);
    ns_tuple first = some_tuple(0), again = some_tuple(0);
    uint32_t ports[NS_PORT_COUNTERS];
    assert_true(rmri_ns_pick_tcp_port(ns, &first)); /* makes the counters */
    first = again;
    memcpy(ports, ns->ports, sizeof ports);
    assert_true(rmri_ns_pick_tcp_port(ns, &first));
    memcpy(ns->ports, ports, sizeof ports);
    rmr_addr any;
    rmr_ns_sock s;
    memset(&any, 0, sizeof any);
    any.port = first.lport;
    assert_int_equal(rmr_ns_tcp_listen(ns, &any, NULL, &s), RMR_OK);
    assert_true(rmri_ns_pick_tcp_port(ns, &again));
    assert_int_not_equal(again.lport, first.lport);
    rmr_ns_free(ns);
}

/* ---- callbacks -------------------------------------------------------- */

typedef struct heard { /* a letter a callback, in the order of the calls */
    rmr_ns *ns;
    char letters[8];
    size_t n;
    char ends_at; /* the callback that closes the socket; 0: none */
} heard;

static void hear(heard *h, rmr_ns_sock sock, char letter)
{
    assert_true(h->n + 1 < sizeof h->letters);
    h->letters[h->n++] = letter;
    if (letter == h->ends_at)
        assert_int_equal(rmr_ns_abort(h->ns, 0, sock), RMR_OK);
}

static void hear_connected(void *user, void *tag, rmr_ns_sock sock)
{
    (void)tag;
    hear(user, sock, 'C');
}

static void hear_readable(void *user, void *tag, rmr_ns_sock sock)
{
    (void)tag;
    hear(user, sock, 'R');
}

static void hear_writable(void *user, void *tag, rmr_ns_sock sock)
{
    (void)tag;
    hear(user, sock, 'W');
}

static void hear_suspect(void *user, void *tag, rmr_ns_sock sock)
{
    (void)tag;
    hear(user, sock, 'S');
}

static void hear_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    (void)tag;
    (void)why;
    hear(user, sock, 'X');
}

/* All that one connection can have to tell, told at once. */
static void tell_all(heard *h)
{
    static const uint8_t events[] = {EV_CLOSED, EV_SUSPECT, EV_WRITABLE,
                                     EV_READABLE, EV_CONNECTED};
    test_rng rng;
    rmr_err why;
    h->ns = stack(&rng, 1);
    h->ns->cb.user = h;
    h->ns->cb.on_connected = hear_connected;
    h->ns->cb.on_readable = hear_readable;
    h->ns->cb.on_writable = hear_writable;
    h->ns->cb.on_suspect = hear_suspect;
    h->ns->cb.on_closed = hear_closed;
    ns_tuple t = some_tuple(40000);
    tcp_conn *c = rmri_tcp_conn_new(h->ns, &t, &why);
    assert_non_null(c);
    for (size_t i = 0; i < sizeof events; i++)
        rmri_tcp_event(h->ns, c, events[i]);
    rmri_ns_dispatch(h->ns);
    rmr_ns_free(h->ns);
}

static void callbacks_of_a_socket_come_in_order(void **state)
{
    (void)state;
    heard h = {0};
    tell_all(&h);
    assert_string_equal(h.letters, "CRWSX");
}

static void a_socket_that_a_callback_ends_is_told_no_more(void **state)
{
    (void)state;
    heard h = {0};
    h.ends_at = 'R';
    tell_all(&h);
    assert_string_equal(h.letters, "CR");
}

static void blocks_are_small(void **state)
{
    (void)state;
    assert_true(sizeof(tcp_conn) + sizeof(rmr_hash_entry) <= 640);
    assert_true(sizeof(tcp_half) <= 144);
    assert_true(sizeof(tcp_tw) <= 112);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_agree_with_a_map_of_bytes),
        cmocka_unit_test(the_farthest_of_65_ranges_is_forgotten),
        cmocka_unit_test(byte_queues_keep_order_holes_and_sums),
        cmocka_unit_test(sent_segments_are_found_by_sequence),
        cmocka_unit_test(options_survive_writing_and_parsing),
        cmocka_unit_test(no_option_bytes_break_the_parser),
        cmocka_unit_test(the_retransmission_time_follows_rfc_6298),
        cmocka_unit_test(cubic_meets_its_check_values),
        cmocka_unit_test(cubic_numbers_never_overflow),
        cmocka_unit_test(cubic_grows_along_its_curve),
        cmocka_unit_test(time_without_sending_does_not_count_for_cubic),
        cmocka_unit_test(an_undone_loss_leaves_no_trace_in_cubic),
        cmocka_unit_test(small_windows_are_as_fast_as_reno),
        cmocka_unit_test(newreno_adds_a_segment_a_round),
        cmocka_unit_test(a_loss_free_week_overflows_nothing),
        cmocka_unit_test(the_initial_window_is_that_of_rfc_6928),
        cmocka_unit_test(slow_start_ends_when_the_round_trip_grows),
        cmocka_unit_test(a_burst_of_delay_does_not_end_slow_start),
        cmocka_unit_test(the_threshold_of_slow_start_has_bounds),
        cmocka_unit_test(initial_numbers_rise_with_time_and_differ_by_tuple),
        cmocka_unit_test(
            ports_are_neither_repeated_nor_in_order_across_remotes),
        cmocka_unit_test(without_memory_for_counters_one_does_for_all),
        cmocka_unit_test(a_port_that_somebody_listens_on_is_never_picked),
        cmocka_unit_test(callbacks_of_a_socket_come_in_order),
        cmocka_unit_test(a_socket_that_a_callback_ends_is_told_no_more),
        cmocka_unit_test(blocks_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
