/* The packet filters of a netmap: lists by name, odd rules, capabilities. */
#include "nm_fixture.h"

#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- filters ---------------------------------------------------------- */

static void named_filters_are_kept_by_name(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(
        nm_frame(&s, "{" SELF ",\"PacketFilter\":[" ALLOW("100.64.0.1") "]}"),
        "[SF]");
    assert_int_equal(nm_rules_count(nm), 1);
    assert_true(nm_passes(nm, 1, 6, 80));
    assert_string_equal(nm_frame(&s, "{\"PacketFilter\":null}"), "[]");
    assert_string_equal(nm_frame(&s, "{\"PacketFilters\":null}"), "[]");
    (void)nm_frame(&s, "{\"PacketFilters\":{\"x\":[" ALLOW("100.64.0.2") "]}}");
    assert_int_equal(nm_rules_count(nm), 2);
    assert_true(nm_passes(nm, 1, 6, 80) && nm_passes(nm, 2, 6, 80));
    (void)nm_frame(&s, "{\"PacketFilters\":{\"base\":[]}}");
    assert_int_equal(nm_rules_count(nm), 1);
    /* PacketFilter first, then "*", then the names, in whatever order. */
    (void)nm_frame(&s, "{\"PacketFilters\":{\"y\":[" ALLOW(
                           "100.64.0.3") "],\"*\":null},"
                                         "\"PacketFilter\":"
                                         "[" ALLOW("100.64.0."
                                                   "1") "]}");
    assert_int_equal(nm_rules_count(nm), 1);
    assert_true(nm_passes(nm, 3, 6, 80));
    assert_false(nm_passes(nm, 1, 6, 80));
    assert_false(nm_passes(nm, 2, 6, 80));
    (void)nm_frame(
        &s, "{\"PacketFilters\":{\"base\":[" ALLOW(
                "100.64.0.4") "]},\"PacketFilter\":[" ALLOW("100.64.0.1") "]}");
    assert_int_equal(nm_rules_count(nm), 2);
    assert_true(nm_passes(nm, 4, 6, 80));
    assert_false(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s,
                   "{\"PacketFilters\":{\"y\":null,\"zz\":null,\"*\":[" ALLOW(
                       "100.64.0.9") "]}}");
    assert_int_equal(nm_rules_count(nm), 1);
    assert_false(nm_passes(nm, 9, 6, 80));
    (void)nm_frame(&s, "{\"PacketFilter\":[]}");
    assert_int_equal(nm_rules_count(nm), 0);
    /* A new stream forgets the names of the old. */
    (void)nm_frame(&s, "{\"PacketFilters\":{\"q\":[" ALLOW("100.64.0.4") "]}}");
    rmr_nm_stream_begin(nm);
    assert_string_equal(nm_frame(&s, "{" SELF "}"), "[F]");
    assert_int_equal(nm_rules_count(nm), 0);
    rmr_nm_free(nm);
}

static void odd_rules_are_read_as_the_reference_reads_them(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(
        &s, "{" SELF ",\"PacketFilter\":["
            "{\"SrcIPs\":[\"bad\",\"100.64.0.1\",\"1.2.3.4/8\"],\"IPProto\":"
            "[],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":80,"
            "\"Last\":81}},{\"IP\":\"oops\",\"Ports\":{\"First\":0,\"Last\":"
            "9}},{\"IP\":\"*\",\"Ports\":{\"First\":9,\"Last\":70000}}]},"
            "{\"SrcIPs\":[\"100.64.0.2\"],\"IPProto\":[300,-1],\"DstPorts\":"
            "[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]},"
            "{\"DstPorts\":[{\"Ports\":{\"Last\":65535,\"First\":0},\"IP\":"
            "\"100.64.0.5\",\"Bits\":null}],\"SrcBits\":null,\"IPProto\":"
            "[6,300],\"SrcIPs\":[\"100.64.0.3\"]},"
            "{\"SrcIPs\":[\"*\"],\"CapGrant\":[{\"Dsts\":[\"0.0.0.0/0\"]}]}"
            "]}");
    assert_int_equal(nm_rules_count(nm), 3);
    assert_true(nm_passes(nm, 1, 6, 80));
    assert_false(nm_passes(nm, 1, 6, 9));
    assert_false(nm_passes(nm, 1, 6, 0));
    assert_false(nm_passes(nm, 2, 6, 80));
    assert_true(nm_passes(nm, 3, 6, 1));
    assert_false(nm_passes(nm, 3, 17, 1));
    assert_false(nm_passes(nm, 4, 6, 1));
    rmr_nm_free(nm);
}

static void source_bits_make_the_whole_filter_block(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{" SELF ",\"PacketFilter\":[" ALLOW("*") "]}");
    assert_true(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s,
                   "{\"PacketFilters\":{\"old\":[{\"SrcIPs\":[\"100.64.0.1\"],"
                   "\"SrcBits\":[32],\"DstPorts\":[]}]}}");
    assert_false(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s, "{\"PacketFilters\":{\"old\":null}}");
    assert_true(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s,
                   "{\"PacketFilters\":{\"old\":[{\"SrcIPs\":[\"100.64.0.1\"],"
                   "\"DstPorts\":[{\"IP\":\"*\",\"Bits\":8}]}]}}");
    assert_false(nm_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

static void cap_sources_follow_the_peers(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(
        nm_frame(&s,
                 "{" SELF ",\"Peers\":[" PEER("1", "01") "," PEER(
                     "2", "02") "],\"PacketFilter\":[" ALLOW("cap:web") "]}"),
        "+1 +2 [SPF]");
    assert_false(nm_passes(nm, 1, 6, 80));
    assert_string_equal(
        nm_frame(&s,
                 "{\"PeersChangedPatch\":[{\"NodeID\":1,\"CapMap\":{\"web\":"
                 "null}}]}"),
        "*1 [PF]");
    assert_true(nm_passes(nm, 1, 6, 80));
    assert_false(nm_passes(nm, 2, 6, 80));
    assert_string_equal(nm_frame(&s, "{\"PeersRemoved\":[1]}"), "-1 [PF]");
    assert_false(nm_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

/* A delta costs by its own size: only what the rules speak of compiles them
 * anew. */
static void what_no_rule_speaks_of_leaves_the_filter(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
#define PATCH(x) "{\"PeersChangedPatch\":[{\"NodeID\":1," x "}]}"
    (void)nm_frame(&s,
                   "{" SELF ",\"Peers\":[" PEER("1", "01") "," PEER(
                       "2", "02") "],\"PacketFilter\":[" ALLOW("cap:web") "]}");
    assert_string_equal(nm_frame(&s, PATCH("\"Online\":true")), "*1 [P]");
    assert_string_equal(nm_frame(&s, "{\"OnlineChange\":{\"1\":false}}"),
                        "*1 [P]");
    assert_string_equal(nm_frame(&s, "{\"PeersRemoved\":[2]}"), "-2 [P]");
    assert_string_equal(nm_frame(&s, PATCH("\"CapMap\":{\"web\":[1]}")),
                        "*1 [PF]");
    assert_string_equal(nm_frame(&s, PATCH("\"Online\":true")), "*1 [P]");
    assert_true(nm_passes(nm, 1, 6, 80));
    /* A change of its address counts. */
    assert_string_equal(nm_frame(&s,
                                 "{\"PeersChanged\":[{\"ID\":1,\"Key\":" KEY(
                                     "01") ",\"Addresses\":[\"100.64.0.3/32\"],"
                                           "\"CapMap\":{\"web\":[]}}]}"),
                        "*1 [PF]");
    assert_false(nm_passes(nm, 1, 6, 80));
    assert_true(nm_passes(nm, 3, 6, 80));
    rmr_nm_free(nm);
}

static void an_unsigned_peer_with_access_blocks_the_filter(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(
        &s, "{" SELF ",\"Peers\":[" PEER("1", "01") ",{\"ID\":2,\"Key\":" KEY(
                "02") ",\"Addresses\":[\"100.64.0.2/32\"],"
                      "\"UnsignedPeerAPIOnly\":true}],\"PacketFilter\":[" ALLOW(
                          "100.64.0.1") "]}");
    assert_true(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(
        &s, "{\"PacketFilters\":{\"x\":[" ALLOW("100.64.0.2-100.64.0.3") "]}}");
    assert_false(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s, "{\"PeersChanged\":[" PEER("2", "02") "]}");
    assert_true(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(
        &s,
        "{\"PeersChanged\":[{\"ID\":2,\"Key\":" KEY(
            "02") ",\"AllowedIPs\":[\"100.64.0.0/24\"],\"UnsignedPeerAPIOnly\":"
                  "true}]}");
    assert_false(nm_passes(nm, 1, 6, 80));
    (void)nm_frame(&s, "{\"PeersRemoved\":[2]}");
    assert_true(nm_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_filters_are_kept_by_name),
        cmocka_unit_test(odd_rules_are_read_as_the_reference_reads_them),
        cmocka_unit_test(source_bits_make_the_whole_filter_block),
        cmocka_unit_test(cap_sources_follow_the_peers),
        cmocka_unit_test(what_no_rule_speaks_of_leaves_the_filter),
        cmocka_unit_test(an_unsigned_peer_with_access_blocks_the_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
