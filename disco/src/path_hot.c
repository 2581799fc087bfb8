/* What a peer has while there is traffic: candidates, and the memory of it. */
#include "path_internal.h"

#include <stdalign.h>
#include <string.h>

/* ---- candidates ------------------------------------------------------- */

path_cand *rmri_path_cand_find(path_hot *h, const rmr_addr *udp,
                               uint16_t socket)
{
    for (size_t i = 0; i < h->n_cands; i++)
        if (h->cands[i].socket == socket && rmr_addr_eq(&h->cands[i].udp, udp))
            return &h->cands[i];
    return NULL;
}

/* Room for n in all. */
bool rmri_path_cands_reserve(rmr_paths *p, path_hot *h, size_t n)
{
    if (n <= h->cap_cands)
        return true;
    size_t cap = h->cap_cands ? h->cap_cands : 4;
    while (cap < n)
        cap *= 2;
    if (cap > RMR_PATH_MAX_CANDIDATES)
        cap = RMR_PATH_MAX_CANDIDATES;
    path_cand *list =
        rmr_alloc_zero(&p->env.alloc, cap * sizeof *list, alignof(path_cand));
    if (!list) {
        p->stats.dropped_nomem++;
        return false;
    }
    if (h->n_cands)
        memcpy(list, h->cands, h->n_cands * sizeof *list);
    rmr_release(&p->env.alloc, h->cands, h->cap_cands * sizeof *list);
    h->cands = list;
    h->cap_cands = (uint16_t)cap;
    return true;
}

/* What the peer named itself stays.  What it pinged from stays while it pings,
 * and while it is in use: a working path is not cut because the peer has
 * nothing to send. */
bool rmri_path_cand_is_stale(const path_hot *h, const path_cand *c,
                             rmr_time now)
{
    if (c->flags & (CAND_MAP | CAND_CALL))
        return false;
    if (now <= h->trust_until &&
        rmri_path_is_same(&h->best, &c->udp, c->socket))
        return false;
    return rmri_path_past(now, c->last_got_ping, ACTIVE);
}

static bool socket_is_used(const path_hot *h, uint16_t socket)
{
    for (size_t i = 0; i < h->n_cands; i++)
        if (h->cands[i].socket == socket)
            return true;
    return false;
}

/* The last one takes its place. */
void rmri_path_cand_delete(rmr_paths *p, path_hot *h, size_t i)
{
    path_cand gone = h->cands[i];
    rmri_path_unwant_echo(p, &h->cands[i]);
    if (h->peer->wireguard_only)
        rmri_path_source_drop(p, h->peer, &gone.udp);
    h->cands[i] = h->cands[--h->n_cands];
    if (rmri_path_is_same(&h->best, &gone.udp, gone.socket))
        rmri_path_clear_best(p, h);
    if (gone.socket && !rmri_path_is_punching(p, h->peer) &&
        !socket_is_used(h, gone.socket))
        rmri_path_sock_close(p, gone.socket);
}

static void prune(rmr_paths *p, rmr_time now, path_hot *h)
{
    for (size_t i = h->n_cands; i-- > 0;)
        if (rmri_path_cand_is_stale(h, &h->cands[i], now))
            rmri_path_cand_delete(p, h, i);
}

/* What was only heard of by a ping, never answered and is not used: the one of
 * which that is longest ago.  A ping may be an old one from a made-up source, so
 * that these can be as many as somebody likes. */
static bool evict(rmr_paths *p, path_hot *h)
{
    size_t oldest = h->n_cands;
    for (size_t i = 0; i < h->n_cands; i++) {
        const path_cand *c = &h->cands[i];
        if ((c->flags & (CAND_MAP | CAND_CALL | CAND_NAMED | CAND_ANSWERED)) ||
            rmri_path_is_same(&h->best, &c->udp, c->socket))
            continue;
        if (oldest == h->n_cands ||
            c->last_got_ping < h->cands[oldest].last_got_ping)
            oldest = i;
    }
    if (oldest == h->n_cands)
        return false;
    rmri_path_cand_delete(p, h, oldest);
    p->stats.dropped_candidates++;
    return true;
}

/* NULL: there are a hundred that stay, or no memory. */
path_cand *rmri_path_cand_add(rmr_paths *p, rmr_time now, path_hot *h,
                              const rmr_addr *udp, uint16_t socket)
{
    path_cand *c = rmri_path_cand_find(h, udp, socket);
    if (c)
        return c;
    if (h->n_cands == RMR_PATH_MAX_CANDIDATES)
        prune(p, now, h);
    if (h->n_cands == RMR_PATH_MAX_CANDIDATES && !evict(p, h)) {
        p->stats.dropped_candidates++;
        return NULL;
    }
    if (!rmri_path_cands_reserve(p, h, h->n_cands + 1u))
        return NULL;
    c = &h->cands[h->n_cands++];
    memset(c, 0, sizeof *c);
    c->udp = *udp;
    c->socket = socket;
    c->last_ping = RMR_TIME_NEVER;
    c->last_got_ping = RMR_TIME_NEVER;
    h->round_at = 0;
    return c;
}

/* Candidates as the network map has them now; the memory is there. */
void rmri_path_load_map(rmr_paths *p, rmr_time now, path_hot *h)
{
    const path_peer *peer = h->peer;
    rmr_addr a;
    for (size_t i = 0; i < h->n_cands; i++)
        h->cands[i].flags &= (uint8_t)~CAND_MAP;
    for (size_t pos = 0;
         rmri_path_unpack(peer->eps, peer->eps_len, &pos, &a);) {
        path_cand *c = rmri_path_cand_add(p, now, h, &a, 0);
        if (!c)
            continue;
        c->flags |= CAND_MAP;
        if (peer->wireguard_only)
            (void)rmri_path_source_put(p, peer, &a);
    }
    h->round_at = 0;
}

/* ---- best ------------------------------------------------------------- */

void rmri_path_clear_best(rmr_paths *p, path_hot *h)
{
    h->trust_until = 0;
    h->doubt_at = RMR_TIME_NEVER;
    if (h->best.udp.family == RMR_AF_NONE)
        return;
    memset(&h->best, 0, sizeof h->best);
    p->stats.best_lost++;
    rmri_path_dirty(p, h->peer);
}

/* ---- warm and cold ---------------------------------------------------- */

static void link_hot(rmr_paths *p, path_hot *h)
{
    h->next = p->first_hot;
    if (h->next)
        h->next->prev = h;
    p->first_hot = h;
    p->n_hot++;
}

static void unlink_hot(rmr_paths *p, path_hot *h)
{
    *(h->prev ? &h->prev->next : &p->first_hot) = h->next;
    if (h->next)
        h->next->prev = h->prev;
    p->n_hot--;
}

/* A timer for it, and the punch's. */
static bool reserve_timer(rmr_paths *p)
{
    uint32_t want = p->n_hot + 2;
    if (want <= p->timers.cap)
        return true;
    return rmr_timers_reserve(&p->timers, want * 2) == RMR_OK;
}

static void init_hot(path_hot *h, path_peer *peer, rmr_time now)
{
    h->peer = peer;
    h->timer.owner = h;
    h->last_send = RMR_TIME_NEVER;
    h->last_recv = RMR_TIME_NEVER;
    h->last_disco = now;
    h->last_full_ping = RMR_TIME_NEVER;
    h->want_since = RMR_TIME_NEVER;
    h->last_call = RMR_TIME_NEVER;
    h->last_echo = RMR_TIME_NEVER;
    h->heartbeat_at = RMR_TIME_NEVER;
    h->call_at = RMR_TIME_NEVER;
    h->life_at = RMR_TIME_NEVER;
    h->doubt_at = RMR_TIME_NEVER;
    h->idle_at =
        peer->wireguard_only ? RMR_TIME_NEVER : rmr_time_add(now, IDLE);
}

static void free_hot(rmr_paths *p, path_hot *h)
{
    rmr_release(&p->env.alloc, h->cands, h->cap_cands * sizeof *h->cands);
    rmr_release(&p->env.alloc, h->sent, h->cap_sent * sizeof *h->sent);
    rmr_release(&p->env.alloc, h, sizeof *h);
}

/* A candidate takes 3 + 4 bytes packed at least. */
static size_t count_map(const path_peer *peer)
{
    rmr_addr a;
    size_t n = 0;
    for (size_t pos = 0; rmri_path_unpack(peer->eps, peer->eps_len, &pos, &a);)
        n++;
    return n;
}

/* NULL: no memory. */
path_hot *rmri_path_warm(rmr_paths *p, rmr_time now, path_peer *peer)
{
    if (peer->hot)
        return peer->hot;
    path_hot *h = rmr_alloc_zero(&p->env.alloc, sizeof *h, alignof(path_hot));
    if (!h || !reserve_timer(p)) {
        p->stats.dropped_nomem++;
        rmr_release(&p->env.alloc, h, sizeof *h);
        return NULL;
    }
    init_hot(h, peer, now);
    if (!rmri_path_cands_reserve(p, h, count_map(peer))) {
        free_hot(p, h);
        return NULL;
    }
    peer->hot = h;
    link_hot(p, h);
    rmri_path_load_map(p, now, h);
    rmri_path_rearm(p, h);
    return h;
}

void rmri_path_cool(rmr_paths *p, path_hot *h)
{
    path_peer *peer = h->peer;
    if (rmri_path_is_punching(p, peer))
        rmri_path_punch_end(p, p->now, true);
    rmri_path_clear_best(p, h);
    rmri_path_socks_close(p, peer->id, 0);
    rmri_path_sources_drop(p, h);
    for (size_t i = 0; i < h->n_cands; i++)
        rmri_path_unwant_echo(p, &h->cands[i]);
    rmr_timers_cancel(&p->timers, &h->timer);
    unlink_hot(p, h);
    peer->hot = NULL;
    free_hot(p, h);
}

/* To be called after each change of what has a deadline. */
void rmri_path_rearm(rmr_paths *p, path_hot *h)
{
    rmr_time at = rmr_time_min(h->heartbeat_at, h->call_at);
    at = rmr_time_min(at, h->life_at);
    at = rmr_time_min(at, rmr_time_min(h->idle_at, h->doubt_at));
    if (h->n_sent)
        at = rmr_time_min(at, rmr_time_add(h->sent[0].at, PING_TIMEOUT));
    if (at != h->timer.at || !rmr_timer_is_armed(&h->timer))
        (void)rmr_timers_set(&p->timers, &h->timer, at); /* has its place */
}
