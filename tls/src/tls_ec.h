/*
 * The curves, as BearSSL's engine asks for them: X25519 by libsodium (through
 * crypto), which takes a fifth of the time of BearSSL 0.6's; the others by
 * BearSSL.
 */
#ifndef RMRI_TLS_EC_H
#define RMRI_TLS_EC_H

#include <bearssl/bearssl.h>

const br_ec_impl *rmri_tls_ec(void);

#endif
