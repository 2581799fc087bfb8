/*
 * remora/handle.h - slots with generations.
 *
 * A handle is a 64-bit value: generation in the high half, index + 1 in the
 * low half; 0 is never a valid handle.  A freed slot's old handles are refused,
 * so stale use is an error and not a crash (contract M3).
 *
 * Slots are of one size, kept in chunks that never move, so that a pointer
 * stays good until its slot is freed; memory grows up to `max` slots.
 * Threading: one table, one thread.
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

/** For up to `max` items of `item_size` bytes.  Errors: RMR_E_NOMEM. */
RMR_API rmr_err rmr_slots_init(rmr_slots *s, const rmr_alloc *a,
                               size_t item_size, uint32_t max);
RMR_API void rmr_slots_wipe(rmr_slots *s); /* clears and frees all */
/** A zeroed item, and its handle in *handle.
 *  Errors (NULL): all `max` in use, or no memory. */
RMR_API void *rmr_slots_new(rmr_slots *s, uint64_t *handle);
/** The item, or NULL when the handle is stale or was never given. */
RMR_API void *rmr_slots_get(const rmr_slots *s, uint64_t handle);
/** Clears the item and frees its slot; stale handles do nothing. */
RMR_API void rmr_slots_free(rmr_slots *s, uint64_t handle);
/** Walks the used slots in index order: start with *pos = 0; NULL at the end.
 *  Items may be freed while walking. */
RMR_API void *rmr_slots_next(const rmr_slots *s, uint32_t *pos,
                             uint64_t *handle);

#ifdef __cplusplus
}
#endif
#endif
