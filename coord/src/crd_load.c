/* What the store has, at the start.  A row that is none of ours (a node whose
 * user is missing, two with one name) ends it: to go on without would give
 * addresses and names to others. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct loader {
    rmr_coord *c;
    rmr_coord_row_kind kind; /* of the row before, and its id */
    uint64_t id;
} loader;

static rmr_err load_counters(rmr_coord *c, const rmr_coord_row *row)
{
    const rmr_coord_row_counters *k = &row->as.counters;
    c->store.counters = *k;
    c->next_user = k->next_user;
    c->next_key = k->next_key;
    c->next_api_key = k->next_api_key;
    c->next_node = k->next_node;
    c->last_v4 = k->last_v4;
    c->last_v6 = k->last_v6;
    return RMR_OK;
}

static rmr_err load_row(rmr_coord *c, const rmr_coord_row *row)
{
    switch (row->kind) {
    case RMR_COORD_ROW_COUNTERS:
        return load_counters(c, row);
    case RMR_COORD_ROW_USER:
        return rmri_crd_user_load(c, row);
    case RMR_COORD_ROW_KEY:
        return rmri_crd_key_load(c, row);
    case RMR_COORD_ROW_NODE:
        return rmri_crd_node_load(c, row);
    case RMR_COORD_ROW_POLICY:
        return rmri_crd_policy_load(c, row);
    case RMR_COORD_ROW_API_KEY:
        return rmri_crd_api_key_load(c, row);
    }
    return RMR_E_UNSUPPORTED;
}

/* Rows come in their order: what one names was there before it. */
static bool is_in_order(const loader *l, const rmr_coord_row *row)
{
    bool is_single = row->kind == RMR_COORD_ROW_COUNTERS ||
                     row->kind == RMR_COORD_ROW_POLICY;
    return row->kind > l->kind
               ? is_single == (row->id == 0)
               : row->kind == l->kind && !is_single && row->id > l->id;
}

static rmr_err take(void *ctx, const rmr_coord_row *row)
{
    static const char *const names[] = {
        "", "counters", "user", "pre-auth key", "API key", "node", "policy"};
    loader *l = ctx;
    rmr_err e = row->kind > RMR_COORD_ROW_KINDS || !is_in_order(l, row)
                    ? RMR_E_MALFORMED
                    : load_row(l->c, row);
    l->kind = row->kind;
    l->id = row->id;
    if (e != RMR_OK)
        rmr_logf(&l->c->env.log, RMR_LOG_ERROR, CRD_LAYER,
                 "the store: %s %llu can't be taken (%s)",
                 names[row->kind > RMR_COORD_ROW_KINDS ? 0 : row->kind],
                 (unsigned long long)row->id, rmr_err_name(e));
    return e;
}

/* Above what was given out, whatever the counters say. */
static void raise_to(uint64_t *next, uint64_t last)
{
    if (*next <= last)
        *next = last + 1;
}

rmr_err rmri_crd_load(rmr_coord *c)
{
    const rmr_coord_store *t = &c->store.table;
    loader l = {.c = c};
    if (!t->load)
        return RMR_OK;
    rmr_err e = t->load(t->user, take, &l);
    raise_to(&c->next_user, c->n_users ? c->users[c->n_users - 1]->id : 0);
    raise_to(&c->next_key, c->n_keys ? c->keys[c->n_keys - 1]->id : 0);
    raise_to(&c->next_node, c->n_nodes ? c->by_id[c->n_nodes - 1]->id : 0);
    raise_to(&c->next_api_key, rmri_crd_api_key_last(c));
    return e;
}
