/* io-posix, alone and under io-gcd, when the host refuses: the linker puts the
 * calls below between the adapter and the C library (--wrap, see
 * io-posix/CMakeLists.txt). */
#define _DEFAULT_SOURCE
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/* ---- the calls
 * ---------------------------------------------------------------- */

static struct {
    size_t mallocs, fail_malloc; /* fail that one; 0: none */
    bool is_off;                 /* these do not count     */
    int sendto_error;            /* given sendto_times times */
    size_t sendto_after, sendto_times;
    int fsync_error, rename_error;
    int64_t wall_step, mono_step; /* ns */
    time_t hosts_mtime;           /* 0: the true one */
} fault;

static bool takes_memory(void)
{
    return fault.is_off || ++fault.mallocs != fault.fail_malloc;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    return takes_memory() ? __real_malloc(n) : NULL;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return takes_memory() ? __real_calloc(n, size) : NULL;
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
    return takes_memory() ? __real_realloc(p, n) : NULL;
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
    return takes_memory() ? __real_strdup(s) : NULL;
}

ssize_t __real_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len);
ssize_t __wrap_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len);
ssize_t __wrap_sendto(int fd, const void *p, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len)
{
    if (fault.sendto_after) {
        fault.sendto_after--;
    } else if (fault.sendto_times) {
        fault.sendto_times--;
        errno = fault.sendto_error;
        return -1;
    }
    return __real_sendto(fd, p, n, flags, to, len);
}

/* A host that can't cut runs: each datagram goes by sendto. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    (void)fd;
    (void)m;
    (void)flags;
    errno = EIO;
    return -1;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    errno = fault.fsync_error;
    return fault.fsync_error ? -1 : __real_fsync(fd);
}

int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    errno = fault.rename_error;
    return fault.rename_error ? -1 : __real_renameat(a, from, b, to);
}

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int r = __real_clock_gettime(id, t);
    int64_t ns = t->tv_nsec + (int64_t)t->tv_sec * 1000000000;
    ns += id == CLOCK_REALTIME ? fault.wall_step : fault.mono_step;
    t->tv_sec = (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    return r;
}

int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st)
{
    int r = __real_stat(path, st);
    if (!fault.hosts_mtime || strcmp(path, "/etc/hosts") != 0)
        return r;
    if (r != 0) /* a host without the file: now it has one */
        memset(st, 0, sizeof *st);
    st->st_mtim.tv_sec = fault.hosts_mtime;
    return 0;
}

static int setup(void **state)
{
    memset(&fault, 0, sizeof fault);
    return fixture_setup(state);
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int teardown(void **state)
{
    memset(&fault, 0, sizeof fault);
    return fixture_teardown(state);
}

/* ---- datagrams
 * ------------------------------------------------------------------ */

static void a_full_socket_keeps_its_batch_and_says_so(void **state)
{
    fixture *f = *state;
    uint8_t *data = pattern(500, 1);
    do_udp_open(&f->s, 1, LOOPBACK4);
    do_udp_open(&f->s, 2, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 2);
    (void)await_opened(&f->s, 1);
    fault.sendto_error = EAGAIN;
    fault.sendto_after = 2;
    fault.sendto_times = SIZE_MAX; /* it stays full, whatever is tried */
    do_udp_send(&f->s, 1, to, data, 450, 100);
    turns(&f->s, 3);
    assert_non_null(seen(&f->s, RMR_IO_BLOCKED, 1));
    assert_null(seen(&f->s, RMR_IO_WRITABLE, 1));
    fault.sendto_times = 0;
    (void)await(&f->s, RMR_IO_WRITABLE, 1);
    assert_null(seen(&f->s, RMR_IO_BLOCKED, 1)); /* once */
    for (size_t i = 0; i < 5; i++) {
        const told *t = await(&f->s, RMR_IO_DATAGRAMS, 2);
        assert_int_equal(t->ev.data.len, i < 4 ? 100 : 50);
        assert_memory_equal(t->data, data + i * 100, t->ev.data.len);
    }
    turns(&f->s, 2);
    assert_int_equal(left(&f->s, 0), 2); /* the two from the start */
    free(data);
}

static void a_refused_batch_is_told_with_its_reason(void **state)
{
    static const struct {
        int os;
        rmr_err err;
    } cases[] = {{EHOSTUNREACH, RMR_E_UNREACHABLE},
                 {ENETUNREACH, RMR_E_UNREACHABLE},
                 {EPERM, RMR_E_DENIED},
                 {EMSGSIZE, RMR_E_TOOBIG},
                 {ENOBUFS, RMR_E_FULL},
                 {EIO, RMR_E_IO}};
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fault.sendto_error = cases[i].os;
        fault.sendto_times = 1;
        do_udp_send(&f->s, 1, to, "abcdef", 6, 2);
        const told *t = await(&f->s, RMR_IO_SEND_FAILED, 1);
        assert_int_equal(t->ev.err, cases[i].err);
        assert_true(rmr_addr_eq(&t->ev.addr, &to));
    }
    fault.sendto_error = EINTR;
    fault.sendto_times = 2;
    do_udp_send(&f->s, 1, to, "again", 5, 0);
    (void)await(&f->s, RMR_IO_DATAGRAMS, 1);
}

static void a_kept_batch_that_fails_later_frees_the_socket(void **state)
{
    fixture *f = *state;
    do_udp_open(&f->s, 1, LOOPBACK4);
    rmr_addr to = await_opened(&f->s, 1);
    fault.sendto_error = EAGAIN;
    fault.sendto_times = SIZE_MAX;
    do_udp_send(&f->s, 1, to, "abc", 3, 0);
    turns(&f->s, 1);
    (void)await(&f->s, RMR_IO_BLOCKED, 1);
    fault.sendto_error = EHOSTUNREACH;
    fault.sendto_times = 1;
    (void)await(&f->s, RMR_IO_SEND_FAILED, 1);
    (void)await(&f->s, RMR_IO_WRITABLE, 1);
}

/* ---- clocks and links
 * --------------------------------------------------------------- */

static void a_stepped_wall_clock_is_told_again(void **state)
{
    static const int64_t steps[] = {3600, -7200, 2, -2};
    fixture *f = *state;
    uint64_t first = await(&f->s, RMR_IO_WALL, 0)->ev.wall_unix_ns;
    turns(&f->s, 3);
    assert_null(seen(&f->s, RMR_IO_WALL, 0));
    fault.wall_step = 500 * 1000000; /* an adjustment is no step */
    turns(&f->s, 3);
    assert_null(seen(&f->s, RMR_IO_WALL, 0));
    for (size_t i = 0; i < 4; i++) {
        fault.wall_step += steps[i] * 1000000000;
        turns(&f->s, 3);
        const told *t = seen(&f->s, RMR_IO_WALL, 0);
        assert_non_null(t);
        int64_t moved = (int64_t)(t->ev.wall_unix_ns - first);
        assert_true(llabs(moved - fault.wall_step) < 5000000000);
        turns(&f->s, 3);
        assert_null(seen(&f->s, RMR_IO_WALL, 0)); /* once */
    }
}

static void a_long_sleep_of_both_clocks_is_no_step(void **state)
{
    fixture *f = *state;
    (void)await(&f->s, RMR_IO_WALL, 0);
    f->s.deadline = adapter_now() + 60 * RMR_SEC;
    fault.wall_step = fault.mono_step = (int64_t)3600 * 1000000000;
    turns(&f->s, 2);
    assert_null(seen(&f->s, RMR_IO_WALL, 0));
    assert_int_equal(f->s.n_deadlines, 1);
}

static void changed_links_are_told_again_but_looked_at_seldom(void **state)
{
    fixture *f = *state;
    (void)await(&f->s, RMR_IO_LINKS, 0);
    fault.hosts_mtime = 12345;
    turns(&f->s, 3);
    assert_null(seen(&f->s, RMR_IO_LINKS, 0)); /* too early to look */
    fault.mono_step = fault.wall_step = (int64_t)4 * 1000000000;
    turns(&f->s, 1);
    assert_non_null(seen(&f->s, RMR_IO_LINKS, 0));
    fault.mono_step = fault.wall_step = (int64_t)8 * 1000000000;
    turns(&f->s, 1);
    assert_null(seen(&f->s, RMR_IO_LINKS, 0)); /* unchanged */
}

static void a_closed_stream_is_not_kept_for_a_far_end_that_stays(void **state)
{
    fixture *f = *state;
    ends e = make_stream(&f->s, 1, 2);
    do_simple(&f->s, RMR_IO_CLOSE, e.a);
    do_read(&f->s, e.b, 1);
    (void)await(&f->s, RMR_IO_EOF, e.b);
    do_send(&f->s, e.b, "x", 1); /* read and dropped */
    (void)await(&f->s, RMR_IO_SENT, e.b);
    turns(&f->s, 3);
    assert_null(seen(&f->s, RMR_IO_RESET, e.b));
    fault.mono_step = fault.wall_step = (int64_t)30 * 1000000000;
    (void)await(&f->s, RMR_IO_RESET, e.b);
}

/* ---- blobs
 * ----------------------------------------------------------------------------
 */

static void expect_old(script *s, uint64_t id)
{
    size_t len, parts;
    do_load(s, id, "blob");
    uint8_t *blob = await_blob(s, id, &len, &parts);
    assert_int_equal(len, 3);
    assert_memory_equal(blob, "old", 3);
    free(blob);
}

static void a_failing_disk_leaves_the_old_blob(void **state)
{
    fixture *f = *state;
    do_store(&f->s, 1, "blob", "old", 3, false);
    (void)await(&f->s, RMR_IO_STORED, 1);
    fault.fsync_error = EIO;
    do_store(&f->s, 2, "blob", "new", 3, false);
    assert_int_equal(await_failed(&f->s, 2), RMR_E_IO);
    expect_old(&f->s, 3);
    fault.fsync_error = 0;
    fault.rename_error = EROFS;
    do_store(&f->s, 4, "blob", "new", 3, false);
    assert_int_equal(await_failed(&f->s, 4), RMR_E_DENIED);
    expect_old(&f->s, 5);
    assert_int_equal(count_files(f->dir), 1);
}

/* ---- memory
 * ------------------------------------------------------------------------------
 */

/* The machine's own memory is not what fails. */
static void spare_the_machine(bool is_inside)
{
    fault.is_off = is_inside;
}

/* Turns with the n-th allocation failing; whether there were so many. */
static bool turns_failing(script *s, size_t n, size_t *running)
{
    fault.mallocs = 0;
    fault.fail_malloc = n;
    for (int i = 0; i < 6; i++)
        *running = adapter_turn(s->a, RMR_MS);
    bool has_failed = fault.mallocs >= n;
    fault.fail_malloc = 0;
    return has_failed;
}

static void answer_is(script *s, uint64_t id, rmr_io_event_kind good)
{
    const told *t = seen(s, good, id);
    if (!t)
        t = seen(s, RMR_IO_FAILED, id);
    assert_non_null(t);
}

/* Every operation is answered, whichever allocation fails, or the machine is
 * dropped. */
static void a_failing_allocator_fails_operations_and_nothing_else(void **state)
{
    fixture *f = *state;
    bool has_failed = true;
    script_hook = spare_the_machine;
    for (size_t n = 1; has_failed; n++) {
        adapter *a = adapter_new(f->dir);
        script s;
        size_t running = 0;
        uint8_t *data = pattern(60000, 1);
        assert_non_null(a);
        script_init(&s, a);
        for (uint64_t id = 100; id < 130; id++) /* the tables grow later */
            do_udp_open(&s, id, LOOPBACK4);
        turns(&s, 1);
        do_udp_open(&s, 1, LOOPBACK4);
        do_listen(&s, 2, LOOPBACK4);
        do_local(&s, RMR_IO_LISTEN, 3, "sock");
        do_local(&s, RMR_IO_CONNECT, 4, "sock");
        do_load(&s, 5, "none");
        do_udp_send(&s, 100, LOOPBACK4, "x", 1, 0);
        fault.sendto_error = EAGAIN; /* what is kept takes memory */
        fault.sendto_times = 1;
        do_store(&s, 6, "blob", "x", 1, true);
        do_store(&s, 6, "blob", "y", 1, false);
        has_failed = turns_failing(&s, n, &running);
        if (running) {
            answer_is(&s, 1, RMR_IO_OPENED);
            answer_is(&s, 2, RMR_IO_OPENED);
            answer_is(&s, 3, RMR_IO_OPENED);
            answer_is(&s, 4, RMR_IO_OPENED);
            answer_is(&s, 5, RMR_IO_LOADED);
            answer_is(&s, 6, RMR_IO_STORED);
            assert_int_equal(left(&s, 6), 0);
            for (int i = 0; i < 20; i++)
                do_send(&s, 4, data, 60000);
            has_failed = turns_failing(&s, n, &running) || has_failed;
        }
        adapter_free(a);
        script_wipe(&s);
        free(data);
        fault.sendto_times = 0;
        assert_true(n < 1000);
    }
    script_hook = NULL;
}

static void without_memory_there_is_no_adapter(void **state)
{
    fixture *f = *state;
    adapter *a = NULL;
    for (size_t n = 1; !a; n++) {
        fault.mallocs = 0;
        fault.fail_malloc = n;
        a = adapter_new(f->dir);
        assert_true(a || fault.mallocs >= n);
        assert_true(n < 100);
    }
    fault.fail_malloc = 0;
    adapter_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(a_full_socket_keeps_its_batch_and_says_so),
        FAULT_TEST(a_refused_batch_is_told_with_its_reason),
        FAULT_TEST(a_kept_batch_that_fails_later_frees_the_socket),
        FAULT_TEST(a_stepped_wall_clock_is_told_again),
        FAULT_TEST(a_long_sleep_of_both_clocks_is_no_step),
        FAULT_TEST(changed_links_are_told_again_but_looked_at_seldom),
        FAULT_TEST(a_closed_stream_is_not_kept_for_a_far_end_that_stays),
        FAULT_TEST(a_failing_disk_leaves_the_old_blob),
        FAULT_TEST(a_failing_allocator_fails_operations_and_nothing_else),
        FAULT_TEST(without_memory_there_is_no_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
