/* Hostile values in each field of what nodes send: refused, left out or carried
 * as data, the same in the table, in what peers and the API are told, and in
 * the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crd_say.h"

static rig r;
static rig_client a, b;
static uint64_t alice;
static char key[RMR_COORD_KEY_TEXT];

static void set_up(void)
{
    rmr_coord_config cfg;
    rig_config(&cfg);
    cfg.socket_name = "s";
    rig_init(&r, &cfg);
    alice = server_user(r.coord, "alice");
    server_user_key(r.coord, alice, key);
}

static rig_answer *join(rig_client *cl, uint8_t machine, const char *more)
{
    static char text[8192];
    assert_true(rig_join(cl, &r, machine, 138));
    int n = snprintf(text, sizeof text,
                     "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
                     "%02x\",\"Auth\":{\"AuthKey\":\"%s\"}%s}",
                     machine, key, more);
    assert_true(n > 0 && (size_t)n < sizeof text);
    return rig_ask(cl, "/machine/register", text);
}

static rmr_coord_node newest(void)
{
    rmr_coord_node n, next;
    uint64_t id = 0;
    memset(&n, 0, sizeof n);
    while (rmr_coord_node_next(r.coord, id, &next) == RMR_OK) {
        n = next;
        id = n.id;
    }
    return n;
}

static bool is_clean(const char *t, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t ch = (uint8_t)t[i];
        if ((ch < 0x20 && ch != '\n') || ch == 0x7f)
            return false;
    }
    return true;
}

/* What the API tells of all nodes: it has no bytes of control. */
static void check_api(void)
{
    rig_conn *c = rig_open_at(&r, 1);
    rig_text(&r, c, "GET /api/v1/node HTTP/1.0\r\nHost: h\r\n\r\n");
    c->got[c->n_got] = 0;
    const char *body = strstr((const char *)c->got, "\r\n\r\n");
    assert_non_null(body);
    assert_true(is_clean(body + 4, strlen(body + 4)));
    rig_leave(&r, c, true);
}

/* ---- the host's texts ---------------------------------------------------- */

#define H(text) ",\"Hostinfo\":{\"Hostname\":\"" text "\",\"OS\":\"" text "\"}"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* NULL: the request is refused. */
static const struct {
    const char *more, *hostname, *given;
} hosts[] = {
    {H("plain"), "plain", "plain"},
    {H("a\\u0000b"), "", "node"},
    {H("a\\nb"), "", "node"},
    {H("\\u001b[31mred\\u001b[0m"), "", "node"},
    {H("bell\\u0007"), "", "node"},
    {H("del\\u007f"), "", "node"},
    {H("\\u009b31mred"), "", "node"}, /* a terminal's CSI in one character */
    {H("\xc2\x85"), "", "node"},
    {H("\xc2\xa0"), "\xc2\xa0", "node"},
    {H("a\nb"), NULL, NULL},         /* raw: no JSON */
    {H("a\xff\xfe"), NULL, NULL},    /* no UTF-8 */
    {H("\xc0\xaf"), NULL, NULL},     /* overlong */
    {H("\xed\xa0\x80"), NULL, NULL}, /* half a pair */
    {H("\\ud800"), NULL, NULL},      /* likewise */
    {H("\\ud83d\\ude80"), "\xf0\x9f\x9a\x80", "node"},
    {H("\\u202egnp.exe"), "\xe2\x80\xaegnp.exe", "gnp-exe"},
    {H("<script>alert(1)</script>"), "<script>alert(1)</script>",
     "scriptalert1script"},
    {H("' OR 1=1; DROP TABLE node; --"), "' OR 1=1; DROP TABLE node; --",
     "or-11-drop-table-node"},
    {H("%s%n%x"), "%s%n%x", "snx"},
    {H("../../etc/passwd"), "../../etc/passwd", "etcpasswd"},
    {H("localhost.localdomain"), "localhost.localdomain", "localhost"},
    {H("--"), "--", "node"},
    {H(HUNDRED), HUNDRED, NULL},
    {H(HUNDRED HUNDRED TEN TEN TEN TEN TEN "01234"),
     HUNDRED HUNDRED TEN TEN TEN TEN TEN "01234", NULL},
    {H(HUNDRED HUNDRED TEN TEN TEN TEN TEN "012345"), "", "node"},
    {",\"Hostinfo\":null", "", "node"},
    {",\"Hostinfo\":[]", "", "node"},
    {",\"Hostinfo\":{\"Hostname\":7}", "", "node"},
    {",\"Hostinfo\":{\"Hostname\":{\"Hostname\":\"x\"}}", "", "node"},
};

static void texts_of_hosts(void **s)
{
    (void)s;
    set_up();
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        uint64_t before = server_stats(r.coord).bad_requests;
        rig_answer *x = join(&a, (uint8_t)(1 + i), hosts[i].more);
        rmr_coord_node n = newest();
        if (!hosts[i].hostname) {
            if (x->status != 400 ||
                server_stats(r.coord).bad_requests != before + 1)
                fail_msg("%zu: %u %s", i, x->status, x->body);
        } else {
            if (x->status != 200 || !strstr(x->body, "Authorized\":true"))
                fail_msg("%zu: %u %s", i, x->status, x->body);
            assert_string_equal(n.hostname, hosts[i].hostname);
            /* The label, and what makes it unique. */
            if (hosts[i].given && strncmp(n.given_name, hosts[i].given,
                                          strlen(hosts[i].given)) != 0)
                fail_msg("%zu: %s", i, n.given_name);
            assert_true(strlen(n.given_name) <= 63);
        }
        rig_part(&a);
    }
    check_api();
    assert_true(is_clean(r.log.text, r.log.len));
    assert_false(test_log_has(&r.log, key));
    rig_free(&r);
}

/* The same by a login, whose host name the program is told. */
static void texts_of_logins(void **s)
{
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char text[1024];
        (void)snprintf(text, sizeof text,
                       "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
                       "%02zx\"%s}",
                       1 + i, hosts[i].more);
        rig_answer *x = rig_ask(&a, "/machine/register", text);
        assert_int_equal(x->status, hosts[i].hostname ? 200 : 400);
        assert_true(is_clean(r.login_host, strlen(r.login_host)));
    }
    assert_true(is_clean(r.log.text, r.log.len));
    rig_part(&a);
    rig_free(&r);
}

/* ---- numbers, keys, nesting ---------------------------------------------- */

static void values_that_are_none(void **s)
{
    static const struct {
        const char *body;
        uint16_t status;
    } t[] = {
        {"{\"Version\":1e308,", 400},
        {"{\"Version\":138.5,", 400},
        {"{\"Version\":-138,", 400},
        {"{\"Version\":99999999999999999999999999999999,", 400},
        {"{\"Version\":65536,", 400},
        {"{\"Version\":\"138\",", 400},
        {"{\"Version\":138,\"OldNodeKey\":\"nodekey:zz\",", 400},
        {"{\"Version\":138,\"DiscoKey\":\"discokey:\",", 400},
        {"{\"Version\":138,\"Expiry\":\"never\",", 200},
        {"{\"Version\":138,\"Expiry\":\"9999-12-31T23:59:59Z\",", 200},
        {"{\"Version\":138,\"Expiry\":\"99999-12-31T23:59:59Z\",", 200},
        {"{\"Version\":138,\"Expiry\":1,", 200},
        {"{\"Version\":138,\"Followup\":\"http://h/register/../../x\",", 200},
        {"{\"Version\":138,\"Followup\":\"\\u0000\",", 200},
        {"{\"Version\":138,\"Ephemeral\":\"yes\",", 200},
        {"{\"Version\":138,\"Auth\":[{\"AuthKey\":\"x\"}],", 200},
        {"{\"Version\":138,\"Auth\":{\"AuthKey\":\"hskey-auth-\\u0000\"},",
         200},
        {"{\"Version\":138,\"Auth\":{\"AuthKey\":\"" HUNDRED HUNDRED "\"},",
         200},
        {"[{\"Version\":138,", 400},
        {"{\"Version\":138,}{", 400},
        {"{\"\xff\":1,", 400},
        {"{\"Version\":138,\"Version\":112,", 400},
    };
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        char text[1024];
        (void)snprintf(text, sizeof text,
                       "%s\"NodeKey\":\"nodekey:" SIXTY_TWO "11\"}", t[i].body);
        rig_answer *x = rig_ask(&a, "/machine/register", text);
        if (x->status != t[i].status)
            fail_msg("%s: %u %s", t[i].body, x->status, x->body);
        /* None of them lets anybody in. */
        assert_null(strstr(x->body, "\"MachineAuthorized\":true"));
    }
    assert_int_equal(server_stats(r.coord).nodes, 0);
    rig_part(&a);
    rig_free(&r);
}

static void nesting_and_length_are_bounded(void **s)
{
    static char big[256 * 1024];
    static const char *const shapes[] = {
        "[", "{\"a\":", "{\"Hostinfo\":",  "{\"Auth\":[", "\"",
        "1", " ",       "{\"a\":\"\\u0041"};
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t n = 0, k = strlen(shapes[i]);
        while (n + k < sizeof big - 1) {
            memcpy(big + n, shapes[i], k);
            n += k;
        }
        big[n] = '\0';
        size_t before = r.heap.live_bytes;
        rig_answer *x = rig_ask(&a, "/machine/map", big);
        assert_int_equal(x->status, 400);
        assert_true(r.heap.peak_bytes - before < 1024 * 1024);
        assert_true(r.heap.live_bytes <= before + 1024);
    }
    rig_part(&a);
    rig_free(&r);
}

/* ---- lists --------------------------------------------------------------- */

/* `element` n times, with numbers for # and @. */
static void list(char *out, size_t cap, const char *front, const char *element,
                 unsigned n, const char *end)
{
    size_t at = (size_t)snprintf(out, cap, "%s", front);
    for (unsigned i = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, cap - at, "%s", i ? "," : "");
        for (const char *p = element; *p; p++) {
            if (*p == '#' || *p == '@')
                at += (size_t)snprintf(out + at, cap - at, "%u",
                                       *p == '#' ? i / 256 : i % 256);
            else
                out[at++] = *p;
        }
    }
    (void)snprintf(out + at, cap - at, "%s", end);
}

static void lists_are_cut(void **s)
{
    static char text[128 * 1024];
    rmr_coord_node n;
    (void)s;
    set_up();
    (void)join(&a, 0x11, "");
    list(text, sizeof text,
         "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
         "11\",\"Endpoints\":[\"x\",7,null,\"1.2.3.4\",\"1.2.3.4:99999\","
         "\"[::1%lo]:1\",{\"a\":\"1.2.3.4:5\"},",
         "\"10.0.#.@:1\"", 1000, "]}");
    assert_int_equal(rig_ask(&a, "/machine/map", text)->status, 200);
    n = newest();
    assert_int_equal(n.n_endpoints, RMR_COORD_MAX_ENDPOINTS);
    list(text, sizeof text,
         "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
         "11\",\"Hostinfo\":{\"RoutableIPs\":[\"x\",\"10.0.0.0/33\",\"::/129\","
         "\"10.0.0.0\",",
         "\"10.#.@.0/24\"", 1000, "]}}");
    assert_int_equal(rig_ask(&a, "/machine/map", text)->status, 200);
    n = newest();
    assert_int_equal(n.n_announced, RMR_COORD_MAX_ROUTES);
    list(text, sizeof text,
         "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
         "11\",\"Hostinfo\":{\"Services\":[{\"Proto\":\"\\u001b\",\"Port\":1},"
         "{\"Proto\":\"longer-than-any-protocol\",\"Port\":1},{},",
         "{\"Proto\":\"p#-@\",\"Port\":70000}", 1000, "]}}");
    assert_int_equal(rig_ask(&a, "/machine/map", text)->status, 200);
    /* A peer is told what was kept. */
    (void)join(&b, 0x22, "");
    rig_answer *x = rig_ask(&b, "/machine/map",
                            "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
                            "22\",\"Stream\":true}");
    assert_int_equal(x->status, 200);
    rig_pump(&b);
    assert_true(x->len > 1000);
    check_api();
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void requested_tags_are_no_tags(void **s)
{
    static const char *const tags[] = {
        "tag:admin", "tag:", "tag:\\u0000", "TAG:A", "autogroup:admin", "*"};
    (void)s;
    set_up();
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        char more[128];
        (void)snprintf(more, sizeof more,
                       ",\"Hostinfo\":{\"RequestTags\":[\"%s\"]}", tags[i]);
        rig_answer *x = join(&a, (uint8_t)(1 + i), more);
        assert_non_null(strstr(x->body, "requested tags"));
        rig_part(&a);
    }
    assert_int_equal(server_stats(r.coord).nodes, 0);
    rig_free(&r);
}

/* ---- REST ---------------------------------------------------------------- */

static const char *rest(const char *method, const char *path, const char *body,
                        size_t len)
{
    static char answer[8192];
    char head[512];
    rig_conn *c = rig_open_at(&r, 1);
    (void)snprintf(head, sizeof head,
                   "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   method, path, len);
    rig_text(&r, c, head);
    rig_send(&r, c, body, len);
    size_t n = c->n_got < sizeof answer - 1 ? c->n_got : sizeof answer - 1;
    memcpy(answer, c->got, n);
    answer[n] = '\0';
    rig_leave(&r, c, true);
    return answer;
}

static void texts_in_the_api(void **s)
{
    static const char *const users[] = {
        "a\\u0000b", "a\\nb", "\\u001b[2J", "\xff",
        "",          "-x",    "9a",         "a b",
        "a/b",       "<b>",   "a'--",       "\\ud800",
        "a\\\"b",    "%s",    "\xc3\xa9",   HUNDRED HUNDRED HUNDRED};
    static const char *const paths[] = {
        "/api/v1/node/%00/rename/x",
        "/api/v1/node/1/rename/%0a",
        "/api/v1/node/1/rename/%1b",
        "/api/v1/node/1/rename/%",
        "/api/v1/node/1/rename/%zz",
        "/api/v1/node/1/rename/" HUNDRED,
        "/api/v1/node/-1/rename/x",
        "/api/v1/node/1e3/rename/x",
        "/api/v1/node/99999999999999999999999/rename/x",
        "/api/v1/node/1/../2/rename/x"};
    char body[1024];
    (void)s;
    set_up();
    (void)join(&a, 1, H("plain"));
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        (void)snprintf(body, sizeof body, "{\"name\":\"%s\"}", users[i]);
        const char *x = rest("POST", "/api/v1/user", body, strlen(body));
        if (strncmp(x, "HTTP/1.1 4", 10) != 0)
            fail_msg("%zu: %s", i, x);
        const char *text = strstr(x, "\r\n\r\n");
        assert_true(is_clean(text + 4, strlen(text + 4)));
    }
    assert_int_equal(server_stats(r.coord).users, 1);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *x = rest("POST", paths[i], "", 0);
        if (strncmp(x, "HTTP/1.1 4", 10) != 0)
            fail_msg("%s: %s", paths[i], x);
    }
    assert_string_equal(newest().given_name, "plain");
    assert_true(is_clean(r.log.text, r.log.len));
    rig_part(&a);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_hosts),
        cmocka_unit_test(texts_of_logins),
        cmocka_unit_test(values_that_are_none),
        cmocka_unit_test(nesting_and_length_are_bounded),
        cmocka_unit_test(lists_are_cut),
        cmocka_unit_test(requested_tags_are_no_tags),
        cmocka_unit_test(texts_in_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
