/*
 * remora/ring.h - a byte queue of bounded size.
 *
 * Memory is taken when the first byte is queued, grows by doubling up to `max`
 * and can be given back when empty.  Reads are in place (peek, consume).
 * Threading: one ring, one thread.
 */
#ifndef REMORA_RING_H
#define REMORA_RING_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_ring {
    rmr_alloc alloc;
    uint8_t *buf;
    size_t cap, max;
    size_t head; /* first byte */
    size_t len;
} rmr_ring;

RMR_API void rmr_ring_init(rmr_ring *r, const rmr_alloc *a, size_t max);
RMR_API void rmr_ring_wipe(rmr_ring *r); /* clears and frees */
/** Frees the memory when the ring is empty; else does nothing. */
RMR_API void rmr_ring_shrink(rmr_ring *r);
/** Bytes that rmr_ring_write would take, memory permitting. */
RMR_API size_t rmr_ring_space(const rmr_ring *r);
/** Queues what fits and returns how much.  0 also when memory is short. */
RMR_API size_t rmr_ring_write(rmr_ring *r, rmr_bytes in);
/** Queues all or nothing.  Errors: RMR_E_FULL, RMR_E_NOMEM. */
RMR_API rmr_err rmr_ring_write_all(rmr_ring *r, rmr_bytes in);
/** The first contiguous bytes; good until the next non-const call. */
RMR_API rmr_bytes rmr_ring_peek(const rmr_ring *r);
/** Drops the first n bytes (at most all). */
RMR_API void rmr_ring_consume(rmr_ring *r, size_t n);
/** Copies out and drops up to len bytes; returns how many. */
RMR_API size_t rmr_ring_read(rmr_ring *r, void *dst, size_t len);
/** A contiguous place to write at, of up to `want` bytes (0 when full or out
 *  of memory); follow with rmr_ring_commit. */
RMR_API rmr_buf rmr_ring_reserve(rmr_ring *r, size_t want);
RMR_API void rmr_ring_commit(rmr_ring *r, size_t n);

#ifdef __cplusplus
}
#endif
#endif
