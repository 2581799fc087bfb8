/* What is dropped is counted, once, wherever that happens. */
#include "ns_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

typedef struct world {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_sock sock;
    rmr_ns_flow flow;
    int connected, accepted, dgrams;
    bool close_in_callback;
    uint8_t out[1280];
    size_t out_len;
} world;

static rmr_addr me, you, far, me6, you6;

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock s, const rmr_addr *remote)
{
    world *w = user;
    (void)tag;
    (void)listener;
    (void)remote;
    w->accepted++;
    w->sock = s;
}

static void on_connected(void *user, void *tag, rmr_ns_sock s)
{
    (void)tag;
    (void)s;
    ((world *)user)->connected++;
}

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    world *w = user;
    (void)tag;
    (void)from;
    (void)to;
    (void)data;
    w->dgrams++;
    if (w->close_in_callback)
        assert_int_equal(rmr_ns_close(w->ns, w->now, s), RMR_OK);
}

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    (void)protocol;
    (void)from;
    (void)to;
    ((world *)user)->flow = flow;
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    me = rmr_addr_v4(10, 0, 0, 1, 80);
    you = rmr_addr_v4(10, 0, 0, 2, 5000);
    far = rmr_addr_v4(8, 8, 8, 8, 443);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::1]:80"), &me6);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::2]:5000"), &you6);
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 70 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_accept = on_accept;
    cb.on_connected = on_connected;
    cb.on_datagram = on_datagram;
    cb.on_flow = on_flow;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.forward = true;
    cfg.max_udp_flows = 4; /* one a client */
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me6), RMR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

static rmr_err feed(world *w, const uint8_t *p, size_t n)
{
    return pkt_feed(w->ns, w->now, p, n);
}

static bool take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return w->out_len != 0;
}

static uint64_t all_discards(world *w)
{
    rmr_ns_stats s = pkt_stats(w->ns);
    return s.discard_malformed + s.discard_checksum + s.discard_not_local +
           s.discard_no_socket + s.discard_full + s.discard_fragment +
           s.discard_filtered + s.discard_flows + s.discard_icmp +
           s.discard_segment;
}

/* No answer, and one count in discard_segment alone. */
static void expect_dropped(world *w, const rmr_addr *to, uint8_t flags,
                           uint32_t seq, uint32_t ack)
{
    uint8_t p[200];
    uint64_t all = all_discards(w), these = pkt_stats(w->ns).discard_segment;
    assert_int_equal(feed(w, p, pkt_tcp(p, &you, to, flags, seq, ack)), RMR_OK);
    assert_false(take(w));
    assert_int_equal(pkt_stats(w->ns).discard_segment, these + 1);
    assert_int_equal(all_discards(w), all + 1);
}

/* Taken or answered: no count. */
static void expect_kept(world *w, const rmr_addr *to, uint8_t flags,
                        uint32_t seq, uint32_t ack)
{
    uint8_t p[200];
    uint64_t all = all_discards(w);
    assert_int_equal(feed(w, p, pkt_tcp(p, &you, to, flags, seq, ack)), RMR_OK);
    (void)take(w);
    assert_int_equal(all_discards(w), all);
}

static void expect_icmp_dropped(world *w, const uint8_t *p, size_t n)
{
    uint64_t all = all_discards(w), these = pkt_stats(w->ns).discard_icmp;
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_false(take(w));
    assert_int_equal(pkt_stats(w->ns).discard_icmp, these + 1);
    assert_int_equal(all_discards(w), all + 1);
}

static void listen_here(world *w)
{
    rmr_ns_sock l;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &me, w, &l), RMR_OK);
}

/* ---- TCP -------------------------------------------------------------- */

static void segments_to_listeners_and_half_open_entries(void **state)
{
    world *w = *state;
    listen_here(w);
    expect_dropped(w, &me, PKT_RST, 1, 0);
    expect_dropped(w, &me, PKT_FIN, 1, 0);
    expect_dropped(w, &me, 0, 1, 0);
    expect_dropped(w, &me, PKT_SYN | PKT_FIN, 1, 0);
    expect_kept(w, &me, PKT_SYN, 100, 0);
    uint32_t iss = rmr_load_be32(w->out + 24);
    expect_dropped(w, &me, 0, 101, 0);
    expect_dropped(w, &me, PKT_RST, 100, 0);
    expect_dropped(w, &me, PKT_RST, 101 + 65535, 0);
    w->ns->chal_second = w->now / RMR_SEC + 1; /* no challenges are left */
    w->ns->chal_left = 0;
    expect_dropped(w, &me, PKT_SYN, 200, 0);
    expect_kept(w, &me, PKT_ACK, 101, iss + 1);
    assert_int_equal(w->accepted, 1);
}

static void segments_to_a_connection(void **state)
{
    world *w = *state;
    listen_here(w);
    expect_kept(w, &me, PKT_SYN, 100, 0);
    uint32_t una = rmr_load_be32(w->out + 24) + 1;
    expect_kept(w, &me, PKT_ACK, 101, una);
    expect_dropped(w, &me, 0, 101, 0);              /* no ACK */
    expect_dropped(w, &me, PKT_RST, 4000000000, 0); /* out of the window */
    expect_kept(w, &me, PKT_ACK, 50, una); /* answered, but twice in 500 ms: */
    expect_dropped(w, &me, PKT_ACK, 50, una);
    for (int i = 0; i < 5; i++)
        expect_kept(w, &me, PKT_SYN, 7, 0); /* challenges, 5 a second */
    expect_dropped(w, &me, PKT_SYN, 7, 0);
    expect_dropped(w, &me, PKT_RST, 110, 0);
    expect_dropped(w, &me, PKT_ACK, 101, una + 1000);
    expect_kept(w, &me, PKT_ACK, 101, una);
    expect_kept(w, &me, PKT_RST, 101, 0);
}

static void segments_while_dialling(void **state)
{
    world *w = *state;
    rmr_addr from = me;
    from.port = 9999;
    assert_int_equal(
        rmr_ns_tcp_connect(w->ns, w->now, &from, &you, w, &w->sock), RMR_OK);
    assert_true(take(w));
    uint32_t iss = rmr_load_be32(w->out + 24);
    expect_dropped(w, &from, PKT_RST, 1, 0);             /* no ACK */
    expect_dropped(w, &from, PKT_RST | PKT_ACK, 1, iss); /* of nothing sent */
    expect_dropped(w, &from, PKT_ACK, 1, iss + 1);       /* no SYN */
    expect_dropped(w, &from, PKT_FIN, 1, 0);
    w->ns->chal_second = w->now / RMR_SEC + 1;
    w->ns->chal_left = 0;
    expect_dropped(w, &from, PKT_ACK, 1, iss + 2);
    expect_kept(w, &from, PKT_SYN, 100, 0); /* both dial */
    expect_dropped(w, &from, PKT_SYN | PKT_ACK, 100, iss);
    expect_kept(w, &from, PKT_ACK, 101, iss + 1);
    assert_int_equal(w->connected, 1);
}

static void segments_to_requests_and_time_wait(void **state)
{
    world *w = *state;
    expect_kept(w, &far, PKT_SYN, 100, 0);
    expect_dropped(w, &far, PKT_RST, 100, 0);
    expect_dropped(w, &far, PKT_FIN, 101, 0);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_true(take(w));
    uint32_t iss = rmr_load_be32(w->out + 24);
    expect_kept(w, &far, PKT_ACK, 101, iss + 1);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_OK);
    assert_true(take(w));
    expect_kept(w, &far, PKT_FIN | PKT_ACK, 101, iss + 2);
    assert_int_equal(pkt_stats(w->ns).time_wait, 1);
    expect_dropped(w, &far, PKT_RST, 102, 0);
    expect_dropped(w, &far, PKT_ACK, 102, iss + 2);
    expect_kept(w, &far, PKT_FIN | PKT_ACK, 101, iss + 2);
}

/* ---- ICMP ------------------------------------------------------------- */

static void errors_that_nobody_believes(void **state)
{
    world *w = *state;
    uint8_t p[300], q[200];
    rmr_addr from = me;
    from.port = 9999;
    /* of no socket */
    size_t n = pkt_udp(q, &from, &you, "x", 1);
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 3, 3, 0, q, n));
    /* of a protocol that has none, too short, and no error that we know */
    n = pkt_icmp(q, &me, &you, 8, 0, 1, "x", 1);
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 3, 1, 0, q, n));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 3, 1, 0, q, 27));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 5, 1, 0, q, n));
    /* of a connection, but about what is not out */
    assert_int_equal(
        rmr_ns_tcp_connect(w->ns, w->now, &from, &you, w, &w->sock), RMR_OK);
    assert_true(take(w));
    uint32_t iss = rmr_load_be32(w->out + 24);
    n = pkt_tcp(q, &from, &you, PKT_SYN, iss + 1, 0);
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 3, 1, 0, q, n));
    /* an MTU above the one that is known */
    n = pkt_tcp(q, &from, &you, PKT_SYN, iss, 0);
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 3, 4, 1400, q, n));
    /* and what ends it is taken */
    uint64_t all = all_discards(w);
    n = pkt_icmp(p, &you, &me, 3, 3, 0, q, n);
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_int_equal(all_discards(w), all);
    assert_int_equal(pkt_stats(w->ns).sockets, 0);
}

static void messages_that_nobody_waits_for(void **state)
{
    world *w = *state;
    static const uint8_t big[1400];
    uint8_t p[1500];
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 0, 0, 1, "x", 1));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &far, 0, 0, 1, "x", 1));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you6, &me6, 129, 0, 1, "x", 1));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 13, 0, 1, "x", 1));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you6, &me6, 135, 0, 1, "x", 1));
    expect_icmp_dropped(w, p, pkt_icmp(p, &you, &me, 8, 0, 1, big, 1400));
}

/* ---- the others ------------------------------------------------------- */

static void a_packet_with_no_next_header(void **state)
{
    world *w = *state;
    uint8_t p[100] = {0};
    assert_int_equal(feed(w, p, pkt_ip(p, &you6, &me6, 59, 8)), RMR_OK);
    assert_false(take(w));
    assert_int_equal(pkt_stats(w->ns).discard_no_socket, 1);
    assert_int_equal(all_discards(w), 1);
}

static void ask(world *w, uint16_t port, int n)
{
    uint8_t p[200];
    rmr_addr from = you;
    from.port = port;
    for (int i = 0; i < n; i++)
        assert_int_equal(feed(w, p, pkt_udp(p, &from, &far, "x", 1)), RMR_OK);
}

static void datagrams_that_waited_in_vain(void **state)
{
    world *w = *state;
    ask(w, 1, 3); /* refused */
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_TIMEOUT),
                     RMR_OK);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 3);
    ask(w, 2, 2); /* never answered */
    w->now += 61 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_int_equal(pkt_stats(w->ns).flows, 0);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 5);
    ask(w, 3, 4); /* accepted, and gone for another before they were told */
    rmr_ns_flow first = w->flow;
    ask(w, 4, 1);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, first, w, &w->sock),
                     RMR_OK);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 9);
    assert_false(take(w));
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(all_discards(w), 9);
}

/* The one that came meanwhile has no socket any more. */
static void a_datagram_behind_the_one_that_closed_its_socket(void **state)
{
    world *w = *state;
    uint8_t p[200];
    ask(w, 1, 3);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    w->close_in_callback = true;
    rmr_addr from = you;
    from.port = 1;
    assert_int_equal(feed(w, p, pkt_udp(p, &from, &far, "x", 1)),
                     RMR_E_UNKNOWN);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 2);
    assert_int_equal(pkt_stats(w->ns).discard_no_socket, 1);
    assert_int_equal(all_discards(w), 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(segments_to_listeners_and_half_open_entries),
        T(segments_to_a_connection),
        T(segments_while_dialling),
        T(segments_to_requests_and_time_wait),
        T(errors_that_nobody_believes),
        T(messages_that_nobody_waits_for),
        T(a_packet_with_no_next_header),
        T(datagrams_that_waited_in_vain),
        T(a_datagram_behind_the_one_that_closed_its_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
