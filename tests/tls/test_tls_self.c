/* Certificates that their own key signs: what they say, and that clients take
 * them by a pin or as an anchor.  The interop scripts show them to OpenSSL and
 * to Go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <remora/text.h>

#include "tls_cert.h"
#include "tls_der.h"
#include "tls_identity.h"
#include "tls_pair.h"

#define DAY ((uint64_t)86400 * RMR_SEC)

static tls_pair p;
static uint8_t cert[RMR_TLS_SELF_MAX], key[RMR_TLS_SELF_MAX];
static size_t n_cert, n_key;

static rmr_err make_until(const char *name, uint64_t to)
{
    return rmr_tls_self_signed(&p.env.rng, name, TEST_WALL_NS, to,
                               rmr_buf_of(cert, sizeof cert), &n_cert,
                               rmr_buf_of(key, sizeof key), &n_key);
}

static rmr_err make(const char *name)
{
    return make_until(name, TEST_WALL_NS + 90 * DAY);
}

static rmr_tls_identity *identity(void)
{
    rmr_tls_identity *id = NULL;
    assert_int_equal(rmr_tls_identity_new(&id, &p.env,
                                          rmr_bytes_of(cert, n_cert),
                                          rmr_bytes_of(key, n_key)),
                     RMR_OK);
    return id;
}

static void it_says_whose_it_is_and_how_long(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("Relay.example.test"), RMR_OK);
    rmr_tls_identity *id = identity();
    assert_string_equal(rmr_tls_identity_kind(id), "EC P-256");
    assert_true(rmr_tls_identity_is_self_issued(id));
    assert_int_equal(rmr_tls_identity_not_after(id),
                     (TEST_WALL_NS + 90 * DAY) / RMR_SEC);
    assert_int_equal(rmr_tls_identity_not_before(id), TEST_WALL_NS / RMR_SEC);
    assert_true(rmr_tls_identity_is_of(id, "relay.example.test"));
    assert_false(rmr_tls_identity_is_of(id, "example.test"));
    assert_false(rmr_tls_identity_is_of(id, ""));
    assert_false(rmr_tls_identity_is_self_issued(p.id)); /* leaf-ec.pem */
    rmr_tls_identity_free(id);
    pair_free(&p);
}

static void a_host_may_be_an_address(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("192.0.2.7"), RMR_OK);
    rmr_tls_identity *id = identity();
    assert_true(rmr_tls_identity_is_of(id, "192.0.2.7"));
    assert_false(rmr_tls_identity_is_of(id, "192.0.2.8"));
    rmr_tls_identity_free(id);
    assert_int_equal(make("[2001:db8::7]"), RMR_OK);
    id = identity();
    assert_true(rmr_tls_identity_is_of(id, "2001:db8::7"));
    rmr_tls_identity_free(id);
    pair_free(&p);
}

/* From 2050 on a date has four digits of the year. */
static void dates_are_read_as_they_were_meant(void **state)
{
    static const char *const ends[] = {
        "2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "2261-12-31T23:59:59Z"};
    (void)state;
    pair_init(&p, &(pair_config){0});
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint64_t at = 0;
        assert_int_equal(rmr_parse_time(rmr_bytes_str(ends[i]), &at), RMR_OK);
        assert_int_equal(make_until("a.test", at), RMR_OK);
        rmr_tls_identity *id = identity();
        assert_int_equal(rmr_tls_identity_not_after(id), at / RMR_SEC);
        rmr_tls_identity_free(id);
    }
    pair_free(&p);
}

static void the_signature_is_its_own_keys(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("a.test"), RMR_OK);
    rmr_tls_identity *id = identity();
    rmr_rd all =
        rmr_rd_of(rmr_bytes_of(id->chain[0].data, id->chain[0].data_len));
    rmr_rd whole = rmri_der_enter(&all, RMRI_DER_SEQUENCE);
    const uint8_t *tbs = whole.p;
    (void)rmri_der_expect(&whole, RMRI_DER_SEQUENCE);
    size_t n_tbs = (size_t)(whole.p - tbs);
    (void)rmri_der_expect(&whole, RMRI_DER_SEQUENCE);
    rmr_bytes sig = rmri_der_expect(&whole, 0x03);
    assert_false(whole.failed);
    uint8_t hash[32], room[BR_EC_KBUF_PUB_MAX_SIZE];
    br_sha256_context sha;
    br_sha256_init(&sha);
    br_sha256_update(&sha, tbs, n_tbs);
    br_sha256_out(&sha, hash);
    br_ec_public_key pk;
    assert_true(br_ec_compute_pub(br_ec_get_default(), &pk, room,
                                  br_skey_decoder_get_ec(&id->key)) > 0);
    br_ecdsa_vrfy verify = br_ecdsa_vrfy_asn1_get_default();
    assert_true(verify(br_ec_get_default(), hash, sizeof hash, &pk, sig.ptr + 1,
                       sig.len - 1));
    hash[0] ^= 1;
    assert_false(verify(br_ec_get_default(), hash, sizeof hash, &pk,
                        sig.ptr + 1, sig.len - 1));
    rmr_tls_identity_free(id);
    pair_free(&p);
}

/* No two serial numbers are equal; each is above zero and has 16 bytes. */
static void keys_and_serials_are_new_each_time(void **state)
{
    uint8_t first[RMR_TLS_SELF_MAX];
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("a.test"), RMR_OK);
    memcpy(first, key, sizeof first);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(make("a.test"), RMR_OK);
        rmr_tls_identity *id = identity();
        const uint8_t *serial = id->chain[0].data + 13;
        assert_int_equal(serial[0], 0x02);
        assert_int_equal(serial[1], 16);
        assert_in_range(serial[2], 0x40, 0x7f);
        rmr_tls_identity_free(id);
    }
    assert_memory_not_equal(first, key, n_key);
    pair_free(&p);
}

static rmr_err shake_hands(const uint8_t *pin, const rmr_tls_anchors *anchors,
                           const char *name, uint64_t wall)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = name;
    cfg.pin_sha256 = pin;
    cfg.anchors = anchors;
    cfg.wall_unix_ns = wall;
    rmr_tls_identity_free(p.id);
    p.id = identity();
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(rmr_tls_client_new(&p.c.t, &p.env, &cfg), RMR_OK);
    (void)pair_pump(&p, SIZE_MAX);
    rmr_err e = p.c.err;
    assert_int_equal(rmr_tls_is_open(p.c.t), e == RMR_OK);
    rmr_tls_free(p.c.t);
    rmr_tls_free(p.s.t);
    p.c.t = p.s.t = NULL;
    p.c.err = p.s.err = RMR_OK;
    p.c.wire_len = p.s.wire_len = 0;
    return e;
}

static void clients_take_it_by_its_pin(void **state)
{
    uint8_t pin[32];
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("relay.test"), RMR_OK);
    rmr_tls_identity *id = identity();
    rmr_tls_identity_sha256(id, pin);
    rmr_tls_identity_free(id);
    assert_int_equal(shake_hands(pin, NULL, "relay.test", TEST_WALL_NS),
                     RMR_OK);
    assert_int_equal(shake_hands(pin, NULL, "192.0.2.1", TEST_WALL_NS), RMR_OK);
    assert_int_equal(shake_hands(pin, NULL, "other.test", TEST_WALL_NS),
                     RMR_E_TLS_NAME);
    assert_int_equal(
        shake_hands(pin, NULL, "relay.test", TEST_WALL_NS + 91 * DAY),
        RMR_E_TLS_EXPIRED);
    pin[31] ^= 1;
    assert_int_equal(shake_hands(pin, NULL, "relay.test", TEST_WALL_NS),
                     RMR_E_TLS_PIN);
    pair_free(&p);
}

static void clients_take_it_as_an_anchor(void **state)
{
    rmr_tls_anchors *a = NULL;
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make("relay.test"), RMR_OK);
    assert_int_equal(rmr_tls_anchors_new(&a, &p.env), RMR_OK);
    assert_int_equal(
        rmr_tls_anchors_add_pem(a, rmr_bytes_of(cert, n_cert), NULL, NULL),
        RMR_OK);
    assert_int_equal(shake_hands(NULL, a, "relay.test", TEST_WALL_NS), RMR_OK);
    assert_int_equal(make("relay.test"), RMR_OK); /* another one */
    assert_int_equal(shake_hands(NULL, a, "relay.test", TEST_WALL_NS),
                     RMR_E_TLS_UNKNOWN_CA);
    rmr_tls_anchors_free(a);
    pair_free(&p);
}

static void what_makes_no_certificate_is_refused(void **state)
{
    char longest[260];
    (void)state;
    pair_init(&p, &(pair_config){0});
    assert_int_equal(make(""), RMR_E_INVAL);
    assert_int_equal(make("a b"), RMR_E_INVAL);
    assert_int_equal(make("a..b"), RMR_E_INVAL);
    assert_int_equal(make_until("a.test", TEST_WALL_NS), RMR_E_INVAL);
    assert_int_equal(make_until("a.test", UINT64_MAX), RMR_E_INVAL);
    for (size_t i = 0; i < 254; i++)
        longest[i] = i % 50 == 49 ? '.' : 'x';
    longest[254] = '\0';
    assert_int_equal(make(longest), RMR_E_INVAL);
    longest[253] = '\0';
    assert_int_equal(make(longest), RMR_OK);
    rmr_tls_identity *id = identity();
    assert_true(rmr_tls_identity_is_of(id, longest));
    rmr_tls_identity_free(id);
    for (size_t n = 0; n < n_cert; n += 50) {
        size_t a, b;
        assert_int_equal(rmr_tls_self_signed(&p.env.rng, longest, 1, DAY,
                                             rmr_buf_of(cert, n), &a,
                                             rmr_buf_of(key, sizeof key), &b),
                         RMR_E_BUFSIZE);
        assert_int_equal(a, 0);
    }
    pair_free(&p);
}

static rmr_err all_ones(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    memset(dst, 0xff, len);
    return RMR_OK;
}

static void randomness_that_fails_makes_none(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){0});
    for (size_t at = 1; at <= 2; at++) {
        p.r.calls = 0;
        p.r.fail_at = at;
        assert_int_equal(make("a.test"), RMR_E_RNG);
        assert_int_equal(n_cert + n_key, 0);
    }
    p.r.fail_at = 0;
    p.env.rng.fill = all_ones; /* above the curve's order, each time */
    assert_int_equal(make("a.test"), RMR_E_RNG);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_whose_it_is_and_how_long),
        cmocka_unit_test(a_host_may_be_an_address),
        cmocka_unit_test(dates_are_read_as_they_were_meant),
        cmocka_unit_test(the_signature_is_its_own_keys),
        cmocka_unit_test(keys_and_serials_are_new_each_time),
        cmocka_unit_test(clients_take_it_by_its_pin),
        cmocka_unit_test(clients_take_it_as_an_anchor),
        cmocka_unit_test(what_makes_no_certificate_is_refused),
        cmocka_unit_test(randomness_that_fails_makes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
