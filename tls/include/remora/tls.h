/*
 * remora/tls.h - TLS 1.2 as a byte filter over BearSSL's engine: the client,
 * and what a connection of either side can do (the server: remora/tls_srv.h).
 *
 * Ciphertext goes in and out by read and write, plaintext by send and peek.
 * It opens no connections and reads no files: trust anchors are given as PEM.
 * TLS 1.3 is not there (BearSSL 0.6 has none), nor are resumption, ALPN, client
 * certificates or revocation.
 *
 * Certificates: chain and name against the anchors; a name may be a DNS name or
 * an IP address (SAN iPAddress, RFC 5280 4.2.1.6); or a pin, the SHA-256 of
 * the whole certificate, as DERP uses it; or no check where the host allows it.
 *
 * Threading: one object, one thread; connections may share anchors that no one
 * changes, and a pool where one thread has them all.  Memory: about 37 KiB a
 * connection, from rmr_env.alloc, and 5 KiB more until the handshake is done;
 * with a pool 33 KiB less while it is idle, with a table for AES-GCM 2.3 KiB
 * more.
 * Time: wall time for certificates at creation.  Randomness: the engine is
 * seeded from rmr_env.rng alone, once, at creation.
 *
 *     rmr_tls_config_init(&cfg, sizeof cfg);
 *     cfg.server_name = "derp.example";
 *     cfg.anchors = anchors;
 *     cfg.wall_unix_ns = wall;
 *     rmr_tls_client_new(&t, &env, &cfg);
 *     for (;;) {
 *         while (rmr_tls_write(t, buf, &n) == RMR_OK && n > 0)
 *             send_to_peer(n bytes of buf);
 *         e = rmr_tls_read(t, in, &n);     // keep in.len - n for later
 *         rmr_tls_peek(t, &view);          // deal with it, then:
 *         rmr_tls_consume(t, view.len);
 *         rmr_tls_send(t, request, &n);    // 0 until rmr_tls_is_open
 *         if (e != RMR_OK || rmr_tls_is_closed(t))
 *             break;                       // rmr_tls_err_text(e)
 *     }
 *     rmr_tls_free(t);
 *
 * Source: RFC 5246, 5280, 6066 (SNI), 6125 (names), 7905 (ChaCha20 suites).
 */
#ifndef REMORA_TLS_H
#define REMORA_TLS_H

#include <remora/base.h>
#include <remora/gcm.h>

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
    RMR_E_TLS_KEY = RMR_ERR(RMR_LAYER_TLS, 4, 8),        /* not a private key
                                                            that we can use  */
    RMR_E_TLS_KEY_MATCH = RMR_ERR(RMR_LAYER_TLS, 4, 9),  /* another's        */
    RMR_E_TLS_TRUNCATED = RMR_ERR(RMR_LAYER_TLS, 3, 1)   /* EOF before
                                                            close_notify     */
};

/**
 * What a TLS error means, for the user.                               [look]
 *
 * \return A constant string, never NULL; for other errors their name.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API const char *rmr_tls_err_text(rmr_err e);

/* ---- trust anchors ---------------------------------------------------- */

typedef struct rmr_tls_anchors rmr_tls_anchors; /* shared by connections */

/**
 * An empty set; a connection with it trusts no one.
 *
 * Effects: allocates.
 * Errors:  NOMEM.
 * Lifetime: until rmr_tls_anchors_free().
 * Source:  none.
 */
RMR_API rmr_err rmr_tls_anchors_new(rmr_tls_anchors **out, const rmr_env *env);

/**
 * Frees; NULL is allowed.  No connection may have it any more.
 *
 * Effects: the anchors are gone.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_tls_anchors_free(rmr_tls_anchors *a);

/**
 * Adds every certificate of a PEM text.                             [submit]
 *
 * A certificate that says it is a CA vouches for others; one that does not
 * (a self-signed server's) vouches for itself alone.  Ones that can't be an
 * anchor (broken, or a key that BearSSL does not know) are skipped and counted.
 *
 * \param added, skipped  May be NULL.
 *
 * Effects: all or, on NOMEM, nothing is added.  No connection that was given
 *          this set may live.
 * Errors: MALFORMED (no certificate in the text), NOMEM.
 * Source: RFC 7468; RFC 5280 6.1.1 (d).
 */
RMR_API rmr_err rmr_tls_anchors_add_pem(rmr_tls_anchors *a, rmr_bytes pem,
                                        size_t *added, size_t *skipped);

/**
 * How many anchors there are.                                         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API size_t rmr_tls_anchors_count(const rmr_tls_anchors *a);

/* ---- record buffers that connections share ---------------------------- */

/*
 * Each direction of a connection needs RMR_TLS_POOL_BUF bytes, but only now and
 * then.  A connection with a pool takes a buffer when it has something to put
 * there, and gives it back at the end of the call that emptied it:
 *   in   while a record is partly received or plaintext is not consumed,
 *   out  while output waits to be written.
 * An idle connection has none.
 *
 * The pool is bounded.  When it has none left, rmr_tls_read consumes less or
 * nothing, rmr_tls_send and reserve take nothing, rmr_tls_shutdown waits until
 * rmr_tls_write, and rmr_tls_is_starved says so; nothing is lost, no error is
 * made.  The host tries a starved connection again once rmr_tls_can_retry.
 *
 * That never comes to a standstill: input may have no more than half of the
 * buffers, so output finds some; and what is in an output buffer waits for the
 * peer alone, never for a buffer.  The host does its part: it sends only where
 * the stream below takes bytes, and drops a peer that holds a buffer
 * (rmr_tls_holds) while nothing moves for too long.
 */
typedef struct rmr_tls_pool rmr_tls_pool;

#define RMR_TLS_POOL_BUF 16709u /* a record of 16,384 bytes, and its frame */

typedef struct rmr_tls_pool_stats {
    size_t max, in_use, in_use_input; /* buffers                             */
    size_t allocated;                 /* of them in memory, in use or not    */
    uint64_t refused;                 /* times that there was none           */
} rmr_tls_pool_stats;

/**
 * An empty pool.
 *
 * \param max_bufs  At least 2.  Twice the number of connections never runs out.
 *
 * Effects: allocates 8 bytes for each of max_bufs; the buffers come when they
 *          are needed, and stay.
 * Errors:  INVAL (fewer than 2), NOMEM.
 * Lifetime: until rmr_tls_pool_free(); env is copied.
 * Source:  none.
 */
RMR_API rmr_err rmr_tls_pool_new(rmr_tls_pool **out, const rmr_env *env,
                                 size_t max_bufs);

/**
 * Wipes and frees; NULL is allowed.  No connection may have it any more.
 *
 * Effects: the pool and its buffers are gone.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_tls_pool_free(rmr_tls_pool *p);

/**
 * Gives back the memory of buffers that no one has, but for `keep` of them.
 *                                                                   [submit]
 * Effects: they are wiped and freed.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_tls_pool_trim(rmr_tls_pool *p, size_t keep);

/** At least one buffer can be had, at least for output.               [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_pool_has_room(const rmr_tls_pool *p);

/** Numbers of now and since creation.                                 [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API rmr_tls_pool_stats rmr_tls_pool_stats_get(const rmr_tls_pool *p);

/* ---- one connection --------------------------------------------------- */

typedef struct rmr_tls rmr_tls;

typedef struct rmr_tls_config {
    uint32_t struct_size; /* written by rmr_tls_config_init */
    /* Copied; a DNS name (sent as SNI) or an IP literal (no SNI). */
    const char *server_name;
    /* Copied; what the certificate must be of; NULL: server_name. */
    const char *verify_name;
    /* 32 bytes, copied; NULL: none.  Replaces the chain: certificates whose CN
     * begins "derpkey" are skipped; exactly one other must match, be in its
     * dates, and have the DNS name to verify (an address is not looked for). */
    const uint8_t *pin_sha256;
    bool insecure; /* accept any certificate (a pin still holds) */
    /* Retained until the connection is freed; needed where there is no pin and
     * not insecure. */
    const rmr_tls_anchors *anchors;
    uint64_t wall_unix_ns;
    rmr_tls_pool *pool; /* retained likewise; NULL: buffers of its own */
    /* For AES-GCM records, retained likewise; NULL: BearSSL's own code. */
    const rmr_gcm *gcm;
} rmr_tls_config;

/**
 * Everything off; no names, no anchors.
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_tls_config_init(rmr_tls_config *cfg, size_t struct_size);

/**
 * A client; its hello is ready to be written.
 *
 * Effects: allocates; makes output.
 * Errors:  INVAL (a name that is none, or nothing to judge the peer by), NOMEM,
 *          RNG; FULL (the pool has no buffer for the hello: try later).
 * Lifetime: until rmr_tls_free(); env and cfg are copied, anchors and pool
 *          retained.
 * Source:  RFC 5246 7.4.1.2.
 */
RMR_API rmr_err rmr_tls_client_new(rmr_tls **out, const rmr_env *env,
                                   const rmr_tls_config *cfg);

/**
 * Wipes and frees; NULL is allowed.
 *
 * Effects: all memory is wiped and given back; nothing is sent.  Buffers of a
 *          pool are wiped only with the pool.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_tls_free(rmr_tls *t);

/**
 * Ciphertext from the peer.                                           [pump]
 *
 * \param consumed  May be less than offered: then plaintext must be consumed
 *                  or output be written first, or the pool is empty.
 *
 * Effects: may create plaintext and output; may open or close.  What follows a
 *          close_notify is dropped.
 * Errors: RMR_E_TLS_* but TRUNCATED; NOMEM; sticky.
 * Source: RFC 5246 6, 7.
 */
RMR_API rmr_err rmr_tls_read(rmr_tls *t, rmr_bytes in, size_t *consumed);

/**
 * The peer's stream ended.                                            [pump]
 *
 * Effects: the connection is closed.
 * Errors:  RMR_E_TLS_TRUNCATED when no close_notify came and we have not shut
 *          the connection ourselves; the sticky error.
 * Source:  RFC 5246 7.2.1.
 */
RMR_API rmr_err rmr_tls_read_eof(rmr_tls *t);

/**
 * Ciphertext for the peer, as much as fits.                           [pump]
 *
 * \param len  0: none now.
 *
 * Effects: plaintext that was gathered becomes a record.
 * Errors: the sticky one, once an alert that says it has been written.
 * Source: RFC 5246 6.2.
 */
RMR_API rmr_err rmr_tls_write(rmr_tls *t, rmr_buf dst, size_t *len);

/**
 * Plaintext to send; small pieces are gathered into a record until
 * rmr_tls_write.                                                    [submit]
 *
 * \param taken  0 before the handshake is done, while a full record waits to be
 *               written, and while the pool is empty.
 *
 * Effects: output.
 * Errors: CLOSED (either side has shut); the sticky one.
 * Source: RFC 5246 6.2.1.
 */
RMR_API rmr_err rmr_tls_send(rmr_tls *t, rmr_bytes data, size_t *taken);

/**
 * The zero-copy form of rmr_tls_send: a place in the engine's own buffer for
 * plaintext; fill some of it, then commit how much.                 [submit]
 *
 * \param place  len 0: none now, or the handshake is not done.  Good until the
 *               next non-const call.
 *
 * Effects: none that shows before rmr_tls_commit.
 * Errors:  as rmr_tls_send.
 * Source:  none.
 */
RMR_API rmr_err rmr_tls_reserve(rmr_tls *t, rmr_buf *place);

/**
 * Sends the first n bytes of what was reserved; nothing behind them was
 * written.  0 gives the place back: a pool's buffer that is not wiped as a
 * whole then.                                                       [submit]
 *
 * Effects: output.
 * Errors: STATE (more than was reserved); as rmr_tls_send.
 * Source: none.
 */
RMR_API rmr_err rmr_tls_commit(rmr_tls *t, size_t n);

/**
 * Plaintext that came, in place until the next non-const call.  It may be
 * overwritten (decrypted in place).                                   [look]
 *
 * Effects: none.
 * Errors:  the sticky one, when nothing is left to see.
 * Source:  none.
 */
RMR_API rmr_err rmr_tls_peek(const rmr_tls *t, rmr_buf *view);

/**
 * Drops the first n bytes of it.                                    [submit]
 *
 * Effects: rmr_tls_read can take more.
 * Errors: INVAL (more than there are).
 * Source: none.
 */
RMR_API rmr_err rmr_tls_consume(rmr_tls *t, size_t n);

/**
 * Sends close_notify, after what was given to send.  Plaintext that was not
 * consumed and all that still comes is dropped.                     [submit]
 *
 * Effects: output.  Before the handshake is done it only closes.
 * Errors: the sticky one.
 * Source: RFC 5246 7.2.1.
 */
RMR_API rmr_err rmr_tls_shutdown(rmr_tls *t);

/** The handshake was done; stays true after a close.                  [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_is_open(const rmr_tls *t);

/** close_notify came, or an error.                                    [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_is_closed(const rmr_tls *t);

/** A read, send, reserve, write or shutdown did less than it could have because
 *  the pool had no buffer, and none was had since.  (A host that does not want
 *  to send any more says so by sending no bytes.)                     [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_is_starved(const rmr_tls *t);

/** It is starved, and what it lacked can be had now.                  [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_can_retry(const rmr_tls *t);

/** How many buffers of the pool it has, 0 to 2; 0 without a pool.     [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API unsigned rmr_tls_holds(const rmr_tls *t);

/** It has one for input, of which there are the fewest.                [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_holds_input(const rmr_tls *t);

/** It is starved, and lacks one for input at least.                   [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_tls_lacks_input(const rmr_tls *t);

/** For logs: "ECDHE_RSA_WITH_AES_128_GCM_SHA256", or "" before the server's
 *  hello.                                                             [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API const char *rmr_tls_suite(const rmr_tls *t);

#ifdef __cplusplus
}
#endif
#endif
