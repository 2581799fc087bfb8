/* The choice of a home: vectors, history, scores, what is done without one. */
#include "netcheck_internal.h"

#include "nc_fixture.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void scored_map(nc_lab *l, size_t n, tv *scores)
{
    rmr_netcheck_region regions[NC_MAX_REGIONS];
    rmr_netcheck_node node = {.name = "a", .v4 = nc_addr("192.0.2.1")};
    tv *score;
    const char *key;
    memset(regions, 0, sizeof regions);
    for (size_t i = 0; i < n; i++) {
        regions[i].id = (uint16_t)(i + 1);
        regions[i].nodes = &node;
        regions[i].n_nodes = 1;
    }
    for (size_t i = 0; scores && (key = tv_key_at(scores, i, &score)); i++)
        regions[atoi(key) - 1].score = (uint32_t)(tv_num(score) * 1000);
    assert_int_equal(rmr_netcheck_set_map(l->nc, l->now, regions, n, NULL),
                     RMR_OK);
}

/* As if a run that began 0.1 s ago had seen these latencies. */
static uint16_t step(nc_lab *l, tv *s, rmr_time base)
{
    tv *v, *heard = tv_opt(s, "derp_frame_heard_s_ago");
    tv *ms = tv_get(s, "region_latency_ms");
    const char *key;
    l->now = base + (rmr_dur)tv_get_int(s, "at_s") * RMR_SEC;
    for (size_t i = 0; i < l->nc->t.n_regions; i++)
        l->nc->t.regions[i].cur.any = NONE;
    for (size_t i = 0; (key = tv_key_at(ms, i, &v)) != NULL; i++)
        rmri_nc_region(l->nc, (uint16_t)atoi(key))->cur.any =
            (rmr_dur)tv_int(v) * RMR_MS;
    for (size_t i = 0; heard && (key = tv_key_at(heard, i, &v)); i++)
        rmr_netcheck_note_frame(l->nc, l->now - (rmr_dur)tv_int(v) * RMR_SEC,
                                (uint16_t)atoi(key));
    l->nc->now = l->now;
    l->nc->cur.started = l->now - 100 * RMR_MS;
    return rmri_nc_prefer(l->nc);
}

static void homes_are_those_of_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "preferred_derp");
    assert_true(tv_len(list) >= 15);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i), *steps = tv_get(c, "steps");
        nc_lab l;
        nc_lab_init(&l);
        rmr_time base = l.now;
        scored_map(&l, 5, tv_opt(c, "region_score"));
        if (tv_opt(c, "force_preferred"))
            l.nc->how.force_region = (uint16_t)tv_get_int(c, "force_preferred");
        for (size_t k = 0; k < tv_len(steps); k++) {
            tv *s = tv_at(steps, k);
            uint16_t got = step(&l, s, base);
            if (got != tv_get_int(s, "preferred_derp"))
                fail_msg("%s, step %d: %d", tv_get_str(c, "name"), (int)k,
                         (int)got);
            l.nc->report.preferred_derp = got;
        }
        nc_lab_wipe(&l);
    }
    tv_free(root);
}

/* The history against all latencies of the last five minutes. */
static void history_is_the_least_of_five_minutes(void **state)
{
    (void)state;
    nc_lab l;
    rmr_time at[400];
    rmr_dur lat[400];
    nc_lab_init(&l);
    scored_map(&l, 1, NULL);
    nc_region *r = rmri_nc_region(l.nc, 1);
    uint64_t merged = 0;
    for (size_t i = 0; i < 400; i++) {
        l.now += (1 + test_rng_u64(&l.rng) % 60) * RMR_SEC;
        at[i] = l.nc->now = l.now;
        lat[i] = r->cur.any = (1 + test_rng_u64(&l.rng) % 1000) * RMR_MS;
        (void)rmri_nc_prefer(l.nc);
        rmr_dur least = NONE;
        for (size_t k = 0; k <= i; k++)
            if (l.now - at[k] <= 300 * RMR_SEC && lat[k] < least)
                least = lat[k];
        if (l.nc->stats.history_merged == merged)
            assert_int_equal(r->past[0].latency, least);
        merged = l.nc->stats.history_merged;
        assert_true(r->n_past >= 1 && r->n_past <= HISTORY_LEN);
    }
    nc_lab_wipe(&l);
}

static void a_rising_history_stays_bounded(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    scored_map(&l, 1, NULL);
    nc_region *r = rmri_nc_region(l.nc, 1);
    for (size_t i = 0; i < 20; i++) {
        l.nc->now += RMR_SEC;
        r->cur.any = (10 + i) * RMR_MS;
        (void)rmri_nc_prefer(l.nc);
    }
    assert_int_equal(r->n_past, HISTORY_LEN);
    assert_int_equal(r->past[0].latency, 10 * RMR_MS);
    assert_int_equal(r->past[HISTORY_LEN - 1].latency, 29 * RMR_MS);
    assert_int_equal(l.nc->stats.history_merged, 20 - HISTORY_LEN);
    nc_lab_wipe(&l);
}

static void scores_are_cut_to_thousandths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t want;
    } table[] = {
        {"1", 1000},
        {"0.5", 500},
        {"2", 2000},
        {"1.25", 1250},
        {"0.3333", 333},
        {"0.9999999", 999},
        {"5e-1", 500},
        {"5E-1", 500},
        {"1.5e1", 15000},
        {"12e+0", 12000},
        {"0.0001", 1},
        {"1e-30", 1},
        {"0", 0},
        {"0.0", 0},
        {"-1", 0},
        {"", 0},
        {"x", 0},
        {"1.", 0},
        {".5", 0},
        {"1e", 0},
        {"1e+", 0},
        {"1x", 0},
        {"1e5x", 0},
        {"1000", 1000000},
        {"1001", 1000000},
        {"1e99", 1000000},
        {"1e999", 1000000},
        {"123456789012345678901234567890e-29", 1234},
        {"0.12345678901234567890", 123},
        {"1.2.3", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (rmr_netcheck_score(rmr_bytes_str(table[i].text)) != table[i].want)
            fail_msg("%s: %u", table[i].text,
                     rmr_netcheck_score(rmr_bytes_str(table[i].text)));
}

/* ---- in whole runs -------------------------------------------------------- */

static void a_frame_during_the_run_keeps_the_home(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 2, 1);
    l.latency[1] = 10 * RMR_MS;
    l.latency[2] = 30 * RMR_MS;
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.preferred_derp, 1);
    l.latency[1] = NEVER_ANSWERS;
    l.now += 100 * RMR_SEC;
    nc_lab_start(&l);
    nc_lab_go(&l, l.now + RMR_SEC);
    rmr_netcheck_note_frame(l.nc, l.now, 1);
    rmr_netcheck_note_frame(l.nc, l.now, 77); /* not in the map */
    nc_lab_go(&l, l.now + 6 * RMR_SEC);
    assert_int_equal(l.last.preferred_derp, 1);
    l.now += 100 * RMR_SEC;
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.preferred_derp, 2);
    nc_lab_wipe(&l);
}

static void a_region_that_left_the_map_is_no_home(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    nc_lab_map(&l, 3, 1);
    l.latency[3] = 10 * RMR_MS;
    l.latency[1] = 50 * RMR_MS;
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.preferred_derp, 3);
    nc_lab_map(&l, 2, 1);
    assert_int_equal(rmr_netcheck_get_report(l.nc)->n_latency, 1);
    assert_int_not_equal(rmr_netcheck_home(l.nc, 3, true), 3);
    (void)nc_lab_run(&l);
    assert_int_equal(l.last.preferred_derp, 1);
    nc_lab_wipe(&l);
}

static void without_control_a_home_stays(void **state)
{
    (void)state;
    nc_lab l;
    nc_lab_init(&l);
    assert_int_equal(rmr_netcheck_home(l.nc, 0, true), 0);
    nc_lab_map(&l, 3, 1);
    uint16_t any = rmr_netcheck_home(l.nc, 0, true);
    assert_true(any >= 1 && any <= 3);
    assert_int_equal(rmr_netcheck_home(l.nc, 0, true), any);
    assert_int_equal(rmr_netcheck_home(l.nc, 2, true), 2);
    (void)nc_lab_run(&l); /* nobody answers */
    assert_int_equal(l.last.preferred_derp, 0);
    assert_int_equal(rmr_netcheck_home(l.nc, 2, true), 2);
    l.latency[3] = 10 * RMR_MS;
    (void)nc_lab_run(&l);
    assert_int_equal(rmr_netcheck_home(l.nc, 2, true), 3);
    assert_int_equal(rmr_netcheck_home(l.nc, 2, false), 2);
    assert_int_equal(rmr_netcheck_home(l.nc, 0, false), 3);
    assert_int_equal(rmr_netcheck_home(l.nc, 9, false), 3);
    l.how.force_region = 3;
    (void)nc_lab_run(&l);
    assert_int_equal(rmr_netcheck_home(l.nc, 2, false), 3);
    nc_lab_wipe(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(homes_are_those_of_the_vectors),
        cmocka_unit_test(history_is_the_least_of_five_minutes),
        cmocka_unit_test(a_rising_history_stays_bounded),
        cmocka_unit_test(scores_are_cut_to_thousandths),
        cmocka_unit_test(a_frame_during_the_run_keeps_the_home),
        cmocka_unit_test(a_region_that_left_the_map_is_no_home),
        cmocka_unit_test(without_control_a_home_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
