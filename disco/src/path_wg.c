/* WireGuard-only peers: no disco and no DERP.  Control vouches for their
 * addresses, and ICMP tells which is the nearest. */
#include "path_internal.h"

#include <remora/cursor.h>

#include <string.h>

static void take(rmr_paths *p, rmr_time now, path_hot *h, const rmr_addr *udp,
                 rmr_dur latency, rmr_dur trust)
{
    if (!rmr_addr_eq(&h->best.udp, udp)) {
        memset(&h->best, 0, sizeof h->best);
        h->best.udp = *udp;
        p->stats.best_changes++;
        rmri_path_dirty(p, h->peer);
    }
    h->best.mtu = RMR_PATH_WIRE_MTU;
    h->best.latency = latency;
    h->trust_until = rmr_time_add(now, trust);
}

static bool is_nearer(const path_cand *a, const path_cand *b)
{
    if (a->latency != b->latency)
        return a->latency < b->latency;
    return a->udp.family == RMR_AF_INET6 && b->udp.family == RMR_AF_INET;
}

static const path_cand *choose(rmr_paths *p, const path_hot *h)
{
    const path_cand *best = NULL;
    uint8_t random[4];
    for (size_t i = 0; i < h->n_cands; i++) {
        const path_cand *c = &h->cands[i];
        if ((c->flags & CAND_ANSWERED) && (!best || is_nearer(c, best)))
            best = c;
    }
    if (best || h->n_cands == 0)
        return best;
    if (rmri_path_random(p, random, sizeof random) != RMR_OK)
        return NULL;
    return &h->cands[rmr_load_be32(random) % h->n_cands];
}

void rmri_path_unwant_echo(rmr_paths *p, path_cand *c)
{
    if (c->flags & CAND_WANT_ECHO)
        p->n_echo_wants--;
    c->flags &= (uint8_t)~CAND_WANT_ECHO;
}

/* One round for all endpoints; who did not answer the last one is unknown. */
static void want_echoes(rmr_paths *p, rmr_time now, path_hot *h)
{
    if (h->n_cands < 2 || !rmri_path_past(now, h->last_echo, ECHO_GAP))
        return;
    h->last_echo = now;
    for (size_t i = 0; i < h->n_cands; i++) {
        path_cand *c = &h->cands[i];
        if (c->flags & CAND_ECHO_SENT)
            c->flags &= (uint8_t) ~(CAND_ECHO_SENT | CAND_ANSWERED);
        if (!(c->flags & CAND_WANT_ECHO))
            p->n_echo_wants++;
        c->flags |= CAND_WANT_ECHO;
    }
}

rmr_err rmri_path_route_wg(rmr_paths *p, rmr_time now, path_hot *h,
                           rmr_path_route *out)
{
    h->last_send = now;
    if (rmri_path_has(p, RMR_PATHS_NO_UDP))
        return RMR_E_UNREACHABLE;
    want_echoes(p, now, h);
    if (h->best.udp.family == RMR_AF_NONE || now > h->trust_until) {
        const path_cand *c = choose(p, h);
        if (!c)
            return p->fatal ? p->fatal : RMR_E_UNREACHABLE;
        take(p, now, h, &c->udp, c->latency, WG_TRUST_SENT);
    }
    out->has_udp = true;
    out->udp = h->best.udp;
    out->wire_mtu = h->best.mtu;
    return RMR_OK;
}

void rmri_path_heard_wg(rmr_paths *p, rmr_time now, path_hot *h,
                        const rmr_path_to *from)
{
    const path_cand *c = rmri_path_cand_find(h, &from->udp, 0);
    take(p, now, h, &from->udp, c ? c->latency : 0, WG_TRUST_HEARD);
}

bool rmr_paths_next_echo(rmr_paths *p, rmr_path_peer *peer, rmr_addr *to)
{
    for (path_hot *h = p->first_hot; p->n_echo_wants && h; h = h->next) {
        for (size_t i = 0; i < h->n_cands; i++) {
            path_cand *c = &h->cands[i];
            if (!(c->flags & CAND_WANT_ECHO))
                continue;
            rmri_path_unwant_echo(p, c);
            c->flags |= CAND_ECHO_SENT;
            c->last_ping = p->now;
            peer->id = h->peer->id;
            *to = c->udp;
            return true;
        }
    }
    return false;
}

rmr_err rmr_paths_echo_done(rmr_paths *p, rmr_time now, rmr_path_peer handle,
                            const rmr_addr *to, rmr_dur latency)
{
    path_peer *peer = rmri_path_peer(p, handle);
    if (!peer)
        return RMR_E_BADHANDLE;
    (void)rmri_path_clock(p, now);
    if (!peer->wireguard_only || !peer->hot)
        return RMR_OK;
    path_hot *h = peer->hot;
    for (size_t i = 0; i < h->n_cands; i++) {
        path_cand *c = &h->cands[i];
        if (!rmr_addr_ip_eq(&c->udp, to))
            continue;
        c->flags &= (uint8_t)~CAND_ECHO_SENT;
        c->flags |= CAND_ANSWERED;
        c->latency = latency;
    }
    return RMR_OK;
}
