/* Owned copies of inner packets that wait for a key or for a write. */
#include <string.h>

#include "wg_internal.h"

/* Bytes that one peer may hold: room for max_staged_pkts full ones, and for at
 * least one of the greatest. */
static uint64_t peer_bytes(const rmr_wg *wg)
{
    uint64_t n = (uint64_t)wg->max_staged_pkts * 1500;
    return n > RMR_WG_MAX_PACKET ? n : RMR_WG_MAX_PACKET;
}

static size_t size_of(const wg_staged *s)
{
    return offsetof(wg_staged, bytes) + s->len;
}

void rmri_wg_stage_pop(rmr_wg *wg, wg_peer *p)
{
    wg_staged *s = p->staged;
    p->staged = s->next;
    if (!p->staged)
        p->staged_tail = NULL;
    p->n_staged--;
    p->staged_bytes -= s->len;
    wg->staged_bytes -= s->len;
    /* Plaintext of the user's: it doesn't outlive its use. */
    rmr_release_wiped(&wg->alloc, s, size_of(s));
}

static void drop_oldest(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_stage_pop(wg, p);
    p->staged_dropped++;
    wg->stats.staged_dropped++;
}

void rmri_wg_stage_drop(rmr_wg *wg, wg_peer *p)
{
    while (p->staged)
        drop_oldest(wg, p);
    p->want_ka = false;
}

static bool fits(const rmr_wg *wg, const wg_peer *p, size_t len)
{
    return p->n_staged < wg->max_staged_pkts &&
           p->staged_bytes + len <= peer_bytes(wg) &&
           wg->staged_bytes + len <= wg->max_staged_bytes;
}

static rmr_err refuse(rmr_wg *wg, wg_peer *p, rmr_err e)
{
    p->staged_dropped++;
    wg->stats.staged_dropped++;
    return e;
}

rmr_err rmri_wg_stage(rmr_wg *wg, wg_peer *p, rmr_bytes packet)
{
    /* With a key the queue only waits for the caller's write: push back.
     * Without one the newest packets are worth most. */
    if (!rmri_wg_can_send(p, wg->now))
        while (p->staged && !fits(wg, p, packet.len))
            drop_oldest(wg, p);
    if (!fits(wg, p, packet.len))
        return refuse(wg, p, RMR_E_FULL);
    wg_staged *s = (wg_staged *)rmr_alloc_zero(
        &wg->alloc, offsetof(wg_staged, bytes) + packet.len,
        _Alignof(wg_staged));
    if (!s)
        return refuse(wg, p, RMR_E_NOMEM);
    s->len = (uint32_t)packet.len;
    memcpy(s->bytes, packet.ptr, packet.len);
    if (p->staged_tail)
        p->staged_tail->next = s;
    else
        p->staged = s;
    p->staged_tail = s;
    p->n_staged++;
    p->staged_bytes += s->len;
    wg->staged_bytes += s->len;
    return RMR_OK;
}
