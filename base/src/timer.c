/* A binary heap of embedded entries, ordered by (deadline, order of arming). */
#include <remora/timer.h>

#include <string.h>

#define MAX_TIMERS ((uint32_t)1 << 28)

rmr_err rmr_timers_init(rmr_timers *h, const rmr_alloc *a, uint32_t cap)
{
    h->heap = NULL;
    h->len = 0;
    h->cap = 0;
    h->seq = 0;
    h->alloc = *a;
    return rmr_timers_reserve(h, cap);
}

void rmr_timers_wipe(rmr_timers *h)
{
    rmr_release(&h->alloc, (void *)h->heap, h->cap * sizeof *h->heap);
    h->heap = NULL;
    h->len = 0;
    h->cap = 0;
}

rmr_err rmr_timers_reserve(rmr_timers *h, uint32_t cap)
{
    if (cap <= h->cap)
        return RMR_OK;
    /* More could not be in memory, and its size would not fit 32 bits. */
    if (cap > MAX_TIMERS)
        return RMR_E_NOMEM;
    rmr_timer **heap = (rmr_timer **)rmr_alloc_raw(
        &h->alloc, cap * sizeof *heap, _Alignof(rmr_timer *));
    if (!heap)
        return RMR_E_NOMEM;
    if (h->len)
        memcpy((void *)heap, (const void *)h->heap, h->len * sizeof *heap);
    rmr_release(&h->alloc, (void *)h->heap, h->cap * sizeof *h->heap);
    h->heap = heap;
    h->cap = cap;
    return RMR_OK;
}

static bool before(const rmr_timer *a, const rmr_timer *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void place(rmr_timers *h, uint32_t i, rmr_timer *t)
{
    h->heap[i] = t;
    t->slot = i + 1;
}

/* Moves `t` from the hole at i towards the root. */
static void sift_up(rmr_timers *h, uint32_t i, rmr_timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (!before(t, h->heap[parent]))
            break;
        place(h, i, h->heap[parent]);
        i = parent;
    }
    place(h, i, t);
}

/* Moves `t` from the hole at i to its place, in either direction. */
static void sift(rmr_timers *h, uint32_t i, rmr_timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= h->len)
            break;
        if (child + 1 < h->len && before(h->heap[child + 1], h->heap[child]))
            child++;
        if (!before(h->heap[child], t))
            break;
        place(h, i, h->heap[child]);
        i = child;
    }
    sift_up(h, i, t);
}

/* Its slot alone is not believed: the heap may have been wiped since. */
static bool is_here(const rmr_timers *h, const rmr_timer *t)
{
    return t->slot != 0 && t->slot <= h->len && h->heap[t->slot - 1] == t;
}

rmr_err rmr_timers_set(rmr_timers *h, rmr_timer *t, rmr_time at)
{
    if (at == RMR_TIME_NEVER) {
        rmr_timers_cancel(h, t);
        return RMR_OK;
    }
    bool armed = is_here(h, t);
    if (!armed && h->len == h->cap)
        return RMR_E_FULL;
    t->at = at;
    t->seq = h->seq++;
    if (armed) {
        sift(h, t->slot - 1, t);
    } else {
        h->len++;
        sift_up(h, h->len - 1, t);
    }
    return RMR_OK;
}

void rmr_timers_cancel(rmr_timers *h, rmr_timer *t)
{
    if (!is_here(h, t)) {
        t->slot = 0;
        return;
    }
    uint32_t i = t->slot - 1;
    t->slot = 0;
    h->len--;
    if (i < h->len)
        sift(h, i, h->heap[h->len]);
}

rmr_time rmr_timers_next(const rmr_timers *h)
{
    return h->len ? h->heap[0]->at : RMR_TIME_NEVER;
}

rmr_timer *rmr_timers_pop(rmr_timers *h, rmr_time now)
{
    if (h->len == 0 || h->heap[0]->at > now)
        return NULL;
    rmr_timer *t = h->heap[0];
    rmr_timers_cancel(h, t);
    return t;
}
