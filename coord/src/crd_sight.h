/* Who sees whom, and what a change means to those who do. */
#ifndef REMORA_CRD_SIGHT_H
#define REMORA_CRD_SIGHT_H

#include "crd_nodes.h"

typedef struct crd_set { /* of slots */
    uint64_t *words;
    size_t n_words;
} crd_set;

/* Errors: NOMEM. */
rmr_err rmri_crd_set_add(rmr_coord *c, crd_set *s, uint32_t slot);
static inline bool rmri_crd_set_has(const crd_set *s, uint32_t slot)
{
    return slot / 64 < s->n_words && (s->words[slot / 64] >> slot % 64 & 1);
}
static inline void rmri_crd_set_del(crd_set *s, uint32_t slot)
{
    if (slot / 64 < s->n_words)
        s->words[slot / 64] &= ~((uint64_t)1 << slot % 64);
}
void rmri_crd_set_free(rmr_coord *c, crd_set *s);
/* Is there a slot that both have? */
bool rmri_crd_sets_meet(const crd_set *a, const crd_set *b);
bool rmri_crd_set_is_empty(const crd_set *s);

typedef enum crd_what {
    CRD_PATCH, /* endpoints, home, online, keys: what a patch can say */
    CRD_WHOLE  /* anything else of the node                           */
} crd_what;
/* A node changed, in nothing that a policy asks for: its peers are told. */
void rmri_crd_changed(rmr_coord *c, crd_node *n, crd_what what);
/* A node is new, or has other tags or routes: the policy learns of it, and who
 * sees it now or saw it.  Errors: NOMEM; nobody heard of it then. */
rmr_err rmri_crd_moved(rmr_coord *c, crd_node *n);
/* It is about to go. */
void rmri_crd_leaves(rmr_coord *c, crd_node *n);
/* What that node may see may be another, or what all may: each stream finds out
 * when its next frame is made. */
void rmri_crd_look(const crd_node *n);
void rmri_crd_look_all(rmr_coord *c);

/* What a frame of this stream is to say of the policy, before it is made: the
 * marks of `look` and `rules` become others.  Errors: NOMEM. */
rmr_err rmri_crd_sight(crd_stream *s);
/* Behind it; routes: those of peers that the client has may be others now. */
void rmri_crd_sight_done(crd_stream *s, bool routes);
/* Peers that are lost or said, on a stream whose frame is made.  Errors:
 * NOMEM. */
rmr_err rmri_crd_lose(crd_stream *s, const crd_node *n);
rmr_err rmri_crd_say(crd_stream *s, const crd_node *n, crd_what what);

#endif
