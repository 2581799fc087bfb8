/* HTTP/1.1 requests: the upgrade to DERP, and who answers the others. */
#include "relay_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX ((size_t)8 * 1024)
#define BODY_MAX ((uint64_t)64 * 1024)
#define ANSWER_HEAD_MAX 2048
#define MAX_ANSWER_HEADERS 12

/* ---- answers ----------------------------------------------------------- */

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

bool rmri_relay_answer(rl_conn *c, uint16_t status, const char *reason,
                       const rmr_header *headers, size_t n_headers,
                       const rmr_bytes *body)
{
    rmr_header all[MAX_ANSWER_HEADERS];
    char length[24];
    uint8_t head[ANSWER_HEAD_MAX];
    size_t n = 0, len = 0;
    while (n < n_headers && n < MAX_ANSWER_HEADERS - 2) {
        all[n] = headers[n];
        n++;
    }
    if (body) {
        snprintf(length, sizeof length, "%zu", body->len);
        all[n++] = header("Content-Length", length);
    }
    if (c->last_answer)
        all[n++] = header("Connection", "close");
    if (rmr_h1_build_response(rmr_buf_of(head, sizeof head), &len, status,
                              reason, all, n, NULL) != RMR_OK)
        return false;
    if (rmr_ring_write_all(&c->out, rmr_bytes_of(head, len)) != RMR_OK)
        return false;
    return !body || c->is_head || rmr_ring_write_all(&c->out, *body) == RMR_OK;
}

bool rmri_relay_text(rl_conn *c, uint16_t status, const char *reason,
                     const char *text)
{
    rmr_header h[] = {header("Content-Type", "text/plain; charset=utf-8"),
                      header("X-Content-Type-Options", "nosniff")};
    rmr_bytes body = rmr_bytes_str(text);
    return rmri_relay_answer(c, status, reason, h, 2, &body);
}

/* ---- the upgrade ------------------------------------------------------- */

static bool same_word(rmr_bytes text, const char *word)
{
    if (text.len != strlen(word))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t ch = text.ptr[i];
        if (ch >= 'A' && ch <= 'Z')
            ch = (uint8_t)(ch - 'A' + 'a');
        if (ch != (uint8_t)word[i])
            return false;
    }
    return true;
}

/* WebSocket only where the client speaks DERP in it; early clients said
 * "websocket" and meant the raw form. */
static bool wants_websocket(const rmr_h1_head *head)
{
    return same_word(rmr_h1_header(head, "Upgrade"), "websocket") &&
           rmr_h1_header_has(head, "Sec-WebSocket-Protocol", "derp");
}

static bool wants_derp(const rmr_h1_head *head)
{
    rmr_bytes up = rmr_h1_header(head, "Upgrade");
    return head->upgrade && rmr_bytes_eq_str(head->method, "GET") &&
           (same_word(up, "derp") || same_word(up, "websocket"));
}

static bool say_switching(rl_conn *c)
{
    char key[2 * RMR_KEY_LEN + 1];
    rmr_hex(key, c->r->public_key, RMR_KEY_LEN);
    rmr_header h[] = {
        header("Upgrade", "DERP"), header("Connection", "Upgrade"),
        header("Derp-Version", "2"), header("Derp-Public-Key", key)};
    return rmri_relay_answer(c, 101, "Switching Protocols", h, 4, NULL);
}

/* With the fast start not a byte of HTTP is answered. */
static bool upgrade(rl_conn *c, const rmr_h1_head *head)
{
    rmr_bytes fast = rmr_h1_header(head, "Derp-Fast-Start");
    c->upgrade = true;
    c->last_answer = false;
    c->to_websocket = wants_websocket(head);
    c->not_ideal = rmr_h1_header(head, "Ideal-Node").len > 0;
    if (c->to_websocket)
        return rmri_relay_websocket_accept(c, head);
    return rmr_bytes_eq_str(fast, "1") || say_switching(c);
}

/* ---- routes ------------------------------------------------------------ */

static void split(rmr_bytes target, rmr_bytes *path, rmr_bytes *query)
{
    const uint8_t *mark = memchr(target.ptr, '?', target.len);
    size_t len = mark ? (size_t)(mark - target.ptr) : target.len;
    *path = rmr_bytes_of(target.ptr, len);
    *query = mark ? rmr_bytes_of(mark + 1, target.len - len - 1)
                  : rmr_bytes_of(NULL, 0);
}

static bool route(rl_conn *c, const rmr_h1_head *head)
{
    rmr_bytes path, query;
    if (rmr_bytes_eq_str(head->method, "CONNECT")) {
        c->last_answer = true;
        return rmri_relay_text(c, 403, "Forbidden", "no proxy here\n");
    }
    split(head->target, &path, &query);
    bool derp = c->door == RL_DOOR_RELAY && rmr_bytes_eq_str(path, "/derp");
    if (derp && wants_derp(head))
        return upgrade(c, head);
    if (derp)
        return rmri_relay_text(c, 426, "Upgrade Required",
                               "DERP requires connection upgrade\n");
    return rmri_relay_page(c, head, path, query);
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    rl_conn *c = user;
    c->r->count.tls_requests += c->tls != NULL;
    c->is_head = rmr_bytes_eq_str(head->method, "HEAD");
    c->last_answer = !head->keep_alive || c->r->phase != RL_PHASE_UP;
    c->upgrade = false;
    if (!route(c, head))
        return RMR_E_NOMEM;
    if (head->upgrade && !c->upgrade)
        rmr_h1_decline_upgrade(c->h1);
    return RMR_OK;
}

/* The answer is there, the body is read: behind the last one it ends. */
static rmr_err on_done(void *user)
{
    rl_conn *c = user;
    if (c->last_answer)
        return RMR_E_CLOSED;
    rmri_relay_conn_set_timer(c, rmr_time_add(c->r->now, RL_HTTP_TIMEOUT),
                              RL_TIMER_STAGE);
    return RMR_OK;
}

static rmr_err parser_new(rl_conn *c)
{
    rmr_h1_config cfg = {0};
    cfg.requests = true;
    cfg.head_max = HEAD_MAX;
    cfg.body_max = BODY_MAX;
    cfg.callbacks.user = c;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_done = on_done;
    return rmr_h1_new(&c->h1, &c->r->env, &cfg);
}

/* A request that is none gets an answer, too. */
static void complain(rl_conn *c, rmr_err err)
{
    c->last_answer = true;
    c->is_head = false;
    if (err == RMR_E_HTTP_HEAD)
        rmri_relay_text(c, 431, "Request Header Fields Too Large",
                        "the request's head is too long\n");
    else if (err == RMR_E_HTTP_BODY)
        rmri_relay_text(c, 413, "Content Too Large",
                        "the request's body is too long\n");
    else if (err == RMR_E_HTTP_SYNTAX)
        rmri_relay_text(c, 400, "Bad Request", "this is no HTTP/1.1\n");
}

rmr_err rmri_relay_http_read(rl_conn *c, rmr_time now, rmr_bytes data,
                             size_t *used)
{
    *used = 0;
    if (!c->h1 && parser_new(c) != RMR_OK)
        return RMR_E_NOMEM;
    rmr_err err = rmr_h1_read(c->h1, data, used);
    rmr_mc_io_output(c->io);
    if (err != RMR_OK) {
        complain(c, err);
        return err;
    }
    if (!c->upgrade)
        return RMR_OK;
    rmr_h1_free(c->h1);
    c->h1 = NULL;
    return rmri_relay_switch_enter(c, now);
}
