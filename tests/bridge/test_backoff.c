/* The rest of a listener, on a virtual clock. */
#include <remora/bridge.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_failed_accept_rests_for_a_second_and_then_once(void **state)
{
    (void)state;
    rmr_backoff b;
    rmr_backoff_init(&b);
    assert_true(rmr_backoff_deadline(&b) == RMR_TIME_NEVER);
    assert_false(rmr_backoff_take(&b, 5));
    rmr_backoff_failed(&b, 100);
    assert_true(rmr_backoff_deadline(&b) == 100 + RMR_ACCEPT_PAUSE);
    assert_false(rmr_backoff_take(&b, 100 + RMR_ACCEPT_PAUSE - 1));
    assert_true(rmr_backoff_take(&b, 100 + RMR_ACCEPT_PAUSE));
    assert_false(rmr_backoff_take(&b, 100 + RMR_ACCEPT_PAUSE));
    assert_true(rmr_backoff_deadline(&b) == RMR_TIME_NEVER);
}

static void a_second_failure_rests_longer_never_shorter(void **state)
{
    (void)state;
    rmr_backoff b;
    rmr_backoff_init(&b);
    rmr_backoff_failed(&b, 100);
    rmr_backoff_failed(&b, 50); /* the clock went back */
    assert_true(rmr_backoff_deadline(&b) == 100 + RMR_ACCEPT_PAUSE);
    rmr_backoff_failed(&b, 200);
    assert_true(rmr_backoff_deadline(&b) == 200 + RMR_ACCEPT_PAUSE);
}

static void the_end_of_time_saturates(void **state)
{
    (void)state;
    rmr_backoff b;
    rmr_backoff_init(&b);
    rmr_backoff_failed(&b, RMR_TIME_NEVER - 1);
    assert_true(rmr_backoff_deadline(&b) == RMR_TIME_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_accept_rests_for_a_second_and_then_once),
        cmocka_unit_test(a_second_failure_rests_longer_never_shorter),
        cmocka_unit_test(the_end_of_time_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
