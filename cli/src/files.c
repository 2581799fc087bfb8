/* Reading files, finding the CA bundle and the state directory. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CA_FILE_MAX ((size_t)16 * 1024 * 1024)

/* Debian and Alpine, Fedora and RHEL, openSUSE, macOS and the BSDs. */
static const char *const ca_places[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
};

void cli_file_free(cli_file *f)
{
    if (f->data != NULL) {
        rmr_wipe(f->data, f->len);
        free(f->data);
    }
    f->data = NULL;
    f->len = 0;
}

/* Reads to the end, at most `max`; errno is set where it fails. */
static bool read_all(cli_file *f, int fd, size_t max)
{
    size_t cap = 0;
    for (;;) {
        ssize_t n;
        if (f->len == cap) {
            size_t bigger = cap == 0 ? 4096 : cap * 2;
            uint8_t *data = malloc(bigger);
            if (data == NULL) {
                return false;
            }
            if (f->data != NULL) {
                memcpy(data, f->data, f->len);
                rmr_wipe(f->data, f->len); /* it may be a key */
                free(f->data);
            }
            f->data = data;
            cap = bigger;
        }
        n = read(fd, f->data + f->len, cap - f->len);
        if (n == 0) {
            return true;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        f->len += (size_t)n;
        if (f->len > max) {
            errno = EFBIG;
            return false;
        }
    }
}

bool cli_file_read(cli_file *f, const char *path, size_t max, char *error,
                   size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok;
    f->data = NULL;
    f->len = 0;
    ok = fd >= 0 && read_all(f, fd, max);
    if (!ok) {
        (void)snprintf(error, cap, "can't read %s: %s", path, strerror(errno));
        cli_file_free(f);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

/* ---- writing ----------------------------------------------------------- */

static bool write_all(int fd, rmr_bytes data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data = rmr_bytes_of(data.ptr + n, data.len - (size_t)n);
    }
    return true;
}

/* The length of the directory's part, with its slash. */
static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* The new name lasts. */
static bool sync_dir(const char *path)
{
    char dir[4096];
    size_t n = dir_len(path);
    if (n >= sizeof dir) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)snprintf(dir, sizeof dir, "%.*s", (int)n, n > 0 ? path : "");
    int fd = open(n > 0 ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

static bool create(const char *path, const char *aside, rmr_bytes data)
{
    (void)unlink(aside); /* of a process that was killed */
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return false;
    }
    bool ok = write_all(fd, data) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    /* link(2) fails where there is a file, rename(2) would replace it. */
    ok = ok && link(aside, path) == 0;
    int why = errno;
    (void)unlink(aside);
    errno = why;
    return ok && sync_dir(path);
}

bool cli_file_create(const char *path, rmr_bytes data, char *error, size_t cap)
{
    char aside[4096];
    int n = snprintf(aside, sizeof aside, "%.*s.new-%s", (int)dir_len(path),
                     path, path + dir_len(path));
    bool ok = false;
    errno = ENAMETOOLONG;
    if (n > 0 && (size_t)n < sizeof aside) {
        ok = create(path, aside, data);
    }
    if (!ok && errno == EEXIST) {
        (void)snprintf(error, cap, "there is a file %s already", path);
    } else if (!ok) {
        (void)snprintf(error, cap, "can't write %s: %s", path, strerror(errno));
    }
    return ok;
}

bool cli_ca_read(cli_file *f, const char *ca_file, char *error, size_t cap)
{
    if (ca_file != NULL) {
        return cli_file_read(f, ca_file, CA_FILE_MAX, error, cap);
    }
    for (size_t i = 0; i < sizeof ca_places / sizeof ca_places[0]; i++) {
        if (access(ca_places[i], R_OK) == 0) {
            return cli_file_read(f, ca_places[i], CA_FILE_MAX, error, cap);
        }
    }
    f->data = NULL;
    f->len = 0;
    return true;
}

bool cli_state_dir(const char *given, char *dst, size_t dst_cap, char *error,
                   size_t cap)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n;
    if (given != NULL) {
        n = snprintf(dst, dst_cap, "%s", given);
    } else if (xdg != NULL && xdg[0] == '/') {
        n = snprintf(dst, dst_cap, "%s/remora", xdg);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(dst, dst_cap, "%s/.local/state/remora", home);
    } else {
        (void)snprintf(error, cap,
                       "there is no home directory to keep the "
                       "state in; name one with --state-dir DIR");
        return false;
    }
    if (n < 0 || (size_t)n >= dst_cap) {
        (void)snprintf(error, cap,
                       "the name of the state directory is too "
                       "long; name another with --state-dir DIR");
        return false;
    }
    return true;
}

void cli_make_parents(const char *path)
{
    char part[4096];
    size_t len = strlen(path);
    if (len >= sizeof part) {
        return;
    }
    for (size_t i = 1; i < len; i++) {
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            (void)mkdir(part, 0755);
        }
    }
}

static void make_dir_of(const char *path, mode_t mode)
{
    char dir[4096];
    size_t n = dir_len(path);
    if (n > 1 && n < sizeof dir) {
        (void)snprintf(dir, sizeof dir, "%.*s", (int)n - 1, path);
        cli_make_parents(dir);
        (void)mkdir(dir, mode);
    }
}

void cli_make_private_dir(const char *path)
{
    make_dir_of(path, 0700);
}

void cli_make_shared_dir(const char *path)
{
    make_dir_of(path, 0755);
}

void cli_state_dir_why(const char *dir, char *dst, size_t cap)
{
    struct stat st;
    const char *why;
    if (stat(dir, &st) != 0) {
        why = strerror(errno == ENOENT ? EACCES : errno);
    } else if (!S_ISDIR(st.st_mode)) {
        why = "it is not a directory";
    } else if (st.st_uid != geteuid()) {
        why = "it belongs to another user";
    } else if ((st.st_mode & 077U) != 0) {
        (void)snprintf(dst, cap,
                       "the state directory %s is open to other "
                       "users; close it with chmod 700",
                       dir);
        return;
    } else if (access(dir, R_OK | W_OK | X_OK) != 0) {
        why = strerror(errno);
    } else {
        why = "the system gives no reason";
    }
    (void)snprintf(dst, cap,
                   "can't use the state directory %s: %s; "
                   "name another with --state-dir DIR",
                   dir, why);
}
