/* TCP to foreign addresses, packet by packet: requests, answers, bounds, the end
 * of each; echo; and what never becomes a flow. */
#include "forward_world.h"

/* ---- TCP -------------------------------------------------------------- */

static void a_syn_is_one_request_and_answered_when_accepted(void **state)
{
    world *w = *state;
    const rmr_addr *pairs[2][2] = {{&client, &foreign}, {&client6, &foreign6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *c = pairs[i][0], *f = pairs[i][1];
        /* ECE and CWR: a plain SYN */
        assert_int_equal(fwd_tcp(w, c, f, PKT_SYN | 0xc0, 1000, 0), RMR_OK);
        assert_int_equal(w->flows, i + 1);
        assert_int_equal(w->protocol, RMR_NS_TCP);
        assert_true(rmr_addr_eq(&w->from, c));
        assert_true(rmr_addr_eq(&w->to, f));
        w->now += RMR_SEC;
        assert_int_equal(fwd_tcp(w, c, f, PKT_SYN, 1000, 0), RMR_OK);
        assert_int_equal(w->flows, i + 1);
        assert_false(fwd_take(w));
        assert_int_equal(pkt_stats(w->ns).flows, 1);
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, NULL),
                         RMR_E_INVAL);
        assert_int_equal(
            rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock), RMR_OK);
        assert_int_equal(pkt_stats(w->ns).flows, 0);
        fwd_expect_tcp(w, f, c, PKT_SYN | PKT_ACK, 1001);
        const uint8_t *h = w->out + ns_ip_header_len(c->family);
        uint32_t iss = rmr_load_be32(h + 4);
        assert_int_equal(h[12] >> 4, 10); /* all options: they were offered */
        assert_int_equal(fwd_tcp(w, c, f, PKT_ACK, 1001, iss + 1), RMR_OK);
        assert_int_equal(w->connected, i + 1);
        rmr_ns_tcp_info info;
        assert_int_equal(rmr_ns_tcp_get_info(w->ns, w->sock, &info), RMR_OK);
        assert_true(rmr_addr_eq(&info.local, f));
        assert_true(rmr_addr_eq(&info.remote, c));
        assert_int_equal(info.mss, 1200 - 12);
        assert_int_equal(info.snd_wnd_bytes, 60000u << 5);
        assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
        fwd_expect_tcp(w, f, c, PKT_RST | PKT_ACK, 1001);
        fwd_expect_empty(w);
    }
}

static void a_refusal_says_why(void **state)
{
    static const struct {
        rmr_err why;
        uint8_t v4[2], v6[2];
    } cases[] = {{RMR_E_UNREACHABLE, {3, 1}, {1, 3}},
                 {RMR_E_DENIED, {3, 13}, {1, 1}}};
    world *w = *state;
    for (int now = 0; now < 2; now++) {
        w->answer_now = now ? RMR_E_REFUSED : RMR_OK;
        assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
        if (!now)
            assert_int_equal(
                rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED),
                RMR_OK);
        fwd_expect_tcp(w, &foreign, &client, PKT_RST | PKT_ACK, 8);
        fwd_expect_empty(w);
        for (int i = 0; i < 2; i++) {
            w->answer_now = cases[i].why;
            assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0),
                             RMR_OK);
            fwd_expect_icmp(w, &foreign, &client, cases[i].v4[0],
                            cases[i].v4[1]);
            assert_int_equal(fwd_tcp(w, &client6, &foreign6, PKT_SYN, 7, 0),
                             RMR_OK);
            fwd_expect_icmp(w, &foreign6, &client6, cases[i].v6[0],
                            cases[i].v6[1]);
        }
        w->answer_now = RMR_E_TIMEOUT; /* silence */
        assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
        assert_false(fwd_take(w));
        fwd_expect_empty(w);
    }
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_flow_set_tag(w->ns, w->flow, NULL),
                     RMR_E_BADHANDLE);
    assert_int_equal(w->gone, 0);
}

static void a_reset_cancels_a_request(void **state)
{
    world *w = *state;
    rmr_ns_sock s;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    (void)fwd_tcp(w, &client, &foreign, PKT_RST, 70, 0); /* another number */
    assert_int_equal(w->gone, 0);
    (void)fwd_tcp(w, &client, &foreign, PKT_ACK, 8,
                  99); /* of what was not sent */
    fwd_expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)fwd_tcp(w, &client, &foreign, PKT_RST, 8, 0);
    assert_int_equal(w->gone, 1);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &s),
                     RMR_E_BADHANDLE);
    assert_false(fwd_take(w));
    fwd_expect_empty(w);
}

static void a_client_that_stays_silent_is_gone(void **state)
{
    world *w = *state;
    rmr_time t0 = w->now;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    fwd_run_to(w, t0 + 9 * RMR_SEC - 1);
    assert_int_equal(w->gone, 0);
    fwd_run_to(w, t0 + 9 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    fwd_expect_empty(w);
    /* With repeats: three of the next interval after the last ... */
    t0 = w->now;
    static const int at[] = {0, 1, 3, 7};
    for (int i = 0; i < 4; i++) {
        fwd_run_to(w, t0 + (rmr_dur)at[i] * RMR_SEC);
        assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    }
    assert_int_equal(w->flows, 2);
    fwd_run_to(w, t0 + 31 * RMR_SEC - 1);
    assert_int_equal(w->gone, 1);
    fwd_run_to(w, t0 + 31 * RMR_SEC);
    assert_int_equal(w->gone, 2);
    /* ... but never longer than 60 s. */
    t0 = w->now;
    for (int i = 0; i < 60; i++) {
        fwd_run_to(w, t0 + (rmr_dur)i * RMR_SEC);
        assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    }
    fwd_run_to(w, t0 + 60 * RMR_SEC);
    assert_int_equal(w->flows, 3);
    assert_int_equal(w->gone, 3);
    fwd_expect_empty(w);
}

static void a_new_attempt_from_the_same_port_takes_its_place(void **state)
{
    world *w = *state;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 9000, 0), RMR_OK);
    assert_int_equal(w->flows, 1);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 9001);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
}

static void an_accepted_client_that_never_answers_ends(void **state)
{
    world *w = *state;
    w->accept_now = true;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    fwd_run_to(w, w->now + 200 * RMR_SEC);
    assert_int_equal(w->connected, 0);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    (void)fwd_tcp(w, &client, &foreign, PKT_RST, 8, 0);
    assert_int_equal(w->closed, 2);
    assert_int_equal(w->why, RMR_E_REFUSED);
    fwd_expect_empty(w);
}

static void an_accepted_flow_sends_at_once_and_is_kept_alive(void **state)
{
    world *w = *state;
    size_t taken;
    w->accept_now = true;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    uint32_t iss = rmr_load_be32(w->out + 24);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_ACK, 8, iss + 1),
                     RMR_OK);
    for (int i = 0; i < 2; i++) { /* Nagle would hold the second one back */
        assert_int_equal(
            rmr_ns_tcp_send(w->ns, w->now, w->sock, rmr_bytes_str("x"), &taken),
            RMR_OK);
        assert_true(fwd_take(w));
    }
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_ACK, 8, iss + 3),
                     RMR_OK);
    fwd_run_to(w, w->now + 300 * RMR_SEC - 1);
    assert_int_equal(w->closed, 0);
    w->now += 1;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_true(fwd_take(w)); /* the first probe */
    fwd_run_to(w, w->now + 151 * RMR_SEC);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    fwd_expect_empty(w);
}

/* One of `client` that it closed last; returns our first number. */
static uint32_t to_time_wait(world *w)
{
    w->accept_now = true;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    uint32_t iss = rmr_load_be32(w->out + 24);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_ACK, 8, iss + 1),
                     RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_OK);
    fwd_expect_tcp(w, &foreign, &client, PKT_FIN | PKT_ACK, 8);
    (void)fwd_tcp(w, &client, &foreign, PKT_FIN | PKT_ACK, 8, iss + 2);
    fwd_expect_tcp(w, &foreign, &client, PKT_ACK, 9);
    assert_int_equal(pkt_stats(w->ns).time_wait, 1);
    return iss;
}

static void a_flow_behind_time_wait_has_higher_numbers(void **state)
{
    world *w = *state;
    uint32_t iss = to_time_wait(w);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 500, 0), RMR_OK);
    assert_int_equal(w->flows, 2);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 501);
    assert_true((int32_t)(rmr_load_be32(w->out + 24) - (iss + 65535)) > 0);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    assert_true(fwd_take(w));
    fwd_expect_empty(w);
}

static void a_request_without_room_leaves_time_wait_alone(void **state)
{
    world *w = *state;
    uint32_t iss = to_time_wait(w);
    rmr_addr c = client;
    rmr_ns_flow first = {0};
    w->accept_now = false;
    for (uint16_t i = 0; i < 8; i++) {
        c.port = (uint16_t)(1000 + i);
        assert_int_equal(fwd_tcp(w, &c, &foreign, PKT_SYN, 7, 0), RMR_OK);
        first = i ? first : w->flow;
    }
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 500, 0),
                     RMR_E_FULL);
    assert_int_equal(pkt_stats(w->ns).time_wait, 1);
    /* It still answers what is left of the old connection. */
    (void)fwd_tcp(w, &client, &foreign, PKT_FIN | PKT_ACK, 8, iss + 2);
    fwd_expect_tcp(w, &foreign, &client, PKT_ACK, 9);
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, first, RMR_E_TIMEOUT),
                     RMR_OK);
    w->accept_now = true;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 500, 0), RMR_OK);
    assert_int_equal(pkt_stats(w->ns).time_wait, 0);
    fwd_expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 501);
    assert_true((int32_t)(rmr_load_be32(w->out + 24) - (iss + 65535)) > 0);
}

static void requests_are_bounded_in_all_and_a_source(void **state)
{
    world *w = *state;
    rmr_addr c = client, d = client;
    d.ip[3] = 77;
    for (uint16_t i = 0; i < 20; i++) {
        c.port = d.port = (uint16_t)(1000 + i);
        (void)fwd_tcp(w, &c, &foreign, PKT_SYN, 7, 0);
    }
    assert_int_equal(w->flows, 8); /* two thirds of 12 */
    assert_int_equal(pkt_stats(w->ns).discard_flows, 12);
    for (uint16_t i = 0; i < 20; i++) {
        d.port = (uint16_t)(1000 + i);
        (void)fwd_tcp(w, &d, &foreign, PKT_SYN, 7, 0);
    }
    assert_int_equal(w->flows, 12);
    assert_int_equal(pkt_stats(w->ns).flows, 12);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 28);
    assert_false(fwd_take(w));
    fwd_run_to(w, w->now + 61 * RMR_SEC);
    assert_int_equal(w->gone, 12);
    fwd_expect_empty(w);
}

static void own_addresses_never_become_flows(void **state)
{
    world *w = *state;
    rmr_addr any;
    rmr_ns_sock l;
    assert_int_equal(fwd_tcp(w, &client, &own, PKT_SYN, 7, 0), RMR_E_UNKNOWN);
    fwd_expect_tcp(w, &own, &client, PKT_RST | PKT_ACK, 8);
    assert_int_equal(fwd_udp(w, &client, &own, "x"), RMR_E_UNKNOWN);
    fwd_expect_icmp(w, &own, &client, 3, 3);
    assert_int_equal(w->flows, 0);
    /* And those of any address serve own ones alone. */
    memset(&any, 0, sizeof any);
    any.port = foreign.port;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &any, NULL, &l), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(w->ns, &any, NULL, &l), RMR_OK);
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_OK);
    assert_int_equal(w->flows, 2);
    /* An exact one takes its address from the flows. */
    rmr_addr at = foreign;
    at.port = 80;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &at, NULL, &l), RMR_OK);
    assert_int_equal(fwd_tcp(w, &client, &at, PKT_SYN, 7, 0), RMR_OK);
    fwd_expect_tcp(w, &at, &client, PKT_SYN | PKT_ACK, 8);
    assert_int_equal(w->flows, 2);
}

/* Both ends of a connection are ours then. */
static void what_we_send_may_come_back_as_a_flow(void **state)
{
    world *w = *state;
    rmr_ns_sock taken;
    assert_int_equal(
        rmr_ns_tcp_connect(w->ns, w->now, NULL, &foreign, w, &w->sock), RMR_OK);
    assert_true(fwd_take(w));
    const rmr_bytes syn = rmr_bytes_of(w->out, w->out_len);
    assert_int_equal(rmr_ns_read_pkt(w->ns, w->now, syn), RMR_E_MALFORMED);
    assert_int_equal(w->flows, 0);
    assert_int_equal(rmr_ns_return_pkt(w->ns, w->now, syn), RMR_OK);
    assert_int_equal(w->flows, 1);
    assert_true(rmr_addr_ip_eq(&w->from, &own));
    assert_true(rmr_addr_eq(&w->to, &foreign));
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &taken),
                     RMR_OK);
    assert_true(fwd_take(w)); /* the SYN-ACK came in by itself; an ACK */
    assert_int_equal(w->connected, 1);
    w->sock = taken;
    assert_int_equal(
        rmr_ns_return_pkt(w->ns, w->now, rmr_bytes_of(w->out, w->out_len)),
        RMR_OK);
    assert_int_equal(w->connected, 2);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, taken), RMR_OK);
    assert_false(fwd_take(w)); /* the reset, too */
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_RESET);
    fwd_expect_empty(w);
}

static void other_segments_to_foreign_addresses_are_reset(void **state)
{
    world *w = *state;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_ACK, 7, 99),
                     RMR_E_UNKNOWN);
    fwd_expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)fwd_tcp(w, &client, &foreign, PKT_SYN | PKT_ACK, 7, 99);
    fwd_expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)fwd_tcp(w, &client, &foreign, PKT_SYN | PKT_FIN, 7, 0);
    (void)fwd_take(w);
    (void)fwd_tcp(w, &client, &foreign, PKT_RST, 7, 0);
    assert_false(fwd_take(w));
    assert_int_equal(w->flows, 0);
    /* No flow goes to where no host is, nor from a host to itself. */
    static const uint8_t nowhere[4][4] = {
        {224, 0, 0, 1}, {127, 0, 0, 1}, {0, 0, 0, 0}, {255, 255, 255, 255}};
    for (int i = 0; i < 4; i++) {
        rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(nowhere[i], 4), 443);
        assert_int_equal(fwd_tcp(w, &client, &to, PKT_SYN, 7, 0),
                         RMR_E_UNKNOWN);
    }
    assert_int_equal(fwd_tcp(w, &foreign, &foreign, PKT_SYN, 7, 0),
                     RMR_E_MALFORMED);
    assert_int_equal(w->flows, 0);
    assert_false(fwd_take(w));
}

/* ---- echo, and all the rest ------------------------------------------- */

static void an_echo_to_a_foreign_address_is_the_hosts(void **state)
{
    world *w = *state;
    uint8_t p[200];
    const rmr_addr *pairs[2][2] = {{&client, &foreign}, {&client6, &foreign6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *c = pairs[i][0], *f = pairs[i][1];
        bool v4 = i == 0;
        size_t n = pkt_icmp(p, c, f, v4 ? 8 : 128, 0, 0x12345678, "hello", 5);
        assert_int_equal(fwd_feed(w, p, n), RMR_OK);
        assert_int_equal(w->echoes, i + 1);
        assert_int_equal(w->len, 5);
        assert_true(rmr_addr_ip_eq(&w->from, c));
        assert_true(rmr_addr_ip_eq(&w->to, f));
        assert_false(fwd_take(w));
        assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, f, c, 0x1234, 0x5678,
                                           rmr_bytes_str("hello")),
                         RMR_OK);
        assert_true(fwd_take(w));
        uint8_t want[200];
        size_t m =
            pkt_icmp(want, f, c, v4 ? 0 : 129, 0, 0x12345678, "hello", 5);
        assert_int_equal(w->out_len, m);
        assert_memory_equal(w->out, want, m);
        /* A reply to a foreign address is nobody's. */
        n = pkt_icmp(p, c, f, v4 ? 0 : 129, 0, 0x12345678, "hello", 5);
        assert_int_equal(fwd_feed(w, p, n), RMR_OK);
        assert_false(fwd_take(w));
    }
    assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, &foreign6, &client, 1, 1,
                                       rmr_bytes_str("")),
                     RMR_E_INVAL);
    rmr_addr group = rmr_addr_v4(224, 0, 0, 1, 0);
    assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, &foreign, &group, 1, 1,
                                       rmr_bytes_str("")),
                     RMR_E_INVAL);
    static const uint8_t big[1300];
    assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, &foreign, &client, 1, 1,
                                       rmr_bytes_of(big, 1253)),
                     RMR_E_TOOBIG);
}

static void other_protocols_to_foreign_addresses_are_dropped(void **state)
{
    world *w = *state;
    uint8_t p[100] = {0};
    assert_int_equal(fwd_feed(w, p, pkt_ip(p, &client, &foreign, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_int_equal(fwd_feed(w, p, pkt_ip(p, &client6, &foreign6, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_false(fwd_take(w));
    assert_int_equal(fwd_feed(w, p, pkt_ip(p, &client, &own, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_true(fwd_take(w)); /* protocol unreachable: that is us */
    assert_int_equal(w->out[20], 3);
    assert_int_equal(w->out[21], 2);
}

static void without_forward_nothing_foreign_is_taken(void **state)
{
    world *w = *state;
    w->ns->cfg.forward = false;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0),
                     RMR_E_UNKNOWN);
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_E_UNKNOWN);
    assert_int_equal(pkt_stats(w->ns).discard_not_local, 2);
    assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, &foreign, &client, 1, 1,
                                       rmr_bytes_str("")),
                     RMR_E_INVAL);
    w->ns->cfg.forward = true;
    w->ns->cb.on_flow = NULL;
    w->ns->cb.on_echo = NULL;
    assert_int_equal(fwd_tcp(w, &client, &foreign, PKT_SYN, 7, 0),
                     RMR_E_UNKNOWN);
    fwd_expect_tcp(w, &foreign, &client, PKT_RST | PKT_ACK, 8);
    assert_int_equal(fwd_udp(w, &client, &foreign, "x"), RMR_E_UNKNOWN);
    uint8_t p[200];
    assert_int_equal(
        fwd_feed(w, p, pkt_icmp(p, &client, &foreign, 8, 0, 1, "", 0)),
        RMR_E_UNKNOWN);
    assert_false(fwd_take(w));
    fwd_expect_empty(w);
}

/* A program of all that can happen, with each allocation failing in turn. */
static void program(world *w)
{
    w->answer_now = RMR_OK;
    for (uint16_t i = 0; i < 3; i++) {
        rmr_addr c = client;
        c.port = (uint16_t)(100 + i);
        int before = w->flows;
        w->accept_now = i == 1;
        uint8_t p[200];
        size_t n = pkt_tcp(p, &c, &foreign, PKT_SYN, 7, 0);
        (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(p, n));
        if (w->flows > before && i == 0)
            (void)rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_UNREACHABLE);
        before = w->flows;
        w->accept_now = false;
        n = pkt_udp(p, &c, &foreign, "x", 1);
        (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(p, n));
        if (w->flows > before && i == 0)
            (void)rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED);
        if (w->flows > before && i == 1)
            (void)rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock);
        while (fwd_take(w))
            ;
    }
}

static void no_failing_allocation_leaks_a_request(void **state)
{
    world *w = *state;
    for (size_t k = 1;; k++) {
        rmr_ns_free(w->ns);
        assert_int_equal(w->alloc.live_blocks, 0);
        w->alloc.fail_at = 0;
        fwd_start(w, 12, 8);
        w->alloc.fail_at = w->alloc.calls + k;
        /* accept_now asserts success, so accept from outside alone */
        w->flows = w->gone = w->closed = 0;
        for (int round = 0; round < 2; round++) {
            rmr_addr c = client;
            uint8_t p[200];
            for (uint16_t i = 0; i < 4; i++) {
                int before = w->flows;
                c.port = (uint16_t)(100 + i);
                size_t n = i % 2 ? pkt_tcp(p, &c, &foreign, PKT_SYN, 7, 0)
                                 : pkt_udp(p, &c, &foreign, "x", 1);
                (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(p, n));
                if (w->flows == before)
                    continue;
                rmr_err e =
                    rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock);
                if (e) { /* it still waits */
                    assert_int_equal(e, RMR_E_NOMEM);
                    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, w->flow,
                                                        RMR_E_REFUSED),
                                     RMR_OK);
                }
                (void)fwd_take(w);
            }
        }
        bool failed = w->alloc.calls >= w->alloc.fail_at;
        w->alloc.fail_at = 0;
        fwd_run_to(w, w->now + 300 * RMR_SEC);
        fwd_expect_empty(w);
        if (!failed)
            break;
        assert_true(k < 100);
    }
}

static void freeing_in_the_middle_leaks_nothing(void **state)
{
    world *w = *state;
    program(w);
    assert_true(pkt_stats(w->ns).flows > 0 && pkt_stats(w->ns).udp_flows > 0);
    assert_true(pkt_stats(w->ns).sockets > 0);
    rmr_ns_free(w->ns);
    assert_int_equal(w->alloc.live_blocks, 0);
    fwd_start(w, 12, 8);
}

static void a_failing_random_source_refuses_the_stack(void **state)
{
    (void)state;
    for (size_t k = 1; k < 20; k++) {
        test_alloc a = {0};
        test_rng rng;
        rmr_ns *ns;
        rmr_ns_config cfg;
        test_rng_seed(&rng, 1);
        rng.fail_at = k;
        rmr_env env = test_env(&a, &rng, NULL);
        rmr_ns_config_init(&cfg, sizeof cfg);
        cfg.forward = true;
        rmr_err e = rmr_ns_new(&ns, &env, &cfg, 1);
        if (e == RMR_OK) {
            assert_true(k > 5);
            rmr_ns_free(ns);
            return;
        }
        assert_int_equal(e, RMR_E_RNG);
        assert_int_equal(a.live_blocks, 0);
    }
    fail_msg("it never works");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fwd_setup, fwd_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_syn_is_one_request_and_answered_when_accepted),
        T(a_refusal_says_why),
        T(a_reset_cancels_a_request),
        T(a_client_that_stays_silent_is_gone),
        T(a_new_attempt_from_the_same_port_takes_its_place),
        T(an_accepted_client_that_never_answers_ends),
        T(an_accepted_flow_sends_at_once_and_is_kept_alive),
        T(a_flow_behind_time_wait_has_higher_numbers),
        T(a_request_without_room_leaves_time_wait_alone),
        T(requests_are_bounded_in_all_and_a_source),
        T(own_addresses_never_become_flows),
        T(what_we_send_may_come_back_as_a_flow),
        T(other_segments_to_foreign_addresses_are_reset),
        T(an_echo_to_a_foreign_address_is_the_hosts),
        T(other_protocols_to_foreign_addresses_are_dropped),
        T(without_forward_nothing_foreign_is_taken),
        T(no_failing_allocation_leaks_a_request),
        T(freeing_in_the_middle_leaks_nothing),
        T(a_failing_random_source_refuses_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
