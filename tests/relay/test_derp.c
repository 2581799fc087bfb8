/* From the upgrade on: logins, packets, deadlines, restarts, TLS. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/stun.h>
#include <remora/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

#define UPGRADE                                                                \
    "GET /derp HTTP/1.1\r\nHost: relay.example\r\nConnection: Upgrade\r\n"     \
    "Upgrade: DERP\r\n"

static rig r;
static rig_client a, b, c;

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* Where the frame of this type begins in what was sent; NULL: nowhere. */
static const uint8_t *frame(const rig_stream *s, size_t at, uint8_t type)
{
    while (at + 5 <= s->out_len) {
        const uint8_t *f = s->out + at;
        size_t len =
            (size_t)f[1] << 24 | (size_t)f[2] << 16 | (size_t)f[3] << 8 | f[4];
        if (f[0] == type)
            return f;
        at += 5 + len;
    }
    return NULL;
}

static size_t behind_head(const rig_stream *s)
{
    for (size_t i = 0; i + 4 <= s->out_len; i++)
        if (memcmp(s->out + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    return s->out_len;
}

static void packets_go_both_ways(void **st)
{
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    assert_true(a.up && b.up);
    rig_client_send(&a, b.key, "hello", 5);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 1);
    assert_memory_equal(b.got, "hello", 5);
    assert_memory_equal(b.from, a.key, 32);
    static uint8_t big[65536];
    memset(big, 7, sizeof big);
    rig_client_send(&b, a.key, big, sizeof big);
    rig_client_run(&a);
    assert_int_equal(a.got_len, sizeof big);
    assert_memory_equal(a.got, big, sizeof big);
    /* To nobody: told, as it looks like disco. */
    memcpy(big, "TS\xf0\x9f\x92\xac", 6);
    memset(c.key, 9, 32);
    rig_client_send(&a, c.key, big, 100);
    assert_int_equal(a.n_gone, 1);
    assert_int_equal(a.gone_reason, 1);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void the_upgrade_is_answered_as_derper_does(void **st)
{
    char key[65];
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, UPGRADE "\r\n");
    const char *got = rig_out(s);
    assert_true(has(got, "HTTP/1.1 101 Switching Protocols\r\n"));
    assert_true(has(got, "Upgrade: DERP\r\n"));
    assert_true(has(got, "\r\nConnection: Upgrade\r\n"));
    assert_true(has(got, "\r\nDerp-Version: 2\r\n"));
    rmr_hex(key, r.key, 32);
    const char *at = strstr(got, "Derp-Public-Key: ");
    assert_non_null(at);
    assert_memory_equal(at + 17, key, 64);
    const uint8_t *f = frame(s, behind_head(s), RMR_DERP_SERVER_KEY);
    assert_non_null(f);
    assert_int_equal(f[4], 40);
    assert_memory_equal(f + 5, "DERP\xf0\x9f\x94\x91", 8);
    assert_memory_equal(f + 13, r.key, 32);
    rig_end(&r);
}

static void the_word_of_the_upgrade_is_of_any_case(void **st)
{
    static const char *const words[] = {"derp", "Derp", "DERP", "WebSocket"};
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < 4; i++) {
        char request[200];
        snprintf(request, sizeof request,
                 "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
                 "Upgrade: %s\r\n\r\n",
                 words[i]);
        rig_stream *s = rig_connect(&r, 3340);
        rig_say(&r, s, request);
        /* A WebSocket without the subprotocol is the raw form. */
        assert_true(has(rig_out(s), "Upgrade: DERP\r\n"));
    }
    rig_end(&r);
}

static void with_the_fast_start_no_byte_of_http_comes(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, UPGRADE "Derp-Fast-Start: 1\r\n\r\n");
    assert_true(s->out_len >= 45);
    assert_int_equal(s->out[0], RMR_DERP_SERVER_KEY);
    rig_end(&r);
}

/* The bytes of a client's whole first flight: ClientInfo, NotePreferred and a
 * packet, as our own client writes them. */
static size_t first_flight(rig_client *k, uint8_t *dst, size_t cap)
{
    rig_stream *s = k->s;
    size_t len = 0, total = 0;
    uint8_t answer[512];
    /* It needs the relay's greeting first: from another connection. */
    rig_say(&r, s, UPGRADE "\r\n");
    assert_true(s->out_len <= sizeof answer);
    memcpy(answer, s->out, s->out_len);
    rmr_derp_write(k->d, r.now, rmr_buf_of(dst, cap), &len); /* its request */
    rmr_derp_read(k->d, r.now, rmr_buf_of(answer, s->out_len));
    rmr_derp_send(k->d, r.now, k->key, rmr_bytes_of("self", 4));
    while (rmr_derp_write(k->d, r.now, rmr_buf_of(dst + total, cap - total),
                          &len) == RMR_OK &&
           len > 0)
        total += len;
    return total;
}

/* Opens a client whose stream is the test's own business. */
static void open_by_hand(rig_client *k, uint8_t seed)
{
    rmr_dial dial;
    rig_client_open(&r, k, seed, false);
    rig_reset(&r, k->s);
    rmr_derp_stream_closed(k->d, r.now, RMR_E_RESET);
    rig_run(&r, 10 * RMR_SEC);
    rmr_derp_handle_deadline(k->d, r.now);
    assert_true(rmr_derp_wants_stream(k->d, r.now, &dial));
    k->s = rig_connect(&r, 3340);
    k->up = false;
    assert_int_equal(rmr_derp_stream_opened(k->d, r.now), RMR_OK);
}

/* One that knows the key does not wait for an answer. */
static void all_may_come_behind_the_request_at_once(void **st)
{
    static const char head[] = UPGRADE "\r\n";
    uint8_t flight[1000], all[2000];
    (void)st;
    for (int step = 0; step < 2; step++) {
        rig_start(&r);
        open_by_hand(&a, 1);
        size_t len = first_flight(&a, flight, sizeof flight);
        memcpy(all, head, sizeof head - 1);
        memcpy(all + sizeof head - 1, flight, len);
        len += sizeof head - 1;
        rig_stream *s = rig_connect(&r, 3340);
        if (step == 0)
            rig_give(&r, s, all, len);
        for (size_t i = 0; step == 1 && i < len; i++)
            rig_give(&r, s, all + i, 1);
        size_t at = behind_head(s);
        assert_non_null(frame(s, at, RMR_DERP_SERVER_INFO));
        const uint8_t *got = frame(s, at, RMR_DERP_RECV_PACKET);
        assert_non_null(got);
        assert_memory_equal(got + 5, a.key, 32);
        assert_memory_equal(got + 37, "self", 4);
        rig_client_free(&a);
        rig_end(&r);
    }
}

static void a_client_that_never_logs_in_is_closed(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, UPGRADE "\r\n");
    rig_run(&r, 9900 * RMR_MS);
    assert_false(s->closed);
    rig_run(&r, 200 * RMR_MS);
    assert_true(s->closed);
    rig_end(&r);
}

static void a_login_that_is_none_is_closed_without_a_word(void **st)
{
    static const uint8_t bad[64] = {RMR_DERP_CLIENT_INFO, 0, 0, 0, 59};
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, UPGRADE "\r\n");
    size_t before = s->out_len;
    rig_give(&r, s, bad, sizeof bad);
    assert_true(s->closed);
    assert_int_equal(s->out_len, before);
    rig_end(&r);
}

/* Contract: 2 s without progress; the others notice nothing. */
static void a_receiver_that_stands_still_is_thrown_out(void **st)
{
    static uint8_t data[60000];
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    rig_client_open(&r, &c, 3, false);
    b.s->stalled = true;
    for (int i = 0; i < 100; i++)
        rig_client_send(&a, b.key, data, sizeof data);
    rig_client_send(&a, c.key, "x", 1);
    rig_client_run(&c);
    assert_int_equal(c.n_got, 1);
    rig_run(&r, 1900 * RMR_MS);
    assert_false(b.s->closed);
    rig_run(&r, 200 * RMR_MS);
    assert_true(b.s->closed && b.s->aborted);
    assert_false(a.s->closed || c.s->closed);
    assert_true(r.alloc.peak_bytes < 8u * 1024 * 1024);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_client_free(&c);
    rig_end(&r);
}

static void a_slow_receiver_that_goes_on_stays(void **st)
{
    static uint8_t data[60000];
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    b.s->stalled = true;
    for (int i = 0; i < 20; i++)
        rig_client_send(&a, b.key, data, sizeof data);
    for (int i = 0; i < 10; i++) {
        rig_run(&r, 1500 * RMR_MS);
        rig_unstall(&r, b.s);
        b.s->stalled = true;
        rig_client_send(&a, b.key, data, sizeof data);
    }
    assert_false(b.s->closed);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void many_frames_go_in_one_write(void **st)
{
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    b.s->stalled = true;
    rig_client_send(&a, b.key, "0", 1); /* this one is under way */
    size_t sends = b.s->sends;
    for (int i = 0; i < 20; i++)
        rig_client_send(&a, b.key, "12345", 5);
    rig_unstall(&r, b.s);
    assert_int_equal(b.s->sends, sends + 1);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 21);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* Reading is held back: nothing is dropped, and memory stays bounded. */
static void a_sender_above_its_rate_is_read_slowly(void **st)
{
    static uint8_t data[1000];
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.rate_bytes = 100000;
    cfg.rate_burst = 100000;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    for (int i = 0; i < 140; i++) {
        rig_client_send(&a, b.key, data, sizeof data);
        rig_client_run(&b);
    }
    assert_in_range(b.n_got, 80, 100);
    assert_true(a.s->credit < 65536); /* no more is asked for */
    for (int i = 0; i < 20; i++) {
        rig_run(&r, 100 * RMR_MS);
        rig_client_run(&b);
    }
    assert_int_equal(b.n_got, 140);
    assert_int_equal(a.s->credit, 65536);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* The reference's TCP user timeout. */
static void a_client_that_vanished_is_noticed_in_15_seconds(void **st)
{
    (void)st;
    rig_start(&r);
    for (size_t i = 0; i < r.n_doors; i++)
        assert_int_equal(r.door[i].unacked,
                         r.door[i].at.port == 3478 ? 0 : 15 * RMR_SEC);
    rig_end(&r);
}

static void a_client_that_goes_is_gone(void **st)
{
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    rig_client_send(&a, b.key, "x", 1);
    rig_client_run(&b);
    rig_eof(&r, a.s);
    assert_true(a.s->closed);
    rig_client_run(&b);
    assert_int_equal(b.n_gone, 1);
    assert_memory_equal(b.gone, a.key, 32);
    assert_int_equal(b.gone_reason, 0);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void an_asked_stop_tells_all_and_ends(void **st)
{
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.restart_in_ms = 1234;
    cfg.restart_try_ms = 56789;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    rig_client_open(&r, &a, 1, false);
    rig_stream *idle = rig_connect(&r, 3340);
    rig_drop_out(a.s);
    rig_stop_request(&r);
    const uint8_t *f = frame(a.s, 0, RMR_DERP_RESTARTING);
    assert_non_null(f);
    static const uint8_t body[] = {0, 0, 0x04, 0xd2, 0, 0, 0xdd, 0xd5};
    assert_memory_equal(f + 5, body, 8);
    assert_true(a.s->closed && !a.s->aborted);
    assert_true(idle->closed);
    assert_true(r.stopped);
    assert_int_equal(r.stop_err, RMR_OK);
    for (size_t i = 0; i < r.n_doors; i++)
        assert_true(r.door[i].closed);
    rig_client_free(&a);
    rig_end(&r);
}

/* One that does not read holds the end up for 2 s. */
static void a_stop_waits_a_bounded_time(void **st)
{
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    b.s->stalled = true;
    rig_client_send(&a, b.key, "x", 1);
    rig_stop_request(&r);
    assert_false(r.stopped);
    rig_run(&r, 2 * RMR_SEC);
    assert_true(r.stopped);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void stun_is_answered_and_noise_is_not(void **st)
{
    uint8_t txid[RMR_STUN_TXID_LEN] = {1, 2, 3}, got[RMR_STUN_TXID_LEN];
    uint8_t request[RMR_STUN_REQUEST_LEN];
    rmr_addr from = rmr_addr_v4(192, 0, 2, 9, 4711), mapped;
    size_t len = 0;
    (void)st;
    rig_start(&r);
    rmr_stun_build_request(rmr_buf_of(request, sizeof request), &len, txid);
    rig_datagram(&r, &from, request, len);
    assert_int_equal(r.n_udp, 1);
    assert_true(rmr_addr_eq(&r.udp_to, &from));
    assert_int_equal(
        rmr_stun_parse_response(rmr_bytes_of(r.udp, r.udp_len), got, &mapped),
        RMR_OK);
    assert_memory_equal(got, txid, sizeof txid);
    assert_true(rmr_addr_eq(&mapped, &from));
    rig_datagram(&r, &from, request, len - 1);
    rig_datagram(&r, &from, "hello", 5);
    assert_int_equal(r.n_udp, 1);
    rig_end(&r);
}

/* ---- the key ----------------------------------------------------------- */

static void the_key_is_made_once_and_kept(void **st)
{
    static uint8_t blob[RIG_BLOB_MAX], key[32];
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.keep_key = true;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    assert_int_equal(r.ready, 1);
    assert_true(r.has_blob);
    assert_memory_equal(r.blob, "privkey:", 8);
    memcpy(blob, r.blob, sizeof blob);
    memcpy(key, r.key, 32);
    size_t len = r.blob_len;
    rig_end(&r);

    rig_init(&r);
    test_rng_seed(&r.rng, 99);
    memcpy(r.blob, blob, sizeof blob);
    r.blob_len = len;
    r.has_blob = true;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    assert_memory_equal(r.key, key, 32);
    rig_end(&r);
}

static void a_damaged_key_is_left_as_it_is(void **st)
{
    static const char *const texts[] = {"", "privkey:", "privkey:zz\n", "x"};
    rmr_relay_config cfg;
    (void)st;
    for (size_t i = 0; i < 4; i++) {
        rig_init(&r);
        rig_config(&r, &cfg);
        cfg.keep_key = true;
        r.blob_len = strlen(texts[i]);
        memcpy(r.blob, texts[i], r.blob_len);
        r.has_blob = true;
        assert_int_equal(rig_new(&r, &cfg), RMR_OK);
        assert_int_equal(r.ready, 0);
        assert_int_equal(r.failed, 1);
        assert_true(r.stopped);
        assert_int_equal(r.stop_err, RMR_E_MALFORMED);
        assert_memory_equal(r.blob, texts[i], r.blob_len);
        rig_end(&r);
    }
}

static void a_key_that_can_not_be_kept_is_no_key(void **st)
{
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.keep_key = true;
    r.store_err = RMR_E_IO;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.stop_err, RMR_E_IO);
    rig_end(&r);
}

static void a_port_that_is_taken_ends_the_relay(void **st)
{
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    r.listen_err = RMR_E_INUSE;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    assert_int_equal(r.failed, 1);
    assert_true(r.stopped);
    assert_int_equal(r.stop_err, RMR_E_INUSE);
    rig_end(&r);
}

/* ---- TLS --------------------------------------------------------------- */

static void start_tls(uint32_t buffers)
{
    char *cert = tv_text("tls/leaf-ec.pem"), *key = tv_text("tls/ec.key");
    rmr_relay_config cfg;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.insecure_http = false;
    cfg.cert_pem = rmr_bytes_str(cert);
    cfg.key_pem = rmr_bytes_str(key);
    cfg.tls_buffers = buffers;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    free(cert);
    free(key);
}

static void packets_go_through_tls(void **st)
{
    static uint8_t big[65536];
    (void)st;
    start_tls(64);
    rig_client_open(&r, &a, 1, true);
    rig_client_open(&r, &b, 2, true);
    assert_true(a.up && b.up);
    memset(big, 5, sizeof big);
    rig_client_send(&a, b.key, big, sizeof big);
    rig_client_run(&b);
    assert_int_equal(b.got_len, sizeof big);
    assert_memory_equal(b.got, big, sizeof big);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* The promise of 32 KiB a client, with room to spare. */
static void an_idle_client_takes_little_memory(void **st)
{
    enum { N = 20 };
    static rig_client all[N];
    size_t relay = 0;
    (void)st;
    start_tls(64);
    rig_client_open(&r, &all[0], 1, true);
    for (uint8_t i = 1; i < N; i++) {
        size_t before = r.alloc.live_bytes;
        rig_client_open(&r, &all[i], (uint8_t)(i + 1), true);
        assert_true(all[i].up);
        size_t after = r.alloc.live_bytes;
        rig_client_free(&all[i]); /* its own half is not the relay's */
        relay += r.alloc.live_bytes - before;
        assert_true(after > before);
    }
    print_message("%zu bytes an idle client\n", relay / (N - 1));
    assert_true(relay / (N - 1) < 12 * 1024);
    rig_client_free(&all[0]);
    rig_end(&r);
}

/* More clients than buffers: all come in, one after the other. */
static void few_buffers_serve_many(void **st)
{
    enum { N = 10 };
    static rig_client all[N];
    (void)st;
    start_tls(2);
    for (uint8_t i = 0; i < N; i++) {
        rig_client_open(&r, &all[i], (uint8_t)(i + 1), true);
        assert_true(all[i].up);
    }
    for (size_t i = 0; i < N; i++) {
        rig_client_send(&all[i], all[(i + 1) % N].key, "x", 1);
        rig_client_run(&all[(i + 1) % N]);
    }
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(all[i].n_got, 1);
        rig_client_free(&all[i]);
    }
    rig_end(&r);
}

/* One that sends half a record has a buffer; when it keeps it and others need
 * it, it goes. */
static void half_a_record_does_not_starve_others_for_ever(void **st)
{
    static const uint8_t half[] = {22, 3, 1, 1, 0, 1};
    (void)st;
    start_tls(2);
    rig_stream *s = rig_connect(&r, 3340);
    rig_give(&r, s, half, sizeof half);
    rig_run(&r, 31 * RMR_SEC);
    assert_true(s->closed);
    rig_client_open(&r, &a, 1, true);
    assert_true(a.up);
    rig_client_free(&a);
    rig_end(&r);
}

/* One that came through the handshake and says nothing more. */
static rig_stream *shake_hands(void)
{
    rig_stream *s = rig_connect(&r, 3340);
    rmr_tls_config cfg;
    rmr_tls *t;
    uint8_t out[4096];
    size_t seen = 0, n = 1;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "relay.example";
    cfg.insecure = true;
    cfg.wall_unix_ns = 1790000000u * RMR_SEC;
    assert_int_equal(rmr_tls_client_new(&t, &r.env, &cfg), RMR_OK);
    while (n > 0) {
        assert_int_equal(rmr_tls_write(t, rmr_buf_of(out, sizeof out), &n),
                         RMR_OK);
        if (n > 0)
            rig_give(&r, s, out, n);
        size_t used = 0;
        rmr_tls_read(t, rmr_bytes_of(s->out + seen, s->out_len - seen), &used);
        seen += used;
    }
    assert_true(rmr_tls_is_open(t));
    rmr_tls_free(t);
    return s;
}

/* The same where input's half of the pool is gone and output's is not; from
 * those that did not log in as well as from those that did. */
static void half_records_do_not_starve_input_for_ever(void **st)
{
    static const uint8_t half[] = {23, 3, 3, 1, 0, 1};
    (void)st;
    for (int logged_in = 0; logged_in < 2; logged_in++) {
        start_tls(4);
        rig_client_open(&r, &a, 1, true);
        rig_client_open(&r, &b, 2, true);
        assert_true(a.up && b.up);
        rig_stream *s[2] = {logged_in ? a.s : shake_hands(),
                            logged_in ? b.s : shake_hands()};
        for (int i = 0; i < 2; i++)
            rig_give(&r, s[i], half, sizeof half);
        rig_client_open(&r, &c, 3, true);
        assert_false(c.up);
        rig_run(&r, 10100 * RMR_MS);
        rig_client_run(&c);
        assert_true(c.up);
        rig_client_free(&a);
        rig_client_free(&b);
        rig_client_free(&c);
        rig_end(&r);
    }
}

/* Nobody waits: then half a record harms nobody, and a slow peer may stay. */
static void half_a_record_that_harms_nobody_may_stay(void **st)
{
    static const uint8_t data[] = {23, 3, 3, 1, 0, 1};
    (void)st;
    start_tls(2);
    rig_client_open(&r, &a, 1, true);
    rig_give(&r, a.s, data, sizeof data);
    rig_run(&r, 30 * RMR_SEC);
    assert_false(a.s->closed);
    /* ... until one comes that needs the buffer. */
    rig_client_open(&r, &b, 2, true);
    rig_run(&r, 1100 * RMR_MS);
    rig_client_run(&b);
    assert_true(a.s->closed && b.up);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* Half of the buffers are for what comes in: those may be gone while there are
 * others. */
static void half_a_record_behind_the_login_does_neither(void **st)
{
    static const uint8_t half[] = {23, 3, 3, 32, 0, 1};
    (void)st;
    start_tls(2);
    rig_client_open(&r, &a, 1, true);
    rig_client_open(&r, &b, 2, true);
    assert_true(a.up && b.up);
    rig_give(&r, a.s, half, sizeof half);
    rig_run(&r, 9 * RMR_SEC);
    rig_client_send(&b, b.key, "wait", 4); /* nobody needed it before */
    assert_int_equal(b.n_got, 0);
    rig_run(&r, 11 * RMR_SEC);
    assert_true(a.s->aborted);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 1);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void plain_http_at_the_tls_port_is_closed(void **st)
{
    (void)st;
    start_tls(64);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(s->closed);
    assert_false(has(rig_out(s), "HTTP/1.1 200"));
    rig_end(&r);
}

static void a_new_certificate_serves_new_connections(void **st)
{
    char *cert = tv_text("tls/leaf-rsa.pem"), *key = tv_text("tls/rsa.key");
    char *other = tv_text("tls/ec.key");
    rmr_bytes c_pem = rmr_bytes_str(cert);
    (void)st;
    start_tls(64);
    rig_client_open(&r, &a, 1, true);
    assert_int_not_equal(
        rmr_relay_set_certificate(r.relay, c_pem, rmr_bytes_str(other)),
        RMR_OK);
    assert_int_equal(
        rmr_relay_set_certificate(r.relay, c_pem, rmr_bytes_str(key)), RMR_OK);
    rig_client_open(&r, &b, 2, true);
    assert_true(has(rmr_tls_suite(b.tls), "RSA"));
    assert_false(has(rmr_tls_suite(a.tls), "RSA"));
    rig_client_send(&a, b.key, "x", 1);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 1);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
    free(cert);
    free(key);
    free(other);
}

/* ---- configuration, memory, secrets ------------------------------------ */

static void a_configuration_that_makes_no_sense_is_refused(void **st)
{
    rmr_relay_config cfg;
    rmr_dial mesh;
    (void)st;
    memset(&mesh, 0, sizeof mesh);
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.n_listen = 0;
    assert_int_equal(rig_new(&r, &cfg), RMR_E_INVAL);
    rig_config(&r, &cfg);
    cfg.insecure_http = false;
    assert_int_equal(rig_new(&r, &cfg), RMR_E_INVAL);
    rig_config(&r, &cfg);
    cfg.mesh = &mesh; /* without a key */
    cfg.n_mesh = 1;
    assert_int_equal(rig_new(&r, &cfg), RMR_E_INVAL);
    rig_config(&r, &cfg);
    cfg.verify_url = "ftp://x/";
    assert_int_equal(rig_new(&r, &cfg), RMR_E_INVAL);
    rig_end(&r);
}

static void a_start_without_memory_leaves_nothing(void **st)
{
    rmr_relay_config cfg;
    (void)st;
    for (size_t n = 1; n < 200; n++) {
        rig_init(&r);
        rig_config(&r, &cfg);
        cfg.keep_key = true;
        cfg.verify_url = "http://127.0.0.1:9/verify";
        r.alloc.fail_at = n;
        rmr_err err = rig_new(&r, &cfg);
        bool failed = r.alloc.failed > 0;
        assert_true(failed ? err == RMR_E_NOMEM || r.failed == 1
                           : err == RMR_OK && r.ready == 1);
        rig_end(&r);
        if (!failed)
            return;
    }
    fail_msg("it never succeeds");
}

static void a_login_without_memory_ends_that_client_alone(void **st)
{
    (void)st;
    for (size_t n = 1; n < 200; n++) {
        rig_start(&r);
        rig_client_open(&r, &a, 1, false);
        test_alloc *mem = &r.alloc;
        /* The client's own memory comes from another allocator. */
        static test_alloc own;
        memset(&own, 0, sizeof own);
        r.env.alloc = test_alloc_table(&own);
        mem->fail_at = mem->calls + n;
        rig_client_open(&r, &b, 2, false);
        bool failed = mem->failed > 0;
        mem->fail_at = 0;
        assert_true(b.up || b.s->closed);
        assert_true(failed || b.up);
        rig_client_send(&a, a.key, "x", 1);
        assert_int_equal(a.n_got, 1);
        rig_client_free(&b);
        rig_client_free(&a);
        rig_end(&r);
        if (!failed)
            return;
    }
    fail_msg("it never succeeds");
}

static void the_key_is_in_no_log_and_wiped(void **st)
{
    uint8_t secret[32];
    char hex[65];
    rmr_relay_config cfg;
    (void)st;
    rig_init(&r);
    rig_config(&r, &cfg);
    memset(secret, 0x5a, sizeof secret);
    secret[3] = 0x17;
    cfg.private_key = secret;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    rig_client_open(&r, &a, 1, false);
    r.alloc.secret = secret;
    r.alloc.secret_len = sizeof secret;
    rmr_hex(hex, secret, 32);
    assert_false(test_log_has(&r.log, hex));
    rig_client_free(&a);
    rig_end(&r);
    assert_int_equal(r.alloc.leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(packets_go_both_ways),
        T(the_upgrade_is_answered_as_derper_does),
        T(the_word_of_the_upgrade_is_of_any_case),
        T(with_the_fast_start_no_byte_of_http_comes),
        T(all_may_come_behind_the_request_at_once),
        T(a_client_that_never_logs_in_is_closed),
        T(a_login_that_is_none_is_closed_without_a_word),
        T(a_receiver_that_stands_still_is_thrown_out),
        T(a_slow_receiver_that_goes_on_stays),
        T(many_frames_go_in_one_write),
        T(a_sender_above_its_rate_is_read_slowly),
        T(a_client_that_vanished_is_noticed_in_15_seconds),
        T(a_client_that_goes_is_gone),
        T(an_asked_stop_tells_all_and_ends),
        T(a_stop_waits_a_bounded_time),
        T(stun_is_answered_and_noise_is_not),
        T(the_key_is_made_once_and_kept),
        T(a_damaged_key_is_left_as_it_is),
        T(a_key_that_can_not_be_kept_is_no_key),
        T(a_port_that_is_taken_ends_the_relay),
        T(packets_go_through_tls),
        T(an_idle_client_takes_little_memory),
        T(few_buffers_serve_many),
        T(half_a_record_does_not_starve_others_for_ever),
        T(half_a_record_behind_the_login_does_neither),
        T(half_records_do_not_starve_input_for_ever),
        T(half_a_record_that_harms_nobody_may_stay),
        T(plain_http_at_the_tls_port_is_closed),
        T(a_new_certificate_serves_new_connections),
        T(a_configuration_that_makes_no_sense_is_refused),
        T(a_start_without_memory_leaves_nothing),
        T(a_login_without_memory_ends_that_client_alone),
        T(the_key_is_in_no_log_and_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
