/* Whole tailnets: nodes, control and relays on simulated hosts. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

/* A packet log of each host, of the node's first packet on: STUN to a relay. */
static void each_host_has_a_packet_log(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    char dir[] = "/tmp/remora-pcap-XXXXXX", path[64];
    uint8_t log[24 + 16 + 28];
    static const uint8_t node[4] = {192, 168, 1, 2};
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("WORLD_PCAP", dir, 1), 0);
    pair_easy(g);
    pair_init(&p, 5, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    world_run(&p.w, RMR_SEC); /* netcheck */
    world_free(&p.w);
    assert_int_equal(unsetenv("WORLD_PCAP"), 0);
    static const char *const hosts[] = {"n0", "n1", "relay1", "relay2",
                                        "control"};
    for (size_t i = sizeof hosts / sizeof *hosts; i-- > 0;) {
        (void)snprintf(path, sizeof path, "%s/5-%s.pcap", dir, hosts[i]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t n = fread(log, 1, sizeof log, f);
        assert_true(n == (i == 4 ? 24 : sizeof log)); /* control has no UDP */
        (void)fclose(f);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    const uint8_t *ip = log + 40; /* of n0 */
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(ip[9], 17);
    assert_memory_equal(ip + 12, node, sizeof node);
    assert_int_equal(ip[22] << 8 | ip[23], 3478);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_exchange_data_by_the_relay),
        cmocka_unit_test(port_restricted_nats_are_no_hindrance),
        cmocka_unit_test(after_an_hour_of_sleep_it_goes_on),
        cmocka_unit_test(each_host_has_a_packet_log),
        cmocka_unit_test(a_home_relay_that_dies_is_left),
    };
    return cmocka_run_group_tests_name("tailnet", tests, NULL, NULL);
}
