/* When a netcheck runs, and what of it control is told. */
#include <remora/netcheck.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const rmr_netcheck_while all_well = {
    .network_up = true, .has_key = true, .has_peers = true};

typedef struct lab {
    rmr_netcheck_sched s;
    test_rng rng;
    rmr_rng table;
    rmr_time now;
} lab;

static void init(lab *l, uint64_t seed)
{
    rmr_netcheck_sched_init(&l->s);
    test_rng_seed(&l->rng, seed);
    l->table = test_rng_table(&l->rng);
    l->now = 500 * RMR_SEC;
    rmr_netcheck_sched_set(&l->s, &all_well);
}

static void run_once(lab *l)
{
    rmr_netcheck_trigger(&l->s, l->now, RMR_NETCHECK_WHY_MAP);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l->s, l->now),
                     RMR_NETCHECK_WHY_MAP);
    assert_int_equal(rmr_netcheck_sched_ended(&l->s, l->now, &l->table),
                     RMR_OK);
}

static void nothing_runs_without_a_reason(void **state)
{
    (void)state;
    lab l;
    init(&l, 1);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s), RMR_TIME_NEVER);
}

static void reasons_are_gathered_and_one_run_at_a_time(void **state)
{
    (void)state;
    lab l;
    init(&l, 1);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_MAP);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_LINK);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_MAP | RMR_NETCHECK_WHY_LINK);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_REBIND);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_REBIND);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    assert_int_equal(rmr_netcheck_sched_ended(&l.s, l.now, &l.table), RMR_OK);
    /* One more behind it, and no third. */
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_REBIND);
    assert_int_equal(rmr_netcheck_sched_ended(&l.s, l.now, &l.table), RMR_OK);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    assert_int_equal(l.s.runs, 2);
}

static void reasons_wait_for_the_network(void **state)
{
    (void)state;
    lab l;
    rmr_netcheck_while down = all_well;
    init(&l, 1);
    down.network_up = false;
    rmr_netcheck_sched_set(&l.s, &down);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_LINK);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    rmr_netcheck_sched_set(&l.s, &all_well);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_LINK);
}

static void periodic_runs_come_after_20_to_26_s(void **state)
{
    (void)state;
    rmr_dur least = RMR_TIME_NEVER, most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        lab l;
        init(&l, seed);
        rmr_netcheck_sched_traffic(&l.s, l.now);
        run_once(&l);
        rmr_time at = rmr_netcheck_sched_next_deadline(&l.s);
        rmr_dur d = at - l.now;
        assert_true(d >= 20 * RMR_SEC && d < 26 * RMR_SEC);
        least = d < least ? d : least;
        most = d > most ? d : most;
        assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, at - 1), 0);
        assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, at),
                         RMR_NETCHECK_WHY_PERIODIC);
        assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s),
                         RMR_TIME_NEVER);
    }
    assert_true(least < 20500 * RMR_MS && most > 25500 * RMR_MS);
}

static void each_condition_stops_the_periodic_runs(void **state)
{
    (void)state;
    for (int k = 0; k < 5; k++) {
        lab l;
        rmr_netcheck_while w = all_well;
        init(&l, 1);
        rmr_netcheck_sched_traffic(&l.s, l.now);
        run_once(&l);
        w.network_up = k != 0;
        w.homeless = k == 1;
        w.has_key = k != 2;
        w.has_peers = k != 3;
        rmr_netcheck_sched_set(&l.s, &w);
        bool due = k == 4;
        assert_int_equal(
            rmr_netcheck_sched_next_deadline(&l.s) != RMR_TIME_NEVER, due);
        l.now += 26 * RMR_SEC;
        assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now) != 0, due);
    }
}

static void an_idle_node_is_left_alone(void **state)
{
    (void)state;
    lab l;
    init(&l, 1);
    run_once(&l);
    l.now += 26 * RMR_SEC; /* no traffic was ever seen */
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    rmr_netcheck_sched_traffic(&l.s, l.now);
    assert_true(rmr_netcheck_sched_next_deadline(&l.s) <= l.now);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_PERIODIC);
    (void)rmr_netcheck_sched_ended(&l.s, l.now, &l.table);
    assert_int_not_equal(rmr_netcheck_sched_next_deadline(&l.s),
                         RMR_TIME_NEVER);
    l.now += 45 * RMR_SEC;
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now + 1), 0);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_PERIODIC);
    (void)rmr_netcheck_sched_ended(&l.s, l.now, &l.table);
    assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s), RMR_TIME_NEVER);
    rmr_netcheck_while w = all_well;
    w.always_stun = true; /* but control may ask for it */
    rmr_netcheck_sched_set(&l.s, &w);
    assert_int_not_equal(rmr_netcheck_sched_next_deadline(&l.s),
                         RMR_TIME_NEVER);
}

/* T5: else the host would turn without end. */
static void a_run_that_was_slept_through_is_due_no_more(void **state)
{
    lab l;
    (void)state;
    init(&l, 1);
    rmr_netcheck_sched_traffic(&l.s, l.now);
    run_once(&l);
    assert_int_not_equal(rmr_netcheck_sched_next_deadline(&l.s),
                         RMR_TIME_NEVER);
    l.now += 3600 * RMR_SEC;
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now), 0);
    assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s), RMR_TIME_NEVER);
    rmr_netcheck_sched_traffic(&l.s, l.now); /* that makes it due at once */
    assert_true(rmr_netcheck_sched_next_deadline(&l.s) <= l.now);
    assert_int_equal(rmr_netcheck_sched_wants_run(&l.s, l.now),
                     RMR_NETCHECK_WHY_PERIODIC);
    assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s), RMR_TIME_NEVER);
}

static void without_randomness_it_is_26_s(void **state)
{
    (void)state;
    lab l;
    init(&l, 1);
    rmr_netcheck_sched_traffic(&l.s, l.now);
    rmr_netcheck_trigger(&l.s, l.now, RMR_NETCHECK_WHY_MAP);
    (void)rmr_netcheck_sched_wants_run(&l.s, l.now);
    l.rng.fail_at = l.rng.calls + 1;
    assert_int_equal(rmr_netcheck_sched_ended(&l.s, l.now, &l.table),
                     RMR_E_RNG);
    assert_int_equal(rmr_netcheck_sched_next_deadline(&l.s),
                     l.now + 26 * RMR_SEC);
}

/* ---- NetInfo -------------------------------------------------------------- */

static void info_is_what_the_report_says(void **state)
{
    (void)state;
    rmr_netcheck_report r;
    rmr_netcheck_info i;
    memset(&r, 0, sizeof r);
    r.udp = r.os_has_ipv6 = true;
    r.mapping_varies = r.pcp = RMR_NETCHECK_YES;
    r.pmp = RMR_NETCHECK_NO;
    rmr_netcheck_info_of(&r, 12, true, &i);
    assert_int_equal(i.working_udp, RMR_NETCHECK_YES);
    assert_int_equal(i.working_ipv6, RMR_NETCHECK_NO);
    assert_int_equal(i.os_has_ipv6, RMR_NETCHECK_YES);
    assert_int_equal(i.working_icmpv4, RMR_NETCHECK_NO);
    assert_int_equal(i.mapping_varies, RMR_NETCHECK_YES);
    assert_int_equal(i.upnp, RMR_NETCHECK_UNKNOWN);
    assert_int_equal(i.pmp, RMR_NETCHECK_NO);
    assert_int_equal(i.pcp, RMR_NETCHECK_YES);
    assert_int_equal(i.preferred_derp, 12);
    assert_true(i.have_portmap && !i.firewall_mode && !i.link_type);
}

static void every_part_but_latencies_tells(void **state)
{
    (void)state;
    for (int k = 0; k <= 12; k++) {
        rmr_netcheck_info a, b;
        memset(&a, 0, sizeof a);
        a.firewall_mode = "";
        b = a;
        b.firewall_mode = NULL; /* the same */
        switch (k) {
        case 0:
            b.mapping_varies = RMR_NETCHECK_YES;
            break;
        case 1:
            b.working_ipv6 = RMR_NETCHECK_YES;
            break;
        case 2:
            b.os_has_ipv6 = RMR_NETCHECK_YES;
            break;
        case 3:
            b.working_udp = RMR_NETCHECK_YES;
            break;
        case 4:
            b.working_icmpv4 = RMR_NETCHECK_YES;
            break;
        case 5:
            b.upnp = RMR_NETCHECK_NO;
            break;
        case 6:
            b.pmp = RMR_NETCHECK_NO;
            break;
        case 7:
            b.pcp = RMR_NETCHECK_NO;
            break;
        case 8:
            b.have_portmap = true;
            break;
        case 9:
            b.preferred_derp = 1;
            break;
        case 10:
            b.firewall_mode = "nft";
            break;
        case 11:
            b.link_type = "wired";
            break;
        default:
            break;
        }
        assert_int_equal(rmr_netcheck_info_eq(&a, &b), k == 12);
        assert_int_equal(rmr_netcheck_info_eq(&b, &a), k == 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_runs_without_a_reason),
        cmocka_unit_test(reasons_are_gathered_and_one_run_at_a_time),
        cmocka_unit_test(reasons_wait_for_the_network),
        cmocka_unit_test(periodic_runs_come_after_20_to_26_s),
        cmocka_unit_test(each_condition_stops_the_periodic_runs),
        cmocka_unit_test(an_idle_node_is_left_alone),
        cmocka_unit_test(a_run_that_was_slept_through_is_due_no_more),
        cmocka_unit_test(without_randomness_it_is_26_s),
        cmocka_unit_test(info_is_what_the_report_says),
        cmocka_unit_test(every_part_but_latencies_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
