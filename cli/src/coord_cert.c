/* A certificate of our own, kept in a file. */
#include "coord_cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 * 1024)
#define DAY ((uint64_t)86400 * RMR_SEC)
#define LIVES (365 * DAY)
#define RENEWED (30 * DAY) /* before its end */
#define EARLIER DAY        /* for clients whose clocks are late */

/* *there: false where there is no such file. */
static bool get_file(cli_file *f, const char *path, bool *there, char *error,
                     size_t cap)
{
    struct stat st;
    f->data = NULL;
    f->len = 0;
    *there = stat(path, &st) == 0;
    if (!*there && errno == ENOENT) {
        return true;
    }
    *there = true;
    if (!cli_file_read(f, path, FILE_MAX, error, cap)) {
        return false;
    }
    if ((st.st_mode & 077U) != 0) {
        (void)snprintf(error, cap,
                       "%s holds a private key and is open to other users; "
                       "close it with chmod 600",
                       path);
        cli_file_free(f);
        return false;
    }
    return true;
}

/* In the place of one that is there, which stays until the new one is whole: a
 * full disk must not change what the DERP map pins. */
static bool put_file(const char *path, rmr_bytes data, char *error, size_t cap)
{
    char next[4096 + 8];
    (void)snprintf(next, sizeof next, "%s.next", path);
    cli_make_private_dir(path);
    (void)unlink(next);
    if (!cli_file_create(next, data, error, cap)) {
        return false;
    }
    if (rename(next, path) == 0) {
        return true;
    }
    (void)snprintf(error, cap, "can't write %s: %s", path, strerror(errno));
    (void)unlink(next);
    return false;
}

/* ---- a certificate ------------------------------------------------------- */

static bool make_cert(const char *path, const char *host, const rmr_env *env,
                      uint64_t now, char *error, size_t cap)
{
    uint8_t text[2 * RMR_TLS_SELF_MAX], key[RMR_TLS_SELF_MAX];
    size_t n_cert, n_key;
    uint64_t from = now > EARLIER ? now - EARLIER : 0;
    rmr_err err = rmr_tls_self_signed(
        &env->rng, host, from, now + LIVES, rmr_buf_of(text, RMR_TLS_SELF_MAX),
        &n_cert, rmr_buf_of(key, sizeof key), &n_key);
    bool ok = err == RMR_OK;
    if (ok) {
        memcpy(text + n_cert, key, n_key);
        ok = put_file(path, rmr_bytes_of(text, n_cert + n_key), error, cap);
    } else {
        (void)snprintf(
            error, cap, "can't make a certificate for '%s': %s", host,
            err == RMR_E_INVAL ? "it is no name of a host" : rmr_err_name(err));
    }
    rmr_wipe(key, sizeof key);
    rmr_wipe(text, sizeof text);
    return ok;
}

static bool still_good(const rmr_tls_identity *id, const char *host,
                       uint64_t now)
{
    int64_t s = (int64_t)(now / RMR_SEC), left = (int64_t)(RENEWED / RMR_SEC);
    return rmr_tls_identity_is_of(id, host) &&
           rmr_tls_identity_not_before(id) <= s &&
           rmr_tls_identity_not_after(id) - s > left;
}

bool cli_coord_cert_file(cli_file *out, const char *path, const char *host,
                         const rmr_env *env, uint64_t wall_unix_ns, char *error,
                         size_t cap)
{
    bool there;
    if (!get_file(out, path, &there, error, cap)) {
        return false;
    }
    if (there) {
        rmr_tls_identity *id = NULL;
        rmr_bytes text = rmr_bytes_of(out->data, out->len);
        rmr_err err = rmr_tls_identity_new(&id, env, text, text);
        bool good = err == RMR_OK && still_good(id, host, wall_unix_ns);
        rmr_tls_identity_free(id);
        if (good) {
            return true;
        }
        cli_file_free(out);
        if (err != RMR_OK) {
            (void)snprintf(error, cap,
                           "%s holds no certificate with its key (%s); move it "
                           "away, and a new one is made",
                           path, rmr_tls_err_text(err));
            return false;
        }
    }
    return make_cert(path, host, env, wall_unix_ns, error, cap) &&
           get_file(out, path, &there, error, cap);
}
