/*
 * P-256 in words of 64 bits: BearSSL 0.6 has it in words of 31 alone, and takes
 * ten times as long.
 *
 * Points are 65 bytes: 4, x, y (SEC 1 2.3.3).  Scalars are numbers of any
 * length, the greatest byte first.  No branch and no address depends on a
 * scalar or a coordinate, but for whether a point is one.
 *
 * Source: SEC 1, SEC 2 2.4.2; Renes, Costello, Batina, "Complete addition
 * formulas for prime order elliptic curves" (2015), algorithms 4 and 6.
 */
#ifndef RMRI_TLS_P256_H
#define RMRI_TLS_P256_H

#include "tls_p256_field.h"

#ifdef RMRI_TLS_P256

#include <stddef.h>

#define RMRI_P256_POINT 65

/* point = scalar * point.  False: no point of the curve, a scalar of more than
 * 256 bits, or the result is infinity. */
bool rmri_p256_mul(uint8_t point[RMRI_P256_POINT], const uint8_t *scalar,
                   size_t len);
/* out = scalar * G; false likewise. */
bool rmri_p256_mulgen(uint8_t out[RMRI_P256_POINT], const uint8_t *scalar,
                      size_t len);
/* a = x * a + y * b, b NULL: G.  False likewise. */
bool rmri_p256_muladd(uint8_t a[RMRI_P256_POINT], const uint8_t *b,
                      const uint8_t *x, size_t xlen, const uint8_t *y,
                      size_t ylen);

/* [i - 1], i of four bits: bit 0 * G + bit 1 * 2^64 G + bit 2 * 2^128 G +
 * bit 3 * 2^192 G, as x and y (scripts/make-p256-comb). */
extern const rmri_fe rmri_p256_comb[15][2];

#endif
#endif
