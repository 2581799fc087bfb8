/* The table: a change of it against a new one, filters against who sees whom,
 * what a failing allocator leaves behind. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

/* ---- a table that changes, and one that is made at once ------------------ */

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

static void expect_alike(rmr_pol_net *a, rmr_pol_net *b, const model *m)
{
    static char x[1 << 16], y[1 << 16];
    for (uint32_t i = 0; i < IDS; i++) {
        if (!m->nodes[i].is)
            continue;
        pol_filter_text(a, i + 1, x, sizeof x);
        pol_filter_text(b, i + 1, y, sizeof y);
        assert_string_equal(x, y);
        uint32_t peers = pol_peer_bits(a, i + 1);
        assert_int_equal(peers, pol_peer_bits(b, i + 1));
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
    pol_filter_text(net, id, text, sizeof text);
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
            peers[k] = pol_peer_bits(net, k + 1);
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
                whom |= pol_peer_bits(net, node + 1);
        }
        for (uint32_t k = 0; k < IDS; k++) {
            if (is_node && was[k] && m.nodes[k].is && !(whom >> (k + 1) & 1)) {
                char *is = rules_of(net, k + 1);
                assert_string_equal(is, was[k]);
                free(is);
                assert_int_equal(pol_peer_bits(net, k + 1), peers[k]);
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

/* ---- filters and peers say the same -------------------------------------- */

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
    pol_filter_text(net, to, text, sizeof text);
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
            uint32_t peers = pol_peer_bits(net, i);
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

/* ---- a failing allocator ------------------------------------------------- */

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
            err = rmr_pol_each_peer(*net, i, pol_note_peer, &peers);
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
    pol_filter_text(net, 1, before, sizeof before);
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
        pol_filter_text(net, 1, after, sizeof after);
        assert_string_equal(before, after);
    }
    pol_filter_text(net, 1, after, sizeof after);
    assert_true(strcmp(before, after) != 0);
    rmr_pol_net_free(net);
    assert_int_equal(ta.live_bytes, 0);
}

/* ---- nodes of nobody ------------------------------------------------------ */

static void nodes_of_nobody_are_not_one_users(void **state)
{
    pol_world w;
    bool sees;
    (void)state;
    pol_world_new(&w, false);
    pol_put_text(&w, "{\"id\":20,\"ips\":[\"100.64.0.20\"]}");
    pol_put_text(&w, "{\"id\":21,\"ips\":[\"100.64.0.21\"]}");
    assert_int_equal(pol_peer_bits(w.net, 20), 0);
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
        cmocka_unit_test(nodes_of_nobody_are_not_one_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
