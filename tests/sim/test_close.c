/* A node is freed, or asked to stop, after each step of a whole join and a
 * transfer: all its memory comes back, and it ends in time.  Each try is made by
 * a child process, from the state in which its parent is. */
#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES 20000

typedef int (*attempt)(pair *p);

/* world_free aborts when a block is left. */
static int freed(pair *p)
{
    world_node_stop(p->a);
    world_free(&p->w);
    return 0;
}

static int stopped(pair *p)
{
    rmr_err result = RMR_E_IO;
    if (rmr_sim_request_stop(p->w.sim, p->a->program) != RMR_OK)
        return 1;
    world_run(&p->w, 2 * RMR_SEC + RMR_MS);
    if (rmr_sim_is_running(p->w.sim, p->a->program, &result) ||
        result != RMR_OK || p->a->had_failed)
        return 2;
    world_free(&p->w);
    return 0;
}

static void try(pair *p, attempt how)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(how(p));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* \param every  A stop is tried at each so many steps; a free at each. */
static void closed_at_each_step(unsigned every)
{
    pair p = {.has_ipv6 = false};
    rmr_sim_gate_config g[2];
    unsigned steps = 0;
    bool has_dialled = false, happened = true;
    pair_easy(g);
    pair_init(&p, 1, g);
    while (p.b->got < BYTES) {
        assert_true(happened);
        if (rmr_sim_now(p.w.sim) >= 4 * RMR_SEC && !has_dialled) {
            has_dialled = true;
            world_dial(p.a, p.b);
            world_send(p.a, BYTES);
        }
        assert_int_equal(
            rmr_sim_step(p.w.sim, 60 * RMR_SEC + RMR_SEC, &happened), RMR_OK);
        steps++;
        try(&p, freed);
        if (steps % every == 0)
            try(&p, stopped);
    }
    assert_true(steps > 100);
    world_free(&p.w);
}

static void a_node_can_be_closed_at_any_moment(void **state)
{
    (void)state;
    closed_at_each_step(5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_can_be_closed_at_any_moment),
    };
    return cmocka_run_group_tests_name("close", tests, NULL, NULL);
}
