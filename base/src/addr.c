/* Addresses and prefixes as values. */
#include <remora/addr.h>

#include <string.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

rmr_addr rmr_addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    rmr_addr out;
    memset(&out, 0, sizeof out);
    out.ip[0] = a;
    out.ip[1] = b;
    out.ip[2] = c;
    out.ip[3] = d;
    out.port = port;
    out.family = RMR_AF_INET;
    return out;
}

rmr_addr rmr_addr_from_bytes(rmr_bytes ip, uint16_t port)
{
    rmr_addr out;
    memset(&out, 0, sizeof out);
    const uint8_t *p = ip.ptr;
    size_t len = ip.len;
    if (len == 16 && memcmp(p, v4_mapped, sizeof v4_mapped) == 0) {
        p += sizeof v4_mapped;
        len = 4;
    }
    if (len != 4 && len != 16)
        return out;
    memcpy(out.ip, p, len);
    out.family = len == 4 ? RMR_AF_INET : RMR_AF_INET6;
    out.port = port;
    return out;
}

size_t rmr_addr_ip_len(const rmr_addr *a)
{
    if (a->family == RMR_AF_INET)
        return 4;
    return a->family == RMR_AF_INET6 ? 16 : 0;
}

bool rmr_addr_ip_eq(const rmr_addr *a, const rmr_addr *b)
{
    return a->family == b->family && a->zone == b->zone &&
           memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool rmr_addr_eq(const rmr_addr *a, const rmr_addr *b)
{
    return a->port == b->port && rmr_addr_ip_eq(a, b);
}

bool rmr_addr_is_loopback(const rmr_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->family == RMR_AF_INET)
        return a->ip[0] == 127;
    return a->family == RMR_AF_INET6 && memcmp(a->ip, one, sizeof one) == 0;
}

bool rmr_addr_is_private(const rmr_addr *a)
{
    const uint8_t *p = a->ip;
    if (rmr_addr_is_loopback(a))
        return true;
    if (a->family == RMR_AF_INET)
        return p[0] == 10 || (p[0] == 172 && (p[1] & 0xf0) == 16) ||
               (p[0] == 192 && p[1] == 168) || (p[0] == 169 && p[1] == 254);
    return a->family == RMR_AF_INET6 &&
           ((p[0] & 0xfe) == 0xfc || (p[0] == 0xfe && (p[1] & 0xc0) == 0x80));
}

bool rmr_prefix_contains(const rmr_prefix *p, const rmr_addr *a)
{
    if (p->family != a->family || p->family == RMR_AF_NONE)
        return false;
    if (p->bits > 8 * rmr_addr_ip_len(a))
        return false;
    size_t whole = p->bits / 8u;
    unsigned rest = p->bits % 8u;
    if (memcmp(p->ip, a->ip, whole) != 0)
        return false;
    return rest == 0 || ((p->ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}

rmr_addr rmr_prefix_addr(const rmr_prefix *p)
{
    rmr_addr out;
    memset(&out, 0, sizeof out);
    memcpy(out.ip, p->ip, sizeof out.ip);
    out.family = p->family;
    return out;
}

bool rmr_prefix_eq(const rmr_prefix *a, const rmr_prefix *b)
{
    return a->family == b->family && a->bits == b->bits &&
           memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}
