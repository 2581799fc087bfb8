/* Two streams joined: order, back-pressure, half-close, reset, memory. */
#include <remora/bridge.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

typedef struct rig {
    test_alloc mem;
    rmr_alloc alloc;
    rmr_bridge b;
} rig;

static void begin(rig *r, size_t buf)
{
    memset(r, 0, sizeof *r);
    r->alloc = test_alloc_table(&r->mem);
    rmr_bridge_init(&r->b, &r->alloc, buf);
}

static void end(rig *r)
{
    rmr_bridge_wipe(&r->b);
    assert_int_equal(r->mem.live_blocks, 0);
}

static size_t say(rig *r, rmr_side from, const char *text)
{
    size_t n;
    assert_int_equal(rmr_bridge_read(&r->b, from, rmr_bytes_str(text), &n),
                     RMR_OK);
    return n;
}

/* Takes all that waits for a side, at most `step` bytes at once. */
static void expect(rig *r, rmr_side to, const char *text, size_t step)
{
    size_t at = 0, len = strlen(text);
    for (;;) {
        rmr_bytes v = rmr_bridge_peek(&r->b, to);
        size_t n = v.len < step ? v.len : step;
        if (n == 0)
            break;
        assert_true(at + n <= len);
        assert_memory_equal(v.ptr, text + at, n);
        at += n;
        rmr_bridge_consume(&r->b, to, n);
    }
    assert_int_equal(at, len);
}

static void bytes_pass_in_order_both_ways(void **state)
{
    (void)state;
    rig r;
    for (size_t step = 1; step < 12; step++) {
        begin(&r, 16);
        assert_int_equal(say(&r, RMR_SIDE_A, "hello"), 5);
        assert_int_equal(say(&r, RMR_SIDE_B, "answer"), 6);
        assert_int_equal(say(&r, RMR_SIDE_A, " world"), 6);
        expect(&r, RMR_SIDE_A, "answer", step);
        expect(&r, RMR_SIDE_B, "hello world", step);
        assert_int_equal(r.b.bytes[RMR_SIDE_A], 11);
        assert_int_equal(r.b.bytes[RMR_SIDE_B], 6);
        end(&r);
    }
}

static void a_full_direction_takes_no_more_and_the_other_goes_on(void **state)
{
    (void)state;
    rig r;
    begin(&r, 8);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_A), 8);
    assert_int_equal(say(&r, RMR_SIDE_A, "0123456789"), 8);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_A), 0);
    assert_int_equal(say(&r, RMR_SIDE_A, "x"), 0);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_B), 8);
    assert_int_equal(say(&r, RMR_SIDE_B, "y"), 1);
    rmr_bridge_consume(&r.b, RMR_SIDE_B, 3);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_A), 3);
    assert_int_equal(say(&r, RMR_SIDE_A, "abcd"), 3);
    expect(&r, RMR_SIDE_B, "34567abc", 100);
    end(&r);
}

static void the_default_holds_64_kib_a_direction(void **state)
{
    (void)state;
    rig r;
    begin(&r, 0);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_A), 65536);
    end(&r);
}

static void an_end_passes_on_after_the_bytes_before_it_and_once(void **state)
{
    (void)state;
    rig r;
    begin(&r, 0);
    say(&r, RMR_SIDE_A, "last");
    rmr_bridge_read_eof(&r.b, RMR_SIDE_A);
    assert_false(rmr_bridge_take_eof(&r.b, RMR_SIDE_B));
    assert_false(rmr_bridge_take_eof(&r.b, RMR_SIDE_A));
    expect(&r, RMR_SIDE_B, "last", 3);
    assert_false(rmr_bridge_take_eof(&r.b, RMR_SIDE_A));
    assert_true(rmr_bridge_take_eof(&r.b, RMR_SIDE_B));
    assert_false(rmr_bridge_take_eof(&r.b, RMR_SIDE_B));
    assert_false(rmr_bridge_is_done(&r.b));
    /* The other direction is still open. */
    say(&r, RMR_SIDE_B, "reply");
    expect(&r, RMR_SIDE_A, "reply", 100);
    rmr_bridge_read_eof(&r.b, RMR_SIDE_B);
    rmr_bridge_read_eof(&r.b, RMR_SIDE_B);
    assert_false(rmr_bridge_is_done(&r.b));
    assert_true(rmr_bridge_take_eof(&r.b, RMR_SIDE_A));
    assert_true(rmr_bridge_is_done(&r.b));
    end(&r);
}

static void nothing_is_taken_from_a_side_after_its_end(void **state)
{
    (void)state;
    rig r;
    size_t n = 7;
    begin(&r, 0);
    rmr_bridge_read_eof(&r.b, RMR_SIDE_A);
    assert_int_equal(rmr_bridge_read(&r.b, RMR_SIDE_A, rmr_bytes_str("x"), &n),
                     RMR_E_STATE);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_A), 0);
    end(&r);
}

static void a_reset_drops_all_and_is_done(void **state)
{
    (void)state;
    rig r;
    size_t n;
    begin(&r, 0);
    say(&r, RMR_SIDE_A, "dropped");
    rmr_bridge_read_eof(&r.b, RMR_SIDE_A);
    rmr_bridge_reset(&r.b);
    assert_true(rmr_bridge_is_done(&r.b));
    assert_int_equal(rmr_bridge_peek(&r.b, RMR_SIDE_B).len, 0);
    assert_false(rmr_bridge_take_eof(&r.b, RMR_SIDE_B));
    assert_int_equal(rmr_bridge_space(&r.b, RMR_SIDE_B), 0);
    assert_int_equal(rmr_bridge_read(&r.b, RMR_SIDE_B, rmr_bytes_str("x"), &n),
                     RMR_E_STATE);
    assert_int_equal(r.mem.live_blocks, 0);
    end(&r);
}

static void an_emptied_queue_holds_no_memory(void **state)
{
    (void)state;
    rig r;
    begin(&r, 0);
    assert_int_equal(r.mem.live_blocks, 0);
    say(&r, RMR_SIDE_A, "x");
    assert_int_equal(r.mem.live_blocks, 1);
    rmr_bridge_consume(&r.b, RMR_SIDE_B, 99);
    assert_int_equal(r.b.bytes[RMR_SIDE_A], 1);
    assert_int_equal(r.mem.live_blocks, 0);
    end(&r);
}

static void
without_memory_nothing_is_taken_and_it_can_be_tried_again(void **state)
{
    (void)state;
    rig r;
    size_t n = 7;
    for (size_t fail = 1; fail < 4; fail++) {
        begin(&r, 0);
        r.mem.fail_at = fail;
        rmr_err e = rmr_bridge_read(&r.b, RMR_SIDE_A, rmr_bytes_str("x"), &n);
        if (fail == 1) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_int_equal(n, 0);
            e = rmr_bridge_read(&r.b, RMR_SIDE_A, rmr_bytes_str("x"), &n);
        }
        assert_int_equal(e, RMR_OK);
        assert_int_equal(n, 1);
        expect(&r, RMR_SIDE_B, "x", 1);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_in_order_both_ways),
        cmocka_unit_test(a_full_direction_takes_no_more_and_the_other_goes_on),
        cmocka_unit_test(the_default_holds_64_kib_a_direction),
        cmocka_unit_test(an_end_passes_on_after_the_bytes_before_it_and_once),
        cmocka_unit_test(nothing_is_taken_from_a_side_after_its_end),
        cmocka_unit_test(a_reset_drops_all_and_is_done),
        cmocka_unit_test(an_emptied_queue_holds_no_memory),
        cmocka_unit_test(
            without_memory_nothing_is_taken_and_it_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
