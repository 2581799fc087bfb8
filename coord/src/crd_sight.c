/* What a stream's client may see, and what it is told of the policy: worked off
 * when its next frame is made, so that a new policy costs each stream one walk,
 * and whom it does not concern gets no frame.  What the client has is remembered
 * by hashes: its filter, its SSH policy, its attributes, the routes of its
 * peers. */
#include "crd_internal.h"

#include <string.h>

#define RULES_MIN ((size_t)4 * 1024)
#define RULES_KEPT ((size_t)256 * 1024) /* between two frames */
#define RULES_MAX ((size_t)64 * 1024 * 1024)

/* A node without SSH rules is told so only after it had some. */
#define NO_SSH "{\"rules\":[]}"

/* ---- peers --------------------------------------------------------------- */

typedef struct peers {
    rmr_coord *c;
    crd_set *set;
    bool failed;
} peers;

static bool add(void *user, void *own)
{
    peers *p = user;
    const crd_node *n = own;
    p->failed = rmri_crd_set_add(p->c, p->set, n->slot) != RMR_OK;
    return !p->failed;
}

static rmr_err peers_of(const crd_stream *s, crd_set *set)
{
    peers p = {s->rpc->conn->c, set, false};
    rmr_err e = rmr_pol_walk_peers(p.c->policy.net, s->node->id, add, &p);
    return e == RMR_OK && p.failed ? RMR_E_NOMEM : e;
}

static uint64_t word(const crd_set *s, size_t i)
{
    return i < s->n_words ? s->words[i] : 0;
}

/* Those of one word of the sets. */
static rmr_err compare_word(crd_stream *s, const crd_set *sees, size_t i)
{
    const rmr_coord *c = s->rpc->conn->c;
    uint64_t known = word(&s->told, i) | word(&s->whole, i);
    rmr_err e = RMR_OK;
    for (uint64_t w = known ^ word(sees, i); w && e == RMR_OK; w &= w - 1) {
        size_t slot = i * 64 + (size_t)__builtin_ctzll(w);
        const crd_node *n = slot < c->n_slots ? c->nodes[slot] : NULL;
        if (n && rmri_crd_set_has(sees, n->slot))
            e = rmri_crd_say(s, n, CRD_WHOLE);
        else if (n)
            e = rmri_crd_lose(s, n);
    }
    return e;
}

static rmr_err look_around(crd_stream *s)
{
    crd_set sees = {NULL, 0};
    rmr_coord *c = s->rpc->conn->c;
    rmr_err e = peers_of(s, &sees);
    size_t n = sees.n_words;
    n = s->told.n_words > n ? s->told.n_words : n;
    n = s->whole.n_words > n ? s->whole.n_words : n;
    for (size_t i = 0; i < n && e == RMR_OK; i++)
        e = compare_word(s, &sees, i);
    rmri_crd_set_free(c, &sees);
    return e;
}

/* ---- routes of peers ----------------------------------------------------- */

/* Calls fn for each router that the client knows. */
static rmr_err each_router(crd_stream *s,
                           rmr_err (*fn)(crd_stream *s, const crd_node *n,
                                         uint64_t *sum),
                           uint64_t *sum)
{
    const rmr_coord *c = s->rpc->conn->c;
    rmr_err e = RMR_OK;
    for (size_t i = 0; c->n_routers && i < c->routers.n_words; i++) {
        uint64_t w = word(&c->routers, i) & word(&s->told, i);
        for (; w && e == RMR_OK; w &= w - 1)
            e = fn(s, c->nodes[i * 64 + (size_t)__builtin_ctzll(w)], sum);
    }
    return e;
}

static rmr_err add_routes(crd_stream *s, const crd_node *n, uint64_t *sum)
{
    *sum += rmri_crd_routes_hash(s->rpc->conn->c, s->node, n);
    return RMR_OK;
}

static rmr_err say_router(crd_stream *s, const crd_node *n, uint64_t *sum)
{
    (void)sum;
    return rmri_crd_say(s, n, CRD_WHOLE);
}

static rmr_err compare_routes(crd_stream *s)
{
    uint64_t sum = 0;
    (void)each_router(s, add_routes, &sum);
    return sum == s->routes ? RMR_OK : each_router(s, say_router, NULL);
}

/* ---- rules --------------------------------------------------------------- */

static rmr_err grow(rmr_coord *c, size_t keep)
{
    crd_rules *r = &c->rules;
    size_t cap = r->cap ? r->cap * 2 : RULES_MIN;
    if (cap > RULES_MAX)
        return RMR_E_TOOBIG;
    uint8_t *p = rmr_alloc_zero(&c->env.alloc, cap, 1);
    if (!p)
        return RMR_E_NOMEM;
    if (keep)
        memcpy(p, r->p, keep);
    rmr_release(&c->env.alloc, r->p, r->cap);
    r->p = p;
    r->cap = cap;
    return RMR_OK;
}

static rmr_err write_filter(const rmr_coord *c, const crd_node *n, rmr_jw *w)
{
    return rmr_pol_write_filter(c->policy.net, n->id, w);
}

static rmr_err write_ssh(const rmr_coord *c, const crd_node *n, rmr_jw *w)
{
    return rmr_pol_write_ssh(c->policy.net, n->id, rmr_bytes_str(c->server_url),
                             w);
}

/* Behind what stands in c->rules already, which grows as it must. */
static rmr_err write(rmr_coord *c, const crd_node *n, size_t at,
                     rmr_err (*fn)(const rmr_coord *c, const crd_node *n,
                                   rmr_jw *w),
                     size_t *len)
{
    rmr_err e = c->rules.cap ? RMR_OK : grow(c, 0);
    while (e == RMR_OK) {
        rmr_jw w;
        rmr_jw_init(&w, rmr_buf_of(c->rules.p + at, c->rules.cap - at));
        e = fn(c, n, &w);
        if (e == RMR_OK)
            e = rmr_jw_end(&w, len);
        if (e != RMR_E_BUFSIZE)
            break;
        e = grow(c, at);
    }
    return e;
}

static uint64_t hash_of(const rmr_coord *c, rmr_bytes text)
{
    return rmr_siphash13(&c->by_key.key, text.ptr, text.len);
}

typedef struct attrs {
    const rmr_coord *c;
    uint64_t hash;
} attrs;

static bool add_attr(void *user, rmr_bytes name)
{
    attrs *a = user;
    uint64_t both[2] = {a->hash, hash_of(a->c, name)};
    a->hash = hash_of(a->c, rmr_bytes_of(both, sizeof both));
    return true;
}

static rmr_err compare_attrs(crd_stream *s)
{
    attrs a = {s->rpc->conn->c, 0};
    rmr_err e = rmr_pol_each_attr(a.c->policy.net, s->node->id, add_attr, &a);
    if (e == RMR_OK && a.hash != s->attrs) {
        s->attrs = a.hash;
        s->self = true;
    }
    return e;
}

static rmr_err compare_rules(crd_stream *s)
{
    rmr_coord *c = s->rpc->conn->c;
    size_t filter = 0, ssh = 0;
    rmr_err e = write(c, s->node, 0, write_filter, &filter);
    if (e == RMR_OK)
        e = write(c, s->node, filter, write_ssh, &ssh);
    if (e != RMR_OK)
        return e;
    c->rules.filter = rmr_bytes_of(c->rules.p, filter);
    c->rules.ssh = rmr_bytes_of(c->rules.p + filter, ssh);
    uint64_t h = hash_of(c, c->rules.filter);
    s->has_filter = !s->began || h != s->filter;
    s->filter = h;
    h = rmr_bytes_eq_str(c->rules.ssh, NO_SSH) ? 0 : hash_of(c, c->rules.ssh);
    s->has_ssh = h != s->ssh;
    s->ssh = h;
    return compare_attrs(s);
}

/* ---- a frame ------------------------------------------------------------- */

rmr_err rmri_crd_sight(crd_stream *s)
{
    rmr_err e = RMR_OK;
    bool rules = !s->began || s->rules || s->look;
    if (!s->began)
        e = peers_of(s, &s->told);
    else if (s->look)
        e = look_around(s);
    if (e == RMR_OK && s->began && s->look)
        e = compare_routes(s);
    if (e == RMR_OK && rules)
        e = compare_rules(s);
    return e;
}

void rmri_crd_sight_done(crd_stream *s, bool routes)
{
    rmr_coord *c = s->rpc->conn->c;
    s->rules = s->look = s->has_filter = s->has_ssh = false;
    if (routes) {
        s->routes = 0;
        (void)each_router(s, add_routes, &s->routes);
    }
    if (c->rules.cap > RULES_KEPT) {
        rmr_release(&c->env.alloc, c->rules.p, c->rules.cap);
        c->rules.p = NULL;
        c->rules.cap = 0;
    }
}
