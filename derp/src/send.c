/* To the stream: the request, the login, small frames, packets. */
#include "derp_internal.h"

#include <remora/cursor.h>

#include <stdio.h>
#include <string.h>

static void free_begin(rmr_derp *d)
{
    rmr_release_wiped(&d->env.alloc, d->begin, RMRI_DERP_CTL_MAX);
    d->begin = NULL;
}

/* What goes before packets: of ctl_len bytes ctl_sent went. */
static uint8_t *ctl(rmr_derp *d)
{
    return d->begin ? d->begin : d->small;
}

void rmri_derp_reset_out(rmr_derp *d)
{
    free_begin(d);
    d->stats.dropped_down += d->n_queued;
    rmr_ring_wipe(&d->queue);
    d->n_queued = 0;
    d->head_left = 0;
    d->ctl_len = d->ctl_sent = 0;
    d->told_preferred = d->told_watch = false;
    d->pong_due = d->ping_due = false;
    d->ping_end = RMR_TIME_NEVER;
    rmri_derp_bucket_set(&d->bucket, 0, 0);
}

/* ---- what goes before packets ----------------------------------------- */

/* The map's text goes into a header only when it can't break it. */
static bool is_plain(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

rmr_err rmri_derp_put_request(rmr_derp *d)
{
    const rmr_dial *dial = &d->nodes[d->node_at].dial;
    const char *ideal = d->nodes[0].name;
    bool v6 = false;
    for (const char *p = dial->host; *p; p++)
        v6 = v6 || *p == ':';
    char host[RMR_HOST_MAX + 2];
    rmr_header h[RMRI_DERP_WS_HEADERS + 1] = {
        {rmr_bytes_str("Connection"), rmr_bytes_str("Upgrade")},
        {rmr_bytes_str("Upgrade"), rmr_bytes_str("DERP")}};
    size_t n = d->by_ws ? RMRI_DERP_WS_HEADERS : 2;
    rmr_err e = d->by_ws ? rmri_derp_ws_headers(d, h) : RMR_OK;
    if (e != RMR_OK)
        return e;
    if (d->node_at != 0 && ideal[0] && is_plain(ideal))
        h[n++] =
            (rmr_header){rmr_bytes_str("Ideal-Node"), rmr_bytes_str(ideal)};
    (void)snprintf(host, sizeof host, v6 ? "[%s]" : "%s", dial->host);
    if (!d->begin)
        d->begin = rmr_alloc_raw(&d->env.alloc, RMRI_DERP_CTL_MAX, 1);
    if (!d->begin)
        return RMR_E_NOMEM;
    return rmr_h1_build_request(rmr_buf_of(d->begin, RMRI_DERP_CTL_MAX),
                                &d->ctl_len, "GET", "/derp", host, h, n, NULL);
}

/* Behind what is left; small frames always fit. */
static uint8_t *reserve(rmr_derp *d, size_t n)
{
    size_t cap = d->begin ? RMRI_DERP_CTL_MAX : sizeof d->small;
    if (d->ctl_sent == d->ctl_len)
        d->ctl_sent = d->ctl_len = 0;
    if (n > cap - d->ctl_len)
        return NULL;
    uint8_t *p = ctl(d) + d->ctl_len;
    d->ctl_len += n;
    d->stats.tx_frames++;
    return p;
}

static void put_small(rmr_derp *d, rmr_derp_type type, const void *body,
                      size_t n)
{
    uint8_t *p = reserve(d, RMRI_DERP_HEADER + n);
    if (!p)
        return;
    rmri_derp_put_header(p, type, n);
    if (n)
        memcpy(p + RMRI_DERP_HEADER, body, n);
}

rmr_err rmri_derp_put_login(rmr_derp *d, const uint8_t relay[RMR_KEY_LEN])
{
    uint8_t nonce[RMR_BOX_NONCE_LEN], frame[RMRI_DERP_CLIENT_INFO_MAX];
    if (rmr_box_shared(d->shared, d->private_key, relay) != RMR_OK)
        return RMR_E_DERP_LOGIN;
    if (rmr_rng_fill(&d->env.rng, nonce, sizeof nonce) != RMR_OK)
        return RMR_E_RNG;
    size_t n =
        rmri_derp_build_client_info(frame, d->public_key, d->shared, nonce,
                                    d->is_mesh ? d->mesh_key : NULL);
    uint8_t *p = reserve(d, n);
    if (!p) /* a relay that greets before it has read our request */
        return RMR_E_DERP_LOGIN;
    memcpy(p, frame, n);
    memcpy(d->relay_key, relay, RMR_KEY_LEN);
    d->state = DERP_LOGIN;
    return RMR_OK;
}

/* Between two packets: what has become due.  Only when nothing is left before
 * them, so that it always fits. */
static void put_due(rmr_derp *d)
{
    if (d->ctl_sent != d->ctl_len)
        return;
    if (d->state == DERP_UP)
        free_begin(d);
    if (d->told_preferred != d->preferred) {
        uint8_t on = d->preferred ? 1 : 0;
        put_small(d, RMR_DERP_NOTE_PREFERRED, &on, 1);
        d->told_preferred = d->preferred;
    }
    if (d->is_mesh && !d->told_watch) {
        put_small(d, RMR_DERP_WATCH_CONNS, NULL, 0);
        d->told_watch = true;
    }
    if (d->pong_due) {
        put_small(d, RMR_DERP_PONG, d->pong, sizeof d->pong);
        d->pong_due = false;
    }
    if (d->ping_due) {
        put_small(d, RMR_DERP_PING, d->ping, sizeof d->ping);
        d->ping_due = false;
    }
}

/* ---- the queue -------------------------------------------------------- */

/* The length of the frame at its head; there is one. */
static size_t head_frame(const rmr_derp *d)
{
    const rmr_ring *q = &d->queue;
    uint8_t h[RMRI_DERP_HEADER];
    for (size_t i = 0; i < sizeof h; i++) {
        size_t to_end = q->cap - q->head;
        h[i] = q->buf[i < to_end ? q->head + i : i - to_end];
    }
    return RMRI_DERP_HEADER + rmr_load_be32(h + 1);
}

/* Makes room; the oldest go first.  A frame of which a part was written can't
 * be dropped, nor what is behind it: then the new one is. */
static bool drop_for(rmr_derp *d, size_t need, bool *dropped)
{
    while (d->n_queued >= d->queue_pkts || rmr_ring_space(&d->queue) < need) {
        *dropped = true;
        d->stats.dropped_queue++;
        if (d->head_left || d->n_queued == 0)
            return false;
        rmr_ring_consume(&d->queue, head_frame(d));
        d->n_queued--;
    }
    return true;
}

/* There is room within the ring's bound; is there memory? */
static bool has_memory(rmr_ring *q, size_t need)
{
    (void)rmr_ring_reserve(q, need);
    return q->cap - q->len >= need;
}

/* `src`: it is forwarded for that node; NULL: it is our own. */
static rmr_err send_packet(rmr_derp *d, rmr_time now, const uint8_t *src,
                           const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet)
{
    uint8_t h[RMRI_DERP_HEADER];
    size_t keys = src ? 2 * RMR_KEY_LEN : RMR_KEY_LEN;
    size_t need = RMRI_DERP_HEADER + keys + packet.len;
    bool dropped = false;
    if (d->fatal != RMR_OK)
        return d->fatal;
    rmri_derp_clamp(d, now);
    if (packet.len > RMR_DERP_MAX_PACKET)
        return RMR_E_TOOBIG;
    if (need > d->queue.max) {
        d->stats.dropped_queue++;
        return RMR_E_FULL;
    }
    d->last_send = d->now;
    if (!rmri_derp_bucket_take(&d->bucket, d->now, need)) {
        d->stats.dropped_rate++;
        return RMR_OK; /* as the reference: the network may drop, too */
    }
    if (!drop_for(d, need, &dropped))
        return RMR_E_FULL;
    if (!has_memory(&d->queue, need))
        return RMR_E_NOMEM;
    rmri_derp_put_header(h,
                         src ? RMR_DERP_FORWARD_PACKET : RMR_DERP_SEND_PACKET,
                         keys + packet.len);
    (void)rmr_ring_write_all(&d->queue, rmr_bytes_of(h, sizeof h));
    if (src)
        (void)rmr_ring_write_all(&d->queue, rmr_bytes_of(src, RMR_KEY_LEN));
    (void)rmr_ring_write_all(&d->queue, rmr_bytes_of(dst, RMR_KEY_LEN));
    (void)rmr_ring_write_all(&d->queue, packet);
    d->n_queued++;
    rmri_derp_want(d);
    if (dropped)
        return RMR_E_FULL;
    return d->state == DERP_UP ? RMR_OK : RMR_E_NOTREADY;
}

rmr_err rmr_derp_send(rmr_derp *d, rmr_time now, const uint8_t dst[RMR_KEY_LEN],
                      rmr_bytes packet)
{
    return send_packet(d, now, NULL, dst, packet);
}

rmr_err rmr_derp_forward(rmr_derp *d, rmr_time now,
                         const uint8_t src[RMR_KEY_LEN],
                         const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet)
{
    return d->is_mesh ? send_packet(d, now, src, dst, packet) : RMR_E_STATE;
}

size_t rmr_derp_queued_bytes(const rmr_derp *d)
{
    return d->queue.len;
}

/* ---- write ------------------------------------------------------------ */

static size_t write_ctl(rmr_derp *d, rmr_buf dst)
{
    size_t n = d->ctl_len - d->ctl_sent;
    if (n > dst.len)
        n = dst.len;
    if (n)
        memcpy(dst.ptr, ctl(d) + d->ctl_sent, n);
    d->ctl_sent += n;
    return n;
}

/* One packet, whole; or a part of it, when nothing else went into dst. */
static size_t write_packet(rmr_derp *d, rmr_buf dst, bool may_cut)
{
    size_t left = d->head_left;
    if (left == 0) {
        left = head_frame(d);
        if (left > dst.len && !may_cut)
            return 0;
        d->stats.tx_frames++;
        d->stats.tx_pkts++;
        d->stats.tx_bytes += left - RMR_DERP_SEND_OVERHEAD;
        if (d->queue.buf[d->queue.head] == RMR_DERP_FORWARD_PACKET)
            d->stats.tx_bytes -= RMR_KEY_LEN; /* it has two */
    }
    size_t n = left < dst.len ? left : dst.len;
    (void)rmr_ring_read(&d->queue, dst.ptr, n);
    d->head_left = left - n;
    if (d->head_left == 0)
        d->n_queued--;
    return n;
}

size_t rmri_derp_write_frames(rmr_derp *d, rmr_buf dst)
{
    size_t n = 0;
    while (n < dst.len) {
        rmr_buf rest = rmr_buf_of(dst.ptr + n, dst.len - n);
        size_t took = 0;
        if (d->head_left == 0) {
            if (d->state >= DERP_LOGIN)
                put_due(d);
            took = write_ctl(d, rest);
        }
        /* Packets wait for the login to be sent, not for its answer. */
        if (took == 0 && d->state >= DERP_LOGIN && d->n_queued)
            took = write_packet(d, rest, n == 0);
        if (took == 0)
            break;
        n += took;
    }
    return n;
}

rmr_err rmr_derp_write(rmr_derp *d, rmr_time now, rmr_buf dst, size_t *len)
{
    *len = 0;
    if (d->fatal != RMR_OK)
        return d->fatal;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_derp_clamp(d, now);
    if (!rmri_derp_has_stream(d))
        return RMR_OK;
    if (d->ws)
        return rmri_derp_ws_write(d, dst, len);
    *len = rmri_derp_write_frames(d, dst);
    return RMR_OK;
}
