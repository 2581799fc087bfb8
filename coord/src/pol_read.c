/* From the JSON tree to the document: the means of all sections, and the short
 * ones. */
#include "pol_internal.h"

#include <string.h>

/* ---- refusing ---------------------------------------------------------- */

const pol_json *rmri_pol_node(const pol_reader *r, uint32_t node)
{
    return POL_AT(pol_json, &r->tree.nodes, node);
}

static void begin_why(pol_reader *r, uint32_t node, pol_text *out)
{
    const pol_json *n = rmri_pol_node(r, node);
    r->err = RMR_E_MALFORMED;
    r->why->line = n->line;
    r->why->column = n->column;
    rmri_pol_text_init(out, r->why->text, sizeof r->why->text);
    rmri_pol_text_fmt(out, "parsing policy: ");
}

bool rmri_pol_fail(pol_reader *r, uint32_t node, const char *fmt, ...)
{
    pol_text out;
    begin_why(r, node, &out);
    va_list ap;
    va_start(ap, fmt);
    rmri_pol_text_vfmt(&out, fmt, ap);
    va_end(ap);
    return false;
}

/* RFC 6901: where in the document. */
static void add_pointer(const pol_reader *r, uint32_t node, pol_text *out)
{
    uint32_t path[RMR_JSON_MAX_DEPTH + 1];
    uint32_t n = 0;
    for (uint32_t i = node; i != 0; i = rmri_pol_node(r, i)->parent)
        path[n++] = i;
    while (n-- > 0) {
        const pol_json *j = rmri_pol_node(r, path[n]);
        rmri_pol_text_fmt(out, "/");
        if (rmri_pol_node(r, j->parent)->kind == RMR_JSON_ARRAY) {
            rmri_pol_text_fmt(out, "%u", j->index);
            continue;
        }
        for (size_t i = 0; i < j->key.len; i++) {
            rmr_bytes c = rmr_bytes_of(j->key.ptr + i, 1);
            const char *esc = *c.ptr == '/' ? "~1" : *c.ptr == '~' ? "~0" : "";
            if (*esc)
                rmri_pol_text_fmt(out, "%s", esc);
            else
                rmri_pol_text_fmt(out, "%B", &c);
        }
    }
}

static const char *kind_name(uint8_t kind)
{
    switch (kind) {
    case RMR_JSON_OBJECT:
        return "object";
    case RMR_JSON_ARRAY:
        return "array";
    case RMR_JSON_STRING:
        return "string";
    case RMR_JSON_NUMBER:
        return "number";
    case RMR_JSON_NULL:
        return "null";
    default:
        return "boolean";
    }
}

bool rmri_pol_fail_as(pol_reader *r, uint32_t node, const char *type,
                      const char *fmt, ...)
{
    pol_text out;
    begin_why(r, node, &out);
    rmri_pol_text_fmt(&out,
                      "parsing policy from bytes: json: cannot unmarshal JSON "
                      "%s into Go %s",
                      kind_name(rmri_pol_node(r, node)->kind), type);
    if (node != 0) {
        rmri_pol_text_fmt(&out, " within \"");
        add_pointer(r, node, &out);
        rmri_pol_text_fmt(&out, "\"");
    }
    if (fmt) {
        rmri_pol_text_fmt(&out, ": ");
        va_list ap;
        va_start(ap, fmt);
        rmri_pol_text_vfmt(&out, fmt, ap);
        va_end(ap);
    }
    return false;
}

bool rmri_pol_nomem(pol_reader *r)
{
    r->err = RMR_E_NOMEM;
    return false;
}

/* ---- shapes -------------------------------------------------------------- */

static const pol_field *find_field(const pol_field *fields, size_t n,
                                   rmr_bytes key, size_t *at)
{
    for (size_t i = 0; i < n; i++) {
        if (rmr_bytes_eq_nocase(key, rmr_bytes_str(fields[i].name))) {
            *at = i;
            return &fields[i];
        }
    }
    return NULL;
}

bool rmri_pol_read_object(pol_reader *r, uint32_t node, const char *type,
                          const pol_field *fields, size_t n, bool skip_hash,
                          void *into)
{
    const pol_json *obj = rmri_pol_node(r, node);
    uint32_t seen = 0;
    if (obj->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, type, NULL);
    for (uint32_t i = obj->child; i != POL_NONE;) {
        const pol_json *m = rmri_pol_node(r, i);
        size_t at = 0;
        const pol_field *f = find_field(fields, n, m->key, &at);
        bool skip = skip_hash && m->key.len && m->key.ptr[0] == '#';
        if (!f && !skip)
            return rmri_pol_fail(r, i, "unknown field: %Q", &m->key);
        /* "acls" and "ACLs" are one field. */
        if (f && (seen >> at & 1))
            return rmri_pol_fail(r, i,
                                 "parsing policy from bytes: jsontext: "
                                 "duplicate object member name %Q",
                                 &m->key);
        if (f)
            seen |= (uint32_t)1 << at;
        if (f && m->kind != RMR_JSON_NULL && !f->read(r, i, into))
            return false;
        i = m->next;
    }
    return true;
}

bool rmri_pol_read_array(pol_reader *r, uint32_t node, const char *type,
                         pol_item_fn item, void *into)
{
    const pol_json *a = rmri_pol_node(r, node);
    if (a->kind != RMR_JSON_ARRAY)
        return rmri_pol_fail_as(r, node, type, NULL);
    for (uint32_t i = a->child; i != POL_NONE; i = rmri_pol_node(r, i)->next) {
        if (!item(r, i, into))
            return false;
    }
    return true;
}

bool rmri_pol_want_string(pol_reader *r, uint32_t node, const char *type)
{
    if (rmri_pol_node(r, node)->kind == RMR_JSON_STRING)
        return true;
    return rmri_pol_fail_as(r, node, type, NULL);
}

static bool add_name(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (!rmri_pol_want_string(r, node, "string"))
        return false;
    rmr_bytes *n = rmri_pol_vec_add(&r->pol->names, &r->alloc);
    if (!n)
        return rmri_pol_nomem(r);
    *n = rmri_pol_trim(rmri_pol_node(r, node)->text);
    return true;
}

bool rmri_pol_read_names(pol_reader *r, uint32_t node, pol_span *out)
{
    out->first = r->pol->names.n;
    if (!rmri_pol_read_array(r, node, "[]string", add_name, NULL))
        return false;
    out->n = r->pol->names.n - out->first;
    return true;
}

/* ---- groups, hosts, tagOwners ----------------------------------------------- */

static pol_def *add_def(pol_reader *r, pol_vec *v, uint32_t node)
{
    const pol_json *n = rmri_pol_node(r, node);
    pol_def *d = rmri_pol_vec_add(v, &r->alloc);
    if (!d) {
        rmri_pol_nomem(r);
        return NULL;
    }
    d->name = n->key;
    d->line = n->line;
    d->column = n->column;
    return d;
}

static bool is_user(rmr_bytes s)
{
    return rmri_pol_chr(s, '@') != NULL;
}

/* Errors in groups and hosts are of the whole object. */
static bool read_member(pol_reader *r, uint32_t node, uint32_t groups)
{
    const pol_json *m = rmri_pol_node(r, node);
    const pol_json *g = rmri_pol_node(r, m->parent);
    if (m->kind != RMR_JSON_STRING)
        return rmri_pol_fail_as(r, groups, "v2.Groups",
                                "invalid group member type: group %Q "
                                "expected string but got %s",
                                &g->key, kind_name(m->kind));
    pol_alias a;
    if (rmri_pol_starts(m->text, "group:"))
        return rmri_pol_fail_as(r, groups, "v2.Groups",
                                "groups[%Q]: %Q: group members cannot be "
                                "recursive",
                                &g->key, &m->text);
    if (!is_user(m->text))
        return rmri_pol_fail_as(r, groups, "v2.Groups",
                                "username must contain @, got: %Q", &m->text);
    memset(&a, 0, sizeof a);
    a.kind = POL_USER;
    a.text = m->text;
    return rmri_pol_add_use(r, node, &a);
}

static bool read_group(pol_reader *r, uint32_t node, uint32_t groups)
{
    const pol_json *g = rmri_pol_node(r, node);
    if (!rmri_pol_starts(g->key, "group:"))
        return rmri_pol_fail_as(r, groups, "v2.Groups",
                                "group must start with 'group:', got: %Q",
                                &g->key);
    if (g->kind != RMR_JSON_ARRAY)
        return rmri_pol_fail_as(r, groups, "v2.Groups",
                                "group value must be an array of users: group "
                                "%Q got %s",
                                &g->key, kind_name(g->kind));
    pol_def *d = add_def(r, &r->pol->groups, node);
    if (!d)
        return false;
    uint32_t at = r->pol->groups.n - 1, first = r->pol->uses.n;
    for (uint32_t i = g->child; i != POL_NONE; i = rmri_pol_node(r, i)->next) {
        if (!read_member(r, i, groups))
            return false;
    }
    POL_AT(pol_def, &r->pol->groups, at)->list =
        (pol_span){first, r->pol->uses.n - first};
    return true;
}

static bool read_groups(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (rmri_pol_node(r, node)->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, "v2.Groups", NULL);
    for (uint32_t i = rmri_pol_node(r, node)->child; i != POL_NONE;
         i = rmri_pol_node(r, i)->next) {
        if (!read_group(r, i, node))
            return false;
    }
    return true;
}

static bool read_hosts(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (rmri_pol_node(r, node)->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, "v2.Hosts", NULL);
    for (uint32_t i = rmri_pol_node(r, node)->child; i != POL_NONE;) {
        const pol_json *h = rmri_pol_node(r, i);
        rmr_prefix p;
        if (h->kind != RMR_JSON_STRING)
            return rmri_pol_fail_as(r, i, "string", NULL);
        if (is_user(h->key) || rmri_pol_chr(h->key, ':'))
            return rmri_pol_fail_as(r, node, "v2.Hosts", "invalid hostname: %Q",
                                    &h->key);
        if (rmr_prefix_parse(h->text, &p))
            return rmri_pol_fail_as(r, node, "v2.Hosts",
                                    "hostname contains invalid IP address: "
                                    "hostname %Q address %Q",
                                    &h->key, &h->text);
        pol_def *d = add_def(r, &r->pol->hosts, i);
        if (!d)
            return false;
        d->prefix = p;
        i = h->next;
    }
    return true;
}

/* Users, groups and tags: who may own a tag or approve a route. */
static bool read_entity(pol_reader *r, uint32_t node, const char *type,
                        const char *what)
{
    const pol_json *n = rmri_pol_node(r, node);
    pol_alias a;
    if (!rmri_pol_want_string(r, node, type))
        return false;
    memset(&a, 0, sizeof a);
    a.text = n->text;
    if (is_user(n->text))
        a.kind = POL_USER;
    else if (rmri_pol_starts(n->text, "group:"))
        a.kind = POL_GROUP;
    else if (rmri_pol_starts(n->text, "tag:"))
        a.kind = POL_TAG;
    else
        return rmri_pol_fail_as(r, node, type, "invalid %s format: %Q", what,
                                &n->text);
    return rmri_pol_add_use(r, node, &a);
}

static bool read_owner(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    return read_entity(r, node, "v2.OwnerEnc", "owner");
}

static bool read_approver(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    return read_entity(r, node, "v2.AutoApproverEnc", "auto approver");
}

static bool read_tag_owners(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (rmri_pol_node(r, node)->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, "v2.TagOwners", NULL);
    for (uint32_t i = rmri_pol_node(r, node)->child; i != POL_NONE;) {
        const pol_json *t = rmri_pol_node(r, i);
        if (!rmri_pol_starts(t->key, "tag:"))
            return rmri_pol_fail_as(
                r, i, "v2.Tag", "tag must start with 'tag:', got: %Q", &t->key);
        if (!rmri_pol_tag_ok(t->key))
            return rmri_pol_fail(r, i,
                                 "tagOwners[%Q]: tag names must start with a "
                                 "letter, after 'tag:'",
                                 &t->key);
        pol_def *d = add_def(r, &r->pol->tags, i);
        if (!d)
            return false;
        uint32_t at = r->pol->tags.n - 1, first = r->pol->uses.n;
        if (t->kind != RMR_JSON_NULL &&
            !rmri_pol_read_array(r, i, "v2.Owners", read_owner, NULL))
            return false;
        POL_AT(pol_def, &r->pol->tags, at)->list =
            (pol_span){first, r->pol->uses.n - first};
        i = rmri_pol_node(r, i)->next;
    }
    return true;
}

/* ---- autoApprovers, nodeAttrs ------------------------------------------------ */

static bool read_approvers(pol_reader *r, uint32_t node, pol_span *out)
{
    out->first = r->pol->uses.n;
    if (rmri_pol_node(r, node)->kind != RMR_JSON_NULL &&
        !rmri_pol_read_array(r, node, "v2.AutoApprovers", read_approver, NULL))
        return false;
    out->n = r->pol->uses.n - out->first;
    return true;
}

static bool read_routes(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (rmri_pol_node(r, node)->kind != RMR_JSON_OBJECT)
        return rmri_pol_fail_as(r, node, "map[netip.Prefix]v2.AutoApprovers",
                                NULL);
    for (uint32_t i = rmri_pol_node(r, node)->child; i != POL_NONE;
         i = rmri_pol_node(r, i)->next) {
        rmr_prefix p;
        pol_span by;
        rmr_bytes key = rmri_pol_node(r, i)->key;
        if (!rmri_pol_chr(key, '/') || rmr_prefix_parse(key, &p))
            return rmri_pol_fail_as(r, i, "netip.Prefix", "invalid prefix: %Q",
                                    &key);
        if (!read_approvers(r, i, &by))
            return false;
        pol_approver *a = rmri_pol_vec_add(&r->pol->approvers, &r->alloc);
        if (!a)
            return rmri_pol_nomem(r);
        a->route = rmri_pol_range_of(&p);
        a->by = by;
    }
    return true;
}

static bool read_exit_node(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    return read_approvers(r, node, &r->pol->exit_approvers);
}

static bool read_auto_approvers(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"routes", read_routes},
                                       {"exitNode", read_exit_node}};
    return rmri_pol_read_object(r, node, "v2.AutoApproverPolicy", fields, 2,
                                false, into);
}

static bool read_attr_target(pol_reader *r, uint32_t node, void *into)
{
    pol_attr *a = into;
    return rmri_pol_read_aliases(r, node, &a->targets);
}

/* With escapes six times that, in half of a buffer that a frame goes through. */
static bool have_bounds(pol_reader *r, uint32_t node)
{
    for (uint32_t i = rmri_pol_node(r, node)->child; i != POL_NONE;
         i = rmri_pol_node(r, i)->next) {
        size_t len = rmri_pol_node(r, i)->text.len;
        if (len > RMR_POL_NAME_MAX)
            return rmri_pol_fail(r, i,
                                 "nodeAttrs has a name of %u bytes; %u are "
                                 "the most",
                                 (unsigned)len, RMR_POL_NAME_MAX);
    }
    return true;
}

static bool read_attr_names(pol_reader *r, uint32_t node, void *into)
{
    pol_attr *a = into;
    return rmri_pol_read_names(r, node, &a->names) && have_bounds(r, node);
}

static bool read_attr_pool(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    if (rmri_pol_node(r, node)->n == 0)
        return true;
    return rmri_pol_fail(r, node, "nodeAttrs ipPool is not supported");
}

static bool read_attr(pol_reader *r, uint32_t node, void *into)
{
    static const pol_field fields[] = {{"target", read_attr_target},
                                       {"attr", read_attr_names},
                                       {"ipPool", read_attr_pool}};
    pol_attr a;
    memset(&a, 0, sizeof a);
    if (!rmri_pol_read_object(r, node, "v2.NodeAttrGrant", fields, 3, false,
                              &a))
        return false;
    pol_attr *p = rmri_pol_vec_add(&r->pol->attrs, &r->alloc);
    if (!p)
        return rmri_pol_nomem(r);
    *p = a;
    (void)into;
    return true;
}

static bool read_attrs(pol_reader *r, uint32_t node, void *into)
{
    return rmri_pol_read_array(r, node, "[]v2.NodeAttrGrant", read_attr, into);
}

static bool read_randomize(pol_reader *r, uint32_t node, void *into)
{
    (void)into;
    uint8_t kind = rmri_pol_node(r, node)->kind;
    if (kind != RMR_JSON_TRUE && kind != RMR_JSON_FALSE)
        return rmri_pol_fail_as(r, node, "bool", NULL);
    r->pol->randomize_port = kind == RMR_JSON_TRUE;
    return true;
}

/* ---- the whole ------------------------------------------------------------------ */

static bool read_document(pol_reader *r)
{
    static const pol_field fields[] = {
        {"groups", read_groups},
        {"hosts", read_hosts},
        {"tagOwners", read_tag_owners},
        {"acls", rmri_pol_read_acls},
        {"grants", rmri_pol_read_grants},
        {"nodeAttrs", read_attrs},
        {"autoApprovers", read_auto_approvers},
        {"ssh", rmri_pol_read_ssh},
        {"tests", rmri_pol_read_tests},
        {"sshTests", rmri_pol_read_ssh_tests},
        {"randomizeClientPort", read_randomize},
    };
    return rmri_pol_read_object(r, 0, "v2.Policy", fields,
                                sizeof fields / sizeof fields[0], false, NULL);
}

static int def_cmp(const void *a, const void *b, const void *ctx)
{
    (void)ctx;
    return rmri_pol_bytes_cmp(((const pol_def *)a)->name,
                              ((const pol_def *)b)->name);
}

uint32_t rmri_pol_def_find(const pol_vec *defs, rmr_bytes name)
{
    uint32_t lo = 0, hi = defs->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = rmri_pol_bytes_cmp(POL_AT(pol_def, defs, mid)->name, name);
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return POL_NONE;
}

pol_alias *rmri_pol_use(const rmr_pol *pol, pol_span s, uint32_t i)
{
    return POL_AT(pol_alias, &pol->uses, s.first + i);
}

/* By meaning; the same text may stand for a host here and a user there. */
static int alias_cmp(const pol_alias *a, const pol_alias *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return rmri_pol_bytes_cmp(a->text, b->text);
}

static int use_cmp(const void *a, const void *b, const void *ctx)
{
    const pol_vec *uses = ctx;
    const pol_alias *x = POL_AT(pol_alias, uses, *(const uint32_t *)a);
    const pol_alias *y = POL_AT(pol_alias, uses, *(const uint32_t *)b);
    int c = alias_cmp(x, y);
    return c ? c : x < y ? -1 : x > y;
}

static void define(const rmr_pol *pol, pol_alias *a)
{
    a->def = POL_NONE;
    if (a->kind == POL_GROUP)
        a->def = rmri_pol_def_find(&pol->groups, a->text);
    else if (a->kind == POL_TAG)
        a->def = rmri_pol_def_find(&pol->tags, a->text);
    else if (a->kind == POL_HOST)
        a->def = rmri_pol_def_find(&pol->hosts, a->text);
    if (a->kind == POL_HOST && a->def != POL_NONE)
        a->prefix = POL_AT(pol_def, &pol->hosts, a->def)->prefix;
}

/* Names get one id wherever they stand. */
static bool number_uses(pol_reader *r)
{
    rmr_pol *pol = r->pol;
    pol_vec order = {NULL, 0, 0, sizeof(uint32_t)};
    if (!rmri_pol_vec_reserve(&order, &r->alloc, pol->uses.n))
        return rmri_pol_nomem(r);
    for (uint32_t i = 0; i < pol->uses.n; i++)
        POL_AT(uint32_t, &order, 0)[order.n++] = i;
    rmri_pol_sort(order.p, order.n, sizeof(uint32_t), use_cmp, &pol->uses);
    for (uint32_t i = 0; i < order.n && !r->err; i++) {
        pol_alias *u =
            POL_AT(pol_alias, &pol->uses, *POL_AT(uint32_t, &order, i));
        uint32_t n = pol->aliases.n;
        if (n && alias_cmp(POL_AT(pol_alias, &pol->aliases, n - 1), u) == 0) {
            u->id = n - 1;
            u->def = POL_AT(pol_alias, &pol->aliases, n - 1)->def;
            u->prefix = POL_AT(pol_alias, &pol->aliases, n - 1)->prefix;
            continue;
        }
        u->id = n;
        define(pol, u);
        pol_alias *a = rmri_pol_vec_add(&pol->aliases, &r->alloc);
        if (!a)
            rmri_pol_nomem(r);
        else
            *a = *u;
    }
    rmri_pol_vec_free(&order, &r->alloc);
    return !r->err;
}

static void sort_defs(pol_vec *v)
{
    rmri_pol_sort(v->p, v->n, sizeof(pol_def), def_cmp, NULL);
}

static rmr_pol *pol_new(const rmr_alloc *a)
{
    rmr_pol *p = rmr_alloc_zero(a, sizeof *p, 16);
    if (!p)
        return NULL;
    p->arena.alloc = *a;
    p->uses.size = p->aliases.size = sizeof(pol_alias);
    p->groups.size = p->tags.size = p->hosts.size = sizeof(pol_def);
    p->rules.size = sizeof(pol_rule);
    p->ips.size = sizeof(pol_ip_entry);
    p->ports.size = sizeof(pol_ports);
    p->caps.size = sizeof(pol_cap);
    p->approvers.size = sizeof(pol_approver);
    p->attrs.size = sizeof(pol_attr);
    p->names.size = sizeof(rmr_bytes);
    p->ssh.size = sizeof(pol_ssh);
    p->tests.size = sizeof(pol_test);
    p->test_dsts.size = sizeof(pol_test_dst);
    p->ssh_tests.size = sizeof(pol_ssh_test);
    return p;
}

static rmr_err read_all(pol_reader *r, rmr_bytes doc)
{
    r->err =
        rmri_pol_tree_read(&r->tree, &r->alloc, &r->pol->arena, doc, r->why);
    if (!r->err && read_document(r)) {
        sort_defs(&r->pol->groups);
        sort_defs(&r->pol->tags);
        sort_defs(&r->pol->hosts);
        if (number_uses(r))
            rmri_pol_check(r);
    }
    rmri_pol_tree_free(&r->tree);
    return r->err;
}

static void say(rmr_pol_why *why, const char *text)
{
    pol_text out;
    why->line = why->column = 1;
    rmri_pol_text_init(&out, why->text, sizeof why->text);
    rmri_pol_text_fmt(&out, "parsing policy: %s", text);
}

rmr_err rmr_pol_parse(rmr_pol **out, const rmr_alloc *a, rmr_bytes doc,
                      rmr_pol_why *why)
{
    pol_reader r;
    rmr_pol_why own;
    memset(&r, 0, sizeof r);
    r.why = why ? why : &own;
    memset(r.why, 0, sizeof *r.why);
    if (doc.len > RMR_POL_DOC_MAX) {
        say(r.why, "the policy is too long");
        return RMR_E_TOOBIG;
    }
    if (rmri_pol_trim(doc).len == 0) {
        say(r.why, "the policy is empty");
        return RMR_E_MALFORMED;
    }
    r.alloc = *a;
    rmri_pol_text_init(&r.errors, r.list, sizeof r.list);
    r.pol = pol_new(a);
    if (!r.pol)
        return RMR_E_NOMEM;
    rmr_err err = read_all(&r, doc);
    if (err)
        rmr_pol_free(r.pol);
    else
        *out = r.pol;
    return err;
}

void rmr_pol_free(rmr_pol *pol)
{
    if (!pol)
        return;
    rmr_alloc a = pol->arena.alloc;
    pol_vec *v[] = {
        &pol->uses,  &pol->aliases,   &pol->groups,    &pol->tags,
        &pol->hosts, &pol->rules,     &pol->ips,       &pol->ports,
        &pol->caps,  &pol->approvers, &pol->attrs,     &pol->names,
        &pol->ssh,   &pol->tests,     &pol->test_dsts, &pol->ssh_tests};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        rmri_pol_vec_free(v[i], &a);
    rmri_pol_arena_free(&pol->arena);
    rmr_release(&a, pol, sizeof *pol);
}

bool rmr_pol_defines_tag(const rmr_pol *pol, rmr_bytes tag)
{
    return rmri_pol_def_find(&pol->tags, tag) != POL_NONE;
}
