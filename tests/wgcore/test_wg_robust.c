/* Memory and randomness that fail at each point, secrets, determinism. */
#include "wg_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* Fails the n-th draw, counted from now. */
typedef struct frail {
    test_rng base;
    size_t left; /* 0: never */
} frail;

static rmr_err frail_fill(void *user, uint8_t *dst, size_t len)
{
    frail *r = (frail *)user;
    if (r->left && --r->left == 0)
        return RMR_E_RNG;
    rmr_rng base = test_rng_table(&r->base);
    return base.fill(base.user, dst, len);
}

/* ---- allocation --------------------------------------------------------- */

static void a_tunnel_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    wgf_side s;
    rmr_wg_config cfg;
    rmr_wg_callbacks cb;
    memset(&s, 0, sizeof s);
    wgf_side_keys(&s, 5, "s");
    wgf_config(&s, &cfg, &cb);
    for (size_t n = 1;; n++) {
        rmr_env env = wgf_env(&s);
        rmr_wg *wg = NULL;
        s.alloc.fail_at = s.alloc.calls + n;
        rmr_err e = rmr_wg_new(&wg, &env, &cfg, WGF_T0);
        s.alloc.fail_at = 0;
        if (!e) {
            rmr_wg_free(wg);
            break;
        }
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(wg);
        assert_int_equal(s.alloc.live_blocks, 0);
    }
    for (size_t n = 1;; n++) {
        frail r;
        rmr_wg *wg = NULL;
        rmr_env env = wgf_env(&s);
        test_rng_seed(&r.base, 1);
        r.left = n;
        env.rng.fill = frail_fill;
        env.rng.user = &r;
        rmr_err e = rmr_wg_new(&wg, &env, &cfg, WGF_T0);
        if (!e) {
            rmr_wg_free(wg);
            assert_true(n > 1);
            break;
        }
        assert_int_equal(e, RMR_E_RNG);
        assert_int_equal(s.alloc.live_blocks, 0);
    }
}

static void a_peer_is_added_whole_or_not_at_all(void **state)
{
    (void)state;
    wgf f;
    rmr_wg_peer_config pc;
    wgf_open(&f);
    rmr_wg_peer_config_init(&pc, sizeof pc);
    for (uint32_t i = 0; i < 40; i++) { /* over the growth of each table */
        rmr_wg_peer p = {0};
        rmr_store_le32(pc.public_key, i + 1);
        pc.public_key[20] = 1;
        for (size_t n = 1;; n++) {
            size_t used = f.a.wg->peers.used;
            f.a.alloc.fail_at = f.a.alloc.calls + n;
            rmr_err e = rmr_wg_peer_add(f.a.wg, f.now, &pc, &p);
            f.a.alloc.fail_at = 0;
            if (!e)
                break;
            assert_int_equal(e, RMR_E_NOMEM);
            assert_int_equal(f.a.wg->peers.used, used);
            assert_int_equal(rmr_wg_peer_find(f.a.wg, pc.public_key).id, 0);
        }
        assert_int_equal(rmr_wg_peer_find(f.a.wg, pc.public_key).id, p.id);
    }
    wgf_close(&f);
}

/* With the n-th allocation of each side failing, a handshake comes about all
 * the same: by a retry, and without a leak. */
static void a_handshake_survives_any_failed_allocation(void **state)
{
    (void)state;
    bool hit = true;
    for (size_t n = 1; hit; n++) {
        wgf f;
        hit = false;
        wgf_open(&f);
        f.a.alloc.fail_at = f.a.alloc.calls + n;
        f.b.alloc.fail_at = f.b.alloc.calls + n;
        rmr_err e = wgf_send(&f, &f.a, 40);
        assert_true(e == RMR_OK || e == RMR_E_NOMEM);
        if (e)
            assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
        wgf_run(&f, f.now + 12 * RMR_SEC);
        assert_int_equal(f.b.n_packets, 1);
        hit = f.a.alloc.failed || f.b.alloc.failed;
        wgf_close(&f);
    }
}

static void an_unanswered_initiation_leaves_no_trace_without_memory(void **s)
{
    (void)s;
    for (size_t n = 1;; n++) {
        wgf f;
        uint8_t d[WGF_BUF];
        wgf_open(&f);
        wgf_send(&f, &f.a, 40);
        assert_int_equal(wgf_take(&f, &f.a, d), 148);
        uint64_t before = wgf_digest(f.b.wg);
        f.b.alloc.fail_at = f.b.alloc.calls + n;
        rmr_err e = wgf_give(&f, &f.b, d, 148);
        f.b.alloc.fail_at = 0;
        if (e) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_true(wgf_digest(f.b.wg) == before);
            assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
        }
        wgf_exchange(&f);
        assert_int_equal(f.b.n_packets, 1);
        wgf_close(&f);
        if (!e)
            break;
    }
}

/* ---- randomness --------------------------------------------------------- */

static void failed_randomness_is_fatal_and_stays_so(void **state)
{
    (void)state;
    size_t fatal = 0;
    for (size_t n = 1; n < 12; n++) {
        wgf f;
        frail ra, rb;
        uint8_t d[WGF_BUF];
        size_t len;
        wgf_open(&f);
        test_rng_seed(&ra.base, 7);
        test_rng_seed(&rb.base, 8);
        ra.left = n;
        rb.left = n;
        f.a.wg->env.rng.fill = f.b.wg->env.rng.fill = frail_fill;
        f.a.wg->env.rng.user = &ra;
        f.b.wg->env.rng.user = &rb;
        f.b.wg->load_per_second = 0; /* cookies draw too */
        rmr_err e = wgf_send(&f, &f.a, 40);
        rmr_wg_pkt_info info;
        rmr_buf out = rmr_buf_of(d, sizeof d);
        for (int i = 0; i < 6 && !e; i++) {
            e = rmr_wg_write_pkt(f.a.wg, f.now, out, &len, &info);
            if (!e && len)
                e = wgf_give(&f, &f.b, d, len);
            if (e == RMR_E_RATELIMIT)
                e = rmr_wg_write_pkt(f.b.wg, f.now, out, &len, &info);
            if (!e && len)
                e = wgf_give(&f, &f.a, d, len);
            f.now += 5 * RMR_SEC;
            if (!e)
                e = rmr_wg_handle_deadline(f.a.wg, f.now);
            if (e != RMR_E_RNG)
                e = RMR_OK;
        }
        if (e) {
            fatal++;
            wgf_side *s = f.a.wg->fatal ? &f.a : &f.b;
            assert_int_equal(s->wg->fatal, RMR_E_RNG);
            assert_int_equal(rmr_wg_write_pkt(s->wg, f.now, out, &len, &info),
                             RMR_E_RNG);
            assert_int_equal(wgf_give(&f, s, d, 40), RMR_E_RNG);
            assert_int_equal(rmr_wg_handle_deadline(s->wg, f.now), RMR_E_RNG);
            assert_int_equal(wgf_send(&f, s, 40), RMR_E_RNG);
        }
        wgf_close(&f);
    }
    assert_true(fatal >= 6);
}

static rmr_err same_fill(void *user, uint8_t *dst, size_t len)
{
    memset(dst, *(int *)user, len);
    return RMR_OK;
}

static void a_source_that_repeats_itself_is_a_failed_one(void **state)
{
    (void)state;
    wgf f;
    int byte = 7;
    wgf_open(&f);
    f.a.wg->env.rng.fill = same_fill;
    f.a.wg->env.rng.user = &byte;
    assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
    f.now += 5 * RMR_SEC; /* the second index is the first again */
    assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_E_RNG);
    wgf_close(&f);
}

/* ---- secrets ------------------------------------------------------------ */

static void watch(wgf_side *s, const uint8_t *secret, size_t len)
{
    s->alloc.secret = secret;
    s->alloc.secret_len = len;
}

/* Freed memory is searched: at renewal, at expiry, at removal, at the end. */
static void every_kind_of_key_is_wiped_before_its_memory_goes(void **state)
{
    (void)state;
    for (int kind = 0; kind < 7; kind++) {
        wgf f;
        uint8_t secret[32], eph[32];
        size_t len = 32;
        wgf_open(&f);
        memset(eph, 0x5b, 32);
        rmr_key_clamp(eph);
        wgf_script(&f.a.rng, eph, 32);
        wgf_send(&f, &f.a, 40);
        if (kind == 0) { /* the ephemeral of an attempt that ends unanswered */
            watch(&f.a, eph, 32);
            wgf_state(&f.a)->attempts = 50;
            f.now = rmr_wg_next_deadline(f.a.wg);
            rmr_wg_handle_deadline(f.a.wg, f.now);
            assert_null(wgf_state(&f.a)->hs);
            wgf_close(&f);
            continue;
        }
        if (kind == 1)
            watch(&f.a, eph, 32); /* and of one that is answered */
        wgf_exchange(&f);
        wg_peer *p = wgf_state(&f.a);
        if (kind == 2)
            memcpy(secret, p->current->send.opaque, len);
        else if (kind == 3)
            memcpy(secret, p->current->recv.opaque, len);
        else if (kind == 4)
            memcpy(secret, p->ss, len);
        else if (kind == 5)
            memcpy(secret, f.a.wg->priv, len);
        else if (kind == 6) {
            memset(p->psk, 0x77, 32);
            memcpy(secret, p->psk, len);
        }
        if (kind > 1)
            watch(&f.a, secret, len);
        if (kind < 4)
            wgf_run(&f, f.now + 130 * RMR_SEC);
        wgf_run(&f, f.now + 600 * RMR_SEC);
        assert_null(wgf_state(&f.a)->current);
        if (kind == 4)
            rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer);
        wgf_close(&f); /* asserts that no find was counted */
    }
}

static void staged_plaintext_is_wiped(void **state)
{
    (void)state;
    wgf f;
    uint8_t p[64];
    wgf_open(&f);
    wgf_packet(&f, &f.a, p, 64);
    watch(&f.a, p + 20, 40);
    wgf_send(&f, &f.a, 64);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

static bool log_has_bytes(const test_log *l, const uint8_t *key)
{
    char hex[17];
    for (size_t i = 0; i < 8; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    return test_log_has(l, hex);
}

static void no_log_line_holds_a_secret(void **state)
{
    (void)state;
    wgf f;
    test_log *log = (test_log *)calloc(1, sizeof *log);
    assert_non_null(log);
    wgf_open(&f);
    f.a.wg->env.log = test_log_table(log, RMR_LOG_TRACE);
    wgf_handshake(&f);
    const wg_peer *p = wgf_state(&f.a);
    uint8_t send[32], ss[32];
    memcpy(send, p->current->send.opaque, 32);
    memcpy(ss, p->ss, 32);
    wgf_run(&f, f.now + 600 * RMR_SEC);
    assert_true(log->len > 0);
    assert_true(test_log_has(log, "handshake completed"));
    assert_false(log_has_bytes(log, f.a.priv));
    assert_false(log_has_bytes(log, send));
    assert_false(log_has_bytes(log, ss));
    wgf_close(&f);
    free(log);
}

/* ---- determinism -------------------------------------------------------- */

static uint64_t one_run(void)
{
    static const rmr_hash_key key = {9, 9};
    wgf f;
    uint8_t d[WGF_BUF];
    uint64_t sum = 0;
    wgf_open(&f);
    f.a.wg->jitter_max = f.b.wg->jitter_max = WG_JITTER;
    for (int i = 0; i < 300; i++) {
        wgf_send(&f, i % 3 ? &f.a : &f.b, 40 + (size_t)i);
        wgf_side *sides[2] = {&f.a, &f.b};
        for (int k = 0; k < 2; k++)
            for (size_t n; (n = wgf_take(&f, sides[k], d)) > 0;) {
                sum = sum * 31 + rmr_siphash(&key, d, n);
                (void)wgf_give(&f, wgf_other(&f, sides[k]), d, n);
            }
        f.now += RMR_SEC;
        rmr_wg_handle_deadline(f.a.wg, f.now);
        rmr_wg_handle_deadline(f.b.wg, f.now);
        sum = sum * 31 + rmr_wg_next_deadline(f.a.wg);
    }
    wgf_close(&f);
    return sum;
}

static void the_same_calls_give_the_same_bytes(void **state)
{
    (void)state;
    uint64_t first = one_run();
    void *hole = malloc(4096); /* other addresses */
    assert_non_null(hole);
    assert_true(one_run() == first);
    free(hole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_is_made_whole_or_not_at_all),
        cmocka_unit_test(a_peer_is_added_whole_or_not_at_all),
        cmocka_unit_test(a_handshake_survives_any_failed_allocation),
        cmocka_unit_test(
            an_unanswered_initiation_leaves_no_trace_without_memory),
        cmocka_unit_test(failed_randomness_is_fatal_and_stays_so),
        cmocka_unit_test(a_source_that_repeats_itself_is_a_failed_one),
        cmocka_unit_test(every_kind_of_key_is_wiped_before_its_memory_goes),
        cmocka_unit_test(staged_plaintext_is_wiped),
        cmocka_unit_test(no_log_line_holds_a_secret),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
