/* One stack, fed and emptied packet by packet. */
#ifndef TEST_NS_FEED_H
#define TEST_NS_FEED_H

#include "ns_pkt.h"

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* From a buffer of just that size: a sanitizer sees what is read beyond. */
static inline rmr_err pkt_feed(rmr_ns *ns, rmr_time now, const uint8_t *p,
                               size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, p, n);
    rmr_err e = rmr_ns_read_pkt(ns, now, rmr_bytes_of(exact, n));
    free(exact);
    return e;
}

/* The next packet out; its length, 0: none. */
static inline size_t pkt_take(rmr_ns *ns, rmr_time now, uint8_t *out,
                              size_t size)
{
    size_t n = 0;
    assert_int_equal(rmr_ns_write_pkt(ns, now, rmr_buf_of(out, size), &n),
                     RMR_OK);
    return n;
}

/* A teardown: the stack gives back all that it took, and its world goes. */
static inline int pkt_end(void *world, rmr_ns *ns, const test_alloc *taken)
{
    rmr_ns_free(ns);
    assert_int_equal(taken->live_blocks, 0);
    free(world);
    return 0;
}

static inline rmr_ns_stats pkt_stats(const rmr_ns *ns)
{
    rmr_ns_stats s;
    rmr_ns_get_stats(ns, &s);
    return s;
}

#endif
