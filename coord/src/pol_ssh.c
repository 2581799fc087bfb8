/* The ssh section: the policy that a node gets. */
#include "pol_internal.h"

#include <string.h>

static const rmr_bytes *name_at(const rmr_pol *pol, pol_span s, uint32_t i)
{
    return POL_AT(rmr_bytes, &pol->names, s.first + i);
}

static bool is_root(rmr_bytes u)
{
    return rmr_bytes_eq_str(u, "root");
}

static bool is_nonroot(rmr_bytes u)
{
    return rmr_bytes_eq_str(u, "autogroup:nonroot");
}

/* "localpart:*@example.com": the domain; no bytes for all else. */
static rmr_bytes localpart_domain(rmr_bytes u)
{
    static const char head[] = "localpart:*@";
    size_t n = sizeof head - 1;
    if (!rmri_pol_starts(u, head) || u.len == n)
        return rmr_bytes_of(NULL, 0);
    rmr_bytes d = rmr_bytes_of(u.ptr + n, u.len - n);
    return rmri_pol_chr(d, '@') ? rmr_bytes_of(NULL, 0) : d;
}

/* What stands before the domain in the user's e-mail address, where a rule
 * names the domain; the last that fits counts. */
static rmr_bytes localpart_of(const rmr_pol *pol, const pol_ssh *s,
                              const pol_user *u)
{
    rmr_bytes out = rmr_bytes_of(NULL, 0);
    size_t at = u ? u->email.len : 0;
    while (at && u->email.ptr[at - 1] != '@')
        at--;
    if (at < 2)
        return out;
    rmr_bytes domain = rmr_bytes_of(u->email.ptr + at, u->email.len - at);
    for (uint32_t i = 0; i < s->users.n; i++) {
        rmr_bytes d = localpart_domain(*name_at(pol, s->users, i));
        if (d.len && rmr_bytes_eq_nocase(d, domain))
            out = rmr_bytes_of(u->email.ptr, at - 1);
    }
    return out;
}

static bool has_localpart(const rmr_pol *pol, const pol_ssh *s)
{
    for (uint32_t i = 0; i < s->users.n; i++) {
        if (localpart_domain(*name_at(pol, s->users, i)).len)
            return true;
    }
    return false;
}

bool rmri_pol_ssh_has_localpart(const rmr_pol *pol)
{
    for (uint32_t i = 0; i < pol->ssh.n; i++) {
        if (has_localpart(pol, POL_AT(pol_ssh, &pol->ssh, i)))
            return true;
    }
    return false;
}

/* ---- what a rule says to a node ------------------------------------------------------ */

typedef struct ssh_write {
    const pol_comp *c;
    const rmr_pol_net *net;
    const pol_node *node;
    const pol_ssh *s;
    rmr_bytes base_url;
    rmr_jw *w;
    pol_vec *nodes; /* pol_node *, with room for all */
} ssh_write;

static void write_principal(const ssh_write *x, const pol_node *n, int f)
{
    char text[POL_RANGE_TEXT_MAX];
    pol_range one = rmri_pol_range_one(rmri_pol_family[f], n->ip[f]);
    if (!n->has[f])
        return;
    rmr_jw_object(x->w);
    rmr_jw_kstr(x->w, "nodeIP", rmri_pol_range_text(&one, text));
    rmr_jw_object_end(x->w);
}

static int by_address(const void *a, const void *b, const void *ctx)
{
    const pol_node *x = *(pol_node *const *)a, *y = *(pol_node *const *)b;
    int f = *(const int *)ctx;
    return rmri_pol_ip_cmp(x->ip[f], y->ip[f]);
}

/* Those of the user's nodes that are sources. */
static void collect(const ssh_write *x, uint64_t user, int f)
{
    pol_span nodes = rmri_pol_nodes_of(x->net, user);
    x->nodes->n = 0;
    for (uint32_t i = 0; i < nodes.n; i++) {
        pol_node *n = *POL_AT(pol_node *, &x->net->by_user, nodes.first + i);
        if (n->has[f] && rmri_pol_any_is(x->c, x->s->src, n))
            *POL_AT(pol_node *, x->nodes, x->nodes->n++) = n;
    }
    rmri_pol_sort(x->nodes->p, x->nodes->n, sizeof(pol_node *), by_address, &f);
}

static void user_principals(const ssh_write *x, uint64_t user)
{
    for (int f = 0; f < 2; f++) {
        collect(x, user, f);
        for (uint32_t i = 0; i < x->nodes->n; i++)
            write_principal(x, *POL_AT(pol_node *, x->nodes, i), f);
    }
}

static bool is_source(const ssh_write *x, uint64_t user)
{
    pol_span nodes = rmri_pol_nodes_of(x->net, user);
    for (uint32_t i = 0; i < nodes.n; i++) {
        const pol_node *n =
            *POL_AT(pol_node *, &x->net->by_user, nodes.first + i);
        if ((n->has[0] || n->has[1]) && rmri_pol_any_is(x->c, x->s->src, n))
            return true;
    }
    return false;
}

/* Tagged sources, as often as they have tags: so clients get it from others. */
static bool tagged_principals(const ssh_write *x, bool write)
{
    bool any = false;
    for (uint32_t i = 0; i < x->net->nodes.n && (write || !any); i++) {
        const pol_node *n = *POL_AT(pol_node *, &x->net->nodes, i);
        if (n->n_tags == 0 || !rmri_pol_any_is(x->c, x->s->src, n))
            continue;
        any = true;
        for (uint32_t k = 0; k < n->n_tags && write; k++) {
            write_principal(x, n, 0);
            write_principal(x, n, 1);
        }
    }
    return any;
}

/* The users of by_user one by one; false: over. */
static bool next_user(const rmr_pol_net *net, uint32_t *i, uint64_t *user)
{
    for (; *i < net->by_user.n; (*i)++) { /* nobody's nodes come first */
        *user = (*POL_AT(pol_node *, &net->by_user, *i))->user_id;
        if (*user == 0)
            continue;
        *i += rmri_pol_nodes_of(net, *user).n;
        return true;
    }
    return false;
}

static void write_local_users(const ssh_write *x)
{
    const rmr_pol *pol = x->c->pol;
    bool root = false, nonroot = false;
    for (uint32_t i = 0; i < x->s->users.n; i++) {
        root |= is_root(*name_at(pol, x->s->users, i));
        nonroot |= is_nonroot(*name_at(pol, x->s->users, i));
    }
    if (nonroot)
        rmr_jw_kstr(x->w, "*", "=");
    rmr_jw_kstr(x->w, "root", root ? "root" : "");
    for (uint32_t i = 0; i < x->s->users.n; i++) {
        rmr_bytes u = *name_at(pol, x->s->users, i);
        if (is_root(u) || is_nonroot(u) || localpart_domain(u).len)
            continue;
        rmr_jw_key_bytes(x->w, u);
        rmr_jw_bytes(x->w, u);
    }
}

static void write_action(const ssh_write *x)
{
    static const char path[] = "/machine/ssh/action/$SRC_NODE_ID/to/"
                               "$DST_NODE_ID?local_user=$LOCAL_USER";
    char url[RMR_POL_NAME_MAX + sizeof path];
    pol_text t;
    rmr_jw_key(x->w, "action");
    rmr_jw_object(x->w);
    if (x->s->check) {
        rmri_pol_text_init(&t, url, sizeof url);
        rmri_pol_text_fmt(&t, "%B%s", &x->base_url, path);
        rmr_jw_kstr(x->w, "holdAndDelegate", url);
    } else {
        rmr_jw_kbool(x->w, "accept", true);
        rmr_jw_kbool(x->w, "allowAgentForwarding", true);
        rmr_jw_kbool(x->w, "allowLocalPortForwarding", true);
        rmr_jw_kbool(x->w, "allowRemotePortForwarding", true);
    }
    rmr_jw_object_end(x->w);
}

enum who { ONE_USER, ALL_USERS, TAGGED };

static void write_principals(const ssh_write *x, enum who who, uint64_t user)
{
    rmr_jw_key(x->w, "principals");
    rmr_jw_array(x->w);
    if (who == ONE_USER)
        user_principals(x, user);
    for (uint32_t i = 0; who == ALL_USERS && next_user(x->net, &i, &user);)
        user_principals(x, user);
    if (who != ONE_USER)
        tagged_principals(x, true);
    rmr_jw_array_end(x->w);
}

/* One rule; `only`: this local user alone. */
static void write_rule(const ssh_write *x, enum who who, uint64_t user,
                       rmr_bytes only)
{
    rmr_jw_object(x->w);
    write_principals(x, who, user);
    rmr_jw_key(x->w, "sshUsers");
    rmr_jw_object(x->w);
    if (only.len) {
        rmr_jw_key_bytes(x->w, only);
        rmr_jw_bytes(x->w, only);
    } else {
        write_local_users(x);
    }
    rmr_jw_object_end(x->w);
    write_action(x);
    if (x->s->env.n) {
        rmr_jw_key(x->w, "acceptEnv");
        rmr_jw_array(x->w);
        for (uint32_t i = 0; i < x->s->env.n; i++)
            rmr_jw_bytes(x->w, *name_at(x->c->pol, x->s->env, i));
        rmr_jw_array_end(x->w);
    }
    rmr_jw_object_end(x->w);
}

/* The rule for a user's nodes, and one more for the name in the e-mail
 * address. */
static void write_for_user(const ssh_write *x, uint64_t user)
{
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    if (user == 0 || !is_source(x, user))
        return;
    write_rule(x, ONE_USER, user, none);
    rmr_bytes lp = localpart_of(x->c->pol, x->s, rmri_pol_user(x->net, user));
    if (lp.len)
        write_rule(x, ONE_USER, user, lp);
}

static bool any_principal(const ssh_write *x)
{
    uint64_t user;
    for (uint32_t i = 0; next_user(x->net, &i, &user);) {
        if (is_source(x, user))
            return true;
    }
    return tagged_principals(x, false);
}

/* The node is among the destinations, autogroup:self apart. */
static bool is_dst(const pol_comp *c, const pol_ssh *s, const pol_node *n)
{
    for (uint32_t i = 0; i < s->dst.n; i++) {
        const pol_alias *a = rmri_pol_alias(c, s->dst, i);
        if (!rmri_pol_is_self(a) && rmri_pol_is(c, a, n))
            return true;
    }
    return false;
}

static bool has_self(const pol_comp *c, const pol_ssh *s)
{
    for (uint32_t i = 0; i < s->dst.n; i++) {
        if (rmri_pol_is_self(rmri_pol_alias(c, s->dst, i)))
            return true;
    }
    return false;
}

static void write_one(const ssh_write *x)
{
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    uint64_t user;
    if (has_self(x->c, x->s) && x->node->n_tags == 0)
        write_for_user(x, x->node->user_id);
    if (!is_dst(x->c, x->s, x->node))
        return;
    if (!has_localpart(x->c->pol, x->s)) {
        if (any_principal(x))
            write_rule(x, ALL_USERS, 0, none);
        return;
    }
    for (uint32_t i = 0; next_user(x->net, &i, &user);)
        write_for_user(x, user);
    if (tagged_principals(x, false))
        write_rule(x, TAGGED, 0, none);
}

rmr_err rmr_pol_write_ssh(rmr_pol_net *net, uint64_t node_id,
                          rmr_bytes base_url, rmr_jw *w)
{
    const pol_comp *c = net->comp;
    const pol_node *n = rmri_pol_find(net, node_id);
    if (!n)
        return RMR_E_NOTFOUND;
    if (base_url.len > RMR_POL_NAME_MAX)
        return RMR_E_INVAL;
    pol_vec nodes = {NULL, 0, 0, sizeof(pol_node *)};
    if (c->pol->ssh.n &&
        !rmri_pol_vec_reserve(&nodes, &net->alloc, net->by_user.n))
        return RMR_E_NOMEM;
    rmr_jw_object(w);
    rmr_jw_key(w, "rules");
    rmr_jw_array(w);
    for (int check = 1; check >= 0; check--) { /* the stricter first */
        for (uint32_t i = 0; i < c->pol->ssh.n; i++) {
            const pol_ssh *s = POL_AT(pol_ssh, &c->pol->ssh, i);
            ssh_write x = {c, net, n, s, base_url, w, &nodes};
            if (s->check == (check == 1))
                write_one(&x);
        }
    }
    rmr_jw_array_end(w);
    rmr_jw_object_end(w);
    rmri_pol_vec_free(&nodes, &net->alloc);
    return RMR_OK;
}

/* ---- questions about one connection ---------------------------------------------------------------------------- */

bool rmri_pol_ssh_lets(const pol_comp *c, const rmr_pol_net *net,
                       const pol_ssh *s, const pol_node *from, rmr_bytes user)
{
    if (!rmri_pol_any_is(c, s->src, from))
        return false;
    for (uint32_t i = 0; i < s->users.n; i++) {
        rmr_bytes u = *name_at(c->pol, s->users, i);
        if (rmr_bytes_eq(u, user) || (is_nonroot(u) && !is_root(user)))
            return true;
    }
    if (from->n_tags)
        return false;
    rmr_bytes lp = localpart_of(c->pol, s, rmri_pol_user(net, from->user_id));
    return lp.len && rmr_bytes_eq(lp, user);
}

bool rmri_pol_ssh_to(const pol_comp *c, const pol_ssh *s, const pol_node *from,
                     const pol_node *to)
{
    bool self = has_self(c, s) && rmri_pol_same_owner(from, to);
    return self || is_dst(c, s, to);
}

rmr_err rmr_pol_ssh_check(const rmr_pol_net *net, uint64_t from, uint64_t to,
                          rmr_bytes user, rmr_dur *period)
{
    const pol_comp *c = net->comp;
    const pol_node *x = rmri_pol_find(net, from), *y = rmri_pol_find(net, to);
    if (!x || !y)
        return RMR_E_NOTFOUND;
    for (uint32_t i = 0; i < c->pol->ssh.n; i++) {
        const pol_ssh *s = POL_AT(pol_ssh, &c->pol->ssh, i);
        if (!s->check || !rmri_pol_ssh_lets(c, net, s, x, user) ||
            !rmri_pol_ssh_to(c, s, x, y))
            continue;
        *period = s->has_period ? (rmr_dur)s->period_ns : 12 * 3600 * RMR_SEC;
        return RMR_OK;
    }
    return RMR_E_DENIED;
}
