/* The REST API: exchanges of another implementation played again, who may ask,
 * and what else it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_rig.h"
#include "fake_store.h"
#include "json_tree.h"
#include "vectors.h"

static api_rig api;

static char prefix3[13];

static void add_api_keys(void)
{
    char text[RMR_COORD_API_KEY_TEXT];
    uint64_t id;
    rmr_coord_api_key k;
    assert_int_equal(rmr_coord_api_key_add(api.r.coord, AR_END, text, &id),
                     RMR_OK);
    assert_int_equal(rmr_coord_api_key_add(api.r.coord, AR_END, text, &id),
                     RMR_OK);
    assert_int_equal(rmr_coord_api_key_next(api.r.coord, 2, &k), RMR_OK);
    memcpy(prefix3, k.prefix, sizeof prefix3);
}

/* ---- the exchanges ------------------------------------------------------- */

/* What stands for what this server made: $PREFIX3, $LOGIN. */
static char *filled(const char *text)
{
    static const char *const names[] = {"$PREFIX3", "$LOGIN"};
    const char *values[] = {prefix3, api.r.login};
    char *out = calloc(1, strlen(text) + 256);
    size_t n = 0;
    assert_non_null(out);
    while (*text) {
        size_t i = 0;
        while (i < 2 && strncmp(text, names[i], strlen(names[i])) != 0)
            i++;
        if (i == 2) {
            out[n++] = *text++;
            continue;
        }
        n += (size_t)sprintf(out + n, "%s", values[i]);
        text += strlen(names[i]);
    }
    return out;
}

static void play(const jt_node *step)
{
    const jt_node *q = jt_member(step, "request");
    const jt_node *want = jt_member(step, "answer");
    const char *name = jt_text(step, "name"), *auth = jt_text(q, "auth");
    const jt_node *b = jt_member(q, "body"), *body = jt_member(want, "body");
    char where[256] = "";
    ar_answer a;
    if (strcmp(name, "auth-register") == 0)
        ar_wait(&api, 6, "Phantom Box");
    else if (strcmp(name, "node-register-legacy") == 0)
        ar_wait(&api, 7, "phantom2");
    else if (strcmp(name, "node-tags-empty") == 0)
        assert_int_equal(
            rmr_coord_set_policy(api.r.coord,
                                 rmr_bytes_str("{\"acls\":[],\"tagOwners\":{"
                                               "\"tag:server\":[],"
                                               "\"tag:router\":[]}}"),
                                 NULL),
            RMR_OK);
    char *path = filled(jt_text(q, "path"));
    char *text = b ? filled(b->text) : NULL;
    ar_ask(&api, AR_MAIN, jt_text(q, "method"), path,
           strcmp(auth, "good") == 0   ? ar_bearer(&api)
           : strcmp(auth, "none") == 0 ? NULL
                                       : auth,
           text, &a);
    free(path);
    free(text);
    if (a.status != atoi(jt_text(want, "status")))
        fail_msg("%s: status %d: %s", name, a.status, a.body);
    if (strcmp(a.type, jt_text(want, "type")) != 0)
        fail_msg("%s: type %s", name, a.type);
    jt_node *is = jt_read(a.body, a.len);
    if (body && (!is || !jt_same(body, is, where)))
        fail_msg("%s: %s\n%s", name, where, a.body);
    if (!body && strcmp(a.body, jt_text(want, "text")) != 0)
        fail_msg("%s: %s", name, a.body);
    assert_non_null(strstr(a.head, "X-Frame-Options: DENY\r\n"));
    assert_non_null(strstr(a.head, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(a.head, "Referrer-Policy: no-referrer\r\n"));
    jt_free(is);
    ar_free(&a);
}

static void recorded_exchanges_come_out_alike(void **s)
{
    (void)s;
    size_t len;
    char *text = tv_bytes("coord/api.json", &len);
    jt_node *steps = jt_read(text, len);
    assert_non_null(steps);
    ar_init(&api);
    add_api_keys();
    ar_settle(&api);
    ar_join(&api, 1, "a2", 1, NULL, "");
    ar_join(&api, 2, "b1", 2, NULL, "");
    ar_join(&api, 3, "t1", 0, "tag:server", "");
    ar_join(&api, 4, "r1", 0, "tag:router",
            ",\"RoutableIPs\":[\"0.0.0.0/0\",\"::/0\",\"192.168.8.0/24\","
            "\"192.168.20.0/24\"]");
    ar_join(&api, 5, "curtis-s-ipad-pro", 1, NULL, "");
    for (const jt_node *x = steps->first; x; x = x->next)
        play(x);
    jt_free(steps);
    free(text);
    rig_free(&api.r);
}

/* ---- who may ------------------------------------------------------------- */

static void a_key_opens_until_it_ends(void **s)
{
    (void)s;
    char text[128];
    ar_answer a;
    uint64_t id;
    ar_init(&api);
    const char *const wrong[] = {"",       "Bearer",   "Bearer ",
                                 "bearer", "Basic YQ", "Bearer  "};
    for (size_t i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof text, "%s%s%s", wrong[i], i >= 3 ? " " : "",
                       i >= 3 ? api.key : "");
        ar_ask(&api, AR_MAIN, "GET", "/api/v1/user", text, NULL, &a);
        assert_int_equal(a.status, 401);
        assert_string_equal(a.type, "application/problem+json");
        ar_free(&a);
    }
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 200);
    /* Another digit at the end is another key. */
    size_t end = strlen(api.key) - 1;
    char last = api.key[end];
    api.key[end] = last == 'a' ? 'b' : 'a';
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 401);
    api.key[end] = last;
    rig_wait(&api.r, 200000 * (uint64_t)1000 * RMR_SEC);
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 401);
    assert_int_equal(rmr_coord_api_key_add(api.r.coord, 0, api.key, &id),
                     RMR_OK);
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 200);
    assert_int_equal(rmr_coord_api_key_expire(api.r.coord, id), RMR_OK);
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 401);
    assert_int_equal(rmr_coord_api_key_remove(api.r.coord, id), RMR_OK);
    assert_int_equal(rmr_coord_api_key_remove(api.r.coord, id), RMR_E_NOTFOUND);
    rig_free(&api.r);
}

static void the_socket_asks_for_no_key_and_has_the_api_alone(void **s)
{
    (void)s;
    static const struct {
        int where;
        const char *path;
        int status;
    } t[] = {
        {AR_SOCKET, "/api/v1/health", 200},  {AR_SOCKET, "/api/v1/node", 200},
        {AR_SOCKET, "/health", 404},         {AR_SOCKET, "/version", 404},
        {AR_SOCKET, "/key?v=138", 404},      {AR_SOCKET, "/metrics", 404},
        {AR_MAIN, "/api/v1/health", 401},    {AR_MAIN, "/health", 200},
        {AR_MAIN, "/version", 200},          {AR_MAIN, "/metrics", 404},
        {AR_METRICS, "/metrics", 200},       {AR_METRICS, "/health", 404},
        {AR_METRICS, "/api/v1/health", 404}, {AR_METRICS, "/key?v=138", 404},
    };
    ar_answer a;
    ar_init(&api);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        ar_ask(&api, t[i].where, "GET", t[i].path, NULL, NULL, &a);
        if (a.status != t[i].status)
            fail_msg("%d %s: %d", t[i].where, t[i].path, a.status);
        ar_free(&a);
    }
    ar_ask(&api, AR_MAIN, "GET", "/version", NULL, NULL, &a);
    assert_non_null(strstr(a.body, "\"version\":\"v1.2.3\""));
    ar_free(&a);
    rig_free(&api.r);
}

/* ---- what else ----------------------------------------------------------- */

static void a_login_is_rejected(void **s)
{
    (void)s;
    char body[128];
    ar_init(&api);
    ar_settle(&api);
    ar_wait(&api, 9, "x");
    (void)snprintf(body, sizeof body, "{\"authId\":\"%s\"}", api.r.login);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/auth/approve", body),
                     400);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/auth/reject", body), 200);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/auth/reject", body), 404);
    rig_free(&api.r);
}

static void a_relay_may_ask_who_is_a_node(void **s)
{
    (void)s;
    ar_answer a;
    ar_init(&api);
    ar_settle(&api);
    ar_join(&api, 1, "a2", 1, NULL, "");
    ar_ask(&api, AR_MAIN, "POST", "/verify", NULL,
           "{\"NodePublic\":\"nodekey:00000000000000000000000000000000000000000"
           "00000000000000000000011\",\"Source\":\"192.0.2.1\"}",
           &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"Allow\":true}");
    ar_free(&a);
    rig_free(&api.r);
}

static void figures_count_what_was_asked(void **s)
{
    (void)s;
    static const char *const lines[] = {
        "\nremora_nodes_total 1\n",
        "\nremora_nodes_active 0\n",
        "remora_auth_events_total{result=\"ok\"} 3\n",
        "remora_auth_events_total{result=\"missing\"} 1\n",
        "remora_keys_minted_total{kind=\"client\"} 1\n",
        "remora_devices_revoked_total 0\n",
        "remora_api_requests_total{route=\"/api/v1/node/{}\",method=\"GET\","
        "code=\"404\"} 1\n",
        "remora_api_errors_total{route=\"/api/v1/node/{}\",method=\"GET\","
        "class=\"4xx\"} 1\n",
        "remora_api_request_duration_seconds_count{route=\"/api/v1/user\","
        "method=\"GET\"} 2\n",
        "remora_api_request_duration_seconds_bucket{route=\"/api/v1/user\","
        "method=\"GET\",le=\"+Inf\"} 2\n",
    };
    ar_answer a;
    ar_init(&api);
    ar_settle(&api);
    ar_join(&api, 1, "secret-name", 1, NULL, "");
    (void)ar_status(&api, "GET", "/api/v1/user", NULL);
    (void)ar_status(&api, "GET", "/api/v1/node/77", NULL);
    (void)ar_status(&api, "POST", "/api/v1/preauthkey", "{\"user\":\"1\"}");
    ar_ask(&api, AR_MAIN, "GET", "/api/v1/user", NULL, NULL, &a);
    ar_free(&a);
    ar_ask(&api, AR_METRICS, "GET", "/metrics", NULL, NULL, &a);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (!strstr(a.body, lines[i]))
            fail_msg("%s\n%s", lines[i], a.body);
    }
    assert_null(strstr(a.body, "secret-name"));
    assert_null(strstr(a.body, "alice"));
    assert_null(strstr(a.body, "77"));
    ar_free(&a);
    rig_free(&api.r);
}

/* It is made, as its client is told; what comes later is not. */
static void the_change_that_met_the_failure_is_stored_later(void **s)
{
    static fake_store store;
    rmr_coord_store table = fake_table(&store);
    rmr_coord_config cfg;
    rmr_coord_user u;
    uint64_t id;
    ar_answer a;
    (void)s;
    rig_config(&cfg);
    cfg.store = &table;
    rig_init(&api.r, &cfg);
    assert_int_equal(rmr_coord_api_key_add(api.r.coord, AR_END, api.key, &id),
                     RMR_OK);
    rig_wait(&api.r, RMR_SEC);
    store.fails = true;
    ar_ask(&api, AR_MAIN, "POST", "/api/v1/user", ar_bearer(&api),
           "{\"name\":\"first\"}", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "the change is not stored yet"));
    ar_free(&a);
    ar_ask(&api, AR_MAIN, "POST", "/api/v1/user", ar_bearer(&api),
           "{\"name\":\"second\"}", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "nothing can be changed now"));
    ar_free(&a);
    assert_false(fake_has(&store, RMR_COORD_ROW_USER, 1));
    store.fails = false;
    rig_wait(&api.r, 2 * RMR_SEC);
    assert_true(fake_has(&store, RMR_COORD_ROW_USER, 1));
    assert_int_equal(rmr_coord_user_get(api.r.coord, 0, "first", &u), RMR_OK);
    assert_int_equal(rmr_coord_user_get(api.r.coord, 0, "second", &u),
                     RMR_E_NOTFOUND);
    rig_free(&api.r);
    fake_free(&store);
}

static const char *more_text;

static size_t more_metrics(void *user, rmr_buf dst)
{
    size_t len = strlen(more_text);
    assert_ptr_equal(user, &more_text);
    assert_int_equal(dst.len, 32 * 1024);
    memcpy(dst.ptr, more_text, len);
    return len;
}

static void the_program_adds_metrics(void **s)
{
    static char longest[32 * 1024 + 1];
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 9090);
    const char *texts[] = {"derp_accepts 7\n", "", longest};
    rmr_coord_config cfg;
    (void)s;
    memset(longest, '#', sizeof longest - 2);
    longest[sizeof longest - 2] = '\n';
    rig_config(&cfg);
    cfg.metrics_listen = &at;
    cfg.more_metrics = more_metrics;
    cfg.more_metrics_user = &more_text;
    rig_init(&api.r, &cfg);
    for (size_t i = 0; i < 3; i++) {
        ar_answer a;
        size_t len = strlen(texts[i]);
        more_text = texts[i];
        ar_ask(&api, 1, "GET", "/metrics", NULL, NULL, &a);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.body, "remora_nodes_total 0\n"));
        assert_non_null(strstr(a.body, "_duration_seconds histogram\n"));
        assert_string_equal(a.body + strlen(a.body) - len, texts[i]);
        ar_free(&a);
    }
    rig_free(&api.r);
}

static void what_was_answered_is_stored(void **s)
{
    (void)s;
    static fake_store store;
    rmr_coord_store table = fake_table(&store);
    rmr_coord_config cfg;
    rmr_coord_user u;
    uint64_t id;
    rig_config(&cfg);
    cfg.store = &table;
    rig_init(&api.r, &cfg);
    assert_int_equal(rmr_coord_api_key_add(api.r.coord, AR_END, api.key, &id),
                     RMR_OK);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/user",
                               "{\"name\":\"zoe\",\"displayName\":\"Zoe\"}"),
                     200);
    assert_true(fake_has(&store, RMR_COORD_ROW_USER, 1));
    assert_true(fake_has(&store, RMR_COORD_ROW_API_KEY, 1));
    store.fails = true;
    assert_int_equal(
        ar_status(&api, "POST", "/api/v1/user", "{\"name\":\"a\"}"), 503);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/apikey", "{}"), 503);
    assert_int_equal(ar_status(&api, "DELETE", "/api/v1/user/1", NULL), 503);
    assert_int_equal(ar_status(&api, "GET", "/api/v1/user", NULL), 200);
    store.fails = false;
    rig_free(&api.r);
    /* It is there again, and the key opens. */
    rig_init(&api.r, &cfg);
    assert_int_equal(rmr_coord_user_get(api.r.coord, 1, NULL, &u), RMR_OK);
    assert_string_equal(u.name, "zoe");
    ar_answer a;
    ar_ask(&api, AR_MAIN, "GET", "/api/v1/user", ar_bearer(&api), NULL, &a);
    assert_non_null(strstr(a.body, "\"displayName\":\"Zoe\""));
    ar_free(&a);
    assert_int_equal(ar_status(&api, "DELETE", "/api/v1/user/1", NULL), 200);
    assert_false(fake_has(&store, RMR_COORD_ROW_USER, 1));
    rig_free(&api.r);
    fake_free(&store);
}

static void memory_may_lack_at_any_moment(void **s)
{
    (void)s;
    ar_init(&api);
    ar_settle(&api);
    ar_join(&api, 1, "a2", 1, NULL, "");
    for (size_t n = 1; n < 400; n++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"name\":\"u%zu\"}", n);
        api.r.heap.failed = 0;
        api.r.heap.fail_at = api.r.heap.calls + n;
        int status = ar_status(&api, "POST", "/api/v1/user", body);
        api.r.heap.fail_at = 0;
        if (api.r.heap.failed == 0) {
            assert_int_equal(status, 200);
            assert_true(n > 6);
            rig_free(&api.r);
            return;
        }
        /* Some can be done without. */
        if (status != 0 && status != 500 && status != 503 && status != 200)
            fail_msg("allocation %zu: %d", n, status);
    }
    fail_msg("it takes more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_exchanges_come_out_alike),
        cmocka_unit_test(a_key_opens_until_it_ends),
        cmocka_unit_test(the_socket_asks_for_no_key_and_has_the_api_alone),
        cmocka_unit_test(a_login_is_rejected),
        cmocka_unit_test(a_relay_may_ask_who_is_a_node),
        cmocka_unit_test(figures_count_what_was_asked),
        cmocka_unit_test(the_program_adds_metrics),
        cmocka_unit_test(the_change_that_met_the_failure_is_stored_later),
        cmocka_unit_test(what_was_answered_is_stored),
        cmocka_unit_test(memory_may_lack_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
