/* A question by HTTP (RFC 8484): to an exit node's peerAPI, or another peer's.
 * One question a connection. */
#include "node_dns.h"

#include <remora/http1.h>

#include <string.h>

#define HEAD_MAX 4096

static bool has_room(const nd_dns_stream *s, size_t more)
{
    return more <= s->cap - s->len;
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    ((nd_conn *)user)->http_status = head->status;
    return head->status == 200 ? RMR_OK : RMR_E_REFUSED;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    nd_dns_stream *s = ((nd_conn *)user)->dns;
    if (!has_room(s, data.len))
        return RMR_E_MALFORMED;
    memcpy(s->in + s->len, data.ptr, data.len);
    s->len += data.len;
    return RMR_OK;
}

/* The one answer is there: nothing behind it is read. */
static rmr_err on_done(void *user)
{
    ((nd_conn *)user)->http_answered = true;
    return RMR_E_CLOSED;
}

bool rmri_node_dns_http_ask(nd_conn *c, rmr_bytes msg)
{
    nd_dns_stream *s = c->dns;
    static const char type[] = "application/dns-message";
    const rmr_header headers[2] = {
        {rmr_bytes_str("Content-Type"), rmr_bytes_str(type)},
        {rmr_bytes_str("Accept"), rmr_bytes_str(type)}};
    char host[RMR_ADDR_TEXT_MAX];
    rmr_h1_config cfg = {.head_max = HEAD_MAX, .body_max = 65535};
    cfg.callbacks = (rmr_h1_callbacks){c, on_head, on_body, on_done};
    if (rmr_h1_new(&c->h1, &c->n->env, &cfg) != RMR_OK ||
        rmr_h1_build_request(rmr_buf_of(s->out, sizeof s->out), &s->out_len,
                             "POST", "/dns-query", rmr_addr_text(&s->to, host),
                             headers, 2, &msg) != RMR_OK)
        return false;
    s->http = true;
    return true;
}

bool rmri_node_dns_http_take(nd_conn *c, rmr_time now, rmr_bytes data)
{
    nd_dns_stream *s = c->dns;
    size_t used;
    rmr_err e = rmr_h1_read(c->h1, data, &used);
    if (!c->http_answered)
        return e == RMR_OK;
    (void)rmr_md_read(c->n->dns->md, now, &s->to, true,
                      rmr_buf_of(s->in, s->len));
    c->n->dirty = true;
    return false;
}
