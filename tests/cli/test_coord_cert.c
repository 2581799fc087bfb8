/* The coordinator's own certificate, in its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <remora/posix.h>

#include "coord_cert.h"

#define DAY ((uint64_t)86400 * RMR_SEC)
#define NOW (UINT64_C(1767225600) * RMR_SEC) /* 2026-01-01 */

static char dir[64], path[96], error[640];
static rmr_env env;

static int set_up(void **state)
{
    (void)state;
    env = rmr_posix_env();
    (void)snprintf(dir, sizeof dir, "/tmp/remora-cert-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir); /* nothing else is left */
}

static unsigned mode(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777U;
}

static void put(const char *text, unsigned bits)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, bits), 0);
}

static bool cert(const char *host, uint64_t now, uint8_t sha256[32])
{
    cli_file f;
    rmr_tls_identity *id;
    error[0] = '\0';
    if (!cli_coord_cert_file(&f, path, host, &env, now, error, sizeof error)) {
        return false;
    }
    rmr_bytes text = rmr_bytes_of(f.data, f.len);
    assert_int_equal(rmr_tls_identity_new(&id, &env, text, text), RMR_OK);
    assert_true(rmr_tls_identity_is_of(id, host));
    rmr_tls_identity_sha256(id, sha256);
    rmr_tls_identity_free(id);
    cli_file_free(&f);
    return true;
}

static void a_certificate_lasts_until_it_ends_soon(void **state)
{
    uint8_t a[32], b[32];
    (void)state;
    assert_true(cert("relay.test", NOW, a));
    assert_int_equal(mode(), 0600);
    assert_true(cert("relay.test", NOW + 300 * DAY, b));
    assert_memory_equal(a, b, sizeof a);
    assert_true(cert("relay.test", NOW + 336 * DAY, b));
    assert_memory_not_equal(a, b, sizeof a);
}

static void another_host_gets_another(void **state)
{
    uint8_t a[32], b[32];
    (void)state;
    assert_true(cert("relay.test", NOW, a));
    assert_true(cert("192.0.2.1", NOW, b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_false(cert("", NOW, b));
    assert_non_null(strstr(error, "no name of a host"));
}

static void one_that_is_not_valid_yet_is_replaced(void **state)
{
    uint8_t a[32], b[32];
    (void)state;
    assert_true(cert("relay.test", NOW, a));
    assert_true(cert("relay.test", NOW - 2 * DAY, b));
    assert_memory_not_equal(a, b, sizeof a);
}

static void a_damaged_certificate_is_left_alone(void **state)
{
    uint8_t a[32];
    (void)state;
    put("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0600);
    assert_false(cert("relay.test", NOW, a));
    assert_non_null(strstr(error, "move it away"));
    assert_int_equal(access(path, F_OK), 0);
}

static void what_others_can_read_is_refused(void **state)
{
    uint8_t a[32];
    (void)state;
    assert_true(cert("relay.test", NOW, a));
    assert_int_equal(chmod(path, 0640), 0);
    assert_false(cert("relay.test", NOW, a));
    assert_non_null(strstr(error, "chmod 600"));
}

static void what_can_not_be_written_is_told(void **state)
{
    cli_file f;
    (void)state;
    assert_false(cli_coord_cert_file(&f, "/dev/null/x", "a.test", &env, NOW,
                                     error, sizeof error));
    assert_non_null(strstr(error, "/dev/null/x"));
}

static void the_old_one_stays_where_the_new_one_can_not_be_written(void **state)
{
    uint8_t a[32], b[32];
    char next[sizeof path + 8];
    (void)state;
    assert_true(cert("relay.test", NOW, a));
    (void)snprintf(next, sizeof next, "%s.next", path);
    assert_int_equal(mkdir(next, 0700), 0); /* in the way */
    assert_false(cert("relay.test", NOW + 336 * DAY, b));
    assert_int_equal(rmdir(next), 0);
    assert_true(cert("relay.test", NOW, b));
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_others_can_read_is_refused),
        T(the_old_one_stays_where_the_new_one_can_not_be_written),
        T(a_certificate_lasts_until_it_ends_soon),
        T(another_host_gets_another),
        T(one_that_is_not_valid_yet_is_replaced),
        T(a_damaged_certificate_is_left_alone),
        T(what_can_not_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
