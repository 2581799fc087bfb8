/* Growing arrays, strings in chunks, and a sort. */
#include "pol_internal.h"

#include <string.h>

bool rmri_pol_vec_reserve(pol_vec *v, const rmr_alloc *a, uint32_t n)
{
    if (n <= v->cap - v->n)
        return true;
    uint64_t cap = v->cap ? 2 * (uint64_t)v->cap : 4;
    if (cap < (uint64_t)v->n + n)
        cap = (uint64_t)v->n + n;
    if (cap > UINT32_MAX / 2 || cap * v->size > SIZE_MAX / 2)
        return false;
    void *p = a->alloc(a->user, (size_t)cap * v->size, 16);
    if (!p)
        return false;
    if (v->n)
        memcpy(p, v->p, (size_t)v->n * v->size);
    rmr_release(a, v->p, (size_t)v->cap * v->size);
    v->p = p;
    v->cap = (uint32_t)cap;
    return true;
}

static void *at(const pol_vec *v, size_t i)
{
    return (uint8_t *)v->p + i * v->size;
}

void *rmri_pol_vec_add(pol_vec *v, const rmr_alloc *a)
{
    if (!rmri_pol_vec_reserve(v, a, 1))
        return NULL;
    return memset(at(v, v->n++), 0, v->size);
}

void *rmri_pol_vec_insert(pol_vec *v, uint32_t i)
{
    memmove(at(v, (size_t)i + 1), at(v, i), (size_t)(v->n - i) * v->size);
    v->n++;
    return at(v, i);
}

void rmri_pol_vec_remove(pol_vec *v, uint32_t i)
{
    v->n--;
    memmove(at(v, i), at(v, (size_t)i + 1), (size_t)(v->n - i) * v->size);
}

void rmri_pol_vec_free(pol_vec *v, const rmr_alloc *a)
{
    rmr_release(a, v->p, (size_t)v->cap * v->size);
    v->p = NULL;
    v->n = v->cap = 0;
}

#define CHUNK ((size_t)4096)
#define HEAD ((sizeof(pol_chunk) + 15) & ~(size_t)15)

/* A long string has a chunk of its own, so that at most half of one is lost. */
static uint8_t *take(pol_arena *a, size_t n)
{
    if (n <= a->left) {
        uint8_t *p = a->at;
        a->at += n;
        a->left -= n;
        return p;
    }
    size_t room = n > CHUNK / 2 ? n : CHUNK;
    pol_chunk *c = rmr_alloc_zero(&a->alloc, HEAD + room, 16);
    if (!c)
        return NULL;
    c->size = HEAD + room;
    c->next = a->chunks;
    a->chunks = c;
    uint8_t *p = (uint8_t *)c + HEAD;
    if (room - n > a->left) {
        a->at = p + n;
        a->left = room - n;
    }
    return p;
}

bool rmri_pol_arena_copy(pol_arena *a, rmr_bytes in, rmr_bytes *out)
{
    *out = rmr_bytes_of(NULL, 0);
    if (in.len == 0)
        return true;
    uint8_t *p = take(a, in.len);
    if (!p)
        return false;
    memcpy(p, in.ptr, in.len);
    *out = rmr_bytes_of(p, in.len);
    return true;
}

void rmri_pol_arena_free(pol_arena *a)
{
    while (a->chunks) {
        pol_chunk *c = a->chunks;
        a->chunks = c->next;
        rmr_release(&a->alloc, c, c->size);
    }
    a->at = NULL;
    a->left = 0;
}

/* Heap sort: no memory, and no input is slow. */
typedef struct heap {
    uint8_t *base;
    size_t size;
    pol_cmp cmp;
    const void *ctx;
} heap;

static void swap(const heap *h, size_t i, size_t j)
{
    uint8_t tmp[64];
    uint8_t *a = h->base + i * h->size, *b = h->base + j * h->size;
    memcpy(tmp, a, h->size);
    memcpy(a, b, h->size);
    memcpy(b, tmp, h->size);
}

static void sift(const heap *h, size_t i, size_t n)
{
    for (;;) {
        size_t big = 2 * i + 1;
        if (big >= n)
            return;
        if (big + 1 < n && h->cmp(h->base + big * h->size,
                                  h->base + (big + 1) * h->size, h->ctx) < 0)
            big++;
        if (h->cmp(h->base + i * h->size, h->base + big * h->size, h->ctx) >= 0)
            return;
        swap(h, i, big);
        i = big;
    }
}

void rmri_pol_sort(void *base, size_t n, size_t size, pol_cmp cmp,
                   const void *ctx)
{
    heap h = {base, size, cmp, ctx};
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = cmp(h.base + (i - 1) * size, h.base + i * size, ctx) <= 0;
    if (sorted)
        return;
    for (size_t i = n / 2; i-- > 0;)
        sift(&h, i, n);
    for (size_t i = n; i-- > 1;) {
        swap(&h, 0, i);
        sift(&h, 0, i);
    }
}

int rmri_pol_bytes_cmp(rmr_bytes a, rmr_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (c)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

const uint8_t *rmri_pol_chr(rmr_bytes s, uint8_t c)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == c)
            return s.ptr + i;
    }
    return NULL;
}

bool rmri_pol_starts(rmr_bytes s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && (n == 0 || memcmp(s.ptr, with, n) == 0);
}
