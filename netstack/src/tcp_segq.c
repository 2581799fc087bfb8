/* The segments between SND.UNA and SND.NXT, in order. */
#include "tcp_internal.h"

static bool grow(tcp_segq *q, const rmr_alloc *a)
{
    uint32_t cap = q->cap ? q->cap * 2 : 16;
    tcp_sent *v = a->alloc(a->user, cap * sizeof *v, _Alignof(tcp_sent));
    if (!v)
        return false;
    for (uint32_t i = 0; i < q->n; i++)
        v[i] = *segq_at(q, i);
    rmr_release(a, q->v, q->cap * sizeof *v);
    q->v = v;
    q->cap = cap;
    q->first = 0;
    return true;
}

bool rmri_tcp_segq_push(tcp_segq *q, const rmr_alloc *a, const tcp_sent *s)
{
    if (q->n == q->cap && !grow(q, a))
        return false;
    q->n++;
    *segq_at(q, q->n - 1) = *s;
    return true;
}

void rmri_tcp_segq_pop(tcp_segq *q)
{
    q->first = (q->first + 1) & (q->cap - 1);
    q->n--;
}

uint32_t rmri_tcp_segq_find(const tcp_segq *q, uint32_t seq)
{
    uint32_t lo = 0, hi = q->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        const tcp_sent *s = segq_at(q, mid);
        if (seq_le(s->seq + s->len, seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void rmri_tcp_segq_wipe(tcp_segq *q, const rmr_alloc *a)
{
    rmr_release(a, q->v, q->cap * sizeof *q->v);
    memset(q, 0, sizeof *q);
}
