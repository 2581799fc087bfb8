/* The zstd decoder over our allocator (libzstd's static-linking interface:
 * decisions 15). */
#define ZSTD_STATIC_LINKING_ONLY
#include "ctl_zstd.h"

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUT_SIZE 16384

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
