/* The table: a change of it against a new one, filters against who sees whom,
 * what is refused, what a failing allocator leaves behind. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

/* ---- a table that changes, and one that is made at once ---------------------- */

enum { IDS = 24, USERS = 5 };

/* What the table holds, plainly. */
typedef struct plain {
    bool is;
    uint64_t user;
    uint32_t tags;   /* bits */
    uint32_t routes; /* bits */
    bool v6;
} plain;

typedef struct model {
    plain nodes[IDS];
    bool users[USERS];
    int email_of[USERS]; /* of which user the e-mail address is */
} model;

static const char *const tag_names[] = {"tag:a", "tag:b", "tag:c"};
static const char *const route_names[] = {"10.1.0.0/16",    "10.1.2.0/24",
                                          "192.168.1.0/24", "0.0.0.0/0",
                                          "::/0",           "fd00:1::/64"};

static const char *const policies[] = {
    RMR_POL_ISOLATED,
    "{}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}]}",
    "{\"groups\":{\"group:g\":[\"u1@\",\"u2@\"]},"
    "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},"
    "\"hosts\":{\"h\":\"10.1.2.3\"},"
    "\"acls\":[{\"action\":\"accept\",\"src\":[\"group:g\",\"m3@x.test\"],"
    "\"dst\":[\"tag:a:80\",\"autogroup:self:22,23\",\"h:*\"]},"
    "{\"action\":\"accept\",\"proto\":\"tcp\",\"src\":[\"tag:b\"],"
    "\"dst\":[\"u1@:1\",\"autogroup:tagged:2\"]},"
    "{\"action\":\"accept\",\"src\":[\"10.1.0.0/16\",\"u4@\"],"
    "\"dst\":[\"group:g:5\",\"autogroup:internet:*\"]},"
    "{\"action\":\"accept\",\"src\":[\"u1@\",\"u2@\"],\"dst\":[\"tag:a:81\"]}]"
    "}",
    "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},\"grants\":["
    "{\"src\":[\"u1@\",\"tag:c\"],\"dst\":[\"10.1.0.0/16\"],\"via\":[\"tag:a\","
    "\"tag:b\"],\"ip\":[\"*\"]},"
    "{\"src\":[\"u2@\"],\"dst\":[\"autogroup:internet\"],\"via\":[\"tag:b\"],"
    "\"ip\":[\"*\"]},"
    "{\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\",\"tag:c\"],"
    "\"ip\":[\"tcp:9\"],\"app\":{\"tailscale.com/cap/drive\":[1]}},"
    "{\"src\":[\"tag:b\"],\"dst\":[\"192.168.1.0/24\",\"100.64.0.0/28\"],"
    "\"app\":{\"x.test/y\":null}}]}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],"
    "\"dst\":[\"u3@:7\"]},"
    "{\"action\":\"accept\",\"src\":[\"*\",\"192.168.1.7\"],\"dst\":[\"u1@:7\"]"
    "},"
    "{\"action\":\"accept\",\"src\":[\"u4@\"],\"dst\":[\"0.0.0.0/0:*\"]}]}",
};

static void put_user(rmr_pol_net *net, const model *m, uint32_t i)
{
    char name[16], mail[32];
    rmr_pol_user u;
    memset(&u, 0, sizeof u);
    snprintf(name, sizeof name, "u%u", i);
    snprintf(mail, sizeof mail, "m%d@x.test", m->email_of[i]);
    u.id = i + 1;
    u.name = rmr_bytes_str(name);
    u.email = rmr_bytes_str(mail);
    assert_int_equal(rmr_pol_net_put_user(net, &u), RMR_OK);
}

/* One is not of the addresses that "*" stands for. */
static rmr_addr address_of(uint32_t id)
{
    return rmr_addr_v4(id == 4 ? 10 : 100, 64, 0, (uint8_t)id, 0);
}

static rmr_err put_node(rmr_pol_net *net, const model *m, uint32_t i)
{
    const plain *p = &m->nodes[i];
    rmr_bytes tags[3];
    rmr_prefix routes[6];
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    n.id = i + 1;
    n.user_id = p->user;
    n.v4 = address_of(i + 1);
    if (p->v6) {
        char text[40];
        snprintf(text, sizeof text, "fd7a:115c:a1e0::%x", i + 1);
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &n.v6), RMR_OK);
    }
    for (uint32_t k = 0; k < 3; k++) {
        if (p->tags >> k & 1)
            tags[n.n_tags++] = rmr_bytes_str(tag_names[k]);
    }
    for (uint32_t k = 0; k < 6; k++) {
        if (p->routes >> k & 1)
            rmr_prefix_parse(rmr_bytes_str(route_names[k]),
                             &routes[n.n_routes++]);
    }
    n.tags = tags;
    n.routes = routes;
    n.own = (void *)(uintptr_t)n.id;
    return rmr_pol_net_put_node(net, &n);
}

static void set(rmr_pol_net *net, const rmr_alloc *a, const char *policy)
{
    rmr_pol *pol;
    rmr_pol_why why;
    if (rmr_pol_parse(&pol, a, rmr_bytes_str(policy), &why))
        fail_msg("%s", why.text);
    assert_int_equal(rmr_pol_net_set(net, pol), RMR_OK);
}

/* One change of the table and of the model. */
static void change(rmr_pol_net *net, const rmr_alloc *a, model *m, test_rng *r,
                   uint32_t *policy)
{
    uint32_t i = (uint32_t)(test_rng_u64(r) % IDS);
    uint32_t u = (uint32_t)(test_rng_u64(r) % USERS);
    uint64_t x = test_rng_u64(r);
    switch (test_rng_u64(r) % 8) {
    case 0:
        assert_int_equal(rmr_pol_net_del_node(net, i + 1),
                         m->nodes[i].is ? RMR_OK : RMR_E_NOTFOUND);
        m->nodes[i].is = false;
        break;
    case 1:
        if (m->users[u])
            assert_int_equal(rmr_pol_net_del_user(net, u + 1), RMR_OK);
        m->users[u] = false;
        break;
    case 2:
        m->users[u] = true;
        m->email_of[u] = (int)(x % USERS);
        put_user(net, m, u);
        break;
    case 3:
        if (x % 4)
            break;
        *policy = (uint32_t)(x / 4 % (sizeof policies / sizeof policies[0]));
        set(net, a, policies[*policy]);
        break;
    default:
        m->nodes[i].is = true;
        m->nodes[i].user = x % (USERS + 1);
        m->nodes[i].tags = x >> 8 & 3 ? 0 : x >> 10 & 7;
        m->nodes[i].routes = x >> 16 & 3 ? 0 : x >> 18 & 63;
        m->nodes[i].v6 = x >> 32 & 3;
        assert_int_equal(put_node(net, m, i), RMR_OK);
        break;
    }
}

static rmr_pol_net *afresh(const rmr_alloc *a, const model *m, uint32_t policy)
{
    rmr_pol_net *net;
    assert_int_equal(rmr_pol_net_new(&net, a), RMR_OK);
    set(net, a, policies[policy]);
    for (uint32_t i = IDS; i-- > 0;) { /* in another order */
        if (m->nodes[i].is)
            assert_int_equal(put_node(net, m, i), RMR_OK);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        if (m->users[i])
            put_user(net, m, i);
    }
    return net;
}

static size_t filter_text(rmr_pol_net *net, uint64_t id, char *buf, size_t cap)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(buf, cap - 1));
    assert_int_equal(rmr_pol_write_filter(net, id, &w), RMR_OK);
    assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
    buf[len] = '\0';
    return len;
}

static bool note_peer(void *user, uint64_t id)
{
    *(uint32_t *)user |= (uint32_t)1 << id;
    return true;
}

static bool note_own(void *user, void *own)
{
    return note_peer(user, (uintptr_t)own);
}

static uint32_t peers_of(rmr_pol_net *net, uint64_t id)
{
    uint32_t out = 0, walked = 0;
    assert_int_equal(rmr_pol_each_peer(net, id, note_peer, &out), RMR_OK);
    assert_int_equal(rmr_pol_walk_peers(net, id, note_own, &walked), RMR_OK);
    assert_int_equal(walked, out);
    return out;
}

static void expect_alike(rmr_pol_net *a, rmr_pol_net *b, const model *m)
{
    static char x[1 << 16], y[1 << 16];
    for (uint32_t i = 0; i < IDS; i++) {
        if (!m->nodes[i].is)
            continue;
        filter_text(a, i + 1, x, sizeof x);
        filter_text(b, i + 1, y, sizeof y);
        assert_string_equal(x, y);
        uint32_t peers = peers_of(a, i + 1);
        assert_int_equal(peers, peers_of(b, i + 1));
        for (uint32_t k = 0; k < IDS; k++) {
            bool sees = false;
            if (!m->nodes[k].is)
                continue;
            assert_int_equal(rmr_pol_sees(a, i + 1, k + 1, &sees), RMR_OK);
            assert_int_equal(sees, peers >> (k + 1) & 1);
        }
    }
}

static void a_changed_table_answers_as_a_new_one(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    test_rng r;
    model m;
    uint32_t policy = 0;
    rmr_pol_net *net;
    (void)state;
    memset(&m, 0, sizeof m);
    test_rng_seed(&r, 7);
    assert_int_equal(rmr_pol_net_new(&net, &a), RMR_OK);
    for (int i = 0; i < 1500; i++) {
        change(net, &a, &m, &r, &policy);
        if (i % 5)
            continue;
        rmr_pol_net *fresh = afresh(&a, &m, policy);
        expect_alike(net, fresh, &m);
        rmr_pol_net_free(fresh);
    }
    rmr_pol_net_free(net);
    assert_int_equal(ta.live_bytes, 0);
}

/* A filter without the addresses in it that may be its node's: they can be said
 * by a longer or by a shorter prefix. */
static char *rules_of(rmr_pol_net *net, uint64_t id)
{
    static char text[1 << 16];
    size_t i, k;
    json_t *rule, *dst;
    filter_text(net, id, text, sizeof text);
    json_t *rules = json_loads(text, 0, NULL);
    assert_non_null(rules);
    json_array_foreach(rules, i, rule)
    {
        json_array_foreach(json_object_get(rule, "DstPorts"), k, dst)
        {
            json_object_del(dst, "IP");
        }
    }
    char *out = json_dumps(rules, 0);
    json_decref(rules);
    assert_non_null(out);
    return out;
}

/* What a server builds on: whom a change does not concern need not be asked. */
static void a_change_concerns_only_whom_it_may(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    test_rng r;
    model m;
    uint32_t policy = 0, changes = 0, spared = 0;
    rmr_pol_net *net;
    (void)state;
    memset(&m, 0, sizeof m);
    test_rng_seed(&r, 11);
    assert_int_equal(rmr_pol_net_new(&net, &a), RMR_OK);
    for (uint32_t u = 0; u < USERS; u++) {
        m.users[u] = true;
        m.email_of[u] = (int)u;
        put_user(net, &m, u);
    }
    for (int i = 0; i < 600; i++) {
        char *was[IDS];
        uint32_t peers[IDS];
        model before = m;
        uint32_t was_policy = policy;
        for (uint32_t k = 0; k < IDS; k++) {
            was[k] = NULL;
            peers[k] = 0;
            if (!m.nodes[k].is)
                continue;
            was[k] = rules_of(net, k + 1);
            peers[k] = peers_of(net, k + 1);
        }
        change(net, &a, &m, &r, &policy);
        uint32_t node = 0;
        while (node < IDS && memcmp(&before.nodes[node], &m.nodes[node],
                                    sizeof m.nodes[0]) == 0)
            node++;
        bool is_node = node < IDS;
        bool is_user = memcmp(before.users, m.users, sizeof m.users) != 0 ||
                       memcmp(before.email_of, m.email_of, sizeof m.email_of);
        uint32_t whom = 0;
        if (is_node) {
            whom = peers[node] | (uint32_t)1 << (node + 1);
            if (m.nodes[node].is)
                whom |= peers_of(net, node + 1);
        }
        for (uint32_t k = 0; k < IDS; k++) {
            if (is_node && was[k] && m.nodes[k].is && !(whom >> (k + 1) & 1)) {
                char *is = rules_of(net, k + 1);
                assert_string_equal(is, was[k]);
                free(is);
                assert_int_equal(peers_of(net, k + 1), peers[k]);
                spared++;
            }
            free(was[k]);
        }
        changes += is_node || is_user || policy != was_policy;
    }
    assert_true(changes > 300 && spared > 500);
    rmr_pol_net_free(net);
    assert_int_equal(ta.live_bytes, 0);
}

static void a_user_that_no_name_stands_for_concerns_nobody(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    rmr_pol_net *net;
    rmr_pol_user u = {.id = 1, .name = rmr_bytes_str("alice")};
    (void)state;
    assert_int_equal(rmr_pol_net_new(&net, &a), RMR_OK);
    assert_false(rmr_pol_net_names(net, &u));
    set(net, &a,
        "{\"groups\":{\"group:g\":[\"alice@\"]},\"acls\":[{\"action\":"
        "\"accept\",\"src\":[\"group:g\"],\"dst\":[\"bob@x.test:*\"]}]}");
    assert_true(rmr_pol_net_names(net, &u));
    u.name = rmr_bytes_str("carol");
    assert_false(rmr_pol_net_names(net, &u));
    u.email = rmr_bytes_str("bob@x.test");
    assert_true(rmr_pol_net_names(net, &u));
    u.email = rmr_bytes_str("c@x.test");
    assert_false(rmr_pol_net_names(net, &u));
    set(net, &a,
        "{\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
        "\"dst\":[\"autogroup:self\"],\"users\":[\"localpart:*@x.test\"]}]}");
    assert_true(rmr_pol_net_names(net, &u));
    rmr_pol_net_free(net);
    assert_int_equal(ta.live_bytes, 0);
}

/* ---- filters and peers say the same -------------------------------------------- */

static bool text_has(const char *range, uint32_t id)
{
    const rmr_addr addr = address_of(id);
    uint32_t ip = (uint32_t)addr.ip[0] << 24 | (uint32_t)addr.ip[1] << 16 |
                  (uint32_t)addr.ip[2] << 8 | addr.ip[3];
    rmr_prefix p;
    rmr_addr lo, hi;
    const char *dash = strchr(range, '-');
    if (strcmp(range, "*") == 0)
        return true;
    if (!dash) {
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(range), &p), RMR_OK);
        return rmr_prefix_contains(&p, &addr);
    }
    rmr_bytes head = rmr_bytes_of(range, (size_t)(dash - range));
    assert_int_equal(rmr_addr_parse_ip(head, &lo), RMR_OK);
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(dash + 1), &hi), RMR_OK);
    if (lo.family != RMR_AF_INET)
        return false;
    uint32_t a = (uint32_t)lo.ip[0] << 24 | (uint32_t)lo.ip[1] << 16 |
                 (uint32_t)lo.ip[2] << 8 | lo.ip[3];
    uint32_t b = (uint32_t)hi.ip[0] << 24 | (uint32_t)hi.ip[1] << 16 |
                 (uint32_t)hi.ip[2] << 8 | hi.ip[3];
    return a <= ip && ip <= b;
}

static bool any_has(const json_t *list, const char *key, uint32_t id)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        const json_t *t = key ? json_object_get(v, key) : v;
        if (text_has(json_string_value(t), id))
            return true;
    }
    return false;
}

/* Whether the filter of a node lets an address in to the node's own. */
static bool lets_in(rmr_pol_net *net, uint32_t to, uint32_t from)
{
    static char text[1 << 16];
    bool out = false;
    size_t i, k;
    json_t *rule, *grant;
    filter_text(net, to, text, sizeof text);
    json_t *rules = json_loads(text, 0, NULL);
    assert_non_null(rules);
    json_array_foreach(rules, i, rule)
    {
        if (!any_has(json_object_get(rule, "SrcIPs"), NULL, from))
            continue;
        out |= any_has(json_object_get(rule, "DstPorts"), "IP", to);
        json_array_foreach(json_object_get(rule, "CapGrant"), k, grant)
        {
            out |= any_has(json_object_get(grant, "Dsts"), NULL, to);
        }
    }
    json_decref(rules);
    return out;
}

/* Without routes nothing else makes two nodes see each other. */
static void nodes_see_each_other_where_a_filter_lets_one_in(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    test_rng r;
    model m;
    (void)state;
    memset(&m, 0, sizeof m);
    test_rng_seed(&r, 8);
    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t x = test_rng_u64(&r);
        m.nodes[i] = (plain){true, x % (USERS + 1), x >> 8 & 1 ? 0 : x >> 9 & 7,
                             0, false};
    }
    for (uint32_t i = 0; i < USERS; i++) {
        m.users[i] = true;
        m.email_of[i] = (int)i;
    }
    for (uint32_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        rmr_pol_net *net = afresh(&a, &m, p);
        uint32_t pairs = 0;
        for (uint32_t i = 1; i <= IDS; i++) {
            uint32_t peers = peers_of(net, i);
            for (uint32_t k = 1; k <= IDS; k++) {
                bool want =
                    i != k && (lets_in(net, i, k) || lets_in(net, k, i));
                assert_int_equal(peers >> k & 1, want);
                pairs += want;
            }
        }
        assert_true(pairs > 0);
        rmr_pol_net_free(net);
    }
    assert_int_equal(ta.live_bytes, 0);
}

static bool note_attr(void *user, rmr_bytes name)
{
    (void)user;
    return name.len > 0;
}

/* ---- a failing allocator ---------------------------------------------------------- */

static rmr_err all_of_it(const rmr_alloc *a, rmr_pol_net **net, model *m,
                         const char *policy)
{
    static char text[1 << 16];
    rmr_pol *pol;
    bool sees;
    rmr_err err = rmr_pol_net_new(net, a);
    for (uint32_t i = 0; i < IDS && !err; i++)
        err = put_node(*net, m, i);
    if (!err)
        err = rmr_pol_parse(&pol, a, rmr_bytes_str(policy), NULL);
    if (!err) {
        err = rmr_pol_net_check(*net, pol, NULL);
        if (!err)
            err = rmr_pol_net_set(*net, pol);
        if (err)
            rmr_pol_free(pol);
    }
    for (uint32_t i = 1; i <= IDS && !err; i++) {
        uint32_t peers = 0;
        rmr_jw w;
        rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
        err = rmr_pol_write_filter(*net, i, &w);
        if (err)
            assert_int_equal(w.len, 0);
        if (!err)
            err = rmr_pol_each_peer(*net, i, note_peer, &peers);
        if (err)
            assert_int_equal(peers, 0);
        if (!err)
            err = rmr_pol_sees(*net, i, 1, &sees);
        rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
        if (!err)
            err = rmr_pol_write_ssh(*net, i, rmr_bytes_str("http://x"), &w);
        if (!err)
            err = rmr_pol_each_attr(*net, i, note_attr, &peers);
    }
    return err;
}

static size_t fail_each(const char *policy, model *m)
{
    size_t n = 0;
    for (;;) {
        test_alloc ta = {0};
        rmr_alloc a = test_alloc_table(&ta);
        rmr_pol_net *net = NULL;
        ta.fail_at = ++n;
        rmr_err err = all_of_it(&a, &net, m, policy);
        assert_int_equal(err, ta.failed ? RMR_E_NOMEM : RMR_OK);
        rmr_pol_net_free(net);
        assert_int_equal(ta.live_bytes, 0);
        if (!ta.failed)
            return n;
    }
}

static void no_memory_at_any_place_is_told_and_leaks_nothing(void **state)
{
    model m;
    (void)state;
    memset(&m, 0, sizeof m);
    for (uint32_t i = 0; i < IDS; i++)
        m.nodes[i] = (plain){true, i % 3 + 1, i % 4 ? 0 : 1 + i % 7,
                             i % 4 ? 0 : i, i % 2 == 0};
    for (size_t i = 2; i < sizeof policies / sizeof policies[0]; i++)
        assert_true(fail_each(policies[i], &m) > 100);
    assert_true(fail_each("{\"sshTests\":[],\"randomizeClientPort\":true,"
                          "\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":["
                          "\"a\",\"b\"]}],\"autoApprovers\":{\"routes\":{"
                          "\"10.0.0.0/8\":[\"u1@\"]},\"exitNode\":["
                          "\"u2@\"]},\"ssh\":[{\"action\":\"accept\",\"src\":["
                          "\"u1@\"],\"dst\":[\"u1@\"],\"users\":[\"root\"]}],"
                          "\"tests\":[{\"src\":\"100.64.0.1\",\"accept\":["
                          "\"[fd7a:115c:a1e0::1]:1\"]}]}",
                          &m) > 100);
}

/* After NOMEM the table is as before, and the same call works later. */
static void after_no_memory_the_table_is_unchanged(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    model m;
    rmr_pol_net *net;
    static char before[1 << 16], after[1 << 16];
    rmr_pol_stats was, is;
    (void)state;
    memset(&m, 0, sizeof m);
    for (uint32_t i = 0; i < 4; i++)
        m.nodes[i] = (plain){true, 1, 0, 0, true};
    m.nodes[4] = (plain){true, 1, 0, 63, true};
    assert_int_equal(rmr_pol_net_new(&net, &a), RMR_OK);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put_node(net, &m, i), RMR_OK);
    filter_text(net, 1, before, sizeof before);
    rmr_pol_net_stats(net, &was);
    for (size_t n = 1;; n++) {
        ta.failed = 0;
        ta.fail_at = ta.calls + n;
        rmr_err err = put_node(net, &m, 4);
        ta.fail_at = 0;
        if (!err)
            break;
        assert_int_equal(err, RMR_E_NOMEM);
        rmr_pol_net_stats(net, &is);
        assert_memory_equal(&was, &is, sizeof is);
        filter_text(net, 1, after, sizeof after);
        assert_string_equal(before, after);
    }
    filter_text(net, 1, after, sizeof after);
    assert_true(strcmp(before, after) != 0);
    rmr_pol_net_free(net);
    assert_int_equal(ta.live_bytes, 0);
}

/* ---- what is refused ----------------------------------------------------------------- */

static void bad_users_and_nodes_are_refused(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    rmr_pol_node n;
    rmr_pol_user u;
    rmr_bytes tag = rmr_bytes_of("", 0);
    rmr_prefix route = {{0}, RMR_AF_INET, 33};
    bool out;
    uint32_t peers = 0;
    rmr_pol_route may;
    rmr_jw jw;
    uint8_t room[8];
    (void)state;
    pol_world_new(&w, &a, false);
    memset(&n, 0, sizeof n);
    memset(&u, 0, sizeof u);
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    assert_int_equal(rmr_pol_net_put_user(w.net, &u), RMR_E_INVAL);
    n.id = 99;
    n.v6 = rmr_addr_v4(100, 64, 0, 9, 0);
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    memset(&n.v6, 0, sizeof n.v6);
    n.v4 = rmr_addr_v4(100, 64, 0, 1, 0); /* a2 has it */
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INUSE);
    n.v4 = rmr_addr_v4(100, 64, 0, 9, 0);
    n.tags = &tag;
    n.n_tags = 1;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    n.n_tags = 0;
    n.routes = &route;
    n.n_routes = 1;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_E_INVAL);
    n.n_routes = 0;
    assert_int_equal(rmr_pol_net_put_node(w.net, &n), RMR_OK);
    assert_int_equal(rmr_pol_net_del_node(w.net, 98), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_net_del_user(w.net, 98), RMR_E_NOTFOUND);
    rmr_jw_init(&jw, rmr_buf_of(room, sizeof room));
    assert_int_equal(rmr_pol_write_filter(w.net, 98, &jw), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_write_ssh(w.net, 98, tag, &jw), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_sees(w.net, 98, 1, &out), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_each_peer(w.net, 98, note_peer, &peers),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_may_route(w.net, 1, 4, &route, &may),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_approves(w.net, 98, &route, &out), RMR_E_NOTFOUND);
    assert_int_equal(jw.len, 0);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void a_net_without_policy_keeps_users_apart(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, true);
    for (int i = 0; i < 2; i++) {
        pol_expect_text("a1", pol_peers(&w, "a1"), "{\"a2\":[]}");
        pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
        pol_expect_text("t1", pol_filter(&w, "t1"), "[]");
        pol_world_set(&w, "{}");
        assert_int_equal(rmr_pol_net_set(w.net, NULL), RMR_OK);
    }
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void nodes_of_nobody_are_not_one_users(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    bool sees;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_put_text(&w, "{\"id\":20,\"ips\":[\"100.64.0.20\"]}");
    pol_put_text(&w, "{\"id\":21,\"ips\":[\"100.64.0.21\"]}");
    assert_int_equal(peers_of(w.net, 20), 0);
    assert_int_equal(rmr_pol_sees(w.net, 20, 21, &sees), RMR_OK);
    assert_false(sees);
    assert_false(lets_in(w.net, 20, 21));
    pol_world_set(&w, "{\"ssh\":[{\"action\":\"check\",\"src\":["
                      "\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
                      "\"users\":[\"x\"]}]}");
    rmr_dur p;
    assert_int_equal(rmr_pol_ssh_check(w.net, 20, 21, rmr_bytes_str("x"), &p),
                     RMR_E_DENIED);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void a_name_of_two_users_is_nobodys(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    rmr_pol_user twin;
    rmr_pol_why why;
    rmr_pol *pol;
    rmr_pol_stats stats;
    static const char text[] = "{\"acls\":[{\"action\":\"accept\",\n"
                               "\"src\":[\"alice@\"],\"dst\":[\"*:*\"]}]}";
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w, text);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{\"a1\":[],\"a2\":[]}");
    memset(&twin, 0, sizeof twin);
    twin.id = 9;
    twin.name = rmr_bytes_str("other");
    twin.email = rmr_bytes_str("alice");
    assert_int_equal(rmr_pol_net_put_user(w.net, &twin), RMR_OK);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
    rmr_pol_net_stats(w.net, &stats);
    assert_int_equal(stats.ambiguous, 1);
    assert_int_equal(rmr_pol_parse(&pol, &a, rmr_bytes_str(text), &why),
                     RMR_OK);
    assert_int_equal(rmr_pol_net_check(w.net, pol, &why), RMR_E_MALFORMED);
    assert_string_equal(why.text, "multiple users found: token \"alice@\"");
    assert_int_equal(why.line, 2);
    assert_int_equal(why.column, 8);
    rmr_pol_free(pol);
    twin.provider = rmr_bytes_str("alice"); /* counts more */
    assert_int_equal(rmr_pol_net_put_user(w.net, &twin), RMR_OK);
    pol_put_text(&w, "{\"id\":5,\"name\":\"a1\",\"ips\":[\"100.64.0.5\"]}");
    pol_expect_text("b1", pol_peers(&w, "b1"), "{}");
    assert_int_equal(rmr_pol_net_del_user(w.net, 9), RMR_OK);
    pol_expect_text("b1", pol_peers(&w, "b1"), "{\"a2\":[]}");
    rmr_pol_net_stats(w.net, &stats);
    assert_int_equal(stats.ambiguous, 0);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

#define SERVER "\"tagOwners\":{\"tag:server\":[],\"tag:router\":[]},"
#define RULE(proto, src, dst)                                                  \
    "{\"action\":\"accept\"," proto "\"src\":[\"" src "\"],\"dst\":[\"" dst    \
    "\"]}"

/* ---- tags, attributes, routes, tests ---------------------------------------------------- */

static void tags_go_to_their_owners(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w, "{\"groups\":{\"group:b\":[\"bob@example.test\"]},"
                      "\"tagOwners\":{\"tag:x\":[\"alice@\"],"
                      "\"tag:y\":[\"tag:x\",\"tag:z\"],"
                      "\"tag:z\":[\"tag:y\",\"group:b\"],\"tag:w\":[],"
                      "\"tag:server\":[],\"tag:v\":[\"tag:server\"]}}");
    static const struct {
        uint64_t user;
        const char *tag;
        bool may;
    } cases[] = {{1, "tag:x", true},  {2, "tag:x", false}, {1, "tag:y", true},
                 {2, "tag:y", true},  {1, "tag:z", true},  {2, "tag:z", true},
                 {1, "tag:w", false}, {3, "tag:x", false}, {0, "tag:x", false},
                 {1, "tag:q", false}, {1, "tag:v", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(rmr_pol_user_may_tag(w.net, cases[i].user,
                                              rmr_bytes_str(cases[i].tag)),
                         cases[i].may);
    assert_true(
        rmr_pol_defines_tag(rmr_pol_net_policy(w.net), rmr_bytes_str("tag:w")));
    assert_true(rmr_pol_node_may_tag(w.net, pol_world_id(&w, "t1"),
                                     rmr_bytes_str("tag:v")));
    assert_false(rmr_pol_node_may_tag(w.net, pol_world_id(&w, "r1"),
                                      rmr_bytes_str("tag:v")));
    assert_false(rmr_pol_node_may_tag(w.net, 98, rmr_bytes_str("tag:v")));
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static bool add_attr(void *user, rmr_bytes name)
{
    json_array_append_new(user, json_stringn((const char *)name.ptr, name.len));
    return json_array_size(user) < 4;
}

static void attributes_come_once_in_order(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w, "{\"randomizeClientPort\":true,\"nodeAttrs\":["
                      "{\"target\":[\"alice@\"],\"attr\":[\"z\",\"a\"]},"
                      "{\"target\":[\"*\"],\"attr\":[\"a\",\"b\",\"z\",\"c\"]},"
                      "{\"target\":[\"100.64.0.2\"],\"attr\":[]}]}");
    json_t *got = json_array();
    assert_int_equal(rmr_pol_each_attr(w.net, 5, add_attr, got), RMR_OK);
    pol_expect_text("a1", got, "[\"randomize-client-port\",\"z\",\"a\",\"b\"]");
    got = json_array();
    assert_int_equal(rmr_pol_each_attr(w.net, 2, add_attr, got), RMR_OK);
    pol_expect_text("b1", got, "[\"randomize-client-port\",\"a\",\"b\",\"z\"]");
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static rmr_pol_route route(pol_world *w, const char *viewer, uint64_t owner,
                           const char *prefix)
{
    rmr_prefix p;
    rmr_pol_route out;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str(prefix), &p), RMR_OK);
    assert_int_equal(
        rmr_pol_may_route(w->net, pol_world_id(w, viewer), owner, &p, &out),
        RMR_OK);
    return out;
}

static void via_sends_by_the_first_router_that_is_named(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    static const char net8[] = "192.168.8.0/24";
    static const char via[] =
        "{\"tagOwners\":{\"tag:router\":[],\"tag:other\":[]},\"grants\":["
        "{\"src\":[\"alice@\"],\"dst\":[\"192.168.0.0/16\","
        "\"autogroup:internet\"],\"via\":[\"tag:router\"],\"ip\":[\"*\"]}";
    char policy[512];
    (void)state;
    pol_world_new(&w, &a, true);
    snprintf(policy, sizeof policy, "%s]}", via);
    pol_world_set(&w, policy);
    pol_put_text(&w, "{\"id\":10,\"ips\":[\"100.64.0.10\"],\"tags\":["
                     "\"tag:router\"],\"approved\":[\"192.168.8.0/24\"],"
                     "\"announced\":[\"0.0.0.0/0\"]}");
    pol_put_text(&w, "{\"id\":3,\"ips\":[\"100.64.0.3\"],\"tags\":["
                     "\"tag:other\"],\"approved\":[\"192.168.8.0/24\"],"
                     "\"announced\":[\"0.0.0.0/0\"]}");
    assert_int_equal(route(&w, "a1", 4, net8), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 10, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "a1", 3, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "b1", 4, net8), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "a1", 4, "0.0.0.0/0"), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 10, "0.0.0.0/0"), RMR_POL_ROUTE_ALWAYS);
    assert_int_equal(route(&w, "a1", 3, "0.0.0.0/0"), RMR_POL_ROUTE_NO);
    assert_int_equal(route(&w, "b1", 4, "0.0.0.0/0"), RMR_POL_ROUTE_NO);
    /* Another rule for the same: as any route. */
    snprintf(policy, sizeof policy,
             "%s,{\"src\":[\"alice@\"],\"dst\":[\"192.168.8.1\"],"
             "\"ip\":[\"*\"]}]}",
             via);
    pol_world_set(&w, policy);
    assert_int_equal(route(&w, "a1", 4, net8), RMR_POL_ROUTE_PRIMARY);
    assert_int_equal(route(&w, "a1", 3, net8), RMR_POL_ROUTE_PRIMARY);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void via_needs_an_exit_node_for_the_internet(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w, "{\"tagOwners\":{\"tag:router\":[]},\"grants\":[{"
                      "\"src\":[\"alice@\"],\"dst\":[\"autogroup:internet\"],"
                      "\"via\":[\"tag:router\"],\"ip\":[\"*\"]}]}");
    pol_expect_text("r1", pol_filter(&w, "r1"), "[]");
    pol_expect_text("r1", pol_peers(&w, "r1"), "{}");
    pol_world_free(&w);
    /* With one it stands once, behind what the node routes. */
    pol_world_new(&w, &a, true);
    pol_world_set(&w, "{\"tagOwners\":{\"tag:router\":[]},\"grants\":[{"
                      "\"src\":[\"alice@\"],\"dst\":[\"autogroup:internet\","
                      "\"192.168.8.0/24\",\"autogroup:internet\"],"
                      "\"via\":[\"tag:router\"],\"ip\":[\"*\"]}]}");
    json_t *got = pol_filter(&w, "r1");
    json_t *dsts = json_object_get(json_array_get(got, 0), "DstPorts");
    assert_true(json_array_size(dsts) > 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(dsts, 0), "IP")),
        "192.168.8.0/24");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(dsts, 1), "IP")),
        "0.0.0.0/5");
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(dsts, json_array_size(dsts) - 1), "IP")),
        "2000::/3");
    for (size_t i = 2; i < json_array_size(dsts); i++)
        assert_string_not_equal(
            json_string_value(json_object_get(json_array_get(dsts, i), "IP")),
            "0.0.0.0/5");
    json_decref(got);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

#define ALL_BUT                                                                \
    "[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\","         \
    "\"fd7a:115c:a1e0::/48\",\"192.168.8.0/24\",\"192.168.20.0/24\""
#define ALL_LIST                                                               \
    "[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\","         \
    "\"fd7a:115c:a1e0::/48\""
#define TO(ports)                                                              \
    "{\"IP\":\"100.64.0.2\",\"Ports\":{\"First\":" ports ",\"Last\":" ports "}}"

/* Beside "*" each text stands once, and lists that differ stay two rules. */
static void sources_beside_all_stand_once(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w,
                  "{\"tagOwners\":{\"tag:server\":[]},\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"*\",\"192.168.8.0/24\","
                  "\"100.64.0.3\",\"tag:server\",\"100.64.0.3/32\"],"
                  "\"dst\":[\"100.64.0.2:1\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":["
                  "\"100.64.0.2:2\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":["
                  "\"100.64.0.2:3\"]}]}");
    /* The route is of the set as well as a route: two texts, as Headscale. */
    pol_expect_text(
        "b1", pol_filter(&w, "b1"),
        "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\","
        "\"100.115.94.0-100.127.255.255\",\"192.168.8.0/24\","
        "\"fd7a:115c:a1e0::/48\",\"192.168.8.0/24\",\"192.168.20.0/24\","
        "\"100.64.0.3\",\"fd7a:115c:a1e0::3\"],"
        "\"DstPorts\":[" TO("1") "]},"
                                 "{\"SrcIPs\":" ALL_BUT "],"
                                 "\"DstPorts\":[" TO("2") "," TO("3") "]}]");
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

/* ... wherever the document has them. */
static void grants_come_before_acls(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(
        &w,
        "{\"acls\":[" RULE(
            "", "tag:server",
            "100.64.0.2:1") "],"
                            "\"tagOwners\":{\"tag:server\":[]},\"grants\":[{"
                            "\"src\":["
                            "\"100.64.0.1\"],\"dst\":[\"100.64.0.2\"],\"ip\":["
                            "\"2\"]}]}");
    pol_expect_text("b1", pol_filter(&w, "b1"),
                    "[{\"SrcIPs\":[\"100.64.0.1\"],\"DstPorts\":[" TO(
                        "2") "]},"
                             "{\"SrcIPs\":[\"100.64.0.3\",\"fd7a:115c:a1e0::"
                             "3\"],\"DstPorts\":[" TO("1") "]}]");
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

/* Equal sources by different names are one rule; "*" with more is another. */
static void rules_are_joined_by_what_their_names_stand_for(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w,
                  "{\"groups\":{\"group:a\":[\"alice@\",\"ghost@\"]},\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"alice@\"],"
                  "\"dst\":[\"autogroup:self:5\"]},"
                  "{\"action\":\"accept\",\"src\":[\"group:a\"],"
                  "\"dst\":[\"100.64.0.5:6\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\"],"
                  "\"dst\":[\"100.64.0.5:7\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.3\"],"
                  "\"dst\":[\"100.64.0.5:8\"]}]}");
    json_t *got = pol_filter(&w, "a1");
    assert_int_equal(json_array_size(got), 3);
    assert_int_equal(
        json_array_size(json_object_get(json_array_get(got, 0), "DstPorts")),
        3);
    json_decref(got);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

/* "*" stands for approved routes, wherever their node is. */
static void a_router_outside_is_seen_by_its_routes(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    bool sees;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w, "{\"acls\":[" RULE("", "*", "alice@:22") "]}");
    pol_put_text(&w, "{\"id\":20,\"ips\":[\"10.64.0.4\"],\"approved\":["
                     "\"10.9.0.0/16\"]}");
    pol_put_text(&w, "{\"id\":21,\"ips\":[\"10.64.0.5\"]}");
    assert_int_equal(peers_of(w.net, 5) >> 20 & 3, 1);
    assert_int_equal(peers_of(w.net, 20), 1 << 1 | 1 << 5);
    assert_int_equal(peers_of(w.net, 21), 0);
    assert_int_equal(rmr_pol_sees(w.net, 5, 20, &sees), RMR_OK);
    assert_true(sees);
    assert_int_equal(rmr_pol_sees(w.net, 5, 21, &sees), RMR_OK);
    assert_false(sees);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void expect_tests(pol_world *w, const char *policy, const char *want)
{
    rmr_pol_why why;
    rmr_pol *pol;
    if (rmr_pol_parse(&pol, &w->alloc, rmr_bytes_str(policy), &why))
        fail_msg("%s", why.text);
    rmr_err err = rmr_pol_net_check(w->net, pol, &why);
    assert_string_equal(why.text, want);
    assert_int_equal(err, *want ? RMR_E_MALFORMED : RMR_OK);
    rmr_pol_free(pol);
}

static void tests_of_a_policy_are_run(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    /* All of a source must reach it; alike for what is denied. */
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "", "100.64.0.1",
            "tag:server:22") "],"
                             "\"tests\":[{\"src\":\"alice@\",\"deny\":["
                             "\"tag:server:22\"]},{\"src\":\"100.64.0.1\","
                             "\"accept\":[\"tag:server:22\"],\"deny\":["
                             "\"tag:server:23\",\"tag:router:22\"]}]}",
        "");
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "\"proto\":\"udp\",", "alice@",
            "tag:server:50-60") "],"
                                "\"tests\":[{\"src\":\"alice@\",\"proto\":"
                                "\"tcp\","
                                "\"accept\":[\"tag:server:53\"]},"
                                "{\"src\":\"alice@\",\"proto\":\"udp\","
                                "\"deny\":[\"tag:server:53\"]},"
                                "{\"src\":\"alice@\",\"accept\":[\"tag:server:"
                                "53\"]},"
                                "{\"src\":\"ghost@\",\"deny\":[\"tag:server:"
                                "53\"]},"
                                "{\"src\":\"bob@\",\"accept\":[\"ghost@:1\"]}]"
                                "}",
        "test(s) failed:\n"
        "alice@ -> tag:server:53 (tcp): expected ALLOWED, got DENIED\n"
        "alice@ -> tag:server:53 (udp): expected DENIED, got ALLOWED\n"
        "ghost@: source \"ghost@\" resolved to no IP addresses\n"
        "bob@: error testing \"ghost@:1\": destination resolved to no "
        "IP addresses: \"ghost@:1\"");
    expect_tests(&w,
                 "{" SERVER "\"acls\":[" RULE(
                     "\"proto\":\"tcp\",", "bob@",
                     "tag:router:1") "],\"tests\":["
                                     "{\"src\":\"bob@\",\"accept\":[\"tag:"
                                     "router:1\"]}]}",
                 "");
    expect_tests(
        &w,
        "{" SERVER "\"acls\":[" RULE(
            "\"proto\":\"sctp\",", "bob@",
            "tag:router:1") "],\"tests\":["
                            "{\"src\":\"bob@\",\"deny\":[\"tag:router:1\"]}]}",
        "");
    /* autogroup:self, and what may reach all. */
    expect_tests(&w,
                 "{\"acls\":[" RULE(
                     "", "autogroup:member",
                     "autogroup:self:22") "],\"tests\":["
                                          "{\"src\":\"alice@\",\"accept\":["
                                          "\"100.64.0.5:22\"],"
                                          "\"deny\":[\"100.64.0.2:22\",\"100."
                                          "64.0.5:23\"]}]}",
                 "");
    expect_tests(
        &w, "{\"tests\":[{\"src\":\"bob@\",\"accept\":[\"alice@:1\"]}]}", "");
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void ssh_tests_of_a_policy_are_run(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    static const char rules[] =
        "{" SERVER
        "\"ssh\":[{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":["
        "\"tag:server\"],\"users\":[\"localpart:*@EXAMPLE.test\",\"root\"]},"
        "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":["
        "\"autogroup:self\"],\"users\":[\"autogroup:nonroot\"]},"
        "{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
        "\"autogroup:self\"],\"users\":[\"ubuntu\"]}],\"sshTests\":[";
    char policy[2048];
    (void)state;
    pol_world_new(&w, &a, false);
    snprintf(policy, sizeof policy,
             "%s{\"src\":\"bob@\",\"dst\":[\"tag:server\"],\"accept\":["
             "\"bob\",\"root\"],\"deny\":[\"alice\"]},"
             "{\"src\":\"alice@\",\"dst\":[\"autogroup:self\"],\"accept\":["
             "\"x\",\"ubuntu\"],\"check\":[\"ubuntu\"],\"deny\":[\"root\"]},"
             "{\"src\":\"alice@\",\"dst\":[\"100.64.0.2\"],"
             "\"deny\":[\"x\"]}]}",
             rules);
    expect_tests(&w, policy, "");
    snprintf(policy, sizeof policy,
             "%s{\"src\":\"alice@\",\"dst\":[\"tag:server\",\"tag:router\","
             "\"autogroup:self\"],\"accept\":[\"root\"],\"check\":[\"x\"]},"
             "{\"src\":\"bob@\",\"dst\":[\"ghost@\"],\"deny\":[\"bob\"]},"
             "{\"src\":\"bob@\",\"dst\":[\"tag:server\"],\"deny\":["
             "\"bob\"]}]}",
             rules);
    expect_tests(&w, policy,
                 "test(s) failed:\n"
                 "alice@ -> tag:server: user \"root\": expected ALLOWED\n"
                 "alice@ -> tag:server: user \"x\": expected CHECKED\n"
                 "alice@ -> tag:router: user \"root\": expected ALLOWED\n"
                 "alice@ -> tag:router: user \"x\": expected CHECKED\n"
                 "alice@ -> autogroup:self: user \"root\": expected ALLOWED\n"
                 "alice@ -> autogroup:self: user \"x\": expected CHECKED\n"
                 "bob@: error testing \"ghost@\": destination resolved to no "
                 "IP addresses\n"
                 "bob@ -> tag:server: user \"bob\": expected DENIED");
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void capabilities_are_narrowed_and_kept_as_they_are(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    char policy[4096], big[1200];
    (void)state;
    pol_world_new(&w, &a, false);
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "\\u0001\\n\xc3\xa9", 10); /* escapes stay escapes */
    big[sizeof big - 1] = '\0';
    snprintf(policy, sizeof policy,
             "{\"grants\":[{\"src\":[\"bob@\"],\"dst\":[\"*\","
             "\"192.168.8.128/25\"],\"app\":{\"a.b/c\":[\"%s\",{\"k\":[1.50,"
             "false,[],{}]}],\"tailscale.com/cap/relay\":null}}]}",
             big);
    pol_world_set(&w, policy);
    json_t *got = pol_filter(&w, "r1");
    assert_int_equal(json_array_size(got), 1);
    json_t *grants = json_object_get(json_array_get(got, 0), "CapGrant");
    assert_int_equal(json_array_size(grants), 2);
    snprintf(policy, sizeof policy,
             "{\"a.b/c\":[\"%s\",{\"k\":[1.5,false,[],{}]}],"
             "\"tailscale.com/cap/relay\":null}",
             big);
    pol_expect_text(
        "caps",
        json_incref(json_object_get(json_array_get(grants, 1), "CapMap")),
        policy);
    pol_expect_text(
        "all", json_incref(json_object_get(json_array_get(grants, 0), "Dsts")),
        "[\"100.64.0.4/32\",\"fd7a:115c:a1e0::4/128\"]");
    pol_expect_text(
        "routed",
        json_incref(json_object_get(json_array_get(grants, 1), "Dsts")),
        "[\"192.168.8.128/25\"]");
    json_decref(got);
    /* The companion goes back from all that "*" is. */
    got = pol_filter(&w, "b1");
    assert_int_equal(json_array_size(got), 2);
    pol_expect_text(
        "companion",
        json_incref(json_object_get(json_array_get(got, 1), "SrcIPs")),
        ALL_LIST ",\"192.168.8.128/25\",\"192.168.8.0/24\","
                 "\"192.168.20.0/24\"]");
    json_decref(got);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void equal_lists_beside_all_are_joined(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(&w,
                  "{\"acls\":["
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.3\"],"
                  "\"dst\":[\"bob@:1\"]},"
                  "{\"action\":\"accept\",\"src\":[\"100.64.0.3/32\",\"*\"],"
                  "\"dst\":[\"bob@:2\"]},"
                  "{\"action\":\"accept\",\"src\":[\"*\",\"100.64.0.9\"],"
                  "\"dst\":[\"bob@:3\"]},"
                  "{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],"
                  "\"dst\":[\"bob@:4\"]},"
                  "{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],"
                  "\"dst\":[\"bob@:5\"]},"
                  "{\"action\":\"accept\",\"src\":[\"bob@\"],"
                  "\"dst\":[\"autogroup:self:6\"]}]}");
    json_t *got = pol_filter(&w, "b1");
    assert_int_equal(json_array_size(got), 4);
    json_decref(got);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void tagged_sources_may_ssh(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_put_text(&w, "{\"id\":4,\"ips\":[\"100.64.0.4\"],\"tags\":["
                     "\"tag:router\",\"tag:second\"]}");
    pol_world_set(&w, "{" SERVER "\"ssh\":[{\"action\":\"accept\",\"src\":["
                      "\"tag:router\",\"bob@\"],\"dst\":[\"tag:server\"],"
                      "\"users\":[\"x\",\"x\"]},"
                      "{\"action\":\"accept\",\"src\":[\"tag:router\"],"
                      "\"dst\":[\"tag:server\"],\"users\":["
                      "\"localpart:*@a.b\",\"localpart:y@a.b\"]}]}");
    json_t *got = pol_ssh_of(&w, "t1");
    json_t *rules = json_object_get(got, "rules");
    assert_int_equal(json_array_size(rules), 2);
    pol_expect_text(
        "both",
        json_incref(json_object_get(json_array_get(rules, 0), "principals")),
        "[{\"nodeIP\":\"100.64.0.2\"},{\"nodeIP\":\"fd7a:115c:a1e0::2\"},"
        "{\"nodeIP\":\"100.64.0.4\"},{\"nodeIP\":\"100.64.0.4\"}]");
    pol_expect_text(
        "users",
        json_incref(json_object_get(json_array_get(rules, 0), "sshUsers")),
        "{\"root\":\"\",\"x\":\"x\"}");
    pol_expect_text(
        "tagged",
        json_incref(json_object_get(json_array_get(rules, 1), "principals")),
        "[{\"nodeIP\":\"100.64.0.4\"},{\"nodeIP\":\"100.64.0.4\"}]");
    pol_expect_text(
        "localpart",
        json_incref(json_object_get(json_array_get(rules, 1), "sshUsers")),
        "{\"root\":\"\",\"localpart:y@a.b\":\"localpart:y@a.b\"}");
    json_decref(got);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void check_rules_say_how_old_a_proof_may_be(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    rmr_dur p = 7;
    (void)state;
    pol_world_new(&w, &a, false);
    pol_world_set(
        &w, "{" SERVER
            "\"ssh\":[{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"root\"],\"checkPeriod\":\"1.5h\"},"
            "{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"autogroup:nonroot\"]},"
            "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":["
            "\"tag:server\"],\"users\":[\"root\"]},"
            "{\"action\":\"check\",\"src\":[\"bob@\"],\"dst\":["
            "\"autogroup:self\"],\"users\":[\"x\"],\"checkPeriod\":"
            "\"always\"}]}");
    rmr_bytes root = rmr_bytes_str("root"), x = rmr_bytes_str("x");
    assert_int_equal(rmr_pol_ssh_check(w.net, 98, 3, root, &p), RMR_E_NOTFOUND);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 3, root, &p), RMR_E_DENIED);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 4, root, &p), RMR_E_DENIED);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 1, x, &p), RMR_E_DENIED);
    assert_int_equal(p, 7);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 3, root, &p), RMR_OK);
    assert_int_equal(p, 5400 * RMR_SEC);
    assert_int_equal(rmr_pol_ssh_check(w.net, 5, 3, x, &p), RMR_OK);
    assert_int_equal(p, 12 * 3600 * RMR_SEC);
    assert_int_equal(rmr_pol_ssh_check(w.net, 2, 2, x, &p), RMR_OK);
    assert_int_equal(p, 0);
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

static void a_full_buffer_is_told(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    pol_world w;
    static char whole[4096];
    (void)state;
    pol_world_new(&w, &a, true);
    pol_world_set(&w, "{\"acls\":[" RULE("", "*", "*:*") "]}");
    size_t len = filter_text(w.net, 1, whole, sizeof whole);
    for (size_t n = 0; n <= len; n++) {
        uint8_t *room = malloc(n ? n : 1);
        rmr_jw jw;
        size_t got;
        rmr_jw_init(&jw, rmr_buf_of(room, n));
        assert_int_equal(rmr_pol_write_filter(w.net, 1, &jw), RMR_OK);
        assert_int_equal(rmr_jw_end(&jw, &got),
                         n < len ? RMR_E_BUFSIZE : RMR_OK);
        free(room);
    }
    pol_world_free(&w);
    assert_int_equal(ta.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_table_answers_as_a_new_one),
        cmocka_unit_test(a_change_concerns_only_whom_it_may),
        cmocka_unit_test(a_user_that_no_name_stands_for_concerns_nobody),
        cmocka_unit_test(nodes_see_each_other_where_a_filter_lets_one_in),
        cmocka_unit_test(no_memory_at_any_place_is_told_and_leaks_nothing),
        cmocka_unit_test(after_no_memory_the_table_is_unchanged),
        cmocka_unit_test(bad_users_and_nodes_are_refused),
        cmocka_unit_test(a_net_without_policy_keeps_users_apart),
        cmocka_unit_test(nodes_of_nobody_are_not_one_users),
        cmocka_unit_test(a_name_of_two_users_is_nobodys),
        cmocka_unit_test(tags_go_to_their_owners),
        cmocka_unit_test(attributes_come_once_in_order),
        cmocka_unit_test(via_sends_by_the_first_router_that_is_named),
        cmocka_unit_test(a_router_outside_is_seen_by_its_routes),
        cmocka_unit_test(via_needs_an_exit_node_for_the_internet),
        cmocka_unit_test(sources_beside_all_stand_once),
        cmocka_unit_test(grants_come_before_acls),
        cmocka_unit_test(rules_are_joined_by_what_their_names_stand_for),
        cmocka_unit_test(tests_of_a_policy_are_run),
        cmocka_unit_test(ssh_tests_of_a_policy_are_run),
        cmocka_unit_test(capabilities_are_narrowed_and_kept_as_they_are),
        cmocka_unit_test(equal_lists_beside_all_are_joined),
        cmocka_unit_test(tagged_sources_may_ssh),
        cmocka_unit_test(check_rules_say_how_old_a_proof_may_be),
        cmocka_unit_test(a_full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
