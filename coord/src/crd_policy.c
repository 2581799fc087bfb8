/* The policy: its text, and what is in force by it. */
#include "crd_internal.h"

#include <string.h>

static rmr_err read_text(rmr_coord *c, rmr_bytes text, rmr_pol **out,
                         rmr_pol_why *why)
{
    return rmr_pol_parse(out, &c->env.alloc, text, why);
}

/* A policy holds no NUL: it would not be JSON. */
static rmr_err take(rmr_coord *c, rmr_bytes text, uint64_t updated)
{
    char *fresh = rmri_crd_text(c, text);
    if (!fresh)
        return RMR_E_NOMEM;
    rmri_crd_text_free(c, c->policy.text);
    c->policy.text = fresh;
    c->policy.updated = updated;
    c->policy.row.kind = RMR_COORD_ROW_POLICY;
    return RMR_OK;
}

static bool in_database(const rmr_coord *c)
{
    return c->policy.mode == RMR_COORD_POLICY_DATABASE;
}

rmr_err rmr_coord_set_policy(rmr_coord *c, rmr_bytes text, rmr_pol_why *why)
{
    rmr_pol *pol;
    rmr_err e = in_database(c) ? rmri_crd_may_change(c) : RMR_OK;
    if (e == RMR_OK)
        e = read_text(c, text, &pol, why);
    if (e != RMR_OK)
        return e;
    rmr_pol_free(pol);
    e = take(c, text, in_database(c) ? rmri_crd_wall(c) : 0);
    if (e == RMR_OK && in_database(c))
        rmri_crd_mark(c, &c->policy.row, CRD_DIRTY);
    return e;
}

rmr_err rmr_coord_check_policy(rmr_coord *c, rmr_bytes text, rmr_pol_why *why)
{
    rmr_pol *pol;
    rmr_err e = read_text(c, text, &pol, why);
    if (e == RMR_OK)
        rmr_pol_free(pol);
    return e;
}

rmr_err rmr_coord_get_policy(const rmr_coord *c, rmr_coord_policy *out)
{
    if (!c->policy.text)
        return RMR_E_NOTFOUND;
    out->text = rmr_bytes_str(c->policy.text);
    out->updated_unix_ns = c->policy.updated;
    return RMR_OK;
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
