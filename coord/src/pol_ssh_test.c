/* The section sshTests, run against the table as it is. */
#include "pol_internal.h"

#include <string.h>

enum answer { DENIED, ACCEPTED, CHECKED };

typedef struct ssh_test {
    const pol_comp *c;
    const rmr_pol_net *net;
    const pol_ssh_test *t;
    pol_failures *f;
} ssh_test;

static bool as_wanted(enum answer a, enum answer want)
{
    return want == CHECKED ? a == CHECKED : (a != DENIED) == (want != DENIED);
}

/* The rules that let somebody in as this user, wherever to: a bit each. A policy
 * with more rules has its last bit for all the rest. */
static uint64_t rules_for(const ssh_test *x, const pol_node *from,
                          rmr_bytes user)
{
    uint64_t out = 0;
    const pol_vec *ssh = &x->c->pol->ssh;
    for (uint32_t i = 0; i < ssh->n; i++) {
        if (rmri_pol_ssh_lets(x->c, x->net, POL_AT(pol_ssh, ssh, i), from,
                              user))
            out |= (uint64_t)1 << (i < 63 ? i : 63);
    }
    return out;
}

/* Rules with "check" come first. */
static enum answer ask(const ssh_test *x, const pol_node *from,
                       const pol_node *to, rmr_bytes user, uint64_t rules)
{
    enum answer out = DENIED;
    const pol_vec *ssh = &x->c->pol->ssh;
    for (uint32_t i = 0; i < ssh->n && rules; i++) {
        const pol_ssh *s = POL_AT(pol_ssh, ssh, i);
        if (!(rules >> (i < 63 ? i : 63) & 1) ||
            !rmri_pol_ssh_to(x->c, s, from, to))
            continue;
        if (i >= 63 && !rmri_pol_ssh_lets(x->c, x->net, s, from, user))
            continue;
        if (s->check)
            return CHECKED;
        out = ACCEPTED;
    }
    return out;
}

/* A question about all pairs of some sources and some destinations.  Whom the
 * same rules let in gets the same answers, but at the own user's nodes: so each
 * set of rules is asked for once, and once for each user. */
typedef struct question {
    const ssh_test *x;
    const pol_alias *src, *dst;
    rmr_bytes user;
    enum answer want;
    uint64_t asked[32]; /* sets of rules */
    uint32_t n_asked;
    uint64_t last_rules, last_user;
} question;

static bool was_asked(question *q, uint64_t rules)
{
    for (uint32_t i = 0; i < q->n_asked; i++) {
        if (q->asked[i] == rules)
            return true;
    }
    if (q->n_asked < 32)
        q->asked[q->n_asked++] = rules;
    return false;
}

static bool pair_as_wanted(const question *q, const pol_node *from,
                           const pol_node *to, uint64_t rules)
{
    bool self = rmri_pol_is_self(q->dst) && rmri_pol_same_owner(from, to);
    return !(self || rmri_pol_is(q->x->c, q->dst, to)) ||
           as_wanted(ask(q->x, from, to, q->user, rules), q->want);
}

static bool node_as_wanted(question *q, const pol_node *from)
{
    const rmr_pol_net *net = q->x->net;
    if (!rmri_pol_is(q->x->c, q->src, from))
        return true;
    uint64_t rules = rules_for(q->x, from, q->user);
    bool many = rules >> 63; /* the bit does not tell which */
    if (!many && was_asked(q, rules)) {
        if (from->n_tags ||
            (q->last_user == from->user_id && q->last_rules == rules))
            return true;
        q->last_user = from->user_id;
        q->last_rules = rules;
        pol_span own = rmri_pol_nodes_of(net, from->user_id);
        for (uint32_t i = 0; i < own.n; i++) {
            if (!pair_as_wanted(
                    q, from, *POL_AT(pol_node *, &net->by_user, own.first + i),
                    rules))
                return false;
        }
        return true;
    }
    for (uint32_t i = 0; i < net->nodes.n; i++) {
        if (!pair_as_wanted(q, from, *POL_AT(pol_node *, &net->nodes, i),
                            rules))
            return false;
    }
    return true;
}

/* Users one behind the other, then those with tags. */
static bool all_as_wanted(question *q)
{
    const rmr_pol_net *net = q->x->net;
    for (uint32_t i = 0; i < net->by_user.n; i++) {
        if (!node_as_wanted(q, *POL_AT(pol_node *, &net->by_user, i)))
            return false;
    }
    for (uint32_t i = 0; i < net->nodes.n; i++) {
        const pol_node *n = *POL_AT(pol_node *, &net->nodes, i);
        if (n->n_tags && !node_as_wanted(q, n))
            return false;
    }
    return true;
}

static bool stands_for_some(const ssh_test *x, const pol_alias *a)
{
    for (uint32_t i = 0; i < x->net->nodes.n; i++) {
        const pol_node *n = *POL_AT(pol_node *, &x->net->nodes, i);
        if (rmri_pol_is_self(a) ? !n->n_tags : rmri_pol_is(x->c, a, n))
            return true;
    }
    return false;
}

static void run_users(const ssh_test *x, const pol_alias *src,
                      const pol_alias *dst, pol_span users, enum answer want)
{
    static const char *const words[] = {"DENIED", "ALLOWED", "CHECKED"};
    for (uint32_t i = 0; i < users.n; i++) {
        const rmr_bytes *u =
            POL_AT(rmr_bytes, &x->c->pol->names, users.first + i);
        question q = {x, src, dst, *u, want, {0}, 0, 0, UINT64_MAX};
        if (!all_as_wanted(&q))
            rmri_pol_failed(x->f, x->t->line, x->t->column,
                            "%B -> %B: user %Q: expected %s", &src->text,
                            &dst->text, u, words[want]);
    }
}

static void run_one(const ssh_test *x)
{
    const pol_alias *src = rmri_pol_alias(x->c, x->t->src, 0);
    if (!stands_for_some(x, src)) {
        rmri_pol_failed(x->f, x->t->line, x->t->column,
                        "%B: source %Q resolved to no IP addresses", &src->text,
                        &src->text);
        return;
    }
    for (uint32_t i = 0; i < x->t->dst.n; i++) {
        const pol_alias *dst = rmri_pol_alias(x->c, x->t->dst, i);
        if (!stands_for_some(x, dst)) {
            rmri_pol_failed(x->f, x->t->line, x->t->column,
                            "%B: error testing %Q: destination resolved to no "
                            "IP addresses",
                            &src->text, &dst->text);
            continue;
        }
        run_users(x, src, dst, x->t->accept, ACCEPTED);
        run_users(x, src, dst, x->t->deny, DENIED);
        run_users(x, src, dst, x->t->check, CHECKED);
    }
}

void rmri_pol_run_ssh_tests(const pol_comp *c, const rmr_pol_net *net,
                            pol_failures *f)
{
    for (uint32_t i = 0; i < c->pol->ssh_tests.n; i++) {
        const pol_ssh_test *t = POL_AT(pol_ssh_test, &c->pol->ssh_tests, i);
        ssh_test x = {c, net, t, f};
        run_one(&x);
    }
}
