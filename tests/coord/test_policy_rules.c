/* What rules become: attributes, routes, filters, SSH. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pol_texts.h"

static void tags_go_to_their_owners(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w, "{\"groups\":{\"group:b\":[\"bob@example.test\"]},"
                      "\"tagOwners\":{\"tag:x\":[\"alice@\"],"
                      "\"tag:y\":[\"tag:x\",\"tag:z\"],"
                      "\"tag:z\":[\"tag:y\",\"group:b\"],\"tag:w\":[],"
                      "\"tag:server\":[],\"tag:v\":[\"tag:server\"]}}");
    static const struct {
        uint64_t user;
        const char *tag;
        bool may;
    } cases[] = {{1, "tag:x", true},  {2, "tag:x", false}, {1, "tag:y", true},
                 {2, "tag:y", true},  {1, "tag:z", true},  {2, "tag:z", true},
                 {1, "tag:w", false}, {3, "tag:x", false}, {0, "tag:x", false},
                 {1, "tag:q", false}, {1, "tag:v", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(rmr_pol_user_may_tag(w.net, cases[i].user,
                                              rmr_bytes_str(cases[i].tag)),
                         cases[i].may);
    assert_true(
        rmr_pol_defines_tag(rmr_pol_net_policy(w.net), rmr_bytes_str("tag:w")));
    assert_true(rmr_pol_node_may_tag(w.net, pol_world_id(&w, "t1"),
                                     rmr_bytes_str("tag:v")));
    assert_false(rmr_pol_node_may_tag(w.net, pol_world_id(&w, "r1"),
                                      rmr_bytes_str("tag:v")));
    assert_false(rmr_pol_node_may_tag(w.net, 98, rmr_bytes_str("tag:v")));
    pol_world_free(&w);
}

static bool add_attr(void *user, rmr_bytes name)
{
    json_array_append_new(user, json_stringn((const char *)name.ptr, name.len));
    return json_array_size(user) < 4;
}

static void attributes_come_once_in_order(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w, "{\"randomizeClientPort\":true,\"nodeAttrs\":["
                      "{\"target\":[\"alice@\"],\"attr\":[\"z\",\"a\"]},"
                      "{\"target\":[\"*\"],\"attr\":[\"a\",\"b\",\"z\",\"c\"]},"
                      "{\"target\":[\"100.64.0.2\"],\"attr\":[]}]}");
    json_t *got = json_array();
    assert_int_equal(rmr_pol_each_attr(w.net, 5, add_attr, got), RMR_OK);
    pol_expect_text("a1", got, "[\"randomize-client-port\",\"z\",\"a\",\"b\"]");
    got = json_array();
    assert_int_equal(rmr_pol_each_attr(w.net, 2, add_attr, got), RMR_OK);
    pol_expect_text("b1", got, "[\"randomize-client-port\",\"a\",\"b\",\"z\"]");
    pol_world_free(&w);
}

static rmr_pol_route route(pol_world *w, const char *viewer, uint64_t owner,
                           const char *prefix)
{
    rmr_prefix p;
    rmr_pol_route out;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str(prefix), &p), RMR_OK);
    assert_int_equal(
        rmr_pol_may_route(w->net, pol_world_id(w, viewer), owner, &p, &out),
        RMR_OK);
    return out;
}

static void via_sends_by_the_first_router_that_is_named(void **state)
{
    pol_world w;
    static const char net8[] = "192.168.8.0/24";
    static const char via[] =
        "{\"tagOwners\":{\"tag:router\":[],\"tag:other\":[]},\"grants\":["
        "{\"src\":[\"alice@\"],\"dst\":[\"192.168.0.0/16\","
        "\"autogroup:internet\"],\"via\":[\"tag:router\"],\"ip\":[\"*\"]}";
    char policy[512];
    (void)state;
    pol_world_new(&w, true);
    snprintf(policy, sizeof policy, "%s]}", via);
    pol_world_set(&w, policy);
    pol_put_text(&w, "{\"id\":10,\"ips\":[\"100.64.0.10\"],\"tags\":["
                     "\"tag:router\"],\"approved\":[\"192.168.8.0/24\"],"
                     "\"announced\":[\"0.0.0.0/0\"]}");
    pol_put_text(&w, "{\"id\":3,\"ips\":[\"100.64.0.3\"],\"tags\":["
                     "\"tag:other\"],\"approved\":[\"192.168.8.0/24\"],"
                     "\"announced\":[\"0.0.0.0/0\"]}");
    assert_int_equal(route(&w, "a1", 4, net8), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 10, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "a1", 3, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "b1", 4, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "a1", 4, "0.0.0.0/0"), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 10, "0.0.0.0/0"), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 3, "0.0.0.0/0"), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "b1", 4, "0.0.0.0/0"), RMR_POL_ROUTE_NO);
    /* Another rule for the same: as any route. */
    snprintf(policy, sizeof policy,
             "%s,{\"src\":[\"alice@\"],\"dst\":[\"192.168.8.1\"],"
             "\"ip\":[\"*\"]}]}",
             via);
    pol_world_set(&w, policy);
    assert_int_equal(route(&w, "a1", 4, net8), RMR_POL_ROUTE_PRIMARY);
    assert_int_equal(route(&w, "a1", 3, net8), RMR_POL_ROUTE_PRIMARY);
    pol_world_free(&w);
}

static void via_needs_an_exit_node_for_the_internet(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w, "{\"tagOwners\":{\"tag:router\":[]},\"grants\":[{"
                      "\"src\":[\"alice@\"],\"dst\":[\"autogroup:internet\"],"
                      "\"via\":[\"tag:router\"],\"ip\":[\"*\"]}]}");
    pol_expect_text("r1", pol_filter(&w, "r1"), "[]");
    pol_expect_text("r1", pol_peers(&w, "r1"), "{}");
    pol_world_free(&w);
    /* With one it stands once, behind what the node routes. */
    pol_world_new(&w, true);
    pol_world_set(&w, "{\"tagOwners\":{\"tag:router\":[]},\"grants\":[{"
                      "\"src\":[\"alice@\"],\"dst\":[\"autogroup:internet\","
                      "\"192.168.8.0/24\",\"autogroup:internet\"],"
                      "\"via\":[\"tag:router\"],\"ip\":[\"*\"]}]}");
    json_t *got = pol_filter(&w, "r1");
    json_t *dsts = json_object_get(json_array_get(got, 0), "DstPorts");
    assert_true(json_array_size(dsts) > 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(dsts, 0), "IP")),
        "192.168.8.0/24");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(dsts, 1), "IP")),
        "0.0.0.0/5");
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(dsts, json_array_size(dsts) - 1), "IP")),
        "2000::/3");
    for (size_t i = 2; i < json_array_size(dsts); i++)
        assert_string_not_equal(
            json_string_value(json_object_get(json_array_get(dsts, i), "IP")),
            "0.0.0.0/5");
    json_decref(got);
    pol_world_free(&w);
}

#define ALL_BUT                                                                \
    "[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\","         \
    "\"fd7a:115c:a1e0::/48\",\"192.168.8.0/24\",\"192.168.20.0/24\""
#define ALL_LIST                                                               \
    "[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\","         \
    "\"fd7a:115c:a1e0::/48\""
#define TO(ports)                                                              \
    "{\"IP\":\"100.64.0.2\",\"Ports\":{\"First\":" ports ",\"Last\":" ports "}}"

/* Beside "*" each text stands once, and lists that differ stay two rules. */
static void sources_beside_all_stand_once(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w,
                  "{\"tagOwners\":{\"tag:server\":[]},\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"*\",\"192.168.8.0/24\","
                  "\"100.64.0.3\",\"tag:server\",\"100.64.0.3/32\"],"
                  "\"dst\":[\"100.64.0.2:1\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":["
                  "\"100.64.0.2:2\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":["
                  "\"100.64.0.2:3\"]}]}");
    /* The route is of the set as well as a route: two texts, as Headscale. */
    pol_expect_text(
        "b1", pol_filter(&w, "b1"),
        "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\","
        "\"100.115.94.0-100.127.255.255\",\"192.168.8.0/24\","
        "\"fd7a:115c:a1e0::/48\",\"192.168.8.0/24\",\"192.168.20.0/24\","
        "\"100.64.0.3\",\"fd7a:115c:a1e0::3\"],"
        "\"DstPorts\":[" TO("1") "]},"
                                 "{\"SrcIPs\":" ALL_BUT "],"
                                 "\"DstPorts\":[" TO("2") "," TO("3") "]}]");
    pol_world_free(&w);
}

/* ... wherever the document has them. */
static void grants_come_before_acls(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(
        &w,
        "{\"acls\":[" RULE(
            "", "tag:server",
            "100.64.0.2:1") "],"
                            "\"tagOwners\":{\"tag:server\":[]},\"grants\":[{"
                            "\"src\":["
                            "\"100.64.0.1\"],\"dst\":[\"100.64.0.2\"],\"ip\":["
                            "\"2\"]}]}");
    pol_expect_text("b1", pol_filter(&w, "b1"),
                    "[{\"SrcIPs\":[\"100.64.0.1\"],\"DstPorts\":[" TO(
                        "2") "]},"
                             "{\"SrcIPs\":[\"100.64.0.3\",\"fd7a:115c:a1e0::"
                             "3\"],\"DstPorts\":[" TO("1") "]}]");
    pol_world_free(&w);
}

/* Equal sources by different names are one rule; "*" with more is another. */
static void rules_are_joined_by_what_their_names_stand_for(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w,
                  "{\"groups\":{\"group:a\":[\"alice@\",\"ghost@\"]},\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"alice@\"],"
                  "\"dst\":[\"autogroup:self:5\"]},"
                  "{\"action\":\"accept\",\"src\":[\"group:a\"],"
                  "\"dst\":[\"100.64.0.5:6\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],"
                  "\"dst\":[\"100.64.0.5:7\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.3\"],"
                  "\"dst\":[\"100.64.0.5:8\"]}]}");
    json_t *got = pol_filter(&w, "a1");
    assert_int_equal(json_array_size(got), 3);
    assert_int_equal(
        json_array_size(json_object_get(json_array_get(got, 0), "DstPorts")),
        3);
    json_decref(got);
    pol_world_free(&w);
}

/* "*" stands for approved routes, wherever their node is. */
static void a_router_outside_is_seen_by_its_routes(void **state)
{
    pol_world w;
    bool sees;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w, "{\"acls\":[" RULE("", "*", "alice@:22") "]}");
    pol_put_text(&w, "{\"id\":20,\"ips\":[\"10.64.0.4\"],\"approved\":["
                     "\"10.9.0.0/16\"]}");
    pol_put_text(&w, "{\"id\":21,\"ips\":[\"10.64.0.5\"]}");
    assert_int_equal(pol_peer_bits(w.net, 5) >> 20 & 3, 1);
    assert_int_equal(pol_peer_bits(w.net, 20), 1 << 1 | 1 << 5);
    assert_int_equal(pol_peer_bits(w.net, 21), 0);
    assert_int_equal(rmr_pol_sees(w.net, 5, 20, &sees), RMR_OK);
    assert_true(sees);
    assert_int_equal(rmr_pol_sees(w.net, 5, 21, &sees), RMR_OK);
    assert_false(sees);
    pol_world_free(&w);
}

static void capabilities_are_narrowed_and_kept_as_they_are(void **state)
{
    pol_world w;
    char policy[4096], big[1200];
    (void)state;
    pol_world_new(&w, false);
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "\\u0001\\n\xc3\xa9", 10); /* escapes stay escapes */
    big[sizeof big - 1] = '\0';
    snprintf(policy, sizeof policy,
             "{\"grants\":[{\"src\":[\"bob@\"],\"dst\":[\"*\","
             "\"192.168.8.128/25\"],\"app\":{\"a.b/c\":[\"%s\",{\"k\":[1.50,"
             "false,[],{}]}],\"tailscale.com/cap/relay\":null}}]}",
             big);
    pol_world_set(&w, policy);
    json_t *got = pol_filter(&w, "r1");
    assert_int_equal(json_array_size(got), 1);
    json_t *grants = json_object_get(json_array_get(got, 0), "CapGrant");
    assert_int_equal(json_array_size(grants), 2);
    snprintf(policy, sizeof policy,
             "{\"a.b/c\":[\"%s\",{\"k\":[1.5,false,[],{}]}],"
             "\"tailscale.com/cap/relay\":null}",
             big);
    pol_expect_text(
        "caps",
        json_incref(json_object_get(json_array_get(grants, 1), "CapMap")),
        policy);
    pol_expect_text(
        "all", json_incref(json_object_get(json_array_get(grants, 0), "Dsts")),
        "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    pol_expect_text(
        "routed",
        json_incref(json_object_get(json_array_get(grants, 1), "Dsts")),
        "[\"192.168.8.128/25\"]");
    json_decref(got);
    /* The companion goes back from all that "*" is. */
    got = pol_filter(&w, "b1");
    assert_int_equal(json_array_size(got), 2);
    pol_expect_text(
        "companion",
        json_incref(json_object_get(json_array_get(got, 1), "SrcIPs")),
        ALL_LIST ",\"192.168.8.128/25\",\"192.168.8.0/24\","
                 "\"192.168.20.0/24\"]");
    json_decref(got);
    pol_world_free(&w);
}

static void equal_lists_beside_all_are_joined(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w,
                  "{\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.3\"],"
                  "\"dst\":[\"bob@:1\"]},"
                  "{\"action\":\"accept\",\"src\":[\"100.64.0.3/32\",\"*\"],"
                  "\"dst\":[\"bob@:2\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.9\"],"
                  "\"dst\":[\"bob@:3\"]},"
                  "{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],"
                  "\"dst\":[\"bob@:4\"]},"
                  "{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],"
                  "\"dst\":[\"bob@:5\"]},"
                  "{\"action\":\"accept\",\"src\":[\"bob@\"],"
                  "\"dst\":[\"autogroup:self:6\"]}]}");
    json_t *got = pol_filter(&w, "b1");
    assert_int_equal(json_array_size(got), 4);
    json_decref(got);
    pol_world_free(&w);
}

static void tagged_sources_may_ssh(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    pol_put_text(&w, "{\"id\":4,\"ips\":[\"100.64.0.4\"],\"tags\":["
                     "\"tag:router\",\"tag:second\"]}");
    pol_world_set(&w, "{" SERVER "\"ssh\":[{\"action\":\"accept\",\"src\":["
                      "\"tag:router\",\"bob@\"],\"dst\":[\"tag:server\"],"
                      "\"users\":[\"x\",\"x\"]},"
                      "{\"action\":\"accept\",\"src\":[\"tag:router\"],"
                      "\"dst\":[\"tag:server\"],\"users\":["
                      "\"localpart:*@a.b\",\"localpart:y@a.b\"]}]}");
    json_t *got = pol_ssh_of(&w, "t1");
    json_t *rules = json_object_get(got, "rules");
    assert_int_equal(json_array_size(rules), 2);
    pol_expect_text(
        "both",
        json_incref(json_object_get(json_array_get(rules, 0), "principals")),
        "[{\"nodeIP\":\"100.64.0.2\"},{\"nodeIP\":\"fd7a:115c:a1e0::2\"},"
        "{\"nodeIP\":\"100.64.0.4\"},{\"nodeIP\":\"100.64.0.4\"}]");
    pol_expect_text(
        "users",
        json_incref(json_object_get(json_array_get(rules, 0), "sshUsers")),
        "{\"root\":\"\",\"x\":\"x\"}");
    pol_expect_text(
        "tagged",
        json_incref(json_object_get(json_array_get(rules, 1), "principals")),
        "[{\"nodeIP\":\"100.64.0.4\"},{\"nodeIP\":\"100.64.0.4\"}]");
    pol_expect_text(
        "localpart",
        json_incref(json_object_get(json_array_get(rules, 1), "sshUsers")),
        "{\"root\":\"\",\"localpart:y@a.b\":\"localpart:y@a.b\"}");
    json_decref(got);
    pol_world_free(&w);
}

static void check_rules_say_how_old_a_proof_may_be(void **state)
{
    pol_world w;
    rmr_dur p = 7;
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(
        &w, "{" SERVER
            "\"ssh\":[{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"root\"],\"checkPeriod\":\"1.5h\"},"
            "{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"autogroup:nonroot\"]},"
            "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"root\"]},"
            "{\"action\":\"check\",\"src\":[\"bob@\"],\"dst\":["
            "\"autogroup:self\"],\"users\":[\"x\"],\"checkPeriod\":"
            "\"always\"}]}");
    rmr_bytes root = rmr_bytes_str("root"), x = rmr_bytes_str("x");
    assert_int_equal(rmr_pol_ssh_check(w.net, 98, 3, root, &p), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 3, root, &p), RMR_E_DENIED);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 4, root, &p), RMR_E_DENIED);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 1, x, &p), RMR_E_DENIED);
    assert_int_equal(p, 7);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 3, root, &p), RMR_OK);
    assert_int_equal(p, 5400 * RMR_SEC);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 3, x, &p), RMR_OK);
    assert_int_equal(p, 12 * 3600 * RMR_SEC);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 2, x, &p), RMR_OK);
    assert_int_equal(p, 0);
    pol_world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_go_to_their_owners),
        cmocka_unit_test(attributes_come_once_in_order),
        cmocka_unit_test(via_sends_by_the_first_router_that_is_named),
        cmocka_unit_test(a_router_outside_is_seen_by_its_routes),
        cmocka_unit_test(via_needs_an_exit_node_for_the_internet),
        cmocka_unit_test(sources_beside_all_stand_once),
        cmocka_unit_test(grants_come_before_acls),
        cmocka_unit_test(rules_are_joined_by_what_their_names_stand_for),
        cmocka_unit_test(capabilities_are_narrowed_and_kept_as_they_are),
        cmocka_unit_test(equal_lists_beside_all_are_joined),
        cmocka_unit_test(tagged_sources_may_ssh),
        cmocka_unit_test(check_rules_say_how_old_a_proof_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
