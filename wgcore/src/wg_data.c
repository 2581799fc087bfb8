/* Transport data (paper 5.4.6): seal, open, and the checks on what is inside.
 * Nothing here allocates. */
#include <string.h>

#include "wg_internal.h"

/* ---- sending ---------------------------------------------------------- */

size_t rmri_wg_padded(size_t len, size_t mtu)
{
    size_t last = len;
    if (mtu && last > mtu)
        last %= mtu;
    size_t padded = (last + WG_PAD - 1) / WG_PAD * WG_PAD;
    if (mtu && padded > mtu)
        padded = mtu;
    return len + (padded - last);
}

size_t rmri_wg_seal_current(rmr_wg *wg, wg_peer *p, uint8_t *buf, size_t len)
{
    wg_key *k = p->current;
    uint64_t counter = k->counter++;
    size_t padded = rmri_wg_padded(len, wg->mtu);
    rmr_store_le32(buf, WG_DATA);
    rmr_store_le32(buf + 4, k->remote);
    rmr_store_le64(buf + 8, counter);
    memset(buf + RMR_WG_HEADER_LEN + len, 0, padded - len);
    wg->aead->seal(wg->aead->self, &k->send, counter, buf + RMR_WG_HEADER_LEN,
                   padded);
    return RMR_WG_HEADER_LEN + padded + RMR_TAG_LEN;
}

rmr_err rmri_wg_sent_data(rmr_wg *wg, wg_peer *p, size_t inner, size_t outer)
{
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_sent(p);
    p->last_tx = wg->now;
    p->tx_bytes += outer;
    wg->stats.tx_datagrams++;
    if (inner) {
        p->tx_pkts++;
        rmri_wg_on_data_sent(wg, p);
    }
    return rmri_wg_fresh_on_send(wg, p);
}

/* The slow path of a send: a copy waits for a key, or behind others. */
static rmr_err stage(rmr_wg *wg, wg_peer *p, rmr_bytes packet)
{
    rmr_err e = rmri_wg_stage(wg, p, packet);
    rmr_err f = rmri_wg_flush_staged(wg, p);
    rmri_wg_rearm(wg, p);
    if (f) {
        wg->fatal = f;
        return f;
    }
    return e;
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

rmr_err rmr_wg_seal(rmr_wg *wg, rmr_time now, rmr_wg_peer peer, rmr_pkt *pkt,
                    rmr_wg_endpoint *to)
{
    if (wg->fatal)
        return wg->fatal;
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    if (pkt->len > RMR_WG_MAX_PACKET)
        return RMR_E_TOOBIG;
    if (pkt->len == 0 || rmr_pkt_headroom(pkt) < RMR_WG_HEADER_LEN ||
        rmr_pkt_tailroom(pkt) < WG_PAD - 1 + RMR_TAG_LEN)
        return RMR_E_INVAL;
    rmri_wg_clock(wg, now);
    /* Order within a peer is kept: nothing overtakes a staged packet. */
    if (p->staged || !rmri_wg_can_send(p, wg->now)) {
        rmr_err e = stage(wg, p, rmr_pkt_bytes(pkt));
        return e ? e : RMR_E_NOTREADY;
    }
    p->want_ka = false; /* this packet says the same */
    size_t inner = pkt->len;
    pkt->off -= RMR_WG_HEADER_LEN;
    size_t n = rmri_wg_seal_current(wg, p, rmr_pkt_data(pkt), inner);
    pkt->len = (uint32_t)n;
    *to = p->endpoint;
    rmr_err e = rmri_wg_sent_data(wg, p, inner, n);
    rmri_wg_rearm(wg, p);
    if (e)
        wg->fatal = e;
    return e;
}

/* ---- receiving -------------------------------------------------------- */

typedef struct inner {
    uint8_t family;
    const uint8_t *source;
    size_t len; /* by the packet's own header */
} inner;

static bool parse_inner(const uint8_t *b, size_t len, inner *out)
{
    if (len >= 20 && b[0] >> 4 == 4) {
        out->family = RMR_AF_INET;
        out->source = b + 12;
        out->len = rmr_load_be16(b + 2);
        return out->len >= 20 && out->len <= len;
    }
    if (len >= 40 && b[0] >> 4 == 6) {
        out->family = RMR_AF_INET6;
        out->source = b + 8;
        /* Not in 16 bits: 40 + 65535 would wrap to a short packet. */
        out->len = (size_t)40 + rmr_load_be16(b + 4);
        return out->len <= len;
    }
    return false;
}

/* An authentic packet that is none of the peer's business. */
static rmr_err check_inner(rmr_wg *wg, const wg_peer *p, const uint8_t *b,
                           size_t len, inner *in)
{
    if (!parse_inner(b, len, in)) {
        wg->stats.discard_inner++;
        return RMR_E_DENIED;
    }
    if (!rmri_wg_ips_owns(&wg->ips, p, in->family, in->source)) {
        wg->stats.discard_source++;
        return RMR_E_DENIED;
    }
    return RMR_OK;
}

/* The key of a datagram, when it may still open one. */
static rmr_err find_key(const rmr_wg *wg, rmr_buf d, wg_key **out)
{
    if (d.len < RMR_WG_OVERHEAD)
        return RMR_E_MALFORMED;
    wg_index *ix = rmri_wg_index_find(wg, rmr_load_le32(d.ptr + 4));
    if (!ix || !ix->is_key)
        return RMR_E_UNKNOWN;
    wg_key *k = WG_OF(ix, wg_key, ix);
    if (rmr_time_since(wg->now, k->born) >= WG_REJECT_AFTER_TIME)
        return RMR_E_UNKNOWN;
    *out = k;
    return RMR_OK;
}

/* Timers and slots after an authentic packet, in the order of paper 6. */
static rmr_err received(rmr_wg *wg, wg_peer *p, const wg_key *k, bool data)
{
    bool confirmed = k == p->next;
    if (confirmed) {
        rmri_wg_slot_confirmed(wg, p);
        rmri_wg_on_complete(wg, p);
    }
    rmr_err e = rmri_wg_fresh_on_receive(wg, p);
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_received(p);
    if (data)
        rmri_wg_on_data_received(wg, p);
    if (confirmed && !e)
        e = rmri_wg_flush_staged(wg, p);
    rmri_wg_rearm(wg, p);
    return e;
}

static void deliver(rmr_wg *wg, uint64_t id, const rmr_wg_endpoint *moved,
                    rmr_buf packet)
{
    rmr_wg_peer h = {id};
    wg->in_callback = true;
    if (moved && wg->cb.on_endpoint)
        wg->cb.on_endpoint(wg->cb.user, h, moved);
    /* The host may have removed the peer just now. */
    if (packet.len && wg->cb.on_packet && rmr_slots_get(&wg->peers, id))
        wg->cb.on_packet(wg->cb.user, h, packet);
    wg->in_callback = false;
}

rmr_err rmri_wg_read_data(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_buf d)
{
    wg_key *k;
    rmr_err e = find_key(wg, d, &k);
    if (e)
        return e;
    wg_peer *p = k->ix.peer;
    uint64_t counter = rmr_load_le64(d.ptr + 8);
    uint8_t *b = d.ptr + RMR_WG_HEADER_LEN;
    size_t len = d.len - RMR_WG_OVERHEAD;
    if (!rmri_wg_replay_ok(&k->replay, counter))
        return RMR_E_REPLAY;
    e = wg->aead->open(wg->aead->self, &k->recv, counter, b, len);
    if (e)
        return RMR_E_AUTH;
    rmri_wg_replay_mark(&k->replay, counter);
    k->last_rx = wg->now;

    inner in = {0, NULL, 0};
    rmr_err refused = len ? check_inner(wg, p, b, len, &in) : RMR_OK;
    bool moved = rmri_wg_peer_seen(wg, p, from, d.len);
    if (len && !refused)
        p->rx_pkts++;
    uint64_t id = p->id;
    e = received(wg, p, k, len > 0);
    deliver(wg, id, moved ? from : NULL, rmr_buf_of(b, refused ? 0 : in.len));
    return e ? e : refused;
}
