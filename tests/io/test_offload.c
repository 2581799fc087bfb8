/* Runs of datagrams in one call, and the host that refuses: the linker puts the
 * calls below between the adapter and the C library (--wrap). */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <remora/posix.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct {
    size_t n_sendmsg, n_sendto;
    size_t largest; /* of sendmsg */
    int error;      /* of sendmsg, so many times */
    size_t times;
    int sendto_error;
    size_t sendto_times;
    bool is_old_kernel; /* knows no UDP_SEGMENT */
} host;

ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    host.n_sendmsg++;
    if (m->msg_iov->iov_len > host.largest)
        host.largest = m->msg_iov->iov_len;
    if (host.times) {
        host.times--;
        errno = host.error;
        return -1;
    }
    return __real_sendmsg(fd, m, flags);
}

ssize_t __real_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len);
ssize_t __wrap_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len);
ssize_t __wrap_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len)
{
    host.n_sendto++;
    if (host.sendto_times) {
        host.sendto_times--;
        errno = host.sendto_error;
        return -1;
    }
    return __real_sendto(fd, p, n, flags, to, len);
}

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    errno = ENOPROTOOPT;
    return host.is_old_kernel && level == IPPROTO_UDP
               ? -1
               : __real_getsockopt(fd, level, name, value, len);
}

static int setup(void **state)
{
    memset(&host, 0, sizeof host);
    return fixture_setup(state);
}

#define OFFLOAD_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

static rmr_posix_stats stats_of(fixture *f)
{
    rmr_posix_stats st;
    rmr_posix_get_stats((rmr_posix *)(void *)f->a, &st);
    return st;
}

static rmr_addr open_two(fixture *f)
{
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    (void)await_opened(&f->s, 1);
    return await_opened(&f->s, 2);
}

/* Sends `len` bytes in pieces of `seg`, and awaits them on socket 2. */
static void pass(fixture *f, rmr_addr to, size_t len, size_t seg)
{
    uint8_t *data = pattern(len, 7);
    do_udp_send(&f->s, 1, to, data, len, (uint32_t)seg);
    for (size_t at = 0; at < len;) {
        const told *t = await(&f->s, RMR_IO_DATAGRAMS, 2);
        assert_true(t->ev.data.len <= len - at);
        assert_memory_equal(t->data, data + at, t->ev.data.len);
        /* Each piece is whole; a short one is the last. */
        size_t piece = t->ev.seg_size ? t->ev.seg_size : t->ev.data.len;
        at += t->ev.data.len;
        assert_true(piece == seg || at == len);
        assert_true(t->ev.data.len % seg == 0 || at == len);
    }
    free(data);
}

static void a_run_goes_in_one_call_and_comes_as_one_event(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    uint8_t *data = pattern(10 * 1312 - 300, 1);
    do_udp_send(&f->s, 1, to, data, 10 * 1312 - 300, 1312);
    const told *t = await(&f->s, RMR_IO_DATAGRAMS, 2);
    assert_int_equal(t->ev.data.len, 10 * 1312 - 300);
    assert_int_equal(t->ev.seg_size, 1312);
    assert_memory_equal(t->data, data, t->ev.data.len);
    assert_int_equal(host.n_sendmsg, 1);
    assert_int_equal(host.n_sendto, 0);
    assert_int_equal(stats_of(f).runs_sent, 1);
    assert_int_equal(stats_of(f).runs_received, 1);
    assert_int_equal(stats_of(f).runs_refused, 0);
    free(data);
}

static void a_run_is_bounded_by_number_and_by_size(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    pass(f, to, 100 * 200 + 7, 200); /* more than 64 pieces */
    assert_int_equal(host.n_sendmsg, 2);
    assert_int_equal(host.largest, 64 * 200);
    host.largest = 0;
    pass(f, to, 70000, 1400); /* more than a datagram holds */
    assert_int_equal(host.largest, 65507 / 1400 * 1400);
}

static void what_remains_of_a_run_goes_plainly_when_it_is_one(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    pass(f, to, 64 * 100 + 50, 100);
    assert_int_equal(host.n_sendmsg, 1);
    assert_int_equal(host.n_sendto, 1);
    pass(f, to, 100, 100);
    assert_int_equal(host.n_sendto, 2);
}

static void a_host_that_can_not_cut_is_asked_once(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    host.error = EIO;
    host.times = 1;
    pass(f, to, 950, 100);
    assert_int_equal(host.n_sendto, 10);
    assert_int_equal(stats_of(f).runs_refused, 1);
    pass(f, to, 950, 100);
    assert_int_equal(host.n_sendmsg, 1); /* never again on this socket */
    assert_int_equal(host.n_sendto, 20);
    assert_null(seen(&f->s, RMR_IO_SEND_FAILED, 1));
}

static void a_way_that_can_not_take_a_run_gets_it_in_pieces(void **state)
{
    static const int errors[] = {EINVAL, EMSGSIZE, EOPNOTSUPP};
    fixture *f = *state;
    rmr_addr to = open_two(f);
    for (size_t i = 0; i < 3; i++) {
        memset(&host, 0, sizeof host);
        host.error = errors[i];
        host.times = 1;
        pass(f, to, 950, 100);
        assert_int_equal(host.n_sendto, 10);
        pass(f, to, 950, 100); /* another way may */
        assert_int_equal(host.n_sendmsg, 2);
        assert_int_equal(host.n_sendto, 10);
    }
    assert_int_equal(stats_of(f).runs_refused, 3);
}

static void a_full_socket_keeps_a_run_whole(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    host.error = EAGAIN;
    host.times = 1;
    pass(f, to, 950, 100);
    assert_non_null(seen(&f->s, RMR_IO_BLOCKED, 1));
    assert_non_null(seen(&f->s, RMR_IO_WRITABLE, 1));
    assert_int_equal(host.n_sendto, 0);
    assert_int_equal(stats_of(f).runs_refused, 0);
    host.error = EINTR;
    host.times = 2;
    pass(f, to, 950, 100);
    assert_int_equal(host.n_sendto, 0);
}

static void an_old_kernel_gets_datagrams_one_by_one(void **state)
{
    fixture *f = *state;
    host.is_old_kernel = true;
    rmr_addr to = open_two(f);
    pass(f, to, 950, 100);
    assert_int_equal(host.n_sendmsg, 0);
    assert_int_equal(host.n_sendto, 10);
}

static void without_offload_there_is_a_call_for_each(void **state)
{
    rmr_posix_config cfg;
    rmr_posix *p;
    script s;
    (void)state;
    memset(&host, 0, sizeof host);
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.no_offload = true;
    assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
    script_init(&s, (adapter *)(void *)p);
    do_udp_open(&s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&s, 1);
    do_udp_send(&s, 1, to, "aabbc", 5, 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(await(&s, RMR_IO_DATAGRAMS, 1)->ev.seg_size, 0);
    assert_int_equal(host.n_sendmsg, 0);
    assert_int_equal(host.n_sendto, 3);
    rmr_posix_free(p);
    script_wipe(&s);
}

/* An ICMP error for an earlier datagram may come out of a later send. */
static void news_of_an_earlier_datagram_fail_no_other(void **state)
{
    fixture *f = *state;
    rmr_addr to = open_two(f);
    host.sendto_error = ECONNREFUSED;
    host.sendto_times = 1;
    pass(f, to, 100, 100);
    assert_null(seen(&f->s, RMR_IO_SEND_FAILED, 1));
    host.sendto_times = 2; /* again at once: then it is this one's */
    do_udp_send(&f->s, 1, to, "x", 1, 0);
    assert_int_equal(await(&f->s, RMR_IO_SEND_FAILED, 1)->ev.err,
                     RMR_E_REFUSED);
    assert_int_equal(host.sendto_times, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OFFLOAD_TEST(a_run_goes_in_one_call_and_comes_as_one_event),
        OFFLOAD_TEST(a_run_is_bounded_by_number_and_by_size),
        OFFLOAD_TEST(what_remains_of_a_run_goes_plainly_when_it_is_one),
        OFFLOAD_TEST(a_host_that_can_not_cut_is_asked_once),
        OFFLOAD_TEST(a_way_that_can_not_take_a_run_gets_it_in_pieces),
        OFFLOAD_TEST(a_full_socket_keeps_a_run_whole),
        OFFLOAD_TEST(an_old_kernel_gets_datagrams_one_by_one),
        OFFLOAD_TEST(without_offload_there_is_a_call_for_each),
        OFFLOAD_TEST(news_of_an_earlier_datagram_fail_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
