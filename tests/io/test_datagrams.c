/* UDP sockets. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Collects datagrams of a socket until there are n; each must be of pattern
 * `seed`, cut in the given sizes. */
static void expect_segments(script *s, uint64_t id, const uint8_t *data,
                            const size_t *sizes, size_t n)
{
    for (size_t have = 0; have < n;) {
        const told *t = await(s, RMR_IO_DATAGRAMS, id);
        size_t seg = t->ev.seg_size ? t->ev.seg_size : t->ev.data.len;
        for (size_t at = 0; at < t->ev.data.len; at += seg) {
            size_t len = t->ev.data.len - at;
            len = len < seg ? len : seg;
            assert_true(have < n);
            assert_int_equal(len, sizes[have]);
            assert_memory_equal(t->data + at, data, len);
            data += len;
            have++;
        }
    }
}

static void open_tells_the_port_and_datagrams_tell_their_sender(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    rmr_addr one = await_opened(&f->s, 1), two = await_opened(&f->s, 2);
    assert_true(rmr_addr_is_loopback(&one));
    assert_int_not_equal(one.port, 0);
    assert_int_not_equal(one.port, two.port);
    do_udp_send(&f->s, 1, two, "hello", 5, 0);
    const told *t = await(&f->s, RMR_IO_DATAGRAMS, 2);
    assert_int_equal(t->ev.data.len, 5);
    assert_memory_equal(t->data, "hello", 5);
    assert_true(rmr_addr_eq(&t->ev.addr, &one));
}

static void ipv6_works_likewise(void **state)
{
    fixture *f = *state;
    rmr_addr any;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[::1]:0"), &any), RMR_OK);
    do_udp_open(&f->s, 1, any);
    do_udp_open(&f->s, 2, any);
    rmr_addr one = await_opened(&f->s, 1), two = await_opened(&f->s, 2);
    assert_int_equal(one.family, RMR_AF_INET6);
    do_udp_send(&f->s, 2, one, "six", 3, 0);
    const told *t = await(&f->s, RMR_IO_DATAGRAMS, 1);
    assert_memory_equal(t->data, "six", 3);
    assert_true(rmr_addr_eq(&t->ev.addr, &two));
}

static void both_families_can_have_one_port(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, rmr_addr_v4(0, 0, 0, 0, 0));
    rmr_addr any = await_opened(&f->s, 1), six;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[::]:0"), &six), RMR_OK);
    six.port = any.port;
    do_udp_open(&f->s, 2, six);
    assert_int_equal(await_opened(&f->s, 2).port, any.port);
}

static void a_taken_port_is_in_use(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, await_opened(&f->s, 1));
    assert_int_equal(await_failed(&f->s, 2), RMR_E_INUSE);
}

static void a_closed_port_is_free_for_the_next_operation(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    for (uint64_t id = 1; id < 20; id++) {
        do_simple(&f->s, RMR_IO_CLOSE, id);
        do_udp_open(&f->s, id + 1, at);
        assert_int_equal(await_opened(&f->s, id + 1).port, at.port);
    }
}

static void a_foreign_address_is_unreachable(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, rmr_addr_v4(192, 0, 2, 77, 0));
    assert_int_equal(await_failed(&f->s, 1), RMR_E_UNREACHABLE);
    rmr_addr none;
    memset(&none, 0, sizeof none);
    do_udp_open(&f->s, 2, none);
    assert_int_equal(await_failed(&f->s, 2), RMR_E_UNSUPPORTED);
}

static void a_batch_arrives_as_its_segments(void **state)
{
    fixture *f = *state;
    static const size_t sizes[] = {100, 100, 100, 50};
    uint8_t *data = pattern(350, 1);
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 2);
    do_udp_send(&f->s, 1, to, data, 350, 100);
    expect_segments(&f->s, 2, data, sizes, 4);
    do_udp_send(&f->s, 1, to, data, 200, 100);
    expect_segments(&f->s, 2, data, sizes, 2);
    do_udp_send(&f->s, 1, to, data, 100, 100);
    expect_segments(&f->s, 2, data, sizes, 1);
    turns(&f->s, 2);
    assert_int_equal(left(&f->s, 2), 0);
    free(data);
}

static void an_empty_datagram_arrives(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1);
    do_udp_send(&f->s, 1, to, "", 0, 0);
    assert_int_equal(await(&f->s, RMR_IO_DATAGRAMS, 1)->ev.data.len, 0);
}

static void
the_largest_datagram_arrives_and_a_larger_one_is_too_big(void **state)
{
    fixture *f = *state;
    uint8_t *data = pattern(70000, 2);
    size_t whole = 65507; /* RFC 768: 65,535 less the two headers */
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1);
    do_udp_send(&f->s, 1, to, data, whole, 0);
    expect_segments(&f->s, 1, data, &whole, 1);
    do_udp_send(&f->s, 1, to, data, 70000, 0);
    const told *t = await(&f->s, RMR_IO_SEND_FAILED, 1);
    assert_int_equal(t->ev.err, RMR_E_TOOBIG);
    assert_true(rmr_addr_eq(&t->ev.addr, &to));
    do_udp_send(&f->s, 1, to, data, 1, 0); /* the socket goes on */
    (void)await(&f->s, RMR_IO_DATAGRAMS, 1);
    free(data);
}

static void a_socket_that_does_not_fragment_says_so(void **state)
{
    fixture *f = *state;
    rmr_addr six;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[::1]:0"), &six), RMR_OK);
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open_whole(&f->s, 2, LOOPBACK4);
    do_udp_open_whole(&f->s, 3, six);
    assert_false(await(&f->s, RMR_IO_OPENED, 1)->ev.dont_fragment);
    assert_true(await(&f->s, RMR_IO_OPENED, 3)->ev.dont_fragment);
    const told *t = await(&f->s, RMR_IO_OPENED, 2);
    assert_true(t->ev.dont_fragment);
    do_udp_send(&f->s, 1, t->ev.addr, "x", 1, 0);
    (void)await(&f->s, RMR_IO_DATAGRAMS, 2);
}

static void a_datagram_to_a_closed_port_harms_nothing(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    rmr_addr one = await_opened(&f->s, 1), two = await_opened(&f->s, 2);
    do_simple(&f->s, RMR_IO_CLOSE, 2);
    for (int i = 0; i < 3; i++)
        do_udp_send(&f->s, 1, two, "x", 1, 0);
    do_udp_send(&f->s, 1, one, "self", 4, 0);
    (void)await(&f->s, RMR_IO_DATAGRAMS, 1);
    assert_int_equal(left(&f->s, 2), 0);
}

static void work_for_a_flooded_socket_is_bounded(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1), quiet = await_opened(&f->s, 2);
    for (int i = 0; i < 200; i++)
        do_udp_send(&f->s, 2, to, "f", 1, 0);
    do_udp_send(&f->s, 1, quiet, "q", 1, 0);
    turns(&f->s, 1);
    const told *calm = seen(&f->s, RMR_IO_DATAGRAMS, 2);
    assert_non_null(calm);                        /* not starved */
    size_t asked[200], quietly = calm->n_next_op; /* calls before each */
    for (size_t i = 0; i < 200; i++) {
        asked[i] = await(&f->s, RMR_IO_DATAGRAMS, 1)->n_next_op;
        /* What the machine wants to send goes out in between. */
        assert_int_not_equal(asked[i], quietly);
    }
    assert_true(asked[199] > asked[0]); /* and not behind all of it */
}

static void a_reply_to_an_icmp_echo_is_told(void **state)
{
    /* RFC 792: type, code, checksum, identifier, sequence, payload; the sum of
     * all 16-bit words is 0xffff. */
    static const uint8_t echo[] = {8,    0,    0x93, 0x8e, 0x12, 0x34,
                                   0x00, 0x07, 'r',  'e',  'm',  'o',
                                   'r',  'a',  0x00, 0x00};
    fixture *f = *state;
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_ICMP_OPEN;
    op.id = 1;
    op.addr.family = RMR_AF_INET;
    do_op(&f->s, &op);
    turns(&f->s, 1);
    const told *t = seen(&f->s, RMR_IO_FAILED, 1);
    if (t) { /* the host's rules: said so, and nothing else comes */
        assert_true(t->ev.err == RMR_E_DENIED ||
                    t->ev.err == RMR_E_UNSUPPORTED);
        assert_int_equal(left(&f->s, 1), 0);
        return;
    }
    (void)await_opened(&f->s, 1);
    do_udp_send(&f->s, 1, LOOPBACK4, echo, sizeof echo, 0);
    t = await(&f->s, RMR_IO_DATAGRAMS, 1);
    assert_int_equal(t->ev.data.len, sizeof echo);
    assert_int_equal(t->data[0], 0); /* echo reply */
    assert_memory_equal(t->data + 6, echo + 6, sizeof echo - 6);
    rmr_addr from = t->ev.addr, us = LOOPBACK4;
    assert_true(rmr_addr_ip_eq(&from, &us));
    turns(&f->s, 3);
    /* Of a raw socket: replies to others may come, the request does not. */
    while ((t = seen(&f->s, RMR_IO_DATAGRAMS, 1)))
        assert_int_equal(t->data[0], 0);
}

static void icmp_of_no_family_is_unsupported(void **state)
{
    fixture *f = *state;
    do_simple(&f->s, RMR_IO_ICMP_OPEN, 1);
    assert_int_equal(await_failed(&f->s, 1), RMR_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(open_tells_the_port_and_datagrams_tell_their_sender),
        IO_TEST(ipv6_works_likewise),
        IO_TEST(both_families_can_have_one_port),
        IO_TEST(a_taken_port_is_in_use),
        IO_TEST(a_closed_port_is_free_for_the_next_operation),
        IO_TEST(a_foreign_address_is_unreachable),
        IO_TEST(a_batch_arrives_as_its_segments),
        IO_TEST(an_empty_datagram_arrives),
        IO_TEST(the_largest_datagram_arrives_and_a_larger_one_is_too_big),
        IO_TEST(a_socket_that_does_not_fragment_says_so),
        IO_TEST(a_datagram_to_a_closed_port_harms_nothing),
        IO_TEST(work_for_a_flooded_socket_is_bounded),
        IO_TEST(a_reply_to_an_icmp_echo_is_told),
        IO_TEST(icmp_of_no_family_is_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
