/* The object: making and freeing it, time, deadlines, callbacks. */
#include "path_internal.h"

#include <stdalign.h>
#include <string.h>

#define MAX_BOUND ((uint32_t)1 << 20)

/* ---- shared little things --------------------------------------------- */

rmr_time rmri_path_clock(rmr_paths *p, rmr_time now)
{
    if (now > p->now)
        p->now = now;
    return p->now;
}

path_peer *rmri_path_peer(const rmr_paths *p, rmr_path_peer peer)
{
    return rmr_slots_get(&p->peers, peer.id);
}

bool rmri_path_has(const rmr_paths *p, uint32_t a_switch)
{
    return (p->switches & a_switch) != 0;
}

bool rmri_path_past(rmr_time now, rmr_time t, rmr_dur d)
{
    return t == RMR_TIME_NEVER || rmr_time_since(now, t) >= d;
}

/* A source that failed once is not asked again: the object has ended. */
rmr_err rmri_path_random(rmr_paths *p, void *dst, size_t len)
{
    if (p->fatal == RMR_OK)
        p->fatal = rmr_rng_fill(&p->env.rng, dst, len);
    return p->fatal;
}

/* ---- callbacks -------------------------------------------------------- */

void rmri_path_dirty(rmr_paths *p, path_peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = NULL;
    *(p->last_dirty ? &p->last_dirty->next_dirty : &p->first_dirty) = peer;
    p->last_dirty = peer;
}

void rmri_path_undirty(rmr_paths *p, path_peer *peer)
{
    path_peer *before = NULL;
    if (!peer->dirty)
        return;
    for (path_peer *at = p->first_dirty; at != peer; at = at->next_dirty)
        before = at;
    *(before ? &before->next_dirty : &p->first_dirty) = peer->next_dirty;
    if (p->last_dirty == peer)
        p->last_dirty = before;
    peer->dirty = false;
}

/* What a callback changes is told in the next turn, so that this ends. */
static void tell_paths(rmr_paths *p)
{
    size_t n = 0;
    for (path_peer *at = p->first_dirty; at; at = at->next_dirty)
        n++;
    while (n-- && p->first_dirty) {
        path_peer *peer = p->first_dirty;
        rmr_path_peer handle = {peer->id};
        rmri_path_undirty(p, peer);
        if (p->cb.on_path)
            p->cb.on_path(p->cb.user, handle);
    }
}

rmr_err rmri_path_enter(rmr_paths *p)
{
    if (p->in_pump)
        return RMR_E_REENTRANT;
    if (p->fatal == RMR_OK)
        p->in_pump = true;
    return p->fatal;
}

void rmri_path_leave(rmr_paths *p)
{
    tell_paths(p);
    p->in_pump = false;
}

/* ---- life ------------------------------------------------------------- */

void rmr_paths_config_init(rmr_paths_config *cfg, size_t struct_size)
{
    rmr_paths_config c;
    memset(&c, 0, sizeof c);
    c.struct_size = (uint32_t)struct_size;
    c.max_peers = 10000;
    c.max_queue_pkts = 4096;
    c.max_shared = 1024;
    c.switches = RMR_PATHS_BIRTHDAY;
    memcpy(cfg, &c, struct_size < sizeof c ? struct_size : sizeof c);
}

static bool node_eq(const void *user, uint64_t value, const void *key,
                    size_t len)
{
    const path_peer *peer = rmr_slots_get(user, value);
    return peer && len == RMR_KEY_LEN && memcmp(peer->node_key, key, len) == 0;
}

static bool disco_eq(const void *user, uint64_t value, const void *key,
                     size_t len)
{
    const path_dkey *d = rmr_slots_get(user, value);
    return d && len == RMR_KEY_LEN && memcmp(d->key, key, len) == 0;
}

static bool is_zero(const uint8_t *key)
{
    static const uint8_t zero[RMR_KEY_LEN];
    return memcmp(key, zero, RMR_KEY_LEN) == 0;
}

static bool is_bound(uint32_t n)
{
    return n > 0 && n <= MAX_BOUND;
}

static rmr_err init_tables(rmr_paths *p, const rmr_paths_config *c)
{
    const rmr_alloc *a = &p->env.alloc;
    const rmr_rng *rng = &p->env.rng;
    (void)rmr_slots_init(&p->peers, a, sizeof(path_peer), c->max_peers);
    (void)rmr_slots_init(&p->dkeys, a, sizeof(path_dkey), c->max_peers + 1);
    (void)rmr_slots_init(&p->shareds, a, sizeof(path_shared), c->max_shared);
    rmr_err e =
        rmr_hash_init(&p->by_node, a, rng, c->max_peers, node_eq, &p->peers);
    if (e == RMR_OK)
        e = rmr_hash_init(&p->by_disco, a, rng, c->max_peers + 1, disco_eq,
                          &p->dkeys);
    if (e == RMR_OK)
        e = rmr_hash_init(&p->by_source, a, rng, UINT32_MAX,
                          rmri_path_source_eq, &p->peers);
    if (e == RMR_OK)
        e = rmr_timers_init(&p->timers, a, 2);
    return e;
}

static void copy_callbacks(rmr_paths *p, const rmr_path_callbacks *cb)
{
    if (!cb)
        return;
    size_t n = cb->struct_size < sizeof p->cb ? cb->struct_size : sizeof p->cb;
    memcpy(&p->cb, cb, n);
}

rmr_err rmr_paths_new(rmr_paths **out, const rmr_env *env,
                      const rmr_paths_config *cfg, rmr_time now)
{
    rmr_paths_config c;
    *out = NULL;
    rmr_paths_config_init(&c, sizeof c);
    memcpy(&c, cfg, cfg->struct_size < sizeof c ? cfg->struct_size : sizeof c);
    rmr_err e = RMR_E_INVAL;
    rmr_paths *p = NULL;
    if (is_bound(c.max_peers) && is_bound(c.max_queue_pkts) &&
        is_bound(c.max_shared) && !is_zero(c.node_key) &&
        !is_zero(c.disco_private)) {
        p = rmr_alloc_zero(&env->alloc, sizeof *p, alignof(rmr_paths));
        e = RMR_E_NOMEM;
    }
    if (p) {
        p->env = *env;
        p->now = now;
        p->switches = c.switches;
        p->out.max = c.max_queue_pkts;
        p->gathered_at = RMR_TIME_NEVER;
        p->asked_endpoints_at = RMR_TIME_NEVER;
        p->punch.tick_at = RMR_TIME_NEVER;
        copy_callbacks(p, c.callbacks);
        memcpy(p->node_key, c.node_key, RMR_KEY_LEN);
        memcpy(p->disco_private, c.disco_private, RMR_KEY_LEN);
        rmr_x25519_public(p->disco_public, p->disco_private);
        e = init_tables(p, &c);
    }
    rmr_wipe(c.disco_private, sizeof c.disco_private);
    if (e == RMR_OK)
        *out = p;
    else
        rmr_paths_free(p);
    return e;
}

void rmr_paths_free(rmr_paths *p)
{
    if (!p || p->in_pump)
        return;
    while (p->first_hot)
        rmri_path_cool(p, p->first_hot);
    uint32_t pos = 0;
    path_peer *peer;
    while ((peer = rmr_slots_next(&p->peers, &pos, NULL)) != NULL)
        rmr_release(&p->env.alloc, peer->eps, peer->eps_len);
    rmr_release(&p->env.alloc, p->own, p->n_own * sizeof *p->own);
    rmri_path_queue_wipe(p);
    rmri_path_socks_free(p);
    rmr_slots_wipe(&p->shareds);
    rmr_slots_wipe(&p->dkeys);
    rmr_slots_wipe(&p->peers);
    rmr_hash_wipe(&p->by_node);
    rmr_hash_wipe(&p->by_disco);
    rmr_hash_wipe(&p->by_source);
    rmr_timers_wipe(&p->timers);
    rmr_alloc a = p->env.alloc;
    rmr_release_wiped(&a, p, sizeof *p);
}

/* ---- settings --------------------------------------------------------- */

/* A round of sized pings at once: a path that works is not looked at again for
 * a minute.  Off: what is known of MTUs ends. */
static void mtu_switched(rmr_paths *p, rmr_time now, path_hot *h)
{
    if (h->best.udp.family != RMR_AF_NONE)
        h->best.mtu = RMR_PATH_WIRE_MTU;
    if (!rmri_path_has(p, RMR_PATHS_PEER_MTU) ||
        h->heartbeat_at == RMR_TIME_NEVER)
        return;
    for (size_t i = 0; i < h->n_cands; i++)
        h->cands[i].last_ping = RMR_TIME_NEVER;
    h->round_at = 0;
    rmri_path_discover(p, now, h, false);
    rmri_path_rearm(p, h);
}

void rmr_paths_set_switches(rmr_paths *p, rmr_time now, uint32_t switches)
{
    now = rmri_path_clock(p, now);
    bool no_udp = (switches & RMR_PATHS_NO_UDP) != 0;
    bool mtu = ((switches ^ p->switches) & RMR_PATHS_PEER_MTU) != 0;
    p->switches = switches;
    if (no_udp || !(switches & RMR_PATHS_BIRTHDAY))
        rmri_path_punch_end(p, now, false);
    for (path_hot *h = p->first_hot; no_udp && h; h = h->next)
        rmri_path_clear_best(p, h);
    for (path_hot *h = p->first_hot; mtu && h; h = h->next)
        mtu_switched(p, now, h);
}

rmr_err rmr_paths_set_disco_key(rmr_paths *p, rmr_time now,
                                const uint8_t priv[RMR_KEY_LEN])
{
    now = rmri_path_clock(p, now);
    if (is_zero(priv))
        return RMR_E_INVAL;
    rmri_path_punch_end(p, now, false);
    rmri_path_shared_wipe(p);
    memcpy(p->disco_private, priv, RMR_KEY_LEN);
    rmr_x25519_public(p->disco_public, p->disco_private);
    for (path_hot *h = p->first_hot; h; h = h->next) {
        h->n_sent = 0;
        rmri_path_rearm(p, h);
    }
    return RMR_OK;
}

rmr_err rmr_paths_set_node_key(rmr_paths *p,
                               const uint8_t node_key[RMR_KEY_LEN])
{
    if (is_zero(node_key))
        return RMR_E_INVAL;
    memcpy(p->node_key, node_key, RMR_KEY_LEN);
    return RMR_OK;
}

void rmr_paths_disco_key(const rmr_paths *p, uint8_t key[RMR_KEY_LEN])
{
    memcpy(key, p->disco_public, RMR_KEY_LEN);
}

rmr_paths_stats rmr_paths_get_stats(const rmr_paths *p)
{
    rmr_paths_stats s = p->stats;
    s.peers = p->peers.used;
    s.active_peers = p->n_hot;
    s.sources = p->by_source.used;
    return s;
}

/* ---- time and output -------------------------------------------------- */

rmr_time rmr_paths_next_deadline(const rmr_paths *p)
{
    return rmr_timers_next(&p->timers);
}

rmr_err rmr_paths_handle_deadline(rmr_paths *p, rmr_time now)
{
    rmr_timer *t;
    rmr_err e = rmri_path_enter(p);
    if (e != RMR_OK)
        return e;
    now = rmri_path_clock(p, now);
    while ((t = rmr_timers_pop(&p->timers, now)) != NULL) {
        if (t->owner)
            rmri_path_hot_deadline(p, now, t->owner);
        else
            rmri_path_punch_due(p, now);
    }
    rmri_path_leave(p);
    return p->fatal;
}

rmr_err rmr_paths_write_pkt(rmr_paths *p, rmr_time now, rmr_buf dst,
                            size_t *len, rmr_path_to *to)
{
    *len = 0;
    rmr_err e = rmri_path_enter(p);
    if (e != RMR_OK)
        return e;
    (void)rmri_path_clock(p, now);
    size_t need = rmri_path_has(p, RMR_PATHS_PEER_MTU)
                      ? RMR_PATHS_MAX_DATAGRAM_MTU
                      : RMR_PATHS_MAX_DATAGRAM;
    e = dst.len < need ? RMR_E_BUFSIZE : rmri_path_write(p, dst, len, to);
    rmri_path_leave(p);
    return e;
}
