/* Packet buffers: what moves, and what is refused. */
#include <remora/pkt.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_new_packet_is_empty_at_its_headroom(void **state)
{
    (void)state;
    uint8_t b[100];
    rmr_pkt p = rmr_pkt_of(rmr_buf_of(b, sizeof b), 30);
    assert_ptr_equal(rmr_pkt_data(&p), b + 30);
    assert_int_equal(p.len, 0);
    assert_int_equal(rmr_pkt_headroom(&p), 30);
    assert_int_equal(rmr_pkt_tailroom(&p), 70);
    p = rmr_pkt_of(rmr_buf_of(b, sizeof b), 101);
    assert_int_equal(rmr_pkt_headroom(&p), 100);
    assert_int_equal(rmr_pkt_tailroom(&p), 0);
}

static void pieces_are_added_and_taken_at_both_ends(void **state)
{
    (void)state;
    uint8_t b[100];
    rmr_pkt p = rmr_pkt_of(rmr_buf_of(b, sizeof b), 30);
    uint8_t *at = rmr_pkt_put(&p, 10);
    assert_ptr_equal(at, b + 30);
    at = rmr_pkt_put(&p, 5);
    assert_ptr_equal(at, b + 40);
    at = rmr_pkt_push(&p, 4);
    assert_ptr_equal(at, b + 26);
    assert_int_equal(rmr_pkt_bytes(&p).len, 19);
    at = rmr_pkt_pull(&p, 6);
    assert_ptr_equal(at, b + 32);
    rmr_pkt_trim(&p, 100);
    assert_int_equal(p.len, 13);
    rmr_pkt_trim(&p, 3);
    assert_int_equal(p.len, 3);
    assert_int_equal(rmr_pkt_tailroom(&p), 65);
}

static bool is_same(const rmr_pkt *a, const rmr_pkt *b)
{
    return a->base == b->base && a->cap == b->cap && a->off == b->off &&
           a->len == b->len;
}

static void what_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    uint8_t b[100];
    rmr_pkt p = rmr_pkt_of(rmr_buf_of(b, sizeof b), 30);
    assert_non_null(rmr_pkt_put(&p, 20));
    const rmr_pkt before = p;
    assert_null(rmr_pkt_push(&p, 31));
    assert_null(rmr_pkt_pull(&p, 21));
    assert_null(rmr_pkt_put(&p, 51));
    assert_null(rmr_pkt_push(&p, SIZE_MAX));
    assert_null(rmr_pkt_pull(&p, SIZE_MAX));
    assert_null(rmr_pkt_put(&p, SIZE_MAX));
    assert_true(is_same(&p, &before));
    assert_non_null(rmr_pkt_push(&p, 30));
    assert_non_null(rmr_pkt_put(&p, 50));
    assert_int_equal(p.len, 100);
    assert_non_null(rmr_pkt_pull(&p, 100));
    assert_int_equal(p.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_packet_is_empty_at_its_headroom),
        cmocka_unit_test(pieces_are_added_and_taken_at_both_ends),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
