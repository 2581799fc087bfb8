/*
 * remora/addr.h - IP addresses, sockets addresses and prefixes, and their text.
 *
 * No <sys/socket.h>: that is I/O (docs/integrating.md).  IPv4 addresses are
 * kept in the first four bytes of `ip`, the rest zero, so that two equal
 * addresses have equal bytes.  Ports are in host order.
 *
 * Source: RFC 4291 2.2 and RFC 5952 (IPv6 text), RFC 4632 (prefixes).
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
    uint32_t zone;  /* IPv6 scope, 0 for none                */
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

RMR_API rmr_addr rmr_addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d,
                             uint16_t port);
/** From 4 or 16 bytes in network order; another length gives RMR_AF_NONE.
 *  A v4-mapped IPv6 address (::ffff:a.b.c.d) is unmapped. */
RMR_API rmr_addr rmr_addr_from_bytes(rmr_bytes ip, uint16_t port);
/** 4, 16 or 0. */
RMR_API size_t rmr_addr_ip_len(const rmr_addr *a);
RMR_API bool rmr_addr_eq(const rmr_addr *a, const rmr_addr *b);
RMR_API bool rmr_addr_ip_eq(const rmr_addr *a, const rmr_addr *b);
RMR_API bool rmr_addr_is_loopback(const rmr_addr *a);
/** RFC 1918, fc00::/7, loopback, or link-local. */
RMR_API bool rmr_addr_is_private(const rmr_addr *a);

/** Parses an address without a port ("10.0.0.1", "fd7a::1", "fe80::1%2").
 *  Errors: RMR_E_MALFORMED; *out is untouched then. */
RMR_API rmr_err rmr_addr_parse_ip(rmr_bytes text, rmr_addr *out);
/** Parses "1.2.3.4:5" or "[::1]:5".  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_addr_parse(rmr_bytes text, rmr_addr *out);
/** Parses "10.0.0.0/8", "::/0", or an address alone (32 or 128 bits).  Host
 *  bits are kept as they are.  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_prefix_parse(rmr_bytes text, rmr_prefix *out);

/** Writes the text with a NUL into `dst` of at least the _TEXT_MAX size and
 *  returns dst.  RFC 5952 form for IPv6. */
RMR_API const char *rmr_addr_ip_text(const rmr_addr *a,
                                     char dst[RMR_ADDR_TEXT_MAX]);
RMR_API const char *rmr_addr_text(const rmr_addr *a,
                                  char dst[RMR_ADDR_TEXT_MAX]);
RMR_API const char *rmr_prefix_text(const rmr_prefix *p,
                                    char dst[RMR_PREFIX_TEXT_MAX]);

RMR_API bool rmr_prefix_contains(const rmr_prefix *p, const rmr_addr *a);
/** The address of a prefix, port 0. */
RMR_API rmr_addr rmr_prefix_addr(const rmr_prefix *p);
RMR_API bool rmr_prefix_eq(const rmr_prefix *a, const rmr_prefix *b);

#ifdef __cplusplus
}
#endif
#endif
