/* Packets and rules for tests of the packet filter. */
#ifndef REMORA_TEST_FILTER_FIXTURE_H
#define REMORA_TEST_FILTER_FIXTURE_H

#include <remora/filter.h>

#include "support.h"

typedef struct ff_packet {
    const char *src, *dst;
    uint8_t proto;
    uint16_t sport, dport;
    uint8_t flags;      /* TCP flags, or ICMP type */
    uint16_t frag;      /* flags and offset in blocks */
    uint16_t payload;   /* bytes behind the transport header */
    uint16_t cut;       /* bytes removed at the end, lengths as they were */
    uint16_t transport; /* bytes of transport header, 0: all */
} ff_packet;

/* That packet; its length. */
size_t ff_make(uint8_t *out, const ff_packet *s);

typedef struct ff_rule {
    const char *src[4];
    uint8_t proto[5]; /* none: the four defaults */
    const char *dst[3];
    uint16_t first, last;
} ff_rule;

/* Between rmr_filter_begin and _commit. */
void ff_add(rmr_filter *f, const ff_rule *u);
/* A filter of some rules, for 100.64.0.5, fd7a::5, and addresses beside. */
rmr_filter *ff_filter(test_alloc *a);

#endif
