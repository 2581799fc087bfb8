/* The host's network changes: it is told once, and what is open goes on. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "network.h"

static int setup(void **state)
{
    network_begin();
    return fixture_setup(state);
}

#define NETWORK_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

static void expect_address(script *s, uint8_t x)
{
    rmr_addr at = rmr_addr_v4(192, 0, 2, x, 0);
    const told *t = await(s, RMR_IO_LINKS, 0);
    assert_int_equal(t->n_own, 1);
    assert_memory_equal(t->own.ip, at.ip, 4);
}

static void another_address_is_told_once(void **state)
{
    fixture *f = *state;
    (void)await(&f->s, RMR_IO_LINKS, 0);
    for (uint8_t x = 2; x < 5; x++) {
        network_move(f->a, x);
        expect_address(&f->s, x);
        turns(&f->s, 3);
        assert_null(seen(&f->s, RMR_IO_LINKS, 0));
    }
}

static void every_machine_hears_of_it(void **state)
{
    fixture *f = *state;
    script second;
    script_init(&second, f->a);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    (void)await(&second, RMR_IO_LINKS, 0);
    network_move(f->a, 7);
    expect_address(&f->s, 7);
    expect_address(&second, 7);
    do_stop(&second, RMR_OK);
    turns(&f->s, 1);
    script_wipe(&second);
}

static void what_is_on_loopback_goes_on(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_udp_open(&f->s, 3, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 3);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    network_move(f->a, 9);
    expect_address(&f->s, 9);
    do_send(&f->s, e.a, "still", 5);
    uint8_t *got = await_bytes(&f->s, e.b, 5);
    assert_memory_equal(got, "still", 5);
    free(got);
    do_udp_send(&f->s, 3, at, "here", 4, 0);
    (void)await(&f->s, RMR_IO_DATAGRAMS, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETWORK_TEST(another_address_is_told_once),
        NETWORK_TEST(every_machine_hears_of_it),
        NETWORK_TEST(what_is_on_loopback_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
