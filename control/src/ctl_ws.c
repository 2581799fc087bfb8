/* The WebSocket form of the upgrade, for proxies that pass no other: the same
 * bytes in binary messages, whose borders mean nothing. */
#include "ctl_internal.h"

#include <stdio.h>
#include <string.h>

/* A record of the server's and its head, many times over. */
#define MESSAGE_MAX ((size_t)1 << 20)

struct ctl_ws {
    rmr_ws *ws;
    uint8_t out[8 + RMR_TS_FRAME_MAX]; /* a message: head, payload */
    size_t len, pos;
};

/* ---- the upgrade ------------------------------------------------------ */

/* Base64 as a value in a query. */
static void put_escaped(char *dst, size_t cap, const char *b64)
{
    size_t n = 0;
    for (; *b64 && n + 4 < cap; b64++) {
        const char *as = *b64 == '+'   ? "%2B"
                         : *b64 == '/' ? "%2F"
                         : *b64 == '=' ? "%3D"
                                       : NULL;
        if (as)
            n += (size_t)snprintf(dst + n, cap - n, "%s", as);
        else
            dst[n++] = *b64;
    }
    dst[n] = '\0';
}

rmr_err rmri_ctl_ws_ask(rmr_ctl *c, const char *b64, char *target, size_t cap,
                        rmr_header h[CTL_WS_HEADERS])
{
    size_t n = (size_t)snprintf(target, cap, "/ts2021?X-Tailscale-Handshake=");
    put_escaped(target + n, cap - n, b64);
    if (rmr_ws_key_make(&c->env.rng, c->ws_key))
        return RMR_E_RNG;
    h[0] = (rmr_header){rmr_bytes_str("Connection"), rmr_bytes_str("Upgrade")};
    h[1] = (rmr_header){rmr_bytes_str("Upgrade"), rmr_bytes_str("websocket")};
    h[2] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Version"),
                        rmr_bytes_str("13")};
    h[3] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Key"),
                        rmr_bytes_str(c->ws_key)};
    h[4] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Protocol"),
                        rmr_bytes_str(CTL_PROTOCOL)};
    return RMR_OK;
}

/* RFC 6455 4.1 */
bool rmri_ctl_ws_accepts(const rmr_ctl *c, const rmr_h1_head *head)
{
    return rmr_h1_header_has(head, "Upgrade", "websocket") &&
           rmr_h1_header_has(head, "Connection", "upgrade") &&
           rmr_ws_accept_is(c->ws_key,
                            rmr_h1_header(head, "Sec-WebSocket-Accept")) &&
           rmr_h1_header_has(head, "Sec-WebSocket-Protocol", CTL_PROTOCOL);
}

rmr_err rmri_ctl_ws_begin(rmr_ctl *c)
{
    rmr_ws_config cfg;
    if (c->out_len) /* an answer before the request was sent */
        return RMR_E_CTL_HTTP;
    c->ws = rmr_alloc_zero(&c->env.alloc, sizeof *c->ws, _Alignof(ctl_ws));
    if (!c->ws)
        return RMR_E_NOMEM;
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.is_client = true;
    cfg.max_message = MESSAGE_MAX;
    return rmr_ws_new(&c->ws->ws, &c->env, &cfg);
}

void rmri_ctl_ws_drop(rmr_ctl *c)
{
    if (!c->ws)
        return;
    rmr_ws_free(c->ws->ws);
    rmr_release_wiped(&c->env.alloc, c->ws, sizeof *c->ws);
    c->ws = NULL;
}

/* ---- bytes ------------------------------------------------------------ */

static void closed(rmr_ctl *c)
{
    if (c->phase == PH_NOISE)
        rmri_ctl_handshake_failed(c, "the server closed during the handshake");
    else
        rmri_ctl_die(c, RMR_E_CTL_ENDED, "the WebSocket was closed, code %u",
                     (unsigned)rmr_ws_peer_code(c->ws->ws));
}

void rmri_ctl_ws_read(rmr_ctl *c, rmr_buf in)
{
    while (in.len && !c->dying && !c->redial) {
        rmr_buf piece = {0};
        size_t used = 0;
        rmr_err e = rmr_ws_read(c->ws->ws, in, &used, &piece);
        if (e) {
            rmri_ctl_die(c, e == RMR_E_RNG ? e : RMR_E_CTL_REWRITTEN,
                         "what came is no WebSocket message");
            return;
        }
        in = rmr_buf_of(in.ptr + used, in.len - used);
        if (piece.len)
            rmri_ctl_noise_read(c, piece);
    }
    if (!c->dying && !c->redial && rmr_ws_is_closed(c->ws->ws))
        closed(c);
}

/* The next message, or a control frame that waits. */
static rmr_err fill(rmr_ctl *c)
{
    ctl_ws *w = c->ws;
    size_t head = rmr_ws_headroom(w->ws), n = 0;
    rmr_err e = rmr_ws_write(w->ws, rmr_buf_of(w->out, sizeof w->out), &w->len);
    w->pos = 0;
    if (e || w->len)
        return e;
    rmr_buf payload = rmr_buf_of(w->out + head, sizeof w->out - head);
    e = rmri_ctl_write_plain(c, payload, &n);
    if (!e && n)
        e = rmr_ws_wrap(w->ws, rmr_buf_of(w->out, sizeof w->out), n, &w->len);
    return e;
}

rmr_err rmri_ctl_ws_write(rmr_ctl *c, rmr_buf dst, size_t *len)
{
    ctl_ws *w = c->ws;
    while (*len < dst.len) {
        if (w->pos == w->len) {
            w->pos = w->len = 0;
            rmr_err e = fill(c);
            if (e || w->len == 0)
                return e;
        }
        size_t room = dst.len - *len, left = w->len - w->pos;
        size_t n = left < room ? left : room;
        memcpy(dst.ptr + *len, w->out + w->pos, n);
        *len += n;
        w->pos += n;
    }
    return RMR_OK;
}
