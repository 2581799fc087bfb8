/* IPv4, IPv6, fragments, ICMP and UDP, packet by packet. */
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
    rmr_ns_sock udp;
    int dgrams, pongs;
    uint8_t data[4000];
    size_t len;
    rmr_addr from, to;
    uint8_t tos;
    uint8_t out[1280];
    size_t out_len;
} world;

static const uint8_t me4[16] = {10, 0, 0, 1}, you4[16] = {10, 0, 0, 2};
static const uint8_t me6[16] = {0xfd, [15] = 1}, you6[16] = {0xfd, [15] = 2};

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    world *w = user;
    (void)s;
    assert_ptr_equal(tag, w);
    w->dgrams++;
    w->from = *from;
    w->to = *to;
    w->len = data.len;
    w->tos = rmr_ns_datagram_tos(w->ns);
    assert_true(data.len <= sizeof w->data);
    if (data.len)
        memcpy(w->data, data.ptr, data.len);
}

static void on_pong(void *user, const rmr_addr *from, uint16_t id, uint16_t seq,
                    rmr_bytes payload)
{
    world *w = user;
    w->pongs++;
    assert_int_equal(id, 7);
    assert_int_equal(seq, 9);
    w->from = *from;
    w->len = payload.len;
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    test_rng_seed(&w->rng, 3);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 50 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_datagram = on_datagram;
    cb.on_pong = on_pong;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(me4, 4), 0);
    assert_int_equal(rmr_ns_addr_add(w->ns, &a), RMR_OK);
    a = rmr_addr_from_bytes(rmr_bytes_of(me6, 16), 0);
    assert_int_equal(rmr_ns_addr_add(w->ns, &a), RMR_OK);
    rmr_addr any;
    memset(&any, 0, sizeof any);
    any.port = 53;
    assert_int_equal(rmr_ns_udp_bind(w->ns, &any, w, &w->udp), RMR_OK);
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

/* ---- building --------------------------------------------------------- */

static void sum4(uint8_t *p)
{
    p[10] = p[11] = 0;
    rmri_ns_sum_store(p + 10, rmri_ns_sum(0, p, (p[0] & 15u) * 4u));
}

static size_t ip4(uint8_t *p, uint8_t proto, const uint8_t *pl, size_t n)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    rmr_store_be16(p + 2, (uint16_t)(20 + n));
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, you4, 4);
    memcpy(p + 16, me4, 4);
    if (n)
        memcpy(p + 20, pl, n);
    sum4(p);
    return 20 + n;
}

static size_t ip6(uint8_t *p, uint8_t next, const uint8_t *pl, size_t n)
{
    rmr_store_be32(p, 0x60000000);
    rmr_store_be16(p + 4, (uint16_t)n);
    p[6] = next;
    p[7] = 64;
    memcpy(p + 8, you6, 16);
    memcpy(p + 24, me6, 16);
    if (n)
        memcpy(p + 40, pl, n);
    return 40 + n;
}

static uint64_t pseudo(int family, uint8_t proto, size_t n)
{
    ns_ip a, b;
    memcpy(a.b, family == 4 ? you4 : you6, 16);
    memcpy(b.b, family == 4 ? me4 : me6, 16);
    return rmri_ns_sum_pseudo((uint8_t)family, &a, &b, proto, n);
}

static size_t udp(uint8_t *p, int family, uint16_t port, const void *data,
                  size_t n)
{
    rmr_store_be16(p, 5000);
    rmr_store_be16(p + 2, port);
    rmr_store_be16(p + 4, (uint16_t)(8 + n));
    rmr_store_be16(p + 6, 0);
    memcpy(p + 8, data, n);
    rmri_ns_sum_store(p + 6, rmri_ns_sum(pseudo(family, 17, 8 + n), p, 8 + n));
    return 8 + n;
}

static size_t echo(uint8_t *p, int family, bool reply, size_t n)
{
    memset(p, 0, 8);
    p[0] = family == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128);
    rmr_store_be16(p + 4, 7);
    rmr_store_be16(p + 6, 9);
    for (size_t i = 0; i < n; i++)
        p[8 + i] = (uint8_t)(i * 3);
    uint64_t acc = family == 4 ? 0 : pseudo(6, 58, 8 + n);
    rmri_ns_sum_store(p + 2, rmri_ns_sum(acc, p, 8 + n));
    return 8 + n;
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

/* ---- IPv4 ------------------------------------------------------------- */

static void a_datagram_with_padding_behind_it_is_delivered(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128] = {0};
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "hello", 5));
    assert_int_equal(feed(w, p, n + 15), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(w->len, 5);
    assert_memory_equal(w->data, "hello", 5);
    assert_int_equal(w->from.port, 5000);
    assert_int_equal(w->to.port, 53);
    assert_memory_equal(w->from.ip, you4, 16);
    assert_memory_equal(w->to.ip, me4, 16);
}

static void every_cut_of_a_packet_is_refused_in_its_place(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "hello", 5));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(feed(w, p, i), RMR_E_MALFORMED);
    n = ip6(p, 17, u, udp(u, 6, 53, "hello", 5));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(feed(w, p, i), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 0);
    assert_false(take(w));
}

static void every_flipped_bit_of_the_ipv4_header_is_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "hello", 5));
    for (size_t i = 0; i < 160; i++) {
        p[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_int_not_equal(feed(w, p, n), RMR_OK);
        p[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    assert_int_equal(w->dgrams, 0);
    assert_false(take(w));
}

static void options_are_skipped_but_source_routes_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128], q[128];
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "hello", 5));
    for (int i = 0; i < 256; i++) {
        memcpy(q, p, 20);
        memset(q + 20, 0, 8);
        q[20] = (uint8_t)i;
        q[21] = 4;
        q[22] = 4;
        memcpy(q + 28, p + 20, n - 20);
        q[0] = 0x47;
        rmr_store_be16(q + 2, (uint16_t)(n + 8));
        sum4(q);
        rmr_err want = i == 131 || i == 137 ? RMR_E_MALFORMED : RMR_OK;
        assert_int_equal(feed(w, q, n + 8), want);
    }
    q[20] = 7;
    q[21] = 9; /* past the header */
    sum4(q);
    assert_int_equal(feed(w, q, n + 8), RMR_E_MALFORMED);
    q[21] = 0;
    sum4(q);
    assert_int_equal(feed(w, q, n + 8), RMR_E_MALFORMED);
}

static void broken_ipv4_lengths_are_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "hello", 5));
    p[0] = 0x44;
    sum4(p);
    assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
    p[0] = 0x46;
    rmr_store_be16(p + 2, 20);
    sum4(p);
    assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 0);
}

static void sources_that_nobody_has_are_refused(void **state)
{
    world *w = *state;
    static const uint8_t bad[5][4] = {{0, 0, 0, 0},
                                      {127, 0, 0, 1},
                                      {224, 0, 0, 1},
                                      {255, 255, 255, 255},
                                      {10, 0, 0, 1}}; /* the last: our own */
    uint8_t u[64], p[128];
    for (int i = 0; i < 5; i++) {
        size_t n = ip4(p, 17, u, udp(u, 4, 99, "x", 1));
        p[26] = p[27] = 0; /* no checksum */
        memcpy(p + 12, bad[i], 4);
        sum4(p);
        assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
        assert_false(take(w));
    }
    size_t n = ip4(p, 17, u, udp(u, 4, 53, "x", 1));
    p[19] = 77; /* not ours */
    sum4(p);
    assert_int_equal(feed(w, p, n), RMR_E_UNKNOWN);
    assert_int_equal(pkt_stats(w->ns).discard_not_local, 1);
}

/* ---- UDP -------------------------------------------------------------- */

static void udp_lengths_and_sums_are_checked(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = udp(u, 4, 53, "hello", 5);
    u[6] = u[7] = 0; /* no checksum: fine in IPv4 */
    assert_int_equal(feed(w, p, ip4(p, 17, u, n)), RMR_OK);
    assert_int_equal(feed(w, p, ip6(p, 17, u, n)), RMR_E_MALFORMED);
    n = udp(u, 4, 53, "hello", 5);
    u[9] ^= 1;
    assert_int_equal(feed(w, p, ip4(p, 17, u, n)), RMR_E_MALFORMED);
    assert_int_equal(pkt_stats(w->ns).discard_checksum, 2);
    n = udp(u, 4, 53, "hello", 5);
    rmr_store_be16(u + 4, 7);
    assert_int_equal(feed(w, p, ip4(p, 17, u, n)), RMR_E_MALFORMED);
    rmr_store_be16(u + 4, 14);
    assert_int_equal(feed(w, p, ip4(p, 17, u, n)), RMR_E_MALFORMED);
    n = udp(u, 4, 53, "hel", 3); /* shorter than the IP payload: trimmed */
    assert_int_equal(feed(w, p, ip4(p, 17, u, n + 4)), RMR_OK);
    assert_int_equal(w->dgrams, 2);
    assert_int_equal(w->len, 3);
}

static void sending_udp_gives_right_packets_in_both_families(void **state)
{
    world *w = *state;
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(you4, 4), 99);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to, rmr_bytes_str("abc")),
        RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out_len, 31);
    assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(0, w->out, 20)), 0xffff);
    assert_int_equal(
        rmri_ns_sum_fold(rmri_ns_sum(pseudo(4, 17, 11), w->out + 20, 11)),
        0xffff);
    assert_memory_equal(w->out + 12, me4, 4);
    assert_memory_equal(w->out + 28, "abc", 3);
    to = rmr_addr_from_bytes(rmr_bytes_of(you6, 16), 99);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to, rmr_bytes_str("abc")),
        RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out_len, 51);
    assert_int_equal(
        rmri_ns_sum_fold(rmri_ns_sum(pseudo(6, 17, 11), w->out + 40, 11)),
        0xffff);
    static const uint8_t big[65508];
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_E_TOOBIG);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, 1232)),
                     RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out_len, 1280);
    assert_false(take(w));
    rmr_addr other = rmr_addr_v4(9, 9, 9, 9, 0);
    to = rmr_addr_from_bytes(rmr_bytes_of(you4, 4), 99);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, &other, &to,
                                     rmr_bytes_str("abc")),
                     RMR_E_UNREACHABLE);
}

static void the_output_queue_is_bounded(void **state)
{
    world *w = *state;
    static const uint8_t big[1200];
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(you4, 4), 99);
    int n = 0;
    while (rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                           rmr_bytes_of(big, sizeof big)) == RMR_OK)
        assert_true(++n < 1000);
    assert_true(n > 100);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_E_FULL);
    while (n--)
        assert_true(take(w));
    assert_false(take(w));
    assert_int_equal(pkt_stats(w->ns).buffer_bytes, 0);
}

/* 64 chunks, and a chunk holds the largest packet. */
static void the_bound_of_the_output_queue_goes_with_the_mtu(void **state)
{
    static const struct {
        uint32_t mtu;
        size_t bytes;
    } cases[] = {{576, 256 << 10},
                 {4032, 256 << 10},
                 {4033, 512 << 10},
                 {65535, 8 << 20}};
    static const uint8_t big[500];
    world *w = *state;
    rmr_addr me = rmr_addr_from_bytes(rmr_bytes_of(me4, 4), 0);
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(you4, 4), 99);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rmr_ns_config cfg;
        rmr_ns_stats st;
        rmr_ns *ns;
        rmr_ns_sock s;
        rmr_env env = test_env(&w->alloc, &w->rng, NULL);
        rmr_ns_config_init(&cfg, sizeof cfg);
        cfg.mtu = cases[i].mtu;
        assert_int_equal(rmr_ns_new(&ns, &env, &cfg, w->now), RMR_OK);
        assert_int_equal(rmr_ns_addr_add(ns, &me), RMR_OK);
        assert_int_equal(rmr_ns_udp_bind(ns, NULL, NULL, &s), RMR_OK);
        while (rmr_ns_udp_send(ns, w->now, s, NULL, &to,
                               rmr_bytes_of(big, sizeof big)) == RMR_OK)
            ;
        rmr_ns_get_stats(ns, &st);
        assert_int_equal(st.buffer_bytes, cases[i].bytes);
        rmr_ns_free(ns);
    }
}

/* ---- ICMP ------------------------------------------------------------- */

static void pings_are_answered_from_the_address_asked(void **state)
{
    world *w = *state;
    uint8_t e[1400], p[1400];
    for (size_t n = 0; n <= 1252; n += 1252) {
        size_t len = ip4(p, 1, e, echo(e, 4, false, n));
        assert_int_equal(feed(w, p, len), RMR_OK);
        assert_true(take(w));
        assert_int_equal(w->out_len, len);
        assert_memory_equal(w->out + 12, me4, 4);
        assert_memory_equal(w->out + 16, you4, 4);
        assert_int_equal(w->out[20], 0);
        assert_memory_equal(w->out + 24, p + 24, 4 + n);
        assert_int_equal(
            rmri_ns_sum_fold(rmri_ns_sum(0, w->out + 20, len - 20)), 0xffff);
    }
    size_t len = ip6(p, 58, e, echo(e, 6, false, 1232));
    assert_int_equal(feed(w, p, len), RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out[40], 129);
    assert_memory_equal(w->out + 44, p + 44, len - 44);
    assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(pseudo(6, 58, len - 40),
                                                  w->out + 40, len - 40)),
                     0xffff);
    assert_int_equal(pkt_stats(w->ns).icmp_echo_answered, 3);
}

static void a_ping_goes_out_and_its_answer_comes_back(void **state)
{
    world *w = *state;
    uint8_t e[100], p[200];
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(you4, 4), 0);
    assert_int_equal(rmr_ns_ping(w->ns, w->now, &to, 7, 9, rmr_bytes_str("hi")),
                     RMR_OK);
    assert_true(take(w));
    assert_int_equal(w->out[20], 8);
    assert_int_equal(feed(w, p, ip4(p, 1, e, echo(e, 4, true, 11))), RMR_OK);
    assert_int_equal(w->pongs, 1);
    assert_int_equal(w->len, 11);
    assert_int_equal(feed(w, p, ip6(p, 58, e, echo(e, 6, true, 3))), RMR_OK);
    assert_int_equal(w->pongs, 2);
    rmr_addr bad;
    memset(&bad, 0, sizeof bad);
    assert_int_equal(rmr_ns_ping(w->ns, w->now, &bad, 1, 1, rmr_bytes_str("")),
                     RMR_E_INVAL);
}

static void a_closed_udp_port_is_told_within_limits(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ip4(p, 17, u, udp(u, 4, 99, "hello", 5));
    int told = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(feed(w, p, n), RMR_E_UNKNOWN);
        w->now += 5 * RMR_MS;
        while (take(w)) {
            told++;
            assert_int_equal(w->out[20], 3);
            assert_int_equal(w->out[21], 3);
            assert_int_equal(w->out_len, 28 + n);
            assert_memory_equal(w->out + 28, p, n);
        }
    }
    assert_in_range(told, 15, 21); /* 10 at once and 10 a second */
    n = ip6(p, 17, u, udp(u, 6, 99, "hello", 5));
    assert_int_equal(feed(w, p, n), RMR_E_UNKNOWN);
    assert_true(take(w));
    assert_int_equal(w->out[40], 1);
    assert_int_equal(w->out[41], 4);
}

static void errors_and_fragments_are_never_answered_by_errors(void **state)
{
    world *w = *state;
    uint8_t e[100] = {3, 3}, p[200], u[64];
    rmri_ns_sum_store(e + 2, rmri_ns_sum(0, e, 36));
    (void)feed(w, p, ip4(p, 1, e, 36));
    assert_false(take(w));
    size_t n = ip4(p, 17, u, udp(u, 4, 99, "0123456789abcdef", 16));
    rmr_store_be16(p + 6, 5); /* a last fragment, not the first */
    sum4(p);
    (void)feed(w, p, n);
    w->now += 31 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_false(take(w));
}

/* ---- IPv6 extension headers ------------------------------------------- */

static size_t with_ext(uint8_t *p, uint8_t kind, const uint8_t ext[8])
{
    uint8_t b[128];
    memcpy(b, ext, 8);
    b[0] = 17;
    size_t n = udp(b + 8, 6, 53, "hello", 5);
    return ip6(p, kind, b, 8 + n);
}

static void known_extension_headers_are_walked(void **state)
{
    world *w = *state;
    static const uint8_t pad[8] = {0, 0, 1, 4, 0, 0, 0, 0};
    static const uint8_t pad1[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t skip[8] = {0, 0, 0x3e, 4, 1, 2, 3, 4};
    static const uint8_t route[8] = {0, 0, 4, 0, 0, 0, 0, 0};
    uint8_t p[200];
    assert_int_equal(feed(w, p, with_ext(p, 0, pad)), RMR_OK);
    assert_int_equal(feed(w, p, with_ext(p, 60, pad1)), RMR_OK);
    assert_int_equal(feed(w, p, with_ext(p, 60, skip)), RMR_OK);
    assert_int_equal(feed(w, p, with_ext(p, 43, route)), RMR_OK);
    assert_int_equal(w->dgrams, 4);
    assert_int_equal(feed(w, p, ip6(p, 59, pad, 8)), RMR_OK);
    assert_int_equal(w->dgrams, 4);
    assert_false(take(w));
}

static void expect_problem(world *w, uint8_t code, uint32_t pointer)
{
    assert_true(take(w));
    assert_int_equal(w->out[40], 4);
    assert_int_equal(w->out[41], code);
    assert_int_equal(rmr_load_be32(w->out + 44), pointer);
    w->now += RMR_SEC;
}

static void unknown_extensions_are_told_as_parameter_problems(void **state)
{
    world *w = *state;
    uint8_t opt[8] = {0, 0, 0x40, 4, 0, 0, 0, 0}, p[200];
    assert_int_equal(feed(w, p, with_ext(p, 0, opt)), RMR_E_MALFORMED);
    assert_false(take(w)); /* 01: silently */
    opt[2] = 0x80;
    assert_int_equal(feed(w, p, with_ext(p, 0, opt)), RMR_E_MALFORMED);
    expect_problem(w, 2, 42);
    opt[2] = 0xc0;
    assert_int_equal(feed(w, p, with_ext(p, 60, opt)), RMR_E_MALFORMED);
    expect_problem(w, 2, 42);
    static const uint8_t rh0[8] = {0, 0, 0, 1, 0, 0, 0, 0};
    assert_int_equal(feed(w, p, with_ext(p, 43, rh0)), RMR_E_MALFORMED);
    expect_problem(w, 0, 42);
    static const uint8_t left[8] = {0, 0, 4, 1, 0, 0, 0, 0};
    assert_int_equal(feed(w, p, with_ext(p, 43, left)), RMR_E_MALFORMED);
    expect_problem(w, 0, 42);
    assert_int_equal(feed(w, p, ip6(p, 132, opt, 8)), RMR_E_UNKNOWN);
    expect_problem(w, 1, 6);
    assert_int_equal(w->dgrams, 0);
}

/* RFC 4443 2.4 (e.1), wherever in the chain the message begins. */
static void an_error_behind_extension_headers_is_never_answered(void **state)
{
    world *w = *state;
    uint8_t b[80] = {58, 0, 0x80, 4}, p[200];
    b[8] = 1; /* unreachable */
    assert_int_equal(feed(w, p, ip6(p, 60, b, 64)), RMR_E_MALFORMED);
    assert_false(take(w));
    b[8] = 128; /* an echo request */
    assert_int_equal(feed(w, p, ip6(p, 60, b, 64)), RMR_E_MALFORMED);
    expect_problem(w, 2, 42);
    /* The first piece of one that never becomes whole. */
    for (int i = 0; i < 2; i++) {
        uint8_t f[80] = {60, 0, 0, 1, 0, 0, 0, (uint8_t)i, 58, 0, 1, 4};
        f[16] = i ? 128 : 1;
        assert_int_equal(feed(w, p, ip6(p, 44, f, 8 + 64)), RMR_OK);
        w->now += 61 * RMR_SEC;
        assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
        assert_int_equal(take(w), i);
    }
    assert_int_equal(w->out[40], 3);
    assert_int_equal(w->out[41], 1);
}

static void long_chains_are_refused(void **state)
{
    world *w = *state;
    uint8_t b[200] = {0}, p[300];
    for (int i = 0; i < 9; i++)
        b[8 * i] = 60;
    b[8 * 8] = 17;
    size_t n = udp(b + 72, 6, 53, "hello", 5);
    assert_int_equal(feed(w, p, ip6(p, 60, b, 72 + n)), RMR_E_MALFORMED);
    assert_int_equal(feed(w, p, ip6(p, 60, b + 8, 64 + n)), RMR_OK);
    b[8] = 0; /* hop-by-hop, but not first */
    assert_int_equal(feed(w, p, ip6(p, 60, b + 8, 64 + n)), RMR_E_MALFORMED);
    b[8] = 60;
    b[9] = 255; /* past the packet */
    assert_int_equal(feed(w, p, ip6(p, 60, b + 8, 64 + n)), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 1);
}

/* ---- fragments -------------------------------------------------------- */

static uint8_t whole[3008];

static void make_whole(int family, size_t n)
{
    static uint8_t data[3000];
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    (void)udp(whole, family, 53, data, n);
}

static rmr_err piece4(world *w, uint16_t id, size_t off, size_t len, bool more)
{
    uint8_t p[3100];
    size_t n = ip4(p, 17, whole + off, len);
    rmr_store_be16(p + 4, id);
    rmr_store_be16(p + 6, (uint16_t)(off / 8 | (more ? 0x2000u : 0)));
    sum4(p);
    return feed(w, p, n);
}

static rmr_err far6(world *w, uint32_t id, size_t off, size_t len, bool more)
{
    uint8_t b[40] = {17}, p[100];
    rmr_store_be16(b + 2, (uint16_t)(off | more));
    rmr_store_be32(b + 4, id);
    return feed(w, p, ip6(p, 44, b, 8 + len));
}

static rmr_err piece6(world *w, uint32_t id, size_t off, size_t len, bool more)
{
    uint8_t b[3100], p[3200];
    b[0] = 17;
    b[1] = 0;
    rmr_store_be16(b + 2, (uint16_t)(off | more));
    rmr_store_be32(b + 4, id);
    memcpy(b + 8, whole + off, len);
    return feed(w, p, ip6(p, 44, b, 8 + len));
}

static void pieces_in_any_order_make_the_datagram(void **state)
{
    world *w = *state;
    static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int family = 4; family <= 6; family += 2) {
        make_whole(family, 2500);
        for (uint16_t k = 0; k < 6; k++) {
            int before = w->dgrams;
            for (int i = 0; i < 3; i++) {
                size_t at = orders[k][i] * 1000u;
                size_t len = at == 2000 ? 508 : 1000;
                assert_int_equal(w->dgrams, before);
                assert_int_equal(family == 4
                                     ? piece4(w, k, at, len, at != 2000)
                                     : piece6(w, k, at, len, at != 2000),
                                 RMR_OK);
            }
            assert_int_equal(w->dgrams, before + 1);
            assert_int_equal(w->len, 2500);
            assert_memory_equal(w->data, whole + 8, 2500);
        }
    }
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
}

static void a_copy_of_a_piece_is_harmless_an_overlap_is_not(void **state)
{
    world *w = *state;
    make_whole(4, 100);
    assert_int_equal(piece4(w, 1, 0, 48, true), RMR_OK);
    assert_int_equal(piece4(w, 1, 0, 48, true), RMR_OK);
    assert_int_equal(piece4(w, 1, 48, 60, false), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(piece4(w, 2, 0, 48, true), RMR_OK);
    assert_int_equal(piece4(w, 2, 40, 16, true), RMR_E_MALFORMED);
    assert_int_equal(piece4(w, 2, 48, 60, false), RMR_OK); /* a new one */
    whole[50] ^= 1;
    assert_int_equal(piece4(w, 3, 48, 16, true), RMR_OK);
    whole[50] ^= 1; /* the same place, other bytes */
    assert_int_equal(piece4(w, 3, 48, 16, true), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 1);
}

static void broken_pieces_are_refused(void **state)
{
    world *w = *state;
    make_whole(4, 100);
    assert_int_equal(piece4(w, 1, 0, 47, true), RMR_E_MALFORMED);
    assert_int_equal(piece4(w, 1, 0, 0, true), RMR_E_MALFORMED);
    assert_int_equal(piece4(w, 1, 64, 16, false), RMR_OK);
    assert_int_equal(piece4(w, 1, 80, 16, true), RMR_E_MALFORMED); /* behind */
    assert_int_equal(piece4(w, 2, 80, 16, true), RMR_OK);
    assert_int_equal(piece4(w, 2, 64, 16, false), RMR_E_MALFORMED);
    uint8_t tcp[64] = {0}, p[128];
    size_t n = ip4(p, 6, tcp, 16); /* less than a TCP header */
    rmr_store_be16(p + 6, 0x2000);
    sum4(p);
    assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
    n = ip4(p, 17, whole, 64); /* beyond 65,535 */
    rmr_store_be16(p + 6, 0x1ffc);
    sum4(p);
    assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 0);
}

static void fragments_are_bounded_and_time_out(void **state)
{
    world *w = *state;
    make_whole(4, 2500);
    int full = 0;
    for (uint16_t id = 0; id < 100; id++)
        full += piece4(w, id, 0, 1000, true) == RMR_E_FULL;
    assert_int_equal(full, 84); /* 16 a source */
    assert_true(w->alloc.live_bytes < 512 * 1024);
    assert_int_equal(rmr_ns_next_deadline(w->ns), w->now + 30 * RMR_SEC);
    w->now += 30 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    int told = 0;
    while (take(w)) {
        assert_int_equal(w->out[20], 11);
        assert_int_equal(w->out[21], 1);
        told++;
    }
    assert_in_range(told, 1, 10); /* within the limit of the destination */
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
    assert_int_equal(piece4(w, 5, 0, 1000, true), RMR_OK);
}

/* From any host of the net, of zeros. */
static rmr_err piece_of(world *w, uint8_t host, uint16_t id, size_t off,
                        size_t len, bool more, uint8_t tos)
{
    static const uint8_t zeros[9000];
    uint8_t p[9100];
    size_t n = ip4(p, 17, zeros, len);
    p[1] = tos;
    p[15] = host;
    rmr_store_be16(p + 20, 5000);
    rmr_store_be16(p + 22, off ? 0 : 53);
    rmr_store_be16(p + 24, off ? 0 : 16);
    rmr_store_be16(p + 4, id);
    rmr_store_be16(p + 6, (uint16_t)(off / 8 | (more ? 0x2000u : 0)));
    sum4(p);
    return feed(w, p, n);
}

static void the_oldest_of_64_datagrams_makes_room(void **state)
{
    world *w = *state;
    for (uint16_t i = 0; i < 65; i++) /* 13 each of five hosts */
        assert_int_equal(piece_of(w, (uint8_t)(10 + i % 5), i, 0, 8, true, 0),
                         RMR_OK);
    assert_int_equal(pkt_stats(w->ns).discard_fragment, 1);
    /* The second is there; the first is not, and begins anew. */
    assert_int_equal(piece_of(w, 11, 1, 8, 8, false, 0), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(piece_of(w, 10, 0, 8, 8, false, 0), RMR_OK);
    assert_int_equal(w->dgrams, 1);
}

static void bytes_in_reassembly_are_bounded_in_all_and_a_source(void **state)
{
    world *w = *state;
    size_t off = 0;
    /* Two of one host, of 8 KiB pieces: 64 KiB of payload. */
    for (int i = 0; i < 8; i++, off = (off + 8192) % 32768)
        assert_int_equal(
            piece_of(w, 10, (uint16_t)(1 + i / 4), off, 8192, true, 0), RMR_OK);
    assert_int_equal(piece_of(w, 10, 3, 0, 8, true, 0), RMR_E_FULL);
    assert_int_equal(pkt_stats(w->ns).discard_full, 1);
    for (uint8_t h = 11; h < 15; h++)
        for (int i = 0; i < 7; i++)
            assert_int_equal(piece_of(w, h, 1, (size_t)i * 8192, 8192, true, 0),
                             RMR_OK);
    assert_true(w->ns->frags.bytes <= NS_FRAG_BYTES);
    assert_true(pkt_stats(w->ns).discard_fragment > 0);
    w->now += 31 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_int_equal(w->ns->frags.bytes, 0);
}

static void congestion_seen_by_one_piece_is_seen_by_all(void **state)
{
    world *w = *state;
    for (uint8_t k = 0; k < 4; k++) {
        assert_int_equal(piece_of(w, 10, k, 0, 8, true, k & 1 ? 0xbb : 0xba),
                         RMR_OK);
        assert_int_equal(piece_of(w, 10, k, 8, 8, false, k & 2 ? 0xbb : 0xba),
                         RMR_OK);
        assert_int_equal(w->dgrams, k + 1);
        assert_int_equal(w->tos, k ? 0xbb : 0xba);
    }
}

static void the_first_fragment_holds_the_chain(void **state)
{
    world *w = *state;
    uint8_t b[100] = {60}, p[200]; /* destination options behind it */
    rmr_store_be16(b + 2, 1);
    b[8] = 17;
    size_t n = udp(b + 16, 6, 53, "0123456789abcdef", 16);
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 16)), RMR_OK);
    rmr_store_be16(b + 2, 16);
    memmove(b + 8, b + 24, n - 8);
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + n - 8)), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    /* The chain goes on past it, or the header does. */
    memset(b, 0, sizeof b);
    b[0] = 60;
    rmr_store_be16(b + 2, 1);
    rmr_store_be32(b + 4, 1);
    b[8] = 60;
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 8)), RMR_E_MALFORMED);
    b[9] = 2;
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 16)), RMR_E_MALFORMED);
    b[8] = 6;
    b[9] = 0;
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 24)), RMR_E_MALFORMED);
    assert_int_equal(w->ns->frags.bytes, 0);
    assert_int_equal(w->dgrams, 1);
}

static void no_failing_allocation_breaks_reassembly(void **state)
{
    world *w = *state;
    make_whole(4, 2500);
    for (size_t k = 1; k < 12; k++) {
        int before = w->dgrams;
        uint64_t full = pkt_stats(w->ns).discard_full, refused = 0;
        w->alloc.fail_at = w->alloc.calls + k;
        refused += piece4(w, (uint16_t)k, 0, 1000, true) == RMR_E_NOMEM;
        refused += piece4(w, (uint16_t)k, 1000, 1000, true) == RMR_E_NOMEM;
        refused += piece4(w, (uint16_t)k, 2000, 508, false) == RMR_E_NOMEM;
        assert_int_equal(pkt_stats(w->ns).discard_full - full, refused);
        bool failed = w->alloc.calls >= w->alloc.fail_at;
        w->alloc.fail_at = 0;
        if (!failed)
            assert_int_equal(w->dgrams, before + 1);
        w->now += 31 * RMR_SEC;
        assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
        while (take(w))
            ;
    }
    assert_true(w->dgrams > 0);
}

static void broken_pieces_of_ipv6_are_told_of(void **state)
{
    world *w = *state;
    make_whole(6, 2000);
    assert_int_equal(piece6(w, 9, 0, 1001, true), RMR_E_MALFORMED);
    expect_problem(w, 0, 4); /* the payload length */
    assert_int_equal(piece6(w, 9, 1000, 1, true), RMR_E_MALFORMED);
    assert_false(take(w));
    /* The largest payload is 65,535 bytes without the header of IPv6. */
    assert_int_equal(far6(w, 10, 65528, 8, true), RMR_E_MALFORMED);
    assert_int_equal(far6(w, 10, 65520, 15, false), RMR_OK);
    assert_int_equal(far6(w, 11, 65520, 16, false), RMR_E_MALFORMED);
}

static void pieces_of_a_datagram_are_counted(void **state)
{
    world *w = *state;
    make_whole(4, 2500);
    size_t i = 0;
    while (piece4(w, 1, i * 8, 8, true) == RMR_OK)
        assert_true(++i < 300);
    assert_int_equal(i, 256);
    assert_true(w->alloc.live_bytes < 32 * 1024); /* all of it was dropped */
}

static void an_atomic_fragment_stands_alone(void **state)
{
    world *w = *state;
    make_whole(6, 100);
    assert_int_equal(piece6(w, 9, 0, 48, true), RMR_OK);
    assert_int_equal(piece6(w, 9, 0, 108, false), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(piece6(w, 9, 48, 60, false), RMR_OK);
    assert_int_equal(w->dgrams, 2);
}

/* Each would hold one more datagram open, inside the one before. */
static void a_fragment_inside_a_fragment_is_refused(void **state)
{
    world *w = *state;
    uint8_t b[64] = {44, 0, 0, 1, 0, 0, 0, 1, 17, 0, 0, 9, 0, 0, 0, 2}, p[200];
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 24)), RMR_OK);
    rmr_store_be16(b + 2, 24); /* the rest of the outer one */
    assert_int_equal(feed(w, p, ip6(p, 44, b, 8 + 16)), RMR_E_MALFORMED);
    assert_int_equal(w->ns->frags.bytes, 0);
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
    assert_int_equal(pkt_stats(w->ns).discard_malformed, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_datagram_with_padding_behind_it_is_delivered),
        T(every_cut_of_a_packet_is_refused_in_its_place),
        T(every_flipped_bit_of_the_ipv4_header_is_refused),
        T(options_are_skipped_but_source_routes_refused),
        T(broken_ipv4_lengths_are_refused),
        T(sources_that_nobody_has_are_refused),
        T(udp_lengths_and_sums_are_checked),
        T(sending_udp_gives_right_packets_in_both_families),
        T(the_output_queue_is_bounded),
        T(the_bound_of_the_output_queue_goes_with_the_mtu),
        T(pings_are_answered_from_the_address_asked),
        T(a_ping_goes_out_and_its_answer_comes_back),
        T(a_closed_udp_port_is_told_within_limits),
        T(errors_and_fragments_are_never_answered_by_errors),
        T(known_extension_headers_are_walked),
        T(unknown_extensions_are_told_as_parameter_problems),
        T(an_error_behind_extension_headers_is_never_answered),
        T(long_chains_are_refused),
        T(pieces_in_any_order_make_the_datagram),
        T(a_copy_of_a_piece_is_harmless_an_overlap_is_not),
        T(broken_pieces_are_refused),
        T(fragments_are_bounded_and_time_out),
        T(the_oldest_of_64_datagrams_makes_room),
        T(bytes_in_reassembly_are_bounded_in_all_and_a_source),
        T(congestion_seen_by_one_piece_is_seen_by_all),
        T(the_first_fragment_holds_the_chain),
        T(no_failing_allocation_breaks_reassembly),
        T(broken_pieces_of_ipv6_are_told_of),
        T(pieces_of_a_datagram_are_counted),
        T(an_atomic_fragment_stands_alone),
        T(a_fragment_inside_a_fragment_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
