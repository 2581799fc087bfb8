/* The server's side: keys, data, records, closing, what is no TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls_internal.h"
#include "tls_pair.h"

#define BIG 100000

static tls_pair p; /* large */

static void fill(uint8_t *dst, size_t len, uint64_t seed)
{
    test_rng r;
    test_rng_seed(&r, seed);
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)test_rng_u64(&r);
}

static void echo_a_line(size_t step)
{
    pair_send(&p, &p.c, "up", 2, step);
    pair_send(&p, &p.s, "down", 4, step);
    assert_int_equal(pair_pump(&p, step), RMR_OK);
    assert_int_equal(p.s.got_len, 2);
    assert_memory_equal(p.s.got, "up", 2);
    assert_int_equal(p.c.got_len, 4);
    assert_memory_equal(p.c.got, "down", 4);
}

static void each_kind_of_key_serves(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *key, *kind, *suite;
    } rows[] = {
        {"leaf-ec.pem", "ec.key", "EC P-256", "ECDHE_ECDSA"},
        {"leaf-ec.pem", "ec-pkcs8.key", "EC P-256", "ECDHE_ECDSA"},
        {"self-384.pem", "self-384.key", "EC P-384", "ECDHE_ECDSA"},
        {"self-521.pem", "self-521.key", "EC P-521", "ECDHE_ECDSA"},
        {"leaf-rsa.pem", "rsa.key", "RSA 2048", "ECDHE_RSA"},
        {"leaf-rsa.pem", "rsa-pkcs8.key", "RSA 2048", "ECDHE_RSA"},
        {"self-4096.pem", "self-4096.key", "RSA 4096", "ECDHE_RSA"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t step = i % 2 ? 1 : 4096;
        pair_open(&p,
                  &(pair_config){.chain = rows[i].chain, .key = rows[i].key},
                  step);
        assert_string_equal(rmr_tls_identity_kind(p.id), rows[i].kind);
        assert_memory_equal(rmr_tls_suite(p.s.t), rows[i].suite,
                            strlen(rows[i].suite));
        assert_string_equal(rmr_tls_suite(p.s.t), rmr_tls_suite(p.c.t));
        echo_a_line(step);
        pair_free(&p);
    }
}

static void data_goes_both_ways_in_pieces_of_any_size(void **state)
{
    (void)state;
    static uint8_t up[BIG], down[BIG];
    fill(up, BIG, 1);
    fill(down, BIG, 2);
    static const size_t steps[] = {1, 7, 333, 4096, 20000};
    for (size_t i = 0; i < 5; i++) {
        size_t total = steps[i] == 1 ? 3000 : BIG;
        pair_open(&p, &(pair_config){.seed = i}, steps[i]);
        pair_send(&p, &p.c, up, total, steps[i]);
        pair_send(&p, &p.s, down, total, steps[i]);
        assert_int_equal(pair_pump(&p, steps[i]), RMR_OK);
        assert_int_equal(p.s.got_len, total);
        assert_int_equal(p.c.got_len, total);
        assert_memory_equal(p.s.got, up, total);
        assert_memory_equal(p.c.got, down, total);
        pair_free(&p);
    }
}

/* The largest record that TLS allows, in one piece. */
static void full_records_go_both_ways(void **state)
{
    (void)state;
    static uint8_t data[16384];
    fill(data, sizeof data, 3);
    pair_open(&p, &(pair_config){.pool = 4, .pool_for_client = true}, 4096);
    tls_side *sides[] = {&p.c, &p.s};
    for (int i = 0; i < 2; i++) {
        tls_side *from = sides[i], *to = sides[1 - i];
        size_t n, len;
        assert_int_equal(
            rmr_tls_send(from->t, rmr_bytes_of(data, sizeof data), &n), RMR_OK);
        assert_int_equal(n, sizeof data);
        assert_int_equal(
            rmr_tls_write(from->t, rmr_buf_of(to->wire, sizeof to->wire), &len),
            RMR_OK);
        /* RFC 5288 3: head, explicit nonce, tag; RFC 7905 2 has no nonce. */
        bool chacha = strstr(rmr_tls_suite(from->t), "CHACHA20") != NULL;
        assert_int_equal(len, 5 + (chacha ? 0u : 8u) + sizeof data + 16);
        assert_int_equal(rmr_tls_read(to->t, rmr_bytes_of(to->wire, len), &n),
                         RMR_OK);
        assert_int_equal(n, len);
        rmr_buf view;
        assert_int_equal(rmr_tls_peek(to->t, &view), RMR_OK);
        assert_int_equal(view.len, sizeof data);
        assert_memory_equal(view.ptr, data, sizeof data);
        assert_int_equal(rmr_tls_consume(to->t, view.len), RMR_OK);
        assert_int_equal(rmr_tls_holds(to->t), 0);
        assert_int_equal(rmr_tls_holds(from->t), 0);
    }
    pair_free(&p);
}

/* ---- what the hello may say -------------------------------------------- */

/* Writes the client's hello anew, after changes to its engine. */
static void say_hello_again(const char *sni)
{
    assert_int_equal(br_ssl_client_reset(
                         (br_ssl_client_context *)(void *)p.c.t->eng, sni, 0),
                     1);
}

static void start(void)
{
    pair_init(&p, &(pair_config){0});
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
}

static const char *chosen_of(const char **offer, size_t n)
{
    start();
    br_ssl_engine_set_protocol_names(p.c.t->eng, offer, n);
    say_hello_again("host.test");
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_true(rmr_tls_is_open(p.s.t));
    const char *chosen = br_ssl_engine_get_selected_protocol(p.c.t->eng);
    pair_free(&p);
    return chosen;
}

static void of_the_protocols_only_http_1_1_is_chosen(void **state)
{
    (void)state;
    const char *both[] = {"h2", "http/1.1"};
    assert_string_equal(chosen_of(both, 2), "http/1.1");
    assert_null(chosen_of(both, 1));
    assert_null(chosen_of(both, 0));
}

static void any_server_name_is_accepted(void **state)
{
    (void)state;
    static char longest[256];
    memset(longest, 'a', 255);
    const char *names[] = {NULL, "", "another.example", longest};
    for (size_t i = 0; i < 4; i++) {
        start();
        say_hello_again(names[i]);
        assert_int_equal(pair_pump(&p, 4096), RMR_OK);
        assert_true(rmr_tls_is_open(p.s.t));
        pair_free(&p);
    }
}

static void the_server_chooses_the_suite(void **state)
{
    (void)state;
    start();
    br_ssl_engine_context *eng = p.c.t->eng;
    uint16_t turned[BR_MAX_CIPHER_SUITES];
    for (size_t i = 0; i < eng->suites_num; i++)
        turned[i] = eng->suites_buf[eng->suites_num - 1u - i];
    br_ssl_engine_set_suites(eng, turned, eng->suites_num);
    say_hello_again("host.test");
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    /* An EC key's suites are the even places of the list. */
    assert_int_equal(p.s.t->eng->session.cipher_suite,
                     p.s.t->eng->suites_buf[0]);
    pair_free(&p);
}

static void aes_comes_first_where_the_processor_has_it(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){0}, 4096);
    bool aes = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
    bool power = br_aes_pwr8_ctr_get_vtable() && br_ghash_pwr8_get();
    assert_string_equal(rmr_tls_suite(p.s.t),
                        aes || power
                            ? "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
                            : "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    if (aes) { /* and they are what the engine works with, both ways */
        const br_ssl_engine_context *eng = p.s.t->eng;
        assert_ptr_equal(eng->iaes_ctr, br_aes_x86ni_ctr_get_vtable());
        assert_ptr_equal(eng->ighash, br_ghash_pclmul_get());
        assert_ptr_equal(eng->in.gcm.gh, br_ghash_pclmul_get());
        assert_ptr_equal(eng->out.gcm.gh, br_ghash_pclmul_get());
        assert_ptr_equal(eng->out.gcm.bc.vtable, br_aes_x86ni_ctr_get_vtable());
    }
    pair_free(&p);
}

static void a_renegotiation_is_refused_and_the_connection_lives(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4, .harm = PAIR_TAKE}, 4096);
    br_ssl_engine_context *eng = p.c.t->eng;
    br_ssl_engine_set_all_flags(eng, 0);
    assert_int_equal(br_ssl_engine_renegotiate(eng), 1);
    /* BearSSL's client gives up when it is told no, which is a warning. */
    assert_int_equal(pair_pump(&p, 7), RMR_E_TLS_ALERT);
    assert_int_equal(p.c.err, RMR_E_TLS_ALERT);
    assert_int_equal(br_ssl_engine_last_error(eng),
                     BR_ERR_RECV_FATAL_ALERT + 100);
    assert_int_equal(p.s.err, RMR_OK);
    assert_false(rmr_tls_is_closed(p.s.t));
    size_t n;
    assert_int_equal(rmr_tls_send(p.s.t, rmr_bytes_str("data"), &n), RMR_OK);
    assert_int_equal(n, 4);
    assert_int_equal(
        rmr_tls_write(p.s.t, rmr_buf_of(p.c.wire, sizeof p.c.wire), &n),
        RMR_OK);
    assert_int_equal(p.c.wire[0], 23);
    assert_true(n > 4);
    pair_free(&p);
}

/* ---- the end ----------------------------------------------------------- */

static void close_notify_goes_both_ways(void **state)
{
    (void)state;
    for (int by_server = 0; by_server < 2; by_server++) {
        pair_open(&p, &(pair_config){.pool = 4, .harm = PAIR_TAKE}, 1);
        tls_side *one = by_server ? &p.s : &p.c;
        tls_side *two = by_server ? &p.c : &p.s;
        size_t n;
        assert_int_equal(rmr_tls_send(one->t, rmr_bytes_str("last"), &n),
                         RMR_OK);
        assert_int_equal(rmr_tls_shutdown(one->t), RMR_OK);
        assert_int_equal(pair_pump(&p, 1), RMR_OK);
        assert_int_equal(two->got_len, 4);
        assert_true(rmr_tls_is_closed(one->t));
        assert_true(rmr_tls_is_closed(two->t));
        assert_int_equal(rmr_tls_read_eof(one->t), RMR_OK);
        assert_int_equal(rmr_tls_read_eof(two->t), RMR_OK);
        assert_int_equal(rmr_tls_send(two->t, rmr_bytes_str("x"), &n),
                         RMR_E_CLOSED);
        assert_int_equal(rmr_tls_holds(p.s.t), 0);
        pair_free(&p);
    }
}

static void an_end_without_close_notify_is_a_truncation(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4}, 4096);
    p.s.deaf = true;
    pair_send(&p, &p.c, "left", 4, 4096);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_int_equal(rmr_tls_read_eof(p.s.t), RMR_E_TLS_TRUNCATED);
    rmr_buf view;
    assert_int_equal(rmr_tls_peek(p.s.t, &view), RMR_OK);
    assert_int_equal(view.len, 4);
    assert_memory_equal(view.ptr, "left", 4);
    assert_int_equal(rmr_tls_consume(p.s.t, 4), RMR_OK);
    assert_int_equal(rmr_tls_peek(p.s.t, &view), RMR_E_TLS_TRUNCATED);
    assert_int_equal(rmr_tls_holds(p.s.t), 0);
    pair_free(&p);
}

/* Else the peer's answer could not come in. */
static void a_shutdown_drops_plaintext_that_waits(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4}, 4096);
    p.s.deaf = true;
    pair_send(&p, &p.c, "unheard", 7, 4096);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_int_equal(rmr_tls_shutdown(p.s.t), RMR_OK);
    rmr_buf view;
    assert_int_equal(rmr_tls_peek(p.s.t, &view), RMR_OK);
    assert_int_equal(view.len, 0);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_true(p.s.t->eng->shutdown_recv || p.s.t->finished);
    assert_int_equal(p.s.wire_len, 0);
    assert_int_equal(rmr_tls_holds(p.s.t), 0);
    pair_free(&p);
}

/* ---- what is no TLS ---------------------------------------------------- */

static rmr_err hear_bytes(const void *bytes, size_t len, size_t step)
{
    pair_init(&p, &(pair_config){.pool = 2, .harm = PAIR_TAKE});
    assert_int_equal(pair_new_server(&p), RMR_OK);
    const uint8_t *at = bytes;
    uint8_t out[512];
    size_t n;
    rmr_err e = RMR_OK;
    while (len && e == RMR_OK) {
        size_t give = len < step ? len : step;
        e = rmr_tls_read(p.s.t, rmr_bytes_of(at, give), &n);
        at += n;
        len -= n;
        rmr_tls_pool_trim(p.pool, 0);
        if (n == 0)
            break;
    }
    for (int i = 0; i < 3 && e == RMR_OK; i++)
        e = rmr_tls_write(p.s.t, rmr_buf_of(out, sizeof out), &n);
    assert_int_equal(rmr_tls_holds(p.s.t), 0);
    pair_free(&p);
    return e;
}

static void what_is_no_tls_is_a_protocol_error(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const uint8_t sslv2[] = {0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0};
    static const uint8_t data_first[] = {23, 3, 3, 0, 1, 0};
    static const uint8_t ccs_first[] = {20, 3, 3, 0, 1, 1};
    static const uint8_t too_long[] = {22, 3, 3, 0x40, 1, 1};
    static const uint8_t not_a_hello[] = {22, 3, 3, 0, 4, 20, 0, 0, 0};
    for (size_t step = 1; step < 100; step += 98) {
        assert_int_equal(hear_bytes(http, sizeof http - 1, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(hear_bytes(sslv2, sizeof sslv2, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(hear_bytes(data_first, sizeof data_first, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(hear_bytes(ccs_first, sizeof ccs_first, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(hear_bytes(too_long, sizeof too_long, step),
                         RMR_E_TLS_PROTOCOL);
        assert_int_equal(hear_bytes(not_a_hello, sizeof not_a_hello, step),
                         RMR_E_TLS_PROTOCOL);
    }
    uint8_t noise[600];
    for (uint64_t seed = 0; seed < 200; seed++) {
        fill(noise, sizeof noise, seed);
        noise[0] = 22; /* so that some get past the head */
        noise[1] = noise[2] = 3;
        noise[3] = 0;
        noise[5] = 1;
        (void)hear_bytes(noise, sizeof noise, 1 + seed % 40);
    }
}

/* Each byte of the client's hello and of its second flight in turn. */
static void no_changed_byte_of_the_handshake_is_overlooked(void **state)
{
    (void)state;
    size_t opened = 0, len[2] = {1, 1};
    for (int flight = 0; flight < 2; flight++) {
        for (size_t i = 0; i < len[flight]; i++) {
            start();
            for (int f = 0; f < flight; f++) {
                (void)pair_move(&p, &p.c, &p.s, 4096);
                (void)pair_move(&p, &p.s, &p.c, 4096);
            }
            size_t n;
            assert_int_equal(
                rmr_tls_write(p.c.t, rmr_buf_of(p.s.wire, sizeof p.s.wire), &n),
                RMR_OK);
            len[flight] = p.s.wire_len = n;
            p.s.wire[i] ^= 0x10;
            (void)pair_pump(&p, 4096);
            /* RFC 5246 E.1: the first record may say any version 3.x. */
            opened += rmr_tls_is_open(p.c.t) && (flight != 0 || i != 2);
            pair_free(&p);
        }
    }
    assert_true(len[0] > 80 && len[1] > 80);
    assert_int_equal(opened, 0);
}

static void a_changed_byte_of_a_record_ends_the_connection(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4}, 4096);
    size_t n;
    assert_int_equal(rmr_tls_send(p.c.t, rmr_bytes_str("data"), &n), RMR_OK);
    assert_int_equal(
        rmr_tls_write(p.c.t, rmr_buf_of(p.s.wire, sizeof p.s.wire), &n),
        RMR_OK);
    p.s.wire[n - 1] ^= 1;
    p.s.wire_len = n;
    assert_int_equal(pair_pump(&p, 4096), RMR_E_TLS_PROTOCOL);
    assert_int_equal(p.s.got_len, 0);
    assert_int_equal(rmr_tls_holds(p.s.t), 0);
    pair_free(&p);
}

/* ---- randomness, memory, arguments ------------------------------------- */

static void a_generator_that_fails_is_told(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){.pool = 2});
    p.r.calls = 0;
    p.r.fail_at = 1;
    assert_int_equal(pair_new_server(&p), RMR_E_RNG);
    assert_null(p.s.t);
    p.r.calls = 0;
    p.r.fail_at = 2; /* one draw is all there is */
    assert_int_equal(pair_new_server(&p), RMR_OK);
    pair_free(&p);
}

static void each_failing_allocation_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        pair_init(&p, &(pair_config){0});
        rmr_tls_identity *id = NULL;
        p.a.fail_at = p.a.calls + n;
        rmr_err e = pair_identity(&p, "leaf-ec.pem", "ec.key", &id);
        if (e == RMR_OK)
            e = rmr_tls_pool_new(&p.pool, &p.env, 4);
        if (e == RMR_OK)
            e = pair_new_server(&p);
        bool failed = p.a.failed > 0;
        assert_int_equal(e, failed ? RMR_E_NOMEM : RMR_OK);
        rmr_tls_identity_free(id);
        pair_free(&p);
        if (!failed) {
            assert_true(n > 7);
            return;
        }
    }
}

/* A buffer that could not be had is like a pool that is empty. */
static void a_buffer_without_memory_only_delays(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){.pool = 4});
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    p.a.fail_at = p.a.calls + 1;
    p.a.fail_after = true;
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_true(rmr_tls_is_starved(p.s.t));
    assert_false(rmr_tls_is_open(p.s.t));
    p.a.fail_at = 0;
    assert_true(rmr_tls_can_retry(p.s.t));
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_false(rmr_tls_is_starved(p.s.t));
    echo_a_line(4096);
    pair_free(&p);
}

static void the_seed_alone_decides_the_bytes(void **state)
{
    (void)state;
    static uint8_t first[4096];
    size_t len = 0;
    for (int round = 0; round < 2; round++) {
        pair_init(&p, &(pair_config){.seed = 5});
        assert_int_equal(pair_new_server(&p), RMR_OK);
        assert_int_equal(pair_new_client(&p, false), RMR_OK);
        (void)pair_move(&p, &p.c, &p.s, 4096);
        size_t n;
        assert_int_equal(
            rmr_tls_write(p.s.t, rmr_buf_of(p.c.wire, sizeof p.c.wire), &n),
            RMR_OK);
        assert_true(n > 500 && n < sizeof first);
        if (round == 0) {
            memcpy(first, p.c.wire, n);
            len = n;
        }
        assert_int_equal(n, len);
        assert_memory_equal(p.c.wire, first, n);
        pair_free(&p);
    }
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){0});
    rmr_tls_server_config cfg;
    rmr_tls_server_config_init(&cfg, sizeof cfg);
    rmr_tls *t = (rmr_tls *)(void *)&cfg;
    assert_int_equal(rmr_tls_server_new(&t, &p.env, &cfg), RMR_E_INVAL);
    assert_null(t);
    cfg.identity = p.id;
    cfg.struct_size = 0;
    assert_int_equal(rmr_tls_server_new(&t, &p.env, &cfg), RMR_E_INVAL);
    /* A program of before there was a pool in the config. */
    cfg.struct_size = offsetof(rmr_tls_server_config, pool);
    cfg.pool = (rmr_tls_pool *)(void *)&cfg;
    assert_int_equal(rmr_tls_server_new(&t, &p.env, &cfg), RMR_OK);
    rmr_tls_free(t);
    rmr_tls_pool *pool = (rmr_tls_pool *)(void *)&cfg;
    assert_int_equal(rmr_tls_pool_new(&pool, &p.env, 1), RMR_E_INVAL);
    assert_null(pool);
    rmr_tls_pool_free(NULL);
    rmr_tls_identity_free(NULL);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_key_serves),
        cmocka_unit_test(data_goes_both_ways_in_pieces_of_any_size),
        cmocka_unit_test(full_records_go_both_ways),
        cmocka_unit_test(of_the_protocols_only_http_1_1_is_chosen),
        cmocka_unit_test(any_server_name_is_accepted),
        cmocka_unit_test(the_server_chooses_the_suite),
        cmocka_unit_test(aes_comes_first_where_the_processor_has_it),
        cmocka_unit_test(a_renegotiation_is_refused_and_the_connection_lives),
        cmocka_unit_test(close_notify_goes_both_ways),
        cmocka_unit_test(an_end_without_close_notify_is_a_truncation),
        cmocka_unit_test(a_shutdown_drops_plaintext_that_waits),
        cmocka_unit_test(what_is_no_tls_is_a_protocol_error),
        cmocka_unit_test(no_changed_byte_of_the_handshake_is_overlooked),
        cmocka_unit_test(a_changed_byte_of_a_record_ends_the_connection),
        cmocka_unit_test(a_generator_that_fails_is_told),
        cmocka_unit_test(each_failing_allocation_is_told_and_leaks_nothing),
        cmocka_unit_test(a_buffer_without_memory_only_delays),
        cmocka_unit_test(the_seed_alone_decides_the_bytes),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
