/* A request and its answer. */
#include "coord_admin_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/posix.h>

#include "coord_admin_net.h"

/* A list of 65,536 nodes is some 80 MB. */
#define BODY_MAX ((uint64_t)256 * 1024 * 1024)
#define HEAD_MAX ((size_t)8192)

typedef struct reading {
    cli_reply *r;
    bool done;
} reading;

void cli_reply_free(cli_reply *r)
{
    if (r->body != NULL) {
        rmr_wipe(r->body, r->cap);
        free(r->body);
    }
    memset(r, 0, sizeof *r);
}

/* ---- the request --------------------------------------------------------- */

static void header(rmr_header *h, size_t *n, const char *name,
                   const char *value)
{
    h[*n].name = rmr_bytes_str(name);
    h[(*n)++].value = rmr_bytes_str(value);
}

/* The head by itself: a body may be long. */
static bool send_request(cli_wire *w, const cli_server *s, const char *method,
                         const char *target, const rmr_bytes *body)
{
    uint8_t text[HEAD_MAX];
    char host[272], bearer[512], length[24];
    rmr_header headers[5];
    size_t n = 0, len;
    header(headers, &n, "Connection", "close");
    header(headers, &n, "Accept", "application/json");
    if (body != NULL) {
        (void)snprintf(length, sizeof length, "%zu", body->len);
        header(headers, &n, "Content-Type", "application/json");
        header(headers, &n, "Content-Length", length);
    }
    if (s->socket == NULL) {
        (void)snprintf(bearer, sizeof bearer, "Bearer %s", s->api_key);
        header(headers, &n, "Authorization", bearer);
    }
    rmr_err e = rmr_h1_build_request(
        rmr_buf_of(text, sizeof text), &len, method, target,
        s->socket != NULL ? "localhost" : rmr_url_authority(&s->url, host),
        headers, n, NULL);
    if (e != RMR_OK) {
        (void)snprintf(w->error, w->error_cap,
                       "a name is too long, or the API key is none");
    }
    bool ok = e == RMR_OK && cli_wire_send(w, rmr_bytes_of(text, len)) &&
              (body == NULL || cli_wire_send(w, *body));
    rmr_wipe(text, sizeof text);
    rmr_wipe(bearer, sizeof bearer);
    return ok;
}

/* ---- the answer ---------------------------------------------------------- */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    reading *a = user;
    rmr_bytes type = rmr_h1_header(head, "Content-Type");
    size_t n = 0;
    while (n < type.len && type.ptr[n] != ';' && type.ptr[n] != ' ') {
        n++;
    }
    type.len = n;
    a->r->status = head->status;
    a->r->is_json =
        rmr_bytes_eq_nocase(type, rmr_bytes_str("application/json")) ||
        rmr_bytes_eq_nocase(type, rmr_bytes_str("application/problem+json"));
    return RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    cli_reply *r = ((reading *)user)->r;
    if (data.len > r->cap - r->len) {
        size_t cap = r->cap == 0 ? 4096 : r->cap;
        while (cap - r->len < data.len) {
            cap *= 2;
        }
        uint8_t *bigger = malloc(cap);
        if (bigger == NULL) {
            return RMR_E_NOMEM;
        }
        if (r->len > 0) {
            memcpy(bigger, r->body, r->len);
            rmr_wipe(r->body, r->len);
        }
        free(r->body);
        r->body = bigger;
        r->cap = cap;
    }
    memcpy(r->body + r->len, data.ptr, data.len);
    r->len += data.len;
    return RMR_OK;
}

static rmr_err on_done(void *user)
{
    ((reading *)user)->done = true;
    return RMR_OK;
}

static bool no_answer(cli_wire *w, rmr_err e)
{
    (void)snprintf(w->error, w->error_cap,
                   e == RMR_E_NOMEM ? "the answer is too long for the memory "
                                      "here"
                                    : "what answers there speaks no HTTP, or "
                                      "broke off; is it the coordinator?");
    return false;
}

static bool read_answer(cli_wire *w, reading *a)
{
    rmr_env env = rmr_posix_env();
    uint8_t piece[16 * 1024];
    rmr_h1_config cfg;
    rmr_h1 *h;
    rmr_err e;
    memset(&cfg, 0, sizeof cfg);
    cfg.body_max = BODY_MAX;
    cfg.callbacks.user = a;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_done = on_done;
    if (rmr_h1_new(&h, &env, &cfg) != RMR_OK) {
        return no_answer(w, RMR_E_NOMEM);
    }
    bool ok = true;
    while (ok && !a->done) {
        size_t n, taken;
        ok = cli_wire_receive(w, rmr_buf_of(piece, sizeof piece), &n);
        if (!ok) {
            break;
        }
        e = n > 0 ? rmr_h1_read(h, rmr_bytes_of(piece, n), &taken)
                  : rmr_h1_read_eof(h);
        if (e != RMR_OK || (n == 0 && !a->done)) {
            ok = no_answer(w, e);
        }
    }
    rmr_wipe(piece, sizeof piece);
    rmr_h1_free(h);
    return ok;
}

bool cli_http_ask(const cli_server *s, const char *method, const char *target,
                  const rmr_bytes *body, cli_reply *r, char *error, size_t cap)
{
    cli_wire w;
    char later[512];
    reading a = {r, false};
    memset(r, 0, sizeof *r);
    bool ok = cli_wire_open(&w, s, error, cap);
    if (ok) {
        /* A server that refuses a body early has answered, and closed. */
        bool sent = send_request(&w, s, method, target, body);
        w.error = sent ? error : later;
        w.error_cap = sent ? cap : sizeof later;
        ok = (sent || body != NULL) && read_answer(&w, &a);
    }
    cli_wire_close(&w);
    if (!ok) {
        cli_reply_free(r);
    }
    return ok;
}
