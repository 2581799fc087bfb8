/*
 * remora/timer.h - a binary heap of deadlines.
 *
 * Each entry is embedded in its owner, so arming never allocates: the heap's
 * array is sized once for the most entries that can be armed together.  Equal
 * deadlines fire in the order in which they were armed (contract D1).
 *
 * Threading: one heap, one thread.  Memory: 8 bytes an entry, from rmr_alloc.
 */
#ifndef REMORA_TIMER_H
#define REMORA_TIMER_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_timer { /* embed and zero; fields are the heap's */
    rmr_time at;
    uint64_t seq;
    uint32_t slot; /* 1 + index in the heap; 0 when not armed */
    uint32_t kind; /* the owner's: which timer this is        */
    void *owner;   /* the owner's                             */
} rmr_timer;

typedef struct rmr_timers {
    rmr_timer **heap;
    uint32_t len, cap;
    uint64_t seq;
    rmr_alloc alloc;
} rmr_timers;

/** Errors: RMR_E_NOMEM.  `cap` entries can be armed at once. */
RMR_API rmr_err rmr_timers_init(rmr_timers *h, const rmr_alloc *a,
                                uint32_t cap);
/** Forgets all entries (their slots are not touched) and frees the array. */
RMR_API void rmr_timers_wipe(rmr_timers *h);
/** Grows the capacity; never shrinks.  Errors: RMR_E_NOMEM, unchanged. */
RMR_API rmr_err rmr_timers_reserve(rmr_timers *h, uint32_t cap);
/** Arms or moves `t`; RMR_TIME_NEVER disarms it.  `t` must stay in memory
 *  until disarmed.  Errors: RMR_E_FULL, unchanged. */
RMR_API rmr_err rmr_timers_set(rmr_timers *h, rmr_timer *t, rmr_time at);
RMR_API void rmr_timers_cancel(rmr_timers *h, rmr_timer *t);
/** The earliest deadline, or RMR_TIME_NEVER. */
RMR_API rmr_time rmr_timers_next(const rmr_timers *h);
/** Takes out the earliest entry with at <= now, or NULL. */
RMR_API rmr_timer *rmr_timers_pop(rmr_timers *h, rmr_time now);
static inline bool rmr_timer_is_armed(const rmr_timer *t)
{
    return t->slot != 0;
}

#ifdef __cplusplus
}
#endif
#endif
