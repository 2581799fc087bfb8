#ifndef RMRI_TLS_IDENTITY_H
#define RMRI_TLS_IDENTITY_H

#include <bearssl/bearssl.h>
#include <remora/tls_srv.h>

#define RMRI_TLS_CHAIN_MAX 16

struct rmr_tls_identity {
    rmr_alloc alloc;
    size_t refs; /* its maker's, and one a connection */
    br_x509_certificate chain[RMRI_TLS_CHAIN_MAX]; /* each owns its DER */
    size_t n_chain;
    br_skey_decoder_context key; /* points into itself */
    unsigned issuer_key_type;
    const char *kind;
    int64_t not_before, not_after;
    bool self_issued;
};

rmr_tls_identity *rmri_tls_identity_ref(rmr_tls_identity *id);

#endif
