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

static uint32_t data_len(const tcp_sent *t)
{
    return t->len - (t->flags & SENT_FIN ? 1u : 0u);
}

/* The pieces of one; the FIN stays with the last. */
static void put_pieces(tcp_segq *q, tcp_sent t, uint32_t mss)
{
    if (data_len(&t) > mss && !(t.flags & SENT_SACKED))
        t.flags |= SENT_CUT;
    while (data_len(&t) > mss) {
        tcp_sent p = t;
        p.len = (uint16_t)mss;
        p.flags = (uint8_t)(p.flags & ~SENT_FIN);
        q->v[q->n++] = p;
        t.seq += mss;
        t.len = (uint16_t)(t.len - mss);
    }
    q->v[q->n++] = t;
}

bool rmri_tcp_segq_split(tcp_segq *q, const rmr_alloc *a, uint32_t mss)
{
    uint32_t n = 0;
    tcp_segq cut = {NULL, 16, 0, 0};
    for (uint32_t i = 0; i < q->n; i++) {
        uint32_t len = data_len(segq_at(q, i));
        n += len > mss ? (len + mss - 1) / mss : 1;
    }
    if (n == q->n)
        return true;
    while (cut.cap < n)
        cut.cap *= 2;
    cut.v = a->alloc(a->user, cut.cap * sizeof *cut.v, _Alignof(tcp_sent));
    if (!cut.v)
        return false;
    for (uint32_t i = 0; i < q->n; i++)
        put_pieces(&cut, *segq_at(q, i), mss);
    rmr_release(a, q->v, q->cap * sizeof *q->v);
    *q = cut;
    return true;
}

void rmri_tcp_segq_wipe(tcp_segq *q, const rmr_alloc *a)
{
    rmr_release(a, q->v, q->cap * sizeof *q->v);
    memset(q, 0, sizeof *q);
}
