/* Tags and routes: who may have them, and what the policy approves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "pol_rig.h"
#include "pol_texts.h"

static pol_rig p;

/* ---- tags ---------------------------------------------------------------- */

static void tags_are_those_of_the_policy(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *a2 = pr_join(&p, "a2", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    assert_int_equal(pr_tag(&p, a2, "tag:server"), RMR_E_DENIED);
    pr_policy(&p, "{" TAGS ",\"acls\":[" SELF
                  "," ACL("\"bob@\"", "\"tag:server:443\"") "]}");
    assert_int_equal(pr_tag(&p, a2, "tag:db"), RMR_E_DENIED);
    assert_int_equal(pr_tag(&p, a2, "tag:server"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(a, "a2") || pr_sees(a2, "a1"));
    assert_true(pr_sees(b, "a2") && pr_sees(a2, "b1"));
    assert_int_equal(a->filters, 1); /* its own nodes are one less */
    assert_int_equal(b->filters, 0);
    pr_expect(json_object_get(a2->self, "Tags"), "[\"tag:server\"]");
    /* By a key any tag may come, with a definition or without. */
    pr_member *t = pr_join(&p, "t1", 0, "tag:server", "");
    pr_member *x = pr_join(&p, "x1", 0, "tag:other", "");
    assert_true(pr_sees(b, "t1") && pr_sees(t, "b1"));
    assert_false(pr_sees(b, "x1") || pr_sees(x, "b1"));
    /* A tag that is gone from the policy stays on the node, and stands for
     * nothing. */
    pr_policy(&p, ACLS(SELF));
    assert_false(pr_sees(b, "t1") || pr_sees(b, "a2"));
    rmr_coord_node n;
    assert_int_equal(rmr_coord_node_get(p.r.coord, a2->id, &n), RMR_OK);
    assert_string_equal(n.tags[0], "tag:server");
    pr_free(&p);
}

static rig_client waiting;

/* Asks for a login with that tag; its id is in p.r.login. */
static rig_answer *ask_login(uint8_t machine, const char *tags)
{
    char text[512];
    if (!waiting.h2)
        assert_true(rig_join(&waiting, &p.r, machine, 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\","
                   "\"Hostinfo\":{\"Hostname\":\"w\",\"RequestTags\":[%s]}}",
                   90u + machine, tags);
    rig_answer *a = rig_ask(&waiting, "/machine/register", text);
    assert_int_equal(a->status, 200);
    return a;
}

static void tags_that_are_asked_for_need_an_owner(void **s)
{
    uint64_t node;
    rmr_coord_node n;
    char answer[4096], body[256];
    (void)s;
    rmr_coord_config cfg;
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    cfg.node_expiry = 3600 * RMR_SEC;
    pr_init(&p, &cfg);
    pr_users(&p);
    pr_policy(&p, "{\"groups\":{\"group:ops\":[\"carol@\"]},\"tagOwners\":{"
                  "\"tag:server\":[\"alice@\"],\"tag:db\":[\"tag:server\","
                  "\"group:ops\"]},\"acls\":[]}");
    (void)ask_login(60, "\"tag:server\",\"tag:db\",\"tag:db\"");
    /* bob owns neither: it goes on waiting. */
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.bob, &node),
        RMR_E_DENIED);
    (void)snprintf(body, sizeof body, "{\"user\":\"bob\",\"authId\":\"%s\"}",
                   p.r.login);
    assert_int_equal(pr_rest(&p, "POST", "/api/v1/auth/register", body, answer,
                             sizeof answer),
                     400);
    assert_non_null(strstr(answer,
                           "requested tags [tag:server tag:db tag:db] are "
                           "invalid or not permitted"));
    /* carol owns one of them. */
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.carol, &node),
        RMR_E_DENIED);
    /* alice both: the second by the first. */
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.alice, &node), RMR_OK);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 2);
    assert_string_equal(n.tags[0], "tag:db");
    assert_string_equal(n.tags[1], "tag:server");
    assert_int_equal(n.expiry_unix_ns, 0);
    /* It logs in anew, with another key and other tags: the same node. */
    uint64_t first = node;
    (void)ask_login(61, "\"tag:db\"");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.alice, &node), RMR_OK);
    assert_int_equal(node, first);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 1);
    /* Without tags it is the user's again, and expires. */
    (void)ask_login(62, "");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.alice, &node), RMR_OK);
    assert_int_equal(node, first);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 0);
    assert_true(n.expiry_unix_ns > 0);
    /* A tag that no policy can have is refused, whoever asks. */
    (void)ask_login(63, "\"tag:x y\"");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, p.alice, &node),
        RMR_E_DENIED);
    rig_part(&waiting);
    memset(&waiting, 0, sizeof waiting);
    pr_free(&p);
}

/* One machine, two users; both of its nodes become tagged. */
static void tagged_nodes_of_one_machine_are_two(void **s)
{
    char key[2][RMR_COORD_KEY_TEXT], text[512];
    uint64_t id, ids[2];
    rmr_coord_node n;
    rig_client cl;
    const char *name = "tag:server";
    (void)s;
    pr_begin(&p);
    pr_policy(&p, "{" TAGS ",\"acls\":[]}");
    assert_true(rig_join(&cl, &p.r, 77, 138));
    for (unsigned i = 0; i < 2; i++) {
        rmr_coord_key_wish w = {.user = i ? p.bob : p.alice, .reusable = true};
        assert_int_equal(rmr_coord_key_add(p.r.coord, &w, key[i], &id), RMR_OK);
        (void)snprintf(text, sizeof text,
                       "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\","
                       "\"Auth\":{\"AuthKey\":\"%s\"},\"Hostinfo\":{"
                       "\"Hostname\":\"h\"}}",
                       50u + i, key[i]);
        assert_int_equal(rig_ask(&cl, "/machine/register", text)->status, 200);
        ids[i] = i + 1;
        assert_int_equal(rmr_coord_node_get(p.r.coord, ids[i], &n), RMR_OK);
    }
    /* Four orders of tagging and leaving, in two rounds. */
    assert_int_equal(rmr_coord_node_set_tags(p.r.coord, ids[1], &name, 1),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_set_tags(p.r.coord, ids[0], &name, 1),
                     RMR_OK);
    const rmr_coord *c = p.r.coord;
    assert_int_equal(rmr_coord_node_get(c, ids[0], &n), RMR_OK);
    uint8_t machine[RMR_KEY_LEN];
    memcpy(machine, n.machine_key, sizeof machine);
    assert_int_equal(rmri_crd_node_of(c, machine, NULL)->id, ids[0]);
    assert_int_equal(
        rmri_crd_node_tagged(c, machine, rmri_crd_user(c, p.bob), NULL)->id,
        ids[1]);
    /* The first one goes; the second is still found by its machine. */
    assert_int_equal(rmr_coord_node_remove(p.r.coord, ids[0]), RMR_OK);
    assert_non_null(rmri_crd_node_of(c, machine, NULL));
    assert_int_equal(rmri_crd_node_of(c, machine, NULL)->id, ids[1]);
    assert_int_equal(rmr_coord_node_remove(p.r.coord, ids[1]), RMR_OK);
    assert_null(rmri_crd_node_of(c, machine, NULL));
    rig_part(&cl);
    pr_free(&p);
}

/* It comes again by its user's key, as a container does at each start. */
static void a_node_that_was_tagged_comes_back_as_itself(void **s)
{
    char key[RMR_COORD_KEY_TEXT], text[512];
    uint64_t id;
    rmr_coord_node n;
    (void)s;
    pr_begin(&p);
    pr_policy(&p, "{" TAGS ",\"acls\":[]}");
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    assert_int_equal(pr_tag(&p, a, "tag:server"), RMR_OK);
    rmr_coord_key_wish w = {.user = p.alice, .reusable = true};
    assert_int_equal(rmr_coord_key_add(p.r.coord, &w, key, &id), RMR_OK);
    for (unsigned i = 11; i < 13; i++) { /* its node key, and another */
        (void)snprintf(text, sizeof text,
                       "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\","
                       "\"Auth\":{\"AuthKey\":\"%s\"},\"Hostinfo\":{"
                       "\"Hostname\":\"a1\"}}",
                       i, key);
        rig_answer *x = rig_ask(&a->cl, "/machine/register", text);
        x->body[x->len] = '\0';
        assert_non_null(strstr(x->body, "\"MachineAuthorized\":true"));
        assert_int_equal(rmr_coord_node_next(p.r.coord, 0, &n), RMR_OK);
        assert_int_equal(n.id, a->id);
        assert_int_equal(n.n_tags, 1);
        assert_int_equal(rmr_coord_node_next(p.r.coord, a->id, &n),
                         RMR_E_NOTFOUND);
    }
    pr_free(&p);
}

/* A client that comes as another user with the key that it has: two nodes of
 * one key could not be told apart, nor loaded. */
static void a_nodes_key_is_of_one_node(void **s)
{
    char key[RMR_COORD_KEY_TEXT], text[512];
    uint64_t id;
    rmr_coord_node n;
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    rmr_coord_key_wish w = {.user = p.bob};
    assert_int_equal(rmr_coord_key_add(p.r.coord, &w, key, &id), RMR_OK);
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\",\"Auth\":{"
                   "\"AuthKey\":\"%s\"},\"Hostinfo\":{\"Hostname\":\"h\"}}",
                   11u, key);
    rig_answer *x = rig_ask(&a->cl, "/machine/register", text);
    x->body[x->len] = '\0';
    assert_non_null(strstr(x->body, "node key already in use"));
    assert_int_equal(rmr_coord_node_next(p.r.coord, a->id, &n), RMR_E_NOTFOUND);
    pr_free(&p);
}

/* ---- routes -------------------------------------------------------------- */

#define OFFERS                                                                 \
    ",\"RoutableIPs\":[\"192.168.8.0/24\",\"192.168.20.0/24\",\"0.0.0.0/0\","  \
    "\"::/0\"]"

static char *approved(const pr_member *m)
{
    static char text[512];
    rmr_coord_node n;
    size_t len = 0;
    text[0] = '\0';
    assert_int_equal(rmr_coord_node_get(p.r.coord, m->id, &n), RMR_OK);
    for (size_t i = 0; i < n.n_approved; i++) {
        char one[RMR_PREFIX_TEXT_MAX];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s",
                                i ? " " : "",
                                rmr_prefix_text(&n.approved[i], one));
    }
    return text;
}

static void routes_are_approved_by_the_policy(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_policy(&p, "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.8.0/24\":"
                  "[\"tag:router\"]}}}");
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    /* At registration, ... */
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router", OFFERS);
    assert_string_equal(approved(r1), "192.168.8.0/24");
    pr_expect_allowed(a, "r1",
                      "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\","
                      "\"192.168.8.0/24\"]");
    /* ... when it announces another list, ... */
    pr_member *r2 = pr_join(&p, "r2", 0, "tag:router", "");
    assert_string_equal(approved(r2), "");
    pr_update(&p, r2, ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    assert_string_equal(approved(r2), "192.168.8.0/24");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, OFFERS);
    assert_string_equal(approved(b), ""); /* it is no router */
    /* ... and with another policy.  Nothing is withdrawn. */
    pr_policy(&p,
              "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.0.0/16\":["
              "\"bob@\"]},\"exitNode\":[\"tag:router\"]}}");
    assert_string_equal(approved(r1), "192.168.8.0/24 0.0.0.0/0 ::/0");
    assert_string_equal(approved(b), "192.168.8.0/24 192.168.20.0/24");
    pr_expect_allowed(a, "r1",
                      "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\","
                      "\"192.168.8.0/24\",\"0.0.0.0/0\",\"::/0\"]");
    pr_policy(&p, "{}");
    assert_string_equal(approved(r1), "192.168.8.0/24 0.0.0.0/0 ::/0");
    /* What an administrator took away stays away, until it is announced. */
    pr_policy(&p,
              "{" TAGS ",\"autoApprovers\":{\"exitNode\":[\"tag:router\"]}}");
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r1->id, NULL, 0),
                     RMR_OK);
    pr_update(&p, r1, OFFERS);
    assert_string_equal(approved(r1), "");
    pr_update(&p, r1, "");
    pr_update(&p, r1, OFFERS);
    assert_string_equal(approved(r1), "0.0.0.0/0 ::/0");
    pr_free(&p);
}

static void routes_are_seen_by_those_who_may_use_them(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router", OFFERS);
    rmr_prefix net;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("192.168.8.0/24"), &net),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r1->id, &net, 1),
                     RMR_OK);
    pr_policy(&p, ACLS(ACL("\"alice@\"", "\"192.168.8.0/24:*\"") "," ACL(
                      "\"bob@\"", "\"100.64.0.3:22\"")));
    pr_expect_allowed(a, "r1",
                      "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                      "\"192.168.8.0/24\"]");
    pr_expect_allowed(b, "r1", "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\"]");
    /* bob may use it too: his client is told, alice's is not. */
    pr_policy(&p,
              ACLS(ACL("\"alice@\",\"bob@\"", "\"192.168.8.0/24:*\"") "," ACL(
                  "\"bob@\"", "\"100.64.0.3:22\"")));
    pr_expect_allowed(b, "r1",
                      "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                      "\"192.168.8.0/24\"]");
    assert_int_equal(a->frames, 0);
    assert_int_equal(r1->filters, 1);
    /* An exit node is for whom a rule lets into the internet. */
    rmr_prefix both[2] = {net, {.family = RMR_AF_INET}};
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r1->id, both, 2),
                     RMR_OK);
    pr_policy(&p, ACLS(ACL("\"bob@\"", "\"autogroup:internet:*\"")));
    assert_false(pr_sees(a, "r1"));
    pr_expect_allowed(b, "r1",
                      "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                      "\"0.0.0.0/0\",\"::/0\"]");
    pr_free(&p);
}

static void a_router_that_takes_over_is_told(void **s)
{
    (void)s;
    pr_begin(&p);
    pr_policy(&p,
              "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.0.0/16\":["
              "\"tag:router\"]}}}");
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    pr_member *r2 = pr_join(&p, "r2", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    static const char with[] = "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                               "\"192.168.8.0/24\"]";
    static const char without[] =
        "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\"]";
    pr_expect_allowed(a, "r2", without);
    /* It goes offline ... */
    pr_leave(r1);
    rig_wait(&p.r, 11 * RMR_SEC);
    pr_news(&p);
    pr_expect_allowed(a, "r2", with);
    pr_expect_allowed(a, "r1", "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\"]");
    pr_expect(json_object_get(r2->self, "PrimaryRoutes"),
              "[\"192.168.8.0/24\"]");
    /* ... or announces no more, or is removed. */
    pr_member *r3 = pr_join(&p, "r3", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    pr_expect_allowed(a, "r3", "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    pr_update(&p, r2, "");
    pr_expect_allowed(a, "r2", without);
    pr_expect_allowed(a, "r3",
                      "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\","
                      "\"192.168.8.0/24\"]");
    pr_update(&p, r2, ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    pr_expect_allowed(a, "r3", "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    assert_int_equal(rmr_coord_node_remove(p.r.coord, r2->id), RMR_OK);
    pr_news(&p);
    pr_expect_allowed(a, "r3",
                      "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\","
                      "\"192.168.8.0/24\"]");
    (void)r3;
    pr_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_those_of_the_policy),
        cmocka_unit_test(tags_that_are_asked_for_need_an_owner),
        cmocka_unit_test(tagged_nodes_of_one_machine_are_two),
        cmocka_unit_test(a_node_that_was_tagged_comes_back_as_itself),
        cmocka_unit_test(a_nodes_key_is_of_one_node),
        cmocka_unit_test(routes_are_approved_by_the_policy),
        cmocka_unit_test(routes_are_seen_by_those_who_may_use_them),
        cmocka_unit_test(a_router_that_takes_over_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
