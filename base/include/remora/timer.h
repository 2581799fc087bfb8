/*
 * remora/timer.h - a binary heap of deadlines.
 *
 * Each entry is embedded in its owner, so arming never allocates: the heap's
 * array is sized once for the most entries that can be armed together.  Equal
 * deadlines fire in the order in which they were armed (contract D1).
 *
 * It is not a clock: the caller says what time it is.
 *
 * Source: contract T4, T5, D1; J. W. J. Williams, Algorithm 232 (heapsort).
 * Threading: one heap, one thread.  Memory: a pointer an entry, from
 * rmr_alloc, and 32 bytes in each owner.  Time: instants come as arguments.
 *
 *     struct peer { rmr_timer retry; ... };        zeroed at first
 *     p->retry.owner = p;
 *     if (rmr_timers_init(&h, &env.alloc, max_peers)) fail();
 *     if (rmr_timers_set(&h, &p->retry, rmr_time_add(now, 5 * RMR_SEC)))
 *         fail();
 *     ...
 *     while ((t = rmr_timers_pop(&h, now)) != NULL)
 *         retry(t->owner);
 *     return rmr_timers_next(&h);
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

/** A heap in which `cap` entries can be armed at once (0 is fine).
 *  Effects: takes the array.  Errors: NOMEM; the heap is empty then, and good
 *  for reserve and wipe.  Source: contract M2. */
RMR_API rmr_err rmr_timers_init(rmr_timers *h, const rmr_alloc *a,
                                uint32_t cap);
/** Forgets all entries (they are not touched) and frees the array.
 *  Effects: gives the array back.  Errors: none.  Source: none. */
RMR_API void rmr_timers_wipe(rmr_timers *h);
/** Grows the capacity; never shrinks.
 *  Effects: takes a new array.  Errors: NOMEM, unchanged.
 *  Source: contract M2. */
RMR_API rmr_err rmr_timers_reserve(rmr_timers *h, uint32_t cap);
/** Arms or moves `t`; RMR_TIME_NEVER disarms it.  Moved to an instant that
 *  another has too, it fires after that one.
 *  Effects: on the heap; O(log n), never allocates.
 *  Errors: FULL, unchanged; not for an entry that is armed already.
 *  Lifetime: `t` must stay where it is until it fires or is cancelled.
 *  Source: contract D1. */
RMR_API rmr_err rmr_timers_set(rmr_timers *h, rmr_timer *t, rmr_time at);
/** Disarms `t`; one that is not armed is left alone.
 *  Effects: on the heap; O(log n).  Errors: none.  Source: none. */
RMR_API void rmr_timers_cancel(rmr_timers *h, rmr_timer *t);
/** The earliest deadline, or RMR_TIME_NEVER.                          [look]
 *  Effects: none.  Errors: none.  Source: contract T4. */
RMR_API rmr_time rmr_timers_next(const rmr_timers *h);
/** Takes out the earliest entry with at <= now.
 *  Effects: it is disarmed; O(log n).  Errors: NULL when none is due.
 *  Source: contract T5 (a handled deadline is gone). */
RMR_API rmr_timer *rmr_timers_pop(rmr_timers *h, rmr_time now);
/** Is it armed?                                                       [look]
 *  Effects: none.  Errors: none; not to be asked after a wipe of its heap.
 *  Source: none. */
static inline bool rmr_timer_is_armed(const rmr_timer *t)
{
    return t->slot != 0;
}

#ifdef __cplusplus
}
#endif
#endif
