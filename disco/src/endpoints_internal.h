/* What the parts of the endpoint gathering share. */
#ifndef RMRI_ENDPOINTS_INTERNAL_H
#define RMRI_ENDPOINTS_INTERNAL_H

#include <remora/endpoints.h>

/* As rmr_endpoints_local; loopback addresses only where `loopback`. */
size_t rmri_endpoints_local(const rmr_endpoints_iface *ifaces, size_t n,
                            rmr_addr *out, size_t max, bool loopback,
                            uint64_t *left_out);

#endif
