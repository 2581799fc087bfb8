/* What changed since a mark, as a frame: on the table of the mark it makes the
 * table of now, whatever came in between. */
#include <remora/netmap.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nm_model.h"
#include "nm_support.h"
#include "support.h"

#define NOW NM_MODEL_NOW

static unsigned roll(void *user, unsigned n)
{
    return (unsigned)(test_rng_u64(user) % n);
}

static rmr_nm *make(test_alloc *a)
{
    rmr_nm *nm;
    rmr_nm_config cfg;
    rmr_env env = test_env(a, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    return nm;
}

static void feed(rmr_nm *nm, const char *text)
{
    assert_int_equal(nm_feed(nm, NOW, rmr_bytes_str(text), 0), RMR_OK);
}

static char *since(const rmr_nm *nm)
{
    size_t cap = 1 << 20, len = 0, n;
    uint64_t pos = 0;
    char *p = malloc(cap);
    assert_non_null(p);
    do {
        assert_true(cap - len > 66000);
        assert_int_equal(
            rmr_nm_save_since(nm, &pos, rmr_buf_of((uint8_t *)p + len, 66000),
                              &n),
            RMR_OK);
        len += n;
    } while (n);
    p[len] = '\0';
    return p;
}

/* The table that `base` and what was told since make is that of `nm`. */
static void check(const rmr_nm *nm, const char *base)
{
    char *delta = since(nm), *want = nm_dump(nm, NULL);
    rmr_nm *copy = make(NULL);
    feed(copy, base);
    feed(copy, delta);
    char *have = nm_dump(copy, NULL);
    if (strcmp(have, want) != 0)
        fail_msg("%s\nand %s\ngive %s,\nnot %s", base, delta, have, want);
    nm_check(copy);
    rmr_nm_free(copy);
    free(delta);
    free(want);
    free(have);
}

static char *mark(rmr_nm *nm)
{
    rmr_nm_mark(nm);
    assert_int_equal(rmr_nm_unsaved(nm), 0);
    return nm_dump(nm, NULL);
}

static void random_changes_are_told(void **state)
{
    (void)state;
    static nm_text t;
    size_t told = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        test_rng r;
        test_alloc a = {0};
        nm_model m = {0};
        const nm_dice dice = {roll, &r};
        test_rng_seed(&r, seed);
        rmr_nm *nm = make(&a);
        char *base = mark(nm);
        for (int i = 0; i < 120; i++) {
            t.len = 0;
            if (roll(&r, 20) == 0)
                nm_model_full(&dice, &t, &m);
            else
                nm_model_delta(&dice, &t, &m);
            assert_int_equal(
                nm_feed(nm, NOW, rmr_bytes_of(t.s, t.len), roll(&r, 50)),
                RMR_OK);
            assert_true(rmr_nm_unsaved(nm) != SIZE_MAX);
            told += rmr_nm_unsaved(nm);
            if (roll(&r, 3) == 0)
                check(nm, base);
            if (roll(&r, 8) == 0) {
                free(base);
                base = mark(nm);
            }
        }
        free(base);
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
    assert_true(told > 1000);
}

#define NODE(id)                                                               \
    "{\"ID\":" id ",\"Name\":\"n" id ".ex.com.\",\"Key\":\"nodekey:"           \
    "000000000000000000000000000000000000000000000000000000000000000" id       \
    "\",\"Addresses\":[\"100.64.0." id "/32\"],\"MachineAuthorized\":true}"
#define RULE(ip)                                                               \
    "[{\"SrcIPs\":[\"" ip "\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{"        \
    "\"First\":1,\"Last\":2}}]}]"

static const char start[] =
    "{\"Node\":" NODE("1") ",\"Peers\":[" NODE("2") "," NODE(
        "3") "],"
             "\"PacketFilters\":{\"base\":" RULE(
                 "100.64.0.2") ",\"more\":" RULE("100.64.0.3") "},"
                                                               "\"UserProfiles"
                                                               "\":[{\"ID\":5,"
                                                               "\"LoginName\":"
                                                               "\"a\"}],"
                                                               "\"Health\":["
                                                               "\"ill\"],"
                                                               "\"Domain\":"
                                                               "\"ex.com\","
                                                               "\"DERPMap\":{"
                                                               "\"Regions\":{"
                                                               "\"1\":{"
                                                               "\"RegionID\":1,"
                                                               "\"RegionCode\":"
                                                               "\"r\","
                                                               "\"Nodes\":[{"
                                                               "\"Name\":"
                                                               "\"1a\","
                                                               "\"RegionID\":1,"
                                                               "\"HostName\":"
                                                               "\"h\"}]}}}}";

static void each_part_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *frame;
        size_t peers;
    } cases[] = {
        {"{}", 0},
        {"{\"PeersRemoved\":[2]}", 0},
        {"{\"PeersRemoved\":[2,3]}", 0},
        {"{\"PeersChanged\":[" NODE("4") "]}", 1},
        {"{\"OnlineChange\":{\"3\":true}}", 1},
        {"{\"PeerSeenChange\":{\"3\":true}}", 1},
        {"{\"PeersChangedPatch\":[{\"NodeID\":2,\"DERPRegion\":7}]}", 1},
        {"{\"PacketFilters\":{\"more\":null}}", 0},
        {"{\"PacketFilters\":{\"*\":null}}", 0},
        {"{\"PacketFilters\":{\"base\":" RULE("100.64.0.9") "}}", 0},
        {"{\"Node\":" NODE("9") "}", 0},
        {"{\"UserProfiles\":[{\"ID\":6,\"LoginName\":\"b\"}]}", 0},
        {"{\"Health\":[]}", 0},
        {"{\"DisplayMessages\":{\"m\":{\"Title\":\"t\",\"Text\":\"x\"}}}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rmr_nm *nm = make(NULL);
        feed(nm, start);
        char *base = mark(nm);
        feed(nm, cases[i].frame);
        assert_int_equal(rmr_nm_unsaved(nm), cases[i].peers);
        check(nm, base);
        /* The mark stays, and what comes behind is told with it. */
        feed(nm, "{\"PeersChanged\":[" NODE("3") "," NODE(
                     "5") "],"
                          "\"PeersRemoved\":[2]}");
        check(nm, base);
        feed(nm, "{\"PeersRemoved\":[3,4,5]}");
        assert_int_equal(rmr_nm_unsaved(nm), 0);
        check(nm, base);
        feed(nm, start);
        check(nm, base);
        free(base);
        rmr_nm_free(nm);
    }
}

static void refuses(const rmr_nm *nm)
{
    static uint8_t buf[66000];
    uint64_t pos = 0;
    size_t len = 1;
    assert_true(rmr_nm_unsaved(nm) == SIZE_MAX);
    assert_int_equal(
        rmr_nm_save_since(nm, &pos, rmr_buf_of(buf, sizeof buf), &len),
        RMR_E_STATE);
    assert_int_equal(len, 0);
}

static void what_no_frame_can_tell_is_refused(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "{\"DERPMap\":{\"Regions\":{}}}",
        "{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{\"1\":0.5}}}}",
        "{\"DNSConfig\":{\"Domains\":[\"other\"]}}",
        "{\"Domain\":\"other\"}",
    };
    rmr_nm *nm = make(NULL);
    feed(nm, start);
    refuses(nm); /* never marked */
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        free(mark(nm));
        feed(nm, frames[i]);
        refuses(nm);
        feed(nm, "{\"OnlineChange\":{\"3\":true}}");
        refuses(nm); /* still */
    }
    rmr_nm_free(nm);
}

/* Who is gone can't be noted: then nothing is told, rather than too little. */
static void without_memory_it_is_refused(void **state)
{
    (void)state;
    test_alloc a = {0};
    bool refused = false, done = false;
    for (size_t n = 1; !done; n++) {
        rmr_nm *nm = make(&a);
        feed(nm, start);
        char *base = mark(nm);
        a.failed = false;
        a.fail_at = a.calls + n;
        rmr_err e =
            nm_feed(nm, NOW, rmr_bytes_str("{\"PeersRemoved\":[2]}"), 0);
        done = !a.failed;
        a.fail_at = 0;
        if (rmr_nm_unsaved(nm) == SIZE_MAX) {
            refused = true;
            refuses(nm);
        } else if (e == RMR_OK) {
            check(nm, base);
        }
        free(base);
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
    assert_true(refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_are_told),
        cmocka_unit_test(each_part_is_told),
        cmocka_unit_test(what_no_frame_can_tell_is_refused),
        cmocka_unit_test(without_memory_it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
