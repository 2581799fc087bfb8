/* A host with a tunnel interface: its own stack's packets through one node, to
 * a peer whose node has them in its stack; and names at 100.100.100.100. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define ECHO_PORT 7

static pair p;

/* The host of node 0, whose kernel is a stack of ours. */
static struct {
    rmr_ns *ns;
    rmr_ns_sock tcp, udp;
    size_t got, want, packets;
    uint8_t answer[512];
    size_t answer_len;
} host;

static void on_packet(void *user, rmr_bytes packet)
{
    (void)user;
    host.packets++;
    (void)rmr_ns_read_pkt(host.ns, p.now, packet);
}

static void on_datagram(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    (void)user, (void)tag, (void)sock, (void)from, (void)to;
    assert_true(data.len <= sizeof host.answer);
    memcpy(host.answer, data.ptr, data.len);
    host.answer_len = data.len;
}

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    rmr_addr host_ip = rmr_addr_v4(100, 64, 0, 1, 0);
    (void)user, (void)tag, (void)conn;
    assert_true(rmr_addr_ip_eq(remote, &host_ip));
}

/* Node 1 gives back what comes. */
static void echo(void *user, void *tag, rmr_node_conn conn)
{
    pair_node *nd = user;
    rmr_bytes view;
    bool eof = false;
    size_t taken = 1;
    (void)tag;
    while (taken && !rmr_node_peek(nd->n, conn, &view, &eof) && view.len) {
        if (rmr_node_send(nd->n, p.now, conn, view, &taken) ||
            rmr_node_consume(nd->n, p.now, conn, taken))
            return;
    }
}

static void host_start(void)
{
    rmr_ns_config nc;
    rmr_ns_callbacks ncb = {0};
    rmr_addr own = rmr_addr_v4(100, 64, 0, 1, 0);
    ncb.struct_size = sizeof ncb;
    ncb.on_datagram = on_datagram;
    rmr_ns_config_init(&nc, sizeof nc);
    nc.callbacks = &ncb;
    nc.mtu = 1280;
    assert_int_equal(rmr_ns_new(&host.ns, &p.node[0].env, &nc, p.now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(host.ns, &own), RMR_OK);
}

static void start(void)
{
    memset(&host, 0, sizeof host);
    pair_init(&p, 3);
    p.udp = true;
    p.dns = "{\"Domains\":[\"ex.com\"],\"Proxied\":true}";
    for (int i = 0; i < 2; i++) {
        rmr_node_config cfg;
        rmr_node_callbacks cb = {0};
        cb.struct_size = sizeof cb;
        cb.user = &p.node[i];
        cb.on_packet = i == 0 ? on_packet : NULL;
        cb.on_accept = i == 1 ? on_accept : NULL;
        cb.on_readable = cb.on_writable = i == 1 ? echo : NULL;
        rmr_node_config_init(&cfg, sizeof cfg);
        cfg.callbacks = &cb;
        pair_start(&p, i, &cfg);
    }
    host_start();
    pair_feed_netmaps(&p);
}

static void stop(void)
{
    rmr_ns_free(host.ns);
    pair_free(&p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].alloc.live_blocks, 0);
}

/* What the host's stack has to send goes to its interface, the node. */
static void pump(void)
{
    uint8_t pkt[1280];
    size_t len = 0;
    if (p.now >= rmr_ns_next_deadline(host.ns))
        assert_int_equal(rmr_ns_handle_deadline(host.ns, p.now), RMR_OK);
    while (rmr_ns_write_pkt(host.ns, p.now, rmr_buf_of(pkt, sizeof pkt),
                            &len) == RMR_OK &&
           len) {
        rmr_err e =
            rmr_node_send_packet(p.node[0].n, p.now, rmr_bytes_of(pkt, len));
        assert_true(e == RMR_OK || e == RMR_E_FULL);
    }
    pair_drain(&p, 0);
}

static bool has_all(void *user)
{
    rmr_bytes view;
    bool eof = false;
    (void)user;
    while (rmr_ns_tcp_peek(host.ns, host.tcp, &view, &eof) == RMR_OK &&
           view.len) {
        for (size_t i = 0; i < view.len; i++)
            assert_int_equal(view.ptr[i], (uint8_t)((host.got + i) * 7));
        host.got += view.len;
        assert_int_equal(rmr_ns_tcp_consume(host.ns, p.now, host.tcp, view.len),
                         RMR_OK);
    }
    pump();
    return host.got == host.want;
}

static void the_hosts_tcp_goes_through_the_node(void **state)
{
    enum { ALL = 100000 };
    uint8_t *data = malloc(ALL);
    rmr_node_conn listener;
    rmr_addr to = rmr_addr_v4(100, 64, 0, 2, ECHO_PORT);
    size_t sent = 0, taken;
    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < ALL; i++)
        data[i] = (uint8_t)(i * 7);
    start();
    assert_int_equal(
        rmr_node_listen(p.node[1].n, p.now, ECHO_PORT, NULL, &listener),
        RMR_OK);
    assert_int_equal(
        rmr_ns_tcp_connect(host.ns, p.now, NULL, &to, NULL, &host.tcp), RMR_OK);
    for (int i = 0; i < 400 && host.got < ALL; i++) {
        if (rmr_ns_tcp_send(host.ns, p.now, host.tcp,
                            rmr_bytes_of(data + sent, ALL - sent),
                            &taken) == RMR_OK)
            sent += taken;
        host.want = sent ? sent : 1;
        (void)pair_run(&p, RMR_SEC, has_all, NULL);
    }
    assert_int_equal(host.got, ALL);
    rmr_node_stats st;
    rmr_node_get_stats(p.node[0].n, &st);
    assert_true(st.tx_pkts > 80 && host.packets > 80);
    free(data);
    stop();
}

static bool has_answer(void *user)
{
    (void)user;
    pump();
    return host.answer_len > 0;
}

static void the_hosts_questions_are_answered(void **state)
{
    /* RFC 1035 4.1: id, flags (RD), one question: node1.ex.com. A
     * IN. */
    static const uint8_t ask[] = {
        0x12, 0x34, 1,   0, 0,   1,   0, 0,   0,   0,   0, 0, 5, 'n', 'o',
        'd',  'e',  '1', 2, 'e', 'x', 3, 'c', 'o', 'm', 0, 0, 1, 0,   1};
    rmr_addr own = rmr_addr_v4(100, 64, 0, 1, 0);
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    (void)state;
    start();
    assert_int_equal(rmr_ns_udp_bind(host.ns, &own, NULL, &host.udp), RMR_OK);
    assert_int_equal(rmr_ns_udp_send(host.ns, p.now, host.udp, NULL, &quad,
                                     rmr_bytes_of(ask, sizeof ask)),
                     RMR_OK);
    assert_true(pair_run(&p, 5 * RMR_SEC, has_answer, NULL));
    assert_memory_equal(host.answer, ask, 2);
    assert_int_equal(host.answer[3] & 15, 0); /* NOERROR */
    assert_int_equal(host.answer[7], 1);      /* one answer: 100.64.0.2 */
    static const uint8_t ip[] = {100, 64, 0, 2};
    assert_memory_equal(host.answer + host.answer_len - 4, ip, 4);
    stop();
}

static rmr_err send_it(uint8_t *pkt, size_t len)
{
    return rmr_node_send_packet(p.node[0].n, p.now, rmr_bytes_of(pkt, len));
}

static void what_is_no_packet_of_ours_is_refused(void **state)
{
    uint8_t pkt[1300] = {0x45, 0, 0,   28, 0, 0, 0,   0,  64, 17,
                         0,    0, 100, 64, 0, 1, 100, 64, 0,  2};
    (void)state;
    start();
    assert_int_equal(send_it(pkt, 28), RMR_OK);
    for (size_t len = 0; len < 28; len++)
        assert_int_equal(send_it(pkt, len), RMR_E_MALFORMED);
    assert_int_equal(send_it(pkt, 29), RMR_E_MALFORMED);
    assert_int_equal(send_it(pkt, sizeof pkt), RMR_E_TOOBIG);
    pkt[15] = 9; /* another's source */
    assert_int_equal(send_it(pkt, 28), RMR_E_DENIED);
    pkt[15] = 1;
    pkt[0] = 0x75;
    assert_int_equal(send_it(pkt, 28), RMR_E_MALFORMED);
    assert_int_equal(
        rmr_node_send_packet(p.node[1].n, p.now, rmr_bytes_of(pkt, 28)),
        RMR_E_STATE);
    stop();
}

static void the_queue_is_bounded_and_counts(void **state)
{
    uint8_t pkt[1280] = {0x45, 0, 5,   0,  0, 0, 0,   0,  64, 17,
                         0,    0, 100, 64, 0, 1, 100, 64, 0,  2};
    rmr_node_stats st;
    size_t n = 0;
    (void)state;
    start();
    while (n < 1000 && send_it(pkt, sizeof pkt) == RMR_OK)
        n++;
    assert_in_range(n, 100, 256 * 1024 / 1280);
    assert_int_equal(send_it(pkt, sizeof pkt), RMR_E_FULL);
    rmr_node_get_stats(p.node[0].n, &st);
    assert_int_equal(st.dropped_host, 2);
    pair_drain(&p, 0);
    assert_int_equal(send_it(pkt, sizeof pkt), RMR_OK);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_tcp_goes_through_the_node),
        cmocka_unit_test(the_hosts_questions_are_answered),
        cmocka_unit_test(what_is_no_packet_of_ours_is_refused),
        cmocka_unit_test(the_queue_is_bounded_and_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
