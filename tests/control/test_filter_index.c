/* The packet filter: its index against its rules, and ranges of addresses. */
#include <remora/cursor.h>
#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filter_fixture.h"
#include "filter_internal.h"

/* ---- the index -------------------------------------------------------- */

static unsigned pick(test_rng *r, unsigned n)
{
    return (unsigned)(test_rng_u64(r) % n);
}

/* Few values, at the ends of the space too, so that ranges meet. */
static void random_ip(test_rng *r, bool v4, uint8_t out[16])
{
    memset(out, 0, 16);
    uint8_t low = (uint8_t)pick(r, 20), high = pick(r, 2) ? 0 : 0xff;
    out[v4 ? 3 : 15] = high ? (uint8_t)(0xff - low) : low;
    for (size_t i = 0; high && i < (v4 ? 3u : 15u); i++)
        out[i] = high;
}

static void random_range(test_rng *r, rmr_ip_range *out)
{
    bool v4 = pick(r, 2);
    memset(out, 0, sizeof *out);
    out->family = v4 ? RMR_AF_INET : RMR_AF_INET6;
    random_ip(r, v4, out->first);
    random_ip(r, v4, out->last);
    if (memcmp(out->first, out->last, 16) > 0) {
        uint8_t t[16];
        memcpy(t, out->first, 16);
        memcpy(out->first, out->last, 16);
        memcpy(out->last, t, 16);
    }
    if (pick(r, 2))
        memcpy(out->last, out->first, 16);
}

static const uint8_t some_protos[] = {6, 17, 1, 58, 132, 47, 0, 254};

static void random_rule(test_rng *r, rmr_filter *const f[2])
{
    static const uint16_t ends[] = {0, 1, 5, 6, 7, 22, 65534, 65535};
    rmr_ip_range range;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rmr_filter_rule_begin(f[i]), RMR_OK);
    for (unsigned n = pick(r, 5); n > 0; n--) {
        random_range(r, &range);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(rmr_filter_rule_src(f[i], &range), RMR_OK);
    }
    for (unsigned n = pick(r, 4); n > 0; n--) {
        uint8_t proto = some_protos[pick(r, sizeof some_protos)];
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(rmr_filter_rule_proto(f[i], proto), RMR_OK);
    }
    for (unsigned n = pick(r, 14); n > 0; n--) {
        bool all = pick(r, 3) == 0;
        uint16_t first = all ? 0 : ends[pick(r, 8)];
        uint16_t last = all ? 65535 : ends[pick(r, 8)];
        random_range(r, &range);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(rmr_filter_rule_dst(f[i], &range, first, last),
                             RMR_OK);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rmr_filter_rule_end(f[i]), RMR_OK);
}

static filter_pkt random_pkt(test_rng *r, uint8_t src[16], uint8_t dst[16])
{
    filter_pkt k = {0};
    bool v4 = pick(r, 2);
    k.fam = v4 ? FAM4 : FAM6;
    random_ip(r, v4, src);
    random_ip(r, v4, dst);
    k.src = src;
    k.dst = dst;
    k.proto = some_protos[pick(r, sizeof some_protos)];
    k.dst_port = (uint16_t)(pick(r, 2) ? pick(r, 8) : 65535 - pick(r, 3));
    return k;
}

/* Two filters of no local addresses, one with an index, one that walks. */
static void two_filters(test_alloc *a, rmr_filter *f[2])
{
    rmr_env env = test_env(a, NULL, NULL);
    for (size_t i = 0; i < 2; i++) {
        f[i] = NULL;
        assert_int_equal(rmr_filter_new(&f[i], &env), RMR_OK);
        rmr_filter_begin(f[i]);
    }
    f[0]->index_when = FILTER_INDEX_ALL;
    f[1]->index_when = FILTER_INDEX_NONE;
}

static void commit_both(rmr_filter *const f[2])
{
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rmr_filter_commit(f[i]), RMR_OK);
    assert_int_equal(rmr_filter_rule_count(f[0]), rmr_filter_rule_count(f[1]));
    assert_null(f[1]->active.index);
}

static size_t compare_both(test_rng *r, rmr_filter *const f[2], int packets)
{
    size_t matches = 0;
    for (int i = 0; i < packets; i++) {
        uint8_t src[16], dst[16];
        filter_pkt k = random_pkt(r, src, dst);
        dst_match how = (dst_match)pick(r, 3);
        bool a = rmri_filter_any_rule(f[0], &k, how);
        bool b = rmri_filter_any_rule(f[1], &k, how);
        if (a != b)
            fail_msg("the index says %d, the rules say %d", a, b);
        matches += a;
    }
    return matches;
}

static void the_index_agrees_with_the_rules(void **state)
{
    (void)state;
    size_t matches = 0, packets = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        test_alloc a = {0};
        test_rng r;
        rmr_filter *f[2];
        test_rng_seed(&r, seed);
        two_filters(&a, f);
        for (unsigned n = pick(&r, seed % 10 == 0 ? 300 : 12); n > 0; n--)
            random_rule(&r, f);
        commit_both(f);
        assert_non_null(f[0]->active.index);
        matches += compare_both(&r, f, 400);
        packets += 400;
        rmr_filter_free(f[0]);
        rmr_filter_free(f[1]);
        assert_int_equal(a.live_blocks, 0);
    }
    assert_in_range(matches, packets / 20, packets - packets / 20);
}

/* Each rule's source lies within the next one's: the sets would be as many as
 * the rules, and each as long. */
static void rules_that_overlap_too_much_are_walked(void **state)
{
    (void)state;
    test_alloc a = {0};
    test_rng r;
    rmr_filter *f[2];
    test_rng_seed(&r, 3);
    two_filters(&a, f);
    for (uint32_t n = 0; n < 16384; n++) {
        rmr_ip_range src = {.family = RMR_AF_INET}, dst = src;
        rmr_store_be32(src.last, n + 1);
        rmr_store_be32(dst.first, n % 20);
        rmr_store_be32(dst.last, n % 20);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(rmr_filter_rule_begin(f[i]), RMR_OK);
            assert_int_equal(rmr_filter_rule_src(f[i], &src), RMR_OK);
            assert_int_equal(rmr_filter_rule_proto(f[i], 6), RMR_OK);
            assert_int_equal(rmr_filter_rule_dst(f[i], &dst, 5, 6), RMR_OK);
            assert_int_equal(rmr_filter_rule_end(f[i]), RMR_OK);
        }
    }
    commit_both(f);
    assert_null(f[0]->active.index);
    (void)compare_both(&r, f, 200);
    rmr_filter_free(f[0]);
    rmr_filter_free(f[1]);
    assert_int_equal(a.live_blocks, 0);
}

/* A rule, and `dsts` addresses that it lets in. */
static void add_plain_rule(rmr_filter *f, uint32_t dsts)
{
    rmr_ip_range r = {.family = RMR_AF_INET};
    assert_int_equal(rmr_filter_rule_begin(f), RMR_OK);
    rmr_store_be32(r.first, 7);
    rmr_store_be32(r.last, 7);
    assert_int_equal(rmr_filter_rule_src(f, &r), RMR_OK);
    assert_int_equal(rmr_filter_rule_proto(f, 6), RMR_OK);
    for (uint32_t i = 0; i < dsts; i++) {
        rmr_store_be32(r.first, 2 * i);
        rmr_store_be32(r.last, 2 * i);
        assert_int_equal(rmr_filter_rule_dst(f, &r, 1, 1), RMR_OK);
    }
    assert_int_equal(rmr_filter_rule_end(f), RMR_OK);
}

static bool is_indexed(rmr_filter *f, int n, uint32_t dsts)
{
    rmr_filter_begin(f);
    for (int i = 0; i < n; i++)
        add_plain_rule(f, dsts);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(f->active.src[FAM4].len > 0, f->active.index == NULL);
    return f->active.index != NULL;
}

static void a_few_rules_are_walked(void **state)
{
    (void)state;
    rmr_filter *f = ff_filter(NULL);
    assert_false(is_indexed(f, 1, 1));
    assert_false(is_indexed(f, 4, 4));
    assert_true(is_indexed(f, 5, 1));
    assert_true(is_indexed(f, 1, 17));
    assert_true(is_indexed(f, 4, 5));
    assert_false(is_indexed(f, 1, 16));
    rmr_filter_free(f);
}

/* Without memory for the index the rules hold all the same. */
static void without_memory_for_the_index_the_rules_hold(void **state)
{
    (void)state;
    bool done = false, walked = false;
    for (size_t n = 1; !done; n++) {
        test_alloc a = {0};
        test_rng r;
        rmr_filter *f[2];
        test_rng_seed(&r, 5);
        two_filters(&a, f);
        for (int i = 0; i < 6; i++)
            random_rule(&r, f);
        a.fail_at = a.calls + n;
        commit_both(f);
        done = !a.failed;
        walked = walked || !f[0]->active.index;
        a.fail_at = 0;
        (void)compare_both(&r, f, 200);
        rmr_filter_free(f[0]);
        rmr_filter_free(f[1]);
        assert_int_equal(a.live_blocks, 0);
    }
    assert_true(walked);
}

/* ---- ranges ----------------------------------------------------------- */

static void ranges_parse_as_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *text, *first, *last;
    } good[] = {
        {"1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"10.0.0.0/8", "10.0.0.0", "10.255.255.255"},
        {"10.64.0.0/10", "10.64.0.0", "10.127.255.255"},
        {"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
        {"100.64.0.1-100.64.0.9", "100.64.0.1", "100.64.0.9"},
        {"1.1.1.1-1.1.1.1", "1.1.1.1", "1.1.1.1"},
        {"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"fd7a::/17", "fd7a::", "fd7a:7fff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"fd7a::1-fd7a::ff", "fd7a::1", "fd7a::ff"},
    };
    static const char *const bad[] = {"",
                                      "-",
                                      "x",
                                      "1.2.3",
                                      "1.2.3.4/33",
                                      "10.0.0.1/8",
                                      "fd7a::1/16",
                                      "1.1.1.2-1.1.1.1",
                                      "1.1.1.1-fd7a::1",
                                      "1.1.1.1-",
                                      "-1.1.1.1",
                                      "**",
                                      "1.1.1.1-1.1.1.2-1.1.1.3",
                                      "fe80::1%1-fe80::2%1",
                                      "1.1.1.1/8-2.0.0.0",
                                      "10.128.0.0/8"};
    rmr_ip_range r[2];
    size_t n;
    rmr_addr a;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(good[i].text), r, &n),
                         RMR_OK);
        assert_int_equal(n, 1);
        rmr_addr_parse_ip(rmr_bytes_str(good[i].first), &a);
        assert_int_equal(a.family, r[0].family);
        assert_memory_equal(a.ip, r[0].first, 16);
        rmr_addr_parse_ip(rmr_bytes_str(good[i].last), &a);
        assert_memory_equal(a.ip, r[0].last, 16);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(bad[i]), r, &n),
                         RMR_E_MALFORMED);
    assert_int_equal(rmr_ip_range_parse(rmr_bytes_str("*"), r, &n), RMR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(r[0].family, RMR_AF_INET);
    assert_int_equal(r[1].family, RMR_AF_INET6);
}

/* Many random ranges in one rule against a slow look at each. */
static void merged_sources_agree_with_the_single_ones(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 3);
    for (int round = 0; round < 60; round++) {
        rmr_filter *f = ff_filter(NULL);
        rmr_ip_range r[40], any[2];
        size_t n, count = 1 + test_rng_u64(&rng) % 40;
        rmr_ip_range_parse(rmr_bytes_str("*"), any, &n);
        rmr_filter_begin(f);
        rmr_filter_rule_begin(f);
        for (size_t i = 0; i < count; i++) {
            uint8_t lo = (uint8_t)test_rng_u64(&rng);
            uint8_t len = (uint8_t)(test_rng_u64(&rng) % 6);
            uint8_t hi = lo > 255 - len ? 255 : (uint8_t)(lo + len);
            memset(&r[i], 0, sizeof r[i]);
            r[i].family = RMR_AF_INET;
            memcpy(r[i].first, (uint8_t[4]){100, 64, 3, lo}, 4);
            memcpy(r[i].last, (uint8_t[4]){100, 64, 3, hi}, 4);
            assert_int_equal(rmr_filter_rule_src(f, &r[i]), RMR_OK);
        }
        rmr_filter_rule_proto(f, 17);
        rmr_filter_rule_dst(f, &any[0], 0, 65535);
        rmr_filter_rule_end(f);
        assert_int_equal(rmr_filter_commit(f), RMR_OK);
        for (unsigned x = 0; x < 256; x++) {
            uint8_t buf[512];
            char src[20];
            bool want = false;
            (void)snprintf(src, sizeof src, "100.64.3.%u", x);
            for (size_t i = 0; i < count; i++)
                want = want || (r[i].first[3] <= x && x <= r[i].last[3]);
            ff_packet p = {src, "100.64.0.5", 17, 1, 2, 0, 0, 0, 0, 0};
            size_t len = ff_make(buf, &p);
            assert_int_equal(
                rmr_filter_check_in(f, rmr_bytes_of(buf, len), false), want);
        }
        rmr_filter_free(f);
    }
}

static void ranges_up_to_the_last_address_merge(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = ff_filter(NULL);
    static const ff_rule u = {
        {"255.255.255.255", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.0/24"},
        {17},
        {"*"},
        0,
        65535};
    f->index_when = FILTER_INDEX_NONE; /* looked at as they were built */
    rmr_filter_begin(f);
    ff_add(f, &u);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(f->active.src[FAM4].len, 8);
    ff_packet p = {"255.255.255.255", "100.64.0.5", 17, 1, 2, 0, 0, 0, 0, 0};
    assert_true(
        rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &p)), false));
    rmr_filter_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_agrees_with_the_rules),
        cmocka_unit_test(rules_that_overlap_too_much_are_walked),
        cmocka_unit_test(a_few_rules_are_walked),
        cmocka_unit_test(without_memory_for_the_index_the_rules_hold),
        cmocka_unit_test(ranges_parse_as_they_should),
        cmocka_unit_test(merged_sources_agree_with_the_single_ones),
        cmocka_unit_test(ranges_up_to_the_last_address_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
