/* The WebSocket form: its upgrade, its messages, and when it is tried. */
#include "derp_fixture.h"

#include <remora/websocket.h>

typedef struct server { /* the relay's end of the messages */
    rmr_ws *w;
    uint8_t got[200000]; /* payload, and how the messages were cut */
    size_t got_len, longest, n_messages;
} server;

static void begin(fixture *f, rmr_derp_form form, size_t n_nodes)
{
    fx_prepare(f, true, n_nodes);
    f->cfg.form = form;
    assert_int_equal(fx_make(f), RMR_OK);
}

static void end(fixture *f, server *s)
{
    rmr_ws_free(s->w);
    fx_end(f);
}

/* The answer to the request in f->out; `change` replaces a part of it. */
static void answer(fixture *f, char *to, size_t cap, const char *accept,
                   const char *more)
{
    char own[RMR_WS_ACCEPT_LEN + 1];
    f->out[f->out_len] = '\0';
    const char *key = strstr((char *)f->out, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    assert_int_equal(
        rmr_ws_accept_make(
            rmr_bytes_of((const uint8_t *)key + 19, RMR_WS_KEY_LEN), own),
        RMR_OK);
    (void)snprintf(to, cap,
                   "HTTP/1.1 101 Switching Protocols\r\n%s"
                   "Sec-WebSocket-Accept: %s\r\n\r\n",
                   more, accept ? accept : own);
}

#define GOOD                                                                   \
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"                            \
    "Sec-WebSocket-Protocol: derp\r\n"

static void upgrade(fixture *f, server *s)
{
    char text[512];
    rmr_ws_config cfg;
    fx_open(f);
    fx_drain(f, 2000);
    answer(f, text, sizeof text, NULL, GOOD);
    assert_int_equal(fx_feed(f, text, strlen(text)), RMR_OK);
    memset(s, 0, sizeof *s);
    rmr_ws_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_ws_new(&s->w, &f->env, &cfg), RMR_OK);
}

/* Sends bytes as one message. */
static rmr_err say(fixture *f, server *s, const void *data, size_t len)
{
    static uint8_t room[40000];
    size_t h = rmr_ws_headroom(s->w), n;
    memcpy(room + h, data, len);
    assert_int_equal(rmr_ws_wrap(s->w, rmr_buf_of(room, sizeof room), len, &n),
                     RMR_OK);
    return fx_feed(f, room, n);
}

static rmr_err say_frame(fixture *f, server *s, const char *name)
{
    uint8_t frame[512];
    return say(f, s, frame, fx_frame(f, name, frame, sizeof frame));
}

/* What the client has to say, with buffers of `size`. */
static void hear(fixture *f, server *s, size_t size)
{
    fx_drain(f, size);
    rmr_buf in = rmr_buf_of(f->out, f->out_len);
    while (in.len) {
        rmr_buf piece = {0};
        size_t used;
        assert_int_equal(rmr_ws_read(s->w, in, &used, &piece), RMR_OK);
        if (piece.len) {
            memcpy(s->got + s->got_len, piece.ptr, piece.len);
            s->got_len += piece.len;
            s->n_messages++; /* they lie whole in f->out */
            if (piece.len > s->longest)
                s->longest = piece.len;
        }
        in = rmr_buf_of(in.ptr + used, in.len - used);
    }
}

static void up(fixture *f, server *s)
{
    upgrade(f, s);
    assert_int_equal(say_frame(f, s, "server_key"), RMR_OK);
    hear(f, s, 2000);
    assert_int_equal(say_frame(f, s, "server_info"), RMR_OK);
    fx_log(f, "up\n");
    assert_true(rmr_derp_is_websocket(f->d));
    s->got_len = s->n_messages = s->longest = 0;
}

static void the_request_asks_for_derp_in_websockets(void **state)
{
    (void)state;
    fixture f;
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    for (uint8_t i = 0; i < 16; i++)
        f.script[i] = i;
    f.script_len = 16;
    fx_open(&f);
    fx_drain(&f, 2000);
    f.out[f.out_len] = '\0';
    assert_string_equal((char *)f.out,
                        "GET /derp HTTP/1.1\r\nHost: derp.example\r\n"
                        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
                        "Sec-WebSocket-Protocol: derp\r\n\r\n");
    fx_end(&f);
}

static void the_login_is_that_of_the_vector_in_a_message(void **state)
{
    (void)state;
    static server s;
    fixture f;
    uint8_t want[512];
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    f.cb.on_up = NULL;
    upgrade(&f, &s);
    size_t len =
        fx_frame(&f, "client_info_regular_canackpings", want, sizeof want);
    /* The frame's nonce lies behind header and key. */
    memcpy(f.script, want + 5 + RMR_KEY_LEN, RMR_BOX_NONCE_LEN);
    f.script_len = RMR_BOX_NONCE_LEN;
    f.script_at = 0;
    assert_int_equal(say_frame(&f, &s, "server_key"), RMR_OK);
    hear(&f, &s, 2000);
    assert_int_equal(s.n_messages, 1);
    assert_int_equal(s.got_len, len);
    assert_memory_equal(s.got, want, len);
    end(&f, &s);
}

/* The boundaries of messages carry no meaning. */
static void frames_may_be_cut_by_messages_anywhere(void **state)
{
    (void)state;
    static server s;
    fixture f;
    uint8_t bytes[1024];
    for (size_t cut = 1; cut < 60; cut += 7) {
        begin(&f, RMR_DERP_WEBSOCKET, 1);
        upgrade(&f, &s);
        size_t len = fx_frame(&f, "server_key", bytes, sizeof bytes);
        len += fx_frame(&f, "recv_packet", bytes + len, sizeof bytes - len);
        len += fx_frame(&f, "recv_packet", bytes + len, sizeof bytes - len);
        for (size_t at = 0; at < len; at += cut) {
            size_t n = len - at < cut ? len - at : cut;
            assert_int_equal(say(&f, &s, bytes + at, n), RMR_OK);
        }
        assert_int_equal(fx_stats(&f).rx_pkts, 2);
        end(&f, &s);
    }
    begin(&f, RMR_DERP_WEBSOCKET, 1); /* and many may lie in one */
    upgrade(&f, &s);
    size_t len = fx_frame(&f, "server_key", bytes, sizeof bytes);
    for (int i = 0; i < 5; i++)
        len += fx_frame(&f, "recv_packet", bytes + len, sizeof bytes - len);
    assert_int_equal(say(&f, &s, bytes, len), RMR_OK);
    assert_int_equal(fx_stats(&f).rx_pkts, 5);
    end(&f, &s);
}

static void a_long_packet_goes_in_messages_of_at_most_32768_bytes(void **state)
{
    (void)state;
    static server s;
    static uint8_t packet[RMR_DERP_MAX_PACKET];
    static const size_t sizes[] = {131, 140, 1000, 16384, 32776, 32777, 79000};
    uint8_t key[RMR_KEY_LEN] = {7};
    for (size_t i = 0; i < sizeof packet; i++)
        packet[i] = (uint8_t)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fixture f;
        begin(&f, RMR_DERP_WEBSOCKET, 1);
        up(&f, &s);
        assert_int_equal(
            rmr_derp_send(f.d, f.now, key, rmr_bytes_of(packet, sizeof packet)),
            RMR_OK);
        size_t at = 0, n = 1;
        while (n) { /* as the server would read it */
            static uint8_t dst[80000];
            assert_int_equal(
                rmr_derp_write(f.d, f.now, rmr_buf_of(dst, sizes[i]), &n),
                RMR_OK);
            assert_true(n <= sizes[i]);
            rmr_buf in = rmr_buf_of(dst, n);
            while (in.len) {
                rmr_buf piece = {0};
                size_t used;
                assert_int_equal(rmr_ws_read(s.w, in, &used, &piece), RMR_OK);
                memcpy(s.got + at, piece.ptr ? piece.ptr : in.ptr, piece.len);
                at += piece.len;
                in = rmr_buf_of(in.ptr + used, in.len - used);
            }
        }
        assert_int_equal(at, RMR_DERP_SEND_OVERHEAD + sizeof packet);
        assert_memory_equal(s.got + RMR_DERP_SEND_OVERHEAD, packet,
                            sizeof packet);
        end(&f, &s);
    }
}

static void too_little_room_takes_nothing_and_loses_nothing(void **state)
{
    (void)state;
    static server s;
    fixture f;
    uint8_t key[RMR_KEY_LEN] = {7}, dst[130];
    size_t n;
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    up(&f, &s);
    (void)rmr_derp_send(f.d, f.now, key, rmr_bytes_str("hello"));
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(dst, 130), &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    hear(&f, &s, 131);
    assert_int_equal(s.got_len, RMR_DERP_SEND_OVERHEAD + 5);
    end(&f, &s);
}

static void pings_of_both_kinds_are_answered(void **state)
{
    (void)state;
    static server s;
    fixture f;
    uint8_t ping[RMR_WS_CONTROL_MAX];
    size_t n;
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    up(&f, &s);
    assert_int_equal(rmr_ws_ping(s.w), RMR_OK);
    assert_int_equal(rmr_ws_write(s.w, rmr_buf_of(ping, sizeof ping), &n),
                     RMR_OK);
    assert_int_equal(fx_feed(&f, ping, n), RMR_OK);
    assert_int_equal(say_frame(&f, &s, "ping"), RMR_OK);
    hear(&f, &s, 2000);
    assert_int_equal(rmr_ws_pongs(s.w), 1);
    assert_int_equal(s.got_len, 13);
    assert_int_equal(s.got[0], RMR_DERP_PONG);
    end(&f, &s);
}

static void what_is_no_answer_for_derp_ends_the_attempt(void **state)
{
    static const struct {
        const char *headers, *accept;
    } cases[] = {
        /* a relay without WebSockets takes it for a raw upgrade */
        {"Upgrade: DERP\r\nConnection: Upgrade\r\n", ""},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n", NULL},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Protocol: chat\r\n",
         NULL},
        {"Upgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n", NULL},
        {"Connection: Upgrade\r\nSec-WebSocket-Protocol: derp\r\n", NULL},
        {GOOD, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {GOOD, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        char text[512];
        begin(&f, RMR_DERP_WEBSOCKET, 1);
        fx_open(&f);
        fx_drain(&f, 2000);
        answer(&f, text, sizeof text, cases[i].accept, cases[i].headers);
        assert_int_equal(fx_feed(&f, text, strlen(text)), RMR_E_DERP_UPGRADE);
        fx_log(&f, "down upgrade\n");
        fx_end(&f);
    }
}

static void an_answer_to_half_a_request_ends_the_attempt(void **state)
{
    (void)state;
    fixture f;
    char text[512];
    uint8_t half[20];
    size_t n;
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    fx_open(&f);
    assert_int_equal(rmr_derp_write(f.d, f.now, rmr_buf_of(half, 20), &n),
                     RMR_OK);
    f.out_len = (size_t)snprintf((char *)f.out, sizeof f.out,
                                 "Sec-WebSocket-Key: %s", f.d->ws_key);
    answer(&f, text, sizeof text, NULL, GOOD);
    assert_int_equal(fx_feed(&f, text, strlen(text)), RMR_E_DERP_UPGRADE);
    fx_end(&f);
}

static void what_a_websocket_must_not_say_ends_the_connection(void **state)
{
    static const struct {
        uint8_t bytes[8];
        size_t len;
        rmr_err err;
        const char *log;
    } cases[] = {
        {{0x81, 1, 'x'}, 3, RMR_E_WS_TEXT, NULL},
        {{0x82, 0x81, 0, 0, 0, 0, 1}, 7, RMR_E_WS_PROTOCOL, NULL},
        {{0xf2, 1, 0}, 3, RMR_E_WS_PROTOCOL, NULL},
        {{0x88, 2, 0x03, 0xe8}, 4, RMR_E_CLOSED, "down closed\n"},
        {{0x88, 2, 0x03, 0xe9}, 4, RMR_E_CLOSED, "down closed\n"},
        {{0x88, 0}, 2, RMR_E_CLOSED, "down closed\n"},
    };
    (void)state;
    static server s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        begin(&f, RMR_DERP_WEBSOCKET, 1);
        up(&f, &s);
        assert_int_equal(fx_feed(&f, cases[i].bytes, cases[i].len),
                         cases[i].err);
        if (cases[i].log)
            fx_log(&f, cases[i].log);
        assert_false(rmr_derp_is_up(f.d));
        assert_true(rmr_derp_wants_close(f.d));
        end(&f, &s);
    }
}

static void a_refused_subprotocol_is_a_refused_login(void **state)
{
    (void)state;
    static server s;
    fixture f;
    static const uint8_t policy[] = {0x88, 2, 0x03, 0xf0};
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    upgrade(&f, &s);
    assert_int_equal(fx_feed(&f, policy, sizeof policy), RMR_E_DERP_LOGIN);
    end(&f, &s);
}

/* ---- memory and randomness --------------------------------------------- */

static void without_memory_the_attempt_ends(void **state)
{
    (void)state;
    fixture f;
    char text[512];
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    fx_open(&f);
    fx_drain(&f, 2000);
    answer(&f, text, sizeof text, NULL, GOOD);
    f.mem.fail_at = f.mem.calls + 1;
    assert_int_equal(fx_feed(&f, text, strlen(text)), RMR_E_NOMEM);
    fx_log(&f, "down out of memory\n");
    fx_end(&f);
}

static void without_randomness_for_a_key_or_a_mask_it_is_done(void **state)
{
    (void)state;
    static server s;
    fixture f;
    size_t n;
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    fx_dial(&f);
    f.rng.fail_at = f.rng.calls + 1;
    assert_int_equal(rmr_derp_stream_opened(f.d, f.now), RMR_E_RNG);
    fx_end(&f);
    begin(&f, RMR_DERP_WEBSOCKET, 1);
    upgrade(&f, &s);
    assert_int_equal(say_frame(&f, &s, "server_key"), RMR_OK);
    f.rng.fail_at = f.rng.calls + 1;
    assert_int_equal(
        rmr_derp_write(f.d, f.now, rmr_buf_of(f.out, sizeof f.out), &n),
        RMR_E_RNG);
    assert_int_equal(n, 0);
    assert_true(rmr_derp_wants_close(f.d));
    end(&f, &s);
}

/* ---- when it is tried --------------------------------------------------- */

static void drive_to_dial(fixture *f, rmr_dial *dial)
{
    rmr_time at = rmr_derp_next_deadline(f->d);
    if (at != RMR_TIME_NEVER)
        f->now = at;
    assert_int_equal(rmr_derp_handle_deadline(f->d, f->now), RMR_OK);
    (void)rmr_derp_wants_close(f->d);
    assert_true(rmr_derp_wants_stream(f->d, f->now, dial));
}

/* One attempt that ends in the upgrade; which node, and in which form. */
static void expect_attempt(fixture *f, const char *host, bool by_ws)
{
    rmr_dial dial;
    drive_to_dial(f, &dial);
    assert_string_equal(dial.host, host);
    assert_int_equal(rmr_derp_is_websocket(f->d), by_ws);
    assert_int_equal(rmr_derp_stream_opened(f->d, f->now), RMR_OK);
    fx_drain(f, 2000);
    f->out[f->out_len] = '\0';
    assert_int_equal(strstr((char *)f->out, "websocket") != NULL, by_ws);
}

static void refuse(fixture *f)
{
    static const char no[] = "HTTP/1.1 426 Upgrade Required\r\n"
                             "Content-Length: 0\r\n\r\n";
    assert_int_equal(fx_feed(f, no, sizeof no - 1), RMR_E_DERP_UPGRADE);
}

static void where_no_upgrade_passes_the_other_form_has_one_turn(void **state)
{
    (void)state;
    fixture f;
    begin(&f, RMR_DERP_EITHER, 2);
    expect_attempt(&f, "derp.example", false);
    refuse(&f);
    expect_attempt(&f, "derp.example", true);
    refuse(&f);
    expect_attempt(&f, "b.derp.example", false);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET); /* so do some proxies */
    expect_attempt(&f, "b.derp.example", true);
    rmr_derp_stream_closed(f.d, f.now, RMR_OK);
    expect_attempt(&f, "derp.example", false);
    /* Each node anew. */
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    expect_attempt(&f, "derp.example", true);
    fx_end(&f);
}

static void a_node_that_is_not_reached_gets_no_other_form(void **state)
{
    (void)state;
    fixture f;
    rmr_dial dial;
    begin(&f, RMR_DERP_EITHER, 2);
    drive_to_dial(&f, &dial);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_REFUSED);
    expect_attempt(&f, "b.derp.example", false);
    fx_end(&f);
}

static void what_worked_is_begun_with(void **state)
{
    (void)state;
    static server s;
    fixture f;
    begin(&f, RMR_DERP_EITHER, 2);
    expect_attempt(&f, "derp.example", false);
    refuse(&f);
    f.now = rmr_derp_next_deadline(f.d);
    (void)rmr_derp_wants_close(f.d);
    f.log[0] = '\0';
    up(&f, &s);
    rmr_derp_stream_closed(f.d, f.now, RMR_E_RESET);
    /* Not the raw form, and not because of this failure either. */
    expect_attempt(&f, "derp.example", true);
    refuse(&f);
    expect_attempt(&f, "derp.example", false);
    end(&f, &s);
}

static void a_relay_that_is_away_has_nothing_against_a_form(void **state)
{
    (void)state;
    static const uint8_t restarting[] = {0x15, 0, 0, 0, 8, 0, 0,
                                         0,    1, 0, 0, 1, 0};
    fixture f;
    begin(&f, RMR_DERP_EITHER, 2);
    for (int status = 502; status < 505; status++) {
        char no[64];
        (void)snprintf(no, sizeof no, "HTTP/1.1 %d Away\r\n\r\n", status);
        expect_attempt(&f, status == 503 ? "b.derp.example" : "derp.example",
                       false);
        assert_int_equal(fx_feed(&f, no, strlen(no)), RMR_E_DERP_UPGRADE);
    }
    fx_end(&f);
    begin(&f, RMR_DERP_EITHER, 2);
    fx_up(&f);
    assert_int_equal(fx_feed(&f, restarting, sizeof restarting), RMR_OK);
    rmr_derp_stream_closed(f.d, f.now, RMR_OK);
    for (int i = 0; i < 3; i++) {
        expect_attempt(&f, "derp.example", false);
        rmr_derp_stream_closed(f.d, f.now, RMR_OK);
    }
    fx_end(&f);
}

static void raw_alone_stays_raw(void **state)
{
    (void)state;
    fixture f;
    begin(&f, RMR_DERP_RAW, 2);
    for (int i = 0; i < 4; i++) {
        expect_attempt(&f, i % 2 ? "b.derp.example" : "derp.example", false);
        refuse(&f);
    }
    fx_end(&f);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(the_request_asks_for_derp_in_websockets),
        T(the_login_is_that_of_the_vector_in_a_message),
        T(frames_may_be_cut_by_messages_anywhere),
        T(a_long_packet_goes_in_messages_of_at_most_32768_bytes),
        T(too_little_room_takes_nothing_and_loses_nothing),
        T(pings_of_both_kinds_are_answered),
        T(what_is_no_answer_for_derp_ends_the_attempt),
        T(an_answer_to_half_a_request_ends_the_attempt),
        T(what_a_websocket_must_not_say_ends_the_connection),
        T(a_refused_subprotocol_is_a_refused_login),
        T(without_memory_the_attempt_ends),
        T(without_randomness_for_a_key_or_a_mask_it_is_done),
        T(where_no_upgrade_passes_the_other_form_has_one_turn),
        T(a_node_that_is_not_reached_gets_no_other_form),
        T(what_worked_is_begun_with),
        T(a_relay_that_is_away_has_nothing_against_a_form),
        T(raw_alone_stays_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
