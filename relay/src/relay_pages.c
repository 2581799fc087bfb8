/* What GET and HEAD get: the probes, the captive portal's question, bootstrap
 * names, metrics, and a page for everything else. */
#include "relay_internal.h"

#include <remora/json.h>
#include <string.h>

#define PAGE_MAX RMR_RELAY_METRICS_MAX

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

static bool is(rmr_bytes text, const char *word)
{
    return rmr_bytes_eq_str(text, word);
}

static bool is_get(const rmr_h1_head *head)
{
    return is(head->method, "GET") || is(head->method, "HEAD");
}

static bool begins(rmr_bytes text, const char *word)
{
    size_t len = strlen(word);
    return text.len >= len &&
           rmr_bytes_eq_str(rmr_bytes_of(text.ptr, len), word);
}

/* ---- probes ------------------------------------------------------------ */

static bool probe(rl_conn *c, const rmr_h1_head *head)
{
    rmr_header h = header("Access-Control-Allow-Origin", "*");
    rmr_bytes none = {0};
    if (!is_get(head))
        return rmri_relay_text(c, 405, "Method Not Allowed",
                               "bogus probe method\n");
    return rmri_relay_answer(c, 200, "OK", &h, 1, &none);
}

static bool is_challenge(rmr_bytes text)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
                              "TUVWXYZ0123456789.-_:";
    if (text.len == 0 || text.len > 64)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!memchr(set, text.ptr[i], sizeof set - 1))
            return false;
    return true;
}

/* A captive portal can't echo what it has not seen. */
static bool no_content(rl_conn *c, const rmr_h1_head *head)
{
    rmr_bytes challenge = rmr_h1_header(head, "X-Tailscale-Challenge");
    char echo[80] = "response ";
    size_t word = strlen(echo), n = 1;
    rmr_header h[2] = {header("Cache-Control",
                              "no-cache, no-store, must-revalidate, "
                              "no-transform, max-age=0")};
    if (is_challenge(challenge)) {
        memcpy(echo + word, challenge.ptr, challenge.len);
        echo[word + challenge.len] = 0;
        h[n++] = header("X-Tailscale-Response", echo);
    }
    return rmri_relay_answer(c, 204, "No Content", h, n, NULL);
}

/* ---- pages ------------------------------------------------------------- */

static const char page[] =
    "<!DOCTYPE html>\n"
    "<html><head><title>remora relay</title></head>\n"
    "<body><h1>DERP</h1>\n"
    "<p>This is a relay of a tailnet. It carries packets that it can't "
    "read.</p>\n"
    "</body></html>\n";

static bool front_page(rl_conn *c)
{
    rmr_header h[] = {
        header("Content-Type", "text/html; charset=utf-8"),
        header("Strict-Transport-Security",
               "max-age=63072000; includeSubDomains"),
        header("Content-Security-Policy",
               "default-src 'none'; frame-ancestors 'none'; form-action "
               "'none'; base-uri 'self'; block-all-mixed-content; "
               "plugin-types 'none'"),
        header("X-Frame-Options", "DENY"),
        header("X-Content-Type-Options", "nosniff"),
    };
    rmr_bytes body = rmr_bytes_str(page);
    return rmri_relay_answer(c, 200, "OK", h, 5, &body);
}

/* ---- /bootstrap-dns ---------------------------------------------------- */

static void write_name(rmr_jw *w, const rl_name *name)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_key(w, name->host);
    rmr_jw_array(w);
    for (size_t i = 0; i < name->n_addrs; i++)
        rmr_jw_str(w, rmr_addr_ip_text(&name->addrs[i], text));
    rmr_jw_array_end(w);
}

/* The name that ?q= asks for; NULL: all are told. */
static const rl_name *asked_name(const rmr_relay *r, rmr_bytes query)
{
    if (!begins(query, "q="))
        return NULL;
    rmr_bytes q = rmr_bytes_of(query.ptr + 2, query.len - 2);
    for (size_t i = 0; i < r->n_names; i++)
        if (is(q, r->names[i].host))
            return &r->names[i];
    return NULL;
}

static size_t names_text(const rmr_relay *r, rmr_bytes query, rmr_buf dst)
{
    const rl_name *one = asked_name(r, query);
    size_t len = 0;
    rmr_jw w;
    if (r->n_names == 0)
        return 0;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w);
    for (size_t i = 0; i < r->n_names; i++)
        if (!one || one == &r->names[i])
            write_name(&w, &r->names[i]);
    rmr_jw_object_end(&w);
    return rmr_jw_end(&w, &len) == RMR_OK ? len : 0;
}

/* The metrics and the names need more room than the stack should give. */
static bool with_buffer(rl_conn *c, const rmr_header *h, size_t n,
                        rmr_bytes query, bool metrics)
{
    const rmr_alloc *a = &c->r->env.alloc;
    uint8_t *text = rmr_alloc_zero(a, PAGE_MAX, 1);
    rmr_bytes body = rmr_bytes_of(text, 0);
    rmr_buf dst = rmr_buf_of(text, PAGE_MAX);
    if (!text)
        return false;
    if (metrics)
        rmr_relay_metrics(c->r, dst, &body.len);
    else
        body.len = names_text(c->r, query, dst);
    bool ok = rmri_relay_answer(c, 200, "OK", h, n, &body);
    rmr_release(a, text, PAGE_MAX);
    return ok;
}

static bool bootstrap(rl_conn *c, rmr_bytes query)
{
    rmr_header h = header("Content-Type", "application/json");
    c->last_answer = true; /* asked once, by those that have no DNS */
    return with_buffer(c, &h, 1, query, false);
}

static bool metrics(rl_conn *c)
{
    rmr_header h =
        header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    return with_buffer(c, &h, 1, rmr_bytes_of(NULL, 0), true);
}

/* ---- /debug/ ----------------------------------------------------------- */

/* The header is there, be it empty or one of several. */
static bool has_header(const rmr_h1_head *head, const char *name)
{
    rmr_bytes want = rmr_bytes_str(name);
    for (size_t i = 0; i < head->n_headers; i++)
        if (rmr_bytes_eq_nocase(head->headers[i].name, want))
            return true;
    return false;
}

/* From this host, or from a tailnet; not through a proxy. */
static bool may_debug(const rl_conn *c, const rmr_h1_head *head)
{
    static const char *const tailnet[] = {"100.64.0.0/10",
                                          "fd7a:115c:a1e0::/48"};
    if (has_header(head, "X-Forwarded-For"))
        return false;
    for (size_t i = 0; i < 2; i++) {
        rmr_prefix p;
        if (rmr_prefix_parse(rmr_bytes_str(tailnet[i]), &p) == RMR_OK &&
            rmr_prefix_contains(&p, &c->remote))
            return true;
    }
    return rmr_addr_is_loopback(&c->remote);
}

static bool debug(rl_conn *c, const rmr_h1_head *head, rmr_bytes path)
{
    if (!may_debug(c, head))
        return rmri_relay_text(c, 403, "Forbidden", "debug access denied\n");
    if (is_get(head) && is(path, "/debug/varz"))
        return metrics(c);
    return rmri_relay_text(c, 404, "Not Found", "see /debug/varz\n");
}

/* ---- the other doors --------------------------------------------------- */

static bool redirect(rl_conn *c, const rmr_h1_head *head)
{
    char to[1024] = "https://";
    rmr_bytes host = rmr_h1_header(head, "Host");
    size_t at = strlen(to);
    /* memchr wants a place also where there is nothing. */
    const uint8_t *colon = host.len ? memchr(host.ptr, ':', host.len) : NULL;
    if (colon && host.ptr[0] != '[')
        host.len = (size_t)(colon - host.ptr);
    if (!is_get(head) || host.len == 0 || !begins(head->target, "/") ||
        at + host.len + head->target.len >= sizeof to)
        return rmri_relay_text(c, 400, "Bad Request", "use https\n");
    memcpy(to + at, host.ptr, host.len);
    at += host.len;
    memcpy(to + at, head->target.ptr, head->target.len);
    to[at + head->target.len] = 0;
    rmr_header h = header("Location", to);
    rmr_bytes none = {0};
    return rmri_relay_answer(c, 302, "Found", &h, 1, &none);
}

static bool metrics_door(rl_conn *c, const rmr_h1_head *head, rmr_bytes path)
{
    if (!is(path, "/metrics") && !is(path, "/debug/varz"))
        return rmri_relay_text(c, 404, "Not Found", "see /metrics\n");
    if (!is_get(head))
        return rmri_relay_text(c, 405, "Method Not Allowed", "GET it\n");
    return metrics(c);
}

bool rmri_relay_page(rl_conn *c, const rmr_h1_head *head, rmr_bytes path,
                     rmr_bytes query)
{
    rmr_header robots = header("Content-Type", "text/plain; charset=utf-8");
    rmr_bytes nobody = rmr_bytes_str("User-agent: *\nDisallow: /\n");
    if (c->door == RL_DOOR_METRICS)
        return metrics_door(c, head, path);
    if (is(path, "/generate_204"))
        return no_content(c, head);
    if (c->door == RL_DOOR_HTTP)
        return redirect(c, head);
    if (is(path, "/derp/probe") || is(path, "/derp/latency-check"))
        return probe(c, head);
    if (is(path, "/bootstrap-dns"))
        return bootstrap(c, query);
    if (is(path, "/robots.txt"))
        return rmri_relay_answer(c, 200, "OK", &robots, 1, &nobody);
    if (begins(path, "/debug/"))
        return debug(c, head, path);
    return front_page(c);
}
