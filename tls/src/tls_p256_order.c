#include <remora/base.h>
#include <remora/cursor.h>

#include "tls_p256_order.h"

#ifdef RMRI_TLS_P256

static const uint64_t n[4] = {
    UINT64_C(0xf3b9cac2fc632551), UINT64_C(0xbce6faada7179e84),
    UINT64_C(0xffffffffffffffff), UINT64_C(0xffffffff00000000)};
#define N_INVERSE UINT64_C(0xccd1c8aaee00bc4f) /* -1/n mod 2^64 */

/* 2^512 mod n: brings a number into Montgomery's form, a * 2^256. */
static const rmri_ord form = {
    {UINT64_C(0x83244c95be79eea2), UINT64_C(0x4699799c49bd6fa6),
     UINT64_C(0x2845b2392b6bec59), UINT64_C(0x66e12d94f3d95620)}};
static const rmri_ord plain_one = {{1, 0, 0, 0}};

/* r = high:a, less n where that is n or more (true then); it is below 2n. */
static bool reduce(rmri_ord *r, const uint64_t a[4], uint64_t high)
{
    uint64_t d[4], b = 0;
    for (int i = 0; i < 4; i++)
        d[i] = rmri_sub_word(a[i], n[i], &b);
    (void)rmri_sub_word(high, 0, &b);
    uint64_t keep = rmri_mask(b); /* it was below n */
    for (int i = 0; i < 4; i++)
        r->w[i] = (a[i] & keep) | (d[i] & ~keep);
    return b == 0;
}

/*
 * t = (t + a * b) / 2^64 mod n, t of five words; from t below 2n comes one
 * below 2n.  t + a * b is below (2^64 + 1) n, so that its fifth word is below
 * 2^64 - 2^31 and one carry more has room there; m * n may take the sum beyond
 * the five words, by the one bit that c becomes.
 */
static void step(uint64_t t[5], const rmri_ord *a, uint64_t b)
{
    rmri_u128 p[4];
    uint64_t c = 0;
    for (int i = 0; i < 4; i++) {
        p[i] = (rmri_u128)a->w[i] * b;
        t[i] = rmri_add_word(t[i], (uint64_t)p[i], &c);
    }
    t[4] += c;
    c = 0;
    for (int i = 0; i < 4; i++)
        t[i + 1] = rmri_add_word(t[i + 1], (uint64_t)(p[i] >> 64), &c);

    uint64_t m = t[0] * N_INVERSE;
    c = 0;
    for (int i = 0; i < 4; i++) {
        p[i] = (rmri_u128)m * n[i];
        t[i] = rmri_add_word(t[i], (uint64_t)p[i], &c);
    }
    t[4] += c;
    c = 0;
    for (int i = 0; i < 4; i++)
        t[i] = rmri_add_word(t[i + 1], (uint64_t)(p[i] >> 64), &c);
    t[4] = c;
}

/* a * b / 2^256 */
static void multiply(rmri_ord *r, const rmri_ord *a, const rmri_ord *b)
{
    uint64_t t[5] = {0};
    for (int i = 0; i < 4; i++)
        step(t, a, b->w[i]);
    (void)reduce(r, t, t[4]);
}

bool rmri_ord_load(rmri_ord *r, const uint8_t from[32])
{
    uint64_t w[4];
    for (int i = 0; i < 4; i++)
        w[i] = rmr_load_be64(from + 24 - 8 * i);
    return !reduce(r, w, 0);
}

void rmri_ord_store(uint8_t to[32], const rmri_ord *a)
{
    for (int i = 0; i < 4; i++)
        rmr_store_be64(to + 24 - 8 * i, a->w[i]);
}

bool rmri_ord_is_zero(const rmri_ord *a)
{
    return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

bool rmri_ord_equal(const rmri_ord *a, const rmri_ord *b)
{
    uint64_t d = 0;
    for (int i = 0; i < 4; i++)
        d |= a->w[i] ^ b->w[i];
    return d == 0;
}

void rmri_ord_add(rmri_ord *r, const rmri_ord *a, const rmri_ord *b)
{
    uint64_t s[4], c = 0;
    for (int i = 0; i < 4; i++)
        s[i] = rmri_add_word(a->w[i], b->w[i], &c);
    (void)reduce(r, s, c);
}

void rmri_ord_mul(rmri_ord *r, const rmri_ord *a, const rmri_ord *b)
{
    rmri_ord t;
    multiply(&t, a, &form);
    multiply(r, &t, b);
    rmr_wipe(&t, sizeof t);
}

/* a^(n - 2), four bits of that number at a time, from above: what is looked up
 * depends on n alone. */
void rmri_ord_invert(rmri_ord *r, const rmri_ord *a)
{
    rmri_ord powers[16], t;
    multiply(&powers[0], &plain_one, &form);
    multiply(&powers[1], a, &form);
    for (int i = 2; i < 16; i++)
        multiply(&powers[i], &powers[i - 1], &powers[1]);
    t = powers[0];
    for (unsigned at = 64; at-- > 0;) {
        uint64_t word = at / 16 == 0 ? n[0] - 2 : n[at / 16];
        for (int i = 0; i < 4; i++)
            multiply(&t, &t, &t);
        multiply(&t, &t, &powers[word >> at % 16 * 4 & 15]);
    }
    multiply(r, &t, &plain_one);
    rmr_wipe(powers, sizeof powers);
    rmr_wipe(&t, sizeof t);
}

#else
typedef int rmri_tls_p256_order_is_bearssls; /* ISO C wants some declaration */
#endif
