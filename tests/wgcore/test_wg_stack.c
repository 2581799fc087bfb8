/* What calls leave on their stack: no key. */
#include "wg_fixture.h"

#include "stack.h"

typedef struct call {
    wgf *f;
    wgf_side *s; /* whose call it is */
    rmr_wg_config *cfg;
    rmr_env env;
    rmr_wg *made;
    rmr_err err;
    uint8_t wire[WGF_BUF];
    size_t len;
} call;

/* ---- secrets ------------------------------------------------------------- */

static void gone(const uint8_t secret[32])
{
    static const uint8_t zero[32] = {0};
    if (memcmp(secret, zero, 32) == 0)
        return;
    assert_false(test_stack_has(secret, 16));
    assert_false(test_stack_has(secret + 16, 16));
}

static void key_is_gone(const wg_key *k)
{
    if (!k)
        return;
    gone(k->send.opaque);
    gone(k->recv.opaque);
}

static void all_are_gone(wgf_side *s, const uint8_t ephemeral[32])
{
    const wg_peer *p = wgf_state(s);
    gone(s->priv);
    gone(ephemeral);
    gone(p->ss);
    gone(p->psk);
    key_is_gone(p->current);
    key_is_gone(p->next);
    if (p->hs) {
        gone(p->hs->noise.ck);
        gone(p->hs->noise.e_priv);
    }
}

/* ---- calls --------------------------------------------------------------- */

static void make(void *arg)
{
    call *c = (call *)arg;
    c->err = rmr_wg_new(&c->made, &c->env, c->cfg, WGF_T0);
}

static void begin(void *arg)
{
    call *c = (call *)arg;
    c->err = rmr_wg_peer_set_keepalive(c->s->wg, c->f->now, c->s->peer, 25);
}

static void write_one(void *arg)
{
    call *c = (call *)arg;
    rmr_wg_pkt_info info;
    c->err =
        rmr_wg_write_pkt(c->s->wg, c->f->now,
                         rmr_buf_of(c->wire, sizeof c->wire), &c->len, &info);
}

static void read_one(void *arg)
{
    call *c = (call *)arg;
    c->err = rmr_wg_read_pkt(c->s->wg, c->f->now, &wgf_other(c->f, c->s)->at,
                             rmr_buf_of(c->wire, c->len));
}

/* ---- tests --------------------------------------------------------------- */

static void a_tunnel_that_is_refused_leaves_no_private_key(void **state)
{
    (void)state;
    static call c;
    wgf_side s;
    rmr_wg_config cfg;
    rmr_wg_callbacks cb;
    memset(&s, 0, sizeof s);
    wgf_side_keys(&s, 5, "s");
    wgf_config(&s, &cfg, &cb);
    c.cfg = &cfg;
    c.env = wgf_env(&s);
    for (int kind = 0; kind < 4; kind++) {
        cfg.max_peers = kind == 1 ? 0 : 10;
        cfg.mtu = kind == 2 ? 65536 : 1280;
        s.alloc.fail_at = kind == 3 ? s.alloc.calls + 1 : 0;
        test_on_stack(make, &c);
        gone(s.priv);
        assert_int_equal(c.err, kind == 0   ? RMR_OK
                                : kind == 3 ? RMR_E_NOMEM
                                            : RMR_E_INVAL);
        if (kind == 0)
            rmr_wg_free(c.made);
    }
    assert_int_equal(s.alloc.live_blocks, 0);
}

static void step(call *c, wgf_side *s, void (*run)(void *arg),
                 const uint8_t ephemeral[32], rmr_err want)
{
    c->s = s;
    test_on_stack(run, c);
    assert_int_equal(c->err, want);
    all_are_gone(s, ephemeral);
}

static void a_handshake_leaves_no_key(void **state)
{
    (void)state;
    static call c;
    wgf f;
    uint8_t eph[2][32];
    /* Once before, as the first calls of libraries save the registers. */
    for (int round = 0; round < 2; round++) {
        wgf_open(&f);
        c.f = &f;
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < 32; k++)
                eph[i][k] = (uint8_t)(0x40 + 0x40 * i + (int)k);
            rmr_key_clamp(eph[i]);
            wgf_script(i ? &f.b.rng : &f.a.rng, eph[i], 32);
        }
        memset(wgf_state(&f.a)->psk, 0x77, 32);
        memset(wgf_state(&f.b)->psk, 0x77, 32);
        step(&c, &f.a, begin, eph[0], RMR_OK);
        step(&c, &f.a, write_one, eph[0], RMR_OK);
        c.wire[100] ^= 1; /* a forgery first */
        step(&c, &f.b, read_one, eph[1], RMR_E_AUTH);
        c.wire[100] ^= 1;
        step(&c, &f.b, read_one, eph[1], RMR_OK);
        step(&c, &f.b, write_one, eph[1], RMR_OK);
        step(&c, &f.a, read_one, eph[0], RMR_OK);
        assert_non_null(wgf_state(&f.a)->current);
        step(&c, &f.a, write_one, eph[0], RMR_OK);
        assert_int_equal(c.len, 32);
        step(&c, &f.b, read_one, eph[1], RMR_OK);
        assert_non_null(wgf_state(&f.b)->current);
        wgf_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_that_is_refused_leaves_no_private_key),
        cmocka_unit_test(a_handshake_leaves_no_key),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
