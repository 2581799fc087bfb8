/* A node that measures the network once: with a relay map, with the netmap that
 * the state keeps, and with neither. */
#include "lab.h"
#include "pair.h"

#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pair p;
static lab l;
static char report[4096];

static const char map[] =
    "{\"Regions\":{\"7\":{\"RegionID\":7,\"RegionCode\":\"lab\","
    "\"RegionName\":\"Lab\",\"Nodes\":[{\"Name\":\"7a\",\"RegionID\":7,"
    "\"HostName\":\"127.0.0.1\",\"IPv4\":\"127.0.0.1\",\"STUNPort\":3478,"
    "\"DERPPort\":9443}]}}}";

static void on_report(void *user, rmr_bytes json)
{
    (void)user;
    snprintf(report, sizeof report, "%.*s", (int)json.len,
             (const char *)json.ptr);
}

#define REPORTED(text) assert_non_null(strstr(report, text))

/* ---- with answers ------------------------------------------------------ */

static void start_pair(const char *derp_map, bool no_stun)
{
    rmr_node_config cfg;
    rmr_node_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.on_report = on_report;
    report[0] = 0;
    pair_init(&p, 5);
    p.no_stun = no_stun;
    p.gateway = true;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.only_netcheck = true;
    cfg.derp_map = rmr_bytes_str(derp_map);
    cfg.local_name = "remora.sock"; /* without effect, as control_url */
    pair_start(&p, 0, &cfg);
}

static bool has_stopped(void *user)
{
    (void)user;
    return p.node[0].stopped;
}

static void a_relay_map_is_measured_and_the_node_ends(void **st)
{
    (void)st;
    start_pair(map, false);
    assert_true(pair_run(&p, 10 * RMR_SEC, has_stopped, NULL));
    REPORTED("\"UDP\":true");
    REPORTED("\"GlobalV4\":\"10.0.0.1:");
    REPORTED("\"PreferredDERP\":7");
    REPORTED("\"RegionLatency\":{\"7\":");
    REPORTED("\"PMP\":true");
    REPORTED("\"Regions\":{\"7\":{\"RegionCode\":\"lab\"");
    /* No port was taken of the router, and nobody was dialled or let in. */
    assert_int_equal(p.unmapped, 0);
    for (size_t i = 0; i < PAIR_CONNS; i++)
        assert_false(p.conns[i].used);
    for (size_t i = 0; i < PAIR_LISTENERS; i++)
        assert_false(p.listeners[i].used);
    pair_free(&p);
    assert_int_equal(p.node[0].alloc.live_blocks, 0);
}

static void a_relay_that_is_silent_is_no_home(void **st)
{
    (void)st;
    start_pair(map, true);
    assert_true(pair_run(&p, 10 * RMR_SEC, has_stopped, NULL));
    REPORTED("\"UDP\":false");
    REPORTED("\"PreferredDERP\":0");
    REPORTED("\"RegionLatency\":{}");
    pair_free(&p);
}

/* ---- with what the state keeps ----------------------------------------- */

static void start_lab(const char *derp_map)
{
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    lab_config(&l, &cfg);
    cb = *cfg.callbacks;
    cb.on_report = on_report;
    cfg.callbacks = &cb;
    cfg.only_netcheck = true;
    cfg.derp_map = rmr_bytes_str(derp_map);
    report[0] = 0;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_run(&l, 10 * RMR_SEC);
    assert_true(l.stopped);
    assert_int_equal(l.stores, 0); /* what was there is as it was */
}

static void put_cache(const char *text, bool right)
{
    static const char word[] = "\n#blake2s ";
    uint8_t hash[RMR_HASH_LEN];
    char hex[2 * RMR_HASH_LEN + 1];
    char *all = malloc(4096);
    assert_non_null(all);
    rmr_blake2s_256(hash, rmr_bytes_str(text), rmr_bytes_of(NULL, 0));
    hash[0] ^= right ? 0 : 1;
    rmr_hex(hex, hash, sizeof hash);
    snprintf(all, 4096, "%s%s%s\n", text, word, hex);
    l.blobs[0].there = true;
    snprintf(l.blobs[0].name, sizeof l.blobs[0].name, "netmap.cache");
    l.blobs[0].data = (uint8_t *)all;
    l.blobs[0].len = strlen(all);
}

static void the_last_netmap_has_relays_too(void **st)
{
    char text[1024];
    (void)st;
    lab_init(&l);
    /* Our own node in it is somebody else's business. */
    snprintf(text, sizeof text,
             "{\"Node\":{\"ID\":1,\"StableID\":\"s1\",\"Name\":"
             "\"n0.ex.com.\",\"HomeDERP\":7,\"Addresses\":[\"100.64.0.1/32\"],"
             "\"MachineAuthorized\":true},"
             "\"Domain\":\"ex.com\",\"DERPMap\":%s}",
             map);
    put_cache(text, true);
    start_lab("");
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(l.stop_err, RMR_OK);
    REPORTED("\"UDP\":false");
    REPORTED("\"Regions\":{\"7\":{\"RegionCode\":\"lab\"");
    assert_true(l.connects > 0); /* HTTPS was tried */
    lab_free(&l);
}

static void assert_fails(const char *words)
{
    assert_int_equal(l.failed_events, 1);
    assert_int_not_equal(l.stop_err, RMR_OK);
    assert_non_null(strstr(l.failed_text, words));
    assert_int_equal(report[0], 0);
    lab_free(&l);
    assert_int_equal(l.alloc.live_blocks, 0);
}

static void without_any_relay_it_fails(void **st)
{
    (void)st;
    lab_init(&l); /* no netmap */
    start_lab("");
    assert_fails("no relays are known");
    lab_init(&l); /* one without relays */
    put_cache("{\"Domain\":\"ex.com\"}", true);
    start_lab("");
    assert_fails("no relays are known");
    lab_init(&l); /* a damaged one */
    char text[1024];
    snprintf(text, sizeof text, "{\"DERPMap\":%s}", map);
    put_cache(text, false);
    start_lab("");
    assert_fails("no relays are known");
}

static void a_map_that_is_none_is_refused(void **st)
{
    (void)st;
    lab_init(&l);
    start_lab("{\"Regions\":");
    assert_fails("no DERPMap");
    lab_init(&l);
    start_lab("{}");
    assert_fails("no region");
}

/* Each allocation fails once: it ends with an error, or measures all the same. */
static void without_memory_it_ends(void **st)
{
    bool survived = false;
    (void)st;
    for (size_t at = 1; !survived && at < 2000; at++) {
        rmr_node_config cfg;
        lab_init(&l);
        l.alloc.fail_at = at;
        lab_config(&l, &cfg);
        cfg.only_netcheck = true;
        cfg.derp_map = rmr_bytes_str(map);
        if (lab_start(&l, &cfg) == RMR_OK) {
            lab_run(&l, 10 * RMR_SEC);
            if (!l.stopped)
                fail_msg("allocation %zu", at);
        }
        survived = l.alloc.calls < at;
        lab_free(&l);
        assert_int_equal(l.alloc.live_blocks, 0);
    }
    assert_true(survived);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_map_is_measured_and_the_node_ends),
        cmocka_unit_test(a_relay_that_is_silent_is_no_home),
        cmocka_unit_test(the_last_netmap_has_relays_too),
        cmocka_unit_test(without_any_relay_it_fails),
        cmocka_unit_test(a_map_that_is_none_is_refused),
        cmocka_unit_test(without_memory_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
