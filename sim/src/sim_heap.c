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

/* ---- what comes next ------------------------------------------------------ */

/* A heap of fours: half as deep as one of twos, and the four lie side by side.
 * Much happens at the instant at which it is made, and needs no heap: a ring
 * keeps the order. */
#define ARITY 4

static bool before(const sim_due *a, const sim_due *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(rmr_sim *s, const sim_due *d)
{
    size_t i = s->used++;
    while (i && before(d, &s->heap[(i - 1) / ARITY])) {
        s->heap[i] = s->heap[(i - 1) / ARITY];
        i = (i - 1) / ARITY;
    }
    s->heap[i] = *d;
}

/* The earliest of those under i, of which there is one at least. */
static size_t least_child(const rmr_sim *s, size_t i)
{
    size_t least = ARITY * i + 1, end = least + ARITY;
    end = end < s->used ? end : s->used;
    for (size_t k = least + 1; k < end; k++)
        if (before(&s->heap[k], &s->heap[least]))
            least = k;
    return least;
}

static sim_due pop(rmr_sim *s)
{
    sim_due first = s->heap[0], x = s->heap[--s->used];
    size_t i = 0;
    while (ARITY * i + 1 < s->used) {
        size_t child = least_child(s, i);
        if (!before(&s->heap[child], &x))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = x;
    return first;
}

/* A ring of a power of two: one that was full is copied from its first on. */
static bool soon_grow(rmr_sim *s)
{
    size_t cap = s->cap_soon;
    if (s->n_soon < cap)
        return true;
    sim_due *ring = rmri_sim_alloc(s, (cap ? 2 * cap : 64) * sizeof *s->soon);
    if (!ring)
        return false;
    for (size_t i = 0; i < s->n_soon; i++)
        ring[i] = s->soon[(s->first_soon + i) & (cap - 1)];
    rmr_release(&s->c.alloc, s->soon, cap * sizeof *s->soon);
    s->soon = ring;
    s->cap_soon = cap ? 2 * cap : 64;
    s->first_soon = 0;
    return true;
}

static const sim_due *next(const rmr_sim *s)
{
    const sim_due *soon = s->n_soon ? &s->soon[s->first_soon] : NULL;
    if (s->used && (!soon || before(&s->heap[0], soon)))
        return &s->heap[0];
    return soon;
}

static sim_due take_next(rmr_sim *s)
{
    if (next(s) == s->heap)
        return pop(s);
    sim_due d = s->soon[s->first_soon];
    s->first_soon = (s->first_soon + 1) & (s->cap_soon - 1);
    s->n_soon--;
    return d;
}

/* A place for a happening: one that was given back, or a new one. */
static size_t new_place(rmr_sim *s)
{
    size_t place = s->free_happening;
    if (place)
        s->free_happening = (size_t)s->happenings[place - 1].a;
    else
        place = ++s->n_happenings;
    return place - 1;
}

static sim_happening take_happening(rmr_sim *s, size_t place)
{
    sim_happening h = s->happenings[place];
    s->happenings[place].ptr = NULL;
    s->happenings[place].a = s->free_happening;
    s->free_happening = place + 1;
    return h;
}

static bool has_room(rmr_sim *s, bool is_now)
{
    if (!s->free_happening &&
        !rmri_sim_grow(s, (void **)&s->happenings, &s->cap_happenings,
                       s->n_happenings + 1, sizeof *s->happenings))
        return false;
    return is_now ? soon_grow(s)
                  : rmri_sim_grow(s, (void **)&s->heap, &s->cap, s->used + 1,
                                  sizeof *s->heap);
}

void rmri_sim_happen(rmr_sim *s, rmr_time at, sim_run_fn run, uint64_t a,
                     uint64_t b, void *ptr, size_t size)
{
    bool is_now = at <= s->now;
    if (at == RMR_TIME_NEVER || !has_room(s, is_now)) {
        rmr_release(&s->c.alloc, ptr, size);
        return;
    }
    sim_due d = {is_now ? s->now : at, s->order++, new_place(s)};
    s->happenings[d.place] = (sim_happening){run, a, b, ptr, size};
    if (is_now)
        s->soon[(s->first_soon + s->n_soon++) & (s->cap_soon - 1)] = d;
    else
        push(s, &d);
}

void rmri_sim_heap_free(rmr_sim *s)
{
    for (size_t i = 0; i < s->n_happenings; i++)
        rmr_release(&s->c.alloc, s->happenings[i].ptr, s->happenings[i].size);
    rmr_release(&s->c.alloc, s->happenings,
                s->cap_happenings * sizeof *s->happenings);
    rmr_release(&s->c.alloc, s->heap, s->cap * sizeof *s->heap);
    rmr_release(&s->c.alloc, s->soon, s->cap_soon * sizeof *s->soon);
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
    const sim_due *d = next(s);
    return d ? d->at : RMR_TIME_NEVER;
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
    const sim_due *first = next(s);
    if (!first || first->at > end) {
        if (end != RMR_TIME_NEVER && end > s->now)
            s->now = end;
        return RMR_OK;
    }
    sim_due d = take_next(s);
    sim_happening h = take_happening(s, d.place);
    s->now = d.at;
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
