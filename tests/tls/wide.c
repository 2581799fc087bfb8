#include <string.h>

#include "wide.h"

const uint64_t wide_p[4] = {UINT64_MAX, UINT32_MAX, 0,
                            UINT64_C(0xffffffff00000001)};
const uint64_t wide_n[4] = {
    UINT64_C(0xf3b9cac2fc632551), UINT64_C(0xbce6faada7179e84),
    UINT64_C(0xffffffffffffffff), UINT64_C(0xffffffff00000000)};

static unsigned bit(const uint64_t *a, size_t i)
{
    return a[i / 64] >> i % 64 & 1;
}

/* a + a + more, and what leaves the four words. */
static unsigned twice(uint64_t a[4], unsigned more)
{
    unsigned over = bit(a, 255);
    for (size_t i = 4; i-- > 1;)
        a[i] = a[i] << 1 | a[i - 1] >> 63;
    a[0] = a[0] << 1 | more;
    return over;
}

/* a - m where that is not below 0, a of one bit more. */
static void less(uint64_t a[4], unsigned over, const uint64_t m[4])
{
    uint64_t d[4];
    unsigned borrow = 0;
    for (size_t i = 0; i < 4; i++) {
        d[i] = a[i] - m[i] - borrow;
        borrow = borrow ? a[i] <= m[i] : a[i] < m[i];
    }
    if (over || !borrow)
        memcpy(a, d, sizeof d);
}

void wide_add(uint64_t r[4], const uint64_t a[4], const uint64_t b[4],
              const uint64_t m[4])
{
    uint64_t s[4];
    unsigned carry = 0;
    for (size_t i = 0; i < 4; i++) {
        s[i] = a[i] + b[i] + carry;
        carry = carry ? s[i] <= a[i] : s[i] < a[i];
    }
    less(s, carry, m);
    memcpy(r, s, sizeof s);
}

/* A bit of b at a time, from above. */
void wide_mul(uint64_t r[4], const uint64_t a[4], const uint64_t b[4],
              const uint64_t m[4])
{
    uint64_t t[4] = {0};
    for (size_t i = 256; i-- > 0;) {
        less(t, twice(t, 0), m);
        if (bit(b, i))
            wide_add(t, t, a, m);
    }
    memcpy(r, t, sizeof t);
}

static uint64_t edge(test_rng *rng)
{
    static const uint64_t words[] = {0,
                                     1,
                                     2,
                                     UINT32_MAX,
                                     UINT64_MAX,
                                     UINT64_MAX - 1,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 63,
                                     ~(uint64_t)UINT32_MAX,
                                     ~(uint64_t)UINT32_MAX + 1,
                                     ~(uint64_t)UINT32_MAX - 1};
    uint64_t pick = test_rng_u64(rng) % 14;
    return pick < sizeof words / sizeof *words ? words[pick]
                                               : test_rng_u64(rng);
}

void wide_draw(uint64_t a[4], test_rng *rng, const uint64_t m[4])
{
    for (size_t i = 0; i < 4; i++)
        a[i] = edge(rng);
    if (test_rng_u64(rng) % 8 == 0) { /* just below m */
        memcpy(a, m, 4 * sizeof *a);
        a[0] -= 1 + test_rng_u64(rng) % 3;
    }
    less(a, 0, m);
}

void wide_bytes(uint8_t out[32], const uint64_t a[4])
{
    for (size_t i = 0; i < 32; i++)
        out[31 - i] = (uint8_t)(a[i / 8] >> i % 8 * 8);
}
