/* What can only be said of the whole document: names that are not defined, and
 * combinations that mean nothing.  All faults are told, in Headscale's order:
 * acls, ssh, grants, nodeAttrs, tagOwners, autoApprovers, tests, sshTests. */
#include "pol_internal.h"

#include <stdio.h>
#include <string.h>

void rmri_pol_report(pol_reader *r, uint32_t line, uint32_t column,
                     const char *fmt, ...)
{
    if (r->n_errors++ == 0) {
        r->why->line = line;
        r->why->column = column;
    }
    rmri_pol_text_fmt(&r->errors, "\n\t");
    va_list ap;
    va_start(ap, fmt);
    rmri_pol_text_vfmt(&r->errors, fmt, ap);
    va_end(ap);
}

static void undefined(pol_reader *r, const pol_alias *a, const char *tag_prefix)
{
    if (a->def != POL_NONE)
        return;
    if (a->kind == POL_HOST)
        rmri_pol_report(r, a->line, a->column, "host not defined in policy: %Q",
                        &a->text);
    else if (a->kind == POL_GROUP)
        rmri_pol_report(r, a->line, a->column,
                        "group not defined in policy: %Q", &a->text);
    else if (a->kind == POL_TAG)
        rmri_pol_report(r, a->line, a->column, "%stag not found: %Q",
                        tag_prefix, &a->text);
}

static bool is_auto(const pol_alias *a, uint8_t autogroup)
{
    return a->kind == POL_AUTO && a->autogroup == autogroup;
}

bool rmri_pol_is_self(const pol_alias *a)
{
    return is_auto(a, POL_AUTO_SELF);
}

/* ---- acls and grants ------------------------------------------------------- */

static void check_src(pol_reader *r, const pol_alias *a)
{
    undefined(r, a, "src=");
    if (a->kind != POL_AUTO || a->autogroup == POL_AUTO_MEMBER ||
        a->autogroup == POL_AUTO_TAGGED || a->autogroup == POL_AUTO_DANGER)
        return;
    if (a->autogroup == POL_AUTO_INTERNET)
        rmri_pol_report(r, a->line, a->column,
                        "autogroup:internet can only be used in ACL "
                        "destinations");
    else if (a->autogroup == POL_AUTO_SELF)
        rmri_pol_report(r, a->line, a->column,
                        "\"autogroup:self\" not valid on the src side of a "
                        "rule");
    else
        rmri_pol_report(r, a->line, a->column,
                        "autogroup not supported for ACL sources: %Q, can be "
                        "[autogroup:member autogroup:tagged "
                        "autogroup:danger-all]",
                        &a->text);
}

static void check_dst(pol_reader *r, const pol_alias *a, bool acl)
{
    if (a->kind == POL_TAG && a->def == POL_NONE && acl)
        rmri_pol_report(r, a->line, a->column, "dst=%Q: tag not found: %Q",
                        &a->text, &a->text);
    else
        undefined(r, a, "");
    if (is_auto(a, POL_AUTO_DANGER))
        rmri_pol_report(r, a->line, a->column,
                        "cannot use autogroup:danger-all as a dst");
    else if (is_auto(a, POL_AUTO_NONROOT) || is_auto(a, POL_AUTO_OTHER))
        rmri_pol_report(r, a->line, a->column,
                        "autogroup not supported for ACL destinations: %Q, "
                        "can be [autogroup:internet autogroup:member "
                        "autogroup:tagged autogroup:self]",
                        &a->text);
}

/* Only what is a user's may stand before autogroup:self; in ACLs also "*",
 * which is narrowed to it. */
static void check_self(pol_reader *r, const pol_rule *rule, pol_span dst)
{
    bool self = false, good = true;
    for (uint32_t i = 0; i < dst.n; i++)
        self |= rmri_pol_is_self(rmri_pol_use(r->pol, dst, i));
    for (uint32_t i = 0; i < rule->src.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, rule->src, i);
        good &= a->kind == POL_USER || a->kind == POL_GROUP ||
                is_auto(a, POL_AUTO_MEMBER) ||
                (a->kind == POL_STAR && rule->acl != POL_NONE);
    }
    if (self && !good)
        rmri_pol_report(r, rule->line, rule->column,
                        "autogroup:self can only be used with users, groups, "
                        "or supported autogroups");
}

/* The rules of one ACL stand one behind the other, with their destinations in
 * the order of the document but for autogroup:self. */
static uint32_t acl_end(const rmr_pol *pol, uint32_t first)
{
    uint32_t i = first;
    uint32_t acl = POL_AT(pol_rule, &pol->rules, first)->acl;
    while (i < pol->rules.n && POL_AT(pol_rule, &pol->rules, i)->acl == acl)
        i++;
    return i;
}

static void check_acl_ports(pol_reader *r, uint32_t first, uint32_t end)
{
    char room[8];
    for (uint32_t i = first; i < end; i++) {
        const pol_rule *rule = POL_AT(pol_rule, &r->pol->rules, i);
        if (rule->ip.n == 0)
            continue;
        const pol_ip_entry *e =
            POL_AT(pol_ip_entry, &r->pol->ips, rule->ip.first);
        if (e->proto == -1 || e->proto == 6 || e->proto == 17 ||
            e->proto == 132)
            continue;
        for (uint32_t k = 0; k < e->ports.n; k++) {
            const pol_ports *p =
                POL_AT(pol_ports, &r->pol->ports, e->ports.first + k);
            if (p->first == 0 && p->last == 65535)
                continue;
            rmri_pol_report(r, rule->line, rule->column,
                            "protocol does not support specific ports: "
                            "\"%s\", only \"*\" is allowed",
                            rmri_pol_proto_name(e->proto, room));
            return;
        }
    }
}

static void check_acls(pol_reader *r)
{
    const rmr_pol *pol = r->pol;
    for (uint32_t i = 0; i < pol->rules.n;) {
        const pol_rule *rule = POL_AT(pol_rule, &pol->rules, i);
        if (rule->acl == POL_NONE) {
            i++;
            continue;
        }
        uint32_t end = acl_end(pol, i);
        pol_span dst = {rule->dst.first, 0};
        for (uint32_t k = i; k < end; k++) { /* the first in the document */
            pol_span one = POL_AT(pol_rule, &pol->rules, k)->dst;
            dst.n += one.n;
            if (one.first < dst.first)
                dst.first = one.first;
        }
        for (uint32_t k = 0; k < rule->src.n; k++)
            check_src(r, rmri_pol_use(pol, rule->src, k));
        for (uint32_t k = 0; k < dst.n; k++)
            check_dst(r, rmri_pol_use(pol, dst, k), true);
        check_acl_ports(r, i, end);
        check_self(r, rule, dst);
        i = end;
    }
}

static void check_caps(pol_reader *r, const pol_rule *g)
{
    static const char *const granted[] = {
        "tailscale.com/cap/drive", "tailscale.com/cap/relay",
        "tailscale.com/cap/webui", "tailscale.com/cap/kubernetes",
        "tailscale.com/cap/tsidp", "tailscale.com/cap/secrets"};
    for (uint32_t i = 0; i < g->caps.n; i++) {
        rmr_bytes name =
            POL_AT(pol_cap, &r->pol->caps, g->caps.first + i)->name;
        bool scheme = false, known = false;
        for (size_t k = 0; k + 3 <= name.len; k++)
            scheme |= memcmp(name.ptr + k, "://", 3) == 0;
        for (size_t k = 0; k < sizeof granted / sizeof granted[0]; k++)
            known |= rmr_bytes_eq_str(name, granted[k]);
        if (scheme)
            rmri_pol_report(r, g->line, g->column,
                            "capability name must have the form "
                            "{domain}/{path}");
        else if (rmri_pol_starts(name, "tailscale.com/") && !known)
            rmri_pol_report(r, g->line, g->column,
                            "capability name must not be in the "
                            "tailscale.com domain");
    }
}

static void check_grant_dsts(pol_reader *r, const pol_rule *g)
{
    for (uint32_t i = 0; i < g->dst.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, g->dst, i);
        if (g->caps.n && is_auto(a, POL_AUTO_INTERNET)) {
            rmri_pol_report(r, a->line, a->column,
                            "cannot use app grants with autogroup:internet");
            break;
        }
    }
    for (uint32_t i = 0; i < g->dst.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, g->dst, i);
        if (a->kind == POL_PREFIX && a->prefix.bits == 0) {
            char text[RMR_PREFIX_TEXT_MAX];
            rmri_pol_report(r, a->line, a->column,
                            "dst \"%s\": to allow all IP addresses, use \"*\" "
                            "or \"autogroup:internet\"",
                            rmr_prefix_text(&a->prefix, text));
            break;
        }
    }
}

static void check_grants(pol_reader *r)
{
    for (uint32_t i = 0; i < r->pol->rules.n; i++) {
        const pol_rule *g = POL_AT(pol_rule, &r->pol->rules, i);
        if (g->acl != POL_NONE)
            continue;
        if (g->ip.n == 0 && g->caps.n == 0)
            rmri_pol_report(r, g->line, g->column,
                            "ip and app can not both be empty");
        check_caps(r, g);
        check_grant_dsts(r, g);
        for (uint32_t k = 0; k < g->src.n; k++)
            check_src(r, rmri_pol_use(r->pol, g->src, k));
        for (uint32_t k = 0; k < g->dst.n; k++)
            check_dst(r, rmri_pol_use(r->pol, g->dst, k), false);
        for (uint32_t k = 0; k < g->via.n; k++) {
            const pol_alias *a = rmri_pol_use(r->pol, g->via, k);
            if (a->def == POL_NONE)
                rmri_pol_report(r, a->line, a->column, "tag %Q not found",
                                &a->text);
        }
        check_self(r, g, g->dst);
    }
}

/* ---- ssh ---------------------------------------------------------------------- */

static void check_ssh_names(pol_reader *r, const pol_ssh *s)
{
    if (!s->has_action)
        rmri_pol_report(r, s->line, s->column, "action must be specified");
    if (s->users.n == 0)
        rmri_pol_report(r, s->line, s->column, "users must be specified");
    for (uint32_t i = 0; i < s->users.n; i++) {
        const rmr_bytes *u =
            POL_AT(rmr_bytes, &r->pol->names, s->users.first + i);
        if (u->len == 0 || rmr_bytes_eq_str(*u, "*"))
            rmri_pol_report(r, s->line, s->column, "user %Q is not valid", u);
    }
    for (uint32_t i = 0; i < s->env.n; i++) {
        if (POL_AT(rmr_bytes, &r->pol->names, s->env.first + i)->len == 0)
            rmri_pol_report(r, s->line, s->column,
                            "acceptEnv values cannot be empty");
    }
}

static void check_ssh_src(pol_reader *r, const pol_alias *a)
{
    undefined(r, a, "");
    if (is_auto(a, POL_AUTO_INTERNET))
        rmri_pol_report(r, a->line, a->column,
                        "autogroup:internet can only be used in ACL "
                        "destinations");
    else if (a->kind == POL_AUTO && a->autogroup != POL_AUTO_MEMBER &&
             a->autogroup != POL_AUTO_TAGGED)
        rmri_pol_report(r, a->line, a->column,
                        "autogroup not supported for SSH sources: %Q, can be "
                        "[autogroup:member autogroup:tagged]",
                        &a->text);
}

static void check_ssh_dst(pol_reader *r, const pol_alias *a)
{
    if (a->kind == POL_HOST)
        rmri_pol_report(r, a->line, a->column, "invalid dst %Q", &a->text);
    else
        undefined(r, a, "");
    if (is_auto(a, POL_AUTO_INTERNET))
        rmri_pol_report(r, a->line, a->column,
                        "autogroup:internet can only be used in ACL "
                        "destinations");
    else if (a->kind == POL_AUTO && a->autogroup != POL_AUTO_MEMBER &&
             a->autogroup != POL_AUTO_TAGGED && a->autogroup != POL_AUTO_SELF)
        rmri_pol_report(r, a->line, a->column,
                        "autogroup not supported for SSH destinations: %Q, "
                        "can be [autogroup:member autogroup:tagged "
                        "autogroup:self]",
                        &a->text);
}

typedef struct ssh_src {
    bool tagged, groups, several;
    const pol_alias *user;
} ssh_src;

/* Whether the sources of a rule may have this destination; one fault is
 * enough. */
static bool check_ssh_pair(pol_reader *r, const ssh_src *src,
                           const pol_alias *d)
{
    if (d->kind == POL_USER && src->tagged) {
        rmri_pol_report(r, d->line, d->column,
                        "tags in SSH source cannot access user-owned devices "
                        "(%B); use autogroup:tagged or specific tags as "
                        "destinations instead",
                        &d->text);
    } else if (d->kind == POL_USER && (src->groups || src->several ||
                                       !src->user || src->user->id != d->id)) {
        rmri_pol_report(r, d->line, d->column,
                        "user destination requires source to contain only "
                        "that same user %Q; use autogroup:self instead for "
                        "same-user SSH access",
                        &d->text);
    } else if (rmri_pol_is_self(d) && src->tagged) {
        rmri_pol_report(r, d->line, d->column,
                        "autogroup:self destination requires source to "
                        "contain only users or groups, not tags or "
                        "autogroup:tagged");
    } else if (is_auto(d, POL_AUTO_MEMBER) && src->tagged) {
        rmri_pol_report(r, d->line, d->column,
                        "tags in SSH source cannot access autogroup:member "
                        "(user-owned devices)");
    } else {
        return true;
    }
    return false;
}

static void check_ssh_pairs(pol_reader *r, const pol_ssh *s)
{
    ssh_src src = {false, false, false, NULL};
    for (uint32_t i = 0; i < s->src.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, s->src, i);
        src.tagged |= a->kind == POL_TAG || is_auto(a, POL_AUTO_TAGGED);
        src.groups |= a->kind == POL_GROUP || is_auto(a, POL_AUTO_MEMBER);
        if (a->kind == POL_USER) {
            src.several |= src.user && src.user->id != a->id;
            src.user = a;
        }
    }
    for (uint32_t i = 0; i < s->dst.n; i++) {
        if (!check_ssh_pair(r, &src, rmri_pol_use(r->pol, s->dst, i)))
            return;
    }
}

/* "169h0m0s", "-1s": whole seconds, which is what anybody writes. */
static void period_text(int64_t ns, char out[48])
{
    uint64_t s = (uint64_t)(ns < 0 ? -ns : ns) / 1000000000;
    const char *sign = ns < 0 ? "-" : "";
    unsigned long long h = s / 3600, m = s / 60 % 60, rest = s % 60;
    if (h)
        snprintf(out, 48, "%s%lluh%llum%llus", sign, h, m, rest);
    else if (m)
        snprintf(out, 48, "%s%llum%llus", sign, m, rest);
    else
        snprintf(out, 48, "%s%llus", sign, rest);
}

static void check_ssh_period(pol_reader *r, const pol_ssh *s)
{
    const int64_t max = (int64_t)168 * 3600 * 1000000000;
    char text[48];
    if (!s->has_period)
        return;
    period_text(s->period_ns, text);
    if (!s->check)
        rmri_pol_report(r, s->line, s->column,
                        "checkPeriod is only valid with action \"check\"");
    else if (s->period_ns < 0)
        rmri_pol_report(r, s->line, s->column,
                        "checkPeriod %s must be a positive duration", text);
    else if (s->period_ns > max)
        rmri_pol_report(r, s->line, s->column,
                        "checkPeriod %s is above the max (168h)", text);
}

static void check_ssh(pol_reader *r)
{
    for (uint32_t i = 0; i < r->pol->ssh.n; i++) {
        const pol_ssh *s = POL_AT(pol_ssh, &r->pol->ssh, i);
        check_ssh_names(r, s);
        for (uint32_t k = 0; k < s->src.n; k++)
            check_ssh_src(r, rmri_pol_use(r->pol, s->src, k));
        for (uint32_t k = 0; k < s->dst.n; k++)
            check_ssh_dst(r, rmri_pol_use(r->pol, s->dst, k));
        check_ssh_pairs(r, s);
        check_ssh_period(r, s);
    }
}

/* ---- the rest -------------------------------------------------------------------- */

static void check_attrs(pol_reader *r)
{
    for (uint32_t i = 0; i < r->pol->attrs.n; i++) {
        const pol_attr *t = POL_AT(pol_attr, &r->pol->attrs, i);
        for (uint32_t k = 0; k < t->targets.n; k++) {
            const pol_alias *a = rmri_pol_use(r->pol, t->targets, k);
            undefined(r, a, "");
            if (a->kind == POL_AUTO && a->autogroup != POL_AUTO_MEMBER &&
                a->autogroup != POL_AUTO_TAGGED)
                rmri_pol_report(r, a->line, a->column,
                                "nodeAttrs target does not support this "
                                "autogroup: %Q, can be [autogroup:member "
                                "autogroup:tagged]",
                                &a->text);
        }
        for (uint32_t k = 0; k < t->names.n; k++) {
            const rmr_bytes *n =
                POL_AT(rmr_bytes, &r->pol->names, t->names.first + k);
            if (rmr_bytes_eq_str(*n, "funnel"))
                rmri_pol_report(r, 0, 0,
                                "nodeAttrs uses a feature that is not yet "
                                "supported: %Q",
                                n);
        }
    }
}

static void check_list(pol_reader *r, pol_span list)
{
    for (uint32_t i = 0; i < list.n; i++)
        undefined(r, rmri_pol_use(r->pol, list, i), "");
}

static void finish(pol_reader *r)
{
    if (r->n_errors == 0)
        return;
    pol_text out;
    r->err = RMR_E_MALFORMED;
    rmri_pol_text_init(&out, r->why->text, sizeof r->why->text);
    rmri_pol_text_fmt(&out, "parsing policy: ");
    if (r->n_errors > 1)
        rmri_pol_text_fmt(&out, "multiple errors:%s", r->list);
    else
        rmri_pol_text_fmt(&out, "%s", r->list + 2);
}

void rmri_pol_check(pol_reader *r)
{
    const rmr_pol *pol = r->pol;
    check_acls(r);
    check_ssh(r);
    check_grants(r);
    check_attrs(r);
    for (uint32_t i = 0; i < pol->tags.n; i++)
        check_list(r, POL_AT(pol_def, &pol->tags, i)->list);
    for (uint32_t i = 0; i < pol->approvers.n; i++)
        check_list(r, POL_AT(pol_approver, &pol->approvers, i)->by);
    check_list(r, pol->exit_approvers);
    rmri_pol_check_tests(r);
    finish(r);
}
