/* POST /machine/register and what its answer means. */
#include "ctl_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

enum {
    G_ERROR = 1,
    G_SIGNATURE,
    G_EXPIRED,
    G_AUTH_URL,
    G_USER,
    G_USER_DISPLAY,
    G_LOGIN,
    G_LOGIN_NAME,
    G_LOGIN_DISPLAY
};

static const rmr_json_field user_fields[] = {
    {"DisplayName", G_USER_DISPLAY, NULL, 0}};
static const rmr_json_field login_fields[] = {
    {"LoginName", G_LOGIN_NAME, NULL, 0},
    {"DisplayName", G_LOGIN_DISPLAY, NULL, 0}};
static const rmr_json_field fields[] = {
    {"User", G_USER, user_fields, 1},
    {"Login", G_LOGIN, login_fields, 2},
    {"NodeKeyExpired", G_EXPIRED, NULL, 0},
    {"AuthURL", G_AUTH_URL, NULL, 0},
    {"NodeKeySignature", G_SIGNATURE, NULL, 0},
    {"Error", G_ERROR, NULL, 0}};

/* ---- request ---------------------------------------------------------- */

/* "ts-lb" is for load balancers; with two keys the old one comes first. */
static size_t put_ts_lb(const rmr_ctl *c, rmr_header h[2], char text[2][80])
{
    static const uint8_t zero[RMR_KEY_LEN] = {0};
    char hex[2 * RMR_KEY_LEN + 1];
    size_t n = 0;
    const uint8_t *keys[2] = {c->old_node_key, c->node_key};
    for (size_t i = 0; i < 2; i++) {
        if (memcmp(keys[i], zero, sizeof zero) == 0)
            continue;
        (void)snprintf(text[n], 80, "nodekey:%s",
                       rmr_hex(hex, keys[i], RMR_KEY_LEN));
        h[n].name = rmr_bytes_str("ts-lb");
        h[n].value = rmr_bytes_str(text[n]);
        n++;
    }
    return n;
}

bool rmri_ctl_sends_auth_key(const rmr_ctl *c)
{
    return c->auth_key && !rmri_ctl_auth_url(c)[0] && !c->logging_out &&
           (!c->registered || c->key_is_new);
}

rmr_err rmri_ctl_register_send(rmr_ctl *c)
{
    rmr_header headers[2];
    char text[2][80], path[544];
    size_t len = 0, n = put_ts_lb(c, headers, text);
    ctl_request *r = &c->req[REQ_REGISTER];
    uint8_t *body = rmr_alloc_raw(&c->env.alloc, CTL_BODY_MAX, 1);
    if (!body)
        return RMR_E_NOMEM;
    (void)snprintf(path, sizeof path, "%s/machine/register",
                   rmr_text_kept(c->base));
    rmri_ctl_request_clear(c, r);
    rmr_err e =
        rmri_ctl_body(c, BODY_REGISTER, rmr_buf_of(body, CTL_BODY_MAX), &len);
    if (!e)
        e = rmr_h2_request(c->h2, "POST", rmr_text_kept(c->authority), path,
                           headers, n, rmr_bytes_of(body, len), r, &r->stream);
    rmri_ctl_body_free(c, body, len);
    if (e)
        return e;
    bool waits = rmri_ctl_auth_url(c)[0] != '\0';
    c->sent_auth_key = rmri_ctl_sends_auth_key(c);
    r->deadline = rmr_time_add(c->now, waits ? CTL_FOLLOWUP_TIMEOUT
                                             : CTL_REGISTER_TIMEOUT);
    if (waits)
        rmri_ctl_emit(c, RMR_CTL_NEEDS_LOGIN, RMR_E_CTL_NEEDS_LOGIN,
                      c->auth_url);
    else
        rmri_ctl_emit(c, RMR_CTL_REGISTERING, RMR_OK, "");
    return RMR_OK;
}

/* ---- answer ----------------------------------------------------------- */

static void keep(char *dst, size_t cap, rmr_bytes text)
{
    rmri_ctl_copy_clean(dst, cap, text);
}

/* A URL that the user shall open: printable, http or https. */
static void keep_auth_url(ctl_reply *g, rmr_bytes text)
{
    rmr_url url;
    if (text.len == 0)
        return;
    g->bad_url = true;
    if (text.len >= sizeof g->auth_url || rmr_url_parse(text, &url))
        return;
    memcpy(g->auth_url, text.ptr, text.len);
    g->auth_url[text.len] = '\0';
    g->bad_url = false;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    rmr_ctl *c = (rmr_ctl *)user;
    ctl_reply *g = &c->work->reply;
    if (id == G_EXPIRED)
        g->expired = kind == RMR_JSON_TRUE;
    if (kind != RMR_JSON_STRING)
        return RMR_OK;
    switch (id) {
    case G_ERROR:
        g->has_error = text.len > 0;
        rmri_ctl_server_words(c, g->error, sizeof g->error, text);
        break;
    case G_SIGNATURE:
        g->has_signature = text.len > 0;
        break;
    case G_AUTH_URL:
        keep_auth_url(g, text);
        break;
    case G_USER_DISPLAY:
        keep(g->user_display, sizeof g->user_display, text);
        break;
    case G_LOGIN_NAME:
        keep(g->login, sizeof g->login, text);
        break;
    case G_LOGIN_DISPLAY:
        keep(g->display, sizeof g->display, text);
        break;
    default:
        break;
    }
    return RMR_OK;
}

void rmri_ctl_register_begin(rmr_ctl *c)
{
    const rmr_json_bind_callbacks cb = {c, NULL, on_value};
    c->json_err = rmri_ctl_work_new(c);
    c->json_len = 0;
    if (c->json_err)
        return;
    memset(&c->work->reply, 0, sizeof c->work->reply);
    rmr_json_bind_init(&c->work->json,
                       rmr_buf_of(c->work->scratch, sizeof c->work->scratch),
                       fields, sizeof fields / sizeof *fields, &cb);
}

void rmri_ctl_register_body(rmr_ctl *c, rmr_bytes data)
{
    c->json_len += data.len;
    if (c->json_len > CTL_MAX_REPLY)
        c->json_err = RMR_E_TOOBIG;
    if (!c->json_err)
        c->json_err = rmr_json_bind_feed(&c->work->json, data);
}

/* Servers word it as "invalid pre auth key", "authkey expired", ... */
static rmr_err refusal(const rmr_ctl *c)
{
    rmr_bytes text = rmr_bytes_str(c->work->reply.error);
    bool about_key = rmri_ctl_contains(text, "authkey") ||
                     rmri_ctl_contains(text, "auth key") ||
                     rmri_ctl_contains(text, "auth-key") ||
                     rmri_ctl_contains(text, "preauth");
    if (!about_key)
        return RMR_E_CTL_REFUSED;
    return c->sent_auth_key ? RMR_E_CTL_AUTH_KEY : RMR_E_CTL_NEEDS_LOGIN;
}

/* The user must open a URL; the request is sent again with it, and the server
 * holds that until the login is done. */
static void await_login(rmr_ctl *c)
{
    rmr_dur wait = 0;
    if (rmri_ctl_same(rmri_ctl_auth_url(c), c->work->reply.auth_url)) {
        if (rmri_ctl_backoff(c, ++c->same_url, &wait)) {
            rmri_ctl_die(c, RMR_E_RNG, "%s", "");
            return;
        }
    } else {
        rmr_err e = rmri_ctl_set_auth_url(c, c->work->reply.auth_url);
        if (e) {
            rmri_ctl_die(c, e, "%s", "");
            return;
        }
        c->same_url = 0;
    }
    c->register_at = rmr_time_add(c->now, wait);
}

static void registered(rmr_ctl *c)
{
    const ctl_reply *g = &c->work->reply;
    const char *display = g->display[0] ? g->display : g->user_display;
    c->registered = true;
    c->need_register = false;
    c->key_is_new = false;
    c->has_map_key = true;
    memcpy(c->map_key, c->node_key, RMR_KEY_LEN);
    rmr_release_wiped(&c->env.alloc, c->auth_url, CTL_URL_MAX);
    c->auth_url = NULL;
    c->same_url = 0;
    c->stats.registers++;
    c->failures[LOOP_REGISTER] = 0;
    if (!c->keep_auth_key)
        rmri_ctl_forget_auth_key(c);
    memset(c->old_node_key, 0, sizeof c->old_node_key);
    c->update_due = true;
    c->update_at = c->now;
    /* A stream that runs is of the key before. */
    rmri_ctl_h2_cancel(c, REQ_MAP);
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control", "registered as %s",
             g->login[0] ? g->login : "an unnamed user");
    if (c->cb.on_registered)
        c->cb.on_registered(c->cb.user, g->login, display);
}

/* A new key that is refused leaves the one before, where there is one. */
static void refused(rmr_ctl *c, rmr_err err, const char *text)
{
    if (!c->cb.on_key_refused || rmr_ctl_keep_node_key(c)) {
        rmri_ctl_die(c, err, "%s", text);
        return;
    }
    if (err == RMR_E_CTL_AUTH_KEY)
        rmri_ctl_forget_auth_key(c);
    rmr_logf(&c->env.log, RMR_LOG_WARN, "control",
             "a new node key was refused, the one before stays: %s%s%s",
             rmr_ctl_err_text(err), text[0] ? ": " : "", text);
    c->cb.on_key_refused(c->cb.user, err, text);
}

/* Polls may go on with it: the server knows it, and may let it live again. */
static void expired(rmr_ctl *c)
{
    if (c->key_is_new) {
        refused(c, RMR_E_CTL_KEY_EXPIRED, "");
        return;
    }
    c->has_map_key = true;
    memcpy(c->map_key, c->node_key, RMR_KEY_LEN);
    if (c->cb.on_key_expired)
        c->cb.on_key_expired(c->cb.user);
    if (!c->key_is_new)
        rmri_ctl_die(c, RMR_E_CTL_KEY_EXPIRED, "%s", "");
}

/* The login is of before the start, and the server knows it no more: it is asked
 * for another. */
static bool begins_anew(rmr_ctl *c)
{
    if (!c->login_is_old)
        return false;
    c->login_is_old = false;
    rmri_ctl_clear_auth_url(c);
    c->register_at = c->now;
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control",
             "the login that was waited for is over: asking for another");
    return true;
}

static void take_reply(rmr_ctl *c)
{
    const ctl_reply *g = &c->work->reply;
    if ((g->has_error || g->has_signature || g->expired || g->bad_url) &&
        begins_anew(c))
        return;
    c->login_is_old = false;
    if (g->has_error)
        refused(c, refusal(c), g->error);
    else if (g->has_signature)
        refused(c, RMR_E_CTL_LOCKED, "");
    else if (g->expired)
        expired(c);
    else if (g->bad_url)
        refused(c, RMR_E_CTL_REFUSED, "its login URL is no URL");
    else if (g->auth_url[0])
        await_login(c);
    else
        registered(c);
}

/* Of the answer only an error counts: servers differ in the rest. */
static void logged_out(rmr_ctl *c)
{
    const ctl_request *r = &c->req[REQ_REGISTER];
    char text[CTL_TEXT];
    rmr_bytes words = rmri_ctl_request_words(r);
    c->logout_err = RMR_OK;
    rmri_ctl_say(c, &c->text, "");
    if (r->status != 200) {
        c->logout_err = RMR_E_CTL_HTTP;
        rmri_ctl_server_words(c, text, sizeof text, words);
        rmri_ctl_say(c, &c->text, text);
    } else if (c->work && c->work->reply.has_error) {
        c->logout_err = RMR_E_CTL_REFUSED;
        rmri_ctl_say(c, &c->text, c->work->reply.error);
    }
    c->need_register = false;
    c->logged_out = c->redial = true; /* nothing more of this stream */
}

void rmri_ctl_register_failed(rmr_ctl *c, rmr_err err, const char *text)
{
    rmr_dur wait = 0;
    if (!c->map_open) {
        rmri_ctl_die(c, err, "%s", text);
        return;
    }
    rmr_logf(&c->env.log, RMR_LOG_WARN, "control",
             "the new node key is not registered yet: %s: %s",
             rmr_ctl_err_text(err), text);
    rmri_ctl_h2_cancel(c, REQ_REGISTER);
    if (rmri_ctl_failed(c, LOOP_REGISTER, &wait))
        rmri_ctl_die(c, RMR_E_RNG, "%s", "");
    c->register_at = rmr_time_add(c->now, wait);
}

void rmri_ctl_register_end(rmr_ctl *c)
{
    const ctl_request *r = &c->req[REQ_REGISTER];
    char words[200], text[300];
    rmr_bytes body = rmri_ctl_request_words(r);
    if (c->logging_out && r->status != 429) {
        logged_out(c);
        return;
    }
    if (r->status == 200) {
        if (!c->json_err)
            c->json_err = rmr_json_bind_end(&c->work->json);
        if (c->json_err == RMR_E_NOMEM)
            rmri_ctl_register_failed(c, RMR_E_NOMEM, "");
        else if (c->json_err)
            rmri_ctl_register_failed(
                c, RMR_E_CTL_HTTP,
                "the answer to the registration can't be read");
        else
            take_reply(c);
        rmri_ctl_work_free(c);
        return;
    }
    rmri_ctl_server_words(c, words, sizeof words, body);
    if (r->status == 429) {
        (void)snprintf(
            text, sizeof text, "the server asks to wait %lu s",
            (unsigned long)(rmr_time_since(c->register_at, c->now) / RMR_SEC));
        rmri_ctl_emit(c, RMR_CTL_REGISTERING, RMR_OK, text);
    } else if (rmri_ctl_is_version_refusal(r->status, body)) {
        rmri_ctl_die(c, RMR_E_CTL_TOO_NEW, "we have %d; %s", RMR_CTL_CAPABILITY,
                     words);
    } else if (!begins_anew(c)) {
        (void)snprintf(text, sizeof text, "HTTP %u to the registration%s%s",
                       r->status, words[0] ? ": " : "", words);
        rmri_ctl_register_failed(c, RMR_E_CTL_HTTP, text);
    }
}

/* RFC 9110 10.2.3; a date would need a clock that both sides trust. */
rmr_err rmri_ctl_retry_after(rmr_ctl *c, rmr_bytes value, rmr_dur *out)
{
    uint64_t s = 0;
    uint16_t draw;
    rmr_err e = rmr_parse_u64(value, 3600, &s);
    if (!e && s > 0) {
        *out = s * RMR_SEC;
        return RMR_OK;
    }
    e = rmr_rng_fill(&c->env.rng, &draw, sizeof draw);
    *out = 5 * RMR_SEC + draw * (5 * RMR_SEC / 65536);
    return e;
}
