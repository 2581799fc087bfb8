/* DERPMap.HomeParams.RegionScore: factors to the latencies of regions.  Absent or
 * null leaves the old ones, an object replaces them all. */
#include "nm_internal.h"

#include <remora/text.h>

#include <string.h>

void rmri_nm_score_free(rmr_nm *nm)
{
    rmri_ctl_vec_free(&nm->scores, &nm->alloc);
    rmri_ctl_vec_free(&nm->new_scores, &nm->alloc);
}

rmr_err rmri_nm_score_nest(rmr_nm *nm, rmr_json_kind kind)
{
    if (kind == RMR_JSON_OBJECT) {
        rmri_ctl_vec_free(&nm->new_scores, &nm->alloc);
        return RMR_OK;
    }
    if (kind != RMR_JSON_OBJECT_END)
        return RMR_OK;
    const rmri_ctl_vec old = nm->scores, new = nm->new_scores;
    if (old.len != new.len || (new.len &&memcmp(old.p, new.p, new.len) != 0))
        nm->changed |= RMR_NM_DERP_MAP;
    nm->scores = new;
    nm->new_scores = old;
    rmri_ctl_vec_free(&nm->new_scores, &nm->alloc);
    rmri_ctl_vec_trim(&nm->scores, &nm->alloc);
    return RMR_OK;
}

rmr_err rmri_nm_score_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    double v;
    if (kind == RMR_JSON_KEY) {
        if (rmr_parse_u64(text, UINT16_MAX, &nm->score_key))
            nm->score_key = 0;
        return RMR_OK;
    }
    if (nm->score_key == 0 || rmr_json_double(kind, text, &v) != RMR_OK) {
        if (kind != RMR_JSON_NULL)
            rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (!(v > 0)) /* says nothing */
        return RMR_OK;
    nm_score *s =
        rmri_ctl_vec_add(&nm->new_scores, &nm->alloc, sizeof *s, SIZE_MAX);
    if (!s)
        return RMR_E_NOMEM;
    s->region = (uint16_t)nm->score_key;
    s->factor = v;
    if (nm->new_scores.len / sizeof *s > NM_MAX_REGIONS) {
        nm->new_scores.len -= sizeof *s;
        rmri_nm_drop(nm);
    }
    return RMR_OK;
}

double rmri_nm_score_of(const rmr_nm *nm, uint16_t region)
{
    const nm_score *s = (const nm_score *)(const void *)nm->scores.p;
    for (size_t i = nm->scores.len / sizeof *s; i-- > 0;)
        if (s[i].region == region)
            return s[i].factor;
    return 1;
}
