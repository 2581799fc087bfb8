/* Direct paths between two nodes: found, lost, found again; networks and clocks
 * that change; and that a TCP connection lives through all of it. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 7001

static pair p;

/* ---- two programs that talk ------------------------------------------- */

typedef struct talk { /* bytes from node 0 to node 1, one every 200 ms */
    rmr_node_conn out, in;
    bool up, closed;
    size_t sent, got;
    rmr_time next;
} talk;

static talk t;

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    (void)user;
    (void)tag;
    (void)remote;
    t.in = conn;
}

static void on_connected(void *user, void *tag, rmr_node_conn conn)
{
    (void)user;
    (void)tag;
    (void)conn;
    t.up = true;
}

static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    pair_node *nd = user;
    rmr_bytes view;
    bool eof = false;
    (void)tag;
    while (rmr_node_peek(nd->n, conn, &view, &eof) == RMR_OK && view.len > 0) {
        t.got += view.len;
        rmr_node_consume(nd->n, p.now, conn, view.len);
    }
}

static void on_closed(void *user, void *tag, rmr_node_conn conn, rmr_err why)
{
    (void)user;
    (void)tag;
    (void)conn;
    (void)why;
    t.closed = true;
}

/* What is special from the start. */
enum { NO_UDP = 1, NO_STUN = 2, TWO_REGIONS = 4, GATEWAY = 8 };

static void start_with(uint64_t seed, int special)
{
    memset(&t, 0, sizeof t);
    pair_init(&p, seed);
    p.no_stun = special & NO_STUN;
    p.two_regions = special & TWO_REGIONS;
    p.gateway = special & GATEWAY;
    for (int i = 0; i < 2; i++) {
        rmr_node_config cfg;
        rmr_node_callbacks cb = {0};
        cb.struct_size = sizeof cb;
        cb.user = &p.node[i];
        cb.on_accept = on_accept;
        cb.on_connected = on_connected;
        cb.on_readable = on_readable;
        cb.on_closed = on_closed;
        rmr_node_config_init(&cfg, sizeof cfg);
        cfg.callbacks = &cb;
        cfg.local_name = i == 0 ? "remora.sock" : NULL;
        cfg.no_udp = special & NO_UDP;
        pair_start(&p, i, &cfg);
    }
    pair_feed_netmaps(&p);
}

static bool has_reports(void *user)
{
    (void)user;
    return rmr_netcheck_get_report(p.node[0].n->netcheck) &&
           rmr_netcheck_get_report(p.node[1].n->netcheck);
}

static bool both_are_at_the_relay(void *user)
{
    return rmri_node_region_is_up(p.node[0].n, 1) &&
           rmri_node_region_is_up(p.node[1].n, 1) && has_reports(user);
}

static void start(uint64_t seed, bool udp)
{
    rmr_node_conn listener;
    start_with(seed, 0);
    p.udp = udp;
    assert_true(pair_run(&p, 10 * RMR_SEC, both_are_at_the_relay, NULL));
    assert_int_equal(rmr_node_listen(p.node[1].n, p.now, PORT, NULL, &listener),
                     RMR_OK);
    assert_int_equal(
        rmr_node_dial(p.node[0].n, p.now, "100.64.0.2", PORT, NULL, &t.out),
        RMR_OK);
    pair_drain(&p, 0);
}

static void stop(void)
{
    assert_false(t.closed);
    pair_free(&p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].alloc.live_blocks, 0);
}

/* For d, a byte every 200 ms. */
static void talk_for(rmr_dur d)
{
    rmr_time end = rmr_time_add(p.now, d);
    while (p.now < end) {
        size_t taken = 0;
        pair_run(&p, 200 * RMR_MS, NULL, NULL);
        if (!t.up)
            continue;
        assert_int_equal(rmr_node_send(p.node[0].n, p.now, t.out,
                                       rmr_bytes_str("x"), &taken),
                         RMR_OK);
        t.sent += taken;
        pair_drain(&p, 0);
    }
}

static rmr_path_info path(int i)
{
    rmr_path_peer peer;
    rmr_path_info info;
    assert_true(rmr_paths_find(p.node[i].n->paths, p.node[1 - i].n->node_public,
                               &peer));
    assert_int_equal(rmr_paths_info(p.node[i].n->paths, p.now, peer, &info),
                     RMR_OK);
    return info;
}

static bool is_direct(int i)
{
    rmr_path_info info = path(i);
    return info.has_best && info.trusted &&
           rmr_addr_ip_eq(&info.udp, &p.node[1 - i].addr);
}

/* All that was sent has come, but for what is under way. */
static void check_flow(void)
{
    assert_true(t.up);
    assert_true(t.sent > 0);
    assert_true(t.got + 10 >= t.sent);
}

/* ---- tests ------------------------------------------------------------- */

static void a_direct_path_is_found_and_the_relay_left(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start(seed, true);
        talk_for(5 * RMR_SEC);
        check_flow();
        assert_true(is_direct(0) && is_direct(1));
        size_t relayed = p.relayed;
        talk_for(20 * RMR_SEC);
        check_flow();
        assert_int_equal(p.relayed, relayed);
        stop();
    }
}

static void the_relay_carries_until_a_path_is_there(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start(seed, false);
        talk_for(10 * RMR_SEC);
        check_flow();
        assert_false(is_direct(0));
        assert_int_equal(p.direct, 0);
        p.udp = true;
        talk_for(10 * RMR_SEC);
        check_flow();
        assert_true(is_direct(0) && is_direct(1));
        stop();
    }
}

static void a_path_that_dies_is_left_and_taken_again(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start(seed, true);
        talk_for(5 * RMR_SEC);
        assert_true(is_direct(0));
        p.udp = false;
        talk_for(15 * RMR_SEC);
        check_flow(); /* trust ended after 6.5 s, and the relay took over */
        assert_false(is_direct(0));
        p.udp = true;
        talk_for(12 * RMR_SEC);
        check_flow();
        assert_true(is_direct(0));
        stop();
    }
}

static void the_path_follows_an_address(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        int moving = (int)(seed % 2);
        start(seed, true);
        talk_for(5 * RMR_SEC);
        assert_true(is_direct(0));
        size_t opens = p.node[moving].udp_opens;
        pair_set_addr(&p, moving, rmr_addr_v4(10, 0, 7, 7, 0));
        assert_true(p.node[moving].udp_opens > opens);
        talk_for(8 * RMR_SEC);
        check_flow();
        assert_true(is_direct(0) && is_direct(1));
        stop();
    }
}

/* The relay's connection was from the old address: it is dialled anew. */
static void the_relay_is_dialled_anew_from_another_address(void **st)
{
    (void)st;
    rmr_derp_stats before, after;
    start(3, false);
    talk_for(2 * RMR_SEC);
    rmr_derp_get_stats(p.node[0].n->regions->derp, &before);
    pair_set_addr(&p, 0, rmr_addr_v4(10, 0, 7, 7, 0));
    talk_for(5 * RMR_SEC);
    rmr_derp_get_stats(p.node[0].n->regions->derp, &after);
    assert_int_equal(after.connects, before.connects + 1);
    check_flow();
    stop();
}

static void the_same_links_again_change_nothing(void **st)
{
    (void)st;
    start(4, true);
    talk_for(5 * RMR_SEC);
    size_t opens = p.node[0].udp_opens;
    pair_set_addr(&p, 0, p.node[0].addr);
    assert_int_equal(p.node[0].udp_opens, opens);
    assert_true(is_direct(0));
    stop();
}

static void a_jump_of_the_clock_proves_all_paths_anew(void **st)
{
    (void)st;
    start(5, true);
    talk_for(5 * RMR_SEC);
    uint64_t wall = rmr_mc_wall(p.node[0].n->mc, p.now);
    pair_set_wall(&p, 0, wall + 60 * RMR_SEC); /* a correction */
    assert_true(is_direct(0));
    size_t opens = p.node[0].udp_opens;
    pair_set_wall(&p, 0, wall + 3600 * RMR_SEC); /* it slept */
    assert_true(p.node[0].udp_opens > opens);
    assert_false(is_direct(0));
    talk_for(5 * RMR_SEC);
    check_flow();
    assert_true(is_direct(0));
    stop();
}

static void a_broken_socket_is_mended_but_not_all_the_time(void **st)
{
    (void)st;
    start(6, true);
    talk_for(5 * RMR_SEC);
    size_t opens = p.node[0].udp_opens;
    p.node[0].send_err = RMR_E_IO;
    talk_for(20 * RMR_SEC);
    check_flow(); /* by the relay */
    size_t tries = p.node[0].udp_opens - opens;
    assert_in_range(tries, 2, 14); /* of both families, every 5 s */
    p.node[0].send_err = RMR_OK;
    talk_for(10 * RMR_SEC);
    check_flow();
    assert_true(is_direct(0));
    stop();
}

/* A peer may name any address, that of a broadcast too, to which the host sends
 * nothing.  That is no fault of the socket: bound anew, all other peers would
 * lose their paths, every five seconds. */
static void an_address_that_is_refused_breaks_no_socket(void **st)
{
    (void)st;
    rmr_node *n;
    start(6, true);
    talk_for(2 * RMR_SEC);
    n = p.node[0].n;
    size_t opens = p.node[0].udp_opens;
    p.node[0].refused = rmr_addr_v4(10, 0, 0, 255, 0);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, p.now));
    assert_int_equal(
        rmr_nm_frame_feed(
            n->nm, rmr_bytes_str("{\"PeersChangedPatch\":[{\"NodeID\":2,"
                                 "\"Endpoints\":[\"10.0.0.255:41641\"]}]}")),
        RMR_OK);
    assert_int_equal(rmr_nm_frame_end(n->nm), RMR_OK);
    for (int i = 0; i < 5; i++) {
        /* Its pings are due at the next packet, whatever the path is like. */
        rmr_paths_set_switches(n->paths, p.now, RMR_PATHS_NO_UDP);
        rmr_paths_set_switches(n->paths, p.now, 0);
        talk_for(6 * RMR_SEC);
        assert_true(is_direct(0));
    }
    assert_int_equal(p.node[0].udp_opens, opens);
    check_flow();
    stop();
}

/* Control tells another disco key: it was started anew, and our session is
 * of no use to it. */
static void a_restarted_peer_gets_a_new_handshake(void **st)
{
    (void)st;
    static char text[256];
    rmr_node *n;
    rmr_wg_peer_stats ws;
    start(7, true);
    talk_for(5 * RMR_SEC);
    n = p.node[0].n;
    rmr_wg_peer wp = rmr_wg_peer_find(n->wg, p.node[1].n->node_public);
    assert_int_equal(rmr_wg_peer_get_stats(n->wg, p.now, wp, &ws), RMR_OK);
    assert_true(ws.has_session);
    snprintf(text, sizeof text,
             "{\"PeersChangedPatch\":[{\"NodeID\":2,\"DiscoKey\":"
             "\"discokey:%064d\"}]}",
             7);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, p.now));
    assert_int_equal(rmr_nm_frame_feed(n->nm, rmr_bytes_str(text)), RMR_OK);
    assert_int_equal(rmr_nm_frame_end(n->nm), RMR_OK);
    assert_int_equal(rmr_wg_peer_get_stats(n->wg, p.now, wp, &ws), RMR_OK);
    assert_false(ws.has_session);
    talk_for(5 * RMR_SEC);
    check_flow();
    assert_int_equal(rmr_wg_peer_get_stats(n->wg, p.now, wp, &ws), RMR_OK);
    assert_true(ws.has_session);
    stop();
}

static void without_udp_no_socket_is_opened(void **st)
{
    (void)st;
    start_with(8, NO_UDP);
    p.udp = true;
    pair_run(&p, 30 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].udp_opens, 0);
    assert_true(rmri_node_region_is_up(p.node[0].n, 1));
    const rmr_netcheck_report *r =
        rmr_netcheck_get_report(p.node[0].n->netcheck);
    assert_non_null(r);
    assert_false(r->udp);
    /* The relay was asked by HTTP, how far it is. */
    assert_true(p.https > 0);
    assert_int_equal(r->n_latency, 1);
    stop();
}

static void the_home_is_where_a_relay_answers(void **st)
{
    (void)st;
    start_with(12, TWO_REGIONS);
    assert_int_equal(p.node[0].n->home, 0); /* it is measured first */
    assert_true(pair_run(&p, 10 * RMR_SEC, has_reports, NULL));
    assert_int_equal(p.node[0].n->home, 2);
    pair_run(&p, 2 * RMR_SEC, NULL, NULL);
    assert_true(rmri_node_region_is_up(p.node[0].n, 2));
    assert_int_equal(p.node[0].n->home_told, 2);
    stop();
}

/* Without control peers could not learn of another home. */
static void the_home_stays_while_control_is_away(void **st)
{
    (void)st;
    start_with(13, 0);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->home, 1);
    p.two_regions = true;
    pair_feed_netmaps(&p);
    pair_run(&p, 20 * RMR_SEC, NULL, NULL);
    /* Once more: in the first run the relay greeted, which is a sign of life. */
    rmri_node_netcheck_want(p.node[0].n, p.now, RMR_NETCHECK_WHY_USER);
    pair_run(&p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->home, 1);
    /* It is told (by the test) that control is there. */
    p.node[0].n->ctl_state = RMR_CTL_CONNECTED;
    rmri_node_regions_choose_home(p.node[0].n, p.now);
    assert_int_equal(p.node[0].n->home, 2);
    stop();
}

static void a_port_of_the_router_is_mapped_and_given_back(void **st)
{
    (void)st;
    rmr_addr mapped = rmr_addr_v4(203, 0, 113, 9, PAIR_MAPPED_PORT);
    start_with(16, GATEWAY);
    pair_run(&p, 10 * RMR_SEC, NULL, NULL);
    const rmr_endpoints *e = &p.node[0].n->endpoints;
    assert_true(e->n > 0);
    assert_true(rmr_addr_eq(&e->list[0].addr, &mapped));
    assert_int_equal(e->list[0].type, RMR_ENDPOINT_PORTMAPPED);
    assert_int_equal(rmr_netcheck_get_report(p.node[0].n->netcheck)->pmp,
                     RMR_NETCHECK_YES);
    assert_int_equal(p.unmapped, 0);
    rmr_node_stop(p.node[0].n, p.now);
    pair_drain(&p, 0);
    pair_run(&p, 3 * RMR_SEC, NULL, NULL);
    assert_true(p.node[0].stopped);
    assert_int_equal(p.unmapped, 1);
    stop();
}

static void control_may_ask_for_another_port(void **st)
{
    (void)st;
    start(14, true);
    talk_for(5 * RMR_SEC);
    assert_int_equal(rmri_node_udp_port(p.node[0].n), 41641);
    p.attribute = "randomize-client-port";
    pair_feed_netmaps(&p);
    talk_for(10 * RMR_SEC);
    check_flow();
    uint16_t port = rmri_node_udp_port(p.node[0].n);
    assert_int_not_equal(port, 41641);
    assert_true(is_direct(1));
    assert_int_equal(path(1).udp.port, port);
    /* The same again changes nothing. */
    size_t opens = p.node[0].udp_opens;
    pair_feed_netmaps(&p);
    assert_int_equal(p.node[0].udp_opens, opens);
    stop();
}

static void control_may_forbid_udp(void **st)
{
    (void)st;
    start(15, true);
    talk_for(5 * RMR_SEC);
    assert_true(is_direct(0));
    p.attribute = "only-tcp-443";
    pair_feed_netmaps(&p);
    assert_false(is_direct(0));
    size_t sent = p.relayed;
    talk_for(10 * RMR_SEC);
    check_flow();
    assert_false(is_direct(0));
    assert_true(p.relayed > sent);
    stop();
}

static void control_may_ask_for_path_mtus(void **st)
{
    (void)st;
    start(16, true);
    p.path_mtu = 1450;
    talk_for(5 * RMR_SEC);
    assert_int_equal(path(0).wire_mtu, RMR_PATH_WIRE_MTU); /* not probed */
    assert_true(p.longest <= RMR_PATH_WIRE_MTU);
    p.attribute = "peer-mtu-enable";
    pair_feed_netmaps(&p);
    talk_for(20 * RMR_SEC);
    check_flow();
    assert_true(is_direct(0));
    assert_int_equal(path(0).wire_mtu, 1400);
    assert_int_equal(p.longest, 9000);
    /* The same again changes nothing; without it all is as before. */
    size_t opens = p.node[0].udp_opens;
    pair_feed_netmaps(&p);
    assert_int_equal(p.node[0].udp_opens, opens);
    p.attribute = NULL;
    pair_feed_netmaps(&p);
    p.longest = 0;
    talk_for(20 * RMR_SEC);
    check_flow();
    assert_int_equal(path(0).wire_mtu, RMR_PATH_WIRE_MTU);
    assert_true(p.longest <= RMR_PATH_WIRE_MTU);
    stop();
}

static void path_mtus_are_not_probed_by_sockets_that_fragment(void **st)
{
    (void)st;
    start(17, true);
    p.no_whole = true;
    p.path_mtu = 1450;
    p.attribute = "peer-mtu-enable";
    pair_feed_netmaps(&p);
    talk_for(20 * RMR_SEC);
    check_flow();
    assert_true(is_direct(0));
    assert_int_equal(path(0).wire_mtu, RMR_PATH_WIRE_MTU);
    assert_true(p.longest <= RMR_PATH_WIRE_MTU);
    stop();
}

/* ---- the local endpoint ------------------------------------------------ */

static char answer[65536];
static size_t answer_len;

static bool is_answered(void *user)
{
    pair_conn *c = user;
    answer_len +=
        pair_read(c, answer + answer_len, sizeof answer - 1 - answer_len);
    answer[answer_len] = 0;
    return pair_is_eof(c);
}

static void ask(const char *request)
{
    pair_conn *c = pair_dial(&p, 0, 0, "remora.sock");
    assert_non_null(c);
    answer_len = 0;
    assert_int_equal(pair_write(c, request, strlen(request)), strlen(request));
    if (!pair_run(&p, 60 * RMR_SEC, is_answered, c))
        fail_msg("%s: %s", request, answer);
    pair_close(c);
}

#define ANSWERED(words)                                                        \
    do {                                                                       \
        if (!strstr(answer, words))                                            \
            fail_msg("no %s in: %s", words, answer);                           \
    } while (0)

static void the_local_endpoint_tells_of_paths(void **st)
{
    (void)st;
    start(9, true);
    ask("{\"op\":\"ping\",\"peer\":\"100.64.0.2\",\"count\":5,"
        "\"until_direct\":true}\n");
    ANSWERED("\"via\":\"10.0.0.2:41641\",\"direct\":true}");
    ANSWERED("\"done\":true");
    talk_for(3 * RMR_SEC);
    ask("{\"op\":\"status\"}\n");
    ANSWERED("\"CurAddr\":\"10.0.0.2:41641\"");
    ANSWERED("\"Addrs\":[\"10.0.0.1:41641\"]");
    ask("{\"op\":\"netcheck\"}\n");
    ANSWERED("\"UDP\":true");
    ANSWERED("\"GlobalV4\":\"10.0.0.1:41641\"");
    ANSWERED("\"Regions\":{\"1\":{\"RegionCode\":\"lab\"");
    ask("{\"op\":\"derp-map\"}\n");
    ANSWERED("{\"Regions\":{\"1\":{\"RegionID\":1,\"RegionCode\":\"lab\"");
    stop();
}

static void a_ping_ends_at_the_relay_where_there_is_no_other_way(void **st)
{
    (void)st;
    start(10, false);
    ask("{\"op\":\"ping\",\"peer\":\"100.64.0.2\",\"count\":3,"
        "\"until_direct\":true,\"timeout_ms\":500}\n");
    ANSWERED("\"via\":\"DERP(lab)\"}");
    ANSWERED("\"received\":3,\"direct\":false}");
    ask("{\"op\":\"ping\",\"peer\":\"100.64.0.2\",\"timeout_ms\":-1}\n");
    ANSWERED("timeout_ms must be");
    stop();
}

static void a_ping_of_a_routed_address_asks_its_router(void **st)
{
    rmr_node_prefs v;
    (void)st;
    start(11, false);
    p.routes = ",\"10.9.0.0/24\"";
    pair_feed_netmaps(&p);
    ask("{\"op\":\"ping\",\"peer\":\"10.9.0.1\"}\n");
    ANSWERED("\"error\":");
    rmr_node_prefs_init(&v, sizeof v);
    v.given = RMR_NODE_PREF_ACCEPT_ROUTES;
    v.accept_routes = true;
    assert_int_equal(rmr_node_set_prefs(p.node[0].n, p.now, &v), RMR_OK);
    ask("{\"op\":\"ping\",\"peer\":\"10.9.0.1\"}\n");
    ANSWERED("\"ip\":\"10.9.0.1\",\"name\":\"node1.ex.com\"");
    ANSWERED("\"received\":1");
    stop();
}

/* All is silent but the relay's keep-alives: it stays the preferred one. */
static void a_home_that_keeps_alive_stays_preferred(void **st)
{
    (void)st;
    start_with(18, 0);
    assert_true(pair_run(&p, 10 * RMR_SEC, both_are_at_the_relay, NULL));
    for (int i = 0; i < 6; i++) {
        pair_run(&p, 55 * RMR_SEC, NULL, NULL);
        pair_keep_alive(&p);
    }
    p.no_stun = p.no_https = true;
    ask("{\"op\":\"netcheck\"}\n");
    ANSWERED("\"RegionLatency\":{}");
    const rmr_netcheck_report *r =
        rmr_netcheck_get_report(p.node[0].n->netcheck);
    assert_int_equal(r->preferred_derp, 1);
    stop();
}

static void without_stun_the_network_is_still_measured(void **st)
{
    (void)st;
    start_with(11, NO_STUN);
    p.udp = true;
    pair_run(&p, 8 * RMR_SEC, NULL, NULL);
    const rmr_netcheck_report *r =
        rmr_netcheck_get_report(p.node[0].n->netcheck);
    assert_non_null(r);
    assert_false(r->udp);
    assert_int_equal(p.node[0].n->home, 1);
    assert_int_equal(p.node[0].n->endpoints.n, 1); /* its own address */
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_direct_path_is_found_and_the_relay_left),
        cmocka_unit_test(the_relay_carries_until_a_path_is_there),
        cmocka_unit_test(a_path_that_dies_is_left_and_taken_again),
        cmocka_unit_test(the_path_follows_an_address),
        cmocka_unit_test(the_relay_is_dialled_anew_from_another_address),
        cmocka_unit_test(the_same_links_again_change_nothing),
        cmocka_unit_test(a_jump_of_the_clock_proves_all_paths_anew),
        cmocka_unit_test(a_broken_socket_is_mended_but_not_all_the_time),
        cmocka_unit_test(an_address_that_is_refused_breaks_no_socket),
        cmocka_unit_test(a_restarted_peer_gets_a_new_handshake),
        cmocka_unit_test(without_udp_no_socket_is_opened),
        cmocka_unit_test(the_home_is_where_a_relay_answers),
        cmocka_unit_test(the_home_stays_while_control_is_away),
        cmocka_unit_test(a_port_of_the_router_is_mapped_and_given_back),
        cmocka_unit_test(control_may_ask_for_another_port),
        cmocka_unit_test(control_may_forbid_udp),
        cmocka_unit_test(control_may_ask_for_path_mtus),
        cmocka_unit_test(path_mtus_are_not_probed_by_sockets_that_fragment),
        cmocka_unit_test(the_local_endpoint_tells_of_paths),
        cmocka_unit_test(a_ping_ends_at_the_relay_where_there_is_no_other_way),
        cmocka_unit_test(a_ping_of_a_routed_address_asks_its_router),
        cmocka_unit_test(a_home_that_keeps_alive_stays_preferred),
        cmocka_unit_test(without_stun_the_network_is_still_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
