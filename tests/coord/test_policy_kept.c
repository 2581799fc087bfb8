/* The policy's text: what is refused, what the API says of it, what is
 * stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_store.h"
#include "pol_rig.h"
#include "pol_texts.h"

static pol_rig p;

/* ---- bad ones ------------------------------------------------------------ */

static void a_bad_policy_is_refused_and_the_old_one_stays(void **s)
{
    rmr_pol_why why;
    rmr_coord_policy is;
    static const char good[] = ACLS(SELF "," ACL("\"alice@\"", "\"bob@:22\""));
    (void)s;
    pr_begin(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    pr_member *b = pr_join(&p, "b1", p.bob, NULL, "");
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
    pr_users(&p);
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
    pr_users(&p);
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
    pr_users(&p);
    assert_int_equal(
        pr_rest(&p, "GET", "/api/v1/policy", NULL, answer, sizeof answer), 500);
    pr_free(&p);
    fake_free(&disk);

    memset(&disk, 0, sizeof disk);
    cfg.policy = rmr_bytes_str(ACLS(ACL("\"alice@\"", "\"bob@:22\"")));
    pr_init(&p, &cfg);
    pr_users(&p);
    pr_member *a = pr_join(&p, "a1", p.alice, NULL, "");
    (void)pr_join(&p, "b1", p.bob, NULL, "");
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
    pr_users(&p);
    (void)pr_join(&p, "a1", p.alice, NULL, "");
    (void)pr_join(&p, "b1", p.bob, NULL, "");
    (void)pr_join(&p, "t1", 0, "tag:server", "");
    pr_policy(&p, text);
    rig_wait(&p.r, RMR_SEC);
    assert_true(fake_has(&disk, RMR_COORD_ROW_POLICY, 0));
    pr_free(&p);

    pr_init(&p, &cfg);
    assert_int_equal(rmr_coord_get_policy(p.r.coord, &is), RMR_OK);
    assert_true(rmr_bytes_eq_str(is.text, text));
    assert_true(is.updated_unix_ns > 0);
    p.bob = 2;
    p.base = 10;
    pr_member *b = pr_join(&p, "b2", p.bob, NULL, "");
    assert_true(pr_sees(b, "a1") && !pr_sees(b, "b1") && !pr_sees(b, "t1"));
    pr_expect(json_object_get(json_array_get(b->filter, 0), "SrcIPs"),
              "[\"100.64.0.1\",\"fd7a:115c:a1e0::1\"]");
    /* While the store fails, nothing is replaced. */
    disk.fails = true;
    assert_int_equal(rmr_coord_user_add(p.r.coord, "eve", &p.bob), RMR_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_policy_is_refused_and_the_old_one_stays),
        cmocka_unit_test(captured_reasons_come_by_the_api),
        cmocka_unit_test(a_long_policy_goes_there_and_back),
        cmocka_unit_test(in_file_mode_the_api_only_reads),
        cmocka_unit_test(a_policy_beside_the_database_is_no_config),
        cmocka_unit_test(a_stored_policy_is_in_force_after_a_restart),
        cmocka_unit_test(a_stored_policy_that_is_none_ends_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
