/* What a node takes for peers that it never talks to. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t put_peer(char *at, unsigned i)
{
    return (size_t)sprintf(
        at,
        "{\"ID\":%u,\"StableID\":\"n%08xCNTRL\",\"Name\":\"host-%u.tail1234."
        "ts.net.\",\"User\":%u,\"Key\":\"nodekey:%064x\",\"DiscoKey\":"
        "\"discokey:%064x\",\"Addresses\":[\"100.%u.%u.%u/32\",\"fd7a:115c:"
        "a1e0::%x:%x/128\"],\"Endpoints\":[\"192.0.2.%u:41641\",\"10.0.%u.%u:"
        "41641\",\"[2001:db8::%x]:41641\"],\"HomeDERP\":%u,\"Hostinfo\":{"
        "\"OS\":\"linux\",\"Hostname\":\"host-%u\",\"Services\":[{\"Proto\":"
        "\"peerapi4\",\"Port\":%u},{\"Proto\":\"peerapi6\",\"Port\":%u}]},"
        "\"Created\":\"2026-11-21T09:17:51.371591502Z\",\"Cap\":138,\"Tags\":"
        "[\"tag:server\"],\"Online\":true,\"MachineAuthorized\":true}",
        i, i, i, 1000 + i % 50, i, i, 64 + (i >> 16), i >> 8 & 255, i & 255,
        i >> 16, i & 0xffff, i & 255, i >> 8 & 255, i & 255, i, 1 + i % 20, i,
        i % 60000, i % 60000);
}

/* As the server's first frame. */
static void feed_netmap(rmr_nm *nm, unsigned peers)
{
    char text[2048];
    rmr_nm_stream_begin(nm);
    rmr_nm_frame_begin(nm, 1790000000u * RMR_SEC);
    (void)sprintf(text,
                  "{\"Node\":{\"ID\":99999999,\"Name\":\"me.tail1234.ts.net."
                  "\",\"Key\":\"nodekey:%064x\",\"Addresses\":["
                  "\"100.127.0.1/32\"]},\"Peers\":[",
                  77);
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str(text)), RMR_OK);
    for (unsigned i = 1; i <= peers; i++) {
        text[0] = ',';
        (void)put_peer(text + 1, i);
        assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str(text + (i == 1))),
                         RMR_OK);
    }
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("]}")), RMR_OK);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_OK);
}

/* The memory of a node that has that many peers. */
static size_t memory_with(unsigned peers)
{
    static lab l;
    rmr_node_config cfg;
    lab_init(&l);
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    feed_netmap(l.node->nm, peers);
    lab_turn(&l);
    assert_int_equal(rmr_nm_peer_count(l.node->nm), peers);
    size_t live = l.alloc.live_bytes;
    lab_free(&l);
    assert_int_equal(l.alloc.live_blocks, 0);
    return live;
}

static void a_cold_peer_takes_less_than_600_bytes_of_a_node(void **state)
{
    (void)state;
    enum { FEW = 10 };
    static const unsigned counts[] = {1000, 10000, 50000};
    size_t few = memory_with(FEW);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t each = (memory_with(counts[i]) - few) / (counts[i] - FEW);
        print_message("%u cold peers: %zu bytes each\n", counts[i], each);
        assert_true(each <= 600);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cold_peer_takes_less_than_600_bytes_of_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
