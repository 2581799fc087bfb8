/* Blobs: parts, replacement, failures that leave the old one. */
#define _DEFAULT_SOURCE /* seteuid */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PART ((size_t)50 * 1024)

static char *path_of(const fixture *f, const char *name, char path[512])
{
    (void)snprintf(path, 512, "%s/%s", f->dir, name);
    return path;
}

static void put(script *s, uint64_t id, const char *name, const char *text)
{
    do_store(s, id, name, text, strlen(text), false);
    (void)await(s, RMR_IO_STORED, id);
}

static void expect_blob(script *s, uint64_t id, const char *name,
                        const char *text)
{
    size_t len, parts;
    do_load(s, id, name);
    uint8_t *blob = await_blob(s, id, &len, &parts);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(blob, text, len);
    free(blob);
}

static void what_was_never_stored_is_not_found(void **state)
{
    fixture *f = *state;
    do_load(&f->s, 1, "blob");
    assert_int_equal(await_failed(&f->s, 1), RMR_E_NOTFOUND);
}

static void a_blob_is_loaded_as_it_was_stored(void **state)
{
    fixture *f = *state;
    put(&f->s, 1, "blob", "first");
    expect_blob(&f->s, 2, "blob", "first");
    put(&f->s, 3, "blob", "no.2");
    put(&f->s, 4, "other", "");
    expect_blob(&f->s, 5, "blob", "no.2");
    expect_blob(&f->s, 6, "other", "");
    expect_files(f->dir, 2); /* nothing temporary */
}

static void a_blob_lives_longer_than_the_adapter(void **state)
{
    fixture *f = *state;
    put(&f->s, 1, "blob", "kept");
    adapter_free(f->a);
    script_wipe(&f->s);
    f->a = adapter_new(f->dir);
    assert_non_null(f->a);
    script_init(&f->s, f->a);
    expect_blob(&f->s, 2, "blob", "kept");
}

static void only_its_owner_may_read_a_blob(void **state)
{
    fixture *f = *state;
    char path[512];
    struct stat st;
    mode_t mask = umask(0);
    put(&f->s, 1, "blob", "secret");
    (void)umask(mask);
    assert_int_equal(stat(path_of(f, "blob", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_large_blob_goes_and_comes_in_parts(void **state)
{
    fixture *f = *state;
    uint8_t *data = pattern(7 * PART, 1);
    for (size_t i = 0; i < 7; i++) {
        do_store(&f->s, 1, "big", data + i * PART, PART, i < 6);
        if (i < 6) {
            turns(&f->s, 1);
            assert_int_equal(left(&f->s, 1), 0); /* one answer, at the end */
        }
    }
    (void)await(&f->s, RMR_IO_STORED, 1);
    size_t len, parts;
    do_load(&f->s, 2, "big");
    uint8_t *blob = await_blob(&f->s, 2, &len, &parts);
    assert_int_equal(len, 7 * PART);
    assert_true(parts >= 6);
    assert_memory_equal(blob, data, len);
    free(blob);
    free(data);
}

static void the_old_blob_is_there_until_the_last_part_has_come(void **state)
{
    fixture *f = *state;
    put(&f->s, 1, "blob", "old");
    do_store(&f->s, 2, "blob", "ne", 2, true);
    turns(&f->s, 2);
    expect_blob(&f->s, 3, "blob", "old");
    do_store(&f->s, 2, "blob", "w", 1, false);
    (void)await(&f->s, RMR_IO_STORED, 2);
    expect_blob(&f->s, 4, "blob", "new");
}

static void two_blobs_are_stored_side_by_side(void **state)
{
    fixture *f = *state;
    do_store(&f->s, 1, "a", "a1", 2, true);
    do_store(&f->s, 2, "b", "b1", 2, true);
    do_store(&f->s, 1, "a", "a2", 2, false);
    do_store(&f->s, 2, "b", "b2", 2, false);
    (void)await(&f->s, RMR_IO_STORED, 1);
    (void)await(&f->s, RMR_IO_STORED, 2);
    expect_blob(&f->s, 3, "a", "a1a2");
    expect_blob(&f->s, 4, "b", "b1b2");
}

static void one_blob_is_not_stored_twice_at_a_time(void **state)
{
    fixture *f = *state;
    adapter *second = adapter_new(f->dir);
    script other;
    assert_non_null(second);
    script_init(&other, second);
    do_store(&f->s, 1, "blob", "12", 2, true);
    turns(&f->s, 1);
    do_store(&other, 1, "blob", "x", 1, false);
    assert_int_equal(await_failed(&other, 1), RMR_E_INUSE);
    do_store(&f->s, 2, "blob", "y", 1, false);
    assert_int_equal(await_failed(&f->s, 2), RMR_E_INUSE);
    do_store(&f->s, 1, "blob", "3", 1, false);
    (void)await(&f->s, RMR_IO_STORED, 1);
    put(&other, 2, "blob", "after");
    expect_blob(&f->s, 3, "blob", "after");
    adapter_free(second);
    script_wipe(&other);
}

static void closing_a_store_midway_leaves_the_old_blob(void **state)
{
    fixture *f = *state;
    put(&f->s, 1, "blob", "old");
    do_store(&f->s, 2, "blob", "half", 4, true);
    do_simple(&f->s, RMR_IO_CLOSE, 2);
    turns(&f->s, 2);
    assert_int_equal(left(&f->s, 2), 0);
    expect_files(f->dir, 1);
    expect_blob(&f->s, 3, "blob", "old");
}

/* Another process writes all of the blob but for its end, and is killed. */
static void a_crash_before_the_end_leaves_the_old_blob(void **state)
{
    fixture *f = *state;
    put(&f->s, 1, "blob", "old");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        script s;
        adapter *a = adapter_new(f->dir);
        if (!a)
            _exit(1);
        script_init(&s, a);
        do_store(&s, 1, "blob", "a new one, longer", 17, true);
        turns(&s, 2);
        (void)raise(SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_files(f->dir), 2); /* what it left */
    expect_blob(&f->s, 2, "blob", "old");
    put(&f->s, 3, "blob", "new"); /* no byte of the dead one's is in it */
    expect_blob(&f->s, 4, "blob", "new");
    assert_int_equal(count_files(f->dir), 1);
}

static void a_full_disk_leaves_the_old_blob(void **state)
{
    fixture *f = *state;
    uint8_t *data = pattern(PART, 4);
    put(&f->s, 1, "blob", "old");
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    do_store(&f->s, 2, "blob", data, PART, true);
    do_store(&f->s, 2, "blob", data, PART, true);
    turns(&f->s, 2);
    size_t early = left(&f->s, 2);
    do_store(&f->s, 2, "blob", "end", 3, false);
    rmr_err e = await_failed(&f->s, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, before);
    assert_int_equal(early, 0); /* FAILED comes after the last part */
    assert_int_equal(e, RMR_E_IO);
    assert_int_equal(count_files(f->dir), 1);
    expect_blob(&f->s, 3, "blob", "old");
    free(data);
}

/* As root every directory is writable: then it is tried as another user. */
static void
an_unwritable_directory_is_denied_and_leaves_the_old_blob(void **state)
{
    fixture *f = *state;
    uid_t me = geteuid();
    put(&f->s, 1, "blob", "old");
    if (me == 0) {
        char path[512];
        assert_int_equal(chown(f->dir, 65534, 65534), 0);
        assert_int_equal(chown(path_of(f, "blob", path), 65534, 65534), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(chmod(f->dir, 0500), 0);
    do_store(&f->s, 2, "blob", "new", 3, false);
    rmr_err e = await_failed(&f->s, 2);
    expect_blob(&f->s, 3, "blob", "old");
    assert_int_equal(chmod(f->dir, 0700), 0);
    assert_int_equal(seteuid(me), 0);
    assert_int_equal(e, RMR_E_DENIED);
}

static void what_can_not_be_replaced_stays(void **state)
{
    fixture *f = *state;
    char path[512];
    assert_int_equal(mkdir(path_of(f, "blob", path), 0700), 0);
    do_store(&f->s, 1, "blob", "new", 3, false);
    assert_int_equal(await_failed(&f->s, 1), RMR_E_IO);
    do_load(&f->s, 2, "blob");
    assert_int_equal(await_failed(&f->s, 2), RMR_E_IO);
    assert_int_equal(count_files(f->dir), 1);
}

static void a_link_is_not_followed(void **state)
{
    fixture *f = *state;
    char path[512];
    put(&f->s, 1, "target", "theirs");
    assert_int_equal(symlink("target", path_of(f, "blob", path)), 0);
    do_load(&f->s, 2, "blob");
    assert_int_equal(await_failed(&f->s, 2), RMR_E_IO);
    put(&f->s, 3, "blob", "ours");
    expect_blob(&f->s, 4, "target", "theirs");
}

static void names_with_paths_or_dots_in_front_are_refused(void **state)
{
    fixture *f = *state;
    char longest[300];
    memset(longest, 'n', sizeof longest);
    longest[299] = '\0';
    const char *bad[] = {"",    ".",           "..",   ".hidden",
                         "a/b", "/etc/passwd", "../x", longest};
    uint64_t id = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        do_load(&f->s, id, bad[i]);
        assert_int_equal(await_failed(&f->s, id++), RMR_E_UNSUPPORTED);
        do_store(&f->s, id, bad[i], "x", 1, false);
        assert_int_equal(await_failed(&f->s, id++), RMR_E_UNSUPPORTED);
        if (bad[i][0] == '\0')
            continue; /* without a name it is an address */
        do_local(&f->s, RMR_IO_LISTEN, id, bad[i]);
        assert_int_equal(await_failed(&f->s, id++), RMR_E_UNSUPPORTED);
        do_local(&f->s, RMR_IO_CONNECT, id, bad[i]);
        assert_int_equal(await_failed(&f->s, id++), RMR_E_UNSUPPORTED);
    }
    rmr_io_op op; /* a NUL inside would cut the name */
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_STORE;
    op.id = id;
    op.name = rmr_bytes_of("a\0b", 3);
    do_op(&f->s, &op);
    assert_int_equal(await_failed(&f->s, id), RMR_E_UNSUPPORTED);
    assert_int_equal(count_files(f->dir), 0);
}

static void without_a_directory_blobs_are_unsupported(void **state)
{
    script s;
    adapter *a = adapter_new(NULL);
    (void)state;
    assert_non_null(a);
    script_init(&s, a);
    do_load(&s, 1, "blob");
    do_store(&s, 2, "blob", "x", 1, true);
    do_store(&s, 2, "blob", "y", 1, false);
    do_local(&s, RMR_IO_LISTEN, 3, "sock");
    do_local(&s, RMR_IO_CONNECT, 4, "sock");
    for (uint64_t id = 1; id <= 4; id++)
        assert_int_equal(await_failed(&s, id), RMR_E_UNSUPPORTED);
    assert_int_equal(left(&s, 2), 0);
    adapter_free(a);
    script_wipe(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(what_was_never_stored_is_not_found),
        IO_TEST(a_blob_is_loaded_as_it_was_stored),
        IO_TEST(a_blob_lives_longer_than_the_adapter),
        IO_TEST(a_large_blob_goes_and_comes_in_parts),
        IO_TEST(the_old_blob_is_there_until_the_last_part_has_come),
        IO_TEST(two_blobs_are_stored_side_by_side),
        IO_TEST(one_blob_is_not_stored_twice_at_a_time),
        IO_TEST(closing_a_store_midway_leaves_the_old_blob),
        IO_TEST(names_with_paths_or_dots_in_front_are_refused),
    };
    const struct CMUnitTest host[] = {
        IO_TEST(only_its_owner_may_read_a_blob),
        IO_TEST(a_crash_before_the_end_leaves_the_old_blob),
        IO_TEST(a_full_disk_leaves_the_old_blob),
        IO_TEST(an_unwritable_directory_is_denied_and_leaves_the_old_blob),
        IO_TEST(what_can_not_be_replaced_stays),
        IO_TEST(a_link_is_not_followed),
        cmocka_unit_test(without_a_directory_blobs_are_unsupported),
    };
    return IO_RUN(tests, host);
}
