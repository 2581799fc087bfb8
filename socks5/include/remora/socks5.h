/*
 * remora/socks5.h - the server's side of one SOCKS5 connection, up to CONNECT.
 *
 * Bytes of the client in, bytes for it out; after a successful reply the
 * connection is a plain stream and this object is done.  BIND and UDP ASSOCIATE
 * are refused.  It is not a proxy: it dials nothing and relays nothing (see
 * remora/bridge.h), and it resolves no names.
 *
 * Threading: one object, one thread.  Memory: caller-owned, fixed, no
 * allocation.  Time: none (the host bounds how long a client may take).
 * Source: RFC 1928, 1929 (user and password).
 *
 *     rmr_socks5_init(&s, NULL, NULL);
 *     on bytes of the client:
 *         err = rmr_socks5_read(&s, in, &taken);
 *         rmr_socks5_write(&s, dst, &len);         send dst
 *         if (s.state == RMR_SOCKS5_REQUESTED)     dial s.host or s.addr
 *         if (s.state == RMR_SOCKS5_FAILED)        close after sending
 *     when dialled, or not:
 *         rmr_socks5_reply(&s, rmr_socks5_code_of(err), &bound);
 *         rmr_socks5_write(&s, dst, &len);
 *         if (s.state == RMR_SOCKS5_OPEN)          relay, from in.ptr + taken
 */
#ifndef REMORA_SOCKS5_H
#define REMORA_SOCKS5_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rmr_socks5_state {
    RMR_SOCKS5_READING,   /* wants more of the client's bytes               */
    RMR_SOCKS5_REQUESTED, /* `host`, `addr`, `port` say what is asked: dial,
                             then rmr_socks5_reply                          */
    RMR_SOCKS5_OPEN,      /* replied with success: a plain stream now       */
    RMR_SOCKS5_FAILED     /* write what is left, then close                 */
} rmr_socks5_state;

typedef enum rmr_socks5_code { /* RFC 1928 6 */
    RMR_SOCKS5_OK = 0,
    RMR_SOCKS5_GENERAL = 1,
    RMR_SOCKS5_NOT_ALLOWED = 2,
    RMR_SOCKS5_NET_UNREACHABLE = 3,
    RMR_SOCKS5_HOST_UNREACHABLE = 4,
    RMR_SOCKS5_CONN_REFUSED = 5,
    RMR_SOCKS5_TTL_EXPIRED = 6,
    RMR_SOCKS5_BAD_COMMAND = 7,
    RMR_SOCKS5_BAD_ADDRESS = 8
} rmr_socks5_code;

typedef struct rmr_socks5 { /* caller-owned; look at the first four alone */
    rmr_socks5_state state;
    char host[256];  /* a name, or "" when the request has an address; an
                        address literal that was sent as a name stays one */
    rmr_addr addr;   /* family NONE when it has a name; with the port     */
    uint16_t port;
    const char *user, *password; /* NULL: no authentication; retained */
    uint8_t in[520]; /* the message that is being read                */
    uint8_t out[32]; /* answers: 2 + 2 + 22 bytes at most             */
    uint16_t in_len, out_len, out_sent;
    uint8_t step;
} rmr_socks5;

/**
 * Begins the server's side of a fresh connection.                    [submit]
 *
 * \param user, password  Both or none.  Compared in constant time.
 *
 * Effects: the state is READING.
 * Lifetime: user and password are retained until rmr_socks5_wipe().
 * Errors: RMR_E_INVAL (one of the two without the other, empty, or above 255
 *         bytes).
 * Source: RFC 1928 3, RFC 1929 2.
 */
RMR_API rmr_err rmr_socks5_init(rmr_socks5 *s, const char *user,
                                const char *password);

/**
 * Forgets everything; a password that the client sent is overwritten. [submit]
 *
 * Effects: *s is overwritten.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_socks5_wipe(rmr_socks5 *s);

/**
 * Takes the client's bytes up to the end of its request; what is behind that
 * stays with the caller (in.len - *consumed), as do bytes that come in the
 * states REQUESTED and OPEN.                                            [pump]
 *
 * Effects: may move the state to REQUESTED or FAILED; may create output.
 * Errors:  RMR_E_MALFORMED, RMR_E_AUTH (no common method, or wrong password),
 *          RMR_E_UNSUPPORTED (command or address type): the state is FAILED,
 *          and an answer waits to be written where the protocol has one.
 *          RMR_E_STATE after a failure; nothing is consumed.
 * Source:  RFC 1928 3, 4; RFC 1929 2.
 */
RMR_API rmr_err rmr_socks5_read(rmr_socks5 *s, rmr_bytes in,
                                size_t *consumed);

/**
 * Bytes for the client; *len 0: none now.  Any dst.len goes.           [pump]
 *
 * Effects: what was written is no longer queued.
 * Errors:  none.
 * Source:  RFC 1928 3, 6; RFC 1929 2.
 */
RMR_API rmr_err rmr_socks5_write(rmr_socks5 *s, rmr_buf dst, size_t *len);

/**
 * Answers the request.                                               [submit]
 *
 * \param bound  The address that the outgoing connection has; NULL, and one of
 *               no family, is told as 0.0.0.0:0.
 *
 * Effects: creates output; the state is OPEN after RMR_SOCKS5_OK, else FAILED.
 * Errors:  RMR_E_STATE when no request waits for an answer.
 * Source:  RFC 1928 6.
 */
RMR_API rmr_err rmr_socks5_reply(rmr_socks5 *s, rmr_socks5_code code,
                                 const rmr_addr *bound);

/**
 * The code that tells the client best what rmr_err happened.          [look]
 *
 * Effects: none.
 * Errors:  none; what has no code of its own is RMR_SOCKS5_GENERAL.
 * Source:  RFC 1928 6.
 */
RMR_API rmr_socks5_code rmr_socks5_code_of(rmr_err e);

#ifdef __cplusplus
}
#endif
#endif
