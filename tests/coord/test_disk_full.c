/* A disk that is full, as the clients of a server see it: changes are refused
 * and told so, what there is goes on, and when there is room again all works
 * and nothing is lost.  The process may write so many bytes to a file
 * (RLIMIT_FSIZE), or SQLite may (max_bytes): neither needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire_client.h"
#include "wire_server.h"
#include "wire_state.h"

#include <signal.h>

#define FULL_AT (160 * 1024) /* the database */
#define LOG_AT (1024 * 1024) /* its log, in front of it */
#define KEY "nodekey:" SIXTY "0001"
#define SIXTY "000000000000000000000000000000000000000000000000000000000000"

static char home[40], endpoint[64];
static wire_server server;
static wire_node node;

static void set_up(void)
{
    (void)snprintf(home, sizeof home, "/tmp/remora-full-XXXXXX");
    assert_non_null(mkdtemp(home));
    (void)snprintf(endpoint, sizeof endpoint, "%s/s", home);
    memset(&server, 0, sizeof server);
    server.dir = home;
}

static void tear_down(void)
{
    static const char *const files[] = {"db", "db-wal", "db-shm", "s"};
    char path[96];
    wire_server_kill(&server);
    wire_part(&node);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", home, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(home), 0);
}

/* ---- what clients do ----------------------------------------------------- */

static int add_user(unsigned i, const char **answer)
{
    char body[300];
    (void)snprintf(body, sizeof body, "{\"name\":\"%.200s%u\"}",
                   "user-with-a-long-name-user-with-a-long-name-user-with-a-"
                   "long-name-user-with-a-long-name-user-with-a-long-name-",
                   i);
    return wire_rest(endpoint, "POST", "/api/v1/user", body, answer);
}

static void auth_key(char out[96])
{
    const char *answer;
    assert_int_equal(wire_rest(endpoint, "POST", "/api/v1/preauthkey",
                               "{\"user\":\"1\",\"reusable\":true,"
                               "\"expiration\":\"2099-01-01T00:00:00Z\"}",
                               &answer),
                     200);
    json_t *all = json_loads(answer, 0, NULL);
    (void)snprintf(out, 96, "%s",
                   json_string_value(json_object_get(
                       json_object_get(all, "preAuthKey"), "key")));
    json_decref(all);
}

static int join(wire_node *n, uint8_t machine, const char *key)
{
    char body[512];
    assert_true(wire_join(n, server.port, machine));
    (void)snprintf(body, sizeof body,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY
                   "%04x\",\"Auth\":{\"AuthKey\":\"%s\"},\"Hostinfo\":{"
                   "\"Hostname\":\"h%u\"}}",
                   machine, key, machine);
    return wire_ask(n, "/machine/register", body);
}

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* ---- full ---------------------------------------------------------------- */

/* Changes until one is refused; how many were taken. */
static unsigned fill(void)
{
    for (unsigned i = 0; i < 5000; i++) {
        const char *answer;
        int status = add_user(i, &answer);
        if (status == 503) {
            assert_non_null(strstr(answer, "the change is not stored yet"));
            return i;
        }
        assert_int_equal(status, 200);
    }
    fail_msg("it is never full");
    return 0;
}

static void goes_on_without_changes(const char *key)
{
    wire_state now;
    wire_node late;
    const char *answer;
    /* Reads, and who is in. */
    assert_true(wire_state_get(&now, endpoint));
    wire_state_free(&now);
    assert_int_equal(wire_rest(endpoint, "GET", "/api/v1/health", "", NULL),
                     200);
    size_t heard = node.seen_len;
    assert_int_equal(wire_ask(&node, "/machine/map",
                              "{\"Version\":138,\"NodeKey\":\"" KEY
                              "\",\"Endpoints\":[\"192.0.2.1:1\"]}"),
                     200);
    wire_hear(&node, 0);
    assert_true(node.seen_len >= heard && !node.stream_over && node.fd >= 0);
    /* Changes of each kind: told so, and not done. */
    assert_int_equal(
        wire_rest(endpoint, "POST", "/api/v1/node/1/rename/x", "", &answer),
        503);
    assert_non_null(strstr(answer, "nothing can be changed now"));
    assert_int_equal(wire_rest(endpoint, "POST", "/api/v1/preauthkey",
                               "{\"user\":\"1\"}", NULL),
                     503);
    assert_int_equal(join(&late, 2, key), 503);
    assert_non_null(strstr(late.body, "can't store"));
    wire_part(&late);
}

static void works_again(const char *key, unsigned users)
{
    wire_state before, after;
    wire_node late;
    int status = 503;
    for (int i = 0; i < 100 && status == 503; i++) { /* it tries each second */
        wait_ms(100);
        status = add_user(100000, NULL);
    }
    assert_int_equal(status, 200);
    assert_int_equal(join(&late, 2, key), 200);
    assert_non_null(strstr(late.body, "\"MachineAuthorized\":true"));
    wire_part(&late);
    assert_true(wire_state_get(&before, endpoint));
    assert_true(json_array_size(before.users) >= users + 2);
    assert_int_equal(json_array_size(before.nodes), 2);
    wire_server_kill(&server);
    assert_true(wire_server_start(&server));
    assert_true(wire_state_get(&after, endpoint));
    assert_string_equal(after.text, before.text);
    wire_state_free(&before);
    wire_state_free(&after);
}

static unsigned until_full(char key[96])
{
    assert_true(wire_server_start(&server));
    assert_int_equal(add_user(99999, NULL), 200);
    auth_key(key);
    assert_int_equal(join(&node, 1, key), 200);
    assert_true(wire_map(&node, "{\"Version\":138,\"NodeKey\":\"" KEY
                                "\",\"Stream\":true}"));
    unsigned taken = fill();
    goes_on_without_changes(key);
    return taken;
}

#ifdef __linux__ /* another process's limit */
static void limit(void *user)
{
    struct rlimit r = {LOG_AT, RLIM_INFINITY};
    (void)user;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &r) != 0)
        _exit(9);
}

static void a_full_disk_gets_room_again(void **s)
{
    static const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    char key[96];
    (void)s;
    set_up();
    server.begin = limit;
    unsigned taken = until_full(key);
    assert_true(taken > 20);
    assert_int_equal(prlimit(server.pid, RLIMIT_FSIZE, &none, NULL), 0);
    server.begin = NULL;
    works_again(key, taken);
    tear_down();
}
#endif

static void a_full_database_goes_on_in_a_larger_one(void **s)
{
    wire_state before, after;
    char key[96];
    (void)s;
    set_up();
    server.max_bytes = FULL_AT;
    unsigned taken = until_full(key);
    /* What was refused is not there; the one change that met the end first may
     * be, as it waited for room. */
    assert_true(wire_state_get(&before, endpoint));
    assert_in_range(json_array_size(before.users), taken + 1, taken + 2);
    wire_server_kill(&server);
    server.max_bytes = 0;
    assert_true(wire_server_start(&server));
    assert_true(wire_state_get(&after, endpoint));
    assert_in_range(json_array_size(after.users), taken + 1, taken + 2);
    wire_state_free(&before);
    wire_state_free(&after);
    works_again(key, taken);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(a_full_disk_gets_room_again),
#endif
        cmocka_unit_test(a_full_database_goes_on_in_a_larger_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
