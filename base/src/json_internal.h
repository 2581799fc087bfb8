/* What the JSON reader and writer share. */
#ifndef REMORA_JSON_INTERNAL_H
#define REMORA_JSON_INTERNAL_H

#include <remora/base.h>

#include <string.h>

/* What may follow a byte above 0x7f: `left` more bytes, the next one of
 * low...high, and the others of 0x80...0xbf (RFC 3629 4).  Overlong forms,
 * surrogates and values above U+10FFFF are ruled out by the range of the second
 * byte.  left is 0 for a byte that begins nothing. */
typedef struct rmri_base_utf8 {
    uint8_t left, low, high;
} rmri_base_utf8;

static inline rmri_base_utf8 rmri_base_utf8_lead(uint8_t c)
{
    rmri_base_utf8 u = {0, 0x80, 0xbf};
    if (c >= 0xc2 && c <= 0xdf) {
        u.left = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u.left = 2;
        if (c == 0xe0)
            u.low = 0xa0;
        else if (c == 0xed)
            u.high = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        u.left = 3;
        if (c == 0xf0)
            u.low = 0x90;
        else if (c == 0xf4)
            u.high = 0x8f;
    }
    return u;
}

/* Where the first byte stands that is not plain: a quote, a backslash, a
 * control character or a byte above 0x7f. */
static inline const uint8_t *rmri_base_skip_plain(const uint8_t *p,
                                                  const uint8_t *end)
{
    const uint64_t ones = 0x0101010101010101;
    /* Eight bytes at a time: a subtraction borrows into a byte's top bit when
     * the byte is less than what is taken off.  A borrow can also come from the
     * byte below, but only when that one is a find by itself. */
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, sizeof x);
        uint64_t quote = (x ^ ones * '"') - ones;
        uint64_t slash = (x ^ ones * '\\') - ones;
        if ((x | (x - ones * 0x20) | quote | slash) & ones * 0x80)
            break;
        p += 8;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* snprintf takes the decimal point from the locale, and it can be any sequence
 * of bytes; it becomes a point again. */
void rmri_base_fix_point(char *text);

#endif
