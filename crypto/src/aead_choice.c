/* Which back ends there are, and an instance of one. */
#include <string.h>

#include <remora/crypto.h>

#include "aead_internal.h"

static rmr_err libsodium(rmr_aead *out, const rmr_alloc *alloc)
{
    (void)alloc; /* it needs no memory */
    *out = *rmr_aead_default();
    return RMR_OK;
}

/* The fastest first; the last runs everywhere. */
static const struct {
    const char *name;
    rmr_err (*make)(rmr_aead *out, const rmr_alloc *alloc);
} back_ends[] = {
#ifdef RMRI_IPSEC_MB
    {"ipsec-mb", rmri_aead_ipsec_mb},
#endif
    {"libsodium", libsodium},
};

#define N_BACK_ENDS (sizeof back_ends / sizeof back_ends[0])

const char *rmr_aead_name(size_t i)
{
    return i < N_BACK_ENDS ? back_ends[i].name : NULL;
}

rmr_err rmr_aead_new(rmr_aead *out, const rmr_alloc *alloc, const char *name)
{
    rmr_err e = RMR_E_UNSUPPORTED;
    for (size_t i = 0; e == RMR_E_UNSUPPORTED && i < N_BACK_ENDS; i++)
        if (!name || strcmp(name, back_ends[i].name) == 0)
            e = back_ends[i].make(out, alloc);
    return e;
}

void rmr_aead_wipe(rmr_aead *aead)
{
    rmri_aead_mem *mem = (rmri_aead_mem *)aead->self;
    if (mem) {
        rmr_alloc alloc = mem->alloc;
        rmr_release_wiped(&alloc, mem, mem->size);
    }
    memset(aead, 0, sizeof *aead);
}
