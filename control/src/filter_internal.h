/* Inside the packet filter: compiled rules, flows, parsed packets. */
#ifndef REMORA_CONTROL_FILTER_INTERNAL_H
#define REMORA_CONTROL_FILTER_INTERNAL_H

#include <remora/filter.h>
#include <remora/hash.h>

#include "vec.h"

/* Ranges are kept as bytes in network order, so that memcmp orders them:
 * lo[w] hi[w] with w = 4 or 16; a destination has first and last port (two
 * bytes each, network order) behind. */
enum { FAM4, FAM6, FAMS };
#define FILTER_WIDTH(fam) ((fam) == FAM4 ? (size_t)4 : (size_t)16)
#define FILTER_SRC_SIZE(fam) (2 * FILTER_WIDTH(fam))
#define FILTER_DST_SIZE(fam) (2 * FILTER_WIDTH(fam) + 4)

/* Most bytes of one kind of range in a rule set: a bound against a server that
 * goes wild; a million IPv4 sources fit. */
#define FILTER_MAX_BYTES ((size_t)32 << 20)

typedef struct filter_span {
    uint32_t off; /* bytes into the pool of that kind and family; of a set of
                     the index: words */
    uint32_t n;   /* elements */
    uint32_t hash; /* of a set alone */
} filter_span;

typedef struct filter_rule {
    uint32_t proto[8]; /* a bit a protocol */
    filter_span src[FAMS], dst[FAMS];
} filter_rule;

/* ---- the index of a rule set (filter_index.c) ------------------------- */

typedef struct filter_word { /* 64 lines of a set, from 64 * word on */
    uint64_t bits;
    uint32_t word;
} filter_word;

typedef struct filter_dim {
    rmri_ctl_vec at;  /* where each interval begins: uint32_t; 128 bits for
                         IPv6 */
    rmri_ctl_vec set; /* uint32_t: its set */
} filter_dim;

typedef struct filter_index {
    filter_dim src[FAMS], dst[FAMS], port;
    uint32_t proto[256], all_ports; /* sets */
    rmri_ctl_vec sets;              /* filter_span; 0 is the empty one */
    rmri_ctl_vec words;             /* filter_word */
} filter_index;

/* The rules as they were built are kept only where they have no index: where
 * they are few, or there is no memory for it. */
typedef struct filter_set {
    rmri_ctl_vec rules; /* filter_rule */
    rmri_ctl_vec src[FAMS], dst[FAMS];
    size_t n_rules;
    filter_index *index; /* NULL: none */
} filter_set;

typedef enum filter_when { /* is there an index? */
    FILTER_INDEX_MANY,     /* where it is worth it */
    FILTER_INDEX_ALL,      /* tests: always */
    FILTER_INDEX_NONE      /* tests: never */
} filter_when;

/* ---- flows ------------------------------------------------------------ */

#define FILTER_FLOWS 512 /* as the reference's LRU */
#define FILTER_KEY_LEN 38
#define FILTER_NIL UINT16_MAX

typedef struct filter_flow {
    uint8_t key[FILTER_KEY_LEN]; /* as seen inbound: proto, family, source,
                                    destination, their ports */
    uint16_t chain;              /* next in the bucket */
    uint16_t newer, older;
} filter_flow;

typedef struct filter_flows {
    rmr_alloc alloc;
    rmr_hash_key hash;
    filter_flow *flow; /* cap of them, `used` in use; the buckets behind */
    uint16_t *bucket;  /* cap, a power of two */
    uint16_t newest, oldest, used, cap;
} filter_flows;

void rmri_filter_flows_init(filter_flows *f, const rmr_alloc *alloc);
void rmri_filter_flows_free(filter_flows *f);
bool rmri_filter_flows_has(filter_flows *f, const uint8_t *key);
void rmri_filter_flows_note(filter_flows *f, const uint8_t *key);

/* ---- packets ---------------------------------------------------------- */

/* What the filter may know of a packet; addresses point into it. */
typedef struct filter_pkt {
    uint8_t fam;   /* FAM4 or FAM6 */
    uint8_t proto; /* FILTER_UNKNOWN, FILTER_FRAGMENT or the number */
    const uint8_t *src, *dst;
    uint16_t src_port, dst_port; /* 0 where the protocol has none */
    uint8_t tcp_flags;
    uint8_t icmp_type, icmp_code;
    bool icmp_whole; /* at least 8 bytes of ICMP: type and code count */
} filter_pkt;

#define FILTER_UNKNOWN 0
#define FILTER_FRAGMENT 255

/* Decodes as little as 8.2 says; an odd packet has proto FILTER_UNKNOWN. */
void rmri_filter_parse(rmr_bytes packet, filter_pkt *out);

/* What of a destination must match. */
typedef enum dst_match { DST_IP_ONLY, DST_PORT, DST_ALL_PORTS } dst_match;

/* NULL: no memory, or it would be too big. */
filter_index *rmri_filter_index_new(const filter_set *s, const rmr_alloc *a);
void rmri_filter_index_free(filter_index *x, const rmr_alloc *a);
bool rmri_filter_index_match(const filter_index *x, const filter_pkt *k,
                             dst_match how);

struct rmr_filter {
    rmr_env env;
    filter_set active;
    filter_set *build; /* NULL: none is being built, or no memory */
    bool building, in_rule;
    filter_when index_when;
    rmr_err spoilt;     /* why the build can't be committed */
    rmri_ctl_vec local; /* rmr_prefix */
    uint64_t dropped;
    filter_flows flows;
};

/* Does any rule match? */
bool rmri_filter_any_rule(const rmr_filter *f, const filter_pkt *k,
                          dst_match how);

#endif
