/* What happens when: the heap, the run calls, the digest. */
#include "sim_internal.h"

#include <remora/hash.h>

#include <string.h>

/* ---- memory -------------------------------------------------------------- */

void rmri_sim_fail(rmr_sim *s)
{
    if (s->failed == RMR_OK)
        s->failed = RMR_E_NOMEM;
}

void *rmri_sim_alloc(rmr_sim *s, size_t size)
{
    void *p = rmr_alloc_zero(&s->c.alloc, size, 16);
    if (!p)
        rmri_sim_fail(s);
    return p;
}

bool rmri_sim_grow(rmr_sim *s, void **tab, size_t *cap, size_t need,
                   size_t item)
{
    if (need <= *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 16;
    void *p = rmri_sim_alloc(s, more * item);
    if (!p)
        return false;
    if (*cap)
        memcpy(p, *tab, *cap * item);
    rmr_release(&s->c.alloc, *tab, *cap * item);
    *tab = p;
    *cap = more;
    return true;
}

/* ---- the heap ------------------------------------------------------------ */

static bool before(const sim_happening *a, const sim_happening *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(rmr_sim *s, const sim_happening *h)
{
    size_t i = s->used++;
    while (i && before(h, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = *h;
}

static sim_happening pop(rmr_sim *s)
{
    sim_happening first = s->heap[0], x = s->heap[--s->used];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < s->used) {
        if (child + 1 < s->used && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &x))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = x;
    return first;
}

void rmri_sim_happen(rmr_sim *s, rmr_time at, sim_run_fn run, uint64_t a,
                     uint64_t b, void *ptr, size_t size)
{
    if (at == RMR_TIME_NEVER || !rmri_sim_grow(s, (void **)&s->heap, &s->cap,
                                               s->used + 1, sizeof *s->heap)) {
        rmr_release(&s->c.alloc, ptr, size);
        return;
    }
    sim_happening h = {
        at < s->now ? s->now : at, s->order++, run, a, b, ptr, size};
    push(s, &h);
}

void rmri_sim_heap_free(rmr_sim *s)
{
    for (size_t i = 0; i < s->used; i++)
        rmr_release(&s->c.alloc, s->heap[i].ptr, s->heap[i].size);
    rmr_release(&s->c.alloc, s->heap, s->cap * sizeof *s->heap);
}

/* ---- the digest ---------------------------------------------------------- */

uint64_t rmri_sim_digest(rmr_bytes b)
{
    static const rmr_hash_key key = {0x72656d6f7261, 0x73696d};
    return rmr_siphash13(&key, b.ptr, b.len);
}

void rmri_sim_note(rmr_sim *s, uint64_t what, uint64_t a, uint64_t b,
                   rmr_bytes data)
{
    uint64_t h = rmri_sim_mix(s->hash + what);
    h = rmri_sim_mix(h + s->now);
    h = rmri_sim_mix(h + a);
    h = rmri_sim_mix(h + b);
    s->hash = data.len ? rmri_sim_mix(h + rmri_sim_digest(data)) : h;
}

uint64_t rmr_sim_hash(const rmr_sim *s)
{
    return s->hash;
}

uint64_t rmr_sim_random(rmr_sim *s, uint64_t below)
{
    uint64_t x = rmri_sim_next(&s->rng);
    return below ? x % below : 0;
}

/* ---- runs ---------------------------------------------------------------- */

rmr_time rmr_sim_now(const rmr_sim *s)
{
    return s->now;
}

rmr_time rmr_sim_next(const rmr_sim *s)
{
    return s->used ? s->heap[0].at : RMR_TIME_NEVER;
}

typedef struct script {
    void (*fn)(void *user, rmr_sim *s);
    void *user;
} script;

static void run_script(rmr_sim *s, sim_happening *h)
{
    script x = *(const script *)h->ptr;
    x.fn(x.user, s);
}

rmr_err rmr_sim_at(rmr_sim *s, rmr_time at, void (*fn)(void *user, rmr_sim *s),
                   void *user)
{
    script *x = rmri_sim_alloc(s, sizeof *x);
    if (!x)
        return RMR_E_NOMEM;
    *x = (script){fn, user};
    rmri_sim_happen(s, at, run_script, 0, 0, x, sizeof *x);
    return s->failed;
}

rmr_err rmr_sim_step(rmr_sim *s, rmr_time end, bool *happened)
{
    *happened = false;
    if (s->is_running)
        return RMR_E_REENTRANT;
    if (s->failed)
        return s->failed;
    if (rmr_sim_next(s) > end || !s->used) {
        if (end != RMR_TIME_NEVER && end > s->now)
            s->now = end;
        return RMR_OK;
    }
    sim_happening h = pop(s);
    s->now = h.at;
    *happened = true;
    s->is_running = true;
    h.run(s, &h);
    s->is_running = false;
    rmr_release(&s->c.alloc, h.ptr, h.size);
    return s->failed;
}

rmr_err rmr_sim_run_until(rmr_sim *s, rmr_time end, bool (*until)(void *user),
                          void *user)
{
    bool happened = true;
    while (happened) {
        if (until && until(user))
            return RMR_OK;
        rmr_err err = rmr_sim_step(s, end, &happened);
        if (err)
            return err;
    }
    return until ? RMR_E_TIMEOUT : RMR_OK;
}
