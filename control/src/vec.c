/* The growing array. */
#include "vec.h"

#include <string.h>

static bool move_to(rmri_ctl_vec *v, const rmr_alloc *a, size_t cap)
{
    uint8_t *p = NULL;
    if (cap) {
        p = rmr_alloc_zero(a, cap, 8);
        if (!p)
            return false;
    }
    if (v->len)
        memcpy(p, v->p, v->len);
    rmr_release_wiped(a, v->p, v->cap);
    v->p = p;
    v->cap = cap;
    return true;
}

void *rmri_ctl_vec_add(rmri_ctl_vec *v, const rmr_alloc *a, size_t n,
                       size_t max)
{
    if (n > max || v->len > max - n)
        return NULL;
    if (v->len + n > v->cap) {
        size_t cap = v->cap ? v->cap + v->cap / 2 : 64;
        if (cap < v->len + n)
            cap = v->len + n;
        if (!move_to(v, a, cap))
            return NULL;
    }
    uint8_t *at = v->p + v->len;
    memset(at, 0, n);
    v->len += n;
    return at;
}

void rmri_ctl_vec_free(rmri_ctl_vec *v, const rmr_alloc *a)
{
    rmr_release_wiped(a, v->p, v->cap);
    memset(v, 0, sizeof *v);
}

void rmri_ctl_vec_trim(rmri_ctl_vec *v, const rmr_alloc *a)
{
    if (v->cap != v->len)
        (void)move_to(v, a, v->len);
}
