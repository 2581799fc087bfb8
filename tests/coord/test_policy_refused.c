/* What a policy and its table refuse, and the tests that a policy has of
 * itself. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pol_texts.h"

static void bad_users_and_nodes_are_refused(void **state)
{
    pol_world w;
    rmr_pol_node n;
    rmr_pol_user u;
    rmr_bytes tag = rmr_bytes_of("", 0);
    rmr_prefix wide = {{0}, RMR_AF_INET, 33};
    bool out;
    uint32_t peers = 0;
    rmr_pol_route may;
    rmr_jw jw;
    uint8_t room[8];
    (void)state;
    pol_world_new(&w, false);
    memset(&n, 0, sizeof n);
    memset(&u, 0, sizeof u);
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    assert_int_equal(rmr_pol_net_put_user(w.net, &u), RMR_E_INVAL);
    n.id = 99;
    n.v6 = rmr_addr_v4(100, 64, 0, 9, 0);
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    memset(&n.v6, 0, sizeof n.v6);
    n.v4 = rmr_addr_v4(100, 64, 0, 1, 0); /* a2 has it */
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INUSE);
    n.v4 = rmr_addr_v4(100, 64, 0, 9, 0);
    n.tags = &tag;
    n.n_tags = 1;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    n.n_tags = 0;
    n.routes = &wide;
    n.n_routes = 1;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    n.n_routes = 0;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_OK);
    assert_int_equal(rmr_pol_net_del_node(w.net, 98), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_net_del_user(w.net, 98), RMR_E_NOTFOUND);
    rmr_jw_init(&jw, rmr_buf_of(room, sizeof room));
    assert_int_equal(rmr_pol_write_filter(w.net, 98, &jw), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_write_ssh(w.net, 98, tag, &jw), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_sees(w.net, 98, 1, &out), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_each_peer(w.net, 98, pol_note_peer, &peers),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_may_route(w.net, 1, 4, &wide, &may),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_approves(w.net, 98, &wide, &out), RMR_E_NOTFOUND);
    assert_int_equal(jw.len, 0);
    pol_world_free(&w);
}

static void a_net_without_policy_keeps_users_apart(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, true);
    for (int i = 0; i < 2; i++) {
        pol_expect_text("a1", pol_peers(&w, "a1"), "{\"a2\":[]}");
        pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
        pol_expect_text("t1", pol_filter(&w, "t1"), "[]");
        pol_world_set(&w, "{}");
        assert_int_equal(rmr_pol_net_set(w.net, NULL), RMR_OK);
    }
    pol_world_free(&w);
}

static void a_name_of_two_users_is_nobodys(void **state)
{
    pol_world w;
    rmr_pol_user twin;
    rmr_pol_why why;
    rmr_pol *pol;
    rmr_pol_stats stats;
    static const char text[] = "{\"acls\":[{\"action\":\"accept\",\n"
                               "\"src\":[\"alice@\"],\"dst\":[\"*:*\"]}]}";
    (void)state;
    pol_world_new(&w, false);
    pol_world_set(&w, text);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{\"a1\":[],\"a2\":[]}");
    memset(&twin, 0, sizeof twin);
    twin.id = 9;
    twin.name = rmr_bytes_str("other");
    twin.email = rmr_bytes_str("alice");
    assert_int_equal(rmr_pol_net_put_user(w.net, &twin), RMR_OK);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
    rmr_pol_net_stats(w.net, &stats);
    assert_int_equal(stats.ambiguous, 1);
    assert_int_equal(rmr_pol_parse(&pol, &w.alloc, rmr_bytes_str(text), &why),
                     RMR_OK);
    assert_int_equal(rmr_pol_net_check(w.net, pol, &why), RMR_E_MALFORMED);
    assert_string_equal(why.text, "multiple users found: token \"alice@\"");
    assert_int_equal(why.line, 2);
    assert_int_equal(why.column, 8);
    rmr_pol_free(pol);
    twin.provider = rmr_bytes_str("alice"); /* counts more */
    assert_int_equal(rmr_pol_net_put_user(w.net, &twin), RMR_OK);
    pol_put_text(&w, "{\"id\":5,\"name\":\"a1\",\"ips\":[\"100.64.0.5\"]}");
    pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
    assert_int_equal(rmr_pol_net_del_user(w.net, 9), RMR_OK);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{\"a2\":[]}");
    rmr_pol_net_stats(w.net, &stats);
    assert_int_equal(stats.ambiguous, 0);
    pol_world_free(&w);
}

static void expect_tests(pol_world *w, const char *policy, const char *want)
{
    rmr_pol_why why;
    rmr_pol *pol;
    if (rmr_pol_parse(&pol, &w->alloc, rmr_bytes_str(policy), &why))
        fail_msg("%s", why.text);
    rmr_err err = rmr_pol_net_check(w->net, pol, &why);
    assert_string_equal(why.text, want);
    assert_int_equal(err, *want ? RMR_E_MALFORMED : RMR_OK);
    rmr_pol_free(pol);
}

static void tests_of_a_policy_are_run(void **state)
{
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    /* All of a source must reach it; alike for what is denied. */
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "", "100.64.0.1",
            "tag:server:22") "],"
                             "\"tests\":[{\"src\":\"alice@\",\"deny\":["
                             "\"tag:server:22\"]},{\"src\":\"100.64.0.1\","
                             "\"accept\":[\"tag:server:22\"],\"deny\":["
                             "\"tag:server:23\",\"tag:router:22\"]}]}",
        "");
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "\"proto\":\"udp\",", "alice@",
            "tag:server:50-60") "],"
                                "\"tests\":[{\"src\":\"alice@\",\"proto\":"
                                "\"tcp\","
                                "\"accept\":[\"tag:server:53\"]},"
                                "{\"src\":\"alice@\",\"proto\":\"udp\","
                                "\"deny\":[\"tag:server:53\"]},"
                                "{\"src\":\"alice@\",\"accept\":[\"tag:server:"
                                "53\"]},"
                                "{\"src\":\"ghost@\",\"deny\":[\"tag:server:"
                                "53\"]},"
                                "{\"src\":\"bob@\",\"accept\":[\"ghost@:1\"]}]"
                                "}",
        "test(s) failed:\n"
        "alice@ -> tag:server:53 (tcp): expected ALLOWED, got DENIED\n"
        "alice@ -> tag:server:53 (udp): expected DENIED, got ALLOWED\n"
        "ghost@: source \"ghost@\" resolved to no IP addresses\n"
        "bob@: error testing \"ghost@:1\": destination resolved to no "
        "IP addresses: \"ghost@:1\"");
    expect_tests(&w,
                 "{" SERVER "\"acls\":[" RULE(
                     "\"proto\":\"tcp\",", "bob@",
                     "tag:router:1") "],\"tests\":["
                                     "{\"src\":\"bob@\",\"accept\":[\"tag:"
                                     "router:1\"]}]}",
                 "");
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "\"proto\":\"sctp\",", "bob@",
            "tag:router:1") "],\"tests\":["
                            "{\"src\":\"bob@\",\"deny\":[\"tag:router:1\"]}]}",
        "");
    /* autogroup:self, and what may reach all. */
    expect_tests(&w,
                 "{\"acls\":[" RULE(
                     "", "autogroup:member",
                     "autogroup:self:22") "],\"tests\":["
                                          "{\"src\":\"alice@\",\"accept\":["
                                          "\"100.64.0.5:22\"],"
                                          "\"deny\":[\"100.64.0.2:22\",\"100."
                                          "64.0.5:23\"]}]}",
                 "");
    expect_tests(
        &w, "{\"tests\":[{\"src\":\"bob@\",\"accept\":[\"alice@:1\"]}]}", "");
    pol_world_free(&w);
}

static void ssh_tests_of_a_policy_are_run(void **state)
{
    pol_world w;
    static const char rules[] =
        "{" SERVER
        "\"ssh\":[{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":["
        "\"tag:server\"],\"users\":[\"localpart:*@EXAMPLE.test\",\"root\"]},"
        "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":["
        "\"autogroup:self\"],\"users\":[\"autogroup:nonroot\"]},"
        "{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
        "\"autogroup:self\"],\"users\":[\"ubuntu\"]}],\"sshTests\":[";
    char policy[2048];
    (void)state;
    pol_world_new(&w, false);
    snprintf(policy, sizeof policy,
             "%s{\"src\":\"bob@\",\"dst\":[\"tag:server\"],\"accept\":["
             "\"bob\",\"root\"],\"deny\":[\"alice\"]},"
             "{\"src\":\"alice@\",\"dst\":[\"autogroup:self\"],\"accept\":["
             "\"x\",\"ubuntu\"],\"check\":[\"ubuntu\"],\"deny\":[\"root\"]},"
             "{\"src\":\"alice@\",\"dst\":[\"100.64.0.2\"],"
             "\"deny\":[\"x\"]}]}",
             rules);
    expect_tests(&w, policy, "");
    snprintf(policy, sizeof policy,
             "%s{\"src\":\"alice@\",\"dst\":[\"tag:server\",\"tag:router\","
             "\"autogroup:self\"],\"accept\":[\"root\"],\"check\":[\"x\"]},"
             "{\"src\":\"bob@\",\"dst\":[\"ghost@\"],\"deny\":[\"bob\"]},"
             "{\"src\":\"bob@\",\"dst\":[\"tag:server\"],\"deny\":["
             "\"bob\"]}]}",
             rules);
    expect_tests(&w, policy,
                 "test(s) failed:\n"
                 "alice@ -> tag:server: user \"root\": expected ALLOWED\n"
                 "alice@ -> tag:server: user \"x\": expected CHECKED\n"
                 "alice@ -> tag:router: user \"root\": expected ALLOWED\n"
                 "alice@ -> tag:router: user \"x\": expected CHECKED\n"
                 "alice@ -> autogroup:self: user \"root\": expected ALLOWED\n"
                 "alice@ -> autogroup:self: user \"x\": expected CHECKED\n"
                 "bob@: error testing \"ghost@\": destination resolved to no "
                 "IP addresses\n"
                 "bob@ -> tag:server: user \"bob\": expected DENIED");
    pol_world_free(&w);
}

static void a_full_buffer_is_told(void **state)
{
    pol_world w;
    static char whole[4096];
    (void)state;
    pol_world_new(&w, true);
    pol_world_set(&w, "{\"acls\":[" RULE("", "*", "*:*") "]}");
    size_t len = pol_filter_text(w.net, 1, whole, sizeof whole);
    for (size_t n = 0; n <= len; n++) {
        uint8_t *room = malloc(n ? n : 1);
        rmr_jw jw;
        size_t got;
        rmr_jw_init(&jw, rmr_buf_of(room, n));
        assert_int_equal(rmr_pol_write_filter(w.net, 1, &jw), RMR_OK);
        assert_int_equal(rmr_jw_end(&jw, &got),
                         n < len ? RMR_E_BUFSIZE : RMR_OK);
        free(room);
    }
    pol_world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_users_and_nodes_are_refused),
        cmocka_unit_test(a_net_without_policy_keeps_users_apart),
        cmocka_unit_test(a_name_of_two_users_is_nobodys),
        cmocka_unit_test(tests_of_a_policy_are_run),
        cmocka_unit_test(ssh_tests_of_a_policy_are_run),
        cmocka_unit_test(a_full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
