/* The configuration: checked, and copied as far as it is needed later. */
#include "relay_internal.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The caller's struct may be an older and shorter one. */
void rmr_relay_config_init(rmr_relay_config *cfg, size_t struct_size)
{
    rmr_relay_config c = {0};
    c.struct_size = (uint32_t)struct_size;
    c.max_clients = 65536;
    c.tls_buffers = 2048;
    c.restart_in_ms = 1000;
    c.restart_try_ms = 30000;
    memset(cfg, 0, struct_size);
    memcpy(cfg, &c, smaller(struct_size, sizeof c));
}

static bool has_scheme(const char *text)
{
    for (; *text; text++)
        if (text[0] == ':' && text[1] == '/' && text[2] == '/')
            return true;
    return false;
}

rmr_err rmr_relay_mesh_dial(const char *text, rmr_dial *out)
{
    static const char https[] = "https://";
    char url_text[RMR_HOST_MAX + 16];
    size_t at = 0, len = strlen(text);
    rmr_url url;
    if (!has_scheme(text)) {
        memcpy(url_text, https, sizeof https - 1);
        at = sizeof https - 1;
    }
    if (len >= sizeof url_text - at)
        return RMR_E_TOOBIG;
    memcpy(url_text + at, text, len + 1);
    rmr_err err = rmr_url_parse(rmr_bytes_str(url_text), &url);
    if (err != RMR_OK)
        return err;
    rmr_dial dial = {0};
    memcpy(dial.host, url.host, sizeof url.host);
    dial.port = url.port;
    dial.tls = url.https;
    *out = dial;
    return RMR_OK;
}

static void *copy(rmr_relay *r, const void *src, size_t size, size_t align)
{
    void *dst = rmr_alloc_zero(&r->env.alloc, size, align);
    if (dst)
        memcpy(dst, src, size);
    return dst;
}

static void add_listeners(rmr_relay *r, rl_door door, const rmr_addr *at,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rl_listener *l = &r->listeners[r->n_listeners++];
        l->r = r;
        l->door = door;
        l->at = at[i];
        l->resume_at = RMR_TIME_NEVER;
        rmr_ring_init(&l->out, &r->env.alloc, (size_t)256 * 1024);
    }
}

static rmr_err take_listeners(rmr_relay *r, const rmr_relay_config *c)
{
    if (c->n_listen == 0 || c->n_listen > RL_MAX_ADDRS ||
        c->n_http > RL_MAX_ADDRS || c->n_stun > RL_MAX_ADDRS ||
        c->n_metrics > RL_MAX_ADDRS)
        return RMR_E_INVAL;
    size_t n = c->n_listen + c->n_http + c->n_stun + c->n_metrics;
    r->listeners = rmr_alloc_zero(&r->env.alloc, n * sizeof *r->listeners,
                                  _Alignof(rl_listener));
    if (!r->listeners)
        return RMR_E_NOMEM;
    add_listeners(r, RL_DOOR_RELAY, c->listen, c->n_listen);
    add_listeners(r, RL_DOOR_HTTP, c->http, c->n_http);
    add_listeners(r, RL_DOOR_STUN, c->stun, c->n_stun);
    add_listeners(r, RL_DOOR_METRICS, c->metrics, c->n_metrics);
    return RMR_OK;
}

static rmr_err take_name(rmr_relay *r, rl_name *to, const rmr_relay_name *from)
{
    if (!from->host || from->n_addrs > 64)
        return RMR_E_INVAL;
    to->host = copy(r, from->host, strlen(from->host) + 1, 1);
    if (!to->host)
        return RMR_E_NOMEM;
    if (from->n_addrs == 0)
        return RMR_OK;
    to->addrs = copy(r, from->addrs, from->n_addrs * sizeof *from->addrs,
                     _Alignof(rmr_addr));
    if (!to->addrs)
        return RMR_E_NOMEM;
    to->n_addrs = from->n_addrs;
    return RMR_OK;
}

static rmr_err take_names(rmr_relay *r, const rmr_relay_config *c)
{
    rmr_err err = RMR_OK;
    if (c->n_bootstrap > RL_MAX_NAMES)
        return RMR_E_INVAL;
    if (c->n_bootstrap == 0)
        return RMR_OK;
    r->names = rmr_alloc_zero(&r->env.alloc, c->n_bootstrap * sizeof *r->names,
                              _Alignof(rl_name));
    if (!r->names)
        return RMR_E_NOMEM;
    r->n_names = c->n_bootstrap;
    for (size_t i = 0; i < r->n_names && err == RMR_OK; i++)
        err = take_name(r, &r->names[i], &c->bootstrap[i]);
    return err;
}

static rmr_err take_mesh(rmr_relay *r, const rmr_relay_config *c)
{
    static const uint8_t none[RMR_KEY_LEN];
    if (c->mesh_key) {
        memcpy(r->mesh_key, c->mesh_key, RMR_KEY_LEN);
        r->has_mesh_key = memcmp(r->mesh_key, none, RMR_KEY_LEN) != 0;
    }
    if (c->n_mesh > RL_MAX_MESH || (c->n_mesh > 0 && !r->has_mesh_key))
        return RMR_E_INVAL;
    if (c->n_mesh == 0)
        return RMR_OK;
    r->mesh_dials =
        copy(r, c->mesh, c->n_mesh * sizeof *c->mesh, _Alignof(rmr_dial));
    if (!r->mesh_dials)
        return RMR_E_NOMEM;
    r->n_mesh_dials = c->n_mesh;
    return RMR_OK;
}

static rmr_err take_tls(rmr_relay *r, const rmr_relay_config *c)
{
    rmr_err err = rmr_tls_anchors_new(&r->anchors, &r->env);
    if (err == RMR_OK && c->ca_pem.len > 0)
        err = rmr_tls_anchors_add_pem(r->anchors, c->ca_pem, NULL, NULL);
    if (err != RMR_OK)
        return err;
    if (c->cert_pem.len == 0)
        return c->insecure_http ? RMR_OK : RMR_E_INVAL;
    if (c->insecure_http)
        return RMR_E_INVAL; /* one or the other, so that none is an accident */
    err = rmr_tls_identity_new(&r->identity, &r->env, c->cert_pem, c->key_pem);
    return err == RMR_OK ? rmr_tls_pool_new(&r->pool, &r->env, c->tls_buffers)
                         : err;
}

rmr_err rmri_relay_config_take(rmr_relay *r, const rmr_relay_config *cfg)
{
    rmr_relay_config c;
    if (cfg->struct_size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    rmr_relay_config_init(&c, sizeof c);
    memcpy(&c, cfg, smaller(cfg->struct_size, sizeof c));
    if (c.callbacks) {
        if (c.callbacks->struct_size < sizeof r->cb.struct_size)
            return RMR_E_INVAL;
        memcpy(&r->cb, c.callbacks,
               smaller(c.callbacks->struct_size, sizeof r->cb));
    }
    if (c.max_clients == 0 || c.tls_buffers < 2)
        return RMR_E_INVAL;
    r->max_clients = c.max_clients;
    r->rate_bytes = c.rate_bytes;
    r->rate_burst = c.rate_burst;
    r->restart_in_ms = c.restart_in_ms;
    r->restart_try_ms = c.restart_try_ms;
    r->insecure_http = c.insecure_http;
    r->verify_fail_closed = c.verify_fail_closed;
    r->keep_key = c.keep_key;
    if (c.private_key) {
        memcpy(r->private_key, c.private_key, RMR_KEY_LEN);
        r->has_private_key = true;
    }
    if (c.verify_url) {
        if (rmr_url_parse(rmr_bytes_str(c.verify_url), &r->verify_url) !=
            RMR_OK)
            return RMR_E_INVAL;
        r->has_verify_url = true;
    }
    rmr_err err = take_listeners(r, &c);
    if (err == RMR_OK)
        err = take_names(r, &c);
    if (err == RMR_OK)
        err = take_mesh(r, &c);
    if (err == RMR_OK)
        err = take_tls(r, &c);
    return err;
}

void rmri_relay_config_free(rmr_relay *r)
{
    const rmr_alloc *a = &r->env.alloc;
    for (size_t i = 0; i < r->n_names; i++) {
        rl_name *n = &r->names[i];
        rmr_release(a, n->host, n->host ? strlen(n->host) + 1 : 0);
        rmr_release(a, n->addrs, n->n_addrs * sizeof *n->addrs);
    }
    rmr_release(a, r->names, r->n_names * sizeof *r->names);
    rmr_release(a, r->mesh_dials, r->n_mesh_dials * sizeof *r->mesh_dials);
    for (size_t i = 0; i < r->n_listeners; i++)
        rmr_ring_wipe(&r->listeners[i].out);
    rmr_release(a, r->listeners, r->n_listeners * sizeof *r->listeners);
    rmr_tls_pool_free(r->pool);
    rmr_tls_identity_free(r->identity);
    rmr_tls_anchors_free(r->anchors);
}

const char *rmr_relay_err_text(rmr_err err)
{
    if (err == RMR_E_INVAL)
        return "the relay can't be set up like this";
    return rmr_tls_err_text(err);
}
