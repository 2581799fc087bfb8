/* Frames that are alike: of a change that many nodes are told, the frame is made
 * and compressed once.  What a frame says follows from what its stream's sets
 * say is due, from the user whose node it is, and from the nodes as they are; the
 * last one that was made is kept with the former, until a node is another. */
#include "crd_internal.h"

#include <string.h>

#define FRAME_MAX ((size_t)64 * 1024)
#define DUE_MAX ((size_t)16 * 1024)

/* ---- what is due --------------------------------------------------------- */

static bool add(rmr_coord *c, const void *p, size_t n)
{
    return rmri_crd_buf_add(c, &c->alike.due, rmr_bytes_of(p, n)) == RMR_OK;
}

/* With its length in front. */
static bool add_words(rmr_coord *c, const uint64_t *words, size_t n)
{
    uint64_t len = n;
    return add(c, &len, sizeof len) && add(c, words, n * sizeof *words);
}

static bool add_set(rmr_coord *c, const crd_set *s)
{
    size_t n = s->n_words;
    while (n && !s->words[n - 1])
        n--;
    return add_words(c, s->words, n);
}

/* Of a router each viewer gets what the policy lets it have. */
static bool is_own(const crd_stream *s)
{
    const rmr_coord *c = s->rpc->conn->c;
    return !s->began || s->self || s->has_filter || s->has_ssh ||
           (c->n_routers && rmri_crd_sets_meet(&s->whole, &c->routers));
}

static bool write_due(const crd_stream *s)
{
    rmr_coord *c = s->rpc->conn->c;
    bool profiles = !rmri_crd_set_is_empty(&s->whole);
    uint64_t how = (s->zstd ? 1 : 0) | (s->map ? 2 : 0);
    uint64_t front[4] = {c->changes, rmri_crd_wall(c) / RMR_MS, how,
                         profiles ? rmri_crd_user_shown(s->node) : 0};
    c->alike.due.len = 0;
    return !is_own(s) && add(c, front, sizeof front) && add_set(c, &s->dirty) &&
           add_set(c, &s->whole) && add_words(c, s->gone, s->n_gone) &&
           c->alike.due.len <= DUE_MAX;
}

/* ---- the last frame ------------------------------------------------------ */

bool rmri_crd_alike_find(const crd_stream *s, rmr_bytes *frame)
{
    crd_alike *a = &s->rpc->conn->c->alike;
    a->is_due = a->max && write_due(s);
    if (!a->is_due || !a->frame.len || a->due.len != a->of.len ||
        memcmp(a->due.p, a->of.p, a->of.len) != 0)
        return false;
    *frame = rmr_bytes_of(a->frame.p, a->frame.len);
    return true;
}

void rmri_crd_alike_keep(rmr_coord *c, rmr_bytes frame)
{
    crd_alike *a = &c->alike;
    if (!a->is_due || frame.len > a->max)
        return;
    crd_buf of = a->of;
    a->of = a->due;
    a->due = of;
    a->frame.len = 0;
    (void)rmri_crd_buf_add(c, &a->frame, frame); /* without: none is kept */
}

void rmri_crd_alike_init(rmr_coord *c)
{
    c->alike.max = FRAME_MAX;
}

void rmri_crd_alike_free(rmr_coord *c)
{
    rmri_crd_buf_free(c, &c->alike.due);
    rmri_crd_buf_free(c, &c->alike.of);
    rmri_crd_buf_free(c, &c->alike.frame);
}
