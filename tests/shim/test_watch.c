/* What the shim counts of TCP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "watch.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, MS = 1000000 };

typedef struct packet {
    int from;
    uint32_t seq, ack;
    uint8_t flags;
    size_t len;       /* payload */
    uint32_t sack[4]; /* up to two blocks */
    unsigned blocks;
} packet;

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* IPv4, or IPv6 when `six`. */
static void see_family(watch *w, uint64_t now, packet s, bool six)
{
    uint8_t p[1500] = {0};
    size_t opts = s.blocks ? 4 + 8 * s.blocks : 0, ip = six ? 40 : 20;
    size_t total = ip + 20 + opts + s.len;
    uint8_t *t = p + ip;
    p[0] = six ? 0x60 : 0x45;
    p[six ? 4 : 2] = (uint8_t)((total - (six ? 40 : 0)) >> 8);
    p[six ? 5 : 3] = (uint8_t)(total - (six ? 40 : 0));
    p[six ? 6 : 9] = 6;
    p[six ? 23 : 15] = s.from ? 2 : 1; /* the last byte of the source ... */
    p[six ? 39 : 19] = s.from ? 1 : 2; /* ... and of the destination */
    t[s.from ? 1 : 3] = 80;
    t[s.from ? 3 : 1] = 99;
    put32(t + 4, s.seq);
    put32(t + 8, s.ack);
    t[12] = (uint8_t)((20 + opts) / 4 << 4);
    t[13] = s.flags;
    if (s.blocks) {
        t[20] = t[21] = 1;
        t[22] = 5;
        t[23] = (uint8_t)(2 + 8 * s.blocks);
        for (unsigned i = 0; i < 2 * s.blocks; i++)
            put32(t + 24 + 4 * i, s.sack[i]);
    }
    watch_packet(w, now, s.from, p, total);
}

static void see(watch *w, uint64_t now, packet s)
{
    see_family(w, now, s, false);
}

static void open_flow(watch *w, uint32_t isn)
{
    see(w, 0, (packet){.from = 0, .seq = isn, .flags = SYN});
    see(w, 0,
        (packet){.from = 1, .seq = 900, .ack = isn + 1, .flags = SYN | ACK});
}

static void data_and_repeats_are_told_apart(void **state)
{
    watch w = {0};
    uint32_t isn = 0xffffff00u; /* wraps */
    (void)state;
    open_flow(&w, isn);
    see(&w, 1, (packet){.seq = isn + 1, .ack = 901, .flags = ACK, .len = 1000});
    see(&w, 2,
        (packet){.seq = isn + 1001, .ack = 901, .flags = ACK, .len = 500});
    see(&w, 3, (packet){.seq = isn + 1, .ack = 901, .flags = ACK, .len = 1000});
    see(&w, 4,
        (packet){.seq = isn + 1001,
                 .ack = 901,
                 .flags = ACK,
                 .len = 700}); /* 200 of it are new */
    assert_int_equal(w.dir[0].segments, 4);
    assert_int_equal(w.dir[0].data, 1700);
    assert_int_equal(w.dir[0].repeats, 1);
    assert_int_equal(w.dir[0].syns, 1);
    assert_int_equal(w.dir[1].syns, 1);
    assert_int_equal(w.dir[1].segments, 0);
    assert_int_equal(w.n, 1);
}

static void the_end_is_counted(void **state)
{
    watch w = {0};
    (void)state;
    open_flow(&w, 100);
    see(&w, 1, (packet){.seq = 101, .ack = 901, .flags = FIN | ACK, .len = 10});
    see(&w, 2, (packet){.seq = 101, .ack = 901, .flags = FIN | ACK, .len = 10});
    see(&w, 3, (packet){.from = 1, .seq = 901, .flags = RST});
    assert_int_equal(w.dir[0].fins, 2);
    assert_int_equal(w.dir[0].data, 10);
    assert_int_equal(w.dir[0].repeats, 1);
    assert_int_equal(w.dir[1].resets, 1);
}

static void resets_behind_both_ends_are_counted_apart(void **state)
{
    watch w = {0};
    (void)state;
    open_flow(&w, 100);
    see(&w, 1, (packet){.seq = 101, .ack = 901, .flags = FIN | ACK});
    see(&w, 2, (packet){.from = 1, .seq = 901, .flags = RST});
    assert_int_equal(w.dir[1].resets, 1);
    see(&w, 3, (packet){.from = 1, .seq = 901, .ack = 102, .flags = FIN | ACK});
    see(&w, 4, (packet){.seq = 102, .flags = RST});
    assert_int_equal(w.dir[0].resets, 0);
    assert_int_equal(w.dir[0].late_resets, 1);
    open_flow(&w, 5000); /* the same ports again */
    see(&w, 5, (packet){.seq = 5001, .flags = RST});
    assert_int_equal(w.dir[0].resets, 1);
}

static void the_longest_wait_for_an_ack_is_kept(void **state)
{
    watch w = {0};
    (void)state;
    open_flow(&w, 100);
    see(&w, 1000 * MS,
        (packet){.seq = 101, .flags = ACK, .ack = 901, .len = 100});
    see(&w, 1010 * MS,
        (packet){.seq = 201, .flags = ACK, .ack = 901, .len = 100});
    see(&w, 1050 * MS,
        (packet){.from = 1, .seq = 901, .flags = ACK, .ack = 201});
    assert_int_equal(w.dir[0].longest_gap, 50 * MS);
    see(&w, 1060 * MS,
        (packet){
            .from = 1, .seq = 901, .flags = ACK, .ack = 201}); /* no progress */
    see(&w, 1130 * MS,
        (packet){.from = 1, .seq = 901, .flags = ACK, .ack = 301});
    assert_int_equal(w.dir[0].longest_gap, 80 * MS);
    /* Nothing is out: silence is no stall. */
    see(&w, 2100 * MS,
        (packet){.seq = 301, .flags = ACK, .ack = 901, .len = 100});
    see(&w, 2101 * MS,
        (packet){.from = 1, .seq = 901, .flags = ACK, .ack = 401});
    assert_int_equal(w.dir[0].longest_gap, 80 * MS);
}

static void dsacks_are_seen(void **state)
{
    watch w = {0};
    (void)state;
    open_flow(&w, 100);
    see(&w, 1, (packet){.seq = 101, .flags = ACK, .ack = 901, .len = 1000});
    packet a = {.from = 1, .seq = 901, .flags = ACK, .ack = 201, .blocks = 1};
    a.sack[0] = 301;
    a.sack[1] = 401;
    see(&w, 2, a);
    assert_int_equal(w.dir[1].dsacks, 0); /* a hole */
    a.sack[0] = 101;
    a.sack[1] = 201;
    see(&w, 3, a);
    assert_int_equal(w.dir[1].dsacks, 1); /* below the ACK */
    a = (packet){.from = 1,
                 .seq = 901,
                 .flags = ACK,
                 .ack = 201,
                 .blocks = 2,
                 .sack = {301, 401, 301, 501}};
    see(&w, 4, a);
    assert_int_equal(w.dir[1].dsacks, 2); /* inside the second */
    a.sack[2] = 601;
    a.sack[3] = 701;
    see(&w, 5, a);
    assert_int_equal(w.dir[1].dsacks, 2);
}

static void ipv6_is_understood(void **state)
{
    watch w = {0};
    (void)state;
    see_family(&w, 1, (packet){.seq = 5, .flags = SYN}, true);
    see_family(&w, 1, (packet){.seq = 6, .flags = ACK, .len = 10}, true);
    assert_int_equal(w.dir[0].syns, 1);
    assert_int_equal(w.dir[0].data, 10);
}

static void broken_packets_are_only_counted(void **state)
{
    watch w = {0};
    uint8_t p[60];
    (void)state;
    for (size_t len = 0; len <= sizeof p; len++) {
        memset(p, 0xff, sizeof p);
        p[0] = 0x4f;
        p[9] = 6;
        watch_packet(&w, 1, 0, p, len);
        p[0] = 0x6f;
        p[6] = 6;
        watch_packet(&w, 1, 1, p, len);
    }
    assert_int_equal(w.dir[0].packets, 61);
    assert_int_equal(w.dir[0].resets + w.dir[1].resets, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_repeats_are_told_apart),
        cmocka_unit_test(the_end_is_counted),
        cmocka_unit_test(resets_behind_both_ends_are_counted_apart),
        cmocka_unit_test(the_longest_wait_for_an_ack_is_kept),
        cmocka_unit_test(dsacks_are_seen),
        cmocka_unit_test(ipv6_is_understood),
        cmocka_unit_test(broken_packets_are_only_counted)};
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
