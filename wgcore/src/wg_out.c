/* What waits to be written: cookie replies, then peers in turn. */
#include <string.h>

#include "wg_internal.h"

/* Datagrams in a row for one peer: a run to one place is cheap to send (UDP
 * GSO), but no peer starves the others. */
#define RUN_MAX 64

void rmri_wg_want_out(rmr_wg *wg, wg_peer *p)
{
    if (!p->out.next)
        wg_link_add(&wg->out, &p->out);
}

static rmr_err copy_out(rmr_wg *wg, wg_peer *p, const uint8_t *msg, size_t n,
                        rmr_buf dst, size_t *len)
{
    if (dst.len < n)
        return RMR_E_BUFSIZE;
    memcpy(dst.ptr, msg, n);
    *len = n;
    p->tx_bytes += n;
    p->last_tx = wg->now;
    wg->stats.tx_datagrams++;
    return RMR_OK;
}

static rmr_err write_staged(rmr_wg *wg, wg_peer *p, rmr_buf dst, size_t *len)
{
    const wg_staged *s = p->staged;
    size_t inner = s ? s->len : 0;
    size_t need = RMR_WG_OVERHEAD + rmri_wg_padded(inner, wg->mtu);
    if (dst.len < need)
        return RMR_E_BUFSIZE;
    p->want_ka = false;
    if (s) {
        memcpy(dst.ptr + RMR_WG_HEADER_LEN, s->bytes, inner);
        rmri_wg_stage_pop(wg, p);
    }
    *len = rmri_wg_seal_current(wg, p, dst.ptr, inner);
    rmr_err e = rmri_wg_sent_data(wg, p, inner, *len);
    rmri_wg_rearm(wg, p);
    return e;
}

/* One datagram of this peer; *len stays 0 when it has none. */
static rmr_err write_peer(rmr_wg *wg, wg_peer *p, rmr_buf dst, size_t *len)
{
    rmr_err e;
    if (p->response) {
        e = copy_out(wg, p, p->response, WG_RESPONSE_LEN, dst, len);
        if (!e) {
            rmr_release(&wg->alloc, p->response, WG_RESPONSE_LEN);
            p->response = NULL;
        }
        return e;
    }
    if (p->hs && p->hs->unsent) {
        e = copy_out(wg, p, p->hs->msg, WG_INITIATION_LEN, dst, len);
        if (!e)
            p->hs->unsent = false;
        return e;
    }
    if (!p->staged && !p->want_ka)
        return RMR_OK;
    if (rmri_wg_can_send(p, wg->now))
        return write_staged(wg, p, dst, len);
    if (p->deadline[WG_RETX] != RMR_TIME_NEVER)
        return RMR_OK; /* a handshake is under way */
    /* The key died in the meantime. */
    e = rmri_wg_flush_staged(wg, p);
    rmri_wg_rearm(wg, p);
    if (!e && p->hs && p->hs->unsent)
        return write_peer(wg, p, dst, len);
    return e;
}

/* The peer goes behind the others, or out of the list when it has no more. */
static void next_turn(rmr_wg *wg, wg_peer *p, bool more)
{
    wg_link_del(&p->out);
    wg->out_run = 0;
    if (more)
        wg_link_add(&wg->out, &p->out);
}

rmr_err rmr_wg_write_pkt(rmr_wg *wg, rmr_time now, rmr_buf dst, size_t *len,
                         rmr_wg_pkt_info *info)
{
    *len = 0;
    rmr_err e = rmri_wg_enter(wg, now);
    if (e)
        return e;
    /* First, so that what a callback wishes is written in this round. */
    rmri_wg_run_events(wg);
    if (rmri_wg_next_reply(wg, dst, len, info, &e)) {
        if (!e)
            wg->stats.tx_datagrams++;
        return e;
    }
    while (!wg_list_empty(&wg->out)) {
        wg_peer *p = WG_OF(wg->out.next, wg_peer, out);
        e = write_peer(wg, p, dst, len);
        if (e == RMR_E_BUFSIZE)
            return e;
        if (e) {
            wg->fatal = e;
            *len = 0;
            return e;
        }
        if (*len == 0) {
            next_turn(wg, p, false);
            continue;
        }
        info->peer.id = p->id;
        info->to = p->endpoint;
        if (++wg->out_run >= RUN_MAX)
            next_turn(wg, p, true);
        return RMR_OK;
    }
    return RMR_OK;
}

rmr_err rmr_wg_flush(rmr_wg *wg, rmr_time now, rmr_buf scratch,
                     rmr_wg_emit_fn emit, void *user)
{
    for (;;) {
        rmr_wg_pkt_info info;
        size_t len;
        rmr_err e = rmr_wg_write_pkt(wg, now, scratch, &len, &info);
        if (e || len == 0)
            return e;
        e = emit(user, rmr_bytes_of(scratch.ptr, len), &info);
        if (e)
            return e;
    }
}
