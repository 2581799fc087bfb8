/* Peers: adding, removing, configuring, looking up. */
#include <string.h>

#include "wg_internal.h"

wg_peer *rmri_wg_peer_of(const rmr_wg *wg, rmr_wg_peer h)
{
    return (wg_peer *)rmr_slots_get(&wg->peers, h.id);
}

bool rmri_wg_pub_eq(const void *user, uint64_t value, const void *key,
                    size_t len)
{
    const rmr_wg *wg = (const rmr_wg *)user;
    const wg_peer *p = (const wg_peer *)rmr_slots_get(&wg->peers, value);
    return memcmp(p->pub, key, len) == 0;
}

wg_peer *rmri_wg_peer_by_key(const rmr_wg *wg, const uint8_t key[RMR_KEY_LEN])
{
    uint64_t id;
    if (!rmr_hash_get(&wg->by_pub, key, RMR_KEY_LEN, &id))
        return NULL;
    return (wg_peer *)rmr_slots_get(&wg->peers, id);
}

/* ---- adding ----------------------------------------------------------- */

/* One heap entry a peer, doubling, so that arming never fails. */
static rmr_err reserve_timer(rmr_wg *wg)
{
    uint32_t need = wg->peers.used + 1, cap = wg->timers.cap;
    if (need <= cap)
        return RMR_OK;
    cap = cap < 8 ? 16 : cap * 2;
    if (cap > wg->max_peers)
        cap = wg->max_peers;
    return rmr_timers_reserve(&wg->timers, cap);
}

static rmr_err check_config(const rmr_wg *wg, const rmr_wg_peer_config *pc,
                            uint8_t ss[RMR_KEY_LEN])
{
    if (!rmri_wg_endpoint_ok(&pc->endpoint) ||
        memcmp(pc->public_key, wg->pub, RMR_KEY_LEN) == 0)
        return RMR_E_INVAL;
    if (rmri_wg_peer_by_key(wg, pc->public_key))
        return RMR_E_INUSE;
    if (wg->peers.used >= wg->max_peers)
        return RMR_E_FULL;
    /* All zero or of low order: nobody has such a key. */
    return rmr_x25519(ss, wg->priv, pc->public_key) ? RMR_E_INVAL : RMR_OK;
}

static wg_peer *new_peer(rmr_wg *wg, const rmr_wg_peer_config *pc,
                         const uint8_t ss[RMR_KEY_LEN])
{
    uint64_t id;
    if (reserve_timer(wg))
        return NULL;
    wg_peer *p = (wg_peer *)rmr_slots_new(&wg->peers, &id);
    if (!p)
        return NULL;
    p->id = id;
    p->user = pc->user;
    memcpy(p->pub, pc->public_key, RMR_KEY_LEN);
    memcpy(p->ss, ss, RMR_KEY_LEN);
    p->has_ss = true;
    if (pc->has_psk)
        memcpy(p->psk, pc->psk, RMR_KEY_LEN);
    memcpy(p->stamp, pc->last_tai64n, WG_STAMP_LEN);
    p->endpoint = pc->endpoint;
    p->timer.owner = p;
    for (int i = 0; i < WG_N_DEADLINES; i++)
        p->deadline[i] = RMR_TIME_NEVER;
    if (rmr_hash_put(&wg->by_pub, p->pub, RMR_KEY_LEN, id)) {
        rmr_slots_free(&wg->peers, id);
        return NULL;
    }
    return p;
}

/* The caller's struct may be shorter than ours. */
static rmr_err copy_config(rmr_wg_peer_config *dst,
                           const rmr_wg_peer_config *src)
{
    size_t n = src->struct_size;
    if (n < offsetof(rmr_wg_peer_config, endpoint))
        return RMR_E_INVAL;
    memset(dst, 0, sizeof *dst);
    memcpy(dst, src, n < sizeof *dst ? n : sizeof *dst);
    return RMR_OK;
}

rmr_err rmr_wg_peer_add(rmr_wg *wg, rmr_time now, const rmr_wg_peer_config *pc,
                        rmr_wg_peer *out)
{
    rmr_wg_peer_config c;
    uint8_t ss[RMR_KEY_LEN];
    if (wg->fatal)
        return wg->fatal;
    rmr_err e = copy_config(&c, pc);
    if (e)
        return e;
    e = check_config(wg, &c, ss);
    wg_peer *p = NULL;
    if (!e && !(p = new_peer(wg, &c, ss)))
        e = RMR_E_NOMEM;
    rmr_wipe(ss, sizeof ss);
    if (!e) {
        rmri_wg_clock(wg, now);
        out->id = p->id;
        /* A peer that an initiation brought, and whose handshake never
         * completes, is told of like one that fell silent. */
        if (wg->in_unknown)
            rmri_wg_on_session_derived(wg, p);
        e = rmr_wg_peer_set_keepalive(wg, now, *out, c.persistent_keepalive_s);
        rmri_wg_rearm(wg, p);
    }
    rmr_wipe(&c, sizeof c);
    return e;
}

/* ---- removing --------------------------------------------------------- */

void rmri_wg_peer_drop(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_jobs_drop(wg, p);
    rmri_wg_keys_erase(wg, p);
    rmri_wg_hs_free(wg, p);
    while (p->staged)
        rmri_wg_stage_pop(wg, p);
    rmr_release(&wg->alloc, p->response, WG_RESPONSE_LEN);
    rmri_wg_ips_remove_peer(&wg->ips, p);
    rmr_timers_cancel(&wg->timers, &p->timer);
    if (wg->out.next == &p->out)
        wg->out_run = 0;
    wg_link_del(&p->out);
    wg_link_del(&p->ev);
    rmr_hash_del(&wg->by_pub, p->pub, RMR_KEY_LEN);
    rmr_slots_free(&wg->peers, p->id);
}

rmr_err rmr_wg_peer_remove(rmr_wg *wg, rmr_time now, rmr_wg_peer peer)
{
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    rmri_wg_clock(wg, now);
    rmri_wg_peer_drop(wg, p);
    return RMR_OK;
}

/* ---- configuring ------------------------------------------------------ */

rmr_err rmr_wg_peer_set_endpoint(rmr_wg *wg, rmr_wg_peer peer,
                                 const rmr_wg_endpoint *ep)
{
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    if (!rmri_wg_endpoint_ok(ep))
        return RMR_E_INVAL;
    p->endpoint = *ep;
    return RMR_OK;
}

rmr_err rmr_wg_peer_set_keepalive(rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                                  uint16_t seconds)
{
    if (wg->fatal)
        return wg->fatal;
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    rmri_wg_clock(wg, now);
    bool was_on = p->keepalive_s != 0;
    p->keepalive_s = seconds;
    rmr_err e = RMR_OK;
    if (!seconds)
        rmri_wg_put(p, WG_PK, RMR_TIME_NEVER);
    else if (!was_on)
        e = rmri_wg_keepalive(wg, p); /* at once */
    rmri_wg_rearm(wg, p);
    if (e)
        wg->fatal = e;
    return e;
}

rmr_err rmr_wg_peer_set_allowed_ips(rmr_wg *wg, rmr_wg_peer peer,
                                    const rmr_prefix *prefixes, size_t n)
{
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    for (size_t i = 0; i < n; i++)
        if (!rmri_wg_prefix_ok(&prefixes[i]))
            return RMR_E_INVAL;
    rmr_err e = rmri_wg_ips_reserve(&wg->ips, n);
    if (e)
        return e;
    rmri_wg_ips_remove_peer(&wg->ips, p);
    for (size_t i = 0; i < n; i++)
        rmri_wg_ips_insert(&wg->ips, p, &prefixes[i]);
    rmri_wg_ips_unreserve(&wg->ips);
    return RMR_OK;
}

/* ---- looking ---------------------------------------------------------- */

rmr_wg_peer rmr_wg_peer_find(const rmr_wg *wg, const uint8_t key[RMR_KEY_LEN])
{
    const wg_peer *p = rmri_wg_peer_by_key(wg, key);
    rmr_wg_peer h = {p ? p->id : 0};
    return h;
}

rmr_wg_peer rmr_wg_route(const rmr_wg *wg, rmr_bytes ip)
{
    const wg_peer *p = NULL;
    if (ip.len >= 20 && ip.ptr[0] >> 4 == 4)
        p = rmri_wg_ips_find(&wg->ips, RMR_AF_INET, ip.ptr + 16);
    else if (ip.len >= 40 && ip.ptr[0] >> 4 == 6)
        p = rmri_wg_ips_find(&wg->ips, RMR_AF_INET6, ip.ptr + 24);
    rmr_wg_peer h = {p ? p->id : 0};
    return h;
}

rmr_err rmr_wg_peer_get_stats(const rmr_wg *wg, rmr_time now, rmr_wg_peer peer,
                              rmr_wg_peer_stats *out)
{
    const wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    memset(out, 0, sizeof *out);
    out->user = p->user;
    out->rx_bytes = p->rx_bytes;
    out->tx_bytes = p->tx_bytes;
    out->rx_pkts = p->rx_pkts;
    out->tx_pkts = p->tx_pkts;
    out->last_handshake_unix_ns = p->handshake_unix_ns;
    out->staged_dropped = p->staged_dropped;
    out->last_rx = p->last_rx;
    out->last_tx = p->last_tx;
    out->staged_pkts = p->n_staged;
    out->handshake_attempts = p->attempts;
    out->has_session = rmri_wg_can_send(p, now > wg->now ? now : wg->now);
    memcpy(out->last_tai64n, p->stamp, WG_STAMP_LEN);
    return RMR_OK;
}
