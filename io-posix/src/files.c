/* Blobs: files of one directory, replaced atomically. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

rmr_err rmri_posix_open_dir(rmr_posix *p, const char *dir)
{
    struct stat st;
    p->dir = strdup(dir);
    if (!p->dir)
        return RMR_E_NOMEM;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return RMR_E_DENIED;
    p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir_fd < 0)
        return RMR_E_DENIED;
    if (fstat(p->dir_fd, &st) != 0)
        return RMR_E_IO;
    mode_t closed = p->dir_shared ? 022 : 077;
    if (st.st_uid == geteuid() && (st.st_mode & closed) == 0)
        return RMR_OK;
    rmr_logf(&p->log, RMR_LOG_ERROR, "posix",
             "%s must belong to this user, with mode %s", dir,
             p->dir_shared ? "0755 at most" : "0700");
    return RMR_E_DENIED;
}

/* A plain file name: no path, and none of our temporary files. */
bool rmri_posix_name(rmr_bytes name, char out[NAME_SIZE])
{
    if (name.len == 0 || name.len >= NAME_SIZE || name.ptr[0] == '.' ||
        memchr(name.ptr, '/', name.len) || memchr(name.ptr, 0, name.len))
        return false;
    memcpy(out, name.ptr, name.len);
    out[name.len] = '\0';
    return true;
}

/* ---- loading ----------------------------------------------------------------
 */

static bool read_all(int fd, uint8_t *dst, size_t len)
{
    while (len) {
        ssize_t n = read(fd, dst, len);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        if (n > 0) {
            dst += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* What a failed call on a file means: RMR_E_DENIED, _NOFILES, or _IO. */
static rmr_err file_err(int e)
{
    rmr_err err = rmri_posix_err(e);
    return err == RMR_E_DENIED || err == RMR_E_NOFILES ? err : RMR_E_IO;
}

static rmr_err load_parts(rmr_posix *p, mach *m, uint64_t id, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return RMR_E_IO;
    uint64_t left = (uint64_t)st.st_size;
    do {
        rmr_io_event ev = rmri_posix_event(RMR_IO_LOADED, id, RMR_OK);
        ev.data = rmr_buf_of(p->in, left < PART_MAX ? (size_t)left : PART_MAX);
        if (!read_all(fd, p->in, ev.data.len))
            return RMR_E_IO;
        left -= ev.data.len;
        ev.more = left != 0;
        rmri_posix_tell(p, m, ev);
    } while (left && m->is_live);
    return RMR_OK;
}

void rmri_posix_load(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    char name[NAME_SIZE];
    rmr_err err = RMR_E_UNSUPPORTED;
    (void)o;
    if (p->dir && rmri_posix_name(op->name, name)) {
        /* O_NONBLOCK: a FIFO put there does not stop the loop. */
        int fd = openat(p->dir_fd, name,
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            err = errno == ENOENT ? RMR_E_NOTFOUND : file_err(errno);
        else
            err = load_parts(p, m, op->id, fd);
        if (fd >= 0)
            (void)close(fd);
    }
    if (err != RMR_OK)
        rmri_posix_tell(p, m, rmri_posix_event(RMR_IO_FAILED, op->id, err));
}

/* ---- storing ----------------------------------------------------------------
 */

static void temp_name(const obj *o, char out[NAME_SIZE + 8])
{
    (void)snprintf(out, NAME_SIZE + 8, ".%s.new", o->name);
}

/* Opens and locks the temporary file, which may be left from a crash.  Whoever
 * held the lock may have renamed or removed it before we got it: then the name
 * is no longer this file's, and the next try makes a new one. */
static rmr_err open_temp(const rmr_posix *p, obj *o)
{
    char temp[NAME_SIZE + 8];
    temp_name(o, temp);
    for (int tries = 0; tries < 8; tries++) {
        struct stat a, b;
        int fd = openat(p->dir_fd, temp,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return file_err(errno);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            (void)close(fd);
            return RMR_E_INUSE;
        }
        if (fstat(fd, &a) == 0 &&
            fstatat(p->dir_fd, temp, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
            a.st_ino == b.st_ino && ftruncate(fd, 0) == 0) {
            o->fd = fd;
            return RMR_OK;
        }
        (void)close(fd);
    }
    return RMR_E_IO;
}

static rmr_err begin(const rmr_posix *p, obj *o, rmr_bytes wanted)
{
    char name[NAME_SIZE];
    if (!p->dir || !rmri_posix_name(wanted, name))
        return RMR_E_UNSUPPORTED;
    o->name = strdup(name);
    return o->name ? open_temp(p, o) : RMR_E_IO;
}

static rmr_err write_all(int fd, rmr_bytes data)
{
    while (data.len) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno != EINTR)
            return file_err(errno);
        if (n > 0) {
            data.ptr += n;
            data.len -= (size_t)n;
        }
    }
    return RMR_OK;
}

/* Durable before it takes the old blob's place, and then the name too. */
static rmr_err commit(const rmr_posix *p, obj *o)
{
    char temp[NAME_SIZE + 8];
    temp_name(o, temp);
    if (fsync(o->fd) != 0 || renameat(p->dir_fd, temp, p->dir_fd, o->name) != 0)
        return file_err(errno);
    (void)close(o->fd); /* no longer a temporary file: see store_drop */
    o->fd = -1;
    return fsync(p->dir_fd) == 0 ? RMR_OK : RMR_E_IO;
}

void rmri_posix_store_drop(const rmr_posix *p, const obj *o)
{
    char temp[NAME_SIZE + 8];
    if (o->fd < 0)
        return;
    temp_name(o, temp);
    (void)unlinkat(p->dir_fd, temp, 0);
}

void rmri_posix_store(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    rmr_io_op stop = {.err = RMR_E_NOMEM};
    if (!o) {
        o = rmri_posix_new(p, m, op->id, OBJ_STORE, -1);
        if (!o) { /* later parts could not be told from a first one */
            rmri_posix_stop(p, m, NULL, &stop);
            return;
        }
        o->err = begin(p, o, op->name);
    }
    if (o->kind != OBJ_STORE)
        return;
    if (o->err == RMR_OK)
        o->err = write_all(o->fd, op->data);
    if (op->more)
        return;
    rmr_err err = o->err == RMR_OK ? commit(p, o) : o->err;
    rmri_posix_drop(p, o);
    rmri_posix_tell(
        p, m,
        rmri_posix_event(err ? RMR_IO_FAILED : RMR_IO_STORED, op->id, err));
}
