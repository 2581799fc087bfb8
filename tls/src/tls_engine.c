/* How BearSSL's engine is set up: TLS 1.2 with forward secrecy and AEAD. */
#include "tls_ec.h"
#include "tls_internal.h"

static const uint16_t suites_with_aes[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
};

static const uint16_t suites_without_aes[] = {
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

/*
 * The ciphers, by the processor's instructions where it has some for AES and
 * GCM's hash: whether it has.
 *
 * On x86-64 the compiler's support library asked it before main().  BearSSL
 * asks ten times a connection, and in a virtual machine the host answers.
 */
static bool use_ciphers(br_ssl_engine_context *eng)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
        __builtin_cpu_supports("sse4.1")) {
        br_ssl_engine_set_aes_ctr(eng, &br_aes_x86ni_ctr_vtable);
        br_ssl_engine_set_ghash(eng, br_ghash_pclmul);
        br_ssl_engine_set_gcm(eng, &br_sslrec_in_gcm_vtable,
                              &br_sslrec_out_gcm_vtable);
        br_ssl_engine_set_chacha20(eng, br_chacha20_sse2_run);
        br_ssl_engine_set_poly1305(eng, br_poly1305_ctmulq_run);
        br_ssl_engine_set_chapol(eng, &br_sslrec_in_chapol_vtable,
                                 &br_sslrec_out_chapol_vtable);
        return true;
    }
#endif
    br_ssl_engine_set_default_aes_gcm(eng);
    br_ssl_engine_set_default_chapol(eng);
    return br_aes_pwr8_ctr_get_vtable() && br_ghash_pwr8_get();
}

void rmri_tls_engine_setup(br_ssl_engine_context *eng)
{
    br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
    /* Without such instructions GCM is several times slower than ChaCha20, for
     * it must not use tables. */
    bool aes = use_ciphers(eng);
    br_ssl_engine_set_suites(eng, aes ? suites_with_aes : suites_without_aes,
                             sizeof suites_with_aes /
                                 sizeof suites_with_aes[0]);
    br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(eng, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(eng, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(eng, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(eng, &br_tls12_sha384_prf);
    br_ssl_engine_set_default_rsavrfy(eng);
    br_ssl_engine_set_default_ecdsa(eng);
    br_ssl_engine_set_ec(eng, rmri_tls_ec()); /* behind its curves */
    br_ssl_engine_set_all_flags(eng, BR_OPT_NO_RENEGOTIATION |
                                         BR_OPT_ENFORCE_SERVER_PREFERENCES);
}

/* Alerts that only say that the two have nothing in common. */
static bool is_mismatch(int alert)
{
    return alert == 40 || alert == 70 || alert == 71; /* RFC 5246 7.2.2 */
}

static rmr_err x509_err_of(int code)
{
    switch (code) {
    case BR_ERR_X509_OK:
        return RMR_OK;
    case BR_ERR_X509_DN_MISMATCH: /* the next certificate is not the issuer */
    case BR_ERR_X509_NOT_TRUSTED:
        return RMR_E_TLS_UNKNOWN_CA;
    case BR_ERR_X509_EXPIRED:
        return RMR_E_TLS_EXPIRED;
    case BR_ERR_X509_BAD_SERVER_NAME:
        return RMR_E_TLS_NAME;
    default:
        return RMR_E_TLS_CERT;
    }
}

rmr_err rmri_tls_err_of(int code)
{
    if (code == BR_ERR_OK)
        return RMR_OK;
    if (code == BR_ERR_NO_RANDOM)
        return RMR_E_RNG;
    if (code >= BR_ERR_X509_OK && code < BR_ERR_RECV_FATAL_ALERT)
        return x509_err_of(code);
    if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT &&
        !is_mismatch(code - BR_ERR_RECV_FATAL_ALERT))
        return RMR_E_TLS_ALERT;
    return RMR_E_TLS_PROTOCOL;
}

const char *rmri_tls_suite_name(uint16_t suite)
{
    switch (suite) {
    case BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
        return "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
        return "ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    case BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
        return "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    case BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
        return "ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    case BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
        return "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
        return "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    default:
        return "";
    }
}
