/* Rules on their way in: parts are collected in pools, each rule's sources are
 * sorted and merged when it ends, and a whole set replaces the old at once. */
#include "filter_internal.h"

#include <remora/cursor.h>

#include <string.h>

static void pools_free(filter_set *s, const rmr_alloc *a)
{
    rmri_ctl_vec_free(&s->rules, a);
    for (int fam = 0; fam < FAMS; fam++) {
        rmri_ctl_vec_free(&s->src[fam], a);
        rmri_ctl_vec_free(&s->dst[fam], a);
    }
}

static void set_free(filter_set *s, const rmr_alloc *a)
{
    pools_free(s, a);
    rmri_filter_index_free(s->index, a);
    s->index = NULL;
    s->n_rules = 0;
}

static void build_free(rmr_filter *f)
{
    if (!f->build)
        return;
    set_free(f->build, &f->env.alloc);
    rmr_release(&f->env.alloc, f->build, sizeof *f->build);
    f->build = NULL;
}

rmr_err rmr_filter_new(rmr_filter **out, const rmr_env *env)
{
    if (!out || !env)
        return RMR_E_INVAL;
    rmr_filter *f =
        rmr_alloc_zero(&env->alloc, sizeof *f, _Alignof(rmr_filter));
    if (!f)
        return RMR_E_NOMEM;
    f->env = *env;
    rmri_filter_flows_init(&f->flows, &env->alloc);
    rmr_err e = rmr_rng_fill(&env->rng, &f->flows.hash, sizeof f->flows.hash);
    if (e) {
        rmr_release(&env->alloc, f, sizeof *f);
        return e;
    }
    *out = f;
    return RMR_OK;
}

void rmr_filter_free(rmr_filter *f)
{
    if (!f)
        return;
    rmr_alloc a = f->env.alloc;
    set_free(&f->active, &a);
    build_free(f);
    rmri_ctl_vec_free(&f->local, &a);
    rmri_filter_flows_free(&f->flows);
    rmr_release_wiped(&a, f, sizeof *f);
}

/* ---- sorting ---------------------------------------------------------- */

static void swap_bytes(uint8_t *a, uint8_t *b, size_t n)
{
    uint8_t t[2 * 16];
    memcpy(t, a, n);
    memcpy(a, b, n);
    memcpy(b, t, n);
}

static void sift_down(uint8_t *p, size_t from, size_t n, size_t size)
{
    for (;;) {
        size_t child = 2 * from + 1;
        if (child >= n)
            return;
        if (child + 1 < n &&
            memcmp(p + child * size, p + (child + 1) * size, size) < 0)
            child++;
        if (memcmp(p + from * size, p + child * size, size) >= 0)
            return;
        swap_bytes(p + from * size, p + child * size, size);
        from = child;
    }
}

static bool are_sorted(const uint8_t *p, size_t n, size_t size)
{
    for (size_t i = 1; i < n; i++) {
        if (memcmp(p + (i - 1) * size, p + i * size, size) > 0)
            return false;
    }
    return true;
}

/* Heap sort: no memory, no bad case.  Servers send them in order as a rule. */
static void sort_ranges(uint8_t *p, size_t n, size_t size)
{
    if (are_sorted(p, n, size))
        return;
    for (size_t i = n / 2; i-- > 0;)
        sift_down(p, i, n, size);
    for (size_t i = n; i-- > 1;) {
        swap_bytes(p, p + i * size, size);
        sift_down(p, 0, i, size);
    }
}

/* Is b the address right behind a? */
static bool is_next(const uint8_t *a, const uint8_t *b, size_t w)
{
    uint8_t t[16];
    memcpy(t, a, w);
    size_t i = w;
    while (i > 0 && ++t[i - 1] == 0)
        i--;
    return i > 0 && memcmp(t, b, w) == 0;
}

/* Joins sorted ranges that overlap or touch; how many are left. */
static size_t merge_ranges(uint8_t *p, size_t n, size_t w)
{
    size_t kept = 0, size = 2 * w;
    for (size_t i = 0; i < n; i++) {
        uint8_t *r = p + i * size;
        uint8_t *last = kept ? p + (kept - 1) * size : NULL;
        if (last && (memcmp(r, last + w, w) <= 0 || is_next(last + w, r, w))) {
            if (memcmp(r + w, last + w, w) > 0)
                memcpy(last + w, r + w, w);
            continue;
        }
        memmove(p + kept * size, r, size);
        kept++;
    }
    return kept;
}

/* ---- building --------------------------------------------------------- */

void rmr_filter_begin(rmr_filter *f)
{
    build_free(f);
    f->build =
        rmr_alloc_zero(&f->env.alloc, sizeof *f->build, _Alignof(filter_set));
    f->building = true;
    f->in_rule = false;
    f->spoilt = f->build ? RMR_OK : RMR_E_NOMEM;
}

static filter_rule *current(rmr_filter *f)
{
    size_t n = f->build->rules.len / sizeof(filter_rule);
    return (filter_rule *)(void *)f->build->rules.p + (n - 1);
}

static rmr_err spoil(rmr_filter *f, rmr_err e)
{
    if (!f->spoilt)
        f->spoilt = e;
    return f->spoilt;
}

static rmr_err ready(const rmr_filter *f, bool in_rule)
{
    if (!f->building || f->in_rule != in_rule)
        return RMR_E_STATE;
    return f->spoilt;
}

rmr_err rmr_filter_rule_begin(rmr_filter *f)
{
    rmr_err e = ready(f, false);
    if (e)
        return e;
    filter_set *b = f->build;
    filter_rule *r =
        rmri_ctl_vec_add(&b->rules, &f->env.alloc, sizeof *r, FILTER_MAX_BYTES);
    if (!r)
        return spoil(f, RMR_E_NOMEM);
    for (int fam = 0; fam < FAMS; fam++) {
        r->src[fam].off = (uint32_t)b->src[fam].len;
        r->dst[fam].off = (uint32_t)b->dst[fam].len;
    }
    f->in_rule = true;
    return RMR_OK;
}

static int family_of(const rmr_ip_range *r)
{
    if (r->family == RMR_AF_INET)
        return FAM4;
    return r->family == RMR_AF_INET6 ? FAM6 : FAMS;
}

static uint8_t *add_range(rmr_filter *f, rmri_ctl_vec *pool,
                          const rmr_ip_range *r, size_t w, size_t size)
{
    uint8_t *at = rmri_ctl_vec_add(pool, &f->env.alloc, size, FILTER_MAX_BYTES);
    if (!at) {
        (void)spoil(f, RMR_E_NOMEM);
        return NULL;
    }
    memcpy(at, r->first, w);
    memcpy(at + w, r->last, w);
    return at;
}

rmr_err rmr_filter_rule_src(rmr_filter *f, const rmr_ip_range *r)
{
    rmr_err e = ready(f, true);
    if (e)
        return e;
    int fam = family_of(r);
    if (fam == FAMS)
        return RMR_E_INVAL;
    if (!add_range(f, &f->build->src[fam], r, FILTER_WIDTH(fam),
                   FILTER_SRC_SIZE(fam)))
        return f->spoilt;
    current(f)->src[fam].n++;
    return RMR_OK;
}

rmr_err rmr_filter_rule_proto(rmr_filter *f, uint8_t proto)
{
    rmr_err e = ready(f, true);
    if (e)
        return e;
    current(f)->proto[proto / 32] |= (uint32_t)1 << (proto % 32);
    return RMR_OK;
}

rmr_err rmr_filter_rule_dst(rmr_filter *f, const rmr_ip_range *r,
                            uint16_t first_port, uint16_t last_port)
{
    rmr_err e = ready(f, true);
    if (e)
        return e;
    int fam = family_of(r);
    if (fam == FAMS)
        return RMR_E_INVAL;
    uint8_t *at = add_range(f, &f->build->dst[fam], r, FILTER_WIDTH(fam),
                            FILTER_DST_SIZE(fam));
    if (!at)
        return f->spoilt;
    rmr_store_be16(at + FILTER_SRC_SIZE(fam), first_port);
    rmr_store_be16(at + FILTER_SRC_SIZE(fam) + 2, last_port);
    current(f)->dst[fam].n++;
    return RMR_OK;
}

rmr_err rmr_filter_rule_end(rmr_filter *f)
{
    rmr_err e = ready(f, true);
    if (e)
        return e;
    filter_rule *r = current(f);
    for (int fam = 0; fam < FAMS; fam++) {
        size_t size = FILTER_SRC_SIZE(fam);
        uint8_t *p = f->build->src[fam].p;
        if (r->src[fam].n == 0)
            continue;
        p += r->src[fam].off;
        sort_ranges(p, r->src[fam].n, size);
        size_t n = merge_ranges(p, r->src[fam].n, FILTER_WIDTH(fam));
        r->src[fam].n = (uint32_t)n;
        f->build->src[fam].len = r->src[fam].off + n * size;
    }
    f->in_rule = false;
    return RMR_OK;
}

/* To walk a few rules takes no longer than to look four sets up, and their index
 * would be made for nothing where a netmap changes more often than packets come. */
static bool wants_index(const rmr_filter *f)
{
    enum { FEW_RULES = 4, FEW_DSTS = 16 };
    const filter_set *s = f->build;
    const filter_rule *r = (const filter_rule *)(const void *)s->rules.p;
    size_t dsts = 0;
    if (f->index_when != FILTER_INDEX_MANY)
        return f->index_when == FILTER_INDEX_ALL;
    if (s->n_rules > FEW_RULES)
        return true;
    for (size_t i = 0; i < s->n_rules; i++)
        dsts += (size_t)r[i].dst[FAM4].n + r[i].dst[FAM6].n;
    return dsts > FEW_DSTS;
}

rmr_err rmr_filter_commit(rmr_filter *f)
{
    if (!f->building || (f->in_rule && !f->spoilt))
        return RMR_E_STATE;
    f->building = false;
    f->in_rule = false;
    if (f->spoilt) {
        build_free(f);
        return f->spoilt;
    }
    filter_set *b = f->build;
    b->n_rules = b->rules.len / sizeof(filter_rule);
    /* Rules without an index hold all the same, only slower. */
    if (wants_index(f))
        b->index = rmri_filter_index_new(b, &f->env.alloc);
    if (b->index)
        pools_free(b, &f->env.alloc);
    set_free(&f->active, &f->env.alloc);
    f->active = *b;
    memset(b, 0, sizeof *b);
    build_free(f);
    rmri_ctl_vec_trim(&f->active.rules, &f->env.alloc);
    for (int fam = 0; fam < FAMS; fam++) {
        rmri_ctl_vec_trim(&f->active.src[fam], &f->env.alloc);
        rmri_ctl_vec_trim(&f->active.dst[fam], &f->env.alloc);
    }
    return RMR_OK;
}

rmr_err rmr_filter_set_local(rmr_filter *f, const rmr_prefix *p, size_t n)
{
    rmri_ctl_vec v = {0};
    if (n && !p)
        return RMR_E_INVAL;
    if (n > FILTER_MAX_BYTES / sizeof *p)
        return RMR_E_NOMEM;
    if (n) {
        void *at = rmri_ctl_vec_add(&v, &f->env.alloc, n * sizeof *p,
                                    FILTER_MAX_BYTES);
        if (!at)
            return RMR_E_NOMEM;
        memcpy(at, p, n * sizeof *p);
    }
    rmri_ctl_vec_free(&f->local, &f->env.alloc);
    f->local = v;
    return RMR_OK;
}

size_t rmr_filter_rule_count(const rmr_filter *f)
{
    return f->active.n_rules;
}

uint64_t rmr_filter_dropped(const rmr_filter *f)
{
    return f->dropped;
}
