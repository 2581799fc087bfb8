/* STUN probes of a run: plan, skipping, collecting, stopping. */
#include "netcheck_internal.h"

#include "nc_fixture.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- plans --------------------------------------------------------------- */

static bool is_in(tv *list, int64_t id)
{
    for (size_t i = 0; list && i < tv_len(list); i++)
        if (tv_int(tv_at(list, i)) == id)
            return true;
    return false;
}

/* The map of a vector: region -> number of nodes, named 1a, 1b, ... */
static void map_of(nc_lab *l, tv *c)
{
    static char names[8][8][8];
    rmr_netcheck_region regions[8];
    rmr_netcheck_node nodes[8][8];
    tv *n_nodes, *list = tv_get(c, "nodes_per_region");
    const char *key;
    size_t n = 0;
    memset(regions, 0, sizeof regions);
    memset(nodes, 0, sizeof nodes);
    for (; (key = tv_key_at(list, n, &n_nodes)) != NULL; n++) {
        regions[n].id = (uint16_t)atoi(key);
        regions[n].n_nodes = (size_t)tv_int(n_nodes);
        regions[n].nodes = nodes[n];
        regions[n].no_measure_no_home =
            is_in(tv_opt(c, "no_measure_no_home"), regions[n].id);
        for (size_t k = 0; k < regions[n].n_nodes; k++) {
            snprintf(names[n][k], 8, "%s%c", key, (char)('a' + (char)k));
            nodes[n][k].name = names[n][k];
            nodes[n][k].host = "relay.example";
        }
    }
    assert_int_equal(rmr_netcheck_set_map(l->nc, l->now, regions, n, NULL),
                     RMR_OK);
}

/* The last report of a vector, as if a run had left it. */
static void last_of(rmr_netcheck *nc, tv *c, rmr_time now)
{
    tv *ms, *list = tv_opt(c, "last_region_latency_ms");
    const char *key;
    size_t n = 0;
    if (!list)
        return;
    for (size_t i = 0; (key = tv_key_at(list, i, &ms)) != NULL; i++) {
        nc_region *r = rmri_nc_region(nc, (uint16_t)atoi(key));
        r->last.any = (rmr_dur)tv_int(ms) * RMR_MS;
        nc->t.latency[n] = r->last;
        if (tv_opt(c, "last_had_v4"))
            nc->t.latency[n].v4 = r->last.any;
        if (tv_opt(c, "last_had_v6"))
            nc->t.latency[n].v6 = r->last.any;
        n++;
    }
    nc->report.latency = nc->t.latency;
    nc->report.n_latency = n;
    nc->report.preferred_derp = (uint16_t)tv_get_int(c, "preferred_derp");
    nc->has_report = nc->has_full = true;
    nc->last_full = now;
}

static void has_probe(const rmr_netcheck *nc, tv *want)
{
    char set[32], node[8];
    for (size_t i = 0; i < nc->n_probes; i++) {
        const nc_probe *p = &nc->probes[i];
        const nc_region *r = &nc->t.regions[p->region];
        const char *fam = p->family == V4 ? "v4" : "v6";
        snprintf(set, sizeof set, "region-%u-%s", (unsigned)r->id, fam);
        snprintf(node, sizeof node, "%u%c", (unsigned)r->id,
                 (char)('a' + (char)p->node));
        if (strcmp(set, tv_get_str(want, "set")) == 0 &&
            strcmp(node, tv_get_str(want, "node")) == 0 &&
            strcmp(fam, tv_get_str(want, "proto")) == 0 &&
            p->at - nc->cur.started ==
                (rmr_dur)tv_get_int(want, "delay_ms") * RMR_MS)
            return;
    }
    fail_msg("%s %s at %d ms is not planned", tv_get_str(want, "set"),
             tv_get_str(want, "node"), (int)tv_get_int(want, "delay_ms"));
}

static void plans_are_those_of_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "probe_plans");
    assert_true(tv_len(list) >= 6);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i), *probes = tv_get(c, "probes");
        nc_lab l;
        nc_lab_init(&l);
        map_of(&l, c);
        last_of(l.nc, c, l.now);
        l.how.have_v4 = tv_bool(tv_get(c, "have_v4"));
        l.how.have_v6 = tv_bool(tv_get(c, "have_v6"));
        nc_lab_start(&l);
        for (size_t k = 0; k < tv_len(probes); k++)
            has_probe(l.nc, tv_at(probes, k));
        assert_int_equal(l.nc->n_probes, tv_len(probes));
        for (size_t k = 1; k < l.nc->n_probes; k++)
            assert_true(l.nc->probes[k - 1].at <= l.nc->probes[k].at);
        nc_lab_wipe(&l);
    }
    tv_free(root);
}

/* ---- which addresses ----------------------------------------------------- */

static void one_node(nc_lab *l, const rmr_netcheck_node *n)
{
    rmr_netcheck_region r = {.id = 1, .nodes = n, .n_nodes = 1};
    assert_int_equal(rmr_netcheck_set_map(l->nc, l->now, &r, 1, NULL), RMR_OK);
}

static void addresses_and_ports_follow_the_map(void **state)
{
    (void)state;
    static const struct {
        const char *v4, *v6, *test, *host;
        bool no_v4, no_v6;
        int32_t port;
        const char *want4, *want6; /* NULL: no probe */
    } table[] = {
        {"192.0.2.1", "2001:db8::1", 0, 0, 0, 0, 0, "192.0.2.1:3478",
         "[2001:db8::1]:3478"},
        {"192.0.2.1", "2001:db8::1", 0, 0, 0, 0, 99, "192.0.2.1:99",
         "[2001:db8::1]:99"},
        {"192.0.2.1", 0, 0, 0, 0, 1, 0, "192.0.2.1:3478", 0},
        {0, "2001:db8::1", 0, "h.example", 1, 0, 0, 0, "[2001:db8::1]:3478"},
        {"192.0.2.1", "2001:db8::1", 0, 0, 0, 0, -1, 0, 0},
        {"192.0.2.1", "2001:db8::1", 0, 0, 0, 0, 65536, 0, 0},
        {"192.0.2.1", "2001:db8::1", "127.0.0.9", 0, 0, 0, 7, "127.0.0.9:7", 0},
        {0, 0, 0, "192.0.2.9", 0, 0, 0, "192.0.2.9:3478", 0},
        {0, 0, 0, "2001:db8::9", 0, 0, 0, 0, "[2001:db8::9]:3478"},
        {0, 0, 0, 0, 0, 0, 0, 0, 0},
        {"2001:db8::1", "192.0.2.1", 0, 0, 0, 0, 0, 0, 0}, /* swapped */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        nc_lab l;
        rmr_netcheck_node n = {.name = "1a"};
        nc_lab_init(&l);
        if (table[i].v4)
            n.v4 = nc_addr(table[i].v4);
        if (table[i].v6)
            n.v6 = nc_addr(table[i].v6);
        if (table[i].test)
            n.test_ip = nc_addr(table[i].test);
        n.host = table[i].host;
        n.no_v4 = table[i].no_v4;
        n.no_v6 = table[i].no_v6;
        n.stun_port = table[i].port;
        one_node(&l, &n);
        l.how.have_v6 = true;
        nc_lab_start(&l);
        const char *got[2] = {NULL, NULL};
        char text[2][RMR_ADDR_TEXT_MAX];
        for (size_t k = 0; k < l.n_sent; k++) {
            size_t f = l.sent[k].family == 4 ? 0 : 1;
            got[f] = rmr_addr_text(&l.sent[k].to, text[f]);
        }
        assert_int_equal(got[0] != NULL, table[i].want4 != NULL);
        assert_int_equal(got[1] != NULL, table[i].want6 != NULL);
        if (got[0])
            assert_string_equal(got[0], table[i].want4);
        if (got[1])
            assert_string_equal(got[1], table[i].want6);
        nc_lab_wipe(&l);
    }
}

static void names_are_asked_once_and_kept_ten_minutes(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_name name;
    rmr_netcheck_node n = {.name = "1a", .host = "one.example"};
    rmr_addr found[2] = {nc_addr("192.0.2.1"), nc_addr("2001:db8::1")};
    nc_lab_init(&l);
    one_node(&l, &n);
    l.how.have_v6 = true;
    nc_lab_start(&l);
    assert_int_equal(l.n_sent, 0);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    assert_string_equal(name.host, "one.example");
    assert_true(name.region == 1 && name.node == 0 && name.v4 && name.v6);
    assert_false(rmr_netcheck_wants_name(l.nc, l.now, &name));
    l.now += 30 * RMR_MS;
    assert_int_equal(rmr_netcheck_resolved(l.nc, l.now, 1, 0, found, 2),
                     RMR_OK);
    assert_int_equal(rmr_netcheck_resolved(l.nc, l.now, 1, 0, found, 2),
                     RMR_E_UNKNOWN);
    nc_lab_drain(&l);
    assert_int_equal(l.n_sent, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(nc_lab_answer(&l, i), RMR_OK);
    assert_int_equal(l.done, 1);
    /* Within ten minutes nobody is asked. */
    l.now += 599 * RMR_SEC;
    nc_lab_start(&l);
    assert_int_equal(l.n_sent, 2);
    assert_false(rmr_netcheck_wants_name(l.nc, l.now, &name));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(nc_lab_answer(&l, i), RMR_OK);
    /* Then again, but the old answer is used meanwhile, and after a failure. */
    for (int again = 0; again < 2; again++) {
        l.now += 700 * RMR_SEC;
        nc_lab_start(&l);
        assert_int_equal(l.n_sent, 2);
        assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
        assert_int_equal(rmr_netcheck_resolved(l.nc, l.now, 1, 0, NULL, 0),
                         RMR_OK);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(nc_lab_answer(&l, i), RMR_OK);
    }
    assert_int_equal(l.done, 4);
    nc_lab_wipe(&l);
}

static void what_cannot_be_sent_is_not_waited_for(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_name name;
    rmr_netcheck_node n = {.name = "1a", .host = "one.example"};
    rmr_addr found = nc_addr("192.0.2.1");
    nc_lab_init(&l);
    one_node(&l, &n);
    l.how.have_v6 = true;
    nc_lab_start(&l);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    (void)rmr_netcheck_resolved(l.nc, l.now, 1, 0, &found, 1);
    nc_lab_drain(&l);
    assert_int_equal(l.n_sent, 1);
    l.now += 10 * RMR_MS;
    assert_int_equal(nc_lab_answer(&l, 0), RMR_OK);
    /* The other tries for IPv6 are due later; then there is nothing left. */
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.done, 1);
    assert_int_equal(l.last.ended - l.last.started, 200 * RMR_MS);
    assert_false(l.last.ipv6_can_send);
    nc_lab_wipe(&l);
}

static void a_failed_look_up_ends_the_wait(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_name name;
    rmr_netcheck_node n = {.name = "1a", .host = "one.example"};
    nc_lab_init(&l);
    one_node(&l, &n);
    nc_lab_start(&l);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    (void)rmr_netcheck_resolved(l.nc, l.now, 1, 0, NULL, 0);
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.ended - l.last.started, 200 * RMR_MS);
    assert_false(l.last.udp);
    assert_false(rmr_netcheck_wants_rebind(l.nc));
    nc_lab_wipe(&l);
}

/* ---- collecting ---------------------------------------------------------- */

static void a_report_says_what_was_seen(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    l.how.have_v6 = l.how.os_has_ipv6 = true;
    l.latency[1] = 20 * RMR_MS;
    l.latency[2] = 10 * RMR_MS;
    l.latency6[1] = 15 * RMR_MS;
    l.latency6[2] = 12 * RMR_MS;
    (void)nc_lab_run(&l);
    const rmr_netcheck_report *r = &l.last;
    assert_true(r->full && r->udp && r->ipv4 && r->ipv6 && r->ipv4_can_send);
    assert_true(r->ipv6_can_send && r->os_has_ipv6 && !r->icmpv4);
    assert_int_equal(r->mapping_varies, RMR_NETCHECK_NO);
    assert_int_equal(r->captive_portal, RMR_NETCHECK_UNKNOWN);
    assert_int_equal(r->upnp, RMR_NETCHECK_UNKNOWN);
    assert_int_equal(r->preferred_derp, 2);
    assert_true(rmr_addr_eq(&r->global_v4, &l.mapped));
    assert_true(rmr_addr_eq(&r->global_v6, &l.mapped6));
    assert_int_equal(r->n_latency, 2);
    assert_int_equal(r->latency[0].region, 1);
    assert_int_equal(r->latency[0].any, 15 * RMR_MS);
    assert_int_equal(r->latency[0].v4, 20 * RMR_MS);
    assert_int_equal(r->latency[0].v6, 15 * RMR_MS);
    assert_int_equal(r->latency[1].any, 10 * RMR_MS);
    assert_int_equal(r->n_globals_v4, 1);
    assert_int_equal(r->globals_v4[0].seen, 2);
    assert_int_equal(r->n_globals_v6, 1);
    assert_ptr_equal(rmr_netcheck_get_report(l.nc)->latency, r->latency);
    nc_lab_wipe(&l);
}

static void a_nat_that_maps_by_destination_is_noticed(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 3, 1);
    l.varies = true;
    for (size_t i = 1; i <= 3; i++)
        l.latency[i] = 10 * RMR_MS * i;
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.mapping_varies, RMR_NETCHECK_YES);
    assert_int_equal(l.last.n_globals_v4, 3);
    /* The first one stays the yardstick. */
    assert_int_equal(l.last.global_v4.port, l.mapped.port + 1);
    nc_lab_wipe(&l);
}

static void one_answer_leaves_the_mapping_unknown(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.latency[1] = 10 * RMR_MS;
    assert_int_equal(nc_lab_run(&l), 10 * RMR_MS);
    assert_int_equal(l.last.mapping_varies, RMR_NETCHECK_UNKNOWN);
    assert_int_equal(l.n_sent, 1);
    nc_lab_wipe(&l);
}

static void other_answers_change_nothing(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t buf[64];
    size_t len;
    rmr_netcheck_stats st;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    nc_lab_start(&l);
    l.now += RMR_MS;
    /* Not STUN, a request, a foreign id, a mapped address that can't be. */
    assert_int_equal(rmr_netcheck_read_pkt(l.nc, l.now, rmr_bytes_str("x")),
                     RMR_E_MALFORMED);
    (void)rmr_stun_build_request(rmr_buf_of(buf, sizeof buf), &len,
                                 l.sent[0].txid);
    assert_int_equal(rmr_netcheck_read_pkt(l.nc, l.now, rmr_bytes_of(buf, len)),
                     RMR_E_MALFORMED);
    l.sent[0].txid[11] ^= 1;
    assert_int_equal(nc_lab_answer(&l, 0), RMR_E_UNKNOWN);
    l.sent[0].txid[11] ^= 1;
    l.sent[0].txid[0] ^= 0x40; /* the place of a probe that there is not */
    assert_int_equal(nc_lab_answer(&l, 0), RMR_E_UNKNOWN);
    l.sent[0].txid[0] ^= 0x40;
    static const char *const bad[] = {"0.0.0.0:1", "198.51.100.7:0",
                                      "224.0.0.1:5", "255.255.255.255:5"};
    rmr_addr good = l.mapped;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        l.mapped = nc_addr(bad[i]);
        assert_int_equal(nc_lab_answer(&l, 0), RMR_E_MALFORMED);
    }
    l.mapped = good;
    assert_false(l.nc->cur.udp);
    assert_int_equal(nc_lab_answer(&l, 0), RMR_OK);
    assert_int_equal(nc_lab_answer(&l, 0), RMR_E_UNKNOWN); /* twice */
    assert_int_equal(nc_lab_answer(&l, 1), RMR_OK);
    assert_int_equal(l.done, 1);
    assert_int_equal(nc_lab_answer(&l, 1), RMR_E_UNKNOWN); /* late */
    rmr_netcheck_get_stats(l.nc, &st);
    assert_int_equal(st.malformed, 6);
    assert_int_equal(st.unknown, 4);
    assert_int_equal(st.stun_answers, 2);
    nc_lab_wipe(&l);
}

static void public_addresses_are_bounded(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 11, 8);
    l.how.have_v6 = true;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 250 * RMR_MS);
    assert_int_equal(l.n_sent, 66);
    for (size_t i = 0; i < 66; i++) {
        l.mapped.port++;
        if (l.sent[i].family == 4)
            assert_int_equal(nc_lab_answer(&l, i), RMR_OK);
    }
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.n_globals_v4, RMR_NETCHECK_MAX_GLOBALS);
    assert_int_equal(l.nc->stats.globals_dropped, 1);
    nc_lab_wipe(&l);
}

static void without_memory_public_addresses_are_dropped(void **state)
{
    (void)state;
    for (int seen = 0; seen < 2; seen++) {
        nc_lab l;
        nc_lab_init(&l);
        nc_lab_map(&l, 3, 1);
        nc_lab_start(&l);
        nc_lab_go(&l, l.now + 250 * RMR_MS);
        l.alloc.fail_after = true;
        if (!seen) /* else it is in the run, but not in its report */
            l.alloc.fail_at = l.alloc.calls + 1;
        assert_int_equal(nc_lab_answer(&l, 0), RMR_OK);
        l.alloc.fail_at = l.alloc.calls + 1;
        nc_lab_go(&l, l.now + 6 * RMR_SEC);
        assert_true(l.last.udp);
        assert_int_equal(l.last.global_v4.port, l.mapped.port);
        assert_int_equal(l.last.n_globals_v4, 0);
        assert_int_equal(l.nc->stats.globals_dropped, 1);
        nc_lab_wipe(&l);
    }
}

/* ---- skipping and stopping ------------------------------------------------ */

static void probes_that_tell_nothing_new_are_skipped(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 2);
    l.how.have_v6 = true;
    /* IPv4 answers at once, IPv6 of region 1 too, of region 2 never. */
    l.latency[1] = l.latency[2] = l.latency6[1] = 5 * RMR_MS;
    assert_int_equal(nc_lab_run(&l), 100 * RMR_MS);
    assert_int_equal(nc_lab_count(&l, 2, 6), 1);
    assert_int_equal(nc_lab_count(&l, 1, 4), 1);
    nc_lab_wipe(&l);
}

static void a_silent_region_is_tried_three_times_at_its_nodes(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 2);
    l.latency[1] = 5 * RMR_MS;
    assert_int_equal(nc_lab_run(&l), 3 * RMR_SEC);
    assert_int_equal(nc_lab_count(&l, 2, 4), 3);
    rmr_time t0 = l.last.started;
    size_t k = 0;
    for (size_t i = 0; i < l.n_sent; i++) {
        if (l.sent[i].region != 2)
            continue;
        assert_int_equal(l.sent[i].at - t0, k * 100 * RMR_MS);
        assert_int_equal(l.sent[i].node, k % 2);
        k++;
    }
    assert_true(l.last.udp);
    nc_lab_wipe(&l);
}

static void three_regions_are_enough(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 6, 1);
    l.latency[1] = 10 * RMR_MS;
    l.latency[2] = 20 * RMR_MS;
    l.latency[3] = 30 * RMR_MS;
    l.latency[4] = 89 * RMR_MS; /* within the further 60 ms */
    l.latency[5] = 91 * RMR_MS; /* not */
    assert_int_equal(nc_lab_run(&l), 90 * RMR_MS);
    assert_int_equal(l.last.n_latency, 4);
    /* An incremental one waits just as long as its slowest. */
    l.latency[1] = l.latency[2] = 12 * RMR_MS;
    l.latency[3] = 20 * RMR_MS;
    l.now += 20 * RMR_SEC;
    l.latency[4] = NEVER_ANSWERS;
    assert_int_equal(nc_lab_run(&l), 20 * RMR_MS);
    assert_false(l.last.full);
    assert_int_equal(nc_lab_count(&l, 4, 4), 0);
    nc_lab_wipe(&l);
}

static void an_incremental_run_stops_after_the_third(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 4, 1);
    for (size_t i = 1; i <= 4; i++)
        l.latency[i] = 10 * RMR_MS * i;
    l.how.force_region = 4;
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.preferred_derp, 4);
    l.now += 20 * RMR_SEC;
    l.latency[1] = NEVER_ANSWERS;
    l.latency[4] = 25 * RMR_MS;
    /* 2, 3 and home answer; 30 ms after the third the rest is given up. */
    assert_int_equal(nc_lab_run(&l), 60 * RMR_MS);
    nc_lab_wipe(&l);
}

static void full_runs_come_every_five_minutes(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 5, 1);
    for (size_t i = 1; i <= 5; i++)
        l.latency[i] = 10 * RMR_MS;
    (void)nc_lab_run(&l);
    rmr_time first = l.last.started;
    assert_true(l.last.full);
    l.now = first + 300 * RMR_SEC;
    (void)nc_lab_run(&l);
    assert_false(l.last.full);
    l.now = first + 300 * RMR_SEC + RMR_MS;
    l.now = l.now > l.last.ended ? l.now : l.last.ended + 1;
    (void)nc_lab_run(&l);
    assert_true(l.last.full);
    (void)nc_lab_run(&l);
    assert_false(l.last.full);
    l.how.force_full = true;
    (void)nc_lab_run(&l);
    assert_true(l.last.full);
    l.how.force_full = false;
    l.nc->report.udp = false;
    l.nc->report.captive_portal = RMR_NETCHECK_YES;
    (void)nc_lab_run(&l);
    assert_true(l.last.full);
    nc_lab_wipe(&l);
}

static void sends_that_fail_are_told(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    l.how.have_v6 = true;
    l.latency[1] = l.latency[2] = 5 * RMR_MS;
    l.send_error[1] = RMR_E_UNREACHABLE;
    (void)nc_lab_run(&l);
    assert_true(l.last.ipv4_can_send);
    assert_false(l.last.ipv6_can_send);
    assert_false(rmr_netcheck_wants_rebind(l.nc));
    l.send_error[0] = RMR_E_DENIED;
    assert_true(nc_lab_run(&l) < 3 * RMR_SEC); /* nothing to wait for */
    assert_false(l.last.ipv4_can_send);
    assert_true(rmr_netcheck_wants_rebind(l.nc));
    l.how.only_tcp_443 = true; /* nothing was to be sent */
    (void)nc_lab_run(&l);
    assert_false(rmr_netcheck_wants_rebind(l.nc));
    nc_lab_wipe(&l);
}

static void without_an_interface_nothing_is_sent(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    l.how.have_v4 = false;
    assert_int_equal(nc_lab_run(&l), 0);
    assert_int_equal(l.n_sent, 0);
    assert_false(l.last.udp);
    nc_lab_wipe(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_those_of_the_vectors),
        cmocka_unit_test(addresses_and_ports_follow_the_map),
        cmocka_unit_test(names_are_asked_once_and_kept_ten_minutes),
        cmocka_unit_test(what_cannot_be_sent_is_not_waited_for),
        cmocka_unit_test(a_failed_look_up_ends_the_wait),
        cmocka_unit_test(a_report_says_what_was_seen),
        cmocka_unit_test(a_nat_that_maps_by_destination_is_noticed),
        cmocka_unit_test(one_answer_leaves_the_mapping_unknown),
        cmocka_unit_test(other_answers_change_nothing),
        cmocka_unit_test(public_addresses_are_bounded),
        cmocka_unit_test(without_memory_public_addresses_are_dropped),
        cmocka_unit_test(probes_that_tell_nothing_new_are_skipped),
        cmocka_unit_test(a_silent_region_is_tried_three_times_at_its_nodes),
        cmocka_unit_test(three_regions_are_enough),
        cmocka_unit_test(an_incremental_run_stops_after_the_third),
        cmocka_unit_test(full_runs_come_every_five_minutes),
        cmocka_unit_test(sends_that_fail_are_told),
        cmocka_unit_test(without_an_interface_nothing_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
