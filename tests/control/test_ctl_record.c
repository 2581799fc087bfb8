/* The record layer against the vector of a real server, and each refused
 * input. */
#include <remora/ts2021.h>

#include <remora/cursor.h>
#include <remora/noise.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "vectors.h"

typedef struct sink {
    uint8_t data[16384];
    size_t len, calls;
    rmr_err say;
} sink;

static rmr_err on_plain(void *user, rmr_buf plain)
{
    sink *s = user;
    assert_true(plain.len > 0);
    memcpy(s->data + s->len, plain.ptr, plain.len);
    s->len += plain.len;
    s->calls++;
    return s->say;
}

static test_alloc heap;

static void pair(rmr_ts_record *a, rmr_ts_record *b)
{
    uint8_t k1[32], k2[32];
    rmr_alloc alloc = test_alloc_table(&heap);
    memset(k1, 1, 32);
    memset(k2, 2, 32);
    rmr_ts_record_init(a, &alloc, k1, k2);
    rmr_ts_record_init(b, &alloc, k2, k1);
}

static size_t seal(rmr_ts_record *r, uint8_t *frame, const void *p, size_t n)
{
    size_t len;
    if (n)
        memcpy(frame + 3, p, n);
    assert_int_equal(rmr_ts_record_seal(r, frame, n, &len), RMR_OK);
    assert_int_equal(len, n + 19);
    return len;
}

static void check_side(tv *v, const char *send_key, const char *recv_key,
                       const char *prefix)
{
    rmr_ts_record a, b;
    uint8_t k1[32], k2[32], plain[4096], want[4096], frame[4096];
    char name[64];
    tv_get_hex(v, send_key, k1, 32);
    tv_get_hex(v, recv_key, k2, 32);
    rmr_alloc alloc = test_alloc_table(&heap);
    rmr_ts_record_init(&a, &alloc, k1, k2);
    rmr_ts_record_init(&b, &alloc, k2, k1);
    for (int i = 0; i < 2; i++) {
        sink s = {.len = 0};
        (void)snprintf(name, sizeof name, "%s_plain_%d", prefix, i);
        size_t n = tv_get_hex(v, name, plain, sizeof plain);
        (void)snprintf(name, sizeof name, "%s_record_%d", prefix, i);
        size_t len = tv_get_hex(v, name, want, sizeof want);
        assert_int_equal(seal(&a, frame, plain, n), len);
        assert_memory_equal(frame, want, len);
        assert_int_equal(
            rmr_ts_record_read(&b, rmr_buf_of(frame, len), on_plain, &s),
            RMR_OK);
        assert_int_equal(s.len, n);
        assert_memory_equal(s.data, plain, n);
    }
}

static void frames_are_those_of_the_real_server(void **state)
{
    (void)state;
    tv *v = tv_load("control/noise-vector.json");
    check_side(v, "k1_client_to_server", "k2_server_to_client", "c2s");
    check_side(v, "k2_server_to_client", "k1_client_to_server", "s2c");
    tv_free(v);
}

static void any_split_gives_the_same_plaintext(void **state)
{
    (void)state;
    uint8_t stream[20000], text[9000], copy[20000];
    size_t len = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7 + i / 256);
    static const size_t sizes[] = {1, 0, 4077, 3, 0, 1000, 3919};
    for (size_t piece = 0; piece < 300; piece += piece < 70 ? 1 : 23) {
        rmr_ts_record a, b;
        sink s = {.len = 0};
        size_t at = 0;
        pair(&a, &b);
        len = 0;
        for (size_t i = 0; i < 7; i++) {
            len += seal(&a, stream + len, text + at, sizes[i]);
            at += sizes[i];
        }
        assert_int_equal(at, 9000);
        memcpy(copy, stream, len);
        for (size_t p = 0; p < len;) {
            size_t n = piece && piece < len - p ? piece : len - p;
            assert_int_equal(
                rmr_ts_record_read(&b, rmr_buf_of(copy + p, n), on_plain, &s),
                RMR_OK);
            p += n;
        }
        assert_int_equal(s.len, 9000);
        assert_int_equal(s.calls, 5); /* empty ones are skipped */
        assert_memory_equal(s.data, text, 9000);
        assert_int_equal(heap.live_blocks, 0); /* whole ones need none */
    }
}

static void refused(const uint8_t *p, size_t n, rmr_err want)
{
    for (int split = 0; split < 2; split++) {
        rmr_ts_record a, b;
        sink s = {.len = 0};
        uint8_t copy[5000];
        rmr_err e = RMR_OK;
        pair(&a, &b);
        memcpy(copy, p, n);
        for (size_t i = 0; split && i < n && !e; i++)
            e = rmr_ts_record_read(&b, rmr_buf_of(copy + i, 1), on_plain, &s);
        if (!split)
            e = rmr_ts_record_read(&b, rmr_buf_of(copy, n), on_plain, &s);
        assert_int_equal(e, want);
        assert_int_equal(s.len, 0);
        /* For good. */
        size_t len = seal(&a, copy, "x", 1);
        assert_int_equal(
            rmr_ts_record_read(&b, rmr_buf_of(copy, len), on_plain, &s), want);
        rmr_ts_record_wipe(&b);
    }
}

static void odd_frames_end_the_stream(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    uint8_t frame[4096], bad[4096];
    pair(&a, &b);
    size_t len = seal(&a, frame, "hello", 5);
    for (size_t i = 0; i < 8 * len; i++) {
        memcpy(bad, frame, len);
        bad[i / 8] ^= (uint8_t)(1 << i % 8);
        if (i >= 24)
            refused(bad, len, RMR_E_AUTH);
        else if (i < 8)
            refused(bad, len, RMR_E_MALFORMED);
    }
    refused((const uint8_t *)"\x04\x00\x0f", 3, RMR_E_MALFORMED);
    refused((const uint8_t *)"\x04\x0f\xfe", 3, RMR_E_MALFORMED);
    refused((const uint8_t *)"\x03\x00\x10", 3, RMR_E_MALFORMED);
}

static void replays_and_swaps_fail(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    sink s = {.len = 0};
    uint8_t one[64], two[64], copy[64];
    pair(&a, &b);
    size_t n = seal(&a, one, "one", 3);
    (void)seal(&a, two, "two", 3);
    memcpy(copy, one, n);
    assert_int_equal(rmr_ts_record_read(&b, rmr_buf_of(copy, n), on_plain, &s),
                     RMR_OK);
    assert_int_equal(rmr_ts_record_read(&b, rmr_buf_of(one, n), on_plain, &s),
                     RMR_E_AUTH);
    pair(&a, &b);
    assert_int_equal(rmr_ts_record_read(&b, rmr_buf_of(two, n), on_plain, &s),
                     RMR_E_AUTH);
}

static void the_last_counter_is_never_used(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    sink s = {.len = 0};
    uint8_t frame[64];
    size_t len;
    pair(&a, &b);
    a.send_counter = b.recv_counter = UINT64_MAX - 1;
    len = seal(&a, frame, "x", 1);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(frame, len), on_plain, &s), RMR_OK);
    assert_int_equal(rmr_ts_record_seal(&a, frame, 1, &len), RMR_E_PROTOCOL);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(frame, 20), on_plain, &s),
        RMR_E_PROTOCOL);
}

static void a_frame_in_parts_needs_memory(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    sink s = {.len = 0};
    uint8_t frame[64], copy[64];
    pair(&a, &b);
    size_t len = seal(&a, frame, "x", 1);
    memcpy(copy, frame, len);
    heap.fail_at = heap.calls + 1;
    assert_int_equal(rmr_ts_record_read(&b, rmr_buf_of(copy, 2), on_plain, &s),
                     RMR_OK);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(copy + 2, 3), on_plain, &s),
        RMR_E_NOMEM);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(copy + 5, 3), on_plain, &s),
        RMR_E_NOMEM);
    rmr_ts_record_wipe(&b);
    heap.fail_at = 0;
    pair(&a, &b); /* wiped with a frame half there */
    len = seal(&a, frame, "x", 1);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(frame, len - 1), on_plain, &s),
        RMR_OK);
    assert_int_equal(heap.live_bytes, len);
    rmr_ts_record_wipe(&b);
    assert_int_equal(heap.live_blocks, 0);
}

static void too_much_for_a_record_is_refused(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    static uint8_t frame[5000];
    size_t len;
    pair(&a, &b);
    assert_int_equal(rmr_ts_record_seal(&a, frame, 4078, &len), RMR_E_INVAL);
    assert_int_equal(rmr_ts_record_seal(&a, frame, 4077, &len), RMR_OK);
    assert_int_equal(len, 4096);
}

static void what_the_callback_says_stops_the_reader(void **state)
{
    (void)state;
    rmr_ts_record a, b;
    sink s = {.say = RMR_E_FULL};
    uint8_t frames[128];
    pair(&a, &b);
    size_t len = seal(&a, frames, "one", 3);
    len += seal(&a, frames + len, "two", 3);
    assert_int_equal(
        rmr_ts_record_read(&b, rmr_buf_of(frames, len), on_plain, &s),
        RMR_E_FULL);
    assert_int_equal(s.len, 3);
}

int main(void)
{
    assert_int_equal(rmr_crypto_init(), RMR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_those_of_the_real_server),
        cmocka_unit_test(any_split_gives_the_same_plaintext),
        cmocka_unit_test(odd_frames_end_the_stream),
        cmocka_unit_test(replays_and_swaps_fail),
        cmocka_unit_test(the_last_counter_is_never_used),
        cmocka_unit_test(a_frame_in_parts_needs_memory),
        cmocka_unit_test(too_much_for_a_record_is_refused),
        cmocka_unit_test(what_the_callback_says_stops_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
