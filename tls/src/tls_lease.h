/*
 * Taking the record buffers away from BearSSL's engine and giving it others.
 *
 * The engine (0.6, ssl_engine.c) has no call for that, but its registers are in
 * a public header.  tls_lease.c is the only file that touches them.
 */
#ifndef RMRI_TLS_LEASE_H
#define RMRI_TLS_LEASE_H

#include <bearssl/bearssl.h>
#include <remora/tls.h>

#define RMRI_TLS_IN_LEN (16384u + 325u) /* what BearSSL asks for a full record */
#define RMRI_TLS_OUT_LEN (16384u + 85u)
#define RMRI_TLS_OWN_LEN (RMRI_TLS_IN_LEN + RMRI_TLS_OUT_LEN)

typedef struct rmri_tls_lease {
    rmr_tls_pool *pool; /* NULL: the engine keeps its own buffers */
    uint8_t *in, *out;  /* of the pool, or NULL: the engine has none */
    /* The engine's registers of an output buffer that was taken away. */
    size_t oxa, oxb;
    /* Where a record's head goes while there is no input buffer: 5 bytes are
     * used.  head + 6 is what the engine has for output then; it writes nothing
     * there. */
    uint8_t head[8];
    bool lacks_in, lacks_out; /* asked for and not had since */
    /* How far the buffers were written to: so much of them is wiped. */
    size_t in_used, out_used;
    bool lent; /* someone may write to the output's place, how far we know not */
} rmri_tls_lease;

/* Gives the engine its buffers for the first time: `own` (RMRI_TLS_OWN_LEN
 * bytes) where there is no pool, else none. */
void rmri_tls_lease_init(rmri_tls_lease *l, br_ssl_engine_context *eng,
                         rmr_tls_pool *pool, uint8_t *own);
/* After the engine was reset, which forgets that it has no buffers. */
void rmri_tls_lease_after_reset(rmri_tls_lease *l, br_ssl_engine_context *eng);

/* Buffers for what recvrec_ack will do with the next bytes, and for what
 * writes output; false: the pool has none, and nothing changed. */
bool rmri_tls_lease_for_read(rmri_tls_lease *l, br_ssl_engine_context *eng);
bool rmri_tls_lease_for_output(rmri_tls_lease *l, br_ssl_engine_context *eng);

/* That the n bytes at p of the one that has them were written. */
void rmri_tls_lease_wrote_in(rmri_tls_lease *l, const uint8_t *p, size_t n);
void rmri_tls_lease_wrote_out(rmri_tls_lease *l, const uint8_t *p, size_t n);

/* Gives back what is not in use; `in_dead` and `out_dead` say that what lies
 * there will never be asked for. */
void rmri_tls_lease_settle(rmri_tls_lease *l, br_ssl_engine_context *eng,
                           bool in_dead, bool out_dead);

#endif
