/*
 * remora/addr.h - IP addresses, sockets addresses and prefixes, and their text.
 *
 * No <sys/socket.h>: that is I/O (docs/integrating.md).  IPv4 addresses are
 * kept in the first four bytes of `ip`, the rest zero, so that two equal
 * addresses have equal bytes.  Ports are in host order.
 *
 * Reading is strict: "010.0.0.1" or "1.2.3" is no address, and a zone is a
 * number, for names of interfaces are the host's business.  An IPv4-mapped
 * address (::ffff:a.b.c.d) is IPv4, so that one peer has one address.
 *
 * Source: RFC 4291 2.2 and RFC 5952 (IPv6 text), RFC 6943 3.1.1 (IPv4 text),
 * RFC 4632 (prefixes), RFC 4007 11 (zones).
 * Threading: pure functions.  Memory: none.  Time: none.
 *
 *     rmr_addr a;
 *     rmr_prefix net;
 *     char text[RMR_ADDR_TEXT_MAX];
 *     if (rmr_addr_parse(rmr_bytes_str("[fd7a::1]:41641"), &a)) fail();
 *     if (rmr_prefix_parse(rmr_bytes_str("fd7a::/48"), &net)) fail();
 *     if (rmr_prefix_contains(&net, &a))
 *         puts(rmr_addr_text(&a, text));
 */
#ifndef REMORA_ADDR_H
#define REMORA_ADDR_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RMR_AF_NONE = 0, RMR_AF_INET = 4, RMR_AF_INET6 = 6 };

typedef struct rmr_addr {
    uint8_t ip[16]; /* IPv4 in the first four, the rest zero */
    uint32_t zone;  /* IPv6 scope, 0 for none, and for IPv4  */
    uint16_t port;  /* host order                            */
    uint8_t family; /* RMR_AF_...                            */
} rmr_addr;

typedef struct rmr_prefix {
    uint8_t ip[16];
    uint8_t family; /* RMR_AF_...             */
    uint8_t bits;   /* 0...32 or 0...128      */
} rmr_prefix;

#define RMR_ADDR_TEXT_MAX 64   /* "[v6%zone]:port" and NUL fit */
#define RMR_PREFIX_TEXT_MAX 64

/** The IPv4 address a.b.c.d with a port.                              [look]
 *  Effects: none.  Errors: none.  Source: RFC 791 3.2. */
RMR_API rmr_addr rmr_addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d,
                             uint16_t port);
/** From 4 or 16 bytes in network order.  A v4-mapped IPv6 address    [look]
 *  (::ffff:a.b.c.d) is unmapped.
 *  Effects: none.  Errors: family RMR_AF_NONE and all zero for another length.
 *  Source: RFC 4291 2.5.5.2. */
RMR_API rmr_addr rmr_addr_from_bytes(rmr_bytes ip, uint16_t port);
/** Bytes of `ip` in use: 4, 16 or 0.                                  [look]
 *  Effects: none.  Errors: none.  Source: RFC 4291 2. */
RMR_API size_t rmr_addr_ip_len(const rmr_addr *a);
/** Equal in every part.                                               [look]
 *  Effects: none.  Errors: none.  Source: RFC 4007 6 (zones tell apart). */
RMR_API bool rmr_addr_eq(const rmr_addr *a, const rmr_addr *b);
/** Equal but for the port.                                            [look]
 *  Effects: none.  Errors: none.  Source: as rmr_addr_eq. */
RMR_API bool rmr_addr_ip_eq(const rmr_addr *a, const rmr_addr *b);
/** In 127.0.0.0/8, or ::1.                                            [look]
 *  Effects: none.  Errors: none.  Source: RFC 1122 3.2.1.3, RFC 4291 2.5.3. */
RMR_API bool rmr_addr_is_loopback(const rmr_addr *a);
/** RFC 1918, fc00::/7, loopback, or link-local.  100.64.0.0/10 is not. [look]
 *  Effects: none.  Errors: none.
 *  Source: RFC 1918 3, RFC 3927, RFC 4193 3, RFC 4291 2.5.6. */
RMR_API bool rmr_addr_is_private(const rmr_addr *a);

/** Parses an address without a port ("10.0.0.1", "fd7a::1",          [look]
 *  "fe80::1%2").
 *  Effects: on *out alone.  Errors: MALFORMED; *out is untouched then.
 *  Source: RFC 4291 2.2, RFC 4007 11.2. */
RMR_API rmr_err rmr_addr_parse_ip(rmr_bytes text, rmr_addr *out);
/** Parses "1.2.3.4:5" or "[::1]:5".                                   [look]
 *  Effects: on *out alone.  Errors: MALFORMED; *out is untouched then.
 *  Source: RFC 3986 3.2.2 (brackets). */
RMR_API rmr_err rmr_addr_parse(rmr_bytes text, rmr_addr *out);
/** Parses "10.0.0.0/8", "::/0", or an address alone (32 or 128       [look]
 *  bits).  Host bits are kept as they are.  A prefix of mapped addresses
 *  ("::ffff:10.0.0.0/104") is the IPv4 one.
 *  Effects: on *out alone.  Errors: MALFORMED; *out is untouched then.
 *  Source: RFC 4632 3.1, RFC 4291 2.3. */
RMR_API rmr_err rmr_prefix_parse(rmr_bytes text, rmr_prefix *out);

/** Writes the address without its port, and a NUL; returns dst.      [look]
 *  Effects: on dst.  Errors: none; an address of no family is "none".
 *  Source: RFC 5952 4, 5. */
RMR_API const char *rmr_addr_ip_text(const rmr_addr *a,
                                     char dst[RMR_ADDR_TEXT_MAX]);
/** The same with the port, in the form that rmr_addr_parse reads.     [look]
 *  Effects: on dst.  Errors: none; an address of no family is "none".
 *  Source: RFC 5952 4, 6. */
RMR_API const char *rmr_addr_text(const rmr_addr *a,
                                  char dst[RMR_ADDR_TEXT_MAX]);
/** A prefix with its bits ("10.0.0.0/8"), and a NUL; returns dst.     [look]
 *  Effects: on dst.  Errors: none; a prefix of no family is "none".
 *  Source: RFC 4632 3.1, RFC 5952. */
RMR_API const char *rmr_prefix_text(const rmr_prefix *p,
                                    char dst[RMR_PREFIX_TEXT_MAX]);

/** Whether the first `bits` bits agree.  Ports and zones don't count. [look]
 *  Effects: none.  Errors: false where the families differ.
 *  Source: RFC 4632 3.1. */
RMR_API bool rmr_prefix_contains(const rmr_prefix *p, const rmr_addr *a);
/** The address of a prefix, port 0.                                   [look]
 *  Effects: none.  Errors: none.  Source: RFC 4632 3.1. */
RMR_API rmr_addr rmr_prefix_addr(const rmr_prefix *p);
/** Equal in every part, host bits too.                                [look]
 *  Effects: none.  Errors: none.  Source: RFC 4632 3.1. */
RMR_API bool rmr_prefix_eq(const rmr_prefix *a, const rmr_prefix *b);

#ifdef __cplusplus
}
#endif
#endif
