/* Endpoints: gathered in order, and remembered. */
#include "endpoints_internal.h"

#include <string.h>

void rmr_endpoints_init(rmr_endpoints *e, const rmr_alloc *alloc)
{
    memset(e, 0, sizeof *e);
    e->gathered_at = RMR_TIME_NEVER;
    e->alloc = *alloc;
}

void rmr_endpoints_wipe(rmr_endpoints *e)
{
    rmr_release(&e->alloc, e->list, e->cap * sizeof *e->list);
    rmr_release(&e->alloc, e->cache, e->cap_cache * sizeof *e->cache);
    memset(e, 0, sizeof *e);
}

void rmr_endpoints_forget(rmr_endpoints *e)
{
    e->n_cache = 0;
}

/* ---- the set that is being gathered --------------------------------------- */

typedef struct set {
    rmr_endpoint list[RMR_ENDPOINTS_MAX];
    size_t n;
    uint64_t left_out;
} set;

/* The first of equal addresses fixes the type. */
static void add(set *s, const rmr_addr *a, rmr_endpoint_type type)
{
    if (a->family == RMR_AF_NONE || a->port == 0)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (rmr_addr_eq(&s->list[i].addr, a))
            return;
    if (s->n == RMR_ENDPOINTS_MAX) {
        s->left_out++;
        return;
    }
    s->list[s->n].addr = *a;
    s->list[s->n++].type = (uint8_t)type;
}

static void add_with_port(set *s, rmr_addr a, uint16_t port,
                          rmr_endpoint_type type)
{
    a.port = port;
    add(s, &a, type);
}

/* The public address, and others that were seen twice: a single sight of
 * another one is what a NAT that maps by destination shows to each server. */
static void add_globals(set *s, const rmr_addr *first,
                        const rmr_netcheck_global *list, size_t n)
{
    add(s, first, RMR_ENDPOINT_STUN);
    for (size_t i = 0; i < n; i++)
        if (list[i].seen >= 2)
            add(s, &list[i].addr, RMR_ENDPOINT_STUN);
}

static void add_report(set *s, const rmr_endpoints_input *in)
{
    const rmr_netcheck_report *r = in->report;
    if (!r)
        return;
    add_globals(s, &r->global_v4, r->globals_v4, r->n_globals_v4);
    add_globals(s, &r->global_v6, r->globals_v6, r->n_globals_v6);
    /* Behind a hard NAT the user may have forwarded the port by hand. */
    if (r->mapping_varies == RMR_NETCHECK_YES)
        add_with_port(s, r->global_v4, in->fixed_port,
                      RMR_ENDPOINT_STUN4_LOCAL_PORT);
}

static void add_local(set *s, const rmr_endpoints_input *in)
{
    rmr_addr own[RMR_ENDPOINTS_MAX];
    if (in->bound.family != RMR_AF_NONE) {
        add_with_port(s, in->bound, in->local_port, RMR_ENDPOINT_LOCAL);
        return;
    }
    size_t n = rmri_endpoints_local(in->ifaces, in->n_ifaces, own,
                                    RMR_ENDPOINTS_MAX, s->n == 0, &s->left_out);
    for (size_t i = 0; i < n; i++)
        add_with_port(s, own[i], in->local_port, RMR_ENDPOINT_LOCAL);
}

/* ---- the cache ------------------------------------------------------------ */

static void drop(rmr_endpoints *e, size_t at)
{
    e->n_cache--;
    memmove(&e->cache[at], &e->cache[at + 1],
            (e->n_cache - at) * sizeof *e->cache);
}

/* Drops the entry that was seen longest ago: of that IP address, or of all
 * (`ip` NULL). */
static void evict(rmr_endpoints *e, const rmr_addr *ip)
{
    size_t oldest = e->n_cache;
    for (size_t i = 0; i < e->n_cache; i++)
        if ((!ip || rmr_addr_ip_eq(&e->cache[i].ep.addr, ip)) &&
            (oldest == e->n_cache || e->cache[i].seen < e->cache[oldest].seen))
            oldest = i;
    e->evicted++;
    drop(e, oldest);
}

static size_t count_ip(const rmr_endpoints *e, const rmr_addr *ip)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_cache; i++)
        n += rmr_addr_ip_eq(&e->cache[i].ep.addr, ip);
    return n;
}

static bool is_same(const rmr_endpoint *a, const rmr_endpoint *b)
{
    return a->type == b->type && rmr_addr_eq(&a->addr, &b->addr);
}

static bool extend(rmr_endpoints *e, const rmr_endpoint *ep)
{
    for (size_t i = 0; i < e->n_cache; i++) {
        if (is_same(&e->cache[i].ep, ep)) {
            e->cache[i].seen = e->now;
            return true;
        }
    }
    return false;
}

static void expire(rmr_endpoints *e)
{
    for (size_t i = e->n_cache; i > 0; i--)
        if (rmr_time_since(e->now, e->cache[i - 1].seen) >
            RMR_ENDPOINTS_CACHE_FOR)
            drop(e, i - 1);
}

/* Room for one more; false: at the bound, or no memory. */
static bool more_cache(rmr_endpoints *e)
{
    size_t cap = e->cap_cache ? e->cap_cache * 2 : 4;
    if (e->n_cache < e->cap_cache)
        return true;
    if (cap > RMR_ENDPOINTS_CACHE_MAX)
        return false;
    rmr_endpoints_cached *list = rmr_alloc_raw(&e->alloc, cap * sizeof *list,
                                               _Alignof(rmr_endpoints_cached));
    if (!list)
        return false;
    if (e->n_cache)
        memcpy(list, e->cache, e->n_cache * sizeof *list);
    rmr_release(&e->alloc, e->cache, e->cap_cache * sizeof *list);
    e->cache = list;
    e->cap_cache = cap;
    return true;
}

static void remember(rmr_endpoints *e, const rmr_endpoint *ep)
{
    if (extend(e, ep))
        return;
    if (count_ip(e, &ep->addr) >= RMR_ENDPOINTS_CACHE_PER_IP)
        evict(e, &ep->addr);
    if (!more_cache(e)) {
        if (e->n_cache == 0)
            return;
        evict(e, NULL);
    }
    e->cache[e->n_cache].ep = *ep;
    e->cache[e->n_cache++].seen = e->now;
}

/* What is seen now is extended first, so that it does not make room for
 * itself; what was remembered comes behind it. */
static void through_cache(rmr_endpoints *e, set *s)
{
    size_t seen_now = s->n;
    for (size_t i = 0; i < seen_now; i++)
        (void)extend(e, &s->list[i]);
    expire(e);
    for (size_t i = 0; i < seen_now; i++)
        remember(e, &s->list[i]);
    for (size_t i = 0; i < e->n_cache; i++)
        add(s, &e->cache[i].ep.addr, (rmr_endpoint_type)e->cache[i].ep.type);
}

/* ---- gathering ------------------------------------------------------------ */

/* Room for the set that was gathered, else it is cut to the room that is there. */
static void fit(rmr_endpoints *e, set *s)
{
    if (s->n <= e->cap)
        return;
    rmr_endpoint *list =
        rmr_alloc_raw(&e->alloc, s->n * sizeof *list, _Alignof(rmr_endpoint));
    if (!list) {
        s->left_out += s->n - e->cap;
        s->n = e->cap;
        return;
    }
    if (e->n)
        memcpy(list, e->list, e->n * sizeof *list);
    rmr_release(&e->alloc, e->list, e->cap * sizeof *list);
    e->list = list;
    e->cap = s->n;
}

bool rmr_endpoints_gather(rmr_endpoints *e, rmr_time now,
                          const rmr_endpoints_input *in)
{
    set s;
    memset(&s, 0, sizeof s);
    if (now > e->now)
        e->now = now;
    if (in->portmap)
        add(&s, in->portmap, RMR_ENDPOINT_PORTMAPPED);
    add_report(&s, in);
    for (size_t i = 0; i < in->n_cloud; i++)
        add_with_port(&s, in->cloud[i], in->local_port, RMR_ENDPOINT_LOCAL);
    through_cache(e, &s);
    for (size_t i = 0; i < in->n_fixed; i++)
        add(&s, &in->fixed[i], RMR_ENDPOINT_EXPLICIT);
    add_local(&s, in);
    fit(e, &s);
    bool changed = e->gathered_at == RMR_TIME_NEVER
                       ? s.n > 0
                       : !rmr_endpoints_same(e->list, e->n, s.list, s.n);
    if (s.n)
        memcpy(e->list, s.list, s.n * sizeof *e->list);
    e->n = s.n;
    e->left_out += s.left_out;
    e->gathered_at = e->now;
    return changed;
}

static bool has(const rmr_endpoint *list, size_t n, const rmr_endpoint *ep)
{
    for (size_t i = 0; i < n; i++)
        if (is_same(&list[i], ep))
            return true;
    return false;
}

bool rmr_endpoints_same(const rmr_endpoint *a, size_t na, const rmr_endpoint *b,
                        size_t nb)
{
    for (size_t i = 0; i < na; i++)
        if (!has(b, nb, &a[i]))
            return false;
    for (size_t i = 0; i < nb; i++)
        if (!has(a, na, &b[i]))
            return false;
    return true;
}

bool rmr_endpoints_may_advertise(const rmr_endpoints *e, bool have_derp_map)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->list[i].type == RMR_ENDPOINT_STUN)
            return true;
    return have_derp_map;
}

bool rmr_endpoints_is_fresh(const rmr_endpoints *e, rmr_time now)
{
    return e->gathered_at != RMR_TIME_NEVER &&
           rmr_time_since(now, e->gathered_at) < RMR_ENDPOINTS_FRESH_FOR;
}
