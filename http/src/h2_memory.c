/* nghttp2's memory out of rmr_alloc, which wants to be told the size of what
 * it takes back: it is kept in front of each block. */
#include <stddef.h>
#include <string.h>
#include "h2_internal.h"

#define ALIGNMENT _Alignof(max_align_t)
#define FRONT ((sizeof(size_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static void *mem_malloc(size_t size, void *user)
{
    const rmr_alloc *a = user;
    if (size > SIZE_MAX - FRONT)
        return NULL;
    uint8_t *p = a->alloc(a->user, FRONT + size, ALIGNMENT);
    if (!p)
        return NULL;
    memcpy(p, &size, sizeof size);
    return p + FRONT;
}

static size_t size_of(const uint8_t *p)
{
    size_t size;
    memcpy(&size, p - FRONT, sizeof size);
    return size;
}

static void mem_free(void *ptr, void *user)
{
    if (!ptr)
        return;
    const rmr_alloc *a = user;
    uint8_t *p = ptr;
    a->release(a->user, p - FRONT, FRONT + size_of(p));
}

static void *mem_calloc(size_t n, size_t size, void *user)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    void *p = mem_malloc(n * size, user);
    if (p)
        memset(p, 0, n * size);
    return p;
}

static void *mem_realloc(void *ptr, size_t size, void *user)
{
    if (!ptr)
        return mem_malloc(size, user);
    void *p = mem_malloc(size, user);
    if (!p)
        return NULL;
    size_t old = size_of(ptr);
    memcpy(p, ptr, old < size ? old : size);
    mem_free(ptr, user);
    return p;
}

nghttp2_mem rmri_h2_mem(rmr_alloc *alloc)
{
    nghttp2_mem m;
    m.mem_user_data = alloc;
    m.malloc = mem_malloc;
    m.free = mem_free;
    m.calloc = mem_calloc;
    m.realloc = mem_realloc;
    return m;
}
