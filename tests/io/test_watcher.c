/* A host that watches descriptors one by one: what io-posix tells it. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <remora/posix.h>

#include "posix_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef RMRI_POSIX_LINUX
#include <sys/epoll.h>
#endif

#define FDS 64

static struct {
    bool is_watched[FDS], in[FDS], out[FDS];
    int held[FDS]; /* to be closed */
    size_t n_held;
    bool holds; /* close comes later */
    rmr_posix *p;
    size_t refuse_control; /* epoll's n-th; 0: none */
} host;

#ifdef RMRI_POSIX_LINUX
int __real_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev)
{
    errno = ENOSPC;
    return host.refuse_control && --host.refuse_control == 0
               ? -1
               : __real_epoll_ctl(fd, op, of, ev);
}
#endif

static void watch(void *user, int fd, bool in, bool out)
{
    (void)user;
    assert_in_range(fd, 0, FDS - 1);
    host.is_watched[fd] = true;
    host.in[fd] = in;
    host.out[fd] = out;
}

static void let_go(int fd)
{
    assert_int_equal(close(fd), 0);
    if (host.p)
        rmr_posix_closed(host.p);
}

static void unwatch(void *user, int fd)
{
    (void)user;
    assert_true(host.is_watched[fd]);
    host.is_watched[fd] = host.in[fd] = host.out[fd] = false;
    if (host.holds)
        host.held[host.n_held++] = fd;
    else
        let_go(fd);
}

static void let_all_go(void)
{
    while (host.n_held)
        let_go(host.held[--host.n_held]);
}

/* What poll(2) says of what is watched: whether the host would take a turn. */
static bool is_due(void)
{
    for (int fd = 0; fd < FDS; fd++) {
        struct pollfd one = {fd, 0, 0};
        one.events =
            (short)((host.in[fd] ? POLLIN : 0) | (host.out[fd] ? POLLOUT : 0));
        if (host.is_watched[fd] && one.events && poll(&one, 1, 0) > 0)
            return true;
    }
    return false;
}

/* The script's turns are this adapter's: its table is adapter_posix.c's. */
static script *begin(script *s, bool portable)
{
    rmr_posix_watcher w = {NULL, watch, unwatch};
    rmr_posix_config cfg;
    size_t refuse = host.refuse_control;
    memset(&host, 0, sizeof host);
    host.refuse_control = refuse;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.portable = portable;
    cfg.watcher = &w;
    assert_int_equal(rmr_posix_new(&host.p, &cfg), RMR_OK);
    script_init(s, (adapter *)(void *)host.p);
    return s;
}

static void end(script *s)
{
    rmr_posix *p = host.p;
    let_all_go();
    host.p = NULL; /* closed() is not for one that is freed */
    host.holds = false;
    rmr_posix_free(p);
    script_wipe(s);
    for (int fd = 0; fd < FDS; fd++)
        assert_false(host.is_watched[fd]);
}

static void a_turn_is_due_when_something_came(void **state)
{
    script s;
    (void)state;
    begin(&s, true);
    do_udp_open(&s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&s, 1);
    turns(&s, 2);
    assert_false(is_due());
    do_udp_send(&s, 1, at, "x", 1, 0);
    (void)await(&s, RMR_IO_DATAGRAMS, 1);
    assert_false(is_due());
    rmr_posix_wake(host.p);
    assert_true(is_due());
    turns(&s, 1);
    assert_false(is_due());
    end(&s);
}

static void
without_credit_nothing_is_due_and_a_reset_is_still_told(void **state)
{
    script s;
    (void)state;
    begin(&s, true);
    ends e = make_stream(&s, 1, 2);
    do_send(&s, e.a, "unread", 6);
    (void)await(&s, RMR_IO_SENT, e.a);
    turns(&s, 2);
    assert_false(is_due()); /* it would be, for ever */
    rmr_time due = rmr_posix_next_deadline(host.p);
    assert_true(due <= rmr_posix_now() + RMR_SEC);
    do_simple(&s, RMR_IO_ABORT, e.a);
    (void)await(&s, RMR_IO_RESET, e.b);
    turns(&s, 1);
    assert_true(rmr_posix_next_deadline(host.p) > due + RMR_SEC);
    end(&s);
}

static void nothing_is_asked_while_a_descriptor_is_held(void **state)
{
    script s;
    (void)state;
    begin(&s, true);
    do_udp_open(&s, 1, LOOPBACK4);
    rmr_addr at = await_opened(&s, 1);
    turns(&s, 1); /* now it is watched */
    host.holds = true;
    do_simple(&s, RMR_IO_CLOSE, 1);
    do_udp_open(&s, 2, at);
    turns(&s, 5);
    assert_int_equal(host.n_held, 1);
    assert_int_equal(left(&s, 2), 0);
    assert_true(rmr_posix_next_deadline(host.p) > rmr_posix_now());
    let_all_go();
    assert_true(rmr_posix_next_deadline(host.p) <= rmr_posix_now());
    assert_int_equal(await_opened(&s, 2).port, at.port);
    end(&s);
}

static void what_is_wanted_follows_what_there_is_to_do(void **state)
{
    script s;
    (void)state;
    begin(&s, true);
    ends e = make_stream(&s, 1, 2);
    turns(&s, 2);
    const obj *o = rmri_posix_find(host.p, host.p->machs, e.b);
    assert_non_null(o);
    assert_false(host.in[o->fd]);
    do_read(&s, e.b, 10);
    turns(&s, 1);
    assert_true(host.in[o->fd]);
    assert_false(host.out[o->fd]);
    uint8_t *big = pattern(60000, 1);
    for (int i = 0; i < 400 && !o->out; i++) {
        do_send(&s, e.b, big, 60000);
        turns(&s, 1);
    }
    assert_non_null(o->out);
    assert_true(host.out[o->fd]);
    free(big);
    end(&s);
}

#ifdef RMRI_POSIX_LINUX
static void it_takes_over_when_the_kernel_refuses(void **state)
{
    (void)state;
    for (size_t n = 1; n < 7; n++) {
        script s;
        host.refuse_control = n;
        begin(&s, false);
        for (uint64_t id = 1; id <= 4; id++)
            do_udp_open(&s, id, LOOPBACK4);
        rmr_addr at = await_opened(&s, 4);
        turns(&s, 2);
        assert_int_equal(rmr_posix_fd(host.p), -1);
        for (uint64_t id = 1; id <= 4; id++)
            assert_true(
                host.in[rmri_posix_find(host.p, host.p->machs, id)->fd]);
        assert_true(host.in[host.p->wake[0]]);
        assert_true(host.p->links.fd < 0 || host.in[host.p->links.fd]);
        do_udp_send(&s, 1, at, "x", 1, 0);
        (void)await(&s, RMR_IO_DATAGRAMS, 4);
        end(&s);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_is_due_when_something_came),
        cmocka_unit_test(
            without_credit_nothing_is_due_and_a_reset_is_still_told),
        cmocka_unit_test(nothing_is_asked_while_a_descriptor_is_held),
        cmocka_unit_test(what_is_wanted_follows_what_there_is_to_do),
#ifdef RMRI_POSIX_LINUX
        cmocka_unit_test(it_takes_over_when_the_kernel_refuses),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
