/* The WebSocket form: the same stream of frames in binary messages, for ways on
 * which a proxy lets no Upgrade: DERP pass. */
#include "derp_internal.h"

/* A relay's message holds at least a packet of 64 KiB and its head. */
#define MESSAGE_MAX ((size_t)128 * 1024)
/* Less room than this is not worth a further message. */
#define WORTH_A_MESSAGE ((size_t)4096)

/* ---- the upgrade ------------------------------------------------------ */

rmr_err rmri_derp_ws_headers(rmr_derp *d, rmr_header h[RMRI_DERP_WS_HEADERS])
{
    rmr_err e = rmr_ws_key_make(&d->env.rng, d->ws_key);
    if (e != RMR_OK)
        return RMR_E_RNG;
    h[0] = (rmr_header){rmr_bytes_str("Connection"), rmr_bytes_str("Upgrade")};
    h[1] = (rmr_header){rmr_bytes_str("Upgrade"), rmr_bytes_str("websocket")};
    h[2] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Version"),
                        rmr_bytes_str("13")};
    h[3] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Key"),
                        rmr_bytes_str(d->ws_key)};
    h[4] = (rmr_header){rmr_bytes_str("Sec-WebSocket-Protocol"),
                        rmr_bytes_str("derp")};
    return RMR_OK;
}

/* RFC 6455 4.1.  A relay that knows no WebSockets may answer 101 for DERP, and
 * what follows would be raw frames. */
bool rmri_derp_ws_accepts(const rmr_derp *d, const rmr_h1_head *head)
{
    return rmr_h1_header_has(head, "Upgrade", "websocket") &&
           rmr_h1_header_has(head, "Connection", "upgrade") &&
           rmr_ws_accept_is(d->ws_key,
                            rmr_h1_header(head, "Sec-WebSocket-Accept")) &&
           rmr_h1_header_has(head, "Sec-WebSocket-Protocol", "derp");
}

rmr_err rmri_derp_ws_begin(rmr_derp *d)
{
    rmr_ws_config cfg;
    if (d->ctl_sent != d->ctl_len) /* an answer before the request was sent */
        return RMR_E_DERP_UPGRADE;
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.is_client = true;
    cfg.max_message = MESSAGE_MAX;
    return rmr_ws_new(&d->ws, &d->env, &cfg);
}

/* Was it the upgrade that was refused?  A relay that restarts, and a gateway
 * whose relay is away, have nothing against it. */
static bool is_about_upgrade(const rmr_derp *d)
{
    return d->now >= d->restart_until &&
           (d->http_status < 502 || d->http_status > 504);
}

bool rmri_derp_ws_turn(rmr_derp *d, bool at_upgrade)
{
    bool turn = d->form == RMR_DERP_EITHER && at_upgrade &&
                is_about_upgrade(d) && !d->other_tried;
    d->other_tried = turn;
    d->by_ws = turn ? !d->ws_worked : d->ws_worked;
    return turn;
}

/* ---- bytes ------------------------------------------------------------ */

rmr_err rmri_derp_ws_read(rmr_derp *d, rmr_buf in)
{
    rmr_err e = RMR_OK;
    while (e == RMR_OK && in.len) {
        rmr_buf piece = {0};
        size_t used = 0;
        e = rmr_ws_read(d->ws, in, &used, &piece);
        if (e == RMR_OK && piece.len)
            e = rmri_derp_read_frames(d, piece);
        in = rmr_buf_of(in.ptr + used, in.len - used);
    }
    if (e == RMR_OK && rmr_ws_is_closed(d->ws)) {
        rmr_logf(&d->env.log, RMR_LOG_INFO, "derp",
                 "%s: the WebSocket was closed with code %u",
                 d->nodes[d->node_at].dial.host,
                 (unsigned)rmr_ws_peer_code(d->ws));
        e = rmri_derp_meaning_of_end(d);
    }
    return e;
}

/* One message; its length, 0: there is nothing to say.  Its payload is made
 * where it will be sent from. */
static rmr_err write_message(rmr_derp *d, rmr_buf room, size_t *framed)
{
    size_t head = rmr_ws_headroom(d->ws), most = room.len - head;
    if (most > RMR_WS_WRITE_MAX)
        most = RMR_WS_WRITE_MAX;
    *framed = 0;
    size_t n = rmri_derp_write_frames(d, rmr_buf_of(room.ptr + head, most));
    return n ? rmr_ws_wrap(d->ws, room, n, framed) : RMR_OK;
}

rmr_err rmri_derp_ws_write(rmr_derp *d, rmr_buf dst, size_t *len)
{
    size_t at = 0, least = RMR_WS_CONTROL_MAX, n = 1;
    rmr_err e = rmr_ws_write(d->ws, dst, &at); /* pongs */
    while (e == RMR_OK && n && dst.len - at >= least) {
        e = write_message(d, rmr_buf_of(dst.ptr + at, dst.len - at), &n);
        at += n;
        least = WORTH_A_MESSAGE;
    }
    if (e != RMR_OK) { /* no randomness for a mask */
        d->close_pending = true;
        return d->fatal = e;
    }
    *len = at;
    return RMR_OK;
}
