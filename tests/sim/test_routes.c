/* Subnet routes and exit nodes on simulated hosts: n0 routes 192.168.1.0/24,
 * where a server is, for n1, which is elsewhere. */
#include "sim_pair.h"
#include "toy.h"

#include "node_internal.h"
#include "ns_pkt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <string.h>

#define SERVER "192.168.1.7"

enum { STREAMS = 1, DATAGRAMS = 2 }; /* of the server */

typedef struct scene {
    pair p;
    toy server;
    world_node *second; /* another router; NULL: none */
    size_t idle; /* connections of the router that nobody made: quad-100's */
} scene;

static const rmr_prefix home_net = {{192, 168, 1, 0}, RMR_AF_INET, 24};
static const rmr_prefix site_7 = {{0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x0b,
                                   0x1a, 0, 0, 0, 7, 192, 168, 1, 0},
                                  RMR_AF_INET6,
                                  120};
static rmr_prefix offers[2];

static void routers_and_a_client(int number, rmr_node_config *c)
{
    if (number == 1) {
        c->accept_routes = true;
        return;
    }
    offers[0] = home_net;
    offers[1] = site_7;
    c->advertise_routes = offers;
    c->n_advertise_routes = 2;
}

static void an_exit_node_and_a_client(int number, rmr_node_config *c)
{
    if (number == 1)
        c->exit_node = "n0";
    else
        c->advertise_exit_node = true;
}

static void a_client_that_accepts_nothing(int number, rmr_node_config *c)
{
    routers_and_a_client(number, c);
    c->accept_routes = false;
}

static void begin(scene *s, void (*configure)(int, rmr_node_config *),
                  bool two_routers)
{
    rmr_sim_gate_config g[2];
    rmr_sim_host_config h;
    const rmr_addr at = addr(SERVER);
    memset(s, 0, sizeof *s);
    pair_easy(g);
    s->p.configure = configure;
    pair_init(&s->p, 7, g);
    rmr_sim_host_config_init(&h, sizeof h);
    h.addrs = &at;
    h.n_addrs = 1;
    h.up.delay = h.down.delay = RMR_MS;
    toy_init(&s->server, s->p.w.sim, s->p.home[0], &h);
    s->server.credits = s->server.echoes = true;
    toy_listen(&s->server, STREAMS, addr("0.0.0.0:80"));
    toy_open(&s->server, DATAGRAMS, addr("0.0.0.0:7"));
    if (two_routers)
        s->second = world_node_add(&s->p.w, s->p.home[0], "192.168.1.3", NULL);
    assert_true(world_all_run(&s->p.w, 30 * RMR_SEC));
    if (s->second)
        world_approve(s->second, false);
    world_run(&s->p.w, 10 * RMR_SEC);
    s->idle = s->p.a->node->conns.used;
}

static rmr_err dial(scene *s, const char *host, uint16_t port)
{
    world_node *b = s->p.b;
    b->is_connected = b->is_closed = false;
    rmr_err err = rmr_node_dial(b->node, rmr_sim_now(s->p.w.sim), host, port,
                                NULL, &b->conn);
    assert_int_equal(rmr_sim_poke(s->p.w.sim, b->program), RMR_OK);
    world_run(&s->p.w, 5 * RMR_SEC);
    return err;
}

static rmr_node_stats stats(const world_node *n)
{
    rmr_node_stats st;
    rmr_node_get_stats(n->node, &st);
    return st;
}

/* The stream that the server accepted last. */
static uint64_t accepted(const scene *s)
{
    const toy_heard *h = toy_last(&s->server, RMR_IO_ACCEPTED, STREAMS);
    return h ? h->child : 0;
}

/* ---- TCP --------------------------------------------------------------- */

static void a_stream_goes_through_both_ways(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, false);
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    assert_true(s.p.b->is_connected);
    assert_int_equal(stats(s.p.a).routed_tcp, 1);
    world_send(s.p.b, 300000);
    world_run(&s.p.w, 20 * RMR_SEC);
    assert_int_equal(s.server.bytes, 300000);
    /* The client shuts its direction; the server still answers. */
    rmr_time now = rmr_sim_now(s.p.w.sim);
    assert_int_equal(rmr_node_shutdown(s.p.b->node, now, s.p.b->conn), RMR_OK);
    assert_int_equal(rmr_sim_poke(s.p.w.sim, s.p.b->program), RMR_OK);
    world_run(&s.p.w, 5 * RMR_SEC);
    assert_int_equal(toy_count(&s.server, RMR_IO_EOF, accepted(&s)), 1);
    assert_false(s.p.b->is_closed);
    toy_write(&s.server, accepted(&s), "goodbye", 7);
    world_run(&s.p.w, 5 * RMR_SEC);
    assert_int_equal(s.p.b->got, 7);
    toy_simple(&s.server, RMR_IO_CLOSE, accepted(&s));
    world_run(&s.p.w, 5 * RMR_SEC);
    assert_true(s.p.b->is_closed);
    assert_int_equal(s.p.b->why, RMR_OK);
    assert_int_equal(s.p.a->node->conns.used, s.idle);
    world_free(&s.p.w);
}

static void a_reset_is_passed_on(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, false);
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    toy_simple(&s.server, RMR_IO_ABORT, accepted(&s));
    world_run(&s.p.w, 5 * RMR_SEC);
    assert_true(s.p.b->is_closed);
    assert_int_equal(s.p.b->why, RMR_E_RESET);
    assert_int_equal(s.p.a->node->conns.used, s.idle);
    world_free(&s.p.w);
}

static void a_closed_port_is_refused(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, false);
    assert_int_equal(dial(&s, SERVER, 81), RMR_OK);
    assert_true(s.p.b->is_closed);
    assert_int_equal(s.p.b->why, RMR_E_REFUSED);
    assert_int_equal(s.p.a->node->conns.used, s.idle);
    world_free(&s.p.w);
}

static void of_4via6_the_last_part_is_dialled(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, false);
    const rmr_addr from = addr("fd7a:115c:a1e0::99"),
                   to = addr("[fd7a:115c:a1e0:b1a:0:7:c0a8:107]:80");
    rmr_addr target;
    assert_non_null(rmri_node_routes_find(s.p.b->node, &to));
    assert_true(rmri_node_routes_offers(s.p.a->node, &from, &to));
    assert_true(rmri_node_routes_target(&to, &target));
    const rmr_addr want = addr(SERVER ":80");
    assert_true(rmr_addr_eq(&target, &want));
    /* Not this host itself, whatever the way it is written. */
    const rmr_addr loopback = addr("[fd7a:115c:a1e0:b1a:0:7:7f00:1]:80");
    assert_false(rmri_node_routes_target(&loopback, &target));
    world_free(&s.p.w);
}

static void accept_routes(scene *s, bool accept)
{
    rmr_node_prefs prefs;
    rmr_node_prefs_init(&prefs, sizeof prefs);
    prefs.given = RMR_NODE_PREF_ACCEPT_ROUTES;
    prefs.accept_routes = accept;
    assert_int_equal(
        rmr_node_set_prefs(s->p.b->node, rmr_sim_now(s->p.w.sim), &prefs),
        RMR_OK);
}

static void without_accepting_routes_none_is_used(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, a_client_that_accepts_nothing, false);
    assert_int_equal(dial(&s, SERVER, 80), RMR_E_NOTFOUND);
    accept_routes(&s, true);
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    assert_true(s.p.b->is_connected);
    accept_routes(&s, false);
    assert_int_equal(dial(&s, SERVER, 80), RMR_E_NOTFOUND);
    world_free(&s.p.w);
}

static void another_router_takes_over(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, true);
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    assert_int_equal(stats(s.p.a).routed_tcp, 1);
    world_approve(s.p.a, false);
    world_approve(s.second, true);
    world_run(&s.p.w, RMR_SEC);
    /* What went through the old one is not known to the new one, which says so
     * at once. */
    world_send(s.p.b, 100);
    world_run(&s.p.w, 2 * RMR_SEC);
    assert_true(s.p.b->is_closed);
    assert_int_equal(s.p.b->why, RMR_E_RESET);
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    assert_true(s.p.b->is_connected);
    assert_int_equal(stats(s.p.a).routed_tcp, 1);
    assert_int_equal(stats(s.second).routed_tcp, 1);
    world_send(s.p.b, 50000);
    world_run(&s.p.w, 10 * RMR_SEC);
    assert_int_equal(s.server.bytes, 50000);
    world_free(&s.p.w);
}

static const rmr_prefix wide = {{192, 168, 0, 0}, RMR_AF_INET, 16};

static void one_router_in_the_range_of_another(int number, rmr_node_config *c)
{
    c->accept_routes = number == 1;
    c->advertise_routes = number == 0 ? &wide : &home_net;
    c->n_advertise_routes = number == 1 ? 0 : 1;
}

/* WireGuard knows n0 alone, whose prefix is shorter. */
static void a_router_sends_in_nobody_elses_name(void **state)
{
    static scene s; /* too big for the stack */
    static const char *const from[] = {"192.168.2.9:5", "192.168.1.9:5"};
    (void)state;
    begin(&s, one_router_in_the_range_of_another, true);
    world_approve(s.second, true);
    assert_int_equal(dial(&s, "100.64.0.1", 1), RMR_OK);
    for (size_t i = 0; i < 2; i++) {
        uint8_t p[64];
        const rmr_addr src = addr(from[i]), to = addr("100.64.0.2:9");
        size_t len = pkt_udp(p, &src, &to, "x", 1);
        assert_int_equal(rmr_ns_raw_send(s.p.a->node->ns,
                                         rmr_sim_now(s.p.w.sim),
                                         rmr_bytes_of(p, len)),
                         RMR_OK);
        s.p.a->node->dirty = true;
        assert_int_equal(rmr_sim_poke(s.p.w.sim, s.p.a->program), RMR_OK);
        world_run(&s.p.w, RMR_SEC);
        assert_int_equal(stats(s.p.b).dropped_source, i);
    }
    world_free(&s.p.w);
}

/* ---- UDP and echo ------------------------------------------------------ */

static void datagrams_and_pings_come_back(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, routers_and_a_client, false);
    rmr_time now = rmr_sim_now(s.p.w.sim);
    const rmr_addr to = addr(SERVER ":7"), host = addr(SERVER);
    rmr_ns_sock sock;
    rmr_ns *ns = s.p.b->node->ns;
    assert_int_equal(rmr_ns_udp_connect(ns, NULL, &to, NULL, &sock), RMR_OK);
    assert_int_equal(
        rmr_ns_udp_send(ns, now, sock, NULL, NULL, rmr_bytes_str("hello")),
        RMR_OK);
    s.p.b->node->dirty = true;
    uint64_t before = stats(s.p.b).rx_pkts;
    assert_int_equal(rmr_sim_poke(s.p.w.sim, s.p.b->program), RMR_OK);
    world_run(&s.p.w, 2 * RMR_SEC);
    assert_true(toy_got(&s.server, DATAGRAMS, "hello"));
    assert_int_equal(stats(s.p.a).routed_udp, 1);
    assert_int_equal(stats(s.p.b).rx_pkts, before + 1);
    assert_int_equal(s.p.a->node->conns.used, s.idle + 1);
    assert_int_equal(rmr_ns_ping(ns, rmr_sim_now(s.p.w.sim), &host, 4, 5,
                                 rmr_bytes_str("odd")),
                     RMR_OK);
    s.p.b->node->dirty = true;
    assert_int_equal(rmr_sim_poke(s.p.w.sim, s.p.b->program), RMR_OK);
    world_run(&s.p.w, 2 * RMR_SEC);
    assert_int_equal(stats(s.p.a).routed_echo, 1);
    assert_int_equal(stats(s.p.b).rx_pkts, before + 2);
    world_run(&s.p.w, 121 * RMR_SEC); /* the flow is silent */
    assert_int_equal(s.p.a->node->conns.used, s.idle);
    assert_int_equal(rmr_ns_close(ns, rmr_sim_now(s.p.w.sim), sock), RMR_OK);
    world_free(&s.p.w);
}

/* ---- exit nodes -------------------------------------------------------- */

static void an_exit_node_carries_the_rest_but_not_its_lan(void **state)
{
    static scene s; /* too big for the stack */
    (void)state;
    begin(&s, an_exit_node_and_a_client, false);
    /* The control server's own port, on the Internet. */
    assert_int_equal(dial(&s, "203.0.113.250", 80), RMR_OK);
    assert_true(s.p.b->is_connected);
    assert_int_equal(stats(s.p.a).routed_tcp, 1);
    assert_string_equal(s.p.b->node->routes.exit_id, "s1");
    assert_int_equal(dial(&s, SERVER, 80), RMR_OK);
    assert_false(s.p.b->is_connected);
    assert_int_equal(accepted(&s), 0);
    assert_int_equal(stats(s.p.a).routed_tcp, 1);
    /* Not offered any more: a black hole, and the choice stays. */
    world_approve(s.p.a, false);
    world_run(&s.p.w, RMR_SEC);
    assert_int_equal(dial(&s, "203.0.113.250", 80), RMR_E_UNREACHABLE);
    assert_string_equal(s.p.b->node->routes.exit_id, "s1");
    world_approve(s.p.a, true);
    world_run(&s.p.w, RMR_SEC);
    assert_int_equal(dial(&s, "203.0.113.250", 80), RMR_OK);
    assert_true(s.p.b->is_connected);
    world_free(&s.p.w);
}

/* ---- the table --------------------------------------------------------- */

static rmr_prefix prefix(const char *text)
{
    rmr_prefix p;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str(text), &p), RMR_OK);
    return p;
}

static void a_prefix_without_holes_is_all_but_them(void **state)
{
    static test_alloc heap;
    rmr_alloc a = test_alloc_table(&heap);
    nd_prefixes holes = {0}, out = {0};
    rmr_prefix p = prefix("10.0.0.0/8");
    (void)state;
    static const char *const cut[] = {"10.1.2.3/32", "10.128.0.0/9",
                                      "172.16.0.0/12"};
    for (size_t i = 0; i < 3; i++) {
        const rmr_prefix h = prefix(cut[i]);
        assert_int_equal(rmri_node_prefixes_add(&holes, &a, &h), RMR_OK);
    }
    assert_int_equal(rmri_node_prefixes_add_without(&out, &a, &p, &holes),
                     RMR_OK);
    static const struct {
        const char *ip;
        bool in;
    } cases[] = {{"10.1.2.3", false},      {"10.1.2.2", true},
                 {"10.1.2.4", true},       {"10.0.0.0", true},
                 {"10.127.255.255", true}, {"10.128.0.0", false},
                 {"11.0.0.0", false},      {"172.16.0.1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rmr_addr ip = addr(cases[i].ip);
        assert_int_equal(rmri_node_prefixes_have(&out, &ip), cases[i].in);
    }
    assert_int_equal(out.n, 23); /* a level a bit */
    rmri_node_prefixes_free(&out, &a);
    rmri_node_prefixes_free(&holes, &a);
    assert_int_equal(heap.live_blocks, 0);
}

static void what_no_router_carries_is_not_offered(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {{"10.0.0.0/8", true},
                 {"10.0.0.1/8", false},
                 {"0.0.0.0/0", false},
                 {"::/0", false},
                 {"127.0.0.0/8", false},
                 {"224.0.0.0/4", false},
                 {"169.254.0.0/16", false},
                 {"fe80::/64", false},
                 {"fd55::/64", true},
                 {"fd7a:115c:a1e0:b1a::/64", false},
                 {"fd7a:115c:a1e0:b1a:0:7:a00:0/104", true},
                 {"192.0.2.1/32", true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rmr_prefix p = prefix(cases[i].text);
        assert_int_equal(rmr_node_can_advertise(&p), cases[i].ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_through_both_ways),
        cmocka_unit_test(a_reset_is_passed_on),
        cmocka_unit_test(a_closed_port_is_refused),
        cmocka_unit_test(of_4via6_the_last_part_is_dialled),
        cmocka_unit_test(without_accepting_routes_none_is_used),
        cmocka_unit_test(another_router_takes_over),
        cmocka_unit_test(a_router_sends_in_nobody_elses_name),
        cmocka_unit_test(datagrams_and_pings_come_back),
        cmocka_unit_test(an_exit_node_carries_the_rest_but_not_its_lan),
        cmocka_unit_test(a_prefix_without_holes_is_all_but_them),
        cmocka_unit_test(what_no_router_carries_is_not_offered),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
