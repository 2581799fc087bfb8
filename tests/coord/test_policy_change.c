/* Whom another policy concerns: those who are not told must have the same
 * answers as before, whatever was asked.  Documents are drawn from pieces and
 * changed by pieces, the table changes beside. */
#include <remora/policy.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

enum { IDS = 20, USERS = 5, RULES = 6, ROUTES = 6, ROOM = 1 << 15 };

static const char *const tag_names[] = {"tag:a", "tag:b", "tag:c"};
static const char *const route_names[ROUTES] = {
    "10.1.0.0/16", "10.1.2.0/24", "192.168.1.0/24",
    "0.0.0.0/0",   "::/0",        "fd00:1::/64"};

/* ---- documents ----------------------------------------------------------- */

static const char *const sources[] = {"\"u0@\"",
                                      "\"u1@\",\"tag:c\"",
                                      "\"group:g\"",
                                      "\"tag:a\"",
                                      "\"10.1.0.0/16\"",
                                      "\"h\",\"u4@\"",
                                      "\"100.64.0.3\"",
                                      "\"*\"",
                                      "\"autogroup:member\"",
                                      "\"group:h\"",
                                      "\"*\",\"u2@\"",
                                      "\"autogroup:tagged\"",
                                      "\"192.168.1.0/24\""};
static const char *const targets[] = {"\"u1@\"",
                                      "\"u2@\"",
                                      "\"tag:a\",\"tag:b\"",
                                      "\"group:g\"",
                                      "\"h\"",
                                      "\"10.1.0.0/16\"",
                                      "\"8.8.8.8/32\"",
                                      "\"100.64.0.0/29\"",
                                      "\"autogroup:tagged\"",
                                      "\"fd00:1::/64\"",
                                      "\"*\""};
static const char *const ports[] = {"\"*\"", "\"22\"", "\"tcp:80-90\"",
                                    "\"udp:53\",\"icmp:*\""};
static const char *const vias[] = {"\"tag:a\"", "\"tag:b\",\"tag:c\""};
static const char *const caps[] = {"\"tailscale.com/cap/drive\":[{\"a\":1}]",
                                   "\"x.test/y\":[1,2],\"x.test/z\":null",
                                   "\"x.test/y\":[1,3],\"x.test/z\":null"};
static const char *const shells[] = {
    "{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"tag:a\"],"
    "\"users\":[\"root\"]}",
    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],"
    "\"dst\":[\"autogroup:self\"],\"users\":[\"autogroup:nonroot\"]}"};

#define PICK(r, list)                                                          \
    ((uint32_t)(test_rng_u64(r) % (sizeof(list) / sizeof *(list))))

typedef struct rule {
    uint32_t src, dst, ip, cap, via; /* 0: none of the last three */
    bool self;
} rule;

typedef struct document {
    rule rules[RULES];
    uint32_t n;
    uint32_t group, host; /* which definition */
    uint32_t ssh, attrs;  /* bits             */
    bool none;            /* no rules at all  */
} document;

static rule draw(test_rng *r)
{
    rule x = {PICK(r, sources), PICK(r, targets), 0, 0, 0, false};
    uint64_t how = test_rng_u64(r) % 8;
    x.ip = how == 0 ? 0 : 1 + PICK(r, ports);
    x.cap = how < 2 ? 1 + PICK(r, caps) : 0;
    x.via = how == 2 ? 1 + PICK(r, vias) : 0;
    x.self = how == 3;
    return x;
}

/* One part of it is another. */
static void vary(rule *x, test_rng *r)
{
    rule other = draw(r);
    switch (test_rng_u64(r) % 5) {
    case 0:
        x->src = other.src;
        break;
    case 1:
        x->dst = other.dst;
        break;
    case 2:
        x->ip = x->ip ? 1 + PICK(r, ports) : 0;
        break;
    case 3:
        x->cap = x->cap ? 1 + PICK(r, caps) : 0;
        break;
    default:
        x->via = x->via ? 1 + PICK(r, vias) : 0;
        break;
    }
}

/* A piece of it is another, or is there no more, or there is one more. */
static void mutate(document *d, test_rng *r)
{
    uint32_t at = (uint32_t)(test_rng_u64(r) % RULES);
    rule x = draw(r);
    switch (test_rng_u64(r) % 12) {
    case 0:
        d->group = !d->group;
        return;
    case 1:
        d->host = !d->host;
        return;
    case 2:
        d->ssh ^= test_rng_u64(r) % 4 ? 0 : 1u << test_rng_u64(r) % 2;
        d->attrs ^= test_rng_u64(r) % 4 ? 0 : 1;
        return;
    case 3:
        d->none = test_rng_u64(r) % 4 == 0;
        return;
    case 4:
    case 5:
        if (d->n == 0)
            return;
        at %= d->n--;
        memmove(&d->rules[at], &d->rules[at + 1],
                (d->n - at) * sizeof d->rules[0]);
        return;
    case 6: /* in another order */
        if (d->n < 2)
            return;
        x = d->rules[0];
        d->rules[0] = d->rules[at % d->n];
        d->rules[at % d->n] = x;
        return;
    case 7:
    case 8:
        if (d->n)
            vary(&d->rules[at % d->n], r);
        return;
    case 9:
        if (d->n) {
            d->rules[at % d->n] = x;
            return;
        }
        break;
    default:
        break;
    }
    if (d->n == RULES)
        return;
    at %= d->n + 1;
    memmove(&d->rules[at + 1], &d->rules[at], (d->n - at) * sizeof x);
    d->rules[at] = x;
    d->n++;
}

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

static size_t put_rule(char *to, size_t at, const rule *x)
{
    at = put(to, at, "{\"src\":[%s],\"dst\":[%s]",
             x->self ? "\"autogroup:member\"" : sources[x->src],
             x->self ? "\"autogroup:self\"" : targets[x->dst]);
    if (x->ip)
        at = put(to, at, ",\"ip\":[%s]", ports[x->ip - 1]);
    if (x->cap)
        at = put(to, at, ",\"app\":{%s}", caps[x->cap - 1]);
    if (x->via)
        at = put(to, at, ",\"via\":[%s]", vias[x->via - 1]);
    return put(to, at, "}");
}

static const char *text_of(const document *d)
{
    static char text[ROOM];
    size_t at =
        put(text, 0,
            "{\"groups\":{\"group:g\":[\"u1@\"%s],\"group:h\":[\"u3@\"]},"
            "\"hosts\":{\"h\":\"%s\"},"
            "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]}",
            d->group ? ",\"u2@\"" : "", d->host ? "10.1.2.3" : "100.64.0.5");
    if (!d->none) {
        at = put(text, at, ",\"grants\":[");
        for (uint32_t i = 0; i < d->n; i++) {
            at = put(text, at, "%s", i ? "," : "");
            at = put_rule(text, at, &d->rules[i]);
        }
        at = put(text, at, "]");
    }
    at = put(text, at, ",\"ssh\":[");
    for (uint32_t i = 0; i < 2; i++) {
        if (d->ssh >> i & 1)
            at = put(text, at, "%s%s", i && d->ssh & 1 ? "," : "", shells[i]);
    }
    (void)put(text, at, "],\"nodeAttrs\":[%s]}",
              d->attrs ? "{\"target\":[\"group:g\"],\"attr\":[\"x\"]}" : "");
    return text;
}

/* False: it is no policy. */
static bool parse(const document *d, const rmr_alloc *a, rmr_pol **out)
{
    rmr_pol_why why;
    return rmr_pol_parse(out, a, rmr_bytes_str(text_of(d)), &why) == RMR_OK;
}

/* ---- the table ----------------------------------------------------------- */

static void put_users(rmr_pol_net *net)
{
    for (uint32_t i = 0; i < USERS; i++) {
        char name[16];
        rmr_pol_user u;
        memset(&u, 0, sizeof u);
        (void)snprintf(name, sizeof name, "u%u", i);
        u.id = i + 1;
        u.name = rmr_bytes_str(name);
        assert_int_equal(rmr_pol_net_put_user(net, &u), RMR_OK);
    }
}

static void put_node(rmr_pol_net *net, test_rng *r, uint64_t id)
{
    rmr_bytes tags[3];
    rmr_prefix routes[ROUTES];
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    uint64_t x = test_rng_u64(r);
    n.id = id;
    n.own = (void *)(uintptr_t)id;
    n.user_id = 1 + x % USERS;
    n.v4 = rmr_addr_v4(100, 64, 0, (uint8_t)id, 0);
    for (uint32_t k = 0; k < 3 && (x >> 8 & 1); k++) {
        if (x >> (16 + k) & 1)
            tags[n.n_tags++] = rmr_bytes_str(tag_names[k]);
    }
    for (uint32_t k = 0; k < ROUTES && (x >> 9 & 1); k++) {
        if (x >> (24 + k) & 1)
            assert_int_equal(rmr_prefix_parse(rmr_bytes_str(route_names[k]),
                                              &routes[n.n_routes++]),
                             RMR_OK);
    }
    n.tags = tags;
    n.routes = routes;
    assert_int_equal(rmr_pol_net_put_node(net, &n), RMR_OK);
}

/* ---- all that is answered ------------------------------------------------ */

typedef struct answers { /* of one node */
    char text[ROOM];
    size_t len;
} answers;

static bool add_attr(void *user, rmr_bytes name)
{
    answers *x = user;
    memcpy(x->text + x->len, name.ptr, name.len);
    x->len += name.len;
    return true;
}

static bool add_peer(void *user, uint64_t id)
{
    answers *x = user;
    x->len = put(x->text, x->len, " %u", (unsigned)id);
    return true;
}

static void add_routes(rmr_pol_net *net, uint64_t id, answers *x)
{
    for (uint64_t of = 1; of <= IDS; of++) {
        for (uint32_t k = 0; k < ROUTES; k++) {
            rmr_prefix p;
            rmr_pol_route may;
            assert_int_equal(
                rmr_prefix_parse(rmr_bytes_str(route_names[k]), &p), RMR_OK);
            if (of != id && rmr_pol_may_route(net, id, of, &p, &may) == RMR_OK)
                x->len = put(x->text, x->len, " %u/%u=%d", (unsigned)of, k,
                             (int)may);
        }
    }
}

static void ask(rmr_pol_net *net, uint64_t id, answers *x)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(x->text, ROOM));
    rmr_jw_array(&w);
    assert_int_equal(rmr_pol_write_filter(net, id, &w), RMR_OK);
    assert_int_equal(rmr_pol_write_ssh(net, id, rmr_bytes_str("http://c"), &w),
                     RMR_OK);
    rmr_jw_array_end(&w);
    assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
    x->len = len;
    assert_int_equal(rmr_pol_each_attr(net, id, add_attr, x), RMR_OK);
    assert_int_equal(rmr_pol_each_peer(net, id, add_peer, x), RMR_OK);
    add_routes(net, id, x);
}

static answers before[IDS + 1], behind[IDS + 1];

static void ask_all(rmr_pol_net *net, answers *x)
{
    for (uint64_t id = 1; id <= IDS; id++)
        ask(net, id, &x[id]);
}

/* ---- one change after the other ------------------------------------------ */

typedef struct told {
    uint32_t whom, twice;
} told;

static bool note(void *user, void *own)
{
    told *t = user;
    uint32_t bit = (uint32_t)1 << (uintptr_t)own;
    t->twice |= t->whom & bit;
    t->whom |= bit;
    return true;
}

typedef struct tally {
    uint32_t told, spared, other;
} tally;

static void compare(const told *t, tally *sum)
{
    assert_int_equal(t->twice, 0);
    for (uint32_t id = 1; id <= IDS; id++) {
        bool same =
            before[id].len == behind[id].len &&
            memcmp(before[id].text, behind[id].text, before[id].len) == 0;
        bool is_told = t->whom >> id & 1;
        assert_true(same || is_told);
        sum->told += is_told;
        sum->spared += !is_told;
        sum->other += !same;
    }
}

/* Two tables of the same nodes: one is asked all the time, what the other knows
 * is as old as can be. */
typedef struct world {
    test_alloc heap;
    rmr_alloc a;
    test_rng r;
    rmr_pol_net *net, *asked;
    document d;
} world;

static void put_both(world *w, uint64_t id)
{
    test_rng same = w->r;
    put_node(w->net, &w->r, id);
    put_node(w->asked, &same, id);
}

static void world_new(world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->a = test_alloc_table(&w->heap);
    test_rng_seed(&w->r, seed);
    assert_int_equal(rmr_pol_net_new(&w->net, &w->a), RMR_OK);
    assert_int_equal(rmr_pol_net_new(&w->asked, &w->a), RMR_OK);
    put_users(w->net);
    put_users(w->asked);
    for (uint64_t id = 1; id <= IDS; id++)
        put_both(w, id);
}

static void world_free(world *w)
{
    rmr_pol_net_free(w->net);
    rmr_pol_net_free(w->asked);
    assert_int_equal(w->heap.live_bytes, 0);
}

/* Another document that is a policy. */
static rmr_pol *another(world *w, rmr_pol **twin)
{
    rmr_pol *pol;
    do {
        for (uint64_t k = test_rng_u64(&w->r) % 4; k-- > 2;)
            mutate(&w->d, &w->r);
        mutate(&w->d, &w->r);
    } while (!parse(&w->d, &w->a, &pol));
    assert_true(parse(&w->d, &w->a, twin));
    return pol;
}

static void whom_it_does_not_concern_is_not_told(void **state)
{
    world w;
    tally sum = {0};
    (void)state;
    world_new(&w, 71);
    for (int i = 0; i < 1500; i++) {
        rmr_pol *twin, *pol = another(&w, &twin);
        told t = {0, 0};
        if (i % 2)
            put_both(&w, 1 + test_rng_u64(&w.r) % IDS);
        ask_all(w.asked, before);
        assert_int_equal(rmr_pol_net_change(w.net, pol, note, &t), RMR_OK);
        assert_int_equal(rmr_pol_net_set(w.asked, twin), RMR_OK);
        ask_all(i % 4 ? w.asked : w.net, behind);
        compare(&t, &sum);
    }
    assert_true(sum.spared > sum.told / 2 && sum.other > sum.told / 4);
    world_free(&w);
}

static bool only_one(void *user, void *own)
{
    (void)own;
    ++*(int *)user;
    return false;
}

static void who_wants_no_more_is_told_of_no_more(void **state)
{
    world w;
    rmr_pol *pol;
    int n = 0;
    (void)state;
    world_new(&w, 3);
    assert_int_equal(rmr_pol_parse(&pol, &w.a, rmr_bytes_str("{}"), NULL),
                     RMR_OK);
    assert_int_equal(rmr_pol_net_change(w.net, pol, only_one, &n), RMR_OK);
    assert_int_equal(n, 1);
    world_free(&w);
}

/* Where it can't be found out, all are told. */
static void without_memory_nothing_changes_or_all_are_told(void **state)
{
    world w;
    tally sum = {0};
    int refused = 0, all = 0;
    (void)state;
    world_new(&w, 5);
    for (int i = 0; i < 60; i++) {
        rmr_pol *twin, *pol = another(&w, &twin);
        rmr_err e = RMR_E_NOMEM;
        put_both(&w, 1 + test_rng_u64(&w.r) % IDS);
        ask_all(w.asked, before);
        for (size_t n = 1; e != RMR_OK; n++) {
            told t = {0, 0};
            w.heap.fail_at = w.heap.calls + n;
            e = rmr_pol_net_change(w.net, pol, note, &t);
            w.heap.fail_at = 0;
            if (e != RMR_OK) {
                assert_int_equal(e, RMR_E_NOMEM);
                assert_int_equal(t.whom, 0);
                refused++;
                continue;
            }
            ask_all(w.net, behind);
            compare(&t, &sum);
            all += t.whom == ((uint32_t)2 << IDS) - 2;
        }
        assert_int_equal(rmr_pol_net_set(w.asked, twin), RMR_OK);
    }
    assert_true(refused > 100 && all > 20);
    world_free(&w);
}

/* ---- what is kept of autogroup:self -------------------------------------- */

static void put_one(rmr_pol_net *net, uint64_t id, uint64_t user, uint8_t at)
{
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    n.id = id;
    n.user_id = user;
    n.v4 = rmr_addr_v4(100, 64, 0, at, 0);
    assert_int_equal(rmr_pol_net_put_node(net, &n), RMR_OK);
}

static rmr_pol_net *two_users(const rmr_alloc *a, const char *policy)
{
    rmr_pol_net *net;
    rmr_pol *pol;
    assert_int_equal(rmr_pol_net_new(&net, a), RMR_OK);
    put_users(net);
    assert_int_equal(rmr_pol_parse(&pol, a, rmr_bytes_str(policy), NULL),
                     RMR_OK);
    assert_int_equal(rmr_pol_net_set(net, pol), RMR_OK);
    put_one(net, 1, 1, 1);
    put_one(net, 2, 1, 3);
    for (uint8_t i = 0; i < 40; i++)
        put_one(net, 10 + i, 2, (uint8_t)(10 + 2 * i));
    return net;
}

static void a_user_is_asked_again_when_a_name_is_anothers(void **state)
{
    test_alloc heap = {0};
    rmr_alloc a = test_alloc_table(&heap);
    (void)state;
    rmr_pol_net *net =
        two_users(&a, "{\"acls\":[{\"action\":\"accept\",\"src\":[\"u0@\"],"
                      "\"dst\":[\"autogroup:self:22\"]}]}");
    ask(net, 1, &before[0]);
    assert_int_equal(rmr_pol_net_del_user(net, 1), RMR_OK);
    ask(net, 1, &behind[0]);
    assert_memory_equal(behind[0].text, "[[],", 4);
    put_users(net);
    ask(net, 1, &behind[0]);
    assert_int_equal(behind[0].len, before[0].len);
    assert_memory_equal(behind[0].text, before[0].text, before[0].len);
    rmr_pol_net_free(net);
    assert_int_equal(heap.live_bytes, 0);
}

/* \return what the other user's filter came to where that allocation fails. */
static rmr_err fail_between(size_t at)
{
    test_alloc heap = {0};
    rmr_alloc a = test_alloc_table(&heap);
    char room[ROOM];
    rmr_jw w;
    rmr_pol_net *net = two_users(&a, RMR_POL_ISOLATED);
    ask(net, 1, &before[0]);
    rmr_jw_init(&w, rmr_buf_of(room, sizeof room));
    heap.fail_at = heap.calls + at;
    rmr_err e = rmr_pol_write_filter(net, 10, &w);
    heap.fail_at = 0;
    ask(net, 1, &behind[0]);
    assert_int_equal(behind[0].len, before[0].len);
    assert_memory_equal(behind[0].text, before[0].text, before[0].len);
    rmr_pol_net_free(net);
    assert_int_equal(heap.live_bytes, 0);
    return e;
}

static void what_found_no_memory_is_not_kept(void **state)
{
    size_t n = 1;
    rmr_err e;
    (void)state;
    while ((e = fail_between(n)) != RMR_OK) {
        assert_int_equal(e, RMR_E_NOMEM);
        n++;
    }
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whom_it_does_not_concern_is_not_told),
        cmocka_unit_test(who_wants_no_more_is_told_of_no_more),
        cmocka_unit_test(without_memory_nothing_changes_or_all_are_told),
        cmocka_unit_test(a_user_is_asked_again_when_a_name_is_anothers),
        cmocka_unit_test(what_found_no_memory_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
