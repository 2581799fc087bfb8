/* The zstd decoder over our allocator (libzstd's static-linking interface:
 * decisions 15). */
#define ZSTD_STATIC_LINKING_ONLY
#include "ctl_zstd.h"

#include <remora/cursor.h>

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUT_SIZE 16384
#define FEW 31 /* bytes that are decoded without a decoder */

struct rmri_ctl_zstd {
    rmr_alloc alloc;
    ZSTD_DStream *stream;
    bool done;
    uint8_t out[OUT_SIZE];
};

/* libzstd gives memory back without its size, so that stands in front. */
typedef union block_head {
    size_t size;
    uint8_t room[16];
} block_head;

static void *z_alloc(void *opaque, size_t size)
{
    const rmr_alloc *a = (const rmr_alloc *)opaque;
    if (size > SIZE_MAX - sizeof(block_head))
        return NULL;
    size += sizeof(block_head);
    uint8_t *p = (uint8_t *)a->alloc(a->user, size, 16);
    if (!p)
        return NULL;
    block_head h = {.size = size};
    memcpy(p, &h, sizeof h);
    return p + sizeof h;
}

static void z_free(void *opaque, void *address)
{
    const rmr_alloc *a = (const rmr_alloc *)opaque;
    block_head h;
    if (!address)
        return;
    uint8_t *p = (uint8_t *)address - sizeof h;
    memcpy(&h, p, sizeof h);
    a->release(a->user, p, h.size);
}

rmr_err rmri_ctl_zstd_new(rmri_ctl_zstd **out, const rmr_alloc *a)
{
    rmri_ctl_zstd *z = rmr_alloc_raw(a, sizeof *z, _Alignof(rmri_ctl_zstd));
    if (!z)
        return RMR_E_NOMEM;
    z->stream = NULL;
    z->done = false;
    z->alloc = *a;
    ZSTD_customMem mem = {z_alloc, z_free, &z->alloc};
    z->stream = ZSTD_createDStream_advanced(mem);
    if (!z->stream ||
        ZSTD_isError(ZSTD_DCtx_setParameter(z->stream, ZSTD_d_windowLogMax,
                                            RMRI_CTL_WINDOW_LOG))) {
        rmri_ctl_zstd_free(z);
        return RMR_E_NOMEM;
    }
    *out = z;
    return RMR_OK;
}

void rmri_ctl_zstd_free(rmri_ctl_zstd *z)
{
    if (!z)
        return;
    rmr_alloc a = z->alloc;
    (void)ZSTD_freeDStream(z->stream);
    rmr_release(&a, z, sizeof *z);
}

/* ---- one for many clients ------------------------------------------------- */

/* A decoder and a window of 512 KiB with its margin.  What is more is given
 * back as it would be without sharing. */
#define KEEP_MAX ((size_t)1 << 20)

struct rmr_ctl_decoder {
    rmr_alloc alloc;
    rmri_ctl_zstd *idle; /* NULL: none yet, or lent */
};

rmr_err rmr_ctl_decoder_new(rmr_ctl_decoder **out, const rmr_env *env)
{
    rmr_ctl_decoder *d =
        rmr_alloc_raw(&env->alloc, sizeof *d, _Alignof(rmr_ctl_decoder));
    *out = d;
    if (!d)
        return RMR_E_NOMEM;
    d->alloc = env->alloc;
    d->idle = NULL;
    return RMR_OK;
}

void rmr_ctl_decoder_free(rmr_ctl_decoder *d)
{
    if (!d)
        return;
    rmr_alloc a = d->alloc;
    rmri_ctl_zstd_free(d->idle);
    rmr_release(&a, d, sizeof *d);
}

rmr_err rmri_ctl_zstd_borrow(rmri_ctl_zstd **out, rmr_ctl_decoder *d)
{
    if (!d->idle)
        return rmri_ctl_zstd_new(out, &d->alloc);
    *out = d->idle;
    d->idle = NULL;
    return RMR_OK;
}

void rmri_ctl_zstd_return(rmri_ctl_zstd *z, rmr_ctl_decoder *d)
{
    if (!z)
        return;
    size_t code = ZSTD_DCtx_reset(z->stream, ZSTD_reset_session_only);
    if (d->idle || ZSTD_isError(code) ||
        ZSTD_sizeof_DStream(z->stream) > KEEP_MAX) {
        rmri_ctl_zstd_free(z);
        return;
    }
    z->done = false;
    d->idle = z;
}

/* ---- frames of a few bytes ------------------------------------------------ */

/* XXH64 of at most FEW bytes, without a seed (its specification: steps 1 for
 * short input, 5 and 6). */
static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static uint64_t xxh64(rmr_bytes b)
{
    static const uint64_t p1 = 0x9e3779b185ebca87, p2 = 0xc2b2ae3d27d4eb4f,
                          p3 = 0x165667b19e3779f9, p4 = 0x85ebca77c2b2ae63,
                          p5 = 0x27d4eb2f165667c5;
    rmr_rd r = rmr_rd_of(b);
    uint64_t h = p5 + b.len;
    while (r.left >= 8) {
        h ^= rotl(rmr_rd_le64(&r) * p2, 31) * p1;
        h = rotl(h, 27) * p1 + p4;
    }
    if (r.left >= 4)
        h = rotl(h ^ rmr_rd_le32(&r) * p1, 23) * p2 + p3;
    while (r.left)
        h = rotl(h ^ rmr_rd_u8(&r) * p5, 11) * p1;
    h = (h ^ h >> 33) * p2;
    h = (h ^ h >> 29) * p3;
    return h ^ h >> 32;
}

/* RFC 8878 3.1.1.  What is odd is left to the decoder's judgement. */
bool rmri_ctl_zstd_is_raw(rmr_bytes frame, rmr_bytes *content)
{
    rmr_rd r = rmr_rd_of(frame);
    uint32_t magic = rmr_rd_le32(&r);
    uint8_t what = rmr_rd_u8(&r);
    bool is_single = what & 0x20, has_sum = what & 4;
    uint32_t size = 0;
    /* No dictionary, and a length of one byte where there is one. */
    if (magic != ZSTD_MAGICNUMBER || what & 0xdb)
        return false;
    if (is_single)
        size = rmr_rd_u8(&r);
    else if (rmr_rd_u8(&r) >> 3 > RMRI_CTL_WINDOW_LOG - 10 - 1)
        return false;
    uint32_t block = rmr_rd_le16(&r);
    block |= (uint32_t)rmr_rd_u8(&r) << 16;
    uint32_t len = block >> 3;
    if ((block & 7) != 1 || len > FEW || (is_single && len != size))
        return false; /* not the last block, or compressed */
    *content = rmr_rd_bytes(&r, len);
    uint32_t sum = has_sum ? rmr_rd_le32(&r) : 0;
    return rmr_rd_end_exact(&r) == RMR_OK &&
           (!has_sum || sum == (uint32_t)xxh64(*content));
}

/* ---- all others ----------------------------------------------------------- */

static rmr_err err_of(size_t code)
{
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
        return RMR_E_NOMEM;
    case ZSTD_error_frameParameter_windowTooLarge:
        return RMR_E_TOOBIG;
    default:
        return RMR_E_MALFORMED;
    }
}

rmr_err rmri_ctl_zstd_feed(rmri_ctl_zstd *z, rmr_bytes in,
                           rmri_ctl_zstd_out out, void *user)
{
    ZSTD_inBuffer i = {in.ptr, in.len, 0};
    for (;;) {
        ZSTD_outBuffer o = {z->out, sizeof z->out, 0};
        if (z->done)
            return i.pos < i.size ? RMR_E_MALFORMED : RMR_OK;
        size_t left = ZSTD_decompressStream(z->stream, &o, &i);
        if (ZSTD_isError(left))
            return err_of(left);
        z->done = left == 0;
        rmr_err e = o.pos ? out(user, rmr_bytes_of(z->out, o.pos)) : RMR_OK;
        if (e)
            return e;
        /* All taken, and nothing held back for want of room. */
        if (!z->done && i.pos == i.size && o.pos < o.size)
            return RMR_OK;
    }
}

bool rmri_ctl_zstd_is_done(const rmri_ctl_zstd *z)
{
    return z->done;
}
