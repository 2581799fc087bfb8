/* An instance of the AES-GCM table: of the one back end that there may be. */
#include <string.h>

#include <remora/crypto.h>

#include "gcm_internal.h"

rmr_err rmr_gcm_new(rmr_gcm *out, const rmr_alloc *alloc)
{
#ifdef RMRI_IPSEC_MB
    return rmri_gcm_ipsec_mb(out, alloc);
#else
    (void)out;
    (void)alloc;
    return RMR_E_UNSUPPORTED;
#endif
}

void rmr_gcm_wipe(rmr_gcm *gcm)
{
    rmri_gcm_mem *mem = (rmri_gcm_mem *)gcm->self;
    if (mem) {
        rmr_alloc alloc = mem->alloc;
        rmr_release_wiped(&alloc, mem, mem->size);
    }
    memset(gcm, 0, sizeof *gcm);
}
