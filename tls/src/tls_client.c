/* A client: what it wants of the server, and its hello. */
#include <string.h>
#include "tls_internal.h"

typedef struct client {
    rmr_tls t; /* first */
    br_ssl_client_context cc;
} client;

void rmr_tls_config_init(rmr_tls_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

static rmr_err take_config(client *c, const rmr_tls_config *cfg,
                           rmri_tls_name *server)
{
    if (rmri_tls_name_parse(cfg->server_name, server) != RMR_OK)
        return RMR_E_INVAL;
    rmri_tls_x509 *x = c->t.judge;
    const char *verify = cfg->verify_name ? cfg->verify_name : cfg->server_name;
    if (rmri_tls_name_parse(verify, &x->name) != RMR_OK)
        return RMR_E_INVAL;
    if (!cfg->anchors && !cfg->pin_sha256 && !cfg->insecure)
        return RMR_E_INVAL;
    x->insecure = cfg->insecure;
    x->has_pin = cfg->pin_sha256 != NULL;
    if (x->has_pin)
        memcpy(x->pin, cfg->pin_sha256, sizeof x->pin);
    x->wall_unix_ns = cfg->wall_unix_ns;
    return RMR_OK;
}

static rmr_err say_hello(client *c, const rmri_tls_name *server)
{
    rmr_tls *t = &c->t;
    if (!rmri_tls_lease_for_output(&t->lease, t->eng))
        return RMR_E_FULL;
    /* RFC 6066 3: addresses are not sent. */
    const char *sni = server->ip.family == RMR_AF_NONE ? server->dns : NULL;
    if (!br_ssl_client_reset(&c->cc, sni, 0))
        return rmri_tls_err_of(br_ssl_engine_last_error(t->eng));
    return RMR_OK;
}

static rmr_err start(client *c, const rmr_env *env, const rmr_tls_config *cfg)
{
    rmri_tls_name server;
    rmr_tls *t = &c->t;
    t->judge =
        rmr_alloc_zero(&t->alloc, sizeof *t->judge, _Alignof(rmri_tls_x509));
    if (!t->judge)
        return RMR_E_NOMEM;
    t->judge->alloc = &t->alloc;
    rmr_err e = take_config(c, cfg, &server);
    if (e != RMR_OK)
        return e;
    rmri_tls_engine_setup(t->eng);
    rmri_tls_x509_init(t->judge, &t->alloc, cfg->anchors, t->eng);
    br_ssl_engine_set_x509(t->eng, &t->judge->vtable);
    e = rmri_tls_give_gcm(t, cfg->gcm);
    if (e == RMR_OK)
        e = rmri_tls_seed(t, &env->rng);
    if (e != RMR_OK)
        return e;
    rmri_tls_give_buffers(t, sizeof *c, cfg->pool);
    return say_hello(c, &server);
}

rmr_err rmr_tls_client_new(rmr_tls **out, const rmr_env *env,
                           const rmr_tls_config *cfg)
{
    *out = NULL;
    rmr_tls_config own = {0};
    rmr_err e = rmri_tls_copy_config(&own, sizeof own, cfg, cfg->struct_size);
    if (e != RMR_OK)
        return e;
    client *c =
        (client *)(void *)rmri_tls_new(&env->alloc, sizeof *c, own.pool);
    if (!c)
        return RMR_E_NOMEM;
    br_ssl_client_zero(&c->cc);
    c->t.eng = &c->cc.eng;
    e = start(c, env, &own);
    if (e != RMR_OK) {
        rmr_tls_free(&c->t);
        return e;
    }
    *out = &c->t;
    return RMR_OK;
}
