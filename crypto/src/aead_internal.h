/* The back ends of the AEAD table among themselves. */
#ifndef RMRI_AEAD_INTERNAL_H
#define RMRI_AEAD_INTERNAL_H

#include <remora/crypto.h>

/* At the front of what an instance's `self` points to, if it has memory. */
typedef struct rmri_aead_mem {
    rmr_alloc alloc;
    size_t size; /* of all of it, this head too */
} rmri_aead_mem;

/* Intel's ipsec-mb; UNSUPPORTED where the processor or the library is not what
 * it needs, NOMEM; *out is untouched then. */
rmr_err rmri_aead_ipsec_mb(rmr_aead *out, const rmr_alloc *alloc);

#endif
