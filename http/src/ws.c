/* A WebSocket connection: what comes from the peer. */
#include <string.h>
#include "ws_internal.h"

/* ---- creation ---------------------------------------------------------- */

void rmr_ws_config_init(rmr_ws_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
    cfg->max_message = 32768;
}

rmr_err rmr_ws_new(rmr_ws **out, const rmr_env *env, const rmr_ws_config *cfg)
{
    *out = NULL;
    if (cfg->struct_size < sizeof *cfg || cfg->max_message == 0)
        return RMR_E_INVAL;
    rmr_ws *w = rmr_alloc_zero(&env->alloc, sizeof *w, _Alignof(rmr_ws));
    if (!w)
        return RMR_E_NOMEM;
    w->alloc = env->alloc;
    w->rng = env->rng;
    w->is_client = cfg->is_client;
    w->max_message = cfg->max_message;
    *out = w;
    return RMR_OK;
}

void rmr_ws_free(rmr_ws *w)
{
    if (!w)
        return;
    rmr_alloc alloc = w->alloc;
    rmr_release(&alloc, w, sizeof *w);
}

/* ---- state ------------------------------------------------------------- */

bool rmr_ws_is_closed(const rmr_ws *w)
{
    return w->ended || w->err != RMR_OK;
}

bool rmr_ws_is_done(const rmr_ws *w)
{
    return w->err == RMR_E_RNG || (rmr_ws_is_closed(w) && w->close_written);
}

uint16_t rmr_ws_peer_code(const rmr_ws *w)
{
    return w->peer_code;
}

uint64_t rmr_ws_pongs(const rmr_ws *w)
{
    return w->pongs;
}

static rmr_err fail(rmr_ws *w, rmr_err e, uint16_t code)
{
    w->err = e;
    rmri_ws_queue_close(w, code, rmr_bytes_of(NULL, 0));
    return e;
}

/* ---- heads ------------------------------------------------------------- */

/* RFC 6455 5.4: fragments of one message are not mixed with another's. */
static rmr_err begin_data(rmr_ws *w)
{
    const rmri_ws_frame *f = &w->frame;
    if ((f->opcode == RMRI_WS_CONTINUATION) != w->in_message)
        return fail(w, RMR_E_WS_PROTOCOL, RMR_WS_BAD_FRAME);
    if (f->opcode == RMRI_WS_TEXT)
        return fail(w, RMR_E_WS_TEXT, RMR_WS_BAD_TYPE);
    if (!w->in_message)
        w->message_len = 0;
    if (f->left > w->max_message - w->message_len)
        return fail(w, RMR_E_WS_TOO_BIG, RMR_WS_TOO_BIG);
    w->message_len += f->left;
    w->in_message = !f->final;
    return RMR_OK;
}

static bool is_control(const rmri_ws_frame *f)
{
    return f->opcode >= RMRI_WS_CLOSE;
}

/* Takes bytes of a head; in_frame when it is whole. */
static rmr_err take_head(rmr_ws *w, rmr_buf *in)
{
    while (in->len && !w->in_frame) {
        w->head[w->head_len++] = *in->ptr++;
        in->len--;
        if (w->head_len < 2 || w->head_len < rmri_ws_head_len(w->head))
            continue;
        w->head_len = 0;
        rmr_err e = rmri_ws_head_parse(w->head, !w->is_client, &w->frame);
        if (e != RMR_OK)
            return fail(w, e, RMR_WS_BAD_FRAME);
        w->in_frame = true;
        w->control_len = 0;
        if (!is_control(&w->frame))
            return begin_data(w);
    }
    return RMR_OK;
}

/* ---- control frames ---------------------------------------------------- */

/* RFC 6455 5.5.1, 7.4. */
static rmr_err handle_close(rmr_ws *w)
{
    unsigned code = RMR_WS_NO_CODE;
    if (w->control_len >= 2)
        code = (unsigned)w->control[0] << 8 | w->control[1];
    if (w->control_len == 1 ||
        (w->control_len >= 2 && !rmri_ws_code_is_valid(code)))
        return fail(w, RMR_E_WS_PROTOCOL, RMR_WS_BAD_FRAME);
    w->peer_code = (uint16_t)code;
    w->ended = true;
    w->pong_waits = w->ping_waits = false; /* no one listens any more */
    rmri_ws_queue_close(w, (uint16_t)code, rmr_bytes_of(NULL, 0));
    return RMR_OK;
}

static rmr_err handle_control(rmr_ws *w)
{
    switch (w->frame.opcode) {
    case RMRI_WS_CLOSE:
        return handle_close(w);
    case RMRI_WS_PING:
        if (w->close_asked)
            return RMR_OK;
        /* RFC 6455 5.5.3: of several the last alone may be answered. */
        memcpy(w->pong, w->control, w->control_len);
        w->pong_len = w->control_len;
        w->pong_waits = true;
        return RMR_OK;
    default:
        w->pongs++;
        return RMR_OK;
    }
}

/* ---- payload ----------------------------------------------------------- */

/* What of the frame's payload is here, unmasked. */
static rmr_buf take_payload(rmr_ws *w, rmr_buf *in)
{
    rmri_ws_frame *f = &w->frame;
    size_t n = f->left < in->len ? (size_t)f->left : in->len;
    rmr_buf got = rmr_buf_of(in->ptr, n);
    if (f->masked && n)
        rmri_ws_mask(got.ptr, n, f->mask, f->at);
    f->at += n;
    f->left -= n;
    in->ptr += n;
    in->len -= n;
    return got;
}

static rmr_err take_body(rmr_ws *w, rmr_buf *in, rmr_buf *piece)
{
    rmr_buf got = take_payload(w, in);
    bool whole = w->frame.left == 0;
    w->in_frame = !whole;
    if (!is_control(&w->frame)) {
        if (!w->close_asked)
            *piece = got;
        return RMR_OK;
    }
    if (got.len)
        memcpy(w->control + w->control_len, got.ptr, got.len);
    w->control_len = (uint8_t)(w->control_len + got.len);
    return whole ? handle_control(w) : RMR_OK;
}

rmr_err rmr_ws_read(rmr_ws *w, rmr_buf in, size_t *consumed, rmr_buf *piece)
{
    rmr_buf left = in;
    *piece = rmr_buf_of(NULL, 0);
    *consumed = 0;
    if (w->err != RMR_OK)
        return w->err;
    while (!w->ended && piece->len == 0) {
        rmr_err e = take_head(w, &left);
        if (e != RMR_OK)
            return e;
        if (!w->in_frame || (left.len == 0 && w->frame.left > 0))
            break; /* more bytes are wanted */
        e = take_body(w, &left, piece);
        if (e != RMR_OK)
            return e;
    }
    *consumed = w->ended ? in.len : in.len - left.len;
    return RMR_OK;
}

rmr_err rmr_ws_read_eof(rmr_ws *w)
{
    if (w->err != RMR_OK)
        return w->err;
    if (!w->ended && !w->close_written)
        w->err = RMR_E_HTTP_EOF;
    w->ended = true;
    w->close_asked = w->close_written = true; /* no one reads it any more */
    return w->err;
}
