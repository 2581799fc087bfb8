/* The endpoints over HTTP, whole and byte by byte, and what is no request. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: relay.example\r\n\r\n"

static rig r;

/* Sends a request on a stream of its own, which stays at *out. */
static const char *ask(const char *request, rig_stream **out)
{
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, request);
    if (out)
        *out = s;
    return rig_out(s);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void probes_answer_get_and_head_alone(void **st)
{
    static const char *const paths[] = {"/derp/probe", "/derp/latency-check"};
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < 8; i++) {
        char request[200];
        snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n",
                 methods[i % 4], paths[i / 4]);
        const char *got = ask(request, NULL);
        if (i % 4 < 2) {
            assert_true(has(got, "HTTP/1.1 200 OK\r\n"));
            assert_true(has(got, "\r\nAccess-Control-Allow-Origin: *\r\n"));
            assert_true(has(got, "\r\nContent-Length: 0\r\n\r\n"));
        } else {
            assert_true(has(got, "HTTP/1.1 405 "));
        }
    }
    rig_end(&r);
}

static void a_challenge_is_echoed_when_it_is_one(void **st)
{
#define SIXTEEN "0123456789abcdef"
    static const struct {
        const char *challenge, *echo;
    } cases[] = {
        {"ts_relay.example", "response ts_relay.example"},
        {"a.b-c_d:9Z", "response a.b-c_d:9Z"},
        {"with space", NULL},
        {"semi;colon", NULL},
        {"", NULL},
        {SIXTEEN SIXTEEN SIXTEEN SIXTEEN,
         "response " SIXTEEN SIXTEEN SIXTEEN SIXTEEN},
        {SIXTEEN SIXTEEN SIXTEEN SIXTEEN "g", NULL},
    };
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[300], echo[120];
        snprintf(request, sizeof request,
                 "GET /generate_204?t=1 HTTP/1.1\r\nHost: x\r\n"
                 "X-Tailscale-Challenge: %s\r\n\r\n",
                 cases[i].challenge);
        const char *got = ask(request, NULL);
        assert_true(has(got, "HTTP/1.1 204 No Content\r\n"));
        assert_true(has(got, "\r\nCache-Control: no-cache, no-store, "
                             "must-revalidate, no-transform, max-age=0\r\n"));
        assert_false(has(got, "Content-Length"));
        assert_int_equal(has(got, "X-Tailscale-Response"),
                         cases[i].echo != NULL);
        snprintf(echo, sizeof echo, "\r\nX-Tailscale-Response: %s\r\n",
                 cases[i].echo ? cases[i].echo : "");
        if (cases[i].echo)
            assert_true(has(got, echo));
    }
    rig_end(&r);
}

static void every_other_path_is_a_page_with_security_headers(void **st)
{
    static const char *const requests[] = {GET("/"), GET("/no/such/path"),
                                           GET("/derpx")};
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < 3; i++) {
        const char *got = ask(requests[i], NULL);
        assert_true(has(got, "HTTP/1.1 200 OK\r\n"));
        assert_true(has(got, "\r\nStrict-Transport-Security: max-age=63072000; "
                             "includeSubDomains\r\n"));
        assert_true(has(got, "\r\nContent-Security-Policy: default-src "));
        assert_true(has(got, "\r\nX-Frame-Options: DENY\r\n"));
        assert_true(has(got, "\r\nX-Content-Type-Options: nosniff\r\n"));
        assert_true(has(got, "</html>"));
    }
    assert_true(
        has(ask(GET("/robots.txt"), NULL), "User-agent: *\nDisallow: /"));
    assert_false(
        has(ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", NULL), "<html>"));
    rig_end(&r);
}

static void pipelined_requests_are_answered_in_order(void **st)
{
    rig_stream *s;
    (void)st;
    rig_start(&r);
    ask(GET("/derp/probe") GET("/robots.txt"), &s);
    const char *first = strstr(rig_out(s), "Access-Control");
    const char *second = strstr(rig_out(s), "Disallow");
    assert_true(first && second && first < second);
    assert_false(s->closed);
    rig_say(&r, s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(has(rig_out(s), "\r\nConnection: close\r\n"));
    assert_true(s->closed);
    assert_false(s->aborted);
    rig_end(&r);
}

static void derp_without_an_upgrade_is_426(void **st)
{
    (void)st;
    rig_start(&r);
    assert_true(has(ask(GET("/derp"), NULL), "HTTP/1.1 426 "));
    assert_true(has(ask("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: "
                        "Upgrade\r\nUpgrade: h2c\r\n\r\n",
                        NULL),
                    "HTTP/1.1 426 "));
    rig_end(&r);
}

static void a_proxy_it_is_not(void **st)
{
    rig_stream *s;
    (void)st;
    rig_start(&r);
    ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", &s);
    assert_true(has(rig_out(s), "HTTP/1.1 403 "));
    assert_true(s->closed);
    rig_end(&r);
}

static void what_is_no_request_is_told_so_and_closed(void **st)
{
    static char big[10000];
    rig_stream *s;
    (void)st;
    rig_start(&r);
    assert_true(has(ask("hello there\r\n\r\n", &s), "HTTP/1.1 400 "));
    assert_true(s->closed);
    memset(big, 'a', sizeof big - 1);
    memcpy(big, "GET /", 5);
    assert_true(has(ask(big, &s), "HTTP/1.1 431 "));
    assert_true(s->closed);
    assert_true(has(ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        "99999\r\n\r\n",
                        &s),
                    "HTTP/1.1 413 "));
    assert_true(s->closed);
    rig_end(&r);
}

static void requests_may_come_byte_by_byte(void **st)
{
    static const char request[] = GET("/derp/probe") GET("/robots.txt");
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    for (size_t i = 0; request[i]; i++)
        rig_give(&r, s, request + i, 1);
    assert_true(has(rig_out(s), "Access-Control"));
    assert_true(has(rig_out(s), "Disallow"));
    rig_end(&r);
}

static void a_half_closed_client_gets_its_answer(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    s->stalled = true;
    rig_say(&r, s, GET("/derp/probe"));
    rig_say(&r, s, GET("/robots.txt"));
    rig_eof(&r, s);
    assert_false(s->closed);
    rig_unstall(&r, s);
    assert_true(has(rig_out(s), "Disallow"));
    assert_true(s->closed);
    rig_end(&r);
}

static void bootstrap_names_are_told(void **st)
{
    rmr_addr addrs[2];
    rmr_relay_name names[2] = {{"control.example", addrs, 2},
                               {"log.example", addrs, 1}};
    rmr_relay_config cfg;
    rig_stream *s;
    (void)st;
    rmr_addr_parse_ip(rmr_bytes_str("192.0.2.1"), &addrs[0]);
    rmr_addr_parse_ip(rmr_bytes_str("2001:db8::1"), &addrs[1]);
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.bootstrap = names;
    cfg.n_bootstrap = 2;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    const char *got = ask(GET("/bootstrap-dns"), &s);
    assert_true(has(got, "\r\n\r\n{\"control.example\":[\"192.0.2.1\","
                         "\"2001:db8::1\"],\"log.example\":[\"192.0.2.1\"]}"));
    assert_true(has(got, "\r\nContent-Type: application/json\r\n") ||
                has(got, "Content-Type: application/json\r\n"));
    assert_true(s->closed);
    got = ask(GET("/bootstrap-dns?q=log.example"), NULL);
    assert_true(has(got, "\r\n\r\n{\"log.example\":[\"192.0.2.1\"]}"));
    got = ask(GET("/bootstrap-dns?q=other.example"), NULL);
    assert_true(has(got, "control.example"));
    rig_end(&r);
}

static void nothing_to_bootstrap_is_an_empty_body(void **st)
{
    (void)st;
    rig_start(&r);
    assert_true(has(ask(GET("/bootstrap-dns"), NULL), "Content-Length: 0\r\n"));
    rig_end(&r);
}

static void debug_is_for_this_host_and_tailnets(void **st)
{
    static const struct {
        const char *ip, *header;
        bool may;
    } cases[] = {
        {"127.0.0.1", "", true},
        {"::1", "", true},
        {"100.64.0.9", "", true},
        {"fd7a:115c:a1e0::5", "", true},
        {"192.0.2.77", "", false},
        {"10.0.0.1", "", false},
        {"127.0.0.1", "X-Forwarded-For: 127.0.0.1\r\n", false},
        /* A proxy that adds a line leaves the client's own in front of it. */
        {"127.0.0.1", "X-Forwarded-For:\r\nX-Forwarded-For: 192.0.2.77\r\n",
         false},
        {"127.0.0.1", "x-forwarded-for:\r\n", false},
    };
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[200];
        snprintf(request, sizeof request,
                 "GET /debug/varz HTTP/1.1\r\nHost: x\r\n%s\r\n",
                 cases[i].header);
        rig_stream *s = rig_connect_from(&r, 3340, cases[i].ip);
        rig_say(&r, s, request);
        assert_int_equal(has(rig_out(s), "derp_accepts"), cases[i].may);
        assert_int_equal(has(rig_out(s), " 403 "), !cases[i].may);
    }
    rig_end(&r);
}

static void metrics_have_their_own_door(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 9090);
    rig_say(&r, s, GET("/metrics"));
    const char *got = rig_out(s);
    assert_true(has(got, "text/plain; version=0.0.4"));
    assert_true(has(got, "# TYPE derp_current_connections gauge\n"
                         "derp_current_connections 0\n"));
    assert_true(has(got, "derp_packets_dropped{reason=\"queue_head\",kind="
                         "\"disco\"} 0\n"));
    rig_say(&r, s, GET("/derp"));
    assert_true(has(rig_out(s), " 404 "));
    /* Nor are they at the relay's own. */
    assert_false(has(ask(GET("/metrics"), NULL), "derp_accepts"));
    rig_end(&r);
}

static void port_80_answers_portals_and_redirects(void **st)
{
    rmr_addr at = rmr_addr_v4(0, 0, 0, 0, 80);
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.http = &at;
    cfg.n_http = 1;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    rig_stream *s = rig_connect(&r, 80);
    rig_say(&r, s, GET("/generate_204"));
    assert_true(has(rig_out(s), " 204 "));
    rig_say(&r, s, "GET /a?b HTTP/1.1\r\nHost: relay.example:80\r\n\r\n");
    assert_true(has(rig_out(s), "\r\nLocation: https://relay.example/a?b\r\n"));
    rig_say(&r, s, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_true(has(rig_out(s), " 400 "));
    rig_say(&r, s,
            "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            "Upgrade: DERP\r\n\r\n");
    assert_false(has(rig_out(s), " 101 "));
    /* No host, and nothing behind its name: there is nowhere to point to. */
    static const char *const bad[] = {
        "GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: :80\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = rig_connect(&r, 80);
        rig_say(&r, s, bad[i]);
        assert_true(has(rig_out(s), " 400 "));
    }
    rig_end(&r);
}

/* 30 s from the connection, and from each answer. */
static void a_slow_client_is_dropped(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *silent = rig_connect(&r, 3340);
    rig_stream *slow = rig_connect(&r, 3340);
    rig_stream *good = rig_connect(&r, 3340);
    rig_run(&r, 20 * RMR_SEC);
    rig_say(&r, slow, "GET / HT");
    rig_say(&r, good, GET("/derp/probe"));
    rig_run(&r, 9 * RMR_SEC);
    assert_false(silent->closed || slow->closed);
    rig_run(&r, 2 * RMR_SEC);
    assert_true(silent->closed && slow->closed);
    assert_false(good->closed);
    rig_run(&r, 20 * RMR_SEC);
    assert_true(good->closed);
    rig_end(&r);
}

static void a_client_that_reads_nothing_holds_little(void **st)
{
    (void)st;
    rig_start(&r);
    size_t before = r.alloc.live_bytes;
    rig_stream *s = rig_connect(&r, 3340);
    s->stalled = true;
    r.alloc.peak_bytes = 0;
    for (int i = 0; i < 2000 && !s->closed; i++)
        rig_say(&r, s, GET("/"));
    rig_run(&r, 31 * RMR_SEC);
    assert_true(s->closed);
    assert_true(r.alloc.peak_bytes < before + 256 * 1024);
    rig_end(&r);
}

static void too_many_connections_are_refused(void **st)
{
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.max_clients = 2;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    rig_stream *a = rig_connect(&r, 3340);
    rig_stream *b = rig_connect(&r, 3340);
    rig_stream *c = rig_connect(&r, 3340);
    assert_true(c->closed && !a->closed && !b->closed);
    rig_reset(&r, a);
    rig_stream *d = rig_connect(&r, 3340);
    assert_false(d->closed);
    rig_end(&r);
}

static void memory_that_runs_out_ends_the_connection_alone(void **st)
{
    (void)st;
    for (size_t n = 1; n < 40; n++) {
        rig_start(&r);
        r.alloc.fail_at = r.alloc.calls + n;
        rig_stream *s = rig_connect(&r, 3340);
        rig_say(&r, s, GET("/bootstrap-dns"));
        bool failed = r.alloc.failed > 0;
        r.alloc.fail_at = 0;
        if (!failed)
            assert_true(has(rig_out(s), " 200 "));
        assert_true(s->closed);
        assert_true(has(ask(GET("/robots.txt"), NULL), "Disallow"));
        rig_end(&r);
        if (!failed)
            return;
    }
    fail_msg("it never succeeds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(probes_answer_get_and_head_alone),
        T(a_challenge_is_echoed_when_it_is_one),
        T(every_other_path_is_a_page_with_security_headers),
        T(pipelined_requests_are_answered_in_order),
        T(derp_without_an_upgrade_is_426),
        T(a_proxy_it_is_not),
        T(what_is_no_request_is_told_so_and_closed),
        T(requests_may_come_byte_by_byte),
        T(a_half_closed_client_gets_its_answer),
        T(bootstrap_names_are_told),
        T(nothing_to_bootstrap_is_an_empty_body),
        T(debug_is_for_this_host_and_tailnets),
        T(metrics_have_their_own_door),
        T(port_80_answers_portals_and_redirects),
        T(a_slow_client_is_dropped),
        T(a_client_that_reads_nothing_holds_little),
        T(too_many_connections_are_refused),
        T(memory_that_runs_out_ends_the_connection_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
