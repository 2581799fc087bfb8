/* What happens when: by its time, and at one time as it was made, whether it
 * was made long before or at that very instant. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/sim.h>
#include <string.h>

#define MOST 3000

typedef struct story {
    rmr_sim *sim;
    test_alloc alloc;
    test_rng dice;
    struct turn {
        struct story *story;
        rmr_time at; /* when it is to happen */
    } turns[MOST];
    uint32_t made, happened[MOST], n_happened;
} story;

static void happen(void *user, rmr_sim *s);

static void make(story *y, rmr_time at)
{
    struct turn *t = &y->turns[y->made++];
    rmr_time now = rmr_sim_now(y->sim);
    t->story = y;
    t->at = at > now ? at : now;
    assert_int_equal(rmr_sim_at(y->sim, at, happen, t), RMR_OK);
}

/* Makes up to three others: at once, for an instant that is over, or for one of
 * a few to come, so that many fall on each. */
static void happen(void *user, rmr_sim *s)
{
    struct turn *t = user;
    story *y = t->story;
    assert_int_equal(rmr_sim_now(s), t->at);
    y->happened[y->n_happened++] = (uint32_t)(t - y->turns);
    for (uint64_t n = test_rng_u64(&y->dice) % 4; n && y->made < MOST; n--) {
        rmr_time now = rmr_sim_now(s);
        switch (test_rng_u64(&y->dice) % 4) {
        case 0:
            make(y, now);
            break;
        case 1:
            make(y, now - 1);
            break;
        default:
            make(y, now + test_rng_u64(&y->dice) % 8 * RMR_MS);
            break;
        }
    }
}

static void a_happening_has_its_time_and_its_turn(void **state)
{
    static story y;
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        rmr_sim_config c;
        memset(&y, 0, sizeof y);
        test_rng_seed(&y.dice, seed);
        rmr_env env = test_env(&y.alloc, &y.dice, NULL);
        rmr_sim_config_init(&c, sizeof c);
        c.alloc = env.alloc;
        assert_int_equal(rmr_sim_new(&y.sim, &c), RMR_OK);
        for (int i = 0; i < 60; i++)
            make(&y, rmr_sim_now(y.sim) + test_rng_u64(&y.dice) % 100 * RMR_MS);
        assert_int_equal(rmr_sim_run_until(y.sim, RMR_TIME_NEVER, NULL, NULL),
                         RMR_OK);
        assert_int_equal(y.n_happened, y.made);
        for (uint32_t i = 1; i < y.n_happened; i++) {
            uint32_t a = y.happened[i - 1], b = y.happened[i];
            assert_true(y.turns[a].at < y.turns[b].at ||
                        (y.turns[a].at == y.turns[b].at && a < b));
        }
        rmr_sim_free(y.sim);
        assert_int_equal(y.alloc.live_blocks, 0);
    }
}

static void what_did_not_happen_leaves_nothing_behind(void **state)
{
    static story y;
    rmr_sim_config c;
    (void)state;
    memset(&y, 0, sizeof y);
    rmr_env env = test_env(&y.alloc, &y.dice, NULL);
    rmr_sim_config_init(&c, sizeof c);
    c.alloc = env.alloc;
    assert_int_equal(rmr_sim_new(&y.sim, &c), RMR_OK);
    for (int i = 0; i < 200; i++)
        make(&y, rmr_sim_now(y.sim) + (uint64_t)(i % 2) * RMR_SEC);
    rmr_sim_free(y.sim);
    assert_int_equal(y.alloc.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_happening_has_its_time_and_its_turn),
        cmocka_unit_test(what_did_not_happen_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
