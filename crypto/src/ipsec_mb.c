#include "ipsec_mb.h"

/* The library's AVX2 and AVX-512 code alone: what it has for older processors
 * is not faster than libsodium. */
static bool choose(IMB_MGR *mgr)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(mgr, &arch);
    return mgr->imb_errno == 0 &&
           (arch == IMB_ARCH_AVX2 || arch == IMB_ARCH_AVX512);
}

rmr_err rmri_ipsec_mb_start(IMB_MGR **out, const rmr_alloc *alloc)
{
    /* IMB_MGR is laid out as the header of one version says. */
    if (imb_get_version() != IMB_VERSION_NUM)
        return RMR_E_UNSUPPORTED;
    IMB_MGR *mgr =
        (IMB_MGR *)alloc->alloc(alloc->user, imb_get_mb_mgr_size(), 64);
    if (!mgr)
        return RMR_E_NOMEM;
    if (!imb_set_pointers_mb_mgr(mgr, 0, 1) || !choose(mgr)) {
        rmri_ipsec_mb_end(mgr, alloc);
        return RMR_E_UNSUPPORTED;
    }
    *out = mgr;
    return RMR_OK;
}

void rmri_ipsec_mb_end(IMB_MGR *mgr, const rmr_alloc *alloc)
{
    rmr_release(alloc, mgr, imb_get_mb_mgr_size());
}
