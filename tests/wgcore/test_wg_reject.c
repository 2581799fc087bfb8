/* wireguard-reject.json: what is refused, with what answer, and that nothing
 * but a counter knows of it. */
#include "wg_fixture.h"

#include <stdlib.h>

typedef struct bench {
    wgf f;
    tv *hs, *rows;
} bench;

static void load_key(wgf_side *s, tv *h, const char *key, const char *at)
{
    wgf_side_keys(s, (uint64_t)at[0], at);
    tv_get_hex(h, key, s->priv, 32);
    rmr_x25519_public(s->pub, s->priv);
}

/* A is the initiator, B the responder of handshake no_psk; A's initiation is
 * out. */
static void bench_open(bench *b, tv *hs)
{
    uint8_t x[32], ts[12];
    memset(b, 0, sizeof *b);
    b->hs = hs;
    b->f.now = WGF_T0;
    wgf_side *i = &b->f.a, *r = &b->f.b;
    load_key(i, hs, "initiator_static_private", "i");
    load_key(r, hs, "responder_static_private", "r");
    wgf_side_open(i, b->f.now);
    wgf_side_open(r, b->f.now);
    i->peer = wgf_add(i, b->f.now, r->pub, NULL, &r->at);
    r->peer = wgf_add(r, b->f.now, i->pub, NULL, &i->at);
    wgf_allow(i, i->peer, "0.0.0.0/0 ::/0");
    wgf_allow(r, r->peer, "100.64.0.1/32 fd7a:115c:a1e0::1/128");

    tv_get_hex(hs, "timestamp", ts, 12);
    uint64_t sec = rmr_load_be64(ts) - ((uint64_t)1 << 62) - 10;
    rmr_wg_set_wall(i->wg, b->f.now, sec * RMR_SEC + rmr_load_be32(ts + 8));
    rmr_store_le32(x, (uint32_t)tv_get_int(hs, "initiator_index"));
    wgf_script(&i->rng, x, 4);
    tv_get_hex(hs, "initiator_ephemeral_private", x, 32);
    wgf_script(&i->rng, x, 32);
    assert_int_equal(rmri_wg_keepalive(i->wg, wgf_state(i)), RMR_OK);
    uint8_t out[WGF_BUF], want[WGF_BUF];
    assert_int_equal(wgf_take(&b->f, i, out), 148);
    tv_get_hex(hs, "initiation", want, sizeof want);
    assert_memory_equal(out, want, 148);

    tv_get_hex(hs, "responder_ephemeral_private", x, 32);
    wgf_script(&r->rng, x, 32);
    rmr_store_le32(x, (uint32_t)tv_get_int(hs, "responder_index"));
    wgf_script(&r->rng, x, 4);
}

static rmr_err verdict(const char *expect)
{
    static const struct {
        const char *text;
        rmr_err e;
    } map[] = {{"timestamp not greater", RMR_E_REPLAY},
               {"drop: flood", RMR_E_RATELIMIT},
               {"drop: length", RMR_E_MALFORMED},
               {"drop: unknown type", RMR_E_MALFORMED},
               {"drop: mac1", RMR_E_AUTH},
               {"AEAD", RMR_E_AUTH},
               {"all-zero DH", RMR_E_AUTH},
               {"no such peer", RMR_E_UNKNOWN},
               {"no handshake with that index", RMR_E_UNKNOWN},
               {"handshake no longer waiting", RMR_E_UNKNOWN},
               {"no keypair", RMR_E_UNKNOWN},
               {"drop: replay", RMR_E_REPLAY},
               {"REJECT_AFTER_MESSAGES", RMR_E_REPLAY},
               {"authenticated but drop", RMR_E_DENIED},
               {"accept", RMR_OK},
               {"deliver", RMR_OK},
               {"keepalive", RMR_OK}};
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (strstr(expect, map[i].text))
            return map[i].e;
    print_error("unknown verdict: %s\n", expect);
    fail();
    return RMR_OK;
}

static void feed(bench *b, wgf_side *to, tv *row)
{
    uint8_t d[WGF_BUF];
    size_t n = tv_get_hex(row, "message", d, sizeof d);
    rmr_err want = verdict(tv_get_str(row, "expect"));
    uint64_t before = wgf_digest(to->wg);
    rmr_err got = wgf_give(&b->f, to, d, n);
    if (got != want)
        print_error("%s\n", tv_get_str(row, "name"));
    assert_int_equal(got, want);
    if (want && want != RMR_E_DENIED) {
        assert_true(wgf_digest(to->wg) == before);
        assert_int_equal(wgf_take(&b->f, to, d), 0);
    }
}

static tv *row_named(tv *rows, const char *name)
{
    for (size_t i = 0; i < tv_len(rows); i++)
        if (!strcmp(tv_get_str(tv_at(rows, i), "name"), name))
            return tv_at(rows, i);
    fail();
    return NULL;
}

static void each_in(const char *list, bool to_initiator, const char *ok)
{
    tv *root = tv_load("wireguard-reject.json");
    tv *hs_root = tv_load("wireguard-handshake.json");
    tv *rows = tv_get(root, list);
    for (size_t i = 0; i < tv_len(rows); i++) {
        bench b;
        tv *row = tv_at(rows, i);
        const char *expect = tv_get_str(row, "expect");
        bench_open(&b, tv_at(tv_get(hs_root, "handshakes"), 0));
        wgf_side *to = to_initiator ? &b.f.a : &b.f.b;
        if (!strncmp(expect, "after ", 6)) {
            uint8_t d[WGF_BUF];
            feed(&b, to, row_named(rows, ok));
            while (wgf_take(&b.f, to, d))
                ;
            if (strstr(expect, "at 20 ms"))
                b.f.now += 20 * RMR_MS;
            else
                b.f.now += 20 * RMR_MS + 1;
        }
        feed(&b, to, row);
        wgf_close(&b.f);
    }
    tv_free(hs_root);
    tv_free(root);
}

static void each_initiation_gets_its_verdict(void **state)
{
    (void)state;
    each_in("initiation", false, "init_ok");
}

static void each_response_gets_its_verdict(void **state)
{
    (void)state;
    each_in("response", true, "resp_ok");
}

static void each_data_packet_gets_its_verdict(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-reject.json");
    tv *hs_root = tv_load("wireguard-handshake.json");
    tv *rows = tv_get(root, "data");
    bench b;
    uint8_t d[WGF_BUF];
    bench_open(&b, tv_at(tv_get(hs_root, "handshakes"), 0));
    size_t n = tv_get_hex(b.hs, "initiation", d, sizeof d);
    assert_int_equal(wgf_give(&b.f, &b.f.b, d, n), RMR_OK);
    while (wgf_take(&b.f, &b.f.b, d))
        ;
    size_t delivered = 0;
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *row = tv_at(rows, i);
        const char *expect = tv_get_str(row, "expect");
        feed(&b, &b.f.b, row);
        if (!strncmp(expect, "deliver", 7)) {
            delivered++;
            const char *to = strstr(expect, "to ");
            if (to)
                assert_int_equal(b.f.b.last_len, atoi(to + 3));
        }
        assert_int_equal(b.f.b.n_packets, delivered);
    }
    assert_int_equal(delivered, 3);
    const rmr_wg_stats *s = &b.f.b.wg->stats;
    assert_int_equal(s->discard_source, 1);
    assert_int_equal(s->discard_inner, 8);
    assert_int_equal(b.f.b.n_state[RMR_WG_ESTABLISHED], 1);
    wgf_close(&b.f);
    tv_free(hs_root);
    tv_free(root);
}

/* The same rows as arrays, the initiation in front of the first: however they
 * are cut, each gets its verdict. */
static void data_packets_in_arrays_get_the_same_verdicts(void **state)
{
    (void)state;
    enum { MAX = 64 };
    static uint8_t d[MAX][WGF_BUF];
    tv *root = tv_load("wireguard-reject.json");
    tv *hs_root = tv_load("wireguard-handshake.json");
    tv *rows = tv_get(root, "data");
    size_t n_rows = tv_len(rows);
    assert_true(n_rows + 1 < MAX);
    for (size_t cut = 1; cut <= n_rows + 1; cut++) {
        bench b;
        rmr_wg_in in[MAX];
        bench_open(&b, tv_at(tv_get(hs_root, "handshakes"), 0));
        for (size_t i = 0; i <= n_rows; i++) {
            tv *hex = i ? tv_at(rows, i - 1) : b.hs;
            size_t n = tv_get_hex(hex, i ? "message" : "initiation", d[i],
                                  sizeof d[i]);
            in[i].from = &b.f.a.at;
            in[i].datagram = rmr_buf_of(d[i], n);
            in[i].ecn = 0;
        }
        for (size_t i = 0; i <= n_rows; i += cut) {
            size_t n = n_rows + 1 - i < cut ? n_rows + 1 - i : cut;
            assert_int_equal(rmr_wg_read_pkts(b.f.b.wg, b.f.now, in + i, n),
                             RMR_OK);
        }
        assert_int_equal(in[0].err, RMR_OK);
        for (size_t i = 1; i <= n_rows; i++)
            assert_int_equal(in[i].err,
                             verdict(tv_get_str(tv_at(rows, i - 1), "expect")));
        const rmr_wg_stats *s = &b.f.b.wg->stats;
        assert_int_equal(b.f.b.n_packets, 3);
        assert_int_equal(s->discard_source, 1);
        assert_int_equal(s->discard_inner, 8);
        assert_int_equal(b.f.b.n_state[RMR_WG_ESTABLISHED], 1);
        wgf_close(&b.f);
    }
    tv_free(hs_root);
    tv_free(root);
}

static void every_bit_and_every_length_of_each_message_is_checked(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], m[WGF_BUF];
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    for (int step = 0; step < 3; step++) {
        wgf_side *to = step == 1 ? &f.a : &f.b;
        size_t n = wgf_take(&f, wgf_other(&f, to), d);
        assert_true(n > 0);
        uint64_t before = wgf_digest(to->wg);
        for (size_t k = 0; k < n; k++) {
            assert_true(wgf_give(&f, to, d, k) != RMR_OK);
            assert_true(wgf_digest(to->wg) == before);
        }
        /* mac2 isn't looked at while there is no load. */
        size_t end = step < 2 ? n - 16 : n;
        for (size_t bit = 0; bit < end * 8; bit++) {
            memcpy(m, d, n);
            m[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(wgf_give(&f, to, m, n) != RMR_OK);
            assert_true(wgf_digest(to->wg) == before);
            f.now += 10 * RMR_MS; /* stay below the load test */
            rmri_wg_clock(to->wg, f.now);
        }
        if (step < 2) {
            memcpy(m, d, n);
            memset(m + n, 0, 4);
            assert_int_equal(wgf_give(&f, to, m, n + 1), RMR_E_MALFORMED);
        }
        assert_int_equal(wgf_give(&f, to, d, n), RMR_OK);
    }
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_initiation_gets_its_verdict),
        cmocka_unit_test(each_response_gets_its_verdict),
        cmocka_unit_test(each_data_packet_gets_its_verdict),
        cmocka_unit_test(data_packets_in_arrays_get_the_same_verdicts),
        cmocka_unit_test(every_bit_and_every_length_of_each_message_is_checked),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
