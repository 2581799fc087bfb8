/* Flows to foreign addresses, packet by packet: requests, answers, bounds, the
 * end of each; and what never becomes a flow. */
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
    rmr_ns_flow flow; /* the last */
    uint8_t protocol;
    rmr_addr from, to;
    int flows, gone, connected, closed, dgrams, echoes;
    rmr_err why;
    rmr_err answer_now; /* refuse inside on_flow, unless OK */
    bool accept_now;
    rmr_ns_flow accept_next; /* inside on_datagram, unless 0 */
    rmr_ns_sock close_next;  /* inside on_closed, unless 0 */
    rmr_ns_sock sock;
    uint8_t data[256];
    size_t len;
    uint8_t out[1280];
    size_t out_len;
} world;

static rmr_addr client, foreign, own, client6, foreign6;

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    world *w = user;
    w->flows++;
    w->flow = flow;
    w->protocol = protocol;
    w->from = *from;
    w->to = *to;
    assert_int_equal(rmr_ns_flow_set_tag(w->ns, flow, w), RMR_OK);
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_E_REENTRANT);
    if (w->answer_now)
        assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, flow, w->answer_now),
                         RMR_OK);
    if (w->accept_now)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow, w, &w->sock),
                         RMR_OK);
}

static void on_flow_gone(void *user, void *tag, rmr_ns_flow flow)
{
    world *w = user;
    rmr_ns_sock s;
    assert_ptr_equal(tag, w);
    w->gone++;
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow, w, &s),
                     RMR_E_BADHANDLE);
}

static void on_connected(void *user, void *tag, rmr_ns_sock s)
{
    world *w = user;
    assert_ptr_equal(tag, w);
    assert_int_equal(s.id, w->sock.id);
    w->connected++;
}

static void on_closed(void *user, void *tag, rmr_ns_sock s, rmr_err why)
{
    world *w = user;
    (void)tag;
    (void)s;
    w->closed++;
    w->why = why;
    if (w->close_next.id)
        assert_int_equal(rmr_ns_close(w->ns, w->now, w->close_next), RMR_OK);
    w->close_next.id = 0;
}

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    world *w = user;
    (void)tag;
    (void)s;
    w->dgrams++;
    w->from = *from;
    w->to = *to;
    w->len = data.len;
    memcpy(w->data, data.ptr, data.len < 256 ? data.len : 256);
    rmr_ns_flow flow = w->accept_next;
    w->accept_next.id = 0;
    if (flow.id)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow, w, &w->sock),
                         RMR_OK);
}

static void on_echo(void *user, const rmr_addr *from, const rmr_addr *to,
                    uint16_t id, uint16_t seq, rmr_bytes payload)
{
    world *w = user;
    w->echoes++;
    w->from = *from;
    w->to = *to;
    assert_int_equal(id, 0x1234);
    assert_int_equal(seq, 0x5678);
    w->len = payload.len;
}

static void start(world *w, uint32_t max_flows, uint32_t max_udp_flows)
{
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 70 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_flow = on_flow;
    cb.on_flow_gone = on_flow_gone;
    cb.on_connected = on_connected;
    cb.on_closed = on_closed;
    cb.on_datagram = on_datagram;
    cb.on_echo = on_echo;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.forward = true;
    cfg.max_flows = max_flows;
    cfg.max_udp_flows = max_udp_flows;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &own), RMR_OK);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    client = rmr_addr_v4(100, 64, 0, 2, 40000);
    foreign = rmr_addr_v4(10, 1, 2, 3, 443);
    own = rmr_addr_v4(100, 100, 100, 100, 81);
    (void)rmr_addr_parse(rmr_bytes_str("[fd7a::2]:40000"), &client6);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::9]:443"), &foreign6);
    start(w, 12, 8);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    rmr_ns_free(w->ns);
    assert_int_equal(w->alloc.live_blocks, 0);
    free(w);
    return 0;
}

static rmr_err feed(world *w, const uint8_t *p, size_t n)
{
    return pkt_feed(w->ns, w->now, p, n);
}

static rmr_err tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                   uint8_t flags, uint32_t seq, uint32_t ack)
{
    uint8_t p[200];
    return feed(w, p, pkt_tcp(p, from, to, flags, seq, ack));
}

static rmr_err udp(world *w, const rmr_addr *from, const rmr_addr *to,
                   const char *text)
{
    uint8_t p[2200];
    return feed(w, p, pkt_udp(p, from, to, text, strlen(text)));
}

static bool take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return w->out_len != 0;
}

/* A segment for the client, from the address that it asked. */
static void expect_tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                       uint8_t flags, uint32_t ack)
{
    assert_true(take(w));
    size_t hl = ns_ip_header_len(to->family), n = ns_ip_len(to->family);
    size_t at = to->family == RMR_AF_INET ? 12 : 8;
    assert_memory_equal(w->out + at, from->ip, n);
    assert_memory_equal(w->out + at + n, to->ip, n);
    const uint8_t *h = w->out + hl;
    assert_int_equal(rmr_load_be16(h), from->port);
    assert_int_equal(rmr_load_be16(h + 2), to->port);
    assert_int_equal(h[13], flags);
    assert_int_equal(rmr_load_be32(h + 8), ack);
}

/* An error about a packet that came from `about`; the quote names its ports. */
static void expect_icmp(world *w, const rmr_addr *from, const rmr_addr *about,
                        uint8_t type, uint8_t code)
{
    assert_true(take(w));
    size_t hl = ns_ip_header_len(from->family), n = ns_ip_len(from->family);
    size_t at = from->family == RMR_AF_INET ? 12 : 8;
    const uint8_t *h = w->out + hl, *q = h + 8;
    assert_memory_equal(w->out + at, from->ip, n);
    assert_int_equal(h[0], type);
    assert_int_equal(h[1], code);
    assert_memory_equal(q + at, about->ip, n);
    assert_memory_equal(q + at + n, from->ip, n);
    assert_int_equal(rmr_load_be16(q + hl), about->port);
    assert_int_equal(rmr_load_be16(q + hl + 2), from->port);
}

/* To `at`, by the deadlines that are told. */
static void run_to(world *w, rmr_time at)
{
    for (;;) {
        while (take(w))
            ;
        rmr_time d = rmr_ns_next_deadline(w->ns);
        if (d > at)
            break;
        if (d > w->now)
            w->now = d;
        assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
        assert_true(rmr_ns_next_deadline(w->ns) > w->now);
    }
    w->now = at;
}

static void expect_empty(world *w)
{
    rmr_ns_stats s = pkt_stats(w->ns);
    assert_int_equal(s.flows, 0);
    assert_int_equal(s.udp_flows, 0);
    assert_int_equal(s.sockets, 0);
    assert_int_equal(w->ns->flows.used, 0);
    assert_int_equal(w->ns->sources.used, 0);
    assert_int_equal(w->ns->waiting_bytes, 0);
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
}

/* ---- TCP -------------------------------------------------------------- */

static void a_syn_is_one_request_and_answered_when_accepted(void **state)
{
    world *w = *state;
    const rmr_addr *pairs[2][2] = {{&client, &foreign}, {&client6, &foreign6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *c = pairs[i][0], *f = pairs[i][1];
        /* ECE and CWR: a plain SYN */
        assert_int_equal(tcp(w, c, f, PKT_SYN | 0xc0, 1000, 0), RMR_OK);
        assert_int_equal(w->flows, i + 1);
        assert_int_equal(w->protocol, RMR_NS_TCP);
        assert_true(rmr_addr_eq(&w->from, c));
        assert_true(rmr_addr_eq(&w->to, f));
        w->now += RMR_SEC;
        assert_int_equal(tcp(w, c, f, PKT_SYN, 1000, 0), RMR_OK);
        assert_int_equal(w->flows, i + 1);
        assert_false(take(w));
        assert_int_equal(pkt_stats(w->ns).flows, 1);
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, NULL),
                         RMR_E_INVAL);
        assert_int_equal(
            rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock), RMR_OK);
        assert_int_equal(pkt_stats(w->ns).flows, 0);
        expect_tcp(w, f, c, PKT_SYN | PKT_ACK, 1001);
        const uint8_t *h = w->out + ns_ip_header_len(c->family);
        uint32_t iss = rmr_load_be32(h + 4);
        assert_int_equal(h[12] >> 4, 10); /* all options: they were offered */
        assert_int_equal(tcp(w, c, f, PKT_ACK, 1001, iss + 1), RMR_OK);
        assert_int_equal(w->connected, i + 1);
        rmr_ns_tcp_info info;
        assert_int_equal(rmr_ns_tcp_get_info(w->ns, w->sock, &info), RMR_OK);
        assert_true(rmr_addr_eq(&info.local, f));
        assert_true(rmr_addr_eq(&info.remote, c));
        assert_int_equal(info.mss, 1200 - 12);
        assert_int_equal(info.snd_wnd_bytes, 60000u << 5);
        assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
        expect_tcp(w, f, c, PKT_RST | PKT_ACK, 1001);
        expect_empty(w);
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
        assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
        if (!now)
            assert_int_equal(
                rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED),
                RMR_OK);
        expect_tcp(w, &foreign, &client, PKT_RST | PKT_ACK, 8);
        expect_empty(w);
        for (int i = 0; i < 2; i++) {
            w->answer_now = cases[i].why;
            assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
            expect_icmp(w, &foreign, &client, cases[i].v4[0], cases[i].v4[1]);
            assert_int_equal(tcp(w, &client6, &foreign6, PKT_SYN, 7, 0),
                             RMR_OK);
            expect_icmp(w, &foreign6, &client6, cases[i].v6[0], cases[i].v6[1]);
        }
        w->answer_now = RMR_E_TIMEOUT; /* silence */
        assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
        assert_false(take(w));
        expect_empty(w);
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
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    (void)tcp(w, &client, &foreign, PKT_RST, 70, 0); /* another number */
    assert_int_equal(w->gone, 0);
    (void)tcp(w, &client, &foreign, PKT_ACK, 8, 99); /* of what was not sent */
    expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)tcp(w, &client, &foreign, PKT_RST, 8, 0);
    assert_int_equal(w->gone, 1);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &s),
                     RMR_E_BADHANDLE);
    assert_false(take(w));
    expect_empty(w);
}

static void a_client_that_stays_silent_is_gone(void **state)
{
    world *w = *state;
    rmr_time t0 = w->now;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    run_to(w, t0 + 9 * RMR_SEC - 1);
    assert_int_equal(w->gone, 0);
    run_to(w, t0 + 9 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    expect_empty(w);
    /* With repeats: three of the next interval after the last ... */
    t0 = w->now;
    static const int at[] = {0, 1, 3, 7};
    for (int i = 0; i < 4; i++) {
        run_to(w, t0 + (rmr_dur)at[i] * RMR_SEC);
        assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    }
    assert_int_equal(w->flows, 2);
    run_to(w, t0 + 31 * RMR_SEC - 1);
    assert_int_equal(w->gone, 1);
    run_to(w, t0 + 31 * RMR_SEC);
    assert_int_equal(w->gone, 2);
    /* ... but never longer than 60 s. */
    t0 = w->now;
    for (int i = 0; i < 60; i++) {
        run_to(w, t0 + (rmr_dur)i * RMR_SEC);
        assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    }
    run_to(w, t0 + 60 * RMR_SEC);
    assert_int_equal(w->flows, 3);
    assert_int_equal(w->gone, 3);
    expect_empty(w);
}

static void a_new_attempt_from_the_same_port_takes_its_place(void **state)
{
    world *w = *state;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 9000, 0), RMR_OK);
    assert_int_equal(w->flows, 1);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 9001);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
}

static void an_accepted_client_that_never_answers_ends(void **state)
{
    world *w = *state;
    w->accept_now = true;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    run_to(w, w->now + 200 * RMR_SEC);
    assert_int_equal(w->connected, 0);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    (void)tcp(w, &client, &foreign, PKT_RST, 8, 0);
    assert_int_equal(w->closed, 2);
    assert_int_equal(w->why, RMR_E_REFUSED);
    expect_empty(w);
}

static void an_accepted_flow_sends_at_once_and_is_kept_alive(void **state)
{
    world *w = *state;
    size_t taken;
    w->accept_now = true;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    uint32_t iss = rmr_load_be32(w->out + 24);
    assert_int_equal(tcp(w, &client, &foreign, PKT_ACK, 8, iss + 1), RMR_OK);
    for (int i = 0; i < 2; i++) { /* Nagle would hold the second one back */
        assert_int_equal(
            rmr_ns_tcp_send(w->ns, w->now, w->sock, rmr_bytes_str("x"), &taken),
            RMR_OK);
        assert_true(take(w));
    }
    assert_int_equal(tcp(w, &client, &foreign, PKT_ACK, 8, iss + 3), RMR_OK);
    run_to(w, w->now + 300 * RMR_SEC - 1);
    assert_int_equal(w->closed, 0);
    w->now += 1;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_true(take(w)); /* the first probe */
    run_to(w, w->now + 151 * RMR_SEC);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    expect_empty(w);
}

/* One of `client` that it closed last; returns our first number. */
static uint32_t to_time_wait(world *w)
{
    w->accept_now = true;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 8);
    uint32_t iss = rmr_load_be32(w->out + 24);
    assert_int_equal(tcp(w, &client, &foreign, PKT_ACK, 8, iss + 1), RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_OK);
    expect_tcp(w, &foreign, &client, PKT_FIN | PKT_ACK, 8);
    (void)tcp(w, &client, &foreign, PKT_FIN | PKT_ACK, 8, iss + 2);
    expect_tcp(w, &foreign, &client, PKT_ACK, 9);
    assert_int_equal(pkt_stats(w->ns).time_wait, 1);
    return iss;
}

static void a_flow_behind_time_wait_has_higher_numbers(void **state)
{
    world *w = *state;
    uint32_t iss = to_time_wait(w);
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 500, 0), RMR_OK);
    assert_int_equal(w->flows, 2);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 501);
    assert_true((int32_t)(rmr_load_be32(w->out + 24) - (iss + 65535)) > 0);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    assert_true(take(w));
    expect_empty(w);
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
        assert_int_equal(tcp(w, &c, &foreign, PKT_SYN, 7, 0), RMR_OK);
        first = i ? first : w->flow;
    }
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 500, 0), RMR_E_FULL);
    assert_int_equal(pkt_stats(w->ns).time_wait, 1);
    /* It still answers what is left of the old connection. */
    (void)tcp(w, &client, &foreign, PKT_FIN | PKT_ACK, 8, iss + 2);
    expect_tcp(w, &foreign, &client, PKT_ACK, 9);
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, first, RMR_E_TIMEOUT),
                     RMR_OK);
    w->accept_now = true;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 500, 0), RMR_OK);
    assert_int_equal(pkt_stats(w->ns).time_wait, 0);
    expect_tcp(w, &foreign, &client, PKT_SYN | PKT_ACK, 501);
    assert_true((int32_t)(rmr_load_be32(w->out + 24) - (iss + 65535)) > 0);
}

static void requests_are_bounded_in_all_and_a_source(void **state)
{
    world *w = *state;
    rmr_addr c = client, d = client;
    d.ip[3] = 77;
    for (uint16_t i = 0; i < 20; i++) {
        c.port = d.port = (uint16_t)(1000 + i);
        (void)tcp(w, &c, &foreign, PKT_SYN, 7, 0);
    }
    assert_int_equal(w->flows, 8); /* two thirds of 12 */
    assert_int_equal(pkt_stats(w->ns).discard_flows, 12);
    for (uint16_t i = 0; i < 20; i++) {
        d.port = (uint16_t)(1000 + i);
        (void)tcp(w, &d, &foreign, PKT_SYN, 7, 0);
    }
    assert_int_equal(w->flows, 12);
    assert_int_equal(pkt_stats(w->ns).flows, 12);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 28);
    assert_false(take(w));
    run_to(w, w->now + 61 * RMR_SEC);
    assert_int_equal(w->gone, 12);
    expect_empty(w);
}

static void own_addresses_never_become_flows(void **state)
{
    world *w = *state;
    rmr_addr any;
    rmr_ns_sock l;
    assert_int_equal(tcp(w, &client, &own, PKT_SYN, 7, 0), RMR_E_UNKNOWN);
    expect_tcp(w, &own, &client, PKT_RST | PKT_ACK, 8);
    assert_int_equal(udp(w, &client, &own, "x"), RMR_E_UNKNOWN);
    expect_icmp(w, &own, &client, 3, 3);
    assert_int_equal(w->flows, 0);
    /* And those of any address serve own ones alone. */
    memset(&any, 0, sizeof any);
    any.port = foreign.port;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &any, NULL, &l), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(w->ns, &any, NULL, &l), RMR_OK);
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_OK);
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_OK);
    assert_int_equal(w->flows, 2);
    /* An exact one takes its address from the flows. */
    rmr_addr at = foreign;
    at.port = 80;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &at, NULL, &l), RMR_OK);
    assert_int_equal(tcp(w, &client, &at, PKT_SYN, 7, 0), RMR_OK);
    expect_tcp(w, &at, &client, PKT_SYN | PKT_ACK, 8);
    assert_int_equal(w->flows, 2);
}

static void other_segments_to_foreign_addresses_are_reset(void **state)
{
    world *w = *state;
    assert_int_equal(tcp(w, &client, &foreign, PKT_ACK, 7, 99), RMR_E_UNKNOWN);
    expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)tcp(w, &client, &foreign, PKT_SYN | PKT_ACK, 7, 99);
    expect_tcp(w, &foreign, &client, PKT_RST, 0);
    (void)tcp(w, &client, &foreign, PKT_SYN | PKT_FIN, 7, 0);
    (void)take(w);
    (void)tcp(w, &client, &foreign, PKT_RST, 7, 0);
    assert_false(take(w));
    assert_int_equal(w->flows, 0);
    /* No flow goes to where no host is, nor from a host to itself. */
    static const uint8_t nowhere[4][4] = {
        {224, 0, 0, 1}, {127, 0, 0, 1}, {0, 0, 0, 0}, {255, 255, 255, 255}};
    for (int i = 0; i < 4; i++) {
        rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(nowhere[i], 4), 443);
        assert_int_equal(tcp(w, &client, &to, PKT_SYN, 7, 0), RMR_E_UNKNOWN);
    }
    assert_int_equal(tcp(w, &foreign, &foreign, PKT_SYN, 7, 0),
                     RMR_E_MALFORMED);
    assert_int_equal(w->flows, 0);
    assert_false(take(w));
}

/* ---- UDP -------------------------------------------------------------- */

static void datagrams_wait_for_the_answer_in_their_order(void **state)
{
    world *w = *state;
    char text[2] = "a";
    for (int i = 0; i < 20; i++, text[0]++)
        (void)udp(w, &client, &foreign, text);
    assert_int_equal(w->flows, 1);
    assert_int_equal(w->protocol, RMR_NS_UDP);
    assert_int_equal(pkt_stats(w->ns).discard_flows, 4); /* 16 wait */
    assert_int_equal(w->dgrams, 0);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_int_equal(w->dgrams, 0); /* not within a submit call */
    assert_int_equal(udp(w, &client, &foreign, "z"), RMR_OK);
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
    assert_true(take(w));
    assert_memory_equal(w->out + 12, foreign.ip, 4);
    assert_int_equal(rmr_load_be16(w->out + 20), foreign.port);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->sock), RMR_E_BADHANDLE);
    assert_false(take(w));
    w->accept_now = true; /* the backend turns out to be deaf */
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    expect_icmp(w, &foreign, &client, 3, 3);
    assert_int_equal(udp(w, &client6, &foreign6, "x"), RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    expect_icmp(w, &foreign6, &client6, 1, 4);
    expect_empty(w);
}

static void a_refused_datagram_is_quoted_as_it_came(void **state)
{
    world *w = *state;
    uint8_t p[200];
    size_t n = pkt_udp(p, &client, &foreign, "question", 8);
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_int_equal(rmr_ns_flow_refuse(w->ns, w->now, w->flow, RMR_E_REFUSED),
                     RMR_OK);
    expect_icmp(w, &foreign, &client, 3, 3);
    assert_int_equal(w->out_len, 28 + n);
    assert_memory_equal(w->out + 28, p, n);
    w->answer_now = RMR_E_UNREACHABLE;
    assert_int_equal(udp(w, &client6, &foreign6, "x"), RMR_OK);
    expect_icmp(w, &foreign6, &client6, 1, 3);
    w->answer_now = RMR_E_TIMEOUT;
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_OK);
    assert_false(take(w));
    expect_empty(w);
}

static void an_unanswered_datagram_is_forgotten_after_60_s(void **state)
{
    world *w = *state;
    rmr_time t0 = w->now;
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_OK);
    run_to(w, t0 + 60 * RMR_SEC - 1);
    assert_int_equal(w->gone, 0);
    run_to(w, t0 + 60 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    expect_empty(w);
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
            (void)udp(w, &c, &foreign, text);
        }
    assert_int_equal(w->flows, 6); /* no room for the first of the others */
    assert_in_range(w->ns->waiting_bytes, 170000, 256 * 1024 / 3 * 2);
    c.ip[3] = 77; /* another client has the rest */
    for (int k = 0; k < 16; k++)
        assert_int_equal(udp(w, &c, &foreign, text), RMR_OK);
    run_to(w, w->now + 61 * RMR_SEC);
    expect_empty(w);
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
        assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
        if (i == 0)
            first = w->sock;
        if (i == 1) { /* the second is the longest idle then */
            w->now += RMR_SEC;
            c.port = 100;
            assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
        }
    }
    assert_int_equal(pkt_stats(w->ns).udp_flows, 2);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_FULL);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_OK);
    for (uint8_t i = 0; i < 10; i++) {
        c.ip[3] = (uint8_t)(100 + i);
        w->now += RMR_SEC;
        assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
    }
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    assert_int_equal(w->closed, 5);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_E_BADHANDLE);
    /* Those of port 53 count as all others, though they end sooner. */
    rmr_addr dns = foreign;
    dns.port = 53;
    for (uint8_t i = 0; i < 2; i++) {
        c.ip[3] = (uint8_t)(200 + i);
        assert_int_equal(udp(w, &c, &dns, "x"), RMR_OK);
        first = i == 0 ? w->sock : first;
        w->now += RMR_SEC;
    }
    for (uint8_t i = 0; i < 6; i++) {
        c.ip[3] = (uint8_t)(210 + i);
        assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
    }
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_OK);
    c.ip[3] = 220;
    assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_set_tos(w->ns, first, 0), RMR_E_BADHANDLE);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    assert_int_equal(w->closed, 14);
    /* One that is to be told of its end is no socket any more. */
    w->accept_now = false;
    c.ip[3] = 221;
    assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
    assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, w->flow, w, &w->sock),
                     RMR_OK);
    assert_int_equal(w->closed, 14);
    assert_int_equal(pkt_stats(w->ns).sockets, 0);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 8);
    run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 23);
    assert_int_equal(w->why, RMR_E_TIMEOUT);
    expect_empty(w);
}

/* Three requests of one client, whose quarter is two flows. */
static void ask_three(world *w, rmr_ns_flow flow[3])
{
    rmr_addr c = client;
    for (uint16_t i = 0; i < 3; i++) {
        c.port = (uint16_t)(100 + i);
        assert_int_equal(udp(w, &c, &foreign, "x"), RMR_OK);
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
    assert_false(take(w));
    assert_int_equal(w->dgrams, 3);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_FULL);
    assert_int_equal(pkt_stats(w->ns).udp_flows, 2);
    run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 3);
    expect_empty(w);
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
    assert_false(take(w));
    assert_int_equal(w->closed, 0);
    assert_int_equal(w->dgrams, 2);
    /* Two end at once, and the first to hear of it closes the other. */
    w->close_next = s[2];
    run_to(w, w->now + 121 * RMR_SEC);
    assert_int_equal(w->closed, 1);
    expect_empty(w);
    /* An abort has nobody to tell any more. */
    ask_three(w, flow);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmr_ns_flow_accept(w->ns, w->now, flow[i], w, &s[i]),
                         RMR_OK);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, s[0]), RMR_OK);
    assert_false(take(w));
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
        assert_int_equal(udp(w, c, f, "x"), RMR_OK);
        assert_int_equal(w->dgrams, i + 1);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(rmr_ns_udp_send(w->ns, w->now, s, &from[k], c,
                                             rmr_bytes_str("y")),
                             RMR_OK);
            assert_true(take(w));
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
        assert_int_equal(feed(w, p, n), RMR_OK);
        assert_int_equal(w->echoes, i + 1);
        assert_int_equal(w->len, 5);
        assert_true(rmr_addr_ip_eq(&w->from, c));
        assert_true(rmr_addr_ip_eq(&w->to, f));
        assert_false(take(w));
        assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, f, c, 0x1234, 0x5678,
                                           rmr_bytes_str("hello")),
                         RMR_OK);
        assert_true(take(w));
        uint8_t want[200];
        size_t m =
            pkt_icmp(want, f, c, v4 ? 0 : 129, 0, 0x12345678, "hello", 5);
        assert_int_equal(w->out_len, m);
        assert_memory_equal(w->out, want, m);
        /* A reply to a foreign address is nobody's. */
        n = pkt_icmp(p, c, f, v4 ? 0 : 129, 0, 0x12345678, "hello", 5);
        assert_int_equal(feed(w, p, n), RMR_OK);
        assert_false(take(w));
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
    assert_int_equal(feed(w, p, pkt_ip(p, &client, &foreign, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_int_equal(feed(w, p, pkt_ip(p, &client6, &foreign6, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_false(take(w));
    assert_int_equal(feed(w, p, pkt_ip(p, &client, &own, 132, 20)),
                     RMR_E_UNKNOWN);
    assert_true(take(w)); /* protocol unreachable: that is us */
    assert_int_equal(w->out[20], 3);
    assert_int_equal(w->out[21], 2);
}

static void without_forward_nothing_foreign_is_taken(void **state)
{
    world *w = *state;
    w->ns->cfg.forward = false;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_E_UNKNOWN);
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_E_UNKNOWN);
    assert_int_equal(pkt_stats(w->ns).discard_not_local, 2);
    assert_int_equal(rmr_ns_echo_reply(w->ns, w->now, &foreign, &client, 1, 1,
                                       rmr_bytes_str("")),
                     RMR_E_INVAL);
    w->ns->cfg.forward = true;
    w->ns->cb.on_flow = NULL;
    w->ns->cb.on_echo = NULL;
    assert_int_equal(tcp(w, &client, &foreign, PKT_SYN, 7, 0), RMR_E_UNKNOWN);
    expect_tcp(w, &foreign, &client, PKT_RST | PKT_ACK, 8);
    assert_int_equal(udp(w, &client, &foreign, "x"), RMR_E_UNKNOWN);
    uint8_t p[200];
    assert_int_equal(feed(w, p, pkt_icmp(p, &client, &foreign, 8, 0, 1, "", 0)),
                     RMR_E_UNKNOWN);
    assert_false(take(w));
    expect_empty(w);
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
        while (take(w))
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
        start(w, 12, 8);
        w->alloc.fail_at = w->alloc.calls + k;
        /* accept_now asserts success, so accept from outside alone */
        w->flows = w->gone = w->closed = 0;
        w->ns->cb.on_flow = on_flow;
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
                (void)take(w);
            }
        }
        bool failed = w->alloc.calls >= w->alloc.fail_at;
        w->alloc.fail_at = 0;
        run_to(w, w->now + 300 * RMR_SEC);
        expect_empty(w);
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
    start(w, 12, 8);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
        T(other_segments_to_foreign_addresses_are_reset),
        T(datagrams_wait_for_the_answer_in_their_order),
        T(a_refused_datagram_is_quoted_as_it_came),
        T(an_unanswered_datagram_is_forgotten_after_60_s),
        T(bytes_that_wait_are_bounded_a_source),
        T(udp_flows_are_bounded_and_the_longest_idle_makes_room),
        T(a_flow_may_make_room_while_it_is_told_of_a_datagram),
        T(a_flow_that_made_room_may_be_closed_before_it_is_told),
        T(a_bound_socket_serves_a_foreign_address),
        T(an_echo_to_a_foreign_address_is_the_hosts),
        T(other_protocols_to_foreign_addresses_are_dropped),
        T(without_forward_nothing_foreign_is_taken),
        T(no_failing_allocation_leaks_a_request),
        T(freeing_in_the_middle_leaks_nothing),
        T(a_failing_random_source_refuses_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
