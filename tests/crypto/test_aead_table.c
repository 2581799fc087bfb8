/* The AEAD table: the same tests for each back end that this machine runs. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <remora/crypto.h>
#include <sodium.h>

#include "stack.h"
#include "support.h"
#include "vectors.h"

#define BIG 4096
#define MAX 65535u
#define GUARD 0xe7

static rmr_aead back_ends[8];
static size_t n_back_ends;
static test_alloc memory;

static int setup(void **state)
{
    (void)state;
    rmr_alloc alloc = test_alloc_table(&memory);
    if (rmr_crypto_init())
        return -1;
    for (size_t i = 0; rmr_aead_name(i); i++) {
        rmr_aead *a = &back_ends[n_back_ends];
        rmr_err e = rmr_aead_new(a, &alloc, rmr_aead_name(i));
        printf("%s: %s\n", rmr_aead_name(i), rmr_err_name(e));
        n_back_ends += e == RMR_OK;
        if (e != RMR_OK && e != RMR_E_UNSUPPORTED)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_back_ends; i++)
        rmr_aead_wipe(&back_ends[i]);
    return memory.live_blocks != 0;
}

static void each_seals_and_opens_the_vectors(void **state)
{
    (void)state;
    static uint8_t key[32], pt[BIG], sealed[BIG], buf[BIG];
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "chacha20poly1305");
    for (size_t b = 0; b < n_back_ends; b++) {
        const rmr_aead *a = &back_ends[b];
        size_t tried = 0;
        for (size_t i = 0; i < tv_len(rows); i++) {
            tv *r = tv_at(rows, i);
            uint64_t counter = tv_u64(tv_get(r, "counter"));
            if (tv_get_hex(r, "ad", buf, sizeof buf))
                continue; /* the table has no associated data */
            tv_get_hex(r, "key", key, 32);
            size_t len = tv_get_hex(r, "plaintext", pt, BIG);
            tv_get_hex(r, "sealed", sealed, BIG);
            rmr_aead_ctx ctx;
            a->init(a->self, &ctx, key);
            memcpy(buf, pt, len);
            a->seal(a->self, &ctx, counter, buf, len);
            assert_memory_equal(buf, sealed, len + RMR_TAG_LEN);
            assert_int_equal(a->open(a->self, &ctx, counter ^ 1, buf, len),
                             RMR_E_AUTH);
            memcpy(buf, sealed, len + RMR_TAG_LEN);
            assert_int_equal(a->open(a->self, &ctx, counter, buf, len), RMR_OK);
            assert_memory_equal(buf, pt, len);
            tried++;
        }
        assert_true(tried > 5);
    }
    tv_free(root);
}

/* Seals and opens by one back end what libsodium sealed, and looks around it. */
static void agree(const rmr_aead *a, test_rng *r, size_t len, size_t offset,
                  uint64_t counter)
{
    static _Alignas(64) uint8_t text[MAX], mine[MAX + 192], theirs[MAX + 192];
    const rmr_aead *sodium = rmr_aead_default();
    uint8_t key[RMR_KEY_LEN], *buf = mine + 64 + offset;
    const size_t all = len + RMR_TAG_LEN;
    rmr_aead_ctx ctx, reference;
    rmr_rng rng = test_rng_table(r);
    assert_int_equal(rmr_rng_fill(&rng, key, sizeof key), RMR_OK);
    if (len)
        assert_int_equal(rmr_rng_fill(&rng, text, len), RMR_OK);
    memset(mine, GUARD, sizeof mine);
    memcpy(buf, text, len);
    memcpy(theirs, text, len);
    a->init(a->self, &ctx, key);
    sodium->init(sodium->self, &reference, key);
    sodium->seal(sodium->self, &reference, counter, theirs, len);
    a->seal(a->self, &ctx, counter, buf, len);
    assert_memory_equal(buf, theirs, all);
    assert_int_equal(a->open(a->self, &ctx, counter, buf, len), RMR_OK);
    assert_memory_equal(buf, text, len);
    /* The tag stays as it was, and the neighbours too. */
    assert_memory_equal(buf + len, theirs + len, RMR_TAG_LEN);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(buf[-1 - (ptrdiff_t)i], GUARD);
        assert_int_equal(buf[all + i], GUARD);
    }
    memcpy(buf, theirs, all);
    size_t at = (size_t)(test_rng_u64(r) % all);
    buf[at] ^= (uint8_t)(1u << test_rng_u64(r) % 8);
    assert_int_equal(a->open(a->self, &ctx, counter, buf, len), RMR_E_AUTH);
}

static void all_agree_on_every_length_and_alignment(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0,          1,
                                     UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                     INT64_MAX,  UINT64_MAX - 1,
                                     UINT64_MAX};
    for (size_t b = 0; b < n_back_ends; b++) {
        test_rng r;
        test_rng_seed(&r, 1);
        for (size_t len = 0; len <= BIG; len++)
            agree(&back_ends[b], &r, len, len % 61, test_rng_u64(&r));
        for (size_t i = 0; i < 64; i++) {
            agree(&back_ends[b], &r, 0, i, test_rng_u64(&r));
            agree(&back_ends[b], &r, 1420, i, test_rng_u64(&r));
            agree(&back_ends[b], &r, test_rng_u64(&r) % (MAX + 1), i,
                  test_rng_u64(&r));
        }
        agree(&back_ends[b], &r, MAX, 1, 0);
        for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
            agree(&back_ends[b], &r, 100, 3, edges[i]);
    }
}

/* Pages around the message that nobody may touch, not even to read: the code in
 * assembler is not seen by sanitizers. */
static void nothing_is_touched_around_a_message(void **state)
{
    (void)state;
    enum { PAGE = 4096, ROOM = MAX + 1 };
    uint8_t *all = (uint8_t *)mmap(NULL, PAGE + ROOM + PAGE, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true((void *)all != MAP_FAILED);
    uint8_t *low = all + PAGE, *end = low + ROOM;
    assert_int_equal(mprotect(low, ROOM, PROT_READ | PROT_WRITE), 0);
    for (size_t b = 0; b < n_back_ends; b++) {
        const rmr_aead *a = &back_ends[b];
        const uint8_t key[32] = {1};
        rmr_aead_ctx ctx;
        a->init(a->self, &ctx, key);
        for (size_t len = 0; len <= ROOM - RMR_TAG_LEN;
             len += len < 2100 ? 1 : 15855) {
            for (int at_end = 0; at_end < 2; at_end++) {
                uint8_t *buf = at_end ? end - len - RMR_TAG_LEN : low;
                memset(buf, (int)len, len);
                a->seal(a->self, &ctx, len, buf, len);
                assert_int_equal(a->open(a->self, &ctx, len, buf, len), RMR_OK);
            }
        }
    }
    munmap(all, PAGE + ROOM + PAGE);
}

static void any_changed_bit_is_refused(void **state)
{
    (void)state;
    for (size_t b = 0; b < n_back_ends; b++) {
        const rmr_aead *a = &back_ends[b];
        uint8_t key[32] = {1}, sealed[36] = {4}, c[36];
        rmr_aead_ctx ctx;
        a->init(a->self, &ctx, key);
        a->seal(a->self, &ctx, 9, sealed, 20);
        for (size_t bit = 0; bit < sizeof c * 8; bit++) {
            memcpy(c, sealed, sizeof c);
            c[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(a->open(a->self, &ctx, 9, c, 20), RMR_E_AUTH);
        }
        for (unsigned bit = 0; bit < 64; bit++) {
            memcpy(c, sealed, sizeof c);
            assert_int_equal(
                a->open(a->self, &ctx, 9 ^ (uint64_t)1 << bit, c, 20),
                RMR_E_AUTH);
        }
        for (size_t bit = 0; bit < sizeof key * 8; bit++) {
            key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            a->init(a->self, &ctx, key);
            key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            memcpy(c, sealed, sizeof c);
            assert_int_equal(a->open(a->self, &ctx, 9, c, 20), RMR_E_AUTH);
        }
        /* A message that lost its end, or has the tag of another. */
        a->init(a->self, &ctx, key);
        memcpy(c, sealed, sizeof c);
        assert_int_equal(a->open(a->self, &ctx, 9, c, 19), RMR_E_AUTH);
        memcpy(c, sealed, sizeof c);
        assert_int_equal(a->open(a->self, &ctx, 9, c, 0), RMR_E_AUTH);
    }
}

#define BATCH 300 /* more than any back end takes at once */
#define KEYS 5
#define ITEM 200

static void a_batch_has_many_keys_and_each_its_own_verdict(void **state)
{
    (void)state;
    static uint8_t bufs[BATCH][ITEM + RMR_TAG_LEN], alone[ITEM + RMR_TAG_LEN];
    static rmr_aead_item items[BATCH];
    for (size_t b = 0; b < n_back_ends; b++) {
        const rmr_aead *a = &back_ends[b];
        rmr_aead_ctx ctx[KEYS];
        for (uint8_t k = 0; k < KEYS; k++) {
            uint8_t key[32] = {k};
            a->init(a->self, &ctx[k], key);
        }
        rmr_aead_seal_n(a, items, 0);
        rmr_aead_open_n(a, items, 0);
        for (size_t i = 0; i < BATCH; i++) {
            memset(bufs[i], (int)i, ITEM);
            items[i] = (rmr_aead_item){&ctx[i % KEYS], i, bufs[i],
                                       i * 37 % (ITEM + 1), RMR_E_STATE};
        }
        rmr_aead_seal_n(a, items, BATCH);
        for (size_t i = 0; i < BATCH; i++) {
            assert_int_equal(items[i].err, RMR_OK);
            memset(alone, (int)i, ITEM);
            a->seal(a->self, &ctx[i % KEYS], i, alone, items[i].len);
            assert_memory_equal(bufs[i], alone, items[i].len + RMR_TAG_LEN);
            if (i % 7 == 0)
                bufs[i][items[i].len + i % RMR_TAG_LEN] ^= 0x10;
            items[i].err = RMR_E_STATE;
        }
        rmr_aead_open_n(a, items, BATCH);
        for (size_t i = 0; i < BATCH; i++) {
            assert_int_equal(items[i].err, i % 7 ? RMR_OK : RMR_E_AUTH);
            memset(alone, (int)i, ITEM);
            if (i % 7)
                assert_memory_equal(bufs[i], alone, items[i].len);
        }
    }
}

static void a_context_serves_every_instance_of_its_back_end(void **state)
{
    (void)state;
    rmr_alloc alloc = test_alloc_table(&memory);
    for (size_t b = 0; b < n_back_ends; b++) {
        const rmr_aead *a = &back_ends[b];
        rmr_aead other;
        rmr_aead_ctx ctx;
        uint8_t key[32] = {3}, buf[48] = {5};
        assert_int_equal(rmr_aead_new(&other, &alloc, a->name), RMR_OK);
        a->init(a->self, &ctx, key);
        a->seal(a->self, &ctx, 1, buf, 32);
        assert_int_equal(other.open(other.self, &ctx, 1, buf, 32), RMR_OK);
        rmr_aead_wipe(&other);
        assert_null(other.seal);
        rmr_aead_wipe(&other); /* a zeroed one is allowed */
    }
}

static void the_fastest_that_runs_is_chosen(void **state)
{
    (void)state;
    rmr_alloc alloc = test_alloc_table(&memory);
    rmr_aead a;
    assert_int_equal(rmr_aead_new(&a, &alloc, NULL), RMR_OK);
    assert_string_equal(a.name, back_ends[0].name);
    rmr_aead_wipe(&a);
    memset(&a, GUARD, sizeof a);
    rmr_aead before = a;
    assert_int_equal(rmr_aead_new(&a, &alloc, "nonsense"), RMR_E_UNSUPPORTED);
    assert_memory_equal(&a, &before, sizeof a);
    /* The portable one is the last, and always there. */
    assert_string_equal(back_ends[n_back_ends - 1].name,
                        rmr_aead_default()->name);
}

static void without_memory_nothing_is_made_and_nothing_is_kept(void **state)
{
    (void)state;
    for (size_t b = 0; b < n_back_ends; b++) {
        rmr_aead a;
        rmr_err e = RMR_E_NOMEM;
        for (size_t n = 1; e; n++) {
            test_alloc mem = {.fail_at = n};
            rmr_alloc alloc = test_alloc_table(&mem);
            memset(&a, GUARD, sizeof a);
            rmr_aead before = a;
            e = rmr_aead_new(&a, &alloc, back_ends[b].name);
            if (e) {
                assert_int_equal(e, RMR_E_NOMEM);
                assert_memory_equal(&a, &before, sizeof a);
            } else {
                assert_int_equal(mem.failed, 0);
                rmr_aead_wipe(&a);
            }
            assert_int_equal(mem.live_blocks, 0);
        }
    }
}

static void no_instance_holds_a_key(void **state)
{
    (void)state;
    static const uint8_t key[32] = "a key that may be nowhere later";
    for (size_t b = 0; b < n_back_ends; b++) {
        test_alloc mem = {.secret = key, .secret_len = 8};
        rmr_alloc alloc = test_alloc_table(&mem);
        rmr_aead a;
        rmr_aead_ctx ctx;
        uint8_t buf[100] = {0};
        assert_int_equal(rmr_aead_new(&a, &alloc, back_ends[b].name), RMR_OK);
        a.init(a.self, &ctx, key);
        a.seal(a.self, &ctx, 1, buf, 80);
        assert_int_equal(a.open(a.self, &ctx, 1, buf, 80), RMR_OK);
        rmr_aead_wipe(&a);
        assert_int_equal(mem.leaks, 0);
    }
}

/* ---- what stays on the stack ------------------------------------------- */

typedef struct on_stack {
    const rmr_aead *a;
    rmr_aead_ctx ctx;
    size_t len;
    bool open;
    uint8_t buf[1280 + RMR_TAG_LEN];
} on_stack;

static void seal_or_open(void *arg)
{
    on_stack *s = (on_stack *)arg;
    if (s->open)
        (void)s->a->open(s->a->self, &s->ctx, 5, s->buf, s->len);
    else
        s->a->seal(s->a->self, &s->ctx, 5, s->buf, s->len);
}

static void neither_key_nor_key_stream_stays_on_the_stack(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 1001, 1280};
    static const uint8_t key[32] = "a key that may be nowhere later";
    static const uint8_t nonce[12] = {[4] = 5}, zeros[64 + 1280];
    static uint8_t stream[sizeof zeros]; /* block 0 has the tag's key */
    static on_stack s;
    crypto_stream_chacha20_ietf_xor(stream, zeros, sizeof stream, nonce, key);
    for (size_t i = 0; i < n_back_ends * 6; i++) {
        s = (on_stack){
            .a = &back_ends[i / 6], .len = lens[i % 3], .open = i / 3 % 2 != 0};
        s.a->init(s.a->self, &s.ctx, key);
        test_on_stack(seal_or_open, &s);
        assert_false(test_stack_has(key, 16));
        assert_false(test_stack_has(key + 16, 16));
        for (size_t at = 0; at < sizeof stream; at += 64)
            assert_false(test_stack_has(stream + at, 16));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_seals_and_opens_the_vectors),
        cmocka_unit_test(all_agree_on_every_length_and_alignment),
        cmocka_unit_test(nothing_is_touched_around_a_message),
        cmocka_unit_test(any_changed_bit_is_refused),
        cmocka_unit_test(a_batch_has_many_keys_and_each_its_own_verdict),
        cmocka_unit_test(a_context_serves_every_instance_of_its_back_end),
        cmocka_unit_test(the_fastest_that_runs_is_chosen),
        cmocka_unit_test(without_memory_nothing_is_made_and_nothing_is_kept),
        cmocka_unit_test(no_instance_holds_a_key),
        cmocka_unit_test(neither_key_nor_key_stream_stays_on_the_stack),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
