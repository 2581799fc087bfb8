/* The files that the coordinator's configuration names. */
#include "coord_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remora/http1.h>
#include <remora/policy.h>
#include <remora/posix.h>
#include <remora/text.h>
#include <remora/tls_srv.h>

#define PEM_MAX ((size_t)1024 * 1024)
#define POLICY_MAX ((size_t)1024 * 1024)

static rmr_bytes bytes_of(const cli_file *f)
{
    return rmr_bytes_of(f->data, f->len);
}

/* ---- the certificate ----------------------------------------------------- */

static bool check_certificate(cli_coord_files *f, const cli_coord_config *c)
{
    rmr_tls_identity *id = NULL;
    rmr_env env = rmr_posix_env();
    rmr_err err =
        rmr_tls_identity_new(&id, &env, bytes_of(&f->cert), bytes_of(&f->key));
    rmr_tls_identity_free(id);
    if (err != RMR_OK) {
        (void)snprintf(f->error, sizeof f->error,
                       "%.300s and %.300s are no certificate and key: %s",
                       c->tls_cert, c->tls_key, rmr_tls_err_text(err));
    }
    return err == RMR_OK;
}

bool cli_coord_files_certificate(cli_coord_files *f, const cli_coord_config *c)
{
    cli_file_free(&f->cert);
    cli_file_free(&f->key);
    if (c->tls_cert == NULL) {
        return true;
    }
    return cli_file_read(&f->cert, c->tls_cert, PEM_MAX, f->error,
                         sizeof f->error) &&
           cli_file_read(&f->key, c->tls_key, PEM_MAX, f->error,
                         sizeof f->error) &&
           check_certificate(f, c);
}

static void say_day(cli_coord_files *f, const char *what, int64_t seconds,
                    const cli_coord_config *c)
{
    char day[RMR_TIME_TEXT_MAX];
    (void)rmr_time_text(seconds > 0 ? (uint64_t)seconds * RMR_SEC : 0, day);
    (void)snprintf(f->error, sizeof f->error,
                   "%.400s %s %.10s: nodes don't take it", c->tls_cert, what,
                   day);
}

bool cli_coord_files_doubts(cli_coord_files *f, const cli_coord_config *c,
                            uint64_t unix_seconds)
{
    rmr_tls_identity *id = NULL;
    rmr_env env = rmr_posix_env();
    int64_t now = (int64_t)unix_seconds;
    rmr_url url;
    if (c->tls_cert == NULL ||
        rmr_tls_identity_new(&id, &env, bytes_of(&f->cert),
                             bytes_of(&f->key)) != RMR_OK) {
        return true;
    }
    bool is_host =
        rmr_url_parse(rmr_bytes_str(c->server_url), &url) == RMR_OK &&
        rmr_tls_identity_is_of(id, url.host);
    bool ok = false;
    if (now > rmr_tls_identity_not_after(id)) {
        say_day(f, "ended on", rmr_tls_identity_not_after(id), c);
    } else if (now < rmr_tls_identity_not_before(id)) {
        say_day(f, "begins on", rmr_tls_identity_not_before(id), c);
    } else if (!is_host) {
        (void)snprintf(f->error, sizeof f->error,
                       "%.400s is no certificate of %.253s, the host of "
                       "'server_url': nodes don't take it",
                       c->tls_cert, url.host);
    } else {
        ok = true;
    }
    rmr_tls_identity_free(id);
    return ok;
}

/* ---- the policy ---------------------------------------------------------- */

/* Its several lines become one. */
static void join_lines(char *text)
{
    for (char *end; (end = strchr(text, '\n')) != NULL;) {
        *end = end[1] != '\0' ? ';' : '\0';
    }
}

void cli_coord_files_why(cli_coord_files *f, const cli_coord_config *c,
                         rmr_err err, rmr_pol_why *why)
{
    join_lines(why->text);
    if (why->line > 0) {
        (void)snprintf(f->error, sizeof f->error, "%.300s, line %u: %.600s",
                       c->policy, (unsigned)why->line, why->text);
    } else {
        (void)snprintf(f->error, sizeof f->error, "%.300s: %.600s", c->policy,
                       why->text[0] != '\0' ? why->text : rmr_err_name(err));
    }
}

static bool check_policy(cli_coord_files *f, const cli_coord_config *c)
{
    rmr_pol *p = NULL;
    rmr_pol_why why;
    rmr_env env = rmr_posix_env();
    memset(&why, 0, sizeof why);
    rmr_err err = rmr_pol_parse(&p, &env.alloc, bytes_of(&f->policy), &why);
    rmr_pol_free(p);
    if (err != RMR_OK) {
        cli_coord_files_why(f, c, err, &why);
    }
    return err == RMR_OK;
}

bool cli_coord_files_policy(cli_coord_files *f, const cli_coord_config *c)
{
    cli_file_free(&f->policy);
    return c->policy == NULL ||
           (cli_file_read(&f->policy, c->policy, POLICY_MAX, f->error,
                          sizeof f->error) &&
            check_policy(f, c));
}

/* ---- the DERP map -------------------------------------------------------- */

bool cli_coord_files_derp_map(cli_coord_files *f, const cli_coord_config *c,
                              const cli_derp_own *own)
{
    cli_file_free(&f->derp_map);
    return cli_coord_derp_map(c, own, &f->derp_map, f->error, sizeof f->error);
}

/* ---- DNS records --------------------------------------------------------- */

static void drop_records(cli_coord_files *f)
{
    if (f->records != NULL) {
        cli_coord_config_free(f->records);
        free(f->records);
    }
    f->records = NULL;
}

bool cli_coord_files_dns(cli_coord_files *f, const cli_coord_config *c)
{
    drop_records(f);
    f->dns = c->dns;
    if (c->records_path == NULL) {
        return true;
    }
    f->records = calloc(1, sizeof *f->records);
    if (f->records == NULL) {
        (void)snprintf(f->error, sizeof f->error, "out of memory");
        return false;
    }
    if (!cli_coord_config_read_records(f->records, c->records_path)) {
        (void)snprintf(f->error, sizeof f->error, "%s", f->records->error);
        return false;
    }
    f->dns.records = f->records->records;
    f->dns.n_records = f->records->n_records;
    return true;
}

/* ---- the local socket's directory ---------------------------------------- */

static void dir_of(const char *path, char *dir, size_t cap)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        (void)snprintf(dir, cap, ".");
    } else if (slash == path) {
        (void)snprintf(dir, cap, "/");
    } else {
        (void)snprintf(dir, cap, "%.*s", (int)(slash - path), path);
    }
}

bool cli_coord_files_socket_dir(cli_coord_files *f, const cli_coord_config *c,
                                char *dir, size_t cap)
{
    bool shared = (c->unix_socket_mode & 077) != 0;
    struct stat st;
    dir_of(c->unix_socket, dir, cap);
    if (stat(dir, &st) != 0) {
        return true;
    }
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
        (st.st_mode & (shared ? 022 : 077)) == 0) {
        return true;
    }
    (void)snprintf(f->error, sizeof f->error,
                   "%.400s, the directory of 'unix_socket', must be this "
                   "user's, and not %s: chmod %s",
                   dir, shared ? "writable for others" : "open to others",
                   shared ? "755" : "700");
    return false;
}

void cli_coord_files_free(cli_coord_files *f)
{
    cli_file_free(&f->cert);
    cli_file_free(&f->key);
    cli_file_free(&f->policy);
    cli_file_free(&f->derp_map);
    drop_records(f);
}
