/* What is known of the paths' MTUs (RFC 1191, RFC 8201): a small table that
 * forgets, so that a path that became wider is found out, and that drops the
 * entry that was used longest ago when it is full. */
#include "ns_internal.h"

#define PATH_TTL (600 * RMR_SEC)
#define PATH_MIN4 552u /* less is an attack, or a broken router */
#define PATH_MIN6 1280u
#define LARGE_LIFE_S 60u

typedef struct path_key { /* no padding: all of it is hashed */
    ns_ip ip;
    uint8_t family;
    uint8_t zero[3];
} path_key;

typedef struct ns_path {
    path_key key;
    uint32_t mtu;
    ns_node node; /* in paths.used */
    rmr_time expires;
    uint64_t id;
} ns_path;

static ns_path *path_of(uint64_t value)
{
    return (ns_path *)(uintptr_t)value;
}

static bool path_is(const void *user, uint64_t value, const void *key,
                    size_t len)
{
    (void)user;
    return memcmp(&path_of(value)->key, key, len) == 0;
}

rmr_err rmri_ns_paths_init(rmr_ns *ns)
{
    ns_paths *p = &ns->paths;
    ns_list_init(&p->used);
    rmr_err e = rmr_slots_init(&p->slots, &ns->env.alloc, sizeof(ns_path),
                               NS_PATHS_MAX);
    return e ? e
             : rmr_hash_init(&p->table, &ns->env.alloc, &ns->env.rng,
                             NS_PATHS_MAX, path_is, NULL);
}

void rmri_ns_paths_wipe(rmr_ns *ns)
{
    rmr_slots_wipe(&ns->paths.slots);
    rmr_hash_wipe(&ns->paths.table);
    rmr_release(&ns->env.alloc, ns->paths.sent,
                NS_LARGE_SENT * sizeof *ns->paths.sent);
}

static path_key key_of(uint8_t family, const ns_ip *ip)
{
    path_key k;
    memset(&k, 0, sizeof k);
    k.ip = *ip;
    k.family = family;
    return k;
}

static ns_path *find(const rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    uint64_t value;
    if (ns->paths.slots.used == 0)
        return NULL;
    path_key k = key_of(family, ip);
    return rmr_hash_get(&ns->paths.table, &k, sizeof k, &value) ? path_of(value)
                                                                : NULL;
}

static void forget(rmr_ns *ns, ns_path *p)
{
    (void)rmr_hash_del(&ns->paths.table, &p->key, sizeof p->key);
    ns_list_unlink(&p->node);
    rmr_slots_free(&ns->paths.slots, p->id);
}

static ns_path *add(rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    uint64_t id;
    if (ns->paths.slots.used == NS_PATHS_MAX) {
        forget(ns, NS_OWNER(ns->paths.used.next, ns_path, node));
        ns->stats.path_mtu_evicted++;
    }
    ns_path *p = rmr_slots_new(&ns->paths.slots, &id);
    if (!p)
        return NULL;
    p->id = id;
    p->key = key_of(family, ip);
    if (rmr_hash_put(&ns->paths.table, &p->key, sizeof p->key,
                     (uint64_t)(uintptr_t)p)) {
        rmr_slots_free(&ns->paths.slots, id);
        return NULL;
    }
    return p;
}

uint32_t rmri_ns_path_mtu(rmr_ns *ns, uint8_t family, const ns_ip *ip)
{
    ns_path *p = find(ns, family, ip);
    if (!p)
        return ns->cfg.mtu;
    if (p->expires <= ns->now) {
        forget(ns, p);
        return ns->cfg.mtu;
    }
    ns_list_unlink(&p->node);
    ns_list_push(&ns->paths.used, &p->node);
    return p->mtu;
}

bool rmri_ns_path_lower(rmr_ns *ns, uint8_t family, const ns_ip *ip,
                        uint32_t mtu)
{
    if (family == RMR_AF_INET && mtu < PATH_MIN4)
        mtu = PATH_MIN4;
    if (family == RMR_AF_INET6 && mtu < PATH_MIN6)
        return false;
    uint32_t now = rmri_ns_path_mtu(ns, family, ip);
    if (mtu > now || mtu == ns->cfg.mtu)
        return false;
    ns_path *p = find(ns, family, ip);
    if (!p)
        p = add(ns, family, ip);
    if (!p) { /* as if the message was lost: the next one tells again */
        ns->stats.discard_full++;
        return false;
    }
    p->mtu = mtu;
    p->expires = rmr_time_add(ns->now, PATH_TTL);
    ns_list_unlink(&p->node);
    ns_list_push(&ns->paths.used, &p->node);
    if (mtu < now) {
        ns->stats.path_mtu_lowered++;
        rmri_tcp_path_lowered(ns, family, ip);
    }
    return true;
}

/* ---- what errors may be about ----------------------------------------- */

static uint32_t mark_of(const rmr_ns *ns, const ns_tuple *t, uint32_t *at)
{
    uint64_t h = rmr_siphash13(&ns->limit_key, t, sizeof *t);
    *at = (uint32_t)h % NS_LARGE_SENT;
    return (uint32_t)(h >> 32) | 1;
}

void rmri_ns_path_note(rmr_ns *ns, const ns_tuple *t, size_t len)
{
    uint32_t at;
    if (len <= (t->family == RMR_AF_INET ? PATH_MIN4 : PATH_MIN6))
        return;
    if (!ns->paths.sent)
        ns->paths.sent =
            rmr_alloc_zero(&ns->env.alloc, NS_LARGE_SENT * sizeof(ns_large),
                           _Alignof(ns_large));
    if (!ns->paths.sent)
        return; /* no router's complaint about it is heard then */
    uint32_t mark = mark_of(ns, t, &at);
    ns->paths.sent[at].mark = mark;
    ns->paths.sent[at].at_s = (uint32_t)(ns->now / RMR_SEC);
}

bool rmri_ns_path_noted(const rmr_ns *ns, const ns_tuple *t)
{
    uint32_t at;
    if (!ns->paths.sent)
        return false;
    uint32_t mark = mark_of(ns, t, &at);
    const ns_large *l = &ns->paths.sent[at];
    return l->mark == mark &&
           (uint32_t)(ns->now / RMR_SEC) - l->at_s <= LARGE_LIFE_S;
}

uint32_t rmr_ns_path_mtu(const rmr_ns *ns, const rmr_addr *to)
{
    if (!to || (to->family != RMR_AF_INET && to->family != RMR_AF_INET6))
        return ns->cfg.mtu;
    ns_ip ip = rmri_ns_ip_of(to);
    const ns_path *p = find(ns, to->family, &ip);
    return p && p->expires > ns->now ? p->mtu : ns->cfg.mtu;
}
