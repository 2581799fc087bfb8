/* A netcheck in this process: a node that does nothing else, on the adapter. */
#include "own_netcheck.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <remora/node.h>
#include <remora/posix.h>

#include "print.h"

#define MAP_MAX ((size_t)16 * 1024 * 1024)

bool cli_own_netcheck_prepare(cli_own_netcheck *o, const cli_args *a)
{
    char error[4500];
    memset(o, 0, sizeof *o);
    o->has_map = a->derp_map != NULL;
    if ((o->has_map &&
         !cli_file_read(&o->map, a->derp_map, MAP_MAX, error, sizeof error)) ||
        !cli_ca_read(&o->ca, a->ca_file, error, sizeof error) ||
        !cli_proxy_find(&o->proxy, error, sizeof error)) {
        cli_complain("%s", error);
        return false;
    }
    if (o->has_map && o->map.len == 0) {
        cli_complain("%s is empty; a relay map is JSON, as remora debug "
                     "derp-map prints it",
                     a->derp_map);
        return false;
    }
    return true;
}

static void on_report(void *user, rmr_bytes json)
{
    cli_own_netcheck *o = user;
    o->report = malloc(json.len);
    if (o->report != NULL) {
        memcpy(o->report, json.ptr, json.len);
        o->report_len = json.len;
    }
}

static void on_event(void *user, const rmr_node_event *ev)
{
    cli_own_netcheck *o = user;
    if (ev->kind != RMR_NODE_EV_FAILED) {
        return;
    }
    o->has_failed = true;
    if (ev->err == RMR_E_NOTFOUND && !o->has_map) {
        cli_complain("no node runs, and no relays are known from an earlier "
                     "one: name the --state-dir, or a relay map with "
                     "--derp-map FILE");
    } else {
        cli_complain("%s", ev->text);
    }
}

static rmr_err make_node(cli_own_netcheck *o, rmr_node **node)
{
    rmr_env env = rmr_posix_env();
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    env.log = cli_log(RMR_LOG_ERROR, &o->quiet);
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = o;
    cb.on_event = on_event;
    cb.on_report = on_report;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.only_netcheck = true;
    cfg.derp_map = rmr_bytes_of(o->map.data, o->map.len);
    cfg.udp_port = 0; /* that of a node stays free for it */
    cfg.ca_pem = rmr_bytes_of(o->ca.data, o->ca.len);
    cfg.proxy_host = o->proxy.host[0] != '\0' ? o->proxy.host : NULL;
    cfg.proxy_port = o->proxy.port;
    cfg.proxy_auth = o->proxy.auth;
    cfg.no_proxy = o->proxy.no_proxy;
    cfg.callbacks = &cb;
    return rmr_node_new(node, &env, &cfg, rmr_posix_now());
}

static rmr_err make_posix(const char *dir, rmr_posix **posix)
{
    rmr_posix_config cfg;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    return rmr_posix_new(posix, &cfg);
}

bool cli_own_netcheck_run(cli_own_netcheck *o, bool in_dir, rmr_bytes *json)
{
    rmr_posix *posix = NULL;
    rmr_node *node = NULL;
    rmr_machine machine;
    rmr_err err = make_posix(in_dir ? "." : NULL, &posix);
    /* A directory that is nobody's state has no netmap either. */
    if (err == RMR_E_DENIED || err == RMR_E_IO) {
        err = make_posix(NULL, &posix);
    }
    if (err == RMR_OK) {
        err = make_node(o, &node);
    }
    if (err == RMR_OK) {
        machine = rmr_node_machine(node);
        err = rmr_posix_add(posix, &machine);
    }
    if (err == RMR_OK) {
        err = rmr_posix_run(posix);
    }
    rmr_posix_free(posix);
    rmr_node_free(node);
    if (o->report == NULL) {
        if (!o->has_failed) {
            cli_complain("%s",
                         rmr_node_err_text(err == RMR_OK ? RMR_E_NOMEM : err));
        }
        return false;
    }
    *json = rmr_bytes_of(o->report, o->report_len);
    return true;
}

void cli_own_netcheck_free(cli_own_netcheck *o)
{
    cli_file_free(&o->ca);
    cli_file_free(&o->map);
    cli_proxy_wipe(&o->proxy);
    free(o->report);
    o->report = NULL;
}
