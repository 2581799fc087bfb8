/* Streams: both directions, credit, ends. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MANY ((size_t)60 * 1024) /* one STREAM_SEND                     */
#define BOUND                                                                  \
    ((size_t)512 *                                                             \
     1024) /* most of one stream that is fair a turn             \
                          */

static void both_ends_know_each_other(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    assert_true(rmr_addr_is_loopback(&at));
    assert_int_not_equal(at.port, 0);
    do_connect(&f->s, 2, at, 0);
    rmr_addr mine = await_opened(&f->s, 2);
    const told *t = await(&f->s, RMR_IO_ACCEPTED, 1);
    assert_true(rmr_addr_eq(&t->ev.addr, &mine));
    assert_true((t->ev.child & RMR_IO_ADAPTER_ID) != 0);
}

static void accepted_ids_are_never_used_twice(void **state)
{
    fixture *f = *state;
    uint64_t ids[20];
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    for (uint64_t i = 0; i < 20; i++) {
        do_connect(&f->s, 10 + i, at, 0);
        ids[i] = await(&f->s, RMR_IO_ACCEPTED, 1)->ev.child;
        do_simple(&f->s, RMR_IO_ABORT, ids[i]);
        for (uint64_t j = 0; j < i; j++)
            assert_int_not_equal(ids[i], ids[j]);
    }
}

static void bytes_go_both_ways(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "ping", 4);
    uint8_t *got = await_bytes(&f->s, e.b, 4);
    assert_memory_equal(got, "ping", 4);
    free(got);
    (void)await(&f->s, RMR_IO_SENT, e.a);
    do_send(&f->s, e.b, "pong", 4);
    got = await_bytes(&f->s, e.a, 4);
    assert_memory_equal(got, "pong", 4);
    free(got);
    (void)await(&f->s, RMR_IO_SENT, e.b);
}

static void ipv6_works_likewise(void **state)
{
    fixture *f = *state;
    rmr_addr any;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[::1]:0"), &any), RMR_OK);
    do_listen(&f->s, 1, any);
    do_connect(&f->s, 2, await_opened(&f->s, 1), 0);
    (void)await_opened(&f->s, 2);
    uint64_t child = await(&f->s, RMR_IO_ACCEPTED, 1)->ev.child;
    do_send(&f->s, child, "six", 3);
    free(await_bytes(&f->s, 2, 3));
}

static void an_empty_send_is_sent(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "", 0);
    (void)await(&f->s, RMR_IO_SENT, e.a);
}

static void nothing_is_delivered_without_credit(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "0123456789", 10);
    (void)await(&f->s, RMR_IO_SENT, e.a);
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, e.b), 0);
    do_read(&f->s, e.b, 3);
    const told *t = await(&f->s, RMR_IO_BYTES, e.b);
    assert_int_equal(t->ev.data.len, 3);
    assert_memory_equal(t->data, "012", 3);
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, e.b), 0);
    do_read(&f->s, e.b, 2); /* credits add up */
    do_read(&f->s, e.b, 1);
    size_t n = 0;
    while (n < 3) {
        t = await(&f->s, RMR_IO_BYTES, e.b);
        assert_memory_equal(t->data, &"345"[n], t -> ev.data.len);
        n += t->ev.data.len;
    }
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, e.b), 0);
}

static void credit_given_before_the_bytes_come_counts(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_read(&f->s, e.b, SIZE_MAX);
    do_read(&f->s, e.b, SIZE_MAX); /* no overflow */
    turns(&f->s, 2);
    do_send(&f->s, e.a, "late", 4);
    assert_int_equal(await(&f->s, RMR_IO_BYTES, e.b)->ev.data.len, 4);
}

/* Sends until the far end, which does not read, holds it up. */
static size_t fill(script *s, uint64_t id, const uint8_t *data)
{
    size_t n = 0;
    for (int idle = 0; idle < 20;) {
        do_send(s, id, data, MANY);
        n += MANY;
        for (idle = 0; idle < 20 && !seen(s, RMR_IO_SENT, id); idle++)
            turns(s, 1);
    }
    return n;
}

static void a_reader_without_credit_holds_the_sender_up(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    uint8_t *data = pattern(MANY, 5);
    size_t sent = fill(&f->s, e.a, data);
    turns(&f->s, 10);
    assert_null(seen(&f->s, RMR_IO_SENT, e.a));
    uint8_t *got = await_bytes(&f->s, e.b, sent);
    for (size_t at = 0; at < sent; at += MANY)
        assert_memory_equal(got + at, data, MANY);
    (void)await(&f->s, RMR_IO_SENT, e.a);
    assert_null(seen(&f->s, RMR_IO_SENT, e.a)); /* one each */
    free(got);
    free(data);
}

static void what_close_finds_queued_is_still_sent(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    uint8_t *data = pattern(MANY, 6);
    size_t sent = fill(&f->s, e.a, data);
    do_simple(&f->s, RMR_IO_CLOSE, e.a);
    uint8_t *got = await_bytes(&f->s, e.b, sent);
    assert_memory_equal(got + sent - MANY, data, MANY);
    do_read(&f->s, e.b, 1);
    (void)await(&f->s, RMR_IO_EOF, e.b);
    assert_int_equal(left(&f->s, e.a), 0);
    free(got);
    free(data);
}

static void what_shutdown_finds_queued_is_sent_before_the_end(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    uint8_t *data = pattern(MANY, 7);
    size_t sent = fill(&f->s, e.a, data);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.a);
    free(await_bytes(&f->s, e.b, sent));
    (void)await(&f->s, RMR_IO_SENT, e.a);
    do_read(&f->s, e.b, 1);
    (void)await(&f->s, RMR_IO_EOF, e.b);
    free(data);
}

static void half_a_stream_goes_on_after_eof(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "request", 7);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.a);
    free(await_bytes(&f->s, e.b, 7));
    do_read(&f->s, e.b, 100);
    (void)await(&f->s, RMR_IO_EOF, e.b);
    do_send(&f->s, e.b, "answer", 6);
    uint8_t *got = await_bytes(&f->s, e.a, 6);
    assert_memory_equal(got, "answer", 6);
    free(got);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.b);
    do_read(&f->s, e.a, 1);
    (void)await(&f->s, RMR_IO_EOF, e.a);
    turns(&f->s, 5); /* both directions ended: nothing more is told */
    assert_null(seen(&f->s, RMR_IO_EOF, e.b));
    assert_null(seen(&f->s, RMR_IO_RESET, e.b));
    do_simple(&f->s, RMR_IO_CLOSE, e.a);
    do_simple(&f->s, RMR_IO_CLOSE, e.b);
    turns(&f->s, 2);
}

static void an_ended_stream_does_not_keep_the_loop_busy(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.a);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.b);
    do_read(&f->s, e.b, 1);
    (void)await(&f->s, RMR_IO_EOF, e.b);
    turns(&f->s, 5);
    assert_true(turns_until_deadline(&f->s) <= 3);
}

static void close_does_not_lose_what_was_sent_before_unread_input(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "unread by b", 11);
    (void)await(&f->s, RMR_IO_SENT, e.a);
    turns(&f->s, 3);
    do_send(&f->s, e.b, "last words", 10);
    do_simple(&f->s, RMR_IO_CLOSE, e.b);
    turns(&f->s, 3);
    do_send(&f->s, e.a, "more", 4);
    turns(&f->s, 3);
    uint8_t *got = await_bytes(&f->s, e.a, 10);
    assert_memory_equal(got, "last words", 10);
    free(got);
    do_read(&f->s, e.a, 1);
    (void)await(&f->s, RMR_IO_EOF, e.a);
}

static void nothing_is_told_after_close(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_read(&f->s, e.a, 100);
    do_simple(&f->s, RMR_IO_CLOSE, e.a);
    do_send(&f->s, e.b, "into the void", 13);
    do_simple(&f->s, RMR_IO_CLOSE, 1);
    do_connect(&f->s, 3, rmr_addr_v4(127, 0, 0, 1, 9), 0);
    do_simple(&f->s, RMR_IO_CLOSE, 3); /* before it was opened */
    (void)await(&f->s, RMR_IO_SENT, e.b);
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, e.a), 0);
    assert_int_equal(left(&f->s, 3), 0);
    assert_int_equal(left(&f->s, 1), 0);
}

static void a_closed_stream_that_is_reset_is_not_told_of(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    uint8_t *data = pattern(MANY, 8);
    (void)fill(&f->s, e.a, data);
    do_simple(&f->s, RMR_IO_CLOSE, e.a);
    turns(&f->s, 2);
    do_simple(&f->s, RMR_IO_ABORT, e.b);
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, e.a), 0);
    free(data);
}

static void abort_resets_the_far_end(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_read(&f->s, e.b, 1);
    do_simple(&f->s, RMR_IO_ABORT, e.a);
    assert_int_equal(await(&f->s, RMR_IO_RESET, e.b)->ev.err, RMR_E_RESET);
    do_send(&f->s, e.b, "x", 1); /* the stream is gone: no answer, no harm */
    do_simple(&f->s, RMR_IO_CLOSE, e.b);
    turns(&f->s, 3);
    assert_int_equal(left(&f->s, e.b), 0);
    assert_int_equal(left(&f->s, e.a), 0);
}

static void a_reset_is_told_without_credit_too(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_simple(&f->s, RMR_IO_ABORT, e.a);
    (void)await(&f->s, RMR_IO_RESET, e.b);
}

static void a_reset_answers_an_unfinished_send(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    uint8_t *data = pattern(MANY, 8);
    (void)fill(&f->s, e.a, data);
    do_simple(&f->s, RMR_IO_ABORT, e.b);
    (void)await(&f->s, RMR_IO_RESET, e.a);
    assert_null(seen(&f->s, RMR_IO_SENT, e.a));
    free(data);
}

/* A write to a stream whose far end is gone raises SIGPIPE in a careless
 * adapter, and the test dies of it. */
static void writing_to_a_gone_far_end_resets(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_simple(&f->s, RMR_IO_SHUTDOWN, e.b);
    do_read(&f->s, e.a, 1);
    (void)await(&f->s, RMR_IO_EOF, e.a);
    do_simple(&f->s, RMR_IO_ABORT, e.b);
    const told *t = NULL;
    for (int i = 0; i < 100 && !t; i++) {
        do_send(&f->s, e.a, "x", 1);
        (void)adapter_turn(f->a, RMR_MS);
        t = seen(&f->s, RMR_IO_RESET, e.a);
    }
    assert_non_null(t);
}

static void one_busy_stream_leaves_room_for_another(void **state)
{
    fixture *f = *state;
    ends busy = make_stream(&f->s, 1, 2), calm = make_stream(&f->s, 3, 4);
    uint8_t *data = pattern(MANY, 9);
    size_t n = fill(&f->s, busy.a, data);
    do_send(&f->s, calm.a, "calm", 4);
    (void)await(&f->s, RMR_IO_SENT, calm.a);
    do_read(&f->s, busy.b, n);
    do_read(&f->s, calm.b, 4);
    size_t calmly = await(&f->s, RMR_IO_BYTES, calm.b)->n_next_op;
    size_t got = 0, together = 0, asked = 0; /* calls of next_op before */
    while (got < n) {
        const told *t = await(&f->s, RMR_IO_BYTES, busy.b);
        together = t->n_next_op == asked ? together : 0;
        asked = t->n_next_op;
        got += t->ev.data.len;
        together += t->ev.data.len; /* without a look at others */
        assert_true(together <= BOUND);
    }
    assert_true(n > BOUND && asked > calmly); /* not behind all of it */
    free(data);
}

static void a_stopped_machine_still_flushes_its_streams(void **state)
{
    fixture *f = *state;
    script other;
    script_init(&other, f->a);
    uint8_t *data = pattern(MANY, 10);
    do_listen(&f->s, 1, LOOPBACK4);
    do_connect(&other, 1, await_opened(&f->s, 1), 0);
    (void)await_opened(&other, 1);
    uint64_t child = await(&f->s, RMR_IO_ACCEPTED, 1)->ev.child;
    size_t n = fill(&other, 1, data);
    do_simple(&other, RMR_IO_CLOSE, 1);
    do_stop(&other, RMR_OK);
    assert_int_equal(adapter_turn(f->a, 0), 2); /* not done yet */
    free(await_bytes(&f->s, child, n));
    do_read(&f->s, child, 1);
    (void)await(&f->s, RMR_IO_EOF, child);
    do_simple(&f->s, RMR_IO_CLOSE, child);
    turns(&f->s, 1);
    assert_int_equal(adapter_turn(f->a, 0), 1);
    script_wipe(&other);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(both_ends_know_each_other),
        IO_TEST(accepted_ids_are_never_used_twice),
        IO_TEST(bytes_go_both_ways),
        IO_TEST(ipv6_works_likewise),
        IO_TEST(an_empty_send_is_sent),
        IO_TEST(nothing_is_delivered_without_credit),
        IO_TEST(credit_given_before_the_bytes_come_counts),
        IO_TEST(a_reader_without_credit_holds_the_sender_up),
        IO_TEST(what_close_finds_queued_is_still_sent),
        IO_TEST(what_shutdown_finds_queued_is_sent_before_the_end),
        IO_TEST(half_a_stream_goes_on_after_eof),
        IO_TEST(an_ended_stream_does_not_keep_the_loop_busy),
        IO_TEST(close_does_not_lose_what_was_sent_before_unread_input),
        IO_TEST(nothing_is_told_after_close),
        IO_TEST(a_closed_stream_that_is_reset_is_not_told_of),
        IO_TEST(abort_resets_the_far_end),
        IO_TEST(a_reset_is_told_without_credit_too),
        IO_TEST(a_reset_answers_an_unfinished_send),
        IO_TEST(writing_to_a_gone_far_end_resets),
        IO_TEST(one_busy_stream_leaves_room_for_another),
        IO_TEST(a_stopped_machine_still_flushes_its_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
