/* Internet checksums (RFC 1071) with 64-bit adds, or with wider ones where the
 * processor has them. */
#include "ns_internal.h"

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Up to seven bytes, each at its place in a pair. */
static uint64_t load_tail(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    uint32_t four;
    uint16_t two;
    uint8_t pair[2] = {0, 0};
    if (n & 4) {
        memcpy(&four, p, 4);
        v = four;
        p += 4;
    }
    if (n & 2) {
        memcpy(&two, p, 2);
        v += two;
        p += 2;
    }
    if (n & 1) {
        pair[0] = p[0];
        memcpy(&two, pair, 2);
        v += two;
    }
    return v;
}

/* ---- wide registers --------------------------------------------------- */

#define WIDE_BLOCK 64u /* bytes of a step */

#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE __attribute__((target("avx2")))

typedef uint64_t wide_t __attribute__((vector_size(32)));

/* The compiler's support library asked the processor before main(). */
static bool have_wide(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Both halves of each word are added apart, so that no carry gets lost; `copy`
 * is known at the call, and the compiler makes two functions of this. */
WIDE static inline uint64_t wide_blocks(uint64_t acc, uint8_t *dst,
                                        const uint8_t *src, size_t n, bool copy)
{
    const wide_t low = {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu};
    wide_t a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < n; i += WIDE_BLOCK) {
        wide_t x, y;
        memcpy(&x, src + i, sizeof x);
        memcpy(&y, src + i + sizeof x, sizeof y);
        if (copy) {
            memcpy(dst + i, &x, sizeof x);
            memcpy(dst + i + sizeof x, &y, sizeof y);
        }
        a += x & low;
        b += x >> 32;
        c += y & low;
        d += y >> 32;
    }
    a += b;
    c += d;
    a += c; /* each lane stays far below 2^64 for any packet */
    return ns_sum_add(ns_sum_add(acc, a[0] + a[1]), a[2] + a[3]);
}

WIDE static uint64_t sum_wide(uint64_t acc, const uint8_t *p, size_t n)
{
    return wide_blocks(acc, NULL, p, n, false);
}

WIDE static uint64_t sum_copy_wide(uint64_t acc, uint8_t *dst,
                                   const uint8_t *src, size_t n)
{
    return wide_blocks(acc, dst, src, n, true);
}
#else
static bool have_wide(void)
{
    return false;
}
static uint64_t sum_wide(uint64_t acc, const uint8_t *p, size_t n)
{
    (void)p;
    (void)n;
    return acc;
}
static uint64_t sum_copy_wide(uint64_t acc, uint8_t *dst, const uint8_t *src,
                              size_t n)
{
    (void)dst;
    return sum_wide(acc, src, n);
}
#endif

/* How much of n bytes goes the wide way. */
static size_t wide_part(size_t n)
{
    return n >= 2 * WIDE_BLOCK && have_wide() ? n / WIDE_BLOCK * WIDE_BLOCK : 0;
}

/* ---- sums ------------------------------------------------------------- */

static uint64_t sum_words(uint64_t acc, const uint8_t *p, size_t n)
{
    uint64_t a = acc, b = 0;
    while (n >= 16) {
        a = ns_sum_add(a, load64(p));
        b = ns_sum_add(b, load64(p + 8));
        p += 16;
        n -= 16;
    }
    a = ns_sum_add(a, b);
    if (n >= 8) {
        a = ns_sum_add(a, load64(p));
        p += 8;
        n -= 8;
    }
    return n ? ns_sum_add(a, load_tail(p, n)) : a;
}

uint64_t rmri_ns_sum(uint64_t acc, const uint8_t *p, size_t n)
{
    size_t w = wide_part(n);
    if (w)
        acc = sum_wide(acc, p, w);
    return sum_words(acc, p + w, n - w);
}

uint64_t rmri_ns_sum_copy(uint64_t acc, uint8_t *dst, const uint8_t *src,
                          size_t n)
{
    if (n == 0)
        return acc;
    size_t w = wide_part(n);
    if (w)
        acc = sum_copy_wide(acc, dst, src, w);
    memcpy(dst + w, src + w, n - w);
    return sum_words(acc, src + w, n - w);
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
