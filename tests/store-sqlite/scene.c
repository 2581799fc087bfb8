#include "scene.h"

#include <unistd.h>

void scene_begin(scene *s)
{
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof *s);
    (void)snprintf(s->dir, sizeof s->dir, "%.40s/remora-sq-XXXXXX",
                   tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/coord.db", s->dir);
    (void)snprintf(s->log, sizeof s->log, "%s-wal", s->path);
}

void scene_end(scene *s)
{
    scene_close(s);
    (void)unlink(s->log);
    (void)unlink(s->path);
    assert_int_equal(rmdir(s->dir), 0);
    assert_int_equal(s->heap.live_blocks, 0);
}

rmr_err scene_try(scene *s, const rmr_store_sqlite_config *given)
{
    rmr_store_sqlite_config cfg;
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    cfg.check = true;
    if (given)
        cfg = *given;
    cfg.path = s->path;
    rmr_err e = rmr_store_sqlite_open(&s->db, &cfg, s->why);
    if (e == RMR_OK)
        s->table = rmr_store_sqlite_table(s->db);
    return e;
}

void scene_open(scene *s)
{
    if (scene_try(s, NULL) != RMR_OK)
        fail_msg("%s", s->why);
}

void scene_close(scene *s)
{
    rmr_store_sqlite_close(s->db);
    s->db = NULL;
}

rmr_coord *scene_coord(scene *s)
{
    rmr_err e;
    rmr_coord *c = bare_coord(&s->heap, &s->rng, &s->table, &e);
    assert_int_equal(e, RMR_OK);
    return c;
}

void scene_sql(scene *s, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
