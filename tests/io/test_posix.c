/* What is io-posix's own: its directory, its results, its environment, and how
 * it reads the host's files. */
#define _DEFAULT_SOURCE
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <remora/posix.h>

#include "posix_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static rmr_err try_dir_as(const char *dir, bool shared)
{
    rmr_posix_config cfg;
    rmr_posix *p;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    cfg.dir_shared = shared;
    rmr_err e = rmr_posix_new(&p, &cfg);
    assert_true((p != NULL) == (e == RMR_OK));
    rmr_posix_free(p);
    return e;
}

static rmr_err try_dir(const char *dir)
{
    return try_dir_as(dir, false);
}

static rmr_err try_shared_dir(const char *dir)
{
    return try_dir_as(dir, true);
}

static void a_missing_directory_is_made_for_its_owner_alone(void **state)
{
    char *dir = temp_dir();
    struct stat st;
    (void)state;
    assert_int_equal(rmdir(dir), 0);
    mode_t mask = umask(0);
    assert_int_equal(try_dir(dir), RMR_OK);
    (void)umask(mask);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(try_dir(dir), RMR_OK); /* as it is now */
    remove_dir(dir);
}

static void a_directory_open_to_others_is_denied(void **state)
{
    char *dir = temp_dir();
    (void)state;
    assert_int_equal(chmod(dir, 0750), 0);
    assert_int_equal(try_dir(dir), RMR_E_DENIED);
    assert_int_equal(chmod(dir, 0701), 0);
    assert_int_equal(try_dir(dir), RMR_E_DENIED);
    remove_dir(dir);
}

static void a_shared_directory_is_not_writable_for_others(void **state)
{
    char *dir = temp_dir();
    (void)state;
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(try_shared_dir(dir), RMR_OK);
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(try_shared_dir(dir), RMR_E_DENIED);
    assert_int_equal(chmod(dir, 01702), 0);
    assert_int_equal(try_shared_dir(dir), RMR_E_DENIED);
    remove_dir(dir);
}

static void a_directory_of_somebody_else_is_denied(void **state)
{
    char *dir = temp_dir();
    (void)state;
    /* "/" is root's and open; as root, a foreign one can be made. */
    if (geteuid() == 0)
        assert_int_equal(chown(dir, 65534, 65534), 0);
    assert_int_equal(try_dir(geteuid() == 0 ? dir : "/"), RMR_E_DENIED);
    remove_dir(dir);
}

static void what_is_no_directory_is_denied(void **state)
{
    (void)state;
    assert_int_equal(try_dir("/dev/null"), RMR_E_DENIED);
    assert_int_equal(try_dir("/dev/null/x"), RMR_E_DENIED);
    assert_int_equal(try_dir("/nonexistent/x"), RMR_E_DENIED);
}

static void run_gives_the_first_machines_result(void **state)
{
    static const rmr_err results[] = {RMR_OK, RMR_E_DENIED, RMR_E_INTERNAL};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        rmr_posix_config cfg;
        rmr_posix *p;
        rmr_posix_config_init(&cfg, sizeof cfg);
        assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
        script first, second;
        script_init(&first, (adapter *)(void *)p);
        script_init(&second, (adapter *)(void *)p);
        do_stop(&second, RMR_E_IO);
        do_stop(&first, results[i]);
        assert_int_equal(rmr_posix_run(p), results[i]);
        rmr_posix_free(p);
        script_wipe(&first);
        script_wipe(&second);
    }
}

static rmr_posix *stop_on_alarm;

static void on_alarm(int sig)
{
    (void)sig;
    rmr_posix_request_stop(stop_on_alarm);
}

/* The machine stops when it is asked to, as a real one would. */
static rmr_err stop_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    bool *asked = self;
    (void)now;
    *asked = *asked || ev->kind == RMR_IO_STOP_REQUEST;
    return RMR_OK;
}

static rmr_err stop_next_op(void *self, rmr_time now, rmr_buf scratch,
                            rmr_io_op *op)
{
    const bool *asked = self;
    (void)now;
    (void)scratch;
    op->kind = *asked ? RMR_IO_STOP : RMR_IO_NONE;
    return RMR_OK;
}

static rmr_time stop_deadline(const void *self)
{
    (void)self;
    return RMR_TIME_NEVER;
}

static rmr_err stop_handle(void *self, rmr_time now)
{
    (void)self;
    (void)now;
    return RMR_OK;
}

static void a_signal_handler_can_end_run(void **state)
{
    bool asked = false;
    rmr_machine m = {&asked, stop_event, stop_next_op, stop_deadline,
                     stop_handle};
    rmr_posix_config cfg;
    rmr_posix *p;
    (void)state;
    rmr_posix_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
    assert_int_equal(rmr_posix_add(p, &m), RMR_OK);
    stop_on_alarm = p;
    struct sigaction act, old;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_alarm;
    assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
    struct itimerval in = {{0, 0}, {0, 10000}};
    assert_int_equal(setitimer(ITIMER_REAL, &in, NULL), 0);
    assert_int_equal(rmr_posix_run(p), RMR_OK);
    assert_true(asked);
    (void)sigaction(SIGALRM, &old, NULL);
    rmr_posix_free(p);
}

static void run_without_machines_returns_at_once(void **state)
{
    rmr_posix_config cfg;
    rmr_posix *p;
    (void)state;
    rmr_posix_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
    assert_int_equal(rmr_posix_run(p), RMR_OK);
    rmr_posix_free(p);
    rmr_posix_free(NULL);
}

static void links_are_not_told_when_not_wanted(void **state)
{
    rmr_posix_config cfg;
    rmr_posix *p;
    script s;
    (void)state;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.no_links = true;
    assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
    script_init(&s, (adapter *)(void *)p);
    turns(&s, 3);
    assert_int_equal(s.n_events, 1); /* WALL */
    rmr_posix_free(p);
    script_wipe(&s);
}

static void the_environment_gives_memory_and_randomness(void **state)
{
    rmr_env env = rmr_posix_env();
    (void)state;
    for (size_t align = 1; align <= 256; align *= 2) {
        uint8_t *p = rmr_alloc_zero(&env.alloc, 300, align);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        memset(p, 1, 300);
        rmr_release(&env.alloc, p, 300);
    }
    uint8_t a[1000], b[1000];
    memset(a, 0, sizeof a);
    assert_int_equal(rmr_rng_fill(&env.rng, a, sizeof a), RMR_OK);
    assert_int_equal(rmr_rng_fill(&env.rng, b, sizeof b), RMR_OK);
    assert_memory_not_equal(a, b, sizeof a);
    static const uint8_t zeros[32];
    assert_memory_not_equal(a + sizeof a - 32, zeros, 32); /* to the end */
}

static void the_clock_does_not_go_back(void **state)
{
    rmr_time last = rmr_posix_now();
    (void)state;
    assert_true(last > 0);
    for (int i = 0; i < 1000; i++) {
        rmr_time t = rmr_posix_now();
        assert_true(t >= last);
        last = t;
    }
}

/* ---- resolv.conf -------------------------------------------------------- */

static void read_text_as_resolv(links *l, const char *text)
{
    char *dir = temp_dir(), path[512];
    (void)snprintf(path, sizeof path, "%s/resolv.conf", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    rmri_posix_read_resolv(l, path);
    remove_dir(dir);
}

static void resolv_conf_is_read(void **state)
{
    static links l;
    rmr_addr a;
    (void)state;
    read_text_as_resolv(&l, "# comment\n; another\n\n"
                            "nameserver 192.0.2.1\n"
                            "\tnameserver\t2001:db8::1  # why\r\n"
                            "nameserver fe80::1%2\n"
                            "nameserver not-an-address\n"
                            "options ndots:2\n"
                            "domain example.org\n"
                            "search corp.example\t  example.com");
    assert_int_equal(l.n_servers, 3);
    a = rmr_addr_v4(192, 0, 2, 1, 53);
    assert_true(rmr_addr_eq(&l.servers[0], &a));
    assert_int_equal(l.servers[1].family, RMR_AF_INET6);
    assert_int_equal(l.servers[1].port, 53);
    assert_int_equal(l.servers[2].zone, 2);
    assert_string_equal(l.search, "corp.example example.com");
}

static void too_many_name_servers_and_long_lines_are_bounded(void **state)
{
    static links l;
    static char text[8192];
    (void)state;
    text[0] = '\0';
    for (int i = 0; i < 20; i++)
        strcat(text, "nameserver 192.0.2.1\n");
    strcat(text, "search");
    for (int i = 0; i < 200; i++)
        strcat(text, " a-label-of-some-length.example");
    strcat(text, "\n");
    read_text_as_resolv(&l, text);
    assert_int_equal(l.n_servers, 8);
    assert_true(strlen(l.search) < sizeof l.search);
    assert_true(strlen(l.search) > 100);
}

static void a_missing_resolv_conf_is_an_empty_one(void **state)
{
    static links l;
    (void)state;
    l.n_servers = 3;
    l.search[0] = 'x';
    rmri_posix_read_resolv(&l, "/nonexistent/resolv.conf");
    assert_int_equal(l.n_servers, 0);
    assert_string_equal(l.search, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_directory_is_made_for_its_owner_alone),
        cmocka_unit_test(a_directory_open_to_others_is_denied),
        cmocka_unit_test(a_shared_directory_is_not_writable_for_others),
        cmocka_unit_test(a_directory_of_somebody_else_is_denied),
        cmocka_unit_test(what_is_no_directory_is_denied),
        cmocka_unit_test(run_gives_the_first_machines_result),
        cmocka_unit_test(a_signal_handler_can_end_run),
        cmocka_unit_test(run_without_machines_returns_at_once),
        cmocka_unit_test(links_are_not_told_when_not_wanted),
        cmocka_unit_test(the_environment_gives_memory_and_randomness),
        cmocka_unit_test(the_clock_does_not_go_back),
        cmocka_unit_test(resolv_conf_is_read),
        cmocka_unit_test(too_many_name_servers_and_long_lines_are_bounded),
        cmocka_unit_test(a_missing_resolv_conf_is_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
