/* Receiving: who may say what by which way, pings, pongs, calls. */
#include "path_internal.h"

#include <string.h>

typedef struct told { /* for on_pong, when all is consistent again */
    bool has;
    rmr_path_peer peer;
    uint64_t tag;
    rmr_path_pong pong;
} told;

static bool is_udp(const rmr_path_to *from)
{
    return from->udp.family != RMR_AF_NONE;
}

/* The peer that DERP says it is from, when the disco key is that peer's. */
static path_peer *derp_sender(rmr_paths *p, const path_dkey *d,
                              const rmr_path_to *from)
{
    path_peer *peer = is_udp(from) ? NULL : rmri_path_by_node(p, from->key);
    if (peer && peer->dkey == d)
        return peer;
    p->stats.dropped_mismatch++;
    return NULL;
}

/* ---- ping ------------------------------------------------------------- */

/* The key of a pair seals both ways, and the sender's name is outside the box:
 * who caught our ping can throw it back as the peer's.  Our answer would be the
 * pong that our own ping waits for. */
static bool is_our_own(rmr_paths *p, const rmr_disco_msg *m)
{
    bool is =
        m->has_node_key && memcmp(m->node_key, p->node_key, RMR_KEY_LEN) == 0;
    p->stats.dropped_mismatch += is;
    return is;
}

static void answer(rmr_paths *p, const path_peer *peer, const rmr_path_to *from,
                   const rmr_disco_msg *m)
{
    path_out o = {.kind = OUT_PONG,
                  .peer = peer->id,
                  .udp = from->udp,
                  .socket = from->socket,
                  .region = from->region};
    memcpy(o.txid, m->txid, sizeof o.txid);
    (void)rmri_path_push(p, &o);
}

static rmr_err duplicate(rmr_paths *p)
{
    p->stats.dropped_duplicate++;
    return RMR_E_REPLAY;
}

static rmr_err read_ping_derp(rmr_paths *p, rmr_time now, path_dkey *d,
                              const rmr_path_to *from, const rmr_disco_msg *m)
{
    path_peer *peer = derp_sender(p, d, from);
    if (!peer)
        return RMR_E_DENIED;
    path_hot *h = rmri_path_warm(p, now, peer);
    if (h) { /* without memory it is answered all the same */
        h->last_disco = now;
        if (h->has_derp_txid &&
            memcmp(h->derp_txid, m->txid, sizeof m->txid) == 0)
            return duplicate(p);
        h->has_derp_txid = true;
        memcpy(h->derp_txid, m->txid, sizeof m->txid);
    }
    answer(p, peer, from, m);
    return RMR_OK;
}

/* The peer of a ping by UDP, when that is certain: the node key in it, else the
 * only one with this disco key. */
static path_peer *certain_peer(const rmr_paths *p, const path_dkey *d,
                               const rmr_disco_msg *m)
{
    path_peer *peer =
        m->has_node_key ? rmri_path_by_node(p, m->node_key) : NULL;
    if (peer && peer->dkey == d)
        return peer;
    return d->first->next_same ? NULL : d->first;
}

/* True: this ping was seen before. */
static bool note_ping(rmr_paths *p, rmr_time now, path_peer *peer,
                      const rmr_path_to *from, const rmr_disco_msg *m)
{
    path_hot *h = rmri_path_warm(p, now, peer);
    if (!h)
        return false;
    h->last_disco = now;
    path_cand *c = rmri_path_cand_add(p, now, h, &from->udp, from->socket);
    if (!c)
        return false;
    if (c->last_got_ping != RMR_TIME_NEVER &&
        memcmp(c->got_txid, m->txid, sizeof m->txid) == 0)
        return true;
    c->last_got_ping = now;
    c->flags |= CAND_PING;
    memcpy(c->got_txid, m->txid, sizeof m->txid);
    rmri_path_punch_heard(p, now, h, &from->udp, from->socket);
    return false;
}

/* A ping that came has shown that the way from there is open, and most NATs let
 * the answer of the way in now, where our own ping of before was lost.  Who has
 * packets to send tries it at once, not after PING_INTERVAL; once, so that two
 * that can't hear each other's pongs don't go on for ever. */
static void ping_back(rmr_paths *p, rmr_time now, path_hot *h,
                      const rmr_path_to *from)
{
    path_cand *c = rmri_path_cand_find(h, &from->udp, from->socket);
    if (!c || (c->flags & CAND_BACK) || h->want_since == RMR_TIME_NEVER ||
        rmri_path_is_trusted(h, now))
        return;
    if (rmri_path_ping_cand(p, now, h, c, PING_DISCOVERY, 0))
        c->flags |= CAND_BACK;
}

static rmr_err read_ping_udp(rmr_paths *p, rmr_time now, path_dkey *d,
                             const rmr_path_to *from, const rmr_disco_msg *m)
{
    bool seen = false;
    path_peer *certain = certain_peer(p, d, m);
    for (path_peer *peer = d->first; peer; peer = peer->next_same)
        seen |= note_ping(p, now, peer, from, m);
    if (certain && certain->hot)
        rmri_path_source_note(p, certain->hot, &from->udp);
    if (seen)
        return duplicate(p);
    answer(p, certain ? certain : d->first, from, m);
    if (certain && certain->hot)
        ping_back(p, now, certain->hot, from);
    return RMR_OK;
}

/* ---- pong ------------------------------------------------------------- */

static void set_best(rmr_paths *p, path_hot *h, const path_quality *q)
{
    bool moved = !rmri_path_is_same(&h->best, &q->udp, q->socket);
    if (moved || h->best.mtu != q->mtu) {
        p->stats.best_changes++;
        rmri_path_dirty(p, h->peer);
    }
    if (moved)
        h->life_at = RMR_TIME_NEVER;
    h->best = *q;
    rmri_path_source_note(p, h, &q->udp);
}

static bool pong_proves(rmr_paths *p, rmr_time now, path_hot *h,
                        const path_sent *s, const rmr_path_to *from)
{
    path_cand *c = rmri_path_cand_find(h, &s->udp, s->socket);
    if (!c)
        return false;
    rmri_path_source_note(p, h, &from->udp);
    path_quality q = {.udp = s->udp,
                      .socket = s->socket,
                      .latency = rmr_time_since(now, s->at),
                      .mtu = RMR_PATH_WIRE_MTU};
    if (s->mtu && rmri_path_has(p, RMR_PATHS_PEER_MTU))
        q.mtu = s->mtu;
    c->flags |= CAND_ANSWERED;
    c->latency = q.latency;
    if (now > h->trust_until || rmri_path_better(&q, &h->best))
        set_best(p, h, &q);
    if (rmri_path_is_same(&h->best, &q.udp, q.socket)) {
        h->best.latency = q.latency;
        h->trust_until = rmr_time_add(now, TRUST);
        h->doubt_at = rmr_time_add(h->trust_until, 1);
        h->want_since = RMR_TIME_NEVER;
    }
    if (s->purpose == PING_LIFETIME)
        rmri_path_life_pong(p, now, h);
    rmri_path_punch_won(p, now, h);
    return true;
}

static void tell(told *t, const path_hot *h, const path_sent *s,
                 const rmr_path_to *from, const rmr_disco_msg *m, rmr_time now)
{
    t->has = true;
    t->peer.id = h->peer->id;
    t->tag = s->tag;
    t->pong.latency = rmr_time_since(now, s->at);
    t->pong.seen_as = m->src;
    t->pong.from.udp = s->udp;
    t->pong.from.socket = s->socket;
    if (s->udp.family == RMR_AF_NONE) {
        t->pong.from.region = s->region;
        memcpy(t->pong.from.key, h->peer->node_key, RMR_KEY_LEN);
    }
    (void)from;
}

static bool take_sent(path_hot *h, const uint8_t txid[RMR_DISCO_TXID_LEN],
                      path_sent *out)
{
    for (uint16_t i = 0; i < h->n_sent; i++) {
        if (memcmp(h->sent[i].txid, txid, RMR_DISCO_TXID_LEN) != 0)
            continue;
        *out = h->sent[i];
        h->n_sent--;
        memmove(h->sent + i, h->sent + i + 1,
                (size_t)(h->n_sent - i) * sizeof *h->sent);
        return true;
    }
    return false;
}

/* A probe of a punch proves that a way is open; the path itself is proved by a
 * ping along it, as any other. */
static bool read_probe_pong(rmr_paths *p, rmr_time now, path_dkey *d,
                            const rmr_disco_msg *m)
{
    rmr_addr udp;
    uint16_t socket;
    for (path_peer *peer = d->first; peer; peer = peer->next_same) {
        if (!peer->hot ||
            !rmri_path_punch_pong(p, peer, m->txid, &udp, &socket))
            continue;
        path_cand *c = rmri_path_cand_add(p, now, peer->hot, &udp, socket);
        if (!c)
            return false;
        if (c->last_got_ping == RMR_TIME_NEVER) { /* stays as if it pinged */
            c->last_got_ping = now;
            memset(c->got_txid, 0, sizeof c->got_txid);
        }
        rmri_path_punch_heard(p, now, peer->hot, &udp, socket);
        return true;
    }
    return false;
}

static rmr_err read_pong(rmr_paths *p, rmr_time now, path_dkey *d,
                         const rmr_path_to *from, const rmr_disco_msg *m,
                         told *t)
{
    path_sent s;
    path_hot *h = NULL;
    for (path_peer *peer = d->first; peer && !h; peer = peer->next_same)
        if (peer->hot && take_sent(peer->hot, m->txid, &s))
            h = peer->hot;
    bool good = h != NULL;
    if (h) {
        h->last_disco = now;
        /* The address that counts is the one pinged, not this datagram's; but
         * what came by the relay says nothing of UDP. */
        if (is_udp(from))
            good = s.udp.family && pong_proves(p, now, h, &s, from);
        if (s.purpose == PING_USER)
            tell(t, h, &s, from, m, now);
        rmri_path_rearm(p, h);
    } else if (is_udp(from)) {
        good = read_probe_pong(p, now, d, m);
    }
    if (!good) {
        p->stats.dropped_pongs++;
        return RMR_E_NOTFOUND;
    }
    return RMR_OK;
}

/* ---- call-me-maybe ---------------------------------------------------- */

static void name_candidates(rmr_paths *p, rmr_time now, path_hot *h,
                            const rmr_disco_msg *m)
{
    for (size_t i = 0; i < m->n_candidates; i++) {
        if (!rmri_path_is_candidate(&m->candidates[i]))
            continue;
        path_cand *c = rmri_path_cand_add(p, now, h, &m->candidates[i], 0);
        if (c)
            c->flags |= CAND_NAMED;
    }
}

/* The list may be an old one that the relay kept; the path that answered is worth
 * more.  It stays until its pings are lost, but packets go by the relay too. */
static void doubt_best(path_hot *h, rmr_time now, path_cand *c)
{
    h->trust_until = 0;
    if (c->last_got_ping == RMR_TIME_NEVER ||
        rmri_path_past(now, c->last_got_ping, PING_INTERVAL)) {
        c->last_got_ping = now; /* stays as if it pinged */
        memset(c->got_txid, 0, sizeof c->got_txid);
    }
}

/* What an earlier call named and this one does not is gone, whoever else names
 * it.  All the others are to be pinged at once. */
static void forget_unnamed(rmr_paths *p, rmr_time now, path_hot *h)
{
    for (size_t i = h->n_cands; i-- > 0;) {
        path_cand *c = &h->cands[i];
        bool named = (c->flags & CAND_NAMED) != 0;
        bool is_best = rmri_path_is_same(&h->best, &c->udp, c->socket);
        bool unnamed = !named && (c->flags & CAND_CALL);
        if (unnamed && !is_best) {
            rmri_path_cand_delete(p, h, i);
            continue;
        }
        if (unnamed)
            doubt_best(h, now, c);
        c->flags &= (uint8_t) ~(CAND_NAMED | CAND_CALL);
        if (named)
            c->flags |= CAND_CALL;
        c->last_ping = RMR_TIME_NEVER;
    }
    h->round_at = 0;
}

/* Who calls has packets for us and no path.  Where the other way is silent that
 * is all we know of it, and the hard side must offer all the same: a path is
 * wanted since the first of a row of calls. */
static void wanted_by_peer(rmr_paths *p, rmr_time now, path_hot *h)
{
    bool first = rmri_path_past(now, h->last_call, CALL_ROW);
    h->last_call = now;
    if (rmri_path_is_trusted(h, now))
        return;
    if (h->heartbeat_at == RMR_TIME_NEVER &&
        (first || h->want_since == RMR_TIME_NEVER))
        h->want_since = now;
    rmri_path_punch_maybe(p, now, h);
}

static rmr_err read_call(rmr_paths *p, rmr_time now, path_dkey *d,
                         const rmr_path_to *from, const rmr_disco_msg *m)
{
    path_peer *peer = derp_sender(p, d, from);
    if (!peer)
        return RMR_E_DENIED;
    path_hot *h = rmri_path_warm(p, now, peer);
    if (!h)
        return RMR_E_NOMEM;
    h->last_disco = now;
    name_candidates(p, now, h, m);
    forget_unnamed(p, now, h);
    rmri_path_discover(p, now, h, false);
    wanted_by_peer(p, now, h);
    rmri_path_rearm(p, h);
    return RMR_OK;
}

/* ---- all -------------------------------------------------------------- */

static rmr_err read_punch(rmr_paths *p, rmr_time now, path_dkey *d,
                          const rmr_path_to *from, rmr_buf plain)
{
    path_peer *peer = derp_sender(p, d, from);
    if (!peer)
        return RMR_E_DENIED;
    rmri_path_punch_read(p, now, peer, rmr_bytes_of(plain.ptr, plain.len));
    return RMR_OK;
}

static rmr_err malformed(rmr_paths *p)
{
    p->stats.dropped_malformed++;
    return RMR_E_MALFORMED;
}

static rmr_err dispatch(rmr_paths *p, rmr_time now, path_dkey *d,
                        const rmr_path_to *from, const rmr_disco_msg *m,
                        rmr_buf plain, told *t)
{
    switch (m->type) {
    case RMR_DISCO_PING:
        p->stats.pings_received++;
        if (is_our_own(p, m))
            return RMR_E_DENIED;
        return is_udp(from) ? read_ping_udp(p, now, d, from, m)
                            : read_ping_derp(p, now, d, from, m);
    case RMR_DISCO_PONG:
        p->stats.pongs_received++;
        return read_pong(p, now, d, from, m, t);
    case RMR_DISCO_CALL_ME_MAYBE:
        p->stats.calls_received++;
        return read_call(p, now, d, from, m);
    case PUNCH_TYPE:
        return read_punch(p, now, d, from, plain);
    default:
        return malformed(p);
    }
}

#define ENVELOPE (RMR_DISCO_HEADER_LEN + RMR_TAG_LEN)

static rmr_err open_datagram(rmr_paths *p, path_dkey *d, rmr_buf datagram,
                             rmr_disco_msg *m)
{
    uint8_t shared[RMR_KEY_LEN];
    rmr_err e = rmri_path_shared(p, d, shared);
    if (e == RMR_OK)
        e = rmr_disco_open_in_place(datagram, shared, m);
    rmr_wipe(shared, sizeof shared);
    if (e == RMR_E_AUTH)
        p->stats.dropped_undecryptable++;
    return e == RMR_OK || e == RMR_E_AUTH ? e : malformed(p);
}

static rmr_err read_datagram(rmr_paths *p, rmr_time now,
                             const rmr_path_to *from, rmr_buf datagram, told *t)
{
    uint8_t key[RMR_KEY_LEN];
    rmr_disco_msg m;
    rmr_bytes all = rmr_bytes_of(datagram.ptr, datagram.len);
    rmr_disco_view v = rmr_disco_split(all, !is_udp(from));
    if (v.cls != RMR_DATAGRAM_DISCO || v.geneve ||
        rmr_disco_sender(all, key) != RMR_OK)
        return malformed(p);
    path_dkey *d = rmri_path_dkey_find(p, key);
    if (!d) {
        p->stats.dropped_unknown++;
        return RMR_E_UNKNOWN;
    }
    if (is_udp(from) && from->socket &&
        !rmri_path_sock_is_open(p, from->socket)) {
        p->stats.dropped_mismatch++;
        return RMR_E_DENIED;
    }
    rmr_err e = open_datagram(p, d, datagram, &m);
    if (e != RMR_OK)
        return e;
    rmr_buf plain =
        rmr_buf_of(datagram.ptr + ENVELOPE, datagram.len - ENVELOPE);
    return dispatch(p, now, d, from, &m, plain, t);
}

rmr_err rmr_paths_read(rmr_paths *p, rmr_time now, const rmr_path_to *from,
                       rmr_buf datagram)
{
    told t;
    rmr_err e = rmri_path_enter(p);
    if (e != RMR_OK)
        return e;
    memset(&t, 0, sizeof t);
    e = read_datagram(p, rmri_path_clock(p, now), from, datagram, &t);
    if (t.has && p->cb.on_pong)
        p->cb.on_pong(p->cb.user, t.peer, t.tag, &t.pong);
    rmri_path_leave(p);
    return p->fatal ? p->fatal : e;
}

/* ---- WireGuard heard somebody ----------------------------------------- */

rmr_err rmr_paths_note_received(rmr_paths *p, rmr_time now,
                                rmr_path_peer handle, const rmr_path_to *from)
{
    path_peer *peer = rmri_path_peer(p, handle);
    if (!peer)
        return RMR_E_BADHANDLE;
    now = rmri_path_clock(p, now);
    if (!is_udp(from)) {
        peer->reverse = from->region;
        if (peer->hot)
            peer->hot->last_recv = now;
        return RMR_OK;
    }
    path_hot *h = rmri_path_warm(p, now, peer);
    if (!h) /* it is a hint, and comes again with the next packet */
        return RMR_OK;
    h->last_recv = now;
    rmri_path_source_note(p, h, &from->udp);
    if (peer->wireguard_only)
        rmri_path_heard_wg(p, now, h, from);
    else if (rmri_path_has(p, RMR_PATHS_SILENT_DISCO) &&
             rmri_path_is_same(&h->best, &from->udp, from->socket))
        h->trust_until = rmr_time_add(now, TRUST);
    return RMR_OK;
}
