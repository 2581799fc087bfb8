/* Internet checksums (RFC 1071) with 64-bit adds. */
#include "ns_internal.h"

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Up to seven bytes as they would lie in a word, padded with zeros. */
static uint64_t load_tail(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

uint64_t rmri_ns_sum(uint64_t acc, const uint8_t *p, size_t n)
{
    uint64_t a = acc, b = 0, c = 0, d = 0;
    while (n >= 32) {
        a = ns_sum_add(a, load64(p));
        b = ns_sum_add(b, load64(p + 8));
        c = ns_sum_add(c, load64(p + 16));
        d = ns_sum_add(d, load64(p + 24));
        p += 32;
        n -= 32;
    }
    a = ns_sum_add(ns_sum_add(a, b), ns_sum_add(c, d));
    while (n >= 8) {
        a = ns_sum_add(a, load64(p));
        p += 8;
        n -= 8;
    }
    return n ? ns_sum_add(a, load_tail(p, n)) : a;
}

uint64_t rmri_ns_sum_copy(uint64_t acc, uint8_t *dst, const uint8_t *src,
                          size_t n)
{
    uint64_t a = acc, b = 0, c = 0, d = 0;
    while (n >= 32) {
        uint64_t w[4];
        memcpy(w, src, 32);
        memcpy(dst, w, 32);
        a = ns_sum_add(a, w[0]);
        b = ns_sum_add(b, w[1]);
        c = ns_sum_add(c, w[2]);
        d = ns_sum_add(d, w[3]);
        src += 32;
        dst += 32;
        n -= 32;
    }
    a = ns_sum_add(ns_sum_add(a, b), ns_sum_add(c, d));
    if (n) {
        memcpy(dst, src, n);
        a = rmri_ns_sum(a, src, n);
    }
    return a;
}

uint16_t rmri_ns_sum_fold(uint64_t acc)
{
    acc = (acc & 0xffffffffu) + (acc >> 32);
    acc = (acc & 0xffffu) + (acc >> 16);
    acc = (acc & 0xffffu) + (acc >> 16);
    acc = (acc & 0xffffu) + (acc >> 16);
    return (uint16_t)acc;
}

uint64_t rmri_ns_sum_swap(uint64_t acc)
{
    uint32_t v = rmri_ns_sum_fold(acc);
    return (v << 8 | v >> 8) & 0xffffu;
}

uint64_t rmri_ns_sum_be16(uint64_t acc, uint16_t v)
{
    uint8_t b[2];
    rmr_store_be16(b, v);
    return ns_sum_add(acc, load_tail(b, 2));
}

void rmri_ns_sum_store(uint8_t *p, uint64_t acc)
{
    uint16_t v = (uint16_t)~rmri_ns_sum_fold(acc);
    memcpy(p, &v, 2);
}

uint64_t rmri_ns_sum_pseudo(uint8_t family, const ns_ip *src, const ns_ip *dst,
                            uint8_t proto, size_t len)
{
    /* Unused address bytes are zero and add nothing. */
    uint64_t acc = ns_sum_add(load64(src->b), load64(src->b + 8));
    acc = ns_sum_add(acc, load64(dst->b));
    acc = ns_sum_add(acc, load64(dst->b + 8));
    acc = rmri_ns_sum_be16(acc, proto);
    acc = rmri_ns_sum_be16(acc, (uint16_t)len);
    if (family == RMR_AF_INET6 && len > 0xffff)
        acc = rmri_ns_sum_be16(acc, (uint16_t)(len >> 16));
    return acc;
}
