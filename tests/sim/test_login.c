/* Node keys that end, while connections are open. */
#include "control_machine.h"
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

typedef struct keys {
    char a[65], b[65];
} keys;

static void get_keys(const pair *p, keys *k)
{
    (void)snprintf(k->a, sizeof k->a, "%s",
                   control_machine_key(p->w.control, 0));
    (void)snprintf(k->b, sizeof k->b, "%s",
                   control_machine_key(p->w.control, 1));
}

/* a's key ends in so many ns, or did. */
static void ends(pair *p, int64_t in)
{
    uint64_t wall = rmr_sim_host_wall(p->w.sim, p->a->host);
    control_machine_key_end(p->w.control, 0, wall + (uint64_t)in);
    assert_int_equal(rmr_sim_poke(p->w.sim, p->w.control_program), RMR_OK);
}

static void check_other_key(const pair *p, const keys *before)
{
    keys after;
    get_keys(p, &after);
    assert_string_not_equal(before->a, after.a);
    assert_string_equal(before->b, after.b);
    assert_int_equal(rmr_node_get_state(p->a->node), RMR_NODE_RUNNING);
    assert_false(p->a->had_failed);
}

static void a_key_is_replaced_before_its_end(void **state)
{
    pair p = {.has_ipv6 = false};
    keys k, still;
    (void)state;
    pair_begin(&p, 1, 4000000);
    get_keys(&p, &k);
    ends(&p, (int64_t)(400 * RMR_SEC));
    world_run(&p.w, 290 * RMR_SEC);
    get_keys(&p, &still);
    assert_string_equal(still.a, k.a);
    world_run(&p.w, 20 * RMR_SEC); /* the last quarter has begun */
    check_other_key(&p, &k);
    world_send(p.a, 400000);
    pair_end(&p); /* over the connection of before */
}

static void a_key_that_has_ended_is_replaced_at_once(void **state)
{
    pair p = {.has_ipv6 = false};
    keys k;
    (void)state;
    pair_begin(&p, 2, 4000000);
    get_keys(&p, &k);
    ends(&p, -(int64_t)RMR_SEC);
    world_run(&p.w, 5 * RMR_SEC);
    check_other_key(&p, &k);
    world_send(p.a, 400000);
    pair_end(&p);
}

static void a_relayed_connection_lives_on_too(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    keys k;
    (void)state;
    pair_easy(g);
    g[0].udp_blocked = true;
    pair_init(&p, 3, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    world_run(&p.w, 5 * RMR_SEC);
    world_dial(p.a, p.b);
    world_send(p.a, 100000);
    world_run(&p.w, 10 * RMR_SEC);
    get_keys(&p, &k);
    ends(&p, -(int64_t)RMR_SEC);
    world_run(&p.w, 10 * RMR_SEC);
    check_other_key(&p, &k);
    world_send(p.a, 100000);
    world_run(&p.w, 20 * RMR_SEC);
    assert_int_equal(p.b->got, 200000);
    assert_true(world_arrived(p.a, p.b));
    world_free(&p.w);
}

/* A server whose clock, or mind, is wrong must not be asked without rest. */
static void keys_that_are_born_dead_are_made_at_leisure(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    pair_init(&p, 5, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    int first = control_machine_keys(p.w.control, 0);
    uint64_t wall = rmr_sim_host_wall(p.w.sim, p.a->host);
    control_machine_keys_end(p.w.control, 0, wall - RMR_SEC);
    assert_int_equal(rmr_sim_poke(p.w.sim, p.w.control_program), RMR_OK);
    world_run(&p.w, 60 * RMR_SEC);
    int made = control_machine_keys(p.w.control, 0) - first;
    assert_in_range(made, 1, 2);
    world_run(&p.w, 600 * RMR_SEC);
    made = control_machine_keys(p.w.control, 0) - first;
    assert_in_range(made, 3, 12);
    control_machine_keys_end(p.w.control, 0, 0);
    assert_int_equal(rmr_sim_poke(p.w.sim, p.w.control_program), RMR_OK);
    world_run(&p.w, 5 * RMR_SEC);
    assert_int_equal(rmr_node_get_state(p.a->node), RMR_NODE_RUNNING);
    assert_false(p.a->had_failed);
    world_free(&p.w);
}

static void a_node_logs_out_and_ends(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    (void)state;
    pair_easy(g);
    pair_init(&p, 4, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    assert_int_equal(rmr_node_logout(p.a->node, rmr_sim_now(p.w.sim)), RMR_OK);
    assert_int_equal(rmr_sim_poke(p.w.sim, p.a->program), RMR_OK);
    world_run(&p.w, 5 * RMR_SEC);
    assert_int_equal(rmr_node_get_state(p.a->node), RMR_NODE_STOPPED);
    assert_false(p.a->had_failed);
    assert_int_equal(rmr_node_logout(p.a->node, rmr_sim_now(p.w.sim)),
                     RMR_E_STATE);
    world_free(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_replaced_before_its_end),
        cmocka_unit_test(a_key_that_has_ended_is_replaced_at_once),
        cmocka_unit_test(a_relayed_connection_lives_on_too),
        cmocka_unit_test(keys_that_are_born_dead_are_made_at_leisure),
        cmocka_unit_test(a_node_logs_out_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
