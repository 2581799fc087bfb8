/* The REST API: exchanges of another implementation played again, then what a
 * server must bear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remora/text.h>

#include "crd_rig.h"
#include "fake_store.h"
#include "json_tree.h"

#define END ((uint64_t)1900000000 * RMR_SEC)

enum { MAIN, SOCKET, METRICS };

static rig r;
static rig_client client;
static char api_key[RMR_COORD_API_KEY_TEXT], prefix3[13];

/* ---- asking -------------------------------------------------------------- */

typedef struct answer {
    int status;
    char type[96];
    char head[2048];
    char *body; /* without chunks */
    size_t len;
} answer;

static void answer_free(answer *a)
{
    free(a->body);
    memset(a, 0, sizeof *a);
}

static void take_body(answer *a, const char *p, size_t n)
{
    a->body = calloc(1, n + 1);
    assert_non_null(a->body);
    if (!strstr(a->head, "Transfer-Encoding: chunked")) {
        memcpy(a->body, p, n);
        a->len = n;
        return;
    }
    for (;;) {
        char *end;
        unsigned long len = strtoul(p, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        p = end + 2;
        memcpy(a->body + a->len, p, len);
        a->len += len;
        p += len;
        assert_memory_equal(p, "\r\n", 2);
        p += 2;
        if (len == 0)
            break;
    }
}

static void read_answer(rig_conn *c, answer *a)
{
    memset(a, 0, sizeof *a);
    c->got[c->n_got] = 0;
    const char *t = (const char *)c->got, *end = strstr(t, "\r\n\r\n");
    if (!end)
        return;
    size_t n = (size_t)(end + 4 - t);
    assert_true(n < sizeof a->head);
    memcpy(a->head, t, n);
    a->status = atoi(t + 9);
    const char *type = strstr(a->head, "Content-Type: ");
    if (type)
        (void)sscanf(type + 14, "%95[^\r]", a->type);
    take_body(a, t + n, c->n_got - n);
}

/* auth: NULL: none. */
static void ask_at(int where, const char *method, const char *path,
                   const char *auth, const char *body, answer *a)
{
    static char text[1 << 16];
    rig_conn *c = rig_open_at(&r, where);
    (void)snprintf(text, sizeof text,
                   "%s %s HTTP/1.1\r\nHost: h\r\n%s%s%s%sContent-Length: "
                   "%zu\r\n\r\n%s",
                   method, path, auth ? "Authorization: " : "",
                   auth ? auth : "", auth ? "\r\n" : "",
                   body ? "Content-Type: application/json\r\n" : "",
                   body ? strlen(body) : 0, body ? body : "");
    rig_text(&r, c, text);
    read_answer(c, a);
    rig_leave(&r, c, true);
}

static const char *bearer(void)
{
    static char text[128];
    (void)snprintf(text, sizeof text, "Bearer %s", api_key);
    return text;
}

static int status_of(const char *method, const char *path, const char *body)
{
    answer a;
    ask_at(MAIN, method, path, bearer(), body, &a);
    int status = a.status;
    answer_free(&a);
    return status;
}

/* ---- a tailnet ----------------------------------------------------------- */

static void set_up(void)
{
    rmr_coord_config cfg;
    rmr_addr metrics = rmr_addr_v4(127, 0, 0, 1, 9090);
    uint64_t id;
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    cfg.metrics_listen = &metrics;
    cfg.version = "v1.2.3";
    rig_init(&r, &cfg);
    assert_int_equal(r.n_listeners, 3);
    assert_int_equal(rmr_coord_api_key_add(r.coord, END, api_key, &id), RMR_OK);
}

static void join(uint8_t machine, const char *host, uint64_t user,
                 const char *tag, const char *more)
{
    char key[RMR_COORD_KEY_TEXT], text[1024];
    uint64_t id;
    rmr_coord_key_wish w = {.user = user,
                            .tags = &tag,
                            .n_tags = tag != NULL,
                            .expiry_unix_ns = END};
    assert_int_equal(rmr_coord_key_add(r.coord, &w, key, &id), RMR_OK);
    assert_true(rig_join(&client, &r, machine, 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\",\"Auth\":{"
                   "\"AuthKey\":\"%s\"},\"Hostinfo\":{\"Hostname\":\"%s\"%s}}",
                   10u + machine, key, host, more);
    rig_answer *a = rig_ask(&client, "/machine/register", text);
    assert_int_equal(a->status, 200);
    rig_part(&client);
}

/* A login that waits; its id is in r.login. */
static void wait_for_login(uint8_t machine, const char *host)
{
    char text[512];
    assert_true(rig_join(&client, &r, machine, 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\","
                   "\"Hostinfo\":{\"Hostname\":\"%s\"}}",
                   10u + machine, host);
    (void)rig_ask(&client, "/machine/register", text);
    rig_part(&client);
}

static void settle(void)
{
    static const char *const names[] = {"alice", "bob", "carol", "dave"};
    uint64_t id;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(rmr_coord_user_add(r.coord, names[i], &id), RMR_OK);
    assert_int_equal(rmr_coord_user_describe(r.coord, 2, "Bob",
                                             "bob@example.test",
                                             "http://127.0.0.1/p.png"),
                     RMR_OK);
}

static void add_api_keys(void)
{
    char text[RMR_COORD_API_KEY_TEXT];
    uint64_t id;
    rmr_coord_api_key k;
    assert_int_equal(rmr_coord_api_key_add(r.coord, END, text, &id), RMR_OK);
    assert_int_equal(rmr_coord_api_key_add(r.coord, END, text, &id), RMR_OK);
    assert_int_equal(rmr_coord_api_key_next(r.coord, 2, &k), RMR_OK);
    memcpy(prefix3, k.prefix, sizeof prefix3);
}

/* ---- the exchanges ------------------------------------------------------- */

/* What stands for what this server made: $PREFIX3, $LOGIN. */
static char *filled(const char *text)
{
    static const char *const names[] = {"$PREFIX3", "$LOGIN"};
    const char *values[] = {prefix3, r.login};
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
    answer a;
    if (strcmp(name, "auth-register") == 0)
        wait_for_login(6, "Phantom Box");
    else if (strcmp(name, "node-register-legacy") == 0)
        wait_for_login(7, "phantom2");
    else if (strcmp(name, "node-tags-empty") == 0)
        assert_int_equal(
            rmr_coord_set_policy(r.coord,
                                 rmr_bytes_str("{\"acls\":[],\"tagOwners\":{"
                                               "\"tag:server\":[],"
                                               "\"tag:router\":[]}}"),
                                 NULL),
            RMR_OK);
    char *path = filled(jt_text(q, "path"));
    char *text = b ? filled(b->text) : NULL;
    ask_at(MAIN, jt_text(q, "method"), path,
           strcmp(auth, "good") == 0   ? bearer()
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
    answer_free(&a);
}

static char *whole_file(const char *name, size_t *len)
{
    FILE *f = fopen(name, "rb");
    char *p = malloc(1 << 20);
    assert_non_null(f);
    assert_non_null(p);
    *len = fread(p, 1, 1 << 20, f);
    (void)fclose(f);
    return p;
}

static void recorded_exchanges_come_out_alike(void **s)
{
    (void)s;
    size_t len;
    char *text = whole_file(REMORA_VECTORS "/coord/api.json", &len);
    jt_node *steps = jt_read(text, len);
    assert_non_null(steps);
    set_up();
    add_api_keys();
    settle();
    join(1, "a2", 1, NULL, "");
    join(2, "b1", 2, NULL, "");
    join(3, "t1", 0, "tag:server", "");
    join(4, "r1", 0, "tag:router",
         ",\"RoutableIPs\":[\"0.0.0.0/0\",\"::/0\",\"192.168.8.0/24\","
         "\"192.168.20.0/24\"]");
    join(5, "curtis-s-ipad-pro", 1, NULL, "");
    for (const jt_node *x = steps->first; x; x = x->next)
        play(x);
    jt_free(steps);
    free(text);
    rig_free(&r);
}

/* ---- who may ------------------------------------------------------------- */

static void a_key_opens_until_it_ends(void **s)
{
    (void)s;
    char text[128];
    answer a;
    uint64_t id;
    set_up();
    const char *const wrong[] = {"",       "Bearer",   "Bearer ",
                                 "bearer", "Basic YQ", "Bearer  "};
    for (size_t i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof text, "%s%s%s", wrong[i], i >= 3 ? " " : "",
                       i >= 3 ? api_key : "");
        ask_at(MAIN, "GET", "/api/v1/user", text, NULL, &a);
        assert_int_equal(a.status, 401);
        assert_string_equal(a.type, "application/problem+json");
        answer_free(&a);
    }
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 200);
    /* Another digit at the end is another key. */
    size_t end = strlen(api_key) - 1;
    char last = api_key[end];
    api_key[end] = last == 'a' ? 'b' : 'a';
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 401);
    api_key[end] = last;
    rig_wait(&r, 200000 * (uint64_t)1000 * RMR_SEC);
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 401);
    assert_int_equal(rmr_coord_api_key_add(r.coord, 0, api_key, &id), RMR_OK);
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 200);
    assert_int_equal(rmr_coord_api_key_expire(r.coord, id), RMR_OK);
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 401);
    assert_int_equal(rmr_coord_api_key_remove(r.coord, id), RMR_OK);
    assert_int_equal(rmr_coord_api_key_remove(r.coord, id), RMR_E_NOTFOUND);
    rig_free(&r);
}

static void the_socket_asks_for_no_key_and_has_the_api_alone(void **s)
{
    (void)s;
    static const struct {
        int where;
        const char *path;
        int status;
    } t[] = {
        {SOCKET, "/api/v1/health", 200},  {SOCKET, "/api/v1/node", 200},
        {SOCKET, "/health", 404},         {SOCKET, "/version", 404},
        {SOCKET, "/key?v=138", 404},      {SOCKET, "/metrics", 404},
        {MAIN, "/api/v1/health", 401},    {MAIN, "/health", 200},
        {MAIN, "/version", 200},          {MAIN, "/metrics", 404},
        {METRICS, "/metrics", 200},       {METRICS, "/health", 404},
        {METRICS, "/api/v1/health", 404}, {METRICS, "/key?v=138", 404},
    };
    answer a;
    set_up();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        ask_at(t[i].where, "GET", t[i].path, NULL, NULL, &a);
        if (a.status != t[i].status)
            fail_msg("%d %s: %d", t[i].where, t[i].path, a.status);
        answer_free(&a);
    }
    ask_at(MAIN, "GET", "/version", NULL, NULL, &a);
    assert_non_null(strstr(a.body, "\"version\":\"v1.2.3\""));
    answer_free(&a);
    rig_free(&r);
}

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
    set_up();
    settle();
    join(1, "a2", 1, NULL, "");
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        int status = status_of(t[i].method, t[i].path, t[i].body);
        if (status != t[i].status)
            fail_msg("%s %s %s: %d", t[i].method, t[i].path,
                     t[i].body ? t[i].body : "", status);
    }
    /* Nothing of it was done. */
    assert_int_equal(rmr_coord_user_next(r.coord, 4, &u), RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_user_get(r.coord, 1, NULL, &u), RMR_OK);
    assert_string_equal(u.name, "alice");
    assert_int_equal(u.n_nodes, 1);
    rig_free(&r);
}

static int status_of_raw(const char *text)
{
    answer a;
    rig_conn *c = rig_open(&r);
    rig_text(&r, c, text);
    read_answer(c, &a);
    int status = a.status;
    answer_free(&a);
    rig_leave(&r, c, true);
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
    set_up();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization:"
                       " Bearer %s\r\nContent-Type: %s\r\nContent-Length: "
                       "14\r\n\r\n{\"name\":\"zoe\"}",
                       api_key, t[i].type);
        int status = status_of_raw(text);
        if (status != t[i].status)
            fail_msg("%s: %d", t[i].type, status);
    }
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\nContent-Length: 300000\r\n\r\n",
                   api_key);
    assert_int_equal(status_of_raw(text), 413);
    /* One answer, though it was refused before its body was too long. */
    rig_conn *c = rig_open(&r);
    rig_text(&r, c,
             "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nContent-Length: "
             "300000\r\n\r\n");
    c->got[c->n_got] = 0;
    assert_non_null(strstr((char *)c->got, " 401 "));
    assert_null(strstr((char *)c->got, " 413 "));
    assert_true(c->closed);
    rig_leave(&r, c, true);
    char big[5000];
    memset(big, ' ', sizeof big);
    big[0] = '{';
    big[sizeof big - 2] = '}';
    big[sizeof big - 1] = '\0';
    assert_int_equal(status_of("POST", "/verify", big), 413);
    assert_int_equal(status_of("POST", "/api/v1/user", big), 400);
    rig_free(&r);
}

static void deep_json_and_many_faults_are_bounded(void **s)
{
    (void)s;
    char text[8192];
    answer a;
    size_t n = 0;
    set_up();
    for (size_t i = 0; i < 3000; i++)
        text[n++] = '[';
    text[n] = '\0';
    assert_int_equal(status_of("POST", "/api/v1/user", text), 400);
    n = (size_t)sprintf(text, "{\"x\":1");
    for (int i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, ",\"\\u0001%d\":[{\"name\":3}]", i);
    (void)sprintf(text + n, "}");
    ask_at(MAIN, "POST", "/api/v1/user", bearer(), text, &a);
    assert_int_equal(a.status, 422);
    jt_node *is = jt_read(a.body, a.len);
    assert_int_equal(jt_count(jt_member(is, "errors")), 8);
    jt_free(is);
    answer_free(&a);
    rig_free(&r);
}

static void any_split_gives_the_same_answer(void **s)
{
    (void)s;
    char text[512];
    set_up();
    settle();
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/preauthkey HTTP/1.1\r\nHost: h\r\n"
                   "Authorization: Bearer %s\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n7\r\n{\"user\"\r\n5\r\n:\"1\"}\r\n0\r\n\r\n",
                   api_key);
    for (size_t at = 1; at < strlen(text); at++) {
        answer a;
        rig_conn *c = rig_open(&r);
        rig_send(&r, c, text, at);
        rig_send(&r, c, text + at, strlen(text) - at);
        read_answer(c, &a);
        if (a.status != 200)
            fail_msg("split at %zu: %d", at, a.status);
        answer_free(&a);
        rig_leave(&r, c, true);
    }
    rig_free(&r);
}

static void a_slow_request_ends(void **s)
{
    (void)s;
    char text[256];
    set_up();
    rig_conn *c = rig_open(&r);
    (void)snprintf(text, sizeof text,
                   "POST /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\nContent-Length: 1000\r\n\r\n{",
                   api_key);
    rig_text(&r, c, text);
    for (int i = 0; i < 20 && !c->closed; i++) {
        rig_text(&r, c, " ");
        rig_wait(&r, 2 * RMR_SEC);
    }
    assert_true(c->closed);
    rig_leave(&r, c, true);
    rig_free(&r);
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
        assert_int_equal(rmr_coord_user_add(r.coord, name, &id), RMR_OK);
    }
}

static void ask_for_users(rig_conn *c, const char *version, const char *more)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "GET /api/v1/user HTTP/%s\r\nHost: h\r\nAuthorization: "
                   "Bearer %s\r\n%s\r\n",
                   version, api_key, more);
    rig_text(&r, c, text);
}

static void a_long_list_goes_out_by_pieces(void **s)
{
    (void)s;
    answer a;
    set_up();
    many_users();
    rig_conn *c = rig_open(&r);
    r.stands = true;
    size_t before = r.heap.live_bytes;
    ask_for_users(c, "1.1", "");
    /* What waits is bounded, whatever the list has. */
    size_t most = 0;
    while (r.sending) {
        if (r.heap.live_bytes - before > most)
            most = r.heap.live_bytes - before;
        rig_goes_on(&r);
    }
    r.stands = false;
    assert_true(most < (size_t)300 * 1024);
    read_answer(c, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Transfer-Encoding: chunked"));
    assert_true(a.len > (size_t)500 * 1024);
    jt_node *is = jt_read(a.body, a.len);
    assert_non_null(is);
    assert_int_equal(jt_count(jt_member(is, "users")), MANY);
    jt_free(is);
    answer_free(&a);
    assert_false(c->closed);
    /* The connection goes on behind it. */
    rig_take(c, c->n_got);
    ask_for_users(c, "1.1", "");
    assert_true(c->n_got > (size_t)500 * 1024);
    rig_leave(&r, c, true);
    /* HTTP/1.0 knows no chunks: it ends with the connection. */
    c = rig_open(&r);
    ask_for_users(c, "1.0", "");
    assert_true(c->closed);
    read_answer(c, &a);
    assert_null(strstr(a.head, "chunked"));
    is = jt_read(a.body, a.len);
    assert_int_equal(jt_count(jt_member(is, "users")), MANY);
    jt_free(is);
    answer_free(&a);
    rig_leave(&r, c, true);
    rig_free(&r);
}

static void a_list_may_change_while_it_goes_out(void **s)
{
    (void)s;
    answer a;
    set_up();
    many_users();
    rig_conn *c = rig_open(&r);
    r.stands = true;
    ask_for_users(c, "1.1", "Connection: close\r\n");
    for (uint64_t id = 1; r.sending; id += 7) {
        (void)rmr_coord_user_remove(r.coord, id);
        (void)rmr_coord_user_remove(r.coord, MANY - id);
        rig_goes_on(&r);
    }
    r.stands = false;
    assert_true(c->closed);
    read_answer(c, &a);
    jt_node *is = jt_read(a.body, a.len);
    assert_non_null(is);
    assert_true(jt_count(jt_member(is, "users")) > MANY / 2);
    jt_free(is);
    answer_free(&a);
    rig_leave(&r, c, true);
    rig_free(&r);
}

static void a_client_that_takes_nothing_ends(void **s)
{
    (void)s;
    set_up();
    many_users();
    rig_conn *c = rig_open(&r);
    r.stands = true;
    ask_for_users(c, "1.1", "");
    rig_goes_on(&r);
    rig_wait(&r, 29 * RMR_SEC);
    assert_false(c->closed);
    rig_wait(&r, 2 * RMR_SEC);
    assert_true(c->closed);
    rig_leave(&r, c, false);
    /* One that asks ahead gets its first answer whole, and is shown out. */
    r.stands = false;
    c = rig_open(&r);
    r.stands = true;
    ask_for_users(c, "1.1", "");
    ask_for_users(c, "1.1", "");
    while (r.sending)
        rig_goes_on(&r);
    c->got[c->n_got] = 0;
    assert_true(c->closed);
    assert_non_null(strstr((char *)c->got, "\r\n0\r\n\r\n"));
    rig_leave(&r, c, true);
    rig_free(&r);
}

/* Many answers wait, so that there is no room for a long one's head, or for its
 * first piece: nothing of it comes then that could be taken for it. */
static void ask_behind(int crowd)
{
    static char text[CROWD * 256];
    size_t n = 0;
    rig_conn *c = rig_open(&r);
    r.stands = true;
    for (int i = 0; i < crowd; i++)
        n += (size_t)sprintf(text + n, "%s",
                             "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    n += (size_t)sprintf(text + n,
                         "GET /api/v1/user HTTP/1.1\r\nHost: h\r\n"
                         "Authorization: Bearer %s\r\n\r\n",
                         api_key);
    rig_send(&r, c, text, n);
    while (r.sending)
        rig_goes_on(&r);
    r.stands = false;
    c->got[c->n_got] = 0;
    const char *head = strstr((char *)c->got, "chunked");
    const char *begin = strstr((char *)c->got, "{\"users\":[");
    const char *some = strstr((char *)c->got, "nnnn");
    if (some && (!head || !begin || begin > some || c->closed))
        fail_msg("behind %d: a part of a list", crowd);
    if (!some && !c->closed)
        fail_msg("behind %d: no list, and no end", crowd);
    rig_leave(&r, c, true);
}

static void a_list_without_room_is_none(void **s)
{
    (void)s;
    set_up();
    many_users();
    for (int crowd = 100; crowd < CROWD; crowd++)
        ask_behind(crowd);
    rig_free(&r);
}

/* ---- what else ----------------------------------------------------------- */

static void a_login_is_rejected(void **s)
{
    (void)s;
    char body[128];
    set_up();
    settle();
    wait_for_login(9, "x");
    (void)snprintf(body, sizeof body, "{\"authId\":\"%s\"}", r.login);
    assert_int_equal(status_of("POST", "/api/v1/auth/approve", body), 400);
    assert_int_equal(status_of("POST", "/api/v1/auth/reject", body), 200);
    assert_int_equal(status_of("POST", "/api/v1/auth/reject", body), 404);
    rig_free(&r);
}

static void a_relay_may_ask_who_is_a_node(void **s)
{
    (void)s;
    answer a;
    set_up();
    settle();
    join(1, "a2", 1, NULL, "");
    ask_at(MAIN, "POST", "/verify", NULL,
           "{\"NodePublic\":\"nodekey:00000000000000000000000000000000000000000"
           "00000000000000000000011\",\"Source\":\"192.0.2.1\"}",
           &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"Allow\":true}");
    answer_free(&a);
    rig_free(&r);
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
    answer a;
    set_up();
    settle();
    join(1, "secret-name", 1, NULL, "");
    (void)status_of("GET", "/api/v1/user", NULL);
    (void)status_of("GET", "/api/v1/node/77", NULL);
    (void)status_of("POST", "/api/v1/preauthkey", "{\"user\":\"1\"}");
    ask_at(MAIN, "GET", "/api/v1/user", NULL, NULL, &a);
    answer_free(&a);
    ask_at(METRICS, "GET", "/metrics", NULL, NULL, &a);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (!strstr(a.body, lines[i]))
            fail_msg("%s\n%s", lines[i], a.body);
    }
    assert_null(strstr(a.body, "secret-name"));
    assert_null(strstr(a.body, "alice"));
    assert_null(strstr(a.body, "77"));
    answer_free(&a);
    rig_free(&r);
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
    rig_init(&r, &cfg);
    for (size_t i = 0; i < 3; i++) {
        answer a;
        size_t len = strlen(texts[i]);
        more_text = texts[i];
        ask_at(1, "GET", "/metrics", NULL, NULL, &a);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.body, "remora_nodes_total 0\n"));
        assert_non_null(strstr(a.body, "_duration_seconds histogram\n"));
        assert_string_equal(a.body + strlen(a.body) - len, texts[i]);
        answer_free(&a);
    }
    rig_free(&r);
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
    rig_init(&r, &cfg);
    assert_int_equal(rmr_coord_api_key_add(r.coord, END, api_key, &id), RMR_OK);
    assert_int_equal(status_of("POST", "/api/v1/user",
                               "{\"name\":\"zoe\",\"displayName\":\"Zoe\"}"),
                     200);
    assert_true(fake_has(&store, RMR_COORD_ROW_USER, 1));
    assert_true(fake_has(&store, RMR_COORD_ROW_API_KEY, 1));
    store.fails = true;
    assert_int_equal(status_of("POST", "/api/v1/user", "{\"name\":\"a\"}"),
                     503);
    assert_int_equal(status_of("POST", "/api/v1/apikey", "{}"), 503);
    assert_int_equal(status_of("DELETE", "/api/v1/user/1", NULL), 503);
    assert_int_equal(status_of("GET", "/api/v1/user", NULL), 200);
    store.fails = false;
    rig_free(&r);
    /* It is there again, and the key opens. */
    rig_init(&r, &cfg);
    assert_int_equal(rmr_coord_user_get(r.coord, 1, NULL, &u), RMR_OK);
    assert_string_equal(u.name, "zoe");
    answer a;
    ask_at(MAIN, "GET", "/api/v1/user", bearer(), NULL, &a);
    assert_non_null(strstr(a.body, "\"displayName\":\"Zoe\""));
    answer_free(&a);
    assert_int_equal(status_of("DELETE", "/api/v1/user/1", NULL), 200);
    assert_false(fake_has(&store, RMR_COORD_ROW_USER, 1));
    rig_free(&r);
    fake_free(&store);
}

static void memory_may_lack_at_any_moment(void **s)
{
    (void)s;
    set_up();
    settle();
    join(1, "a2", 1, NULL, "");
    for (size_t n = 1; n < 400; n++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"name\":\"u%zu\"}", n);
        r.heap.failed = 0;
        r.heap.fail_at = r.heap.calls + n;
        int status = status_of("POST", "/api/v1/user", body);
        r.heap.fail_at = 0;
        if (r.heap.failed == 0) {
            assert_int_equal(status, 200);
            assert_true(n > 6);
            rig_free(&r);
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
        cmocka_unit_test(what_is_not_allowed_is_refused),
        cmocka_unit_test(bodies_are_json_and_of_a_size),
        cmocka_unit_test(deep_json_and_many_faults_are_bounded),
        cmocka_unit_test(any_split_gives_the_same_answer),
        cmocka_unit_test(a_slow_request_ends),
        cmocka_unit_test(a_long_list_goes_out_by_pieces),
        cmocka_unit_test(a_list_may_change_while_it_goes_out),
        cmocka_unit_test(a_client_that_takes_nothing_ends),
        cmocka_unit_test(a_list_without_room_is_none),
        cmocka_unit_test(a_login_is_rejected),
        cmocka_unit_test(a_relay_may_ask_who_is_a_node),
        cmocka_unit_test(figures_count_what_was_asked),
        cmocka_unit_test(the_program_adds_metrics),
        cmocka_unit_test(what_was_answered_is_stored),
        cmocka_unit_test(memory_may_lack_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
