/*
 * DNSConfig.  Its parts are staged with offsets into one text, because members
 * come in any order and arrays grow; when the object is whole, one block with
 * pointers is made of them, which replaces the old one if it differs.
 */
#include "nm_internal.h"

#include <string.h>

enum { DNS_PORT = 53 };

static const rmr_nm_dns_config nothing;

const rmr_nm_dns_config *rmr_nm_dns(const rmr_nm *nm)
{
    return nm->dns ? &nm->dns->cfg : &nothing;
}

/* ---- staging ---------------------------------------------------------- */

void rmri_nm_dns_discard(rmr_nm *nm)
{
    if (!nm->read)
        return;
    nm_dns_stage *s = &nm->read->new_dns;
    rmri_ctl_vec_free(&s->text, &nm->alloc);
    rmri_ctl_vec_free(&s->resolvers, &nm->alloc);
    rmri_ctl_vec_free(&s->boots, &nm->alloc);
    rmri_ctl_vec_free(&s->routes, &nm->alloc);
    rmri_ctl_vec_free(&s->records, &nm->alloc);
    for (size_t i = 0; i < NM_DNS_LISTS; i++)
        rmri_ctl_vec_free(&s->list[i], &nm->alloc);
    memset(s, 0, sizeof *s);
}

void rmri_nm_dns_free(rmr_nm *nm)
{
    rmri_nm_dns_discard(nm);
    if (nm->dns)
        rmr_release(&nm->alloc, nm->dns, nm->dns->size);
    nm->dns = NULL;
}

static void *add(rmr_nm *nm, rmri_ctl_vec *v, size_t size)
{
    return rmri_ctl_vec_add(v, &nm->alloc, size, SIZE_MAX);
}

/* Is there no room for one more of `max`?  It is counted then. */
static bool is_full(rmr_nm *nm, const rmri_ctl_vec *v, size_t size, size_t max)
{
    if (v->len / size < max)
        return false;
    rmri_nm_drop(nm);
    return true;
}

/* Copies a text with a NUL; its offset in *off.  Errors: NOMEM; TOOBIG, which
 * was counted. */
static rmr_err put_text(rmr_nm *nm, rmr_bytes text, bool name, uint32_t *off)
{
    rmri_ctl_vec *v = &nm->read->new_dns.text;
    if (name && text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    if (text.len >= NM_DNS_TEXT_MAX || rmri_ctl_has_byte(text, 0) ||
        v->len + text.len >= NM_MAX_DNS_BYTES) {
        rmri_nm_drop(nm);
        return RMR_E_TOOBIG;
    }
    size_t at = v->len;
    char *p = add(nm, v, text.len + 1);
    if (!p)
        return RMR_E_NOMEM;
    if (text.len)
        memcpy(p, text.ptr, text.len);
    for (size_t i = 0; name && i < text.len; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z') /* RFC 4343 */
            p[i] = (char)(p[i] | 0x20);
    }
    *off = (uint32_t)at;
    return RMR_OK;
}

static rmr_err soft(rmr_err e)
{
    return e == RMR_E_TOOBIG ? RMR_OK : e;
}

static rmr_err put_name(rmr_nm *nm, unsigned list, rmr_json_kind kind,
                        rmr_bytes text)
{
    rmri_ctl_vec *v = &nm->read->new_dns.list[list];
    uint32_t off;
    if (kind != RMR_JSON_STRING || text.len == 0) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (is_full(nm, v, sizeof off, NM_MAX_DNS_NAMES))
        return RMR_OK;
    rmr_err e = put_text(nm, text, true, &off);
    if (e)
        return soft(e);
    uint32_t *at = add(nm, v, sizeof off);
    if (!at)
        return RMR_E_NOMEM;
    *at = off;
    return RMR_OK;
}

/* ---- resolvers -------------------------------------------------------- */

static bool starts_with(rmr_bytes text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && rmr_bytes_eq_nocase(rmr_bytes_of(text.ptr, n),
                                                rmr_bytes_str(prefix));
}

/* An address with or without a port; family NONE where it is none. */
static void address_of(rmr_bytes text, uint16_t port, rmr_addr *out)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    if (rmr_addr_parse_ip(text, &a) == RMR_OK)
        a.port = port;
    else if (rmr_addr_parse(text, &a))
        memset(&a, 0, sizeof a);
    rmri_ctl_put_addr(out, &a);
}

/* "http://ip:port/dns-query" is peerAPI's form: the address stands in it. */
static void classify(nm_resolver *r, rmr_bytes text)
{
    if (starts_with(text, "https://")) {
        r->kind = RMR_NM_RESOLVER_HTTPS;
    } else if (starts_with(text, "http://")) {
        rmr_bytes host = rmr_bytes_of(text.ptr + 7, 0);
        while (7 + host.len < text.len && host.ptr[host.len] != '/')
            host.len++;
        address_of(host, 80, &r->addr);
        r->kind = RMR_NM_RESOLVER_HTTP;
    } else {
        address_of(text, DNS_PORT, &r->addr);
        r->kind = r->addr.family ? RMR_NM_RESOLVER_DNS : RMR_NM_RESOLVER_OTHER;
    }
}

static rmr_err resolver_begin(rmr_nm *nm)
{
    nm_dns_stage *s = &nm->read->new_dns;
    s->open = false;
    if (is_full(nm, &s->resolvers, sizeof(nm_resolver), NM_MAX_RESOLVERS))
        return RMR_OK;
    nm_resolver *r = add(nm, &s->resolvers, sizeof *r);
    if (!r)
        return RMR_E_NOMEM;
    r->first_boot = (uint32_t)(s->boots.len / sizeof(rmr_addr));
    s->open = true;
    return RMR_OK;
}

static nm_resolver *last_resolver(nm_dns_stage *s)
{
    return (nm_resolver *)(void *)(s->resolvers.p + s->resolvers.len) - 1;
}

static nm_span *span_of(nm_dns_stage *s, uint32_t id)
{
    if (id == F_DNS_RESOLVERS)
        return &s->global;
    if (id == F_DNS_FALLBACK)
        return &s->fallback;
    if (!s->route_open)
        return NULL;
    return &((nm_route *)(void *)(s->routes.p + s->routes.len) - 1)->span;
}

/* One without an address is of no use, in a list that nobody takes neither. */
static void resolver_end(rmr_nm *nm, uint32_t id)
{
    nm_dns_stage *s = &nm->read->new_dns;
    nm_span *span = span_of(s, id);
    if (!s->open)
        return;
    s->open = false;
    if (!span || !last_resolver(s)->has_text) {
        s->resolvers.len -= sizeof(nm_resolver);
        rmri_nm_drop(nm);
        return;
    }
    if (span->n == 0)
        span->first = (uint32_t)(s->resolvers.len / sizeof(nm_resolver)) - 1;
    span->n++;
}

static rmr_err resolver_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                              rmr_bytes text)
{
    nm_dns_stage *s = &nm->read->new_dns;
    rmr_addr a, *at;
    if (!s->open)
        return RMR_OK;
    nm_resolver *r = last_resolver(s);
    if (id == F_RES_EXIT) {
        r->with_exit = kind == RMR_JSON_TRUE;
        return RMR_OK;
    }
    if (kind != RMR_JSON_STRING) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (id == F_RES_ADDR) {
        rmr_err e = put_text(nm, text, false, &r->text);
        r->has_text = e == RMR_OK && text.len;
        if (r->has_text)
            classify(r, text);
        return soft(e);
    }
    if (rmr_addr_parse_ip(text, &a)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (r->n_boots >= NM_MAX_BOOTSTRAPS) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    at = add(nm, &s->boots, sizeof a);
    if (!at)
        return RMR_E_NOMEM;
    rmri_ctl_put_addr(at, &a);
    r->n_boots++;
    return RMR_OK;
}

/* ---- routes, records -------------------------------------------------- */

static rmr_err route_key(rmr_nm *nm, rmr_bytes suffix)
{
    nm_dns_stage *s = &nm->read->new_dns;
    uint32_t off;
    s->route_open = false;
    if (is_full(nm, &s->routes, sizeof(nm_route), NM_MAX_DNS_ROUTES))
        return RMR_OK;
    rmr_err e = put_text(nm, suffix, true, &off);
    if (e)
        return soft(e);
    nm_route *r = add(nm, &s->routes, sizeof *r);
    if (!r)
        return RMR_E_NOMEM;
    r->suffix = off;
    s->route_open = true;
    return RMR_OK;
}

/* Type is absent, "A" or "AAAA" for addresses, and the value says of which
 * family; other records are not for us. */
static rmr_err record_end(rmr_nm *nm)
{
    nm_dns_stage *s = &nm->read->new_dns;
    uint32_t off;
    if (s->other_type)
        return RMR_OK;
    if (!s->record_name[0] || !s->value.family) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (is_full(nm, &s->records, sizeof(nm_record), NM_MAX_DNS_RECORDS))
        return RMR_OK;
    rmr_err e = put_text(nm, rmr_bytes_str(s->record_name), true, &off);
    if (e)
        return soft(e);
    nm_record *r = add(nm, &s->records, sizeof *r);
    if (!r)
        return RMR_E_NOMEM;
    r->name = off;
    r->addr = s->value;
    return RMR_OK;
}

static void record_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    nm_dns_stage *s = &nm->read->new_dns;
    if (kind != RMR_JSON_STRING)
        return;
    if (id == F_REC_NAME)
        rmri_nm_text(nm, s->record_name, sizeof s->record_name, text);
    else if (id == F_REC_TYPE)
        s->other_type = text.len && !rmr_bytes_eq_str(text, "A") &&
                        !rmr_bytes_eq_str(text, "AAAA");
    else {
        address_of(text, 0, &s->value);
        if (s->value.port)
            s->value.family = RMR_AF_NONE;
    }
}

/* ---- one block -------------------------------------------------------- */

typedef struct builder {
    const nm_dns_stage *s;
    uint8_t *at;
    const char *text;
    const rmr_nm_resolver *resolvers;
} builder;

static void *take(builder *b, size_t n, size_t size)
{
    void *p = b->at;
    b->at += (n * size + 7) & ~(size_t)7;
    return n ? p : NULL;
}

static size_t room(size_t n, size_t size)
{
    return (n * size + 7) & ~(size_t)7;
}

static size_t count(const rmri_ctl_vec *v, size_t size)
{
    return v->len / size;
}

static size_t block_size(const nm_dns_stage *s)
{
    size_t n = sizeof(nm_dns) + s->text.len + s->boots.len;
    n += room(count(&s->resolvers, sizeof(nm_resolver)),
              sizeof(rmr_nm_resolver));
    n += room(count(&s->routes, sizeof(nm_route)), sizeof(rmr_nm_dns_route));
    n += room(count(&s->records, sizeof(nm_record)), sizeof(rmr_nm_dns_record));
    for (size_t i = 0; i < NM_DNS_LISTS; i++)
        n += room(count(&s->list[i], sizeof(uint32_t)), sizeof(char *));
    return n + 4 * 8; /* what rounding adds */
}

static void build_resolvers(builder *b)
{
    const nm_dns_stage *s = b->s;
    const nm_resolver *r = (const nm_resolver *)(const void *)s->resolvers.p;
    size_t n = count(&s->resolvers, sizeof *r);
    rmr_addr *boots = take(b, count(&s->boots, sizeof *boots), sizeof *boots);
    rmr_nm_resolver *v = take(b, n, sizeof *v);
    if (s->boots.len)
        memcpy(boots, s->boots.p, s->boots.len);
    for (size_t i = 0; i < n; i++) {
        v[i].text = b->text + r[i].text;
        v[i].kind = (rmr_nm_resolver_kind)r[i].kind;
        v[i].addr = r[i].addr;
        v[i].bootstrap = r[i].n_boots ? boots + r[i].first_boot : NULL;
        v[i].n_bootstrap = r[i].n_boots;
        v[i].with_exit_node = r[i].with_exit;
    }
    b->resolvers = v;
}

static const rmr_nm_resolver *span_at(const builder *b, nm_span span)
{
    return span.n ? b->resolvers + span.first : NULL;
}

static void build_routes(builder *b, rmr_nm_dns_config *c)
{
    const nm_route *r = (const nm_route *)(const void *)b->s->routes.p;
    size_t n = count(&b->s->routes, sizeof *r), used = 0;
    rmr_nm_dns_route *v = take(b, n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        rmr_nm_dns_route one = {b->text + r[i].suffix, span_at(b, r[i].span),
                                r[i].span.n};
        size_t at = used;
        while (at > 0 && rmri_ctl_compare(v[at - 1].suffix, one.suffix) > 0)
            at--;
        if (at > 0 && rmri_ctl_same(v[at - 1].suffix, one.suffix)) {
            v[at - 1] = one; /* the last one counts */
            continue;
        }
        memmove(v + at + 1, v + at, (used - at) * sizeof *v);
        v[at] = one;
        used++;
    }
    c->routes = v;
    c->n_routes = used;
}

static void build_records(builder *b, rmr_nm_dns_config *c)
{
    const nm_record *r = (const nm_record *)(const void *)b->s->records.p;
    size_t n = count(&b->s->records, sizeof *r);
    rmr_nm_dns_record *v = take(b, n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i].name = b->text + r[i].name;
        v[i].addr = r[i].addr;
    }
    c->records = v;
    c->n_records = n;
}

static const char *const *build_names(builder *b, unsigned list, size_t *n)
{
    const uint32_t *off = (const uint32_t *)(const void *)b->s->list[list].p;
    *n = count(&b->s->list[list], sizeof *off);
    const char **v = take(b, *n, sizeof *v);
    for (size_t i = 0; i < *n; i++)
        v[i] = b->text + off[i];
    return v;
}

static nm_dns *build(rmr_nm *nm)
{
    const nm_dns_stage *s = &nm->read->new_dns;
    size_t size = block_size(s);
    nm_dns *d = rmr_alloc_zero(&nm->alloc, size, 8);
    if (!d)
        return NULL;
    rmr_nm_dns_config *c = &d->cfg;
    builder b = {s, (uint8_t *)(d + 1), NULL, NULL};
    char *text = take(&b, s->text.len, 1);
    d->size = size;
    if (s->text.len)
        memcpy(text, s->text.p, s->text.len);
    b.text = text;
    build_resolvers(&b);
    build_routes(&b, c);
    build_records(&b, c);
    c->proxied = s->proxied;
    c->resolvers = span_at(&b, s->global);
    c->n_resolvers = s->global.n;
    c->fallback = span_at(&b, s->fallback);
    c->n_fallback = s->fallback.n;
    c->domains = build_names(&b, NM_DNS_DOMAINS, &c->n_domains);
    c->cert_domains = build_names(&b, NM_DNS_CERTS, &c->n_cert_domains);
    c->exit_filtered = build_names(&b, NM_DNS_FILTERED, &c->n_exit_filtered);
    return d;
}

/* ---- comparing -------------------------------------------------------- */

static bool same_names(const char *const *a, size_t n, const char *const *b,
                       size_t m)
{
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++)
        same = rmri_ctl_same(a[i], b[i]);
    return same;
}

static bool same_resolvers(const rmr_nm_resolver *a, size_t n,
                           const rmr_nm_resolver *b, size_t m)
{
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++) {
        same = rmri_ctl_same(a[i].text, b[i].text) &&
               a[i].with_exit_node == b[i].with_exit_node &&
               a[i].n_bootstrap == b[i].n_bootstrap;
        for (size_t k = 0; same && k < a[i].n_bootstrap; k++)
            same = rmr_addr_eq(&a[i].bootstrap[k], &b[i].bootstrap[k]);
    }
    return same;
}

static bool is_same(const rmr_nm_dns_config *a, const rmr_nm_dns_config *b)
{
    bool same =
        a->proxied == b->proxied && a->n_routes == b->n_routes &&
        a->n_records == b->n_records &&
        same_resolvers(a->resolvers, a->n_resolvers, b->resolvers,
                       b->n_resolvers) &&
        same_resolvers(a->fallback, a->n_fallback, b->fallback,
                       b->n_fallback) &&
        same_names(a->domains, a->n_domains, b->domains, b->n_domains) &&
        same_names(a->cert_domains, a->n_cert_domains, b->cert_domains,
                   b->n_cert_domains) &&
        same_names(a->exit_filtered, a->n_exit_filtered, b->exit_filtered,
                   b->n_exit_filtered);
    for (size_t i = 0; same && i < a->n_routes; i++) {
        const rmr_nm_dns_route *p = &a->routes[i], *q = &b->routes[i];
        same = rmri_ctl_same(p->suffix, q->suffix) &&
               same_resolvers(p->resolvers, p->n_resolvers, q->resolvers,
                              q->n_resolvers);
    }
    for (size_t i = 0; same && i < a->n_records; i++)
        same = rmri_ctl_same(a->records[i].name, b->records[i].name) &&
               rmr_addr_eq(&a->records[i].addr, &b->records[i].addr);
    return same;
}

rmr_err rmri_nm_dns_end(rmr_nm *nm)
{
    nm_dns *d = build(nm);
    rmri_nm_dns_discard(nm);
    if (!d)
        return RMR_E_NOMEM;
    nm->saw_dns = true;
    if (is_same(&d->cfg, rmr_nm_dns(nm))) {
        rmr_release(&nm->alloc, d, d->size);
        return RMR_OK;
    }
    rmri_nm_dns_free(nm);
    nm->dns = d;
    nm->changed |= RMR_NM_DNS;
    return RMR_OK;
}

void rmri_nm_dns_first_frame(rmr_nm *nm)
{
    if (nm->saw_dns)
        return;
    if (!is_same(rmr_nm_dns(nm), &nothing))
        nm->changed |= RMR_NM_DNS;
    rmri_nm_dns_free(nm);
}

/* ---- dispatch --------------------------------------------------------- */

rmr_err rmri_nm_dns_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    nm_dns_stage *s = &nm->read->new_dns;
    bool object = kind == RMR_JSON_OBJECT;
    bool end = kind == RMR_JSON_OBJECT_END;
    switch (id) {
    case F_DNS:
        if (object)
            rmri_nm_dns_discard(nm);
        return end ? rmri_nm_dns_end(nm) : RMR_OK;
    case F_DNS_RESOLVERS:
    case F_DNS_FALLBACK:
    case F_DNS_ROUTE:
        if (kind == RMR_JSON_ARRAY && s->depth++ == 0 && span_of(s, id))
            span_of(s, id)->n = 0; /* the same member once more */
        if (kind == RMR_JSON_ARRAY_END)
            s->depth--;
        if (object)
            return resolver_begin(nm);
        if (end)
            resolver_end(nm, id);
        return RMR_OK;
    case F_DNS_RECORDS:
        if (object) {
            s->record_name[0] = '\0';
            s->other_type = false;
            memset(&s->value, 0, sizeof s->value);
        }
        return end ? record_end(nm) : RMR_OK;
    default:
        return RMR_OK;
    }
}

rmr_err rmri_nm_dns_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    if (id == F_DNS_ROUTE && kind == RMR_JSON_KEY)
        return route_key(nm, text);
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    switch (id) {
    case F_DNS_PROXIED:
        nm->read->new_dns.proxied = kind == RMR_JSON_TRUE;
        return RMR_OK;
    case F_DNS_DOMAINS:
        return put_name(nm, NM_DNS_DOMAINS, kind, text);
    case F_DNS_CERTS:
        return put_name(nm, NM_DNS_CERTS, kind, text);
    case F_DNS_FILTERED:
        return put_name(nm, NM_DNS_FILTERED, kind, text);
    case F_RES_ADDR:
    case F_RES_BOOT:
    case F_RES_EXIT:
        return resolver_value(nm, id, kind, text);
    case F_REC_NAME:
    case F_REC_TYPE:
    case F_REC_VALUE:
        record_value(nm, id, kind, text);
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

/* ---- looking ---------------------------------------------------------- */

static bool is_under(rmr_bytes name, const char *suffix)
{
    size_t n = strlen(suffix);
    if (n == 0)
        return true;
    if (name.len < n ||
        !rmr_bytes_eq_nocase(rmr_bytes_of(name.ptr + name.len - n, n),
                             rmr_bytes_of((const uint8_t *)suffix, n)))
        return false;
    return name.len == n || name.ptr[name.len - n - 1] == '.';
}

const rmr_nm_dns_route *rmr_nm_dns_route_of(const rmr_nm *nm, const char *name)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    const rmr_nm_dns_route *best = NULL;
    rmr_bytes n = rmr_bytes_str(name);
    if (n.len && n.ptr[n.len - 1] == '.')
        n.len--;
    for (size_t i = 0; i < c->n_routes; i++) {
        const rmr_nm_dns_route *r = &c->routes[i];
        if (is_under(n, r->suffix) &&
            (!best || strlen(r->suffix) > strlen(best->suffix)))
            best = r;
    }
    return best;
}

const char *rmr_nm_dns_domain_at(const rmr_nm *nm, size_t i)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    return i < c->n_domains ? c->domains[i] : NULL;
}

bool rmr_nm_magic_dns_enabled(const rmr_nm *nm)
{
    return rmr_nm_dns(nm)->proxied;
}
