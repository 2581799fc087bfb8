/* Sending: where a packet goes, rounds of pings, the heartbeat, calls. */
#include "path_internal.h"

#include <stdalign.h>
#include <string.h>

/* ---- one ping --------------------------------------------------------- */

/* What a peer makes us ping fills the list; the heartbeat has its place. */
static bool reserve_sent(rmr_paths *p, path_hot *h, uint8_t purpose)
{
    if (purpose == PING_DISCOVERY && h->n_sent >= MAX_SENT - KEEP_SENT)
        return false;
    if (h->n_sent < h->cap_sent)
        return true;
    if (h->cap_sent >= MAX_SENT)
        return false;
    size_t cap = h->cap_sent ? h->cap_sent * 2u : 8;
    path_sent *list =
        rmr_alloc_zero(&p->env.alloc, cap * sizeof *list, alignof(path_sent));
    if (!list) {
        p->stats.dropped_nomem++;
        return false;
    }
    if (h->n_sent)
        memcpy(list, h->sent, h->n_sent * sizeof *list);
    rmr_release(&p->env.alloc, h->sent, h->cap_sent * sizeof *list);
    h->sent = list;
    h->cap_sent = (uint16_t)cap;
    return true;
}

/* mtu 0: without padding. */
static bool ping_sized(rmr_paths *p, rmr_time now, path_hot *h,
                       const rmr_path_to *to, uint8_t purpose, uint64_t tag,
                       uint16_t mtu)
{
    path_out o = {.kind = OUT_PING,
                  .peer = h->peer->id,
                  .udp = to->udp,
                  .socket = to->socket,
                  .region = to->region};
    if (!reserve_sent(p, h, purpose) ||
        rmri_path_random(p, o.txid, sizeof o.txid) != RMR_OK)
        return false;
    if (mtu)
        o.padding = rmri_path_ping_padding(mtu, &to->udp);
    if (!rmri_path_push(p, &o))
        return false;
    path_sent *s = &h->sent[h->n_sent++];
    memset(s, 0, sizeof *s);
    s->at = now;
    s->tag = tag;
    s->udp = to->udp;
    s->socket = to->socket;
    s->region = to->region;
    s->mtu = mtu;
    s->purpose = purpose;
    memcpy(s->txid, o.txid, sizeof s->txid);
    rmri_path_rearm(p, h);
    return true;
}

/* Rounds and user pings look for the MTU too, where that is on. */
bool rmri_path_ping(rmr_paths *p, rmr_time now, path_hot *h,
                    const rmr_path_to *to, uint8_t purpose, uint64_t tag)
{
    bool sized = rmri_path_has(p, RMR_PATHS_PEER_MTU) && to->udp.family &&
                 (purpose == PING_DISCOVERY || purpose == PING_USER);
    bool any = false;
    if (!sized)
        return ping_sized(p, now, h, to, purpose, tag, 0);
    for (size_t i = 0; i < RMRI_PATH_MTUS; i++)
        any |= ping_sized(p, now, h, to, purpose, tag, rmri_path_mtus[i]);
    return any;
}

bool rmri_path_ping_cand(rmr_paths *p, rmr_time now, path_hot *h, path_cand *c,
                         uint8_t purpose, uint64_t tag)
{
    rmr_path_to to = {.udp = c->udp, .socket = c->socket};
    if (rmri_path_has(p, RMR_PATHS_NO_UDP) ||
        !rmri_path_ping(p, now, h, &to, purpose, tag))
        return false;
    c->last_ping = now;
    c->flags &= (uint8_t)~CAND_BACK;
    return true;
}

/* ---- calls ------------------------------------------------------------ */

void rmri_path_call_now(rmr_paths *p, path_hot *h)
{
    path_out o = {.kind = OUT_CALL, .peer = h->peer->id};
    o.region = rmri_path_region(p, h->peer);
    h->call_at = RMR_TIME_NEVER;
    if (o.region && h->peer->dkey)
        (void)rmri_path_push(p, &o);
}

/* Fresh own endpoints first.  Where the host has none for us in time, those of
 * before have to do: a call also asks the peer to ping what it knows. */
void rmri_path_call(rmr_paths *p, rmr_time now, path_hot *h)
{
    if (!rmri_path_past(now, p->gathered_at, FRESH + 1)) {
        rmri_path_call_now(p, h);
        return;
    }
    if (rmri_path_past(now, p->asked_endpoints_at, CALL_WAIT)) {
        p->asked_endpoints_at = now;
        p->want_endpoints = true;
    }
    if (h->call_at == RMR_TIME_NEVER)
        h->call_at = rmr_time_add(now, CALL_WAIT);
    rmri_path_rearm(p, h);
}

bool rmr_paths_wants_endpoints(rmr_paths *p)
{
    bool want = p->want_endpoints;
    p->want_endpoints = false;
    return want;
}

/* Where there is no memory those of before have to do. */
static void keep_own(rmr_paths *p, const rmr_addr *list, size_t n)
{
    rmr_addr all[RMR_PATH_MAX_OWN], *own = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < RMR_PATH_MAX_OWN; i++)
        if (rmr_addr_ip_len(&list[i]))
            all[kept++] = list[i];
    if (kept) {
        own = rmr_alloc_raw(&p->env.alloc, kept * sizeof *own,
                            _Alignof(rmr_addr));
        if (!own)
            return;
        memcpy(own, all, kept * sizeof *own);
    }
    rmr_release(&p->env.alloc, p->own, p->n_own * sizeof *p->own);
    p->own = own;
    p->n_own = kept;
}

void rmr_paths_set_own_endpoints(rmr_paths *p, rmr_time now,
                                 const rmr_addr *list, size_t n,
                                 rmr_time gathered_at)
{
    now = rmri_path_clock(p, now);
    keep_own(p, list, n);
    p->gathered_at = gathered_at < now ? gathered_at : now;
    if (rmri_path_past(now, p->gathered_at, FRESH + 1))
        return;
    p->asked_endpoints_at = RMR_TIME_NEVER;
    p->want_endpoints = false;
    for (path_hot *h = p->first_hot; h; h = h->next) {
        if (h->call_at == RMR_TIME_NEVER)
            continue;
        rmri_path_call_now(p, h);
        rmri_path_rearm(p, h);
    }
}

/* ---- a round ---------------------------------------------------------- */

/* Pings what may be pinged, forgets what is stale; `next` becomes when another
 * candidate may be pinged. */
static bool ping_round(rmr_paths *p, rmr_time now, path_hot *h, rmr_time *next)
{
    bool any = false;
    for (size_t i = h->n_cands; i-- > 0;) {
        path_cand *c = &h->cands[i];
        if (rmri_path_cand_is_stale(h, c, now)) {
            rmri_path_cand_delete(p, h, i);
            continue;
        }
        if (rmri_path_past(now, c->last_ping, PING_INTERVAL)) {
            if (!rmri_path_ping_cand(p, now, h, c, PING_DISCOVERY, 0))
                continue; /* the next round tries again */
            any = true;
        }
        *next = rmr_time_min(*next, rmr_time_add(c->last_ping, PING_INTERVAL));
    }
    return any;
}

void rmri_path_discover(rmr_paths *p, rmr_time now, path_hot *h, bool call)
{
    if (!h->peer->dkey || rmri_path_has(p, RMR_PATHS_NO_UDP))
        return;
    h->last_full_ping = now;
    if (now < h->round_at)
        return;
    /* A peer of which no address is known is called too, as rarely. */
    rmr_time next = rmr_time_add(now, PING_INTERVAL);
    bool any = ping_round(p, now, h, &next) || h->n_cands == 0;
    h->round_at = next;
    if (any && call)
        rmri_path_call(p, now, h);
}

/* ---- a packet goes ---------------------------------------------------- */

static void begin_activity(rmr_paths *p, rmr_time now, path_hot *h)
{
    h->last_send = now;
    if (h->heartbeat_at != RMR_TIME_NEVER || !h->peer->dkey ||
        (p->switches & (RMR_PATHS_SILENT_DISCO | RMR_PATHS_NO_UDP)))
        return;
    h->heartbeat_at = rmr_time_add(now, HEARTBEAT);
    h->idle_at = RMR_TIME_NEVER;
    h->life_at = RMR_TIME_NEVER;
    rmri_path_rearm(p, h);
}

bool rmri_path_is_trusted(const path_hot *h, rmr_time now)
{
    return h->best.udp.family != RMR_AF_NONE && now <= h->trust_until;
}

static void use_best(const path_hot *h, rmr_path_route *out)
{
    out->has_udp = true;
    out->udp = h->best.udp;
    out->socket = h->best.socket;
    out->wire_mtu = h->best.mtu;
}

static void use_derp(const rmr_paths *p, const path_peer *peer,
                     rmr_path_route *out)
{
    out->region = rmri_path_region(p, peer);
    out->has_derp = out->region != 0;
}

static void route_untrusted(rmr_paths *p, rmr_time now, path_hot *h,
                            rmr_path_route *out)
{
    if (h->want_since == RMR_TIME_NEVER)
        h->want_since = now;
    if (h->best.udp.family != RMR_AF_NONE)
        use_best(h, out);
    use_derp(p, h->peer, out);
    rmri_path_discover(p, now, h, true);
    begin_activity(p, now, h);
}

rmr_err rmr_paths_route(rmr_paths *p, rmr_time now, rmr_path_peer handle,
                        rmr_path_route *out)
{
    path_peer *peer = rmri_path_peer(p, handle);
    memset(out, 0, sizeof *out);
    if (!peer)
        return RMR_E_BADHANDLE;
    now = rmri_path_clock(p, now);
    if (peer->expired)
        return RMR_E_DENIED;
    path_hot *h = rmri_path_warm(p, now, peer);
    if (h && peer->wireguard_only)
        return rmri_path_route_wg(p, now, h, out);
    if (h && rmri_path_is_trusted(h, now)) {
        use_best(h, out);
        begin_activity(p, now, h);
        return RMR_OK;
    }
    if (h)
        route_untrusted(p, now, h, out);
    else
        use_derp(p, peer, out);
    if (p->fatal) {
        memset(out, 0, sizeof *out);
        return p->fatal;
    }
    return out->has_udp || out->has_derp ? RMR_OK : RMR_E_UNREACHABLE;
}

/* ---- a ping of the host's --------------------------------------------- */

static void ping_all(rmr_paths *p, rmr_time now, path_hot *h, uint64_t tag)
{
    bool call = now >= h->round_at;
    for (size_t i = 0; i < h->n_cands; i++)
        (void)rmri_path_ping_cand(p, now, h, &h->cands[i], PING_USER, tag);
    rmr_path_to to = {.region = rmri_path_region(p, h->peer)};
    if (to.region)
        (void)rmri_path_ping(p, now, h, &to, PING_USER, tag);
    if (!call || rmri_path_has(p, RMR_PATHS_NO_UDP))
        return;
    h->round_at = rmr_time_add(now, PING_INTERVAL);
    rmri_path_call(p, now, h);
}

rmr_err rmr_paths_ping(rmr_paths *p, rmr_time now, rmr_path_peer handle,
                       uint64_t tag)
{
    path_peer *peer = rmri_path_peer(p, handle);
    if (!peer)
        return RMR_E_BADHANDLE;
    now = rmri_path_clock(p, now);
    if (peer->expired)
        return RMR_E_DENIED;
    if (!peer->dkey)
        return RMR_E_UNSUPPORTED;
    path_hot *h = rmri_path_warm(p, now, peer);
    if (!h)
        return RMR_E_NOMEM;
    if (rmri_path_is_trusted(h, now)) {
        rmr_path_to to = {.udp = h->best.udp, .socket = h->best.socket};
        (void)rmri_path_ping(p, now, h, &to, PING_USER, tag);
    } else {
        if (h->want_since == RMR_TIME_NEVER)
            h->want_since = now;
        ping_all(p, now, h, tag);
    }
    begin_activity(p, now, h);
    return p->fatal;
}

/* ---- deadlines of a peer ---------------------------------------------- */

static void time_out_pings(rmr_paths *p, rmr_time now, path_hot *h)
{
    uint16_t n = 0;
    bool lost = false;
    while (n < h->n_sent && rmri_path_past(now, h->sent[n].at, PING_TIMEOUT)) {
        const path_sent *s = &h->sent[n++];
        lost |=
            s->udp.family && rmri_path_is_same(&h->best, &s->udp, s->socket);
    }
    if (n == 0)
        return;
    p->stats.ping_timeouts += n;
    h->n_sent = (uint16_t)(h->n_sent - n);
    memmove(h->sent, h->sent + n, h->n_sent * sizeof *h->sent);
    if (lost && now > h->trust_until)
        rmri_path_clear_best(p, h);
}

static bool wants_round(const path_hot *h, rmr_time now)
{
    return !rmri_path_is_trusted(h, now) ||
           h->last_full_ping == RMR_TIME_NEVER ||
           (h->best.latency > GOOD_ENOUGH &&
            rmri_path_past(now, h->last_full_ping, UPGRADE + 1));
}

static void stop_heartbeat(rmr_paths *p, rmr_time now, path_hot *h)
{
    h->heartbeat_at = RMR_TIME_NEVER;
    h->idle_at = rmr_time_add(now, IDLE);
    h->want_since = RMR_TIME_NEVER;
    rmri_path_life_start(p, now, h);
}

static void heartbeat(rmr_paths *p, rmr_time now, path_hot *h)
{
    if (rmri_path_past(now, h->last_send, ACTIVE + 1) || !h->peer->dkey ||
        h->peer->expired ||
        (p->switches & (RMR_PATHS_SILENT_DISCO | RMR_PATHS_NO_UDP))) {
        stop_heartbeat(p, now, h);
        return;
    }
    h->heartbeat_at = rmr_time_add(now, HEARTBEAT);
    if (h->best.udp.family != RMR_AF_NONE) {
        rmr_path_to to = {.udp = h->best.udp, .socket = h->best.socket};
        path_cand *c = rmri_path_cand_find(h, &to.udp, to.socket);
        if (rmri_path_ping(p, now, h, &to, PING_HEARTBEAT, 0) && c)
            c->last_ping = now;
    }
    if (!rmri_path_is_trusted(h, now) && h->want_since == RMR_TIME_NEVER)
        h->want_since = now;
    if (wants_round(h, now))
        rmri_path_discover(p, now, h, true);
    rmri_path_punch_maybe(p, now, h);
}

static rmr_time later(rmr_time a, rmr_time b)
{
    if (a == RMR_TIME_NEVER || b == RMR_TIME_NEVER)
        return a == RMR_TIME_NEVER ? b : a;
    return a > b ? a : b;
}

/* False: it is cold now. */
static bool still_warm(rmr_paths *p, rmr_time now, path_hot *h)
{
    rmr_time last = later(later(h->last_send, h->last_recv), h->last_disco);
    h->idle_at = rmr_time_add(last, IDLE);
    if (h->idle_at > now || h->heartbeat_at != RMR_TIME_NEVER)
        return true;
    rmri_path_cool(p, h);
    return false;
}

/* Until now packets went by best alone, and were lost if it is dead.  Of a path
 * that nobody uses it says nothing. */
static void doubt(rmr_paths *p, rmr_time now, path_hot *h)
{
    h->doubt_at = RMR_TIME_NEVER;
    if (rmri_path_is_trusted(h, now)) /* by more than pongs: silent disco */
        h->doubt_at = rmr_time_add(h->trust_until, 1);
    else if (h->best.udp.family != RMR_AF_NONE &&
             h->heartbeat_at != RMR_TIME_NEVER)
        rmri_path_dirty(p, h->peer);
}

void rmri_path_hot_deadline(rmr_paths *p, rmr_time now, path_hot *h)
{
    time_out_pings(p, now, h);
    if (h->doubt_at <= now)
        doubt(p, now, h);
    if (h->heartbeat_at <= now)
        heartbeat(p, now, h);
    if (h->call_at <= now)
        rmri_path_call_now(p, h);
    if (h->life_at <= now)
        rmri_path_life_due(p, now, h);
    if (h->idle_at <= now && !still_warm(p, now, h))
        return;
    rmri_path_rearm(p, h);
}

/* ---- the host says ---------------------------------------------------- */

/* Pings to this address that left in this turn never left. */
static void unsend(rmr_paths *p, rmr_time now, path_hot *h,
                   const rmr_path_to *to)
{
    path_cand *c = rmri_path_cand_find(h, &to->udp, to->socket);
    uint16_t kept = 0;
    for (uint16_t i = 0; i < h->n_sent; i++) {
        const path_sent *s = &h->sent[i];
        if (s->at == now && s->socket == to->socket &&
            rmr_addr_eq(&s->udp, &to->udp))
            continue;
        h->sent[kept++] = *s;
    }
    if (kept == h->n_sent)
        return;
    h->n_sent = kept;
    if (c)
        c->flags &= (uint8_t)~CAND_ANSWERED;
    rmri_path_rearm(p, h);
}

void rmr_paths_send_failed(rmr_paths *p, rmr_time now, const rmr_path_to *to,
                           rmr_err why)
{
    now = rmri_path_clock(p, now);
    if (to->udp.family == RMR_AF_NONE || why == RMR_E_TOOBIG)
        return;
    path_peer *peer = rmri_path_source_get(p, &to->udp);
    if (!peer || !peer->hot)
        return;
    unsend(p, now, peer->hot, to);
    if (why == RMR_E_UNREACHABLE &&
        rmri_path_is_same(&peer->hot->best, &to->udp, to->socket))
        rmri_path_clear_best(p, peer->hot);
}
