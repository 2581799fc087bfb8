/* The metrics for who asks by HTTP: one request a connection. */
#include "node_internal.h"

#include <remora/http1.h>
#include <string.h>

#define REQUEST_TIMEOUT (10 * RMR_SEC)
#define REQUEST_MAX ((size_t)4096)
#define BODY_MAX ((size_t)16 * 1024) /* of the answer */

_Static_assert(2 * BODY_MAX + 1024 <= RMR_IO_SCRATCH_MIN,
               "the answer is laid out in front of its body's source");

static bool is_metrics(rmr_bytes target)
{
    const uint8_t *query = memchr(target.ptr, '?', target.len);
    if (query)
        target.len = (size_t)(query - target.ptr);
    return rmr_bytes_eq_str(target, "/metrics");
}

/* What is asked is remembered; the answer is made when it can be sent. */
static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    nd_conn *c = user;
    c->http_head_only = rmr_bytes_eq_str(head->method, "HEAD");
    if (!c->http_head_only && !rmr_bytes_eq_str(head->method, "GET"))
        c->http_status = 405;
    else
        c->http_status = is_metrics(head->target) ? 200 : 404;
    return RMR_E_CLOSED; /* nothing behind it is looked at */
}

static rmr_err parser_new(nd_conn *c)
{
    rmr_h1_config cfg = {0};
    cfg.requests = true;
    cfg.head_max = REQUEST_MAX;
    cfg.callbacks.user = c;
    cfg.callbacks.on_head = on_head;
    return rmr_h1_new(&c->h1, &c->n->env, &cfg);
}

/* ---- the answer -------------------------------------------------------- */

static const char *reason_of(uint16_t status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    default:
        return "Bad Request";
    }
}

static rmr_bytes body_of(nd_conn *c, rmr_buf room)
{
    rmr_bytes body = rmr_bytes_str("see /metrics\n");
    if (c->http_status == 200) {
        body = rmr_bytes_of(room.ptr, 0);
        (void)rmr_node_write_metrics(c->n, room, &body.len);
    }
    return body;
}

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

static size_t lay_out(nd_conn *c, rmr_buf dst)
{
    size_t front = dst.len - BODY_MAX, len = 0;
    rmr_bytes body = body_of(c, rmr_buf_of(dst.ptr + front, BODY_MAX));
    rmr_header h[] = {
        header("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
        header("Connection", "close"), header("Allow", "GET, HEAD")};
    if (rmr_h1_build_response(rmr_buf_of(dst.ptr, front), &len, c->http_status,
                              reason_of(c->http_status), h,
                              c->http_status == 405 ? 3 : 2, &body) != RMR_OK)
        return 0;
    return c->http_head_only ? len - body.len : len;
}

/* ---- the stream -------------------------------------------------------- */

static void http_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL;
    rmri_node_conn_end(c, now, false);
}

static void http_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_conn *c = owner;
    size_t used = 0;
    c->n->dirty = true;
    if (c->http_status)
        return;
    rmr_err err = rmr_h1_read(c->h1, rmr_bytes_of(data.ptr, data.len), &used);
    if (err == RMR_OK) {
        rmr_mc_io_credit(c->io, REQUEST_MAX);
        return;
    }
    if (!c->http_status)
        c->http_status = 400;
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, REQUEST_TIMEOUT));
    rmr_mc_io_output(c->io);
}

static void http_eof(void *owner, rmr_time now)
{
    nd_conn *c = owner;
    if (!c->http_status) /* else it is answered */
        rmri_node_conn_end(c, now, false);
}

static size_t http_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_conn *c = owner;
    size_t len = c->http_answered ? 0 : lay_out(c, scratch);
    c->http_answered = true;
    if (len == 0)
        rmri_node_conn_end(c, now, true);
    else
        rmr_mc_io_output(c->io); /* once more, to close behind it */
    return len;
}

static const rmr_mc_io_ops http_ops = {
    .failed = http_failed,
    .bytes = http_bytes,
    .eof = http_eof,
    .produce = http_produce,
};

void rmri_node_metrics_accept(rmr_node *n, rmr_time now, uint64_t child)
{
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_METRICS);
    rmr_mc_io *io = rmr_mc_adopt(n->mc, child, &http_ops, c);
    if (!c || !io || parser_new(c) != RMR_OK) {
        if (io)
            rmr_mc_io_abort(io);
        if (c)
            rmri_node_conn_free(c);
        return;
    }
    c->io = io;
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, REQUEST_TIMEOUT));
    rmr_mc_io_credit(io, REQUEST_MAX);
}
