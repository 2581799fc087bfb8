/*
 * Integers modulo p = 2^256 - 2^224 + 2^192 + 2^96 - 1, the field of P-256,
 * where the compiler has integers of 128 bits.
 *
 * A value is a * 2^256 mod p (Montgomery's form), smaller than p, its least
 * word first.  Nothing here branches on a value or reads memory by it.  Results
 * may lie where operands do.
 *
 * Source: SEC 2 2.4.2; P. Montgomery, "Modular multiplication without trial
 * division".
 */
#ifndef RMRI_TLS_P256_FIELD_H
#define RMRI_TLS_P256_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SIZEOF_INT128__
#define RMRI_TLS_P256 1 /* else BearSSL's own code serves */

#ifdef __x86_64__ /* the same sums in half of the instructions */
#include <immintrin.h>
#define RMRI_CARRY_FLAG 1
#endif

__extension__ typedef unsigned __int128 rmri_u128;

typedef struct rmri_fe {
    uint64_t w[4];
} rmri_fe;

#define RMRI_FE_P0 UINT64_C(0xffffffffffffffff)
#define RMRI_FE_P1 UINT64_C(0x00000000ffffffff)
#define RMRI_FE_P3 UINT64_C(0xffffffff00000001) /* the third word is 0 */

extern const rmri_fe rmri_fe_one; /* in Montgomery's form, as all are */

void rmri_fe_mul(rmri_fe *r, const rmri_fe *a, const rmri_fe *b);
/* 1/a, and 0 of 0. */
void rmri_fe_invert(rmri_fe *r, const rmri_fe *a);
/* Of 32 bytes, the greatest first; false where they are p or more. */
bool rmri_fe_load(rmri_fe *r, const uint8_t from[32]);
void rmri_fe_store(uint8_t to[32], const rmri_fe *a);
bool rmri_fe_equal(const rmri_fe *a, const rmri_fe *b);

/* a + b + *carry, which becomes the next carry, 0 or 1. */
static inline uint64_t rmri_add_word(uint64_t a, uint64_t b, uint64_t *carry)
{
#ifdef RMRI_CARRY_FLAG
    unsigned long long sum;
    *carry = _addcarry_u64((unsigned char)*carry, a, b, &sum);
    return sum;
#else
    rmri_u128 t = (rmri_u128)a + b + *carry;
    *carry = (uint64_t)(t >> 64);
    return (uint64_t)t;
#endif
}

/* a - b - *borrow, likewise. */
static inline uint64_t rmri_sub_word(uint64_t a, uint64_t b, uint64_t *borrow)
{
#ifdef RMRI_CARRY_FLAG
    unsigned long long rest;
    *borrow = _subborrow_u64((unsigned char)*borrow, a, b, &rest);
    return rest;
#else
    rmri_u128 t = (rmri_u128)a - b - *borrow;
    *borrow = (uint64_t)(t >> 64) & 1;
    return (uint64_t)t;
#endif
}

/* All ones of 1, 0 of 0, in a way that the compiler can't make a branch of. */
static inline uint64_t rmri_mask(uint64_t bit)
{
    __asm__("" : "+r"(bit));
    return (uint64_t)0 - bit;
}

/* r = high:a, less p where that is p or more; it is below 2p. */
static inline void rmri_fe_reduce(rmri_fe *r, const uint64_t a[4],
                                  uint64_t high)
{
    uint64_t b = 0;
    uint64_t d0 = rmri_sub_word(a[0], RMRI_FE_P0, &b);
    uint64_t d1 = rmri_sub_word(a[1], RMRI_FE_P1, &b);
    uint64_t d2 = rmri_sub_word(a[2], 0, &b);
    uint64_t d3 = rmri_sub_word(a[3], RMRI_FE_P3, &b);
    (void)rmri_sub_word(high, 0, &b);
    uint64_t keep = rmri_mask(b); /* it was below p */
    r->w[0] = (a[0] & keep) | (d0 & ~keep);
    r->w[1] = (a[1] & keep) | (d1 & ~keep);
    r->w[2] = (a[2] & keep) | (d2 & ~keep);
    r->w[3] = (a[3] & keep) | (d3 & ~keep);
}

static inline void rmri_fe_add(rmri_fe *r, const rmri_fe *a, const rmri_fe *b)
{
    uint64_t s[4], c = 0;
    s[0] = rmri_add_word(a->w[0], b->w[0], &c);
    s[1] = rmri_add_word(a->w[1], b->w[1], &c);
    s[2] = rmri_add_word(a->w[2], b->w[2], &c);
    s[3] = rmri_add_word(a->w[3], b->w[3], &c);
    rmri_fe_reduce(r, s, c);
}

static inline void rmri_fe_sub(rmri_fe *r, const rmri_fe *a, const rmri_fe *b)
{
    uint64_t d[4], n = 0, c = 0;
    d[0] = rmri_sub_word(a->w[0], b->w[0], &n);
    d[1] = rmri_sub_word(a->w[1], b->w[1], &n);
    d[2] = rmri_sub_word(a->w[2], b->w[2], &n);
    d[3] = rmri_sub_word(a->w[3], b->w[3], &n);
    uint64_t m = rmri_mask(n); /* below 0: p is added */
    r->w[0] = rmri_add_word(d[0], RMRI_FE_P0 & m, &c);
    r->w[1] = rmri_add_word(d[1], RMRI_FE_P1 & m, &c);
    r->w[2] = rmri_add_word(d[2], 0, &c);
    r->w[3] = rmri_add_word(d[3], RMRI_FE_P3 & m, &c);
}

#endif
#endif
