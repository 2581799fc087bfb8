/* Who asks, where proxies stand in between: a table of what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "support.h"

#define NONE ((const char *)NULL)

typedef struct row {
    const char *remote;       /* who is connected */
    const char *forwarded[2]; /* X-Forwarded-For, in this order */
    const char *real;         /* X-Real-IP */
    const char *client;       /* whom the server takes for the client */
    uint64_t forwards, untrusted;
} row;

/* Trusted: 10.0.0.0/8, fd00::/8. */
static const row rows[] = {
    /* nobody says anything */
    {"192.0.2.1", {NONE, NONE}, NONE, "192.0.2.1", 0, 0},
    {"10.0.0.1", {NONE, NONE}, NONE, "10.0.0.1", 0, 0},
    /* a stranger says who it is: ignored, and counted */
    {"192.0.2.1", {"198.51.100.7", NONE}, NONE, "192.0.2.1", 0, 1},
    {"192.0.2.1", {NONE, NONE}, "198.51.100.7", "192.0.2.1", 0, 1},
    {"192.0.2.1", {"10.0.0.9", NONE}, "10.0.0.9", "192.0.2.1", 0, 1},
    /* a proxy does */
    {"10.0.0.1", {"198.51.100.7", NONE}, NONE, "198.51.100.7", 1, 0},
    {"10.0.0.1", {NONE, NONE}, "198.51.100.7", "198.51.100.7", 1, 0},
    {"fd00::1", {"2001:db8::7", NONE}, NONE, "2001:db8::7", 1, 0},
    /* what the client wrote itself stands in front of what the proxy added */
    {"10.0.0.1",
     {"203.0.113.5, 198.51.100.7", NONE},
     NONE,
     "198.51.100.7",
     1,
     0},
    {"10.0.0.1", {"203.0.113.5", "198.51.100.7"}, NONE, "198.51.100.7", 1, 0},
    {"10.0.0.1", {"10.0.0.3,198.51.100.7", NONE}, NONE, "198.51.100.7", 1, 0},
    /* ... and its X-Real-IP counts less than the list */
    {"10.0.0.1", {"198.51.100.7", NONE}, "203.0.113.5", "198.51.100.7", 1, 0},
    /* two proxies of ours in a row */
    {"10.0.0.1", {"198.51.100.7, 10.0.0.2", NONE}, NONE, "198.51.100.7", 1, 0},
    {"10.0.0.1", {"198.51.100.7", "10.0.0.2"}, NONE, "198.51.100.7", 1, 0},
    /* one of them is the client */
    {"10.0.0.1", {"10.0.0.3, 10.0.0.2", NONE}, NONE, "10.0.0.3", 1, 0},
    /* with ports, with brackets, with spaces */
    {"10.0.0.1", {"198.51.100.7:4711", NONE}, NONE, "198.51.100.7", 1, 0},
    {"10.0.0.1", {" \t[2001:db8::7]:4711 ", NONE}, NONE, "2001:db8::7", 1, 0},
    {"10.0.0.1", {"[2001:db8::7]", NONE}, NONE, "2001:db8::7", 1, 0},
    {"10.0.0.1", {"::ffff:198.51.100.7", NONE}, NONE, "198.51.100.7", 1, 0},
    /* what is no address ends the walk at the last that was known */
    {"10.0.0.1", {"unknown", NONE}, NONE, "10.0.0.1", 1, 0},
    {"10.0.0.1", {"198.51.100.7, unknown", NONE}, NONE, "10.0.0.1", 1, 0},
    {"10.0.0.1", {"198.51.100.7, x, 10.0.0.2", NONE}, NONE, "10.0.0.2", 1, 0},
    {"10.0.0.1", {"198.51.100.7,", NONE}, NONE, "10.0.0.1", 1, 0},
    {"10.0.0.1", {NONE, NONE}, "no address", "10.0.0.1", 0, 0},
};

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static rmr_prefix trusted[2];

static void server(rmr_coord *c)
{
    memset(c, 0, sizeof *c);
    c->proxies = trusted;
    c->n_proxies = 2;
    (void)rmr_prefix_parse(rmr_bytes_str("10.0.0.0/8"), &trusted[0]);
    (void)rmr_prefix_parse(rmr_bytes_str("fd00::/8"), &trusted[1]);
}

static size_t headers(const row *t, rmr_header h[4])
{
    size_t n = 0;
    h[n].name = rmr_bytes_str("Host");
    h[n++].value = rmr_bytes_str("10.9.9.9");
    for (int i = 0; i < 2; i++) {
        if (!t->forwarded[i])
            continue;
        h[n].name = rmr_bytes_str("x-forwarded-FOR");
        h[n++].value = rmr_bytes_str(t->forwarded[i]);
    }
    if (t->real) {
        h[n].name = rmr_bytes_str("X-Real-Ip");
        h[n++].value = rmr_bytes_str(t->real);
    }
    return n;
}

static void test_the_table(void **state)
{
    static rmr_coord c;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *t = &rows[i];
        rmr_header h[4];
        rmr_h1_head head;
        crd_conn n;
        char text[RMR_ADDR_TEXT_MAX];
        server(&c);
        memset(&head, 0, sizeof head);
        memset(&n, 0, sizeof n);
        head.headers = h;
        head.n_headers = headers(t, h);
        n.c = &c;
        n.remote = ip(t->remote);
        rmri_crd_client(&n, &head);
        print_message("%s by %s\n", t->client, t->remote);
        assert_string_equal(rmr_addr_ip_text(&n.client, text), t->client);
        assert_int_equal(c.count.forwarded, t->forwards);
        assert_int_equal(c.count.untrusted, t->untrusted);
    }
}

/* Each request of a connection has a client of its own: proxies share them. */
static void test_the_next_request_is_another_clients(void **state)
{
    static rmr_coord c;
    rmr_header h = {rmr_bytes_str("X-Forwarded-For"),
                    rmr_bytes_str("198.51.100.7")};
    rmr_h1_head head;
    crd_conn n;
    (void)state;
    server(&c);
    memset(&head, 0, sizeof head);
    memset(&n, 0, sizeof n);
    n.c = &c;
    n.remote = ip("10.0.0.1");
    head.headers = &h;
    head.n_headers = 1;
    rmri_crd_client(&n, &head);
    head.n_headers = 0;
    rmri_crd_client(&n, &head);
    assert_true(rmr_addr_ip_eq(&n.client, &n.remote));
}

static void test_the_local_socket_knows_no_proxies(void **state)
{
    static rmr_coord c;
    rmr_header h = {rmr_bytes_str("X-Real-IP"), rmr_bytes_str("198.51.100.7")};
    rmr_h1_head head;
    crd_conn n;
    (void)state;
    server(&c);
    memset(&head, 0, sizeof head);
    memset(&n, 0, sizeof n);
    n.c = &c;
    n.role = CRD_SOCKET;
    n.remote = ip("10.0.0.1");
    head.headers = &h;
    head.n_headers = 1;
    rmri_crd_client(&n, &head);
    assert_true(rmr_addr_ip_eq(&n.client, &n.remote));
    assert_int_equal(c.count.forwarded, 0);
}

/* Among the strangers that share places a connection counts for its client: one
 * that asks too often does not use up the proxy's. */
static void test_a_client_has_a_share_of_its_own(void **state)
{
    static rmr_coord c;
    test_rng rng;
    rmr_header h = {rmr_bytes_str("X-Forwarded-For"),
                    rmr_bytes_str("198.51.100.7")};
    rmr_h1_head head;
    crd_conn n;
    (void)state;
    server(&c);
    test_rng_seed(&rng, 1);
    rmr_rng table = test_rng_table(&rng);
    assert_int_equal(rmri_crd_fair_init(&c.strangers, &table), RMR_OK);
    memset(&head, 0, sizeof head);
    memset(&n, 0, sizeof n);
    n.c = &c;
    n.remote = n.client = ip("10.0.0.1");
    head.headers = &h;
    head.n_headers = 1;
    rmri_crd_fair_enter(&c.strangers, &n.place, &n.client);
    assert_int_equal(rmri_crd_fair_count(&c.strangers, &n.remote), 1);
    rmri_crd_client(&n, &head);
    assert_int_equal(rmri_crd_fair_count(&c.strangers, &n.remote), 0);
    /* The connection enters again as it settles. */
    rmri_crd_fair_enter(&c.strangers, &n.place, &n.client);
    assert_int_equal(rmri_crd_fair_count(&c.strangers, &n.client), 1);
    assert_int_equal(c.strangers.all, 1);
    /* The same client again: it keeps its place. */
    rmri_crd_client(&n, &head);
    assert_int_equal(rmri_crd_fair_count(&c.strangers, &n.client), 1);
}

/* The trust of everybody is a mistake, and refused at the start. */
static void test_everybody_is_no_proxy(void **state)
{
    test_alloc heap = {0};
    test_rng rng;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&heap, &rng, NULL);
    rmr_coord_config cfg;
    rmr_coord *c = NULL;
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 8080);
    rmr_prefix all;
    (void)state;
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1:8080";
    cfg.proxies = &all;
    cfg.n_proxies = 1;
    (void)rmr_prefix_parse(rmr_bytes_str("0.0.0.0/0"), &all);
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 1), RMR_E_INVAL);
    (void)rmr_prefix_parse(rmr_bytes_str("::1"), &all);
    assert_int_equal(rmr_coord_new(&c, &env, &cfg, 1), RMR_OK);
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_the_next_request_is_another_clients),
        cmocka_unit_test(test_the_local_socket_knows_no_proxies),
        cmocka_unit_test(test_a_client_has_a_share_of_its_own),
        cmocka_unit_test(test_everybody_is_no_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
