/* What waits to be written: cookie replies, then peers in turn. */
#include <string.h>

#include "wg_internal.h"

/* Datagrams in a row for one peer: a run to one place is cheap to send (UDP
 * GSO), but no peer starves the others. */
#define RUN_MAX WG_BATCH
#define RUN_BYTES 65507 /* the most that UDP over IPv4 takes */

void rmri_wg_want_out(rmr_wg *wg, wg_peer *p)
{
    if (!p->out.next)
        wg_link_add(&wg->out, &p->out);
}

/* Datagrams from the queue, back to back in dst: of one size, only the last may
 * be shorter; or one empty packet. */
typedef struct run {
    rmr_buf dst;
    size_t max; /* datagrams */
    size_t len, seg_size, n, data;
    uint8_t ecn;
} run;

static rmr_err copy_out(rmr_wg *wg, wg_peer *p, const uint8_t *msg, size_t n,
                        run *r)
{
    if (r->dst.len < n)
        return RMR_E_BUFSIZE;
    memcpy(r->dst.ptr, msg, n);
    r->len = r->seg_size = n;
    r->n = 1;
    p->tx_bytes += n;
    p->last_tx = wg->now;
    wg->stats.tx_datagrams++;
    return RMR_OK;
}

static size_t outer_len(const rmr_wg *wg, const wg_staged *s)
{
    return RMR_WG_OVERHEAD + rmri_wg_padded(s ? s->len : 0, wg->mtu);
}

static uint8_t ecn_of(const rmr_wg *wg, const wg_staged *s)
{
    return s && wg->ecn ? rmri_wg_ecn_of(s->bytes, s->len) : 0;
}

static bool fits_run(const rmr_wg *wg, const wg_peer *p, const run *r)
{
    const wg_staged *s = p->staged;
    if (!s || r->n == r->max || !rmri_wg_can_send(p, wg->now) ||
        r->len < r->n * r->seg_size) /* behind a shorter one */
        return false;
    size_t len = outer_len(wg, s);
    return len <= r->seg_size && r->len + len <= r->dst.len &&
           r->len + len <= RUN_BYTES && ecn_of(wg, s) == r->ecn;
}

static void add_staged(rmr_wg *wg, wg_peer *p, run *r, wg_batch *b)
{
    const wg_staged *s = p->staged;
    uint8_t *at = r->dst.ptr + r->len;
    size_t inner = 0;
    if (s) {
        inner = s->len;
        memcpy(at + RMR_WG_HEADER_LEN, s->bytes, inner);
        rmri_wg_stage_pop(wg, p);
        r->data++;
    }
    r->len += rmri_wg_frame(wg, p->current, p->current->counter++, at, inner,
                            &b->items[b->n++]);
    r->n++;
}

static rmr_err write_staged(rmr_wg *wg, wg_peer *p, run *r)
{
    wg_batch b;
    b.n = 0;
    r->seg_size = outer_len(wg, p->staged);
    r->ecn = ecn_of(wg, p->staged);
    if (r->dst.len < r->seg_size)
        return RMR_E_BUFSIZE;
    p->want_ka = false;
    do {
        add_staged(wg, p, r, &b);
    } while (fits_run(wg, p, r));
    rmri_wg_seal_batch(wg, &b);
    p->tx_bytes += r->len;
    return rmri_wg_sent(wg, p, r->n, r->data);
}

/* What this peer has next; r->len stays 0 when it has nothing. */
static rmr_err write_peer(rmr_wg *wg, wg_peer *p, run *r)
{
    rmr_err e;
    if (p->response) {
        e = copy_out(wg, p, p->response, WG_RESPONSE_LEN, r);
        if (!e) {
            rmr_release(&wg->alloc, p->response, WG_RESPONSE_LEN);
            p->response = NULL;
        }
        return e;
    }
    if (p->hs && p->hs->unsent) {
        e = copy_out(wg, p, p->hs->msg, WG_INITIATION_LEN, r);
        if (!e)
            p->hs->unsent = false;
        return e;
    }
    if ((!p->staged && !p->want_ka) || p->jobs[WG_JOB_SEAL].n)
        return RMR_OK; /* the last job lets out what waits behind it */
    if (rmri_wg_can_send(p, wg->now))
        return write_staged(wg, p, r);
    if (p->deadline[WG_RETX] != RMR_TIME_NEVER)
        return RMR_OK; /* a handshake is under way */
    /* The key died in the meantime. */
    e = rmri_wg_flush_staged(wg, p);
    rmri_wg_rearm(wg, p);
    if (!e && p->hs && p->hs->unsent)
        return write_peer(wg, p, r);
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

static rmr_err next_run(rmr_wg *wg, rmr_time now, size_t max, run *r,
                        rmr_wg_pkt_info *info)
{
    rmr_err e = rmri_wg_enter(wg, now);
    if (e)
        return e;
    /* First, so that what a callback wishes is written in this round. */
    rmri_wg_run_events(wg);
    if (rmri_wg_next_reply(wg, r->dst, &r->len, info, &e)) {
        r->seg_size = r->len;
        if (!e)
            wg->stats.tx_datagrams++;
        return e;
    }
    while (!wg_list_empty(&wg->out)) {
        wg_peer *p = WG_OF(wg->out.next, wg_peer, out);
        size_t left = RUN_MAX - wg->out_run;
        r->max = max < left ? max : left;
        e = write_peer(wg, p, r);
        if (e == RMR_E_BUFSIZE)
            return e;
        if (e) {
            wg->fatal = e;
            return e;
        }
        if (r->len == 0) {
            next_turn(wg, p, false);
            continue;
        }
        info->peer.id = p->id;
        info->to = p->endpoint;
        info->ecn = r->ecn;
        wg->out_run += (uint32_t)r->n;
        if (wg->out_run >= RUN_MAX)
            next_turn(wg, p, true);
        return RMR_OK;
    }
    return RMR_OK;
}

static rmr_err write_run(rmr_wg *wg, rmr_time now, rmr_buf dst, size_t max,
                         size_t *len, size_t *seg_size, rmr_wg_pkt_info *info)
{
    run r = {.dst = dst};
    rmr_err e = next_run(wg, now, max, &r, info);
    *len = e ? 0 : r.len;
    *seg_size = e ? 0 : r.seg_size;
    return e;
}

rmr_err rmr_wg_write_run(rmr_wg *wg, rmr_time now, rmr_buf dst, size_t *len,
                         size_t *seg_size, rmr_wg_pkt_info *info)
{
    return write_run(wg, now, dst, RUN_MAX, len, seg_size, info);
}

rmr_err rmr_wg_write_pkt(rmr_wg *wg, rmr_time now, rmr_buf dst, size_t *len,
                         rmr_wg_pkt_info *info)
{
    size_t seg_size;
    return write_run(wg, now, dst, 1, len, &seg_size, info);
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
