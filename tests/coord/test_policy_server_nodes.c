/* The policy with our own nodes: what it lets pass, and what not any more. */
#include "coord_world.h"

#include "fake_store.h"
#include "node_internal.h"
#include "pol_texts.h"

static cw w;
static fake_store disk;
static rmr_coord_store table;
static uint64_t alice, bob;
static char alice_key[RMR_COORD_KEY_TEXT], bob_key[RMR_COORD_KEY_TEXT];

static void with_store(rmr_coord_config *cfg)
{
    cfg->store = &table;
}

static void begin(void (*configure)(rmr_coord_config *cfg))
{
    cw_init(&w, configure);
    alice = cw_user(&w, "alice");
    bob = cw_user(&w, "bob");
    cw_key(&w, alice, alice_key);
    cw_key(&w, bob, bob_key);
}

static void policy(const char *text)
{
    rmr_pol_why why;
    if (rmr_coord_set_policy(w.coord, rmr_bytes_str(text), &why) != RMR_OK)
        fail_msg("line %u: %s", why.line, why.text);
    cw_poke(&w);
    cw_run(&w, 2 * RMR_SEC);
}

static cw_node *add(const char *name, const char *key)
{
    cw_node *n = cw_add(&w, name, key);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    return n;
}

static void a_policy_lets_words_pass_and_stops_them(void **s)
{
    (void)s;
    begin(NULL);
    cw_node *a = add("a", alice_key), *b = add("b", bob_key);
    assert_false(cw_sees(a, "b") || cw_sees(b, "a"));
    policy("{\"acls\":[" SELF "," ACL("\"alice@\"", "\"bob@:80\"") "]}");
    assert_true(cw_sees(a, "b") && cw_sees(b, "a"));
    assert_true(cw_reaches(a, b));
    assert_false(cw_reaches(b, a)); /* one way alone */
    /* Another port: seen as before, and no word passes. */
    policy("{\"acls\":[" SELF "," ACL("\"alice@\"", "\"bob@:81\"") "]}");
    assert_true(cw_sees(a, "b"));
    assert_false(cw_reaches(a, b));
    policy("{\"acls\":[" ACL("\"*\"", "\"*:*\"") "]}");
    assert_true(cw_reaches(a, b) && cw_reaches(b, a));
    policy("{\"acls\":[" SELF "]}");
    assert_false(cw_sees(a, "b") || cw_sees(b, "a"));
    cw_free(&w);
}

static void tags_take_a_node_from_its_user(void **s)
{
    const char *tag = "tag:server";
    (void)s;
    begin(NULL);
    cw_node *a = add("a", alice_key), *a2 = add("a2", alice_key);
    cw_node *b = add("b", bob_key);
    assert_true(cw_reaches(a, a2));
    uint64_t id = cw_find(&w, "a2").id;
    assert_int_equal(rmr_coord_node_set_tags(w.coord, id, &tag, 1),
                     RMR_E_DENIED);
    policy("{\"tagOwners\":{\"tag:server\":[\"alice@\"]},\"acls\":[" SELF
           "," ACL("\"bob@\"", "\"tag:server:80\"") "]}");
    assert_int_equal(rmr_coord_node_set_tags(w.coord, id, &tag, 1), RMR_OK);
    cw_poke(&w);
    cw_run(&w, 2 * RMR_SEC);
    assert_false(cw_sees(a, "a2") || cw_sees(a2, "a"));
    assert_true(cw_reaches(b, a2));
    assert_false(cw_reaches(a2, b));
    cw_free(&w);
}

/* ---- tags that are asked for --------------------------------------------- */

static const char *asked[] = {"tag:server"};

static void ask_for_a_tag(rmr_node_config *cfg)
{
    cfg->tags = asked;
    cfg->n_tags = 1;
}

static void a_node_gets_the_tag_that_its_user_owns(void **s)
{
    uint64_t id;
    (void)s;
    begin(NULL);
    policy("{\"tagOwners\":{\"tag:server\":[\"alice@\"]},\"acls\":[" ACL(
        "\"bob@\"", "\"tag:server:80\"") "]}");
    cw_node *b = add("b", bob_key);
    w.shape = ask_for_a_tag;
    cw_node *n = cw_add(&w, "n", NULL);
    cw_run(&w, 3 * RMR_SEC);
    assert_true(n->needs_login);
    assert_int_equal(rmr_coord_login_approve(w.coord, w.login, bob, &id),
                     RMR_E_DENIED);
    cw_run(&w, RMR_SEC);
    assert_true(n->needs_login);
    assert_int_equal(rmr_coord_login_approve(w.coord, w.login, alice, &id),
                     RMR_OK);
    cw_poke(&w);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    assert_int_equal(cw_find(&w, "n").n_tags, 1);
    assert_true(cw_reaches(b, n));
    cw_free(&w);
}

/* ---- routes -------------------------------------------------------------- */

#define OUTSIDE "203.0.113.250" /* a web server that is not of the tailnet */

static rmr_prefix subnet;

static void route(rmr_node_config *cfg)
{
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("203.0.113.0/24"), &subnet),
                     RMR_OK);
    cfg->advertise_routes = &subnet;
    cfg->n_advertise_routes = 1;
    cfg->advertise_exit_node = true;
}

static void use_routes(rmr_node_config *cfg)
{
    cfg->accept_routes = true;
}

static bool has_answer(void *user)
{
    const cw_node *a = user;
    return strncmp(a->got, "HTTP/1.1 400", 12) == 0;
}

/* A word to the web server through whatever router there is. */
static bool reaches_server(cw_node *a)
{
    size_t taken;
    rmr_time now = rmr_sim_now(w.sim);
    a->is_connected = false;
    memset(a->got, 0, sizeof a->got);
    a->n_got = 0;
    if (rmr_node_dial(a->node, now, OUTSIDE, 80, NULL, &a->conn) != RMR_OK)
        return false;
    assert_int_equal(rmr_sim_poke(w.sim, a->program), RMR_OK);
    cw_run(&w, 3 * RMR_SEC);
    now = rmr_sim_now(w.sim);
    if (a->is_connected)
        (void)rmr_node_send(a->node, now, a->conn, rmr_bytes_str("\r\n\r\n"),
                            &taken);
    assert_int_equal(rmr_sim_poke(w.sim, a->program), RMR_OK);
    bool ok = cw_until(&w, 5 * RMR_SEC, has_answer, a);
    (void)rmr_node_close(a->node, rmr_sim_now(w.sim), a->conn);
    assert_int_equal(rmr_sim_poke(w.sim, a->program), RMR_OK);
    return ok;
}

static size_t allowed(const cw_node *n, const char *label)
{
    char name[100];
    rmr_nm_node peer;
    (void)snprintf(name, sizeof name, "%s.tail.test.", label);
    assert_true(rmr_nm_peer_by_name(n->node->nm, name, &peer));
    return peer.n_allowed_ips;
}

static void routers_are_approved_and_used_by_those_who_may(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    const char *tag = "tag:router";
    uint64_t id;
    rmr_coord_key_wish wish = {.tags = &tag, .n_tags = 1};
    (void)s;
    begin(NULL);
    assert_int_equal(rmr_coord_key_add(w.coord, &wish, key, &id), RMR_OK);
    policy("{\"tagOwners\":{\"tag:router\":[]},\"acls\":[" ACL(
        "\"alice@\"",
        "\"203.0.113.0/24:80\"") "," ACL("\"bob@\"",
                                         "\"tag:router:80\"") "],"
                                                              "\"autoApprovers"
                                                              "\":{\"routes\":{"
                                                              "\"203.0.113.0/"
                                                              "24\":[\"tag:"
                                                              "router\"]}}}");
    w.shape = route;
    cw_node *r = add("r", key);
    assert_int_equal(cw_find(&w, "r").n_approved, 1);
    w.shape = use_routes;
    cw_node *a = add("a", alice_key), *b = add("b", bob_key);
    assert_int_equal(allowed(a, "r"), 3);
    assert_int_equal(allowed(b, "r"), 2);
    assert_true(reaches_server(a));
    assert_false(reaches_server(b));
    /* bob may, alice not any more; and it becomes an exit node. */
    policy("{\"tagOwners\":{\"tag:router\":[]},\"acls\":[" ACL(
        "\"bob@\"",
        "\"203."
        "0.113."
        "0/"
        "24:"
        "80\","
        "\"auto"
        "group:"
        "intern"
        "et:*"
        "\"") "," ACL("\"alice@\"",
                      "\"tag:router:80\"") "],\"autoApprovers\":{"
                                           "\"exitNode\":[\"tag:router\"]}}");
    assert_int_equal(cw_find(&w, "r").n_approved, 3);
    assert_int_equal(allowed(a, "r"), 2);
    assert_int_equal(allowed(b, "r"), 5);
    assert_true(reaches_server(b));
    assert_false(reaches_server(a));
    (void)r;
    cw_free(&w);
}

/* ---- groups, restarts ---------------------------------------------------- */

static void groups_follow_names(void **s)
{
    (void)s;
    begin(NULL);
    cw_node *a = add("a", alice_key), *b = add("b", bob_key);
    policy("{\"groups\":{\"group:team\":[\"alice@\",\"rob@\"]},\"acls\":[" ACL(
        "\"group:team\"", "\"group:team:*\"") "]}");
    assert_false(cw_sees(a, "b"));
    assert_int_equal(rmr_coord_user_rename(w.coord, bob, "rob"), RMR_OK);
    cw_poke(&w);
    cw_run(&w, 2 * RMR_SEC);
    assert_true(cw_reaches(a, b) && cw_reaches(b, a));
    assert_int_equal(rmr_coord_user_rename(w.coord, bob, "bob"), RMR_OK);
    cw_poke(&w);
    cw_run(&w, 2 * RMR_SEC);
    assert_false(cw_sees(a, "b") || cw_sees(b, "a"));
    cw_free(&w);
}

static void a_restart_keeps_the_policy(void **s)
{
    (void)s;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    begin(with_store);
    cw_node *a = add("a", alice_key), *b = add("b", bob_key);
    policy("{\"acls\":[" ACL("\"alice@\"", "\"bob@:*\"") "]}");
    assert_true(cw_reaches(a, b));
    assert_false(cw_reaches(b, a));
    cw_restart(&w);
    cw_run(&w, 90 * RMR_SEC);
    assert_true(cw_sees(a, "b"));
    assert_true(cw_reaches(a, b));
    assert_false(cw_reaches(b, a));
    /* A bad one changes nothing. */
    assert_int_equal(rmr_coord_set_policy(w.coord, rmr_bytes_str("{"), NULL),
                     RMR_E_MALFORMED);
    cw_poke(&w);
    cw_run(&w, 2 * RMR_SEC);
    assert_true(cw_reaches(a, b));
    cw_free(&w);
    fake_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_lets_words_pass_and_stops_them),
        cmocka_unit_test(tags_take_a_node_from_its_user),
        cmocka_unit_test(a_node_gets_the_tag_that_its_user_owns),
        cmocka_unit_test(routers_are_approved_and_used_by_those_who_may),
        cmocka_unit_test(groups_follow_names),
        cmocka_unit_test(a_restart_keeps_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
