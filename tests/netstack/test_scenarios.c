/* The conformance scenarios of scenarios.scn. */
#include "scn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_LINES 256

static char *lines[MAX_LINES];
static size_t n_lines;

static int load(void **state)
{
    (void)state;
    char buf[4096];
    FILE *f = fopen(NS_SCENARIOS, "r");
    if (!f)
        return -1;
    while (fgets(buf, sizeof buf, f)) {
        if (buf[0] == '#' || buf[0] == '\n')
            continue;
        if (n_lines == MAX_LINES)
            break;
        lines[n_lines] = malloc(strlen(buf) + 1);
        if (!lines[n_lines])
            abort();
        memcpy(lines[n_lines], buf, strlen(buf) + 1);
        n_lines++;
    }
    (void)fclose(f);
    return n_lines ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    while (n_lines)
        free(lines[--n_lines]);
    return 0;
}

static void run_all(const scn_opts *o)
{
    size_t failures = 0;
    for (size_t i = 0; i < n_lines; i++) {
        scn_result r;
        scn_run(lines[i], o, &r);
        if (r.err[0]) {
            failures++;
            print_error("%.3s: %s\n", lines[i], r.err);
        }
    }
    if (failures)
        fail_msg("%zu of %zu scenarios", failures, n_lines);
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
    for (size_t i = 0; i < n_lines; i++) {
        for (size_t n = 1;; n++) {
            scn_opts o = {0};
            scn_result r;
            o.peer_iss = 77;
            o.fail_at = n;
            scn_run(lines[i], &o, &r);
            if (strstr(r.err, "leak"))
                fail_msg("%.3s, allocation %zu: %s", lines[i], n, r.err);
            if (!r.alloc_failed) {
                if (r.err[0])
                    fail_msg("%.3s: %s", lines[i], r.err);
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
