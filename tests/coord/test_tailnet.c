/* Our nodes on our coordination server. */
#include "coord_world.h"

static cw w;

static void let_all_see_all(rmr_coord_config *cfg)
{
    cfg->open = true;
}

static void two_nodes_join_and_talk(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_stats st;
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), key);
    cw_node *a = cw_add(&w, "one", key), *b = cw_add(&w, "two", key);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    assert_true(cw_sees(a, "two") && cw_sees(b, "one"));
    assert_true(cw_find(&w, "one").online && cw_find(&w, "two").online);
    assert_true(cw_reaches(a, b));
    assert_true(cw_reaches(b, a));
    rmr_coord_get_stats(w.coord, &st);
    assert_int_equal(st.nodes, 2);
    assert_int_equal(st.online, 2);
    assert_int_equal(st.streams, 2);
    assert_int_equal(st.bad_requests, 0);
    cw_free(&w);
}

static void users_see_nothing_of_each_other(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], bob[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), alice);
    cw_key(&w, cw_user(&w, "bob"), bob);
    cw_node *a = cw_add(&w, "a", alice), *b = cw_add(&w, "b", bob);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_node *a2 = cw_add(&w, "a", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    assert_false(cw_sees(a, "b") || cw_sees(b, "a") || cw_sees(a2, "b"));
    assert_true(cw_sees(a, "a-1") && cw_sees(a2, "a"));
    assert_true(cw_reaches(a, a2));
    assert_true(cw_reaches(a2, a));
    cw_free(&w);
}

static void open_servers_let_all_see_all(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], bob[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, let_all_see_all);
    cw_key(&w, cw_user(&w, "alice"), alice);
    cw_key(&w, cw_user(&w, "bob"), bob);
    cw_node *a = cw_add(&w, "a", alice), *b = cw_add(&w, "b", bob);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    assert_true(cw_sees(a, "b") && cw_sees(b, "a"));
    assert_true(cw_reaches(a, b));
    cw_free(&w);
}

static void a_name_that_changes_is_seen(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), key);
    cw_node *a = cw_add(&w, "one", key), *b = cw_add(&w, "two", key);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    uint64_t id = cw_find(&w, "two").id;
    assert_int_equal(rmr_coord_node_rename(w.coord, id, "one"), RMR_E_INUSE);
    assert_int_equal(rmr_coord_node_rename(w.coord, id, "a b"), RMR_E_INVAL);
    assert_int_equal(rmr_coord_node_rename(w.coord, 99, "x"), RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_node_rename(w.coord, id, "deux"), RMR_OK);
    cw_poke(&w);
    cw_run(&w, RMR_SEC);
    assert_true(cw_sees(a, "deux") && !cw_sees(a, "two"));
    assert_true(cw_reaches(a, b));
    cw_free(&w);
}

static void a_node_that_is_removed_leaves_its_peers(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), key);
    cw_node *a = cw_add(&w, "one", key);
    cw_node *b = cw_add(&w, "two", NULL);
    cw_run(&w, 3 * RMR_SEC);
    assert_true(a->is_running && b->needs_login);
    uint64_t node;
    assert_int_equal(rmr_coord_login_approve(w.coord, w.login, 1, &node),
                     RMR_OK);
    cw_poke(&w);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    assert_true(cw_sees(a, "two"));
    assert_int_equal(rmr_coord_node_remove(w.coord, node), RMR_OK);
    cw_poke(&w);
    cw_run(&w, 3 * RMR_SEC);
    assert_false(cw_sees(a, "two"));
    /* It asks again, as one that is not known. */
    assert_non_null(strstr(b->why, "/register/hskey-authreq-"));
    cw_free(&w);
}

static void a_lost_node_is_offline_after_the_grace(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), key);
    cw_add(&w, "one", key);
    cw_node *b = cw_add(&w, "two", key);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_stop(b);
    cw_run(&w, 5 * RMR_SEC);
    assert_true(cw_find(&w, "two").online);
    cw_run(&w, 6 * RMR_SEC);
    assert_false(cw_find(&w, "two").online);
    cw_free(&w);
}

static void an_expired_node_comes_back_by_its_key(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    cw_init(&w, NULL);
    cw_key(&w, cw_user(&w, "alice"), key);
    cw_node *a = cw_add(&w, "one", key), *b = cw_add(&w, "two", key);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    rmr_coord_node was = cw_find(&w, "two");
    uint8_t old[RMR_KEY_LEN];
    memcpy(old, was.node_key, sizeof old);
    assert_int_equal(rmr_coord_node_expire(w.coord, was.id, 1), RMR_OK);
    cw_poke(&w);
    cw_run(&w, 30 * RMR_SEC);
    rmr_coord_node is = cw_find(&w, "two");
    assert_int_equal(is.id, was.id);
    assert_memory_not_equal(is.node_key, old, sizeof old);
    assert_false(is.expired);
    assert_true(cw_reaches(a, b));
    cw_free(&w);
}

static void bad_keys_are_told_in_words(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    uint64_t id;
    const rmr_coord_key_wish once = {.user = 1};
    (void)s;
    cw_init(&w, NULL);
    cw_user(&w, "alice");
    assert_int_equal(rmr_coord_key_add(w.coord, &once, key, &id), RMR_OK);
    cw_node *a = cw_add(&w, "one", key);
    cw_run(&w, 2 * RMR_SEC);
    assert_true(a->is_running);
    cw_node *b = cw_add(&w, "two", key);
    cw_node *c = cw_add(&w, "three", "hskey-auth-000000000000-00");
    cw_run(&w, 2 * RMR_SEC);
    assert_non_null(strstr(b->why, "authkey already used"));
    assert_non_null(strstr(c->why, "invalid pre auth key"));
    cw_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_join_and_talk),
        cmocka_unit_test(users_see_nothing_of_each_other),
        cmocka_unit_test(open_servers_let_all_see_all),
        cmocka_unit_test(a_name_that_changes_is_seen),
        cmocka_unit_test(a_node_that_is_removed_leaves_its_peers),
        cmocka_unit_test(a_lost_node_is_offline_after_the_grace),
        cmocka_unit_test(an_expired_node_comes_back_by_its_key),
        cmocka_unit_test(bad_keys_are_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
