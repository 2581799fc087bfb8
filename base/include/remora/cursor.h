/*
 * remora/cursor.h - byte cursors that can't overrun.
 *
 * A reader walks borrowed bytes, a writer fills a borrowed buffer.  Both are
 * sticky: after the first overrun every read gives zero or no bytes, every
 * write does nothing, and `failed` stays true, so that a codec checks once at
 * its end.  BE is network order, LE little-endian (WireGuard).
 *
 * The structs are caller-owned; their fields are for looking only.
 */
#ifndef REMORA_CURSOR_H
#define REMORA_CURSOR_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_rd {
    const uint8_t *p;
    size_t left;
    bool failed;
} rmr_rd;

typedef struct rmr_wr {
    uint8_t *base;
    size_t cap;
    size_t len; /* bytes written so far */
    bool failed;
} rmr_wr;

static inline rmr_rd rmr_rd_of(rmr_bytes in)
{
    rmr_rd r;
    r.p = in.ptr;
    r.left = in.len;
    r.failed = false;
    return r;
}

RMR_API uint8_t rmr_rd_u8(rmr_rd *r);
RMR_API uint16_t rmr_rd_be16(rmr_rd *r);
RMR_API uint32_t rmr_rd_be32(rmr_rd *r);
RMR_API uint64_t rmr_rd_be64(rmr_rd *r);
RMR_API uint16_t rmr_rd_le16(rmr_rd *r);
RMR_API uint32_t rmr_rd_le32(rmr_rd *r);
RMR_API uint64_t rmr_rd_le64(rmr_rd *r);
/** The next n bytes, borrowed from the input; none and failed when short. */
RMR_API rmr_bytes rmr_rd_bytes(rmr_rd *r, size_t n);
/** Copies the next n bytes; zeros and failed when short. */
RMR_API void rmr_rd_copy(rmr_rd *r, void *dst, size_t n);
RMR_API void rmr_rd_skip(rmr_rd *r, size_t n);
/** All that is left. */
RMR_API rmr_bytes rmr_rd_rest(rmr_rd *r);
/** RMR_OK, or RMR_E_MALFORMED after an overrun. */
RMR_API rmr_err rmr_rd_end(const rmr_rd *r);
/** The same, and RMR_E_MALFORMED also when bytes are left over. */
RMR_API rmr_err rmr_rd_end_exact(const rmr_rd *r);

static inline rmr_wr rmr_wr_of(rmr_buf out)
{
    rmr_wr w;
    w.base = out.ptr;
    w.cap = out.len;
    w.len = 0;
    w.failed = false;
    return w;
}

RMR_API void rmr_wr_u8(rmr_wr *w, uint8_t v);
RMR_API void rmr_wr_be16(rmr_wr *w, uint16_t v);
RMR_API void rmr_wr_be32(rmr_wr *w, uint32_t v);
RMR_API void rmr_wr_be64(rmr_wr *w, uint64_t v);
RMR_API void rmr_wr_le16(rmr_wr *w, uint16_t v);
RMR_API void rmr_wr_le32(rmr_wr *w, uint32_t v);
RMR_API void rmr_wr_le64(rmr_wr *w, uint64_t v);
RMR_API void rmr_wr_bytes(rmr_wr *w, const void *src, size_t n);
RMR_API void rmr_wr_str(rmr_wr *w, const char *s); /* without its NUL */
RMR_API void rmr_wr_zero(rmr_wr *w, size_t n);
/** Room for n bytes to be filled by the caller; NULL and failed when short. */
RMR_API uint8_t *rmr_wr_reserve(rmr_wr *w, size_t n);
/** printf into the buffer, without a NUL. */
RMR_API void rmr_wr_fmt(rmr_wr *w, const char *fmt, ...) RMR_PRINTF(2, 3);
/** RMR_OK, or RMR_E_BUFSIZE after an overrun. */
RMR_API rmr_err rmr_wr_end(const rmr_wr *w);

/* Unaligned loads and stores for code that has checked its bounds itself. */
static inline uint16_t rmr_load_be16(const uint8_t *p)
{
    return (uint16_t)((uint32_t)p[0] << 8 | p[1]);
}
static inline uint32_t rmr_load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}
static inline uint64_t rmr_load_be64(const uint8_t *p)
{
    return (uint64_t)rmr_load_be32(p) << 32 | rmr_load_be32(p + 4);
}
static inline uint32_t rmr_load_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 |
           p[0];
}
static inline uint64_t rmr_load_le64(const uint8_t *p)
{
    return (uint64_t)rmr_load_le32(p + 4) << 32 | rmr_load_le32(p);
}
static inline void rmr_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void rmr_store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void rmr_store_be64(uint8_t *p, uint64_t v)
{
    rmr_store_be32(p, (uint32_t)(v >> 32));
    rmr_store_be32(p + 4, (uint32_t)v);
}
static inline void rmr_store_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void rmr_store_le64(uint8_t *p, uint64_t v)
{
    rmr_store_le32(p, (uint32_t)v);
    rmr_store_le32(p + 4, (uint32_t)(v >> 32));
}

#ifdef __cplusplus
}
#endif
#endif
