/* The tables and their versions.  A step that was released is never changed:
 * another one follows it. */
#include "sq_internal.h"

#include <stdio.h>

/* No names or addresses are UNIQUE: within a transaction rows come in any
 * order, and the server sees to it, as it does when it loads them.  Ids are
 * those of the server, times Unix nanoseconds, 0: never; lists are words with
 * blanks between them. */
const char *const rmri_sq_steps[RMR_STORE_SQLITE_SCHEMA] = {
    "CREATE TABLE counters ("
    " id INTEGER PRIMARY KEY CHECK (id = 0),"
    " next_user INTEGER NOT NULL, next_key INTEGER NOT NULL,"
    " next_api_key INTEGER NOT NULL, next_node INTEGER NOT NULL,"
    " last_v4 INTEGER NOT NULL, last_v6 INTEGER NOT NULL) STRICT;"
    "CREATE TABLE users ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, display TEXT NOT NULL,"
    " email TEXT NOT NULL, picture TEXT NOT NULL,"
    " created INTEGER NOT NULL) STRICT;"
    "CREATE TABLE pre_auth_keys ("
    " id INTEGER PRIMARY KEY,"
    " user INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,"
    " prefix TEXT NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),"
    " reusable INTEGER NOT NULL, ephemeral INTEGER NOT NULL,"
    " used INTEGER NOT NULL, expiry INTEGER NOT NULL,"
    " created INTEGER NOT NULL, tags TEXT NOT NULL) STRICT;"
    "CREATE INDEX pre_auth_keys_user ON pre_auth_keys (user);"
    "CREATE TABLE api_keys ("
    " id INTEGER PRIMARY KEY,"
    " prefix TEXT NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),"
    " expiry INTEGER NOT NULL, created INTEGER NOT NULL,"
    " last_seen INTEGER NOT NULL) STRICT;"
    "CREATE TABLE nodes ("
    " id INTEGER PRIMARY KEY,"
    " user INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,"
    " pre_auth_key INTEGER NOT NULL," /* which may be gone */
    " machine_key BLOB NOT NULL CHECK (length(machine_key) = 32),"
    " node_key BLOB NOT NULL CHECK (length(node_key) = 32),"
    " disco_key BLOB NOT NULL CHECK (length(disco_key) = 32),"
    " hostname TEXT NOT NULL, os TEXT NOT NULL, given_name TEXT NOT NULL,"
    " ipv4 TEXT NOT NULL, ipv6 TEXT NOT NULL,"
    " ephemeral INTEGER NOT NULL, home_derp INTEGER NOT NULL,"
    " capability INTEGER NOT NULL, created INTEGER NOT NULL,"
    " last_seen INTEGER NOT NULL, expiry INTEGER NOT NULL,"
    " tags TEXT NOT NULL, announced TEXT NOT NULL,"
    " approved TEXT NOT NULL) STRICT;"
    "CREATE INDEX nodes_user ON nodes (user);"
    "CREATE TABLE policy ("
    " id INTEGER PRIMARY KEY CHECK (id = 0),"
    " text BLOB NOT NULL, updated INTEGER NOT NULL) STRICT;",
};

static rmr_err version_of(rmr_store_sqlite *s, int64_t *version)
{
    int64_t app = 0, tables = 0;
    rmr_err e = rmri_sq_int(s, "PRAGMA application_id", &app);
    if (e == RMR_OK)
        e = rmri_sq_int(s, "SELECT count(*) FROM sqlite_schema", &tables);
    *version = 0;
    if (e != RMR_OK || (app == 0 && tables == 0))
        return e;
    if (app != SQ_APP_ID) {
        rmri_sq_say(s, "it is a database of another program");
        return RMR_E_MALFORMED;
    }
    return rmri_sq_int(s, "SELECT version FROM schema_version", version);
}

static rmr_err step(rmr_store_sqlite *s, const char *sql, int to)
{
    char record[128];
    rmr_err e = rmri_sq_exec(s, "BEGIN IMMEDIATE");
    if (e == RMR_OK && to == 1) {
        (void)snprintf(record, sizeof record, "PRAGMA application_id = %d",
                       SQ_APP_ID);
        e = rmri_sq_exec(s, record);
        if (e == RMR_OK)
            e = rmri_sq_exec(s, "CREATE TABLE schema_version ("
                                " version INTEGER NOT NULL) STRICT;"
                                "INSERT INTO schema_version VALUES (0)");
    }
    if (e == RMR_OK)
        e = rmri_sq_exec(s, sql);
    (void)snprintf(record, sizeof record,
                   "UPDATE schema_version SET version = %d", to);
    if (e == RMR_OK)
        e = rmri_sq_exec(s, record);
    if (e == RMR_OK)
        e = rmri_sq_exec(s, "COMMIT");
    if (e != RMR_OK && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

rmr_err rmri_sq_migrate(rmr_store_sqlite *s, const char *const *steps, int n)
{
    int64_t version;
    rmr_err e = version_of(s, &version);
    if (e == RMR_OK && version > n) {
        rmri_sq_say(s,
                    "a newer remora wrote it (its tables are of version "
                    "%lld, this one knows %d)",
                    (long long)version, n);
        return RMR_E_UNSUPPORTED;
    }
    if (e == RMR_OK && version < 0)
        return RMR_E_MALFORMED;
    for (; e == RMR_OK && version < n; version++)
        e = step(s, steps[version], (int)version + 1);
    return e;
}
