/* POST /machine/map: streams, and updates beside them. */
#include "crd_internal.h"

#include <string.h>

/* Of a node's requests: ten updates a second, or two streams, after so many at
 * once as take five seconds. */
#define UPDATE_COST (100 * RMR_MS)
#define STREAM_COST (500 * RMR_MS)
#define COST_MAX (5 * RMR_SEC)
#define STREAMS_MAX 4            /* of one node */
#define KEEPALIVE (50 * RMR_SEC) /* and up to 9 s of chance */

/* ---- streams ------------------------------------------------------------- */

void rmri_crd_stream_close(crd_stream *s)
{
    crd_node *n = s->node;
    crd_conn *conn = s->rpc->conn;
    rmr_coord *c = conn->c;
    s->rpc->stream = NULL;
    s->rpc->streams = false;
    rmr_timers_cancel(&c->timers, &s->keepalive);
    rmri_crd_unlink(&s->parked);
    if (s->prev)
        s->prev->next = s->next;
    else
        c->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (s->node_prev)
        s->node_prev->node_next = s->node_next;
    else
        n->streams = s->node_next;
    if (s->node_next)
        s->node_next->node_prev = s->node_prev;
    rmri_crd_set_free(c, &s->told);
    rmri_crd_set_free(c, &s->dirty);
    rmri_crd_set_free(c, &s->whole);
    rmr_release(&c->env.alloc, s->gone, s->cap_gone * sizeof *s->gone);
    rmr_release(&c->env.alloc, s, sizeof *s);
    c->count.streams--;
    conn->n_streams--;
    if (!n->streams)
        rmri_crd_node_presence(c, n);
}

void rmri_crd_stream_end(crd_stream *s)
{
    crd_conn *n = s->rpc->conn;
    (void)rmr_h2s_reset(n->h2, s->rpc->id);
    rmri_crd_stream_close(s);
    if (n->io)
        rmr_mc_io_output(n->io);
}

/* A client that comes back before its old stream is known to be dead has two;
 * one that opens more and more loses the oldest. */
static void bound(crd_node *n)
{
    size_t k = 1;
    for (crd_stream *s = n->streams, *next; s; s = next) {
        next = s->node_next;
        if (k++ >= STREAMS_MAX)
            rmri_crd_stream_end(s);
    }
}

void rmri_crd_stream_stir(crd_stream *s)
{
    crd_conn *n = s->rpc->conn;
    if ((s->paced || s->parked.next) && !s->broken)
        return;
    if (s->broken)
        (void)rmr_h2s_reset(n->h2, s->rpc->id);
    else
        (void)rmr_h2s_resume(n->h2, s->rpc->id);
    if (n->io)
        rmr_mc_io_output(n->io);
    rmri_crd_stir(n->c);
}

static void arm(crd_stream *s, rmr_time now)
{
    rmri_crd_timer_set(
        s->rpc->conn->c, &s->keepalive, CRD_TIMER_KEEPALIVE, s,
        rmr_time_add(now, KEEPALIVE + s->chance * (9 * RMR_SEC / 255)));
}

void rmri_crd_stream_keepalive(crd_stream *s, rmr_time now)
{
    arm(s, now);
    if (s->broken)
        rmri_crd_stream_stir(s);
}

/* It was silent for so long, or its frame may go now. */
void rmri_crd_stream_silent(crd_stream *s, rmr_time now)
{
    crd_rpc *r = s->rpc;
    if (!s->paced && rmri_crd_buf_rest(&r->body).len == 0)
        s->broken |=
            rmri_crd_put_keepalive(r->conn->c, &r->body, s->zstd) != RMR_OK;
    s->paced = false;
    arm(s, now);
    rmri_crd_stream_stir(s);
}

static crd_stream *stream_new(crd_rpc *r, crd_node *n, bool zstd)
{
    rmr_coord *c = r->conn->c;
    if (rmri_crd_timers_room(c, 1) != RMR_OK)
        return NULL;
    crd_stream *s =
        rmr_alloc_zero(&c->env.alloc, sizeof *s, _Alignof(crd_stream));
    if (!s)
        return NULL;
    s->rpc = r;
    s->node = n;
    s->zstd = zstd;
    (void)rmr_rng_fill(&c->env.rng, &s->chance, 1); /* 0 will do, too */
    s->next = c->streams;
    if (c->streams)
        c->streams->prev = s;
    c->streams = s;
    s->node_next = n->streams;
    if (n->streams)
        n->streams->node_prev = s;
    n->streams = s;
    r->stream = s;
    r->streams = true;
    r->conn->n_streams++;
    c->count.streams++;
    return s;
}

/* ---- updates ------------------------------------------------------------- */

static rmr_err set_endpoints(rmr_coord *c, crd_node *n, const crd_request *q)
{
    bool same = n->n_endpoints == q->n_endpoints;
    for (size_t i = 0; same && i < q->n_endpoints; i++)
        same = rmr_addr_eq(&n->endpoints[i], &q->endpoints[i]);
    if (same)
        return RMR_OK;
    rmr_addr *fresh = NULL;
    if (q->n_endpoints) {
        fresh = rmr_alloc_zero(&c->env.alloc, q->n_endpoints * sizeof *fresh,
                               _Alignof(rmr_addr));
        if (!fresh)
            return RMR_E_NOMEM;
        memcpy(fresh, q->endpoints, q->n_endpoints * sizeof *fresh);
    }
    rmr_release(&c->env.alloc, n->endpoints,
                n->n_endpoints * sizeof *n->endpoints);
    n->endpoints = fresh;
    n->n_endpoints = q->n_endpoints;
    return RMR_OK;
}

/* What a request says of the node; a stream's is no less true. */
static rmr_err update(rmr_coord *c, crd_node *n, const crd_request *q)
{
    static const uint8_t none[RMR_KEY_LEN];
    crd_what what = CRD_PATCH;
    bool rekeyed = memcmp(q->disco, none, sizeof none) != 0 &&
                   memcmp(q->disco, n->disco, sizeof none) != 0;
    bool moved = q->home_derp && q->home_derp != n->home_derp;
    const rmr_addr *before = n->endpoints;
    rmr_err e = RMR_OK;
    if (rekeyed)
        memcpy(n->disco, q->disco, sizeof n->disco);
    if (moved)
        n->home_derp = q->home_derp;
    bool newer = n->cap != q->version;
    n->cap = q->version;
    if (q->has_endpoints)
        e = set_endpoints(c, n, q);
    if (e == RMR_OK)
        e = rmri_crd_host_info(c, n, q, &what);
    if (rekeyed || moved || newer)
        rmri_crd_mark(c, &n->row, CRD_LAZY);
    if (rekeyed || moved || newer || n->endpoints != before ||
        what != CRD_PATCH)
        rmri_crd_changed(c, n, what);
    return e;
}

/* ---- the request --------------------------------------------------------- */

/* A node that is in could make the server tell all its peers of it without
 * end, or make whole maps. */
static bool may_ask(crd_node *n, rmr_time now, bool stream)
{
    rmr_time from = n->busy_until > now ? n->busy_until : now;
    rmr_time until = rmr_time_add(from, stream ? STREAM_COST : UPDATE_COST);
    if (rmr_time_since(until, now) > COST_MAX)
        return false;
    n->busy_until = until;
    return true;
}

void rmri_crd_map(crd_rpc *r, rmr_time now, const crd_request *q)
{
    rmr_coord *c = r->conn->c;
    crd_node *n = rmri_crd_node_by_key(c, q->key);
    if (!n || memcmp(n->machine, r->conn->machine, RMR_KEY_LEN) != 0) {
        c->count.bad_requests++;
        rmri_crd_rpc_text(r, 404,
                          n ? "node key in request does not match the "
                              "one associated with this machine key\n"
                            : "node not found\n");
        return;
    }
    if (!may_ask(n, now, q->stream)) {
        c->count.bad_requests++;
        rmri_crd_rpc_text(r, 429, "too many requests; try again later\n");
        return;
    }
    if (!q->read_only && update(c, n, q) != RMR_OK) {
        rmri_crd_rpc_text(r, 503, "no memory\n");
        return;
    }
    if (!q->stream) {
        c->count.updates++;
        rmri_crd_rpc_answer(r, 200, "application/json", rmr_bytes_of(NULL, 0));
        return;
    }
    c->count.map_requests++;
    bound(n);
    crd_stream *s = stream_new(r, n, q->zstd);
    if (!s) {
        rmri_crd_rpc_text(r, 503, "no memory\n");
        return;
    }
    rmri_crd_node_presence(c, n);
    arm(s, now);
    rmri_crd_rpc_answer(r, 200, "application/json", rmr_bytes_of(NULL, 0));
}
