/* Addresses: the next one behind the last that was given out, so that a freed
 * one rests as long as it can. */
#include "crd_internal.h"

#include <string.h>

/* The host part of a prefix has at most so many bits of it in use. */
#define HOST_BITS_MAX 32

static unsigned host_bits(const rmr_prefix *p)
{
    unsigned all = p->family == RMR_AF_INET ? 32 : 128;
    unsigned bits = all - p->bits;
    return bits > HOST_BITS_MAX ? HOST_BITS_MAX : bits;
}

/* The prefix's address with `host` in its last bits. */
static rmr_addr make(const rmr_prefix *p, uint64_t host)
{
    rmr_addr a = rmr_prefix_addr(p);
    size_t len = rmr_addr_ip_len(&a);
    for (size_t i = 0; i < 8 && i < len; i++)
        a.ip[len - 1 - i] |= (uint8_t)(host >> 8 * i);
    return a;
}

/* Others have a use for these: quad-100, and the range that ChromeOS takes. */
static bool is_reserved(const rmr_addr *a)
{
    static const uint8_t quad6[16] = {
        0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53};
    if (a->family == RMR_AF_INET6)
        return memcmp(a->ip, quad6, sizeof quad6) == 0;
    return a->ip[0] == 100 &&
           ((a->ip[1] == 100 && a->ip[2] == 100 && a->ip[3] == 100) ||
            (a->ip[1] == 115 && (a->ip[2] & 0xfe) == 92));
}

static bool is_taken(const rmr_coord *c, const rmr_addr *a)
{
    uint64_t slot;
    return rmr_hash_get(&c->by_addr, a->ip, rmr_addr_ip_len(a), &slot);
}

static rmr_err take(rmr_coord *c, const rmr_prefix *p, uint64_t *last,
                    rmr_addr *out)
{
    if (p->family == RMR_AF_NONE) {
        memset(out, 0, sizeof *out);
        return RMR_OK;
    }
    uint64_t size = (uint64_t)1 << host_bits(p), host = *last;
    for (uint64_t tries = 0; tries < size; tries++) {
        host = host + 1 >= size - 1 ? 1 : host + 1; /* not the broadcast's */
        rmr_addr a = make(p, host);
        if (is_reserved(&a) || is_taken(c, &a))
            continue;
        *last = host;
        *out = a;
        return RMR_OK;
    }
    return RMR_E_FULL;
}

rmr_err rmri_crd_addrs_take(rmr_coord *c, rmr_addr *v4, rmr_addr *v6)
{
    rmr_err e = take(c, &c->v4, &c->last_v4, v4);
    return e != RMR_OK ? e : take(c, &c->v6, &c->last_v6, v6);
}
