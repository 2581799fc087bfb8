/*
 * remora/handle.h - slots with generations.
 *
 * A handle is a 64-bit value: generation in the high half, index + 1 in the
 * low half; 0 is never a valid handle.  A freed slot's old handles are refused,
 * so stale use is an error and not a crash (contract M3).
 *
 * Slots are of one size, kept in chunks that never move, so that a pointer
 * stays good until its slot is freed; memory grows up to `max` slots.
 *
 * A generation comes round after 2^32 uses of one slot; until then no handle is
 * ever given twice.
 *
 * Source: contract M3.
 * Threading: one table, one thread.  Time: none.
 * Memory: chunks of up to 64 items and about 1 KiB, from rmr_alloc; 16 bytes an
 * item on top of its own size, rounded up to the strictest alignment.
 *
 *     rmr_slots peers;
 *     uint64_t id;
 *     if (rmr_slots_init(&peers, &env.alloc, sizeof(struct peer), 99)) fail();
 *     struct peer *p = rmr_slots_new(&peers, &id);
 *     if (!p) return RMR_E_NOMEM;
 *     ...
 *     p = rmr_slots_get(&peers, id);
 *     if (!p) return RMR_E_BADHANDLE;
 *     rmr_slots_free(&peers, id);
 *     rmr_slots_wipe(&peers);
 */
#ifndef REMORA_HANDLE_H
#define REMORA_HANDLE_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_slots {
    rmr_alloc alloc;
    void **chunks;
    uint32_t item_size; /* with header, rounded up */
    uint32_t user_size;
    uint32_t n_chunks, cap_chunks;
    uint32_t free_head; /* index + 1, 0 for none */
    uint32_t used, max;
    uint32_t chunk_shift; /* a chunk holds 1 << this */
} rmr_slots;

/** For up to `max` items of `item_size` bytes.  Takes no memory yet.
 *  Effects: on *s.  Errors: INVAL for a size of 0 or above 1 GiB.
 *  Source: contract M3. */
RMR_API rmr_err rmr_slots_init(rmr_slots *s, const rmr_alloc *a,
                               size_t item_size, uint32_t max);
/** Clears and frees all items and the table's memory; the table takes nothing
 *  any more until it is initialised again.
 *  Effects: all handles are void.  Errors: none.  Source: contract S2. */
RMR_API void rmr_slots_wipe(rmr_slots *s);
/** A zeroed item, and its handle in *handle.
 *  Effects: may take a chunk.
 *  Errors: NULL when all `max` are in use, or without memory; unchanged.
 *  Lifetime: the item stays where it is until it is freed.
 *  Source: contract M2, M3. */
RMR_API void *rmr_slots_new(rmr_slots *s, uint64_t *handle);
/** The item of a handle.                                              [look]
 *  Effects: none.  Errors: NULL when the handle is stale or was never given.
 *  Source: contract M3. */
RMR_API void *rmr_slots_get(const rmr_slots *s, uint64_t handle);
/** Clears the item and frees its slot; stale handles do nothing.
 *  Effects: the handle is void.  Errors: none.  Source: contract M3, S2. */
RMR_API void rmr_slots_free(rmr_slots *s, uint64_t handle);
/** Walks the used slots in index order: start with *pos = 0.          [look]
 *  \param handle  Of the item; may be NULL.
 *  Items may be freed while walking; one that is added may be met or not.
 *  Effects: moves *pos on.  Errors: NULL at the end.  Source: contract D1. */
RMR_API void *rmr_slots_next(const rmr_slots *s, uint32_t *pos,
                             uint64_t *handle);

#ifdef __cplusplus
}
#endif
#endif
