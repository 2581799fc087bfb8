/* Numbers of 256 bits, their least word first, slowly and without cleverness:
 * what the curves' own arithmetic is compared with. */
#ifndef REMORA_TEST_TLS_WIDE_H
#define REMORA_TEST_TLS_WIDE_H

#include <stdint.h>

#include "support.h"

extern const uint64_t wide_p[4]; /* the field of P-256, and its order */
extern const uint64_t wide_n[4];

/* a * b, a + b modulo m. */
void wide_mul(uint64_t r[4], const uint64_t a[4], const uint64_t b[4],
              const uint64_t m[4]);
void wide_add(uint64_t r[4], const uint64_t a[4], const uint64_t b[4],
              const uint64_t m[4]);
/* Below m, often of words at which carries begin and end. */
void wide_draw(uint64_t a[4], test_rng *rng, const uint64_t m[4]);
/* The greatest byte first. */
void wide_bytes(uint8_t out[32], const uint64_t a[4]);

#endif
