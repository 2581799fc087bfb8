/* What a change of a node means to the map streams: who must be told.  A
 * stream remembers which peers its client knows and of which something is to
 * be said; the frame is made when the connection can take it. */
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

/* ---- who sees whom ------------------------------------------------------- */

bool rmri_crd_sees(const rmr_coord *c, const crd_node *viewer,
                   const crd_node *n)
{
    if (viewer == n)
        return false;
    if (c->open)
        return true;
    return viewer->user == n->user && !rmri_crd_is_tagged(viewer) &&
           !rmri_crd_is_tagged(n);
}

/* ---- telling the streams ------------------------------------------------- */

static void broke(crd_stream *s)
{
    s->broken = true;
    rmri_crd_stream_stir(s);
}

static void mark(crd_stream *s, const crd_node *n, crd_what what)
{
    rmr_coord *c = s->rpc->conn->c;
    if (rmri_crd_set_add(c, &s->dirty, n->slot) != RMR_OK ||
        (what != CRD_PATCH &&
         rmri_crd_set_add(c, &s->whole, n->slot) != RMR_OK)) {
        broke(s);
        return;
    }
    s->any = true;
    rmri_crd_stream_stir(s);
}

static void add_gone(crd_stream *s, uint64_t id)
{
    rmr_coord *c = s->rpc->conn->c;
    if (s->n_gone == s->cap_gone) {
        size_t cap = s->cap_gone ? s->cap_gone * 2 : 4;
        uint64_t *p =
            rmr_alloc_zero(&c->env.alloc, cap * sizeof *p, _Alignof(uint64_t));
        if (!p) {
            broke(s);
            return;
        }
        if (s->n_gone)
            memcpy(p, s->gone, s->n_gone * sizeof *p);
        rmr_release(&c->env.alloc, s->gone, s->cap_gone * sizeof *p);
        s->gone = p;
        s->cap_gone = cap;
    }
    s->gone[s->n_gone++] = id;
    s->any = true;
    rmri_crd_stream_stir(s);
}

/* The client of that stream no longer has that peer. */
static void lose(crd_stream *s, const crd_node *n)
{
    if (!rmri_crd_set_has(&s->told, n->slot))
        return;
    rmri_crd_set_del(&s->told, n->slot);
    rmri_crd_set_del(&s->dirty, n->slot);
    rmri_crd_set_del(&s->whole, n->slot);
    add_gone(s, n->id);
}

static void self_too(crd_stream *s)
{
    s->self = s->any = true;
    rmri_crd_stream_stir(s);
}

static void look_at(crd_stream *s, const crd_node *n, crd_what what)
{
    const rmr_coord *c = s->rpc->conn->c;
    if (!s->began)
        return; /* its first frame says all */
    if (s->node == n) {
        if (what == CRD_PATCH)
            return; /* it said so itself */
        self_too(s);
        return;
    }
    if (!rmri_crd_sees(c, s->node, n)) {
        lose(s, n);
        return;
    }
    bool known = rmri_crd_set_has(&s->told, n->slot);
    mark(s, n, known ? what : CRD_WHOLE);
    /* Rules name addresses of nodes. */
    if (!c->open && (what == CRD_SELF || !known))
        self_too(s);
}

/* The node itself may see others now, or not any more. */
static void look_around(crd_stream *s)
{
    const rmr_coord *c = s->rpc->conn->c;
    for (size_t i = 0; s->began && i < c->n_nodes; i++) {
        const crd_node *n = c->by_id[i];
        bool sees = rmri_crd_sees(c, s->node, n);
        if (!sees)
            lose(s, n);
        else if (!rmri_crd_set_has(&s->told, n->slot))
            mark(s, n, CRD_WHOLE);
    }
}

void rmri_crd_changed(rmr_coord *c, crd_node *n, crd_what what)
{
    for (crd_stream *s = c->streams; s; s = s->next)
        look_at(s, n, what);
    for (crd_stream *s = n->streams; s && what == CRD_SELF; s = s->node_next)
        look_around(s);
}

rmr_err rmr_coord_set_derp_map(rmr_coord *c, rmr_bytes json)
{
    if (c->derp_map && rmr_bytes_eq(rmr_bytes_str(c->derp_map), json))
        return RMR_OK;
    rmr_err e = rmri_crd_derp_map_take(c, json);
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
    for (crd_stream *s = c->streams; s; s = s->next) {
        bool known = rmri_crd_set_has(&s->told, n->slot);
        /* The slot is another node's soon. */
        rmri_crd_set_del(&s->dirty, n->slot);
        rmri_crd_set_del(&s->whole, n->slot);
        lose(s, n);
        if (known && !c->open)
            self_too(s);
    }
}
