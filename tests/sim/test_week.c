/* A week of a tailnet: everything is restarted, routers forget, hosts sleep, a
 * thousand peers come and go.  Each hour two nodes must reach each other, and
 * each midnight no more memory may be in use than after the first. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define HOUR (3600 * RMR_SEC)
#define BYTES 10000
#define CROWD 1000

static bool listens; /* b, since it was started */

static void restart(world_node *n, pair *p, rmr_dur off)
{
    world_node_stop(n);
    world_run(&p->w, off);
    world_node_start(n);
    listens = listens && n != p->b;
}

static void mishap(pair *p, int hour)
{
    rmr_sim *s = p->w.sim;
    switch (hour % 12) {
    case 0:
        restart(p->a, p, RMR_SEC);
        break;
    case 1:
        world_churn(&p->w, 0, CROWD, true);
        break;
    case 2:
        world_control_stop(&p->w);
        world_run(&p->w, 300 * RMR_SEC);
        world_control_start(&p->w);
        break;
    case 3:
        world_relay_stop(&p->w, 1);
        world_run(&p->w, 120 * RMR_SEC);
        world_relay_start(&p->w, 1);
        break;
    case 4:
        assert_int_equal(rmr_sim_gate_reboot(s, p->home[0]), RMR_OK);
        break;
    case 5:
        assert_int_equal(rmr_sim_host_sleep(s, p->a->host, HOUR / 2), RMR_OK);
        world_run(&p->w, HOUR / 2);
        break;
    case 6:
        restart(p->b, p, 120 * RMR_SEC);
        break;
    case 7: /* a third changes, a third goes and comes */
        world_churn(&p->w, 0, CROWD, true);
        world_churn(&p->w, CROWD / 3, CROWD / 3, false);
        world_run(&p->w, 60 * RMR_SEC);
        world_churn(&p->w, CROWD / 3, CROWD / 3, true);
        break;
    case 8:
        assert_int_equal(rmr_sim_host_sleep(s, p->b->host, HOUR / 2), RMR_OK);
        assert_int_equal(rmr_sim_host_sleep(s, p->a->host, HOUR / 3), RMR_OK);
        world_run(&p->w, HOUR / 2);
        break;
    case 9:
        assert_int_equal(rmr_sim_gate_set_up(s, p->home[1], false), RMR_OK);
        world_run(&p->w, 600 * RMR_SEC);
        assert_int_equal(rmr_sim_gate_set_up(s, p->home[1], true), RMR_OK);
        break;
    case 10:
        world_relay_stop(&p->w, 2);
        world_relay_start(&p->w, 2);
        world_control_stop(&p->w);
        world_control_start(&p->w);
        break;
    default:
        world_churn(&p->w, 0, CROWD, false);
        break;
    }
}

/* A new connection, and so many bytes by it. */
static void assert_reached(pair *p)
{
    rmr_node_conn listener;
    rmr_time now = rmr_sim_now(p->w.sim);
    world_node *const both[2] = {p->a, p->b};
    for (int i = 0; i < 2; i++) {
        both[i]->sent = both[i]->got = both[i]->sends_left = 0;
        both[i]->is_connected = false;
        (void)crypto_hash_sha256_init(&both[i]->sha_sent);
        (void)crypto_hash_sha256_init(&both[i]->sha_got);
    }
    if (!listens)
        assert_int_equal(rmr_node_listen(p->b->node, now, 80, NULL, &listener),
                         RMR_OK);
    listens = true;
    assert_int_equal(
        rmr_node_dial(p->a->node, now, "100.64.0.2", 80, NULL, &p->a->conn),
        RMR_OK);
    assert_int_equal(rmr_sim_poke(p->w.sim, p->b->program), RMR_OK);
    world_send(p->a, BYTES);
    world_run(&p->w, 30 * RMR_SEC);
    assert_int_equal(p->b->got, BYTES);
    assert_true(world_arrived(p->a, p->b));
    assert_int_equal(
        rmr_node_abort(p->a->node, rmr_sim_now(p->w.sim), p->a->conn), RMR_OK);
    assert_int_equal(rmr_sim_poke(p->w.sim, p->a->program), RMR_OK);
}

static void a_week_leaves_nothing_behind(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    size_t bytes = 0, blocks = 0;
    (void)state;
    listens = false;
    pair_easy(g);
    pair_init(&p, 11, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    for (int hour = 0; hour < 7 * 24; hour++) {
        rmr_time end = rmr_time_add(rmr_sim_now(p.w.sim), HOUR);
        mishap(&p, hour);
        world_run(&p.w, 120 * RMR_SEC);
        assert_true(p.a->is_running && p.b->is_running);
        assert_false(p.a->had_failed || p.b->had_failed);
        assert_reached(&p);
        assert_int_equal(rmr_sim_run_until(p.w.sim, end, NULL, NULL), RMR_OK);
        if (hour % 24 != 23)
            continue;
        if (hour == 23) {
            bytes = p.w.heap.live_bytes;
            blocks = p.w.heap.live_blocks;
        }
        assert_true(p.w.heap.live_bytes <= bytes + bytes / 50);
        assert_true(p.w.heap.live_blocks <= blocks + 16);
    }
    world_free(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_week_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("week", tests, NULL, NULL);
}
