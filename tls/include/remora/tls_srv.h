/*
 * remora/tls_srv.h - the server's side of TLS 1.2 as a byte filter.
 *
 * A connection made here is used as a client's is (remora/tls.h: read, write,
 * send, reserve, commit, peek, consume, shutdown).  Any server name is
 * accepted.  Of a client's list of protocols (ALPN) http/1.1 is chosen, and
 * none where it has no such entry.  Renegotiation is refused.  Sessions are
 * not resumed, clients are not asked for certificates.
 *
 * Threading: an identity and all that have it belong to one thread.  Memory:
 * below 6 KiB a connection (2.3 KiB more with a table for AES-GCM) and, in use,
 * one or two buffers of the pool; without a pool 33 KiB more.  Time: none is
 * needed.  Randomness: one seed a connection from rmr_env.rng.
 *
 *     rmr_tls_identity_new(&id, &env, chain_pem, key_pem);
 *     rmr_tls_pool_new(&pool, &env, 1024);
 *     rmr_tls_server_config_init(&cfg, sizeof cfg);
 *     cfg.identity = id;
 *     cfg.pool = pool;
 *     rmr_tls_server_new(&t, &env, &cfg); // for each that connected
 *     ...                                 // as in remora/tls.h
 *     rmr_tls_identity_new(&new_id, ...); // a renewed certificate:
 *     rmr_tls_identity_free(id);          // old connections keep the old one
 *
 * Source: RFC 5246, 5288, 5289, 6066 3, 7301, 7905.
 */
#ifndef REMORA_TLS_SRV_H
#define REMORA_TLS_SRV_H

#include <remora/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- who we are ------------------------------------------------------- */

typedef struct rmr_tls_identity rmr_tls_identity; /* counted references */

/**
 * A certificate with its chain, and its private key.
 *
 * \param chain_pem  The server's certificate first, then each one's issuer; a
 *                   root may be left out.  At most 16 of 16 KiB each.
 * \param key_pem    RSA (2,048 to 4,096 bits) or EC (P-256, P-384, P-521) as
 *                   PKCS#1, SEC 1 or PKCS#8, not encrypted.  The first key in
 *                   the text counts; what is none is skipped, so one text may
 *                   hold both.
 *
 * Effects: allocates; both texts are copied as far as they are needed.
 * Errors:  MALFORMED (no certificate, or a broken or cut PEM text), TLS_CERT (a
 *          certificate that can't be read or whose key we can't use), TLS_KEY
 *          (no key that we can use: none, cut, encrypted, too short),
 *          TLS_KEY_MATCH (another certificate's), NOMEM.
 * Lifetime: until rmr_tls_identity_free().
 * Source:  RFC 7468; RFC 8017 A.1.2, RFC 5915, RFC 5958.
 */
RMR_API rmr_err rmr_tls_identity_new(rmr_tls_identity **out, const rmr_env *env,
                                     rmr_bytes chain_pem, rmr_bytes key_pem);

/**
 * Gives up the caller's reference; NULL is allowed.  Connections that were made
 * with it may live on.
 *
 * Effects: wiped and freed, now or when its last connection is.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_tls_identity_free(rmr_tls_identity *id);

/** For logs: "RSA 2048", "EC P-256", ...                              [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API const char *rmr_tls_identity_kind(const rmr_tls_identity *id);

/** When its own certificate ends, Unix seconds.                       [look]
 *  Effects: none.  Errors: none.  Source: RFC 5280 4.1.2.5. */
RMR_API int64_t rmr_tls_identity_not_after(const rmr_tls_identity *id);

/** When it begins, likewise.                                          [look]
 *  Effects: none.  Errors: none.  Source: RFC 5280 4.1.2.5. */
RMR_API int64_t rmr_tls_identity_not_before(const rmr_tls_identity *id);

/** Is its own certificate one of this DNS name or address?            [look]
 *  Effects: none.  Errors: none (false for what is no name).
 *  Source: RFC 9525; RFC 5280 4.2.1.6. */
RMR_API bool rmr_tls_identity_is_of(const rmr_tls_identity *id,
                                    const char *name);

/** SHA-256 of its own certificate, whole, as a DERP map's CertName pins
 *  it.                                                                [look]
 *  Effects: on out.  Errors: none.  Source: tailcfg.DERPNode.CertName. */
RMR_API void rmr_tls_identity_sha256(const rmr_tls_identity *id,
                                     uint8_t out[32]);

/** Issuer and subject of its own certificate are one: no other vouches for it,
 *  so clients must be told of it (a pin, an anchor).                  [look]
 *  Effects: none.  Errors: none.  Source: RFC 5280 3.2. */
RMR_API bool rmr_tls_identity_is_self_issued(const rmr_tls_identity *id);

/** Room for each text of rmr_tls_self_signed. */
#define RMR_TLS_SELF_MAX ((size_t)1280)

/**
 * A new key (EC P-256), and a certificate for it that it signs itself, for one
 * host: for whoever is given it as an anchor or a pin.
 *
 * \param name  A DNS name or an address (its only alternative name).
 * \param cert_pem, key_pem  Get the texts, without a NUL; rmr_tls_identity_new
 *              takes them.  The caller wipes the key.
 *
 * Effects: draws the key and the serial number; on the buffers and lengths.
 * Errors:  INVAL (no name, no time between the two, a time behind 2262),
 *          BUFSIZE, RNG; the lengths are 0 then.
 * Source:  RFC 5280 4.1 (version 3), RFC 5480, RFC 5915, RFC 6979, RFC 7468.
 */
RMR_API rmr_err rmr_tls_self_signed(const rmr_rng *rng, const char *name,
                                    uint64_t not_before_unix_ns,
                                    uint64_t not_after_unix_ns,
                                    rmr_buf cert_pem, size_t *cert_len,
                                    rmr_buf key_pem, size_t *key_len);

/* ---- one connection --------------------------------------------------- */

typedef struct rmr_tls_server_config {
    uint32_t struct_size; /* written by rmr_tls_server_config_init */
    rmr_tls_identity *identity; /* needed; referenced */
    rmr_tls_pool *pool; /* retained until the connection is freed; NULL:
                           buffers of its own */
    const rmr_gcm *gcm; /* for AES-GCM records, retained likewise; NULL:
                           BearSSL's own code */
} rmr_tls_server_config;

/**
 * Nothing set.
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_tls_server_config_init(rmr_tls_server_config *cfg,
                                        size_t struct_size);

/**
 * A server, which waits for the client's hello.  It takes no buffer yet.
 *
 * Effects: allocates.
 * Errors:  INVAL (no identity), NOMEM, RNG.
 * Lifetime: until rmr_tls_free(); env and cfg are copied.
 * Source:  RFC 5246 7.4.1.3.
 */
RMR_API rmr_err rmr_tls_server_new(rmr_tls **out, const rmr_env *env,
                                   const rmr_tls_server_config *cfg);

#ifdef __cplusplus
}
#endif
#endif
