/* What applications read of the netmap: DNS, capabilities, tags, services,
 * whois, grants, users, messages. */
#include "nm_fixture.h"

#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static const char *addr_text(const rmr_addr *a)
{
    static char text[RMR_ADDR_TEXT_MAX];
    return rmr_addr_text(a, text);
}

/* The table of a saved and read netmap; it must save to the same again. */
static rmr_nm *copy_of(const rmr_nm *nm, nm_seen *s)
{
    char *one = nm_dump(nm, NULL);
    rmr_nm *copy = nm_make(s, NULL, NULL);
    (void)nm_frame(s, one);
    char *two = nm_dump(copy, NULL);
    assert_string_equal(one, two);
    free(one);
    free(two);
    return copy;
}

/* ---- DNS -------------------------------------------------------------- */

static const char dns_frame[] =
    "{\"DNSConfig\":{"
    "\"Routes\":{\"Corp.Example.\":[{\"Addr\":\"10.0.0.1\"},{\"Addr\":"
    "\"[fd00::1]:5353\",\"UseWithExitNode\":true}],\"own.example\":[],"
    "\"b.corp.example\":null,\"64.100.in-addr.arpa\":null},"
    "\"Resolvers\":[{\"Addr\":\"https://dns.example/q\","
    "\"BootstrapResolution\":[\"9.9.9.9\",\"2620:fe::fe\"]},{\"Addr\":"
    "\"8.8.8.8\"}],"
    "\"FallbackResolvers\":[{\"Addr\":\"http://100.64.0.9:8080/dns-query\"},"
    "{\"Addr\":\"tls://x\"},{}],"
    "\"Domains\":[\"Tail.Example.\",\"x.example\"],\"Proxied\":true,"
    "\"ExtraRecords\":[{\"Name\":\"A.b.\",\"Value\":\"1.2.3.4\"},{\"Name\":"
    "\"six.b\",\"Type\":\"AAAA\",\"Value\":\"fd00::5\"},{\"Name\":\"t.b\","
    "\"Type\":\"TXT\",\"Value\":\"x\"},{\"Name\":\"bad.b\",\"Value\":\"y\"}],"
    "\"CertDomains\":[\"n.ts.net\"],\"ExitNodeFilteredSet\":[\".corp\"],"
    "\"Nameservers\":[\"1.1.1.1\"],\"New\":{\"x\":[{}]}}}";

static void check_dns(const rmr_nm *nm)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    assert_true(c->proxied && rmr_nm_magic_dns_enabled(nm));
    assert_int_equal(c->n_resolvers, 2);
    assert_int_equal(c->resolvers[0].kind, RMR_NM_RESOLVER_HTTPS);
    assert_string_equal(c->resolvers[0].text, "https://dns.example/q");
    assert_int_equal(c->resolvers[0].n_bootstrap, 2);
    assert_string_equal(addr_text(&c->resolvers[0].bootstrap[1]),
                        "[2620:fe::fe]:0");
    assert_int_equal(c->resolvers[1].kind, RMR_NM_RESOLVER_DNS);
    assert_string_equal(addr_text(&c->resolvers[1].addr), "8.8.8.8:53");
    assert_int_equal(c->n_fallback, 2);
    assert_int_equal(c->fallback[0].kind, RMR_NM_RESOLVER_HTTP);
    assert_string_equal(addr_text(&c->fallback[0].addr), "100.64.0.9:8080");
    assert_int_equal(c->fallback[1].kind, RMR_NM_RESOLVER_OTHER);
    assert_int_equal(c->fallback[1].addr.family, RMR_AF_NONE);
    assert_int_equal(c->n_routes, 4);
    assert_string_equal(c->routes[0].suffix, "64.100.in-addr.arpa");
    assert_string_equal(c->routes[1].suffix, "b.corp.example");
    assert_int_equal(c->routes[1].n_resolvers, 0);
    assert_string_equal(c->routes[2].suffix, "corp.example");
    assert_int_equal(c->routes[2].n_resolvers, 2);
    assert_string_equal(addr_text(&c->routes[2].resolvers[1].addr),
                        "[fd00::1]:5353");
    assert_true(c->routes[2].resolvers[1].with_exit_node);
    assert_false(c->routes[2].resolvers[0].with_exit_node);
    assert_int_equal(c->routes[3].n_resolvers, 0);
    assert_int_equal(c->n_domains, 2);
    assert_string_equal(c->domains[0], "tail.example");
    assert_string_equal(rmr_nm_dns_domain_at(nm, 1), "x.example");
    assert_null(rmr_nm_dns_domain_at(nm, 2));
    assert_int_equal(c->n_records, 2);
    assert_string_equal(c->records[0].name, "a.b");
    assert_string_equal(addr_text(&c->records[0].addr), "1.2.3.4:0");
    assert_string_equal(addr_text(&c->records[1].addr), "[fd00::5]:0");
    assert_int_equal(c->n_cert_domains, 1);
    assert_int_equal(c->n_exit_filtered, 1);
    assert_string_equal(c->exit_filtered[0], ".corp");
}

static void dns_is_read_whole_and_kept(void **state)
{
    (void)state;
    nm_seen s, s2;
    test_alloc a = {0};
    rmr_nm_stats st;
    rmr_nm *nm = nm_make(&s, &a, NULL);
    assert_int_equal(rmr_nm_dns(nm)->n_resolvers, 0);
    assert_string_equal(nm_frame(&s, dns_frame), "[N]");
    check_dns(nm);
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 2); /* a resolver, bad.b */
    assert_string_equal(nm_frame(&s, dns_frame), "[]");
    rmr_nm *copy = copy_of(nm, &s2);
    check_dns(copy);
    rmr_nm_free(copy);
    assert_string_equal(nm_frame(&s, "{\"DNSConfig\":null}"), "[]");
    check_dns(nm);
    /* Cut off: the old one stays. */
    (void)nm_frame(&s, "{\"DNSConfig\":{\"Resolvers\":[{\"Addr\":\"1.1.1.1\"");
    check_dns(nm);
    /* It is replaced whole. */
    assert_string_equal(nm_frame(&s, "{\"DNSConfig\":{\"Domains\":[\"q\"]}}"),
                        "[N]");
    assert_int_equal(rmr_nm_dns(nm)->n_routes, 0);
    assert_false(rmr_nm_dns(nm)->proxied);
    assert_int_equal(rmr_nm_dns(nm)->n_domains, 1);
    /* A new stream that does not speak of it has none. */
    rmr_nm_stream_begin(nm);
    assert_string_equal(nm_frame(&s, "{" SELF "}"), "[SN]");
    assert_int_equal(rmr_nm_dns(nm)->n_domains, 0);
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

static void the_longest_route_takes_a_name(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_null(rmr_nm_dns_route_of(nm, "a"));
    (void)nm_frame(&s, dns_frame);
    static const char *const cases[][2] = {
        {"corp.example", "corp.example"},
        {"X.Corp.Example.", "corp.example"},
        {"b.corp.example", "b.corp.example"},
        {"z.b.corp.example", "b.corp.example"},
        {"xcorp.example", ""},
        {"example", ""},
        {"", ""},
        {"own.example", "own.example"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rmr_nm_dns_route *r = rmr_nm_dns_route_of(nm, cases[i][0]);
        assert_string_equal(r ? r->suffix : "", cases[i][1]);
    }
    (void)nm_frame(&s, "{\"DNSConfig\":{\"Routes\":{\".\":[{\"Addr\":"
                       "\"1.1.1.1\"}]}}}");
    assert_string_equal(rmr_nm_dns_route_of(nm, "any.name")->suffix, "");
    rmr_nm_free(nm);
}

static void a_member_of_dns_that_comes_twice_counts_as_the_last(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{\"DNSConfig\":{\"Resolvers\":[{\"Addr\":\"1.1.1.1\"}],"
                       "\"Routes\":{\"a\":[{\"Addr\":\"2.2.2.2\"}],\"A.\":[{"
                       "\"Addr\":\"3.3.3.3\"},7,[]]},\"Resolvers\":[{\"Addr\":"
                       "\"4.4.4.4\"},{\"Addr\":\"5.5.5.5\"}]}}");
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    assert_int_equal(c->n_resolvers, 2);
    assert_string_equal(c->resolvers[1].text, "5.5.5.5");
    assert_int_equal(c->n_routes, 1);
    assert_string_equal(c->routes[0].resolvers[0].text, "3.3.3.3");
    rmr_nm_free(nm);
}

/* ---- nodes ------------------------------------------------------------ */

static const char node_frame[] =
    "{\"Node\":{\"ID\":99,\"Name\":\"me.ex.com.\",\"Key\":" KEY(
        "99") ",\"Addresses\":[\"100.64.0.5/32\",\"fd7a::5/128\"],\"User\":1,"
              "\"CapMap\":{\"tailnet-display-name\":[\"Our \\\"Net\\\"\"],"
              "\"plain\":null,\"empty\":[],\"deep\":[{\"a\":[1,[2.5e3,true],"
              "{\"b\":null}]},\"x\"],\"odd\":{\"no\":\"array\"},\"odder\":5}},"
              "\"Peers\":[{\"ID\":1,\"Key\":" KEY(
                  "01") ",\"Addresses\":[\"100.64.0.1/32\",\"fd7a::1/128\"],"
                        "\"User\":7,\"Tags\":[\"tag:web\",\"tag:db\"],"
                        "\"Capabilities\":[\"old\",\"deep\"],\"CapMap\":{"
                        "\"deep\":[7]},\"Hostinfo\":{\"Services\":[{\"Proto\":"
                        "\"peerapi4\",\"Port\":1234,\"Description\":\"d\"},{"
                        "\"Proto\":\"new\",\"Port\":1},{\"Proto\":"
                        "\"peerapi-dns-proxy\",\"Port\":1},{\"Port\":80,"
                        "\"Proto\":\"tcp\"}],\"OS\":\"linux\"}}],"
                        "\"UserProfiles\":[{\"ID\":7,\"LoginName\":\"eve@x\","
                        "\"DisplayName\":\"Eve\",\"ProfilePicURL\":"
                        "\"https://p/e\",\"Groups\":[\"group:a\",\"group:b\"]}]"
                        "}";

static void check_nodes(const rmr_nm *nm)
{
    rmr_nm_node n;
    rmr_nm_cap c;
    rmr_nm_user u;
    assert_true(rmr_nm_self(nm, &n));
    assert_int_equal(n.n_tags, 0);
    assert_null(rmr_nm_tag_at(&n, 0));
    assert_int_equal(n.n_caps, 6);
    assert_string_equal(rmr_nm_cap_values(nm, 99, "tailnet-display-name"),
                        "[\"Our \\\"Net\\\"\"]");
    assert_string_equal(rmr_nm_cap_values(nm, 99, "plain"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 99, "empty"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 99, "odd"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 99, "deep"),
                        "[{\"a\":[1,[2.5e3,true],{\"b\":null}]},\"x\"]");
    assert_null(rmr_nm_cap_values(nm, 99, "old"));
    assert_null(rmr_nm_cap_values(nm, 98, "deep"));
    assert_true(rmr_nm_cap_at(nm, 99, 5, &c));
    assert_string_equal(c.name, "odder");
    assert_false(rmr_nm_cap_at(nm, 99, 6, &c));
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.n_tags, 2);
    assert_string_equal(rmr_nm_tag_at(&n, 1), "tag:db");
    assert_null(rmr_nm_tag_at(&n, 2));
    assert_int_equal(n.n_caps, 2);
    assert_string_equal(rmr_nm_cap_values(nm, 1, "deep"), "[7]");
    assert_string_equal(rmr_nm_cap_values(nm, 1, "old"), "[]");
    assert_int_equal(n.n_services, 3);
    assert_int_equal(n.services[0].proto, RMR_NM_PROTO_PEERAPI4);
    assert_int_equal(n.services[0].port, 1234);
    assert_int_equal(n.services[1].proto, RMR_NM_PROTO_PEERAPI_DNS);
    assert_int_equal(n.services[2].proto, RMR_NM_PROTO_TCP);
    assert_int_equal(n.services[2].port, 80);
    assert_string_equal(n.os, "linux");
    assert_true(rmr_nm_user_profile(nm, 7, &u));
    assert_string_equal(u.picture, "https://p/e");
    assert_int_equal(u.n_groups, 2);
    assert_string_equal(rmr_nm_group_at(&u, 1), "group:b");
    assert_null(rmr_nm_group_at(&u, 2));
}

static void nodes_have_tags_services_and_capabilities_with_values(void **state)
{
    (void)state;
    nm_seen s, s2;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    rmr_nm_node n;
    assert_string_equal(nm_frame(&s, node_frame), "+1 [SPU]");
    check_nodes(nm);
    rmr_nm *copy = copy_of(nm, &s2);
    check_nodes(copy);
    rmr_nm_free(copy);
    assert_string_equal(nm_frame(&s, node_frame), "[]");
    /* A patch replaces the capabilities, and nothing else. */
    assert_string_equal(
        nm_frame(&s, "{\"PeersChangedPatch\":[{\"NodeID\":1,\"CapMap\":{"
                     "\"deep\":[8]}}]}"),
        "*1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.n_caps, 1);
    assert_string_equal(rmr_nm_cap_values(nm, 1, "deep"), "[8]");
    assert_int_equal(n.n_tags, 2);
    assert_int_equal(n.n_services, 3);
    assert_string_equal(nm_frame(&s, "{\"PeersChangedPatch\":[{\"NodeID\":1,"
                                     "\"Online\":true}]}"),
                        "*1 [P]");
    assert_string_equal(rmr_nm_cap_values(nm, 1, "deep"), "[8]");
    /* The groups of a user may change alone. */
    assert_string_equal(
        nm_frame(&s, "{\"UserProfiles\":[{\"ID\":7,\"LoginName\":\"eve@x\","
                     "\"DisplayName\":\"Eve\",\"ProfilePicURL\":"
                     "\"https://p/e\"}]}"),
        "[U]");
    rmr_nm_free(nm);
}

static void values_that_are_too_long_are_dropped_and_counted(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_stats st;
    static char text[60000];
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    size_t len = (size_t)sprintf(text, "{\"PeersChanged\":[{\"ID\":1,"
                                       "\"CapMap\":{\"big\":[");
    for (int i = 0; i < 900; i++)
        len += (size_t)sprintf(text + len, "\"abcdefg\",");
    len += (size_t)sprintf(text + len, "1],\"small\":[2]}}]}");
    (void)nm_frame(&s, text);
    assert_string_equal(rmr_nm_cap_values(nm, 1, "big"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 1, "small"), "[2]");
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 1);
    /* All values of a node together have a bound too. */
    len = (size_t)sprintf(text, "{\"PeersChanged\":[{\"ID\":1,\"CapMap\":{");
    for (int i = 0; i < 12; i++)
        len += (size_t)sprintf(text + len, "%s\"c%d\":[\"%03500d\"]",
                               i ? "," : "", i, i);
    len += (size_t)sprintf(text + len, "}}]}");
    (void)nm_frame(&s, text);
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 1 + 3);
    assert_string_equal(rmr_nm_cap_values(nm, 1, "c11"), "[]");
    assert_int_equal(strlen(rmr_nm_cap_values(nm, 1, "c8")), 3504);
    rmr_nm_free(nm);
}

/* Above what the reader holds: one absurd string does not end the frame. */
static void a_string_without_end_is_left_out(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm_stats st;
    rmr_nm_cap c;
    rmr_addr one = ip("100.64.0.1"), two = ip("100.64.0.5");
    uint64_t pos = 0;
    static char text[120000], is_long[9001];
    memset(is_long, 'a', sizeof is_long - 1);
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)sprintf(
        text,
        "{\"Health\":[\"%s\",\"h\"],\"DNSConfig\":{\"Routes\":{\"%s\":[{"
        "\"Addr\":\"1.1.1.1\"}],\"x\":[]}},\"PeersChanged\":[{\"ID\":1,"
        "\"StableID\":\"%s\",\"OS\":5,\"CapMap\":{\"v\":[{\"k\":[1,\"%s\"]"
        "},3],\"%s\":[1,{\"z\":2}],\"w\":[{\"%s\":[4]},5],\"ok\":[6]}}],"
        "\"PacketFilters\":{\"g\":[{\"SrcIPs\":[\"*\"],\"CapGrant\":[{"
        "\"Dsts\":[\"0.0.0.0/0\"],\"CapMap\":{\"bad\":[\"%s\"],\"good\":"
        "[1]}}]}]}}",
        is_long, is_long, is_long, is_long, is_long, is_long, is_long);
    assert_string_equal(nm_frame(&s, text), "+1 [PNFH]");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    assert_int_equal(rmr_nm_dns(nm)->n_routes, 1);
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(n.stable_id, "");
    assert_int_equal(n.n_caps, 3);
    assert_string_equal(rmr_nm_cap_values(nm, 1, "v"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 1, "w"), "[]");
    assert_string_equal(rmr_nm_cap_values(nm, 1, "ok"), "[6]");
    assert_true(rmr_nm_next_grant(nm, &pos, &one, &two, &c));
    assert_string_equal(c.name, "good");
    assert_false(rmr_nm_next_grant(nm, &pos, &one, &two, &c));
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 7);
    /* In a rule it does: without its protocol, say, it would open more. */
    (void)sprintf(text,
                  "{\"PacketFilters\":{\"r\":[{\"SrcIPs\":[\"*\"],"
                  "\"IPProto\":[1%0*d],\"DstPorts\":[{\"IP\":\"*\"}]}]}}",
                  9000, 1);
    assert_non_null(strstr(nm_frame(&s, text), "error"));
    (void)sprintf(text, "{\"PacketFilters\":{\"r\":[{\"SrcIPs\":[\"%s\"]}]}}",
                  is_long);
    assert_non_null(strstr(nm_frame(&s, text), "error"));
    assert_int_equal(nm_rules_count(nm), 0);
    rmr_nm_free(nm);
}

static void whois_names_node_and_user(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_who w;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    rmr_addr a = ip("100.64.0.1");
    assert_false(rmr_nm_whois(nm, &a, &w));
    (void)nm_frame(&s, node_frame);
    a.port = 555;
    assert_true(rmr_nm_whois(nm, &a, &w));
    assert_int_equal(w.node.id, 1);
    assert_false(w.is_self);
    assert_true(w.has_user);
    assert_string_equal(w.user.login, "eve@x");
    assert_string_equal(addr_text(&w.ours), "100.64.0.5:0");
    a = ip("fd7a::1");
    assert_true(rmr_nm_whois(nm, &a, &w));
    assert_string_equal(addr_text(&w.ours), "[fd7a::5]:0");
    a = ip("fd7a::5");
    assert_true(rmr_nm_whois(nm, &a, &w));
    assert_true(w.is_self);
    assert_false(w.has_user);
    assert_int_equal(w.node.id, 99);
    a = ip("100.64.0.2");
    assert_false(rmr_nm_whois(nm, &a, &w));
    rmr_nm_free(nm);
}

/* ---- grants ----------------------------------------------------------- */

/* What is granted from one address to another, as text. */
static const char *granted(const rmr_nm *nm, const char *from, const char *to)
{
    static char out[1024];
    rmr_addr f = ip(from), t = ip(to);
    rmr_nm_cap c;
    uint64_t pos = 0;
    out[0] = '\0';
    while (rmr_nm_next_grant(nm, &pos, &f, &t, &c)) {
        strcat(out, c.name);
        strcat(out, c.values);
        strcat(out, " ");
    }
    return out;
}

static const char grant_frame[] =
    "{" SELF ",\"Peers\":[" PEER("1", "01") ",{\"ID\":2,\"Key\":" KEY(
        "02") ",\"Addresses\":[\"100.64.0.2/32\"],\"AllowedIPs\":["
              "\"100.64.0.2/32\",\"10.0.0.0/8\"],\"CapMap\":{\"adm\":[]}}],"
              "\"PacketFilters\":{\"a\":["
              "{\"CapGrant\":[{\"CapMap\":{\"x.com/drive\":[{\"r\":1},2],"
              "\"x.com/none\":null},\"Dsts\":[\"100.64.0.5/32\"]},{\"Dsts\":"
              "[\"fd7a::99/64\",\"100.64.0.6/32\"],\"Caps\":[\"old\"]}],"
              "\"SrcIPs\":[\"100.64.0.1\",\"fd7a::/16\"]}," ALLOW(
                  "100.64.0.1") ",{\"SrcIPs\":[\"cap:adm\"],\"CapGrant\":[{"
                                "\"Dsts\":[\"0.0.0.0/0\"],\"CapMap\":{"
                                "\"x.com/drive\":[\"adm\"]}}]}],"
                                "\"b\":[{\"SrcIPs\":[\"*\"],\"CapGrant\":[{"
                                "\"Dsts\":[\"100.64.0.5/32\"],\"CapMap\":{"
                                "\"any\":[]}}]}]}}";

static void check_grants(rmr_nm *nm)
{
    assert_string_equal(granted(nm, "100.64.0.1", "100.64.0.5"),
                        "x.com/drive[{\"r\":1},2] x.com/none[] any[] ");
    assert_string_equal(granted(nm, "100.64.0.1", "100.64.0.6"), "old[] ");
    assert_string_equal(granted(nm, "fd7a::7", "fd7a::1"), "old[] ");
    assert_string_equal(granted(nm, "fd7a::7", "fd7a:0:0:1::1"), "");
    assert_string_equal(granted(nm, "100.64.0.2", "100.64.0.5"),
                        "x.com/drive[\"adm\"] any[] ");
    /* "cap:" means own addresses, not routes. */
    assert_string_equal(granted(nm, "10.0.0.1", "100.64.0.5"), "any[] ");
    assert_string_equal(granted(nm, "100.64.0.3", "100.64.0.7"), "");
    assert_int_equal(nm_rules_count(nm), 1); /* they open no port */
    assert_true(nm_passes(nm, 1, 6, 80));
    assert_false(nm_passes(nm, 2, 6, 80));
}

static void grants_hold_for_their_sources_and_destinations(void **state)
{
    (void)state;
    nm_seen s, s2;
    test_alloc a = {0};
    rmr_nm *nm = nm_make(&s, &a, NULL);
    rmr_addr from = ip("100.64.0.1"), to = ip("100.64.0.5");
    assert_string_equal(granted(nm, "100.64.0.1", "100.64.0.5"), "");
    (void)nm_frame(&s, grant_frame);
    check_grants(nm);
    assert_true(rmr_nm_is_granted(nm, &from, &to, "any"));
    assert_false(rmr_nm_is_granted(nm, &from, &to, "old"));
    rmr_nm *copy = copy_of(nm, &s2);
    check_grants(copy);
    rmr_nm_free(copy);
    assert_string_equal(nm_frame(&s, "{\"PacketFilters\":{\"a\":null}}"),
                        "[F]");
    assert_string_equal(granted(nm, "100.64.0.1", "100.64.0.5"), "any[] ");
    /* A filter that is not to be trusted grants nothing. */
    (void)nm_frame(&s, "{\"PacketFilters\":{\"z\":[{\"SrcBits\":[1]}]}}");
    assert_string_equal(granted(nm, "100.64.0.1", "100.64.0.5"), "");
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

/* ---- messages, requests ----------------------------------------------- */

static void messages_have_their_parts(void **state)
{
    (void)state;
    nm_seen s, s2;
    rmr_nm_message m;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(
        &s, "{\"Health\":[\"old\"],\"DisplayMessages\":{\"m\":{\"Title\":"
            "\"T\",\"Text\":\"x\",\"Severity\":\"high\","
            "\"ImpactsConnectivity\":true,\"PrimaryAction\":{\"URL\":"
            "\"https://a/\",\"Label\":\"Go\"}},\"n\":{\"Text\":\"y\","
            "\"Severity\":\"low\"}}}");
    rmr_nm *copy = copy_of(nm, &s2);
    for (int i = 0; i < 2; i++) {
        const rmr_nm *t = i ? copy : nm;
        assert_true(rmr_nm_message_at(t, 0, &m));
        assert_string_equal(m.id, "");
        assert_string_equal(m.text, "old");
        assert_true(rmr_nm_message_at(t, 1, &m));
        assert_string_equal(m.id, "m");
        assert_string_equal(m.title, "T");
        assert_string_equal(m.text, "x");
        assert_string_equal(m.action_url, "https://a/");
        assert_string_equal(m.action_label, "Go");
        assert_int_equal(m.severity, RMR_NM_SEVERITY_HIGH);
        assert_true(m.impacts_connectivity);
        assert_string_equal(rmr_nm_health_at(t, 1), "T: x");
        assert_true(rmr_nm_message_at(t, 2, &m));
        assert_int_equal(m.severity, RMR_NM_SEVERITY_LOW);
        assert_false(rmr_nm_message_at(t, 3, &m));
    }
    rmr_nm_free(copy);
    /* A part alone is a change; what is not said again is not so. */
    assert_string_equal(nm_frame(&s, "{\"DisplayMessages\":{\"n\":{\"Text\":"
                                     "\"y\",\"Severity\":\"high\"}}}"),
                        "[H]");
    assert_string_equal(nm_frame(&s, "{\"DisplayMessages\":{\"n\":{\"Text\":"
                                     "\"y\",\"Severity\":\"high\"}}}"),
                        "[]");
    (void)nm_frame(&s, "{\"DisplayMessages\":{\"m\":{\"Text\":\"z\"}}}");
    assert_true(rmr_nm_message_at(nm, 1, &m));
    assert_string_equal(m.title, "");
    assert_string_equal(m.action_url, "");
    assert_int_equal(m.severity, RMR_NM_SEVERITY_MEDIUM);
    rmr_nm_free(nm);
}

static void a_server_may_ask_for_silence(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    static const struct {
        const char *frame;
        uint32_t want;
    } cases[] = {{"{\"Debug\":{\"SleepSeconds\":2}}", 2},
                 {"{}", 0},
                 {"{\"Debug\":{\"SleepSeconds\":1.5,\"Exit\":1}}", 1},
                 {"{\"Debug\":{\"SleepSeconds\":86400}}", 300},
                 {"{\"Debug\":{\"SleepSeconds\":-1}}", 0},
                 {"{\"Debug\":{\"SleepSeconds\":\"x\"}}", 0},
                 {"{\"Debug\":null}", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)nm_frame(&s, cases[i].frame);
        assert_int_equal(rmr_nm_sleep_seconds(nm), cases[i].want);
    }
    rmr_nm_free(nm);
}

static void a_page_is_shown_once(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    const char *a = "{\"PopBrowserURL\":\"https://a/\"}";
    assert_string_equal(nm_frame(&s, a), "pop(https://a/)[]");
    assert_string_equal(nm_frame(&s, a), "[]");
    assert_string_equal(nm_frame(&s, "{\"PopBrowserURL\":\"https://b/\"}"),
                        "pop(https://b/)[]");
    rmr_nm_free(nm);
}

static void a_new_stream_forgets_users_that_it_does_not_tell(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_user u;
    test_alloc a = {0};
    rmr_nm *nm = nm_make(&s, &a, NULL);
#define USERS(x) ",\"UserProfiles\":[" x "]"
    (void)nm_frame(&s, "{" SELF USERS("{\"ID\":1},{\"ID\":2},{\"ID\":3}") "}");
    (void)nm_frame(&s, "{\"UserProfiles\":[{\"ID\":4}]}");
    assert_true(rmr_nm_user_profile(nm, 1, &u));
    rmr_nm_stream_begin(nm);
    /* Whatever stands first, the peers or the users. */
    assert_string_equal(
        nm_frame(&s,
                 "{" SELF USERS("{\"ID\":2},{\"ID\":3}") ",\"Peers\":[" PEER(
                     "1", "01") "]}"),
        "+1 [PU]");
    assert_false(rmr_nm_user_profile(nm, 1, &u));
    assert_true(rmr_nm_user_profile(nm, 2, &u));
    assert_true(rmr_nm_user_profile(nm, 3, &u));
    assert_false(rmr_nm_user_profile(nm, 4, &u));
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

/* ---- memory ----------------------------------------------------------- */

static void without_memory_views_stay_whole(void **state)
{
    (void)state;
    static const char *const frames[] = {node_frame, dns_frame, grant_frame};
    bool done = false;
    for (size_t n = 1; !done; n++) {
        test_alloc a = {0};
        nm_seen s;
        a.fail_at = n;
        rmr_nm *nm = nm_make(&s, &a, NULL);
        for (size_t i = 0; nm && i < 3; i++) {
            rmr_err e = nm_feed(nm, NM_NOW, rmr_bytes_str(frames[i]), 0);
            assert_true(e == RMR_OK || (e == RMR_E_NOMEM && a.failed));
            nm_check(nm);
        }
        done = !a.failed;
        a.fail_at = 0;
        if (nm) { /* again, with memory */
            for (size_t i = 0; i < 3; i++)
                assert_int_equal(
                    nm_feed(nm, NM_NOW, rmr_bytes_str(frames[i]), 0), RMR_OK);
            check_dns(nm);
            check_grants(nm);
        }
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
}

static void any_split_gives_the_same_views(void **state)
{
    (void)state;
    static const char *const frames[] = {node_frame, dns_frame, grant_frame};
    for (size_t piece = 1; piece < 40; piece += 3) {
        nm_seen s;
        rmr_nm *nm = nm_make(&s, NULL, NULL);
        for (size_t i = 0; i < 3; i++) {
            (void)nm_feed(nm, NM_NOW, rmr_bytes_str(frames[i]), piece);
            if (i == 0)
                check_nodes(nm);
        }
        check_dns(nm);
        check_grants(nm);
        rmr_nm_free(nm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dns_is_read_whole_and_kept),
        cmocka_unit_test(the_longest_route_takes_a_name),
        cmocka_unit_test(a_member_of_dns_that_comes_twice_counts_as_the_last),
        cmocka_unit_test(nodes_have_tags_services_and_capabilities_with_values),
        cmocka_unit_test(values_that_are_too_long_are_dropped_and_counted),
        cmocka_unit_test(a_string_without_end_is_left_out),
        cmocka_unit_test(whois_names_node_and_user),
        cmocka_unit_test(grants_hold_for_their_sources_and_destinations),
        cmocka_unit_test(messages_have_their_parts),
        cmocka_unit_test(a_server_may_ask_for_silence),
        cmocka_unit_test(a_page_is_shown_once),
        cmocka_unit_test(a_new_stream_forgets_users_that_it_does_not_tell),
        cmocka_unit_test(without_memory_views_stay_whole),
        cmocka_unit_test(any_split_gives_the_same_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
