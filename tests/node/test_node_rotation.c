/* A node that is killed while its key is replaced, or while a login is waited
 * for, beside a scripted control server: the next start goes on. */
#include "ctl_server.h"
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL "http://127.0.0.1:9/a/1"
#define URL_2 "http://127.0.0.1:9/a/2"
#define AUTH "tskey-auth-secret"

static lab l;

/* ---- the control server -------------------------------------------------- */

static struct books {
    char key[65];    /* of the node that it knows; "": none */
    bool is_expired; /* that key */
    int key_uses;    /* how often the auth key may still be used */
    const char *url; /* of the login that is open; NULL: none */
    bool is_logged_in;
    int registers, logins; /* logins: URLs handed out */
    char last_key[65], last_followup[128];
    server s;
    uint64_t id; /* the stream; 0: none */
} b;

static bool field(const char *body, const char *name, char *dst, size_t cap)
{
    char find[64];
    (void)snprintf(find, sizeof find, "\"%s\":\"", name);
    const char *at = strstr(body, find);
    dst[0] = 0;
    if (!at)
        return false;
    at += strlen(find);
    size_t len = strcspn(at, "\"");
    assert_true(len < cap);
    memcpy(dst, at, len);
    dst[len] = 0;
    return len > 0;
}

static void key_of(const char *body, const char *name, char key[65])
{
    char text[128];
    assert_true(field(body, name, text, sizeof text));
    assert_int_equal(strlen(text), 8 + 64);
    memcpy(key, text + 8, 65);
}

static const char *moves_to(const char *key)
{
    memcpy(b.key, key, sizeof b.key);
    b.is_expired = false;
    b.url = NULL;
    return NULL;
}

static const char *asks_for_login(void)
{
    static char text[128];
    if (!b.url)
        b.url = b.logins++ == 0 ? URL : URL_2;
    (void)snprintf(text, sizeof text, "{\"AuthURL\":\"%s\"}", b.url);
    return text;
}

static const char *on_register(void *user, const char *body)
{
    char key[65], auth[64];
    (void)user;
    b.registers++;
    key_of(body, "NodeKey", key);
    memcpy(b.last_key, key, sizeof key);
    (void)field(body, "Followup", b.last_followup, sizeof b.last_followup);
    if (strcmp(key, b.key) == 0)
        return b.is_expired ? "{\"NodeKeyExpired\":true}" : NULL;
    if (field(body, "AuthKey", auth, sizeof auth))
        return b.key_uses-- > 0 ? moves_to(key)
                                : "{\"Error\":\"authkey already used\"}";
    if (b.url && b.is_logged_in && strcmp(b.last_followup, b.url) == 0)
        return moves_to(key);
    return asks_for_login();
}

static int may_map(void *user, const char *body)
{
    char key[65];
    (void)user;
    key_of(body, "NodeKey", key);
    return strcmp(key, b.key) == 0 ? 200 : 404;
}

static void put_self(bytes *frames)
{
    char text[1024];
    (void)snprintf(
        text, sizeof text,
        "{\"Node\":{\"ID\":1,\"StableID\":\"s1\",\"Name\":\"n1.ex.com.\","
        "\"User\":1,\"Key\":\"nodekey:%s\",\"Addresses\":[\"100.64.0.1/32\"],"
        "\"AllowedIPs\":[\"100.64.0.1/32\"],\"MachineAuthorized\":true%s},"
        "\"Domain\":\"ex.com\",\"Peers\":[]}",
        b.key, b.is_expired ? ",\"Expired\":true" : "");
    frame_zstd(frames, text);
}

static void on_map(void *user, server *s, const char *body, bytes *frames)
{
    (void)user;
    (void)s;
    (void)body;
    if (frames)
        put_self(frames);
}

/* ---- its stream ---------------------------------------------------------- */

static void server_reset(void)
{
    server_free(&b.s);
    memset(&b.s, 0, sizeof b.s);
    memset(b.s.key, 0x33, 32);
    rmr_key_clamp(b.s.key);
    b.s.on_register = on_register;
    b.s.may_map = may_map;
    b.s.on_map = on_map;
    b.s.open = true;
    b.id = 0;
}

static void tell(rmr_io_event_kind kind, rmr_buf data)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = b.id;
    ev.data = data;
    lab_event(&l, &ev);
}

static void answer(void)
{
    server_output(&b.s);
    if (b.s.out.len && b.id)
        tell(RMR_IO_BYTES, rmr_buf_of(b.s.out.p, b.s.out.len));
    b.s.out.len = 0;
}

static void on_stream(lab *in, const rmr_io_op *op)
{
    (void)in;
    switch (op->kind) {
    case RMR_IO_CONNECT:
        server_reset();
        b.id = op->id;
        tell(RMR_IO_OPENED, rmr_buf_of(NULL, 0));
        break;
    case RMR_IO_STREAM_SEND:
        server_input(&b.s, op->data.ptr, op->data.len);
        tell(RMR_IO_SENT, rmr_buf_of(NULL, 0));
        answer();
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        b.id = 0;
        break;
    default:
        break;
    }
}

/* The node is told that its key has ended. */
static void end_key(void)
{
    bytes frame = {0};
    b.is_expired = true;
    put_self(&frame);
    server_map_send(&b.s, frame.p, frame.len);
    bytes_free(&frame);
    answer();
    lab_turn(&l);
}

/* ---- the node ------------------------------------------------------------ */

static int setup(void **state)
{
    (void)state;
    memset(&b, 0, sizeof b);
    b.key_uses = 1;
    lab_init(&l);
    l.on_stream = on_stream;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_free(&b.s);
    return lab_end(&l);
}

static void start(bool with_key)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    cfg.auth_key = with_key ? AUTH : NULL;
    cfg.keep_auth_key = true;
    cfg.no_udp = cfg.no_port_mapping = true;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
}

static void killed_and_started(bool with_key)
{
    lab_restart(&l);
    b.id = 0;
    start(with_key);
    lab_run(&l, 5 * RMR_SEC);
}

static bool uses(const char *key)
{
    char hex[65];
    return strcmp(rmr_hex(hex, l.node->node_public, RMR_KEY_LEN), key) == 0;
}

static void assert_runs(void)
{
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_true(uses(b.key));
    assert_memory_equal(l.node->keys.node, l.node->node_private, RMR_KEY_LEN);
    assert_false(l.node->keys.has_old_node || l.node->renewing);
    assert_null(l.node->keys.auth_url);
    assert_int_equal(l.running_events, 1);
}

/* Joined, and in the middle of a rotation that nobody answers; `known`: what
 * the server takes for its key. */
static void begin_rotation(char known[65])
{
    start(true);
    lab_run(&l, 5 * RMR_SEC);
    assert_runs();
    memcpy(known, b.key, 65);
    b.s.reg_status = -1;
    end_key();
    assert_true(l.node->renewing && l.node->keys.has_old_node);
    assert_true(uses(known));
}

/* ---- rotations ----------------------------------------------------------- */

static void a_rotation_the_server_never_heard_of_is_given_up(void **st)
{
    char key[65];
    (void)st;
    begin_rotation(key);
    b.is_expired = false; /* it lives, as one that was renewed early does */
    killed_and_started(false);
    assert_string_equal(b.key, key);
    assert_runs();
    /* And that is what is stored. */
    killed_and_started(false);
    assert_string_equal(b.key, key);
    assert_runs();
}

static void a_rotation_goes_on_with_an_auth_key(void **st)
{
    char key[65];
    (void)st;
    begin_rotation(key);
    b.key_uses = 1;
    killed_and_started(true);
    assert_string_not_equal(b.key, key);
    assert_runs();
}

static void an_auth_key_that_is_used_up_leaves_the_key_before(void **st)
{
    char key[65];
    (void)st;
    begin_rotation(key);
    b.is_expired = false;
    killed_and_started(true);
    assert_string_equal(b.key, key);
    assert_runs();
}

static void a_rotation_that_the_server_took_is_found_done(void **st)
{
    char key[65], hex[65];
    uint8_t fresh[RMR_KEY_LEN];
    (void)st;
    begin_rotation(key);
    rmr_x25519_public(fresh, l.node->keys.node);
    moves_to(rmr_hex(hex, fresh, RMR_KEY_LEN));
    killed_and_started(false);
    assert_string_equal(b.key, hex);
    assert_runs();
}

static void a_key_that_has_ended_waits_for_the_same_login(void **st)
{
    char key[65], fresh[65];
    (void)st;
    begin_rotation(key);
    killed_and_started(false);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_string_equal(l.node->keys.auth_url, URL);
    memcpy(fresh, b.last_key, sizeof fresh);
    /* Once more, and the login is completed meanwhile. */
    killed_and_started(false);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_string_equal(b.last_followup, URL);
    assert_string_equal(b.last_key, fresh);
    assert_int_equal(b.logins, 1);
    b.is_logged_in = true;
    killed_and_started(false);
    assert_string_equal(b.key, fresh);
    assert_runs();
}

/* ---- logins -------------------------------------------------------------- */

static void the_first_login_is_followed_by_the_next_start(void **st)
{
    char key[65];
    (void)st;
    start(false);
    lab_run(&l, RMR_SEC);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    memcpy(key, b.last_key, sizeof key);
    killed_and_started(false);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_string_equal(b.last_followup, URL);
    assert_string_equal(b.last_key, key);
    b.is_logged_in = true;
    lab_run(&l, 60 * RMR_SEC); /* it asks again by itself */
    assert_string_equal(b.key, key);
    assert_runs();
    /* That login is done with. */
    killed_and_started(false);
    assert_string_equal(b.last_followup, "");
    assert_runs();
}

static void an_auth_key_makes_the_login_needless(void **st)
{
    (void)st;
    start(false);
    lab_run(&l, RMR_SEC);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    killed_and_started(true);
    assert_string_equal(b.last_followup, "");
    assert_runs();
}

static void a_login_that_the_server_forgot_gives_way_to_another(void **st)
{
    (void)st;
    start(false);
    lab_run(&l, RMR_SEC);
    b.url = NULL;
    killed_and_started(false);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_string_equal(l.node->keys.auth_url, URL_2);
}

/* ---- killed -------------------------------------------------------------- */

/* Before or behind each part of each write, on a disk that is faster than the
 * network and on one that is slower; the least of writes that there were. */
static size_t killed_at_each(void **st, bool (*one)(size_t part, bool after))
{
    size_t least = SIZE_MAX;
    for (int i = 0; i < 4; i++) {
        size_t part = 1;
        l.late_stores = i >= 2;
        while (one(part, i % 2 == 1)) {
            part++;
            assert_int_equal(teardown(st), 0);
            assert_int_equal(setup(st), 0);
            l.late_stores = i >= 2;
        }
        least = part - 1 < least ? part - 1 : least;
        assert_int_equal(teardown(st), 0);
        assert_int_equal(setup(st), 0);
    }
    return least;
}

/* Killed before or behind each part of each write of a rotation: none of the next
 * starts needs a login, with an auth key that can be used once more in all. */
static bool rotation_killed_at(size_t part, bool after)
{
    start(true);
    lab_run(&l, 5 * RMR_SEC);
    assert_runs();
    b.key_uses = 1;
    l.parts = 0;
    l.cut_at = part;
    l.cut_after = after;
    end_key();
    if (!l.is_cut)
        lab_run(&l, 5 * RMR_SEC);
    bool was_cut = l.is_cut;
    killed_and_started(b.key_uses > 0);
    assert_runs();
    assert_int_equal(b.logins, 0);
    return was_cut;
}

static void killed_at_any_write_of_a_rotation_no_login_is_needed(void **st)
{
    size_t writes = killed_at_each(st, rotation_killed_at);
    assert_true(writes >= 2); /* the new key, then the end of the old one */
}

/* The same of the first start, with an auth key that is good once. */
static bool join_killed_at(size_t part, bool after)
{
    l.cut_at = part;
    l.cut_after = after;
    start(true);
    if (!l.is_cut)
        lab_run(&l, 5 * RMR_SEC);
    bool was_cut = l.is_cut;
    killed_and_started(b.key_uses > 0);
    assert_runs();
    assert_int_equal(b.logins, 0);
    return was_cut;
}

static void killed_at_any_write_of_a_join_the_auth_key_is_not_lost(void **st)
{
    assert_true(killed_at_each(st, join_killed_at) >= 2);
}

static void the_server_hears_of_no_key_that_is_not_stored(void **st)
{
    char key[65];
    (void)st;
    start(true);
    lab_run(&l, 5 * RMR_SEC);
    memcpy(key, b.key, sizeof key);
    int registers = b.registers;
    b.key_uses = 1;
    l.store_err = RMR_E_IO;
    end_key();
    lab_run(&l, 60 * RMR_SEC);
    assert_int_equal(b.registers, registers);
    assert_true(uses(key));
    assert_false(l.node->renewing);
    l.store_err = RMR_OK; /* there is room again */
    lab_run(&l, 3600 * RMR_SEC);
    assert_string_not_equal(b.key, key);
    assert_true(uses(b.key));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_rotation_the_server_never_heard_of_is_given_up),
        T(a_rotation_goes_on_with_an_auth_key),
        T(an_auth_key_that_is_used_up_leaves_the_key_before),
        T(a_rotation_that_the_server_took_is_found_done),
        T(a_key_that_has_ended_waits_for_the_same_login),
        T(the_first_login_is_followed_by_the_next_start),
        T(an_auth_key_makes_the_login_needless),
        T(a_login_that_the_server_forgot_gives_way_to_another),
        T(killed_at_any_write_of_a_rotation_no_login_is_needed),
        T(killed_at_any_write_of_a_join_the_auth_key_is_not_lost),
        T(the_server_hears_of_no_key_that_is_not_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
