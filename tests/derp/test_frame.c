/* DERP's bodies by the vectors, and the token bucket. */
#include "derp_fixture.h"

static void hex_of(tv *v, const char *key, uint8_t *dst, size_t n)
{
    assert_int_equal(tv_get_hex(v, key, dst, n), n);
}

static void shared_key(fixture *f, const char *own, uint8_t *shared)
{
    uint8_t priv[32], pub[32];
    fx_key(f, own, "private", priv);
    fx_key(f, "server", "public", pub);
    assert_int_equal(rmr_box_shared(shared, priv, pub), RMR_OK);
}

static void the_client_info_of_a_node_is_that_of_the_vector(void **state)
{
    (void)state;
    fixture f;
    uint8_t own[32], shared[32], want[256], nonce[24], box[32];
    uint8_t got[RMRI_DERP_CLIENT_INFO_MAX];
    fx_begin(&f, false);
    fx_key(&f, "clientA", "public", own);
    shared_key(&f, "clientA", shared);
    hex_of(tv_get(f.vectors, "keys"), "boxKeyServerClientA", box, 32);
    assert_memory_equal(shared, box, 32);
    tv *v = fx_case(&f, "frames", "client_info_regular_canackpings");
    hex_of(v, "nonce", nonce, sizeof nonce);
    size_t n = tv_get_hex(v, "frame", want, sizeof want);
    assert_int_equal(rmri_derp_build_client_info(got, own, shared, nonce, NULL),
                     n);
    assert_memory_equal(got, want, n);
    fx_end(&f);
}

static void server_infos_open_and_tell_their_rate(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t rate, burst;
    } cases[] = {{"server_info", 0, 0},
                 {"server_info_token_bucket", 1000000, 2000000},
                 {"server_info_unknown_fields", 0, 0}};
    fixture f;
    uint8_t shared[32];
    fx_begin(&f, false);
    shared_key(&f, "clientA", shared);
    for (size_t i = 0; i < 3; i++) {
        uint8_t frame[512];
        rmri_derp_server_info info;
        size_t n = fx_frame(&f, cases[i].name, frame, sizeof frame);
        assert_true(rmri_derp_open_server_info(rmr_buf_of(frame + 5, n - 5),
                                               shared, &info));
        assert_true(info.rate == cases[i].rate);
        assert_true(info.burst == cases[i].burst);
    }
    fx_end(&f);
}

static bool opens(const char *json, rmri_derp_server_info *info)
{
    static const uint8_t shared[32] = {9};
    uint8_t body[512] = {1, 2, 3};
    size_t n = strlen(json);
    rmr_box_seal(body + 24, shared, body, rmr_bytes_of(json, n));
    return rmri_derp_open_server_info(rmr_buf_of(body, 24 + 16 + n), shared,
                                      info);
}

static void a_server_info_must_be_a_json_object(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "7",
        "\"x\"",
        "null",
        "{} {}",
        "{\"TokenBucketBytesPerSecond\":\"x\"}",
        "{\"TokenBucketBytesPerSecond\":1.5}",
        "{\"TokenBucketBytesPerSecond\":99999999999999999999}"};
    (void)state;
    rmri_derp_server_info info;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(opens(bad[i], &info));
    assert_true(opens("{}", &info));
    assert_true(opens("{\"TokenBucketBytesPerSecond\":-5,"
                      "\"TokenBucketBytesBurst\":null}",
                      &info));
    assert_true(info.rate == 0 && info.burst == 0);
    /* A field that is not ours may be as long as it likes. */
    char big[400] = "{\"x\":\"";
    memset(big + 6, 'y', 300);
    memcpy(big + 306, "\"}", 3);
    assert_true(opens(big, &info));
}

static void a_short_server_info_does_not_open(void **state)
{
    (void)state;
    static const uint8_t shared[32] = {9};
    rmri_derp_server_info info;
    for (size_t n = 0; n < 41; n++) {
        uint8_t *body = calloc(1, n ? n : 1);
        assert_non_null(body);
        assert_false(
            rmri_derp_open_server_info(rmr_buf_of(body, n), shared, &info));
        free(body);
    }
}

static void a_greeting_has_a_magic_a_key_and_perhaps_more(void **state)
{
    (void)state;
    fixture f;
    uint8_t frame[2000], key[32], want[32];
    fx_begin(&f, false);
    size_t n = fx_frame(&f, "server_key", frame, 64) - 5;
    uint8_t *body = frame + 5;
    memset(body + n, 7, 1100);
    fx_key(&f, "server", "public", want);
    assert_int_equal(n, 40);
    assert_true(rmri_derp_parse_server_key(rmr_bytes_of(body, 40), key));
    assert_memory_equal(key, want, 32);
    assert_true(rmri_derp_parse_server_key(rmr_bytes_of(body, 1024), key));
    assert_false(rmri_derp_parse_server_key(rmr_bytes_of(body, 1025), key));
    assert_false(rmri_derp_parse_server_key(rmr_bytes_of(body, 39), key));
    for (size_t i = 0; i < 8; i++) {
        body[i] ^= 1;
        assert_false(rmri_derp_parse_server_key(rmr_bytes_of(body, 40), key));
        body[i] ^= 1;
    }
    fx_end(&f);
}

/* ---- the bucket ------------------------------------------------------- */

static void a_bucket_lets_its_depth_pass_and_then_its_rate(void **state)
{
    (void)state;
    rmri_derp_bucket b;
    rmr_time now = 77 * RMR_SEC;
    rmri_derp_bucket_set(&b, 1000, 100000);
    for (int i = 0; i < 100; i++)
        assert_true(rmri_derp_bucket_take(&b, now, 1000));
    assert_false(rmri_derp_bucket_take(&b, now, 1000));
    assert_false(rmri_derp_bucket_take(&b, now + RMR_SEC - 1, 1000));
    assert_true(rmri_derp_bucket_take(&b, now + RMR_SEC, 1000));
    assert_false(rmri_derp_bucket_take(&b, now + RMR_SEC, 1));
    /* Full again, and not fuller. */
    now += 1000 * RMR_SEC;
    for (int i = 0; i < 100; i++)
        assert_true(rmri_derp_bucket_take(&b, now, 1000));
    assert_false(rmri_derp_bucket_take(&b, now, 1));
}

static void a_bucket_without_a_rate_lets_all_pass(void **state)
{
    (void)state;
    rmri_derp_bucket b;
    rmri_derp_bucket_set(&b, 0, 5);
    for (int i = 0; i < 1000; i++)
        assert_true(rmri_derp_bucket_take(&b, 5, 65573));
}

static void a_shallow_bucket_still_holds_the_largest_packet(void **state)
{
    (void)state;
    rmri_derp_bucket b;
    rmri_derp_bucket_set(&b, 1, 0);
    assert_true(rmri_derp_bucket_take(&b, 5, 65573));
    assert_false(rmri_derp_bucket_take(&b, 5, 1));
}

static void extreme_advice_does_not_overflow(void **state)
{
    (void)state;
    rmri_derp_bucket b;
    static const uint64_t v[] = {1, 2, 1000, UINT32_MAX, INT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 5; k++) {
            rmri_derp_bucket_set(&b, v[i], v[k]);
            assert_true(rmri_derp_bucket_take(&b, 5, 65573));
            assert_true(rmri_derp_bucket_take(&b, RMR_TIME_NEVER - 1, 1));
        }
    }
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_info_of_a_node_is_that_of_the_vector),
        cmocka_unit_test(server_infos_open_and_tell_their_rate),
        cmocka_unit_test(a_server_info_must_be_a_json_object),
        cmocka_unit_test(a_short_server_info_does_not_open),
        cmocka_unit_test(a_greeting_has_a_magic_a_key_and_perhaps_more),
        cmocka_unit_test(a_bucket_lets_its_depth_pass_and_then_its_rate),
        cmocka_unit_test(a_bucket_without_a_rate_lets_all_pass),
        cmocka_unit_test(a_shallow_bucket_still_holds_the_largest_packet),
        cmocka_unit_test(extreme_advice_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
