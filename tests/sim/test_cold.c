/* Starts without what a node would like to have: the control server, a
 * network. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* By the relay: a restarted node has a new disco key, of which nobody could
 * tell its peers. */
static void a_restart_without_control_runs_from_the_cached_netmap(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    pair_init(&p, 3, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    assert_false(p.a->from_cache);
    world_run(&p.w, 90 * RMR_SEC); /* homes are told, the netmap is stored */
    uint16_t home = world_home(p.a);
    world_control_stop(&p.w);
    world_node_stop(p.a);
    world_run(&p.w, 10 * RMR_SEC);
    world_node_start(p.a);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    assert_true(p.a->from_cache);
    assert_int_equal(rmr_node_get_state(p.a->node), RMR_NODE_RUNNING);
    assert_int_equal(world_home(p.a), home);
    world_dial(p.a, p.b);
    world_send(p.a, 100000);
    world_run(&p.w, 60 * RMR_SEC);
    assert_int_equal(p.b->got, 100000);
    assert_true(world_arrived(p.a, p.b));
    /* The server is back: the netmap is live, the connection goes on. */
    world_control_start(&p.w);
    world_run(&p.w, 120 * RMR_SEC);
    assert_false(p.a->from_cache);
    world_send(p.a, 100000);
    world_run(&p.w, 30 * RMR_SEC);
    assert_int_equal(p.b->got, 200000);
    assert_true(world_arrived(p.a, p.b));
    assert_true(world_is_direct(p.a, p.b));
    world_free(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_without_control_runs_from_the_cached_netmap),
    };
    return cmocka_run_group_tests_name("cold", tests, NULL, NULL);
}
