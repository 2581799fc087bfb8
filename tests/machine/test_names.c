/* Names: questions of the machines, and answers that were cut off. */
#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

typedef struct asked {
    int answers;
    rmr_err err;
    rmr_addr first;
} asked;

static void answered(void *user, rmr_time now, rmr_err err,
                     const rmr_addr *addrs, size_t n)
{
    asked *a = user;
    (void)now;
    a->answers++;
    a->err = err;
    if (n > 0)
        a->first = addrs[0];
}

static void names_are_resolved_without_a_stream(void **st)
{
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    asked a = {0};
    uint64_t id = 0;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    links.hosts = rmr_bytes_str("192.0.2.7 relay.example\n");
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_OK);
    assert_int_equal(a.first.ip[3], 7);
    /* Nobody can be asked for this one: an error, or an answer that says so;
     * and nothing stays behind. */
    if (rmr_mc_resolve(r.mc, r.now, "other.example", answered, &a, &id) ==
            RMR_OK &&
        a.answers == 1)
        rmr_mc_resolve_cancel(r.mc, id);
    rmr_mc_resolve_cancel(r.mc, id); /* gone */
    r.alloc.fail_at = r.alloc.calls + 1;
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_E_NOMEM);
    rig_end(&r);
}

static void a_question_that_was_cancelled_has_no_answer(void **st)
{
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    asked a = {0};
    uint64_t id = 0;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    links.name_servers = &server;
    links.n_name_servers = 1;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    rmr_mc_resolve_cancel(r.mc, id);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    while (rmr_mc_next_deadline(r.mc) != RMR_TIME_NEVER) {
        r.now = rmr_mc_next_deadline(r.mc);
        while (rig_next(&r).kind != RMR_IO_NONE)
            ;
        rmr_mc_handle_deadline(r.mc, r.now);
    }
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_E_TIMEOUT);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    rig_end(&r); /* open questions are freed with the kit */
}

/* The next operation of that kind; sockets open meanwhile. */
static rmr_io_op next_of(rig *r, rmr_io_op_kind kind)
{
    for (;;) {
        rmr_io_op op = rig_next(r);
        if (op.kind == RMR_IO_UDP_OPEN)
            rig_give(r, RMR_IO_OPENED, op.id, NULL);
        if (op.kind == kind || op.kind == RMR_IO_NONE)
            return op;
    }
}

static void give_bytes(rig *r, rmr_io_event_kind kind, uint64_t id,
                       const rmr_addr *from, const uint8_t *p, size_t len)
{
    uint8_t copy[256];
    rmr_io_event ev = {0};
    memcpy(copy, p, len);
    ev.kind = kind;
    ev.id = id;
    if (from)
        ev.addr = *from;
    ev.data = rmr_buf_of(copy, len);
    rmr_mc_event(r->mc, r->now, &ev);
}

/* A question as its answer, with one address or none; the length. */
static size_t answer_to(rmr_bytes question, bool is_cut, uint8_t last,
                        uint8_t *dst)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                     0,    60, 0, 4, 192, 0, 2};
    size_t len = question.len - 11; /* without EDNS */
    memcpy(dst, question.ptr, len);
    dst[2] = is_cut ? 0x83 : 0x81;
    dst[3] = 0x80;
    dst[11] = 0;
    if (last) {
        dst[7] = 1;
        memcpy(dst + len, record, sizeof record);
        len += sizeof record;
        dst[len++] = last;
    }
    return len;
}

/* Asks; the A is cut off and the AAAA empty; the CONNECT that comes of it. */
static rmr_io_op cut_off(rig *r, asked *a, uint8_t last)
{
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    uint64_t id;
    links.name_servers = &server;
    links.n_name_servers = 1;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r->mc, r->now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r->mc, r->now, "relay.example", answered, a, &id),
        RMR_OK);
    for (int i = 0; i < 2; i++) {
        uint8_t msg[256];
        rmr_io_op op = next_of(r, RMR_IO_UDP_SEND);
        assert_int_equal(op.kind, RMR_IO_UDP_SEND);
        bool is_a = op.data.ptr[op.data.len - 11 - 3] == 1;
        size_t len = answer_to(op.data, is_a, is_a ? last : 0, msg);
        give_bytes(r, RMR_IO_DATAGRAMS, op.id, &server, msg, len);
    }
    assert_int_equal(a->answers, 0);
    rmr_io_op op = next_of(r, RMR_IO_CONNECT);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    assert_true(rmr_addr_eq(&op.addr, &server));
    return op;
}

static void behind_a_cut_answer_the_kit_asks_by_tcp(void **st)
{
    asked a = {0};
    uint8_t msg[258];
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_io_op op = cut_off(&r, &a, 1);
    rig_give(&r, RMR_IO_OPENED, op.id, NULL);
    op = next_of(&r, RMR_IO_STREAM_SEND);
    assert_int_equal(op.kind, RMR_IO_STREAM_SEND);
    assert_int_equal(op.data.ptr[0] << 8 | op.data.ptr[1], op.data.len - 2);
    size_t len = answer_to(rmr_bytes_of(op.data.ptr + 2, op.data.len - 2),
                           false, 9, msg + 2);
    msg[0] = 0;
    msg[1] = (uint8_t)len;
    for (size_t i = 0; i < len + 2; i++) {
        assert_int_equal(a.answers, 0);
        give_bytes(&r, RMR_IO_BYTES, op.id, NULL, msg + i, 1);
    }
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_OK);
    assert_int_equal(a.first.ip[3], 9);
    uint64_t stream = op.id;
    bool closed = false;
    while ((op = rig_next(&r)).kind != RMR_IO_NONE)
        closed = closed || (op.kind == RMR_IO_CLOSE && op.id == stream);
    assert_true(closed);
    rig_end(&r);
}

static void where_tcp_fails_the_cut_answer_is_taken(void **st)
{
    static const rmr_io_event_kind ends[] = {RMR_IO_FAILED, RMR_IO_EOF};
    (void)st;
    for (size_t i = 0; i < 3; i++) {
        asked a = {0};
        rig r;
        rig_start(&r, NULL);
        rmr_io_op op = cut_off(&r, &a, 1);
        if (i == 1)
            rig_give(&r, RMR_IO_OPENED, op.id, NULL);
        if (i < 2) {
            rig_give(&r, ends[i], op.id, NULL);
        } else { /* silence */
            r.now = rmr_mc_next_deadline(r.mc);
            rmr_mc_handle_deadline(r.mc, r.now);
        }
        assert_int_equal(a.answers, 1);
        assert_int_equal(a.first.ip[3], 1);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_resolved_without_a_stream),
        cmocka_unit_test(a_question_that_was_cancelled_has_no_answer),
        cmocka_unit_test(behind_a_cut_answer_the_kit_asks_by_tcp),
        cmocka_unit_test(where_tcp_fails_the_cut_answer_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
