/* Peers: what the network map says of them, and what is told of them. */
#include "path_internal.h"

#include <string.h>

static const uint8_t no_key[RMR_KEY_LEN];

/* ---- endpoints -------------------------------------------------------- */

/* A packed copy; false: no memory. */
static bool pack(rmr_paths *p, const rmr_path_peer_config *c, uint8_t **out,
                 size_t *len)
{
    *out = NULL;
    *len = rmri_path_pack(NULL, c->endpoints, c->n_endpoints);
    if (*len == 0)
        return true;
    *out = rmr_alloc_zero(&p->env.alloc, *len, 1);
    if (!*out)
        return false;
    (void)rmri_path_pack(*out, c->endpoints, c->n_endpoints);
    return true;
}

static void replace(rmr_paths *p, path_peer *peer, uint8_t *eps, size_t len)
{
    rmr_release(&p->env.alloc, peer->eps, peer->eps_len);
    peer->eps = eps;
    peer->eps_len = (uint16_t)len; /* at most 100 x 19 */
}

/* A WireGuard-only peer has no other candidates than those of the map. */
static void drop_unlisted(rmr_paths *p, path_hot *h)
{
    for (size_t i = h->n_cands; i-- > 0;)
        if (h->peer->wireguard_only && !(h->cands[i].flags & CAND_MAP))
            rmri_path_cand_delete(p, h, i);
}

static rmr_err set_endpoints(rmr_paths *p, rmr_time now, path_peer *peer,
                             const rmr_path_peer_config *c)
{
    uint8_t *eps;
    size_t len;
    if (!pack(p, c, &eps, &len))
        return RMR_E_NOMEM;
    path_hot *h = peer->hot;
    size_t most = h ? h->n_cands + len / 7 : 0;
    if (most > RMR_PATH_MAX_CANDIDATES)
        most = RMR_PATH_MAX_CANDIDATES;
    if (h && !rmri_path_cands_reserve(p, h, most)) {
        rmr_release(&p->env.alloc, eps, len);
        return RMR_E_NOMEM;
    }
    replace(p, peer, eps, len);
    if (h) {
        rmri_path_load_map(p, now, h);
        drop_unlisted(p, h);
    }
    return RMR_OK;
}

/* ---- add, set, remove ------------------------------------------------- */

static path_peer *new_peer(rmr_paths *p, const rmr_path_peer_config *c)
{
    uint64_t id;
    path_peer *peer = rmr_slots_new(&p->peers, &id);
    if (!peer)
        return NULL;
    peer->id = id;
    memcpy(peer->node_key, c->node_key, RMR_KEY_LEN);
    peer->wireguard_only = c->wireguard_only;
    if (rmr_hash_put(&p->by_node, peer->node_key, RMR_KEY_LEN, id) != RMR_OK) {
        rmr_slots_free(&p->peers, id);
        return NULL;
    }
    return peer;
}

static void remove_peer(rmr_paths *p, path_peer *peer)
{
    if (peer->hot)
        rmri_path_cool(p, peer->hot);
    rmri_path_undirty(p, peer);
    rmri_path_dkey_drop(p, peer);
    rmr_release(&p->env.alloc, peer->eps, peer->eps_len);
    (void)rmr_hash_del(&p->by_node, peer->node_key, RMR_KEY_LEN);
    rmr_slots_free(&p->peers, peer->id);
}

static rmr_err set_fields(rmr_paths *p, rmr_time now, path_peer *peer,
                          uint32_t fields, const rmr_path_peer_config *c)
{
    rmr_err e = RMR_OK;
    bool has_disco = !peer->wireguard_only;
    uint8_t old[RMR_KEY_LEN];
    memcpy(old, peer->dkey ? peer->dkey->key : no_key, RMR_KEY_LEN);
    /* What can fail, first; the key is put back when the endpoints fail. */
    if ((fields & RMR_PATH_SET_DISCO_KEY) && has_disco)
        e = rmri_path_dkey_set(p, peer, c->disco_key);
    if (e == RMR_OK && (fields & RMR_PATH_SET_ENDPOINTS))
        e = set_endpoints(p, now, peer, c);
    if (e != RMR_OK) {
        (void)rmri_path_dkey_set(p, peer, old);
        return e;
    }
    if ((fields & RMR_PATH_SET_HOME) && has_disco)
        peer->home = c->home;
    if (fields & RMR_PATH_SET_EXPIRED)
        peer->expired = c->expired;
    return RMR_OK;
}

static void read_config(rmr_path_peer_config *to, const rmr_path_peer_config *c)
{
    memset(to, 0, sizeof *to);
    memcpy(to, c, c->struct_size < sizeof *to ? c->struct_size : sizeof *to);
}

rmr_err rmr_paths_peer_add(rmr_paths *p, rmr_time now,
                           const rmr_path_peer_config *cfg, rmr_path_peer *out)
{
    rmr_path_peer_config c;
    uint64_t id;
    now = rmri_path_clock(p, now);
    read_config(&c, cfg);
    if (memcmp(c.node_key, no_key, RMR_KEY_LEN) == 0)
        return RMR_E_INVAL;
    if (rmr_hash_get(&p->by_node, c.node_key, RMR_KEY_LEN, &id))
        return RMR_E_INUSE;
    if (p->peers.used == p->peers.max)
        return RMR_E_FULL;
    path_peer *peer = new_peer(p, &c);
    if (!peer)
        return RMR_E_NOMEM;
    rmr_err e = set_fields(p, now, peer, RMR_PATH_SET_ALL, &c);
    /* Its addresses are in the receive map from the start. */
    if (e == RMR_OK && c.wireguard_only && !rmri_path_warm(p, now, peer))
        e = RMR_E_NOMEM;
    if (e != RMR_OK)
        remove_peer(p, peer);
    else
        out->id = peer->id;
    return e;
}

rmr_err rmr_paths_peer_set(rmr_paths *p, rmr_time now, rmr_path_peer handle,
                           uint32_t fields, const rmr_path_peer_config *cfg)
{
    rmr_path_peer_config c;
    path_peer *peer = rmri_path_peer(p, handle);
    if (!peer)
        return RMR_E_BADHANDLE;
    now = rmri_path_clock(p, now);
    read_config(&c, cfg);
    return set_fields(p, now, peer, fields, &c);
}

rmr_err rmr_paths_peer_remove(rmr_paths *p, rmr_time now, rmr_path_peer handle)
{
    path_peer *peer = rmri_path_peer(p, handle);
    if (!peer)
        return RMR_E_BADHANDLE;
    (void)rmri_path_clock(p, now);
    remove_peer(p, peer);
    return RMR_OK;
}

/* ---- looking ---------------------------------------------------------- */

path_peer *rmri_path_by_node(const rmr_paths *p,
                             const uint8_t node_key[RMR_KEY_LEN])
{
    uint64_t id;
    if (!rmr_hash_get(&p->by_node, node_key, RMR_KEY_LEN, &id))
        return NULL;
    return rmr_slots_get(&p->peers, id);
}

bool rmr_paths_find(const rmr_paths *p, const uint8_t node_key[RMR_KEY_LEN],
                    rmr_path_peer *out)
{
    const path_peer *peer = rmri_path_by_node(p, node_key);
    if (peer)
        out->id = peer->id;
    return peer != NULL;
}

bool rmr_paths_node_key(const rmr_paths *p, rmr_path_peer peer,
                        uint8_t key[RMR_KEY_LEN])
{
    const path_peer *at = rmri_path_peer(p, peer);
    if (at)
        memcpy(key, at->node_key, RMR_KEY_LEN);
    return at != NULL;
}

bool rmr_paths_source(const rmr_paths *p, const rmr_addr *from,
                      rmr_path_peer *out)
{
    const path_peer *peer = rmri_path_source_get(p, from);
    if (peer)
        out->id = peer->id;
    return peer != NULL;
}

static rmr_time or_zero(rmr_time t)
{
    return t == RMR_TIME_NEVER ? 0 : t;
}

static void tell_hot(const path_hot *h, rmr_time now, rmr_path_info *out)
{
    out->active = true;
    out->heartbeat = h->heartbeat_at != RMR_TIME_NEVER;
    out->n_candidates = h->n_cands;
    out->last_send = or_zero(h->last_send);
    out->last_received = or_zero(h->last_recv);
    out->has_best = h->best.udp.family != RMR_AF_NONE;
    if (!out->has_best)
        return;
    out->trusted = now <= h->trust_until;
    out->udp = h->best.udp;
    out->socket = h->best.socket;
    out->wire_mtu = h->best.mtu;
    out->latency = h->best.latency;
    out->trusted_until = h->trust_until;
}

rmr_err rmr_paths_info(const rmr_paths *p, rmr_time now, rmr_path_peer handle,
                       rmr_path_info *out)
{
    const path_peer *peer = rmri_path_peer(p, handle);
    memset(out, 0, sizeof *out);
    if (!peer)
        return RMR_E_BADHANDLE;
    out->wireguard_only = peer->wireguard_only;
    out->home = peer->home;
    out->reverse = peer->reverse;
    out->punching = rmri_path_is_punching(p, peer);
    if (peer->hot)
        tell_hot(peer->hot, now > p->now ? now : p->now, out);
    return RMR_OK;
}

bool rmr_paths_candidate(const rmr_paths *p, rmr_path_peer handle, size_t i,
                         rmr_path_candidate *out)
{
    const path_peer *peer = rmri_path_peer(p, handle);
    memset(out, 0, sizeof *out);
    if (!peer || !peer->hot || i >= peer->hot->n_cands)
        return false;
    const path_cand *c = &peer->hot->cands[i];
    out->udp = c->udp;
    out->socket = c->socket;
    out->from_map = (c->flags & CAND_MAP) != 0;
    out->from_call = (c->flags & CAND_CALL) != 0;
    out->from_ping = (c->flags & CAND_PING) != 0;
    out->answered = (c->flags & CAND_ANSWERED) != 0;
    out->latency = c->latency;
    return true;
}

/* ---- DERP: reverse routes --------------------------------------------- */

void rmr_paths_note_derp_source(rmr_paths *p, rmr_time now,
                                const uint8_t node_key[RMR_KEY_LEN],
                                uint16_t region)
{
    path_peer *peer = rmri_path_by_node(p, node_key);
    (void)rmri_path_clock(p, now);
    if (peer)
        peer->reverse = region;
}

void rmr_paths_derp_gone(rmr_paths *p, rmr_time now,
                         const uint8_t node_key[RMR_KEY_LEN], uint16_t region)
{
    path_peer *peer = rmri_path_by_node(p, node_key);
    (void)rmri_path_clock(p, now);
    if (peer && peer->reverse == region)
        peer->reverse = 0;
}

static uint16_t *find_region(rmr_paths *p, uint16_t region)
{
    for (size_t i = 0; i < MAX_REGIONS; i++)
        if (p->regions[i] == region)
            return &p->regions[i];
    return NULL;
}

void rmr_paths_region_up(rmr_paths *p, rmr_time now, uint16_t region)
{
    (void)rmri_path_clock(p, now);
    if (region == 0 || find_region(p, region))
        return;
    uint16_t *at = find_region(p, 0);
    if (at)
        *at = region;
}

void rmr_paths_region_down(rmr_paths *p, rmr_time now, uint16_t region)
{
    (void)rmri_path_clock(p, now);
    uint16_t *at = region ? find_region(p, region) : NULL;
    uint32_t pos = 0;
    path_peer *peer;
    if (at)
        *at = 0;
    while ((peer = rmr_slots_next(&p->peers, &pos, NULL)) != NULL)
        if (peer->reverse == region)
            peer->reverse = 0;
}

/* derp: home when it is open; else where the peer was heard; else home, which
 * is dialled then.  0: none. */
uint16_t rmri_path_region(const rmr_paths *p, const path_peer *peer)
{
    for (size_t i = 0; peer->home && i < MAX_REGIONS; i++)
        if (p->regions[i] == peer->home)
            return peer->home;
    return peer->reverse ? peer->reverse : peer->home;
}
