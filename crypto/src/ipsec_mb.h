/* Intel's Multi-Buffer Crypto for IPsec: its start, for what is built on it. */
#ifndef RMRI_IPSEC_MB_H
#define RMRI_IPSEC_MB_H

#include <intel-ipsec-mb.h>

#include <remora/base.h>

/* A manager, from which a back end takes the functions that the library chose
 * for this processor.  UNSUPPORTED where the processor or the library is not
 * what we need, NOMEM. */
rmr_err rmri_ipsec_mb_start(IMB_MGR **out, const rmr_alloc *alloc);
void rmri_ipsec_mb_end(IMB_MGR *mgr, const rmr_alloc *alloc);

#endif
