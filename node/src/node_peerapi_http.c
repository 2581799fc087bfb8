/* Requests of those who use us as exit node: POST /dns-query with a DNS message,
 * or GET /dns-query?dns=, in base64url (RFC 8484 4.1). */
#include "node_peerapi.h"

#include <remora/http1.h>
#include <remora/text.h>

#include <string.h>

#define HEAD_MAX ((size_t)8 * 1024)
#define RESPONSE_HEAD 512
#define TYPE "application/dns-message"

/* ---- the request ------------------------------------------------------- */

/* A page in a browser must not ask by a name that leads to us. */
static bool is_our_host(const rmr_node *n, rmr_bytes host)
{
    rmr_addr a;
    if (rmr_addr_parse(host, &a) != RMR_OK || a.port != n->peerapi.port)
        return false;
    for (int i = 0; i < 2; i++)
        if (n->peerapi.listener[i] && rmr_addr_ip_eq(&a, &n->peerapi.at[i]))
            return true;
    return false;
}

/* The value of `dns`; false: there is none. */
static bool find_query(rmr_bytes rest, rmr_bytes *out)
{
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        if (len > 4 && memcmp(rest.ptr, "dns=", 4) == 0) {
            *out = rmr_bytes_of(rest.ptr + 4, len - 4);
            return true;
        }
        rest = rmr_bytes_of(rest.ptr + len + (end != NULL),
                            rest.len - len - (end != NULL));
    }
    return false;
}

/* base64url without padding (RFC 4648 5). */
static uint16_t take_query(nd_peerapi_ask *q, rmr_bytes text)
{
    char plain[RMR_BASE64_LEN(RMR_MD_MAX_QUERY)];
    size_t n = text.len;
    if (n > sizeof plain)
        return 414;
    for (size_t i = 0; i < n; i++) {
        char c = (char)text.ptr[i];
        if (c == '+' || c == '/' || c == '=')
            return 400;
        plain[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (n % 4 != 0 && n < sizeof plain)
        plain[n++] = '=';
    q->len = sizeof q->msg;
    return rmr_unbase64(q->msg, &q->len, rmr_bytes_of(plain, n)) == RMR_OK
               ? 0
               : 400;
}

/* 0: it is a question, or one will be. */
static uint16_t judge(nd_conn *c, const rmr_h1_head *head)
{
    rmr_bytes path = head->target, query = {0}, text;
    const uint8_t *mark = memchr(path.ptr, '?', path.len);
    if (mark) {
        path.len = (size_t)(mark - path.ptr);
        query = rmr_bytes_of(mark + 1, head->target.len - path.len - 1);
    }
    if (!rmri_node_peerapi_may_ask(c->n, &c->ask->from) ||
        !is_our_host(c->n, rmr_h1_header(head, "Host")))
        return 403;
    if (head->upgrade)
        return 400;
    if (!rmr_bytes_eq_str(path, "/dns-query"))
        return 404;
    if (rmr_bytes_eq_str(head->method, "POST"))
        return rmr_bytes_eq_str(rmr_h1_header(head, "Content-Type"), TYPE)
                   ? 0
                   : 415;
    c->http_head_only = rmr_bytes_eq_str(head->method, "HEAD");
    if (!rmr_bytes_eq_str(head->method, "GET"))
        return 405;
    return find_query(query, &text) ? take_query(c->ask, text) : 400;
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    nd_conn *c = user;
    c->http_status = judge(c, head);
    /* What is refused is not read further. */
    return c->http_status ? RMR_E_CLOSED : RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    nd_conn *c = user;
    nd_peerapi_ask *q = c->ask;
    if (data.len > sizeof q->msg - q->len) {
        c->http_status = 413;
        return RMR_E_CLOSED;
    }
    memcpy(q->msg + q->len, data.ptr, data.len);
    q->len += data.len;
    return RMR_OK;
}

static rmr_err on_done(void *user)
{
    nd_conn *c = user;
    c->ask->whole = true;
    return RMR_E_CLOSED; /* one question a connection */
}

rmr_err rmri_node_peerapi_http_new(nd_conn *c)
{
    rmr_h1_config cfg = {.requests = true, .head_max = HEAD_MAX};
    cfg.body_max = RMR_MD_MAX_QUERY;
    cfg.callbacks = (rmr_h1_callbacks){c, on_head, on_body, on_done};
    return rmr_h1_new(&c->h1, &c->n->env, &cfg);
}

void rmri_node_peerapi_http_read(nd_conn *c, rmr_bytes data)
{
    size_t used;
    rmr_err err = rmr_h1_read(c->h1, data, &used);
    if (err == RMR_OK || c->ask->whole || c->http_status)
        return;
    if (err == RMR_E_HTTP_BODY)
        c->http_status = 413;
    else
        c->http_status = err == RMR_E_HTTP_HEAD ? 431 : 400;
}

/* ---- the response ------------------------------------------------------ */

static const char *reason_of(uint16_t status)
{
    switch (status) {
    case 200:
        return "OK";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

uint8_t *rmri_node_peerapi_http_lay_out(nd_conn *c, rmr_bytes msg, size_t *len)
{
    const rmr_alloc *a = &c->n->env.alloc;
    bool ok = c->http_status == 200;
    rmr_bytes body = ok ? msg : rmr_bytes_str(reason_of(c->http_status));
    size_t cap = RESPONSE_HEAD + body.len, made = 0;
    const rmr_header h[] = {header("Content-Type", ok ? TYPE : "text/plain"),
                            header("Connection", "close"),
                            header("Allow", "GET, POST")};
    uint8_t *all = rmr_alloc_zero(a, cap, 1);
    if (!all)
        return NULL;
    rmr_err err = rmr_h1_build_response(
        rmr_buf_of(all, cap), &made, c->http_status, reason_of(c->http_status),
        h, c->http_status == 405 ? 3 : 2, &body);
    if (c->http_head_only && made > body.len)
        made -= body.len;
    /* Released by its length: it has exactly that. */
    uint8_t *out = err == RMR_OK ? rmr_alloc_zero(a, made, 1) : NULL;
    if (out)
        memcpy(out, all, made);
    rmr_release(a, all, cap);
    *len = out ? made : 0;
    return out;
}
