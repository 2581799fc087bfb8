/* The conformance scenarios of scenarios.scn. */
#include "scn.h"
#include "scn_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a kernel does and the stack not yet.  A line that passes has to leave. */
static const char *const not_yet[] = {"S01", "S02", "S03", NULL};

static scn_file all;

static bool is_not_yet(const char *id)
{
    for (const char *const *p = not_yet; *p; p++)
        if (!strcmp(*p, id))
            return true;
    return false;
}

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
        if (is_not_yet(all.v[i].id))
            continue;
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

static void what_is_not_yet_done_is_still_listed(void **state)
{
    (void)state;
    for (const char *const *p = not_yet; *p; p++) {
        const scn_line *l = scn_file_find(&all, *p);
        scn_opts o = {0};
        scn_result r;
        assert_non_null(l);
        scn_run(l->text, &o, &r);
        if (!r.err[0])
            fail_msg("%s passes: take it from the list", *p);
    }
}

static void no_failing_allocation_breaks_or_leaks(void **state)
{
    (void)state;
    for (size_t i = 0; i < all.n; i++) {
        if (is_not_yet(all.v[i].id))
            continue;
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
        cmocka_unit_test(what_is_not_yet_done_is_still_listed),
        cmocka_unit_test(no_failing_allocation_breaks_or_leaks),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
