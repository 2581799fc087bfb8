/* Connections that the host holds back (rmr_ns_hold). */
#include "ns_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

typedef struct world {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_sock a, b;
    uint8_t out[1280];
} world;

/* Two connections being dialled: each has a SYN to send. */
static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_addr me = rmr_addr_v4(10, 0, 0, 1, 0);
    rmr_addr one = rmr_addr_v4(10, 0, 0, 11, 80);
    rmr_addr two = rmr_addr_v4(10, 0, 0, 22, 80);
    rmr_ns_config cfg;
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 70 * RMR_SEC;
    rmr_ns_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me), RMR_OK);
    assert_int_equal(rmr_ns_tcp_connect(w->ns, w->now, NULL, &one, w, &w->a),
                     RMR_OK);
    assert_int_equal(rmr_ns_tcp_connect(w->ns, w->now, NULL, &two, w, &w->b),
                     RMR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

/* The last byte of the next packet's destination; 0: there is none. */
static int next(world *w)
{
    size_t n = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return n ? w->out[19] : 0;
}

static void pass(world *w, rmr_dur d)
{
    w->now += d;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
}

static void a_held_connection_sends_nothing_and_others_go_on(void **state)
{
    world *w = *state;
    assert_int_equal(next(w), 11);
    rmr_ns_hold(w->ns, 7);
    assert_int_equal(next(w), 22);
    assert_int_equal(next(w), 0);
    pass(w, 1500 * RMR_MS); /* both want to repeat */
    assert_int_equal(next(w), 22);
    assert_int_equal(next(w), 0);
    rmr_ns_release(w->ns, 8); /* of another way */
    assert_int_equal(next(w), 0);
    rmr_ns_release(w->ns, 7);
    assert_int_equal(next(w), 11);
    assert_int_equal(next(w), 0);
    pass(w, 10 * RMR_SEC); /* it is free again */
    assert_true(next(w) && next(w));
}

static void several_ways_are_held_apart(void **state)
{
    world *w = *state;
    assert_int_equal(next(w), 11);
    rmr_ns_hold(w->ns, 1);
    assert_int_equal(next(w), 22);
    rmr_ns_hold(w->ns, 2);
    pass(w, 1500 * RMR_MS);
    assert_int_equal(next(w), 0);
    rmr_ns_release(w->ns, 2);
    assert_int_equal(next(w), 22);
    assert_int_equal(next(w), 0);
    rmr_ns_release(w->ns, 1);
    assert_int_equal(next(w), 11);
}

static void what_was_no_connections_packet_holds_nothing(void **state)
{
    world *w = *state;
    rmr_ns_hold(w->ns, 1); /* nothing was written yet */
    assert_int_equal(next(w), 11);
    assert_int_equal(next(w), 22);
    assert_int_equal(next(w), 0);
    rmr_ns_hold(w->ns, 1); /* the last call gave none */
    pass(w, 1500 * RMR_MS);
    assert_true(next(w) && next(w));
}

static void a_held_connection_can_end(void **state)
{
    world *w = *state;
    assert_int_equal(next(w), 11);
    rmr_ns_hold(w->ns, 1);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->a), RMR_OK);
    assert_int_equal(next(w), 22);
    rmr_ns_hold(w->ns, 1);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->b), RMR_OK);
    rmr_ns_release(w->ns, 1);
    assert_int_equal(next(w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_held_connection_sends_nothing_and_others_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(several_ways_are_held_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            what_was_no_connections_packet_holds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_connection_can_end, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
