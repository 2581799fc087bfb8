/* wireguard-cookie.json, and behaviour under load. */
#include "wg_fixture.h"

typedef struct scene { /* R refuses a message of S */
    wgf_side r, s;
    uint8_t msg[WGF_BUF], want[WGF_BUF];
    size_t len;
} scene;

/* The private key of a public one in the handshake file. */
static void private_of(tv *h, const uint8_t pub[32], uint8_t priv[32],
                       uint8_t other_priv[32])
{
    uint8_t x[32];
    tv_get_hex(h, "initiator_static_public", x, 32);
    bool is_i = !memcmp(x, pub, 32);
    tv_get_hex(h, "initiator_static_private", is_i ? priv : other_priv, 32);
    tv_get_hex(h, "responder_static_private", is_i ? other_priv : priv, 32);
}

static void scene_open(scene *sc, tv *h, tv *c)
{
    uint8_t x[64];
    memset(sc, 0, sizeof *sc);
    wgf_side_keys(&sc->r, 1, "r");
    wgf_side_keys(&sc->s, 2, "s");
    tv_get_hex(c, "receiver_static_public", sc->r.pub, 32);
    private_of(h, sc->r.pub, sc->r.priv, sc->s.priv);
    rmr_x25519_public(x, sc->r.priv);
    assert_memory_equal(x, sc->r.pub, 32);
    rmr_x25519_public(sc->s.pub, sc->s.priv);
    wgf_side_open(&sc->r, WGF_T0);
    wgf_side_open(&sc->s, WGF_T0);
    sc->r.peer = wgf_add(&sc->r, WGF_T0, sc->s.pub, NULL, NULL);
    sc->s.peer = wgf_add(&sc->s, WGF_T0, sc->r.pub, NULL, NULL);
    memset(&sc->s.at, 0, sizeof sc->s.at);
    sc->s.at.len = (uint8_t)tv_get_hex(c, "endpoint_bytes", sc->s.at.bytes,
                                       RMR_WG_ENDPOINT_MAX);
    sc->s.at.bucket_len = 4;
    sc->len = tv_get_hex(c, "trigger_message", sc->msg, sizeof sc->msg);
}

static void one_case(tv *h, tv *c)
{
    scene sc;
    uint8_t x[64], reply[WGF_BUF], cookie[16];
    rmr_wg_pkt_info info;
    size_t n;
    scene_open(&sc, h, c);

    /* The refusing side. */
    sc.r.wg->load_per_second = 0;
    assert_int_equal(tv_get_hex(c, "cookie_secret", x, 32), 32);
    wgf_script(&sc.r.rng, x, 32);
    assert_int_equal(tv_get_hex(c, "nonce", x, 24), 24);
    wgf_script(&sc.r.rng, x, 24);
    assert_int_equal(
        rmr_wg_read_pkt(sc.r.wg, WGF_T0, &sc.s.at, rmr_buf_of(sc.msg, sc.len)),
        RMR_E_RATELIMIT);
    assert_int_equal(rmr_wg_write_pkt(sc.r.wg, WGF_T0,
                                      rmr_buf_of(reply, WGF_BUF), &n, &info),
                     RMR_OK);
    assert_int_equal(n, 64);
    assert_int_equal(tv_get_hex(c, "cookie_reply", sc.want, WGF_BUF), 64);
    assert_memory_equal(reply, sc.want, 64);
    assert_int_equal(info.peer.id, 0);
    assert_memory_equal(info.to.bytes, sc.s.at.bytes, sc.s.at.len);

    /* The refused side: as if it had sent that message. */
    wg_peer *p = wgf_state(&sc.s);
    wgf_script(&sc.s.rng, sc.msg + 4, 4);
    assert_int_equal(rmri_wg_hs_initiate(sc.s.wg, p), RMR_OK);
    assert_int_equal(tv_get_hex(c, "trigger_mac1", p->mac1, 16), 16);
    assert_int_equal(
        rmr_wg_read_pkt(sc.s.wg, WGF_T0, &sc.r.at, rmr_buf_of(reply, 64)),
        RMR_OK);
    tv_get_hex(c, "cookie", cookie, 16);
    assert_memory_equal(p->cookie, cookie, 16);
    rmri_wg_add_macs(sc.s.wg, p, sc.msg, sc.len - 32);
    tv_get_hex(c, "trigger_with_mac2", sc.want, WGF_BUF);
    assert_memory_equal(sc.msg, sc.want, sc.len);

    /* With mac2 it gets past the gate. */
    rmr_err e =
        rmr_wg_read_pkt(sc.r.wg, WGF_T0, &sc.s.at, rmr_buf_of(sc.msg, sc.len));
    assert_int_equal(e, sc.len == WG_INITIATION_LEN ? RMR_OK : RMR_E_UNKNOWN);
    wgf_side_close(&sc.r);
    wgf_side_close(&sc.s);
}

static void cookie_replies_and_mac2_equal_the_vector(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-cookie.json");
    tv *hs = tv_load("wireguard-handshake.json");
    tv *cases = tv_get(root, "cases");
    assert_int_equal(tv_len(cases), 4);
    for (size_t i = 0; i < tv_len(cases); i++)
        one_case(tv_at(tv_get(hs, "handshakes"), 0), tv_at(cases, i));
    tv_free(hs);
    tv_free(root);
}

static void the_token_bucket_equals_the_vector(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-cookie.json");
    tv *rows = tv_get(tv_get(root, "rate_limiter"), "rows");
    test_alloc mem = {0};
    test_rng g;
    test_rng_seed(&g, 1);
    rmr_alloc a = test_alloc_table(&mem);
    rmr_rng r = test_rng_table(&g);
    wg_buckets b;
    assert_int_equal(rmri_wg_buckets_init(&b, &a, &r), RMR_OK);
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *v = tv_at(rows, i);
        rmr_time t = WGF_T0 + (uint64_t)tv_get_int(v, "ms") * RMR_MS;
        assert_int_equal(rmri_wg_buckets_allow(&b, t, rmr_bytes_str("x")),
                         tv_bool(tv_get(v, "allow")));
    }
    rmri_wg_buckets_wipe(&b);
    assert_int_equal(mem.live_blocks, 0);
    tv_free(root);
}

static void buckets_are_bounded_and_forgotten_when_idle(void **state)
{
    (void)state;
    test_alloc mem = {0};
    test_rng g;
    test_rng_seed(&g, 1);
    rmr_alloc a = test_alloc_table(&mem);
    rmr_rng r = test_rng_table(&g);
    wg_buckets b;
    rmr_time t = WGF_T0;
    assert_int_equal(rmri_wg_buckets_init(&b, &a, &r), RMR_OK);
    for (uint32_t i = 0; i < WG_BUCKETS_MAX + 100; i++)
        assert_int_equal(rmri_wg_buckets_allow(&b, t, rmr_bytes_of(&i, 4)),
                         i < WG_BUCKETS_MAX);
    size_t blocks = mem.live_blocks;
    t += RMR_SEC - 1;
    uint32_t late = 100000, first = 0;
    assert_false(rmri_wg_buckets_allow(&b, t, rmr_bytes_of(&late, 4)));
    assert_true(rmri_wg_buckets_allow(&b, t, rmr_bytes_of(&first, 4)));
    t += 1;
    assert_true(rmri_wg_buckets_allow(&b, t, rmr_bytes_of(&late, 4)));
    assert_int_equal(b.slots.used, 2);
    assert_int_equal(mem.live_blocks, blocks);
    /* No memory is a refusal, never a pass. */
    rmri_wg_buckets_wipe(&b);
    assert_int_equal(rmri_wg_buckets_init(&b, &a, &r), RMR_OK);
    for (size_t n = 1;; n++) {
        mem.fail_at = mem.calls + n;
        bool ok = rmri_wg_buckets_allow(&b, t, rmr_bytes_str("y"));
        bool hit = mem.calls >= mem.fail_at;
        mem.fail_at = 0;
        assert_true(ok != hit);
        if (ok)
            break;
    }
    rmri_wg_buckets_wipe(&b);
    assert_int_equal(mem.live_blocks, 0);
}

/* ---- under load ------------------------------------------------------- */

static void under_load_a_handshake_costs_one_more_round_trip(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    f.b.wg->load_per_second = 0;
    wgf_send(&f, &f.a, 40);
    wgf_exchange(&f);
    assert_int_equal(f.b.wg->stats.cookies_sent, 1);
    assert_int_equal(f.b.wg->stats.discard_ratelimit, 1);
    assert_int_equal(f.a.wg->stats.cookies_taken, 1);
    assert_int_equal(f.b.n_packets, 0);
    /* The cookie triggers nothing; the next retry carries mac2. */
    wgf_run(&f, f.now + 5 * RMR_SEC);
    assert_int_equal(f.b.n_packets, 1);
    assert_int_equal(f.b.wg->stats.cookies_sent, 1);
    wgf_close(&f);
}

static void load_is_more_than_the_configured_arrivals_in_a_second(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    f.b.wg->load_per_second = 10;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    for (int i = 2; i <= 10; i++)
        assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    /* It lingers a second after it was last so. */
    f.now += RMR_SEC - 1;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    f.now += RMR_SEC;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    /* Messages without a right mac1 aren't counted. */
    d[8] ^= 1;
    for (int i = 0; i < 100; i++)
        assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_AUTH);
    d[8] ^= 1;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    wgf_close(&f);
}

static void waiting_cookie_replies_are_bounded(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], out[WGF_BUF];
    wgf_open(&f);
    f.b.wg->load_per_second = 0;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    f.b.alloc.fail_at = f.b.alloc.calls + 1; /* no memory for replies yet */
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    assert_int_equal(wgf_take(&f, &f.b, out), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    size_t n = 0;
    while (wgf_take(&f, &f.b, out) == 64)
        n++;
    assert_int_equal(n, WG_REPLIES);
    wgf_close(&f);
}

static void a_cookie_is_taken_once_and_only_by_its_message(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], c[WGF_BUF], bad[WGF_BUF];
    wgf_open(&f);
    f.b.wg->load_per_second = 0;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    assert_int_equal(wgf_take(&f, &f.b, c), 64);
    uint64_t before = wgf_digest(f.a.wg);
    assert_int_equal(wgf_give(&f, &f.a, c, 63), RMR_E_MALFORMED);
    for (size_t i = 4; i < 64; i++) {
        memcpy(bad, c, 64);
        bad[i] ^= 1;
        assert_int_equal(wgf_give(&f, &f.a, bad, 64),
                         i < 8 ? RMR_E_UNKNOWN : RMR_E_AUTH);
        assert_true(wgf_digest(f.a.wg) == before);
    }
    rmr_time deadline = rmr_wg_next_deadline(f.a.wg);
    assert_int_equal(wgf_give(&f, &f.a, c, 64), RMR_OK);
    assert_int_equal(rmr_wg_next_deadline(f.a.wg), deadline);
    assert_int_equal(wgf_give(&f, &f.a, c, 64), RMR_E_UNKNOWN);
    wgf_close(&f);
}

static void mac2_counts_for_its_source_and_its_time_alone(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], c[WGF_BUF];
    wgf_open(&f);
    f.b.wg->load_per_second = 0;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    assert_int_equal(wgf_take(&f, &f.b, c), 64);
    assert_int_equal(wgf_give(&f, &f.a, c, 64), RMR_OK);
    f.now += 5 * RMR_SEC;
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    rmr_wg_endpoint real = f.a.at;
    f.a.at = wgf_endpoint("elsewhere");
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    f.a.at = real;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    /* The secret is forgotten after 120 s, the cookie unused after 115. */
    f.now += 110 * RMR_SEC;
    wg_peer *p = wgf_state(&f.a);
    rmri_wg_clock(f.a.wg, f.now);
    rmri_wg_add_macs(f.a.wg, p, d, 116);
    assert_true(memcmp(d + 132, (uint8_t[16]){0}, 16) == 0);
    p->cookie_at += 1;
    rmri_wg_add_macs(f.a.wg, p, d, 116);
    assert_true(memcmp(d + 132, (uint8_t[16]){0}, 16) != 0);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    f.now += 5 * RMR_SEC;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    wgf_close(&f);
}

static void a_source_with_mac2_gets_five_at_once_and_20_a_second(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], c[WGF_BUF];
    wgf_open(&f);
    f.b.wg->load_per_second = 0;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    assert_int_equal(wgf_take(&f, &f.b, c), 64);
    assert_int_equal(wgf_give(&f, &f.a, c, 64), RMR_OK);
    rmri_wg_add_macs(f.a.wg, wgf_state(&f.a), d, 116);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    assert_int_equal(wgf_take(&f, &f.b, c), 92);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    assert_int_equal(wgf_take(&f, &f.b, c), 0); /* and no cookie */
    f.now += 50 * RMR_MS;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_RATELIMIT);
    wgf_close(&f);
}

static void a_hint_of_the_host_is_load_for_a_second(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    for (int ms = 0; ms <= 1000; ms += 500) {
        rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
        wgf_send(&f, &f.a, 40);
        assert_int_equal(wgf_take(&f, &f.a, d), 148);
        if (ms == 0)
            rmr_wg_hint_load(f.b.wg, f.now);
        assert_int_equal(wgf_give(&f, &f.b, d, 148),
                         ms < 1000 ? RMR_E_RATELIMIT : RMR_OK);
        f.now += 500 * RMR_MS;
    }
    assert_int_equal(wgf_take(&f, &f.b, d), 64);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hint_of_the_host_is_load_for_a_second),
        cmocka_unit_test(cookie_replies_and_mac2_equal_the_vector),
        cmocka_unit_test(the_token_bucket_equals_the_vector),
        cmocka_unit_test(buckets_are_bounded_and_forgotten_when_idle),
        cmocka_unit_test(under_load_a_handshake_costs_one_more_round_trip),
        cmocka_unit_test(load_is_more_than_the_configured_arrivals_in_a_second),
        cmocka_unit_test(waiting_cookie_replies_are_bounded),
        cmocka_unit_test(a_cookie_is_taken_once_and_only_by_its_message),
        cmocka_unit_test(mac2_counts_for_its_source_and_its_time_alone),
        cmocka_unit_test(a_source_with_mac2_gets_five_at_once_and_20_a_second),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
