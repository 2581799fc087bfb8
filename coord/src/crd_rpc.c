/* Requests inside Noise: which there are, and their answers. */
#include "crd_internal.h"

#include <string.h>

#define READERS_MAX 4 /* requests of a connection that are not whole yet */

/* ---- life ---------------------------------------------------------------- */

static void rpc_free(crd_rpc *r)
{
    crd_conn *n = r->conn;
    rmr_coord *c = n->c;
    if (r->stream)
        rmri_crd_stream_close(r->stream);
    rmri_crd_login_leave(r);
    rmri_crd_check_leave(r);
    rmri_crd_unlink(&r->held);
    if (r->prev)
        r->prev->next = r->next;
    else
        n->rpcs = r->next;
    if (r->next)
        r->next->prev = r->prev;
    rmri_crd_buf_free(c, &r->body);
    if (r->reader)
        rmr_release_wiped(&c->env.alloc, r->reader, sizeof *r->reader);
    rmr_release_wiped(&c->env.alloc, r, sizeof *r);
}

static crd_rpc *rpc_new(crd_conn *n, int32_t id)
{
    crd_rpc *r = rmr_alloc_zero(&n->c->env.alloc, sizeof *r, _Alignof(crd_rpc));
    if (!r)
        return NULL;
    r->conn = n;
    r->id = id;
    r->next = n->rpcs;
    if (n->rpcs)
        n->rpcs->prev = r;
    n->rpcs = r;
    return r;
}

/* ---- answers ------------------------------------------------------------- */

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

void rmri_crd_rpc_answer(crd_rpc *r, uint16_t status, const char *type,
                         rmr_bytes body)
{
    rmr_coord *c = r->conn->c;
    rmr_header h = header("content-type", type);
    bool has_body = body.len > 0 || r->streams;
    if (!r->conn->io)
        return; /* it ended while the answer waited */
    if (rmri_crd_buf_add(c, &r->body, body) != RMR_OK ||
        rmr_h2s_respond(r->conn->h2, r->id, status, &h, has_body ? 1 : 0,
                        has_body) != RMR_OK)
        (void)rmr_h2s_reset(r->conn->h2, r->id);
    rmr_mc_io_output(r->conn->io);
}

void rmri_crd_rpc_text(crd_rpc *r, uint16_t status, const char *text)
{
    rmri_crd_rpc_answer(r, status, "text/plain; charset=utf-8",
                        rmr_bytes_str(text));
}

/* Each has a reader; the others that are open are answered. */
static bool are_too_many(const crd_conn *n)
{
    size_t k = 0;
    for (const crd_rpc *r = n->rpcs; r; r = r->next)
        k += r->reader != NULL;
    return k >= READERS_MAX;
}

/* ---- which there are ----------------------------------------------------- */

static crd_rpc_kind kind_of(const rmr_h2s_request *q)
{
    if (!rmr_bytes_eq_str(q->method, "POST"))
        return CRD_RPC_OTHER;
    if (rmr_bytes_eq_str(q->path, "/machine/register"))
        return CRD_RPC_REGISTER;
    if (rmr_bytes_eq_str(q->path, "/machine/map"))
        return CRD_RPC_MAP;
    return CRD_RPC_OTHER;
}

/* What others serve and we do not; clients live with it. */
static bool is_optional(rmr_bytes path)
{
    static const char *const paths[] = {
        "/machine/whoami",          "/machine/set-dns",
        "/machine/set-device-attr", "/machine/audit-log",
        "/machine/id-token",        "/machine/feature/query",
        "/machine/update-health"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (rmr_bytes_eq_str(path, paths[i]))
            return true;
    }
    return false;
}

static void *on_request(void *user, int32_t id, const rmr_h2s_request *q)
{
    crd_conn *n = user;
    rmr_coord *c = n->c;
    crd_rpc *r = rpc_new(n, id);
    if (!r) {
        (void)rmr_h2s_reset(n->h2, id);
        return NULL;
    }
    r->kind = kind_of(q);
    if (r->kind == CRD_RPC_OTHER && rmri_crd_check(r, q->method, q->path))
        return r;
    if (r->kind == CRD_RPC_OTHER) {
        bool optional = is_optional(q->path);
        rmri_crd_rpc_text(r, optional ? 501 : 404,
                          optional ? "Not implemented yet\n" : "not found\n");
        return r;
    }
    if (are_too_many(n)) {
        c->count.bad_requests++;
        rmri_crd_rpc_text(r, 503, "too many requests at once\n");
        return r;
    }
    r->reader =
        rmr_alloc_zero(&c->env.alloc, sizeof *r->reader, _Alignof(crd_reader));
    if (r->reader)
        rmri_crd_reader_init(r->reader);
    else
        (void)rmr_h2s_reset(n->h2, id);
    return r;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    crd_rpc *r = tag;
    (void)user;
    (void)id;
    if (r && r->reader && r->bad == RMR_OK)
        r->bad = rmri_crd_reader_feed(r->reader, data);
}

static const char *version_error(const crd_request *q)
{
    if (q->version >= CRD_MIN_VERSION)
        return NULL;
    return "unsupported client version: this server needs capability version "
           "113 (1.80) or later\n";
}

static void run(crd_rpc *r, rmr_time now, const crd_request *q)
{
    rmr_coord *c = r->conn->c;
    const char *old = version_error(q);
    if (r->bad != RMR_OK || old) {
        c->count.bad_requests++;
        rmri_crd_rpc_text(r, 400, r->bad != RMR_OK ? "bad request\n" : old);
    } else if (r->kind == CRD_RPC_REGISTER) {
        r->conn->c->client = r->conn->client;
        rmri_crd_register(r, now, q);
    } else {
        rmri_crd_map(r, now, q);
    }
}

static void on_done(void *user, void *tag, int32_t id)
{
    crd_conn *n = user;
    crd_rpc *r = tag;
    (void)id;
    if (!r || !r->reader)
        return;
    /* Out of the way first: what runs now may end the stream. */
    crd_reader *reader = r->reader;
    r->reader = NULL;
    if (r->bad == RMR_OK)
        r->bad = rmri_crd_reader_end(reader);
    run(r, n->c->now, &reader->q);
    rmr_release_wiped(&n->c->env.alloc, reader, sizeof *reader);
}

static size_t on_pull(void *user, void *tag, int32_t id, rmr_buf dst, bool *end)
{
    crd_conn *n = user;
    crd_rpc *r = tag;
    (void)id;
    if (r->stream && rmri_crd_store_holds(n->c))
        r->stream->waits = true;
    else if (r->stream && rmri_crd_buf_rest(&r->body).len == 0)
        rmri_crd_frame(r->stream, n->c->now);
    rmr_bytes rest = rmri_crd_buf_rest(&r->body);
    size_t len = rest.len < dst.len ? rest.len : dst.len;
    if (len)
        memcpy(dst.ptr, rest.ptr, len);
    if (len)
        rmri_crd_buf_consume(n->c, &r->body, len);
    *end = !r->streams && rmri_crd_buf_rest(&r->body).len == 0;
    return len;
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    (void)id;
    if (why == RMR_OK)
        rmri_crd_conn_got_on(user);
    if (tag)
        rpc_free(tag);
}

const rmr_h2s_callbacks rmri_crd_rpc_callbacks = {
    .on_request = on_request,
    .on_body = on_body,
    .on_done = on_done,
    .on_pull = on_pull,
    .on_close = on_close,
};
