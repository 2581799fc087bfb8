/* The policy as clients of the server hear of it: whom they see, filters, SSH,
 * attributes, without memory, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pol_rig.h"
#include "pol_texts.h"

static pol_rig p;

/* ---- sight and filters --------------------------------------------------- */

static void users_are_apart_without_a_policy(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_member *a2 = pr_join(&p, "a2", p.alice, NULL, "");
    assert_int_equal(a->frames, 2); /* that it is there, and comes online */
    assert_int_equal(a->filters, 1);
    assert_int_equal(a->selves, 0); /* what is its own is as it was */
    assert_int_equal(b->frames, 0);
    assert_true(pr_sees(a, "a2") && pr_sees(a2, "a1"));
    assert_false(pr_sees(a, "b1") || pr_sees(b, "a1") || pr_sees(b, "a2"));
    pr_expect(a->filter,
              "[{\"SrcIPs\":[\"100.64.0.1\",\"100.64.0.3\",\"fd7a:115c:a1e0::1"
              "\",\"fd7a:115c:a1e0::3\"],\"DstPorts\":[{\"IP\":\"100.64.0.1\","
              "\"Ports\":{\"First\":0,\"Last\":65535}},{\"IP\":"
              "\"fd7a:115c:a1e0::1\",\"Ports\":{\"First\":0,\"Last\":65535}}]"
              "}]");
    assert_null(a->ssh);
    pr_free(&p);
}

static void a_policy_lets_one_reach_another_until_it_is_replaced(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", p.carol, NULL, "");
    pr_policy(&p, ACLS(SELF "," ACL("\"alice@\"", "\"bob@:22\"")));
    assert_true(pr_sees(a, "b1") && pr_sees(b, "a1"));
    assert_int_equal(a->frames, 1);
    assert_int_equal(a->filters, 0); /* nothing more comes in there */
    assert_int_equal(b->frames, 1);
    assert_int_equal(b->filters, 1);
    assert_int_equal(c->frames, 0);
    pr_expect(json_array_get(b->filter, 1),
              "{\"SrcIPs\":[\"100.64.0.1\",\"fd7a:115c:a1e0::1\"],\"DstPorts\":"
              "[{\"IP\":\"100.64.0.2\",\"Ports\":{\"First\":22,\"Last\":22}},{"
              "\"IP\":\"fd7a:115c:a1e0::2\",\"Ports\":{\"First\":22,\"Last\":22"
              "}}]}");
    /* Another port: both see each other as before. */
    pr_policy(&p, ACLS(SELF "," ACL("\"alice@\"", "\"bob@:80\"")));
    assert_int_equal(a->frames, 0);
    assert_int_equal(b->frames, 1);
    assert_int_equal(b->filters, 1);
    assert_int_equal(b->selves, 0);
    assert_int_equal(c->frames, 0);
    /* The same again in other words: nobody hears of it. */
    pr_policy(&p, "{ // the same\n\"acls\":[" SELF
                  "," ACL("\"alice@\"", "\"bob@:80\"") ",],}");
    assert_int_equal(a->frames + b->frames + c->frames, 0);
    pr_policy(&p, ACLS(SELF));
    assert_false(pr_sees(a, "b1") || pr_sees(b, "a1"));
    assert_int_equal(a->removed, 1);
    assert_int_equal(b->removed, 1);
    assert_int_equal(a->filters, 0);
    assert_int_equal(b->filters, 1);
    assert_int_equal(c->frames, 0);
    pr_policy(&p, "{\"acls\":[]}");
    pr_expect(a->filter, "[]");
    pr_expect(c->filter, "[]");
    pr_policy(&p, "{}");
    assert_true(pr_sees(a, "c1") && pr_sees(c, "b1"));
    pr_expect(a->filter,
              "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{"
              "\"First\":0,\"Last\":65535}}]}]");
    pr_free(&p);
}

static void who_joins_concerns_those_who_see_it(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", p.carol, NULL, "");
    pr_policy(&p, ACLS(ACL("\"alice@\"", "\"bob@:22\"")));
    pr_member *a2 = pr_join(&p, "a2", p.alice, NULL, "");
    assert_true(pr_sees(b, "a2") && pr_sees(a2, "b1"));
    assert_false(pr_sees(a, "a2") || pr_sees(a2, "a1"));
    assert_int_equal(b->filters, 1);
    assert_int_equal(a->frames + c->frames, 0);
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.1\",\"100.64.0.4\",\"fd7a:115c:a1e0::1\","
              "\"fd7a:115c:a1e0::4\"]");
    assert_int_equal(rmr_coord_node_remove(p.r.coord, a->id), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(b, "a1"));
    assert_int_equal(b->filters, 1);
    assert_int_equal(a2->frames + c->frames, 0);
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.4\",\"fd7a:115c:a1e0::4\"]");
    pr_free(&p);
}

static void groups_follow_their_users(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", p.carol, NULL, "");
    pr_policy(&p,
              "{\"groups\":{\"group:g\":[\"alice@\",\"zoe@\"]},\"acls\":[" ACL(
                  "\"group:g\"", "\"bob@:22\"") "]}");
    assert_true(pr_sees(a, "b1") && !pr_sees(c, "b1"));
    /* carol takes the name that the policy has; alice gives hers up. */
    assert_int_equal(rmr_coord_user_rename(p.r.coord, p.carol, "zoe"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(c, "b1") && pr_sees(b, "c1"));
    assert_int_equal(a->frames, 0);
    assert_int_equal(rmr_coord_user_rename(p.r.coord, p.alice, "eve"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(a, "b1") || pr_sees(b, "a1"));
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.3\",\"fd7a:115c:a1e0::3\"]");
    /* One that the policy has no name for: nobody looks. */
    assert_int_equal(rmr_coord_user_rename(p.r.coord, p.alice, "mallory"),
                     RMR_OK);
    pr_news(&p);
    assert_int_equal(b->frames + c->frames, 0);
    /* A second of a name's e-mail address makes it nobody's. */
    assert_int_equal(
        rmr_coord_user_describe(p.r.coord, p.alice, NULL, "zoe", NULL), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(c, "b1"));
    assert_int_equal(rmr_coord_node_remove(p.r.coord, a->id), RMR_OK);
    assert_int_equal(rmr_coord_user_remove(p.r.coord, p.alice), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(c, "b1"));
    pr_free(&p);
}

/* ---- SSH and attributes -------------------------------------------------- */

static void ssh_rules_come_in_the_map(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *t = pr_join(&p, "t1", 0, "tag:server", "");
    pr_policy(
        &p,
        "{" TAGS ",\"acls\":[" ACL(
            "\"alice@\"",
            "\"tag:server:22\"") "],\"ssh\":[{\"action\":\"accept\",\"src\":["
                                 "\"alice@\"],"
                                 "\"dst\":[\"tag:server\"],\"users\":[\"root\","
                                 "\"autogroup:nonroot\"]}]}");
    assert_null(a->ssh);
    pr_expect(t->ssh,
              "{\"rules\":[{\"principals\":[{\"nodeIP\":\"100.64.0.1\"},{"
              "\"nodeIP\":\"fd7a:115c:a1e0::1\"}],\"sshUsers\":{\"*\":\"=\","
              "\"root\":\"root\"},\"action\":{\"accept\":true,"
              "\"allowAgentForwarding\":true,\"allowLocalPortForwarding\":true,"
              "\"allowRemotePortForwarding\":true}}]}");
    pr_member *a2 = pr_join(&p, "a2", p.alice, NULL, "");
    assert_int_equal(
        json_array_size(json_object_get(
            json_array_get(json_object_get(t->ssh, "rules"), 0), "principals")),
        4);
    assert_null(a2->ssh);
    pr_policy(
        &p,
        "{" TAGS ",\"acls\":[" ACL(
            "\"alice@\"",
            "\"tag:server:22\"") "],\"ssh\":[{\"action\":\"check\",\"src\":["
                                 "\"autogroup:member\"],\"dst\":[\"autogroup:"
                                 "self\"],"
                                 "\"users\":[\"u\"]}]}");
    pr_expect(t->ssh, "{\"rules\":[]}");
    pr_expect(
        json_object_get(
            json_object_get(json_array_get(json_object_get(a->ssh, "rules"), 0),
                            "action"),
            "holdAndDelegate"),
        "\"http://127.0.0.1:8080/machine/ssh/action/$SRC_NODE_ID/to/"
        "$DST_NODE_ID?local_user=$LOCAL_USER\"");
    assert_int_equal(t->filters, 0);
    pr_free(&p);
}

/* What each node has, and one more. */
#define CAPS(name)                                                             \
    "{\"default-auto-update\":[false],\"https://tailscale.com/cap/ssh\":[],"   \
    "\"" name "\":null}"

static void attributes_come_in_the_nodes_own_map(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_policy(&p,
              "{\"acls\":[" SELF "],\"nodeAttrs\":[{\"target\":[\"alice@\"],"
              "\"attr\":[\"magicdns-aaaa\",\"default-auto-update\","
              "\"https://tailscale.com/cap/ssh\"]}]}");
    pr_expect(json_object_get(a->self, "CapMap"), CAPS("magicdns-aaaa"));
    assert_int_equal(a->frames, 1);
    assert_int_equal(a->filters, 0);
    assert_int_equal(b->frames, 0);
    pr_policy(&p, "{\"acls\":[" SELF "],\"randomizeClientPort\":true}");
    pr_expect(json_object_get(a->self, "CapMap"),
              CAPS("randomize-client-port"));
    pr_expect(json_object_get(b->self, "CapMap"),
              CAPS("randomize-client-port"));
    pr_free(&p);
}

/* ---- slow clients -------------------------------------------------------- */

/* While a client takes nothing, a peer comes and goes out of its sight. */
static void what_was_lost_before_it_was_said_is_not_said(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    p.r.stands = true;
    /* Something that is sent, and not taken. */
    assert_int_equal(rmr_coord_node_rename(p.r.coord, a->id, "aa"), RMR_OK);
    rig_turn(&p.r);
    assert_int_equal(rmr_coord_set_policy(p.r.coord, rmr_bytes_str("{}"), NULL),
                     RMR_OK);
    rig_turn(&p.r);
    assert_int_equal(
        rmr_coord_set_policy(p.r.coord, rmr_bytes_str(ACLS(SELF)), NULL),
        RMR_OK);
    rig_turn(&p.r);
    p.r.stands = false;
    rig_goes_on(&p.r);
    pr_news(&p);
    assert_false(pr_sees(a, "b1") || pr_sees(b, "aa"));
    pr_free(&p);
}

/* Between two turns a node comes into sight and leaves it again. */
static void who_comes_and_goes_at_once_is_not_said(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_policy(&p, "{" TAGS
                  ",\"acls\":[" ACL("\"alice@\"", "\"tag:server:22\"") "]}");
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    assert_int_equal(pr_tag(&p, b, "tag:server"), RMR_OK);
    assert_int_equal(pr_tag(&p, b, "tag:router"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(a, "b1"));
    assert_int_equal(a->frames, 0);
    /* And the other way: it is known, and stays so. */
    assert_int_equal(pr_tag(&p, b, "tag:server"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(a, "b1"));
    assert_int_equal(pr_tag(&p, b, "tag:router"), RMR_OK);
    assert_int_equal(pr_tag(&p, b, "tag:server"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(a, "b1"));
    pr_free(&p);
}

/* ---- no memory ----------------------------------------------------------- */

static void connect_again(pr_member *m)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064d\","
                   "\"Stream\":true}",
                   (int)(m - p.m) + 11);
    if (m->map->over) {
        json_object_clear(m->peers);
        m->map = rig_ask(&m->cl, "/machine/map", text);
        assert_int_equal(m->map->status, 200);
    }
}

/* Whatever lacks memory: the old policy is in force, or the new one; and each
 * client knows what it should, or has to come anew. */
static void without_memory_a_policy_is_the_old_one_or_the_new_one(void **s)
{
    static const char one[] = ACLS(SELF);
    static const char two[] = "{" TAGS ",\"acls\":[" SELF "," ACL(
        "\"alice@\"", "\"bob@:22\"") "],\"ssh\":[{\"action\":\"accept\","
                                     "\"src\":[\"bob@\"],\"dst\":["
                                     "\"bob@\"],\"users\":[\"root\"]}],"
                                     "\"nodeAttrs\":[{\"target\":["
                                     "\"bob@\"],\"attr\":[\"x\"]}],"
                                     "\"autoApprovers\":{\"routes\":{"
                                     "\"10.0.0.0/8\":[\"bob@\"]}}}";
    (void)s;
    unsigned kept = 0, taken = 0, broken = 0;
    for (size_t n = 1;; n++) {
        pr_begin(&p);
        pr_policy(&p, one);
        pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
        pr_member *b = pr_join(&p, "b1", p.bob, NULL,
                               ",\"RoutableIPs\":[\"10.1.0.0/16\"]");
        size_t failed = p.r.heap.failed;
        p.r.heap.fail_at = p.r.heap.calls + n;
        rmr_err e = rmr_coord_set_policy(p.r.coord, rmr_bytes_str(two), NULL);
        pr_news(&p);
        p.r.heap.fail_at = 0;
        bool over = p.r.heap.failed == failed;
        if (e != RMR_OK && (e != RMR_E_NOMEM || over))
            fail_msg("%zu: %s", n, rmr_err_name(e));
        rmr_coord_policy is;
        assert_int_equal(rmr_coord_get_policy(p.r.coord, &is), RMR_OK);
        assert_true(rmr_bytes_eq_str(is.text, e == RMR_OK ? two : one));
        kept += e != RMR_OK;
        taken += e == RMR_OK;
        broken += a->map->over || b->map->over;
        connect_again(a);
        connect_again(b);
        pr_news(&p);
        pr_news(&p);
        assert_int_equal(pr_sees(a, "b1"), e == RMR_OK);
        assert_int_equal(pr_sees(b, "a1"), e == RMR_OK);
        assert_int_equal(json_array_size(b->filter), e == RMR_OK ? 2 : 1);
        assert_int_equal(b->ssh != NULL, e == RMR_OK);
        pr_free(&p);
        if (over)
            break;
    }
    print_message("%u times the old one, %u the new one, %u streams ended\n",
                  kept, taken, broken);
    assert_true(kept > 30 && taken > 20 && broken > 10);
}

/* A change of a node that finds no memory is none, or all know of it. */
static void without_memory_a_change_is_all_or_none(void **s)
{
    const char *name = "tag:server";
    rmr_prefix route = {.family = RMR_AF_INET, .bits = 8, .ip = {10}};
    (void)s;
    for (int kind = 0; kind < 4; kind++) {
        for (size_t n = 1;; n++) {
            pr_begin(&p);
            pr_policy(
                &p,
                "{" TAGS
                ",\"acls\":[" ACL("\"alice@\"", "\"tag:server:22\"") "," ACL(
                    "\"alice@\"",
                    "\"10.0.0.0/8:*\"") "," ACL("\"carol@\"",
                                                "\"bob@:1\"") "]}");
            pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
            pr_member *b = pr_join(&p, "b1", p.bob, NULL,
                                   ",\"RoutableIPs\":[\"10.0.0.0/8\"]");
            pr_member *c = pr_join(&p, "c1", p.carol, NULL, "");
            assert_false(pr_sees(a, "b1"));
            size_t failed = p.r.heap.failed;
            p.r.heap.fail_at = p.r.heap.calls + n;
            rmr_err e =
                kind == 0 ? rmr_coord_node_set_tags(p.r.coord, b->id, &name, 1)
                : kind == 1
                    ? rmr_coord_node_approve(p.r.coord, b->id, &route, 1)
                : kind == 2 ? rmr_coord_user_rename(p.r.coord, p.bob, "rob")
                            : rmr_coord_node_remove(p.r.coord, b->id);
            rig_turn(&p.r);
            p.r.heap.fail_at = 0;
            bool over = p.r.heap.failed == failed;
            if (e != RMR_OK && (e != RMR_E_NOMEM || over))
                fail_msg("%d, %zu: %s", kind, n, rmr_err_name(e));
            pr_news(&p);
            connect_again(a);
            connect_again(c);
            pr_news(&p);
            bool done = e == RMR_OK;
            assert_int_equal(pr_sees(a, "b1"), done && kind < 2);
            assert_int_equal(pr_sees(c, "b1"), !done || kind == 1);
            pr_free(&p);
            if (over)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_apart_without_a_policy),
        cmocka_unit_test(a_policy_lets_one_reach_another_until_it_is_replaced),
        cmocka_unit_test(who_joins_concerns_those_who_see_it),
        cmocka_unit_test(groups_follow_their_users),
        cmocka_unit_test(ssh_rules_come_in_the_map),
        cmocka_unit_test(attributes_come_in_the_nodes_own_map),
        cmocka_unit_test(what_was_lost_before_it_was_said_is_not_said),
        cmocka_unit_test(who_comes_and_goes_at_once_is_not_said),
        cmocka_unit_test(without_memory_a_policy_is_the_old_one_or_the_new_one),
        cmocka_unit_test(without_memory_a_change_is_all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
