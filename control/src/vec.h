/* A growing array of bytes for the control room; elements of any size. */
#ifndef REMORA_CONTROL_VEC_H
#define REMORA_CONTROL_VEC_H

#include <remora/base.h>

typedef struct rmri_ctl_vec {
    uint8_t *p;
    size_t len, cap; /* bytes; len <= cap */
} rmri_ctl_vec;

/* Room for n more bytes, zeroed, behind the others; NULL: no memory, or above
 * `max` bytes in all; the vector is as before then. */
void *rmri_ctl_vec_add(rmri_ctl_vec *v, const rmr_alloc *a, size_t n,
                       size_t max);
/* Gives the memory back, wiped. */
void rmri_ctl_vec_free(rmri_ctl_vec *v, const rmr_alloc *a);
/* Cuts the unused room off; keeps it where there is no memory for less. */
void rmri_ctl_vec_trim(rmri_ctl_vec *v, const rmr_alloc *a);

#endif
