/* Preferences: what a node keeps of them, and what it refuses. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static lab l;

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

static void preferences_are_kept_and_a_start_can_say_others(void **st)
{
    rmr_node_config cfg;
    rmr_node_prefs p, got;
    rmr_prefix routes[2];
    (void)st;
    lab_config(&l, &cfg);
    lab_begin(&l, &cfg);
    rmr_node_prefs_init(&p, sizeof p);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &routes[0]),
                     RMR_OK);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("fd00::/8"), &routes[1]),
                     RMR_OK);
    p.hostname = "laptop";
    p.advertise_routes = routes;
    p.n_advertise_routes = 2;
    p.shields_up = true;
    p.accept_routes = true; /* not given: it doesn't count */
    p.given = RMR_NODE_PREF_HOSTNAME | RMR_NODE_PREF_ADVERTISE_ROUTES |
              RMR_NODE_PREF_SHIELDS_UP;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l); /* no stop: the state is stored at once */
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    rmr_node_get_prefs(l.node, &got, sizeof got);
    assert_int_equal(got.given, RMR_NODE_PREF_ALL);
    assert_string_equal(got.hostname, "laptop");
    assert_int_equal(got.n_advertise_routes, 2);
    assert_true(rmr_prefix_eq(&got.advertise_routes[1], &routes[1]));
    assert_true(got.shields_up && got.accept_dns && got.wanted);
    assert_false(got.accept_routes);
    /* What it gave may be handed back. */
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &got), RMR_OK);
    assert_string_equal(l.node->keys.prefs.hostname, "laptop");
    /* The configuration counts more, by field. */
    lab_again(&l, &cfg);
    cfg.hostname = "desk";
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_SHIELDS_UP;
    cfg.prefs = &p;
    lab_begin(&l, &cfg);
    rmr_node_get_prefs(l.node, &got, sizeof got);
    assert_string_equal(got.hostname, "desk");
    assert_false(got.shields_up);
    assert_int_equal(got.n_advertise_routes, 2);
}

/* Its name may be another's by then. */
static void an_exit_node_stays_the_same_one_after_a_restart(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.exit_node = "n2";
    lab_begin(&l, &cfg);
    lab_feed_first(
        &l, "{\"Node\":" LAB_PEER("1", "s1", "n1") ",\"Peers\":[" LAB_PEER(
                "2", "s2", "n2") "," LAB_PEER("3", "s3", "n3") "]}");
    assert_int_equal(l.node->routes.exit_peer, 2);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    lab_feed_first(
        &l, "{\"Node\":" LAB_PEER("1", "s1", "n1") ",\"Peers\":[" LAB_PEER(
                "2", "s2", "n4") "," LAB_PEER("3", "s3", "n2") "]}");
    assert_int_equal(l.node->routes.exit_peer, 2);
    /* Another is chosen: of that too the id is kept. */
    rmr_node_prefs p;
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_EXIT_NODE;
    p.exit_node = "n2";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_int_equal(l.node->routes.exit_peer, 2); /* the same word */
    p.exit_node = "n2.ex.com";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_string_equal(l.node->keys.prefs.exit_id, "s3");
    p.exit_node = "";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_string_equal(l.node->keys.prefs.exit_id, "");
}

static void assert_tags(const char *first, size_t n)
{
    const char *tags[ND_MAX_TAGS];
    assert_int_equal(rmri_node_tags(&l.node->keys.prefs, tags), n);
    if (n)
        assert_string_equal(tags[0], first);
}

static void tags_are_kept_until_others_are_asked_for(void **st)
{
    static const char *const two[] = {"tag:a", "tag:printer"};
    static const char *const one[] = {"tag:b"};
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.tags = two;
    cfg.n_tags = 2;
    lab_begin(&l, &cfg);
    assert_tags("tag:a", 2);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_tags("tag:a", 2);
    lab_again(&l, &cfg);
    cfg.tags = one;
    cfg.n_tags = 1;
    lab_begin(&l, &cfg);
    assert_tags("tag:b", 1);
    lab_again(&l, &cfg);
    cfg.tags = two; /* none of them */
    lab_begin(&l, &cfg);
    assert_tags("", 0);
    lab_stop(&l);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_tags("", 0);
}

static void what_is_no_tag_is_refused(void **st)
{
    static const char *const wrong[] = {"a", "tag:", "tg:abc", NULL};
    static char text[ND_TAGS_LEN];
    const char *many[ND_MAX_TAGS + 1];
    const char *tag;
    rmr_node_config cfg;
    (void)st;
    for (size_t i = 0; i < 4; i++) {
        lab_config(&l, &cfg);
        cfg.tags = &wrong[i];
        cfg.n_tags = 1;
        assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now),
                         RMR_E_INVAL);
    }
    for (size_t i = 0; i <= ND_MAX_TAGS; i++)
        many[i] = "tag:x";
    cfg.tags = many;
    cfg.n_tags = ND_MAX_TAGS + 1;
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_E_INVAL);
    cfg.n_tags = ND_MAX_TAGS;
    lab_begin(&l, &cfg); /* as many as may be */
    assert_int_equal(l.failed_events, 0);
    lab_again(&l, &cfg);
    memset(text, 'x', sizeof text - 2); /* and as long */
    memcpy(text, "tag:", 4);
    tag = text;
    cfg.tags = &tag;
    cfg.n_tags = 1;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    lab_restart(&l);
    text[sizeof text - 2] = 'x';
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_E_INVAL);
}

static void wrong_preferences_change_nothing(void **st)
{
    rmr_node_config cfg;
    rmr_node_prefs p;
    rmr_prefix many[RMR_NODE_MAX_ROUTES + 1];
    char text[300];
    (void)st;
    memset(text, 'x', sizeof text);
    text[299] = 0;
    lab_config(&l, &cfg);
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_OK);
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_SHIELDS_UP;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_NOTREADY);
    rmr_node_free(l.node);
    lab_begin(&l, &cfg);
    p.given = RMR_NODE_PREF_HOSTNAME | RMR_NODE_PREF_SHIELDS_UP;
    p.shields_up = true;
    p.hostname = text;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.hostname = "";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.given = RMR_NODE_PREF_EXIT_NODE | RMR_NODE_PREF_SHIELDS_UP;
    p.exit_node = text;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.given = RMR_NODE_PREF_ADVERTISE_ROUTES | RMR_NODE_PREF_SHIELDS_UP;
    memset(many, 0, sizeof many);
    p.advertise_routes = many;
    p.n_advertise_routes = 1; /* of no family */
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    for (size_t i = 0; i <= RMR_NODE_MAX_ROUTES; i++)
        many[i] = (rmr_prefix){{0xfd, (uint8_t)i, (uint8_t)(i >> 8), 1, 1, 1, 1,
                                1, 1, 1, 1, 1, 1, 1, 1, 1},
                               RMR_AF_INET6,
                               128};
    p.n_advertise_routes = RMR_NODE_MAX_ROUTES + 1;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    assert_false(l.node->keys.prefs.shields_up);
    /* As many as are allowed, and as long, fit into the state. */
    p.n_advertise_routes = RMR_NODE_MAX_ROUTES;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(l.node->keys.prefs.n_routes, RMR_NODE_MAX_ROUTES);
    assert_true(
        rmr_prefix_eq(&l.node->keys.prefs.routes[RMR_NODE_MAX_ROUTES - 1],
                      &many[RMR_NODE_MAX_ROUTES - 1]));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(preferences_are_kept_and_a_start_can_say_others),
        T(an_exit_node_stays_the_same_one_after_a_restart),
        T(tags_are_kept_until_others_are_asked_for),
        T(what_is_no_tag_is_refused),
        T(wrong_preferences_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
