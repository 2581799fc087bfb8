/* IPv4, IPv6, ICMP and UDP, packet by packet. */
#include "ip_world.h"

/* ---- IPv4 ------------------------------------------------------------- */

static void a_datagram_with_padding_behind_it_is_delivered(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128] = {0};
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "hello", 5));
    assert_int_equal(ipw_feed(w, p, n + 15), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    assert_int_equal(w->len, 5);
    assert_memory_equal(w->data, "hello", 5);
    assert_int_equal(w->from.port, 5000);
    assert_int_equal(w->to.port, 53);
    assert_memory_equal(w->from.ip, ipw_you4, 16);
    assert_memory_equal(w->to.ip, ipw_me4, 16);
}

static void every_cut_of_a_packet_is_refused_in_its_place(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "hello", 5));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ipw_feed(w, p, i), RMR_E_MALFORMED);
    n = ipw_ip6(p, 17, u, ipw_udp(u, 6, 53, "hello", 5));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ipw_feed(w, p, i), RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 0);
    assert_false(ipw_take(w));
}

static void every_flipped_bit_of_the_ipv4_header_is_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "hello", 5));
    for (size_t i = 0; i < 160; i++) {
        p[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_int_not_equal(ipw_feed(w, p, n), RMR_OK);
        p[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    assert_int_equal(w->dgrams, 0);
    assert_false(ipw_take(w));
}

static void options_are_skipped_but_source_routes_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128], q[128];
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "hello", 5));
    for (int i = 0; i < 256; i++) {
        memcpy(q, p, 20);
        memset(q + 20, 0, 8);
        q[20] = (uint8_t)i;
        q[21] = 4;
        q[22] = 4;
        memcpy(q + 28, p + 20, n - 20);
        q[0] = 0x47;
        rmr_store_be16(q + 2, (uint16_t)(n + 8));
        ipw_sum4(q);
        rmr_err want = i == 131 || i == 137 ? RMR_E_MALFORMED : RMR_OK;
        assert_int_equal(ipw_feed(w, q, n + 8), want);
    }
    q[20] = 7;
    q[21] = 9; /* past the header */
    ipw_sum4(q);
    assert_int_equal(ipw_feed(w, q, n + 8), RMR_E_MALFORMED);
    q[21] = 0;
    ipw_sum4(q);
    assert_int_equal(ipw_feed(w, q, n + 8), RMR_E_MALFORMED);
}

static void broken_ipv4_lengths_are_refused(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "hello", 5));
    p[0] = 0x44;
    ipw_sum4(p);
    assert_int_equal(ipw_feed(w, p, n), RMR_E_MALFORMED);
    p[0] = 0x46;
    rmr_store_be16(p + 2, 20);
    ipw_sum4(p);
    assert_int_equal(ipw_feed(w, p, n), RMR_E_MALFORMED);
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
        size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 99, "x", 1));
        p[26] = p[27] = 0; /* no checksum */
        memcpy(p + 12, bad[i], 4);
        ipw_sum4(p);
        assert_int_equal(ipw_feed(w, p, n), RMR_E_MALFORMED);
        assert_false(ipw_take(w));
    }
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 53, "x", 1));
    p[19] = 77; /* not ours */
    ipw_sum4(p);
    assert_int_equal(ipw_feed(w, p, n), RMR_E_UNKNOWN);
    assert_int_equal(pkt_stats(w->ns).discard_not_local, 1);
}

/* ---- UDP -------------------------------------------------------------- */

static void udp_lengths_and_sums_are_checked(void **state)
{
    world *w = *state;
    uint8_t u[64], p[128];
    size_t n = ipw_udp(u, 4, 53, "hello", 5);
    u[6] = u[7] = 0; /* no checksum: fine in IPv4 */
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 17, u, n)), RMR_OK);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 17, u, n)), RMR_E_MALFORMED);
    n = ipw_udp(u, 4, 53, "hello", 5);
    u[9] ^= 1;
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 17, u, n)), RMR_E_MALFORMED);
    assert_int_equal(pkt_stats(w->ns).discard_checksum, 2);
    n = ipw_udp(u, 4, 53, "hello", 5);
    rmr_store_be16(u + 4, 7);
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 17, u, n)), RMR_E_MALFORMED);
    rmr_store_be16(u + 4, 14);
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 17, u, n)), RMR_E_MALFORMED);
    n = ipw_udp(u, 4, 53, "hel", 3); /* shorter than the IP payload: trimmed */
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 17, u, n + 4)), RMR_OK);
    assert_int_equal(w->dgrams, 2);
    assert_int_equal(w->len, 3);
}

static void sending_udp_gives_right_packets_in_both_families(void **state)
{
    world *w = *state;
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you4, 4), 99);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to, rmr_bytes_str("abc")),
        RMR_OK);
    assert_true(ipw_take(w));
    assert_int_equal(w->out_len, 31);
    assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(0, w->out, 20)), 0xffff);
    assert_int_equal(
        rmri_ns_sum_fold(rmri_ns_sum(ipw_pseudo(4, 17, 11), w->out + 20, 11)),
        0xffff);
    assert_memory_equal(w->out + 12, ipw_me4, 4);
    assert_memory_equal(w->out + 28, "abc", 3);
    to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you6, 16), 99);
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to, rmr_bytes_str("abc")),
        RMR_OK);
    assert_true(ipw_take(w));
    assert_int_equal(w->out_len, 51);
    assert_int_equal(
        rmri_ns_sum_fold(rmri_ns_sum(ipw_pseudo(6, 17, 11), w->out + 40, 11)),
        0xffff);
    static const uint8_t big[65508];
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_E_TOOBIG);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, 1232)),
                     RMR_OK);
    assert_true(ipw_take(w));
    assert_int_equal(w->out_len, 1280);
    assert_false(ipw_take(w));
    rmr_addr other = rmr_addr_v4(9, 9, 9, 9, 0);
    to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you4, 4), 99);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, &other, &to,
                                     rmr_bytes_str("abc")),
                     RMR_E_UNREACHABLE);
}

static void the_output_queue_is_bounded(void **state)
{
    world *w = *state;
    static const uint8_t big[1200];
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you4, 4), 99);
    int n = 0;
    while (rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                           rmr_bytes_of(big, sizeof big)) == RMR_OK)
        assert_true(++n < 1000);
    assert_true(n > 100);
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &to,
                                     rmr_bytes_of(big, sizeof big)),
                     RMR_E_FULL);
    while (n--)
        assert_true(ipw_take(w));
    assert_false(ipw_take(w));
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
    rmr_addr me = rmr_addr_from_bytes(rmr_bytes_of(ipw_me4, 4), 0);
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you4, 4), 99);
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
        size_t len = ipw_ip4(p, 1, e, ipw_echo(e, 4, false, n));
        assert_int_equal(ipw_feed(w, p, len), RMR_OK);
        assert_true(ipw_take(w));
        assert_int_equal(w->out_len, len);
        assert_memory_equal(w->out + 12, ipw_me4, 4);
        assert_memory_equal(w->out + 16, ipw_you4, 4);
        assert_int_equal(w->out[20], 0);
        assert_memory_equal(w->out + 24, p + 24, 4 + n);
        assert_int_equal(
            rmri_ns_sum_fold(rmri_ns_sum(0, w->out + 20, len - 20)), 0xffff);
    }
    size_t len = ipw_ip6(p, 58, e, ipw_echo(e, 6, false, 1232));
    assert_int_equal(ipw_feed(w, p, len), RMR_OK);
    assert_true(ipw_take(w));
    assert_int_equal(w->out[40], 129);
    assert_memory_equal(w->out + 44, p + 44, len - 44);
    assert_int_equal(rmri_ns_sum_fold(rmri_ns_sum(ipw_pseudo(6, 58, len - 40),
                                                  w->out + 40, len - 40)),
                     0xffff);
    assert_int_equal(pkt_stats(w->ns).icmp_echo_answered, 3);
}

static void a_ping_goes_out_and_its_answer_comes_back(void **state)
{
    world *w = *state;
    uint8_t e[100], p[200];
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(ipw_you4, 4), 0);
    assert_int_equal(rmr_ns_ping(w->ns, w->now, &to, 7, 9, rmr_bytes_str("hi")),
                     RMR_OK);
    assert_true(ipw_take(w));
    assert_int_equal(w->out[20], 8);
    assert_int_equal(ipw_feed(w, p, ipw_ip4(p, 1, e, ipw_echo(e, 4, true, 11))),
                     RMR_OK);
    assert_int_equal(w->pongs, 1);
    assert_int_equal(w->len, 11);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 58, e, ipw_echo(e, 6, true, 3))),
                     RMR_OK);
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
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 99, "hello", 5));
    int told = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(ipw_feed(w, p, n), RMR_E_UNKNOWN);
        w->now += 5 * RMR_MS;
        while (ipw_take(w)) {
            told++;
            assert_int_equal(w->out[20], 3);
            assert_int_equal(w->out[21], 3);
            assert_int_equal(w->out_len, 28 + n);
            assert_memory_equal(w->out + 28, p, n);
        }
    }
    assert_in_range(told, 15, 21); /* 10 at once and 10 a second */
    n = ipw_ip6(p, 17, u, ipw_udp(u, 6, 99, "hello", 5));
    assert_int_equal(ipw_feed(w, p, n), RMR_E_UNKNOWN);
    assert_true(ipw_take(w));
    assert_int_equal(w->out[40], 1);
    assert_int_equal(w->out[41], 4);
}

static void errors_and_fragments_are_never_answered_by_errors(void **state)
{
    world *w = *state;
    uint8_t e[100] = {3, 3}, p[200], u[64];
    rmri_ns_sum_store(e + 2, rmri_ns_sum(0, e, 36));
    (void)ipw_feed(w, p, ipw_ip4(p, 1, e, 36));
    assert_false(ipw_take(w));
    size_t n = ipw_ip4(p, 17, u, ipw_udp(u, 4, 99, "0123456789abcdef", 16));
    rmr_store_be16(p + 6, 5); /* a last fragment, not the first */
    ipw_sum4(p);
    (void)ipw_feed(w, p, n);
    w->now += 31 * RMR_SEC;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_false(ipw_take(w));
}

/* ---- IPv6 extension headers ------------------------------------------- */

static size_t with_ext(uint8_t *p, uint8_t kind, const uint8_t ext[8])
{
    uint8_t b[128];
    memcpy(b, ext, 8);
    b[0] = 17;
    size_t n = ipw_udp(b + 8, 6, 53, "hello", 5);
    return ipw_ip6(p, kind, b, 8 + n);
}

static void known_extension_headers_are_walked(void **state)
{
    world *w = *state;
    static const uint8_t pad[8] = {0, 0, 1, 4, 0, 0, 0, 0};
    static const uint8_t pad1[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t skip[8] = {0, 0, 0x3e, 4, 1, 2, 3, 4};
    static const uint8_t route[8] = {0, 0, 4, 0, 0, 0, 0, 0};
    uint8_t p[200];
    assert_int_equal(ipw_feed(w, p, with_ext(p, 0, pad)), RMR_OK);
    assert_int_equal(ipw_feed(w, p, with_ext(p, 60, pad1)), RMR_OK);
    assert_int_equal(ipw_feed(w, p, with_ext(p, 60, skip)), RMR_OK);
    assert_int_equal(ipw_feed(w, p, with_ext(p, 43, route)), RMR_OK);
    assert_int_equal(w->dgrams, 4);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 59, pad, 8)), RMR_OK);
    assert_int_equal(w->dgrams, 4);
    assert_false(ipw_take(w));
}

static void unknown_extensions_are_told_as_parameter_problems(void **state)
{
    world *w = *state;
    uint8_t opt[8] = {0, 0, 0x40, 4, 0, 0, 0, 0}, p[200];
    assert_int_equal(ipw_feed(w, p, with_ext(p, 0, opt)), RMR_E_MALFORMED);
    assert_false(ipw_take(w)); /* 01: silently */
    opt[2] = 0x80;
    assert_int_equal(ipw_feed(w, p, with_ext(p, 0, opt)), RMR_E_MALFORMED);
    ipw_expect_problem(w, 2, 42);
    opt[2] = 0xc0;
    assert_int_equal(ipw_feed(w, p, with_ext(p, 60, opt)), RMR_E_MALFORMED);
    ipw_expect_problem(w, 2, 42);
    static const uint8_t rh0[8] = {0, 0, 0, 1, 0, 0, 0, 0};
    assert_int_equal(ipw_feed(w, p, with_ext(p, 43, rh0)), RMR_E_MALFORMED);
    ipw_expect_problem(w, 0, 42);
    static const uint8_t left[8] = {0, 0, 4, 1, 0, 0, 0, 0};
    assert_int_equal(ipw_feed(w, p, with_ext(p, 43, left)), RMR_E_MALFORMED);
    ipw_expect_problem(w, 0, 42);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 132, opt, 8)), RMR_E_UNKNOWN);
    ipw_expect_problem(w, 1, 6);
    assert_int_equal(w->dgrams, 0);
}

/* RFC 4443 2.4 (e.1), wherever in the chain the message begins. */
static void an_error_behind_extension_headers_is_never_answered(void **state)
{
    world *w = *state;
    uint8_t b[80] = {58, 0, 0x80, 4}, p[200];
    b[8] = 1; /* unreachable */
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b, 64)), RMR_E_MALFORMED);
    assert_false(ipw_take(w));
    b[8] = 128; /* an echo request */
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b, 64)), RMR_E_MALFORMED);
    ipw_expect_problem(w, 2, 42);
    /* The first piece of one that never becomes whole. */
    for (int i = 0; i < 2; i++) {
        uint8_t f[80] = {60, 0, 0, 1, 0, 0, 0, (uint8_t)i, 58, 0, 1, 4};
        f[16] = i ? 128 : 1;
        assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, f, 8 + 64)), RMR_OK);
        w->now += 61 * RMR_SEC;
        assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
        assert_int_equal(ipw_take(w), i);
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
    size_t n = ipw_udp(b + 72, 6, 53, "hello", 5);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b, 72 + n)),
                     RMR_E_MALFORMED);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b + 8, 64 + n)), RMR_OK);
    b[8] = 0; /* hop-by-hop, but not first */
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b + 8, 64 + n)),
                     RMR_E_MALFORMED);
    b[8] = 60;
    b[9] = 255; /* past the packet */
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 60, b + 8, 64 + n)),
                     RMR_E_MALFORMED);
    assert_int_equal(w->dgrams, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, ipw_setup, ipw_teardown)

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
