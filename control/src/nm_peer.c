/*
 * The table of peers: one block a peer, an array sorted by id, and four hash
 * indexes.  Where several peers claim one key, the index holds the one of the
 * lowest id, whatever the order in which they came (contract D1).
 */
#include "nm_internal.h"

#include <string.h>

/* ---- blocks ----------------------------------------------------------- */

void rmri_nm_parts(const nm_peer *p, nm_parts *out)
{
    const uint8_t *at = (const uint8_t *)p + sizeof *p;
    out->endpoints = (const rmr_addr *)(const void *)at;
    at += p->n_endpoints * sizeof(rmr_addr);
    out->services = (const rmr_nm_service *)(const void *)at;
    at += p->n_services * sizeof(rmr_nm_service);
    out->caps = (const uint16_t *)(const void *)at;
    at += p->n_caps * sizeof(uint16_t);
    out->addrs = (const rmr_prefix *)(const void *)at;
    at += p->n_addrs * sizeof(rmr_prefix);
    out->allowed = out->addrs;
    if (p->flags & NM_F_OWN_ALLOWED) {
        out->allowed = (const rmr_prefix *)(const void *)at;
        at += p->n_allowed * sizeof(rmr_prefix);
    }
    out->primary = (const rmr_prefix *)(const void *)at;
    at += p->n_primary * sizeof(rmr_prefix);
    out->stable = (const char *)at;
    out->name = out->stable + p->stable_len + 1;
    out->host = out->name + p->name_len + 1;
    out->os = out->host + p->host_len + 1;
    out->tags = out->os + p->os_len + 1;
    out->values = out->tags + p->tags_len;
}

_Static_assert(_Alignof(rmr_prefix) == 1, "prefixes need no padding");
_Static_assert(sizeof(nm_peer) % _Alignof(rmr_addr) == 0, "endpoints follow");

void rmri_nm_view(const rmr_nm *nm, const nm_peer *p, rmr_nm_node *out)
{
    nm_parts k;
    uint64_t now = rmri_nm_adjusted_now(nm);
    rmri_nm_parts(p, &k);
    memset(out, 0, sizeof *out);
    out->id = p->id;
    out->user = p->user;
    out->stable_id = k.stable;
    out->name = k.name;
    out->hostname = k.host;
    out->os = k.os;
    memcpy(out->key, p->key, sizeof out->key);
    memcpy(out->disco_key, p->disco, sizeof out->disco_key);
    out->addrs = k.addrs;
    out->n_addrs = p->n_addrs;
    out->allowed_ips = k.allowed;
    out->n_allowed_ips =
        p->flags & NM_F_OWN_ALLOWED ? p->n_allowed : p->n_addrs;
    out->primary_routes = k.primary;
    out->n_primary_routes = p->n_primary;
    out->endpoints = k.endpoints;
    out->n_endpoints = p->n_endpoints;
    out->tags = k.tags;
    out->n_tags = p->n_tags;
    out->services = k.services;
    out->n_services = p->n_services;
    out->n_caps = p->n_caps;
    out->key_expiry_unix_ns = p->key_expiry;
    out->last_seen_unix_ns = p->last_seen;
    out->created_unix_ns = p->created;
    out->home_derp = p->home_derp;
    out->cap = p->cap;
    out->online = p->online;
    out->expired = (p->flags & NM_F_EXPIRED) != 0 ||
                   (now && p->key_expiry && p->key_expiry <= now);
    out->machine_authorized = (p->flags & NM_F_AUTHORIZED) != 0;
    out->wireguard_only = (p->flags & NM_F_WIREGUARD_ONLY) != 0;
    out->jailed = (p->flags & NM_F_JAILED) != 0;
}

void rmri_nm_peer_free(rmr_nm *nm, nm_peer *p)
{
    if (p)
        rmr_release(&nm->alloc, p, p->size);
}

/* Equal but for the marks of frames. */
bool rmri_nm_peer_equal(const nm_peer *a, const nm_peer *b)
{
    if (a->size != b->size)
        return false;
    nm_peer x = *a, y = *b;
    x.frame = y.frame = 0;
    x.touched = y.touched = 0;
    x.unsaved = y.unsaved = 0;
    return memcmp(&x, &y, sizeof x) == 0 &&
           memcmp((const uint8_t *)a + sizeof x, (const uint8_t *)b + sizeof y,
                  a->size - sizeof x) == 0;
}

bool rmri_nm_has_cap(const nm_peer *p, uint16_t cap)
{
    nm_parts k;
    rmri_nm_parts(p, &k);
    for (size_t i = 0; i < p->n_caps; i++) {
        if (k.caps[i] == cap)
            return true;
    }
    return false;
}

/* ---- the array -------------------------------------------------------- */

size_t rmri_nm_lower_bound(const rmr_nm *nm, uint64_t id)
{
    size_t lo = 0, hi = nm->n_peers;
    /* Full lists come sorted: the next one is behind the last. */
    if (hi > 0 && nm->peers[hi - 1]->id < id)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (nm->peers[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

nm_peer *rmri_nm_find(const rmr_nm *nm, uint64_t id)
{
    size_t at = rmri_nm_lower_bound(nm, id);
    if (at == nm->n_peers || nm->peers[at]->id != id)
        return NULL;
    return nm->peers[at];
}

/* ---- indexes ---------------------------------------------------------- */

#define KEY_MAX NM_TEXT_MAX

/* The i-th key of a peer in an index: its length, 0: none, i too large: -1. */
static int key_of(const nm_peer *p, int kind, size_t i, uint8_t key[KEY_MAX])
{
    static const uint8_t zero[RMR_KEY_LEN] = {0};
    nm_parts k;
    if (kind != NM_BY_IP && i > 0)
        return -1;
    rmri_nm_parts(p, &k);
    switch (kind) {
    case NM_BY_KEY:
    case NM_BY_DISCO:
        memcpy(key, kind == NM_BY_KEY ? p->key : p->disco, RMR_KEY_LEN);
        return memcmp(key, zero, sizeof zero) == 0 ? 0 : RMR_KEY_LEN;
    case NM_BY_NAME:
        memcpy(key, k.name, p->name_len);
        return p->name_len;
    default:
        if (i >= p->n_addrs)
            return -1;
        key[0] = k.addrs[i].family;
        memcpy(key + 1, k.addrs[i].ip, 16);
        return k.addrs[i].bits == (key[0] == RMR_AF_INET ? 32 : 128) ? 17 : 0;
    }
}

static bool has_key(const nm_peer *p, int kind, const uint8_t *key, size_t len)
{
    uint8_t mine[KEY_MAX];
    int n;
    for (size_t i = 0; (n = key_of(p, kind, i, mine)) >= 0; i++) {
        if ((size_t)n == len && memcmp(mine, key, len) == 0)
            return true;
    }
    return false;
}

static bool eq_kind(uint64_t value, int kind, const void *key, size_t len)
{
    const nm_peer *p = (const nm_peer *)(uintptr_t)value;
    return has_key(p, kind, (const uint8_t *)key, len);
}

static bool eq_key(const void *user, uint64_t value, const void *key,
                   size_t len)
{
    (void)user;
    return eq_kind(value, NM_BY_KEY, key, len);
}

static bool eq_disco(const void *user, uint64_t value, const void *key,
                     size_t len)
{
    (void)user;
    return eq_kind(value, NM_BY_DISCO, key, len);
}

static bool eq_ip(const void *user, uint64_t value, const void *key, size_t len)
{
    (void)user;
    return eq_kind(value, NM_BY_IP, key, len);
}

static bool eq_name(const void *user, uint64_t value, const void *key,
                    size_t len)
{
    (void)user;
    return eq_kind(value, NM_BY_NAME, key, len);
}

rmr_err rmri_nm_indexes_init(rmr_nm *nm)
{
    static const rmr_hash_eq_fn eq[NM_INDEXES] = {eq_key, eq_disco, eq_ip,
                                                  eq_name};
    for (int kind = 0; kind < NM_INDEXES; kind++) {
        uint32_t max = nm->max_peers;
        if (kind == NM_BY_IP)
            max = max > UINT32_MAX / 64 ? UINT32_MAX / 4 : max * NM_MAX_ADDRS;
        rmr_err e = rmr_hash_init(&nm->index[kind], &nm->alloc, &nm->env.rng,
                                  max, eq[kind], nm);
        if (e)
            return e;
    }
    return RMR_OK;
}

static nm_peer *holder(const rmr_nm *nm, int kind, const uint8_t *key,
                       size_t len)
{
    uint64_t v;
    if (!rmr_hash_get(&nm->index[kind], key, len, &v))
        return NULL;
    return (nm_peer *)(uintptr_t)v;
}

static rmr_err hold(rmr_nm *nm, int kind, const uint8_t *key, size_t len,
                    nm_peer *p)
{
    rmr_err e =
        rmr_hash_put(&nm->index[kind], key, len, (uint64_t)(uintptr_t)p);
    return e == RMR_E_FULL ? RMR_E_NOMEM : e;
}

static rmr_err key_add(rmr_nm *nm, int kind, const uint8_t *key, size_t len,
                       nm_peer *p)
{
    nm_peer *q = holder(nm, kind, key, len);
    if (!q)
        return hold(nm, kind, key, len, p);
    nm->shadowed[kind]++;
    if (p->id < q->id)
        (void)hold(nm, kind, key, len, p); /* replaces: can't fail */
    return RMR_OK;
}

/* p does not count any more; `except` neither. */
static void key_del(rmr_nm *nm, int kind, const uint8_t *key, size_t len,
                    const nm_peer *p)
{
    if (holder(nm, kind, key, len) != p) {
        nm->shadowed[kind]--;
        return;
    }
    for (size_t i = 0; nm->shadowed[kind] && i < nm->n_peers; i++) {
        nm_peer *q = nm->peers[i];
        if (q != p && q->id != p->id && has_key(q, kind, key, len)) {
            (void)hold(nm, kind, key, len, q); /* replaces: can't fail */
            nm->shadowed[kind]--;
            return;
        }
    }
    (void)rmr_hash_del(&nm->index[kind], key, len);
}

/* Adds the keys of p that `old` (may be NULL) does not have; on failure takes
 * them out again.  `undo`: only take them out. */
static rmr_err keys_add(rmr_nm *nm, nm_peer *p, const nm_peer *old)
{
    uint8_t key[KEY_MAX];
    int n;
    for (int kind = 0; kind < NM_INDEXES; kind++) {
        for (size_t i = 0; (n = key_of(p, kind, i, key)) >= 0; i++) {
            size_t len = (size_t)n;
            if (len == 0 || (old && has_key(old, kind, key, len)))
                continue;
            rmr_err e = key_add(nm, kind, key, len, p);
            if (!e)
                continue;
            /* Undo those before this one. */
            for (int k = 0; k <= kind; k++) {
                for (size_t m = 0; (n = key_of(p, k, m, key)) >= 0; m++) {
                    if (k == kind && m >= i)
                        break;
                    len = (size_t)n;
                    if (len && !(old && has_key(old, k, key, len)))
                        key_del(nm, k, key, len, p);
                }
            }
            return e;
        }
    }
    return RMR_OK;
}

/* Takes out the keys of p that `now` (may be NULL) does not have; those of
 * both are pointed at `now`. */
static void keys_del(rmr_nm *nm, nm_peer *p, nm_peer *now)
{
    uint8_t key[KEY_MAX];
    int n;
    for (int kind = 0; kind < NM_INDEXES; kind++) {
        for (size_t i = 0; (n = key_of(p, kind, i, key)) >= 0; i++) {
            size_t len = (size_t)n;
            if (len == 0)
                continue;
            if (!now || !has_key(now, kind, key, len))
                key_del(nm, kind, key, len, p);
            else if (holder(nm, kind, key, len) == p)
                (void)hold(nm, kind, key, len, now);
        }
    }
}

/* ---- changes ---------------------------------------------------------- */

static rmr_err reserve(rmr_nm *nm)
{
    if (nm->n_peers < nm->cap_peers)
        return RMR_OK;
    size_t cap = nm->cap_peers ? nm->cap_peers + nm->cap_peers / 2 : 16;
    nm_peer **p =
        rmr_alloc_zero(&nm->alloc, cap * sizeof *p, _Alignof(nm_peer *));
    if (!p)
        return RMR_E_NOMEM;
    if (nm->n_peers)
        memcpy(p, nm->peers, nm->n_peers * sizeof *p);
    rmr_release(&nm->alloc, nm->peers, nm->cap_peers * sizeof *p);
    nm->peers = p;
    nm->cap_peers = cap;
    return RMR_OK;
}

static void count_unsigned(rmr_nm *nm, const nm_peer *p, bool in)
{
    if (p->flags & NM_F_UNSIGNED)
        nm->n_unsigned = in ? nm->n_unsigned + 1 : nm->n_unsigned - 1;
}

rmr_err rmri_nm_insert(rmr_nm *nm, nm_peer *p)
{
    rmr_err e = reserve(nm);
    if (e)
        return e;
    e = keys_add(nm, p, NULL);
    if (e)
        return e;
    size_t at = rmri_nm_lower_bound(nm, p->id);
    memmove(nm->peers + at + 1, nm->peers + at,
            (nm->n_peers - at) * sizeof *nm->peers);
    nm->peers[at] = p;
    nm->n_peers++;
    count_unsigned(nm, p, true);
    return RMR_OK;
}

rmr_err rmri_nm_replace(rmr_nm *nm, size_t at, nm_peer *p)
{
    nm_peer *old = nm->peers[at];
    rmr_err e = keys_add(nm, p, old);
    if (e)
        return e;
    nm->peers[at] = p;
    keys_del(nm, old, p);
    count_unsigned(nm, old, false);
    count_unsigned(nm, p, true);
    return RMR_OK;
}

/* Do the indexes know both by the same keys? */
static bool same_keys(const nm_peer *a, const nm_peer *b)
{
    nm_parts k, m;
    rmri_nm_parts(a, &k);
    rmri_nm_parts(b, &m);
    return memcmp(a->key, b->key, sizeof a->key) == 0 &&
           memcmp(a->disco, b->disco, sizeof a->disco) == 0 &&
           a->n_addrs == b->n_addrs && a->name_len == b->name_len &&
           memcmp(k.addrs, m.addrs, a->n_addrs * sizeof *k.addrs) == 0 &&
           memcmp(k.name, m.name, a->name_len) == 0;
}

bool rmri_nm_swap(rmr_nm *nm, size_t at, nm_peer *p)
{
    nm_peer *old = nm->peers[at];
    if (old->size != p->size || !same_keys(old, p))
        return false;
    count_unsigned(nm, old, false);
    count_unsigned(nm, p, true);
    uint8_t *a = (uint8_t *)old, *b = (uint8_t *)p, part[256];
    for (size_t left = old->size, n; left; left -= n, a += n, b += n) {
        n = left < sizeof part ? left : sizeof part;
        memcpy(part, a, n);
        memcpy(a, b, n);
        memcpy(b, part, n);
    }
    return true;
}

void rmri_nm_unindex(rmr_nm *nm, nm_peer *p)
{
    keys_del(nm, p, NULL);
    count_unsigned(nm, p, false);
}
