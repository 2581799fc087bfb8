/*
 * The peer's chain: gather, drop the meta certificate, judge.
 *
 * Without a pin br_x509_minimal checks signatures, dates and the way to an
 * anchor; the name is checked here, because BearSSL knows no addresses.  A pin
 * replaces all of that but the dates and a DNS name (derp.md 3.3).
 */
#include <string.h>
#include "tls_internal.h"

#define CERT_MAX (16 * 1024)
#define CERTS_MAX 16

/* BearSSL only wants to know that it failed; err says why. */
#define REFUSED BR_ERR_X509_NOT_TRUSTED

static rmri_tls_x509 *self_of(const br_x509_class **ctx)
{
    return (rmri_tls_x509 *)(void *)ctx;
}

static void refuse(rmri_tls_x509 *x, rmr_err e)
{
    if (x->err == RMR_OK)
        x->err = e;
}

static bool asks_chain(const rmri_tls_x509 *x)
{
    return !x->has_pin && !x->insecure;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    (void)server_name; /* what is sent, not what is to be verified */
    rmri_tls_x509 *x = self_of(ctx);
    x->err = RMR_OK;
    x->n_certs = 0;
    x->n_real = 0;
    x->name_ok = x->pin_ok = x->dates_ok = false;
    x->chain.vtable->start_chain(&x->chain.vtable, NULL);
    br_x509_decoder_init(&x->key, NULL, NULL);
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    rmri_tls_x509 *x = self_of(ctx);
    x->cert_len = 0;
    x->cert_want = 0;
    x->n_certs++;
    if (length > CERT_MAX || x->n_certs > CERTS_MAX)
        refuse(x, RMR_E_TLS_CERT);
    if (x->err != RMR_OK)
        return;
    if (length > x->cert_cap) {
        rmr_release(x->alloc, x->cert, x->cert_cap);
        x->cert_cap = 0;
        x->cert = rmr_alloc_zero(x->alloc, length, 1);
        if (!x->cert) {
            refuse(x, RMR_E_NOMEM);
            return;
        }
        x->cert_cap = length;
    }
    x->cert_want = length;
}

static void append(const br_x509_class **ctx, const unsigned char *buf,
                   size_t len)
{
    rmri_tls_x509 *x = self_of(ctx);
    if (x->err != RMR_OK)
        return;
    if (len > x->cert_want - x->cert_len) {
        refuse(x, RMR_E_TLS_CERT);
        return;
    }
    if (len)
        memcpy(x->cert + x->cert_len, buf, len);
    x->cert_len += len;
}

static void look_at_leaf(rmri_tls_x509 *x, const rmri_tls_cert *c)
{
    x->name_ok = rmri_tls_cert_has_name(c, &x->name);
    x->dates_ok = rmri_tls_cert_is_valid_at(c, x->wall_unix_ns);
    if (x->has_pin) {
        uint8_t sum[32];
        br_sha256_context sha;
        br_sha256_init(&sha);
        br_sha256_update(&sha, x->cert, x->cert_len);
        br_sha256_out(&sha, sum);
        x->pin_ok = memcmp(sum, x->pin, sizeof sum) == 0;
    }
    if (!asks_chain(x))
        br_x509_decoder_push(&x->key, x->cert, x->cert_len);
}

static void end_cert(const br_x509_class **ctx)
{
    rmri_tls_x509 *x = self_of(ctx);
    if (x->err != RMR_OK)
        return;
    rmri_tls_cert c;
    rmr_err e = rmri_tls_cert_read(rmr_bytes_of(x->cert, x->cert_len), &c);
    if (e == RMR_OK && rmri_tls_cert_is_derp_meta(&c))
        return;
    x->n_real++;
    if (x->n_real == 1) {
        /* Whoever accepts any certificate does not mind how it is made. */
        if (e != RMR_OK && (x->has_pin || !x->insecure))
            refuse(x, RMR_E_TLS_CERT);
        else
            look_at_leaf(x, &c);
    }
    if (asks_chain(x) && x->err == RMR_OK) {
        const br_x509_class **chain = &x->chain.vtable;
        (*chain)->start_cert(chain, (uint32_t)x->cert_len);
        (*chain)->append(chain, x->cert, x->cert_len);
        (*chain)->end_cert(chain);
    }
}

/* derp.md 3.3: exactly one certificate, its dates, and its name where one was
 * sent; an address was not. */
static rmr_err judge_pin(const rmri_tls_x509 *x)
{
    if (x->n_real != 1 || !x->pin_ok)
        return RMR_E_TLS_PIN;
    if (!x->dates_ok)
        return RMR_E_TLS_EXPIRED;
    if (x->name.ip.family == RMR_AF_NONE && !x->name_ok)
        return RMR_E_TLS_NAME;
    return RMR_OK;
}

static rmr_err judge_chain(rmri_tls_x509 *x)
{
    const br_x509_class **chain = &x->chain.vtable;
    rmr_err e = rmri_tls_err_of((int)(*chain)->end_chain(chain));
    if (e == RMR_OK && !x->name_ok)
        e = RMR_E_TLS_NAME;
    return e;
}

static unsigned end_chain(const br_x509_class **ctx)
{
    rmri_tls_x509 *x = self_of(ctx);
    rmr_release(x->alloc, x->cert, x->cert_cap);
    x->cert = NULL;
    x->cert_cap = 0;
    if (x->n_real == 0)
        refuse(x, x->has_pin ? RMR_E_TLS_PIN : RMR_E_TLS_CERT);
    if (x->err == RMR_OK && x->has_pin)
        x->err = judge_pin(x);
    else if (x->err == RMR_OK && asks_chain(x))
        x->err = judge_chain(x);
    if (x->err == RMR_OK && !asks_chain(x) &&
        !br_x509_decoder_get_pkey(&x->key))
        x->err = RMR_E_TLS_CERT;
    return x->err == RMR_OK ? 0 : REFUSED;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx,
                                    unsigned *usages)
{
    const rmri_tls_x509 *x = (const rmri_tls_x509 *)(const void *)ctx;
    if (asks_chain(x))
        return x->chain.vtable->get_pkey(&x->chain.vtable, usages);
    if (usages)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return x->key.decoded && x->key.err == 0 ? &x->key.pkey : NULL;
}

static const br_x509_class judge_class = {sizeof(rmri_tls_x509),
                                          start_chain,
                                          start_cert,
                                          append,
                                          end_cert,
                                          end_chain,
                                          get_pkey};

/* Days from 1 January of the year 0 to 1970 (BearSSL's epoch). */
#define DAYS_TO_1970 719528u

void rmri_tls_x509_init(rmri_tls_x509 *x, const rmr_alloc *alloc,
                        const rmr_tls_anchors *anchors,
                        const br_ssl_engine_context *eng)
{
    x->vtable = &judge_class;
    x->alloc = alloc;
    br_x509_minimal_init(&x->chain, &br_sha256_vtable,
                         anchors ? anchors->list : NULL,
                         anchors ? anchors->len : 0);
    br_x509_minimal_set_rsa(&x->chain, eng->irsavrfy);
    br_x509_minimal_set_ecdsa(&x->chain, eng->iec, eng->iecdsa);
    br_x509_minimal_set_hash(&x->chain, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(&x->chain, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(&x->chain, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_minrsa(&x->chain, 2048 / 8);
    uint64_t seconds = x->wall_unix_ns / RMR_SEC;
    br_x509_minimal_set_time(&x->chain,
                             DAYS_TO_1970 + (uint32_t)(seconds / 86400),
                             (uint32_t)(seconds % 86400));
}

void rmri_tls_x509_wipe(rmri_tls_x509 *x)
{
    rmr_release(x->alloc, x->cert, x->cert_cap);
    x->cert = NULL;
    x->cert_cap = 0;
}
