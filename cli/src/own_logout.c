/* A node that joins only to log out. */
#include "own_logout.h"

#include <stdio.h>
#include <string.h>

#include <remora/control.h>
#include <remora/node.h>
#include <remora/posix.h>

#include "local_client.h"
#include "print.h"

#define PATIENCE (15 * RMR_SEC)

bool cli_own_logout_prepare(cli_own_logout *o, const cli_args *a)
{
    char error[4500];
    memset(o, 0, sizeof *o);
    if (!cli_ca_read(&o->ca, a->ca_file, error, sizeof error) ||
        !cli_proxy_find(&o->proxy, error, sizeof error)) {
        cli_complain("%s", error);
        return false;
    }
    return true;
}

static void keep_why(cli_own_logout *o, const rmr_node_event *ev)
{
    (void)snprintf(o->why, sizeof o->why, "%s",
                   ev->text != NULL && ev->text[0] != '\0'
                       ? ev->text
                       : rmr_node_err_text(ev->err));
}

/* An outage may pass; a refusal does not. */
static void on_event(void *user, const rmr_node_event *ev)
{
    cli_own_logout *o = user;
    switch (ev->kind) {
    case RMR_NODE_EV_STATE:
        o->is_done |= o->asked && ev->state == RMR_NODE_NEEDS_LOGIN;
        break;
    case RMR_NODE_EV_TROUBLE:
        keep_why(o, ev);
        o->is_over |= ev->err == RMR_E_CTL_REFUSED;
        break;
    case RMR_NODE_EV_FAILED:
        keep_why(o, ev);
        o->is_over = true;
        break;
    case RMR_NODE_EV_RUNNING:
        break;
    }
}

static rmr_err make_node(cli_own_logout *o, rmr_node **node)
{
    rmr_env env = rmr_posix_env();
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    env.log = cli_log(RMR_LOG_OFF, &o->quiet);
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = o;
    cb.on_event = on_event;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.local_name = CLI_LOCAL_NAME; /* no other node starts meanwhile */
    cfg.no_udp = cfg.no_port_mapping = true;
    cfg.ca_pem = rmr_bytes_of(o->ca.data, o->ca.len);
    cfg.proxy_host = o->proxy.host[0] != '\0' ? o->proxy.host : NULL;
    cfg.proxy_port = o->proxy.port;
    cfg.proxy_auth = o->proxy.auth;
    cfg.no_proxy = o->proxy.no_proxy;
    cfg.callbacks = &cb;
    return rmr_node_new(node, &env, &cfg, rmr_posix_now());
}

/* Until it ended, at the latest PATIENCE from now. */
static rmr_err turns(cli_own_logout *o, rmr_posix *posix, rmr_node *node)
{
    rmr_time last = rmr_time_add(rmr_posix_now(), PATIENCE);
    rmr_err err = RMR_OK;
    for (size_t running = 1; running > 0 && err == RMR_OK;) {
        rmr_time now = rmr_posix_now();
        if (!o->asked) {
            o->asked = rmr_node_logout(node, now) == RMR_OK;
        }
        if (o->is_over || now >= last) {
            rmr_node_stop(node, now);
        }
        rmr_posix_wake(posix);
        err = rmr_posix_turn(posix, RMR_SEC / 10, &running);
    }
    return err;
}

bool cli_own_logout_run(cli_own_logout *o)
{
    rmr_posix *posix = NULL;
    rmr_node *node = NULL;
    rmr_machine machine;
    rmr_posix_config cfg;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = ".";
    rmr_err err = rmr_posix_new(&posix, &cfg);
    if (err == RMR_OK) {
        err = make_node(o, &node);
    }
    if (err == RMR_OK) {
        machine = rmr_node_machine(node);
        err = rmr_posix_add(posix, &machine);
    }
    if (err == RMR_OK) {
        err = turns(o, posix, node);
    }
    rmr_posix_free(posix);
    rmr_node_free(node);
    if (o->is_done) {
        return true;
    }
    if (o->why[0] == '\0') {
        (void)snprintf(o->why, sizeof o->why, "%s",
                       err != RMR_OK ? rmr_node_err_text(err)
                                     : "the control server did not answer");
    }
    cli_complain("not logged out: %s", o->why);
    return false;
}

void cli_own_logout_free(cli_own_logout *o)
{
    cli_file_free(&o->ca);
    cli_proxy_wipe(&o->proxy);
}
