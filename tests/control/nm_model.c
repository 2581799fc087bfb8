/* The slow model of a netmap's peers. */
#include "nm_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(nm_text *t, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(nm_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->s + t->len, sizeof t->s - t->len, fmt, ap);
    va_end(ap);
    if (t->len >= sizeof t->s)
        abort();
}

static unsigned pick(const nm_dice *r, unsigned n)
{
    return r->roll(r->user, n);
}

/* Few values, so that keys, addresses and names collide. */
static nm_model_peer random_peer(const nm_dice *r)
{
    nm_model_peer p = {true,
                       1 + pick(r, 30),
                       pick(r, 8),
                       1 + pick(r, 20),
                       pick(r, 3),
                       pick(r, 3),
                       pick(r, 3),
                       pick(r, 3),
                       (int)pick(r, 3) - 1,
                       pick(r, 2) ? (uint64_t)1000000000 * (1 + pick(r, 5))
                                  : 0};
    return p;
}

static void put_seen(nm_text *t, uint64_t seen)
{
    if (seen)
        put(t, ",\"LastSeen\":\"1970-01-01T00:00:%02uZ\"",
            (unsigned)(seen / 1000000000));
}

static void put_peer(nm_text *t, unsigned id, const nm_model_peer *p)
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
    nm_text part[5];
    bool patched[NM_MODEL_IDS + 1];
} frame;

static void sec_removed(const nm_dice *r, frame *f, nm_model *m)
{
    nm_text *t = &f->part[0];
    put(t, "\"PeersRemoved\":[");
    for (unsigned i = 0, n = pick(r, 4); i < n; i++) {
        unsigned id = 1 + pick(r, NM_MODEL_IDS);
        put(t, "%s%u", i ? "," : "", id);
        m->p[id].there = false;
    }
    put(t, "]");
}

static void sec_changed(const nm_dice *r, frame *f, nm_model *m)
{
    nm_text *t = &f->part[1];
    put(t, "\"PeersChanged\":[");
    for (unsigned i = 0, n = pick(r, 5); i < n; i++) {
        unsigned id = 1 + pick(r, NM_MODEL_IDS);
        nm_model_peer p = random_peer(r);
        put(t, i ? "," : "");
        put_peer(t, id, &p);
        m->p[id] = p;
    }
    put(t, "]");
}

static void sec_bools(const nm_dice *r, frame *f, nm_model *m, bool seen)
{
    bool used[NM_MODEL_IDS + 1] = {false}, first = true;
    nm_text *t = &f->part[seen ? 2 : 3];
    put(t, seen ? "\"PeerSeenChange\":{" : "\"OnlineChange\":{");
    for (unsigned i = 0, n = pick(r, 4); i < n; i++) {
        unsigned id = 1 + pick(r, NM_MODEL_IDS);
        bool on = pick(r, 2);
        if (used[id])
            continue;
        used[id] = true;
        put(t, "%s\"%u\":%s", first ? "" : ",", id, on ? "true" : "false");
        first = false;
        if (seen)
            m->p[id].seen = on ? NM_MODEL_NOW : 0;
        else
            m->p[id].online = on;
    }
    put(t, "}");
}

static void one_patch(nm_text *t, unsigned has, const nm_model_peer *p,
                      nm_model_peer *q)
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

static void sec_patch(const nm_dice *r, frame *f, nm_model *m)
{
    nm_text *t = &f->part[4];
    bool first = true;
    put(t, "\"PeersChangedPatch\":[");
    for (unsigned i = 0, n = pick(r, 5); i < n; i++) {
        unsigned id = 1 + pick(r, NM_MODEL_IDS), has = pick(r, 128);
        nm_model_peer p = random_peer(r);
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
void nm_model_delta(const nm_dice *r, nm_text *out, nm_model *m)
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
    /* What was said of a peer that is not there is forgotten. */
    for (unsigned id = 1; id <= NM_MODEL_IDS; id++) {
        if (!m->p[id].there)
            memset(&m->p[id], 0, sizeof m->p[id]);
    }
    put(out, "{");
    for (int i = 0; i < 5; i++)
        put(out, "%s%s", i ? "," : "", f.part[order[i]].s);
    put(out, "}");
}

void nm_model_full(const nm_dice *r, nm_text *out, nm_model *m)
{
    bool first = true;
    memset(m, 0, sizeof *m);
    put(out, "{\"Peers\":[");
    for (unsigned id = 1; id <= NM_MODEL_IDS; id++) {
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

static bool same_peer(const rmr_nm *nm, unsigned id, const nm_model_peer *p)
{
    rmr_nm_node v;
    bool there = rmr_nm_peer(nm, id, &v);
    if (there != p->there)
        return false;
    return !there || (v.key[31] == p->key && v.disco_key[31] == p->disco &&
                      v.home_derp == p->derp && v.cap == p->cap &&
                      v.online == p->online && v.last_seen_unix_ns == p->seen &&
                      v.n_endpoints == (p->endpoint ? 1 : 0) &&
                      (!p->endpoint || v.endpoints[0].port == p->endpoint) &&
                      attr_of(nm, id) == p->attr && v.n_addrs == 2 &&
                      v.addrs[0].ip[3] == p->ip);
}

enum { BY_KEY, BY_DISCO, BY_IP };

/* Of several that have it the one of the lowest id; 0: none. */
static unsigned slow_find(const nm_model *m, int by, unsigned value)
{
    for (unsigned id = 1; id <= NM_MODEL_IDS; id++) {
        const nm_model_peer *p = &m->p[id];
        unsigned has = by == BY_KEY     ? p->key
                       : by == BY_DISCO ? p->disco
                                        : p->ip;
        if (p->there && has == value)
            return id;
    }
    return 0;
}

static bool same_find(const rmr_nm *nm, const nm_model *m, unsigned value)
{
    rmr_nm_node v;
    rmr_nm_who w;
    char name[16];
    uint8_t key[RMR_KEY_LEN] = {0};
    rmr_addr ip = rmr_addr_v4(100, 64, 0, (uint8_t)value, 7);
    key[31] = (uint8_t)value;
    (void)snprintf(name, sizeof name, "N%u.Ex.", value);
    unsigned k = slow_find(m, BY_KEY, value), d = slow_find(m, BY_DISCO, value);
    unsigned i = slow_find(m, BY_IP, value);
    return (rmr_nm_peer_by_key(nm, key, &v) ? v.id : 0) == k &&
           (rmr_nm_peer_by_disco(nm, key, &v) ? v.id : 0) == d &&
           (rmr_nm_peer_by_ip(nm, &ip, &v) ? v.id : 0) == i &&
           (rmr_nm_whois(nm, &ip, &w) ? w.node.id : 0) == i &&
           (rmr_nm_peer_by_name(nm, name, &v) ? v.id : 0) == i;
}

unsigned nm_model_differs(const rmr_nm *nm, const nm_model *m)
{
    size_t n = 0;
    for (unsigned id = 1; id <= NM_MODEL_IDS; id++) {
        n += m->p[id].there;
        if (!same_peer(nm, id, &m->p[id]))
            return id;
    }
    for (unsigned value = 1; value <= 31; value++) {
        if (!same_find(nm, m, value))
            return value;
    }
    return rmr_nm_peer_count(nm) == n ? 0 : NM_MODEL_IDS + 1;
}
