/*
 * Integers modulo n, the order of P-256: what ECDSA calculates with.
 *
 * Values are below n, the least word first.  Nothing here branches on a value
 * or reads memory by it.  Results may lie where operands do.
 *
 * Source: SEC 2 2.4.2; P. Montgomery, "Modular multiplication without trial
 * division".
 */
#ifndef RMRI_TLS_P256_ORDER_H
#define RMRI_TLS_P256_ORDER_H

#include "tls_p256_field.h"

#ifdef RMRI_TLS_P256

typedef struct rmri_ord {
    uint64_t w[4];
} rmri_ord;

/* Of 32 bytes, the greatest first, modulo n; false where they are n or more. */
bool rmri_ord_load(rmri_ord *r, const uint8_t from[32]);
void rmri_ord_store(uint8_t to[32], const rmri_ord *a);
bool rmri_ord_is_zero(const rmri_ord *a);
bool rmri_ord_equal(const rmri_ord *a, const rmri_ord *b);
void rmri_ord_add(rmri_ord *r, const rmri_ord *a, const rmri_ord *b);
/* a * b */
void rmri_ord_mul(rmri_ord *r, const rmri_ord *a, const rmri_ord *b);
/* 1/a, and 0 of 0. */
void rmri_ord_invert(rmri_ord *r, const rmri_ord *a);

#endif
#endif
