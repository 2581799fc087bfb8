/* The coordinator's settings: their memory, their defaults, their file. */
#include "coord_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coord_config_keys.h"
#include "files.h"

#define FILE_MAX ((size_t)256 * 1024)

bool cli_coord_wrong(cli_coord_config *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(c->error, sizeof c->error, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- memory -------------------------------------------------------------- */

void *cli_coord_keep(cli_coord_config *c, size_t size)
{
    void **more = NULL;
    void *p = malloc(size > 0 ? size : 1);
    if (p != NULL) {
        more = realloc(c->kept, (c->n_kept + 1) * sizeof *more);
    }
    if (more == NULL) {
        free(p);
        (void)cli_coord_wrong(c, "out of memory");
        return NULL;
    }
    c->kept = more;
    c->kept[c->n_kept++] = p;
    return p;
}

char *cli_coord_keep_text(cli_coord_config *c, const char *text, size_t len)
{
    char *copy = cli_coord_keep(c, len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

/* It doubles: at each power of two. */
void *cli_coord_grow(cli_coord_config *c, const void *array, size_t n,
                     size_t size)
{
    void *more;
    if (n > 0 && (n & (n - 1)) != 0) {
        return (void *)(uintptr_t)array;
    }
    more = cli_coord_keep(c, (n > 0 ? 2 * n : 1) * size);
    if (more != NULL && n > 0) {
        memcpy(more, array, n * size);
    }
    return more;
}

const char *cli_coord_path(cli_coord_config *c, const char *given)
{
    const char *slash = strrchr(c->file, '/');
    size_t dir = slash != NULL ? (size_t)(slash - c->file) + 1 : 0;
    size_t len = strlen(given);
    char *path;
    if (given[0] == '/') {
        dir = 0;
    }
    path = cli_coord_keep(c, dir + len + 1);
    if (path != NULL) {
        memcpy(path, c->file, dir);
        memcpy(path + dir, given, len + 1);
    }
    return path;
}

/* ---- defaults ------------------------------------------------------------ */

void cli_coord_config_init(cli_coord_config *c, const char *file)
{
    rmr_coord_config d;
    rmr_coord_config_init(&d, sizeof d);
    memset(c, 0, sizeof *c);
    c->file = file;
    c->unix_socket_mode = 0700;
    c->v4 = d.v4;
    c->v6 = d.v6;
    c->ephemeral_timeout = d.ephemeral_timeout;
    c->handshake_rate = (uint16_t)d.handshake_rate;
    c->handshake_burst = (uint16_t)d.handshake_burst;
    c->base_domain = "tailnet.internal";
    c->magic_dns = c->override_dns = true;
    c->derp.server.region_id = 999;
    c->derp.server.region_code = c->derp.server.region_name = "remora";
    c->derp.server.verify_clients = c->derp.server.add_region = true;
    c->log_level = RMR_LOG_INFO;
}

/* The system's place for root's services, else the user's. */
static bool find_state_dir(cli_coord_config *c)
{
    char dir[CLI_COORD_PATH_MAX];
    if (c->state_dir != NULL) {
        return true;
    }
    if (geteuid() == 0) {
        c->state_dir = "/var/lib/remora/coordinator";
        return true;
    }
    if (!cli_state_dir(NULL, dir, sizeof dir - sizeof "/coordinator", c->error,
                       sizeof c->error)) {
        return cli_coord_wrong(c,
                               "%.200s: 'state_dir' is missing, and there "
                               "is no home directory",
                               c->file);
    }
    (void)strcat(dir, "/coordinator");
    c->state_dir = cli_coord_keep_text(c, dir, strlen(dir));
    return c->state_dir != NULL;
}

static bool default_path(cli_coord_config *c, const char **to, const char *name)
{
    size_t n = strlen(c->state_dir);
    char *path;
    if (*to != NULL) {
        return true;
    }
    path = cli_coord_keep(c, n + strlen(name) + 2);
    if (path != NULL) {
        (void)sprintf(path, "%s/%s", c->state_dir, name);
    }
    *to = path;
    return path != NULL;
}

static bool default_paths(cli_coord_config *c)
{
    return find_state_dir(c) &&
           default_path(c, &c->unix_socket, "coordinator.sock") &&
           default_path(c, &c->noise_key, "noise_private.key") &&
           default_path(c, &c->database, "coordinator.db") &&
           default_path(c, &c->derp.server.private_key_path,
                        "derp_private.key");
}

static bool gather_dns(cli_coord_config *c)
{
    rmr_coord_dns_route *r = NULL;
    if (c->n_routes > 0) {
        r = cli_coord_keep(c, c->n_routes * sizeof *r);
        if (r == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < c->n_routes; i++) {
        r[i].domain = c->routes[i].domain;
        r[i].resolvers = c->routes[i].resolvers.at;
        r[i].n_resolvers = c->routes[i].resolvers.n;
    }
    c->dns.off = !c->magic_dns;
    c->dns.resolvers = c->resolvers.at;
    c->dns.n_resolvers = c->resolvers.n;
    c->dns.fallback = !c->override_dns;
    c->dns.routes = r;
    c->dns.n_routes = c->n_routes;
    c->dns.search = c->search.at;
    c->dns.n_search = c->search.n;
    c->dns.records = c->records;
    c->dns.n_records = c->n_records;
    return true;
}

/* ---- the file ------------------------------------------------------------ */

bool cli_coord_config_parse(cli_coord_config *c, rmr_bytes text)
{
    return cli_coord_yaml(c, text) && default_paths(c) && gather_dns(c) &&
           cli_coord_check(c);
}

static bool read_file(cli_coord_config *c, const char *file, cli_file *f)
{
    cli_coord_config_init(c, file != NULL ? file : CLI_COORD_CONFIG_DEFAULT);
    if (file == NULL && access(c->file, F_OK) != 0) {
        return cli_coord_wrong(c,
                               "there is no %s: name a file with --config, "
                               "or write one with remora coordinator init",
                               c->file);
    }
    return cli_file_read(f, c->file, FILE_MAX, c->error, sizeof c->error);
}

bool cli_coord_config_read(cli_coord_config *c, const char *file)
{
    cli_file f;
    if (!read_file(c, file, &f)) {
        return false;
    }
    bool ok = cli_coord_config_parse(c, rmr_bytes_of(f.data, f.len));
    cli_file_free(&f);
    return ok;
}

bool cli_coord_config_read_records(cli_coord_config *c, const char *file)
{
    cli_file f;
    cli_coord_config_init(c, file);
    if (!cli_file_read(&f, file, FILE_MAX, c->error, sizeof c->error)) {
        return false;
    }
    bool ok = cli_coord_yaml_records(c, rmr_bytes_of(f.data, f.len)) &&
              cli_coord_check_records(c);
    cli_file_free(&f);
    return ok;
}

void cli_coord_config_free(cli_coord_config *c)
{
    for (size_t i = 0; i < c->n_kept; i++) {
        free(c->kept[i]);
    }
    free(c->kept);
    memset(c, 0, sizeof *c);
}

bool cli_coord_config_socket(const char *file, char *dst, size_t dst_cap,
                             char *error, size_t cap)
{
    cli_coord_config *c = calloc(1, sizeof *c);
    cli_file f;
    bool ok;
    if (c == NULL) {
        (void)snprintf(error, cap, "out of memory");
        return false;
    }
    ok = read_file(c, file, &f);
    if (ok) {
        ok = cli_coord_yaml(c, rmr_bytes_of(f.data, f.len)) && default_paths(c);
        cli_file_free(&f);
    }
    if (ok && strlen(c->unix_socket) >= dst_cap) {
        ok = cli_coord_wrong(c, "%.200s: the path of 'unix_socket' is too long",
                             c->file);
    }
    (void)snprintf(ok ? dst : error, ok ? dst_cap : cap, "%s",
                   ok ? c->unix_socket : c->error);
    cli_coord_config_free(c);
    free(c);
    return ok;
}
