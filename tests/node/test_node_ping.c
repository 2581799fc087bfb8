/* What the server asks a node to ping: itself, by a HEAD, and peers, whose
 * result is posted.  tests/interop/control.sh has the whole way, with a real
 * peer. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static lab l;

static int setup(void **state)
{
    rmr_node_config cfg;
    (void)state;
    lab_init(&l);
    lab_config(&l, &cfg); /* the server is http://127.0.0.1:9 */
    return lab_start(&l, &cfg) == RMR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

static void ask(const char *url, const char *types, const char *ip)
{
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "{\"PingRequest\":{\"URL\":\"%s\",\"Types\":\"%s\",\"IP\":"
                   "\"%s\"}}",
                   url, types, ip);
    lab_feed(&l, text);
}

static void join(void)
{
    lab_feed(
        &l,
        "{\"Node\":{\"ID\":1,\"StableID\":\"s1\",\"Name\":\"me.ex.com.\","
        "\"Key\":\"nodekey:"
        "0000000000000000000000000000000000000000000000000000000000000009\","
        "\"MachineAuthorized\":true,\"Addresses\":[\"100.64.0.1/32\","
        "\"fd7a:115c:a1e0::1/128\"]},\"Peers\":[{\"ID\":2,\"Name\":"
        "\"you.ex.com.\",\"Key\":\"nodekey:"
        "0000000000000000000000000000000000000000000000000000000000000008\","
        "\"Addresses\":[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\"]}]}");
    lab_turn(&l);
}

static void the_servers_own_host_alone_is_asked(void **st)
{
    (void)st;
    l.connects = 0;
    ask("http://127.0.0.2:77/alive", "", "");
    ask("http://127.0.0.1.example:77/alive", "", "");
    ask("http://127.0.0.2:77/disco", "disco", "100.64.0.2");
    ask("file:///etc/passwd", "", "");
    ask("no url", "", "");
    assert_null(l.node->asks);
    lab_turn(&l);
    assert_int_equal(l.connects, 0);
    ask("http://127.0.0.1:77/alive", "", "");
    assert_non_null(l.node->asks);
    lab_turn(&l);
    assert_int_equal(l.connects, 1);
    assert_int_equal(l.last_connect.port, 77);
    assert_null(l.node->asks); /* refused: nothing more is tried */
    assert_true(rmri_node_pings_deadline(l.node) == RMR_TIME_NEVER);
}

static void a_cached_request_is_not_answered(void **st)
{
    (void)st;
    rmr_nm_frame_begin(l.node->nm, 1);
    assert_int_equal(
        rmr_nm_frame_feed(l.node->nm,
                          rmr_bytes_str("{\"PingRequest\":{\"URL\":"
                                        "\"http://127.0.0.1:77/alive\"}}")),
        RMR_OK);
    assert_null(l.node->asks);
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
}

static void a_ping_ends_with_an_answer_whatever_comes(void **st)
{
    (void)st;
    join();
    static const char *const types[] = {"disco", "TSMP", "ICMP"};
    for (int i = 0; i < 3; i++) {
        char url[80];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/x", 70 + i);
        l.last_connect.port = 0;
        ask(url, types[i], "100.64.0.2");
        lab_turn(&l);
        lab_run(&l, 4 * RMR_SEC);
        bool waits = l.last_connect.port != 70 + i;
        lab_run(&l, 2 * RMR_SEC); /* timed out: the POST is tried */
        assert_null(l.node->asks);
        /* Without any way to the peer disco says so at once. */
        assert_true(waits || i == 0);
    }
    /* Unknown types, and requests without end. */
    ask("http://127.0.0.1:79/x", "peerapi,,x,", "100.64.0.2");
    assert_null(l.node->asks);
    for (int i = 0; i < 40; i++) {
        char url[80];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:79/%d", i);
        ask(url, "TSMP", "100.64.0.2");
    }
    lab_run(&l, 30 * RMR_SEC);
    assert_null(l.node->asks);
    assert_int_equal(rmri_node_pings_deadline(l.node), RMR_TIME_NEVER);
}

/* ---- TSMP -------------------------------------------------------------- */

static void a_ping_inside_the_tunnel_is_answered(void **st)
{
    (void)st;
    join();
    uint8_t ping[29] = {0x45, 0,  0, 29, 0,   0,  0, 0, 64,  99, 0, 0,
                        100,  64, 0, 2,  100, 64, 0, 1, 'p', 1,  2};
    uint8_t out[64];
    rmr_bytes pkt = rmr_bytes_of(ping, sizeof ping);
    assert_true(rmri_node_tsmp_is(pkt));
    rmri_node_tsmp_in(l.node, l.now, pkt);
    assert_int_equal(l.node->n_tsmp, 1);
    assert_int_equal(rmri_node_tsmp_out(l.node, out), 31);
    static const uint8_t want[31] = {0x45, 0,  0, 31, 0,   0,  0, 0,
                                     64,   99, 0, 0,  100, 64, 0, 1,
                                     100,  64, 0, 2,  'o', 1,  2};
    uint32_t sum = 0; /* RFC 791: all ones, its own field included */
    for (size_t i = 0; i < 20; i += 2)
        sum += (uint32_t)out[i] << 8 | out[i + 1];
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    out[10] = out[11] = 0;
    assert_memory_equal(out, want, sizeof want);
    /* Cut short, of other kinds, or too many: nothing, and no harm. */
    for (size_t n = 0; n < sizeof ping; n++) {
        pkt.len = n;
        if (rmri_node_tsmp_is(pkt))
            rmri_node_tsmp_in(l.node, l.now, pkt);
    }
    assert_int_equal(l.node->n_tsmp, 0);
    pkt.len = sizeof ping;
    for (int i = 0; i < 100; i++)
        rmri_node_tsmp_in(l.node, l.now, pkt);
    assert_int_equal(l.node->n_tsmp, ND_TSMP_QUEUE);
    ping[20] = '!';
    rmri_node_tsmp_in(l.node, l.now, pkt);
    assert_int_equal(l.node->n_tsmp, ND_TSMP_QUEUE);
}

static void one_over_ipv6_too(void **st)
{
    (void)st;
    join();
    uint8_t ping[49] = {
        0x60, 0,    0,        0,           0,        9,          99,
        64,   0xfd, [23] = 2, [24] = 0xfd, [39] = 1, [40] = 'p', [41] = 7};
    uint8_t out[64];
    rmr_bytes pkt = rmr_bytes_of(ping, sizeof ping);
    assert_true(rmri_node_tsmp_is(pkt));
    rmri_node_tsmp_in(l.node, l.now, pkt);
    assert_int_equal(rmri_node_tsmp_out(l.node, out), 51);
    assert_int_equal(out[5], 11);
    assert_int_equal(out[6], 99);
    assert_memory_equal(out + 8, ping + 24, 16);
    assert_memory_equal(out + 24, ping + 8, 16);
    assert_int_equal(out[40], 'o');
    assert_int_equal(out[41], 7);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_servers_own_host_alone_is_asked),
        T(a_cached_request_is_not_answered),
        T(a_ping_ends_with_an_answer_whatever_comes),
        T(a_ping_inside_the_tunnel_is_answered),
        T(one_over_ipv6_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
