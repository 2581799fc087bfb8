/*
 * ECDSA as BearSSL's engine asks for it, signatures as ASN.1: on P-256 by our
 * own code where that is compiled (src/tls_p256.h), else by BearSSL's.
 *
 * Signatures are RFC 6979's, so that they are the same bytes as BearSSL's.
 *
 * Source: SEC 1 4.1; RFC 6979 3.2; RFC 3279 2.2.3.
 */
#ifndef RMRI_TLS_ECDSA_H
#define RMRI_TLS_ECDSA_H

#include <bearssl/bearssl.h>

uint32_t rmri_tls_ecdsa_verify(const br_ec_impl *impl, const void *hash,
                               size_t hash_len, const br_ec_public_key *pk,
                               const void *sig, size_t sig_len);

/* `sig` has room for 72 bytes where the curve is P-256. */
size_t rmri_tls_ecdsa_sign(const br_ec_impl *impl, const br_hash_class *hf,
                           const void *hash, const br_ec_private_key *sk,
                           void *sig);

#endif
