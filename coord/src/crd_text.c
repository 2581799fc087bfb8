/* Texts that are kept, alone and in lists; arrays that grow; bytes that wait. */
#include "crd_internal.h"

#include <stddef.h>
#include <string.h>

char *rmri_crd_text(rmr_coord *c, rmr_bytes text)
{
    char *p = rmr_alloc_zero(&c->env.alloc, text.len + 1, 1);
    if (p && text.len)
        memcpy(p, text.ptr, text.len);
    return p;
}

void rmri_crd_text_free(rmr_coord *c, char *text)
{
    if (text)
        rmr_release(&c->env.alloc, text, strlen(text) + 1);
}

void rmri_crd_list_free(rmr_coord *c, crd_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        rmri_crd_text_free(c, l->p[i]);
    rmr_release(&c->env.alloc, l->p, l->n * sizeof *l->p);
    memset(l, 0, sizeof *l);
}

rmr_err rmri_crd_list_set(rmr_coord *c, crd_list *l, const char *const *p,
                          size_t n)
{
    crd_list fresh = {NULL, n};
    if (n)
        fresh.p = rmr_alloc_zero(&c->env.alloc, n * sizeof *fresh.p,
                                 _Alignof(char *));
    if (n && !fresh.p)
        return RMR_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        fresh.p[i] = rmri_crd_text(c, rmr_bytes_str(p[i]));
        if (!fresh.p[i]) {
            rmri_crd_list_free(c, &fresh);
            return RMR_E_NOMEM;
        }
    }
    rmri_crd_list_free(c, l);
    *l = fresh;
    return RMR_OK;
}

void *rmri_crd_room(rmr_coord *c, void *array, size_t n, size_t *cap,
                    size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap ? *cap * 2 : 4;
    void *p = rmr_alloc_zero(&c->env.alloc, more * size, _Alignof(max_align_t));
    if (!p)
        return NULL;
    if (n)
        memcpy(p, array, n * size);
    rmr_release(&c->env.alloc, array, *cap * size);
    *cap = more;
    return p;
}

/* ---- bytes --------------------------------------------------------------- */

rmr_err rmri_crd_buf_add(rmr_coord *c, crd_buf *b, rmr_bytes data)
{
    if (data.len > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->len < data.len)
            cap *= 2;
        uint8_t *p = rmr_alloc_zero(&c->env.alloc, cap, 1);
        if (!p)
            return RMR_E_NOMEM;
        if (b->len)
            memcpy(p, b->p, b->len);
        rmr_release_wiped(&c->env.alloc, b->p, b->cap);
        b->p = p;
        b->cap = cap;
    }
    if (data.len)
        memcpy(b->p + b->len, data.ptr, data.len);
    b->len += data.len;
    return RMR_OK;
}

void rmri_crd_buf_consume(rmr_coord *c, crd_buf *b, size_t n)
{
    b->off += n;
    if (b->off == b->len)
        rmri_crd_buf_free(c, b);
}

void rmri_crd_buf_free(rmr_coord *c, crd_buf *b)
{
    rmr_release_wiped(&c->env.alloc, b->p, b->cap);
    memset(b, 0, sizeof *b);
}
