/* The byte filter: data both ways, records, closing, broken input, memory and
 * randomness that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "tls_peer.h"

#define BIG 100000

typedef struct pair {
    tls_peer p;
    test_alloc a;
    test_rng r;
    rmr_env env;
    rmr_tls_anchors *anchors;
    rmr_tls *t;
} pair;

static rmr_err new_client(pair *x, const char *name)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = name;
    cfg.anchors = x->anchors;
    cfg.wall_unix_ns = TEST_WALL_NS;
    return rmr_tls_client_new(&x->t, &x->env, &cfg);
}

static void set_up(pair *x, uint64_t seed)
{
    memset(x, 0, sizeof *x);
    test_rng_seed(&x->r, seed);
    x->env = test_env(&x->a, &x->r, NULL);
    peer_init(&x->p, "leaf-ec.pem", "ec.key");
    assert_int_equal(rmr_tls_anchors_new(&x->anchors, &x->env), RMR_OK);
    char text[4096];
    size_t len = peer_load_text("ca-ec.pem", text, sizeof text);
    assert_int_equal(rmr_tls_anchors_add_pem(
                         x->anchors, rmr_bytes_of(text, len), NULL, NULL),
                     RMR_OK);
    assert_int_equal(new_client(x, "host.test"), RMR_OK);
}

static void open_up(pair *x, uint64_t seed)
{
    set_up(x, seed);
    assert_false(rmr_tls_is_open(x->t));
    assert_int_equal(peer_pump(&x->p, x->t, 4096), RMR_OK);
    assert_true(rmr_tls_is_open(x->t));
    assert_false(rmr_tls_is_closed(x->t));
}

static void tear_down(pair *x)
{
    rmr_tls_free(x->t);
    rmr_tls_anchors_free(x->anchors);
    assert_int_equal(x->a.live_blocks, 0);
}

static pair x; /* large */

static void fill(uint8_t *dst, size_t len, uint64_t seed)
{
    test_rng r;
    test_rng_seed(&r, seed);
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)test_rng_u64(&r);
}

/* Drains the client's plaintext into dst. */
static size_t drain(rmr_tls *t, uint8_t *dst, size_t cap)
{
    size_t n = 0;
    rmr_buf view;
    while (rmr_tls_peek(t, &view) == RMR_OK && view.len) {
        assert_true(view.len <= cap - n);
        memcpy(dst + n, view.ptr, view.len);
        n += view.len;
        assert_int_equal(rmr_tls_consume(t, view.len), RMR_OK);
    }
    return n;
}

static void data_goes_both_ways_in_pieces_of_any_size(void **s)
{
    (void)s;
    static uint8_t up[BIG], down[BIG], got[BIG];
    fill(up, BIG, 1);
    fill(down, BIG, 2);
    static const size_t steps[] = {1, 7, 333, 4096};
    for (size_t i = 0; i < 4; i++) {
        size_t total = steps[i] == 1 ? 3000 : BIG;
        open_up(&x, i);
        size_t sent = 0, came = 0, given = 0;
        while (sent < total || came < total) {
            size_t n =
                total - sent < steps[i] * 3 ? total - sent : steps[i] * 3;
            assert_int_equal(rmr_tls_send(x.t, rmr_bytes_of(up + sent, n), &n),
                             RMR_OK);
            sent += n;
            if (given == came && given < total) {
                n = total - given < 20000 ? total - given : 20000;
                peer_send(&x.p, down + given, n);
                given += n;
            }
            assert_int_equal(peer_pump(&x.p, x.t, steps[i]), RMR_OK);
            came += drain(x.t, got + came, BIG - came);
        }
        assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
        assert_int_equal(came, total);
        assert_int_equal(x.p.in_len, total);
        assert_memory_equal(got, down, total);
        assert_memory_equal(x.p.in, up, total);
        tear_down(&x);
    }
}

static void nothing_is_taken_before_the_handshake_is_done(void **s)
{
    (void)s;
    set_up(&x, 1);
    size_t n;
    rmr_buf b;
    assert_string_equal(rmr_tls_suite(x.t), "");
    assert_int_equal(rmr_tls_send(x.t, rmr_bytes_str("early"), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_tls_reserve(x.t, &b), RMR_OK);
    assert_int_equal(b.len, 0);
    assert_int_equal(rmr_tls_commit(x.t, 1), RMR_E_STATE);
    assert_int_equal(rmr_tls_peek(x.t, &b), RMR_OK);
    assert_int_equal(b.len, 0);
    assert_int_equal(rmr_tls_consume(x.t, 1), RMR_E_INVAL);
    assert_int_equal(rmr_tls_consume(x.t, 0), RMR_OK);
    tear_down(&x);
}

/* Writes all there is and lists the lengths of its records. */
static size_t records(rmr_tls *t, size_t *lens, size_t max)
{
    static uint8_t out[256 * 1024];
    size_t len = 0, n, count = 0;
    do {
        assert_int_equal(
            rmr_tls_write(t, rmr_buf_of(out + len, sizeof out - len), &n),
            RMR_OK);
        len += n;
    } while (n);
    for (size_t off = 0; off < len; count++) {
        assert_true(count < max);
        assert_int_equal(out[off], 23);
        lens[count] = (size_t)out[off + 3] << 8 | out[off + 4];
        off += 5 + lens[count];
    }
    return count;
}

static void small_pieces_become_one_record_and_large_ones_full_records(void **s)
{
    (void)s;
    open_up(&x, 1);
    size_t n, lens[8];
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rmr_tls_send(x.t, rmr_bytes_str("0123456789"), &n),
                         RMR_OK);
        assert_int_equal(n, 10);
    }
    assert_int_equal(records(x.t, lens, 8), 1);
    assert_true(lens[0] >= 1000 && lens[0] < 1040);
    assert_int_equal(records(x.t, lens, 8), 0); /* and no empty one */

    static uint8_t data[40000];
    assert_int_equal(rmr_tls_send(x.t, rmr_bytes_of(data, sizeof data), &n),
                     RMR_OK);
    assert_int_equal(n, 16384); /* one record, until it is written */
    assert_int_equal(records(x.t, lens, 8), 1);
    assert_true(lens[0] >= 16384);
    tear_down(&x);
}

static void reserve_and_commit_send_without_a_copy(void **s)
{
    (void)s;
    open_up(&x, 1);
    rmr_buf place;
    assert_int_equal(rmr_tls_reserve(x.t, &place), RMR_OK);
    assert_true(place.len >= 16384);
    memcpy(place.ptr, "hello", 5);
    assert_int_equal(rmr_tls_commit(x.t, place.len + 1), RMR_E_STATE);
    assert_int_equal(rmr_tls_commit(x.t, 5), RMR_OK);
    assert_int_equal(rmr_tls_commit(x.t, 0), RMR_OK);
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    assert_int_equal(x.p.in_len, 5);
    assert_memory_equal(x.p.in, "hello", 5);
    tear_down(&x);
}

static void unread_plaintext_holds_the_input_back(void **s)
{
    (void)s;
    open_up(&x, 1);
    static uint8_t data[30000];
    peer_send(&x.p, data, sizeof data);
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    rmr_buf view;
    assert_int_equal(rmr_tls_peek(x.t, &view), RMR_OK);
    assert_true(view.len > 0);
    assert_true(x.p.out_len > 0);
    size_t used;
    assert_int_equal(rmr_tls_read(x.t, rmr_bytes_of(x.p.out, 1), &used),
                     RMR_OK);
    assert_int_equal(used, 0);
    assert_int_equal(rmr_tls_consume(x.t, view.len + 1), RMR_E_INVAL);
    size_t came = 0;
    static uint8_t got[30000];
    while (came < sizeof data) {
        came += drain(x.t, got + came, sizeof got - came);
        assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    }
    tear_down(&x);
}

/* ---- the end ----------------------------------------------------------- */

static void a_close_notify_ends_cleanly_behind_the_last_data(void **s)
{
    (void)s;
    open_up(&x, 1);
    peer_send(&x.p, "bye", 3);
    br_ssl_engine_close(&x.p.sc.eng);
    assert_int_equal(peer_pump(&x.p, x.t, 1), RMR_OK);
    assert_false(rmr_tls_is_closed(x.t)); /* the data comes first */
    uint8_t got[16];
    assert_int_equal(drain(x.t, got, sizeof got), 3);
    assert_int_equal(peer_pump(&x.p, x.t, 1), RMR_OK);
    assert_true(rmr_tls_is_closed(x.t));
    assert_true(rmr_tls_is_open(x.t));
    assert_true(peer_is_closed(&x.p)); /* our close_notify went out */
    assert_int_equal(br_ssl_engine_last_error(&x.p.sc.eng), BR_ERR_OK);
    assert_int_equal(rmr_tls_read_eof(x.t), RMR_OK);
    size_t n;
    assert_int_equal(rmr_tls_send(x.t, rmr_bytes_str("x"), &n), RMR_E_CLOSED);
    assert_int_equal(rmr_tls_read(x.t, rmr_bytes_str("junk"), &n), RMR_OK);
    assert_int_equal(n, 4);
    assert_int_equal(rmr_tls_shutdown(x.t), RMR_OK);
    tear_down(&x);
}

static void what_follows_a_close_notify_in_one_read_is_dropped(void **s)
{
    (void)s;
    open_up(&x, 1);
    br_ssl_engine_close(&x.p.sc.eng);
    size_t n;
    const uint8_t *rec = br_ssl_engine_sendrec_buf(&x.p.sc.eng, &n);
    uint8_t in[128];
    memcpy(in, rec, n);
    memcpy(in + n, "junk", 4);
    size_t used;
    assert_int_equal(rmr_tls_read(x.t, rmr_bytes_of(in, n + 4), &used), RMR_OK);
    assert_int_equal(used, n + 4);
    assert_true(rmr_tls_is_closed(x.t));
    tear_down(&x);
}

static void an_end_without_close_notify_is_a_truncation(void **s)
{
    (void)s;
    for (int opened = 0; opened < 2; opened++) {
        if (opened)
            open_up(&x, 1);
        else
            set_up(&x, 1);
        if (opened) {
            peer_send(&x.p, "left", 4);
            assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
        }
        assert_int_equal(rmr_tls_read_eof(x.t), RMR_E_TLS_TRUNCATED);
        assert_int_equal(rmr_err_class(RMR_E_TLS_TRUNCATED), RMR_CLASS_CLOSED);
        assert_true(rmr_tls_is_closed(x.t));
        size_t n;
        assert_int_equal(rmr_tls_read(x.t, rmr_bytes_str("x"), &n),
                         RMR_E_TLS_TRUNCATED);
        assert_int_equal(rmr_tls_shutdown(x.t), RMR_E_TLS_TRUNCATED);
        /* What came before the cut may still be read. */
        uint8_t got[8];
        assert_int_equal(drain(x.t, got, sizeof got), opened ? 4 : 0);
        rmr_buf view;
        assert_int_equal(rmr_tls_peek(x.t, &view), RMR_E_TLS_TRUNCATED);
        tear_down(&x);
    }
}

static void a_shutdown_sends_what_was_given_and_close_notify(void **s)
{
    (void)s;
    open_up(&x, 1);
    size_t n;
    assert_int_equal(rmr_tls_send(x.t, rmr_bytes_str("last words"), &n),
                     RMR_OK);
    assert_int_equal(rmr_tls_shutdown(x.t), RMR_OK);
    assert_int_equal(rmr_tls_shutdown(x.t), RMR_OK);
    assert_int_equal(rmr_tls_send(x.t, rmr_bytes_str("x"), &n), RMR_E_CLOSED);
    peer_take(&x.p, x.t, 4096);
    assert_int_equal(x.p.in_len, 10);
    assert_memory_equal(x.p.in, "last words", 10);
    assert_true(x.p.sc.eng.shutdown_recv);
    /* The server may answer with its own, or just go. */
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    assert_true(rmr_tls_is_closed(x.t));
    assert_int_equal(rmr_tls_read_eof(x.t), RMR_OK);
    tear_down(&x);

    open_up(&x, 1);
    assert_int_equal(rmr_tls_shutdown(x.t), RMR_OK);
    assert_int_equal(rmr_tls_read_eof(x.t), RMR_OK);
    assert_true(rmr_tls_is_closed(x.t));
    tear_down(&x);

    set_up(&x, 1); /* before the handshake there is nothing to say */
    assert_int_equal(rmr_tls_shutdown(x.t), RMR_OK);
    assert_true(rmr_tls_is_closed(x.t));
    uint8_t out[512];
    assert_int_equal(rmr_tls_write(x.t, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    tear_down(&x);
}

/* ---- what is no TLS, or not ours --------------------------------------- */

static rmr_err answer(const void *bytes, size_t len, size_t step)
{
    set_up(&x, 1);
    uint8_t out[4096];
    size_t n;
    assert_int_equal(rmr_tls_write(x.t, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    rmr_err e = RMR_OK;
    for (size_t off = 0; off < len && e == RMR_OK; off += n) {
        n = len - off < step ? len - off : step;
        e = rmr_tls_read(x.t, rmr_bytes_of((const uint8_t *)bytes + off, n),
                         &n);
        assert_true(n > 0 || e != RMR_OK);
    }
    /* The engine may have an alert to send before it gives up. */
    for (int i = 0; i < 3 && e == RMR_OK; i++)
        e = rmr_tls_write(x.t, rmr_buf_of(out, sizeof out), &n);
    tear_down(&x);
    return e;
}

static void an_answer_that_is_no_tls_is_a_protocol_error(void **s)
{
    (void)s;
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const char ssh[] = "SSH-2.0-OpenSSH\r\n";
    static const uint8_t no_hello[] = {22, 3, 3, 0, 4, 14, 0, 0, 0};
    for (size_t step = 1; step < 100; step += 98) {
        assert_int_equal(answer(http, sizeof http - 1, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(answer(ssh, sizeof ssh - 1, step), RMR_E_TLS_PROTOCOL);
        assert_int_equal(answer(no_hello, sizeof no_hello, step),
                         RMR_E_TLS_PROTOCOL);
    }
}

static void alerts_say_no_or_that_there_is_nothing_in_common(void **s)
{
    (void)s;
    uint8_t alert[] = {21, 3, 3, 0, 2, 2, 0};
    for (int code = 1; code < 120; code++) {
        alert[6] = (uint8_t)code;
        bool common = code != 40 && code != 70 && code != 71;
        assert_int_equal(answer(alert, sizeof alert, 7),
                         common ? RMR_E_TLS_ALERT : RMR_E_TLS_PROTOCOL);
    }
}

static rmr_err pump_with(void (*change)(br_ssl_engine_context *))
{
    set_up(&x, 1);
    change(&x.p.sc.eng);
    peer_start(&x.p);
    rmr_err e = peer_pump(&x.p, x.t, 4096);
    tear_down(&x);
    return e;
}

static void only_old_suites(br_ssl_engine_context *eng)
{
    static const uint16_t old[] = {BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
                                   BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA};
    br_ssl_engine_set_suites(eng, old, 2);
}

static void only_old_versions(br_ssl_engine_context *eng)
{
    br_ssl_engine_set_versions(eng, BR_TLS10, BR_TLS11);
}

static void old_suites_and_versions_are_refused(void **s)
{
    (void)s;
    assert_int_equal(pump_with(only_old_suites), RMR_E_TLS_PROTOCOL);
    assert_int_equal(pump_with(only_old_versions), RMR_E_TLS_PROTOCOL);
}

static const uint16_t wanted[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
};
static const char *const wanted_names[] = {
    "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
};

static void every_suite_works_and_has_its_name(void **s)
{
    (void)s;
    for (size_t i = 0; i < 6; i++) {
        set_up(&x, i);
        peer_init(&x.p, i < 3 ? "leaf-ec.pem" : "leaf-rsa.pem",
                  i < 3 ? "ec.key" : "rsa.key");
        char text[4096];
        size_t len = peer_load_text("ca-rsa.pem", text, sizeof text);
        rmr_tls_free(x.t);
        assert_int_equal(rmr_tls_anchors_add_pem(
                             x.anchors, rmr_bytes_of(text, len), NULL, NULL),
                         RMR_OK);
        assert_int_equal(new_client(&x, "host.test"), RMR_OK);
        br_ssl_engine_set_suites(&x.p.sc.eng, &wanted[i], 1);
        peer_start(&x.p);
        assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
        assert_string_equal(rmr_tls_suite(x.t), wanted_names[i]);
        peer_send(&x.p, "x", 1);
        assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
        uint8_t got[4];
        assert_int_equal(drain(x.t, got, sizeof got), 1);
        tear_down(&x);
    }
}

static void a_changed_byte_of_a_record_ends_the_connection(void **s)
{
    (void)s;
    open_up(&x, 1);
    peer_send(&x.p, "secret", 6);
    x.p.out[x.p.out_len - 1] ^= 1;
    assert_int_equal(peer_pump(&x.p, x.t, 1), RMR_E_TLS_PROTOCOL);
    rmr_buf view;
    assert_int_equal(rmr_tls_peek(x.t, &view), RMR_E_TLS_PROTOCOL);
    assert_int_equal(view.len, 0);
    tear_down(&x);
}

/* Each byte of the server's first flight in turn: never opened, never stuck in
 * a success. */
static void no_changed_byte_of_the_handshake_is_overlooked(void **s)
{
    (void)s;
    set_up(&x, 1);
    uint8_t hello[1024];
    size_t hello_len;
    assert_int_equal(
        rmr_tls_write(x.t, rmr_buf_of(hello, sizeof hello), &hello_len),
        RMR_OK);
    tear_down(&x);
    size_t opened = 0, flight = 1;
    for (size_t i = 0; i < flight; i++) {
        set_up(&x, 1);
        peer_take(&x.p, x.t, 4096);
        flight = x.p.out_len;
        x.p.out[i] ^= 0x10;
        (void)peer_pump(&x.p, x.t, 4096);
        opened += rmr_tls_is_open(x.t);
        tear_down(&x);
    }
    assert_true(flight > 500);
    assert_int_equal(opened, 0);
}

static void an_address_is_not_sent_as_a_name(void **s)
{
    (void)s;
    set_up(&x, 1);
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    assert_string_equal(br_ssl_engine_get_server_name(&x.p.sc.eng),
                        "host.test");
    rmr_tls_free(x.t);
    peer_init(&x.p, "leaf-ec.pem", "ec.key");
    assert_int_equal(new_client(&x, "192.0.2.1"), RMR_OK);
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_E_TLS_NAME);
    assert_string_equal(br_ssl_engine_get_server_name(&x.p.sc.eng), "");
    tear_down(&x);
}

/* ---- randomness, memory, arguments ------------------------------------- */

static size_t trace(uint64_t seed, uint8_t *dst, size_t cap)
{
    set_up(&x, seed);
    size_t total = 0, n, used;
    bool moved = true;
    while (moved) {
        assert_int_equal(
            rmr_tls_write(x.t, rmr_buf_of(dst + total, cap - total), &n),
            RMR_OK);
        moved = n > 0;
        for (size_t off = 0; off < n;) {
            size_t room;
            uint8_t *to = br_ssl_engine_recvrec_buf(&x.p.sc.eng, &room);
            assert_non_null(to);
            if (room > n - off)
                room = n - off;
            memcpy(to, dst + total + off, room);
            br_ssl_engine_recvrec_ack(&x.p.sc.eng, room);
            off += room;
        }
        total += n;
        const uint8_t *from;
        while ((from = br_ssl_engine_sendrec_buf(&x.p.sc.eng, &n)) && n) {
            assert_int_equal(rmr_tls_read(x.t, rmr_bytes_of(from, n), &used),
                             RMR_OK);
            br_ssl_engine_sendrec_ack(&x.p.sc.eng, used);
            moved = true;
        }
    }
    assert_true(rmr_tls_is_open(x.t));
    tear_down(&x);
    return total;
}

static void the_seed_alone_decides_the_bytes(void **s)
{
    (void)s;
    uint8_t one[2048], two[2048];
    size_t n = trace(7, one, sizeof one);
    assert_int_equal(trace(7, two, sizeof two), n);
    assert_memory_equal(one, two, n);
    n = trace(8, two, sizeof two);
    assert_memory_not_equal(one + 11, two + 11, 32); /* the client's random */
}

static void a_generator_that_fails_is_told(void **s)
{
    (void)s;
    set_up(&x, 1);
    rmr_tls_free(x.t);
    x.r.calls = 0;
    x.r.fail_at = 1;
    assert_int_equal(new_client(&x, "host.test"), RMR_E_RNG);
    assert_null(x.t);
    x.r.calls = 0;
    x.r.fail_at = 2; /* one draw is all there is */
    assert_int_equal(new_client(&x, "host.test"), RMR_OK);
    assert_int_equal(peer_pump(&x.p, x.t, 4096), RMR_OK);
    assert_true(rmr_tls_is_open(x.t));
    tear_down(&x);
}

static void each_failing_allocation_is_told_and_leaks_nothing(void **s)
{
    (void)s;
    for (size_t n = 1;; n++) {
        set_up(&x, 1);
        rmr_tls_free(x.t);
        x.a.fail_at = x.a.calls + n;
        rmr_err e = new_client(&x, "host.test");
        if (e == RMR_OK)
            e = peer_pump(&x.p, x.t, 4096);
        bool failed = x.a.failed > 0;
        if (failed)
            assert_int_equal(e, RMR_E_NOMEM);
        else
            assert_int_equal(e, RMR_OK);
        tear_down(&x);
        if (!failed) {
            assert_true(n >= 3); /* the object and the certificates */
            return;
        }
    }
}

static void a_connection_takes_about_forty_kilobytes(void **s)
{
    (void)s;
    set_up(&x, 1);
    size_t with = x.a.live_bytes;
    rmr_tls_free(x.t);
    size_t without = x.a.live_bytes;
    x.t = NULL;
    print_message("%zu bytes a connection\n", with - without);
    assert_in_range(with - without, 33 * 1024, 45 * 1024);
    tear_down(&x);
}

static void the_keys_are_wiped_on_free(void **s)
{
    (void)s;
    open_up(&x, 1);
    br_ssl_session_parameters session;
    br_ssl_engine_get_session_parameters(&x.p.sc.eng, &session);
    x.a.secret = session.master_secret;
    x.a.secret_len = sizeof session.master_secret;
    tear_down(&x);
    assert_int_equal(x.a.leaks, 0);
}

static rmr_err with(const char *name, const char *verify)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = name;
    cfg.verify_name = verify;
    cfg.insecure = true;
    rmr_tls *t;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_err e = rmr_tls_client_new(&t, &env, &cfg);
    assert_true((t != NULL) == (e == RMR_OK));
    rmr_tls_free(t);
    return e;
}

static void bad_arguments_are_refused(void **s)
{
    (void)s;
    char longest[256];
    memset(longest, 'a', 253);
    longest[253] = '\0';
    assert_int_equal(with("a", NULL), RMR_OK);
    assert_int_equal(with(longest, NULL), RMR_OK);
    longest[253] = 'a';
    longest[254] = '\0';
    assert_int_equal(with(longest, NULL), RMR_E_INVAL);
    assert_int_equal(with(NULL, NULL), RMR_E_INVAL);
    assert_int_equal(with("", NULL), RMR_E_INVAL);
    assert_int_equal(with(".", NULL), RMR_E_INVAL);
    assert_int_equal(with("a..b", NULL), RMR_E_INVAL);
    assert_int_equal(with(".a", NULL), RMR_E_INVAL);
    assert_int_equal(with("a b", NULL), RMR_E_INVAL);
    assert_int_equal(with("*.a", NULL), RMR_E_INVAL);
    assert_int_equal(with("a:1", NULL), RMR_E_INVAL);
    assert_int_equal(with("a", ""), RMR_E_INVAL);
    assert_int_equal(with("a", "a/b"), RMR_E_INVAL);

    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "a";
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_tls *t;
    assert_int_equal(rmr_tls_client_new(&t, &env, &cfg), RMR_E_INVAL);
    cfg.insecure = true;
    cfg.struct_size = 0;
    assert_int_equal(rmr_tls_client_new(&t, &env, &cfg), RMR_E_INVAL);
    cfg.struct_size = offsetof(rmr_tls_config, server_name);
    assert_int_equal(rmr_tls_client_new(&t, &env, &cfg), RMR_E_INVAL);
    cfg.struct_size = offsetof(rmr_tls_config, anchors); /* has all it needs */
    assert_int_equal(rmr_tls_client_new(&t, &env, &cfg), RMR_OK);
    rmr_tls_free(t);
}

static void every_error_has_a_text_of_its_own(void **s)
{
    (void)s;
    static const rmr_err all[] = {RMR_E_TLS_PROTOCOL, RMR_E_TLS_UNKNOWN_CA,
                                  RMR_E_TLS_NAME,     RMR_E_TLS_EXPIRED,
                                  RMR_E_TLS_PIN,      RMR_E_TLS_CERT,
                                  RMR_E_TLS_ALERT,    RMR_E_TLS_TRUNCATED,
                                  RMR_E_NOMEM,        RMR_OK};
    size_t n = sizeof all / sizeof all[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rmr_tls_err_text(all[i]),
                                    rmr_tls_err_text(all[j]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_goes_both_ways_in_pieces_of_any_size),
        cmocka_unit_test(nothing_is_taken_before_the_handshake_is_done),
        cmocka_unit_test(
            small_pieces_become_one_record_and_large_ones_full_records),
        cmocka_unit_test(reserve_and_commit_send_without_a_copy),
        cmocka_unit_test(unread_plaintext_holds_the_input_back),
        cmocka_unit_test(a_close_notify_ends_cleanly_behind_the_last_data),
        cmocka_unit_test(what_follows_a_close_notify_in_one_read_is_dropped),
        cmocka_unit_test(an_end_without_close_notify_is_a_truncation),
        cmocka_unit_test(a_shutdown_sends_what_was_given_and_close_notify),
        cmocka_unit_test(an_answer_that_is_no_tls_is_a_protocol_error),
        cmocka_unit_test(alerts_say_no_or_that_there_is_nothing_in_common),
        cmocka_unit_test(old_suites_and_versions_are_refused),
        cmocka_unit_test(every_suite_works_and_has_its_name),
        cmocka_unit_test(a_changed_byte_of_a_record_ends_the_connection),
        cmocka_unit_test(no_changed_byte_of_the_handshake_is_overlooked),
        cmocka_unit_test(an_address_is_not_sent_as_a_name),
        cmocka_unit_test(the_seed_alone_decides_the_bytes),
        cmocka_unit_test(a_generator_that_fails_is_told),
        cmocka_unit_test(each_failing_allocation_is_told_and_leaks_nothing),
        cmocka_unit_test(a_connection_takes_about_forty_kilobytes),
        cmocka_unit_test(the_keys_are_wiped_on_free),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(every_error_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
