/* Registration: refusals, logins, waiting, keys that expire. */
#include "ctl_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <remora/text.h>

/* ---- registration ----------------------------------------------------- */

static void refusals_of_the_registration_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        rmr_err err;
        const char *text;
        bool no_key;
    } cases[] = {
        {200, "{\"Error\":\"invalid pre auth key\"}", RMR_E_CTL_AUTH_KEY,
         "invalid pre auth key", 0},
        {200, "{\"Error\":\"authkey already used\"}", RMR_E_CTL_AUTH_KEY,
         "already used", 0},
        {200, "{\"Error\":\"invalid authkey\"}", RMR_E_CTL_NEEDS_LOGIN,
         "invalid authkey", 1},
        {200,
         "{\"NodeKeyExpired\":true,\"Error\":\"node exists with a "
         "different machine key\"}",
         RMR_E_CTL_REFUSED, "different machine", 0},
        {200, "{\"NodeKeySignature\":\"AAAA\",\"NodeKeyExpired\":true}",
         RMR_E_CTL_LOCKED, "", 0},
        {200, "{\"NodeKeyExpired\":true,\"AuthURL\":\"http://x/\"}",
         RMR_E_CTL_KEY_EXPIRED, "", 0},
        {200, "{\"AuthURL\":\"javascript:alert(1)\"}", RMR_E_CTL_REFUSED,
         "no URL", 0},
        {400, "unsupported client version: unsupported (138)",
         RMR_E_CTL_TOO_NEW, "we have 138; unsupported client version", 0},
        {400, "bad thing", RMR_E_CTL_HTTP, "HTTP 400", 0},
        {500, "oops", RMR_E_CTL_HTTP, "oops", 0},
        {200, "{\"Error\":", RMR_E_CTL_HTTP, "can't be read", 0},
        {200, "", RMR_E_CTL_HTTP, "can't be read", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = {0};
        bool closed = cases[i].err == RMR_E_CTL_HTTP;
        r.s.reg_status = cases[i].status;
        r.s.reg_body = cases[i].body;
        assert_int_equal(
            rig_init(&r, cases[i].no_key ? tune_no_auth_key : NULL), RMR_OK);
        rig_run(&r);
        assert_string_equal(r.states, closed ? "CRD" : "CRF");
        assert_int_equal(r.err, cases[i].err);
        assert_true(rig_has(r.text, cases[i].text));
        assert_false(r.stream); /* closed by our wish */
        assert_int_equal(r.registered, 0);
        /* FAILED stays until the user says so. */
        rig_wait(&r, 3600 * RMR_SEC);
        assert_true(closed == (r.s.dials > 1));
        if (!closed) {
            r.s.reg_body = NULL;
            r.s.reg_status = 0;
            rmr_ctl_retry(r.c, r.now);
            rig_run(&r);
            assert_int_equal(r.state, RMR_CTL_CONNECTED);
        }
        rig_free(&r);
    }
}

static void a_login_is_awaited(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_body = "{\"AuthURL\":\"http://control.example/a/1\"}";
    r.s.reg_answers = 1; /* the question that follows is held */
    assert_int_equal(rig_init(&r, tune_no_auth_key), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRL");
    assert_int_equal(r.err, RMR_E_CTL_NEEDS_LOGIN);
    assert_string_equal(r.text, "http://control.example/a/1");
    assert_int_equal(r.s.registers, 2);
    assert_null(strstr(r.s.last_register, "\"Auth\""));
    assert_true(rig_has(r.s.last_register,
                        "\"Followup\":\"http://control.example/a/1\""));
    rig_free(&r);
}

static void a_held_login_goes_on_by_itself(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_body = "{\"AuthURL\":\"https://control.example/a/1\"}";
    r.s.reg_header = "1";
    assert_int_equal(rig_init(&r, tune_no_auth_key), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    /* The same URL again: the questions get rarer. */
    int before = r.s.registers;
    rig_wait(&r, 100 * RMR_SEC);
    assert_in_range(r.s.registers - before, 5, 60);
    /* Another URL is shown. */
    r.s.reg_body = "{\"AuthURL\":\"https://control.example/a/2\"}";
    rig_wait(&r, 60 * RMR_SEC);
    assert_string_equal(r.text, "https://control.example/a/2");
    /* The connection drops while the question is held. */
    r.s.reg_status = -1;
    rig_wait(&r, 60 * RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    before = r.s.registers;
    rig_wait(&r, 15 * 60 * RMR_SEC); /* no timeout of ours */
    assert_int_equal(r.s.registers, before);
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    assert_true(rig_has(r.s.last_register, "a/2"));
    rig_wait(&r, 21 * 60 * RMR_SEC);
    assert_true(r.s.registers > before + 1); /* asked again once in a while */
    r.s.reg_status = 0;
    r.s.reg_body = NULL;
    rig_wait(&r, 21 * 60 * RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.registered, 1);
    rig_free(&r);
}

static void the_server_may_ask_to_wait(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_status = 429;
    r.s.reg_header = "7";
    r.s.reg_body = "slow down";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRR");
    assert_true(rig_has(r.text, "wait 7 s"));
    assert_int_equal(rmr_ctl_next_deadline(r.c), r.now + 7 * RMR_SEC);
    static const char *const odd[] = {"0", "4000", "x",
                                      "Wed, 21 Oct 2026 07:28:00 GMT"};
    for (size_t i = 0; i < 4; i++) {
        rmr_time next = rmr_ctl_next_deadline(r.c);
        r.s.reg_header = odd[i];
        rig_wait(&r, next - r.now);
        assert_in_range(rmr_ctl_next_deadline(r.c) - r.now, 5 * RMR_SEC,
                        10 * RMR_SEC);
    }
    r.s.reg_status = 0;
    r.s.reg_body = NULL;
    rig_wait(&r, 10 * RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.dials, 1);
    rig_free(&r);
}

static void a_silent_registration_is_given_up(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_status = -1;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_wait(&r, 30 * RMR_SEC);
    assert_string_equal(r.states, "CRD");
    assert_int_equal(r.err, RMR_E_CTL_SILENT);
    rig_free(&r);
}

static void an_expired_key_is_replaced(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32];
    memset(fresh, 0x55, 32);
    memset(old, 0x11, 32);
    r.s.reg_body = "{\"NodeKeyExpired\":true}";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRF");
    r.s.reg_body = NULL;
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRFCRO");
    assert_true(rig_has(r.s.last_register, "\"NodeKey\":\"nodekey:5555"));
    assert_true(rig_has(r.s.last_register, "\"OldNodeKey\":\"nodekey:1111"));
    assert_int_equal(r.s.n_reg_ts_lb, 2);
    assert_true(rig_has(r.s.reg_ts_lb[0], "nodekey:1111"));
    assert_true(rig_has(r.s.reg_ts_lb[1], "nodekey:5555"));
    memset(fresh, 0, 32);
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_E_INVAL);
    rig_free(&r);
}

static void a_key_is_rotated_under_a_running_stream(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32];
    memset(fresh, 0x55, 32);
    memset(old, 0x11, 32);
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRORO");
    assert_int_equal(r.s.dials, 1);
    assert_int_equal(r.s.registers, 2);
    assert_int_equal(r.s.maps, 2);
    assert_true(rig_has(r.s.last_map, "nodekey:5555"));
    assert_null(strstr(r.s.last_register, "AuthKey")); /* it is used up */
    rig_free(&r);
}

static void many_keys_in_a_row_end_with_the_last(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32] = {1};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    for (int i = 0; i < 30; i++) { /* more than streams may be open */
        memset(fresh, 0x60 + i, 32);
        assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
        assert_int_equal(rmr_ctl_handle_deadline(r.c, r.now), RMR_OK);
        assert_true(rmr_ctl_next_deadline(r.c) > r.now);
    }
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.dials, 1);
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:7d7d"));
    rig_free(&r);
}

static const char expired_reply[] = "{\"NodeKeyExpired\":true}";

static void an_expired_key_is_replaced_at_once(void **state)
{
    (void)state;
    rig r = {0};
    r.next_key = 0x55;
    r.s.reg_bodies[0] = expired_reply;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.expired, 1);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.dials, 1);
    assert_int_equal(r.s.registers, 2);
    assert_true(rig_has(r.s.last_register, "\"NodeKey\":\"nodekey:5555"));
    assert_true(rig_has(r.s.last_register, "\"OldNodeKey\":\"nodekey:1111"));
    assert_true(rig_has(r.s.last_register, "AuthKey"));
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:5555"));
    rig_free(&r);
}

static void a_new_key_that_is_expired_too_is_refused(void **state)
{
    (void)state;
    rig r = {0};
    r.next_key = 0x55;
    r.s.reg_body = expired_reply;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.expired, 1); /* and not for ever */
    assert_int_equal(r.refused, 1);
    assert_int_equal(r.refused_err, RMR_E_CTL_KEY_EXPIRED);
    assert_int_equal(r.s.registers, 2);
    /* The server knows the first one: it may let it live again. */
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
    rig_free(&r);
}

static void an_expired_node_polls_while_it_waits_for_a_login(void **state)
{
    (void)state;
    rig r = {0};
    r.next_key = 0x55;
    r.s.reg_bodies[0] = expired_reply;
    r.s.reg_body = "{\"AuthURL\":\"https://control.example/a/1\"}";
    r.s.reg_answers = 2;
    assert_int_equal(rig_init(&r, tune_no_auth_key), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    assert_int_equal(r.s.maps, 1);
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
    assert_int_equal(r.s.updates, 1);
    assert_true(rig_has(r.s.last_update, "\"NodeKey\":\"nodekey:1111"));
    /* The poll comes back, and the login is still waited for. */
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    assert_int_equal(r.s.maps, 2);
    assert_true(rig_has(r.s.last_register, "a/1"));
    /* An administrator let the old key live: the login is not needed. */
    assert_int_equal(rmr_ctl_keep_node_key(r.c), RMR_OK);
    assert_int_equal(rmr_ctl_keep_node_key(r.c), RMR_E_STATE);
    rig_cut(&r, RMR_E_RESET, NULL);
    int before = r.s.registers;
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.registers, before);
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
    rig_free(&r);
}

static void a_dead_key_is_not_polled_with_for_ever(void **state)
{
    (void)state;
    rig r = {0};
    r.next_key = 0x55;
    r.s.reg_bodies[0] = expired_reply;
    r.s.reg_body = "{\"AuthURL\":\"https://control.example/a/1\"}";
    r.s.reg_answers = 2;
    r.s.map_status = 404;
    r.s.map_body = "no such node";
    assert_int_equal(rig_init(&r, tune_no_auth_key), RMR_OK);
    rig_wait(&r, 60 * RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    assert_int_equal(r.s.maps, 1);
    assert_int_equal(r.s.dials, 1);
    rig_free(&r);
}

static void the_auth_key_is_kept_for_the_next_node_key(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32];
    memset(fresh, 0x55, 32);
    memset(old, 0x11, 32);
    assert_int_equal(rig_init(&r, tune_keep_auth_key), RMR_OK);
    rig_run(&r);
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.registers, 2);
    assert_true(rig_has(r.s.last_register, "verysecret"));
    /* But a node that was deleted does not come back by it. */
    r.s.map_status = 404;
    r.s.map_body = "no such node";
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC / 10);
    assert_true(r.s.registers > 2);
    assert_null(strstr(r.s.last_register, "verysecret"));
    rig_free(&r);
}

static void a_refused_rotation_leaves_the_key_before(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32];
    memset(fresh, 0x55, 32);
    memset(old, 0x11, 32);
    assert_int_equal(rig_init(&r, tune_keep_auth_key), RMR_OK);
    rig_run(&r);
    r.s.reg_body = "{\"Error\":\"authkey already used\"}";
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CROR"); /* the stream was not touched */
    assert_int_equal(r.refused, 1);
    assert_int_equal(r.refused_err, RMR_E_CTL_AUTH_KEY);
    assert_true(rig_has(r.refused_text, "already used"));
    assert_int_equal(r.s.maps, 1);
    /* That auth key is not tried again. */
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    assert_null(strstr(r.s.last_register, "verysecret"));
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC);
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
    rig_free(&r);
}

/* ---- as before the start ---------------------------------------------- */

static void tune_rotating(rmr_ctl_config *cfg)
{
    cfg->auth_key = NULL;
    memset(cfg->next_node_public, 0x55, RMR_KEY_LEN);
}

static void a_rotation_goes_on_after_a_restart(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, tune_rotating), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.registers, 1);
    assert_true(rig_has(r.s.last_register, "\"NodeKey\":\"nodekey:5555"));
    assert_true(rig_has(r.s.last_register, "\"OldNodeKey\":\"nodekey:1111"));
    assert_true(rig_has(r.s.last_map, "nodekey:5555"));
    rig_free(&r);
}

static void
a_rotation_that_is_refused_after_a_restart_leaves_the_old_key(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{\"Error\":\"not you\"}",
                                         "{\"NodeKeyExpired\":true}"};
    for (size_t i = 0; i < 2; i++) {
        rig r = {0};
        r.s.reg_body = bodies[i];
        assert_int_equal(rig_init(&r, tune_rotating), RMR_OK);
        rig_run(&r);
        assert_int_equal(r.refused, 1);
        assert_int_equal(r.s.registers, 1);
        assert_int_equal(r.s.maps, 1);
        assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
        rig_cut(&r, RMR_E_RESET, NULL);
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
        rig_free(&r);
    }
}

static void the_old_key_polls_while_a_login_is_waited_for(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_body = "{\"AuthURL\":\"https://control.example/a/1\"}";
    r.s.reg_answers = 1;
    assert_int_equal(rig_init(&r, tune_rotating), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.state, RMR_CTL_NEEDS_LOGIN);
    assert_true(rig_has(r.s.last_map, "\"NodeKey\":\"nodekey:1111"));
    assert_int_equal(rmr_ctl_keep_node_key(r.c), RMR_OK);
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.registers, 2);
    rig_free(&r);
}

static void tune_waiting(rmr_ctl_config *cfg)
{
    cfg->auth_key = NULL;
    cfg->auth_url = "https://control.example/a/1";
}

static void tune_held(rmr_ctl_config *cfg)
{
    cfg->hold = true;
}

static void a_registration_is_held_back_until_it_may_go(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, tune_held), RMR_OK);
    rig_wait(&r, 5 * RMR_SEC);
    assert_int_equal(r.s.upgrades, 1); /* it is there by then */
    assert_int_equal(r.s.registers, 0);
    assert_int_equal(r.s.maps, 0);
    assert_true(rmr_ctl_next_deadline(r.c) > r.now);
    rmr_ctl_release(r.c);
    rig_run(&r);
    assert_int_equal(r.s.registers, 1);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.dials, 1);
    rig_free(&r);
}

static void a_login_is_waited_for_after_a_restart(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_status = -1;
    assert_int_equal(rig_init(&r, tune_waiting), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CL");
    assert_string_equal(r.text, "https://control.example/a/1");
    assert_int_equal(r.s.registers, 1);
    assert_true(rig_has(r.s.last_register,
                        "\"Followup\":\"https://control.example/a/1\""));
    rig_free(&r);
}

static void a_login_that_the_server_forgot_is_asked_for_anew(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
    } cases[] = {{200, "{\"Error\":\"no such login\"}"},
                 {200, "{\"NodeKeyExpired\":true}"},
                 {404, "not found"}};
    for (size_t i = 0; i < 3; i++) {
        rig r = {0};
        r.s.reg_status = cases[i].status;
        r.s.reg_body = cases[i].body;
        r.s.reg_answers = 1;
        assert_int_equal(rig_init(&r, tune_waiting), RMR_OK);
        rig_run(&r);
        assert_int_equal(r.s.dials, 1);
        assert_int_equal(r.s.registers, 2);
        assert_true(rig_has(r.s.last_register, "\"Followup\":\"\""));
        assert_int_equal(r.state, RMR_CTL_REGISTERING);
        rig_free(&r);
    }
}

static void tune_waiting_with_key(rmr_ctl_config *cfg)
{
    cfg->auth_url = "https://control.example/a/1";
}

static void tune_waiting_for_none(rmr_ctl_config *cfg)
{
    cfg->auth_key = NULL;
    cfg->auth_url = "javascript:x";
}

static void a_login_of_before_does_not_count_beside_an_auth_key(void **state)
{
    (void)state;
    rig r = {0}, q = {0};
    assert_int_equal(rig_init(&r, tune_waiting_with_key), RMR_OK);
    rig_run(&r);
    assert_true(rig_has(r.s.last_register, "AuthKey"));
    assert_true(rig_has(r.s.last_register, "\"Followup\":\"\""));
    rig_free(&r);
    assert_int_equal(rig_init(&q, tune_waiting_for_none), RMR_OK);
    rig_run(&q);
    assert_true(rig_has(q.s.last_register, "\"Followup\":\"\""));
    rig_free(&q);
}

static void logging_out_is_a_registration_in_the_past(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    r.s.reg_body = expired_reply; /* as some servers answer */
    rmr_ctl_logout(r.c, r.now);
    rig_run(&r);
    assert_string_equal(r.states, "CRORX");
    assert_int_equal(r.err, RMR_OK);
    assert_true(rig_has(r.s.last_register, "\"NodeKey\":\"nodekey:1111"));
    assert_true(
        rig_has(r.s.last_register, "\"Expiry\":\"1970-01-01T00:02:03Z\""));
    assert_false(r.stream);
    rig_wait(&r, 3600 * RMR_SEC);
    assert_int_equal(r.s.dials, 1);
    assert_int_equal(r.expired, 0);
    rig_free(&r);
}

static void a_refused_logout_says_why(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    rig_cut(&r, RMR_E_RESET, NULL); /* it connects for it */
    r.s.reg_body = "{\"Error\":\"not you\"}";
    rmr_ctl_logout(r.c, r.now);
    rig_run(&r);
    assert_int_equal(r.state, RMR_CTL_LOGGED_OUT);
    assert_int_equal(r.err, RMR_E_CTL_REFUSED);
    assert_string_equal(r.text, "not you");
    assert_int_equal(r.s.maps, 1);
    rig_free(&r);
}

static void tune_tags(rmr_ctl_config *cfg)
{
    static const char *const tags[] = {"tag:a", "tag:printer"};
    cfg->tags = tags;
    cfg->n_tags = 2;
}

static void tune_bad_tag(rmr_ctl_config *cfg)
{
    static const char *const tags[] = {"printer"};
    cfg->tags = tags;
    cfg->n_tags = 1;
}

static void tags_are_asked_for(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, tune_tags), RMR_OK);
    rig_run(&r);
    assert_true(rig_has(r.s.last_register,
                        "\"RequestTags\":[\"tag:a\",\"tag:printer\"]"));
    rig_free(&r);
    rig bad = {0};
    assert_int_equal(rig_init(&bad, tune_bad_tag), RMR_E_INVAL);
    rig_free(&bad);
}

int main(void)
{
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_of_the_registration_are_told_apart),
        cmocka_unit_test(a_login_is_awaited),
        cmocka_unit_test(a_held_login_goes_on_by_itself),
        cmocka_unit_test(the_server_may_ask_to_wait),
        cmocka_unit_test(a_silent_registration_is_given_up),
        cmocka_unit_test(an_expired_key_is_replaced),
        cmocka_unit_test(a_key_is_rotated_under_a_running_stream),
        cmocka_unit_test(many_keys_in_a_row_end_with_the_last),
        cmocka_unit_test(an_expired_key_is_replaced_at_once),
        cmocka_unit_test(a_new_key_that_is_expired_too_is_refused),
        cmocka_unit_test(an_expired_node_polls_while_it_waits_for_a_login),
        cmocka_unit_test(a_dead_key_is_not_polled_with_for_ever),
        cmocka_unit_test(the_auth_key_is_kept_for_the_next_node_key),
        cmocka_unit_test(a_refused_rotation_leaves_the_key_before),
        cmocka_unit_test(a_rotation_goes_on_after_a_restart),
        cmocka_unit_test(
            a_rotation_that_is_refused_after_a_restart_leaves_the_old_key),
        cmocka_unit_test(the_old_key_polls_while_a_login_is_waited_for),
        cmocka_unit_test(a_registration_is_held_back_until_it_may_go),
        cmocka_unit_test(a_login_is_waited_for_after_a_restart),
        cmocka_unit_test(a_login_that_the_server_forgot_is_asked_for_anew),
        cmocka_unit_test(a_login_of_before_does_not_count_beside_an_auth_key),
        cmocka_unit_test(logging_out_is_a_registration_in_the_past),
        cmocka_unit_test(a_refused_logout_says_why),
        cmocka_unit_test(tags_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
