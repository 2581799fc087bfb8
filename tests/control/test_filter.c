/* The packet filter: (rules, packet, verdict) by table, flows, and failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "filter_fixture.h"

/* ---- rules as text ---------------------------------------------------- */

typedef struct verdict {
    const char *what;
    ff_packet pkt;
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
    rmr_filter *f = ff_filter(&a);
    uint64_t dropped = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = ff_make(buf, &table[i].pkt);
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
    rmr_filter *f = ff_filter(NULL);
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
    rmr_filter *f = ff_filter(NULL);
    size_t n = ff_make(buf, &table[0].pkt);
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
    rmr_filter *f = ff_filter(NULL);
    size_t n = ff_make(buf, &table[0].pkt);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), true));
    ff_packet ack = {"100.64.0.1", "100.64.0.5", 6, 9, 22, SYNACK, 0, 0, 0, 0};
    n = ff_make(buf, &ack);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), true));
    ff_packet ping = {"100.64.0.1", "100.64.0.5", 1, 0, 0, 8, 0, 0, 0, 0};
    n = ff_make(buf, &ping);
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
    rmr_filter *f = ff_filter(&a);
    assert_true(allows(f, "100.64.0.1", "100.64.0.5:22"));
    assert_false(allows(f, "100.64.0.1", "100.64.0.5:23"));
    assert_false(allows(f, "100.64.0.3", "100.64.0.5:22"));
    assert_false(allows(f, "100.64.9.1", "0.0.0.0:53")); /* UDP alone */
    assert_false(allows(f, "fd7a:115c:a1e0::4", "100.64.0.5:22"));
    rmr_filter_begin(f);
    ff_add(f, &(ff_rule){{"100.64.0.1", "fd7a::1"}, {6}, {"*"}, 53, 53});
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
    ff_packet p = {"100.64.0.1", "100.64.0.5", 6, 9, 22, 0x10, 0, 0, 0, 0};
    size_t n = ff_make(buf, &p);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_prefix all = {.family = RMR_AF_INET};
    assert_int_equal(rmr_filter_set_local(f, &all, 1), RMR_OK);
    assert_true(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    p.flags = SYN;
    n = ff_make(buf, &p);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_filter_free(f);
}

/* ---- flows ------------------------------------------------------------ */

static bool reply_passes(rmr_filter *f, uint16_t port)
{
    uint8_t buf[512];
    ff_packet in = {"100.64.0.99", "100.64.0.5", 17, 53, port, 0, 0, 0, 0, 0};
    return rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &in)), false);
}

static void send_out(rmr_filter *f, uint16_t port)
{
    uint8_t buf[512];
    ff_packet out = {"100.64.0.5", "100.64.0.99", 17, port, 53, 0, 0, 0, 0, 0};
    rmr_filter_note_out(f, rmr_bytes_of(buf, ff_make(buf, &out)));
}

static void replies_to_our_flows_pass_until_512_newer_ones_came(void **state)
{
    (void)state;
    rmr_filter *f = ff_filter(NULL);
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
    rmr_filter *f = ff_filter(NULL);
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
    rmr_filter *f = ff_filter(&a);
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
    rmr_filter *f = ff_filter(NULL);
    send_out(f, 1000);
    ff_packet in = {"100.64.0.99", "100.64.0.5", 17, 54, 1000, 0, 0, 0, 0, 0};
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &in)), false));
    in.sport = 53;
    in.proto = 132;
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &in)), false));
    in.proto = 17;
    in.src = "100.64.0.98";
    assert_false(
        rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &in)), false));
    in.src = "100.64.0.99";
    assert_true(
        rmr_filter_check_in(f, rmr_bytes_of(buf, ff_make(buf, &in)), true));
    rmr_filter_free(f);
}

static void new_rules_keep_the_flows(void **state)
{
    (void)state;
    uint8_t buf[512];
    rmr_filter *f = ff_filter(NULL);
    send_out(f, 1000);
    rmr_filter_begin(f);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_count(f), 0);
    assert_true(reply_passes(f, 1000));
    size_t n = ff_make(buf, &table[0].pkt);
    assert_false(rmr_filter_check_in(f, rmr_bytes_of(buf, n), false));
    rmr_filter_free(f);
}

/* ---- misuse and failure ----------------------------------------------- */

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    rmr_filter *f = ff_filter(NULL);
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
        rmr_filter *f = ff_filter(&a);
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
        size_t len = ff_make(buf, &table[0].pkt); /* passes by the old rules */
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
        cmocka_unit_test(replies_to_our_flows_pass_until_512_newer_ones_came),
        cmocka_unit_test(flows_agree_with_a_slow_list),
        cmocka_unit_test(without_memory_fewer_flows_are_kept),
        cmocka_unit_test(a_flow_is_bound_to_protocol_and_ports),
        cmocka_unit_test(new_rules_keep_the_flows),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_build_without_memory_changes_nothing),
        cmocka_unit_test(creation_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
