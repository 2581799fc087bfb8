/* UDP to foreign addresses, packet by packet: what waits, answers, bounds, and
 * the end of each flow. */
#include "forward_world.h"

/* ---- UDP -------------------------------------------------------------- */

static void datagrams_wait_for_the_answer_in_their_order(void **state)
{
    world *w = *state;
    char text[2] = "a";
    for (int i = 0; i < 20; i++, text[0]++)
        (void)fwd_udp(w, &client, &foreign, text);
    assert_int_equal(w->flows, 1);
    assert_int_equal(w->protocol, RMR_NS_UDP);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 4); /* 16 wait */
    assert_int_equal(w->dgrams, 0);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_int_equal(w->dgrams, 0); /* not within a submit call */
    assert_int_equal(fwd_udp(w, &client, &foreign, "z"), RMR_OK);
    assert_int_equal(w->dgrams, 17);
    assert_int_equal(w->data[0], 'z');
    assert_true(rmr_addr_eq(&w->from, &client));
    assert_true(rmr_addr_eq(&w->to, &foreign));
    assert_int_equal(pkt_stats(w->ns).udp_flows, 1);
    assert_int_equal(pkt_stats(w->ns).sockets, 0);
    rmr_addr other = client;
    other.port++;
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->sock, NULL, &other,
                                     rmr_bytes_str("x")),
                     RMR_E_INVAL);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->sock, &own, NULL, rmr_bytes_str("x")),
        RMR_E_UNREACHABLE);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->sock, NULL, NULL, rmr_bytes_str("x")),
        RMR_OK);
    assert_true(fwd_take(w));
    assert_memory_equal(w->out + 12, foreign.ip, 4);
    assert_int_equal(rmr_load_be16(w->out + 20), foreign.port);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_E_BADHANDLE);
    assert_false(fwd_take(w));
    w->accept_now = true; /* the backend turns out to be deaf */
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    fwd_expect_icmp(w, &foreign, &client, 3, 3);
    assert_int_equal(fwd_udp(w, &client6, &foreign6, "x"), RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    fwd_expect_icmp(w, &foreign6, &client6, 1, 4);
    fwd_expect_empty(w);
}

static void a_refused_datagram_is_quoted_as_it_came(void **state)
{
    world *w = *state;
    uint8_t p[200];
    size_t n = pkt_udp(p, &client, &foreign, "question", 8);
    assert_int_equal(fwd_feed(w, p, n), RMR_OK);
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED),
                     RMR_OK);
    fwd_expect_icmp(w, &foreign, &client, 3, 3);
    assert_int_equal(w->out_len, 28 + n);
    assert_memory_equal(w->out + 28, p, n);
    w->answer_now = RMR_E_UNREACHABLE;
    assert_int_equal(fwd_udp(w, &client6, &foreign6, "x"), RMR_OK);
    fwd_expect_icmp(w, &foreign6, &client6, 1, 3);
    w->answer_now = RMR_E_TIMEOUT;
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_OK);
    assert_false(fwd_take(w));
    fwd_expect_empty(w);
}

static void an_unanswered_datagram_is_forgotten_after_60_s(void **state)
{
    world *w = *state;
    rmr_time t0 = w->now;
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_OK);
    fwd_run_to(w, t0 + 60 * RMR_SEC - 1);
    assert_int_equal(w->gone, 0);
    fwd_run_to(w, t0 + 60 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    fwd_expect_empty(w);
}

static void bytes_that_wait_are_bounded_a_source(void **state)
{
    world *w = *state;
    static char text[2100];
    memset(text, 'x', 2000);
    rmr_addr c = client;
    for (uint16_t i = 0; i < 8; i++)
        for (int k = 0; k < 16; k++) {
            c.port = (uint16_t)(100 + i);
            (void)fwd_udp(w, &c, &foreign, text);
        }
    assert_int_equal(w->flows, 6); /* no room for the first of the others */
    assert_in_range(w->ns->waiting_bytes, 170000, 256 * 1024 / 3 * 2);
    c.ip[3] = 77; /* another client has the rest */
    for (int k = 0; k < 16; k++)
        assert_int_equal(fwd_udp(w, &c, &foreign, text), RMR_OK);
    fwd_run_to(w, w->now + 61 * RMR_SEC);
    fwd_expect_empty(w);
}

/* The longest idle of a source that has its quarter, or of all. */
static void udp_flows_are_bounded_and_the_longest_idle_makes_room(void **state)
{
    world *w = *state;
    rmr_addr c = client;
    w->accept_now = true;
    rmr_ns_sock first = {0};
    for (uint16_t i = 0; i < 3; i++) { /* a quarter of 8 is 2 */
        c.port = (uint16_t)(100 + i);
        w->now += RMR_SEC;
        assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
        if (i == 0)
            first = w->sock;
        if (i == 1) { /* the second is the longest idle then */
            w->now += RMR_SEC;
            c.port = 100;
            assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
        }
    }
    assert_int_equal(pkt_stats(w->ns).udp_flows, 2);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_FULL);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_OK);
    for (uint8_t i = 0; i < 10; i++) {
        c.ip[3] = (uint8_t)(100 + i);
        w->now += RMR_SEC;
        assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
    }
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    assert_int_equal(w->closed, 5);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_E_BADHANDLE);
    /* Those of port 53 count as all others, though they end sooner. */
    rmr_addr dns = foreign;
    dns.port = 53;
    for (uint8_t i = 0; i < 2; i++) {
        c.ip[3] = (uint8_t)(200 + i);
        assert_int_equal(fwd_udp(w, &c, &dns, "x"), RMR_OK);
        first = i == 0 ? w->sock : first;
        w->now += RMR_SEC;
    }
    for (uint8_t i = 0; i < 6; i++) {
        c.ip[3] = (uint8_t)(210 + i);
        assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
    }
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_OK);
    c.ip[3] = 220;
    assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_E_BADHANDLE);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    assert_int_equal(w->closed, 14);
    /* One that is to be told of its end is no socket any more. */
    w->accept_now = false;
    c.ip[3] = 221;
    assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_int_equal(w->closed, 14);
    assert_int_equal(pkt_stats(w->ns).sockets, 0);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    fwd_run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 23);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    fwd_expect_empty(w);
}

/* Three requests of one client, whose quarter is two flows. */
static void ask_three(world *w, rmr_ns_flow flow[3])
{
    rmr_addr c = client;
    for (uint16_t i = 0; i < 3; i++) {
        c.port = (uint16_t)(100 + i);
        assert_int_equal(fwd_udp(w, &c, &foreign, "x"), RMR_OK);
        flow[i] = w->flow;
    }
}

static void a_flow_may_make_room_while_it_is_told_of_a_datagram(void **state)
{
    world *w = *state;
    rmr_ns_flow flow[3];
    rmr_ns_sock s;
    ask_three(w, flow);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow[i], w, &s),
                         RMR_OK);
    w->accept_next = flow[2]; /* which ends the first, just being told */
    assert_false(fwd_take(w));
    assert_int_equal(w->dgrams, 3);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_FULL);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 2);
    fwd_run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 3);
    fwd_expect_empty(w);
}

static void a_flow_that_made_room_may_be_closed_before_it_is_told(void **state)
{
    world *w = *state;
    rmr_ns_flow flow[3];
    rmr_ns_sock s[3];
    ask_three(w, flow);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow[i], w, &s[i]),
                         RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, s[0]), RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, s[0]), RMR_E_BADHANDLE);
    assert_false(fwd_take(w));
    assert_int_equal(w->closed, 0);
    assert_int_equal(w->dgrams, 2);
    /* Two end at once, and the first to hear of it closes the other. */
    w->close_next = s[2];
    fwd_run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 1);
    fwd_expect_empty(w);
    /* An abort has nobody to tell any more. */
    ask_three(w, flow);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow[i], w, &s[i]),
                         RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, s[0]), RMR_OK);
    assert_false(fwd_take(w));
    assert_int_equal(w->closed, 1);
}

/* As a listener does; it answers from the address that was asked. */
static void a_bound_socket_serves_a_foreign_address(void **state)
{
    world *w = *state;
    const rmr_addr *pairs[2][2] = {{&client, &foreign}, {&client6, &foreign6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *c = pairs[i][0], *f = pairs[i][1];
        rmr_addr other = *f, from[2] = {*f, *f};
        rmr_ns_sock s, all;
        other.ip[3]++;
        memset(&from[0], 0, sizeof from[0]);
        assert_int_equal(rmr_ns_udp_bind(w->ns, f, w, &s), RMR_OK);
        assert_int_equal(fwd_udp(w, c, f, "x"), RMR_OK);
        assert_int_equal(w->dgrams, i + 1);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(rmr_ns_udp_send(w->ns, w->now, s, &from[k], c,
                                             rmr_bytes_str("y")),
                             RMR_OK);
            assert_true(fwd_take(w));
            size_t n = ns_ip_len(f->family), at = n == 4 ? 12 : 8;
            assert_memory_equal(w->out + at, f->ip, n);
        }
        assert_int_equal(
            rmr_ns_udp_send(w->ns, w->now, s, &other, c, rmr_bytes_str("y")),
            RMR_E_UNREACHABLE);
        assert_int_equal(rmr_ns_udp_bind(w->ns, NULL, w, &all), RMR_OK);
        memset(other.ip, 0, sizeof other.ip);
        assert_int_equal(
            rmr_ns_udp_send(w->ns, w->now, all, &other, c, rmr_bytes_str("y")),
            RMR_E_UNREACHABLE);
        w->ns->cfg.forward = false;
        assert_int_equal(
            rmr_ns_udp_send(w->ns, w->now, s, NULL, c, rmr_bytes_str("y")),
            RMR_E_UNREACHABLE);
        w->ns->cfg.forward = true;
    }
    assert_int_equal(w->flows, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fwd_setup, fwd_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(datagrams_wait_for_the_answer_in_their_order),
        T(a_refused_datagram_is_quoted_as_it_came),
        T(an_unanswered_datagram_is_forgotten_after_60_s),
        T(bytes_that_wait_are_bounded_a_source),
        T(udp_flows_are_bounded_and_the_longest_idle_makes_room),
        T(a_flow_may_make_room_while_it_is_told_of_a_datagram),
        T(a_flow_that_made_room_may_be_closed_before_it_is_told),
        T(a_bound_socket_serves_a_foreign_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
