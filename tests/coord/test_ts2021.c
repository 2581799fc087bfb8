/* What the coordination server says to one client, and to a hostile one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <remora/text.h>

#include "crd_say.h"

static rig r;
static rig_client a, b;

/* ---- HTTP/1.1 ------------------------------------------------------------ */

static const char *http(const char *request)
{
    static char answer[4096];
    rig_conn *c = rig_open(&r);
    rig_text(&r, c, request);
    size_t n = c->n_got < sizeof answer - 1 ? c->n_got : sizeof answer - 1;
    memcpy(answer, c->got, n);
    answer[n] = '\0';
    rig_leave(&r, c, true);
    return answer;
}

static void the_key_is_told(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    const char *t = http("GET /key?v=138 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(t, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(t, "\"publicKey\":\"mkey:"));
    assert_non_null(strstr(http("GET /key HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "HTTP/1.1 400 Bad Request\r\n"));
    assert_non_null(strstr(http("GET /key?v=38 HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "Content-Length: 0\r\n"));
    assert_non_null(strstr(http("GET /health HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "{\"status\":\"pass\"}"));
    rig_free(&r);
}

static void upgrades_that_are_none_are_told_why(void **s)
{
    static const struct {
        const char *headers, *says;
    } t[] = {
        {"", "missing next protocol"},
        {"Connection: upgrade\r\nUpgrade: other\r\n", "unknown next protocol"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n",
         "missing Tailscale handshake header"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
         "X-Tailscale-Handshake: !!\r\n",
         "invalid tailscale handshake header"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
         "X-Tailscale-Handshake: AAAA\r\n",
         "this is no handshake initiation"},
    };
    (void)s;
    rig_init(&r, NULL);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        char request[512], raw[4096];
        rig_conn *c = rig_open(&r);
        (void)snprintf(request, sizeof request,
                       "POST /ts2021 HTTP/1.1\r\nHost: h\r\n%s"
                       "Content-Length: 0\r\n\r\n",
                       t[i].headers);
        rig_text(&r, c, request);
        size_t n = c->n_got;
        for (size_t k = 0; k < n; k++) /* the frame has a NUL in its head */
            raw[k] = c->got[k] ? (char)c->got[k] : '.';
        raw[n] = '\0';
        if (!strstr(raw, t[i].says))
            fail_msg("%s: %s", t[i].says, raw);
        rig_leave(&r, c, true);
    }
    assert_int_equal(server_stats(r.coord).bad_handshakes, 1);
    assert_int_equal(server_stats(r.coord).handshakes, 0);
    rig_free(&r);
}

static void a_login_page_shows_the_id_alone(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    const char *t = http("GET /register/hskey-authreq-0123456789abcdef01234567 "
                         "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(t, "--auth-id hskey-authreq-0123456789abcdef"));
    t = http("GET /register/hskey-authreq-<script>alert(1)</scr "
             "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr(t, "script"));
    rig_free(&r);
}

/* ---- the handshake ------------------------------------------------------- */

static void a_client_that_is_too_old_is_told(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    assert_false(rig_join(&a, &r, 1, 112));
    assert_non_null(strstr(a.refusal, "113"));
    assert_true(a.c->closed);
    rig_part(&a);
    assert_true(rig_join(&a, &r, 1, 113));
    rig_part(&a);
    rig_free(&r);
}

static void another_servers_key_is_told(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    r.public_key[0] ^= 1;
    assert_false(rig_join(&a, &r, 1, 138));
    assert_non_null(strstr(a.refusal, "another server key"));
    rig_part(&a);
    rig_free(&r);
}

/* The initiation of another: what comes back can't be read, and nothing can be
 * said without the ephemeral key. */
static void a_replayed_handshake_gives_nothing(void **s)
{
    (void)s;
    char text[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1], head[512];
    static const uint8_t junk[64] = {RMR_TS_RECORD, 0, 40};
    rig_init(&r, NULL);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_conn *c = rig_open(&r);
    (void)snprintf(head, sizeof head,
                   "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                   "Upgrade: tailscale-control-protocol\r\n"
                   "X-Tailscale-Handshake: %s\r\n\r\n",
                   rmr_base64(text, a.ts.hello, sizeof a.ts.hello));
    rig_text(&r, c, head);
    rig_send(&r, c, junk, sizeof junk);
    assert_true(c->closed);
    rig_leave(&r, c, true);
    rig_part(&a);
    rig_free(&r);
}

/* ---- hostile clients ----------------------------------------------------- */

static void requests_that_are_none_are_refused(void **s)
{
    static const struct {
        const char *path, *body;
        uint16_t status;
    } t[] = {
        {"/machine/register", "", 400},
        {"/machine/register", "[]", 400},
        {"/machine/register", "{", 400},
        {"/machine/register", "{\"Version\":112,\"NodeKey\":\"" KEY1 "\"}",
         400},
        {"/machine/register", "{\"Version\":138}", 400},
        {"/machine/register", "{\"Version\":138,\"NodeKey\":\"nodekey:1\"}",
         400},
        {"/machine/register",
         "{\"Version\":138,\"NodeKey\":\"mkey:" SIXTY_TWO "11\"}", 400},
        {"/machine/map", "{\"Version\":138,\"NodeKey\":\"" KEY1 "\"}", 404},
        {"/machine/map", "{\"Version\":-1,\"NodeKey\":\"" KEY1 "\"}", 400},
        {"/machine/whoami", "", 501},
        {"/machine/set-dns", "{}", 501},
        {"/machine/tka/init", "{}", 404},
        {"/", "", 404},
    };
    (void)s;
    rig_init(&r, NULL);
    assert_true(rig_join(&a, &r, 1, 138));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        rig_answer *x = rig_ask(&a, t[i].path, t[i].body);
        if (x->status != t[i].status)
            fail_msg("%s %s: %u", t[i].path, t[i].body, x->status);
    }
    assert_int_equal(server_stats(r.coord).nodes, 0);
    rig_part(&a);
    rig_free(&r);
}

static void hostile_texts_are_carried_or_left_out(void **s)
{
    static const char *const hosts[] = {
        "\\u0000",     "a\\u0000b",      "<script>", "\\\"},{\\\"ID\\\":777",
        "../../etc",   "\\ud83d\\ude80", "-",        "",
        "A.B.C.local", "xn--80ak6aa92e"};
    char key[RMR_COORD_KEY_TEXT], body[1024];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        assert_true(rig_join(&b, &r, (uint8_t)(10 + i), 138));
        (void)snprintf(body, sizeof body,
                       "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
                       "%02zu\",\"Auth\":{\"AuthKey\":\"%s\"},\"Hostinfo\":{"
                       "\"Hostname\":\"%s\",\"OS\":\"%s\",\"Services\":[{"
                       "\"Proto\":\"%s\",\"Port\":1}]}}",
                       50 + i, key, hosts[i], hosts[i], hosts[i]);
        rig_answer *y = rig_ask(&b, "/machine/register", body);
        assert_true(rig_says(y, "\"MachineAuthorized\":true"));
        rig_pump(&a);
        rig_part(&b);
        const char *t = rig_frames(x);
        assert_null(strstr(t, "{\"ID\":777"));
        assert_null(strstr(t, "u0000"));
    }
    rmr_coord_node n;
    uint64_t after = 0;
    while (rmr_coord_node_next(r.coord, after, &n) == RMR_OK) {
        for (const char *p = n.given_name; *p; p++)
            assert_true((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                        *p == '-');
        after = n.id;
    }
    rig_part(&a);
    rig_free(&r);
}

static void a_body_too_long_ends_the_request_alone(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    static char big[300000];
    memset(big, ' ', sizeof big - 1);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_ask(&a, "/machine/register", big);
    assert_int_equal(x->status, 0);
    assert_true(x->over && x->why == RMR_E_RESET);
    x = rig_register(&a, KEY1, NULL, "");
    assert_int_equal(x->status, 200);
    rig_part(&a);
    rig_free(&r);
}

static void damaged_records_end_the_connection(void **s)
{
    static const uint8_t junk[] = {RMR_TS_RECORD,
                                   0,
                                   20,
                                   1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   6,
                                   7,
                                   8,
                                   9,
                                   10,
                                   11,
                                   12,
                                   13,
                                   14,
                                   15,
                                   16,
                                   17,
                                   18,
                                   19,
                                   20};
    (void)s;
    rig_init(&r, NULL);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_send(&r, a.c, junk, sizeof junk);
    assert_true(a.c->closed);
    rig_part(&a);
    rig_free(&r);
}

static void half_open_connections_are_bounded_and_end(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rig_config(&cfg);
    cfg.max_connections = 20;
    rig_init(&r, &cfg);
    rig_conn *c[20];
    for (int i = 0; i < 20; i++) {
        c[i] = rig_open(&r);
        rig_text(&r, c[i], i & 1 ? "POST /ts2021 HTT" : "");
    }
    /* The oldest gives its place to the newest. */
    rig_conn *more = rig_open(&r);
    assert_true(c[0]->closed && !more->closed);
    assert_int_equal(server_stats(r.coord).displaced, 1);
    assert_int_equal(server_stats(r.coord).connections, 20);
    size_t each = r.heap.live_bytes;
    rig_wait(&r, 31 * RMR_SEC);
    assert_true(more->closed);
    for (int i = 0; i < 20; i++)
        assert_true(c[i]->closed);
    assert_int_equal(server_stats(r.coord).connections, 0);
    print_message("%zu bytes a half-open connection\n",
                  (each - r.heap.live_bytes) / 20);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_part(&a);
    rig_free(&r);
}

static void a_connection_that_asks_for_nothing_ends(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    assert_true(rig_join(&a, &r, 2, 138));
    rig_pump(&a);
    rig_enter(&b, &r, 1, KEY1, key);
    (void)rig_stream(&b, KEY1, false);
    rig_wait(&r, 130 * RMR_SEC);
    assert_true(a.c->closed);
    assert_false(b.c->closed); /* its map stream is a request */
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static size_t stream_of(rig_client *cl, uint8_t machine, const char *node_key,
                        const char *auth)
{
    size_t before = r.heap.live_bytes;
    assert_true(rig_join(cl, &r, machine, 138));
    (void)rig_register(cl, node_key, auth, "");
    (void)rig_stream(cl, node_key, true);
    rig_wait(&r, RMR_SEC);
    return r.heap.live_bytes - before;
}

/* What remora/coord.h says, with its node and its map stream. */
static void a_connected_node_takes_less_than_14_kib(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    (void)stream_of(&a, 1, KEY1, key); /* and what all share */
    size_t took = stream_of(&b, 2, KEY2, key);
    if (took > 14 * 1024)
        fail_msg("%zu bytes", took);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void every_allocation_may_fail(void **s)
{
    static const char host[] = ",\"Hostinfo\":{\"OS\":\"linux\","
                               "\"RoutableIPs\":[\"192.0.2.0/24\"]}";
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    for (size_t n = 1; n < 400; n++) {
        rig_init(&r, NULL);
        server_user_key(r.coord, server_user(r.coord, "alice"), key);
        r.heap.fail_at = r.heap.calls + n;
        bool on = rig_join(&a, &r, 1, 138);
        if (on) {
            rig_answer *x = rig_register(&a, KEY1, key, host);
            /* Who is told that it failed is no node. */
            if (rig_says(x, "no memory"))
                assert_int_equal(server_stats(r.coord).nodes, 0);
            if (!a.c->closed)
                (void)rig_ask(&a, "/machine/map",
                              "{\"Version\":138,\"Compress\":\"zstd\","
                              "\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
        }
        bool whole = r.heap.failed == 0;
        r.heap.fail_at = 0;
        rig_part(&a);
        /* It goes on for the next one. */
        assert_true(rig_join(&b, &r, 2, 138));
        rig_answer *x = rig_register(&b, KEY2, key, "");
        assert_true(rig_says(x, "\"MachineAuthorized\":true"));
        rig_part(&b);
        rig_free(&r);
        if (whole)
            return;
    }
    fail_msg("it takes more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_told),
        cmocka_unit_test(upgrades_that_are_none_are_told_why),
        cmocka_unit_test(a_login_page_shows_the_id_alone),
        cmocka_unit_test(a_client_that_is_too_old_is_told),
        cmocka_unit_test(another_servers_key_is_told),
        cmocka_unit_test(a_replayed_handshake_gives_nothing),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(hostile_texts_are_carried_or_left_out),
        cmocka_unit_test(a_body_too_long_ends_the_request_alone),
        cmocka_unit_test(damaged_records_end_the_connection),
        cmocka_unit_test(half_open_connections_are_bounded_and_end),
        cmocka_unit_test(a_connection_that_asks_for_nothing_ends),
        cmocka_unit_test(a_connected_node_takes_less_than_14_kib),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
