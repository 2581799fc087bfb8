/* Names in the node: quad-100 through a forward, look-ups of the program, and
 * dials to names that resolvers know, inside the tailnet and outside. */
#include "node_dns.h"
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define DNS_PORT 5353
#define FORWARD_PORT 8000
#define SOCKS_PORT 1080
#define SERVE_PORT 7000

static pair p;
static rmr_forward forwards[2];
static rmr_serve serve;
static const rmr_prefix subnet = {
    .family = RMR_AF_INET, .bits = 24, .ip = {10, 9, 0, 0}};

static struct {
    int answers, connected, closed;
    rmr_err err, why;
    rmr_addr addr;
    size_t n;
} seen;

static void on_connected(void *user, void *tag, rmr_node_conn c)
{
    (void)user;
    (void)tag;
    (void)c;
    seen.connected++;
}

static void on_closed(void *user, void *tag, rmr_node_conn c, rmr_err why)
{
    (void)user;
    (void)tag;
    (void)c;
    seen.closed++;
    seen.why = why;
}

static void on_resolved(void *user, rmr_err err, const rmr_addr *addrs,
                        size_t n)
{
    (void)user;
    seen.answers++;
    seen.err = err;
    seen.n = n;
    if (n)
        seen.addr = addrs[0];
}

static void start(void)
{
    memset(&seen, 0, sizeof seen);
    pair_init(&p, 5);
    p.udp = true;
    for (int i = 0; i < 2; i++) {
        rmr_node_config cfg;
        rmr_node_callbacks cb = {0};
        cb.struct_size = sizeof cb;
        cb.on_connected = on_connected;
        cb.on_closed = on_closed;
        rmr_node_config_init(&cfg, sizeof cfg);
        cfg.callbacks = &cb;
        if (i == 0) {
            forwards[0].local = rmr_addr_v4(127, 0, 0, 1, DNS_PORT);
            forwards[0].port = 53;
            snprintf(forwards[0].peer, RMR_HOST_MAX, "100.100.100.100");
            forwards[1].local = rmr_addr_v4(127, 0, 0, 1, FORWARD_PORT);
            forwards[1].port = SERVE_PORT;
            snprintf(forwards[1].peer, RMR_HOST_MAX, "db.corp.example");
            cfg.forwards = forwards;
            cfg.n_forwards = 2;
            cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, SOCKS_PORT);
        } else {
            cfg.advertise_routes = &subnet;
            cfg.n_advertise_routes = 1;
            serve.port = SERVE_PORT;
            serve.target = rmr_addr_v4(127, 0, 0, 1, 7000);
            cfg.serves = &serve;
            cfg.n_serves = 1;
        }
        pair_start(&p, i, &cfg);
    }
    pair_feed_netmaps(&p);
    pair_run(&p, 3 * RMR_SEC, NULL, NULL);
}

static void stop(void)
{
    pair_free(&p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].alloc.live_blocks, 0);
}

/* corp.example at a resolver outside, deep.example at the second node. */
static void set_routes(void)
{
    rmr_addr out = rmr_addr_v4(192, 0, 2, 53, 0);
    rmr_addr in = rmr_addr_v4(100, 64, 0, 2, 0);
    rmr_md_route routes[2] = {{"corp.example", &out, 1, false},
                              {"deep.example", &in, 1, false}};
    rmr_md_record record = {"db.record.example", in};
    rmr_md_table t = {.proxied = true,
                      .suffix = "ex.com",
                      .records = &record,
                      .n_records = 1,
                      .routes = routes,
                      .n_routes = 2};
    assert_int_equal(rmr_md_set(p.node[0].n->dns->md, &t), RMR_OK);
}

static bool is_answered(void *user)
{
    (void)user;
    return seen.answers > 0;
}

static void resolve(const char *name)
{
    uint64_t id;
    seen.answers = 0;
    seen.n = 0;
    assert_int_equal(
        rmr_node_resolve(p.node[0].n, p.now, name, on_resolved, NULL, &id),
        RMR_OK);
    pair_drain(&p, 0);
    pair_run(&p, 20 * RMR_SEC, is_answered, NULL);
    assert_int_equal(seen.answers, 1);
}

static void expect_addr(uint8_t d)
{
    rmr_addr want = rmr_addr_v4(100, 64, 0, d, 0);
    assert_int_equal(seen.err, RMR_OK);
    assert_int_equal(seen.n, 1);
    assert_true(rmr_addr_ip_eq(&seen.addr, &want));
}

static void the_program_resolves_names(void **state)
{
    (void)state;
    start();
    resolve("node1.ex.com");
    expect_addr(2);
    resolve("Node1.EX.com.");
    expect_addr(2);
    resolve("node1");
    expect_addr(2);
    resolve("node0.ex.com");
    expect_addr(1);
    resolve("198.51.100.7");
    assert_int_equal(seen.addr.ip[0], 198);
    assert_int_equal(p.asked, 0);
    set_routes();
    resolve("nobody.ex.com");
    assert_int_equal(seen.err, RMR_E_NOTFOUND);
    assert_int_equal(p.asked, 0);
    resolve("db.record.example");
    expect_addr(2);
    resolve("db.corp.example");
    expect_addr(2);
    assert_int_equal(p.asked, 2); /* A and AAAA */
    resolve("www.example.org");   /* nobody to ask */
    assert_int_equal(seen.err, RMR_E_REFUSED);
    uint64_t id;
    assert_int_equal(
        rmr_node_resolve(p.node[0].n, p.now, "a b", on_resolved, NULL, &id),
        RMR_E_INVAL);
    stop();
}

static void a_resolver_of_the_tailnet_is_asked_through_the_tunnel(void **state)
{
    rmr_ns_stats before, after;
    (void)state;
    start();
    set_routes();
    rmr_ns_get_stats(p.node[1].n->ns, &before);
    resolve("x.deep.example");
    assert_int_equal(seen.err, RMR_E_REFUSED); /* nobody listens there */
    rmr_ns_get_stats(p.node[1].n->ns, &after);
    assert_true(after.discard_no_socket >= before.discard_no_socket + 2);
    assert_int_equal(p.asked, 0);
    stop();
}

static void the_netmap_says_whom_to_ask(void **state)
{
    (void)state;
    start();
    p.dns = "{\"Proxied\":true,\"Domains\":[\"corp.example\"],"
            "\"Resolvers\":[{\"Addr\":\"https://dns.example/dns-query\"},"
            "{\"Addr\":\"192.0.2.1\"}],"
            "\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}],"
            "\"own.example.\":null,\"web.example\":[{\"Addr\":"
            "\"https://dns.example/dns-query\"}]},"
            "\"ExtraRecords\":[{\"Name\":\"db.record.example\","
            "\"Value\":\"100.64.0.2\"}]}";
    pair_feed_netmaps(&p);
    resolve("db.record.example");
    expect_addr(2);
    resolve("x.own.example");
    assert_int_equal(seen.err, RMR_E_NOTFOUND);
    resolve("nobody.ex.com");
    assert_int_equal(seen.err, RMR_E_NOTFOUND);
    resolve("x.web.example"); /* HTTPS is not spoken */
    assert_int_equal(seen.err, RMR_E_REFUSED);
    assert_int_equal(p.asked, 0);
    resolve("www.example.org");
    expect_addr(2);
    resolve("db"); /* a search domain */
    expect_addr(2);
    assert_int_equal(p.asked, 4);
    p.dns = NULL;
    pair_feed_netmaps(&p);
    resolve("www.example.org");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    assert_int_equal(p.asked, 4);
    stop();
}

/* ---- the user's wish, subnets, exit nodes -------------------------------- */

static void set_prefs(uint32_t given, bool on, const char *exit)
{
    rmr_node_prefs v;
    rmr_node_prefs_init(&v, sizeof v);
    v.given = given;
    v.accept_dns = v.accept_routes = on;
    v.exit_node = exit;
    assert_int_equal(rmr_node_set_prefs(p.node[0].n, p.now, &v), RMR_OK);
    pair_drain(&p, 0);
}

static void
the_tailnets_settings_are_not_heeded_where_the_user_says_so(void **state)
{
    rmr_node_conn c;
    (void)state;
    start();
    p.dns = "{\"Proxied\":true,\"Domains\":[\"corp.example\"],"
            "\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}],"
            "\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}]},"
            "\"FallbackResolvers\":[{\"Addr\":\"192.0.2.2\"}],"
            "\"ExtraRecords\":[{\"Name\":\"db.record.example\","
            "\"Value\":\"100.64.0.2\"}]}";
    pair_feed_netmaps(&p);
    set_prefs(RMR_NODE_PREF_ACCEPT_DNS, false, NULL);
    resolve("db.corp.example");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    resolve("db");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    resolve("www.example.org");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    resolve("nobody.ex.com"); /* no zone of ours either */
    assert_int_equal(seen.err, RMR_E_REFUSED);
    assert_int_equal(rmr_node_dial(p.node[0].n, p.now, "db.corp.example",
                                   SERVE_PORT, NULL, &c),
                     RMR_E_NOTFOUND);
    assert_int_equal(
        rmr_node_dial(p.node[0].n, p.now, "db", SERVE_PORT, NULL, &c),
        RMR_E_NOTFOUND);
    assert_int_equal(p.asked, 0);
    /* Who the nodes are is the netmap's word, not a setting. */
    resolve("node1.ex.com");
    expect_addr(2);
    resolve("db.record.example");
    expect_addr(2);
    set_prefs(RMR_NODE_PREF_ACCEPT_DNS, true, NULL);
    resolve("db.corp.example");
    expect_addr(2);
    assert_int_equal(p.asked, 2);
    stop();
}

/* A tunnel that is there, so that no try waits for it. */
static void open_tunnel(void)
{
    rmr_node_conn c;
    int closed = seen.closed;
    assert_int_equal(rmr_node_dial(p.node[0].n, p.now, "node1", 9, NULL, &c),
                     RMR_OK);
    pair_drain(&p, 0);
    pair_run(&p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(seen.closed, closed + 1); /* refused */
}

static void a_resolver_in_a_subnet_is_asked_through_its_router(void **state)
{
    (void)state;
    start();
    p.routes = ",\"10.9.0.0/24\"";
    p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"10.9.0.53\"}]}}";
    pair_feed_netmaps(&p);
    resolve("db.corp.example");
    expect_addr(2);
    assert_int_equal(p.asked, 2);
    assert_int_equal(p.node[1].n->routed_udp, 0);
    set_prefs(RMR_NODE_PREF_ACCEPT_ROUTES, true, NULL);
    open_tunnel();
    resolve("db.corp.example");
    expect_addr(2); /* who answers is the resolver beyond the router */
    assert_int_equal(p.asked, 4);
    assert_true(p.node[1].n->routed_udp >= 1);
    stop();
}

#define EXIT_ROUTES ",\"0.0.0.0/0\",\"::/0\""
#define PEERAPI                                                                \
    ",\"Cap\":26,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","         \
    "\"Port\":7000}]}"

static void begin_resolve(const char *name, uint64_t *id)
{
    seen.answers = 0;
    seen.n = 0;
    assert_int_equal(
        rmr_node_resolve(p.node[0].n, p.now, name, on_resolved, NULL, id),
        RMR_OK);
    pair_drain(&p, 0);
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
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
        far = pair_accepted(&p, 7000);
    }
    assert_non_null(far);
    for (int i = 0; i < 20; i++) {
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
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
        pair_run(&p, RMR_MS, NULL, NULL);
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
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
        far = pair_accepted(&p, 53);
    }
    assert_non_null(far);
    for (int i = 0; i < 20; i++) {
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
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
    start();
    p.dns_cut = p.dns_tcp = true;
    p.routes = ",\"10.9.0.0/24\"";
    p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"10.9.0.53\"}]}}";
    pair_feed_netmaps(&p);
    for (size_t inside = 0; inside < 2; inside++) {
        if (inside) {
            set_prefs(RMR_NODE_PREF_ACCEPT_ROUTES, true, NULL);
            open_tunnel();
        }
        begin_resolve("db.corp.example", &id);
        answer_by_tcp();
        answer_by_tcp();
        pair_run(&p, RMR_SEC, is_answered, NULL);
        expect_addr(2);
        assert_int_equal(p.node[1].n->routed_tcp, 2 * inside);
    }
    pair_run(&p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->dns->n_asked, 0);
    stop();
}

static void a_resolver_that_refuses_tcp_is_no_answer(void **state)
{
    uint64_t id;
    (void)state;
    start();
    p.dns_cut = true;
    p.dns = "{\"Routes\":{\"corp.example.\":[{\"Addr\":\"192.0.2.53\"}]}}";
    pair_feed_netmaps(&p);
    begin_resolve("db.corp.example", &id);
    pair_run(&p, 20 * RMR_SEC, is_answered, NULL);
    assert_int_equal(seen.answers, 1);
    assert_int_equal(seen.err, RMR_E_REFUSED);
    assert_int_equal(p.asked, 8); /* two questions, four tries */
    stop();
}

static void use_exit(const char *dns, const char *extra)
{
    start();
    p.routes = EXIT_ROUTES;
    p.extra = extra;
    p.dns = dns;
    set_prefs(RMR_NODE_PREF_EXIT_NODE, true, "node1");
    pair_feed_netmaps(&p);
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
             PEERAPI);
    resolve("node1.ex.com"); /* ours are ours */
    expect_addr(2);
    resolve("x.own.example");
    assert_int_equal(seen.err, RMR_E_NOTFOUND);
    begin_resolve("db.corp.example", &id);
    for (int i = 0; i < 2; i++) {
        pair_conn *far = heard(&q, got, sizeof got);
        answer_by_http(far, q);
        pair_close(far);
    }
    pair_run(&p, RMR_SEC, is_answered, NULL);
    expect_addr(2);
    assert_int_equal(p.asked, 0);
    rmr_md_stats st;
    rmr_md_get_stats(p.node[0].n->dns->md, &st);
    assert_int_equal(st.by_tcp, 2);
    /* What is marked goes its own way. */
    resolve("x.kept.example");
    assert_int_equal(seen.err, RMR_E_REFUSED); /* nobody listens there */
    rmr_md_get_stats(p.node[0].n->dns->md, &st);
    assert_int_equal(st.by_tcp, 2);
    pair_run(&p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->dns->n_asked, 0);
    stop();
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
    use_exit(NULL, PEERAPI);
    for (int i = 0; i < N; i++) { /* two questions each */
        snprintf(name, sizeof name, "w%d.example.org", i);
        begin_resolve(name, &id);
    }
    assert_int_equal(p.node[0].n->dns->n_asked, ND_DNS_ASKED);
    seen.answers = 0;
    for (int i = 0; i < 2 * N; i++) {
        pair_conn *far = heard(&q, got, sizeof got);
        uint8_t msg[512], all[700];
        size_t len = answer_to(q, msg);
        size_t at = (size_t)snprintf(
            (char *)all, sizeof all,
            "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", (unsigned)len);
        memcpy(all + at, msg, len);
        pair_write(far, all, at + len);
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
        assert_true(p.node[0].n->dns->n_asked <= ND_DNS_ASKED);
        pair_close(far);
    }
    pair_run(&p, RMR_SEC, NULL, NULL);
    assert_int_equal(seen.answers, N);
    expect_addr(2);
    stop();
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
    use_exit(NULL, PEERAPI);
    for (size_t i = 0; i < 6; i++) {
        begin_resolve("www.example.org", &id);
        for (int k = 0; k < 8; k++) { /* two questions, four tries */
            pair_conn *far = heard(&q, got, sizeof got);
            pair_write(far, says[i], strlen(says[i]));
            pair_run(&p, 10 * RMR_MS, NULL, NULL);
            pair_close(far);
        }
        pair_run(&p, 20 * RMR_SEC, is_answered, NULL);
        assert_int_equal(seen.answers, 1);
        assert_int_equal(seen.err, RMR_E_REFUSED);
    }
    pair_run(&p, 10 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->dns->n_asked, 0);
    assert_int_equal(p.asked, 0);
    stop();
}

static void
behind_an_exit_node_without_dns_resolvers_are_asked_through_it(void **state)
{
    (void)state;
    use_exit("{\"FallbackResolvers\":[{\"Addr\":\"10.9.0.53\"}],\"Routes\":"
             "{\"corp.example\":[{\"Addr\":\"10.9.0.53\"}]}}",
             NULL);
    resolve("db.corp.example");
    expect_addr(2);
    size_t routed = p.node[1].n->routed_udp;
    assert_true(routed >= 1);
    resolve("www.example.org");
    expect_addr(2);
    assert_true(p.node[1].n->routed_udp > routed);
    stop();
}

static void without_its_exit_node_no_question_leaks(void **state)
{
    rmr_addr system = rmr_addr_v4(192, 0, 2, 9, 53);
    rmr_io_links links = {0};
    (void)state;
    start();
    p.dns = "{\"Resolvers\":[{\"Addr\":\"192.0.2.1\"}],\"Routes\":"
            "{\"corp.example\":[{\"Addr\":\"192.0.2.53\"}]}}";
    pair_feed_netmaps(&p);
    set_prefs(RMR_NODE_PREF_EXIT_NODE, true, "nobody");
    links.name_servers = &system;
    links.n_name_servers = 1;
    rmri_node_dns_links(p.node[0].n, &links);
    resolve("db.corp.example");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    resolve("www.example.org");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    p.dns = NULL;
    pair_feed_netmaps(&p);
    resolve("www.example.org");
    assert_int_equal(seen.err, RMR_E_REFUSED);
    assert_int_equal(p.asked, 0);
    set_prefs(RMR_NODE_PREF_EXIT_NODE, true, "");
    resolve("www.example.org");
    expect_addr(2);
    assert_int_equal(p.asked, 2);
    stop();
}

/* ---- a table of cases: whom a name is asked of ------------------------------ */

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
    {"{\"Proxied\":true," ROUTES "," RECORDS "," RESOLVERS "}", EXIT_ROUTES,
     PEERAPI, true, "node1"},
    /* 5: it has a peerAPI that does not say it is new enough, but the service */
    {NULL, EXIT_ROUTES,
     ",\"Cap\":25,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","
     "\"Port\":7000},{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}]}",
     true, "node1"},
    /* 6: too old */
    {NULL, EXIT_ROUTES,
     ",\"Cap\":25,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","
     "\"Port\":7000}]}",
     true, "node1"},
    /* 7: new, but there is nothing to ask */
    {NULL, EXIT_ROUTES, ",\"Cap\":138", true, "node1"},
    /* 8: neither: the fallback ones, through it */
    {"{" ROUTES "," FALLBACK "}", EXIT_ROUTES, NULL, true, "node1"},
    /* 9: it is not there */
    {"{" ROUTES "}", NULL, NULL, true, "nobody"},
    /* 10: it is there, and the tailnet's DNS is not wanted */
    {"{" ROUTES "," RESOLVERS "}", EXIT_ROUTES, PEERAPI, false, "node1"},
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
    start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const config *c = &configs[cases[i].config];
        if (set != cases[i].config) {
            set = cases[i].config;
            p.dns = c->dns;
            p.routes = c->routes;
            p.extra = c->extra;
            set_prefs(RMR_NODE_PREF_ACCEPT_DNS, c->accept, NULL);
            set_prefs(RMR_NODE_PREF_EXIT_NODE, true, c->exit);
            pair_feed_netmaps(&p);
        }
        rmr_md_place got = rmr_md_look(p.node[0].n->dns->md, cases[i].name);
        if (got != cases[i].want)
            fail_msg("settings %u: %s: %d, not %d", (unsigned)set,
                     cases[i].name, (int)got, (int)cases[i].want);
    }
    assert_int_equal(p.asked, 0);
    stop();
}

static void a_look_up_can_be_cancelled(void **state)
{
    uint64_t id;
    (void)state;
    start();
    set_routes();
    p.dns_silent = true;
    assert_int_equal(rmr_node_resolve(p.node[0].n, p.now, "a.corp.example",
                                      on_resolved, NULL, &id),
                     RMR_OK);
    pair_drain(&p, 0);
    rmr_node_resolve_cancel(p.node[0].n, id);
    pair_run(&p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(seen.answers, 0);
    stop();
}

static size_t question(uint8_t *at, const char *name)
{
    static const uint8_t head[] = {0, 0, 0xab, 0xcd, 1, 0, 0,
                                   1, 0, 0,    0,    0, 0, 0};
    memcpy(at, head, sizeof head);
    size_t n = sizeof head;
    while (*name) {
        size_t len = strcspn(name, ".");
        at[n++] = (uint8_t)len;
        memcpy(at + n, name, len);
        n += len;
        name += len + (name[len] == '.');
    }
    memcpy(at + n, "\0\0\1\0\1", 5);
    n += 5;
    at[0] = (uint8_t)((n - 2) >> 8);
    at[1] = (uint8_t)(n - 2);
    return n;
}

static void quad_100_answers_through_a_forward(void **state)
{
    uint8_t q[300], got[300];
    size_t len = 0;
    (void)state;
    start();
    pair_conn *c = pair_dial(&p, 0, DNS_PORT, NULL);
    assert_non_null(c);
    size_t n = question(q, "node1.ex.com"); /* two at once, in pieces */
    n += question(q + n, "node0.ex.com");
    for (size_t at = 0; at < n;) {
        at += pair_write(c, q + at, n - at < 7 ? n - at : 7);
        pair_run(&p, RMR_MS, NULL, NULL);
    }
    for (int i = 0; i < 1000 && len < n + 32; i++) {
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
        len += pair_read(c, got + len, sizeof got - len);
    }
    assert_int_equal(len, n + 32); /* the questions, and 16 bytes each */
    assert_memory_equal(got + 2, "\xab\xcd\x85\x80\0\1\0\1", 8);
    assert_memory_equal(got + len / 2 - 4, "\x64\x40\0\2", 4);
    assert_memory_equal(got + len - 4, "\x64\x40\0\1", 4);
    pair_close(c);
    pair_run(&p, 40 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->dns->n_served, 0);
    stop();
}

static void clients_that_break_the_rules_are_cut_off(void **state)
{
    static uint8_t big[3000] = {0x0b, 0xb8};
    (void)state;
    start();
    pair_conn *c[ND_DNS_SERVED + 2];
    for (size_t i = 0; i < ND_DNS_SERVED + 2; i++) {
        c[i] = pair_dial(&p, 0, DNS_PORT, NULL);
        assert_non_null(c[i]);
        pair_run(&p, 200 * RMR_MS, NULL, NULL);
    }
    assert_int_equal(p.node[0].n->dns->n_served, ND_DNS_SERVED);
    assert_true(pair_is_reset(c[ND_DNS_SERVED]));
    pair_write(c[0], big, sizeof big); /* above any question */
    pair_run(&p, RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->dns->n_served, ND_DNS_SERVED - 1);
    pair_run(&p, 60 * RMR_SEC, NULL, NULL); /* the others say nothing */
    assert_int_equal(p.node[0].n->dns->n_served, 0);
    stop();
}

static void datagrams_to_quad_100_are_answered(void **state)
{
    rmr_ns_sock s;
    rmr_md_stats st;
    uint8_t q[300];
    (void)state;
    start();
    rmr_node *n = p.node[0].n;
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    assert_int_equal(rmr_ns_udp_connect(n->ns, NULL, &quad, n->dns, &s),
                     RMR_OK);
    size_t len = question(q, "node1.ex.com");
    assert_int_equal(rmr_ns_udp_send(n->ns, p.now, s, NULL, NULL,
                                     rmr_bytes_of(q + 2, len - 2)),
                     RMR_OK);
    n->dirty = true;
    pair_drain(&p, 0);
    rmr_md_get_stats(n->dns->md, &st);
    assert_int_equal(st.asked, 1);
    assert_int_equal(st.own, 1);
    assert_int_equal(st.ignored, 1); /* the answer, which the test's socket
                                        heard: it is no question */
    rmr_ns_close(n->ns, p.now, s);
    stop();
}

static void quad_100_is_for_this_host_alone(void **state)
{
    uint8_t pkt[40] = {0x45};
    (void)state;
    memcpy(pkt + 16, "\x64\x64\x64\x64", 4);
    assert_true(rmri_node_dns_is_for_quad(rmr_bytes_of(pkt, 40)));
    assert_false(rmri_node_dns_is_for_quad(rmr_bytes_of(pkt, 19)));
    pkt[19] = 0x65;
    assert_false(rmri_node_dns_is_for_quad(rmr_bytes_of(pkt, 40)));
    /* A peer whose routes lead there by its own stack: nothing is heard. */
    start();
    rmr_node *n = p.node[1].n;
    rmr_md_stats st;
    rmr_node_conn c;
    assert_int_equal(rmr_node_dial(n, p.now, "100.100.100.100", 53, NULL, &c),
                     RMR_OK);
    pair_drain(&p, 1);
    pair_run(&p, RMR_SEC, NULL, NULL);
    assert_int_equal(seen.connected, 1); /* to its own */
    rmr_md_get_stats(p.node[0].n->dns->md, &st);
    assert_int_equal(p.node[0].n->dns->n_served, 0);
    assert_int_equal(st.asked, 0);
    stop();
}

static bool is_over(void *user)
{
    (void)user;
    return seen.connected || seen.closed;
}

static void a_dial_goes_where_the_resolver_says(void **state)
{
    rmr_node_conn c;
    rmr_bytes view;
    bool eof;
    size_t taken;
    (void)state;
    start();
    set_routes();
    rmr_node *n = p.node[0].n;
    assert_int_equal(
        rmr_node_dial(n, p.now, "db.corp.example", SERVE_PORT, NULL, &c),
        RMR_OK);
    assert_int_equal(rmr_node_send(n, p.now, c, rmr_bytes_str("x"), &taken),
                     RMR_E_STATE);
    assert_int_equal(rmr_node_peek(n, c, &view, &eof), RMR_OK);
    assert_int_equal(view.len, 0);
    pair_drain(&p, 0);
    assert_true(pair_run(&p, 20 * RMR_SEC, is_over, NULL));
    assert_int_equal(seen.connected, 1);
    assert_int_equal(rmr_node_send(n, p.now, c, rmr_bytes_str("x"), &taken),
                     RMR_OK);
    /* one that nobody knows is not asked for */
    assert_int_equal(rmr_node_dial(n, p.now, "www.example.org", 80, NULL, &c),
                     RMR_E_NOTFOUND);
    stop();
}

static void a_dial_that_no_resolver_answers_ends(void **state)
{
    rmr_node_conn c;
    (void)state;
    start();
    set_routes();
    p.dns_silent = true;
    rmr_node *n = p.node[0].n;
    assert_int_equal(
        rmr_node_dial(n, p.now, "db.corp.example", SERVE_PORT, NULL, &c),
        RMR_OK);
    pair_drain(&p, 0);
    assert_true(pair_run(&p, 20 * RMR_SEC, is_over, NULL));
    assert_int_equal(seen.connected, 0);
    assert_int_equal(seen.why, RMR_E_REFUSED);
    /* one that is given up meanwhile tells nothing */
    assert_int_equal(
        rmr_node_dial(n, p.now, "db.corp.example", SERVE_PORT, NULL, &c),
        RMR_OK);
    pair_drain(&p, 0);
    assert_int_equal(rmr_node_abort(n, p.now, c), RMR_OK);
    pair_run(&p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(seen.closed, 1);
    stop();
}

static void forwards_and_socks_take_names_of_routes(void **state)
{
    static const uint8_t ask[] = "\5\1\0\5\1\0\3\017db.corp.example\x1b\x58";
    uint8_t got[64];
    size_t len = 0;
    (void)state;
    start();
    set_routes();
    pair_conn *f = pair_dial(&p, 0, FORWARD_PORT, NULL);
    assert_non_null(f);
    pair_write(f, "hello", 5);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    pair_conn *far = pair_accepted(&p, 7000);
    assert_non_null(far);
    assert_int_equal(pair_read(far, got, sizeof got), 5);
    pair_conn *s = pair_dial(&p, 0, SOCKS_PORT, NULL);
    assert_non_null(s);
    pair_write(s, ask, sizeof ask - 1);
    for (int i = 0; i < 50 && len < 12; i++) {
        pair_run(&p, 100 * RMR_MS, NULL, NULL);
        len += pair_read(s, got + len, sizeof got - len);
    }
    assert_int_equal(len, 12);
    assert_memory_equal(got, "\5\0\5\0", 4);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_resolves_names),
        cmocka_unit_test(a_resolver_of_the_tailnet_is_asked_through_the_tunnel),
        cmocka_unit_test(the_netmap_says_whom_to_ask),
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
        cmocka_unit_test(a_name_is_asked_where_the_settings_say),
        cmocka_unit_test(a_look_up_can_be_cancelled),
        cmocka_unit_test(quad_100_answers_through_a_forward),
        cmocka_unit_test(clients_that_break_the_rules_are_cut_off),
        cmocka_unit_test(datagrams_to_quad_100_are_answered),
        cmocka_unit_test(quad_100_is_for_this_host_alone),
        cmocka_unit_test(a_dial_goes_where_the_resolver_says),
        cmocka_unit_test(a_dial_that_no_resolver_answers_ends),
        cmocka_unit_test(forwards_and_socks_take_names_of_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
