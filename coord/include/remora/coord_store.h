/*
 * remora/coord_store.h - where a coordination server keeps what must last.
 *
 * A table of functions that the host gives by rmr_coord_config.store.  The
 * server keeps all in memory and reads the store once, in rmr_coord_new;
 * afterwards it writes alone: all changes of a turn in one transaction.  It is
 * no query language: a row is one object, whole.  store-sqlite is one such
 * store; without any, everything ends with the process.
 *
 * Source: none.
 * Threading: as the server.  The functions are synchronous: while one runs, the
 * server serves nobody.
 * Memory: rows are borrowed for the call, in both directions.
 *
 * What is promised
 *   - Who registers, logs out or is approved is answered after the commit that
 *     holds it; peers see a new node after it; RMR_COORD_EV_JOINED comes after
 *     it.  Functions of administration return at once: rmr_coord_commit, or the
 *     next turn (handle_deadline), makes the change last.
 *   - last_seen, and what clients say again when they come back (host name,
 *     disco key, relay, offered routes), is written with the next commit of
 *     that node, or a minute later.
 *   - A commit that fails: the change stays in memory and is written with the
 *     next try, a second later; who waits for it is told of the failure (and
 *     may ask again), RMR_COORD_EV_TROUBLE says why.  Until a try succeeds,
 *     what would change more is refused (RMR_E_IO), what reads goes on, map
 *     streams too.
 *
 *     static rmr_err begin(void *user) { ... }
 *     ...
 *     rmr_coord_store store = {sizeof store, &db, load, begin, put,
 *                              del, commit, rollback, why};
 *     cfg.store = &store;
 */
#ifndef REMORA_COORD_STORE_H
#define REMORA_COORD_STORE_H

#include <remora/coord.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers stay. */
typedef enum rmr_coord_row_kind {
    RMR_COORD_ROW_COUNTERS = 1, /* one row, id 0                             */
    RMR_COORD_ROW_USER = 2,
    RMR_COORD_ROW_KEY = 3,      /* pre-auth keys                             */
    RMR_COORD_ROW_API_KEY = 4,
    RMR_COORD_ROW_NODE = 5,
    RMR_COORD_ROW_POLICY = 6    /* one row, id 0                             */
} rmr_coord_row_kind;
#define RMR_COORD_ROW_KINDS 6

typedef struct rmr_coord_row_counters { /* ids are not given out twice */
    uint64_t next_user, next_key, next_api_key, next_node;
    uint64_t last_v4, last_v6; /* host parts of addresses, the last given out */
} rmr_coord_row_counters;

typedef struct rmr_coord_row_user {
    const char *name; /* no two have the same */
    const char *display, *email, *picture; /* for people; "": not said */
    uint64_t created_unix_ns;
} rmr_coord_row_user;

typedef struct rmr_coord_row_key {
    uint64_t user; /* of a row; 0: none */
    const char *prefix;
    uint8_t hash[RMR_HASH_LEN]; /* never the key itself */
    bool reusable, ephemeral, used;
    uint64_t expiry_unix_ns, created_unix_ns;
    const char *const *tags;
    size_t n_tags;
} rmr_coord_row_key;

typedef struct rmr_coord_row_api_key {
    const char *prefix;
    uint8_t hash[RMR_HASH_LEN];
    uint64_t expiry_unix_ns, created_unix_ns, last_seen_unix_ns;
} rmr_coord_row_api_key;

typedef struct rmr_coord_row_node {
    uint64_t user; /* of a row; 0: none, it has tags */
    uint64_t key;  /* the pre-auth key it came by, which may be gone; or 0 */
    uint8_t machine_key[RMR_KEY_LEN], node_key[RMR_KEY_LEN];
    uint8_t disco_key[RMR_KEY_LEN];
    const char *hostname, *os;
    const char *given_name; /* no two have the same */
    rmr_addr v4, v6;        /* family NONE: none; no two have the same */
    bool ephemeral;
    uint16_t home_derp, capability;
    uint64_t created_unix_ns, last_seen_unix_ns, expiry_unix_ns;
    const char *const *tags;
    size_t n_tags;
    const rmr_prefix *announced, *approved;
    size_t n_announced, n_approved;
} rmr_coord_row_node;

typedef struct rmr_coord_row_policy {
    rmr_bytes text; /* as it was given */
    uint64_t updated_unix_ns;
} rmr_coord_row_policy;

typedef struct rmr_coord_row {
    rmr_coord_row_kind kind;
    uint64_t id; /* of its kind */
    union {
        rmr_coord_row_counters counters;
        rmr_coord_row_user user;
        rmr_coord_row_key key;
        rmr_coord_row_api_key api_key;
        rmr_coord_row_node node;
        rmr_coord_row_policy policy;
    } as;
} rmr_coord_row;

/* What load calls for each row; its error ends the load and is returned. */
typedef rmr_err (*rmr_coord_row_sink)(void *ctx, const rmr_coord_row *row);

/* Between begin and commit or rollback come put and del alone.  Any error but
 * one of rollback's (it has none) is followed by rollback, which leaves what
 * the last commit left. */
struct rmr_coord_store {
    uint32_t struct_size;
    void *user; /* stays the host's, with what it points to; outlives the
                   server                                                    */
    /* All rows, by kinds in the order of their numbers, ids rising. */
    rmr_err (*load)(void *user, rmr_coord_row_sink sink, void *ctx);
    rmr_err (*begin)(void *user);
    /* A new row, or another state of one.  Within a transaction rows come in no
     * order that keeps users in front of their nodes or names free. */
    rmr_err (*put)(void *user, const rmr_coord_row *row);
    /* There may be no such row. */
    rmr_err (*del)(void *user, rmr_coord_row_kind kind, uint64_t id);
    /* OK: it is on the disk, for whatever happens to process and machine.
     * FULL: no room; IO: what else disks do. */
    rmr_err (*commit)(void *user);
    void (*rollback)(void *user);
    /* Words for the last error; may be NULL. */
    const char *(*why)(void *user);
};

#ifdef __cplusplus
}
#endif
#endif
