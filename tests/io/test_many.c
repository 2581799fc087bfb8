/* Many descriptors: a turn costs by what is ready, not by what is open; and a
 * host that refuses to watch them.  The linker puts the calls below between the
 * adapter's parts, and between it and the C library (--wrap). */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <remora/posix.h>

#include "posix_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#ifdef RMRI_POSIX_LINUX
#include <sys/epoll.h>
#endif

#define MANY 400 /* within the usual 1,024 descriptors */

static struct {
    size_t polls, watches, controls;
    size_t refuse_control; /* the n-th; 0: none */
} seen_calls;

int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    seen_calls.polls++;
    return __real_poll(fds, n, timeout);
}

short __real_rmri_posix_watch_of(const obj *o);
short __wrap_rmri_posix_watch_of(const obj *o);
short __wrap_rmri_posix_watch_of(const obj *o)
{
    seen_calls.watches++;
    return __real_rmri_posix_watch_of(o);
}

#ifdef RMRI_POSIX_LINUX
int __real_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev)
{
    errno = ENOSPC;
    return ++seen_calls.controls == seen_calls.refuse_control
               ? -1
               : __real_epoll_ctl(fd, op, of, ev);
}
#endif

static int setup(void **state)
{
    memset(&seen_calls, 0, sizeof seen_calls);
    return fixture_setup(state);
}

#define MANY_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

static rmr_addr open_many(script *s)
{
    rmr_addr to;
    memset(&to, 0, sizeof to);
    for (uint64_t id = 1; id <= MANY; id++)
        do_udp_open(s, id, LOOPBACK4);
    for (uint64_t id = 1; id <= MANY; id++)
        to = await_opened(s, id);
    return to;
}

/* Each gets what is sent to it, also after others were closed. */
static void expect_all_served(script *s)
{
    rmr_addr last = open_many(s);
    for (uint64_t id = 1; id < MANY; id += 2)
        do_simple(s, RMR_IO_CLOSE, id);
    for (uint64_t id = 2; id <= MANY; id += 2) {
        do_udp_send(s, id, last, &id, sizeof id, 0);
        const told *t = await(s, RMR_IO_DATAGRAMS, MANY);
        assert_memory_equal(t->data, &id, sizeof id);
    }
}

static void ids_are_found_among_many(void **state)
{
    fixture *f = *state;
    expect_all_served(&f->s);
}

#ifdef RMRI_POSIX_LINUX
static void a_turn_costs_by_what_is_ready(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_many(&f->s);
    turns(&f->s, 1);
    memset(&seen_calls, 0, sizeof seen_calls);
    turns(&f->s, 10);
    assert_int_equal(seen_calls.watches, 0);
    do_udp_send(&f->s, 7, to, "x", 1, 0);
    (void)await(&f->s, RMR_IO_DATAGRAMS, MANY);
    assert_true(seen_calls.watches <= 4); /* the two, each maybe twice */
    assert_int_equal(seen_calls.controls, 0);
    assert_int_equal(seen_calls.polls, 0);
}

static void credit_within_a_turn_costs_no_call(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_read(&f->s, e.b, 100);
    turns(&f->s, 2);
    seen_calls.controls = 0;
    for (int i = 0; i < 10; i++) {
        do_send(&f->s, e.a, "xyz", 3);
        (void)await(&f->s, RMR_IO_BYTES, e.b);
        (void)await(&f->s, RMR_IO_SENT, e.a);
    }
    assert_int_equal(seen_calls.controls, 0);
}

static void a_host_that_refuses_is_polled(void **state)
{
    (void)state;
    for (size_t n = 1; n < 12; n += 3) {
        memset(&seen_calls, 0, sizeof seen_calls);
        seen_calls.refuse_control = n;
        char *dir = temp_dir();
        adapter *a = adapter_new(dir);
        script s;
        script_init(&s, a);
        expect_all_served(&s);
        assert_true(seen_calls.polls > 0);
        adapter_free(a);
        script_wipe(&s);
        remove_dir(dir);
    }
}
#endif

static void an_idle_stream_takes_little(void **state)
{
    (void)state;
    /* Itself; its places in objs, the hash and the timers, which have up to
     * twice the room that is needed; what malloc puts before it. */
    assert_true(sizeof(obj) + 2 * 3 * sizeof(void *) + 16 <= 288);
}

static void what_is_open_is_counted(void **state)
{
    fixture *f = *state;
    rmr_posix_stats st;
    (void)open_many(&f->s);
    rmr_posix_get_stats((rmr_posix *)(void *)f->a, &st);
    assert_int_equal(st.n_open, MANY);
    do_simple(&f->s, RMR_IO_CLOSE, 3);
    turns(&f->s, 1);
    rmr_posix_get_stats((rmr_posix *)(void *)f->a, &st);
    assert_int_equal(st.n_open, MANY - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MANY_TEST(ids_are_found_among_many),
#ifdef RMRI_POSIX_LINUX
        MANY_TEST(a_turn_costs_by_what_is_ready),
        MANY_TEST(credit_within_a_turn_costs_no_call),
        MANY_TEST(a_host_that_refuses_is_polled),
#endif
        MANY_TEST(an_idle_stream_takes_little),
        MANY_TEST(what_is_open_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
