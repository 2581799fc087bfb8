/* A node on io-posix is killed before, within and behind each call that touches
 * a file: the next start has the old state or the new one, plain or sealed. */
#include "node_internal.h"
#include "support.h"

#include <remora/posix.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define URL "http://127.0.0.1:9"

/* ---- between the adapter and the C library ----------------------------- */

typedef enum moment { BEFORE, WITHIN, BEHIND } moment;

static unsigned calls, cut_at; /* 0: never */
static moment cut_when;

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static void point(moment now)
{
    if (now == BEFORE)
        calls++;
    if (cut_at && calls == cut_at && now == cut_when)
        die();
}

int __real_openat(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat(int dir, const char *name, int flags, mode_t mode)
{
    point(BEFORE);
    int r = __real_openat(dir, name, flags, mode);
    point(BEHIND);
    return r;
}

int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len)
{
    point(BEFORE);
    int r = __real_ftruncate(fd, len);
    point(BEHIND);
    return r;
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    point(BEFORE);
    if (cut_at && calls == cut_at && cut_when == WITHIN) {
        (void)__real_write(fd, data, len / 2);
        die();
    }
    ssize_t r = __real_write(fd, data, len);
    point(BEHIND);
    return r;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    point(BEFORE);
    int r = __real_fsync(fd);
    point(BEHIND);
    return r;
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    point(BEFORE);
    int r = __real_renameat(from_dir, from, to_dir, to);
    point(BEHIND);
    return r;
}

/* ---- the process that is killed ---------------------------------------- */

static bool failed;
static bool is_sealed; /* the state is */

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    (void)user;
    memset(key, 7, RMR_KEY_LEN);
    return number == 0 ? RMR_OK : RMR_E_NOTFOUND;
}

static void on_event(void *user, const rmr_node_event *ev)
{
    (void)user;
    failed |= ev->kind == RMR_NODE_EV_FAILED;
}

static bool turn(rmr_posix *p, int times, bool *runs)
{
    size_t running = 0;
    while (times-- > 0)
        if (rmr_posix_turn(p, 0, &running) != RMR_OK)
            return false;
    *runs = running > 0;
    return true;
}

/* A start, other preferences, an end; its exit status. */
static int life(const char *dir, const char *hostname)
{
    rmr_node_callbacks cb = {.struct_size = sizeof cb, .on_event = on_event};
    rmr_posix_config pc;
    rmr_node_config cfg;
    rmr_node_prefs prefs;
    rmr_posix *p;
    rmr_node *n;
    bool runs = true;
    rmr_env env = rmr_posix_env();
    rmr_posix_config_init(&pc, sizeof pc);
    pc.dir = dir;
    pc.no_links = true;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = URL;
    cfg.no_udp = cfg.no_port_mapping = true;
    cfg.seal_key = is_sealed ? seal_key : NULL;
    cfg.callbacks = &cb;
    if (rmr_posix_new(&p, &pc) != RMR_OK ||
        rmr_node_new(&n, &env, &cfg, rmr_posix_now()) != RMR_OK)
        return 2;
    rmr_machine m = rmr_node_machine(n);
    if (rmr_posix_add(p, &m) != RMR_OK || !turn(p, 20, &runs) || failed ||
        rmr_node_get_state(n) != RMR_NODE_STARTING)
        return 3;
    rmr_node_prefs_init(&prefs, sizeof prefs);
    prefs.given = RMR_NODE_PREF_HOSTNAME;
    prefs.hostname = hostname;
    if (rmr_node_set_prefs(n, rmr_posix_now(), &prefs) != RMR_OK)
        return 4;
    rmr_node_stop(n, rmr_posix_now());
    rmr_posix_wake(p);
    for (int i = 0; runs && i < 1000; i++)
        if (!turn(p, 1, &runs))
            return 5;
    rmr_posix_free(p);
    rmr_node_free(n);
    return runs || failed ? 6 : 0;
}

/* Its exit status; -1: it was killed. */
static int child(const char *dir, const char *hostname, unsigned at,
                 moment when)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        cut_at = at;
        cut_when = when;
        calls = 0;
        _exit(life(dir, hostname));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return -1;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- what is on the disk ----------------------------------------------- */

static rmr_bytes opened(uint8_t *blob, size_t len)
{
    uint8_t key[RMR_KEY_LEN];
    uint8_t *c = blob + ND_SEAL_HEAD_LEN + RMR_XNONCE_LEN;
    assert_true(len > ND_SEAL_LEN);
    (void)seal_key(NULL, 0, key);
    assert_int_equal(rmr_xchapoly_open(c, key, blob + ND_SEAL_HEAD_LEN,
                                       rmr_bytes_of(blob, ND_SEAL_HEAD_LEN),
                                       rmr_bytes_of(c, len - ND_SEAL_HEAD_LEN -
                                                           RMR_XNONCE_LEN)),
                     RMR_OK);
    return rmr_bytes_of(c, len - ND_SEAL_LEN);
}

/* false: there is no state.  One that is there is whole. */
static bool state_of(const char *dir, nd_keys *k)
{
    char path[128];
    uint8_t text[8192];
    bool is_old;
    rmr_alloc a = test_alloc_table(NULL);
    (void)snprintf(path, sizeof path, "%s/remora.state", dir);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t len = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    rmr_bytes plain = rmr_bytes_of(text, len);
    assert_int_equal(rmri_node_is_sealed(plain), is_sealed);
    if (is_sealed)
        plain = opened(text, len);
    assert_int_equal(rmri_node_state_parse(k, &a, plain, &is_old), RMR_OK);
    nd_keys whole = *k;
    rmri_node_keys_wipe(&whole, &a); /* no text of it is looked at */
    return true;
}

static void remove_all(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        assert_int_equal(unlink(path), 0);
    }
    (void)closedir(d);
}

/* Each call in turn; how many there were. */
static unsigned killed_at_each(const char *dir, moment when, bool had_state)
{
    nd_keys before, after;
    for (unsigned at = 1;; at++) {
        remove_all(dir);
        if (had_state)
            assert_int_equal(child(dir, "old", 0, when), 0);
        int end = child(dir, "new", at, when);
        bool there = state_of(dir, &before);
        assert_true(there || !had_state);
        if (there && had_state)
            assert_true(strcmp(before.prefs.hostname, "old") == 0 ||
                        strcmp(before.prefs.hostname, "new") == 0);
        assert_int_equal(child(dir, "last", 0, when), 0);
        assert_true(state_of(dir, &after));
        assert_string_equal(after.prefs.hostname, "last");
        if (there)
            assert_memory_equal(before.machine, after.machine, RMR_KEY_LEN);
        if (end != -1) {
            assert_int_equal(end, 0);
            assert_string_equal(before.prefs.hostname, "new");
            return at - 1;
        }
    }
}

static void killed_at_each_call_it_starts_with_old_or_new_state(void **st)
{
    char dir[] = "/tmp/remora-killed-XXXXXX";
    (void)st;
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 4; i++) {
        is_sealed = i >= 2;
        assert_true(killed_at_each(dir, BEFORE, i % 2 == 1) >= 6);
        assert_true(killed_at_each(dir, BEHIND, i % 2 == 1) >= 6);
        remove_all(dir);
    }
    is_sealed = false;
    remove_all(dir);
    assert_int_equal(rmdir(dir), 0);
}

/* Only some calls have an inside: the others end as if nobody had cut. */
static void killed_within_each_write_it_starts_with_the_old_state(void **st)
{
    char dir[] = "/tmp/remora-killed-XXXXXX";
    nd_keys before, after;
    unsigned writes = 0;
    (void)st;
    assert_non_null(mkdtemp(dir));
    for (unsigned at = 1; at <= 16; at++) {
        remove_all(dir);
        assert_int_equal(child(dir, "old", 0, WITHIN), 0);
        int end = child(dir, "new", at, WITHIN);
        assert_true(state_of(dir, &before));
        if (end != -1)
            continue;
        writes++;
        assert_int_equal(child(dir, "last", 0, WITHIN), 0);
        assert_true(state_of(dir, &after));
        assert_memory_equal(before.machine, after.machine, RMR_KEY_LEN);
    }
    assert_true(writes >= 1);
    remove_all(dir);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_each_call_it_starts_with_old_or_new_state),
        cmocka_unit_test(killed_within_each_write_it_starts_with_the_old_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
