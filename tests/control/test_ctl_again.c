/* How the client comes back: a back-off for each thing that can fail, the form
 * of the upgrade that worked, the addresses of a dial plan, and the silence that
 * a server asks for. */
#include "ctl_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void push(rig *r, const char *json)
{
    bytes b = {0};
    frame_plain(&b, json);
    server_map_send(&r->s, b.p, b.len);
    bytes_free(&b);
    rig_run(r);
}

/* The next attempt is after the n-th failure in a row of its kind. */
static void assert_wait(const rig *r, uint64_t n)
{
    rmr_dur base = n * n * 10 * RMR_MS;
    rmr_dur wait = rmr_ctl_next_deadline(r->c) - r->now;
    assert_in_range(wait, base / 2, base + base / 2);
}

static void wait_out(rig *r)
{
    rig_wait(r, rmr_ctl_next_deadline(r->c) - r->now);
}

/* ---- back-offs --------------------------------------------------------- */

static void what_fails_is_counted_by_itself(void **state)
{
    (void)state;
    rig r = {0};
    r.s.refuse_dial = true;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    for (uint64_t n = 1; n < 10; n++) {
        assert_wait(&r, n);
        wait_out(&r);
    }
    /* It can be dialled now, but the registration fails: that begins anew. */
    r.s.refuse_dial = false;
    r.s.reg_status = 500;
    for (uint64_t n = 1; n < 8; n++) {
        wait_out(&r);
        assert_int_equal(r.err, RMR_E_CTL_HTTP);
        assert_wait(&r, n);
    }
    /* Dialling has succeeded in between. */
    r.s.refuse_dial = true;
    wait_out(&r);
    assert_int_equal(r.err, RMR_E_REFUSED);
    assert_wait(&r, 1);
    r.s.refuse_dial = false;
    wait_out(&r);
    assert_wait(&r, 8);
    /* And the map, when the registration is done. */
    r.s.reg_status = 0;
    r.s.map_ends = true;
    for (uint64_t n = 1; n < 6; n++) {
        wait_out(&r);
        assert_int_equal(r.err, RMR_E_CTL_ENDED);
        assert_wait(&r, n);
    }
    rig_free(&r);
}

static void
a_server_that_closes_behind_the_handshake_is_not_hammered(void **state)
{
    (void)state;
    rig r = {0};
    r.s.reg_status = -1;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    for (uint64_t n = 1; n < 10; n++) {
        rig_run(&r);
        rig_cut(&r, RMR_E_RESET, NULL);
        assert_wait(&r, n);
        r.now = rmr_ctl_next_deadline(r.c);
        assert_int_equal(rmr_ctl_handle_deadline(r.c, r.now), RMR_OK);
    }
    rig_free(&r);
}

/* A rotation that the server can't do just now costs the stream nothing. */
static void a_failing_rotation_leaves_the_stream(void **state)
{
    (void)state;
    rig r = {0};
    uint8_t fresh[32], old[32];
    memset(fresh, 0x55, 32);
    memset(old, 0x11, 32);
    assert_int_equal(rig_init(&r, tune_keep_auth_key), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRO");
    r.s.reg_status = 503;
    assert_int_equal(rmr_ctl_set_node_key(r.c, r.now, fresh, old), RMR_OK);
    rig_run(&r);
    for (int n = 2; n < 8; n++) {
        assert_int_equal(r.s.registers, n);
        assert_wait(&r, (uint64_t)n - 1);
        wait_out(&r);
    }
    assert_null(strchr(r.states, 'D'));
    assert_int_equal(r.s.maps, 1);
    assert_int_equal(r.s.dials, 1);
    /* Nor does one that it does not answer. */
    r.s.reg_status = -1;
    wait_out(&r);
    rig_wait(&r, 31 * RMR_SEC);
    assert_null(strchr(r.states, 'D'));
    r.s.reg_status = 0;
    rig_wait(&r, 60 * RMR_SEC);
    assert_int_equal(r.registered, 2);
    assert_int_equal(r.s.dials, 1);
    rig_free(&r);
}

/* ---- the form of the upgrade ------------------------------------------- */

static const char stripped[] = "HTTP/1.1 500 Internal Server Error\r\n"
                               "Content-Length: 14\r\n\r\nInternal error";

static void tune_websocket(rmr_ctl_config *cfg)
{
    cfg->websocket_first = true;
}

static void the_form_that_worked_is_told_and_comes_first(void **state)
{
    (void)state;
    rig r = {0};
    r.s.upgrade_answer = stripped;
    r.s.ws_offered = true;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.forms, 1);
    assert_true(r.websocket);
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.forms, 1); /* nothing new */
    rig_free(&r);
    /* As after a restart: at once, without another try by POST. */
    r = (rig){0};
    r.s.upgrade_answer = stripped;
    r.s.ws_offered = true;
    assert_int_equal(rig_init(&r, tune_websocket), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRO");
    assert_int_equal(r.s.upgrades, 0);
    assert_int_equal(r.forms, 0);
    rig_free(&r);
    /* And where the proxy is gone, by POST again. */
    r = (rig){0};
    assert_int_equal(rig_init(&r, tune_websocket), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CCRO");
    assert_int_equal(r.forms, 1);
    assert_false(r.websocket);
    rig_free(&r);
}

/* ---- the dial plan ----------------------------------------------------- */

static const char plan[] =
    "{\"KeepAlive\":true,\"ControlDialPlan\":{\"Candidates\":["
    "{\"IP\":\"192.0.2.3\",\"DialStartDelaySec\":1.5,\"DialTimeoutSec\":10,"
    "\"Priority\":1},"
    "{\"IP\":\"192.0.2.1\",\"DialTimeoutSec\":5,\"Priority\":1},"
    "{\"ACEHost\":\"ace.example\",\"Priority\":9},"
    "{\"IP\":\"192.0.2.9\",\"ACEHost\":\"ace.example\"},"
    "{\"IP\":\"nonsense\"},"
    "{\"IP\":\"2001:db8::2\",\"Priority\":7,\"DialTimeoutSec\":-3}]}}";

static void assert_try(const rig *r, size_t i, const char *to, rmr_dur delay,
                       rmr_dur timeout)
{
    char text[RMR_ADDR_TEXT_MAX];
    const rmr_dial_try *t = &r->plan.tries[i];
    assert_string_equal(rmr_addr_text(&t->addr, text), to);
    assert_int_equal(t->delay, delay);
    assert_int_equal(t->timeout, timeout);
}

static void a_dial_plan_is_followed(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.plan.n, 0);
    push(&r, plan);
    push(&r, "{\"ControlDialPlan\":null}"); /* unchanged */
    rig_cut(&r, RMR_E_RESET, NULL);
    wait_out(&r);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.plan.n, 3);
    assert_try(&r, 0, "[2001:db8::2]:8080", 0, 5 * RMR_SEC);
    assert_try(&r, 1, "192.0.2.1:8080", 0, 5 * RMR_SEC);
    assert_try(&r, 2, "192.0.2.3:8080", 1500 * RMR_MS, 10 * RMR_SEC);
    /* the longest way and five seconds */
    assert_int_equal(r.dial.timeout, 16500 * RMR_MS);
    push(&r, "{\"ControlDialPlan\":{\"Candidates\":[]}}");
    rig_cut(&r, RMR_E_RESET, NULL);
    wait_out(&r);
    assert_int_equal(r.plan.n, 0);
    assert_int_equal(r.dial.timeout, 10 * RMR_SEC);
    rig_free(&r);
}

static void where_the_plan_leads_nowhere_the_name_does(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    push(&r, plan);
    r.s.refuse_plan = true;
    for (int i = 0; i < 2; i++) { /* by the plan first, each time */
        int dials = r.s.dials;
        rig_cut(&r, RMR_E_RESET, NULL);
        wait_out(&r);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
        assert_int_equal(r.s.dials, dials + 2);
        assert_int_equal(r.plan.n, 0);
    }
    assert_true(test_log_has(&r.log, "dial plan"));
    /* So does an address behind which somebody else answers. */
    r.s.refuse_plan = false;
    r.s.upgrade_answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    int dials = r.s.dials;
    rig_cut(&r, RMR_E_RESET, NULL);
    wait_out(&r);
    assert_int_equal(r.s.dials, dials + 2);
    assert_int_equal(r.plan.n, 0);
    assert_int_equal(r.state, RMR_CTL_DOWN);
    r.s.upgrade_answer = NULL;
    wait_out(&r);
    assert_int_equal(r.plan.n, 3);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    rig_free(&r);
}

static void a_plan_of_any_length_is_bounded(void **state)
{
    (void)state;
    rig r = {0};
    char text[4096] = "{\"ControlDialPlan\":{\"Candidates\":[";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    for (int i = 0; i < 40; i++) {
        char one[80];
        (void)snprintf(one, sizeof one,
                       "%s{\"IP\":\"192.0.2.%d\",\"DialStartDelaySec\":1e300}",
                       i ? "," : "", i);
        (void)strcat(text, one);
    }
    (void)strcat(text, "]}}");
    push(&r, text);
    rig_cut(&r, RMR_E_RESET, NULL);
    wait_out(&r);
    assert_int_equal(r.plan.n, RMR_DIAL_PLAN_MAX);
    assert_int_equal(r.dial.timeout, 60 * RMR_SEC);
    rig_free(&r);
}

/* ---- silence ----------------------------------------------------------- */

#define GONE "{\"PeersRemoved\":[2]}"

static void a_sleep_holds_the_stream(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 13};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        rig r = {.chunk = chunks[i]};
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        bytes b = {0};
        frame_plain(&b, "{\"Debug\":{\"SleepSeconds\":200}}");
        frame_zstd(&b, GONE);
        server_map_send(&r.s, b.p, b.len);
        bytes_free(&b);
        rig_run(&r);
        assert_int_equal(rmr_nm_peer_count(r.nm), 1);
        rig_wait(&r, 199 * RMR_SEC); /* the watchdog sleeps as well */
        assert_int_equal(rmr_nm_peer_count(r.nm), 1);
        assert_string_equal(r.states, "CRO");
        rig_wait(&r, RMR_SEC);
        assert_int_equal(rmr_nm_peer_count(r.nm), 0);
        rig_wait(&r, 120 * RMR_SEC); /* and watches again */
        assert_int_equal(r.err, RMR_E_CTL_SILENT);
        rig_free(&r);
    }
}

static void a_sleep_is_five_minutes_at_most(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    push(&r, "{\"KeepAlive\":true,\"Debug\":{\"SleepSeconds\":9}}");
    push(&r, "{\"Domain\":\"a\"}");
    assert_string_equal(rmr_nm_domain(r.nm), "a"); /* that was none */
    push(&r, "{\"Debug\":{\"SleepSeconds\":100000}}");
    push(&r, "{\"Domain\":\"b\"}");
    rig_wait(&r, 299 * RMR_SEC);
    assert_string_equal(rmr_nm_domain(r.nm), "a");
    rig_wait(&r, RMR_SEC);
    assert_string_equal(rmr_nm_domain(r.nm), "b");
    rig_free(&r);
}

/* A flood meanwhile is held up by the stream's window, not by memory. */
static void a_sleep_gives_no_window(void **state)
{
    (void)state;
    rig r = {0};
    static char json[70000];
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    push(&r, "{\"Debug\":{\"SleepSeconds\":100}}");
    memset(json, ' ', sizeof json - 1);
    memcpy(json, "{\"Domain\":\"last\"", 16);
    json[sizeof json - 2] = '}';
    for (int i = 0; i < 40; i++)
        push(&r, json);
    assert_in_range(r.alloc.live_bytes, 900 * 1024, 2400 * 1024);
    rig_wait(&r, 101 * RMR_SEC);
    rmr_ctl_stats st;
    rmr_ctl_get_stats(r.c, &st);
    assert_int_equal(st.frames, 42); /* all came in the end */
    assert_string_equal(r.states, "CRO");
    rig_free(&r);
}

/* The server may end the stream; there is no other before its time. */
static void a_sleep_outlives_its_stream(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    push(&r, "{\"Debug\":{\"SleepSeconds\":100}}");
    push(&r, "{\"Domain\":\"lost\"}");
    rig_cut(&r, RMR_E_RESET, NULL);
    rig_wait(&r, 99 * RMR_SEC);
    assert_int_equal(r.s.maps, 1);
    rig_wait(&r, 2 * RMR_SEC);
    assert_int_equal(r.s.maps, 2);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    rig_free(&r);
}

int main(void)
{
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fails_is_counted_by_itself),
        cmocka_unit_test(
            a_server_that_closes_behind_the_handshake_is_not_hammered),
        cmocka_unit_test(a_failing_rotation_leaves_the_stream),
        cmocka_unit_test(the_form_that_worked_is_told_and_comes_first),
        cmocka_unit_test(a_dial_plan_is_followed),
        cmocka_unit_test(where_the_plan_leads_nowhere_the_name_does),
        cmocka_unit_test(a_plan_of_any_length_is_bounded),
        cmocka_unit_test(a_sleep_holds_the_stream),
        cmocka_unit_test(a_sleep_is_five_minutes_at_most),
        cmocka_unit_test(a_sleep_gives_no_window),
        cmocka_unit_test(a_sleep_outlives_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
