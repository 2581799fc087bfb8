/* The netmap as a table: bounds, keys, clock, splitting, saving, failing. */
#include "nm_fixture.h"

#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- bounds, keys, clock ---------------------------------------------- */

static void peers_above_the_bound_are_dropped_and_counted(void **state)
{
    (void)state;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_nm_config cfg;
    rmr_nm *nm;
    rmr_nm_stats st;
    rmr_nm_config_init(&cfg, sizeof cfg);
    cfg.max_peers = 2;
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    assert_int_equal(
        nm_feed(nm, NM_NOW,
                rmr_bytes_str("{" SELF ",\"Peers\":[" PEER("1", "01") "," PEER(
                    "2", "02") "," PEER("3", "03") "]}"),
                0),
        RMR_OK);
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(rmr_nm_peer_count(nm), 2);
    assert_int_equal(st.dropped_elements, 1);
    rmr_nm_free(nm);
    cfg.max_peers = 0;
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_E_INVAL);
    assert_int_equal(rmr_nm_new(NULL, &env, &cfg), RMR_E_INVAL);
    rmr_nm_free(NULL);
}

static void of_peers_with_one_key_the_lowest_id_holds_it(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    uint8_t key[32] = {[31] = 1};
    (void)nm_frame(&s, "{" SELF ",\"PeersChanged\":[" PEER("5", "01") "," PEER(
                           "3", "01") "," PEER("7", "01") "]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 3);
    (void)nm_frame(&s, "{\"PeersRemoved\":[5]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 3);
    (void)nm_frame(&s, "{\"PeersRemoved\":[3]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 7);
    (void)nm_frame(
        &s, "{\"PeersChangedPatch\":[{\"NodeID\":7,\"Key\":" KEY("02") "}]}");
    assert_false(rmr_nm_peer_by_key(nm, key, &n));
    rmr_nm_free(nm);
}

static void a_clock_far_off_is_corrected_for_expiry(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{" SELF ",\"ControlTime\":\"2026-11-21T10:30:00Z\","
                       "\"Peers\":[{\"ID\":1,\"Key\":" KEY(
                           "01") ",\"KeyExpiry\":\"2026-11-21T10:00:00Z\"}]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_true(n.expired);
    /* Nearer than a minute: our clock is right. */
    (void)nm_frame(&s, "{\"ControlTime\":\"2026-11-21T09:23:50Z\"}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_false(n.expired);
    /* A server whose clock is not set decides nothing. */
    (void)nm_frame(
        &s, "{\"ControlTime\":\"2020-08-03T00:00:00Z\",\"PeersChanged\""
            ":[{\"ID\":1,\"Key\":" KEY("01") ",\"KeyExpiry\":"
                                             "\"2019-11-21T10:00:00Z\"}]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_false(n.expired);
    rmr_nm_free(nm);
}

static void all_peers_are_walked_by_rising_id(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    uint64_t pos = 0, last = 0;
    size_t count = 0;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{\"PeersChanged\":[" PEER("7", "07") "," PEER(
                           "2", "02") "," PEER("50", "50") "]}");
    while (rmr_nm_next_peer(nm, &pos, &n)) {
        assert_true(n.id > last);
        last = n.id;
        /* The table may change in between. */
        if (count++ == 0)
            (void)nm_frame(&s, "{\"PeersRemoved\":[7]}");
    }
    assert_int_equal(count, 2);
    assert_int_equal(last, 50);
    pos = UINT64_MAX;
    assert_false(rmr_nm_next_peer(nm, &pos, &n));
    rmr_nm_free(nm);
}

static void lists_above_their_bounds_are_cut_and_counted(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm_stats st;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    static char text[400000];
    size_t len = (size_t)sprintf(text, "{\"PeersChanged\":[{\"ID\":1,"
                                       "\"Endpoints\":[");
    for (int i = 0; i < 70; i++)
        len += (size_t)sprintf(text + len, "\"1.2.3.4:%d\",", i);
    len += (size_t)sprintf(text + len, "5,null,\"x\"],\"Addresses\":[");
    for (int i = 0; i < 20; i++)
        len += (size_t)sprintf(text + len, "\"1.2.3.%d\",", i);
    len += (size_t)sprintf(text + len, "\"1.2.3.4\"],\"AllowedIPs\":[");
    for (int i = 0; i < 4100; i++)
        len +=
            (size_t)sprintf(text + len, "\"10.%d.%d.0/24\",", i / 256, i % 256);
    len += (size_t)sprintf(text + len, "\"1.2.3.4\"],\"CapMap\":{");
    for (int i = 0; i < 130; i++)
        len += (size_t)sprintf(text + len, "\"c%d\":[],", i);
    len += (size_t)sprintf(text + len, "\"\":[],\"%0300d\":[]}}]}", 1);
    assert_string_equal(nm_frame(&s, text), "+1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.n_endpoints, 64);
    assert_int_equal(n.n_addrs, 16);
    assert_int_equal(n.n_allowed_ips, 4096);
    assert_true(rmr_nm_peer_has_cap(nm, 1, "c127"));
    assert_false(rmr_nm_peer_has_cap(nm, 1, "c128"));
    rmr_nm_get_stats(nm, &st);
    /* 6 + 2 endpoints, 4 addresses (the last is known), 5 routes, 2 + 2 names
     */
    assert_int_equal(st.dropped_elements, 8 + 4 + 5 + 4);
    rmr_nm_free(nm);
}

static void odd_values_are_dropped_and_counted(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "\"PeersChanged\":[{\"ID\":1,\"HomeDERP\":70000}]",
        "\"PeersChanged\":[{\"ID\":1,\"Cap\":-1}]",
        "\"PeersChanged\":[{\"ID\":1,\"LastSeen\":\"soon\"}]",
        "\"PeersChanged\":[{\"ID\":1,\"User\":1.5}]",
        "\"PeersChanged\":[{\"ID\":1,\"Name\":\"a\\u0000b\"}]",
        "\"PeersRemoved\":[\"x\"]",
        "\"OnlineChange\":{\"x\":true}",
        "\"UserProfiles\":[{\"ID\":0}]",
        "\"UserProfiles\":[{\"ID\":\"x\"}]",
        "\"DNSConfig\":{\"Domains\":[5]}",
        "\"PacketFilter\":[{\"SrcIPs\":[7]}]",
        "\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":-5}}}",
        "\"DERPMap\":{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"h\","
        "\"IPv4\":\"fd7a::1\"}]}}}",
        "\"DERPMap\":{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"h\","
        "\"DERPPort\":70000}]}}}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        nm_seen s;
        char text[512];
        rmr_nm_stats st;
        rmr_nm *nm = nm_make(&s, NULL, NULL);
        (void)snprintf(text, sizeof text, "{%s}", odd[i]);
        (void)nm_frame(&s, text);
        assert_null(strstr(s.text, "error"));
        rmr_nm_get_stats(nm, &st);
        if (st.dropped_elements != 1)
            fail_msg("%s: %d", odd[i], (int)st.dropped_elements);
        rmr_nm_free(nm);
    }
}

static void a_locked_tailnet_is_warned_of_once(void **state)
{
    (void)state;
    test_log log;
    rmr_env env = test_env(NULL, NULL, &log);
    rmr_nm_config cfg;
    rmr_nm *nm;
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    (void)nm_feed(nm, NM_NOW,
                  rmr_bytes_str("{\"TKAInfo\":{\"Disabled\":true}}"), 0);
    assert_int_equal(log.len, 0);
    for (int i = 0; i < 3; i++)
        (void)nm_feed(nm, NM_NOW,
                      rmr_bytes_str("{\"TKAInfo\":{\"Head\":\"x\"}}"), 0);
    assert_true(test_log_has(&log, "tailnet lock"));
    assert_null(strstr(strstr(log.text, "tailnet lock") + 5, "tailnet lock"));
    rmr_nm_free(nm);
}

/* ---- splitting, saving, failing --------------------------------------- */

static const char *const all_samples[] = {
    "headscale/map-stream.frame-initial-restrictive-policy.json",
    "headscale/map-stream.frame-peer-added.json",
    "headscale/map-stream.frame-patch-online.json",
    "headscale/map-stream.frame-patch-key-rotated.json",
    "headscale/map-stream.frame-peer-removed.json",
    "testcontrol/map-stream.frame-full-resend-with-peer.json",
};
#define N_SAMPLES (sizeof all_samples / sizeof *all_samples)

static void any_split_of_a_frame_gives_the_same_table(void **state)
{
    (void)state;
    char *want = NULL;
    static const size_t pieces[] = {0, 1, 2, 3, 7, 64, 1000};
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        nm_seen s;
        rmr_nm *nm = nm_make(&s, NULL, NULL);
        for (size_t i = 0; i < N_SAMPLES; i++) {
            size_t len;
            char *p = nm_sample(all_samples[i], &len);
            assert_int_equal(
                nm_feed(nm, NM_NOW, rmr_bytes_of(p, len), pieces[k]), RMR_OK);
            free(p);
        }
        char *got = nm_dump(nm, NULL);
        if (want)
            assert_string_equal(got, want);
        free(want);
        want = got;
        rmr_nm_free(nm);
    }
    free(want);
}

static void a_saved_table_reads_back_equal(void **state)
{
    (void)state;
    nm_seen s, s2;
    size_t len, len2;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    for (size_t i = 0; i < N_SAMPLES; i++)
        (void)nm_send_sample(&s, all_samples[i]);
    (void)nm_frame(
        &s,
        "{\"Health\":[\"line \\\"1\\\"\"],\"DisplayMessages\":{\"m\":{"
        "\"Title\":\"T\",\"Text\":\"\\u00e4\"}},\"PacketFilters\":{\"x\":"
        "[" ALLOW(
            "cap:web") ",{\"SrcIPs\":[\"10.0.0.0/8\",\"1.1.1.1-1.1.1.3\","
                       "\"::/"
                       "80\",\"*\"],\"IPProto\":[6,500],\"DstPorts\":[{\"IP\":"
                       "\"fd7a::/"
                       "16\",\"Ports\":{\"First\":1,\"Last\":2}},{\"IP\":\"*\","
                       "\"Ports\":{\"First\":3,\"Last\":4}}]},{\"SrcIPs\":[\"*"
                       "\"],"
                       "\"IPProto\":[999],\"DstPorts\":[{\"IP\":\"1.2.3.4\"}]}]"
                       ","
                       "\"empty\":[],\"rej\":[{\"SrcBits\":[3]}," ALLOW(
                           "1.2.3.4") "]},"
                                      "\"PeersChanged\":[{\"ID\":77,"
                                      "\"Key\":" KEY(
                                          "77") ",\"Online\":false"
                                                ",\"LastSeen\":\"2026-11-21T08:"
                                                "59:59.000000001Z\","
                                                "\"AllowedIPs\":[],"
                                                "\"IsJailed\":true,"
                                                "\"IsWireGuardOnly\":true,"
                                                "\"Expired\":true,"
                                                "\"UnsignedPeerAPIOnly\":true,"
                                                "\"CapMap\":{\"web\":[]},"
                                                "\"Hostinfo\":"
                                                "{\"Hostname\":\"\\u0001\\\"\","
                                                "\"OS\":\"x\"}}]}");
    char *first = nm_dump(nm, &len);
    rmr_nm *copy = nm_make(&s2, NULL, NULL);
    assert_int_equal(nm_feed(copy, NM_NOW, rmr_bytes_of(first, len), 0),
                     RMR_OK);
    rmr_nm_stats st;
    rmr_nm_get_stats(copy, &st);
    char *second = nm_dump(copy, &len2);
    assert_string_equal(first, second);
    assert_int_equal(st.dropped_elements, 1); /* the refused filter */
    assert_int_equal(rmr_nm_peer_count(copy), rmr_nm_peer_count(nm));
    assert_int_equal(nm_rules_count(copy), nm_rules_count(nm));
    for (size_t i = 0; i < nm->n_peers; i++)
        assert_true(nm->peers[i]->n_caps || /* interned in another order */
                    rmri_nm_peer_equal(nm->peers[i], copy->peers[i]));
    free(first);
    free(second);
    rmr_nm_free(nm);
    rmr_nm_free(copy);
}

static void an_empty_table_saves_and_a_small_buffer_is_refused(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    size_t len;
    uint64_t pos = 0;
    uint8_t small[1000];
    assert_int_equal(
        rmr_nm_save(nm, &pos, rmr_buf_of(small, sizeof small), &len),
        RMR_E_BUFSIZE);
    pos = UINT64_MAX;
    static uint8_t big[65536];
    assert_int_equal(rmr_nm_save(nm, &pos, rmr_buf_of(big, sizeof big), &len),
                     RMR_E_INVAL);
    char *text = nm_dump(nm, &len);
    assert_string_equal(nm_frame(&s, text), "[]");
    free(text);
    rmr_nm_free(nm);
}

static char *nm_reference(const char *init, size_t len, const char *delta)
{
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_int_equal(nm_feed(nm, NM_NOW, rmr_bytes_of(init, len), 0), RMR_OK);
    assert_int_equal(nm_feed(nm, NM_NOW, rmr_bytes_str(delta), 0), RMR_OK);
    char *text = nm_dump(nm, NULL);
    rmr_nm_free(nm);
    return text;
}

static void without_memory_the_table_stays_whole(void **state)
{
    (void)state;
    size_t len;
    char *init = nm_sample(
        "headscale/map-stream.frame-initial-restrictive-policy.json", &len);
    const char *delta = "{\"PeersChanged\":[" PEER("1", "31") "," PEER(
        "40",
        "40") "],"
              "\"PeersRemoved\":[2],\"PeersChangedPatch\":[{\"NodeID\":4,"
              "\"Key\":" KEY(
                  "44") ",\"Endpoints\":[\"1.1.1.1:1\"],\"CapMap\":{\"new\":[]}"
                        "}],"
                        "\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{"
                        "\"2\":0.5}},\"Regions\":{\"2\":{\"Latitude\":1.5,"
                        "\"Nodes\":[{\"HostName\":\"h\",\"CanPort80\":"
                        "true,\"STUNTestIP\":\"192.0.2.1\"}]}}},"
                        "\"PacketFilters\":{\"a\":[" ALLOW(
                            "cap:new") "]},\"UserProfiles\":[{"
                                       "\"ID\":5,\"LoginName\":\"z\"}],"
                                       "\"Health\":[\"h\"],\"DNSConfig\":{"
                                       "\"Domains\":[\"x\"]}}";
    bool done = false;
    char *want = NULL;
    for (size_t n = 1; !done; n++) {
        test_alloc a = {0};
        nm_seen s;
        a.fail_at = n;
        rmr_nm *nm = nm_make(&s, &a, NULL);
        if (nm) {
            rmr_err e1 = nm_feed(nm, NM_NOW, rmr_bytes_of(init, len), 100);
            rmr_err e2 = nm_feed(nm, NM_NOW, rmr_bytes_str(delta), 0);
            assert_true(e1 == RMR_OK || e1 == RMR_E_NOMEM);
            assert_true(e2 == RMR_OK || e2 == RMR_E_NOMEM);
            done = !a.failed;
            /* Where it said nothing, nothing is missing. */
            if (!e1 && !e2) {
                char *text = nm_dump(nm, NULL);
                if (!want)
                    want = nm_reference(init, len, delta);
                assert_string_equal(text, want);
                free(text);
            }
            /* Again with memory: it comes right. */
            a.fail_at = 0;
            rmr_nm_stream_begin(nm);
            assert_int_equal(nm_feed(nm, NM_NOW, rmr_bytes_of(init, len), 0),
                             RMR_OK);
            assert_int_equal(nm_feed(nm, NM_NOW, rmr_bytes_str(delta), 0),
                             RMR_OK);
            assert_int_equal(rmr_nm_peer_count(nm), 3);
            assert_int_equal(nm_rules_count(nm), 3);
        }
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
    free(init);
    free(want);
}

static void without_randomness_there_is_no_table(void **state)
{
    (void)state;
    for (size_t n = 1; n < 20; n++) {
        test_alloc a = {0};
        test_rng rng;
        nm_seen s;
        test_rng_seed(&rng, 1);
        rng.fail_at = n;
        rmr_nm *nm = nm_make(&s, &a, &rng);
        assert_int_equal(nm == NULL, rng.calls >= n);
        if (nm)
            n = 20;
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_above_the_bound_are_dropped_and_counted),
        cmocka_unit_test(of_peers_with_one_key_the_lowest_id_holds_it),
        cmocka_unit_test(a_clock_far_off_is_corrected_for_expiry),
        cmocka_unit_test(all_peers_are_walked_by_rising_id),
        cmocka_unit_test(lists_above_their_bounds_are_cut_and_counted),
        cmocka_unit_test(odd_values_are_dropped_and_counted),
        cmocka_unit_test(a_locked_tailnet_is_warned_of_once),
        cmocka_unit_test(any_split_of_a_frame_gives_the_same_table),
        cmocka_unit_test(a_saved_table_reads_back_equal),
        cmocka_unit_test(an_empty_table_saves_and_a_small_buffer_is_refused),
        cmocka_unit_test(without_memory_the_table_stays_whole),
        cmocka_unit_test(without_randomness_there_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
