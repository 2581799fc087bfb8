/* The configuration, copied and checked. */
#include "crd_internal.h"

#include <string.h>

#define URL_MAX 400

void rmr_coord_config_init(rmr_coord_config *cfg, size_t struct_size)
{
    rmr_coord_config d;
    memset(&d, 0, sizeof d);
    d.struct_size = (uint32_t)struct_size;
    d.v4.family = RMR_AF_INET;
    d.v4.ip[0] = 100;
    d.v4.ip[1] = 64;
    d.v4.bits = 10;
    d.v6.family = RMR_AF_INET6;
    memcpy(d.v6.ip, "\xfd\x7a\x11\x5c\xa1\xe0", 6);
    d.v6.bits = 48;
    d.ephemeral_timeout = 120 * RMR_SEC;
    d.offline_grace = 10 * RMR_SEC;
    d.max_nodes = 65536;
    d.max_connections = 65536;
    d.max_logins = 1024;
    d.handshake_rate = 100;
    d.handshake_burst = 8192;
    memcpy(cfg, &d, struct_size < sizeof d ? struct_size : sizeof d);
}

/* ---- texts --------------------------------------------------------------- */

static rmr_err no_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    bool *began = user;
    (void)text;
    if (!*began && kind != RMR_JSON_OBJECT)
        return RMR_E_MALFORMED;
    *began = true;
    return RMR_OK;
}

rmr_err rmri_crd_derp_map_take(rmr_coord *c, rmr_bytes json)
{
    uint8_t scratch[1024];
    rmr_json j;
    bool began = false;
    rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch), no_token, &began);
    if (rmr_json_feed(&j, json) != RMR_OK || rmr_json_end(&j) != RMR_OK)
        return RMR_E_MALFORMED;
    char *fresh = rmri_crd_text(c, json);
    if (!fresh)
        return RMR_E_NOMEM;
    rmri_crd_text_free(c, c->derp_map);
    c->derp_map = fresh;
    return RMR_OK;
}

/* The URL without what trails, and its host for the clients' eyes. */
static rmr_err take_url(rmr_coord *c, const char *given)
{
    rmr_bytes text = rmr_bytes_str(given);
    rmr_url url;
    while (text.len && text.ptr[text.len - 1] == '/')
        text.len--;
    if (text.len > URL_MAX || rmr_url_parse(text, &url) != RMR_OK)
        return RMR_E_INVAL;
    c->server_url = rmri_crd_text(c, text);
    c->domain = rmri_crd_text(c, rmr_bytes_str(url.host));
    return c->server_url && c->domain ? RMR_OK : RMR_E_NOMEM;
}

static rmr_err take_texts(rmr_coord *c, const rmr_coord_config *cfg)
{
    const char *base = cfg->base_domain ? cfg->base_domain : "";
    if (strlen(base) > 253)
        return RMR_E_INVAL;
    rmr_err e = take_url(c, cfg->server_url);
    c->base_domain = rmri_crd_text(c, rmr_bytes_str(base));
    c->version = rmri_crd_text(
        c, rmr_bytes_str(cfg->version ? cfg->version : "unknown"));
    if (cfg->socket_name)
        c->socket_name = rmri_crd_text(c, rmr_bytes_str(cfg->socket_name));
    if (e == RMR_OK && (!c->base_domain || !c->version ||
                        (cfg->socket_name && !c->socket_name)))
        e = RMR_E_NOMEM;
    if (e == RMR_OK)
        e = rmri_crd_dns_take(c, cfg->dns);
    return e == RMR_OK && cfg->derp_map.len
               ? rmri_crd_derp_map_take(c, cfg->derp_map)
               : e;
}

/* ---- the rest ------------------------------------------------------------ */

static bool is_valid(const rmr_coord_config *cfg)
{
    bool room = cfg->v4.family == RMR_AF_NONE ||
                (cfg->v4.family == RMR_AF_INET && cfg->v4.bits <= 28);
    room = room && (cfg->v6.family == RMR_AF_NONE ||
                    (cfg->v6.family == RMR_AF_INET6 && cfg->v6.bits <= 112));
    return cfg->struct_size && cfg->n_listen && cfg->listen &&
           cfg->n_listen <= CRD_MAX_ADDRS && room &&
           (cfg->v4.family != RMR_AF_NONE || cfg->v6.family != RMR_AF_NONE) &&
           !cfg->cert_pem.len == !cfg->key_pem.len && cfg->max_nodes &&
           cfg->max_nodes < UINT32_MAX / 4 &&
           cfg->policy_mode <= RMR_COORD_POLICY_FILE &&
           (cfg->policy_mode == RMR_COORD_POLICY_FILE || !cfg->policy.ptr);
}

static void add_listener(rmr_coord *c, crd_role role, const rmr_addr *at)
{
    crd_listener *l = &c->listeners[c->n_listeners++];
    l->c = c;
    l->role = role;
    l->name = role == CRD_SOCKET ? c->socket_name : NULL;
    if (at)
        l->at = *at;
    l->resume_at = RMR_TIME_NEVER;
}

static void take_listeners(rmr_coord *c, const rmr_coord_config *cfg)
{
    for (size_t i = 0; i < cfg->n_listen; i++)
        add_listener(c, CRD_MAIN, &cfg->listen[i]);
    if (c->socket_name)
        add_listener(c, CRD_SOCKET, NULL);
    if (cfg->metrics_listen)
        add_listener(c, CRD_METRICS, cfg->metrics_listen);
}

rmr_err rmri_crd_config_take(rmr_coord *c, const rmr_coord_config *given)
{
    rmr_coord_config cfg;
    rmr_coord_config_init(&cfg, sizeof cfg);
    memcpy(&cfg, given,
           given->struct_size < sizeof cfg ? given->struct_size : sizeof cfg);
    if (!is_valid(&cfg))
        return RMR_E_INVAL;
    if (cfg.callbacks)
        memcpy(&c->cb, cfg.callbacks,
               cfg.callbacks->struct_size < sizeof c->cb
                   ? cfg.callbacks->struct_size
                   : sizeof c->cb);
    c->v4 = cfg.v4;
    c->v6 = cfg.v6;
    c->open = cfg.open;
    c->policy.mode = cfg.policy_mode;
    c->node_expiry = cfg.node_expiry;
    c->ephemeral_timeout = cfg.ephemeral_timeout;
    c->offline_grace = cfg.offline_grace;
    c->max_nodes = cfg.max_nodes;
    c->max_connections = cfg.max_connections;
    c->max_logins = cfg.max_logins;
    c->handshake_rate = cfg.handshake_rate;
    c->handshake_burst = cfg.handshake_burst;
    c->more_metrics = cfg.more_metrics;
    c->more_metrics_user = cfg.more_metrics_user;
    c->has_private_key = cfg.private_key != NULL;
    if (cfg.private_key)
        memcpy(c->private_key, cfg.private_key, RMR_KEY_LEN);
    rmr_err e = rmri_crd_store_init(c, cfg.store);
    if (e == RMR_OK)
        e = rmri_crd_proxies_take(c, &cfg);
    if (e == RMR_OK)
        e = take_texts(c, &cfg);
    take_listeners(c, &cfg);
    if (e == RMR_OK)
        e = rmri_crd_policy_new(c, cfg.policy);
    if (e == RMR_OK && cfg.cert_pem.len)
        e = rmr_tls_identity_new(&c->identity, &c->env, cfg.cert_pem,
                                 cfg.key_pem);
    return e;
}

rmr_err rmr_coord_set_certificate(rmr_coord *c, rmr_bytes cert_pem,
                                  rmr_bytes key_pem)
{
    rmr_tls_identity *fresh = NULL;
    if (!c->identity)
        return RMR_E_STATE;
    rmr_err e = rmr_tls_identity_new(&fresh, &c->env, cert_pem, key_pem);
    if (e != RMR_OK)
        return e;
    rmr_tls_identity_free(c->identity);
    c->identity = fresh;
    return RMR_OK;
}

void rmri_crd_config_free(rmr_coord *c)
{
    rmri_crd_text_free(c, c->server_url);
    rmri_crd_text_free(c, c->domain);
    rmri_crd_text_free(c, c->base_domain);
    rmri_crd_text_free(c, c->derp_map);
    rmri_crd_text_free(c, c->socket_name);
    rmri_crd_text_free(c, c->version);
    rmri_crd_text_free(c, c->dns);
    rmri_crd_proxies_free(c);
    rmr_tls_identity_free(c->identity);
}
