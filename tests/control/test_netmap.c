/* The netmap: captured frames, the meaning of each field, the filter's lists,
 * saving and loading. */
#include <remora/filter.h>
#include <remora/netmap.h>
#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nm_internal.h"
#include "nm_support.h"
#include "support.h"

/* A file of tests/vectors/control; the caller frees it. */
static char *nm_sample(const char *name, size_t *len)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/control/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        (void)fprintf(stderr, "no sample %s\n", path);
        abort();
    }
    char *p = malloc(1 << 20);
    *len = fread(p, 1, (1 << 20) - 1, f);
    p[*len] = '\0';
    (void)fclose(f);
    return p;
}

typedef struct seen {
    char text[8192]; /* what the callbacks said */
    size_t len;
    rmr_nm *nm;
    bool reenter;
} seen;

static void say(seen *s, const char *fmt, ...) RMR_PRINTF(2, 3);
static void say(seen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->text + s->len, sizeof s->text - s->len, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof s->text - s->len);
    s->len += (size_t)n;
}

static void on_peer(void *user, rmr_nm_change change, const rmr_nm_node *p,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    seen *s = user;
    rmr_nm_node again;
    bool there = rmr_nm_peer(s->nm, p->id, &again);
    assert_int_equal(there, change != RMR_NM_PEER_REMOVED);
    say(s, "%c%llu%s ", "+*-"[change], (unsigned long long)p -> id,
        memcmp(old_key, p->key, RMR_KEY_LEN) ? "k" : "");
    if (s->reenter)
        assert_int_equal(rmr_nm_frame_feed(s->nm, rmr_bytes_str("{")),
                         RMR_E_REENTRANT);
}

static void on_frame(void *user, uint32_t changed)
{
    static const char letters[] = "SPDNFUHK";
    seen *s = user;
    say(s, "[");
    for (size_t i = 0; i < 8; i++) {
        if (changed >> i & 1)
            say(s, "%c", letters[i]);
    }
    say(s, "]");
    if (s->reenter)
        assert_int_equal(rmr_nm_frame_end(s->nm), RMR_E_REENTRANT);
}

static void on_ping(void *user, const char *url, bool noise, const char *types)
{
    say(user, "ping(%s,%d,%s)", url, noise, types);
}

static void on_pop(void *user, const char *url)
{
    say(user, "pop(%s)", url);
}

static rmr_nm *make(seen *s, test_alloc *a, test_rng *rng)
{
    rmr_env env = test_env(a, rng, NULL);
    rmr_nm_callbacks cb = {sizeof cb, s, on_peer, on_frame, on_ping, on_pop};
    rmr_nm_config cfg;
    rmr_nm *nm = NULL;
    memset(s, 0, sizeof *s);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(cfg.max_peers, 100000);
    cfg.callbacks = &cb;
    if (rmr_nm_new(&nm, &env, &cfg) == RMR_OK)
        s->nm = nm;
    return nm;
}

#define NOW ((uint64_t)1795253000 * RMR_SEC) /* 2026-11-21T09:23:20Z */

/* Feeds a frame and tells what the callbacks said. */
static const char *frame(seen *s, const char *json)
{
    s->len = 0;
    s->text[0] = '\0';
    rmr_err e = nm_feed(s->nm, NOW, rmr_bytes_str(json), 0);
    if (e)
        say(s, "error %d", (int)e);
    return s->text;
}

static const char *sample(seen *s, const char *name)
{
    size_t len;
    char *p = nm_sample(name, &len);
    (void)frame(s, p);
    free(p);
    return s->text;
}

static const char *hex(const uint8_t *k)
{
    static char text[65];
    return rmr_hex(text, k, RMR_KEY_LEN);
}

static const char *prefixes(const rmr_prefix *p, size_t n)
{
    static char out[512];
    char text[RMR_PREFIX_TEXT_MAX];
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(out, i ? " " : "");
        strcat(out, rmr_prefix_text(&p[i], text));
    }
    return out;
}

static const char *endpoints(const rmr_nm_node *n)
{
    static char out[512];
    char text[RMR_ADDR_TEXT_MAX];
    out[0] = '\0';
    for (size_t i = 0; i < n->n_endpoints; i++) {
        strcat(out, i ? " " : "");
        strcat(out, rmr_addr_text(&n->endpoints[i], text));
    }
    return out;
}

static bool ping_passes(rmr_nm *nm, uint8_t src, uint8_t proto, uint16_t port)
{
    uint8_t p[40] = {0x45, 0, 0, 40, 0, 0, 0, 0, 64, proto};
    memcpy(p + 12, (uint8_t[]){100, 64, 0, src, 100, 64, 0, 5}, 8);
    p[20] = proto == 1 ? 8 : 0;
    p[22] = (uint8_t)(port >> 8);
    p[23] = (uint8_t)port;
    p[33] = 2;
    if (proto == 1)
        p[22] = p[23] = 0;
    return rmr_filter_check_in(rmr_nm_filter(nm), rmr_bytes_of(p, 40), false);
}

/* ---- samples ---------------------------------------------------------- */

static void the_first_headscale_frame_is_understood(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    rmr_nm_node n;
    rmr_nm_derp_region r;
    rmr_nm_user u;
    assert_false(rmr_nm_self(nm, &n));
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-initial-with-peer.json"),
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
    assert_string_equal(prefixes(n.addrs, n.n_addrs),
                        "100.64.0.2/32 fd7a:115c:a1e0::2/128");
    assert_ptr_equal(n.allowed_ips, n.addrs); /* equal: kept once */
    assert_int_equal(n.n_allowed_ips, 2);
    assert_true(rmr_nm_self_has_cap(nm, "https://tailscale.com/cap/ssh"));
    assert_false(rmr_nm_self_has_cap(nm, "only-tcp-443"));

    assert_int_equal(rmr_nm_peer_count(nm), 1);
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(hex(n.key), "2f584b9aaf1500abb3c83e9ccdfcca7ffa860b9781"
                                    "f2aa1b5b59a7a308a2ad48");
    assert_string_equal(endpoints(&n), "127.0.0.1:43992 10.99.0.1:43992");
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
    assert_string_equal(r.nodes[0].dial.host, "127.0.0.1");
    assert_int_equal(r.nodes[0].dial.port, 36657);
    assert_int_equal(r.nodes[0].dial.n_addrs, 1);
    assert_true(r.nodes[0].dial.no_v6);
    assert_true(r.nodes[0].dial.insecure);
    assert_true(r.nodes[0].dial.tls);
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
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    rmr_nm_node n;
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-initial-no-peers.json"),
        "[SDNFU]");
    assert_int_equal(rmr_nm_peer_count(nm), 0);
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-empty-delta.json"), "[]");
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-self-update.json"),
        "[]"); /* equal to what we have */
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-peer-added.json"), "+2 [PF]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.online, 0);
    assert_int_equal(n.last_seen_unix_ns, 1795252678396438728);
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-patch-online.json"), "*2 [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.online, 1);
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-patch-online.json"), "[]");
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-patch-keyexpiry.json"),
        "*2 [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_int_equal(n.key_expiry_unix_ns, 1795252750153191479);
    assert_true(n.expired); /* by the clock */
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-patch-key-rotated.json"),
        "*2k [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_string_equal(hex(n.key), "274c0d7003e97e6abc1c1185ef109e32e633e4c296"
                                    "d29c62f28ff18f0f709537");
    assert_string_equal(endpoints(&n), "127.0.0.1:37384 10.99.0.1:37384");
    rmr_nm_node m;
    assert_true(rmr_nm_peer_by_key(nm, n.key, &m));
    assert_int_equal(m.id, 2);
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-patch-offline.json"), "*2 [P]");
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-peer-expired.json"), "*2k [P]");
    assert_true(rmr_nm_peer(nm, 2, &n));
    assert_true(n.expired);
    assert_false(n.machine_authorized);
    assert_string_equal(
        sample(&s, "headscale/map-stream.frame-peer-removed.json"), "+1 [PF]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(prefixes(n.allowed_ips, n.n_allowed_ips),
                        "10.55.0.0/24 100.64.0.1/32 fd7a:115c:a1e0::1/128");
    assert_string_equal(prefixes(n.primary_routes, n.n_primary_routes),
                        "10.55.0.0/24");
    assert_string_equal(frame(&s, "{\"PeersRemoved\":[1,7]}"), "-1 [P]");
    assert_false(rmr_nm_peer(nm, 1, &n));
    rmr_nm_free(nm);
}

static void a_restrictive_policy_compiles_to_its_rules(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(
        sample(&s,
               "headscale/map-stream.frame-initial-restrictive-policy.json"),
        "+1 +2 +4 [SPDNFU]");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 2);
    assert_true(ping_passes(nm, 1, 6, 22));
    assert_true(ping_passes(nm, 1, 6, 8100));
    assert_false(ping_passes(nm, 1, 6, 8101));
    assert_false(ping_passes(nm, 2, 6, 22));
    assert_true(ping_passes(nm, 2, 1, 0));
    assert_true(ping_passes(nm, 4, 1, 0));
    assert_false(ping_passes(nm, 3, 1, 0));
    rmr_nm_free(nm);
    nm = make(&s, NULL, NULL);
    (void)sample(&s, "headscale/map-stream.frame-initial-empty-filter.json");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 0);
    rmr_nm_free(nm);
}

static void testcontrol_frames_are_understood(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    rmr_nm_node n;
    assert_string_equal(sample(&s, "testcontrol/map-stream.frame-initial.json"),
                        "[SDNFU]");
    assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 1);
    assert_string_equal(
        sample(&s, "testcontrol/map-stream.frame-full-resend-with-peer.json"),
        "+2 [SPFU]");
    assert_true(rmr_nm_peer_by_name(nm, "beta", &n));
    assert_string_equal(n.stable_id, "TESTCTRL00000002");
    assert_int_equal(n.online, 1);
    assert_false(n.expired);
    assert_string_equal(
        sample(&s, "testcontrol/map-stream.frame-c2n-ping.json"),
        "ping(https://unused/c2n/b5b9dc6bf1,0,c2n)[]");
    assert_string_equal(
        sample(&s, "testcontrol/map-stream.frame-head-ping.json"),
        "ping(http://control.example:8081/lab/pong?[CqBr+],0,)[]");
    assert_string_equal(sample(&s, "testcontrol/map-lite.response-frame.json"),
                        "[SF]");
    rmr_nm_free(nm);
}

/* ---- semantics -------------------------------------------------------- */

#define SELF                                                                   \
    "\"Node\":{\"ID\":99,\"Name\":\"me.ex.com.\",\"Key\":" KEY(                \
        "99") ",\"Addresses\":[\"100.64.0.5/32\"]}"
#define KEY(two)                                                               \
    "\"nodekey:0000000000000000000000000000000000000000000000000000000000000"  \
    "0" two "\""
#define PEER(id, two)                                                          \
    "{\"ID\":" id ",\"Key\":" KEY(two) ",\"Name\":\"p" id ".ex.com.\","        \
                                       "\"Addresses\":[\"100.64.0." id         \
                                       "/32\"]}"

static void
an_empty_list_is_no_change_but_a_new_stream_begins_anew(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(frame(&s, "{" SELF ",\"Peers\":[" PEER(
                                      "1", "01") "," PEER("2", "02") "]}"),
                        "+1 +2 [SP]");
    assert_string_equal(frame(&s, "{\"Peers\":[]}"), "[]");
    assert_string_equal(frame(&s, "{\"Peers\":null}"), "[]");
    assert_string_equal(
        frame(&s, "{\"Peers\":[" PEER("2", "02") "," PEER("3", "03") "]}"),
        "+3 -1 [P]");
    rmr_nm_stream_begin(nm);
    assert_string_equal(frame(&s, "{\"KeepAlive\":true}"), "[K]");
    assert_int_equal(rmr_nm_peer_count(nm), 2);
    /* Not a first frame: it has no Node. */
    assert_string_equal(frame(&s, "{\"ControlTime\":null}"), "[]");
    assert_int_equal(rmr_nm_peer_count(nm), 2);
    assert_string_equal(frame(&s, "{" SELF "}"), "-2 -3 [P]");
    assert_string_equal(frame(&s, "{}"), "[]");
    rmr_nm_free(nm);
}

static void a_full_list_overrules_the_other_peer_fields(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(
        frame(&s, "{" SELF
                  ",\"Peers\":[" PEER("1", "01") "],\"PeersChanged\":[" PEER(
                      "2", "02") "],\"PeersRemoved\":[1],\"OnlineChange\":"
                                 "{\"1\":true},\"PeerSeenChange\":{\"1\":true},"
                                 "\"PeersChangedPatch\":[{\"NodeID\":1,"
                                 "\"Online\":true}]}"),
        "+1 [SP]");
    /* Also when they come first. */
    assert_string_equal(
        frame(&s, "{\"PeersChanged\":[" PEER("2", "02") "],\"Peers\":[" PEER(
                      "1", "01") "]}"),
        "+2 -2 [P]");
    rmr_nm_free(nm);
}

static void deltas_of_one_frame_come_out_as_in_the_right_order(void **state)
{
    (void)state;
    seen s;
    rmr_nm_node n;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "]}");
    /* Removed comes before Changed, whatever the text says. */
    assert_string_equal(frame(&s, "{\"PeersChanged\":[" PEER(
                                      "1", "02") "],\"PeersRemoved\":[1]}"),
                        "*1k [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_string_equal(
        frame(&s,
              "{\"PeersRemoved\":[1],\"PeersChanged\":[" PEER("1", "02") "]}"),
        "-1 +1 [P]");
    /* Patches come last, also over a Changed that is written later. */
    assert_string_equal(
        frame(&s, "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Online\":true,"
                  "\"DERPRegion\":7,\"Endpoints\":[\"1.2.3.4:5\"]}],"
                  "\"OnlineChange\":{\"1\":false},\"PeersChanged\":[" PEER(
                      "1", "03") "]}"),
        "*1 *1k [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, 1);
    assert_int_equal(n.home_derp, 7);
    assert_string_equal(endpoints(&n), "1.2.3.4:5");
    assert_int_equal(n.key[31], 3);
    /* The next frame's Changed is whole again. */
    (void)frame(&s, "{\"PeersChanged\":[" PEER("1", "03") "]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, -1);
    assert_int_equal(n.home_derp, 0);
    assert_int_equal(n.n_endpoints, 0);
    /* Seen and Online before Changed. */
    (void)frame(&s, "{\"OnlineChange\":{\"1\":true},\"PeerSeenChange\":{\"1\":"
                    "true},\"PeersChanged\":[" PEER("1", "03") "]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.online, 1);
    assert_int_equal(n.last_seen_unix_ns, NOW);
    assert_string_equal(frame(&s, "{\"PeerSeenChange\":{\"1\":false,\"x\":true,"
                                  "\"8\":true}}"),
                        "*1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.last_seen_unix_ns, 0);
    rmr_nm_free(nm);
}

static void a_stale_patch_is_dropped_whole(void **state)
{
    (void)state;
    seen s;
    rmr_nm_node n;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{" SELF ",\"Peers\":[{\"ID\":1,\"Key\":" KEY(
                        "01") ",\"LastSeen\":\"2026-11-21T09:00:00Z\"}]}");
    const char *stale =
        "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Online\":false,\"DiscoKey\":"
        "\"discokey:00000000000000000000000000000000000000000000000000000000000"
        "00001\",\"LastSeen\":\"2026-11-21T08:59:59Z\",\"Cap\":5}]}";
    assert_string_equal(frame(&s, stale), "[]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.cap, 0);
    char fresh[512];
    (void)snprintf(fresh, sizeof fresh, "%s", stale);
    memcpy(strstr(fresh, "08:59:59"), "09:00:01", 8);
    assert_string_equal(frame(&s, fresh), "*1 [P]");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_int_equal(n.cap, 5);
    assert_int_equal(n.disco_key[31], 1);
    rmr_nm_free(nm);
}

static void missing_null_and_empty_fields_of_a_node_differ(void **state)
{
    (void)state;
    seen s;
    rmr_nm_node n;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(
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
    assert_string_equal(prefixes(n.allowed_ips, n.n_allowed_ips), "10.0.0.0/8");
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
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{" SELF "}");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        rmr_nm_stats st;
        (void)snprintf(text, sizeof text, "{\"PeersChanged\":[%s]}", bad[i]);
        assert_string_equal(frame(&s, text), "[]");
        rmr_nm_get_stats(nm, &st);
        assert_int_equal(st.dropped_elements, i + 1);
    }
    assert_string_equal(frame(&s, "{\"PeersChanged\":[\"x\",1,null,[]]}"),
                        "[]");
    rmr_nm_free(nm);
}

static void a_broken_frame_removes_nothing(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(
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
        (void)frame(&s, broken[i]);
        assert_string_equal(s.text, "error -101");
        assert_int_equal(rmr_nm_peer_count(nm), 2);
        assert_int_equal(rmr_filter_rule_count(rmr_nm_filter(nm)), 1);
    }
    /* What was read of it holds. */
    assert_string_equal(frame(&s, "{\"PeersChanged\":[" PEER("3", "03") "],"),
                        "+3 error -101");
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("{")), RMR_E_STATE);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_E_STATE);
    rmr_nm_free(nm);
}

static void keepalives_carry_requests_and_nothing_else(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(
        frame(&s, "{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"http://x/\","
                  "\"URLIsNoise\":true,\"Types\":\"disco\"},\"PopBrowserURL\":"
                  "\"https://y/\"," SELF ",\"Peers\":[" PEER(
                      "1", "01") "],"
                                 "\"PeersRemoved\":[1],\"PacketFilter\":[],"
                                 "\"Domain\":\"d\","
                                 "\"ControlTime\":\"2026-11-21T09:17:51.5Z\"}"),
        "ping(http://x/,1,disco)pop(https://y/)[K]");
    assert_int_equal(rmr_nm_control_time(nm), 1795252671500000000);
    assert_string_equal(frame(&s, "{\"PingRequest\":{\"Types\":\"x\"},"
                                  "\"PopBrowserURL\":\"\"}"),
                        "[]");
    rmr_nm_free(nm);
}

static void callbacks_may_not_feed(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    s.reenter = true;
    assert_string_equal(frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "]}"),
                        "+1 [SP]");
    rmr_nm_free(nm);
}

static void health_and_messages_are_one_list(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(frame(&s, "{\"Health\":[\"a\",\"b\"]}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 2);
    assert_string_equal(
        frame(&s,
              "{\"DisplayMessages\":{\"m1\":{\"Title\":\"T\",\"Text\":\"x\","
              "\"Severity\":\"high\"},\"m2\":{\"Text\":\"y\"}}}"),
        "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 4);
    assert_string_equal(rmr_nm_health_at(nm, 2), "T: x");
    assert_string_equal(rmr_nm_health_at(nm, 3), "y");
    assert_string_equal(rmr_nm_health_at(nm, 4), "");
    assert_string_equal(frame(&s, "{\"Health\":null}"), "[]");
    assert_string_equal(frame(&s, "{\"Health\":[]}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 2);
    assert_string_equal(
        frame(&s, "{\"DisplayMessages\":{\"m1\":null,\"m9\":null}}"), "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    assert_string_equal(
        frame(&s, "{\"DisplayMessages\":{\"m3\":{\"Text\":\"z\"},\"*\":null}}"),
        "[H]");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    assert_string_equal(rmr_nm_health_at(nm, 0), "z");
    (void)frame(&s, "{" SELF "}");
    assert_int_equal(rmr_nm_health_count(nm), 0);
    for (int i = 0; i < 100; i++)
        (void)frame(&s, "{\"DisplayMessages\":{\"m3\":{\"Text\":\"z\"}}}");
    assert_int_equal(rmr_nm_health_count(nm), 1);
    rmr_nm_free(nm);
}

static void derp_maps_follow_their_rules(void **state)
{
    (void)state;
    seen s;
    test_alloc a = {0};
    rmr_nm_derp_region r;
    rmr_nm *nm = make(&s, &a, NULL);
    const char *two =
        "{\"DERPMap\":{\"Regions\":{\"10\":{\"RegionID\":10,\"RegionCode\":"
        "\"b\",\"NoMeasureNoHome\":true,\"Nodes\":[{\"Name\":\"x\","
        "\"HostName\":"
        "\"b.example\",\"STUNPort\":-1,\"IPv6\":\"fd7a::1\"},{\"Name\":\"y\"}]}"
        ","
        "\"3\":{\"RegionCode\":\"a\",\"Avoid\":true,\"Nodes\":[{\"HostName\":"
        "\"a.example\",\"CertName\":\"sha256-raw:00\",\"STUNOnly\":true,"
        "\"IPv4\":\"none\"}]},\"4\":null,\"70000\":{},\"0\":{}}}}";
    assert_string_equal(frame(&s, two), "[D]");
    assert_string_equal(frame(&s, two), "[]");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    assert_true(rmr_nm_derp_at(nm, 0, &r));
    assert_int_equal(r.id, 3);
    assert_true(r.avoid);
    assert_string_equal(r.nodes[0].dial.cert_name, "sha256-raw:00");
    assert_true(r.nodes[0].stun_only);
    assert_true(r.nodes[0].dial.no_v4);
    assert_int_equal(r.nodes[0].dial.port, 443);
    assert_int_equal(r.nodes[0].stun_port, 3478);
    assert_true(rmr_nm_derp_at(nm, 1, &r));
    assert_int_equal(r.id, 10);
    assert_true(r.no_measure_no_home);
    assert_int_equal(r.n_nodes, 1); /* y has nothing to dial */
    assert_int_equal(r.nodes[0].stun_port, -1);
    assert_int_equal(r.nodes[0].dial.addrs[0].family, RMR_AF_INET6);
    assert_string_equal(frame(&s, "{\"DERPMap\":null}"), "[]");
    assert_string_equal(frame(&s,
                              "{\"DERPMap\":{\"Regions\":null,\"HomeParams\""
                              ":{\"RegionScore\":{\"1\":0.5}}}}"),
                        "[]");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    /* Broken in the middle: the old one stays. */
    (void)frame(&s,
                "{\"DERPMap\":{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":"
                "\"h\"},x");
    (void)frame(&s, "{\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1,}}}}");
    assert_int_equal(rmr_nm_derp_count(nm), 2);
    assert_string_equal(frame(&s, "{\"DERPMap\":{\"Regions\":{}}}"), "[D]");
    assert_int_equal(rmr_nm_derp_count(nm), 0);
    assert_false(rmr_nm_derp_region_by_id(nm, 3, &r));
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

/* ---- filters ---------------------------------------------------------- */

#define ALLOW(src)                                                             \
    "{\"SrcIPs\":[\"" src "\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{"        \
    "\"First\":0,\"Last\":65535}}]}"

static size_t rules(rmr_nm *nm)
{
    return rmr_filter_rule_count(rmr_nm_filter(nm));
}

static void named_filters_are_kept_by_name(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(
        frame(&s, "{" SELF ",\"PacketFilter\":[" ALLOW("100.64.0.1") "]}"),
        "[SF]");
    assert_int_equal(rules(nm), 1);
    assert_true(ping_passes(nm, 1, 6, 80));
    assert_string_equal(frame(&s, "{\"PacketFilter\":null}"), "[]");
    assert_string_equal(frame(&s, "{\"PacketFilters\":null}"), "[]");
    (void)frame(&s, "{\"PacketFilters\":{\"x\":[" ALLOW("100.64.0.2") "]}}");
    assert_int_equal(rules(nm), 2);
    assert_true(ping_passes(nm, 1, 6, 80) && ping_passes(nm, 2, 6, 80));
    (void)frame(&s, "{\"PacketFilters\":{\"base\":[]}}");
    assert_int_equal(rules(nm), 1);
    /* PacketFilter first, then "*", then the names, in whatever order. */
    (void)frame(&s, "{\"PacketFilters\":{\"y\":[" ALLOW(
                        "100.64.0.3") "],\"*\":null},"
                                      "\"PacketFilter\":"
                                      "[" ALLOW("100.64.0."
                                                "1") "]}");
    assert_int_equal(rules(nm), 1);
    assert_true(ping_passes(nm, 3, 6, 80));
    assert_false(ping_passes(nm, 1, 6, 80));
    assert_false(ping_passes(nm, 2, 6, 80));
    (void)frame(
        &s, "{\"PacketFilters\":{\"base\":[" ALLOW(
                "100.64.0.4") "]},\"PacketFilter\":[" ALLOW("100.64.0.1") "]}");
    assert_int_equal(rules(nm), 2);
    assert_true(ping_passes(nm, 4, 6, 80));
    assert_false(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PacketFilters\":{\"y\":null,\"zz\":null,\"*\":[" ALLOW(
                        "100.64.0.9") "]}}");
    assert_int_equal(rules(nm), 1);
    assert_false(ping_passes(nm, 9, 6, 80));
    (void)frame(&s, "{\"PacketFilter\":[]}");
    assert_int_equal(rules(nm), 0);
    /* A new stream forgets the names of the old. */
    (void)frame(&s, "{\"PacketFilters\":{\"q\":[" ALLOW("100.64.0.4") "]}}");
    rmr_nm_stream_begin(nm);
    assert_string_equal(frame(&s, "{" SELF "}"), "[F]");
    assert_int_equal(rules(nm), 0);
    rmr_nm_free(nm);
}

static void odd_rules_are_read_as_the_reference_reads_them(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(
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
    assert_int_equal(rules(nm), 3);
    assert_true(ping_passes(nm, 1, 6, 80));
    assert_false(ping_passes(nm, 1, 6, 9));
    assert_false(ping_passes(nm, 1, 6, 0));
    assert_false(ping_passes(nm, 2, 6, 80));
    assert_true(ping_passes(nm, 3, 6, 1));
    assert_false(ping_passes(nm, 3, 17, 1));
    assert_false(ping_passes(nm, 4, 6, 1));
    rmr_nm_free(nm);
}

static void source_bits_make_the_whole_filter_block(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{" SELF ",\"PacketFilter\":[" ALLOW("*") "]}");
    assert_true(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PacketFilters\":{\"old\":[{\"SrcIPs\":[\"100.64.0.1\"],"
                    "\"SrcBits\":[32],\"DstPorts\":[]}]}}");
    assert_false(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PacketFilters\":{\"old\":null}}");
    assert_true(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PacketFilters\":{\"old\":[{\"SrcIPs\":[\"100.64.0.1\"],"
                    "\"DstPorts\":[{\"IP\":\"*\",\"Bits\":8}]}]}}");
    assert_false(ping_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

static void cap_sources_follow_the_peers(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_string_equal(
        frame(&s, "{" SELF ",\"Peers\":[" PEER("1", "01") "," PEER(
                      "2", "02") "],\"PacketFilter\":[" ALLOW("cap:web") "]}"),
        "+1 +2 [SPF]");
    assert_false(ping_passes(nm, 1, 6, 80));
    assert_string_equal(
        frame(&s, "{\"PeersChangedPatch\":[{\"NodeID\":1,\"CapMap\":{\"web\":"
                  "null}}]}"),
        "*1 [PF]");
    assert_true(ping_passes(nm, 1, 6, 80));
    assert_false(ping_passes(nm, 2, 6, 80));
    assert_string_equal(frame(&s, "{\"PeersRemoved\":[1]}"), "-1 [PF]");
    assert_false(ping_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

static void an_unsigned_peer_with_access_blocks_the_filter(void **state)
{
    (void)state;
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(
        &s, "{" SELF ",\"Peers\":[" PEER("1", "01") ",{\"ID\":2,\"Key\":" KEY(
                "02") ",\"Addresses\":[\"100.64.0.2/32\"],"
                      "\"UnsignedPeerAPIOnly\":true}],\"PacketFilter\":[" ALLOW(
                          "100.64.0.1") "]}");
    assert_true(ping_passes(nm, 1, 6, 80));
    (void)frame(
        &s, "{\"PacketFilters\":{\"x\":[" ALLOW("100.64.0.2-100.64.0.3") "]}}");
    assert_false(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PeersChanged\":[" PEER("2", "02") "]}");
    assert_true(ping_passes(nm, 1, 6, 80));
    (void)frame(
        &s,
        "{\"PeersChanged\":[{\"ID\":2,\"Key\":" KEY(
            "02") ",\"AllowedIPs\":[\"100.64.0.0/24\"],\"UnsignedPeerAPIOnly\":"
                  "true}]}");
    assert_false(ping_passes(nm, 1, 6, 80));
    (void)frame(&s, "{\"PeersRemoved\":[2]}");
    assert_true(ping_passes(nm, 1, 6, 80));
    rmr_nm_free(nm);
}

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
        nm_feed(nm, NOW,
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
    seen s;
    rmr_nm_node n;
    rmr_nm *nm = make(&s, NULL, NULL);
    uint8_t key[32] = {[31] = 1};
    (void)frame(&s, "{" SELF ",\"PeersChanged\":[" PEER("5", "01") "," PEER(
                        "3", "01") "," PEER("7", "01") "]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 3);
    (void)frame(&s, "{\"PeersRemoved\":[5]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 3);
    (void)frame(&s, "{\"PeersRemoved\":[3]}");
    assert_true(rmr_nm_peer_by_key(nm, key, &n));
    assert_int_equal(n.id, 7);
    (void)frame(
        &s, "{\"PeersChangedPatch\":[{\"NodeID\":7,\"Key\":" KEY("02") "}]}");
    assert_false(rmr_nm_peer_by_key(nm, key, &n));
    rmr_nm_free(nm);
}

static void a_clock_far_off_is_corrected_for_expiry(void **state)
{
    (void)state;
    seen s;
    rmr_nm_node n;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{" SELF ",\"ControlTime\":\"2026-11-21T10:30:00Z\","
                    "\"Peers\":[{\"ID\":1,\"Key\":" KEY(
                        "01") ",\"KeyExpiry\":\"2026-11-21T10:00:00Z\"}]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_true(n.expired);
    /* Nearer than a minute: our clock is right. */
    (void)frame(&s, "{\"ControlTime\":\"2026-11-21T09:23:50Z\"}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_false(n.expired);
    /* A server whose clock is not set decides nothing. */
    (void)frame(&s,
                "{\"ControlTime\":\"2020-08-03T00:00:00Z\",\"PeersChanged\""
                ":[{\"ID\":1,\"Key\":" KEY("01") ",\"KeyExpiry\":"
                                                 "\"2019-11-21T10:00:00Z\"}]}");
    assert_true(rmr_nm_peer(nm, 1, &n));
    assert_false(n.expired);
    rmr_nm_free(nm);
}

static void all_peers_are_walked_by_rising_id(void **state)
{
    (void)state;
    seen s;
    rmr_nm_node n;
    uint64_t pos = 0, last = 0;
    size_t count = 0;
    rmr_nm *nm = make(&s, NULL, NULL);
    (void)frame(&s, "{\"PeersChanged\":[" PEER("7", "07") "," PEER(
                        "2", "02") "," PEER("50", "50") "]}");
    while (rmr_nm_next_peer(nm, &pos, &n)) {
        assert_true(n.id > last);
        last = n.id;
        /* The table may change in between. */
        if (count++ == 0)
            (void)frame(&s, "{\"PeersRemoved\":[7]}");
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
    seen s;
    rmr_nm_node n;
    rmr_nm_stats st;
    rmr_nm *nm = make(&s, NULL, NULL);
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
    assert_string_equal(frame(&s, text), "+1 [P]");
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
        seen s;
        char text[512];
        rmr_nm_stats st;
        rmr_nm *nm = make(&s, NULL, NULL);
        (void)snprintf(text, sizeof text, "{%s}", odd[i]);
        (void)frame(&s, text);
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
    (void)nm_feed(nm, NOW, rmr_bytes_str("{\"TKAInfo\":{\"Disabled\":true}}"),
                  0);
    assert_int_equal(log.len, 0);
    for (int i = 0; i < 3; i++)
        (void)nm_feed(nm, NOW, rmr_bytes_str("{\"TKAInfo\":{\"Head\":\"x\"}}"),
                      0);
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
        seen s;
        rmr_nm *nm = make(&s, NULL, NULL);
        for (size_t i = 0; i < N_SAMPLES; i++) {
            size_t len;
            char *p = nm_sample(all_samples[i], &len);
            assert_int_equal(nm_feed(nm, NOW, rmr_bytes_of(p, len), pieces[k]),
                             RMR_OK);
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
    seen s, s2;
    size_t len, len2;
    rmr_nm *nm = make(&s, NULL, NULL);
    for (size_t i = 0; i < N_SAMPLES; i++)
        (void)sample(&s, all_samples[i]);
    (void)frame(
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
    rmr_nm *copy = make(&s2, NULL, NULL);
    assert_int_equal(nm_feed(copy, NOW, rmr_bytes_of(first, len), 0), RMR_OK);
    rmr_nm_stats st;
    rmr_nm_get_stats(copy, &st);
    char *second = nm_dump(copy, &len2);
    assert_string_equal(first, second);
    assert_int_equal(st.dropped_elements, 1); /* the refused filter */
    assert_int_equal(rmr_nm_peer_count(copy), rmr_nm_peer_count(nm));
    assert_int_equal(rules(copy), rules(nm));
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
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
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
    assert_string_equal(frame(&s, text), "[]");
    free(text);
    rmr_nm_free(nm);
}

static char *nm_reference(const char *init, size_t len, const char *delta)
{
    seen s;
    rmr_nm *nm = make(&s, NULL, NULL);
    assert_int_equal(nm_feed(nm, NOW, rmr_bytes_of(init, len), 0), RMR_OK);
    assert_int_equal(nm_feed(nm, NOW, rmr_bytes_str(delta), 0), RMR_OK);
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
                        "\"DERPMap\":{\"Regions\":{\"2\":{\"Nodes\":[{"
                        "\"HostName\":\"h\"}]}}},"
                        "\"PacketFilters\":{\"a\":[" ALLOW(
                            "cap:new") "]},\"UserProfiles\":[{"
                                       "\"ID\":5,\"LoginName\":\"z\"}],"
                                       "\"Health\":[\"h\"],\"DNSConfig\":{"
                                       "\"Domains\":[\"x\"]}}";
    bool done = false;
    char *want = NULL;
    for (size_t n = 1; !done; n++) {
        test_alloc a = {0};
        seen s;
        a.fail_at = n;
        rmr_nm *nm = make(&s, &a, NULL);
        if (nm) {
            rmr_err e1 = nm_feed(nm, NOW, rmr_bytes_of(init, len), 100);
            rmr_err e2 = nm_feed(nm, NOW, rmr_bytes_str(delta), 0);
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
            assert_int_equal(nm_feed(nm, NOW, rmr_bytes_of(init, len), 0),
                             RMR_OK);
            assert_int_equal(nm_feed(nm, NOW, rmr_bytes_str(delta), 0), RMR_OK);
            assert_int_equal(rmr_nm_peer_count(nm), 3);
            assert_int_equal(rules(nm), 3);
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
        seen s;
        test_rng_seed(&rng, 1);
        rng.fail_at = n;
        rmr_nm *nm = make(&s, &a, &rng);
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
        cmocka_unit_test(the_first_headscale_frame_is_understood),
        cmocka_unit_test(headscale_deltas_are_understood),
        cmocka_unit_test(a_restrictive_policy_compiles_to_its_rules),
        cmocka_unit_test(testcontrol_frames_are_understood),
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
        cmocka_unit_test(named_filters_are_kept_by_name),
        cmocka_unit_test(odd_rules_are_read_as_the_reference_reads_them),
        cmocka_unit_test(source_bits_make_the_whole_filter_block),
        cmocka_unit_test(cap_sources_follow_the_peers),
        cmocka_unit_test(an_unsigned_peer_with_access_blocks_the_filter),
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
