/* The section ssh. */
#include "pol_internal.h"

#include <remora/text.h>

#include <string.h>

enum { USERS_MAX = 1024 }; /* each is compared with all others of its rule */

static const char *type_of(const pol_alias *a)
{
    switch (a->kind) {
    case POL_PREFIX:
        return "*v2.Prefix";
    case POL_STAR:
        return "v2.Asterix";
    case POL_GROUP:
        return "*v2.Group";
    default:
        return "*v2.Host";
    }
}

static bool read_action(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    if (!rmri_pol_want_string(r, node, "v2.SSHAction"))
        return false;
    rmr_bytes text = rmri_pol_trim(rmri_pol_node(r, node)->text);
    s->has_action = text.len != 0;
    s->check = rmr_bytes_eq_str(text, "check");
    if (!s->has_action || s->check || rmr_bytes_eq_str(text, "accept"))
        return true;
    return rmri_pol_fail_as(r, node, "v2.SSHAction", "%Q is not a valid action",
                            &text);
}

static bool read_src(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    if (!rmri_pol_read_aliases(r, node, &s->src))
        return false;
    for (uint32_t i = 0; i < s->src.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, s->src, i);
        if (a->kind == POL_PREFIX || a->kind == POL_STAR || a->kind == POL_HOST)
            return rmri_pol_fail_as(r, node, "v2.SSHSrcAliases",
                                    "alias not supported for SSH source: %s",
                                    type_of(a));
    }
    return true;
}

static bool read_dst(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    if (!rmri_pol_read_aliases(r, node, &s->dst))
        return false;
    for (uint32_t i = 0; i < s->dst.n; i++) {
        const pol_alias *a = rmri_pol_use(r->pol, s->dst, i);
        if (a->kind == POL_STAR)
            return rmri_pol_fail_as(
                r, node, "v2.SSHDstAliases",
                "wildcard (*) is not supported as SSH destination; use "
                "'autogroup:member' for user-owned devices, "
                "'autogroup:tagged' for tagged devices, or specific "
                "tags/users");
        if (a->kind == POL_PREFIX || a->kind == POL_GROUP)
            return rmri_pol_fail_as(
                r, node, "v2.SSHDstAliases",
                "alias not supported for SSH destination: %s", type_of(a));
    }
    return true;
}

/* A user that is named twice counts once. */
static void drop_twice(pol_vec *names, pol_span *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        rmr_bytes u = *POL_AT(rmr_bytes, names, s->first + i);
        bool twice = false;
        for (uint32_t k = 0; k < n && !twice; k++)
            twice = rmr_bytes_eq(u, *POL_AT(rmr_bytes, names, s->first + k));
        if (!twice)
            *POL_AT(rmr_bytes, names, s->first + n++) = u;
    }
    names->n -= s->n - n;
    s->n = n;
}

static bool read_users(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    if (rmri_pol_node(r, node)->n > USERS_MAX)
        return rmri_pol_fail(r, node, "ssh: more than 1024 users in one rule");
    if (!rmri_pol_read_names(r, node, &s->users))
        return false;
    drop_twice(&r->pol->names, &s->users);
    return true;
}

static bool read_env(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    return rmri_pol_read_names(r, node, &s->env);
}

/* ---- Go's durations: "1h30m", "1.5h" ----------------------------------------- */

/* The length of a unit in ns, and its text taken off; 0: none. */
static int64_t take_unit(rmr_bytes *s)
{
    static const struct {
        char name[4];
        int64_t ns;
    } units[] = {{"ns", 1},
                 {"us", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", 60 * (int64_t)1000000000},
                 {"h", 3600 * (int64_t)1000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t n = strlen(units[i].name);
        bool more = s->len > n && s->ptr[n] != '.' &&
                    (s->ptr[n] < '0' || s->ptr[n] > '9');
        if (rmri_pol_starts(*s, units[i].name) && !more) {
            *s = rmr_bytes_of(s->ptr + n, s->len - n);
            return units[i].ns;
        }
    }
    return 0;
}

static rmr_bytes take_digits(rmr_bytes *s)
{
    rmr_bytes d = rmr_bytes_of(s->ptr, 0);
    while (s->len && *s->ptr >= '0' && *s->ptr <= '9') {
        s->ptr++;
        s->len--;
        d.len++;
    }
    return d;
}

/* One part, below a thousand years so that sums can't overflow. */
static bool take_part(rmr_bytes *s, int64_t *ns)
{
    const uint64_t max = (uint64_t)1000000000 * 3600 * 24 * 365;
    uint64_t whole = 0;
    rmr_bytes d = take_digits(s), frac = rmr_bytes_of(NULL, 0);
    if (s->len && *s->ptr == '.') {
        s->ptr++;
        s->len--;
        frac = take_digits(s);
    }
    if (d.len + frac.len == 0 || (d.len && rmr_parse_u64(d, max, &whole)))
        return false;
    int64_t unit = take_unit(s);
    if (unit == 0 || whole > max / (uint64_t)unit)
        return false;
    *ns += (int64_t)whole * unit;
    int64_t part = unit;
    for (size_t i = 0; i < frac.len && part; i++) {
        part /= 10;
        *ns += part * (frac.ptr[i] - '0');
    }
    return *ns <= (int64_t)max;
}

static bool parse_duration(rmr_bytes s, int64_t *ns)
{
    bool minus = s.len && *s.ptr == '-';
    *ns = 0;
    if (minus || (s.len && *s.ptr == '+')) {
        s.ptr++;
        s.len--;
    }
    if (rmr_bytes_eq_str(s, "0"))
        return true;
    if (s.len == 0)
        return false;
    while (s.len) {
        if (!take_part(&s, ns))
            return false;
    }
    if (minus)
        *ns = -*ns;
    return true;
}

static bool read_period(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh *s = into;
    if (!rmri_pol_want_string(r, node, "v2.SSHCheckPeriod"))
        return false;
    rmr_bytes text = rmri_pol_node(r, node)->text;
    s->has_period = true;
    s->always = rmr_bytes_eq_str(text, "always");
    if (s->always || parse_duration(text, &s->period_ns))
        return true;
    return rmri_pol_fail_as(r, node, "v2.SSHCheckPeriod",
                            "time: invalid duration %Q", &text);
}

static bool read_rule(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"action", read_action},
                                       {"src", read_src},
                                       {"dst", read_dst},
                                       {"users", read_users},
                                       {"checkPeriod", read_period},
                                       {"acceptEnv", read_env}};
    pol_ssh s;
    memset(&s, 0, sizeof s);
    (void)into;
    if (!rmri_pol_read_object(r, node, "v2.SSH", fields, 6, false, &s))
        return false;
    s.line = rmri_pol_node(r, node)->line;
    s.column = rmri_pol_node(r, node)->column;
    pol_ssh *p = rmri_pol_vec_add(&r->pol->ssh, &r->alloc);
    if (!p)
        return rmri_pol_nomem(r);
    *p = s;
    return true;
}

bool rmri_pol_read_ssh(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_array(r, node, "[]v2.SSH", read_rule, into);
}
