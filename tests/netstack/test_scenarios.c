/* The conformance scenarios of scenarios.scn. */
#include "scn.h"
#include "scn_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static scn_file all;

static int load(void **state)
{
    (void)state;
    return scn_file_load(&all) ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    scn_file_free(&all);
    return 0;
}

static void run_all(const scn_opts *o)
{
    size_t failures = 0;
    for (size_t i = 0; i < all.n; i++) {
        scn_result r;
        scn_run(all.v[i].text, o, &r);
        if (r.err[0]) {
            failures++;
            print_error("%s: %s\n", all.v[i].id, r.err);
        }
    }
    if (failures)
        fail_msg("%zu of %zu scenarios", failures, all.n);
}

static void every_scenario_ends_as_written(void **state)
{
    (void)state;
    scn_opts o = {0};
    o.peer_iss = 1000;
    run_all(&o);
}

static void every_scenario_holds_when_sequence_numbers_wrap(void **state)
{
    (void)state;
    scn_opts o = {0};
    o.peer_iss = 0xffffff00u;
    o.isn_wrap = true;
    run_all(&o);
}

static void every_scenario_holds_when_timestamps_wrap(void **state)
{
    (void)state;
    scn_opts o = {0};
    o.peer_iss = 0x7fffff80u;
    o.stamp_wrap = true;
    run_all(&o);
}

static void no_failing_allocation_breaks_or_leaks(void **state)
{
    (void)state;
    for (size_t i = 0; i < all.n; i++) {
        for (size_t n = 1;; n++) {
            scn_opts o = {0};
            scn_result r;
            o.peer_iss = 77;
            o.fail_at = n;
            scn_run(all.v[i].text, &o, &r);
            if (strstr(r.err, "leak"))
                fail_msg("%s, allocation %zu: %s", all.v[i].id, n, r.err);
            if (!r.alloc_failed) {
                if (r.err[0])
                    fail_msg("%s: %s", all.v[i].id, r.err);
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_ends_as_written),
        cmocka_unit_test(every_scenario_holds_when_sequence_numbers_wrap),
        cmocka_unit_test(every_scenario_holds_when_timestamps_wrap),
        cmocka_unit_test(no_failing_allocation_breaks_or_leaks),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
