/* The object: creation, time, events. */
#include <string.h>

#include "wg_internal.h"

/* ---- memory ----------------------------------------------------------- */

static void *count_alloc(void *user, size_t size, size_t align)
{
    rmr_wg *wg = (rmr_wg *)user;
    void *p = wg->env.alloc.alloc(wg->env.alloc.user, size, align);
    if (p)
        wg->stats.memory_bytes += size;
    return p;
}

static void count_release(void *user, void *ptr, size_t size)
{
    rmr_wg *wg = (rmr_wg *)user;
    if (!ptr)
        return;
    wg->env.alloc.release(wg->env.alloc.user, ptr, size);
    wg->stats.memory_bytes -= size;
}

/* ---- creation --------------------------------------------------------- */

static rmr_err init_tables(rmr_wg *wg)
{
    const rmr_rng *rng = &wg->env.rng;
    rmr_err e =
        rmr_slots_init(&wg->peers, &wg->alloc, sizeof(wg_peer), wg->max_peers);
    if (!e)
        e = rmr_hash_init(&wg->by_pub, &wg->alloc, rng, wg->max_peers,
                          rmri_wg_pub_eq, wg);
    if (!e)
        e = rmri_wg_buckets_init(&wg->buckets, &wg->alloc, rng);
    if (!e)
        e = rmr_timers_init(&wg->timers, &wg->alloc, 0);
    if (!e)
        e = rmr_rng_fill(rng, &wg->jitter_key, sizeof wg->jitter_key);
    if (!e && !wg->aead) {
        e = rmr_aead_new(&wg->own_aead, &wg->alloc, NULL);
        wg->aead = &wg->own_aead;
    }
    return e;
}

static rmr_err copy_config(rmr_wg_config *dst, const rmr_wg_config *src)
{
    size_t n = src->struct_size;
    if (n < sizeof src->struct_size)
        return RMR_E_INVAL;
    rmr_wg_config_init(dst, sizeof *dst);
    memcpy(dst, src, n < sizeof *dst ? n : sizeof *dst);
    /* A peer has up to five indices, three keys, a handshake and one more for a
     * moment; in a table of 32-bit places that is half full. */
    if (dst->max_peers == 0 || dst->max_peers > UINT32_MAX / 32 ||
        dst->mtu > RMR_WG_MAX_PACKET)
        return RMR_E_INVAL;
    return RMR_OK;
}

static void apply(rmr_wg *wg, const rmr_wg_config *c, rmr_time now)
{
    wg->max_peers = c->max_peers;
    wg->max_staged_pkts = c->max_staged_pkts;
    wg->max_staged_bytes = c->max_staged_bytes;
    wg->mtu = c->mtu;
    wg->roam = c->roam;
    wg->load_per_second = c->load_per_second;
    wg->aead = c->aead;
    wg->ecn = c->ecn;
    wg->jitter_max = WG_JITTER;
    wg->now = now;
    wg->wall_at = now;
    wg->wall_unix_ns = c->wall_unix_ns;
    wg->stamp_unix_ns = c->wall_floor_unix_ns;
    if (c->callbacks) {
        size_t n = c->callbacks->struct_size;
        memcpy(&wg->cb, c->callbacks, n < sizeof wg->cb ? n : sizeof wg->cb);
    }
}

rmr_err rmr_wg_new(rmr_wg **out, const rmr_env *env, const rmr_wg_config *cfg,
                   rmr_time now)
{
    rmr_wg_config c;
    rmr_wg *wg = NULL;
    rmr_err e = copy_config(&c, cfg);
    if (!e) {
        wg =
            (rmr_wg *)rmr_alloc_zero(&env->alloc, sizeof *wg, _Alignof(rmr_wg));
        e = wg ? RMR_OK : RMR_E_NOMEM;
    }
    if (e) {
        rmr_wipe(&c, sizeof c);
        return e;
    }
    wg->env = *env;
    wg->alloc.alloc = count_alloc;
    wg->alloc.release = count_release;
    wg->alloc.user = wg;
    wg->stats.memory_bytes = sizeof *wg;
    wg->ips.alloc = &wg->alloc;
    wg_list_init(&wg->out);
    wg_list_init(&wg->events);
    wg_list_init(&wg->dead);
    wg->ended_tail = &wg->ended;
    wg_list_init(&wg->buckets.lru);
    apply(wg, &c, now);
    e = rmri_wg_set_keys(wg, c.private_key);
    if (!e)
        e = init_tables(wg);
    rmr_wipe(&c, sizeof c);
    if (e) {
        rmr_wg_free(wg);
        return e;
    }
    *out = wg;
    return RMR_OK;
}

void rmr_wg_free(rmr_wg *wg)
{
    if (!wg || wg->in_callback)
        return;
    uint64_t id;
    wg_peer *p;
    for (uint32_t pos = 0;
         (p = (wg_peer *)rmr_slots_next(&wg->peers, &pos, &id));)
        rmri_wg_peer_drop(wg, p);
    rmri_wg_keys_bury(wg); /* jobs that are out are forgotten */
    rmri_wg_buckets_wipe(&wg->buckets);
    rmr_timers_wipe(&wg->timers);
    rmri_wg_indices_wipe(wg);
    rmr_hash_wipe(&wg->by_pub);
    rmr_slots_wipe(&wg->peers);
    rmr_aead_wipe(&wg->own_aead);
    rmr_release(&wg->alloc, wg->replies, WG_REPLIES_SIZE);
    rmr_alloc a = wg->env.alloc;
    rmr_release_wiped(&a, wg, sizeof *wg);
}

/* ---- the own key ------------------------------------------------------ */

rmr_err rmri_wg_set_keys(rmr_wg *wg, const uint8_t priv[RMR_KEY_LEN])
{
    static const uint8_t zero[RMR_KEY_LEN] = {0};
    if (rmr_equal_ct(priv, zero, sizeof zero))
        return RMR_E_INVAL;
    memcpy(wg->priv, priv, RMR_KEY_LEN);
    rmr_key_clamp(wg->priv);
    rmr_x25519_public(wg->pub, wg->priv);
    rmri_wg_label_key(wg->mac1_key, "mac1----", wg->pub);
    rmri_wg_label_key(wg->cookie_key, "cookie--", wg->pub);
    return RMR_OK;
}

/* Handshakes begin anew at once; old keys still open what is on its way. */
static void expire_peer(rmr_wg *wg, wg_peer *p)
{
    rmri_wg_hs_free(wg, p);
    rmr_release(&wg->alloc, p->response, WG_RESPONSE_LEN);
    p->response = NULL;
    if (p->current)
        p->current->can_send = false;
    if (p->next)
        p->next->can_send = false;
    p->has_last_init = false;
}

rmr_err rmr_wg_set_private_key(rmr_wg *wg, rmr_time now,
                               const uint8_t key[RMR_KEY_LEN])
{
    rmri_wg_clock(wg, now);
    rmr_err e = rmri_wg_set_keys(wg, key);
    if (e)
        return e;
    uint64_t id;
    wg_peer *p;
    for (uint32_t pos = 0;
         (p = (wg_peer *)rmr_slots_next(&wg->peers, &pos, &id));) {
        if (memcmp(p->pub, wg->pub, RMR_KEY_LEN) == 0) {
            rmri_wg_peer_drop(wg, p); /* nobody talks to itself */
            continue;
        }
        rmr_wipe(p->ss, sizeof p->ss);
        p->has_ss = false;
        expire_peer(wg, p);
    }
    return RMR_OK;
}

rmr_err rmr_wg_peer_expire(rmr_wg *wg, rmr_time now, rmr_wg_peer peer)
{
    wg_peer *p = rmri_wg_peer_of(wg, peer);
    if (!p)
        return RMR_E_BADHANDLE;
    rmri_wg_clock(wg, now);
    expire_peer(wg, p);
    return RMR_OK;
}

/* ---- time ------------------------------------------------------------- */

rmr_time rmri_wg_clock(rmr_wg *wg, rmr_time now)
{
    if (now < wg->now)
        wg->stats.clock_back++;
    else
        wg->now = now;
    return wg->now;
}

void rmr_wg_set_wall(rmr_wg *wg, rmr_time now, uint64_t wall_unix_ns)
{
    wg->wall_at = rmri_wg_clock(wg, now);
    wg->wall_unix_ns = wall_unix_ns;
}

rmr_err rmri_wg_enter(rmr_wg *wg, rmr_time now)
{
    if (wg->in_callback)
        return RMR_E_REENTRANT;
    if (wg->fatal)
        return wg->fatal;
    rmri_wg_clock(wg, now);
    return RMR_OK;
}

/* ---- events ----------------------------------------------------------- */

void rmri_wg_log(rmr_wg *wg, rmr_log_level level, const wg_peer *p,
                 const char *what)
{
    if (level <= wg->env.log.max_level)
        rmr_logf(&wg->env.log, level, "wg", "[%02x%02x%02x%02x] %s", p->pub[0],
                 p->pub[1], p->pub[2], p->pub[3], what);
}

/* Told by the next pump call, so that no submit function calls back. */
void rmri_wg_event(rmr_wg *wg, wg_peer *p, rmr_wg_state s)
{
    p->events |= (uint8_t)(1u << s);
    if (!p->ev.next)
        wg_link_add(&wg->events, &p->ev);
}

static void tell(rmr_wg *wg, wg_peer *p)
{
    /* What ended before what began. */
    static const rmr_wg_state order[] = {RMR_WG_GAVE_UP, RMR_WG_EXPIRED,
                                         RMR_WG_HANDSHAKE_STARTED,
                                         RMR_WG_ESTABLISHED};
    rmr_wg_peer h = {p->id};
    uint8_t events = p->events;
    p->events = 0;
    for (size_t i = 0; i < 4 && wg->cb.on_state; i++) {
        if (!(events >> order[i] & 1))
            continue;
        wg->in_callback = true;
        wg->cb.on_state(wg->cb.user, h, order[i]);
        wg->in_callback = false;
        if (!rmri_wg_peer_of(wg, h))
            return; /* the host removed it */
    }
}

void rmri_wg_tell_events(rmr_wg *wg)
{
    rmri_wg_jobs_tell(wg);
    if (wg_list_empty(&wg->events))
        return;
    /* Those of now; what the callbacks cause is for the next call. */
    wg_link batch = wg->events;
    batch.next->prev = batch.prev->next = &batch;
    wg_list_init(&wg->events);
    while (!wg_list_empty(&batch)) {
        wg_peer *p = WG_OF(batch.next, wg_peer, ev);
        wg_link_del(&p->ev);
        tell(wg, p);
    }
}

void rmr_wg_get_stats(const rmr_wg *wg, rmr_wg_stats *out)
{
    *out = wg->stats;
    out->tai64n_floor_unix_ns = wg->stamp_unix_ns;
}
