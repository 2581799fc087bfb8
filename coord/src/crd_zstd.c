/* Frames of zstd over our allocator (libzstd's static-linking interface, as the
 * decoder's).  One context serves all streams, one frame at a time; its window
 * is small, for clients decode with as much. */
#define ZSTD_STATIC_LINKING_ONLY
#include "crd_internal.h"

#include <string.h>
#include <zstd.h>

#define LEVEL 1
#define WINDOW_LOG 17

struct crd_zstd {
    rmr_alloc alloc;
    size_t size; /* of this and the context behind it */
    ZSTD_CCtx *ctx;
    uint8_t out[16384];
};

static size_t front(void)
{
    return (sizeof(crd_zstd) + 15) / 16 * 16;
}

rmr_err rmri_crd_zstd_new(crd_zstd **out, const rmr_alloc *a)
{
    ZSTD_compressionParameters p = ZSTD_getCParams(LEVEL, 0, 0);
    p.windowLog = WINDOW_LOG;
    size_t need = ZSTD_estimateCStreamSize_usingCParams(p);
    if (ZSTD_isError(need))
        return RMR_E_NOMEM;
    crd_zstd *z = rmr_alloc_zero(a, front() + need, 16);
    if (!z)
        return RMR_E_NOMEM;
    z->alloc = *a;
    z->size = front() + need;
    z->ctx = ZSTD_initStaticCCtx((uint8_t *)z + front(), need);
    if (!z->ctx ||
        ZSTD_isError(
            ZSTD_CCtx_setParameter(z->ctx, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(
            ZSTD_CCtx_setParameter(z->ctx, ZSTD_c_windowLog, WINDOW_LOG))) {
        rmri_crd_zstd_free(z);
        return RMR_E_NOMEM;
    }
    *out = z;
    return RMR_OK;
}

void rmri_crd_zstd_free(crd_zstd *z)
{
    if (!z)
        return;
    rmr_alloc a = z->alloc;
    rmr_release_wiped(&a, z, z->size);
}

void rmri_crd_zstd_begin(crd_zstd *z)
{
    (void)ZSTD_CCtx_reset(z->ctx, ZSTD_reset_session_only);
}

rmr_err rmri_crd_zstd_feed(crd_zstd *z, rmr_bytes in, bool last, rmr_coord *c,
                           crd_buf *to)
{
    ZSTD_inBuffer from = {in.ptr, in.len, 0};
    size_t left;
    do {
        ZSTD_outBuffer dst = {z->out, sizeof z->out, 0};
        left = ZSTD_compressStream2(z->ctx, &dst, &from,
                                    last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return RMR_E_INTERNAL;
        rmr_err e = rmri_crd_buf_add(c, to, rmr_bytes_of(z->out, dst.pos));
        if (e != RMR_OK)
            return e;
    } while (from.pos < from.size || (last && left > 0));
    return RMR_OK;
}
