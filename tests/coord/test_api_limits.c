/* The REST API: what it refuses, and answers that are long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_rig.h"
#include "json_tree.h"

static api_rig api;

/* ---- what is refused ----------------------------------------------------- */

static void what_is_not_allowed_is_refused(void **s)
{
    (void)s;
    static const struct {
        const char *method, *path, *body;
        int status;
    } t[] = {
        {"POST", "/api/v1/user", "{\"name\":\"\"}", 400},
        {"POST", "/api/v1/user", "{}", 400},
        {"POST", "/api/v1/user", "{\"name\":null}", 400},
        {"POST", "/api/v1/user", "{\"name\":\"a\\u0000b\"}", 422},
        {"POST", "/api/v1/user", "{\"name\":\"a b\"}", 400},
        {"POST", "/api/v1/user", "{\"name\":[\"a\"]}", 422},
        {"POST", "/api/v1/user", "{\"name\":{\"name\":\"a\"}}", 422},
        {"POST", "/api/v1/user", "{\"name\":true}", 422},
        {"POST", "/api/v1/user", "[]", 422},
        {"POST", "/api/v1/user", "\"alice\"", 422},
        {"POST", "/api/v1/user", "{\"name\":\"a\"}x", 400},
        {"POST", "/api/v1/user", "{\"name\":\"\xff\"}", 400},
        {"POST", "/api/v1/user/1/rename/a%00b", NULL, 400},
        {"POST", "/api/v1/user/1/rename/%zz", NULL, 400},
        {"POST", "/api/v1/user/1/rename/bob", NULL, 409},
        {"POST", "/api/v1/user/1/rename/9", NULL, 400},
        {"POST", "/api/v1/user/1/rename/", NULL, 404},
        {"POST", "/api/v1/user/18446744073709551616/rename/x", NULL, 400},
        {"POST", "/api/v1/user/0/rename/x", NULL, 404},
        {"DELETE", "/api/v1/user/-1", NULL, 400},
        {"DELETE", "/api/v1/user/0", NULL, 404},
        {"PUT", "/api/v1/user", "{}", 405},
        {"DELETE", "/api/v1/node", NULL, 405},
        {"HEAD", "/api/v1/node", NULL, 405},
        {"GET", "/api/v1/", NULL, 404},
        {"GET", "/api/v1/nothing", NULL, 404},
        {"GET", "/api/v1/node/", NULL, 404},
        {"GET", "/api/v1/node/1/2/3", NULL, 404},
        {"POST", "/api/v1/preauthkey", "{\"user\":\"0\"}", 400},
        {"POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"reusable\":1}", 422},
        {"POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"aclTags\":\"a\"}",
         422},
        {"POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"aclTags\":[1]}", 422},
        {"POST", "/api/v1/preauthkey",
         "{\"user\":\"1\",\"aclTags\":[\"tag:Big\"]}", 400},
        {"POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"expiration\":12}",
         422},
        {"POST", "/api/v1/preauthkey/expire", "{}", 400},
        {"DELETE", "/api/v1/preauthkey", NULL, 400},
        {"DELETE", "/api/v1/preauthkey?id=%", NULL, 400},
        {"POST", "/api/v1/node/1/tags", "{\"tags\":[\"tag:a b\"]}", 400},
        {"POST", "/api/v1/node/99/tags", "{\"tags\":[\"tag:a\"]}", 404},
        {"POST", "/api/v1/node/1/approve_routes",
         "{\"routes\":[\"10.0.0.1/8\"]}", 400},
        {"POST", "/api/v1/node/1/approve_routes", "{\"routes\":[\"10.0.0.1\"]}",
         400},
        {"POST", "/api/v1/node/1/approve_routes", "{\"routes\":[\"\"]}", 400},
        {"POST", "/api/v1/node/1/expire", "{\"expiry\":\"soon\"}", 422},
        {"POST", "/api/v1/node/1/rename/-a", NULL, 400},
        {"POST", "/api/v1/node/register", NULL, 400},
        {"POST", "/api/v1/auth/reject", "{\"authId\":\"x\"}", 400},
        {"POST", "/api/v1/auth/reject",
         "{\"authId\":\"hskey-authreq-000000000000000000000000\"}", 404},
        {"POST", "/api/v1/apikey/expire", "{}", 400},
        {"POST", "/api/v1/apikey/expire", "{\"prefix\":\"x\"}", 404},
        {"DELETE", "/api/v1/apikey/000000000000", NULL, 404},
        {"PUT", "/api/v1/policy", "{\"policy\":\"\"}", 400},
        {"PUT", "/api/v1/policy", "{}", 400},
        {"PUT", "/api/v1/policy", "{\"policy\":{}}", 422},
        {"POST", "/verify", "{\"NodePublic\":\"nodekey:12\"}", 400},
        {"POST", "/verify", "{\"NodePublic\":1}", 422},
    };
    rmr_coord_user u;
    ar_init(&api);
    ar_settle(&api);
    ar_join(&api, 1, "a2", 1, NULL, "");
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        int status = ar_status(&api, t[i].method, t[i].path, t[i].body);
        if (status != t[i].status)
            fail_msg("%s %s %s: %d", t[i].method, t[i].path,
                     t[i].body ? t[i].body : "", status);
    }
    /* Nothing of it was done. */
    assert_int_equal(rmr_coord_user_next(api.r.coord, 4, &u), RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_user_get(api.r.coord, 1, NULL, &u), RMR_OK);
    assert_string_equal(u.name, "alice");
    assert_int_equal(u.n_nodes, 1);
    rig_free(&api.r);
}

static int status_of_raw(const char *text)
{
    ar_answer a;
    rig_conn *c = rig_open(&api.r);
    rig_text(&api.r, c, text);
    ar_read(c, &a);
    int status = a.status;
    ar_free(&a);
    rig_leave(&api.r, c, true);
    return status;
}

static void bodies_are_json_and_of_a_size(void **s)
{
    (void)s;
    static const struct {
        const char *type;
        int status;
    } t[] = {{"application/json", 200},
             {"Application/JSON; charset=utf-8", 409},
             {"text/plain", 415},
             {"application/jsonx", 415},
             {"application/x-www-form-urlencoded", 415}};
    char text[1024];
    ar_init(&api);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization:"
                       " Bearer %s\r\nContent-Type: %s\r\nContent-Length: "
                       "14\r\n\r\n{\"name\":\"zoe\"}",
                       api.key, t[i].type);
        int status = status_of_raw(text);
        if (status != t[i].status)
            fail_msg("%s: %d", t[i].type, status);
    }
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\nContent-Length: 300000\r\n\r\n",
                   api.key);
    assert_int_equal(status_of_raw(text), 413);
    /* One answer, though it was refused before its body was too long. */
    rig_conn *c = rig_open(&api.r);
    rig_text(&api.r, c,
             "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nContent-Length: "
             "300000\r\n\r\n");
    c->got[c->n_got] = 0;
    assert_non_null(strstr((char *)c->got, " 401 "));
    assert_null(strstr((char *)c->got, " 413 "));
    assert_true(c->closed);
    rig_leave(&api.r, c, true);
    char big[5000];
    memset(big, ' ', sizeof big);
    big[0] = '{';
    big[sizeof big - 2] = '}';
    big[sizeof big - 1] = '\0';
    assert_int_equal(ar_status(&api, "POST", "/verify", big), 413);
    assert_int_equal(ar_status(&api, "POST", "/api/v1/user", big), 400);
    rig_free(&api.r);
}

static void deep_json_and_many_faults_are_bounded(void **s)
{
    (void)s;
    char text[8192];
    ar_answer a;
    size_t n = 0;
    ar_init(&api);
    for (size_t i = 0; i < 3000; i++)
        text[n++] = '[';
    text[n] = '\0';
    assert_int_equal(ar_status(&api, "POST", "/api/v1/user", text), 400);
    n = (size_t)sprintf(text, "{\"x\":1");
    for (int i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, ",\"\\u0001%d\":[{\"name\":3}]", i);
    (void)sprintf(text + n, "}");
    ar_ask(&api, AR_MAIN, "POST", "/api/v1/user", ar_bearer(&api), text, &a);
    assert_int_equal(a.status, 422);
    jt_node *is = jt_read(a.body, a.len);
    assert_int_equal(jt_count(jt_member(is, "errors")), 8);
    jt_free(is);
    ar_free(&a);
    rig_free(&api.r);
}

static void any_split_gives_the_same_answer(void **s)
{
    (void)s;
    char text[512];
    ar_init(&api);
    ar_settle(&api);
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/preauthkey HTTP/1.1\r\nHost: h\r\n"
                   "Authorization: Bearer %s\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n7\r\n{\"user\"\r\n5\r\n:\"1\"}\r\n0\r\n\r\n",
                   api.key);
    for (size_t at = 1; at < strlen(text); at++) {
        ar_answer a;
        rig_conn *c = rig_open(&api.r);
        rig_send(&api.r, c, text, at);
        rig_send(&api.r, c, text + at, strlen(text) - at);
        ar_read(c, &a);
        if (a.status != 200)
            fail_msg("split at %zu: %d", at, a.status);
        ar_free(&a);
        rig_leave(&api.r, c, true);
    }
    rig_free(&api.r);
}

static void a_slow_request_ends(void **s)
{
    (void)s;
    char text[256];
    ar_init(&api);
    rig_conn *c = rig_open(&api.r);
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\nContent-Length: 1000\r\n\r\n{",
                   api.key);
    rig_text(&api.r, c, text);
    for (int i = 0; i < 20 && !c->closed; i++) {
        rig_text(&api.r, c, " ");
        rig_wait(&api.r, 2 * RMR_SEC);
    }
    assert_true(c->closed);
    rig_leave(&api.r, c, true);
    rig_free(&api.r);
}

/* ---- long answers -------------------------------------------------------- */

#define MANY 1500
#define CROWD 300 /* answers of some 250 bytes are more than may wait */

static void many_users(void)
{
    char name[256];
    uint64_t id;
    memset(name, 'n', 250);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name + 240, 16, "%05u", i);
        assert_int_equal(rmr_coord_user_add(api.r.coord, name, &id), RMR_OK);
    }
}

static void ask_for_users(rig_conn *c, const char *version, const char *more)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "GET /api/v1/user HTTP/%s\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\n%s\r\n",
                   version, api.key, more);
    rig_text(&api.r, c, text);
}

static void a_long_list_goes_out_by_pieces(void **s)
{
    (void)s;
    ar_answer a;
    ar_init(&api);
    many_users();
    rig_conn *c = rig_open(&api.r);
    api.r.stands = true;
    size_t before = api.r.heap.live_bytes;
    ask_for_users(c, "1.1", "");
    /* What waits is bounded, whatever the list has. */
    size_t most = 0;
    while (api.r.sending) {
        if (api.r.heap.live_bytes - before > most)
            most = api.r.heap.live_bytes - before;
        rig_goes_on(&api.r);
    }
    api.r.stands = false;
    assert_true(most < (size_t)300 * 1024);
    ar_read(c, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Transfer-Encoding: chunked"));
    assert_true(a.len > (size_t)500 * 1024);
    jt_node *is = jt_read(a.body, a.len);
    assert_non_null(is);
    assert_int_equal(jt_count(jt_member(is, "users")), MANY);
    jt_free(is);
    ar_free(&a);
    assert_false(c->closed);
    /* The connection goes on behind it. */
    rig_take(c, c->n_got);
    ask_for_users(c, "1.1", "");
    assert_true(c->n_got > (size_t)500 * 1024);
    rig_leave(&api.r, c, true);
    /* HTTP/1.0 knows no chunks: it ends with the connection. */
    c = rig_open(&api.r);
    ask_for_users(c, "1.0", "");
    assert_true(c->closed);
    ar_read(c, &a);
    assert_null(strstr(a.head, "chunked"));
    is = jt_read(a.body, a.len);
    assert_int_equal(jt_count(jt_member(is, "users")), MANY);
    jt_free(is);
    ar_free(&a);
    rig_leave(&api.r, c, true);
    rig_free(&api.r);
}

static void a_list_may_change_while_it_goes_out(void **s)
{
    (void)s;
    ar_answer a;
    ar_init(&api);
    many_users();
    rig_conn *c = rig_open(&api.r);
    api.r.stands = true;
    ask_for_users(c, "1.1", "Connection: close\r\n");
    for (uint64_t id = 1; api.r.sending; id += 7) {
        (void)rmr_coord_user_remove(api.r.coord, id);
        (void)rmr_coord_user_remove(api.r.coord, MANY - id);
        rig_goes_on(&api.r);
    }
    api.r.stands = false;
    assert_true(c->closed);
    ar_read(c, &a);
    jt_node *is = jt_read(a.body, a.len);
    assert_non_null(is);
    assert_true(jt_count(jt_member(is, "users")) > MANY / 2);
    jt_free(is);
    ar_free(&a);
    rig_leave(&api.r, c, true);
    rig_free(&api.r);
}

static void a_client_that_takes_nothing_ends(void **s)
{
    (void)s;
    ar_init(&api);
    many_users();
    rig_conn *c = rig_open(&api.r);
    api.r.stands = true;
    ask_for_users(c, "1.1", "");
    rig_goes_on(&api.r);
    rig_wait(&api.r, 29 * RMR_SEC);
    assert_false(c->closed);
    rig_wait(&api.r, 2 * RMR_SEC);
    assert_true(c->closed);
    rig_leave(&api.r, c, false);
    /* One that asks ahead gets its first answer whole, and is shown out. */
    api.r.stands = false;
    c = rig_open(&api.r);
    api.r.stands = true;
    ask_for_users(c, "1.1", "");
    ask_for_users(c, "1.1", "");
    while (api.r.sending)
        rig_goes_on(&api.r);
    c->got[c->n_got] = 0;
    assert_true(c->closed);
    assert_non_null(strstr((char *)c->got, "\r\n0\r\n\r\n"));
    rig_leave(&api.r, c, true);
    rig_free(&api.r);
}

/* Many answers wait, so that there is no room for a long one's head, or for its
 * first piece: nothing of it comes then that could be taken for it. */
static void ask_behind(int crowd)
{
    static char text[CROWD * 256];
    size_t n = 0;
    rig_conn *c = rig_open(&api.r);
    api.r.stands = true;
    for (int i = 0; i < crowd; i++)
        n += (size_t)sprintf(text + n, "%s",
                             "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    n += (size_t)sprintf(text + n,
                         "GET /api/v1/user HTTP/1.1\r\nHost: h\r\n"
                         "Authorization: Bearer %s\r\n\r\n",
                         api.key);
    rig_send(&api.r, c, text, n);
    while (api.r.sending)
        rig_goes_on(&api.r);
    api.r.stands = false;
    c->got[c->n_got] = 0;
    const char *head = strstr((char *)c->got, "chunked");
    const char *begin = strstr((char *)c->got, "{\"users\":[");
    const char *some = strstr((char *)c->got, "nnnn");
    if (some && (!head || !begin || begin > some || c->closed))
        fail_msg("behind %d: a part of a list", crowd);
    if (!some && !c->closed)
        fail_msg("behind %d: no list, and no end", crowd);
    rig_leave(&api.r, c, true);
}

static void a_list_without_room_is_none(void **s)
{
    (void)s;
    ar_init(&api);
    many_users();
    for (int crowd = 100; crowd < CROWD; crowd++)
        ask_behind(crowd);
    rig_free(&api.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_allowed_is_refused),
        cmocka_unit_test(bodies_are_json_and_of_a_size),
        cmocka_unit_test(deep_json_and_many_faults_are_bounded),
        cmocka_unit_test(any_split_gives_the_same_answer),
        cmocka_unit_test(a_slow_request_ends),
        cmocka_unit_test(a_long_list_goes_out_by_pieces),
        cmocka_unit_test(a_list_may_change_while_it_goes_out),
        cmocka_unit_test(a_client_that_takes_nothing_ends),
        cmocka_unit_test(a_list_without_room_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
