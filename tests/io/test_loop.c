/* Turns: what comes first, time, deadlines, ends. */
#define _DEFAULT_SOURCE /* setitimer */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static void wall_is_the_first_event_and_links_follow(void **state)
{
    fixture *f = *state;
    assert_true(f->s.n_events >= 2); /* told while it was added */
    assert_int_equal(f->s.events[0].ev.kind, RMR_IO_WALL);
    /* Between 2020 and 2200: nanoseconds, not seconds. */
    assert_true(f->s.events[0].ev.wall_unix_ns > 1577836800 * RMR_SEC);
    assert_true(f->s.events[0].ev.wall_unix_ns < 7258118400 * RMR_SEC);
    assert_int_equal(f->s.events[1].ev.kind, RMR_IO_LINKS);
}

static void a_machine_added_later_gets_its_own_wall_and_links(void **state)
{
    fixture *f = *state;
    script late;
    turns(&f->s, 2);
    script_init(&late, f->a);
    assert_int_equal(late.n_events, 2);
    assert_int_equal(late.events[1].ev.kind, RMR_IO_LINKS);
    do_stop(&late, RMR_OK);
    turns(&f->s, 1);
    script_wipe(&late);
}

static void a_turn_asks_for_operations_until_there_are_none(void **state)
{
    fixture *f = *state;
    for (uint64_t i = 1; i <= 10; i++)
        do_udp_open(&f->s, i, LOOPBACK4);
    turns(&f->s, 1);
    assert_int_equal(f->s.n_ops, 0);
    for (uint64_t i = 1; i <= 10; i++)
        assert_non_null(seen(&f->s, RMR_IO_OPENED, i));
}

static void many_operations_take_several_turns_and_all_are_done(void **state)
{
    fixture *f = *state;
    for (uint64_t i = 1; i <= 3000; i++)
        do_load(&f->s, i, "none");
    (void)adapter_turn(f->a, RMR_TIME_NEVER); /* no wait while there is more */
    assert_true(f->s.n_ops > 0);              /* bounded work */
    for (uint64_t i = 1; i <= 3000; i++)
        assert_int_equal(await_failed(&f->s, i), RMR_E_NOTFOUND);
}

static void a_deadline_is_handled_once_and_not_before_its_time(void **state)
{
    fixture *f = *state;
    rmr_time at = adapter_now() + 20 * RMR_MS;
    f->s.deadline = at;
    turns(&f->s, 3);
    while (f->s.n_deadlines == 0)
        (void)adapter_turn(f->a, RMR_TIME_NEVER); /* only it can wake us */
    assert_true(f->s.deadline_now >= at);
    turns(&f->s, 3);
    assert_int_equal(f->s.n_deadlines, 1);
}

static void a_deadline_in_the_past_is_handled_in_the_next_turn(void **state)
{
    fixture *f = *state;
    f->s.deadline = 1;
    (void)adapter_turn(f->a, RMR_TIME_NEVER);
    assert_int_equal(f->s.n_deadlines, 1);
}

static void the_operations_of_a_deadline_are_done_in_the_same_turn(void **state)
{
    fixture *f = *state;
    turns(&f->s, 1);
    size_t before = f->s.n_next_op;
    f->s.deadline = adapter_now();
    turns(&f->s, 1);
    assert_true(f->s.n_next_op > before + 1);
}

static void all_events_of_a_turn_have_one_time(void **state)
{
    fixture *f = *state;
    for (uint64_t i = 1; i <= 4; i++)
        do_udp_open(&f->s, i, LOOPBACK4);
    rmr_addr to[5];
    for (uint64_t i = 1; i <= 4; i++)
        to[i] = await_opened(&f->s, i);
    for (uint64_t i = 1; i <= 4; i++)
        do_udp_send(&f->s, i, to[5 - i], "x", 1, 0);
    turns(&f->s, 1);
    rmr_time at = await(&f->s, RMR_IO_DATAGRAMS, 1)->now;
    for (uint64_t i = 2; i <= 4; i++)
        assert_int_equal(await(&f->s, RMR_IO_DATAGRAMS, i)->now, at);
}

static adapter *wake_on_alarm;

static void on_alarm(int sig)
{
    (void)sig;
    adapter_wake(wake_on_alarm);
}

static void wake_ends_the_wait_of_a_turn(void **state)
{
    fixture *f = *state;
    adapter_wake(f->a);
    (void)adapter_turn(f->a, RMR_TIME_NEVER); /* else it hangs */
    struct sigaction act, old;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_alarm;
    act.sa_flags = SA_RESTART;
    wake_on_alarm = f->a;
    assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
    struct itimerval in = {{0, 0}, {0, 10000}};
    assert_int_equal(setitimer(ITIMER_REAL, &in, NULL), 0);
    (void)adapter_turn(f->a, RMR_TIME_NEVER);
    (void)sigaction(SIGALRM, &old, NULL);
}

static void a_stop_request_reaches_every_machine_once(void **state)
{
    fixture *f = *state;
    script second;
    script_init(&second, f->a);
    adapter_request_stop(f->a);
    adapter_request_stop(f->a);
    (void)adapter_turn(f->a, RMR_TIME_NEVER);
    assert_non_null(seen(&f->s, RMR_IO_STOP_REQUEST, 0));
    assert_non_null(seen(&second, RMR_IO_STOP_REQUEST, 0));
    turns(&f->s, 2);
    assert_null(seen(&f->s, RMR_IO_STOP_REQUEST, 0));
    assert_null(seen(&second, RMR_IO_STOP_REQUEST, 0));
    do_stop(&second, RMR_OK);
    turns(&f->s, 1);
    script_wipe(&second);
}

/* The script itself refuses every call after STOP. */
static void a_stopped_machine_is_never_called_again(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1);
    do_udp_send(&f->s, 1, to, "x", 1, 0);
    do_stop(&f->s, RMR_OK);
    assert_int_equal(adapter_turn(f->a, 0), 0);
    assert_int_equal(adapter_turn(f->a, RMR_TIME_NEVER), 0);
}

static void one_machine_stops_and_the_other_goes_on(void **state)
{
    fixture *f = *state;
    script second;
    script_init(&second, f->a);
    do_stop(&second, RMR_OK);
    assert_int_equal(adapter_turn(f->a, 0), 1);
    script_wipe(&second);
    do_udp_open(&f->s, 1, LOOPBACK4);
    (void)await_opened(&f->s, 1);
}

static void
a_machine_with_a_fatal_result_is_dropped_with_its_sockets(void **state)
{
    fixture *f = *state;
    script second;
    script_init(&second, f->a);
    do_listen(&f->s, 1, LOOPBACK4);
    do_connect(&second, 1, await_opened(&f->s, 1), 0);
    uint64_t child = await(&f->s, RMR_IO_ACCEPTED, 1)->ev.child;
    do_read(&f->s, child, 1);
    (void)await(&second, RMR_IO_OPENED, 1);
    second.event_result = RMR_E_INTERNAL;
    do_udp_open(&second, 2, LOOPBACK4);
    assert_int_equal(adapter_turn(f->a, 0), 1);
    second.is_stopped = true;
    assert_int_equal(await(&f->s, RMR_IO_RESET, child)->ev.err, RMR_E_RESET);
    script_wipe(&second);
}

static void ids_of_two_machines_are_apart(void **state)
{
    fixture *f = *state;
    script second;
    script_init(&second, f->a);
    do_udp_open(&f->s, 7, LOOPBACK4);
    do_udp_open(&second, 7, LOOPBACK4);
    rmr_addr first = await_opened(&f->s, 7), other = await_opened(&second, 7);
    assert_int_not_equal(first.port, other.port);
    do_udp_send(&f->s, 7, other, "to the other", 12, 0);
    assert_true(
        rmr_addr_eq(&await(&second, RMR_IO_DATAGRAMS, 7)->ev.addr, &first));
    do_simple(&f->s, RMR_IO_CLOSE, 7);
    turns(&f->s, 1);
    do_udp_send(&second, 7, other, "still open", 10, 0);
    (void)await(&second, RMR_IO_DATAGRAMS, 7);
    assert_int_equal(left(&f->s, 7), 0);
    do_stop(&second, RMR_OK);
    turns(&f->s, 1);
    script_wipe(&second);
}

static void operations_on_unknown_ids_do_nothing(void **state)
{
    fixture *f = *state;
    turns(&f->s, 1);
    size_t before = f->s.n_events;
    do_udp_send(&f->s, 99, rmr_addr_v4(127, 0, 0, 1, 9), "x", 1, 0);
    do_send(&f->s, 99, "x", 1);
    do_read(&f->s, 99, 100);
    do_simple(&f->s, RMR_IO_SHUTDOWN, 99);
    do_simple(&f->s, RMR_IO_ABORT, 99);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 99);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 99);
    do_simple(&f->s, RMR_IO_CLOSE, 99);
    turns(&f->s, 2);
    assert_int_equal(f->s.n_events, before);
}

static void resolve_is_answered_or_refused(void **state)
{
    fixture *f = *state;
    do_local(&f->s, RMR_IO_RESOLVE, 5, "localhost");
    rmr_time end = adapter_now() + 10 * RMR_SEC;
    const told *t = NULL;
    while (!t && adapter_now() < end) {
        (void)adapter_turn(f->a, RMR_SEC / 10);
        t = seen(&f->s, RMR_IO_RESOLVED, 5);
        if (!t && (t = seen(&f->s, RMR_IO_FAILED, 5)) != NULL)
            assert_int_equal(t->ev.err, RMR_E_UNSUPPORTED);
    }
    assert_non_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(wall_is_the_first_event_and_links_follow),
        IO_TEST(a_machine_added_later_gets_its_own_wall_and_links),
        IO_TEST(a_turn_asks_for_operations_until_there_are_none),
        IO_TEST(many_operations_take_several_turns_and_all_are_done),
        IO_TEST(a_deadline_is_handled_once_and_not_before_its_time),
        IO_TEST(a_deadline_in_the_past_is_handled_in_the_next_turn),
        IO_TEST(the_operations_of_a_deadline_are_done_in_the_same_turn),
        IO_TEST(all_events_of_a_turn_have_one_time),
        IO_TEST(wake_ends_the_wait_of_a_turn),
        IO_TEST(a_stop_request_reaches_every_machine_once),
        IO_TEST(a_stopped_machine_is_never_called_again),
        IO_TEST(one_machine_stops_and_the_other_goes_on),
        IO_TEST(a_machine_with_a_fatal_result_is_dropped_with_its_sockets),
        IO_TEST(ids_of_two_machines_are_apart),
        IO_TEST(operations_on_unknown_ids_do_nothing),
        IO_TEST(resolve_is_answered_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
