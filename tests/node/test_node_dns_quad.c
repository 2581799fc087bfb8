/* Names in the node: quad-100 through a forward and for this host, and dials to
 * names that resolvers know. */
#include "dns_pair.h"
#include "node_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static dns_pair d;

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
    dp_start(&d);
    pair_conn *c = pair_dial(&d.p, 0, DP_DNS_PORT, NULL);
    assert_non_null(c);
    size_t n = question(q, "node1.ex.com"); /* two at once, in pieces */
    n += question(q + n, "node0.ex.com");
    for (size_t at = 0; at < n;) {
        at += pair_write(c, q + at, n - at < 7 ? n - at : 7);
        pair_run(&d.p, RMR_MS, NULL, NULL);
    }
    for (int i = 0; i < 1000 && len < n + 32; i++) {
        pair_run(&d.p, 10 * RMR_MS, NULL, NULL);
        len += pair_read(c, got + len, sizeof got - len);
    }
    assert_int_equal(len, n + 32); /* the questions, and 16 bytes each */
    assert_memory_equal(got + 2, "\xab\xcd\x85\x80\0\1\0\1", 8);
    assert_memory_equal(got + len / 2 - 4, "\x64\x40\0\2", 4);
    assert_memory_equal(got + len - 4, "\x64\x40\0\1", 4);
    pair_close(c);
    pair_run(&d.p, 40 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.p.node[0].n->dns->n_served, 0);
    dp_stop(&d);
}

static void clients_that_break_the_rules_are_cut_off(void **state)
{
    static uint8_t big[3000] = {0x0b, 0xb8};
    (void)state;
    dp_start(&d);
    pair_conn *c[ND_DNS_SERVED + 2];
    for (size_t i = 0; i < ND_DNS_SERVED + 2; i++) {
        c[i] = pair_dial(&d.p, 0, DP_DNS_PORT, NULL);
        assert_non_null(c[i]);
        pair_run(&d.p, 200 * RMR_MS, NULL, NULL);
    }
    assert_int_equal(d.p.node[0].n->dns->n_served, ND_DNS_SERVED);
    assert_true(pair_is_reset(c[ND_DNS_SERVED]));
    pair_write(c[0], big, sizeof big); /* above any question */
    pair_run(&d.p, RMR_SEC, NULL, NULL);
    assert_int_equal(d.p.node[0].n->dns->n_served, ND_DNS_SERVED - 1);
    pair_run(&d.p, 60 * RMR_SEC, NULL, NULL); /* the others say nothing */
    assert_int_equal(d.p.node[0].n->dns->n_served, 0);
    dp_stop(&d);
}

static void datagrams_to_quad_100_are_answered(void **state)
{
    rmr_ns_sock s;
    rmr_md_stats st;
    uint8_t q[300];
    (void)state;
    dp_start(&d);
    rmr_node *n = d.p.node[0].n;
    rmr_addr quad = rmr_addr_v4(100, 100, 100, 100, 53);
    assert_int_equal(rmr_ns_udp_connect(n->ns, NULL, &quad, n->dns, &s),
                     RMR_OK);
    size_t len = question(q, "node1.ex.com");
    assert_int_equal(rmr_ns_udp_send(n->ns, d.p.now, s, NULL, NULL,
                                     rmr_bytes_of(q + 2, len - 2)),
                     RMR_OK);
    n->dirty = true;
    pair_drain(&d.p, 0);
    rmr_md_get_stats(n->dns->md, &st);
    assert_int_equal(st.asked, 1);
    assert_int_equal(st.own, 1);
    assert_int_equal(st.ignored, 1); /* the answer, which the test's socket
                                        heard: it is no question */
    rmr_ns_close(n->ns, d.p.now, s);
    dp_stop(&d);
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
    dp_start(&d);
    rmr_node *n = d.p.node[1].n;
    rmr_md_stats st;
    rmr_node_conn c;
    assert_int_equal(rmr_node_dial(n, d.p.now, "100.100.100.100", 53, NULL, &c),
                     RMR_OK);
    pair_drain(&d.p, 1);
    pair_run(&d.p, RMR_SEC, NULL, NULL);
    assert_int_equal(d.seen.connected, 1); /* to its own */
    rmr_md_get_stats(d.p.node[0].n->dns->md, &st);
    assert_int_equal(d.p.node[0].n->dns->n_served, 0);
    assert_int_equal(st.asked, 0);
    dp_stop(&d);
}

static bool is_over(void *user)
{
    (void)user;
    return d.seen.connected || d.seen.closed;
}

static void a_dial_goes_where_the_resolver_says(void **state)
{
    rmr_node_conn c;
    rmr_bytes view;
    bool eof;
    size_t taken;
    (void)state;
    dp_start(&d);
    dp_set_routes(&d);
    rmr_node *n = d.p.node[0].n;
    assert_int_equal(
        rmr_node_dial(n, d.p.now, "db.corp.example", DP_SERVE_PORT, NULL, &c),
        RMR_OK);
    assert_int_equal(rmr_node_send(n, d.p.now, c, rmr_bytes_str("x"), &taken),
                     RMR_E_STATE);
    assert_int_equal(rmr_node_peek(n, c, &view, &eof), RMR_OK);
    assert_int_equal(view.len, 0);
    pair_drain(&d.p, 0);
    assert_true(pair_run(&d.p, 20 * RMR_SEC, is_over, NULL));
    assert_int_equal(d.seen.connected, 1);
    assert_int_equal(rmr_node_send(n, d.p.now, c, rmr_bytes_str("x"), &taken),
                     RMR_OK);
    /* one that nobody knows is not asked for */
    assert_int_equal(rmr_node_dial(n, d.p.now, "www.example.org", 80, NULL, &c),
                     RMR_E_NOTFOUND);
    dp_stop(&d);
}

static void a_dial_that_no_resolver_answers_ends(void **state)
{
    rmr_node_conn c;
    (void)state;
    dp_start(&d);
    dp_set_routes(&d);
    d.p.dns_silent = true;
    rmr_node *n = d.p.node[0].n;
    assert_int_equal(
        rmr_node_dial(n, d.p.now, "db.corp.example", DP_SERVE_PORT, NULL, &c),
        RMR_OK);
    pair_drain(&d.p, 0);
    assert_true(pair_run(&d.p, 20 * RMR_SEC, is_over, NULL));
    assert_int_equal(d.seen.connected, 0);
    assert_int_equal(d.seen.why, RMR_E_REFUSED);
    /* one that is given up meanwhile tells nothing */
    assert_int_equal(
        rmr_node_dial(n, d.p.now, "db.corp.example", DP_SERVE_PORT, NULL, &c),
        RMR_OK);
    pair_drain(&d.p, 0);
    assert_int_equal(rmr_node_abort(n, d.p.now, c), RMR_OK);
    pair_run(&d.p, 20 * RMR_SEC, NULL, NULL);
    assert_int_equal(d.seen.closed, 1);
    dp_stop(&d);
}

static void forwards_and_socks_take_names_of_routes(void **state)
{
    static const uint8_t ask[] = "\5\1\0\5\1\0\3\017db.corp.example\x1b\x58";
    uint8_t got[64];
    size_t len = 0;
    (void)state;
    dp_start(&d);
    dp_set_routes(&d);
    pair_conn *f = pair_dial(&d.p, 0, DP_FORWARD_PORT, NULL);
    assert_non_null(f);
    pair_write(f, "hello", 5);
    pair_run(&d.p, 5 * RMR_SEC, NULL, NULL);
    pair_conn *far = pair_accepted(&d.p, 7000);
    assert_non_null(far);
    assert_int_equal(pair_read(far, got, sizeof got), 5);
    pair_conn *s = pair_dial(&d.p, 0, DP_SOCKS_PORT, NULL);
    assert_non_null(s);
    pair_write(s, ask, sizeof ask - 1);
    for (int i = 0; i < 50 && len < 12; i++) {
        pair_run(&d.p, 100 * RMR_MS, NULL, NULL);
        len += pair_read(s, got + len, sizeof got - len);
    }
    assert_int_equal(len, 12);
    assert_memory_equal(got, "\5\0\5\0", 4);
    dp_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
