/* Names in the node: the user's wish, resolvers in subnets and behind the
 * tunnel, exit nodes that answer. */
#include "dns_pair.h"
#include "node_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static dns_pair d;

static void
the_tailnets_settings_are_not_heeded_where_the_user_says_so(void **state)
{
    rmr_node_conn c;
    (void)state;
    dp_start(&d);
    d.p.dns = "{\"Proxied\":true,\"Domains\":[\"corp.example\"],"
              "\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}],"
              "\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}]},"
              "\"FallbackResolvers\":[{\"Addr\":\"192.0.2.2\"}],"
              "\"ExtraRecords\":[{\"Name\":\"db.record.example\","
              "\"Value\":\"100.64.0.2\"}]}";
    pair_feed_netmaps(&d.p);
    dp_set_prefs(&d, RMR_NODE_PREF_ACCEPT_DNS, false, NULL);
    dp_resolve(&d, "db.corp.example");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    dp_resolve(&d, "db");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    dp_resolve(&d, "www.example.org");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    dp_resolve(&d, "nobody.ex.com"); /* no zone of ours either */
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    assert_int_equal(rmr_node_dial(d.p.node[0].n, d.p.now, "db.corp.example",
                                   DP_SERVE_PORT, NULL, &c),
                     RMR_E_NOTFOUND);
    assert_int_equal(
        rmr_node_dial(d.p.node[0].n, d.p.now, "db", DP_SERVE_PORT, NULL, &c),
        RMR_E_NOTFOUND);
    assert_int_equal(d.p.asked, 0);
    /* Who the nodes are is the netmap's word, not a setting. */
    dp_resolve(&d, "node1.ex.com");
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "db.record.example");
    dp_expect_addr(&d, 2);
    dp_set_prefs(&d, RMR_NODE_PREF_ACCEPT_DNS, true, NULL);
    dp_resolve(&d, "db.corp.example");
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 2);
    dp_stop(&d);
}

/* A tunnel that is there, so that no try waits for it. */
static void open_tunnel(void)
{
    rmr_node_conn c;
    int closed = d.seen.closed;
    assert_int_equal(
        rmr_node_dial(d.p.node[0].n, d.p.now, "node1", 9, NULL, &c), RMR_OK);
    pair_drain(&d.p, 0);
    pair_run(&d.p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.seen.closed, closed + 1); /* refused */
}

static void a_resolver_in_a_subnet_is_asked_through_its_router(void **state)
{
    (void)state;
    dp_start(&d);
    d.p.routes = ",\"10.9.0.0/24\"";
    d.p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"10.9.0.53\"}]}}";
    pair_feed_netmaps(&d.p);
    dp_resolve(&d, "db.corp.example");
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 2);
    assert_int_equal(d.p.node[1].n->routed_udp, 0);
    dp_set_prefs(&d, RMR_NODE_PREF_ACCEPT_ROUTES, true, NULL);
    open_tunnel();
    dp_resolve(&d, "db.corp.example");
    dp_expect_addr(&d, 2); /* who answers is the resolver beyond the router */
    assert_int_equal(d.p.asked, 4);
    assert_true(d.p.node[1].n->routed_udp >= 1);
    dp_stop(&d);
}

/* The exit node's program hears a question; its connection, and the message. */
static pair_conn *heard(rmr_bytes *msg, uint8_t *got, size_t cap)
{
    static const char want[] = "POST /dns-query HTTP/1.1\r\n"
                               "Host: 100.64.0.2:7000\r\n"
                               "Content-Type: application/dns-message\r\n";
    size_t len = 0;
    pair_conn *far = NULL;
    for (int i = 0; i < 300 && !far; i++) {
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        far = pair_accepted(&d.p, 7000);
    }
    assert_non_null(far);
    for (int i = 0; i < 20; i++) {
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        len += pair_read(far, got + len, cap - 1 - len);
    }
    got[len] = 0;
    assert_memory_equal(got, want, sizeof want - 1);
    const char *end = strstr((const char *)got, "\r\n\r\n");
    assert_non_null(end);
    size_t head = (size_t)(end + 4 - (const char *)got);
    char length[40];
    snprintf(length, sizeof length, "Content-Length: %u\r\n",
             (unsigned)(len - head));
    assert_non_null(strstr((const char *)got, length));
    *msg = rmr_bytes_of(got + head, len - head);
    return far;
}

/* The answer to a question: 100.64.0.2 or, of AAAA, nothing; its length. */
static size_t answer_to(rmr_bytes q, uint8_t *dst)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0,   1,  0, 0,
                                     0,    60, 0, 4, 100, 64, 0, 2};
    size_t len = q.len - 11; /* without EDNS */
    bool is_a = q.ptr[len - 3] == 1;
    memcpy(dst, q.ptr, len);
    dst[2] = 0x81;
    dst[3] = 0x80;
    dst[7] = is_a;
    dst[11] = 0;
    if (is_a)
        memcpy(dst + len, record, sizeof record);
    return len + (is_a ? sizeof record : 0);
}

static void write_bytewise(pair_conn *far, const uint8_t *p8, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(pair_write(far, p8 + i, 1), 1);
        pair_run(&d.p, RMR_MS, NULL, NULL);
    }
}

static void answer_by_http(pair_conn *far, rmr_bytes q)
{
    uint8_t msg[512], all[700];
    size_t len = answer_to(q, msg);
    size_t at = (size_t)snprintf((char *)all, sizeof all,
                                 "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n"
                                 "\r\n",
                                 (unsigned)len);
    memcpy(all + at, msg, len);
    write_bytewise(far, all, at + len);
}

/* By TCP, at port 53 of what the node or its router dials. */
static void answer_by_tcp(void)
{
    uint8_t got[512], all[512];
    size_t len = 0;
    pair_conn *far = NULL;
    for (int i = 0; i < 300 && !far; i++) {
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        far = pair_accepted(&d.p, 53);
    }
    assert_non_null(far);
    for (int i = 0; i < 20; i++) {
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        len += pair_read(far, got + len, sizeof got - len);
    }
    assert_true(len > 14);
    assert_int_equal(got[0] << 8 | got[1], len - 2);
    size_t n = answer_to(rmr_bytes_of(got + 2, len - 2), all + 2);
    all[0] = (uint8_t)(n >> 8);
    all[1] = (uint8_t)n;
    write_bytewise(far, all, n + 2);
    pair_close(far);
}

static void a_cut_answer_is_asked_by_tcp_on_the_same_way(void **state)
{
    uint64_t id;
    (void)state;
    dp_start(&d);
    d.p.dns_cut = d.p.dns_tcp = true;
    d.p.routes = ",\"10.9.0.0/24\"";
    d.p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"10.9.0.53\"}]}}";
    pair_feed_netmaps(&d.p);
    for (size_t inside = 0; inside < 2; inside++) {
        if (inside) {
            dp_set_prefs(&d, RMR_NODE_PREF_ACCEPT_ROUTES, true, NULL);
            open_tunnel();
        }
        dp_begin(&d, "db.corp.example", &id);
        answer_by_tcp();
        answer_by_tcp();
        pair_run(&d.p, RMR_SEC, dp_is_answered, &d);
        dp_expect_addr(&d, 2);
        assert_int_equal(d.p.node[1].n->routed_tcp, 2 * inside);
    }
    pair_run(&d.p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.p.node[0].n->dns->n_asked, 0);
    dp_stop(&d);
}

static void a_resolver_that_refuses_tcp_is_no_answer(void **state)
{
    uint64_t id;
    (void)state;
    dp_start(&d);
    d.p.dns_cut = true;
    d.p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}]}}";
    pair_feed_netmaps(&d.p);
    dp_begin(&d, "db.corp.example", &id);
    pair_run(&d.p, 20 * RMR_SEC, dp_is_answered, &d);
    assert_int_equal(d.seen.answers, 1);
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    assert_int_equal(d.p.asked, 8); /* two questions, four tries */
    dp_stop(&d);
}

static void use_exit(const char *dns, const char *extra)
{
    dp_start(&d);
    d.p.routes = DP_EXIT_ROUTES;
    d.p.extra = extra;
    d.p.dns = dns;
    dp_set_prefs(&d, RMR_NODE_PREF_EXIT_NODE, true, "node1");
    pair_feed_netmaps(&d.p);
    open_tunnel();
}

static void an_exit_node_answers_for_its_users(void **state)
{
    static uint8_t got[2048];
    uint64_t id;
    rmr_bytes q;
    (void)state;
    use_exit("{\"Proxied\":true,\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}],"
             "\"Routes\":{\"corp.example\":[{\"Addr\":\"192.0.2.53\"}],"
             "\"own.example\":[],\"kept.example\":[{\"Addr\":"
             "\"100.64.0.2:9\",\"UseWithExitNode\":true}]}}",
             DP_PEERAPI);
    dp_resolve(&d, "node1.ex.com"); /* ours are ours */
    dp_expect_addr(&d, 2);
    dp_resolve(&d, "x.own.example");
    assert_int_equal(d.seen.err, RMR_E_NOTFOUND);
    dp_begin(&d, "db.corp.example", &id);
    for (int i = 0; i < 2; i++) {
        pair_conn *far = heard(&q, got, sizeof got);
        answer_by_http(far, q);
        pair_close(far);
    }
    pair_run(&d.p, RMR_SEC, dp_is_answered, &d);
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 0);
    rmr_md_stats st;
    rmr_md_get_stats(d.p.node[0].n->dns->md, &st);
    assert_int_equal(st.by_tcp, 2);
    /* What is marked goes its own way. */
    dp_resolve(&d, "x.kept.example");
    assert_int_equal(d.seen.err, RMR_E_REFUSED); /* nobody listens there */
    rmr_md_get_stats(d.p.node[0].n->dns->md, &st);
    assert_int_equal(st.by_tcp, 2);
    pair_run(&d.p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.p.node[0].n->dns->n_asked, 0);
    dp_stop(&d);
}

/* A program that asks for much at once: what has no place waits for one. */
static void questions_beyond_the_streams_wait(void **state)
{
    enum { N = ND_DNS_ASKED };
    static uint8_t got[2048];
    uint64_t id;
    char name[32];
    rmr_bytes q;
    (void)state;
    use_exit(NULL, DP_PEERAPI);
    for (int i = 0; i < N; i++) { /* two questions each */
        snprintf(name, sizeof name, "w%d.example.org", i);
        dp_begin(&d, name, &id);
    }
    assert_int_equal(d.p.node[0].n->dns->n_asked, ND_DNS_ASKED);
    d.seen.answers = 0;
    for (int i = 0; i < 2 * N; i++) {
        pair_conn *far = heard(&q, got, sizeof got);
        uint8_t msg[512], all[700];
        size_t len = answer_to(q, msg);
        size_t at = (size_t)snprintf(
            (char *)all, sizeof all,
            "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", (unsigned)len);
        memcpy(all + at, msg, len);
        pair_write(far, all, at + len);
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        assert_true(d.p.node[0].n->dns->n_asked <= ND_DNS_ASKED);
        pair_close(far);
    }
    pair_run(&d.p, RMR_SEC, NULL, NULL);
    assert_int_equal(d.seen.answers, N);
    dp_expect_addr(&d, 2);
    dp_stop(&d);
}

static void what_an_exit_node_says_amiss_is_no_answer(void **state)
{
    static const char *const says[] = {
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nhello",
        "\1\2\3 this is no HTTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le"};
    static uint8_t got[2048];
    uint64_t id;
    rmr_bytes q;
    (void)state;
    use_exit(NULL, DP_PEERAPI);
    for (size_t i = 0; i < 6; i++) {
        dp_begin(&d, "www.example.org", &id);
        for (int k = 0; k < 8; k++) { /* two questions, four tries */
            pair_conn *far = heard(&q, got, sizeof got);
            pair_write(far, says[i], strlen(says[i]));
            pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
            pair_close(far);
        }
        pair_run(&d.p, 20 * RMR_SEC, dp_is_answered, &d);
        assert_int_equal(d.seen.answers, 1);
        assert_int_equal(d.seen.err, RMR_E_REFUSED);
    }
    pair_run(&d.p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.p.node[0].n->dns->n_asked, 0);
    assert_int_equal(d.p.asked, 0);
    dp_stop(&d);
}

static void
behind_an_exit_node_without_dns_resolvers_are_asked_through_it(void **state)
{
    (void)state;
    use_exit("{\"FallbackResolvers\":[{\"Addr\":\"10.9.0.53\"}],\"Routes\":"
             "{\"corp.example\":[{\"Addr\":\"10.9.0.53\"}]}}",
             NULL);
    dp_resolve(&d, "db.corp.example");
    dp_expect_addr(&d, 2);
    size_t routed = d.p.node[1].n->routed_udp;
    assert_true(routed >= 1);
    dp_resolve(&d, "www.example.org");
    dp_expect_addr(&d, 2);
    assert_true(d.p.node[1].n->routed_udp > routed);
    dp_stop(&d);
}

static void without_its_exit_node_no_question_leaks(void **state)
{
    rmr_addr system = rmr_addr_v4(192, 0, 2, 9, 53);
    rmr_io_links links = {0};
    (void)state;
    dp_start(&d);
    d.p.dns = "{\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}],\"Routes\":"
              "{\"corp.example\":[{\"Addr\":\"192.0.2.53\"}]}}";
    pair_feed_netmaps(&d.p);
    dp_set_prefs(&d, RMR_NODE_PREF_EXIT_NODE, true, "nobody");
    links.name_servers = &system;
    links.n_name_servers = 1;
    rmri_node_dns_links(d.p.node[0].n, &links);
    dp_resolve(&d, "db.corp.example");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    dp_resolve(&d, "www.example.org");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    d.p.dns = NULL;
    pair_feed_netmaps(&d.p);
    dp_resolve(&d, "www.example.org");
    assert_int_equal(d.seen.err, RMR_E_REFUSED);
    assert_int_equal(d.p.asked, 0);
    dp_set_prefs(&d, RMR_NODE_PREF_EXIT_NODE, true, "");
    dp_resolve(&d, "www.example.org");
    dp_expect_addr(&d, 2);
    assert_int_equal(d.p.asked, 2);
    dp_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_tailnets_settings_are_not_heeded_where_the_user_says_so),
        cmocka_unit_test(a_resolver_in_a_subnet_is_asked_through_its_router),
        cmocka_unit_test(a_cut_answer_is_asked_by_tcp_on_the_same_way),
        cmocka_unit_test(a_resolver_that_refuses_tcp_is_no_answer),
        cmocka_unit_test(an_exit_node_answers_for_its_users),
        cmocka_unit_test(questions_beyond_the_streams_wait),
        cmocka_unit_test(what_an_exit_node_says_amiss_is_no_answer),
        cmocka_unit_test(
            behind_an_exit_node_without_dns_resolvers_are_asked_through_it),
        cmocka_unit_test(without_its_exit_node_no_question_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
