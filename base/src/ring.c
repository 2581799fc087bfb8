/* A byte queue: one buffer, read at head, written at head + len, modulo cap. */
#include <remora/ring.h>

#include <string.h>

#define RING_FIRST 256 /* the first buffer, unless max is less */

void rmr_ring_init(rmr_ring *r, const rmr_alloc *a, size_t max)
{
    r->alloc = *a;
    r->buf = NULL;
    r->cap = 0;
    r->max = max;
    r->head = 0;
    r->len = 0;
}

void rmr_ring_wipe(rmr_ring *r)
{
    rmr_release_wiped(&r->alloc, r->buf, r->cap);
    r->buf = NULL;
    r->cap = 0;
    r->head = 0;
    r->len = 0;
}

void rmr_ring_shrink(rmr_ring *r)
{
    if (r->len == 0)
        rmr_ring_wipe(r);
}

size_t rmr_ring_space(const rmr_ring *r)
{
    return r->max - r->len;
}

/* Copies n queued bytes from the front, around the end. */
static void copy_out(const rmr_ring *r, uint8_t *dst, size_t n)
{
    size_t first = r->cap - r->head;
    if (first > n)
        first = n;
    if (first)
        memcpy(dst, r->buf + r->head, first);
    if (n > first)
        memcpy(dst + first, r->buf, n - first);
}

/* Room for n more bytes (n within space).  False: no memory, unchanged. */
static bool grow(rmr_ring *r, size_t n)
{
    size_t need = r->len + n;
    if (need <= r->cap)
        return true;
    size_t cap = r->cap ? r->cap : RING_FIRST;
    while (cap < need && cap <= r->max / 2)
        cap *= 2;
    if (cap < need || cap > r->max)
        cap = r->max;
    uint8_t *buf = (uint8_t *)r->alloc.alloc(r->alloc.user, cap, 1);
    if (!buf)
        return false;
    copy_out(r, buf, r->len);
    /* Queued bytes can be plaintext of a tunnel. */
    rmr_release_wiped(&r->alloc, r->buf, r->cap);
    r->buf = buf;
    r->cap = cap;
    r->head = 0;
    return true;
}

/* Where the next byte goes; cap is not 0. */
static size_t tail(const rmr_ring *r)
{
    size_t to_end = r->cap - r->head;
    return r->len < to_end ? r->head + r->len : r->len - to_end;
}

/* n fits in cap - len. */
static void copy_in(rmr_ring *r, const uint8_t *src, size_t n)
{
    if (n == 0)
        return;
    size_t at = tail(r);
    size_t first = r->cap - at;
    if (first > n)
        first = n;
    memcpy(r->buf + at, src, first);
    if (n > first)
        memcpy(r->buf, src + first, n - first);
    r->len += n;
}

size_t rmr_ring_write(rmr_ring *r, rmr_bytes in)
{
    size_t n = rmr_ring_space(r);
    if (in.len < n)
        n = in.len;
    if (!grow(r, n)) {
        size_t left = r->cap - r->len;
        if (n > left)
            n = left;
    }
    copy_in(r, in.ptr, n);
    return n;
}

rmr_err rmr_ring_write_all(rmr_ring *r, rmr_bytes in)
{
    if (in.len > rmr_ring_space(r))
        return RMR_E_FULL;
    if (!grow(r, in.len))
        return RMR_E_NOMEM;
    copy_in(r, in.ptr, in.len);
    return RMR_OK;
}

rmr_bytes rmr_ring_peek(const rmr_ring *r)
{
    if (r->len == 0)
        return rmr_bytes_of(NULL, 0);
    size_t to_end = r->cap - r->head;
    return rmr_bytes_of(r->buf + r->head, r->len < to_end ? r->len : to_end);
}

void rmr_ring_consume(rmr_ring *r, size_t n)
{
    if (n >= r->len) {
        r->head = 0; /* an empty ring offers all its room in one piece */
        r->len = 0;
        return;
    }
    size_t to_end = r->cap - r->head;
    r->head = n < to_end ? r->head + n : n - to_end;
    r->len -= n;
}

size_t rmr_ring_read(rmr_ring *r, void *dst, size_t len)
{
    size_t n = len < r->len ? len : r->len;
    copy_out(r, (uint8_t *)dst, n);
    rmr_ring_consume(r, n);
    return n;
}

rmr_buf rmr_ring_reserve(rmr_ring *r, size_t want)
{
    size_t space = rmr_ring_space(r);
    if (want > space)
        want = space;
    (void)grow(r, want); /* without memory: what is there already */
    if (want == 0 || r->cap == r->len)
        return rmr_buf_of(NULL, 0);
    size_t at = tail(r);
    size_t room = at >= r->head ? r->cap - at : r->head - at;
    return rmr_buf_of(r->buf + at, want < room ? want : room);
}

void rmr_ring_commit(rmr_ring *r, size_t n)
{
    size_t left = r->cap - r->len;
    r->len += n < left ? n : left;
}
