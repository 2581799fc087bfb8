/* Pre-auth keys by their text and id, against a plain list. */
#include "crd_rig.h"

#include "crd_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 300, STEPS = 1200 };

typedef struct known {
    char text[RMR_COORD_KEY_TEXT];
    uint64_t id, user; /* id 0: it was removed */
} known;

static struct {
    rig r;
    uint64_t users[3]; /* 0: it was removed */
    known keys[KEYS];
    size_t n;
    test_rng rng;
} w;

static void compare(void)
{
    rmr_coord_key k = {.id = 0};
    const rmr_coord *c = w.r.coord;
    for (size_t i = 0; i < w.n; i++) {
        const known *x = &w.keys[i];
        const crd_key *found = rmri_crd_key_of(c, rmr_bytes_str(x->text));
        if (!x->id) {
            assert_null(found);
            continue;
        }
        assert_non_null(found);
        assert_int_equal(found->id, x->id);
        assert_ptr_equal(rmri_crd_key(c, x->id), found);
        assert_int_equal(rmr_coord_key_next(c, k.id, &k), RMR_OK);
        assert_int_equal(k.id, x->id);
        assert_int_equal(k.user, x->user);
    }
    assert_int_equal(rmr_coord_key_next(c, k.id, &k), RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_key_next(c, UINT64_MAX, &k), RMR_E_NOTFOUND);
}

static void add(void)
{
    uint64_t user = w.users[test_rng_u64(&w.rng) % 3];
    rmr_coord_key_wish wish = {.user = user};
    known *x = &w.keys[w.n];
    if (w.n == KEYS || !user)
        return;
    x->user = user;
    assert_int_equal(rmr_coord_key_add(w.r.coord, &wish, x->text, &x->id),
                     RMR_OK);
    w.n++;
}

static void take_away(void)
{
    known *x = &w.keys[test_rng_u64(&w.rng) % (w.n ? w.n : 1)];
    if (!w.n)
        return;
    assert_int_equal(rmr_coord_key_remove(w.r.coord, x->id),
                     x->id ? RMR_OK : RMR_E_NOTFOUND);
    x->id = 0;
}

static void drop_user(int u)
{
    assert_int_equal(rmr_coord_user_remove(w.r.coord, w.users[u]), RMR_OK);
    for (size_t i = 0; i < w.n; i++) {
        if (w.keys[i].user == w.users[u])
            w.keys[i].id = 0;
    }
    w.users[u] = 0;
}

static void start(uint64_t seed)
{
    static const char *const names[] = {"a", "b", "c"};
    rmr_coord_config cfg;
    rig_config(&cfg);
    memset(&w, 0, sizeof w);
    rig_init(&w.r, &cfg);
    test_rng_seed(&w.rng, seed);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmr_coord_user_add(w.r.coord, names[i], &w.users[i]),
                         RMR_OK);
}

static void each_is_found_while_it_is_there(void **state)
{
    (void)state;
    start(4);
    for (int i = 0; i < STEPS; i++) {
        if (test_rng_u64(&w.rng) % 4)
            add();
        else
            take_away();
        if (i == STEPS / 2)
            drop_user(1);
        if (i % 7 == 0)
            compare();
    }
    assert_int_equal(w.n, KEYS);
    compare();
    rig_free(&w.r);
}

static void without_memory_there_is_none(void **state)
{
    int refused = 0;
    (void)state;
    start(5);
    for (int i = 0; i < 40; i++) {
        size_t before = w.n;
        for (size_t n = 1; w.n == before; n++) {
            known *x = &w.keys[w.n];
            rmr_coord_key_wish wish = {.user = w.users[0]};
            w.r.heap.fail_at = w.r.heap.calls + n;
            rmr_err e = rmr_coord_key_add(w.r.coord, &wish, x->text, &x->id);
            w.r.heap.fail_at = 0;
            x->user = w.users[0];
            w.n += e == RMR_OK;
            refused += e == RMR_E_NOMEM;
            compare();
        }
    }
    assert_true(refused > 40); /* the table grows at times */
    rig_free(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_while_it_is_there),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
