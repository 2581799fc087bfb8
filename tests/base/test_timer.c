/* The timer heap against a list that is searched from end to end. */
#include <remora/timer.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N 40

typedef struct model {
    rmr_time at[N];
    uint64_t order[N];
    bool armed[N];
    uint64_t next_order;
} model;

/* The armed entry that fires first, or N. */
static size_t model_first(const model *m)
{
    size_t best = N;
    for (size_t i = 0; i < N; i++) {
        if (!m->armed[i])
            continue;
        if (best == N || m->at[i] < m->at[best] ||
            (m->at[i] == m->at[best] && m->order[i] < m->order[best]))
            best = i;
    }
    return best;
}

static size_t model_count(const model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < N; i++)
        n += m->armed[i];
    return n;
}

static void step(rmr_timers *h, rmr_timer *t, model *m, test_rng *rng)
{
    size_t i = test_rng_u64(rng) % N;
    rmr_time at = test_rng_u64(rng) % 30; /* few, so that many are equal */
    size_t first;
    switch (test_rng_u64(rng) % 8) {
    case 0:
        rmr_timers_cancel(h, &t[i]);
        m->armed[i] = false;
        break;
    case 1:
        assert_int_equal(rmr_timers_set(h, &t[i], RMR_TIME_NEVER), RMR_OK);
        m->armed[i] = false;
        break;
    case 2:
    case 3:
        first = model_first(m);
        if (first < N && m->at[first] <= at) {
            assert_ptr_equal(rmr_timers_pop(h, at), &t[first]);
            m->armed[first] = false;
        } else {
            assert_null(rmr_timers_pop(h, at));
        }
        break;
    default:
        if (!m->armed[i] && model_count(m) == h->cap) {
            assert_int_equal(rmr_timers_set(h, &t[i], at), RMR_E_FULL);
        } else {
            assert_int_equal(rmr_timers_set(h, &t[i], at), RMR_OK);
            m->armed[i] = true;
            m->at[i] = at;
            m->order[i] = m->next_order++;
        }
        break;
    }
}

static void random_programs_agree_with_a_slow_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        test_alloc a = {0};
        rmr_alloc at = test_alloc_table(&a);
        test_rng rng;
        test_rng_seed(&rng, seed);
        rmr_timers h;
        rmr_timer t[N];
        model m;
        memset(t, 0, sizeof t);
        memset(&m, 0, sizeof m);
        assert_int_equal(rmr_timers_init(&h, &at, (uint32_t)(seed + 5)),
                         RMR_OK);
        for (int n = 0; n < 4000; n++) {
            if (n == 2000)
                assert_int_equal(rmr_timers_reserve(&h, N), RMR_OK);
            step(&h, t, &m, &rng);
            size_t first = model_first(&m);
            if (rmr_timers_next(&h) !=
                (first < N ? m.at[first] : RMR_TIME_NEVER))
                fail_msg("seed %u, step %d", (unsigned)seed, n);
            for (size_t i = 0; i < N; i++)
                assert_int_equal(rmr_timer_is_armed(&t[i]), m.armed[i]);
        }
        rmr_timers_wipe(&h);
        assert_int_equal(a.live_blocks, 0);
    }
}

static void equal_deadlines_fire_in_the_order_of_arming(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_timers h;
    rmr_timer t[5];
    memset(t, 0, sizeof t);
    assert_int_equal(rmr_timers_init(&h, &a, 5), RMR_OK);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rmr_timers_set(&h, &t[i], 10), RMR_OK);
    assert_int_equal(rmr_timers_set(&h, &t[1], 10), RMR_OK); /* anew: last */
    static const size_t want[5] = {0, 2, 3, 4, 1};
    for (size_t i = 0; i < 5; i++)
        assert_ptr_equal(rmr_timers_pop(&h, 10), &t[want[i]]);
    assert_null(rmr_timers_pop(&h, RMR_TIME_NEVER));
    rmr_timers_wipe(&h);
}

static void a_deadline_is_due_at_its_instant_and_not_before(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_timers h;
    rmr_timer t = {0};
    assert_int_equal(rmr_timers_init(&h, &a, 1), RMR_OK);
    assert_int_equal(rmr_timers_set(&h, &t, 10), RMR_OK);
    assert_null(rmr_timers_pop(&h, 9));
    assert_ptr_equal(rmr_timers_pop(&h, 10), &t);
    assert_false(rmr_timer_is_armed(&t));
    rmr_timers_wipe(&h);
}

static void without_memory_the_heap_stays_as_it_is(void **state)
{
    (void)state;
    test_alloc a = {.fail_at = 1};
    rmr_alloc at = test_alloc_table(&a);
    rmr_timers h;
    assert_int_equal(rmr_timers_init(&h, &at, 4), RMR_E_NOMEM);
    rmr_timers_wipe(&h); /* does no harm */
    assert_int_equal(rmr_timers_init(&h, &at, 2), RMR_OK);
    rmr_timer t[3];
    memset(t, 0, sizeof t);
    assert_int_equal(rmr_timers_set(&h, &t[0], 5), RMR_OK);
    assert_int_equal(rmr_timers_set(&h, &t[1], 4), RMR_OK);
    a.fail_at = a.calls + 1;
    assert_int_equal(rmr_timers_reserve(&h, 8), RMR_E_NOMEM);
    assert_int_equal(rmr_timers_set(&h, &t[2], 3), RMR_E_FULL);
    assert_false(rmr_timer_is_armed(&t[2]));
    assert_int_equal(rmr_timers_next(&h), 4);
    assert_int_equal(rmr_timers_reserve(&h, 8), RMR_OK);
    assert_int_equal(rmr_timers_reserve(&h, 1), RMR_OK); /* never shrinks */
    assert_int_equal(h.cap, 8);
    assert_int_equal(rmr_timers_set(&h, &t[2], 3), RMR_OK);
    assert_ptr_equal(rmr_timers_pop(&h, 100), &t[2]);
    rmr_timers_wipe(&h);
    assert_int_equal(rmr_timers_reserve(&h, UINT32_MAX), RMR_E_NOMEM);
    assert_int_equal(a.live_blocks, 0);
}

static void an_entry_of_a_wiped_heap_can_be_armed_again(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_timers h;
    rmr_timer t = {0}, u = {0};
    assert_int_equal(rmr_timers_init(&h, &a, 2), RMR_OK);
    assert_int_equal(rmr_timers_set(&h, &t, 1), RMR_OK);
    rmr_timers_wipe(&h);
    rmr_timers_cancel(&h, &t);
    assert_int_equal(rmr_timers_init(&h, &a, 2), RMR_OK);
    t.slot = 1; /* as the wipe left it */
    assert_int_equal(rmr_timers_set(&h, &u, 7), RMR_OK);
    assert_int_equal(rmr_timers_set(&h, &t, 6), RMR_OK);
    assert_ptr_equal(rmr_timers_pop(&h, 9), &t);
    assert_ptr_equal(rmr_timers_pop(&h, 9), &u);
    rmr_timers_wipe(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_agree_with_a_slow_list),
        cmocka_unit_test(equal_deadlines_fire_in_the_order_of_arming),
        cmocka_unit_test(a_deadline_is_due_at_its_instant_and_not_before),
        cmocka_unit_test(without_memory_the_heap_stays_as_it_is),
        cmocka_unit_test(an_entry_of_a_wiped_heap_can_be_armed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
