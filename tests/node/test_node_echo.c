/* WireGuard-only peers: ICMP tells which of their endpoints is the nearest. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/cursor.h>
#include <stdlib.h>
#include <string.h>

#define WG_PORT 51820
#define MAX_ECHOES 8

static lab l;
static rmr_addr v4, far_v4, v6;

static struct {
    rmr_addr to;
    uint8_t data[64];
    size_t len;
} echoes[MAX_ECHOES];
static size_t n_echoes;
static rmr_addr handshake_to; /* the last one */

static void on_send(lab *lb, const rmr_io_op *op)
{
    if (op->id == lb->icmp_ids[0] || op->id == lb->icmp_ids[1]) {
        assert_true(n_echoes < MAX_ECHOES && op->data.len <= 64);
        echoes[n_echoes].to = op->addr;
        echoes[n_echoes].len = op->data.len;
        memcpy(echoes[n_echoes++].data, op->data.ptr, op->data.len);
    } else if (op->addr.port == WG_PORT) {
        handshake_to = op->addr;
    }
}

static void start(rmr_err icmp_err)
{
    static const char netmap[] =
        "{\"Node\":{\"ID\":1,\"StableID\":\"n1\",\"Name\":\"a.ex.com.\","
        "\"User\":1,\"Key\":\"nodekey:"
        "0100000000000000000000000000000000000000000000000000000000000000\","
        "\"Addresses\":[\"100.64.0.1/32\"],\"MachineAuthorized\":true},"
        "\"Peers\":[{\"ID\":2,\"StableID\":\"n2\",\"Name\":\"w.ex.com.\","
        "\"User\":1,\"Key\":\"nodekey:"
        "0900000000000000000000000000000000000000000000000000000000000000\","
        "\"Addresses\":[\"100.64.0.2/32\"],\"AllowedIPs\":[\"100.64.0.2/32\"],"
        "\"MachineAuthorized\":true,\"IsWireGuardOnly\":true,\"Endpoints\":["
        "\"203.0.113.1:51820\",\"198.51.100.1:51820\",\"[2001:db8::1]:51820\"]"
        "}],\"Domain\":\"ex.com\"}";
    rmr_node_config cfg;
    rmr_node_conn conn;
    n_echoes = 0;
    memset(&handshake_to, 0, sizeof handshake_to);
    v4 = rmr_addr_v4(203, 0, 113, 1, WG_PORT);
    far_v4 = rmr_addr_v4(198, 51, 100, 1, WG_PORT);
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[2001:db8::1]:51820"), &v6),
                     RMR_OK);
    lab_init(&l);
    l.icmp_err = icmp_err;
    l.on_send = on_send;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    rmr_node *n = l.node;
    n->from_server = true;
    rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, 0);
    assert_int_equal(rmr_nm_frame_feed(n->nm, rmr_bytes_str(netmap)), RMR_OK);
    assert_int_equal(rmr_nm_frame_end(n->nm), RMR_OK);
    n->from_server = false;
    assert_int_equal(rmr_node_dial(n, l.now, "100.64.0.2", 80, NULL, &conn),
                     RMR_OK);
    lab_turn(&l);
}

static void stop(void)
{
    lab_free(&l);
    assert_int_equal(l.alloc.live_blocks, 0);
}

/* The reply to the echo to this address, as the peer would send it. */
static void answer(const rmr_addr *ep, size_t spoil)
{
    for (size_t i = 0; i < n_echoes; i++) {
        uint8_t data[64];
        bool six = ep->family == RMR_AF_INET6;
        if (!rmr_addr_ip_eq(&echoes[i].to, ep))
            continue;
        memcpy(data, echoes[i].data, echoes[i].len);
        assert_int_equal(data[0], six ? 128 : 8);
        data[0] = six ? 129 : 0;
        data[spoil] ^= spoil ? 1 : 0;
        lab_datagram(&l, l.icmp_ids[six], &echoes[i].to,
                     rmr_buf_of(data, echoes[i].len));
        return;
    }
    fail_msg("it was not asked");
}

static void later(rmr_dur d)
{
    lab_run(&l, d);
}

static void all_endpoints_are_asked_and_the_nearest_is_taken(void **st)
{
    (void)st;
    start(RMR_OK);
    assert_int_equal(n_echoes, 3);
    assert_int_not_equal(handshake_to.family, RMR_AF_NONE);
    later(5 * RMR_MS);
    answer(&v6, 0);
    later(5 * RMR_MS);
    answer(&v4, 0);
    answer(&far_v4, 0);
    later(6 * RMR_SEC); /* the handshake is repeated after 5 s */
    assert_true(rmr_addr_eq(&handshake_to, &v6));
    stop();
}

static void an_echo_of_ipv4_has_a_right_checksum(void **st)
{
    (void)st;
    start(RMR_OK);
    for (size_t i = 0; i < n_echoes; i++) {
        uint32_t sum = 0;
        if (echoes[i].to.family == RMR_AF_INET6)
            continue;
        for (size_t k = 0; k < echoes[i].len; k += 2)
            sum += rmr_load_be16(echoes[i].data + k);
        sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    }
    stop();
}

static void a_reply_to_another_question_counts_for_nothing(void **st)
{
    (void)st;
    start(RMR_OK);
    later(RMR_MS);
    answer(&far_v4, 8); /* the nonce is wrong */
    later(20 * RMR_MS);
    answer(&v4, 0);
    later(6 * RMR_SEC);
    assert_true(rmr_addr_eq(&handshake_to, &v4));
    stop();
}

static bool is_answered(const rmr_addr *ep)
{
    static const uint8_t key[RMR_KEY_LEN] = {9};
    rmr_path_peer peer;
    rmr_path_candidate c;
    assert_true(rmr_paths_find(l.node->paths, key, &peer));
    for (size_t i = 0; rmr_paths_candidate(l.node->paths, peer, i, &c); i++)
        if (rmr_addr_eq(&c.udp, ep))
            return c.answered;
    fail_msg("no such candidate");
    return false;
}

static void a_late_reply_counts_for_nothing(void **st)
{
    (void)st;
    start(RMR_OK);
    later(5 * RMR_SEC);
    answer(&far_v4, 0);
    assert_true(is_answered(&far_v4));
    later(RMR_MS);
    answer(&v4, 0);
    assert_false(is_answered(&v4));
    stop();
}

static void without_icmp_one_is_taken_all_the_same(void **st)
{
    (void)st;
    start(RMR_E_DENIED);
    assert_int_equal(n_echoes, 0);
    later(6 * RMR_SEC);
    assert_int_not_equal(handshake_to.family, RMR_AF_NONE);
    uint64_t asked[2] = {l.icmp_ids[0], l.icmp_ids[1]};
    later(30 * RMR_SEC);
    assert_memory_equal(asked, l.icmp_ids, sizeof asked); /* not again */
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_endpoints_are_asked_and_the_nearest_is_taken),
        cmocka_unit_test(an_echo_of_ipv4_has_a_right_checksum),
        cmocka_unit_test(a_reply_to_another_question_counts_for_nothing),
        cmocka_unit_test(a_late_reply_counts_for_nothing),
        cmocka_unit_test(without_icmp_one_is_taken_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
