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

static bool arrives(pair *p, uint64_t more, rmr_dur within)
{
    uint64_t want = p->b->got + more;
    world_send(p->a, more);
    world_run(&p->w, within);
    return p->b->got == want && world_arrived(p->a, p->b);
}

/* Its host has no address, for ten minutes, and then one. */
static void a_start_without_a_network_waits_for_one(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    rmr_addr ip = rmr_addr_v4(192, 168, 1, 2, 0);
    (void)state;
    pair_easy(g);
    pair_init(&p, 4, g);
    assert_int_equal(rmr_sim_host_move(p.w.sim, p.a->host, p.home[0], NULL, 0),
                     RMR_OK);
    world_run(&p.w, 600 * RMR_SEC);
    assert_false(p.a->is_running || p.a->had_failed);
    assert_true(p.b->is_running);
    assert_int_equal(rmr_sim_host_move(p.w.sim, p.a->host, p.home[0], &ip, 1),
                     RMR_OK);
    assert_true(
        world_all_run(&p.w, 5 * RMR_SEC)); /* no back-off is waited for */
    world_run(&p.w, 5 * RMR_SEC);
    world_dial(p.a, p.b);
    assert_true(arrives(&p, 100000, 20 * RMR_SEC));
    world_free(&p.w);
}

/* The cable is there and nothing comes through: no word of LINKS. */
static void a_start_on_a_dead_line_is_tried_on(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    pair_init(&p, 5, g);
    assert_int_equal(rmr_sim_host_set_up(p.w.sim, p.a->host, false), RMR_OK);
    world_run(&p.w, 600 * RMR_SEC);
    assert_false(p.a->is_running || p.a->had_failed);
    assert_int_equal(rmr_sim_host_set_up(p.w.sim, p.a->host, true), RMR_OK);
    assert_true(world_all_run(&p.w, 60 * RMR_SEC));
    world_free(&p.w);
}

/* Both sleep, one of them all night, in the middle of a connection. */
static void a_night_asleep_costs_nothing_but_time(void **state)
{
    pair p = {.has_ipv6 = false};
    (void)state;
    pair_begin(&p, 6, 4000000);
    world_run(&p.w, 30 * RMR_SEC);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            rmr_sim_host_sleep(p.w.sim, p.a->host, 8 * 3600 * RMR_SEC), RMR_OK);
        assert_int_equal(rmr_sim_host_sleep(p.w.sim, p.b->host, 600 * RMR_SEC),
                         RMR_OK);
        world_run(&p.w, (8 * 3600 + 30) * RMR_SEC);
        assert_true(arrives(&p, 50000, 30 * RMR_SEC));
        assert_true(world_is_direct(p.a, p.b));
    }
    pair_end(&p);
}

static void set_shields(world_node *n, bool up)
{
    rmr_node_prefs prefs;
    rmr_node_prefs_init(&prefs, sizeof prefs);
    prefs.given = RMR_NODE_PREF_SHIELDS_UP;
    prefs.shields_up = up;
    assert_int_equal(
        rmr_node_set_prefs(n->node, rmr_sim_now(n->w->sim), &prefs), RMR_OK);
    assert_int_equal(rmr_sim_poke(n->w->sim, n->program), RMR_OK);
}

static bool dials(pair *p, world_node *from, const char *ip, uint16_t port)
{
    rmr_time now = rmr_sim_now(p->w.sim);
    from->is_connected = false;
    assert_int_equal(
        rmr_node_dial(from->node, now, ip, port, NULL, &from->conn), RMR_OK);
    assert_int_equal(rmr_sim_poke(p->w.sim, from->program), RMR_OK);
    world_run(&p->w, 20 * RMR_SEC);
    return from->is_connected;
}

static void shields_up_lets_nothing_new_in_at_once(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_node_conn listener;
    (void)state;
    pair_begin(&p, 7, 4000000);
    world_run(&p.w, 30 * RMR_SEC);
    set_shields(p.b, true);
    assert_true(arrives(&p, 50000, 30 * RMR_SEC)); /* what is open goes on */
    assert_false(dials(&p, p.a, "100.64.0.2", 80));
    /* Its own go out, and their answers come in. */
    assert_int_equal(
        rmr_node_listen(p.a->node, rmr_sim_now(p.w.sim), 81, NULL, &listener),
        RMR_OK);
    assert_true(dials(&p, p.b, "100.64.0.1", 81));
    set_shields(p.b, false);
    assert_true(dials(&p, p.a, "100.64.0.2", 80));
    world_free(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_without_control_runs_from_the_cached_netmap),
        cmocka_unit_test(a_start_without_a_network_waits_for_one),
        cmocka_unit_test(a_start_on_a_dead_line_is_tried_on),
        cmocka_unit_test(a_night_asleep_costs_nothing_but_time),
        cmocka_unit_test(shields_up_lets_nothing_new_in_at_once),
    };
    return cmocka_run_group_tests_name("cold", tests, NULL, NULL);
}
