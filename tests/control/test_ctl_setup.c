/* The client up to the handshake: the key, the upgrade, Noise, and each way
 * in which they fail. */
#include "ctl_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <remora/text.h>

/* ---- the key ---------------------------------------------------------- */

static void a_changed_key_is_taken_over_by_tls_alone(void **state)
{
    (void)state;
    static const struct {
        void (*tune)(rmr_ctl_config *);
        const char *states;
    } cases[] = {{tune_https_pinned_to_another, "CCRO"},
                 {tune_accepts_pinned_to_another, "CCRO"},
                 {tune_pinned_to_another, "CCF"}};
    for (size_t i = 0; i < 3; i++) {
        rig r = {0};
        assert_int_equal(rig_init(&r, cases[i].tune), RMR_OK);
        rig_run(&r);
        assert_string_equal(r.states, cases[i].states);
        assert_int_equal(r.s.keys, 1);
        if (i < 2) {
            assert_int_equal(r.server_keys, 1);
            assert_true(test_log_has(&r.log, "new key"));
        } else {
            assert_int_equal(r.err, RMR_E_CTL_KEY_CHANGED);
            assert_int_equal(r.server_keys, 0);
            assert_true(
                rig_has(rmr_ctl_err_text(r.err), "--accept-control-key"));
            assert_int_equal(rmr_ctl_next_deadline(r.c), RMR_TIME_NEVER);
        }
        rig_free(&r);
    }
}

static void answers_that_hold_no_key_are_told_apart(void **state)
{
    (void)state;
#define OK_HEAD "HTTP/1.1 200 OK\r\n\r\n"
    static const struct {
        const char *answer;
        rmr_err err;
        const char *text;
    } cases[] = {
        {OK_HEAD "00112233445566778899aabbccddeeff00112233445566778899aabbccdd"
                 "eeff\n",
         RMR_E_CTL_TOO_OLD, ""},
        {OK_HEAD "{\"legacyPublicKey\":\"mkey:00\"}", RMR_E_CTL_TOO_OLD, ""},
        {OK_HEAD "{\"publicKey\":\"mkey:00000000000000000000000000000000000000"
                 "00000000000000000000000000\"}",
         RMR_E_CTL_TOO_OLD, ""},
        {OK_HEAD "<html>Please sign in</html>", RMR_E_CTL_HTTP, "sign in"},
        {OK_HEAD, RMR_E_CTL_HTTP, "not JSON"},
        {"HTTP/1.1 404 Not Found\r\n\r\nnope\x01", RMR_E_CTL_HTTP, "404"},
        {"HTTP/1.1 302 Found\r\nLocation: https://x/key\r\n\r\n",
         RMR_E_CTL_HTTP, "https://x/key"},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", RMR_E_CTL_GATEWAY, "502"},
        {"SSH-2.0-OpenSSH\r\n", RMR_E_CTL_HTTP, "HTTP/1.1"},
        {"", RMR_E_CTL_ENDED, "GET /key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = {0};
        r.s.key_answer = cases[i].answer;
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        assert_int_equal(r.err, cases[i].err);
        assert_true(rig_has(r.text, cases[i].text));
        assert_int_equal(r.state, cases[i].err == RMR_E_CTL_TOO_OLD
                                      ? RMR_CTL_FAILED
                                      : RMR_CTL_DOWN);
        rig_free(&r);
    }
}

/* ---- the upgrade ------------------------------------------------------ */

static void upgrade_answers_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        rmr_err err;
        const char *text;
    } cases[] = {
        {"200 OK\r\n\r\nhello", RMR_E_CTL_HTTP, "HTTP 200"},
        {"204 No Content\r\n\r\n", RMR_E_CTL_HTTP, "HTTP 204"},
        {"301 Moved\r\nLocation: https://x\r\n\r\n", RMR_E_CTL_HTTP,
         "to https://x"},
        {"404 Not Found\r\n\r\n", RMR_E_CTL_HTTP, "HTTP 404"},
        {"405 No\r\n\r\n", RMR_E_CTL_HTTP, "HTTP 405"},
        {"400 Bad\r\n\r\nmissing next protocol", RMR_E_CTL_PROXY,
         "missing next"},
        {"500 Err\r\nContent-Length: 15\r\n\r\nInternal error\n",
         RMR_E_CTL_PROXY, "Internal error"},
        {"500 Err\r\n\r\nsomething else", RMR_E_CTL_HTTP, "something else"},
        {"426 Upgrade\r\n\r\n", RMR_E_CTL_GATEWAY, "426"},
        {"501 No\r\n\r\n", RMR_E_CTL_GATEWAY, "501"},
        {"502 No\r\n\r\n", RMR_E_CTL_GATEWAY, "502"},
        {"503 No\r\n\r\n", RMR_E_CTL_GATEWAY, "503"},
        {"504 No\r\n\r\n", RMR_E_CTL_GATEWAY, "504"},
        {"522 No\r\n\r\n", RMR_E_CTL_GATEWAY, "522"},
        {"101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
         RMR_E_CTL_HTTP, "unexpected protocol websocket"},
        {"101 Switching\r\nUpgrade: Tailscale-Control-Protocol\r\n"
         "Connection: upgrade\r\n\r\n",
         RMR_E_CTL_HTTP, "unexpected protocol"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t chunk = 0; chunk < 2; chunk++) {
            rig r = {0};
            char text[512];
            (void)snprintf(text, sizeof text, "HTTP/1.1 %s", cases[i].answer);
            r.s.upgrade_answer = text;
            r.chunk = chunk;
            assert_int_equal(rig_init(&r, tune_pinned), RMR_OK);
            rig_run(&r);
            if (r.stream) /* a body that lasts to the end */
                rig_cut(&r, RMR_OK, NULL);
            rig_run(&r); /* a proxy's fault: by WebSocket, which is a 404 */
            bool proxy = cases[i].err != RMR_E_CTL_HTTP;
            assert_string_equal(r.states, proxy ? "CCD" : "CD");
            assert_int_equal(r.s.ws_upgrades, proxy);
            assert_int_equal(r.err, cases[i].err);
            assert_true(rig_has(r.text, cases[i].text));
            rig_free(&r);
        }
    }
}

static void an_error_page_without_end_is_cut_off(void **state)
{
    (void)state;
    rig r = {0};
    char text[2000];
    memset(text, 'x', sizeof text);
    memcpy(text, "HTTP/1.1 500 Oh\r\n\r\n", 19);
    text[sizeof text - 1] = '\0';
    r.s.upgrade_answer = text;
    assert_int_equal(rig_init(&r, tune_pinned), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CD");
    assert_false(r.stream);
    rig_free(&r);
}

/* ---- the handshake ---------------------------------------------------- */

static void failed_handshakes_fetch_the_key_once(void **state)
{
    (void)state;
    static const struct {
        hello_mode hello;
        const char *text;
    } cases[] = {{HELLO_CLOSE, "closed during the handshake"},
                 {HELLO_ERROR, "(unauthenticated): go away now"},
                 {HELLO_BAD_TAG, "not sealed with its key"}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t chunk = 0; chunk < 2; chunk++) {
            rig r = {0};
            r.s.hello = cases[i].hello;
            r.chunk = chunk;
            assert_int_equal(rig_init(&r, tune_pinned), RMR_OK);
            rig_run(&r);
            /* Once with the pin, then the key, which is the same. */
            assert_string_equal(r.states, "CCD");
            assert_int_equal(r.err, RMR_E_CTL_HANDSHAKE);
            assert_true(rig_has(r.text, cases[i].text));
            assert_int_equal(r.s.keys, 1);
            assert_int_equal(r.s.upgrades, 1);
            rig_free(&r);
        }
        rig r = {0};
        r.s.hello = cases[i].hello;
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r); /* the key is fresh: nothing to look for */
        assert_string_equal(r.states, "CD");
        assert_int_equal(r.err, RMR_E_CTL_HANDSHAKE);
        rig_free(&r);
    }
}

static void a_rewritten_stream_is_recognised(void **state)
{
    (void)state;
    static const hello_mode modes[] = {HELLO_GARBAGE, HELLO_LONG};
    for (size_t i = 0; i < 2; i++) {
        rig r = {0};
        r.s.hello = modes[i];
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        assert_string_equal(r.states, "CD");
        assert_int_equal(r.err, RMR_E_CTL_REWRITTEN);
        assert_true(i || rig_has(r.text, "got byte 0x48"));
        rig_free(&r);
    }
}

static void a_changed_record_ends_the_connection(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    uint8_t frame[40] = {4, 0, 37};
    assert_int_equal(rmr_ctl_read(r.c, r.now, rmr_buf_of(frame, 40)),
                     RMR_E_CTL_REWRITTEN);
    assert_int_equal(r.err, RMR_E_CTL_REWRITTEN);
    assert_true(rmr_ctl_wants_close(r.c));
    assert_false(rmr_ctl_wants_close(r.c));
    assert_int_equal(rmr_ctl_read(r.c, r.now, rmr_buf_of(frame, 40)),
                     RMR_E_CLOSED);
    rig_free(&r);
}

static void low_order_key(rmr_ctl_config *cfg)
{
    cfg->server_key[0] = 1;
}

static void a_server_key_of_low_order_is_refused(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, low_order_key), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CD");
    assert_int_equal(r.err, RMR_E_CTL_HANDSHAKE);
    rig_free(&r);
}

static void an_end_within_the_answer_counts_as_a_failed_handshake(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t two[2] = {2, 0};
    r.s.hello = HELLO_SILENT;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(rmr_ctl_read(r.c, r.now, rmr_buf_of(two, 2)), RMR_OK);
    rig_cut(&r, RMR_E_RESET, NULL);
    assert_string_equal(r.states, "CD");
    assert_int_equal(r.err, RMR_E_CTL_HANDSHAKE);
    rig_free(&r);
}

static void setup_has_ten_seconds_in_all(void **state)
{
    (void)state;
    rig r = {0};
    r.s.hello = HELLO_SILENT;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(rmr_ctl_next_deadline(r.c), r.now + 10 * RMR_SEC);
    rig_wait(&r, 10 * RMR_SEC);
    assert_string_equal(r.states, "CD");
    assert_int_equal(r.err, RMR_E_CTL_HANDSHAKE);
    rig_free(&r);
    r = (rig){0};
    r.s.key_answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_wait(&r, 10 * RMR_SEC);
    assert_int_equal(r.err, RMR_E_CTL_SILENT);
    rig_free(&r);
    r = (rig){0};
    r.s.upgrade_answer = "HTTP/1.1 101 Swi";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_wait(&r, 10 * RMR_SEC);
    assert_int_equal(r.err, RMR_E_CTL_SILENT);
    rig_free(&r);
}

static const char stripped[] = "HTTP/1.1 500 Internal Server Error\r\n"
                               "Content-Length: 14\r\n\r\nInternal error";

static void a_proxy_that_strips_upgrades_is_passed_by_websocket(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 7, 4096};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        rig r = {.chunk = chunks[i]};
        r.s.upgrade_answer = stripped;
        r.s.ws_offered = true;
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        assert_string_equal(r.states, "CCRO"); /* at once, without a DOWN */
        assert_int_equal(r.s.ws_upgrades, 1);
        assert_int_equal(r.s.keys, 1);
        assert_int_equal(r.s.updates, 1);
        assert_int_equal(rmr_nm_peer_count(r.nm), 1);
        /* It is remembered. */
        rig_cut(&r, RMR_E_RESET, NULL);
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
        assert_int_equal(r.s.ws_upgrades, 2);
        assert_int_equal(r.s.upgrades, 1);
        /* Another way to the server lets only the first form pass. */
        r.s.ws_offered = false;
        r.s.upgrade_answer = NULL;
        rig_cut(&r, RMR_E_RESET, NULL);
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
        assert_int_equal(r.s.ws_upgrades, 3);
        assert_int_equal(r.s.upgrades, 2);
        rig_free(&r);
    }
}

static void when_both_forms_fail_the_first_is_told(void **state)
{
    (void)state;
    static const char *const answers[] = {
        NULL, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
              "Connection: Upgrade\r\nSec-WebSocket-Accept: "
              "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        rig r = {0};
        r.s.upgrade_answer = stripped;
        r.s.ws_answer = answers[i];
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        assert_string_equal(r.states, "CCD");
        assert_int_equal(r.err, RMR_E_CTL_PROXY);
        assert_true(rig_has(r.text, "HTTP 500"));
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.s.upgrades, r.s.ws_upgrades); /* both, each time */
        assert_true(r.s.upgrades > 2);
        rig_free(&r);
    }
}

int main(void)
{
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_key_is_taken_over_by_tls_alone),
        cmocka_unit_test(answers_that_hold_no_key_are_told_apart),
        cmocka_unit_test(upgrade_answers_are_told_apart),
        cmocka_unit_test(an_error_page_without_end_is_cut_off),
        cmocka_unit_test(failed_handshakes_fetch_the_key_once),
        cmocka_unit_test(a_rewritten_stream_is_recognised),
        cmocka_unit_test(a_changed_record_ends_the_connection),
        cmocka_unit_test(a_server_key_of_low_order_is_refused),
        cmocka_unit_test(an_end_within_the_answer_counts_as_a_failed_handshake),
        cmocka_unit_test(setup_has_ten_seconds_in_all),
        cmocka_unit_test(a_proxy_that_strips_upgrades_is_passed_by_websocket),
        cmocka_unit_test(when_both_forms_fail_the_first_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
