/* Chunks, byte queues made of them, and the queue of finished packets.  All
 * socket memory passes here, so that one number bounds it. */
#include "ns_internal.h"

/* ---- chunks ----------------------------------------------------------- */

/* A free chunk begins with the address of the next one. */
static uint8_t *link_get(const uint8_t *chunk)
{
    uint8_t *next;
    memcpy(&next, chunk, sizeof next);
    return next;
}

static void link_set(uint8_t *chunk, uint8_t *next)
{
    memcpy(chunk, &next, sizeof next);
}

uint8_t *rmri_ns_chunk_get(ns_pool *p, size_t limit)
{
    size_t size = ns_chunk_size(p);
    if (p->used + size > limit)
        return NULL;
    uint8_t *c = p->free;
    if (c) {
        p->free = link_get(c);
        p->n_free--;
    } else {
        c = p->alloc.alloc(p->alloc.user, size, 16);
        if (!c)
            return NULL;
    }
    p->used += size;
    return c;
}

void rmri_ns_chunk_put(ns_pool *p, uint8_t *chunk)
{
    p->used -= ns_chunk_size(p);
    if (p->n_free < NS_POOL_KEEP) {
        link_set(chunk, p->free);
        p->free = chunk;
        p->n_free++;
    } else {
        rmr_release(&p->alloc, chunk, ns_chunk_size(p));
    }
}

void rmri_ns_pool_wipe(ns_pool *p)
{
    while (p->free) {
        uint8_t *c = p->free;
        p->free = link_get(c);
        rmr_release(&p->alloc, c, ns_chunk_size(p));
    }
    p->n_free = 0;
}

/* ---- byte queues ------------------------------------------------------ */

void rmri_ns_cq_init(ns_cq *q)
{
    memset(q, 0, sizeof *q);
    q->cap = 2;
}

static uint8_t **slot(ns_cq *q, size_t k)
{
    uint8_t **ring = q->cap == 2 ? q->inl : q->far;
    return &ring[(q->first + (uint32_t)k) & (q->cap - 1)];
}

static uint8_t *chunk(const ns_cq *q, size_t k)
{
    return ns_cq_ring(q)[(q->first + (uint32_t)k) & (q->cap - 1)];
}

static void free_dir(ns_cq *q, ns_pool *p)
{
    if (q->cap > 2)
        rmr_release(&p->alloc, q->far, q->cap * sizeof *q->far);
    q->cap = 2;
    q->inl[0] = q->inl[1] = NULL;
    q->first = q->head = 0;
}

void rmri_ns_cq_wipe(ns_cq *q, ns_pool *p)
{
    q->len = 0;
    rmri_ns_cq_trim(q, p);
}

void rmri_ns_cq_cut(ns_cq *q, ns_pool *p, size_t len)
{
    size_t size = ns_chunk_size(p);
    size_t keep = len ? (q->head + len + size - 1) >> p->shift : 0;
    for (size_t k = keep; k < q->cap && q->n; k++) {
        uint8_t **s = slot(q, k);
        if (*s) {
            rmri_ns_chunk_put(p, *s);
            *s = NULL;
            q->n--;
        }
    }
}

void rmri_ns_cq_trim(ns_cq *q, ns_pool *p)
{
    rmri_ns_cq_cut(q, p, q->len);
    if (q->len == 0)
        free_dir(q, p);
}

/* Makes the directory reach chunk `k`. */
static bool grow(ns_cq *q, ns_pool *p, size_t k)
{
    uint32_t cap = q->cap;
    while (cap <= k) {
        if (cap > UINT32_MAX / 2)
            return false;
        cap *= 2;
    }
    if (cap == q->cap)
        return true;
    if (cap < 8)
        cap = 8;
    uint8_t **dir =
        rmr_alloc_zero(&p->alloc, cap * sizeof *dir, sizeof(void *));
    if (!dir)
        return false;
    for (uint32_t i = 0; i < q->cap; i++)
        dir[i] = *slot(q, i);
    if (q->cap > 2)
        rmr_release(&p->alloc, q->far, q->cap * sizeof *q->far);
    q->far = dir;
    q->cap = cap;
    q->first = 0;
    return true;
}

/* Holds the chunks for [at, at + n) of the queue's own offsets. */
static size_t hold(ns_cq *q, ns_pool *p, size_t at, size_t n, size_t limit)
{
    if (!grow(q, p, (at + n - 1) >> p->shift))
        return 0;
    size_t end = at + n;
    for (size_t k = at >> p->shift; k <= (end - 1) >> p->shift; k++) {
        uint8_t **s = slot(q, k);
        if (*s)
            continue;
        *s = rmri_ns_chunk_get(p, limit);
        if (!*s)
            return (k << p->shift) > at ? (k << p->shift) - at : 0;
        q->n++;
    }
    return n;
}

static void store(ns_cq *q, const ns_pool *p, size_t at, rmr_bytes in)
{
    size_t size = ns_chunk_size(p);
    while (in.len) {
        size_t in_chunk = at & (size - 1);
        size_t n = size - in_chunk < in.len ? size - in_chunk : in.len;
        memcpy(chunk(q, at >> p->shift) + in_chunk, in.ptr, n);
        at += n;
        in.ptr += n;
        in.len -= n;
    }
}

bool rmri_ns_cq_put(ns_cq *q, ns_pool *p, size_t off, rmr_bytes in,
                    size_t limit)
{
    size_t size = ns_chunk_size(p), at = q->head + off;
    size_t k = at >> p->shift, in_chunk = at & (size - 1);
    if (in.len == 0)
        return true;
    /* Most packets go into one chunk that is held already. */
    if (in.len <= size - in_chunk && k < q->cap && chunk(q, k)) {
        memcpy(chunk(q, k) + in_chunk, in.ptr, in.len);
        return true;
    }
    if (hold(q, p, at, in.len, limit) < in.len)
        return false;
    store(q, p, at, in);
    return true;
}

size_t rmri_ns_cq_append(ns_cq *q, ns_pool *p, rmr_bytes in, size_t limit)
{
    if (in.len == 0)
        return 0;
    in.len = hold(q, p, q->head + q->len, in.len, limit);
    store(q, p, q->head + q->len, in);
    q->len += (uint32_t)in.len;
    return in.len;
}

uint64_t rmri_ns_cq_copy(const ns_cq *q, const ns_pool *p, size_t off,
                         uint8_t *dst, size_t n)
{
    size_t size = ns_chunk_size(p), at = q->head + off;
    uint64_t sum = 0;
    bool odd = false;
    while (n) {
        size_t in_chunk = at & (size - 1);
        size_t part = size - in_chunk < n ? size - in_chunk : n;
        uint64_t s =
            rmri_ns_sum_copy(0, dst, chunk(q, at >> p->shift) + in_chunk, part);
        sum = ns_sum_add(sum, odd ? rmri_ns_sum_swap(s) : s);
        odd ^= (part & 1) != 0;
        dst += part;
        at += part;
        n -= part;
    }
    return sum;
}

rmr_bytes rmri_ns_cq_peek(const ns_cq *q, const ns_pool *p)
{
    if (q->len == 0)
        return rmr_bytes_of(NULL, 0);
    size_t n = ns_chunk_size(p) - q->head;
    return rmr_bytes_of(chunk(q, 0) + q->head, n < q->len ? n : q->len);
}

void rmri_ns_cq_drop(ns_cq *q, ns_pool *p, size_t n)
{
    size_t size = ns_chunk_size(p), head = q->head + n;
    q->len -= (uint32_t)n;
    while (head >= size) {
        uint8_t **s = slot(q, 0);
        if (*s) {
            rmri_ns_chunk_put(p, *s);
            *s = NULL;
            q->n--;
        }
        q->first = (q->first + 1) & (q->cap - 1);
        head -= size;
    }
    q->head = (uint32_t)head;
}

/* ---- finished packets ------------------------------------------------- */

/* A chunk holds: the next chunk, the bytes in use, then records of a length
 * and a packet. */
#define PKTQ_USED 8
#define PKTQ_HEADER 16u

static uint32_t used_get(const uint8_t *chunk)
{
    uint32_t v;
    memcpy(&v, chunk + PKTQ_USED, sizeof v);
    return v;
}

static void used_set(uint8_t *chunk, uint32_t v)
{
    memcpy(chunk + PKTQ_USED, &v, sizeof v);
}

static uint8_t *add_chunk(rmr_ns *ns)
{
    ns_pktq *q = &ns->pktq;
    if (q->n_chunks == NS_PKTQ_MAX_CHUNKS)
        return NULL;
    uint8_t *c = rmri_ns_chunk_get(&ns->pool, SIZE_MAX);
    if (!c)
        return NULL;
    link_set(c, NULL);
    used_set(c, PKTQ_HEADER);
    if (q->tail) {
        link_set(q->tail, c);
    } else {
        q->head = c;
        q->head_off = PKTQ_HEADER;
    }
    q->tail = c;
    q->n_chunks++;
    return c;
}

uint8_t *rmri_ns_pktq_add(rmr_ns *ns, size_t len)
{
    ns_pktq *q = &ns->pktq;
    size_t size = ns_chunk_size(&ns->pool);
    uint32_t need = 4 + (((uint32_t)len + 3) & ~3u);
    uint8_t *c = q->tail;
    if (!c || used_get(c) + need > size)
        c = add_chunk(ns);
    if (!c) {
        ns->stats.discard_full++;
        return NULL;
    }
    uint32_t at = used_get(c), n = (uint32_t)len;
    memcpy(c + at, &n, 4);
    used_set(c, at + need);
    q->n_pkts++;
    return c + at + 4;
}

ns_pktq_mark rmri_ns_pktq_mark(const rmr_ns *ns)
{
    const ns_pktq *q = &ns->pktq;
    ns_pktq_mark m = {q->tail, q->tail ? used_get(q->tail) : 0, q->n_pkts};
    return m;
}

void rmri_ns_pktq_undo(rmr_ns *ns, const ns_pktq_mark *m)
{
    ns_pktq *q = &ns->pktq;
    uint8_t *c = m->tail ? link_get(m->tail) : q->head;
    while (c) {
        uint8_t *next = link_get(c);
        q->n_chunks--;
        rmri_ns_chunk_put(&ns->pool, c);
        c = next;
    }
    q->tail = m->tail;
    q->n_pkts = m->n_pkts;
    if (m->tail) {
        link_set(m->tail, NULL);
        used_set(m->tail, m->used);
    } else {
        q->head = NULL;
    }
}

size_t rmri_ns_pktq_take(rmr_ns *ns, uint8_t *dst)
{
    ns_pktq *q = &ns->pktq;
    if (q->n_pkts == 0)
        return 0;
    uint32_t n;
    memcpy(&n, q->head + q->head_off, 4);
    memcpy(dst, q->head + q->head_off + 4, n);
    q->head_off += 4 + ((n + 3) & ~3u);
    q->n_pkts--;
    if (q->head_off == used_get(q->head)) {
        uint8_t *c = q->head;
        q->head = link_get(c);
        q->head_off = PKTQ_HEADER;
        if (!q->head)
            q->tail = NULL;
        q->n_chunks--;
        rmri_ns_chunk_put(&ns->pool, c);
    }
    return n;
}

void rmri_ns_pktq_wipe(rmr_ns *ns)
{
    ns_pktq *q = &ns->pktq;
    while (q->head) {
        uint8_t *c = q->head;
        q->head = link_get(c);
        rmri_ns_chunk_put(&ns->pool, c);
    }
    memset(q, 0, sizeof *q);
}
