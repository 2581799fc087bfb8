/* What tests and fuzz targets share. */
#ifndef REMORA_TEST_SUPPORT_H
#define REMORA_TEST_SUPPORT_H

#include <remora/base.h>

/* An allocator over malloc that counts, can fail the n-th call, fills new
 * memory with 0xa5, and at the end can tell whether all was given back. */
typedef struct test_alloc {
    size_t live_bytes, live_blocks, peak_bytes;
    size_t calls;
    size_t fail_at; /* fail the call with this number, from 1; 0: never */
    bool fail_after; /* and every later one */
    size_t failed;
    /* When set: freed memory is searched for these bytes first, and `leaks`
     * counts the finds (a secret that was not wiped). */
    const uint8_t *secret;
    size_t secret_len, leaks;
} test_alloc;

/* A seeded xoshiro generator; prints nothing, fails at call fail_at. */
typedef struct test_rng {
    uint64_t s[4];
    size_t calls, fail_at;
} test_rng;

/* Keeps all log lines, bounded, for searching. */
typedef struct test_log {
    char text[64 * 1024];
    size_t len;
} test_log;

rmr_alloc test_alloc_table(test_alloc *a);
void test_rng_seed(test_rng *r, uint64_t seed);
rmr_rng test_rng_table(test_rng *r);
uint64_t test_rng_u64(test_rng *r);
rmr_log test_log_table(test_log *l, rmr_log_level max);
bool test_log_has(const test_log *l, const char *needle);

/* All three in one; any may be NULL (malloc, seed 1, no log). */
rmr_env test_env(test_alloc *a, test_rng *r, test_log *l);

/* Hex to bytes; aborts on bad hex (a broken vector is a broken test). */
size_t test_unhex(uint8_t *dst, size_t cap, const char *hex);

#endif
