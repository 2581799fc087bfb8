/* The kit: a link, fairness of the queue, listeners, time, against a script. */
#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void a_link_reaches_a_literal_host_directly(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_io_op op = rig_open(&r, "192.0.2.7");
    assert_int_equal(op.addr.port, 8080);
    assert_int_equal(op.addr.ip[0], 192);
    assert_int_equal(r.opened, 1);
    strcpy(r.say, "hello");
    rmr_mc_link_output(r.link);
    assert_string_equal(rig_sent(&r), "hello");
    rig_give(&r, RMR_IO_BYTES, op.id, "world");
    assert_memory_equal(r.got, "world", 5);
    rig_give(&r, RMR_IO_EOF, op.id, NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_OK);
    rig_end(&r);
}

static void the_next_address_is_tried_when_one_fails(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = rig_dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(192, 0, 2, 1, 0);
    d.addrs[1] = rmr_addr_v4(192, 0, 2, 2, 0);
    d.n_addrs = 2;
    rmr_mc_link_dial(r.link, r.now, &d);
    for (uint8_t i = 1; i <= 2; i++) {
        rmr_io_op op = rig_next(&r);
        assert_int_equal(op.kind, RMR_IO_CONNECT);
        assert_int_equal(op.addr.ip[3], i);
        assert_int_equal(r.closed, 0);
        rig_give(&r, RMR_IO_FAILED, op.id, NULL);
    }
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

typedef struct talker {
    rmr_mc_io *io;
    int said;
} talker;

static size_t talk(void *owner, rmr_time now, rmr_buf scratch)
{
    talker *t = owner;
    (void)now;
    t->said++;
    scratch.ptr[0] = 'x';
    return 1;
}

static const rmr_mc_io_ops talk_ops = {.produce = talk};

/* One that always has something does not starve the others. */
static void streams_take_turns(void **st)
{
    talker t[3] = {{0}};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    for (size_t i = 0; i < 3; i++) {
        t[i].io = rmr_mc_adopt(r.mc, RMR_IO_ADAPTER_ID + i, &talk_ops, &t[i]);
        rmr_mc_io_output(t[i].io);
    }
    assert_int_equal(rmr_mc_objects(r.mc), 3);
    for (int i = 0; i < 30; i++) {
        rmr_io_op op = rig_next(&r);
        assert_int_equal(op.kind, RMR_IO_STREAM_SEND);
        rig_give(&r, RMR_IO_SENT, op.id, NULL);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(t[i].said, 10);
    for (size_t i = 0; i < 3; i++)
        rmr_mc_io_close(t[i].io);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_next(&r).kind, RMR_IO_CLOSE);
    assert_int_equal(rmr_mc_objects(r.mc), 0);
    rig_end(&r);
}

static void a_stream_that_nobody_takes_is_reset(void **st)
{
    rmr_io_event ev = {0};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = 77; /* a listener that is gone */
    ev.child = RMR_IO_ADAPTER_ID + 9;
    rmr_mc_event(r.mc, r.now, &ev);
    rmr_io_op op = rig_next(&r);
    assert_int_equal(op.kind, RMR_IO_ABORT);
    assert_true(op.id == ev.child);
    rig_end(&r);
}

static void a_listener_has_room_for_all_that_is_refused(void **st)
{
    static const rmr_mc_io_ops none;
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 80);
    rmr_io_op op;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_mc_refuse(r.mc, RMR_IO_ADAPTER_ID + 1);
    r.alloc.fail_at = r.alloc.calls + 1;
    assert_null(rmr_mc_listen(r.mc, &at, NULL, &none, &r));
    r.alloc.fail_at = 0;
    rmr_mc_io *l = rmr_mc_listen(r.mc, &at, NULL, &none, &r);
    assert_non_null(l);
    for (uint64_t i = 2; i <= 512; i++)
        rmr_mc_refuse(r.mc, RMR_IO_ADAPTER_ID + i);
    for (uint64_t i = 512; i > 0; i--) {
        op = rig_next(&r);
        assert_int_equal(op.kind, RMR_IO_ABORT);
        assert_true(op.id == RMR_IO_ADAPTER_ID + i);
    }
    op = rig_next(&r);
    assert_int_equal(op.kind, RMR_IO_LISTEN);
    rmr_mc_io_close(l);
    rig_end(&r);
}

static void the_time_of_day_runs_on_from_the_last_word(void **st)
{
    rmr_io_event ev = {0};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1000 * RMR_SEC;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_true(rmr_mc_wall(r.mc, r.now + 5 * RMR_SEC) == 1005 * RMR_SEC);
    rig_end(&r);
}

static void a_failing_allocation_leaves_nothing_behind(void **st)
{
    (void)st;
    for (size_t n = 1;; n++) {
        rig r = {0};
        test_rng_seed(&r.rng, 1);
        r.alloc.fail_at = n;
        rmr_err err = rig_new(&r, &rig_proxy);
        bool failed = r.alloc.failed > 0;
        assert_int_equal(err, failed ? RMR_E_NOMEM : RMR_OK);
        rmr_mc_link_free(r.link);
        rmr_mc_free(r.mc);
        assert_int_equal(r.alloc.live_blocks, 0);
        if (!failed)
            break;
    }
}

static void a_failing_generator_makes_no_kit(void **st)
{
    rig r = {0};
    (void)st;
    test_rng_seed(&r.rng, 1);
    r.rng.fail_at = 1;
    assert_int_equal(rig_new(&r, &rig_proxy), RMR_E_RNG);
    assert_int_equal(r.alloc.live_blocks, 0);
}

/* Freed memory is searched for the credentials. */
static void credentials_are_wiped(void **st)
{
    static const uint8_t secret[] = "dXNlcjpwYXNz";
    rig r;
    (void)st;
    rig_start(&r, &rig_proxy);
    r.alloc.secret = secret;
    r.alloc.secret_len = sizeof secret - 1;
    rig_end(&r);
    assert_int_equal(r.alloc.leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_reaches_a_literal_host_directly),
        cmocka_unit_test(the_next_address_is_tried_when_one_fails),
        cmocka_unit_test(streams_take_turns),
        cmocka_unit_test(a_stream_that_nobody_takes_is_reset),
        cmocka_unit_test(a_listener_has_room_for_all_that_is_refused),
        cmocka_unit_test(the_time_of_day_runs_on_from_the_last_word),
        cmocka_unit_test(a_failing_allocation_leaves_nothing_behind),
        cmocka_unit_test(a_failing_generator_makes_no_kit),
        cmocka_unit_test(credentials_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
