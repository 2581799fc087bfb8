/* remora up: the node on the poll adapter, until it ends or is asked to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <remora/node.h>
#include <remora/posix.h>

#include "commands.h"
#include "config_file.h"
#include "files.h"
#include "local_client.h"
#include "metrics_file.h"
#include "print.h"
#include "proxy.h"
#include "secret.h"
#include "signals.h"
#include "up_events.h"

typedef struct up {
    rmr_posix *posix;
    rmr_node *node;
    rmr_env env;
    cli_up_events events;
    cli_file ca;
    cli_proxy proxy;
    cli_metrics_file metrics;
    bool quiet; /* what fails now is said in one sentence, not twice */
    char dir[4096];
    char hostname[64];
    char os_version[128];
} up;

/* The key may come from the environment even when the command line has one:
 * it is taken out of there in any case. */
static bool find_auth_key(cli_args *a, char *error, size_t cap)
{
    char *from_env = cli_secret_take_env("REMORA_AUTH_KEY");
    if (a->auth_key != NULL) {
        cli_secret_free(from_env);
        return true;
    }
    if (a->auth_key_file != NULL) {
        cli_secret_free(from_env);
        a->auth_key = cli_secret_read_file(a->auth_key_file, error, cap);
        return a->auth_key != NULL;
    }
    a->auth_key = from_env;
    return true;
}

/* This machine's name up to its first dot; NULL where it says nothing. */
static const char *own_name(char *dst, size_t cap)
{
    size_t n;
    if (gethostname(dst, cap) != 0) {
        return NULL;
    }
    dst[cap - 1] = '\0';
    n = strcspn(dst, ".");
    dst[n] = '\0';
    return n == 0 || strcmp(dst, "localhost") == 0 ? NULL : dst;
}

static const char *own_os_version(char *dst, size_t cap)
{
    struct utsname u;
    if (uname(&u) < 0) {
        return NULL;
    }
    (void)snprintf(dst, cap, "%.100s", u.release);
    return dst;
}

/* Flags that were given, true or false, count more than what the state has. */
static void take_prefs(rmr_node_prefs *p, const cli_args *a)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } flags[] = {
        {"advertise-exit-node", RMR_NODE_PREF_ADVERTISE_EXIT_NODE},
        {"accept-routes", RMR_NODE_PREF_ACCEPT_ROUTES},
        {"exit-node-allow-lan", RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN},
        {"accept-dns", RMR_NODE_PREF_ACCEPT_DNS},
        {"shields-up", RMR_NODE_PREF_SHIELDS_UP},
    };
    rmr_node_prefs_init(p, sizeof *p);
    p->advertise_exit_node = a->advertise_exit_node;
    p->accept_routes = a->accept_routes;
    p->exit_node_allow_lan = a->exit_node_allow_lan;
    p->accept_dns = a->accept_dns;
    p->shields_up = a->shields_up;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        p->given |= cli_args_gave(a, flags[i].name) ? flags[i].bit : 0;
    }
}

static void on_event(void *user, const rmr_node_event *ev)
{
    up *u = user;
    cli_up_event(&u->events, ev);
    /* Before the connection of who asked for the end tells of it. */
    if (ev->kind == RMR_NODE_EV_STATE && ev->state == RMR_NODE_STOPPED) {
        cli_metrics_file_end(&u->metrics);
    }
}

static rmr_err make_node(up *u, const cli_args *a)
{
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    rmr_node_prefs prefs;

    memset(&cb, 0, sizeof cb);
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = u;
    cb.on_event = on_event;

    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = a->control_url;
    cfg.auth_key = a->auth_key;
    cfg.hostname = a->hostname != NULL
                       ? a->hostname
                       : own_name(u->hostname, sizeof u->hostname);
    cfg.product = "remora/" REMORA_VERSION;
    cfg.os_version = own_os_version(u->os_version, sizeof u->os_version);
    cfg.ephemeral = a->ephemeral;
    cfg.keep_auth_key = true; /* the next node key is registered with it */
    cfg.accept_control_key = a->accept_control_key;
    cfg.ca_pem = rmr_bytes_of(u->ca.data, u->ca.len);
    if (a->has_udp_port) {
        cfg.udp_port = a->udp_port;
    }
    cfg.no_udp = a->no_udp;
    cfg.no_port_mapping = a->no_port_mapping;
    cfg.static_endpoints = a->endpoints;
    cfg.n_static_endpoints = a->n_endpoints;
    cfg.advertise_routes = a->routes;
    cfg.n_advertise_routes = a->n_routes;
    if (a->tags != NULL) {
        cfg.tags = a->tags->at;
        cfg.n_tags = a->tags->n;
    }
    cfg.advertise_exit_node = a->advertise_exit_node;
    cfg.accept_routes = a->accept_routes;
    cfg.exit_node = a->exit_node;
    cfg.exit_node_allow_lan = a->exit_node_allow_lan;
    cfg.socks5 = a->socks5;
    cfg.socks5_user = a->socks5_user;
    cfg.socks5_password = a->socks5_password;
    cfg.forwards = a->forwards;
    cfg.n_forwards = a->n_forwards;
    cfg.serves = a->serves;
    cfg.n_serves = a->n_serves;
    take_prefs(&prefs, a);
    cfg.prefs = &prefs;
    cfg.metrics = a->metrics;
    cfg.local_name = CLI_LOCAL_NAME;
    cfg.proxy_host = u->proxy.host;
    cfg.proxy_port = u->proxy.port;
    cfg.proxy_auth = u->proxy.auth;
    cfg.no_proxy = u->proxy.no_proxy;
    cfg.callbacks = &cb;
    return rmr_node_new(&u->node, &u->env, &cfg, rmr_posix_now());
}

/* All that the program itself can find wrong; complains. */
static bool prepare(up *u, cli_args *a)
{
    char error[4500];
    if (!cli_state_dir(a->state_dir, u->dir, sizeof u->dir, error,
                       sizeof error) ||
        !find_auth_key(a, error, sizeof error) ||
        !cli_proxy_find(&u->proxy, error, sizeof error) ||
        !cli_ca_read(&u->ca, a->ca_file, error, sizeof error)) {
        cli_complain("%s", error);
        return false;
    }
    cli_make_parents(u->dir);
    u->env = rmr_posix_env();
    u->env.log = cli_log(a->log_level, &u->quiet);
    u->events.json = a->json;
    u->metrics.path = a->metrics_file;
    return true;
}

static bool start_adapter(up *u)
{
    rmr_posix_config cfg;
    rmr_err err;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = u->dir;
    cfg.log = u->env.log;
    u->quiet = true;
    err = rmr_posix_new(&u->posix, &cfg);
    u->quiet = false;
    if (err == RMR_E_NOMEM) {
        cli_complain("out of memory");
    } else if (err != RMR_OK) {
        char why[4500];
        cli_state_dir_why(u->dir, why, sizeof why);
        cli_complain("%s", why);
    }
    return err == RMR_OK;
}

static bool start_node(up *u, cli_args *a)
{
    rmr_err err = make_node(u, a);
    rmr_machine machine;
    /* The node has copies of all of them. */
    cli_secret_free(a->auth_key);
    a->auth_key = NULL;
    cli_file_free(&u->ca);
    cli_proxy_wipe(&u->proxy);
    if (err == RMR_E_INVAL) {
        cli_complain("--control-url is not a valid address; it looks like "
                     "https://headscale.example.com");
        return false;
    }
    if (err == RMR_OK) {
        machine = rmr_node_machine(u->node);
        err = rmr_posix_add(u->posix, &machine);
    }
    if (err != RMR_OK) {
        cli_complain("%s", rmr_node_err_text(err));
    }
    return err == RMR_OK;
}

/* As rmr_posix_run, and the metrics file in between: in time, and when an event
 * was told. */
static rmr_err run_turns(up *u)
{
    rmr_err err = RMR_OK;
    unsigned told = u->events.told;
    for (size_t running = 1; running > 0 && err == RMR_OK;) {
        rmr_dur wait = cli_metrics_file_wait(&u->metrics, rmr_posix_now());
        err = rmr_posix_turn(u->posix, wait, &running);
        if (told != u->events.told) {
            told = u->events.told;
            u->metrics.due = 0;
        }
        cli_metrics_file_tick(&u->metrics, u->node, rmr_posix_now());
    }
    cli_metrics_file_end(&u->metrics);
    return err == RMR_OK ? rmr_posix_run(u->posix) /* its result */ : err;
}

static int run(up *u)
{
    rmr_err err;
    cli_signals_catch(u->posix);
    err = run_turns(u);
    cli_signals_release();
    if (u->events.failed) {
        return CLI_EXIT_FAILED;
    }
    if (err != RMR_OK) {
        cli_complain("%s", rmr_node_err_text(err));
        return CLI_EXIT_FAILED;
    }
    cli_up_stopped(&u->events);
    return CLI_EXIT_OK;
}

int cli_up(cli_args *a)
{
    up u;
    int code = CLI_EXIT_FAILED;

    memset(&u, 0, sizeof u);
    if (!cli_config_read(a)) {
        cli_complain("%s", a->error);
        return CLI_EXIT_FAILED;
    }
    if (a->log_json) {
        cli_print_json();
    }
    if (prepare(&u, a) && start_adapter(&u) && start_node(&u, a)) {
        code = run(&u);
    }
    rmr_posix_free(u.posix);
    rmr_node_free(u.node);
    cli_file_free(&u.ca);
    cli_proxy_wipe(&u.proxy);
    return code;
}
