/* The handshakes and data packets of wireguard-handshake.json through the whole
 * object, in both roles. */
#include "wg_fixture.h"

#include <stdio.h>

typedef struct party {
    wgf_side s;
    uint8_t eph[32], ix[4];
} party;

static void load_party(party *p, tv *h, const char *who, uint64_t seed,
                       const char *at)
{
    char key[64];
    memset(p, 0, sizeof *p);
    wgf_side_keys(&p->s, seed, at);
    snprintf(key, sizeof key, "%s_static_private", who);
    tv_get_hex(h, key, p->s.priv, 32);
    rmr_x25519_public(p->s.pub, p->s.priv);
    snprintf(key, sizeof key, "%s_ephemeral_private", who);
    tv_get_hex(h, key, p->eph, 32);
    snprintf(key, sizeof key, "%s_index", who);
    rmr_store_le32(p->ix, (uint32_t)tv_get_int(h, key));
}

static void open_party(party *p, const party *other, tv *h, rmr_time now,
                       const char *cookie)
{
    uint8_t psk[32];
    tv_get_hex(h, "preshared_key", psk, 32);
    wgf_side_open(&p->s, now);
    p->s.peer = wgf_add(&p->s, now, other->s.pub, psk, &other->s.at);
    wgf_allow(&p->s, p->s.peer, "0.0.0.0/0 ::/0");
    wg_peer *w = wgf_state(&p->s);
    if (tv_get_hex(h, cookie, w->cookie, 16)) {
        w->has_cookie = true;
        w->cookie_at = now;
    }
}

/* The wall clock that gives the vector's stamp. */
static void set_wall(party *p, tv *h, rmr_time now)
{
    uint8_t ts[12];
    tv_get_hex(h, "timestamp", ts, 12);
    uint64_t sec = rmr_load_be64(ts) - ((uint64_t)1 << 62) - 10;
    rmr_wg_set_wall(p->s.wg, now, sec * RMR_SEC + rmr_load_be32(ts + 8));
}

static void take_expected(party *p, rmr_time now, tv *h, const char *key,
                          uint8_t buf[WGF_BUF])
{
    uint8_t want[WGF_BUF];
    rmr_wg_pkt_info info;
    size_t n, m = tv_get_hex(h, key, want, sizeof want);
    assert_int_equal(
        rmr_wg_write_pkt(p->s.wg, now, rmr_buf_of(buf, WGF_BUF), &n, &info),
        RMR_OK);
    assert_int_equal(n, m);
    assert_memory_equal(buf, want, m);
    assert_int_equal(info.peer.id, p->s.peer.id);
}

/* Sends one packet row and has the other side read it. */
static void packet(party *from, party *to, tv *row, rmr_time now)
{
    uint8_t inner[WGF_BUF], want[WGF_BUF], buf[WGF_BUF];
    size_t len = tv_get_hex(row, "inner_packet", inner, sizeof inner);
    size_t m = tv_get_hex(row, "message", want, sizeof want), n;
    rmr_wg_pkt_info info;
    wg_peer *w = wgf_state(&from->s);
    w->current->counter = tv_u64(tv_get(row, "counter"));
    from->s.wg->mtu = (uint32_t)tv_get_int(row, "mtu");
    if (len == 0) {
        w->want_ka = true;
        rmri_wg_want_out(from->s.wg, w);
        assert_int_equal(rmr_wg_write_pkt(from->s.wg, now,
                                          rmr_buf_of(buf, sizeof buf), &n,
                                          &info),
                         RMR_OK);
    } else {
        rmr_wg_endpoint at;
        rmr_pkt pkt = rmr_pkt_of(rmr_buf_of(buf, sizeof buf), 16);
        memcpy(rmr_pkt_put(&pkt, len), inner, len);
        assert_int_equal(rmr_wg_seal(from->s.wg, now, from->s.peer, &pkt, &at),
                         RMR_OK);
        n = pkt.len;
        assert_string_equal((char *)at.bytes, (char *)to->s.at.bytes);
    }
    assert_int_equal(n, m);
    assert_memory_equal(buf, want, m);
    size_t before = to->s.n_packets;
    assert_int_equal(
        rmr_wg_read_pkt(to->s.wg, now, &from->s.at, rmr_buf_of(buf, n)),
        RMR_OK);
    assert_int_equal(to->s.n_packets, before + (len > 0));
    if (len) {
        assert_int_equal(to->s.last_len, len);
        assert_memory_equal(to->s.last, inner, len);
        assert_int_equal(to->s.last_peer.id, to->s.peer.id);
    }
}

static void one(tv *h)
{
    party i, r;
    uint8_t buf[WGF_BUF];
    rmr_time now = WGF_T0;
    load_party(&i, h, "initiator", 1, "i");
    load_party(&r, h, "responder", 2, "r");
    open_party(&i, &r, h, now, "cookie_for_initiation");
    open_party(&r, &i, h, now, "cookie_for_response");
    set_wall(&i, h, now);

    wgf_script(&i.s.rng, i.ix, 4);
    wgf_script(&i.s.rng, i.eph, 32);
    assert_int_equal(rmri_wg_keepalive(i.s.wg, wgf_state(&i.s)), RMR_OK);
    take_expected(&i, now, h, "initiation", buf);

    wgf_script(&r.s.rng, r.eph, 32);
    wgf_script(&r.s.rng, r.ix, 4);
    assert_int_equal(
        rmr_wg_read_pkt(r.s.wg, now, &i.s.at, rmr_buf_of(buf, 148)), RMR_OK);
    take_expected(&r, now, h, "response", buf);
    assert_int_equal(rmr_wg_read_pkt(i.s.wg, now, &r.s.at, rmr_buf_of(buf, 92)),
                     RMR_OK);
    assert_int_equal(i.s.n_state[RMR_WG_ESTABLISHED], 1);
    assert_int_equal(r.s.n_state[RMR_WG_ESTABLISHED], 0);

    /* Drop the keepalive that is due: the rows have their own. */
    wgf_state(&i.s)->want_ka = false;
    tv *p = tv_get(h, "packets");
    tv *there = tv_get(p, "initiator_to_responder");
    tv *back = tv_get(p, "responder_to_initiator");
    for (size_t k = 0; k < tv_len(there); k++)
        packet(&i, &r, tv_at(there, k), now);
    assert_int_equal(r.s.n_state[RMR_WG_ESTABLISHED], 1);
    for (size_t k = 0; k < tv_len(back); k++)
        packet(&r, &i, tv_at(back, k), now);
    wgf_side_close(&i.s);
    wgf_side_close(&r.s);
}

static void every_message_equals_the_vector_in_both_roles(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-handshake.json");
    tv *rows = tv_get(root, "handshakes");
    for (size_t i = 0; i < tv_len(rows); i++)
        one(tv_at(rows, i));
    tv_free(root);
}

static void the_keys_of_the_macs_equal_the_vector(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-handshake.json");
    tv *h = tv_at(tv_get(root, "handshakes"), 0);
    uint8_t pub[32], want[32], got[32];
    tv_get_hex(h, "responder_static_public", pub, 32);
    tv_get_hex(root, "mac1_key_responder", want, 32);
    rmri_wg_label_key(got, "mac1----", pub);
    assert_memory_equal(got, want, 32);
    tv_get_hex(root, "cookie_key_responder", want, 32);
    rmri_wg_label_key(got, "cookie--", pub);
    assert_memory_equal(got, want, 32);
    tv_free(root);
}

static void a_second_initiation_replaces_the_first(void **state)
{
    (void)state;
    wgf f;
    uint8_t first[WGF_BUF], second[WGF_BUF], answer[WGF_BUF];
    wgf_open(&f);
    assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, first), 148);
    f.now += 5 * RMR_SEC;
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, second), 148);
    assert_memory_not_equal(first, second, 40);
    assert_int_equal(wgf_give(&f, &f.b, first, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.b, answer), 92);
    assert_int_equal(wgf_give(&f, &f.a, answer, 92), RMR_E_UNKNOWN);
    f.now += 21 * RMR_MS;
    assert_int_equal(wgf_give(&f, &f.b, second, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.b, answer), 92);
    assert_int_equal(wgf_give(&f, &f.a, answer, 92), RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

static void crossing_initiations_end_on_one_key(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    uint8_t ia[WGF_BUF], ib[WGF_BUF], ra[WGF_BUF], rb[WGF_BUF];
    wgf_send(&f, &f.a, 40);
    wgf_send(&f, &f.b, 50);
    assert_int_equal(wgf_take(&f, &f.a, ia), 148);
    assert_int_equal(wgf_take(&f, &f.b, ib), 148);
    assert_int_equal(wgf_give(&f, &f.b, ia, 148), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.a, ib, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, ra), 92);
    assert_int_equal(wgf_take(&f, &f.b, rb), 92);
    assert_int_equal(wgf_give(&f, &f.a, rb, 92), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, ra, 92), RMR_OK);
    assert_true(wgf_exchange(&f) >= 2);
    assert_int_equal(f.a.n_packets, 1);
    assert_int_equal(f.b.n_packets, 1);
    const wg_key *ka = wgf_state(&f.a)->current, *kb = wgf_state(&f.b)->current;
    assert_int_equal(ka->remote, kb->ix.id);
    assert_int_equal(kb->remote, ka->ix.id);
    assert_true(ka->initiator != kb->initiator);
    bool a_wins = memcmp(f.a.pub, f.b.pub, 32) < 0;
    assert_int_equal(ka->initiator, a_wins);
    /* And goes on through renewals without a loss. */
    for (int i = 0; i < 400; i++) {
        wgf_run(&f, f.now + RMR_SEC);
        wgf_send(&f, &f.a, 60);
        wgf_send(&f, &f.b, 60);
        wgf_exchange(&f);
    }
    assert_int_equal(f.a.n_packets, 401);
    assert_int_equal(f.b.n_packets, 401);
    wgf_close(&f);
}

/* The answer to an attempt that crossed, held back on its way, would put a key
 * in use that the other side has forgotten. */
static void a_crossed_attempt_ends_with_its_retry_time(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        wgf f;
        uint8_t ia[WGF_BUF], ib[WGF_BUF], ra[WGF_BUF], rb[WGF_BUF];
        wgf_open(&f);
        wgf_send(&f, &f.a, 40);
        wgf_send(&f, &f.b, 50);
        assert_int_equal(wgf_take(&f, &f.a, ia), 148);
        assert_int_equal(wgf_take(&f, &f.b, ib), 148);
        assert_int_equal(wgf_give(&f, &f.b, ia, 148), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.a, ib, 148), RMR_OK);
        assert_int_equal(wgf_take(&f, &f.a, ra), 92);
        assert_int_equal(wgf_take(&f, &f.b, rb), 92); /* held back */
        assert_int_equal(wgf_give(&f, &f.b, ra, 92), RMR_OK);
        wgf_exchange(&f);
        const wg_peer *p = wgf_state(&f.a);
        assert_non_null(p->current);
        assert_false(p->current->initiator);
        assert_true(p->deadline[WG_RETX] == RMR_TIME_NEVER);
        wgf_run(&f, f.now + 5 * RMR_SEC + 333 * RMR_MS + (rmr_time)late);
        uint64_t digest = wgf_digest(f.a.wg);
        assert_int_equal(wgf_give(&f, &f.a, rb, 92),
                         late ? RMR_E_UNKNOWN : RMR_OK);
        assert_int_equal(wgf_digest(f.a.wg) == digest, late);
        /* Its keys go with the next handshake, whoever begins that. */
        for (int i = 0; i < 150; i++) {
            wgf_run(&f, f.now + RMR_SEC);
            wgf_send(&f, &f.b, 60);
            wgf_exchange(&f);
        }
        assert_int_equal(f.a.n_packets, 151);
        assert_null(p->hs);
        wgf_close(&f);
    }
}

/* A peer with one state for both roles loses its own attempt. */
static void crossing_with_a_reference_peer_works_from_either_side(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        wgf f;
        uint8_t ia[WGF_BUF], ib[WGF_BUF];
        wgf_open(&f);
        (k ? &f.a : &f.b)->wg->like_reference = true;
        wgf_send(&f, &f.a, 40);
        wgf_send(&f, &f.b, 50);
        assert_int_equal(wgf_take(&f, &f.a, ia), 148);
        assert_int_equal(wgf_take(&f, &f.b, ib), 148);
        assert_int_equal(wgf_give(&f, &f.b, ia, 148), RMR_OK);
        assert_int_equal(wgf_give(&f, &f.a, ib, 148), RMR_OK);
        wgf_exchange(&f);
        assert_int_equal(f.a.n_packets, 1);
        assert_int_equal(f.b.n_packets, 1);
        for (int i = 0; i < 400; i++) {
            wgf_run(&f, f.now + RMR_SEC);
            wgf_send(&f, &f.a, 60);
            wgf_send(&f, &f.b, 60);
            wgf_exchange(&f);
        }
        assert_int_equal(f.a.n_packets, 401);
        assert_int_equal(f.b.n_packets, 401);
        wgf_close(&f);
    }
}

static void a_response_under_a_datas_index_and_the_reverse_are_unknown(void **s)
{
    (void)s;
    wgf f;
    uint8_t i[WGF_BUF], r[WGF_BUF], d[64] = {4};
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, i), 148);
    memcpy(d + 4, i + 4, 4); /* data for a handshake's index */
    assert_int_equal(wgf_give(&f, &f.a, d, 64), RMR_E_UNKNOWN);
    assert_int_equal(wgf_give(&f, &f.b, i, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.b, r), 92);
    assert_int_equal(wgf_give(&f, &f.a, r, 92), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.a, r, 92), RMR_E_UNKNOWN);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_equals_the_vector_in_both_roles),
        cmocka_unit_test(the_keys_of_the_macs_equal_the_vector),
        cmocka_unit_test(a_second_initiation_replaces_the_first),
        cmocka_unit_test(crossing_initiations_end_on_one_key),
        cmocka_unit_test(a_crossed_attempt_ends_with_its_retry_time),
        cmocka_unit_test(crossing_with_a_reference_peer_works_from_either_side),
        cmocka_unit_test(
            a_response_under_a_datas_index_and_the_reverse_are_unknown),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
