/* What strangers and hostile nodes may try on the coordination server: keys of
 * others, places that are taken, requests that never end. */
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

/* ---- keys of others ------------------------------------------------------ */

static size_t nodes_with(uint8_t last)
{
    rmr_coord_node n;
    size_t k = 0;
    for (uint64_t id = 0; rmr_coord_node_next(r.coord, id, &n) == RMR_OK;
         id = n.id)
        k += n.node_key[31] == last;
    return k;
}

/* Two nodes with one key would be one in the index, and the second row would
 * be refused at the next start. */
static void a_node_key_is_one_nodes_alone(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], bob[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), alice);
    server_user_key(r.coord, server_user(r.coord, "bob"), bob);
    rig_enter(&a, &r, 1, KEY1, alice);
    /* The same machine, as another user's node. */
    assert_true(
        rig_says(rig_register(&a, KEY1, bob, ""), "node key already in use"));
    assert_int_equal(nodes_with(0x11), 1);
    assert_true(rig_says(rig_register(&a, KEY2, bob, ""),
                         "\"MachineAuthorized\":true"));
    assert_int_equal(server_stats(r.coord).nodes, 2);
    rig_part(&a);
    rig_free(&r);
}

static void a_login_gives_no_key_away_twice(void **s)
{
    char first[RMR_COORD_LOGIN_TEXT], second[RMR_COORD_LOGIN_TEXT];
    uint64_t node;
    (void)s;
    rig_init(&r, NULL);
    uint64_t alice = server_user(r.coord, "alice");
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(rig_join(&b, &r, 2, 138));
    assert_true(rig_says(rig_register(&a, KEY1, NULL, ""), "AuthURL\":\"http"));
    memcpy(first, r.login, sizeof first);
    assert_true(rig_says(rig_register(&b, KEY1, NULL, ""), "AuthURL\":\"http"));
    memcpy(second, r.login, sizeof second);
    assert_int_equal(rmr_coord_login_approve(r.coord, first, alice, &node),
                     RMR_OK);
    assert_int_equal(rmr_coord_login_approve(r.coord, second, alice, &node),
                     RMR_E_INUSE);
    assert_int_equal(nodes_with(0x11), 1);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* Whatever a machine asks with another's node key, nothing is told or done. */
static void another_machines_key_opens_nothing(void **s)
{
    static const struct {
        const char *path, *body, *says;
        uint16_t status;
    } t[] = {
        {"/machine/map", "\"Stream\":true", "does not match", 404},
        {"/machine/map", "\"Endpoints\":[\"6.6.6.6:6\"]", "does not match",
         404},
        {"/machine/map", "\"ReadOnly\":true", "does not match", 404},
        {"/machine/register", "\"Followup\":\"http://h/register/x\"",
         "different machine", 200},
        {"/machine/register", "\"Ephemeral\":true", "different machine", 200},
        {"/machine/register", "\"Expiry\":\"2001-01-01T00:00:00Z\"",
         "different machine", 200},
        {"/machine/register", "\"Auth\":{\"AuthKey\":\"%s\"}",
         "different machine", 200},
    };
    char key[RMR_COORD_KEY_TEXT], text[512];
    rmr_coord_node n;
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    assert_true(rig_join(&b, &r, 2, 138));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        const char *at = strstr(t[i].body, "%s");
        (void)snprintf(text, sizeof text,
                       "{\"Version\":138,\"NodeKey\":\"" KEY1 "\",%.*s%s%s}",
                       (int)(at ? (size_t)(at - t[i].body) : strlen(t[i].body)),
                       t[i].body, at ? key : "", at ? at + 2 : "");
        rig_answer *x = rig_ask(&b, t[i].path, text);
        if (x->status != t[i].status || !rig_says(x, t[i].says))
            fail_msg("%s: %u %s", text, x->status, x->body);
        assert_false(rig_says(x, "alice"));
    }
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_true(n.n_endpoints == 0 && !n.expired && !n.online);
    assert_int_equal(server_stats(r.coord).nodes, 1);
    assert_int_equal(server_stats(r.coord).bad_requests, 3);
    assert_int_equal(server_stats(r.coord).refused, 4);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* A record that was heard on the way counts once, in its place and on its
 * connection. */
static void a_record_is_good_once(void **s)
{
    uint8_t copy[RMR_TS_FRAME_MAX], text[64];
    size_t len;
    (void)s;
    rig_init(&r, NULL);
    for (int other = 0; other < 2; other++) {
        assert_true(rig_join(&a, &r, 1, 138));
        assert_true(rig_join(&b, &r, 1, 138)); /* the same keys */
        memcpy(text, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
        memcpy(copy + RMR_TS_HEAD, text, 33);
        assert_int_equal(rmr_ts_record_seal(&a.ts.record, copy, 33, &len),
                         RMR_OK);
        if (!other)
            rig_send(&r, a.c, copy, len);
        assert_false(a.c->closed || b.c->closed);
        rig_send(&r, other ? b.c : a.c, copy, len);
        assert_true((other ? &b : &a)->c->closed);
        rig_part(&a);
        rig_part(&b);
    }
    rig_free(&r);
}

/* ---- places that are taken ----------------------------------------------- */

static const char *numbered(unsigned i)
{
    static char key[96];
    (void)snprintf(key, sizeof key, "nodekey:%060x%04x", 7, i);
    return key;
}

static rmr_addr stranger(unsigned i)
{
    return rmr_addr_v4(198, 51, (uint8_t)(i >> 8), (uint8_t)i, 1000);
}

/* One address fills the table; others get their places all the same. */
static void one_stranger_does_not_keep_logins_from_others(void **s)
{
    rmr_coord_config cfg;
    rmr_addr other = stranger(1);
    uint64_t node;
    (void)s;
    rig_config(&cfg);
    cfg.max_logins = 8;
    rig_init(&r, &cfg);
    uint64_t alice = server_user(r.coord, "alice");
    assert_true(rig_join(&a, &r, 1, 138));
    for (unsigned i = 0; i < 8; i++)
        assert_true(rig_says(rig_register(&a, numbered(i), NULL, ""),
                             "AuthURL\":\"http"));
    /* It has them all, and just asked. */
    assert_true(rig_says(rig_register(&a, numbered(8), NULL, ""),
                         "too many logins wait"));
    assert_true(rig_join_from(&b, &r, 2, 138, &other));
    assert_true(rig_says(rig_register(&b, KEY1, NULL, ""), "AuthURL\":\"http"));
    assert_true(rig_says(rig_register(&b, KEY2, NULL, ""), "AuthURL\":\"http"));
    char login[RMR_COORD_LOGIN_TEXT];
    memcpy(login, r.login, sizeof login);
    /* However often it asks now, what others got stays theirs. */
    for (unsigned t = 0; t < 40; t++) {
        rig_wait(&r, RMR_SEC);
        (void)rig_register(&a, numbered(100 + t), NULL, "");
    }
    assert_int_equal(rmr_coord_login_approve(r.coord, login, alice, &node),
                     RMR_OK);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static rig_answer *follow(const char *key, const char *login)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"Followup\":"
                   "\"http://h/register/%s\"}",
                   key, login);
    return rig_ask(&a, "/machine/register", text);
}

static void few_requests_wait_for_a_login(void **s)
{
    rig_answer *x[6];
    (void)s;
    rig_init(&r, NULL);
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(rig_says(rig_register(&a, KEY1, NULL, ""), "AuthURL\":\"http"));
    for (int i = 0; i < 6; i++)
        x[i] = follow(KEY1, r.login);
    rig_pump(&a);
    for (int i = 0; i < 6; i++)
        assert_int_equal(x[i]->over, i < 2);
    assert_true(rig_says(x[0], "another request waits"));
    rig_part(&a);
    rig_free(&r);
}

static void a_node_has_few_streams(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rig_answer *x[8];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    for (int i = 0; i < 8; i++)
        x[i] = rig_ask(&a, "/machine/map",
                       "{\"Version\":138,\"NodeKey\":\"" KEY1
                       "\",\"Stream\":true}");
    rig_pump(&a);
    for (int i = 0; i < 8; i++)
        assert_int_equal(x[i]->over, i < 4);
    assert_int_equal(server_stats(r.coord).streams, 4);
    assert_int_equal(server_stats(r.coord).online, 1);
    rig_part(&a);
    assert_int_equal(server_stats(r.coord).streams, 0);
    rig_free(&r);
}

/* Each update may be a patch to every peer, each stream a whole map. */
static void a_node_that_asks_without_end_is_held_back(void **s)
{
    char key[RMR_COORD_KEY_TEXT], text[256];
    rmr_coord_node n;
    unsigned taken = 0;
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_enter(&b, &r, 2, KEY2, key);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"Version\":138,\"NodeKey\":\"" KEY1
                       "\",\"Endpoints\":[\"192.0.2.1:%u\"]}",
                       1 + i);
        rig_answer *x = rig_ask(&a, "/machine/map", text);
        assert_true(x->status == (taken < 50 ? 200 : 429));
        taken += x->status == 200;
    }
    assert_int_equal(taken, 50);
    /* What was refused was not done; others are not held back. */
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_int_equal(n.endpoints[0].port, 50);
    assert_int_equal(rig_ask(&b, "/machine/map",
                             "{\"Version\":138,\"NodeKey\":\"" KEY2 "\"}")
                         ->status,
                     200);
    /* Ten updates a second, or two streams. */
    taken = 0;
    for (unsigned i = 0; i < 100; i++) {
        rig_wait(&r, RMR_SEC / 20);
        taken += rig_ask(&a, "/machine/map", text)->status == 200;
    }
    assert_in_range(taken, 49, 51);
    rig_wait(&r, 2 * RMR_SEC);
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"" KEY1
                   "\",\"Stream\":true}");
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rig_ask(&a, "/machine/map", text)->status,
                         i < 4 ? 200 : 429);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* 10,000 connections of four addresses that say nothing, or half of something:
 * who is in stays in, who comes gets in, and memory is bounded. */
static void half_open_connections_displace_each_other(void **s)
{
    rmr_coord_config cfg;
    char key[RMR_COORD_KEY_TEXT];
    rmr_addr here = stranger(1), slow = stranger(2);
    (void)s;
    rig_config(&cfg);
    cfg.max_connections = 4096;
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    assert_true(rig_join_from(&a, &r, 1, 138, &here));
    assert_true(rig_says(rig_register(&a, KEY1, key, ""),
                         "\"MachineAuthorized\":true"));
    rig_answer *x =
        rig_ask(&a, "/machine/map",
                "{\"Version\":138,\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
    rig_conn *half = rig_open_from(&r, 0, &slow);
    rig_text(&r, half, "GET /key?v=1");
    size_t before = r.heap.live_bytes;
    for (unsigned i = 0; i < 10000; i++) {
        rmr_addr from = stranger(256 + i % 4);
        (void)rig_knock(&r, &from);
    }
    assert_int_equal(server_stats(r.coord).connections, 1 + 1024);
    assert_int_equal(server_stats(r.coord).displaced, 10000 - 1023);
    assert_int_equal(r.n_closed, 10000 - 1023);
    assert_int_equal(server_stats(r.coord).rejected, 0);
    assert_true(r.heap.live_bytes - before < 1024 * 4096);
    /* The slow one goes on where it was; a new one gets in. */
    assert_false(half->closed);
    rig_text(&r, half, "38 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_memory_equal(half->got, "HTTP/1.1 200", 12);
    assert_true(rig_join_from(&b, &r, 2, 138, &slow));
    assert_true(rig_says(rig_register(&b, KEY2, key, ""),
                         "\"MachineAuthorized\":true"));
    rig_pump(&a);
    assert_false(a.c->closed || x->over);
    rig_wait(&r, 31 * RMR_SEC);
    assert_int_equal(server_stats(r.coord).connections,
                     2); /* what said nothing is gone */
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* The host has no descriptor left: the oldest that are nobody's go. */
static void descriptors_that_run_out_come_back(void **s)
{
    rmr_io_event ev;
    (void)s;
    rig_init(&r, NULL);
    for (unsigned i = 0; i < 100; i++) {
        rmr_addr from = stranger(i);
        (void)rig_knock(&r, &from);
    }
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPT_FAILED;
    ev.id = r.listeners[0];
    ev.err = RMR_E_NOFILES;
    assert_int_equal(r.m.event(r.m.self, r.now, &ev), RMR_OK);
    rig_turn(&r);
    assert_int_equal(server_stats(r.coord).connections, 87);
    assert_true(r.m.next_deadline(r.m.self) <= r.now + RMR_SEC / 10);
    rig_wait(&r, RMR_SEC / 10);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_part(&a);
    rig_free(&r);
}

/* The end finds timers of both. */
static void it_may_be_freed_while_they_wait(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    for (unsigned i = 0; i < 20; i++) {
        rmr_addr from = stranger(i);
        (void)rig_knock(&r, &from);
        rig_wait(&r, RMR_SEC);
        if (i == 10)
            assert_true(rig_join(&a, &r, 1, 138));
        if (i > 10)
            assert_true(
                rig_says(rig_register(&a, numbered(i), NULL, ""), "AuthURL"));
    }
    rmr_h2_free(a.h2);
    rig_free(&r);
}

/* ---- requests that never end --------------------------------------------- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static size_t frame(uint8_t *to, size_t len, uint8_t type, uint8_t flags,
                    uint32_t stream, const void *payload)
{
    const uint8_t head[9] = {0,
                             (uint8_t)(len >> 8),
                             (uint8_t)len,
                             type,
                             flags,
                             0,
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    memcpy(to, head, 9);
    if (len)
        memcpy(to + 9, payload, len);
    return 9 + len;
}

/* POST of a path of 17 bytes, HPACK without compression. */
#define REGISTER "\x83\x86\x01\x01h\x04\x11/machine/register"

static void begins(uint16_t window)
{
    uint8_t t[64];
    const uint8_t settings[6] = {
        0, 4, 0, 0, (uint8_t)(window >> 8), (uint8_t)window};
    assert_true(rig_join(&a, &r, 1, 138));
    rig_inside(&a, PREFACE, sizeof PREFACE - 1);
    rig_inside(&a, t, frame(t, 6, 4, 0, 0, settings));
}

static void asks_half(uint32_t stream, const char *body)
{
    uint8_t t[1024];
    rig_inside(&a, t, frame(t, sizeof REGISTER - 1, 1, 4, stream, REGISTER));
    rig_inside(&a, t, frame(t, strlen(body), 0, 0, stream, body));
}

static void a_request_that_never_ends_ends_its_connection(void **s)
{
    (void)s;
    rig_init(&r, NULL);
    begins(65535);
    size_t before = r.heap.live_bytes;
    for (uint32_t i = 0; i < 16; i++)
        asks_half(1 + 2 * i, "{\"Version\":138,");
    print_message("%zu bytes for 16 requests that are not whole\n",
                  r.heap.live_bytes - before);
    assert_true(r.heap.live_bytes - before < 64 * 1024);
    for (int i = 0; i < 12 && !a.c->closed; i++) {
        uint8_t t[16];
        rig_wait(&r, 10 * RMR_SEC);
        rig_inside(&a, t, frame(t, 1, 0, 0, 1, " ")); /* a byte now and then */
    }
    rig_wait(&r, RMR_SEC);
    assert_true(a.c->closed);
    assert_int_equal(server_stats(r.coord).connections, 0);
    rig_part(&a);
    rig_free(&r);
}

static void an_answer_that_is_not_taken_ends_its_connection(void **s)
{
    uint8_t t[512];
    const char *body = rig_registration(KEY1, NULL, "");
    (void)s;
    rig_init(&r, NULL);
    begins(0); /* no byte of an answer's body may come */
    rig_inside(&a, t, frame(t, sizeof REGISTER - 1, 1, 4, 1, REGISTER));
    rig_inside(&a, t, frame(t, strlen(body), 0, 1, 1, body));
    assert_int_equal(server_stats(r.coord).registers, 1);
    rig_wait(&r, 121 * RMR_SEC);
    assert_true(a.c->closed);
    rig_part(&a);
    rig_free(&r);
}

/* Who goes on asking stays. */
static void updates_keep_a_connection(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    for (int i = 0; i < 4; i++) {
        rig_wait(&r, 100 * RMR_SEC);
        rig_answer *x = rig_ask(&a, "/machine/map",
                                "{\"Version\":138,\"NodeKey\":\"" KEY1 "\"}");
        assert_int_equal(x->status, 200);
    }
    rig_wait(&r, 121 * RMR_SEC);
    assert_true(a.c->closed);
    rig_part(&a);
    rig_free(&r);
}

/* ---- slow at each layer --------------------------------------------------- */

static void slow_raw(rig_conn *c, const char *text)
{
    for (int i = 0; i < 130 && !c->closed; i++) {
        if (*text)
            rig_send(&r, c, text, 1);
        text += *text != 0;
        rig_wait(&r, RMR_SEC);
    }
}

/* A byte a second of each, and then nothing: all end within two minutes. */
static void slow_clients_end_at_each_layer(void **s)
{
    static const char *const texts[] = {
        "",
        "G",
        "GET /key?v=138 HTTP/1.1\r\nHost: h\r\nX-A: "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "POST /verify HTTP/1.1\r\nHost: h\r\nContent-Length: "
        "4000\r\n\r\n{{{{{{{{",
        "POST /verify HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r",
    };
    (void)s;
    rig_init(&r, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        rmr_time began = r.now;
        rig_conn *c = rig_open(&r);
        slow_raw(c, texts[i]);
        assert_true(c->closed && r.now - began <= 32 * RMR_SEC);
        rig_leave(&r, c, true);
    }
    /* Inside: no record, half a record, a preface and frames by bytes. */
    for (int how = 0; how < 4; how++) {
        static const char preface[] = PREFACE "\0\0\0\4\0\0\0\0\0";
        rmr_time began = r.now;
        assert_true(rig_join(&a, &r, 1, 138));
        if (how == 1)
            rig_send(&r, a.c, "\4\1\0aaaa", 7);
        for (size_t i = 0; i < 130 && !a.c->closed; i++) {
            if (how == 2 && i < sizeof preface - 1)
                rig_inside(&a, preface + i, 1);
            if (how == 3) /* whole frames that ask for nothing */
                rig_inside(&a, i ? "\0\0\1\143\0\0\0\0\0x" : preface,
                           i ? 10 : sizeof preface - 1);
            rig_wait(&r, RMR_SEC);
        }
        assert_true(a.c->closed && r.now - began <= 122 * RMR_SEC);
        rig_part(&a);
    }
    assert_int_equal(server_stats(r.coord).connections, 0);
    rig_free(&r);
}

/* Nobody gives a node a longer life than the server does. */
static void no_client_chooses_a_longer_life(void **s)
{
    rmr_coord_config cfg;
    char key[RMR_COORD_KEY_TEXT], login[RMR_COORD_LOGIN_TEXT];
    uint64_t wall = (uint64_t)1800000000 * RMR_SEC, node;
    rmr_coord_node n;
    (void)s;
    rig_config(&cfg);
    cfg.node_expiry = 3600 * RMR_SEC;
    rig_init(&r, &cfg);
    uint64_t alice = server_user(r.coord, "alice");
    server_user_key(r.coord, alice, key);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x =
        rig_register(&a, KEY1, key, ",\"Expiry\":\"2099-01-01T00:00:00Z\"");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_in_range(n.expiry_unix_ns, wall, wall + 3601 * RMR_SEC);
    /* By a login, too; and a shorter one is as wished. */
    assert_true(rig_join(&b, &r, 2, 138));
    (void)rig_register(&b, KEY2, NULL, ",\"Expiry\":\"2099-01-01T00:00:00Z\"");
    memcpy(login, r.login, sizeof login);
    assert_int_equal(rmr_coord_login_approve(r.coord, login, alice, &node),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_get(r.coord, node, &n), RMR_OK);
    assert_in_range(n.expiry_unix_ns, wall, wall + 3601 * RMR_SEC);
    (void)rig_register(&b, KEY3, key, ",\"Expiry\":\"2027-01-15T08:10:00Z\"");
    assert_int_equal(rmr_coord_node_get(r.coord, node, &n), RMR_OK);
    assert_int_equal(n.expiry_unix_ns, wall + 600 * RMR_SEC);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* ---- the log ---------------------------------------------------------------- */

static size_t lines_with(const char *words)
{
    size_t n = 0;
    for (const char *p = r.log.text; (p = strstr(p, words)); p++)
        n++;
    return n;
}

/* Strangers don't fill the disk by it. */
static void what_strangers_do_is_logged_once_an_hour(void **s)
{
    static const char ask[] = "POST /ts2021 HTTP/1.1\r\nHost: h\r\n"
                              "Content-Length: 0\r\n\r\n";
    (void)s;
    rig_init(&r, NULL);
    for (int i = 0; i < 100; i++) {
        rig_conn *c = rig_open(&r);
        rig_text(&r, c, ask);
        assert_memory_equal(c->got, "HTTP/1.1 400", 12);
        rig_leave(&r, c, true);
    }
    assert_int_equal(lines_with("without an Upgrade"), 1);
    rig_wait(&r, 3601 * RMR_SEC);
    rig_conn *c = rig_open(&r);
    rig_text(&r, c, ask);
    rig_leave(&r, c, true);
    assert_int_equal(lines_with("without an Upgrade"), 2);
    rig_free(&r);
}

/* ---- floods inside HTTP/2 ------------------------------------------------- */

/* Each is one frame; the client reads nothing of what the server says. */
static void frames_without_end_take_no_memory(void **s)
{
    static const struct {
        const char *what;
        uint8_t type, flags;
        uint8_t len;
        const char *payload;
        bool new_streams, may_stay;
        uint8_t head; /* of stream 1, in front: its flags and 128; 0: none */
    } t[] = {
        {"streams above the limit", 1, 4, sizeof REGISTER - 1, REGISTER, true,
         false, 0},
        {"... that are whole", 1, 5, sizeof REGISTER - 1, REGISTER, true, false,
         0},
        {"heads that are none", 1, 5, 1, "\x86", true, false, 0},
        {"pings", 6, 0, 8, "12345678", false, false, 0},
        {"settings", 4, 0, 0, "", false, false, 0},
        {"priorities", 2, 0, 5, "\0\0\0\0\1", true, true, 0},
        {"windows", 8, 0, 4, "\0\0\0\1", false, true, 0},
        {"unknown frames", 99, 0, 4, "abcd", false, true, 0},
        {"a head by continuations", 9, 0, 5, "\0\1a\1b", false, true, 128},
        {"... that are empty", 9, 0, 0, "", false, true, 128},
        {"data of nothing", 0, 0, 0, "", false, true, 132},
        {"resets", 3, 0, 4, "\0\0\0\10", true, false, 0},
    };
    (void)s;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        uint8_t text[64];
        rig_init(&r, NULL);
        begins(65535);
        r.stands = true;
        size_t before = r.heap.live_bytes;
        uint32_t own = t[i].head ? 1 : 0;
        if (own)
            rig_inside(&a, text,
                       frame(text, sizeof REGISTER - 1, 1, t[i].head & 127, 1,
                             REGISTER));
        for (uint32_t k = 0; k < 20000 && !a.c->closed; k++)
            rig_inside(&a, text,
                       frame(text, t[i].len, t[i].type, t[i].flags,
                             t[i].new_streams ? 1 + 2 * k : own, t[i].payload));
        size_t took =
            r.heap.live_bytes > before ? r.heap.live_bytes - before : 0;
        r.stands = false;
        rig_goes_on(&r);
        if (took > 200 * 1024 || (!t[i].may_stay && !a.c->closed))
            fail_msg("%s: %zu bytes, %s", t[i].what, took,
                     a.c->closed ? "ended" : "goes on");
        rig_part(&a);
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_key_is_one_nodes_alone),
        cmocka_unit_test(a_login_gives_no_key_away_twice),
        cmocka_unit_test(another_machines_key_opens_nothing),
        cmocka_unit_test(a_record_is_good_once),
        cmocka_unit_test(one_stranger_does_not_keep_logins_from_others),
        cmocka_unit_test(few_requests_wait_for_a_login),
        cmocka_unit_test(a_node_has_few_streams),
        cmocka_unit_test(a_node_that_asks_without_end_is_held_back),
        cmocka_unit_test(half_open_connections_displace_each_other),
        cmocka_unit_test(descriptors_that_run_out_come_back),
        cmocka_unit_test(it_may_be_freed_while_they_wait),
        cmocka_unit_test(a_request_that_never_ends_ends_its_connection),
        cmocka_unit_test(an_answer_that_is_not_taken_ends_its_connection),
        cmocka_unit_test(updates_keep_a_connection),
        cmocka_unit_test(slow_clients_end_at_each_layer),
        cmocka_unit_test(no_client_chooses_a_longer_life),
        cmocka_unit_test(what_strangers_do_is_logged_once_an_hour),
        cmocka_unit_test(frames_without_end_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
