/* The table's copy, with names in wire form. */
#include "md_internal.h"

#include <string.h>

static size_t copy_resolvers(const rmr_addr *from, size_t n, rmr_addr *to)
{
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < RMR_MD_MAX_RESOLVERS; i++) {
        if (rmr_addr_ip_len(&from[i]) == 0)
            continue;
        to[kept] = from[i];
        if (to[kept].port == 0)
            to[kept].port = 53;
        kept++;
    }
    return kept;
}

static void *array(const rmr_alloc *a, size_t n, size_t size, size_t align,
                   bool *ok)
{
    void *p = n ? rmr_alloc_zero(a, n * size, align) : NULL;
    *ok = *ok && (p || n == 0);
    return p;
}

static bool copy_route(const rmr_alloc *a, const rmr_md_route *from,
                       md_route *to)
{
    bool ok = true;
    if (!from->is_own)
        to->resolvers = array(a, RMR_MD_MAX_RESOLVERS, sizeof(rmr_addr),
                              _Alignof(rmr_addr), &ok);
    if (!ok)
        return false;
    to->is_own = from->is_own;
    if (to->resolvers)
        to->n = (uint8_t)copy_resolvers(from->resolvers, from->n_resolvers,
                                        to->resolvers);
    return true;
}

static bool copy_routes(const rmr_alloc *a, const rmr_md_table *from,
                        md_table *t)
{
    for (size_t i = 0; i < from->n_routes; i++) {
        md_route *r = &t->routes[t->n_routes];
        if (!rmri_md_wire(from->routes[i].suffix, &r->zone))
            continue;
        t->n_routes++; /* also when it fails: to be wiped */
        if (!copy_route(a, &from->routes[i], r))
            return false;
    }
    return true;
}

static void copy_records(const rmr_md_table *from, md_table *t)
{
    for (size_t i = 0; i < from->n_records; i++) {
        md_record *r = &t->records[t->n_records];
        if (rmr_addr_ip_len(&from->records[i].addr) == 0 ||
            !rmri_md_wire(from->records[i].name, &r->name))
            continue;
        r->addr = from->records[i].addr;
        t->n_records++;
    }
}

rmr_err rmri_md_table_copy(const rmr_alloc *a, const rmr_md_table *from,
                           md_table *out)
{
    md_table t = {0};
    bool ok = true;
    t.proxied = from->proxied;
    if (from->suffix && from->suffix[0] &&
        !rmri_md_wire(from->suffix, &t.suffix))
        t.suffix.len = 0;
    t.cap_records = from->n_records;
    t.records =
        array(a, t.cap_records, sizeof(md_record), _Alignof(md_record), &ok);
    t.cap_routes = from->n_routes;
    t.routes =
        array(a, t.cap_routes, sizeof(md_route), _Alignof(md_route), &ok);
    if (!ok || !copy_routes(a, from, &t)) {
        rmri_md_table_wipe(a, &t);
        return RMR_E_NOMEM;
    }
    copy_records(from, &t);
    t.n_resolvers =
        copy_resolvers(from->resolvers, from->n_resolvers, t.resolvers);
    t.n_system = copy_resolvers(from->system, from->n_system, t.system);
    t.n_http = copy_resolvers(from->http, from->n_http, t.http);
    *out = t;
    return RMR_OK;
}

void rmri_md_table_wipe(const rmr_alloc *a, md_table *t)
{
    for (size_t i = 0; i < t->n_routes; i++)
        if (t->routes[i].resolvers)
            rmr_release(a, t->routes[i].resolvers,
                        RMR_MD_MAX_RESOLVERS * sizeof(rmr_addr));
    if (t->routes)
        rmr_release(a, t->routes, t->cap_routes * sizeof(md_route));
    if (t->records)
        rmr_release(a, t->records, t->cap_records * sizeof(md_record));
    memset(t, 0, sizeof *t);
}

/* 100.64/10 and fd7a:115c:a1e0::/48, where MagicDNS is on. */
static bool is_tailnet_reverse(const rmri_dns_name *name)
{
    static const char *const zones[2] = {"0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa",
                                         "100.in-addr.arpa"};
    rmri_dns_name zone, at = *name;
    if (rmri_md_wire(zones[0], &zone) && rmri_md_in(name, &zone))
        return true;
    (void)rmri_md_wire(zones[1], &zone);
    for (rmri_dns_name up = at; rmri_md_parent(&up); at = up) {
        if (!rmri_dns_name_eq(&up, &zone))
            continue;
        unsigned v = 0;
        size_t n = at.wire[0];
        if (n < 2 || n > 3 || at.wire[1] == '0')
            return false;
        for (size_t i = 1; i <= n; i++) {
            if (at.wire[i] < '0' || at.wire[i] > '9')
                return false;
            v = v * 10 + (at.wire[i] - (unsigned)'0');
        }
        return v >= 64 && v <= 127;
    }
    return false;
}

bool rmri_md_is_own_zone(const md_table *t, const rmri_dns_name *name)
{
    if (t->proxied && ((t->suffix.len && rmri_md_in(name, &t->suffix)) ||
                       is_tailnet_reverse(name)))
        return true;
    for (size_t i = 0; i < t->n_routes; i++)
        if (t->routes[i].is_own && rmri_md_in(name, &t->routes[i].zone))
            return true;
    return false;
}

rmr_md_place rmri_md_resolvers(const md_table *t, const rmri_dns_name *name,
                               md_list *out)
{
    const md_route *best = NULL;
    for (size_t i = 0; i < t->n_routes; i++) {
        const md_route *r = &t->routes[i];
        if (!r->is_own && rmri_md_in(name, &r->zone) &&
            (!best || r->zone.len > best->zone.len))
            best = r;
    }
    if (best) {
        *out = (md_list){best->resolvers, best->n};
        return RMR_MD_ROUTE;
    }
    if (t->n_resolvers) {
        *out = (md_list){t->resolvers, t->n_resolvers};
        return RMR_MD_RESOLVERS;
    }
    *out = (md_list){t->system, t->n_system};
    return RMR_MD_SYSTEM;
}
