/* The sections acls and grants. */
#include "pol_internal.h"

#include <string.h>

static pol_rule *add_rule(pol_reader *r, uint32_t node)
{
    pol_rule *rule = rmri_pol_vec_add(&r->pol->rules, &r->alloc);
    if (!rule) {
        rmri_pol_nomem(r);
        return NULL;
    }
    rule->acl = POL_NONE;
    rule->line = rmri_pol_node(r, node)->line;
    rule->column = rmri_pol_node(r, node)->column;
    return rule;
}

static pol_ip_entry *add_entry(pol_reader *r)
{
    pol_ip_entry *e = rmri_pol_vec_add(&r->pol->ips, &r->alloc);
    if (!e)
        rmri_pol_nomem(r);
    return e;
}

/* ---- acls ------------------------------------------------------------------ */

typedef struct acl {
    pol_span src;
    pol_span dst; /* uses */
    uint32_t ips; /* the first of the entries of dst, one each */
    int16_t proto;
    uint32_t node;
} acl;

static bool read_action(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (!rmri_pol_want_string(r, node, "v2.Action"))
        return false;
    rmr_bytes text = rmri_pol_node(r, node)->text;
    if (rmr_bytes_eq_str(text, "accept"))
        return true;
    return rmri_pol_fail_as(r, node, "v2.Action",
                            "action=%Q is not supported: invalid ACL action",
                            &text);
}

static bool read_proto(pol_reader *r, uint32_t node, void *into)
{
    acl *a = into;
    return rmri_pol_want_string(r, node, "v2.Protocol") &&
           rmri_pol_parse_proto(r, node, "v2.Protocol",
                                rmri_pol_node(r, node)->text, true, &a->proto);
}

static bool read_acl_src(pol_reader *r, uint32_t node, void *into)
{
    acl *a = into;
    return rmri_pol_read_aliases(r, node, &a->src);
}

static bool read_acl_target(pol_reader *r, uint32_t node, void *into)
{
    pol_alias alias;
    pol_span ports;
    (void)into;
    if (!rmri_pol_read_target(r, node, &alias, &ports) ||
        !rmri_pol_add_use(r, node, &alias))
        return false;
    pol_ip_entry *e = add_entry(r);
    if (!e)
        return false;
    e->ports = ports;
    return true;
}

static bool read_acl_dst(pol_reader *r, uint32_t node, void *into)
{
    acl *a = into;
    a->dst.first = r->pol->uses.n;
    a->ips = r->pol->ips.n;
    if (!rmri_pol_read_array(r, node, "[]v2.AliasWithPorts", read_acl_target,
                             NULL))
        return false;
    a->dst.n = r->pol->uses.n - a->dst.first;
    return true;
}

/* Those to autogroup:self come behind the others, but where all are
 * autogroups. */
static bool split_acl(pol_reader *r, const acl *a)
{
    bool reorder = false;
    for (uint32_t i = 0; i < a->dst.n; i++)
        reorder |= rmri_pol_use(r->pol, a->dst, i)->kind != POL_AUTO;
    for (int self = 0; self <= 1; self++) {
        for (uint32_t i = 0; i < a->dst.n; i++) {
            bool is_self = rmri_pol_is_self(rmri_pol_use(r->pol, a->dst, i));
            if (reorder ? is_self != self : self)
                continue;
            pol_rule *rule = add_rule(r, a->node);
            if (!rule)
                return false;
            rule->acl = r->pol->n_acls;
            rule->src = a->src;
            rule->dst = (pol_span){a->dst.first + i, 1};
            rule->ip = (pol_span){a->ips + i, 1};
        }
    }
    if (a->dst.n == 0) { /* nothing comes of it, but its sources are checked */
        pol_rule *rule = add_rule(r, a->node);
        if (!rule)
            return false;
        rule->acl = r->pol->n_acls;
        rule->src = a->src;
    }
    r->pol->n_acls++;
    return true;
}

static bool read_acl(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"action", read_action},
                                       {"proto", read_proto},
                                       {"src", read_acl_src},
                                       {"dst", read_acl_dst}};
    acl a;
    memset(&a, 0, sizeof a);
    a.proto = -1;
    a.node = node;
    (void)into;
    if (!rmri_pol_read_object(r, node, "v2.ACL", fields, 4, true, &a))
        return false;
    for (uint32_t i = 0; i < a.dst.n; i++)
        POL_AT(pol_ip_entry, &r->pol->ips, a.ips + i)->proto = a.proto;
    return split_acl(r, &a);
}

bool rmri_pol_read_acls(pol_reader *r, uint32_t node, void *into)
{
    r->pol->has_rules = true;
    return rmri_pol_read_array(r, node, "[]v2.ACL", read_acl, into);
}

/* ---- grants ----------------------------------------------------------------- */

static bool read_grant_src(pol_reader *r, uint32_t node, void *into)
{
    pol_rule *g = into;
    return rmri_pol_read_aliases(r, node, &g->src);
}

static bool read_grant_dst(pol_reader *r, uint32_t node, void *into)
{
    pol_rule *g = into;
    return rmri_pol_read_aliases(r, node, &g->dst);
}

/* "*", "443", "tcp:443". */
static bool read_entry(pol_reader *r, uint32_t node, void *into)
{
    static const char type[] = "v2.ProtocolPort";
    rmr_bytes text = rmri_pol_node(r, node)->text, ports = text;
    int16_t proto = -1;
    pol_span span;
    (void)into;
    if (!rmri_pol_want_string(r, node, type))
        return false;
    const uint8_t *colon = rmri_pol_chr(text, ':');
    if (colon) {
        rmr_bytes name = rmr_bytes_of(text.ptr, (size_t)(colon - text.ptr));
        ports = rmr_bytes_of(colon + 1, text.len - name.len - 1);
        if (rmri_pol_chr(ports, ':'))
            return rmri_pol_fail_as(r, node, type,
                                    "expected only one colon in Internet "
                                    "protocol and port type, got: %B",
                                    &text);
        if (!rmri_pol_parse_proto(r, node, type, name, false, &proto))
            return false;
    }
    const char *bad = rmri_pol_parse_ports(r, ports, &span);
    if (r->err)
        return false;
    if (bad)
        return rmri_pol_fail_as(r, node, type, "port range %Q: %s", &ports,
                                bad);
    pol_ip_entry *e = add_entry(r);
    if (!e)
        return false;
    e->ports = span;
    e->proto = proto;
    return true;
}

static bool read_grant_ip(pol_reader *r, uint32_t node, void *into)
{
    pol_rule *g = into;
    g->ip.first = r->pol->ips.n;
    if (!rmri_pol_read_array(r, node, "[]v2.ProtocolPort", read_entry, NULL))
        return false;
    g->ip.n = r->pol->ips.n - g->ip.first;
    return true;
}

/* Values are kept as JSON without white space: at most six times as long as the
 * document, where all of it were characters to escape. */
static bool keep_value(pol_reader *r, uint32_t node, rmr_bytes *out)
{
    rmr_jw w;
    size_t len = 0, cap = 256;
    for (;;) {
        uint8_t *buf = rmr_alloc_zero(&r->alloc, cap, 1);
        if (!buf)
            return rmri_pol_nomem(r);
        rmr_jw_init(&w, rmr_buf_of(buf, cap));
        rmri_pol_tree_write(&r->tree, node, &w);
        rmr_err err = rmr_jw_end(&w, &len);
        bool copied = !err && rmri_pol_arena_copy(&r->pol->arena,
                                                  rmr_bytes_of(buf, len), out);
        rmr_release(&r->alloc, buf, cap);
        if (!err)
            return copied || rmri_pol_nomem(r);
        if (err != RMR_E_BUFSIZE || cap > 8 * r->tree.doc.len + 256)
            return rmri_pol_fail_as(r, node, "tailcfg.RawMessage", NULL);
        cap *= 8;
    }
}

static bool read_app(pol_reader *r, uint32_t node, void *into)
{
    pol_rule *g = into;
    const pol_json *app = rmri_pol_node(r, node);
    if (app->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, "tailcfg.PeerCapMap", NULL);
    g->has_caps = true;
    g->caps = (pol_span){r->pol->caps.n, app->n};
    for (uint32_t i = app->child; i != POL_NONE;
         i = rmri_pol_node(r, i)->next) {
        rmr_bytes value;
        uint8_t kind = rmri_pol_node(r, i)->kind;
        if (kind != RMR_JSON_ARRAY && kind != RMR_JSON_NULL)
            return rmri_pol_fail_as(r, i, "[]tailcfg.RawMessage", NULL);
        if (!keep_value(r, i, &value))
            return false;
        pol_cap *c = rmri_pol_vec_add(&r->pol->caps, &r->alloc);
        if (!c)
            return rmri_pol_nomem(r);
        c->name = rmri_pol_node(r, i)->key;
        c->value = value;
    }
    return true;
}

static bool read_via_tag(pol_reader *r, uint32_t node, void *into)
{
    const pol_json *n = rmri_pol_node(r, node);
    pol_alias a;
    (void)into;
    if (n->kind != RMR_JSON_STRING || !rmri_pol_tag_ok(n->text))
        return rmri_pol_fail(r, node, "via can only be a tag");
    memset(&a, 0, sizeof a);
    a.kind = POL_TAG;
    a.text = n->text;
    return rmri_pol_add_use(r, node, &a);
}

static bool read_via(pol_reader *r, uint32_t node, void *into)
{
    pol_rule *g = into;
    g->via.first = r->pol->uses.n;
    if (!rmri_pol_read_array(r, node, "[]v2.Tag", read_via_tag, NULL))
        return false;
    g->via.n = r->pol->uses.n - g->via.first;
    return true;
}

static bool read_grant(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"src", read_grant_src},
                                       {"dst", read_grant_dst},
                                       {"ip", read_grant_ip},
                                       {"app", read_app},
                                       {"via", read_via}};
    pol_rule g;
    memset(&g, 0, sizeof g);
    (void)into;
    if (!rmri_pol_read_object(r, node, "v2.Grant", fields, 5, false, &g))
        return false;
    pol_rule *rule = add_rule(r, node);
    if (!rule)
        return false;
    g.acl = rule->acl;
    g.line = rule->line;
    g.column = rule->column;
    *rule = g;
    return true;
}

bool rmri_pol_read_grants(pol_reader *r, uint32_t node, void *into)
{
    r->pol->has_rules = true;
    return rmri_pol_read_array(r, node, "[]v2.Grant", read_grant, into);
}
