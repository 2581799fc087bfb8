/* What goes to the peer. */
#include <string.h>
#include "ws_internal.h"

/* RFC 6455 5.3, 10.3: a new mask for each frame, that no one can foretell. */
static rmr_err next_mask(rmr_ws *w, uint8_t mask[4])
{
    if (w->masks_left < 4) {
        rmr_err e = rmr_rng_fill(&w->rng, w->masks, sizeof w->masks);
        if (e != RMR_OK) {
            w->err = e;
            return e;
        }
        w->masks_left = sizeof w->masks;
    }
    w->masks_left -= 4;
    memcpy(mask, w->masks + w->masks_left, 4);
    return RMR_OK;
}

size_t rmr_ws_headroom(const rmr_ws *w)
{
    return w->is_client ? 8 : 4;
}

static rmr_err can_send(const rmr_ws *w)
{
    if (w->err != RMR_OK)
        return w->err;
    return w->close_asked || w->ended ? RMR_E_CLOSED : RMR_OK;
}

rmr_err rmr_ws_wrap(rmr_ws *w, rmr_buf room, size_t payload, size_t *framed)
{
    *framed = 0;
    rmr_err e = can_send(w);
    if (e != RMR_OK)
        return e;
    size_t headroom = rmr_ws_headroom(w);
    if (payload == 0 || payload > RMR_WS_WRITE_MAX || room.len < headroom ||
        payload > room.len - headroom)
        return RMR_E_INVAL;
    uint8_t mask[4];
    if (w->is_client) {
        e = next_mask(w, mask);
        if (e != RMR_OK)
            return e;
        rmri_ws_mask(room.ptr + headroom, payload, mask, 0);
    }
    size_t head = rmri_ws_head_build(room.ptr, RMRI_WS_BINARY, payload,
                                     w->is_client ? mask : NULL);
    if (head < headroom)
        memmove(room.ptr + head, room.ptr + headroom, payload);
    *framed = head + payload;
    return RMR_OK;
}

/* ---- control frames ---------------------------------------------------- */

/* One whole frame behind the *len bytes in dst; false when it does not fit or
 * there was no mask. */
static bool put(rmr_ws *w, rmr_buf dst, size_t *len, uint8_t opcode,
                const uint8_t *data, size_t n)
{
    size_t head = w->is_client ? 6 : 2;
    if (dst.len - *len < head + n)
        return false;
    uint8_t mask[4], *to = dst.ptr + *len;
    if (w->is_client && next_mask(w, mask) != RMR_OK)
        return false;
    (void)rmri_ws_head_build(to, opcode, n, w->is_client ? mask : NULL);
    if (n)
        memcpy(to + head, data, n);
    if (w->is_client)
        rmri_ws_mask(to + head, n, mask, 0);
    *len += head + n;
    return true;
}

bool rmr_ws_wants_write(const rmr_ws *w)
{
    if (w->close_written)
        return false;
    return w->close_asked || w->pong_waits || w->ping_waits;
}

rmr_err rmr_ws_write(rmr_ws *w, rmr_buf dst, size_t *len)
{
    *len = 0;
    if (w->err == RMR_E_RNG || !rmr_ws_wants_write(w))
        return w->err == RMR_E_RNG ? w->err : RMR_OK;
    if (w->pong_waits && put(w, dst, len, RMRI_WS_PONG, w->pong, w->pong_len))
        w->pong_waits = false;
    if (w->ping_waits && put(w, dst, len, RMRI_WS_PING, NULL, 0))
        w->ping_waits = false;
    /* RFC 6455 5.5.1: nothing may follow it. */
    bool first = !w->pong_waits && !w->ping_waits;
    if (w->close_asked && first &&
        put(w, dst, len, RMRI_WS_CLOSE, w->close, w->close_len))
        w->close_written = true;
    return w->err == RMR_E_RNG && *len == 0 ? w->err : RMR_OK;
}

rmr_err rmr_ws_ping(rmr_ws *w)
{
    rmr_err e = can_send(w);
    if (e == RMR_OK)
        w->ping_waits = true;
    return e;
}

/* Code 0 or NO_CODE: a frame without one. */
void rmri_ws_queue_close(rmr_ws *w, uint16_t code, rmr_bytes reason)
{
    if (w->close_asked)
        return;
    w->close_asked = true;
    w->close_len = 0;
    if (code == 0 || code == RMR_WS_NO_CODE)
        return;
    w->close[0] = (uint8_t)(code >> 8);
    w->close[1] = (uint8_t)code;
    if (reason.len)
        memcpy(w->close + 2, reason.ptr, reason.len);
    w->close_len = (uint8_t)(2 + reason.len);
}

rmr_err rmr_ws_close(rmr_ws *w, uint16_t code, rmr_bytes reason)
{
    if (!rmri_ws_code_is_valid(code) || reason.len > RMRI_WS_CONTROL_DATA - 2)
        return RMR_E_INVAL;
    rmri_ws_queue_close(w, code, reason);
    return RMR_OK;
}
