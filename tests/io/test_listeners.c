/* Connecting and accepting: refusals, time-outs, pauses, limits. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void connecting_to_a_closed_port_is_refused(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_CLOSE, 1);
    do_connect(&f->s, 2, at, 0);
    assert_int_equal(await_failed(&f->s, 2), RMR_E_REFUSED);
    do_send(&f->s, 2, "x", 1);
    turns(&f->s, 2);
    assert_int_equal(left(&f->s, 2), 0);
}

static void connecting_to_nowhere_fails(void **state)
{
    fixture *f = *state;
    rmr_addr none;
    memset(&none, 0, sizeof none);
    do_connect(&f->s, 1, none, 0);
    assert_int_equal(await_failed(&f->s, 1), RMR_E_UNSUPPORTED);
}

/* A paused listener's backlog fills up; then a SYN gets no answer. */
static void connecting_times_out(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    for (uint64_t id = 2; id < 600; id++) {
        do_connect(&f->s, id, at, 20 * RMR_MS);
        turns(&f->s, 2);
        if (!seen(&f->s, RMR_IO_OPENED, id)) {
            assert_int_equal(await_failed(&f->s, id), RMR_E_TIMEOUT);
            return;
        }
    }
    fail_msg("the backlog never filled");
}

#ifdef TCP_USER_TIMEOUT
static int sockets_with_user_timeout(int ms)
{
    int found = 0;
    for (int fd = 3; fd < 256; fd++) {
        int value = 0;
        socklen_t len = sizeof value;
        found +=
            getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len) == 0 &&
            value == ms;
    }
    return found;
}

/* A client that vanished behind its NAT must not be a client for a quarter of
 * an hour. */
static void accepted_streams_have_the_listeners_patience(void **state)
{
    fixture *f = *state;
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_LISTEN;
    op.id = 1;
    op.addr = LOOPBACK4;
    op.timeout = 12345 * RMR_MS;
    do_op(&f->s, &op);
    do_connect(&f->s, 2, await_opened(&f->s, 1), 0);
    await_opened(&f->s, 2);
    await(&f->s, RMR_IO_ACCEPTED, 1);
    assert_int_equal(sockets_with_user_timeout(12345), 2);
}
#endif

static void a_taken_port_is_in_use(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    do_listen(&f->s, 2, await_opened(&f->s, 1));
    assert_int_equal(await_failed(&f->s, 2), RMR_E_INUSE);
    do_listen(&f->s, 3, rmr_addr_v4(192, 0, 2, 77, 0));
    assert_int_equal(await_failed(&f->s, 3), RMR_E_UNREACHABLE);
}

static void a_closed_port_can_be_listened_on_again(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_simple(&f->s, RMR_IO_CLOSE, 1);
    do_simple(&f->s, RMR_IO_CLOSE, e.b); /* leaves it in TIME_WAIT */
    do_listen(&f->s, 3, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 3);
    do_connect(&f->s, 4, at, 0);
    uint64_t child = await(&f->s, RMR_IO_ACCEPTED, 3)->ev.child;
    do_simple(&f->s, RMR_IO_CLOSE, child);
    do_read(&f->s, 4, 1);
    (void)await(&f->s, RMR_IO_EOF, 4);
    do_simple(&f->s, RMR_IO_CLOSE, 4);
    do_simple(&f->s, RMR_IO_CLOSE, 3);
    turns(&f->s, 3);
    do_listen(&f->s, 5, at);
    assert_int_equal(await_opened(&f->s, 5).port, at.port);
}

static void a_pause_holds_streams_back_until_resumed(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    do_connect(&f->s, 2, at, 0);
    (void)await_opened(&f->s, 2); /* the host's backlog answered */
    turns(&f->s, 5);
    assert_int_equal(left(&f->s, 1), 0);
    assert_true(turns_until_deadline(&f->s) <= 3);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
    (void)await(&f->s, RMR_IO_ACCEPTED, 1);
}

static void a_pause_counts_at_once_within_a_burst(void **state)
{
    fixture *f = *state;
    f->s.pauses_on_accept = true;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    for (uint64_t id = 2; id < 8; id++)
        do_connect(&f->s, id, at, 0);
    for (uint64_t id = 2; id < 8; id++)
        (void)await_opened(&f->s, id);
    for (int i = 0; i < 6; i++) {
        do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
        (void)await(&f->s, RMR_IO_ACCEPTED, 1);
        turns(&f->s, 3);
        assert_int_equal(left(&f->s, 1), 0); /* just one */
    }
}

static void a_burst_is_accepted_over_several_turns(void **state)
{
    fixture *f = *state;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    for (uint64_t id = 2; id < 102; id++)
        do_connect(&f->s, id, at, 0);
    for (uint64_t id = 2; id < 102; id++)
        (void)await_opened(&f->s, id);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
    size_t at_once = 0; /* with the time of the first: in its turn */
    rmr_time first = 0;
    for (int i = 0; i < 100; i++) {
        rmr_time now = await(&f->s, RMR_IO_ACCEPTED, 1)->now;
        first = i == 0 ? now : first;
        at_once += now == first;
    }
    assert_true(at_once < 100 || !adapter_is_host);
    turns(&f->s, 2);
    assert_int_equal(left(&f->s, 1), 0);
}

static void operations_made_in_an_event_are_done(void **state)
{
    fixture *f = *state;
    f->s.gives_ops_in_event = true;
    ends e = make_stream(&f->s, 1, 2);
    do_send(&f->s, e.a, "x", 1);
    (void)await(&f->s, RMR_IO_BYTES, e.b);
}

/* ---- descriptors ----------------------------------------------------------
 */

/* The lowest descriptor that is free is where the next one would go.  Under
 * valgrind the stream that could not be accepted is lost, and so the tests that
 * go on from there make another one. */
static void forbid_descriptors(struct rlimit *old)
{
    int fd = dup(0);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
    struct rlimit none = {(rlim_t)fd, old->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void without_descriptors_accepting_fails_and_goes_on_later(void **state)
{
    fixture *f = *state;
    struct rlimit old;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    do_connect(&f->s, 2, at, 0);
    (void)await_opened(&f->s, 2);
    forbid_descriptors(&old);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
    const told *t = await(&f->s, RMR_IO_ACCEPT_FAILED, 1);
    assert_int_equal(t->ev.err, RMR_E_NOFILES);
    /* The listener stays ready; the loop must not spin on it. */
    turns(&f->s, 50);
    assert_null(seen(&f->s, RMR_IO_ACCEPT_FAILED, 1));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
    do_connect(&f->s, 3, at, 0);
    (void)await(&f->s, RMR_IO_ACCEPTED, 1);
}

static void a_freed_descriptor_ends_the_listeners_rest(void **state)
{
    fixture *f = *state;
    struct rlimit old;
    do_udp_open(&f->s, 8, LOOPBACK4);
    do_udp_open(&f->s, 9, LOOPBACK4);
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    do_connect(&f->s, 2, at, 0);
    (void)await_opened(&f->s, 2);
    forbid_descriptors(&old);
    do_simple(&f->s, RMR_IO_ACCEPT_RESUME, 1);
    rmr_time rests_from = await(&f->s, RMR_IO_ACCEPT_FAILED, 1)->now;
    do_simple(&f->s, RMR_IO_CLOSE, 8);
    do_simple(&f->s, RMR_IO_CLOSE, 9);
    do_connect(&f->s, 3, at, 0);
    rmr_time accepted = await(&f->s, RMR_IO_ACCEPTED, 1)->now;
    assert_true(accepted <
                rests_from + RMR_SEC); /* it rests for a second, else */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void without_descriptors_opening_fails_and_says_so(void **state)
{
    fixture *f = *state;
    struct rlimit old;
    do_listen(&f->s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&f->s, 1);
    do_store(&f->s, 9, "blob", "x", 1, false);
    (void)await(&f->s, RMR_IO_STORED, 9);
    forbid_descriptors(&old);
    do_udp_open(&f->s, 2, LOOPBACK4);
    do_connect(&f->s, 3, at, 0);
    do_listen(&f->s, 4, LOOPBACK4);
    do_local(&f->s, RMR_IO_LISTEN, 5, "sock");
    do_load(&f->s, 6, "blob");
    do_store(&f->s, 7, "blob", "y", 1, false);
    for (uint64_t id = 2; id <= 7; id++)
        assert_int_equal(await_failed(&f->s, id), RMR_E_NOFILES);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    do_udp_open(&f->s, 8, LOOPBACK4);
    (void)await_opened(&f->s, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(connecting_to_a_closed_port_is_refused),
        IO_TEST(connecting_to_nowhere_fails),
        IO_TEST(a_taken_port_is_in_use),
        IO_TEST(a_closed_port_can_be_listened_on_again),
        IO_TEST(a_pause_holds_streams_back_until_resumed),
        IO_TEST(a_pause_counts_at_once_within_a_burst),
        IO_TEST(a_burst_is_accepted_over_several_turns),
        IO_TEST(operations_made_in_an_event_are_done),
    };
    const struct CMUnitTest host[] = {
        IO_TEST(connecting_times_out),
#ifdef TCP_USER_TIMEOUT
        IO_TEST(accepted_streams_have_the_listeners_patience),
#endif
        IO_TEST(without_descriptors_accepting_fails_and_goes_on_later),
        IO_TEST(a_freed_descriptor_ends_the_listeners_rest),
        IO_TEST(without_descriptors_opening_fails_and_says_so),
    };
    return IO_RUN(tests, host);
}
