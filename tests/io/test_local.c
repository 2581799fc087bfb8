/* Local endpoints: streams by name. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char *path_of(const fixture *f, const char *name, char path[512])
{
    (void)snprintf(path, 512, "%s/%s", f->dir, name);
    return path;
}

static void streams_work_by_name(void **state)
{
    fixture *f = *state;
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    do_local(&f->s, RMR_IO_CONNECT, 2, "sock");
    (void)await_opened(&f->s, 2);
    uint64_t child = await(&f->s, RMR_IO_ACCEPTED, 1)->ev.child;
    do_send(&f->s, 2, "status", 6);
    uint8_t *got = await_bytes(&f->s, child, 6);
    assert_memory_equal(got, "status", 6);
    free(got);
    do_send(&f->s, child, "fine", 4);
    do_simple(&f->s, RMR_IO_CLOSE, child);
    free(await_bytes(&f->s, 2, 4));
    do_read(&f->s, 2, 1);
    (void)await(&f->s, RMR_IO_EOF, 2);
}

static void another_adapter_connects_by_name(void **state)
{
    fixture *f = *state;
    adapter *a = adapter_new(f->dir);
    script s;
    script_init(&s, a);
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    do_local(&s, RMR_IO_CONNECT, 1, "sock");
    (void)await_opened(&s, 1);
    (void)await(&f->s, RMR_IO_ACCEPTED, 1);
    adapter_free(a);
    script_wipe(&s);
}

static void only_its_owner_may_connect(void **state)
{
    fixture *f = *state;
    char path[512];
    struct stat st;
    mode_t mask = umask(0);
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    mode_t after = umask(mask);
    assert_int_equal(after, 0); /* put back */
    assert_int_equal(stat(path_of(f, "sock", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_name_that_answers_is_in_use(void **state)
{
    fixture *f = *state;
    adapter *a = adapter_new(f->dir);
    script s;
    script_init(&s, a);
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    do_local(&f->s, RMR_IO_LISTEN, 2, "sock");
    assert_int_equal(await_failed(&f->s, 2), RMR_E_INUSE);
    do_local(&s, RMR_IO_LISTEN, 1, "sock");
    assert_int_equal(await_failed(&s, 1), RMR_E_INUSE);
    adapter_free(a); /* removes nothing that is not its own */
    script_wipe(&s);
    do_local(&f->s, RMR_IO_CONNECT, 3, "sock");
    (void)await_opened(&f->s, 3);
}

/* Too busy to answer is not dead. */
static void a_name_with_a_full_queue_is_in_use(void **state)
{
    fixture *f = *state;
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_ACCEPT_PAUSE, 1);
    bool is_full = false;
    for (uint64_t id = 2; id < 600 && !is_full; id++) {
        do_local(&f->s, RMR_IO_CONNECT, id, "sock");
        turns(&f->s, 2);
        is_full = !seen(&f->s, RMR_IO_OPENED, id);
    }
    assert_true(is_full);
    do_local(&f->s, RMR_IO_LISTEN, 1000, "sock");
    assert_int_equal(await_failed(&f->s, 1000), RMR_E_INUSE);
    assert_int_equal(count_files(f->dir), 1);
}

static void a_closed_name_is_free_again_and_its_file_is_gone(void **state)
{
    fixture *f = *state;
    do_local(&f->s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&f->s, 1);
    do_simple(&f->s, RMR_IO_CLOSE, 1);
    turns(&f->s, 1);
    assert_int_equal(count_files(f->dir), 0);
    do_local(&f->s, RMR_IO_CONNECT, 2, "sock");
    assert_int_equal(await_failed(&f->s, 2), RMR_E_NOTFOUND);
    do_local(&f->s, RMR_IO_LISTEN, 3, "sock");
    (void)await_opened(&f->s, 3);
}

static void a_freed_adapter_leaves_no_socket_file(void **state)
{
    fixture *f = *state;
    adapter *a = adapter_new(f->dir);
    script s;
    script_init(&s, a);
    do_local(&s, RMR_IO_LISTEN, 1, "sock");
    (void)await_opened(&s, 1);
    assert_int_equal(count_files(f->dir), 1);
    adapter_free(a);
    script_wipe(&s);
    assert_int_equal(count_files(f->dir), 0);
}

/* As a crash leaves it: the file is there, nobody listens. */
static void leave_stale(const char *path)
{
    struct sockaddr_un a;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    assert_true(strlen(path) < sizeof a.sun_path);
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&a, sizeof a), 0);
    assert_int_equal(close(fd), 0);
}

static void a_stale_socket_is_refused_and_replaced(void **state)
{
    fixture *f = *state;
    char path[512];
    leave_stale(path_of(f, "sock", path));
    do_local(&f->s, RMR_IO_CONNECT, 1, "sock");
    assert_int_equal(await_failed(&f->s, 1), RMR_E_REFUSED);
    do_local(&f->s, RMR_IO_LISTEN, 2, "sock");
    (void)await_opened(&f->s, 2);
    do_local(&f->s, RMR_IO_CONNECT, 3, "sock");
    (void)await_opened(&f->s, 3);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    fixture *f = *state;
    do_store(&f->s, 1, "sock", "a blob", 6, false);
    (void)await(&f->s, RMR_IO_STORED, 1);
    do_local(&f->s, RMR_IO_LISTEN, 2, "sock");
    assert_int_equal(await_failed(&f->s, 2), RMR_E_INUSE);
    size_t len, parts;
    do_load(&f->s, 3, "sock");
    free(await_blob(&f->s, 3, &len, &parts));
    assert_int_equal(len, 6);
}

static void a_path_too_long_for_a_socket_is_too_big(void **state)
{
    fixture *f = *state;
    char name[150];
    memset(name, 'n', sizeof name);
    name[149] = '\0';
    do_local(&f->s, RMR_IO_LISTEN, 1, name);
    assert_int_equal(await_failed(&f->s, 1), RMR_E_TOOBIG);
    do_local(&f->s, RMR_IO_CONNECT, 2, name);
    assert_int_equal(await_failed(&f->s, 2), RMR_E_TOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(streams_work_by_name),
        IO_TEST(another_adapter_connects_by_name),
        IO_TEST(a_name_that_answers_is_in_use),
        IO_TEST(a_closed_name_is_free_again_and_its_file_is_gone),
    };
    const struct CMUnitTest host[] = {
        IO_TEST(only_its_owner_may_connect),
        IO_TEST(a_name_with_a_full_queue_is_in_use),
        IO_TEST(a_freed_adapter_leaves_no_socket_file),
        IO_TEST(a_stale_socket_is_refused_and_replaced),
        IO_TEST(a_file_that_is_no_socket_is_left_alone),
        IO_TEST(a_path_too_long_for_a_socket_is_too_big),
    };
    return IO_RUN(tests, host);
}
