/*
 * remora/tls.h - TLS 1.2 client as a byte filter over BearSSL's engine.
 *
 * Ciphertext goes in and out by read and write, plaintext by send and peek.
 * It opens no connections and reads no files: trust anchors are given as PEM.
 * TLS 1.3 is not there (BearSSL 0.6 has none).
 *
 * Certificates: chain and name against the anchors; a name may be a DNS name or
 * an IP address (SAN iPAddress, RFC 5280 4.2.1.6); or a pin, the SHA-256 of
 * the whole certificate, as DERP uses it; or no check where the host allows it.
 *
 * Threading: one object, one thread.  Memory: about 40 KiB a connection, from
 * rmr_env.alloc.  Time: `now` for the contract, wall time for certificates at
 * creation.  Randomness: the engine is seeded from rmr_env.rng alone.
 *
 * Source: RFC 5246, 5280, 6066 (SNI), 6125 (names), 7905 (ChaCha20 suites).
 */
#ifndef REMORA_TLS_H
#define REMORA_TLS_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rmr_tls_errcode {
    RMR_E_TLS_PROTOCOL = RMR_ERR(RMR_LAYER_TLS, 4, 1),   /* not TLS, bad record,
                                                            no common suite  */
    RMR_E_TLS_UNKNOWN_CA = RMR_ERR(RMR_LAYER_TLS, 4, 2),
    RMR_E_TLS_NAME = RMR_ERR(RMR_LAYER_TLS, 4, 3),       /* another host's   */
    RMR_E_TLS_EXPIRED = RMR_ERR(RMR_LAYER_TLS, 4, 4),    /* or not yet valid */
    RMR_E_TLS_PIN = RMR_ERR(RMR_LAYER_TLS, 4, 5),
    RMR_E_TLS_CERT = RMR_ERR(RMR_LAYER_TLS, 4, 6),       /* broken chain     */
    RMR_E_TLS_ALERT = RMR_ERR(RMR_LAYER_TLS, 4, 7),      /* the peer said no */
    RMR_E_TLS_TRUNCATED = RMR_ERR(RMR_LAYER_TLS, 3, 1)   /* EOF before
                                                            close_notify     */
};

/** What a TLS error means, for the user; never NULL.                   [look] */
RMR_API const char *rmr_tls_err_text(rmr_err e);

/* ---- trust anchors ---------------------------------------------------- */

typedef struct rmr_tls_anchors rmr_tls_anchors; /* shared by connections */

/** Errors: NOMEM. */
RMR_API rmr_err rmr_tls_anchors_new(rmr_tls_anchors **out, const rmr_env *env);
RMR_API void rmr_tls_anchors_free(rmr_tls_anchors *a);
/** Adds every certificate of a PEM text; ones that can't be an anchor (a key
 *  that BearSSL does not know) are skipped and counted.
 *  \param added  May be NULL.  Errors: MALFORMED (no certificate), NOMEM. */
RMR_API rmr_err rmr_tls_anchors_add_pem(rmr_tls_anchors *a, rmr_bytes pem,
                                        size_t *added, size_t *skipped);
RMR_API size_t rmr_tls_anchors_count(const rmr_tls_anchors *a);

/* ---- one connection --------------------------------------------------- */

typedef struct rmr_tls rmr_tls;

typedef struct rmr_tls_config {
    uint32_t struct_size;     /* written by rmr_tls_config_init              */
    const char *server_name;  /* copied; a DNS name (sent as SNI) or an IP
                                 literal (no SNI)                            */
    const char *verify_name;  /* copied; NULL: server_name                   */
    const uint8_t *pin_sha256; /* 32, copied; NULL: none.  Replaces the chain;
                                 certificates whose CN begins "derpkey" are
                                 skipped, exactly one other must match       */
    bool insecure;            /* accept any certificate (a pin still holds)  */
    const rmr_tls_anchors *anchors; /* retained until the connection is freed */
    uint64_t wall_unix_ns;
} rmr_tls_config;

RMR_API void rmr_tls_config_init(rmr_tls_config *cfg, size_t struct_size);
/** A client; its hello is ready to be written.  Errors: INVAL, NOMEM, RNG. */
RMR_API rmr_err rmr_tls_client_new(rmr_tls **out, const rmr_env *env,
                                   const rmr_tls_config *cfg);
RMR_API void rmr_tls_free(rmr_tls *t); /* wipes; NULL is allowed */

/** Ciphertext from the peer; may take less than offered (plaintext must be
 *  consumed or output written first).                                  [pump]
 *  Errors: RMR_E_TLS_*; sticky. */
RMR_API rmr_err rmr_tls_read(rmr_tls *t, rmr_bytes in, size_t *consumed);
/** The peer's stream ended.  RMR_E_TLS_TRUNCATED when no close_notify came. */
RMR_API rmr_err rmr_tls_read_eof(rmr_tls *t);
/** Ciphertext for the peer, as much as fits; *len 0: none now.         [pump] */
RMR_API rmr_err rmr_tls_write(rmr_tls *t, rmr_buf dst, size_t *len);
/** Plaintext to send; taken 0 before the handshake is done.  Sent by the next
 *  writes; small pieces are gathered into a record until rmr_tls_write. */
RMR_API rmr_err rmr_tls_send(rmr_tls *t, rmr_bytes data, size_t *taken);
/** Plaintext that came, in place until the next non-const call. */
RMR_API rmr_err rmr_tls_peek(const rmr_tls *t, rmr_buf *view);
RMR_API rmr_err rmr_tls_consume(rmr_tls *t, size_t n);
/** Sends close_notify. */
RMR_API rmr_err rmr_tls_shutdown(rmr_tls *t);
RMR_API bool rmr_tls_is_open(const rmr_tls *t);   /* handshake done */
RMR_API bool rmr_tls_is_closed(const rmr_tls *t); /* close_notify came, or error */
/** For logs: "ECDHE_RSA_WITH_AES_128_GCM_SHA256", or "" before the hello. */
RMR_API const char *rmr_tls_suite(const rmr_tls *t);

#ifdef __cplusplus
}
#endif
#endif
