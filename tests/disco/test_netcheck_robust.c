/* Netcheck under failing memory and randomness, with large maps, with maps that
 * change, and at its deadlines alone. */
#include "netcheck_internal.h"

#include "nc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- failing memory and randomness ---------------------------------------- */

static rmr_err make(nc_lab *l)
{
    rmr_netcheck_node n[2] = {
        {.name = "1a", .host = "a.example", .v4 = nc_addr("192.0.2.1")},
        {.name = "1b", .host = "b.example", .v4 = nc_addr("192.0.2.2")}};
    rmr_netcheck_region r = {.id = 1, .nodes = n, .n_nodes = 2};
    rmr_err e = rmr_netcheck_new(&l->nc, &l->env, NULL);
    if (e == RMR_OK)
        e = rmr_netcheck_set_map(l->nc, 0, &r, 1, NULL);
    if (e == RMR_OK) {
        rmr_netcheck_how how = {.have_v4 = true};
        e = rmr_netcheck_start(l->nc, 0, &how);
        assert_int_equal(rmr_netcheck_is_running(l->nc), e == RMR_OK);
    }
    return e;
}

static void every_lack_of_memory_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    rmr_err e = RMR_E_NOMEM;
    size_t n = 0;
    while (e == RMR_E_NOMEM) {
        nc_lab l;
        memset(&l, 0, sizeof l);
        test_rng_seed(&l.rng, 1);
        l.env = test_env(&l.alloc, &l.rng, NULL);
        l.alloc.fail_at = ++n;
        e = make(&l);
        if (l.nc && e == RMR_E_NOMEM) { /* once there is memory, it works */
            rmr_netcheck *old = l.nc;
            l.alloc.fail_at = 0;
            assert_int_equal(make(&l), RMR_OK);
            rmr_netcheck_free(old);
        }
        nc_lab_wipe(&l);
    }
    assert_int_equal(e, RMR_OK);
    assert_true(n > 5);
}

static void a_map_that_does_not_fit_leaves_the_old_one(void **state)
{
    (void)state;
    rmr_netcheck_node n = {.name = "x", .v4 = nc_addr("192.0.2.1")};
    rmr_netcheck_region r = {.id = 9, .nodes = &n, .n_nodes = 1};
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 3, 2);
    nc_lab_start(&l);
    for (size_t k = 1; k <= 4; k++) {
        bool changed = true;
        l.alloc.fail_at = l.alloc.calls + k;
        assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, &changed),
                         RMR_E_NOMEM);
        assert_false(changed);
        assert_int_equal(l.nc->t.n_regions, 3);
        assert_true(rmr_netcheck_is_running(l.nc));
    }
    assert_int_equal(l.stopped, 0);
    nc_lab_wipe(&l);
}

static void every_lack_of_randomness_is_told(void **state)
{
    (void)state;
    rmr_err e = RMR_E_RNG;
    size_t n = 0;
    while (e == RMR_E_RNG) {
        nc_lab l;
        memset(&l, 0, sizeof l);
        test_rng_seed(&l.rng, 1);
        l.env = test_env(&l.alloc, &l.rng, NULL);
        l.rng.fail_at = ++n;
        e = make(&l);
        nc_lab_wipe(&l);
    }
    assert_int_equal(e, RMR_OK);
    assert_int_equal(n, 1 + 1 + 3 + 1); /* seed, mask, three probes */
}

/* ---- maps ----------------------------------------------------------------- */

static void a_run_ends_when_the_map_changes(void **state)
{
    (void)state;
    nc_lab l;
    bool changed = true;
    rmr_netcheck_stats st;
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_start(l.nc, l.now, &l.how), RMR_E_STATE);
    nc_lab_map(&l, 3, 2);
    nc_lab_start(&l);
    assert_int_equal(rmr_netcheck_start(l.nc, l.now, &l.how), RMR_E_STATE);
    nc_lab_map(&l, 4, 2); /* asserts that it changed */
    assert_int_equal(l.stopped, 1);
    assert_false(rmr_netcheck_is_running(l.nc));
    assert_int_equal(rmr_netcheck_next_deadline(l.nc), RMR_TIME_NEVER);
    nc_lab_start(&l);
    assert_int_equal(rmr_netcheck_stop(l.nc, l.now), RMR_OK);
    assert_int_equal(l.stopped, 2);
    assert_int_equal(rmr_netcheck_stop(l.nc, l.now), RMR_OK);
    assert_int_equal(l.stopped, 2);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, NULL, 0, &changed),
                     RMR_OK);
    assert_true(changed);
    assert_int_equal(rmr_netcheck_start(l.nc, l.now, &l.how), RMR_E_STATE);
    rmr_netcheck_get_stats(l.nc, &st);
    assert_int_equal(st.stopped_runs, 2);
    nc_lab_wipe(&l);
}

static void every_difference_of_maps_is_seen(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    for (int k = 0; k < 14; k++) {
        rmr_netcheck_node n[2] = {{.name = "1a", .host = "a.example"},
                                  {.name = "1b", .host = "b.example"}};
        rmr_netcheck_region r[2] = {{.id = 1, .nodes = n, .n_nodes = 2},
                                    {.id = 2, .nodes = n, .n_nodes = 1}};
        size_t count = 2;
        bool changed;
        assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, r, 2, NULL), RMR_OK);
        assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, r, 2, &changed),
                         RMR_OK);
        assert_false(changed);
        nc_lab_start(&l);
        switch (k) {
        case 0:
            n[1].name = "1c";
            break;
        case 1:
            n[1].host = "c.example";
            break;
        case 2:
            n[1].v4 = nc_addr("192.0.2.1");
            break;
        case 3:
            n[1].v6 = nc_addr("2001:db8::1");
            break;
        case 4:
            n[1].no_v4 = true;
            break;
        case 5:
            n[1].no_v6 = true;
            break;
        case 6:
            n[1].stun_port = 7;
            break;
        case 7:
            n[1].stun_only = true;
            break;
        case 8:
            n[1].can_port80 = true;
            break;
        case 9:
            n[1].test_ip = nc_addr("127.0.0.1");
            break;
        case 10:
            r[0].avoid = true;
            break;
        case 11:
            r[0].no_measure_no_home = true;
            break;
        case 12:
            r[0].score = 500;
            break;
        default:
            count = 1;
            break;
        }
        assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, r, count, &changed),
                         RMR_OK);
        assert_true(changed);
        assert_int_equal(l.stopped, k + 1);
    }
    nc_lab_wipe(&l);
}

static void bad_maps_are_refused_and_equal_ids_count_once(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_node n = {.name = "1a", .v4 = nc_addr("192.0.2.1")};
    rmr_netcheck_node nameless = {.name = NULL};
    rmr_netcheck_region zero = {.id = 0, .nodes = &n, .n_nodes = 1};
    rmr_netcheck_region lost = {.id = 1, .nodes = NULL, .n_nodes = 1};
    rmr_netcheck_region noname = {.id = 1, .nodes = &nameless, .n_nodes = 1};
    rmr_netcheck_region twice[3] = {{.id = 5, .nodes = &n, .n_nodes = 1},
                                    {.id = 5, .avoid = true},
                                    {.id = 3, .nodes = &n, .n_nodes = 1}};
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, 0, &zero, 1, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_netcheck_set_map(l.nc, 0, &lost, 1, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_netcheck_set_map(l.nc, 0, &noname, 1, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_netcheck_set_map(l.nc, 0, twice, 3, NULL), RMR_OK);
    assert_int_equal(l.nc->t.n_regions, 2);
    assert_int_equal(l.nc->t.regions[0].id, 3);
    assert_false(l.nc->t.regions[1].avoid);
    nc_lab_wipe(&l);
}

static void found_addresses_outlive_a_new_map(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_name name;
    rmr_addr found = nc_addr("192.0.2.1");
    rmr_netcheck_node n = {.name = "1a", .host = "one.example"};
    rmr_netcheck_region r = {.id = 1, .nodes = &n, .n_nodes = 1};
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, NULL), RMR_OK);
    nc_lab_start(&l);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    (void)rmr_netcheck_resolved(l.nc, l.now, 1, 0, &found, 1);
    (void)rmr_netcheck_stop(l.nc, l.now);
    r.score = 2000;
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, NULL), RMR_OK);
    nc_lab_start(&l);
    assert_int_equal(l.n_sent, 1);
    n.host = "two.example";
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, &r, 1, NULL), RMR_OK);
    nc_lab_start(&l);
    assert_int_equal(l.n_sent, 0);
    assert_true(rmr_netcheck_wants_name(l.nc, l.now, &name));
    assert_string_equal(name.host, "two.example");
    nc_lab_wipe(&l);
}

/* ---- large ---------------------------------------------------------------- */

#define MANY 1000

static rmr_netcheck_region *large_map(rmr_netcheck_node *nodes, size_t n,
                                      size_t per)
{
    rmr_netcheck_region *r = calloc(n, sizeof *r);
    assert_non_null(r);
    for (size_t i = 0; i < n; i++) {
        r[i].id = (uint16_t)(n - i); /* not in order */
        r[i].nodes = nodes;
        r[i].n_nodes = per;
    }
    return r;
}

static void a_thousand_regions_are_measured(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_node nodes[8];
    char names[8][64], host[254];
    memset(nodes, 0, sizeof nodes);
    memset(host, 'h', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    for (size_t k = 0; k < 8; k++) {
        memset(names[k], 'n', 63);
        names[k][63] = '\0';
        nodes[k].name = names[k];
        nodes[k].host = host;
        nodes[k].v4 = rmr_addr_v4(192, 0, 2, (uint8_t)k, 0);
        nodes[k].v6 = nc_addr("2001:db8::1");
    }
    rmr_netcheck_region *r = large_map(nodes, MANY, 8);
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, r, MANY, NULL), RMR_OK);
    free(r);
    print_message("map of %d x 8: %zu bytes\n", MANY, l.alloc.live_bytes);
    assert_true(l.alloc.live_bytes < 5u << 20);
    l.how.have_v6 = true;
    assert_int_equal(rmr_netcheck_start(l.nc, l.now, &l.how), RMR_OK);
    print_message("and a full run: %zu bytes\n", l.alloc.live_bytes);
    size_t sent = 0, len;
    for (rmr_time end = l.now + 250 * RMR_MS; l.now < end;) {
        uint8_t buf[64];
        rmr_addr to;
        for (;; sent++) {
            assert_int_equal(rmr_netcheck_write_pkt(l.nc, l.now,
                                                    rmr_buf_of(buf, sizeof buf),
                                                    &len, &to),
                             RMR_OK);
            if (len == 0)
                break;
        }
        l.now = rmr_time_min(rmr_netcheck_next_deadline(l.nc), end);
        (void)rmr_netcheck_handle_deadline(l.nc, l.now);
    }
    assert_int_equal(sent, MANY * 3 * 2);
    /* The last region's answer finds its probe like the first's. */
    for (size_t i = 0; i < l.nc->n_probes; i += 997) {
        uint8_t buf[64];
        rmr_addr a = l.mapped;
        (void)rmr_stun_build_response(rmr_buf_of(buf, sizeof buf), &len,
                                      l.nc->probes[i].txid, &a);
        assert_int_equal(
            rmr_netcheck_read_pkt(l.nc, l.now, rmr_bytes_of(buf, len)), RMR_OK);
    }
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.done, 1);
    nc_lab_wipe(&l);
}

static void what_is_too_much_is_left_out_and_counted(void **state)
{
    (void)state;
    nc_lab l;
    rmr_netcheck_stats st;
    rmr_netcheck_node nodes[9];
    memset(nodes, 0, sizeof nodes);
    for (size_t k = 0; k < 9; k++)
        nodes[k].name = "n";
    rmr_netcheck_region *r = large_map(nodes, 1030, 1);
    r[0].n_nodes = 9;
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_set_map(l.nc, l.now, r, 1030, NULL), RMR_OK);
    free(r);
    rmr_netcheck_get_stats(l.nc, &st);
    assert_int_equal(st.left_out, 6 + 1);
    assert_int_equal(l.nc->t.n_regions, RMR_NETCHECK_MAX_REGIONS);
    nc_lab_wipe(&l);
}

/* ---- deadlines ------------------------------------------------------------ */

static void waking_at_deadlines_alone_gives_the_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        nc_lab l[2];
        rmr_dur took[2];
        for (int k = 0; k < 2; k++) {
            test_rng r;
            test_rng_seed(&r, seed);
            nc_lab_init(&l[k]);
            nc_lab_map(&l[k], 2 + test_rng_u64(&r) % 8,
                       1 + test_rng_u64(&r) % 3);
            l[k].how.have_v6 = test_rng_u64(&r) % 2;
            l[k].varies = test_rng_u64(&r) % 2;
            l[k].fine = k == 1;
            for (size_t i = 1; i < NC_MAX_REGIONS; i++) {
                rmr_dur d = test_rng_u64(&r) % 400 * RMR_MS;
                l[k].latency[i] = test_rng_u64(&r) % 4 ? d : NEVER_ANSWERS;
                l[k].latency6[i] = test_rng_u64(&r) % 2 ? d : NEVER_ANSWERS;
            }
            (void)nc_lab_run(&l[k]);
            l[k].now += 25 * RMR_SEC;
            took[k] = nc_lab_run(&l[k]);
        }
        assert_int_equal(took[0], took[1]);
        assert_int_equal(l[0].n_sent, l[1].n_sent);
        for (size_t i = 0; i < l[0].n_sent; i++) {
            assert_int_equal(l[0].sent[i].at, l[1].sent[i].at);
            assert_true(rmr_addr_eq(&l[0].sent[i].to, &l[1].sent[i].to));
        }
        assert_int_equal(l[0].last.preferred_derp, l[1].last.preferred_derp);
        assert_int_equal(l[0].last.n_latency, l[1].last.n_latency);
        nc_lab_wipe(&l[0]);
        nc_lab_wipe(&l[1]);
    }
}

static void a_clock_that_goes_back_stands_still(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    nc_lab_start(&l);
    l.now += 10 * RMR_MS;
    (void)rmr_netcheck_handle_deadline(l.nc, l.now);
    l.now -= 5 * RMR_MS;
    assert_int_equal(nc_lab_answer(&l, 0), RMR_OK);
    assert_int_equal(l.last.latency[0].any, 10 * RMR_MS);
    nc_lab_wipe(&l);
}

static void a_short_buffer_takes_nothing(void **state)
{
    (void)state;
    nc_lab l;
    uint8_t buf[RMR_STUN_REQUEST_LEN];
    size_t len;
    rmr_addr to;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    assert_int_equal(rmr_netcheck_start(l.nc, l.now, &l.how), RMR_OK);
    assert_int_equal(
        rmr_netcheck_write_pkt(l.nc, l.now, rmr_buf_of(buf, 39), &len, &to),
        RMR_E_BUFSIZE);
    assert_int_equal(len, 0);
    nc_lab_drain(&l);
    assert_int_equal(l.n_sent, 1);
    nc_lab_wipe(&l);
}

static void a_run_may_begin_in_the_callback(void *user,
                                            const rmr_netcheck_report *r)
{
    nc_lab *l = user;
    if (r && l->done++ == 0)
        assert_int_equal(rmr_netcheck_start(l->nc, l->now, &l->how), RMR_OK);
}

static void the_next_run_may_begin_when_one_ends(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 1, 1);
    l.nc->cb.on_done = a_run_may_begin_in_the_callback;
    l.latency[1] = 10 * RMR_MS;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.done, 2);
    nc_lab_wipe(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lack_of_memory_is_told_and_leaks_nothing),
        cmocka_unit_test(a_map_that_does_not_fit_leaves_the_old_one),
        cmocka_unit_test(every_lack_of_randomness_is_told),
        cmocka_unit_test(a_run_ends_when_the_map_changes),
        cmocka_unit_test(every_difference_of_maps_is_seen),
        cmocka_unit_test(bad_maps_are_refused_and_equal_ids_count_once),
        cmocka_unit_test(found_addresses_outlive_a_new_map),
        cmocka_unit_test(a_thousand_regions_are_measured),
        cmocka_unit_test(what_is_too_much_is_left_out_and_counted),
        cmocka_unit_test(waking_at_deadlines_alone_gives_the_same_run),
        cmocka_unit_test(a_clock_that_goes_back_stands_still),
        cmocka_unit_test(a_short_buffer_takes_nothing),
        cmocka_unit_test(the_next_run_may_begin_when_one_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
