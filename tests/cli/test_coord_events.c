/* What the coordination server prints when strangers ask very often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coord_events.h"

static cli_coord_events e;
static rmr_coord_callbacks cb;
static FILE *file; /* in the place of stdout, which is kept */
static int kept;
static char out[256 * 1024];

static void begin(bool json)
{
    memset(&e, 0, sizeof e);
    e.json = json;
    cb = cli_coord_events_callbacks(&e);
    file = tmpfile();
    assert_non_null(file);
    (void)fflush(stdout);
    kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
}

/* All that was printed is in `out`. */
static void end(void)
{
    (void)fflush(stdout);
    (void)dup2(kept, STDOUT_FILENO);
    (void)close(kept);
    rewind(file);
    out[fread(out, 1, sizeof out - 1, file)] = '\0';
    (void)fclose(file);
}

static size_t lines_with(const char *text)
{
    size_t n = 0;
    for (const char *p = out; (p = strstr(p, text)) != NULL; p++) {
        n++;
    }
    return n;
}

static void logins(unsigned n)
{
    rmr_coord_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_LOGIN;
    ev.addr = rmr_addr_v4(192, 0, 2, 1, 0);
    ev.text = "hskey-authreq-000000000000000000000000";
    ev.node = "host";
    while (n-- > 0) {
        cb.on_event(cb.user, &ev);
    }
}

static void test_a_flood_of_logins_is_few_lines(void **state)
{
    (void)state;
    begin(false);
    cli_coord_events_turn(&e, 100 * RMR_SEC);
    logins(5000);
    cli_coord_events_turn(&e, 100 * RMR_SEC);
    logins(1);
    cli_coord_events_turn(&e, 101 * RMR_SEC); /* tells of the others */
    logins(1);
    cli_coord_events_turn(&e, 102 * RMR_SEC);
    cli_coord_events_turn(&e, 200 * RMR_SEC);
    logins(1);
    end();
    assert_int_equal(lines_with("waits for approval"), 61);
    assert_int_equal(lines_with("more asked for approval"), 2);
    assert_int_equal(lines_with("4941 more asked for approval"), 1);
    assert_int_equal(lines_with("\n1 more asked for approval"), 1);
}

static void test_as_json(void **state)
{
    (void)state;
    begin(true);
    logins(100);
    cli_coord_events_turn(&e, 10 * RMR_SEC);
    cli_coord_events_turn(&e, 11 * RMR_SEC);
    end();
    assert_int_equal(lines_with("\"event\":\"login\""), 60);
    assert_int_equal(
        lines_with("{\"event\":\"logins_left_out\",\"count\":40}\n"), 1);
}

static void test_who_knocks_by_ssh(void **state)
{
    rmr_coord_event ev;
    (void)state;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_CHECK;
    ev.addr = rmr_addr_v4(100, 64, 0, 1, 0);
    ev.text = "hskey-authreq-000000000000000000000000";
    ev.node = "server";
    ev.from = "laptop";
    ev.user = "dev";
    for (int json = 0; json < 2; json++) {
        begin(json);
        cb.on_event(cb.user, &ev);
        end();
        assert_string_equal(
            out, json
                     ? "{\"event\":\"ssh_check\",\"auth_id\":\"hskey-authreq-"
                       "000000000000000000000000\",\"node\":\"server\","
                       "\"user\":\"dev\",\"from_node\":\"laptop\","
                       "\"from\":\"100.64.0.1\"}\n"
                     : "laptop at 100.64.0.1 wants to be dev at server by SSH: "
                       "remora coordinator auth approve --auth-id "
                       "hskey-authreq-000000000000000000000000\n");
    }
}

static void test_few_are_told_each(void **state)
{
    (void)state;
    begin(false);
    for (unsigned i = 0; i < 1000; i++) {
        cli_coord_events_turn(&e, i * RMR_SEC);
        logins(1);
    }
    end();
    assert_int_equal(lines_with("waits for approval"), 1000);
    assert_int_equal(lines_with("more asked"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_of_logins_is_few_lines),
        cmocka_unit_test(test_as_json),
        cmocka_unit_test(test_few_are_told_each),
        cmocka_unit_test(test_who_knocks_by_ssh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
