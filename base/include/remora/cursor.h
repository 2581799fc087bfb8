/*
 * remora/cursor.h - byte cursors that can't overrun.
 *
 * A reader walks borrowed bytes, a writer fills a borrowed buffer.  Both are
 * sticky: after the first overrun every read gives zero or no bytes, every
 * write does nothing, and `failed` stays true, so that a codec checks once at
 * its end.  BE is network order, LE little-endian (WireGuard).
 *
 * The structs are caller-owned; their fields are for looking only.
 *
 * It knows no format: lengths, types and versions are the codec's business.
 *
 * Source: RFC 1700, data notation (network order).
 * Threading: one cursor, one thread.  Memory: none.  Time: none.
 *
 *     rmr_rd r = rmr_rd_of(datagram);
 *     m->type = rmr_rd_u8(&r);
 *     m->port = rmr_rd_be16(&r);
 *     rmr_rd_copy(&r, m->key, sizeof m->key);
 *     m->rest = rmr_rd_rest(&r);
 *     return rmr_rd_end(&r);
 */
#ifndef REMORA_CURSOR_H
#define REMORA_CURSOR_H

#include <remora/base.h>

#include <string.h>

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

/** A reader over borrowed bytes.
 *  Effects: none.  Errors: none.  Source: none. */
static inline rmr_rd rmr_rd_of(rmr_bytes in)
{
    rmr_rd r;
    r.p = in.ptr;
    r.left = in.len;
    r.failed = false;
    return r;
}

/** The next byte.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: none. */
RMR_API uint8_t rmr_rd_u8(rmr_rd *r);
/** The next 2 bytes in network order.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: RFC 1700. */
RMR_API uint16_t rmr_rd_be16(rmr_rd *r);
/** The next 4 bytes in network order.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: RFC 1700. */
RMR_API uint32_t rmr_rd_be32(rmr_rd *r);
/** The next 8 bytes in network order.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: RFC 1700. */
RMR_API uint64_t rmr_rd_be64(rmr_rd *r);
/** The next 2 bytes, lowest first.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: none. */
RMR_API uint16_t rmr_rd_le16(rmr_rd *r);
/** The next 4 bytes, lowest first.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: none. */
RMR_API uint32_t rmr_rd_le32(rmr_rd *r);
/** The next 8 bytes, lowest first.
 *  Effects: moves on.  Errors: 0 and failed when short.  Source: none. */
RMR_API uint64_t rmr_rd_le64(rmr_rd *r);
/** The next n bytes, borrowed from the input.
 *  Effects: moves on.  Errors: no bytes and failed when short.
 *  Source: contract M1. */
RMR_API rmr_bytes rmr_rd_bytes(rmr_rd *r, size_t n);
/** Copies the next n bytes.
 *  Effects: moves on.  Errors: n zeros and failed when short.
 *  Source: none. */
RMR_API void rmr_rd_copy(rmr_rd *r, void *dst, size_t n);
/** Passes over n bytes.
 *  Effects: moves on.  Errors: failed when short.  Source: none. */
RMR_API void rmr_rd_skip(rmr_rd *r, size_t n);
/** All that is left, borrowed from the input.
 *  Effects: moves to the end.  Errors: no bytes after an overrun.
 *  Source: contract M1. */
RMR_API rmr_bytes rmr_rd_rest(rmr_rd *r);
/** Whether all reads were within the input.                           [look]
 *  Effects: none.  Errors: MALFORMED after an overrun.  Source: none. */
RMR_API rmr_err rmr_rd_end(const rmr_rd *r);
/** The same, and that nothing is left over.                           [look]
 *  Effects: none.  Errors: MALFORMED.  Source: none. */
RMR_API rmr_err rmr_rd_end_exact(const rmr_rd *r);

/** A writer into a borrowed buffer.
 *  Effects: none.  Errors: none.  Source: none. */
static inline rmr_wr rmr_wr_of(rmr_buf out)
{
    rmr_wr w;
    w.base = out.ptr;
    w.cap = out.len;
    w.len = 0;
    w.failed = false;
    return w;
}

/** A byte.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_u8(rmr_wr *w, uint8_t v);
/** 2 bytes in network order.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: RFC 1700. */
RMR_API void rmr_wr_be16(rmr_wr *w, uint16_t v);
/** 4 bytes in network order.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: RFC 1700. */
RMR_API void rmr_wr_be32(rmr_wr *w, uint32_t v);
/** 8 bytes in network order.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: RFC 1700. */
RMR_API void rmr_wr_be64(rmr_wr *w, uint64_t v);
/** 2 bytes, lowest first.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_le16(rmr_wr *w, uint16_t v);
/** 4 bytes, lowest first.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_le32(rmr_wr *w, uint32_t v);
/** 8 bytes, lowest first.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_le64(rmr_wr *w, uint64_t v);
/** Decimal digits.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_dec(rmr_wr *w, uint64_t v);
/** n bytes; src may be NULL when n is 0.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_bytes(rmr_wr *w, const void *src, size_t n);
/** A C string without its NUL.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_str(rmr_wr *w, const char *s);
/** n zeros.
 *  Effects: appends.  Errors: nothing written and failed when out of room.
 *  Source: none. */
RMR_API void rmr_wr_zero(rmr_wr *w, size_t n);
/** Room for n bytes to be filled by the caller.
 *  Effects: appends.  Errors: NULL and failed when out of room (n of 0 can
 *  also give NULL: there is nothing to fill).
 *  Source: none. */
RMR_API uint8_t *rmr_wr_reserve(rmr_wr *w, size_t n);
/** printf into the buffer, without a NUL.  A text above 511 bytes needs one
 *  byte of room more than it has.
 *  Effects: appends.  Errors: nothing counted and failed when out of room.
 *  Source: C11 7.21.6.12. */
RMR_API void rmr_wr_fmt(rmr_wr *w, const char *fmt, ...) RMR_PRINTF(2, 3);
/** Whether all writes fitted.                                         [look]
 *  Effects: none.  Errors: BUFSIZE after an overrun.  Source: none. */
RMR_API rmr_err rmr_wr_end(const rmr_wr *w);

/* Unaligned loads and stores for code that has checked its bounds itself. */
/** 2 bytes at p, network order.                                      [look]
 *  Effects: none.  Errors: none.  Source: RFC 1700. */
static inline uint16_t rmr_load_be16(const uint8_t *p)
{
    return (uint16_t)((uint32_t)p[0] << 8 | p[1]);
}
/** 4 bytes at p, network order.                                      [look]
 *  Effects: none.  Errors: none.  Source: RFC 1700. */
static inline uint32_t rmr_load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}
/** 8 bytes at p, network order.                                      [look]
 *  Effects: none.  Errors: none.  Source: RFC 1700. */
static inline uint64_t rmr_load_be64(const uint8_t *p)
{
    return (uint64_t)rmr_load_be32(p) << 32 | rmr_load_be32(p + 4);
}
/** 4 bytes at p, lowest first.                                       [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline uint32_t rmr_load_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 |
           p[0];
}
/** 8 bytes at p, lowest first.                                       [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline uint64_t rmr_load_le64(const uint8_t *p)
{
    return (uint64_t)rmr_load_le32(p + 4) << 32 | rmr_load_le32(p);
}
/** 2 bytes to p, network order.
 *  Effects: on p.  Errors: none.  Source: RFC 1700. */
static inline void rmr_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
/** 4 bytes to p, network order.
 *  Effects: on p.  Errors: none.  Source: RFC 1700. */
static inline void rmr_store_be32(uint8_t *p, uint32_t v)
{
    /* By way of an array: compilers make one swapped store of this. */
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16),
                          (uint8_t)(v >> 8), (uint8_t)v};
    memcpy(p, b, sizeof b);
}
/** 8 bytes to p, network order.
 *  Effects: on p.  Errors: none.  Source: RFC 1700. */
static inline void rmr_store_be64(uint8_t *p, uint64_t v)
{
    const uint8_t b[8] = {(uint8_t)(v >> 56), (uint8_t)(v >> 48),
                          (uint8_t)(v >> 40), (uint8_t)(v >> 32),
                          (uint8_t)(v >> 24), (uint8_t)(v >> 16),
                          (uint8_t)(v >> 8),  (uint8_t)v};
    memcpy(p, b, sizeof b);
}
/** 4 bytes to p, lowest first.
 *  Effects: on p.  Errors: none.  Source: none. */
static inline void rmr_store_le32(uint8_t *p, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                          (uint8_t)(v >> 24)};
    memcpy(p, b, sizeof b);
}
/** 8 bytes to p, lowest first.
 *  Effects: on p.  Errors: none.  Source: none. */
static inline void rmr_store_le64(uint8_t *p, uint64_t v)
{
    const uint8_t b[8] = {(uint8_t)v,         (uint8_t)(v >> 8),
                          (uint8_t)(v >> 16), (uint8_t)(v >> 24),
                          (uint8_t)(v >> 32), (uint8_t)(v >> 40),
                          (uint8_t)(v >> 48), (uint8_t)(v >> 56)};
    memcpy(p, b, sizeof b);
}

#ifdef __cplusplus
}
#endif
#endif
