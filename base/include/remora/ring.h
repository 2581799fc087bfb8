/*
 * remora/ring.h - a byte queue of bounded size.
 *
 * Memory is taken when the first byte is queued, grows by doubling up to `max`
 * and can be given back when empty.  Reads are in place (peek, consume).
 * Memory that it leaves behind is cleared first: queued bytes can be plaintext.
 *
 * Source: contract B1 (every queue has a limit).
 * Threading: one ring, one thread.  Time: none.
 * Memory: from rmr_alloc; 256 bytes at first, never above `max`, and for a
 * moment both buffers while it grows.
 *
 *     rmr_ring_init(&r, &env.alloc, 65536);
 *     taken = rmr_ring_write(&r, bytes);
 *     while ((b = rmr_ring_peek(&r)).len) {
 *         size_t n = send_some(b);
 *         if (n == 0) break;
 *         rmr_ring_consume(&r, n);
 *     }
 *     rmr_ring_shrink(&r);
 *     ...
 *     rmr_ring_wipe(&r);
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

/** An empty ring of at most `max` bytes.  Takes no memory yet.
 *  Effects: on *r.  Errors: none.  Source: contract B1. */
RMR_API void rmr_ring_init(rmr_ring *r, const rmr_alloc *a, size_t max);
/** Drops what is queued, clears and frees the memory; the ring can be used on.
 *  Effects: as said.  Errors: none.  Source: contract S2. */
RMR_API void rmr_ring_wipe(rmr_ring *r);
/** Frees the memory when the ring is empty; else does nothing.
 *  Effects: as said.  Errors: none.  Source: none. */
RMR_API void rmr_ring_shrink(rmr_ring *r);
/** Bytes that rmr_ring_write would take, memory permitting.           [look]
 *  Effects: none.  Errors: none.  Source: contract B1. */
RMR_API size_t rmr_ring_space(const rmr_ring *r);
/** Queues what fits and returns how much.
 *  Effects: may grow the memory.
 *  Errors: less than in.len, when full or out of memory.
 *  Source: contract, stream layers. */
RMR_API size_t rmr_ring_write(rmr_ring *r, rmr_bytes in);
/** Queues all or nothing.
 *  Effects: may grow the memory.  Errors: FULL, NOMEM; nothing is queued then.
 *  Source: contract M2. */
RMR_API rmr_err rmr_ring_write_all(rmr_ring *r, rmr_bytes in);
/** The first contiguous bytes; none only when the ring is empty.      [look]
 *  Effects: none.  Errors: none.
 *  Lifetime: good until the next non-const call.  Source: contract M1. */
RMR_API rmr_bytes rmr_ring_peek(const rmr_ring *r);
/** Drops the first n bytes (at most all).
 *  Effects: as said; no memory is given back.  Errors: none.
 *  Source: none. */
RMR_API void rmr_ring_consume(rmr_ring *r, size_t n);
/** Copies out and drops up to len bytes; returns how many.
 *  Effects: as said.  Errors: none; 0 when empty.  Source: none. */
RMR_API size_t rmr_ring_read(rmr_ring *r, void *dst, size_t len);
/** A contiguous place to write at, of up to `want` bytes; follow with
 *  rmr_ring_commit.  It can be shorter than the space; ask again after that.
 *  Effects: may grow the memory.
 *  Errors: no room (len 0) when full or out of memory.
 *  Lifetime: good until the next non-const call.  Source: contract M1. */
RMR_API rmr_buf rmr_ring_reserve(rmr_ring *r, size_t want);
/** Queues the first n bytes of the place that was reserved last.
 *  Effects: as said.  Errors: none; n beyond the memory is cut.
 *  Source: none. */
RMR_API void rmr_ring_commit(rmr_ring *r, size_t n);

#ifdef __cplusplus
}
#endif
#endif
