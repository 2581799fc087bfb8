/*
 * remora/stun.h - the STUN that nodes and relays speak: one request, one
 * response, built and parsed, for both sides.
 *
 * Codecs alone: no state, no retries (remora/netcheck.h has them), no other
 * methods than Binding, no message integrity, no TURN.
 *
 * Source: RFC 8489 5, 6, 14.1, 14.2, 14.7, with what Tailscale's clients and
 * relays ask for on top: a request carries SOFTWARE "tailnode" and ends in a
 * FINGERPRINT, and a relay answers nothing else.
 * Threading: pure functions.  Memory: none.  Time: none.
 *
 *     client:
 *         rmr_rng_fill(&env.rng, txid, sizeof txid);
 *         rmr_stun_build_request(rmr_buf_of(out, sizeof out), &len, txid);
 *         ... a datagram of class RMR_DATAGRAM_STUN came:
 *         if (!rmr_stun_parse_response(datagram, got, &mine) &&
 *             !memcmp(got, txid, sizeof txid))
 *             my public address is `mine`;
 *     server:
 *         if (!rmr_stun_answer(rmr_buf_of(out, sizeof out), &len, datagram,
 *                              &from))
 *             send(from, out, len);
 */
#ifndef REMORA_STUN_H
#define REMORA_STUN_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_STUN_TXID_LEN 12
#define RMR_STUN_REQUEST_LEN 40
#define RMR_STUN_RESPONSE_MAX 44 /* to an IPv6 address; 32 to an IPv4 one */
#define RMR_STUN_PORT 3478

/**
 * A Binding request, always RMR_STUN_REQUEST_LEN bytes.                 [look]
 *
 * \param txid  Fresh and random: the answer is told by it alone.
 *
 * Effects: dst and *len are written.
 * Errors:  RMR_E_BUFSIZE (*len is 0).
 * Source:  RFC 8489 5, 14.7; SOFTWARE "tailnode" is what relays ask for.
 */
RMR_API rmr_err rmr_stun_build_request(rmr_buf dst, size_t *len,
                                       const uint8_t txid[RMR_STUN_TXID_LEN]);

/**
 * A request that a relay answers: SOFTWARE is "tailnode" and the last attribute
 * is a FINGERPRINT that fits.                                           [look]
 *
 * Effects: txid is written.
 * Errors:  RMR_E_MALFORMED for all else: answer nothing; txid is untouched.
 * Source:  RFC 8489 6.3; the header's length is not looked at, as in
 *          Tailscale's relay.
 */
RMR_API rmr_err rmr_stun_parse_request(rmr_bytes datagram,
                                       uint8_t txid[RMR_STUN_TXID_LEN]);

/**
 * A success response that says where the request came from.             [look]
 *
 * \param from  The sender.  An IPv4 address that a dual-stack socket wrapped in
 *              IPv6 is unwrapped, as everywhere in remora.
 *
 * Effects: dst and *len are written.
 * Errors:  RMR_E_BUFSIZE, RMR_E_INVAL (an address of no family); *len is 0.
 * Source:  RFC 8489 14.2 (XOR-MAPPED-ADDRESS).
 */
RMR_API rmr_err rmr_stun_build_response(rmr_buf dst, size_t *len,
                                        const uint8_t txid[RMR_STUN_TXID_LEN],
                                        const rmr_addr *from);

/**
 * The server in one call: parses a request and builds its response.     [look]
 *
 * Effects: dst and *len are written.
 * Errors:  RMR_E_MALFORMED (stay silent), RMR_E_BUFSIZE, RMR_E_INVAL; *len is
 *          0.
 * Source:  as the two functions that it calls.
 */
RMR_API rmr_err rmr_stun_answer(rmr_buf dst, size_t *len, rmr_bytes datagram,
                                const rmr_addr *from);

/**
 * A success response: the address that the server saw.                  [look]
 *
 * XOR-MAPPED-ADDRESS (0x0020, or 0x8020 of old servers; the last one counts) is
 * preferred to MAPPED-ADDRESS; what else it carries is passed over, and so is
 * what is behind its declared length.  A v4-mapped IPv6 address is unmapped.
 * Whether the transaction is one of ours is for the caller to ask.
 *
 * Effects: txid and *mapped are written.
 * Errors:  RMR_E_MALFORMED (a request or an error response too); both are
 *          untouched then.
 * Source:  RFC 8489 6.3.3, 14.1, 14.2.
 */
RMR_API rmr_err rmr_stun_parse_response(rmr_bytes datagram,
                                        uint8_t txid[RMR_STUN_TXID_LEN],
                                        rmr_addr *mapped);

#ifdef __cplusplus
}
#endif
#endif
