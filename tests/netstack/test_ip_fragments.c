/* Fragments of both families: what is put together, and what is not. */
#include "ip_world.h"

static uint8_t whole[3008];

static void make_whole(int family, size_t n)
{
    static uint8_t data[3000];
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    (void)ipw_udp(whole, family, 53, data, n);
}

static rmr_err piece4(world *w, uint16_t id, size_t off, size_t len, bool more)
{
    uint8_t p[3100];
    size_t n = ipw_ip4(p, 17, whole + off, len);
    rmr_store_be16(p + 4, id);
    rmr_store_be16(p + 6, (uint16_t)(off / 8 | (more ? 0x2000u : 0)));
    ipw_sum4(p);
    return ipw_feed(w, p, n);
}

static rmr_err far6(world *w, uint32_t id, size_t off, size_t len, bool more)
{
    uint8_t b[40] = {17}, p[100];
    rmr_store_be16(b + 2, (uint16_t)(off | more));
    rmr_store_be32(b + 4, id);
    return ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + len));
}

static rmr_err piece6(world *w, uint32_t id, size_t off, size_t len, bool more)
{
    uint8_t b[3100], p[3200];
    b[0] = 17;
    b[1] = 0;
    rmr_store_be16(b + 2, (uint16_t)(off | more));
    rmr_store_be32(b + 4, id);
    memcpy(b + 8, whole + off, len);
    return ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + len));
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
    size_t n = ipw_ip4(p, 6, tcp, 16); /* less than a TCP header */
    rmr_store_be16(p + 6, 0x2000);
    ipw_sum4(p);
    assert_int_equal(ipw_feed(w, p, n), RMR_E_MALFORMED);
    n = ipw_ip4(p, 17, whole, 64); /* beyond 65,535 */
    rmr_store_be16(p + 6, 0x1ffc);
    ipw_sum4(p);
    assert_int_equal(ipw_feed(w, p, n), RMR_E_MALFORMED);
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
    while (ipw_take(w)) {
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
    size_t n = ipw_ip4(p, 17, zeros, len);
    p[1] = tos;
    p[15] = host;
    rmr_store_be16(p + 20, 5000);
    rmr_store_be16(p + 22, off ? 0 : 53);
    rmr_store_be16(p + 24, off ? 0 : 16);
    rmr_store_be16(p + 4, id);
    rmr_store_be16(p + 6, (uint16_t)(off / 8 | (more ? 0x2000u : 0)));
    ipw_sum4(p);
    return ipw_feed(w, p, n);
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
    size_t n = ipw_udp(b + 16, 6, 53, "0123456789abcdef", 16);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 16)), RMR_OK);
    rmr_store_be16(b + 2, 16);
    memmove(b + 8, b + 24, n - 8);
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + n - 8)), RMR_OK);
    assert_int_equal(w->dgrams, 1);
    /* The chain goes on past it, or the header does. */
    memset(b, 0, sizeof b);
    b[0] = 60;
    rmr_store_be16(b + 2, 1);
    rmr_store_be32(b + 4, 1);
    b[8] = 60;
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 8)), RMR_E_MALFORMED);
    b[9] = 2;
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 16)),
                     RMR_E_MALFORMED);
    b[8] = 6;
    b[9] = 0;
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 24)),
                     RMR_E_MALFORMED);
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
        while (ipw_take(w))
            ;
    }
    assert_true(w->dgrams > 0);
}

static void broken_pieces_of_ipv6_are_told_of(void **state)
{
    world *w = *state;
    make_whole(6, 2000);
    assert_int_equal(piece6(w, 9, 0, 1001, true), RMR_E_MALFORMED);
    ipw_expect_problem(w, 0, 4); /* the payload length */
    assert_int_equal(piece6(w, 9, 1000, 1, true), RMR_E_MALFORMED);
    assert_false(ipw_take(w));
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
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 24)), RMR_OK);
    rmr_store_be16(b + 2, 24); /* the rest of the outer one */
    assert_int_equal(ipw_feed(w, p, ipw_ip6(p, 44, b, 8 + 16)),
                     RMR_E_MALFORMED);
    assert_int_equal(w->ns->frags.bytes, 0);
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
    assert_int_equal(pkt_stats(w->ns).discard_malformed, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, ipw_setup, ipw_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
