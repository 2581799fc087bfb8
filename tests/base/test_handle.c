/* Slots and their handles: a stale handle is refused, always. */
#include <remora/handle.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct item {
    uint64_t a;
    uint8_t b[20];
} item;

static void a_handle_finds_its_item_until_it_is_freed(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_slots s;
    uint64_t h1 = 0, h2 = 0;
    assert_int_equal(rmr_slots_init(&s, &a, sizeof(item), 10), RMR_OK);
    item *x = rmr_slots_new(&s, &h1);
    assert_non_null(x);
    assert_true(h1 != 0);
    assert_ptr_equal(rmr_slots_get(&s, h1), x);
    rmr_slots_free(&s, h1);
    assert_null(rmr_slots_get(&s, h1));
    rmr_slots_free(&s, h1); /* stale: nothing */
    item *y = rmr_slots_new(&s, &h2);
    assert_ptr_equal(y, x); /* the same slot ... */
    assert_true(h1 != h2);  /* ... by another name */
    assert_null(rmr_slots_get(&s, h1));
    rmr_slots_free(&s, h1);
    assert_ptr_equal(rmr_slots_get(&s, h2), y);
    assert_int_equal(s.used, 1);
    rmr_slots_wipe(&s);
}

static void handles_that_were_never_given_are_refused(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_slots s;
    uint64_t h = 0;
    assert_int_equal(rmr_slots_init(&s, &a, 1, 1000), RMR_OK);
    assert_null(rmr_slots_get(&s, 0));
    assert_null(rmr_slots_get(&s, (uint64_t)1 << 32 | 1));
    assert_non_null(rmr_slots_new(&s, &h));
    assert_null(rmr_slots_get(&s, 0));
    assert_null(rmr_slots_get(&s, h + 1)); /* made, not used */
    assert_null(rmr_slots_get(&s, h + 500));
    assert_null(rmr_slots_get(&s, h | 0xffffffff));
    assert_null(rmr_slots_get(&s, h & 0xffffffff));
    assert_null(rmr_slots_get(&s, h & ~(uint64_t)0xffffffff));
    assert_null(rmr_slots_get(&s, h + ((uint64_t)1 << 32)));
    assert_null(rmr_slots_get(&s, UINT64_MAX));
    rmr_slots_wipe(&s);
}

static void a_generation_that_comes_round_never_gives_handle_zero(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_slots s;
    uint64_t h = 0;
    assert_int_equal(rmr_slots_init(&s, &a, sizeof(uint64_t), 1), RMR_OK);
    assert_non_null(rmr_slots_new(&s, &h));
    /* The generation is the first word of the slot (src/handle.c). */
    uint32_t last = UINT32_MAX;
    memcpy(s.chunks[0], &last, sizeof last);
    h = (uint64_t)last << 32 | 1;
    assert_non_null(rmr_slots_get(&s, h));
    rmr_slots_free(&s, h);
    assert_non_null(rmr_slots_new(&s, &h));
    assert_true(h == ((uint64_t)1 << 32 | 1));
    rmr_slots_wipe(&s);
}

#define N 300

/* Items of this size must be found intact at the place they were given. */
static void run_model(size_t size, uint32_t max, uint64_t seed)
{
    test_alloc a = {0};
    rmr_alloc at = test_alloc_table(&a);
    test_rng rng;
    test_rng_seed(&rng, seed);
    rmr_slots s;
    uint64_t handle[N];
    uint8_t *place[N];
    bool used[N];
    uint64_t stale[N];
    uint32_t n_used = 0;
    size_t n_stale = 0;
    memset(used, 0, sizeof used);
    assert_int_equal(rmr_slots_init(&s, &at, size, max), RMR_OK);
    for (int n = 0; n < 5000; n++) {
        size_t i = test_rng_u64(&rng) % N;
        if (used[i]) {
            assert_ptr_equal(rmr_slots_get(&s, handle[i]), place[i]);
            assert_int_equal(place[i][0], (uint8_t)i);
            assert_int_equal(place[i][size - 1], (uint8_t)i);
            rmr_slots_free(&s, handle[i]);
            stale[n_stale++ % N] = handle[i];
            used[i] = false;
            n_used--;
        } else {
            place[i] = rmr_slots_new(&s, &handle[i]);
            if (n_used == max) {
                assert_null(place[i]);
                continue;
            }
            assert_non_null(place[i]);
            assert_int_equal((uintptr_t)place[i] % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(place[i][k], 0);
            memset(place[i], (int)(i & 0xff), size);
            used[i] = true;
            n_used++;
        }
        assert_int_equal(s.used, n_used);
        if (n_stale) {
            size_t k = test_rng_u64(&rng) % (n_stale < N ? n_stale : N);
            assert_null(rmr_slots_get(&s, stale[k]));
        }
    }
    uint32_t pos = 0, seen = 0;
    uint64_t h, last = 0;
    for (void *p; (p = rmr_slots_next(&s, &pos, &h)) != NULL; seen++) {
        assert_ptr_equal(rmr_slots_get(&s, h), p);
        assert_true((h & 0xffffffff) > last); /* in index order */
        last = h & 0xffffffff;
        rmr_slots_free(&s, h);
    }
    assert_int_equal(seen, n_used);
    assert_int_equal(s.used, 0);
    rmr_slots_wipe(&s);
    assert_int_equal(a.live_blocks, 0);
}

static void random_programs_agree_with_a_list(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 16, 24, 100, 1000, 5000};
    static const uint32_t maxes[] = {1, 3, 64, 65, 100, 290, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < sizeof maxes / sizeof maxes[0]; k++)
            run_model(sizes[i], maxes[k], i * 100 + k);
    }
}

static void freed_items_are_wiped(void **state)
{
    (void)state;
    static const uint8_t secret[16] = "0123456789abcdef";
    test_alloc a = {.secret = secret, .secret_len = 16};
    rmr_alloc at = test_alloc_table(&a);
    rmr_slots s;
    uint64_t h1 = 0, h2 = 0;
    assert_int_equal(rmr_slots_init(&s, &at, sizeof(item), 4), RMR_OK);
    item *x = rmr_slots_new(&s, &h1), *y = rmr_slots_new(&s, &h2);
    assert_non_null(x);
    assert_non_null(y);
    memcpy(x->b, secret, 16);
    memcpy(y->b, secret, 16);
    rmr_slots_free(&s, h1);
    assert_int_equal(x->b[0], 0);
    rmr_slots_wipe(&s); /* while y is in use */
    assert_int_equal(a.leaks, 0);
    assert_int_equal(a.live_blocks, 0);
}

static void at_each_failed_allocation_the_table_stays_usable(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        test_alloc a = {.fail_at = n};
        rmr_alloc at = test_alloc_table(&a);
        rmr_slots s;
        uint64_t h = 0;
        uint32_t made = 0;
        assert_int_equal(rmr_slots_init(&s, &at, 500, 100), RMR_OK);
        for (int i = 0; i < 100; i++)
            made += rmr_slots_new(&s, &h) != NULL;
        assert_int_equal(made, s.used);
        while (made < 100) {
            assert_non_null(rmr_slots_new(&s, &h));
            made++;
        }
        assert_null(rmr_slots_new(&s, &h)); /* all in use */
        rmr_slots_wipe(&s);
        assert_int_equal(a.live_blocks, 0);
        if (a.failed == 0) {
            assert_true(n > 10);
            break;
        }
    }
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    rmr_alloc a = test_alloc_table(NULL);
    rmr_slots s;
    uint64_t h;
    assert_int_equal(rmr_slots_init(&s, &a, 0, 1), RMR_E_INVAL);
    assert_int_equal(rmr_slots_init(&s, &a, SIZE_MAX, 1), RMR_E_INVAL);
    assert_int_equal(rmr_slots_init(&s, &a, 8, 0), RMR_OK);
    assert_null(rmr_slots_new(&s, &h));
    rmr_slots_wipe(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_finds_its_item_until_it_is_freed),
        cmocka_unit_test(handles_that_were_never_given_are_refused),
        cmocka_unit_test(a_generation_that_comes_round_never_gives_handle_zero),
        cmocka_unit_test(random_programs_agree_with_a_list),
        cmocka_unit_test(freed_items_are_wiped),
        cmocka_unit_test(at_each_failed_allocation_the_table_stays_usable),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
