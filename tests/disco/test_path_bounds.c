/* Time, memory and randomness: deadlines are exact, failing memory loses no
 * packet, a failing source ends the object, bytes are as the README says. */
#include "path_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static w_world *world(uint64_t seed)
{
    w_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w_init(w, seed);
    for (int i = 0; i < 3; i++)
        w_add(w, i);
    return w;
}

static void done(w_world *w)
{
    w_end(w);
    free(w);
}

/* ---- time ------------------------------------------------------------- */

/* Some minutes with everything in them. */
static uint64_t story(uint32_t switches, bool every_ms, bool nats)
{
    w_world *w = world(5);
    w->every_ms = every_ms;
    w->switches = switches;
    w->node[1].in_map[3] = w->node[1].in_map[2] = true;
    if (nats) {
        w->node[0].nat = W_HARD;
        w->node[1].nat = W_EASY;
        w->node[1].in_map[3] = w->node[1].in_map[2] = false;
        for (int i = 0; i < 2; i++) {
            w->node[i].outer.port = 45000;
            w->node[i].addr[0] = w->node[i].outer;
        }
    }
    w_start(w);
    if (nats)
        for (int i = 0; i < 2; i++)
            rmr_paths_set_nat(w->node[i].p, w->now,
                              i ? RMR_PATH_VARIES_NO : RMR_PATH_VARIES_YES,
                              &w->node[i].outer);
    w_talk(w, 0, 1, 250 * RMR_MS, 20 * RMR_SEC);
    w->blocked[0] = true;
    w_talk(w, 0, 1, 250 * RMR_MS, 15 * RMR_SEC);
    w->blocked[0] = false;
    (void)w_send(w, 0, 2);
    (void)rmr_paths_ping(w->node[2].p, w->now, w->node[2].peer[0], 1);
    w_drain(w, 2);
    w_run(w, 60 * RMR_SEC);
    rmr_paths_rebind(w->node[1].p, w->now);
    w_drain(w, 1);
    w_talk(w, 1, 0, 250 * RMR_MS, 10 * RMR_SEC);
    w_run(w, 140 * RMR_SEC);
    uint64_t trace = w->trace;
    done(w);
    return trace;
}

static void driving_at_deadlines_is_driving_each_ms(void **state)
{
    (void)state;
    static const uint32_t switches[] = {
        RMR_PATHS_BIRTHDAY, RMR_PATHS_SILENT_DISCO, RMR_PATHS_PROBE_LIFETIME,
        RMR_PATHS_PEER_MTU};
    for (size_t i = 0; i < 4; i++)
        assert_true(story(switches[i], false, i == 0) ==
                    story(switches[i], true, i == 0));
}

static void the_same_calls_give_the_same_bytes(void **state)
{
    (void)state;
    assert_true(story(RMR_PATHS_BIRTHDAY, false, true) ==
                story(RMR_PATHS_BIRTHDAY, false, true));
}

static void idle_objects_have_no_deadline(void **state)
{
    (void)state;
    w_world *w = world(5);
    w_start(w);
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_run(w, 400 * RMR_SEC);
    for (int i = 0; i < 3; i++) {
        assert_true(rmr_paths_next_deadline(w->node[i].p) == RMR_TIME_NEVER);
        assert_int_equal(rmr_paths_get_stats(w->node[i].p).active_peers, 0);
    }
    done(w);
}

static void a_long_sleep_is_caught_up_in_one_call(void **state)
{
    (void)state;
    w_world *w = world(5);
    w_start(w);
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_node *a = &w->node[0];
    uint64_t pings = a->pings_out;
    w->now += 40 * RMR_SEC; /* less than 45 s: one beat, not 13 */
    assert_int_equal(rmr_paths_handle_deadline(a->p, w->now), RMR_OK);
    assert_true(rmr_paths_next_deadline(a->p) > w->now);
    w_drain(w, 0);
    assert_true(a->pings_out <= pings + 2);
    done(w);
}

static void an_earlier_now_is_the_latest_seen(void **state)
{
    (void)state;
    w_world *w = world(5);
    w_start(w);
    w_node *a = &w->node[0];
    rmr_path_route r;
    assert_int_equal(rmr_paths_route(a->p, w->now, a->peer[1], &r), RMR_OK);
    rmr_time at = rmr_paths_next_deadline(a->p);
    assert_int_equal(rmr_paths_handle_deadline(a->p, 0), RMR_OK);
    assert_int_equal(rmr_paths_route(a->p, 5, a->peer[1], &r), RMR_OK);
    assert_true(rmr_paths_next_deadline(a->p) == at);
    done(w);
}

/* ---- failing memory --------------------------------------------------- */

/* From the n-th allocation on, once or for good: packets still go, by the relay
 * at least, and when memory is back the path is direct. */
static void packets_go_without_memory(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        for (size_t n = 1; n < 40; n++) {
            w_world *w = world(5);
            w_start(w);
            test_alloc *m = &w->node[0].mem;
            m->calls = 0;
            m->fail_at = n;
            m->fail_after = for_good;
            for (int i = 0; i < 30; i++) {
                assert_true(w_send(w, 0, 1));
                (void)w_send(w, 1, 0);
                w_run(w, 100 * RMR_MS);
            }
            m->fail_at = 0;
            w_talk(w, 0, 1, 100 * RMR_MS, 6 * RMR_SEC);
            assert_true(w_direct(w, 0, 1));
            w_run(w, RMR_SEC);
            for (uint32_t s = 0; s < w->node[0].next_seq[1]; s++)
                assert_true(w->node[1].got[0][s] >= 1);
            done(w);
        }
    }
}

static void adding_and_changing_peers_without_memory_changes_nothing(void **st)
{
    (void)st;
    for (size_t n = 1;; n++) {
        test_alloc m = {.fail_at = 0};
        test_rng rng;
        test_rng_seed(&rng, 1);
        rmr_env env = test_env(&m, &rng, NULL);
        rmr_paths_config c;
        rmr_paths *p;
        rmr_paths_config_init(&c, sizeof c);
        c.node_key[0] = c.disco_private[0] = 1;
        m.fail_at = n;
        rmr_err e = rmr_paths_new(&p, &env, &c, 0);
        if (e != RMR_OK) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_null(p);
            assert_int_equal(m.live_bytes, 0);
            continue;
        }
        rmr_addr eps[3] = {rmr_addr_v4(1, 2, 3, 4, 5),
                           rmr_addr_v4(1, 2, 3, 4, 6),
                           rmr_addr_v4(1, 2, 3, 4, 7)};
        rmr_path_peer_config pc = {.struct_size = sizeof pc,
                                   .node_key = {2},
                                   .disco_key = {3},
                                   .endpoints = eps,
                                   .n_endpoints = 1,
                                   .home = 4};
        rmr_path_peer peer, wg;
        bool failed = m.failed > 0;
        e = rmr_paths_peer_add(p, 0, &pc, &peer);
        if (e == RMR_OK) {
            rmr_path_route r;
            assert_int_equal(rmr_paths_route(p, 0, peer, &r), RMR_OK);
            size_t before = m.failed;
            pc.n_endpoints = 3;
            pc.disco_key[0] = 9;
            e = rmr_paths_peer_set(p, 0, peer, RMR_PATH_SET_ALL, &pc);
            assert_true(e == RMR_OK || m.failed > before);
        }
        assert_true(e == RMR_OK || e == RMR_E_NOMEM);
        pc.node_key[0] = 77;
        pc.wireguard_only = true;
        e = rmr_paths_peer_add(p, 0, &pc, &wg);
        assert_true(e == RMR_OK || e == RMR_E_NOMEM);
        assert_int_equal(rmr_paths_find(p, pc.node_key, &wg), e == RMR_OK);
        failed |= m.failed > 0;
        rmr_paths_free(p);
        assert_int_equal(m.live_bytes, 0);
        if (!failed)
            break;
    }
}

static void a_failing_source_ends_the_object(void **state)
{
    (void)state;
    size_t ended = 0;
    for (size_t n = 1; n < 30; n++) {
        w_world *w = world(5);
        w_start(w);
        w_node *a = &w->node[0];
        a->rng.calls = 0;
        a->rng.fail_at = n;
        rmr_path_route r;
        uint8_t b[RMR_PATHS_MAX_DATAGRAM];
        rmr_path_to to;
        size_t len = 1;
        rmr_err e = RMR_OK;
        for (int i = 0; i < 20 && e == RMR_OK; i++) {
            e = rmr_paths_route(a->p, w->now, a->peer[1], &r);
            for (len = 1; e == RMR_OK && len;)
                e = rmr_paths_write_pkt(a->p, w->now, rmr_buf_of(b, sizeof b),
                                        &len, &to);
            w->now += RMR_SEC;
            if (e == RMR_OK)
                e = rmr_paths_handle_deadline(a->p, w->now);
        }
        assert_int_equal(e, n < 12 ? RMR_E_RNG : e);
        if (e == RMR_E_RNG) {
            ended++;
            assert_int_equal(rmr_paths_handle_deadline(a->p, w->now),
                             RMR_E_RNG);
            assert_int_equal(rmr_paths_write_pkt(a->p, w->now,
                                                 rmr_buf_of(b, sizeof b), &len,
                                                 &to),
                             RMR_E_RNG);
        }
        done(w);
    }
    assert_true(ended >= 12);
}

/* ---- bytes ------------------------------------------------------------ */

#define MANY 10000

static void set_number(uint8_t key[RMR_KEY_LEN], uint8_t kind, unsigned i)
{
    memset(key, 0, RMR_KEY_LEN);
    key[0] = kind;
    key[1] = (uint8_t)i;
    key[2] = (uint8_t)(i >> 8);
    key[31] = 0x40;
}

static rmr_paths *many(test_alloc *m, test_rng *rng, rmr_path_peer *peers)
{
    rmr_paths_config c;
    rmr_paths *p;
    rmr_env env;
    test_rng_seed(rng, 1);
    env = test_env(m, rng, NULL);
    rmr_paths_config_init(&c, sizeof c);
    c.node_key[0] = 1;
    set_number(c.disco_private, 3, 1);
    assert_int_equal(rmr_paths_new(&p, &env, &c, 0), RMR_OK);
    for (unsigned i = 0; i < MANY; i++) {
        rmr_addr eps[4] = {rmr_addr_v4(1, 2, (uint8_t)(i >> 8), (uint8_t)i, 5),
                           rmr_addr_v4(10, 0, 0, 4, 6),
                           rmr_addr_v4(10, 1, 0, 4, 7),
                           {.family = 6}};
        eps[3].ip[0] = 0x20;
        eps[3].port = 9;
        rmr_path_peer_config pc = {.struct_size = sizeof pc,
                                   .endpoints = eps,
                                   .n_endpoints = 4,
                                   .home = 4};
        set_number(pc.node_key, 1, i);
        set_number(pc.disco_key, 2, i);
        assert_int_equal(rmr_paths_peer_add(p, 0, &pc, &peers[i]), RMR_OK);
    }
    return p;
}

/* disco/README.md quotes these. */
static void bytes_are_bounded(void **state)
{
    (void)state;
    static rmr_path_peer peers[MANY];
    test_alloc m = {.fail_at = 0};
    test_rng rng;
    rmr_paths *p = many(&m, &rng, peers);
    rmr_path_peer extra;
    rmr_path_peer_config pc = {.struct_size = sizeof pc, .node_key = {9}};
    assert_int_equal(rmr_paths_peer_add(p, 0, &pc, &extra), RMR_E_FULL);
    size_t cold = m.live_bytes / MANY;
    rmr_path_route r;
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(rmr_paths_route(p, 0, peers[i], &r), RMR_OK);
    size_t active = (m.live_bytes - cold * MANY) / MANY;
    print_message("cold %zu, active %zu more\n", cold, active);
    assert_in_range(cold, 100, 400);
    assert_in_range(active, 500, 2048);
    rmr_paths_stats s = rmr_paths_get_stats(p);
    assert_int_equal(s.active_peers, MANY);
    assert_true(s.dropped_queue_pkts > 0); /* the queue is bounded */
    /* Idle: all of it comes back but the heap of timers and the queue. */
    for (rmr_time t; (t = rmr_paths_next_deadline(p)) != RMR_TIME_NEVER;)
        assert_int_equal(rmr_paths_handle_deadline(p, t), RMR_OK);
    assert_int_equal(rmr_paths_get_stats(p).active_peers, 0);
    assert_true(m.live_bytes <= cold * MANY + MANY * 24 + 4096 * 112);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(rmr_paths_peer_remove(p, 0, peers[i]), RMR_OK);
    rmr_paths_free(p);
    assert_int_equal(m.live_bytes, 0);
}

/* The cache of box keys holds max_shared, and wipes what it drops. */
static void shared_keys_are_bounded_and_wiped(void **state)
{
    (void)state;
    w_world *w = world(5);
    w_start(w);
    uint8_t shared[32];
    assert_int_equal(
        rmr_box_shared(shared, w->node[0].disco_private, w->node[1].disco_key),
        RMR_OK);
    test_alloc *m = &w->node[0].mem;
    m->secret = shared;
    m->secret_len = sizeof shared;
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    assert_int_equal(rmr_paths_get_stats(w->node[0].p).shared_computed, 1);
    w_end(w); /* asserts that no freed memory had it */
    assert_int_equal(m->leaks, 0);
    free(w);
}

static void the_cache_of_shared_keys_is_an_lru(void **state)
{
    (void)state;
    test_alloc m = {.fail_at = 0};
    test_rng rng;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&m, &rng, NULL);
    rmr_paths_config c;
    rmr_paths *p;
    rmr_path_peer peer[3];
    rmr_paths_config_init(&c, sizeof c);
    c.node_key[0] = 1;
    set_number(c.disco_private, 3, 1);
    c.max_shared = 2;
    assert_int_equal(rmr_paths_new(&p, &env, &c, 0), RMR_OK);
    for (unsigned i = 0; i < 3; i++) {
        rmr_path_peer_config pc = {.struct_size = sizeof pc, .home = 1};
        uint8_t priv[32];
        set_number(pc.node_key, 1, i);
        set_number(priv, 4, i);
        rmr_x25519_public(pc.disco_key, priv);
        assert_int_equal(rmr_paths_peer_add(p, 0, &pc, &peer[i]), RMR_OK);
    }
    /* user pings by the relay: one seal each */
    static const struct {
        int peer;
        uint64_t computed;
    } t[] = {{0, 1}, {1, 2}, {0, 2}, {2, 3}, {0, 3}, {1, 4}, {0, 4}, {2, 5}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        uint8_t b[RMR_PATHS_MAX_DATAGRAM];
        rmr_path_to to;
        size_t len = 1;
        assert_int_equal(rmr_paths_ping(p, 0, peer[t[i].peer], 0), RMR_OK);
        while (len)
            assert_int_equal(
                rmr_paths_write_pkt(p, 0, rmr_buf_of(b, sizeof b), &len, &to),
                RMR_OK);
        assert_int_equal(rmr_paths_get_stats(p).shared_computed, t[i].computed);
    }
    rmr_paths_free(p);
    assert_int_equal(m.live_bytes, 0);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
    test_alloc m = {.fail_at = 0};
    rmr_env env = test_env(&m, NULL, NULL);
    for (int i = 0; i < 6; i++) {
        rmr_paths_config c;
        rmr_paths *p;
        rmr_paths_config_init(&c, sizeof c);
        c.node_key[0] = c.disco_private[0] = 1;
        if (i == 0)
            c.max_peers = 0;
        if (i == 1)
            c.max_queue_pkts = 0;
        if (i == 2)
            c.max_shared = 0;
        if (i == 3)
            c.node_key[0] = 0;
        if (i == 4)
            c.disco_private[0] = 0;
        if (i == 5)
            c.max_peers = (1u << 20) + 1;
        assert_int_equal(rmr_paths_new(&p, &env, &c, 0), RMR_E_INVAL);
        assert_null(p);
    }
    rmr_paths_free(NULL);
    assert_int_equal(m.live_bytes, 0);
}

/* Sized pings that wait while the switch goes off need more room than the host
 * has to give then; they must not stand in the way of all that follow. */
static void sized_pings_do_not_outlive_their_switch(void **state)
{
    (void)state;
    w_world *w = malloc(sizeof *w);
    uint8_t b[RMR_PATHS_MAX_DATAGRAM];
    rmr_path_route r;
    rmr_path_to to;
    size_t len;
    assert_non_null(w);
    w_init(w, 5);
    w->switches = RMR_PATHS_PEER_MTU;
    w_add(w, 0);
    w_add(w, 1);
    w_start(w);
    rmr_paths *p = w->node[0].p;
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_OK);
    rmr_paths_set_switches(p, w->now, 0);
    for (int calls = 0; calls < 1;) { /* the call is queued behind them */
        assert_int_equal(
            rmr_paths_write_pkt(p, w->now, rmr_buf_of(b, sizeof b), &len, &to),
            RMR_OK);
        assert_int_not_equal(len, 0);
        calls += to.udp.family == RMR_AF_NONE;
    }
    w_end(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driving_at_deadlines_is_driving_each_ms),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
        cmocka_unit_test(idle_objects_have_no_deadline),
        cmocka_unit_test(a_long_sleep_is_caught_up_in_one_call),
        cmocka_unit_test(an_earlier_now_is_the_latest_seen),
        cmocka_unit_test(packets_go_without_memory),
        cmocka_unit_test(
            adding_and_changing_peers_without_memory_changes_nothing),
        cmocka_unit_test(a_failing_source_ends_the_object),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(shared_keys_are_bounded_and_wiped),
        cmocka_unit_test(the_cache_of_shared_keys_is_an_lru),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(sized_pings_do_not_outlive_their_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
