/* Addresses and prefixes as text: strict on the way in, RFC 5952 on the way
 * out. */
#include <remora/addr.h>

#include <remora/text.h>

#include <string.h>

#include "dec_internal.h"

/* ---- in --------------------------------------------------------------- */

static bool find_byte(rmr_bytes text, char c, size_t *at)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == (uint8_t)c) {
            *at = i;
            return true;
        }
    }
    return false;
}

static rmr_bytes sub(rmr_bytes text, size_t from, size_t to)
{
    /* NULL, when there is no text at all, can't be added to. */
    return rmr_bytes_of(from ? text.ptr + from : text.ptr, to - from);
}

/* Decimal without leading zeros: "010" is 8 to some readers and 10 to others,
 * so it is nothing to us (RFC 6943 3.1.1). */
static bool plain_number(rmr_bytes text, uint64_t max, uint64_t *out)
{
    if (text.len > 1 && text.ptr[0] == '0')
        return false;
    return rmr_parse_u64(text, max, out) == RMR_OK;
}

static bool parse_v4(rmr_bytes text, uint8_t ip[4])
{
    uint8_t tmp[4];
    for (size_t i = 0; i < 4; i++) {
        size_t end = text.len;
        if (i < 3 && !find_byte(text, '.', &end))
            return false;
        uint64_t v;
        if (!plain_number(sub(text, 0, end), 255, &v))
            return false;
        tmp[i] = (uint8_t)v;
        if (i < 3)
            text = sub(text, end + 1, text.len);
    }
    memcpy(ip, tmp, sizeof tmp);
    return true;
}

/* One to four hex digits. */
static bool parse_group(rmr_bytes text, uint32_t *out)
{
    uint32_t v = 0;
    if (text.len == 0 || text.len > 4)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* RFC 4291 2.2, all three forms, without a zone. */
static bool parse_v6(rmr_bytes text, uint8_t ip[16])
{
    uint8_t tmp[16];
    size_t n = 0;    /* bytes of tmp that are known */
    size_t gap = 17; /* where "::" stands; 17: nowhere */
    memset(tmp, 0, sizeof tmp);
    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        gap = 0;
        text = sub(text, 2, text.len);
    }
    bool more = gap == 17 || text.len > 0;
    while (more) {
        size_t end = text.len;
        uint32_t v;
        more = find_byte(text, ':', &end);
        if (!more && n <= 12 && parse_v4(text, tmp + n)) {
            n += 4;
            break;
        }
        if (n > 14 || !parse_group(sub(text, 0, end), &v))
            return false;
        tmp[n++] = (uint8_t)(v >> 8);
        tmp[n++] = (uint8_t)v;
        if (!more)
            break;
        text = sub(text, end + 1, text.len);
        if (text.len > 0 && text.ptr[0] == ':') {
            if (gap != 17)
                return false;
            gap = n;
            text = sub(text, 1, text.len);
            more = text.len > 0;
        }
    }
    if (gap == 17 ? n != 16 : n > 14) /* "::" stands for one group or more */
        return false;
    memset(ip, 0, 16);
    if (gap == 17) {
        gap = 16;
    }
    memcpy(ip, tmp, gap);
    memcpy(ip + 16 - (n - gap), tmp + gap, n - gap);
    return true;
}

rmr_err rmr_addr_parse_ip(rmr_bytes text, rmr_addr *out)
{
    uint8_t ip[16];
    uint64_t zone = 0;
    size_t at;
    if (parse_v4(text, ip)) {
        *out = rmr_addr_from_bytes(rmr_bytes_of(ip, 4), 0);
        return RMR_OK;
    }
    if (find_byte(text, '%', &at)) {
        if (!plain_number(sub(text, at + 1, text.len), UINT32_MAX, &zone) ||
            zone == 0)
            return RMR_E_MALFORMED;
        text = sub(text, 0, at);
    }
    if (!parse_v6(text, ip))
        return RMR_E_MALFORMED;
    rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(ip, 16), 0);
    if (zone && a.family == RMR_AF_INET)
        return RMR_E_MALFORMED; /* a mapped address has no scope */
    a.zone = (uint32_t)zone;
    *out = a;
    return RMR_OK;
}

rmr_err rmr_addr_parse(rmr_bytes text, rmr_addr *out)
{
    rmr_addr a;
    uint64_t port;
    size_t end;
    bool bracket = text.len > 0 && text.ptr[0] == '[';
    if (!find_byte(text, bracket ? ']' : ':', &end))
        return RMR_E_MALFORMED;
    rmr_bytes ip = sub(text, bracket ? 1 : 0, end);
    /* Brackets are for IPv6, and IPv6 alone has colons. */
    size_t colon;
    if (find_byte(ip, ':', &colon) != bracket)
        return RMR_E_MALFORMED;
    if (bracket) {
        end++;
        if (end >= text.len || text.ptr[end] != ':')
            return RMR_E_MALFORMED;
    }
    if (rmr_parse_u64(sub(text, end + 1, text.len), 65535, &port) != RMR_OK ||
        rmr_addr_parse_ip(ip, &a) != RMR_OK)
        return RMR_E_MALFORMED;
    a.port = (uint16_t)port;
    *out = a;
    return RMR_OK;
}

rmr_err rmr_prefix_parse(rmr_bytes text, rmr_prefix *out)
{
    size_t slash = text.len;
    bool has_bits = find_byte(text, '/', &slash);
    rmr_bytes ip_text = sub(text, 0, slash);
    rmr_prefix p;
    memset(&p, 0, sizeof p);
    uint64_t bits;
    if (parse_v4(ip_text, p.ip)) {
        p.family = RMR_AF_INET;
        bits = 32;
    } else if (parse_v6(ip_text, p.ip)) {
        p.family = RMR_AF_INET6;
        bits = 128;
    } else {
        return RMR_E_MALFORMED;
    }
    if (has_bits && !plain_number(sub(text, slash + 1, text.len), bits, &bits))
        return RMR_E_MALFORMED;
    /* Addresses are always unmapped, so a prefix within ::ffff:0:0/96 can meet
     * them only as IPv4. */
    rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(p.ip, 16), 0);
    if (p.family == RMR_AF_INET6 && a.family == RMR_AF_INET && bits >= 96) {
        memcpy(p.ip, a.ip, sizeof p.ip);
        p.family = RMR_AF_INET;
        bits -= 96;
    }
    p.bits = (uint8_t)bits;
    *out = p;
    return RMR_OK;
}

/* ---- out -------------------------------------------------------------- */

/* RFC 5952 4.2.3: the longest run of two or more zero groups, the first of
 * equals; its length is 0 when there is none. */
static size_t longest_zeros(const uint16_t group[8], size_t *start)
{
    size_t best = 1, n = 0;
    for (size_t i = 0; i < 8; i++) {
        n = group[i] ? 0 : n + 1;
        if (n > best) {
            best = n;
            *start = i + 1 - n;
        }
    }
    return best > 1 ? best : 0;
}

/* Up to four hexadecimal digits, without zeros in front. */
static size_t write_group(char *dst, unsigned v)
{
    size_t n = v > 0xfff ? 4 : v > 0xff ? 3 : v > 0xf ? 2 : 1;
    for (size_t i = n; i-- > 0; v >>= 4)
        dst[i] = "0123456789abcdef"[v & 15];
    return n;
}

/* `dst` holds RMR_ADDR_TEXT_MAX; the longest text made here is 45 bytes. */
static size_t write_v6(const uint8_t *ip, char *dst)
{
    uint16_t group[8];
    for (size_t i = 0; i < 8; i++)
        group[i] = (uint16_t)((uint32_t)ip[2 * i] << 8 | ip[2 * i + 1]);
    size_t start = 8, len = 0;
    size_t zeros = longest_zeros(group, &start);
    for (size_t i = 0; i < 8;) {
        if (zeros && i == start) {
            dst[len++] = ':';
            dst[len++] = ':';
            i += zeros;
            continue;
        }
        if (i > 0 && !(zeros && i == start + zeros))
            dst[len++] = ':';
        len += write_group(dst + len, group[i]);
        i++;
    }
    return len;
}

/* Up to three decimal digits. */
static size_t write_byte(char *dst, unsigned v)
{
    size_t n = v > 99 ? 3 : v > 9 ? 2 : 1;
    for (size_t i = n; i-- > 0; v /= 10)
        dst[i] = (char)('0' + v % 10);
    return n;
}

static size_t write_v4(const uint8_t *p, char *dst)
{
    size_t len = 0;
    for (size_t i = 0; i < 4; i++) {
        if (i)
            dst[len++] = '.';
        len += write_byte(dst + len, p[i]);
    }
    return len;
}

static size_t write_text(const char *text, char *dst)
{
    size_t len = strlen(text);
    memcpy(dst, text, len);
    return len;
}

/* Without a NUL. */
static size_t write_ip(const rmr_addr *a, char *dst)
{
    const uint8_t *p = a->ip;
    size_t len = 0;
    if (a->family == RMR_AF_INET)
        return write_v4(p, dst);
    if (a->family != RMR_AF_INET6)
        return write_text("none", dst);
    /* RFC 5952 5: a mapped address shows its IPv4 part. */
    if (rmr_addr_from_bytes(rmr_bytes_of(p, 16), 0).family == RMR_AF_INET) {
        len = write_text("::ffff:", dst);
        len += write_v4(p + 12, dst + len);
    } else {
        len = write_v6(p, dst);
    }
    if (a->zone) {
        dst[len++] = '%';
        len += rmri_base_dec(dst + len, a->zone);
    }
    return len;
}

const char *rmr_addr_ip_text(const rmr_addr *a, char dst[RMR_ADDR_TEXT_MAX])
{
    dst[write_ip(a, dst)] = '\0';
    return dst;
}

const char *rmr_addr_text(const rmr_addr *a, char dst[RMR_ADDR_TEXT_MAX])
{
    bool bracket = a->family == RMR_AF_INET6;
    size_t len = bracket ? 1 : 0;
    dst[0] = '[';
    len += write_ip(a, dst + len);
    if (bracket)
        dst[len++] = ']';
    if (rmr_addr_ip_len(a)) {
        dst[len++] = ':';
        len += rmri_base_dec(dst + len, a->port);
    }
    dst[len] = '\0';
    return dst;
}

const char *rmr_prefix_text(const rmr_prefix *p, char dst[RMR_PREFIX_TEXT_MAX])
{
    rmr_addr a = rmr_prefix_addr(p);
    size_t len = write_ip(&a, dst);
    if (rmr_addr_ip_len(&a)) {
        dst[len++] = '/';
        len += rmri_base_dec(dst + len, p->bits);
    }
    dst[len] = '\0';
    return dst;
}
