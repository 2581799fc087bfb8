/* Which tests can be answered: one source, one destination, one port. */
#include "pol_internal.h"

#include <string.h>

/* All faults of a section are one. */
typedef struct tests {
    char room[RMR_POL_WHY_MAX];
    pol_text list;
    uint32_t n, line, column;
} tests;

static void begin(tests *t)
{
    memset(t, 0, sizeof *t);
    rmri_pol_text_init(&t->list, t->room, sizeof t->room);
}

static void fault(tests *t, uint32_t line, uint32_t column, const char *fmt,
                  ...)
{
    if (t->n++ == 0) {
        t->line = line;
        t->column = column;
    }
    rmri_pol_text_fmt(&t->list, "\n\t");
    va_list ap;
    va_start(ap, fmt);
    rmri_pol_text_vfmt(&t->list, fmt, ap);
    va_end(ap);
}

static void finish(pol_reader *r, const tests *t)
{
    if (t->n == 1)
        rmri_pol_report(r, t->line, t->column, "test(s) failed:\n%s",
                        t->room + 2);
    else if (t->n)
        rmri_pol_report(r, t->line, t->column,
                        "test(s) failed:\nmultiple errors:%s", t->room);
}

static bool is_many(const pol_alias *a)
{
    return a->prefix.bits < (a->prefix.family == RMR_AF_INET ? 32 : 128);
}

static const char *bad_dst(const rmr_pol *pol, const pol_test_dst *d)
{
    const pol_alias *a = POL_AT(pol_alias, &pol->uses, d->use);
    if (a->kind == POL_AUTO && a->autogroup == POL_AUTO_INTERNET)
        return "autogroup:internet not valid as a test destination";
    if (d->ports.first != d->ports.last)
        return "test destination port must be a single port";
    if ((a->kind == POL_PREFIX && rmri_pol_chr(a->text, '/')) ||
        (a->kind == POL_HOST && a->def != POL_NONE && is_many(a)))
        return "test destination must be a single host, not a CIDR range";
    return NULL;
}

static void check_dsts(const pol_reader *r, tests *t, uint32_t i,
                       const char *what, pol_span dsts)
{
    for (uint32_t k = 0; k < dsts.n; k++) {
        const pol_test_dst *d =
            POL_AT(pol_test_dst, &r->pol->test_dsts, dsts.first + k);
        const pol_alias *a = POL_AT(pol_alias, &r->pol->uses, d->use);
        const char *bad = bad_dst(r->pol, d);
        if (bad)
            fault(t, a->line, a->column, "test %u, %s %Q: %s", i, what,
                  &d->text, bad);
    }
}

static void check_tests(pol_reader *r)
{
    tests t;
    begin(&t);
    for (uint32_t i = 0; i < r->pol->tests.n; i++) {
        const pol_test *p = POL_AT(pol_test, &r->pol->tests, i);
        if (p->accept.n == 0 && p->deny.n == 0)
            fault(&t, p->line, p->column,
                  "test %u: test entry must have at least one of \"accept\" "
                  "or \"deny\"",
                  i);
        if (p->proto != -1 && p->proto != 6 && p->proto != 17 &&
            p->proto != 132)
            fault(&t, p->line, p->column,
                  "test %u: test protocol must be tcp, udp, sctp, or empty: "
                  "%Q",
                  i, &p->proto_text);
        check_dsts(r, &t, i, "accept", p->accept);
        check_dsts(r, &t, i, "deny", p->deny);
    }
    finish(r, &t);
}

static void check_ssh_dst(tests *t, uint32_t i, const pol_alias *a)
{
    bool internet = a->kind == POL_AUTO && a->autogroup == POL_AUTO_INTERNET;
    bool many = (a->kind == POL_PREFIX ||
                 (a->kind == POL_HOST && a->def != POL_NONE)) &&
                is_many(a);
    if (internet || many)
        fault(t, a->line, a->column,
              "sshTest %u: SSH tests dst contains disallowed element %Q", i,
              &a->text);
    else if (a->kind == POL_TAG && a->def == POL_NONE)
        fault(t, a->line, a->column,
              "sshTest %u: SSH tests dst contains unknown tag %Q", i, &a->text);
}

static void check_ssh_tests(pol_reader *r)
{
    tests t;
    begin(&t);
    for (uint32_t i = 0; i < r->pol->ssh_tests.n; i++) {
        const pol_ssh_test *p = POL_AT(pol_ssh_test, &r->pol->ssh_tests, i);
        if (p->src.n == 0)
            fault(&t, p->line, p->column,
                  "sshTest %u: SSH tests entry must have a non-empty src", i);
        if (p->dst.n == 0)
            fault(&t, p->line, p->column,
                  "sshTest %u: SSH tests entry must have at least one dst", i);
        for (uint32_t k = 0; k < p->dst.n; k++)
            check_ssh_dst(&t, i, rmri_pol_use(r->pol, p->dst, k));
    }
    finish(r, &t);
}

void rmri_pol_check_tests(pol_reader *r)
{
    check_tests(r);
    check_ssh_tests(r);
}
