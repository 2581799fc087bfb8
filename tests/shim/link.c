/* One direction of an impaired link: link.h. */
#include "link.h"

#include <stdlib.h>
#include <string.h>

typedef struct parcel {
    uint64_t at, order;
    uint8_t *bytes;
    size_t len;
} parcel;

struct link_dir {
    link_config c;
    link_stats stats;
    uint64_t n;          /* packets so far */
    uint64_t order;      /* ties are delivered as they came */
    uint64_t busy_until; /* the rate's */
    uint64_t last_at;    /* of what was not held back */
    bool in_burst;
    parcel *heap; /* the earliest first */
    size_t used, cap;
};

/* ---- chance ----------------------------------------------------------- */

/* Each question about each packet has a number of its own, so that one
 * impairment does not change what another one does. */
enum {
    Q_LOSS,
    Q_BURST,
    Q_BURST_LOSS,
    Q_HOLD,
    Q_DUP,
    Q_CORRUPT,
    Q_BIT,
    Q_JITTER
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t chance(const link_dir *l, uint64_t question)
{
    return mix(mix(l->c.seed * 16 + question) + l->n * 0x9e3779b97f4a7c15u);
}

static bool happens(const link_dir *l, uint64_t question, uint32_t millionths)
{
    return chance(l, question) % LINK_MILLION < millionths;
}

/* ---- the heap --------------------------------------------------------- */

static bool before(const parcel *a, const parcel *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_up(link_dir *l, size_t i)
{
    parcel p = l->heap[i];
    while (i && before(&p, &l->heap[(i - 1) / 2])) {
        l->heap[i] = l->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->heap[i] = p;
}

static void heap_down(link_dir *l)
{
    parcel p = l->heap[l->used];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < l->used) {
        if (child + 1 < l->used && before(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!before(&l->heap[child], &p))
            break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = p;
}

static uint8_t *heap_add(link_dir *l, uint64_t at, const uint8_t *p, size_t len)
{
    if (l->used == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        parcel *heap = realloc(l->heap, cap * sizeof *heap);
        if (!heap)
            return NULL;
        l->heap = heap;
        l->cap = cap;
    }
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        return NULL;
    memcpy(copy, p, len);
    l->heap[l->used] = (parcel){at, l->order++, copy, len};
    heap_up(l, l->used++);
    return copy;
}

/* ---- the link --------------------------------------------------------- */

link_dir *link_new(const link_config *c)
{
    link_dir *l = calloc(1, sizeof *l);
    if (l)
        l->c = *c;
    return l;
}

void link_free(link_dir *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->used; i++)
        free(l->heap[i].bytes);
    free(l->heap);
    free(l);
}

/* When the packet has left the queue; LINK_NEVER: there was no room for it. */
static uint64_t through_queue(link_dir *l, uint64_t now, size_t len)
{
    if (!l->c.rate)
        return now;
    uint64_t from = l->busy_until > now ? l->busy_until : now;
    /* In ns of the link's time; a billionth of 10 Gbit is more than a byte. */
    uint64_t waiting =
        (uint64_t)((double)(from - now) * (double)l->c.rate / 1e9);
    if (l->c.queue && waiting + len > l->c.queue)
        return LINK_NEVER;
    if (waiting + len > l->stats.queue_max)
        l->stats.queue_max = waiting + len;
    l->busy_until = from + (uint64_t)len * 1000000000u / l->c.rate;
    return l->busy_until;
}

static bool is_lost(link_dir *l)
{
    bool lost = happens(l, Q_LOSS, l->c.loss);
    if (!l->c.burst_begin)
        return lost;
    if (happens(l, Q_BURST, l->in_burst ? l->c.burst_end : l->c.burst_begin))
        l->in_burst = !l->in_burst;
    return lost || (l->in_burst && happens(l, Q_BURST_LOSS, l->c.burst_loss));
}

static bool is_held(const link_dir *l)
{
    if (l->c.hold_every)
        return l->n % l->c.hold_every == 0;
    return happens(l, Q_HOLD, l->c.hold);
}

/* Held packets are overtaken; all others keep their order. */
static uint64_t arrival(link_dir *l, uint64_t sent)
{
    uint64_t at = sent + l->c.delay;
    if (l->c.jitter)
        at += chance(l, Q_JITTER) % (l->c.jitter + 1);
    if (is_held(l)) {
        l->stats.held++;
        return at + l->c.hold_for;
    }
    if (at < l->last_at)
        at = l->last_at;
    l->last_at = at;
    return at;
}

static void corrupt(link_dir *l, uint8_t *p, size_t len)
{
    uint64_t bit = chance(l, Q_BIT) % (len * 8);
    p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    l->stats.corrupted++;
}

bool link_push(link_dir *l, uint64_t now, const uint8_t *p, size_t len)
{
    l->n++;
    l->stats.in++;
    if (l->c.mtu && len > l->c.mtu) {
        l->stats.too_long++;
        return false;
    }
    uint64_t sent = through_queue(l, now, len);
    if (sent == LINK_NEVER) {
        l->stats.overflow++;
        return false;
    }
    if (is_lost(l)) {
        l->stats.lost++;
        return false;
    }
    uint64_t at = arrival(l, sent);
    uint8_t *copy = heap_add(l, at, p, len);
    if (!copy)
        return false;
    if (happens(l, Q_DUP, l->c.duplicate) && heap_add(l, at, p, len))
        l->stats.duplicated++;
    if (len && happens(l, Q_CORRUPT, l->c.corrupt))
        corrupt(l, copy, len);
    return true;
}

uint64_t link_next(const link_dir *l)
{
    return l->used ? l->heap[0].at : LINK_NEVER;
}

const uint8_t *link_due(const link_dir *l, uint64_t now, size_t *len)
{
    if (link_next(l) > now || !l->used)
        return NULL;
    *len = l->heap[0].len;
    return l->heap[0].bytes;
}

void link_drop(link_dir *l)
{
    if (!l->used)
        return;
    free(l->heap[0].bytes);
    l->used--;
    if (l->used)
        heap_down(l);
    l->stats.out++;
}

const link_stats *link_get_stats(const link_dir *l)
{
    return &l->stats;
}
