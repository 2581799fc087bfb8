/* Hex, base64, decimal numbers, kept texts. */
#include <remora/text.h>

#include <string.h>

/* Sums instead of a table: a compiler makes vectors of them. */
static char hex_digit(unsigned v)
{
    return (char)('0' + v + (v > 9 ? 'a' - '0' - 10 : 0));
}

char *rmr_hex(char *restrict dst, const void *restrict src, size_t len)
{
    const uint8_t *p = (const uint8_t *)src;
    for (size_t i = 0; i < len; i++) {
        dst[2 * i] = hex_digit(p[i] >> 4);
        dst[2 * i + 1] = hex_digit(p[i] & 15);
    }
    dst[2 * len] = '\0';
    return dst;
}

/* 0...15, or 255. */
static uint8_t hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10) : 255;
}

rmr_err rmr_unhex(void *dst, size_t len, rmr_bytes text)
{
    uint8_t *out = (uint8_t *)dst;
    if (text.len % 2 || text.len / 2 != len)
        return RMR_E_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        uint8_t high = hex_value(text.ptr[2 * i]);
        uint8_t low = hex_value(text.ptr[2 * i + 1]);
        if (high > 15 || low > 15)
            return RMR_E_MALFORMED;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return RMR_OK;
}

char *rmr_base64(char *dst, const void *src, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)src;
    char *out = dst;
    for (; len >= 3; p += 3, len -= 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = digits[v >> 6 & 63];
        *out++ = digits[v & 63];
    }
    if (len) {
        uint32_t v = (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = len > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
    return dst;
}

/* 0...63, or 255. */
static uint32_t base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0' + 52);
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 255;
}

rmr_err rmr_unbase64(void *dst, size_t *len, rmr_bytes text)
{
    uint8_t *out = (uint8_t *)dst;
    const uint8_t *p = text.ptr;
    if (text.len % 4)
        return RMR_E_MALFORMED;
    size_t pad = 0;
    if (text.len)
        pad = (size_t)(p[text.len - 1] == '=') +
              (size_t)(p[text.len - 1] == '=' && p[text.len - 2] == '=');
    size_t n = text.len / 4 * 3 - pad, done = 0;
    if (n > *len)
        return RMR_E_BUFSIZE;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t digits = i + 4 == text.len ? 4 - pad : 4;
        uint32_t v = 0;
        for (size_t k = 0; k < digits; k++) {
            uint32_t d = base64_value(p[i + k]);
            if (d > 63)
                return RMR_E_MALFORMED;
            v |= d << (18 - 6 * k);
        }
        size_t bytes = digits - 1;
        /* Bits beyond the last byte are zero: one text for one value. */
        if (v & (0xffffffu >> (8 * bytes)))
            return RMR_E_MALFORMED;
        for (size_t k = 0; k < bytes; k++)
            out[done++] = (uint8_t)(v >> (16 - 8 * k));
    }
    *len = done;
    return RMR_OK;
}

rmr_err rmr_parse_u64(rmr_bytes text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0)
        return RMR_E_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < '0' || c > '9')
            return RMR_E_MALFORMED;
        uint64_t d = (uint64_t)(c - '0');
        if (d > max || v > (max - d) / 10)
            return RMR_E_MALFORMED;
        v = v * 10 + d;
    }
    *out = v;
    return RMR_OK;
}

/* ---- texts that are kept ----------------------------------------------- */

rmr_err rmr_text_keep(char **slot, const rmr_alloc *a, rmr_bytes text)
{
    char *copy = NULL;
    size_t n = 0;
    while (n < text.len && text.ptr[n])
        n++;
    if (n) {
        copy = rmr_alloc_raw(a, n + 1, 1);
        if (!copy)
            return RMR_E_NOMEM;
        memcpy(copy, text.ptr, n);
        copy[n] = '\0';
    }
    if (*slot)
        rmr_release_wiped(a, *slot, strlen(*slot) + 1);
    *slot = copy;
    return RMR_OK;
}
