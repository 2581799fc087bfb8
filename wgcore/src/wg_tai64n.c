#include "wg_internal.h"

/* Low bits of the nanoseconds that are cleared, so that stamps don't tell the
 * clock's detail: steps of 16.8 ms. */
#define WHITEN ((uint64_t)0xffffff)
#define TAI_OFFSET (((uint64_t)1 << 62) + 10)

uint64_t rmri_wg_wall(const rmr_wg *wg)
{
    rmr_dur passed = rmr_time_since(wg->now, wg->wall_at);
    return wg->wall_unix_ns > UINT64_MAX - passed ? UINT64_MAX
                                                  : wg->wall_unix_ns + passed;
}

static uint64_t whitened(uint64_t unix_ns)
{
    uint64_t ns = unix_ns % RMR_SEC;
    return unix_ns - ns + (ns & ~WHITEN);
}

void rmri_wg_tai64n(uint64_t unix_ns, uint8_t out[WG_STAMP_LEN])
{
    uint64_t t = whitened(unix_ns);
    rmr_store_be64(out, TAI_OFFSET + t / RMR_SEC);
    rmr_store_be32(out + 8, (uint32_t)(t % RMR_SEC));
}

/* Strictly above the last one for any peer (contract T6): a responder that has
 * seen a later stamp refuses ours. */
void rmri_wg_stamp(rmr_wg *wg, uint8_t out[WG_STAMP_LEN])
{
    uint64_t t = whitened(rmri_wg_wall(wg));
    if (t <= wg->stamp_unix_ns) {
        uint64_t last = wg->stamp_unix_ns;
        t = last % RMR_SEC + WHITEN + 1 >= RMR_SEC
                ? last - last % RMR_SEC + RMR_SEC
                : whitened(last + WHITEN + 1);
    }
    wg->stamp_unix_ns = t;
    rmri_wg_tai64n(t, out);
}
