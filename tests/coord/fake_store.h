/* A store in memory that can fail, and what any store has as text. */
#ifndef REMORA_TESTS_FAKE_STORE_H
#define REMORA_TESTS_FAKE_STORE_H

#include <remora/coord_store.h>

#define FAKE_ROWS 256

typedef struct fake_row {
    rmr_coord_row row; /* its texts are copies */
    bool gone;         /* staged: to be deleted */
} fake_row;

typedef struct fake_store {
    fake_row rows[FAKE_ROWS], staged[FAKE_ROWS];
    size_t n_rows, n_staged;
    bool is_open; /* a transaction */
    unsigned calls, fail_at; /* that call fails, from 1; 0: none does */
    bool fails;              /* all do */
    unsigned commits;
    uint64_t most_rows; /* of one commit */
    void (*on_commit)(void);
    bool is_misused; /* put outside of a transaction, ... */
} fake_store;

rmr_coord_store fake_table(fake_store *f);
bool fake_has(const fake_store *f, rmr_coord_row_kind kind, uint64_t id);
/* Appends a row without a transaction. */
void fake_add(fake_store *f, const rmr_coord_row *row);
void fake_free(fake_store *f);
/* All rows, one a line; to be freed. */
char *store_text(const rmr_coord_store *t);

#endif
