/* Policies against what Headscale made of them: filters, peers and routes of
 * five nodes; SSH policies; approved routes. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void one_case(json_t *c)
{
    pol_world w;
    char what[256];
    const char *name = json_string_value(json_object_get(c, "name"));
    json_t *nodes = json_object_get(c, "node");
    json_t *global = json_object_get(c, "global"), *want;
    const char *node;
    pol_world_new(&w, json_is_true(json_object_get(c, "exit")));
    pol_world_set(&w, json_string_value(json_object_get(c, "policy")));
    snprintf(what, sizeof what, "%s, tailnet", name);
    pol_expect(what, pol_filter(&w, NULL), global);
    assert_int_equal(json_object_size(nodes), 5);
    json_object_foreach(nodes, node, want)
    {
        snprintf(what, sizeof what, "%s, filter of %s", name, node);
        pol_expect(what, pol_filter(&w, node),
                   json_is_string(want) ? global : want);
        snprintf(what, sizeof what, "%s, peers of %s", name, node);
        pol_expect(what, pol_peers(&w, node),
                   json_object_get(json_object_get(c, "peers"), node));
    }
    pol_world_free(&w);
}

static void filters_and_peers_are_those_of_headscale(void **state)
{
    json_t *doc = pol_vectors("policy-cases.json"), *c;
    size_t i, n = 0;
    (void)state;
    json_array_foreach(json_object_get(doc, "cases"), i, c)
    {
        one_case(c);
        n++;
    }
    json_decref(doc);
    assert_int_equal(n, 41);
}

static void ssh_policies_are_those_of_headscale(void **state)
{
    json_t *doc = pol_vectors("policy-ssh.json"), *c, *want;
    const char *node;
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(doc, "cases"), i, c)
    {
        pol_world w;
        pol_world_new(&w, false);
        pol_world_set(&w, json_string_value(json_object_get(c, "policy")));
        json_object_foreach(json_object_get(c, "ssh"), node, want)
        {
            json_t *got = pol_ssh_of(&w, node);
            json_t *rules =
                json_is_null(want) ? json_array() : json_incref(want);
            pol_expect(node, json_incref(json_object_get(got, "rules")), rules);
            json_decref(rules);
            json_decref(got);
        }
        pol_world_free(&w);
    }
    json_decref(doc);
}

static void approve_case(pol_world *w, const json_t *c)
{
    static const char *const announced[] = {"192.168.8.0/24", "192.168.20.0/24",
                                            "0.0.0.0/0", "::/0"};
    char policy[512];
    char *block = json_dumps(json_object_get(c, "autoApprovers"), JSON_COMPACT);
    snprintf(policy, sizeof policy,
             "{\"tagOwners\":{\"tag:router\":[\"alice@\"],"
             "\"tag:server\":[\"alice@\"]},\"autoApprovers\":%s}",
             block);
    pol_world_set(w, policy);
    json_t *got = json_array();
    for (size_t i = 0; i < 4; i++) {
        rmr_prefix p;
        bool ok = false;
        rmr_prefix_parse(rmr_bytes_str(announced[i]), &p);
        assert_int_equal(
            rmr_pol_approves(w->net, pol_world_id(w, "r1"), &p, &ok), RMR_OK);
        if (ok)
            json_array_append_new(got, json_string(announced[i]));
    }
    pol_expect(block, got, json_object_get(c, "approved"));
    free(block);
}

static void routes_are_approved_as_headscale_does(void **state)
{
    json_t *doc = pol_vectors("policy-approve.json"), *c;
    size_t i;
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    json_array_foreach(json_object_get(doc, "cases"), i, c)
    {
        approve_case(&w, c);
    }
    pol_world_free(&w);
    json_decref(doc);
}

static void refused_policies_tell_headscales_reason(void **state)
{
    json_t *doc = pol_vectors("policy-refused.json"), *c;
    size_t i;
    pol_world w;
    (void)state;
    pol_world_new(&w, false);
    json_array_foreach(json_object_get(doc, "cases"), i, c)
    {
        const char *text = json_string_value(json_object_get(c, "policy"));
        const char *want = json_string_value(json_object_get(c, "why"));
        rmr_pol_why why;
        rmr_pol *pol = NULL;
        rmr_err err = rmr_pol_parse(&pol, &w.alloc, rmr_bytes_str(text), &why);
        if (!err)
            err = rmr_pol_net_check(w.net, pol, &why);
        if (want)
            assert_string_equal(why.text, want);
        assert_int_equal(err, want ? RMR_E_MALFORMED : RMR_OK);
        if (want && !strstr(want, "nodeAttrs"))
            assert_int_equal(why.line, 1);
        rmr_pol_free(pol);
    }
    assert_int_equal(i, 48);
    pol_world_free(&w);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_and_peers_are_those_of_headscale),
        cmocka_unit_test(ssh_policies_are_those_of_headscale),
        cmocka_unit_test(routes_are_approved_as_headscale_does),
        cmocka_unit_test(refused_policies_tell_headscales_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
