/* Whole tailnets: nodes, control and relays on simulated hosts. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

typedef struct pair {
    world w;
    world_node *a, *b;
    rmr_sim_net home[2];
} pair;

static const char *const inner_ip[2] = {"192.168.1.2", "192.168.2.2"};

static void pair_init(pair *p, uint64_t seed, rmr_sim_gate_config gates[2])
{
    world_init(&p->w, seed, 2);
    world_node *n[2];
    for (int i = 0; i < 2; i++) {
        rmr_addr outside = rmr_addr_v4(198, 51, 100, (uint8_t)(10 * i + 1), 0);
        gates[i].outside = &outside;
        gates[i].n_outside = gates[i].nat;
        gates[i].inside = rmr_addr_v4(192, 168, (uint8_t)(i + 1), 1, 0);
        gates[i].up.delay = gates[i].down.delay = 10 * RMR_MS;
        p->home[i] = world_net(&p->w, RMR_SIM_INTERNET, &gates[i]);
        n[i] = world_node_add(&p->w, p->home[i], inner_ip[i], NULL);
    }
    p->a = n[0];
    p->b = n[1];
}

static void easy(rmr_sim_gate_config g[2])
{
    for (int i = 0; i < 2; i++) {
        rmr_sim_gate_config_init(&g[i], sizeof g[i]);
        g[i].nat = true;
        g[i].filtering = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
    }
}

static void check_transfer(const pair *p, uint64_t n)
{
    assert_int_equal(p->b->got, n);
    assert_int_equal(p->b->digest_got, p->a->digest_sent);
}

static void two_nodes_exchange_data_by_the_relay(void **state)
{
    pair p;
    rmr_sim_gate_config g[2];
    (void)state;
    easy(g);
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
    pair p;
    rmr_sim_gate_config g[2];
    (void)state;
    easy(g);
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

/* A direct pair in the middle of a transfer. */
static void begin(pair *p, uint64_t bytes)
{
    rmr_sim_gate_config g[2];
    easy(g);
    pair_init(p, 1, g);
    assert_true(world_all_run(&p->w, 30 * RMR_SEC));
    world_run(&p->w, 10 * RMR_SEC);
    world_dial(p->a, p->b);
    world_send(p->a, 1000);
    world_run(&p->w, 5 * RMR_SEC);
    assert_true(world_is_direct(p->a, p->b));
    world_send(p->a, bytes);
    world_run(&p->w, 200 * RMR_MS);
    assert_true(p->b->got < 1000 + bytes);
}

static bool has_more(void *user)
{
    uint64_t *x = user; /* the count, and what it was */
    const world_node *n = *(world_node *const *)(void *)&x[1];
    return n->got > x[0];
}

/* Until b gets anything; how long that took. */
static rmr_dur silence(pair *p, rmr_dur most)
{
    uint64_t x[2] = {p->b->got, 0};
    rmr_time start = rmr_sim_now(p->w.sim);
    memcpy(&x[1], &p->b, sizeof p->b);
    (void)rmr_sim_run_until(p->w.sim, start + most, has_more, x);
    return rmr_sim_now(p->w.sim) - start;
}

static void end(pair *p, uint64_t bytes)
{
    for (int i = 0; i < 200 && p->b->got < bytes; i++)
        world_run(&p->w, RMR_SEC);
    check_transfer(p, bytes);
    assert_false(p->a->is_closed || p->b->is_closed);
    world_free(&p->w);
}

static void a_path_that_dies_gives_way_to_the_relay_and_comes_back(void **state)
{
    pair p;
    (void)state;
    begin(&p, 8000000);
    assert_int_equal(rmr_sim_gate_block_udp(p.w.sim, p.home[0], true), RMR_OK);
    world_run(&p.w, 100 * RMR_MS); /* what was on the way has come */
    rmr_dur took = silence(&p, 30 * RMR_SEC);
    /* 6.5 s after the last pong, and TCP tries again by then: it backs off up
     * to twice that. */
    (void)printf("silence of %llu ms\n", (unsigned long long)(took / RMR_MS));
    assert_true(took < 13 * RMR_SEC);
    assert_false(world_is_direct(p.a, p.b));
    assert_int_equal(rmr_sim_gate_block_udp(p.w.sim, p.home[0], false), RMR_OK);
    for (int i = 0; i < 60 && !world_is_direct(p.a, p.b); i++) {
        world_send(p.a, 1000);
        world_run(&p.w, RMR_SEC);
    }
    assert_true(world_is_direct(p.a, p.b));
    end(&p, p.a->sent + p.a->sends_left);
}

static void an_address_change_keeps_the_connection(void **state)
{
    pair p;
    rmr_addr mobile = rmr_addr_v4(198, 18, 0, 9, 0);
    (void)state;
    begin(&p, 4000000);
    assert_int_equal(
        rmr_sim_host_move(p.w.sim, p.a->host, RMR_SIM_INTERNET, &mobile, 1),
        RMR_OK);
    world_run(&p.w, 30 * RMR_SEC);
    for (int i = 0; i < 30 && !world_is_direct(p.a, p.b); i++) {
        world_send(p.a, 1000);
        world_run(&p.w, RMR_SEC);
    }
    assert_true(world_is_direct(p.a, p.b));
    end(&p, p.a->sent + p.a->sends_left);
}

static void a_nat_reboot_keeps_the_connection(void **state)
{
    pair p;
    (void)state;
    begin(&p, 4000000);
    assert_int_equal(rmr_sim_gate_reboot(p.w.sim, p.home[0]), RMR_OK);
    end(&p, 4001000);
}

static void after_an_hour_of_sleep_it_goes_on(void **state)
{
    pair p;
    (void)state;
    begin(&p, 4000000);
    world_run(&p.w, 30 * RMR_SEC);
    assert_int_equal(rmr_sim_host_sleep(p.w.sim, p.a->host, 3600 * RMR_SEC),
                     RMR_OK);
    world_run(&p.w, 3630 * RMR_SEC);
    world_send(p.a, 50000);
    end(&p, 4051000);
}

static void a_home_relay_that_dies_is_left(void **state)
{
    pair p;
    rmr_sim_gate_config g[2];
    (void)state;
    easy(g);
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
    end(&p, 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_exchange_data_by_the_relay),
        cmocka_unit_test(port_restricted_nats_are_no_hindrance),
        cmocka_unit_test(
            a_path_that_dies_gives_way_to_the_relay_and_comes_back),
        cmocka_unit_test(an_address_change_keeps_the_connection),
        cmocka_unit_test(a_nat_reboot_keeps_the_connection),
        cmocka_unit_test(after_an_hour_of_sleep_it_goes_on),
        cmocka_unit_test(a_home_relay_that_dies_is_left),
    };
    return cmocka_run_group_tests_name("tailnet", tests, NULL, NULL);
}
