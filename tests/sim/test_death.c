/* Paths that die under a transfer, and what becomes of it.  The bounds are
 * those of the path's own timers, not what happened to be measured. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define TRUST (6500 * RMR_MS)       /* after a pong a path is used alone    */
#define PING_INTERVAL (5 * RMR_SEC) /* between two pings of one candidate   */
#define UPGRADE (60 * RMR_SEC)      /* a better path is looked for as often */
#define RELAY_CHECK (3 * RMR_SEC)   /* without a pong it is closed          */
#define HEARTBEAT (3 * RMR_SEC)
#define NETCHECK (5 * RMR_SEC)  /* its longest run: own endpoints are known */
#define RECONNECT (5 * RMR_SEC) /* most between two tries at a relay       */
/* What is on its way when the path dies comes still, some 42 ms; and the first
 * packet by the relay is acknowledged two of its hops each way later. */
#define ON_THE_WAY (250 * RMR_MS)
#define DRAINED (100 * RMR_MS)
#define ENDLESS ((uint64_t)1 << 40)

static void note(const char *what, rmr_dur took, rmr_dur bound)
{
    (void)printf("    %s: %llu ms, at most %llu\n", what,
                 (unsigned long long)(took / RMR_MS),
                 (unsigned long long)(bound / RMR_MS));
    assert_true(took <= bound);
}

/* From an instant of death on: new data is acknowledged within the bound, and
 * it is not one packet alone that comes through. */
static void flows_within(pair *p, rmr_dur bound)
{
    world_run(&p->w, DRAINED);
    note("silence", DRAINED + pair_silence(p, 60 * RMR_SEC), bound);
    uint64_t sent = p->a->sent;
    world_run(&p->w, 2 * RMR_SEC);
    assert_true(p->a->sent - sent > 100000);
}

static void is_direct_within(pair *p, rmr_dur bound)
{
    note("direct", pair_until_direct(p, 2 * bound), bound);
}

static void block(pair *p, uint8_t family, rmr_sim_ways ways)
{
    assert_int_equal(rmr_sim_gate_block_udp(p->w.sim, p->home[0], family, ways),
                     RMR_OK);
}

/* ---- the direct path dies -------------------------------------------------- */

/* At several distances from the last heartbeat, as the bound counts from it. */
static void dies_and_heals(rmr_sim_ways ways)
{
    for (uint64_t phase = 0; phase < 3; phase++) {
        pair p = {.has_ipv6 = false};
        pair_begin(&p, 1 + phase, ENDLESS);
        world_run(&p.w, phase * RMR_SEC);
        block(&p, RMR_AF_NONE, ways);
        flows_within(&p, TRUST + ON_THE_WAY);
        assert_false(world_is_direct(p.a, p.b) || world_is_direct(p.b, p.a));
        world_run(&p.w, 7 * RMR_SEC);
        block(&p, RMR_AF_NONE, RMR_SIM_WAY_NONE);
        is_direct_within(&p, PING_INTERVAL + ON_THE_WAY);
        flows_within(&p, RMR_SEC); /* nothing is lost on the way back */
        pair_stop(&p);
    }
}

static void a_dead_path_gives_way_to_the_relay_and_comes_back(void **state)
{
    (void)state;
    dies_and_heals(RMR_SIM_WAY_BOTH);
}

static void so_does_one_that_carries_nothing_outward(void **state)
{
    (void)state;
    dies_and_heals(RMR_SIM_WAY_OUT);
}

static void so_does_one_that_carries_nothing_inward(void **state)
{
    (void)state;
    dies_and_heals(RMR_SIM_WAY_IN);
}

static void ipv6_is_preferred_lost_and_found_again(void **state)
{
    pair p = {.has_ipv6 = true};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    assert_int_equal(world_path(p.a, p.b).family, RMR_AF_INET6);
    assert_int_equal(world_path(p.b, p.a).family, RMR_AF_INET6);
    block(&p, RMR_AF_INET6, RMR_SIM_WAY_BOTH);
    flows_within(&p, TRUST + ON_THE_WAY);
    is_direct_within(&p, HEARTBEAT + PING_INTERVAL + ON_THE_WAY);
    assert_int_equal(world_path(p.a, p.b).family, RMR_AF_INET);
    block(&p, RMR_AF_INET6, RMR_SIM_WAY_NONE);
    world_run(&p.w, UPGRADE + HEARTBEAT + ON_THE_WAY);
    assert_int_equal(world_path(p.a, p.b).family, RMR_AF_INET6);
    assert_int_equal(world_path(p.b, p.a).family, RMR_AF_INET6);
    pair_stop(&p);
}

/* ---- NATs forget ------------------------------------------------------------ */

static void both_nats_reboot_in_mid_transfer(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rmr_sim_gate_reboot(p.w.sim, p.home[i]), RMR_OK);
    flows_within(&p, TRUST + ON_THE_WAY);
    pair_stop(&p);
}

static void both_mappings_expire_in_a_pause(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    p.a->sends_left = 0;
    world_run(&p.w, 300 * RMR_SEC); /* 45 s of heartbeats, 120 s of mappings */
    assert_true(world_arrived(p.a, p.b));
    assert_false(world_is_direct(p.a, p.b));
    world_send(p.a, ENDLESS);
    flows_within(&p, RMR_SEC); /* by the relay, at once */
    is_direct_within(&p, NETCHECK + PING_INTERVAL + ON_THE_WAY);
    pair_stop(&p);
}

/* ---- the relay dies --------------------------------------------------------- */

static void a_relay_restarts_under_a_transfer_by_it(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    block(&p, RMR_AF_NONE, RMR_SIM_WAY_BOTH);
    flows_within(&p, TRUST + ON_THE_WAY);
    uint16_t home = world_home(p.b);
    world_relay_stop(&p.w, home);
    world_run(&p.w, 2 * RMR_SEC);
    world_relay_start(&p.w, home);
    flows_within(&p, RECONNECT + RMR_SEC); /* TCP, TLS, HTTP, and a packet */
    pair_stop(&p);
}

static void a_relay_that_restarts_disturbs_no_direct_transfer(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    uint16_t home = world_home(p.b);
    world_relay_stop(&p.w, home);
    flows_within(&p, RMR_SEC);
    world_relay_start(&p.w, home);
    flows_within(&p, RMR_SEC);
    assert_true(world_is_direct(p.a, p.b) && world_is_direct(p.b, p.a));
    pair_stop(&p);
}

/* ---- a host moves ----------------------------------------------------------- */

static void moves(int who, bool to_internet, rmr_dur away)
{
    pair p = {.has_ipv6 = false};
    pair_begin(&p, 1, ENDLESS);
    rmr_sim_host host = who ? p.b->host : p.a->host;
    rmr_sim_net net = to_internet ? RMR_SIM_INTERNET : p.home[who];
    rmr_addr ip = to_internet ? rmr_addr_v4(198, 18, 0, 9, 0)
                              : rmr_addr_v4(192, 168, (uint8_t)(who + 1), 7, 0);
    if (away) {
        assert_int_equal(rmr_sim_host_move(p.w.sim, host, net, NULL, 0),
                         RMR_OK);
        world_run(&p.w, away);
    }
    assert_int_equal(rmr_sim_host_move(p.w.sim, host, net, &ip, 1), RMR_OK);
    flows_within(&p, TRUST + ON_THE_WAY);
    is_direct_within(&p, NETCHECK + PING_INTERVAL + ON_THE_WAY);
    pair_stop(&p);
}

static void the_sender_roams_to_another_network(void **state)
{
    (void)state;
    moves(0, true, 0);
    moves(0, true, 20 * RMR_SEC);
}

static void the_receiver_roams_to_another_network(void **state)
{
    (void)state;
    moves(1, true, 0);
    moves(1, true, 20 * RMR_SEC);
}

static void a_host_gets_another_address_in_its_network(void **state)
{
    (void)state;
    moves(0, false, 0);
    moves(1, false, 3 * RMR_SEC);
}

static void a_provider_numbers_anew(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_addr outside = rmr_addr_v4(198, 51, 100, 77, 0);
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    assert_int_equal(rmr_sim_gate_set_outside(p.w.sim, p.home[0], &outside, 1),
                     RMR_OK);
    /* The host hears nothing of it, and its connection to the relay is as dead
     * as the path: that is found out when the path is. */
    flows_within(&p, TRUST + RELAY_CHECK + RECONNECT + ON_THE_WAY);
    is_direct_within(&p, NETCHECK + PING_INTERVAL + ON_THE_WAY);
    pair_stop(&p);
}

/* ---- clocks ----------------------------------------------------------------- */

static void steps(int64_t step)
{
    pair p = {.has_ipv6 = false};
    pair_begin(&p, 1, ENDLESS);
    assert_int_equal(rmr_sim_host_step_clock(p.w.sim, p.a->host, step), RMR_OK);
    assert_int_equal(rmr_sim_host_step_clock(p.w.sim, p.b->host, -step),
                     RMR_OK);
    flows_within(&p, TRUST + ON_THE_WAY);
    is_direct_within(&p, NETCHECK + PING_INTERVAL + ON_THE_WAY);
    pair_stop(&p);
}

static void the_time_of_day_steps_in_mid_transfer(void **state)
{
    (void)state;
    steps(5 * (int64_t)RMR_SEC);
    steps(3600 * (int64_t)RMR_SEC); /* a slept hour, as far as one can tell */
    steps(-3600 * (int64_t)RMR_SEC);
}

static void a_host_sleeps_in_mid_transfer(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 1, ENDLESS);
    assert_int_equal(rmr_sim_host_sleep(p.w.sim, p.b->host, 20 * RMR_SEC),
                     RMR_OK);
    world_run(&p.w, 20 * RMR_SEC);
    flows_within(&p, TRUST + ON_THE_WAY);
    is_direct_within(&p, PING_INTERVAL + ON_THE_WAY);
    pair_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_path_gives_way_to_the_relay_and_comes_back),
        cmocka_unit_test(so_does_one_that_carries_nothing_outward),
        cmocka_unit_test(so_does_one_that_carries_nothing_inward),
        cmocka_unit_test(ipv6_is_preferred_lost_and_found_again),
        cmocka_unit_test(both_nats_reboot_in_mid_transfer),
        cmocka_unit_test(both_mappings_expire_in_a_pause),
        cmocka_unit_test(a_relay_restarts_under_a_transfer_by_it),
        cmocka_unit_test(a_relay_that_restarts_disturbs_no_direct_transfer),
        cmocka_unit_test(the_sender_roams_to_another_network),
        cmocka_unit_test(the_receiver_roams_to_another_network),
        cmocka_unit_test(a_host_gets_another_address_in_its_network),
        cmocka_unit_test(a_provider_numbers_anew),
        cmocka_unit_test(the_time_of_day_steps_in_mid_transfer),
        cmocka_unit_test(a_host_sleeps_in_mid_transfer),
    };
    return cmocka_run_group_tests_name("death", tests, NULL, NULL);
}
