/* The table's copy, with names in wire form. */
#include "md_internal.h"

#include <remora/text.h>
#include <string.h>

static void *array(const rmr_alloc *a, size_t n, size_t size, size_t align,
                   bool *ok)
{
    void *p = n ? rmr_alloc_zero(a, n * size, align) : NULL;
    *ok = *ok && (p || n == 0);
    return p;
}

/* Those that are addresses; *n is 0 where there is no memory. */
static rmr_addr *copy_resolvers(const rmr_alloc *a, const rmr_addr *from,
                                size_t n, size_t *n_out, bool *ok)
{
    rmr_addr all[RMR_MD_MAX_RESOLVERS];
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < RMR_MD_MAX_RESOLVERS; i++) {
        if (rmr_addr_ip_len(&from[i]) == 0)
            continue;
        all[kept] = from[i];
        if (all[kept].port == 0)
            all[kept].port = 53;
        kept++;
    }
    rmr_addr *to = array(a, kept, sizeof *to, _Alignof(rmr_addr), ok);
    *n_out = to ? kept : 0;
    if (to)
        memcpy(to, all, kept * sizeof *to);
    return to;
}

static bool copy_route(const rmr_alloc *a, const rmr_md_route *from,
                       md_route *to)
{
    bool ok = true;
    size_t n = 0;
    to->is_own = from->is_own;
    if (!from->is_own)
        to->resolvers =
            copy_resolvers(a, from->resolvers, from->n_resolvers, &n, &ok);
    to->n = (uint8_t)n;
    return ok;
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
    rmri_dns_name suffix;
    if (from->suffix && from->suffix[0] && rmri_md_wire(from->suffix, &suffix))
        ok = !rmr_text_keep(&t.suffix, a, rmr_bytes_str(from->suffix));
    t.resolvers = copy_resolvers(a, from->resolvers, from->n_resolvers,
                                 &t.n_resolvers, &ok);
    t.system =
        copy_resolvers(a, from->system, from->n_system, &t.n_system, &ok);
    t.http = copy_resolvers(a, from->http, from->n_http, &t.n_http, &ok);
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
    *out = t;
    return RMR_OK;
}

void rmri_md_table_wipe(const rmr_alloc *a, md_table *t)
{
    for (size_t i = 0; i < t->n_routes; i++)
        rmr_release(a, t->routes[i].resolvers,
                    t->routes[i].n * sizeof(rmr_addr));
    rmr_release(a, t->resolvers, t->n_resolvers * sizeof(rmr_addr));
    rmr_release(a, t->system, t->n_system * sizeof(rmr_addr));
    rmr_release(a, t->http, t->n_http * sizeof(rmr_addr));
    (void)rmr_text_keep(&t->suffix, a, rmr_bytes_str(""));
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

rmri_dns_name rmri_md_suffix(const md_table *t)
{
    rmri_dns_name name;
    name.len = 0;
    if (t->suffix)
        (void)rmri_md_wire(t->suffix, &name); /* it was one */
    return name;
}

bool rmri_md_is_own_zone(const md_table *t, const rmri_dns_name *name)
{
    rmri_dns_name suffix = rmri_md_suffix(t);
    if (t->proxied &&
        ((suffix.len && rmri_md_in(name, &suffix)) || is_tailnet_reverse(name)))
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
