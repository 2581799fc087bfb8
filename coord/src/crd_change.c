/* What a change of a node means to the map streams: who must be told.  A
 * stream remembers which peers its client knows and of which something is to
 * be said; the frame is made when the connection can take it.  Whose peer a
 * node is, the policy knows, so that a change costs by the node's peers and not
 * by the streams. */
#include "crd_internal.h"

#include <string.h>

/* ---- sets of slots ------------------------------------------------------- */

static rmr_err set_grow(rmr_coord *c, crd_set *s, size_t words)
{
    size_t cap = s->n_words ? s->n_words : 4;
    while (cap < words)
        cap *= 2;
    uint64_t *p =
        rmr_alloc_zero(&c->env.alloc, cap * sizeof *p, _Alignof(uint64_t));
    if (!p)
        return RMR_E_NOMEM;
    if (s->n_words)
        memcpy(p, s->words, s->n_words * sizeof *p);
    rmr_release(&c->env.alloc, s->words, s->n_words * sizeof *p);
    s->words = p;
    s->n_words = cap;
    return RMR_OK;
}

rmr_err rmri_crd_set_add(rmr_coord *c, crd_set *s, uint32_t slot)
{
    size_t word = slot / 64;
    if (word >= s->n_words && set_grow(c, s, word + 1) != RMR_OK)
        return RMR_E_NOMEM;
    s->words[word] |= (uint64_t)1 << slot % 64;
    return RMR_OK;
}

void rmri_crd_set_free(rmr_coord *c, crd_set *s)
{
    rmr_release(&c->env.alloc, s->words, s->n_words * sizeof *s->words);
    memset(s, 0, sizeof *s);
}

bool rmri_crd_sets_meet(const crd_set *a, const crd_set *b)
{
    for (size_t i = 0; i < a->n_words && i < b->n_words; i++) {
        if (a->words[i] & b->words[i])
            return true;
    }
    return false;
}

bool rmri_crd_set_is_empty(const crd_set *s)
{
    for (size_t i = 0; i < s->n_words; i++) {
        if (s->words[i])
            return false;
    }
    return true;
}

/* ---- one stream ---------------------------------------------------------- */

static void broke(crd_stream *s)
{
    s->broken = true;
    rmri_crd_stream_stir(s);
}

rmr_err rmri_crd_say(crd_stream *s, const crd_node *n, crd_what what)
{
    rmr_coord *c = s->rpc->conn->c;
    bool known = rmri_crd_set_has(&s->told, n->slot);
    rmr_err e = rmri_crd_set_add(c, &s->dirty, n->slot);
    if (e == RMR_OK && (what != CRD_PATCH || !known))
        e = rmri_crd_set_add(c, &s->whole, n->slot);
    s->any = true;
    return e;
}

static rmr_err add_gone(crd_stream *s, uint64_t id)
{
    uint64_t *p = rmri_crd_room(s->rpc->conn->c, s->gone, s->n_gone,
                                &s->cap_gone, sizeof *p);
    if (!p)
        return RMR_E_NOMEM;
    s->gone = p;
    s->gone[s->n_gone++] = id;
    s->any = true;
    return RMR_OK;
}

/* What was to be said of it is not any more, even if it was not yet known. */
rmr_err rmri_crd_lose(crd_stream *s, const crd_node *n)
{
    rmri_crd_set_del(&s->dirty, n->slot);
    rmri_crd_set_del(&s->whole, n->slot);
    if (!rmri_crd_set_has(&s->told, n->slot))
        return RMR_OK;
    rmri_crd_set_del(&s->told, n->slot);
    return add_gone(s, n->id);
}

/* ---- telling the streams ------------------------------------------------- */

typedef struct news {
    rmr_coord *c;
    const crd_node *n;
    crd_what what;
    bool moved; /* rules name its addresses */
} news;

static void tell(const news *x, crd_stream *s)
{
    if (!s->began)
        return; /* its first frame says all */
    if (rmri_crd_say(s, x->n, x->what) != RMR_OK) {
        broke(s);
        return;
    }
    s->rules |= x->moved;
    rmri_crd_stream_stir(s);
}

static bool tell_peer(void *user, void *own)
{
    const news *x = user;
    crd_node *peer = own;
    peer->walk = x->c->walk;
    for (crd_stream *s = peer->streams; s; s = s->node_next)
        tell(x, s);
    return true;
}

/* There is no memory to find out whose peer it is: whoever knows it. */
static void tell_all(const news *x)
{
    for (crd_stream *s = x->c->streams; s; s = s->next) {
        if (s->node != x->n && rmri_crd_set_has(&s->told, x->n->slot))
            tell(x, s);
    }
}

/* Whose next frame looks who sees whom: before it that may be as it was, so
 * that what its client knows of the node counts, be it a peer now or not. */
static void tell_lookers(const news *x)
{
    rmr_coord *c = x->c;
    if (!c->looking)
        return;
    c->looking = false;
    for (crd_stream *s = c->streams; s; s = s->next) {
        c->looking |= s->look;
        if (s->look && s->node != x->n && s->node->walk != c->walk &&
            rmri_crd_set_has(&s->told, x->n->slot))
            tell(x, s);
    }
}

static void self_too(const crd_node *n, bool look)
{
    for (crd_stream *s = n->streams; s; s = s->node_next) {
        if (!s->began)
            continue;
        s->self = s->any = true;
        s->look |= look;
        s->rpc->conn->c->looking |= look;
        rmri_crd_stream_stir(s);
    }
}

static bool tell_peers(news *x)
{
    x->c->walk++;
    return rmr_pol_walk_peers(x->c->policy.net, x->n->id, tell_peer, x) ==
           RMR_OK;
}

void rmri_crd_changed(rmr_coord *c, crd_node *n, crd_what what)
{
    news x = {.c = c, .n = n, .what = what};
    c->changes++;
    if (!c->streams)
        return;
    if (tell_peers(&x))
        tell_lookers(&x);
    else
        tell_all(&x);
    if (what != CRD_PATCH) /* the rest it said itself */
        self_too(n, false);
}

static void look(crd_stream *s)
{
    if (!s->began)
        return;
    s->look = s->any = s->rpc->conn->c->looking = true;
    rmri_crd_stream_stir(s);
}

void rmri_crd_look(const crd_node *n)
{
    for (crd_stream *s = n->streams; s; s = s->node_next)
        look(s);
}

void rmri_crd_look_all(rmr_coord *c)
{
    for (crd_stream *s = c->streams; s; s = s->next)
        look(s);
}

/* ---- who sees whom ------------------------------------------------------- */

typedef struct list { /* in c->near */
    rmr_coord *c;
    size_t n;
} list;

static bool add_peer(void *user, void *own)
{
    list *l = user;
    const crd_node *peer = own;
    if (peer->streams)
        l->c->near[l->n++] = peer->slot;
    return true;
}

/* False: there is no memory to find out. */
static bool list_peers(list *l, const crd_node *n)
{
    rmr_err e = rmr_pol_walk_peers(l->c->policy.net, n->id, add_peer, l);
    return e == RMR_OK || e == RMR_E_NOTFOUND; /* it is new */
}

static void lose_at(const crd_node *peer, const crd_node *n)
{
    for (crd_stream *s = peer->streams; s; s = s->node_next) {
        if (!s->began)
            continue;
        s->rules = s->any = true;
        if (rmri_crd_lose(s, n) != RMR_OK)
            broke(s);
        else
            rmri_crd_stream_stir(s);
    }
}

/* Those who saw it and do not any more. */
static void lose_others(const list *l, const crd_node *n)
{
    for (size_t i = 0; i < l->n; i++) {
        const crd_node *peer = l->c->nodes[l->c->near[i]];
        if (peer->walk != l->c->walk)
            lose_at(peer, n);
    }
}

/* Where a router serves addresses of nodes, what a node is may be what a rule
 * says of that router and a third. */
static void look_inside(rmr_coord *c)
{
    if (c->n_inside)
        rmri_crd_look_all(c);
}

/* Whom it does not concern need not be asked: rmr_pol_net_put_node. */
rmr_err rmri_crd_moved(rmr_coord *c, crd_node *n)
{
    news x = {.c = c, .n = n, .what = CRD_WHOLE, .moved = true};
    list before = {.c = c};
    bool listed = c->streams && list_peers(&before, n);
    c->changes++;
    rmr_err e = rmri_crd_policy_node(c, n);
    if (e != RMR_OK || !c->streams)
        return e;
    if (listed && tell_peers(&x)) {
        lose_others(&before, n);
        tell_lookers(&x);
    } else {
        tell_all(&x);
        rmri_crd_look_all(c);
    }
    self_too(n, true);
    look_inside(c);
    return RMR_OK;
}

rmr_err rmr_coord_set_derp_map(rmr_coord *c, rmr_bytes json)
{
    if (c->derp_map && rmr_bytes_eq(rmr_bytes_str(c->derp_map), json))
        return RMR_OK;
    rmr_err e = rmri_crd_derp_map_take(c, json);
    c->changes++;
    for (crd_stream *s = c->streams; s && e == RMR_OK; s = s->next) {
        if (!s->began)
            continue; /* its first frame says all */
        s->map = s->any = true;
        rmri_crd_stream_stir(s);
    }
    return e;
}

void rmri_crd_leaves(rmr_coord *c, crd_node *n)
{
    rmri_crd_routes_turn(c, n);
    c->changes++;
    for (crd_stream *s = c->streams; s; s = s->next) {
        bool known = rmri_crd_set_has(&s->told, n->slot) ||
                     rmri_crd_set_has(&s->whole, n->slot);
        /* The slot is another node's soon. */
        if (rmri_crd_lose(s, n) != RMR_OK) {
            broke(s);
        } else if (known) {
            s->rules = s->any = true;
            rmri_crd_stream_stir(s);
        }
    }
    (void)rmr_pol_net_del_node(c->policy.net, n->id);
    look_inside(c);
    c->n_inside -= n->inside;
    if (rmri_crd_set_has(&c->routers, n->slot))
        c->n_routers--;
    rmri_crd_set_del(&c->routers, n->slot);
}
