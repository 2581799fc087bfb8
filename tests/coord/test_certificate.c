/* Another certificate while the server runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "crd_rig.h"
#include "support.h"
#include "vectors.h"

static char *ec, *ec_key, *rsa, *rsa_key;

static rmr_bytes pem(const char *text)
{
    return rmr_bytes_str(text);
}

static rmr_coord *server(const rmr_env *env, bool tls)
{
    rmr_coord_config cfg;
    rmr_coord *c = NULL;
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 8080);
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "https://coordinator.example.com";
    if (tls) {
        cfg.cert_pem = pem(ec);
        cfg.key_pem = pem(ec_key);
    }
    assert_int_equal(rmr_coord_new(&c, env, &cfg, 1), RMR_OK);
    return c;
}

static void test_another_certificate(void **state)
{
    test_alloc heap = {0};
    test_rng rng;
    (void)state;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&heap, &rng, NULL);
    rmr_coord *c = server(&env, true);
    assert_string_equal(rmr_tls_identity_kind(c->identity), "EC P-256");
    assert_int_equal(rmr_coord_set_certificate(c, pem(rsa), pem(rsa_key)),
                     RMR_OK);
    assert_string_equal(rmr_tls_identity_kind(c->identity), "RSA 2048");
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
}

static void test_what_is_wrong_changes_nothing(void **state)
{
    test_alloc heap = {0};
    test_rng rng;
    (void)state;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&heap, &rng, NULL);
    rmr_coord *c = server(&env, true);
    const rmr_tls_identity *before = c->identity;
    assert_int_not_equal(rmr_coord_set_certificate(c, pem(rsa), pem(ec_key)),
                         RMR_OK);
    assert_int_not_equal(rmr_coord_set_certificate(c, pem(""), pem("")),
                         RMR_OK);
    heap.fail_at = heap.calls + 1;
    heap.fail_after = true;
    assert_int_equal(rmr_coord_set_certificate(c, pem(rsa), pem(rsa_key)),
                     RMR_E_NOMEM);
    heap.fail_at = 0;
    assert_ptr_equal(c->identity, before);
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
}

/* Its nodes were told http://. */
static void test_plain_http_stays_plain(void **state)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    (void)state;
    rmr_coord *c = server(&env, false);
    assert_int_equal(rmr_coord_set_certificate(c, pem(ec), pem(ec_key)),
                     RMR_E_STATE);
    rmr_coord_free(c);
}

/* ---- memory -------------------------------------------------------------- */

static rig r;

static void to_server(rmr_tls *t, rig_conn *c)
{
    uint8_t out[4096];
    size_t n = 1;
    while (n > 0) {
        assert_int_equal(rmr_tls_write(t, rmr_buf_of(out, sizeof out), &n),
                         RMR_OK);
        if (n > 0)
            rig_send(&r, c, out, n);
    }
    rig_turn(&r);
}

static void from_server(rmr_tls *t, rig_conn *c)
{
    while (c->n_got > 0) {
        size_t n = 0;
        assert_int_equal(rmr_tls_read(t, rmr_bytes_of(c->got, c->n_got), &n),
                         RMR_OK);
        assert_true(n > 0);
        rig_take(c, n);
    }
}

static rmr_tls *client(void)
{
    rmr_tls *t = NULL;
    rmr_tls_config cfg;
    rmr_env env = test_env(NULL, &r.rng, NULL);
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "coordinator.example.com";
    cfg.insecure = true;
    assert_int_equal(rmr_tls_client_new(&t, &env, &cfg), RMR_OK);
    return t;
}

/* Strangers may open thousands of them. */
static void test_a_connection_at_rest_has_no_buffers(void **state)
{
    rmr_coord_config cfg;
    rmr_buf view = {0};
    (void)state;
    rig_config(&cfg);
    cfg.cert_pem = pem(ec);
    cfg.key_pem = pem(ec_key);
    rig_init(&r, &cfg);
    size_t before = r.heap.live_bytes;
    rig_conn *c = rig_open(&r);
    assert_true(r.heap.live_bytes - before < 8 * 1024);
    rmr_tls *t = client();
    for (int i = 0; i < 8 && !rmr_tls_is_open(t); i++) {
        to_server(t, c);
        from_server(t, c);
    }
    assert_true(rmr_tls_is_open(t));
    static const char ask[] = "GET /key?v=138 HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t n = 0;
    assert_int_equal(rmr_tls_send(t, rmr_bytes_str(ask), &n), RMR_OK);
    to_server(t, c);
    from_server(t, c);
    assert_int_equal(rmr_tls_peek(t, &view), RMR_OK);
    assert_memory_equal(view.ptr, "HTTP/1.1 200", 12);
    /* With its parser of HTTP. */
    size_t took = r.heap.live_bytes - before;
    if (took > 20 * 1024)
        fail_msg("%zu bytes", took);
    rmr_tls_free(t);
    rig_leave(&r, c, true);
    rig_free(&r);
}

static int read_all(void **state)
{
    (void)state;
    ec = tv_text("tls/leaf-ec.pem");
    ec_key = tv_text("tls/ec.key");
    rsa = tv_text("tls/leaf-rsa.pem");
    rsa_key = tv_text("tls/rsa.key");
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    free(ec);
    free(ec_key);
    free(rsa);
    free(rsa_key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_certificate),
        cmocka_unit_test(test_what_is_wrong_changes_nothing),
        cmocka_unit_test(test_plain_http_stays_plain),
        cmocka_unit_test(test_a_connection_at_rest_has_no_buffers),
    };
    return cmocka_run_group_tests(tests, read_all, free_all);
}
