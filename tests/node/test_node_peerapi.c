/* DNS for those who use the node as exit node: who may ask, what is a question,
 * and what comes back. */
#include "node_dns.h"
#include "pair.h"

#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define EXIT_ROUTES ",\"0.0.0.0/0\",\"::/0\""
#define WWW "\3www\7example\3org"

static pair p;
static rmr_addr answered;

typedef struct talk { /* of node 0 with the other's peerAPI */
    rmr_node_conn conn;
    const uint8_t *out;
    size_t out_len, out_at;
    char in[4096];
    size_t in_len;
    bool shut, closed;
} talk;

static void send_on(talk *t)
{
    size_t taken = 0;
    rmr_bytes rest = rmr_bytes_of(t->out + t->out_at, t->out_len - t->out_at);
    if (rmr_node_send(p.node[0].n, p.now, t->conn, rest, &taken) == RMR_OK)
        t->out_at += taken;
    if (t->shut && t->out_at == t->out_len)
        (void)rmr_node_shutdown(p.node[0].n, p.now, t->conn);
}

static void on_sendable(void *user, void *tag, rmr_node_conn c)
{
    (void)user;
    (void)c;
    send_on(tag);
}

static void on_readable(void *user, void *tag, rmr_node_conn c)
{
    talk *t = tag;
    rmr_bytes view;
    bool eof = false;
    (void)user;
    while (rmr_node_peek(p.node[0].n, c, &view, &eof) == RMR_OK && view.len) {
        assert_true(t->in_len + view.len < sizeof t->in);
        memcpy(t->in + t->in_len, view.ptr, view.len);
        t->in_len += view.len;
        (void)rmr_node_consume(p.node[0].n, p.now, c, view.len);
    }
    if (eof)
        (void)rmr_node_shutdown(p.node[0].n, p.now, c);
}

static void on_closed(void *user, void *tag, rmr_node_conn c, rmr_err why)
{
    (void)user;
    (void)c;
    (void)why;
    ((talk *)tag)->closed = true;
}

static void on_resolved(void *user, rmr_err err, const rmr_addr *addrs,
                        size_t n)
{
    *(bool *)user = true;
    answered = (rmr_addr){0};
    if (err == RMR_OK && n)
        answered = addrs[0];
}

static nd_peerapi *api(void)
{
    return &p.node[1].n->peerapi;
}

/* Of node 1: "SrcIPs": all, to this range and these ports alone. */
static void allow(const char *to, uint16_t first, uint16_t last)
{
    rmr_filter *f = rmr_nm_filter(p.node[1].n->nm);
    rmr_ip_range r[2];
    size_t n;
    rmr_filter_begin(f);
    assert_int_equal(rmr_filter_rule_begin(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_proto(f, 6), RMR_OK);
    assert_int_equal(rmr_ip_range_parse(rmr_bytes_str("*"), r, &n), RMR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rmr_filter_rule_src(f, &r[i]), RMR_OK);
    assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(to), r, &n), RMR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rmr_filter_rule_dst(f, &r[i], first, last), RMR_OK);
    assert_int_equal(rmr_filter_rule_end(f), RMR_OK);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
}

static void set_prefs(int i, uint32_t given, bool on, const char *exit)
{
    rmr_node_prefs v;
    rmr_node_prefs_init(&v, sizeof v);
    v.given = given;
    v.advertise_exit_node = v.shields_up = on;
    v.exit_node = exit;
    assert_int_equal(rmr_node_set_prefs(p.node[i].n, p.now, &v), RMR_OK);
    pair_drain(&p, i);
}

static void start(void)
{
    rmr_addr system = rmr_addr_v4(192, 0, 2, 9, 53);
    rmr_io_links links = {0};
    pair_init(&p, 7);
    p.udp = true;
    p.routes = EXIT_ROUTES;
    for (int i = 0; i < 2; i++) {
        rmr_node_config cfg;
        rmr_node_callbacks cb = {0};
        cb.struct_size = sizeof cb;
        cb.on_connected = cb.on_writable = on_sendable;
        cb.on_readable = on_readable;
        cb.on_closed = on_closed;
        rmr_node_config_init(&cfg, sizeof cfg);
        cfg.callbacks = &cb;
        cfg.advertise_exit_node = i == 1;
        pair_start(&p, i, &cfg);
    }
    pair_feed_netmaps(&p);
    pair_run(&p, 3 * RMR_SEC, NULL, NULL);
    links.name_servers = &system;
    links.n_name_servers = 1;
    rmri_node_dns_links(p.node[1].n, &links);
    assert_true(api()->listener[0] && api()->port);
}

static void stop(void)
{
    pair_free(&p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].alloc.live_blocks, 0);
}

static void dial(talk *t, const void *request, size_t len)
{
    memset(t, 0, sizeof *t);
    t->out = request;
    t->out_len = len;
    assert_int_equal(
        rmr_node_dial(p.node[0].n, p.now, "node1", api()->port, t, &t->conn),
        RMR_OK);
    pair_drain(&p, 0);
}

static bool is_over(void *user)
{
    return ((talk *)user)->closed;
}

static int status_of(const talk *t)
{
    int status = 0;
    if (t->in_len > 12 && memcmp(t->in, "HTTP/1.1 ", 9) == 0)
        (void)sscanf(t->in + 9, "%3d", &status);
    return status;
}

static int exchange(talk *t, const void *request, size_t len)
{
    dial(t, request, len);
    pair_run(&p, 60 * RMR_SEC, is_over, t);
    assert_true(t->closed);
    return status_of(t);
}

static const char *host(void)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "100.64.0.2:%u", api()->port);
    return text;
}

/* A question for an A record. */
static size_t question(uint8_t *dst, const char *name)
{
    static const uint8_t head[12] = {0x12, 0x34, 1, 0, 0, 1};
    static const uint8_t tail[4] = {0, 1, 0, 1};
    size_t len = strlen(name) + 1;
    memcpy(dst, head, 12);
    memcpy(dst + 12, name, len);
    memcpy(dst + 12 + len, tail, 4);
    return 16 + len;
}

static size_t post_of(char *dst, const char *name)
{
    uint8_t q[300];
    size_t n = question(q, name);
    int len = snprintf(dst, 1024,
                       "POST /dns-query HTTP/1.1\r\nHost: %s\r\n"
                       "Content-Type: application/dns-message\r\nAccept: "
                       "application/dns-message\r\nContent-Length: %zu\r\n\r\n",
                       host(), n);
    memcpy(dst + len, q, n);
    return (size_t)len + n;
}

static int post(talk *t, const char *name)
{
    char request[1400];
    return exchange(t, request, post_of(request, name));
}

static const uint8_t *body_of(const talk *t)
{
    const char *end = strstr(t->in, "\r\n\r\n");
    assert_non_null(end);
    return (const uint8_t *)end + 4;
}

static void expect_answer(const talk *t)
{
    static const uint8_t data[4] = {100, 64, 0, 2};
    const uint8_t *m = body_of(t);
    assert_non_null(strstr(t->in, "Content-Type: application/dns-message\r\n"));
    assert_int_equal(m[0] << 8 | m[1], 0x1234);
    assert_int_equal(m[7], 1);
    assert_memory_equal(t->in + t->in_len - 4, data, 4);
}

/* ---- answers ------------------------------------------------------------ */

static void a_question_is_asked_of_the_hosts_resolver(void **state)
{
    static talk t;
    (void)state;
    start();
    assert_int_equal(post(&t, WWW), 200);
    expect_answer(&t);
    assert_int_equal(p.asked, 1);
    /* The tailnet's names are no business of its users' exit node. */
    assert_int_equal(post(&t, "\5node0\2ex\3com"), 200);
    assert_int_equal(p.asked, 2);
    assert_int_equal(post(&t, "\1x\5onion"), 200);
    assert_int_equal(body_of(&t)[3] & 15, 3);
    assert_int_equal(p.asked, 2);
    assert_int_equal(api()->answered, 3);
    stop();
}

static void a_question_in_the_target(void **state)
{
    static talk t;
    uint8_t q[64];
    char text[128], request[512];
    (void)state;
    start();
    (void)rmr_base64(text, q, question(q, WWW));
    for (char *c = text; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? 0 : *c);
    int len = snprintf(request, sizeof request,
                       "GET /dns-query?x=1&dns=%s HTTP/1.1\r\nHost: %s\r\n\r\n",
                       text, host());
    assert_int_equal(exchange(&t, request, (size_t)len), 200);
    expect_answer(&t);
    stop();
}

static void a_node_of_ours_resolves_by_it(void **state)
{
    char extra[160];
    uint64_t id;
    bool done = false;
    static talk t;
    (void)state;
    start();
    assert_int_equal(post(&t, WWW), 200); /* a tunnel: no try waits for it */
    (void)snprintf(extra, sizeof extra,
                   ",\"Cap\":26,\"Hostinfo\":{\"Services\":[{\"Proto\":"
                   "\"peerapi4\",\"Port\":%u}]}",
                   api()->port);
    p.extra = extra;
    pair_feed_netmaps(&p);
    set_prefs(0, RMR_NODE_PREF_EXIT_NODE, false, "node1");
    assert_int_equal(rmr_node_resolve(p.node[0].n, p.now, "www.example.org",
                                      on_resolved, &done, &id),
                     RMR_OK);
    pair_drain(&p, 0);
    pair_run(&p, 20 * RMR_SEC, NULL, NULL);
    assert_true(done);
    assert_int_equal(answered.ip[3], 2);
    assert_int_equal(api()->answered, 3); /* A and AAAA */
    stop();
}

static void names_that_are_filtered_are_refused(void **state)
{
    static const struct {
        const char *name;
        int code;
    } cases[] = {{"\1x\6secret\3org", 5}, {"\1x\1y\6SECRET\3org", 5},
                 {"\6secret\3org", 0},    {"\4only\3org", 5},
                 {"\1x\4only\3org", 0},   {"\2se\4cret\3org", 0},
                 {"\7xsecret\3org", 0},   {"\1!\6secret\3org", 5}};
    static talk t;
    (void)state;
    start();
    p.dns = "{\"ExitNodeFilteredSet\":[\".secret.org\",\"only.org\",\".\",\"\"]"
            "}";
    pair_feed_netmaps(&p);
    pair_run(&p, RMR_SEC, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t asked = p.asked;
        assert_int_equal(post(&t, cases[i].name), 200);
        assert_int_equal(body_of(&t)[3] & 15, cases[i].code);
        assert_int_equal(p.asked, asked + (cases[i].code == 0));
    }
    stop();
}

static void without_an_answer_the_user_is_told_so(void **state)
{
    static talk t;
    (void)state;
    start();
    p.dns_silent = true;
    assert_int_equal(post(&t, WWW), 200);
    assert_int_equal(body_of(&t)[3] & 15, 2);
    stop();
}

/* ---- who ---------------------------------------------------------------- */

static void who_may_not_use_us_for_the_internet_may_not_ask(void **state)
{
    static talk t;
    (void)state;
    start();
    allow("100.64.0.2", 0, 65535);
    assert_int_equal(post(&t, WWW), 403);
    allow("*", 80, 80);
    assert_int_equal(post(&t, WWW), 403);
    assert_int_equal(p.asked, 0);
    assert_int_equal(api()->denied, 2);
    allow("*", 53, 53); /* its port is not allowed: the filter lets it by */
    assert_int_equal(post(&t, WWW), 200);
    stop();
}

static void it_is_there_only_while_we_offer_it(void **state)
{
    static talk t;
    (void)state;
    start();
    uint16_t port = api()->port;
    set_prefs(1, RMR_NODE_PREF_ADVERTISE_EXIT_NODE, false, NULL);
    assert_int_equal(api()->listener[0], 0);
    assert_int_equal(post(&t, WWW), 0);
    set_prefs(1, RMR_NODE_PREF_ADVERTISE_EXIT_NODE, true, NULL);
    assert_int_equal(api()->port, port);
    assert_int_equal(post(&t, WWW), 200);
    set_prefs(1, RMR_NODE_PREF_SHIELDS_UP, true, NULL);
    assert_int_equal(api()->listener[0], 0);
    assert_int_equal(p.asked, 1);
    stop();
}

static void a_port_that_is_taken_is_left_to_the_program(void **state)
{
    static talk t;
    (void)state;
    start();
    uint16_t port = api()->port;
    set_prefs(1, RMR_NODE_PREF_ADVERTISE_EXIT_NODE, false, NULL);
    rmr_addr at = rmr_addr_v4(100, 64, 0, 2, port);
    rmr_ns_sock s;
    assert_int_equal(rmr_ns_tcp_listen(p.node[1].n->ns, &at, NULL, &s), RMR_OK);
    set_prefs(1, RMR_NODE_PREF_ADVERTISE_EXIT_NODE, true, NULL);
    assert_int_not_equal(api()->port, port);
    assert_int_equal(post(&t, WWW), 200);
    set_prefs(1, RMR_NODE_PREF_ADVERTISE_EXIT_NODE, false, NULL);
    rmr_ns_close(p.node[1].n->ns, p.now, s);
    stop();
}

static void the_host_behind_it_can_not_ask(void **state)
{
    talk t = {0};
    (void)state;
    start();
    uint64_t denied = api()->denied;
    assert_int_equal(rmr_node_dial(p.node[1].n, p.now, "100.64.0.2",
                                   api()->port, &t, &t.conn),
                     RMR_OK);
    pair_drain(&p, 1);
    pair_run(&p, RMR_SEC, NULL, NULL);
    assert_int_equal(api()->denied, denied + 1);
    stop();
}

static void connections_are_bounded(void **state)
{
    enum { MANY = 24, OF_PEER = 16, DENIED = 4 };
    static talk t[MANY];
    static const char half[] = "POST /dns-query HTTP/1.1\r\n";
    (void)state;
    start();
    for (int round = 0; round < 2; round++) {
        size_t open = 0, most = round ? DENIED : OF_PEER;
        allow("*", round ? 80 : 53, round ? 80 : 53);
        for (size_t i = 0; i < MANY; i++)
            dial(&t[i], half, sizeof half - 1);
        pair_run(&p, 3 * RMR_SEC, NULL, NULL);
        for (size_t i = 0; i < MANY; i++)
            open += !t[i].closed;
        assert_int_equal(open, most);
        pair_run(&p, 15 * RMR_SEC, NULL, NULL); /* who says nothing goes */
        for (size_t i = 0; i < MANY; i++)
            assert_true(t[i].closed);
    }
    stop();
}

/* ---- what is no question ------------------------------------------------- */

static void check(int want, const char *head, const char *of_host, size_t body)
{
    static talk t;
    static char request[128 * 1024];
    int len = snprintf(request, 2048, "%s\r\nHost: %s\r\n", head, of_host);
    if (body)
        len += snprintf(request + len, 256, "Content-Length: %zu\r\n", body);
    len += snprintf(request + len, 8, "\r\n");
    memset(request + len, 'x', body);
    int got = exchange(&t, request, (size_t)len + body);
    if (got != want)
        fail_msg("%d, not %d: %s", got, want, head);
}

static void what_is_no_question_is_refused(void **state)
{
    static const char type[] =
        "POST /dns-query HTTP/1.1\r\nContent-Type: application/dns-message";
    static talk t;
    (void)state;
    start();
    check(404, "GET / HTTP/1.1", host(), 0);
    check(404, "POST /v0/put/x HTTP/1.1", host(), 10);
    check(405, "PUT /dns-query HTTP/1.1", host(), 10);
    check(405, "HEAD /dns-query HTTP/1.1", host(), 0);
    check(400, "GET /dns-query HTTP/1.1", host(), 0);
    check(400, "GET /dns-query?dns= HTTP/1.1", host(), 0);
    check(400, "GET /dns-query?dns=%41 HTTP/1.1", host(), 0);
    check(400, "GET /dns-query?dns=AAA+ HTTP/1.1", host(), 0);
    check(400, "GET /dns-query?dns=AAAA HTTP/1.1", host(), 0);
    check(400, "CONNECT a:1 HTTP/1.1", host(), 0);
    check(415, "POST /dns-query HTTP/1.1", host(), 10);
    check(403, type, "names.example", 10);
    check(403, type, "100.64.0.2:1", 10);
    check(403, type, "100.64.0.1:1", 10);
    check(400, type, host(), 5);
    check(413, type, host(), RMR_MD_MAX_QUERY + 1);
    check(413, type, host(), 100000);
    check(400, "\x16\x03\x01", host(), 0);
    char longer[1800] = "GET /dns-query?dns=";
    memset(longer + 19, 'A', 1700);
    memcpy(longer + 1719, " HTTP/1.1", 10);
    check(414, longer, host(), 0);
    static char head[10000] = "GET /dns-query HTTP/1.1\r\nX: ";
    memset(head + 28, 'x', sizeof head - 28);
    assert_int_equal(exchange(&t, head, sizeof head), 431);
    assert_int_equal(p.asked, 0);
    assert_int_equal(api()->answered, 0);
    assert_int_equal(post(&t, WWW), 200);
    stop();
}

static void a_request_that_ends_early_gets_nothing(void **state)
{
    static talk t;
    char request[1400];
    (void)state;
    start();
    size_t len = post_of(request, WWW);
    dial(&t, request, len - 1);
    t.shut = true;
    pair_run(&p, 60 * RMR_SEC, is_over, &t);
    assert_int_equal(status_of(&t), 0);
    assert_int_equal(p.asked, 0);
    stop();
}

static void who_goes_before_the_answer_is_forgotten(void **state)
{
    static talk t;
    char request[1400];
    (void)state;
    start();
    p.dns_silent = true;
    dial(&t, request, post_of(request, WWW));
    for (int i = 0; i < 500 && !p.asked; i++)
        pair_run(&p, 10 * RMR_MS, NULL, NULL);
    assert_int_equal(p.asked, 1);
    assert_int_equal(rmr_node_abort(p.node[0].n, p.now, t.conn), RMR_OK);
    pair_drain(&p, 0);
    pair_run(&p, 40 * RMR_SEC, NULL, NULL);
    assert_int_equal(api()->answered, 0);
    p.dns_silent = false;
    assert_int_equal(post(&t, WWW), 200);
    stop();
}

static void without_memory_it_ends_cleanly(void **state)
{
    static talk t;
    char request[1400];
    int answers = 0;
    (void)state;
    for (uint64_t k = 0; k < 12; k++) {
        start();
        assert_int_equal(post(&t, WWW), 200); /* the tunnel is there */
        dial(&t, request, post_of(request, WWW));
        p.node[1].alloc.fail_at = p.node[1].alloc.calls + 1 + k;
        p.node[1].alloc.fail_after = true;
        pair_run(&p, 8 * RMR_SEC, is_over, &t);
        p.node[1].alloc.fail_at = 0;
        p.node[1].alloc.fail_after = false;
        pair_run(&p, 40 * RMR_SEC, NULL, NULL);
        answers += status_of(&t) == 200;
        assert_int_equal(post(&t, WWW), 200);
        stop();
    }
    assert_true(answers < 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_asked_of_the_hosts_resolver),
        cmocka_unit_test(a_question_in_the_target),
        cmocka_unit_test(a_node_of_ours_resolves_by_it),
        cmocka_unit_test(names_that_are_filtered_are_refused),
        cmocka_unit_test(without_an_answer_the_user_is_told_so),
        cmocka_unit_test(who_may_not_use_us_for_the_internet_may_not_ask),
        cmocka_unit_test(it_is_there_only_while_we_offer_it),
        cmocka_unit_test(a_port_that_is_taken_is_left_to_the_program),
        cmocka_unit_test(the_host_behind_it_can_not_ask),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(what_is_no_question_is_refused),
        cmocka_unit_test(a_request_that_ends_early_gets_nothing),
        cmocka_unit_test(who_goes_before_the_answer_is_forgotten),
        cmocka_unit_test(without_memory_it_ends_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
