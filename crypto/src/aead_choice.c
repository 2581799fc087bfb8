/* Which back ends there are, and an instance of one. */
#include <string.h>

#include <remora/crypto.h>

const char *rmr_aead_name(size_t i)
{
    return i == 0 ? rmr_aead_default()->name : NULL;
}

rmr_err rmr_aead_new(rmr_aead *out, const rmr_alloc *alloc, const char *name)
{
    (void)alloc; /* libsodium's needs no memory */
    if (name && strcmp(name, rmr_aead_default()->name) != 0)
        return RMR_E_UNSUPPORTED;
    *out = *rmr_aead_default();
    return RMR_OK;
}

void rmr_aead_wipe(rmr_aead *aead)
{
    memset(aead, 0, sizeof *aead);
}
