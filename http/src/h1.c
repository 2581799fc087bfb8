/*
 * The HTTP/1.1 parser: llhttp fed head by head and body by body.
 *
 * llhttp is paused at the end of each head and of each message, and the
 * caller's on_head and on_done run outside of it: positions are exact to the
 * byte, and how the input was cut can't be seen in the events.
 */
#include <llhttp_names.h>
#include <llhttp.h>
#include <remora/text.h>
#include <string.h>
#include "h1_internal.h"

#define HEAD_MAX_DEFAULT (16 * 1024)
#define BODY_MAX_DEFAULT (1024 * 1024)

enum phase { P_HEAD, P_BODY };
enum paused_at { AT_NOTHING, AT_HEAD, AT_DONE };

struct rmr_h1 {
    rmr_alloc alloc;
    rmr_h1_config cfg;
    llhttp_t parser;
    llhttp_settings_t settings;
    rmri_h1_scan scan;

    enum phase phase;
    enum paused_at paused_at;
    rmr_err err;          /* sticky */
    bool busy;            /* inside a pump: callbacks may run          */
    bool doomed;          /* freed by a callback; released by the pump */
    bool ended;           /* the stream is over                        */
    bool upgraded;        /* the rest is another protocol's            */
    bool expect_no_body;  /* of the next final response                */
    bool decline_upgrade; /* of the request in on_head                 */
    bool in_on_head;
    bool interim; /* this is a 1xx, which the caller never sees */

    size_t head_used;   /* raw bytes of the head, and of 1xx before it */
    uint64_t body_used; /* of this message                             */
    size_t extra_used;  /* chunk extensions and trailers               */

    rmr_h1_head head; /* of this message; parts are in text */
    size_t n_headers;
    rmr_header headers[RMR_H1_MAX_HEADERS];
    uint8_t *text; /* head_max bytes: a head's parts are never longer */
    size_t text_len;
};

/* ---- llhttp's callbacks ------------------------------------------------ */

static rmr_h1 *self_of(llhttp_t *p)
{
    return (rmr_h1 *)p->data;
}

static int fail(rmr_h1 *h, rmr_err e)
{
    h->err = e;
    return -1;
}

/* Appends to the part that is being read: llhttp cuts parts as its input is
 * cut, and nothing else is appended in between, so a part stays in one piece.
 */
static int append(rmr_h1 *h, rmr_bytes *part, const char *at, size_t len)
{
    if (len > h->cfg.head_max - h->text_len)
        return fail(h, RMR_E_HTTP_HEAD);
    if (part->len == 0)
        part->ptr = h->text + h->text_len;
    if (len)
        memcpy(h->text + h->text_len, at, len);
    h->text_len += len;
    part->len += len;
    return 0;
}

static int count_extra(rmr_h1 *h, size_t len)
{
    if (len > h->cfg.head_max - h->extra_used)
        return fail(h, RMR_E_HTTP_HEAD);
    h->extra_used += len;
    return 0;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
    return append(self_of(p), &self_of(p)->head.method, at, len);
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    return append(self_of(p), &self_of(p)->head.target, at, len);
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    rmr_h1 *h = self_of(p);
    if (h->phase == P_BODY)
        return count_extra(h, len); /* a trailer */
    if (h->n_headers == RMR_H1_MAX_HEADERS)
        return fail(h, RMR_E_HTTP_HEAD);
    return append(h, &h->headers[h->n_headers].name, at, len);
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    rmr_h1 *h = self_of(p);
    if (h->phase == P_BODY)
        return count_extra(h, len);
    return append(h, &h->headers[h->n_headers].value, at, len);
}

static int on_header_value_complete(llhttp_t *p)
{
    rmr_h1 *h = self_of(p);
    if (h->phase == P_BODY)
        return 0;
    /* RFC 9112 5.1: white space behind the value is no part of it. */
    rmr_bytes *value = &h->headers[h->n_headers].value;
    while (value->len && (value->ptr[value->len - 1] == ' ' ||
                          value->ptr[value->len - 1] == '\t'))
        value->len--;
    h->n_headers++;
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    self_of(p)->paused_at = AT_HEAD;
    return HPE_PAUSED;
}

static int on_extension(llhttp_t *p, const char *at, size_t len)
{
    (void)at;
    return count_extra(self_of(p), len);
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    rmr_h1 *h = self_of(p);
    uint64_t room = h->cfg.body_max - h->body_used;
    size_t n = len > room ? (size_t)room : len;
    h->body_used += n;
    if (n && h->cfg.callbacks.on_body) {
        rmr_err e = h->cfg.callbacks.on_body(h->cfg.callbacks.user,
                                             rmr_bytes_of(at, n));
        if (e != RMR_OK)
            return fail(h, e);
        if (h->doomed)
            return fail(h, RMR_E_CLOSED);
    }
    return n < len ? fail(h, RMR_E_HTTP_BODY) : 0;
}

static int on_message_complete(llhttp_t *p)
{
    self_of(p)->paused_at = AT_DONE;
    return HPE_PAUSED;
}

/* ---- heads and ends ---------------------------------------------------- */

static void clear_head(rmr_h1 *h)
{
    memset(&h->head, 0, sizeof h->head);
    memset(h->headers, 0, h->n_headers * sizeof h->headers[0]);
    h->n_headers = 0;
    h->text_len = 0;
}

/* RFC 9112 6.3, case 1.  llhttp would believe a Content-Length here.  (What
 * follows a 101 is no body, but the next protocol.) */
static bool no_body_follows(const rmr_h1 *h)
{
    unsigned status = h->parser.status_code;
    return !h->cfg.requests && (h->expect_no_body || status / 100 == 1 ||
                                status == 204 || status == 304);
}

/* A length that is above the limit is refused before its first byte. */
static rmr_err check_length(const rmr_h1 *h)
{
    if ((h->parser.flags & F_SKIPBODY) || h->head.status == 101 ||
        !(h->parser.flags & F_CONTENT_LENGTH))
        return RMR_OK;
    return h->parser.content_length > h->cfg.body_max ? RMR_E_HTTP_BODY
                                                      : RMR_OK;
}

static bool is_sane(const rmr_h1 *h)
{
    const llhttp_t *p = &h->parser;
    /* llhttp takes HTTP/0.9 (by its name, or without a version) and 2.0. */
    if (p->http_major != 1 || p->http_minor > 1)
        return false;
    return h->cfg.requests || (p->status_code >= 100 && p->status_code <= 999);
}

static rmr_err tell_head(rmr_h1 *h)
{
    const llhttp_t *p = &h->parser;
    h->head.status = h->cfg.requests ? 0 : p->status_code;
    h->head.headers = h->headers;
    h->head.n_headers = h->n_headers;
    h->head.upgrade = h->cfg.requests ? p->upgrade != 0 : p->status_code == 101;
    h->head.minor = p->http_minor;
    h->head.keep_alive =
        llhttp_should_keep_alive(p) != 0 && h->head.status != 101;
    h->decline_upgrade = false;
    if (!h->cfg.callbacks.on_head)
        return RMR_OK;
    h->in_on_head = true;
    rmr_err e = h->cfg.callbacks.on_head(h->cfg.callbacks.user, &h->head);
    h->in_on_head = false;
    return e == RMR_OK && h->doomed ? RMR_E_CLOSED : e;
}

static rmr_err head_done(rmr_h1 *h)
{
    llhttp_t *p = &h->parser;
    h->phase = P_BODY;
    h->body_used = 0;
    h->extra_used = 0;
    if (!is_sane(h))
        return RMR_E_HTTP_SYNTAX;
    if (no_body_follows(h))
        p->flags |= F_SKIPBODY;
    /* RFC 9110 15.2: interim responses may be ignored. */
    h->interim =
        !h->cfg.requests && p->status_code / 100 == 1 && p->status_code != 101;
    if (h->interim)
        return RMR_OK;
    h->expect_no_body = false;
    rmr_err e = tell_head(h);
    if (e != RMR_OK)
        return e;
    if (h->decline_upgrade) {
        h->head.upgrade = false;
        p->upgrade = 0;
    }
    return check_length(h);
}

static rmr_err message_done(rmr_h1 *h)
{
    h->phase = P_HEAD;
    bool upgrade = h->head.upgrade;
    clear_head(h);
    if (h->interim)
        return RMR_OK; /* its bytes still count: 1xx can't go on forever */
    h->head_used = 0;
    h->upgraded = upgrade;
    if (!h->cfg.callbacks.on_done)
        return RMR_OK;
    return h->cfg.callbacks.on_done(h->cfg.callbacks.user);
}

/* ---- reading ----------------------------------------------------------- */

/* How much of `in` llhttp may see now, and what is wrong with the byte after
 * it. */
static size_t admit(rmr_h1 *h, rmr_bytes in, rmr_err *then)
{
    *then = RMR_OK;
    if (h->phase != P_HEAD)
        return in.len;
    size_t room = h->cfg.head_max - h->head_used;
    bool cut = in.len > room;
    if (cut)
        in.len = room;
    enum rmri_h1_scan_result result;
    size_t n = rmri_h1_scan_head(&h->scan, in, &result);
    if (result == RMRI_H1_SCAN_BAD)
        *then = RMR_E_HTTP_SYNTAX;
    else if (result == RMRI_H1_SCAN_MORE && cut)
        *then = RMR_E_HTTP_HEAD;
    return n;
}

static rmr_err after_pause(rmr_h1 *h)
{
    enum paused_at at = h->paused_at;
    h->paused_at = AT_NOTHING;
    llhttp_resume(&h->parser);
    return at == AT_HEAD ? head_done(h) : message_done(h);
}

/* Gives llhttp bytes up to its next pause. */
static rmr_err step(rmr_h1 *h, rmr_bytes in, size_t *used, bool *paused)
{
    rmr_err then;
    bool head = h->phase == P_HEAD;
    size_t n = admit(h, in, &then);
    const char *at = (const char *)in.ptr;
    llhttp_errno_t code = llhttp_execute(&h->parser, at, n);
    *used = n;
    if (code != HPE_OK) {
        const char *pos = llhttp_get_error_pos(&h->parser);
        if (pos >= at && pos <= at + n)
            *used = (size_t)(pos - at);
    }
    if (head)
        h->head_used += *used;
    if (h->err != RMR_OK)
        return h->err;
    *paused = code == HPE_PAUSED;
    if (*paused)
        return after_pause(h);
    return code == HPE_OK ? then : RMR_E_HTTP_SYNTAX;
}

static rmr_err read_all(rmr_h1 *h, rmr_bytes in, size_t *consumed)
{
    size_t off = 0;
    rmr_err e = RMR_OK;
    bool again = in.len > 0;
    while (again && e == RMR_OK && !h->upgraded && !h->doomed) {
        size_t used = 0;
        bool paused = false;
        e = step(h, rmr_bytes_of(in.ptr + off, in.len - off), &used, &paused);
        off += used;
        /* What is behind a pause may need no further byte. */
        again = off < in.len || paused;
    }
    *consumed = off;
    return e;
}

static void release(rmr_h1 *h)
{
    rmr_alloc alloc = h->alloc;
    rmr_release(&alloc, h->text, h->cfg.head_max);
    rmr_release(&alloc, h, sizeof *h);
}

rmr_err rmr_h1_read(rmr_h1 *h, rmr_bytes in, size_t *consumed)
{
    *consumed = 0;
    if (h->busy)
        return RMR_E_REENTRANT;
    if (h->err != RMR_OK)
        return h->err;
    if (h->ended)
        return RMR_E_STATE;
    h->busy = true;
    rmr_err e = read_all(h, in, consumed);
    h->busy = false;
    h->err = e;
    if (h->doomed) {
        release(h);
        return RMR_E_CLOSED;
    }
    return e;
}

rmr_err rmr_h1_read_eof(rmr_h1 *h)
{
    if (h->busy)
        return RMR_E_REENTRANT;
    if (h->err != RMR_OK || h->ended || h->upgraded)
        return h->err;
    h->ended = true;
    h->busy = true;
    rmr_err e = RMR_OK;
    llhttp_errno_t code = llhttp_finish(&h->parser);
    if (code == HPE_PAUSED || h->paused_at == AT_DONE)
        e = message_done(h);
    else if (code != HPE_OK || h->interim)
        e = RMR_E_HTTP_EOF;
    h->busy = false;
    h->err = e;
    if (h->doomed) {
        release(h);
        return RMR_E_CLOSED;
    }
    return e;
}

/* ---- creation ---------------------------------------------------------- */

static void set_callbacks(llhttp_settings_t *s)
{
    llhttp_settings_init(s);
    s->on_method = on_method;
    s->on_url = on_url;
    s->on_header_field = on_header_field;
    s->on_header_value = on_header_value;
    s->on_header_value_complete = on_header_value_complete;
    s->on_headers_complete = on_headers_complete;
    s->on_chunk_extension_name = on_extension;
    s->on_chunk_extension_value = on_extension;
    s->on_body = on_body;
    s->on_message_complete = on_message_complete;
}

rmr_err rmr_h1_new(rmr_h1 **out, const rmr_env *env, const rmr_h1_config *cfg)
{
    *out = NULL;
    rmr_h1 *h = rmr_alloc_zero(&env->alloc, sizeof *h, _Alignof(rmr_h1));
    if (!h)
        return RMR_E_NOMEM;
    h->alloc = env->alloc;
    h->cfg = *cfg;
    if (h->cfg.head_max == 0)
        h->cfg.head_max = HEAD_MAX_DEFAULT;
    if (h->cfg.body_max == 0)
        h->cfg.body_max = BODY_MAX_DEFAULT;
    h->text = rmr_alloc_raw(&env->alloc, h->cfg.head_max, 1);
    if (!h->text) {
        rmr_release(&env->alloc, h, sizeof *h);
        return RMR_E_NOMEM;
    }
    set_callbacks(&h->settings);
    llhttp_init(&h->parser, cfg->requests ? HTTP_REQUEST : HTTP_RESPONSE,
                &h->settings);
    h->parser.data = h;
    *out = h;
    return RMR_OK;
}

void rmr_h1_free(rmr_h1 *h)
{
    if (!h)
        return;
    if (h->busy)
        h->doomed = true; /* by a callback: the pump that called it does it */
    else
        release(h);
}

void rmr_h1_expect_no_body(rmr_h1 *h)
{
    h->expect_no_body = true;
}

rmr_err rmr_h1_decline_upgrade(rmr_h1 *h)
{
    if (!h->in_on_head || !h->cfg.requests)
        return RMR_E_STATE;
    h->decline_upgrade = true;
    return RMR_OK;
}
