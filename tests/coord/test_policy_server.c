/* The policy as clients of the server hear of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "fake_store.h"
#include "pol_rig.h"

#define SELF                                                                   \
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":["          \
    "\"autogroup:self:*\"]}"
#define ACL(src, dst)                                                          \
    "{\"action\":\"accept\",\"src\":[" src "],\"dst\":[" dst "]}"
#define ACLS(rules) "{\"acls\":[" rules "]}"
#define TAGS "\"tagOwners\":{\"tag:server\":[\"alice@\"],\"tag:router\":[]}"

static pol_rig p;
static uint64_t alice, bob, carol;

static void users(void)
{
    alice = pr_user(&p, "alice");
    bob = pr_user(&p, "bob");
    carol = pr_user(&p, "carol");
}

static void begin(void)
{
    pr_init(&p, NULL);
    users();
}

static void expect_allowed(const pr_member *m, const char *host,
                           const char *want)
{
    char *is = pr_allowed(m, host);
    assert_non_null(is);
    assert_string_equal(is, want);
    free(is);
}

/* ---- sight and filters --------------------------------------------------- */

static void users_are_apart_without_a_policy(void **s)
{
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_member *a2 = pr_join(&p, "a2", alice, NULL, "");
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
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", carol, NULL, "");
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
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", carol, NULL, "");
    pr_policy(&p, ACLS(ACL("\"alice@\"", "\"bob@:22\"")));
    pr_member *a2 = pr_join(&p, "a2", alice, NULL, "");
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
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_member *c = pr_join(&p, "c1", carol, NULL, "");
    pr_policy(&p,
              "{\"groups\":{\"group:g\":[\"alice@\",\"zoe@\"]},\"acls\":[" ACL(
                  "\"group:g\"", "\"bob@:22\"") "]}");
    assert_true(pr_sees(a, "b1") && !pr_sees(c, "b1"));
    /* carol takes the name that the policy has; alice gives hers up. */
    assert_int_equal(rmr_coord_user_rename(p.r.coord, carol, "zoe"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(c, "b1") && pr_sees(b, "c1"));
    assert_int_equal(a->frames, 0);
    assert_int_equal(rmr_coord_user_rename(p.r.coord, alice, "eve"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(a, "b1") || pr_sees(b, "a1"));
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.3\",\"fd7a:115c:a1e0::3\"]");
    /* One that the policy has no name for: nobody looks. */
    assert_int_equal(rmr_coord_user_rename(p.r.coord, alice, "mallory"),
                     RMR_OK);
    pr_news(&p);
    assert_int_equal(b->frames + c->frames, 0);
    /* A second of a name's e-mail address makes it nobody's. */
    assert_int_equal(
        rmr_coord_user_describe(p.r.coord, alice, NULL, "zoe", NULL), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(c, "b1"));
    assert_int_equal(rmr_coord_node_remove(p.r.coord, a->id), RMR_OK);
    assert_int_equal(rmr_coord_user_remove(p.r.coord, alice), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(c, "b1"));
    pr_free(&p);
}

/* ---- tags ---------------------------------------------------------------- */

static rmr_err tag(const pr_member *m, const char *name)
{
    return rmr_coord_node_set_tags(p.r.coord, m->id, &name, 1);
}

static void tags_are_those_of_the_policy(void **s)
{
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *a2 = pr_join(&p, "a2", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    assert_int_equal(tag(a2, "tag:server"), RMR_E_DENIED);
    pr_policy(&p, "{" TAGS ",\"acls\":[" SELF
                  "," ACL("\"bob@\"", "\"tag:server:443\"") "]}");
    assert_int_equal(tag(a2, "tag:db"), RMR_E_DENIED);
    assert_int_equal(tag(a2, "tag:server"), RMR_OK);
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
    users();
    pr_policy(&p, "{\"groups\":{\"group:ops\":[\"carol@\"]},\"tagOwners\":{"
                  "\"tag:server\":[\"alice@\"],\"tag:db\":[\"tag:server\","
                  "\"group:ops\"]},\"acls\":[]}");
    (void)ask_login(60, "\"tag:server\",\"tag:db\",\"tag:db\"");
    /* bob owns neither: it goes on waiting. */
    assert_int_equal(rmr_coord_login_approve(p.r.coord, p.r.login, bob, &node),
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
        rmr_coord_login_approve(p.r.coord, p.r.login, carol, &node),
        RMR_E_DENIED);
    /* alice both: the second by the first. */
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, alice, &node), RMR_OK);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 2);
    assert_string_equal(n.tags[0], "tag:db");
    assert_string_equal(n.tags[1], "tag:server");
    assert_int_equal(n.expiry_unix_ns, 0);
    /* It logs in anew, with another key and other tags: the same node. */
    uint64_t first = node;
    (void)ask_login(61, "\"tag:db\"");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, alice, &node), RMR_OK);
    assert_int_equal(node, first);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 1);
    /* Without tags it is the user's again, and expires. */
    (void)ask_login(62, "");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, alice, &node), RMR_OK);
    assert_int_equal(node, first);
    assert_int_equal(rmr_coord_node_get(p.r.coord, node, &n), RMR_OK);
    assert_int_equal(n.n_tags, 0);
    assert_true(n.expiry_unix_ns > 0);
    /* A tag that no policy can have is refused, whoever asks. */
    (void)ask_login(63, "\"tag:x y\"");
    assert_int_equal(
        rmr_coord_login_approve(p.r.coord, p.r.login, alice, &node),
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
    begin();
    pr_policy(&p, "{" TAGS ",\"acls\":[]}");
    assert_true(rig_join(&cl, &p.r, 77, 138));
    for (unsigned i = 0; i < 2; i++) {
        rmr_coord_key_wish w = {.user = i ? bob : alice, .reusable = true};
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
        rmri_crd_node_tagged(c, machine, rmri_crd_user(c, bob), NULL)->id,
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
    begin();
    pr_policy(&p, "{" TAGS ",\"acls\":[]}");
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    assert_int_equal(tag(a, "tag:server"), RMR_OK);
    rmr_coord_key_wish w = {.user = alice, .reusable = true};
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
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    rmr_coord_key_wish w = {.user = bob};
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
    begin();
    pr_policy(&p, "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.8.0/24\":"
                  "[\"tag:router\"]}}}");
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    /* At registration, ... */
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router", OFFERS);
    assert_string_equal(approved(r1), "192.168.8.0/24");
    expect_allowed(a, "r1",
                   "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\","
                   "\"192.168.8.0/24\"]");
    /* ... when it announces another list, ... */
    pr_member *r2 = pr_join(&p, "r2", 0, "tag:router", "");
    assert_string_equal(approved(r2), "");
    pr_update(&p, r2, ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    assert_string_equal(approved(r2), "192.168.8.0/24");
    pr_member *b = pr_join(&p, "b1", bob, NULL, OFFERS);
    assert_string_equal(approved(b), ""); /* it is no router */
    /* ... and with another policy.  Nothing is withdrawn. */
    pr_policy(&p,
              "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.0.0/16\":["
              "\"bob@\"]},\"exitNode\":[\"tag:router\"]}}");
    assert_string_equal(approved(r1), "192.168.8.0/24 0.0.0.0/0 ::/0");
    assert_string_equal(approved(b), "192.168.8.0/24 192.168.20.0/24");
    expect_allowed(a, "r1",
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
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router", OFFERS);
    rmr_prefix net;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("192.168.8.0/24"), &net),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r1->id, &net, 1),
                     RMR_OK);
    pr_policy(&p, ACLS(ACL("\"alice@\"", "\"192.168.8.0/24:*\"") "," ACL(
                      "\"bob@\"", "\"100.64.0.3:22\"")));
    expect_allowed(a, "r1",
                   "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                   "\"192.168.8.0/24\"]");
    expect_allowed(b, "r1", "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\"]");
    /* bob may use it too: his client is told, alice's is not. */
    pr_policy(&p,
              ACLS(ACL("\"alice@\",\"bob@\"", "\"192.168.8.0/24:*\"") "," ACL(
                  "\"bob@\"", "\"100.64.0.3:22\"")));
    expect_allowed(b, "r1",
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
    expect_allowed(b, "r1",
                   "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                   "\"0.0.0.0/0\",\"::/0\"]");
    pr_free(&p);
}

static void a_router_that_takes_over_is_told(void **s)
{
    (void)s;
    begin();
    pr_policy(&p,
              "{" TAGS ",\"autoApprovers\":{\"routes\":{\"192.168.0.0/16\":["
              "\"tag:router\"]}}}");
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    pr_member *r2 = pr_join(&p, "r2", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    static const char with[] = "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                               "\"192.168.8.0/24\"]";
    static const char without[] =
        "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\"]";
    expect_allowed(a, "r2", without);
    /* It goes offline ... */
    pr_leave(r1);
    rig_wait(&p.r, 11 * RMR_SEC);
    pr_news(&p);
    expect_allowed(a, "r2", with);
    expect_allowed(a, "r1", "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\"]");
    pr_expect(json_object_get(r2->self, "PrimaryRoutes"),
              "[\"192.168.8.0/24\"]");
    /* ... or announces no more, or is removed. */
    pr_member *r3 = pr_join(&p, "r3", 0, "tag:router",
                            ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    expect_allowed(a, "r3", "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    pr_update(&p, r2, "");
    expect_allowed(a, "r2", without);
    expect_allowed(a, "r3",
                   "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\","
                   "\"192.168.8.0/24\"]");
    pr_update(&p, r2, ",\"RoutableIPs\":[\"192.168.8.0/24\"]");
    expect_allowed(a, "r3", "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    assert_int_equal(rmr_coord_node_remove(p.r.coord, r2->id), RMR_OK);
    pr_news(&p);
    expect_allowed(a, "r3",
                   "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\","
                   "\"192.168.8.0/24\"]");
    (void)r3;
    pr_free(&p);
}

/* ---- SSH and attributes -------------------------------------------------- */

static void ssh_rules_come_in_the_map(void **s)
{
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
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
    pr_member *a2 = pr_join(&p, "a2", alice, NULL, "");
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

static void attributes_come_in_the_nodes_own_map(void **s)
{
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    pr_policy(&p,
              "{\"acls\":[" SELF "],\"nodeAttrs\":[{\"target\":[\"alice@\"],"
              "\"attr\":[\"magicdns-aaaa\",\"default-auto-update\"]}]}");
    pr_expect(json_object_get(a->self, "CapMap"),
              "{\"default-auto-update\":[false],\"magicdns-aaaa\":null}");
    assert_int_equal(a->frames, 1);
    assert_int_equal(a->filters, 0);
    assert_int_equal(b->frames, 0);
    pr_policy(&p, "{\"acls\":[" SELF "],\"randomizeClientPort\":true}");
    pr_expect(
        json_object_get(a->self, "CapMap"),
        "{\"default-auto-update\":[false],\"randomize-client-port\":null}");
    pr_expect(
        json_object_get(b->self, "CapMap"),
        "{\"default-auto-update\":[false],\"randomize-client-port\":null}");
    pr_free(&p);
}

/* ---- slow clients -------------------------------------------------------- */

/* While a client takes nothing, a peer comes and goes out of its sight. */
static void what_was_lost_before_it_was_said_is_not_said(void **s)
{
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
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
    begin();
    pr_policy(&p, "{" TAGS
                  ",\"acls\":[" ACL("\"alice@\"", "\"tag:server:22\"") "]}");
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    assert_int_equal(tag(b, "tag:server"), RMR_OK);
    assert_int_equal(tag(b, "tag:router"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(a, "b1"));
    assert_int_equal(a->frames, 0);
    /* And the other way: it is known, and stays so. */
    assert_int_equal(tag(b, "tag:server"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(a, "b1"));
    assert_int_equal(tag(b, "tag:router"), RMR_OK);
    assert_int_equal(tag(b, "tag:server"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(a, "b1"));
    pr_free(&p);
}

/* ---- bad ones ------------------------------------------------------------ */

static void a_bad_policy_is_refused_and_the_old_one_stays(void **s)
{
    rmr_pol_why why;
    rmr_coord_policy is;
    static const char good[] = ACLS(SELF "," ACL("\"alice@\"", "\"bob@:22\""));
    (void)s;
    begin();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", bob, NULL, "");
    rmr_coord *c = p.r.coord;
    assert_int_equal(rmr_coord_get_policy(c, &is), RMR_E_NOTFOUND);
    pr_policy(&p, good);
    static const struct {
        const char *text;
        uint32_t line;
        const char *says;
    } t[] = {
        {"", 0, ""},
        {"{\n\"acls\":[\n", 3, "unexpected EOF"},
        {"{\n\"acls\":[],\n\"aclz\":1}", 3, "unknown field"},
        {"{\n\n\"acls\":[" ACL("\"tag:x\"", "\"*:*\"") "]}", 3,
         "tag not found"},
        {"{\"acls\":[" SELF "],\n\"tests\":[{\"src\":\"bob@\",\"accept\":["
         "\"100.64.0.1:22\"]}]}",
         2, "expected ALLOWED, got DENIED"},
        {"{\"acls\":[],\"x\0y\":1}", 1, ""},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        memset(&why, 0, sizeof why);
        assert_int_equal(
            rmr_coord_check_policy(c, rmr_bytes_str(t[i].text), &why),
            RMR_E_MALFORMED);
        assert_int_equal(
            rmr_coord_set_policy(c, rmr_bytes_str(t[i].text), &why),
            RMR_E_MALFORMED);
        if (t[i].line && why.line != t[i].line)
            fail_msg("%s: line %u", t[i].text, why.line);
        if (!strstr(why.text, t[i].says))
            fail_msg("%s: %s", t[i].text, why.text);
        pr_news(&p);
        assert_int_equal(a->frames + b->frames, 0);
        assert_int_equal(rmr_coord_get_policy(c, &is), RMR_OK);
        assert_true(rmr_bytes_eq_str(is.text, good));
    }
    assert_int_equal(rmr_coord_set_policy(c, rmr_bytes_str("{"), NULL),
                     RMR_E_MALFORMED);
    /* What is only checked is not in force. */
    assert_int_equal(rmr_coord_check_policy(c, rmr_bytes_str("{}"), &why),
                     RMR_OK);
    pr_news(&p);
    assert_int_equal(a->frames + b->frames, 0);
    assert_true(pr_sees(a, "b1"));
    pr_free(&p);
}

static void captured_reasons_come_by_the_api(void **s)
{
    static char answer[16384];
    rmr_coord_config cfg;
    (void)s;
    json_t *doc =
        json_load_file(REMORA_VECTORS "/coord/policy-refused.json", 0, NULL);
    assert_non_null(doc);
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    pr_init(&p, &cfg);
    users();
    size_t i, refused = 0;
    json_t *v;
    json_array_foreach(json_object_get(doc, "cases"), i, v)
    {
        json_t *q = json_pack("{s:O}", "policy", json_object_get(v, "policy"));
        char *body = json_dumps(q, JSON_COMPACT);
        const char *why = json_string_value(json_object_get(v, "why"));
        int status = pr_rest(&p, "POST", "/api/v1/policy/check", body, answer,
                             sizeof answer);
        /* Some are about users and nodes of another tailnet. */
        if (why && strncmp(why, "parsing policy", 14) == 0) {
            json_t *got = json_loads(strstr(answer, "\r\n\r\n") + 4, 0, NULL);
            assert_int_equal(status, 400);
            assert_string_equal(
                json_string_value(json_object_get(
                    json_array_get(json_object_get(got, "errors"), 0),
                    "message")),
                why);
            refused++;
            json_decref(got);
        }
        free(body);
        json_decref(q);
    }
    assert_true(refused > 20);
    json_decref(doc);
    pr_free(&p);
}

/* ---- the API ------------------------------------------------------------- */

static char big_answer[1 << 21];

static void a_long_policy_goes_there_and_back(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    pr_init(&p, &cfg);
    users();
    size_t n = 600000;
    char *text = malloc(n + 64);
    assert_non_null(text);
    size_t len = (size_t)snprintf(text, 64, "{\"acls\":[]} // ");
    for (size_t i = len; i < n; i++)
        text[i] = i % 3 ? (char)('a' + i % 26) : '"';
    text[n] = '\0';
    json_t *q = json_pack("{s:s}", "policy", text);
    char *body = json_dumps(q, JSON_COMPACT);
    assert_int_equal(pr_rest(&p, "PUT", "/api/v1/policy", body, big_answer,
                             sizeof big_answer),
                     200);
    rmr_coord_policy is;
    assert_int_equal(rmr_coord_get_policy(p.r.coord, &is), RMR_OK);
    assert_int_equal(is.text.len, n);
    assert_true(rmr_bytes_eq_str(is.text, text));
    assert_int_equal(pr_rest(&p, "GET", "/api/v1/policy", NULL, big_answer,
                             sizeof big_answer),
                     200);
    /* Its chunks, put together. */
    char *at = strstr(big_answer, "\r\n\r\n") + 4, *out = big_answer;
    for (;;) {
        char *end;
        unsigned long k = strtoul(at, &end, 16);
        if (k == 0)
            break;
        memmove(out, end + 2, k);
        out += k;
        at = end + 2 + k + 2;
    }
    json_t *got = json_loadb(big_answer, (size_t)(out - big_answer), 0, NULL);
    assert_non_null(got);
    assert_string_equal(json_string_value(json_object_get(got, "policy")),
                        text);
    json_decref(got);
    json_decref(q);
    free(body);
    /* Longer than a document may be. */
    n = RMR_POL_DOC_MAX + 1;
    text = realloc(text, n + 1);
    assert_non_null(text);
    memset(text, ' ', n);
    text[0] = '{';
    text[n - 1] = '}';
    text[n] = '\0';
    q = json_pack("{s:s}", "policy", text);
    body = json_dumps(q, JSON_COMPACT);
    assert_int_equal(pr_rest(&p, "PUT", "/api/v1/policy", body, big_answer,
                             sizeof big_answer),
                     400);
    json_decref(q);
    free(body);
    free(text);
    pr_free(&p);
}

static void in_file_mode_the_api_only_reads(void **s)
{
    static char answer[4096];
    rmr_coord_config cfg;
    fake_store disk = {0};
    rmr_coord_store table = fake_table(&disk);
    (void)s;
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    cfg.store = &table;
    cfg.policy_mode = RMR_COORD_POLICY_FILE;
    pr_init(&p, &cfg);
    users();
    assert_int_equal(
        pr_rest(&p, "GET", "/api/v1/policy", NULL, answer, sizeof answer), 500);
    pr_free(&p);
    fake_free(&disk);

    memset(&disk, 0, sizeof disk);
    cfg.policy = rmr_bytes_str(ACLS(ACL("\"alice@\"", "\"bob@:22\"")));
    pr_init(&p, &cfg);
    users();
    pr_member *a = pr_join(&p, "a1", alice, NULL, "");
    (void)pr_join(&p, "b1", bob, NULL, "");
    assert_true(pr_sees(a, "b1"));
    assert_int_equal(
        pr_rest(&p, "GET", "/api/v1/policy", NULL, answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\"updatedAt\":\"0001-01-01T00:00:00Z\""));
    assert_int_equal(pr_rest(&p, "PUT", "/api/v1/policy", "{\"policy\":\"{}\"}",
                             answer, sizeof answer),
                     400);
    assert_non_null(
        strstr(answer, "update is disabled for modes other than 'database'"));
    assert_int_equal(pr_rest(&p, "POST", "/api/v1/policy/check",
                             "{\"policy\":\"{}\"}", answer, sizeof answer),
                     200);
    /* The program reads its file again, be the store as it may. */
    disk.fails = true;
    pr_policy(&p, "{\"acls\":[]}");
    assert_false(pr_sees(a, "b1"));
    disk.fails = false;
    rig_wait(&p.r, 3 * RMR_SEC);
    assert_false(fake_has(&disk, RMR_COORD_ROW_POLICY, 0));
    pr_free(&p);
    fake_free(&disk);
}

static void a_policy_beside_the_database_is_no_config(void **s)
{
    rmr_coord *c;
    rmr_coord_config cfg;
    test_alloc heap = {0};
    test_rng rng;
    static test_log log;
    (void)s;
    rig_config(&cfg);
    test_rng_seed(&rng, 1);
    memset(&log, 0, sizeof log);
    rmr_env env = test_env(&heap, &rng, &log);
    cfg.policy = rmr_bytes_str("{}");
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_E_INVAL);
    cfg.policy_mode = (rmr_coord_policy_mode)7;
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_E_INVAL);
    cfg.policy_mode = RMR_COORD_POLICY_FILE;
    cfg.policy = rmr_bytes_str("{\n\n\"acls\":7}");
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_E_MALFORMED);
    assert_true(test_log_has(&log, "the policy, line 3"));
    cfg.policy = rmr_bytes_str("");
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_E_MALFORMED);
    /* A test that fails is told, and no more. */
    cfg.policy =
        rmr_bytes_str("{\"acls\":[],\"tests\":[{\"src\":\"100.64.0.1\","
                      "\"accept\":[\"100.64.0.2:22\"]}]}");
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_OK);
    assert_true(test_log_has(&log, "the policy is in force, but"));
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
}

/* ---- the store ----------------------------------------------------------- */

static void a_stored_policy_is_in_force_after_a_restart(void **s)
{
    rmr_coord_config cfg;
    fake_store disk = {0};
    rmr_coord_store table = fake_table(&disk);
    rmr_coord_policy is;
    static const char text[] =
        "{" TAGS ",\"acls\":[" ACL("\"alice@\"", "\"bob@:22\"") "],\"ssh\":[]}";
    (void)s;
    rig_config(&cfg);
    cfg.store = &table;
    pr_init(&p, &cfg);
    users();
    (void)pr_join(&p, "a1", alice, NULL, "");
    (void)pr_join(&p, "b1", bob, NULL, "");
    (void)pr_join(&p, "t1", 0, "tag:server", "");
    pr_policy(&p, text);
    rig_wait(&p.r, RMR_SEC);
    assert_true(fake_has(&disk, RMR_COORD_ROW_POLICY, 0));
    pr_free(&p);

    pr_init(&p, &cfg);
    assert_int_equal(rmr_coord_get_policy(p.r.coord, &is), RMR_OK);
    assert_true(rmr_bytes_eq_str(is.text, text));
    assert_true(is.updated_unix_ns > 0);
    bob = 2;
    p.base = 10;
    pr_member *b = pr_join(&p, "b2", bob, NULL, "");
    assert_true(pr_sees(b, "a1") && !pr_sees(b, "b1") && !pr_sees(b, "t1"));
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.1\",\"fd7a:115c:a1e0::1\"]");
    /* While the store fails, nothing is replaced. */
    disk.fails = true;
    assert_int_equal(rmr_coord_user_add(p.r.coord, "eve", &bob), RMR_OK);
    rig_wait(&p.r, RMR_MS);
    assert_int_equal(rmr_coord_set_policy(p.r.coord, rmr_bytes_str("{}"), NULL),
                     RMR_E_IO);
    disk.fails = false;
    pr_free(&p);

    /* In file mode what is stored rests. */
    cfg.policy_mode = RMR_COORD_POLICY_FILE;
    pr_init(&p, &cfg);
    assert_int_equal(rmr_coord_get_policy(p.r.coord, &is), RMR_E_NOTFOUND);
    pr_free(&p);
    assert_true(fake_has(&disk, RMR_COORD_ROW_POLICY, 0));
    fake_free(&disk);
}

static void a_stored_policy_that_is_none_ends_the_start(void **s)
{
    rmr_coord *c;
    rmr_coord_config cfg;
    test_alloc heap = {0};
    test_rng rng;
    static test_log log;
    fake_store disk = {0};
    rmr_coord_store table = fake_table(&disk);
    rmr_coord_row row;
    (void)s;
    memset(&row, 0, sizeof row);
    row.kind = RMR_COORD_ROW_POLICY;
    row.as.policy.text = rmr_bytes_str("{\n\"acls\":7}");
    fake_add(&disk, &row);
    rig_config(&cfg);
    cfg.store = &table;
    memset(&log, 0, sizeof log);
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&heap, &rng, &log);
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 0), RMR_E_MALFORMED);
    assert_true(test_log_has(&log, "the policy, line 2"));
    assert_int_equal(heap.live_blocks, 0);
    fake_free(&disk);
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
        begin();
        pr_policy(&p, one);
        pr_member *a = pr_join(&p, "a1", alice, NULL, "");
        pr_member *b =
            pr_join(&p, "b1", bob, NULL, ",\"RoutableIPs\":[\"10.1.0.0/16\"]");
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
            begin();
            pr_policy(
                &p,
                "{" TAGS
                ",\"acls\":[" ACL("\"alice@\"", "\"tag:server:22\"") "," ACL(
                    "\"alice@\"",
                    "\"10.0.0.0/8:*\"") "," ACL("\"carol@\"",
                                                "\"bob@:1\"") "]}");
            pr_member *a = pr_join(&p, "a1", alice, NULL, "");
            pr_member *b = pr_join(&p, "b1", bob, NULL,
                                   ",\"RoutableIPs\":[\"10.0.0.0/8\"]");
            pr_member *c = pr_join(&p, "c1", carol, NULL, "");
            assert_false(pr_sees(a, "b1"));
            size_t failed = p.r.heap.failed;
            p.r.heap.fail_at = p.r.heap.calls + n;
            rmr_err e =
                kind == 0 ? rmr_coord_node_set_tags(p.r.coord, b->id, &name, 1)
                : kind == 1
                    ? rmr_coord_node_approve(p.r.coord, b->id, &route, 1)
                : kind == 2 ? rmr_coord_user_rename(p.r.coord, bob, "rob")
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
        cmocka_unit_test(tags_are_those_of_the_policy),
        cmocka_unit_test(tags_that_are_asked_for_need_an_owner),
        cmocka_unit_test(tagged_nodes_of_one_machine_are_two),
        cmocka_unit_test(a_node_that_was_tagged_comes_back_as_itself),
        cmocka_unit_test(a_nodes_key_is_of_one_node),
        cmocka_unit_test(routes_are_approved_by_the_policy),
        cmocka_unit_test(routes_are_seen_by_those_who_may_use_them),
        cmocka_unit_test(a_router_that_takes_over_is_told),
        cmocka_unit_test(ssh_rules_come_in_the_map),
        cmocka_unit_test(attributes_come_in_the_nodes_own_map),
        cmocka_unit_test(what_was_lost_before_it_was_said_is_not_said),
        cmocka_unit_test(who_comes_and_goes_at_once_is_not_said),
        cmocka_unit_test(a_bad_policy_is_refused_and_the_old_one_stays),
        cmocka_unit_test(captured_reasons_come_by_the_api),
        cmocka_unit_test(a_long_policy_goes_there_and_back),
        cmocka_unit_test(in_file_mode_the_api_only_reads),
        cmocka_unit_test(a_policy_beside_the_database_is_no_config),
        cmocka_unit_test(a_stored_policy_is_in_force_after_a_restart),
        cmocka_unit_test(a_stored_policy_that_is_none_ends_the_start),
        cmocka_unit_test(without_memory_a_policy_is_the_old_one_or_the_new_one),
        cmocka_unit_test(without_memory_a_change_is_all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
