/*
 * remora/text.h - hex, base64, decimal numbers, RFC 3339 times.
 *
 * Reading is strict: no white space, no signs, no second text for one value.
 * None of it is in constant time; keys in text go through it all the same, for
 * they come from files and messages, not from a guesser who measures.
 *
 * Source: RFC 4648 4 (base64) and 8 (hex), RFC 3339 5.6.
 * Threading: pure functions.  Memory: none, but for rmr_text_keep.
 * Time: none is read; wall time is Unix nanoseconds, without leap seconds.
 *
 *     uint8_t key[32];
 *     char hex[65], when[RMR_TIME_TEXT_MAX];
 *     uint64_t expiry, port;
 *     if (rmr_unhex(key, sizeof key, text)) fail();
 *     if (rmr_parse_u64(digits, 65535, &port)) fail();
 *     if (rmr_parse_time(expiry_text, &expiry)) fail();
 *     say(rmr_hex(hex, key, sizeof key), rmr_time_text(expiry, when));
 */
#ifndef REMORA_TEXT_H
#define REMORA_TEXT_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Lower-case hex and a NUL into dst of at least 2 * len + 1; returns [look]
 *  dst.  Effects: on dst.  Errors: none.  Source: RFC 4648 8. */
RMR_API char *rmr_hex(char *dst, const void *src, size_t len);
/** Exactly 2 * len digits of either case, to len bytes.               [look]
 *  Effects: on dst.  Errors: MALFORMED; dst may be written in part then.
 *  Source: RFC 4648 8. */
RMR_API rmr_err rmr_unhex(void *dst, size_t len, rmr_bytes text);
/** Size of base64 text for n bytes, with padding, without a NUL. */
#define RMR_BASE64_LEN(n) (((n) + 2) / 3 * 4)
/** Base64 with padding and a NUL into dst of RMR_BASE64_LEN + 1;      [look]
 *  returns dst.  Effects: on dst.  Errors: none.  Source: RFC 4648 4. */
RMR_API char *rmr_base64(char *dst, const void *src, size_t len);
/** Base64 with padding to bytes.  *len is what dst holds on input     [look]
 *  and what was written on output.
 *  Effects: on dst and *len.
 *  Errors: MALFORMED (also where the bits beyond the last byte are not zero),
 *  BUFSIZE; *len is untouched then, dst may be written in part.
 *  Source: RFC 4648 4, 3.5. */
RMR_API rmr_err rmr_unbase64(void *dst, size_t *len, rmr_bytes text);
/** Decimal digits alone, up to `max`; leading zeros are allowed.      [look]
 *  Effects: on *out.  Errors: MALFORMED (a number above max too); *out is
 *  untouched then.  Source: none. */
RMR_API rmr_err rmr_parse_u64(rmr_bytes text, uint64_t max, uint64_t *out);
/** RFC 3339 time to Unix nanoseconds; years 1970 to 2261.  An earlier [look]
 *  time ("0001-01-01T00:00:00Z" is Go's "none") gives 0, a later one INT64_MAX.
 *  Digits below a nanosecond are dropped; a leap second is the next second.
 *  Effects: on *unix_ns.  Errors: MALFORMED; *unix_ns is untouched then.
 *  Source: RFC 3339 5.6, 5.7. */
RMR_API rmr_err rmr_parse_time(rmr_bytes text, uint64_t *unix_ns);
#define RMR_TIME_TEXT_MAX 32
/** "2026-11-21T09:17:51.371Z" (milliseconds, cut) and a NUL; returns  [look]
 *  dst.  Effects: on dst.  Errors: none.  Source: RFC 3339 5.6. */
RMR_API char *rmr_time_text(uint64_t unix_ns, char dst[RMR_TIME_TEXT_MAX]);

/**
 * A text that is mostly short, or not there, in memory of its length: *slot is
 * NULL for the empty one, from which it starts and to which it is set before
 * its owner goes.
 *
 * \param text  Copied; up to its first zero byte.  It may be a part of *slot.
 *
 * Effects: *slot is the copy, with a zero byte; what it was is wiped and freed.
 * Errors:  NOMEM; *slot is as before then.  The empty text needs no memory.
 * Source:  none.
 */
RMR_API rmr_err rmr_text_keep(char **slot, const rmr_alloc *a, rmr_bytes text);
/** What such a slot says; never NULL.                                 [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline const char *rmr_text_kept(const char *slot)
{
    return slot ? slot : "";
}

#ifdef __cplusplus
}
#endif
#endif
