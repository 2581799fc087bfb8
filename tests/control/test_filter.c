/* The packet filter: (rules, packet, verdict) by table, and its parts. */
#include <remora/cursor.h>
#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filter_internal.h"
#include "support.h"

/* ---- packets ---------------------------------------------------------- */

typedef struct spec {
    const char *src, *dst;
    uint8_t proto;
    uint16_t sport, dport;
    uint8_t flags;      /* TCP flags, or ICMP type */
    uint16_t frag;      /* flags and offset in blocks */
    uint16_t payload;   /* bytes behind the transport header */
    uint16_t cut;       /* bytes removed at the end, lengths as they were */
    uint16_t transport; /* bytes of transport header, 0: all */
} spec;

static size_t make(uint8_t *out, const spec *s)
{
    rmr_addr src, dst;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(s->src), &src), RMR_OK);
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(s->dst), &dst), RMR_OK);
    assert_int_equal(src.family, dst.family);
    bool v4 = src.family == RMR_AF_INET;
    size_t head = v4 ? 20 : 40;
    size_t trans = s->proto == 6 ? 20 : s->proto == 132 ? 12 : 8;
    if (s->transport)
        trans = s->transport;
    size_t len = head + trans + s->payload;
    memset(out, 0, len + 64);
    uint8_t *t = out + head;
    if (v4) {
        out[0] = 0x45;
        rmr_store_be16(out + 2, (uint16_t)len);
        rmr_store_be16(out + 6, s->frag);
        out[9] = s->proto;
        memcpy(out + 12, src.ip, 4);
        memcpy(out + 16, dst.ip, 4);
    } else {
        out[0] = 0x60;
        rmr_store_be16(out + 4, (uint16_t)(len - 40));
        out[6] = s->proto;
        memcpy(out + 8, src.ip, 16);
        memcpy(out + 24, dst.ip, 16);
    }
    if (s->proto == 1 || s->proto == 58) {
        t[0] = s->flags;
    } else {
        rmr_store_be16(t, s->sport);
        rmr_store_be16(t + 2, s->dport);
        if (s->proto == 6)
            t[13] = s->flags;
    }
    return len - s->cut;
}

/* ---- rules as text ---------------------------------------------------- */

typedef struct rule {
    const char *src[4];
    uint8_t proto[5]; /* none: the four defaults */
    const char *dst[3];
    uint16_t first, last;
} rule;

static void add_src(rmr_filter *f, const char *text)
{
    rmr_ip_range r[2];
    size_t n;
    assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(text), r, &n), RMR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rmr_filter_rule_src(f, &r[i]), RMR_OK);
}

static void add_rule(rmr_filter *f, const rule *u)
{
    static const uint8_t four[] = {6, 17, 1, 58, 0};
    rmr_ip_range r[2];
    size_t n;
    assert_int_equal(rmr_filter_rule_begin(f), RMR_OK);
    for (size_t i = 0; i < 4 && u->src[i]; i++)
        add_src(f, u->src[i]);
    const uint8_t *p = u->proto[0] ? u->proto : four;
    for (; *p; p++)
        assert_int_equal(rmr_filter_rule_proto(f, *p), RMR_OK);
    for (size_t i = 0; i < 3 && u->dst[i]; i++) {
        assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(u->dst[i]), r, &n),
                         RMR_OK);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(rmr_filter_rule_dst(f, &r[k], u->first, u->last),
                             RMR_OK);
    }
    assert_int_equal(rmr_filter_rule_end(f), RMR_OK);
}

static const rule rules[] = {
    {{"100.64.0.1-100.64.0.2", "fd7a:115c:a1e0::4"},
     {6},
     {"100.64.0.5"},
     22,
     22},
    {{"100.64.0.7", "100.64.0.8"}, {0}, {"100.64.0.5", "fd7a::5"}, 80, 90},
    {{"100.64.9.0/24"}, {17}, {"*"}, 0, 65535},
    {{"100.64.0.20"}, {47}, {"100.64.0.5"}, 0, 65535},
    {{"100.64.0.21"}, {47}, {"100.64.0.5"}, 1, 65535},
    {{"fd7a::/16"}, {0}, {"fd7a::5"}, 0, 65535},
    {{"100.64.0.30"}, {132}, {"100.64.0.5"}, 5000, 5000},
};

static rmr_filter *make_filter(test_alloc *a)
{
    rmr_env env = test_env(a, NULL, NULL);
    rmr_filter *f = NULL;
    rmr_prefix local[4];
    static const char *const texts[4] = {"100.64.0.5", "fd7a::5",
                                         "10.55.0.0/24", "169.254.169.254"};
    assert_int_equal(rmr_filter_new(&f, &env), RMR_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(texts[i]), &local[i]),
                         RMR_OK);
    assert_int_equal(rmr_filter_set_local(f, local, 4), RMR_OK);
    rmr_filter_begin(f);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        add_rule(f, &rules[i]);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_count(f), sizeof rules / sizeof *rules);
    return f;
}

typedef struct verdict {
    const char *what;
    spec pkt;
    bool in;
} verdict;

#define SYN 0x02
#define SYNACK 0x12
#define RST 0x04

static const verdict table[] = {
    /* TCP */
    {"ssh from first of range",
     {"100.64.0.1", "100.64.0.5", 6, 999, 22, SYN, 0, 0, 0, 0},
     1},
    {"ssh from last of range",
     {"100.64.0.2", "100.64.0.5", 6, 999, 22, SYN, 0, 0, 0, 0},
     1},
    {"ssh from behind the range",
     {"100.64.0.3", "100.64.0.5", 6, 999, 22, SYN, 0, 0, 0, 0},
     0},
    {"ssh from before the range",
     {"100.64.0.0", "100.64.0.5", 6, 999, 22, SYN, 0, 0, 0, 0},
     0},
    {"port below",
     {"100.64.0.1", "100.64.0.5", 6, 999, 21, SYN, 0, 0, 0, 0},
     0},
    {"port above",
     {"100.64.0.1", "100.64.0.5", 6, 999, 23, SYN, 0, 0, 0, 0},
     0},
    {"udp where tcp is listed",
     {"100.64.0.1", "100.64.0.5", 17, 999, 22, 0, 0, 0, 0, 0},
     0},
    {"non-syn passes without a rule",
     {"100.64.0.3", "100.64.0.5", 6, 9, 9, 0x10, 0, 0, 0, 0},
     1},
    {"syn-ack passes",
     {"100.64.0.3", "100.64.0.5", 6, 9, 9, SYNACK, 0, 0, 0, 0},
     1},
    {"rst passes", {"100.64.0.3", "100.64.0.5", 6, 9, 9, RST, 0, 0, 0, 0}, 1},
    {"syn with rst opens nothing",
     {"100.64.0.3", "100.64.0.5", 6, 9, 9, SYN | RST, 0, 0, 0, 0},
     0},
    {"null flags pass",
     {"100.64.0.3", "100.64.0.5", 6, 9, 9, 0, 0, 0, 0, 0},
     1},
    {"not our address",
     {"100.64.0.1", "100.64.0.6", 6, 999, 22, SYN, 0, 0, 0, 0},
     0},
    {"not our address, non-syn",
     {"100.64.0.1", "100.64.0.6", 6, 9, 22, 0x10, 0, 0, 0, 0},
     0},
    {"advertised route, no rule",
     {"100.64.0.1", "10.55.0.9", 6, 999, 22, SYN, 0, 0, 0, 0},
     0},
    {"advertised route, non-syn",
     {"100.64.0.1", "10.55.0.9", 6, 9, 22, 0x10, 0, 0, 0, 0},
     1},
    {"first port", {"100.64.0.7", "100.64.0.5", 6, 9, 80, SYN, 0, 0, 0, 0}, 1},
    {"last port", {"100.64.0.7", "100.64.0.5", 6, 9, 90, SYN, 0, 0, 0, 0}, 1},
    {"v6 source of another rule",
     {"fd7a:115c:a1e0::4", "fd7a::5", 6, 9, 22, SYN, 0, 0, 0, 0},
     1},
    {"v6 outside", {"fd7b::1", "fd7a::5", 6, 9, 22, SYN, 0, 0, 0, 0}, 0},
    /* UDP */
    {"udp by default protocols",
     {"100.64.0.8", "100.64.0.5", 17, 9, 85, 0, 0, 0, 0, 0},
     1},
    {"udp outside ports",
     {"100.64.0.8", "100.64.0.5", 17, 9, 91, 0, 0, 0, 0, 0},
     0},
    {"udp to a star on a route",
     {"100.64.9.77", "10.55.0.200", 17, 9, 53, 0, 0, 0, 0, 0},
     1},
    {"udp star is not tcp",
     {"100.64.9.77", "10.55.0.200", 6, 9, 53, SYN, 0, 0, 0, 0},
     0},
    {"udp v6", {"fd7a::77", "fd7a::5", 17, 9, 53, 0, 0, 0, 0, 0}, 1},
    /* SCTP */
    {"sctp by rule",
     {"100.64.0.30", "100.64.0.5", 132, 9, 5000, 0, 0, 0, 0, 0},
     1},
    {"sctp wrong port",
     {"100.64.0.30", "100.64.0.5", 132, 9, 5001, 0, 0, 0, 0, 0},
     0},
    /* ICMP */
    {"echo where any port is open",
     {"100.64.0.1", "100.64.0.5", 1, 0, 0, 8, 0, 0, 0, 0},
     1},
    {"echo where no port is open",
     {"100.64.0.3", "100.64.0.5", 1, 0, 0, 8, 0, 0, 0, 0},
     0},
    {"echo reply", {"100.64.0.3", "100.64.0.5", 1, 0, 0, 0, 0, 0, 0, 0}, 1},
    {"unreachable", {"100.64.0.3", "100.64.0.5", 1, 0, 0, 3, 0, 0, 0, 0}, 1},
    {"time exceeded", {"100.64.0.3", "100.64.0.5", 1, 0, 0, 11, 0, 0, 0, 0}, 1},
    {"parameter problem",
     {"100.64.0.3", "100.64.0.5", 1, 0, 0, 12, 0, 0, 0, 0},
     1},
    {"redirect", {"100.64.0.3", "100.64.0.5", 1, 0, 0, 5, 0, 0, 0, 0}, 0},
    {"v6 echo by rule", {"fd7a::77", "fd7a::5", 58, 0, 0, 128, 0, 0, 0, 0}, 1},
    {"v6 echo without", {"fd7b::77", "fd7a::5", 58, 0, 0, 128, 0, 0, 0, 0}, 0},
    {"v6 echo reply", {"fd7b::77", "fd7a::5", 58, 0, 0, 129, 0, 0, 0, 0}, 1},
    {"v6 too big", {"fd7b::77", "fd7a::5", 58, 0, 0, 2, 0, 0, 0, 0}, 1},
    {"v6 neighbour solicitation",
     {"fd7b::77", "fd7a::5", 58, 0, 0, 135, 0, 0, 0, 0},
     0},
    {"v4 icmp in v6", {"fd7b::77", "fd7a::5", 1, 0, 0, 0, 0, 0, 0, 0}, 0},
    {"short echo reply is no reply",
     {"100.64.0.3", "100.64.0.5", 1, 0, 0, 0, 0, 0, 0, 7},
     0},
    /* others */
    {"gre by rule with all ports",
     {"100.64.0.20", "100.64.0.5", 47, 0, 0, 0, 0, 0, 0, 0},
     1},
    {"gre by rule with some ports",
     {"100.64.0.21", "100.64.0.5", 47, 0, 0, 0, 0, 0, 0, 0},
     0},
    {"gre from elsewhere",
     {"100.64.0.1", "100.64.0.5", 47, 0, 0, 0, 0, 0, 0, 0},
     0},
    {"tsmp", {"100.64.0.3", "100.64.0.5", 99, 0, 0, 0, 0, 0, 0, 0}, 1},
    {"protocol zero", {"fd7a::77", "fd7a::5", 0, 0, 0, 0, 0, 0, 0, 0}, 0},
    {"protocol 255",
     {"100.64.0.20", "100.64.0.5", 255, 0, 0, 0, 0, 0, 0, 0},
     0},
    {"v6 fragment header is not walked",
     {"fd7a::77", "fd7a::5", 44, 0, 0, 0, 0, 0, 0, 0},
     0},
    /* destinations */
    {"multicast", {"100.64.9.1", "224.0.0.251", 17, 9, 5353, 0, 0, 0, 0, 0}, 0},
    {"v6 multicast", {"fd7a::77", "ff02::fb", 17, 9, 5353, 0, 0, 0, 0, 0}, 0},
    {"link-local", {"100.64.9.1", "169.254.1.1", 17, 9, 53, 0, 0, 0, 0, 0}, 0},
    {"link-local metadata address",
     {"100.64.9.1", "169.254.169.254", 17, 9, 53, 0, 0, 0, 0, 0},
     1},
    {"v6 link-local", {"fd7a::77", "fe80::1", 17, 9, 53, 0, 0, 0, 0, 0}, 0},
    /* fragments */
    {"later fragment at 80 bytes",
     {"100.64.0.3", "100.64.0.5", 6, 0, 0, 0, 10, 0, 0, 0},
     1},
    {"later fragment at 72 bytes",
     {"100.64.0.3", "100.64.0.5", 6, 0, 0, 0, 9, 0, 0, 0},
     0},
    {"first fragment with header",
     {"100.64.0.1", "100.64.0.5", 6, 9, 22, SYN, 0x2000, 8, 0, 0},
     1},
    {"first fragment without a whole header",
     {"100.64.0.1", "100.64.0.5", 6, 9, 22, 0x10, 0x2000, 0, 0, 16},
     0},
    {"first fragment of eight bytes",
     {"100.64.0.8", "100.64.0.5", 17, 9, 85, 0, 0x2000, 0, 0, 8},
     0},
    {"later fragment to multicast",
     {"100.64.0.3", "224.0.0.1", 6, 0, 0, 0, 10, 0, 0, 0},
     0},
    /* lengths */
    {"cut off", {"100.64.0.1", "100.64.0.5", 6, 9, 22, SYN, 0, 10, 1, 0}, 0},
    {"v6 cut off", {"fd7a::77", "fd7a::5", 17, 9, 53, 0, 0, 10, 1, 0}, 0},
    {"tcp header too short",
     {"100.64.0.1", "100.64.0.5", 6, 9, 22, 0x10, 0, 0, 0, 19},
     0},
    {"udp header too short",
     {"100.64.0.8", "100.64.0.5", 17, 9, 85, 0, 0, 0, 0, 7},
     0},
};

static void verdicts_by_table(void **state)
{
    (void)state;
    test_alloc a = {0};
    uint8_t buf[512];
    rmr_filter *f = make_filter(&a);
    uint64_t dropped = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = make(buf, &table[i].pkt);
        bool in = rmr_filter_check_in(f, rmr_bytes_of(buf, n), false);
        if (in != table[i].in)
            fail_msg("%s: %d", table[i].what, in);
        dropped += !in;
    }
    assert_int_equal(rmr_filter_dropped(f), dropped);
    rmr_filter_free(f);
    assert_int_equal(a.live_blocks, 0);
}

static void an_empty_packet_is_a_keep_alive_and_a_short_one_is_dropped(void **s)
{
    (void)s;
    uint8_t buf[64] = {0x45};
    rmr_filter *f = make_filter(NULL);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, 0), false));
    for (size_t n = 1; n < 20; n++)
        assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    buf[0] = 0x60;
    for (size_t n = 20; n < 40; n++)
        assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    buf[0] = 0x55;
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, 40), false));
    rmr_filter_free(f);
}

static void a_header_length_below_five_words_is_dropped(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = make_filter(NULL);
    size_t n = make(buf, &table[0].pkt);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    for (uint8_t ihl = 0; ihl < 16; ihl++) {
        if (ihl == 5)
            continue;
        buf[0] = 0x40 | ihl;
        assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    }
    rmr_filter_free(f);
}

static void a_jailed_peer_gets_answers_but_opens_nothing(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = make_filter(NULL);
    size_t n = make(buf, &table[0].pkt);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), true));
    spec ack = {"100.64.0.1", "100.64.0.5", 6, 9, 22, SYNACK, 0, 0, 0, 0};
    n = make(buf, &ack);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), true));
    spec ping = {"100.64.0.1", "100.64.0.5", 1, 0, 0, 8, 0, 0, 0, 0};
    n = make(buf, &ping);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), true));
    rmr_filter_free(f);
}

static bool allows(const rmr_filter *f, const char *from, const char *to)
{
    rmr_addr a, b;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(from), &a), RMR_OK);
    assert_int_equal(rmr_addr_parse(rmr_bytes_str(to), &b), RMR_OK);
    return rmr_filter_allows_tcp(f, &a, &b);
}

static void the_rules_alone_say_who_may_open_tcp(void **state)
{
    (void)state;
    test_alloc a = {0};
    rmr_filter *f = make_filter(&a);
    assert_true(allows(f, "100.64.0.1", "100.64.0.5:22"));
    assert_false(allows(f, "100.64.0.1", "100.64.0.5:23"));
    assert_false(allows(f, "100.64.0.3", "100.64.0.5:22"));
    assert_false(allows(f, "100.64.9.1", "0.0.0.0:53")); /* UDP alone */
    assert_false(allows(f, "fd7a:115c:a1e0::4", "100.64.0.5:22"));
    rmr_filter_begin(f);
    add_rule(f, &(rule){{"100.64.0.1", "fd7a::1"}, {6}, {"*"}, 53, 53});
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_true(allows(f, "100.64.0.1", "0.0.0.0:53")); /* not local */
    assert_true(allows(f, "fd7a::1", "[2000::]:53"));
    assert_false(allows(f, "fd7a::1", "[2000::]:54"));
    assert_int_equal(rmr_filter_dropped(f), 0);
    rmr_filter_free(f);
}

static void a_new_filter_lets_nothing_in(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_filter *f;
    assert_int_equal(rmr_filter_new(&f, &env), RMR_OK);
    spec p = {"100.64.0.1", "100.64.0.5", 6, 9, 22, 0x10, 0, 0, 0, 0};
    size_t n = make(buf, &p);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_prefix all = {.family = RMR_AF_INET};
    assert_int_equal(rmr_filter_set_local(f, &all, 1), RMR_OK);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    p.flags = SYN;
    n = make(buf, &p);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_filter_free(f);
}

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
    rmr_filter *f = make_filter(NULL);
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

/* ---- flows ------------------------------------------------------------ */

static bool reply_passes(rmr_filter *f, uint16_t port)
{
    uint8_t buf[512];
    spec in = {"100.64.0.99", "100.64.0.5", 17, 53, port, 0, 0, 0, 0, 0};
    return rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &in)), false);
}

static void send_out(rmr_filter *f, uint16_t port)
{
    uint8_t buf[512];
    spec out = {"100.64.0.5", "100.64.0.99", 17, port, 53, 0, 0, 0, 0, 0};
    rmr_filter_note_out(f, rmr_bytes_of(buf, make(buf, &out)));
}

static void replies_to_our_flows_pass_until_512_newer_ones_came(void **state)
{
    (void)state;
    rmr_filter *f = make_filter(NULL);
    assert_false(reply_passes(f, 1000));
    send_out(f, 1000);
    assert_true(reply_passes(f, 1000));
    for (uint16_t i = 1; i < 512; i++)
        send_out(f, (uint16_t)(1000 + i));
    /* The oldest is the one not used longest. */
    assert_true(reply_passes(f, 1000));
    send_out(f, 2000);
    assert_true(reply_passes(f, 1000));
    assert_false(reply_passes(f, 1001));
    assert_true(reply_passes(f, 1002));
    for (uint16_t i = 0; i < 512; i++)
        send_out(f, (uint16_t)(3000 + i));
    assert_false(reply_passes(f, 1000));
    assert_false(reply_passes(f, 2000));
    for (uint16_t i = 0; i < 512; i++)
        assert_true(reply_passes(f, (uint16_t)(3000 + i)));
    rmr_filter_free(f);
}

static void flows_agree_with_a_slow_list(void **state)
{
    (void)state;
    test_rng rng;
    test_rng_seed(&rng, 7);
    rmr_filter *f = make_filter(NULL);
    uint16_t model[512]; /* newest first */
    size_t used = 0;
    for (int step = 0; step < 20000; step++) {
        uint64_t r = test_rng_u64(&rng);
        uint16_t port = (uint16_t)(1000 + (r >> 8) % 700);
        bool note = r & 1;
        size_t at = 0;
        while (at < used && model[at] != port)
            at++;
        if (note)
            send_out(f, port);
        else
            assert_int_equal(reply_passes(f, port), at < used);
        if (at == used && !note)
            continue;
        if (at == used) {
            if (used < 512)
                used++;
            at = used - 1;
        }
        memmove(model + 1, model, at * sizeof *model);
        model[0] = port;
    }
    rmr_filter_free(f);
}

static void without_memory_fewer_flows_are_kept(void **state)
{
    (void)state;
    test_alloc a = {0};
    rmr_filter *f = make_filter(&a);
    a.fail_at = a.calls + 1;
    a.fail_after = true;
    send_out(f, 1000);
    assert_true(a.failed > 0);
    assert_false(reply_passes(f, 1000));
    a.fail_at = a.calls + 2; /* sixteen of them have room */
    for (uint16_t i = 0; i < 40; i++)
        send_out(f, (uint16_t)(1000 + i));
    for (uint16_t i = 0; i < 40; i++)
        assert_int_equal(reply_passes(f, (uint16_t)(1000 + i)), i >= 24);
    a.fail_at = 0;
    a.fail_after = false;
    for (uint16_t i = 0; i < 40; i++)
        send_out(f, (uint16_t)(2000 + i));
    for (uint16_t i = 0; i < 40; i++)
        assert_true(reply_passes(f, (uint16_t)(2000 + i)));
    rmr_filter_free(f);
    assert_int_equal(a.live_blocks, 0);
}

static void a_flow_is_bound_to_protocol_and_ports(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = make_filter(NULL);
    send_out(f, 1000);
    spec in = {"100.64.0.99", "100.64.0.5", 17, 54, 1000, 0, 0, 0, 0, 0};
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &in)), false));
    in.sport = 53;
    in.proto = 132;
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &in)), false));
    in.proto = 17;
    in.src = "100.64.0.98";
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &in)), false));
    in.src = "100.64.0.99";
    assert_true(
        rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &in)), true));
    rmr_filter_free(f);
}

static void new_rules_keep_the_flows(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = make_filter(NULL);
    send_out(f, 1000);
    rmr_filter_begin(f);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_count(f), 0);
    assert_true(reply_passes(f, 1000));
    size_t n = make(buf, &table[0].pkt);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_filter_free(f);
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
        rmr_filter *f = make_filter(NULL);
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
            spec p = {src, "100.64.0.5", 17, 1, 2, 0, 0, 0, 0, 0};
            size_t len = make(buf, &p);
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
    rmr_filter *f = make_filter(NULL);
    static const rule u = {
        {"255.255.255.255", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.0/24"},
        {17},
        {"*"},
        0,
        65535};
    f->index_when = FILTER_INDEX_NONE; /* looked at as they were built */
    rmr_filter_begin(f);
    add_rule(f, &u);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(f->active.src[FAM4].len, 8);
    spec p = {"255.255.255.255", "100.64.0.5", 17, 1, 2, 0, 0, 0, 0, 0};
    assert_true(
        rmr_filter_check_in(f, rmr_bytes_of(buf, make(buf, &p)), false));
    rmr_filter_free(f);
}

/* ---- misuse and failure ----------------------------------------------- */

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    rmr_filter *f = make_filter(NULL);
    rmr_ip_range r = {.family = RMR_AF_INET};
    assert_int_equal(rmr_filter_rule_begin(f), RMR_E_STATE);
    assert_int_equal(rmr_filter_commit(f), RMR_E_STATE);
    rmr_filter_begin(f);
    assert_int_equal(rmr_filter_rule_src(f, &r), RMR_E_STATE);
    assert_int_equal(rmr_filter_rule_dst(f, &r, 1, 2), RMR_E_STATE);
    assert_int_equal(rmr_filter_rule_proto(f, 6), RMR_E_STATE);
    assert_int_equal(rmr_filter_rule_end(f), RMR_E_STATE);
    assert_int_equal(rmr_filter_rule_begin(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_begin(f), RMR_E_STATE);
    assert_int_equal(rmr_filter_commit(f), RMR_E_STATE);
    r.family = 9;
    assert_int_equal(rmr_filter_rule_src(f, &r), RMR_E_INVAL);
    assert_int_equal(rmr_filter_rule_dst(f, &r, 1, 2), RMR_E_INVAL);
    assert_int_equal(rmr_filter_rule_end(f), RMR_OK);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(rmr_filter_set_local(f, NULL, 1), RMR_E_INVAL);
    rmr_filter_free(f);
    rmr_filter_free(NULL);
    assert_int_equal(rmr_filter_new(NULL, NULL), RMR_E_INVAL);
}

static void a_build_without_memory_changes_nothing(void **state)
{
    (void)state;
    uint8_t buf[512];
    bool done = false;
    for (size_t n = 1; !done; n++) {
        test_alloc a = {0};
        rmr_filter *f = make_filter(&a);
        rmr_ip_range any[2];
        size_t k;
        rmr_ip_range_parse(rmr_bytes_str("*"), any, &k);
        a.fail_at = a.calls + n;
        rmr_filter_begin(f);
        for (int i = 0; i < 30; i++) {
            (void)rmr_filter_rule_begin(f);
            (void)rmr_filter_rule_src(f, &any[0]);
            (void)rmr_filter_rule_src(f, &any[1]);
            (void)rmr_filter_rule_proto(f, 17);
            (void)rmr_filter_rule_dst(f, &any[0], 0, 65535);
            (void)rmr_filter_rule_end(f);
        }
        rmr_err e = rmr_filter_commit(f);
        size_t len = make(buf, &table[0].pkt); /* passes by the old rules */
        bool old = rmr_filter_check_in(f, rmr_bytes_of(buf, len), false);
        if (e) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_true(old);
        } else {
            assert_false(old);
            done = a.failed == 0;
        }
        rmr_filter_free(f);
        assert_int_equal(a.live_blocks, 0);
    }
}

static void creation_fails_cleanly(void **state)
{
    (void)state;
    test_alloc a = {0};
    test_rng rng;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&a, &rng, NULL);
    rmr_filter *f = NULL;
    a.fail_at = 1;
    assert_int_equal(rmr_filter_new(&f, &env), RMR_E_NOMEM);
    rng.fail_at = 1;
    assert_int_equal(rmr_filter_new(&f, &env), RMR_E_RNG);
    assert_null(f);
    assert_int_equal(a.live_blocks, 0);
    assert_int_equal(rmr_filter_new(&f, &env), RMR_OK);
    rmr_prefix p = {.family = RMR_AF_INET};
    a.fail_at = a.calls + 1;
    assert_int_equal(rmr_filter_set_local(f, &p, 1), RMR_E_NOMEM);
    assert_int_equal(rmr_filter_set_local(f, &p, 1), RMR_OK);
    rmr_filter_free(f);
    assert_int_equal(a.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_by_table),
        cmocka_unit_test(
            an_empty_packet_is_a_keep_alive_and_a_short_one_is_dropped),
        cmocka_unit_test(a_header_length_below_five_words_is_dropped),
        cmocka_unit_test(a_jailed_peer_gets_answers_but_opens_nothing),
        cmocka_unit_test(the_rules_alone_say_who_may_open_tcp),
        cmocka_unit_test(a_new_filter_lets_nothing_in),
        cmocka_unit_test(the_index_agrees_with_the_rules),
        cmocka_unit_test(rules_that_overlap_too_much_are_walked),
        cmocka_unit_test(a_few_rules_are_walked),
        cmocka_unit_test(without_memory_for_the_index_the_rules_hold),
        cmocka_unit_test(replies_to_our_flows_pass_until_512_newer_ones_came),
        cmocka_unit_test(flows_agree_with_a_slow_list),
        cmocka_unit_test(without_memory_fewer_flows_are_kept),
        cmocka_unit_test(a_flow_is_bound_to_protocol_and_ports),
        cmocka_unit_test(new_rules_keep_the_flows),
        cmocka_unit_test(ranges_parse_as_they_should),
        cmocka_unit_test(merged_sources_agree_with_the_single_ones),
        cmocka_unit_test(ranges_up_to_the_last_address_merge),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_build_without_memory_changes_nothing),
        cmocka_unit_test(creation_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
