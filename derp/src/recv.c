/* From the stream: the upgrade's answer, then frames. */
#include "derp_internal.h"

#include <remora/cursor.h>

#include <string.h>

/* A gathered body begins with room for what is common. */
#define BODY_FIRST 2048
/* What a relay may ask for before it comes back: a hostile one must not keep us
 * away for days. */
#define MAX_RESTART_IN (30 * RMR_SEC)
#define MAX_RESTART_FOR (300 * RMR_SEC)

void rmri_derp_reset_in(rmr_derp *d)
{
    rmr_h1_free(d->http);
    d->http = NULL;
    rmr_ws_free(d->ws);
    d->ws = NULL;
    rmr_release_wiped(&d->env.alloc, d->rx.body, d->rx.body_cap);
    memset(&d->rx, 0, sizeof d->rx);
}

/* ---- the upgrade ------------------------------------------------------ */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    rmr_derp *d = user;
    d->http_status = head->status;
    /* Raw, the headers say nothing that we need: one server writes its key there
     * in a form of its own. */
    return head->status == 101 && (!d->by_ws || rmri_derp_ws_accepts(d, head))
               ? RMR_OK
               : RMR_E_DERP_UPGRADE;
}

/* Behind the head DERP begins, in the same bytes. */
static rmr_err read_upgrade(rmr_derp *d, rmr_buf *in)
{
    size_t used;
    rmr_err e = rmr_h1_read(d->http, rmr_bytes_of(in->ptr, in->len), &used);
    if (e != RMR_OK) {
        rmr_logf(&d->env.log, RMR_LOG_INFO, "derp",
                 "%s: no upgrade, HTTP status %u",
                 d->nodes[d->node_at].dial.host, (unsigned)d->http_status);
        return RMR_E_DERP_UPGRADE;
    }
    *in = rmr_buf_of(in->ptr + used, in->len - used);
    if (d->http_status == 101) {
        rmr_h1_free(d->http);
        d->http = NULL;
        d->state = DERP_GREETING;
        return d->by_ws ? rmri_derp_ws_begin(d) : RMR_OK;
    }
    return RMR_OK;
}

rmr_err rmri_derp_start_http(rmr_derp *d)
{
    rmr_h1_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.head_max = 4096;
    cfg.callbacks.user = d;
    cfg.callbacks.on_head = on_head;
    d->http_status = 0;
    return rmr_h1_new(&d->http, &d->env, &cfg);
}

/* ---- frames ----------------------------------------------------------- */

void rmri_derp_call_health(rmr_derp *d, rmr_bytes text)
{
    d->is_ill = text.len != 0;
    if (d->cb.on_health)
        d->cb.on_health(d->cb.user, text);
}

static rmr_err take_server_info(rmr_derp *d, rmr_buf body)
{
    rmri_derp_server_info info;
    if (!rmri_derp_open_server_info(body, d->shared, &info))
        return RMR_E_DERP_LOGIN;
    rmri_derp_bucket_set(&d->bucket, info.rate, info.burst);
    if (d->is_ill)
        rmri_derp_call_health(d, rmr_bytes_of(NULL, 0));
    if (d->state == DERP_UP)
        return RMR_OK;
    d->state = DERP_UP;
    d->stats.connects++;
    d->restart_until = 0;
    d->ws_worked = d->by_ws;
    d->other_tried = false;
    d->last_send = d->now;
    if (d->cb.on_up)
        d->cb.on_up(d->cb.user);
    return RMR_OK;
}

static void take_packet(rmr_derp *d, rmr_buf body)
{
    rmr_buf packet = rmr_buf_of(body.ptr + RMR_KEY_LEN, body.len - RMR_KEY_LEN);
    d->stats.rx_pkts++;
    d->stats.rx_bytes += packet.len;
    if (d->cb.on_packet)
        d->cb.on_packet(d->cb.user, body.ptr, packet);
}

static void take_peer_gone(rmr_derp *d, rmr_buf body)
{
    /* Old relays give no reason. */
    uint8_t reason = body.len > RMR_KEY_LEN ? body.ptr[RMR_KEY_LEN] : 0;
    if (d->cb.on_peer_gone)
        d->cb.on_peer_gone(d->cb.user, body.ptr, reason);
}

static void take_peer_present(rmr_derp *d, rmr_buf body)
{
    if (d->cb.on_peer_present)
        d->cb.on_peer_present(d->cb.user, body.ptr);
}

static void take_ping(rmr_derp *d, rmr_buf body)
{
    /* Best effort: a second one before the answer went replaces the first. */
    memcpy(d->pong, body.ptr, sizeof d->pong);
    d->pong_due = true;
}

static void take_pong(rmr_derp *d, rmr_buf body)
{
    if (d->ping_end != RMR_TIME_NEVER && !d->ping_due &&
        memcmp(body.ptr, d->ping, sizeof d->ping) == 0)
        d->ping_end = RMR_TIME_NEVER;
}

static void take_restarting(rmr_derp *d, rmr_buf body)
{
    d->was_told_restart = true;
    d->restart_in = rmr_load_be32(body.ptr) * RMR_MS;
    d->restart_for = rmr_load_be32(body.ptr + 4) * RMR_MS;
    if (d->restart_in > MAX_RESTART_IN)
        d->restart_in = MAX_RESTART_IN;
    if (d->restart_for > MAX_RESTART_FOR)
        d->restart_for = MAX_RESTART_FOR;
    rmr_logf(&d->env.log, RMR_LOG_INFO, "derp",
             "%s: the relay restarts, and is back in %llu ms",
             d->nodes[d->node_at].dial.host,
             (unsigned long long)(d->restart_in / RMR_MS));
}

static void take_keep_alive(rmr_derp *d)
{
    /* Once a minute: a good time to give back what is not used. */
    rmr_ring_shrink(&d->queue);
}

/* The shortest body that says something; SIZE_MAX: the type says nothing to a
 * client. */
static size_t shortest(const rmr_derp *d, uint8_t type)
{
    switch (type) {
    case RMR_DERP_RECV_PACKET:
    case RMR_DERP_PEER_GONE:
        return RMR_KEY_LEN;
    case RMR_DERP_PEER_PRESENT:
        return d->is_mesh ? RMR_KEY_LEN : SIZE_MAX;
    case RMR_DERP_PING:
    case RMR_DERP_PONG:
    case RMR_DERP_RESTARTING:
        return 8;
    case RMR_DERP_KEEP_ALIVE:
    case RMR_DERP_HEALTH:
    case RMR_DERP_SERVER_INFO: /* a short one is fatal, not ignored */
        return 0;
    default:
        return SIZE_MAX;
    }
}

static rmr_err dispatch(rmr_derp *d, rmr_buf body)
{
    switch (d->rx.type) {
    case RMR_DERP_SERVER_INFO:
        return take_server_info(d, body);
    case RMR_DERP_RECV_PACKET:
        take_packet(d, body);
        break;
    case RMR_DERP_PEER_GONE:
        take_peer_gone(d, body);
        break;
    case RMR_DERP_PEER_PRESENT:
        take_peer_present(d, body);
        break;
    case RMR_DERP_PING:
        take_ping(d, body);
        break;
    case RMR_DERP_PONG:
        take_pong(d, body);
        break;
    case RMR_DERP_HEALTH:
        rmri_derp_call_health(d, rmr_bytes_of(body.ptr, body.len));
        break;
    case RMR_DERP_RESTARTING:
        take_restarting(d, body);
        break;
    default:
        take_keep_alive(d);
    }
    return RMR_OK;
}

static rmr_err take_greeting(rmr_derp *d, rmr_buf body)
{
    uint8_t relay[RMR_KEY_LEN];
    if (!rmri_derp_parse_server_key(rmr_bytes_of(body.ptr, body.len), relay))
        return RMR_E_DERP_LOGIN;
    return rmri_derp_put_login(d, relay);
}

/* The frame is over; the next begins. */
static void end_frame(rmr_derp *d)
{
    d->rx.header_len = 0;
    d->rx.body_got = 0;
    d->stats.rx_frames++;
    d->stats.last_frame = d->last_frame = d->now;
    /* The greeting does not count: a relay that refuses us greets too. */
    if (d->state >= DERP_LOGIN)
        d->n_failed = 0;
}

static rmr_err take_frame(rmr_derp *d, rmr_buf body)
{
    bool is_greeting = d->state == DERP_GREETING;
    end_frame(d);
    if (is_greeting)
        return take_greeting(d, body);
    d->in_callback = true;
    rmr_err e = dispatch(d, body);
    d->in_callback = false;
    return e;
}

/* ---- framing ---------------------------------------------------------- */

/* A header is whole: is the body wanted? */
static rmr_err begin_frame(rmr_derp *d)
{
    rmri_derp_rx *rx = &d->rx;
    rx->type = rx->header[0];
    rx->body_len = rmr_load_be32(rx->header + 1);
    if (rx->body_len > RMRI_DERP_MAX_FRAME)
        return RMR_E_DERP_FRAME;
    if (d->state == DERP_GREETING)
        return rx->type == RMR_DERP_SERVER_KEY && rx->body_len >= 40 &&
                       rx->body_len <= 1024
                   ? RMR_OK
                   : RMR_E_DERP_LOGIN;
    if (rx->type == RMR_DERP_SERVER_INFO && rx->body_len > RMRI_DERP_MAX_BODY)
        return RMR_E_DERP_LOGIN;
    if (rx->body_len >= shortest(d, rx->type) &&
        rx->body_len <= RMRI_DERP_MAX_BODY)
        return RMR_OK;
    d->stats.ignored_frames++;
    rx->skip_left = rx->body_len;
    if (rx->skip_left == 0)
        end_frame(d);
    return RMR_OK;
}

static bool make_room(rmr_derp *d)
{
    rmri_derp_rx *rx = &d->rx;
    size_t cap = BODY_FIRST;
    if (rx->body_cap >= rx->body_len)
        return true;
    while (cap < rx->body_len)
        cap *= 2;
    if (cap > RMRI_DERP_MAX_BODY)
        cap = RMRI_DERP_MAX_BODY;
    uint8_t *p = rmr_alloc_zero(&d->env.alloc, cap, 16);
    if (!p)
        return false;
    rmr_release_wiped(&d->env.alloc, rx->body, rx->body_cap);
    rx->body = p;
    rx->body_cap = cap;
    return true;
}

/* Takes what there is of a body that does not lie whole in `in`. */
static rmr_err gather(rmr_derp *d, rmr_buf *in)
{
    rmri_derp_rx *rx = &d->rx;
    if (!make_room(d)) {
        /* A packet can be lost; the login can't. */
        if (d->state != DERP_UP)
            return RMR_E_NOMEM;
        d->stats.dropped_nomem++;
        rx->skip_left = rx->body_len;
        return RMR_OK;
    }
    rx->gathered = true;
    size_t n = rx->body_len - rx->body_got;
    if (n > in->len)
        n = in->len;
    if (n)
        memcpy(rx->body + rx->body_got, in->ptr, n);
    rx->body_got += n;
    *in = rmr_buf_of(in->ptr + n, in->len - n);
    if (rx->body_got < rx->body_len)
        return RMR_OK;
    return take_frame(d, rmr_buf_of(rx->body, rx->body_len));
}

static void skip(rmr_derp *d, rmr_buf *in)
{
    size_t n = d->rx.skip_left < in->len ? d->rx.skip_left : in->len;
    d->rx.skip_left -= n;
    *in = rmr_buf_of(in->ptr + n, in->len - n);
    if (d->rx.skip_left == 0)
        end_frame(d);
}

static bool read_header(rmri_derp_rx *rx, rmr_buf *in)
{
    size_t n = (size_t)(RMRI_DERP_HEADER - rx->header_len);
    if (n > in->len)
        n = in->len;
    memcpy(rx->header + rx->header_len, in->ptr, n);
    rx->header_len = (uint8_t)(rx->header_len + n);
    *in = rmr_buf_of(in->ptr + n, in->len - n);
    return rx->header_len == RMRI_DERP_HEADER;
}

rmr_err rmri_derp_read_frames(rmr_derp *d, rmr_buf in)
{
    rmri_derp_rx *rx = &d->rx;
    rmr_err e = RMR_OK;
    while (e == RMR_OK && in.len) {
        if (rx->skip_left) {
            skip(d, &in);
            continue;
        }
        if (rx->header_len < RMRI_DERP_HEADER) {
            if (!read_header(rx, &in))
                break;
            e = begin_frame(d);
            if (e != RMR_OK || rx->skip_left || rx->header_len == 0)
                continue;
        }
        if (rx->body_got == 0 && in.len >= rx->body_len) {
            rmr_buf body = rmr_buf_of(in.ptr, rx->body_len);
            in = rmr_buf_of(in.ptr + body.len, in.len - body.len);
            e = take_frame(d, body);
        } else if (in.len) {
            e = gather(d, &in);
        }
    }
    return e;
}

rmr_err rmr_derp_read(rmr_derp *d, rmr_time now, rmr_buf in)
{
    rmr_err e = RMR_OK;
    if (d->fatal != RMR_OK)
        return d->fatal;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_derp_clamp(d, now);
    if (!rmri_derp_has_stream(d))
        return RMR_E_STATE;
    if (in.len == 0)
        return RMR_OK;
    d->rx.gathered = false;
    if (d->state == DERP_UPGRADE)
        e = read_upgrade(d, &in);
    if (e == RMR_OK && d->state > DERP_UPGRADE)
        e = d->ws ? rmri_derp_ws_read(d, in) : rmri_derp_read_frames(d, in);
    if (e != RMR_OK) {
        rmri_derp_down(d, e, true);
        return e;
    }
    /* Busy streams cut a frame in nearly every read; a read that cut none is a
     * sign of quiet. */
    if (!d->rx.gathered && d->rx.body) {
        rmr_release_wiped(&d->env.alloc, d->rx.body, d->rx.body_cap);
        d->rx.body = NULL;
        d->rx.body_cap = 0;
    }
    return RMR_OK;
}
