/* Numbers as text without stdio, whose formats cost ten times as much: netmaps
 * are mostly numbers. */
#ifndef REMORA_DEC_INTERNAL_H
#define REMORA_DEC_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#define RMRI_BASE_DEC_MAX 20

/* Decimal digits without a NUL; how many. */
static inline size_t rmri_base_dec(char *dst, uint64_t v)
{
    char back[RMRI_BASE_DEC_MAX];
    size_t n = 0;
    do {
        back[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        dst[i] = back[n - 1 - i];
    return n;
}

#endif
