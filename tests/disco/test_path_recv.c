/* Receiving: who may say what by which way; pings, pongs, calls, candidates.
 * Messages are sealed by hand; state is looked at through the public calls. */
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
    w_init(w, 11);
    w_add(w, 0);
    w_add(w, 1);
    w_add(w, 2);
    return w;
}

static w_world *trio(void)
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

static rmr_disco_msg ping(const w_world *w, int i, uint8_t txid)
{
    rmr_disco_msg m = {.type = RMR_DISCO_PING, .has_node_key = true};
    m.txid[0] = txid;
    memcpy(m.node_key, w->node[i].node_key, 32);
    return m;
}

/* The next datagram of node i, opened by node j; its type, 0 without one. */
static uint8_t next_out(w_world *w, int i, int j, rmr_disco_msg *m,
                        rmr_path_to *to)
{
    uint8_t b[RMR_PATHS_MAX_DATAGRAM], shared[32];
    size_t len;
    assert_int_equal(rmr_paths_write_pkt(w->node[i].p, w->now,
                                         rmr_buf_of(b, sizeof b), &len, to),
                     RMR_OK);
    if (len == 0)
        return 0;
    assert_int_equal(
        rmr_box_shared(shared, w->node[j].disco_private, w->node[i].disco_key),
        RMR_OK);
    assert_int_equal(rmr_disco_open(rmr_bytes_of(b, len), shared, m), RMR_OK);
    return m->type;
}

static bool has_candidate(w_world *w, int i, int j, const rmr_addr *a,
                          rmr_path_candidate *out)
{
    rmr_path_candidate c;
    for (size_t k = 0;
         rmr_paths_candidate(w->node[i].p, w->node[i].peer[j], k, &c); k++)
        if (rmr_addr_eq(&c.udp, a)) {
            if (out)
                *out = c;
            return true;
        }
    return false;
}

static size_t n_candidates(w_world *w, int i, int j)
{
    rmr_path_info info;
    w_info(w, i, j, &info);
    return info.n_candidates;
}

static void a_ping_by_udp_is_answered_to_its_source_once(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 3), to;
    rmr_disco_msg m = ping(w, 1, 9), out;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PONG);
    assert_true(rmr_addr_eq(&to.udp, &from.udp));
    assert_true(rmr_addr_eq(&out.src, &from.udp));
    assert_memory_equal(out.txid, m.txid, sizeof m.txid);
    /* No ping back by itself. */
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    /* The same again, from there: a duplicate.  From elsewhere it is not. */
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_E_REPLAY);
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    rmr_path_to other = w_udp(w, 1, 1);
    assert_int_equal(w_say(w, 1, 0, &other, &m), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PONG);
    m.txid[0]++;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    done(w);
}

static void a_ping_makes_a_candidate_and_a_source_but_no_path(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 3);
    rmr_disco_msg m = ping(w, 1, 1);
    rmr_path_peer who;
    rmr_path_candidate c = {0};
    rmr_path_info info;
    assert_false(rmr_paths_source(w->node[0].p, &from.udp, &who));
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_true(has_candidate(w, 0, 1, &from.udp, &c));
    assert_true(c.from_ping && !c.from_map && !c.from_call);
    assert_true(rmr_paths_source(w->node[0].p, &from.udp, &who));
    assert_true(who.id == w->node[0].peer[1].id);
    w_info(w, 0, 1, &info);
    assert_false(info.has_best);
    /* The next round pings it. */
    (void)w_send(w, 0, 1);
    assert_int_equal(w->node[0].pings_out, 2);
    done(w);
}

/* Between two port-restricted NATs the first ping is lost; that of the peer,
 * which it sends when it is called, shows that the way is open now. */
static void who_has_traffic_pings_back_at_once_and_once(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 3), to;
    rmr_disco_msg m = ping(w, 1, 1), out;
    assert_true(w_send(w, 0, 1));
    while (next_out(w, 0, 1, &out, &to))
        ;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PONG);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PING);
    assert_true(rmr_addr_eq(&to.udp, &from.udp));
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    m.txid[0]++;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PONG);
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    done(w);
}

static void a_learned_candidate_is_forgotten_after_45_s(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 3);
    rmr_disco_msg m = ping(w, 1, 1);
    w->blocked[0] = w->blocked[3] = true;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    w_talk(w, 0, 1, RMR_SEC, 40 * RMR_SEC);
    assert_true(has_candidate(w, 0, 1, &from.udp, NULL));
    w_talk(w, 0, 1, RMR_SEC, 11 * RMR_SEC);
    assert_false(has_candidate(w, 0, 1, &from.udp, NULL));
    assert_true(has_candidate(w, 0, 1, &w->node[1].addr[0], NULL));
    done(w);
}

static void a_ping_by_derp_is_answered_by_derp(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_derp(w, 1), to;
    from.region = 5;
    rmr_disco_msg m = ping(w, 1, 1), out;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PONG);
    assert_int_equal(to.udp.family, RMR_AF_NONE);
    assert_int_equal(to.region, 5);
    assert_memory_equal(to.key, w->node[1].node_key, 32);
    rmr_addr stands_for = rmr_disco_derp_addr(5);
    assert_true(rmr_addr_eq(&out.src, &stands_for));
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_E_REPLAY);
    /* Another node's name on it. */
    from = w_derp(w, 2);
    m.txid[0]++;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_E_DENIED);
    done(w);
}

static void calls_and_punches_come_by_derp_from_their_node_alone(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_disco_msg m = {.type = RMR_DISCO_CALL_ME_MAYBE, .n_candidates = 1};
    m.candidates[0] = rmr_addr_v4(9, 9, 9, 9, 9);
    rmr_path_to by_udp = w_udp(w, 1, 0), other = w_derp(w, 2), right;
    right = w_derp(w, 1);
    assert_int_equal(w_say(w, 1, 0, &by_udp, &m), RMR_E_DENIED);
    assert_int_equal(w_say(w, 1, 0, &other, &m), RMR_E_DENIED);
    memset(other.key, 7, 32); /* nobody's */
    assert_int_equal(w_say(w, 1, 0, &other, &m), RMR_E_DENIED);
    assert_false(has_candidate(w, 0, 1, &m.candidates[0], NULL));
    assert_int_equal(w_say(w, 1, 0, &right, &m), RMR_OK);
    assert_true(has_candidate(w, 0, 1, &m.candidates[0], NULL));
    done(w);
}

static void refused_datagrams_change_nothing(void **state)
{
    (void)state;
    w_world *w = trio();
    uint8_t b[512];
    rmr_path_to from = w_udp(w, 1, 0), to;
    rmr_disco_msg m = ping(w, 1, 1), out;
    rmr_paths *p = w->node[0].p;
    size_t len = w_seal(w, 1, 0, &m, b, sizeof b);
    for (size_t cut = 0; cut < len; cut++) { /* each prefix */
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, b, cut);
        assert_true(rmr_paths_read(p, w->now, &from, rmr_buf_of(copy, cut)) !=
                    RMR_OK);
        free(copy);
    }
    for (size_t i = 0; i < len; i++) { /* each byte spoilt */
        uint8_t copy[512];
        memcpy(copy, b, len);
        copy[i] ^= 0x40;
        assert_true(rmr_paths_read(p, w->now, &from, rmr_buf_of(copy, len)) !=
                    RMR_OK);
    }
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    assert_false(info.active);
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    rmr_paths_stats s = rmr_paths_get_stats(p);
    assert_true(s.dropped_undecryptable && s.dropped_unknown &&
                s.dropped_malformed);
    /* A stranger's key costs no X25519. */
    assert_int_equal(s.shared_computed, 1);
    done(w);
}

static void a_pong_must_answer_a_ping(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 0), to;
    rmr_disco_msg sent;
    rmr_path_route r;
    rmr_paths *p = w->node[0].p;
    rmr_path_peer b = w->node[0].peer[1];
    assert_int_equal(rmr_paths_route(p, w->now, b, &r), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &sent, &to), RMR_DISCO_PING);
    rmr_disco_msg pong = {.type = RMR_DISCO_PONG, .src = w->node[0].addr[0]};
    assert_int_equal(w_say(w, 1, 0, &from, &pong), RMR_E_NOTFOUND);
    assert_false(w_direct(w, 0, 1));
    memcpy(pong.txid, sent.txid, sizeof pong.txid);
    /* Another peer may not answer for it. */
    assert_int_equal(w_say(w, 2, 0, &from, &pong), RMR_E_NOTFOUND);
    /* Nor may the relay: that says nothing of UDP. */
    rmr_path_to derp = w_derp(w, 1);
    assert_int_equal(w_say(w, 1, 0, &derp, &pong), RMR_OK);
    assert_false(w_direct(w, 0, 1));
    assert_int_equal(w_say(w, 1, 0, &from, &pong), RMR_E_NOTFOUND);
    done(w);
}

/* The next datagram of node i to UDP, as it is on the wire. */
static size_t raw_udp_out(w_world *w, int i, uint8_t b[RMR_PATHS_MAX_DATAGRAM],
                          rmr_path_to *to)
{
    size_t len;
    do
        assert_int_equal(rmr_paths_write_pkt(
                             w->node[i].p, w->now,
                             rmr_buf_of(b, RMR_PATHS_MAX_DATAGRAM), &len, to),
                         RMR_OK);
    while (len && to->udp.family == RMR_AF_NONE);
    return len;
}

/* The key of a pair seals both ways, and the sender's name is outside the box:
 * who catches a's ping to b can throw it back as b's.  Were it answered, the
 * pong, thrown back too, would prove the catcher's address to be b's. */
static void our_own_ping_thrown_back_proves_nothing(void **state)
{
    (void)state;
    w_world *w = trio();
    uint8_t b[RMR_PATHS_MAX_DATAGRAM];
    rmr_path_route r;
    rmr_path_to to;
    rmr_path_info info;
    rmr_path_peer who;
    rmr_paths *p = w->node[0].p;
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_OK);
    size_t len = raw_udp_out(w, 0, b, &to);
    assert_int_not_equal(len, 0);
    memcpy(b + 6, w->node[1].disco_key, 32);
    assert_int_equal(rmr_paths_read(p, w->now, &to, rmr_buf_of(b, len)),
                     RMR_E_DENIED);
    assert_int_equal(rmr_paths_get_stats(p).dropped_mismatch, 1);
    assert_false(rmr_paths_source(p, &to.udp, &who));
    rmr_path_to at = to;
    len = raw_udp_out(w, 0, b, &to);
    if (len) { /* the pong, for the catcher */
        memcpy(b + 6, w->node[1].disco_key, 32);
        (void)rmr_paths_read(p, w->now, &at, rmr_buf_of(b, len));
    }
    w_info(w, 0, 1, &info);
    assert_false(info.has_best);
    /* By the relay neither. */
    assert_int_equal(rmr_paths_ping(p, w->now, w->node[0].peer[1], 1), RMR_OK);
    rmr_disco_msg own = ping(w, 0, 7);
    rmr_path_to from = w_derp(w, 1);
    len = w_seal(w, 0, 1, &own, b, sizeof b);
    memcpy(b + 6, w->node[1].disco_key, 32);
    assert_int_equal(rmr_paths_read(p, w->now, &from, rmr_buf_of(b, len)),
                     RMR_E_DENIED);
    done(w);
}

static void what_counts_is_the_address_pinged(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to elsewhere = w_udp(w, 1, 3), to;
    rmr_disco_msg sent;
    rmr_path_route r;
    rmr_path_info info;
    rmr_path_peer who;
    assert_int_equal(
        rmr_paths_route(w->node[0].p, w->now, w->node[0].peer[1], &r), RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &sent, &to), RMR_DISCO_PING);
    rmr_disco_msg pong = {.type = RMR_DISCO_PONG, .src = w->node[0].addr[0]};
    memcpy(pong.txid, sent.txid, sizeof pong.txid);
    assert_int_equal(w_say(w, 1, 0, &elsewhere, &pong), RMR_OK);
    w_info(w, 0, 1, &info);
    assert_true(rmr_addr_eq(&info.udp, &w->node[1].addr[0]));
    assert_true(rmr_paths_source(w->node[0].p, &elsewhere.udp, &who));
    done(w);
}

static void a_late_pong_is_none(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_udp(w, 1, 0), to;
    rmr_disco_msg sent;
    rmr_path_route r;
    rmr_paths *p = w->node[0].p;
    assert_int_equal(rmr_paths_route(p, w->now, w->node[0].peer[1], &r),
                     RMR_OK);
    assert_int_equal(next_out(w, 0, 1, &sent, &to), RMR_DISCO_PING);
    w->now += 5 * RMR_SEC;
    assert_int_equal(rmr_paths_handle_deadline(p, w->now), RMR_OK);
    rmr_disco_msg pong = {.type = RMR_DISCO_PONG, .src = w->node[0].addr[0]};
    memcpy(pong.txid, sent.txid, sizeof pong.txid);
    assert_int_equal(w_say(w, 1, 0, &from, &pong), RMR_E_NOTFOUND);
    assert_true(rmr_paths_get_stats(p).ping_timeouts >= 1);
    done(w);
}

static rmr_err call(w_world *w, const int *ports, size_t n)
{
    rmr_path_to from = w_derp(w, 1);
    rmr_disco_msg m = {.type = RMR_DISCO_CALL_ME_MAYBE, .n_candidates = n};
    for (size_t i = 0; i < n; i++)
        m.candidates[i] = rmr_addr_v4(9, 9, 9, 9, (uint16_t)ports[i]);
    return w_say(w, 1, 0, &from, &m);
}

static bool knows_port(w_world *w, int port)
{
    rmr_addr a = rmr_addr_v4(9, 9, 9, 9, (uint16_t)port);
    return has_candidate(w, 0, 1, &a, NULL);
}

static void a_call_replaces_what_the_last_one_named(void **state)
{
    (void)state;
    w_world *w = trio();
    assert_int_equal(call(w, (const int[]){1, 2, 3}, 3), RMR_OK);
    assert_int_equal(n_candidates(w, 0, 1), 4);
    assert_int_equal(call(w, (const int[]){2, 4}, 2), RMR_OK);
    assert_true(!knows_port(w, 1) && knows_port(w, 2) && !knows_port(w, 3) &&
                knows_port(w, 4));
    assert_true(has_candidate(w, 0, 1, &w->node[1].addr[0], NULL));
    /* What the map names too goes as well, once a call named it. */
    rmr_path_to from = w_derp(w, 1);
    rmr_disco_msg m = {.type = RMR_DISCO_CALL_ME_MAYBE, .n_candidates = 1};
    m.candidates[0] = w->node[1].addr[0];
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(n_candidates(w, 0, 1), 1);
    m.n_candidates = 0;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(n_candidates(w, 0, 1), 0);
    done(w);
}

static void a_call_pings_all_at_once_and_calls_not_back(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_disco_msg out;
    rmr_path_to to;
    assert_int_equal(call(w, (const int[]){1, 2}, 2), RMR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PING);
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    /* Pinged just now; another call asks for it again all the same. */
    assert_int_equal(call(w, (const int[]){1, 2}, 2), RMR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next_out(w, 0, 1, &out, &to), RMR_DISCO_PING);
    assert_int_equal(next_out(w, 0, 1, &out, &to), 0);
    done(w);
}

/* A call may be an old one, which the relay kept: it can make us doubt the path
 * that answers, and send by the relay too, but not take it away. */
static void a_call_that_drops_best_makes_it_doubtful(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_info info;
    rmr_path_route r;
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    assert_true(w_direct(w, 0, 1)); /* b's call named this address */
    rmr_path_peer_config none = {.struct_size = sizeof none};
    assert_int_equal(rmr_paths_peer_set(w->node[0].p, w->now,
                                        w->node[0].peer[1],
                                        RMR_PATH_SET_ENDPOINTS, &none),
                     RMR_OK);
    rmr_path_to from = w_derp(w, 1);
    rmr_disco_msg good = {.type = RMR_DISCO_CALL_ME_MAYBE, .n_candidates = 1};
    good.candidates[0] = w->node[1].addr[0];
    for (int i = 0; i < 20; i++) {
        for (int again = 0; again < 2; again++) {
            assert_int_equal(w_say(w, 1, 0, &from, &good), RMR_OK);
            assert_int_equal(call(w, (const int[]){1}, 1), RMR_OK);
        }
        w_info(w, 0, 1, &info);
        assert_true(info.has_best && !info.trusted);
        assert_int_equal(
            rmr_paths_route(w->node[0].p, w->now, w->node[0].peer[1], &r),
            RMR_OK);
        assert_true(r.has_udp && r.has_derp);
        w_drain(w, 0);
        w_run(w, 100 * RMR_MS); /* it answers, and is trusted again */
        assert_true(w_direct(w, 0, 1));
        w_info(w, 0, 1, &info);
        assert_true(rmr_addr_eq(&info.udp, &w->node[1].addr[0]));
    }
    /* The peer is there no more, indeed. */
    w->blocked[0] = true;
    assert_int_equal(w_say(w, 1, 0, &from, &good), RMR_OK);
    assert_int_equal(call(w, (const int[]){1}, 1), RMR_OK);
    w_talk(w, 0, 1, 100 * RMR_MS, 5100 * RMR_MS);
    w_info(w, 0, 1, &info);
    assert_false(info.has_best && rmr_addr_eq(&info.udp, &w->node[1].addr[0]));
    done(w);
}

/* Calls that name ever new addresses fill the list of pings that wait with such
 * as will never be answered.  The path that works keeps its heartbeat. */
static void a_flood_of_calls_does_not_starve_the_heartbeat(void **state)
{
    (void)state;
    w_world *w = trio();
    int ports[RMR_DISCO_MAX_CANDIDATES];
    w_talk(w, 0, 1, 100 * RMR_MS, RMR_SEC);
    assert_true(w_direct(w, 0, 1));
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < RMR_DISCO_MAX_CANDIDATES; k++)
            ports[k] = 1 + i * RMR_DISCO_MAX_CANDIDATES + k;
        assert_int_equal(call(w, ports, RMR_DISCO_MAX_CANDIDATES), RMR_OK);
        w_drain(w, 0);
        w_talk(w, 0, 1, 50 * RMR_MS, 100 * RMR_MS);
        assert_true(w_direct(w, 0, 1));
    }
    /* What it makes us send is bounded: 224 in 5 s, beside the heartbeat. */
    assert_in_range(w->node[0].pings_out, 224, 224 * 7 + 100);
    done(w);
}

/* One caught ping, sent from a hundred made-up places, must not fill the table
 * so that no true address of the peer gets in. */
static void made_up_sources_keep_no_address_out(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to at = w_udp(w, 1, 3);
    rmr_disco_msg caught = ping(w, 1, 1);
    w->node[1].in_map[0] = w->node[1].in_call[0] = false;
    rmr_path_peer_config none = {.struct_size = sizeof none};
    assert_int_equal(rmr_paths_peer_set(w->node[0].p, w->now,
                                        w->node[0].peer[1],
                                        RMR_PATH_SET_ENDPOINTS, &none),
                     RMR_OK);
    for (int i = 0; i < 300; i++) {
        at.udp.port = (uint16_t)(1000 + i);
        (void)w_say(w, 1, 0, &at, &caught);
    }
    assert_int_equal(n_candidates(w, 0, 1), RMR_PATH_MAX_CANDIDATES);
    /* One that it names, and one that it pings from. */
    assert_int_equal(call(w, (const int[]){1}, 1), RMR_OK);
    assert_true(knows_port(w, 1));
    rmr_path_to truly = w_udp(w, 1, 1);
    rmr_disco_msg m = ping(w, 1, 2);
    assert_int_equal(w_say(w, 1, 0, &truly, &m), RMR_OK);
    assert_true(has_candidate(w, 0, 1, &truly.udp, NULL));
    assert_int_equal(n_candidates(w, 0, 1), RMR_PATH_MAX_CANDIDATES);
    /* What answered is kept. */
    w_drain(w, 0);
    w_talk(w, 0, 1, 100 * RMR_MS, 2 * RMR_SEC);
    assert_true(w_direct(w, 0, 1));
    for (int i = 0; i < 300; i++) {
        at.udp.port = (uint16_t)(3000 + i);
        w->now += RMR_MS;
        (void)w_say(w, 1, 0, &at, &caught);
    }
    assert_true(w_direct(w, 0, 1));
    assert_true(has_candidate(w, 0, 1, &truly.udp, NULL));
    done(w);
}

static void named_addresses_are_filtered_and_bounded(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_path_to from = w_derp(w, 1);
    rmr_disco_msg m = {.type = RMR_DISCO_CALL_ME_MAYBE, .n_candidates = 3};
    assert_int_equal(
        rmr_addr_parse(rmr_bytes_str("[fe80::1]:5"), &m.candidates[0]), RMR_OK);
    m.candidates[1] = rmr_addr_v4(100, 64, 0, 1, 5);
    m.candidates[2] = rmr_addr_v4(255, 255, 255, 255, 5);
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(n_candidates(w, 0, 1), 1);
    /* Pings from ever new ports: a hundred, then no more. */
    rmr_path_to at = w_udp(w, 1, 3);
    for (int i = 0; i < 300; i++) {
        rmr_disco_msg one = ping(w, 1, 1);
        at.udp.port = (uint16_t)(1000 + i);
        assert_int_equal(w_say(w, 1, 0, &at, &one), RMR_OK);
    }
    assert_int_equal(n_candidates(w, 0, 1), RMR_PATH_MAX_CANDIDATES);
    assert_int_equal(rmr_paths_get_stats(w->node[0].p).dropped_candidates, 201);
    /* After 45 s they are stale, and there is room. */
    w->now += 46 * RMR_SEC;
    rmr_disco_msg one = ping(w, 1, 1);
    at.udp.port = 5000;
    assert_int_equal(w_say(w, 1, 0, &at, &one), RMR_OK);
    assert_int_equal(n_candidates(w, 0, 1), 2);
    done(w);
}

static void calls_want_fresh_endpoints(void **state)
{
    (void)state;
    w_world *w = trio();
    w_node *a = &w->node[0];
    a->refresh_never = true;
    w->blocked[0] = true;
    w_run(w, 27 * RMR_SEC); /* just young enough */
    (void)w_send(w, 0, 1);
    assert_int_equal(a->refreshes, 0);
    assert_int_equal(a->calls_out, 1);
    w_run(w, 5 * RMR_SEC);
    (void)w_send(w, 0, 1);
    (void)w_send(w, 0, 2);
    assert_int_equal(a->refreshes, 1); /* one for both */
    assert_int_equal(a->calls_out, 1);
    rmr_paths_set_own_endpoints(a->p, w->now, &a->addr[0], 1, w->now);
    w_drain(w, 0);
    assert_int_equal(a->calls_out, 3);
    /* None come: those of before have to do, 6 s later. */
    w_run(w, 60 * RMR_SEC);
    uint64_t calls = a->calls_out;
    (void)w_send(w, 0, 1);
    w_run(w, 5999 * RMR_MS);
    assert_int_equal(a->calls_out, calls);
    w_run(w, RMR_MS);
    assert_int_equal(a->calls_out, calls + 1);
    done(w);
}

static void two_nodes_may_share_a_disco_key(void **state)
{
    (void)state;
    w_world *w = world();
    memcpy(w->node[2].disco_private, w->node[1].disco_private, 32);
    memcpy(w->node[2].disco_key, w->node[1].disco_key, 32);
    w_start(w);
    rmr_path_to from = w_udp(w, 1, 3);
    rmr_path_peer who;
    rmr_disco_msg m = ping(w, 2, 1);
    /* The node key in the ping tells whose source it is; both get the
     * candidate. */
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_true(rmr_paths_source(w->node[0].p, &from.udp, &who));
    assert_true(who.id == w->node[0].peer[2].id);
    assert_true(has_candidate(w, 0, 1, &from.udp, NULL));
    assert_true(has_candidate(w, 0, 2, &from.udp, NULL));
    /* Without it nobody knows. */
    from = w_udp(w, 1, 1);
    m.txid[0] = 2;
    m.has_node_key = false;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_false(rmr_paths_source(w->node[0].p, &from.udp, &who));
    /* One shared key for both; the last user takes it away. */
    rmr_paths *p = w->node[0].p;
    assert_int_equal(rmr_paths_get_stats(p).shared_computed, 1);
    assert_int_equal(rmr_paths_peer_remove(p, w->now, w->node[0].peer[1]),
                     RMR_OK);
    m.txid[0] = 3;
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_OK);
    assert_int_equal(rmr_paths_peer_remove(p, w->now, w->node[0].peer[2]),
                     RMR_OK);
    assert_int_equal(w_say(w, 1, 0, &from, &m), RMR_E_UNKNOWN);
    done(w);
}

static void a_changed_map_changes_candidates(void **state)
{
    (void)state;
    w_world *w = trio();
    w_node *a = &w->node[0];
    (void)w_send(w, 0, 1);
    w_run(w, RMR_SEC);
    rmr_addr eps[2] = {w->node[1].addr[1], w->node[1].addr[3]};
    rmr_path_peer_config c = {
        .struct_size = sizeof c, .endpoints = eps, .n_endpoints = 2, .home = 7};
    assert_int_equal(rmr_paths_peer_set(a->p, w->now, a->peer[1],
                                        RMR_PATH_SET_ENDPOINTS, &c),
                     RMR_OK);
    rmr_path_info info;
    w_info(w, 0, 1, &info);
    assert_int_equal(info.home, 2); /* was not asked for */
    assert_true(has_candidate(w, 0, 1, &eps[0], NULL));
    /* The old one was never named by a call to us: it is stale, unless it is
     * best and works. */
    w->blocked[0] = true;
    w_talk(w, 0, 1, RMR_SEC, 60 * RMR_SEC);
    assert_int_equal(
        rmr_paths_peer_set(a->p, w->now, a->peer[1], RMR_PATH_SET_HOME, &c),
        RMR_OK);
    w_info(w, 0, 1, &info);
    assert_int_equal(info.home, 7);
    assert_true(rmr_addr_eq(&info.udp, &eps[0]) ||
                rmr_addr_eq(&info.udp, &eps[1]));
    done(w);
}

static void wireguard_sources_are_hints_for_receiving(void **state)
{
    (void)state;
    w_world *w = trio();
    rmr_paths *p = w->node[0].p;
    rmr_path_peer who, b = w->node[0].peer[1], c = w->node[0].peer[2];
    rmr_path_to from = w_udp(w, 1, 3), derp = w_derp(w, 1);
    rmr_path_info info;
    assert_int_equal(rmr_paths_note_received(p, w->now, b, &from), RMR_OK);
    assert_true(rmr_paths_source(p, &from.udp, &who) && who.id == b.id);
    w_info(w, 0, 1, &info);
    assert_false(info.has_best);
    assert_int_equal(info.n_candidates, 1); /* not this one */
    /* WireGuard proved that another one is there now. */
    assert_int_equal(rmr_paths_note_received(p, w->now, c, &from), RMR_OK);
    assert_true(rmr_paths_source(p, &from.udp, &who) && who.id == c.id);
    derp.region = 6;
    assert_int_equal(rmr_paths_note_received(p, w->now, b, &derp), RMR_OK);
    w_info(w, 0, 1, &info);
    assert_int_equal(info.reverse, 6);
    /* At most eight a peer. */
    for (int i = 0; i < 100; i++) {
        from.udp.port = (uint16_t)(1 + i);
        assert_int_equal(rmr_paths_note_received(p, w->now, b, &from), RMR_OK);
    }
    assert_true(rmr_paths_get_stats(p).sources <= 9);
    done(w);
}

/* ---- WireGuard-only peers ---------------------------------------------- */

static w_world *with_wireguard_only(void)
{
    w_world *w = world();
    w->node[1].wireguard_only = true;
    w->node[1].in_map[2] = w->node[1].in_map[3] = true;
    w_start(w);
    return w;
}

static rmr_addr route_of(w_world *w, int j)
{
    rmr_path_route r;
    assert_int_equal(
        rmr_paths_route(w->node[0].p, w->now, w->node[0].peer[j], &r), RMR_OK);
    assert_true(r.has_udp && !r.has_derp);
    return r.udp;
}

static void wireguard_only_peers_get_the_nearest_endpoint(void **state)
{
    (void)state;
    w_world *w = with_wireguard_only();
    rmr_paths *p = w->node[0].p;
    rmr_path_peer b = w->node[0].peer[1], who;
    rmr_addr *addr = w->node[1].addr, to;
    static const int map[] = {0, 2, 3};
    for (int i = 0; i < 3; i++)
        assert_true(rmr_paths_source(p, &addr[map[i]], &who) && who.id == b.id);
    rmr_addr first = route_of(w, 1);
    assert_true(rmr_addr_eq(&first, &addr[0]) ||
                rmr_addr_eq(&first, &addr[2]) || rmr_addr_eq(&first, &addr[3]));
    /* All endpoints want an echo, once. */
    for (int i = 0; i < 3; i++) {
        assert_true(rmr_paths_next_echo(p, &who, &to));
        rmr_dur latency = rmr_addr_eq(&to, &addr[0]) ? 30 : 20;
        assert_int_equal(
            rmr_paths_echo_done(p, w->now, who, &to, latency * RMR_MS), RMR_OK);
    }
    assert_false(rmr_paths_next_echo(p, &who, &to));
    /* The choice stands for a second; then the nearest, IPv6 on a tie. */
    rmr_addr again = route_of(w, 1);
    assert_true(rmr_addr_eq(&first, &again));
    w->now += RMR_SEC + 1;
    again = route_of(w, 1);
    assert_true(rmr_addr_eq(&again, &addr[2]));
    assert_false(rmr_paths_next_echo(p, &who, &to)); /* not within 10 s */
    /* Heard from somewhere: that, for five seconds. */
    rmr_path_to from = w_udp(w, 1, 0);
    assert_int_equal(rmr_paths_note_received(p, w->now, b, &from), RMR_OK);
    w->now += 5 * RMR_SEC;
    again = route_of(w, 1);
    assert_true(rmr_addr_eq(&again, &addr[0]));
    w->now += 1;
    again = route_of(w, 1);
    assert_true(rmr_addr_eq(&again, &addr[2]));
    w->now += 10 * RMR_SEC;
    (void)route_of(w, 1);
    assert_true(rmr_paths_next_echo(p, &who, &to));
    w_drain(w, 0);
    assert_int_equal(w->node[0].pings_out + w->node[0].calls_out, 0);
    done(w);
}

static void wireguard_only_without_echoes_is_tried_at_random(void **state)
{
    (void)state;
    w_world *w = with_wireguard_only();
    unsigned seen = 0;
    for (int i = 0; i < 100; i++) {
        rmr_addr a = route_of(w, 1);
        for (unsigned k = 0; k < W_ADDRS; k++)
            if (rmr_addr_eq(&a, &w->node[1].addr[k]))
                seen |= 1u << k;
        w->now += 2 * RMR_SEC;
    }
    assert_int_equal(seen, 1u << 0 | 1u << 2 | 1u << 3);
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_by_udp_is_answered_to_its_source_once),
        cmocka_unit_test(a_ping_makes_a_candidate_and_a_source_but_no_path),
        cmocka_unit_test(who_has_traffic_pings_back_at_once_and_once),
        cmocka_unit_test(a_learned_candidate_is_forgotten_after_45_s),
        cmocka_unit_test(a_ping_by_derp_is_answered_by_derp),
        cmocka_unit_test(calls_and_punches_come_by_derp_from_their_node_alone),
        cmocka_unit_test(refused_datagrams_change_nothing),
        cmocka_unit_test(a_pong_must_answer_a_ping),
        cmocka_unit_test(our_own_ping_thrown_back_proves_nothing),
        cmocka_unit_test(what_counts_is_the_address_pinged),
        cmocka_unit_test(a_late_pong_is_none),
        cmocka_unit_test(a_call_replaces_what_the_last_one_named),
        cmocka_unit_test(a_call_pings_all_at_once_and_calls_not_back),
        cmocka_unit_test(a_call_that_drops_best_makes_it_doubtful),
        cmocka_unit_test(a_flood_of_calls_does_not_starve_the_heartbeat),
        cmocka_unit_test(made_up_sources_keep_no_address_out),
        cmocka_unit_test(named_addresses_are_filtered_and_bounded),
        cmocka_unit_test(calls_want_fresh_endpoints),
        cmocka_unit_test(two_nodes_may_share_a_disco_key),
        cmocka_unit_test(a_changed_map_changes_candidates),
        cmocka_unit_test(wireguard_sources_are_hints_for_receiving),
        cmocka_unit_test(wireguard_only_peers_get_the_nearest_endpoint),
        cmocka_unit_test(wireguard_only_without_echoes_is_tried_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
