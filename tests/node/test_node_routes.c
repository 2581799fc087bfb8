/* The table of peers' routes: which are used, whose packet goes where, and who
 * may send in whose name; from netmaps that are fed as text. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static lab l;

/* A peer's JSON: its id is a digit, which its key and address end in. */
#define PEER(id, more)                                                         \
    "{\"ID\":" id ",\"StableID\":\"st" id "\",\"Name\":\"n" id ".ex.com.\","   \
    "\"Key\":\"nodekey:"                                                       \
    "222222222222222222222222222222222222222222222222222222222222222" id       \
    "\",\"Addresses\":[\"100.64.0." id "/32\"],\"AllowedIPs\":[\"100.64.0." id \
    "/32\"" more "],\"MachineAuthorized\":true}"

/* What they route, beside their own addresses. */
#define TWO ",\"10.0.0.0/8\",\"0.0.0.0/0\",\"::/0\",\"100.64.99.1/32\""
#define THREE ",\"10.1.0.0/16\",\"192.0.2.9/32\",\"10.2.0.1/16\""
#define FOUR ",\"0.0.0.0/0\",\"fd7a:115c:a1e0::53/128\""

typedef struct wish { /* what the program wants of routes */
    const rmr_prefix *advertise;
    size_t n_advertise;
    bool accept;
    const char *exit_node;
} wish;

static rmr_err set(const wish *w)
{
    rmr_node_prefs p;
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_ADVERTISE_ROUTES | RMR_NODE_PREF_ACCEPT_ROUTES |
              RMR_NODE_PREF_EXIT_NODE;
    p.advertise_routes = w->advertise;
    p.n_advertise_routes = w->n_advertise;
    p.accept_routes = w->accept;
    p.exit_node = w->exit_node;
    return rmr_node_set_prefs(l.node, l.now, &p);
}

static void begin(const wish *w)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    cfg.control_url = "http://127.0.0.1:1";
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_turn(&l);
    assert_int_equal(set(w), RMR_OK);
    rmri_node_cache_overtaken(l.node);
    rmr_nm_stream_begin(l.node->nm);
    lab_feed(&l, "{\"Node\":" PEER("1", "") ",\"Peers\":[" PEER(
                     "2", TWO) "," PEER("3", THREE) "," PEER("4", FOUR) "]}");
}

static int setup(void **state)
{
    (void)state;
    lab_init(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

/* A packet of IPv4, as far as one looks at it. */
static rmr_bytes packet(const char *from, const char *to)
{
    static uint8_t p[20];
    memset(p, 0, sizeof p);
    p[0] = 0x45;
    memcpy(p + 12, ip(from).ip, 4);
    memcpy(p + 16, ip(to).ip, 4);
    return rmr_bytes_of(p, sizeof p);
}

static uint64_t user_of(rmr_wg_peer wp)
{
    rmr_wg_peer_stats st;
    if (!wp.id)
        return 0;
    assert_int_equal(rmr_wg_peer_get_stats(l.node->wg, l.now, wp, &st), RMR_OK);
    return st.user;
}

/* Whom a packet goes to; 0: nobody. */
static uint64_t goes_to(const char *to)
{
    return user_of(
        rmri_node_peers_route(l.node, l.now, packet("100.64.0.1", to)));
}

/* What WireGuard itself would say. */
static uint64_t wg_says(const char *to)
{
    return user_of(rmr_wg_route(l.node->wg, packet("100.64.0.1", to)));
}

static void nothing_is_used_that_was_not_asked_for(void **state)
{
    const wish none = {0};
    (void)state;
    begin(&none);
    assert_int_equal(goes_to("100.64.0.2"), 2);
    assert_int_equal(goes_to("100.64.0.4"), 4);
    assert_int_equal(goes_to("10.1.2.3"), 0);
    assert_int_equal(goes_to("192.0.2.9"), 0);
    assert_int_equal(goes_to("198.51.100.1"), 0);
    assert_int_equal(goes_to("100.64.99.1"), 2); /* a service's, always */
    assert_int_equal(l.node->routes.n, 2);
}

static void the_longest_prefix_of_all_peers_wins(void **state)
{
    const wish yes = {.accept = true};
    (void)state;
    begin(&yes);
    assert_int_equal(goes_to("10.200.0.1"), 2); /* WireGuard knows it now */
    assert_int_equal(wg_says("10.1.2.3"), 2);
    assert_int_equal(goes_to("10.1.2.3"), 3); /* and the other only here */
    assert_int_equal(wg_says("10.1.2.3"), 3);
    assert_int_equal(goes_to("192.0.2.9"), 3);    /* a single one outside */
    assert_int_equal(goes_to("10.2.0.1"), 2);     /* host bits: left out */
    assert_int_equal(goes_to("198.51.100.1"), 0); /* no exit node */
    assert_int_equal(l.node->routes.n, 5);
}

static void nobody_sends_in_the_name_of_another(void **state)
{
    const wish yes = {.accept = true, .exit_node = "n2"};
    (void)state;
    begin(&yes);
    rmr_wg_peer two = rmri_node_peers_route(l.node, l.now,
                                            packet("100.64.0.1", "100.64.0.2"));
    assert_int_equal(user_of(two), 2);
    static const struct {
        const char *from;
        bool ok;
    } cases[] = {
        {"100.64.0.2", true}, {"10.9.9.9", true},    {"8.8.8.8", true},
        {"10.1.2.3", false},  {"100.64.0.3", false}, {"192.0.2.9", false},
        {"10.9.9.9", true},   {"100.64.99.1", true}, {"100.64.0.9", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(rmri_node_routes_source(
                             l.node, two, packet(cases[i].from, "100.64.0.1")),
                         cases[i].ok);
}

static void an_exit_node_by_any_of_its_names(void **state)
{
    static const char *const names[] = {"n2", "n2.ex.com", "100.64.0.2", "st2"};
    const wish first = {.exit_node = "n4"};
    (void)state;
    begin(&first);
    assert_int_equal(goes_to("8.8.8.8"), 4);
    for (size_t i = 0; i < 4; i++) {
        const wish w = {.exit_node = names[i]};
        assert_int_equal(set(&w), RMR_OK);
        assert_string_equal(l.node->routes.exit_id, "st2");
        assert_int_equal(goes_to("8.8.8.8"), 2);
        assert_int_equal(goes_to("10.1.2.3"), 2); /* not accepted: all else */
    }
    assert_int_equal(goes_to("100.64.0.9"), 0); /* nobody's */
    const rmr_addr v6 = ip("2001:db8::1");
    assert_non_null(rmri_node_routes_find(l.node, &v6));
    const wish four = {.exit_node = "st4"};
    assert_int_equal(set(&four), RMR_OK);
    assert_int_equal(goes_to("8.8.8.8"), 4);
    /* It lacks a family: that is a black hole, not a way by another one. */
    assert_null(rmri_node_routes_find(l.node, &v6));
    assert_int_equal(rmri_node_routes_reach(l.node, &v6), RMR_E_UNREACHABLE);
}

static void an_exit_node_that_goes_is_waited_for(void **state)
{
    const wish w = {.exit_node = "n2"};
    (void)state;
    begin(&w);
    assert_int_equal(goes_to("8.8.8.8"), 2);
    lab_feed(&l, "{\"PeersRemoved\":[2]}");
    const rmr_addr out = ip("8.8.8.8");
    assert_int_equal(goes_to("8.8.8.8"), 0);
    assert_int_equal(rmri_node_routes_reach(l.node, &out), RMR_E_UNREACHABLE);
    /* Another one of its name is not the one that was chosen. */
    lab_feed(
        &l,
        "{\"PeersChanged\":[{\"ID\":5,\"StableID\":\"st5\",\"Name\":"
        "\"n2.ex.com.\",\"Key\":\"nodekey:33333333333333333333333333333333333"
        "33333333333333333333333333333\",\"Addresses\":[\"100.64.0.5/32\"],"
        "\"AllowedIPs\":[\"100.64.0.5/32\",\"0.0.0.0/0\"],"
        "\"MachineAuthorized\":true}]}");
    assert_int_equal(goes_to("8.8.8.8"), 0);
    lab_feed(&l, "{\"PeersChanged\":[" PEER("2", ",\"0.0.0.0/0\"") "]}");
    assert_int_equal(goes_to("8.8.8.8"), 2);
}

static void a_route_that_moves_is_moved_at_once(void **state)
{
    const wish yes = {.accept = true};
    (void)state;
    begin(&yes);
    assert_int_equal(goes_to("10.1.2.3"), 3);
    assert_int_equal(goes_to("100.64.0.4"), 4); /* WireGuard knows both */
    lab_feed(&l, "{\"PeersChanged\":[" PEER("3", "") "," PEER(
                     "4", ",\"10.1.0.0/16\"") "]}");
    assert_int_equal(goes_to("10.1.2.3"), 4);
    assert_int_equal(wg_says("10.1.2.3"), 4);
    /* Back, and told in the other order: both have it for a moment. */
    lab_feed(&l, "{\"PeersChanged\":[" PEER("3", ",\"10.1.0.0/16\"") "]}");
    assert_int_equal(goes_to("10.1.2.3"), 3);
    assert_int_equal(wg_says("10.1.2.3"), 3);
    lab_feed(&l, "{\"PeersChanged\":[" PEER("4", "") "]}");
    assert_int_equal(goes_to("10.1.2.3"), 3);
    assert_int_equal(wg_says("10.1.2.3"), 3);
}

static void what_is_not_accepted_any_more_leaves_wireguard(void **state)
{
    const wish yes = {.accept = true}, no = {.accept = false};
    (void)state;
    begin(&yes);
    assert_int_equal(goes_to("10.1.2.3"), 3);
    assert_int_equal(wg_says("10.1.2.3"), 3);
    assert_int_equal(set(&no), RMR_OK);
    assert_int_equal(wg_says("10.1.2.3"), 0);
    assert_int_equal(wg_says("100.64.0.3"), 3);
    assert_int_equal(goes_to("10.1.2.3"), 0);
}

static void names_of_4via6_are_addresses(void **state)
{
    const wish none = {0};
    static const struct {
        const char *name, *ip; /* NULL: it is no such name */
    } cases[] = {
        {"10-1-2-3-via-7", "fd7a:115c:a1e0:b1a:0:7:a01:203"},
        {"10-1-2-3-via-4294967295.ex.com",
         "fd7a:115c:a1e0:b1a:ffff:ffff:a01:203"},
        {"10-1-2-3-via-4294967296", NULL},
        {"10-1-2-3-via-7.other.com", NULL},
        {"10-1-2-256-via-7", NULL},
        {"10-1-2-via-7", NULL},
        {"10-1-2-3-4-via-7", NULL},
        {"10-1-2-3-via-", NULL},
        {"10-1-2-3-vi", NULL},
        {"10-1-2-3", NULL},
        {"10--2-3-via-7", NULL},
        {"", NULL},
        {"via-7", NULL},
    };
    (void)state;
    begin(&none);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rmr_addr got;
        assert_int_equal(rmri_node_routes_name(l.node, cases[i].name, &got),
                         cases[i].ip != NULL);
        if (!cases[i].ip)
            continue;
        const rmr_addr want = ip(cases[i].ip);
        assert_true(rmr_addr_eq(&got, &want));
    }
}

static void bad_wishes_are_refused_whole(void **state)
{
    const wish good = {.accept = true, .exit_node = "n2"};
    const rmr_prefix bits = {{10, 1, 2, 3}, RMR_AF_INET, 16};
    const wish bad = {.advertise = &bits, .n_advertise = 1};
    char long_name[300];
    (void)state;
    begin(&good);
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const wish too_long = {.exit_node = long_name};
    assert_int_equal(set(&bad), RMR_E_INVAL);
    assert_int_equal(set(&too_long), RMR_E_INVAL);
    assert_true(l.node->routes.accept);
    assert_string_equal(rmri_node_exit_text(l.node), "n2");
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    cfg.advertise_routes = &bits;
    cfg.n_advertise_routes = 1;
    rmr_node *n = NULL;
    assert_int_equal(rmr_node_new(&n, &l.env, &cfg, l.now), RMR_E_INVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static uint64_t peer_to(const char *text, rmr_err want)
{
    rmr_nm_node peer = {0};
    rmr_addr at;
    assert_int_equal(rmri_node_routes_peer_to(l.node, text, &peer, &at), want);
    return peer.id;
}

static void a_routed_address_leads_to_its_peer(void **state)
{
    wish w = {.accept = true, .exit_node = "n4"};
    (void)state;
    begin(&w);
    assert_int_equal(peer_to("10.1.0.1", RMR_OK), 3);
    assert_int_equal(peer_to("10.3.0.1", RMR_OK), 2);
    assert_int_equal(peer_to("192.0.2.1", RMR_OK), 4);
    peer_to("2001:db8::1", RMR_E_UNREACHABLE); /* it lacks the family */
    peer_to("100.64.77.1", RMR_E_NOTFOUND);
    peer_to("127.0.0.1", RMR_E_NOTFOUND);
    peer_to("n9.ex.com", RMR_E_NOTFOUND);
}

static void without_routes_no_address_leads_to_a_peer(void **state)
{
    wish w = {0};
    (void)state;
    begin(&w);
    peer_to("10.1.0.1", RMR_E_NOTFOUND);
    peer_to("192.0.2.1", RMR_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_is_used_that_was_not_asked_for),
        T(a_routed_address_leads_to_its_peer),
        T(without_routes_no_address_leads_to_a_peer),
        T(the_longest_prefix_of_all_peers_wins),
        T(nobody_sends_in_the_name_of_another),
        T(an_exit_node_by_any_of_its_names),
        T(an_exit_node_that_goes_is_waited_for),
        T(a_route_that_moves_is_moved_at_once),
        T(what_is_not_accepted_any_more_leaves_wireguard),
        T(names_of_4via6_are_addresses),
        T(bad_wishes_are_refused_whole),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
