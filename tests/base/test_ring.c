/* The byte queue against a flat array. */
#include <remora/ring.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What is queued, in a row: bytes from[0]...[to - 1]. */
typedef struct model {
    uint8_t b[1 << 20];
    size_t from, to;
} model;

static uint8_t next_byte; /* what is written counts on, so order shows */

static void check(const rmr_ring *r, const model *m)
{
    size_t len = m->to - m->from;
    assert_int_equal(r->len, len);
    assert_int_equal(rmr_ring_space(r), r->max - len);
    assert_true(r->cap <= r->max);
    rmr_bytes front = rmr_ring_peek(r);
    assert_true(front.len <= len);
    assert_int_equal(front.len == 0, len == 0);
    if (front.len)
        assert_memory_equal(front.ptr, m->b + m->from, front.len);
}

static void model_add(model *m, const uint8_t *p, size_t n)
{
    assert_true(m->to + n <= sizeof m->b);
    if (n)
        memcpy(m->b + m->to, p, n);
    m->to += n;
}

static void write_some(rmr_ring *r, model *m, size_t n, bool all, bool memory)
{
    uint8_t in[1500];
    for (size_t i = 0; i < n; i++)
        in[i] = next_byte++;
    size_t space = rmr_ring_space(r);
    if (all) {
        rmr_err err = rmr_ring_write_all(r, rmr_bytes_of(in, n));
        if (n > space)
            assert_int_equal(err, RMR_E_FULL);
        else if (memory)
            assert_int_equal(err, RMR_OK);
        if (!err)
            model_add(m, in, n);
        return;
    }
    size_t took = rmr_ring_write(r, rmr_bytes_of(in, n));
    assert_true(took <= n && took <= space);
    if (memory)
        assert_int_equal(took, n < space ? n : space);
    model_add(m, in, took);
}

static void fill_reserved(rmr_ring *r, model *m, size_t want, bool memory)
{
    size_t space = rmr_ring_space(r);
    rmr_buf b = rmr_ring_reserve(r, want);
    assert_true(b.len <= want && b.len <= space);
    if (memory && want && space)
        assert_true(b.len > 0);
    for (size_t i = 0; i < b.len; i++)
        b.ptr[i] = next_byte++;
    size_t n = b.len ? b.len - b.len / 3 : 0; /* not all of it */
    model_add(m, b.ptr, n);
    rmr_ring_commit(r, n);
}

static void read_some(rmr_ring *r, model *m, size_t n, bool copy)
{
    uint8_t out[1500];
    size_t len = m->to - m->from;
    size_t take = n < len ? n : len;
    if (copy) {
        assert_int_equal(rmr_ring_read(r, out, n), take);
        if (take)
            assert_memory_equal(out, m->b + m->from, take);
    } else {
        rmr_ring_consume(r, n);
    }
    m->from += take;
}

static void run_model(uint64_t seed, size_t max, bool failing)
{
    static model m;
    test_alloc a = {0};
    rmr_alloc at = test_alloc_table(&a);
    test_rng rng;
    test_rng_seed(&rng, seed);
    rmr_ring r;
    memset(&m, 0, sizeof m);
    rmr_ring_init(&r, &at, max);
    for (int step = 0; step < 1500; step++) {
        size_t n = test_rng_u64(&rng) % (step % 100 < 50 ? 40 : 1500);
        bool fail = failing && test_rng_u64(&rng) % 2;
        a.fail_at = fail ? a.calls + 1 : 0;
        switch (test_rng_u64(&rng) % 7) {
        case 0:
            write_some(&r, &m, n, false, !fail);
            break;
        case 1:
            write_some(&r, &m, n, true, !fail);
            break;
        case 2:
            fill_reserved(&r, &m, n, !fail);
            break;
        case 3:
            rmr_ring_shrink(&r);
            assert_true(r.len > 0 || r.cap == 0);
            break;
        default:
            read_some(&r, &m, n, n % 2);
            break;
        }
        check(&r, &m);
    }
    rmr_ring_wipe(&r);
    assert_int_equal(a.live_blocks, 0);
    assert_true(a.peak_bytes <= 2 * max);
}

static void random_programs_agree_with_an_array(void **state)
{
    (void)state;
    static const size_t maxes[] = {0, 1, 7, 256, 300, 1000, 5000, 70000};
    for (size_t i = 0; i < sizeof maxes / sizeof maxes[0]; i++) {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            run_model(seed, maxes[i], false);
            run_model(seed, maxes[i], true);
        }
    }
}

static void memory_is_taken_with_the_first_byte_and_given_back(void **state)
{
    (void)state;
    test_alloc a = {0};
    rmr_alloc at = test_alloc_table(&a);
    rmr_ring r;
    rmr_ring_init(&r, &at, 100000);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_of(NULL, 0)), 0);
    assert_int_equal(rmr_ring_write_all(&r, rmr_bytes_of(NULL, 0)), RMR_OK);
    assert_int_equal(rmr_ring_reserve(&r, 0).len, 0);
    assert_int_equal(a.calls, 0);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_str("x")), 1);
    assert_true(a.live_bytes <= 256);
    rmr_ring_shrink(&r);
    assert_int_equal(a.live_blocks, 1); /* not empty */
    rmr_ring_consume(&r, 1);
    rmr_ring_shrink(&r);
    assert_int_equal(a.live_blocks, 0);
}

static void an_empty_ring_offers_all_its_room_in_one_piece(void **state)
{
    (void)state;
    rmr_alloc at = test_alloc_table(NULL);
    rmr_ring r;
    uint8_t b[300] = {0};
    rmr_ring_init(&r, &at, 300);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_of(b, 300)), 300);
    rmr_ring_consume(&r, 200);
    assert_int_equal(rmr_ring_reserve(&r, 300).len, 200);
    rmr_ring_consume(&r, 100);
    assert_int_equal(rmr_ring_reserve(&r, 400).len, 300);
    rmr_ring_wipe(&r);
}

static void a_commit_beyond_the_room_is_cut(void **state)
{
    (void)state;
    rmr_alloc at = test_alloc_table(NULL);
    rmr_ring r;
    rmr_ring_init(&r, &at, 10);
    assert_int_equal(rmr_ring_reserve(&r, 4).len, 4);
    rmr_ring_commit(&r, 3);
    rmr_ring_commit(&r, 1000);
    assert_int_equal(r.len, 10);
    rmr_ring_wipe(&r);
    rmr_ring_commit(&r, 1);
    assert_int_equal(r.len, 0);
}

static void queued_bytes_are_wiped_when_the_ring_grows_or_ends(void **state)
{
    (void)state;
    static const uint8_t secret[] = "attack at dawn";
    test_alloc a = {.secret = secret, .secret_len = sizeof secret - 1};
    rmr_alloc at = test_alloc_table(&a);
    rmr_ring r;
    uint8_t b[1000] = {0};
    rmr_ring_init(&r, &at, 10000);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_of(secret, 14)), 14);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_of(b, 1000)), 1000);
    rmr_ring_consume(&r, 1014);
    rmr_ring_shrink(&r);
    assert_int_equal(rmr_ring_write(&r, rmr_bytes_of(secret, 14)), 14);
    rmr_ring_wipe(&r);
    assert_int_equal(a.leaks, 0);
    assert_int_equal(a.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_agree_with_an_array),
        cmocka_unit_test(memory_is_taken_with_the_first_byte_and_given_back),
        cmocka_unit_test(an_empty_ring_offers_all_its_room_in_one_piece),
        cmocka_unit_test(a_commit_beyond_the_room_is_cut),
        cmocka_unit_test(queued_bytes_are_wiped_when_the_ring_grows_or_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
