/* A week of a tailnet: everything is restarted, with its state and without,
 * routers forget, hosts sleep and move, clocks jump, keys end, relays come and go,
 * and a thousand peers.  Each hour has its own mishap, the same each day, and
 * behind it two nodes must reach each other; at midnight no more memory may be in
 * use than at the first. */
#include "control_machine.h"
#include "dsw_internal.h"
#include "relay_internal.h"
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

/* ---- of programs, networks and peers --------------------------------------- */

static void mishap(pair *p, int hour)
{
    rmr_sim *s = p->w.sim;
    switch (hour) {
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

/* ---- of keys, states, clocks and maps -------------------------------------- */

static void poke_control(pair *p)
{
    assert_int_equal(rmr_sim_poke(p->w.sim, p->w.control_program), RMR_OK);
}

/* a's key ends in so many ns, or has; there is another one a while later. */
static void replace_key(pair *p, int64_t in, rmr_dur later)
{
    int keys = control_machine_keys(p->w.control, 0);
    uint64_t wall = rmr_sim_host_wall(p->w.sim, p->a->host);
    control_machine_key_end(p->w.control, 0, wall + (uint64_t)in);
    poke_control(p);
    world_run(&p->w, later);
    assert_true(control_machine_keys(p->w.control, 0) > keys);
}

/* b's key has ended, and the server wants its user. */
static void log_in_again(pair *p)
{
    control_machine_login(p->w.control, true);
    control_machine_key_end(p->w.control, 1,
                            rmr_sim_host_wall(p->w.sim, p->b->host) - RMR_SEC);
    poke_control(p);
    world_run(&p->w, 900 * RMR_SEC);
    assert_int_equal(rmr_node_get_state(p->b->node), RMR_NODE_NEEDS_LOGIN);
    control_machine_login(p->w.control, false);
    world_run(&p->w, 120 * RMR_SEC);
}

static void begin_anew(pair *p, world_node *n)
{
    world_node_stop(n);
    assert_int_equal(
        rmr_sim_blob_set(p->w.sim, n->host, NULL, rmr_bytes_of(NULL, 0)),
        RMR_OK);
    world_node_start(n);
    listens = listens && n != p->b;
}

/* Both start from what they have stored, before the server is there. */
static void start_without_control(pair *p)
{
    world_control_stop(&p->w);
    restart(p->a, p, RMR_SEC);
    restart(p->b, p, RMR_SEC);
    world_run(&p->w, 120 * RMR_SEC);
    assert_true(p->a->from_cache && p->b->from_cache);
    world_control_start(&p->w);
}

static void move_and_return(pair *p)
{
    rmr_addr home = rmr_addr_v4(192, 168, 1, 2, 0);
    rmr_addr away = rmr_addr_v4(198, 51, 100, 200, 0);
    rmr_sim *s = p->w.sim;
    assert_int_equal(
        rmr_sim_host_move(s, p->a->host, RMR_SIM_INTERNET, &away, 1), RMR_OK);
    world_run(&p->w, 600 * RMR_SEC);
    assert_int_equal(rmr_sim_host_move(s, p->a->host, p->home[0], &home, 1),
                     RMR_OK);
}

static void step_clock(pair *p, int64_t by)
{
    assert_int_equal(rmr_sim_host_step_clock(p->w.sim, p->a->host, by), RMR_OK);
    world_run(&p->w, 300 * RMR_SEC);
    assert_int_equal(rmr_sim_host_step_clock(p->w.sim, p->a->host, -by),
                     RMR_OK);
}

static void other_mishap(pair *p, int hour)
{
    switch (hour) {
    case 12:
        replace_key(p, (int64_t)(1000 * RMR_SEC), 800 * RMR_SEC);
        break;
    case 13:
        replace_key(p, -(int64_t)RMR_SEC, 10 * RMR_SEC);
        break;
    case 14:
        log_in_again(p);
        break;
    case 15:
    case 16:
        world_region_set(&p->w, (uint16_t)(hour - 14), false);
        world_run(&p->w, 600 * RMR_SEC);
        world_region_set(&p->w, (uint16_t)(hour - 14), true);
        break;
    case 17:
        begin_anew(p, p->a);
        break;
    case 18:
        begin_anew(p, p->b);
        break;
    case 19:
        start_without_control(p);
        break;
    case 20:
        move_and_return(p);
        break;
    case 21:
        step_clock(p, (int64_t)(7200 * RMR_SEC));
        break;
    case 22:
        step_clock(p, -(int64_t)(7200 * RMR_SEC));
        break;
    default: /* nothing: it is midnight soon */
        break;
    }
}

/* ---- a week ----------------------------------------------------------------- */

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

typedef struct use {
    size_t bytes, blocks;
} use;

/* Without what relays keep for the next packets: as many blocks as the most that
 * lay there at once. */
static use in_use(const world *w)
{
    use u = {w->heap.live_bytes, w->heap.live_blocks};
    for (int i = 0; i < w->n_relays; i++) {
        const rmr_relay *r = w->relays[i].relay;
        for (int k = 0; r && k < RMRI_DSW_CLASSES; k++) {
            for (rmri_dsw_pkt *p = r->sw->pool.free[k]; p; p = p->next) {
                u.bytes -= rmri_dsw_pkt_size(p);
                u.blocks--;
            }
        }
    }
    return u;
}

static void a_week_leaves_nothing_behind(void **state)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    use first = {0};
    (void)state;
    listens = false;
    pair_easy(g);
    pair_init(&p, 11, g);
    assert_true(world_all_run(&p.w, 30 * RMR_SEC));
    for (int hour = 0; hour < 7 * 24; hour++) {
        rmr_time end = rmr_time_add(rmr_sim_now(p.w.sim), HOUR);
        if (hour % 24 < 12)
            mishap(&p, hour % 24);
        else
            other_mishap(&p, hour % 24);
        world_run(&p.w, 120 * RMR_SEC);
        assert_true(p.a->is_running && p.b->is_running);
        assert_int_equal(rmr_node_get_state(p.a->node), RMR_NODE_RUNNING);
        assert_int_equal(rmr_node_get_state(p.b->node), RMR_NODE_RUNNING);
        assert_false(p.a->had_failed || p.b->had_failed);
        assert_reached(&p);
        assert_int_equal(rmr_sim_run_until(p.w.sim, end, NULL, NULL), RMR_OK);
        if (hour % 24 != 23)
            continue;
        use now = in_use(&p.w);
        if (hour == 23)
            first = now;
        assert_true(now.bytes <= first.bytes + first.bytes / 50);
        assert_true(now.blocks <= first.blocks + 16);
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
