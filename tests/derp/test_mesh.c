/* The client as another relay of the region: it watches, and forwards. */
#include "derp_fixture.h"

static void on_peer_present(void *user, const uint8_t key[RMR_KEY_LEN])
{
    fixture *f = user;
    size_t at = strlen(f->log);
    (void)snprintf(f->log + at, sizeof f->log - at, "here %02x\n", key[0]);
}

static void begin(fixture *f)
{
    static uint8_t mesh_key[RMR_KEY_LEN];
    fx_prepare(f, true, 1);
    fx_key(f, "meshClient", "private", f->cfg.private_key);
    assert_int_equal(tv_get_hex(tv_get(f->vectors, "keys"), "meshKey", mesh_key,
                                sizeof mesh_key),
                     RMR_KEY_LEN);
    f->cfg.mesh_key = mesh_key;
    f->cb.on_peer_present = on_peer_present;
    assert_int_equal(fx_make(f), RMR_OK);
    memset(mesh_key, 0, sizeof mesh_key); /* it was copied */
}

/* A ServerInfo that this client can open. */
static void tell_info(fixture *f)
{
    static const char json[] = "{\"version\":2}";
    uint8_t relay[RMR_KEY_LEN], own[RMR_KEY_LEN], shared[RMR_KEY_LEN];
    uint8_t frame[5 + 24 + 16 + sizeof json - 1] = {0};
    fx_key(f, "server", "private", relay);
    fx_key(f, "meshClient", "public", own);
    assert_int_equal(rmr_box_shared(shared, relay, own), RMR_OK);
    rmri_derp_put_header(frame, RMR_DERP_SERVER_INFO, sizeof frame - 5);
    rmr_box_seal(frame + 29, shared, frame + 5,
                 rmr_bytes_of((const uint8_t *)json, sizeof json - 1));
    assert_int_equal(fx_feed(f, frame, sizeof frame), RMR_OK);
}

static void mesh_up(fixture *f)
{
    fx_greet(f);
    tell_info(f);
    fx_drain(f, 2000);
    fx_log(f, "up\n");
}

static void it_shows_its_key_and_watches_right_behind(void **state)
{
    (void)state;
    fixture f;
    uint8_t relay[RMR_KEY_LEN], shared[RMR_KEY_LEN], json[256] = {0};
    begin(&f);
    for (int connection = 0; connection < 2; connection++) {
        fx_greet(&f);
        fx_drain(&f, 2000);
        /* ClientInfo: key, nonce, box; then WatchConns, each time anew. */
        size_t body = (size_t)f.out[3] << 8 | f.out[4];
        assert_int_equal(f.out_len, 5 + body + 5);
        fx_key(&f, "server", "private", relay);
        assert_int_equal(rmr_box_shared(shared, relay, f.out + 5), RMR_OK);
        size_t sealed = body - RMR_KEY_LEN - RMR_BOX_NONCE_LEN;
        assert_int_equal(rmr_box_open(json, shared, f.out + 5 + RMR_KEY_LEN,
                                      rmr_bytes_of(f.out + 5 + RMR_KEY_LEN +
                                                       RMR_BOX_NONCE_LEN,
                                                   sealed)),
                         RMR_OK);
        json[sealed - 16] = '\0';
        assert_non_null(strstr((char *)json,
                               "\"meshKey\":\"e0e1e2e3e4e5e6e7e8e9eaebecedeeef"
                               "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\""));
        assert_non_null(strstr((char *)json, "\"version\":2"));
        uint8_t watch[8];
        assert_int_equal(fx_frame(&f, "watch_conns", watch, sizeof watch), 5);
        assert_memory_equal(f.out + 5 + body, watch, 5);
        rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
        f.now += RMR_SEC;
    }
    fx_end(&f);
}

static void it_hears_who_is_there_and_who_is_not(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    mesh_up(&f);
    assert_int_equal(fx_feed_frame(&f, "peer_present_clientA"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "peer_present_clientB"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "peer_present_legacy_32"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "peer_present_legacy_50"), RMR_OK);
    assert_int_equal(fx_feed_frame(&f, "peer_gone_disconnected"), RMR_OK);
    assert_true(strncmp(f.log, "here 34\nhere 39\n", 16) == 0);
    assert_non_null(strstr(f.log, "gone 34 0\n"));
    assert_int_equal(fx_stats(&f).ignored_frames, 0);
    static const uint8_t short_one[] = {RMR_DERP_PEER_PRESENT, 0, 0, 0, 1, 9};
    assert_int_equal(fx_feed(&f, short_one, sizeof short_one), RMR_OK);
    assert_int_equal(fx_stats(&f).ignored_frames, 1);
    fx_end(&f);
}

static void it_forwards_in_the_form_of_the_vector(void **state)
{
    (void)state;
    fixture f;
    uint8_t a[RMR_KEY_LEN], b[RMR_KEY_LEN];
    begin(&f);
    mesh_up(&f);
    fx_key(&f, "clientA", "public", a);
    fx_key(&f, "clientB", "public", b);
    assert_int_equal(rmr_derp_forward(f.d, f.now, a, b, rmr_bytes_str("hello")),
                     RMR_OK);
    fx_expect_out_frame(&f, "forward_packet_small");
    assert_int_equal(fx_stats(&f).tx_pkts, 1);
    assert_int_equal(fx_stats(&f).tx_bytes, 5);
    fx_end(&f);
}

static void a_node_may_not_forward(void **state)
{
    (void)state;
    fixture f;
    uint8_t key[RMR_KEY_LEN] = {1};
    fx_begin(&f, true);
    fx_up(&f);
    assert_int_equal(rmr_derp_forward(f.d, f.now, key, key, rmr_bytes_str("x")),
                     RMR_E_STATE);
    fx_drain(&f, 2000);
    assert_int_equal(f.out_len, 0);
    fx_end(&f);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_shows_its_key_and_watches_right_behind),
        cmocka_unit_test(it_hears_who_is_there_and_who_is_not),
        cmocka_unit_test(it_forwards_in_the_form_of_the_vector),
        cmocka_unit_test(a_node_may_not_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
