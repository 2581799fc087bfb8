/* nghttp2's memory out of rmr_alloc, which wants to be told the size of what
 * it takes back: it is kept in front of each block.  And the frame that sessions
 * share. */
#include <stddef.h>
#include <string.h>
#include "h2_frame.h"

#define ALIGNMENT _Alignof(max_align_t)
#define FRONT ((sizeof(size_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static uint8_t *own_malloc(const rmri_h2_lend *l, size_t size)
{
    if (size > SIZE_MAX - FRONT)
        return NULL;
    uint8_t *p = l->alloc.alloc(l->alloc.user, FRONT + size, ALIGNMENT);
    if (!p)
        return NULL;
    memcpy(p, &size, sizeof size);
    return p + FRONT;
}

static void *mem_malloc(size_t size, void *user)
{
    rmri_h2_lend *l = user;
    if (!l->frame || !l->making || l->has || size < RMRI_H2_FRAME_MIN ||
        size > RMRI_H2_FRAME_LEN)
        return own_malloc(l, size);
    l->has = true;
    return l->frame->bytes;
}

static bool is_frame(const rmri_h2_lend *l, const void *ptr)
{
    return l->has && ptr == l->frame->bytes;
}

static size_t size_of(const rmri_h2_lend *l, const uint8_t *p)
{
    size_t size;
    if (is_frame(l, p))
        return RMRI_H2_FRAME_LEN;
    memcpy(&size, p - FRONT, sizeof size);
    return size;
}

static void mem_free(void *ptr, void *user)
{
    rmri_h2_lend *l = user;
    if (!ptr)
        return;
    if (is_frame(l, ptr)) {
        l->has = false;
        return;
    }
    uint8_t *p = ptr;
    l->alloc.release(l->alloc.user, p - FRONT, FRONT + size_of(l, p));
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
    rmri_h2_lend *l = user;
    if (!ptr)
        return mem_malloc(size, user);
    uint8_t *p = own_malloc(l, size);
    if (!p)
        return NULL;
    size_t old = size_of(l, ptr);
    memcpy(p, ptr, old < size ? old : size);
    mem_free(ptr, user);
    return p;
}

nghttp2_mem rmri_h2_mem(rmri_h2_lend *l)
{
    nghttp2_mem m;
    m.mem_user_data = l;
    m.malloc = mem_malloc;
    m.free = mem_free;
    m.calloc = mem_calloc;
    m.realloc = mem_realloc;
    return m;
}

/* ---- the frame --------------------------------------------------------- */

rmr_err rmr_h2_frame_new(rmr_h2_frame **out, const rmr_env *env)
{
    rmr_h2_frame *f =
        rmr_alloc_zero(&env->alloc, sizeof *f, _Alignof(rmr_h2_frame));
    *out = f;
    if (!f)
        return RMR_E_NOMEM;
    f->alloc = env->alloc;
    return RMR_OK;
}

void rmr_h2_frame_free(rmr_h2_frame *f)
{
    if (!f)
        return;
    rmr_alloc a = f->alloc;
    rmr_release_wiped(&a, f, sizeof *f);
}

static bool copy_of(const rmri_h2_lend *l, uint8_t **out)
{
    *out = rmr_alloc_raw(&l->alloc, RMRI_H2_FRAME_LEN, 1);
    if (*out)
        memcpy(*out, l->frame->bytes, RMRI_H2_FRAME_LEN);
    return *out != NULL;
}

static void put_back(rmri_h2_lend *l, uint8_t **from)
{
    memcpy(l->frame->bytes, *from, RMRI_H2_FRAME_LEN);
    rmr_release_wiped(&l->alloc, *from, RMRI_H2_FRAME_LEN);
    *from = NULL;
}

rmr_err rmri_h2_lend_begin(rmri_h2_lend *l, bool making)
{
    if (!l->frame || !(l->has || making))
        return RMR_OK;
    if (l->frame->busy && !copy_of(l, &l->other))
        return RMR_E_NOMEM;
    l->making = making;
    l->inside = l->frame->busy = true;
    if (l->kept)
        put_back(l, &l->kept);
    return RMR_OK;
}

rmr_err rmri_h2_lend_end(rmri_h2_lend *l, bool needed)
{
    if (!l->inside)
        return RMR_OK;
    bool ok = !needed || !l->has || copy_of(l, &l->kept);
    l->inside = l->making = false;
    l->frame->busy = l->other != NULL;
    if (l->other)
        put_back(l, &l->other);
    return ok ? RMR_OK : RMR_E_NOMEM;
}

void rmri_h2_lend_free(rmri_h2_lend *l)
{
    rmr_release_wiped(&l->alloc, l->kept, RMRI_H2_FRAME_LEN);
    l->kept = NULL;
}
