/* The ranges that were received ahead of RCV.NXT.  Their bytes lie in the
 * receive queue at their places already. */
#include "tcp_internal.h"

static bool reserve(tcp_ranges *r, const rmr_alloc *a)
{
    if (r->n < r->cap)
        return true;
    uint8_t cap = r->cap ? TCP_RANGES_MAX : 4;
    tcp_range *v = a->alloc(a->user, cap * sizeof *v, _Alignof(tcp_range));
    if (!v)
        return false;
    if (r->n)
        memcpy(v, r->v, r->n * sizeof *v);
    rmr_release(a, r->v, r->cap * sizeof *v);
    r->v = v;
    r->cap = cap;
    return true;
}

void rmri_tcp_ranges_wipe(tcp_ranges *r, const rmr_alloc *a)
{
    rmr_release(a, r->v, r->cap * sizeof *r->v);
    memset(r, 0, sizeof *r);
}

static void remove_at(tcp_ranges *r, uint32_t i, uint32_t n)
{
    memmove(&r->v[i], &r->v[i + n], (r->n - i - n) * sizeof *r->v);
    r->n = (uint8_t)(r->n - n);
}

bool rmri_tcp_ranges_has(const tcp_ranges *r, uint32_t start, uint32_t end)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (seq_le(r->v[i].start, start) && seq_ge(r->v[i].end, end))
            return true;
    return false;
}

/* The first range that ends at or behind seq. */
static uint32_t lower(const tcp_ranges *r, uint32_t seq)
{
    uint32_t lo = 0, hi = r->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (seq_lt(r->v[mid].end, seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

tcp_insert rmri_tcp_ranges_add(tcp_ranges *r, const rmr_alloc *a,
                               uint32_t start, uint32_t end)
{
    uint32_t i = lower(r, start), j = i;
    if (i < r->n && seq_le(r->v[i].start, start) && seq_ge(r->v[i].end, end))
        return TCP_INSERT_DUP;
    /* All that touch it become one. */
    while (j < r->n && seq_le(r->v[j].start, end)) {
        if (seq_lt(r->v[j].start, start))
            start = r->v[j].start;
        if (seq_gt(r->v[j].end, end))
            end = r->v[j].end;
        j++;
    }
    if (i == j) {
        if (r->n == TCP_RANGES_MAX) {
            /* The farthest is forgotten (CVE-2018-6922). */
            if (i == r->n)
                return TCP_INSERT_FULL;
            r->n--;
        }
        if (!reserve(r, a))
            return TCP_INSERT_FULL;
        memmove(&r->v[i + 1], &r->v[i], (r->n - i) * sizeof *r->v);
        r->n++;
    } else {
        remove_at(r, i + 1, j - i - 1);
    }
    r->v[i].start = start;
    r->v[i].end = end;
    r->v[i].stamp = ++r->stamp;
    return TCP_INSERT_NEW;
}

uint32_t rmri_tcp_ranges_join(tcp_ranges *r, uint32_t seq)
{
    uint32_t n = 0;
    while (n < r->n && seq_le(r->v[n].start, seq)) {
        seq = seq_max(seq, r->v[n].end);
        n++;
    }
    remove_at(r, 0, n);
    return seq;
}

uint32_t rmri_tcp_ranges_blocks(const tcp_ranges *r, tcp_block *out,
                                uint32_t max)
{
    uint32_t n = 0, below = 0;
    bool bounded = false;
    while (n < max) {
        const tcp_range *best = NULL;
        for (uint32_t i = 0; i < r->n; i++) {
            const tcp_range *x = &r->v[i];
            if (bounded && !seq_lt(x->stamp, below))
                continue;
            if (!best || seq_gt(x->stamp, best->stamp))
                best = x;
        }
        if (!best)
            break;
        out[n].start = best->start;
        out[n++].end = best->end;
        below = best->stamp;
        bounded = true;
    }
    return n;
}
