/* remora relay: the relay on the poll adapter, until it is asked to end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/posix.h>
#include <remora/relay.h>
#include <remora/text.h>

#include "commands.h"
#include "files.h"
#include "help.h"
#include "print.h"
#include "proxy.h"
#include "relay_args.h"
#include "secret.h"
#include "signals.h"
#include "usage.h"

#define CONFIG_MAX ((size_t)1024 * 1024)
#define PEM_MAX ((size_t)1024 * 1024)

typedef struct command {
    cli_relay_args args;
    cli_file config, cert, key, ca;
    cli_proxy proxy;
    char *mesh_text; /* secret */
    uint8_t mesh_key[RMR_KEY_LEN];
    rmr_env env;
    rmr_posix *posix;
    rmr_relay *relay;
    uint64_t start_bytes; /* of memory */
    bool quiet;
    bool failed; /* said already */
    char error[4500];
} command;

/* ---- what it says ------------------------------------------------------ */

static void say_ready(const rmr_relay_event *ev)
{
    char key[2 * RMR_KEY_LEN + 1];
    rmr_hex(key, ev->key, RMR_KEY_LEN);
    (void)printf("ready, public key nodekey:%s\n", key);
    (void)fflush(stdout);
}

static void on_event(void *user, const rmr_relay_event *ev)
{
    command *c = user;
    char addr[RMR_ADDR_TEXT_MAX];
    switch (ev->kind) {
    case RMR_RELAY_EV_READY:
        say_ready(ev);
        break;
    case RMR_RELAY_EV_LISTENING:
        (void)printf("listening at %s (%s)\n", rmr_addr_text(&ev->addr, addr),
                     ev->what);
        (void)fflush(stdout);
        break;
    case RMR_RELAY_EV_TROUBLE:
        cli_complain("%s", ev->text);
        break;
    case RMR_RELAY_EV_FAILED:
        c->failed = true;
        cli_complain("%s", ev->text);
        break;
    case RMR_RELAY_EV_STOPPED:
        break;
    }
}

/* For the metrics. */
static bool on_usage(void *user, rmr_relay_usage *out)
{
    const command *c = user;
    out->start_bytes = c->start_bytes;
    return cli_usage_files(&out->open_files) &&
           cli_usage_memory(&out->memory_bytes);
}

/* ---- files ------------------------------------------------------------- */

static bool read_config(command *c, cli_relay_args *a)
{
    if (a->config == NULL) {
        return true;
    }
    cli_file_free(&c->config);
    if (!cli_file_read(&c->config, a->config, CONFIG_MAX, c->error,
                       sizeof c->error)) {
        return false;
    }
    if (!cli_relay_args_file(a, a->config,
                             rmr_bytes_of(c->config.data, c->config.len))) {
        (void)snprintf(c->error, sizeof c->error, "%s", a->error);
        return false;
    }
    return true;
}

static bool read_certificate(command *c)
{
    cli_file_free(&c->cert);
    cli_file_free(&c->key);
    if (c->args.insecure_http) {
        return true;
    }
    return cli_file_read(&c->cert, c->args.tls_cert, PEM_MAX, c->error,
                         sizeof c->error) &&
           cli_file_read(&c->key, c->args.tls_key, PEM_MAX, c->error,
                         sizeof c->error);
}

static bool read_mesh_key(command *c)
{
    if (c->args.mesh_key_file == NULL) {
        return true;
    }
    c->mesh_text =
        cli_secret_read_file(c->args.mesh_key_file, c->error, sizeof c->error);
    if (c->mesh_text == NULL) {
        return false;
    }
    if (rmr_unhex(c->mesh_key, sizeof c->mesh_key,
                  rmr_bytes_str(c->mesh_text)) != RMR_OK) {
        (void)snprintf(c->error, sizeof c->error,
                       "%s must hold the mesh key, 64 hex digits",
                       c->args.mesh_key_file);
        return false;
    }
    return true;
}

/* ---- beginning --------------------------------------------------------- */

static rmr_err make_relay(command *c)
{
    const cli_relay_args *a = &c->args;
    rmr_relay_config cfg;
    rmr_relay_callbacks cb;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = c;
    cb.on_event = on_event;
    cb.on_usage = on_usage;
    rmr_relay_config_init(&cfg, sizeof cfg);
    cfg.listen = a->listen.at;
    cfg.n_listen = a->listen.n;
    cfg.http = a->http.at;
    cfg.n_http = a->http.n;
    cfg.stun = a->stun.at;
    cfg.n_stun = a->stun.n;
    cfg.metrics = a->metrics.at;
    cfg.n_metrics = a->metrics.n;
    cfg.cert_pem = rmr_bytes_of(c->cert.data, c->cert.len);
    cfg.key_pem = rmr_bytes_of(c->key.data, c->key.len);
    cfg.insecure_http = a->insecure_http;
    cfg.keep_key = a->state_dir != NULL;
    cfg.mesh_key = a->mesh_key_file != NULL ? c->mesh_key : NULL;
    cfg.mesh = a->mesh;
    cfg.n_mesh = a->n_mesh;
    cfg.verify_url = a->verify_url;
    cfg.verify_fail_closed = a->verify_fail_closed;
    cfg.ca_pem = rmr_bytes_of(c->ca.data, c->ca.len);
    cfg.proxy_host = c->proxy.host;
    cfg.proxy_port = c->proxy.port;
    cfg.proxy_auth = c->proxy.auth;
    cfg.no_proxy = c->proxy.no_proxy;
    cfg.rate_bytes = a->rate_bytes;
    cfg.rate_burst = a->rate_burst;
    cfg.bootstrap = a->names;
    cfg.n_bootstrap = a->n_names;
    cfg.callbacks = &cb;
    return rmr_relay_new(&c->relay, &c->env, &cfg, rmr_posix_now());
}

static bool start_adapter(command *c)
{
    rmr_posix_config cfg;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = c->args.state_dir;
    cfg.log = c->env.log;
    c->quiet = true;
    rmr_err err = rmr_posix_new(&c->posix, &cfg);
    c->quiet = false;
    if (err == RMR_E_NOMEM || (err != RMR_OK && cfg.dir == NULL)) {
        cli_complain("out of memory");
    } else if (err != RMR_OK) {
        cli_state_dir_why(cfg.dir, c->error, sizeof c->error);
        cli_complain("%s", c->error);
    }
    return err == RMR_OK;
}

static bool start_relay(command *c)
{
    rmr_err err = make_relay(c);
    /* The relay has copies. */
    cli_secret_free(c->mesh_text);
    c->mesh_text = NULL;
    rmr_wipe(c->mesh_key, sizeof c->mesh_key);
    cli_file_free(&c->key);
    cli_file_free(&c->ca);
    cli_proxy_wipe(&c->proxy);
    if (err == RMR_OK) {
        rmr_machine m = rmr_relay_machine(c->relay);
        err = rmr_posix_add(c->posix, &m);
    }
    if (err != RMR_OK) {
        cli_complain("%s", rmr_relay_err_text(err));
    }
    return err == RMR_OK;
}

/* ---- running ----------------------------------------------------------- */

/* SIGHUP: certificate, key and rate limits anew; what is wrong stays as it was.
 */
static void reload(command *c)
{
    cli_relay_args fresh;
    memset(&fresh, 0, sizeof fresh);
    fresh.config = c->args.config;
    bool ok = read_config(c, &fresh);
    if (ok && c->args.config != NULL) {
        rmr_relay_set_rate(c->relay, rmr_posix_now(), fresh.rate_bytes,
                           fresh.rate_burst);
    }
    cli_relay_args_free(&fresh);
    ok = ok && read_certificate(c);
    if (!ok) {
        cli_complain("%s; nothing is changed by it", c->error);
    } else if (!c->args.insecure_http) {
        rmr_err err = rmr_relay_set_certificate(
            c->relay, rmr_bytes_of(c->cert.data, c->cert.len),
            rmr_bytes_of(c->key.data, c->key.len));
        if (err != RMR_OK) {
            cli_complain("the new certificate is not taken: %s",
                         rmr_relay_err_text(err));
        }
    }
    cli_file_free(&c->key);
}

static int run(command *c)
{
    size_t running = 1;
    rmr_err err = RMR_OK;
    (void)cli_usage_memory(&c->start_bytes);
    cli_signals_catch(c->posix);
    while (running > 0 && err == RMR_OK) {
        if (cli_signals_reload()) {
            reload(c);
        }
        err = rmr_posix_turn(c->posix, 60 * RMR_SEC, &running);
    }
    cli_signals_release();
    if (err != RMR_OK) {
        cli_complain("the relay can't go on: %s", rmr_err_name(err));
    }
    return err != RMR_OK || c->failed ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

static int serve(command *c)
{
    if (!read_certificate(c) || !read_mesh_key(c) ||
        !cli_proxy_find(&c->proxy, c->error, sizeof c->error) ||
        !cli_ca_read(&c->ca, c->args.ca_file, c->error, sizeof c->error)) {
        cli_complain("%s", c->error);
        return CLI_EXIT_FAILED;
    }
    if (c->args.state_dir != NULL) {
        cli_make_parents(c->args.state_dir);
    }
    c->env = rmr_posix_env();
    c->env.log = cli_log(c->args.log_level, &c->quiet);
    if (!start_adapter(c) || !start_relay(c)) {
        return CLI_EXIT_FAILED;
    }
    return run(c);
}

int cli_relay(int argc, char **argv)
{
    command *c = calloc(1, sizeof *c);
    int code = CLI_EXIT_USAGE;
    if (c == NULL) {
        cli_complain("out of memory");
        return CLI_EXIT_FAILED;
    }
    cli_signals_reloads();
    if (!cli_relay_args_parse(&c->args, argc, argv)) {
        cli_complain("%s", c->args.error);
    } else if (c->args.help) {
        (void)fputs(cli_help_text(CLI_RELAY), stdout);
        code = CLI_EXIT_OK;
    } else if (!read_config(c, &c->args)) {
        cli_complain("%s", c->error);
        code = CLI_EXIT_FAILED;
    } else if (!cli_relay_args_check(&c->args)) {
        cli_complain("%s", c->args.error);
    } else {
        code = serve(c);
    }
    rmr_posix_free(c->posix);
    rmr_relay_free(c->relay);
    cli_file_free(&c->config);
    cli_file_free(&c->cert);
    cli_file_free(&c->key);
    cli_file_free(&c->ca);
    cli_proxy_wipe(&c->proxy);
    cli_secret_free(c->mesh_text);
    cli_relay_args_free(&c->args);
    free(c);
    return code;
}
