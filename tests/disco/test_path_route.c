/* Sending: both copies until a pong, trust, heartbeat, fail-over and the way
 * back.  Two nodes over a wire and a virtual clock. */
#include "path_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static w_world *world(void)
{
    w_world *w = malloc(sizeof *w);
    assert_non_null(w);
    w_init(w, 7);
    w_add(w, 0);
    w_add(w, 1);
    return w;
}

static w_world *pair(void)
{
    w_world *w = world();
    w_start(w);
    return w;
}

static void done(w_world *w)
{
    w_end(w);
    free(w);
}

/* How a packet of i to j goes now: 'u', 'd', 'b' (both) or '-'. */
static char way(w_world *w, int i, int j)
{
    w_node *n = &w->node[i];
    uint64_t u = n->sent_udp, d = n->sent_derp, b = n->sent_both;
    (void)w_send(w, i, j);
    return n->sent_udp > u    ? 'u'
           : n->sent_derp > d ? 'd'
           : n->sent_both > b ? 'b'
                              : '-';
}

static void the_first_packet_goes_by_derp_and_pings_and_calls(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    assert_int_equal(way(w, 0, 1), 'd');
    assert_int_equal(a->pings_out, 1);
    assert_int_equal(a->calls_out, 1);
    /* One round trip later it is direct, this way and back. */
    w_run(w, 19 * RMR_MS);
    assert_int_equal(way(w, 0, 1), 'd');
    w_run(w, RMR_MS);
    assert_int_equal(way(w, 0, 1), 'u');
    assert_int_equal(a->pings_out, 1);
    assert_int_equal(a->n_path, 1);
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    assert_true(info.has_best && info.trusted && info.heartbeat);
    assert_int_equal(info.latency, 20 * RMR_MS);
    assert_int_equal(info.wire_mtu, RMR_PATH_WIRE_MTU);
    assert_true(rmr_addr_eq(&info.udp, &w->node[1].addr[0]));
    /* The other side pings when the call came, and is direct too. */
    w_run(w, 60 * RMR_MS);
    assert_true(w_direct(w, 1, 0));
    done(w);
}

static void no_packet_is_lost_on_the_switch(void **state)
{
    (void)state;
    w_world *w = pair();
    for (int round = 0; round < 3; round++) {
        w_talk(w, 0, 1, 5 * RMR_MS, 3 * RMR_SEC);
        w->blocked[0] = round == 0;
        if (round == 1)
            rmr_paths_rebind(w->node[0].p, w->now);
    }
    /* What is sent while the dead path is still trusted is lost: no more. */
    w_run(w, RMR_SEC);
    for (uint32_t s = 0; s < w->node[0].next_seq[1]; s++) {
        bool in_hole = s >= 600 && s < 1200;
        if (!in_hole)
            assert_true(w->node[1].got[0][s] >= 1);
    }
    done(w);
}

static void an_active_pair_pings_every_three_seconds(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    w_talk(w, 0, 1, 500 * RMR_MS, 10 * RMR_SEC);
    uint64_t before = a->pings_out;
    w_talk(w, 0, 1, 500 * RMR_MS, 30 * RMR_SEC);
    assert_int_equal(a->pings_out - before, 10);
    assert_int_equal(a->calls_out, 1);
    assert_int_equal(a->sent_derp, 1);
    done(w);
}

static void the_heartbeat_ends_45_s_after_the_last_packet(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    rmr_path_info info;
    (void)w_send(w, 0, 1);
    w_run(w, 45 * RMR_SEC);
    uint64_t pings = a->pings_out;
    w_info(w, 0, 1, &info);
    assert_true(info.heartbeat); /* the beat at 45 s still found it active */
    w_run(w, 3 * RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_false(info.heartbeat);
    assert_int_equal(a->pings_out, pings);
    w_run(w, 100 * RMR_SEC);
    assert_int_equal(a->pings_out, pings);
    /* Best stays, untrusted: the next packet goes both ways. */
    assert_int_equal(way(w, 0, 1), 'b');
    done(w);
}

static void receiving_alone_keeps_no_heartbeat(void **state)
{
    (void)state;
    w_world *w = pair();
    rmr_path_info info;
    (void)w_send(w, 1, 0);
    for (int i = 0; i < 120; i++) {
        (void)w_send(w, 0, 1);
        w_run(w, 500 * RMR_MS);
    }
    w_info(w, 1, 0, &info);
    assert_false(info.heartbeat);
    w_info(w, 0, 1, &info);
    assert_true(info.heartbeat);
    done(w);
}

static void a_dead_path_falls_over_after_its_trust(void **state)
{
    (void)state;
    w_world *w = pair();
    w_talk(w, 0, 1, 100 * RMR_MS, 5 * RMR_SEC);
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    rmr_time until = info.trusted_until;
    w->blocked[0] = true;
    w_run(w, until - w->now);
    assert_int_equal(way(w, 0, 1), 'u'); /* the very instant still counts */
    size_t told = w->node[0].n_path;
    w_run(w, 1);
    assert_int_equal(w->node[0].n_path, told + 1);
    assert_int_equal(way(w, 0, 1), 'b');
    w_run(w, 5 * RMR_SEC); /* a ping of after the last pong timed out */
    assert_int_equal(way(w, 0, 1), 'd');
    w_info(w, 0, 1, &info);
    assert_false(info.has_best);
    /* It heals: the next round of pings brings it back. */
    w->blocked[0] = false;
    w_talk(w, 0, 1, 100 * RMR_MS, 5100 * RMR_MS);
    assert_int_equal(way(w, 0, 1), 'u');
    done(w);
}

static void of_an_idle_path_the_end_of_trust_is_not_told(void **state)
{
    (void)state;
    w_world *w = pair();
    w_talk(w, 0, 1, 100 * RMR_MS, 5 * RMR_SEC);
    size_t told = w->node[0].n_path;
    w_run(w, 55 * RMR_SEC);
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    assert_true(info.has_best && !info.trusted && !info.heartbeat);
    assert_int_equal(w->node[0].n_path, told);
    done(w);
}

static void unreachable_clears_best_at_once(void **state)
{
    (void)state;
    w_world *w = pair();
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    rmr_path_to to = w_udp(w, 1, 0);
    static const rmr_err others[] = {RMR_E_TOOBIG, RMR_E_FULL, RMR_E_DENIED};
    for (size_t i = 0; i < 3; i++)
        rmr_paths_send_failed(w->node[0].p, w->now, &to, others[i]);
    assert_int_equal(way(w, 0, 1), 'u');
    rmr_path_to other = w_udp(w, 1, 3);
    rmr_paths_send_failed(w->node[0].p, w->now, &other, RMR_E_UNREACHABLE);
    assert_int_equal(way(w, 0, 1), 'u');
    rmr_paths_send_failed(w->node[0].p, w->now, &to, RMR_E_UNREACHABLE);
    assert_int_equal(way(w, 0, 1), 'd');
    done(w);
}

static void rebind_sends_both_ways_and_pings_at_once(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    w_talk(w, 0, 1, 100 * RMR_MS, 10 * RMR_SEC);
    uint64_t pings = a->pings_out, calls = a->calls_out;
    size_t asked = a->refreshes;
    rmr_paths_rebind(a->p, w->now);
    w_drain(w, 0);
    assert_int_equal(a->pings_out, pings + 1);
    assert_int_equal(a->refreshes, asked + 1); /* then the call */
    assert_int_equal(a->calls_out, calls + 1);
    assert_int_equal(way(w, 0, 1), 'd');
    w_run(w, 20 * RMR_MS);
    assert_int_equal(way(w, 0, 1), 'u');
    done(w);
}

static void an_upgrade_is_looked_for_once_a_minute(void **state)
{
    (void)state;
    w_world *w = world();
    w->node[1].in_map[3] = true;
    w->delay[3] = 2 * RMR_MS;
    w->blocked[3] = true; /* the fast way comes later */
    w_start(w);
    w_talk(w, 0, 1, 500 * RMR_MS, 20 * RMR_SEC);
    w->blocked[3] = false;
    rmr_path_info info;
    w_talk(w, 0, 1, 500 * RMR_MS, 38 * RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_int_equal(info.latency, 20 * RMR_MS);
    w_talk(w, 0, 1, 500 * RMR_MS, 10 * RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_int_equal(info.latency, 4 * RMR_MS);
    assert_true(rmr_addr_eq(&info.udp, &w->node[1].addr[3]));
    /* Good enough: no more rounds. */
    uint64_t pings = w->node[0].pings_out;
    w_talk(w, 0, 1, 500 * RMR_MS, 90 * RMR_SEC);
    assert_int_equal(w->node[0].pings_out - pings, 30);
    done(w);
}

static void ipv6_is_taken_where_it_is_better(void **state)
{
    (void)state;
    static const struct {
        rmr_dur v4, v6;
        bool takes_v6;
    } t[] = {{10, 10, true}, {100, 109, true}, {10, 11, false}, {20, 10, true}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        w_world *w = world();
        w->node[1].in_map[2] = true;
        w->delay[0] = t[i].v4 * RMR_MS;
        w->delay[2] = t[i].v6 * RMR_MS;
        w_start(w);
        w_talk(w, 0, 1, 100 * RMR_MS, 2 * RMR_SEC);
        rmr_path_info info;
        w_info(w, 0, 1, &info);
        assert_int_equal(info.udp.family,
                         t[i].takes_v6 ? RMR_AF_INET6 : RMR_AF_INET);
        done(w);
    }
}

static void without_a_home_the_reverse_route_serves(void **state)
{
    (void)state;
    w_world *w = world();
    w->node[1].home = 0;
    w->node[1].in_map[0] = false;
    w_start(w);
    rmr_paths *p = w->node[0].p;
    const uint8_t *key = w->node[1].node_key;
    rmr_path_route r;
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_E_UNREACHABLE);
    rmr_paths_note_derp_source(p, w->now, key, 9);
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_OK);
    assert_true(r.has_derp && !r.has_udp && r.region == 9);
    rmr_paths_derp_gone(p, w->now, key, 8); /* of another region */
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_OK);
    rmr_paths_derp_gone(p, w->now, key, 9);
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_E_UNREACHABLE);
    rmr_paths_note_derp_source(p, w->now, key, 9);
    rmr_paths_region_down(p, w->now, 9);
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_E_UNREACHABLE);
    done(w);
}

static void an_open_home_beats_the_reverse_route(void **state)
{
    (void)state;
    w_world *w = pair();
    rmr_paths *p = w->node[0].p;
    rmr_path_route r;
    static const struct {
        bool home_open, reverse;
        uint16_t want;
    } t[] = {
        {false, false, 2}, {false, true, 9}, {true, true, 2}, {true, false, 2}};
    for (size_t i = 0; i < 4; i++) {
        rmr_paths_region_down(p, w->now, 2);
        rmr_paths_region_down(p, w->now, 9);
        if (t[i].home_open)
            rmr_paths_region_up(p, w->now, 2);
        if (t[i].reverse)
            rmr_paths_note_derp_source(p, w->now, w->node[1].node_key, 9);
        assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                         RMR_OK);
        assert_int_equal(r.region, t[i].want);
    }
    done(w);
}

static void an_expired_peer_gets_nothing(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    rmr_path_peer_config c = {.struct_size = sizeof c, .expired = true};
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_run(w, RMR_SEC);
    assert_int_equal(
        rmr_paths_peer_set(a->p, w->now, a->peer[1], RMR_PATH_SET_EXPIRED, &c),
        RMR_OK);
    rmr_path_route r;
    assert_int_equal(rmr_paths_route(a->p, w->now, a->peer[1], &r),
                     RMR_E_DENIED);
    assert_int_equal(rmr_paths_ping(a->p, w->now, a->peer[1], 1), RMR_E_DENIED);
    uint64_t out = a->pings_out + a->pongs_out + a->calls_out;
    w_run(w, 30 * RMR_SEC); /* not even pongs */
    assert_int_equal(a->pings_out + a->pongs_out + a->calls_out, out);
    done(w);
}

static void a_peer_without_disco_is_reached_by_derp_alone(void **state)
{
    (void)state;
    w_world *w = world();
    w->node[1].no_disco = true;
    w_start(w);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(way(w, 0, 1), 'd');
        w_run(w, RMR_SEC);
    }
    assert_int_equal(w->node[0].pings_out + w->node[0].calls_out, 0);
    assert_int_equal(
        rmr_paths_ping(w->node[0].p, w->now, w->node[0].peer[1], 1),
        RMR_E_UNSUPPORTED);
    done(w);
}

static void only_tcp_443_sends_no_udp(void **state)
{
    (void)state;
    w_world *w = pair();
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    assert_int_equal(way(w, 0, 1), 'u');
    rmr_paths_set_switches(w->node[0].p, w->now, RMR_PATHS_NO_UDP);
    uint64_t out = w->node[0].pings_out + w->node[0].pongs_out;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(way(w, 0, 1), 'd');
        w_run(w, RMR_SEC);
    }
    assert_int_equal(w->node[0].pings_out + w->node[0].pongs_out, out);
    done(w);
}

static void silent_disco_lives_by_traffic(void **state)
{
    (void)state;
    w_world *w = world();
    w->switches = RMR_PATHS_SILENT_DISCO;
    w_start(w);
    w_node *a = &w->node[0];
    w_talk(w, 0, 1, 100 * RMR_MS, 2 * RMR_SEC);
    uint64_t pings = a->pings_out;
    w_talk(w, 0, 1, RMR_SEC, 60 * RMR_SEC);
    assert_int_equal(a->pings_out, pings); /* no heartbeats */
    assert_int_equal(way(w, 0, 1), 'u');
    w_run(w, 5 * RMR_SEC); /* silence: trust ends with it */
    assert_int_equal(way(w, 0, 1), 'u');
    w_run(w, 2 * RMR_SEC);
    assert_int_equal(way(w, 0, 1), 'b');
    assert_true(a->pings_out > pings);
    done(w);
}

static void sized_pings_find_the_mtu(void **state)
{
    (void)state;
    w_world *w = world();
    w->switches = RMR_PATHS_PEER_MTU;
    w_start(w);
    w_talk(w, 0, 1, 100 * RMR_MS, 2 * RMR_SEC);
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    assert_int_equal(info.wire_mtu, 9000);
    assert_true(w->node[0].others_out >= 6);
    done(w);
}

static void the_mtu_switch_pings_a_path_that_works(void **state)
{
    (void)state;
    rmr_path_info info;
    w_world *w = pair();
    rmr_paths *a = w->node[0].p;
    w_talk(w, 0, 1, 100 * RMR_MS, 2 * RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_true(info.trusted);
    assert_int_equal(info.wire_mtu, RMR_PATH_WIRE_MTU);
    uint32_t switches = RMR_PATHS_BIRTHDAY;
    rmr_paths_set_switches(a, w->now, switches | RMR_PATHS_PEER_MTU);
    w_info(w, 0, 1, &info);
    assert_true(info.trusted); /* it goes on meanwhile */
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_int_equal(info.wire_mtu, 9000);
    /* Off: what was found ends, and answers that are under way say nothing. */
    rmr_paths_set_switches(a, w->now, switches);
    rmr_paths_set_switches(a, w->now, switches | RMR_PATHS_PEER_MTU);
    rmr_paths_set_switches(a, w->now, switches);
    w_talk(w, 0, 1, 100 * RMR_MS, 5 * RMR_SEC);
    w_info(w, 0, 1, &info);
    assert_true(info.trusted);
    assert_int_equal(info.wire_mtu, RMR_PATH_WIRE_MTU);
    done(w);
}

static void a_new_disco_key_keeps_the_path_until_its_trust_ends(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0], *b = &w->node[1];
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    /* b restarts: a new key, which control tells a at once. */
    uint8_t fresh[32];
    rmr_rng rng = test_rng_table(&b->rng);
    assert_int_equal(rmr_key_generate(&rng, fresh), RMR_OK);
    assert_int_equal(rmr_paths_set_disco_key(b->p, w->now, fresh), RMR_OK);
    rmr_paths_disco_key(b->p, b->disco_key);
    memcpy(b->disco_private, fresh, 32);
    rmr_path_peer_config c;
    rmr_addr eps[W_ADDRS];
    w_config(w, 1, &c, eps);
    assert_int_equal(rmr_paths_peer_set(a->p, w->now, a->peer[1],
                                        RMR_PATH_SET_DISCO_KEY, &c),
                     RMR_OK);
    assert_int_equal(way(w, 0, 1), 'u');
    w_talk(w, 0, 1, 100 * RMR_MS, 20 * RMR_SEC);
    assert_int_equal(way(w, 0, 1), 'u'); /* verified anew */
    rmr_paths_stats s = rmr_paths_get_stats(a->p);
    assert_true(s.shared_computed >= 2);
    done(w);
}

static void a_removed_peer_leaves_nothing(void **state)
{
    (void)state;
    w_world *w = pair();
    w_node *a = &w->node[0];
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    rmr_path_peer was = a->peer[1];
    assert_int_equal(rmr_paths_peer_remove(a->p, w->now, was), RMR_OK);
    assert_int_equal(rmr_paths_peer_remove(a->p, w->now, was), RMR_E_BADHANDLE);
    rmr_path_route r;
    rmr_path_info info;
    assert_int_equal(rmr_paths_route(a->p, w->now, was, &r), RMR_E_BADHANDLE);
    assert_int_equal(rmr_paths_info(a->p, w->now, was, &info), RMR_E_BADHANDLE);
    rmr_path_peer found;
    assert_false(rmr_paths_find(a->p, w->node[1].node_key, &found));
    assert_false(rmr_paths_source(a->p, &w->node[1].addr[0], &found));
    assert_true(rmr_paths_next_deadline(a->p) == RMR_TIME_NEVER);
    rmr_paths_stats s = rmr_paths_get_stats(a->p);
    assert_int_equal(s.peers + s.active_peers + s.sources, 0);
    done(w);
}

static void a_ping_of_the_host_goes_everywhere_or_by_the_path(void **state)
{
    (void)state;
    w_world *w = world();
    w->node[1].in_map[3] = true;
    w_start(w);
    w_node *a = &w->node[0];
    assert_int_equal(rmr_paths_ping(a->p, w->now, a->peer[1], 77), RMR_OK);
    w_drain(w, 0);
    assert_int_equal(a->pings_out, 3); /* two candidates, the relay */
    assert_int_equal(a->calls_out, 1);
    w_run(w, 20 * RMR_MS);
    assert_int_equal(a->n_pong, 1);
    assert_int_equal(a->last_tag, 77);
    assert_int_equal(a->last_pong.latency, 20 * RMR_MS);
    assert_true(rmr_addr_eq(&a->last_pong.from.udp, &w->node[1].addr[0]));
    assert_true(rmr_addr_eq(&a->last_pong.seen_as, &a->addr[0]));
    w_run(w, 60 * RMR_MS);
    assert_int_equal(a->n_pong, 3);
    assert_int_equal(a->last_pong.from.region, 2);
    assert_int_equal(a->last_pong.latency, 80 * RMR_MS);
    assert_memory_equal(a->last_pong.from.key, w->node[1].node_key, 32);
    /* Trusted now: by the path alone. */
    uint64_t pings = a->pings_out;
    assert_int_equal(rmr_paths_ping(a->p, w->now, a->peer[1], 78), RMR_OK);
    w_drain(w, 0);
    assert_int_equal(a->pings_out, pings + 1);
    w_run(w, 20 * RMR_MS);
    assert_int_equal(a->last_tag, 78);
    done(w);
}

static void lifetime_probes_climb_the_cliffs(void **state)
{
    (void)state;
    w_world *w = world();
    w->switches = RMR_PATHS_PROBE_LIFETIME;
    w_start(w);
    int small =
        memcmp(w->node[0].disco_key, w->node[1].disco_key, 32) < 0 ? 0 : 1;
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_run(w, 200 * RMR_SEC);
    rmr_paths_stats s = rmr_paths_get_stats(w->node[small].p);
    rmr_paths_stats big = rmr_paths_get_stats(w->node[1 - small].p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s.lifetime_sent[i], 1);
        assert_int_equal(s.lifetime_alive[i], 1);
        assert_int_equal(big.lifetime_sent[i], 0);
    }
    /* Once a day. */
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    w_run(w, 200 * RMR_SEC);
    s = rmr_paths_get_stats(w->node[small].p);
    assert_int_equal(s.lifetime_sent[0], 1);
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_packet_goes_by_derp_and_pings_and_calls),
        cmocka_unit_test(no_packet_is_lost_on_the_switch),
        cmocka_unit_test(an_active_pair_pings_every_three_seconds),
        cmocka_unit_test(the_heartbeat_ends_45_s_after_the_last_packet),
        cmocka_unit_test(receiving_alone_keeps_no_heartbeat),
        cmocka_unit_test(a_dead_path_falls_over_after_its_trust),
        cmocka_unit_test(of_an_idle_path_the_end_of_trust_is_not_told),
        cmocka_unit_test(unreachable_clears_best_at_once),
        cmocka_unit_test(rebind_sends_both_ways_and_pings_at_once),
        cmocka_unit_test(an_upgrade_is_looked_for_once_a_minute),
        cmocka_unit_test(ipv6_is_taken_where_it_is_better),
        cmocka_unit_test(without_a_home_the_reverse_route_serves),
        cmocka_unit_test(an_open_home_beats_the_reverse_route),
        cmocka_unit_test(an_expired_peer_gets_nothing),
        cmocka_unit_test(a_peer_without_disco_is_reached_by_derp_alone),
        cmocka_unit_test(only_tcp_443_sends_no_udp),
        cmocka_unit_test(silent_disco_lives_by_traffic),
        cmocka_unit_test(sized_pings_find_the_mtu),
        cmocka_unit_test(the_mtu_switch_pings_a_path_that_works),
        cmocka_unit_test(a_new_disco_key_keeps_the_path_until_its_trust_ends),
        cmocka_unit_test(a_removed_peer_leaves_nothing),
        cmocka_unit_test(a_ping_of_the_host_goes_everywhere_or_by_the_path),
        cmocka_unit_test(lifetime_probes_climb_the_cliffs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
