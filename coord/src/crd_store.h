/* What is stored, and what waits for a commit. */
#ifndef REMORA_CRD_STORE_H
#define REMORA_CRD_STORE_H

#include "crd_base.h"

typedef enum crd_row_state {
    CRD_CLEAN, /* the store has it */
    CRD_LAZY,  /* ... but for what has time */
    CRD_DIRTY  /* it must have it before anybody hears of it */
} crd_row_state;

/* In front of each object that is stored.  What was removed stays, without
 * its parts, until the store has forgotten it, so that a removal needs no
 * memory. */
typedef struct crd_row {
    crd_link link; /* of store.dirty or store.lazy */
    uint64_t id;
    uint32_t size; /* of the object */
    uint8_t kind, state;
    bool gone;
} crd_row;

typedef struct crd_store {
    rmr_coord_store table; /* load NULL: there is none */
    crd_link dirty, lazy;  /* rings of crd_row */
    crd_link held, news;   /* of crd_rpc, of crd_node */
    rmr_time commit_at, lazy_at;
    rmr_coord_row_counters counters; /* that are stored */
    rmr_err err; /* of the last commit */
} crd_store;

/* Another state of it is to be stored. */
void rmri_crd_mark(rmr_coord *c, crd_row *o, crd_row_state how);
/* The end of an object whose parts were freed; its memory goes, now or
 * later. */
void rmri_crd_forget(rmr_coord *c, crd_row *o);
/* OK, or IO: the store fails, so that nothing may change now. */
rmr_err rmri_crd_may_change(const rmr_coord *c);
/* With as many of those that have time.  Errors: the store's. */
rmr_err rmri_crd_store_commit(rmr_coord *c, size_t n_lazy);
rmr_time rmri_crd_store_deadline(const rmr_coord *c);
void rmri_crd_store_handle_deadline(rmr_coord *c, rmr_time now);
/* Is there something that nobody may hear of yet? */
bool rmri_crd_store_holds(const rmr_coord *c);
/* The answer to that registration waits for the next commit. */
void rmri_crd_hold(crd_rpc *r, const crd_node *n);
/* That it joined is told behind it. */
void rmri_crd_news(rmr_coord *c, crd_node *n);
/* Errors: INVAL. */
rmr_err rmri_crd_store_init(rmr_coord *c, const rmr_coord_store *table);
void rmri_crd_store_free(rmr_coord *c);
rmr_err rmri_crd_load(rmr_coord *c);

#endif
