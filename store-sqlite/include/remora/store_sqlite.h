/*
 * remora/store_sqlite.h - a coordination server's store in a file of SQLite.
 *
 * What remora/coord_store.h wants, on disk: a write-ahead log, one fsync(2) a
 * commit (synchronous=FULL), foreign keys, numbered migrations.  One process
 * has the file open at a time.  The file is of mode 0600: in it are hashes of
 * keys, and who is who.
 *
 * Source: https://sqlite.org/wal.html, pragma.html, lockingv3.html.
 * Threading: one store, one thread.  Time: none is read.
 * Memory: SQLite's own, from malloc(3).
 *
 *     char why[RMR_STORE_SQLITE_WHY];
 *     rmr_store_sqlite_config c;
 *     rmr_store_sqlite_config_init(&c, sizeof c);
 *     c.path = "/var/lib/remora/coordinator.db";
 *     if (rmr_store_sqlite_open(&db, &c, why)) fail(why);
 *     rmr_coord_store store = rmr_store_sqlite_table(db);
 *     cfg.store = &store;
 *     ...
 *     rmr_coord_free(coord);
 *     rmr_store_sqlite_close(db);
 */
#ifndef REMORA_STORE_SQLITE_H
#define REMORA_STORE_SQLITE_H

#include <remora/coord_store.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_STORE_SQLITE_WHY 256
/* Of the tables.  A file with a higher number is refused. */
#define RMR_STORE_SQLITE_SCHEMA 1

typedef struct rmr_store_sqlite rmr_store_sqlite;

typedef struct rmr_store_sqlite_config {
    uint32_t struct_size;
    const char *path;   /* made where it is missing; its folder is not       */
    uint64_t max_bytes; /* of the file, without its log; 0: as the disk has.
                           Beyond, commits fail with FULL                    */
    bool check;         /* reads all of it first: PRAGMA integrity_check     */
} rmr_store_sqlite_config;

/** Sets every field to its default.
 *  Effects: on *cfg.  Errors: none.  Source: contract, sized structs. */
RMR_API void rmr_store_sqlite_config_init(rmr_store_sqlite_config *cfg,
                                          size_t struct_size);
/** Opens or makes the file, locks it, brings its tables to this version.
 *
 *  \param why  Gets the reason of an error, for people.
 *
 *  Effects: files PATH and PATH-wal.  What a process that was killed left in
 *  the log counts, as far as it was committed.
 *  Errors: INVAL (no path), NOTFOUND (the folder), DENIED (no right to it; a
 *  file or folder that others may write or the file others may read; a link, a
 *  device), INUSE (another process has it), MALFORMED (no database, damaged, or
 *  another program's), UNSUPPORTED (written by a newer remora), FULL, IO,
 *  NOMEM.
 *  Lifetime: *out until close; the configuration is not kept.
 *  Source: as above. */
RMR_API rmr_err rmr_store_sqlite_open(rmr_store_sqlite **out,
                                      const rmr_store_sqlite_config *cfg,
                                      char why[RMR_STORE_SQLITE_WHY]);
/** What rmr_coord_config.store takes.
 *  Effects: none.  Errors: none.  Lifetime: until close.
 *  Source: remora/coord_store.h. */
RMR_API rmr_coord_store rmr_store_sqlite_table(rmr_store_sqlite *s);
/** Moves the log into the file and closes; behind rmr_coord_free.  NULL is
 *  allowed.
 *  Effects: as said; a transaction that is open is rolled back.
 *  Errors: none: what was committed is kept in any case.  Source: none. */
RMR_API void rmr_store_sqlite_close(rmr_store_sqlite *s);

#ifdef __cplusplus
}
#endif
#endif
