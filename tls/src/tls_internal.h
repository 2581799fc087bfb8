/* What the files of TLS share. */
#ifndef RMRI_TLS_INTERNAL_H
#define RMRI_TLS_INTERNAL_H

#include <bearssl/bearssl.h>
#include <remora/tls.h>
#include "tls_cert.h"
#include "tls_gcm.h"
#include "tls_lease.h"

struct rmr_tls_anchors {
    rmr_alloc alloc;
    br_x509_trust_anchor *list; /* each owns one block: name, then key */
    size_t len, cap;
};

/*
 * The judge of the peer's chain, as BearSSL's engine calls it.
 *
 * Each certificate is gathered first, because the relay's meta certificate
 * must be known and dropped before br_x509_minimal sees it.
 */
typedef struct rmri_tls_x509 {
    const br_x509_class *vtable; /* first: BearSSL's "this" */
    const rmr_alloc *alloc;
    rmri_tls_name name;
    bool has_pin, insecure;
    uint8_t pin[32];
    uint64_t wall_unix_ns;

    br_x509_minimal_context chain;
    br_x509_decoder_context key; /* of the leaf, where chain is not asked */

    uint8_t *cert; /* the one that is being gathered */
    size_t cert_len, cert_cap, cert_want;
    size_t n_certs;                 /* all, to bound them  */
    size_t n_real;                  /* without meta ones   */
    bool name_ok, pin_ok, dates_ok; /* of the leaf */
    rmr_err err; /* why the chain was refused, or RMR_OK to ask BearSSL */
} rmri_tls_x509;

/* hashes, RSA and EC must be those of the engine; anchors may be NULL. */
void rmri_tls_x509_init(rmri_tls_x509 *x, const rmr_alloc *alloc,
                        const rmr_tls_anchors *anchors,
                        const br_ssl_engine_context *eng);
void rmri_tls_x509_wipe(rmri_tls_x509 *x);

/* A connection; client or server has its context behind it, in one block. */
struct rmr_tls {
    rmr_alloc alloc;
    size_t size; /* of the block */
    br_ssl_engine_context *eng;
    rmri_tls_x509 *judge; /* a client's, until the handshake is done */
    struct rmr_tls_identity *identity; /* a server's */
    rmri_tls_gcm *gcm; /* where the host gave a table */
    rmri_tls_lease lease;
    rmr_err err;      /* sticky */
    bool opened;      /* the handshake was done once       */
    bool shut;        /* rmr_tls_shutdown was called       */
    bool close_waits; /* ... but close_notify has no place */
    bool finished;    /* both close_notifies are through   */
};

/* A zeroed block of `size` bytes, which begins with an rmr_tls, and behind it
 * RMRI_TLS_OWN_LEN bytes more where there is no pool. */
rmr_tls *rmri_tls_new(const rmr_alloc *alloc, size_t size,
                      const rmr_tls_pool *pool);
/* The buffers of one: of its own at `size`, or the pool's. */
void rmri_tls_give_buffers(rmr_tls *t, size_t size, rmr_tls_pool *pool);
/* Records by a table of the host's, after the engine was set up; NULL: by
 * BearSSL. */
rmr_err rmri_tls_give_gcm(rmr_tls *t, const rmr_gcm *gcm);
/* The engine's only seed. */
rmr_err rmri_tls_seed(rmr_tls *t, const rmr_rng *rng);
/* A config that may be of an older program. */
rmr_err rmri_tls_copy_config(void *own, size_t size, const void *cfg,
                             uint32_t struct_size);

/* Versions, suites, algorithms of the engine, which is zeroed. */
void rmri_tls_engine_setup(br_ssl_engine_context *eng);
/* RMR_OK for BR_ERR_OK. */
rmr_err rmri_tls_err_of(int bearssl_code);
const char *rmri_tls_suite_name(uint16_t suite);

#endif
