#include <remora/cursor.h>

#include "tls_p256_field.h"

#ifdef RMRI_TLS_P256

/* 2^256 mod p, and its square, which brings a number into the form. */
const rmri_fe rmri_fe_one = {
    {UINT64_C(0x0000000000000001), UINT64_C(0xffffffff00000000),
     UINT64_C(0xffffffffffffffff), UINT64_C(0x00000000fffffffe)}};
static const rmri_fe form = {
    {UINT64_C(0x0000000000000003), UINT64_C(0xfffffffbffffffff),
     UINT64_C(0xfffffffffffffffe), UINT64_C(0x00000004fffffffd)}};
static const rmri_fe plain_one = {{1, 0, 0, 0}};

static inline uint64_t high(rmri_u128 a)
{
    return (uint64_t)(a >> 64);
}

/*
 * t = (t + a * b) / 2^64 mod p, t of five words.
 *
 * p is -1 mod 2^64, so that t[0] times p clears the lowest word.  Of that
 * product the two lowest words of p, 2^96 - 1, make t[0] * 2^96 - t[0]: the
 * latter cancels t[0] itself.  From t below 2p comes one below 2p, and between
 * the two t is below (2^64 + 1) p, so that five words hold it.
 */
static inline void step(uint64_t t[5], const rmri_fe *a, uint64_t b)
{
    rmri_u128 p0 = (rmri_u128)a->w[0] * b, p1 = (rmri_u128)a->w[1] * b;
    rmri_u128 p2 = (rmri_u128)a->w[2] * b, p3 = (rmri_u128)a->w[3] * b;
    uint64_t c = 0;
    t[0] = rmri_add_word(t[0], (uint64_t)p0, &c);
    t[1] = rmri_add_word(t[1], (uint64_t)p1, &c);
    t[2] = rmri_add_word(t[2], (uint64_t)p2, &c);
    t[3] = rmri_add_word(t[3], (uint64_t)p3, &c);
    t[4] += c;
    c = 0;
    t[1] = rmri_add_word(t[1], high(p0), &c);
    t[2] = rmri_add_word(t[2], high(p1), &c);
    t[3] = rmri_add_word(t[3], high(p2), &c);
    t[4] += high(p3) + c;

    uint64_t m = t[0];
    rmri_u128 q = (rmri_u128)m * RMRI_FE_P3;
    c = 0;
    t[0] = rmri_add_word(t[1], m << 32, &c);
    t[1] = rmri_add_word(t[2], m >> 32, &c);
    t[2] = rmri_add_word(t[3], (uint64_t)q, &c);
    t[3] = rmri_add_word(t[4], high(q), &c);
    t[4] = c;
}

void rmri_fe_mul(rmri_fe *r, const rmri_fe *a, const rmri_fe *b)
{
    uint64_t t[5] = {0};
    step(t, a, b->w[0]);
    step(t, a, b->w[1]);
    step(t, a, b->w[2]);
    step(t, a, b->w[3]);
    rmri_fe_reduce(r, t, t[4]);
}

static void square_times(rmri_fe *r, const rmri_fe *a, unsigned n)
{
    rmri_fe_mul(r, a, a);
    while (--n > 0)
        rmri_fe_mul(r, r, r);
}

/* a^(p - 2), p - 2 = ffffffff 00000001 00000000 00000000
 *                    00000000 ffffffff ffffffff fffffffd. */
void rmri_fe_invert(rmri_fe *r, const rmri_fe *a)
{
    rmri_fe e2, e4, e8, e16, e32, t; /* eN: a^(2^N - 1) */
    square_times(&t, a, 1);
    rmri_fe_mul(&e2, &t, a);
    square_times(&t, &e2, 2);
    rmri_fe_mul(&e4, &t, &e2);
    square_times(&t, &e4, 4);
    rmri_fe_mul(&e8, &t, &e4);
    square_times(&t, &e8, 8);
    rmri_fe_mul(&e16, &t, &e8);
    square_times(&t, &e16, 16);
    rmri_fe_mul(&e32, &t, &e16);

    square_times(&t, &e32, 32); /* ffffffff 00000001 */
    rmri_fe_mul(&t, &t, a);
    square_times(&t, &t, 128); /* ... ffffffff */
    rmri_fe_mul(&t, &t, &e32);
    square_times(&t, &t, 32); /* ... ffffffff */
    rmri_fe_mul(&t, &t, &e32);
    square_times(&t, &t, 16); /* ... fffffffd, of 16, 8, 4, 2 and 2 bits */
    rmri_fe_mul(&t, &t, &e16);
    square_times(&t, &t, 8);
    rmri_fe_mul(&t, &t, &e8);
    square_times(&t, &t, 4);
    rmri_fe_mul(&t, &t, &e4);
    square_times(&t, &t, 2);
    rmri_fe_mul(&t, &t, &e2);
    square_times(&t, &t, 2);
    rmri_fe_mul(r, &t, a);
}

bool rmri_fe_load(rmri_fe *r, const uint8_t from[32])
{
    uint64_t b = 0;
    rmri_fe t;
    for (int i = 0; i < 4; i++)
        t.w[i] = rmr_load_be64(from + 24 - 8 * i);
    (void)rmri_sub_word(t.w[0], RMRI_FE_P0, &b);
    (void)rmri_sub_word(t.w[1], RMRI_FE_P1, &b);
    (void)rmri_sub_word(t.w[2], 0, &b);
    (void)rmri_sub_word(t.w[3], RMRI_FE_P3, &b);
    rmri_fe_mul(r, &t, &form);
    return b == 1;
}

void rmri_fe_store(uint8_t to[32], const rmri_fe *a)
{
    rmri_fe t;
    rmri_fe_mul(&t, a, &plain_one);
    for (int i = 0; i < 4; i++)
        rmr_store_be64(to + 24 - 8 * i, t.w[i]);
}

bool rmri_fe_equal(const rmri_fe *a, const rmri_fe *b)
{
    uint64_t d = 0;
    for (int i = 0; i < 4; i++)
        d |= a->w[i] ^ b->w[i];
    return d == 0;
}

#else
typedef int rmri_tls_p256_field_is_bearssls; /* ISO C wants some declaration */
#endif
