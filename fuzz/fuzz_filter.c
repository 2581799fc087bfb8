/*
 * The packet filter on any rules and packets.  Input: a first byte for options,
 * range texts up to a zero byte, then packets with a length byte each.
 * Checked: no packet opens a connection to a jailed filter that the open one
 * refused; a filter without local addresses lets nothing but fragments and
 * keep-alives in; the flow table stays whole; the index says what the rules say
 * when they are walked.
 */
#include <remora/filter.h>

#include <stdlib.h>
#include <string.h>

#include "filter_internal.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static size_t add_texts(rmr_filter *f, const uint8_t *p, size_t n)
{
    size_t at = 0;
    while (at < n && p[at]) {
        rmr_ip_range r[2];
        size_t len = 0, k = 0;
        while (at + len < n && p[at + len] && p[at + len] != '\n')
            len++;
        if (rmr_ip_range_parse(rmr_bytes_of(p + at, len), r, &k) == RMR_OK) {
            check(k == 1 || k == 2);
            check(memcmp(r[0].first, r[0].last, 16) <= 0);
            check(rmr_filter_rule_begin(f) == RMR_OK);
            for (size_t i = 0; i < k; i++) {
                check(rmr_filter_rule_src(f, &r[i]) == RMR_OK);
                check(rmr_filter_rule_dst(f, &r[i], (uint16_t)(10 * len),
                                          65535) == RMR_OK);
            }
            check(rmr_filter_rule_proto(f, (uint8_t)(len % 20)) == RMR_OK);
            check(rmr_filter_rule_end(f) == RMR_OK);
        }
        at += len;
        if (at < n && p[at] == '\n')
            at++;
    }
    return at < n ? at + 1 : n;
}

static void check_flows(const filter_flows *f)
{
    size_t n = 0, chained = 0;
    uint16_t last = FILTER_NIL;
    for (uint16_t i = f->newest; i != FILTER_NIL; i = f->flow[i].older) {
        check(f->flow[i].newer == last && n++ < FILTER_FLOWS);
        last = i;
    }
    check(f->oldest == last && n == f->used);
    for (size_t b = 0; b < f->cap; b++) {
        for (uint16_t i = f->bucket[b]; i != FILTER_NIL; i = f->flow[i].chain)
            check(chained++ < FILTER_FLOWS);
    }
    check(chained == n);
}

static void check_index(const rmr_filter *f, const rmr_filter *slow,
                        const filter_pkt *k)
{
    if (k->proto == FILTER_UNKNOWN || k->proto == FILTER_FRAGMENT)
        return;
    for (int how = DST_IP_ONLY; how <= DST_ALL_PORTS; how++)
        check(rmri_filter_any_rule(f, k, (dst_match)how) ==
              rmri_filter_any_rule(slow, k, (dst_match)how));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_filter *f, *none, *slow;
    rmr_prefix all[2] = {{.family = RMR_AF_INET}, {.family = RMR_AF_INET6}};
    if (size < 1)
        return 0;
    check(rmr_filter_new(&f, &env) == RMR_OK);
    check(rmr_filter_new(&none, &env) == RMR_OK);
    check(rmr_filter_new(&slow, &env) == RMR_OK);
    check(rmr_filter_set_local(f, all, 2) == RMR_OK);
    f->index_when = FILTER_INDEX_ALL;
    rmr_filter_begin(f);
    size_t at = 1 + add_texts(f, data + 1, size - 1);
    check(rmr_filter_commit(f) == RMR_OK);
    slow->index_when = FILTER_INDEX_NONE;
    rmr_filter_begin(slow);
    check(1 + add_texts(slow, data + 1, size - 1) == at);
    check(rmr_filter_commit(slow) == RMR_OK);
    while (at < size) {
        size_t n = data[at++];
        if (n > size - at)
            n = size - at;
        rmr_bytes pkt = rmr_bytes_of(data + at, n);
        at += n;
        filter_pkt k;
        rmri_filter_parse(pkt, &k);
        check_index(f, slow, &k);
        bool in = rmr_filter_check_in(f, pkt, false);
        bool jailed = rmr_filter_check_in(f, pkt, true);
        check(!jailed || in);
        if (rmr_filter_check_in(none, pkt, false))
            check(n == 0 || k.proto == FILTER_FRAGMENT);
        if (data[0] & 1)
            rmr_filter_note_out(f, pkt);
    }
    check_flows(&f->flows);
    rmr_filter_free(f);
    rmr_filter_free(none);
    rmr_filter_free(slow);
    return 0;
}
