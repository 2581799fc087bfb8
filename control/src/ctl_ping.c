/* PingRequest: what the server asks of us inside a map response.  A sign of
 * life over Noise, and c2n: an HTTP request inside, whose answer is posted back.
 * Both go over the connection that runs; one at a time, and the last one asked
 * for is the one that counts. */
#include "ctl_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- c2n -------------------------------------------------------------- */

typedef struct c2n {
    ctl_ping *p;
    bool is_echo, is_done;
} c2n;

static rmr_err c2n_head(void *user, const rmr_h1_head *head)
{
    c2n *r = (c2n *)user;
    rmr_bytes t = head->target;
    for (size_t i = 0; i < t.len; i++) /* the query is not of the path */
        if (t.ptr[i] == '?')
            t.len = i;
    r->is_echo = rmr_bytes_eq_str(t, "/echo");
    return RMR_OK;
}

static rmr_err c2n_body(void *user, rmr_bytes data)
{
    c2n *r = (c2n *)user;
    if (data.len > sizeof r->p->body - r->p->body_len)
        return RMR_E_TOOBIG;
    memcpy(r->p->body + r->p->body_len, data.ptr, data.len);
    r->p->body_len += data.len;
    return RMR_OK;
}

static rmr_err c2n_done(void *user)
{
    ((c2n *)user)->is_done = true;
    return RMR_OK;
}

static void put_answer(ctl_ping *p, const char *status, const char *body)
{
    p->body_len = (size_t)snprintf(
        (char *)p->body, sizeof p->body,
        "HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: text/plain; "
        "charset=utf-8\r\n\r\n%s",
        status, body);
}

/* The answer to the request in `in`; it stands in p->body then. */
static void c2n_run(rmr_ctl *c, rmr_bytes in)
{
    ctl_ping *p = c->ping;
    c2n r = {.p = p};
    const rmr_h1_config cfg = {.requests = true,
                               .head_max = 2048,
                               .body_max = CTL_PING_BODY,
                               .callbacks = {&r, c2n_head, c2n_body, c2n_done}};
    rmr_h1 *h1 = NULL;
    size_t n = 0;
    put_answer(p, "200 OK", "");
    rmr_err e = rmr_h1_new(&h1, &c->env, &cfg);
    if (!e)
        e = rmr_h1_read(h1, in, &n);
    rmr_h1_free(h1);
    if (e || !r.is_done)
        put_answer(p, "400 Bad Request", "malformed c2n request\n");
    else if (!r.is_echo)
        put_answer(p, "400 Bad Request", "unknown c2n path\n");
}

/* ---- what is asked for ------------------------------------------------ */

/* An answer becomes due, to the part behind the host of a URL: over Noise there
 * is but one.  Errors: INVAL, NOMEM. */
static rmr_err take_path(rmr_ctl *c, const char *text)
{
    rmr_url url;
    const char *path = text;
    if (text[0] != '/') {
        if (rmr_url_parse(rmr_bytes_str(text), &url))
            return RMR_E_INVAL;
        path = url.path;
    }
    if (path[0] != '/' || strlen(path) >= sizeof c->ping->path)
        return RMR_E_INVAL;
    c->ping = rmr_alloc_raw(&c->env.alloc, sizeof *c->ping, _Alignof(ctl_ping));
    if (!c->ping)
        return RMR_E_NOMEM;
    c->ping->is_post = false;
    c->ping->body_len = 0;
    (void)snprintf(c->ping->path, sizeof c->ping->path, "%s", path);
    return RMR_OK;
}

void rmri_ctl_ping_free(rmr_ctl *c)
{
    rmr_release(&c->env.alloc, c->ping, sizeof *c->ping);
    c->ping = NULL;
}

static void ask_c2n(rmr_ctl *c, const nm_ping *in)
{
    uint8_t request[CTL_PING_BODY];
    size_t len = sizeof request;
    ctl_ping *p = c->ping;
    p->is_post = true;
    if (rmr_unbase64(request, &len, rmr_bytes_of(in->payload, in->payload_len)))
        put_answer(p, "400 Bad Request", "malformed c2n request\n");
    else
        c2n_run(c, rmr_bytes_of(request, len));
}

bool rmri_ctl_ping(void *user, const nm_ping *in)
{
    rmr_ctl *c = (rmr_ctl *)user;
    bool is_c2n = rmri_ctl_same(in->types, "c2n");
    uint8_t url[RMR_HASH_LEN];
    rmr_blake2s_256(url, rmr_bytes_str(in->url), rmr_bytes_of(NULL, 0));
    if (memcmp(c->ping_url, url, sizeof url) == 0) /* said twice, done once */
        return true;
    memcpy(c->ping_url, url, sizeof url);
    if (!is_c2n && (in->types[0] || !in->noise))
        return false; /* not over this connection: the host may */
    if (c->ping || take_path(c, in->url) != RMR_OK)
        return true;
    c->stats.pings++;
    if (is_c2n)
        ask_c2n(c, in);
    return true;
}

rmr_err rmr_ctl_answer_ping(rmr_ctl *c, const char *url, rmr_bytes body)
{
    if (c->ping)
        return RMR_E_FULL;
    if (body.len > CTL_PING_BODY)
        return RMR_E_TOOBIG;
    rmr_err e = take_path(c, url);
    if (e)
        return e;
    if (body.len)
        memcpy(c->ping->body, body.ptr, body.len);
    c->ping->body_len = body.len;
    c->ping->is_post = true;
    c->stats.pings++;
    return RMR_OK;
}

rmr_err rmri_ctl_ping_send(rmr_ctl *c)
{
    const ctl_ping *p = c->ping;
    ctl_request *r = &c->req[REQ_PING];
    rmri_ctl_request_clear(c, r);
    rmr_err e = rmr_h2_request(
        c->h2, p->is_post ? "POST" : "HEAD", rmr_text_kept(c->authority),
        p->path, NULL, 0, rmr_bytes_of(p->body, p->body_len), r, &r->stream);
    if (e)
        return e;
    rmri_ctl_ping_free(c);
    r->deadline = rmr_time_add(c->now, CTL_PING_TIMEOUT);
    return RMR_OK;
}
