/* The policy: its text, and the table of users and nodes that it is asked
 * for. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

#define OPEN "{}"

bool rmri_crd_policy_in_database(const rmr_coord *c)
{
    return c->policy.mode == RMR_COORD_POLICY_DATABASE;
}

/* ---- the text ------------------------------------------------------------ */

/* It holds no NUL: it would not be JSON. */
static void keep(rmr_coord *c, char *text, uint64_t updated)
{
    rmri_crd_text_free(c, c->policy.text);
    c->policy.text = text;
    c->policy.updated = updated;
}

static bool look(void *user, void *own)
{
    (void)user;
    rmri_crd_look(own);
    return true;
}

/* Puts a document in force, which is taken over, and keeps its text. */
static rmr_err enforce(rmr_coord *c, rmr_pol *pol, rmr_bytes text,
                       uint64_t updated)
{
    char *kept = rmri_crd_text(c, text);
    rmr_err e =
        kept ? rmr_pol_net_change(c->policy.net, pol, look, NULL) : RMR_E_NOMEM;
    if (e == RMR_OK) {
        keep(c, kept, updated);
        return RMR_OK;
    }
    rmri_crd_text_free(c, kept);
    rmr_pol_free(pol);
    return e;
}

static rmr_err check(rmr_coord *c, rmr_bytes text, rmr_pol **out,
                     rmr_pol_why *why)
{
    rmr_pol *pol;
    rmr_err e = rmr_pol_parse(&pol, &c->env.alloc, text, why);
    if (e != RMR_OK)
        return e;
    e = rmr_pol_net_check(c->policy.net, pol, why);
    if (e == RMR_OK)
        *out = pol;
    else
        rmr_pol_free(pol);
    return e;
}

/* A route that finds no memory waits for the next policy, or announcement. */
static void approve_all(rmr_coord *c)
{
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < c->n_nodes; i++) {
        crd_node *n = c->by_id[i];
        rmr_err one = rmri_crd_approve(c, n);
        e = e == RMR_OK ? one : e;
    }
    if (e != RMR_OK)
        rmri_crd_trouble(c, e, "routes that the policy approves are not yet");
}

rmr_err rmr_coord_set_policy(rmr_coord *c, rmr_bytes text, rmr_pol_why *why)
{
    rmr_pol *pol;
    bool stored = rmri_crd_policy_in_database(c);
    rmr_err e = stored ? rmri_crd_may_change(c) : RMR_OK;
    if (e == RMR_OK)
        e = check(c, text, &pol, why);
    bool is_same = c->policy.text && rmr_bytes_eq_str(text, c->policy.text);
    if (e == RMR_OK)
        e = enforce(c, pol, text, stored ? rmri_crd_wall(c) : 0);
    if (e != RMR_OK)
        return e;
    if (!is_same)
        rmri_crd_checks_forget(c);
    if (stored)
        rmri_crd_mark(c, &c->policy.row, CRD_DIRTY);
    approve_all(c);
    return RMR_OK;
}

rmr_err rmr_coord_check_policy(rmr_coord *c, rmr_bytes text, rmr_pol_why *why)
{
    rmr_pol *pol;
    rmr_err e = check(c, text, &pol, why);
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

/* ---- beginning and end --------------------------------------------------- */

/* Its tests are not run: what they are about is not there yet, and a tailnet
 * that outgrew them must start all the same. */
static rmr_err begin_with(rmr_coord *c, rmr_bytes text, uint64_t updated)
{
    rmr_pol *pol;
    rmr_pol_why why;
    rmr_err e = rmr_pol_parse(&pol, &c->env.alloc, text, &why);
    if (e == RMR_OK)
        return enforce(c, pol, text, updated);
    if (e != RMR_E_NOMEM)
        rmr_logf(&c->env.log, RMR_LOG_ERROR, CRD_LAYER,
                 "the policy, line %u, column %u: %s", why.line, why.column,
                 why.text);
    return e;
}

static rmr_err open_to_all(rmr_coord *c)
{
    rmr_pol *pol;
    rmr_err e = rmr_pol_parse(&pol, &c->env.alloc, rmr_bytes_str(OPEN), NULL);
    if (e != RMR_OK)
        return e;
    e = rmr_pol_net_set(c->policy.net, pol);
    if (e != RMR_OK)
        rmr_pol_free(pol);
    return e;
}

rmr_err rmri_crd_policy_new(rmr_coord *c, rmr_bytes text)
{
    c->policy.row.kind = RMR_COORD_ROW_POLICY;
    rmr_err e = rmr_pol_net_new(&c->policy.net, &c->env.alloc);
    if (e == RMR_OK && c->open)
        e = open_to_all(c);
    if (e == RMR_OK && text.ptr)
        e = begin_with(c, text, 0);
    return e;
}

rmr_err rmri_crd_policy_load(rmr_coord *c, const rmr_coord_row *row)
{
    const rmr_coord_row_policy *p = &row->as.policy;
    return rmri_crd_policy_in_database(c)
               ? begin_with(c, p->text, p->updated_unix_ns)
               : RMR_OK;
}

void rmri_crd_policy_loaded(rmr_coord *c)
{
    rmr_pol_why why;
    rmr_pol_net *net = c->policy.net;
    if (rmr_pol_net_check(net, rmr_pol_net_policy(net), &why) ==
        RMR_E_MALFORMED)
        rmr_logf(&c->env.log, RMR_LOG_WARN, CRD_LAYER,
                 "the policy is in force, but line %u, column %u: %s", why.line,
                 why.column, why.text);
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
    rmr_pol_net_free(c->policy.net);
    c->policy.net = NULL;
    rmr_release(&c->env.alloc, c->rules.p, c->rules.cap);
}

/* ---- the table ----------------------------------------------------------- */

static rmr_pol_user as_user(const crd_user *u, const char *name,
                            const char *email)
{
    rmr_pol_user p = {.id = u->id,
                      .name = rmr_bytes_str(name),
                      .email = rmr_bytes_str(email)};
    return p;
}

rmr_err rmri_crd_policy_user(rmr_coord *c, const crd_user *u, const char *name,
                             const char *email)
{
    rmr_pol_net *net = c->policy.net;
    rmr_pol_user was = as_user(u, u->name, u->email);
    rmr_pol_user is = as_user(u, name, email);
    bool concerns = rmr_pol_net_names(net, &was) || rmr_pol_net_names(net, &is);
    rmr_err e = rmr_pol_net_put_user(net, &is);
    if (e == RMR_OK && concerns)
        rmri_crd_look_all(c);
    return e;
}

void rmri_crd_policy_user_gone(rmr_coord *c, const crd_user *u)
{
    rmr_pol_user was = as_user(u, u->name, u->email);
    (void)rmr_pol_net_del_user(c->policy.net, u->id);
    if (rmr_pol_net_names(c->policy.net, &was))
        rmri_crd_look_all(c); /* a name of two is one's now */
}

/* Routes of an answer to nobody count as none. */
static rmr_err set_router(rmr_coord *c, const crd_node *n, bool is)
{
    bool was = rmri_crd_set_has(&c->routers, n->slot);
    if (is && !was && rmri_crd_set_add(c, &c->routers, n->slot) != RMR_OK)
        return RMR_E_NOMEM;
    if (!is)
        rmri_crd_set_del(&c->routers, n->slot);
    c->n_routers = c->n_routers + is - was;
    return RMR_OK;
}

static void set_inside(rmr_coord *c, crd_node *n, bool is)
{
    c->n_inside = c->n_inside + is - n->inside;
    n->inside = is;
}

rmr_err rmri_crd_policy_node(rmr_coord *c, crd_node *n)
{
    bool inside = false;
    rmr_bytes tags[RMR_COORD_MAX_TAGS];
    rmr_prefix routes[RMR_COORD_MAX_ROUTES];
    rmr_pol_node p = {.id = n->id,
                      .user_id = n->user ? n->user->id : 0,
                      .v4 = n->v4,
                      .v6 = n->v6,
                      .tags = tags,
                      .n_tags = n->tags.n,
                      .routes = routes,
                      .own = n};
    for (size_t i = 0; i < n->tags.n; i++)
        tags[i] = rmr_bytes_str(n->tags.p[i]);
    for (size_t i = 0; i < n->n_announced; i++) {
        if (!rmri_crd_may_serve(n, &n->announced[i]))
            continue;
        routes[p.n_routes++] = n->announced[i];
        inside |= rmri_crd_is_inside(c, &n->announced[i]);
    }
    bool was = rmri_crd_set_has(&c->routers, n->slot);
    rmr_err e = set_router(c, n, p.n_routes > 0);
    if (e == RMR_OK)
        e = rmr_pol_net_put_node(c->policy.net, &p);
    if (e != RMR_OK)
        (void)set_router(c, n, was); /* it has room */
    else
        set_inside(c, n, inside);
    return e;
}

/* ---- tags ---------------------------------------------------------------- */

bool rmri_crd_policy_refuses(const rmr_coord *c, const crd_user *user,
                             const char *const *tags, size_t n, char *dst,
                             size_t cap)
{
    const rmr_pol_net *net = c->policy.net;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        rmr_bytes tag = rmr_bytes_str(tags[i]);
        bool may = user ? rmr_pol_user_may_tag(net, user->id, tag)
                        : rmr_pol_defines_tag(rmr_pol_net_policy(net), tag);
        if (may && rmri_crd_is_tag(tag))
            continue;
        if (len < cap)
            (void)snprintf(dst + len, cap - len, "%c%s", len ? ' ' : '[',
                           tags[i]);
        len += 1 + tag.len;
    }
    if (len && len < cap)
        (void)snprintf(dst + len, cap - len, "]");
    return len > 0;
}
