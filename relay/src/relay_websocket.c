/* DERP in WebSocket frames: the upgrade, and the frames around the switch's
 * bytes. */
#include "relay_internal.h"

#define LEAST (RMR_DSW_WRITE_MIN + 16) /* room for a message worth writing */

static rmr_header header(const char *name, const char *value)
{
    rmr_header h = {rmr_bytes_str(name), rmr_bytes_str(value)};
    return h;
}

static bool switching(rl_conn *c, const char *accept)
{
    rmr_header h[] = {header("Upgrade", "websocket"),
                      header("Connection", "Upgrade"),
                      header("Sec-WebSocket-Accept", accept),
                      header("Sec-WebSocket-Protocol", "derp")};
    return rmri_relay_answer(c, 101, "Switching Protocols", h, 4, NULL);
}

bool rmri_relay_websocket_accept(rl_conn *c, const rmr_h1_head *head)
{
    rmr_bytes version = rmr_h1_header(head, "Sec-WebSocket-Version");
    rmr_bytes key = rmr_h1_header(head, "Sec-WebSocket-Key");
    char accept[RMR_WS_ACCEPT_LEN + 1];
    rmr_ws_config cfg;
    if (!rmr_bytes_eq_str(version, "13") ||
        rmr_ws_accept_make(key, accept) != RMR_OK) {
        c->upgrade = false;
        return rmri_relay_text(c, 400, "Bad Request",
                               "this is no WebSocket handshake of version "
                               "13\n");
    }
    rmr_ws_config_init(&cfg, sizeof cfg);
    return rmr_ws_new(&c->ws, &c->r->env, &cfg) == RMR_OK &&
           switching(c, accept);
}

/* ---- in ---------------------------------------------------------------- */

/* What the switch does not take is kept unmasked; nothing more is read then. */
static rmr_err to_switch(rl_conn *c, rmr_time now, rmr_buf piece)
{
    size_t used = 0;
    rmr_err err = rmri_relay_switch_read(c, now, piece, &used);
    if (err != RMR_OK || used == piece.len)
        return err;
    c->blocked = true;
    return rmr_ring_write_all(&c->piece,
                              rmr_bytes_of(piece.ptr + used, piece.len - used));
}

rmr_err rmri_relay_websocket_resume(rl_conn *c, rmr_time now)
{
    while (c->piece.len > 0) {
        rmr_bytes view = rmr_ring_peek(&c->piece);
        size_t used = 0;
        /* The ring's memory is ours. */
        rmr_buf in = rmr_buf_of((uint8_t *)(uintptr_t)view.ptr, view.len);
        rmr_err err = rmri_relay_switch_read(c, now, in, &used);
        if (err != RMR_OK)
            return err;
        if (used == 0) {
            c->blocked = true;
            return RMR_OK;
        }
        rmr_ring_consume(&c->piece, used);
    }
    rmr_ring_shrink(&c->piece);
    return RMR_OK;
}

rmr_err rmri_relay_websocket_read(rl_conn *c, rmr_time now, rmr_buf data,
                                  size_t *used)
{
    rmr_buf piece = {0};
    rmr_err err = rmr_ws_read(c->ws, data, used, &piece);
    if (rmr_ws_wants_write(c->ws))
        rmr_mc_io_output(c->io); /* a pong, or the end */
    if (err == RMR_OK && piece.len > 0)
        err = to_switch(c, now, piece);
    if (err == RMR_OK && rmr_ws_is_closed(c->ws))
        err = RMR_E_CLOSED;
    return err;
}

/* ---- out --------------------------------------------------------------- */

size_t rmri_relay_websocket_write(rl_conn *c, rmr_time now, rmr_buf dst)
{
    size_t head = rmr_ws_headroom(c->ws), len = 0, framed = 0;
    if (rmr_ws_wants_write(c->ws)) {
        rmr_ws_write(c->ws, dst, &len);
        return len;
    }
    if (dst.len < LEAST || c->client.id == 0)
        return 0;
    size_t room = dst.len - head;
    if (room > RMR_WS_WRITE_MAX)
        room = RMR_WS_WRITE_MAX;
    len = rmri_relay_switch_write(c, now, rmr_buf_of(dst.ptr + head, room));
    if (len == 0 || rmr_ws_wrap(c->ws, dst, len, &framed) != RMR_OK)
        return 0;
    return framed;
}
