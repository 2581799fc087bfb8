/* Names in the node: look-ups of the program, and whom a name is asked of by
 * the settings. */
#include "dns_pair.h"
#include "node_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/http1.h>
#include <string.h>

static dns_pair d;

static void the_program_resolves_names(void **state)
{
    (void)state;
    dp_start(&d);
    dp_resolve(&d, "node1.ex.com");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "Node1.EX.com.");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "node1");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "node0.ex.com");
    dp_expect_addr(&d, 1);
    dp_resolve(&d, "198.51.100.7");
    assert_int_equal(d.seen.addr.ip[0], 198);
    assert_int_equal(d.p.asked, 0);
    dp_set_routes(&d);
    dp_resolve(&d, "nobody.ex.com");
    assert_int_equal(d.seen.err, RMR_E_NOTFOUND);
    assert_int_equal(d.p.asked, 0);
    dp_resolve(&d, "db.record.example");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "db.corp.example");
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 2);    /* A and AAAA */
    dp_resolve(&d, "www.example.org"); /* nobody to ask */
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    uint64_t id;
    assert_int_equal(rmr_node_resolve(d.p.node[0].n, d.p.now, "a b",
                                      dp_on_resolved, &d, &id),
                     RMR_E_INVAL);
    dp_stop(&d);
}

static void a_resolver_of_the_tailnet_is_asked_through_the_tunnel(void **state)
{
    rmr_ns_stats before, after;
    (void)state;
    dp_start(&d);
    dp_set_routes(&d);
    rmr_ns_get_stats(d.p.node[1].n->ns, &before);
    dp_resolve(&d, "x.deep.example");
    assert_int_equal(d.seen.err, RMR_E_REFUSED); /* nobody listens there */
    rmr_ns_get_stats(d.p.node[1].n->ns, &after);
    assert_true(after.discard_no_socket >= before.discard_no_socket + 2);
    assert_int_equal(d.p.asked, 0);
    dp_stop(&d);
}

static void the_netmap_says_whom_to_ask(void **state)
{
    (void)state;
    dp_start(&d);
    d.p.dns = "{\"Proxied\":true,\"Domains\":[\"corp.example\"],"
              "\"Resolvers\":[{\"Addr\":\"https://dns.example/dns-query\"},"
              "{\"Addr\":\"192.0.2.1\"}],"
              "\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}],"
              "\"own.example.\":null,\"web.example\":[{\"Addr\":"
              "\"https://dns.example/dns-query\"}]},"
              "\"ExtraRecords\":[{\"Name\":\"db.record.example\","
              "\"Value\":\"100.64.0.2\"}]}";
    pair_feed_netmaps(&d.p);
    dp_resolve(&d, "db.record.example");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "x.own.example");
    assert_int_equal(d.seen.err, RMR_E_NOTFOUND);
    dp_resolve(&d, "nobody.ex.com");
    assert_int_equal(d.seen.err, RMR_E_NOTFOUND);
    dp_resolve(&d, "x.web.example"); /* HTTPS is not spoken */
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    assert_int_equal(d.p.asked, 0);
    dp_resolve(&d, "www.example.org");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "db"); /* a search domain */
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 4);
    d.p.dns = NULL;
    pair_feed_netmaps(&d.p);
    dp_resolve(&d, "www.example.org");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    assert_int_equal(d.p.asked, 4);
    dp_stop(&d);
}

/* ---- a table of cases: whom a name is asked of --------------------------- */

typedef struct config {
    const char *dns, *routes, *extra;
    bool accept;
    const char *exit;
} config;

#define ROUTES                                                                 \
    "\"Routes\":{\"a.example.\":[{\"Addr\":\"192.0.2.53\"}],"                  \
    "\"B.A.example\":[],\"null.example\":null,"                                \
    "\"web.example\":[{\"Addr\":\"https://dns.example/dns-query\"}],"          \
    "\"kept.example\":[{\"Addr\":\"192.0.2.5\","                               \
    "\"UseWithExitNode\":true}]}"
#define RECORDS                                                                \
    "\"ExtraRecords\":[{\"Name\":\"one.example\",\"Value\":\"10.0.0.1\"},"     \
    "{\"Name\":\"Two.example.\",\"Type\":\"AAAA\",\"Value\":\"fd00::1\"},"     \
    "{\"Name\":\"three.example\",\"Type\":\"TXT\",\"Value\":\"10.0.0.1\"}]"
#define RESOLVERS "\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}]"
#define FALLBACK "\"FallbackResolvers\":[{\"Addr\":\"192.0.2.2\"}]"

static const config configs[] = {
    /* 0: no settings */
    {NULL, NULL, NULL, true, ""},
    /* 1: names without MagicDNS */
    {"{" ROUTES "," RECORDS "}", NULL, NULL, true, ""},
    /* 2: all */
    {"{\"Proxied\":true," ROUTES "," RECORDS "," RESOLVERS "}", NULL, NULL,
     true, ""},
    /* 3: the same, not wanted */
    {"{\"Proxied\":true," ROUTES "," RECORDS "," RESOLVERS "}", NULL, NULL,
     false, ""},
    /* 4: the exit node answers */
    {"{\"Proxied\":true," ROUTES "," RECORDS "," RESOLVERS "}", DP_EXIT_ROUTES,
     DP_PEERAPI, true, "node1"},
    /* 5: it has a peerAPI that does not say it is new enough, but the service */
    {NULL, DP_EXIT_ROUTES,
     ",\"Cap\":25,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","
     "\"Port\":7000},{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}]}",
     true, "node1"},
    /* 6: too old */
    {NULL, DP_EXIT_ROUTES,
     ",\"Cap\":25,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","
     "\"Port\":7000}]}",
     true, "node1"},
    /* 7: new, but there is nothing to ask */
    {NULL, DP_EXIT_ROUTES, ",\"Cap\":138", true, "node1"},
    /* 8: neither: the fallback ones, through it */
    {"{" ROUTES "," FALLBACK "}", DP_EXIT_ROUTES, NULL, true, "node1"},
    /* 9: it is not there */
    {"{" ROUTES "}", NULL, NULL, true, "nobody"},
    /* 10: it is there, and the tailnet's DNS is not wanted */
    {"{" ROUTES "," RESOLVERS "}", DP_EXIT_ROUTES, DP_PEERAPI, false, "node1"},
};

static const struct {
    size_t config;
    const char *name;
    rmr_md_place want;
} cases[] = {
    {0, "node1.ex.com", RMR_MD_OWN},
    {0, "NODE1.ex.com.", RMR_MD_OWN},
    {0, "nobody.ex.com", RMR_MD_SYSTEM},
    {0, "9.9.100.100.in-addr.arpa", RMR_MD_SYSTEM},
    {0, "x.onion", RMR_MD_NOWHERE},
    {0, "www.example.org", RMR_MD_SYSTEM},
    {1, "node1.ex.com", RMR_MD_OWN},
    {1, "nobody.ex.com", RMR_MD_SYSTEM},
    {1, "x.a.example", RMR_MD_ROUTE},
    {1, "A.example.", RMR_MD_ROUTE},
    {1, "xa.example", RMR_MD_SYSTEM},
    {1, "x.b.a.example", RMR_MD_NOWHERE},
    {1, "null.example", RMR_MD_NOWHERE},
    {1, "x.web.example", RMR_MD_ROUTE},
    {1, "one.example", RMR_MD_OWN},
    {1, "two.example", RMR_MD_OWN},
    {1, "three.example", RMR_MD_SYSTEM},
    {2, "nobody.ex.com", RMR_MD_NOWHERE},
    {2, "9.9.64.100.in-addr.arpa", RMR_MD_NOWHERE},
    {2, "9.9.127.100.in-addr.arpa", RMR_MD_NOWHERE},
    {2, "9.9.63.100.in-addr.arpa", RMR_MD_RESOLVERS},
    {2, "9.9.128.100.in-addr.arpa", RMR_MD_RESOLVERS},
    {2, "0.0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa", RMR_MD_NOWHERE},
    {2, "x.a.example", RMR_MD_ROUTE},
    {2, "www.example.org", RMR_MD_RESOLVERS},
    {3, "node1.ex.com", RMR_MD_OWN},
    {3, "one.example", RMR_MD_OWN},
    {3, "nobody.ex.com", RMR_MD_SYSTEM},
    {3, "x.a.example", RMR_MD_SYSTEM},
    {3, "x.b.a.example", RMR_MD_SYSTEM},
    {3, "www.example.org", RMR_MD_SYSTEM},
    {4, "node1.ex.com", RMR_MD_OWN},
    {4, "one.example", RMR_MD_OWN},
    {4, "nobody.ex.com", RMR_MD_NOWHERE},
    {4, "x.a.example", RMR_MD_RESOLVERS},
    {4, "x.b.a.example", RMR_MD_NOWHERE},
    {4, "x.kept.example", RMR_MD_ROUTE},
    {4, "www.example.org", RMR_MD_RESOLVERS},
    {5, "www.example.org", RMR_MD_RESOLVERS},
    {6, "www.example.org", RMR_MD_SYSTEM},
    {7, "www.example.org", RMR_MD_SYSTEM},
    {8, "x.a.example", RMR_MD_ROUTE},
    {8, "www.example.org", RMR_MD_RESOLVERS},
    {9, "x.a.example", RMR_MD_ROUTE},
    {9, "www.example.org", RMR_MD_SYSTEM},
    {10, "x.a.example", RMR_MD_SYSTEM},
    {10, "www.example.org", RMR_MD_SYSTEM},
};

static void a_name_is_asked_where_the_settings_say(void **state)
{
    size_t set = SIZE_MAX;
    (void)state;
    dp_start(&d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const config *c = &configs[cases[i].config];
        if (set != cases[i].config) {
            set = cases[i].config;
            d.p.dns = c->dns;
            d.p.routes = c->routes;
            d.p.extra = c->extra;
            dp_set_prefs(&d, RMR_NODE_PREF_ACCEPT_DNS, c->accept, NULL);
            dp_set_prefs(&d, RMR_NODE_PREF_EXIT_NODE, true, c->exit);
            pair_feed_netmaps(&d.p);
        }
        rmr_md_place got = rmr_md_look(d.p.node[0].n->dns->md, cases[i].name);
        if (got != cases[i].want)
            fail_msg("settings %u: %s: %d, not %d", (unsigned)set,
                     cases[i].name, (int)got, (int)cases[i].want);
    }
    assert_int_equal(d.p.asked, 0);
    dp_stop(&d);
}

static void a_look_up_can_be_cancelled(void **state)
{
    uint64_t id;
    (void)state;
    dp_start(&d);
    dp_set_routes(&d);
    d.p.dns_silent = true;
    assert_int_equal(rmr_node_resolve(d.p.node[0].n, d.p.now, "a.corp.example",
                                      dp_on_resolved, &d, &id),
                     RMR_OK);
    pair_drain(&d.p, 0);
    rmr_node_resolve_cancel(d.p.node[0].n, id);
    pair_run(&d.p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.seen.answers, 0);
    dp_stop(&d);
}

static bool no_name(void *user, const char *name, rmr_md_host *out)
{
    (void)user;
    (void)name;
    (void)out;
    return false;
}
static bool no_addr(void *user, const rmr_addr *ip, char name[RMR_MD_NAME_MAX])
{
    (void)user;
    (void)ip;
    (void)name;
    return false;
}
static void no_client(void *user, uint64_t client, rmr_bytes msg)
{
    (void)user;
    (void)client;
    (void)msg;
}

/* The length of the answer by HTTP that these bytes are, cut behind each `step`. */
static size_t by_http(const char *text, size_t step)
{
    static rmr_node n;
    static nd_dns dns;
    test_alloc mem = {0};
    test_rng rng;
    rmr_md_callbacks none = {NULL, no_name, no_addr, no_client};
    nd_conn c;
    const uint8_t question[12] = {0};
    bool goes_on = true;
    test_rng_seed(&rng, 1);
    memset(&n, 0, sizeof n);
    memset(&dns, 0, sizeof dns);
    memset(&c, 0, sizeof c);
    n.env = test_env(&mem, &rng, NULL);
    n.dns = &dns;
    c.n = &n;
    assert_int_equal(rmr_md_new(&dns.md, &n.env, &none), RMR_OK);
    c.dns = rmri_node_dns_stream_new(&n, 100);
    assert_non_null(c.dns);
    c.dns->to = rmr_addr_v4(100, 64, 0, 2, 7000);
    assert_true(rmri_node_dns_http_ask(&c, rmr_bytes_of(question, 12)));
    for (size_t at = 0, len = strlen(text); goes_on && at < len; at += step)
        goes_on = rmri_node_dns_http_take(
            &c, 0,
            rmr_bytes_of((const uint8_t *)text + at,
                         len - at < step ? len - at : step));
    assert_false(goes_on);
    size_t got = c.http_answered ? c.dns->len : SIZE_MAX;
    rmr_h1_free(c.h1);
    rmr_release(&n.env.alloc, c.dns->in, c.dns->cap);
    rmr_release(&n.env.alloc, c.dns, sizeof *c.dns);
    rmr_md_free(dns.md);
    assert_int_equal(mem.live_blocks, 0);
    return got;
}

static void nothing_behind_an_answer_by_http_is_read(void **state)
{
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    (void)state;
    for (size_t step = 1; step < 90; step++) {
        assert_int_equal(by_http(ANSWER, step), 3);
        assert_int_equal(by_http(ANSWER ANSWER, step), 3);
        assert_int_equal(by_http(ANSWER "what is this?\r\n\r\n", step), 3);
        assert_int_equal(by_http("what is this?\r\n\r\n" ANSWER, step),
                         SIZE_MAX);
    }
#undef ANSWER
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_resolves_names),
        cmocka_unit_test(a_resolver_of_the_tailnet_is_asked_through_the_tunnel),
        cmocka_unit_test(the_netmap_says_whom_to_ask),
        cmocka_unit_test(a_name_is_asked_where_the_settings_say),
        cmocka_unit_test(a_look_up_can_be_cancelled),
        cmocka_unit_test(nothing_behind_an_answer_by_http_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
