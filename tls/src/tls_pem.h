/* Walking through the objects of a PEM text.  Source: RFC 7468. */
#ifndef RMRI_TLS_PEM_H
#define RMRI_TLS_PEM_H

#include <remora/base.h>

#define RMRI_PEM_DER_MAX (16 * 1024) /* real certificates have one to two */

typedef struct rmri_pem_object {
    const char *name; /* "CERTIFICATE", in capitals */
    rmr_bytes der;    /* none where it is longer than RMRI_PEM_DER_MAX */
} rmri_pem_object;

typedef struct rmri_pem_faults {
    size_t broken; /* objects that are no base64 */
    bool cut;      /* the last object has no end */
} rmri_pem_faults;

/* Calls for each object that is whole; what it returns but RMR_OK ends it.
 * All that it kept is wiped.  Errors: NOMEM, those of `each`. */
rmr_err rmri_pem_walk(const rmr_alloc *alloc, rmr_bytes text,
                      rmr_err (*each)(void *user, const rmri_pem_object *o),
                      void *user, rmri_pem_faults *faults);

#endif
