/* Names as the responder needs them. */
#include "md_internal.h"

#include <string.h>

static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool rmri_md_text(const rmri_dns_name *name, char dst[RMR_MD_NAME_MAX])
{
    size_t n = 0;
    for (size_t at = 0; name->wire[at];) {
        size_t end = at + 1 + name->wire[at];
        if (n)
            dst[n++] = '.';
        for (at++; at < end; at++) {
            if (!is_host_byte(name->wire[at]))
                return false;
            dst[n++] = (char)name->wire[at];
        }
    }
    dst[n] = 0;
    return n > 0;
}

bool rmri_md_wire(const char *text, rmri_dns_name *out)
{
    if (text[0] == 0 || (text[0] == '.' && text[1] == 0)) {
        out->len = 1;
        out->wire[0] = 0;
        return true;
    }
    return rmri_dns_name_of(rmr_bytes_str(text), rmr_bytes_of(NULL, 0), out) ==
           RMR_OK;
}

bool rmri_md_in(const rmri_dns_name *name, const rmri_dns_name *zone)
{
    for (size_t at = 0; at < name->len; at += (size_t)name->wire[at] + 1)
        if (name->len - at == zone->len)
            return memcmp(name->wire + at, zone->wire, zone->len) == 0;
    return false;
}

bool rmri_md_parent(rmri_dns_name *name)
{
    size_t cut = (size_t)name->wire[0] + 1;
    if (name->len <= 1)
        return false;
    memmove(name->wire, name->wire + cut, name->len - cut);
    name->len = (uint8_t)(name->len - cut);
    return true;
}

/* The decimal number of a label, of at most three digits and no leading zero:
 * two names must not be one address. */
static bool octet(const uint8_t *p, size_t len, uint8_t *out)
{
    unsigned v = 0;
    if (len == 0 || len > 3 || (len > 1 && p[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (p[i] - (unsigned)'0');
    }
    *out = (uint8_t)v;
    return v <= 255;
}

static bool reverse4(const uint8_t *p, uint8_t ip[4])
{
    for (int i = 3; i >= 0; i--) {
        if (!octet(p + 1, p[0], &ip[i]))
            return false;
        p += p[0] + 1;
    }
    return *p == 7 && memcmp(p, "\7in-addr\4arpa", 14) == 0;
}

static bool nibble(uint8_t c, uint8_t *out)
{
    if (c >= '0' && c <= '9')
        *out = (uint8_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *out = (uint8_t)(c - 'a' + 10);
    else
        return false;
    return true;
}

static bool reverse6(const uint8_t *p, uint8_t ip[16])
{
    for (int i = 31; i >= 0; i--, p += 2) {
        uint8_t v;
        if (p[0] != 1 || !nibble(p[1], &v))
            return false;
        ip[i / 2] = (uint8_t)(i % 2 ? v : ip[i / 2] | v << 4);
    }
    return memcmp(p, "\3ip6\4arpa", 10) == 0;
}

/* RFC 1035 3.5, RFC 3596 2.5. */
bool rmri_md_reverse(const rmri_dns_name *name, rmr_addr *out)
{
    uint8_t ip[16] = {0};
    size_t arpa = rmri_dns_name_ends(name, "arpa") ? name->len : 0;
    size_t dots = 0;
    for (size_t at = 0; at < arpa; at += (size_t)name->wire[at] + 1)
        dots++;
    if (dots == 7 && reverse4(name->wire, ip)) /* with the root */
        *out = rmr_addr_from_bytes(rmr_bytes_of(ip, 4), 0);
    else if (dots == 35 && reverse6(name->wire, ip))
        *out = rmr_addr_from_bytes(rmr_bytes_of(ip, 16), 0);
    else
        return false;
    return true;
}

static bool site(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    uint64_t v = 0;
    if (p == end || end - p > 10 || (end - p > 1 && *p == '0'))
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    *out = (uint32_t)v;
    return v <= UINT32_MAX;
}

bool rmri_md_via(const rmri_dns_name *name, const rmri_dns_name *zone,
                 rmr_addr *out)
{
    static const uint8_t prefix[8] = {0xfd, 0x7a, 0x11, 0x5c,
                                      0xa1, 0xe0, 0x0b, 0x1a};
    rmri_dns_name rest = *name;
    const uint8_t *p = name->wire + 1, *end = p + name->wire[0];
    uint8_t ip[16];
    uint32_t number;
    if (!rmri_md_parent(&rest) || zone->len < 2 ||
        !rmri_dns_name_eq(&rest, zone))
        return false;
    memcpy(ip, prefix, sizeof prefix);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *dash = memchr(p, '-', (size_t)(end - p));
        if (!dash || !octet(p, (size_t)(dash - p), &ip[12 + i]))
            return false;
        p = dash + 1;
    }
    if (end - p < 4 || memcmp(p, "via-", 4) != 0 || !site(p + 4, end, &number))
        return false;
    ip[8] = (uint8_t)(number >> 24);
    ip[9] = (uint8_t)(number >> 16);
    ip[10] = (uint8_t)(number >> 8);
    ip[11] = (uint8_t)number;
    *out = rmr_addr_from_bytes(rmr_bytes_of(ip, 16), 0);
    return true;
}
