/* Nodes: slots, an order by id, and indexes by node key, by machine and user,
 * by label, by address. */
#include "crd_internal.h"

#include <string.h>

/* ---- indexes ------------------------------------------------------------- */

typedef struct machine_key {
    uint8_t machine[RMR_KEY_LEN];
    uint64_t user;
} machine_key;

static machine_key machine_key_of(const uint8_t machine[RMR_KEY_LEN],
                                  const crd_user *user)
{
    machine_key k;
    memset(&k, 0, sizeof k);
    memcpy(k.machine, machine, RMR_KEY_LEN);
    k.user = user ? user->id : 0;
    return k;
}

static const crd_node *at_slot(const void *user, uint64_t slot)
{
    const rmr_coord *c = user;
    return slot < c->n_slots ? c->nodes[slot] : NULL;
}

static bool eq_key(const void *user, uint64_t slot, const void *key, size_t len)
{
    const crd_node *n = at_slot(user, slot);
    return n && len == RMR_KEY_LEN && memcmp(n->key, key, len) == 0;
}

static bool eq_machine(const void *user, uint64_t slot, const void *key,
                       size_t len)
{
    const crd_node *n = at_slot(user, slot);
    if (!n || len != sizeof(machine_key))
        return false;
    machine_key k =
        machine_key_of(n->machine, rmri_crd_is_tagged(n) ? NULL : n->user);
    return memcmp(&k, key, len) == 0;
}

static bool eq_name(const void *user, uint64_t slot, const void *key,
                    size_t len)
{
    const crd_node *n = at_slot(user, slot);
    return n && strlen(n->given) == len && memcmp(n->given, key, len) == 0;
}

static bool eq_addr(const void *user, uint64_t slot, const void *key,
                    size_t len)
{
    const crd_node *n = at_slot(user, slot);
    return n && ((rmr_addr_ip_len(&n->v4) == len &&
                  memcmp(n->v4.ip, key, len) == 0) ||
                 (rmr_addr_ip_len(&n->v6) == len &&
                  memcmp(n->v6.ip, key, len) == 0));
}

rmr_err rmri_crd_nodes_init(rmr_coord *c)
{
    const rmr_alloc *a = &c->env.alloc;
    const rmr_rng *r = &c->env.rng;
    uint32_t max = c->max_nodes + 1; /* one more while a key is replaced */
    rmr_err e = rmr_hash_init(&c->by_key, a, r, max, eq_key, c);
    if (e == RMR_OK)
        e = rmr_hash_init(&c->by_machine, a, r, max, eq_machine, c);
    if (e == RMR_OK)
        e = rmr_hash_init(&c->by_name, a, r, max, eq_name, c);
    if (e == RMR_OK)
        e = rmr_hash_init(&c->by_addr, a, r, 2 * max, eq_addr, c);
    return e;
}

static crd_node *by(const rmr_coord *c, const rmr_hash *h, const void *key,
                    size_t len)
{
    uint64_t slot;
    return rmr_hash_get(h, key, len, &slot) ? c->nodes[slot] : NULL;
}

crd_node *rmri_crd_node_by_key(const rmr_coord *c,
                               const uint8_t key[RMR_KEY_LEN])
{
    return by(c, &c->by_key, key, RMR_KEY_LEN);
}

crd_node *rmri_crd_node_of(const rmr_coord *c,
                           const uint8_t machine[RMR_KEY_LEN],
                           const crd_user *user)
{
    machine_key k = machine_key_of(machine, user);
    return by(c, &c->by_machine, &k, sizeof k);
}

/* ---- nodes of a machine -------------------------------------------------- */

/* A machine has one node of a user, but tagged ones as many as users had: they
 * share their place in the index, where the first stands for all. */
static rmr_err into_machine(rmr_coord *c, crd_node *n)
{
    const crd_user *user = rmri_crd_is_tagged(n) ? NULL : n->user;
    machine_key k = machine_key_of(n->machine, user);
    crd_node *first = rmri_crd_node_of(c, n->machine, user);
    if (first && first->id < n->id) {
        while (first->twin && first->twin->id < n->id)
            first = first->twin;
        n->twin = first->twin;
        first->twin = n;
        return RMR_OK;
    }
    rmr_err e = rmr_hash_put(&c->by_machine, &k, sizeof k, n->slot);
    if (e == RMR_OK)
        n->twin = first;
    return e;
}

crd_node *rmri_crd_node_tagged(const rmr_coord *c,
                               const uint8_t machine[RMR_KEY_LEN],
                               const crd_user *user,
                               const uint8_t key[RMR_KEY_LEN])
{
    crd_node *n = rmri_crd_node_of(c, machine, NULL);
    while (n && (key ? memcmp(n->key, key, RMR_KEY_LEN) != 0 : n->user != user))
        n = n->twin;
    return n;
}

static void out_of_machine(rmr_coord *c, crd_node *n)
{
    const crd_user *user = rmri_crd_is_tagged(n) ? NULL : n->user;
    machine_key k = machine_key_of(n->machine, user);
    crd_node *at = rmri_crd_node_of(c, n->machine, user);
    if (at == n && n->twin)
        (void)rmr_hash_put(&c->by_machine, &k, sizeof k, n->twin->slot);
    else if (at == n)
        rmr_hash_del(&c->by_machine, &k, sizeof k);
    while (at && at != n && at->twin != n)
        at = at->twin;
    if (at && at != n)
        at->twin = n->twin;
    n->twin = NULL;
}

crd_node *rmri_crd_node_named(const rmr_coord *c, rmr_bytes label)
{
    return by(c, &c->by_name, label.ptr, label.len);
}

static size_t lower_bound(const rmr_coord *c, uint64_t id)
{
    size_t lo = 0, hi = c->n_nodes;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->by_id[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

crd_node *rmri_crd_node(const rmr_coord *c, uint64_t id)
{
    size_t at = lower_bound(c, id);
    return at < c->n_nodes && c->by_id[at]->id == id ? c->by_id[at] : NULL;
}

crd_node *rmri_crd_node_behind(const rmr_coord *c, uint64_t id)
{
    size_t at = id == UINT64_MAX ? c->n_nodes : lower_bound(c, id + 1);
    return at < c->n_nodes ? c->by_id[at] : NULL;
}

/* ---- slots --------------------------------------------------------------- */

static rmr_err grow(rmr_coord *c)
{
    size_t cap = c->cap_nodes ? c->cap_nodes * 2 : 16;
    const rmr_alloc *a = &c->env.alloc;
    crd_node **slots =
        rmr_alloc_zero(a, cap * sizeof *slots, _Alignof(crd_node *));
    crd_node **order =
        rmr_alloc_zero(a, cap * sizeof *order, _Alignof(crd_node *));
    uint32_t *near = rmr_alloc_zero(a, cap * sizeof *near, _Alignof(uint32_t));
    if (!slots || !order || !near) {
        rmr_release(a, slots, cap * sizeof *slots);
        rmr_release(a, order, cap * sizeof *order);
        rmr_release(a, near, cap * sizeof *near);
        return RMR_E_NOMEM;
    }
    if (c->n_slots)
        memcpy(slots, c->nodes, c->n_slots * sizeof *slots);
    if (c->n_nodes)
        memcpy(order, c->by_id, c->n_nodes * sizeof *order);
    rmr_release(a, c->nodes, c->cap_nodes * sizeof *slots);
    rmr_release(a, c->by_id, c->cap_nodes * sizeof *order);
    rmr_release(a, c->near, c->cap_nodes * sizeof *near);
    c->nodes = slots;
    c->by_id = order;
    c->near = near;
    c->cap_nodes = cap;
    return RMR_OK;
}

/* A free slot, as its number.  Errors: FULL, NOMEM. */
static rmr_err free_slot(rmr_coord *c, uint32_t *slot)
{
    if (c->n_nodes >= c->max_nodes)
        return RMR_E_FULL;
    if (c->n_nodes < c->n_slots) {
        for (uint32_t i = 0; i < c->n_slots; i++) {
            if (!c->nodes[i]) {
                *slot = i;
                return RMR_OK;
            }
        }
    }
    if (c->n_slots == c->cap_nodes && grow(c) != RMR_OK)
        return RMR_E_NOMEM;
    *slot = (uint32_t)c->n_slots++;
    return RMR_OK;
}

static void parts_free(rmr_coord *c, crd_node *n)
{
    const rmr_alloc *a = &c->env.alloc;
    rmri_crd_unlink(&n->news);
    rmr_timers_cancel(&c->timers, &n->presence);
    rmr_timers_cancel(&c->timers, &n->expires);
    rmri_crd_text_free(c, n->hostname);
    rmri_crd_text_free(c, n->os);
    rmri_crd_list_free(c, &n->tags);
    rmr_release(a, n->endpoints, n->n_endpoints * sizeof *n->endpoints);
    rmr_release(a, n->services, n->n_services * sizeof *n->services);
    rmr_release(a, n->announced, n->n_announced * sizeof *n->announced);
    rmr_release(a, n->approved, n->n_approved * sizeof *n->approved);
}

static void node_free(rmr_coord *c, crd_node *n)
{
    parts_free(c, n);
    rmri_crd_forget(c, &n->row);
}

void rmri_crd_nodes_free(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        node_free(c, c->by_id[i]);
    rmr_release(&c->env.alloc, c->nodes, c->cap_nodes * sizeof *c->nodes);
    rmr_release(&c->env.alloc, c->by_id, c->cap_nodes * sizeof *c->by_id);
    rmr_release(&c->env.alloc, c->near, c->cap_nodes * sizeof *c->near);
    rmri_crd_set_free(c, &c->routers);
    rmr_hash_wipe(&c->by_key);
    rmr_hash_wipe(&c->by_machine);
    rmr_hash_wipe(&c->by_name);
    rmr_hash_wipe(&c->by_addr);
}

/* ---- coming and going ---------------------------------------------------- */

static void out_of_indexes(rmr_coord *c, crd_node *n)
{
    rmr_hash_del(&c->by_key, n->key, RMR_KEY_LEN);
    out_of_machine(c, n);
    rmr_hash_del(&c->by_name, n->given, strlen(n->given));
    rmr_hash_del(&c->by_addr, n->v4.ip, rmr_addr_ip_len(&n->v4));
    rmr_hash_del(&c->by_addr, n->v6.ip, rmr_addr_ip_len(&n->v6));
}

static rmr_err put_addr(rmr_coord *c, const rmr_addr *a, uint32_t slot)
{
    size_t len = rmr_addr_ip_len(a);
    return len ? rmr_hash_put(&c->by_addr, a->ip, len, slot) : RMR_OK;
}

static rmr_err into_indexes(rmr_coord *c, crd_node *n)
{
    rmr_err e = rmr_hash_put(&c->by_key, n->key, RMR_KEY_LEN, n->slot);
    if (e == RMR_OK)
        e = into_machine(c, n);
    if (e == RMR_OK)
        e = rmr_hash_put(&c->by_name, n->given, strlen(n->given), n->slot);
    if (e == RMR_OK)
        e = put_addr(c, &n->v4, n->slot);
    if (e == RMR_OK)
        e = put_addr(c, &n->v6, n->slot);
    return e;
}

/* Memory for one, with its slot. */
static rmr_err node_new(rmr_coord *c, crd_node **out)
{
    uint32_t slot;
    rmr_err e = rmri_crd_timers_room(c, 2);
    if (e == RMR_OK)
        e = free_slot(c, &slot);
    if (e != RMR_OK)
        return e;
    crd_node *n = rmr_alloc_zero(&c->env.alloc, sizeof *n, _Alignof(crd_node));
    if (!n)
        return RMR_E_NOMEM;
    n->slot = slot;
    n->row.kind = RMR_COORD_ROW_NODE;
    n->row.size = sizeof *n;
    *out = n;
    return RMR_OK;
}

/* Not in the table, and not stored. */
static void unmake(rmr_coord *c, crd_node *n)
{
    parts_free(c, n);
    rmr_release(&c->env.alloc, n, sizeof *n);
}

/* Into the table and its indexes, or, after an error so far, to its end. */
static rmr_err place(rmr_coord *c, crd_node *n, uint64_t id, rmr_err e)
{
    n->id = n->row.id = id;
    if (e == RMR_OK) {
        c->nodes[n->slot] = n; /* the indexes look there */
        e = into_indexes(c, n);
    }
    if (e != RMR_OK) {
        if (c->nodes[n->slot] == n)
            out_of_indexes(c, n);
        c->nodes[n->slot] = NULL;
        unmake(c, n);
        return e;
    }
    c->by_id[c->n_nodes++] = n; /* ids only grow */
    if (n->user)
        n->user->n_nodes++;
    return RMR_OK;
}

/* Out of the table and its indexes. */
static void unplace(rmr_coord *c, crd_node *n)
{
    size_t at = lower_bound(c, n->id);
    out_of_indexes(c, n);
    c->nodes[n->slot] = NULL;
    c->n_nodes--;
    memmove(c->by_id + at, c->by_id + at + 1,
            (c->n_nodes - at) * sizeof *c->by_id);
    if (n->user)
        n->user->n_nodes--;
}

/* By name, each once; \return how many. */
static size_t sort_tags(const char *out[RMR_COORD_MAX_TAGS],
                        const char *const *tags, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = kept;
        while (at && strcmp(out[at - 1], tags[i]) > 0)
            at--;
        if (at && strcmp(out[at - 1], tags[i]) == 0)
            continue;
        memmove(out + at + 1, out + at, (kept - at) * sizeof *out);
        out[at] = tags[i];
        kept++;
    }
    return kept;
}

/* The parts that may fail to be made. */
static rmr_err fill(rmr_coord *c, crd_node *n, const crd_birth *b)
{
    const char *tags[RMR_COORD_MAX_TAGS];
    size_t n_tags = sort_tags(tags, b->tags, b->n_tags);
    rmr_err e = rmri_crd_list_set(c, &n->tags, tags, n_tags);
    n->hostname = rmri_crd_text(c, b->hostname);
    n->os = rmri_crd_text(c, rmr_bytes_str(""));
    if (e != RMR_OK || !n->hostname || !n->os)
        return RMR_E_NOMEM;
    rmri_crd_label(n->given, b->hostname);
    rmri_crd_label_unique(c, n->given);
    return rmri_crd_addrs_take(c, &n->v4, &n->v6);
}

rmr_err rmri_crd_node_add(rmr_coord *c, const crd_birth *b, crd_node **out)
{
    crd_node *n;
    if (rmri_crd_node_by_key(c, b->key))
        return RMR_E_INUSE;
    rmr_err e = node_new(c, &n);
    if (e != RMR_OK)
        return e;
    n->user = b->user;
    n->ephemeral = b->ephemeral;
    n->key_id = b->key_id;
    n->created = n->last_seen = rmri_crd_wall(c);
    memcpy(n->machine, b->machine, RMR_KEY_LEN);
    memcpy(n->key, b->key, RMR_KEY_LEN);
    e = place(c, n, c->next_node, fill(c, n, b));
    if (e != RMR_OK)
        return e;
    e = rmri_crd_moved(c, n);
    if (e != RMR_OK) {
        unplace(c, n);
        unmake(c, n);
        return e;
    }
    c->next_node++;
    rmri_crd_node_set_expiry(c, n, b->expiry);
    rmri_crd_mark(c, &n->row, CRD_DIRTY);
    *out = n;
    return RMR_OK;
}

void rmri_crd_node_remove(rmr_coord *c, crd_node *n)
{
    while (n->streams)
        rmri_crd_stream_end(n->streams);
    rmri_crd_leaves(c, n);
    unplace(c, n);
    node_free(c, n);
}

/* ---- stored ones --------------------------------------------------------- */

static bool prefixes_are_good(const rmr_prefix *p, size_t n, size_t most)
{
    for (size_t i = 0; i < n && n <= most; i++) {
        unsigned bits = p[i].family == RMR_AF_INET    ? 32
                        : p[i].family == RMR_AF_INET6 ? 128
                                                      : 0;
        if (!bits || p[i].bits > bits)
            return false;
    }
    return n <= most;
}

static bool addr_is_free(const rmr_coord *c, const rmr_addr *a)
{
    uint64_t slot;
    return a->family == RMR_AF_NONE ||
           !rmr_hash_get(&c->by_addr, a->ip, rmr_addr_ip_len(a), &slot);
}

static bool row_is_good(const rmr_coord *c, const rmr_coord_row_node *r)
{
    bool tags = r->n_tags <= RMR_COORD_MAX_TAGS;
    for (size_t i = 0; tags && i < r->n_tags; i++)
        tags = rmri_crd_is_tag(rmr_bytes_str(r->tags[i]));
    return tags && (r->user ? rmri_crd_user(c, r->user) != NULL : r->n_tags) &&
           strlen(r->hostname) <= CRD_MAX_HOSTNAME && strlen(r->os) < 32 &&
           rmri_crd_is_label(rmr_bytes_str(r->given_name)) &&
           !rmri_crd_node_named(c, rmr_bytes_str(r->given_name)) &&
           !rmri_crd_node_by_key(c, r->node_key) && addr_is_free(c, &r->v4) &&
           addr_is_free(c, &r->v6) &&
           prefixes_are_good(r->announced, r->n_announced,
                             RMR_COORD_MAX_ROUTES) &&
           prefixes_are_good(r->approved, r->n_approved,
                             RMR_COORD_MAX_ROUTES + 1);
}

/* The parts that may fail to be made. */
static rmr_err fill_from(rmr_coord *c, crd_node *n, const rmr_coord_row_node *r)
{
    rmr_err e = rmri_crd_list_set(c, &n->tags, r->tags, r->n_tags);
    if (e == RMR_OK)
        e = rmri_crd_prefixes_set(c, &n->announced, &n->n_announced,
                                  r->announced, r->n_announced);
    if (e == RMR_OK)
        e = rmri_crd_prefixes_set(c, &n->approved, &n->n_approved, r->approved,
                                  r->n_approved);
    n->hostname = rmri_crd_text(c, rmr_bytes_str(r->hostname));
    n->os = rmri_crd_text(c, rmr_bytes_str(r->os));
    return e == RMR_OK && n->hostname && n->os ? RMR_OK : RMR_E_NOMEM;
}

/* Whether its key has expired is known with the time of day. */
rmr_err rmri_crd_node_load(rmr_coord *c, const rmr_coord_row *row)
{
    const rmr_coord_row_node *r = &row->as.node;
    crd_node *n;
    if (!row_is_good(c, r))
        return RMR_E_MALFORMED;
    rmr_err e = node_new(c, &n);
    if (e != RMR_OK)
        return e;
    n->user = rmri_crd_user(c, r->user);
    n->key_id = r->key;
    memcpy(n->machine, r->machine_key, RMR_KEY_LEN);
    memcpy(n->key, r->node_key, RMR_KEY_LEN);
    memcpy(n->disco, r->disco_key, RMR_KEY_LEN);
    memcpy(n->given, r->given_name, strlen(r->given_name));
    n->v4 = r->v4;
    n->v6 = r->v6;
    n->ephemeral = r->ephemeral;
    n->home_derp = r->home_derp;
    n->cap = r->capability;
    n->created = r->created_unix_ns;
    n->last_seen = r->last_seen_unix_ns;
    n->expiry = r->expiry_unix_ns;
    e = place(c, n, row->id, fill_from(c, n, r));
    if (e == RMR_OK)
        e = rmri_crd_policy_node(c, n);
    if (e == RMR_OK && n->ephemeral) /* unless it comes back */
        rmri_crd_timer_set(
            c, &n->presence, CRD_TIMER_PRESENCE, n,
            rmr_time_add(c->now, c->offline_grace + c->ephemeral_timeout));
    return e;
}

void rmri_crd_node_row(const crd_node *n, rmr_coord_row *row)
{
    rmr_coord_row_node *r = &row->as.node;
    r->user = n->user ? n->user->id : 0;
    r->key = n->key_id;
    memcpy(r->machine_key, n->machine, RMR_KEY_LEN);
    memcpy(r->node_key, n->key, RMR_KEY_LEN);
    memcpy(r->disco_key, n->disco, RMR_KEY_LEN);
    r->hostname = n->hostname;
    r->os = n->os;
    r->given_name = n->given;
    r->v4 = n->v4;
    r->v6 = n->v6;
    r->ephemeral = n->ephemeral;
    r->home_derp = n->home_derp;
    r->capability = n->cap;
    r->created_unix_ns = n->created;
    r->last_seen_unix_ns = n->last_seen;
    r->expiry_unix_ns = n->expiry;
    r->tags = (const char *const *)n->tags.p;
    r->n_tags = n->tags.n;
    r->announced = n->announced;
    r->n_announced = n->n_announced;
    r->approved = n->approved;
    r->n_approved = n->n_approved;
}

/* ---- changes ------------------------------------------------------------- */

rmr_err rmri_crd_node_set_key(rmr_coord *c, crd_node *n,
                              const uint8_t key[RMR_KEY_LEN])
{
    const crd_node *other = rmri_crd_node_by_key(c, key);
    if (other == n)
        return RMR_OK;
    if (other)
        return RMR_E_INUSE;
    rmr_err e = rmr_hash_put(&c->by_key, key, RMR_KEY_LEN, n->slot);
    if (e != RMR_OK)
        return e;
    rmr_hash_del(&c->by_key, n->key, RMR_KEY_LEN);
    memcpy(n->key, key, RMR_KEY_LEN);
    rmri_crd_mark(c, &n->row, CRD_DIRTY);
    rmri_crd_changed(c, n, CRD_WHOLE);
    return RMR_OK;
}

rmr_err rmri_crd_node_set_given(rmr_coord *c, crd_node *n, rmr_bytes label)
{
    rmr_err e = rmr_hash_put(&c->by_name, label.ptr, label.len, n->slot);
    if (e != RMR_OK)
        return e;
    rmr_hash_del(&c->by_name, n->given, strlen(n->given));
    memcpy(n->given, label.ptr, label.len);
    n->given[label.len] = '\0';
    rmri_crd_mark(c, &n->row, CRD_DIRTY);
    rmri_crd_changed(c, n, CRD_WHOLE);
    return RMR_OK;
}

/* Nothing here takes memory on the way back: what it needs was just freed. */
static rmr_err retag(rmr_coord *c, crd_node *n, crd_list *fresh)
{
    crd_list was = n->tags;
    out_of_machine(c, n); /* the index compares what the node is now */
    n->tags = *fresh;
    rmr_err e = into_machine(c, n);
    if (e == RMR_OK)
        e = rmri_crd_moved(c, n);
    if (e == RMR_OK) {
        *fresh = was;
        rmri_crd_routes_turn(c, n); /* rules with "via" go by tags */
        return RMR_OK;
    }
    out_of_machine(c, n);
    n->tags = was;
    (void)into_machine(c, n);
    return e;
}

rmr_err rmri_crd_node_tag(rmr_coord *c, crd_node *n, const char *const *tags,
                          size_t n_tags)
{
    const char *sorted[RMR_COORD_MAX_TAGS];
    crd_list fresh = {NULL, 0};
    size_t kept = sort_tags(sorted, tags, n_tags);
    rmr_err e = rmri_crd_list_set(c, &fresh, sorted, kept);
    if (e == RMR_OK)
        e = retag(c, n, &fresh);
    rmri_crd_list_free(c, &fresh);
    if (e != RMR_OK)
        return e;
    rmri_crd_mark(c, &n->row, CRD_DIRTY);
    if (n_tags) /* such nodes don't expire */
        rmri_crd_node_set_expiry(c, n, 0);
    return RMR_OK;
}

static void arm_expiry(rmr_coord *c, crd_node *n)
{
    n->expired = n->expiry && n->expiry <= rmri_crd_wall(c);
    rmri_crd_timer_set(c, &n->expires, CRD_TIMER_EXPIRY, n,
                       n->expired ? RMR_TIME_NEVER : rmri_crd_at(c, n->expiry));
}

uint64_t rmri_crd_expiry(const rmr_coord *c, uint64_t wanted)
{
    uint64_t most = c->node_expiry ? rmri_crd_wall(c) + c->node_expiry : 0;
    return wanted && (!most || wanted < most) ? wanted : most;
}

void rmri_crd_node_set_expiry(rmr_coord *c, crd_node *n, uint64_t at)
{
    if (n->expiry != at)
        rmri_crd_mark(c, &n->row, CRD_DIRTY);
    n->expiry = at;
    arm_expiry(c, n);
}

void rmri_crd_nodes_wall(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        crd_node *n = c->by_id[i];
        bool was = n->expired;
        arm_expiry(c, n);
        if (n->expired != was)
            rmri_crd_changed(c, n, CRD_WHOLE);
    }
}

/* A router that comes or goes may take routes from another, or leave them. */
static void set_online(rmr_coord *c, crd_node *n, bool is)
{
    bool router = rmri_crd_set_has(&c->routers, n->slot);
    n->online = is;
    rmri_crd_changed(c, n, router ? CRD_WHOLE : CRD_PATCH);
    rmri_crd_routes_turn(c, n);
}

void rmri_crd_node_presence(rmr_coord *c, crd_node *n)
{
    rmr_timers_cancel(&c->timers, &n->presence);
    n->last_seen = rmri_crd_wall(c);
    rmri_crd_mark(c, &n->row, CRD_LAZY);
    if (!n->streams) {
        rmri_crd_timer_set(c, &n->presence, CRD_TIMER_PRESENCE, n,
                           rmr_time_add(c->now, c->offline_grace));
    } else if (!n->online) {
        set_online(c, n, true);
    }
}

void rmri_crd_node_timer(rmr_coord *c, crd_node *n, uint32_t kind)
{
    if (kind == CRD_TIMER_EXPIRY) {
        arm_expiry(c, n);
        rmri_crd_changed(c, n, CRD_WHOLE);
    } else if (n->online) {
        set_online(c, n, false);
        if (n->ephemeral)
            rmri_crd_timer_set(c, &n->presence, CRD_TIMER_PRESENCE, n,
                               rmr_time_add(c->now, c->ephemeral_timeout));
    } else if (n->ephemeral) {
        rmri_crd_node_remove(c, n);
    }
}
