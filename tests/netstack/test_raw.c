/* Raw IP in and out. */
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
    int heard[4];
    rmr_ns_sock socks[4];
    rmr_ns_sock close_me; /* by the first that hears */
    uint8_t packet[4000];
    size_t len;
    uint8_t out[1280];
    size_t out_len;
} world;

static rmr_addr me, you, me6, you6;

static void on_raw(void *user, void *tag, rmr_ns_sock s, rmr_bytes p)
{
    world *w = user;
    int i = (int)(intptr_t)tag;
    assert_int_equal(w->socks[i].id, s.id);
    w->heard[i]++;
    assert_true(p.len <= sizeof w->packet);
    memcpy(w->packet, p.ptr, p.len);
    w->len = p.len;
    if (w->close_me.id)
        (void)rmr_ns_close(w->ns, w->now, w->close_me);
    w->close_me.id = 0;
}

static void start(world *w, bool forward)
{
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_raw = on_raw;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.forward = forward;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me6), RMR_OK);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    me = rmr_addr_v4(10, 0, 0, 1, 53);
    you = rmr_addr_v4(10, 0, 0, 2, 5000);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::1]:53"), &me6);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::2]:5000"), &you6);
    w->now = 70 * RMR_SEC;
    start(w, false);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

static void open_raw(world *w, int i, uint8_t family, uint8_t protocol)
{
    assert_int_equal(rmr_ns_raw_open(w->ns, family, protocol,
                                     (void *)(intptr_t)i, &w->socks[i]),
                     RMR_OK);
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

static void a_protocol_of_the_hosts_is_heard_whole(void **state)
{
    world *w = *state;
    uint8_t p[100] = {0};
    open_raw(w, 0, RMR_AF_INET, 89);
    open_raw(w, 1, RMR_AF_INET6, 89);
    size_t n = pkt_ip(p, &you, &me, 89, 30);
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_int_equal(w->heard[0], 1);
    assert_int_equal(w->heard[1], 0);
    assert_int_equal(w->len, n);
    assert_memory_equal(w->packet, p, n);
    n = pkt_ip(p, &you6, &me6, 89, 30);
    assert_int_equal(feed(w, p, n + 7), RMR_OK);
    assert_int_equal(w->heard[1], 1);
    assert_int_equal(w->len, n);
    assert_false(take(w)); /* nobody is told that it is unknown */
    assert_int_equal(feed(w, p, pkt_ip(p, &you6, &me6, 90, 30)), RMR_E_UNKNOWN);
    assert_true(take(w));
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->socks[0]), RMR_OK);
    assert_int_equal(rmr_ns_close(w->ns, w->now, w->socks[0]), RMR_E_BADHANDLE);
    assert_int_equal(feed(w, p, pkt_ip(p, &you, &me, 89, 30)), RMR_E_UNKNOWN);
    assert_int_equal(rmr_ns_raw_open(w->ns, 5, 89, NULL, &w->socks[0]),
                     RMR_E_INVAL);
}

static void the_stacks_own_protocols_are_heard_besides(void **state)
{
    world *w = *state;
    uint8_t p[100];
    open_raw(w, 0, RMR_AF_INET, RMR_NS_ICMP);
    open_raw(w, 1, RMR_AF_INET, RMR_NS_ICMP);
    assert_int_equal(feed(w, p, pkt_icmp(p, &you, &me, 8, 0, 1, "x", 1)),
                     RMR_OK);
    assert_int_equal(w->heard[0], 1);
    assert_int_equal(w->heard[1], 1);
    assert_true(take(w)); /* the echo is answered all the same */
}

static void sockets_may_close_each_other_while_they_hear(void **state)
{
    world *w = *state;
    uint8_t p[100] = {0};
    for (int victim = 0; victim < 3; victim++) {
        memset(w->heard, 0, sizeof w->heard);
        for (int i = 0; i < 3; i++)
            open_raw(w, i, RMR_AF_INET, 89);
        w->close_me = w->socks[victim];
        assert_int_equal(feed(w, p, pkt_ip(p, &you, &me, 89, 30)), RMR_OK);
        assert_int_equal(w->heard[0], 1);
        assert_int_equal(w->heard[1], victim != 1);
        assert_int_equal(w->heard[2], victim != 2);
        for (int i = 0; i < 3; i++)
            assert_int_equal(rmr_ns_close(w->ns, w->now, w->socks[i]),
                             i == victim ? RMR_E_BADHANDLE : RMR_OK);
    }
}

static void fragments_are_heard_as_one(void **state)
{
    world *w = *state;
    uint8_t p[1300] = {0};
    ns_tuple t = {0};
    open_raw(w, 0, RMR_AF_INET6, 89);
    t.local = rmri_ns_ip_of(&you6);
    t.remote = rmri_ns_ip_of(&me6);
    t.family = RMR_AF_INET6;
    t.proto = 89;
    size_t hl = rmri_ns_ip_write_piece(p, &t, 5, 0, 1000, true);
    assert_int_equal(feed(w, p, hl + 1000), RMR_OK);
    (void)rmri_ns_ip_write_piece(p, &t, 5, 1000, 900, false);
    assert_int_equal(feed(w, p, hl + 900), RMR_OK);
    assert_int_equal(w->heard[0], 1);
    assert_int_equal(w->len, 40 + 1900);
    assert_int_equal(w->packet[6], 89);
}

/* So that the host can check it, or send it on. */
static void a_reassembled_ipv4_header_has_a_right_sum(void **state)
{
    world *w = *state;
    uint8_t p[1300] = {0};
    ns_tuple t = {0};
    open_raw(w, 0, RMR_AF_INET, 89);
    t.local = rmri_ns_ip_of(&you);
    t.remote = rmri_ns_ip_of(&me);
    t.family = RMR_AF_INET;
    t.proto = 89;
    for (int k = 0; k < 2; k++) {
        size_t hl = rmri_ns_ip_write_piece(p, &t, 5, 0, 1000, true);
        if (k)
            rmri_ns_ip_set_tos(p, 2);
        assert_int_equal(feed(w, p, hl + 1000), RMR_OK);
        (void)rmri_ns_ip_write_piece(p, &t, 5, 1000, 900, false);
        if (k)
            rmri_ns_ip_set_tos(p, 3);
        assert_int_equal(feed(w, p, hl + 900), RMR_OK);
        assert_int_equal(w->heard[0], k + 1);
        assert_int_equal(w->len, 20 + 1900);
        assert_int_equal(rmr_load_be16(w->packet + 2), 20 + 1900);
        assert_int_equal(w->packet[1], k ? 3 : 0);
        assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(0, w->packet, 20)),
                         0xffff);
    }
}

static void a_packet_goes_out_as_it_is(void **state)
{
    world *w = *state;
    uint8_t p[1400] = {0};
    size_t n = pkt_ip(p, &me, &you, 89, 30);
    p[1] = 0x48;
    p[8] = 3;
    rmri_ns_ip_set_tos(p, p[1]);
    assert_int_equal(rmr_ns_raw_send(w->ns, w->now, rmr_bytes_of(p, n + 4)),
                     RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out_len, n);
    assert_memory_equal(w->out, p, n);
    n = pkt_ip(p, &me6, &you6, 89, 1240);
    assert_int_equal(rmr_ns_raw_send(w->ns, w->now, rmr_bytes_of(p, n)),
                     RMR_OK);
    assert_true(take(w));
    assert_memory_equal(w->out, p, n);
    assert_false(take(w));
}

static void a_packet_to_ourselves_comes_in(void **state)
{
    world *w = *state;
    uint8_t p[100] = {0};
    open_raw(w, 0, RMR_AF_INET, 89);
    size_t n = pkt_ip(p, &me, &me, 89, 30);
    assert_int_equal(rmr_ns_raw_send(w->ns, w->now, rmr_bytes_of(p, n)),
                     RMR_OK);
    assert_false(take(w));
    assert_int_equal(w->heard[0], 1);
    assert_memory_equal(w->packet, p, n);
}

static rmr_err out(world *w, const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, p, n);
    rmr_err e = rmr_ns_raw_send(w->ns, w->now, rmr_bytes_of(exact, n));
    free(exact);
    return e;
}

static void what_a_receiver_would_refuse_is_refused(void **state)
{
    world *w = *state;
    uint8_t p[1400] = {0}, q[1400];
    size_t n = pkt_ip(p, &me, &you, 89, 30);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out(w, p, i), RMR_E_MALFORMED);
    for (size_t i = 0; i < 160; i++) { /* each bit of the header */
        memcpy(q, p, n);
        q[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_int_not_equal(out(w, q, n), RMR_OK);
    }
    memcpy(q, p, n);
    rmr_store_be16(q + 6, 0x2000); /* a fragment */
    rmri_ns_ip_set_tos(q, 0);
    assert_int_equal(out(w, q, n), RMR_E_MALFORMED);
    n = pkt_ip(p, &you, &me, 89, 30);
    assert_int_equal(out(w, p, n), RMR_E_UNREACHABLE);
    rmr_addr group = rmr_addr_v4(224, 0, 0, 5, 0);
    n = pkt_ip(p, &me, &group, 89, 30);
    assert_int_equal(out(w, p, n), RMR_E_MALFORMED);
    n = pkt_ip(p, &me, &you, 89, 1261);
    assert_int_equal(out(w, p, n), RMR_E_TOOBIG);
    n = pkt_ip(p, &me6, &you6, 89, 30);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out(w, p, i), RMR_E_MALFORMED);
    p[6] = 44; /* a fragment header, an endless chain, one past the end */
    memset(p + 40, 0, 30);
    p[40] = 89;
    assert_int_equal(out(w, p, n), RMR_E_MALFORMED);
    p[6] = 60;
    p[41] = 255;
    assert_int_equal(out(w, p, n), RMR_E_MALFORMED);
    p[41] = 0;
    assert_int_equal(out(w, p, n), RMR_OK);
    assert_true(take(w));
    assert_false(take(w));
    /* A forwarder speaks for others, but never for nobody. */
    rmr_ns_free(w->ns);
    start(w, true);
    open_raw(w, 0, RMR_AF_INET, 89);
    n = pkt_ip(p, &you, &me, 89, 30);
    assert_int_equal(out(w, p, n), RMR_OK);
    assert_false(take(w)); /* to us */
    rmr_addr nobody = rmr_addr_v4(127, 0, 0, 1, 0);
    n = pkt_ip(p, &nobody, &you, 89, 30);
    assert_int_equal(out(w, p, n), RMR_E_MALFORMED);
}

static void the_queue_is_the_bound(void **state)
{
    world *w = *state;
    static uint8_t p[1280];
    size_t n = pkt_ip(p, &me, &you, 89, 1260);
    int sent = 0;
    rmr_err e;
    while ((e = out(w, p, n)) == RMR_OK)
        assert_true(++sent < 1000);
    assert_int_equal(e, RMR_E_FULL);
    while (take(w))
        sent--;
    assert_int_equal(sent, 0);
    rmr_ns_free(w->ns);
    start(w, true);
    rmr_addr far = rmr_addr_v4(8, 8, 8, 8, 0);
    for (int i = 0; i < 2; i++) { /* and memory, at its first chunk */
        w->alloc.fail_at = w->alloc.calls + 1;
        e = i ? rmr_ns_echo_reply(w->ns, w->now, &far, &you, 1, 1,
                                  rmr_bytes_str("x"))
              : rmr_ns_raw_send(w->ns, w->now, rmr_bytes_of(p, n));
        w->alloc.fail_at = 0;
        assert_int_equal(e, RMR_E_FULL);
        assert_false(take(w));
    }
    assert_int_equal(out(w, p, n), RMR_OK);
    assert_true(take(w));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_protocol_of_the_hosts_is_heard_whole),
        T(the_stacks_own_protocols_are_heard_besides),
        T(sockets_may_close_each_other_while_they_hear),
        T(fragments_are_heard_as_one),
        T(a_reassembled_ipv4_header_has_a_right_sum),
        T(a_packet_goes_out_as_it_is),
        T(a_packet_to_ourselves_comes_in),
        T(what_a_receiver_would_refuse_is_refused),
        T(the_queue_is_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
