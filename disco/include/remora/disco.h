/*
 * remora/disco.h - disco messages: sealing, opening, parsing and building, and
 * telling them from STUN and WireGuard on a shared socket.
 *
 * Codecs alone: no state, no timers, and no opinion on who may send what.
 * (Path choice comes on top, later.)  The messages of peer relays (types 4 to
 * 9) are told by their type and not read further.
 *
 * Threading: pure functions.  Memory: none allocated; rmr_disco_open takes
 * 9 KiB of stack.  Time: none.
 * Source: Tailscale's disco protocol, as its 1.98 clients speak it.
 *
 *     rmr_disco_view v = rmr_disco_split(datagram, false);
 *     if (v.cls == RMR_DATAGRAM_DISCO && !v.geneve &&
 *         !rmr_disco_sender(v.payload, key) && (p = peer_with(key)) &&
 *         !rmr_disco_open(v.payload, p->shared, &msg))
 *         switch (msg.type) { ... }
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
#define RMR_DISCO_OPEN_MAX 9216   /* the longest that rmr_disco_open takes */
#define RMR_DISCO_MAX_PADDING 65343 /* a ping of 65467 bytes, the largest  */

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
    bool has_node_key;                       /* an all-zero key is none */
    uint8_t node_key[RMR_KEY_LEN];           /* ping */
    rmr_addr src;                            /* pong: what the answerer saw   */
    rmr_addr candidates[RMR_DISCO_MAX_CANDIDATES]; /* call-me-maybe */
    size_t n_candidates;                     /* more than fit are left out    */
    size_t padding;                          /* ping: bytes behind its fields */
} rmr_disco_msg;

typedef struct rmr_disco_view { /* a datagram, told apart */
    rmr_disco_class cls;
    bool geneve;       /* it came wrapped, through a peer relay           */
    bool control;      /* geneve: of the relay's handshake                */
    uint32_t vni;      /* geneve                                          */
    rmr_bytes payload; /* the inside where it was wrapped, else all of it */
} rmr_disco_view;

/**
 * The address that stands for "by DERP region n" in pongs: 127.3.3.40:n. [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  derp map, region addresses.
 */
RMR_API rmr_addr rmr_disco_derp_addr(uint16_t region);

/**
 * What a datagram from a UDP socket is.  What is wrapped in Geneve is classed
 * as its inside; rmr_disco_split tells which it was.                    [look]
 *
 * Effects: none.
 * Errors:  none; what is nothing else is WIREGUARD, no bytes are EMPTY.
 * Source:  the order of Tailscale's receive demultiplexer: STUN, Geneve, disco.
 */
RMR_API rmr_disco_class rmr_disco_classify(rmr_bytes datagram);

/**
 * The same, and where the inside is.                                    [look]
 *
 * \param from_derp  It came through a DERP relay: STUN and wrapped disco do not
 *                   come that way and are classed as WIREGUARD.
 *
 * Lifetime: payload points into datagram.
 * Effects: none.
 * Errors:  none.
 * Source:  as rmr_disco_classify; RFC 8926 3.4 (Geneve's header).
 */
RMR_API rmr_disco_view rmr_disco_split(rmr_bytes datagram, bool from_derp);

/**
 * The sender's disco key of a sealed message, not verified yet.         [look]
 *
 * Effects: the key is written.
 * Errors:  RMR_E_MALFORMED (no disco message; key unchanged).
 * Source:  disco envelope: magic 6, key 32, nonce 24, box.
 */
RMR_API rmr_err rmr_disco_sender(rmr_bytes datagram,
                                 uint8_t key[RMR_KEY_LEN]);

/**
 * Opens and parses.                                                     [look]
 *
 * \param shared  rmr_box_shared(own private, sender).
 *
 * Effects: *out is written.
 * Errors:  RMR_E_MALFORMED, RMR_E_AUTH, RMR_E_TOOBIG (above
 *          RMR_DISCO_OPEN_MAX); *out is all zero then.  An unknown type is no
 *          error.
 * Source:  NaCl crypto_box; disco payloads.
 */
RMR_API rmr_err rmr_disco_open(rmr_bytes datagram,
                               const uint8_t shared[RMR_KEY_LEN],
                               rmr_disco_msg *out);

/**
 * The same for any length: the datagram is overwritten with its plaintext.
 *                                                                       [look]
 *
 * Effects: the datagram and *out are written.
 * Errors:  RMR_E_MALFORMED, RMR_E_AUTH (the datagram's content is unspecified
 *          after this one); *out is all zero then.
 * Source:  as rmr_disco_open.
 */
RMR_API rmr_err rmr_disco_open_in_place(rmr_buf datagram,
                                        const uint8_t shared[RMR_KEY_LEN],
                                        rmr_disco_msg *out);

/**
 * Builds and seals.                                                     [look]
 *
 * \param nonce  Fresh and random for each message.
 *
 * Effects: dst and *len are written.
 * Errors:  RMR_E_BUFSIZE (*len is 0), RMR_E_INVAL (an unknown type, an address
 *          without a family, too many candidates, too much padding).
 * Source:  disco envelope and payloads, version 0.
 */
RMR_API rmr_err rmr_disco_seal(rmr_buf dst, size_t *len,
                               const uint8_t own_public[RMR_KEY_LEN],
                               const uint8_t shared[RMR_KEY_LEN],
                               const uint8_t nonce[RMR_BOX_NONCE_LEN],
                               const rmr_disco_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
