/* The policy's text, as it was given. */
#include "crd_internal.h"

#include <string.h>

static rmr_err take(rmr_coord *c, rmr_bytes text, uint64_t updated)
{
    char *fresh;
    if (text.len && memchr(text.ptr, 0, text.len))
        return RMR_E_MALFORMED;
    fresh = rmri_crd_text(c, text);
    if (!fresh)
        return RMR_E_NOMEM;
    rmri_crd_text_free(c, c->policy.text);
    c->policy.text = fresh;
    c->policy.updated = updated;
    c->policy.row.kind = RMR_COORD_ROW_POLICY;
    return RMR_OK;
}

rmr_err rmri_crd_policy_set(rmr_coord *c, rmr_bytes text)
{
    rmr_err e = rmri_crd_may_change(c);
    if (e == RMR_OK)
        e = take(c, text, rmri_crd_wall(c));
    if (e == RMR_OK)
        rmri_crd_mark(c, &c->policy.row, CRD_DIRTY);
    return e;
}

rmr_err rmri_crd_policy_load(rmr_coord *c, const rmr_coord_row *row)
{
    return take(c, row->as.policy.text, row->as.policy.updated_unix_ns);
}

void rmri_crd_policy_row(const crd_policy *p, rmr_coord_row *row)
{
    row->as.policy.text = rmr_bytes_str(p->text);
    row->as.policy.updated_unix_ns = p->updated;
}

void rmri_crd_policy_free(rmr_coord *c)
{
    rmri_crd_text_free(c, c->policy.text);
    c->policy.text = NULL;
}
