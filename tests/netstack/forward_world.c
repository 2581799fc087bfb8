#include "forward_world.h"

rmr_addr client, foreign, own, client6, foreign6;

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

void fwd_start(world *w, uint32_t max_flows, uint32_t max_udp_flows)
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

int fwd_setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    client = rmr_addr_v4(100, 64, 0, 2, 40000);
    foreign = rmr_addr_v4(10, 1, 2, 3, 443);
    own = rmr_addr_v4(100, 100, 100, 100, 81);
    (void)rmr_addr_parse(rmr_bytes_str("[fd7a::2]:40000"), &client6);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::9]:443"), &foreign6);
    fwd_start(w, 12, 8);
    *state = w;
    return 0;
}

int fwd_teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

rmr_err fwd_feed(world *w, const uint8_t *p, size_t n)
{
    return pkt_feed(w->ns, w->now, p, n);
}

rmr_err fwd_tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                uint8_t flags, uint32_t seq, uint32_t ack)
{
    uint8_t p[200];
    return fwd_feed(w, p, pkt_tcp(p, from, to, flags, seq, ack));
}

rmr_err fwd_udp(world *w, const rmr_addr *from, const rmr_addr *to,
                const char *text)
{
    uint8_t p[2200];
    return fwd_feed(w, p, pkt_udp(p, from, to, text, strlen(text)));
}

bool fwd_take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return w->out_len != 0;
}

/* A segment for the client, from the address that it asked. */
void fwd_expect_tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                    uint8_t flags, uint32_t ack)
{
    assert_true(fwd_take(w));
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
void fwd_expect_icmp(world *w, const rmr_addr *from, const rmr_addr *about,
                     uint8_t type, uint8_t code)
{
    assert_true(fwd_take(w));
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
void fwd_run_to(world *w, rmr_time at)
{
    for (;;) {
        while (fwd_take(w))
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

void fwd_expect_empty(world *w)
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
