/*
 * The curves, as BearSSL's engine asks for them: X25519 by libsodium (through
 * crypto), P-256 by our own code where the compiler has 128-bit integers, the
 * others by BearSSL, whose own are a tenth as fast (version 0.6).
 */
#ifndef RMRI_TLS_EC_H
#define RMRI_TLS_EC_H

#include <bearssl/bearssl.h>

const br_ec_impl *rmri_tls_ec(void);

#endif
