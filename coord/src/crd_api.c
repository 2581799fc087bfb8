/* The REST API: routes, who may, the life of a request, problems. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define BASE "/api/v1/"
#define SCHEME "Bearer "

/* ---- what there is ------------------------------------------------------- */

static const crd_field f_user[] = {{"name", CRD_FIELD_TEXT},
                                   {"displayName", CRD_FIELD_TEXT},
                                   {"email", CRD_FIELD_TEXT},
                                   {"pictureUrl", CRD_FIELD_TEXT}};
static const crd_field f_key[] = {{"user", CRD_FIELD_TEXT},
                                  {"reusable", CRD_FIELD_BOOL},
                                  {"ephemeral", CRD_FIELD_BOOL},
                                  {"expiration", CRD_FIELD_TIME},
                                  {"aclTags", CRD_FIELD_LIST}};
static const crd_field f_id[] = {{"id", CRD_FIELD_TEXT},
                                 {"prefix", CRD_FIELD_TEXT}};
static const crd_field f_register[] = {{"user", CRD_FIELD_TEXT},
                                       {"authId", CRD_FIELD_TEXT}};
static const crd_field f_auth[] = {{"authId", CRD_FIELD_TEXT}};
static const crd_field f_expire[] = {{"expiry", CRD_FIELD_TIME},
                                     {"disableExpiry", CRD_FIELD_BOOL}};
static const crd_field f_debug[] = {{"user", CRD_FIELD_TEXT},
                                    {"key", CRD_FIELD_TEXT},
                                    {"name", CRD_FIELD_TEXT},
                                    {"routes", CRD_FIELD_LIST}};
static const crd_field f_tags[] = {{"tags", CRD_FIELD_LIST}};
static const crd_field f_routes[] = {{"routes", CRD_FIELD_LIST}};
static const crd_field f_api_key[] = {{"expiration", CRD_FIELD_TIME}};
static const crd_field f_policy[] = {{"policy", CRD_FIELD_TEXT}};
static const crd_field f_verify[] = {{"NodePublic", CRD_FIELD_TEXT},
                                     {"Source", CRD_FIELD_TEXT}};

/* A path that could be another's pattern stands in front of it. */
const crd_op rmri_crd_ops[] = {
    {"GET", "health", rmri_crd_do_health, NULL, 0, false, false},
    {"GET", "user", rmri_crd_do_user_list, NULL, 0, false, false},
    {"POST", "user", rmri_crd_do_user_create, f_user, 4, false, false},
    {"POST", "user/{}/rename/{}", rmri_crd_do_user_rename, NULL, 0, false,
     false},
    {"DELETE", "user/{}", rmri_crd_do_user_delete, NULL, 0, false, false},
    {"GET", "preauthkey", rmri_crd_do_key_list, NULL, 0, false, false},
    {"POST", "preauthkey", rmri_crd_do_key_create, f_key, 5, false, false},
    {"DELETE", "preauthkey", rmri_crd_do_key_delete, NULL, 0, false, false},
    {"POST", "preauthkey/expire", rmri_crd_do_key_expire, f_id, 1, false,
     false},
    {"GET", "node", rmri_crd_do_node_list, NULL, 0, false, false},
    {"POST", "node/register", rmri_crd_do_node_register, NULL, 0, false, false},
    {"POST", "node/backfillips", rmri_crd_do_node_backfill, NULL, 0, false,
     false},
    {"GET", "node/{}", rmri_crd_do_node_get, NULL, 0, false, false},
    {"DELETE", "node/{}", rmri_crd_do_node_delete, NULL, 0, false, false},
    {"POST", "node/{}/expire", rmri_crd_do_node_expire, f_expire, 2, true,
     false},
    {"POST", "node/{}/rename/{}", rmri_crd_do_node_rename, NULL, 0, false,
     false},
    {"POST", "node/{}/tags", rmri_crd_do_node_tags, f_tags, 1, false, false},
    {"POST", "node/{}/approve_routes", rmri_crd_do_node_approve, f_routes, 1,
     false, false},
    {"POST", "auth/register", rmri_crd_do_auth_register, f_register, 2, false,
     false},
    {"POST", "auth/approve", rmri_crd_do_auth_approve, f_auth, 1, false, false},
    {"POST", "auth/reject", rmri_crd_do_auth_reject, f_auth, 1, false, false},
    {"POST", "debug/node", rmri_crd_do_debug_node, f_debug, 4, false, false},
    {"GET", "apikey", rmri_crd_do_api_key_list, NULL, 0, false, false},
    {"POST", "apikey", rmri_crd_do_api_key_create, f_api_key, 1, false, false},
    {"POST", "apikey/expire", rmri_crd_do_api_key_expire, f_id, 2, false,
     false},
    {"DELETE", "apikey/{}", rmri_crd_do_api_key_delete, NULL, 0, false, false},
    {"GET", "policy", rmri_crd_do_policy_get, NULL, 0, false, false},
    {"PUT", "policy", rmri_crd_do_policy_put, f_policy, 1, false, false},
    {"POST", "policy/check", rmri_crd_do_policy_check, f_policy, 1, false,
     false},
    {"GET", "/health", rmri_crd_do_liveness, NULL, 0, false, true},
    {"GET", "/version", rmri_crd_do_version, NULL, 0, false, true},
    {"POST", "/verify", rmri_crd_do_verify, f_verify, 2, false, true},
};
const size_t rmri_crd_n_ops = sizeof rmri_crd_ops / sizeof rmri_crd_ops[0];

_Static_assert(sizeof rmri_crd_ops / sizeof rmri_crd_ops[0] <= CRD_API_OPS,
               "there is a counter for each");

rmr_err rmri_crd_api_new(rmr_coord *c)
{
    c->api = rmr_alloc_zero(&c->env.alloc, sizeof *c->api, _Alignof(crd_api));
    if (c->api)
        c->api->page = rmr_alloc_zero(&c->env.alloc, CRD_SCRATCH, 1);
    return c->api && c->api->page ? RMR_OK : RMR_E_NOMEM;
}

void rmri_crd_api_free(rmr_coord *c)
{
    if (!c->api)
        return;
    rmri_crd_api_keys_free(c);
    rmr_release_wiped(&c->env.alloc, c->api->page, CRD_SCRATCH);
    rmr_release(&c->env.alloc, c->api, sizeof *c->api);
}

/* ---- answers ------------------------------------------------------------- */

bool rmri_crd_api_stored(crd_conn *n)
{
    bool changed = n->call && strcmp(n->call->op->method, "GET") != 0;
    if (!changed || rmr_coord_commit(n->c) == RMR_OK)
        return true;
    /* The first that met the failure; later ones change nothing. */
    rmri_crd_api_problem(n, 503, "the change is not stored yet",
                         "the store fails: the change is made and will be "
                         "stored when that works again; it is lost if the "
                         "server ends before");
    return false;
}

/* What was changed lasts before anybody hears of it.  Then counts what it is
 * that was answered. */
static void respond(crd_conn *n, uint16_t status, const char *type,
                    rmr_bytes body)
{
    if (status == 200 && !rmri_crd_api_stored(n))
        return;
    rmri_crd_answer(n, status, type, &body);
    if (n->call)
        rmri_crd_count(n->c, n->call->op, status,
                       rmr_time_since(n->c->now, n->call->began));
}

void rmri_crd_api_begin(crd_conn *n, rmr_jw *w)
{
    rmr_jw_init(w, rmr_buf_of(n->c->api->page, CRD_SCRATCH));
}

void rmri_crd_api_send(crd_conn *n, rmr_jw *w, const char *type)
{
    size_t len;
    if (rmr_jw_end(w, &len) != RMR_OK) {
        rmri_crd_api_problem(n, 500, "the answer is too long", NULL);
        return;
    }
    respond(n, 200, type ? type : "application/json",
            rmr_bytes_of(n->c->api->page, len));
}

void rmri_crd_api_nothing(crd_conn *n)
{
    respond(n, 200, "application/json", rmr_bytes_str("{}\n"));
}

static void problem_begin(crd_conn *n, rmr_jw *w, uint16_t status,
                          const char *detail)
{
    rmri_crd_api_begin(n, w);
    rmr_jw_object(w);
    rmr_jw_kstr(w, "title", rmri_crd_reason(status));
    rmr_jw_ku64(w, "status", status);
    rmr_jw_kstr(w, "detail", detail);
}

static void problem_end(crd_conn *n, rmr_jw *w, uint16_t status)
{
    size_t len = 0;
    rmr_jw_object_end(w);
    if (rmr_jw_end(w, &len) != RMR_OK)
        len = 0;
    respond(n, status, "application/problem+json",
            rmr_bytes_of(n->c->api->page, len));
}

void rmri_crd_api_problem(crd_conn *n, uint16_t status, const char *detail,
                          const char *cause)
{
    rmri_crd_api_problem_at(n, status, detail, cause, "");
}

void rmri_crd_api_problem_at(crd_conn *n, uint16_t status, const char *detail,
                             const char *cause, const char *where)
{
    rmr_jw w;
    problem_begin(n, &w, status, detail);
    if (cause) {
        rmr_jw_key(&w, "errors");
        rmr_jw_array(&w);
        rmr_jw_object(&w);
        rmr_jw_kstr(&w, "message", cause);
        if (*where)
            rmr_jw_kstr(&w, "location", where);
        rmr_jw_object_end(&w);
        rmr_jw_array_end(&w);
    }
    problem_end(n, &w, status);
}

void rmri_crd_api_failed(crd_conn *n, rmr_err err, const char *detail,
                         const char *missing)
{
    switch (err) {
    case RMR_E_NOTFOUND:
        rmri_crd_api_problem(n, 404, detail, missing);
        break;
    case RMR_E_INVAL:
        rmri_crd_api_problem(n, 400, detail, "a value is not allowed");
        break;
    case RMR_E_INUSE:
        rmri_crd_api_problem(n, 409, detail, "it is in use");
        break;
    case RMR_E_IO:
        rmri_crd_api_problem(n, 503, detail,
                             "the store fails: nothing can be changed now");
        break;
    default:
        rmri_crd_api_problem(n, 500, detail, rmr_err_name(err));
        break;
    }
}

static void put_wrong(rmr_jw *w, const crd_call *q, const crd_wrong *x)
{
    rmr_bytes body = rmri_crd_buf_rest(&q->body);
    rmr_jw_object(w);
    rmr_jw_kstr(w, "message", x->message);
    rmr_jw_kstr(w, "location", x->where);
    if (x->whole && body.len <= 1024) {
        rmr_jw_key(w, "value");
        rmr_jw_raw(w, body);
    } else if (x->is_raw) {
        rmr_jw_key(w, "value");
        rmr_jw_raw(w, rmr_bytes_str(x->value));
    } else if (!x->whole) {
        rmr_jw_kstr(w, "value", x->value);
    }
    rmr_jw_object_end(w);
}

static void invalid(crd_conn *n, const crd_call *q)
{
    rmr_jw w;
    problem_begin(n, &w, 422, "validation failed");
    rmr_jw_key(&w, "errors");
    rmr_jw_array(&w);
    for (size_t i = 0; i < q->n_wrong; i++)
        put_wrong(&w, q, &q->wrong[i]);
    rmr_jw_array_end(&w);
    problem_end(n, &w, 422);
}

static void no_json(crd_conn *n, const crd_call *q, rmr_err err)
{
    rmr_jw w;
    rmr_bytes body = rmri_crd_buf_rest(&q->body);
    uint16_t status = err == RMR_E_NOMEM ? 500 : 400;
    problem_begin(n, &w, status, "validation failed");
    rmr_jw_key(&w, "errors");
    rmr_jw_array(&w);
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "message",
                err == RMR_E_NOMEM    ? "out of memory"
                : err == RMR_E_TOOBIG ? "the JSON is nested too deep"
                                      : "this is no JSON");
    rmr_jw_kstr(&w, "location", "body");
    rmr_jw_key(&w, "value");
    rmr_jw_bytes(&w, rmr_bytes_of(body.ptr, body.len < 256 ? body.len : 256));
    rmr_jw_object_end(&w);
    rmr_jw_array_end(&w);
    problem_end(n, &w, status);
}

/* ---- routes -------------------------------------------------------------- */

static int digit(uint8_t ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* URL escapes to a text; a NUL in it makes it none. */
static bool decode(rmr_bytes in, bool plus, char out[CRD_API_ARG_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        int ch = in.ptr[i] == '+' && plus ? ' ' : in.ptr[i];
        if (ch == '%') {
            int hi = in.len - i > 2 ? digit(in.ptr[i + 1]) : -1;
            int lo = in.len - i > 2 ? digit(in.ptr[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            ch = hi << 4 | lo;
            i += 2;
        }
        if (ch == 0 || n == CRD_API_ARG_MAX)
            return false;
        out[n++] = (char)ch;
    }
    out[n] = '\0';
    return true;
}

static rmr_bytes segment(rmr_bytes *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    rmr_bytes s = rmr_bytes_of(rest->ptr, len);
    len += end != NULL;
    *rest = rmr_bytes_of(rest->ptr + len, rest->len - len);
    return s;
}

/* args: where the segments go, in the path's order; none is empty. */
static bool matches(const char *pattern, rmr_bytes path, rmr_bytes args[2])
{
    rmr_bytes p = rmr_bytes_str(pattern);
    size_t k = 0;
    if (path.len && path.ptr[path.len - 1] == '/')
        return false;
    while (p.len && path.len) {
        rmr_bytes want = segment(&p), have = segment(&path);
        if (rmr_bytes_eq_str(want, "{}") && have.len)
            args[k++] = have;
        else if (want.len != have.len ||
                 memcmp(want.ptr, have.ptr, want.len) != 0)
            return false;
    }
    return !p.len && !path.len;
}

typedef struct crd_match {
    const crd_op *op; /* NULL: no such path, or not by this method */
    bool known;
    rmr_bytes args[2];
} crd_match;

static crd_match look_up(rmr_bytes method, rmr_bytes path)
{
    crd_match m = {NULL, false, {{NULL, 0}, {NULL, 0}}};
    size_t base = sizeof BASE - 1;
    bool below = path.len > base && memcmp(path.ptr, BASE, base) == 0;
    rmr_bytes rest = below ? rmr_bytes_of(path.ptr + base, path.len - base)
                           : rmr_bytes_of(NULL, 0);
    for (size_t i = 0; i < rmri_crd_n_ops; i++) {
        const crd_op *op = &rmri_crd_ops[i];
        rmr_bytes args[2] = {{NULL, 0}, {NULL, 0}};
        if (op->is_open ? !rmr_bytes_eq_str(path, op->path)
                        : !below || !matches(op->path, rest, args))
            continue;
        m.known = true;
        if (!rmr_bytes_eq_str(method, op->method))
            continue;
        m.op = op;
        memcpy(m.args, args, sizeof args);
        break;
    }
    return m;
}

/* ---- who may ------------------------------------------------------------- */

/* For those who watch logs for guessers. */
static void log_rejected(const crd_conn *n)
{
    char addr[RMR_ADDR_TEXT_MAX];
    if (rmri_crd_line(&n->c->bad_keys, &n->c->env.log, n->c->now,
                      "rejected API keys"))
        rmr_logf(&n->c->env.log, RMR_LOG_INFO, CRD_LAYER,
                 "an API key from %s is rejected",
                 rmr_addr_ip_text(&n->client, addr));
}

static bool may(crd_conn *n, const rmr_h1_head *head, const crd_op *op)
{
    crd_api *a = n->c->api;
    rmr_bytes given = rmr_h1_header(head, "Authorization");
    size_t front = sizeof SCHEME - 1;
    if (n->role == CRD_SOCKET || op->is_open)
        return true;
    if (!given.len) {
        a->auth_missing++;
        return false;
    }
    if (given.len <= front || memcmp(given.ptr, SCHEME, front) != 0) {
        a->auth_malformed++;
        return false;
    }
    if (!rmri_crd_api_key_opens(
            n->c, rmr_bytes_of(given.ptr + front, given.len - front))) {
        a->auth_rejected++;
        log_rejected(n);
        return false;
    }
    a->auth_ok++;
    return true;
}

static bool is_json(const rmr_h1_head *head)
{
    rmr_bytes t = rmr_h1_header(head, "Content-Type");
    const uint8_t *end = t.len ? memchr(t.ptr, ';', t.len) : NULL;
    if (end)
        t.len = (size_t)(end - t.ptr);
    while (t.len && t.ptr[t.len - 1] == ' ')
        t.len--;
    return !t.len || rmr_bytes_eq_nocase(t, rmr_bytes_str("application/json"));
}

/* ---- a request's life ---------------------------------------------------- */

void rmri_crd_call_free(crd_conn *n)
{
    crd_call *q = n->call;
    if (!q)
        return;
    rmri_crd_buf_free(n->c, &q->query);
    rmri_crd_buf_free(n->c, &q->body);
    rmr_release_wiped(&n->c->env.alloc, q->arena, q->arena_cap);
    rmr_release_wiped(&n->c->env.alloc, q, sizeof *q);
    n->call = NULL;
}

static bool call_new(crd_conn *n, const crd_op *op, rmr_bytes query)
{
    crd_call *q =
        rmr_alloc_zero(&n->c->env.alloc, sizeof *q, _Alignof(crd_call));
    rmri_crd_call_free(n);
    n->call = q;
    if (!q)
        return false;
    q->op = op;
    q->began = n->c->now;
    return rmri_crd_buf_add(n->c, &q->query, query) == RMR_OK;
}

/* Answered from its head; what its body says is not looked at. */
static void refuse(crd_conn *n, const crd_op *op, uint16_t status,
                   const char *detail)
{
    rmri_crd_api_problem(n, status, detail, NULL);
    rmri_crd_count(n->c, op, status, 0);
}

static void admit(crd_conn *n, const rmr_h1_head *head, const crd_match *m,
                  rmr_bytes query)
{
    char args[2][CRD_API_ARG_MAX + 1];
    if (!may(n, head, m->op)) {
        refuse(n, m->op, 401, "Unauthorized");
        return;
    }
    if (m->op->fields && !is_json(head)) {
        refuse(n, m->op, 415, "the body must be application/json");
        return;
    }
    if (!decode(m->args[0], false, args[0]) ||
        !decode(m->args[1], false, args[1])) {
        refuse(n, m->op, 400, "a part of the path is no text of 255 bytes");
        return;
    }
    if (!call_new(n, m->op, query)) {
        n->choked = true;
        return;
    }
    memcpy(n->call->args, args, sizeof args);
}

bool rmri_crd_api_head(crd_conn *n, const rmr_h1_head *head, rmr_bytes path,
                       rmr_bytes query)
{
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    rmri_crd_call_free(n);
    if (n->role == CRD_METRICS) {
        rmri_crd_metrics(n, head, path);
        return true;
    }
    crd_match m = look_up(head->method, path);
    if (!m.known && path.len >= 5 && memcmp(path.ptr, "/api/", 5) == 0) {
        none = rmr_bytes_str("404 page not found\n");
        rmri_crd_answer(n, 404, "text/plain; charset=utf-8", &none);
        return true;
    }
    if (!m.known)
        return false;
    /* A HEAD of what anybody may read. */
    if (!m.op && n->is_head)
        m = look_up(rmr_bytes_str("GET"), path);
    if (m.op && m.op->is_open && n->role != CRD_MAIN)
        return false;
    if (!m.op || (n->is_head && !m.op->is_open))
        rmri_crd_answer(n, 405, NULL, &none);
    else
        admit(n, head, &m, query);
    return true;
}

static size_t body_max(const crd_op *op)
{
    if (op && op->is_open)
        return 4096;
    return op && op->fields == f_policy ? CRD_API_POLICY_MAX : CRD_API_BODY_MAX;
}

bool rmri_crd_api_fits(const crd_conn *n, const rmr_h1_head *head)
{
    uint64_t len;
    rmr_bytes text = rmr_h1_header(head, "Content-Length");
    return rmr_parse_u64(text, UINT64_MAX, &len) != RMR_OK ||
           len <= body_max(n->call ? n->call->op : NULL);
}

rmr_err rmri_crd_api_body(crd_conn *n, rmr_bytes data)
{
    crd_call *q = n->call;
    if (!q || !q->op->fields)
        return RMR_OK;
    if (q->body.len + data.len > body_max(q->op))
        return RMR_E_HTTP_BODY;
    return rmri_crd_buf_add(n->c, &q->body, data);
}

static void run(crd_conn *n, crd_call *q)
{
    const crd_op *op = q->op;
    rmr_err e;
    if (op->fields && q->body.len == 0 && !op->no_body_is_fine) {
        rmri_crd_api_problem(n, 400, "request body is required", NULL);
        return;
    }
    e = op->fields && q->body.len ? rmri_crd_api_parse(n->c, q) : RMR_OK;
    if (e != RMR_OK)
        no_json(n, q, e);
    else if (q->n_wrong)
        invalid(n, q);
    else
        op->run(n, q);
}

void rmri_crd_api_done(crd_conn *n)
{
    if (!n->call)
        return;
    run(n, n->call);
    rmri_crd_call_free(n);
}

/* ---- what operations ask ------------------------------------------------- */

bool rmri_crd_query(rmr_bytes rest, const char *name,
                    char out[CRD_API_ARG_MAX + 1])
{
    size_t n = strlen(name);
    while (rest.len) {
        const uint8_t *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        if (len > n && memcmp(rest.ptr, name, n) == 0 && rest.ptr[n] == '=')
            return decode(rmr_bytes_of(rest.ptr + n + 1, len - n - 1), true,
                          out);
        len += end != NULL;
        rest = rmr_bytes_of(rest.ptr + len, rest.len - len);
    }
    return false;
}

bool rmri_crd_api_param(const crd_call *q, const char *name,
                        char out[CRD_API_ARG_MAX + 1])
{
    return rmri_crd_query(rmri_crd_buf_rest(&q->query), name, out);
}

bool rmri_crd_api_id(crd_conn *n, const char *text, const char *what,
                     uint64_t *id)
{
    char detail[64];
    /* 0 stands for "none" inside; nothing has it. */
    if (rmr_parse_u64(rmr_bytes_str(text), UINT64_MAX, id) == RMR_OK)
        return true;
    (void)snprintf(detail, sizeof detail, "type mismatch, parameter: %s", what);
    rmri_crd_api_problem(n, 400, detail, "it is no decimal number");
    return false;
}

void rmri_crd_put_id(rmr_jw *w, const char *key, uint64_t id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    rmr_jw_kstr(w, key, text);
}

void rmri_crd_put_time(rmr_jw *w, const char *key, uint64_t unix_ns)
{
    char text[RMR_TIME_TEXT_MAX];
    rmr_jw_key(w, key);
    if (unix_ns == 0)
        rmr_jw_null(w);
    else if (unix_ns == 1)
        rmr_jw_str(w, "0001-01-01T00:00:00Z");
    else
        rmr_jw_str(w, rmr_time_text(unix_ns, text));
}
