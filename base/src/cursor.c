/* Sticky byte cursors. */
#include <remora/cursor.h>

#include "dec_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The next n bytes, or NULL and failed. */
static const uint8_t *take(rmr_rd *r, size_t n)
{
    if (r->failed || n > r->left) {
        r->failed = true;
        r->left = 0;
        return NULL;
    }
    const uint8_t *p = r->p;
    if (n) {
        r->p += n;
        r->left -= n;
    }
    return p;
}

uint8_t rmr_rd_u8(rmr_rd *r)
{
    const uint8_t *p = take(r, 1);
    return p ? p[0] : 0;
}

uint16_t rmr_rd_be16(rmr_rd *r)
{
    const uint8_t *p = take(r, 2);
    return p ? rmr_load_be16(p) : 0;
}

uint32_t rmr_rd_be32(rmr_rd *r)
{
    const uint8_t *p = take(r, 4);
    return p ? rmr_load_be32(p) : 0;
}

uint64_t rmr_rd_be64(rmr_rd *r)
{
    const uint8_t *p = take(r, 8);
    return p ? rmr_load_be64(p) : 0;
}

uint16_t rmr_rd_le16(rmr_rd *r)
{
    const uint8_t *p = take(r, 2);
    return p ? (uint16_t)((uint32_t)p[1] << 8 | p[0]) : 0;
}

uint32_t rmr_rd_le32(rmr_rd *r)
{
    const uint8_t *p = take(r, 4);
    return p ? rmr_load_le32(p) : 0;
}

uint64_t rmr_rd_le64(rmr_rd *r)
{
    const uint8_t *p = take(r, 8);
    return p ? rmr_load_le64(p) : 0;
}

rmr_bytes rmr_rd_bytes(rmr_rd *r, size_t n)
{
    const uint8_t *p = take(r, n);
    return p ? rmr_bytes_of(p, n) : rmr_bytes_of(NULL, 0);
}

void rmr_rd_copy(rmr_rd *r, void *dst, size_t n)
{
    const uint8_t *p = take(r, n);
    if (n == 0)
        return;
    if (p)
        memcpy(dst, p, n);
    else
        memset(dst, 0, n);
}

void rmr_rd_skip(rmr_rd *r, size_t n)
{
    (void)take(r, n);
}

rmr_bytes rmr_rd_rest(rmr_rd *r)
{
    return rmr_rd_bytes(r, r->left);
}

rmr_err rmr_rd_end(const rmr_rd *r)
{
    return r->failed ? RMR_E_MALFORMED : RMR_OK;
}

rmr_err rmr_rd_end_exact(const rmr_rd *r)
{
    return r->failed || r->left ? RMR_E_MALFORMED : RMR_OK;
}

uint8_t *rmr_wr_reserve(rmr_wr *w, size_t n)
{
    if (w->failed || n > w->cap - w->len) {
        w->failed = true;
        return NULL;
    }
    if (n == 0)
        return w->base;
    uint8_t *p = w->base + w->len;
    w->len += n;
    return p;
}

void rmr_wr_u8(rmr_wr *w, uint8_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 1);
    if (p)
        p[0] = v;
}

void rmr_wr_be16(rmr_wr *w, uint16_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 2);
    if (p)
        rmr_store_be16(p, v);
}

void rmr_wr_be32(rmr_wr *w, uint32_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 4);
    if (p)
        rmr_store_be32(p, v);
}

void rmr_wr_be64(rmr_wr *w, uint64_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 8);
    if (p)
        rmr_store_be64(p, v);
}

void rmr_wr_le16(rmr_wr *w, uint16_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 2);
    if (p) {
        p[0] = (uint8_t)v;
        p[1] = (uint8_t)(v >> 8);
    }
}

void rmr_wr_le32(rmr_wr *w, uint32_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 4);
    if (p)
        rmr_store_le32(p, v);
}

void rmr_wr_le64(rmr_wr *w, uint64_t v)
{
    uint8_t *p = rmr_wr_reserve(w, 8);
    if (p)
        rmr_store_le64(p, v);
}

void rmr_wr_bytes(rmr_wr *w, const void *src, size_t n)
{
    uint8_t *p = rmr_wr_reserve(w, n);
    if (p && n)
        memcpy(p, src, n);
}

void rmr_wr_str(rmr_wr *w, const char *s)
{
    rmr_wr_bytes(w, s, strlen(s));
}

void rmr_wr_dec(rmr_wr *w, uint64_t v)
{
    char digits[RMRI_BASE_DEC_MAX];
    rmr_wr_bytes(w, digits, rmri_base_dec(digits, v));
}

void rmr_wr_zero(rmr_wr *w, size_t n)
{
    uint8_t *p = rmr_wr_reserve(w, n);
    if (p && n)
        memset(p, 0, n);
}

void rmr_wr_fmt(rmr_wr *w, const char *fmt, ...)
{
    if (w->failed)
        return;
    /* vsnprintf wants room for a NUL that does not belong into the buffer, so
     * the text is made elsewhere; a long one is made in place, and the NUL
     * falls on a byte that is free yet. */
    char tmp[512];
    va_list ap;
    va_start(ap, fmt);
    int made = vsnprintf(tmp, sizeof tmp, fmt, ap);
    va_end(ap);
    size_t n = (size_t)made;
    if (made < 0 || (n >= sizeof tmp && n >= w->cap - w->len)) {
        w->failed = true;
        return;
    }
    if (n < sizeof tmp) {
        rmr_wr_bytes(w, tmp, n);
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf((char *)w->base + w->len, w->cap - w->len, fmt, ap);
    va_end(ap);
    w->len += n;
}

rmr_err rmr_wr_end(const rmr_wr *w)
{
    return w->failed ? RMR_E_BUFSIZE : RMR_OK;
}
