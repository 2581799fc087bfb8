/* Frames of a few bytes, read without a decoder, beside the decoder. */
#define ZSTD_STATIC_LINKING_ONLY
#include "ctl_zstd.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

typedef struct text {
    char bytes[256];
    size_t len;
} text;

static rmr_err take(void *user, rmr_bytes data)
{
    text *t = user;
    assert_true(t->len + data.len <= sizeof t->bytes);
    memcpy(t->bytes + t->len, data.ptr, data.len);
    t->len += data.len;
    return RMR_OK;
}

/* What the decoder makes of it; false: it is no whole frame. */
static bool decode(rmr_bytes frame, text *out)
{
    rmri_ctl_zstd *z;
    rmr_env env = test_env(NULL, NULL, NULL);
    out->len = 0;
    assert_int_equal(rmri_ctl_zstd_new(&z, &env.alloc), RMR_OK);
    bool ok = rmri_ctl_zstd_feed(z, frame, take, out) == RMR_OK &&
              rmri_ctl_zstd_is_done(z);
    rmri_ctl_zstd_free(z);
    return ok;
}

static void check(rmr_bytes frame)
{
    text t;
    rmr_bytes content;
    if (!rmri_ctl_zstd_is_raw(frame, &content))
        return;
    assert_true(decode(frame, &t));
    assert_int_equal(content.len, t.len);
    assert_memory_equal(content.ptr, t.bytes, t.len);
}

static size_t make(uint8_t *frame, size_t cap, size_t len, bool sum, bool size)
{
    uint8_t src[64];
    for (size_t i = 0; i < len; i++)
        src[i] = (uint8_t)(i * 73 + 5); /* nothing to compress */
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, sum);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, size);
    size_t n = ZSTD_compress2(ctx, frame, cap, src, len);
    assert_false(ZSTD_isError(n));
    ZSTD_freeCCtx(ctx);
    return n;
}

static void short_frames_are_read_as_the_decoder_reads_them(void **state)
{
    (void)state;
    uint8_t frame[128], other[128];
    rmr_bytes content;
    for (size_t len = 0; len <= 40; len++) {
        for (int kind = 0; kind < 4; kind++) {
            size_t n = make(frame, sizeof frame, len, kind & 1, kind & 2);
            rmr_bytes b = rmr_bytes_of(frame, n);
            check(b);
            assert_int_equal(rmri_ctl_zstd_is_raw(b, &content), len <= 31);
            for (size_t cut = 0; cut < n; cut++)
                assert_false(
                    rmri_ctl_zstd_is_raw(rmr_bytes_of(frame, cut), &content));
            memcpy(other, frame, n);
            other[n] = 0;
            assert_false(
                rmri_ctl_zstd_is_raw(rmr_bytes_of(other, n + 1), &content));
        }
    }
}

/* Whatever else a frame says: where we take it, the decoder does too. */
static void no_changed_frame_is_taken_that_the_decoder_refuses(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 3, 4, 8, 18, 31};
    uint8_t frame[128];
    for (size_t k = 0; k < sizeof lens / sizeof *lens; k++) {
        for (int kind = 0; kind < 4; kind++) {
            size_t n = make(frame, sizeof frame, lens[k], kind & 1, kind & 2);
            for (size_t bit = 0; bit < 8 * n; bit++) {
                frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
                check(rmr_bytes_of(frame, n));
                frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            for (unsigned v = 0; v < 256; v++) {
                uint8_t was = frame[5]; /* a window, or a length */
                frame[5] = (uint8_t)v;
                check(rmr_bytes_of(frame, n));
                frame[5] = was;
            }
        }
    }
}

/* ---- one for many clients ------------------------------------------------ */

static size_t pack(uint8_t *frame, size_t cap, const char *s, int window_log)
{
    size_t len = strlen(s);
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_inBuffer in = {s, len, 0};
    ZSTD_outBuffer out = {frame, cap, 0};
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log);
    /* In two steps, so that the frame says a window and no size. */
    (void)ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_flush);
    assert_int_equal(ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(ctx);
    return out.pos;
}

static void read_one(rmr_ctl_decoder *d, rmr_bytes frame, const char *want)
{
    rmri_ctl_zstd *z;
    text t = {.len = 0};
    assert_int_equal(rmri_ctl_zstd_borrow(&z, d), RMR_OK);
    assert_int_equal(rmri_ctl_zstd_feed(z, frame, take, &t), RMR_OK);
    assert_true(rmri_ctl_zstd_is_done(z));
    assert_int_equal(t.len, strlen(want));
    assert_memory_equal(t.bytes, want, t.len);
    rmri_ctl_zstd_return(z, d);
}

static void a_decoder_is_made_once_and_read_by_many(void **state)
{
    (void)state;
    static const char one[] = "one one one one one", two[] = "two two two two";
    uint8_t a[128], b[128];
    test_alloc heap = {0};
    rmr_env env = test_env(&heap, NULL, NULL);
    rmr_ctl_decoder *d;
    rmri_ctl_zstd *x, *y;
    text t = {.len = 0}, u = {.len = 0};
    size_t na = pack(a, sizeof a, one, 17), nb = pack(b, sizeof b, two, 17);
    assert_int_equal(rmr_ctl_decoder_new(&d, &env), RMR_OK);
    read_one(d, rmr_bytes_of(a, na), one);
    size_t calls = heap.calls;
    read_one(d, rmr_bytes_of(b, nb), two);
    read_one(d, rmr_bytes_of(a, na), one);
    assert_int_equal(heap.calls, calls);
    /* One within the other. */
    assert_int_equal(rmri_ctl_zstd_borrow(&x, d), RMR_OK);
    assert_int_equal(rmri_ctl_zstd_feed(x, rmr_bytes_of(a, 9), take, &t),
                     RMR_OK);
    assert_int_equal(rmri_ctl_zstd_borrow(&y, d), RMR_OK);
    assert_int_equal(rmri_ctl_zstd_feed(y, rmr_bytes_of(b, nb), take, &u),
                     RMR_OK);
    assert_int_equal(
        rmri_ctl_zstd_feed(x, rmr_bytes_of(a + 9, na - 9), take, &t), RMR_OK);
    assert_int_equal(t.len, strlen(one));
    assert_int_equal(u.len, strlen(two));
    rmri_ctl_zstd_return(y, d);
    rmri_ctl_zstd_return(x, d);
    rmr_ctl_decoder_free(d);
    assert_int_equal(heap.live_blocks, 0);
}

/* Cut short or broken: the next frame knows nothing of it. */
static void a_decoder_comes_back_whatever_became_of_its_frame(void **state)
{
    (void)state;
    static const char one[] = "one one one one one";
    uint8_t a[128], broken[128];
    test_alloc heap = {0};
    rmr_env env = test_env(&heap, NULL, NULL);
    rmr_ctl_decoder *d;
    size_t n = pack(a, sizeof a, one, 17);
    assert_int_equal(rmr_ctl_decoder_new(&d, &env), RMR_OK);
    for (size_t cut = 0; cut <= n; cut++) {
        rmri_ctl_zstd *z;
        text t = {.len = 0};
        assert_int_equal(rmri_ctl_zstd_borrow(&z, d), RMR_OK);
        (void)rmri_ctl_zstd_feed(z, rmr_bytes_of(a, cut), take, &t);
        rmri_ctl_zstd_return(z, d);
        read_one(d, rmr_bytes_of(a, n), one);
        memcpy(broken, a, n);
        broken[cut % n] ^= 0x55;
        t.len = 0;
        assert_int_equal(rmri_ctl_zstd_borrow(&z, d), RMR_OK);
        (void)rmri_ctl_zstd_feed(z, rmr_bytes_of(broken, n), take, &t);
        rmri_ctl_zstd_return(z, d);
        read_one(d, rmr_bytes_of(a, n), one);
    }
    rmr_ctl_decoder_free(d);
    assert_int_equal(heap.live_blocks, 0);
}

static void a_large_window_goes_with_its_frame(void **state)
{
    (void)state;
    static const char one[] = "one one one one one";
    uint8_t small[128], large[128];
    test_alloc heap = {0};
    rmr_env env = test_env(&heap, NULL, NULL);
    rmr_ctl_decoder *d;
    size_t ns = pack(small, sizeof small, one, 17);
    size_t nl = pack(large, sizeof large, one, RMRI_CTL_WINDOW_LOG);
    assert_int_equal(rmr_ctl_decoder_new(&d, &env), RMR_OK);
    read_one(d, rmr_bytes_of(large, nl), one);
    assert_true(heap.peak_bytes >= (size_t)1 << RMRI_CTL_WINDOW_LOG);
    assert_int_equal(heap.live_blocks, 1);
    read_one(d, rmr_bytes_of(small, ns), one);
    assert_true(heap.live_blocks > 1);
    assert_true(heap.live_bytes <= (size_t)1 << 20);
    rmr_ctl_decoder_free(d);
    assert_int_equal(heap.live_blocks, 0);
}

static void without_memory_a_frame_is_refused_and_the_next_one_read(void **st)
{
    (void)st;
    static const char one[] = "one one one one one";
    uint8_t a[128];
    size_t n = pack(a, sizeof a, one, 17);
    bool done = false;
    for (size_t fail = 1; !done; fail++) {
        test_alloc heap = {.fail_at = fail};
        rmr_env env = test_env(&heap, NULL, NULL);
        rmr_ctl_decoder *d;
        rmri_ctl_zstd *z;
        text t = {.len = 0};
        rmr_err e = rmr_ctl_decoder_new(&d, &env);
        if (!e && !(e = rmri_ctl_zstd_borrow(&z, d))) {
            e = rmri_ctl_zstd_feed(z, rmr_bytes_of(a, n), take, &t);
            rmri_ctl_zstd_return(z, d);
        }
        assert_int_equal(e, heap.failed ? RMR_E_NOMEM : RMR_OK);
        done = !heap.failed;
        heap.fail_at = 0;
        if (d)
            read_one(d, rmr_bytes_of(a, n), one);
        rmr_ctl_decoder_free(d);
        assert_int_equal(heap.live_blocks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_frames_are_read_as_the_decoder_reads_them),
        cmocka_unit_test(no_changed_frame_is_taken_that_the_decoder_refuses),
        cmocka_unit_test(a_decoder_is_made_once_and_read_by_many),
        cmocka_unit_test(a_decoder_comes_back_whatever_became_of_its_frame),
        cmocka_unit_test(a_large_window_goes_with_its_frame),
        cmocka_unit_test(
            without_memory_a_frame_is_refused_and_the_next_one_read),
    };
    return cmocka_run_group_tests_name("control.ctl_zstd", tests, NULL, NULL);
}
