/* The pool of record buffers. */
#include "tls_pool.h"

rmr_err rmr_tls_pool_new(rmr_tls_pool **out, const rmr_env *env,
                         size_t max_bufs)
{
    *out = NULL;
    if (max_bufs < 2 || max_bufs > SIZE_MAX / sizeof(uint8_t *))
        return RMR_E_INVAL;
    const rmr_alloc *a = &env->alloc;
    rmr_tls_pool *p = rmr_alloc_zero(a, sizeof *p, _Alignof(rmr_tls_pool));
    if (!p)
        return RMR_E_NOMEM;
    p->idle =
        rmr_alloc_zero(a, max_bufs * sizeof *p->idle, _Alignof(uint8_t *));
    if (!p->idle) {
        rmr_release(a, p, sizeof *p);
        return RMR_E_NOMEM;
    }
    p->alloc = *a;
    p->stats.max = max_bufs;
    *out = p;
    return RMR_OK;
}

void rmr_tls_pool_trim(rmr_tls_pool *p, size_t keep)
{
    while (p->n_idle > keep) {
        uint8_t *buf = p->idle[--p->n_idle];
        rmr_wipe(buf, p->dirty);
        rmr_release(&p->alloc, buf, RMR_TLS_POOL_BUF);
        p->stats.allocated--;
    }
    if (p->stats.allocated == 0)
        p->dirty = 0;
}

void rmr_tls_pool_free(rmr_tls_pool *p)
{
    if (!p)
        return;
    rmr_alloc a = p->alloc;
    rmr_tls_pool_trim(p, 0);
    rmr_release(&a, p->idle, p->stats.max * sizeof *p->idle);
    rmr_release(&a, p, sizeof *p);
}

bool rmri_tls_pool_can(const rmr_tls_pool *p, bool input, bool output)
{
    size_t want = (input ? 1u : 0u) + (output ? 1u : 0u);
    return want <= p->stats.max - p->stats.in_use &&
           (!input || p->stats.in_use_input < p->stats.max / 2);
}

bool rmr_tls_pool_has_room(const rmr_tls_pool *p)
{
    return rmri_tls_pool_can(p, false, true);
}

rmr_tls_pool_stats rmr_tls_pool_stats_get(const rmr_tls_pool *p)
{
    return p->stats;
}

static uint8_t *idle_or_new(rmr_tls_pool *p)
{
    if (p->n_idle)
        return p->idle[--p->n_idle];
    uint8_t *buf = rmr_alloc_raw(&p->alloc, RMR_TLS_POOL_BUF, 1);
    if (buf)
        p->stats.allocated++;
    return buf;
}

uint8_t *rmri_tls_pool_take(rmr_tls_pool *p, bool input)
{
    uint8_t *buf = rmri_tls_pool_can(p, input, !input) ? idle_or_new(p) : NULL;
    if (!buf) {
        p->stats.refused++;
        return NULL;
    }
    p->stats.in_use++;
    p->stats.in_use_input += input;
    return buf;
}

void rmri_tls_pool_give(rmr_tls_pool *p, uint8_t *buf, size_t used, bool input)
{
    if (used > p->dirty)
        p->dirty = used;
    p->idle[p->n_idle++] = buf;
    p->stats.in_use--;
    p->stats.in_use_input -= input;
}
