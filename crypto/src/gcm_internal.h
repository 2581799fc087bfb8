/* The back ends of the AES-GCM table among themselves. */
#ifndef RMRI_GCM_INTERNAL_H
#define RMRI_GCM_INTERNAL_H

#include <remora/crypto.h>

/* At the front of what an instance's `self` points to. */
typedef struct rmri_gcm_mem {
    rmr_alloc alloc;
    size_t size; /* of all of it, this head too */
} rmri_gcm_mem;

/* UNSUPPORTED where the processor or the library is not what it needs, NOMEM;
 * *out is untouched then. */
rmr_err rmri_gcm_ipsec_mb(rmr_gcm *out, const rmr_alloc *alloc);

#endif
