/* Links of two families, names beside literals, plans: who is tried when. */
#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

/* ---- two families ------------------------------------------------------- */

static rmr_dial dial_both(void)
{
    rmr_dial d = rig_dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(192, 0, 2, 1, 0);
    d.addrs[0].family = RMR_AF_INET6;
    d.addrs[1] = rmr_addr_v4(192, 0, 2, 2, 0);
    d.n_addrs = 2;
    return d;
}

/* The next CONNECT must be to that family; its id. */
static uint64_t connects(rig *r, uint8_t family)
{
    rmr_io_op op = rig_next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    assert_int_equal(op.addr.family, family);
    assert_int_equal(op.addr.port, 8080);
    assert_int_equal(rig_next(r).kind, RMR_IO_NONE);
    return op.id;
}

static uint64_t connects_one(rig *r)
{
    rmr_io_op op = rig_next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    return op.id;
}

static void a_family_that_leads_nowhere_costs_a_fifth_of_a_second(void **st)
{
    rig r;
    (void)st;
    for (int winner = 0; winner < 2; winner++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id[2] = {connects(&r, RMR_AF_INET6), 0};
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 200 * RMR_MS);
        rig_pass(&r, 199 * RMR_MS);
        assert_int_equal(rig_next(&r).kind, RMR_IO_NONE);
        rig_pass(&r, RMR_MS);
        id[1] = connects(&r, RMR_AF_INET);
        rig_give(&r, RMR_IO_OPENED, id[winner], NULL);
        assert_int_equal(r.opened, 1);
        /* The other one is given up; what it still says is of no meaning. */
        bool aborted = false;
        rmr_io_op op;
        while ((op = rig_next(&r)).kind != RMR_IO_NONE)
            aborted |= op.kind == RMR_IO_ABORT && op.id == id[!winner];
        assert_true(aborted);
        rig_give(&r, RMR_IO_FAILED, id[!winner], NULL);
        rig_give(&r, RMR_IO_BYTES, id[winner], "hi");
        assert_memory_equal(r.got, "hi", 2);
        assert_int_equal(r.closed, 0);
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

static void the_second_family_does_not_wait_for_one_that_failed(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    rmr_mc_link_dial(r.link, r.now, &d);
    rig_give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET6), NULL);
    assert_int_equal(r.closed, 0);
    uint64_t id = connects(&r, RMR_AF_INET);
    assert_true(rmr_mc_next_deadline(r.mc) == r.now + 10 * RMR_SEC);
    rig_give(&r, RMR_IO_FAILED, id, NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void one_that_opens_in_time_keeps_the_other_from_beginning(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    rmr_mc_link_dial(r.link, r.now, &d);
    rig_give(&r, RMR_IO_OPENED, connects(&r, RMR_AF_INET6), NULL);
    rig_pass(&r, RMR_SEC);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(rig_next(&r).kind, RMR_IO_CONNECT);
    rig_end(&r);
}

static void a_family_that_is_off_is_not_tried(void **st)
{
    rig r;
    (void)st;
    for (int v6 = 0; v6 < 2; v6++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        d.no_v4 = v6;
        d.no_v6 = !v6;
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, v6 ? RMR_AF_INET6 : RMR_AF_INET);
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 10 * RMR_SEC);
        rig_give(&r, RMR_IO_FAILED, id, NULL);
        assert_int_equal(r.closed, 1);
        rig_end(&r);
    }
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    d.no_v4 = d.no_v6 = true;
    rmr_mc_link_dial(r.link, r.now, &d);
    assert_int_equal(r.why, RMR_E_UNREACHABLE);
    rig_end(&r);
}

/* ---- a literal of one family, and the name for the other ----------------- */

/* The host's name is known from hosts(5) as 192.0.2.7 and 2001:db8::7, or has
 * to be asked for. */
static void names(rig *r, bool known)
{
    static const char hosts[] =
        "192.0.2.7 host.example\n2001:db8::7 host.example\n";
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    links.name_servers = &server;
    links.n_name_servers = 1;
    if (known)
        links.hosts = rmr_bytes_str(hosts);
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r->mc, r->now, &ev);
}

static rmr_dial dial_one(uint8_t family)
{
    rmr_dial d = rig_dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(203, 0, 113, 1, 0);
    d.addrs[0].family = family;
    d.n_addrs = 1;
    return d;
}

static void a_family_without_a_literal_is_reached_by_name(void **st)
{
    static const uint8_t families[2] = {RMR_AF_INET, RMR_AF_INET6};
    rig r;
    (void)st;
    for (int i = 0; i < 4; i++) {
        uint8_t given = families[i & 1], other = families[!(i & 1)];
        rig_start(&r, NULL);
        names(&r, true);
        rmr_dial d = dial_one(given);
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, given);
        if (i & 2) { /* refused, so that nothing is waited for */
            rig_give(&r, RMR_IO_FAILED, id, NULL);
        } else {
            assert_true(rmr_mc_next_deadline(r.mc) == r.now + 200 * RMR_MS);
            rig_pass(&r, 199 * RMR_MS);
            assert_int_equal(rig_next(&r).kind, RMR_IO_NONE);
            rig_pass(&r, RMR_MS);
        }
        assert_int_equal(r.closed, 0);
        rmr_io_op op = rig_next(&r);
        assert_int_equal(op.kind, RMR_IO_CONNECT);
        assert_int_equal(op.addr.family, other);
        assert_int_equal(op.addr.port, 8080);
        assert_int_equal(op.addr.ip[other == RMR_AF_INET ? 3 : 15], 7);
        rig_give(&r, RMR_IO_OPENED, op.id, NULL);
        assert_int_equal(r.opened, 1);
        assert_int_equal(r.closed, 0);
        rig_end(&r);
    }
}

static void a_literal_that_opens_in_time_asks_for_no_name(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, false);
    rmr_dial d = dial_one(RMR_AF_INET);
    rmr_mc_link_dial(r.link, r.now, &d);
    rig_give(&r, RMR_IO_OPENED, connects(&r, RMR_AF_INET), NULL);
    rig_pass(&r, RMR_SEC);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(rig_next(&r).kind, RMR_IO_UDP_OPEN);
    rig_end(&r);
}

static void a_family_that_is_off_is_not_reached_by_name_either(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, true);
    rmr_dial d = dial_one(RMR_AF_INET6);
    d.no_v4 = true;
    rmr_mc_link_dial(r.link, r.now, &d);
    rig_give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET6), NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

/* It begins behind the fifth of a second; its end costs the dial nothing. */
static void a_name_that_nobody_knows_leaves_the_literal_alone(void **st)
{
    rig r;
    (void)st;
    for (int late = 0; late < 2; late++) {
        rig_start(&r, NULL); /* and nobody can be asked */
        rmr_dial d = dial_one(RMR_AF_INET);
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, RMR_AF_INET);
        if (late)
            rig_pass(&r, 200 * RMR_MS);
        assert_int_equal(rig_next(&r).kind, RMR_IO_NONE);
        rig_give(&r, RMR_IO_FAILED, id, NULL);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.why, RMR_E_REFUSED);
        rig_end(&r);
    }
}

static void a_name_server_that_is_silent_costs_one_connects_time(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, false);
    rmr_dial d = dial_one(RMR_AF_INET);
    rmr_time began = r.now;
    rmr_mc_link_dial(r.link, r.now, &d);
    rig_give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET), NULL);
    while (!r.closed) {
        while (rig_next(&r).kind != RMR_IO_NONE)
            continue;
        r.now = rmr_mc_next_deadline(r.mc);
        assert_true(r.now <= began + 1500 * RMR_MS);
        rmr_mc_handle_deadline(r.mc, r.now);
    }
    assert_true(r.now == began + 1500 * RMR_MS);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

static void a_question_ends_with_its_dial(void **st)
{
    rig r;
    (void)st;
    for (int how = 0; how < 3; how++) {
        rig_start(&r, NULL);
        names(&r, false);
        rmr_dial d = dial_one(RMR_AF_INET);
        d.timeout = RMR_SEC;
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, RMR_AF_INET);
        rig_pass(&r, 200 * RMR_MS);
        assert_int_equal(rig_next(&r).kind, RMR_IO_UDP_OPEN);
        if (how == 0)
            rig_give(&r, RMR_IO_OPENED, id, NULL);
        else if (how == 1)
            rmr_mc_link_close(r.link, r.now);
        else
            for (r.now += RMR_SEC; rmr_mc_next_deadline(r.mc) <= r.now;)
                rmr_mc_handle_deadline(r.mc, r.now);
        assert_int_equal(r.opened, how == 0);
        assert_int_equal(r.closed, how == 2);
        while (rig_next(&r).kind != RMR_IO_NONE)
            continue;
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

/* Three addresses: at once, at once, and 300 ms later, each with its port. */
static rmr_dial_plan three_ways(void)
{
    rmr_dial_plan plan = {.n = 3};
    for (size_t i = 0; i < 3; i++) {
        rmr_dial_try *t = &plan.tries[i];
        t->addr.family = RMR_AF_INET;
        t->addr.ip[0] = (uint8_t)(i + 1);
        t->addr.port = 8080;
        t->timeout = 7 * RMR_SEC;
    }
    plan.tries[2].delay = 300 * RMR_MS;
    return plan;
}

static void the_ways_of_a_plan_go_side_by_side(void **st)
{
    rig r;
    (void)st;
    for (int winner = 0; winner < 3; winner++) {
        rig_start(&r, NULL);
        rmr_dial_plan plan = three_ways();
        rmr_dial d = dial_both();
        d.plan = &plan;
        rmr_mc_link_dial(r.link, r.now, &d);
        memset(&plan, 0xee, sizeof plan); /* it was lent */
        uint64_t id[3];
        for (int i = 0; i < 2; i++) {
            rmr_io_op op = rig_next(&r);
            assert_int_equal(op.kind, RMR_IO_CONNECT);
            assert_int_equal(op.addr.ip[0], i + 1);
            assert_int_equal(op.addr.port, 8080);
            assert_true(op.timeout == 7 * RMR_SEC);
            id[i] = op.id;
        }
        assert_int_equal(rig_next(&r).kind, RMR_IO_NONE);
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 300 * RMR_MS);
        if (winner == 2)
            rig_pass(&r, 300 * RMR_MS);
        id[2] = winner == 2 ? connects(&r, RMR_AF_INET) : 0;
        rig_give(&r, RMR_IO_OPENED, id[winner], NULL);
        assert_int_equal(r.opened, 1);
        int aborted = 0;
        rmr_io_op op;
        while ((op = rig_next(&r)).kind != RMR_IO_NONE)
            aborted += op.kind == RMR_IO_ABORT;
        assert_int_equal(aborted, winner == 2 ? 2 : 1);
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

static void a_plan_that_leads_nowhere_ends_the_dial(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial_plan plan = three_ways();
    rmr_dial d = dial_both();
    d.plan = &plan;
    rmr_mc_link_dial(r.link, r.now, &d);
    uint64_t first = connects_one(&r), second = connects_one(&r);
    rig_give(&r, RMR_IO_FAILED, first, NULL);
    assert_int_equal(rig_next(&r).kind, RMR_IO_NONE); /* one is still tried */
    rig_give(&r, RMR_IO_FAILED, second, NULL);
    rig_give(&r, RMR_IO_FAILED, connects_one(&r), NULL); /* before its time */
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void both_families_end_with_the_dial(void **st)
{
    rig r;
    (void)st;
    for (int how = 0; how < 2; how++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        d.timeout = RMR_SEC;
        rmr_mc_link_dial(r.link, r.now, &d);
        connects(&r, RMR_AF_INET6);
        rig_pass(&r, 200 * RMR_MS);
        connects(&r, RMR_AF_INET);
        if (how)
            rmr_mc_link_close(r.link, r.now);
        else
            rig_pass(&r, 800 * RMR_MS);
        assert_int_equal(r.closed, !how);
        for (int i = 0; i < 2; i++)
            assert_int_equal(rig_next(&r).kind, RMR_IO_ABORT);
        rig_end(&r);
    }
}

static void a_dial_ends_at_its_timeout(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = rig_dial_to("192.0.2.1");
    d.timeout = 3 * RMR_SEC;
    rmr_mc_link_dial(r.link, r.now, &d);
    assert_int_equal(rmr_mc_next_deadline(r.mc), r.now + 3 * RMR_SEC);
    r.now += 3 * RMR_SEC;
    rmr_mc_handle_deadline(r.mc, r.now);
    assert_int_equal(r.why, RMR_E_TIMEOUT);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_that_leads_nowhere_costs_a_fifth_of_a_second),
        cmocka_unit_test(the_second_family_does_not_wait_for_one_that_failed),
        cmocka_unit_test(one_that_opens_in_time_keeps_the_other_from_beginning),
        cmocka_unit_test(a_family_without_a_literal_is_reached_by_name),
        cmocka_unit_test(a_literal_that_opens_in_time_asks_for_no_name),
        cmocka_unit_test(a_family_that_is_off_is_not_reached_by_name_either),
        cmocka_unit_test(a_name_that_nobody_knows_leaves_the_literal_alone),
        cmocka_unit_test(a_name_server_that_is_silent_costs_one_connects_time),
        cmocka_unit_test(a_question_ends_with_its_dial),
        cmocka_unit_test(a_family_that_is_off_is_not_tried),
        cmocka_unit_test(the_ways_of_a_plan_go_side_by_side),
        cmocka_unit_test(a_plan_that_leads_nowhere_ends_the_dial),
        cmocka_unit_test(both_families_end_with_the_dial),
        cmocka_unit_test(a_dial_ends_at_its_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
