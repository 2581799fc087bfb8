/* A store that is made, written, and read again. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <remora/store_sqlite.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static rmr_err count(void *ctx, const rmr_coord_row *row)
{
    int *n = ctx;
    *n += row->kind == RMR_COORD_ROW_USER;
    return RMR_OK;
}

int main(void)
{
    char dir[] = "/tmp/remora-embed-XXXXXX", path[64], log[80];
    char why[RMR_STORE_SQLITE_WHY];
    rmr_store_sqlite_config cfg;
    rmr_store_sqlite *s;
    int n = 0;
    if (!mkdtemp(dir))
        return 1;
    (void)snprintf(path, sizeof path, "%s/coord.db", dir);
    (void)snprintf(log, sizeof log, "%s-wal", path);
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    cfg.path = path;
    if (rmr_store_sqlite_open(&s, &cfg, why) != RMR_OK) {
        (void)fprintf(stderr, "%s\n", why);
        return 1;
    }
    rmr_coord_store t = rmr_store_sqlite_table(s);
    rmr_coord_row row = {.kind = RMR_COORD_ROW_USER, .id = 1};
    row.as.user.name = "alice";
    row.as.user.display = row.as.user.email = row.as.user.picture = "";
    rmr_err e = t.begin(t.user);
    if (e == RMR_OK)
        e = t.put(t.user, &row);
    if (e == RMR_OK)
        e = t.commit(t.user);
    if (e == RMR_OK)
        e = t.load(t.user, count, &n);
    rmr_store_sqlite_close(s);
    (void)unlink(log);
    (void)unlink(path);
    (void)rmdir(dir);
    printf("%d user\n", n);
    return e != RMR_OK || n != 1;
}
