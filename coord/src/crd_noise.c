/* TS2021's inside: the Noise handshake, records, HTTP/2. */
#include "crd_internal.h"

#include <remora/cursor.h>

#include <stdio.h>
#include <string.h>

#define OVERHEAD (RMR_TS_HEAD + RMR_TAG_LEN)
#define STREAMS 16
#define BODY_MAX ((uint64_t)256 * 1024)

/* ---- the handshake ------------------------------------------------------- */

/* In clear, a hint alone: clients show it. */
static rmr_err refuse(crd_conn *n, const char *text)
{
    uint8_t head[RMR_TS_HEAD];
    size_t len = strlen(text);
    char addr[RMR_ADDR_TEXT_MAX];
    n->c->count.bad_handshakes++;
    if (rmri_crd_line(&n->c->bad_handshakes, &n->c->env.log, n->c->now,
                      "refused handshakes"))
        rmr_logf(&n->c->env.log, RMR_LOG_INFO, CRD_LAYER,
                 "a handshake from %s is refused: %s",
                 rmr_addr_ip_text(&n->client, addr), text);
    head[0] = RMR_TS_ERROR;
    rmr_store_be16(head + 1, (uint16_t)len);
    if (rmr_ring_write_all(&n->early, rmr_bytes_of(head, sizeof head)) !=
            RMR_OK ||
        rmr_ring_write_all(&n->early, rmr_bytes_of(text, len)) != RMR_OK)
        return RMR_E_NOMEM;
    return RMR_E_AUTH;
}

static rmr_err respond(crd_conn *n, rmr_noise *noise)
{
    uint8_t e_priv[RMR_KEY_LEN], frame[RMR_TS_RESP_LEN];
    uint8_t send[RMR_KEY_LEN], recv[RMR_KEY_LEN];
    size_t len;
    rmr_err e = rmr_key_generate(&n->c->env.rng, e_priv);
    frame[0] = RMR_TS_RESPONSE;
    rmr_store_be16(frame + 1, RMR_NOISE_MSG2_LEN);
    if (e == RMR_OK)
        e = rmr_noise_write_2(
            noise, e_priv, rmr_bytes_of(NULL, 0),
            rmr_buf_of(frame + RMR_TS_HEAD, sizeof frame - RMR_TS_HEAD), &len);
    if (e == RMR_OK)
        e = rmr_noise_split(noise, send, recv);
    if (e == RMR_OK)
        e = rmr_ring_write_all(&n->early, rmr_bytes_of(frame, sizeof frame));
    if (e == RMR_OK)
        rmr_ts_record_init(n->record, &n->c->env.alloc, send, recv);
    rmr_wipe(e_priv, sizeof e_priv);
    rmr_wipe(send, sizeof send);
    rmr_wipe(recv, sizeof recv);
    return e;
}

static rmr_err shake(crd_conn *n, rmr_bytes msg, rmr_noise *noise)
{
    char prologue[48];
    uint8_t none[1];
    size_t len;
    rmr_noise_config cfg;
    memset(&cfg, 0, sizeof cfg);
    (void)snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%u",
                   (unsigned)n->version);
    cfg.pattern = RMR_NOISE_IK;
    cfg.prologue = rmr_bytes_str(prologue);
    cfg.local_private = n->c->private_key;
    cfg.local_public = n->c->public_key;
    rmr_err e = rmr_noise_init(noise, &cfg);
    if (e == RMR_OK)
        e = rmr_noise_read_1_static(noise, msg, n->machine);
    if (e == RMR_OK)
        e = rmr_noise_read_1_payload(noise, msg, NULL, NULL,
                                     rmr_buf_of(none, sizeof none), &len);
    if (e != RMR_OK)
        return refuse(n, "the handshake can't be opened: it was made for "
                         "another server key");
    return respond(n, noise);
}

static rmr_err h2_new(crd_conn *n)
{
    rmr_h2s_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.max_streams = STREAMS;
    cfg.max_body = BODY_MAX;
    cfg.frame = n->c->h2_frame;
    cfg.callbacks = rmri_crd_rpc_callbacks;
    cfg.callbacks.user = n;
    return rmr_h2s_new(&n->h2, &n->c->env, &cfg);
}

rmr_err rmri_crd_noise_hello(crd_conn *n, rmr_bytes in)
{
    rmr_noise noise;
    if (in.len != RMR_TS_INIT_LEN || in.ptr[2] != RMR_TS_INITIATION ||
        rmr_load_be16(in.ptr + 3) != RMR_NOISE_MSG1_LEN)
        return refuse(n, "this is no handshake initiation");
    n->version = rmr_load_be16(in.ptr);
    if (n->version < CRD_MIN_VERSION)
        return refuse(n, "this server needs capability version 113 (1.80) or "
                         "later");
    n->record = rmr_alloc_zero(&n->c->env.alloc, sizeof *n->record,
                               _Alignof(rmr_ts_record));
    if (!n->record)
        return RMR_E_NOMEM;
    rmr_err e = shake(n, rmr_bytes_of(in.ptr + 5, in.len - 5), &noise);
    rmr_noise_wipe(&noise);
    if (e == RMR_OK)
        e = h2_new(n);
    if (e != RMR_OK)
        return e;
    n->c->count.handshakes++;
    n->stage = CRD_NOISE;
    rmr_timers_cancel(&n->c->timers, &n->timer);
    return RMR_OK;
}

void rmri_crd_noise_free(crd_conn *n)
{
    if (n->h2)
        (void)rmr_h2s_read_eof(n->h2); /* ends its requests */
    rmr_h2s_free(n->h2);
    n->h2 = NULL;
    if (n->record) {
        rmr_ts_record_wipe(n->record);
        rmr_release(&n->c->env.alloc, n->record, sizeof *n->record);
    }
    n->record = NULL;
}

/* ---- in ------------------------------------------------------------------ */

static rmr_err on_plain(void *user, rmr_buf plain)
{
    crd_conn *n = user;
    return rmr_h2s_read(n->h2, rmr_bytes_of(plain.ptr, plain.len));
}

static rmr_err read_records(crd_conn *n, rmr_buf data)
{
    return rmr_ts_record_read(n->record, data, on_plain, n);
}

rmr_err rmri_crd_noise_read(crd_conn *n, rmr_time now, rmr_buf data,
                            size_t *used)
{
    (void)now;
    if (!n->ws) {
        *used = data.len;
        return read_records(n, data);
    }
    rmr_buf piece = {0};
    rmr_err e = rmr_ws_read(n->ws, data, used, &piece);
    if (e == RMR_OK && piece.len > 0)
        e = read_records(n, piece);
    if (e == RMR_OK && rmr_ws_is_closed(n->ws))
        e = RMR_E_CLOSED;
    return e;
}

/* ---- out ----------------------------------------------------------------- */

static size_t write_records(crd_conn *n, rmr_buf dst)
{
    size_t at = 0;
    if (n->early.len > 0)
        return rmr_ring_read(&n->early, dst.ptr, dst.len);
    while (n->h2 && dst.len - at >= OVERHEAD + RMR_H2S_WRITE_MIN) {
        size_t len = 0, frame = 0, room = dst.len - at - OVERHEAD;
        uint8_t *to = dst.ptr + at;
        if (room > RMR_TS_PLAIN_MAX)
            room = RMR_TS_PLAIN_MAX;
        rmr_err e =
            rmr_h2s_write(n->h2, rmr_buf_of(to + RMR_TS_HEAD, room), &len);
        if (e != RMR_OK || len == 0 ||
            rmr_ts_record_seal(n->record, to, len, &frame) != RMR_OK)
            break;
        at += frame;
    }
    return at;
}

size_t rmri_crd_noise_write(crd_conn *n, rmr_time now, rmr_buf dst)
{
    (void)now;
    if (!n->ws)
        return write_records(n, dst);
    size_t head = rmr_ws_headroom(n->ws), len = 0, framed = 0;
    if (rmr_ws_wants_write(n->ws)) {
        (void)rmr_ws_write(n->ws, dst, &len);
        return len;
    }
    if (dst.len < head + OVERHEAD + RMR_H2S_WRITE_MIN)
        return 0;
    size_t room = dst.len - head;
    if (room > RMR_WS_WRITE_MAX)
        room = RMR_WS_WRITE_MAX;
    len = write_records(n, rmr_buf_of(dst.ptr + head, room));
    if (len == 0 || rmr_ws_wrap(n->ws, dst, len, &framed) != RMR_OK)
        return 0;
    return framed;
}
