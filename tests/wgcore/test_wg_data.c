/* Packets through two tunnels and a wire of memory. */
#include "wg_fixture.h"

static void packets_of_every_length_arrive_whole(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], want[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    for (size_t len = 20; len <= 1500; len++) {
        assert_int_equal(wgf_seal(&f, &f.a, len, d, &n), RMR_OK);
        assert_int_equal(n, 32 + rmri_wg_padded(len, 1420));
        assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
        assert_int_equal(f.b.last_len, len);
        wgf_packet(&f, &f.a, want, len);
        assert_memory_equal(f.b.last, want, len);
    }
    wgf_close(&f);
}

static void the_data_path_allocates_nothing(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    /* The reply confirms nothing more: both sides are settled. */
    size_t a = f.a.alloc.calls, b = f.b.alloc.calls;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(wgf_seal(&f, &f.a, 1000, d, &n), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
        assert_int_equal(wgf_seal(&f, &f.b, 60, d, &n), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.a, d, n), RMR_OK);
        f.now += RMR_MS;
    }
    assert_int_equal(f.a.alloc.calls, a);
    assert_int_equal(f.b.alloc.calls, b);
    wgf_close(&f);
}

static void a_seal_checks_its_packet_and_leaves_it_on_refusal(void **state)
{
    (void)state;
    wgf f;
    uint8_t buf[256];
    rmr_wg_endpoint to;
    wgf_open(&f);
    wgf_handshake(&f);
    for (size_t head = 14; head <= 16; head++)
        for (size_t tail = 30; tail <= 31; tail++) {
            rmr_pkt p = rmr_pkt_of(rmr_buf_of(buf, head + 40 + tail), head);
            wgf_packet(&f, &f.a, rmr_pkt_put(&p, 40), 40);
            rmr_pkt was = p;
            rmr_err want = head == 16 && tail == 31 ? RMR_OK : RMR_E_INVAL;
            assert_int_equal(rmr_wg_seal(f.a.wg, f.now, f.a.peer, &p, &to),
                             want);
            if (want) {
                assert_ptr_equal(p.base, was.base);
                assert_int_equal(p.off, was.off);
                assert_int_equal(p.len, was.len);
            }
        }
    rmr_pkt p = rmr_pkt_of(rmr_buf_of(buf, sizeof buf), 16);
    assert_int_equal(rmr_wg_seal(f.a.wg, f.now, f.a.peer, &p, &to),
                     RMR_E_INVAL);
    p.len = RMR_WG_MAX_PACKET + 1; /* never looked at */
    assert_int_equal(rmr_wg_seal(f.a.wg, f.now, f.a.peer, &p, &to),
                     RMR_E_TOOBIG);
    assert_int_equal(rmr_wg_send(f.a.wg, f.now, f.a.peer, rmr_bytes_of(buf, 0)),
                     RMR_E_INVAL);
    assert_int_equal(rmr_wg_send(f.a.wg, f.now, f.a.peer,
                                 rmr_bytes_of(buf, RMR_WG_MAX_PACKET + 1)),
                     RMR_E_TOOBIG);
    wgf_close(&f);
}

static void nothing_overtakes_a_staged_packet(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    size_t n;
    wgf_open(&f);
    assert_int_equal(wgf_seal(&f, &f.a, 41, d, &n), RMR_E_NOTREADY);
    assert_int_equal(n, 41);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.b, d), 92);
    assert_int_equal(wgf_give(&f, &f.a, d, 92), RMR_OK);
    /* There is a key now, but 41 waits to be written. */
    assert_int_equal(wgf_seal(&f, &f.a, 42, d, &n), RMR_E_NOTREADY);
    assert_int_equal(wgf_send(&f, &f.a, 43), RMR_OK);
    for (size_t len = 41; len <= 43; len++) {
        n = wgf_take(&f, &f.a, d);
        assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
        assert_int_equal(f.b.last_len, len);
    }
    assert_int_equal(wgf_seal(&f, &f.a, 44, d, &n), RMR_OK);
    wgf_close(&f);
}

static void a_full_queue_drops_its_oldest_until_there_is_a_key(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    for (size_t i = 0; i < 130; i++)
        assert_int_equal(wgf_send(&f, &f.a, 100 + i), RMR_OK);
    rmr_wg_peer_stats st;
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_int_equal(st.staged_pkts, 128);
    assert_int_equal(st.staged_dropped, 2);
    assert_false(st.has_session);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 128);
    assert_int_equal(f.b.last_len, 229);
    /* With a key a full queue pushes back. */
    for (size_t i = 0; i < 128; i++)
        assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
    assert_int_equal(wgf_send(&f, &f.a, 40), RMR_E_FULL);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 256);
    assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
    wgf_close(&f);
}

static void bytes_of_staged_packets_are_bounded_over_all_peers(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    uint8_t pub[32] = {9};
    rmr_wg_peer other = wgf_add(&f.a, f.now, pub, NULL, NULL);
    f.a.wg->max_staged_bytes = 1000;
    for (int i = 0; i < 4; i++)
        assert_int_equal(wgf_send(&f, &f.a, 300), RMR_OK);
    assert_int_equal(wgf_state(&f.a)->n_staged, 3);
    /* The other has nothing to drop; so it can't crowd this one out. */
    uint8_t p[300] = {0};
    assert_int_equal(rmr_wg_send(f.a.wg, f.now, other, rmr_bytes_of(p, 300)),
                     RMR_E_FULL);
    assert_int_equal(rmr_wg_send(f.a.wg, f.now, other, rmr_bytes_of(p, 100)),
                     RMR_OK);
    assert_int_equal(f.a.wg->staged_bytes, 1000);
    assert_int_equal(f.a.wg->stats.staged_dropped, 2);
    assert_int_equal(rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer), RMR_OK);
    assert_int_equal(f.a.wg->staged_bytes, 100);
    wgf_close(&f);
}

/* Else peers that never answer could keep all others from a key, by what waits
 * for them. */
static void a_packet_without_room_to_wait_begins_a_handshake_still(void **state)
{
    (void)state;
    for (int in_place = 0; in_place < 2; in_place++) {
        wgf f;
        uint8_t pub[32] = {9}, p[300] = {0}, d[WGF_BUF];
        size_t n;
        wgf_open(&f);
        rmr_wg_peer other = wgf_add(&f.a, f.now, pub, NULL, NULL);
        f.a.wg->max_staged_bytes = 300;
        assert_int_equal(
            rmr_wg_send(f.a.wg, f.now, other, rmr_bytes_of(p, sizeof p)),
            RMR_OK);
        for (int i = 0; i < 2; i++) /* the second is within the 5 s */
            assert_int_equal(in_place ? wgf_seal(&f, &f.a, 40, d, &n)
                                      : wgf_send(&f, &f.a, 40),
                             RMR_E_FULL);
        assert_int_equal(wgf_state(&f.a)->n_staged, 0);
        assert_int_equal(f.a.wg->stats.handshakes_initiated, 2);
        wgf_exchange(&f);
        assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
        assert_int_equal(f.b.n_packets, 1);
        /* With a key a packet without room asks for nothing. */
        assert_int_equal(wgf_send(&f, &f.a, 40), RMR_E_FULL);
        assert_int_equal(f.a.wg->stats.handshakes_initiated, 2);
        assert_int_equal(wgf_take(&f, &f.a, d), 0);
        wgf_close(&f);
    }
}

static void a_short_buffer_loses_nothing(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    rmr_wg_pkt_info info;
    size_t n = 77, shorts = 0;
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    for (int i = 0; i < 8; i++) {
        wgf_side *sides[2] = {&f.a, &f.b};
        for (int k = 0; k < 2; k++) {
            wgf_side *s = sides[k];
            for (size_t room = 0; room <= 160; room++) {
                rmr_err e = rmr_wg_write_pkt(s->wg, f.now, rmr_buf_of(d, room),
                                             &n, &info);
                if (e) {
                    assert_int_equal(e, RMR_E_BUFSIZE);
                    assert_int_equal(n, 0);
                    shorts++;
                } else if (n) {
                    assert_int_equal(n, room);
                    wgf_give(&f, wgf_other(&f, s), d, n);
                }
            }
        }
    }
    assert_int_equal(f.b.n_packets, 1);
    assert_int_equal(shorts, 148 + 92 + 80);
    /* A cookie reply too. */
    f.b.wg->load_per_second = 0;
    f.now += 200 * RMR_SEC;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    wgf_give(&f, &f.b, d, 148);
    assert_int_equal(
        rmr_wg_write_pkt(f.b.wg, f.now, rmr_buf_of(d, 63), &n, &info),
        RMR_E_BUFSIZE);
    assert_int_equal(wgf_take(&f, &f.b, d), 64);
    wgf_close(&f);
}

typedef struct sink {
    size_t n, fail_at;
    wgf *f;
} sink;

static rmr_err emit(void *user, rmr_bytes d, const rmr_wg_pkt_info *info)
{
    sink *s = (sink *)user;
    assert_true(d.len > 0);
    assert_int_equal(info->peer.id, s->f->a.peer.id);
    assert_memory_equal(info->to.bytes, s->f->b.at.bytes, 3);
    return ++s->n == s->fail_at ? RMR_E_IO : RMR_OK;
}

static void flush_hands_out_all_and_stops_at_an_error(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    wgf_handshake(&f);
    for (int i = 0; i < 10; i++)
        wgf_send(&f, &f.a, 100);
    sink s = {0, 4, &f};
    rmr_buf scratch = rmr_buf_of(d, sizeof d);
    assert_int_equal(rmr_wg_flush(f.a.wg, f.now, scratch, emit, &s), RMR_E_IO);
    assert_int_equal(s.n, 4);
    assert_int_equal(rmr_wg_flush(f.a.wg, f.now, scratch, emit, &s), RMR_OK);
    assert_int_equal(s.n, 10);
    assert_int_equal(rmr_wg_flush(f.a.wg, f.now, scratch, emit, &s), RMR_OK);
    assert_int_equal(s.n, 10);
    wgf_close(&f);
}

static void peers_take_turns_when_they_have_much_to_write(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    rmr_wg_pkt_info info;
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    uint8_t pub[32] = {9}, p[40];
    rmr_wg_peer other = wgf_add(&f.a, f.now, pub, NULL, NULL);
    for (int i = 0; i < 128; i++)
        wgf_send(&f, &f.a, 40);
    wgf_packet(&f, &f.a, p, 40);
    rmr_wg_send(f.a.wg, f.now, other, rmr_bytes_of(p, 40));
    size_t before = 0;
    for (;; before++) {
        assert_int_equal(
            rmr_wg_write_pkt(f.a.wg, f.now, rmr_buf_of(d, sizeof d), &n, &info),
            RMR_OK);
        assert_true(n > 0);
        if (info.peer.id == other.id)
            break;
    }
    assert_int_equal(before, 64);
    assert_int_equal(info.to.len, 0); /* nobody has told where it is */
    wgf_close(&f);
}

static void padding_behind_the_packet_is_cut(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], p[WGF_BUF];
    wgf_open(&f);
    wgf_handshake(&f);
    wgf_packet(&f, &f.a, p, 100);
    rmr_store_be16(p + 2, 60); /* 40 bytes behind it */
    rmr_wg_send(f.a.wg, f.now, f.a.peer, rmr_bytes_of(p, 100));
    size_t n = wgf_take(&f, &f.a, d);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
    assert_int_equal(f.b.last_len, 60);
    wgf_close(&f);
}

/* ---- where peers are --------------------------------------------------- */

static void a_roaming_peer_is_followed_by_authentic_datagrams_alone(void **s)
{
    (void)s;
    wgf f;
    uint8_t d[WGF_BUF], old[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    rmr_wg_endpoint home = f.a.at;
    assert_int_equal(wgf_seal(&f, &f.a, 40, old, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, old, n), RMR_OK);
    f.b.n_endpoint = 0;
    f.a.at = wgf_endpoint("new:1");
    /* A replay and a forgery move nothing. */
    assert_int_equal(wgf_give(&f, &f.b, old, n), RMR_E_REPLAY);
    old[8]++;
    assert_int_equal(wgf_give(&f, &f.b, old, n), RMR_E_AUTH);
    assert_int_equal(f.b.n_endpoint, 0);
    assert_memory_equal(&wgf_state(&f.b)->endpoint, &home, sizeof home);
    assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
    assert_int_equal(f.b.n_endpoint, 1);
    assert_memory_equal(&f.b.seen, &f.a.at, sizeof f.a.at);
    assert_memory_equal(&wgf_state(&f.b)->endpoint, &f.a.at, sizeof f.a.at);
    /* Even when what is inside is refused: it was authentic. */
    f.a.at = wgf_endpoint("new:2");
    wgf_allow(&f.b, f.b.peer, "");
    assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_E_DENIED);
    assert_int_equal(f.b.n_endpoint, 2);
    wgf_close(&f);
}

static void a_pinned_peer_stays_and_each_sighting_is_told(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    size_t n;
    wgf_open(&f);
    f.b.wg->roam = false;
    wgf_handshake(&f);
    rmr_wg_endpoint home = f.a.at;
    assert_int_equal(f.b.n_endpoint, 0);
    f.a.at = wgf_endpoint("elsewhere");
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
        assert_int_equal(f.b.n_endpoint, i);
        assert_memory_equal(&wgf_state(&f.b)->endpoint, &home, sizeof home);
    }
    assert_int_equal(rmr_wg_peer_set_endpoint(f.b.wg, f.b.peer, &f.a.at),
                     RMR_OK);
    assert_int_equal(wgf_seal(&f, &f.a, 40, d, &n), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
    assert_int_equal(f.b.n_endpoint, 2);
    wgf_close(&f);
}

static void reordered_and_doubled_datagrams_are_delivered_once(void **state)
{
    (void)state;
    wgf f;
    static uint8_t d[300][128];
    size_t n[300];
    wgf_open(&f);
    wgf_handshake(&f);
    test_rng g;
    test_rng_seed(&g, 4);
    for (size_t i = 0; i < 300; i++) {
        uint8_t buf[WGF_BUF];
        assert_int_equal(wgf_seal(&f, &f.a, 40, buf, &n[i]), RMR_OK);
        memcpy(d[i], buf, n[i]);
    }
    for (size_t i = 0; i < 5000; i++) {
        size_t k = test_rng_u64(&g) % 300;
        rmr_err e = wgf_give(&f, &f.b, d[k], n[k]);
        assert_true(e == RMR_OK || e == RMR_E_REPLAY);
    }
    for (size_t i = 0; i < 300; i++)
        (void)wgf_give(&f, &f.b, d[i], n[i]);
    assert_int_equal(f.b.n_packets, 301);
    wgf_close(&f);
}

/* ---- another AEAD ------------------------------------------------------ */

static unsigned plugged_calls;

static void plugged_seal(void *self, const rmr_aead_ctx *c, uint64_t n,
                         uint8_t *b, size_t len)
{
    plugged_calls++;
    rmr_aead_default()->seal(self, c, n, b, len);
}

static void a_host_may_plug_its_own_aead(void **state)
{
    (void)state;
    wgf f;
    rmr_aead mine = *rmr_aead_default();
    mine.seal = plugged_seal;
    wgf_open(&f);
    rmr_wg_free(f.a.wg);
    rmr_wg_callbacks cb;
    rmr_wg_config cfg;
    rmr_env env = wgf_env(&f.a);
    wgf_config(&f.a, &cfg, &cb);
    cfg.aead = &mine;
    assert_int_equal(rmr_wg_new(&f.a.wg, &env, &cfg, f.now), RMR_OK);
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    wgf_handshake(&f);
    assert_int_equal(plugged_calls, 1);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_every_length_arrive_whole),
        cmocka_unit_test(the_data_path_allocates_nothing),
        cmocka_unit_test(a_seal_checks_its_packet_and_leaves_it_on_refusal),
        cmocka_unit_test(nothing_overtakes_a_staged_packet),
        cmocka_unit_test(a_full_queue_drops_its_oldest_until_there_is_a_key),
        cmocka_unit_test(bytes_of_staged_packets_are_bounded_over_all_peers),
        cmocka_unit_test(
            a_packet_without_room_to_wait_begins_a_handshake_still),
        cmocka_unit_test(a_short_buffer_loses_nothing),
        cmocka_unit_test(flush_hands_out_all_and_stops_at_an_error),
        cmocka_unit_test(peers_take_turns_when_they_have_much_to_write),
        cmocka_unit_test(padding_behind_the_packet_is_cut),
        cmocka_unit_test(
            a_roaming_peer_is_followed_by_authentic_datagrams_alone),
        cmocka_unit_test(a_pinned_peer_stays_and_each_sighting_is_told),
        cmocka_unit_test(reordered_and_doubled_datagrams_are_delivered_once),
        cmocka_unit_test(a_host_may_plug_its_own_aead),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
