/* NATs, in the words of RFC 4787, and firewalls. */
#include "toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define EIM RMR_SIM_ENDPOINT_INDEPENDENT
#define ADM RMR_SIM_ADDRESS_DEPENDENT
#define APDM RMR_SIM_ADDRESS_AND_PORT_DEPENDENT

/* One inner host behind a NAT, two servers outside that answer what they get;
 * the second has two ports. */
typedef struct lab {
    bench b;
    rmr_sim_net home;
    toy *in, *in2, *one, *two;
    rmr_addr outside;
} lab;

static void gate_init(lab *l, rmr_sim_gate_config *g)
{
    l->outside = addr("203.0.113.1");
    rmr_sim_gate_config_init(g, sizeof *g);
    g->nat = true;
    g->outside = &l->outside;
    g->n_outside = 1;
    g->inside = addr("192.168.1.1");
}

static toy *toy_new(lab *l, rmr_sim_net net, const char *ip)
{
    toy *t = malloc(sizeof *t);
    assert_non_null(t);
    bench_host(&l->b, t, net, ip, RMR_MS);
    return t;
}

static void lab_init(lab *l, const rmr_sim_gate_config *g)
{
    bench_init(&l->b, 3);
    assert_int_equal(rmr_sim_net_new(l->b.sim, RMR_SIM_INTERNET, g, &l->home),
                     RMR_OK);
    l->in = toy_new(l, l->home, "192.168.1.2");
    l->in2 = toy_new(l, l->home, "192.168.1.3");
    l->one = toy_new(l, RMR_SIM_INTERNET, "198.51.100.1");
    l->two = toy_new(l, RMR_SIM_INTERNET, "198.51.100.2");
    toy_open(l->in, 1, addr("0.0.0.0:5000"));
    toy_open(l->in2, 1, addr("0.0.0.0:5000"));
    toy_open(l->one, 1, addr("0.0.0.0:3478"));
    toy_open(l->two, 1, addr("0.0.0.0:3478"));
    toy_open(l->two, 2, addr("0.0.0.0:3479"));
    toy_run(l->in, 10 * RMR_MS);
}

static void lab_free(lab *l)
{
    bench_free(&l->b);
    free(l->in);
    free(l->in2);
    free(l->one);
    free(l->two);
}

static lab *made(lab *l, rmr_sim_dependence mapping,
                 rmr_sim_dependence filtering, rmr_sim_ports ports)
{
    rmr_sim_gate_config g;
    gate_init(l, &g);
    g.mapping = mapping;
    g.filtering = filtering;
    g.ports = ports;
    lab_init(l, &g);
    return l;
}

/* What the server sees of the inner host. */
static rmr_addr seen_by(toy *from, toy *server, uint64_t id, const char *at)
{
    toy_send(from, 1, addr(at), "who");
    toy_run(from, 10 * RMR_MS);
    const toy_heard *h = toy_last(server, RMR_IO_DATAGRAMS, id);
    assert_non_null(h);
    return h->addr;
}

static bool comes_in(lab *l, toy *server, uint64_t id, rmr_addr to)
{
    toy_forget(l->in);
    toy_send(server, id, to, "in");
    toy_run(l->in, 10 * RMR_MS);
    return toy_got(l->in, 1, "in");
}

/* ---- mapping (RFC 4787 4.1) ----------------------------------------------- */

static void an_endpoint_independent_mapping_is_one_for_all(void **state)
{
    lab l;
    (void)state;
    made(&l, EIM, APDM, RMR_SIM_PORTS_RANDOM);
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    rmr_addr b = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
    rmr_addr c = seen_by(l.in, l.two, 2, "198.51.100.2:3479");
    assert_true(rmr_addr_ip_eq(&a, &l.outside));
    assert_true(rmr_addr_eq(&a, &b) && rmr_addr_eq(&a, &c));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).mappings, 1);
    lab_free(&l);
}

static void an_address_dependent_mapping_is_one_for_each_address(void **state)
{
    lab l;
    (void)state;
    made(&l, ADM, APDM, RMR_SIM_PORTS_RANDOM);
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    rmr_addr b = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
    rmr_addr c = seen_by(l.in, l.two, 2, "198.51.100.2:3479");
    assert_false(rmr_addr_eq(&a, &b));
    assert_true(rmr_addr_eq(&b, &c));
    lab_free(&l);
}

static void an_address_and_port_dependent_one_for_each_end(void **state)
{
    lab l;
    (void)state;
    made(&l, APDM, APDM, RMR_SIM_PORTS_RANDOM);
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    rmr_addr b = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
    rmr_addr c = seen_by(l.in, l.two, 2, "198.51.100.2:3479");
    assert_false(rmr_addr_eq(&a, &b));
    assert_false(rmr_addr_eq(&b, &c));
    rmr_addr again = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    assert_true(rmr_addr_eq(&a, &again));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).mappings, 3);
    lab_free(&l);
}

/* ---- ports (4.2) ----------------------------------------------------------- */

static void a_free_port_is_preserved_and_a_taken_one_is_not(void **state)
{
    lab l;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_PRESERVED);
    assert_int_equal(seen_by(l.in, l.one, 1, "198.51.100.1:3478").port, 5000);
    assert_int_equal(seen_by(l.in2, l.one, 1, "198.51.100.1:3478").port, 5001);
    lab_free(&l);
}

static void sequential_ports_follow_each_other(void **state)
{
    lab l;
    (void)state;
    made(&l, APDM, APDM, RMR_SIM_PORTS_SEQUENTIAL);
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    rmr_addr b = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
    assert_int_equal(b.port, a.port + 1);
    lab_free(&l);
}

static void an_inner_host_keeps_its_outer_address(void **state)
{
    lab l;
    rmr_sim_gate_config g;
    rmr_addr pool[3] = {addr("203.0.113.1"), addr("203.0.113.2"),
                        addr("203.0.113.3")};
    (void)state;
    for (int unpaired = 0; unpaired < 2; unpaired++) {
        gate_init(&l, &g);
        g.mapping = g.filtering = APDM;
        g.outside = pool;
        g.n_outside = 3;
        g.is_unpaired = unpaired;
        lab_init(&l, &g);
        bool varies = false;
        rmr_addr first = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
        for (int i = 0; i < 20; i++) {
            rmr_addr to = addr("198.51.100.2:3478");
            to.port = (uint16_t)(4000 + i);
            rmr_addr local = addr("0.0.0.0:1");
            local.port = to.port;
            toy_open(l.two, 100 + (uint64_t)i, local);
            toy_send(l.in, 1, to, "who");
            toy_run(l.in, 10 * RMR_MS);
            const toy_heard *h =
                toy_last(l.two, RMR_IO_DATAGRAMS, 100 + (uint64_t)i);
            assert_non_null(h);
            varies |= !rmr_addr_ip_eq(&h->addr, &first);
        }
        assert_int_equal(varies, unpaired);
        lab_free(&l);
    }
}

static void a_full_table_drops_and_counts(void **state)
{
    lab l;
    rmr_sim_gate_config g;
    (void)state;
    gate_init(&l, &g);
    g.mapping = APDM;
    g.max_mappings = 1;
    lab_init(&l, &g);
    (void)seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    toy_send(l.in, 1, addr("198.51.100.2:3478"), "x");
    toy_run(l.in, 10 * RMR_MS);
    assert_null(toy_last(l.two, RMR_IO_DATAGRAMS, 1));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).full, 1);
    lab_free(&l);
}

/* ---- filtering (5) --------------------------------------------------------- */

static void filtering_asks_for_what_its_name_says(void **state)
{
    static const struct {
        rmr_sim_dependence filtering;
        bool other_address, other_port;
    } cases[] = {{EIM, true, true}, {ADM, false, true}, {APDM, false, false}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        lab l;
        made(&l, EIM, cases[i].filtering, RMR_SIM_PORTS_PRESERVED);
        rmr_addr outer = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
        assert_true(comes_in(&l, l.two, 1, outer));
        assert_int_equal(comes_in(&l, l.two, 2, outer), cases[i].other_port);
        assert_int_equal(comes_in(&l, l.one, 1, outer), cases[i].other_address);
        lab_free(&l);
    }
}

/* A mapping that one remote made is not open to what another one may use. */
static void pinholes_belong_to_their_mapping(void **state)
{
    lab l;
    (void)state;
    made(&l, APDM, APDM, RMR_SIM_PORTS_RANDOM);
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    rmr_addr b = seen_by(l.in, l.two, 1, "198.51.100.2:3478");
    assert_true(comes_in(&l, l.one, 1, a));
    assert_false(comes_in(&l, l.two, 1, a));
    assert_false(comes_in(&l, l.one, 1, b));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).filtered, 2);
    lab_free(&l);
}

static void what_was_never_mapped_does_not_come_in(void **state)
{
    lab l;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_PRESERVED);
    assert_false(comes_in(&l, l.one, 1, addr("203.0.113.1:5000")));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).unmapped, 1);
    lab_free(&l);
}

/* ---- lifetime (4.3) -------------------------------------------------------- */

static void a_mapping_lives_as_long_as_it_is_used(void **state)
{
    lab l;
    (void)state;
    for (int i = 0; i < 2; i++) {
        rmr_sim_gate_config g;
        gate_init(&l, &g);
        g.filtering = APDM;
        g.lifetime = 30 * RMR_SEC;
        g.ports = RMR_SIM_PORTS_RANDOM;
        g.no_inbound_refresh = i == 1;
        lab_init(&l, &g);
        rmr_addr outer = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
        toy_run(l.in, 20 * RMR_SEC);
        assert_true(comes_in(&l, l.one, 1, outer));
        toy_run(l.in, 20 * RMR_SEC);
        assert_int_equal(comes_in(&l, l.one, 1, outer), i == 0);
        toy_run(l.in, 31 * RMR_SEC);
        assert_false(comes_in(&l, l.one, 1, outer));
        rmr_addr other = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
        assert_false(rmr_addr_eq(&outer, &other));
        lab_free(&l);
    }
}

static void a_reboot_forgets_mappings_but_not_forwards(void **state)
{
    lab l;
    rmr_addr got;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_RANDOM);
    rmr_addr outer = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    assert_int_equal(rmr_sim_gate_forward(l.b.sim, l.home,
                                          addr("192.168.1.3:5000"), 7000,
                                          RMR_SEC * 3600, &got),
                     RMR_OK);
    assert_int_equal(rmr_sim_gate_reboot(l.b.sim, l.home), RMR_OK);
    assert_false(comes_in(&l, l.one, 1, outer));
    toy_send(l.one, 1, got, "fwd");
    toy_run(l.in, 10 * RMR_MS);
    assert_true(toy_got(l.in2, 1, "fwd"));
    lab_free(&l);
}

/* ---- forwards -------------------------------------------------------------- */

static void a_forward_is_open_to_all_and_names_what_goes_out(void **state)
{
    lab l;
    rmr_addr got;
    (void)state;
    made(&l, APDM, APDM, RMR_SIM_PORTS_RANDOM);
    assert_int_equal(rmr_sim_gate_forward(l.b.sim, l.home,
                                          addr("192.168.1.2:5000"), 41641,
                                          RMR_SEC * 60, &got),
                     RMR_OK);
    assert_int_equal(got.port, 41641);
    assert_true(comes_in(&l, l.one, 1, got));
    rmr_addr a = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    assert_true(rmr_addr_eq(&a, &got));
    assert_int_equal(rmr_sim_gate_forward(l.b.sim, l.home,
                                          addr("192.168.1.3:5000"), 41641,
                                          RMR_SEC * 60, &got),
                     RMR_E_INUSE);
    toy_run(l.in, 61 * RMR_SEC);
    assert_false(comes_in(&l, l.one, 1, a));
    lab_free(&l);
}

/* ---- hairpin (6) ----------------------------------------------------------- */

static void hairpinning_shows_the_outer_source(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        lab l;
        rmr_sim_gate_config g;
        gate_init(&l, &g);
        g.hairpin = on;
        lab_init(&l, &g);
        rmr_addr outer = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
        rmr_addr outer2 = seen_by(l.in2, l.one, 1, "198.51.100.1:3478");
        toy_send(l.in2, 1, outer, "pin");
        toy_run(l.in, 10 * RMR_MS);
        assert_int_equal(toy_got(l.in, 1, "pin"), on);
        if (on)
            assert_true(rmr_addr_eq(&toy_last(l.in, RMR_IO_DATAGRAMS, 1)->addr,
                                    &outer2));
        lab_free(&l);
    }
}

/* ---- stacks of gates -------------------------------------------------------- */

static void two_nats_in_a_row_both_translate(void **state)
{
    lab l;
    rmr_sim_net inner;
    rmr_sim_gate_config g;
    rmr_addr middle = addr("192.168.1.77");
    (void)state;
    made(&l, EIM, APDM, RMR_SIM_PORTS_RANDOM);
    gate_init(&l, &g);
    g.outside = &middle;
    g.filtering = APDM;
    g.ports = RMR_SIM_PORTS_RANDOM;
    assert_int_equal(rmr_sim_net_new(l.b.sim, l.home, &g, &inner), RMR_OK);
    toy *deep = toy_new(&l, inner, "10.0.0.2");
    toy_open(deep, 1, addr("0.0.0.0:5000"));
    rmr_addr outer = seen_by(deep, l.one, 1, "198.51.100.1:3478");
    assert_true(rmr_addr_ip_eq(&outer, &l.outside));
    toy_send(l.one, 1, outer, "back");
    toy_run(deep, 10 * RMR_MS);
    assert_true(toy_got(deep, 1, "back"));
    /* To the middle net it is one of its hosts. */
    rmr_addr mid = seen_by(deep, l.in, 1, "192.168.1.2:5000");
    assert_true(rmr_addr_ip_eq(&mid, &middle));
    lab_free(&l);
    free(deep);
}

/* ---- firewalls -------------------------------------------------------------- */

static void a_firewall_lets_answers_in(void **state)
{
    lab l;
    rmr_sim_net site;
    rmr_sim_gate_config g;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_PRESERVED);
    rmr_sim_gate_config_init(&g, sizeof g);
    assert_int_equal(rmr_sim_net_new(l.b.sim, RMR_SIM_INTERNET, &g, &site),
                     RMR_OK);
    toy *in = toy_new(&l, site, "2001:db8:1::2");
    toy *out = toy_new(&l, RMR_SIM_INTERNET, "2001:db8:2::2");
    toy_open(in, 1, addr("[::]:5000"));
    toy_open(out, 1, addr("[::]:6000"));
    toy_open(out, 2, addr("[::]:6001"));
    toy_send(out, 1, addr("[2001:db8:1::2]:5000"), "no");
    toy_run(in, 10 * RMR_MS);
    assert_false(toy_got(in, 1, "no"));
    toy_send(in, 1, addr("[2001:db8:2::2]:6000"), "hi");
    toy_run(in, 10 * RMR_MS);
    rmr_addr src = toy_last(out, RMR_IO_DATAGRAMS, 1)->addr;
    assert_int_equal(src.port, 5000); /* nothing is translated */
    toy_send(out, 1, src, "yes");
    toy_run(in, 10 * RMR_MS);
    assert_true(toy_got(in, 1, "yes"));
    toy_send(out, 2, src, "other");
    toy_run(in, 10 * RMR_MS);
    assert_false(toy_got(in, 1, "other"));
    toy_run(in, 130 * RMR_SEC);
    toy_send(out, 1, src, "late");
    toy_run(in, 10 * RMR_MS);
    assert_false(toy_got(in, 1, "late"));
    lab_free(&l);
    free(in);
    free(out);
}

static void udp_can_be_blocked_one_way_and_in_one_family(void **state)
{
    lab l;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_PRESERVED);
    rmr_addr outer = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    assert_int_equal(
        rmr_sim_gate_block_udp(l.b.sim, l.home, RMR_AF_INET, RMR_SIM_WAY_OUT),
        RMR_OK);
    assert_true(comes_in(&l, l.one, 1, outer));
    toy_forget(l.one);
    toy_send(l.in, 1, addr("198.51.100.1:3478"), "x");
    toy_run(l.in, 10 * RMR_MS);
    assert_null(toy_last(l.one, RMR_IO_DATAGRAMS, 1));
    assert_int_equal(
        rmr_sim_gate_block_udp(l.b.sim, l.home, RMR_AF_INET, RMR_SIM_WAY_IN),
        RMR_OK);
    assert_int_equal(
        rmr_sim_gate_block_udp(l.b.sim, l.home, RMR_AF_INET6, RMR_SIM_WAY_BOTH),
        RMR_OK);
    assert_false(comes_in(&l, l.one, 1, outer));
    toy_forget(l.one);
    toy_send(l.in, 1, addr("198.51.100.1:3478"), "x");
    toy_run(l.in, 10 * RMR_MS);
    assert_non_null(toy_last(l.one, RMR_IO_DATAGRAMS, 1));
    lab_free(&l);
}

static void blocked_udp_passes_neither_way(void **state)
{
    lab l;
    (void)state;
    made(&l, EIM, EIM, RMR_SIM_PORTS_PRESERVED);
    rmr_addr outer = seen_by(l.in, l.one, 1, "198.51.100.1:3478");
    assert_int_equal(
        rmr_sim_gate_block_udp(l.b.sim, l.home, RMR_AF_NONE, RMR_SIM_WAY_BOTH),
        RMR_OK);
    assert_false(comes_in(&l, l.one, 1, outer));
    toy_forget(l.one);
    toy_send(l.in, 1, addr("198.51.100.1:3478"), "x");
    toy_run(l.in, 10 * RMR_MS);
    assert_null(toy_last(l.one, RMR_IO_DATAGRAMS, 1));
    assert_int_equal(rmr_sim_gate_get_stats(l.b.sim, l.home).blocked, 2);
    toy_send(l.in, 1, addr("192.168.1.3:5000"), "lan"); /* not by the gate */
    toy_run(l.in, 10 * RMR_MS);
    assert_true(toy_got(l.in2, 1, "lan"));
    lab_free(&l);
}

static void only_tcp_443_lets_nothing_else_out(void **state)
{
    lab l;
    rmr_sim_gate_config g;
    (void)state;
    gate_init(&l, &g);
    g.only_tcp_443 = true;
    lab_init(&l, &g);
    toy_listen(l.one, 5, addr("0.0.0.0:443"));
    toy_listen(l.one, 6, addr("0.0.0.0:80"));
    toy_send(l.in, 1, addr("198.51.100.1:3478"), "x");
    toy_connect(l.in, 2, addr("198.51.100.1:443"), 0);
    toy_connect(l.in, 3, addr("198.51.100.1:80"), 2 * RMR_SEC);
    toy_run(l.in, 3 * RMR_SEC);
    assert_null(toy_last(l.one, RMR_IO_DATAGRAMS, 1));
    assert_non_null(toy_last(l.in, RMR_IO_OPENED, 2));
    assert_int_equal(toy_last(l.in, RMR_IO_FAILED, 3)->err, RMR_E_TIMEOUT);
    lab_free(&l);
}

/* ---- ICMP echo -------------------------------------------------------------- */

static void echoes_pass_a_nat_by_their_identifier(void **state)
{
    lab l;
    rmr_io_op op;
    static const uint8_t echo[12] = {8, 0, 0,   0,   1,   2,
                                     0, 7, 'd', 'a', 't', 'a'};
    (void)state;
    made(&l, APDM, APDM, RMR_SIM_PORTS_RANDOM);
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_ICMP_OPEN;
    op.id = 9;
    op.addr.family = RMR_AF_INET;
    toy_op(l.in, &op);
    toy_op(l.in2, &op);
    op.kind = RMR_IO_UDP_SEND;
    op.addr = addr("198.51.100.1");
    op.data = rmr_bytes_of(echo, sizeof echo);
    toy_op(l.in, &op);
    toy_op(l.in2, &op);
    toy_run(l.in, 20 * RMR_MS);
    for (int i = 0; i < 2; i++) {
        const toy_heard *h = toy_last(i ? l.in2 : l.in, RMR_IO_DATAGRAMS, 9);
        assert_non_null(h);
        assert_int_equal(h->len, sizeof echo);
        assert_int_equal(h->data[0], 0);
        assert_memory_equal(h->data + 6, echo + 6, 6);
    }
    assert_int_equal(toy_count(l.in, RMR_IO_DATAGRAMS, 9), 1);
    lab_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_independent_mapping_is_one_for_all),
        cmocka_unit_test(an_address_dependent_mapping_is_one_for_each_address),
        cmocka_unit_test(an_address_and_port_dependent_one_for_each_end),
        cmocka_unit_test(a_free_port_is_preserved_and_a_taken_one_is_not),
        cmocka_unit_test(sequential_ports_follow_each_other),
        cmocka_unit_test(an_inner_host_keeps_its_outer_address),
        cmocka_unit_test(a_full_table_drops_and_counts),
        cmocka_unit_test(filtering_asks_for_what_its_name_says),
        cmocka_unit_test(pinholes_belong_to_their_mapping),
        cmocka_unit_test(what_was_never_mapped_does_not_come_in),
        cmocka_unit_test(a_mapping_lives_as_long_as_it_is_used),
        cmocka_unit_test(a_reboot_forgets_mappings_but_not_forwards),
        cmocka_unit_test(a_forward_is_open_to_all_and_names_what_goes_out),
        cmocka_unit_test(hairpinning_shows_the_outer_source),
        cmocka_unit_test(two_nats_in_a_row_both_translate),
        cmocka_unit_test(a_firewall_lets_answers_in),
        cmocka_unit_test(udp_can_be_blocked_one_way_and_in_one_family),
        cmocka_unit_test(blocked_udp_passes_neither_way),
        cmocka_unit_test(only_tcp_443_lets_nothing_else_out),
        cmocka_unit_test(echoes_pass_a_nat_by_their_identifier),
    };
    return cmocka_run_group_tests_name("nat", tests, NULL, NULL);
}
