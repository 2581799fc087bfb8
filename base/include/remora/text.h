/*
 * remora/text.h - hex, base64, decimal numbers, RFC 3339 times.
 *
 * Source: RFC 4648 4 (base64) and 8 (hex), RFC 3339 5.6.
 */
#ifndef REMORA_TEXT_H
#define REMORA_TEXT_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Lower-case hex of src and a NUL into dst of at least 2 * len + 1. */
RMR_API char *rmr_hex(char *dst, const void *src, size_t len);
/** Exactly 2 * len digits of either case.  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_unhex(void *dst, size_t len, rmr_bytes text);
/** Size of base64 text for n bytes, with padding, without a NUL. */
#define RMR_BASE64_LEN(n) (((n) + 2) / 3 * 4)
/** Standard base64 with padding and a NUL into dst of RMR_BASE64_LEN + 1. */
RMR_API char *rmr_base64(char *dst, const void *src, size_t len);
/** Strict standard base64 with padding.  *len is what dst holds on input and
 *  what was written on output.  Errors: RMR_E_MALFORMED, RMR_E_BUFSIZE. */
RMR_API rmr_err rmr_unbase64(void *dst, size_t *len, rmr_bytes text);
/** Decimal digits alone, no sign, no space.  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_parse_u64(rmr_bytes text, uint64_t max, uint64_t *out);
/** RFC 3339 time to Unix nanoseconds; years 1970 to 2261.  An earlier time
 *  ("0001-01-01T00:00:00Z" is Go's "none") gives 0.  Errors: RMR_E_MALFORMED */
RMR_API rmr_err rmr_parse_time(rmr_bytes text, uint64_t *unix_ns);
/** "2026-11-21T09:17:51.371Z" (milliseconds) and a NUL; returns dst. */
#define RMR_TIME_TEXT_MAX 32
RMR_API char *rmr_time_text(uint64_t unix_ns, char dst[RMR_TIME_TEXT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
