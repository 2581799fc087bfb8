/* The stub resolver behind answers that were cut off: questions by TCP. */
#include "dns_rig.h"

#include <remora/cursor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct ask { /* a question, and by what stream it came (0: none) */
    rmr_addr to;
    uint64_t stream;
    uint8_t msg[RMR_DNS_MAX_QUERY];
    size_t len;
} ask;

static rmr_err make(rig *r, size_t n_servers)
{
    rmr_addr servers[2];
    rmr_dns_config cfg = {0};
    cfg.callbacks.user = r;
    cfg.callbacks.on_answer = rig_on_answer;
    cfg.can_tcp = true;
    servers[0] = rmr_addr_v4(192, 0, 2, 53, 53);
    servers[1] = rmr_addr_v4(192, 0, 2, 54, 53);
    rmr_err e = rmr_dns_new(&r->d, &r->env, &cfg);
    return e ? e
             : rmr_dns_set_servers(r->d, servers, n_servers,
                                   rmr_bytes_of(NULL, 0),
                                   rmr_bytes_of(NULL, 0));
}

static void begin(rig *r, size_t n_servers)
{
    rig_prepare(r);
    assert_int_equal(make(r, n_servers), RMR_OK);
}

/* A question by UDP. */
static ask by_udp(rig *r)
{
    ask a = {0};
    assert_int_equal(rmr_dns_write_pkt(r->d, r->now,
                                       rmr_buf_of(a.msg, sizeof a.msg), &a.len,
                                       &a.to),
                     RMR_OK);
    assert_true(a.len > 0);
    return a;
}

static bool wants_stream(rig *r, ask *a)
{
    memset(a, 0, sizeof *a);
    return rmr_dns_next_stream(r->d, r->now, &a->stream, &a->to);
}

/* A stream is asked for, opens, and takes the question. */
static ask by_tcp(rig *r)
{
    ask a;
    uint8_t framed[RMR_DNS_MAX_QUERY];
    size_t len;
    assert_true(wants_stream(r, &a));
    assert_true(a.stream != 0 && rmr_dns_has_stream(r->d, a.stream));
    assert_int_equal(rmr_dns_write_stream(r->d, r->now, a.stream,
                                          rmr_buf_of(framed, sizeof framed),
                                          &len),
                     RMR_OK);
    assert_true(len > 14 && rmr_load_be16(framed) == len - 2);
    a.len = len - 2;
    memcpy(a.msg, framed + 2, a.len);
    return a;
}

static size_t question_end(const ask *a)
{
    rmri_dns_name name;
    size_t at = 12;
    assert_true(rmri_dns_read_name(rmr_bytes_of(a->msg, a->len), &at, &name));
    return at + 4;
}

/* n addresses of the question's family, the last byte counting from 1. */
static size_t build(const ask *a, unsigned flags, size_t n, uint8_t *dst)
{
    size_t len = question_end(a);
    bool six = rmr_load_be16(a->msg + len - 4) == RMRI_DNS_AAAA;
    size_t ip_len = six ? 16 : 4;
    memcpy(dst, a->msg, len);
    rmr_store_be16(dst + 2, (uint16_t)flags);
    rmr_store_be16(dst + 6, (uint16_t)n);
    rmr_store_be16(dst + 10, 0);
    for (size_t i = 0; i < n; i++) {
        memset(dst + len, 0, 12 + ip_len);
        rmr_store_be16(dst + len, 0xc00c);
        rmr_store_be16(dst + len + 2, six ? RMRI_DNS_AAAA : RMRI_DNS_A);
        rmr_store_be16(dst + len + 4, 1);
        rmr_store_be16(dst + len + 10, (uint16_t)ip_len);
        dst[len + 12] = six ? 0xfd : 192;
        len += 12 + ip_len;
        dst[len - 1] = (uint8_t)(i + 1);
    }
    return len;
}

static rmr_err answer_udp(rig *r, const ask *a, unsigned flags, size_t n)
{
    uint8_t msg[1232];
    size_t len = build(a, flags, n, msg);
    return rmr_dns_read_pkt(r->d, r->now, &a->to, rmr_bytes_of(msg, len));
}

static size_t frame(const ask *a, unsigned flags, size_t n, uint8_t *dst)
{
    size_t len = build(a, flags, n, dst + 2);
    rmr_store_be16(dst, (uint16_t)len);
    return len + 2;
}

static rmr_err feed(rig *r, const ask *a, const uint8_t *p, size_t len)
{
    return rmr_dns_read_stream(r->d, r->now, a->stream, rmr_bytes_of(p, len));
}

static rmr_err answer_tcp(rig *r, const ask *a, unsigned flags, size_t n)
{
    uint8_t msg[2048];
    return feed(r, a, msg, frame(a, flags, n, msg));
}

/* A query whose A was cut off with n addresses, and whose AAAA has none; the
 * question by TCP. */
static ask cut(rig *r, uint64_t id, size_t n)
{
    rig_query(r, id, "a.example");
    ask a = by_udp(r), aaaa = by_udp(r);
    assert_int_equal(answer_udp(r, &aaaa, OK, 0), RMR_OK);
    assert_int_equal(answer_udp(r, &a, CUT, n), RMR_OK);
    rig_expect_log(r, "");
    ask t = by_tcp(r);
    assert_true(rmr_addr_eq(&t.to, &a.to));
    assert_int_equal(t.len, a.len);
    assert_memory_equal(t.msg, a.msg, a.len);
    return t;
}

/* ---- the way it should go ---------------------------------------------- */

static void behind_a_cut_answer_the_same_server_is_asked_by_tcp(void **state)
{
    (void)state;
    rig r;
    ask none;
    uint8_t dst[RMR_DNS_MAX_QUERY];
    size_t len = 1;
    begin(&r, 2);
    ask t = cut(&r, 9, 1);
    assert_false(wants_stream(&r, &none));
    assert_int_equal(rmr_dns_write_stream(r.d, r.now, t.stream,
                                          rmr_buf_of(dst, sizeof dst), &len),
                     RMR_OK);
    assert_int_equal(len, 0); /* once */
    assert_int_equal(answer_tcp(&r, &t, OK, 3), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1 192.0.0.2 192.0.0.3\n");
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    assert_int_equal(rmr_dns_write_stream(r.d, r.now, t.stream,
                                          rmr_buf_of(dst, sizeof dst), &len),
                     RMR_E_UNKNOWN);
    assert_int_equal(answer_tcp(&r, &t, OK, 3), RMR_E_UNKNOWN);
    assert_true(rmr_dns_is_idle(r.d));
    rig_end(&r);
}

static void no_stream_is_asked_for_where_the_host_has_none(void **state)
{
    (void)state;
    rig r;
    ask t;
    rmr_dns_config cfg = {0};
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rig_prepare(&r);
    cfg.callbacks.user = &r;
    cfg.callbacks.on_answer = rig_on_answer;
    assert_int_equal(rmr_dns_new(&r.d, &r.env, &cfg), RMR_OK);
    assert_int_equal(rmr_dns_set_servers(r.d, &server, 1, rmr_bytes_of(NULL, 0),
                                         rmr_bytes_of(NULL, 0)),
                     RMR_OK);
    assert_int_equal(rmr_dns_query(r.d, r.now, 9, "a.example"), RMR_OK);
    ask a = by_udp(&r), aaaa = by_udp(&r);
    assert_int_equal(answer_udp(&r, &aaaa, OK, 0), RMR_OK);
    assert_int_equal(answer_udp(&r, &a, CUT, 1), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    assert_false(wants_stream(&r, &t));
    rig_end(&r);
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    (void)state;
    rig r;
    uint8_t msg[512];
    begin(&r, 1);
    ask t = cut(&r, 9, 0);
    size_t len = frame(&t, OK, 2, msg);
    for (size_t i = 0; i < len; i++) {
        rig_expect_log(&r, "");
        assert_int_equal(feed(&r, &t, msg + i, 0), RMR_OK);
        assert_int_equal(feed(&r, &t, msg + i, 1), RMR_OK);
    }
    rig_expect_log(&r, "9 ok 192.0.0.1 192.0.0.2\n");
    for (size_t split = 0; split <= len; split++) {
        t = cut(&r, split, 0);
        len = frame(&t, OK, 2, msg);
        assert_int_equal(feed(&r, &t, msg, split), RMR_OK);
        if (split < len)
            assert_int_equal(feed(&r, &t, msg + split, len - split), RMR_OK);
        char want[64];
        (void)snprintf(want, sizeof want, "%u ok 192.0.0.1 192.0.0.2\n",
                       (unsigned)split);
        rig_expect_log(&r, want);
    }
    rig_end(&r);
}

static void the_largest_message_fits_and_what_follows_is_not_read(void **state)
{
    (void)state;
    static uint8_t msg[2 + 65535 + 5];
    rig r;
    begin(&r, 1);
    ask t = cut(&r, 9, 0);
    (void)frame(&t, OK, 16, msg);
    rmr_store_be16(msg, 65535);
    assert_int_equal(feed(&r, &t, msg, 2 + 65535 - 1), RMR_OK);
    rig_expect_log(&r, "");
    assert_int_equal(feed(&r, &t, msg + 2 + 65535 - 1, 6), RMR_OK);
    assert_non_null(strstr(r.log, "9 ok 192.0.0.1 "));
    assert_non_null(strstr(r.log, "192.0.0.16\n"));
    rig_end(&r);
}

static void no_name_by_tcp_is_no_name(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    ask t = cut(&r, 9, 1);
    assert_int_equal(answer_tcp(&r, &t, NXDOMAIN, 0), RMR_OK);
    rig_expect_log(&r, "9 not found\n");
    rig_end(&r);
}

static void a_cut_answer_by_tcp_gives_what_it_has(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    ask t = cut(&r, 9, 0);
    assert_int_equal(answer_tcp(&r, &t, CUT, 2), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1 192.0.0.2\n");
    t = cut(&r, 8, 0);
    assert_int_equal(answer_tcp(&r, &t, CUT, 0), RMR_OK);
    rig_expect_log(&r, "8 refused\n");
    rig_end(&r);
}

static void a_server_without_edns_is_asked_again_by_udp(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    ask t = cut(&r, 9, 0);
    assert_int_equal(answer_tcp(&r, &t, FORMERR, 0), RMR_OK);
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    ask a = by_udp(&r);
    assert_int_equal(a.len, question_end(&a));
    assert_int_equal(answer_udp(&r, &a, CUT, 0), RMR_OK);
    t = by_tcp(&r);
    assert_int_equal(t.len, question_end(&t));
    assert_int_equal(answer_tcp(&r, &t, OK, 1), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    rig_end(&r);
}

static void
half_a_second_behind_one_family_the_other_gives_what_it_had(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    assert_int_equal(rmr_dns_query(r.d, r.now, 9, "a.example"), RMR_OK);
    ask a = by_udp(&r), aaaa = by_udp(&r);
    assert_int_equal(answer_udp(&r, &a, CUT, 1), RMR_OK);
    ask t = by_tcp(&r);
    assert_int_equal(answer_udp(&r, &aaaa, OK, 1), RMR_OK);
    rig_pass(&r, 500 * RMR_MS);
    rig_expect_log(&r, "9 ok fd00::1 192.0.0.1\n");
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    rig_end(&r);
}

/* ---- what goes wrong --------------------------------------------------- */

static void a_stream_that_ends_leaves_what_the_cut_answer_had(void **state)
{
    (void)state;
    rig r;
    uint8_t msg[512];
    begin(&r, 2);
    ask t = cut(&r, 9, 1);
    assert_int_equal(feed(&r, &t, msg, frame(&t, OK, 4, msg) - 1), RMR_OK);
    rmr_dns_end_stream(r.d, r.now, t.stream);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    rmr_dns_end_stream(r.d, r.now, t.stream);
    rmr_dns_end_stream(r.d, r.now, 0);
    /* And by SERVFAIL, and by silence. */
    t = cut(&r, 8, 1);
    assert_int_equal(answer_tcp(&r, &t, SERVFAIL, 0), RMR_OK);
    rig_expect_log(&r, "8 ok 192.0.0.1\n");
    t = cut(&r, 7, 1);
    assert_true(rmr_dns_next_deadline(r.d) == r.now + 2 * RMR_SEC);
    rig_pass(&r, 2 * RMR_SEC);
    rig_expect_log(&r, "7 ok 192.0.0.1\n");
    rmr_dns_stats s;
    rmr_dns_get_stats(r.d, &s);
    assert_int_equal(s.streams, 3);
    assert_int_equal(s.stream_failures, 3);
    rig_end(&r);
}

static void without_any_address_the_next_server_is_asked(void **state)
{
    (void)state;
    rig r;
    begin(&r, 2);
    ask t = cut(&r, 9, 0);
    rmr_dns_end_stream(r.d, r.now, t.stream);
    ask a = by_udp(&r);
    assert_int_equal(a.to.ip[3], 54);
    assert_int_equal(answer_udp(&r, &a, CUT, 0), RMR_OK);
    t = by_tcp(&r);
    assert_int_equal(t.to.ip[3], 54);
    rmr_dns_end_stream(r.d, r.now, t.stream);
    rig_expect_log(&r, "9 refused\n"); /* both have said that they can't */
    rig_end(&r);
}

static void a_server_that_is_silent_by_tcp_stays_the_first(void **state)
{
    (void)state;
    rig r;
    begin(&r, 2);
    (void)cut(&r, 9, 1);
    rig_pass(&r, 2 * RMR_SEC);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    assert_int_equal(rmr_dns_query(r.d, r.now, 8, "a.example"), RMR_OK);
    ask a = by_udp(&r);
    assert_int_equal(a.to.ip[3], 53);
    rig_end(&r);
}

static void what_is_no_answer_ends_the_stream(void **state)
{
    (void)state;
    rig r;
    uint8_t msg[512];
    begin(&r, 1);
    for (int what = 0; what < 6; what++) {
        ask t = cut(&r, 9, 1);
        size_t len = frame(&t, OK, 3, msg);
        if (what == 0)
            memset(msg, 0, 2); /* nothing */
        if (what == 1)
            rmr_store_be16(msg, 11); /* less than a head */
        if (what == 2)
            msg[2] ^= 1; /* another's id */
        if (what == 3)
            msg[2 + 13] ^= 1; /* another name */
        if (what == 4)
            msg[2 + 2] &= 0x7f; /* a question */
        if (what == 5)
            rmr_store_be16(msg, 20); /* cut within the question */
        assert_int_equal(feed(&r, &t, msg, len), RMR_E_MALFORMED);
        assert_false(rmr_dns_has_stream(r.d, t.stream));
        rig_expect_log(&r, "9 ok 192.0.0.1\n");
    }
    /* The records are not what they say: as a failure. */
    ask t = cut(&r, 9, 1);
    size_t len = frame(&t, OK, 3, msg);
    rmr_store_be16(msg, (uint16_t)(len - 2 - 1));
    assert_int_equal(feed(&r, &t, msg, len - 1), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    rig_end(&r);
}

static void bytes_before_the_question_went_out_are_no_answer(void **state)
{
    (void)state;
    rig r;
    ask t;
    uint8_t msg[512];
    begin(&r, 1);
    assert_int_equal(rmr_dns_query(r.d, r.now, 9, "a.example"), RMR_OK);
    ask a = by_udp(&r), aaaa = by_udp(&r);
    assert_int_equal(answer_udp(&r, &aaaa, OK, 0), RMR_OK);
    assert_int_equal(answer_udp(&r, &a, CUT, 1), RMR_OK);
    assert_true(wants_stream(&r, &t));
    assert_int_equal(feed(&r, &t, msg, frame(&a, OK, 3, msg)), RMR_E_MALFORMED);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    rig_end(&r);
}

static void a_late_datagram_helps_only_when_it_is_whole(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    ask t = cut(&r, 9, 1);
    assert_int_equal(answer_udp(&r, &t, CUT, 2), RMR_E_UNKNOWN);
    assert_int_equal(answer_udp(&r, &t, SERVFAIL, 0), RMR_E_UNKNOWN);
    assert_true(rmr_dns_has_stream(r.d, t.stream));
    assert_int_equal(answer_udp(&r, &t, OK, 2), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.0.1 192.0.0.2\n");
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    rig_end(&r);
}

/* ---- bounds ------------------------------------------------------------ */

static void streams_beyond_the_most_wait_and_time_out(void **state)
{
    (void)state;
    rig r;
    ask t[RMR_DNS_MAX_STREAMS], more;
    begin(&r, 1);
    for (uint64_t id = 0; id < RMR_DNS_MAX_STREAMS + 2; id++) {
        assert_int_equal(rmr_dns_query(r.d, r.now, id, "a.example"), RMR_OK);
        ask a = by_udp(&r), aaaa = by_udp(&r);
        assert_int_equal(answer_udp(&r, &aaaa, OK, 0), RMR_OK);
        assert_int_equal(answer_udp(&r, &a, CUT, 1), RMR_OK);
    }
    for (size_t i = 0; i < RMR_DNS_MAX_STREAMS; i++)
        t[i] = by_tcp(&r);
    assert_false(wants_stream(&r, &more));
    assert_int_equal(answer_tcp(&r, &t[1], OK, 2), RMR_OK);
    rig_expect_log(&r, "1 ok 192.0.0.1 192.0.0.2\n");
    more = by_tcp(&r);
    assert_int_equal(answer_tcp(&r, &more, OK, 2), RMR_OK);
    rig_expect_log(&r, "4 ok 192.0.0.1 192.0.0.2\n");
    rig_pass(&r, 2 * RMR_SEC);
    rig_expect_log(&r, "0 ok 192.0.0.1\n2 ok 192.0.0.1\n3 ok 192.0.0.1\n"
                       "5 ok 192.0.0.1\n");
    rig_end(&r);
}

static void cancelling_and_new_servers_let_streams_go(void **state)
{
    (void)state;
    rig r;
    uint8_t msg[512];
    rmr_addr server = rmr_addr_v4(192, 0, 2, 99, 53);
    begin(&r, 1);
    ask t = cut(&r, 9, 1);
    assert_int_equal(feed(&r, &t, msg, frame(&t, OK, 4, msg) / 2), RMR_OK);
    rmr_dns_cancel(r.d, 9);
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    t = cut(&r, 8, 1);
    assert_int_equal(feed(&r, &t, msg, frame(&t, OK, 4, msg) / 2), RMR_OK);
    assert_int_equal(rmr_dns_set_servers(r.d, &server, 1, rmr_bytes_of(NULL, 0),
                                         rmr_bytes_of(NULL, 0)),
                     RMR_OK);
    assert_false(rmr_dns_has_stream(r.d, t.stream));
    ask a = by_udp(&r);
    assert_int_equal(a.to.ip[3], 99);
    assert_int_equal(answer_udp(&r, &a, CUT, 0), RMR_OK);
    (void)by_tcp(&r);
    rig_end(&r); /* with an open stream */
}

static void without_memory_for_an_answer_the_cut_one_is_taken(void **state)
{
    (void)state;
    rig r;
    uint8_t msg[512];
    begin(&r, 1);
    ask t = cut(&r, 9, 1);
    size_t len = frame(&t, OK, 4, msg);
    assert_int_equal(feed(&r, &t, msg, 1), RMR_OK);
    r.mem.fail_at = r.mem.calls + 1;
    assert_int_equal(feed(&r, &t, msg + 1, len - 1), RMR_E_NOMEM);
    rig_expect_log(&r, "9 ok 192.0.0.1\n");
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_a_cut_answer_the_same_server_is_asked_by_tcp),
        cmocka_unit_test(no_stream_is_asked_for_where_the_host_has_none),
        cmocka_unit_test(an_answer_may_come_in_any_pieces),
        cmocka_unit_test(the_largest_message_fits_and_what_follows_is_not_read),
        cmocka_unit_test(no_name_by_tcp_is_no_name),
        cmocka_unit_test(a_cut_answer_by_tcp_gives_what_it_has),
        cmocka_unit_test(a_server_without_edns_is_asked_again_by_udp),
        cmocka_unit_test(
            half_a_second_behind_one_family_the_other_gives_what_it_had),
        cmocka_unit_test(a_stream_that_ends_leaves_what_the_cut_answer_had),
        cmocka_unit_test(without_any_address_the_next_server_is_asked),
        cmocka_unit_test(a_server_that_is_silent_by_tcp_stays_the_first),
        cmocka_unit_test(what_is_no_answer_ends_the_stream),
        cmocka_unit_test(bytes_before_the_question_went_out_are_no_answer),
        cmocka_unit_test(a_late_datagram_helps_only_when_it_is_whole),
        cmocka_unit_test(streams_beyond_the_most_wait_and_time_out),
        cmocka_unit_test(cancelling_and_new_servers_let_streams_go),
        cmocka_unit_test(without_memory_for_an_answer_the_cut_one_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
