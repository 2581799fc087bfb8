/* Lists of prefixes, and one prefix without others. */
#include "node_internal.h"

#include <string.h>

#define MAX_PREFIXES 16384 /* of a list; what does not fit is left out */

static size_t bits_of(const rmr_prefix *p)
{
    return p->family == RMR_AF_INET ? 32 : 128;
}

rmr_err rmri_node_prefixes_add(nd_prefixes *l, const rmr_alloc *a,
                               const rmr_prefix *p)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        if (cap > MAX_PREFIXES)
            return RMR_E_FULL;
        rmr_prefix *more =
            rmr_alloc_zero(a, cap * sizeof *p, _Alignof(rmr_prefix));
        if (!more)
            return RMR_E_NOMEM;
        if (l->n)
            memcpy(more, l->p, l->n * sizeof *p);
        rmr_release(a, l->p, l->cap * sizeof *p);
        l->p = more;
        l->cap = cap;
    }
    l->p[l->n++] = *p;
    return RMR_OK;
}

void rmri_node_prefixes_free(nd_prefixes *l, const rmr_alloc *a)
{
    rmr_release(a, l->p, l->cap * sizeof *l->p);
    memset(l, 0, sizeof *l);
}

bool rmri_node_prefixes_have(const nd_prefixes *l, const rmr_addr *ip)
{
    for (size_t i = 0; i < l->n; i++)
        if (rmr_prefix_contains(&l->p[i], ip))
            return true;
    return false;
}

/* A prefix whose bits behind its length are 0. */
rmr_prefix rmri_node_prefix_masked(const rmr_prefix *p)
{
    rmr_prefix out = *p;
    for (size_t i = p->bits; i < bits_of(p); i++)
        out.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
    return out;
}

bool rmri_node_prefix_is_clean(const rmr_prefix *p)
{
    rmr_prefix m = rmri_node_prefix_masked(p);
    return p->bits <= bits_of(p) && rmr_prefix_eq(&m, p);
}

/* a holds all of b. */
static bool covers(const rmr_prefix *a, const rmr_prefix *b)
{
    rmr_addr at = rmr_prefix_addr(b);
    return a->family == b->family && a->bits <= b->bits &&
           rmr_prefix_contains(a, &at);
}

/* Halves what a hole lies in, until halves are whole or gone: at most a level a
 * bit. */
rmr_err rmri_node_prefixes_add_without(nd_prefixes *l, const rmr_alloc *a,
                                       const rmr_prefix *p,
                                       const nd_prefixes *holes)
{
    bool touched = false;
    for (size_t i = 0; i < holes->n; i++) {
        if (covers(&holes->p[i], p))
            return RMR_OK;
        touched = touched || covers(p, &holes->p[i]);
    }
    if (!touched)
        return rmri_node_prefixes_add(l, a, p);
    rmr_prefix half = *p; /* shorter than a hole in it: there is a bit more */
    half.bits++;
    rmr_err err = rmri_node_prefixes_add_without(l, a, &half, holes);
    if (err != RMR_OK)
        return err;
    half.ip[p->bits / 8] |= (uint8_t)(0x80u >> (p->bits % 8));
    return rmri_node_prefixes_add_without(l, a, &half, holes);
}
