/* Sending transport data (paper 5.4.6), one packet or many, in place.  Nothing
 * here allocates but what has to wait. */
#include "wg_internal.h"

size_t rmri_wg_frame(const rmr_wg *wg, const wg_key *k, uint64_t counter,
                     uint8_t *buf, size_t len, rmr_aead_item *item)
{
    size_t padded = rmri_wg_padded(len, wg->mtu);
    rmri_wg_put_header(buf, k->remote, counter);
    buf += RMR_WG_HEADER_LEN;
    if (padded != len)
        memset(buf + len, 0, padded - len);
    item->ctx = &k->send;
    item->counter = counter;
    item->buf = buf;
    item->len = padded;
    return RMR_WG_OVERHEAD + padded;
}

void rmri_wg_seal_batch(const rmr_wg *wg, wg_batch *b)
{
    const rmr_aead *aead = wg->aead;
    const rmr_aead_item *one = b->items;
    if (b->n == 1)
        aead->seal(aead->self, one->ctx, one->counter, one->buf, one->len);
    else if (b->n)
        rmr_aead_seal_n(aead, b->items, b->n);
    b->n = 0;
}

rmr_err rmri_wg_sent(rmr_wg *wg, wg_peer *p, size_t n, size_t data)
{
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_sent(p);
    p->last_tx = wg->now;
    wg->stats.tx_datagrams += n;
    if (data) {
        p->tx_pkts += data;
        rmri_wg_on_data_sent(wg, p);
    }
    rmr_err e = rmri_wg_fresh_on_send(wg, p);
    rmri_wg_rearm(wg, p);
    if (e)
        wg->fatal = e;
    return e;
}

/* ---- what has to wait ------------------------------------------------- */

/* A copy waits for a key, or behind others. */
static rmr_err stage(rmr_wg *wg, wg_peer *p, rmr_bytes packet)
{
    rmr_err e = rmri_wg_stage(wg, p, packet);
    /* Without a key also when it found no room: the next one may. */
    rmr_err f = rmri_wg_can_send(p, wg->now)
                    ? rmri_wg_flush_staged(wg, p)
                    : rmri_wg_send_initiation(wg, p, false);
    rmri_wg_rearm(wg, p);
    if (f) {
        wg->fatal = f;
        return f;
    }
    return e;
}

rmr_err rmri_wg_wait(rmr_wg *wg, wg_peer *p, rmr_bytes packet)
{
    rmr_err e = stage(wg, p, packet);
    return e ? e : RMR_E_NOTREADY;
}

/* Order within a peer is kept: nothing overtakes a staged packet or a job. */
bool rmri_wg_must_wait(const rmr_wg *wg, const wg_peer *p)
{
    return p->staged || p->jobs[WG_JOB_SEAL].n || !rmri_wg_can_send(p, wg->now);
}

rmr_err rmr_wg_send(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                    rmr_bytes ip_packet)
{
    if (wg->fatal)
        return wg->fatal;
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    if (ip_packet.len == 0)
        return RMR_E_INVAL;
    if (ip_packet.len > RMR_WG_MAX_PACKET)
        return RMR_E_TOOBIG;
    rmri_wg_clock(wg, now);
    return stage(wg, p, ip_packet);
}

/* ---- in place --------------------------------------------------------- */

rmr_err rmri_wg_check_pkt(const rmr_pkt *pkt)
{
    if (pkt->len > RMR_WG_MAX_PACKET)
        return RMR_E_TOOBIG;
    if (pkt->len == 0 || rmr_pkt_headroom(pkt) < RMR_WG_HEADER_LEN ||
        rmr_pkt_tailroom(pkt) < WG_PAD - 1 + RMR_TAG_LEN)
        return RMR_E_INVAL;
    return RMR_OK;
}

static size_t check_all(rmr_wg_out *out, size_t n)
{
    size_t good = 0;
    for (size_t i = 0; i < n; i++) {
        out[i].err = rmri_wg_check_pkt(&out[i].pkt);
        good += out[i].err == RMR_OK;
    }
    return good;
}

static void all_fail(rmr_wg_out *out, size_t n, rmr_err e)
{
    for (size_t i = 0; i < n; i++)
        out[i].err = e;
}

static rmr_err wait_all(rmr_wg *wg, wg_peer *p, rmr_wg_out *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (out[i].err)
            continue;
        out[i].err = rmri_wg_wait(wg, p, rmr_pkt_bytes(&out[i].pkt));
        if (wg->fatal) {
            all_fail(out + i, n - i, wg->fatal);
            return wg->fatal;
        }
    }
    return RMR_OK;
}

/* Counters and timers for `take` packets at once; then each is framed where it
 * lies.  Returns how many items that used up. */
static size_t frame_all(rmr_wg *wg, wg_peer *p, rmr_wg_out *out, size_t n,
                        size_t take, wg_batch *b)
{
    const wg_key *k = p->current;
    uint64_t counter = k->counter - take, end = k->counter, bytes = 0;
    size_t i = 0;
    for (; i < n && counter < end; i++) {
        rmr_wg_out *o = &out[i];
        if (o->err)
            continue;
        size_t inner = o->pkt.len;
        if (wg->ecn)
            o->ecn = rmri_wg_ecn_of(rmr_pkt_data(&o->pkt), inner);
        else
            o->ecn = 0;
        o->pkt.off -= RMR_WG_HEADER_LEN;
        size_t len = rmri_wg_frame(wg, k, counter++, rmr_pkt_data(&o->pkt),
                                   inner, &b->items[b->n++]);
        o->pkt.len = (uint32_t)len;
        o->to = &p->endpoint;
        bytes += len;
    }
    p->tx_bytes += bytes;
    return i;
}

/* Packets in a row to one peer; there is room for them in the batch. */
static rmr_err seal_run(rmr_wg *wg, rmr_wg_out *out, size_t n, wg_batch *b)
{
    wg_peer *p = rmri_wg_peer_of(wg, out->peer);
    if (!p) {
        all_fail(out, n, RMR_E_BADHANDLE);
        return RMR_OK;
    }
    size_t take = check_all(out, n);
    if (!take)
        return RMR_OK;
    if (rmri_wg_must_wait(wg, p))
        return wait_all(wg, p, out, n);
    wg_key *k = p->current;
    uint64_t left = WG_REJECT_AFTER_MESSAGES - k->counter;
    if (take > left)
        take = (size_t)left;
    k->counter += take;
    p->want_ka = false; /* these packets say the same */
    rmr_err e = rmri_wg_sent(wg, p, take, take);
    if (e) {
        all_fail(out, n, e);
        return e;
    }
    size_t used = frame_all(wg, p, out, n, take, b);
    return wait_all(wg, p, out + used, n - used);
}

rmr_err rmr_wg_seal_n(rmr_wg *wg, rmr_time now, rmr_wg_out *out, size_t n)
{
    wg_batch b;
    rmr_err e = wg->fatal;
    size_t i = 0;
    b.n = 0;
    rmri_wg_clock(wg, now);
    while (i < n && !e) {
        size_t run = 1;
        while (run < WG_BATCH - b.n && i + run < n &&
               out[i + run].peer.id == out[i].peer.id)
            run++;
        e = seal_run(wg, out + i, run, &b);
        i += run;
        if (b.n == WG_BATCH)
            rmri_wg_seal_batch(wg, &b);
    }
    rmri_wg_seal_batch(wg, &b);
    all_fail(out + i, n - i, e);
    return e;
}

rmr_err rmr_wg_seal(rmr_wg *wg, rmr_time now, rmr_wg_peer peer, rmr_pkt *pkt,
                    rmr_wg_endpoint *to)
{
    rmr_aead_item item;
    if (wg->fatal)
        return wg->fatal;
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    rmr_err e = rmri_wg_check_pkt(pkt);
    if (e)
        return e;
    rmri_wg_clock(wg, now);
    if (rmri_wg_must_wait(wg, p))
        return rmri_wg_wait(wg, p, rmr_pkt_bytes(pkt));
    const wg_key *k = p->current;
    uint64_t counter = p->current->counter++;
    p->want_ka = false; /* this packet says the same */
    e = rmri_wg_sent(wg, p, 1, 1);
    if (e)
        return e;
    size_t inner = pkt->len;
    pkt->off -= RMR_WG_HEADER_LEN;
    pkt->len = (uint32_t)rmri_wg_frame(wg, k, counter, rmr_pkt_data(pkt), inner,
                                       &item);
    wg->aead->seal(wg->aead->self, item.ctx, counter, item.buf, item.len);
    p->tx_bytes += pkt->len;
    *to = p->endpoint;
    return RMR_OK;
}
