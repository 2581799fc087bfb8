/* What is asked of the file and its folder: nobody else may write there. */
#include "sq_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_LEN 1024

static rmr_err from_errno(rmr_store_sqlite *s, const char *what, int e)
{
    rmri_sq_say(s, "%s: %s", what, strerror(e));
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return RMR_E_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
        return RMR_E_DENIED;
    case ENOSPC:
    case EDQUOT:
        return RMR_E_FULL;
    default:
        return RMR_E_IO;
    }
}

static rmr_err folder_of(rmr_store_sqlite *s, const char *path,
                         char dir[PATH_MAX_LEN])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (strlen(path) + sizeof "-wal" > PATH_MAX_LEN) {
        rmri_sq_say(s, "the path is too long");
        return RMR_E_INVAL;
    }
    memcpy(dir, n ? path : ".", n ? n : 1);
    dir[n ? n : 1] = '\0';
    return RMR_OK;
}

/* Whoever may write a folder may put another file there. */
static rmr_err check_folder(rmr_store_sqlite *s, const char *dir)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return from_errno(s, dir, errno);
    if (!S_ISDIR(st.st_mode)) {
        rmri_sq_say(s, "%s: is no folder", dir);
        return RMR_E_NOTFOUND;
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX)) {
        rmri_sq_say(s, "%s: others may write there (mode %03o)", dir,
                    (unsigned)st.st_mode & 0777);
        return RMR_E_DENIED;
    }
    return RMR_OK;
}

static rmr_err check_file(rmr_store_sqlite *s, const char *path,
                          const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        rmri_sq_say(s, "%s: is no plain file", path);
        return RMR_E_DENIED;
    }
    if (st->st_uid != geteuid()) {
        rmri_sq_say(s, "%s: belongs to somebody else", path);
        return RMR_E_DENIED;
    }
    if (st->st_mode & (S_IRWXG | S_IRWXO)) {
        rmri_sq_say(s, "%s: others have rights to it (mode %03o); chmod 600",
                    path, (unsigned)st->st_mode & 0777);
        return RMR_E_DENIED;
    }
    return RMR_OK;
}

/* That the file is there lasts, too. */
static rmr_err sync_folder(rmr_store_sqlite *s, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return from_errno(s, dir, errno);
    int e = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    (void)close(fd);
    return e ? from_errno(s, dir, e) : RMR_OK;
}

/* SQLite gives the log the file's mode. */
static rmr_err make_file(rmr_store_sqlite *s, const char *path, const char *dir)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return from_errno(s, path, errno);
    (void)close(fd);
    return sync_folder(s, dir);
}

/* A file that exists is not opened here: to close it would let go of the locks
 * that this process has on it. */
rmr_err rmri_sq_file_check(rmr_store_sqlite *s, const char *path)
{
    char dir[PATH_MAX_LEN];
    struct stat st;
    rmr_err e = folder_of(s, path, dir);
    if (e == RMR_OK)
        e = check_folder(s, dir);
    if (e != RMR_OK)
        return e;
    if (lstat(path, &st) == 0)
        return check_file(s, path, &st);
    return errno == ENOENT ? make_file(s, path, dir)
                           : from_errno(s, path, errno);
}
