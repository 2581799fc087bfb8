/* A process that changes a server's state, commits, and says so in a pipe, is
 * killed at any moment.  What it said is there, and what it said no more of is
 * there whole or not at all; the next process goes on from that.
 *   test_store-sqlite_killed [--times N] [--seed N]
 * And one that is cut at each call that changes a file, from the making of the
 * database to its close: by SIGKILL, and as by a loss of power. */
#include "dying_vfs.h"
#include "scene.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned times = 30;
static uint64_t seed = 1;
static scene w;

/* The n-th group of changes between two commits. */
static void change_group(rmr_coord *c, test_rng *chance)
{
    for (uint64_t n = 1 + test_rng_u64(chance) % 6; n > 0; n--)
        bare_change(c, chance);
}

static void chance_of(test_rng *r, unsigned life)
{
    test_rng_seed(r, seed * 100003 + life);
}

static void child(unsigned life, int pipe_end)
{
    test_rng chance;
    chance_of(&chance, life);
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    for (uint32_t done = 1;; done++) {
        change_group(c, &chance);
        if (rmr_coord_commit(c) != RMR_OK ||
            write(pipe_end, &done, sizeof done) != sizeof done)
            _exit(1);
    }
}

/* The state of the file in a server that stores nothing. */
static rmr_coord *model(void)
{
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    c->store.table.load = NULL;
    scene_close(&w);
    return c;
}

/* What a server finds in the file, the integrity of which is checked. */
static char *found(void)
{
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    char *text = memory_text(c);
    rmr_coord_free(c);
    scene_close(&w);
    return text;
}

/* How many groups it said were committed. */
static uint32_t run_and_kill(unsigned life, test_rng *fate)
{
    int ends[2], status;
    uint32_t done = 0, said;
    uint64_t until = test_rng_u64(fate) % 25;
    struct timespec pause_ = {0, (long)(test_rng_u64(fate) % 3000) * 1000};
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        child(life, ends[1]);
    }
    (void)close(ends[1]);
    while (done < until && read(ends[0], &said, sizeof said) == sizeof said)
        done = said;
    (void)nanosleep(&pause_, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (read(ends[0], &said, sizeof said) == sizeof said)
        done = said; /* what it said before it died */
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return done;
}

static void nothing_that_was_acknowledged_is_lost(void **s)
{
    test_rng fate;
    uint64_t groups = 0, later = 0;
    (void)s;
    scene_begin(&w);
    test_rng_seed(&fate, seed);
    for (unsigned life = 0; life < times; life++) {
        test_rng chance;
        rmr_coord *c = model();
        uint32_t done = run_and_kill(life, &fate);
        chance_of(&chance, life);
        for (uint32_t i = 0; i < done; i++)
            change_group(c, &chance);
        char *said = memory_text(c);
        change_group(c, &chance);
        char *next = memory_text(c);
        rmr_coord_free(c);
        char *is = found();
        if (strcmp(is, said) != 0) {
            later++;
            if (strcmp(is, next) != 0)
                fail_msg("seed %llu, life %u, after %u groups: there is\n%s\n"
                         "and not\n%s\nnor\n%s",
                         (unsigned long long)seed, life, done, is, said, next);
        }
        groups += done;
        free(said);
        free(next);
        free(is);
    }
    print_message("%u lives, %llu commits acknowledged; %llu times one more "
                  "was there\n",
                  times, (unsigned long long)groups, (unsigned long long)later);
    assert_true(groups > times);
    scene_end(&w);
}

/* ---- cut at each call ---------------------------------------------------- */

#define GROUPS 3

/* From no file to an orderly end. */
static void short_life(unsigned cut, dying_how how, int pipe_end)
{
    test_rng chance;
    chance_of(&chance, 0);
    dying_begin(cut, how);
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    for (uint32_t done = 1; done <= GROUPS; done++) {
        change_group(c, &chance);
        if (rmr_coord_commit(c) != RMR_OK ||
            write(pipe_end, &done, sizeof done) != sizeof done)
            _exit(1);
    }
    rmr_coord_free(c);
    scene_close(&w);
    _exit(0);
}

/* True: it came to its end, there was no such call. */
static bool run_cut(unsigned cut, dying_how how, uint32_t *done)
{
    int ends[2], status;
    uint32_t said;
    *done = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        short_life(cut, how, ends[1]);
    }
    (void)close(ends[1]);
    while (read(ends[0], &said, sizeof said) == sizeof said)
        *done = said;
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return !WIFSIGNALED(status);
}

static void any_call_may_be_the_last(void **s)
{
    char *after[GROUPS + 2];
    test_rng chance;
    unsigned cuts = 0;
    (void)s;
    scene_begin(&w);
    rmr_coord *c = model();
    chance_of(&chance, 0);
    for (int i = 0; i < GROUPS + 2; i++) {
        after[i] = memory_text(c);
        change_group(c, &chance);
    }
    rmr_coord_free(c);
    for (dying_how how = DYING_BEFORE; how < DYING_HOWS; how++) {
        bool ended = false;
        for (unsigned cut = 1; !ended; cut++) {
            uint32_t done;
            (void)unlink(w.path);
            (void)unlink(w.log);
            ended = run_cut(cut, how, &done);
            char *is = found();
            if (strcmp(is, after[done]) != 0 &&
                strcmp(is, after[done + 1]) != 0)
                fail_msg("cut %u of kind %d, after %u groups: there is\n%s",
                         cut, (int)how, done, is);
            free(is);
            cuts++;
        }
    }
    print_message("%u lives\n", cuts);
    assert_true(cuts > 100);
    for (int i = 0; i < GROUPS + 2; i++)
        free(after[i]);
    scene_end(&w);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--times") == 0)
            times = (unsigned)n;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = n;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_was_acknowledged_is_lost),
        cmocka_unit_test(any_call_may_be_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
