/* Histograms of counts: how they are kept. */
#include "dsw_internal.h"

uint32_t rmr_dsw_bucket_bound(unsigned i)
{
    static const uint32_t bounds[RMR_DSW_BUCKETS - 1] = {1,  2,  5,  10,
                                                         20, 50, 100};
    return i < RMR_DSW_BUCKETS - 1 ? bounds[i] : UINT32_MAX;
}

void rmri_dsw_observe(rmr_dsw_histogram *h, uint32_t value)
{
    unsigned i = 0;
    while (value > rmr_dsw_bucket_bound(i))
        i++;
    h->n[i]++;
    h->sum += value;
}
