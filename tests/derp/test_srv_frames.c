/* What each frame of a client does, and which ones end its connection. */
#include "srv_fixture.h"

static rmr_err feed_case(srv *s, tv *v)
{
    static uint8_t body[300000];
    size_t n = (size_t)tv_get_int(v, "body_len");
    uint8_t type = (uint8_t)tv_get_int(v, "type");
    const char *name = tv_get_str(v, "name");
    memset(body, 'x', n < sizeof body ? n : sizeof body);
    if (type == RMR_DERP_SEND_PACKET && n >= 32) {
        bool self = strcmp(name, "send_to_self") == 0;
        int to = strstr(name, "unknown") ? 9 : self ? 0 : 1;
        memcpy(body, s->c[to].public_key, 32);
        if (strstr(name, "disco_6"))
            memcpy(body + 32, "TS\xf0\x9f\x92\xac", 6);
    }
    return sv_frame(s, 0, type, body, n);
}

/* What the vectors' words mean here; "" for those of the login, which are not
 * of this test. */
static const char *wanted(tv *v, const char **at_b)
{
    const char *name = tv_get_str(v, "name"), *e = tv_get_str(v, "expect");
    *at_b = "";
    if (strcmp(e, "close") == 0)
        return "closed";
    if (strncmp(e, "pong", 4) == 0)
        return "pong 78\n";
    if (strncmp(e, "peer_gone", 9) == 0)
        return "gone j 1\n";
    if (strcmp(name, "send_to_self") == 0)
        return "a: xxxx\n";
    if (strcmp(name, "send_max") == 0)
        *at_b = "a: 65536 bytes, last 120\n";
    else if (strcmp(name, "send_empty_payload") == 0)
        *at_b = "a: \n";
    return "";
}

static void the_cases_of_the_reference_end_alike(void **state)
{
    (void)state;
    size_t n_cases = 0;
    for (size_t step = 0; step < 2; step++) {
        srv s;
        sv_begin(&s);
        tv *l = tv_get(s.vectors, "server_cases");
        sv_up(&s, 1);
        for (size_t i = 0; i < tv_len(l); i++) {
            tv *v = tv_at(l, i);
            const char *name = tv_get_str(v, "name"), *at_b;
            const char *want = wanted(v, &at_b);
            if (strncmp(name, "client_info", 11) == 0 ||
                strncmp(name, "first_frame", 11) == 0)
                continue; /* test_srv_login.c */
            n_cases++;
            s.step = 0;
            sv_up(&s, 0);
            s.step = step;
            bool closes = strcmp(want, "closed") == 0;
            rmr_err e = feed_case(&s, v);
            if (e != (closes ? RMR_E_DERP_FRAME : RMR_OK))
                fail_msg("%s: %d", name, (int)e);
            if (closes) {
                sv_log(&s, "close a frame\n");
            } else {
                sv_expect(&s, 0, want);
                sv_expect(&s, 1, at_b);
                sv_close(&s, 0);
            }
            sv_forget(&s, 1);
        }
        sv_end(&s);
    }
    assert_int_equal(n_cases, 2 * 23);
}

static void the_frames_of_the_vectors_are_relayed_byte_for_byte(void **state)
{
    (void)state;
    static const char *const names[] = {
        "send_packet_small", "send_packet_empty",
        "send_packet_wireguard_initiation_shape"};
    uint8_t f[512], want[512];
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    for (size_t i = 0; i < 3; i++) {
        size_t n =
            tv_get_hex(sv_case(&s, "frames", names[i]), "frame", f, sizeof f);
        assert_int_equal(sv_feed(&s, 0, f, n), RMR_OK);
        sv_pump(&s);
        memcpy(want, f, n);
        want[0] = RMR_DERP_RECV_PACKET;
        memcpy(want + 5, s.c[0].public_key, 32);
        assert_int_equal(s.c[1].out_len, n);
        assert_memory_equal(s.c[1].out, want, n);
        sv_forget(&s, 1);
    }
    size_t n = tv_get_hex(sv_case(&s, "frames", "recv_packet"), "frame", want,
                          sizeof want);
    assert_int_equal(sv_send(&s, 0, 1, "hello"), RMR_OK);
    sv_pump(&s);
    assert_int_equal(s.c[1].out_len, n);
    assert_memory_equal(s.c[1].out, want, n);
    sv_end(&s);
}

/* ---- any split ----------------------------------------------------------- */

/* A stream that has it all; returns its length. */
static size_t build_stream(srv *s, uint8_t *p)
{
    size_t n = 0;
    const struct {
        uint8_t type;
        const char *body;
        size_t len;
        int to;
    } frames[] = {{RMR_DERP_NOTE_PREFERRED, "\1", 1, -1},
                  {RMR_DERP_SEND_PACKET, "first", 5, 1},
                  {RMR_DERP_PING, "pingpong++", 10, -1},
                  {0x7f, "what", 4, -1},
                  {RMR_DERP_KEEP_ALIVE, "", 0, -1},
                  {RMR_DERP_SEND_PACKET, "", 0, 0},
                  {RMR_DERP_SEND_PACKET, "unknown", 7, 9},
                  {RMR_DERP_SEND_PACKET, "second", 6, 1}};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        size_t key = frames[i].to >= 0 ? 32 : 0;
        rmri_derp_put_header(p + n, (rmr_derp_type)frames[i].type,
                             key + frames[i].len);
        n += 5;
        if (key)
            memcpy(p + n, s->c[frames[i].to].public_key, 32);
        memcpy(p + n + key, frames[i].body, frames[i].len);
        n += key + frames[i].len;
    }
    return n;
}

static void a_stream_may_be_cut_anywhere(void **state)
{
    (void)state;
    uint8_t p[1024];
    size_t n = 400;
    for (size_t cut = 0; cut < n; cut++) {
        srv s;
        sv_begin(&s);
        sv_up(&s, 0);
        sv_up(&s, 1);
        n = build_stream(&s, p);
        if (cut == 0)
            s.step = 1; /* all of them at once */
        assert_int_equal(sv_feed(&s, 0, p, cut), RMR_OK);
        assert_int_equal(sv_feed(&s, 0, p + cut, n - cut), RMR_OK);
        sv_expect(&s, 0, "pong 70\na: \n");
        sv_expect(&s, 1, "a: first\na: second\n");
        assert_int_equal(sv_stats(&s).unknown_frames, 2);
        assert_int_equal(sv_stats(&s).rx_pkts, 4);
        assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
        assert_int_equal(s.sw->pool.gathered, 0);
        sv_end(&s);
    }
}

static void unknown_frames_are_discarded_up_to_a_mebibyte(void **state)
{
    (void)state;
    uint8_t *junk = calloc(1, 1048576), h[5] = {0x7f, 0, 16, 0, 1};
    srv s;
    assert_non_null(junk);
    sv_begin(&s);
    sv_up(&s, 0);
    size_t before = s.mem.live_bytes;
    s.step = 4000;
    assert_int_equal(sv_frame(&s, 0, 0x7f, junk, 1048576), RMR_OK);
    assert_int_equal(s.mem.live_bytes, before);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "12345678", 8), RMR_OK);
    sv_expect(&s, 0, "pong 31\n");
    assert_int_equal(sv_feed(&s, 0, h, 5), RMR_E_DERP_FRAME);
    sv_log(&s, "close a frame\n");
    free(junk);
    sv_end(&s);
}

static void client_frames_for_mesh_peers_have_their_lengths(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        size_t len;
    } bad[] = {{RMR_DERP_WATCH_CONNS, 1},
               {RMR_DERP_CLOSE_PEER, 31},
               {RMR_DERP_CLOSE_PEER, 33},
               {RMR_DERP_FORWARD_PACKET, 63},
               {RMR_DERP_FORWARD_PACKET, 64 + 65537}};
    uint8_t *body = calloc(1, 70000);
    srv s;
    assert_non_null(body);
    sv_begin(&s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sv_mesh(&s, MESH_C);
        assert_int_equal(sv_frame(&s, MESH_C, bad[i].type, body, bad[i].len),
                         RMR_E_DERP_FRAME);
        sv_log(&s, "close c frame\n");
    }
    sv_mesh(&s, MESH_C);
    assert_int_equal(
        sv_frame(&s, MESH_C, RMR_DERP_FORWARD_PACKET, body, 64 + 65536),
        RMR_OK);
    free(body);
    sv_end(&s);
}

/* ---- small frames -------------------------------------------------------- */

static void a_second_ping_before_the_pong_went_is_ignored(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "11111111", 8), RMR_OK);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "22222222", 8), RMR_OK);
    sv_expect(&s, 0, "pong 31\n");
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "33333333", 8), RMR_OK);
    sv_expect(&s, 0, "pong 33\n");
    assert_int_equal(sv_stats(&s).pings, 3);
    assert_int_equal(sv_stats(&s).pongs, 2);
    sv_end(&s);
}

static void homes_and_their_moves_are_counted(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\2", 1), RMR_OK);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\1", 1), RMR_OK);
    assert_int_equal(sv_stats(&s).homes, 1);
    sv_pass(&s, 5 * RMR_SEC);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\0", 1), RMR_OK);
    assert_int_equal(sv_stats(&s).homes, 0);
    assert_int_equal(sv_stats(&s).home_moves_out, 0); /* within 5 s */
    sv_pass(&s, 1);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\1", 1), RMR_OK);
    assert_int_equal(sv_stats(&s).home_moves_in, 1);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\0", 1), RMR_OK);
    assert_int_equal(sv_stats(&s).home_moves_out, 1);
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_NOTE_PREFERRED, "\1", 1), RMR_OK);
    sv_close(&s, 0);
    assert_int_equal(sv_stats(&s).homes, 0);
    sv_end(&s);
}

static void only_disco_to_unknown_keys_is_answered_and_not_often(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(sv_send_disco(&s, 0, 9, 62, 0), RMR_OK);
    sv_expect(&s, 0, "gone j 1\ngone j 1\ngone j 1\n");
    sv_pass(&s, RMR_SEC - 1);
    assert_int_equal(sv_send_disco(&s, 0, 9, 62, 0), RMR_OK);
    sv_expect(&s, 0, "");
    sv_pass(&s, 1);
    assert_int_equal(sv_send_disco(&s, 0, 10, 62, 0), RMR_OK);
    assert_int_equal(sv_send_disco(&s, 0, 10, 62, 0), RMR_OK);
    sv_expect(&s, 0, "gone k 1\n");
    /* each sender has its own bucket; what is no disco has no answer */
    assert_int_equal(sv_send_disco(&s, 1, 9, 61, 0), RMR_OK);
    sv_expect(&s, 1, "");
    assert_int_equal(sv_send_disco(&s, 1, 9, 200, 0), RMR_OK);
    sv_expect(&s, 1, "gone j 1\n");
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.gone_not_here, 5);
    assert_int_equal(st.dropped_pkts[RMR_DSW_UNKNOWN_DEST][RMR_DSW_DISCO], 9);
    assert_int_equal(st.dropped_pkts[RMR_DSW_UNKNOWN_DEST][RMR_DSW_OTHER], 1);
    assert_int_equal(st.dropped_bytes[RMR_DSW_UNKNOWN_DEST][RMR_DSW_OTHER], 61);
    assert_int_equal(st.rx_pkts_kind[RMR_DSW_DISCO], 9);
    sv_end(&s);
}

static void past_recipients_hear_that_a_sender_is_gone(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    for (int i = 0; i < 5; i++)
        if (i != MESH_C)
            sv_up(&s, i);
    assert_int_equal(sv_send(&s, 0, 1, "x"), RMR_OK);
    assert_int_equal(sv_send(&s, 0, 1, "y"), RMR_OK);
    assert_int_equal(sv_send(&s, 0, 3, "x"), RMR_OK);
    assert_int_equal(sv_send(&s, 1, 0, "x"), RMR_OK);
    assert_int_equal(sv_send(&s, 4, 0, "x"), RMR_OK);
    for (int i = 0; i < 4; i++)
        if (i != MESH_C)
            sv_forget(&s, i);
    assert_int_equal(sv_stats(&s).pairs, 4);
    sv_close(&s, 0);
    sv_expect(&s, 1, "gone a 0\n");
    sv_expect(&s, 3, "gone a 0\n");
    sv_expect(&s, 4, ""); /* it never got anything */
    assert_int_equal(sv_stats(&s).gone_disconnected, 2);
    assert_int_equal(sv_stats(&s).pairs, 0);
    /* only once, and again after it was back and sent */
    sv_up(&s, 0);
    sv_close(&s, 0);
    sv_expect(&s, 1, "");
    sv_up(&s, 0);
    assert_int_equal(sv_send(&s, 0, 1, "z"), RMR_OK);
    sv_expect(&s, 1, "a: z\n");
    sv_close(&s, 0);
    sv_expect(&s, 1, "gone a 0\n");
    sv_end(&s);
}

static void what_was_not_written_makes_no_recipient(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    s.c[1].is_blocked = true;
    assert_int_equal(sv_send(&s, 0, 1, "x"), RMR_OK);
    sv_pump(&s);
    sv_close(&s, 0);
    s.c[1].is_blocked = false;
    sv_expect(&s, 1, "a: x\n");
    sv_end(&s);
}

static void pairs_are_bounded_and_the_oldest_go(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.client_pairs = 2;
    sv_make(&s);
    for (int i = 3; i < 7; i++)
        sv_up(&s, i);
    for (int i = 4; i < 7; i++) {
        assert_int_equal(sv_send(&s, i, 3, "x"), RMR_OK);
        sv_forget(&s, 3);
    }
    assert_int_equal(sv_stats(&s).pairs, 2);
    assert_int_equal(sv_stats(&s).pairs_forgotten, 1);
    for (int i = 4; i < 7; i++)
        sv_close(&s, i);
    sv_expect(&s, 3, "gone f 0\ngone g 0\n");
    sv_end(&s);
    /* and over all receivers */
    sv_prepare(&s);
    s.cfg.max_pairs = 1;
    sv_make(&s);
    for (int i = 3; i < 7; i++)
        sv_up(&s, i);
    assert_int_equal(sv_send(&s, 4, 3, "x"), RMR_OK);
    sv_forget(&s, 3);
    assert_int_equal(sv_send(&s, 4, 5, "x"), RMR_OK); /* none for f */
    sv_forget(&s, 5);
    assert_int_equal(sv_send(&s, 6, 3, "x"), RMR_OK); /* d's older one goes */
    sv_forget(&s, 3);
    sv_close(&s, 4);
    sv_close(&s, 6);
    sv_expect(&s, 3, "gone g 0\n");
    sv_expect(&s, 5, "");
    sv_end(&s);
}

/* ---- what the host says --------------------------------------------------- */

static void the_host_may_say_health_and_restarting(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'h', sizeof text);
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_open(&s, 1);
    sv_forget(&s, 1);
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[1].h, rmr_bytes_str("x")),
        RMR_E_STATE);
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[0].h, rmr_bytes_str("lost")),
        RMR_OK);
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[0].h, rmr_bytes_str("ill")),
        RMR_OK);
    sv_expect(&s, 0, "health 'ill'\n");
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[0].h, rmr_bytes_of(NULL, 0)),
        RMR_OK);
    rmr_dsw_send_restarting(s.sw, s.now, 1500, 30000);
    sv_expect(&s, 0, "restarting 1500 30000\nhealth ''\n");
    sv_expect(&s, 1, "");
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[0].h, rmr_bytes_of(text, 300)),
        RMR_OK);
    sv_pump(&s);
    assert_int_equal(s.c[0].out_len, 5 + 255);
    sv_forget(&s, 0);
    assert_int_equal(
        rmr_dsw_send_health(s.sw, s.now, s.c[0].h, rmr_bytes_str("unsent")),
        RMR_OK);
    sv_end(&s);
}

static void health_and_restarting_have_the_form_of_the_vectors(void **state)
{
    (void)state;
    uint8_t f[128];
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    size_t n = tv_get_hex(sv_case(&s, "frames", "health_problem"), "frame", f,
                          sizeof f);
    assert_int_equal(rmr_dsw_send_health(s.sw, s.now, s.c[0].h,
                                         rmr_bytes_str("duplicate connection")),
                     RMR_OK);
    sv_pump(&s);
    assert_int_equal(s.c[0].out_len, n);
    assert_memory_equal(s.c[0].out, f, n);
    s.c[0].out_len = 0;
    n = tv_get_hex(sv_case(&s, "frames", "restarting"), "frame", f, sizeof f);
    rmr_dsw_send_restarting(s.sw, s.now, 1500, 30000);
    sv_pump(&s);
    assert_int_equal(s.c[0].out_len, n);
    assert_memory_equal(s.c[0].out, f, n);
    sv_end(&s);
}

static void reasons_have_the_names_of_the_reference(void **state)
{
    (void)state;
    assert_string_equal(rmr_dsw_reason_name(RMR_DSW_UNKNOWN_DEST_ON_FWD),
                        "unknown_dest_on_fwd");
    assert_string_equal(rmr_dsw_reason_name(RMR_DSW_DUP_CLIENT), "dup_client");
    assert_string_equal(rmr_dsw_reason_name(RMR_DSW_REASONS), "");
}

static void void_handles_are_refused(void **state)
{
    (void)state;
    uint8_t b[512];
    size_t n;
    rmr_dsw_info info;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    rmr_dsw_client h = s.c[0].h;
    assert_int_equal(rmr_dsw_write(s.sw, s.now, h, rmr_buf_of(b, 511), &n),
                     RMR_E_BUFSIZE);
    sv_close(&s, 0);
    sv_up(&s, 1); /* in the same slot */
    assert_int_equal(rmr_dsw_read(s.sw, s.now, h, rmr_buf_of(b, 1), &n),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_dsw_write(s.sw, s.now, h, rmr_buf_of(b, 512), &n),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_dsw_wrote(s.sw, s.now, h, 1), RMR_E_BADHANDLE);
    assert_int_equal(rmr_dsw_client_get(s.sw, h, &info), RMR_E_BADHANDLE);
    assert_int_equal(rmr_dsw_send_health(s.sw, s.now, h, rmr_bytes_of(NULL, 0)),
                     RMR_E_BADHANDLE);
    sv_end(&s);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cases_of_the_reference_end_alike),
        cmocka_unit_test(the_frames_of_the_vectors_are_relayed_byte_for_byte),
        cmocka_unit_test(a_stream_may_be_cut_anywhere),
        cmocka_unit_test(unknown_frames_are_discarded_up_to_a_mebibyte),
        cmocka_unit_test(client_frames_for_mesh_peers_have_their_lengths),
        cmocka_unit_test(a_second_ping_before_the_pong_went_is_ignored),
        cmocka_unit_test(homes_and_their_moves_are_counted),
        cmocka_unit_test(only_disco_to_unknown_keys_is_answered_and_not_often),
        cmocka_unit_test(past_recipients_hear_that_a_sender_is_gone),
        cmocka_unit_test(what_was_not_written_makes_no_recipient),
        cmocka_unit_test(pairs_are_bounded_and_the_oldest_go),
        cmocka_unit_test(the_host_may_say_health_and_restarting),
        cmocka_unit_test(health_and_restarting_have_the_form_of_the_vectors),
        cmocka_unit_test(reasons_have_the_names_of_the_reference),
        cmocka_unit_test(void_handles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
