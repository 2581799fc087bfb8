/* The map stream and lite updates: broken frames, silence, ends, changes. */
#include "ctl_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <remora/text.h>

/* ---- the map stream --------------------------------------------------- */

static void an_unknown_node_registers_again(void **state)
{
    (void)state;
    static const int statuses[] = {404, 400};
    for (size_t i = 0; i < 2; i++) {
        rig r = {0};
        r.s.map_status = statuses[i];
        r.s.map_body = "node not found";
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        /* Once at once; when that does not help, with back-off. */
        assert_string_equal(r.states, "CRRD");
        assert_int_equal(r.err, RMR_E_CTL_HTTP);
        assert_true(rig_has(r.text, "node not found"));
        assert_int_equal(r.s.registers, 2);
        assert_null(strstr(r.s.last_register, "AuthKey"));
        r.s.map_status = 0;
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
        rig_free(&r);
    }
    rig r = {0};
    r.s.map_status = 400;
    r.s.map_body = "unsupported client version: x (138)";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRF");
    assert_int_equal(r.err, RMR_E_CTL_TOO_NEW);
    rig_free(&r);
    r = (rig){0};
    r.s.map_status = 500;
    r.s.map_body = "boom";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CRD");
    assert_true(rig_has(r.text, "HTTP 500 to the map request: boom"));
    rig_free(&r);
}

static void broken_frames_end_the_stream(void **state)
{
    (void)state;
    static const struct {
        const char *frame;
        size_t len;
        const char *text;
    } cases[] = {
        {"\0\0\0\0", 4, "a frame of 0 bytes"},
        {"\1\0\0\4", 4, "a frame of 67108865 bytes"},
        {"\1\0\0\0[", 5, ""},
        {"\2\0\0\0{}", 6, "no Node"},
        {"\6\0\0\0{\"a\":}", 10, ""},
        {"\5\0\0\0\x28\xb5\x2f\xfd\xff", 9, "compressed"},
        {"\4\0\0\0\x28zzz", 8, "compressed"},
        /* a whole zstd frame and a byte behind it */
        {"\x20\0\0\0\x28\xb5\x2f\xfd\x24\x12\x91\0\0\x7b\x22\x4b\x65\x65\x70"
         "\x41\x6c\x69\x76\x65\x22\x3a\x74\x72\x75\x65\x7d\x0e\x26\x0c\x10!",
         36, "compressed"},
        /* one cut short */
        {"\x1e\0\0\0\x28\xb5\x2f\xfd\x24\x12\x91\0\0\x7b\x22\x4b\x65\x65\x70"
         "\x41\x6c\x69\x76\x65\x22\x3a\x74\x72\x75\x65\x7d\x0e\x26\x0c",
         34, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = {0};
        bytes_add(&r.s.map_frames, cases[i].frame, cases[i].len);
        assert_int_equal(rig_init(&r, NULL), RMR_OK);
        rig_run(&r);
        if (strcmp(r.states, "CROD") != 0)
            fail_msg("case %zu: %s", i, r.states);
        assert_int_equal(r.err, RMR_E_CTL_MAP);
        assert_true(rig_has(r.text, cases[i].text));
        rig_free(&r);
    }
}

static void keepalives_feed_the_watchdog(void **state)
{
    (void)state;
    rig r = {0};
    rmr_ctl_stats st;
    /* a keep-alive as a real server sent it */
    static const char keepalive[] =
        "\x1f\0\0\0\x28\xb5\x2f\xfd\x24\x12\x91\0\0\x7b\x22\x4b\x65\x65\x70"
        "\x41\x6c\x69\x76\x65\x22\x3a\x74\x72\x75\x65\x7d\x0e\x26\x0c\x10";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    for (int i = 0; i < 20; i++) {
        rig_wait(&r, 110 * RMR_SEC);
        server_map_send(&r.s, keepalive, sizeof keepalive - 1);
        rig_run(&r);
    }
    assert_string_equal(r.states, "CRO");
    rmr_ctl_get_stats(r.c, &st);
    assert_int_equal(st.keepalives, 20);
    assert_int_equal(rmr_ctl_next_deadline(r.c), r.now + 120 * RMR_SEC);
    rig_wait(&r, 120 * RMR_SEC - 1);
    assert_string_equal(r.states, "CRO");
    rig_wait(&r, 1);
    assert_string_equal(r.states, "CROD");
    assert_int_equal(r.err, RMR_E_CTL_SILENT);
    rig_wait(&r, RMR_SEC); /* polled again within the second */
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(r.s.registers, 1); /* that still holds */
    rig_free(&r);
}

static void the_watchdog_covers_the_wait_for_the_head(void **state)
{
    (void)state;
    rig r = {0};
    r.s.map_status = -1;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_wait(&r, 120 * RMR_SEC);
    assert_string_equal(r.states, "CRD");
    assert_int_equal(r.err, RMR_E_CTL_SILENT);
    rig_free(&r);
}

static void a_window_above_the_bound_is_asked_for_plain(void **state)
{
    (void)state;
    rig r = {0};
    /* A header that names a window of 16 MiB (RFC 8878 3.1.1.1.2). */
    bytes_add(&r.s.map_frames, "\x0a\0\0\0\x28\xb5\x2f\xfd\x00\x70\x01\0\0\0",
              14);
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    r.s.map_frames.len = 0;
    bytes_add(&r.s.map_frames, "\x0a\0\0\0\x28\xb5\x2f\xfd\x00\x70\x01\0\0\0",
              14);
    rig_run(&r);
    /* It asked again; the server sends the same, which is an error now. */
    assert_string_equal(r.states, "CROOD");
    assert_int_equal(r.s.maps, 2);
    assert_null(strstr(r.s.last_map, "zstd"));
    assert_int_equal(r.err, RMR_E_CTL_MAP);
    r.s.map_frames.len = 0;
    frame_plain(&r.s.map_frames, rig_node);
    rig_wait(&r, RMR_SEC);
    assert_int_equal(r.state, RMR_CTL_CONNECTED);
    assert_int_equal(rmr_nm_peer_count(r.nm), 1);
    rig_free(&r);
}

static void a_proxy_that_ends_quiet_streams_is_named(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    for (int i = 0; i < 3; i++) {
        rig_wait(&r, 20 * RMR_SEC);
        rig_cut(&r, RMR_OK, NULL);
        assert_int_equal(r.err, RMR_E_CTL_ENDED);
        if (i == 0)
            assert_string_equal(r.text, "");
        else
            assert_true(rig_has(r.text, "idle connections after about 2"));
        rig_wait(&r, RMR_SEC);
        assert_int_equal(r.state, RMR_CTL_CONNECTED);
    }
    rig_free(&r);
}

static void the_ways_a_stream_ends_are_told(void **state)
{
    (void)state;
    rig r = {0};
    r.s.map_ends = true;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_string_equal(r.states, "CROD");
    assert_int_equal(r.err, RMR_E_CTL_ENDED);
    rig_free(&r);

    r = (rig){0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    nghttp2_submit_goaway(r.s.h2, 0, r.s.map_stream, 0, NULL, 0);
    nghttp2_submit_rst_stream(r.s.h2, 0, r.s.map_stream, NGHTTP2_CANCEL);
    rig_run(&r);
    assert_string_equal(r.states, "CROD");
    assert_int_equal(r.err, RMR_E_CTL_ENDED);
    rig_free(&r);

    r = (rig){0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    rig_cut(&r, RMR_E_TIMEOUT, "no route");
    assert_int_equal(r.err, RMR_E_TIMEOUT);
    assert_string_equal(r.text, "no route");
    rmr_ctl_stream_closed(r.c, r.now, RMR_OK, NULL); /* of no consequence */
    assert_string_equal(r.states, "CROD");
    rig_free(&r);
}

/* ---- updates ---------------------------------------------------------- */

/* With one endpoint, where `port` is not 0. */
static rmr_err tell(rig *r, uint16_t home, uint16_t port)
{
    rmr_ctl_endpoint ep = {rmr_addr_v4(1, 2, 3, 4, port), RMR_CTL_EP_LOCAL};
    rmr_ctl_net net;
    rmr_ctl_net_init(&net, sizeof net);
    net.home_derp = home;
    net.endpoints = &ep;
    net.n_endpoints = port ? 1 : 0;
    return rmr_ctl_set_net(r->c, r->now, &net);
}

static void changes_are_sent_and_only_changes(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, 1);
    assert_int_equal(tell(&r, 0, 0), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, 1);
    assert_int_equal(tell(&r, 5, 5), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, 2);
    assert_true(rig_has(r.s.last_update, "1.2.3.4:5"));
    /* While one runs, the next waits. */
    r.s.upd_status = -1;
    assert_int_equal(tell(&r, 6, 5), RMR_OK);
    rig_run(&r);
    assert_int_equal(tell(&r, 7, 5), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, 3);
    r.s.upd_status = 0;
    rig_wait(&r, 31 * RMR_SEC); /* no answer: tried again */
    assert_int_equal(r.s.updates, 4);
    assert_true(rig_has(r.s.last_update, "\"PreferredDERP\":7"));
    assert_string_equal(r.states, "CRO"); /* the stream was not touched */
    r.alloc.fail_at = r.alloc.calls + 1;
    assert_int_equal(tell(&r, 7, 6), RMR_E_NOMEM);
    rig_run(&r);
    assert_int_equal(r.s.updates, 4);
    assert_int_equal(tell(&r, 7, 5), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, 4); /* the same as before */
    rig_free(&r);
}

static void a_new_name_and_shields_are_sent_at_once(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    int n = r.s.updates;
    assert_int_equal(rmr_ctl_set_host(r.c, r.now, "desk", false), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 1);
    assert_true(rig_has(r.s.last_update, "\"Hostname\":\"desk\""));
    assert_false(rig_has(r.s.last_update, "ShieldsUp"));
    assert_int_equal(rmr_ctl_set_host(r.c, r.now, "desk", true), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 2);
    assert_true(rig_has(r.s.last_update, "\"ShieldsUp\":true"));
    assert_int_equal(rmr_ctl_set_host(r.c, r.now, "desk", true), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 2);
    assert_int_equal(rmr_ctl_set_host(r.c, r.now, "", true), RMR_E_INVAL);
    char over[300];
    memset(over, 'y', sizeof over);
    over[299] = 0;
    assert_int_equal(rmr_ctl_set_host(r.c, r.now, over, true), RMR_E_INVAL);
    rig_free(&r);
}

static void order_and_latencies_are_no_change_but_types_are(void **state)
{
    (void)state;
    rig r = {0};
    rmr_ctl_endpoint ep[2] = {{rmr_addr_v4(1, 2, 3, 4, 5), RMR_CTL_EP_LOCAL},
                              {rmr_addr_v4(1, 2, 3, 4, 6), RMR_CTL_EP_STUN}};
    rmr_ctl_latency lat = {1, false, RMR_MS};
    rmr_ctl_net net;
    rmr_ctl_net_init(&net, sizeof net);
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    net.endpoints = ep;
    net.n_endpoints = 2;
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_OK);
    rig_run(&r);
    int n = r.s.updates;
    rmr_ctl_endpoint swapped = ep[0];
    ep[0] = ep[1];
    ep[1] = swapped;
    net.latencies = &lat;
    net.n_latencies = 1;
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n);
    ep[0].type = RMR_CTL_EP_PORTMAPPED;
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 1);
    assert_true(rig_has(r.s.last_update, "\"1-v4\":0.001"));
    net.upnp = 0; /* known now */
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 2);
    assert_true(rig_has(r.s.last_update, "\"UPnP\":false"));
    rig_free(&r);
}

static const rmr_prefix offered[] = {{{10, 1}, RMR_AF_INET, 16},
                                     {{0xfd, 0x55}, RMR_AF_INET6, 64}};

static void tune_router(rmr_ctl_config *cfg)
{
    cfg->routes = offered;
    cfg->n_routes = 2;
}

static void routes_and_the_exit_node_are_told(void **state)
{
    (void)state;
    static const char both[] =
        "\"RoutableIPs\":[\"10.1.0.0/16\",\"fd55::/64\"]";
    static const rmr_prefix many[RMR_CTL_MAX_ROUTES + 1];
    char long_id[65] = {0};
    rig r = {0};
    memset(long_id, 's', 64);
    assert_int_equal(rig_init(&r, tune_router), RMR_OK);
    rig_run(&r);
    assert_true(rig_has(r.s.last_register, both));
    assert_true(rig_has(r.s.last_map, both));
    assert_true(rig_has(r.s.last_update, both));
    assert_null(strstr(r.s.last_map, "ExitNodeID"));
    int n = r.s.updates;
    assert_int_equal(rmr_ctl_set_routes(r.c, r.now, offered, 2, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n); /* the same as before */
    assert_int_equal(rmr_ctl_set_routes(r.c, r.now, offered, 1, "s9"), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 1);
    assert_true(rig_has(r.s.last_update, "\"RoutableIPs\":[\"10.1.0.0/16\"]"));
    assert_true(rig_has(r.s.last_update, "\"ExitNodeID\":\"s9\""));
    assert_int_equal(rmr_ctl_set_routes(r.c, r.now, NULL, 0, NULL), RMR_OK);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 2);
    assert_null(strstr(r.s.last_update, "RoutableIPs"));
    assert_null(strstr(r.s.last_update, "ExitNodeID"));
    assert_int_equal(
        rmr_ctl_set_routes(r.c, r.now, many, RMR_CTL_MAX_ROUTES + 1, NULL),
        RMR_E_INVAL);
    assert_int_equal(rmr_ctl_set_routes(r.c, r.now, NULL, 0, long_id),
                     RMR_E_INVAL);
    rig_free(&r);
}

static void the_peerapi_is_told(void **state)
{
    (void)state;
    static const char both[] =
        "\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":4000},{\"Proto\":"
        "\"peerapi6\",\"Port\":4001},{\"Proto\":\"peerapi-dns-proxy\","
        "\"Port\":1}]";
    static const char one[] =
        "\"Services\":[{\"Proto\":\"peerapi6\",\"Port\":4001},{\"Proto\":"
        "\"peerapi-dns-proxy\",\"Port\":1}]";
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rmr_ctl_set_peerapi(r.c, r.now, 4000, 4001);
    rig_run(&r);
    assert_true(rig_has(r.s.last_map, both));
    int n = r.s.updates;
    rmr_ctl_set_peerapi(r.c, r.now, 4000, 4001);
    rig_run(&r);
    assert_int_equal(r.s.updates, n); /* the same as before */
    rmr_ctl_set_peerapi(r.c, r.now, 0, 4001);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 1);
    assert_true(rig_has(r.s.last_update, one));
    rmr_ctl_set_peerapi(r.c, r.now, 0, 0);
    rig_run(&r);
    assert_int_equal(r.s.updates, n + 2);
    assert_null(strstr(r.s.last_update, "Services"));
    rig_free(&r);
}

static void a_net_without_its_lists_is_refused(void **state)
{
    (void)state;
    rig r = {0};
    rmr_ctl_net net;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rmr_ctl_net_init(&net, sizeof net);
    net.n_endpoints = 1;
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_E_INVAL);
    rmr_ctl_net_init(&net, sizeof net);
    net.n_latencies = 1;
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_E_INVAL);
    rmr_ctl_net_init(&net, sizeof net);
    net.link_type = "a text of more than thirty-one bytes";
    assert_int_equal(rmr_ctl_set_net(r.c, r.now, &net), RMR_E_INVAL);
    rig_free(&r);
}

static void failed_updates_back_off(void **state)
{
    (void)state;
    rig r = {0};
    r.s.upd_status = 500;
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_wait(&r, 60 * RMR_SEC);
    /* sum of n^2 * 10 ms reaches 60 s near n = 26 */
    assert_in_range(r.s.updates, 20, 33);
    assert_string_equal(r.states, "CRO");
    r.s.upd_status = 0;
    rig_wait(&r, 30 * RMR_SEC);
    int n = r.s.updates;
    rig_wait(&r, 20 * RMR_SEC);
    assert_int_equal(r.s.updates, n);
    rig_free(&r);
}

static void push(rig *r, const char *json)
{
    bytes b = {0};
    frame_plain(&b, json);
    server_map_send(&r->s, b.p, b.len);
    bytes_free(&b);
    rig_run(r);
}

static void a_sign_of_life_is_given_over_noise(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    push(&r, "{\"PingRequest\":{\"URL\":\"https://unused/ping/1?a=b\","
             "\"URLIsNoise\":true}}");
    assert_int_equal(r.s.pings, 1);
    assert_string_equal(r.s.ping_method, "HEAD");
    assert_string_equal(r.s.ping_path, "/ping/1?a=b");
    /* The same again is no other one. */
    push(&r, "{\"KeepAlive\":true,\"PingRequest\":{\"URL\":"
             "\"https://unused/ping/1?a=b\",\"URLIsNoise\":true}}");
    assert_int_equal(r.s.pings, 1);
    /* Not over Noise, and of other types: it is not for us alone. */
    push(&r, "{\"PingRequest\":{\"URL\":\"http://elsewhere/ping/2\"}}");
    push(&r, "{\"PingRequest\":{\"URL\":\"http://control.example/ping/3\","
             "\"URLIsNoise\":true,\"Types\":\"disco\"}}");
    push(&r, "{\"PingRequest\":{\"URL\":\"no url\",\"URLIsNoise\":true}}");
    assert_int_equal(r.s.pings, 1);
    assert_string_equal(r.states, "CRO");
    rig_free(&r);
}

static void the_result_of_a_ping_is_posted_over_noise(void **state)
{
    (void)state;
    rig r = {0};
    static uint8_t big[5000];
    const char *json = "{\"Type\":\"disco\"}";
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    rmr_bytes body = rmr_bytes_str(json);
    assert_int_equal(rmr_ctl_answer_ping(r.c, "https://unused/ping/9", body),
                     RMR_OK);
    assert_int_equal(rmr_ctl_answer_ping(r.c, "https://unused/ping/8", body),
                     RMR_E_FULL);
    rig_run(&r);
    assert_int_equal(r.s.pings, 1);
    assert_string_equal(r.s.ping_method, "POST");
    assert_string_equal(r.s.ping_path, "/ping/9");
    assert_string_equal(r.s.ping_body, json);
    assert_int_equal(rmr_ctl_answer_ping(r.c, "no url", body), RMR_E_INVAL);
    assert_int_equal(rmr_ctl_answer_ping(r.c, "https://unused/ping/7",
                                         rmr_bytes_of(big, sizeof big)),
                     RMR_E_TOOBIG);
    rig_run(&r);
    assert_int_equal(r.s.pings, 1);
    rig_free(&r);
}

static void c2n(rig *r, int n, const char *ask)
{
    char text[3000], b64[2048];
    (void)rmr_base64(b64, ask, strlen(ask));
    (void)snprintf(text, sizeof text,
                   "{\"PingRequest\":{\"URL\":\"https://unused/ping/%d\","
                   "\"Types\":\"c2n\",\"Payload\":\"%s\"}}",
                   n, b64);
    push(r, text);
    assert_int_equal(r->s.pings, n);
    assert_string_equal(r->s.ping_method, "POST");
}

static void c2n_requests_are_answered(void **state)
{
    (void)state;
    rig r = {0};
    assert_int_equal(rig_init(&r, NULL), RMR_OK);
    rig_run(&r);
    c2n(&r, 1,
        "POST /echo HTTP/1.1\r\nHost: unused\r\nContent-Length: 9\r\n\r\n"
        "hello-c2n");
    assert_string_equal(r.s.ping_body,
                        "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
                        "hello-c2n");
    c2n(&r, 2, "GET /echo?x HTTP/1.1\r\nHost: unused\r\n\r\n");
    assert_true(rig_has(r.s.ping_body, "HTTP/1.1 200 OK\r\n"));
    c2n(&r, 3, "GET /debug/goroutines HTTP/1.1\r\nHost: unused\r\n\r\n");
    assert_true(rig_has(r.s.ping_body, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(rig_has(r.s.ping_body, "unknown c2n path"));
    c2n(&r, 4, "GARBAGE");
    assert_true(rig_has(r.s.ping_body, "malformed"));
    c2n(&r, 5,
        "POST /echo HTTP/1.1\r\nHost: unused\r\nContent-Length: 99\r\n\r\n"
        "cut short");
    assert_true(rig_has(r.s.ping_body, "malformed"));
    assert_null(strstr(r.s.ping_body, "cut short"));
    push(&r, "{\"PingRequest\":{\"URL\":\"https://unused/ping/6\","
             "\"Types\":\"c2n\",\"Payload\":\"*\"}}");
    assert_int_equal(r.s.pings, 6);
    assert_true(rig_has(r.s.ping_body, "malformed"));
    assert_string_equal(r.states, "CRO");
    rig_free(&r);
}

int main(void)
{
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_node_registers_again),
        cmocka_unit_test(broken_frames_end_the_stream),
        cmocka_unit_test(keepalives_feed_the_watchdog),
        cmocka_unit_test(the_watchdog_covers_the_wait_for_the_head),
        cmocka_unit_test(a_window_above_the_bound_is_asked_for_plain),
        cmocka_unit_test(a_proxy_that_ends_quiet_streams_is_named),
        cmocka_unit_test(the_ways_a_stream_ends_are_told),
        cmocka_unit_test(changes_are_sent_and_only_changes),
        cmocka_unit_test(a_new_name_and_shields_are_sent_at_once),
        cmocka_unit_test(order_and_latencies_are_no_change_but_types_are),
        cmocka_unit_test(routes_and_the_exit_node_are_told),
        cmocka_unit_test(the_peerapi_is_told),
        cmocka_unit_test(a_net_without_its_lists_is_refused),
        cmocka_unit_test(failed_updates_back_off),
        cmocka_unit_test(a_sign_of_life_is_given_over_noise),
        cmocka_unit_test(the_result_of_a_ping_is_posted_over_noise),
        cmocka_unit_test(c2n_requests_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
