/*
 * remora/disco.h - disco messages: sealing, opening, parsing and building, and
 * telling them from STUN and WireGuard on a shared socket.
 *
 * Codecs alone: no state, no timers.  (Path choice comes on top, later.)
 *
 * Threading: pure functions.  Memory: none allocated.  Time: none.
 * Source: Tailscale's disco protocol, as its 1.98 clients speak it.
 */
#ifndef REMORA_DISCO_H
#define REMORA_DISCO_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_DISCO_HEADER_LEN 62   /* magic 6, sender 32, nonce 24 */
#define RMR_DISCO_MAX_CANDIDATES 32
#define RMR_DISCO_TXID_LEN 12

typedef enum rmr_disco_class { /* of a datagram from UDP or DERP */
    RMR_DATAGRAM_WIREGUARD,
    RMR_DATAGRAM_DISCO,
    RMR_DATAGRAM_STUN,
    RMR_DATAGRAM_EMPTY
} rmr_disco_class;

typedef enum rmr_disco_type {
    RMR_DISCO_PING = 1,
    RMR_DISCO_PONG = 2,
    RMR_DISCO_CALL_ME_MAYBE = 3
} rmr_disco_type;

typedef struct rmr_disco_msg {
    uint8_t type;    /* others than the three: parsed as unknown, ignore      */
    uint8_t txid[RMR_DISCO_TXID_LEN];        /* ping, pong */
    bool has_node_key;
    uint8_t node_key[RMR_KEY_LEN];           /* ping */
    rmr_addr src;                            /* pong: what the answerer saw   */
    rmr_addr candidates[RMR_DISCO_MAX_CANDIDATES]; /* call-me-maybe */
    size_t n_candidates;                     /* more than fit are left out    */
    size_t padding;
} rmr_disco_msg;

/** The address that stands for "by DERP region n" in pongs: 127.3.3.40:n. */
RMR_API rmr_addr rmr_disco_derp_addr(uint16_t region);
RMR_API rmr_disco_class rmr_disco_classify(rmr_bytes datagram);
/** The sender's disco key of a sealed message.  Errors: MALFORMED. */
RMR_API rmr_err rmr_disco_sender(rmr_bytes datagram,
                                 uint8_t key[RMR_KEY_LEN]);
/** Opens and parses.  `shared` is rmr_box_shared(own private, sender).
 *  Errors: MALFORMED, AUTH. */
RMR_API rmr_err rmr_disco_open(rmr_bytes datagram,
                               const uint8_t shared[RMR_KEY_LEN],
                               rmr_disco_msg *out);
/** Builds and seals.  Errors: BUFSIZE, INVAL. */
RMR_API rmr_err rmr_disco_seal(rmr_buf dst, size_t *len,
                               const uint8_t own_public[RMR_KEY_LEN],
                               const uint8_t shared[RMR_KEY_LEN],
                               const uint8_t nonce[RMR_BOX_NONCE_LEN],
                               const rmr_disco_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
