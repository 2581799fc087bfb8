/* Requests of HTTP/1.1: the server's key, the upgrade in both forms, pages. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define HEAD_MAX ((size_t)8 * 1024)
#define BODY_MAX ((uint64_t)CRD_API_POLICY_MAX) /* the longest of all */
#define WARN_PAUSE (3600 * RMR_SEC)
#define PROTOCOL "tailscale-control-protocol"

/* ---- answers ------------------------------------------------------------- */

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

/* Who asked, and what came of it; not the target, which may hold a login id. */
static void log_answer(const crd_conn *n, uint16_t status)
{
    char addr[RMR_ADDR_TEXT_MAX];
    rmr_logf(&n->c->env.log, RMR_LOG_DEBUG, CRD_LAYER,
             "a request of HTTP from %s: %u",
             rmr_addr_ip_text(&n->client, addr), (unsigned)status);
}

static bool answer(crd_conn *n, uint16_t status, const char *reason,
                   const rmr_header *headers, size_t n_headers,
                   const rmr_bytes *body)
{
    log_answer(n, status);
    n->answered = true;
    rmr_header all[12];
    char length[24];
    uint8_t head[1024];
    size_t k = 0, len = 0;
    while (k < n_headers && k < 10) {
        all[k] = headers[k];
        k++;
    }
    if (body) {
        (void)snprintf(length, sizeof length, "%zu", body->len);
        all[k++] = header("Content-Length", length);
    }
    if (n->last_answer)
        all[k++] = header("Connection", "close");
    if (rmr_h1_build_response(rmr_buf_of(head, sizeof head), &len, status,
                              reason, all, k, NULL) != RMR_OK ||
        rmr_ring_write_all(&n->out, rmr_bytes_of(head, len)) != RMR_OK)
        return false;
    return !body || n->is_head || rmr_ring_write_all(&n->out, *body) == RMR_OK;
}

static bool page(crd_conn *n, uint16_t status, const char *reason,
                 const char *type, const char *text)
{
    rmr_header h[] = {
        header("Content-Type", type),
        header("X-Content-Type-Options", "nosniff"),
        header("X-Frame-Options", "DENY"),
        header("Referrer-Policy", "no-referrer"),
        header("Content-Security-Policy", "frame-ancestors 'none'")};
    rmr_bytes body = rmr_bytes_str(text);
    return answer(n, status, reason, h, 5, &body);
}

static const char *reason_of(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *reason;
    } all[] = {{200, "OK"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {409, "Conflict"},
               {413, "Content Too Large"},
               {415, "Unsupported Media Type"},
               {422, "Unprocessable Entity"},
               {501, "Not Implemented"},
               {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].status == status)
            return all[i].reason;
    }
    return "Internal Server Error";
}

void rmri_crd_answer(crd_conn *n, uint16_t status, const char *type,
                     const rmr_bytes *body)
{
    rmr_header h[7];
    size_t k = 0;
    if (type)
        h[k++] = header("Content-Type", type);
    h[k++] = header("X-Content-Type-Options", "nosniff");
    h[k++] = header("X-Frame-Options", "DENY");
    h[k++] = header("Referrer-Policy", "no-referrer");
    h[k++] = header("Content-Security-Policy", "frame-ancestors 'none'");
    if (!body && !n->is_old)
        h[k++] = header("Transfer-Encoding", "chunked");
    if (answer(n, status, reason_of(status), h, k, body))
        return;
    n->choked = true;
    rmri_crd_reply_free(n); /* no body without its head */
}

const char *rmri_crd_reason(uint16_t status)
{
    return reason_of(status);
}

static bool text(crd_conn *n, uint16_t status, const char *reason,
                 const char *words)
{
    return page(n, status, reason, "text/plain; charset=utf-8", words);
}

/* ---- the key ------------------------------------------------------------- */

/* The value of a parameter; no bytes: there is none. */
static rmr_bytes parameter(rmr_bytes query, const char *name)
{
    size_t n = strlen(name);
    while (query.len) {
        const uint8_t *end = memchr(query.ptr, '&', query.len);
        size_t len = end ? (size_t)(end - query.ptr) : query.len;
        if (len > n && memcmp(query.ptr, name, n) == 0 && query.ptr[n] == '=')
            return rmr_bytes_of(query.ptr + n + 1, len - n - 1);
        len += end != NULL;
        query = rmr_bytes_of(query.ptr + len, query.len - len);
    }
    return rmr_bytes_of(NULL, 0);
}

static bool say_key(crd_conn *n, rmr_bytes query)
{
    char body[256], hex[2 * RMR_KEY_LEN + 1];
    uint64_t version;
    if (rmr_parse_u64(parameter(query, "v"), 1 << 20, &version) != RMR_OK)
        return text(n, 400, "Bad Request", "capability version must be set\n");
    if (version < 39)
        return page(n, 200, "OK", "application/json", "");
    rmr_hex(hex, n->c->public_key, RMR_KEY_LEN);
    (void)snprintf(body, sizeof body,
                   "{\"legacyPublicKey\":\"mkey:%064d\",\"publicKey\":"
                   "\"mkey:%s\"}",
                   0, hex);
    return page(n, 200, "OK", "application/json", body);
}

/* ---- the upgrade --------------------------------------------------------- */

/* The protocol of the stream behind the 101. */
static bool take_hello(crd_conn *n, rmr_bytes hello)
{
    n->upgrade = true;
    n->last_answer = false;
    /* What is refused is told by a frame, behind which it ends. */
    if (rmri_crd_noise_hello(n, hello) != RMR_OK)
        n->refused = true;
    return true;
}

static bool decode(rmr_bytes in, uint8_t hello[RMR_TS_INIT_LEN + 4],
                   rmr_bytes *out)
{
    size_t len = RMR_TS_INIT_LEN + 4;
    if (rmr_unbase64(hello, &len, in) != RMR_OK)
        return false;
    *out = rmr_bytes_of(hello, len);
    return true;
}

/* Now and then: anybody can send such requests. */
static void warn_of_proxy(rmr_coord *c)
{
    if (c->now < c->warn_at)
        return;
    c->warn_at = rmr_time_add(c->now, WARN_PAUSE);
    rmr_logf(&c->env.log, RMR_LOG_WARN, CRD_LAYER,
             "POST /ts2021 came without an Upgrade header: does a proxy in "
             "front strip it?");
}

/* A handshake is the dearest thing that anybody can ask for. */
static bool are_too_many(crd_conn *n, rmr_dur *wait)
{
    rmr_coord *c = n->c;
    if (rmri_crd_limit_take(&c->handshakes, c->now, &n->client, wait))
        return false;
    c->count.limited++;
    return true;
}

static bool say_too_many(crd_conn *n, rmr_dur wait)
{
    char seconds[24];
    rmr_bytes body = rmr_bytes_str("too many handshakes from this address\n");
    (void)snprintf(seconds, sizeof seconds, "%llu",
                   (unsigned long long)((wait + RMR_SEC - 1) / RMR_SEC));
    rmr_header h[] = {header("Content-Type", "text/plain; charset=utf-8"),
                      header("Retry-After", seconds)};
    return answer(n, 429, "Too Many Requests", h, 2, &body);
}

static bool upgrade(crd_conn *n, const rmr_h1_head *head)
{
    uint8_t raw[RMR_TS_INIT_LEN + 4];
    rmr_dur wait;
    rmr_bytes hello;
    rmr_bytes up = rmr_h1_header(head, "Upgrade");
    rmr_bytes in = rmr_h1_header(head, "X-Tailscale-Handshake");
    if (!up.len) {
        warn_of_proxy(n->c);
        return text(n, 400, "Bad Request", "missing next protocol\n");
    }
    if (!rmr_bytes_eq_nocase(up, rmr_bytes_str(PROTOCOL)))
        return text(n, 400, "Bad Request", "unknown next protocol\n");
    if (!in.len)
        return text(n, 400, "Bad Request",
                    "missing Tailscale handshake header\n");
    if (!decode(in, raw, &hello))
        return text(n, 400, "Bad Request",
                    "invalid tailscale handshake header\n");
    if (are_too_many(n, &wait))
        return say_too_many(n, wait);
    rmr_header h[] = {header("Upgrade", PROTOCOL),
                      header("Connection", "upgrade")};
    return answer(n, 101, "Switching Protocols", h, 2, NULL) &&
           take_hello(n, hello);
}

static int hex_digit(uint8_t ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* URL escapes; '+' is left alone, as it is a digit of base64. */
static bool unescape(rmr_bytes in, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t ch = in.ptr[i];
        if (ch == '%') {
            if (in.len - i < 3)
                return false;
            int hi = hex_digit(in.ptr[i + 1]), lo = hex_digit(in.ptr[i + 2]);
            if (hi < 0 || lo < 0)
                return false;
            ch = (uint8_t)(hi << 4 | lo);
            i += 2;
        }
        if (n == cap)
            return false;
        out[n++] = (char)ch;
    }
    *len = n;
    return true;
}

static bool websocket(crd_conn *n, const rmr_h1_head *head, rmr_bytes query)
{
    uint8_t raw[RMR_TS_INIT_LEN + 4];
    char plain[RMR_BASE64_LEN(RMR_TS_INIT_LEN + 4)],
        accept[RMR_WS_ACCEPT_LEN + 1];
    size_t len;
    rmr_dur wait;
    rmr_bytes hello;
    rmr_ws_config cfg;
    if (!rmr_h1_header_has(head, "Sec-WebSocket-Protocol", PROTOCOL) ||
        !rmr_bytes_eq_str(rmr_h1_header(head, "Sec-WebSocket-Version"), "13") ||
        rmr_ws_accept_make(rmr_h1_header(head, "Sec-WebSocket-Key"), accept) !=
            RMR_OK)
        return text(n, 400, "Bad Request",
                    "this is no WebSocket handshake for " PROTOCOL "\n");
    if (!unescape(parameter(query, "X-Tailscale-Handshake"), plain,
                  sizeof plain, &len) ||
        !decode(rmr_bytes_of(plain, len), raw, &hello))
        return text(n, 400, "Bad Request",
                    "invalid tailscale handshake header\n");
    if (are_too_many(n, &wait))
        return say_too_many(n, wait);
    rmr_ws_config_init(&cfg, sizeof cfg);
    rmr_header h[] = {header("Upgrade", "websocket"),
                      header("Connection", "Upgrade"),
                      header("Sec-WebSocket-Accept", accept),
                      header("Sec-WebSocket-Protocol", PROTOCOL)};
    return rmr_ws_new(&n->ws, &n->c->env, &cfg) == RMR_OK &&
           answer(n, 101, "Switching Protocols", h, 4, NULL) &&
           take_hello(n, hello);
}

/* ---- pages --------------------------------------------------------------- */

/* The id's characters are checked, so nothing of the URL gets into the page
 * that could be markup. */
static bool is_login_id(rmr_bytes id)
{
    static const char front[] = "hskey-authreq-";
    if (id.len != RMR_COORD_LOGIN_TEXT - 1 ||
        memcmp(id.ptr, front, sizeof front - 1) != 0)
        return false;
    for (size_t i = sizeof front - 1; i < id.len; i++) {
        if (hex_digit(id.ptr[i]) < 0)
            return false;
    }
    return true;
}

static bool login_page(crd_conn *n, rmr_bytes id, const char *title,
                       const char *whom, const char *command)
{
    char html[1024];
    if (!is_login_id(id))
        return text(n, 400, "Bad Request", "this is no login id\n");
    (void)snprintf(
        html, sizeof html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<title>%s</title></head><body><h1>%s</h1>"
        "<p>To let %s in, whoever runs the coordination server "
        "says:</p><pre>remora coordinator auth %s --auth-id "
        "%.*s</pre></body></html>\n",
        title, title, whom, command, (int)id.len, (const char *)id.ptr);
    return page(n, 200, "OK", "text/html; charset=utf-8", html);
}

/* ---- routes -------------------------------------------------------------- */

static bool starts_with(rmr_bytes t, const char *front, rmr_bytes *rest)
{
    size_t n = strlen(front);
    if (t.len < n || memcmp(t.ptr, front, n) != 0)
        return false;
    *rest = rmr_bytes_of(t.ptr + n, t.len - n);
    return true;
}

static bool get(crd_conn *n, const rmr_h1_head *head, rmr_bytes path,
                rmr_bytes query)
{
    rmr_bytes rest;
    if (rmr_bytes_eq_str(path, "/key"))
        return say_key(n, query);
    if (rmr_bytes_eq_str(path, "/ts2021") && head->upgrade)
        return websocket(n, head, query);
    if (rmr_bytes_eq_str(path, "/robots.txt"))
        return text(n, 200, "OK", "User-agent: *\nDisallow: /\n");
    if (starts_with(path, "/register/", &rest))
        return login_page(n, rest, "Join the tailnet", "this machine",
                          "register --user USER");
    if (starts_with(path, "/auth/", &rest))
        return login_page(n, rest, "An SSH connection", "it", "approve");
    return text(n, 404, "Not Found", "404 page not found\n");
}

static bool route_main(crd_conn *n, const rmr_h1_head *head, rmr_bytes path,
                       rmr_bytes query)
{
    if (rmr_bytes_eq_str(head->method, "POST") &&
        rmr_bytes_eq_str(path, "/ts2021"))
        return upgrade(n, head);
    if (n->is_head || rmr_bytes_eq_str(head->method, "GET"))
        return get(n, head, path, query);
    return text(n, 405, "Method Not Allowed", "");
}

static bool route(crd_conn *n, const rmr_h1_head *head)
{
    rmr_bytes target = head->target;
    const uint8_t *mark = memchr(target.ptr, '?', target.len);
    size_t len = mark ? (size_t)(mark - target.ptr) : target.len;
    rmr_bytes path = rmr_bytes_of(target.ptr, len);
    rmr_bytes query = mark ? rmr_bytes_of(mark + 1, target.len - len - 1)
                           : rmr_bytes_of(NULL, 0);
    if (rmri_crd_api_head(n, head, path, query))
        return !n->choked;
    if (n->role != CRD_MAIN)
        return text(n, 404, "Not Found", "404 page not found\n");
    return route_main(n, head, path, query);
}

/* ---- the parser ---------------------------------------------------------- */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    crd_conn *n = user;
    /* Its answer would have to wait, and the client would be read on: one that
     * asks in advance behind a long answer asks again. */
    if (n->reply)
        return RMR_E_CLOSED;
    n->answered = false;
    rmri_crd_client(n, head);
    n->is_old = head->minor == 0;
    n->is_head = rmr_bytes_eq_str(head->method, "HEAD");
    n->last_answer = !head->keep_alive || n->c->phase != CRD_PHASE_UP;
    n->upgrade = false;
    if (!route(n, head))
        return RMR_E_NOMEM;
    if (head->upgrade && !n->upgrade)
        (void)rmr_h1_decline_upgrade(n->h1);
    return rmri_crd_api_fits(n, head) ? RMR_OK : RMR_E_HTTP_BODY;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    return rmri_crd_api_body(user, data);
}

static rmr_err on_done(void *user)
{
    crd_conn *n = user;
    rmri_crd_api_done(n);
    if (n->choked)
        return RMR_E_NOMEM;
    if (!n->upgrade)
        n->answered = false;
    rmri_crd_conn_got_on(n);
    if (n->last_answer)
        return RMR_E_CLOSED;
    if (!n->upgrade)
        rmri_crd_timer_set(n->c, &n->timer, CRD_TIMER_STAGE, n,
                           rmr_time_add(n->c->now, CRD_HTTP_TIMEOUT));
    return RMR_OK;
}

static rmr_err parser_new(crd_conn *n)
{
    rmr_h1_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.requests = true;
    cfg.head_max = HEAD_MAX;
    cfg.body_max = BODY_MAX;
    cfg.callbacks.user = n;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_done = on_done;
    return rmr_h1_new(&n->h1, &n->c->env, &cfg);
}

static void complain(crd_conn *n, rmr_err err)
{
    if (n->reply || n->answered)
        return;
    n->last_answer = true;
    n->is_head = false;
    if (n->call && err == RMR_E_HTTP_BODY)
        rmri_crd_api_problem(n, 413, "the request's body is too long", NULL);
    else if (err == RMR_E_HTTP_HEAD)
        (void)text(n, 431, "Request Header Fields Too Large",
                   "the request's head is too long\n");
    else if (err == RMR_E_HTTP_BODY)
        (void)text(n, 413, "Content Too Large",
                   "the request's body is too long\n");
    else if (err == RMR_E_HTTP_SYNTAX)
        (void)text(n, 400, "Bad Request", "this is no HTTP/1.1\n");
}

rmr_err rmri_crd_http_read(crd_conn *n, rmr_time now, rmr_bytes data,
                           size_t *used)
{
    (void)now;
    *used = 0;
    if (!n->h1 && parser_new(n) != RMR_OK)
        return RMR_E_NOMEM;
    rmr_err e = rmr_h1_read(n->h1, data, used);
    rmr_mc_io_output(n->io);
    if (e != RMR_OK) {
        complain(n, e);
        return e;
    }
    if (!n->upgrade)
        return RMR_OK;
    rmr_h1_free(n->h1);
    n->h1 = NULL;
    return n->refused ? RMR_E_CLOSED : RMR_OK;
}
