/*
 * Map frames, full and deltas, on one netmap.  Input: an options byte, then
 * frames with a zero byte between them; a frame "!" begins a new stream.
 * Checked after each: the indexes agree with the table, the bound of peers
 * holds; at the end: the table saves to what reads back to the same.
 */
#include <remora/filter.h>
#include <remora/netmap.h>

#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "nm_support.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_PEERS 40

static void on_peer(void *user, rmr_nm_change change, const rmr_nm_node *p,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    rmr_nm_node v;
    (void)old_key;
    need(rmr_nm_peer(*(rmr_nm **)user, p->id, &v) ==
         (change != RMR_NM_PEER_REMOVED));
    need(strlen(p->name) < NM_TEXT_MAX && strlen(p->os) < NM_TEXT_MAX);
}

static rmr_nm *make(rmr_nm **self, test_alloc *a)
{
    rmr_nm_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = self;
    cb.on_peer = on_peer;
    rmr_nm_config cfg;
    rmr_env env = test_env(a, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.max_peers = MAX_PEERS;
    need(rmr_nm_new(self, &env, &cfg) == RMR_OK);
    return *self;
}

static size_t resolvers_len(const rmr_nm_resolver *r, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += strlen(r[i].text) + r[i].n_bootstrap;
    return len;
}

static void look_at_dns(const rmr_nm *nm)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    (void)resolvers_len(c->resolvers, c->n_resolvers);
    (void)resolvers_len(c->fallback, c->n_fallback);
    for (size_t i = 0; i < c->n_routes; i++) {
        const rmr_nm_dns_route *r = &c->routes[i];
        (void)resolvers_len(r->resolvers, r->n_resolvers);
        need(rmr_nm_dns_route_of(nm, r->suffix) == r);
        need(i == 0 || strcmp(c->routes[i - 1].suffix, r->suffix) < 0);
    }
    for (size_t i = 0; i < c->n_records; i++)
        need(c->records[i].addr.family && c->records[i].name[0]);
}

static void look_at_grants(const rmr_nm *nm, const rmr_addr *from,
                           const rmr_addr *to)
{
    uint64_t pos = 0;
    rmr_nm_cap c;
    while (rmr_nm_next_grant(nm, &pos, from, to, &c)) {
        need(c.name[0] && c.values[0] == '[');
        need(rmr_nm_is_granted(nm, from, to, c.name));
    }
}

/* All that an application can see is whole. */
static void look(const rmr_nm *nm)
{
    rmr_nm_node n, self;
    rmr_nm_who w;
    rmr_nm_cap c;
    rmr_nm_message m;
    uint64_t pos = 0;
    bool has_self = rmr_nm_self(nm, &self);
    look_at_dns(nm);
    while (rmr_nm_next_peer(nm, &pos, &n)) {
        /* An id that is our own too means ourselves. */
        bool own = has_self && self.id == n.id;
        for (size_t i = 0; i < n.n_caps && !own; i++) {
            need(rmr_nm_cap_at(nm, n.id, i, &c) && c.values[0] == '[');
            need(rmr_nm_peer_has_cap(nm, n.id, c.name));
        }
        for (size_t i = 0; i < n.n_tags; i++)
            need(rmr_nm_tag_at(&n, i)[0] != '\0');
        for (size_t i = 0; i < n.n_addrs; i++) {
            rmr_addr a = rmr_prefix_addr(&n.addrs[i]);
            if (rmr_nm_whois(nm, &a, &w))
                look_at_grants(nm, &a, &w.ours);
        }
    }
    for (size_t i = 0; rmr_nm_message_at(nm, i, &m); i++)
        need(m.severity <= RMR_NM_SEVERITY_HIGH && strlen(m.text) < 1024);
}

static void check_saved(const rmr_nm *nm)
{
    rmr_nm *copy;
    size_t n1, n2;
    char *one = nm_dump(nm, &n1);
    (void)make(&copy, NULL);
    need(nm_feed(copy, 1, rmr_bytes_of(one, n1), 0) == RMR_OK);
    char *two = nm_dump(copy, &n2);
    need(n1 == n2 && memcmp(one, two, n1) == 0);
    free(one);
    free(two);
    rmr_nm_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc a = {0};
    rmr_nm *nm;
    if (size < 1)
        return 0;
    size_t piece = data[0] & 31;
    (void)make(&nm, &a);
    if (data[0] & 0x80)
        a.fail_at = a.calls + 1 + (data[0] & 0x7f);
    for (size_t at = 1; at < size;) {
        size_t n = 0;
        while (at + n < size && data[at + n])
            n++;
        rmr_bytes json = rmr_bytes_of(data + at, n);
        if (rmr_bytes_eq_str(json, "!")) {
            rmr_nm_stream_begin(nm);
        } else {
            size_t before = rmr_nm_peer_count(nm);
            rmr_err e = nm_feed(nm, 1795253000000000000, json, piece);
            need(e == RMR_OK || e == RMR_E_MALFORMED || e == RMR_E_TOOBIG ||
                 (e == RMR_E_NOMEM && a.failed));
            (void)before;
        }
        nm_check(nm);
        look(nm);
        need(rmr_nm_peer_count(nm) <= MAX_PEERS);
        at += n + 1;
    }
    check_saved(nm);
    rmr_nm_free(nm);
    need(a.live_blocks == 0);
    return 0;
}
