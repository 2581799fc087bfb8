/* See tunnel.h.  The bound: whatever the node takes comes through one function,
 * which refuses beyond memory_max.  The node then drops what it was about (a
 * packet, a connection, a change of the netmap) and goes on; a system that finds
 * its own limit passed kills the process instead. */
#include "tunnel.h"

#include <remora/crypto.h>

#include <stdlib.h>

#define TCP_BUFFER ((size_t)64 * 1024) /* the stack serves names alone */

struct tunnel {
    tunnel_config cfg;
    tunnel_memory memory;
    rmr_node *node;
};

/* ---- memory ------------------------------------------------------------- */

static void *take(void *user, size_t size, size_t align)
{
    tunnel *t = user;
    void *p = NULL;
    if (size <= t->cfg.memory_max - t->memory.now)
        p = t->cfg.env.alloc.alloc(t->cfg.env.alloc.user, size, align);
    t->memory.refused += !p;
    t->memory.now += p ? size : 0;
    if (t->memory.now > t->memory.peak)
        t->memory.peak = t->memory.now;
    return p;
}

static void give_back(void *user, void *ptr, size_t size)
{
    tunnel *t = user;
    t->memory.now -= ptr ? size : 0;
    t->cfg.env.alloc.release(t->cfg.env.alloc.user, ptr, size);
}

tunnel_memory tunnel_get_memory(const tunnel *t)
{
    return t->memory;
}

/* ---- the node ----------------------------------------------------------- */

static void on_event(void *user, const rmr_node_event *ev)
{
    tunnel *t = user;
    bool is_end = ev->kind == RMR_NODE_EV_FAILED;
    if (ev->kind == RMR_NODE_EV_RUNNING)
        t->cfg.on_up(t->cfg.user, ev->ips, ev->n_ips);
    else if (is_end || ev->kind == RMR_NODE_EV_TROUBLE ||
             (ev->state == RMR_NODE_NEEDS_LOGIN && ev->text && *ev->text))
        t->cfg.on_trouble(t->cfg.user, ev->text, is_end);
}

static void on_packet(void *user, rmr_bytes packet)
{
    tunnel *t = user;
    t->cfg.on_packet(t->cfg.user, packet);
}

rmr_err tunnel_new(tunnel **out, const tunnel_config *cfg, rmr_time now)
{
    rmr_node_callbacks cb = {.struct_size = sizeof cb, .on_event = on_event};
    rmr_node_config nc;
    tunnel *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return RMR_E_NOMEM;
    t->cfg = *cfg;
    rmr_env env = cfg->env;
    env.alloc = (rmr_alloc){take, give_back, t};
    cb.user = t;
    cb.on_packet = on_packet;
    rmr_node_config_init(&nc, sizeof nc);
    nc.control_url = cfg->control_url;
    nc.auth_key = cfg->auth_key;
    nc.hostname = cfg->hostname;
    nc.ca_pem = cfg->ca_pem;
    nc.tcp_buffer = TCP_BUFFER;
    nc.accept_routes = true;
    nc.callbacks = &cb;
    rmr_err err = rmr_crypto_init();
    if (err == RMR_OK)
        err = rmr_node_new(&t->node, &env, &nc, now);
    if (err == RMR_OK)
        *out = t;
    else
        tunnel_free(t);
    return err;
}

void tunnel_free(tunnel *t)
{
    if (t)
        rmr_node_free(t->node);
    free(t);
}

rmr_machine tunnel_machine(tunnel *t)
{
    return rmr_node_machine(t->node);
}

void tunnel_send(tunnel *t, rmr_time now, rmr_bytes packet)
{
    (void)rmr_node_send_packet(t->node, now, packet);
}
