/* AES-GCM records by a table of the host's, against BearSSL's own records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tls_internal.h"
#include "tls_pair.h"

#define LEN 40000

static tls_pair p; /* large */

/* ---- a table ----------------------------------------------------------- */

typedef struct table_key {
    br_aes_ct64_ctr_keys ctr;
    size_t len;
} table_key;

_Static_assert(sizeof(table_key) <= RMR_GCM_KEY_MAX, "it has its room");

typedef struct counts {
    size_t keys, sealed, opened;
    size_t key_len; /* the last */
} counts;

static void table_init(void *self, rmr_gcm_key *k, const uint8_t *key,
                       size_t len)
{
    table_key *t = (table_key *)(void *)k->opaque;
    counts *n = (counts *)self;
    br_aes_ct64_ctr_init(&t->ctr, key, len);
    n->keys++;
    n->key_len = len;
}

static void run(const rmr_gcm_key *k, const uint8_t *nonce, rmr_bytes ad,
                uint8_t *buf, size_t len, int seal, uint8_t *tag)
{
    br_gcm_context g;
    table_key t; /* BearSSL's context is not const */
    memcpy(&t, k->opaque, sizeof t);
    br_gcm_init(&g, &t.ctr.vtable, br_ghash_ctmul64);
    br_gcm_reset(&g, nonce, RMR_GCM_NONCE_LEN);
    br_gcm_aad_inject(&g, ad.ptr, ad.len);
    br_gcm_flip(&g);
    br_gcm_run(&g, seal, buf, len);
    br_gcm_get_tag(&g, tag);
}

static void table_seal(void *self, const rmr_gcm_key *k,
                       const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                       uint8_t *buf, size_t len)
{
    run(k, nonce, ad, buf, len, 1, buf + len);
    ((counts *)self)->sealed++;
}

static rmr_err table_open(void *self, const rmr_gcm_key *k,
                          const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                          uint8_t *buf, size_t len)
{
    uint8_t tag[RMR_GCM_TAG_LEN];
    run(k, nonce, ad, buf, len, 0, tag);
    ((counts *)self)->opened++;
    return memcmp(tag, buf + len, sizeof tag) == 0 ? RMR_OK : RMR_E_AUTH;
}

static rmr_gcm table(counts *n)
{
    memset(n, 0, sizeof *n);
    return (rmr_gcm){"test", n, table_init, table_seal, table_open};
}

/* ---- the tests --------------------------------------------------------- */

static const uint16_t suites[][1] = {
    {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
    {BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
    {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
};

static void open_pair(const rmr_gcm *client, const rmr_gcm *server, int suite,
                      size_t step)
{
    pair_init(&p, &(pair_config){.client_gcm = client, .server_gcm = server});
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    br_ssl_engine_set_suites(p.c.t->eng, suites[suite], 1);
    assert_int_equal(br_ssl_client_reset(
                         (br_ssl_client_context *)(void *)p.c.t->eng, NULL, 0),
                     1);
    assert_int_equal(pair_pump(&p, step), RMR_OK);
    assert_true(rmr_tls_is_open(p.c.t) && rmr_tls_is_open(p.s.t));
}

static void it_speaks_with_bearssl_both_ways(void **state)
{
    (void)state;
    static uint8_t data[LEN];
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    /* Whose records are the table's: client's, server's, both. */
    for (int who = 1; who <= 3; who++)
        for (int suite = 0; suite < 2; suite++) {
            counts nc, ns;
            rmr_gcm c = table(&nc), s = table(&ns);
            open_pair(who & 1 ? &c : NULL, who & 2 ? &s : NULL, suite,
                      who == 3 ? 1 : 4096);
            pair_send(&p, &p.c, data, LEN, 4096);
            pair_send(&p, &p.s, data, LEN, 4096);
            assert_int_equal(pair_pump(&p, 4096), RMR_OK);
            assert_int_equal(p.s.got_len, LEN);
            assert_int_equal(p.c.got_len, LEN);
            assert_memory_equal(p.s.got, data, LEN);
            assert_memory_equal(p.c.got, data, LEN);
            const counts *n[] = {&nc, &ns};
            for (int i = 0; i < 2; i++) {
                bool used = who & (1 << i);
                assert_int_equal(n[i]->keys, used ? 2 : 0);
                assert_int_equal(n[i]->key_len, !used ? 0 : suite ? 32 : 16);
                assert_true(used == (n[i]->sealed > 3 && n[i]->opened > 3));
            }
            pair_free(&p);
        }
}

/* It is told what the processor can, and does not ask by itself. */
static void the_engine_has_what_bearssl_would_choose(void **state)
{
    (void)state;
    static br_ssl_client_context ours, theirs;
    br_ssl_engine_context *a = &ours.eng, *b = &theirs.eng;
    br_ssl_client_zero(&ours);
    br_ssl_client_zero(&theirs);
    rmri_tls_engine_setup(a);
    br_ssl_engine_set_default_aes_gcm(b);
    br_ssl_engine_set_default_chapol(b);
    assert_ptr_equal(a->iaes_ctr, b->iaes_ctr);
    assert_true(a->ighash == b->ighash);
    assert_ptr_equal(a->igcm_in, b->igcm_in);
    assert_ptr_equal(a->igcm_out, b->igcm_out);
    assert_true(a->ichacha == b->ichacha);
    assert_true(a->ipoly == b->ipoly);
    assert_ptr_equal(a->ichapol_in, b->ichapol_in);
    assert_ptr_equal(a->ichapol_out, b->ichapol_out);
    bool aes = (br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get()) ||
               (br_aes_pwr8_ctr_get_vtable() && br_ghash_pwr8_get());
    assert_int_equal(a->suites_buf[0],
                     aes ? BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                         : BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
}

static void other_suites_do_without_it(void **state)
{
    (void)state;
    counts nc, ns;
    rmr_gcm c = table(&nc), s = table(&ns);
    open_pair(&c, &s, 2, 4096);
    pair_send(&p, &p.c, "up", 2, 4096);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_int_equal(p.s.got_len, 2);
    assert_int_equal(nc.keys + ns.keys, 0);
    pair_free(&p);
}

/* One record of the client's, into p.s.wire. */
static size_t one_record(void)
{
    size_t n, len;
    assert_int_equal(rmr_tls_send(p.c.t, rmr_bytes_str("hello"), &n), RMR_OK);
    assert_int_equal(
        rmr_tls_write(p.c.t, rmr_buf_of(p.s.wire, sizeof p.s.wire), &len),
        RMR_OK);
    assert_int_equal(len, 5 + 8 + 5 + 16);
    return len;
}

static void a_changed_byte_ends_the_connection(void **state)
{
    (void)state;
    /* Of the head only the type is free to change: the engine refuses other
     * versions and lengths by itself. */
    for (size_t at = 5; at < 5 + 8 + 5 + 16; at++) {
        counts ns;
        rmr_gcm s = table(&ns);
        size_t used;
        open_pair(NULL, &s, 0, 4096);
        size_t len = one_record();
        p.s.wire[at] ^= 1;
        assert_int_not_equal(
            rmr_tls_read(p.s.t, rmr_bytes_of(p.s.wire, len), &used), RMR_OK);
        rmr_buf view;
        assert_int_not_equal(rmr_tls_peek(p.s.t, &view), RMR_OK);
        assert_int_equal(view.len, 0);
        pair_free(&p);
    }
}

static void a_repeated_record_ends_the_connection(void **state)
{
    (void)state;
    counts ns;
    rmr_gcm s = table(&ns);
    uint8_t again[64];
    size_t used;
    open_pair(NULL, &s, 0, 4096);
    size_t len = one_record();
    memcpy(again, p.s.wire, len);
    assert_int_equal(rmr_tls_read(p.s.t, rmr_bytes_of(p.s.wire, len), &used),
                     RMR_OK);
    assert_int_equal(rmr_tls_consume(p.s.t, 5), RMR_OK);
    assert_int_not_equal(rmr_tls_read(p.s.t, rmr_bytes_of(again, len), &used),
                         RMR_OK);
    pair_free(&p);
}

/* A record that says it is shorter than its own frame, or longer than any. */
static void a_record_of_no_possible_length_is_refused(void **state)
{
    (void)state;
    static const uint16_t lengths[] = {0, 8, 23, 16384 + 25, 65535};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        counts ns;
        rmr_gcm s = table(&ns);
        uint8_t head[5] = {23, 3, 3, (uint8_t)(lengths[i] >> 8),
                           (uint8_t)lengths[i]};
        static const uint8_t body[64] = {0};
        size_t used;
        open_pair(NULL, &s, 0, 4096);
        rmr_err e = rmr_tls_read(p.s.t, rmr_bytes_of(head, sizeof head), &used);
        if (e == RMR_OK)
            e = rmr_tls_read(p.s.t, rmr_bytes_of(body, sizeof body), &used);
        assert_int_not_equal(e, RMR_OK);
        pair_free(&p);
    }
}

static void without_memory_there_is_no_connection(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        counts ns;
        rmr_gcm s = table(&ns);
        pair_init(&p, &(pair_config){.server_gcm = &s});
        p.a.calls = 0;
        p.a.fail_at = n;
        rmr_err e = pair_new_server(&p);
        if (e == RMR_OK) {
            assert_true(n > 2); /* the connection, its keys */
            pair_free(&p);
            return;
        }
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(p.s.t);
        pair_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_speaks_with_bearssl_both_ways),
        cmocka_unit_test(the_engine_has_what_bearssl_would_choose),
        cmocka_unit_test(other_suites_do_without_it),
        cmocka_unit_test(a_changed_byte_ends_the_connection),
        cmocka_unit_test(a_repeated_record_ends_the_connection),
        cmocka_unit_test(a_record_of_no_possible_length_is_refused),
        cmocka_unit_test(without_memory_there_is_no_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
