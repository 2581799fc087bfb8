/* The requests inside Noise: when each is sent, and who gets the answers. */
#include "ctl_internal.h"

#include <string.h>

#define STREAM_WINDOW ((uint32_t)1 << 20)
#define CONNECTION_WINDOW ((uint32_t)4 << 20)

static ctl_kind kind_of(const rmr_ctl *c, const void *tag)
{
    return (ctl_kind)((const ctl_request *)tag - c->req);
}

/* Is that the request that runs?  A cancelled one may still be heard of. */
static bool is_current(const rmr_ctl *c, const void *tag, int32_t stream)
{
    return !c->dying && !c->redial && c->req[kind_of(c, tag)].stream == stream;
}

static rmr_bytes find_header(const rmr_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (rmr_bytes_eq_str(h[i].name, name))
            return h[i].value;
    }
    return rmr_bytes_of(NULL, 0);
}

static void on_head(void *user, void *tag, int32_t stream, uint16_t status,
                    const rmr_header *headers, size_t n)
{
    rmr_ctl *c = (rmr_ctl *)user;
    ctl_kind kind = kind_of(c, tag);
    if (!is_current(c, tag, stream))
        return;
    c->req[kind].status = status;
    if (kind == REQ_REGISTER && status == 200)
        rmri_ctl_register_begin(c);
    if (kind == REQ_REGISTER && status == 429) {
        rmr_dur wait = 0;
        rmr_err e = rmri_ctl_retry_after(
            c, find_header(headers, n, "retry-after"), &wait);
        c->register_at = rmr_time_add(c->now, wait);
        if (e)
            rmri_ctl_die(c, e, "%s", "");
    }
    if (kind == REQ_MAP && status == 200)
        rmri_ctl_map_head(c);
}

void rmri_ctl_request_clear(rmr_ctl *c, ctl_request *r)
{
    rmr_release_wiped(&c->env.alloc, r->body, CTL_WORDS);
    memset(r, 0, sizeof *r);
}

rmr_bytes rmri_ctl_request_words(const ctl_request *r)
{
    return rmr_bytes_of(r->body, r->body_len);
}

/* Without memory nothing is known of them. */
static void keep_words(rmr_ctl *c, ctl_request *r, rmr_bytes data)
{
    if (!r->body)
        r->body = rmr_alloc_raw(&c->env.alloc, CTL_WORDS, 1);
    size_t room = r->body ? CTL_WORDS - r->body_len : 0;
    size_t n = data.len < room ? data.len : room;
    if (n)
        memcpy(r->body + r->body_len, data.ptr, n);
    r->body_len += n;
}

static void on_body(void *user, void *tag, int32_t stream, rmr_bytes data)
{
    rmr_ctl *c = (rmr_ctl *)user;
    ctl_kind kind = kind_of(c, tag);
    if (is_current(c, tag, stream)) {
        ctl_request *r = &c->req[kind];
        if (r->status != 200)
            keep_words(c, r, data);
        else if (kind == REQ_REGISTER)
            rmri_ctl_register_body(c, data);
        else if (kind == REQ_MAP) {
            rmri_ctl_sleep_body(c, data);
            return;
        }
        /* Of an update the status alone counts. */
    }
    (void)rmr_h2_consume(c->h2, stream, data.len);
}

static void on_close(void *user, void *tag, int32_t stream, rmr_err why)
{
    rmr_ctl *c = (rmr_ctl *)user;
    ctl_kind kind = kind_of(c, tag);
    if (!is_current(c, tag, stream))
        return;
    c->req[kind].stream = 0;
    if (kind == REQ_UPDATE)
        rmri_ctl_update_end(c,
                            why == RMR_OK && c->req[REQ_UPDATE].status == 200);
    else if (kind == REQ_MAP)
        rmri_ctl_map_end(c, why);
    else if (kind == REQ_PING)
        return; /* what became of it is the server's concern */
    else if (why == RMR_OK)
        rmri_ctl_register_end(c);
    else
        rmri_ctl_register_failed(c, RMR_E_CTL_ENDED, "during the registration");
}

rmr_err rmri_ctl_h2_begin(rmr_ctl *c)
{
    rmr_env env = c->env;
    const rmr_h2_config cfg = {
        .stream_window = STREAM_WINDOW,
        .connection_window = CONNECTION_WINDOW,
        .max_streams = 8,
        .callbacks = {c, on_head, on_body, on_close},
        .frame = c->h2_frame,
    };
    env.alloc = c->wiping; /* bodies hold the auth key */
    return rmr_h2_client_new(&c->h2, &env, &cfg);
}

void rmri_ctl_h2_drop(rmr_ctl *c)
{
    rmri_ctl_map_drop(c);
    rmr_h2_free(c->h2);
    c->h2 = NULL;
    for (size_t i = 0; i < REQS; i++)
        rmri_ctl_request_clear(c, &c->req[i]);
}

void rmri_ctl_h2_cancel(rmr_ctl *c, ctl_kind kind)
{
    int32_t id = c->req[kind].stream;
    rmri_ctl_request_clear(c, &c->req[kind]);
    if (kind == REQ_MAP)
        rmri_ctl_map_drop(c);
    if (id && c->h2)
        (void)rmr_h2_cancel(c->h2, id);
}

/* ---- when ------------------------------------------------------------- */

static bool is_running(const rmr_ctl *c, ctl_kind kind)
{
    return c->req[kind].stream != 0;
}

static bool may_register(const rmr_ctl *c)
{
    return c->need_register && !c->is_held && !is_running(c, REQ_REGISTER);
}

static rmr_err send_due(rmr_ctl *c)
{
    if (may_register(c) && c->now >= c->register_at) {
        rmr_err e = rmri_ctl_register_send(c);
        if (e)
            return e;
    }
    if (!rmri_ctl_may_map(c))
        return RMR_OK;
    if (!is_running(c, REQ_MAP) && !rmri_ctl_sleeps(c)) {
        rmr_err e = rmri_ctl_map_send(c);
        if (e)
            return e;
    }
    if (c->ping && !is_running(c, REQ_PING)) {
        rmr_err e = rmri_ctl_ping_send(c);
        if (e)
            return e;
    }
    if (c->update_due && !is_running(c, REQ_UPDATE) && c->now >= c->update_at)
        return rmri_ctl_update_send(c);
    return RMR_OK;
}

void rmri_ctl_h2_kick(rmr_ctl *c)
{
    if (c->dying || c->redial || !c->h2)
        return;
    rmr_err e = rmr_h2_is_closed(c->h2) ? RMR_E_CLOSED : send_due(c);
    if (e == RMR_E_FULL) { /* cancelled streams are still to be written */
        c->register_at = c->update_at = rmr_time_add(c->now, CTL_FULL_WAIT);
        return;
    }
    if (e)
        rmri_ctl_die(c, e == RMR_E_CLOSED ? RMR_E_CTL_ENDED : e, "%s", "");
}

rmr_time rmri_ctl_h2_deadline(const rmr_ctl *c)
{
    rmr_time t = c->phase == PH_EARLY ? c->setup_deadline : RMR_TIME_NEVER;
    for (int k = 0; k < REQS; k++) {
        if (is_running(c, (ctl_kind)k))
            t = rmr_time_min(t, c->req[k].deadline);
    }
    if (may_register(c))
        t = rmr_time_min(t, c->register_at);
    if (rmri_ctl_sleeps(c))
        t = rmr_time_min(t, c->sleep_until);
    if (rmri_ctl_may_map(c) && c->update_due && !is_running(c, REQ_UPDATE))
        t = rmr_time_min(t, c->update_at);
    return t;
}

void rmri_ctl_h2_handle_deadline(rmr_ctl *c)
{
    const ctl_request *r = c->req;
    rmri_ctl_sleep_end(c);
    if (is_running(c, REQ_REGISTER) && c->now >= r[REQ_REGISTER].deadline) {
        if (rmri_ctl_auth_url(
                c)[0]) /* the server forgot the login: ask again */
            rmri_ctl_h2_cancel(c, REQ_REGISTER);
        else
            rmri_ctl_register_failed(c, RMR_E_CTL_SILENT,
                                     "no answer to the registration for 30 s");
    }
    if (is_running(c, REQ_MAP) && c->now >= r[REQ_MAP].deadline)
        rmri_ctl_die(c, RMR_E_CTL_SILENT, "not even a keep-alive for 120 s");
    if (is_running(c, REQ_PING) && c->now >= r[REQ_PING].deadline)
        rmri_ctl_h2_cancel(c, REQ_PING);
    if (is_running(c, REQ_UPDATE) && c->now >= r[REQ_UPDATE].deadline) {
        rmri_ctl_h2_cancel(c, REQ_UPDATE);
        rmri_ctl_update_end(c, false);
    }
}
