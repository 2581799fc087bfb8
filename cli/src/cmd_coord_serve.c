/* remora coordinator serve: the server on the poll adapter, until it is asked
 * to end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <remora/coord.h>
#include <remora/posix.h>
#include <remora/store_sqlite.h>

#include "commands.h"
#include "coord_args.h"
#include "coord_config.h"
#include "coord_events.h"
#include "coord_files.h"
#include "coord_key.h"
#include "coord_relay.h"
#include "help.h"
#include "print.h"
#include "signals.h"
#include "usage.h"

typedef struct server {
    cli_coord_args args;
    cli_coord_config cfg;
    cli_coord_files files;
    cli_coord_events events;
    cli_coord_relay relay;
    uint8_t key[RMR_KEY_LEN]; /* secret */
    rmr_env env;
    rmr_posix *posix;
    rmr_store_sqlite *db;
    rmr_coord *coord;
    char socket_dir[CLI_COORD_PATH_MAX];
    bool quiet;
} server;

/* ---- beginning ----------------------------------------------------------- */

/* It is served all the same: a proxy may look at it in another way. */
static void complain_of_certificate(server *s)
{
    if (!cli_coord_files_doubts(&s->files, &s->cfg, (uint64_t)time(NULL))) {
        cli_complain("%s", s->files.error);
    }
}

static bool read_all(server *s)
{
    char error[1024];
    cli_coord_config *c = &s->cfg;
    if (!cli_coord_config_read(c, s->args.config)) {
        cli_complain("%s", c->error);
        return false;
    }
    if (!cli_coord_files_certificate(&s->files, c) ||
        !cli_coord_files_policy(&s->files, c) ||
        !cli_coord_files_dns(&s->files, c)) {
        cli_complain("%s", s->files.error);
        return false;
    }
    complain_of_certificate(s);
    s->env = rmr_posix_env();
    cli_make_parents(c->state_dir);
    (void)mkdir(c->state_dir, 0700);
    cli_make_private_dir(c->noise_key);
    if (!cli_coord_key_file(c->noise_key, &s->env, s->key, error,
                            sizeof error)) {
        cli_complain("%s", error);
        return false;
    }
    if (c->log_json) {
        cli_print_json();
    }
    s->env.log = cli_log(c->log_level, &s->quiet);
    return true;
}

/* The relay's certificate is in the map. */
static bool make_relay(server *s)
{
    if (!cli_coord_relay_make(&s->relay, &s->cfg, &s->files, &s->env)) {
        cli_complain("%s", s->relay.error);
        return false;
    }
    if (!cli_coord_files_derp_map(&s->files, &s->cfg,
                                  cli_coord_relay_own(&s->relay))) {
        cli_complain("%s", s->files.error);
        return false;
    }
    return true;
}

/* Behind the lock on the database there is one server at a time: it is opened
 * before the socket. */
static bool open_database(server *s)
{
    char why[RMR_STORE_SQLITE_WHY];
    rmr_store_sqlite_config sc;
    rmr_store_sqlite_config_init(&sc, sizeof sc);
    sc.path = s->cfg.database;
    cli_make_private_dir(sc.path);
    rmr_err err = rmr_store_sqlite_open(&s->db, &sc, why);
    if (err == RMR_E_INUSE) {
        cli_complain("another process serves from %s already", sc.path);
    } else if (err != RMR_OK) {
        cli_complain("%s: %s", sc.path, why);
    }
    return err == RMR_OK;
}

/* A descriptor for each node: most hosts give 1,024, and more to who asks. */
static void take_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r); /* else as many as there are */
}

/* The adapter has the directory of the local socket. */
static bool start_adapter(server *s)
{
    rmr_posix_config pc;
    bool shared = (s->cfg.unix_socket_mode & 077) != 0;
    if (shared) {
        cli_make_shared_dir(s->cfg.unix_socket);
    } else {
        cli_make_private_dir(s->cfg.unix_socket);
    }
    if (!cli_coord_files_socket_dir(&s->files, &s->cfg, s->socket_dir,
                                    sizeof s->socket_dir)) {
        cli_complain("%s", s->files.error);
        return false;
    }
    take_descriptors();
    rmr_posix_config_init(&pc, sizeof pc);
    pc.dir = s->socket_dir;
    pc.dir_shared = shared;
    pc.log = s->env.log;
    pc.no_links = true;
    rmr_err err = rmr_posix_new(&s->posix, &pc);
    if (err != RMR_OK) {
        cli_complain("can't use %s, the directory of 'unix_socket': %s",
                     s->socket_dir, rmr_err_name(err));
    }
    return err == RMR_OK;
}

static rmr_err make_server(server *s)
{
    const cli_coord_config *c = &s->cfg;
    const char *slash = strrchr(c->unix_socket, '/');
    rmr_coord_config cc;
    rmr_coord_store store = rmr_store_sqlite_table(s->db);
    rmr_coord_callbacks cb = cli_coord_events_callbacks(&s->events);
    rmr_coord_config_init(&cc, sizeof cc);
    cc.listen = c->listen.at;
    cc.n_listen = c->listen.n;
    cc.cert_pem = rmr_bytes_of(s->files.cert.data, s->files.cert.len);
    cc.key_pem = rmr_bytes_of(s->files.key.data, s->files.key.len);
    cc.server_url = c->server_url;
    cc.base_domain = c->base_domain;
    cc.v4 = c->v4;
    cc.v6 = c->v6;
    cc.dns = &s->files.dns;
    cc.derp_map = rmr_bytes_of(s->files.derp_map.data, s->files.derp_map.len);
    cc.policy_mode = c->policy_in_database ? RMR_COORD_POLICY_DATABASE
                                           : RMR_COORD_POLICY_FILE;
    cc.policy = rmr_bytes_of(s->files.policy.data, s->files.policy.len);
    cc.open = c->open;
    cc.proxies = c->proxies;
    cc.n_proxies = c->n_proxies;
    cc.handshake_rate = c->handshake_rate;
    cc.handshake_burst = c->handshake_burst;
    cc.private_key = s->key;
    cc.node_expiry = c->node_expiry;
    cc.ephemeral_timeout = c->ephemeral_timeout;
    cc.callbacks = &cb;
    cc.store = &store;
    cc.socket_name = slash != NULL ? slash + 1 : c->unix_socket;
    cc.metrics_listen = c->metrics.family != RMR_AF_NONE ? &c->metrics : NULL;
    cc.more_metrics = cli_coord_relay_metrics;
    cc.more_metrics_user = &s->relay;
    cc.version = REMORA_VERSION;
    s->events.socket = c->unix_socket;
    s->events.socket_mode = c->unix_socket_mode;
    return rmr_coord_new(&s->coord, &s->env, &cc, rmr_posix_now());
}

static bool start_server(server *s)
{
    rmr_err err = make_server(s);
    rmr_wipe(s->key, sizeof s->key);
    cli_file_free(&s->files.key);
    if (err == RMR_OK) {
        rmr_machine m = rmr_coord_machine(s->coord);
        err = rmr_posix_add(s->posix, &m);
    }
    if (err != RMR_OK) {
        cli_complain("the coordination server can't start: %s",
                     rmr_err_name(err));
    }
    if (err == RMR_OK &&
        !cli_coord_relay_start(&s->relay, s->posix, s->coord)) {
        cli_complain("%s", s->relay.error);
        return false;
    }
    return err == RMR_OK;
}

/* ---- running ------------------------------------------------------------- */

static bool refresh_map(server *s)
{
    if (!cli_coord_files_derp_map(&s->files, &s->cfg,
                                  cli_coord_relay_own(&s->relay))) {
        cli_complain("%s; nothing is changed by it", s->files.error);
        return false;
    }
    rmr_err err = rmr_coord_set_derp_map(
        s->coord, rmr_bytes_of(s->files.derp_map.data, s->files.derp_map.len));
    if (err != RMR_OK) {
        cli_complain("the new DERP map is not taken: %s", rmr_err_name(err));
    }
    return err == RMR_OK;
}

static bool refresh_relay(server *s)
{
    if (!cli_coord_relay_renew(&s->relay, &s->files)) {
        cli_complain("%s", s->relay.error);
        return false;
    }
    return true;
}

static bool reload_certificate(server *s)
{
    rmr_err err = RMR_OK;
    if (!cli_coord_files_certificate(&s->files, &s->cfg)) {
        cli_complain("%s; nothing is changed by it", s->files.error);
        return false;
    }
    complain_of_certificate(s);
    if (s->cfg.tls_cert != NULL) {
        err = rmr_coord_set_certificate(
            s->coord, rmr_bytes_of(s->files.cert.data, s->files.cert.len),
            rmr_bytes_of(s->files.key.data, s->files.key.len));
        if (err != RMR_OK) {
            cli_complain("the new certificate is not taken: %s",
                         rmr_err_name(err));
        }
    }
    bool ok = refresh_relay(s);
    cli_file_free(&s->files.key);
    return ok && err == RMR_OK;
}

static bool reload_policy(server *s)
{
    rmr_pol_why why;
    if (s->cfg.policy == NULL) {
        return true;
    }
    if (!cli_coord_files_policy(&s->files, &s->cfg)) {
        cli_complain("%s; the old policy stays", s->files.error);
        return false;
    }
    memset(&why, 0, sizeof why);
    rmr_err err = rmr_coord_set_policy(
        s->coord, rmr_bytes_of(s->files.policy.data, s->files.policy.len),
        &why);
    if (err != RMR_OK) {
        cli_coord_files_why(&s->files, &s->cfg, err, &why);
        cli_complain("%s; the old policy stays", s->files.error);
    }
    return err == RMR_OK;
}

static bool reload_dns(server *s)
{
    if (!cli_coord_files_dns(&s->files, &s->cfg)) {
        cli_complain("%s; nothing is changed by it", s->files.error);
        return false;
    }
    rmr_err err = rmr_coord_set_dns(s->coord, &s->files.dns);
    if (err != RMR_OK) {
        cli_complain("the new DNS records are not taken: %s",
                     err == RMR_E_TOOBIG ? "they are too many"
                                         : rmr_err_name(err));
    }
    return err == RMR_OK;
}

/* SIGHUP: what the files say now; what is wrong stays as it was.  The
 * configuration itself is read at the start alone. */
static void reload(server *s)
{
    bool ok = reload_certificate(s);
    ok = reload_policy(s) && ok;
    ok = refresh_map(s) && ok;
    ok = reload_dns(s) && ok;
    cli_coord_events_reloaded(&s->events, ok);
}

static int run(server *s)
{
    size_t running = 1;
    rmr_err err = RMR_OK;
    cli_raise_open_files();
    cli_signals_catch(s->posix);
    while (running > 0 && err == RMR_OK) {
        if (cli_signals_reload()) {
            reload(s);
        }
        if (cli_coord_relay_due(&s->relay)) {
            (void)refresh_relay(s);
            (void)refresh_map(s);
        }
        cli_coord_events_turn(&s->events, rmr_posix_now());
        err = rmr_posix_turn(s->posix, 60 * RMR_SEC, &running);
    }
    cli_signals_release();
    if (err != RMR_OK) {
        cli_complain("the coordination server can't go on: %s",
                     rmr_err_name(err));
    }
    return err != RMR_OK || s->events.failed || s->relay.failed
               ? CLI_EXIT_FAILED
               : CLI_EXIT_OK;
}

static int serve(server *s)
{
    if (!read_all(s) || !make_relay(s) || !open_database(s) ||
        !start_adapter(s) || !start_server(s)) {
        return CLI_EXIT_FAILED;
    }
    return run(s);
}

int cli_coord_serve(int argc, char **argv)
{
    server *s = calloc(1, sizeof *s);
    int code = CLI_EXIT_USAGE;
    if (s == NULL) {
        cli_complain("out of memory");
        return CLI_EXIT_FAILED;
    }
    cli_signals_reloads();
    if (!cli_coord_args_parse(&s->args, argc, argv)) {
        cli_complain("%s", s->args.error);
    } else if (s->args.help) {
        (void)fputs(cli_help_coord_serve, stdout);
        code = CLI_EXIT_OK;
    } else {
        s->events.json = s->relay.json = s->args.json;
        code = serve(s);
    }
    rmr_posix_free(s->posix);
    cli_coord_relay_free(&s->relay);
    rmr_coord_free(s->coord);
    rmr_store_sqlite_close(s->db);
    cli_coord_files_free(&s->files);
    cli_coord_config_free(&s->cfg);
    rmr_wipe(s->key, sizeof s->key);
    free(s);
    return code;
}
