/* The DNS configuration that clients get: written once, as it is the same for
 * all. */
#include "crd_internal.h"

#define DNS_MAX ((size_t)16 * 1024)

static void put_texts(rmr_jw *w, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rmr_jw_str(w, texts[i]);
}

static void put_resolvers(rmr_jw *w, const char *name, const char *const *addrs,
                          size_t n)
{
    rmr_jw_key(w, name);
    rmr_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        rmr_jw_object(w);
        rmr_jw_kstr(w, "Addr", addrs[i]);
        rmr_jw_object_end(w);
    }
    rmr_jw_array_end(w);
}

static void put_routes(rmr_jw *w, const rmr_coord_dns *d)
{
    rmr_jw_key(w, "Routes");
    rmr_jw_object(w);
    for (size_t i = 0; i < d->n_routes; i++)
        put_resolvers(w, d->routes[i].domain, d->routes[i].resolvers,
                      d->routes[i].n_resolvers);
    rmr_jw_object_end(w);
}

static void put_records(rmr_jw *w, const rmr_coord_dns *d)
{
    rmr_jw_key(w, "ExtraRecords");
    rmr_jw_array(w);
    for (size_t i = 0; i < d->n_records; i++) {
        rmr_jw_object(w);
        rmr_jw_kstr(w, "Name", d->records[i].name);
        rmr_jw_kstr(w, "Type", d->records[i].type);
        rmr_jw_kstr(w, "Value", d->records[i].value);
        rmr_jw_object_end(w);
    }
    rmr_jw_array_end(w);
}

static void put_domains(rmr_jw *w, const rmr_coord *c, const rmr_coord_dns *d)
{
    rmr_jw_key(w, "Domains");
    rmr_jw_array(w);
    if (c->base_domain[0])
        rmr_jw_str(w, c->base_domain);
    put_texts(w, d->search, d->n_search);
    rmr_jw_array_end(w);
}

static rmr_err write_all(const rmr_coord *c, const rmr_coord_dns *d, rmr_buf to,
                         size_t *len)
{
    rmr_jw w;
    rmr_jw_init(&w, to);
    rmr_jw_object(&w);
    if (d->n_resolvers)
        put_resolvers(&w, d->fallback ? "FallbackResolvers" : "Resolvers",
                      d->resolvers, d->n_resolvers);
    if (d->n_routes)
        put_routes(&w, d);
    if (c->base_domain[0] || d->n_search)
        put_domains(&w, c, d);
    rmr_jw_kbool(&w, "Proxied", c->base_domain[0] && !d->off);
    if (d->n_records)
        put_records(&w, d);
    rmr_jw_object_end(&w);
    return rmr_jw_end(&w, len);
}

rmr_err rmri_crd_dns_take(rmr_coord *c, const rmr_coord_dns *given)
{
    static const rmr_coord_dns none;
    size_t len;
    char *fresh = NULL;
    uint8_t *text = rmr_alloc_zero(&c->env.alloc, DNS_MAX, 1);
    if (!text)
        return RMR_E_NOMEM;
    rmr_err e =
        write_all(c, given ? given : &none, rmr_buf_of(text, DNS_MAX), &len);
    if (e == RMR_OK)
        fresh = rmri_crd_text(c, rmr_bytes_of(text, len));
    rmr_release(&c->env.alloc, text, DNS_MAX);
    if (e != RMR_OK)
        return RMR_E_TOOBIG;
    if (!fresh)
        return RMR_E_NOMEM;
    rmri_crd_text_free(c, c->dns);
    c->dns = fresh;
    return RMR_OK;
}

static bool is_same(const rmr_coord *c, rmr_bytes before)
{
    return rmr_bytes_eq(rmr_bytes_str(c->dns), before);
}

rmr_err rmr_coord_set_dns(rmr_coord *c, const rmr_coord_dns *dns)
{
    char *before = rmri_crd_text(c, rmr_bytes_str(c->dns));
    if (!before)
        return RMR_E_NOMEM;
    rmr_err e = rmri_crd_dns_take(c, dns);
    bool tell = e == RMR_OK && !is_same(c, rmr_bytes_str(before));
    rmri_crd_text_free(c, before);
    for (crd_stream *s = c->streams; s && tell; s = s->next) {
        if (!s->began)
            continue; /* its first frame says all */
        s->self = s->any = true;
        rmri_crd_stream_stir(s);
    }
    return e;
}
