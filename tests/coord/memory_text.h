/* What a server holds, as the rows that it would store. */
#ifndef REMORA_TESTS_MEMORY_TEXT_H
#define REMORA_TESTS_MEMORY_TEXT_H

#include "crd_internal.h"
#include "fake_store.h"

static inline rmr_err memory_load(void *user, rmr_coord_row_sink sink,
                                  void *ctx)
{
    const rmr_coord *c = user;
    rmr_coord_row row = {.kind = RMR_COORD_ROW_COUNTERS};
    rmr_coord_row_counters k = {c->next_user, c->next_key,
                                c->next_api_key, c->next_node,
                                c->last_v4, c->last_v6};
    row.as.counters = k;
    rmr_err e = sink(ctx, &row);
    for (size_t i = 0; e == RMR_OK && i < c->n_users; i++) {
        row = (rmr_coord_row){RMR_COORD_ROW_USER, c->users[i]->id, {k}};
        rmri_crd_user_row(c->users[i], &row);
        e = sink(ctx, &row);
    }
    for (size_t i = 0; e == RMR_OK && i < c->n_keys; i++) {
        row = (rmr_coord_row){RMR_COORD_ROW_KEY, c->keys[i]->id, {k}};
        rmri_crd_key_row(c->keys[i], &row);
        e = sink(ctx, &row);
    }
    for (size_t i = 0; e == RMR_OK && i < c->n_nodes; i++) {
        row = (rmr_coord_row){RMR_COORD_ROW_NODE, c->by_id[i]->id, {k}};
        rmri_crd_node_row(c->by_id[i], &row);
        e = sink(ctx, &row);
    }
    row = (rmr_coord_row){RMR_COORD_ROW_POLICY, 0, {k}};
    if (e == RMR_OK && c->policy.text) {
        rmri_crd_policy_row(&c->policy, &row);
        e = sink(ctx, &row);
    }
    return e;
}

/* To be freed. */
static inline char *memory_text(rmr_coord *c)
{
    rmr_coord_store t = {.struct_size = sizeof t, .user = c,
                         .load = memory_load};
    return store_text(&t);
}

#endif
