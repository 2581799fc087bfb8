/* Runs of datagrams for one send, and the ECN bits around them. */
#include "wg_fixture.h"

static uint8_t room[70000];

typedef struct span {
    size_t len, seg;
    rmr_wg_pkt_info info;
} span;

static span take(wgf *f, wgf_side *s, size_t cap)
{
    span r;
    memset(&r, 0, sizeof r);
    assert_int_equal(rmr_wg_write_run(s->wg, f->now, rmr_buf_of(room, cap),
                                      &r.len, &r.seg, &r.info),
                     RMR_OK);
    return r;
}

/* Splits a span as UDP does and gives each to the other side. */
static size_t give_span(wgf *f, wgf_side *to, span r)
{
    size_t n = 0;
    for (size_t at = 0; at < r.len; at += r.seg, n++) {
        size_t len = r.len - at < r.seg ? r.len - at : r.seg;
        assert_int_equal(wgf_give(f, to, room + at, len), RMR_OK);
    }
    return n;
}

static void equal_packets_go_as_one_span_and_a_shorter_one_ends_it(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    static const size_t lens[] = {100, 100, 112, 100, 60, 60, 60, 60, 112};
    /* Outer: 144 144 144 144 | 96 96 96 96 | 144: 60 ends the first. */
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(wgf_send(&f, &f.a, lens[i]), RMR_OK);
    f.b.n_packets = 0;
    span r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.seg, 144);
    assert_int_equal(r.len, 4 * 144 + 96);
    assert_int_equal(r.info.peer.id, f.a.peer.id);
    assert_memory_equal(&r.info.to, &f.b.at, sizeof f.b.at);
    assert_int_equal(give_span(&f, &f.b, r), 5);
    assert_int_equal(f.b.last_len, 60);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.seg, 96);
    assert_int_equal(r.len, 3 * 96);
    assert_int_equal(give_span(&f, &f.b, r), 3);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.seg, 144);
    assert_int_equal(r.len, 144);
    assert_int_equal(give_span(&f, &f.b, r), 1);
    assert_int_equal(f.b.n_packets, 9);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 0);
    wgf_close(&f);
}

static void a_run_ends_at_64_datagrams_at_65507_bytes_and_at_the_room(void **s)
{
    (void)s;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(wgf_send(&f, &f.a, 100), RMR_OK);
    span r = take(&f, &f.a, 10 * 144 + 143);
    assert_int_equal(r.len, 10 * 144);
    give_span(&f, &f.b, r);
    r = take(&f, &f.a, sizeof room); /* 64 in a row, the ten counted */
    assert_int_equal(r.len, 54 * 144);
    give_span(&f, &f.b, r);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 36 * 144);
    give_span(&f, &f.b, r);
    assert_int_equal(take(&f, &f.a, sizeof room).len, 0);
    f.b.n_packets = 0;
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(wgf_send(&f, &f.a, 1420), RMR_OK);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.seg, 1452);
    assert_int_equal(r.len, 45 * 1452); /* 46 would be 66,792 */
    give_span(&f, &f.b, r);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 15 * 1452);
    give_span(&f, &f.b, r);
    assert_int_equal(f.b.n_packets, 60);
    wgf_close(&f);
}

static void handshakes_and_keepalives_are_runs_of_one(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    span r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 148);
    assert_int_equal(r.seg, 148);
    give_span(&f, &f.b, r);
    r = take(&f, &f.b, sizeof room);
    assert_int_equal(r.len, 92);
    assert_int_equal(r.seg, 92);
    give_span(&f, &f.a, r);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 80);
    give_span(&f, &f.b, r);
    rmr_wg_peer_set_keepalive(f.a.wg, f.now, f.a.peer, 25);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 32);
    assert_int_equal(r.seg, 32);
    assert_int_equal(wgf_state(&f.a)->tx_pkts, 1);
    /* A cookie reply. */
    f.b.wg->load_per_second = 0;
    rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
    wgf_send(&f, &f.a, 40);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(wgf_give(&f, &f.b, room, r.len), RMR_E_RATELIMIT);
    r = take(&f, &f.b, sizeof room);
    assert_int_equal(r.len, 64);
    assert_int_equal(r.seg, 64);
    assert_int_equal(r.info.peer.id, 0);
    wgf_close(&f);
}

static void a_short_room_loses_nothing_of_a_run(void **state)
{
    (void)state;
    wgf f;
    size_t len = 9, seg = 9;
    rmr_wg_pkt_info info;
    wgf_open(&f);
    wgf_handshake(&f);
    for (int i = 0; i < 3; i++)
        wgf_send(&f, &f.a, 100);
    assert_int_equal(rmr_wg_write_run(f.a.wg, f.now, rmr_buf_of(room, 143),
                                      &len, &seg, &info),
                     RMR_E_BUFSIZE);
    assert_int_equal(len, 0);
    assert_int_equal(seg, 0);
    f.b.n_packets = 0;
    assert_int_equal(give_span(&f, &f.b, take(&f, &f.a, 144)), 1);
    assert_int_equal(give_span(&f, &f.b, take(&f, &f.a, 288)), 2);
    assert_int_equal(f.b.n_packets, 3);
    wgf_close(&f);
}

static void a_run_ends_where_the_counters_do(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    for (int i = 0; i < 5; i++)
        wgf_send(&f, &f.a, 100);
    wgf_state(&f.a)->current->counter = WG_REJECT_AFTER_MESSAGES - 2;
    f.b.n_packets = 0;
    span r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 2 * 144);
    give_span(&f, &f.b, r);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 5);
    wgf_close(&f);
}

static void a_run_allocates_nothing(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    for (int i = 0; i < 20; i++)
        wgf_send(&f, &f.a, 100);
    size_t calls = f.a.alloc.calls;
    assert_int_equal(take(&f, &f.a, sizeof room).len, 20 * 144);
    assert_int_equal(f.a.alloc.calls, calls);
    wgf_close(&f);
}

/* ---- ECN ----------------------------------------------------------------- */

static uint16_t ip_sum(const uint8_t *h)
{
    uint32_t s = 0;
    for (int i = 0; i < 20; i += 2)
        s += rmr_load_be16(h + i);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s; /* 0xffff: right */
}

static void put_ip(uint8_t *p, bool v6, uint8_t ecn, bool from_a)
{
    memset(p, 0, 60);
    if (v6) {
        p[0] = 0x60;
        p[1] = (uint8_t)(0x0a | ecn << 4);
        rmr_store_be16(p + 4, 20);
        p[8] = p[24] = 0xfd;
        p[23] = from_a ? 1 : 2;
        p[39] = from_a ? 2 : 1;
        return;
    }
    p[0] = 0x45;
    p[1] = (uint8_t)(0xb8 | ecn);
    rmr_store_be16(p + 2, 60);
    p[12] = p[16] = 10;
    p[15] = from_a ? 1 : 2;
    p[19] = from_a ? 2 : 1;
    rmr_store_be16(p + 10, (uint16_t)~ip_sum(p));
}

/* By each way out; \return what the outer header is to have. */
static uint8_t send_ecn(wgf *f, int way, const uint8_t *ip, uint8_t *d,
                        size_t *n)
{
    if (way == 0) {
        rmr_wg_out o;
        o.peer = f->a.peer;
        o.pkt = rmr_pkt_of(rmr_buf_of(d, 256), 16);
        memcpy(rmr_pkt_put(&o.pkt, 60), ip, 60);
        assert_int_equal(rmr_wg_seal_n(f->a.wg, f->now, &o, 1), RMR_OK);
        assert_int_equal(o.err, RMR_OK);
        *n = o.pkt.len;
        return o.ecn;
    }
    rmr_wg_pkt_info info;
    assert_int_equal(
        rmr_wg_send(f->a.wg, f->now, f->a.peer, rmr_bytes_of(ip, 60)), RMR_OK);
    assert_int_equal(
        rmr_wg_write_pkt(f->a.wg, f->now, rmr_buf_of(d, 256), n, &info),
        RMR_OK);
    return info.ecn;
}

static void ecn_goes_out_as_inside_and_comes_in_as_a_mark(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_allow(&f.b, f.b.peer, "10.0.0.1/32 fd00::1/128");
    wgf_handshake(&f);
    for (int i = 0; i < 2 * 2 * 4 * 4 * 2; i++) {
        bool v6 = i & 1, on = !(i & 2);
        uint8_t inside = i >> 2 & 3, outside = i >> 4 & 3, d[256], ip[60];
        size_t n;
        f.a.wg->ecn = f.b.wg->ecn = on;
        put_ip(ip, v6, inside, true);
        assert_int_equal(send_ecn(&f, i >> 6 & 1, ip, d, &n), on ? inside : 0);
        rmr_wg_in in;
        in.from = &f.a.at;
        in.datagram = rmr_buf_of(d, n);
        in.ecn = outside;
        assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, &in, 1), RMR_OK);
        assert_int_equal(in.err, RMR_OK);
        /* Marked only who takes part; the rest is as it was. */
        uint8_t want = on && outside == 3 && inside ? 3 : inside;
        uint8_t got = v6 ? f.b.last[1] >> 4 & 3 : f.b.last[1] & 3;
        assert_int_equal(got, want);
        assert_int_equal(f.b.last[1] & (v6 ? 0x0f : 0xfc), v6 ? 0x0a : 0xb8);
        if (!v6)
            assert_int_equal(ip_sum(f.b.last), 0xffff);
        assert_memory_equal(f.b.last + 20, ip + 20, 40);
    }
    wgf_close(&f);
}

static void a_run_has_one_kind_of_ecn(void **state)
{
    (void)state;
    wgf f;
    uint8_t ip[60];
    static const uint8_t marks[] = {2, 2, 2, 0, 0, 3};
    wgf_open(&f);
    f.a.wg->ecn = true;
    wgf_handshake(&f);
    for (size_t i = 0; i < 6; i++) {
        put_ip(ip, false, marks[i], true);
        rmr_wg_send(f.a.wg, f.now, f.a.peer, rmr_bytes_of(ip, 60));
    }
    span r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 3 * 96);
    assert_int_equal(r.info.ecn, 2);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 2 * 96);
    assert_int_equal(r.info.ecn, 0);
    r = take(&f, &f.a, sizeof room);
    assert_int_equal(r.len, 96);
    assert_int_equal(r.info.ecn, 3);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            equal_packets_go_as_one_span_and_a_shorter_one_ends_it),
        cmocka_unit_test(
            a_run_ends_at_64_datagrams_at_65507_bytes_and_at_the_room),
        cmocka_unit_test(handshakes_and_keepalives_are_runs_of_one),
        cmocka_unit_test(a_short_room_loses_nothing_of_a_run),
        cmocka_unit_test(a_run_ends_where_the_counters_do),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(ecn_goes_out_as_inside_and_comes_in_as_a_mark),
        cmocka_unit_test(a_run_has_one_kind_of_ecn),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
