/* The netmap: captured frames, and what each field means. */
#include "nm_fixture.h"

#include <remora/filter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- samples ---------------------------------------------------------- */

static void the_first_headscale_frame_is_understood(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    rmr_nm_node n;
    rmr_nm_derp_region r;
    rmr_nm_user u;
    assert_false(rmr_nm_self(nm, &n));
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-initial-with-peer.json"),
        "+1 [SPDNFU]");
    assert_true(rmr_nm_self(nm, &n));
    assert_int_equal(n.id, 2);
    assert_string_equal(n.stable_id, "2");
    assert_string_equal(n.name, "beta.tail.example.com");
    assert_string_equal(n.hostname, "beta");
    assert_string_equal(n.os, "linux");
    assert_int_equal(n.user, 1);
    assert_int_equal(n.cap, 138);
    assert_int_equal(n.online, 1);
    assert_true(n.machine_authorized);
    assert_false(n.expired);
    assert_int_equal(n.key_expiry_unix_ns, 0);
    assert_int_equal(n.created_unix_ns, 1795252676995333633);
    assert_string_equal(nm_prefixes(n.addrs, n.n_addrs),
                        "100.64.0.2/32 fd7a:115c:a1e0::2/128");
    assert_ptr_equal(n.allowed_ips, n.addrs); /* equal: kept once */
    assert_int_equal(n.n_allowed_ips, 2);
    assert_true(rmr_nm_self_has_cap(nm, "https://tailscale.com/cap/ssh"));
    assert_false(rmr_nm_self_has_cap(nm, "only-tcp-443"));

    assert_int_equal(rmr_nm_peer_count(nm), 1);
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(nm_hex(n.key),
                        "2f584b9aaf1500abb3c83e9ccdfcca7ffa860b9781"
                        "f2aa1b5b59a7a308a2ad48");
    assert_string_equal(nm_endpoints(&n), "127.0.0.1:43992 10.99.0.1:43992");
    assert_int_equal(n.home_derp, 1);
    rmr_addr ip = rmr_addr_v4(100, 64, 0, 1, 0);
    rmr_nm_node m;
    assert_true(rmr_nm_peer_by_ip(nm, &ip, &m));
    assert_int_equal(m.id, 1);
    assert_true(rmr_nm_peer_by_key(nm, n.key, &m));
    assert_true(rmr_nm_peer_by_disco(nm, n.disco_key, &m));
    assert_true(rmr_nm_peer_by_name(nm, "alpha.tail.example.com.", &m));
    assert_true(rmr_nm_peer_by_name(nm, "ALPHA.Tail.Example.com", &m));
    assert_true(rmr_nm_peer_by_name(nm, "Alpha", &m));
    assert_false(rmr_nm_peer_by_name(nm, "beta", &m));
    assert_false(rmr_nm_peer_by_name(nm, "alpha.tail", &m));
    assert_false(rmr_nm_peer_by_name(nm, "", &m));
    assert_false(rmr_nm_peer_by_name(nm, ".", &m));
    ip.ip[3] = 2;
    assert_false(rmr_nm_peer_by_ip(nm, &ip, &m));

    assert_int_equal(rmr_nm_derp_count(nm), 1);
    assert_true(rmr_nm_derp_at(nm, 0, &r));
    assert_false(rmr_nm_derp_at(nm, 1, &r));
    assert_true(rmr_nm_derp_region_by_id(nm, 1, &r));
    assert_string_equal(r.code, "test");
    assert_string_equal(r.name, "Test");
    assert_int_equal(r.n_nodes, 1);
    assert_string_equal(r.nodes[0].name, "t1");
    assert_string_equal(r.nodes[0].host, "127.0.0.1");
    assert_int_equal(r.nodes[0].port, 36657);
    assert_int_equal(r.nodes[0].n_addrs, 1);
    assert_true(r.nodes[0].no_v6);
    assert_true(r.nodes[0].insecure);
    assert_true(r.nodes[0].tls);
    assert_int_equal(r.nodes[0].stun_port, 43270);

    assert_string_equal(rmr_nm_domain(nm), "control.example");
    assert_string_equal(rmr_nm_magic_suffix(nm), "tail.example.com");
    assert_true(rmr_nm_magic_dns_enabled(nm));
    assert_string_equal(rmr_nm_dns_domain_at(nm, 0), "tail.example.com");
    assert_string_equal(rmr_nm_dns_domain_at(nm, 1), "corp.example.net");
    assert_null(rmr_nm_dns_domain_at(nm, 2));
    assert_true(rmr_nm_user_profile(nm, 1, &u));
    assert_string_equal(u.login, "bob");
    assert_false(rmr_nm_user_profile(nm, 2, &u));
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 1);
    assert_int_equal(rmr_nm_control_time(nm), 1795252678897684142);
    rmr_nm_stats st;
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 0);
    rmr_nm_free(nm);
}

static void headscale_deltas_are_understood(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    rmr_nm_node n;
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-initial-no-peers.json"),
        "[SDNFU]");
    assert_int_equal(rmr_nm_peer_count(nm), 0);
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-empty-delta.json"),
        "[]");
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-self-update.json"),
        "[]"); /* equal to what we have */
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-peer-added.json"),
        "+2 [PF]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.online, 0);
    assert_int_equal(n.last_seen_unix_ns, 1795252678396438728);
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-patch-online.json"),
        "*2 [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.online, 1);
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-patch-online.json"),
        "[]");
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-patch-keyexpiry.json"),
        "*2 [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.key_expiry_unix_ns, 1795252750153191479);
    assert_true(n.expired); /* by the clock */
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-patch-key-rotated.json"),
        "*2k [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_string_equal(nm_hex(n.key),
                        "274c0d7003e97e6abc1c1185ef109e32e633e4c296"
                        "d29c62f28ff18f0f709537");
    assert_string_equal(nm_endpoints(&n), "127.0.0.1:37384 10.99.0.1:37384");
    rmr_nm_node m;
    assert_true(rmr_nm_peer_by_key(nm, n.key, &m));
    assert_int_equal(m.id, 2);
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-patch-offline.json"),
        "*2 [P]");
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-peer-expired.json"),
        "*2k [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_true(n.expired);
    assert_false(n.machine_authorized);
    assert_string_equal(
        nm_send_sample(&s, "headscale/map-stream.frame-peer-removed.json"),
        "+1 [PF]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(nm_prefixes(n.allowed_ips, n.n_allowed_ips),
                        "10.55.0.0/24 100.64.0.1/32 fd7a:115c:a1e0::1/128");
    assert_string_equal(nm_prefixes(n.primary_routes, n.n_primary_routes),
                        "10.55.0.0/24");
    assert_string_equal(nm_frame(&s, "{\"PeersRemoved\":[1,7]}"), "-1 [P]");
    assert_false(rmr_nm_peer(nm, 1, &n));
    rmr_nm_free(nm);
}

static void a_restrictive_policy_compiles_to_its_rules(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(
        nm_send_sample(
            &s, "headscale/map-stream.frame-initial-restrictive-policy.json"),
        "+1 +2 +4 [SPDNFU]");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 2);
    assert_true(nm_passes(nm, 1, 6, 22));
    assert_true(nm_passes(nm, 1, 6, 8100));
    assert_false(nm_passes(nm, 1, 6, 8101));
    assert_false(nm_passes(nm, 2, 6, 22));
    assert_true(nm_passes(nm, 2, 1, 0));
    assert_true(nm_passes(nm, 4, 1, 0));
    assert_false(nm_passes(nm, 3, 1, 0));
    rmr_nm_free(nm);
    nm = nm_make(&s, NULL, NULL);
    (void)nm_send_sample(
        &s, "headscale/map-stream.frame-initial-empty-filter.json");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 0);
    rmr_nm_free(nm);
}

static void testcontrol_frames_are_understood(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    rmr_nm_node n;
    assert_string_equal(
        nm_send_sample(&s, "testcontrol/map-stream.frame-initial.json"),
        "[SDNFU]");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 1);
    assert_string_equal(
        nm_send_sample(
            &s, "testcontrol/map-stream.frame-full-resend-with-peer.json"),
        "+2 [SPFU]");
    assert_true(rmr_nm_peer_by_name(nm, "beta", &n));
    assert_string_equal(n.stable_id, "TESTCTRL00000002");
    assert_int_equal(n.online, 1);
    assert_false(n.expired);
    assert_string_equal(
        nm_send_sample(&s, "testcontrol/map-stream.frame-c2n-ping.json"),
        "ping(https://unused/c2n/b5b9dc6bf1,0,c2n)[]");
    assert_string_equal(
        nm_send_sample(&s, "testcontrol/map-stream.frame-head-ping.json"),
        "ping(http://control.example:8081/lab/pong?[CqBr+],0,)[]");
    assert_string_equal(
        nm_send_sample(&s, "testcontrol/map-lite.response-frame.json"), "[SF]");
    rmr_nm_free(nm);
}

/* ---- semantics -------------------------------------------------------- */

static void
an_empty_list_is_no_change_but_a_new_stream_begins_anew(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(nm_frame(&s, "{" SELF ",\"Peers\":[" PEER(
                                         "1", "01") "," PEER("2", "02") "]}"),
                        "+1 +2 [SP]");
    assert_string_equal(nm_frame(&s, "{\"Peers\":[]}"), "[]");
    assert_string_equal(nm_frame(&s, "{\"Peers\":null}"), "[]");
    assert_string_equal(
        nm_frame(&s, "{\"Peers\":[" PEER("2", "02") "," PEER("3", "03") "]}"),
        "+3 -1 [P]");
    rmr_nm_stream_begin(nm);
    assert_string_equal(nm_frame(&s, "{\"KeepAlive\":true}"), "[K]");
    assert_int_equal(rmr_nm_peer_count(nm), 2);
    /* Not a first frame: it has no Node. */
    assert_string_equal(nm_frame(&s, "{\"ControlTime\":null}"), "[]");
    assert_int_equal(rmr_nm_peer_count(nm), 2);
    assert_string_equal(nm_frame(&s, "{" SELF "}"), "-2 -3 [P]");
    assert_string_equal(nm_frame(&s, "{}"), "[]");
    rmr_nm_free(nm);
}

/* It is known by its bytes, and yet a frame like any other. */
static void a_bare_keep_alive_is_read_without_a_reader(void **state)
{
    (void)state;
    static const char beat[] = "{\"KeepAlive\":true}";
    nm_seen s;
    test_alloc a = {0};
    rmr_nm *nm = nm_make(&s, &a, NULL);
    assert_string_equal(nm_frame(&s, "{" SELF "}"), "[S]");
    size_t blocks = a.calls;
    assert_string_equal(nm_frame(&s, beat), "[K]");
    assert_int_equal(a.calls, blocks);
    assert_string_equal(nm_frame(&s, "{\"KeepAlive\":false}"), "[]");
    assert_true(a.calls > blocks);
    static const struct {
        const char *more;
        rmr_err err;
    } then[] = {{"", RMR_OK},
                {" ", RMR_OK},
                {"}", RMR_E_MALFORMED},
                {"{\"KeepAlive\":true}", RMR_E_MALFORMED}};
    for (size_t i = 0; i < sizeof then / sizeof *then; i++) {
        rmr_nm_frame_begin(nm, NM_NOW);
        assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str(beat)), RMR_OK);
        (void)rmr_nm_frame_feed(nm, rmr_bytes_str(then[i].more));
        assert_int_equal(rmr_nm_frame_end(nm), then[i].err);
    }
    /* In front of it, and none at all. */
    rmr_nm_frame_begin(nm, NM_NOW);
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("{")), RMR_OK);
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str(beat)),
                     RMR_E_MALFORMED);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_E_MALFORMED);
    rmr_nm_frame_begin(nm, NM_NOW);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_E_MALFORMED);
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

static void a_full_list_overrules_the_other_peer_fields(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(
        nm_frame(&s,
                 "{" SELF
                 ",\"Peers\":[" PEER("1", "01") "],\"PeersChanged\":[" PEER(
                     "2", "02") "],\"PeersRemoved\":[1],\"OnlineChange\":"
                                "{\"1\":true},\"PeerSeenChange\":{\"1\":true},"
                                "\"PeersChangedPatch\":[{\"NodeID\":1,"
                                "\"Online\":true}]}"),
        "+1 [SP]");
    /* Also when they come first. */
    assert_string_equal(
        nm_frame(&s, "{\"PeersChanged\":[" PEER("2", "02") "],\"Peers\":[" PEER(
                         "1", "01") "]}"),
        "+2 -2 [P]");
    rmr_nm_free(nm);
}

static void deltas_of_one_frame_come_out_as_in_the_right_order(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "]}");
    /* Removed comes before Changed, whatever the text says. */
    assert_string_equal(nm_frame(&s, "{\"PeersChanged\":[" PEER(
                                         "1", "02") "],\"PeersRemoved\":[1]}"),
                        "*1k [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(
        nm_frame(&s, "{\"PeersRemoved\":[1],\"PeersChanged\":[" PEER(
                         "1", "02") "]}"),
        "-1 +1 [P]");
    /* Patches come last, also over a Changed that is written later. */
    assert_string_equal(
        nm_frame(&s, "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Online\":true,"
                     "\"DERPRegion\":7,\"Endpoints\":[\"1.2.3.4:5\"]}],"
                     "\"OnlineChange\":{\"1\":false},\"PeersChanged\":[" PEER(
                         "1", "03") "]}"),
        "*1 *1k [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, 1);
    assert_int_equal(n.home_derp, 7);
    assert_string_equal(nm_endpoints(&n), "1.2.3.4:5");
    assert_int_equal(n.key[31], 3);
    /* The next frame's Changed is whole again. */
    (void)nm_frame(&s, "{\"PeersChanged\":[" PEER("1", "03") "]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, -1);
    assert_int_equal(n.home_derp, 0);
    assert_int_equal(n.n_endpoints, 0);
    /* Seen and Online before Changed. */
    (void)nm_frame(&s,
                   "{\"OnlineChange\":{\"1\":true},\"PeerSeenChange\":{\"1\":"
                   "true},\"PeersChanged\":[" PEER("1", "03") "]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, 1);
    assert_int_equal(n.last_seen_unix_ns, NM_NOW);
    assert_string_equal(nm_frame(&s,
                                 "{\"PeerSeenChange\":{\"1\":false,\"x\":true,"
                                 "\"8\":true}}"),
                        "*1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.last_seen_unix_ns, 0);
    rmr_nm_free(nm);
}

static void a_stale_patch_is_dropped_whole(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{" SELF ",\"Peers\":[{\"ID\":1,\"Key\":" KEY(
                           "01") ",\"LastSeen\":\"2026-11-21T09:00:00Z\"}]}");
    const char *stale =
        "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Online\":false,\"DiscoKey\":"
        "\"discokey:00000000000000000000000000000000000000000000000000000000000"
        "00001\",\"LastSeen\":\"2026-11-21T08:59:59Z\",\"Cap\":5}]}";
    assert_string_equal(nm_frame(&s, stale), "[]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.cap, 0);
    char fresh[512];
    (void)snprintf(fresh, sizeof fresh, "%s", stale);
    memcpy(strstr(fresh, "08:59:59"), "09:00:01", 8);
    assert_string_equal(nm_frame(&s, fresh), "*1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.cap, 5);
    assert_int_equal(n.disco_key[31], 1);
    rmr_nm_free(nm);
}

static void missing_null_and_empty_fields_of_a_node_differ(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm_node n;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(
        &s,
        "{" SELF ",\"Peers\":["
        "{\"ID\":1,\"Key\":" KEY(
            "01") ",\"Addresses\":[\"100.64.0.1/32\"]},"
                  "{\"ID\":2,\"Key\":" KEY(
                      "02") ",\"Addresses\":[\"100.64.0.2/32\"],"
                            "\"AllowedIPs\":null,\"DERP\":\"127.3.3.40:5\","
                            "\"Online\":null},"
                            "{\"ID\":3,\"Key\":" KEY(
                                "03") ",\"Addresses\":[\"100.64.0.3/32\"],"
                                      "\"AllowedIPs\":[],\"HomeDERP\":4,"
                                      "\"DERP\":\"127.3.3.40:5\"},"
                                      "{\"AllowedIPs\":[\"10.0.0.0/"
                                      "8\"],\"ID\":4,\"Key\":" KEY(
                                          "04") ",\"Addresses\":[\"100.64.0.4/"
                                                "32\",\"100.64.0.4/"
                                                "32\",\"junk\"],"
                                                "\"DERP\":\"127.3.3.41:5\","
                                                "\"Capabilities\":[\"a\",\"b\"]"
                                                ","
                                                "\"CapMap\":{\"b\":null,\"c\":["
                                                "1,\"x\",{\"y\":[2]}]},"
                                                "\"IsJailed\":true,"
                                                "\"IsWireGuardOnly\":true}]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.n_allowed_ips, 1);
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.n_allowed_ips, 1);
    assert_int_equal(n.home_derp, 5);
    assert_int_equal(n.online, -1);
    assert_true(rmr_nm_peer(nm, 3, &n));
    assert_int_equal(n.n_allowed_ips, 0);
    assert_int_equal(n.home_derp, 4);
    assert_true(rmr_nm_peer(nm, 4, &n));
    assert_string_equal(nm_prefixes(n.allowed_ips, n.n_allowed_ips),
                        "10.0.0.0/8");
    assert_int_equal(n.n_addrs, 1);
    assert_int_equal(n.home_derp, 0);
    assert_true(n.jailed && n.wireguard_only);
    assert_true(rmr_nm_peer_has_cap(nm, 4, "a"));
    assert_true(rmr_nm_peer_has_cap(nm, 4, "b"));
    assert_true(rmr_nm_peer_has_cap(nm, 4, "c"));
    assert_false(rmr_nm_peer_has_cap(nm, 4, "x"));
    assert_false(rmr_nm_peer_has_cap(nm, 3, "a"));
    rmr_nm_stats st;
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(st.dropped_elements, 2); /* junk, 127.3.3.41 */
    rmr_nm_free(nm);
}

static void nodes_without_a_sound_identity_are_dropped(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"Key\":" KEY("01") "}",
        "{\"ID\":0}",
        "{\"ID\":-1}",
        "{\"ID\":1.5}",
        "{\"ID\":\"1\"}",
        "{\"ID\":9223372036854775808}",
        "{\"ID\":1,\"Key\":\"nodekey:00\"}",
        ("{\"ID\":1,\"Key\":\"mkey:000000000000000000000000000000000000000000"
         "0000000000000000000001\"}"),
        "{\"ID\":1,\"Key\":5}",
        "{\"ID\":1,\"DiscoKey\":\"discokey:xx\"}"};
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(&s, "{" SELF "}");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        rmr_nm_stats st;
        (void)snprintf(text, sizeof text, "{\"PeersChanged\":[%s]}", bad[i]);
        assert_string_equal(nm_frame(&s, text), "[]");
        rmr_nm_get_stats(nm, &st);
        assert_int_equal(st.dropped_elements, i + 1);
    }
    assert_string_equal(nm_frame(&s, "{\"PeersChanged\":[\"x\",1,null,[]]}"),
                        "[]");
    rmr_nm_free(nm);
}

static void a_broken_frame_removes_nothing(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    (void)nm_frame(
        &s,
        "{" SELF ",\"Peers\":[" PEER("1", "01") "," PEER(
            "2",
            "02") "],\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{"
                  "\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]}");
    static const char *const broken[] = {
        ("{\"Peers\":[" PEER("1", "01") "],\"Health\":[}"),
        ("{\"Peers\":[" PEER("1", "01") "]"),
        "",
        "[]",
        "5",
        "{}{}",
        ("[{\"Peers\":[" PEER("1", "01") "]}]"),
        "{\"PacketFilter\":[],\"Health\":[}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        (void)nm_frame(&s, broken[i]);
        assert_string_equal(s.text, "error -101");
        assert_int_equal(rmr_nm_peer_count(nm), 2);
        assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 1);
    }
    /* What was read of it holds. */
    assert_string_equal(
        nm_frame(&s, "{\"PeersChanged\":[" PEER("3", "03") "],"),
        "+3 error -101");
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("{")), RMR_E_STATE);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_E_STATE);
    rmr_nm_free(nm);
}

static void keepalives_carry_requests_and_nothing_else(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(
        nm_frame(&s,
                 "{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"http://x/\","
                 "\"URLIsNoise\":true,\"Types\":\"disco\"},\"PopBrowserURL\":"
                 "\"https://y/\"," SELF ",\"Peers\":[" PEER(
                     "1", "01") "],"
                                "\"PeersRemoved\":[1],\"PacketFilter\":[],"
                                "\"Domain\":\"d\","
                                "\"ControlTime\":\"2026-11-21T09:17:51.5Z\"}"),
        "ping(http://x/,1,disco)pop(https://y/)[K]");
    assert_int_equal(rmr_nm_control_time(nm), 1795252671500000000);
    assert_string_equal(nm_frame(&s, "{\"PingRequest\":{\"Types\":\"x\"},"
                                     "\"PopBrowserURL\":\"\"}"),
                        "[]");
    rmr_nm_free(nm);
}

static void callbacks_may_not_feed(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    s.reenter = true;
    assert_string_equal(
        nm_frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "]}"), "+1 [SP]");
    rmr_nm_free(nm);
}

static void health_and_messages_are_one_list(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
    assert_string_equal(nm_frame(&s, "{\"Health\":[\"a\",\"b\"]}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 2);
    assert_string_equal(
        nm_frame(&s,
                 "{\"DisplayMessages\":{\"m1\":{\"Title\":\"T\",\"Text\":\"x\","
                 "\"Severity\":\"high\"},\"m2\":{\"Text\":\"y\"}}}"),
        "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 4);
    assert_string_equal(rmr_nm_health_at(nm, 2), "T: x");
    assert_string_equal(rmr_nm_health_at(nm, 3), "y");
    assert_string_equal(rmr_nm_health_at(nm, 4), "");
    assert_string_equal(nm_frame(&s, "{\"Health\":null}"), "[]");
    assert_string_equal(nm_frame(&s, "{\"Health\":[]}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 2);
    assert_string_equal(
        nm_frame(&s, "{\"DisplayMessages\":{\"m1\":null,\"m9\":null}}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    assert_string_equal(
        nm_frame(&s,
                 "{\"DisplayMessages\":{\"m3\":{\"Text\":\"z\"},\"*\":null}}"),
        "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    assert_string_equal(rmr_nm_health_at(nm, 0), "z");
    (void)nm_frame(&s, "{" SELF "}");
    assert_int_equal(rmr_nm_health_count(nm), 0);
    for (int i = 0; i < 100; i++)
        (void)nm_frame(&s, "{\"DisplayMessages\":{\"m3\":{\"Text\":\"z\"}}}");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    rmr_nm_free(nm);
}

static void derp_maps_follow_their_rules(void **state)
{
    (void)state;
    nm_seen s;
    test_alloc a = {0};
    rmr_nm_derp_region r;
    rmr_nm *nm = nm_make(&s, &a, NULL);
    const char *two =
        "{\"DERPMap\":{\"Regions\":{\"10\":{\"RegionID\":10,\"RegionCode\":"
        "\"b\",\"NoMeasureNoHome\":true,\"Nodes\":[{\"Name\":\"x\","
        "\"HostName\":"
        "\"b.example\",\"STUNPort\":-1,\"IPv6\":\"fd7a::1\"},{\"Name\":\"y\"}]}"
        ","
        "\"3\":{\"RegionCode\":\"a\",\"Avoid\":true,\"Nodes\":[{\"HostName\":"
        "\"a.example\",\"CertName\":\"sha256-raw:00\",\"STUNOnly\":true,"
        "\"IPv4\":\"none\"}]},\"4\":null,\"70000\":{},\"0\":{}}}}";
    assert_string_equal(nm_frame(&s, two), "[D]");
    assert_string_equal(nm_frame(&s, two), "[]");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    assert_true(rmr_nm_derp_at(nm, 0, &r));
    assert_int_equal(r.id, 3);
    assert_true(r.avoid);
    assert_string_equal(r.nodes[0].cert_name, "sha256-raw:00");
    assert_true(r.nodes[0].stun_only);
    assert_true(r.nodes[0].no_v4);
    assert_int_equal(r.nodes[0].port, 443);
    assert_int_equal(r.nodes[0].stun_port, 3478);
    assert_true(rmr_nm_derp_at(nm, 1, &r));
    assert_int_equal(r.id, 10);
    assert_true(r.no_measure_no_home);
    assert_int_equal(r.n_nodes, 1); /* y has nothing to dial */
    assert_int_equal(r.nodes[0].stun_port, -1);
    assert_int_equal(r.nodes[0].addrs[0].family, RMR_AF_INET6);
    assert_string_equal(nm_frame(&s, "{\"DERPMap\":null}"), "[]");
    assert_string_equal(nm_frame(&s,
                                 "{\"DERPMap\":{\"Regions\":null,\"HomeParams\""
                                 ":null}}"),
                        "[]");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    /* Broken in the middle: the old one stays. */
    (void)nm_frame(&s,
                   "{\"DERPMap\":{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":"
                   "\"h\"},x");
    (void)nm_frame(&s, "{\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1,}}}}");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    assert_string_equal(nm_frame(&s, "{\"DERPMap\":{\"Regions\":{}}}"), "[D]");
    assert_int_equal(rmr_nm_derp_count(nm), 0);
    assert_false(rmr_nm_derp_region_by_id(nm, 3, &r));
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

#define DISCO(xx) "\"DiscoKey\":\"discokey:" K32(xx) "\""
#define K32(xx) K8(xx) K8(xx) K8(xx) K8(xx)
#define K8(xx) xx xx xx xx xx xx xx xx

/* A first disco key, or one that is given up, says nothing of a restart. */
static void another_disco_key_means_that_the_peer_was_restarted(void **state)
{
    (void)state;
    nm_seen s;
    rmr_nm *nm = nm_make(&s, NULL, NULL);
#define PATCH(x) "{\"PeersChangedPatch\":[{\"NodeID\":1," x "}]}"
    (void)nm_frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "]}");
    assert_string_equal(nm_frame(&s, PATCH(DISCO("0a"))), "*1 [P]");
    assert_string_equal(nm_frame(&s, PATCH("\"Online\":true")), "*1 [P]");
    assert_string_equal(nm_frame(&s, PATCH(DISCO("0b"))), "*1 r1 [P]");
    assert_string_equal(nm_frame(&s, PATCH(DISCO("0b"))), "[]");
    assert_string_equal(nm_frame(&s, PATCH(DISCO("00"))), "*1 [P]");
    rmr_nm_free(nm);
}

static void all_fields_of_a_derp_map_are_read(void **state)
{
    (void)state;
    nm_seen s;
    test_alloc a = {0};
    rmr_nm_derp_region r;
    rmr_nm *nm = nm_make(&s, &a, NULL);
    const char *map =
        "{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{\"7\":2.5}},"
        "\"Regions\":{\"7\":{\"RegionID\":7,\"Latitude\":48.5,"
        "\"Longitude\":-9.25,\"Nodes\":[{\"Name\":\"7a\",\"HostName\":\"h\","
        "\"IPv4\":\"192.0.2.7\",\"IPv6\":\"whatever\",\"STUNPort\":0,"
        "\"DERPPort\":8443,\"STUNTestIP\":\"192.0.2.9\",\"CanPort80\":true}]}}}"
        "}";
    assert_string_equal(nm_frame(&s, map), "[D]");
    assert_true(rmr_nm_derp_region_by_id(nm, 7, &r));
    assert_true(r.latitude == 48.5 && r.longitude == -9.25);
    const rmr_nm_derp_node *d = &r.nodes[0];
    assert_int_equal(d->stun_port, 3478);
    assert_int_equal(d->port, 8443);
    assert_true(d->can_port80);
    assert_int_equal(d->stun_test_ip.ip[3], 9);
    assert_int_equal(d->n_addrs, 1);
    assert_false(d->no_v4);
    assert_true(d->no_v6); /* a text that is no address */
    /* And all of them are kept in the cache. */
    nm_seen s2;
    char *text = nm_dump(nm, NULL);
    rmr_nm *copy = nm_make(&s2, NULL, NULL);
    (void)nm_frame(&s2, text);
    rmr_nm_derp_region r2;
    assert_true(rmr_nm_derp_region_by_id(copy, 7, &r2));
    assert_true(r2.latitude == 48.5 && r2.longitude == -9.25);
    assert_true(r2.score == 2.5);
    rmr_dial dial, dial2;
    rmr_nm_derp_dial(r.nodes, &dial);
    rmr_nm_derp_dial(r2.nodes, &dial2);
    assert_memory_equal(&dial, &dial2, sizeof dial);
    assert_int_equal(dial.timeout, 10 * RMR_SEC);
    assert_string_equal(r2.nodes->name, r.nodes->name);
    assert_int_equal(r2.nodes->stun_port, r.nodes->stun_port);
    assert_int_equal(r2.nodes->stun_test_ip.ip[3], 9);
    assert_true(r2.nodes->can_port80 && !r2.nodes->stun_only);
    free(text);
    rmr_nm_free(copy);
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

static double score(rmr_nm *nm, uint16_t id)
{
    rmr_nm_derp_region r;
    assert_true(rmr_nm_derp_region_by_id(nm, id, &r));
    return r.score;
}

static void region_scores_stay_until_they_are_replaced(void **state)
{
    (void)state;
    nm_seen s;
    test_alloc a = {0};
    rmr_nm *nm = nm_make(&s, &a, NULL);
#define HOME(x) "{\"DERPMap\":{\"HomeParams\":" x "}}"
    assert_string_equal(
        nm_frame(&s, "{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{\"1\":0.5,"
                     "\"2\":-1,\"x\":2}},\"Regions\":{\"1\":{\"Nodes\":[{"
                     "\"HostName\":\"h\"}]},\"2\":{}}}}"),
        "[D]");
    assert_true(score(nm, 1) == 0.5);
    assert_true(score(nm, 2) == 1); /* not above 0: says nothing */
    assert_string_equal(nm_frame(&s, HOME("null")), "[]");
    assert_string_equal(nm_frame(&s, HOME("{\"RegionScore\":null}")), "[]");
    assert_true(score(nm, 1) == 0.5);
    (void)nm_frame(&s, HOME("{\"RegionScore\":{\"1\":0.25,x"));
    assert_true(score(nm, 1) == 0.5);
    assert_string_equal(nm_frame(&s, HOME("{\"RegionScore\":{\"2\":3}}")),
                        "[D]");
    assert_true(score(nm, 1) == 1 && score(nm, 2) == 3);
    assert_string_equal(nm_frame(&s, HOME("{\"RegionScore\":{}}")), "[D]");
    assert_true(score(nm, 2) == 1);
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_headscale_frame_is_understood),
        cmocka_unit_test(headscale_deltas_are_understood),
        cmocka_unit_test(a_restrictive_policy_compiles_to_its_rules),
        cmocka_unit_test(testcontrol_frames_are_understood),
        cmocka_unit_test(a_bare_keep_alive_is_read_without_a_reader),
        cmocka_unit_test(
            an_empty_list_is_no_change_but_a_new_stream_begins_anew),
        cmocka_unit_test(a_full_list_overrules_the_other_peer_fields),
        cmocka_unit_test(deltas_of_one_frame_come_out_as_in_the_right_order),
        cmocka_unit_test(a_stale_patch_is_dropped_whole),
        cmocka_unit_test(missing_null_and_empty_fields_of_a_node_differ),
        cmocka_unit_test(nodes_without_a_sound_identity_are_dropped),
        cmocka_unit_test(a_broken_frame_removes_nothing),
        cmocka_unit_test(keepalives_carry_requests_and_nothing_else),
        cmocka_unit_test(callbacks_may_not_feed),
        cmocka_unit_test(health_and_messages_are_one_list),
        cmocka_unit_test(derp_maps_follow_their_rules),
        cmocka_unit_test(another_disco_key_means_that_the_peer_was_restarted),
        cmocka_unit_test(all_fields_of_a_derp_map_are_read),
        cmocka_unit_test(region_scores_stay_until_they_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
