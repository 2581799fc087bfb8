/* What a client was told, one change after the other, is what a stream that is
 * opened now is told at once: after any changes of nodes, users and the
 * policy, with and without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pol_rig.h"

enum { ROUNDS = 24, STEPS = 60, USERS = 3, RULES = 6, ROOM = 8192 };

static pol_rig p;
static test_rng rng;
static uint64_t users[USERS];
static bool sleeps[PR_MEMBERS], removed[PR_MEMBERS];
static int steps, lost;
static char story[STEPS * 96], policy[ROOM]; /* told where something is wrong */

static uint32_t draw(uint32_t n)
{
    return (uint32_t)(test_rng_u64(&rng) % n);
}

#define PICK(list) ((list)[draw(sizeof(list) / sizeof *(list))])

/* ---- policies ------------------------------------------------------------ */

static const char *const sources[] = {"\"u0@\"",
                                      "\"u1@\",\"tag:c\"",
                                      "\"group:g\"",
                                      "\"tag:a\"",
                                      "\"10.1.0.0/16\"",
                                      "\"h\",\"v2@\"",
                                      "\"100.64.0.3\"",
                                      "\"*\"",
                                      "\"*\",\"u2@\"",
                                      "\"autogroup:member\"",
                                      "\"autogroup:tagged\"",
                                      "\"autogroup:danger-all\""};
static const char *const targets[] = {"\"u1@\"",
                                      "\"tag:a\",\"tag:b\"",
                                      "\"group:g\"",
                                      "\"h\"",
                                      "\"10.1.0.0/16\"",
                                      "\"8.8.8.8/32\"",
                                      "\"100.64.0.0/29\"",
                                      "\"autogroup:tagged\"",
                                      "\"autogroup:internet\"",
                                      "\"fd00:1::/64\"",
                                      "\"autogroup:member\"",
                                      "\"*\""};
static const char *const says[] = {
    "\"ip\":[\"*\"]", "\"ip\":[\"22\"]", "\"ip\":[\"tcp:80-90\",\"udp:53\"]",
    "\"app\":{\"tailscale.com/cap/relay\":[]}",
    "\"ip\":[\"80\"],\"app\":{\"x.test/y\":[1,2]}"};
static const char *const shells[] = {
    "{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"tag:a\"],"
    "\"users\":[\"root\"]}",
    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],"
    "\"dst\":[\"autogroup:self\"],\"users\":[\"autogroup:nonroot\"]}",
    "{\"action\":\"accept\",\"src\":[\"tag:b\",\"autogroup:member\"],"
    "\"dst\":[\"tag:a\",\"tag:c\"],\"users\":[\"localpart:*@x.test\"]}"};
static const char *const attributes[] = {
    "{\"target\":[\"group:g\",\"tag:a\"],\"attr\":[\"x\"]}",
    "{\"target\":[\"u0@\",\"100.64.0.2\"],\"attr\":[\"y\",\"z\"]}",
    "{\"target\":[\"*\"],\"attr\":[\"z\"]}"};

static size_t put(char *to, size_t at, const char *fmt, ...) RMR_PRINTF(3, 4);

static size_t put(char *to, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(to + at, ROOM - at, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && at + (size_t)n < ROOM);
    return at + (size_t)n;
}

static void draw_rule(char *to)
{
    static const char *const vias[] = {"\"tag:a\"", "\"tag:b\",\"tag:c\""};
    uint32_t how = draw(8);
    size_t at = put(to, 0, "{\"src\":[%s],\"dst\":[%s],%s",
                    how == 0 ? "\"group:g\",\"u2@\"" : PICK(sources),
                    how == 0 ? "\"autogroup:self\"" : PICK(targets),
                    how < 3 ? says[draw(3)] : PICK(says));
    if (how == 1 || how == 2)
        at = put(to, at, ",\"via\":[%s]", PICK(vias));
    (void)put(to, at, "}");
}

/* A document that stays much the same from one change to the next. */
static struct {
    char rules[RULES][512];
    uint32_t n, shells, attributes;
    bool group, host, approves;
} doc;

static void mutate(void)
{
    uint32_t at = draw(RULES);
    switch (draw(10)) {
    case 0:
        doc.group = !doc.group;
        break;
    case 1:
        doc.host = !doc.host;
        break;
    case 2:
        doc.shells ^= 1u << draw(3);
        break;
    case 3:
        doc.attributes ^= 1u << draw(3);
        break;
    case 4:
        doc.approves = !doc.approves;
        break;
    case 5:
        if (doc.n)
            doc.n--;
        break;
    case 6:
    case 7:
        if (at < doc.n)
            draw_rule(doc.rules[at]);
        break;
    default:
        if (doc.n < RULES)
            draw_rule(doc.rules[doc.n++]);
        break;
    }
}

static size_t put_some(char *to, size_t at, const char *name,
                       const char *const list[3], uint32_t which)
{
    const char *comma = "";
    at = put(to, at, ",\"%s\":[", name);
    for (uint32_t i = 0; i < 3; i++) {
        if (!(which >> i & 1))
            continue;
        at = put(to, at, "%s%s", comma, list[i]);
        comma = ",";
    }
    return put(to, at, "]");
}

static void another_policy(void)
{
    char *text = policy;
    rmr_pol_why why;
    mutate();
    mutate();
    size_t at =
        put(text, 0,
            "{\"groups\":{\"group:g\":[\"u1@\"%s]},\"hosts\":{\"h\":\"%s\"},"
            "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},"
            "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"%s\"]},"
            "\"exitNode\":[\"tag:b\"]},\"grants\":[",
            doc.group ? ",\"u2@\"" : "", doc.host ? "10.1.2.3" : "100.64.0.5",
            doc.approves ? "group:g" : "tag:a");
    for (uint32_t i = 0; i < doc.n; i++)
        at = put(text, at, "%s%s", i ? "," : "", doc.rules[i]);
    at = put(text, at, "]");
    at = put_some(text, at, "ssh", shells, doc.shells);
    at = put_some(text, at, "nodeAttrs", attributes, doc.attributes);
    (void)put(text, at, "}");
    /* Not all that is drawn is a policy. */
    if (rmr_coord_set_policy(p.r.coord, rmr_bytes_str(text), &why) != RMR_OK)
        (void)put(story, strlen(story), "(%s) ", why.text);
}

/* ---- pictures ------------------------------------------------------------ */

static void same(const pr_member *m, const char *what, const json_t *is,
                 const json_t *should)
{
    if (is == should || json_equal(is, should))
        return;
    char *x = is ? json_dumps(is, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    char *y =
        should ? json_dumps(should, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    (void)fprintf(stderr, "%s's %s: is %s\nshould be %s\n%s\n%s\n", m->host,
                  what, x ? x : "none", y ? y : "none", story, policy);
    fail();
}

/* What a filter lets in there, from peers and from networks behind them, be it
 * written as it may: of others nothing comes in, so that it is not told of
 * each.  A node's address may stand in a range with others'. */

/* An address, a prefix, "a-b" or "*". */
static bool covers(const char *set, const rmr_addr *a)
{
    rmr_prefix prefix;
    rmr_addr lo, hi;
    const char *dash = strchr(set, '-');
    if (strcmp(set, "*") == 0)
        return true;
    if (!dash)
        return rmr_prefix_parse(rmr_bytes_str(set), &prefix) == RMR_OK &&
               rmr_prefix_contains(&prefix, a);
    assert_int_equal(
        rmr_addr_parse_ip(rmr_bytes_of(set, (size_t)(dash - set)), &lo),
        RMR_OK);
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(dash + 1), &hi), RMR_OK);
    return a->family == lo.family && memcmp(a->ip, lo.ip, sizeof a->ip) >= 0 &&
           memcmp(a->ip, hi.ip, sizeof a->ip) <= 0;
}

static bool any_covers(const json_t *list, const rmr_addr *a)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (covers(json_string_value(v), a))
            return true;
    }
    return false;
}

typedef struct places { /* where something comes from, or goes */
    rmr_addr at[64];
    size_t n;
} places;

static void add_place(places *x, const char *text)
{
    rmr_prefix one;
    assert_true(x->n < 64);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str(text), &one), RMR_OK);
    x->at[x->n++] = rmr_prefix_addr(&one);
}

static void add_addresses(places *x, const json_t *node)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(node, "Addresses"), i, v)
    {
        add_place(x, json_string_value(v));
    }
}

static void add_networks(places *x)
{
    static const char *const some[] = {"10.1.2.3",    "10.1.9.9",  "10.2.0.1",
                                       "192.168.1.7", "fd00:1::7", "8.8.8.8",
                                       "9.9.9.9",     "2600::1"};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        add_place(x, some[i]);
}

static void say(json_t *all, const rmr_addr *from, const rmr_addr *to,
                const json_t *proto, const char *what, const json_t *more)
{
    char text[256], a[RMR_ADDR_TEXT_MAX], b[RMR_ADDR_TEXT_MAX];
    char *x = json_dumps(proto, JSON_COMPACT);
    char *y = json_dumps(more, JSON_COMPACT | JSON_ENCODE_ANY);
    (void)snprintf(text, sizeof text, "%s > %s %s %s %s",
                   rmr_addr_ip_text(from, a), rmr_addr_ip_text(to, b),
                   x ? x : "", what, y);
    json_object_set_new(all, text, json_true());
    free(x);
    free(y);
}

static void say_rule(json_t *all, const json_t *rule, const rmr_addr *from,
                     const rmr_addr *to)
{
    size_t i;
    json_t *v, *more;
    const char *name;
    const json_t *proto = json_object_get(rule, "IPProto");
    json_array_foreach(json_object_get(rule, "DstPorts"), i, v)
    {
        if (covers(json_string_value(json_object_get(v, "IP")), to))
            say(all, from, to, proto, "", json_object_get(v, "Ports"));
    }
    json_array_foreach(json_object_get(rule, "CapGrant"), i, v)
    {
        if (!any_covers(json_object_get(v, "Dsts"), to))
            continue;
        json_object_foreach(json_object_get(v, "CapMap"), name, more)
        {
            say(all, from, to, proto, name, more);
        }
    }
}

static json_t *filter_of(const pr_member *m)
{
    json_t *all = json_object(), *v;
    places from = {.n = 0}, to = {.n = 0};
    const char *id;
    size_t i;
    json_object_foreach(m->peers, id, v)
    {
        add_addresses(&from, v);
    }
    add_addresses(&from, m->self);
    add_addresses(&to, m->self);
    add_networks(&from);
    add_networks(&to);
    json_array_foreach(m->filter, i, v)
    {
        for (size_t f = 0; f < from.n; f++) {
            for (size_t t = 0;
                 t < to.n &&
                 any_covers(json_object_get(v, "SrcIPs"), &from.at[f]);
                 t++)
                say_rule(all, v, &from.at[f], &to.at[t]);
        }
    }
    return all;
}

static bool knows(const pr_member *m, const char *ip)
{
    const char *id;
    json_t *v;
    char text[64];
    size_t i;
    json_t *a;
    (void)snprintf(text, sizeof text, "%s/%d", ip, strchr(ip, ':') ? 128 : 32);
    json_object_foreach(m->peers, id, v)
    {
        json_array_foreach(json_object_get(v, "Addresses"), i, a)
        {
            if (strcmp(json_string_value(a), text) == 0)
                return true;
        }
    }
    json_array_foreach(json_object_get(m->self, "Addresses"), i, a)
    {
        if (strcmp(json_string_value(a), text) == 0)
            return true;
    }
    return false;
}

/* The rules of those who are its peers, or itself: of others nothing comes
 * in, so that it is not told of each. */
static json_t *shell_of(const pr_member *m)
{
    json_t *out = json_array(), *all = json_deep_copy(m->ssh), *rule;
    size_t i, k;
    json_array_foreach(json_object_get(all, "rules"), i, rule)
    {
        json_t *who = json_object_get(rule, "principals");
        for (k = json_array_size(who); k-- > 0;) {
            if (!knows(m, json_string_value(json_object_get(
                              json_array_get(who, k), "nodeIP"))))
                json_array_remove(who, k);
        }
        if (json_array_size(who))
            json_array_append(out, rule);
    }
    json_decref(all);
    return out;
}

/* Without what it said itself. */
static json_t *self_of(const pr_member *m)
{
    json_t *out = json_copy(m->self);
    json_object_del(out, "HomeDERP");
    return out;
}

static void same_made(const pr_member *m, const char *what, json_t *is,
                      json_t *should)
{
    same(m, what, is, should);
    json_decref(is);
    json_decref(should);
}

static void compare(pr_member *m)
{
    pr_member now;
    const char *id;
    json_t *v;
    pr_look_afresh(&p, m, &now);
    same_made(m, "own node", self_of(m), self_of(&now));
    same(m, "peers", m->peers, now.peers);
    same_made(m, "filter", filter_of(m), filter_of(&now));
    same_made(m, "shells", shell_of(m), shell_of(&now));
    same(m, "relays", m->relays, now.relays);
    same(m, "names", m->dns, now.dns);
    json_object_foreach(now.users, id, v)
    {
        same(m, "user", json_object_get(m->users, id), v);
    }
    pr_forget(&now);
}

static void compare_all(void)
{
    pr_news(&p);
    for (int i = 0; i < p.n; i++) {
        if (!p.m[i].gone)
            compare(&p.m[i]);
    }
}

/* ---- changes ------------------------------------------------------------- */

static void join(void)
{
    static const char *const tags[] = {"tag:a", "tag:b", "tag:c", NULL};
    char host[16];
    if (p.n == PR_MEMBERS)
        return;
    (void)snprintf(host, sizeof host, "h%d", p.n);
    const char *tag = draw(3) ? NULL : tags[draw(3)];
    (void)pr_join(&p, host, tag ? 0 : users[draw(USERS)], tag,
                  draw(3) ? ",\"RoutableIPs\":[\"10.1.0.0/16\"]" : "");
}

static void update(pr_member *m)
{
    static const char *const routes[] = {
        "",
        "\"10.1.0.0/16\"",
        "\"10.1.0.0/16\",\"10.2.0.0/16\"",
        "\"0.0.0.0/0\",\"::/0\"",
        "\"10.1.0.0/16\",\"fd00:1::/64\",\"0.0.0.0/0\",\"::/0\"",
        "\"192.168.1.0/24\"",
        "\"100.64.0.0/29\",\"10.1.0.0/16\""};
    char text[256];
    (void)snprintf(text, sizeof text,
                   ",\"RoutableIPs\":[%s],\"NetInfo\":{\"PreferredDERP\":%u}",
                   PICK(routes), 1 + draw(3));
    pr_update(&p, m, text);
}

static void approve(const pr_member *m)
{
    static const char *const routes[] = {"10.1.0.0/16",    "10.2.0.0/16",
                                         "fd00:1::/64",    "0.0.0.0/0",
                                         "192.168.1.0/24", "100.64.0.0/29"};
    rmr_prefix list[6];
    size_t n = 0;
    for (size_t i = 0; i < 6; i++) {
        if (draw(2))
            assert_int_equal(
                rmr_prefix_parse(rmr_bytes_str(routes[i]), &list[n++]), RMR_OK);
    }
    assert_int_equal(rmr_coord_node_approve(p.r.coord, m->id, list, n), RMR_OK);
}

static void tag(const pr_member *m)
{
    static const char *const tags[] = {"tag:a", "tag:b", "tag:c"};
    uint32_t first = draw(3);
    /* The policy may not define them yet. */
    (void)rmr_coord_node_set_tags(p.r.coord, m->id, tags + first,
                                  1 + draw(3 - first));
}

static void of_users(void)
{
    char text[32];
    uint32_t i = draw(USERS);
    if (draw(2)) {
        (void)snprintf(text, sizeof text, "%c%u", draw(2) ? 'u' : 'v', i);
        (void)rmr_coord_user_rename(p.r.coord, users[i], text);
    } else {
        /* The latter is the name of one, be it another's. */
        (void)snprintf(text, sizeof text, draw(2) ? "w%u@x.test" : "u%u",
                       draw(USERS));
        (void)rmr_coord_user_describe(p.r.coord, users[i], NULL, text, NULL);
    }
}

static void of_server(void)
{
    static const rmr_coord_dns_record record = {"wiki.test", "A", "100.64.0.9"};
    rmr_coord_dns dns;
    memset(&dns, 0, sizeof dns);
    dns.records = &record;
    dns.n_records = draw(2);
    if (draw(2))
        assert_int_equal(rmr_coord_set_dns(p.r.coord, &dns), RMR_OK);
    else
        assert_int_equal(
            rmr_coord_set_derp_map(
                p.r.coord, rmr_bytes_str(draw(2) ? "{\"a\":1}" : "{\"a\":2}")),
            RMR_OK);
}

static void sleep_or_wake(int i)
{
    if (sleeps[i])
        pr_wake(&p, &p.m[i]);
    else
        pr_leave(&p.m[i]);
    sleeps[i] = !sleeps[i];
    if (draw(2))
        rig_wait(&p.r, 11 * RMR_SEC); /* it is called offline */
}

static void leave(int i)
{
    assert_int_equal(rmr_coord_node_remove(p.r.coord, p.m[i].id), RMR_OK);
    rig_turn(&p.r);
    pr_leave(&p.m[i]);
    removed[i] = true;
}

static void step(bool fails)
{
    static const char *const names[] = {
        "policy", "policy", "policy", "join",  "update", "approve", "tag",
        "user",   "server", "sleep",  "leave", "rename", "expire",  "tag"};
    char text[32];
    int i = (int)draw((uint32_t)p.n);
    uint32_t what = draw(14);
    pr_member *m = &p.m[i];
    (void)put(story, strlen(story), "%s %s\n", names[what], m->host);
    /* These may be refused. */
    if (fails && (what < 3 || what == 6 || what == 7 || what == 11))
        p.r.heap.fail_at = p.r.heap.calls + 1 + draw(80);
    if (what < 3)
        another_policy();
    else if (what == 3)
        join();
    else if (what == 7)
        of_users();
    else if (what == 8)
        of_server();
    else if (removed[i])
        return;
    else if (what == 4 && !sleeps[i])
        update(m);
    else if (what == 5)
        approve(m);
    else if (what == 6 || what == 13)
        tag(m);
    else if (what == 9)
        sleep_or_wake(i);
    else if (what == 10 && draw(3) == 0)
        leave(i);
    else if (what == 11) {
        (void)snprintf(text, sizeof text, "n%u", draw(1000));
        (void)rmr_coord_node_rename(p.r.coord, m->id, text);
    } else if (what == 12)
        assert_int_equal(rmr_coord_node_expire(p.r.coord, m->id,
                                               draw(2) ? 0 : UINT64_MAX / 2),
                         RMR_OK);
    steps++;
}

/* What is due may find no memory. */
static void turn(bool fails)
{
    if (fails)
        p.r.heap.fail_at = p.r.heap.calls + 1 + draw(80);
    rig_turn(&p.r);
    p.r.heap.fail_at = 0;
}

/* Streams that found no memory have ended: their clients come back. */
static void come_back(void)
{
    pr_news(&p);
    for (int i = 0; i < p.n; i++) {
        pr_member *m = &p.m[i];
        if (m->gone || (!m->map->over && !m->cl.c->closed))
            continue;
        pr_leave(m);
        pr_wake(&p, m);
        lost++;
    }
}

static void one_round(uint64_t seed, bool fails)
{
    test_rng_seed(&rng, seed);
    memset(&doc, 0, sizeof doc);
    memset(sleeps, 0, sizeof sleeps);
    memset(removed, 0, sizeof removed);
    (void)snprintf(story, sizeof story, "seed %llu\n",
                   (unsigned long long)seed);
    pr_init(&p, NULL);
    for (uint32_t u = 0; u < USERS; u++) {
        char name[16];
        (void)snprintf(name, sizeof name, "u%u", u);
        users[u] = pr_user(&p, name);
    }
    for (int i = 0; i < 5; i++)
        join();
    for (int i = 0; i < STEPS; i++) {
        step(fails && draw(2));
        p.r.heap.fail_at = 0;
        if (draw(2))
            turn(fails);
        if (draw(3))
            continue; /* several changes at once */
        rig_wait(&p.r, 10 * RMR_SEC);
        if (fails)
            come_back();
        rig_wait(&p.r, 10 * RMR_SEC);
        compare_all();
    }
    pr_free(&p);
}

/* PICTURE_SEED=N: that one alone. */
static void all_rounds(bool fails)
{
    const char *only = getenv("PICTURE_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    for (uint64_t i = 0; i < (only ? 1 : ROUNDS); i++)
        one_round(first + i, fails);
    assert_true(only || steps > ROUNDS * STEPS / 2);
}

static void what_was_told_is_what_would_be_told(void **state)
{
    (void)state;
    all_rounds(false);
    one_round(352, false); /* out of sight and back between two frames */
}

/* Who was not told, for there was no memory, lost its stream. */
static void without_memory_too(void **state)
{
    (void)state;
    all_rounds(true);
    assert_true(lost > 0 || getenv("PICTURE_SEED"));
}

static void expect_user(const pr_member *m, const char *id, const char *name)
{
    const json_t *u = json_object_get(m->users, id);
    assert_non_null(u);
    assert_string_equal(json_string_value(json_object_get(u, "LoginName")),
                        name);
}

/* Whose its node is, be there a peer or none. */
static void a_node_is_told_who_its_user_is(void **state)
{
    (void)state;
    pr_begin(&p);
    pr_member *m = pr_join(&p, "h0", p.alice, NULL, "");
    expect_user(m, "1", "alice");
    assert_int_equal(rmr_coord_user_rename(p.r.coord, p.alice, "zoe"), RMR_OK);
    pr_news(&p);
    expect_user(m, "1", "zoe");
    pr_policy(&p, "{\"acls\":[],\"tagOwners\":{\"tag:a\":[]}}");
    assert_int_equal(pr_tag(&p, m, "tag:a"), RMR_OK);
    pr_news(&p);
    expect_user(m, "2147455555", "tagged-devices");
    pr_free(&p);
}

/* Of two that a rule names for a network the first has it. */
static void the_next_router_that_a_rule_names_is_told_of(void **state)
{
    static const char net[] = ",\"RoutableIPs\":[\"10.1.0.0/16\"]";
    rmr_prefix route;
    (void)state;
    pr_begin(&p);
    pr_policy(&p, "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":[{"
                  "\"src\":[\"alice@\"],\"dst\":[\"10.1.0.0/16\"],\"ip\":["
                  "\"*\"],\"via\":[\"tag:a\"]}]}");
    pr_member *m = pr_join(&p, "h0", p.alice, NULL, "");
    pr_member *r1 = pr_join(&p, "r1", 0, "tag:a", net);
    pr_member *r2 = pr_join(&p, "r2", 0, "tag:a", net);
    (void)rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &route);
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r1->id, &route, 1),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(p.r.coord, r2->id, &route, 1),
                     RMR_OK);
    pr_news(&p);
    pr_expect_allowed(m, "r1",
                      "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\","
                      "\"10.1.0.0/16\"]");
    pr_expect_allowed(m, "r2", "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\"]");
    assert_int_equal(pr_tag(&p, r1, "tag:b"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(m, "r1"));
    pr_expect_allowed(m, "r2",
                      "[\"100.64.0.3/32\",\"fd7a:115c:a1e0::3/128\","
                      "\"10.1.0.0/16\"]");
    pr_free(&p);
}

/* A router that serves nodes' addresses: what rules say of these goes by it. */
static void
who_serves_addresses_of_nodes_is_seen_by_what_these_are(void **state)
{
    rmr_prefix route;
    (void)state;
    pr_begin(&p);
    pr_policy(&p, "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":[{"
                  "\"src\":[\"bob@\"],\"dst\":[\"tag:a\"],\"ip\":[\"*\"]}]}");
    pr_member *m = pr_join(&p, "h0", p.bob, NULL, "");
    pr_member *router = pr_join(&p, "r1", p.alice, NULL,
                                ",\"RoutableIPs\":[\"100.64.0.0/29\"]");
    pr_member *third = pr_join(&p, "h1", 0, "tag:a", "");
    (void)rmr_prefix_parse(rmr_bytes_str("100.64.0.0/29"), &route);
    assert_int_equal(rmr_coord_node_approve(p.r.coord, router->id, &route, 1),
                     RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(m, "r1") && pr_sees(router, "h0"));
    assert_int_equal(pr_tag(&p, third, "tag:b"), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(m, "r1") || pr_sees(router, "h0"));
    assert_int_equal(pr_tag(&p, third, "tag:a"), RMR_OK);
    pr_news(&p);
    assert_true(pr_sees(m, "r1") && pr_sees(router, "h0"));
    assert_int_equal(rmr_coord_node_remove(p.r.coord, third->id), RMR_OK);
    pr_news(&p);
    assert_false(pr_sees(m, "r1") || pr_sees(router, "h0"));
    pr_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_is_told_who_its_user_is),
        cmocka_unit_test(the_next_router_that_a_rule_names_is_told_of),
        cmocka_unit_test(
            who_serves_addresses_of_nodes_is_seen_by_what_these_are),
        cmocka_unit_test(what_was_told_is_what_would_be_told),
        cmocka_unit_test(without_memory_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
