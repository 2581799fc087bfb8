#include "dying_vfs.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4

/* What the disk has of a file for certain. */
typedef struct image {
    char path[512];
    uint8_t *data;
    size_t n;
} image;

typedef struct dying_file {
    sqlite3_file base; /* first */
    image *disk;
    sqlite3_file real[]; /* of the system's VFS, as long as it says */
} dying_file;

static unsigned calls, cut_at;
static dying_how cut_how;
static image images[FILES];
static sqlite3_vfs *system_vfs;

static void fail(const char *what)
{
    perror(what);
    _exit(3);
}

static void take_image(image *m)
{
    struct stat st;
    int fd = open(m->path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail(m->path);
    free(m->data);
    m->n = (size_t)st.st_size;
    m->data = malloc(m->n + 1);
    if (!m->data || read(fd, m->data, m->n) != (ssize_t)m->n)
        fail(m->path);
    (void)close(fd);
}

static void put_image(const image *m)
{
    int fd = open(m->path, O_WRONLY | O_TRUNC);
    if (fd < 0 || write(fd, m->data, m->n) != (ssize_t)m->n)
        fail(m->path);
    (void)close(fd);
}

static void die(void)
{
    for (int i = 0; cut_how == DYING_POWER && i < FILES; i++) {
        if (images[i].path[0])
            put_image(&images[i]);
    }
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static void before(void)
{
    if (++calls == cut_at &&
        (cut_how == DYING_BEFORE || cut_how == DYING_POWER))
        die();
}

static void behind(void)
{
    if (calls == cut_at)
        die();
}

/* ---- files --------------------------------------------------------------- */

static dying_file *of(sqlite3_file *f)
{
    return (dying_file *)(void *)f;
}

static int f_close(sqlite3_file *f)
{
    return of(f)->real->pMethods->xClose(of(f)->real);
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return of(f)->real->pMethods->xRead(of(f)->real, p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    sqlite3_file *r = of(f)->real;
    before();
    if (calls == cut_at && cut_how == DYING_WITHIN) {
        (void)r->pMethods->xWrite(r, p, n / 2, at);
        die();
    }
    int code = r->pMethods->xWrite(r, p, n, at);
    behind();
    return code;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    before();
    int code = of(f)->real->pMethods->xTruncate(of(f)->real, n);
    behind();
    return code;
}

static int f_sync(sqlite3_file *f, int flags)
{
    before();
    int code = of(f)->real->pMethods->xSync(of(f)->real, flags);
    if (of(f)->disk)
        take_image(of(f)->disk);
    behind();
    return code;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return of(f)->real->pMethods->xFileSize(of(f)->real, n);
}

static int f_lock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xLock(of(f)->real, how);
}

static int f_unlock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, how);
}

static int f_reserved(sqlite3_file *f, int *out)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int f_traits(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

/* Version 1: no shared memory, which one process alone does not need. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_traits,
};

static image *image_of(const char *path)
{
    int i = 0;
    while (i < FILES && images[i].path[0] && strcmp(images[i].path, path) != 0)
        i++;
    if (i == FILES || strlen(path) >= sizeof images[i].path)
        fail("too many files");
    (void)snprintf(images[i].path, sizeof images[i].path, "%s", path);
    return &images[i];
}

static int v_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f,
                  int flags, int *out)
{
    (void)vfs;
    of(f)->base.pMethods = NULL;
    int code = system_vfs->xOpen(system_vfs, path, of(f)->real, flags, out);
    if (code != SQLITE_OK)
        return code;
    of(f)->disk = NULL;
    if (path && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) {
        of(f)->disk = image_of(path);
        take_image(of(f)->disk);
    }
    of(f)->base.pMethods = &methods;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    before();
    int code = system_vfs->xDelete(system_vfs, path, sync);
    for (int i = 0; i < FILES; i++) {
        if (strcmp(images[i].path, path) == 0)
            images[i].path[0] = '\0';
    }
    behind();
    return code;
}

void dying_begin(unsigned at, dying_how how)
{
    static sqlite3_vfs mine;
    cut_at = at;
    cut_how = how;
    system_vfs = sqlite3_vfs_find(NULL);
    if (!system_vfs)
        fail("no VFS");
    mine = *system_vfs;
    mine.zName = "dying";
    mine.szOsFile = (int)sizeof(dying_file) + system_vfs->szOsFile;
    mine.xOpen = v_open;
    mine.xDelete = v_delete;
    if (sqlite3_vfs_register(&mine, 1) != SQLITE_OK)
        fail("register");
}
