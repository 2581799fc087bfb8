/* Headers and results between nghttp2 and us; for both sides. */
#include "h1_internal.h"
#include "h2_internal.h"

#include <string.h>

nghttp2_nv rmri_h2_nv(rmr_bytes name, rmr_bytes value)
{
    /* nghttp2 reads these only, but its type has no const. */
    nghttp2_nv nv;
    memset(&nv, 0, sizeof nv);
    memcpy(&nv.name, &name.ptr, sizeof nv.name);
    memcpy(&nv.value, &value.ptr, sizeof nv.value);
    nv.namelen = name.len;
    nv.valuelen = value.len;
    return nv;
}

bool rmri_h2_is_header(const rmr_header *h)
{
    return nghttp2_check_header_name(h->name.ptr, h->name.len) != 0 &&
           h->name.ptr[0] != ':' && rmri_h1_is_value(h->value) &&
           nghttp2_check_header_value(h->value.ptr, h->value.len) != 0;
}

rmr_err rmri_h2_err(int nghttp2_code)
{
    switch (nghttp2_code) {
    case 0:
        return RMR_OK;
    case NGHTTP2_ERR_NOMEM:
        return RMR_E_NOMEM;
    default:
        return RMR_E_HTTP_H2;
    }
}
