/*
 * remora/socks5.h - the server's side of one SOCKS5 connection, up to CONNECT.
 *
 * Bytes of the client in, bytes for it out; after a successful reply the
 * connection is a plain stream and this object is done.  BIND and UDP ASSOCIATE
 * are refused.
 *
 * Threading: one object, one thread.  Memory: caller-owned, fixed.  Time: none
 * (the host bounds how long a client may take).
 * Source: RFC 1928, 1929 (user and password).
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
    char host[256];  /* a name, or "" when the request has an address */
    rmr_addr addr;   /* family NONE when it has a name                */
    uint16_t port;
    const char *user, *password; /* NULL: no authentication; retained */
    uint8_t in[520];
    uint8_t out[32];
    uint16_t in_len, out_len, out_sent;
    uint8_t step;
} rmr_socks5;

/** user and password: both or none; retained until done.  Compared in constant
 *  time.  Errors: INVAL (empty or above 255 bytes). */
RMR_API rmr_err rmr_socks5_init(rmr_socks5 *s, const char *user,
                                const char *password);
RMR_API void rmr_socks5_wipe(rmr_socks5 *s);
/** Takes bytes up to the end of the request; what is behind it stays with the
 *  caller (in.len - *consumed).  Errors: MALFORMED, AUTH, UNSUPPORTED: the
 *  state is FAILED, and an answer waits to be written. */
RMR_API rmr_err rmr_socks5_read(rmr_socks5 *s, rmr_bytes in,
                                size_t *consumed);
/** Bytes for the client; *len 0: none now. */
RMR_API rmr_err rmr_socks5_write(rmr_socks5 *s, rmr_buf dst, size_t *len);
/** Answers the request; `bound` may be NULL.  Errors: STATE. */
RMR_API rmr_err rmr_socks5_reply(rmr_socks5 *s, rmr_socks5_code code,
                                 const rmr_addr *bound);
/** The code that tells the client best what rmr_err happened. */
RMR_API rmr_socks5_code rmr_socks5_code_of(rmr_err e);

#ifdef __cplusplus
}
#endif
#endif
