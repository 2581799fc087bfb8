/* The impaired link on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remora/sim_link.h>

#include "support.h"

#define MS 1000000u
#define N 100000u

static rmr_sim_link_config parsed(const char *text)
{
    rmr_sim_link_config c;
    const char *why = NULL;
    memset(&c, 0, sizeof c);
    c.seed = 7;
    if (rmr_sim_link_parse(&c, text, &why) != RMR_OK)
        fail_msg("not understood: %s", why);
    return c;
}

static rmr_sim_pipe *made_of(const rmr_sim_link_config *c)
{
    static test_alloc heap;
    rmr_alloc a = test_alloc_table(&heap);
    rmr_sim_pipe *l;
    assert_int_equal(rmr_sim_pipe_new(&l, &a, c), RMR_OK);
    return l;
}

static rmr_sim_pipe *made(const char *text)
{
    rmr_sim_link_config c = parsed(text);
    return made_of(&c);
}

static bool push_number(rmr_sim_pipe *l, uint64_t now, uint32_t n, size_t len)
{
    uint8_t p[1280];
    memset(p, 0, sizeof p);
    memcpy(p, &n, sizeof n);
    return rmr_sim_pipe_push(l, now, rmr_bytes_of(p, len)) == RMR_OK;
}

/* The number of the next packet that is due, or -1. */
static long pop(rmr_sim_pipe *l, uint64_t now)
{
    uint32_t n;
    rmr_bytes p;
    if (!rmr_sim_pipe_due(l, now, &p))
        return -1;
    memcpy(&n, p.ptr, sizeof n);
    rmr_sim_pipe_drop(l);
    return (long)n;
}

/* Pushes n packets, 1 ms apart, and says which came out, in which order. */
static size_t pass(rmr_sim_pipe *l, uint32_t n, long *out, size_t cap)
{
    size_t got = 0;
    uint64_t now = 0;
    for (uint32_t i = 0; i < n; i++, now += MS)
        push_number(l, now, i, 100);
    while (rmr_sim_pipe_next(l) != RMR_TIME_NEVER && got < cap)
        out[got++] = pop(l, rmr_sim_pipe_next(l));
    return got;
}

/* ---- time ------------------------------------------------------------- */

static void an_empty_config_passes_all_at_once(void **state)
{
    rmr_sim_pipe *l = made("");
    (void)state;
    assert_true(rmr_sim_pipe_next(l) == RMR_TIME_NEVER);
    assert_true(push_number(l, 5, 42, 100));
    assert_int_equal(rmr_sim_pipe_next(l), 5);
    assert_int_equal(pop(l, 4), -1);
    assert_int_equal(pop(l, 5), 42);
    assert_true(rmr_sim_pipe_next(l) == RMR_TIME_NEVER);
    rmr_sim_pipe_free(l);
}

static void delay_is_exact(void **state)
{
    rmr_sim_pipe *l = made("delay=10ms");
    (void)state;
    push_number(l, 3, 1, 100);
    assert_int_equal(rmr_sim_pipe_next(l), 10 * MS + 3);
    assert_int_equal(pop(l, 10 * MS + 2), -1);
    assert_int_equal(pop(l, 10 * MS + 3), 1);
    rmr_sim_pipe_free(l);
}

static void the_rate_spaces_packets(void **state)
{
    rmr_sim_pipe *l = made("rate=1000k,delay=5ms"); /* 1 us a byte */
    (void)state;
    push_number(l, 0, 1, 1000);
    push_number(l, 0, 2, 500);
    assert_int_equal(rmr_sim_pipe_next(l), 6 * MS);
    assert_int_equal(pop(l, 6 * MS), 1);
    assert_int_equal(rmr_sim_pipe_next(l), 6 * MS + MS / 2);
    assert_int_equal(pop(l, 7 * MS), 2);
    push_number(l, 20 * MS, 3, 1000); /* an idle link saves nothing up */
    assert_int_equal(rmr_sim_pipe_next(l), 26 * MS);
    rmr_sim_pipe_free(l);
}

static void the_queue_drops_what_has_no_room(void **state)
{
    rmr_sim_pipe *l = made("rate=1000k,queue=2k");
    (void)state;
    assert_true(push_number(l, 0, 1, 1000));
    assert_true(push_number(l, 0, 2, 1000));
    assert_false(push_number(l, 0, 3, 1000)); /* 3000 would wait */
    assert_true(push_number(l, 0, 4, 48));
    assert_false(push_number(l, 0, 5, 48));
    assert_true(push_number(l, MS, 6, 1000)); /* one has left */
    assert_int_equal(rmr_sim_pipe_stats(l).overflow, 2);
    assert_int_equal(rmr_sim_pipe_stats(l).queue_max, 2048);
    rmr_sim_pipe_free(l);
}

static void jitter_keeps_the_order_and_its_bounds(void **state)
{
    rmr_sim_pipe *l = made("delay=10ms,jitter=5ms");
    uint64_t last = 0, least = RMR_TIME_NEVER, most = 0;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        push_number(l, (uint64_t)i * 20 * MS, i, 100);
        uint64_t took = rmr_sim_pipe_next(l) - (uint64_t)i * 20 * MS;
        least = took < least ? took : least;
        most = took > most ? took : most;
        assert_int_equal(pop(l, rmr_sim_pipe_next(l)), i);
    }
    assert_in_range(least, 10 * MS, 10 * MS + MS / 4);
    assert_in_range(most, 15 * MS - MS / 4, 15 * MS);
    for (uint32_t i = 0; i < 1000; i++)
        push_number(l, 40000ull * MS, i, 100);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(rmr_sim_pipe_next(l) >= last);
        last = rmr_sim_pipe_next(l);
        assert_int_equal(pop(l, last), i);
    }
    rmr_sim_pipe_free(l);
}

/* ---- chance ----------------------------------------------------------- */

static uint64_t lost_of(const char *text)
{
    rmr_sim_pipe *l = made(text);
    for (uint32_t i = 0; i < N; i++) {
        if (push_number(l, i, i, 100))
            rmr_sim_pipe_drop(l);
    }
    uint64_t lost = rmr_sim_pipe_stats(l).lost;
    assert_int_equal(rmr_sim_pipe_stats(l).in, N);
    assert_int_equal(rmr_sim_pipe_stats(l).out, N - lost);
    rmr_sim_pipe_free(l);
    return lost;
}

static void loss_is_as_often_as_said(void **state)
{
    (void)state; /* four standard deviations */
    assert_int_equal(lost_of("loss=0%"), 0);
    assert_int_equal(lost_of("loss=100%"), N);
    assert_in_range(lost_of("loss=1%"), 1000 - 126, 1000 + 126);
    assert_in_range(lost_of("loss=0.1%"), 100 - 40, 100 + 40);
}

static void losses_come_in_bursts(void **state)
{
    rmr_sim_pipe *l = made("burst=0.5%/20%/100%");
    unsigned runs = 0, lost = 0;
    bool before = true;
    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        bool here = push_number(l, i, i, 100);
        runs += before && !here;
        lost += !here;
        before = here;
    }
    /* Bursts last 5 packets on average, and begin in 1 of 200 outside. */
    assert_in_range(runs, 430, 550);
    assert_in_range(10 * lost / runs, 45, 55);
    rmr_sim_pipe_free(l);
}

static void a_seed_repeats_whatever_the_time(void **state)
{
    static long a[1000], b[1000];
    const char *text = "loss=10%,hold=5%/30ms,dup=5%";
    rmr_sim_pipe *l = made(text), *m = made(text), *o;
    rmr_sim_link_config c = parsed(text);
    (void)state;
    size_t n = pass(l, 500, a, 1000), k = pass(m, 500, b, 1000);
    assert_int_equal(n, k);
    assert_memory_equal(a, b, n * sizeof a[0]);
    c.seed++;
    o = made_of(&c);
    k = pass(o, 500, b, 1000);
    assert_true(n != k || memcmp(a, b, n * sizeof a[0]) != 0);
    rmr_sim_pipe_free(l);
    rmr_sim_pipe_free(m);
    rmr_sim_pipe_free(o);
}

static void one_impairment_does_not_move_another(void **state)
{
    rmr_sim_pipe *l = made("loss=5%"),
                 *m = made("loss=5%,dup=30%,hold=20%/1ms");
    (void)state;
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(push_number(l, i, i, 100), push_number(m, i, i, 100));
    rmr_sim_pipe_free(l);
    rmr_sim_pipe_free(m);
}

/* ---- order, copies, bits, length -------------------------------------- */

static void each_nth_packet_is_overtaken(void **state)
{
    long got[8];
    const long want[] = {0, 2, 3, 1, 4, 6, 7, 5};
    rmr_sim_pipe *l = made("delay=1ms,hold=every4/2500us");
    (void)state;
    push_number(l, 0, 99, 100); /* so that the second and sixth are held */
    push_number(l, 0, 99, 100);
    (void)pop(l, 9 * MS);
    (void)pop(l, 9 * MS);
    assert_int_equal(pass(l, 8, got, 8), 8);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(rmr_sim_pipe_stats(l).held, 2);
    rmr_sim_pipe_free(l);
}

static void a_duplicate_follows_its_original(void **state)
{
    long got[8];
    const long want[] = {0, 0, 1, 1, 2, 2};
    rmr_sim_pipe *l = made("dup=100%");
    (void)state;
    assert_int_equal(pass(l, 3, got, 8), 6);
    assert_memory_equal(got, want, sizeof want);
    rmr_sim_pipe_free(l);
}

static void one_bit_is_flipped(void **state)
{
    rmr_sim_pipe *l = made("corrupt=100%");
    uint8_t zero[64] = {0};
    (void)state;
    for (int round = 0; round < 100; round++) {
        size_t bits = 0;
        rmr_bytes p, all = rmr_bytes_of(zero, sizeof zero);
        assert_int_equal(rmr_sim_pipe_push(l, 0, all), RMR_OK);
        assert_true(rmr_sim_pipe_due(l, 0, &p));
        assert_int_equal(p.len, sizeof zero);
        for (size_t i = 0; i < p.len * 8; i++)
            bits += p.ptr[i / 8] >> i % 8 & 1;
        assert_int_equal(bits, 1);
        rmr_sim_pipe_drop(l);
    }
    assert_int_equal(rmr_sim_pipe_stats(l).corrupted, 100);
    rmr_sim_pipe_free(l);
}

static void what_is_too_long_vanishes(void **state)
{
    rmr_sim_pipe *l = made("mtu=1000");
    (void)state;
    assert_true(push_number(l, 0, 1, 1000));
    assert_false(push_number(l, 0, 2, 1001));
    assert_int_equal(rmr_sim_pipe_stats(l).too_long, 1);
    rmr_sim_pipe_free(l);
}

static void what_is_inside_is_freed(void **state)
{
    rmr_sim_pipe *l = made("delay=1s");
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        push_number(l, i, i, 1280);
    rmr_sim_pipe_free(l); /* the sanitizer looks */
    rmr_sim_pipe_free(NULL);
}

static void dropping_from_an_empty_link_does_nothing(void **state)
{
    rmr_sim_pipe *l = made("");
    rmr_bytes p;
    (void)state;
    rmr_sim_pipe_drop(l);
    assert_false(rmr_sim_pipe_due(l, RMR_TIME_NEVER, &p));
    assert_int_equal(rmr_sim_pipe_stats(l).out, 0);
    rmr_sim_pipe_free(l);
}

/* ---- marks --------------------------------------------------------------- */

static uint32_t ip4_sum(const uint8_t *p)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16); /* 0xffff: it is right */
}

/* An IPv4 header with that traffic class and a right checksum, 1000 bytes. */
static void push_ip4(rmr_sim_pipe *l, uint8_t tos)
{
    uint8_t p[1000] = {0x45, tos, 3, 0xe8, 0,  1, 0, 0,
                       64,   6,   0, 0,    10, 1, 2, 3};
    uint32_t sum = ~ip4_sum(p) & 0xffff;
    p[10] = (uint8_t)(sum >> 8);
    p[11] = (uint8_t)sum;
    assert_int_equal(rmr_sim_pipe_push(l, 0, rmr_bytes_of(p, sizeof p)),
                     RMR_OK);
}

static uint8_t pop_tos(rmr_sim_pipe *l)
{
    rmr_bytes p;
    assert_true(rmr_sim_pipe_due(l, RMR_SEC, &p));
    assert_int_equal(ip4_sum(p.ptr), 0xffff);
    uint8_t tos = p.ptr[1];
    rmr_sim_pipe_drop(l);
    return tos;
}

static void a_long_queue_marks_what_knows_of_marks(void **state)
{
    rmr_sim_pipe *l = made("rate=1000k,mark=2500,queue=100k");
    static const uint8_t in[] = {0xb8 | 2, 0xb8 | 1, 2, 1, 0xb8, 3};
    static const uint8_t want[] = {0xb8 | 2, 0xb8 | 1, 3, 3, 0xb8, 3};
    (void)state;
    for (size_t i = 0; i < sizeof in; i++) /* the third one finds 2000 bytes */
        push_ip4(l, in[i]);
    for (size_t i = 0; i < sizeof in; i++)
        assert_int_equal(pop_tos(l), want[i]);
    assert_int_equal(rmr_sim_pipe_stats(l).marked, 4);
    rmr_sim_pipe_free(l);
}

static void ipv6_is_marked_too_and_all_else_is_left_alone(void **state)
{
    rmr_sim_pipe *l = made("rate=1000k,mark=1");
    uint8_t p[40] = {0x6b, 0xa1, 0x23}; /* class 0xba, ECT(0); flow label */
    rmr_bytes got;
    (void)state;
    assert_int_equal(rmr_sim_pipe_push(l, 0, rmr_bytes_of(p, 40)), RMR_OK);
    assert_int_equal(rmr_sim_pipe_push(l, 0, rmr_bytes_of(p, 39)), RMR_OK);
    assert_int_equal(rmr_sim_pipe_push(l, 0, rmr_bytes_of(p, 0)), RMR_OK);
    assert_true(rmr_sim_pipe_due(l, RMR_SEC, &got));
    assert_int_equal(got.ptr[1], 0xb1);
    assert_int_equal(got.ptr[2], 0x23);
    rmr_sim_pipe_drop(l);
    assert_true(rmr_sim_pipe_due(l, RMR_SEC, &got));
    assert_memory_equal(got.ptr, p, 39);
    rmr_sim_pipe_free(l);
}

/* ---- text ------------------------------------------------------------- */

static void the_text_is_read(void **state)
{
    rmr_sim_link_config c =
        parsed("rate=100mbit,queue=256k,delay=10ms,jitter=500us,"
               "loss=0.1%,burst=1%/20%/60%,hold=1%/5ms,dup=2%,"
               "corrupt=0.01%,mtu=1280,mark=64k");
    (void)state;
    assert_int_equal(c.rate, 12500000);
    assert_int_equal(c.queue, 262144);
    assert_int_equal(c.delay, 10 * MS);
    assert_int_equal(c.jitter, MS / 2);
    assert_int_equal(c.loss, 1000);
    assert_int_equal(c.burst_begin, 10000);
    assert_int_equal(c.burst_end, 200000);
    assert_int_equal(c.burst_loss, 600000);
    assert_int_equal(c.hold, 10000);
    assert_int_equal(c.hold_for, 5 * MS);
    assert_int_equal(c.duplicate, 20000);
    assert_int_equal(c.corrupt, 100);
    assert_int_equal(c.mtu, 1280);
    assert_int_equal(c.mark, 65536);
    c = parsed("hold=every50/1ms,rate=1.5m");
    assert_int_equal(c.hold_every, 50);
    assert_int_equal(c.rate, 1500000);
}

static void other_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "loss",      "loss=",       "loss=1",      "loss=101%",
        "loss=-1%",  "delay=10",    "delay=x",     "speed=1%",
        "loss=1%x",  "hold=1%",     "burst=1%/2%", "hold=every/5ms",
        "loss=nan%", "loss=1%;dup", "rate=1e99",   "=1%"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmr_sim_link_config c = {0};
        const char *why = NULL;
        c.mtu = 77;
        if (rmr_sim_link_parse(&c, bad[i], &why) == RMR_OK)
            fail_msg("%s was read", bad[i]);
        assert_non_null(why);
        assert_int_equal(c.mtu, 77);
        assert_int_equal(c.loss, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_config_passes_all_at_once),
        cmocka_unit_test(delay_is_exact),
        cmocka_unit_test(the_rate_spaces_packets),
        cmocka_unit_test(the_queue_drops_what_has_no_room),
        cmocka_unit_test(jitter_keeps_the_order_and_its_bounds),
        cmocka_unit_test(loss_is_as_often_as_said),
        cmocka_unit_test(losses_come_in_bursts),
        cmocka_unit_test(a_seed_repeats_whatever_the_time),
        cmocka_unit_test(one_impairment_does_not_move_another),
        cmocka_unit_test(each_nth_packet_is_overtaken),
        cmocka_unit_test(a_duplicate_follows_its_original),
        cmocka_unit_test(one_bit_is_flipped),
        cmocka_unit_test(what_is_too_long_vanishes),
        cmocka_unit_test(what_is_inside_is_freed),
        cmocka_unit_test(dropping_from_an_empty_link_does_nothing),
        cmocka_unit_test(a_long_queue_marks_what_knows_of_marks),
        cmocka_unit_test(ipv6_is_marked_too_and_all_else_is_left_alone),
        cmocka_unit_test(the_text_is_read),
        cmocka_unit_test(other_text_is_refused)};
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
