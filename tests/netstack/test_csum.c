/* Checksums against a slow model, and known sums. */
#include <ns_internal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

static uint16_t slow(const uint8_t *p, size_t n)
{
    uint32_t acc = 0;
    for (size_t i = 0; i < n; i++)
        acc += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
    while (acc >> 16)
        acc = (acc & 0xffff) + (acc >> 16);
    return (uint16_t)~acc;
}

static uint16_t stored(uint64_t acc)
{
    uint8_t b[2];
    rmri_ns_sum_store(b, acc);
    return rmr_load_be16(b);
}

static void the_example_of_rfc_1071_comes_out(void **state)
{
    (void)state;
    static const uint8_t b[8] = {0x00, 0x01, 0xf2, 0x03,
                                 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(stored(rmri_ns_sum(0, b, 8)), (uint16_t)~0xddf2);
}

static void every_length_and_offset_agrees_with_the_model(void **state)
{
    (void)state;
    uint8_t b[400], copy[400];
    test_rng rng;
    test_rng_seed(&rng, 5);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < sizeof b; i++)
            b[i] = round == 0   ? 0xff
                   : round == 1 ? 0
                                : (uint8_t)test_rng_u64(&rng);
        for (size_t off = 0; off < 9; off++) {
            for (size_t n = 0; n + off <= 300; n++) {
                uint16_t want = slow(b + off, n);
                assert_int_equal(stored(rmri_ns_sum(0, b + off, n)), want);
                memset(copy, 0x77, sizeof copy);
                uint64_t acc = rmri_ns_sum_copy(0, copy + 1, b + off, n);
                assert_int_equal(stored(acc), want);
                assert_memory_equal(copy + 1, b + off, n);
                assert_int_equal(copy[1 + n], 0x77);
            }
        }
    }
}

static void pieces_of_any_length_add_up(void **state)
{
    (void)state;
    uint8_t b[64 * 1024];
    test_rng rng;
    test_rng_seed(&rng, 6);
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (uint8_t)test_rng_u64(&rng);
    for (int round = 0; round < 300; round++) {
        size_t at = 0, total = test_rng_u64(&rng) % sizeof b;
        uint64_t acc = 0;
        while (at < total) {
            size_t n = 1 + test_rng_u64(&rng) % (total - at);
            uint64_t s = rmri_ns_sum(0, b + at, n);
            acc = ns_sum_add(acc, at & 1 ? rmri_ns_sum_swap(s) : s);
            at += n;
        }
        assert_int_equal(stored(acc), slow(b, total));
    }
}

static void the_pseudo_header_counts_as_if_it_were_there(void **state)
{
    (void)state;
    uint8_t v4[12] = {10, 1, 2, 3, 192, 168, 9, 8, 0, 17, 0x12, 0x34};
    uint8_t v6[40] = {0xfd, 1, 2, 3, [15] = 7, [16] = 0xfe, [31] = 9};
    ns_ip a = {{10, 1, 2, 3}}, b = {{192, 168, 9, 8}};
    assert_int_equal(stored(rmri_ns_sum_pseudo(4, &a, &b, 17, 0x1234)),
                     slow(v4, sizeof v4));
    memcpy(a.b, v6, 16);
    memcpy(b.b, v6 + 16, 16);
    rmr_store_be32(v6 + 32, 0x5678);
    v6[39] = 58;
    assert_int_equal(stored(rmri_ns_sum_pseudo(6, &a, &b, 58, 0x5678)),
                     slow(v6, sizeof v6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_1071_comes_out),
        cmocka_unit_test(every_length_and_offset_agrees_with_the_model),
        cmocka_unit_test(pieces_of_any_length_add_up),
        cmocka_unit_test(the_pseudo_header_counts_as_if_it_were_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
