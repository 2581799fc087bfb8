/* Whom the client trusts: each way to say yes and each error, against a real
 * server with certificates from scripts/make-tls-vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "tls_peer.h"

#define YEAR_2020_6 (UINT64_C(1590969600) * RMR_SEC)
#define YEAR_2101 (UINT64_C(4133980800) * RMR_SEC)
#define YEAR_2019 (UINT64_C(1546300800) * RMR_SEC)

struct c {
    const char *name;
    const char *certs, *key; /* of the server */
    const char *anchors;     /* NULL: an empty set */
    const char *server_name, *verify_name;
    const char *pin; /* of which file's first certificate */
    bool insecure;
    uint64_t wall;
    rmr_err e;
};

#define RSA .key = "rsa.key"
#define EC .key = "ec.key"

static const struct c cases[] = {
    {"RSA", "leaf-rsa.pem", RSA, "ca-rsa.pem", "host.test"},
    {"EC with an intermediate", "leaf-ec.pem", EC, "ca-ec.pem", "host.test"},
    {"name in capitals with a final dot", "leaf-rsa.pem", RSA, "ca-rsa.pem",
     "HOST.Test."},
    {"wildcard", "leaf-rsa.pem", RSA, "ca-rsa.pem", "a.wild.test"},
    {"wildcard for two labels", "leaf-rsa.pem", RSA, "ca-rsa.pem",
     "a.b.wild.test", .e = RMR_E_TLS_NAME},
    {"wildcard for no label", "leaf-rsa.pem", RSA, "ca-rsa.pem", "wild.test",
     .e = RMR_E_TLS_NAME},
    {"another name", "leaf-rsa.pem", RSA, "ca-rsa.pem", "other.test",
     .e = RMR_E_TLS_NAME},
    {"another name to verify", "leaf-rsa.pem", RSA, "ca-rsa.pem", "host.test",
     .verify_name = "other.test", .e = RMR_E_TLS_NAME},
    {"the name to verify counts, not the one that is sent", "leaf-rsa.pem", RSA,
     "ca-rsa.pem", "other.test", .verify_name = "host.test"},
    {"IPv4", "leaf-ip.pem", EC, "ca-rsa.pem", "192.0.2.1"},
    {"IPv6", "leaf-ip.pem", EC, "ca-rsa.pem", "2001:db8::1"},
    {"IPv6 in brackets", "leaf-ip.pem", EC, "ca-rsa.pem", "[2001:DB8:0::1]"},
    {"another IPv4", "leaf-ip.pem", EC, "ca-rsa.pem", "192.0.2.2",
     .e = RMR_E_TLS_NAME},
    {"another IPv6", "leaf-ip.pem", EC, "ca-rsa.pem", "2001:db8::2",
     .e = RMR_E_TLS_NAME},
    {"an address of a certificate with names", "leaf-rsa.pem", RSA,
     "ca-rsa.pem", "192.0.2.1", .e = RMR_E_TLS_NAME},
    {"a common name is no name", "leaf-cn-only.pem", EC, "ca-rsa.pem",
     "host.test", .e = RMR_E_TLS_NAME},
    {"another root", "leaf-rsa.pem", RSA, "ca-ec.pem", "host.test",
     .e = RMR_E_TLS_UNKNOWN_CA},
    {"no root", "leaf-rsa.pem", RSA, NULL, "host.test",
     .e = RMR_E_TLS_UNKNOWN_CA},
    {"a root with the name of ours", "leaf-impostor.pem", EC, "ca-rsa.pem",
     "host.test", .e = RMR_E_TLS_UNKNOWN_CA},
    {"the chain with a stranger in it", "leaf-rsa.pem+self.pem", RSA,
     "ca-ec.pem", "host.test", .e = RMR_E_TLS_UNKNOWN_CA},
    {"a stranger behind the chain", "leaf-rsa.pem+self.pem", RSA, "ca-rsa.pem",
     "host.test"},
    {"expired", "leaf-expired.pem", EC, "ca-rsa.pem", "host.test",
     .e = RMR_E_TLS_EXPIRED},
    {"expired, but not yet then", "leaf-expired.pem", EC, "ca-rsa.pem",
     "host.test", .wall = YEAR_2020_6},
    {"not yet valid", "leaf-future.pem", EC, "ca-rsa.pem", "host.test",
     .e = RMR_E_TLS_EXPIRED},
    {"all too old", "leaf-ec.pem", EC, "ca-ec.pem", "host.test",
     .wall = YEAR_2101, .e = RMR_E_TLS_EXPIRED},
    {"a clock that was never set", "leaf-ec.pem", EC, "ca-ec.pem", "host.test",
     .wall = 1, .e = RMR_E_TLS_EXPIRED},
    {"RSA of 1024 bits", "leaf-weak.pem", .key = "weak.key", "ca-rsa.pem",
     "host.test", .e = RMR_E_TLS_CERT},
    {"issued by a leaf", "leaf-not-ca.pem", RSA, "ca-ec.pem", "host.test",
     .e = RMR_E_TLS_CERT},

    {"the meta certificate behind a chain", "leaf-ec.pem+meta.pem", EC,
     "ca-ec.pem", "host.test"},
    {"the meta certificate in the way", "meta.pem+leaf-ec.pem", EC, "ca-ec.pem",
     "host.test"},
    {"the meta certificate alone", "meta.pem", EC, "ca-ec.pem", "host.test",
     .e = RMR_E_TLS_CERT},

    {"self-signed as its own anchor", "self.pem", EC, "self.pem", "derp.test"},
    {"self-signed RSA as its own anchor", "self-rsa.pem", RSA, "self-rsa.pem",
     "derp.test"},
    {"self-signed with the CA flag", "self-ca.pem", EC, "self-ca.pem",
     "derp.test"},
    {"self-signed, by address", "self.pem", EC, "self.pem", "192.0.2.1"},
    {"self-signed, another name", "self.pem", EC, "self.pem", "host.test",
     .e = RMR_E_TLS_NAME},
    {"self-signed, not an anchor", "self.pem", EC, "ca-ec.pem", "derp.test",
     .e = RMR_E_TLS_UNKNOWN_CA},
    {"self-signed is no CA", "self-rsa.pem", RSA, "self.pem", "derp.test",
     .e = RMR_E_TLS_UNKNOWN_CA},

    {"pin", "self.pem", EC, NULL, "derp.test", .pin = "self.pem"},
    {"pin with RSA", "self-rsa.pem", RSA, NULL, "derp.test",
     .pin = "self-rsa.pem"},
    {"pin with the meta certificate", "self.pem+meta.pem", EC, NULL,
     "derp.test", .pin = "self.pem"},
    {"pin with the meta certificate first", "meta.pem+self.pem", EC, NULL,
     "derp.test", .pin = "self.pem"},
    {"pin, by an address that it has not", "self.pem", EC, NULL, "192.0.2.9",
     .pin = "self.pem"},
    {"pin of another", "self.pem", EC, NULL, "derp.test", .pin = "self-ca.pem",
     .e = RMR_E_TLS_PIN},
    {"pin of the meta certificate", "self.pem+meta.pem", EC, NULL, "derp.test",
     .pin = "meta.pem", .e = RMR_E_TLS_PIN},
    {"pin and two certificates", "self.pem+self-ca.pem", EC, NULL, "derp.test",
     .pin = "self.pem", .e = RMR_E_TLS_PIN},
    {"pin of the second", "self-ca.pem+self.pem", EC, NULL, "derp.test",
     .pin = "self.pem", .e = RMR_E_TLS_PIN},
    {"pin and the meta certificate alone", "meta.pem", EC, NULL, "derp.test",
     .pin = "meta.pem", .e = RMR_E_TLS_PIN},
    {"pin, expired", "self-expired.pem", EC, NULL, "derp.test",
     .pin = "self-expired.pem", .e = RMR_E_TLS_EXPIRED},
    {"pin, not yet valid", "self.pem", EC, NULL, "derp.test", .pin = "self.pem",
     .wall = YEAR_2019, .e = RMR_E_TLS_EXPIRED},
    {"pin, another name", "self.pem", EC, NULL, "host.test", .pin = "self.pem",
     .e = RMR_E_TLS_NAME},
    {"pin with anchors that would do", "leaf-rsa.pem", RSA, "ca-rsa.pem",
     "host.test", .pin = "self.pem", .e = RMR_E_TLS_PIN},
    {"a wrong pin is wrong, insecure or not", "self.pem", EC, NULL, "derp.test",
     .pin = "self-ca.pem", .insecure = true, .e = RMR_E_TLS_PIN},

    {"insecure", "self.pem", EC, NULL, "whatever.test", .insecure = true},
    {"insecure, expired", "self-expired.pem", EC, NULL, "whatever.test",
     .insecure = true},
    {"insecure, RSA and meta", "self-rsa.pem+meta.pem", RSA, NULL, "x.test",
     .insecure = true},
    {"insecure, but not the key of the certificate", "self-rsa.pem", EC, NULL,
     "x.test", .insecure = true, .e = RMR_E_TLS_PROTOCOL},
    {"the right certificate, but not its key", "self.pem", .key = "other.key",
     "self.pem", "derp.test", .e = RMR_E_TLS_PROTOCOL},
};

static void pin_of(const char *file, uint8_t pin[32])
{
    der_file certs[PEER_CERTS];
    assert_true(peer_load_pem(file, certs, PEER_CERTS) >= 1);
    br_sha256_context sha;
    br_sha256_init(&sha);
    br_sha256_update(&sha, certs[0].bytes, certs[0].len);
    br_sha256_out(&sha, pin);
}

static rmr_err run(const struct c *c, size_t step, rmr_env *env)
{
    static tls_peer p;
    peer_init(&p, c->certs, c->key);
    rmr_tls_anchors *anchors;
    assert_int_equal(rmr_tls_anchors_new(&anchors, env), RMR_OK);
    if (c->anchors) {
        static char text[8192];
        size_t len = peer_load_text(c->anchors, text, sizeof text);
        assert_int_equal(rmr_tls_anchors_add_pem(
                             anchors, rmr_bytes_of(text, len), NULL, NULL),
                         RMR_OK);
    }
    uint8_t pin[32];
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = c->server_name;
    cfg.verify_name = c->verify_name;
    cfg.insecure = c->insecure;
    cfg.anchors = anchors;
    cfg.wall_unix_ns = c->wall ? c->wall : TEST_WALL_NS;
    if (c->pin) {
        pin_of(c->pin, pin);
        cfg.pin_sha256 = pin;
    }
    rmr_tls *t;
    assert_int_equal(rmr_tls_client_new(&t, env, &cfg), RMR_OK);
    memset(pin, 0, sizeof pin); /* it was copied */
    rmr_err e = peer_pump(&p, t, step);
    assert_int_equal(rmr_tls_is_open(t), e == RMR_OK);
    assert_int_equal(rmr_tls_is_closed(t), e != RMR_OK);
    if (e != RMR_OK) {
        size_t n;
        assert_int_equal(rmr_tls_read(t, rmr_bytes_str("x"), &n), e);
        assert_int_equal(rmr_tls_send(t, rmr_bytes_str("x"), &n), e);
        assert_int_equal(n, 0);
        assert_int_equal(rmr_tls_read_eof(t), e);
    }
    rmr_tls_free(t);
    rmr_tls_anchors_free(anchors);
    return e;
}

static void each_certificate_gets_its_verdict(void **s)
{
    (void)s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= 4096; step *= 64) {
            test_alloc a = {0};
            test_rng r;
            test_rng_seed(&r, i);
            rmr_env env = test_env(&a, &r, NULL);
            rmr_err e = run(&cases[i], step, &env);
            if (e != cases[i].e)
                fail_msg("%s: %d (%s)", cases[i].name, (int)e,
                         rmr_tls_err_text(e));
            assert_int_equal(a.live_blocks, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_certificate_gets_its_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
