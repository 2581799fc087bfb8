/* Peers, callbacks, the local key, the public functions' refusals. */
#include "wg_fixture.h"

static void key_of(uint32_t i, uint8_t pub[32])
{
    memset(pub, 0, 32);
    rmr_store_le32(pub, i + 9); /* any 32 bytes are a point */
    pub[20] = 1;
}

static rmr_err add(wgf_side *s, rmr_time now, const rmr_wg_peer_config *pc)
{
    rmr_wg_peer p;
    return rmr_wg_peer_add(s->wg, now, pc, &p);
}

static void a_bad_peer_is_refused(void **state)
{
    (void)state;
    wgf f;
    rmr_wg_peer_config pc;
    wgf_open(&f);
    rmr_wg_peer_config_init(&pc, sizeof pc);
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL); /* zero */
    pc.public_key[0] = 1;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL); /* low order */
    memcpy(pc.public_key, f.a.pub, 32);
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL); /* our own */
    memcpy(pc.public_key, f.b.pub, 32);
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INUSE);
    key_of(1, pc.public_key);
    pc.endpoint.len = RMR_WG_ENDPOINT_MAX + 1;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL);
    pc.endpoint.len = 4;
    pc.endpoint.bucket_len = 5;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL);
    pc.endpoint.bucket_len = 4;
    pc.struct_size = 3;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_INVAL);
    pc.struct_size = sizeof pc;
    f.a.wg->max_peers = 1;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_E_FULL);
    f.a.wg->max_peers = 2;
    assert_int_equal(add(&f.a, f.now, &pc), RMR_OK);
    wgf_close(&f);
}

static void an_older_and_shorter_configuration_is_taken(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    struct {
        rmr_wg_peer_config pc;
    } old;
    memset(&old, 0xff, sizeof old);
    size_t size = offsetof(rmr_wg_peer_config, user);
    rmr_wg_peer_config_init(&old.pc, size);
    assert_int_equal(old.pc.struct_size, size);
    assert_int_equal(old.pc.user, UINT64_MAX); /* not touched */
    key_of(1, old.pc.public_key);
    rmr_wg_peer p;
    assert_int_equal(rmr_wg_peer_add(f.a.wg, f.now, &old.pc, &p), RMR_OK);
    rmr_wg_peer_stats st;
    assert_int_equal(rmr_wg_peer_get_stats(f.a.wg, f.now, p, &st), RMR_OK);
    assert_int_equal(st.user, 0);

    rmr_wg_config cfg;
    memset(&cfg, 0xff, sizeof cfg);
    rmr_wg_config_init(&cfg, offsetof(rmr_wg_config, aead));
    memcpy(cfg.private_key, f.a.priv, 32);
    rmr_env env = wgf_env(&f.a);
    rmr_wg *wg;
    assert_int_equal(rmr_wg_new(&wg, &env, &cfg, 0), RMR_OK);
    assert_string_equal(wg->aead->name, rmr_aead_name(0)); /* the fastest */
    rmr_wg_free(wg);
    cfg.struct_size = 0;
    assert_int_equal(rmr_wg_new(&wg, &env, &cfg, 0), RMR_E_INVAL);
    wgf_close(&f);
}

static void a_bad_tunnel_is_refused(void **state)
{
    (void)state;
    wgf_side s;
    memset(&s, 0, sizeof s);
    rmr_wg_config cfg;
    rmr_env env = wgf_env(&s);
    rmr_wg *wg = NULL;
    rmr_wg_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_wg_new(&wg, &env, &cfg, 0), RMR_E_INVAL); /* no key */
    cfg.private_key[0] = 8;
    cfg.max_peers = 0;
    assert_int_equal(rmr_wg_new(&wg, &env, &cfg, 0), RMR_E_INVAL);
    cfg.max_peers = 1;
    cfg.mtu = 65536;
    assert_int_equal(rmr_wg_new(&wg, &env, &cfg, 0), RMR_E_INVAL);
    assert_null(wg);
    assert_int_equal(s.alloc.live_blocks, 0);
    rmr_wg_free(NULL);
}

static void stale_handles_are_refused_everywhere(void **state)
{
    (void)state;
    wgf f;
    uint8_t buf[128];
    wgf_open(&f);
    rmr_wg_peer old = f.a.peer, bad[2] = {old, {0}};
    assert_int_equal(rmr_wg_peer_remove(f.a.wg, f.now, old), RMR_OK);
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    assert_true(old.id != f.a.peer.id);
    for (int i = 0; i < 2; i++) {
        rmr_wg_peer h = bad[i];
        rmr_wg_endpoint ep = wgf_endpoint("x");
        rmr_wg_peer_stats st;
        rmr_pkt p = rmr_pkt_of(rmr_buf_of(buf, 128), 16);
        p.len = 40;
        assert_int_equal(rmr_wg_peer_remove(f.a.wg, f.now, h), RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_peer_set_endpoint(f.a.wg, h, &ep),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_peer_set_keepalive(f.a.wg, f.now, h, 1),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_peer_set_allowed_ips(f.a.wg, h, NULL, 0),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_peer_get_stats(f.a.wg, f.now, h, &st),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_seal(f.a.wg, f.now, h, &p, &ep),
                         RMR_E_BADHANDLE);
        assert_int_equal(rmr_wg_send(f.a.wg, f.now, h, rmr_bytes_of(buf, 40)),
                         RMR_E_BADHANDLE);
    }
    rmr_wg_endpoint wrong = wgf_endpoint("x");
    wrong.bucket_len = 2;
    assert_int_equal(rmr_wg_peer_set_endpoint(f.a.wg, f.a.peer, &wrong),
                     RMR_E_INVAL);
    assert_int_equal(
        rmr_wg_read_pkt(f.a.wg, f.now, &wrong, rmr_buf_of(buf, 40)),
        RMR_E_INVAL);
    wgf_close(&f);
}

static void peers_are_found_by_key(void **state)
{
    (void)state;
    wgf f;
    uint8_t pub[32];
    wgf_open(&f);
    assert_int_equal(rmr_wg_peer_find(f.a.wg, f.b.pub).id, f.a.peer.id);
    key_of(1, pub);
    assert_int_equal(rmr_wg_peer_find(f.a.wg, pub).id, 0);
    rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer);
    assert_int_equal(rmr_wg_peer_find(f.a.wg, f.b.pub).id, 0);
    wgf_close(&f);
}

static void removing_a_peer_frees_all_of_it(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_handshake(&f);
    wgf_run(&f, f.now + 125 * RMR_SEC);
    wgf_send(&f, &f.a, 100);
    size_t n = f.a.wg->indices.used;
    assert_true(n >= 1);
    assert_int_equal(rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer), RMR_OK);
    assert_int_equal(f.a.wg->indices.used, 0);
    assert_int_equal(f.a.wg->staged_bytes, 0);
    assert_true(rmr_wg_next_deadline(f.a.wg) == RMR_TIME_NEVER);
    uint8_t d[WGF_BUF];
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    assert_null(f.a.wg->ips.root[0]);
    wgf_close(&f);
}

/* ---- inside callbacks --------------------------------------------------- */

static wgf *here;

static void try_pumps(wgf_side *s, rmr_wg_peer p)
{
    uint8_t d[WGF_BUF] = {0};
    rmr_wg_pkt_info info;
    size_t n;
    rmr_buf b = rmr_buf_of(d, sizeof d);
    (void)p;
    assert_int_equal(rmr_wg_read_pkt(s->wg, here->now, &s->at, b),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_wg_write_pkt(s->wg, here->now, b, &n, &info),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_wg_flush(s->wg, here->now, b, NULL, NULL),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_wg_handle_deadline(s->wg, here->now), RMR_E_REENTRANT);
    rmr_wg_free(s->wg); /* nothing */
    assert_int_equal(wgf_send(here, s, 77), RMR_OK);
}

static void remove_self(wgf_side *s, rmr_wg_peer p)
{
    rmr_wg_peer all = p.id ? p : s->peer;
    assert_int_equal(rmr_wg_peer_remove(s->wg, here->now, all), RMR_OK);
}

static void pump_calls_inside_a_callback_are_refused(void **state)
{
    (void)state;
    wgf f;
    here = &f;
    wgf_open(&f);
    f.b.inside = try_pumps; /* B's on_state */
    wgf_handshake(&f);
    assert_null(f.b.inside);
    assert_int_equal(f.a.n_packets, 1);
    f.b.inside = try_pumps; /* B's on_packet */
    wgf_send(&f, &f.a, 50);
    wgf_exchange(&f);
    assert_null(f.b.inside);
    assert_int_equal(f.a.n_packets, 2);
    f.b.inside = try_pumps; /* B's on_endpoint */
    f.a.at = wgf_endpoint("moved");
    wgf_send(&f, &f.a, 50);
    wgf_exchange(&f);
    assert_int_equal(f.a.n_packets, 3);
    wgf_close(&f);
}

static void a_peer_may_be_removed_in_each_callback(void **state)
{
    (void)state;
    here = NULL;
    for (int k = 0; k < 5; k++) {
        wgf f;
        here = &f;
        wgf_open(&f);
        if (k == 0) { /* on_state of the initiator */
            f.a.inside = remove_self;
            wgf_send(&f, &f.a, 40);
            wgf_exchange(&f);
            assert_int_equal(f.b.n_packets, 0);
        } else if (k == 1) { /* on_packet */
            wgf_handshake(&f);
            f.b.inside = remove_self;
            wgf_send(&f, &f.a, 40);
            wgf_exchange(&f);
            assert_int_equal(f.b.n_packets, 2);
        } else if (k == 2) { /* on_endpoint, before on_packet */
            wgf_handshake(&f);
            f.a.at = wgf_endpoint("moved");
            f.b.inside = remove_self;
            wgf_send(&f, &f.a, 40);
            wgf_exchange(&f);
            assert_int_equal(f.b.n_packets, 1);
        } else if (k == 3) { /* on_endpoint of an initiation */
            f.a.at = wgf_endpoint("moved");
            f.b.inside = remove_self;
            wgf_send(&f, &f.a, 40);
            wgf_exchange(&f);
        } else { /* at give-up, inside handle_deadline */
            uint8_t d[WGF_BUF];
            wgf_send(&f, &f.a, 40);
            while (wgf_take(&f, &f.a, d))
                ;
            wgf_state(&f.a)->attempts = WG_MAX_ATTEMPTS + 1;
            f.a.inside = remove_self;
            f.now = rmr_wg_next_deadline(f.a.wg);
            assert_int_equal(rmr_wg_handle_deadline(f.a.wg, f.now), RMR_OK);
            assert_int_equal(f.a.n_state[RMR_WG_GAVE_UP], 1);
        }
        assert_null(f.a.inside);
        assert_null(f.b.inside);
        assert_true(!wgf_state(&f.a) || !wgf_state(&f.b));
        wgf_close(&f);
    }
}

static void what_was_to_be_told_of_a_removed_peer_is_not(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    here = &f;
    wgf_open(&f);
    wg_peer *p = wgf_state(&f.a);
    rmri_wg_event(f.a.wg, p, RMR_WG_GAVE_UP);
    rmri_wg_event(f.a.wg, p, RMR_WG_EXPIRED);
    f.a.inside = remove_self;
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    assert_int_equal(f.a.n_state[RMR_WG_GAVE_UP], 1);
    assert_int_equal(f.a.n_state[RMR_WG_EXPIRED], 0);
    /* Removed from outside, before it was told. */
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    wgf_send(&f, &f.a, 40);
    rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer);
    assert_int_equal(wgf_take(&f, &f.a, d), 0);
    assert_int_equal(f.a.n_state[RMR_WG_HANDSHAKE_STARTED], 0);
    /* And another that takes its place. */
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    wgf_send(&f, &f.a, 40);
    rmr_wg_peer_remove(f.a.wg, f.now, f.a.peer);
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(f.a.n_state[RMR_WG_HANDSHAKE_STARTED], 1);
    wgf_close(&f);
}

static void let_in(wgf_side *s, rmr_wg_peer none)
{
    (void)none;
    s->peer = wgf_add(s, here->now, s->unknown, NULL, &s->seen);
    wgf_allow(s, s->peer, "10.0.0.1/32");
}

static void a_stranger_may_be_let_in_and_its_initiation_goes_on(void **state)
{
    (void)state;
    wgf f;
    here = &f;
    wgf_open(&f);
    rmr_wg_peer_remove(f.b.wg, f.now, f.b.peer);
    wgf_send(&f, &f.a, 40);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_unknown, 1);
    assert_int_equal(f.b.wg->stats.discard_unknown, 1);
    assert_memory_equal(f.b.unknown, f.a.pub, 32);
    assert_memory_equal(&f.b.seen, &f.a.at, sizeof f.a.at);
    f.b.inside = let_in;
    wgf_run(&f, f.now + 5 * RMR_SEC);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

static void a_stranger_that_never_completes_expires(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    here = &f;
    wgf_open(&f);
    rmr_wg_peer_remove(f.b.wg, f.now, f.b.peer);
    f.b.inside = let_in;
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    d[95] ^= 1; /* the stamp; with mac1 made right again */
    rmr_blake2s_mac(d + 116, rmr_bytes_of(f.b.wg->mac1_key, 32),
                    rmr_bytes_of(d, 116));
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_AUTH);
    assert_int_equal(f.b.n_unknown, 1);
    assert_non_null(wgf_state(&f.b)); /* added on a claim */
    assert_int_equal(rmr_wg_next_deadline(f.b.wg), f.now + 540 * RMR_SEC);
    f.now += 540 * RMR_SEC;
    rmr_wg_handle_deadline(f.b.wg, f.now);
    assert_int_equal(f.b.n_state[RMR_WG_EXPIRED], 1);
    wgf_close(&f);
}

static void old_initiations_stay_refused_over_a_removal(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    rmr_wg_peer_stats st;
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    rmr_wg_peer_get_stats(f.b.wg, f.now, f.b.peer, &st);
    rmr_wg_peer_remove(f.b.wg, f.now, f.b.peer);
    rmr_wg_peer_config pc;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, f.a.pub, 32);
    memcpy(pc.last_tai64n, st.last_tai64n, 12);
    f.now += RMR_SEC;
    assert_int_equal(rmr_wg_peer_add(f.b.wg, f.now, &pc, &f.b.peer), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_REPLAY);
    wgf_close(&f);
}

/* ---- the local key ------------------------------------------------------ */

static void a_new_local_key_ends_sending_and_begins_anew(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF], late[WGF_BUF], fresh[32];
    size_t n, m;
    wgf_open(&f);
    wgf_handshake(&f);
    assert_int_equal(wgf_seal(&f, &f.b, 60, late, &m), RMR_OK);
    memcpy(fresh, f.a.priv, 32);
    fresh[5] ^= 0xff;
    assert_int_equal(rmr_wg_set_private_key(f.a.wg, f.now, fresh), RMR_OK);
    /* What is on its way is still opened. */
    assert_int_equal(wgf_give(&f, &f.a, late, m), RMR_OK);
    assert_int_equal(wgf_seal(&f, &f.a, 60, d, &n), RMR_E_NOTREADY);
    assert_int_equal(wgf_take(&f, &f.a, d), 148); /* at once */
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_E_UNKNOWN);
    uint8_t pub[32];
    rmr_x25519_public(pub, fresh);
    rmr_wg_peer p = wgf_add(&f.b, f.now, pub, NULL, &f.a.at);
    wgf_allow(&f.b, p, "10.0.0.1/32");
    f.now += RMR_SEC;
    assert_int_equal(wgf_give(&f, &f.b, d, 148), RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 2);
    assert_int_equal(f.b.last_peer.id, p.id);
    uint8_t zero[32] = {0};
    assert_int_equal(rmr_wg_set_private_key(f.a.wg, f.now, zero), RMR_E_INVAL);
    wgf_close(&f);
}

static void
a_key_that_waits_for_its_confirmation_does_not_outlive_ours(void **s)
{
    (void)s;
    wgf f;
    uint8_t d[WGF_BUF], fresh[32];
    size_t n;
    wgf_open(&f);
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, d), 148);
    wgf_give(&f, &f.b, d, 148);
    assert_int_equal(wgf_take(&f, &f.b, d), 92);
    wgf_give(&f, &f.a, d, 92);
    memcpy(fresh, f.b.priv, 32);
    fresh[5] ^= 0xff;
    assert_int_equal(rmr_wg_set_private_key(f.b.wg, f.now, fresh), RMR_OK);
    n = wgf_take(&f, &f.a, d);
    assert_int_equal(wgf_give(&f, &f.b, d, n), RMR_OK);
    assert_int_equal(f.b.n_packets, 1);
    assert_non_null(wgf_state(&f.b)->current);
    assert_int_equal(wgf_seal(&f, &f.b, 40, d, &n), RMR_E_NOTREADY);
    wgf_close(&f);
}

static void a_peer_that_has_our_new_key_is_removed(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    assert_int_equal(rmr_wg_set_private_key(f.a.wg, f.now, f.b.priv), RMR_OK);
    assert_null(wgf_state(&f.a));
    assert_int_equal(rmr_wg_peer_find(f.a.wg, f.b.pub).id, 0);
    wgf_close(&f);
}

static void an_expired_session_receives_and_the_next_packet_renews(void **s)
{
    (void)s;
    wgf f;
    uint8_t late[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f); /* just now: another would be too soon */
    assert_int_equal(wgf_seal(&f, &f.b, 50, late, &n), RMR_OK);
    const wg_key *old = wgf_state(&f.a)->current;
    f.now += RMR_SEC;
    assert_int_equal(rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer), RMR_OK);
    rmr_wg_peer_stats st;
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &st);
    assert_false(st.has_session);
    assert_int_equal(wgf_exchange(&f), 0); /* nothing to say */
    assert_int_equal(wgf_send(&f, &f.a, 41), RMR_OK);
    assert_int_equal(wgf_give(&f, &f.a, late, n), RMR_OK);
    assert_int_equal(f.a.last_len, 50);
    wgf_exchange(&f);
    assert_int_equal(f.b.last_len, 41);
    assert_ptr_not_equal(wgf_state(&f.a)->current, old);
    /* A handshake that is out is forgotten, too. */
    f.now += 6 * RMR_SEC;
    rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
    wgf_send(&f, &f.a, 42);
    assert_int_equal(wgf_take(&f, &f.a, late), 148);
    rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
    assert_int_equal(wgf_give(&f, &f.b, late, 148), RMR_OK);
    n = wgf_take(&f, &f.b, late);
    assert_int_equal(wgf_give(&f, &f.a, late, n), RMR_E_UNKNOWN);
    rmr_wg_peer none = {0};
    assert_int_equal(rmr_wg_peer_expire(f.a.wg, f.now, none), RMR_E_BADHANDLE);
    wgf_close(&f);
}

/* ---- numbers ------------------------------------------------------------- */

static void numbers_count_both_directions(void **state)
{
    (void)state;
    wgf f;
    rmr_wg_peer_stats a, b;
    wgf_open(&f);
    wgf_handshake(&f);
    for (int i = 0; i < 10; i++)
        wgf_send(&f, &f.b, 100);
    wgf_exchange(&f);
    rmr_wg_peer_get_stats(f.a.wg, f.now, f.a.peer, &a);
    rmr_wg_peer_get_stats(f.b.wg, f.now, f.b.peer, &b);
    assert_int_equal(a.tx_bytes, 148 + 80);
    assert_int_equal(a.rx_bytes, 92 + 10 * 144);
    assert_int_equal(b.rx_bytes, a.tx_bytes);
    assert_int_equal(b.tx_bytes, a.rx_bytes);
    assert_int_equal(a.tx_pkts, 1);
    assert_int_equal(a.rx_pkts, 10);
    assert_int_equal(a.last_handshake_unix_ns, WGF_WALL);
    assert_int_equal(a.last_rx, f.now);
    assert_int_equal(b.last_tx, f.now);
    rmr_wg_stats all;
    rmr_wg_get_stats(f.a.wg, &all);
    assert_int_equal(all.tx_datagrams, 2);
    assert_int_equal(all.rx_datagrams, 11);
    assert_int_equal(all.handshakes_initiated, 1);
    assert_int_equal(all.handshakes_completed, 1);
    rmr_wg_get_stats(f.b.wg, &all);
    assert_int_equal(all.handshakes_answered, 1);
    assert_int_equal(all.handshakes_completed, 1);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_peer_is_refused),
        cmocka_unit_test(an_older_and_shorter_configuration_is_taken),
        cmocka_unit_test(a_bad_tunnel_is_refused),
        cmocka_unit_test(stale_handles_are_refused_everywhere),
        cmocka_unit_test(peers_are_found_by_key),
        cmocka_unit_test(removing_a_peer_frees_all_of_it),
        cmocka_unit_test(pump_calls_inside_a_callback_are_refused),
        cmocka_unit_test(a_peer_may_be_removed_in_each_callback),
        cmocka_unit_test(a_stranger_may_be_let_in_and_its_initiation_goes_on),
        cmocka_unit_test(a_stranger_that_never_completes_expires),
        cmocka_unit_test(old_initiations_stay_refused_over_a_removal),
        cmocka_unit_test(a_new_local_key_ends_sending_and_begins_anew),
        cmocka_unit_test(
            a_key_that_waits_for_its_confirmation_does_not_outlive_ours),
        cmocka_unit_test(a_peer_that_has_our_new_key_is_removed),
        cmocka_unit_test(what_was_to_be_told_of_a_removed_peer_is_not),
        cmocka_unit_test(
            an_expired_session_receives_and_the_next_packet_renews),
        cmocka_unit_test(numbers_count_both_directions),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
