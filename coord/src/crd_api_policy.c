/* The REST API: the policy. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

/* ---- its text ------------------------------------------------------------ */

static void put_policy(rmr_jw *w, const rmr_coord_policy *p)
{
    rmr_jw_object(w);
    rmr_jw_key(w, "policy");
    rmr_jw_bytes(w, p->text);
    rmri_crd_put_time(w, "updatedAt",
                      p->updated_unix_ns ? p->updated_unix_ns : 1);
    rmr_jw_object_end(w);
}

/* Without a policy there is nothing that could be read. */
static void send_policy(crd_conn *n, const crd_call *q)
{
    rmr_coord_policy p;
    rmr_jw w;
    if (rmr_coord_get_policy(n->c, &p) != RMR_OK) {
        rmri_crd_api_problem(n, 500,
                             rmri_crd_policy_in_database(n->c)
                                 ? "loading ACL from database"
                                 : "loading ACL from file",
                             "acl policy not found");
        return;
    }
    size_t most = 6 * p.text.len + 128; /* of each byte an escape */
    if (most <= CRD_SCRATCH) {
        rmri_crd_api_begin(n, &w);
        put_policy(&w, &p);
        rmri_crd_api_send(n, &w, NULL);
        return;
    }
    uint8_t *block = rmr_alloc_zero(&n->c->env.alloc, most, 1);
    size_t len = 0;
    if (!block) {
        rmri_crd_api_failed(n, RMR_E_NOMEM, "reading policy", NULL);
        return;
    }
    rmr_jw_init(&w, rmr_buf_of(block, most));
    put_policy(&w, &p);
    (void)rmr_jw_end(&w, &len); /* it has room */
    rmri_crd_api_block(n, q, block, most, len);
}

void rmri_crd_do_policy_get(crd_conn *n, crd_call *q)
{
    send_policy(n, q);
}

/* ---- another one --------------------------------------------------------- */

/* Where the words do not say it. */
static void refuse(crd_conn *n, rmr_err e, const char *detail,
                   const rmr_pol_why *why)
{
    char at[64] = "";
    if (e != RMR_E_MALFORMED && e != RMR_E_TOOBIG) {
        rmri_crd_api_failed(n, e, detail, NULL);
        return;
    }
    if (why->line)
        (void)snprintf(at, sizeof at, "body.policy: line %u, column %u",
                       why->line, why->column);
    rmri_crd_api_problem_at(n, 400, detail, why->text, at);
}

/* An empty policy is refused: at Headscale it is stored, changes nothing, and
 * opens the tailnet to everybody at the next start. */
static bool is_empty(crd_conn *n, const crd_call *q, const char *detail)
{
    if (q->v[0].given && *q->v[0].text)
        return false;
    rmri_crd_api_problem(n, 400, detail,
                         "an empty policy is refused: {} allows all, "
                         "{\"acls\":[]} nothing");
    return true;
}

void rmri_crd_do_policy_put(crd_conn *n, crd_call *q)
{
    static const char detail[] = "setting policy";
    static const char mode[] =
        "update is disabled for modes other than 'database'";
    rmr_pol_why why;
    if (!rmri_crd_policy_in_database(n->c)) {
        rmri_crd_api_problem(n, 400, mode, mode);
        return;
    }
    if (is_empty(n, q, detail))
        return;
    rmr_err e = rmr_coord_set_policy(n->c, rmr_bytes_str(q->v[0].text), &why);
    if (e != RMR_OK)
        refuse(n, e, detail, &why);
    else
        send_policy(n, q);
}

void rmri_crd_do_policy_check(crd_conn *n, crd_call *q)
{
    static const char detail[] = "checking policy";
    rmr_pol_why why;
    if (is_empty(n, q, detail))
        return;
    rmr_err e = rmr_coord_check_policy(n->c, rmr_bytes_str(q->v[0].text), &why);
    if (e != RMR_OK)
        refuse(n, e, detail, &why);
    else
        rmri_crd_api_nothing(n);
}
