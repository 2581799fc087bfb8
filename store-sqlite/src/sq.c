/* The store's life; begin, commit, rollback. */
#include "sq_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX (16 << 20) /* bytes of the log that stay when it was moved */

/* ---- words and codes ----------------------------------------------------- */

void rmri_sq_say(rmr_store_sqlite *s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(s->why, sizeof s->why, format, ap);
    va_end(ap);
}

static rmr_err of_code(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return RMR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return RMR_E_INUSE;
    case SQLITE_FULL:
        return RMR_E_FULL;
    case SQLITE_NOMEM:
        return RMR_E_NOMEM;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return RMR_E_MALFORMED;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return RMR_E_DENIED;
    default:
        return RMR_E_IO;
    }
}

rmr_err rmri_sq_err(rmr_store_sqlite *s, int code)
{
    rmr_err e = of_code(code);
    if (e == RMR_E_INUSE)
        rmri_sq_say(s, "another process has it open");
    else if (e != RMR_OK)
        rmri_sq_say(s, "%s (%d)", sqlite3_errmsg(s->db),
                    sqlite3_extended_errcode(s->db));
    return e;
}

rmr_err rmri_sq_exec(rmr_store_sqlite *s, const char *sql)
{
    return rmri_sq_err(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

rmr_err rmri_sq_int(rmr_store_sqlite *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    rmr_err e = rmri_sq_err(s, sqlite3_prepare_v2(s->db, sql, -1, &q, NULL));
    *out = 0;
    if (e != RMR_OK)
        return e;
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    e = rmri_sq_err(s, code);
    (void)sqlite3_finalize(q);
    return e;
}

/* ---- transactions -------------------------------------------------------- */

static rmr_err run(rmr_store_sqlite *s, sqlite3_stmt *q)
{
    rmr_err e = rmri_sq_err(s, sqlite3_step(q));
    (void)sqlite3_reset(q);
    return e;
}

static rmr_err begin(void *user)
{
    rmr_store_sqlite *s = user;
    return run(s, s->begin);
}

static rmr_err commit(void *user)
{
    rmr_store_sqlite *s = user;
    return run(s, s->commit);
}

/* After some errors SQLite has done so itself. */
static void rollback(void *user)
{
    rmr_store_sqlite *s = user;
    if (sqlite3_get_autocommit(s->db))
        return;
    (void)sqlite3_step(s->rollback);
    (void)sqlite3_reset(s->rollback);
}

static const char *why(void *user)
{
    const rmr_store_sqlite *s = user;
    return s->why;
}

/* ---- life ---------------------------------------------------------------- */

void rmr_store_sqlite_config_init(rmr_store_sqlite_config *cfg,
                                  size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

/* One writer, who keeps the lock: the log's index lies in memory, and no other
 * process reads while this one lives. */
static rmr_err set_up(rmr_store_sqlite *s, uint64_t max_bytes)
{
    char text[256];
    int64_t page = 0;
    rmr_err e = rmri_sq_exec(s, "PRAGMA locking_mode = EXCLUSIVE;"
                                "PRAGMA trusted_schema = OFF;"
                                "PRAGMA cell_size_check = ON;"
                                "PRAGMA journal_mode = WAL;"
                                "PRAGMA synchronous = FULL;"
                                "PRAGMA foreign_keys = ON;"
                                "BEGIN EXCLUSIVE; COMMIT");
    if (e == RMR_OK)
        e = rmri_sq_int(s, "PRAGMA page_size", &page);
    if (e != RMR_OK || page <= 0)
        return e;
    (void)snprintf(text, sizeof text, "PRAGMA journal_size_limit = %d",
                   LOG_MAX);
    e = rmri_sq_exec(s, text);
    if (e != RMR_OK || !max_bytes)
        return e;
    (void)snprintf(text, sizeof text, "PRAGMA max_page_count = %llu",
                   (unsigned long long)(max_bytes / (uint64_t)page + 1));
    return rmri_sq_exec(s, text);
}

static rmr_err is_wal(rmr_store_sqlite *s)
{
    sqlite3_stmt *q = NULL;
    rmr_err e = rmri_sq_err(
        s, sqlite3_prepare_v2(s->db, "PRAGMA journal_mode", -1, &q, NULL));
    if (e == RMR_OK)
        e = rmri_sq_err(s, sqlite3_step(q));
    const char *mode =
        e == RMR_OK ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (e == RMR_OK && (!mode || strcmp(mode, "wal") != 0)) {
        rmri_sq_say(s, "the file system has no write-ahead log");
        e = RMR_E_IO;
    }
    (void)sqlite3_finalize(q);
    return e;
}

static rmr_err check(rmr_store_sqlite *s)
{
    sqlite3_stmt *q = NULL;
    rmr_err e =
        rmri_sq_err(s, sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)",
                                          -1, &q, NULL));
    if (e == RMR_OK)
        e = rmri_sq_err(s, sqlite3_step(q));
    const char *said =
        e == RMR_OK ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (e == RMR_OK && (!said || strcmp(said, "ok") != 0)) {
        rmri_sq_say(s, "it is damaged: %s", said ? said : "");
        e = RMR_E_MALFORMED;
    }
    (void)sqlite3_finalize(q);
    return e;
}

static rmr_err prepare(rmr_store_sqlite *s, const char *sql, sqlite3_stmt **q)
{
    return rmri_sq_err(
        s,
        sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, q, NULL));
}

static rmr_err open_db(rmr_store_sqlite *s, const rmr_store_sqlite_config *cfg)
{
    rmr_err e = rmri_sq_file_check(s, cfg->path);
    if (e != RMR_OK)
        return e;
    int code = sqlite3_open_v2(cfg->path, &s->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW |
                                   SQLITE_OPEN_NOMUTEX,
                               NULL);
    if (!s->db)
        return RMR_E_NOMEM;
    e = rmri_sq_err(s, code);
    if (e == RMR_OK)
        e = set_up(s, cfg->max_bytes);
    if (e == RMR_OK)
        e = is_wal(s);
    if (e == RMR_OK && cfg->check)
        e = check(s);
    if (e == RMR_OK)
        e = rmri_sq_migrate(s, rmri_sq_steps, RMR_STORE_SQLITE_SCHEMA);
    if (e == RMR_OK)
        e = prepare(s, "BEGIN IMMEDIATE", &s->begin);
    if (e == RMR_OK)
        e = prepare(s, "COMMIT", &s->commit);
    if (e == RMR_OK)
        e = prepare(s, "ROLLBACK", &s->rollback);
    return e == RMR_OK ? rmri_sq_rows_prepare(s) : e;
}

rmr_err rmr_store_sqlite_open(rmr_store_sqlite **out,
                              const rmr_store_sqlite_config *given,
                              char text[RMR_STORE_SQLITE_WHY])
{
    rmr_store_sqlite_config cfg;
    rmr_store_sqlite *s = calloc(1, sizeof *s);
    *out = NULL;
    text[0] = '\0';
    if (!s)
        return RMR_E_NOMEM;
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    memcpy(&cfg, given,
           given->struct_size < sizeof cfg ? given->struct_size : sizeof cfg);
    rmr_err e = RMR_E_INVAL;
    if (!cfg.path || !cfg.path[0])
        rmri_sq_say(s, "there is no path");
    else
        e = open_db(s, &cfg);
    memcpy(text, s->why, sizeof s->why);
    if (e == RMR_OK)
        *out = s;
    else
        rmr_store_sqlite_close(s);
    return e;
}

rmr_coord_store rmr_store_sqlite_table(rmr_store_sqlite *s)
{
    rmr_coord_store t = {sizeof t,    s,      rmri_sq_load, begin, rmri_sq_put,
                         rmri_sq_del, commit, rollback,     why};
    return t;
}

void rmr_store_sqlite_close(rmr_store_sqlite *s)
{
    if (!s)
        return;
    rmri_sq_rows_free(s);
    (void)sqlite3_finalize(s->begin);
    (void)sqlite3_finalize(s->commit);
    (void)sqlite3_finalize(s->rollback);
    (void)sqlite3_close(s->db);
    free(s);
}
