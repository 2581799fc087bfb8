/* A real server for the client's tests: BearSSL's own, in the same process. */
#ifndef REMORA_TEST_TLS_PEER_H
#define REMORA_TEST_TLS_PEER_H

#include <bearssl/bearssl.h>
#include <remora/tls.h>

#define PEER_CERTS 6
#define TEST_WALL_NS (UINT64_C(1767225600) * RMR_SEC) /* 2026-01-01 */

typedef struct der_file {
    uint8_t bytes[4096];
    size_t len;
} der_file;

/* The whole text of a file of tests/vectors/tls; aborts when it can't. */
size_t peer_load_text(const char *name, char *dst, size_t cap);
/* The PEM objects of one; returns how many. */
size_t peer_load_pem(const char *name, der_file *dst, size_t max);

typedef struct tls_peer {
    br_ssl_server_context sc;
    br_skey_decoder_context key;
    der_file files[PEER_CERTS];
    br_x509_certificate chain[PEER_CERTS];
    size_t n_chain;
    uint8_t buf[BR_SSL_BUFSIZE_BIDI];
    /* What goes to the client next; the peer's bytes may be changed here. */
    uint8_t out[64 * 1024];
    size_t out_len;
    uint8_t in[256 * 1024]; /* all plaintext that came */
    size_t in_len;
} tls_peer;

/* `certs` are files, in their order in the chain, with "+" between. */
void peer_init(tls_peer *p, const char *certs, const char *key);
/* Starts (again), after changes to the engine. */
void peer_start(tls_peer *p);

/* Moves bytes both ways, at most `step` at once, until nothing moves.  Returns
 * the client's first error, and RMR_OK else. */
rmr_err peer_pump(tls_peer *p, rmr_tls *t, size_t step);
/* Takes bytes from the client, and gives none. */
void peer_take(tls_peer *p, rmr_tls *t, size_t step);
void peer_send(tls_peer *p, const void *data, size_t len);
bool peer_is_closed(const tls_peer *p);

#endif
