/* HTTPS, ICMP, captive portals and the port mapper: what the host does for a
 * run. */
#include "netcheck_internal.h"

#include "nc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Nobody answers STUN; the run has come to its fallback. */
static void blocked(nc_lab *l, size_t regions)
{
    nc_lab_init(l);
    nc_lab_map(l, regions, 2);
    l->how.no_https = l->how.no_icmp = false;
    nc_lab_start(l);
    nc_lab_go(l, l->now + 3 * RMR_SEC);
    assert_int_equal(l->done, 0);
    assert_int_equal(l->nc->stage, STAGE_FALLBACK);
}

static void https_measures_where_stun_does_not(void **state)
{
    (void)state;
    nc_lab l;
    uint16_t region;
    rmr_dur timeout;
    rmr_addr remote = nc_addr("192.0.2.1:443");
    blocked(&l, 2);
    assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    assert_int_equal(region, 1);
    assert_int_equal(timeout, 2 * RMR_SEC);
    assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    assert_int_equal(region, 2);
    assert_false(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    l.now += 100 * RMR_MS;
    assert_int_equal(
        rmr_netcheck_https_done(l.nc, l.now, 1, RMR_OK, 40 * RMR_MS, &remote),
        RMR_OK);
    assert_int_equal(
        rmr_netcheck_https_done(l.nc, l.now, 1, RMR_OK, 4 * RMR_MS, &remote),
        RMR_E_UNKNOWN);
    assert_int_equal(
        rmr_netcheck_https_done(l.nc, l.now, 9, RMR_OK, 4 * RMR_MS, &remote),
        RMR_E_UNKNOWN);
    assert_int_equal(
        rmr_netcheck_https_done(l.nc, l.now, 2, RMR_E_REFUSED, 0, NULL),
        RMR_OK);
    assert_int_equal(l.done, 0); /* echoes are still out */
    assert_int_equal(rmr_netcheck_no_icmp(l.nc, l.now), RMR_OK);
    assert_int_equal(l.done, 1);
    assert_false(l.last.udp);
    assert_true(l.last.ipv4);
    assert_false(l.last.icmpv4);
    assert_int_equal(l.last.n_latency, 1);
    assert_int_equal(l.last.latency[0].any, 40 * RMR_MS);
    assert_int_equal(l.last.latency[0].v4, NONE);
    assert_int_equal(l.last.preferred_derp, 1);
    nc_lab_wipe(&l);
}

static void https_is_asked_for_a_few_at_once(void **state)
{
    (void)state;
    nc_lab l;
    uint16_t region;
    rmr_dur timeout;
    blocked(&l, 11);
    l.nc->max_https = 3;
    for (size_t i = 0; i < 3; i++)
        assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    assert_false(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    (void)rmr_netcheck_https_done(l.nc, l.now, 2, RMR_OK, RMR_MS, NULL);
    assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    assert_int_equal(region, 4);
    /* Those that never answer end with the run. */
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.ended - l.last.started, 5 * RMR_SEC);
    assert_int_equal(
        rmr_netcheck_https_done(l.nc, l.now, 4, RMR_OK, RMR_MS, NULL),
        RMR_E_UNKNOWN);
    nc_lab_wipe(&l);
}

static size_t next_echo(nc_lab *l, uint8_t *buf, rmr_addr *to)
{
    size_t len;
    assert_int_equal(
        rmr_netcheck_write_icmp(
            l->nc, l->now, rmr_buf_of(buf, RMR_NETCHECK_ICMP_MAX), &len, to),
        RMR_OK);
    return len;
}

static uint16_t sum_of(const uint8_t *p, size_t n)
{
    uint32_t s = 0;
    for (size_t i = 0; i < n; i += 2)
        s += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0u);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

static void echoes_measure_too_and_the_least_counts(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t echo[RMR_NETCHECK_ICMP_MAX], second[RMR_NETCHECK_ICMP_MAX];
    rmr_addr to, want = nc_addr("10.0.1.0");
    uint16_t region;
    rmr_dur timeout;
    blocked(&l, 2);
    size_t n = next_echo(&l, echo, &to);
    assert_int_equal(n, 8 + 2);
    assert_true(rmr_addr_eq(&to, &want));
    assert_int_equal(echo[0], 8);
    assert_memory_equal(echo + 8, "1a", 2);
    assert_int_equal(sum_of(echo, n), 0xffff);
    assert_int_equal(next_echo(&l, second, &to), 10);
    assert_int_equal(next_echo(&l, second + 0, &to), 0);
    while (rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout))
        continue;
    l.now += 25 * RMR_MS;
    /* A request, a cut one, one of another payload, one of another region. */
    rmr_bytes reply = rmr_bytes_of(echo, n);
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, reply),
                     RMR_E_MALFORMED);
    echo[0] = 0;
    echo[4] ^= 0xff; /* the host's own identifier */
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, rmr_bytes_of(echo, 7)),
                     RMR_E_MALFORMED);
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, rmr_bytes_of(echo, 9)),
                     RMR_E_UNKNOWN);
    echo[7] ^= 8;
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, reply), RMR_E_UNKNOWN);
    echo[7] ^= 8;
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, reply), RMR_OK);
    assert_int_equal(rmr_netcheck_read_icmp(l.nc, l.now, reply), RMR_E_UNKNOWN);
    l.now += 25 * RMR_MS;
    (void)rmr_netcheck_https_done(l.nc, l.now, 1, RMR_OK, 50 * RMR_MS, NULL);
    (void)rmr_netcheck_https_done(l.nc, l.now, 2, RMR_OK, 10 * RMR_MS, NULL);
    assert_int_equal(l.done, 0);
    /* A second after they began, the missing echo is given up. */
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.ended - l.last.started, 4 * RMR_SEC);
    assert_true(l.last.icmpv4 && l.last.ipv4 && !l.last.udp);
    assert_int_equal(l.last.latency[0].any, 25 * RMR_MS);
    assert_int_equal(l.last.latency[1].any, 10 * RMR_MS);
    nc_lab_wipe(&l);
}

static void fallback_keeps_to_the_rules_of_the_map(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t echo[RMR_NETCHECK_ICMP_MAX];
    rmr_addr to;
    uint16_t region;
    rmr_dur timeout;
    rmr_netcheck_node relay = {
        .name = "r", .v4 = nc_addr("192.0.2.1"), .no_v6 = true};
    rmr_netcheck_node stun = relay, quiet = relay, v6 = relay;
    stun.stun_only = true;
    quiet.stun_port = -1;
    v6.no_v6 = false;
    v6.no_v4 = true;
    v6.v6 = nc_addr("2001:db8::1");
    const rmr_netcheck_region regions[] = {
        {.id = 1, .avoid = true, .nodes = &relay, .n_nodes = 1},
        {.id = 2, .no_measure_no_home = true, .nodes = &relay, .n_nodes = 1},
        {.id = 3, .nodes = &stun, .n_nodes = 1},
        {.id = 4, .nodes = &quiet, .n_nodes = 1}, /* HTTPS alone */
        {.id = 5, .nodes = &v6, .n_nodes = 1},    /* HTTPS alone */
        {.id = 6, .nodes = &relay, .n_nodes = 1},
        {.id = 7},
    };
    nc_lab_init(&l);
    l.how.no_https = l.how.no_icmp = false;
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, regions, 7, NULL),
                     RMR_OK);
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 3 * RMR_SEC);
    for (uint16_t want = 4; want <= 6; want++) {
        assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
        assert_int_equal(region, want);
    }
    assert_false(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    assert_int_equal(next_echo(&l, echo, &to), 9);
    assert_int_equal(echo[7], 5); /* region 6 is the sixth */
    assert_int_equal(next_echo(&l, echo, &to), 0);
    nc_lab_wipe(&l);
}

static void only_tcp_443_means_https_alone_and_at_once(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t echo[RMR_NETCHECK_ICMP_MAX];
    rmr_addr to;
    uint16_t region;
    rmr_dur timeout;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.how.no_https = l.how.no_icmp = false;
    l.how.only_tcp_443 = true;
    nc_lab_start(&l);
    assert_int_equal(rmr_netcheck_next_deadline(l.nc), l.now);
    nc_lab_go(&l, l.now + RMR_MS);
    assert_int_equal(l.n_sent, 0);
    assert_int_equal(next_echo(&l, echo, &to), 0);
    assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    (void)rmr_netcheck_https_done(l.nc, l.now, 1, RMR_OK, 9 * RMR_MS, NULL);
    assert_int_equal(l.done, 1);
    assert_int_equal(l.last.preferred_derp, 1);
    /* Again, from the last report: still no STUN. */
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + RMR_MS);
    assert_int_equal(l.n_sent, 0);
    assert_true(rmr_netcheck_wants_https(l.nc, l.now, &region, &timeout));
    nc_lab_wipe(&l);
}

static void an_echo_waits_for_its_name(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t echo[RMR_NETCHECK_ICMP_MAX];
    rmr_addr to, found = nc_addr("192.0.2.7");
    rmr_netcheck_name name;
    rmr_netcheck_node n = {.name = "1a", .host = "h.example"};
    rmr_netcheck_region r = {.id = 1, .nodes = &n, .n_nodes = 1};
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, NULL), RMR_OK);
    l.how.no_icmp = false;
    nc_lab_start(&l);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    nc_lab_go(&l, l.now + 3 * RMR_SEC);
    assert_int_equal(l.nc->stage, STAGE_FALLBACK);
    assert_int_equal(next_echo(&l, echo, &to), 0);
    (void)rmr_netcheck_resolved(l.nc, l.now, 1, 0, &found, 1);
    assert_int_equal(next_echo(&l, echo, &to), 10);
    assert_true(rmr_addr_eq(&to, &found));
    nc_lab_wipe(&l);
    /* And is given up without one. */
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, NULL), RMR_OK);
    l.how.no_icmp = false;
    nc_lab_start(&l);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    nc_lab_go(&l, l.now + 3 * RMR_SEC);
    (void)rmr_netcheck_resolved(l.nc, l.now, 1, 0, NULL, 0);
    assert_int_equal(l.done, 1);
    nc_lab_wipe(&l);
}

/* ---- captive portals ------------------------------------------------------ */

static void a_portal_is_looked_for_after_200_ms_of_silence(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_portal p;
    rmr_addr want = nc_addr("10.0.1.0:80");
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.how.no_portal = false;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 199 * RMR_MS);
    assert_false(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    nc_lab_go(&l, l.now + RMR_MS);
    assert_true(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    assert_false(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    assert_true(rmr_addr_eq(&p.addr, &want));
    assert_int_equal(p.region, 1);
    assert_int_equal(p.timeout, 3 * RMR_SEC);
    /* The run waits for it, beyond the end of STUN. */
    nc_lab_go(&l, l.now + 2900 * RMR_MS);
    assert_int_equal(l.done, 0);
    assert_int_equal(rmr_netcheck_portal_done(l.nc, l.now, RMR_NETCHECK_YES),
                     RMR_OK);
    assert_int_equal(l.done, 1);
    assert_int_equal(l.last.captive_portal, RMR_NETCHECK_YES);
    assert_int_equal(rmr_netcheck_portal_done(l.nc, l.now, RMR_NETCHECK_YES),
                     RMR_E_STATE);
    /* And the next run is full again. */
    nc_lab_start(&l);
    assert_true(l.nc->cur.full);
    nc_lab_wipe(&l);
}

static void an_answer_spares_the_look_for_a_portal(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_portal p;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    l.how.no_portal = false;
    l.latency[1] = 199 * RMR_MS;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 300 * RMR_MS);
    assert_false(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.captive_portal, RMR_NETCHECK_UNKNOWN);
    /* An incremental run never looks. */
    l.latency[1] = NEVER_ANSWERS;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 300 * RMR_MS);
    assert_false(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    nc_lab_wipe(&l);
}

static void a_portal_is_looked_for_at_a_node_that_can(void **state)
{
    (void)state;
    rmr_netcheck_node cannot = {.name = "a", .v4 = nc_addr("192.0.2.1")};
    rmr_netcheck_node unknown = {.name = "b", .host = "h", .can_port80 = true};
    rmr_netcheck_node can[2] = {cannot, cannot};
    can[1].can_port80 = true;
    const rmr_netcheck_region regions[] = {
        {.id = 1, .nodes = &cannot, .n_nodes = 1},
        {.id = 2, .nodes = &unknown, .n_nodes = 1},
        {.id = 3, .avoid = true, .nodes = can, .n_nodes = 2},
        {.id = 4, .nodes = can, .n_nodes = 2},
    };
    for (size_t n = 3; n <= 4; n++) {
        nc_lab l;
        rmr_netcheck_portal p;
        nc_lab_init(&l);
        l.how.no_portal = false;
        assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, regions, n, NULL),
                         RMR_OK);
        nc_lab_start(&l);
        nc_lab_go(&l, l.now + 300 * RMR_MS);
        assert_int_equal(rmr_netcheck_wants_portal(l.nc, l.now, &p), n == 4);
        if (n == 4)
            assert_true(p.region == 4 && p.node == 1);
        nc_lab_wipe(&l);
    }
}

/* ---- the port mapper ------------------------------------------------------ */

static void the_port_mapper_is_waited_for(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.latency[1] = 10 * RMR_MS;
    l.how.portmap = true;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 250 * RMR_MS);
    assert_int_equal(l.done, 0);
    assert_int_equal(rmr_netcheck_portmap_done(l.nc, l.now, true, false, true),
                     RMR_OK);
    assert_int_equal(l.done, 1);
    assert_int_equal(l.last.upnp, RMR_NETCHECK_YES);
    assert_int_equal(l.last.pmp, RMR_NETCHECK_NO);
    assert_int_equal(l.last.pcp, RMR_NETCHECK_YES);
    assert_int_equal(rmr_netcheck_portmap_done(l.nc, l.now, true, false, true),
                     RMR_E_STATE);
    nc_lab_wipe(&l);
}

static void what_the_host_never_answers_ends_after_five_seconds(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_portal p;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.how.portmap = true;
    l.how.no_portal = false;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 300 * RMR_MS);
    assert_true(rmr_netcheck_wants_portal(l.nc, l.now, &p));
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.ended - l.last.started, 5 * RMR_SEC);
    assert_int_equal(l.last.upnp, RMR_NETCHECK_UNKNOWN);
    nc_lab_wipe(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(https_measures_where_stun_does_not),
        cmocka_unit_test(https_is_asked_for_a_few_at_once),
        cmocka_unit_test(echoes_measure_too_and_the_least_counts),
        cmocka_unit_test(fallback_keeps_to_the_rules_of_the_map),
        cmocka_unit_test(only_tcp_443_means_https_alone_and_at_once),
        cmocka_unit_test(an_echo_waits_for_its_name),
        cmocka_unit_test(a_portal_is_looked_for_after_200_ms_of_silence),
        cmocka_unit_test(an_answer_spares_the_look_for_a_portal),
        cmocka_unit_test(a_portal_is_looked_for_at_a_node_that_can),
        cmocka_unit_test(the_port_mapper_is_waited_for),
        cmocka_unit_test(what_the_host_never_answers_ends_after_five_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
