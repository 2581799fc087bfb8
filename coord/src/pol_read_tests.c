/* The sections tests and sshTests. */
#include "pol_internal.h"

#include <string.h>

/* One name as a list of one. */
static bool read_one(pol_reader *r, uint32_t node, pol_span *out)
{
    rmr_bytes text = rmri_pol_trim(rmri_pol_node(r, node)->text);
    pol_alias a;
    if (text.len == 0)
        return true;
    if (!rmri_pol_alias_parse(&a, text))
        return rmri_pol_fail_as(r, node, "v2.Alias", "invalid alias format: %Q",
                                &text);
    *out = (pol_span){r->pol->uses.n, 1};
    return rmri_pol_add_use(r, node, &a);
}

/* ---- tests --------------------------------------------------------------------- */

static bool read_src(pol_reader *r, uint32_t node, void *into)
{
    pol_test *t = into;
    if (!rmri_pol_want_string(r, node, "string"))
        return false;
    t->src_text = rmri_pol_node(r, node)->text;
    return read_one(r, node, &t->src);
}

static bool read_proto(pol_reader *r, uint32_t node, void *into)
{
    pol_test *t = into;
    if (!rmri_pol_want_string(r, node, "v2.Protocol"))
        return false;
    t->proto_text = rmri_pol_node(r, node)->text;
    return rmri_pol_parse_proto(r, node, "v2.Protocol", t->proto_text, true,
                                &t->proto);
}

/* Which destinations a test may have is checked later; one that can't be read
 * is refused here. */
static bool read_dst(pol_reader *r, uint32_t node, void *into)
{
    pol_alias a;
    pol_span ports;
    (void)into;
    if (!rmri_pol_read_target(r, node, &a, &ports))
        return false;
    pol_test_dst *d = rmri_pol_vec_add(&r->pol->test_dsts, &r->alloc);
    if (!d)
        return rmri_pol_nomem(r);
    d->text = rmri_pol_node(r, node)->text;
    d->use = r->pol->uses.n;
    const pol_ports *p = POL_AT(pol_ports, &r->pol->ports, ports.first);
    d->ports = *p;
    if (ports.n != 1) { /* no answer fits several; the check refuses it */
        d->ports.first = 0;
        d->ports.last = 65535;
    }
    return rmri_pol_add_use(r, node, &a);
}

static bool read_dsts(pol_reader *r, uint32_t node, pol_span *out)
{
    out->first = r->pol->test_dsts.n;
    if (!rmri_pol_read_array(r, node, "[]string", read_dst, NULL))
        return false;
    out->n = r->pol->test_dsts.n - out->first;
    return true;
}

static bool read_accept(pol_reader *r, uint32_t node, void *into)
{
    return read_dsts(r, node, &((pol_test *)into)->accept);
}

static bool read_deny(pol_reader *r, uint32_t node, void *into)
{
    return read_dsts(r, node, &((pol_test *)into)->deny);
}

static bool read_test(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"src", read_src},
                                       {"proto", read_proto},
                                       {"accept", read_accept},
                                       {"deny", read_deny}};
    pol_test t;
    memset(&t, 0, sizeof t);
    t.proto = -1;
    (void)into;
    if (!rmri_pol_read_object(r, node, "v2.PolicyTest", fields, 4, false, &t))
        return false;
    t.line = rmri_pol_node(r, node)->line;
    t.column = rmri_pol_node(r, node)->column;
    pol_test *p = rmri_pol_vec_add(&r->pol->tests, &r->alloc);
    if (!p)
        return rmri_pol_nomem(r);
    *p = t;
    return true;
}

bool rmri_pol_read_tests(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_array(r, node, "[]v2.PolicyTest", read_test, into);
}

/* ---- sshTests -------------------------------------------------------------------- */

static bool read_ssh_src(pol_reader *r, uint32_t node, void *into)
{
    pol_ssh_test *t = into;
    return rmri_pol_want_string(r, node, "string") &&
           read_one(r, node, &t->src);
}

static bool read_ssh_dst(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_aliases(r, node, &((pol_ssh_test *)into)->dst);
}

static bool read_ssh_accept(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_names(r, node, &((pol_ssh_test *)into)->accept);
}

static bool read_ssh_deny(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_names(r, node, &((pol_ssh_test *)into)->deny);
}

static bool read_ssh_check(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_names(r, node, &((pol_ssh_test *)into)->check);
}

static bool read_ssh_test(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"src", read_ssh_src},
                                       {"dst", read_ssh_dst},
                                       {"accept", read_ssh_accept},
                                       {"deny", read_ssh_deny},
                                       {"check", read_ssh_check}};
    pol_ssh_test t;
    memset(&t, 0, sizeof t);
    (void)into;
    if (!rmri_pol_read_object(r, node, "v2.SSHPolicyTest", fields, 5, false,
                              &t))
        return false;
    t.line = rmri_pol_node(r, node)->line;
    t.column = rmri_pol_node(r, node)->column;
    pol_ssh_test *p = rmri_pol_vec_add(&r->pol->ssh_tests, &r->alloc);
    if (!p)
        return rmri_pol_nomem(r);
    *p = t;
    return true;
}

bool rmri_pol_read_ssh_tests(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_array(r, node, "[]v2.SSHPolicyTest", read_ssh_test,
                               into);
}
