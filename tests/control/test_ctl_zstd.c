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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_frames_are_read_as_the_decoder_reads_them),
        cmocka_unit_test(no_changed_frame_is_taken_that_the_decoder_refuses),
    };
    return cmocka_run_group_tests_name("control.ctl_zstd", tests, NULL, NULL);
}
