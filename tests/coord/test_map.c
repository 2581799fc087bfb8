/* Map streams: what they tell, when, and in what form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "crd_say.h"

static rig r;
static rig_client a, b;

static void a_stream_tells_all_and_then_what_changes(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"Node\":{\"ID\":1"));
    assert_non_null(strstr(t, "\"Name\":\"h.tail.test.\""));
    assert_non_null(strstr(t, "\"Addresses\":[\"100.64.0.1/32\",\"fd7a:115c:"
                              "a1e0::1/128\"]"));
    assert_non_null(strstr(t, "\"PacketFilters\":{\"base\":[{\"SrcIPs\":["));
    assert_null(strstr(t, "\"Peers\""));
    rig_enter(&b, &r, 2, KEY2, key);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"PeersChanged\":[{\"ID\":2"));
    assert_non_null(strstr(t, "100.64.0.2"));
    /* An update is a patch; one that says nothing new is none. */
    const char *update =
        "{\"Version\":138,\"NodeKey\":\"" KEY2
        "\",\"OmitPeers\":true,\"Endpoints\":[\"1.2.3.4:5\"],\"DiscoKey\":"
        "\"discokey:" SIXTY_TWO "01\",\"Hostinfo\":{\"Hostname\":\"h\","
        "\"NetInfo\":{\"PreferredDERP\":7}}}";
    rig_answer *u = rig_ask(&b, "/machine/map", update);
    assert_int_equal(u->status, 200);
    assert_int_equal(u->len, 0);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"PeersChangedPatch\":[{\"NodeID\":2,"
                              "\"DERPRegion\":7"));
    assert_non_null(strstr(t, "\"Endpoints\":[\"1.2.3.4:5\"]"));
    rig_ask(&b, "/machine/map", update);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    assert_int_equal(rmr_coord_node_remove(r.coord, 2), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"PeersRemoved\":[2]"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void another_derp_map_reaches_open_streams(void **s)
{
    static const char old[] = "{\"Regions\":{\"1\":null}}";
    static const char map[] = "{\"Regions\":{\"2\":null}}";
    rmr_coord_config cfg;
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_config(&cfg);
    cfg.derp_map = rmr_bytes_str(old);
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    assert_non_null(strstr(rig_frames(x), "\"DERPMap\":{\"Regions\":{\"1\":"));
    /* The same, and none. */
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str(old)),
                     RMR_OK);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str("[]")),
                     RMR_E_MALFORMED);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str("")),
                     RMR_E_MALFORMED);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str(map)),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"DERPMap\":{\"Regions\":{\"2\":null}}"));
    assert_null(strstr(t, "\"Node\""));
    assert_null(strstr(t, "\"Domain\""));
    /* And yet another, before the clock moved. */
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str(old)),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"DERPMap\":{\"Regions\":{\"1\":"));
    rig_wait(&r, 30 * RMR_SEC);
    rig_pump(&a);
    assert_int_equal(x->len, 0); /* once */
    rig_part(&a);
    rig_free(&r);
}

static void another_dns_reaches_open_streams(void **s)
{
    static const rmr_coord_dns_record record = {"wiki.test", "A", "100.64.0.9"};
    static char many[17 * 1024];
    rmr_coord_config cfg;
    rmr_coord_dns dns;
    rmr_coord_dns_record long_one = {many, "A", "100.64.0.9"};
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    memset(&dns, 0, sizeof dns);
    rig_config(&cfg);
    cfg.dns = &dns;
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    assert_null(strstr(rig_frames(x), "wiki.test"));
    /* The same, and one that is too long. */
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_OK);
    memset(many, 'a', sizeof many - 1);
    dns.records = &long_one;
    dns.n_records = 1;
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_E_TOOBIG);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    dns.records = &record;
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"ExtraRecords\":[{\"Name\":"
                                          "\"wiki.test\",\"Type\":\"A\","
                                          "\"Value\":\"100.64.0.9\"}]"));
    rig_part(&a);
    rig_free(&r);
}

static void node_keys_are_known(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    uint8_t own[RMR_KEY_LEN] = {0};
    (void)s;
    rig_init(&r, NULL);
    own[RMR_KEY_LEN - 1] = 0x11; /* KEY1 */
    assert_false(rmr_coord_has_node_key(r.coord, own));
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    assert_true(rmr_coord_has_node_key(r.coord, own));
    assert_int_equal(rmr_coord_node_remove(r.coord, 1), RMR_OK);
    assert_false(rmr_coord_has_node_key(r.coord, own));
    rig_part(&a);
    rig_free(&r);
}

static void a_silent_stream_is_kept_alive(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    (void)rig_frames(x);
    rig_wait(&r, 49 * RMR_SEC);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    rig_wait(&r, 11 * RMR_SEC);
    rig_pump(&a);
    assert_string_equal(rig_frames(x), "{\"KeepAlive\":true}\n");
    rig_wait(&r, 60 * RMR_SEC); /* and on */
    rig_pump(&a);
    assert_string_equal(rig_frames(x), "{\"KeepAlive\":true}\n");
    rig_part(&a);
    rig_free(&r);
}

static void a_keepalive_is_a_frame_of_zstd_where_that_is_asked_for(void **s)
{
    char key[RMR_COORD_KEY_TEXT], text[64];
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_ask(&a, "/machine/map",
                            "{\"Version\":138,\"Compress\":\"zstd\","
                            "\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
    x->len = 0;
    rig_wait(&r, 60 * RMR_SEC);
    rig_pump(&a);
    assert_true(x->len > 4);
    assert_int_equal(x->body[0], x->len - 4);
    size_t n = ZSTD_decompress(text, sizeof text, x->body + 4, x->len - 4);
    assert_false(ZSTD_isError(n));
    assert_int_equal(n, 18);
    assert_memory_equal(text, "{\"KeepAlive\":true}", n);
    rig_part(&a);
    rig_free(&r);
}

/* The name that a frame tells; how many frames there were. */
static size_t renamed(rig_answer *x, uint32_t number)
{
    char label[16];
    (void)snprintf(label, sizeof label, "n%u", number);
    assert_int_equal(rmr_coord_node_rename(r.coord, 2, label), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    const char *t = rig_frames(x);
    size_t n = 0;
    for (const char *p = t; (p = strchr(p, '\n')); p++)
        n++;
    if (n)
        assert_non_null(strstr(t, label));
    return n;
}

static void many_changes_share_frames(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    size_t n = 0;
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_enter(&b, &r, 2, KEY2, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    (void)rig_frames(x);
    for (uint32_t i = 0; i < 50; i++)
        n += renamed(x, i);
    assert_int_equal(n, 7);            /* and the first one, which told all */
    rig_wait(&r, 199 * RMR_MS / 1000); /* one peer, and itself: 0.2 ms */
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    rig_wait(&r, RMR_MS / 1000);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"n49.tail.test.\"")); /* the last */
    /* What comes alone never waits, and a pause makes up for what went. */
    rig_wait(&r, RMR_SEC);
    for (uint32_t i = 50; i < 58; i++)
        assert_int_equal(renamed(x, i), 1);
    assert_int_equal(renamed(x, 58), 0);
    rig_wait(&r, 61 * RMR_SEC); /* the keep-alive goes on behind it */
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"n58.tail.test.\""));
    assert_non_null(strstr(t, "{\"KeepAlive\":true}\n"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* What is large is not made for all in one turn; other requests go on. */
static void large_frames_wait_for_other_turns(void **s)
{
    static char map[1100 * 1024];
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_config cfg;
    (void)s;
    memset(map, ' ', sizeof map);
    map[0] = '{';
    map[sizeof map - 1] = '}';
    rig_config(&cfg);
    cfg.derp_map = rmr_bytes_of(map, sizeof map);
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, true);
    assert_int_not_equal(x->len, 0);
    x->len = 0;
    rig_enter(&b, &r, 2, KEY2, key);
    rig_answer *y = rig_stream(&b, KEY2, true);
    rig_pump(&a);
    assert_int_equal(y->status, 200);
    assert_int_equal(x->len, 0);
    assert_int_equal(y->len, 0);
    rig_wait(&r, 1);
    rig_pump(&a);
    rig_pump(&b);
    assert_int_not_equal(x->len, 0);
    assert_int_not_equal(y->len, 0);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void routes_are_served_when_approved(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_prefix net, bad;
    (void)s;
    rig_init(&r, NULL);
    assert_int_equal(rmr_coord_set_policy(r.coord, rmr_bytes_str("{}"), NULL),
                     RMR_OK);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    rig_enter(&b, &r, 2, KEY2, key);
    rig_ask(&b, "/machine/map",
            "{\"Version\":138,\"NodeKey\":\"" KEY2
            "\",\"OmitPeers\":true,\"Hostinfo\":{\"Hostname\":\"h\","
            "\"RoutableIPs\":[\"10.1.0.0/16\",\"0.0.0.0/0\",\"::/0\"]}}");
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"RoutableIPs\":[\"10.1.0.0/16\""));
    assert_null(strstr(t, "PrimaryRoutes"));
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &net),
                     RMR_OK);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.1/16"), &bad),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &bad, 1), RMR_E_INVAL);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &net, 1), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"AllowedIPs\":[\"100.64.0.2/32\","
                              "\"fd7a:115c:a1e0::2/128\",\"10.1.0.0/16\"]"));
    assert_non_null(strstr(t, "\"PrimaryRoutes\":[\"10.1.0.0/16\"]"));
    rmr_prefix exit_route;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("::/0"), &exit_route),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &exit_route, 1),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"::/0\",\"0.0.0.0/0\"]"));
    assert_null(strstr(t, "PrimaryRoutes"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_tells_all_and_then_what_changes),
        cmocka_unit_test(another_derp_map_reaches_open_streams),
        cmocka_unit_test(another_dns_reaches_open_streams),
        cmocka_unit_test(node_keys_are_known),
        cmocka_unit_test(a_silent_stream_is_kept_alive),
        cmocka_unit_test(
            a_keepalive_is_a_frame_of_zstd_where_that_is_asked_for),
        cmocka_unit_test(many_changes_share_frames),
        cmocka_unit_test(large_frames_wait_for_other_turns),
        cmocka_unit_test(routes_are_served_when_approved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
