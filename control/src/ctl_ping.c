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
    ctl_ping *p = &c->ping;
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

/* Of a URL, the part behind the host: over Noise there is but one. */
static bool take_path(ctl_ping *p, const char *text)
{
    rmr_url url;
    const char *path = text;
    if (text[0] != '/') {
        if (rmr_url_parse(rmr_bytes_str(text), &url))
            return false;
        path = url.path;
    }
    if (path[0] != '/' || strlen(path) >= sizeof p->path)
        return false;
    (void)snprintf(p->path, sizeof p->path, "%s", path);
    return true;
}

static void ask_c2n(rmr_ctl *c, const nm_ping *in)
{
    uint8_t request[CTL_PING_BODY];
    size_t len = sizeof request;
    ctl_ping *p = &c->ping;
    p->is_post = true;
    if (rmr_unbase64(request, &len, rmr_bytes_of(in->payload, in->payload_len)))
        put_answer(p, "400 Bad Request", "malformed c2n request\n");
    else
        c2n_run(c, rmr_bytes_of(request, len));
    p->is_due = true;
}

bool rmri_ctl_ping(void *user, const nm_ping *in)
{
    rmr_ctl *c = (rmr_ctl *)user;
    ctl_ping *p = &c->ping;
    bool is_c2n = rmri_ctl_same(in->types, "c2n");
    if (rmri_ctl_same(p->last_url, in->url)) /* said twice, done once */
        return true;
    (void)snprintf(p->last_url, sizeof p->last_url, "%s", in->url);
    if (!is_c2n && (in->types[0] || !in->noise))
        return false; /* not over this connection: the host may */
    if (p->is_due || !take_path(p, in->url))
        return true;
    c->stats.pings++;
    p->body_len = 0;
    p->is_post = false;
    if (is_c2n)
        ask_c2n(c, in);
    p->is_due = true;
    return true;
}

rmr_err rmr_ctl_answer_ping(rmr_ctl *c, const char *url, rmr_bytes body)
{
    ctl_ping *p = &c->ping;
    if (p->is_due)
        return RMR_E_FULL;
    if (body.len > sizeof p->body)
        return RMR_E_TOOBIG;
    if (!take_path(p, url))
        return RMR_E_INVAL;
    if (body.len)
        memcpy(p->body, body.ptr, body.len);
    p->body_len = body.len;
    p->is_post = p->is_due = true;
    c->stats.pings++;
    return RMR_OK;
}

rmr_err rmri_ctl_ping_send(rmr_ctl *c)
{
    ctl_ping *p = &c->ping;
    ctl_request *r = &c->req[REQ_PING];
    memset(r, 0, sizeof *r);
    rmr_err e = rmr_h2_request(
        c->h2, p->is_post ? "POST" : "HEAD", c->authority, p->path, NULL, 0,
        rmr_bytes_of(p->body, p->body_len), r, &r->stream);
    if (e)
        return e;
    p->is_due = false;
    r->deadline = rmr_time_add(c->now, CTL_PING_TIMEOUT);
    return RMR_OK;
}
