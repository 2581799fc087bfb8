/* The server, killed while it works.  Two run side by side: one has a database
 * and dies by SIGKILL at a chosen call that changes the disk (or loses what was
 * not synced, as with the power), or between two requests; the other forgets
 * all and lives.  A client asks both for the same changes, over REST and
 * TS2021, one at a time, while nodes hold map streams and send updates.  What
 * the first says after each start is what the second says: without the last
 * change, if that was not acknowledged and no map stream had shown it.
 *   killed [--times N] [--seed N] [--remora PATH]
 * With a command it is `remora coordinator serve` which dies, some time after a
 * request was sent to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "dying_vfs.h"
#include "killed_ops.h"
#include "wire_client.h"

static unsigned times = 20;
static uint64_t seed = 1;

static side twin, victim;
static wire_state was,
    is;              /* of the twin: in front of the last change, and now */
static bool pending; /* the victim has not acknowledged it */
static op last;
static int said; /* by the twin */
static wire_node watcher;
static unsigned number, acknowledged, later, killed_between, stillborn;

static const char *remora;

typedef struct fate {
    unsigned cut; /* at that call; 0: between requests */
    dying_how how;
    unsigned requests;
    long pause_ns; /* of the command: behind the last one's sending */
} fate;

static unsigned until; /* so many requests; 0: no end is near */
static long pause_ns;

static void one_was_sent(void)
{
    struct timespec t = {0, pause_ns};
    if (until == 0 || --until > 0)
        return;
    (void)nanosleep(&t, NULL);
    (void)kill(victim.server.pid, SIGKILL);
}

static void choose(void *user)
{
    const fate *f = user;
    if (f->cut)
        dying_begin(f->cut, f->how);
}

/* ---- the scene ----------------------------------------------------------- */

static char home[40];

static void set_up_side(side *s, const char *name, bool forgets)
{
    static char dirs[2][64];
    char *dir = dirs[forgets];
    (void)snprintf(dir, sizeof dirs[0], "%s/%s", home, name);
    assert_int_equal(mkdir(dir, 0700), 0);
    s->server.dir = dir;
    s->server.forgets = forgets;
    int n = snprintf(s->socket, sizeof s->socket, "%s/s", dir);
    assert_in_range(n, 1, sizeof s->socket - 1);
}

static void set_up(void)
{
    (void)snprintf(home, sizeof home, "/tmp/remora-killed-XXXXXX");
    assert_non_null(mkdtemp(home));
    set_up_side(&twin, "twin", true);
    set_up_side(&victim, "victim", false);
    victim.server.remora = remora;
    assert_true(wire_server_start(&twin.server));
    assert_true(wire_state_get(&is, twin.socket));
    assert_true(wire_state_get(&was, twin.socket));
}

static void tear_down(void)
{
    static const char *const files[] = {"victim/db",
                                        "victim/db-wal",
                                        "victim/db-shm",
                                        "victim/s",
                                        "victim/coordinator.yaml",
                                        "victim/log",
                                        "victim/noise_private.key",
                                        "twin/s"};
    char path[96];
    wire_server_kill(&twin.server);
    wire_state_free(&was);
    wire_state_free(&is);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", home, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(victim.server.dir), 0);
    assert_int_equal(rmdir(twin.server.dir), 0);
    assert_int_equal(rmdir(home), 0);
}

/* ---- what was found ------------------------------------------------------ */

static bool shown(void)
{
    if (!watcher.seen)
        return false;
    wire_hear(&watcher, 0);
    return last.mark[0] && strstr(watcher.seen, last.mark);
}

/* From some lines in front of the first that differs. */
static void tell_difference(const char *what, const char *has,
                            const char *should)
{
    size_t at = 0, lines = 0;
    while (has[at] && has[at] == should[at])
        at++;
    while (at > 0 && lines < 16)
        lines += has[--at] == '\n';
    (void)fprintf(stderr, "%s:%.1500s\n--- it has:%.1500s\n", what, should + at,
                  has + at);
}

/* The victim runs again: what does it know?  False: it died meanwhile. */
static bool look(unsigned life)
{
    wire_state found;
    bool was_shown = pending && shown();
    if (!wire_state_get(&found, victim.socket))
        return false;
    bool has = strcmp(found.text, is.text) == 0;
    bool lacks = pending && strcmp(found.text, was.text) == 0;
    if (!has && (!lacks || was_shown)) {
        tell_difference("what it should have", found.text, is.text);
        tell_difference("... without the last change", found.text, was.text);
        fail_msg("seed %llu, life %u, change %u of kind %d (%s, %s)",
                 (unsigned long long)seed, life, number, (int)last.kind,
                 pending ? "not acknowledged" : "acknowledged",
                 was_shown ? "shown" : "not shown");
    }
    wire_state_free(&found);
    if (has && pending)
        later++;
    if (has)
        pending = false;
    return true;
}

/* ---- load ---------------------------------------------------------------- */

/* A node, which is no part of what is compared: it joins with a key that both
 * know, once; then it watches. */
static void watch(void)
{
    static const char map[] =
        "{\"Version\":138,\"NodeKey\":\"nodekey:"
        "00000000000000000000000000000000000000000000000000000000000000fe\","
        "\"Stream\":true}";
    wire_part(&watcher);
    if (wire_join(&watcher, victim.server.port, 251))
        (void)wire_map(&watcher, map);
}

static void chatter(void)
{
    char body[256];
    (void)snprintf(
        body, sizeof body,
        "{\"Version\":138,\"NodeKey\":\"nodekey:"
        "00000000000000000000000000000000000000000000000000000000000000fe\","
        "\"Endpoints\":[\"192.0.2.1:%u\"],\"Hostinfo\":{\"Hostname\":\"w\","
        "\"OS\":\"os%u\",\"NetInfo\":{\"PreferredDERP\":%u}}}",
        1000 + number % 1000, number % 7, 1 + number % 9);
    if (watcher.h2)
        wire_say(&watcher, "/machine/map", body);
}

/* The last change, where the victim has not got it.  False: it died. */
static bool change_victim(void)
{
    wire_sent = one_was_sent;
    int status = op_do(&last, &victim);
    wire_sent = NULL;
    if (status == 0)
        return false;
    if (status != said)
        fail_msg("change %u of kind %d: one says %d, the other %d", number - 1,
                 (int)last.kind, said, status);
    pending = false;
    acknowledged++;
    return true;
}

static void change_twin(test_rng *r)
{
    op_make(&last, r, &is, &twin, &victim, number++);
    said = op_do(&last, &twin);
    assert_int_not_equal(said, 0);
    wire_state_free(&was);
    was = is;
    assert_true(wire_state_get(&is, twin.socket));
    pending = true;
}

static void live(const fate *f, unsigned life, test_rng *r)
{
    if (!look(life) || (pending && !change_victim()))
        return;
    watch();
    until = remora ? 1 + f->requests : 0;
    pause_ns = f->pause_ns;
    for (unsigned n = 0; remora || f->cut || n < f->requests; n++) {
        chatter();
        change_twin(r);
        if (!change_victim())
            return;
    }
}

static void nothing_acknowledged_is_lost(void **s)
{
    test_rng r;
    (void)s;
    set_up();
    test_rng_seed(&r, seed);
    for (unsigned life = 0; life < times; life++) {
        uint64_t bits = test_rng_u64(&r);
        fate f = {0, (dying_how)((bits >> 4) % DYING_HOWS),
                  (unsigned)(bits >> 16) % 20, 0};
        f.pause_ns = (long)((bits >> 40) % 3000) * 1000;
        until = 0;
        if (bits % 8 && !remora)
            f.cut = 1 + (unsigned)(bits >> 32) % (bits & 8 ? 40 : 400);
        victim.server.begin = choose;
        victim.server.user = &f;
        if (wire_server_start(&victim.server))
            live(&f, life, &r);
        else
            stillborn++;
        killed_between += !f.cut && !remora;
        wire_server_kill(&victim.server);
    }
    victim.server.begin = NULL;
    assert_true(wire_server_start(&victim.server));
    assert_true(look(times));
    wire_server_stop(&victim.server);
    wire_part(&watcher);
    print_message("%u lives (%u ended between requests, %u before the first), "
                  "%u changes acknowledged; %u times one more was there\n",
                  times, killed_between, stillborn, acknowledged, later);
    assert_true(acknowledged > times);
    tear_down();
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--times") == 0)
            times = (unsigned)n;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = n;
        else if (strcmp(argv[i], "--remora") == 0)
            remora = argv[i + 1];
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
