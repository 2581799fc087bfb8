/* A server: who it is, and what it chooses of what the client offers. */
#include <string.h>
#include "tls_identity.h"
#include "tls_internal.h"

typedef struct server {
    rmr_tls t; /* first */
    br_ssl_server_context sc;
} server;

void rmr_tls_server_config_init(rmr_tls_server_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

/* RFC 7301.  BearSSL doesn't change the list, but its type is not const. */
static void set_protocols(br_ssl_engine_context *eng)
{
    static const char *const names[] = {"http/1.1"};
    br_ssl_engine_set_protocol_names(eng, (const char **)(uintptr_t)names, 1);
}

static void set_identity(server *s, const rmr_tls_identity *id)
{
    const br_skey_decoder_context *key = &id->key;
    if (br_skey_decoder_key_type(key) == BR_KEYTYPE_RSA)
        br_ssl_server_set_single_rsa(
            &s->sc, id->chain, id->n_chain, br_skey_decoder_get_rsa(key),
            BR_KEYTYPE_SIGN, 0, br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_server_set_single_ec(
            &s->sc, id->chain, id->n_chain, br_skey_decoder_get_ec(key),
            BR_KEYTYPE_SIGN, id->issuer_key_type, s->sc.eng.iec,
            br_ecdsa_sign_asn1_get_default());
}

static rmr_err start(server *s, const rmr_env *env,
                     const rmr_tls_server_config *cfg)
{
    rmr_tls *t = &s->t;
    rmri_tls_engine_setup(t->eng);
    set_protocols(t->eng);
    set_identity(s, cfg->identity);
    rmr_err e = rmri_tls_give_gcm(t, cfg->gcm);
    if (e == RMR_OK)
        e = rmri_tls_seed(t, &env->rng);
    if (e != RMR_OK)
        return e;
    rmri_tls_give_buffers(t, sizeof *s, cfg->pool);
    /* It writes nothing before it read a hello, so it needs no buffer here. */
    if (!br_ssl_server_reset(&s->sc))
        return rmri_tls_err_of(br_ssl_engine_last_error(t->eng));
    rmri_tls_lease_after_reset(&t->lease, t->eng);
    return RMR_OK;
}

rmr_err rmr_tls_server_new(rmr_tls **out, const rmr_env *env,
                           const rmr_tls_server_config *cfg)
{
    *out = NULL;
    rmr_tls_server_config own = {0};
    rmr_err e = rmri_tls_copy_config(&own, sizeof own, cfg, cfg->struct_size);
    if (e != RMR_OK || !own.identity)
        return RMR_E_INVAL;
    server *s =
        (server *)(void *)rmri_tls_new(&env->alloc, sizeof *s, own.pool);
    if (!s)
        return RMR_E_NOMEM;
    br_ssl_server_zero(&s->sc);
    s->t.eng = &s->sc.eng;
    s->t.identity = rmri_tls_identity_ref(own.identity);
    e = start(s, env, &own);
    if (e != RMR_OK) {
        rmr_tls_free(&s->t);
        return e;
    }
    *out = &s->t;
    return RMR_OK;
}
