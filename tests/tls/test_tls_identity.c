/* Certificates and private keys of a server: what is taken, what is refused,
 * how long they live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls_identity.h"
#include "tls_pair.h"

static tls_pair p;
static char text[40 * 1024], more[8 * 1024];

static void set_up(void)
{
    pair_init(&p, &(pair_config){0});
}

static rmr_err make(const void *chain, size_t nc, const void *key, size_t nk)
{
    rmr_tls_identity *id = NULL;
    rmr_err e = rmr_tls_identity_new(&id, &p.env, rmr_bytes_of(chain, nc),
                                     rmr_bytes_of(key, nk));
    assert_true((e == RMR_OK) == (id != NULL));
    rmr_tls_identity_free(id);
    return e;
}

static rmr_err files(const char *chain, const char *key)
{
    size_t nc = peer_load_text(chain, text, sizeof text);
    size_t nk = peer_load_text(key, more, sizeof more);
    return make(text, nc, more, nk);
}

static void a_key_that_does_not_match_is_named_as_that(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(files("leaf-ec.pem", "other.key"), RMR_E_TLS_KEY_MATCH);
    assert_int_equal(files("leaf-ec.pem", "self-384.key"), RMR_E_TLS_KEY_MATCH);
    assert_int_equal(files("leaf-ec.pem", "rsa.key"), RMR_E_TLS_KEY_MATCH);
    assert_int_equal(files("leaf-rsa.pem", "ec.key"), RMR_E_TLS_KEY_MATCH);
    assert_int_equal(files("leaf-rsa.pem", "self-4096.key"),
                     RMR_E_TLS_KEY_MATCH);
    /* The certificate of the key must be the first. */
    assert_int_equal(files("self-384.pem", "ec.key"), RMR_E_TLS_KEY_MATCH);
    pair_free(&p);
}

static void keys_that_can_not_serve_are_named_as_that(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(files("leaf-weak.pem", "weak.key"), RMR_E_TLS_KEY);
    assert_int_equal(files("leaf-ec.pem", "ec-locked.key"), RMR_E_TLS_KEY);
    assert_int_equal(files("leaf-ec.pem", "leaf-ec.pem"), RMR_E_TLS_KEY);
    size_t nc = peer_load_text("leaf-ec.pem", text, sizeof text);
    assert_int_equal(make(text, nc, "", 0), RMR_E_TLS_KEY);
    static const char not_der[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n"
                                  "-----END PRIVATE KEY-----\n";
    assert_int_equal(make(text, nc, not_der, sizeof not_der - 1),
                     RMR_E_TLS_KEY);
    pair_free(&p);
}

/* Whether at `cut` an object just ended: its last line, once it is known for
 * that, may be cut as well; and the next one's first line is no object yet. */
static bool ends_there(const char *pem, size_t cut)
{
    const char *at = pem, *end = NULL, *next = NULL;
    while ((at = strstr(at, "-----END ")) && (size_t)(at - pem) + 9 <= cut) {
        end = at++;
        next = strstr(end, "-----BEGIN");
    }
    if (!end)
        return false;
    const char *begun = next ? strchr(next, '\n') : NULL;
    return !begun || cut <= (size_t)(begun - pem);
}

/* Cut anywhere: never taken, and the chain never loses half a certificate. */
static void cut_texts_are_refused(void **state)
{
    (void)state;
    set_up();
    size_t nc = peer_load_text("leaf-ec.pem", text, sizeof text);
    size_t nk = peer_load_text("ec.key", more, sizeof more);
    size_t refused = 0;
    for (size_t cut = 0; cut < nc; cut++) {
        rmr_err e = make(text, cut, more, nk);
        if (e != RMR_E_MALFORMED)
            assert_true(e == RMR_OK && ends_there(text, cut));
        refused += e != RMR_OK;
    }
    assert_true(refused > nc - 120);
    refused = 0;
    for (size_t cut = 0; cut < nk; cut++) {
        rmr_err e = make(text, nc, more, cut);
        if (e != RMR_E_TLS_KEY)
            assert_true(e == RMR_OK && ends_there(more, cut));
        refused += e != RMR_OK;
    }
    assert_true(refused > nk - 30);
    pair_free(&p);
}

static void broken_certificates_are_refused(void **state)
{
    (void)state;
    set_up();
    size_t nk = peer_load_text("ec.key", more, sizeof more);
    static const char der[] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
                              "-----END CERTIFICATE-----\n";
    static const char base64[] = "-----BEGIN CERTIFICATE-----\n****\n"
                                 "-----END CERTIFICATE-----\n";
    static const char empty[] = "-----BEGIN CERTIFICATE-----\n"
                                "-----END CERTIFICATE-----\n";
    assert_int_equal(make(der, sizeof der - 1, more, nk), RMR_E_TLS_CERT);
    assert_int_equal(make(base64, sizeof base64 - 1, more, nk),
                     RMR_E_MALFORMED);
    assert_int_equal(make(empty, sizeof empty - 1, more, nk), RMR_E_TLS_CERT);
    assert_int_equal(make(more, nk, more, nk), RMR_E_MALFORMED);
    size_t one = peer_load_text("self-384.pem", text, sizeof text);
    size_t len = one;
    for (size_t n = 1; n < RMRI_TLS_CHAIN_MAX + 1; n++) {
        memcpy(text + len, text, one);
        len += one;
    }
    nk = peer_load_text("self-384.key", more, sizeof more);
    assert_int_equal(make(text, len - one, more, nk), RMR_OK);
    assert_int_equal(make(text, len, more, nk), RMR_E_TLS_CERT);
    pair_free(&p);
}

/* As openssl writes EC keys, and as many keep both in one file. */
static void one_text_may_hold_all(void **state)
{
    (void)state;
    set_up();
    static const char params[] = "-----BEGIN EC PARAMETERS-----\n"
                                 "BggqhkjOPQMBBw==\n"
                                 "-----END EC PARAMETERS-----\n";
    size_t len = sizeof params - 1;
    memcpy(text, params, len);
    len += peer_load_text("ec.key", text + len, sizeof text - len);
    len += peer_load_text("leaf-ec.pem", text + len, sizeof text - len);
    assert_int_equal(make(text, len, text, len), RMR_OK);
    pair_free(&p);
}

static void its_end_can_be_asked(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rmr_tls_identity_not_after(p.id), INT64_C(4102444800));
    rmr_tls_identity *old;
    assert_int_equal(pair_identity(&p, "leaf-expired.pem", "ec.key", &old),
                     RMR_OK); /* it is the clients that judge */
    assert_int_equal(rmr_tls_identity_not_after(old), INT64_C(1609459200));
    rmr_tls_identity_free(old);
    pair_free(&p);
}

static void connections_keep_the_identity_they_were_made_with(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(pair_new_server(&p), RMR_OK);
    rmr_tls *old = p.s.t;
    rmr_tls_identity *renewed;
    assert_int_equal(pair_identity(&p, "leaf-rsa.pem", "rsa.key", &renewed),
                     RMR_OK);
    rmr_tls_identity_free(p.id);
    p.id = renewed;
    assert_int_equal(pair_new_server(&p), RMR_OK);
    rmr_tls *young = p.s.t;
    p.s.t = old;
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_non_null(strstr(rmr_tls_suite(old), "ECDHE_ECDSA"));
    rmr_tls_free(old);
    rmr_tls_free(p.c.t);
    p.s.t = young;
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_non_null(strstr(rmr_tls_suite(young), "ECDHE_RSA"));
    pair_free(&p);
}

/* The private key's number must be in no memory that was given back. */
static void the_private_key_is_wiped(void **state)
{
    (void)state;
    set_up();
    const br_ec_private_key *sk = br_skey_decoder_get_ec(&p.id->key);
    uint8_t number[32];
    assert_int_equal(sk->xlen, sizeof number);
    memcpy(number, sk->x, sizeof number);
    rmr_tls_identity_free(p.id);
    p.a.secret = number;
    p.a.secret_len = sizeof number;
    assert_int_equal(pair_identity(&p, "leaf-ec.pem", "ec.key", &p.id), RMR_OK);
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_int_equal(files("leaf-rsa.pem", "ec.key"), RMR_E_TLS_KEY_MATCH);
    pair_free(&p);
    assert_int_equal(p.a.leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_does_not_match_is_named_as_that),
        cmocka_unit_test(keys_that_can_not_serve_are_named_as_that),
        cmocka_unit_test(cut_texts_are_refused),
        cmocka_unit_test(broken_certificates_are_refused),
        cmocka_unit_test(one_text_may_hold_all),
        cmocka_unit_test(its_end_can_be_asked),
        cmocka_unit_test(connections_keep_the_identity_they_were_made_with),
        cmocka_unit_test(the_private_key_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
