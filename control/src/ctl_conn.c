/* From an open stream to the upgrade: GET /key and POST /ts2021, both in
 * HTTP/1.1 on one connection where the server keeps it. */
#include "ctl_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

enum { KEY_PUBLIC = 1 };

static const rmr_json_field key_fields[] = {{"publicKey", KEY_PUBLIC, NULL, 0}};

/* ---- requests --------------------------------------------------------- */

static rmr_err put_request(rmr_ctl *c, const char *method, const char *target,
                           const rmr_header *headers, size_t n,
                           const rmr_bytes *body)
{
    size_t len = 0;
    rmr_err e = rmri_ctl_out_new(c);
    if (!e)
        e = rmr_h1_build_request(rmr_buf_of(c->out, RMR_TS_FRAME_MAX), &len,
                                 method, target, rmr_text_kept(c->authority),
                                 headers, n, body);
    c->out_len = e ? 0 : len;
    return e;
}

static rmr_err key_value(void *user, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    static const char prefix[] = "mkey:";
    const size_t n = sizeof prefix - 1;
    rmr_ctl *c = (rmr_ctl *)user;
    c->found = id == KEY_PUBLIC && kind == RMR_JSON_STRING &&
               text.len == n + 64 && memcmp(text.ptr, prefix, n) == 0 &&
               rmr_unhex(c->found_key, RMR_KEY_LEN,
                         rmr_bytes_of(text.ptr + n, 64)) == RMR_OK;
    return RMR_OK;
}

static void ask_for_key(rmr_ctl *c)
{
    const rmr_json_bind_callbacks cb = {c, NULL, key_value};
    char target[544];
    (void)snprintf(target, sizeof target, "%s/key?v=%d", rmr_text_kept(c->base),
                   RMR_CTL_CAPABILITY);
    rmr_json_bind_init(&c->work->json,
                       rmr_buf_of(c->work->scratch, sizeof c->work->scratch),
                       key_fields, 1, &cb);
    c->json_err = RMR_OK;
    c->found = false;
    c->body_len = 0;
    c->phase = PH_KEY;
    rmr_err e = put_request(c, "GET", target, NULL, 0, NULL);
    if (e)
        rmri_ctl_die(c, e, "%s", "");
}

static void ask_by_websocket(rmr_ctl *c, const char *b64)
{
    char target[64 + 3 * RMR_BASE64_LEN(RMR_TS_INIT_LEN)];
    rmr_header h[CTL_WS_HEADERS];
    c->body_len = 0;
    c->ws_accepted = false;
    c->phase = PH_UPGRADE;
    rmr_err e = rmri_ctl_ws_ask(c, b64, target, sizeof target, h);
    if (!e)
        e = put_request(c, "GET", target, h, CTL_WS_HEADERS, NULL);
    if (e)
        rmri_ctl_die(c, e, "%s", "");
}

static void ask_for_upgrade(rmr_ctl *c)
{
    char b64[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1];
    rmr_err e = rmri_ctl_noise_begin(c, b64);
    if (e == RMR_E_AUTH) {
        rmri_ctl_die(c, RMR_E_CTL_HANDSHAKE, "the server's key is no key");
        return;
    }
    if (!e && c->by_ws) {
        ask_by_websocket(c, b64);
        return;
    }
    const rmr_header headers[] = {
        {rmr_bytes_str("Connection"), rmr_bytes_str("upgrade")},
        {rmr_bytes_str("Upgrade"), rmr_bytes_str(CTL_PROTOCOL)},
        {rmr_bytes_str("X-Tailscale-Handshake"), rmr_bytes_str(b64)},
    };
    const rmr_bytes none = rmr_bytes_str("");
    c->body_len = 0;
    c->phase = PH_UPGRADE;
    if (!e)
        e = put_request(c, "POST", "/ts2021", headers, 3, &none);
    if (e)
        rmri_ctl_die(c, e, "%s", "");
}

/* ---- the key ---------------------------------------------------------- */

static bool is_zero(const uint8_t *k)
{
    static const uint8_t zero[RMR_KEY_LEN] = {0};
    return rmr_equal_ct(k, zero, sizeof zero);
}

/* The retired form: 64 hex digits and nothing else. */
static bool is_legacy_key(const rmr_ctl *c)
{
    uint8_t key[RMR_KEY_LEN];
    size_t n = c->body_len;
    while (n && (c->work->body[n - 1] == '\n' || c->work->body[n - 1] == '\r'))
        n--;
    return n == 64 &&
           rmr_unhex(key, sizeof key, rmr_bytes_of(c->work->body, n)) == RMR_OK;
}

static void adopt_key(rmr_ctl *c)
{
    memcpy(c->server_key, c->found_key, RMR_KEY_LEN);
    c->has_server_key = true;
    c->key_untold = true; /* until the server has proved that it has it */
}

/* Decisions 3: a changed key is taken over when TLS vouches for the server,
 * or when the user said so. */
static void take_key(rmr_ctl *c)
{
    bool same = c->has_server_key &&
                rmr_equal_ct(c->server_key, c->found_key, RMR_KEY_LEN);
    if (!same && c->is_pinned && !c->https && !c->accept_key) {
        rmri_ctl_die(c, RMR_E_CTL_KEY_CHANGED, "%s",
                     rmr_text_kept(c->authority));
        return;
    }
    if (!same && c->is_pinned)
        rmr_logf(&c->env.log, RMR_LOG_WARN, "control",
                 "%s has a new key, %s: taken over",
                 rmr_text_kept(c->authority),
                 c->https ? "by verified TLS" : "as allowed");
    if (!same)
        adopt_key(c);
    if (same && c->held_err) { /* so it was not the key */
        rmri_ctl_die(c, c->held_err, "%s", rmr_text_kept(c->held_text));
        return;
    }
    c->held_err = RMR_OK;
    c->fetch_key = false;
    c->key_is_fresh = true;
}

/* The beginning of a body, for messages. */
static void body_text(const rmr_ctl *c, char *dst, size_t cap)
{
    rmri_ctl_server_words(c, dst, cap,
                          rmr_bytes_of(c->work->body, c->body_len));
}

static void key_refused(rmr_ctl *c)
{
    char words[160];
    rmr_err e = rmri_ctl_classify_upgrade(c->h1_status, rmr_bytes_of("", 0));
    body_text(c, words, sizeof words);
    if (c->h1_status >= 300 && c->h1_status < 400)
        rmri_ctl_die(c, e, "HTTP %u to GET /key, to %s: use that URL",
                     c->h1_status,
                     c->work->h1_word[0] ? c->work->h1_word : "elsewhere");
    else
        rmri_ctl_die(c, e, "HTTP %u to GET /key%s%s", c->h1_status,
                     words[0] ? ": " : "", words);
}

static void key_done(rmr_ctl *c)
{
    if (c->h1_status != 200) {
        key_refused(c);
        return;
    }
    if (!c->json_err)
        c->json_err = rmr_json_bind_end(&c->work->json);
    if (c->json_err && !is_legacy_key(c)) {
        rmri_ctl_die(c, RMR_E_CTL_HTTP,
                     "what came from GET /key is not JSON: is %s a control "
                     "server, or must you sign in to this network first?",
                     rmr_text_kept(c->authority));
        return;
    }
    if (c->json_err || !c->found || is_zero(c->found_key)) {
        rmri_ctl_die(c, RMR_E_CTL_TOO_OLD, "%s", rmr_text_kept(c->authority));
        return;
    }
    take_key(c);
    if (c->dying)
        return;
    if (c->h1_keep_alive)
        ask_for_upgrade(c);
    else
        c->redial = true;
}

/* ---- the upgrade ------------------------------------------------------ */

/* A proxy's fault: the other form, once, on another stream.  When that fails
 * too, what the first one came to is the story. */
static void form_failed(rmr_ctl *c, rmr_err err, const char *text)
{
    bool proxy = err == RMR_E_CTL_PROXY || err == RMR_E_CTL_GATEWAY;
    if (c->other_tried) {
        rmri_ctl_die(c, c->form_err, "%s", rmr_text_kept(c->form_text));
        return;
    }
    if (!proxy && !c->by_ws) {
        rmri_ctl_die(c, err, "%s", text);
        return;
    }
    c->form_err = err;
    rmri_ctl_say(c, &c->form_text, text);
    c->by_ws = !c->by_ws;
    c->other_tried = c->redial = true;
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control", "%s: trying it by %s", text,
             c->by_ws ? "a WebSocket" : "POST");
}

static void upgrade_refused(rmr_ctl *c)
{
    char text[CTL_TEXT];
    char words[200];
    rmr_bytes body = rmr_bytes_of(c->work->body, c->body_len);
    rmr_err e = rmri_ctl_classify_upgrade(c->h1_status, body);
    body_text(c, words, sizeof words);
    if (c->h1_status >= 300 && c->h1_status < 400 && c->work->h1_word[0])
        (void)snprintf(text, sizeof text,
                       "HTTP %u to the protocol upgrade, to %.400s",
                       c->h1_status, c->work->h1_word);
    else
        (void)snprintf(text, sizeof text, "HTTP %u to the protocol upgrade%s%s",
                       c->h1_status, words[0] ? ": " : "", words);
    form_failed(c, e, text);
}

static void upgraded_to_websocket(rmr_ctl *c)
{
    if (!c->ws_accepted) {
        form_failed(c, RMR_E_CTL_HTTP, "the WebSocket was not agreed to");
        return;
    }
    rmr_err e = rmri_ctl_ws_begin(c);
    if (e)
        rmri_ctl_die(c, e, "%s", "");
    c->phase = PH_NOISE;
    c->hello_len = 0;
}

static void upgraded(rmr_ctl *c)
{
    if (c->by_ws) {
        upgraded_to_websocket(c);
        return;
    }
    if (!rmri_ctl_same(c->work->h1_word, CTL_PROTOCOL)) {
        rmri_ctl_die(c, RMR_E_CTL_HTTP, "switched to unexpected protocol %s",
                     c->work->h1_word[0] ? c->work->h1_word : "(none)");
        return;
    }
    c->phase = PH_NOISE;
    c->hello_len = 0;
}

/* ---- the parser's callbacks ------------------------------------------- */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    rmr_ctl *c = (rmr_ctl *)user;
    rmr_bytes word =
        rmr_h1_header(head, head->status == 101 ? "Upgrade" : "Location");
    c->h1_status = head->status;
    c->h1_keep_alive = head->keep_alive;
    c->body_len = 0;
    c->ws_accepted =
        head->status == 101 && c->by_ws && rmri_ctl_ws_accepts(c, head);
    rmri_ctl_copy_clean(c->work->h1_word, sizeof c->work->h1_word, word);
    return RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    rmr_ctl *c = (rmr_ctl *)user;
    size_t room = sizeof c->work->body - c->body_len;
    size_t n = data.len < room ? data.len : room;
    if (n)
        memcpy(c->work->body + c->body_len, data.ptr, n);
    c->body_len += n;
    if (c->phase == PH_KEY && c->h1_status == 200 && !c->json_err)
        c->json_err = rmr_json_bind_feed(&c->work->json, data);
    /* An error page may be long, or never end; its beginning is enough. */
    if (c->phase == PH_UPGRADE && c->body_len == sizeof c->work->body)
        upgrade_refused(c);
    return c->dying || c->redial ? RMR_E_CLOSED : RMR_OK;
}

static rmr_err on_done(void *user)
{
    rmr_ctl *c = (rmr_ctl *)user;
    if (c->phase == PH_KEY)
        key_done(c);
    else if (c->h1_status == 101)
        upgraded(c);
    else
        upgrade_refused(c);
    return c->dying || c->redial ? RMR_E_CLOSED : RMR_OK;
}

/* ---- the connection --------------------------------------------------- */

void rmri_ctl_conn_opened(rmr_ctl *c)
{
    const rmr_h1_config cfg = {.body_max = CTL_MAX_KEY_BODY,
                               .callbacks = {c, on_head, on_body, on_done}};
    rmr_err e = rmri_ctl_work_new(c);
    if (!e)
        e = rmr_h1_new(&c->h1, &c->env, &cfg);
    if (e) {
        rmri_ctl_die(c, e, "%s", "");
        return;
    }
    c->h1_status = 0;
    if (c->fetch_key)
        ask_for_key(c);
    else
        ask_for_upgrade(c);
}

static void read_http(rmr_ctl *c, rmr_buf *in)
{
    size_t n = 0;
    rmr_err e = rmr_h1_read(c->h1, rmr_bytes_of(in->ptr, in->len), &n);
    in->ptr += n;
    in->len -= n;
    if (c->dying || c->redial || e == RMR_OK)
        return;
    if (e == RMR_E_HTTP_SYNTAX || e == RMR_E_HTTP_HEAD || e == RMR_E_HTTP_BODY)
        rmri_ctl_die(c, RMR_E_CTL_HTTP, "the answer is not sound HTTP/1.1");
    else
        rmri_ctl_die(c, e, "%s", "");
}

static void http_free(rmr_ctl *c)
{
    rmr_h1_free(c->h1);
    c->h1 = NULL;
}

void rmri_ctl_conn_read(rmr_ctl *c, rmr_buf in)
{
    if (c->phase == PH_KEY || c->phase == PH_UPGRADE)
        read_http(c, &in);
    if (c->dying || c->redial || c->phase < PH_NOISE)
        return;
    http_free(c); /* its 16 KiB are of no use any more */
    if (!in.len)
        return;
    if (c->ws)
        rmri_ctl_ws_read(c, in);
    else
        rmri_ctl_noise_read(c, in);
}

static void http_eof(rmr_ctl *c, rmr_err why, const char *text)
{
    rmr_err e = rmr_h1_read_eof(c->h1);
    if (c->dying || c->redial)
        return;
    if (c->phase == PH_NOISE) { /* 101 and nothing more */
        rmri_ctl_handshake_failed(c, "the server closed during the handshake");
        return;
    }
    if (why == RMR_OK || why == RMR_E_RESET)
        why = RMR_E_CTL_ENDED;
    (void)e;
    rmri_ctl_die(c, why, "%s%sbefore an answer to %s", text,
                 text[0] ? ": " : "",
                 c->phase == PH_KEY ? "GET /key" : "the protocol upgrade");
}

void rmri_ctl_conn_eof(rmr_ctl *c, rmr_err why, const char *text)
{
    char end[160];
    switch (c->phase) {
    case PH_KEY:
    case PH_UPGRADE:
        http_eof(c, why, text);
        return;
    case PH_NOISE:
        rmri_ctl_handshake_failed(c, "the server closed during the handshake");
        return;
    default:
        rmri_ctl_map_ended_text(c, end, sizeof end);
        rmri_ctl_die(c, why && why != RMR_E_RESET ? why : RMR_E_CTL_ENDED,
                     "%s%s%s", text, text[0] && end[0] ? ": " : "", end);
        return;
    }
}

void rmri_ctl_conn_drop(rmr_ctl *c)
{
    rmri_ctl_h2_drop(c);
    rmri_ctl_ws_drop(c);
    http_free(c);
    rmri_ctl_work_free(c);
    rmr_ts_record_wipe(&c->record);
    rmri_ctl_out_free(c);
    c->early_len = 0;
    c->early_skip = 0;
    if (c->has_stream)
        c->want_close = true;
    c->has_stream = false;
}
