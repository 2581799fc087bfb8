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

#include "nm_support.h"
#include "support.h"

#define NOW ((uint64_t)1795253000 * RMR_SEC)
#define IDS 24

typedef struct model_peer {
    bool there;
    unsigned key, disco, ip, derp, cap, endpoint, attr;
    int online;
    uint64_t seen;
} model_peer;

typedef struct model {
    model_peer p[IDS + 1];
} model;

typedef struct text {
    char s[65536];
    size_t len;
} text;

static void put(text *t, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->s + t->len, sizeof t->s - t->len, fmt, ap);
    va_end(ap);
    assert_true(t->len < sizeof t->s);
}

static unsigned pick(test_rng *r, unsigned n)
{
    return (unsigned)(test_rng_u64(r) % n);
}

/* Few values, so that keys, addresses and names collide. */
static model_peer random_peer(test_rng *r)
{
    model_peer p = {true,
                    1 + pick(r, 30),
                    pick(r, 8),
                    1 + pick(r, 20),
                    pick(r, 3),
                    pick(r, 3),
                    pick(r, 3),
                    pick(r, 3),
                    (int)pick(r, 3) - 1,
                    pick(r, 2) ? (uint64_t)1000000000 * (1 + pick(r, 5)) : 0};
    return p;
}

static void put_seen(text *t, uint64_t seen)
{
    if (seen)
        put(t, ",\"LastSeen\":\"1970-01-01T00:00:%02uZ\"",
            (unsigned)(seen / 1000000000));
}

static void put_peer(text *t, unsigned id, const model_peer *p)
{
    put(t, "{\"ID\":%u,\"Key\":\"nodekey:%064x\",\"Name\":\"n%u.ex.\"", id,
        p->key, p->ip);
    put(t, ",\"Addresses\":[\"100.64.0.%u/32\",\"fd7a::%x/128\"]", p->ip,
        p->ip);
    if (p->disco)
        put(t, ",\"DiscoKey\":\"discokey:%064x\"", p->disco);
    if (p->derp)
        put(t, ",\"HomeDERP\":%u", p->derp);
    if (p->cap)
        put(t, ",\"Cap\":%u", p->cap);
    if (p->endpoint)
        put(t, ",\"Endpoints\":[\"1.1.1.1:%u\"]", p->endpoint);
    if (p->online >= 0)
        put(t, ",\"Online\":%s", p->online ? "true" : "false");
    put_seen(t, p->seen);
    if (p->attr)
        put(t, ",\"CapMap\":{\"x\":[%u],\"y\":null}", p->attr);
    put(t, "}");
}

/* ---- sections: each writes itself and changes the model ---------------- */

typedef struct frame {
    text part[5];
    bool patched[IDS + 1];
} frame;

static void sec_removed(test_rng *r, frame *f, model *m)
{
    text *t = &f->part[0];
    put(t, "\"PeersRemoved\":[");
    for (unsigned i = 0, n = pick(r, 4); i < n; i++) {
        unsigned id = 1 + pick(r, IDS);
        put(t, "%s%u", i ? "," : "", id);
        m->p[id].there = false;
    }
    put(t, "]");
}

static void sec_changed(test_rng *r, frame *f, model *m)
{
    text *t = &f->part[1];
    put(t, "\"PeersChanged\":[");
    for (unsigned i = 0, n = pick(r, 5); i < n; i++) {
        unsigned id = 1 + pick(r, IDS);
        model_peer p = random_peer(r);
        put(t, i ? "," : "");
        put_peer(t, id, &p);
        m->p[id] = p;
    }
    put(t, "]");
}

static void sec_bools(test_rng *r, frame *f, model *m, bool seen)
{
    bool used[IDS + 1] = {false}, first = true;
    text *t = &f->part[seen ? 2 : 3];
    put(t, seen ? "\"PeerSeenChange\":{" : "\"OnlineChange\":{");
    for (unsigned i = 0, n = pick(r, 4); i < n; i++) {
        unsigned id = 1 + pick(r, IDS);
        bool on = pick(r, 2);
        if (used[id])
            continue;
        used[id] = true;
        put(t, "%s\"%u\":%s", first ? "" : ",", id, on ? "true" : "false");
        first = false;
        if (seen)
            m->p[id].seen = on ? NOW : 0;
        else
            m->p[id].online = on;
    }
    put(t, "}");
}

static void one_patch(text *t, unsigned has, const model_peer *p, model_peer *q)
{
    if (has & 1) {
        put(t, ",\"Key\":\"nodekey:%064x\"", p->key);
        q->key = p->key;
    }
    if (has & 2) {
        put(t, ",\"DiscoKey\":\"discokey:%064x\"", p->disco);
        q->disco = p->disco;
    }
    if (has & 4) {
        put(t, ",\"Online\":%s", p->online == 1 ? "true" : "false");
        q->online = p->online == 1;
    }
    if (has & 8 && p->seen) {
        put_seen(t, p->seen);
        q->seen = p->seen;
    }
    if (has & 16) {
        put(t, ",\"DERPRegion\":%u", p->derp);
        q->derp = p->derp ? p->derp : q->derp;
    }
    if (has & 32) {
        put(t, ",\"Endpoints\":[\"1.1.1.1:%u\"]", 1 + p->endpoint);
        q->endpoint = 1 + p->endpoint;
    }
    if (has & 64) {
        put(t, p->attr ? ",\"CapMap\":{\"y\":[],\"x\":[%u]}" : ",\"CapMap\":{}",
            p->attr);
        q->attr = p->attr;
    }
}

static void sec_patch(test_rng *r, frame *f, model *m)
{
    text *t = &f->part[4];
    bool first = true;
    put(t, "\"PeersChangedPatch\":[");
    for (unsigned i = 0, n = pick(r, 5); i < n; i++) {
        unsigned id = 1 + pick(r, IDS), has = pick(r, 128);
        model_peer p = random_peer(r);
        if (f->patched[id])
            continue;
        f->patched[id] = true;
        if ((has & 14) == 14) /* might be stale: has a test of its own */
            has &= ~2u;
        put(t, "%s{\"NodeID\":%u", first ? "" : ",", id);
        one_patch(t, has, &p, &m->p[id]);
        put(t, "}");
        first = false;
    }
    put(t, "]");
}

/* The sections are made in the order of the protocol and written in any. */
static void delta_frame(test_rng *r, text *out, model *m)
{
    static frame f;
    int order[5] = {0, 1, 2, 3, 4};
    memset(&f, 0, sizeof f);
    sec_removed(r, &f, m);
    sec_changed(r, &f, m);
    sec_bools(r, &f, m, true);
    sec_bools(r, &f, m, false);
    sec_patch(r, &f, m);
    for (int i = 4; i > 0; i--) {
        int k = (int)pick(r, (unsigned)i + 1), swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    put(out, "{");
    for (int i = 0; i < 5; i++)
        put(out, "%s%s", i ? "," : "", f.part[order[i]].s);
    put(out, "}");
}

static void full_frame(test_rng *r, text *out, model *m)
{
    bool first = true;
    memset(m, 0, sizeof *m);
    put(out, "{\"Peers\":[");
    for (unsigned id = 1; id <= IDS; id++) {
        if (pick(r, 3) == 0 && id > 1)
            continue;
        m->p[id] = random_peer(r);
        put(out, first ? "" : ",");
        put_peer(out, id, &m->p[id]);
        first = false;
    }
    put(out, "]}");
}

/* The value of the capability "x", 0: it has none. */
static unsigned attr_of(const rmr_nm *nm, unsigned id)
{
    const char *v = rmr_nm_cap_values(nm, id, "x");
    return v ? (unsigned)(v[1] - '0') : 0;
}

static void compare(const rmr_nm *nm, const model *m, const char *frame_text)
{
    size_t n = 0;
    for (unsigned id = 1; id <= IDS; id++) {
        const model_peer *p = &m->p[id];
        rmr_nm_node v;
        bool there = rmr_nm_peer(nm, id, &v);
        bool ok = there == p->there;
        n += p->there;
        if (ok && there)
            ok = v.key[31] == p->key && v.disco_key[31] == p->disco &&
                 v.home_derp == p->derp && v.cap == p->cap &&
                 v.online == p->online && v.last_seen_unix_ns == p->seen &&
                 v.n_endpoints == (p->endpoint ? 1 : 0) &&
                 (!p->endpoint || v.endpoints[0].port == p->endpoint) &&
                 attr_of(nm, id) == p->attr && v.n_addrs == 2 &&
                 v.addrs[0].ip[3] == p->ip;
        if (!ok)
            fail_msg("peer %u differs after %s", id, frame_text);
    }
    assert_int_equal(rmr_nm_peer_count(nm), n);
}

static void random_frames_agree_with_the_model(void **state)
{
    (void)state;
    static text t;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        test_rng r;
        test_alloc a = {0};
        model m = {0};
        rmr_nm *nm;
        rmr_nm_config cfg;
        test_rng_seed(&r, seed);
        rmr_env env = test_env(&a, NULL, NULL);
        rmr_nm_config_init(&cfg, sizeof cfg);
        assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
        for (int i = 0; i < 150; i++) {
            t.len = 0;
            if (pick(&r, 20) == 0)
                full_frame(&r, &t, &m);
            else
                delta_frame(&r, &t, &m);
            /* A model peer keeps deltas of when it was gone: forget those. */
            for (unsigned id = 1; id <= IDS; id++) {
                if (!m.p[id].there)
                    memset(&m.p[id], 0, sizeof m.p[id]);
            }
            assert_int_equal(
                nm_feed(nm, NOW, rmr_bytes_of(t.s, t.len), pick(&r, 50)),
                RMR_OK);
            compare(nm, &m, t.s);
            nm_check(nm);
        }
        rmr_nm_free(nm);
        assert_int_equal(a.live_blocks, 0);
    }
}

/* ---- size ------------------------------------------------------------- */

/* A peer as a real tailnet has them: two addresses, three endpoints, names. */
static void put_real_peer(text *t, unsigned i)
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
    static text t;
    rmr_nm *nm;
    rmr_nm_config cfg;
    rmr_nm_stats st;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_nm_new(&nm, &env, &cfg), RMR_OK);
    rmr_nm_get_stats(nm, &st);
    size_t empty = st.memory_bytes;
    rmr_nm_frame_begin(nm, NOW);
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
        cmocka_unit_test(a_peer_takes_less_than_600_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
