/* UDP sockets of each kind, and datagrams of each size, between two stacks. */
#include "ns_pkt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

#define BIG 65507u

struct world;

typedef struct host {
    struct world *w;
    rmr_ns *ns;
    test_alloc alloc;
    test_rng rng;
    rmr_addr ip4, ip6;
    int dgrams, errors;
    void *tag; /* of the last one */
    rmr_addr from, to;
    uint8_t tos;
    uint8_t data[70000];
    size_t len;
    rmr_ns_error error;
} host;

typedef struct world {
    host h[2];
    rmr_time now;
    int pkts;
    uint8_t last[1280];
    size_t last_len;
    uint32_t ids[2000]; /* of first fragments, in the order of sending */
    int n_ids;
    int lose; /* the packet with this number, from 1 */
    bool reverse;
} world;

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    host *h = user;
    (void)s;
    h->dgrams++;
    h->tag = tag;
    h->from = *from;
    h->to = *to;
    h->len = data.len;
    h->tos = rmr_ns_datagram_tos(h->ns);
    memcpy(h->data, data.ptr, data.len);
}

static void on_error(void *user, void *tag, rmr_ns_sock s,
                     const rmr_ns_error *error)
{
    host *h = user;
    (void)s;
    h->errors++;
    h->tag = tag;
    h->error = *error;
}

static void host_init(world *w, int i, bool no_fragments)
{
    host *h = &w->h[i];
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    h->w = w;
    test_rng_seed(&h->rng, 9 + (uint64_t)i);
    rmr_env env = test_env(&h->alloc, &h->rng, NULL);
    cb.struct_size = sizeof cb;
    cb.user = h;
    cb.on_datagram = on_datagram;
    cb.on_error = on_error;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.no_udp_fragments = no_fragments;
    assert_int_equal(rmr_ns_new(&h->ns, &env, &cfg, w->now), RMR_OK);
    h->ip4 = rmr_addr_v4(10, 0, 0, (uint8_t)(i + 1), 0);
    (void)rmr_addr_parse_ip(rmr_bytes_str(i ? "fd00::2" : "fd00::1"), &h->ip6);
    assert_int_equal(rmr_ns_addr_add(h->ns, &h->ip4), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(h->ns, &h->ip6), RMR_OK);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->now = 100 * RMR_SEC;
    host_init(w, 0, false);
    host_init(w, 1, false);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    for (int i = 0; i < 2; i++) {
        rmr_ns_free(w->h[i].ns);
        assert_int_equal(w->h[i].alloc.live_blocks, 0);
    }
    free(w);
    return 0;
}

static void note_fragment(world *w, const uint8_t *p)
{
    if (p[0] >> 4 == 4 && (rmr_load_be16(p + 6) & 0x3fff) == 0x2000)
        w->ids[w->n_ids++] = rmr_load_be16(p + 4);
    if (p[0] >> 4 == 6 && p[6] == 44 && rmr_load_be16(p + 42) == 1)
        w->ids[w->n_ids++] = rmr_load_be32(p + 44);
}

static void deliver(world *w, int to, const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n);
    assert_non_null(exact);
    memcpy(exact, p, n);
    (void)rmr_ns_read_pkt(w->h[to].ns, w->now, rmr_bytes_of(exact, n));
    free(exact);
}

/* All that host i has, to the other one. */
static void flush(world *w, int i)
{
    static uint8_t pkts[100][1280];
    size_t len[100];
    int n = 0;
    for (; n < 100; n++) {
        assert_int_equal(rmr_ns_write_pkt(w->h[i].ns, w->now,
                                          rmr_buf_of(pkts[n], 1280), &len[n]),
                         RMR_OK);
        if (!len[n])
            break;
        note_fragment(w, pkts[n]);
        memcpy(w->last, pkts[n], len[n]);
        w->last_len = len[n];
        w->pkts++;
    }
    for (int k = 0; k < n; k++) {
        int at = w->reverse ? n - 1 - k : k;
        if (w->lose != at + 1)
            deliver(w, 1 - i, pkts[at], len[at]);
    }
}

static void settle(world *w)
{
    for (int i = 0; i < 4; i++)
        flush(w, i & 1);
}

static rmr_addr with_port(rmr_addr a, uint16_t port)
{
    a.port = port;
    return a;
}

static rmr_addr any(uint8_t family, uint16_t port)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    a.family = family;
    a.port = port;
    return a;
}

static rmr_ns_sock bound(host *h, rmr_addr at, void *tag)
{
    rmr_ns_sock s;
    assert_int_equal(rmr_ns_udp_bind(h->ns, &at, tag, &s), RMR_OK);
    return s;
}

static rmr_err send_to(world *w, int i, rmr_ns_sock s, rmr_addr to,
                       const char *text)
{
    rmr_err e =
        rmr_ns_udp_send(w->h[i].ns, w->now, s, NULL, &to, rmr_bytes_str(text));
    settle(w);
    return e;
}

/* ---- who gets it ------------------------------------------------------ */

static void the_most_exact_socket_gets_it(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    int tags[6];
    rmr_ns_sock dual = bound(b, any(RMR_AF_NONE, 99), &tags[0]);
    rmr_ns_sock v4 = bound(b, any(RMR_AF_INET, 99), &tags[1]);
    rmr_ns_sock v6 = bound(b, any(RMR_AF_INET6, 99), &tags[2]);
    rmr_ns_sock exact = bound(b, with_port(b->ip4, 99), &tags[3]);
    rmr_ns_sock conn, s = bound(a, any(RMR_AF_NONE, 70), NULL), again;
    rmr_addr local = with_port(b->ip4, 99), remote = with_port(a->ip4, 70);
    assert_int_equal(
        rmr_ns_udp_connect(b->ns, &local, &remote, &tags[4], &conn), RMR_OK);
    assert_int_equal(rmr_ns_udp_connect(b->ns, &local, &remote, NULL, &again),
                     RMR_E_INUSE);
    rmr_addr x = any(RMR_AF_INET, 99);
    assert_int_equal(rmr_ns_udp_bind(b->ns, &x, NULL, &again), RMR_E_INUSE);
    rmr_addr to4 = with_port(b->ip4, 99), to6 = with_port(b->ip6, 99);
    rmr_ns_sock order4[] = {conn, exact, v4, dual}, order6[] = {v6, dual};
    int want4[] = {4, 3, 1, 0}, want6[] = {2, 0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_to(w, 0, s, to4, "x"), RMR_OK);
        assert_int_equal(b->dgrams, i + 1);
        assert_ptr_equal(b->tag, &tags[want4[i]]);
        if (i < 3)
            assert_int_equal(rmr_ns_close(b->ns, w->now, order4[i]), RMR_OK);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(send_to(w, 0, s, to6, "x"), RMR_OK);
        assert_ptr_equal(b->tag, &tags[want6[i]]);
        assert_int_equal(rmr_ns_close(b->ns, w->now, order6[i]), RMR_OK);
    }
    assert_int_equal(b->dgrams, 6);
    assert_int_equal(send_to(w, 0, s, to6, "x"), RMR_OK);
    assert_int_equal(b->dgrams, 6);
    assert_int_equal(b->ns->dgrams.used, 0);
    /* One family alone neither hears nor speaks the other. */
    v4 = bound(b, any(RMR_AF_INET, 99), &tags[1]);
    assert_int_equal(send_to(w, 0, s, to6, "x"), RMR_OK);
    assert_int_equal(b->dgrams, 6);
    rmr_addr back = with_port(a->ip6, 70);
    assert_int_equal(send_to(w, 1, v4, back, "x"), RMR_E_UNREACHABLE);
}

static void answers_go_from_the_address_that_was_asked(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_addr second = rmr_addr_v4(10, 0, 0, 77, 0);
    assert_int_equal(rmr_ns_addr_add(b->ns, &second), RMR_OK);
    rmr_ns_sock there = bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    assert_int_equal(send_to(w, 0, s, with_port(second, 99), "ask"), RMR_OK);
    assert_true(rmr_addr_ip_eq(&b->to, &second));
    assert_int_equal(rmr_ns_udp_send(b->ns, w->now, there, &b->to, &b->from,
                                     rmr_bytes_str("told")),
                     RMR_OK);
    settle(w);
    assert_true(rmr_addr_ip_eq(&a->from, &second));
    /* Else from the first of the family; to ourselves, from the same. */
    assert_int_equal(send_to(w, 1, there, with_port(a->ip4, 70), "x"), RMR_OK);
    assert_true(rmr_addr_ip_eq(&a->from, &b->ip4));
    assert_int_equal(send_to(w, 1, there, with_port(second, 99), "x"), RMR_OK);
    assert_true(rmr_addr_eq(&b->from, &b->to));
}

static void a_connected_socket_hears_its_peer_alone(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_ns_sock there = bound(b, any(RMR_AF_NONE, 99), NULL), s, t;
    rmr_ns_sock stranger = bound(b, any(RMR_AF_NONE, 98), NULL);
    rmr_addr to = with_port(b->ip6, 99), from;
    int tag;
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &to, &tag, &s), RMR_OK);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, NULL, rmr_bytes_str("x")),
        RMR_OK);
    settle(w);
    from = b->from;
    assert_true(from.port >= 16384);
    assert_int_equal(send_to(w, 1, stranger, from, "x"), RMR_OK);
    assert_int_equal(a->dgrams, 0);
    assert_int_equal(send_to(w, 1, there, from, "x"), RMR_OK);
    assert_int_equal(a->dgrams, 1);
    assert_ptr_equal(a->tag, &tag);
    assert_int_equal(send_to(w, 0, s, with_port(b->ip6, 98), "x"), RMR_E_INVAL);
    assert_int_equal(send_to(w, 0, s, to, "x"), RMR_OK);
    rmr_addr bad = any(RMR_AF_INET6, 5), none = rmr_addr_v4(9, 9, 9, 9, 0);
    bad.port = 0;
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &bad, NULL, &t),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, NULL, NULL, &t),
                     RMR_E_INVAL);
    rmr_addr to4 = with_port(b->ip4, 99);
    assert_int_equal(rmr_ns_udp_connect(a->ns, &none, &to4, NULL, &t),
                     RMR_E_UNREACHABLE);
    assert_int_equal(rmr_ns_udp_connect(a->ns, &a->ip6, &to4, NULL, &t),
                     RMR_E_INVAL);
}

static void an_error_reaches_the_socket_that_asked(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_ns_sock s, u = bound(a, any(RMR_AF_NONE, 70), NULL);
    int tag;
    rmr_addr tos[] = {with_port(b->ip4, 99), with_port(b->ip6, 99)};
    static const uint8_t big[4000];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &tos[i], &tag, &s),
                         RMR_OK);
        for (int k = 0; k < 2; k++) { /* whole, and in fragments */
            a->errors = 0;
            assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, NULL,
                                             rmr_bytes_of(big, k ? 4000 : 9)),
                             RMR_OK);
            settle(w);
            assert_int_equal(a->errors, 1);
            assert_ptr_equal(a->tag, &tag);
            assert_int_equal(a->error.why, RMR_E_REFUSED);
            assert_int_equal(a->error.type, i ? 1 : 3);
            assert_int_equal(a->error.code, i ? 4 : 3);
            assert_true(rmr_addr_eq(&a->error.to, &tos[i]));
        }
        a->errors = 0;
        assert_int_equal(send_to(w, 0, u, tos[i], "x"), RMR_OK);
        assert_int_equal(a->errors, 1);
        assert_null(a->tag);
    }
}

static void each_icmp_error_has_its_meaning(void **state)
{
    static const struct {
        uint8_t family, type, code;
        rmr_err why;
    } cases[] = {{4, 3, 0, RMR_E_UNREACHABLE},
                 {4, 3, 1, RMR_E_UNREACHABLE},
                 {4, 3, 2, RMR_E_REFUSED},
                 {4, 3, 3, RMR_E_REFUSED},
                 {4, 3, 4, RMR_E_TOOBIG},
                 {4, 3, 9, RMR_E_DENIED},
                 {4, 3, 10, RMR_E_DENIED},
                 {4, 3, 13, RMR_E_DENIED},
                 {4, 11, 0, RMR_E_TIMEOUT},
                 {4, 11, 1, RMR_E_TIMEOUT},
                 {4, 12, 0, RMR_E_PROTOCOL},
                 {4, 4, 0, RMR_OK},
                 {4, 5, 0, RMR_OK},
                 {6, 1, 0, RMR_E_UNREACHABLE},
                 {6, 1, 1, RMR_E_DENIED},
                 {6, 1, 3, RMR_E_UNREACHABLE},
                 {6, 1, 4, RMR_E_REFUSED},
                 {6, 2, 0, RMR_E_TOOBIG},
                 {6, 3, 0, RMR_E_TIMEOUT},
                 {6, 4, 1, RMR_E_PROTOCOL}};
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    (void)bound(a, any(RMR_AF_NONE, 70), a);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t quote[100], p[200];
        bool v4 = cases[i].family == 4;
        rmr_addr from = with_port(v4 ? a->ip4 : a->ip6, 70);
        rmr_addr to = with_port(v4 ? b->ip4 : b->ip6, 99);
        size_t n = pkt_udp(quote, &from, &to, "hello", 5);
        a->errors = 0;
        deliver(w, 0, p,
                pkt_icmp(p, &to, &from, cases[i].type, cases[i].code, 1300,
                         quote, n));
        assert_int_equal(a->errors, cases[i].why != RMR_OK);
        if (!a->errors)
            continue;
        assert_int_equal(a->error.why, cases[i].why);
        assert_int_equal(a->error.type, cases[i].type);
        assert_int_equal(a->error.code, cases[i].code);
        if (cases[i].why == RMR_E_TOOBIG)
            assert_int_equal(a->error.mtu, 1280); /* 1300 is nothing new */
        /* Every cut of the quote below header and 8 bytes is nothing. */
        a->errors = 0;
        for (size_t k = 0; k < n - 5; k++)
            deliver(w, 0, p,
                    pkt_icmp(p, &to, &from, cases[i].type, cases[i].code, 1300,
                             quote, k));
        assert_int_equal(a->errors, 0);
        from.port = 71; /* nobody's */
        n = pkt_udp(quote, &from, &to, "hello", 5);
        deliver(w, 0, p,
                pkt_icmp(p, &to, &from, cases[i].type, cases[i].code, 1300,
                         quote, n));
        assert_int_equal(a->errors, 0);
    }
}

static void the_traffic_class_is_set_and_read(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    static const uint8_t big[3000];
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr tos[] = {with_port(b->ip4, 99), with_port(b->ip6, 99)};
    assert_int_equal(rmr_ns_set_tos(a->ns, s, 0xb9), RMR_OK);
    for (int i = 0; i < 2; i++)
        for (size_t n = 1; n <= 3000; n += 2999) {
            b->tos = 0;
            assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &tos[i],
                                             rmr_bytes_of(big, n)),
                             RMR_OK);
            settle(w);
            assert_int_equal(b->len, n);
            assert_int_equal(b->tos, 0xb9);
        }
    assert_int_equal(rmr_ns_datagram_tos(b->ns), 0);
    rmr_ns_sock c;
    assert_int_equal(rmr_ns_tcp_connect(a->ns, w->now, NULL, &tos[0], NULL, &c),
                     RMR_OK);
    assert_int_equal(rmr_ns_set_tos(a->ns, c, 0xbb), RMR_OK);
    flush(w, 0);
    assert_int_equal(w->last[1], 0xb8); /* ECN is not the host's to say */
    assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(0, w->last, 20)), 0xffff);
    s.id = 0;
    assert_int_equal(rmr_ns_set_tos(a->ns, s, 1), RMR_E_BADHANDLE);
}

static void too_big(world *w, host *a, rmr_addr from, rmr_addr to, uint32_t mtu)
{
    uint8_t quote[100], p[200];
    size_t n = pkt_udp(quote, &from, &to, "hello", 5);
    bool v4 = from.family == RMR_AF_INET;
    a->errors = 0;
    deliver(w, 0, p,
            pkt_icmp(p, &to, &from, v4 ? 3 : 2, v4 ? 4 : 0, mtu, quote, n));
}

static void a_datagram_is_cut_to_what_the_path_takes(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    static const uint8_t big[2000];
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr from = with_port(a->ip4, 70), to = with_port(b->ip4, 99);
    too_big(w, a, with_port(a->ip4, 71), to, 700); /* not about ours */
    assert_int_equal(rmr_ns_path_mtu(a->ns, &to), 1280);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(big, 1000)),
        RMR_OK);
    flush(w, 0);
    w->pkts = 0;
    too_big(w, a, from, to, 700);
    assert_int_equal(a->errors, 1);
    assert_int_equal(a->error.mtu, 700);
    assert_int_equal(rmr_ns_path_mtu(a->ns, &to), 700);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_OK);
    flush(w, 0);
    assert_int_equal(w->pkts, 3); /* 680 bytes each */
    assert_int_equal(b->len, sizeof big);
    too_big(w, a, with_port(a->ip6, 70), with_port(b->ip6, 99), 1000);
    assert_int_equal(a->error.mtu, 1280); /* less than any IPv6 link */
    w->now += 600 * RMR_SEC;
    w->pkts = 0;
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_OK);
    flush(w, 0);
    assert_int_equal(w->pkts, 2); /* it was forgotten */
    too_big(w, a, from, to, 700);
    a->ns->cfg.no_udp_fragments = true;
    assert_int_equal(rmr_ns_path_mtu(a->ns, &to), 700);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(big, 673)),
        RMR_E_TOOBIG);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(big, 672)),
        RMR_OK);
}

/* Who sees nothing of our traffic knows the port of a socket that hears all,
 * and could slow every connection to any host by one packet. */
static void
a_bound_socket_believes_no_error_about_what_it_did_not_send(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    static const uint8_t big[1000];
    rmr_ns_sock c, s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr from = with_port(a->ip4, 70), to = with_port(b->ip4, 99);
    rmr_addr other = with_port(b->ip4, 98);
    too_big(w, a, from, to, 700);
    assert_int_equal(a->error.mtu, 1280); /* the host hears what is known */
    /* Nor about one that no path is too narrow for. */
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(big, 500)),
        RMR_OK);
    too_big(w, a, from, to, 700);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(big, 1000)),
        RMR_OK);
    too_big(w, a, from, other, 700);
    w->now += 61 * RMR_SEC; /* nor so late */
    too_big(w, a, from, to, 700);
    assert_int_equal(rmr_ns_path_mtu(a->ns, &to), 1280);
    assert_int_equal(a->ns->paths.slots.used, 0);
    /* A connected one need not have sent: its port is a secret besides. */
    assert_int_equal(rmr_ns_udp_connect(a->ns, &from, &other, NULL, &c),
                     RMR_OK);
    too_big(w, a, from, other, 700);
    assert_int_equal(a->error.mtu, 700);
    assert_int_equal(rmr_ns_path_mtu(a->ns, &to), 700);
}

static void wrong_calls_are_refused(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_addr bad = any(9, 5), to = with_port(b->ip4, 99);
    rmr_ns_sock c, s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_bytes x = rmr_bytes_str("x");
    assert_int_equal(rmr_ns_udp_bind(a->ns, &bad, NULL, &c), RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_bind(a->ns, NULL, NULL, NULL), RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &bad, NULL, &c),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &to, NULL, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, NULL, x),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &bad, x),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, &a->ip6, &to, x),
                     RMR_E_UNREACHABLE);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, &b->ip4, &to, x),
                     RMR_E_UNREACHABLE);
    assert_int_equal(rmr_ns_close(a->ns, w->now, s), RMR_OK);
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, x),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_set_tag(a->ns, s, NULL), RMR_E_BADHANDLE);
    assert_int_equal(w->pkts, 0);
}

/* Zero would say that there is no sum. */
static void a_sum_of_zero_is_sent_as_ones(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr to = with_port(b->ip6, 99);
    int zeros = 0;
    for (uint32_t i = 0; i < 65536; i++) {
        uint8_t x[2];
        rmr_store_be16(x, (uint16_t)i);
        assert_int_equal(
            rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(x, 2)),
            RMR_OK);
        flush(w, 0);
        uint16_t sum = rmr_load_be16(w->last + 46);
        assert_int_not_equal(sum, 0);
        zeros += sum == 0xffff;
    }
    assert_int_equal(b->dgrams, 65536);
    assert_in_range(zeros, 1, 2);
}

static void nothing_goes_where_no_host_is(void **state)
{
    static const char *const nowhere[] = {
        "224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", "ff02::1", "::",
        "::1"};
    world *w = *state;
    host *a = &w->h[0];
    rmr_ns_sock c, s = bound(a, any(RMR_AF_NONE, 70), NULL);
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        rmr_addr to;
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(nowhere[i]), &to),
                         RMR_OK);
        to.port = 99;
        assert_int_equal(send_to(w, 0, s, to, "x"), RMR_E_UNREACHABLE);
        assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &to, NULL, &c),
                         RMR_E_UNREACHABLE);
        assert_int_equal(rmr_ns_tcp_connect(a->ns, w->now, NULL, &to, NULL, &c),
                         RMR_E_UNREACHABLE);
        assert_int_equal(
            rmr_ns_ping(a->ns, w->now, &to, 1, 1, rmr_bytes_str("")),
            RMR_E_UNREACHABLE);
    }
    assert_int_equal(w->pkts, 0);
}

/* ---- sizes ------------------------------------------------------------ */

static uint8_t data[BIG];

static void fill(void)
{
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
}

static void every_size_arrives_whole_in_each_order(void **state)
{
    static const size_t sizes[] = {0,    1,    1231, 1232, 1233,  1252, 1253,
                                   2464, 2472, 2500, 9000, 40000, BIG};
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    fill();
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    for (int v6 = 0; v6 < 2; v6++)
        for (int rev = 0; rev < 2; rev++)
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                rmr_addr to = with_port(v6 ? b->ip6 : b->ip4, 99);
                int before = b->dgrams;
                w->reverse = rev;
                w->pkts = 0;
                assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                                 rmr_bytes_of(data, sizes[i])),
                                 RMR_OK);
                flush(w, 0);
                assert_int_equal(b->dgrams, before + 1);
                assert_int_equal(b->len, sizes[i]);
                assert_memory_equal(b->data, data, sizes[i]);
                size_t room = v6 ? 1232 : 1252; /* of a whole one */
                size_t part = v6 ? 1232 : 1256; /* of a piece */
                int want = sizes[i] <= room
                               ? 1
                               : (int)((sizes[i] + 8 + part - 1) / part);
                assert_int_equal(w->pkts, want);
            }
    assert_int_equal(rmr_ns_next_deadline(b->ns), RMR_TIME_NEVER);
    rmr_ns_stats st;
    rmr_ns_get_stats(a->ns, &st);
    assert_true(st.tx_fragments > 300);
    assert_int_equal(st.buffer_bytes, 0);
    rmr_addr to = with_port(b->ip4, 99);
    static const uint8_t more[BIG + 1];
    assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                     rmr_bytes_of(more, sizeof more)),
                     RMR_E_TOOBIG);
}

static void a_large_one_to_ourselves_comes_back(void **state)
{
    world *w = *state;
    host *a = &w->h[0];
    fill();
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr tos[] = {with_port(a->ip4, 70), with_port(a->ip6, 70)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &tos[i],
                                         rmr_bytes_of(data, BIG)),
                         RMR_OK);
        flush(w, 0);
        assert_int_equal(a->dgrams, i + 1);
        assert_int_equal(a->len, BIG);
        assert_memory_equal(a->data, data, BIG);
        assert_int_equal(w->pkts, 0);
    }
}

static void one_lost_piece_loses_the_datagram_alone(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_addr to = with_port(b->ip4, 99);
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    for (int i = 0; i < 2; i++) {
        w->lose = i ? 0 : 2;
        assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                         rmr_bytes_of(data, 5000)),
                         RMR_OK);
        flush(w, 0);
        assert_int_equal(b->dgrams, i);
    }
    w->now += 30 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(b->ns, w->now), RMR_OK);
    settle(w);
    assert_int_equal(a->errors, 1); /* its reassembly took too long */
    assert_int_equal(a->error.why, RMR_E_TIMEOUT);
    assert_int_equal(a->error.code, 1);
    assert_int_equal(b->ns->frags.bytes, 0);
}

static void all_of_a_datagram_is_queued_or_nothing(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_addr to = with_port(b->ip6, 99);
    rmr_ns_stats st;
    int sent = 0, got = 0;
    (void)bound(b, any(RMR_AF_NONE, 99), NULL);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_err e;
    for (;;) { /* the small ones leave room behind them */
        assert_int_equal(
            rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_str("x")),
            RMR_OK);
        e = rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                            rmr_bytes_of(data, 60000));
        if (e)
            break;
        assert_true(++sent < 10);
    }
    assert_int_equal(e, RMR_E_FULL);
    assert_true(sent >= 3);
    for (int i = 0; i < 4; i++)
        flush(w, 0);
    got = b->dgrams;
    assert_int_equal(got, sent + sent + 1);
    assert_int_equal(w->n_ids, sent);
    rmr_ns_get_stats(a->ns, &st);
    assert_int_equal(st.buffer_bytes, 0);
    assert_int_equal(b->ns->frags.bytes, 0);
    /* The same for want of memory, at each allocation. */
    for (size_t k = 1;; k++) {
        rmr_ns_free(a->ns);
        host_init(w, 0, false);
        s = bound(a, any(RMR_AF_NONE, 70), NULL);
        /* One lies before it, in a chunk that is half empty. */
        assert_int_equal(
            rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_str("x")),
            RMR_OK);
        size_t fails = a->alloc.calls + k;
        a->alloc.fail_at = fails;
        e = rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                            rmr_bytes_of(data, 60000));
        a->alloc.fail_at = 0;
        got = b->dgrams;
        w->pkts = 0;
        flush(w, 0);
        if (e == RMR_OK) {
            assert_int_equal(b->dgrams, got + 2);
            if (a->alloc.calls >= fails)
                continue; /* it can do without the pairs' counters */
            assert_true(k > 10);
            break;
        }
        assert_int_equal(e, RMR_E_FULL);
        assert_int_equal(w->pkts, 1);
        rmr_ns_get_stats(a->ns, &st);
        assert_int_equal(st.buffer_bytes, 0);
        assert_true(k < 100);
    }
}

static void ids_of_fragments_are_unique_and_no_counter(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    static uint8_t seen[65536];
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 500; i++) {
        rmr_addr to = with_port(b->ip4, (uint16_t)(99 + i % 3));
        assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                         rmr_bytes_of(data, 2000)),
                         RMR_OK);
        flush(w, 0);
    }
    assert_int_equal(w->n_ids, 500);
    for (int i = 0; i < 500; i++)
        assert_int_equal(seen[w->ids[i]]++, 0);
    /* Those of another pair say nothing of ours. */
    uint32_t first = w->ids[0];
    int near = 0;
    w->n_ids = 0;
    for (uint8_t i = 0; i < 50; i++) {
        rmr_addr to = rmr_addr_v4(10, 9, i, 1, 99);
        assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                         rmr_bytes_of(data, 2000)),
                         RMR_OK);
        flush(w, 0);
        near += (uint16_t)(w->ids[i] - first) < 1000;
    }
    assert_true(near < 10);
    for (int i = 0; i < 2; i++) { /* and IPv6 has all 32 bits */
        rmr_addr to = with_port(b->ip6, 99);
        assert_int_equal(rmr_ns_udp_send(a->ns, w->now, s, NULL, &to,
                                         rmr_bytes_of(data, 2000)),
                         RMR_OK);
        flush(w, 0);
    }
    assert_int_equal(w->ids[51], w->ids[50] + 1);
    assert_true(w->ids[50] > 65536);
}

static void a_stack_may_be_told_not_to_cut(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_ns_free(a->ns);
    host_init(w, 0, true);
    rmr_ns_sock s = bound(a, any(RMR_AF_NONE, 70), NULL);
    rmr_addr to = with_port(b->ip6, 99);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(data, 1233)),
        RMR_E_TOOBIG);
    assert_int_equal(
        rmr_ns_udp_send(a->ns, w->now, s, NULL, &to, rmr_bytes_of(data, 1232)),
        RMR_OK);
}

static void sockets_are_bounded_and_survive_failing_memory(void **state)
{
    world *w = *state;
    host *a = &w->h[0], *b = &w->h[1];
    rmr_addr to = with_port(b->ip4, 99);
    rmr_ns_sock s;
    for (int kind = 0; kind < 3; kind++) {
        for (size_t k = 1;; k++) {
            rmr_ns_free(a->ns);
            host_init(w, 0, false);
            a->alloc.fail_at = a->alloc.calls + k;
            rmr_err e = kind == 0 ? rmr_ns_udp_bind(a->ns, NULL, NULL, &s)
                        : kind == 1
                            ? rmr_ns_udp_connect(a->ns, NULL, &to, NULL, &s)
                            : rmr_ns_raw_open(a->ns, RMR_AF_INET, 89, NULL, &s);
            a->alloc.fail_at = 0;
            if (e == RMR_OK)
                break;
            assert_int_equal(e, RMR_E_NOMEM);
            assert_int_equal(a->ns->dgrams.used, 0);
        }
    }
    a->ns->cfg.max_sockets = 3;
    assert_int_equal(rmr_ns_udp_bind(a->ns, NULL, NULL, &s), RMR_OK);
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &to, NULL, &s), RMR_OK);
    assert_int_equal(rmr_ns_udp_bind(a->ns, NULL, NULL, &s), RMR_E_FULL);
    assert_int_equal(rmr_ns_udp_connect(a->ns, NULL, &to, NULL, &s),
                     RMR_E_FULL);
    assert_int_equal(rmr_ns_raw_open(a->ns, RMR_AF_INET, 89, NULL, &s),
                     RMR_E_FULL);
    assert_int_equal(rmr_ns_tcp_connect(a->ns, w->now, NULL, &to, NULL, &s),
                     RMR_E_FULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_most_exact_socket_gets_it),
        T(answers_go_from_the_address_that_was_asked),
        T(a_connected_socket_hears_its_peer_alone),
        T(an_error_reaches_the_socket_that_asked),
        T(each_icmp_error_has_its_meaning),
        T(the_traffic_class_is_set_and_read),
        T(a_datagram_is_cut_to_what_the_path_takes),
        T(a_bound_socket_believes_no_error_about_what_it_did_not_send),
        T(wrong_calls_are_refused),
        T(a_sum_of_zero_is_sent_as_ones),
        T(nothing_goes_where_no_host_is),
        T(every_size_arrives_whole_in_each_order),
        T(a_large_one_to_ourselves_comes_back),
        T(one_lost_piece_loses_the_datagram_alone),
        T(all_of_a_datagram_is_queued_or_nothing),
        T(ids_of_fragments_are_unique_and_no_counter),
        T(a_stack_may_be_told_not_to_cut),
        T(sockets_are_bounded_and_survive_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
