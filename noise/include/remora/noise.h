/*
 * remora/noise.h - the Noise handshakes IK and IKpsk2.
 *
 * One small state that both TS2021 (IK) and WireGuard (IKpsk2) drive.  It makes
 * and reads the Noise parts of the messages; headers, MACs and the transport
 * phase are the caller's, because the two protocols differ there.
 *
 * Contract S1: reading a message changes the state only when all of it was
 * authentic, but for the claimed static key of message 1, which the caller may
 * look at before it decides to go on (rmr_noise_read_1_static).
 *
 * Threading: one state, one thread.  Memory: caller-owned, none allocated; it
 * holds secrets, so rmr_noise_wipe() it.  Time and randomness: none; the
 * caller gives ephemeral keys.
 *
 * Source: The Noise Protocol Framework rev. 34, sections 5, 7.5, 9; pattern IK:
 *   <- s   ...   -> e, es, s, ss   <- e, ee, se [psk]
 *
 *     rmr_noise_init(&n, &cfg);
 *     rmr_noise_write_1(&n, e_priv, payload, msg, sizeof msg, &len);
 *     ... send, receive ...
 *     rmr_noise_read_2(&n, reply, payload_out, &payload_len);
 *     rmr_noise_split(&n, k_send, k_recv);
 */
#ifndef REMORA_NOISE_H
#define REMORA_NOISE_H

#include <remora/base.h>
#include <remora/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Message lengths without payload: e, encrypted s, tag; and e, tag. */
#define RMR_NOISE_MSG1_LEN (32 + 48 + 16)
#define RMR_NOISE_MSG2_LEN (32 + 16)

typedef enum rmr_noise_pattern {
    RMR_NOISE_IK,    /* "Noise_IK_25519_ChaChaPoly_BLAKE2s"     */
    RMR_NOISE_IKPSK2 /* "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s" */
} rmr_noise_pattern;

typedef struct rmr_noise_config {
    rmr_noise_pattern pattern;
    bool initiator;
    rmr_bytes prologue;
    const uint8_t *local_private;  /* 32, copied                              */
    const uint8_t *local_public;   /* 32, copied; NULL: computed              */
    const uint8_t *remote_public;  /* 32, copied; initiator only              */
    const uint8_t *psk;            /* 32, copied; NULL: zeros; IKPSK2 only    */
    const uint8_t *static_static;  /* 32, copied; NULL: computed when needed.
                                      X25519(local_private, remote static):
                                      initiators keep it per peer             */
} rmr_noise_config;

typedef struct rmr_noise { /* caller-owned; fields are the layer's */
    uint8_t h[32], ck[32];
    uint8_t s_priv[32], s_pub[32];
    uint8_t e_priv[32], e_pub[32];
    uint8_t rs[32], re[32];
    uint8_t psk[32], ss[32];
    uint8_t pattern, initiator, step, has_ss;
} rmr_noise;

/**
 * Begins a handshake.                                              [submit]
 *
 * \param cfg  Copied, with what it points to but the prologue, which is only
 *             hashed.
 *
 * Effects: fills `n`.
 * Errors:  INVAL (no local_private, an initiator without remote_public, an
 *          unknown pattern); `n` is untouched then.
 * Source:  Noise rev. 34, 5.3 (Initialize), 7.5.
 */
RMR_API rmr_err rmr_noise_init(rmr_noise *n, const rmr_noise_config *cfg);
/** Clears all secrets; the state is unusable then.                 [submit]
 *  Effects: on `n` alone.  Errors: none.  Source: contract S2. */
RMR_API void rmr_noise_wipe(rmr_noise *n);

/**
 * Initiator: message 1 with a payload.                             [submit]
 *
 * \param e_priv  A fresh private key; copied.  Never use one twice.
 * \param dst     Gets *len = RMR_NOISE_MSG1_LEN + payload.len bytes.
 *
 * Effects: the state waits for message 2.
 * Errors:  STATE, BUFSIZE, AUTH (low-order remote key); unchanged then.
 * Source:  Noise 5.3 (WriteMessage): -> e, es, s, ss.
 */
RMR_API rmr_err rmr_noise_write_1(rmr_noise *n, const uint8_t e_priv[32],
                                  rmr_bytes payload, rmr_buf dst, size_t *len);
/**
 * Responder, first half: opens the sender's static key.            [submit]
 *
 * \param msg      The whole message, given again to the second half.
 * \param claimed  Gets the key.  A claim, fit for a look-up alone, until
 *                 rmr_noise_read_1_payload succeeds.
 *
 * Effects: the state waits for the second half.
 * Errors:  STATE, MALFORMED (too short), AUTH; unchanged then.
 * Source:  Noise 5.3 (ReadMessage): -> e, es, s.
 */
RMR_API rmr_err rmr_noise_read_1_static(rmr_noise *n, rmr_bytes msg,
                                        uint8_t claimed[32]);
/**
 * Responder, second half, after the look-up of the claimed key.    [submit]
 *
 * \param psk            Of that peer; NULL: as configured.
 * \param static_static  X25519(local private, claimed); NULL: as configured,
 *                       or computed.
 * \param dst            Gets the payload, *len bytes.
 *
 * Effects: the state may write message 2; the static key is authentic.
 * Errors:  STATE, MALFORMED, BUFSIZE, AUTH (wipe the state: nobody can go on
 *          with that message); unchanged then.
 * Source:  Noise 5.3 (ReadMessage): ss, payload.
 */
RMR_API rmr_err rmr_noise_read_1_payload(rmr_noise *n, rmr_bytes msg,
                                         const uint8_t *psk,
                                         const uint8_t *static_static,
                                         rmr_buf dst, size_t *len);
/**
 * Responder: message 2 with a payload.                             [submit]
 *
 * \param e_priv  A fresh private key; copied.
 * \param dst     Gets *len = RMR_NOISE_MSG2_LEN + payload.len bytes.
 *
 * Effects: the handshake is done on this side.
 * Errors:  STATE, BUFSIZE, AUTH (low-order remote key); unchanged then.
 * Source:  Noise 5.3 (WriteMessage): <- e, ee, se [psk].
 */
RMR_API rmr_err rmr_noise_write_2(rmr_noise *n, const uint8_t e_priv[32],
                                  rmr_bytes payload, rmr_buf dst, size_t *len);
/**
 * Initiator: reads message 2.                                      [submit]
 *
 * \param dst  Gets the payload, *len bytes.
 *
 * Effects: the handshake is done.
 * Errors:  STATE, MALFORMED, BUFSIZE, AUTH; unchanged then, so that a forged
 *          reply doesn't end the handshake.
 * Source:  Noise 5.3 (ReadMessage): <- e, ee, se [psk].
 */
RMR_API rmr_err rmr_noise_read_2(rmr_noise *n, rmr_bytes msg, rmr_buf dst,
                                 size_t *len);
/**
 * Both: the transport keys, once.                                  [submit]
 *
 * \param send  What this side seals with.
 * \param recv  What it opens with.
 *
 * Effects: clears the ephemeral, the chaining key and the PSK; the hash stays.
 * Errors:  STATE.
 * Source:  Noise 5.2 (Split).
 */
RMR_API rmr_err rmr_noise_split(rmr_noise *n, uint8_t send[32],
                                uint8_t recv[32]);
/** The handshake hash h (32 bytes), for channel binding.             [look]
 *  Lifetime: while `n` lives.  Effects: none.  Errors: none.
 *  Source: Noise 11.2. */
RMR_API const uint8_t *rmr_noise_hash(const rmr_noise *n);

#ifdef __cplusplus
}
#endif
#endif
