/* Whole tailnets: nodes, control and relays on simulated hosts. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void check_transfer(const pair *p, uint64_t n)
{
    assert_int_equal(p->b->got, n);
    assert_true(world_arrived(p->a, p->b));
}

static void two_nodes_exchange_data_by_the_relay(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    g[0].udp_blocked = true;
    pair_init(&p, 1, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    world_run(&p.w, RMR_SEC);
    world_dial(p.a, p.b);
    world_send(p.a, 100000);
    world_run(&p.w, 20 * RMR_SEC);
    check_transfer(&p, 100000);
    assert_false(world_is_direct(p.a, p.b));
    world_free(&p.w);
}

static void port_restricted_nats_are_no_hindrance(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    pair_init(&p, 1, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    world_run(&p.w, 10 * RMR_SEC);
    world_dial(p.a, p.b);
    world_send(p.a, 100000);
    world_run(&p.w, 20 * RMR_SEC);
    check_transfer(&p, 100000);
    assert_true(world_is_direct(p.a, p.b));
    world_free(&p.w);
}

static void after_an_hour_of_sleep_it_goes_on(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, 4000000);
    world_run(&p.w, 30 * RMR_SEC);
    assert_int_equal(rmr_sim_host_sleep(p.w.sim, p.a->host, 3600 * RMR_SEC),
                     RMR_OK);
    world_run(&p.w, 3630 * RMR_SEC);
    world_send(p.a, 50000);
    pair_end(&p);
}

static void a_home_relay_that_dies_is_left(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    g[0].udp_blocked = true; /* all by the relay */
    pair_init(&p, 1, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    world_run(&p.w, 10 * RMR_SEC);
    world_dial(p.a, p.b);
    world_send(p.a, 100000);
    world_run(&p.w, 10 * RMR_SEC);
    check_transfer(&p, 100000);
    uint16_t home = world_home(p.b);
    assert_int_equal(
        rmr_sim_remove(p.w.sim, p.w.relays[home - 1].program, RMR_SIM_KILLED),
        RMR_OK);
    world_send(p.a, 100000);
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_exchange_data_by_the_relay),
        cmocka_unit_test(port_restricted_nats_are_no_hindrance),
        cmocka_unit_test(after_an_hour_of_sleep_it_goes_on),
        cmocka_unit_test(a_home_relay_that_dies_is_left),
    };
    return cmocka_run_group_tests_name("tailnet", tests, NULL, NULL);
}
