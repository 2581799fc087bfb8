/* What is counted, in Prometheus' form, on a listener of its own.  No label
 * holds a name, a key or an address: routes are patterns. */
#include "crd_api.h"

#include <remora/metrics.h>

#include <string.h>

#define MORE_MAX ((size_t)32 * 1024)

static const uint16_t codes[CRD_API_CODES] = {200, 400, 401, 404, 409, 413,
                                              415, 422, 500, 501, 503};
static const struct {
    const char *le;
    uint64_t ns;
} bounds[CRD_API_BUCKETS] = {
    {"0.005", 5000000}, {"0.01", 10000000},   {"0.025", 25000000},
    {"0.05", 50000000}, {"0.1", 100000000},   {"0.25", 250000000},
    {"0.5", 500000000}, {"1", RMR_SEC},       {"2.5", 2500000000},
    {"5", 5 * RMR_SEC}, {"10", 10 * RMR_SEC},
};

void rmri_crd_count(rmr_coord *c, const crd_op *op, uint16_t status,
                    rmr_dur took)
{
    crd_op_count *k = &c->api->ops[op - rmri_crd_ops];
    for (size_t i = 0; i < CRD_API_CODES; i++)
        k->codes[i] += codes[i] == status;
    for (size_t i = 0; i < CRD_API_BUCKETS; i++)
        k->buckets[i] += took <= bounds[i].ns;
    k->n++;
    k->sum += took;
}

/* ---- the text ------------------------------------------------------------ */

static void gauge(rmr_mx *m, const char *name, const char *help, uint64_t v)
{
    rmr_mx_value(m, name, "gauge", help, v);
}

static void counter(rmr_mx *m, const char *name, const char *help, uint64_t v)
{
    rmr_mx_value(m, name, "counter", help, v);
}

static void of_server(rmr_mx *m, const rmr_coord *c)
{
    rmr_coord_stats s;
    rmr_coord_get_stats(c, &s);
    gauge(m, "remora_nodes_total", "Nodes that are known.", s.nodes);
    gauge(m, "remora_nodes_active", "Nodes that are online.", s.online);
    gauge(m, "remora_coord_users", "Users.", s.users);
    gauge(m, "remora_coord_connections", "Open connections.", s.connections);
    gauge(m, "remora_coord_map_streams", "Open map streams.", s.streams);
    counter(m, "remora_coord_accepted_total", "Connections taken.", s.accepted);
    counter(m, "remora_coord_rejected_total", "Connections refused.",
            s.rejected);
    counter(m, "remora_coord_displaced_total",
            "Connections that gave their place to another.", s.displaced);
    counter(m, "remora_coord_handshakes_total", "Noise handshakes.",
            s.handshakes);
    counter(m, "remora_coord_bad_handshakes_total", "... that were none.",
            s.bad_handshakes);
    counter(m, "remora_coord_limited_total",
            "... that were refused: their address made too many.", s.limited);
    counter(m, "remora_coord_registers_total", "Registrations.", s.registers);
    counter(m, "remora_coord_refused_total", "... that were refused.",
            s.refused);
    counter(m, "remora_coord_updates_total", "Updates without an answer.",
            s.updates);
    counter(m, "remora_coord_map_requests_total", "Map streams begun.",
            s.map_requests);
    counter(m, "remora_coord_frames_total", "Frames of map streams.", s.frames);
    counter(m, "remora_coord_frame_bytes_total", "Their bytes, as sent.",
            s.frame_bytes);
    counter(m, "remora_coord_repeated_frames_total",
            "Those that were made for another stream.", s.repeated);
    counter(m, "remora_coord_bad_requests_total",
            "Requests inside Noise that were none.", s.bad_requests);
    counter(m, "remora_coord_forwarded_total",
            "Requests of which a trusted proxy said who asks.", s.forwarded);
    counter(m, "remora_coord_untrusted_forwards_total",
            "Requests of which somebody else did: ignored.", s.untrusted);
}

static void of_api(rmr_mx *m, const crd_api *a)
{
    static const char events[] = "remora_auth_events_total";
    static const char minted[] = "remora_keys_minted_total";
    rmr_mx_family(m, events, "counter", "Keys of the API that were shown.");
    rmr_mx_labelled(m, events, "result", "ok", a->auth_ok);
    rmr_mx_labelled(m, events, "result", "missing", a->auth_missing);
    rmr_mx_labelled(m, events, "result", "malformed", a->auth_malformed);
    rmr_mx_labelled(m, events, "result", "rejected", a->auth_rejected);
    rmr_mx_family(m, minted, "counter",
                  "Pre-auth keys made by the API: reusable, or not.");
    rmr_mx_labelled(m, minted, "kind", "server", a->minted_reusable);
    rmr_mx_labelled(m, minted, "kind", "client", a->minted_single);
    counter(m, "remora_devices_revoked_total",
            "Nodes deleted or expired by the API.", a->revoked);
}

static const char *base_of(const crd_op *op)
{
    return op->is_open ? "" : "/api/v1/";
}

static void requests(rmr_mx *m, const crd_op *op, const crd_op_count *k)
{
    for (size_t i = 0; i < CRD_API_CODES; i++) {
        if (k->codes[i])
            rmr_mx_put(m,
                       "remora_api_requests_total{route=\"%s%s\",method=\"%s\","
                       "code=\"%u\"} %llu\n",
                       base_of(op), op->path, op->method, (unsigned)codes[i],
                       (unsigned long long)k->codes[i]);
    }
}

static void errors(rmr_mx *m, const crd_op *op, const crd_op_count *k)
{
    uint64_t n[2] = {0, 0};
    for (size_t i = 0; i < CRD_API_CODES; i++) {
        if (codes[i] >= 400)
            n[codes[i] >= 500] += k->codes[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        if (n[i])
            rmr_mx_put(m,
                       "remora_api_errors_total{route=\"%s%s\",method=\"%s\","
                       "class=\"%uxx\"} %llu\n",
                       base_of(op), op->path, op->method, 4 + i,
                       (unsigned long long)n[i]);
    }
}

static void durations(rmr_mx *m, const crd_op *op, const crd_op_count *k)
{
    static const char name[] = "remora_api_request_duration_seconds";
    if (!k->n)
        return;
    for (size_t i = 0; i < CRD_API_BUCKETS; i++)
        rmr_mx_put(m,
                   "%s_bucket{route=\"%s%s\",method=\"%s\",le=\"%s\"} %llu\n",
                   name, base_of(op), op->path, op->method, bounds[i].le,
                   (unsigned long long)k->buckets[i]);
    rmr_mx_put(m,
               "%s_bucket{route=\"%s%s\",method=\"%s\",le=\"+Inf\"} %llu\n"
               "%s_sum{route=\"%s%s\",method=\"%s\"} %.9f\n"
               "%s_count{route=\"%s%s\",method=\"%s\"} %llu\n",
               name, base_of(op), op->path, op->method,
               (unsigned long long)k->n, name, base_of(op), op->path,
               op->method, (double)k->sum / 1e9, name, base_of(op), op->path,
               op->method, (unsigned long long)k->n);
}

typedef void (*op_lines)(rmr_mx *m, const crd_op *op, const crd_op_count *k);

/* A family for all operations: its lines stand together. */
static void family(rmr_mx *m, const crd_api *a, op_lines lines)
{
    for (size_t i = 0; i < rmri_crd_n_ops; i++)
        lines(m, &rmri_crd_ops[i], &a->ops[i]);
}

static rmr_bytes more(rmr_coord *c)
{
    rmr_buf dst = rmr_buf_of(c->api->page, MORE_MAX);
    size_t len = 0;
    c->in_callback++;
    if (c->more_metrics)
        len = c->more_metrics(c->more_metrics_user, dst);
    c->in_callback--;
    return rmr_bytes_of(dst.ptr, len < dst.len ? len : dst.len);
}

/* In five pieces: the durations alone may have 40 KiB. */
static rmr_bytes fill(crd_conn *n, crd_reply *r, bool *over)
{
    rmr_coord *c = n->c;
    rmr_mx m;
    size_t len;
    rmr_mx_init(&m, rmr_buf_of(c->api->page, CRD_SCRATCH));
    switch (r->after++) {
    case 0:
        of_server(&m, c);
        of_api(&m, c->api);
        break;
    case 1:
        rmr_mx_family(&m, "remora_api_requests_total", "counter",
                      "Requests of the API, by their answers.");
        family(&m, c->api, requests);
        break;
    case 2:
        rmr_mx_family(&m, "remora_api_errors_total", "counter",
                      "... that were errors.");
        family(&m, c->api, errors);
        break;
    case 3:
        rmr_mx_family(&m, "remora_api_request_duration_seconds", "histogram",
                      "From a request's head to its answer's end.");
        family(&m, c->api, durations);
        break;
    default:
        *over = true;
        return more(c);
    }
    return rmr_bytes_of(c->api->page, rmr_mx_end(&m, &len) == RMR_OK ? len : 0);
}

void rmri_crd_metrics(crd_conn *n, const rmr_h1_head *head, rmr_bytes path)
{
    rmr_bytes none = rmr_bytes_str("404 page not found\n");
    crd_reply *r;
    if (!rmr_bytes_eq_str(path, "/metrics")) {
        rmri_crd_answer(n, 404, "text/plain; charset=utf-8", &none);
        return;
    }
    if (!rmr_bytes_eq_str(head->method, "GET")) {
        none.len = 0;
        rmri_crd_answer(n, 405, NULL, &none);
        return;
    }
    rmri_crd_reply_begin(n, NULL, &r);
    if (!r)
        return;
    r->fill = fill;
    n->last_answer = n->last_answer || n->is_old;
    rmri_crd_answer(n, 200, "text/plain; version=0.0.4; charset=utf-8", NULL);
}
