/* Random frames against a slow model that applies the sections in the order of
 * the protocol, whatever the order in which they are written; and the size of
 * big tables. */
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

static unsigned roll(void *user, unsigned n)
{
    return (unsigned)(test_rng_u64(user) % n);
}

static void random_frames_agree_with_the_model(void **state)
{
    (void)state;
    static nm_text t;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        test_rng r;
        test_alloc a = {0};
        nm_model m = {0};
        const nm_dice dice = {roll, &r};
        rmr_nm *nm;
        rmr_nm_config cfg;
        test_rng_seed(&r, seed);
        rmr_env env = test_env(&a, NULL, NULL);
        rmr_nm_config_init(&cfg, sizeof cfg);
        assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
        for (int i = 0; i < 150; i++) {
            t.len = 0;
            if (roll(&r, 20) == 0)
                nm_model_full(&dice, &t, &m);
            else
                nm_model_delta(&dice, &t, &m);
            assert_int_equal(nm_feed(nm, NM_MODEL_NOW, rmr_bytes_of(t.s, t.len),
                                     roll(&r, 50)),
                             RMR_OK);
            unsigned id = nm_model_differs(nm, &m);
            if (id)
                fail_msg("%u differs after %s", id, t.s);
            nm_check(nm);
        }
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
}

/* A frame that lost something to a lack of memory says so. */
static void frames_that_say_ok_lost_nothing(void **state)
{
    (void)state;
    static nm_text t;
    test_rng r;
    test_alloc a = {0};
    nm_model m = {0};
    const nm_dice dice = {roll, &r};
    rmr_nm *nm;
    rmr_nm_config cfg;
    unsigned n_failed = 0;
    test_rng_seed(&r, 1);
    rmr_env env = test_env(&a, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    for (int i = 0; i < 1500; i++) {
        t.len = 0;
        nm_model_delta(&dice, &t, &m);
        a.fail_at = a.calls + 1 + roll(&r, 12);
        rmr_err e = nm_feed(nm, NM_MODEL_NOW, rmr_bytes_of(t.s, t.len), 0);
        a.fail_at = 0;
        if (e) {
            n_failed++;
            t.len = 0;
            nm_model_full(&dice, &t, &m);
            assert_int_equal(
                nm_feed(nm, NM_MODEL_NOW, rmr_bytes_of(t.s, t.len), 0), RMR_OK);
        }
        nm_check(nm);
        if (nm_model_differs(nm, &m))
            fail_msg("frame %d differs after %s", i, t.s);
    }
    assert_true(n_failed > 200);
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
}

/* ---- size ------------------------------------------------------------- */

static void put(nm_text *t, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(nm_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->s + t->len, sizeof t->s - t->len, fmt, ap);
    va_end(ap);
    assert_true(t->len < sizeof t->s);
}

/* A peer as a real tailnet has them: two addresses, three endpoints, names. */
static void put_real_peer(nm_text *t, unsigned i)
{
    put(t,
        "{\"ID\":%u,\"StableID\":\"n%08xCNTRL\",\"Name\":\"host-%u.tail1234."
        "ts.net.\",\"User\":%u,\"Key\":\"nodekey:%064x\",\"DiscoKey\":"
        "\"discokey:%064x\",\"Addresses\":[\"100.%u.%u.%u/32\",\"fd7a:115c:"
        "a1e0::%x:%x/128\"],\"AllowedIPs\":[\"100.%u.%u.%u/32\",\"fd7a:115c:"
        "a1e0::%x:%x/128\"],\"Endpoints\":[\"192.0.2.%u:41641\",\"10.0.%u.%u:"
        "41641\",\"[2001:db8::%x]:41641\"],\"HomeDERP\":%u,\"Hostinfo\":{"
        "\"OS\":"
        "\"linux\",\"Hostname\":\"host-%u\"},\"Created\":\"2026-11-21T09:17:51."
        "371591502Z\",\"KeyExpiry\":\"2027-05-21T09:17:51Z\",\"Cap\":138,"
        "\"Online\":true,\"MachineAuthorized\":true}",
        i, i, i, 1000 + i % 50, i, i, 64 + (i >> 16), i >> 8 & 255, i & 255,
        i >> 16, i & 0xffff, 64 + (i >> 16), i >> 8 & 255, i & 255, i >> 16,
        i & 0xffff, i & 255, i >> 8 & 255, i & 255, i, 1 + i % 20, i);
}

static void check_size(unsigned count)
{
    static nm_text t;
    rmr_nm *nm;
    rmr_nm_config cfg;
    rmr_nm_stats st;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    rmr_nm_get_stats(nm, &st);
    size_t empty = st.memory_bytes;
    rmr_nm_frame_begin(nm, NM_MODEL_NOW);
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("{\"Peers\":[")),
                     RMR_OK);
    for (unsigned i = 1; i <= count; i++) {
        t.len = 0;
        put(&t, i > 1 ? "," : "");
        put_real_peer(&t, i);
        assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_of(t.s, t.len)),
                         RMR_OK);
    }
    assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_str("]}")), RMR_OK);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_OK);
    rmr_nm_get_stats(nm, &st);
    assert_int_equal(rmr_nm_peer_count(nm), count);
    assert_int_equal(st.dropped_elements, 0);
    print_message("%u peers: %zu bytes each, %zu for the empty table\n", count,
                  (st.memory_bytes - empty) / count, empty);
    assert_true((st.memory_bytes - empty) / count < 600);
    rmr_nm_free(nm);
}

static void a_peer_takes_less_than_600_bytes(void **state)
{
    (void)state;
    check_size(5000);
    check_size(50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_frames_agree_with_the_model),
        cmocka_unit_test(frames_that_say_ok_lost_nothing),
        cmocka_unit_test(a_peer_takes_less_than_600_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
