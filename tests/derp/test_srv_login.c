/* Logins at the switch: ClientInfo, admission, the deadlines around them. */
#include "srv_fixture.h"

/* ---- against the vectors ------------------------------------------------ */

static void feed_vector(srv *s, int i, const char *name)
{
    uint8_t f[512];
    size_t n = tv_get_hex(sv_case(s, "frames", name), "frame", f, sizeof f);
    assert_int_equal(sv_feed(s, i, f, n), RMR_OK);
}

static void expect_vector(srv *s, int i, const char *name)
{
    uint8_t f[512];
    size_t n = tv_get_hex(sv_case(s, "frames", name), "frame", f, sizeof f);
    sv_pump(s);
    assert_int_equal(s->c[i].out_len, n);
    assert_memory_equal(s->c[i].out, f, n);
    s->c[i].out_len = 0;
}

static void the_greeting_and_the_answer_are_those_of_the_reference(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_open(&s, 0);
    expect_vector(&s, 0, "server_key");
    /* Four bytes of jitter come before the nonce. */
    s.script_len = 4 + tv_get_hex(sv_case(&s, "frames", "server_info"), "nonce",
                                  s.script + 4, 24);
    feed_vector(&s, 0, "client_info_regular_canackpings");
    expect_vector(&s, 0, "server_info");
    sv_log(&s, "admit a v2\n");
    sv_end(&s);
}

static void every_client_info_of_the_vectors_is_understood(void **state)
{
    (void)state;
    rmr_dsw_info info;
    srv s;
    for (size_t step = 0; step < 8; step += 7) {
        sv_begin(&s);
        s.step = step;
        sv_open(&s, 0);
        feed_vector(&s, 0, "client_info_prober");
        sv_expect(&s, 0, "key\ninfo\n");
        sv_log(&s, "admit a v2 prober\n");
        assert_int_equal(rmr_dsw_client_get(s.sw, s.c[0].h, &info), RMR_OK);
        assert_true(info.is_prober && info.can_ack_pings && info.is_up);
        assert_false(info.is_mesh);
        sv_open(&s, 1);
        feed_vector(&s, 1, "client_info_minimal");
        sv_expect(&s, 1, "key\ninfo\n");
        assert_int_equal(rmr_dsw_client_get(s.sw, s.c[1].h, &info), RMR_OK);
        assert_false(info.can_ack_pings);
        sv_log(&s, "admit b v2\n");
        sv_open(&s, MESH_C);
        feed_vector(&s, MESH_C, "client_info_mesh");
        sv_expect(&s, MESH_C, "key\ninfo\n");
        assert_int_equal(rmr_dsw_client_get(s.sw, s.c[MESH_C].h, &info),
                         RMR_OK);
        assert_true(info.is_mesh);
        sv_log(&s, ""); /* mesh peers are not asked for */
        sv_end(&s);
    }
}

static void expect_json(srv *s, const char *json, size_t len, bool ok)
{
    static uint8_t f[400 * 1024];
    rmr_dsw_info info;
    sv_open(s, 0);
    size_t n = sv_build_login(s, 0, json, len, f);
    rmr_err e = sv_feed(s, 0, f, n);
    if (e != (ok ? RMR_OK : RMR_E_DERP_LOGIN))
        fail_msg("%.60s: %d", json, (int)e);
    if (ok) {
        assert_int_equal(rmr_dsw_client_get(s->sw, s->c[0].h, &info), RMR_OK);
        assert_false(info.is_mesh);
        sv_expect(s, 0, "key\ninfo\n");
        s->log[0] = '\0';
        sv_close(s, 0);
    } else {
        sv_log(s, "close a login\n");
    }
    assert_int_equal(s->sw->login_used, 0);
}

static void the_json_cases_of_the_reference_are_decided_alike(void **state)
{
    (void)state;
    srv s;
    for (size_t step = 0; step < 2; step++) {
        sv_begin(&s);
        s.step = step;
        tv *l = tv_get(s.vectors, "client_info_json_cases");
        assert_true(tv_len(l) >= 11);
        for (size_t i = 0; i < tv_len(l); i++) {
            const char *json = tv_get_str(tv_at(l, i), "json");
            bool ok =
                strncmp(tv_get_str(tv_at(l, i), "expect"), "accepted", 8) == 0;
            expect_json(&s, json, strlen(json), ok);
        }
        sv_end(&s);
    }
}

static void json_is_read_as_go_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool ok;
    } cases[] = {
        {" null ", true},
        {"null x", false},
        {"{} {}", false},
        {"true", false},
        {"7", false},
        {"\"x\"", false},
        {"{\"version\":null,\"CanAckPings\":null,\"isprober\":null}", true},
        {"{\"version\":\"2\"}", false},
        {"{\"version\":2.5}", false},
        {"{\"version\":-1}", true},
        {"{\"version\":9223372036854775808}", false},
        {"{\"version\":{}}", false},
        {"{\"CanAckPings\":1}", false},
        {"{\"IsProber\":\"true\"}", false},
        {"{\"IsProber\":[]}", false},
        {"{\"x\":{\"version\":\"no\",\"meshKey\":1},\"y\":[[{}]]}", true},
        {"{\"meshKey\":null}", false},
        {"{\"meshKey\":5}", false},
        {"{\"meshKey\":{}}", false},
        {"{\"mesh\xe2\x84\xaa"
         "ey\":\"\"}",
         false}, /* the Kelvin sign */
        {"{\"me\xc5\xbfhkey\":\"\"}", false},
        {"{\"meshKey2\":\"\"}", true},
        {"{\"meshKe\":\"\"}", true},
        /* 65 and 63 digits, and one that is none */
        {"{\"meshKey\":\"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9"
         "fafbfcfdfeff0\"}",
         false},
        {"{\"meshKey\":\"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9"
         "fafbfcfdfef\"}",
         false},
        {"{\"meshKey\":\"g0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9"
         "fafbfcfdfeff\"}",
         false},
    };
    srv s;
    sv_begin(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_json(&s, cases[i].json, strlen(cases[i].json), cases[i].ok);
    sv_end(&s);
}

static void a_long_name_or_value_is_passed_over(void **state)
{
    (void)state;
    char *json = malloc(4096);
    srv s;
    assert_non_null(json);
    sv_begin(&s);
    memset(json, 'x', 4096);
    memcpy(json, "{\"", 2);
    memcpy(json + 3000, "\":\"", 3);
    memcpy(json + 4094, "\"}", 2);
    expect_json(&s, json, 4096, true);
    memcpy(json, "{\"meshKey\":\"", 12);
    json[3000] = json[3002] = json[3001] = 'y';
    expect_json(&s, json, 4096, false);
    free(json);
    sv_end(&s);
}

static void a_mesh_key_may_be_written_in_capitals(void **state)
{
    (void)state;
    rmr_dsw_info info;
    srv s;
    sv_begin(&s);
    sv_open(&s, 3);
    assert_int_equal(sv_login(&s, 3,
                              "{\"MESHKEY\":\"E0E1E2E3E4E5E6E7E8E9EAEBECEDEEEF"
                              "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF\"}"),
                     RMR_OK);
    assert_int_equal(rmr_dsw_client_get(s.sw, s.c[3].h, &info), RMR_OK);
    assert_true(info.is_mesh);
    sv_end(&s);
}

static void
without_a_mesh_key_of_its_own_a_relay_has_no_mesh_peers(void **state)
{
    (void)state;
    rmr_dsw_info info;
    srv s;
    sv_prepare(&s);
    memset(s.cfg.mesh_key, 0, 32);
    sv_make(&s);
    sv_open(&s, 3);
    assert_int_equal(sv_login(&s, 3,
                              "{\"meshKey\":\"00000000000000000000000000000000"
                              "00000000000000000000000000000000\"}"),
                     RMR_OK);
    assert_int_equal(rmr_dsw_client_get(s.sw, s.c[3].h, &info), RMR_OK);
    assert_false(info.is_mesh);
    sv_end(&s);
}

/* ---- lengths ------------------------------------------------------------ */

static void a_client_info_may_have_262144_bytes_and_not_one_more(void **state)
{
    (void)state;
    static char json[262144];
    static uint8_t f[5 + 262144];
    uint8_t h[5] = {RMR_DERP_CLIENT_INFO, 0, 4, 0, 1};
    srv s;
    for (size_t step = 0; step <= 16384; step += 16384) {
        sv_begin(&s);
        s.step = step;
        memset(json, ' ', sizeof json);
        memcpy(json, "{}", 2);
        sv_open(&s, 0);
        size_t n = sv_build_login(&s, 0, json, 262144 - 72, f);
        assert_int_equal(n, sizeof f);
        assert_int_equal(sv_feed(&s, 0, f, n), RMR_OK);
        sv_expect(&s, 0, "key\ninfo\n");
        assert_int_equal(s.sw->login_used, 0);
        sv_close(&s, 0);
        s.log[0] = '\0';
        sv_open(&s, 0);
        size_t calls = s.mem.calls;
        assert_int_equal(sv_feed(&s, 0, h, 5), RMR_E_DERP_LOGIN);
        assert_int_equal(s.mem.calls, calls);
        sv_log(&s, "close a login\n");
        sv_end(&s);
    }
}

static void a_header_alone_takes_no_memory(void **state)
{
    (void)state;
    uint8_t h[6] = {RMR_DERP_CLIENT_INFO, 0, 4, 0, 0, 1};
    srv s;
    sv_begin(&s);
    sv_open(&s, 0);
    size_t before = s.mem.live_bytes;
    assert_int_equal(sv_feed(&s, 0, h, 5), RMR_OK);
    assert_int_equal(s.mem.live_bytes, before);
    assert_int_equal(sv_feed(&s, 0, h + 5, 1), RMR_OK);
    assert_true(s.mem.live_bytes - before <= 512);
    sv_end(&s);
}

static void unfinished_logins_share_a_bound(void **state)
{
    (void)state;
    static uint8_t junk[3000];
    uint8_t h[5] = {RMR_DERP_CLIENT_INFO, 0, 4, 0, 0};
    srv s;
    sv_prepare(&s);
    s.cfg.login_bytes = 8192;
    sv_make(&s);
    for (int i = 0; i < 2; i++) {
        sv_open(&s, i);
        assert_int_equal(sv_feed(&s, i, h, 5), RMR_OK);
        assert_int_equal(sv_feed(&s, i, junk, sizeof junk), RMR_OK);
    }
    sv_open(&s, 3);
    assert_int_equal(sv_feed(&s, 3, h, 5), RMR_OK);
    assert_int_equal(sv_feed(&s, 3, junk, sizeof junk), RMR_E_NOMEM);
    sv_log(&s, "close d out of memory\n");
    sv_close(&s, 0);
    sv_open(&s, 3);
    assert_int_equal(sv_feed(&s, 3, h, 5), RMR_OK);
    assert_int_equal(sv_feed(&s, 3, junk, sizeof junk), RMR_OK);
    sv_end(&s);
}

/* A few that begin a login of the greatest length must not keep out the usual
 * ones, which are short. */
static void long_logins_leave_room_for_short_ones(void **state)
{
    (void)state;
    enum { LONG = 260000 };
    uint8_t h[5] = {RMR_DERP_CLIENT_INFO, 0, 4, 0, 0};
    uint8_t *junk = calloc(1, LONG), f[200];
    rmr_err e[4];
    srv s;
    assert_non_null(junk);
    sv_prepare(&s);
    s.cfg.login_bytes = (size_t)4 * 262144;
    sv_make(&s);
    for (int i = 0; i < 4; i++) {
        sv_open(&s, 3 + i);
        assert_int_equal(sv_feed(&s, 3 + i, h, 5), RMR_OK);
        e[i] = sv_feed(&s, 3 + i, junk, LONG);
    }
    sv_open(&s, 0);
    size_t n = sv_build_login(&s, 0, "{}", 2, f);
    assert_int_equal(sv_feed(&s, 0, f, n - 1), RMR_OK);
    assert_int_equal(sv_feed(&s, 0, f + n - 1, 1), RMR_OK);
    sv_expect(&s, 0, "key\ninfo\n");
    assert_int_equal(e[1], RMR_OK);
    assert_int_equal(e[2], RMR_E_NOMEM);
    free(junk);
    sv_end(&s);
}

static void what_is_no_login_ends_the_connection(void **state)
{
    (void)state;
    uint8_t f[200];
    srv s;
    sv_begin(&s);
    /* another frame first */
    sv_open(&s, 0);
    assert_int_equal(sv_send(&s, 0, 1, "early"), RMR_E_DERP_LOGIN);
    sv_log(&s, "close a login\n");
    /* too short; no room for a tag; a box that does not open; a bad key */
    for (size_t n = 55; n <= 120; n += n > 60 ? 65 : 1) {
        memset(f, 3, sizeof f);
        sv_open(&s, 0);
        assert_int_equal(sv_frame(&s, 0, RMR_DERP_CLIENT_INFO, f, n),
                         RMR_E_DERP_LOGIN);
        sv_log(&s, "close a login\n");
    }
    memset(f, 0, sizeof f);
    sv_open(&s, 0);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_CLIENT_INFO, f, 120),
                     RMR_E_DERP_LOGIN);
    sv_log(&s, "close a login\n");
    assert_int_equal(sv_stats(&s).logins, 0);
    assert_true(sv_stats(&s).login_failures > 7);
    assert_int_equal(sv_stats(&s).connections, 0);
    sv_end(&s);
}

/* ---- admission ---------------------------------------------------------- */

static const char later[] = "{\"version\":2}";

static void frames_behind_the_login_wait_for_the_admission(void **state)
{
    (void)state;
    uint8_t f[1024], on = 1;
    srv s;
    for (size_t step = 0; step < 2; step++) {
        sv_begin(&s);
        s.step = step;
        sv_up(&s, 1);
        s.admit = -1;
        sv_open(&s, 0);
        /* the login, NotePreferred and a packet in one piece */
        size_t n = sv_build_login(&s, 0, later, strlen(later), f);
        rmri_derp_put_header(f + n, RMR_DERP_NOTE_PREFERRED, 1);
        f[n + 5] = on;
        rmri_derp_put_header(f + n + 6, RMR_DERP_SEND_PACKET, 34);
        memcpy(f + n + 11, s.c[1].public_key, 32);
        memcpy(f + n + 43, "hi", 2);
        assert_int_equal(sv_feed(&s, 0, f, n + 45), RMR_OK);
        assert_int_equal(s.c[0].kept_len, 45); /* bounded: not one is taken */
        sv_expect(&s, 0, "key\n");
        sv_expect(&s, 1, "");
        sv_log(&s, "admit a v2\n");
        sv_pass(&s, 3 * RMR_SEC);
        /* not known to others yet */
        assert_int_equal(sv_send(&s, 1, 0, "early"), RMR_OK);
        assert_int_equal(
            sv_stats(&s).dropped_pkts[RMR_DSW_UNKNOWN_DEST][RMR_DSW_OTHER], 1);
        assert_int_equal(rmr_dsw_admit(s.sw, s.now, s.c[0].h, true), RMR_OK);
        assert_int_equal(rmr_dsw_admit(s.sw, s.now, s.c[0].h, true),
                         RMR_E_STATE);
        sv_expect(&s, 0, "info\n");
        sv_expect(&s, 1, "a: hi\n");
        assert_int_equal(sv_stats(&s).homes, 1);
        sv_end(&s);
    }
}

static void a_refused_client_sees_only_the_close(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    s.admit = 0;
    sv_open(&s, 0);
    sv_expect(&s, 0, "key\n");
    assert_int_equal(sv_login(&s, 0, later), RMR_E_DENIED);
    sv_log(&s, "admit a v2\nclose a denied\n");
    assert_int_equal(s.c[0].out_len, 0);
    /* and later */
    s.admit = -1;
    sv_open(&s, 0);
    sv_expect(&s, 0, "key\n");
    assert_int_equal(sv_login(&s, 0, later), RMR_OK);
    assert_int_equal(rmr_dsw_admit(s.sw, s.now, s.c[0].h, false), RMR_OK);
    sv_log(&s, "admit a v2\nclose a denied\n");
    assert_int_equal(s.c[0].out_len, 0);
    assert_int_equal(sv_stats(&s).denied, 2);
    assert_int_equal(sv_stats(&s).keys_total, 0);
    assert_int_equal(rmr_dsw_admit(s.sw, s.now, s.c[0].h, true),
                     RMR_E_BADHANDLE);
    sv_end(&s);
}

static void a_host_may_close_while_it_is_asked(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    s.close_in_callback = true;
    sv_open(&s, 0);
    assert_int_equal(sv_login(&s, 0, later), RMR_OK);
    sv_pump(&s);
    assert_int_equal(sv_stats(&s).connections, 0);
    sv_end(&s);
}

static void without_a_callback_all_are_admitted(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.callbacks = NULL;
    sv_make(&s);
    sv_open(&s, 0);
    assert_int_equal(sv_login(&s, 0, later), RMR_OK);
    sv_expect(&s, 0, "key\ninfo\n");
    sv_end(&s);
}

/* ---- deadlines ---------------------------------------------------------- */

static void a_login_has_ten_seconds(void **state)
{
    (void)state;
    uint8_t h[30] = {RMR_DERP_CLIENT_INFO, 0, 0, 0, 109};
    srv s;
    sv_begin(&s);
    sv_open(&s, 0);
    assert_true(rmr_dsw_next_deadline(s.sw) == s.now + 10 * RMR_SEC);
    sv_pass(&s, 9999 * RMR_MS);
    assert_int_equal(sv_feed(&s, 0, h, sizeof h), RMR_OK);
    sv_log(&s, "");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close a timeout\n");
    assert_int_equal(sv_stats(&s).login_timeouts, 1);
    assert_true(rmr_dsw_next_deadline(s.sw) == RMR_TIME_NEVER);
    sv_end(&s);
}

static void an_admission_has_ten_seconds_of_its_own(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    s.admit = -1;
    sv_open(&s, 0);
    sv_pass(&s, 9 * RMR_SEC);
    assert_int_equal(sv_login(&s, 0, later), RMR_OK);
    sv_pass(&s, 9999 * RMR_MS);
    sv_log(&s, "admit a v2\n");
    sv_pass(&s, RMR_MS);
    sv_log(&s, "close a timeout\n");
    assert_int_equal(sv_stats(&s).admit_timeouts, 1);
    sv_end(&s);
}

/* ---- what fails ---------------------------------------------------------- */

/* Opens, logs in, sends, closes; false when something failed.  Whatever did,
 * the switch must serve on. */
static bool one_life(srv *s)
{
    rmr_dsw_peer p;
    memset(&p, 0, sizeof p);
    srv_client *c = &s->c[0];
    p.tag = c;
    if (rmr_dsw_client_open(s->sw, s->now, &p, &c->h) != RMR_OK)
        return false;
    c->is_open = true;
    rmr_err e = sv_login(s, 0, later);
    if (e == RMR_OK)
        e = sv_send(s, 0, 0, "to-myself");
    sv_pump(s);
    bool ok = c->is_open && e == RMR_OK &&
              s->sw->stats.tx_pkts == s->sw->stats.rx_pkts &&
              s->sw->stats.nomem == 0 && s->sw->stats.pairs_forgotten == 0;
    if (c->is_open)
        sv_close(s, 0);
    return ok;
}

static void without_memory_only_the_one_client_suffers(void **state)
{
    (void)state;
    bool done = false;
    for (size_t n = 1; !done; n++) {
        srv s;
        sv_prepare(&s);
        s.mem.fail_at = n;
        s.step = 9; /* the login and the packet are gathered */
        rmr_err e = rmr_dsw_new(&s.sw, &s.env, &s.cfg, s.now);
        if (e == RMR_OK) {
            done = one_life(&s);
            assert_true(done || s.mem.failed);
            memset(&s.sw->stats, 0, sizeof s.sw->stats);
            s.mem.fail_at = 0;
            assert_true(one_life(&s)); /* it serves on */
        } else {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_null(s.sw);
        }
        sv_end(&s);
        assert_true(n < 60);
    }
}

static void without_randomness_nobody_gets_in(void **state)
{
    (void)state;
    srv s;
    for (size_t n = 1; n <= 5; n++) {
        sv_prepare(&s);
        s.rng.fail_at = n;
        rmr_err e = rmr_dsw_new(&s.sw, &s.env, &s.cfg, s.now);
        assert_int_equal(e, n <= 2 ? RMR_E_RNG : RMR_OK);
        if (n > 2) {
            sv_open(&s, 0);
            e = sv_login(&s, 0, later);
            assert_int_equal(e, n == 3 ? RMR_E_RNG : RMR_OK);
            sv_pump(&s);
            assert_int_equal(s.c[0].is_open, n == 5);
        }
        sv_end(&s);
    }
}

static void secrets_are_wiped(void **state)
{
    (void)state;
    srv s;
    uint8_t shared[32];
    sv_prepare(&s);
    sv_make(&s);
    s.mem.secret = s.cfg.private_key;
    s.mem.secret_len = 32;
    sv_up(&s, 0);
    assert_int_equal(
        rmr_box_shared(shared, s.c[0].private_key, rmr_dsw_public_key(s.sw)),
        RMR_OK);
    /* not needed any more */
    assert_true(memcmp(rmri_dsw_get(s.sw, s.c[0].h.id)->shared, shared, 32));
    sv_end(&s);
    assert_int_equal(s.mem.leaks, 0);
}

static void clients_are_bounded(void **state)
{
    (void)state;
    rmr_dsw_peer p;
    rmr_dsw_client h;
    srv s;
    memset(&p, 0, sizeof p);
    sv_prepare(&s);
    s.cfg.max_clients = 2;
    sv_make(&s);
    sv_up(&s, 0);
    sv_open(&s, 1);
    assert_int_equal(rmr_dsw_client_open(s.sw, s.now, &p, &h), RMR_E_FULL);
    sv_close(&s, 1);
    sv_up(&s, 1);
    sv_end(&s);
}

static void a_quiet_client_takes_little_memory(void **state)
{
    (void)state;
    enum { N = 1000 };
    rmr_dsw_peer p;
    rmr_dsw_client h;
    uint8_t f[256], out[512];
    size_t used, n;
    srv s;
    memset(&p, 0, sizeof p);
    sv_begin(&s);
    s.admit = 1;
    s.cb.on_admit = NULL;
    s.sw->cb.on_admit = NULL;
    size_t before = s.mem.live_bytes;
    for (int i = 0; i < N; i++) {
        rmr_store_be32(s.c[3].private_key + 8, (uint32_t)i);
        rmr_x25519_public(s.c[3].public_key, s.c[3].private_key);
        assert_int_equal(rmr_dsw_client_open(s.sw, s.now, &p, &h), RMR_OK);
        size_t len = sv_build_login(&s, 3, later, strlen(later), f);
        assert_int_equal(
            rmr_dsw_read(s.sw, s.now, h, rmr_buf_of(f, len), &used), RMR_OK);
        do
            assert_int_equal(
                rmr_dsw_write(s.sw, s.now, h, rmr_buf_of(out, 512), &n),
                RMR_OK);
        while (n);
    }
    size_t each = (s.mem.live_bytes - before) / N;
    print_message("%u bytes a quiet client\n", (unsigned)each);
    assert_true(each <= 1024);
    sv_end(&s);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_greeting_and_the_answer_are_those_of_the_reference),
        cmocka_unit_test(every_client_info_of_the_vectors_is_understood),
        cmocka_unit_test(the_json_cases_of_the_reference_are_decided_alike),
        cmocka_unit_test(json_is_read_as_go_reads_it),
        cmocka_unit_test(a_long_name_or_value_is_passed_over),
        cmocka_unit_test(a_mesh_key_may_be_written_in_capitals),
        cmocka_unit_test(
            without_a_mesh_key_of_its_own_a_relay_has_no_mesh_peers),
        cmocka_unit_test(a_client_info_may_have_262144_bytes_and_not_one_more),
        cmocka_unit_test(a_header_alone_takes_no_memory),
        cmocka_unit_test(unfinished_logins_share_a_bound),
        cmocka_unit_test(long_logins_leave_room_for_short_ones),
        cmocka_unit_test(what_is_no_login_ends_the_connection),
        cmocka_unit_test(frames_behind_the_login_wait_for_the_admission),
        cmocka_unit_test(a_refused_client_sees_only_the_close),
        cmocka_unit_test(a_host_may_close_while_it_is_asked),
        cmocka_unit_test(without_a_callback_all_are_admitted),
        cmocka_unit_test(a_login_has_ten_seconds),
        cmocka_unit_test(an_admission_has_ten_seconds_of_its_own),
        cmocka_unit_test(without_memory_only_the_one_client_suffers),
        cmocka_unit_test(without_randomness_nobody_gets_in),
        cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(clients_are_bounded),
        cmocka_unit_test(a_quiet_client_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
